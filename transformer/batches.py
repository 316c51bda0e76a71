"""Batches by the number of tokens, sentences of like length together."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.random import Generator
from numpy.typing import NDArray
from torch import Tensor

from transformer.vocabulary import PAD

WINDOW = 50
"""Batches within whose sentences like lengths are looked for."""
Pair = tuple[list[int], list[int]]
"""A sentence and its translation as numbers of pieces, without their ends."""


class TokenBatches:
    """Which sentences belong to each batch, epoch by epoch.

    An epoch's sentences are shuffled, sorted by length within windows of some batches, and cut into batches whose longest source
    and longest target, as often as there are sentences, are no more than `tokens`; then the batches are shuffled.

    Args:
        pairs: gives all sentences for another epoch, which may be cut into pieces anew.
        tokens: of a batch at most, ends and padding included, on either side. A longer sentence is a batch of its own.
        seed: of the order.
    """

    def __init__(self, pairs: Callable[[Generator], Sequence[Pair]], tokens: int, seed: int) -> None:
        self.pairs, self.tokens, self.seed = pairs, tokens, seed
        self.taken = 0
        self._epoch, self._first, self._batches = -1, 0, list[list[Pair]]()

    def take(self) -> list[Pair]:
        """Give the sentences of the next batch."""
        while self.taken >= self._first + len(self._batches):
            self._first += len(self._batches)
            self._epoch += 1
            self._batches = self.epoch(self._epoch)
        batch = self._batches[self.taken - self._first]
        self.taken += 1
        return batch

    def epoch(self, number: int) -> list[list[Pair]]:
        """Make the batches of an epoch."""
        generator = np.random.default_rng([self.seed, 0, number])
        pairs = self.pairs(generator)
        lengths = np.array([[len(side) + 1 for side in pair] for pair in pairs])
        order = generator.permutation(len(pairs))
        window = max(1, int(WINDOW * self.tokens / lengths.max(1).mean()))
        batches = []
        for first in range(0, len(order), window):
            part = order[first : first + window]
            # By the longer side first: sorted by one side alone, the other would be of any length.
            batches += self._cut(part[np.lexsort((lengths[part].min(1), lengths[part].max(1)))], lengths)
        return [[pairs[row] for row in batches[place]] for place in generator.permutation(len(batches))]

    def _cut(self, ordered: NDArray[np.int64], lengths: NDArray[np.int64]) -> list[list[int]]:
        rows, batches, first, longest = ordered.tolist(), [], 0, 0
        for place, length in enumerate(lengths[ordered].max(1).tolist()):
            longest = max(longest, length)
            if longest * (place - first + 1) > self.tokens and place > first:
                batches.append(rows[first:place])
                first, longest = place, length
        return [*batches, rows[first:]]

    def state_dict(self) -> dict[str, Any]:
        """Take down how many batches have been given out."""
        return {"taken": self.taken}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take that up again."""
        self.taken = state["taken"]
        self._epoch, self._first, self._batches = -1, 0, []


def pad(sentences: Sequence[Sequence[int]]) -> Tensor:
    """Bring sentences to one length, (B, T), by `PAD` at their ends."""
    padded = np.full((len(sentences), max(map(len, sentences), default=0)), PAD)
    for row, sentence in zip(padded, sentences, strict=True):
        row[: len(sentence)] = sentence
    return torch.from_numpy(padded)

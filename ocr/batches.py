"""Batches of words for training: drawn by worker processes, or read from a collection, some real crops among them."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple, Protocol, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from attention_core.order import ShuffledIndex
from ocr.config import OCRConfig
from ocr.crops import Crops
from ocr.words import WordStream

AHEAD = 4
"""Batches that each worker process has ready."""


class Words(Protocol):
    """Where words come from: by number a crop, (height, width) uint8, and its label. It can be pickled."""

    def __getitem__(self, index: int) -> tuple[NDArray[np.uint8], str]:
        """Give a word."""


class Batch(NamedTuple):
    """Words to learn from.

    Attributes:
        pictures: (B, H, W) uint8, on the CPU.
        words: their labels.
        waiting: share of the time since the batch before that was spent waiting for this one, in [0, 1].
    """

    pictures: Tensor
    words: list[str]
    waiting: float


class Batches:
    """Batches without end, the same whoever draws them.

    Args:
        source: where words come from.
        order: in which; None for one after the other without end.
        real: crops that a share of every batch is taken from.
        config: the settings; of them batch size, share of real crops, worker processes and seed.
        mine: which rows of every batch this process sees.
    """

    def __init__(self, source: Words, order: ShuffledIndex | None, real: Crops | None, config: OCRConfig, mine: slice) -> None:
        self.source, self.real, self.config = source, real, config
        self.taken = 0
        rows = range(config.batch_size)[mine]
        many = round(len(rows) * config.real) if real is not None else 0
        self._sampler = _Sampler(order, config.batch_size, rows[: len(rows) - many])
        self._real_rows = rows[len(rows) - many :]
        self._real_order = ShuffledIndex(len(real), config.seed + 1) if real is not None else None
        self._drawn: Iterator[Any] | None = None
        self._took = 0.0

    def take(self) -> Batch:
        """Give the next batch."""
        began = time.perf_counter()
        if self._drawn is None:
            self._drawn, self._took = self._begin(), began
        pictures, words = next(self._drawn)
        took = time.perf_counter()
        waiting, self._took = (took - began) / max(took - self._took, 1e-9), took
        if self.real is not None and self._real_order is not None:
            chosen = self._real_order.take(self.config.batch_size)[list(self._real_rows)]
            real = torch.from_numpy(self.real.pictures[chosen])
            pictures = torch.cat((pictures, real)) if words else real
            words = [*words, *(self.real.words[row] for row in chosen)]
        self.taken += 1
        return Batch(pictures, words, waiting)

    def _begin(self) -> Iterator[Any]:
        self._sampler.taken = self.taken
        workers = self.config.workers if len(self._sampler.rows) else 0
        loader: DataLoader[Any] = DataLoader(
            cast("Dataset[Any]", self.source),  # of a data set the loader asks no more than words by number
            batch_sampler=self._sampler,
            num_workers=workers,
            collate_fn=_collate,
            generator=torch.Generator(),  # or a training that goes on would draw once more than one that was not stopped
            prefetch_factor=AHEAD if workers else None,
            # A process that has computed with several threads must not be forked, and what a fork server starts outlives it.
            multiprocessing_context="spawn" if workers else None,
            worker_init_fn=_one_thread if workers else None,
        )
        return iter(loader)

    def state_dict(self) -> dict[str, Any]:
        """Take down the place in the words."""
        real = self._real_order.state_dict() if self._real_order is not None else {}
        return {"taken": self.taken, "real": real}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take it up again."""
        self.taken, self._drawn = state["taken"], None
        if self._real_order is not None:
            self._real_order.load_state_dict(state["real"])


class _Sampler:
    """Numbers of the words of each batch, from batch number `taken` on."""

    def __init__(self, order: ShuffledIndex | None, size: int, rows: Sequence[int]) -> None:
        self.order, self.size, self.rows, self.taken = order, size, rows, 0

    def __iter__(self) -> Iterator[list[int]]:
        batch = self.taken
        if self.order is not None:
            self.order.taken = batch * self.size
        while True:
            if self.order is not None:
                numbers = self.order.take(self.size)
                yield [int(numbers[row]) for row in self.rows]
            else:
                yield [batch * self.size + row for row in self.rows]
            batch += 1


def _collate(words: list[tuple[NDArray[np.uint8], str]]) -> tuple[Tensor, list[str]]:
    pictures = np.stack([picture for picture, _ in words]) if words else np.empty((0, 0, 0), np.uint8)
    return torch.from_numpy(pictures), [label for _, label in words]


def _one_thread(_: int) -> None:
    torch.set_num_threads(1)


def make_batches(config: OCRConfig, real: Crops | None, mine: slice) -> Batches:
    """Make the batches that the settings name.

    Args:
        config: the settings.
        real: real training crops, if any are wanted.
        mine: which rows of every batch this process sees.
    """
    if config.folder:
        from ocr.collections import open_collection

        collection = open_collection(config.folder, config.words.height, config.words.width, config.words.longest)
        return Batches(collection, ShuffledIndex(len(collection), config.seed), real, config, mine)
    return Batches(WordStream(config.words, config.seed), None, real, config, mine)

"""Reading crops with a trained reader: the likeliest words, how sure it is of them, and where it looked for each character."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from attention_core.beam_search import beam_search, greedy_search
from ocr.alphabet import END, START, decode
from ocr.reader import Reader, Seen, State

CHUNK = 128
"""Crops that are read at once."""


class Reading(NamedTuple):
    """What was read in B crops.

    Attributes:
        words: the words; empty where nothing was seen.
        confidences: (B,), the probability of each word under the reader, in [0, 1].
        weights: (B, T, L), where was looked for each character and for the end; of readers without attention L is 1.
    """

    words: list[str]
    confidences: Tensor
    weights: Tensor


def as_input(pictures: NDArray[np.uint8] | Tensor, device: torch.device) -> Tensor:
    """Bring crops to what a reader takes: (B, H, W) in 0 … 255 to (B, 1, H, W) in [-1, 1]."""
    crops = torch.as_tensor(pictures).to(device).float()
    return (crops / 127.5 - 1)[:, None]


@torch.no_grad()
def read(reader: Reader, crops: Tensor, longest: int, beams: int = 1) -> Reading:
    """Read crops.

    Args:
        reader: in evaluation mode.
        crops: (B, 1, H, W) in [-1, 1].
        longest: characters at most; a word that has not ended by then is cut off.
        beams: of the search; 1 for the likeliest character every time.
    """

    def step(characters: Tensor, state: State, seen: Seen) -> tuple[Tensor, State]:
        context, _ = reader.look(seen, state)
        return reader.advance(characters, context, state)

    seen = reader.see(crops)
    begun, count, device = reader.begin(seen), len(crops), crops.device
    if beams == 1:
        found = greedy_search(step, begun, seen, count, START, END, longest + 1, device=device)
    else:
        # The likeliest word is asked for, whatever its length.
        found = beam_search(step, begun, seen, count, START, END, longest + 1, beams, lambda length: 1.0, device=device)
    words = [decode(row[:longest]) for row in found.tokens.tolist()]
    return Reading(words, found.scores.exp(), _looks(reader, seen, found.tokens))


def _looks(reader: Reader, seen: Seen, characters: Tensor) -> Tensor:
    """Tell where was looked for the characters, (B, T): the search has looked at many beginnings that came to nothing."""
    state, weights = reader.begin(seen), []
    for before in F.pad(characters, (1, -1), value=START).T:
        context, looked = reader.look(seen, state)
        _, state = reader.advance(before, context, state)
        weights.append(looked)
    return torch.stack(weights, 1)


def read_all(reader: Reader, pictures: NDArray[np.uint8], longest: int, beams: int, device: torch.device) -> Iterator[Reading]:
    """Read all crops, (n, H, W), chunk by chunk, in order; see `read`."""
    for first in range(0, len(pictures), CHUNK):
        yield read(reader, as_input(pictures[first : first + CHUNK], device), longest, beams)

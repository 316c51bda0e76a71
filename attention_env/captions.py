"""Captions as numbers: the vocabulary, and where pictures with reference captions come from.

A caption is a row of word numbers: its words, then `END`, then `PAD` up to the length of the longest.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from attention_env.sources import SourceError

PAD, START, END, UNKNOWN = 0, 1, 2, 3
SPECIAL = ("<pad>", "<start>", "<end>", "<unknown>")


@dataclass(frozen=True)
class Vocabulary:
    """All words that a caption can be made of.

    Attributes:
        words: `SPECIAL` first; a word's place is its number.

    Raises:
        ValueError: if `words` does not begin with `SPECIAL`, or a word occurs twice.
    """

    words: tuple[str, ...]

    def __post_init__(self) -> None:
        if tuple(self.words[: len(SPECIAL)]) != SPECIAL:
            raise ValueError(
                f"a vocabulary begins with {', '.join(SPECIAL)}, got {', '.join(self.words[: len(SPECIAL)]) or 'nothing'}"
            )
        if len(self._numbers) < len(self.words):
            twice = next(word for place, word in enumerate(self.words) if self._numbers[word] != place)
            raise ValueError(f"each word stands in a vocabulary once, {twice!r} stands there more often")

    def __len__(self) -> int:
        """Return the number of words, the special ones included."""
        return len(self.words)

    def encode(self, tokens: Sequence[str]) -> list[int]:
        """Give the words' numbers, `END` last; a word that is not in the vocabulary becomes `UNKNOWN`."""
        return [*(self._numbers.get(token, UNKNOWN) for token in tokens), END]

    def decode(self, numbers: Sequence[int]) -> list[str]:
        """Give the words up to the first `END`, or all if there is none; `START` and `PAD` are left out."""
        spoken = list(numbers)
        spoken = spoken[: spoken.index(END)] if END in spoken else spoken
        return [self.words[number] for number in spoken if number not in (PAD, START)]

    @cached_property
    def _numbers(self) -> dict[str, int]:
        return {word: number for number, word in enumerate(self.words)}


class CaptionSource(ABC):
    """Pictures as annotation vectors, with reference captions.

    Attributes:
        name: what to call the source in messages and run folders.
        vocabulary: the words of its captions.
        shape: (L, D), annotation vectors of a picture, and numbers in each.
        longest: T, words of the longest reference, `END` included.
        references: R, reference captions of each picture.
        bounds: between which all numbers of annotation vectors lie.
    """

    name: str
    vocabulary: Vocabulary
    shape: tuple[int, int]
    longest: int
    references: int
    bounds: tuple[float, float] = (-math.inf, math.inf)

    @abstractmethod
    def __len__(self) -> int:
        """Return the number of pictures."""

    @abstractmethod
    def annotations(self, index: Tensor, device: torch.device) -> Tensor:
        """Give pictures' annotation vectors.

        Args:
            index: (n,) int64 in [0, number of pictures).
            device: where the result shall be.

        Returns:
            (n, L, D) float32, a tensor of its own.
        """

    @abstractmethod
    def captions(self, index: Tensor, device: torch.device) -> Tensor:
        """Give pictures' reference captions.

        Args:
            index: (n,) int64 in [0, number of pictures).
            device: where the result shall be.

        Returns:
            (n, R, T) int64, each reference ended by `END`, with `PAD` after it; a tensor of its own.
        """

    def shown(self, index: Tensor, device: torch.device) -> Tensor:
        """Give what a captioner is shown of pictures, (n,) int64: their annotation vectors, if it does not encode them itself."""
        return self.annotations(index, device)

    def sentences(self, index: Tensor) -> list[list[str]]:
        """Give the reference captions of pictures (n,) as text: for each picture R sentences, their words joined by blanks."""
        captions: list[list[list[int]]] = self.captions(index, torch.device("cpu")).tolist()
        return [[" ".join(self.vocabulary.decode(caption)) for caption in references] for references in captions]


class PicturedSource(CaptionSource):
    """A source that can show its pictures, for drawing.

    Attributes:
        grid: (lines, columns) of the cells of a picture; annotation vectors are those of cells, row by row from the top left.
    """

    grid: tuple[int, int]

    @abstractmethod
    def pictures(self, index: Tensor, device: torch.device) -> Tensor:
        """Give pictures, (n,) int64 to (n, 3, H, W) float32 in [0, 1]."""


class CaptionedPictures(CaptionSource):
    """Annotation vectors and captions in arrays of one's own.

    Args:
        name: what to call them in messages and run folders.
        vocabulary: the words of the captions.
        annotations: (count, L, D) floating point, float16 perhaps, and memory-mapped perhaps: a picture's are read when it is
            asked for. Shared, so not to be written to.
        captions: (count, R, T) whole numbers in [0, V): words, `END`, and `PAD` after it.

    Raises:
        SourceError: if an array has a wrong shape or type, a number is outside the vocabulary, or a caption is not words, `END`,
            and nothing but `PAD` after it.
    """

    def __init__(self, name: str, vocabulary: Vocabulary, annotations: NDArray[Any], captions: NDArray[Any]) -> None:
        if annotations.ndim != 3 or 0 in annotations.shape or annotations.dtype.kind != "f":
            raise SourceError(
                f"annotations must be floating point of shape (count, L, D), not empty, got {annotations.dtype} {annotations.shape}"
            )
        _check_captions(captions, len(annotations), len(vocabulary))
        longest = int((captions != PAD).sum(axis=-1).max())
        self.name, self.vocabulary = name, vocabulary
        self.shape = (annotations.shape[1], annotations.shape[2])
        self.longest, self.references = longest, captions.shape[1]
        self._annotations = annotations
        self._captions = captions[..., :longest].astype(np.int64)

    def __len__(self) -> int:
        """Return the number of pictures."""
        return len(self._captions)

    def annotations(self, index: Tensor, device: torch.device) -> Tensor:
        """Read pictures' annotation vectors, (n,) int64 to (n, L, D) float32."""
        chosen = np.asarray(self._annotations[index.cpu().numpy()])
        return torch.from_numpy(chosen).to(device).float()  # half the bytes travel where they are float16

    def captions(self, index: Tensor, device: torch.device) -> Tensor:
        """Give pictures' reference captions, (n,) int64 to (n, R, T) int64."""
        return torch.from_numpy(self._captions[index.cpu().numpy()]).to(device)


def _check_captions(captions: NDArray[Any], count: int, words: int) -> None:
    if captions.ndim != 3 or 0 in captions.shape or len(captions) != count or captions.dtype.kind not in "iu":
        raise SourceError(
            f"captions must be whole numbers of shape ({count}, R, T), R for each picture, got {captions.dtype} {captions.shape}"
        )
    if captions.min() < 0 or captions.max() >= words:
        raise SourceError(
            f"captions must be word numbers in 0 … {words - 1}, those of the vocabulary, got {captions.min()} … {captions.max()}"
        )
    # Up to and with the first END no PAD and no START, after it nothing but PAD.
    ended = (captions == END).cumsum(axis=-1) > 0
    after = np.zeros_like(ended)
    after[..., 1:] = ended[..., :-1]
    wrong = (~ended[..., -1:] | ((captions == PAD) != after) | (captions == START)).any(axis=-1)
    if wrong.any():
        picture, reference = np.argwhere(wrong)[0]
        raise SourceError(
            f"a caption is words, then END ({END}), then nothing but PAD ({PAD}); caption {reference} of picture {picture} is "
            f"{captions[picture, reference].tolist()}"
        )

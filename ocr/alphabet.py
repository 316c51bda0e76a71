"""Words as numbers: `END`, which also stands before the first character, and one for each character of the alphabet."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from ocr.config import ALPHABET

END = 0
START = END
CHARACTERS = len(ALPHABET) + 1
"""C, the numbers that there are."""
PAD = CHARACTERS
"""What follows the end of a word that is shorter than others beside it; it is never read or written."""
_NUMBERS = {character: number for number, character in enumerate(ALPHABET, 1)}


def spell(text: str) -> str:
    """Give what can be read of a text: its letters and digits, small; the rest is left out, as the benchmarks do."""
    return "".join(character for character in text.lower() if character in _NUMBERS)


def encode(words: Sequence[str]) -> Tensor:
    """Give words as numbers, (B, T + 2): the start, the characters, the end, then `PAD`.

    Raises:
        KeyError: if a character is none of the alphabet's; see `spell`.
    """
    numbers = torch.full((len(words), max(map(len, words), default=0) + 2), PAD)
    for row, word in zip(numbers, words, strict=True):
        row[: len(word) + 2] = torch.tensor([START, *(_NUMBERS[character] for character in word), END])
    return numbers


def decode(numbers: Iterable[int]) -> str:
    """Give the word of numbers up to the first `END`, without the start."""
    word = []
    for number in numbers:
        if number == END:
            break
        word.append(ALPHABET[number - 1])
    return "".join(word)

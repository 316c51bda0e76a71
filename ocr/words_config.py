"""Settings of the synthetic words; imports nothing heavy."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class WordConfig:
    """What is written in the crops, and how large they are.

    Shares need not add up to 1; they are divided by their sum.

    Attributes:
        height: of a crop, in pixels.
        width: of a crop, in pixels. Like a reader's input, crops are squeezed to this size whatever their own proportions.
        longest: most letters and digits of a label.
        words: share of English words.
        numbers: share of numbers: years, prices, house numbers, times, telephone numbers.
        names: share of names made up letter by letter, which sound English.
        mixtures: share of letters and digits drawn at random: abbreviations, registration plates.
        upper: share of texts in capitals.
        capitalised: share of texts that begin with a capital.
        lower: share of texts in small letters.
        mixed: share of texts whose letters are each small or capital at random.
        punctuation: probability, within [0, 1], of signs in the picture that are not part of the label.
        display: probability, within [0, 1], of a face of a display family rather than of a text family; see `ocr.fonts.Font`.

    Raises:
        ValueError: if a number is out of its range, or all shares of a kind are 0.
    """

    height: int = 32
    width: int = 100
    longest: int = 23
    words: float = 0.62
    numbers: float = 0.11
    names: float = 0.21
    mixtures: float = 0.06
    upper: float = 0.50
    capitalised: float = 0.26
    lower: float = 0.22
    mixed: float = 0.02
    punctuation: float = 0.08
    display: float = 0.30

    def __post_init__(self) -> None:
        """Check the numbers."""
        for name, least in (("height", 8), ("width", 8), ("longest", 1)):
            if getattr(self, name) < least:
                raise ValueError(f"{name} must be at least {least}, got {getattr(self, name)!r}")
        for shares in (("words", "numbers", "names", "mixtures"), ("upper", "capitalised", "lower", "mixed")):
            for name in shares:
                if not 0 <= getattr(self, name) < math.inf:
                    raise ValueError(f"the share {name} must be a finite number of at least 0, got {getattr(self, name)!r}")
            if not any(getattr(self, name) for name in shares):
                raise ValueError(f"one of the shares {', '.join(shares)} must be above 0")
        for name in ("punctuation", "display"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} must be within [0, 1], got {getattr(self, name)!r}")

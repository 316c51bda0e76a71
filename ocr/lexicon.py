"""Reading with a lexicon: the word of a list that is nearest to what was read, or that the reader finds likeliest."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from rapidfuzz.distance import Levenshtein
from rich.console import Console
from rich.progress import track
from torch import Tensor

from ocr.alphabet import encode
from ocr.reader import Reader
from ocr.reading import as_input

AT_ONCE = 4096
"""Words that are weighed at once."""


def nearest(word: str, lexicon: Sequence[str]) -> str:
    """Find the word of a lexicon from which the fewest characters must be put in, taken out or exchanged; of equals the first.

    Raises:
        ValueError: if the lexicon is empty.
    """
    if not lexicon:
        raise ValueError("a lexicon must hold at least one word")
    best, least = lexicon[0], len(word) + max(map(len, lexicon))
    for candidate in lexicon:
        distance = Levenshtein.distance(word, candidate, score_cutoff=least)
        if distance < least:
            best, least = candidate, distance
    return best


@torch.no_grad()
def log_likelihoods(reader: Reader, crop: Tensor, lexicon: Sequence[str]) -> Tensor:
    """Weigh every word of a lexicon: log p(word | crop), (n,).

    Args:
        reader: in evaluation mode.
        crop: (1, 1, H, W) in [-1, 1].
        lexicon: n words of the alphabet's characters.
    """
    seen = reader.see(crop)
    weighed = []
    for first in range(0, len(lexicon), AT_ONCE):
        words = encode(lexicon[first : first + AT_ONCE]).to(crop.device)
        told = reader.told(seen, words, torch.zeros(len(words), dtype=torch.long, device=crop.device))
        errors = F.cross_entropy(told.scores, told.characters, reduction="none")
        weighed.append(torch.zeros(len(words), device=crop.device).index_add_(0, told.word, -errors))
    return torch.cat(weighed)


def likeliest(reader: Reader, pictures: NDArray[np.uint8], lexicons: Sequence[Sequence[str]], device: torch.device) -> list[str]:
    """Find for each crop, (n, H, W), the word of its lexicon that the reader finds likeliest.

    Raises:
        ValueError: if a lexicon is empty, or there are not as many of them as crops.
    """
    if len(lexicons) != len(pictures):
        raise ValueError(f"one lexicon belongs to each crop, got {len(lexicons)} and {len(pictures)}")
    if not all(lexicons):
        raise ValueError("a lexicon must hold at least one word")
    words, shown = [], Console(stderr=True)
    for picture, lexicon in track(list(zip(pictures, lexicons, strict=True)), "weighing lexicons", console=shown, transient=True):
        weighed = log_likelihoods(reader, as_input(picture[None], device), lexicon)
        words.append(lexicon[int(weighed.argmax())])
    return words

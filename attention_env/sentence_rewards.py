"""Scores of whole sentences as rewards: CIDEr-D, BLEU-4 that is smoothed, and both together.

Sentences and references are lists of word numbers, or of anything else that can be compared: what is in them counts. To have a
learner end its sentences well, let `END` stand in both.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

ORDER = 4
"""Words of the longest sequences that are compared."""
DEVIATION = 6.0
"""σ of the length penalty of CIDEr-D, in words."""

Sentence = Sequence[int]
Gram = tuple[int, ...]


class SentenceReward(Protocol):
    """What scores sentences."""

    def score(self, sentences: Sequence[Sentence], references: Sequence[Sequence[Sentence]]) -> NDArray[np.float64]:
        """Score sentences, each against references of its own: (n,)."""


class Cider:
    """CIDEr-D of single sentences (Vedantam et al. 2015, arXiv 1411.5726, section 5), in [0, 10].

    Sequences of one to four words are weighed by how often they occur, times the logarithm of how rare they are: of all pictures
    over those whose references hold them. The cosine of sentence and reference, with each weight of the sentence cut down to that
    of the reference, times exp(-(difference of lengths)² / 2σ²) with σ = 6, is averaged over references and over the four lengths
    of sequences, times 10.

    Args:
        captions: for each picture its references; from these comes how rare a sequence is. The score of a result takes those that
            it is compared with, as `pycocoevalcap` does; a reward in training takes the training split's.

    Raises:
        ValueError: if there are no captions.
    """

    def __init__(self, captions: Iterable[Sequence[Sentence]]) -> None:
        count, pictures = 0, Counter[Gram]()
        for references in captions:
            count += 1
            pictures.update({gram for reference in references for gram in _grams(reference)})
        if not count:
            raise ValueError("CIDEr needs captions to learn from how rare words are, got none")
        self._rarest = math.log(count)
        self._rarity = {gram: self._rarest - math.log(frequency) for gram, frequency in pictures.items()}

    def score(self, sentences: Sequence[Sentence], references: Sequence[Sequence[Sentence]]) -> NDArray[np.float64]:
        """Score sentences, each against references of its own: (n,) in [0, 10]."""
        weighed: dict[Gram, _Weights] = {}  # rows of a batch often share their references

        def weigh(sentence: Sentence) -> _Weights:
            key = tuple(sentence)
            if key not in weighed:
                weighed[key] = self._weigh(key)
            return weighed[key]

        scores = [
            np.mean([_similarity(weigh(sentence), weigh(reference)) for reference in own])
            for sentence, own in zip(sentences, references, strict=True)
        ]
        return np.array(scores, np.float64) * 10

    def _weigh(self, sentence: Gram) -> _Weights:
        weights: list[dict[Gram, float]] = [{} for _ in range(ORDER)]
        for gram, count in _grams(sentence).items():
            weights[len(gram) - 1][gram] = count * self._rarity.get(gram, self._rarest)
        return _Weights(weights, len(sentence))


class _Weights:
    """A sentence as four vectors, one for each length of sequences."""

    def __init__(self, weights: list[dict[Gram, float]], words: int) -> None:
        self.weights = weights
        self.norms = [math.sqrt(sum(weight**2 for weight in order.values())) for order in weights]
        self.length = max(words - 1, 0)  # in pairs of words, as pycocoevalcap has it


def _similarity(sentence: _Weights, reference: _Weights) -> float:
    penalty = math.exp(-((sentence.length - reference.length) ** 2) / (2 * DEVIATION**2))
    total = 0.0
    for order in range(ORDER):
        norm, theirs = sentence.norms[order] * reference.norms[order], reference.weights[order]
        if norm:
            common = (
                min(weight, theirs[gram]) * theirs[gram] for gram, weight in sentence.weights[order].items() if gram in theirs
            )
            total += sum(common) / norm
    return penalty * total / ORDER


class Bleu:
    """BLEU-4 of single sentences (Papineni et al. 2002), smoothed as in Lin and Och 2004 (ORANGE), in [0, 1].

    The geometric mean of the precisions of sequences of one to four words, times the brevity penalty to the reference whose length
    is closest (of equally close ones the shorter). One sentence seldom has a sequence of four in common with its references, and
    BLEU would be 0: for sequences of two words and more, one is added to what they have in common and to how many there are.
    """

    def score(self, sentences: Sequence[Sentence], references: Sequence[Sequence[Sentence]]) -> NDArray[np.float64]:
        """Score sentences, each against references of its own: (n,) in [0, 1]."""
        return np.array([_bleu(sentence, own) for sentence, own in zip(sentences, references, strict=True)], np.float64)


class CiderBleu:
    """CIDEr-D and four times BLEU-4, in [0, 14]: what learns from one of them alone gains little in the other.

    Args:
        cider: which knows how rare words are.
    """

    BLEU_WEIGHT = 4.0  # CIDEr-D has ten times the range and would drown it; no other weight was tried

    def __init__(self, cider: Cider) -> None:
        self._cider, self._bleu = cider, Bleu()

    def score(self, sentences: Sequence[Sentence], references: Sequence[Sequence[Sentence]]) -> NDArray[np.float64]:
        """Score sentences, each against references of its own: (n,) in [0, 14]."""
        return self._cider.score(sentences, references) + self.BLEU_WEIGHT * self._bleu.score(sentences, references)


def _bleu(sentence: Sentence, references: Sequence[Sentence]) -> float:
    grams, most = _grams(sentence), Counter[Gram]()
    for reference in references:
        most |= _grams(reference)
    common, count = [0] * ORDER, [max(len(sentence) - order, 0) for order in range(ORDER)]
    for gram, times in (grams & most).items():
        common[len(gram) - 1] += times
    if not common[0]:
        return 0.0
    precisions = [common[0] / count[0], *((right + 1) / (of + 1) for right, of in zip(common[1:], count[1:], strict=True))]
    closest = min((abs(len(reference) - len(sentence)), len(reference)) for reference in references)[1]
    return min(1.0, math.exp(1 - closest / len(sentence))) * math.prod(precisions) ** (1 / ORDER)


def _grams(sentence: Sentence) -> Counter[Gram]:
    """Count a sentence's sequences of one to four words."""
    words = tuple(sentence)
    return Counter(words[start : start + order] for order in range(1, ORDER + 1) for start in range(len(words) - order + 1))

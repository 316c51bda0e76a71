"""Scores of sentences agree with the formulas, and CIDEr-D with pycocoevalcap's."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from attention_env.sentence_rewards import Bleu, Cider, CiderBleu

Sentences = list[list[int]]


def corpus(seed: int, pictures: int = 30) -> tuple[Sentences, list[Sentences]]:
    """Draw sentences and five references for each, of few words, so that much recurs; some sentences are copied, one is empty."""
    generator = np.random.default_rng(seed)

    def sentence() -> list[int]:
        return (generator.zipf(1.5, generator.integers(1, 12)) % 9).tolist()

    references = [[sentence() for _ in range(5)] for _ in range(pictures)]
    sentences = [own[0] if picture % 3 == 0 else sentence() for picture, own in enumerate(references)]
    sentences[1] = []
    return sentences, references


@pytest.mark.parametrize("seed", range(3))
def test_cider_is_pycocoevalcaps_where_the_corpus_is_the_same(seed: int) -> None:
    scorer: Any = pytest.importorskip("pycocoevalcap.cider.cider_scorer").CiderScorer(n=4, sigma=6.0)
    sentences, references = corpus(seed)

    def text(sentence: list[int]) -> str:
        return " ".join(map(str, sentence))

    for sentence, own in zip(sentences, references, strict=True):
        scorer += (text(sentence), [text(reference) for reference in own])
    _, expected = scorer.compute_score()
    scores = Cider(references).score(sentences, references)
    assert scores.dtype == np.float64
    np.testing.assert_allclose(scores, expected, rtol=1e-10)
    assert scores[1] == 0
    assert 0 < scores[0] < scores.max() < 10


def test_how_rare_a_word_is_comes_from_the_captions_given_first() -> None:
    common, rare, unknown = 4, 5, 6
    cider = Cider([[[common]], [[common], [rare]], [[common]]])
    # "rare" is all that weighs in the reference, and half of what the sentence says of it counts; "common" weighs nothing, and the
    # unknown word is not in the reference.
    for word, expected in ((common, 0.0), (rare, 10 / 4 / 2), (unknown, 0.0)):
        assert cider.score([[word, word]], [[[common, rare]]])[0] == pytest.approx(expected)
    # Here the unknown word is in both, and is all that weighs of single words; the pairs differ.
    assert cider.score([[common, unknown]], [[[unknown, common]]])[0] == pytest.approx(10 / 4)


def test_what_is_said_again_and_again_does_not_pay() -> None:
    cider = Cider([[[4, 5, 6]], [[7, 8]]])
    once, thrice = cider.score([[4, 5, 6], [4, 5, 6] * 3], [[[4, 5, 6]]] * 2)
    assert once == pytest.approx(7.5)  # no sequence of four
    assert thrice < once / 2


def test_a_length_that_differs_costs() -> None:
    cider = Cider([[[4]], [[5]]])
    short, long = cider.score([[4, 5], [4, 5]], [[[4, 5]], [[4, 5, 4, 5]]])
    assert short == pytest.approx(10 * 2 / 4)  # words and pairs are right, and there are no longer sequences
    # Single words have the same direction. Of pairs, all of one weight w, the reference has (4, 5) twice and (5, 4) once:
    # min(w, 2w) · 2w / (w · √5 w). The lengths differ by two.
    assert long == pytest.approx(10 * math.exp(-(2**2) / (2 * 6**2)) * (1 + 2 / math.sqrt(5)) / 4)


def test_cider_without_captions_is_refused() -> None:
    with pytest.raises(ValueError, match="CIDEr needs captions"):
        Cider([])


def test_both_together_are_cider_and_four_times_bleu() -> None:
    sentences, references = corpus(0)
    cider = Cider(references)
    expected = [cider.score([one], [own])[0] + 4 * bleu(one, *own) for one, own in zip(sentences, references, strict=True)]
    np.testing.assert_allclose(CiderBleu(cider).score(sentences, references), expected, rtol=1e-12)
    assert max(expected) > 4  # a sentence that is one of its references


def bleu(sentence: list[int], *references: list[int]) -> float:
    return float(Bleu().score([sentence], [list(references)])[0])


def test_bleu_of_a_reference_is_one_however_short() -> None:
    for length in range(1, 7):
        assert bleu(list(range(length)), [9, 9], list(range(length))) == pytest.approx(1)


def test_bleu_of_nothing_in_common_is_zero() -> None:
    assert bleu([], [1, 2]) == 0
    assert bleu([3, 4], [1, 2]) == 0


def test_bleu_is_the_smoothed_formula() -> None:
    # Words: 4 of 5 (the second 1 is clipped); pairs 12, 23: 2 of 4, and one more of both; triples 123: 1 of 3; fours 0 of 2.
    precisions = 4 / 5 * (2 + 1) / (4 + 1) * (1 + 1) / (3 + 1) * (0 + 1) / (2 + 1)
    assert bleu([1, 2, 3, 5, 1], [1, 2, 3, 4, 5, 6], [8]) == pytest.approx(precisions**0.25 * math.exp(1 - 6 / 5))


def test_bleu_clips_by_the_reference_that_has_most_and_takes_the_closest_length() -> None:
    one = bleu([1, 1, 2], [1, 3, 3], [1, 1, 4, 4])
    assert one == pytest.approx((2 / 3 * 2 / 3 * 1 / 2 * 1) ** 0.25)  # of 3 words, and 3 is the closest length: no penalty
    assert bleu([1, 1, 2], [1, 1, 3, 3]) == pytest.approx(one * math.exp(1 - 4 / 3))
    assert bleu([1, 1, 2], [1, 1], [1, 1, 3, 3]) == pytest.approx(one)  # 2 and 4 are equally close: the shorter counts

"""Soft and hard attention against loops, and the estimator of the hard one against enumeration."""

from __future__ import annotations

import math

import pytest
import torch

from attention_core.attention import Attention
from attention_core.policy_gradient import gumbel_noise
from captioning.attention import hard, soft

BATCH, PLACES, NUMBERS = 5, 7, 3


@pytest.fixture
def annotations() -> torch.Tensor:
    return torch.randn(BATCH, PLACES, NUMBERS, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def scores() -> torch.Tensor:
    return torch.randn(BATCH, PLACES, generator=torch.Generator().manual_seed(1), requires_grad=True)


def test_scores_are_those_of_the_formula() -> None:
    torch.manual_seed(0)
    attention = Attention(NUMBERS, 4, 6)
    seen, hidden = torch.randn(BATCH, PLACES, NUMBERS), torch.randn(BATCH, 4)
    scores = attention(attention.keys(seen), hidden).tolist()
    w_a, b, w_h, v = (
        attention.of_annotation.weight,
        attention.of_annotation.bias,
        attention.of_hidden.weight,
        attention.score.weight[0],
    )
    for row in range(BATCH):
        for place in range(PLACES):
            expected = v @ torch.tanh(w_a @ seen[row, place] + b + w_h @ hidden[row])
            assert math.isclose(scores[row][place], expected.item(), abs_tol=1e-5)


def test_soft_attention_is_a_weighted_sum(annotations: torch.Tensor, scores: torch.Tensor) -> None:
    looked = soft(annotations, scores)
    for row in range(BATCH):
        total = sum(math.exp(score) for score in scores[row].tolist())
        weights = [math.exp(score) / total for score in scores[row].tolist()]
        assert looked.weights[row].tolist() == pytest.approx(weights, abs=1e-6)
        expected = sum(weight * vector for weight, vector in zip(weights, annotations[row], strict=True))
        assert looked.context[row].tolist() == pytest.approx(expected.tolist(), abs=1e-5)
    assert looked.place.tolist() == scores.argmax(1).tolist()
    assert torch.allclose(looked.log_weights.exp(), looked.weights)


def test_hard_attention_gives_the_annotation_of_the_place(annotations: torch.Tensor, scores: torch.Tensor) -> None:
    noise = gumbel_noise((BATCH, PLACES), torch.Generator().manual_seed(2), torch.device("cpu"))
    looked = hard(annotations, scores, noise)
    for row in range(BATCH):
        assert int(looked.place[row]) == int((scores[row] + noise[row]).argmax())
        assert torch.equal(looked.context[row], annotations[row, looked.place[row]])


def test_hard_attention_without_chance_looks_at_the_likeliest_place(annotations: torch.Tensor, scores: torch.Tensor) -> None:
    assert hard(annotations, scores).place.tolist() == scores.argmax(1).tolist()


def test_places_are_drawn_as_often_as_they_are_likely(annotations: torch.Tensor, scores: torch.Tensor) -> None:
    count = 40_000
    noise = gumbel_noise((count, PLACES), torch.Generator().manual_seed(3), torch.device("cpu"))
    looked = hard(annotations[:1].expand(count, -1, -1), scores[:1].expand(count, -1), noise)
    frequencies = torch.bincount(looked.place, minlength=PLACES) / count
    assert torch.allclose(frequencies, scores[0].softmax(0), atol=0.01)


def test_no_gradient_goes_through_the_choice_of_a_place(annotations: torch.Tensor, scores: torch.Tensor) -> None:
    seen = annotations.requires_grad_()
    looked = hard(seen, scores, torch.zeros(BATCH, PLACES))
    looked.context.sum().backward(retain_graph=True)
    assert scores.grad is None or not scores.grad.any()
    looked.log_weights[torch.arange(BATCH), looked.place].sum().backward()
    assert scores.grad is not None
    assert scores.grad.any()


def test_some_captions_see_the_expectation_instead(annotations: torch.Tensor, scores: torch.Tensor) -> None:
    everywhere = torch.tensor([True, False, True, False, False])
    looked = hard(annotations, scores, torch.zeros(BATCH, PLACES), everywhere)
    expected = soft(annotations, scores).context
    for row in range(BATCH):
        wanted = expected[row] if everywhere[row] else annotations[row, looked.place[row]]
        assert torch.allclose(looked.context[row], wanted)
    looked.context.sum().backward()
    assert scores.grad is not None
    assert scores.grad.any(1).tolist() == everywhere.tolist()


@pytest.mark.parametrize("several", [2, 3])
def test_captions_of_one_picture_share_its_annotations(annotations: torch.Tensor, several: int) -> None:
    torch.manual_seed(0)
    attention = Attention(NUMBERS, 4, 6)
    keys, hidden = attention.keys(annotations), torch.randn(BATCH * several, 4)
    rows = torch.arange(BATCH).repeat_interleave(several)
    shared, apart = attention(keys, hidden), attention(keys[rows], hidden)
    assert torch.allclose(shared, apart, atol=1e-6)
    noise = gumbel_noise(tuple(shared.shape), torch.Generator().manual_seed(4), torch.device("cpu"))
    for looked, wanted in (
        (soft(annotations, shared), soft(annotations[rows], apart)),
        (hard(annotations, shared, noise), hard(annotations[rows], apart, noise)),
    ):
        assert torch.equal(looked.place, wanted.place)
        assert torch.allclose(looked.context, wanted.context, atol=1e-6)

"""Learning from whole translations: what is drawn, what it is worth, and the estimator by hand and against enumeration."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import torch
from small_transformer import LINES, make_model, make_sources
from torch import Tensor

from attention_core.config import TrainingConfig
from attention_core.training import make_accelerator
from transformer.config import TransformerConfig
from transformer.evaluate import sentence_bleu
from transformer.reinforce import RewardLearner
from transformer.translating import draw
from transformer.vocabulary import END, PAD, START

FEW = TrainingConfig(updates=6, warmup=2, log_every=2, validate_every=2)


@pytest.fixture
def config(tmp_path: Path) -> TransformerConfig:
    """Settings for a handful of sentences, to be written as they are."""
    (tmp_path / "pairs.tsv").write_text("\n".join(f"{line}\t{line}" for line in LINES), encoding="utf-8")
    file = (str(tmp_path / "pairs.tsv"),)
    return TransformerConfig(
        data="files",
        train_files=file,
        validation_files=file,
        vocabulary=300,
        tokens=180,
        longest=90,
        dropout=0.0,
        norm_first=True,
        reward="bleu",
        samples=4,
        temperature=0.7,
        training=FEW,
    )


def make_learner(config: TransformerConfig) -> RewardLearner:
    """Make one whose model has its preferences."""
    learner = RewardLearner(config, make_accelerator(FEW))
    with torch.no_grad():
        learner.released(learner.module).embedding.weight.mul_(3)
    return learner


# What is drawn ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("temperature", [1.0, 0.5])
def test_tokens_are_drawn_by_their_scores_over_the_temperature(temperature: float) -> None:
    model, source, samples = make_model(), make_sources(2), 8_000
    longest, chance = torch.tensor([2, 2]), torch.Generator().manual_seed(0)
    drawn = draw(model, source, longest, samples, temperature, chance).view(2, samples, 2)
    memory = model.encode(source)
    scores, state = model.advance(torch.full((2,), START), model.begin(2), memory)
    for row in range(2):
        scores[row, PAD] = -torch.inf
        likely = (scores[row] / temperature).softmax(0)
        found = torch.bincount(drawn[row, :, 0], minlength=len(likely)) / samples
        assert torch.allclose(found, likely, atol=0.02)
        assert (drawn[row, drawn[row, :, 0] == END, 1] == PAD).all()
        assert (drawn[row, drawn[row, :, 0] != END, 1] != PAD).all()
    first = int(scores[0, END + 1 :].argmax()) + END + 1
    after = drawn[0, drawn[0, :, 0] == first, 1]
    scores, _ = model.advance(torch.full((2,), first), state, memory)
    scores[0, PAD] = -torch.inf
    found = torch.bincount(after, minlength=scores.shape[1]) / len(after)
    assert torch.allclose(found, (scores[0] / temperature).softmax(0), atol=0.05)


def test_a_translation_ends_once_and_is_cut_off_at_its_own_length() -> None:
    model, source = make_model(), make_sources(6)
    longest = torch.tensor([1, 3, 5, 7, 9, 30])
    drawn = draw(model, source, longest, 50, 1.0, torch.Generator().manual_seed(0)).view(6, 50, -1)
    for rows, most in zip(drawn.tolist(), longest.tolist(), strict=True):
        for row in rows:
            length = sum(token != PAD for token in row)
            assert 1 <= length <= most
            assert all(token == PAD for token in row[length:])
            assert END not in row[: length - 1]
            assert length == most or row[length - 1] == END
        assert len({tuple(row) for row in rows}) > 1


# What it is worth -------------------------------------------------------------------------------------------------------


def test_a_sentences_score_is_smoothed_bleu() -> None:
    pairs = [
        ("a b c d", "a b c e"),
        ("a b", "a b c d"),
        ("x y z", "a b c"),
        ("A dog runs.", "A dog runs."),
        ("a b c d d", "a b c d"),
    ]
    found = sentence_bleu(*zip(*pairs, strict=True))
    smoothed = (3 / 4 * (2 + 1) / (3 + 1) * (1 + 1) / (2 + 1) * (0 + 1) / (1 + 1)) ** 0.25
    assert found[0] == pytest.approx(smoothed * math.exp(1 - 5 / 4))  # the reference counts as a word longer
    assert found[1] == pytest.approx(math.exp(1 - 5 / 2))
    assert found[2] == 0
    assert found[3] == pytest.approx(math.exp(1 - 5 / 4))
    assert found[4] == pytest.approx((4 / 5 * (3 + 1) / (4 + 1) * (2 + 1) / (3 + 1) * (1 + 1) / (2 + 1)) ** 0.25)


@pytest.mark.usefixtures("small_size")
def test_translations_are_scored_against_their_own_reference(config: TransformerConfig) -> None:
    learner = make_learner(config)
    source, target, _ = learner.next_batch()
    copies = target[:, 1:].repeat_interleave(config.samples, 0)
    own, anothers = learner._rewards(copies, target), learner._rewards(copies.roll(config.samples, 0), target)
    assert own.min() > 0.9
    assert anothers.max() < 0.8
    assert len(source) > 1


# The estimator ----------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("small_size")
def test_the_loss_is_that_of_each_translation_beside_the_others(config: TransformerConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    """By hand, and one that is drawn twice counts twice."""
    learner = make_learner(dataclasses.replace(config, samples=3))
    source, target, _ = learner.next_batch()
    source, target = source[:2], target[:2]
    rows = [[7, 8, END, PAD], [9, END, PAD, PAD], [7, 8, END, PAD], [5, 6, 7, 8], [END, PAD, PAD, PAD], [9, 9, 9, END]]
    worth = [0.5, 0.1, 0.5, 0.3, 0.0, 0.9]
    weight = 1.25  # as of the one of two processes that has five sentences of eight
    monkeypatch.setattr(learner, "next_batch", lambda: (source, target, weight))
    monkeypatch.setattr(learner, "_rewards", lambda *_: torch.tensor(worth))
    monkeypatch.setattr("transformer.reinforce.draw", lambda *_: torch.tensor(rows))
    loss, metrics = learner.loss(learner.module)
    model = learner.released(learner.module)
    by_hand = 0.0
    for place, row in enumerate(rows):
        about = place // 3
        others = [worth[other] for other in range(3 * about, 3 * about + 3) if other != place]
        memory = model.encode(source[about : about + 1])
        state, before = model.begin(1), START
        for token in row:
            if token != PAD:
                scores, state = model.advance(torch.tensor([before]), state, memory)
                scores[0, PAD] = -torch.inf
                by_hand -= (scores[0] / 0.7).log_softmax(0)[token].item() * (worth[place] - sum(others) / 2) / 6
                before = token
    assert loss.item() == pytest.approx(weight * by_hand, rel=1e-4)
    assert metrics["charts/reward"].item() == pytest.approx(weight * sum(worth) / 6)


@pytest.mark.usefixtures("small_size")
def test_a_process_weighs_as_much_as_it_has_sentences(config: TransformerConfig) -> None:
    learner, sentences, weights = make_learner(config), [], []
    pairs = [([7] * 3, [8] * length) for length in (1, 9, 2, 5, 4)]
    for process in range(2):
        learner.accelerator = cast(Any, SimpleNamespace(process_index=process, num_processes=2))
        learner.batches = cast(Any, SimpleNamespace(take=lambda: pairs))
        source, _, weight = learner.next_batch()
        sentences.append(len(source))
        weights.append(weight)
    assert sentences == [3, 2]
    assert weights == [2 * 3 / 5, 2 * 2 / 5]


@pytest.mark.usefixtures("small_size")
def test_the_estimator_agrees_with_enumeration(config: TransformerConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    """Over all translations of one token: the gradient is that of the expected BLEU."""
    learner = make_learner(dataclasses.replace(config, samples=100_000, temperature=2.0))
    model, (source, target, _) = learner.released(learner.module), learner.next_batch()
    scores, _ = model.advance(torch.tensor([START]), model.begin(1), model.encode(source[:1]))
    worth = torch.rand(scores.shape[1], generator=torch.Generator().manual_seed(1))
    monkeypatch.setattr(learner, "next_batch", lambda: (source[:1], target[:1], 1.0))
    monkeypatch.setattr(learner, "_rewards", lambda drawn, _: worth[drawn[:, 0]])
    monkeypatch.setattr("transformer.reinforce.most_tokens", lambda *_: torch.tensor([1]))
    exact = ((scores[0] / 2)[PAD + 1 :].softmax(0) * worth[PAD + 1 :]).sum()
    loss, metrics = learner.loss(learner.module)
    assert metrics["charts/reward"].item() == pytest.approx(exact.item(), rel=0.02)
    parameters = list(learner.module.parameters())
    right, found = (
        torch.cat([part.flatten() for part in torch.autograd.grad(of, parameters, allow_unused=True, materialize_grads=True)])
        for of in (exact, -loss)
    )
    assert (found - right).norm() < 0.05 * right.norm()


@pytest.mark.usefixtures("small_size")
def test_translations_are_drawn_with_all_units_and_learned_from_without_some(
    config: TransformerConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    learner = make_learner(dataclasses.replace(config, dropout=0.3))
    modes = []

    def watched(model: torch.nn.Module, source: Tensor, *_: object) -> Tensor:
        modes.append(model.training)
        return torch.full((len(source) * config.samples, 1), END)

    monkeypatch.setattr("transformer.reinforce.draw", watched)
    learner.loss(learner.module.train())
    assert modes == [False]
    assert learner.module.training

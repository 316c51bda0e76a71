"""The noise of the attention network's gradient: what of the loss it is of, equal episodes, and what is refused."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from torch import Tensor

from attention_core.config import TrainingConfig
from attention_core.gradient_variance import as_table
from attention_core.training import save_weights
from attention_core.zoo import ModelError
from attention_env.caption_scenes import SceneSource
from captioning import gradient_variance
from captioning.config import BASELINES, CaptionConfig
from captioning.gradient_variance import LookingVariance, measure
from captioning.hard import EpisodeLearner
from captioning.loading import load
from captioning.train import train

CPU = torch.device("cpu")
CONFIG = CaptionConfig(
    attention="hard", annotation_units=6, hidden=8, embedding=6, attention_units=5, batch_size=4, beams=1, entropy_weight=0.3,
    training=TrainingConfig(updates=1, warmup=1, log_every=1, validate_every=1),
)  # fmt: skip
ALONE = dataclasses.replace(CONFIG, dropout=0.0, expected=0.0)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run whose weights are large enough that it matters where it looks."""
    folder = train(CONFIG, tmp_path_factory.mktemp("runs") / "run")
    captioner = load(str(folder.path), CPU)[0]
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in captioner.parameters():
            parameter.normal_(std=0.7)
        # States before the first word are nearly alike: without this so is where is looked.
        captioner.attention.of_annotation.weight.mul_(3)
    save_weights(captioner, folder.model)
    return folder.path


@pytest.fixture
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """The moving average is warmed up for long, which does not matter to these tests."""
    monkeypatch.setattr(gradient_variance, "WARM_UP", 2)


def change(run: Path, place: Path, **settings: Any) -> str:
    """Make a run with other settings and the same weights."""
    place.mkdir()
    (place / "model.safetensors").write_bytes((run / "model.safetensors").read_bytes())
    config = yaml.safe_load((run / "config.yaml").read_text())
    (place / "config.yaml").write_text(yaml.safe_dump({**config, **settings}))
    return str(place)


def make_learner(run: Path, baseline: str, pictures: int, samples: int, seed: int) -> EpisodeLearner:
    return gradient_variance._learner(ALONE, baseline, pictures, samples, seed, load(str(run), CPU)[0])


def gradient(loss: Tensor, learner: EpisodeLearner) -> np.ndarray:
    parts = torch.autograd.grad(loss, list(learner.captioner.attention.parameters()))
    return torch.cat([part.flatten() for part in parts]).numpy()


@pytest.mark.parametrize("baseline", ["none", "self_critical"])
def test_the_gradient_is_that_of_the_training(run: Path, baseline: str) -> None:
    """Where to look is taught by the places' part and by the entropy's, and by nothing else of the loss."""
    ours, trained = (make_learner(run, baseline, 5, 2, seed=3) for _ in range(2))
    weight = CONFIG.entropy_weight
    for row in gradient_variance._gradients(ours, (weight, 0.0, 2 * weight), 2):
        whole = gradient(trained.loss(trained.module)[0], trained)
        assert np.linalg.norm(whole) > 0
        assert np.allclose(row[0], whole, atol=1e-5 * np.abs(whole).max())
        # Of the same episodes: the entropy's part grows with its weight, and the rest stays.
        assert np.allclose(row[2] - row[0], row[0] - row[1], atol=1e-4 * np.abs(whole).max())
        assert np.linalg.norm(row[0] - row[1]) > 0.01 * np.linalg.norm(row[1])


@pytest.fixture(scope="module")
def figures(run: Path) -> list[LookingVariance]:
    return measure(str(run), estimates=40, episodes=24, copies=3, seed=0)


def test_every_estimate_takes_the_same_episodes_with_and_without_the_entropy(figures: list[LookingVariance]) -> None:
    assert [(row.baseline, row.entropy_weight) for row in figures] == [
        (name, weight) for name in BASELINES for weight in (0.0, 0.3)
    ]
    shapes = {row.baseline: (row.pictures, row.samples) for row in figures}
    assert shapes == {"none": (24, 1), "moving_average": (24, 1), "leave_one_out": (8, 3), "self_critical": (8, 2)}


def test_baselines_lower_the_noise(figures: list[LookingVariance]) -> None:
    without = figures[0]
    assert (without.relative, without.relative_error) == (1.0, 0.0)
    for row in figures:
        assert row.variance > 3 * row.error > 0
        assert row.relative == pytest.approx(row.variance / without.variance)
        if row.baseline != "none":
            assert row.relative + 3 * row.relative_error < 1


def test_the_entropy_is_compared_in_the_same_episodes(figures: list[LookingVariance]) -> None:
    without, with_entropy = figures[:2]
    apart = np.hypot(without.error, with_entropy.error) / without.variance
    assert with_entropy.relative != 1
    assert 0 < with_entropy.relative_error < 0.5 * apart


@pytest.mark.usefixtures("soon")
def test_nothing_is_dropped_and_no_expectation_shown(run: Path, tmp_path: Path) -> None:
    assert CONFIG.dropout > 0
    assert CONFIG.expected > 0
    without = measure(change(run, tmp_path / "alone", dropout=0.0, expected=0.0), 3, 8, 2, seed=0)
    assert measure(str(run), 3, 8, 2, seed=0) == without
    assert measure(change(run, tmp_path / "dropped", annotation_dropout=0.5), 3, 8, 2, seed=0) == without


@pytest.mark.usefixtures("soon")
def test_a_captioner_without_the_entropys_term_is_measured_once(run: Path, tmp_path: Path) -> None:
    rows = measure(change(run, tmp_path / "other", entropy_weight=0.0), 3, 8, 2, seed=0)
    assert [(row.baseline, row.entropy_weight) for row in rows] == [(name, 0.0) for name in BASELINES]


def test_table_names_the_entropys_weight(figures: list[LookingVariance]) -> None:
    lines = as_table(figures).splitlines()
    assert lines[0] == "| baseline | entropy weight | pictures × samples | tr Cov | relative to none |"
    assert lines[2].startswith("| none | 0 | 24 × 1 | ")
    assert lines[7].startswith("| leave_one_out | 0.3 | 8 × 3 | ")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"attention": "soft"}, "other has soft attention and learned from likelihood: give a captioner with hard attention"),
        ({"reward": "cider"}, "other has hard attention and learned from cider"),
    ],
)
def test_a_captioner_that_chooses_no_places_or_words_as_well_is_refused(
    run: Path, tmp_path: Path, settings: dict[str, str], message: str
) -> None:
    with pytest.raises(ModelError, match=message):
        measure(change(run, tmp_path / "other", **settings), 3, 8, 2, seed=0)


def test_episodes_that_cannot_be_shared_out_are_refused(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SceneSource, "references", 2)
    with pytest.raises(ValueError, match="multiple of copies times captions of a picture, 3 × 2; got 9"):
        measure(str(run), 3, 9, 3, seed=0)
    with pytest.raises(ValueError, match="at least 2 estimates, got 1"):
        measure(str(run), 1, 8, 2, seed=0)

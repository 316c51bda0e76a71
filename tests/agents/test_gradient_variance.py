"""The noise of the location head's gradient: equal steps, and baselines that change the noise but not the mean."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

from agents import gradient_variance
from agents.config import BASELINES, ReinforceConfig, deviation_at
from agents.gradient_variance import measure
from agents.player import Player
from agents.train import train
from attention_core.gradient_variance import as_table, squared_distances
from attention_core.training import save_weights


@pytest.fixture
def player(player: Player) -> Player:
    """That agent, with a baseline that is about right."""
    with torch.no_grad():
        player.network.baseline_head.weight.mul_(0.1)
        player.network.baseline_head.bias.fill_(0.1)
    return player


@pytest.fixture
def run(config: ReinforceConfig, player: Player, tmp_path: Path) -> Path:
    """A run whose best weights are those of an agent that looks and names by what it sees."""
    folder = train(config, tmp_path / "run")
    save_weights(player.network, folder.model)
    return folder.path


@pytest.fixture
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """The moving average is warmed up for long, which does not matter to these tests."""
    monkeypatch.setattr(gradient_variance, "WARM_UP", 2)


def test_baselines_leave_the_mean_as_it_is(config: ReinforceConfig, player: Player) -> None:
    config = dataclasses.replace(config, final_deviation=config.deviation)
    drawn = {}
    for place, baseline in enumerate(BASELINES):
        learner = gradient_variance._learner(config, baseline, 480, 2, 100 + place, player.network)
        drawn[baseline] = np.stack(list(gradient_variance._gradients(learner, 150)))
    weights = [1 / squared_distances(gradients).mean() for gradients in drawn.values()]
    pooled = np.average([gradients.mean(0) for gradients in drawn.values()], axis=0, weights=weights)
    for gradients in drawn.values():
        # The squared distance of a mean from the truth is the trace of its covariance, on average.
        noise = squared_distances(gradients).mean() / len(gradients)
        assert np.square(gradients.mean(0) - pooled).sum() < 4 * noise
        # And this is enough to tell the gradient from its opposite.
        assert np.square(gradients.mean(0) + pooled).sum() > 4 * noise


def test_every_estimate_takes_the_same_steps_and_baselines_lower_the_noise(run: Path) -> None:
    figures = {row.baseline: row for row in measure(str(run), estimates=60, episodes=60, copies=3, seed=0)}
    assert list(figures) == list(BASELINES)
    shapes = {name: (row.pictures, row.samples) for name, row in figures.items()}
    assert shapes == {
        **dict.fromkeys(("none", "moving_average", "learned"), (60, 1)),
        "leave_one_out": (20, 3),
        "self_critical": (20, 2),
    }
    assert (figures["none"].relative, figures["none"].relative_error) == (1.0, 0.0)
    for row in figures.values():
        assert row.variance > 3 * row.error > 0
        assert row.relative == pytest.approx(row.variance / figures["none"].variance)
    # The one that is measured by greedy episodes pays for them with half of its pictures.
    assert all(figures[name].relative + figures[name].relative_error < 1 for name in ("moving_average", "learned", "leave_one_out"))


@pytest.mark.usefixtures("soon")
def test_more_episodes_make_less_noise_in_proportion(run: Path) -> None:
    few, many = (measure(str(run), estimates=40, episodes=episodes, copies=2, seed=0)[0] for episodes in (20, 80))
    assert few.variance / many.variance == pytest.approx(4, rel=0.3)


@pytest.mark.usefixtures("soon")
def test_deviation_is_that_of_the_checkpoint_or_of_the_end(config: ReinforceConfig, run: Path, tmp_path: Path) -> None:
    config = dataclasses.replace(config, training=dataclasses.replace(config.training, updates=100))
    begun = train(config, tmp_path / "begun", max_seconds=0).path
    (checkpoint,) = (begun / "checkpoint").iterdir()
    assert checkpoint.name == "000000001"
    for reference in (checkpoint, checkpoint / "model.safetensors"):
        assert gradient_variance._deviation(str(reference), config) == deviation_at(config, 1) > config.final_deviation
    assert len(measure(str(checkpoint), estimates=2, episodes=4, copies=2, seed=0)) == len(BASELINES)
    # A comparison names the runs of its seeds by their numbers.
    assert gradient_variance._deviation(str(run.rename(run.with_name("1"))), config) == config.final_deviation


@pytest.mark.usefixtures("soon")
def test_of_a_model_that_learned_from_a_trace_whole_returns_are_measured(config: ReinforceConfig, tmp_path: Path) -> None:
    run = train(dataclasses.replace(config, trace=0.5), tmp_path / "traced").path
    found = measure(str(run), estimates=3, episodes=8, copies=2, seed=0)
    settings = run / "config.yaml"
    settings.write_text(settings.read_text().replace("trace: 0.5", "trace: 1.0"))
    assert measure(str(run), estimates=3, episodes=8, copies=2, seed=0) == found


@pytest.mark.usefixtures("soon")
def test_table_has_a_row_for_every_baseline(run: Path) -> None:
    lines = as_table(measure(str(run), estimates=3, episodes=8, copies=2, seed=0)).splitlines()
    assert [line.split(" | ")[0].strip("| ") for line in lines[2:]] == list(BASELINES)
    assert lines[2].endswith("| 1.000 ± 0.000 |")
    assert "| 4 × 2 |" in lines[5]


def test_impossible_numbers_are_refused(run: Path) -> None:
    with pytest.raises(ValueError, match=r"episodes must be a multiple of copies, .* got episodes=9, copies=2"):
        measure(str(run), estimates=3, episodes=9, copies=2, seed=0)


def test_agent_that_does_not_look_is_refused(config: ReinforceConfig, tmp_path: Path) -> None:
    run = train(dataclasses.replace(config, env_kwargs={"glimpses": 1}), tmp_path / "run").path
    with pytest.raises(ValueError, match="no location is chosen here"):
        measure(str(run), estimates=2, episodes=4, copies=2, seed=0)

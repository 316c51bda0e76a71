"""Scores against a loop by hand over the single environment, one picture after the other."""

from __future__ import annotations

import dataclasses
import json

import gymnasium as gym
import numpy as np
import pytest
import torch
from small_agent import CPU

from agents import evaluate
from agents.config import ReinforceConfig
from agents.evaluate import Score, report, score
from agents.player import Player
from attention_core.statistics import wilson_interval


def by_hand(player: Player, config: ReinforceConfig, split: str, pictures: range) -> list[bool]:
    """Which pictures the agent names rightly, played one by one in the NumPy environment."""
    environment = gym.make(config.env, split=split, **config.env_kwargs)
    right = []
    for index in pictures:
        observation, _ = environment.reset(options={"index": index})
        state, ended, step = None, False, 0
        while not ended:
            with torch.no_grad():
                state = player.network(
                    torch.from_numpy(observation["glimpse"])[None], torch.from_numpy(observation["location"])[None], state
                )
                location = player.network.location_mean(state, step)[0].numpy().clip(-1, 1)
                label = int(player.network.class_scores(state).argmax())
            observation, reward, ended, _, info = environment.step({"location": location, "label": label})
            step += 1
        assert info["is_success"] == (reward == 1.0)
        right.append(info["is_success"])
    environment.close()
    return right


def test_error_rate_is_that_of_a_loop_by_hand(player: Player, config: ReinforceConfig) -> None:
    right = by_hand(player, config, "validation", range(180))
    result = score(player, config, "validation", CPU)
    assert 0 < sum(right) < 180
    assert result.examples == 180
    assert result.errors == 180 - sum(right)
    assert result.error_rate == result.errors / 180
    assert result.interval == wilson_interval(result.errors, 180)


def test_error_rate_is_that_of_the_task_that_the_settings_describe(player: Player, config: ReinforceConfig) -> None:
    config = dataclasses.replace(config, env_kwargs={"glimpses": 2, "moves": "relative", "start": [0.5, 0.5]})
    right = by_hand(player, config, "validation", range(180))
    assert score(player, config, "validation", CPU).errors == 180 - sum(right)


@pytest.mark.parametrize(("split", "count"), [("train", 1257), ("validation", 180), ("test", 360)])
def test_every_picture_of_the_split_is_shown_once(
    player: Player, config: ReinforceConfig, split: str, count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown: list[int] = []
    play = Player.forward

    def watched(self: Player, environment: object, options: dict[str, np.ndarray], noise: object) -> object:
        shown.extend(options["index"].tolist())
        return play(self, environment, options, noise)

    monkeypatch.setattr(Player, "forward", watched)
    assert score(player, config, split, CPU).examples == count
    assert sorted(shown) == list(range(count))


@pytest.mark.parametrize("chunk", [1, 49, 60, 180, 500])
def test_score_does_not_depend_on_the_chunks(
    player: Player, config: ReinforceConfig, chunk: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = dataclasses.replace(config, env_kwargs={"glimpses": 2})
    whole = score(player, config, "validation", CPU)
    monkeypatch.setattr(evaluate, "CHUNK", chunk)
    assert score(player, config, "validation", CPU) == whole


def test_training_settings_do_not_reach_an_evaluation(player: Player, config: ReinforceConfig) -> None:
    distorted = dataclasses.replace(config, training_kwargs={"distortion": {"rotation": 90, "shift": 0.5}})
    assert score(player, distorted, "validation", CPU) == score(player, config, "validation", CPU)


def test_sampled_locations_are_reproducible_and_another_figure(player: Player, config: ReinforceConfig) -> None:
    mean = score(player, config, "validation", CPU)
    sampled = [score(player, config, "validation", CPU, deviation=0.5, seed=seed) for seed in (0, 0, 1)]
    assert sampled[0] == sampled[1]
    assert len({mean.errors, sampled[0].errors, sampled[2].errors}) > 1


def test_coverage_tells_a_corner_from_the_whole_picture(player: Player, config: ReinforceConfig) -> None:
    with torch.no_grad():
        player.network.location_head.weight.zero_()
        player.network.scan.fill_(-20.0)
    assert score(player, config, "validation", CPU).coverage == 1 / 64
    assert score(player, config, "validation", CPU, deviation=50.0).coverage == 4 / 64  # the samples clip to the corners
    with torch.no_grad():
        player.network.scan.zero_()
    assert score(player, config, "validation", CPU, deviation=0.6).coverage > 0.8


def test_coverage_of_an_agent_that_never_looks_is_nothing(player: Player, config: ReinforceConfig) -> None:
    assert score(player, dataclasses.replace(config, env_kwargs={"glimpses": 1}), "validation", CPU).coverage == 0


def test_report_is_one_complete_json_object(player: Player, config: ReinforceConfig) -> None:
    figures = json.loads(json.dumps(report(player, config, "small", "validation", CPU)))
    result = score(player, config, "validation", CPU)
    assert figures == {
        "model": "small",
        "metric": "error_rate",
        "value": result.error_rate,
        "interval": pytest.approx(result.interval, abs=1e-6),
        "examples": 180,
        "split": "validation",
        "env": config.env,
        "locations": "mean",
        "location_coverage": result.coverage,
    }


def test_report_of_several_runs_keeps_the_mean_figure_apart(player: Player, config: ReinforceConfig) -> None:
    figures = report(player, config, "small", "validation", CPU, runs=3)
    sampled = [score(player, config, "validation", CPU, config.final_deviation, seed).error_rate for seed in range(3)]
    assert figures["value"] == score(player, config, "validation", CPU).error_rate
    assert figures["value_sampled"] == pytest.approx(np.mean(sampled))
    assert figures["runs_sampled"] == 3


def test_error_rate_is_a_fraction_of_the_examples() -> None:
    result = Score(errors=3, examples=60, coverage=0.5)
    assert result.error_rate == 0.05
    assert result.interval[0] < 0.05 < result.interval[1]

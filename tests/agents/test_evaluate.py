"""Scores against a loop by hand over the single environment, one picture after the other."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from small_agent import CPU

from agents import evaluate
from agents.config import ReinforceConfig
from agents.evaluate import Score, report, score
from agents.looking import pose
from agents.player import Noise, Player
from attention_core.statistics import wilson_interval
from attention_env.batch import make_split

MakePlayer = Callable[[ReinforceConfig], Player]


def by_hand(player: Player, config: ReinforceConfig, split: str, pictures: range) -> list[tuple[bool, int]]:
    """Which pictures the agent names rightly, by how many glimpses, played one by one in the NumPy environment."""
    environment, network = gym.make(config.env, split=split, **config.env_kwargs), player.network
    played = []
    for index in pictures:
        observation, _ = environment.reset(options={"index": index})
        state, ended, step = None, False, 0
        while not ended:
            seen = {name: torch.from_numpy(part)[None] for name, part in observation.items()}
            with torch.no_grad():
                state = network(seen["glimpse"], pose(seen), state)
                head = network.location_mean(state, seen["glimpse"], step)[0].numpy()
                action: Any = {"location": head[:2].clip(-1, 1), "label": int(network.class_scores(state).argmax())}
                if "zoom" in config.env_kwargs:
                    action["zoom"] = head[2:3].clip(-1, 1)
                if "stop" in config.env_kwargs:
                    action["stop"] = int(network.stop_score(state) > 0)
            if "grid" in config.env_kwargs:
                action = [int(head.argmax()), action["label"]]
            observation, reward, ended, _, info = environment.step(action)
            step += 1
        assert info["is_success"] == (reward == 1.0)
        played.append((info["is_success"], step))
    environment.close()
    return played


def test_error_rate_is_that_of_a_loop_by_hand(player: Player, config: ReinforceConfig) -> None:
    right = sum(success for success, _ in by_hand(player, config, "validation", range(180)))
    result = score(player, config, "validation", CPU)
    assert 0 < right < 180
    assert result.examples == 180
    assert result.glimpses == 6
    assert result.errors == 180 - right
    assert result.error_rate == result.errors / 180
    assert result.interval == wilson_interval(result.errors, 180)


@pytest.mark.parametrize(
    "task",
    [
        {"glimpses": 2, "moves": "relative", "start": [0.5, 0.5]},
        {"action_format": "grid", "grid": 3},
        {"stop": True, "zoom": True, "glimpses": 4},
    ],
    ids=str,
)
def test_score_is_that_of_the_task_that_the_settings_describe(
    config: ReinforceConfig, make_player: MakePlayer, task: dict[str, Any]
) -> None:
    config = dataclasses.replace(config, env_kwargs=task)
    player = make_player(config)
    right, steps = zip(*by_hand(player, config, "validation", range(180)), strict=True)
    found = score(player, config, "validation", CPU)
    assert found.errors == 180 - sum(right)
    assert found.glimpses == sum(steps) / 180
    assert (len(set(steps)) > 1) == ("stop" in task)


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
    config = dataclasses.replace(config, final_deviation=0.5)
    mean = score(player, config, "validation", CPU)
    sampled = [score(player, config, "validation", CPU, sampled=True, seed=seed) for seed in (0, 0, 1)]
    assert sampled[0] == sampled[1]
    assert len({mean.errors, sampled[0].errors, sampled[2].errors}) > 1


@pytest.mark.parametrize("kwargs", [{"rule": "pure"}, {"env_kwargs": {"stop": True}}], ids=str)
def test_sampled_are_classes_and_stops_too_where_they_were_in_training(
    config: ReinforceConfig, make_player: MakePlayer, kwargs: dict[str, Any]
) -> None:
    config = dataclasses.replace(config, final_deviation=1e-9, **kwargs)
    player = make_player(config)
    likeliest, sampled = (score(player, config, "validation", CPU, sampled=sampled) for sampled in (False, True))
    assert (likeliest.errors, likeliest.glimpses) != (sampled.errors, sampled.glimpses)


def test_coverage_tells_a_corner_from_the_whole_picture(player: Player, config: ReinforceConfig) -> None:
    def sampled(deviation: float) -> Score:
        return score(player, dataclasses.replace(config, final_deviation=deviation), "validation", CPU, sampled=True)

    with torch.no_grad():
        player.network.location_head.weight.zero_()
        player.network.scan.fill_(-20.0)
    assert score(player, config, "validation", CPU).coverage == 1 / 64
    assert sampled(50.0).coverage == 4 / 64  # the samples clip to the corners
    with torch.no_grad():
        player.network.scan.zero_()
    assert sampled(0.6).coverage > 0.8


def test_coverage_counts_no_place_after_an_early_end(config: ReinforceConfig, make_player: MakePlayer) -> None:
    config = dataclasses.replace(config, env_kwargs={"stop": True, "start": [0.9, 0.9]})
    player = make_player(config)
    assert player.network.stop_head is not None
    with torch.no_grad():
        player.network.stop_head.weight.zero_()
        player.network.stop_head.bias.fill_(20.0)
    assert score(player, config, "validation", CPU).coverage == 0


@pytest.mark.parametrize("kwargs", [{}, {"rule": "pure"}, {"env_kwargs": {"stop": True}}], ids=str)
def test_random_looks_are_reproducible_and_nothing_else_is_left_to_chance(
    config: ReinforceConfig, make_player: MakePlayer, kwargs: dict[str, Any]
) -> None:
    config = dataclasses.replace(config, looks="random", **kwargs)
    player = make_player(config)
    found = [score(player, config, "validation", CPU, seed=seed) for seed in (3, 3, 4)]
    assert found[0] == found[1]
    assert found[0] != found[2]
    environment = make_split(config, CPU, 180, "validation")
    noise = player.noise(environment, (180,), torch.Generator().manual_seed(3), config.final_deviation, False)
    episodes = player(environment, {"index": np.arange(180)}, Noise(noise.look))
    assert found[0].errors == 180 - episodes.success.sum()
    assert found[0].glimpses == episodes.lengths.sum() / 180


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


def test_report_tells_the_recipe_of_the_scenes_and_what_is_not_as_registered(
    config: ReinforceConfig, make_player: MakePlayer
) -> None:
    config = dataclasses.replace(config, env_kwargs={"scene": {"canvas": 12, "pieces": 2, "piece_size": 3}})
    figures = json.loads(json.dumps(report(make_player(config), config, "small", "validation", CPU)))
    assert figures["env_kwargs"] == config.env_kwargs
    assert figures["scene"] == {"canvas": 12, "pieces": 2, "piece_size": 3, "rotation": 0.0, "scale": [1.0, 1.0]}


def test_report_tells_glimpses_where_they_differ_and_that_looks_are_random(
    config: ReinforceConfig, make_player: MakePlayer
) -> None:
    config = dataclasses.replace(config, env_kwargs={"stop": True}, looks="random")
    player = make_player(config)
    figures = json.loads(json.dumps(report(player, config, "small", "validation", CPU)))
    assert figures["locations"] == "random"
    assert figures["glimpses"] == score(player, config, "validation", CPU).glimpses
    assert 1 < figures["glimpses"] < 6


def test_report_of_several_runs_keeps_the_mean_figure_apart(player: Player, config: ReinforceConfig) -> None:
    figures = report(player, config, "small", "validation", CPU, runs=3)
    sampled = [score(player, config, "validation", CPU, True, seed).error_rate for seed in range(3)]
    assert figures["value"] == score(player, config, "validation", CPU).error_rate
    assert figures["value_sampled"] == pytest.approx(np.mean(sampled))
    assert figures["runs_sampled"] == 3


def test_error_rate_is_a_fraction_of_the_examples() -> None:
    result = Score(errors=3, examples=60, coverage=0.5)
    assert result.error_rate == 0.05
    assert result.interval[0] < 0.05 < result.interval[1]

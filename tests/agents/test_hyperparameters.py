"""The agents' settings: what is refused, the published ones of every environment, and the fall of the deviation."""

from __future__ import annotations

import dataclasses
from typing import Any

import gymnasium as gym
import pytest
import yaml

import attention_env
from agents.config import HYPERPARAMETERS, RAMConfig, ReinforceConfig, deviation_at, published_config
from attention_core.config import TrainingConfig, from_dict, load_yaml, to_dict
from attention_env.distortion import Distortion
from attention_env.options import GlimpseOptions


@pytest.mark.parametrize("env", attention_env.environment_ids())
def test_every_environment_has_published_settings_that_hold_there(env: str) -> None:
    table = load_yaml(HYPERPARAMETERS)
    assert env in table, "an environment without settings of its own"
    config = published_config(env)
    assert config.env == env
    # What is in the file is in the settings, and the rest are defaults.
    plain, default = to_dict(config), to_dict(ReinforceConfig(env=env))
    for name, value in table[env].items():
        assert plain[name] == ({**default[name], **value} if name in ("network", "training") else value)
        del plain[name], default[name]
    assert plain == default
    # The environment's settings are settings of the environment.
    for kwargs in (config.env_kwargs, {**config.env_kwargs, **config.training_kwargs}):
        settings = GlimpseOptions.of({}, kwargs)
        assert settings.distortion is None or isinstance(Distortion(**settings.distortion), Distortion)


def test_published_settings_are_of_registered_environments() -> None:
    assert set(load_yaml(HYPERPARAMETERS)) <= set(attention_env.environment_ids())
    assert all(env in gym.registry for env in load_yaml(HYPERPARAMETERS))


def test_environment_without_published_settings_takes_the_defaults() -> None:
    assert published_config("somewhere/Else-v3") == ReinforceConfig(env="somewhere/Else-v3")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"samples": 0}, "samples must be at least 1, got 0"),
        ({"batch_size": -4}, "batch_size must be at least 1, got -4"),
        ({"deviation": 0.0}, "deviation must be above 0"),
        ({"deviation": float("nan")}, "deviation must be above 0"),
        ({"final_deviation": -0.1}, "final_deviation must be above 0"),
        ({"annealing": 1.5}, "annealing must be within 0"),
        ({"discount": -0.1}, "discount must be within 0 … 1, the weight of what comes later; got -0.1"),
        ({"discount": 1.01}, "discount must be within 0"),
        ({"trace": 1.5}, "trace must be within 0 … 1, λ; got 1.5"),
        ({"trace": 0.9, "baseline": "none"}, "trace=0.9 asks the learned baseline what to expect: use baseline='learned'"),
        ({"rule": "pure", "credit": "information"}, "which rule='pure' is not told: use credit='return'"),
        ({"credit": "blame"}, "credit='blame' is unknown: choose one of return, information"),
        ({"looks": "everywhere"}, "looks='everywhere' is unknown: choose one of learned, scan, random"),
        ({"rule": "greedy"}, "rule='greedy' is unknown: choose one of hybrid, pure"),
        ({"baseline": "critic"}, "baseline='critic' is unknown: choose one of none, moving_average, learned"),
        ({"baseline": "leave_one_out"}, "it needs samples ≥ 2, got 1"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else "",
)
def test_impossible_settings_are_refused_by_name(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message.replace("(", r"\(")):
        ReinforceConfig(env="attention_env/Digits-v0", **changes)


def test_networks_that_there_are_not_are_refused_by_name() -> None:
    with pytest.raises(ValueError, match="core='gru' is unknown: choose one of rnn, lstm"):
        from_dict(RAMConfig, {"core": "gru"})
    with pytest.raises(ValueError, match="location_mean='sigmoid' is unknown: choose one of tanh, linear"):
        from_dict(RAMConfig, {"location_mean": "sigmoid"})


def test_settings_survive_yaml() -> None:
    config = ReinforceConfig(
        env="attention_env/Digits-v0",
        env_kwargs={"start": [0.5, -0.25], "glimpses": 3},
        training_kwargs={"distortion": None},
        looks="scan",
        credit="information",
        discount=0.25,
        every_answer=0.5,
        network=RAMConfig(hidden=17, location_mean="linear", location_hidden=5),
        training=TrainingConfig(learning_rate=1e-5, precision="bf16"),
    )
    assert from_dict(ReinforceConfig, yaml.safe_load(yaml.safe_dump(to_dict(config)))) == config


def test_deviation_falls_geometrically_and_then_stays() -> None:
    config = ReinforceConfig("x", deviation=0.4, final_deviation=0.1, annealing=0.5, training=TrainingConfig(updates=100))
    assert deviation_at(config, 0) == pytest.approx(0.4)
    assert deviation_at(config, 25) == pytest.approx(0.2)
    assert deviation_at(config, 50) == pytest.approx(0.1)
    assert deviation_at(config, 99) == pytest.approx(0.1)
    constant = dataclasses.replace(config, annealing=0.0)
    assert [deviation_at(constant, update) for update in (0, 99)] == pytest.approx([0.1, 0.1])

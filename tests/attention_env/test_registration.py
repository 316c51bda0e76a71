"""Every id can be made, described as JSON, and made again from that."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.envs.registration import EnvSpec

import attention_env
from attention_env.envs.glimpse import GlimpseEnv, GlimpseVectorEnv
from attention_env.sources import SourceError

KWARGS: dict[str, Any] = {
    "split": "test",
    "glimpses": 3,
    "glimpse_size": 5,
    "scales": 2,
    "interpolation": "bilinear",
    "moves": "relative",
    "move_scale": 0.5,
    "start": [0.25, -0.5],
    "distortion": {"rotation": 10.0, "shift": 0.05},
}


def test_ids_are_registered_by_importing_the_package() -> None:
    assert attention_env.environment_ids()
    assert attention_env.caption_ids() == ["attention_env/Caption-v0"]
    for id_ in (*attention_env.environment_ids(), *attention_env.caption_ids()):
        assert id_.startswith("attention_env/")
        assert id_.endswith("-v0")
        assert id_ in gym.registry


@pytest.mark.parametrize("id_", [*attention_env.environment_ids(), *attention_env.caption_ids()])
def test_specs_have_no_time_limit_and_name_their_classes(id_: str) -> None:
    spec = gym.spec(id_)
    assert spec.max_episode_steps is None
    assert not spec.nondeterministic
    assert isinstance(spec.entry_point, str)
    assert isinstance(spec.vector_entry_point, str)


def test_the_rate_that_counts_as_solved_is_the_papers_where_it_has_one() -> None:
    solved = {id_.rpartition("/")[2]: gym.spec(id_).reward_threshold for id_ in attention_env.environment_ids()}
    errors = {"MNIST-v0": 1.07, "TranslatedMNIST-v0": 1.20, "ClutteredMNIST-v0": 4.04, "ClutteredMNIST100-v0": 8.11, "Catch-v0": 15}
    for task, error in errors.items():
        assert solved.pop(task) == pytest.approx(1 - error / 100)
    assert set(solved) == {"Digits-v0", "FashionMNIST-v0", "RotatedMNIST-v0", "ScaledMNIST-v0", "CircleSquare-v0"}
    assert all(rate is not None and 0.9 <= rate < 1 for rate in solved.values())


def test_single_and_vector_environments_are_made_of_their_classes(environment_id: str) -> None:
    env = gym.make(environment_id)
    assert isinstance(env.unwrapped, GlimpseEnv)
    assert env.unwrapped.__doc__
    batch = gym.make_vec(environment_id, num_envs=2)
    assert isinstance(batch, GlimpseVectorEnv)
    assert batch.num_envs == 2
    assert batch.single_observation_space == env.observation_space
    assert batch.single_action_space == env.action_space


def test_a_spec_survives_json(environment_id: str, action_format: str) -> None:
    env = gym.make(environment_id, action_format=action_format, **KWARGS)
    assert env.spec is not None
    spec = EnvSpec.from_json(env.spec.to_json())
    assert spec.kwargs == env.spec.kwargs
    again = gym.make(spec)
    assert again.action_space == env.action_space
    np.testing.assert_equal(again.reset(seed=3), env.reset(seed=3))
    env.action_space.seed(0)
    for _ in range(3):
        action = env.action_space.sample()
        result = env.step(action)
        np.testing.assert_equal(again.step(action), result)
        if result[2]:
            break


@pytest.mark.parametrize("id_", attention_env.environment_ids())
def test_a_spec_with_all_switches_survives_json(id_: str, request: pytest.FixtureRequest) -> None:
    if "MNIST" in id_:
        request.getfixturevalue("data_folder")
    env = gym.make(id_, zoom=True, rotate=True, stop="Catch" not in id_, step_cost=0.01, glimpses=3)
    assert env.spec is not None
    again = gym.make(EnvSpec.from_json(env.spec.to_json()))
    assert again.spec is not None
    assert again.spec.kwargs == env.spec.kwargs
    assert again.spec.reward_threshold == env.spec.reward_threshold
    assert again.action_space == env.action_space
    assert again.observation_space == env.observation_space
    np.testing.assert_equal(again.reset(seed=3), env.reset(seed=3))


@pytest.mark.parametrize("autoreset_mode", ["NextStep", "SameStep", "Disabled"])
def test_a_vector_environments_spec_survives_json(autoreset_mode: str) -> None:
    batch = gym.make_vec("attention_env/Digits-v0", num_envs=2, autoreset_mode=autoreset_mode, **KWARGS)
    assert batch.spec is not None
    spec = EnvSpec.from_json(batch.spec.to_json())
    again = gym.make_vec(spec)
    assert again.metadata["autoreset_mode"] is batch.metadata["autoreset_mode"]
    np.testing.assert_equal(again.reset(seed=3), batch.reset(seed=3))


@pytest.mark.parametrize("id_", ["attention_env/Nope-v0", "attention_env/Digit-v0"])
def test_an_unknown_id_is_refused(id_: str) -> None:
    with pytest.raises(gym.error.NameNotFound, match="doesn't exist in namespace attention_env"):
        gym.make(id_)
    with pytest.raises(gym.error.NameNotFound, match="doesn't exist in namespace attention_env"):
        gym.make_vec(id_)


def test_an_unknown_version_is_refused() -> None:
    with pytest.raises(gym.error.VersionNotFound, match="v99"):
        gym.make("attention_env/Digits-v99")


@pytest.mark.parametrize(
    ("setting", "kind", "message"),
    [
        ({"glimps": 3}, TypeError, "unknown setting glimps"),
        ({"split": "dev"}, ValueError, "unknown split 'dev'"),
        ({"source": "cifar"}, SourceError, "unknown image source 'cifar'"),
        ({"interpolation": "cubic"}, ValueError, "unknown interpolation 'cubic'"),
        ({"action_format": "joystick"}, ValueError, "action_format='joystick' is unknown"),
        ({"distortion": {"rotate": 3.0}}, TypeError, "rotate"),
        ({"glimpses": 0}, ValueError, "glimpses must be"),
    ],
)
def test_wrong_settings_are_refused_by_make_and_make_vec(setting: dict[str, Any], kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match=message):
        gym.make("attention_env/Digits-v0", **setting)
    with pytest.raises(kind, match=message):
        gym.make_vec("attention_env/Digits-v0", num_envs=2, **setting)

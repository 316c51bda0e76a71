"""The batched environment: spaces, autoreset contracts, agreement with single environments, tensors, worker processes."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium.vector import AutoresetMode, SyncVectorEnv, VectorEnv
from numpy.typing import NDArray
from torch import Tensor

from attention_env.actions import ActionError
from attention_env.envs.glimpse import GlimpseEnv, GlimpseVectorEnv
from attention_env.retina import glimpse

Arrays = tuple[NDArray[np.uint8], NDArray[np.int64]]
MODES = list(AutoresetMode)
ROWS = 4
ALL_SWITCHES: dict[str, Any] = {"zoom": True, "rotate": True, "stop": True, "step_cost": 0.25}


def possible(switches: dict[str, Any], action_format: str) -> dict[str, Any]:
    """Leave out what "saccade" refuses."""
    return {name: value for name, value in switches.items() if (action_format, name) != ("saccade", "stop")}


def dict_actions(labels: Any, location: Any = None) -> dict[str, Any]:
    labels = np.array(labels)
    return {"location": np.zeros((len(labels), 2), np.float32) if location is None else np.array(location), "label": labels}


def check_batch(env: VectorEnv[Any, Any, Any], observations: Any) -> None:
    """The batched space contains what came back, and each row belongs to the single space."""
    assert observations in env.observation_space
    for key, space in env.single_observation_space.items():
        assert observations[key].shape == (env.num_envs, *space.shape)
        assert observations[key].dtype == space.dtype
        assert all(row in space for row in observations[key])


def check_infos(infos: dict[str, Any], count: int, ended: NDArray[np.bool_]) -> None:
    """The two entries and their masks are there exactly where episodes ended."""
    if not ended.any():
        assert infos == {}
        return
    assert set(infos) == {"label", "_label", "is_success", "_is_success"}
    for name, dtype in (("label", np.int64), ("is_success", np.bool_)):
        assert infos[name].shape == (count,)
        assert infos[name].dtype == dtype
        assert infos[f"_{name}"].dtype == np.bool_
        np.testing.assert_array_equal(infos[f"_{name}"], ended)


def to_numpy(value: Any) -> Any:
    if isinstance(value, Tensor):
        return value.numpy().copy()
    if isinstance(value, dict):
        return {key: to_numpy(part) for key, part in value.items()}
    return tuple(to_numpy(part) for part in value) if isinstance(value, tuple) else value


def to_torch(actions: Any) -> Any:
    return {key: torch.tensor(value) for key, value in actions.items()} if isinstance(actions, dict) else torch.tensor(actions)


def spoil(value: Any) -> None:
    """Overwrite every array and tensor in what an environment returned or was given."""
    if isinstance(value, Tensor):
        value.zero_() if value.dtype == torch.bool else value.fill_(7)
    elif isinstance(value, np.ndarray) and value.dtype == object:
        for part in value:
            spoil(part)
    elif isinstance(value, np.ndarray):
        value[...] = 0 if value.dtype == np.bool_ else 7
    elif isinstance(value, dict):
        for part in value.values():
            spoil(part)
    elif isinstance(value, tuple):
        for part in value:
            spoil(part)


def assert_alike(ours: Any, theirs: Any) -> None:
    """Same keys, same kinds, same numbers, to any depth."""
    assert type(ours) is type(theirs)
    if isinstance(theirs, dict):
        assert set(ours) == set(theirs)
        for key in theirs:
            assert_alike(ours[key], theirs[key])
    elif isinstance(theirs, (tuple, list)):
        assert len(ours) == len(theirs)
        for our, their in zip(ours, theirs, strict=True):
            assert_alike(our, their)
    elif isinstance(theirs, np.ndarray) and theirs.dtype == object:
        assert ours.dtype == object
        assert_alike(list(ours), list(theirs))
    elif isinstance(theirs, np.ndarray):
        assert ours.dtype == theirs.dtype
        np.testing.assert_array_equal(ours, theirs)
    else:
        assert ours == theirs


# A vector check -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("switches", [{}, ALL_SWITCHES])
@pytest.mark.parametrize("mode", MODES)
def test_what_comes_back_belongs_to_the_spaces_and_keeps_the_autoreset_contract(
    environment_id: str, action_format: str, mode: AutoresetMode, switches: dict[str, Any]
) -> None:
    settings = {"action_format": action_format, "autoreset_mode": mode.value, "start": "center", "glimpses": 3, "scales": 2}
    settings |= possible(switches, action_format)
    cost = switches.get("step_cost", 0.0)
    env = gym.make_vec(environment_id, num_envs=ROWS, **settings)
    assert env.metadata["autoreset_mode"] is mode
    assert env.action_space == gym.vector.utils.batch_space(env.single_action_space, ROWS)
    assert env.observation_space == gym.vector.utils.batch_space(env.single_observation_space, ROWS)
    env.action_space.seed(3)
    observations, infos = env.reset(seed=3)
    assert infos == {}
    check_batch(env, observations)
    remaining = np.full(ROWS, 1.0, np.float32)
    ended_before = np.zeros(ROWS, bool)
    for _ in range(13):
        if mode is AutoresetMode.DISABLED and ended_before.any():
            observations, infos = env.reset(options={"reset_mask": ended_before})
            assert infos == {}
            check_batch(env, observations)
            remaining[ended_before] = 1.0
            np.testing.assert_array_equal(observations["remaining"][:, 0], remaining)
            ended_before = np.zeros(ROWS, bool)
        observations, rewards, terminated, truncated, infos = env.step(env.action_space.sample())
        check_batch(env, observations)
        assert (rewards.shape, rewards.dtype) == ((ROWS,), np.float64)
        assert (terminated.shape, terminated.dtype) == ((ROWS,), np.bool_)
        assert (truncated.shape, truncated.dtype) == ((ROWS,), np.bool_)
        assert not truncated.any()
        restarted = terminated if mode is AutoresetMode.SAME_STEP else ended_before
        np.testing.assert_array_equal(observations["remaining"][restarted, 0], 1.0)
        np.testing.assert_array_equal(observations["location"][restarted], 0.0)
        stepped = observations["remaining"][~restarted, 0]
        np.testing.assert_allclose(stepped, remaining[~restarted] - 1 / 3, atol=1e-6)
        if mode is AutoresetMode.SAME_STEP and terminated.any():
            assert set(infos) == {"final_obs", "_final_obs", "final_info", "_final_info"}
            np.testing.assert_array_equal(infos["_final_obs"], terminated)
            np.testing.assert_array_equal(infos["_final_info"], terminated)
            check_infos(infos["final_info"], ROWS, terminated)
            for row in range(ROWS):
                if terminated[row]:
                    assert infos["final_obs"][row] in env.single_observation_space
                    assert infos["final_obs"][row]["remaining"] == pytest.approx(remaining[row] - 1 / 3, abs=1e-6)
                else:
                    assert infos["final_obs"][row] is None
            np.testing.assert_array_equal(rewards[terminated], infos["final_info"]["is_success"][terminated] - cost)
        else:
            check_infos(infos, ROWS, terminated)
            if terminated.any():
                np.testing.assert_array_equal(rewards[terminated], infos["is_success"][terminated] - cost)
        playing = ~terminated if mode is AutoresetMode.SAME_STEP else ~terminated & ~ended_before
        assert (rewards[playing] == -cost).all()
        assert (rewards[ended_before & (mode is AutoresetMode.NEXT_STEP)] == 0).all()
        remaining, ended_before = observations["remaining"][:, 0].copy(), terminated.copy()


@pytest.mark.parametrize("mode", ["sync", "async", "vector_entry_point", None])
def test_make_vec_takes_every_vectorization_mode(mode: str | None, arrays: Arrays) -> None:
    env = gym.make_vec("attention_env/Digits-v0", num_envs=2, vectorization_mode=mode, source=arrays, glimpses=2)
    try:
        assert isinstance(env, GlimpseVectorEnv) is (mode in ("vector_entry_point", None))
        observations, _ = env.reset(seed=1)
        assert observations in env.observation_space
        for _ in range(3):
            observations, *_ = env.step(env.action_space.sample())
            assert observations in env.observation_space
    finally:
        env.close()


def test_make_vec_takes_a_context_for_its_workers(arrays: Arrays) -> None:
    kwargs: dict[str, Any] = {"num_envs": 2, "source": arrays, "glimpses": 2}
    workers = gym.make_vec("attention_env/Digits-v0", vectorization_mode="async", vector_kwargs={"context": "fork"}, **kwargs)
    here = gym.make_vec("attention_env/Digits-v0", vectorization_mode="sync", **kwargs)
    try:
        assert_alike(workers.reset(seed=1), here.reset(seed=1))
    finally:
        workers.close()


def test_the_same_seed_and_actions_give_the_same_episodes(environment_id: str, action_format: str) -> None:
    def play(env: VectorEnv[Any, Any, Any], seed: int) -> list[Any]:
        env.action_space.seed(seed)
        return [env.reset(seed=seed), *(env.step(env.action_space.sample()) for _ in range(9))]

    settings: dict[str, Any] = {"action_format": action_format, "start": "random", "glimpses": 3}
    first, second = (gym.make_vec(environment_id, num_envs=ROWS, **settings) for _ in range(2))
    episodes = play(first, 5)
    np.testing.assert_equal(play(second, 5), episodes)
    np.testing.assert_equal(play(first, 5), episodes)
    np.testing.assert_equal(play(pickle.loads(pickle.dumps(first)), 5), episodes)
    with pytest.raises(AssertionError):
        np.testing.assert_equal(play(first, 6), episodes)


def test_rows_see_different_pictures() -> None:
    observations, _ = gym.make_vec("attention_env/Digits-v0", num_envs=16).reset(seed=0)
    assert len({row.tobytes() for row in observations["glimpse"]}) > 12


def test_a_random_state_continues_the_same_pictures(arrays: Arrays) -> None:
    env = GlimpseVectorEnv(6, source=arrays, start="random", glimpses=1)
    with pytest.raises(gym.error.ResetNeeded):
        env.random_state()
    env.reset(seed=0)
    state = env.random_state()
    later = [env.reset() for _ in range(3)]
    other = GlimpseVectorEnv(6, source=arrays, start="random", glimpses=1)
    other.set_random_state(state)
    np.testing.assert_equal([other.reset() for _ in range(3)], later)


# Agreement with single environments -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"start": "random", "moves": "relative", "move_scale": 0.4},
        {"distortion": {"rotation": 20.0, "shift": 0.1}, "scales": 2, "interpolation": "bilinear"},
        ALL_SWITCHES,
    ],
)
@pytest.mark.parametrize("mode", [AutoresetMode.NEXT_STEP, AutoresetMode.SAME_STEP])
def test_one_row_gives_the_single_environments_episodes(
    environment_id: str, action_format: str, mode: AutoresetMode, settings: dict[str, Any]
) -> None:
    settings = {"action_format": action_format, "glimpses": 3, **possible(settings, action_format)}
    env, batch = gym.make(environment_id, **settings), gym.make_vec(environment_id, num_envs=1, autoreset_mode=mode, **settings)
    env.action_space.seed(2)
    (observation, info), (observations, infos) = env.reset(seed=4), batch.reset(seed=4)
    ended = False
    for _ in range(9):
        np.testing.assert_equal({key: rows[0] for key, rows in observations.items()}, observation)
        action = env.action_space.sample()
        actions = {key: np.array(part)[None] for key, part in action.items()} if isinstance(action, dict) else np.array([action])
        observations, rewards, terminated, truncated, infos = batch.step(actions)
        if ended and mode is AutoresetMode.NEXT_STEP:
            (observation, info), ended = env.reset(), False
            assert (rewards[0], terminated[0], truncated[0], infos) == (0.0, False, False, {})
            continue
        observation, reward, ended, cut, info = env.step(action)
        assert (rewards[0], terminated[0], truncated[0]) == (reward, ended, cut)
        if mode is AutoresetMode.SAME_STEP and ended:
            np.testing.assert_equal(infos["final_obs"][0], observation)
            infos = infos["final_info"]
            observation, _ = env.reset()
        assert {key: infos[key][0].item() for key in infos if not key.startswith("_")} == info


def sync_twin(count: int, mode: AutoresetMode, **settings: Any) -> tuple[SyncVectorEnv, GlimpseVectorEnv]:
    sync = SyncVectorEnv([lambda: GlimpseEnv(**settings) for _ in range(count)], autoreset_mode=mode)
    return sync, GlimpseVectorEnv(count, autoreset_mode=mode, **settings)


# Many rows keep their pictures in another form than few.
@pytest.mark.parametrize("count", [ROWS, 20])
@pytest.mark.parametrize(
    "settings", [{}, {"moves": "relative", "scales": 2}, {"reward": "dense", "start": [0.5, -0.5]}, {"scales": 2, **ALL_SWITCHES}]
)
@pytest.mark.parametrize("mode", [AutoresetMode.NEXT_STEP, AutoresetMode.SAME_STEP])
def test_rows_are_like_gymnasiums_vector_of_single_environments(
    mode: AutoresetMode, settings: dict[str, Any], count: int, action_format: str, one_picture: Arrays
) -> None:
    if "reward" in settings and action_format != "dict":
        settings = {**settings, "reward": "sparse"}
    settings = possible(settings, action_format)
    sync, batch = sync_twin(count, mode, source=one_picture, action_format=action_format, glimpses=3, grid=2, **settings)
    assert batch.action_space == sync.action_space
    assert batch.observation_space == sync.observation_space
    assert_alike(batch.reset(seed=0), sync.reset(seed=0))
    sync.action_space.seed(1)
    ends = 0
    for _ in range(12):
        actions = sync.action_space.sample()
        ours, theirs = batch.step(actions), sync.step(actions)
        assert_alike(ours, theirs)
        ends += int(theirs[2].sum())
    assert ends > count


@pytest.mark.parametrize("switches", [{}, ALL_SWITCHES])
def test_rows_reset_by_a_mask_are_like_gymnasiums(switches: dict[str, Any], action_format: str, one_picture: Arrays) -> None:
    settings: dict[str, Any] = {"glimpses": 4, "grid": 3, "render_mode": "rgb_array", **possible(switches, action_format)}
    sync, batch = sync_twin(ROWS, AutoresetMode.DISABLED, source=one_picture, action_format=action_format, **settings)
    assert_alike(batch.reset(seed=0), sync.reset(seed=0))
    sync.action_space.seed(1)
    generator = np.random.default_rng(2)
    ended = np.zeros(ROWS, bool)
    for _ in range(12):
        # Rows that have ended, and sometimes one that has not.
        mask = ended | (generator.random(ROWS) < 0.15)
        if mask.any():
            ours, theirs = batch.reset(options={"reset_mask": mask.copy()}), sync.reset(options={"reset_mask": mask.copy()})
            assert_alike(ours, theirs)
        actions = sync.action_space.sample()
        ours, theirs = batch.step(actions), sync.step(actions)
        assert_alike(ours, theirs)
        assert_alike(batch.render(), sync.render())
        ended = theirs[2]


@pytest.mark.parametrize("switches", [{}, ALL_SWITCHES])
@pytest.mark.parametrize("mode", [AutoresetMode.NEXT_STEP, AutoresetMode.SAME_STEP])
def test_frames_are_like_gymnasiums(mode: AutoresetMode, switches: dict[str, Any], action_format: str, one_picture: Arrays) -> None:
    settings: dict[str, Any] = {"glimpses": 2, "scales": 2, "render_mode": "rgb_array", **possible(switches, action_format)}
    sync, batch = sync_twin(2, mode, source=one_picture, action_format=action_format, **settings)
    batch.reset(seed=0), sync.reset(seed=0)
    sync.action_space.seed(4)
    for _ in range(7):
        assert_alike(batch.render(), sync.render())
        actions = sync.action_space.sample()
        batch.step(actions), sync.step(actions)


@pytest.mark.parametrize("apart", [False, True])
@pytest.mark.parametrize("output", ["numpy", "torch"])
def test_actions_of_rows_that_start_anew_may_be_anything(apart: bool, output: str) -> None:
    env = gym.make_vec("attention_env/Digits-v0", num_envs=2, action_format="saccade", grid=3, glimpses=9, output=output)
    make = np.array if output == "numpy" else torch.tensor
    first, second = [9, 0 if apart else 9], [-1, 0 if apart else -1]  # 9 is the answer "0", and -1 nothing at all
    env.reset(seed=0)
    _, _, ended, _, _ = env.step(make(first))
    assert ended.tolist() == [True, not apart]
    _, rewards, ended, _, _ = env.step(make(second))
    assert (rewards.tolist(), ended.tolist()) == ([0.0, 0.0], [False, False])
    env.step(make([9, 9]))  # nothing is left over to complain about


@pytest.mark.parametrize("mode", [AutoresetMode.NEXT_STEP, AutoresetMode.SAME_STEP])
def test_record_episode_statistics_of_many_rows(mode: AutoresetMode, one_picture: Arrays) -> None:
    env = gym.wrappers.vector.RecordEpisodeStatistics(
        GlimpseVectorEnv(3, source=one_picture, glimpses=4, reward="dense", autoreset_mode=mode)
    )
    for _ in range(2):
        env.reset(seed=0)
        for turn in range(4):
            # Row 0 is right always, row 1 never, row 2 at first.
            *_, infos = env.step(dict_actions([2, 0, 2 if turn == 0 else 1]))
        statistics = (
            infos["episode"] if mode is AutoresetMode.NEXT_STEP else infos.get("episode", infos["final_info"].get("episode"))
        )
        assert statistics["l"].tolist() == [4, 4, 4]
        assert statistics["r"] == pytest.approx([1.0, 0.0, 0.25])


# Autoreset, in detail -----------------------------------------------------------------------------------------------------


def test_next_step_ignores_the_action_that_follows_an_end(one_picture: Arrays) -> None:
    env = GlimpseVectorEnv(2, source=one_picture, action_format="saccade", grid=3, glimpses=3)
    env.reset(seed=0)
    _, rewards, terminated, _, infos = env.step(np.array([9 + 2, 0]))
    assert rewards.tolist() == [1.0, 0.0]
    assert terminated.tolist() == [True, False]
    assert (infos["_label"].tolist(), infos["label"].tolist()) == ([True, False], [2, 0])
    # Row 0 names the right class again, which must not count; row 1 goes on.
    observations, rewards, terminated, _, infos = env.step(np.array([9 + 2, 8]))
    assert (rewards.tolist(), terminated.tolist(), infos) == ([0.0, 0.0], [False, False], {})
    np.testing.assert_allclose(observations["location"], [[0, 0], [2 / 3, 2 / 3]], atol=1e-6)
    np.testing.assert_allclose(observations["remaining"][:, 0], [1, 1 / 3], atol=1e-6)
    _, rewards, terminated, *_ = env.step(np.array([9 + 2, 1]))
    assert rewards.tolist() == [1.0, 0.0]
    assert terminated.tolist() == [True, True]


@pytest.mark.parametrize("mode", [AutoresetMode.NEXT_STEP, AutoresetMode.SAME_STEP])
def test_a_new_episode_shows_a_new_picture(mode: AutoresetMode, arrays: Arrays) -> None:
    env = GlimpseVectorEnv(8, source=arrays, glimpses=1, autoreset_mode=mode)
    env.reset(seed=0)
    before = env.images().clone()
    for _ in range(2):
        env.step(dict_actions([0] * 8))
    assert not torch.equal(env.images(), before)


@pytest.mark.parametrize("output", ["numpy", "torch"])
def test_without_autoreset_rows_that_have_ended_rest_until_all_have(output: str, arrays: Arrays) -> None:
    env = GlimpseVectorEnv(
        3, source=arrays, action_format="saccade", grid=2, glimpses=4, step_cost=0.5, autoreset_mode="Disabled", output=output
    )
    given = torch.tensor if output == "torch" else np.array
    env.reset(options={"index": np.array([3, 4, 5])})  # of classes 0, 1, 2
    before, rewards, terminated, _, infos = env.step(given([0, 4 + 1, 3]))
    assert (rewards.tolist(), terminated.tolist()) == ([-0.5, 0.5, -0.5], [False, True, False])
    assert (infos["_label"].tolist(), infos["label"].tolist()) == ([False, True, False], [0, 1, 0])
    assert infos["is_success"].tolist() == [False, True, False]
    # Row 1 rests, whatever its action.
    after, rewards, terminated, _, infos = env.step(given([4 + 1, 99, 0]))
    assert (rewards.tolist(), terminated.tolist()) == ([-0.5, 0.0, -0.5], [True, True, False])
    assert infos["_is_success"].tolist() == infos["_label"].tolist() == [True, False, False]
    for key in after:
        assert after[key][1].tolist() == before[key][1].tolist()
    # Row 1 starts anew; row 0 rests on.
    env.reset(options={"reset_mask": np.array([False, True, False])})
    observations, _, terminated, *_ = env.step(given([99, 0, 4 + 2]))
    assert terminated.tolist() == [True, False, True]
    np.testing.assert_allclose(observations["remaining"][:, 0], [0.5, 0.75, 0.25])
    _, rewards, terminated, _, infos = env.step(given([99, 4, -1]))
    assert terminated.all()
    assert infos["_label"].tolist() == [False, True, False]
    with pytest.raises(gym.error.ResetNeeded, match=r"every episode has ended.*reset_mask"):
        env.step(given([0, 0, 0]))
    env.reset()
    assert not env.step(given([0, 0, 0]))[2].any()


def test_without_autoreset_rows_in_step_end_together(arrays: Arrays) -> None:
    env = GlimpseVectorEnv(3, source=arrays, glimpses=2, autoreset_mode="Disabled")
    env.reset(seed=0)
    env.step(dict_actions([0, 0, 0]))
    assert env.step(dict_actions([0, 0, 0]))[2].all()
    with pytest.raises(gym.error.ResetNeeded, match="reset_mask"):
        env.step(dict_actions([0, 0, 0]))


@pytest.mark.parametrize("output", ["numpy", "torch"])
def test_rows_that_rest_and_play_are_like_single_environments(action_format: str, output: str, one_picture: Arrays) -> None:
    settings = {"action_format": action_format, "glimpses": 5, "grid": 2, "scales": 2, **possible(ALL_SWITCHES, action_format)}
    batch = GlimpseVectorEnv(8, source=one_picture, autoreset_mode="Disabled", output=output, **settings)
    single = [GlimpseEnv(source=one_picture, **settings) for _ in range(8)]
    batch.action_space.seed(0)
    rested = 0
    for episode in range(6):
        observations, _ = batch.reset(seed=episode)
        results: list[Any] = [(env.reset(seed=episode)[0], 0.0, False, False, {}) for env in single]
        while not all(result[2] for result in results):
            actions = batch.action_space.sample()
            observations, rewards, terminated, truncated, infos = batch.step(to_torch(actions) if output == "torch" else actions)
            for row, env in enumerate(single):
                resting = results[row][2]
                if resting:
                    rested += 1
                    results[row] = (results[row][0], 0.0, True, False, {})
                else:
                    one = {key: part[row] for key, part in actions.items()} if isinstance(actions, dict) else actions[row]
                    results[row] = env.step(one)
                observation, reward, ended, cut, info = results[row]
                np.testing.assert_equal({key: to_numpy(part)[row] for key, part in observations.items()}, observation)
                assert (rewards[row].item(), terminated[row].item(), truncated[row].item()) == (reward, ended, cut)
                told = {key for key in ("label", "is_success") if infos and infos[f"_{key}"][row]}
                assert {key: infos[key][row].item() for key in told} == info
    assert rested > 5


def test_rows_that_rest_cost_and_tell_nothing_under_dense_reward(arrays: Arrays) -> None:
    env = GlimpseVectorEnv(2, source=arrays, glimpses=4, reward="dense", stop=True, autoreset_mode="Disabled")
    env.reset(options={"index": np.array([4, 4])})  # of class 1
    rewards = [env.step({**dict_actions([1, 1]), "stop": np.array([turn == 1, 0], int)})[1].tolist() for turn in range(4)]
    assert rewards == [[0.25, 0.25], [0.25, 0.25], [0.0, 0.25], [0.0, 0.25]]


def test_catchs_rows_that_rest_stay_as_they_were() -> None:
    env = gym.make_vec("attention_env/Catch-v0", num_envs=2, glimpses=3, autoreset_mode="Disabled", zoom=True)
    assert isinstance(env, GlimpseVectorEnv)
    env.reset(seed=0)
    env.step({**dict_actions([2, 2]), "zoom": np.ones((2, 1))})
    env.reset(options={"reset_mask": np.array([False, True])})
    env.step({**dict_actions([2, 2]), "zoom": np.ones((2, 1))})
    before, _, terminated, *_ = env.step({**dict_actions([2, 2]), "zoom": np.ones((2, 1))})
    assert terminated.tolist() == [True, False]
    screen = env.images()[0].clone()
    after, rewards, terminated, _, infos = env.step({**dict_actions([0, 0]), "zoom": np.zeros((2, 1))})
    assert terminated.tolist() == [True, True]
    assert infos["_is_success"].tolist() == [False, True]
    assert rewards[0] == 0
    assert torch.equal(env.images()[0], screen)
    for key in after:
        np.testing.assert_array_equal(after[key][0], before[key][0])


def test_a_mask_resets_its_rows_only_and_takes_their_options_only(action_format: str, arrays: Arrays) -> None:
    env = GlimpseVectorEnv(
        3, source=arrays, action_format=action_format, grid=3, glimpses=4, glimpse_size=8, autoreset_mode="Disabled"
    )
    env.reset(options={"index": np.array([0, 1, 2])})
    looks = {
        "dict": dict_actions([0] * 3, [[2 / 3, 0.0]] * 3),
        "grid": np.array([[5, 0]] * 3),
        "saccade": np.array([5, 5, 5]),
        "box": np.array([[2 / 3, 0, 1, 0, 0]] * 3),
    }[action_format]
    before, *_ = env.step(looks)
    options = {
        "reset_mask": np.array([False, True, False]),
        "index": np.array([6, 7, 8]),
        "location": np.array([[1.0, 1.0], [0.5, 0.25], [-1.0, -1.0]]),
    }
    after, _ = env.reset(options=options)
    np.testing.assert_array_equal(after["glimpse"][[0, 2]], before["glimpse"][[0, 2]])
    np.testing.assert_array_equal(after["location"][[0, 2]], before["location"][[0, 2]])
    assert after["location"][1].tolist() == [0.5, 0.25]
    assert after["remaining"][:, 0].tolist() == [0.75, 1.0, 0.75]
    expected = glimpse(torch.from_numpy(arrays[0][7:8]), torch.tensor([[0.5, 0.25]]), 8)
    np.testing.assert_array_equal(after["glimpse"][1:2], expected.numpy())
    assert set(options) == {"reset_mask", "index", "location"}


def test_rows_out_of_step_end_each_at_its_own_turn(arrays: Arrays) -> None:
    env = GlimpseVectorEnv(2, source=arrays, glimpses=3, autoreset_mode="Disabled")
    env.reset(options={"index": np.array([1, 2])})
    env.step(dict_actions([0, 0]))
    env.reset(options={"reset_mask": np.array([False, True]), "index": np.array([0, 3])})
    env.step(dict_actions([0, 0]))
    _, rewards, terminated, _, infos = env.step(dict_actions([1, 0]))
    assert (rewards.tolist(), terminated.tolist()) == ([1.0, 0.0], [True, False])
    check_infos(infos, 2, np.array([True, False]))
    env.reset(options={"reset_mask": np.array([True, False])})
    _, rewards, terminated, _, infos = env.step(dict_actions([0, 0]))
    assert (rewards.tolist(), terminated.tolist()) == ([0.0, 1.0], [False, True])
    check_infos(infos, 2, np.array([False, True]))


# Choosing pictures ----------------------------------------------------------------------------------------------------------


def test_each_test_picture_is_shown_exactly_once_through_index() -> None:
    env = gym.make_vec("attention_env/Digits-v0", num_envs=100, split="test", glimpses=1, autoreset_mode="Disabled")
    assert isinstance(env, GlimpseVectorEnv)
    pictures, labels = env.pictures.images / np.float32(255), env.pictures.labels
    shown: list[NDArray[np.float32]] = []
    for first in range(0, 360, 100):
        index = np.minimum(np.arange(first, first + 100), 359)
        rows = np.flatnonzero(np.arange(first, first + 100) < 360)
        env.reset(options={"index": index})
        shown.append(env.images().numpy()[rows])
        _, rewards, terminated, _, infos = env.step(dict_actions(labels[index]))
        assert terminated.all()
        assert (rewards == 1).all()
        np.testing.assert_array_equal(infos["label"], labels[index])
    np.testing.assert_allclose(np.concatenate(shown), pictures, atol=1e-7)


def test_images_are_a_copy(arrays: Arrays) -> None:
    env = GlimpseVectorEnv(3, source=arrays)
    with pytest.raises(gym.error.ResetNeeded):
        env.images()
    env.reset(options={"index": np.array([0, 4, 8])})
    images = env.images()
    np.testing.assert_allclose(images.numpy(), arrays[0][[0, 4, 8], None] / 255, atol=1e-7)
    before = images.clone()
    images.zero_()
    assert torch.equal(env.images(), before)


@pytest.mark.parametrize("as_tensors", [False, True])
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"indices": np.array([0, 1])}, "unknown reset option indices"),
        ({"index": np.array([0, 9])}, "index must be in 0 … 8"),
        ({"index": np.array([-1, 0])}, "index must be in 0 … 8"),
        ({"index": np.array([0])}, r"reset option 'index' must be of shape \(2,\), got \(1,\)"),
        ({"index": np.array([0.0, 1.5])}, "reset option 'index' must be whole numbers"),
        ({"location": np.array([0.0, 0.0])}, r"reset option 'location' must be of shape \(2, 2\)"),
        ({"location": np.array([[0.0, 0.0], [0.0, np.nan]])}, "location must be finite and within"),
        ({"location": np.array([[0.0, 0.0], [0.0, -1.01]])}, "location must be finite and within"),
        ({"reset_mask": np.array([True])}, r"reset option 'reset_mask' must be of shape \(2,\)"),
        ({"reset_mask": np.array([1, 0])}, "reset option 'reset_mask' must be bool"),
    ],
)
def test_wrong_reset_options_are_refused(options: dict[str, Any], message: str, as_tensors: bool, arrays: Arrays) -> None:
    env = GlimpseVectorEnv(2, source=arrays, output="torch" if as_tensors else "numpy")
    env.reset(seed=0)
    with pytest.raises(ValueError, match=message):
        env.reset(options=to_torch(options) if as_tensors else options)


@pytest.mark.parametrize("count", [0, -1])
def test_at_least_one_row_is_needed(count: int, arrays: Arrays) -> None:
    with pytest.raises(ValueError, match="num_envs must be at least 1"):
        GlimpseVectorEnv(count, source=arrays)


@pytest.mark.parametrize(
    ("device", "message"),
    [("gpu", "device='gpu' is none that PyTorch knows"), ("cuda:99", "device='cuda:99' is a GPU that PyTorch does not find here")],
)
def test_a_device_that_is_not_there_is_refused(device: str, message: str, arrays: Arrays) -> None:
    with pytest.raises(ValueError, match=message):
        GlimpseVectorEnv(2, source=arrays, output="torch", device=device)


def test_stepping_before_a_reset_is_refused(arrays: Arrays) -> None:
    with pytest.raises(gym.error.ResetNeeded, match="call reset"):
        GlimpseVectorEnv(2, source=arrays).step(dict_actions([0, 0]))


def test_a_wrong_action_leaves_all_rows_as_they_were(arrays: Arrays) -> None:
    env = GlimpseVectorEnv(2, source=arrays)
    env.reset(seed=0)
    with pytest.raises(ActionError, match="label 3 is outside the space"):
        env.step(dict_actions([0, 3], [[0.5, 0.5], [0.5, 0.5]]))
    observations, *_ = env.step(dict_actions([0, 0]))
    assert observations["remaining"][:, 0] == pytest.approx([5 / 6, 5 / 6])


# Tensors ----------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("settings", [{}, {"moves": "relative", "start": "random", "distortion": {"rotation": 10.0}}, ALL_SWITCHES])
@pytest.mark.parametrize("mode", [AutoresetMode.NEXT_STEP, AutoresetMode.SAME_STEP])
def test_tensors_show_the_same_episodes_as_arrays(
    environment_id: str, action_format: str, mode: AutoresetMode, settings: dict[str, Any]
) -> None:
    settings = {"action_format": action_format, "glimpses": 3, "autoreset_mode": mode, **possible(settings, action_format)}
    arrays_, tensors = (gym.make_vec(environment_id, num_envs=ROWS, output=output, **settings) for output in ("numpy", "torch"))
    arrays_.action_space.seed(0)
    np.testing.assert_equal(to_numpy(tensors.reset(seed=0)), arrays_.reset(seed=0))
    for _ in range(7):
        actions = arrays_.action_space.sample()
        ours, theirs = tensors.step(to_torch(actions)), arrays_.step(actions)
        assert all(isinstance(part, Tensor) for part in (*ours[0].values(), *ours[1:4]))
        assert (ours[1].dtype, ours[2].dtype, ours[3].dtype) == (torch.float32, torch.bool, torch.bool)
        ours = to_numpy(ours)
        np.testing.assert_equal(ours[0], theirs[0])
        np.testing.assert_allclose(ours[1], theirs[1], rtol=1e-6)
        np.testing.assert_equal(ours[2:4], theirs[2:4])
        if "final_obs" in theirs[4]:
            ended = theirs[4].pop("_final_obs")
            np.testing.assert_array_equal(ours[4].pop("_final_obs"), ended)
            final, finals = ours[4].pop("final_obs"), theirs[4].pop("final_obs")
            for row in np.flatnonzero(ended):
                np.testing.assert_equal({key: part[row] for key, part in final.items()}, finals[row])
        np.testing.assert_equal(ours[4], theirs[4])


WRONG_TENSORS: list[tuple[str, Any]] = [
    ("dict", {"location": torch.tensor([[0.0, 0.0], [float("nan"), 0.0]]), "label": torch.tensor([0, 0])}),
    ("dict", {"location": torch.tensor([[0.0, float("inf")], [0.0, 0.0]]), "label": torch.tensor([0, 0])}),
    ("dict", {"location": torch.zeros(2, 2), "label": torch.tensor([0, 3])}),
    ("dict", {"location": torch.zeros(2, 2), "label": torch.tensor([-1, 0])}),
    ("grid", torch.tensor([[0, 0], [49, 0]])),
    ("grid", torch.tensor([[0, 0], [0, 3]])),
    ("saccade", torch.tensor([-1, 0])),
    ("box", torch.tensor([[0.0, 0, 0, 0, 0], [0, 0, 0, 0, float("nan")]])),
]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("turn", [0, 1, 2])
@pytest.mark.parametrize(("action_format", "wrong"), WRONG_TENSORS)
def test_a_wrong_action_on_the_device_is_reported_at_the_end_of_the_episode(
    action_format: str, wrong: Any, turn: int, mode: AutoresetMode, arrays: Arrays
) -> None:
    env = GlimpseVectorEnv(2, source=arrays, action_format=action_format, glimpses=3, output="torch", autoreset_mode=mode)
    right = {key: torch.zeros_like(part) for key, part in wrong.items()} if isinstance(wrong, dict) else torch.zeros_like(wrong)
    env.reset(seed=0)
    for step in range(2):
        observations, *_ = env.step(wrong if step == turn else right)
        assert to_numpy(observations) in env.observation_space
    with pytest.raises(ActionError, match="an action of this episode was outside the space"):
        env.step(wrong if turn == 2 else right)
    # A reset starts with a clean slate.
    env.reset()
    for _ in range(2):
        assert not env.step(right)[2].any()
    assert env.step(right)[2].all()


@pytest.mark.parametrize("switches", [{}, {"zoom": True, "rotate": True}, ALL_SWITCHES])
def test_without_autoreset_no_step_before_the_last_waits_for_the_device(
    switches: dict[str, Any], action_format: str, arrays: Arrays, operations: Any
) -> None:
    settings = {"action_format": action_format, "glimpses": 4, "output": "torch", **possible(switches, action_format)}
    env = GlimpseVectorEnv(ROWS, source=arrays, autoreset_mode="Disabled", **settings)
    env.action_space.seed(0)
    env.reset(seed=0)
    waiting = {"_local_scalar_dense.default", "nonzero.default", "masked_select.default"}
    actions = [to_torch(env.action_space.sample()) for _ in range(4)]
    with operations:
        for action in actions[:3]:
            env.step(action)
        assert not waiting & set(operations.names)
        env.step(actions[3])
        assert "_local_scalar_dense.default" in operations.names
    with pytest.raises(gym.error.ResetNeeded, match="every episode has ended"):
        env.step(actions[0])


def test_without_autoreset_tensors_go_on_to_the_last_step_though_all_have_stopped(arrays: Arrays) -> None:
    env = GlimpseVectorEnv(2, source=arrays, glimpses=3, output="torch", stop=True, autoreset_mode="Disabled")
    env.reset(options={"index": np.array([4, 5])})
    observation, rewards, terminated, _, infos = env.step({**to_torch(dict_actions([1, 1])), "stop": torch.tensor([1, 1])})
    assert (rewards.tolist(), terminated.tolist(), infos["label"].tolist()) == ([1.0, 0.0], [True, True], [1, 2])
    for _ in range(2):
        again, rewards, terminated, _, infos = env.step({**to_torch(dict_actions([1, 2])), "stop": torch.tensor([0, 7])})
        assert (rewards.tolist(), terminated.tolist()) == ([0.0, 0.0], [True, True])
        assert not infos["_label"].any()
        assert all(torch.equal(again[key], observation[key]) for key in again)
    with pytest.raises(gym.error.ResetNeeded):
        env.step({**to_torch(dict_actions([1, 1])), "stop": torch.tensor([1, 1])})


@pytest.mark.parametrize("steps", [1, 2])
def test_a_wrong_action_on_the_device_is_reported_by_a_reset_before_the_last_step(steps: int, arrays: Arrays) -> None:
    env = GlimpseVectorEnv(2, source=arrays, glimpses=3, output="torch", stop=True, autoreset_mode="Disabled")
    for wrong in (True, False):
        env.reset(seed=0)
        for _ in range(steps):
            env.step({**to_torch(dict_actions([1, 3 if wrong else 1])), "stop": torch.tensor([1, 1])})
        if wrong:
            with pytest.raises(ActionError, match="an action of this episode was outside the space"):
                env.reset()


@pytest.mark.parametrize("mode", [AutoresetMode.NEXT_STEP, AutoresetMode.SAME_STEP])
def test_after_a_report_without_a_reset_the_next_step_belongs_to_a_new_episode(mode: AutoresetMode, arrays: Arrays) -> None:
    env = GlimpseVectorEnv(2, source=arrays, glimpses=2, output="torch", autoreset_mode=mode)
    env.reset(seed=0)
    env.step(to_torch(dict_actions([0, 3])))
    with pytest.raises(ActionError, match="an action of this episode was outside the space"):
        env.step(to_torch(dict_actions([0, 0])))
    observations, _, terminated, _, infos = env.step(to_torch(dict_actions([0, 0])))
    assert to_numpy(observations) in env.observation_space
    assert observations["remaining"][:, 0].tolist() == ([1.0, 1.0] if mode is AutoresetMode.NEXT_STEP else [0.5, 0.5])
    assert not terminated.any()
    assert infos == {}


def test_a_saccade_beyond_the_classes_on_the_device_is_reported(arrays: Arrays) -> None:
    env = GlimpseVectorEnv(2, source=arrays, action_format="saccade", grid=2, output="torch")
    env.reset(seed=0)
    with pytest.raises(ActionError, match="an action of this episode was outside the space"):
        env.step(torch.tensor([0, 7]))


def test_double_precision_tensors_leave_observations_in_their_space(arrays: Arrays) -> None:
    for moves in ("absolute", "relative"):
        env = GlimpseVectorEnv(2, source=arrays, output="torch", moves=moves)
        env.reset(seed=0)
        actions = {"location": torch.full((2, 2), 0.1, dtype=torch.float64), "label": torch.tensor([0, 1])}
        observations, *_ = env.step(actions)
        assert {part.dtype for part in observations.values()} == {torch.float32}


@pytest.mark.parametrize("output", ["numpy", "torch"])
@pytest.mark.parametrize("mode", [AutoresetMode.NEXT_STEP, AutoresetMode.SAME_STEP])
@pytest.mark.parametrize("moves", ["absolute", "relative"])
def test_what_was_returned_and_what_was_passed_may_be_altered(
    moves: str, mode: AutoresetMode, output: str, action_format: str, arrays: Arrays
) -> None:
    """An environment whose caller overwrites everything goes on like one whose caller does not."""
    settings: dict[str, Any] = {"source": arrays, "action_format": action_format, "moves": moves, "start": "random", "glimpses": 3}
    env = GlimpseVectorEnv(ROWS, autoreset_mode=mode, output=output, **settings)
    twin = GlimpseVectorEnv(ROWS, autoreset_mode=mode, output=output, **settings)
    twin.action_space.seed(0)
    results, expected = env.reset(seed=0), twin.reset(seed=0)
    for _ in range(12):
        assert_alike(to_numpy(results), to_numpy(expected))
        spoil(results)
        actions = twin.action_space.sample()
        given, given_to_twin = (
            (to_torch(actions), to_torch(actions)) if output == "torch" else (pickle.loads(pickle.dumps(actions)), actions)
        )
        results, expected = env.step(given), twin.step(given_to_twin)
        spoil(given)


@pytest.mark.parametrize("output", ["numpy", "torch"])
def test_reset_options_may_be_altered_after_the_reset(output: str, arrays: Arrays) -> None:
    env = GlimpseVectorEnv(2, source=arrays, output=output, moves="relative", autoreset_mode="Disabled")
    options: dict[str, Any] = {"location": np.full((2, 2), 0.25, np.float32), "index": np.array([1, 2])}
    if output == "torch":
        options = to_torch(options)
    env.reset(options=options)
    spoil(options)
    actions = dict_actions([0, 0])
    observations, *_ = env.step(to_torch(actions) if output == "torch" else actions)
    assert observations["location"].tolist() == [[0.25, 0.25], [0.25, 0.25]]


@pytest.mark.parametrize("output", ["numpy", "torch"])
@pytest.mark.parametrize("mode", [AutoresetMode.NEXT_STEP, AutoresetMode.SAME_STEP])
def test_what_was_returned_stays_as_it_was(mode: AutoresetMode, output: str, action_format: str, arrays: Arrays) -> None:
    env = GlimpseVectorEnv(
        ROWS, source=arrays, action_format=action_format, start="random", glimpses=3, autoreset_mode=mode, output=output
    )
    env.action_space.seed(0)
    returned = [env.reset(seed=0)]
    kept = [pickle.loads(pickle.dumps(to_numpy(returned[0])))]
    for _ in range(9):
        actions = env.action_space.sample()
        returned.append(env.step(to_torch(actions) if output == "torch" else actions))
        kept.append(pickle.loads(pickle.dumps(to_numpy(returned[-1]))))
    assert_alike([to_numpy(result) for result in returned], kept)


# Worker processes -------------------------------------------------------------------------------------------------------------

WORKERS = """
import warnings

import gymnasium as gym
import numpy as np
import torch

warnings.simplefilter("error")
{before}

def make():
    # Names the module to import: a worker that is not forked knows no ids.
    return gym.make("attention_env:attention_env/Digits-v0", glimpses=3, start="random", distortion={{"shift": 0.1}})

workers = gym.vector.AsyncVectorEnv([make, make], context={context!r})
here = gym.vector.SyncVectorEnv([make, make])
here.action_space.seed(0)
np.testing.assert_equal(workers.reset(seed=0), here.reset(seed=0))
for _ in range(8):
    actions = here.action_space.sample()
    np.testing.assert_equal(workers.step(actions), here.step(actions))
workers.close()
print("workers agree")
"""
# Starts torch's threads in the parent, if the machine has more than one core.
THREADS = """
torch.set_num_threads(2)
for _ in range(3):
    (torch.ones(600, 600) @ torch.ones(600, 600)).exp().sum()
"""


@pytest.mark.parametrize(("context", "before"), [(None, ""), ("forkserver", ""), (None, THREADS)])
def test_worker_processes_give_the_same_episodes_and_do_not_hang(context: str | None, before: str) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", WORKERS.format(context=context, before=before)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        output, errors = process.communicate(timeout=300)
    except subprocess.TimeoutExpired:
        pytest.fail("the worker processes hang")
    finally:
        if process.poll() is None:
            # The session is the script's own: this ends it and its workers, and nothing else.
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
    assert process.returncode == 0, errors
    assert output == "workers agree\n"


# Starting again ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("before", [False, True], ids=["nothing before", "an invalid action before"])
@pytest.mark.parametrize("switches", [{}, ALL_SWITCHES], ids=str)
def test_episodes_are_started_again_with_what_others_were_started_with(
    switches: dict[str, Any], before: bool, arrays: Arrays
) -> None:
    settings: dict[str, Any] = {"source": arrays, "glimpses": 2, "output": "torch", "autoreset_mode": "Disabled", **switches}
    first, again = (gym.make_vec("attention_env/Digits-v0", num_envs=ROWS, **settings).unwrapped for _ in range(2))
    assert isinstance(first, GlimpseVectorEnv)
    assert isinstance(again, GlimpseVectorEnv)
    right, _ = first.reset(seed=3, options={"location": np.full((ROWS, 2), 0.25, np.float32)})
    started = first.started()
    if before:
        again.reset(seed=4)
        again.step({name: torch.full_like(torch.from_numpy(part), -1) for name, part in again.action_space.sample().items()})
    found = again.restart(started)
    assert found.keys() == right.keys()
    for name, part in found.items():
        assert torch.equal(part, right[name])
    action = {name: torch.from_numpy(part) for name, part in first.action_space.sample().items()}
    if switches:
        action["stop"] = torch.zeros_like(action["stop"])
    for _ in range(2):
        one, other = first.step(action), again.step(action)
        for name, part in one[0].items():
            assert torch.equal(other[0][name], part)
        assert torch.equal(one[1], other[1])
    assert one[2].all()


def test_a_world_that_moves_is_not_started_again() -> None:
    environment = gym.make_vec("attention_env/Catch-v0", num_envs=2).unwrapped
    assert isinstance(environment, GlimpseVectorEnv)
    environment.reset(seed=0)
    with pytest.raises(ValueError, match="only episodes whose pictures stay as they are"):
        environment.restart(environment.started())

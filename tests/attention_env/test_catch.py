"""Catch: the world against a loop, the ends, what it refuses, and Gymnasium's checks."""

from __future__ import annotations

import pickle
import warnings
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium.envs.registration import EnvSpec
from gymnasium.utils.env_checker import check_env
from gymnasium.vector import AutoresetMode
from numpy.typing import NDArray

from attention_env.envs.catch import GAMES, SIDE, CatchVectorEnv, load_games

ID = "attention_env/Catch-v0"
FORMATS = ("dict", "grid", "box")
SWITCHES: dict[str, Any] = {"zoom": True, "rotate": True, "step_cost": 0.01}


def screens_by_loop(start: NDArray[np.float32], moves: NDArray[np.int64]) -> tuple[list[NDArray[np.uint8]], bool]:
    """Play one game in plain numbers: the screen before each move and after the last, and whether the ball was caught."""
    column, speed, paddle = np.float32(start[0]), np.float32(start[1]), int(start[2])
    screens = []
    for row in range(len(moves) + 1):
        screen = np.zeros((SIDE, SIDE), np.uint8)
        screen[row, round(float(column))] = 1
        screen[SIDE - 1, paddle : paddle + 2] = 1
        screens.append(screen)
        if row == len(moves):
            break
        column += speed
        if column < 0:
            column, speed = -column, -speed
        elif column > SIDE - 1:
            column, speed = 2 * np.float32(SIDE - 1) - column, -speed
        paddle = min(max(paddle + int(moves[row]) - 1, 0), SIDE - 2)
    return screens, round(float(column)) in (paddle, paddle + 1)


def look_nowhere(moves: NDArray[np.int64]) -> dict[str, Any]:
    return {"location": np.zeros((len(moves), 2), np.float32), "label": moves}


@pytest.mark.parametrize("output", ["numpy", "torch"])
def test_the_world_is_that_of_a_loop(output: str) -> None:
    count = 200
    env = CatchVectorEnv(count, split="test", autoreset_mode="Disabled", output=output)
    moves = np.random.default_rng(0).integers(0, 3, (SIDE - 1, count))
    env.reset(options={"index": np.arange(count)})
    shown = [env.images()]
    for turn in range(SIDE - 1):
        action = look_nowhere(moves[turn])
        if output == "torch":
            action = {name: torch.from_numpy(value) for name, value in action.items()}
        _, rewards, terminated, _, infos = env.step(action)
        shown.append(env.images())
        assert np.asarray(terminated).all() == (turn == SIDE - 2)
    starts = load_games("test").starts
    caught = []
    for game in range(count):
        screens, success = screens_by_loop(starts[game], moves[:, game])
        for turn, screen in enumerate(screens):
            np.testing.assert_array_equal(shown[turn][game, 0].numpy(), screen, err_msg=f"game {game}, turn {turn}")
        caught.append(success)
    assert 0 < sum(caught) < count / 2
    assert np.asarray(rewards).tolist() == caught
    assert np.asarray(infos["is_success"]).tolist() == caught
    assert "label" not in infos


def test_whoever_knows_where_the_ball_lands_catches_it() -> None:
    count = 1_000
    env = CatchVectorEnv(count, split="test", autoreset_mode="Disabled")
    env.reset(options={"index": np.arange(count)})
    starts = load_games("test").starts[:count]
    lands = []
    for start in starts:
        screens, _ = screens_by_loop(start, np.ones(SIDE - 1, np.int64))
        row = screens[-1][-1].copy()
        column, speed = np.float32(start[0]), np.float32(start[1])
        for _ in range(SIDE - 1):
            column += speed
            if column < 0 or column > SIDE - 1:
                column, speed = (-column if column < 0 else 2 * np.float32(SIDE - 1) - column), -speed
        lands.append(round(float(column)))
        assert row[lands[-1]] == 1
    paddle, target = starts[:, 2].astype(int), np.array(lands)
    for _ in range(SIDE - 1):
        moves = np.where(target < paddle, 0, np.where(target > paddle + 1, 2, 1))
        paddle = np.clip(paddle + moves - 1, 0, SIDE - 2)
        _, rewards, *_ = env.step(look_nowhere(moves))
    assert rewards.mean() == 1.0


@pytest.mark.parametrize("split", list(GAMES))
def test_games_of_a_split_are_fixed_and_within_the_screen(split: str) -> None:
    games = load_games(split)
    assert len(games) == GAMES[split][1]
    assert load_games(split) is games
    column, speed, paddle = games.starts.T
    assert set(column) == set(range(SIDE))
    assert set(paddle) == set(range(SIDE - 1))
    assert np.abs(speed).max() <= 1.5
    assert np.abs(speed).max() > 1.49
    with pytest.raises(ValueError, match="unknown split 'all'"):
        load_games("all")


def test_splits_share_no_game() -> None:
    rows = [{tuple(start) for start in load_games(split).starts.tolist()} for split in GAMES]
    assert not rows[0] & rows[1]
    assert not rows[0] & rows[2]
    assert not rows[1] & rows[2]


@pytest.mark.parametrize("action_format", FORMATS)
@pytest.mark.parametrize("render_mode", [None, "rgb_array"])
def test_the_environment_checker_finds_nothing(action_format: str, render_mode: str | None) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_env(gym.make(ID, action_format=action_format, render_mode=render_mode).unwrapped)


@pytest.mark.parametrize("action_format", FORMATS)
def test_the_environment_checker_finds_nothing_with_switches(action_format: str) -> None:
    check_env(gym.make(ID, action_format=action_format, **SWITCHES).unwrapped)


@pytest.mark.parametrize("switches", [{}, SWITCHES])
@pytest.mark.parametrize("action_format", FORMATS)
@pytest.mark.parametrize("mode", [AutoresetMode.NEXT_STEP, AutoresetMode.SAME_STEP])
def test_one_row_is_the_single_environment(action_format: str, mode: AutoresetMode, switches: dict[str, Any]) -> None:
    settings = {"action_format": action_format, "glimpses": 5, **switches}
    env, batch = gym.make(ID, **settings), gym.make_vec(ID, num_envs=1, autoreset_mode=mode, **settings)
    observations, _ = batch.reset(seed=3)
    observation, _ = env.reset(seed=3)
    env.action_space.seed(0)
    for _ in range(5):
        np.testing.assert_equal({key: value[0] for key, value in observations.items()}, observation)
        action = env.action_space.sample()
        rows = {key: np.array(part)[None] for key, part in action.items()} if isinstance(action, dict) else np.array([action])
        observations, rewards, terminated, *_ = batch.step(rows)
        observation, reward, ended, _, _ = env.step(action)
        assert (rewards[0], terminated[0]) == (reward, ended)
    assert ended


def test_a_mask_restarts_its_games_only() -> None:
    env = CatchVectorEnv(3, split="test", autoreset_mode="Disabled")
    env.reset(options={"index": np.array([0, 1, 2])})
    for _ in range(4):
        env.step(look_nowhere(np.array([0, 1, 2])))
    before = env.images()
    env.reset(options={"reset_mask": np.array([False, True, False]), "index": np.array([5, 6, 7])})
    after = env.images()
    assert torch.equal(before[[0, 2]], after[[0, 2]])
    screens, _ = screens_by_loop(load_games("test").starts[6], np.ones(2, np.int64))
    np.testing.assert_array_equal(after[1, 0].numpy(), screens[0])
    env.step(look_nowhere(np.array([1, 1, 1])))
    np.testing.assert_array_equal(env.images()[1, 0].numpy(), screens[1])


def test_copies_play_the_same_game() -> None:
    env = CatchVectorEnv(6)
    env.reset(seed=0, options={"copies": 3})
    images = env.images()
    assert torch.equal(images[:2], images[2:4])
    assert torch.equal(images[:2], images[4:])


def test_a_shorter_game_begins_lower_and_ends_at_the_paddle() -> None:
    env = CatchVectorEnv(1, glimpses=5)
    env.reset(seed=0)
    assert env.images()[0, 0, SIDE - 1 - 5].sum() == 1
    for turn in range(5):
        _, _, terminated, *_ = env.step(look_nowhere(np.array([1])))
        assert terminated[0] == (turn == 4)


def test_seeds_pickling_and_specifications() -> None:
    first, second = (gym.make_vec(ID, num_envs=4) for _ in range(2))
    np.testing.assert_equal(first.reset(seed=5), second.reset(seed=5))
    again = pickle.loads(pickle.dumps(gym.make(ID, glimpses=7).unwrapped))
    np.testing.assert_equal(again.reset(seed=1), gym.make(ID, glimpses=7).reset(seed=1))
    spec = EnvSpec.from_json(gym.make(ID, glimpses=7).spec.to_json())
    np.testing.assert_equal(gym.make(spec).reset(seed=1), gym.make(ID, glimpses=7).reset(seed=1))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"source": "mnist"}, "Catch takes no other source than 'catch', got 'mnist'"),
        ({"distortion": {"rotation": 5}}, "Catch takes no other distortion than None"),
        ({"scene": {"canvas": 60}}, "Catch takes no other scene than None"),
        ({"reward": "dense"}, "Catch takes no other reward than 'sparse'"),
        ({"action_format": "saccade"}, "use action_format='dict', 'grid' or 'box'"),
        ({"stop": True}, "Catch takes no stop=True: the ball must come down"),
        ({"glimpses": 24}, "Catch has at most 23 glimpses"),
        ({"split": "all"}, "unknown split 'all'"),
    ],
)
def test_what_catch_cannot_do_is_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        gym.make(ID, **settings)

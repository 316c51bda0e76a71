"""The single environment: Gymnasium's rules for every id, and what an episode is."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium.utils.env_checker import check_env
from numpy.typing import NDArray
from playing import play

from attention_env.actions import ActionError
from attention_env.envs.glimpse import GlimpseEnv
from attention_env.rendering import draw_frame
from attention_env.retina import glimpse

Arrays = tuple[NDArray[np.uint8], NDArray[np.int64]]
Result = tuple[Any, float, bool, bool, dict[str, Any]]


SWITCHES: list[dict[str, Any]] = [
    {"zoom": True},
    {"rotate": True, "scales": 2},
    {"stop": True, "reward": "dense"},
    {"zoom": True, "rotate": True, "stop": True, "step_cost": 0.05},
]


def possible(switches: dict[str, Any], action_format: str) -> dict[str, Any]:
    """Leave out what "saccade" refuses."""
    return {name: value for name, value in switches.items() if action_format != "saccade" or name not in ("stop", "reward")}


def act(x: float, y: float, label: int) -> dict[str, Any]:
    return {"location": np.array([x, y], np.float32), "label": label}


# Gymnasium's rules --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("render_mode", [None, "rgb_array"])
def test_the_environment_checker_finds_nothing(environment_id: str, action_format: str, render_mode: str | None) -> None:
    # Its warnings are errors here, as all warnings are.
    check_env(gym.make(environment_id, action_format=action_format, render_mode=render_mode).unwrapped)


@pytest.mark.parametrize(
    "settings",
    [
        {"moves": "relative", "move_scale": 0.3},
        {"start": "random", "scales": 3, "interpolation": "bilinear"},
        {"start": [1.0, -1.0], "reward": "dense", "split": "test"},
        {"distortion": {"rotation": 15.0, "scale": 0.1, "shear": 0.1, "shift": 0.1, "elastic": 0.02}},
        {"glimpses": 1, "glimpse_size": 1},
        {"action_format": "saccade", "moves": "relative", "grid": 2},
        {"step_cost": 0.1, "scales": 2},
    ],
)
def test_the_environment_checker_finds_nothing_whatever_the_settings(settings: dict[str, Any]) -> None:
    check_env(gym.make("attention_env/Digits-v0", **settings).unwrapped)


@pytest.mark.parametrize("render_mode", [None, "rgb_array"])
@pytest.mark.parametrize("switches", SWITCHES)
def test_the_environment_checker_finds_nothing_with_switches(
    switches: dict[str, Any], action_format: str, render_mode: str | None
) -> None:
    settings = possible(switches, action_format)
    check_env(gym.make("attention_env/Digits-v0", action_format=action_format, render_mode=render_mode, **settings).unwrapped)


def test_the_environment_checker_finds_nothing_with_all_switches(environment_id: str, action_format: str) -> None:
    check_env(gym.make(environment_id, action_format=action_format, **possible(SWITCHES[-1], action_format)).unwrapped)


@pytest.mark.parametrize("used", [False, True])
def test_switches_keep_determinism_and_survive_pickling(environment_id: str, action_format: str, used: bool) -> None:
    settings: dict[str, Any] = {"action_format": action_format, "start": "random", **possible(SWITCHES[-1], action_format)}
    first, second = (gym.make(environment_id, **settings) for _ in range(2))
    if used:
        play(first, seed=1, steps=4)
    first = pickle.loads(pickle.dumps(first))
    np.testing.assert_equal(play(first, seed=5), play(second, seed=5))


def test_the_same_seed_and_actions_give_the_same_episodes(environment_id: str, action_format: str) -> None:
    settings: dict[str, Any] = {"action_format": action_format, "start": "random", "distortion": {"shift": 0.1}}
    first, second = (gym.make(environment_id, **settings) for _ in range(2))
    episodes = play(first, seed=5)
    np.testing.assert_equal(play(second, seed=5), episodes)
    np.testing.assert_equal(play(first, seed=5), episodes)
    with pytest.raises(AssertionError):
        np.testing.assert_equal(play(first, seed=6), episodes)


@pytest.mark.parametrize("used", [False, True])
def test_environments_survive_pickling(environment_id: str, action_format: str, used: bool) -> None:
    env = gym.make(environment_id, action_format=action_format, glimpses=3)
    if used:
        play(env, seed=1, steps=4)
    copy = pickle.loads(pickle.dumps(env))
    np.testing.assert_equal(play(copy, seed=2), play(env, seed=2))


def test_environments_of_arrays_survive_pickling(arrays: Arrays) -> None:
    env = GlimpseEnv(source=arrays)
    env.reset()
    copy = pickle.loads(pickle.dumps(env))
    with pytest.raises(gym.error.ResetNeeded):
        copy.step(act(0.0, 0.0, 0))
    np.testing.assert_equal(play(copy, seed=2), play(env, seed=2))


@pytest.mark.parametrize("switches", [{}, SWITCHES[-1]])
def test_a_constructor_runs_no_torch_operation(
    environment_id: str, action_format: str, switches: dict[str, Any], operations: Any
) -> None:
    # Forked workers would hang if the process that makes the environments had started threads of torch.
    with operations:
        gym.make(environment_id, action_format=action_format, distortion={"shift": 0.1}, **possible(switches, action_format))
        assert operations.names == []
        torch.zeros(1)
    assert len(operations.names) == 1


def test_neither_torchs_nor_numpys_global_generator_is_touched() -> None:
    before, numpys = torch.random.get_rng_state(), np.random.get_state()[1].copy()
    play(GlimpseEnv(source="digits", start="random", distortion={"elastic": 0.1}), seed=0)
    assert torch.equal(torch.random.get_rng_state(), before)
    assert np.array_equal(np.random.get_state()[1], numpys)


# Drawing ------------------------------------------------------------------------------------------------------------------


@pytest.fixture
def _no_display(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    yield
    import pygame

    pygame.quit()


def test_rgb_array_is_a_frame(environment_id: str, action_format: str) -> None:
    env = gym.make(environment_id, action_format=action_format, render_mode="rgb_array")
    env.reset(seed=0)
    frame: Any = env.render()
    assert frame.dtype == np.uint8
    assert frame.ndim == 3
    assert frame.shape[2] == 3


def test_rgb_array_list_is_every_frame_since_the_last_call(environment_id: str) -> None:
    env = gym.make(environment_id, render_mode="rgb_array_list", glimpses=3)
    env.reset(seed=0)
    for _ in range(3):
        env.step(env.action_space.sample())
    frames: Any = env.render()
    assert len(frames) == 4
    assert len({frame.shape for frame in frames}) == 1
    assert env.render() == []


@pytest.mark.usefixtures("_no_display")
def test_human_shows_a_window(environment_id: str) -> None:
    with pytest.warns(UserWarning, match="The HumanRendering wrapper is being applied"):
        env = gym.make(environment_id, render_mode="human", glimpses=1)
    # Waits between frames as long as the metadata say: a higher rate keeps the test short.
    env.metadata["render_fps"] = 1000
    env.reset(seed=0)
    assert env.step(env.action_space.sample())[2]
    import pygame

    assert pygame.display.get_surface() is not None
    env.close()


def test_without_a_render_mode_nothing_is_drawn(arrays: Arrays) -> None:
    env = GlimpseEnv(source=arrays)
    env.reset()
    assert env.render() is None


def test_drawing_changes_nothing_in_the_episodes(action_format: str, arrays: Arrays) -> None:
    drawn = GlimpseEnv(source=arrays, action_format=action_format, start="random", glimpses=3, render_mode="rgb_array")
    plain = GlimpseEnv(source=arrays, action_format=action_format, start="random", glimpses=3)
    for env in (drawn, plain):
        env.action_space.seed(0)
    np.testing.assert_equal(drawn.reset(seed=0), plain.reset(seed=0))
    for _ in range(9):
        drawn.render()
        result = drawn.step(drawn.action_space.sample())
        np.testing.assert_equal(result, plain.step(plain.action_space.sample()))
        if result[2]:
            drawn.render()
            np.testing.assert_equal(drawn.reset(), plain.reset())


def test_a_frame_shows_the_path_so_far_and_a_reset_clears_it(one_picture: Arrays) -> None:
    env = GlimpseEnv(source=one_picture, render_mode="rgb_array", glimpses=4)
    env.reset()
    start = env.render()
    env.step(act(0.5, 0.5, 0))
    once = env.render()
    env.step(act(-0.5, 0.5, 0))
    twice = env.render()
    env.step(act(0.0, 0.0, 0))
    back = env.render()
    assert not np.array_equal(start, once)
    assert not np.array_equal(once, twice)
    # At the place where it started, but the way there is drawn; the ignored location of the last action is not.
    assert not np.array_equal(start, back)
    env.step(act(1.0, 1.0, 0))
    assert np.array_equal(env.render(), back)
    env.reset()
    assert np.array_equal(env.render(), start)


@pytest.mark.parametrize("scales", [1, 3])
def test_record_video_writes_films(scales: int, tmp_path: Path) -> None:
    env = gym.wrappers.RecordVideo(
        gym.make("attention_env/Digits-v0", render_mode="rgb_array", scales=scales, glimpses=2),
        str(tmp_path / "films"),
        episode_trigger=lambda episode: episode < 2,
        disable_logger=True,
    )
    for _ in range(2):
        env.reset()
        while not env.step(env.action_space.sample())[2]:
            pass
    env.close()
    films = sorted(tmp_path.glob("films/*.mp4"))
    assert len(films) == 2
    assert all(film.stat().st_size > 1_000 for film in films)


def test_record_episode_statistics_tells_return_and_length(environment_id: str) -> None:
    env = gym.wrappers.RecordEpisodeStatistics(gym.make(environment_id, glimpses=4, reward="dense", split="test"))
    label = int(env.unwrapped.batch.pictures.labels[7])
    env.reset(options={"index": 7})
    for turn in range(4):
        *_, info = env.step(act(0.0, 0.0, label if turn else 1 - min(label, 1)))
    assert info["episode"]["l"] == 4
    assert info["episode"]["r"] == pytest.approx(0.75)


# What an episode is ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("glimpses", [1, 2, 6])
@pytest.mark.parametrize("right", [True, False])
def test_n_glimpses_are_a_reset_and_n_minus_one_looks_and_action_n_carries_the_class(
    glimpses: int, right: bool, arrays: Arrays
) -> None:
    images, labels = arrays
    env = GlimpseEnv(source=arrays, glimpses=glimpses, glimpse_size=4, scales=2)
    observation, info = env.reset(options={"index": 5})
    place = np.zeros(2, np.float32)
    assert info == {}
    generator = np.random.default_rng(0)
    for turn in range(glimpses):
        np.testing.assert_array_equal(observation["location"], place)
        seen = glimpse(torch.from_numpy(images[5:6]), torch.from_numpy(place[None]), 4, 2)[0].numpy()
        np.testing.assert_array_equal(observation["glimpse"], seen)
        assert observation["remaining"] == pytest.approx((glimpses - turn) / glimpses)
        last = turn == glimpses - 1
        asked = generator.uniform(-1, 1, 2).astype(np.float32)
        # Only the last action's label counts: the true one before it must not help, nor a wrong one harm.
        label = int(labels[5]) if last == right else (int(labels[5]) + 1) % 3
        observation, reward, terminated, truncated, info = env.step({"location": asked, "label": label})
        assert terminated is last
        assert truncated is False
        assert reward == float(last and right)
        assert info == ({"label": int(labels[5]), "is_success": right} if last else {})
        place = place if last else asked
    # The last action's location was ignored.
    np.testing.assert_array_equal(observation["location"], place)
    assert observation["remaining"] == 0


def test_the_types_of_flags_rewards_and_infos_are_pythons_own(arrays: Arrays) -> None:
    env = GlimpseEnv(source=arrays, glimpses=1)
    env.reset()
    _, reward, terminated, truncated, info = env.step(act(0.0, 0.0, 0))
    kinds = [type(value) for value in (reward, terminated, truncated, info["label"], info["is_success"])]
    assert kinds == [float, bool, bool, int, bool]


def test_dense_reward_is_one_nth_at_each_step_whose_label_is_right(arrays: Arrays) -> None:
    env = GlimpseEnv(source=arrays, glimpses=5, reward="dense")
    env.reset(options={"index": 4})  # of class 1
    results = [env.step(act(0.1, 0.2, label)) for label in (1, 0, 1, 1, 2)]
    assert [reward for _, reward, *_ in results] == pytest.approx([0.2, 0.0, 0.2, 0.2, 0.0])
    assert [terminated for _, _, terminated, *_ in results] == [False] * 4 + [True]
    assert results[-1][-1] == {"label": 1, "is_success": False}


@pytest.mark.parametrize("turns", [0, 1, 3])
@pytest.mark.parametrize("right", [True, False])
def test_a_saccade_that_names_a_class_ends_the_episode_at_once(turns: int, right: bool, arrays: Arrays) -> None:
    env = GlimpseEnv(source=arrays, glimpses=4, action_format="saccade", grid=3)
    assert env.action_space == gym.spaces.Discrete(9 + 3)
    env.reset(options={"index": 4})
    for _ in range(turns):
        _, reward, terminated, _, info = env.step(7)
        assert (reward, terminated, info) == (0.0, False, {})
    observation, reward, terminated, truncated, info = env.step(9 + (1 if right else 2))
    assert (reward, terminated, truncated) == (float(right), True, False)
    assert info == {"label": 1, "is_success": right}
    # Naming a class does not move the eye.
    assert observation["location"] == pytest.approx([0.0, 2 / 3] if turns else [0.0, 0.0])
    assert observation["remaining"] == pytest.approx((3 - turns) / 4)


def test_n_saccades_without_a_class_end_without_reward(arrays: Arrays) -> None:
    env = GlimpseEnv(source=arrays, glimpses=3, action_format="saccade", grid=3)
    env.reset(options={"index": 0})  # of class 0, which a mistaken label of 0 would find right
    results: list[Result] = [env.step(cell) for cell in (0, 8, 4)]
    assert [result[1] for result in results] == [0.0] * 3
    assert [result[2] for result in results] == [False, False, True]
    assert results[-1][4] == {"label": 0, "is_success": False}


@pytest.mark.parametrize("grid", [2, 3, 7])
def test_saccades_look_at_the_centres_of_cells(grid: int, arrays: Arrays) -> None:
    env = GlimpseEnv(source=arrays, glimpses=grid**2 + 1, action_format="saccade", grid=grid, glimpse_size=3)
    env.reset(options={"index": 2})
    for cell in range(grid**2):
        row, column = divmod(cell, grid)
        observation, *_ = env.step(cell)
        place = [-1 + (2 * column + 1) / grid, -1 + (2 * row + 1) / grid]
        assert observation["location"] == pytest.approx(place, abs=1e-6)
        seen = glimpse(torch.from_numpy(arrays[0][2:3]), torch.from_numpy(observation["location"][None]), 3)[0]
        np.testing.assert_array_equal(observation["glimpse"], seen.numpy())


def test_relative_moves_are_added_times_their_scale_and_clipped(arrays: Arrays) -> None:
    env = GlimpseEnv(source=arrays, glimpses=6, moves="relative", move_scale=0.5, start=[0.5, -0.5])
    observation, _ = env.reset()
    places = [observation["location"].tolist()]
    for x, y in [(0.5, 0.5), (1.0, -1.0), (1.0, -1.0), (-3.0, 0.0), (0.3, 0.3)]:
        observation, *_ = env.step(act(x, y, 0))
        places.append(observation["location"].tolist())
    expected = [[0.5, -0.5], [0.75, -0.25], [1.0, -0.75], [1.0, -1.0], [0.5, -1.0], [0.65, -0.85]]
    np.testing.assert_allclose(places, expected, atol=1e-6)


def test_relative_saccades_are_displacements(arrays: Arrays) -> None:
    env = GlimpseEnv(source=arrays, glimpses=4, moves="relative", move_scale=0.3, action_format="saccade", grid=3)
    env.reset()
    places = [env.step(cell)[0]["location"].tolist() for cell in (4, 5, 0)]
    np.testing.assert_allclose(places, [[0.0, 0.0], [0.2, 0.0], [0.0, -0.2]], atol=1e-6)


@pytest.mark.parametrize(("asked", "reached"), [((1.7, -3.0), (1.0, -1.0)), ((-1e6, 0.25), (-1.0, 0.25))])
def test_locations_beyond_the_picture_are_clipped(asked: tuple[float, float], reached: tuple[float, float], arrays: Arrays) -> None:
    env = GlimpseEnv(source=arrays)
    env.reset()
    observation, *_ = env.step(act(*asked, 0))
    assert observation["location"].tolist() == list(reached)
    assert observation in env.observation_space


@pytest.mark.parametrize(("start", "place"), [("center", [0.0, 0.0]), ([0.25, -1.0], [0.25, -1.0]), ((0.5, 0.5), [0.5, 0.5])])
def test_episodes_start_where_they_are_told_to(start: Any, place: list[float], arrays: Arrays) -> None:
    env = GlimpseEnv(source=arrays, start=start)
    for _ in range(3):
        assert env.reset()[0]["location"].tolist() == place


def test_random_starts_are_spread_over_the_whole_picture(arrays: Arrays) -> None:
    env = GlimpseEnv(source=arrays, start="random")
    places = np.stack([env.reset(seed=0 if number == 0 else None)[0]["location"] for number in range(200)])
    assert (np.abs(places) <= 1).all()
    assert (places.min(axis=0) < -0.9).all()
    assert (places.max(axis=0) > 0.9).all()
    assert np.abs(places.mean(axis=0)).max() < 0.15


def test_pictures_are_drawn_uniformly_with_repetition(arrays: Arrays) -> None:
    env = GlimpseEnv(source=(arrays[0], np.arange(9)), glimpses=1)
    env.reset(seed=0)
    drawn = []
    for _ in range(450):
        drawn.append(env.step(act(0.0, 0.0, 0))[4]["label"])
        env.reset()
    # 50 of each expected; the deviation of such a count is under 7.
    assert np.abs(np.bincount(drawn, minlength=9) - 50).max() < 30


@pytest.mark.parametrize("start", ["center", "random", [0.5, 0.5]])
def test_reset_options_choose_picture_and_place(start: Any, arrays: Arrays) -> None:
    env = GlimpseEnv(source=arrays, start=start, glimpse_size=8)
    for index in range(9):
        observation, _ = env.reset(options={"index": index, "location": [0.0, -0.25]})
        assert observation["location"].tolist() == [0.0, -0.25]
        expected = glimpse(torch.from_numpy(arrays[0][index : index + 1]), torch.tensor([[0.0, -0.25]]), 8)[0]
        np.testing.assert_array_equal(observation["glimpse"], expected.numpy())


def test_a_place_may_be_given_in_whole_numbers(arrays: Arrays) -> None:
    observation, _ = GlimpseEnv(source=arrays).reset(options={"location": [1, -1], "copies": 1})
    assert observation["location"].tolist() == [1.0, -1.0]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"picture": 3}, "unknown reset option picture: choose from index, location, reset_mask"),
        ({"index": 9}, "index must be in 0 … 8, the pictures of arrays"),
        ({"index": -1}, "index must be in 0 … 8"),
        ({"index": 1.0}, "reset option 'index' must be whole numbers, got float64"),
        ({"index": [1, 2]}, r"reset option 'index' must be of shape \(1,\), got \(1, 2\)"),
        ({"location": [0.0, 1.1]}, r"location must be finite and within \[-1, 1\]"),
        ({"location": [0.0, float("nan")]}, r"location must be finite and within \[-1, 1\]"),
        ({"location": [0.0, 0.0, 0.0]}, r"reset option 'location' must be of shape \(1, 2\), got \(1, 3\)"),
        ({"location": "left"}, "reset option 'location' must be"),
    ],
)
def test_wrong_reset_options_are_refused(options: dict[str, Any], message: str, arrays: Arrays) -> None:
    env = GlimpseEnv(source=arrays)
    with pytest.raises(ValueError, match=message):
        env.reset(options=options)


@pytest.mark.parametrize(
    ("action", "message"),
    [
        (act(0.0, 0.0, 3), "label 3 is outside the space: it must be in 0 … 2"),
        (act(0.0, 0.0, -1), "label -1 is outside the space"),
        (act(float("nan"), 0.0, 0), "locations must be finite numbers"),
        (act(0.0, float("inf"), 0), "locations must be finite numbers"),
        ({"location": np.zeros(2), "label": 1.0}, "label must be a whole number, got float64"),
        ({"location": np.zeros(3), "label": 1}, r"location must be of shape \(1, 2\), got \(1, 3\)"),
        ({"location": np.zeros(2), "label": [1, 2]}, r"label must be of shape \(1,\), got \(1, 2\)"),
        ({"label": 1}, "an action is a dict with 'location' and 'label'"),
        (3, "an action is a dict with 'location' and 'label'"),
        (None, "an action is a dict with 'location' and 'label'"),
    ],
)
def test_wrong_actions_are_refused_and_leave_the_episode_as_it_was(action: Any, message: str, arrays: Arrays) -> None:
    env = GlimpseEnv(source=arrays, glimpses=2)
    env.reset(seed=0)
    with pytest.raises(ActionError, match=message):
        env.step(action)
    observation, _, terminated, *_ = env.step(act(0.5, 0.5, 0))
    assert observation["remaining"] == 0.5
    assert not terminated


@pytest.mark.parametrize(("action", "message"), [(12, "action 12 is outside"), (-1, "action -1 is outside"), (1.0, "whole number")])
def test_wrong_saccades_are_refused(action: Any, message: str, arrays: Arrays) -> None:
    env = GlimpseEnv(source=arrays, action_format="saccade", grid=3)
    env.reset()
    with pytest.raises(ActionError, match=message):
        env.step(action)


def test_stepping_before_a_reset_and_after_an_end_is_refused(arrays: Arrays) -> None:
    env = GlimpseEnv(source=arrays, glimpses=1)
    with pytest.raises(gym.error.ResetNeeded, match="call reset"):
        env.step(act(0.0, 0.0, 0))
    env.reset()
    env.step(act(0.0, 0.0, 0))
    with pytest.raises(gym.error.ResetNeeded, match="episode has ended"):
        env.step(act(0.0, 0.0, 0))
    env.reset()
    assert env.step(act(0.0, 0.0, 0))[2]


def test_a_single_environment_gives_no_tensors(arrays: Arrays) -> None:
    with pytest.raises(ValueError, match=r"use gym\.make_vec for output='torch'"):
        GlimpseEnv(source=arrays, output="torch")


def test_what_was_returned_and_what_was_passed_may_be_altered(action_format: str, arrays: Arrays) -> None:
    """An environment whose caller overwrites everything goes on like one whose caller does not."""
    settings: dict[str, Any] = {"source": arrays, "action_format": action_format, "moves": "relative", "start": "random"}
    env, twin = GlimpseEnv(**settings), GlimpseEnv(**settings)
    twin.action_space.seed(0)

    def spoil(value: Any) -> None:
        if isinstance(value, np.ndarray):
            value[...] = 7
        elif isinstance(value, dict):
            for part in value.values():
                spoil(part)

    place, place_of_twin = np.array([0.25, 0.5]), np.array([0.25, 0.5])
    results, expected = env.reset(seed=0, options={"location": place}), twin.reset(seed=0, options={"location": place_of_twin})
    spoil(place)
    for _ in range(15):
        np.testing.assert_equal(results[0], expected[0])
        spoil(results[0])
        if len(expected) == 5 and expected[2]:
            results, expected = env.reset(), twin.reset()
            continue
        action = twin.action_space.sample()
        action_of_env = {key: np.array(value) for key, value in action.items()} if isinstance(action, dict) else np.array(action)
        results, expected = env.step(action_of_env), twin.step(action)
        assert results[1:] == expected[1:]
        spoil(action_of_env)


def test_distortions_are_drawn_afresh_at_every_reset_and_kept_within_an_episode(one_picture: Arrays) -> None:
    env = GlimpseEnv(source=one_picture, distortion={"rotation": 20.0, "shift": 0.1}, glimpse_size=8)
    first = env.reset(seed=0)[0]["glimpse"]
    again = env.step(act(0.0, 0.0, 0))[0]["glimpse"]
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(env.reset()[0]["glimpse"], first)
    assert first.min() >= 0
    assert first.max() <= 1


# Zoom, rotation, stop and what a step costs -----------------------------------------------------------------------------------


def test_a_zoomed_and_turned_glimpse_is_the_retinas_and_is_told(arrays: Arrays) -> None:
    env = GlimpseEnv(source=arrays, glimpses=5, glimpse_size=3, scales=2, zoom=True, rotate=True)
    observation, _ = env.reset(options={"index": 3})
    picture, place = torch.from_numpy(arrays[0][3:4]), torch.tensor([[0.25, -0.5]])
    plain = glimpse(picture, torch.zeros(1, 2), 3, 2, "bilinear")
    np.testing.assert_allclose(observation["glimpse"], plain[0], atol=1e-5)
    assert (observation["zoom"].tolist(), observation["rotation"].tolist()) == ([0.0], [1.0, 0.0])
    for zoom, rotation, told in [(0.5, 0.25, 0.5), (-3.0, -0.5, -1.0), (1.5, 1.0, 1.0), (0.0, -1.75, 0.0)]:
        action = {**act(0.25, -0.5, 0), "zoom": np.array([zoom], np.float32), "rotation": np.array([rotation], np.float32)}
        observation, *_ = env.step(action)
        seen = glimpse(picture, place, 3, 2, "bilinear", torch.tensor([[zoom]]), torch.tensor([[rotation]]))
        np.testing.assert_allclose(observation["glimpse"], seen[0], atol=1e-6)
        assert observation["zoom"].tolist() == [told]
        np.testing.assert_allclose(observation["rotation"], [np.cos(rotation * np.pi), np.sin(rotation * np.pi)], atol=1e-6)
        assert observation in env.observation_space
    # The last action only answers.
    after, _, ended, *_ = env.step({**act(1.0, 1.0, 0), "zoom": np.ones(1), "rotation": np.ones(1)})
    assert ended
    for key in ("glimpse", "location", "zoom", "rotation"):
        np.testing.assert_array_equal(after[key], observation[key])
    observation, _ = env.reset()
    assert (observation["zoom"].tolist(), observation["rotation"].tolist()) == ([0.0], [1.0, 0.0])


def test_zoom_and_rotation_are_absolute_in_relative_moves_too(arrays: Arrays) -> None:
    env = GlimpseEnv(source=arrays, moves="relative", zoom=True, rotate=True)
    env.reset()
    action = {**act(0.1, 0.0, 0), "zoom": np.array([0.5]), "rotation": np.array([0.25])}
    for _ in range(3):
        observation, *_ = env.step(action)
    assert observation["zoom"].tolist() == [0.5]
    np.testing.assert_allclose(observation["rotation"], [0.5**0.5] * 2, atol=1e-6)
    np.testing.assert_allclose(observation["location"], [0.3, 0.0], atol=1e-6)


@pytest.mark.parametrize("turns", [0, 1, 3])
@pytest.mark.parametrize("right", [True, False])
@pytest.mark.parametrize("action_format", ["dict", "grid", "box"])
def test_an_action_that_stops_is_the_answer_and_its_location_is_ignored(
    action_format: str, right: bool, turns: int, arrays: Arrays
) -> None:
    env = GlimpseEnv(source=arrays, glimpses=4, action_format=action_format, grid=3, stop=True)

    def action(label: int, stop: bool) -> Any:
        scores = np.eye(3)[label]
        return {
            "dict": {**act(2 / 3, 0.0, label), "stop": int(stop)},
            "grid": np.array([5, label, stop]),
            "box": np.array([2 / 3, 0, 0.5 if stop else -0.5, *scores], np.float32),
        }[action_format]

    observation, _ = env.reset(options={"index": 4})  # of class 1
    for _ in range(turns):
        observation, reward, terminated, _, info = env.step(action(1, stop=False))
        assert (reward, terminated, info) == (0.0, False, {})
    # Action N ends the episode anyhow.
    after, reward, terminated, truncated, info = env.step(action(1 if right else 2, stop=turns < 3))
    assert (reward, terminated, truncated) == (float(right), True, False)
    assert info == {"label": 1, "is_success": right}
    np.testing.assert_array_equal(after["location"], observation["location"])
    np.testing.assert_array_equal(after["glimpse"], observation["glimpse"])
    assert after["remaining"] == pytest.approx((3 - turns) / 4)
    with pytest.raises(gym.error.ResetNeeded, match="episode has ended"):
        env.step(action(1, stop=True))
    assert env.reset()[0]["remaining"] == 1


@pytest.mark.parametrize("actions", [1, 2, 4])
@pytest.mark.parametrize("reward", ["sparse", "dense"])
def test_each_action_costs(reward: str, actions: int, arrays: Arrays) -> None:
    env = GlimpseEnv(source=arrays, glimpses=4, reward=reward, stop=True, step_cost=0.03)
    env.reset(options={"index": 4})
    rewards = [env.step({**act(0.0, 0.0, 1), "stop": int(turn == actions)})[1] for turn in range(1, actions + 1)]
    earned = [0.25] * actions if reward == "dense" else [0.0] * (actions - 1) + [1.0]
    assert rewards == pytest.approx([part - 0.03 for part in earned])


@pytest.mark.parametrize("action_format", ["dict", "grid", "saccade", "box"])
def test_what_an_episode_costs_is_its_length(action_format: str) -> None:
    settings: dict[str, Any] = {"action_format": action_format, "glimpses": 4, "grid": 4, "split": "test"}
    costly, free = (gym.make("attention_env/Digits-v0", step_cost=cost, **settings) for cost in (0.125, 0.0))
    costly.action_space.seed(0)
    lengths = set()
    for seed in range(20):
        costly.reset(seed=seed), free.reset(seed=seed)
        rewards: list[float] = []
        ended = False
        while not ended:
            action = costly.action_space.sample()
            result, twin = costly.step(action), free.step(action)
            np.testing.assert_equal(result[0], twin[0])
            assert result[2:] == twin[2:]
            rewards.append(float(result[1]))
            ended = result[2]
        assert sum(rewards) == float(twin[1]) - 0.125 * len(rewards)
        lengths.add(len(rewards))
    assert lengths == ({1, 2, 3, 4} if action_format == "saccade" else {4})


@pytest.mark.parametrize(
    ("part", "message"),
    [
        ({"zoom": np.array([np.nan])}, "zooms must be finite numbers"),
        ({"rotation": np.array([np.inf])}, "rotations must be finite numbers"),
        ({"stop": 2}, "stop 2 is outside the space: it must be in 0 … 1"),
        ({"zoom": 0.5}, r"zoom must be of shape \(1, 1\), got \(1,\)"),
    ],
)
def test_wrong_zooms_rotations_and_stops_are_refused(part: dict[str, Any], message: str, arrays: Arrays) -> None:
    env = GlimpseEnv(source=arrays, zoom=True, rotate=True, stop=True)
    env.reset()
    with pytest.raises(ActionError, match=message):
        env.step({**act(0.0, 0.0, 0), "zoom": np.zeros(1), "rotation": np.zeros(1), "stop": 0, **part})


@pytest.mark.parametrize("action_format", ["dict", "saccade"])
def test_a_frame_shows_the_box_at_its_zoom_and_angle(action_format: str, one_picture: Arrays) -> None:
    env = GlimpseEnv(source=one_picture, action_format=action_format, zoom=True, rotate=True, render_mode="rgb_array", grid=1)

    def look(level: int, eighths: int) -> Any:
        if action_format == "saccade":
            return level * 8 + eighths
        return {**act(0.0, 0.0, 0), "zoom": np.array([level - 1.0]), "rotation": np.array([eighths / 4])}

    path = [env.reset()[0]["location"]]
    picture, size = env.batch.images()[0].numpy(), env.batch.settings.glimpse_size
    for level, eighths in ((1, 0), (2, 0), (2, 1), (0, 3)):
        observation, *_ = env.step(look(level, eighths))
        path.append(observation["location"])
        angle = eighths * np.pi / 4
        expected = draw_frame(
            picture,
            observation["glimpse"],
            np.stack(path),
            size,
            1,
            level - 1,
            np.array((np.cos(angle), np.sin(angle)), np.float32),
        )
        np.testing.assert_array_equal(env.render(), expected)


def test_rgb_array_list_with_switches() -> None:
    switches = {"zoom": True, "rotate": True, "stop": True, "scales": 2}
    env = gym.make("attention_env/Digits-v0", render_mode="rgb_array_list", **switches)
    env.reset(seed=0)
    env.step({**act(0.3, 0.3, 0), "zoom": np.ones(1), "rotation": np.array([0.3]), "stop": 0})
    env.step({**act(0.0, 0.0, 0), "zoom": np.zeros(1), "rotation": np.zeros(1), "stop": 1})
    frames: Any = env.render()
    assert len(frames) == 3
    # The last action answers: what is seen stays.
    assert np.array_equal(frames[1], frames[2])

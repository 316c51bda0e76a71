"""The glimpse history against lists kept by hand beside the bare environment, in every format, autoreset mode and output."""

from __future__ import annotations

import pickle
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium.envs.registration import EnvSpec
from gymnasium.utils.env_checker import check_env
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from gymnasium.wrappers import FlattenObservation, TimeLimit
from numpy.typing import NDArray
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from attention_env.actions import ACTION_FORMATS, ActionError
from attention_env.envs.glimpse import GlimpseEnv, GlimpseVectorEnv
from attention_env.wrappers import GlimpseHistory, VectorGlimpseHistory

Arrays = tuple[NDArray[np.uint8], NDArray[np.int64]]
Seen = list[dict[str, NDArray[Any]]]
DIGITS, CATCH = "attention_env/Digits-v0", "attention_env/Catch-v0"
MODES = list(AutoresetMode)
ROWS, LENGTH = 5, 4
SETTINGS: dict[str, Any] = {"glimpses": LENGTH, "glimpse_size": 3, "scales": 2, "start": "random", "grid": 4}
PARTS = {"glimpses": "glimpse", "locations": "location", "zooms": "zoom", "rotations": "rotation"}
SHAPES = {"glimpses": (2, 3, 3), "locations": (2,), "zooms": (1,), "rotations": (2,)}
SWITCHES: dict[str, Any] = {"zoom": True, "rotate": True, "step_cost": 0.1}
# In Catch the world moves in the last step too, after the last glimpse.
TASKS = pytest.mark.parametrize(
    ("task", "action_format", "switches"),
    [
        *((DIGITS, name, {}) for name in ACTION_FORMATS),
        (CATCH, "dict", {}),
        *((DIGITS, name, {**SWITCHES, "stop": True}) for name in ACTION_FORMATS if name != "saccade"),
        (DIGITS, "saccade", {**SWITCHES, "grid": 1}),  # among more looks classes would be drawn rarely
        (CATCH, "dict", SWITCHES),
        (DIGITS, "dict", {"zoom": True}),
        (DIGITS, "grid", {"rotate": True}),
    ],
)


def array(value: Any) -> NDArray[Any]:
    """A copy of an array or tensor, as an array."""
    return value.numpy().copy() if isinstance(value, Tensor) else np.array(value)


def look(observation: Any, row: int | None = None) -> dict[str, NDArray[Any]]:
    """A copy of what one observation, or one row of a batch, shows."""
    return {key: array(part) if row is None else array(part)[row] for key, part in observation.items()}


def history(seen: Seen) -> dict[str, NDArray[np.float32]]:
    """The observation that a list of such copies should make, slot by slot."""
    names = [name for name, part in PARTS.items() if part in seen[0]]
    expected = {name: np.zeros((LENGTH, *SHAPES[name]), np.float32) for name in names}
    expected["seen"] = np.zeros(LENGTH, np.float32)
    for slot, shown in enumerate(seen):
        for name in names:
            expected[name][slot] = shown[PARTS[name]]
        expected["seen"][slot] = 1
    return expected


def row_of(observation: Any, row: int) -> dict[str, Any]:
    return {key: array(part)[row] for key, part in observation.items()}


def spoil(value: Any) -> None:
    """Overwrite every array and tensor in what an environment returned."""
    if isinstance(value, Tensor):
        value.zero_() if value.dtype == torch.bool else value.fill_(7)
    elif isinstance(value, np.ndarray) and value.dtype != object:
        value[...] = 0 if value.dtype == np.bool_ else 7
    elif value is not None:
        for part in value.values() if isinstance(value, dict) else value:
            spoil(part)


def tensors(actions: Any) -> Any:
    return {key: torch.tensor(value) for key, value in actions.items()} if isinstance(actions, dict) else torch.tensor(actions)


# One environment ----------------------------------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore:.*is different from the unwrapped version")
@pytest.mark.parametrize("render_mode", [None, "rgb_array"])
def test_the_environment_checker_finds_nothing(environment_id: str, render_mode: str | None) -> None:
    check_env(GlimpseHistory(gym.make(environment_id, render_mode=render_mode)))


@pytest.mark.filterwarnings("ignore:.*is different from the unwrapped version")
def test_the_environment_checker_finds_nothing_in_any_action_format(action_format: str) -> None:
    check_env(GlimpseHistory(gym.make(DIGITS, action_format=action_format, **SETTINGS)))


@TASKS
def test_the_history_is_that_of_a_list_by_hand(task: str, action_format: str, switches: dict[str, Any]) -> None:
    settings = {**SETTINGS, **switches, "action_format": action_format}
    env, bare = GlimpseHistory(gym.make(task, **settings)), gym.make(task, **settings)
    env.action_space.seed(0)
    lengths = set()
    for episode in range(30):
        seen = [look(bare.reset(seed=episode)[0])]
        np.testing.assert_equal(env.reset(seed=episode), (history(seen), {}))
        ended = False
        while not ended:
            action = env.action_space.sample()
            observation, *rest = env.step(action)
            bare_observation, *bare_rest = bare.step(action)
            assert rest == bare_rest
            ended = rest[1]
            if not ended:
                seen.append(look(bare_observation))
            assert observation in env.observation_space
            np.testing.assert_equal(observation, history(seen))
        lengths.add(len(seen))
    assert lengths == ({1, 2, 3, 4} if action_format == "saccade" or "stop" in switches else {LENGTH})


def test_the_space_is_that_of_the_environments_glimpses() -> None:
    env = GlimpseHistory(gym.make(DIGITS, glimpses=3, glimpse_size=5, scales=2))
    assert env.observation_space == gym.spaces.Dict(
        glimpses=gym.spaces.Box(0.0, 1.0, (3, 2, 5, 5), np.float32),
        locations=gym.spaces.Box(-1.0, 1.0, (3, 2), np.float32),
        seen=gym.spaces.Box(0.0, 1.0, (3,), np.float32),
    )
    env = GlimpseHistory(gym.make(DIGITS, glimpses=3, zoom=True, rotate=True))
    assert env.observation_space["zooms"] == gym.spaces.Box(-1.0, 1.0, (3, 1), np.float32)
    assert env.observation_space["rotations"] == gym.spaces.Box(-1.0, 1.0, (3, 2), np.float32)


def test_a_truncated_episode_keeps_its_last_glimpse() -> None:
    env = GlimpseHistory(TimeLimit(gym.make(DIGITS, **SETTINGS), 2))
    env.reset(seed=0)
    for _ in range(2):
        observation, _, terminated, truncated, _ = env.step(env.action_space.sample())
    assert (terminated, truncated) == (False, True)
    np.testing.assert_array_equal(observation["seen"], [1, 1, 1, 0])


def test_spoiling_what_one_environment_returned_changes_nothing_later() -> None:
    careless, careful = (GlimpseHistory(gym.make(DIGITS, **SETTINGS)) for _ in range(2))
    careful.action_space.seed(0)
    ended = True
    for _ in range(3 * LENGTH):
        if ended:
            spoil(careless.reset(seed=1)[0])
            careful.reset(seed=1)
        action = careful.action_space.sample()
        observation, _, ended, _, _ = careless.step(action)
        np.testing.assert_equal(observation, careful.step(action)[0])
        spoil(observation)


def test_a_history_survives_json_and_pickling() -> None:
    env = GlimpseHistory(gym.make(DIGITS, **SETTINGS))
    assert env.spec is not None
    env.reset(seed=0)
    for again in (gym.make(EnvSpec.from_json(env.spec.to_json())), pickle.loads(pickle.dumps(env))):
        assert isinstance(again, GlimpseHistory)
        np.testing.assert_equal(again.reset(seed=3), env.reset(seed=3))


def test_one_environment_before_its_reset_and_after_its_end_is_refused(arrays: Arrays) -> None:
    env = GlimpseHistory(GlimpseEnv(source=arrays, glimpses=1))
    with pytest.raises(gym.error.ResetNeeded):
        env.step(env.action_space.sample())
    env.reset()
    env.step(env.action_space.sample())
    with pytest.raises(gym.error.ResetNeeded):
        env.step(env.action_space.sample())


# Many -------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("output", ["numpy", "torch"])
@pytest.mark.parametrize("mode", MODES)
@TASKS
def test_the_histories_of_a_batch_are_those_of_lists_by_hand(
    task: str, action_format: str, switches: dict[str, Any], mode: AutoresetMode, output: str
) -> None:
    settings = {**SETTINGS, **switches, "action_format": action_format, "autoreset_mode": mode.value, "output": output}
    env = VectorGlimpseHistory(gym.make_vec(task, num_envs=ROWS, **settings))
    bare = gym.make_vec(task, num_envs=ROWS, **settings)
    env.action_space.seed(1)
    chance = np.random.default_rng(1)

    # The first reset starts every row, whatever its mask; from the second on, the rows are out of step in every format.
    reset: dict[str, Any] = {"seed": 2, "options": {"reset_mask": np.arange(ROWS) < 2}}
    observation, infos = env.reset(**reset)
    bare_observation, bare_infos = bare.reset(**reset)
    seen: list[Seen] = [[look(bare_observation, row)] for row in range(ROWS)]
    restarts, finals, ended = 0, 0, np.zeros(ROWS, bool)
    for turn in range(30):
        # Without autoreset, rows that have ended rest until this happens to be their turn, or all have ended.
        if turn % 5 == 1 or (mode is AutoresetMode.DISABLED and ended.all()):
            mask = ended.copy() if mode is AutoresetMode.DISABLED and ended.any() else chance.random(ROWS) < 0.5
            mask[turn % ROWS] = True
            options = {"reset_mask": mask.copy() if turn % 2 else torch.tensor(mask)}
            observation, infos = env.reset(options=options)
            bare_observation, bare_infos = bare.reset(options=options)
            for row in np.flatnonzero(mask):
                seen[row] = [look(bare_observation, row)]
            ended = ended & ~mask
            restarts += 1
        else:
            actions = env.action_space.sample()
            actions = tensors(actions) if output == "torch" else actions
            observation, *rest, infos = env.step(actions)
            bare_observation, *bare_rest, bare_infos = bare.step(actions)
            np.testing.assert_equal([array(part) for part in rest], [array(part) for part in bare_rest])
            now = array(rest[1])
            for row in range(ROWS):
                if mode is AutoresetMode.SAME_STEP and now[row]:
                    final = infos["final_obs"]
                    np.testing.assert_equal(final[row] if output == "numpy" else row_of(final, row), history(seen[row]))
                    finals += 1
                if (mode is AutoresetMode.SAME_STEP and now[row]) or (mode is AutoresetMode.NEXT_STEP and ended[row]):
                    seen[row] = []
                if mode is AutoresetMode.SAME_STEP or not now[row]:
                    seen[row].append(look(bare_observation, row))
            ended = now
        for row in range(ROWS):
            np.testing.assert_equal(row_of(observation, row), history(seen[row]))
        assert all(isinstance(part, Tensor if output == "torch" else np.ndarray) for part in observation.values())
        assert {key: array(part) for key, part in observation.items()} in env.observation_space
        assert infos.keys() == bare_infos.keys()
    assert restarts >= 6
    assert (finals > 5) == (mode is AutoresetMode.SAME_STEP)


@pytest.mark.parametrize("output", ["numpy", "torch"])
@pytest.mark.parametrize("switches", [{}, SWITCHES])
def test_a_single_environment_and_a_batch_of_one_show_the_same(action_format: str, switches: dict[str, Any], output: str) -> None:
    settings = {**SETTINGS, **switches, "action_format": action_format}
    single = GlimpseHistory(gym.make(DIGITS, **settings))
    batch = VectorGlimpseHistory(gym.make_vec(DIGITS, num_envs=1, output=output, autoreset_mode="Disabled", **settings))
    batch.action_space.seed(0)
    assert batch.single_observation_space == single.observation_space
    ended = True
    for turn in range(4 * LENGTH):
        if ended:
            observation, _ = single.reset(seed=turn)
            observations, _ = batch.reset(seed=turn)
            ended = False
        else:
            actions = batch.action_space.sample()
            one = {key: part[0] for key, part in actions.items()} if isinstance(actions, dict) else actions[0]
            observation, _, ended, _, _ = single.step(one)
            observations, *_ = batch.step(tensors(actions) if output == "torch" else actions)
        np.testing.assert_equal(row_of(observations, 0), observation)


@pytest.mark.parametrize("output", ["numpy", "torch"])
@pytest.mark.parametrize("mode", [AutoresetMode.NEXT_STEP, AutoresetMode.SAME_STEP])
def test_spoiling_what_a_batch_returned_changes_nothing_later(mode: AutoresetMode, output: str) -> None:
    settings = {**SETTINGS, "action_format": "saccade", "autoreset_mode": mode.value, "output": output}
    careless, careful = (VectorGlimpseHistory(gym.make_vec(DIGITS, num_envs=ROWS, **settings)) for _ in range(2))
    careful.action_space.seed(0)
    spoil(careless.reset(seed=1)[0])
    careful.reset(seed=1)
    for _ in range(3 * LENGTH):
        actions = careful.action_space.sample()
        actions = tensors(actions) if output == "torch" else actions
        result, untouched = careless.step(actions), careful.step(actions)
        for key, part in untouched[0].items():
            np.testing.assert_array_equal(result[0][key], part)
        for part in result:
            spoil(part)


def test_rows_whose_reset_is_not_asked_for_keep_their_history() -> None:
    batch = VectorGlimpseHistory(gym.make_vec(DIGITS, num_envs=2, autoreset_mode="Disabled", **SETTINGS))
    batch.reset(seed=0)
    before, *_ = batch.step(batch.action_space.sample())
    after, _ = batch.reset(options={"reset_mask": np.array([True, False])})
    np.testing.assert_array_equal(after["seen"], [[1, 0, 0, 0], [1, 1, 0, 0]])
    np.testing.assert_equal(row_of(after, 1), row_of(before, 1))


@pytest.mark.parametrize("output", ["numpy", "torch"])
def test_rows_that_rest_after_stopping_keep_their_history(output: str) -> None:
    settings = {**SETTINGS, "stop": True, "zoom": True, "autoreset_mode": "Disabled", "output": output}
    batch = VectorGlimpseHistory(gym.make_vec(DIGITS, num_envs=3, **settings))
    batch.reset(seed=0)
    stops, kept = [[0, 1, 0], [0, 0, 1], [0, 1, 1]], []
    for stop in stops:
        actions = {
            "location": np.zeros((3, 2), np.float32),
            "label": np.zeros(3, int),
            "zoom": np.full((3, 1), 0.5, np.float32),
            "stop": np.array(stop),
        }
        observation, *_ = batch.step(tensors(actions) if output == "torch" else actions)
        kept.append({key: array(part) for key, part in observation.items()})
    np.testing.assert_array_equal(kept[-1]["seen"], [[1, 1, 1, 1], [1, 0, 0, 0], [1, 1, 0, 0]])
    np.testing.assert_array_equal(kept[-1]["zooms"][..., 0], [[0, 0.5, 0.5, 0.5], [0, 0, 0, 0], [0, 0.5, 0, 0]])
    np.testing.assert_equal(row_of(kept[-1], 1), row_of(kept[0], 1))
    np.testing.assert_equal(row_of(kept[-1], 2), row_of(kept[1], 2))


@pytest.mark.parametrize("mode", MODES)
def test_an_action_that_a_device_reports_late_leaves_no_glimpse_of_another_episode(mode: AutoresetMode) -> None:
    settings = {**SETTINGS, "output": "torch", "action_format": "grid", "autoreset_mode": mode.value}
    batch = VectorGlimpseHistory(gym.make_vec(DIGITS, num_envs=2, **settings))
    right, wrong = torch.zeros(2, 2, dtype=torch.int64), torch.full((2, 2), -1)
    batch.reset(seed=0)
    for actions in [wrong, *[right] * (LENGTH - 2)]:
        batch.step(actions)
    with pytest.raises(ActionError, match="outside the space"):
        batch.step(right)
    observation, _ = batch.reset() if mode is AutoresetMode.DISABLED else batch.step(right)[:2]
    # Under "SameStep" the episode that goes on has begun in the step that was lost.
    slots = [0, 1, 0, 0] if mode is AutoresetMode.SAME_STEP else [1, 0, 0, 0]
    assert observation["seen"].tolist() == [slots, slots]
    np.testing.assert_array_equal((observation["locations"] != 0).all(-1), observation["seen"] == 1)
    observation, *_ = batch.step(right)
    assert observation["seen"].sum(1).tolist() == [2, 2]


def test_an_array_that_is_refused_leaves_the_history_as_it_was() -> None:
    batch = VectorGlimpseHistory(gym.make_vec(DIGITS, num_envs=2, action_format="saccade", **SETTINGS))
    batch.reset(seed=0)
    with pytest.raises(ActionError, match="outside the space"):
        batch.step(np.array([0, -1]))
    assert batch.step(np.array([0, 0]))[0]["seen"].tolist() == [[1, 1, 0, 0]] * 2


def test_no_step_within_an_episode_waits_for_the_device() -> None:
    names = []

    class Record(TorchDispatchMode):
        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            names.append(func.__name__)
            return func(*args, **(kwargs or {}))

    batch = VectorGlimpseHistory(gym.make_vec(DIGITS, num_envs=ROWS, output="torch", action_format="grid", **SETTINGS))
    batch.reset(seed=0)
    with Record():
        batch.reset()
        names.clear()
        for _ in range(LENGTH - 1):
            batch.step(torch.zeros(ROWS, 2, dtype=torch.int64))
        assert not {"_local_scalar_dense.default", "nonzero.default", "masked_select.default"} & set(names)
        torch.ones(1).item()
    assert "_local_scalar_dense.default" in names


def test_a_batch_before_its_reset_is_refused() -> None:
    batch = VectorGlimpseHistory(gym.make_vec(DIGITS, num_envs=2))
    with pytest.raises(gym.error.ResetNeeded):
        batch.step(batch.action_space.sample())


# What cannot be wrapped -----------------------------------------------------------------------------------------------


def test_other_environments_are_refused_by_name() -> None:
    with pytest.raises(TypeError, match=r"needs a glimpse environment, one of attention_env; got .*CartPole"):
        GlimpseHistory(gym.make("CartPole-v1"))
    with pytest.raises(TypeError, match=r"needs a batched glimpse environment.*GlimpseHistory"):
        VectorGlimpseHistory(SyncVectorEnv([lambda: gym.make(DIGITS)]))


def test_observations_that_another_wrapper_has_changed_are_refused(arrays: Arrays) -> None:
    with pytest.raises(ValueError, match="'glimpse', 'location' and 'remaining'"):
        GlimpseHistory(FlattenObservation(gym.make(DIGITS)))
    with pytest.raises(ValueError, match="'glimpse', 'location' and 'remaining'"):
        VectorGlimpseHistory(VectorGlimpseHistory(GlimpseVectorEnv(2, source=arrays)))

"""Steps per second of every environment on the CPU, the native vector environment beside its rivals, as a Markdown table.

    pip install -e ".[bench,sb3]"
    python benchmarks/vector_env.py
    python benchmarks/vector_env.py --ids attention_env/CircleSquare-v0 --sizes 16 256 --rivals ap_gym SyncVectorEnv

Rivals: Gymnasium's `SyncVectorEnv` and `AsyncVectorEnv` of the same environment; `ap_gym`'s native vector environment of its
`CircleSquare`, of which ours has the task. Stable-Baselines3's `DummyVecEnv` and `SubprocVecEnv` take no actions that are
dictionaries, so they get `action_format="grid"`; beside them stands what our learners of Stable-Baselines3 get, the native
environment in that format behind `agents.sb3.SB3VecEnv`, and the native environment alone in that format.

Measured are whole episodes with their resets, by actions drawn beforehand. A call that restarts a row and ignores its action
("NextStep" autoreset, as Gymnasium and `ap_gym` have it) is no step of that row. Each contender has a process of its own. A rival
with a process for each environment, which starts slowly and takes memory for each, is measured up to `--processes` environments.
"""

from __future__ import annotations

import importlib
import itertools
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from typing import Any

import gymnasium as gym
import numpy as np
import tyro
from gymnasium.vector import AutoresetMode
from gymnasium.vector.utils import batch_space
from side_by_side import Apart, Measure, interleave, print_head, print_machine, print_row, ratio, spread

import attention_env

NATIVE, NATIVE_GRID, BRIDGE = "native", "native, grid", "SB3VecEnv"
RIVALS = {
    "SyncVectorEnv": NATIVE,
    "AsyncVectorEnv": NATIVE,
    "ap_gym": NATIVE,
    "DummyVecEnv": BRIDGE,
    "SubprocVecEnv": BRIDGE,
}
"""Each rival, and what of ours it is measured by."""
OF_PROCESSES = ("AsyncVectorEnv", "SubprocVecEnv")
AP_GYM = {"attention_env/CircleSquare-v0": "CircleSquare-v0"}
"""Ids whose task `ap_gym` has too, and its name there."""
ACTIONS = 16
"""Batches of actions drawn beforehand, which are taken in turn."""


@dataclass(frozen=True)
class Arguments:
    """What to measure."""

    ids: tuple[str, ...] = tuple(attention_env.environment_ids())
    """Environments."""
    rivals: tuple[str, ...] = tuple(RIVALS)
    """Beside what."""
    sizes: tuple[int, ...] = (1, 16, 256, 4096)
    """Numbers of environments."""
    processes: int = 64
    """The largest of these for rivals that start a process for each environment."""
    rounds: int = 5
    """Interleaved rounds."""
    seconds: float = 2.0
    """Seconds per measurement; one episode at least."""
    threads: int = 1
    """PyTorch's threads: with more, a busy machine makes each wait for the slowest."""

    def __post_init__(self) -> None:
        """Check the rivals' names.

        Raises:
            ValueError: naming those that are unknown.
        """
        if unknown := sorted({*self.rivals} - {*RIVALS}):
            raise ValueError(f"no rival {', '.join(unknown)}: choose from {', '.join(RIVALS)}")


# The contenders, made in their own processes ------------------------------------------------------------------------------


def gymnasium_vector(mode: str | None, id_: str, count: int) -> Any:
    """Make a vector environment of Gymnasium's, or the native one."""
    return gym.make_vec(id_, num_envs=count, vectorization_mode=mode)


def native_grid(id_: str, count: int) -> Any:
    """Make the native environment with the actions and the autoreset that Stable-Baselines3 wants."""
    return gym.make_vec(id_, num_envs=count, action_format="grid", autoreset_mode="SameStep")


def bridge(id_: str, count: int) -> Any:
    """Make the native environment behind our bridge to Stable-Baselines3."""
    return importlib.import_module("agents.sb3").make_environment(id_, count, action_format="grid")


def stable_baselines(kind: str, id_: str, count: int) -> Any:
    """Make a vector environment of Stable-Baselines3."""
    kinds = importlib.import_module("stable_baselines3.common.vec_env")
    # Its worker processes do not fork: the id tells them what to import.
    return getattr(kinds, kind)([partial(gym.make, f"attention_env:{id_}", action_format="grid")] * count)


def ap_gym(id_: str, count: int) -> Any:
    """Make the public environment of the same task."""
    importlib.import_module("ap_gym")
    return gym.make_vec(AP_GYM[id_], num_envs=count)


MAKERS: dict[str, Callable[[str, int], Any]] = {
    NATIVE: partial(gymnasium_vector, None),
    "SyncVectorEnv": partial(gymnasium_vector, "sync"),
    "AsyncVectorEnv": partial(gymnasium_vector, "async"),
    "ap_gym": ap_gym,
    NATIVE_GRID: native_grid,
    BRIDGE: bridge,
    "DummyVecEnv": partial(stable_baselines, "DummyVecEnv"),
    "SubprocVecEnv": partial(stable_baselines, "SubprocVecEnv"),
}


def make_measure(contender: str, id_: str, count: int, seconds: float) -> Measure:
    """Make an environment, play one episode in every row of it, and tell how the next ones are timed."""
    environment = MAKERS[contender](id_, count)
    single = getattr(environment, "single_action_space", environment.action_space)
    space = batch_space(single, count)
    space.seed(0)
    actions = itertools.cycle([space.sample() for _ in range(ACTIONS)])
    # Not all have a `metadata`: those of Stable-Baselines3 always restart within the step.
    mode = getattr(environment, "metadata", None) or {}
    restarts = mode.get("autoreset_mode") == AutoresetMode.NEXT_STEP
    environment.reset()
    play_episode(environment, actions)
    return partial(steps_per_second, environment, actions, count, restarts, seconds)


def steps_per_second(environment: Any, actions: itertools.cycle[Any], count: int, restarts: bool, seconds: float) -> float:
    """Time whole episodes.

    Args:
        environment: after an episode.
        actions: of all rows, in turn.
        count: number of rows.
        restarts: whether each episode takes one call more, which starts it.
        seconds: for how long, at least.

    Returns:
        Steps per second of all rows together.
    """
    began, steps = time.perf_counter(), 0
    while time.perf_counter() - began < seconds:
        steps += count * (play_episode(environment, actions) - restarts)
    return steps / (time.perf_counter() - began)


def play_episode(environment: Any, actions: itertools.cycle[Any]) -> int:
    """Step until the rows' episodes end, which they all do at once, and count the calls."""
    calls, ends = 0, [np.False_]
    while not np.any(ends):
        _, _, *ends, _ = environment.step(next(actions))  # Gymnasium has two kinds of ends, Stable-Baselines3 one
        calls += 1
    return calls


# The table --------------------------------------------------------------------------------------------------------------


def compare(id_: str, count: int, asked: Arguments) -> dict[str, list[float]]:
    """Measure all contenders that can be measured with so many environments: name → steps per second of the rounds."""
    rivals = [
        rival
        for rival in asked.rivals
        if (rival != "ap_gym" or id_ in AP_GYM) and (rival not in OF_PROCESSES or count <= asked.processes)
    ]
    ours = [NATIVE, *([NATIVE_GRID, BRIDGE] if BRIDGE in map(RIVALS.get, asked.rivals) else [])]
    with ExitStack() as processes:
        measures: dict[str, Measure] = {
            name: processes.enter_context(Apart(make_measure, name, id_, count, asked.seconds, threads=asked.threads))
            for name in (*ours, *rivals)
        }
        return interleave(measures, asked.rounds)


def row(rates: dict[str, list[float]], rivals: tuple[str, ...]) -> list[str]:
    """Write what was measured: the native environment's rate and its ratios to Gymnasium's kind, then the same for the bridge."""
    cells = []
    for names, basis in (((NATIVE,), NATIVE), ((NATIVE_GRID, BRIDGE), BRIDGE)):
        measured = [rival for rival in rivals if RIVALS[rival] == basis]
        if measured or basis == NATIVE:
            cells += [spread(rates[name]) for name in names]
            cells += [ratio(rates, basis, rival, ".3g") if rival in rates else "–" for rival in measured]
    return cells


def head(rivals: tuple[str, ...]) -> list[str]:
    """Write the names of the columns that `row` fills."""
    gymnasium, stable = ([rival for rival in rivals if RIVALS[rival] == basis] for basis in (NATIVE, BRIDGE))
    cells = ["environment", "n", "native, steps/s", *(f"native / {rival}" for rival in gymnasium)]
    if stable:
        cells += ["native in grid, steps/s", "SB3VecEnv, steps/s", *(f"SB3VecEnv / {rival}" for rival in stable)]
    return cells


def main(asked: Arguments) -> None:
    """Measure every environment at every size."""
    print_machine("cpu", asked.threads, asked.rounds)
    print_head(head(asked.rivals))
    for id_ in asked.ids:
        for count in asked.sizes:
            print_row([f"`{id_}`", f"{count:,}", *row(compare(id_, count, asked), asked.rivals)])
    print(
        f"\n–: not measured. {' and '.join(OF_PROCESSES)} start a process for each environment and are measured up to "
        f"{asked.processes} of them; ap_gym has the task of {', '.join(AP_GYM)} only."
    )


if __name__ == "__main__":
    main(tyro.cli(Arguments, description=__doc__))

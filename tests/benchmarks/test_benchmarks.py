"""What the benchmarks count is right, and every script runs and prints its tables, with the smallest numbers."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import itertools
import re
import subprocess
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
import tyro
from accelerate import Accelerator
from forked_processes import FORKS
from torch.utils._python_dispatch import TorchDispatchMode

import attention_env
from agents.config import published_config
from agents.reinforce import ReinforceLearner
from attention_core.training import Update

FOLDER = Path(__file__).resolve().parents[2] / "benchmarks"
DIGITS, CIRCLE_SQUARE = "attention_env/Digits-v0", "attention_env/CircleSquare-v0"
SPREAD = r"[\d.,]+%? \([\d.,]+%? to [\d.,]+%?\)"
RATIO = r"[\d.e+]+× \([\d.e+]+ to [\d.e+]+\)"
Script = Callable[[str], ModuleType]


# What counts as a step ----------------------------------------------------------------------------------------------------


class Counting(gym.vector.VectorWrapper):
    """Counts the actions that rows have really taken: a call that restarts a row is none of its actions."""

    def __init__(self, env: gym.vector.VectorEnv[Any, Any, Any]) -> None:
        super().__init__(env)
        self.restarts = env.metadata["autoreset_mode"] == gym.vector.AutoresetMode.NEXT_STEP
        self.taken, self.ended = 0, np.zeros(self.num_envs, np.bool_)

    def step(self, actions: Any) -> Any:
        self.taken += self.num_envs - self.restarts * int(self.ended.sum())
        observation, rewards, self.ended, truncated, infos = self.env.step(actions)
        return observation, rewards, self.ended, truncated, infos


@pytest.mark.parametrize("mode", ["NextStep", "SameStep"])
def test_steps_are_the_actions_that_rows_take(script: Script, mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    benchmark = script("vector_env")
    environment = Counting(gym.make_vec(DIGITS, num_envs=3, autoreset_mode=mode))
    actions = itertools.cycle([environment.action_space.sample()])
    environment.reset(seed=0)
    benchmark.play_episode(environment, actions)
    environment.taken = 0
    clock = iter([0.0, 0.0, 0.0, 0.0, 1.0, 1.0])  # three episodes, in one second
    monkeypatch.setattr(benchmark, "time", SimpleNamespace(perf_counter=lambda: next(clock)))
    rate = benchmark.steps_per_second(environment, actions, 3, environment.restarts, 0.5)
    assert rate == environment.taken == 3 * 3 * 6


@pytest.mark.parametrize(
    ("id_", "settings", "read"),
    [
        # 4×4 bytes
        (DIGITS, {}, 16),
        # 6×6 bytes, and 7×7 corners of each of two coarser patches, 4 bytes each
        ("attention_env/Catch-v0", {}, 36 + 2 * 49 * 4),
        # bilinear: a line and a column more
        (CIRCLE_SQUARE, {}, 36),
        # 2 scales, bilinear: the coarser one's blocks from both pixels on, (2 · 6)² corners
        (CIRCLE_SQUARE, {"scales": 2}, 36 + 144 * 4),
        # colour, floating point: 3 channels of 4×4 floats
        (DIGITS, {"source": (np.zeros((5, 3, 8, 8), np.float32), np.arange(5))}, 3 * 16 * 4),
    ],
)
def test_bytes_that_a_step_must_move(script: Script, id_: str, settings: dict[str, Any], read: int) -> None:
    episodes = script("on_device").Episodes(id_, 64, "cpu", **settings)
    glimpse = episodes.environment.single_observation_space["glimpse"].shape
    action, location, remaining, reward, flags = 2 * 4 + 8, 8, 4, 4, 2
    written = 4 * int(np.prod(glimpse)) + location + remaining + reward + flags
    assert episodes.bytes_moved() == action + location + read + written


class Products(TorchDispatchMode):
    """Counts the multiply-adds of matrix products."""

    total = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func.overloadpacket in (torch.ops.aten.mm, torch.ops.aten.addmm):
            left, right = args[-2:]
            self.total += left.shape[0] * left.shape[1] * right.shape[1]
        return func(*args, **(kwargs or {}))


def test_multiply_adds_are_those_of_an_update(script: Script) -> None:
    config = dataclasses.replace(published_config(DIGITS), batch_size=16, training_kwargs={})
    accelerator = Accelerator(cpu=True)
    learner = ReinforceLearner(config, accelerator)
    step = Update(learner, config.training, accelerator)
    with Products() as counted:
        step(0)
    assert counted.total == 16 * script("ram_training").multiply_adds(config, glimpses=6, pixels=16, classes=10)


def test_environments_of_composed_pictures(script: Script) -> None:
    tasks = ("TranslatedMNIST", "RotatedMNIST", "ScaledMNIST", "ClutteredMNIST", "ClutteredMNIST100")
    assert script("ram_training").scene_ids() == tuple(f"attention_env/{task}-v0" for task in tasks)


def test_systems_of_a_gpu_are_made_and_timed(script: Script, monkeypatch: pytest.MonkeyPatch) -> None:
    benchmark = script("gpu_training")
    config = dataclasses.replace(published_config(DIGITS), batch_size=16)
    monkeypatch.setitem(benchmark.SYSTEMS, "ram", benchmark.training(ReinforceLearner, config, samples=2))
    training = benchmark.Training("ram", benchmark.REPLAYED, 0.01)
    assert training.learner.examples_per_update == 32
    assert training.update.replays == torch.cuda.is_available()
    before = training.done
    assert 0 < training() < 32 * 1e6
    assert training.done > before + benchmark.TIMED


def test_without_a_gpu_its_time_is_not_shared_out(script: Script, monkeypatch: pytest.MonkeyPatch) -> None:
    benchmark = script("gpu_training")
    monkeypatch.setattr(benchmark, "pick_device", lambda: torch.device("cpu"))
    with pytest.raises(SystemExit, match="there is no GPU here"):
        benchmark.main(benchmark.Arguments())


# The scripts --------------------------------------------------------------------------------------------------------------


def test_the_speed_table_has_a_dash_where_nothing_is_measured(script: Script) -> None:
    words = ("--ids", DIGITS, "--sizes", "1", "2", "--rivals", "SyncVectorEnv", "AsyncVectorEnv", "--processes", "1")
    ((head, one, two),) = tables(script("vector_env"), *words, "--rounds", "1", "--seconds", "0.01")
    assert head == ["environment", "n", "native, steps/s", "native / SyncVectorEnv", "native / AsyncVectorEnv"]
    assert_like(one, f"`{DIGITS}`", "1", SPREAD, RATIO, RATIO)
    assert_like(two, f"`{DIGITS}`", "2", SPREAD, RATIO, "–")


def test_rivals_of_stable_baselines_are_measured_beside_the_bridge(script: Script) -> None:
    pytest.importorskip("stable_baselines3")
    words = ("--ids", DIGITS, "--sizes", "2", "--rivals", "DummyVecEnv", "SubprocVecEnv")
    ((head, row),) = tables(script("vector_env"), *words, "--rounds", "1", "--seconds", "0.01")
    assert head[2:] == [
        "native, steps/s",
        "native in grid, steps/s",
        "SB3VecEnv, steps/s",
        "SB3VecEnv / DummyVecEnv",
        "SB3VecEnv / SubprocVecEnv",
    ]
    assert_like(row, f"`{DIGITS}`", "2", SPREAD, SPREAD, SPREAD, RATIO, RATIO)


def test_the_public_environment_is_measured_where_it_has_the_task(script: Script) -> None:
    pytest.importorskip("ap_gym")
    words = ("--ids", DIGITS, CIRCLE_SQUARE, "--sizes", "2", "--rivals", "ap_gym")
    ((_, other, same),) = tables(script("vector_env"), *words, "--rounds", "1", "--seconds", "0.01")
    assert_like(other, f"`{DIGITS}`", "2", SPREAD, "–")
    assert_like(same, f"`{CIRCLE_SQUARE}`", "2", SPREAD, RATIO)


def test_an_unknown_rival_is_refused_by_name(script: Script) -> None:
    with pytest.raises(ValueError, match="no rival Dummy: choose from SyncVectorEnv"):
        script("vector_env").Arguments(rivals=("Dummy",))


def test_all_environments_are_measured_unless_some_are_named(script: Script) -> None:
    assert script("vector_env").Arguments().ids == tuple(attention_env.environment_ids())
    assert script("on_device").Arguments().ids == tuple(attention_env.environment_ids())


def test_the_device_tables(script: Script, data_folder: Path) -> None:
    words = ("--device", "cpu", "--ids", DIGITS, "--sizes", "4", "64", "--held", "20", "40", "60", "--rounds", "1")
    (_, four, many), (_, *held) = tables(script("on_device"), *words, "--seconds", "0.01")
    assert_like(four, f"`{DIGITS}`", "4", SPREAD, SPREAD, SPREAD, r"\d+", SPREAD)
    assert_like(many, f"`{DIGITS}`", "64", SPREAD, SPREAD, SPREAD, "122", SPREAD)
    for row, count in zip(held, ("4", "64"), strict=True):
        assert_like(row, count, SPREAD, RATIO, RATIO)


def test_the_training_benchmarks(script: Script) -> None:
    words = ("--published", "--ids", DIGITS, "--rounds", "1", "--seconds", "0.01", "--threads", "1")
    ((_, row),) = tables(script("ram_training"), *words)
    assert_like(row, f"`{DIGITS}`", "128", SPREAD, SPREAD, RATIO)


def run(name: str, *words: str) -> str:
    """Run a script as its user does and return what it prints."""
    command = [sys.executable, "-W", "error", str(FOLDER / name), *words, "--rounds", "1", "--seconds", "0.01"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_retina_benchmark_as_a_script() -> None:
    assert run("retina.py", "--batch", "4").count("retina, bytes / NumPy gather") == 4


def test_a_script_with_rivals_in_processes_of_their_own() -> None:
    said = run("vector_env.py", "--ids", DIGITS, "--sizes", "1", "--rivals", "SyncVectorEnv")
    assert re.search(rf"^\| `{DIGITS}` \| 1 \| {SPREAD} \| {RATIO} \|$", said, flags=re.MULTILINE), said


def test_all_scripts_are_run_alike() -> None:
    scripts = [path for path in FOLDER.glob("*.py") if path.name != "side_by_side.py"]
    assert len(scripts) == 10
    for path in scripts:
        assert path.read_text().endswith('if __name__ == "__main__":\n    main(tyro.cli(Arguments, description=__doc__))\n'), path


def tables(script: ModuleType, *words: str) -> list[list[list[str]]]:
    """Do what a script does with these words, and return the cells of its tables, without the rules below their heads."""
    threads, said = torch.get_num_threads(), io.StringIO()
    with pytest.MonkeyPatch.context() as changes, contextlib.redirect_stdout(said):
        changes.setenv("OMP_NUM_THREADS", "1")  # the script sets it as well: put back afterwards
        changes.setattr(import_module("side_by_side"), "PROCESSES", FORKS)
        try:
            script.main(tyro.cli(script.Arguments, args=words))
        finally:
            torch.set_num_threads(threads)
    found = re.findall(r"(?:^\|.*\|\n)+", said.getvalue(), flags=re.MULTILINE)
    rows = [[line.strip("| ").split(" | ") for line in table.splitlines()] for table in found]
    return [[head, *others] for head, _, *others in rows]


def assert_like(row: list[str], *patterns: str) -> None:
    assert len(row) == len(patterns), row
    for cell, pattern in zip(row, patterns, strict=True):
        assert re.fullmatch(pattern, cell), (cell, pattern)

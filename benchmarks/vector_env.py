"""Steps per second of the native vector environment beside its rivals on the CPU.

    python benchmarks/vector_env.py                 against gymnasium's SyncVectorEnv, and the single environment
    python benchmarks/vector_env.py --rival ap_gym  against ap_gym's native CircleSquare (pip install -e ".[bench]")

Measured by `gymnasium.utils.performance`. MNIST through an 8×8 retina, or, beside ap_gym, its own task's shape: 28×28 pictures,
5×5 bilinear glimpses, relative moves, 16 steps.
"""

from __future__ import annotations

import importlib
import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import gymnasium as gym
import numpy as np
import torch
import tyro
from gymnasium.utils.performance import benchmark_step, benchmark_vector_step
from side_by_side import interleave, print_rates, ratio


@dataclass(frozen=True)
class Arguments:
    """What to measure."""

    rival: Literal["sync", "ap_gym"] = "sync"
    """Beside what."""
    sizes: tuple[int, ...] = (1, 16, 256, 4096)
    """Numbers of environments."""
    rounds: int = 5
    """Interleaved rounds."""
    seconds: int = 2
    """Seconds per measurement."""
    threads: int = 1
    """PyTorch's threads: with more, a busy machine makes each wait for the slowest."""


def pictures_28() -> tuple[Any, Any]:
    """Random grey pictures: how fast a step is does not depend on what they show."""
    draw = np.random.default_rng(0)
    return draw.integers(0, 256, (1000, 28, 28), dtype=np.uint8), draw.integers(0, 2, 1000)


def measure(module: str, identifier: str, settings: dict[str, Any], seconds: int, threads: int) -> float:
    """Steps per second of one environment."""
    torch.set_num_threads(threads)
    importlib.import_module(module)
    if "num_envs" not in settings:
        return benchmark_step(gym.make(identifier, **settings), seconds, 0)
    return benchmark_vector_step(gym.make_vec(identifier, **settings), seconds, 0)


def alone(*arguments: Any) -> float:
    """Measure in a process of its own: some rivals keep threads busy as long as their process lives."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as process:
        return process.submit(measure, *arguments).result()


def compare(ours: tuple[Any, ...], theirs: tuple[Any, ...], rival: str, asked: Arguments) -> None:
    """Measure two environments in turn and print their rates and ratio."""
    rates = interleave(
        {"ours": partial(alone, *ours, asked.seconds, asked.threads), rival: partial(alone, *theirs, asked.seconds, asked.threads)},
        asked.rounds,
    )
    print(f"  ours / {rival} {ratio(rates, 'ours', rival)}")
    print_rates(rates, "steps/s")


def against_sync(asked: Arguments) -> None:
    """Compare with SyncVectorEnv of single environments."""
    settings: dict[str, Any] = {"source": pictures_28(), "glimpses": 7, "glimpse_size": 8}
    single = partial(alone, "attention_env", "attention_env/MNIST-v0", settings, asked.seconds, asked.threads)
    print_rates(interleave({"single": single}, asked.rounds), "steps/s")
    for size in asked.sizes:
        print(f"n = {size}")
        ours = {**settings, "num_envs": size}
        theirs = {**ours, "vectorization_mode": "sync"}
        task = ("attention_env", "attention_env/MNIST-v0")
        compare((*task, ours), (*task, theirs), "SyncVectorEnv", asked)


def against_ap_gym(asked: Arguments) -> None:
    """Compare with ap_gym's native vector environment on a task of the same shape."""
    settings: dict[str, Any] = {
        "source": pictures_28(),
        "glimpses": 16,
        "glimpse_size": 5,
        "interpolation": "bilinear",
        "moves": "relative",
        "move_scale": 0.2,
        "start": "random",
    }
    for size in asked.sizes:
        print(f"n = {size}")
        ours = ("attention_env", "attention_env/MNIST-v0", {**settings, "num_envs": size})
        compare(ours, ("ap_gym", "CircleSquare-v0", {"num_envs": size}), "ap_gym", asked)


if __name__ == "__main__":
    arguments = tyro.cli(Arguments, description=__doc__)
    against_sync(arguments) if arguments.rival == "sync" else against_ap_gym(arguments)

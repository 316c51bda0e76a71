"""How fast RAM's training is, environment included: beside the machine's arithmetic, and in bf16 beside float32.

    python benchmarks/ram_training.py [--profile]      how much of the CPU's arithmetic it uses
    python benchmarks/ram_training.py --published      pictures per second of the published settings, as a Markdown table

The limit: the update's multiply-adds, forward and backward, times 2, over the rate of a float32 (batch×256)·(256×256) product
with the same threads in the same run. Rounds alternate between the product and training; each round's share is training's rate
over what that round's product would allow. MNIST's shape, 7 glimpses of 8×8, hybrid rule.

The table: whole updates with the published settings of each environment whose pictures are composed into scenes, or of those that
`--ids` names, on the GPU where there is one, in float32 and in bf16 by turns, each in a process of its own.
"""

from __future__ import annotations

import dataclasses
import itertools
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from unittest.mock import patch

import gymnasium as gym
import torch
import tyro
from accelerate import Accelerator
from gymnasium.envs.registration import load_env_creator
from side_by_side import Apart, Measure, interleave, peak_memory, print_head, print_machine, print_row, ratio, spread, synchronise

import attention_env
from agents.config import ReinforceConfig, published_config
from agents.reinforce import ReinforceLearner
from attention_core.training import Update, make_accelerator


@dataclass(frozen=True)
class Arguments:
    """What to measure."""

    batches: tuple[int, ...] = (128, 1024)
    """Batch sizes."""
    rounds: int = 7
    """Interleaved rounds."""
    seconds: float = 4.0
    """Seconds of training per round; the product gets a quarter of it, before and after."""
    threads: int | None = None
    """CPU threads; PyTorch's choice by default."""
    profile: bool = False
    """Print which share of the time goes where."""
    published: bool = False
    """Measure the published settings instead, in float32 and in bf16."""
    ids: tuple[str, ...] = ()
    """Environments whose published settings are measured; by default those whose pictures are composed into scenes."""


def multiply_adds(config: ReinforceConfig, glimpses: int, pixels: int, classes: int) -> int:
    """Count one picture's multiply-adds, forward and backward.

    A layer costs its weights once forward, once for their gradient, and once for its input's gradient, which the two layers
    that see pixels and places do not need, nor the heads whose input is detached. The first step has no state to multiply.
    """
    net = config.network
    first = pixels * net.glimpse_width + 2 * net.location_width
    middle = (net.glimpse_width + net.location_width) * net.hidden + net.hidden**2
    core = net.hidden**2
    looking, naming, expecting = 2 * net.hidden, classes * net.hidden, net.hidden
    total = glimpses * (2 * first + 3 * middle + 2 * expecting)
    # The heads that act run once to act and once more to learn; the class head does so at the last step alone.
    total += (glimpses - 1) * (3 * core + 3 * looking)
    return total + 4 * naming


def product_rate(batch: int, seconds: float) -> float:
    """Multiply-adds per second of a float32 (batch×256)·(256×256) product."""
    left, right = torch.randn(batch, 256), torch.randn(256, 256)
    out = torch.empty(batch, 256)
    began, count = time.perf_counter(), 0
    while time.perf_counter() - began < seconds:
        for _ in range(20):
            torch.mm(left, right, out=out)
        count += 20
    return count * batch * 256 * 256 / (time.perf_counter() - began)


def measure(batch: int, asked: Arguments) -> None:
    """Compare training at one batch size with what the arithmetic would allow."""
    config = dataclasses.replace(published_config("attention_env/MNIST-v0"), batch_size=batch, samples=1, training_kwargs={})
    accelerator = Accelerator(cpu=True)
    learner = ReinforceLearner(config, accelerator)
    step = Update(learner, config.training, accelerator)
    classes = learner.environment.pictures.classes
    work = multiply_adds(config, learner.environment.settings.glimpses, learner.environment.settings.glimpse_size**2, classes)
    for update in range(20):
        step(update)

    shares, speeds = [], []
    for _ in range(asked.rounds):
        limit = product_rate(batch, asked.seconds / 8)
        began, updates = time.perf_counter(), 0
        while time.perf_counter() - began < asked.seconds:
            step(updates)
            updates += 1
        speed = updates * batch / (time.perf_counter() - began)
        limit = (limit + product_rate(batch, asked.seconds / 8)) / 2
        shares.append(speed * work / limit)
        speeds.append(speed)
    memory = peak_memory() / 2**10
    print(
        f"batch {batch}: {statistics.median(shares):.1%} of the arithmetic limit ({min(shares):.1%} to {max(shares):.1%}, "
        f"{asked.rounds} rounds), {statistics.median(speeds):,.0f} pictures/s, {work:,} multiply-adds a picture, "
        f"peak memory {memory:.2f} GiB, {torch.get_num_threads()} threads"
    )
    if asked.profile:
        profile(learner, step)


def profile(learner: ReinforceLearner, step: Update) -> None:
    """Time the parts of an update one by one."""
    environment, module = learner.environment, step.module
    spent = dict.fromkeys(("environment", "forward", "backward", "optimizer"), 0.0)

    def timed(call: Callable[..., Any]) -> Callable[..., Any]:
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            began = time.perf_counter()
            result = call(*args, **kwargs)
            spent["environment"] += time.perf_counter() - began
            return result

        return wrapper

    with patch.multiple(environment, reset=timed(environment.reset), step=timed(environment.step)):
        began = time.perf_counter()
        for _ in range(100):
            first = time.perf_counter()
            loss, _ = learner.loss(module)
            second = time.perf_counter()
            step.accelerator.backward(loss)
            third = time.perf_counter()
            step.descend(0)
            fourth = time.perf_counter()
            spent["forward"] += second - first
            spent["backward"] += third - second
            spent["optimizer"] += fourth - third
        total = time.perf_counter() - began
    spent["forward"] -= spent["environment"]
    print("  " + ", ".join(f"{name} {value / total:.1%}" for name, value in spent.items()))


def scene_ids() -> tuple[str, ...]:
    """List the environments whose pictures are composed into scenes."""
    classes = {id_: load_env_creator(str(gym.spec(id_).vector_entry_point)) for id_ in attention_env.environment_ids()}
    return tuple(id_ for id_, kind in classes.items() if "scene" in getattr(kind, "defaults", {}))


def make_training(id_: str, precision: str, seconds: float) -> Measure:
    """Make a training with the published settings, do its first updates, and tell how the next ones are timed."""
    config = published_config(id_)
    config = dataclasses.replace(config, training=dataclasses.replace(config.training, precision=precision))
    accelerator = make_accelerator(config.training)
    learner = ReinforceLearner(config, accelerator)
    step, updates = Update(learner, config.training, accelerator), itertools.count()
    for _ in range(3):
        step(next(updates))

    def pictures_per_second() -> float:
        synchronise()
        began, done = time.perf_counter(), 0
        while time.perf_counter() - began < seconds:
            step(next(updates))
            done += 1
        synchronise()
        return done * learner.examples_per_update / (time.perf_counter() - began)

    return pictures_per_second


def measure_published(asked: Arguments) -> None:
    """Print the table of published settings in both precisions."""
    threads = asked.threads or torch.get_num_threads()
    print_machine("cuda" if torch.cuda.is_available() else "cpu", threads, asked.rounds)
    print_head(["environment", "pictures an update", "float32, pictures/s", "bf16, pictures/s", "bf16 / float32"])
    for id_ in asked.ids or scene_ids():
        with (
            Apart(make_training, id_, "no", asked.seconds, threads=threads) as full,
            Apart(make_training, id_, "bf16", asked.seconds, threads=threads) as half,
        ):
            rates = interleave({"float32": full, "bf16": half}, asked.rounds)
        pictures = published_config(id_).batch_size
        print_row([f"`{id_}`", pictures, spread(rates["float32"]), spread(rates["bf16"]), ratio(rates, "bf16", "float32")])


def main(asked: Arguments) -> None:
    """Measure what was asked for."""
    if asked.threads is not None:
        torch.set_num_threads(asked.threads)
    if asked.published:
        measure_published(asked)
    else:
        for size in asked.batches:
            measure(size, asked)


if __name__ == "__main__":
    main(tyro.cli(Arguments, description=__doc__))

"""How much of the machine's arithmetic RAM's training uses, environment included.

    python benchmarks/ram_training.py [--profile]

The limit: the update's multiply-adds, forward and backward, times 2, over the rate of a float32 (batch×256)·(256×256) product
with the same threads in the same run. Rounds alternate between the product and training; each round's share is training's rate
over what that round's product would allow. MNIST's shape, 7 glimpses of 8×8, hybrid rule.
"""

from __future__ import annotations

import dataclasses
import resource
import statistics
import time
from dataclasses import dataclass

import torch
import tyro
from accelerate import Accelerator

from agents.config import ReinforceConfig, published_config
from agents.reinforce import ReinforceLearner
from attention_core.training import Update


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
    total += (glimpses - 1) * (3 * core + 3 * looking)  # the location head runs once to act and once more to learn
    return total + 3 * naming


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
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
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
    reset, move = environment.reset, environment.step

    def timed(call):
        def wrapper(*args, **kwargs):
            began = time.perf_counter()
            result = call(*args, **kwargs)
            spent["environment"] += time.perf_counter() - began
            return result

        return wrapper

    environment.reset, environment.step = timed(reset), timed(move)
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
    environment.reset, environment.step = reset, move
    print("  " + ", ".join(f"{name} {value / total:.1%}" for name, value in spent.items()))


if __name__ == "__main__":
    arguments = tyro.cli(Arguments, description=__doc__)
    if arguments.threads is not None:
        torch.set_num_threads(arguments.threads)
    for size in arguments.batches:
        measure(size, arguments)

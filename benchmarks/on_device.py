"""Steps per second of every environment on a device, its tensors never leaving it, and how near that is to the device's limit.

    python benchmarks/on_device.py                                         # on the GPU, if there is one
    python benchmarks/on_device.py --device cpu --sizes 256 4096

Whole episodes, with `output="torch"` and no autoreset, by actions drawn on the device beforehand; the device is waited for before
the clock is read, at the start and at the end. Two tables:

1. Steps per second with the resets, and of the steps alone; how long a row's step takes, which stays the same for every n as soon
   as the cost is linear in n; and the share of the device's memory bandwidth that the steps alone use. Counted as moved, per row
   and step: the actions, the pixels of the finest patch (one more along each side if bilinear) and the corners of the coarser
   patches' blocks in the summed pictures, all read once; the location, read once; observation, reward and flags, written once. What
   a step writes and reads again in between is not counted, nor what makes the screen of `Catch-v0`: no step can move less. The
   bandwidth is that of copying a large tensor, measured in the same rounds, bytes read and bytes written both counted.
2. The same environment with more pictures held, at equal n: a row holds its own picture, so that should make no difference.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
import tyro
from side_by_side import Measure, interleave, print_head, print_machine, print_row, ratio, spread, synchronise
from torch import Tensor

import attention_env
from attention_env.batch import make_batch
from attention_env.envs.glimpse import GlimpseVectorEnv

COPIED = {"cuda": 2**30, "cpu": 2**27}
"""Bytes of the tensor that is copied to measure the bandwidth: far more than the caches hold."""
PLAIN = "attention_env/MNIST-v0"
"""The environment in which more pictures are held."""


@dataclass(frozen=True)
class Arguments:
    """What to measure."""

    device: str = "cuda" if torch.cuda.is_available() else "cpu"
    """Where."""
    ids: tuple[str, ...] = tuple(attention_env.environment_ids())
    """Environments."""
    sizes: tuple[int, ...] = (256, 4096, 65536)
    """Numbers of environments."""
    held: tuple[int, ...] = (1_000, 10_000, 60_000)
    """Numbers of pictures held; ratios are to the first."""
    rounds: int = 5
    """Interleaved rounds."""
    seconds: float = 1.0
    """Seconds per measurement; one episode at least."""
    threads: int = 1
    """PyTorch's threads on the CPU."""


class Episodes:
    """An environment on a device, and one episode's actions for it, drawn beforehand.

    Args:
        id_: of the environment.
        count: number of rows.
        device: where.
        settings: of the environment, where they differ.
    """

    def __init__(self, id_: str, count: int, device: str, **settings: Any) -> None:
        self.environment: GlimpseVectorEnv = make_batch(
            id_, count, **settings, output="torch", device=device, autoreset_mode="Disabled"
        )
        self.glimpses = self.environment.settings.glimpses
        classes = self.environment.pictures.classes
        self.actions = [
            {
                "location": torch.rand(count, 2, device=device) * 2 - 1,
                "label": torch.randint(classes, (count,), device=device),
            }
            for _ in range(self.glimpses)
        ]
        self.environment.reset(seed=0)

    def rate(self, seconds: float, resets: bool) -> float:
        """Play episodes for so many seconds of what is timed, and give the steps per second of all rows together."""
        spent, episodes = 0.0, 0
        while spent < seconds:
            spent += self._play(resets)
            episodes += 1
        return episodes * self.glimpses * self.environment.num_envs / spent

    def _play(self, resets: bool) -> float:
        """Play one episode; give the seconds it took, with its reset or without."""
        synchronise()
        began = time.perf_counter()
        self.environment.reset()
        if not resets:
            synchronise()
            began = time.perf_counter()
        for action in self.actions:
            self.environment.step(action)
        synchronise()
        return time.perf_counter() - began

    def bytes_moved(self) -> int:
        """Count the bytes that one row must move in a step."""
        settings, retina = self.environment.settings, self.environment.retina
        self.environment.reset()
        pictures, _, location = self.environment.started()
        observation, rewards, terminated, truncated, _ = self.environment.step(self.actions[0])
        whole: tuple[Tensor, ...] = (*self.actions[0].values(), location, *observation.values(), rewards, terminated, truncated)
        bilinear = retina.interpolation == "bilinear"
        channels, side = pictures.pixels.shape[1], settings.glimpse_size + bilinear
        read = channels * side**2 * pictures.pixels.element_size()
        if pictures.sums is not None:
            # A patch between pixels needs the blocks from both of them on, along each side.
            corners = ((settings.glimpse_size + 1) * (1 + bilinear)) ** 2
            read += (settings.scales - 1) * channels * corners * pictures.sums.element_size()
        return int(read) + sum(tensor.nbytes for tensor in whole) // self.environment.num_envs


def copy_bandwidth(source: Tensor, target: Tensor) -> float:
    """Bytes per second, read and written, of copying a tensor; a few times, so that the start of it counts for little."""
    synchronise()
    began = time.perf_counter()
    for _ in range(8):
        target.copy_(source)
    synchronise()
    return 8 * 2 * source.nbytes / (time.perf_counter() - began)


def measure_environments(asked: Arguments, bandwidth: Callable[[], float]) -> None:
    """Print the table of all environments."""
    per_second = ("with resets, steps/s", "steps alone, steps/s")
    print_head(["environment", "n", *per_second, "a row's step, ns", "bytes a step moves", "of the copy bandwidth"])
    for id_ in asked.ids:
        for count in asked.sizes:
            episodes = Episodes(id_, count, asked.device)
            rates = interleave(
                {
                    "with resets": partial(episodes.rate, asked.seconds, True),
                    "alone": partial(episodes.rate, asked.seconds, False),
                    "copy": bandwidth,
                },
                asked.rounds,
            )
            moved = episodes.bytes_moved()
            shares = [moved * steps / copied for steps, copied in zip(rates["alone"], rates["copy"], strict=True)]
            print_row(
                [
                    f"`{id_}`",
                    f"{count:,}",
                    spread(rates["with resets"]),
                    spread(rates["alone"]),
                    spread([1e9 / steps for steps in rates["alone"]], ",.1f"),
                    f"{moved:,}",
                    spread(shares, ".1%"),
                ]
            )


def measure_held(asked: Arguments) -> None:
    """Print the table of environments that hold more and more pictures."""
    first, *others = asked.held
    print_head(["n", f"{first:,} held, steps/s with resets", *(f"{held:,} held" for held in others)])
    draw = np.random.default_rng(0)
    images, labels = draw.integers(0, 256, (max(asked.held), 28, 28), dtype=np.uint8), draw.integers(0, 10, max(asked.held))
    for count in asked.sizes:
        measures: dict[str, Measure] = {
            f"{held}": partial(
                Episodes(PLAIN, count, asked.device, source=(images[:held], labels[:held])).rate, asked.seconds, True
            )
            for held in asked.held
        }
        rates = interleave(measures, asked.rounds)
        print_row([f"{count:,}", spread(rates[f"{first}"]), *(ratio(rates, f"{held}", f"{first}") for held in others)])


def main(asked: Arguments) -> None:
    """Print both tables."""
    torch.set_num_threads(asked.threads)
    print_machine(asked.device, asked.threads, asked.rounds)
    source = torch.zeros(COPIED[torch.device(asked.device).type], dtype=torch.uint8, device=asked.device)
    bandwidth = partial(copy_bandwidth, source, torch.empty_like(source))
    print(f"copy bandwidth {spread([bandwidth() / 1e9 for _ in range(asked.rounds)], ',.1f')} GB/s\n")
    measure_environments(asked, bandwidth)
    print(f"\nPictures held, random ones of 28×28 in `{PLAIN}`: as many times as fast as with {asked.held[0]:,}\n")
    measure_held(asked)


if __name__ == "__main__":
    main(tyro.cli(Arguments, description=__doc__))

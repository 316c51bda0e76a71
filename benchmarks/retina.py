"""Glimpses per second of the retina beside a bare NumPy gather of the same crops, the practical limit on a CPU.

    python benchmarks/retina.py

The gather is handed finished integer places in padded float32 pictures; the retina gets locations and pictures prepared by
`Retina.prepare`, whose own cost, once per episode, is printed beside.
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
from side_by_side import interleave, print_rates, ratio

from attention_env.retina import Retina


@dataclass(frozen=True)
class Arguments:
    """What to measure."""

    batch: int = 4096
    """Glimpses per call."""
    rounds: int = 9
    """Interleaved rounds."""
    seconds: float = 0.5
    """Seconds per measurement."""
    threads: int = 1
    """PyTorch's threads; NumPy's gather has one."""


def rate(call: Callable[[], Any], batch: int, seconds: float) -> float:
    """Glimpses per second of a call that takes `batch` of them."""
    began, calls = time.perf_counter(), 0
    while time.perf_counter() - began < seconds:
        call()
        calls += 1
    return calls * batch / (time.perf_counter() - began)


def compare(asked: Arguments, side: int, size: int, scales: int) -> None:
    """Measure one retina on pictures of side × side pixels."""
    draw = np.random.default_rng(0)
    batch = asked.batch
    images = draw.integers(0, 256, (batch, 1, side, side), dtype=np.uint8)
    locations = torch.from_numpy(draw.uniform(-1, 1, (batch, 2)).astype(np.float32))
    retina = Retina(size, scales)
    rows = torch.arange(batch)
    floats = retina.prepare(torch.from_numpy(images), few=True)
    prepared_bytes = retina.prepare(torch.from_numpy(images))
    gathers = []
    for scale in range(scales):
        step = 2**scale
        averages = np.pad(images[:, 0].astype(np.float32), ((0, 0), *[(size * step // 2, size * step // 2 + 1)] * 2))
        windows = np.lib.stride_tricks.sliding_window_view(averages, (size * step, size * step), axis=(1, 2))
        x, y = (draw.integers(0, windows.shape[2] - 1, batch) for _ in range(2))
        gathers.append((windows[..., ::step, ::step], np.arange(batch), y, x))

    def bare() -> None:
        for windows, row, y, x in gathers:
            windows[row, y, x]

    calls: dict[str, Callable[[], Any]] = {
        "retina, float32": lambda: retina.look(floats, locations, rows),
        "retina, bytes": lambda: retina.look(prepared_bytes, locations, rows),
        "NumPy gather": bare,
        "prepare": lambda: retina.prepare(torch.from_numpy(images)),
    }
    rates = interleave({name: partial(rate, call, batch, asked.seconds) for name, call in calls.items()}, asked.rounds)
    print(f"{side}×{side}, {size}×{size}, {scales} scale(s), {batch} at a time")
    print_rates(rates, "glimpses/s")
    for ours in ("retina, float32", "retina, bytes"):
        print(f"  {ours} / NumPy gather {ratio(rates, ours, 'NumPy gather')}")


def main(asked: Arguments) -> None:
    """Measure the retinas of four tasks."""
    torch.set_num_threads(asked.threads)
    for case in ((28, 5, 1), (28, 8, 1), (60, 12, 3), (100, 12, 4)):
        compare(asked, *case)


if __name__ == "__main__":
    main(tyro.cli(Arguments, description=__doc__))

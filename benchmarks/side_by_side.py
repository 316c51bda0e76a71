"""Timing rivals side by side: interleaved rounds after a warm-up, ratios with their spread.

Machines are shared and noisy, so a single timing says nothing. Each round times every rival once, one right after the other;
a ratio is taken within a round, and what is reported is the median of the rounds' ratios and their range.
"""

from __future__ import annotations

import multiprocessing
import os
import platform
import resource
import statistics
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing.context import BaseContext
from types import TracebackType

import torch

Measure = Callable[[], float]
"""Times something once and returns a rate; higher is better."""
PROCESSES: BaseContext = multiprocessing.get_context("spawn")
"""How rivals' processes are made: each imports its libraries anew, with the threads that it was given."""

# Taking turns -----------------------------------------------------------------------------------------------------------


def interleave(rivals: dict[str, Measure], rounds: int) -> dict[str, list[float]]:
    """Measure every rival once per round.

    Args:
        rivals: name → how it is measured; done once more beforehand to warm up.
        rounds: how many rounds.

    Returns:
        name → the rates, one per round.
    """
    for measure in rivals.values():
        measure()
    rates: dict[str, list[float]] = {name: [] for name in rivals}
    for _ in range(rounds):
        for name, measure in rivals.items():
            rates[name].append(measure())
    return rates


class Apart:
    """A rival in a process of its own, which sleeps while others are measured: no two share threads, memory or settings.

    Args:
        make: a function of a module; called there, once, it returns the measure.
        arguments: for `make`.
        threads: for PyTorch and NumPy there, and in the processes that the rival starts.
    """

    def __init__(self, make: Callable[..., Measure], *arguments: object, threads: int) -> None:
        os.environ["OMP_NUM_THREADS"] = str(threads)  # libraries read it when they are loaded, in processes of processes too
        self._process = ProcessPoolExecutor(1, mp_context=PROCESSES)
        try:
            self._process.submit(_make, make, arguments).result()
        except BaseException:
            self._process.shutdown()
            raise

    def __call__(self) -> float:
        """Measure it."""
        return self._process.submit(_measure).result()

    def __enter__(self) -> Apart:
        """Do nothing more: it is ready."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """End its process."""
        self._process.shutdown()


_made: list[Measure] = []
"""In the process of a rival: its measure."""


def _make(make: Callable[..., Measure], arguments: tuple[object, ...]) -> None:
    _made.append(make(*arguments))


def _measure() -> float:
    return _made[0]()


def synchronise() -> None:
    """Wait for the GPU, where there is one, so that a clock tells when its work is done."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def peak_memory() -> float:
    """Tell the most memory that this process has taken so far, on the GPU where there is one, in MiB."""
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated() / 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10


# Writing ----------------------------------------------------------------------------------------------------------------


def spread(values: Sequence[float], form: str = ",.0f", unit: str = "") -> str:
    """Write the median of the rounds and their range, such as "51× (50 to 56)"."""
    return f"{statistics.median(values):{form}}{unit} ({min(values):{form}} to {max(values):{form}})"


def ratio(rates: dict[str, list[float]], ours: str, theirs: str, form: str = ".2f") -> str:
    """Write how many times as fast ours is: the median of the rounds' ratios and their range."""
    return spread([a / b for a, b in zip(rates[ours], rates[theirs], strict=True)], form, "×")


def print_rates(rates: dict[str, list[float]], unit: str) -> None:
    """Print each rival's median rate and range."""
    width = max(map(len, rates))
    for name, values in rates.items():
        print(f"  {name:<{width}}  {spread(values)} {unit}", flush=True)


def print_row(cells: Iterable[object]) -> None:
    """Print a row of a Markdown table at once, so that a long measurement can be watched."""
    print(f"| {' | '.join(map(str, cells))} |", flush=True)


def print_head(columns: Sequence[str]) -> None:
    """Print the head of a Markdown table."""
    print_row(columns)
    print("|" + "---|" * len(columns), flush=True)


def print_machine(device: str, threads: int, rounds: int) -> None:
    """Print what is measured on, and how busy it is with other things: of the rates, only ratios bear that."""
    name = torch.cuda.get_device_name(device) if device.startswith("cuda") else platform.machine()
    print(
        f"{name}, {os.cpu_count()} CPU cores (load {os.getloadavg()[0]:.1f} before the start), {threads} thread(s), "
        f"Python {platform.python_version()}, PyTorch {torch.__version__}; median of {rounds} interleaved rounds (their range)\n"
    )

"""Timing rivals side by side: interleaved rounds after a warm-up, ratios with their spread.

Machines are shared and noisy, so a single timing says nothing. Each round times every rival once, one right after the other;
a ratio is taken within a round, and what is reported is the median of the rounds' ratios and their range.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable


def interleave(rivals: dict[str, Callable[[], float]], rounds: int) -> dict[str, list[float]]:
    """Measure every rival once per round.

    Args:
        rivals: name → a function that returns a rate (higher is better), called once more beforehand to warm up.
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


def ratio(rates: dict[str, list[float]], ours: str, theirs: str) -> str:
    """Write the median of the rounds' ratios, with the lowest and highest."""
    ratios = [a / b for a, b in zip(rates[ours], rates[theirs], strict=True)]
    return f"{statistics.median(ratios):8.2f}×  ({min(ratios):.2f} to {max(ratios):.2f} in {len(ratios)} rounds)"


def print_rates(rates: dict[str, list[float]], unit: str) -> None:
    """Print each rival's median rate and range."""
    width = max(map(len, rates))
    for name, values in rates.items():
        print(f"  {name:<{width}}  {statistics.median(values):>14,.0f} {unit}  ({min(values):,.0f} to {max(values):,.0f})")

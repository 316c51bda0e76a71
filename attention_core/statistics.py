"""Figures with their uncertainty."""

from __future__ import annotations

from scipy.stats import binomtest


def wilson_interval(count: int, total: int, confidence: float = 0.95) -> tuple[float, float]:
    """Give the Wilson score interval of a proportion.

    Args:
        count: how often it happened, 0 … total.
        total: out of how many, at least 1.
        confidence: coverage, within (0, 1).

    Returns:
        (low, high), fractions in [0, 1].

    Raises:
        ValueError: if the numbers are out of range.
    """
    if total < 1 or not 0 <= count <= total:
        raise ValueError(f"a proportion needs 0 <= count <= total and total >= 1, got {count} of {total}")
    interval = binomtest(count, total).proportion_ci(confidence_level=confidence, method="wilson")
    return float(interval.low), float(interval.high)

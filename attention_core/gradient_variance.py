"""How noisy the gradient of a score-function estimator is under one baseline and another, at the same parameters.

An estimate is the gradient of one update of a training. Every estimate plays equally many episodes and so costs the same: where a
baseline compares episodes of one example (leave-one-out, self-critical) there are fewer examples in it, and the greedy episodes of
self-critical count. The noise is the trace of the estimates' covariance, tr Cov(g) = E‖g − E g‖². The baselines are those of
`attention_core.policy_gradient`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from rich.console import Console
from rich.progress import track

from attention_core.statistics import Array

WARM_UP = 300
"""Batches that the moving average sees before it is measured: what it keeps of its start is 0.99^300, a twentieth."""


@dataclass(frozen=True)
class GradientVariance:
    """The noise of one baseline's gradient.

    Attributes:
        baseline: its name.
        pictures: different pictures in an estimate.
        samples: episodes of each that are learned from.
        variance: trace of the covariance of the estimates.
        error: its standard error.
        relative: the variance as a multiple of that without a baseline; not a number if that one is 0.
        relative_error: the standard error of this ratio.
    """

    baseline: str
    pictures: int
    samples: int
    variance: float
    error: float
    relative: float
    relative_error: float

    def cells(self) -> dict[str, str]:
        """Write a row of the table, by the titles of its columns."""
        return {
            "baseline": self.baseline,
            "pictures × samples": f"{self.pictures} × {self.samples}",
            "tr Cov": f"{self.variance:.3g} ± {self.error:.1g}",
            "relative to none": f"{self.relative:.3f} ± {self.relative_error:.3f}",
        }


def check_numbers(estimates: int, episodes: int, copies: int) -> None:
    """Check how much is to be measured; see `share_out`.

    Raises:
        ValueError: if a number is out of range.
    """
    if estimates < 2:
        raise ValueError(f"a variance needs at least 2 estimates, got {estimates}")
    if copies < 2 or episodes < 1 or episodes % copies:
        raise ValueError(f"episodes must be a multiple of copies, and those at least 2; got episodes={episodes}, copies={copies}")


def share_out(baseline: str, episodes: int, copies: int) -> tuple[int, int]:
    """Share the episodes of an estimate out: examples, and samples of each that are learned from.

    Args:
        baseline: its name.
        episodes: played for an estimate, greedy ones as well.
        copies: episodes of the same example where the baseline compares them, of self-critical one of them greedy.
    """
    if baseline == "leave_one_out":
        return episodes // copies, copies
    if baseline == "self_critical":
        return episodes // copies, copies - 1
    return episodes, 1


def collect(gradients: Iterator[Array], title: str, estimates: int) -> Array:
    """Draw the estimates, (…, d) each, behind a progress bar with a title: (R, …, d)."""
    return np.stack(list(track(gradients, title, estimates, console=Console(stderr=True))))


def squared_distances(gradients: Array) -> Array:
    """Give what each estimate adds to the trace of the covariance: (R, …, d) to (R, …), whose mean is the trace."""
    count, mean = len(gradients), gradients.mean(0, dtype=np.float64)
    # One by one, since a copy of all of them may be large.
    distances: Array = np.stack([np.square(gradient - mean).sum(-1) for gradient in gradients]) * count / (count - 1)
    return distances


def mean_and_error(values: Array) -> tuple[float, float]:
    """Give a mean and its standard error."""
    return float(values.mean()), float(values.std(ddof=1) / np.sqrt(len(values)))


def ratio_and_error(values: Array, others: Array, paired: bool = False) -> tuple[float, float]:
    """Give the ratio of two means and its standard error, to first order in theirs; not numbers for a second mean of 0.

    Args:
        values: (R,).
        others: (R,), independent of them.
        paired: they are not: the two of each pair are of the same chance, which the ratio may be free of.
    """
    (mean, error), (other, other_error) = mean_and_error(values), mean_and_error(others)
    if values is others:
        return 1.0, 0.0
    if other == 0:
        return float("nan"), float("nan")
    ratio = mean / other
    total = mean_and_error(values - ratio * others)[1] if paired else float(np.hypot(error, ratio * other_error))
    return ratio, total / other


def as_table(figures: Sequence[GradientVariance]) -> str:
    """Write the figures, at least one, as a table in Markdown."""
    titles = list(figures[0].cells())
    rows = [titles, ["---"] * len(titles), *(list(row.cells().values()) for row in figures)]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)

"""Figures with their uncertainty.

Scores of agents come in strata: one array per environment, which holds the scores of its runs (seeds). How to sum them up follows
Agarwal, Schwarzer, Castro, Courville, Bellemare, "Deep Reinforcement Learning at the Edge of the Statistical Precipice" (2021,
arXiv 2108.13264): the interquartile mean, performance profiles, the probability of improvement, each with an interval from a
bootstrap that draws runs anew within each environment, since environments are chosen and runs are chance.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Strata = Sequence[Array]
"""Scores by environment, each array (…, runs); leading axes, if any, count resamples."""


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
    from scipy.stats import binomtest  # here, since it takes half a second, and most of what imports this module never asks

    interval = binomtest(count, total).proportion_ci(confidence_level=confidence, method="wilson")
    return float(interval.low), float(interval.high)


def interquartile_mean(strata: Strata) -> Array:
    """Average the middle half of all scores, runs of all environments together (Agarwal et al., section 4.3).

    Args:
        strata: E arrays (…, R_e).

    Returns:
        (…), the mean without the lowest and the highest quarter, each rounded down to whole scores.
    """
    from scipy.stats import trim_mean

    means: Array = trim_mean(np.concatenate(strata, axis=-1), 0.25, axis=-1)
    return means


def performance_profile(strata: Strata, thresholds: Array) -> Array:
    """Tell which share of the runs scores more than each threshold, averaged over environments (Agarwal et al., section 4.2).

    Args:
        strata: E arrays (…, R_e).
        thresholds: (T,).

    Returns:
        (…, T), shares in [0, 1].
    """
    above = [(scores[..., None] > thresholds).mean(axis=-2) for scores in strata]
    shares: Array = np.mean(above, axis=0)
    return shares


def probability_of_improvement(first: Strata, second: Strata) -> Array:
    """Estimate how probably a run of the first agent beats one of the second, averaged over environments.

    P(X > Y) = (1/E) Σ_e (1/(R_e S_e)) Σ_i Σ_j [x_ei > y_ej] + ½ [x_ei = y_ej] (Agarwal et al., section 4.3; the Mann-Whitney
    statistic).

    Args:
        first: E arrays (…, R_e).
        second: E arrays (…, S_e) of the same environments.

    Returns:
        (…), in [0, 1]; ½ where neither is better.

    Raises:
        ValueError: if the agents were not in equally many environments.
    """
    if len(first) != len(second):
        raise ValueError(f"both agents need scores in the same environments, got {len(first)} and {len(second)}")
    wins = [
        (np.sign(ours[..., :, None] - theirs[..., None, :]).mean(axis=(-2, -1)) + 1) / 2
        for ours, theirs in zip(first, second, strict=True)
    ]
    probability: Array = np.mean(wins, axis=0)
    return probability


def bootstrap_interval(
    statistic: Callable[..., Array], *agents: Strata, confidence: float = 0.95, resamples: int = 2_000, seed: int = 0
) -> Array:
    """Give the percentile interval of a statistic, runs being drawn anew, with repetition, within each environment.

    Args:
        statistic: takes as many strata as there are agents, whose arrays have a leading axis of resamples, which it keeps.
        agents: the strata of each, E arrays (R_e,).
        confidence: coverage, within (0, 1).
        resamples: how often to draw.
        seed: of the drawing.

    Returns:
        (2, …), the lower and the upper end of whatever the statistic returns, (…).

    Raises:
        ValueError: if an environment has no run, or the confidence is out of range.
    """
    if not 0 < confidence < 1:
        raise ValueError(f"confidence must be within 0 … 1, exclusive, got {confidence}")
    if not all(strata and all(len(scores) for scores in strata) for strata in agents):
        raise ValueError("an interval needs at least one run in every environment")
    generator = np.random.default_rng(seed)
    drawn = [[_resample(scores, resamples, generator) for scores in strata] for strata in agents]
    ends: Array = np.quantile(statistic(*drawn), [(1 - confidence) / 2, (1 + confidence) / 2], axis=0)
    return ends


def _resample(scores: Any, resamples: int, generator: np.random.Generator) -> Array:
    """Draw as many runs as there are, again and again: (R,) to (resamples, R)."""
    array = np.asarray(scores, np.float64)
    return array[generator.integers(len(array), size=(resamples, len(array)))]

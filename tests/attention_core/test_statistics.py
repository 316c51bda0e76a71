"""The Wilson interval against published values; scores of several runs against enumeration and what can be worked out by hand."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import mannwhitneyu

from attention_core.statistics import (
    bootstrap_interval,
    interquartile_mean,
    performance_profile,
    probability_of_improvement,
    wilson_interval,
)


@pytest.mark.parametrize(
    ("count", "total", "low", "high"),
    [
        # Newcombe 1998, table I, method 3 (score, no continuity correction), confidence 0.95.
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0000, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_interval_is_the_published_one(count: int, total: int, low: float, high: float) -> None:
    found = wilson_interval(count, total)
    assert found == pytest.approx((low, high), abs=5e-5)
    assert all(isinstance(end, float) for end in found)


def test_interval_is_the_formula_at_another_confidence() -> None:
    count, total, z = 30, 200, 2.5758293035489004
    share = count / total
    centre = (share + z**2 / (2 * total)) / (1 + z**2 / total)
    half = z / (1 + z**2 / total) * (share * (1 - share) / total + z**2 / (4 * total**2)) ** 0.5
    assert wilson_interval(count, total, 0.99) == pytest.approx((centre - half, centre + half), abs=1e-12)


def test_interval_mirrors_and_narrows() -> None:
    low, high = wilson_interval(3, 50)
    assert wilson_interval(47, 50) == pytest.approx((1 - high, 1 - low))
    closer = wilson_interval(30, 500)
    assert low < closer[0] < 0.06 < closer[1] < high


@pytest.mark.parametrize("total", [1, 7])
def test_interval_stays_within_0_and_1(total: int) -> None:
    assert wilson_interval(0, total)[0] == 0.0
    assert wilson_interval(total, total)[1] == 1.0


@pytest.mark.parametrize(("count", "total"), [(0, 0), (-1, 5), (6, 5), (1, -2)])
def test_impossible_counts_are_refused_by_name(count: int, total: int) -> None:
    with pytest.raises(ValueError, match=f"got {count} of {total}"):
        wilson_interval(count, total)


@pytest.mark.parametrize("confidence", [-0.1, 1.5])
def test_impossible_confidence_is_refused(confidence: float) -> None:
    with pytest.raises(ValueError, match="confidence"):
        wilson_interval(1, 2, confidence)


# Scores of several runs in several environments -------------------------------------------------------------------------

STRATA = [np.array([0.9, 0.1, 0.5]), np.array([0.3, 0.7, 0.2, 0.8])]


@pytest.mark.parametrize(
    ("scores", "expected"),
    [
        ([0.1, 0.2, 0.3, 0.4], 0.25),
        ([0.4, 0.1, 0.3, 0.2], 0.25),
        ([0.0, 0.2, 0.3, 0.4, 0.9], 0.3),  # a quarter of five is one
        ([0.0, 0.0, 0.2, 0.3, 0.5, 0.6, 1.0, 1.0], 0.4),
        ([0.1, 0.2, 0.9], 0.4),  # a quarter of three is none
        ([0.7], 0.7),
    ],
)
def test_interquartile_mean_is_that_of_the_middle_half(scores: list[float], expected: float) -> None:
    assert interquartile_mean([np.array(scores)]) == pytest.approx(expected)


def test_interquartile_mean_takes_all_environments_together() -> None:
    # Of seven scores one goes at either end: .2 .3 .5 .7 .8 are left.
    assert interquartile_mean(STRATA) == pytest.approx(0.5)
    twice = [np.stack([scores, scores + 1]) for scores in STRATA]
    assert interquartile_mean(twice) == pytest.approx([0.5, 1.5])


def test_profile_is_the_share_above_each_threshold_averaged_over_environments() -> None:
    thresholds = np.array([-0.1, 0.1, 0.5, 0.75, 0.9])
    expected = [1.0, (2 / 3 + 1) / 2, (1 / 3 + 2 / 4) / 2, (1 / 3 + 1 / 4) / 2, 0.0]
    assert performance_profile(STRATA, thresholds) == pytest.approx(expected)
    assert performance_profile([np.stack([scores] * 2) for scores in STRATA], thresholds).shape == (2, 5)


def test_probability_of_improvement_counts_pairs_and_halves_draws() -> None:
    ours = [np.array([0.5, 0.9]), np.array([0.2])]
    theirs = [np.array([0.5, 0.6, 0.1]), np.array([0.1, 0.3])]
    # Of six pairs four are won and one is drawn; of two one is won.
    assert probability_of_improvement(ours, theirs) == pytest.approx((4.5 / 6 + 1 / 2) / 2)
    assert probability_of_improvement(theirs, ours) == pytest.approx(1 - (4.5 / 6 + 1 / 2) / 2)
    assert probability_of_improvement(ours, ours) == pytest.approx(0.5)


def test_probability_of_improvement_is_mann_whitneys_statistic() -> None:
    chance = np.random.default_rng(0)
    ours, theirs = chance.integers(5, size=9) / 4, chance.integers(5, size=7) / 4
    assert probability_of_improvement([ours], [theirs]) == pytest.approx(mannwhitneyu(ours, theirs).statistic / 63)


def test_agents_in_different_environments_are_not_compared() -> None:
    with pytest.raises(ValueError, match="the same environments, got 2 and 1"):
        probability_of_improvement(STRATA, STRATA[:1])


def enumerated(strata: list[NDArray[np.float64]]) -> list[list[NDArray[np.float64]]]:
    """List all draws with repetition, which are equally probable, environment by environment."""
    each = [[np.array(drawn) for drawn in itertools.product(scores, repeat=len(scores))] for scores in strata]
    return [list(drawn) for drawn in itertools.product(*each)]


@pytest.mark.parametrize("confidence", [0.5, 0.9, 0.95])
def test_interval_is_that_of_all_draws_within_environments(confidence: float) -> None:
    strata = [np.array([0.11, 0.47, 0.83]), np.array([0.2, 0.6])]
    values = [float(interquartile_mean(drawn)) for drawn in enumerated(strata)]
    assert len(values) == 27 * 4
    expected = np.quantile(values, [(1 - confidence) / 2, (1 + confidence) / 2], method="inverted_cdf")
    found = bootstrap_interval(interquartile_mean, strata, confidence=confidence, resamples=100_000)
    # Few values are possible: chance moves the ends by one of them at most.
    steps = np.max(np.diff(np.unique(np.round(values, 9))))
    assert found == pytest.approx(expected, abs=steps)


def test_environments_are_not_drawn_only_their_runs() -> None:
    strata = [np.zeros(4), np.ones(4)]
    assert bootstrap_interval(interquartile_mean, strata) == pytest.approx([0.5, 0.5])
    assert bootstrap_interval(interquartile_mean, [np.concatenate(strata)]) == pytest.approx([0, 1], abs=0.2)


def test_interval_of_a_mean_is_as_wide_as_its_standard_error_says() -> None:
    scores = np.random.default_rng(1).normal(size=400)
    low, high = bootstrap_interval(lambda strata: strata[0].mean(-1), [scores], resamples=20_000)
    error = scores.std() / 20
    assert (low, high) == pytest.approx((scores.mean() - 1.96 * error, scores.mean() + 1.96 * error), abs=0.1 * error)


def test_both_agents_are_drawn_anew() -> None:
    ours, theirs = [np.array([0.1, 0.9])], [np.array([0.5])]
    assert bootstrap_interval(probability_of_improvement, ours, theirs) == pytest.approx([0, 1])
    assert bootstrap_interval(probability_of_improvement, theirs, ours) == pytest.approx([0, 1])


def test_interval_of_a_profile_has_an_end_for_every_threshold() -> None:
    thresholds = np.array([0.0, 0.4, 1.0])
    low, high = bootstrap_interval(lambda drawn: performance_profile(drawn, thresholds), STRATA)
    assert low == pytest.approx([1, 0.125, 0], abs=0.05)
    assert (high[0], high[2]) == (1, 0)
    assert low[1] < performance_profile(STRATA, thresholds)[1] < high[1]


def test_interval_depends_on_the_seed_alone() -> None:
    same = [bootstrap_interval(interquartile_mean, STRATA, seed=3) for _ in range(2)]
    assert np.array_equal(*same)
    assert not np.array_equal(same[0], bootstrap_interval(interquartile_mean, STRATA, resamples=50, seed=4))


def test_interval_of_one_run_is_that_run() -> None:
    assert bootstrap_interval(interquartile_mean, [np.array([0.4])]) == pytest.approx([0.4, 0.4])


@pytest.mark.parametrize("strata", [[], [np.array([0.1]), np.array([])]])
def test_interval_of_nothing_is_refused(strata: list[NDArray[np.float64]]) -> None:
    with pytest.raises(ValueError, match="at least one run in every environment"):
        bootstrap_interval(interquartile_mean, strata)


@pytest.mark.parametrize("confidence", [0.0, 1.0, 95.0])
def test_impossible_confidence_of_a_bootstrap_is_refused(confidence: float) -> None:
    with pytest.raises(ValueError, match=f"confidence must be within 0 … 1, exclusive, got {confidence}"):
        bootstrap_interval(interquartile_mean, STRATA, confidence=confidence)

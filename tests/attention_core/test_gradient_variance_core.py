"""The noise of a gradient: its figures against NumPy's, errors against repetition, episodes shared out evenly, the table."""

from __future__ import annotations

import math

import numpy as np
import pytest

from attention_core.gradient_variance import (
    GradientVariance,
    as_table,
    check_numbers,
    collect,
    mean_and_error,
    ratio_and_error,
    share_out,
    squared_distances,
)


def test_squared_distances_average_to_the_trace_of_the_covariance() -> None:
    gradients = np.random.default_rng(0).normal(size=(50, 3)) * [1, 2, 3] + 7
    assert squared_distances(gradients).mean() == pytest.approx(np.trace(np.cov(gradients.T)))


def test_squared_distances_of_several_gradients_are_those_of_each() -> None:
    gradients = np.random.default_rng(0).normal(size=(50, 2, 3)) * [1, 2, 3] + 7
    together = squared_distances(gradients)
    assert together.shape == (50, 2)
    for number in range(2):
        assert together[:, number] == pytest.approx(squared_distances(gradients[:, number]))


def test_single_precision_far_from_zero_loses_nothing_in_the_mean() -> None:
    gradients = (np.random.default_rng(0).normal(size=(2_000, 2)) + 3_000).astype(np.float32)
    assert squared_distances(gradients).mean() == pytest.approx(np.trace(np.cov(gradients.T.astype(np.float64))), rel=1e-9)


def test_errors_are_those_that_are_seen_when_all_is_repeated() -> None:
    chance = np.random.default_rng(0)
    repeated = [
        (mean_and_error(ours := chance.gamma(2, size=200)), ratio_and_error(ours, chance.gamma(3, size=200))) for _ in range(2_000)
    ]
    (means, errors), (ratios, ratio_errors) = np.array(repeated).transpose(1, 2, 0)
    assert means.mean() == pytest.approx(2, rel=0.01)
    assert errors.mean() == pytest.approx(means.std(), rel=0.05)
    assert ratios.mean() == pytest.approx(2 / 3, rel=0.01)
    assert ratio_errors.mean() == pytest.approx(ratios.std(), rel=0.05)


def test_ratio_of_pairs_is_as_certain_as_their_chance_is_shared() -> None:
    chance = np.random.default_rng(0)
    ratios, errors, apart = [], [], []
    for _ in range(2_000):
        others = chance.gamma(3, size=200)
        values = 0.5 * others + chance.gamma(2, size=200) / 10
        ratio, error = ratio_and_error(values, others, paired=True)
        ratios.append(ratio)
        errors.append(error)
        apart.append(ratio_and_error(values, others)[1])
    assert np.mean(errors) == pytest.approx(np.std(ratios), rel=0.05)
    assert np.mean(apart) > 3 * np.std(ratios)


def test_ratio_to_itself_is_certain_and_to_nothing_is_none() -> None:
    values = np.array([1.0, 2.0])
    assert ratio_and_error(values, values) == (1.0, 0.0)
    assert all(map(math.isnan, ratio_and_error(values, np.zeros(2))))
    assert ratio_and_error(np.zeros(2), values) == (0.0, 0.0)


@pytest.mark.parametrize(
    ("baseline", "shape"), [("none", (60, 1)), ("learned", (60, 1)), ("leave_one_out", (20, 3)), ("self_critical", (20, 2))]
)
def test_every_baseline_has_the_same_episodes(baseline: str, shape: tuple[int, int]) -> None:
    examples, samples = share_out(baseline, 60, 3)
    assert (examples, samples) == shape
    assert examples * (samples + (baseline == "self_critical")) == 60


@pytest.mark.parametrize(
    ("estimates", "episodes", "copies", "message"),
    [
        (1, 8, 2, "at least 2 estimates, got 1"),
        (3, 9, 2, "episodes must be a multiple of copies, .* got episodes=9, copies=2"),
        (3, 8, 1, "those at least 2; got episodes=8, copies=1"),
        (3, 0, 2, "got episodes=0, copies=2"),
    ],
)
def test_impossible_numbers_are_refused(estimates: int, episodes: int, copies: int, message: str) -> None:
    check_numbers(2, 8, 2)
    with pytest.raises(ValueError, match=message):
        check_numbers(estimates, episodes, copies)


def test_progress_is_told_apart_from_the_figures(capsys: pytest.CaptureFixture[str]) -> None:
    rows = [np.full(2, number) for number in range(3)]
    assert np.array_equal(collect(iter(rows), "leave_one_out", 3), np.stack(rows))
    said = capsys.readouterr()
    assert said.out == ""
    assert "leave_one_out" in said.err


def test_table_has_a_row_for_every_figure() -> None:
    rows = [
        GradientVariance("none", 8, 1, 12.3456, 0.789, 1.0, 0.0),
        GradientVariance("leave_one_out", 4, 2, 0.01234, 0.00456, 0.1234, 0.0456),
    ]
    assert as_table(rows).splitlines() == [
        "| baseline | pictures × samples | tr Cov | relative to none |",
        "| --- | --- | --- | --- |",
        "| none | 8 × 1 | 12.3 ± 0.8 | 1.000 ± 0.000 |",
        "| leave_one_out | 4 × 2 | 0.0123 ± 0.005 | 0.123 ± 0.046 |",
    ]

"""The Wilson interval against published values, its limits, and its errors."""

from __future__ import annotations

import pytest

from attention_core.statistics import wilson_interval


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

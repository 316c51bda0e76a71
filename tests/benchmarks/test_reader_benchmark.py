"""The reader's benchmark: both ways of reading give the same words, and the script prints its tables."""

from __future__ import annotations

import pytest
from test_benchmarks import RATIO, SPREAD, assert_like, tables


def test_the_table_of_reading() -> None:
    ((_, *rows),) = tables("reader.py", "--rounds", "1", "--crops", "3")
    for row, beams in zip(rows, ("1", "5"), strict=True):
        assert_like(row, beams, SPREAD, SPREAD, RATIO, r"100\.0%")


@pytest.mark.usefixtures("data_folder")
def test_the_table_of_learning() -> None:
    ((_, row),) = tables("reader.py", "--training", "--rounds", "1", "--updates", "1", "--workers", "0")
    assert_like(row, "synthetic", "bf16", "0", SPREAD, r"[\d.]+% \([\d.]+ to [\d.]+\)")

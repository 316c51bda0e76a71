"""The benchmarks of reading and of drawing words: both ways of reading give the same words, and the scripts print their tables."""

from __future__ import annotations

import pytest
from test_benchmarks import RATIO, SPREAD, Script, assert_like, tables

from attention_core.training import fast_precision


def test_the_table_of_reading(script: Script) -> None:
    ((_, *rows),) = tables(script("reader"), "--rounds", "1", "--crops", "3", "--settings", "ablation")
    for row, beams in zip(rows, ("1", "5"), strict=True):
        assert_like(row, beams, SPREAD, SPREAD, RATIO, r"100\.0%")


@pytest.mark.usefixtures("data_folder")
def test_the_table_of_learning(script: Script) -> None:
    ((_, row),) = tables(script("reader"), "--training", "--rounds", "1", "--updates", "1", "--workers", "0")
    assert_like(row, "synthetic", fast_precision(), "0", SPREAD, r"[\d.]+% \([\d.]+ to [\d.]+\)")


@pytest.mark.usefixtures("data_folder")
def test_the_table_of_drawing(script: Script) -> None:
    ((_, *rows),) = tables(script("words"), "--rounds", "1", "--words", "20", "--warm-up", "5", "--processes", "1", "2")
    assert [row[0] for row in rows] == ["1", "2", "plain letters"]
    for row in rows:
        assert_like(row[1:], SPREAD, RATIO, RATIO)

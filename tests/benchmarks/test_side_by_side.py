"""Rounds are interleaved, ratios are taken within them, and a rival apart is measured in a process of its own."""

from __future__ import annotations

import operator
import os
from collections.abc import Callable
from functools import partial
from types import ModuleType

import pytest

Script = Callable[[str], ModuleType]


def test_rivals_take_turns_after_a_warm_up(script: Script) -> None:
    order: list[str] = []

    def measured(name: str) -> float:
        order.append(name)
        return float(len(order))

    rates = script("side_by_side").interleave({"a": lambda: measured("a"), "b": lambda: measured("b")}, rounds=2)
    assert order == ["a", "b"] * 3
    assert rates == {"a": [3.0, 5.0], "b": [4.0, 6.0]}


def test_a_ratio_is_taken_within_each_round(script: Script) -> None:
    # A machine that slows down tenfold between rounds changes the rates and no ratio: medians of both would give 100 / 5.
    rates = {"ours": [1000.0, 100.0, 10.0], "theirs": [100.0, 5.0, 2.0]}
    assert script("side_by_side").ratio(rates, "ours", "theirs") == "10.00× (5.00 to 20.00)"


def test_a_spread_is_median_and_range(script: Script) -> None:
    assert script("side_by_side").spread([3.0, 1000.0, 20_000.0]) == "1,000 (3 to 20,000)"
    assert script("side_by_side").spread([0.25, 0.5], ".1%") == "37.5% (25.0% to 50.0%)"


def test_a_rival_apart_has_a_process_of_its_own_and_the_threads_asked_for(script: Script, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "7")  # put back afterwards
    apart = script("side_by_side").Apart
    with apart(partial, os.getpid, threads=1) as one, apart(partial, os.getpid, threads=1) as other:
        assert len({one(), one(), other(), os.getpid()}) == 3
    with apart(partial, os.getenv, "OMP_NUM_THREADS", threads=3) as asked:
        assert asked() == "3"


def test_what_a_rival_apart_raises_arrives(script: Script, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    apart = script("side_by_side").Apart
    with pytest.raises(ModuleNotFoundError, match="no_such_rival"):
        apart(__import__, "no_such_rival", threads=1)
    with apart(partial, operator.truediv, 1, 0, threads=1) as broken, pytest.raises(ZeroDivisionError):
        broken()

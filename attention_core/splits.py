"""The splits of data, and the rule that the test split chooses nothing: while something learns, none can be opened."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

SPLITS = ("train", "validation", "test")

_closed: ContextVar[bool] = ContextVar("whether test splits are closed", default=False)


class SplitError(RuntimeError):
    """Test data were asked for while something learned."""


@contextmanager
def closed_test_splits() -> Iterator[None]:
    """Let nothing open a test split; every function that trains is decorated with it."""
    before = _closed.set(True)
    try:
        yield
    finally:
        _closed.reset(before)


def check_split(split: str) -> None:
    """See that there is such a split.

    Raises:
        ValueError: naming those that there are.
    """
    if split not in SPLITS:
        raise ValueError(f"unknown split {split!r}: choose one of {', '.join(SPLITS)}")


def open_split(split: str) -> None:
    """Say that the data of a split are about to be given out; whatever gives out data says so first.

    Args:
        split: "train", "validation" or "test".

    Raises:
        ValueError: if there is no such split.
        SplitError: if it is the test split and something learns.
    """
    check_split(split)
    if split == "test" and _closed.get():
        raise SplitError("a training asked for a test split: whatever is chosen must be chosen on validation data")

"""What the Transformer's tests share."""

from __future__ import annotations

import pytest

from transformer.config import SIZES, Size


@pytest.fixture
def small_size(monkeypatch: pytest.MonkeyPatch) -> Size:
    """Let the size `tiny` be smaller still."""
    size = Size(layers=2, units=16, inner=24, heads=4)
    monkeypatch.setitem(SIZES, "tiny", size)
    return size

"""What the captioners' tests share."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture
def few_scenes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let validation be of a hundred drawn scenes where there are two thousand."""
    monkeypatch.setattr("attention_env.caption_scenes.HELD_OUT", 100)


@pytest.fixture
def without_java(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Let no program be found, and so no Java; METEOR takes long to start."""
    monkeypatch.setenv("PATH", str(tmp_path))

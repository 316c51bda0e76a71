"""Learning curves: whatever the numbers are, none is cut off, and what there is nothing of leaves its panel empty."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from attention_core import curves
from attention_core.curves import draw_panels
from attention_core.run_folder import RunFolder

WHOLE = dict(curves.STYLE)
"""The style for users: tests are collected before any of them makes it plain."""


def draw(place: Path, panels: dict[str, list[str]], rows: dict[int, dict[str, float]]) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """Draw metrics of updates; return the picture, (height, width, 3)."""
    folder = RunFolder(place)
    for update, values in rows.items():
        folder.log(update, values)
    folder.close()
    with Image.open(draw_panels(folder, panels, "updates")) as picture:
        return np.asarray(picture.convert("RGB"))


@pytest.mark.parametrize("unit", [1.2e-7, 4e-5, 4.56e-3, 1.0, 654_321.0, 3e7])
def test_no_number_is_cut_off(unit: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(curves, "STYLE", WHOLE)
    panels = {"loss": ["losses/a"], "error": ["validation/b"], "parts": ["losses/a", "losses/c"]}
    rows = {1000 * step: {"losses/a": unit * step, "losses/c": -unit * step, "validation/b": step / 4} for step in (1, 2, 3)}
    picture = draw(tmp_path, panels, rows)
    margins = (picture[:2], picture[-2:], picture[:, :2], picture[:, -2:])
    assert all((margin == 255).all() for margin in margins)
    height, width = picture.shape[:2]
    assert (picture[height // 2 :, : width // 2] < 128).any()  # the third panel, with its numbers
    assert (picture[height // 2 :, width // 2 + 4 :] == 255).all()  # and no fourth
    assert WHOLE["axes.grid"]  # or it would be the plain one


def test_metrics_that_are_not_there_leave_their_panel_empty(tmp_path: Path) -> None:
    picture = draw(tmp_path, {"one": ["losses/a"], "other": ["losses/b"]}, {step: {"losses/a": float(step)} for step in (1, 2)})
    half = picture.shape[1] // 2
    colour = np.array([31, 119, 180], np.uint8)  # matplotlib's first
    assert (picture[:, :half] == colour).all(-1).any()
    assert not (picture[:, half:] == colour).all(-1).any()

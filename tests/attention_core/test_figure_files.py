"""Figures are files of the kind that their name says."""

from pathlib import Path

import pytest
from matplotlib.figure import Figure
from PIL import Image

from attention_core.pictures import save_figure


@pytest.fixture
def figure() -> Figure:
    made = Figure(figsize=(1, 1))
    made.subplots().plot([0, 1])
    return made


@pytest.mark.parametrize(("ending", "kind"), [(".png", "PNG"), (".jpg", "JPEG"), (".webp", "WEBP"), ("", "PNG")])
def test_a_figure_is_what_its_ending_says(figure: Figure, tmp_path: Path, ending: str, kind: str) -> None:
    path = tmp_path / "new" / f"figure{ending}"
    save_figure(figure, path, 50)
    with Image.open(path) as image:
        assert (image.format, image.size) == (kind, (50, 50))


def test_an_unknown_ending_is_named_and_nothing_is_left(figure: Figure, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"'xyz' is not supported \(supported formats: .*png"):
        save_figure(figure, tmp_path / "figure.xyz", 50)
    assert not list(tmp_path.iterdir())

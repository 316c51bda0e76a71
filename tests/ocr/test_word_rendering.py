"""Rendering: letters keep their places through all geometry, and text stands out from what is behind it."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pytest
from numpy.random import Generator
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from ocr import rendering, textures
from ocr.fonts import open_face
from ocr.glyphs import CAPITAL_HEIGHT, Face
from ocr.lettering import set_text
from ocr.rendering import render

FACE = str(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf")


@pytest.fixture
def face() -> Face:
    return open_face(FACE)


@pytest.fixture
def generator() -> Generator:
    return np.random.default_rng(0)


def test_boxes_hold_the_letters(face: Face, generator: Generator) -> None:
    for _ in range(50):
        line = set_text("Hat", face, generator)
        ink = np.asarray(line.ink)
        assert len(line.boxes) == 3
        for (left, top, right, bottom), character in zip(line.boxes, "Hat", strict=True):
            rows = slice(math.floor(top), math.ceil(bottom) + 1)
            part = ink[rows, math.floor(left) : math.ceil(right) + 1].astype(float)
            # Small capitals have less ink than the letters that they are made of; nothing else has.
            assert part.sum() >= 0.35 * face.glyph(character).ink.sum(dtype=float)


def test_letters_stand_in_their_order(face: Face, generator: Generator) -> None:
    for _ in range(50):
        centres = set_text("HOTEL", face, generator).boxes[:, [0, 2]].mean(axis=1)
        assert (np.diff(centres) > 0).all()


def test_signs_that_the_face_lacks_are_left_out_and_a_text_of_them_is_refused(face: Face, generator: Generator) -> None:
    assert len(set_text("a\uffffb", face, generator).boxes) == 2
    with pytest.raises(ValueError, match="no ink"):
        set_text(" ", face, generator)


def test_the_map_has_an_inverse(generator: Generator) -> None:
    size = np.array((160.0, 30.0))
    points = (generator.random((50, 2)) - 0.5) * size
    moved = 0.0
    for _ in range(300):
        mapping = rendering._draw_map(size, generator)
        seen = mapping.forward(points)
        np.testing.assert_allclose(mapping.backward(seen), points, atol=1e-6)
        moved = max(moved, np.abs(seen - points).max())
    assert moved > 10


def test_a_loose_crop_holds_all_letters(face: Face, generator: Generator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rendering, "_draw_margins", lambda generator: np.full(4, 0.1))
    monkeypatch.setattr("ocr.lettering._draw_rules", lambda *_: None)
    monkeypatch.setattr("ocr.lettering._beside", lambda *_: [])
    monkeypatch.setattr("ocr.lettering._above_or_below", lambda *_: [])
    for _ in range(100):
        crop = np.asarray(rendering._place(set_text("Weight", face, generator), generator))
        edges = np.concatenate((crop[0], crop[-1], crop[:, 0], crop[:, -1]))
        assert edges.max() < 128
        assert crop.max() > 200


def test_letters_stand_out_from_what_is_behind_them(face: Face, generator: Generator) -> None:
    ink = set_text("HOTEL", face, generator).ink
    letters = np.asarray(ink) > 200
    apart, lighter = [], 0
    for _ in range(300):
        picture = rendering._paint(ink, 0.0, generator)
        difference = picture[letters].mean() - picture[np.asarray(ink) == 0].mean()
        apart.append(abs(difference))
        lighter += difference > 0
    assert min(apart) > 20
    assert 0.4 < lighter / 300 < 0.7  # light on dark and dark on light


def test_light_keeps_tones_within_their_range(generator: Generator) -> None:
    picture = np.tile(np.linspace(0, 255, 90, dtype=np.float32), (30, 1))
    for _ in range(200):
        lit = textures.light(picture, 2.0, generator)
        assert lit.shape == picture.shape
        assert lit.min() >= 0
        assert lit.max() <= 255
        assert lit.std() > 25


def test_cameras_leave_enough_pixels_to_letters(generator: Generator, monkeypatch: pytest.MonkeyPatch) -> None:
    heights = []
    resize = Image.Image.resize

    def watch(image: Image.Image, size: tuple[int, int], *rest: Any) -> Image.Image:
        heights.append(size[1])
        return resize(image, size, *rest)

    monkeypatch.setattr(Image.Image, "resize", watch)
    picture = np.zeros((2 * CAPITAL_HEIGHT, 100), np.float32)
    for _ in range(200):
        crop = textures.photograph(picture, CAPITAL_HEIGHT, 2.0, generator, 32, 100)
        assert crop.shape == (32, 100)
        assert crop.dtype == np.uint8
    assert min(heights) >= 2 * textures.LEAST_LETTER - 1
    assert min(heights) < 24
    assert heights.count(32) >= 200


@pytest.mark.parametrize("surface", [textures.draw_edge, textures.slope, textures.smooth_noise, textures._stripes])
def test_surfaces_are_within_their_range(surface: Callable[[int, int, Generator], textures.Grey], generator: Generator) -> None:
    for _ in range(50):
        drawn = surface(20, 50, generator)
        assert drawn.shape == (20, 50)
        assert drawn.dtype == np.float32
        assert np.abs(drawn).max() <= 2


def test_a_crop_looks_like_its_word(face: Face, monkeypatch: pytest.MonkeyPatch) -> None:
    straight = rendering._Map(np.eye(2), np.zeros(2), 0, 0, 0, 0)
    monkeypatch.setattr(rendering, "_draw_map", lambda *_: straight)
    monkeypatch.setattr(rendering, "_draw_margins", lambda generator: np.zeros(4))

    def plain(text: str) -> NDArray[np.float64]:
        picture = Image.new("L", (300, 60))
        ImageDraw.Draw(picture).text((10, 10), text, fill=255, font=ImageFont.truetype(FACE, 32))
        return standard(np.asarray(picture.crop(picture.getbbox()).resize((100, 32))))

    def standard(crop: NDArray[np.uint8]) -> NDArray[np.float64]:
        values = crop - crop.mean()
        return values / np.linalg.norm(values)

    words = ("MILL", "HOWE", "taxi")
    plains = [plain(word) for word in words]
    right = [
        np.argmax([abs((standard(render(word, face, np.random.default_rng(seed), 32, 100)) * one).sum()) for one in plains])
        == number
        for number, word in enumerate(words)
        for seed in range(100)
    ]
    assert np.mean(right) > 0.9

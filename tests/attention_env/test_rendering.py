"""Frames show the picture, the boxes and the path where they are, and what the retina sees."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from attention_env.rendering import BOXES, GAP, PATH, SIDE, draw_frame

Frame = NDArray[np.uint8]
DARK = np.zeros((1, 8, 8), np.float32)


def frame_of(image: NDArray[np.float32], path: list[list[float]], size: int = 4, scales: int = 1, glimpse: float = 0.0) -> Frame:
    patches = np.full((scales * len(image), size, size), glimpse, np.float32)
    return draw_frame(image, patches, np.array(path, np.float32), size, scales)


def where(frame: Frame, colour: tuple[int, int, int]) -> NDArray[np.int64]:
    """List the points (x, y) of a colour in the picture's part of the frame, from the picture's corner."""
    y, x = np.nonzero((frame == colour).all(axis=-1))
    points = np.stack((x, y), axis=1) - GAP
    return points[points[:, 0] < SIDE]


@pytest.mark.parametrize("channels", [1, 2, 3])
@pytest.mark.parametrize("scales", [1, 2, 3, 6])
@pytest.mark.parametrize(("height", "width"), [(8, 8), (28, 28), (5, 12), (12, 5), (100, 100)])
def test_a_frame_has_the_same_shape_whatever_the_picture(height: int, width: int, scales: int, channels: int) -> None:
    image = np.random.default_rng(0).random((channels, height, width), np.float32)
    frame = frame_of(image, [[0.0, 0.0], [1.0, -1.0]], 3, scales, 0.5)
    assert frame.dtype == np.uint8
    assert frame.shape == frame_of(DARK, [[0.0, 0.0]], 3, scales).shape
    assert frame.shape[2] == 3


@pytest.mark.parametrize(("x", "y"), [(0.0, 0.0), (0.5, -0.25), (-0.5, 0.5)])
def test_the_finest_box_is_where_the_patch_is(x: float, y: float) -> None:
    points = where(frame_of(DARK, [[x, y]], size=2), BOXES[0])
    left, top = (x + 1) / 2 * SIDE - SIDE / 8, (y + 1) / 2 * SIDE - SIDE / 8
    assert np.abs(points.min(axis=0) - (left, top)).max() <= 2
    assert np.abs(points.max(axis=0) - (left + SIDE / 4, top + SIDE / 4)).max() <= 2


def test_each_scale_has_a_box_twice_as_wide() -> None:
    frame = frame_of(DARK, [[0.0, 0.0]], size=1, scales=3)
    widths = [np.ptp(where(frame, colour)[:, 0]) for colour in BOXES[:3]]
    assert np.abs(np.array(widths) - np.array([40, 80, 160])).max() <= 3


@pytest.mark.parametrize(("zoom", "width"), [(-1.0, 40), (0.0, 80), (0.5, 113), (1.0, 160)])
def test_boxes_are_as_wide_as_the_zoom_makes_them(zoom: float, width: int) -> None:
    frame = draw_frame(DARK, np.zeros((1, 2, 2), np.float32), np.zeros((1, 2), np.float32), 2, 1, zoom)
    assert abs(np.ptp(where(frame, BOXES[0])[:, 0]) - width) <= 3


@pytest.mark.parametrize("turn", [0.0, 0.1, 0.25, 0.4, 0.5, -0.8])
def test_boxes_are_turned_as_the_retina_is(turn: float) -> None:
    rotation = np.array((np.cos(turn * np.pi), np.sin(turn * np.pi)), np.float32)
    frame = draw_frame(DARK, np.zeros((1, 2, 2), np.float32), np.array([[0.25, -0.25]], np.float32), 2, 1, 0.5, rotation)
    x, y = (where(frame, BOXES[0]) - (0.625 * SIDE, 0.375 * SIDE)).T
    across, down = x * rotation[0] + y * rotation[1], y * rotation[0] - x * rotation[1]
    half = SIDE / 8 * 2**0.5
    # Every point lies on a side of the square, and every side is there.
    assert np.abs(np.maximum(np.abs(across), np.abs(down)) - half).max() <= 4
    for side in (across, -across, down, -down):
        assert (side > half - 4).sum() > half


def test_the_path_runs_between_the_locations() -> None:
    points = where(frame_of(DARK, [[-0.75, 0.0], [0.75, 0.0]], size=1), PATH)
    assert abs(points[:, 1] - SIDE / 2).max() <= 5
    assert points[:, 0].min() <= 0.125 * SIDE + 1
    assert points[:, 0].max() >= 0.75 * SIDE
    assert len(where(frame_of(DARK, [[0.75, 0.0]], size=1), PATH)) == 0


def test_the_picture_is_shown_bright_where_it_is_bright() -> None:
    image = DARK.copy()
    image[0, 0, 7] = 1.0  # the top-right pixel
    frame = frame_of(image, [[-0.5, 0.5]], size=1)
    assert frame[GAP + 20, GAP + SIDE - 20].tolist() == [255, 255, 255]
    assert frame[GAP + 20, GAP + 20].tolist() == [0, 0, 0]
    assert frame[GAP + SIDE - 20, GAP + SIDE - 20].tolist() == [0, 0, 0]


def test_three_channels_are_red_green_and_blue() -> None:
    image = np.zeros((3, 8, 8), np.float32)
    image[1] = 1.0
    assert frame_of(image, [[0.0, 0.0]], size=1)[GAP + 20, GAP + 20].tolist() == [0, 255, 0]


def test_the_patches_are_shown_beside_the_picture_finest_on_top() -> None:
    patches = np.stack((np.full((4, 4), 1.0), np.full((4, 4), 0.5))).astype(np.float32)
    right = draw_frame(DARK, patches, np.zeros((1, 2), np.float32), 4, 2)[:, SIDE + 2 * GAP :]
    bright = np.nonzero((right == 255).all(axis=-1))[0]
    grey = np.nonzero((right == 128).all(axis=-1))[0]
    assert len(bright) > 10_000
    assert len(grey) > 10_000
    assert bright.max() < grey.min()


def test_drawing_alters_nothing_and_the_frame_is_the_callers_own() -> None:
    image = np.random.default_rng(0).random((1, 8, 8), np.float32)
    patches, path = np.ones((1, 4, 4), np.float32), np.array([[0.0, 0.0], [0.5, 0.5]], np.float32)
    before = [array.copy() for array in (image, patches, path)]
    frame = draw_frame(image, patches, path, 4, 1)
    assert frame.flags.writeable
    frame[:] = 0
    assert all(np.array_equal(array, kept) for array, kept in zip((image, patches, path), before, strict=True))

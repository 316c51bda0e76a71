"""The circle and the square: what the pictures show, how positions are dealt out, and that the hint leads to the shape."""

from __future__ import annotations

import hashlib

import gymnasium as gym
import numpy as np
import pytest
from numpy.typing import NDArray

from attention_core.splits import SPLITS
from attention_env.shapes import POSITIONS, RADIUS, SHAPES, SIDE, draw_shapes
from attention_env.sources import load_pictures

ENVIRONMENT = "attention_env/CircleSquare-v0"
SIZES = {"train": 1_094, "validation": 158, "test": 316}
CHECKSUM = "10cd0d2a75f0ad6dd8a4944d91ead7805ee1efb5e2e9a1536003bc8ec06ec558"


def draw_pair(x: int, y: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Draw the square and the circle whose centres are on pixel (x, y)."""
    images, labels = draw_shapes(np.array([x + SIDE * y]))
    assert [SHAPES[label] for label in labels] == ["square", "circle"]
    return images[0, 0], images[1, 0]


def positions_of(images: NDArray[np.uint8]) -> list[int]:
    """Find which positions pictures show a shape at."""
    every, _ = draw_shapes(np.arange(POSITIONS))
    number = {image.tobytes(): row for row, image in enumerate(every)}
    return [number[image.tobytes()] // len(SHAPES) for image in images]


# The pictures -----------------------------------------------------------------------------------------------------------


def test_every_picture_is_drawn_as_published_and_no_two_are_alike() -> None:
    images, labels = draw_shapes(np.arange(POSITIONS))
    assert images.shape == (1_568, 1, 28, 28)
    assert images.dtype == np.uint8
    assert hashlib.sha256(images.tobytes()).hexdigest() == CHECKSUM
    assert len(np.unique(images, axis=0)) == 1_568
    assert labels.dtype == np.int64
    assert labels.tolist() == [0, 1] * 784


def test_square_has_nine_lines_and_columns_and_circle_the_pixels_within_its_radius() -> None:
    square, circle = draw_pair(x=10, y=15)
    assert set(zip(*np.nonzero(square == 255), strict=True)) == {(y, x) for y in range(11, 20) for x in range(6, 15)}
    inside = {(y, x) for y in range(SIDE) for x in range(SIDE) if (y - 15) ** 2 + (x - 10) ** 2 <= RADIUS**2}
    assert set(zip(*np.nonzero(circle == 255), strict=True)) == inside
    assert len(inside) == 49


def test_background_is_darker_the_farther_from_the_centre_and_the_same_for_both_shapes() -> None:
    square, circle = draw_pair(x=10, y=15)
    outside = square < 255
    assert np.array_equal(square[outside], circle[outside])
    for x, y in [(10, 25), (27, 15), (0, 0), (27, 27), (15, 10)]:
        distance = np.hypot(x - 10, y - 15)
        assert abs(square[y, x] / 255 - (1 - distance / (28 * np.sqrt(2)))) < 0.51 / 255


@pytest.mark.parametrize(("x", "y", "square_pixels", "circle_pixels"), [(0, 0, 25, 17), (27, 0, 25, 17), (13, 27, 45, 29)])
def test_shapes_are_cut_off_at_the_edge(x: int, y: int, square_pixels: int, circle_pixels: int) -> None:
    square, circle = draw_pair(x, y)
    assert square[y, x] == circle[y, x] == 255
    assert (np.sum(square == 255), np.sum(circle == 255)) == (square_pixels, circle_pixels)


# The splits -------------------------------------------------------------------------------------------------------------


def test_splits_have_two_classes_in_equal_numbers_and_the_sizes_of_the_docstring() -> None:
    for split in SPLITS:
        pictures = load_pictures("circle_square", split)
        assert len(pictures) == SIZES[split]
        assert pictures.shape == (1, 28, 28)
        assert pictures.classes == 2
        assert np.bincount(pictures.labels).tolist() == [SIZES[split] // 2] * 2


def test_no_position_is_in_two_splits_or_lost_and_each_has_both_shapes() -> None:
    seen: list[int] = []
    for split in SPLITS:
        pictures = load_pictures("circle_square", split)
        squares, circles = (positions_of(pictures.images[pictures.labels == label]) for label in range(len(SHAPES)))
        assert squares == circles
        seen += squares
    assert sorted(seen) == list(range(POSITIONS))


# The environment --------------------------------------------------------------------------------------------------------


def test_a_move_of_one_goes_two_and_three_tenths_of_a_pixel() -> None:
    env = gym.make(ENVIRONMENT)
    before, _ = env.reset(seed=0, options={"location": [0.0, 0.0]})
    after, *_ = env.step({"location": np.array([1.0, -0.5], np.float32), "label": 0})
    np.testing.assert_allclose((after["location"] - before["location"]) * SIDE / 2, [2.3, -1.15], rtol=1e-6)


def test_sixteen_glimpses_and_the_last_action_names_the_shape() -> None:
    env = gym.make(ENVIRONMENT, split="test")
    label = int(load_pictures("circle_square", "test").labels[7])
    observation, _ = env.reset(seed=0, options={"index": 7})
    assert observation["glimpse"].shape == (1, 5, 5)
    for turn in range(16):
        _, reward, terminated, _, info = env.step({"location": np.zeros(2, np.float32), "label": label})
        assert (reward, terminated) == ((1.0, True) if turn == 15 else (0.0, False))
    assert info == {"label": label, "is_success": True}


def test_whoever_follows_the_hint_reaches_the_shape_in_time() -> None:
    pictures = load_pictures("circle_square", "test")
    y, x = np.divmod(positions_of(pictures.images), SIDE)
    centres = np.stack((x, y), axis=1) + 0.5  # pixel i covers [i, i + 1)
    env = gym.make_vec(ENVIRONMENT, num_envs=len(pictures), split="test")
    observation, _ = env.reset(seed=0, options={"index": np.arange(len(pictures))})
    nearest = np.full(len(pictures), np.inf)
    for _ in range(15):
        glimpse = observation["glimpse"][:, 0]
        right = glimpse[:, :, 3:].mean((1, 2)) - glimpse[:, :, :2].mean((1, 2))
        down = glimpse[:, 3:].mean((1, 2)) - glimpse[:, :2].mean((1, 2))
        uphill = np.stack((right, down), axis=1)
        move = uphill / np.maximum(np.linalg.norm(uphill, axis=1, keepdims=True), 1e-6)
        observation, *_ = env.step({"location": move.astype(np.float32), "label": np.zeros(len(pictures), np.int64)})
        eye = (observation["location"] + 1) / 2 * SIDE
        nearest = np.minimum(nearest, np.linalg.norm(eye - centres, axis=1))
    assert nearest.max() < RADIUS

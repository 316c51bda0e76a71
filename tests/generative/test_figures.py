"""Pictures of what models do: grids and frames pixel by pixel, what is on them, and how many frames there are."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from untrained_models import untrained

from attention_env.classification import make_environment, show
from generative.config import DRAWConfig, LatentConfig, ReaderConfig, VAEConfig
from generative.figures import (
    GAP,
    GAP_COLOUR,
    READ_COLOUR,
    WRITE_COLOUR,
    choose,
    mark_windows,
    save_image,
    to_image,
    write_divergences,
    write_interpolation,
    write_reading,
    write_reconstructions,
    write_samples,
)
from generative.filterbank import Window
from generative.latent import LatentModel
from generative.likelihood import Bound, draw_noise
from generative.loading import load_pictures
from generative.recogniser import Reader

CPU = torch.device("cpu")
VAE_CONFIG = VAEConfig(latents=4, hidden=12)
DRAW_CONFIG = DRAWConfig(steps=3, latents=4, hidden=12, read_size=2, write_size=3)
BLIND_CONFIG = dataclasses.replace(DRAW_CONFIG, attention=False)
READER_CONFIG = ReaderConfig("attention_env/Digits-v0", glimpses=3, size=4, glimpse_width=10, hidden=12)
MODELS: dict[str, LatentConfig] = {"vae": VAE_CONFIG, "draw": DRAW_CONFIG, "draw without attention": BLIND_CONFIG}


def make_model(config: LatentConfig) -> LatentModel:
    """A model whose weights are large enough that its pictures differ."""
    model = untrained(config).eval()
    torch.manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(std=0.5)
    return model


def pixels(path: Path) -> NDArray[np.uint8]:
    with Image.open(path) as image:
        return np.asarray(image)


def cell(grid: NDArray[np.uint8], row: int, column: int) -> NDArray[np.float64]:
    """The digit at a place of a grid with sides of 80 pixels, (8, 8) in [0, 1]."""
    top, left = GAP + row * 82, GAP + column * 82
    return grid[top : top + 80 : 10, left : left + 80 : 10, 0] / 255


# Grids ------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("channels", [1, 3])
def test_grid_shows_every_picture_at_its_place(channels: int) -> None:
    pictures = torch.rand(5, channels, 2, 3)
    image = np.asarray(to_image(pictures, columns=3, side=13))  # each pixel 4 × 4
    assert image.shape == (2 * (8 + GAP) + GAP, 3 * (12 + GAP) + GAP, 3)
    expected = np.tile(np.array(GAP_COLOUR, np.uint8), (*image.shape[:2], 1))
    for place, picture in enumerate(pictures):
        coloured = (picture.expand(3, 2, 3).permute(1, 2, 0) * 255).round().numpy().astype(np.uint8)
        top, left = GAP + place // 3 * (8 + GAP), GAP + place % 3 * (12 + GAP)
        expected[top : top + 8, left : left + 12] = coloured.repeat(4, 0).repeat(4, 1)
    np.testing.assert_array_equal(image, expected)


def test_pictures_larger_than_asked_for_keep_their_size() -> None:
    assert to_image(torch.rand(1, 1, 20, 10), columns=1, side=5).size == (10 + 2 * GAP, 20 + 2 * GAP)


def test_saved_picture_is_the_picture(tmp_path: Path) -> None:
    image = to_image(torch.rand(2, 3, 4, 4), columns=2, side=8)
    assert save_image(image, tmp_path / "new" / "picture.png") == tmp_path / "new" / "picture.png"
    np.testing.assert_array_equal(pixels(tmp_path / "new" / "picture.png"), np.asarray(image))


# Windows ----------------------------------------------------------------------------------------------------------------


def window_of(*numbers: tuple[float, float, float, float]) -> Window:
    """Windows of (x, y, stride, deviation)."""
    x, y, stride, deviation = torch.tensor(numbers).T
    return Window(x, y, stride, deviation, torch.ones(len(numbers)))


def marked(image: Image.Image) -> NDArray[np.bool_]:
    found: NDArray[np.bool_] = (np.asarray(image) == READ_COLOUR).all(-1)
    return found


def test_frames_run_through_the_outermost_filters() -> None:
    """The middle of pixel 1 lies 5 image pixels from a picture's edge, that of pixel 8 lies 75 from it."""
    image = to_image(torch.zeros(3, 1, 8, 8), columns=2, side=80)
    window = window_of(
        (4.5, 4.5, 2.0, 0.1),  # filters at 2.5, 4.5, 6.5 both ways
        (2.0, 6.5, 1.0, 0.1),  # from 1 to 3 across, from 5.5 to 7.5 down
        (8.0, 1.0, 4.0, 0.1),  # from 4 to 12 across, from -3 to 5 down: cut off at the picture's edges
    )
    mark_windows(image, window, (1, 8, 8), 3, 2, READ_COLOUR)
    expected = np.zeros((166, 166), np.bool_)
    corners = [((0, 0), (20, 20, 60, 60)), ((82, 0), (5, 50, 25, 70)), ((0, 82), (35, 0, 79, 45))]
    for (left, top), (first_x, first_y, last_x, last_y) in corners:
        part = expected[GAP + top : GAP + top + 80, GAP + left : GAP + left + 80]
        part[first_y : last_y + 1, [first_x, last_x]] = True
        part[[first_y, last_y], first_x : last_x + 1] = True
    np.testing.assert_array_equal(marked(image), expected)


def test_frames_of_oblong_pictures_lie_right() -> None:
    image = to_image(torch.zeros(1, 1, 4, 10), columns=1, side=50)  # each pixel 5 × 5
    mark_windows(image, window_of((7.5, 2.5, 1.0, 0.1)), (1, 4, 10), 2, 1, READ_COLOUR)
    rows, columns = marked(image).nonzero()
    # Filters at 7 and 8 across, at 2 and 3 down.
    assert (columns.min() - GAP, columns.max() - GAP, rows.min() - GAP, rows.max() - GAP) == (32, 37, 7, 12)


def test_window_far_outside_is_marked_at_the_edge_and_nowhere_else() -> None:
    image = to_image(torch.zeros(2, 1, 8, 8), columns=2, side=80)
    mark_windows(image, window_of((30.0, 4.5, 1.0, 0.1), (-30.0, 4.5, 1.0, 0.1)), (1, 8, 8), 3, 2, READ_COLOUR)
    _, columns = marked(image).nonzero()
    assert sorted(set(columns.tolist())) == [GAP + 79, GAP + 82]


@pytest.mark.parametrize(("deviation", "thickness"), [(0.01, 1), (0.6, 2), (100.0, 4)])
def test_frames_of_wide_filters_are_thick_within_limits(deviation: float, thickness: int) -> None:
    image = to_image(torch.zeros(1, 1, 8, 8), columns=1, side=80)
    mark_windows(image, window_of((4.5, 4.5, 3.5, deviation)), (1, 8, 8), 3, 1, READ_COLOUR)
    across = marked(image)[GAP + 40]
    assert across.sum() == 2 * thickness
    assert across[GAP + 5 : GAP + 5 + thickness].all()


# Samples ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("config", MODELS.values(), ids=list(MODELS))
def test_samples_are_what_the_model_makes_of_the_seeds_latent_variables(config: LatentConfig, tmp_path: Path) -> None:
    model = make_model(config)
    written = write_samples(model, tmp_path, count=5, seed=4, label=None)
    assert [path.name for path in written] == (["samples.png"] if config.kind == "vae" else ["samples.png", "drawing.gif"])
    grid = pixels(written[0])
    assert grid.shape == (2 * 82 + GAP, 3 * 82 + GAP, 3)
    with torch.no_grad():
        canvas = model.generate(draw_noise(model, 5, torch.Generator().manual_seed(4)))[-1]
    np.testing.assert_array_equal(grid, np.asarray(to_image(canvas.sigmoid(), 3, 84)))


def test_drawing_has_a_frame_for_every_step_and_one_without_windows(tmp_path: Path) -> None:
    _, gif = write_samples(make_model(DRAW_CONFIG), tmp_path, count=4, seed=0, label=None)
    with Image.open(gif) as image:
        assert image.n_frames == 3 + 1
        assert image.size == (2 * 82 + GAP, 2 * 82 + GAP)
        shares = []
        for frame in range(4):
            image.seek(frame)
            # A GIF has 256 colours: the frames' is there but for a shade.
            distance = np.abs(np.asarray(image.convert("RGB")).astype(int) - WRITE_COLOUR).max(-1)
            shares.append((distance < 16).mean())
        assert image.info["duration"] == 3000
    assert min(shares[:3]) > 0.001
    assert shares[3] == 0


def test_drawing_without_attention_marks_nothing(tmp_path: Path) -> None:
    _, gif = write_samples(make_model(BLIND_CONFIG), tmp_path, count=4, seed=0, label=None)
    with Image.open(gif) as image:
        # The last step and the picture that stays are one and the same.
        assert image.n_frames == 3
        for frame in range(3):
            image.seek(frame)
            red, _, blue = np.asarray(image.convert("RGB")).astype(int).reshape(-1, 3).T
            assert (red <= blue + 8).all()


@pytest.mark.parametrize("config", [VAE_CONFIG, DRAW_CONFIG], ids=["vae", "draw"])
def test_samples_by_class_are_of_the_class_or_of_all_in_turn(config: LatentConfig, tmp_path: Path) -> None:
    model = make_model(dataclasses.replace(config, conditional=True))
    noise = draw_noise(model, 12, torch.Generator().manual_seed(0))
    for label, labels in ((None, [*range(10), 0, 1]), (7, [7] * 12)):
        path = write_samples(model, tmp_path, count=12, seed=0, label=label)[0]
        with torch.no_grad():
            canvas = model.generate(noise, torch.tensor(labels))[-1]
        np.testing.assert_array_equal(pixels(path), np.asarray(to_image(canvas.sigmoid(), 4, 84)))


def test_samples_that_cannot_be_made_are_refused(tmp_path: Path) -> None:
    model = make_model(VAE_CONFIG)
    with pytest.raises(ValueError, match="at least one picture can be made, got 0"):
        write_samples(model, tmp_path, count=0, seed=0, label=None)
    with pytest.raises(ValueError, match="this model knows of no classes: train one with conditional=True"):
        write_samples(model, tmp_path, count=2, seed=0, label=3)
    by_class = make_model(dataclasses.replace(DRAW_CONFIG, conditional=True))
    for label in (-1, 10):
        with pytest.raises(ValueError, match=f"label must be within 0 … 9, got {label}"):
            write_samples(by_class, tmp_path, count=2, seed=0, label=label)
    assert not list(tmp_path.iterdir())


# Reconstructions --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("config", MODELS.values(), ids=list(MODELS))
def test_reconstructions_stand_below_their_pictures(config: LatentConfig, tmp_path: Path) -> None:
    model, test = make_model(config), load_pictures(config, "test", CPU)
    written = write_reconstructions(model, test, tmp_path, count=4, seed=2)
    assert [path.name for path in written] == (
        ["reconstructions.png"] if config.kind == "vae" else ["reconstructions.png", "reading.gif"]
    )
    batch, generator = choose(test, 4, 2)
    with torch.no_grad():
        canvas = model(batch.pictures, draw_noise(model, 4, generator)).canvas
    grid = pixels(written[0])
    assert grid.shape == (2 * 82 + GAP, 4 * 82 + GAP, 3)
    for column in range(4):
        np.testing.assert_array_equal(cell(grid, 0, column), batch.pictures[column, 0])
        np.testing.assert_allclose(cell(grid, 1, column), canvas[column, 0].sigmoid(), atol=0.5 / 255 + 1e-6)


@pytest.mark.parametrize(("config", "frames"), [(DRAW_CONFIG, 4), (BLIND_CONFIG, 3)], ids=["draw", "draw without attention"])
def test_reading_shows_picture_and_canvas_at_every_step(config: DRAWConfig, frames: int, tmp_path: Path) -> None:
    _, gif = write_reconstructions(make_model(config), load_pictures(config, "test", CPU), tmp_path, count=4, seed=2)
    with Image.open(gif) as image:
        assert image.n_frames == frames
        assert image.size == (4 * 82 + GAP, 2 * (82 + GAP))
        first = np.asarray(image.convert("RGB")).astype(int)
    for half, colour in ((first[:84], READ_COLOUR), (first[84:], WRITE_COLOUR)):
        assert bool((np.abs(half - colour).max(-1) < 16).any()) == config.attention


def test_pictures_are_chosen_by_the_seed_each_once() -> None:
    test = load_pictures(dataclasses.replace(VAE_CONFIG, output="gaussian"), "test", CPU)
    one, again, other = (choose(test, 360, seed)[0].pictures for seed in (0, 0, 1))
    assert torch.equal(one, again)
    assert not torch.equal(one, other)
    torch.testing.assert_close(one.sum(0), (test.images.float() / 255).sum(0))
    for count in (0, 361):
        with pytest.raises(ValueError, match=f"between 1 and 360 pictures can be shown, got {count}"):
            choose(test, count, 0)


# Interpolations ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("config", MODELS.values(), ids=list(MODELS))
def test_ways_lead_from_reconstruction_to_reconstruction(config: LatentConfig, tmp_path: Path) -> None:
    model, test = make_model(config), load_pictures(config, "test", CPU)
    (path,) = write_interpolation(model, test, tmp_path, steps=3, seed=6)
    grid = pixels(path)
    assert (path.name, grid.shape) == ("interpolation.png", (5 * 82 + GAP, 3 * 82 + GAP, 3))
    pictures = choose(test, 10, 6)[0].pictures
    with torch.no_grad():
        inferred = model(pictures, torch.zeros(model.steps, 10, 4))
        ends = inferred.canvas.sigmoid()
        middle = model.generate((inferred.means[:, :5] + inferred.means[:, 5:]) / 2)[-1].sigmoid()
    for row in range(5):
        for column, expected in enumerate((ends[row], middle[row], ends[5 + row])):
            np.testing.assert_allclose(cell(grid, row, column), expected[0], atol=0.5 / 255 + 1e-5)


def test_way_of_a_single_step_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="there are at least 2 steps, got 1"):
        write_interpolation(make_model(VAE_CONFIG), load_pictures(VAE_CONFIG, "test", CPU), tmp_path, steps=1, seed=0)


# Divergences ------------------------------------------------------------------------------------------------------------


def test_divergences_are_drawn(tmp_path: Path) -> None:
    path = write_divergences(Bound(12.5, None, (3.0, 2.0, 0.5), 1, 360), tmp_path / "divergences.png")
    with Image.open(path) as image:
        assert (image.format, image.size) == ("PNG", (840, 330))


# Readers ----------------------------------------------------------------------------------------------------------------


@pytest.fixture
def reader() -> Reader:
    """A reader whose weights are large enough that it looks at different places."""
    model = untrained(READER_CONFIG).eval()
    torch.manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(std=0.3)
    return model


def test_reading_of_a_reader_has_a_frame_for_every_glimpse(reader: Reader, tmp_path: Path) -> None:
    path = tmp_path / "reading.gif"
    named = write_reading(reader, READER_CONFIG, path, "test", count=8, seed=3)
    with Image.open(path) as image:
        assert image.n_frames == 3
        assert image.size == (4 * 202 + GAP, 2 * 202 + GAP)
        assert image.info["duration"] == 600
    index = np.random.default_rng(3).choice(360, 8, replace=False)
    pictures, _ = show(make_environment(READER_CONFIG, CPU, 8, "test"), index)
    assert named == reader(pictures)[-1].argmax(-1).tolist()


@pytest.mark.parametrize("count", [0, 181])
def test_readings_of_no_pictures_or_more_than_there_are_are_refused(reader: Reader, tmp_path: Path, count: int) -> None:
    with pytest.raises(ValueError, match=f"between 1 and 180 pictures can be shown, got {count}"):
        write_reading(reader, READER_CONFIG, tmp_path / "reading.gif", "validation", count, seed=0)
    assert not list(tmp_path.iterdir())

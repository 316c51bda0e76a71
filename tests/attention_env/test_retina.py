"""The retina equals a loop over pixels, written from its definition alone."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from attention_env.retina import SAMPLES_AT_ONCE, Retina, direction, glimpse

Loop = NDArray[np.float64]


def pixel(image: Loop, y: int, x: int) -> Loop:
    """Read one pixel, all channels; 0 outside."""
    channels, height, width = image.shape
    return image[:, y, x] if 0 <= y < height and 0 <= x < width else np.zeros(channels)


def between_pixels(image: Loop, y: int, x: int, down: float, right: float) -> Loop:
    """Read at the pixel (y, x) moved by a fraction of a pixel down and right, linear between the four neighbours."""
    value = np.zeros(len(image))
    for dy, dx in itertools.product((0, 1), repeat=2):
        weight = (down if dy else 1 - down) * (right if dx else 1 - right)
        value = value + weight * pixel(image, y + dy, x + dx)
    return value


def look_by_loop(image: Loop, location: tuple[float, float], size: int, scales: int, interpolation: str) -> Loop:
    """Take a glimpse of one picture (C, H, W) in [0, 1]: (scales · C, size, size)."""
    channels, height, width = image.shape
    patches = []
    for scale in range(scales):
        block = 2**scale
        left = (location[0] + 1) / 2 * width - size * block / 2
        top = (location[1] + 1) / 2 * height - size * block / 2
        if interpolation == "nearest":
            left, top = np.floor(left + 0.5), np.floor(top + 0.5)
        x0, y0 = int(np.floor(left)), int(np.floor(top))
        patch = np.zeros((channels, size, size))
        for row, column, dy, dx in itertools.product(range(size), range(size), range(block), range(block)):
            y, x = y0 + row * block + dy, x0 + column * block + dx
            patch[:, row, column] += between_pixels(image, y, x, top - y0, left - x0) / block**2
        patches.append(patch)
    return np.concatenate(patches)


def loop_over_batch(images: Loop, locations: torch.Tensor, size: int, scales: int, interpolation: str) -> torch.Tensor:
    exact = locations.double().numpy()
    looks = [look_by_loop(image, (x, y), size, scales, interpolation) for image, (x, y) in zip(images, exact.tolist(), strict=True)]
    return torch.from_numpy(np.stack(looks)).float()


def random_pictures(count: int, channels: int, height: int, width: int) -> NDArray[np.uint8]:
    return np.random.default_rng(count + height).integers(0, 256, (count, channels, height, width), dtype=np.uint8)


def locations_off_the_ties(count: int, height: int, width: int, size: int) -> torch.Tensor:
    """Draw locations where float32 cannot change which pixel edge is nearest."""
    generator = np.random.default_rng(7)
    chosen: list[NDArray[np.float32]] = []
    while len(chosen) < count:
        place = generator.uniform(-1, 1, 2).astype(np.float32)
        edges = (place.astype(np.float64) + 1) / 2 * (width, height) - size / 2
        if np.abs((edges + 0.5) - np.round(edges + 0.5)).min() > 1e-3:
            chosen.append(place)
    return torch.from_numpy(np.stack(chosen))


# Centre, borders, corners and quarters. All of them are exact in float32, and, with sizes odd and even, many are ties.
SPECIAL = torch.tensor(list(itertools.product((-1.0, -0.5, 0.0, 0.5, 1.0), repeat=2)))


@pytest.mark.parametrize("interpolation", ["nearest", "bilinear"])
@pytest.mark.parametrize(("size", "scales"), [(1, 1), (1, 3), (2, 1), (3, 2), (4, 3), (5, 2), (2, 4), (3, 4)])
def test_special_locations_equal_the_loop(size: int, scales: int, interpolation: str) -> None:
    images = random_pictures(len(SPECIAL), 1, 8, 8)
    seen = glimpse(torch.from_numpy(images), SPECIAL, size, scales, interpolation)
    expected = loop_over_batch(images / 255, SPECIAL, size, scales, interpolation)
    torch.testing.assert_close(seen, expected, rtol=0, atol=2e-6)


@pytest.mark.parametrize("interpolation", ["nearest", "bilinear"])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(("height", "width"), [(8, 8), (7, 7), (5, 12), (13, 6), (3, 3)])
@pytest.mark.parametrize(("size", "scales"), [(3, 2), (4, 3)])
def test_any_location_equals_the_loop(size: int, scales: int, height: int, width: int, channels: int, interpolation: str) -> None:
    locations = locations_off_the_ties(12, height, width, size)
    images = random_pictures(len(locations), channels, height, width)
    seen = glimpse(torch.from_numpy(images), locations, size, scales, interpolation)
    assert seen.shape == (12, scales * channels, size, size)
    assert seen.dtype == torch.float32
    expected = loop_over_batch(images / 255, locations, size, scales, interpolation)
    torch.testing.assert_close(seen, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("interpolation", ["nearest", "bilinear"])
@pytest.mark.parametrize(("height", "width"), [(6, 10), (10, 6)])
def test_special_locations_of_oblong_pictures_equal_the_loop(height: int, width: int, interpolation: str) -> None:
    images = random_pictures(len(SPECIAL), 3, height, width)
    seen = glimpse(torch.from_numpy(images), SPECIAL, 3, 2, interpolation)
    torch.testing.assert_close(seen, loop_over_batch(images / 255, SPECIAL, 3, 2, interpolation), rtol=0, atol=2e-6)


@pytest.mark.parametrize("size", [3, 4])
def test_halves_round_up(size: int) -> None:
    # At every quarter of a pixel: with 8 pixels, a location of k/16 lies at pixel 4 + k/4, exactly.
    steps = torch.arange(-16, 17) / 16
    locations = torch.stack((steps, steps.flip(0)), dim=1)
    images = random_pictures(len(locations), 1, 8, 8)
    seen = glimpse(torch.from_numpy(images), locations, size)
    assert torch.equal(seen, loop_over_batch(images / 255, locations, size, 1, "nearest"))


def test_a_tie_moves_the_patch_right_and_down() -> None:
    image = torch.arange(16.0).reshape(1, 4, 4) / 16
    # A patch of one pixel at the centre of four starts at 1.5: up to 2.
    assert glimpse(image, torch.zeros(1, 2), 1).item() == image[0, 2, 2].item()


@pytest.mark.parametrize("interpolation", ["nearest", "bilinear"])
@pytest.mark.parametrize("corner", [(-1.0, -1.0), (1.0, -1.0), (-1.0, 1.0), (1.0, 1.0)])
def test_a_hair_inside_a_corner_is_not_outside_the_picture(corner: tuple[float, float], interpolation: str) -> None:
    images = torch.from_numpy(random_pictures(1, 1, 28, 28))
    exact = torch.tensor([corner])
    inside = torch.nextafter(exact, torch.zeros(1, 2))
    torch.testing.assert_close(
        glimpse(images, inside, 8, 3, interpolation), glimpse(images, exact, 8, 3, interpolation), rtol=0, atol=1e-4
    )


def test_left_and_right_top_and_bottom_are_where_the_docstring_says() -> None:
    image = torch.zeros(1, 4, 4)
    image[0, 0, 3] = 1.0  # the top-right pixel
    for x, y, expected in [(0.75, -0.75, 1.0), (-0.75, 0.75, 0.0), (0.75, 0.75, 0.0), (-0.75, -0.75, 0.0)]:
        assert glimpse(image, torch.tensor([[x, y]]), 1).item() == expected


def test_a_corner_shows_one_quarter_of_the_patch() -> None:
    seen = glimpse(torch.ones(1, 8, 8), torch.tensor([[-1.0, -1.0]]), 4, 2)
    quarter = torch.zeros(4, 4)
    quarter[2:, 2:] = 1.0
    assert torch.equal(seen[0, 0], quarter)
    assert torch.equal(seen[0, 1], quarter)


def test_scales_come_finest_first_each_with_all_channels() -> None:
    images = torch.zeros(1, 3, 8, 8)
    images[0, 1] = 0.5
    images[0, 2, 3:5, 3:5] = 1.0
    seen = glimpse(images, torch.zeros(1, 2), 2, 2)[0]
    assert seen.mean(dim=(1, 2)).tolist() == [0.0, 0.5, 1.0, 0.0, 0.5, 0.25]


def test_float_pictures_are_taken_as_they_are_and_bytes_are_brought_to_one() -> None:
    bytes_ = random_pictures(3, 1, 8, 8)
    locations = torch.tensor([[0.1, -0.3], [0.9, 0.9], [-1.0, 0.2]])
    of_bytes = glimpse(torch.from_numpy(bytes_), locations, 4, 2)
    of_floats = glimpse(torch.from_numpy(bytes_.astype(np.float32) / 255), locations, 4, 2)
    torch.testing.assert_close(of_bytes, of_floats, rtol=0, atol=1e-6)
    assert torch.equal(glimpse(torch.full((1, 8, 8), 7.5), torch.zeros(1, 2), 2, 2), torch.full((1, 2, 2, 2), 7.5))


@pytest.mark.parametrize("interpolation", ["nearest", "bilinear"])
def test_full_brightness_never_exceeds_one(interpolation: str) -> None:
    locations = torch.rand(500, 2, generator=torch.Generator().manual_seed(0)) * 2 - 1
    seen = glimpse(torch.full((500, 9, 9), 255, dtype=torch.uint8), locations, 3, 3, interpolation)
    assert seen.min() >= 0
    assert seen.max() == 1


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32, torch.float64])
@pytest.mark.parametrize("interpolation", ["nearest", "bilinear"])
def test_inputs_are_never_altered(dtype: torch.dtype, interpolation: str) -> None:
    images = torch.from_numpy(random_pictures(4, 3, 8, 8)).to(dtype)
    locations = torch.tensor([[0.0, 0.0], [1.5, -2.0], [0.3, 0.4], [-1.0, 1.0]])
    images_before, locations_before = images.clone(), locations.clone()
    glimpse(images, locations, 3, 3, interpolation)
    assert torch.equal(images, images_before)
    assert torch.equal(locations, locations_before)


@pytest.mark.parametrize("interpolation", ["nearest", "bilinear"])
def test_looking_alters_neither_prepared_nor_locations_and_returns_a_tensor_of_its_own(interpolation: str) -> None:
    retina = Retina(3, 2, interpolation)
    prepared = retina.prepare(torch.from_numpy(random_pictures(2, 1, 8, 8)))
    locations = torch.tensor([[0.2, 0.3], [-0.7, 1.0]])
    rows = torch.arange(2)
    before, locations_before = [prepared.pixels.clone(), prepared.sums.clone()], locations.clone()
    first = retina.look(prepared, locations, rows)
    kept = first.clone()
    first.fill_(9.0)
    assert torch.equal(retina.look(prepared, locations, rows), kept)
    assert all(map(torch.equal, (prepared.pixels, prepared.sums), before))
    assert rows.tolist() == [0, 1]
    assert torch.equal(locations, locations_before)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
def test_prepared_pictures_do_not_share_memory_with_the_picture(dtype: torch.dtype) -> None:
    images = torch.from_numpy(random_pictures(1, 1, 8, 8)).to(dtype)
    retina = Retina(4, 2)
    prepared = retina.prepare(images)
    before = retina.look(prepared, torch.zeros(1, 2), torch.zeros(1, dtype=torch.int64))
    images.zero_()
    assert torch.equal(retina.look(prepared, torch.zeros(1, 2), torch.zeros(1, dtype=torch.int64)), before)
    assert before.max() > 0


@pytest.mark.parametrize("interpolation", ["nearest", "bilinear"])
def test_rows_choose_the_picture_of_each_glimpse(interpolation: str) -> None:
    images = torch.from_numpy(random_pictures(3, 1, 8, 8))
    rows = torch.tensor([2, 0, 2, 1, 0])
    locations = torch.rand(5, 2, generator=torch.Generator().manual_seed(0)) * 2 - 1
    retina = Retina(3, 2, interpolation)
    seen = retina.look(retina.prepare(images), locations, rows)
    assert torch.equal(seen, glimpse(images[rows], locations, 3, 2, interpolation))


def test_pictures_without_a_channel_axis_have_one_channel() -> None:
    images = torch.from_numpy(random_pictures(2, 1, 8, 8))
    locations = torch.tensor([[0.1, 0.2], [0.3, -0.4]])
    assert torch.equal(glimpse(images[:, 0], locations, 4, 2), glimpse(images, locations, 4, 2))


def test_views_of_pictures_are_read_where_they_point() -> None:
    images = torch.from_numpy(random_pictures(6, 2, 10, 12))
    view = images[1::2, :, 1:9, 2:].transpose(2, 3)
    locations = torch.tensor([[0.1, 0.2], [0.9, -0.4], [-1.0, 1.0]])
    assert torch.equal(glimpse(view, locations, 3, 3), glimpse(view.contiguous(), locations, 3, 3))


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
@pytest.mark.parametrize("count", [1, 3])
def test_pictures_whose_channels_lie_last_in_memory_are_read_where_they_point(count: int, dtype: torch.dtype) -> None:
    """Colour pictures come as (count, H, W, C) most often, and turned into (count, C, H, W) without being copied."""
    images = torch.from_numpy(random_pictures(count, 3, 9, 12)).to(dtype)
    view = images.permute(0, 2, 3, 1).contiguous().permute(0, 3, 1, 2)
    locations = torch.tensor([[0.1, 0.2], [0.9, -0.4], [-1.0, 1.0]])[:count]
    assert torch.equal(glimpse(view, locations, 4, 2), glimpse(images, locations, 4, 2))


def test_locations_beyond_the_picture_are_clipped() -> None:
    images = torch.from_numpy(random_pictures(2, 1, 8, 8))
    far, edge = torch.tensor([[3.0, -0.2], [-1e6, 1e6]]), torch.tensor([[1.0, -0.2], [-1.0, 1.0]])
    assert torch.equal(glimpse(images, far, 4, 2), glimpse(images, edge, 4, 2))


def test_double_precision_locations_are_taken() -> None:
    images = torch.from_numpy(random_pictures(2, 1, 8, 8))
    locations = torch.tensor([[0.1, 0.2], [0.3, -0.4]])
    assert torch.equal(glimpse(images, locations.double(), 4, 2), glimpse(images, locations, 4, 2))


@pytest.mark.parametrize("number", [float("nan"), float("inf"), -float("inf")])
def test_locations_that_are_no_numbers_are_refused(number: float) -> None:
    with pytest.raises(ValueError, match="locations must be finite"):
        glimpse(torch.zeros(2, 8, 8), torch.tensor([[0.0, 0.0], [number, 0.0]]), 4)


@pytest.mark.parametrize("shape", [(2,), (3, 2), (2, 3), (2, 1, 2)])
def test_locations_of_a_wrong_shape_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"locations must be of shape \(2, 2\)"):
        glimpse(torch.zeros(2, 8, 8), torch.zeros(shape), 4)


@pytest.mark.parametrize(("size", "scales"), [(0, 1), (-4, 1), (4, 0)])
def test_a_retina_without_pixels_or_scales_is_refused(size: int, scales: int) -> None:
    with pytest.raises(ValueError, match="at least 1"):
        Retina(size, scales)


def test_an_unknown_interpolation_is_refused() -> None:
    with pytest.raises(ValueError, match="unknown interpolation 'cubic': choose one of nearest, bilinear"):
        Retina(4, 1, "cubic")


# Large sums -------------------------------------------------------------------------------------------------------------


def bright_picture(height: int, width: int, least: int) -> NDArray[np.uint8]:
    return np.random.default_rng(height).integers(least, 256, (height, width), dtype=np.uint8)


def means_of_blocks(image: NDArray[np.uint8], location: tuple[float, float], size: int, scale: int) -> Loop:
    """Average the bytes of each block of one scale, nearest pixels, in whole numbers as long as can be; (size, size)."""
    height, width = image.shape
    block = 2**scale
    left = int(np.floor((location[0] + 1) / 2 * width - size * block / 2 + 0.5))
    top = int(np.floor((location[1] + 1) / 2 * height - size * block / 2 + 0.5))
    means = np.zeros((size, size))
    for row, column in itertools.product(range(size), repeat=2):
        y, x = top + row * block, left + column * block
        inside = image[max(y, 0) : max(y + block, 0), max(x, 0) : max(x + block, 0)]
        means[row, column] = int(inside.sum(dtype=np.int64)) / (255 * block**2)
    return means


@pytest.mark.parametrize(("size", "scales"), [(1, 7), (2, 6), (3, 5)])
@pytest.mark.parametrize(("channels", "height", "width"), [(1, 9, 13), (3, 12, 7)])
def test_scales_far_larger_than_the_picture_equal_the_loop_exactly(
    size: int, scales: int, channels: int, height: int, width: int
) -> None:
    locations = SPECIAL[[0, 7, 12, 23]]
    images = random_pictures(len(locations), channels, height, width)
    seen = glimpse(torch.from_numpy(images), locations, size, scales)
    # The loop over bytes adds whole numbers and divides them by powers of two, so that only the last step rounds.
    assert torch.equal(seen, loop_over_batch(images.astype(np.float64), locations, size, scales, "nearest") / 255)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32, torch.float64])
@pytest.mark.parametrize("interpolation", ["nearest", "bilinear"])
@pytest.mark.parametrize("scales", [1, 2, 5])
def test_few_and_many_pictures_are_seen_alike(scales: int, interpolation: str, dtype: torch.dtype) -> None:
    images = torch.from_numpy(random_pictures(4, 3, 11, 8)).to(dtype)
    images = images if dtype == torch.uint8 else images / 255
    before = images.clone()
    retina = Retina(3, scales, interpolation)
    few, many = retina.prepare(images, few=True), retina.prepare(images, few=False)
    assert few.pixels.dtype == torch.float32
    assert many.pixels.dtype == (torch.uint8 if dtype == torch.uint8 else torch.float32)
    locations = torch.cat((SPECIAL, torch.rand(200, 2, generator=torch.Generator().manual_seed(0)) * 2 - 1))
    rows = torch.arange(len(locations)) % 4
    seen = retina.look(few, locations, rows)
    assert seen.dtype == torch.float32
    assert torch.equal(seen, retina.look(many, locations, rows))
    assert torch.equal(images, before)


@pytest.mark.parametrize("few", [False, True])
@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
@pytest.mark.parametrize(("height", "width", "least"), [(300, 300, 255), (299, 301, 255), (300, 300, 200), (301, 287, 0)])
def test_sums_of_a_large_bright_picture_neither_overflow_nor_lose_precision(
    height: int, width: int, least: int, dtype: torch.dtype, few: bool
) -> None:
    image = bright_picture(height, width, least)
    pictures = torch.from_numpy(image)[None]
    retina = Retina(4, 10)
    prepared = retina.prepare(pictures if dtype == torch.uint8 else pictures.to(dtype) / 255, few=few)
    # At the bottom right the smallest differences are taken of the largest sums.
    places = [(0.0, 0.0), (1.0, 1.0), (0.96875, 0.96875), (0.5, -0.75), (-1.0, 1.0)]
    seen = retina.look(prepared, torch.tensor(places), torch.zeros(len(places), dtype=torch.int64))
    expected = torch.from_numpy(np.stack([[means_of_blocks(image, place, 4, scale) for scale in range(10)] for place in places]))
    assert seen.max() <= 1
    if dtype == torch.uint8:
        torch.testing.assert_close(seen.double(), expected, rtol=2**-23, atol=0)  # to the last bit of a float32
        torch.testing.assert_close(seen[:, :5], expected[:, :5].float(), rtol=0, atol=0)
    else:
        torch.testing.assert_close(seen.double(), expected, rtol=2e-7, atol=1e-9)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32, torch.float64])
def test_one_block_over_a_whole_white_picture_is_the_share_of_its_area(dtype: torch.dtype) -> None:
    white = torch.full((1, 300, 300), 255 if dtype == torch.uint8 else 1, dtype=dtype)
    seen = glimpse(white, torch.zeros(1, 2), 1, 12).flatten().tolist()
    assert seen == [min(300 / 2**scale, 1.0) ** 2 for scale in range(12)]


def test_a_dark_pixel_in_the_last_corner_of_a_white_picture_is_seen() -> None:
    image = np.full((1, 300, 300), 255, np.uint8)
    image[0, -1, -1] = 254
    # Two pixels from the corner: the coarse patch, 2 × 2 blocks of 2 × 2 pixels, ends exactly there.
    seen = glimpse(torch.from_numpy(image), torch.tensor([[1 - 4 / 300, 1 - 4 / 300]]), 2, 2)[0, 1]
    assert seen.flatten()[:3].tolist() == [1.0, 1.0, 1.0]
    assert seen[1, 1].item() == torch.tensor((4 * 255 - 1) / (4 * 255)).item()


# Zoomed and turned ------------------------------------------------------------------------------------------------------


def sample(image: Loop, x: float, y: float) -> Loop:
    """Read a picture (C, H, W) at a place in pixels, linear between the centres of the four nearest pixels."""
    x0, y0 = int(np.floor(x - 0.5)), int(np.floor(y - 0.5))
    return between_pixels(image, y0, x0, y - 0.5 - y0, x - 0.5 - x0)


def look_freely_by_loop(image: Loop, location: tuple[float, float], size: int, scales: int, zoom: float, turn: float) -> Loop:
    """Take a zoomed and turned glimpse of one picture (C, H, W) in [0, 1], from the definition: (scales · C, size, size)."""
    channels, height, width = image.shape
    cell, cosine, sine = 2.0**zoom, np.cos(turn * np.pi), np.sin(turn * np.pi)
    apart = [-(cell - 1) / 2, (cell - 1) / 2] if cell > 1 else [0.0]
    patches = []
    for scale in range(scales):
        cells, patch = 2**scale, np.zeros((channels, size, size))
        for row, column in itertools.product(range(size), repeat=2):
            read = [
                sample(
                    image,
                    (location[0] + 1) / 2 * width + across * cosine - down * sine,
                    (location[1] + 1) / 2 * height + across * sine + down * cosine,
                )
                for i, j, right, low in itertools.product(range(cells), range(cells), apart, apart)
                for across in [(column * cells + j + 0.5 - size * cells / 2) * cell + right]
                for down in [(row * cells + i + 0.5 - size * cells / 2) * cell + low]
            ]
            patch[:, row, column] = np.mean(read, axis=0)
        patches.append(patch)
    return np.concatenate(patches)


def free_glimpse(images: torch.Tensor, locations: torch.Tensor, size: int, scales: int, zoom: float, turn: float) -> torch.Tensor:
    zooms, turns = torch.full((len(images), 1), zoom), torch.full((len(images), 1), turn)
    return glimpse(images, locations, size, scales, "bilinear", zooms, turns)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(("height", "width"), [(8, 8), (5, 12), (13, 6)])
@pytest.mark.parametrize(("size", "scales"), [(1, 1), (3, 2), (2, 3)])
def test_zoomed_and_turned_glimpses_equal_the_loop(
    size: int, scales: int, height: int, width: int, channels: int, dtype: torch.dtype
) -> None:
    generator = torch.Generator().manual_seed(0)
    locations = torch.cat((torch.rand(8, 2, generator=generator) * 2 - 1, SPECIAL[[0, 2, 12, 24]]))
    zooms = torch.cat((torch.rand(8, 1, generator=generator) * 2 - 1, torch.tensor([[-1.0], [0.0], [1.0], [0.5]])))
    turns = torch.cat((torch.rand(8, 1, generator=generator) * 4 - 2, torch.tensor([[1.0], [-0.5], [0.25], [3.75]])))
    images = random_pictures(len(locations), channels, height, width)
    given = torch.from_numpy(images) if dtype == torch.uint8 else torch.from_numpy(images / 255).float()
    seen = glimpse(given, locations, size, scales, "bilinear", zooms, turns)
    assert seen.shape == (12, scales * channels, size, size)
    assert seen.dtype == torch.float32
    places = zip(images / 255, locations.double().tolist(), zooms[:, 0].tolist(), turns[:, 0].tolist(), strict=True)
    expected = [look_freely_by_loop(image, (x, y), size, scales, zoom, turn) for image, (x, y), zoom, turn in places]
    torch.testing.assert_close(seen, torch.from_numpy(np.stack(expected)).float(), rtol=0, atol=1e-5)


@pytest.mark.parametrize(("height", "width"), [(8, 8), (7, 11)])
@pytest.mark.parametrize(("size", "scales"), [(3, 3), (4, 2)])
def test_at_zoom_zero_and_not_turned_a_free_retina_is_the_bilinear_one(size: int, scales: int, height: int, width: int) -> None:
    locations = torch.cat((SPECIAL, torch.rand(100, 2, generator=torch.Generator().manual_seed(0)) * 2 - 1))
    images = torch.from_numpy(random_pictures(len(locations), 2, height, width))
    zeros, plain = torch.zeros(len(images), 1), glimpse(images, locations, size, scales, "bilinear")
    for zoom, rotation in ((zeros, zeros), (zeros, None), (None, zeros)):
        seen = glimpse(images, locations, size, scales, "bilinear", zoom, rotation)
        torch.testing.assert_close(seen, plain, rtol=0, atol=5e-6)


@pytest.mark.parametrize("zoom", [-1.0, 0.0, 0.7, 1.0])
@pytest.mark.parametrize("scales", [1, 3])
@pytest.mark.parametrize("quarters", [1, 2, 3])
def test_quarter_turns_of_the_retina_turn_the_glimpse(quarters: int, scales: int, zoom: float) -> None:
    images = torch.from_numpy(random_pictures(len(SPECIAL), 2, 9, 14))
    upright, turned = (free_glimpse(images, SPECIAL, 4, scales, zoom, turn) for turn in (0.0, quarters / 2))
    expected = np.rot90(upright.numpy(), quarters, axes=(2, 3))
    np.testing.assert_allclose(turned.numpy(), expected, atol=5e-6)


def test_a_positive_rotation_turns_from_the_x_axis_towards_the_y_axis() -> None:
    image = torch.zeros(1, 9, 9)
    image[0, 7, 4] = 1.0  # below the centre: on the x-axis of a retina that is turned by a quarter
    seen = free_glimpse(image, torch.zeros(1, 2), 7, 1, 0.0, 0.5)[0, 0]
    assert seen[3, 6].item() == pytest.approx(1.0, abs=1e-5)
    assert seen.sum().item() == pytest.approx(1.0, abs=1e-5)


def test_turning_a_round_thing_about_its_middle_shows_the_same() -> None:
    away = torch.arange(31) - 15.0
    ball = torch.exp(-(away[:, None] ** 2 + away**2) / 40)[None]
    upright, turned = (free_glimpse(ball, torch.zeros(1, 2), 8, 2, 0.3, turn) for turn in (0.0, 0.13))
    torch.testing.assert_close(turned, upright, rtol=0, atol=0.01)


def test_the_widest_glimpse_is_that_of_the_picture_at_half_its_size() -> None:
    small = torch.from_numpy(random_pictures(len(SPECIAL), 1, 8, 8)) / 255
    large = torch.from_numpy(np.kron(small.numpy(), np.random.default_rng(0).dirichlet(np.ones(4)).reshape(2, 2) * 4)).float()
    large = large.clamp(0, 1)
    halved = torch.nn.functional.avg_pool2d(large, 2)
    # At places between the pixels of the smaller picture the four samples of a cell fall on the larger one's.
    torch.testing.assert_close(
        free_glimpse(large, SPECIAL, 4, 3, 1.0, 0.0), glimpse(halved, SPECIAL, 4, 3, "bilinear"), rtol=0, atol=5e-6
    )


def test_the_narrowest_glimpse_is_that_of_the_picture_at_twice_its_size() -> None:
    images = torch.from_numpy(random_pictures(9, 1, 16, 16)) / 255
    doubled = torch.nn.functional.interpolate(images, scale_factor=2, mode="bilinear", align_corners=False)
    # Away from the border, beyond which enlarging goes on with the last pixel; a cell's sample falls on a pixel of the larger one.
    places = torch.tensor(list(itertools.product((-0.25, 0.0, 0.125), repeat=2)))
    torch.testing.assert_close(
        free_glimpse(images, places, 4, 2, -1.0, 0.0), glimpse(doubled, places, 4, 2, "bilinear"), rtol=0, atol=5e-6
    )


@pytest.mark.parametrize("turn", [0.0, 0.1, 0.25, 0.5])
@pytest.mark.parametrize("zoom", [-1.0, 0.0, 0.4, 1.0])
def test_no_pixel_within_a_patch_is_skipped(zoom: float, turn: float) -> None:
    single = torch.eye(15 * 15).reshape(-1, 15, 15)  # in each picture another pixel is white
    away = torch.arange(15) - 7.0
    nearby = (away[:, None] ** 2 + away**2).flatten().sqrt() < 4 * 2 * 2**zoom / 2 - 0.5
    seen = free_glimpse(single, torch.full((len(single), 2), 0.011), 4, 2, zoom, turn)[:, 1]
    assert nearby.sum() >= 4
    assert (seen[nearby].sum(dim=(1, 2)) > 0).all()


@pytest.mark.parametrize("place", [(-1.0, -1.0), (1.0, 0.3), (0.2, 1.0)])
def test_outside_the_picture_a_free_retina_sees_nothing(place: tuple[float, float]) -> None:
    white = torch.full((1, 40, 40), 255, dtype=torch.uint8)
    inside = free_glimpse(white, torch.zeros(1, 2), 4, 3, 1.0, 0.0)
    torch.testing.assert_close(inside, torch.ones_like(inside), rtol=0, atol=1e-6)
    seen = free_glimpse(white, torch.tensor([place]), 4, 3, 1.0, 0.0)[0, 2]
    columns, rows = ((place[axis] + 1) / 2 * 40 + (torch.arange(4) - 1.5) * 8 for axis in (0, 1))
    expected = ((rows > 0) & (rows < 40))[:, None] & ((columns > 0) & (columns < 40))
    assert torch.equal(seen > 0.4, expected)


def test_full_brightness_never_exceeds_one_in_a_free_retina() -> None:
    generator = torch.Generator().manual_seed(0)
    locations, zooms, turns = (torch.rand(500, width, generator=generator) * 2 - 1 for width in (2, 1, 1))
    seen = glimpse(torch.full((500, 9, 9), 255, dtype=torch.uint8), locations, 3, 3, "bilinear", zooms, turns)
    assert seen.min() >= 0
    assert seen.max() == 1


@pytest.mark.parametrize("few", [False, True])
def test_many_rows_are_seen_as_one_by_one(few: bool) -> None:
    """More samples than are taken at once, of pictures that rows choose."""
    retina = Retina(6, 4, "bilinear", free=True)
    count = 3 * SAMPLES_AT_ONCE // (6 * 16) ** 2 + 1
    images = torch.from_numpy(random_pictures(5, 2, 8, 11))
    before = images.clone()
    prepared = retina.prepare(images, few)
    assert prepared.sums is None
    generator = torch.Generator().manual_seed(0)
    locations, zooms, turns = (torch.rand(count, width, generator=generator) * 2 - 1 for width in (2, 1, 1))
    rows = torch.arange(count) % 5
    seen = retina.look(prepared, locations, rows, zooms, direction(turns))
    for row in range(0, count, 7):
        alone = glimpse(*(part[row : row + 1] for part in (images[rows], locations)), 6, 4, "bilinear", zooms[[row]], turns[[row]])
        torch.testing.assert_close(seen[[row]], alone, rtol=0, atol=1e-6)
    assert torch.equal(images, before)


def test_zooms_are_clipped_and_whole_turns_count_for_nothing() -> None:
    images = torch.from_numpy(random_pictures(2, 1, 8, 8))
    places = torch.tensor([[0.1, 0.2], [0.3, -0.4]])
    assert torch.equal(free_glimpse(images, places, 4, 2, 7.0, 0.25), free_glimpse(images, places, 4, 2, 1.0, 4.25))
    assert torch.equal(free_glimpse(images, places, 4, 2, -7.0, 0.25), free_glimpse(images, places, 4, 2, -1.0, 0.25))
    far = direction(torch.tensor([[1e38], [-0.5], [1.5]]))
    assert far.isfinite().all()
    torch.testing.assert_close(far[1:], torch.tensor([[0.0, -1.0]] * 2), rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("zoom", "rotation", "message"),
    [
        (torch.zeros(2), None, r"zooms must be of shape \(2, 1\), one per picture, got \(2,\)"),
        (None, torch.zeros(3, 1), r"rotations must be of shape \(2, 1\), one per picture, got \(3, 1\)"),
        (torch.tensor([[0.0], [float("nan")]]), None, "zooms must be finite numbers"),
        (None, torch.tensor([[float("inf")], [0.0]]), "rotations must be finite numbers"),
    ],
)
def test_wrong_zooms_and_rotations_are_refused(zoom: torch.Tensor | None, rotation: torch.Tensor | None, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        glimpse(torch.zeros(2, 8, 8), torch.zeros(2, 2), 4, 1, "bilinear", zoom, rotation)


def test_a_free_retina_of_whole_pixels_is_refused() -> None:
    with pytest.raises(ValueError, match="a free retina is bilinear, since it looks between pixels, got 'nearest'"):
        Retina(4, 1, free=True)

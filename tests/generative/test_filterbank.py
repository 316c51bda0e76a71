"""DRAW's window equals loops over filters and pixels, written from equations 19 to 29 alone, in value and in gradient."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from loops import Loop, filters_by_loop, read_by_loop, write_by_loop
from torch import Tensor

from generative.filterbank import (
    Window,
    centres,
    check_window,
    even_numbers,
    filterbank,
    filterbanks,
    make_window,
    product,
    read,
    read_missing,
    write,
)


def draw(*shape: int, scale: float = 1.0) -> Loop:
    """Draw normal numbers that depend on their shape alone, all of them exact in single precision."""
    return np.float64(np.random.default_rng(shape).normal(0, scale, shape).astype(np.float32))


def loop_over_batch(one: Callable[..., Loop], several: Loop, numbers: Loop, *sizes: int) -> Tensor:
    return torch.from_numpy(np.stack([one(*row, *sizes) for row in zip(several, numbers, strict=True)])).float()


def window_at(x: float, y: float, stride: float = 1.0, deviation: float = 1.0, intensity: float = 1.0) -> Window:
    """Make a single window of its numbers in pixels."""
    return Window(*(torch.tensor([number]) for number in (x, y, stride, deviation, intensity)))


OBLONG = [(5, 9), (9, 5)]


@pytest.mark.parametrize("length", [4, 11])
@pytest.mark.parametrize("size", [2, 3, 4])
@pytest.mark.parametrize("deviation", [0.3, 1.0, 4.0])
def test_filters_equal_the_loop(deviation: float, size: int, length: int) -> None:
    places = [(2.3, 0.7), (length / 2, 1.9), (length - 0.4, 0.2)]
    centre, stride = torch.tensor(places, dtype=torch.float64).T
    found = filterbank(centre, stride, torch.full((3,), deviation, dtype=torch.float64), size, length)
    right = np.stack([filters_by_loop(*place, deviation, size, length) for place in places])
    torch.testing.assert_close(found, torch.from_numpy(right), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize(("size", "right"), [(2, [8.5, 11.5]), (3, [7.0, 10.0, 13.0]), (4, [5.5, 8.5, 11.5, 14.5])])
def test_filters_lie_evenly_around_the_centre(size: int, right: list[float]) -> None:
    assert centres(torch.tensor([10.0]), torch.tensor([3.0]), size).tolist() == [right]


def test_a_filter_falls_off_by_half_a_nat_at_one_deviation() -> None:
    # exp(-d² / 2σ²): the square of a quotient by 2σ², or σ in the place of σ², would be another width.
    filters = filterbank(torch.tensor([10.5]), torch.ones(1), torch.tensor([3.0]), 2, 20)
    assert (filters[0, 0, 9] / filters[0, 0, 12]).log().item() == pytest.approx(0.5, abs=1e-5)
    assert (filters[0, 0, 9] / filters[0, 0, 15]).log().item() == pytest.approx(2.0, abs=1e-5)


@pytest.mark.parametrize(("height", "width"), OBLONG)
def test_window_is_made_of_the_numbers_as_the_equations_say(height: int, width: int) -> None:
    numbers = torch.tensor([[-1.0, -1.0, 0.0, 0.0, 0.0], [1.0, 0.5, math.log(4), math.log(0.25), math.log(3)], [0.0] * 5])
    window = make_window(numbers, 3, height, width)
    assert window.x.tolist() == [0.0, width + 1.0, (width + 1) / 2]
    assert window.y.tolist() == [0.0, (height + 1) * 0.75, (height + 1) / 2]
    torch.testing.assert_close(window.stride, torch.tensor([4.0, 1.0, 4.0]))  # (9 - 1) / (3 - 1), whichever side is the longer
    torch.testing.assert_close(window.deviation, torch.tensor([1.0, 2.0, 1.0]))
    torch.testing.assert_close(window.intensity, torch.tensor([1.0, 3.0, 1.0]))


@pytest.mark.parametrize("size", [2, 5, 9])
def test_zeros_spread_the_filters_from_the_first_pixel_to_the_last(size: int) -> None:
    window = make_window(torch.zeros(1, 5), size, 9, 9)
    for centre in (window.x, window.y):
        places = centres(centre, window.stride, size)[0]
        torch.testing.assert_close(places, torch.linspace(1, 9, size))


@pytest.mark.parametrize(("height", "width"), OBLONG)
@pytest.mark.parametrize("size", [2, 3, 4])
def test_narrow_filters_read_the_very_pixels_and_write_into_them(size: int, height: int, width: int) -> None:
    pictures = torch.from_numpy(draw(1, 3, height, width)).float()
    for top, left in itertools.product(range(1, height - size + 2), range(1, width - size + 2)):
        # The first filter on the pixel (top, left), counted from 1.
        window = window_at(left + (size - 1) / 2, top + (size - 1) / 2, deviation=0.05)
        block = (..., slice(top - 1, top - 1 + size), slice(left - 1, left - 1 + size))
        seen = read(pictures, window, size)
        assert torch.equal(seen, pictures[block])
        written = torch.zeros_like(pictures)
        written[block] = pictures[block]
        assert torch.equal(write(seen, window, height, width), written)


def test_a_window_of_zeros_and_narrow_filters_reads_the_whole_picture() -> None:
    pictures = torch.from_numpy(draw(2, 1, 6, 6)).float()
    numbers = torch.tensor([0.0, 0.0, -6.0, 0.0, 0.0]).expand(2, 5)
    torch.testing.assert_close(read(pictures, make_window(numbers, 6, 6, 6), 6), pictures, rtol=0, atol=1e-5)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(("height", "width"), OBLONG)
@pytest.mark.parametrize("size", [2, 3, 5])
def test_reading_and_writing_equal_the_loops(size: int, height: int, width: int, channels: int) -> None:
    numbers = draw(4, 5, scale=0.5)
    windows = make_window(torch.from_numpy(numbers), size, height, width)
    pictures, patches = draw(4, channels, height, width), draw(4, channels, size, size)
    seen = read(torch.from_numpy(pictures), windows, size)
    written = write(torch.from_numpy(patches), windows, height, width)
    assert seen.dtype == written.dtype == torch.float32
    torch.testing.assert_close(seen, loop_over_batch(read_by_loop, pictures, numbers, size), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(written, loop_over_batch(write_by_loop, patches, numbers, height, width), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(("height", "width"), OBLONG)
def test_what_is_missing_is_read_beside_the_picture_itself(height: int, width: int, channels: int) -> None:
    numbers = draw(4, 5, scale=0.5)
    windows = make_window(torch.from_numpy(numbers), 3, height, width)
    pictures, expected = draw(4, channels, height, width), draw(4, channels, height, width)[::-1].copy()
    seen = read_missing(torch.from_numpy(pictures), torch.from_numpy(expected), windows, 3)
    assert seen.dtype == torch.float32
    for found, shown in zip(seen.chunk(2, 1), (pictures, pictures - expected), strict=True):
        torch.testing.assert_close(found, loop_over_batch(read_by_loop, shown, numbers, 3), rtol=1e-4, atol=1e-5)


def test_what_is_missing_has_the_gradients_of_reading_it() -> None:
    pictures, expected, weights = (torch.from_numpy(draw(*shape)).float() for shape in ((2, 3, 5, 9), (2, 3, 5, 9), (2, 6, 4, 4)))
    expected = expected.flip(0).requires_grad_()
    numbers = torch.from_numpy(draw(2, 5, scale=0.5)).float().requires_grad_()
    window = make_window(numbers, 4, 5, 9)
    at_once = read_missing(pictures, expected, window, 4)
    one_by_one = torch.cat((read(pictures, window, 4), read(pictures - expected, window, 4)), 1)
    found, right = (
        torch.autograd.grad((seen * weights).sum(), (numbers, expected), retain_graph=True) for seen in (at_once, one_by_one)
    )
    for gradient, of_reading in zip(found, right, strict=True):
        torch.testing.assert_close(gradient, of_reading, rtol=1e-4, atol=1e-5)
        assert of_reading.abs().max() > 0.01


def test_both_sides_filters_are_rows_first() -> None:
    rows, columns = filterbanks(make_window(torch.from_numpy(draw(4, 5)), 3, 5, 9), 3, 5, 9)
    assert rows.shape == (4, 3, 5)
    assert columns.shape == (4, 3, 9)


@pytest.mark.parametrize(("height", "width"), OBLONG)
def test_writing_is_the_adjoint_of_reading_up_to_the_intensity(height: int, width: int) -> None:
    windows = make_window(torch.from_numpy(draw(6, 5, scale=0.5)), 3, height, width)
    pictures, patches = torch.from_numpy(draw(6, 2, height, width)), torch.from_numpy(draw(6, 2, 3, 3))
    seen = (read(pictures, windows, 3) * patches).sum((1, 2, 3)) / windows.intensity
    written = (write(patches, windows, height, width) * pictures).sum((1, 2, 3)) * windows.intensity
    torch.testing.assert_close(seen, written, rtol=1e-4, atol=1e-5)
    assert (windows.intensity - 1).abs().min() > 0.01, "these windows could not tell γ from 1 / γ"


@pytest.mark.parametrize("place", [2, 3])
@pytest.mark.parametrize("number", [-110.0, 50.0, 110.0])
def test_windows_of_extreme_numbers_read_and_write_what_is_finite(place: int, number: float) -> None:
    numbers = torch.zeros(1, 5)
    numbers[0, place] = number
    window = make_window(numbers, 2, 28, 28)
    for filters in filterbanks(window, 2, 28, 28):
        torch.testing.assert_close(filters.sum(-1), torch.ones(1, 2), rtol=0, atol=1e-5)
    assert read(torch.ones(1, 1, 28, 28), window, 2).isfinite().all()
    assert write(torch.ones(1, 1, 2, 2), window, 28, 28).isfinite().all()


@pytest.mark.parametrize("distance", [-1e6, -1e3, -40.0, 60.0, 1e3, 1e6])
@pytest.mark.parametrize("deviation", [0.01, 1.0, 30.0])
def test_filters_far_outside_sum_to_one_see_the_nearest_pixel_and_have_finite_gradients(deviation: float, distance: float) -> None:
    window = Window(*(numbers.requires_grad_() for numbers in window_at(distance, -distance, 2.0, deviation, 1.5)))
    rows, columns = filterbanks(window, 3, 12, 15)
    for filters in (rows, columns):
        torch.testing.assert_close(filters.sum(-1), torch.ones(1, 3), rtol=0, atol=1e-5)
    assert (columns[0].argmax(-1) == (0 if distance < 0 else 14)).all()
    assert (rows[0].argmax(-1) == (11 if distance < 0 else 0)).all()

    pictures = torch.from_numpy(draw(1, 1, 12, 15)).float().requires_grad_()
    seen = read(pictures, window, 3)
    (seen.square().sum() + write(seen, window, 12, 15).square().sum()).backward()
    for leaf in (pictures, *window):
        assert leaf.grad is not None
        assert leaf.grad.isfinite().all()
    assert pictures.grad is not None
    assert pictures.grad.abs().sum() > 0


def test_filters_have_the_gradients_of_their_formula() -> None:
    centre = torch.tensor([2.7, 9.4, -3.0], dtype=torch.float64, requires_grad=True)
    stride = torch.tensor([0.8, 2.0, 1.0], dtype=torch.float64, requires_grad=True)
    deviation = torch.tensor([0.9, 2.5, 1.3], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda *numbers: filterbank(*numbers, 3, 7), (centre, stride, deviation))


def slope(function: Callable[[Loop], Any], place: Loop) -> Loop:
    """Differentiate a function of several numbers by central differences."""
    found = np.zeros(place.shape)
    for index in np.ndindex(place.shape):
        step = np.zeros(place.shape)
        step[index] = 1e-5
        found[index] = (function(place + step) - function(place - step)) / 2e-5
    return found


@pytest.mark.parametrize(("height", "width"), OBLONG)
def test_reading_and_writing_have_the_gradients_of_the_loops(height: int, width: int) -> None:
    size = 3
    numbers, picture, patch = draw(5, scale=0.5), draw(2, height, width), draw(2, size, size)
    leaves = [torch.from_numpy(values).float().requires_grad_() for values in (numbers, picture, patch)]
    window = make_window(leaves[0][None], size, height, width)
    # Each measured by the other's input, so that every filter counts with a weight of its own.
    seen = (read(leaves[1][None], window, size) * torch.from_numpy(patch)).sum()
    written = (write(leaves[2][None], window, height, width) * torch.from_numpy(picture)).sum()
    of_reading = torch.autograd.grad(seen, leaves[:2], retain_graph=True)
    of_writing = torch.autograd.grad(written, (leaves[0], leaves[2]))

    right = [
        slope(lambda values: (read_by_loop(picture, values, size) * patch).sum(), numbers),
        slope(lambda values: (read_by_loop(values, numbers, size) * patch).sum(), picture),
        slope(lambda values: (write_by_loop(patch, values, height, width) * picture).sum(), numbers),
        slope(lambda values: (write_by_loop(values, numbers, height, width) * picture).sum(), patch),
    ]
    for found, expected in zip((*of_reading, *of_writing), right, strict=True):
        torch.testing.assert_close(found, torch.from_numpy(expected).float(), rtol=1e-3, atol=1e-4)
        assert np.abs(expected).min() > 1e-5


def test_half_precision_around_it_changes_nothing() -> None:
    numbers = torch.from_numpy(draw(3, 5, scale=0.5)).float()
    pictures, patches = torch.from_numpy(draw(3, 1, 20, 30)).float(), torch.from_numpy(draw(3, 1, 4, 4)).float()

    def all_of_it() -> list[Tensor]:
        window = make_window(numbers, 4, 20, 30)
        missing = read_missing(pictures, pictures.flip(0), window, 4)
        return [*window, read(pictures, window, 4), missing, write(patches, window, 20, 30)]

    alone = all_of_it()
    with torch.autocast("cpu", torch.bfloat16):
        assert (pictures @ pictures.mT).dtype == torch.bfloat16, "half precision was not in force"
        around = all_of_it()
    assert all(map(torch.equal, around, alone))
    assert all(values.dtype == torch.float32 for values in around)


def test_numbers_and_pictures_of_half_precision_are_computed_with_in_single() -> None:
    numbers, pictures = torch.from_numpy(draw(3, 5)).bfloat16(), torch.from_numpy(draw(3, 1, 20, 30)).bfloat16()
    found, right = make_window(numbers, 4, 20, 30), make_window(numbers.float(), 4, 20, 30)
    assert all(map(torch.equal, found, right))
    assert torch.equal(read(pictures, found, 4), read(pictures.float(), right, 4))


@pytest.mark.parametrize("size", [-1, 0, 1, 6])
def test_a_single_filter_and_more_filters_than_pixels_are_refused(size: int) -> None:
    with pytest.raises(ValueError, match=rf"window of {size}×{size} filters .* picture of 5×9: N must be within 2 … 5"):
        check_window(size, 5, 9)


@pytest.mark.parametrize("size", [2, 5])
def test_windows_between_are_accepted(size: int) -> None:
    check_window(size, 5, 9)
    check_window(size, 9, 5)


@pytest.mark.parametrize(("size", "height", "width"), [(2, 28, 28), (5, 28, 28), (4, 10, 40), (3, 30, 12)])
def test_even_numbers_share_the_longer_side_among_the_filters(size: int, height: int, width: int) -> None:
    window = make_window(torch.tensor([even_numbers(size, height, width)]), size, height, width)
    centre, longer = (window.x, width) if width >= height else (window.y, height)
    middles = [(i + 0.5) * longer / size + 0.5 for i in range(size)]  # the middle of pixel 1 lies at 1
    assert centres(centre, window.stride, size)[0].tolist() == pytest.approx(middles, rel=1e-5)
    assert window.deviation.item() == pytest.approx(longer / size / 2, rel=1e-5)
    assert window.intensity.item() == 1


def test_products_are_the_same_where_they_are_compiled() -> None:
    left, right = torch.randn(3, 1, 5, 7), torch.randn(3, 1, 7, 4)
    compiled = torch.compile(product, backend="eager", fullgraph=True)
    torch.testing.assert_close(compiled(left, right), left @ right)

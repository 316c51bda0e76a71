"""Distortions do what their docstring says, stay in range, and come from the generator alone."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from attention_env.distortion import Distortion

EVERYTHING = Distortion(rotation=20, scale=0.2, shear=0.2, shift=0.1, elastic=0.05)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def blobs(count: int, height: int, width: int, y: float, x: float) -> Tensor:
    """Draw a smooth round spot at the point (y, x), in pixels from the top-left corner of the picture."""
    down, right = torch.arange(height) + 0.5, torch.arange(width) + 0.5
    spot = torch.exp(-((down[:, None] - y) ** 2 + (right[None] - x) ** 2) / (2 * 1.5**2))
    return spot.expand(count, 1, height, width)


def centres(images: Tensor) -> Tensor:
    """Find the centre of brightness of each picture, (B, 2) as (y, x) in pixels from the top-left corner."""
    down = torch.arange(images.shape[2]) + 0.5
    right = torch.arange(images.shape[3]) + 0.5
    mass = images.sum(dim=(1, 2, 3))
    return torch.stack(((images.sum(dim=(1, 3)) @ down) / mass, (images.sum(dim=(1, 2)) @ right) / mass), dim=1)


@pytest.mark.parametrize("shape", [(3, 1, 8, 8), (2, 3, 9, 5)])
def test_no_distortion_is_the_identity(shape: tuple[int, ...]) -> None:
    images = torch.rand(shape, generator=seeded(1))
    torch.testing.assert_close(Distortion()(images, seeded()), images, rtol=0, atol=1e-5)


def test_bytes_are_brought_to_one() -> None:
    images = torch.randint(0, 256, (2, 1, 8, 8), generator=seeded(1), dtype=torch.uint8)
    distorted = Distortion()(images, seeded())
    assert distorted.dtype == torch.float32
    torch.testing.assert_close(distorted, images / 255, rtol=0, atol=1e-5)


@pytest.mark.parametrize(("height", "width"), [(40, 40), (30, 50)])
def test_a_pure_shift_moves_by_up_to_its_share_of_the_side_both_ways(height: int, width: int) -> None:
    images = blobs(400, height, width, height / 2, width / 2)
    distorted = Distortion(shift=0.2)(images, seeded())
    moved = (centres(distorted) - centres(images)) / torch.tensor([height, width])
    assert moved.abs().max() <= 0.2 + 1e-3
    # Uniform over the range: with 400 draws both ends are nearly reached, and the two axes are drawn apart.
    assert (moved.amax(dim=0) > 0.18).all()
    assert (moved.amin(dim=0) < -0.18).all()
    assert torch.corrcoef(moved.T)[0, 1].abs() < 0.2
    # Nothing but a movement: the brightness stays, and so does the spot's shape.
    torch.testing.assert_close(distorted.sum(dim=(1, 2, 3)), images.sum(dim=(1, 2, 3)), rtol=1e-3, atol=0)


@pytest.mark.parametrize(("height", "width"), [(40, 40), (30, 50)])
def test_a_pure_rotation_keeps_distances_to_the_centre_of_the_picture(height: int, width: int) -> None:
    images = blobs(200, height, width, height / 2, width / 2 + 9)
    from_middle = centres(Distortion(rotation=90)(images, seeded())) - torch.tensor([height / 2, width / 2])
    torch.testing.assert_close(from_middle.norm(dim=1), torch.full((200,), 9.0), rtol=0, atol=0.2)


def test_a_pure_rotation_turns_by_up_to_its_degrees_both_ways() -> None:
    images = blobs(400, 40, 40, 20.0, 30.0)
    down, right = (centres(Distortion(rotation=30)(images, seeded())) - 20).unbind(dim=1)
    degrees = torch.atan2(down, right) * 180 / math.pi
    assert degrees.abs().max() <= 30.5
    assert degrees.max() > 27
    assert degrees.min() < -27


def test_a_pure_stretch_stays_within_its_range_along_each_axis() -> None:
    images = blobs(400, 60, 60, 40.0, 40.0)
    factors = 10 / (centres(Distortion(scale=0.3)(images, seeded())) - 30)
    assert factors.min() >= 0.7 - 0.01
    assert factors.max() <= 1.3 + 0.01
    assert torch.corrcoef(factors.T)[0, 1].abs() < 0.2


def test_a_pure_shear_slants_x_and_leaves_y() -> None:
    images = blobs(200, 60, 60, 45.0, 30.0)
    down, right = (centres(Distortion(shear=0.4)(images, seeded())) - 30).unbind(dim=1)
    torch.testing.assert_close(down, torch.full((200,), 15.0), rtol=0, atol=0.05)
    assert right.abs().max() <= 0.4 * 15 + 0.05
    assert right.abs().max() > 0.35 * 15


def test_an_elastic_displacement_is_smooth_and_of_its_size() -> None:
    # A ramp from left to right tells by its values where each pixel was read.
    ramp = ((torch.arange(50) + 0.5) / 50).expand(200, 1, 50, 50)
    moved = (Distortion(elastic=0.02)(ramp, seeded()) - ramp)[..., 12:38, 12:38]
    assert 0.01 < moved.std() < 0.03
    assert (moved[..., 1:] - moved[..., :-1]).abs().max() < 0.02


@pytest.mark.parametrize("side", [8, 11, 28])
def test_outputs_stay_within_zero_and_one(side: int) -> None:
    white = torch.full((300, 1, side, side), 255, dtype=torch.uint8)
    for images in (white, (torch.rand(300, 1, side, side, generator=seeded(2)) > 0.5).float()):
        distorted = EVERYTHING(images, seeded())
        assert distorted.isfinite().all()
        assert distorted.min() >= 0
        assert distorted.max() <= 1


def test_what_lies_outside_the_picture_is_zero() -> None:
    distorted = Distortion(shift=0.5)(torch.ones(200, 1, 10, 10), seeded())
    assert distorted.amin(dim=(1, 2, 3)).eq(0).float().mean() > 0.9


def test_the_same_generator_state_gives_the_same_result_and_the_next_state_another() -> None:
    images = torch.rand(4, 1, 12, 12, generator=seeded(1))
    generator = seeded(5)
    state = generator.get_state()
    first, second = EVERYTHING(images, generator), EVERYTHING(images, generator)
    generator.set_state(state)
    assert torch.equal(EVERYTHING(images, generator), first)
    assert not torch.equal(first, second)


def test_each_picture_has_a_draw_of_its_own() -> None:
    distorted = EVERYTHING(blobs(8, 20, 20, 8.0, 12.0), seeded())
    assert len({tuple(picture.flatten().tolist()) for picture in distorted}) == 8


def test_the_global_generator_is_not_touched() -> None:
    before = torch.random.get_rng_state()
    EVERYTHING(torch.ones(2, 1, 8, 8), seeded())
    assert torch.equal(torch.random.get_rng_state(), before)


def test_inputs_are_never_altered() -> None:
    images = torch.rand(2, 3, 8, 8, generator=seeded(1))
    before = images.clone()
    EVERYTHING(images, seeded()).zero_()
    Distortion()(images, seeded()).zero_()
    assert torch.equal(images, before)


@pytest.mark.parametrize("name", ["rotation", "scale", "shear", "shift", "elastic"])
@pytest.mark.parametrize("value", [-0.1, float("nan"), float("inf")])
def test_amounts_that_are_no_amounts_are_refused(name: str, value: float) -> None:
    with pytest.raises(ValueError, match=name):
        Distortion(**{name: value})

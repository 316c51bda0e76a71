"""What is done to crops on the device, so that no two look alike: moved, stretched, turned, brighter, blurred, noisy, negative.

All of it is cheap in a batch, where words are drawn one by one. Real crops, of which there are few, get as much as synthetic ones.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

TURN = 0.08
"""Deviation of the angle by which strokes lean, in radians. Lines lean H/W times as much: the ends of a long word stay in sight."""
STRETCH = 0.08
MOVE = 0.04
"""Deviations of size and place, as shares of the crop."""
SHEAR = 0.15
BRIGHTNESS = 0.25
CONTRAST = 0.3
NOISE = 0.08
"""Deviations of grey, whose range is 2."""
SELDOM = 0.25
"""Share of the crops that are blurred, and of those that get noise."""
NEGATIVE = 0.15
"""Share that are turned into their negative."""


def augment(crops: Tensor, strength: float, generator: torch.Generator) -> Tensor:
    """Change crops at random.

    Args:
        crops: (B, 1, H, W) in [-1, 1].
        strength: 1 for the deviations above, less for less; 0 changes nothing.
        generator: on the crops' device.

    Returns:
        (B, 1, H, W) in [-1, 1], a tensor of its own.
    """
    if strength == 0:
        return crops.clone()
    moved = _move(crops, strength, generator)
    blurred = F.avg_pool2d(F.pad(moved, (1, 1, 1, 1), mode="replicate"), 3, 1)
    changed = torch.where(_some(crops, SELDOM, generator), torch.lerp(moved, blurred, min(1.0, strength)), moved)
    contrast = (CONTRAST * strength * _normal(crops, 1, generator)).exp().view(-1, 1, 1, 1)
    changed = changed * contrast + (BRIGHTNESS * strength * _normal(crops, 1, generator)).view(-1, 1, 1, 1)
    noise = torch.randn(crops.shape, generator=generator, device=crops.device)
    changed = changed + _some(crops, SELDOM, generator) * NOISE * strength * noise
    changed = torch.where(_some(crops, NEGATIVE, generator), -changed, changed)
    return changed.clamp(-1, 1)


def _move(crops: Tensor, strength: float, generator: torch.Generator) -> Tensor:
    """Turn, shear, stretch and move; what comes in at the edge is what was at the edge."""
    count, _, height, width = crops.shape
    angle, shear, across, along, right, down = (strength * _normal(crops, 6, generator)).unbind(1)
    angle, shear = TURN * angle, SHEAR * shear
    wide, high = (STRETCH * across).exp(), (STRETCH * along).exp()
    # From a place of the result to a place of the crop, both from -1 to 1.
    slant = height / width
    first = (wide * angle.cos(), slant * wide * (shear - angle.sin()), 2 * MOVE * right)
    second = (high * angle.sin(), high * angle.cos(), 2 * MOVE * down)
    places = F.affine_grid(torch.stack((*first, *second), 1).view(count, 2, 3), list(crops.shape), align_corners=False)
    return F.grid_sample(crops, places, padding_mode="border", align_corners=False)


def _normal(crops: Tensor, numbers: int, generator: torch.Generator) -> Tensor:
    """Draw numbers for each crop, (B, numbers), within two deviations."""
    return torch.randn(len(crops), numbers, generator=generator, device=crops.device).clamp(-2, 2)


def _some(crops: Tensor, share: float, generator: torch.Generator) -> Tensor:
    return torch.rand(len(crops), 1, 1, 1, generator=generator, device=crops.device) < share

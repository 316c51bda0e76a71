"""Random distortions of pictures, drawn afresh at every reset, so that training pictures never repeat."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor

# Points per side at which the elastic displacement is drawn.
KNOTS = 5


@dataclass(frozen=True)
class Distortion:
    """A random affine map and, on top of it, a smooth random displacement.

    The map is drawn as it is computed: from each pixel of the new picture to the place in the old one that it is taken from,
    x' = cos(a)·s_x·x + (h − sin(a))·y + t_x, y' = sin(a)·x + cos(a)·s_y·y + t_y, around the centre.

    Attributes:
        rotation: a is up to this many degrees, either way.
        scale: s_x and s_y are within 1 ± scale, so things shrink or grow by the inverse.
        shear: h is within ± shear.
        shift: t_x and t_y are up to this share of the picture's width and height.
        elastic: standard deviation, as a share of the side, of displacements at a grid of points, interpolated smoothly
            between them.

    Raises:
        ValueError: if an amount is negative or not finite.
    """

    rotation: float = 0.0
    scale: float = 0.0
    shear: float = 0.0
    shift: float = 0.0
    elastic: float = 0.0

    def __post_init__(self) -> None:
        """Check the amounts."""
        for name, amount in vars(self).items():
            if not 0 <= amount < math.inf:
                raise ValueError(f"distortion {name} must be a finite number of at least 0, got {amount!r}")

    def __call__(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """Distort each picture by its own draw.

        Args:
            images: (B, C, H, W), uint8 in [0, 255] or float in [0, 1].
            generator: where the draws come from, on the pictures' device.

        Returns:
            (B, C, H, W) float32 in [0, 1]; what lies outside the picture is 0.
        """
        images = images.float() / 255 if images.dtype == torch.uint8 else images.float()
        batch, _, height, width = images.shape
        draw = torch.rand(batch, 6, generator=generator, device=images.device) * 2 - 1
        angle = draw[:, 0] * math.radians(self.rotation)
        stretch = 1 + draw[:, 1:3] * self.scale
        cosine, sine = angle.cos(), angle.sin()
        # The map in grid_sample's coordinates, in which both sides are 2 long, however many pixels they have.
        aspect = height / width
        to_x = torch.stack((cosine * stretch[:, 0], (draw[:, 3] * self.shear - sine) * aspect, draw[:, 4] * 2 * self.shift), dim=1)
        to_y = torch.stack((sine / aspect, cosine * stretch[:, 1], draw[:, 5] * 2 * self.shift), dim=1)
        coefficients = torch.stack((to_x, to_y), dim=1)  # (B, 2, 3)
        basis = _basis(height, width, images.device)  # (3 + KNOTS², H·W)
        if self.elastic:
            knots = torch.randn(batch, 2, KNOTS**2, generator=generator, device=images.device) * (2 * self.elastic)
            coefficients = torch.cat((coefficients, knots), dim=2)
        # Both maps are linear in what was drawn, so that one product gives all places, (B, 2, H·W).
        places = coefficients.flatten(0, 1) @ basis[: coefficients.shape[2]]
        grid = places.view(batch, 2, height, width).permute(0, 2, 3, 1)
        return F.grid_sample(images, grid, align_corners=False).clamp_(0, 1)  # rounding may exceed full brightness


@cache
def _basis(height: int, width: int, device: torch.device) -> Tensor:
    """What every map is a sum of, for each pixel: its x, its y, 1, and each knot's share in its displacement."""
    still = torch.eye(2, 3, device=device)[None]
    grid = F.affine_grid(still, [1, 1, height, width], align_corners=False).view(height * width, 2)
    knots = torch.eye(KNOTS**2, device=device).view(KNOTS**2, 1, KNOTS, KNOTS)
    shares = F.interpolate(knots, size=(height, width), mode="bicubic", align_corners=True).view(KNOTS**2, height * width)
    return torch.cat((grid.T, torch.ones(1, height * width, device=device), shares))

"""The retina: what an eye at a location sees of a picture.

The glimpse sensor ρ(x, l) of Mnih, Heess, Graves and Kavukcuoglu, "Recurrent Models of Visual Attention" (2014,
arXiv 1406.6247, section 3 A): `scales` square patches around one location, the first `size` × `size` pixels, each next one
twice as wide, all brought to `size` × `size` by averaging. The centre is sharp, the surroundings are coarse.

Coordinates: a location is (x, y) in [-1, 1]²; (-1, -1) is the top-left corner of the picture, (0, 0) its centre, (1, 1)
its bottom-right corner. In pixels the location lies at (l + 1) / 2 · (width, height), pixel i covering [i, i + 1). Outside
the picture the sensor reads 0.

How it is fast: averaging commutes with cropping. `Retina.prepare` averages each picture once over blocks of 1, 2, 4, …
pixels at *every* offset; each scale of a glimpse is then a plain strided crop of one of those levels, and a batch of
glimpses is one gather per scale, with no loop, no mask and no resampling.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

# Fewer pictures than this are brought from bytes to [0, 1] at once: one operation less per glimpse. Of many, only what is
# looked at is worth converting.
FEW = 16
INTERPOLATIONS = ("nearest", "bilinear")


class Level(NamedTuple):
    """Pictures as one scale of the retina needs them.

    Attributes:
        pixels: (B, C, H + 2·border + 1, W + 2·border + 1); element (y, x) is the mean of the 2^s × 2^s pixels from
            (y - border, x - border) on; bytes where the pictures are bytes and s = 0, else float32 in [0, 1].
        windows: a view of `pixels` in which [picture, y, x] is the whole patch (C, n, n) that starts there.
        edge: (2,) float32, (x, y) in `pixels` of the first pixel edge of a patch at the picture's centre, to be rounded down.
        half_size: (2,) float32, half the picture's width and height.
    """

    pixels: Tensor
    windows: Tensor
    edge: Tensor
    half_size: Tensor


@dataclass(frozen=True)
class Retina:
    """A glimpse sensor.

    Attributes:
        size: side g of a patch in pixels, at least 1.
        scales: number k of patches; patch s = 0 … k-1 covers (g·2^s)² pixels of the picture.
        interpolation: "nearest" moves patches by whole pixels, to the pixel edge nearest to the exact place (halves round up);
            "bilinear" places them exactly and interpolates linearly between pixels.

    Raises:
        ValueError: if a number is below 1 or the interpolation is unknown.
    """

    size: int
    scales: int = 1
    interpolation: str = "nearest"

    def __post_init__(self) -> None:
        """Check the numbers."""
        if self.size < 1 or self.scales < 1:
            raise ValueError(f"a retina needs size and scales of at least 1, got size={self.size}, scales={self.scales}")
        if self.interpolation not in INTERPOLATIONS:
            raise ValueError(f"unknown interpolation {self.interpolation!r}: choose one of {', '.join(INTERPOLATIONS)}")

    def prepare(self, images: Tensor) -> list[Level]:
        """Average pictures over the blocks of every scale, with a border of zeros wide enough for any location.

        Args:
            images: (B, H, W) or (B, C, H, W); uint8 in [0, 255] stands for [0, 1], floating point is taken as it is.

        Returns:
            One level per scale, finest first. They share no memory with `images`.
        """
        images = images if images.dim() == 4 else images[:, None]
        if len(images) < FEW:
            images = _as_float(images)
        border = self.border(0)
        pixels = F.pad(images if images.dtype == torch.uint8 else images.float(), (border, border + 1, border, border + 1))
        levels = [self._level(pixels, 0)]
        for scale in range(1, self.scales):
            half = 2 ** (scale - 1)
            more = self.border(scale) - self.border(scale - 1)
            pixels = F.pad(_as_float(pixels), (more, more + half, more, more + half))
            pixels = pixels[..., :-half] + pixels[..., half:]
            pixels = (pixels[..., :-half, :] + pixels[..., half:, :]).mul_(0.25)
            levels.append(self._level(pixels, scale))
        return levels

    def border(self, scale: int) -> int:
        """Width of the zero border around level `scale`: half a patch, and a block's reach to the left of the picture."""
        block: int = 2**scale
        return max((self.size * block + 1) // 2, block)

    def look(self, levels: list[Level], locations: Tensor, rows: Tensor) -> Tensor:
        """Take one glimpse per row at prepared pictures.

        Args:
            levels: what `prepare` returned.
            locations: (n, 2) float, (x, y) within [-1, 1]; nothing checks that here.
            rows: (n,) int64, which picture each row looks at.

        Returns:
            (n, scales · C, size, size) float32: the scales, finest first, each with all of its channels.
        """
        patches = [self._patch(level, scale, locations, rows) for scale, level in enumerate(levels)]
        return patches[0] if len(patches) == 1 else torch.cat(patches, dim=1)

    def _level(self, pixels: Tensor, scale: int) -> Level:
        """View pixels as patches, so that one gather takes the patches of a whole batch."""
        batch, channels, height, width = pixels.shape
        step = 2**scale
        # Between pixels the finest scale interpolates within patches one pixel larger.
        side = self.size + 1 if self.interpolation == "bilinear" and scale == 0 else self.size
        span = (side - 1) * step
        row, channel, down, right = pixels.stride()
        shape = (batch, height - span, width - span, channels, side, side)
        windows = pixels.as_strided(shape, (row, down, right, channel, down * step, right * step))
        return Level(pixels, windows, *_places(self, scale, height, width, pixels.device))

    def _patch(self, level: Level, scale: int, locations: Tensor, rows: Tensor) -> Tensor:
        """Crop one scale, (n, C, size, size)."""
        edges = torch.addcmul(level.edge, locations, level.half_size)  # (n, 2), never negative, so that `long` rounds down
        start = edges.long()
        x, y = start.unbind(-1)
        if self.interpolation == "nearest":
            return _as_float(level.windows[rows, y, x])
        fraction_x, fraction_y = (edges - start)[..., None, None, None].unbind(-4)
        if scale == 0:
            patch = _as_float(level.windows[rows, y, x])
            patch = torch.lerp(patch[..., :-1], patch[..., 1:], fraction_x)
            return torch.lerp(patch[..., :-1, :], patch[..., 1:, :], fraction_y)
        upper = torch.lerp(level.windows[rows, y, x], level.windows[rows, y, x + 1], fraction_x)
        lower = torch.lerp(level.windows[rows, y + 1, x], level.windows[rows, y + 1, x + 1], fraction_x)
        return torch.lerp(upper, lower, fraction_y)


@cache
def _places(retina: Retina, scale: int, height: int, width: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Make a level's `edge` and `half_size`, once: on a GPU every new tensor of host numbers is a transfer."""
    border = retina.border(scale)
    half_size = torch.tensor([width - 2 * border - 1, height - 2 * border - 1], device=device) / 2
    rounding = 0.5 if retina.interpolation == "nearest" else 0.0
    return half_size + (border - retina.size * 2**scale / 2 + rounding), half_size


def _as_float(pixels: Tensor) -> Tensor:
    """Bring bytes to [0, 1]; leave floating point as it is."""
    return pixels / 255 if pixels.dtype == torch.uint8 else pixels


def glimpse(images: Tensor, locations: Tensor, size: int, scales: int = 1, interpolation: str = "nearest") -> Tensor:
    """Take one glimpse of each picture: the retina as one pure function.

    Args:
        images: (B, H, W) or (B, C, H, W), uint8 or floating point.
        locations: (B, 2), (x, y) in [-1, 1]; beyond that they are clipped.
        size: side of a patch in pixels.
        scales: number of patches, each twice as wide as the one before.
        interpolation: "nearest" or "bilinear".

    Returns:
        (B, scales · C, size, size) float32.

    Raises:
        ValueError: if the numbers of pictures and locations differ or a location is not finite.
    """
    if locations.shape != (len(images), 2):
        raise ValueError(f"locations must be of shape {(len(images), 2)}, one (x, y) per picture, got {tuple(locations.shape)}")
    if not locations.isfinite().all():
        raise ValueError("locations must be finite numbers")
    retina = Retina(size, scales, interpolation)
    rows = torch.arange(len(images), device=locations.device)
    return retina.look(retina.prepare(images), locations.clamp(-1, 1).float(), rows)

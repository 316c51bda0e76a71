"""The retina: what an eye at a location sees of a picture.

The glimpse sensor ρ(x, l) of Mnih, Heess, Graves and Kavukcuoglu, "Recurrent Models of Visual Attention" (2014,
arXiv 1406.6247, section 3 A): `scales` square patches around one location, the first `size` × `size` pixels, each next one
twice as wide, all brought to `size` × `size` by averaging. The centre is sharp, the surroundings are coarse.

Coordinates: a location is (x, y) in [-1, 1]²; (-1, -1) is the top-left corner of the picture, (0, 0) its centre, (1, 1)
its bottom-right corner. In pixels the location lies at (l + 1) / 2 · (width, height), pixel i covering [i, i + 1). Outside
the picture the sensor reads 0.

How it is fast: `Retina.prepare` does once per picture what every glimpse at it shares. The finest scale is then a plain crop of
the picture inside a border of zeros, whose lines are copied whole, for a batch at once. The mean over any block of a coarser
scale comes from four elements of a table of sums (Crow 1984, "Summed-area tables for texture mapping"), however large the
block: no loop, no mask, no resampling, and a picture costs the same for two scales as for five.

A *free* retina also zooms and turns, each glimpse in its own way. At zoom z patch s covers g·2^s·2^z pixels of the picture, and
the sensor is turned about its location, positive from the x-axis towards the y-axis, which points down. A pixel of patch s covers
a square of 2^s × 2^s cells, each w = 2^z pixels wide; it is the mean of one sample at the centre of each cell, or, of cells wider
than a pixel, of four, (w - 1)/2 to the left and right of the centre, above and below it along the sensor's axes. A sample lies
between pixels and is linear between the four nearest; outside the picture is 0. So samples are never more than a pixel apart, up
to z = 1, and no pixel of the picture is skipped; at zoom 0, not turned, it sees what a "bilinear" retina sees.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

INTERPOLATIONS = ("nearest", "bilinear")
# A free retina takes its samples of each scale in pieces of about so many, which stay in a processor's cache.
SAMPLES_AT_ONCE = 2**17


class Prepared(NamedTuple):
    """Pictures as the retina needs them.

    Attributes:
        pixels: (B, C, H + 2·border + 1, W + 2·border + 1), the pictures with zeros around; bytes or float32 in [0, 1].
        sums: (B, C, H + 1, W + 1), element (y, x) being the sum of all pixels above and left of it: whole numbers of bytes,
            float64 of floating point; None if the retina has one scale.
    """

    pixels: Tensor
    sums: Tensor | None

    def put(self, rows: Tensor, other: Prepared) -> None:
        """Replace some pictures, in place."""
        self.pixels[rows] = other.pixels
        if self.sums is not None and other.sums is not None:
            self.sums[rows] = other.sums


@dataclass(frozen=True)
class Retina:
    """A glimpse sensor.

    Attributes:
        size: side g of a patch in pixels, at least 1.
        scales: number k of patches; patch s = 0 … k-1 covers (g·2^s)² pixels of the picture.
        interpolation: "nearest" moves patches by whole pixels, to the pixel edge nearest to the exact place (halves round up);
            "bilinear" places them exactly and interpolates linearly between pixels.
        free: whether glimpses may be zoomed and turned; they are always bilinear then.

    Raises:
        ValueError: if a number is below 1 or the interpolation is unknown.
    """

    size: int
    scales: int = 1
    interpolation: str = "nearest"
    free: bool = False

    def __post_init__(self) -> None:
        """Check the numbers."""
        if self.size < 1 or self.scales < 1:
            raise ValueError(f"a retina needs size and scales of at least 1, got size={self.size}, scales={self.scales}")
        if self.interpolation not in INTERPOLATIONS:
            raise ValueError(f"unknown interpolation {self.interpolation!r}: choose one of {', '.join(INTERPOLATIONS)}")
        if self.free and self.interpolation != "bilinear":
            raise ValueError(f"a free retina is bilinear, since it looks between pixels, got {self.interpolation!r}")

    @property
    def border(self) -> int:
        """Width of the zeros around the pictures: half a patch, and the pixel to the left that rounding may reach."""
        return max((self.size + 1) // 2, 1)

    @property
    def _side(self) -> int:
        """Side of the crop that a finest patch is made of: between pixels one interpolates within one pixel more."""
        return self.size + 1 if self.interpolation == "bilinear" else self.size

    def prepare(self, images: Tensor, few: bool = False) -> Prepared:
        """Do once what every glimpse at the pictures shares.

        Args:
            images: (B, H, W) or (B, C, H, W); uint8 in [0, 255] stands for [0, 1], floating point is taken as it is.
            few: bring bytes to [0, 1] now, which saves an operation per glimpse; of many pictures, only what is looked at is
                worth converting. A free retina always does.

        Returns:
            The pictures, ready to be looked at. They share no memory with `images`.
        """
        images = images if images.dim() == 4 else images[:, None]
        images = images.contiguous()  # padding keeps the order in memory, and crops are cut from there
        whole = images.dtype == torch.uint8
        sums = None
        if self.scales > 1 and not self.free:
            fits = 255 * images.shape[-2] * images.shape[-1] < 2**31
            kind = (torch.int32 if fits else torch.int64) if whole else torch.float64
            sums = F.pad(images.cumsum(-1, dtype=kind).cumsum_(-2), (1, 0, 1, 0))
        if whole and (few or self.free):
            images = images / 255
        border = self.border
        pixels = F.pad(images if images.dtype == torch.uint8 else images.float(), (border, border + 1, border, border + 1))
        return Prepared(pixels, sums)

    def look(
        self, pictures: Prepared, locations: Tensor, rows: Tensor, zoom: Tensor | None = None, rotation: Tensor | None = None
    ) -> Tensor:
        """Take one glimpse per row at prepared pictures.

        Args:
            pictures: what `prepare` returned; of a free retina within [0, 1], which what it sees is clipped to, because four
                weights may add up to a hair more than 1.
            locations: (n, 2) float32, (x, y) within [-1, 1]; nothing checks that here.
            rows: (n,) int64, which picture each row looks at.
            zoom: (n, 1) float32 within [-1, 1], for a free retina: at -1 patches are half as wide, at 1 twice; None is 0.
            rotation: (n, 2) float32, for a free retina: (cos, sin) of the angle that it is turned by; None is not turned.

        Returns:
            (n, scales · C, size, size) float32: the scales, finest first, each with all of its channels.
        """
        if self.free:
            at_once = max(1, SAMPLES_AT_ONCE // (2 * self.size * 2 ** (self.scales - 1)) ** 2)
            pieces = [slice(first, first + at_once) for first in range(0, len(rows), at_once)]
            return torch.cat(
                [
                    self._look_freely(
                        pictures,
                        locations[piece],
                        rows[piece],
                        None if zoom is None else zoom[piece],
                        None if rotation is None else rotation[piece],
                    )
                    for piece in pieces
                ]
            )
        patches = [self._fine(pictures, locations, rows)]
        if pictures.sums is not None:
            patches += [self._coarse(pictures.sums, scale, locations, rows) for scale in range(1, self.scales)]
        return patches[0] if len(patches) == 1 else torch.cat(patches, dim=1)

    def fine_places(self, pictures: Prepared) -> tuple[Tensor, Tensor]:
        """Say how to find the finest patches in `pictures.pixels`.

        Returns:
            edge, half_size: both (2,) float32; a patch at a location begins at edge + location · half_size, (x, y), which is
            never negative, rounded down.
        """
        height, width = pictures.pixels.shape[-2:]
        border = 2 * self.border + 1
        return _places(self, 0, height - border, width - border, pictures.pixels.device)

    def _look_freely(
        self, pictures: Prepared, locations: Tensor, rows: Tensor, zoom: Tensor | None, rotation: Tensor | None
    ) -> Tensor:
        border = self.border
        images = pictures.pixels[..., border : -border - 1, border : -border - 1][rows]
        _, half_size = _places(self, 0, *images.shape[-2:], images.device)
        right = torch.eye(1, 2, device=images.device) if rotation is None else rotation  # (n, 2), the sensor's x-axis
        down = torch.stack((-right[:, 1], right[:, 0]), dim=1)
        patches = []
        for scale in range(self.scales):
            along = _cells(self, scale, images.device)[None]  # (1, m), in pixels of the picture from the location
            if zoom is not None:
                width = zoom.exp2()  # (n, 1)
                apart = (width - 1).clamp(min=0) / 2
                along = torch.stack((along * width - apart, along * width + apart), dim=-1).flatten(1)  # (n, 2m)
            columns = locations[:, None] + along[..., None] * (right / half_size)[:, None]  # (n, m, 2)
            lines = along[..., None] * (down / half_size)[:, None]
            samples = F.grid_sample(images, columns[:, None] + lines[:, :, None], align_corners=False)  # (n, C, m, m)
            patches.append(F.avg_pool2d(samples, samples.shape[-1] // self.size))
        return torch.cat(patches, dim=1).clamp_(0.0, 1.0)

    def _fine(self, pictures: Prepared, locations: Tensor, rows: Tensor) -> Tensor:
        """Crop the finest scale, (n, C, size, size)."""
        edge, half_size = self.fine_places(pictures)
        edges = torch.addcmul(edge, locations, half_size)
        start = edges.long()  # rounds down, since nothing is negative
        _, channels, height, width = pictures.pixels.shape
        x, y = start.unbind(-1)
        first = (rows * (channels * height) + y) * width + x  # (n,), each crop's first pixel among all
        lines = first[:, None] + _lines(self._side, channels, height, width, rows.device)  # (n, C · side)
        # A view in which row i is the line that starts at the i-th of all pixels: copying whole lines makes a patch.
        every_line = pictures.pixels.as_strided((pictures.pixels.numel() - self._side + 1, self._side), (1, 1))
        crop = every_line.index_select(0, lines.flatten())
        patch = _as_float(crop.view(len(rows), channels, self._side, self._side))
        if self.interpolation == "nearest":
            return patch
        x_fraction, y_fraction = (edges - start)[..., None, None, None].unbind(-4)
        patch = torch.lerp(patch[..., :-1], patch[..., 1:], x_fraction)
        return torch.lerp(patch[..., :-1, :], patch[..., 1:, :], y_fraction)

    def _coarse(self, sums: Tensor, scale: int, locations: Tensor, rows: Tensor) -> Tensor:
        """Average over the blocks of a coarser scale, (n, C, size, size)."""
        height, width = sums.shape[-2] - 1, sums.shape[-1] - 1
        edge, half_size = _places(self, scale, height, width, locations.device)
        edges = torch.addcmul(edge, locations, half_size)
        start = edges.floor().long()
        x, y = start.unbind(-1)
        if self.interpolation == "nearest":
            return self._block_means(sums, scale, rows, x, y)
        x_fraction, y_fraction = (edges - start)[..., None, None, None].unbind(-4)
        upper = torch.lerp(self._block_means(sums, scale, rows, x, y), self._block_means(sums, scale, rows, x + 1, y), x_fraction)
        lower = torch.lerp(
            self._block_means(sums, scale, rows, x, y + 1), self._block_means(sums, scale, rows, x + 1, y + 1), x_fraction
        )
        return torch.lerp(upper, lower, y_fraction)

    def _block_means(self, sums: Tensor, scale: int, rows: Tensor, x: Tensor, y: Tensor) -> Tensor:
        """Average over size × size blocks of 2^scale × 2^scale pixels from (x, y) on, zeros outside the picture."""
        _, channels, height, width = sums.shape
        offsets, planes = _offsets(self, scale, channels, sums.device)
        # Outside the picture the sums go on as they are at its edges, which is what zeros would do.
        across = (x[:, None] + offsets).clamp_(0, width - 1)  # (n, size + 1)
        down = (y[:, None] + offsets).clamp_(0, height - 1)
        lines = (rows[:, None] * channels + planes)[..., None] * height + down[:, None]  # (n, C, size + 1)
        corners = sums.take((lines * width)[..., None] + across[:, None, None])  # (n, C, size + 1, size + 1)
        blocks = corners[..., 1:, :] - corners[..., :-1, :]
        blocks = blocks[..., 1:] - blocks[..., :-1]
        means: Tensor = blocks / (4.0**scale * (1 if sums.is_floating_point() else 255))
        return means.float()


@cache
def _places(retina: Retina, scale: int, height: int, width: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Make, once, what turns locations into edges of patches: on a GPU every new tensor of host numbers is a transfer.

    Returns:
        edge: (2,) float32, (x, y) of the first pixel edge of a patch at the picture's centre, to be rounded down; the finest
            scale's counts from the border's edge, the others' from the picture's.
        half_size: (2,) float32, half the picture's width and height.
    """
    half_size = torch.tensor([width, height], device=device) / 2
    rounding = 0.5 if retina.interpolation == "nearest" else 0.0
    origin = retina.border if scale == 0 else 0
    return half_size + (origin - retina.size * 2**scale / 2 + rounding), half_size


@cache
def _lines(side: int, channels: int, height: int, width: int, device: torch.device) -> Tensor:
    """Make, once, the distances in pixels of a crop's lines from its first pixel, (C · side,)."""
    channel, line = torch.arange(channels, device=device), torch.arange(side, device=device)
    return ((channel[:, None] * height + line) * width).flatten()


@cache
def _offsets(retina: Retina, scale: int, channels: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Make, once, where the blocks of a scale begin and end, (size + 1,), and the numbers of the channels, (C,)."""
    return torch.arange(retina.size + 1, device=device) * 2**scale, torch.arange(channels, device=device)


@cache
def _cells(retina: Retina, scale: int, device: torch.device) -> Tensor:
    """Make, once, the centres of the cells along a patch's side, (size · 2^scale,), in cells from its middle."""
    count = retina.size * 2**scale
    cells: Tensor = torch.arange(count, device=device) + 0.5 - count / 2
    return cells


def _as_float(pixels: Tensor) -> Tensor:
    """Bring bytes to [0, 1]; leave floating point as it is."""
    return pixels / 255 if pixels.dtype == torch.uint8 else pixels


def glimpse(
    images: Tensor,
    locations: Tensor,
    size: int,
    scales: int = 1,
    interpolation: str = "nearest",
    zoom: Tensor | None = None,
    rotation: Tensor | None = None,
) -> Tensor:
    """Take one glimpse of each picture: the retina as one pure function.

    Args:
        images: (B, H, W) or (B, C, H, W), uint8 or floating point, which must be within [0, 1] for a zoomed or turned glimpse.
        locations: (B, 2), (x, y) in [-1, 1]; beyond that they are clipped.
        size: side of a patch in pixels.
        scales: number of patches, each twice as wide as the one before.
        interpolation: "nearest" or "bilinear"; "bilinear" for a zoomed or turned glimpse.
        zoom: (B, 1), in [-1, 1], beyond which it is clipped; None is 0.
        rotation: (B, 1), in half turns; None is not turned.

    Returns:
        (B, scales · C, size, size) float32.

    Raises:
        ValueError: if there is not one of each per picture, or one is not finite.
    """
    places = {"locations": (locations, 2), "zooms": (zoom, 1), "rotations": (rotation, 1)}
    for name, (values, width) in places.items():
        if values is None:
            continue
        if values.shape != (len(images), width):
            raise ValueError(f"{name} must be of shape {(len(images), width)}, one per picture, got {tuple(values.shape)}")
        if not values.isfinite().all():
            raise ValueError(f"{name} must be finite numbers")
    retina = Retina(size, scales, interpolation, free=zoom is not None or rotation is not None)
    rows = torch.arange(len(images), device=locations.device)
    return retina.look(
        retina.prepare(images),
        locations.clamp(-1, 1).float(),
        rows,
        None if zoom is None else zoom.clamp(-1, 1).float(),
        None if rotation is None else direction(rotation.float()),
    )


def direction(rotation: Tensor) -> Tensor:
    """Turn rotations (n, 1), in half turns, into (cos, sin) of their angles, (n, 2); whole turns count for nothing."""
    angle = rotation.fmod(2.0) * math.pi
    return torch.cat((angle.cos(), angle.sin()), dim=1)

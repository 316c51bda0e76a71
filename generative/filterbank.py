"""DRAW's attention window: a grid of N × N Gaussian filters laid over a picture, to read from it or to write to it.

Gregor, Danihelka, Graves, Rezende, Wierstra 2015 (arXiv 1502.04623), section 3.2, equations 19 to 29. Pixels and filters both
count from 1. Everything is differentiable, in the picture as in the window's place, stride and width, and is computed in single
precision whatever the rest is computed in.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

NUMBERS = 5
"""How many numbers of a network make a window: g̃_X, g̃_Y, log σ², log δ̃, log γ."""
EXTREME = 20.0
"""Bound of |log σ²| and |log δ̃|: beyond it what filters are made of leaves the range of single precision."""


class Window(NamedTuple):
    """Where and how a batch of B windows look.

    Attributes:
        x: (B,), g_X, the grid's centre in pixels from the left, the first being 1.
        y: (B,), g_Y, the same from the top.
        stride: (B,), δ > 0, pixels between two filters.
        deviation: (B,), σ > 0, width of a filter in pixels.
        intensity: (B,), γ > 0, factor of what is read; what is written is divided by it.
    """

    x: Tensor
    y: Tensor
    stride: Tensor
    deviation: Tensor
    intensity: Tensor


def check_window(size: int, height: int, width: int) -> None:
    """See that a window of size × size filters can be laid over a picture.

    Raises:
        ValueError: if it has a single filter, whose stride is not defined (δ is divided by N - 1), or more than the picture pixels.
    """
    if not 2 <= size <= min(height, width):
        raise ValueError(
            f"a window of {size}×{size} filters cannot be laid over a picture of {height}×{width}: N must be within "
            f"2 … {min(height, width)}"
        )


def even_numbers(size: int, height: int, width: int) -> list[float]:
    """Give the numbers of a window whose filters share the picture evenly: each in the middle of its part, σ half of δ.

    Networks should begin with it: zeros would lay the outermost filters onto the edges, a pixel wide, where a window of 2 × 2 sees
    the four corners and learns nothing from them.
    """
    longer = max(height, width)
    stride = longer / size
    return [0.0, 0.0, 2 * math.log(stride / 2), math.log(stride * (size - 1) / (longer - 1)), 0.0]


def make_window(numbers: Tensor, size: int, height: int, width: int) -> Window:
    """Make windows of a network's numbers (equations 21 to 24).

    Args:
        numbers: (B, 5), (g̃_X, g̃_Y, log σ², log δ̃, log γ) = W h. Zeros lie over the whole picture, with σ of a pixel. log σ² and
            log δ̃ beyond ±20 count as that, so that filters stay filters; γ is left alone: weights that break down are to be found.
        size: N, filters along each side.
        height: B in the paper, of the picture in pixels.
        width: A in the paper.
    """
    x, y, log_variance, log_stride, log_intensity = numbers.float().unbind(-1)
    log_variance, log_stride = log_variance.clamp(-EXTREME, EXTREME), log_stride.clamp(-EXTREME, EXTREME)
    return Window(
        x=(width + 1) / 2 * (x + 1),
        y=(height + 1) / 2 * (y + 1),
        stride=(max(width, height) - 1) / (size - 1) * log_stride.exp(),
        deviation=(0.5 * log_variance).exp(),
        intensity=log_intensity.exp(),
    )


def centres(centre: Tensor, stride: Tensor, size: int) -> Tensor:
    """Place the filters of one side (equations 19 and 20): μ^i = g + (i - N/2 - 1/2) δ for i = 1 … N.

    Args:
        centre: (B,), g in pixels.
        stride: (B,), δ.
        size: N.

    Returns:
        (B, N), in pixels; they may lie outside the picture.
    """
    steps = torch.arange(1, size + 1, device=centre.device, dtype=centre.dtype) - size / 2 - 0.5
    return centre[:, None] + steps * stride[:, None]


def filterbank(centre: Tensor, stride: Tensor, deviation: Tensor, size: int, length: int) -> Tensor:
    """Make the filters of one side (equations 25 and 26): F[i, a] = exp(-(a - μ^i)² / 2σ²) / Z_i for a = 1 … length.

    Args:
        centre: (B,), g in pixels.
        stride: (B,), δ.
        deviation: (B,), σ.
        size: N.
        length: pixels along this side of the picture.

    Returns:
        (B, N, length). Each row sums to 1, also of a filter far outside the picture, which sees the nearest pixel: the division
        by Z_i is a softmax.
    """
    pixels = torch.arange(1, length + 1, device=centre.device, dtype=centre.dtype)
    distance = pixels - centres(centre, stride, size)[..., None]  # (B, N, length)
    return (distance.square() * (-0.5 / deviation.square())[:, None, None]).softmax(-1)


def filterbanks(window: Window, size: int, height: int, width: int) -> tuple[Tensor, Tensor]:
    """Make both sides' filters.

    Returns:
        F_Y, (B, N, height), and F_X, (B, N, width).
    """
    rows = filterbank(window.y, window.stride, window.deviation, size, height)
    columns = filterbank(window.x, window.stride, window.deviation, size, width)
    return rows, columns


def product(left: Tensor, right: Tensor) -> Tensor:
    """Multiply batches of matrices, (…, I, J) and (…, J, K), of a few rows or columns.

    A compiler fuses sums of products with what is before and after them, where each product of a library is a kernel of its own.
    """
    if torch.compiler.is_compiling():
        return (left[..., :, :, None] * right[..., None, :, :]).sum(-2)
    return left @ right


def look(pictures: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """Look at pictures through filters: F_Y x F_Xᵀ, (B, C, N, N), of (B, C, H, W) through (B, N, H) and (B, N, W)."""
    return product(rows[:, None], product(pictures.float(), columns[:, None].mT))


def read(pictures: Tensor, window: Window, size: int) -> Tensor:
    """Read what windows see of pictures (equation 27): γ F_Y x F_Xᵀ.

    Args:
        pictures: (B, C, H, W).
        window: B windows.
        size: N.

    Returns:
        (B, C, N, N) float32.
    """
    with torch.autocast(pictures.device.type, enabled=False):
        seen = look(pictures, *filterbanks(window, size, *pictures.shape[-2:]))
        return seen * window.intensity[:, None, None, None]


def read_missing(pictures: Tensor, expected: Tensor, window: Window, size: int) -> Tensor:
    """Read pictures and what an expectation lacks of them (equation 27): γ [F_Y x F_Xᵀ, F_Y x̂ F_Xᵀ] of x̂ = x - expected.

    Looking is linear: the second is the first less what is seen of the expectation; x, which needs no gradient, is looked at once.

    Args:
        pictures: (B, C, H, W), x.
        expected: likewise.
        window: B windows.
        size: N.

    Returns:
        (B, 2 C, N, N) float32.
    """
    with torch.autocast(pictures.device.type, enabled=False):
        rows, columns = filterbanks(window, size, *pictures.shape[-2:])
        seen = look(pictures, rows, columns)
        return torch.cat((seen, seen - look(expected, rows, columns)), 1) * window.intensity[:, None, None, None]


def write(patches: Tensor, window: Window, height: int, width: int) -> Tensor:
    """Write patches through windows onto empty pictures (equation 29): F̂_Yᵀ w F̂_X / γ̂.

    Args:
        patches: (B, C, N, N), w.
        window: B windows.
        height: of the pictures.
        width: of the pictures.

    Returns:
        (B, C, height, width) float32.
    """
    with torch.autocast(patches.device.type, enabled=False):
        rows, columns = filterbanks(window, patches.shape[-1], height, width)
        return product(rows.mT[:, None], product(patches.float() / window.intensity[:, None, None, None], columns[:, None]))

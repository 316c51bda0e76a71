"""Pictures of one shape, a square or a circle, drawn by NumPy alone: what `attention_env/CircleSquare-v0` hides.

They are those of `CircleSquare-v0` in the package `ap_gym` 0.7.1 (Schneider, github.com/TimSchneider42/active-perception-gym;
drawn anew here), its 1 568 images in their order, brought to bytes: each shape once with its centre on each of the 28×28 pixels.

* The square covers the pixels at most 4 lines and 4 columns from its centre (9×9 of them), the circle those whose centres are
  at most 4 pixels away (49 of them). Both have brightness 1; what would lie beyond the picture is cut off.
* The background is a hint of where to look: its brightness is 1 - d / (28·√2) at d pixels from the shape's centre. That is 0.9 at
  the circle's edge, so a shape stands out by little more than a tenth, and 0.04 in one corner if the shape is in the other.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

SHAPES = ("square", "circle")
"""Names of the classes, by label."""
SIDE = 28
RADIUS = 4
POSITIONS = SIDE**2


def draw_shapes(positions: NDArray[np.int64]) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Draw both shapes at each of some positions.

    Args:
        positions: (count,) in [0, 784), the pixels to put the shapes' centres on, row by row from the top left.

    Returns:
        images: (2 · count, 1, 28, 28) in [0, 255]; for each position the square, then the circle.
        labels: (2 · count,), their places in `SHAPES`.
    """
    pixels = np.arange(SIDE)
    down = np.abs(positions[:, None] // SIDE - pixels)[:, :, None]  # (count, 28, 1), lines from the centre
    across = np.abs(positions[:, None] % SIDE - pixels)[:, None, :]  # (count, 1, 28), columns from it
    distance = np.sqrt(down**2 + across**2)  # (count, 28, 28)
    covered = np.stack((np.maximum(down, across) <= RADIUS, distance <= RADIUS), axis=1)
    hint = 1 - distance / (SIDE * np.sqrt(2))
    images = (np.where(covered, 1, hint[:, None]) * 255).round().astype(np.uint8)
    return images.reshape(-1, 1, SIDE, SIDE), np.tile(np.arange(len(SHAPES)), len(positions))

"""Pictures as an encoder takes them: red, green and blue in 0…255, upright, square."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from attention_core.picture_files import decode_picture_file, read_picture_file

SMALLEST_SIDE = 0.7
"""Of a random view, as a share of the picture's."""


class View(NamedTuple):
    """What is seen of a picture: a part of the same aspect ratio, which is brought to full size.

    Attributes:
        left: where the part begins, as a share of the picture's width.
        top: likewise of its height.
        side: the part's width and height, as a share of the picture's.
        mirrored: whether left and right are exchanged.
    """

    left: float = 0.0
    top: float = 0.0
    side: float = 1.0
    mirrored: bool = False

    def of(self, picture: Image.Image, size: int) -> NDArray[np.uint8]:
        """Show a picture's part, (3, size, size)."""
        left, top = self.left * picture.width, self.top * picture.height
        part = (left, top, left + self.side * picture.width, top + self.side * picture.height)
        pixels = np.asarray(picture.resize((size, size), Image.Resampling.BICUBIC, box=part)).transpose(2, 0, 1)
        return pixels[..., ::-1].copy() if self.mirrored else pixels.copy()


WHOLE = View()


def random_view(rng: np.random.Generator) -> View:
    """Draw a part of `SMALLEST_SIDE` to 1 of each side, anywhere, mirrored as often as not."""
    side = rng.uniform(SMALLEST_SIDE, 1)
    left, top = rng.uniform(0, 1 - side, 2)
    return View(left, top, side, mirrored=rng.random() < 0.5)


def read_picture(path: str | Path, size: int) -> NDArray[np.uint8]:
    """Read a picture file; see `attention_core.picture_files.read_picture_file`.

    Args:
        path: a file of any format that Pillow reads.
        size: pixels along each side of the result; the aspect ratio is not kept.

    Returns:
        (3, size, size): red, green, blue.

    Raises:
        attention_core.picture_files.PictureError: naming the file and what is wrong with it.
    """
    return WHOLE.of(read_picture_file(path), size)


def decode_picture(encoded: bytes, size: int, name: str, view: View = WHOLE) -> NDArray[np.uint8]:
    """Make a picture of a file's bytes, or of a part of it; as `read_picture`, with the name by which a `PictureError` calls it."""
    return view.of(decode_picture_file(encoded, name), size)

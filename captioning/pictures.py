"""Pictures as an encoder takes them: red, green and blue in 0…255, upright, square."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from attention_core.picture_files import decode_picture_file, read_picture_file


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
    return _square(read_picture_file(path), size)


def decode_picture(encoded: bytes, size: int, name: str) -> NDArray[np.uint8]:
    """Make a picture of a file's bytes; as `read_picture`, with the name by which a `PictureError` calls it."""
    return _square(decode_picture_file(encoded, name), size)


def _square(picture: Image.Image, size: int) -> NDArray[np.uint8]:
    resized = picture.resize((size, size), Image.Resampling.BICUBIC)
    return np.asarray(resized).transpose(2, 0, 1).copy()

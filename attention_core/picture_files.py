"""Picture files of all kinds, brought to one: red, green and blue in 0…255, upright, opaque."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

WHITE = (255, 255, 255, 255)
# How Pillow says that it cannot make a picture of the bytes: whichever of its readers stumbles decides on the kind of error.
PICTURE_ERRORS = (OSError, SyntaxError, ValueError, TypeError, IndexError, EOFError, OverflowError, Image.DecompressionBombError)


class PictureError(ValueError):
    """A file is not a picture, or a damaged one, or of a kind whose colours cannot be known."""


def read_picture_file(path: str | Path) -> Image.Image:
    """Read a picture file.

    Args:
        path: a file of any format that Pillow reads.

    Returns:
        Red, green and blue. What is transparent is laid on white; 16 bits become 8; a picture that the camera has marked as turned
        is turned back; of several frames it is the first.

    Raises:
        PictureError: naming the file and what is wrong with it.
    """
    try:
        encoded = Path(path).read_bytes()
    except OSError as error:
        raise PictureError(f"{path} cannot be read: {error.strerror}") from error
    return decode_picture_file(encoded, str(path))


def decode_picture_file(encoded: bytes, name: str) -> Image.Image:
    """Make a picture of a file's bytes; as `read_picture_file`, with the name by which a `PictureError` calls it."""
    try:
        with Image.open(io.BytesIO(encoded)) as opened:
            return _opaque(_eight_bits(ImageOps.exif_transpose(opened), name))
    except PictureError:
        raise
    except UnidentifiedImageError as error:
        raise PictureError(f"{name} is not a picture: Pillow knows no format that begins like it") from error
    except PICTURE_ERRORS as error:
        raise PictureError(f"{name} is not a whole picture, it may be cut or damaged: {error}") from error


def _eight_bits(picture: Image.Image, name: str) -> Image.Image:
    """Bring grey of 16 bits, for which Pillow's own conversion clips at 255, to 8."""
    if picture.mode == "F":
        raise PictureError(f"{name} has floating-point pixels, which do not say how bright white is: save it with 8 or 16 bits")
    if not picture.mode.startswith("I"):
        return picture
    grey = np.asarray(picture).astype(np.int64)
    if grey.min() < 0 or grey.max() > 0xFFFF:
        raise PictureError(f"{name} has grey from {grey.min()} to {grey.max()} where 0 to 65535 is right: save it with 16 bits")
    return Image.fromarray((grey >> 8).astype(np.uint8))


def _opaque(picture: Image.Image) -> Image.Image:
    """Lay a picture on white, if anything of it is transparent."""
    if not picture.has_transparency_data:
        return picture.convert("RGB")
    picture = picture.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", picture.size, WHITE), picture).convert("RGB")

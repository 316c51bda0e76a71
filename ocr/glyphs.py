"""Letters of a font as pictures, drawn once each."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

# Height of a capital H, in pixels.
CAPITAL_HEIGHT = 28


class Glyph(NamedTuple):
    """A character as a picture.

    Attributes:
        ink: (height, width) uint8, 255 where the letter is; nothing around it. A character without ink is (0, 0).
        left: of the picture, in pixels from the pen's place.
        top: of the picture, in pixels from the base line, negative above it.
        advance: how far the pen moves on, in pixels.
    """

    ink: NDArray[np.uint8]
    left: int
    top: int
    advance: float


class Face:
    """A font file that is open at the size of `CAPITAL_HEIGHT`; it keeps the pictures of characters that were asked for.

    Attributes:
        stem: how thick its strokes are, about, in pixels.

    Args:
        path: the file.

    Raises:
        OSError: if it cannot be read.
    """

    def __init__(self, path: str) -> None:
        probe = ImageFont.truetype(path, 4 * CAPITAL_HEIGHT, layout_engine=ImageFont.Layout.BASIC)
        _, top, _, bottom = probe.getbbox("H", anchor="ls")
        size = round(4 * CAPITAL_HEIGHT * CAPITAL_HEIGHT / max(bottom - top, CAPITAL_HEIGHT))
        self._font = probe.font_variant(size=max(8, size))
        self._glyphs: dict[str, Glyph] = {}
        self.stem = self._measure_stem()
        self._missing = _ink(self._font, "\uffff")

    def _measure_stem(self) -> float:
        """Measure how thick strokes are, in pixels, by the ink of an H, which is two stems and a bar."""
        ink, _ = _ink(self._font, "H")
        return float(ink.sum(dtype=np.int64) / 255 / max(1, 2 * ink.shape[0] + ink.shape[1]))

    def glyph(self, character: str) -> Glyph:
        """Return a character's picture."""
        found = self._glyphs.get(character)
        if found is None:
            ink, (left, top) = _ink(self._font, character)
            if np.array_equal(ink, self._missing[0]):  # the box that stands for what a font lacks
                ink = ink[:0, :0]
            found = self._glyphs[character] = Glyph(ink, left, top, float(self._font.getlength(character)))
        return found


def draw_character(font: ImageFont.FreeTypeFont, character: str) -> tuple[Image.Image | None, tuple[int, int]]:
    """Draw a character.

    Args:
        font: at the size to draw it in.
        character: one of them.

    Returns:
        Its ink in grey, with nothing around it, None if it has none; and where its left upper corner is, in pixels to the right of
        the pen and below the base line.
    """
    # Wide enough for all letters; to ask the font for a letter's box would take as long as to draw it.
    left, above = round(font.size), round(2 * font.size)
    picture = Image.new("L", (5 * left, 2 * above))
    ImageDraw.Draw(picture).text((left, above), character, fill=255, font=font, anchor="ls")
    box = picture.getbbox()
    if box is None:
        return None, (0, 0)
    return picture.crop(box), (box[0] - left, box[1] - above)


def _ink(font: ImageFont.FreeTypeFont, character: str) -> tuple[NDArray[np.uint8], tuple[int, int]]:
    picture, place = draw_character(font, character)
    return (np.zeros((0, 0), np.uint8) if picture is None else np.array(picture)), place

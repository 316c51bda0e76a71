"""Sets a word in letters on a flat line: spacing, small capitals, letters that dance, and what stands beside, above and below."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from PIL import Image

from ocr.glyphs import CAPITAL_HEIGHT, Face, Glyph
from ocr.textures import between

# Faces of thinner strokes than these, in pixels, are made thicker.
THIN = 2.5
_NEIGHBOURS = "EAOTINSRHLDCUMFPGWYBVKaeotinsrhldcumfpgwybv"


class Line(NamedTuple):
    """Letters on a flat line.

    Attributes:
        ink: "L", 255 where there is ink; besides the text there may be other letters and rules.
        boxes: (letters of the text, 4) left, upper, right and lower edge of each one's ink, in pixels.
    """

    ink: Image.Image
    boxes: NDArray[np.float64]


def set_text(text: str, face: Face, generator: Generator) -> Line:
    """Set letters one beside the other, and now and then what stands next to the word.

    Args:
        text: what to write.
        face: what to write it in.
        generator: where the draws come from.

    Raises:
        ValueError: if the face has no ink for any of the characters.
    """
    spacing = _draw_spacing(generator)
    pieces, pen = _set_line(text, face, spacing, 0.0, 0.0)
    style = generator.random()
    if style < 0.08 and text.isupper():
        pieces, pen = _set_small_capitals(text, face, spacing, between(generator, 0.65, 0.85))
    elif style > 0.95:
        pieces = [(glyph, left, top + generator.normal(0, 2.0)) for glyph, left, top in pieces]
    count = len(pieces)
    if not count:
        raise ValueError(f"the face has no ink for {text!r}: choose a face that has these characters")
    around = generator.random()
    if around < 0.25:
        pieces = pieces + _beside(face, spacing, pen, generator)
    if 0.15 < around < 0.4:
        pieces = pieces + _above_or_below(face, spacing, pen, generator)
    boxes = np.array([(left, top, left + glyph.ink.shape[1], top + glyph.ink.shape[0]) for glyph, left, top in pieces])
    corner = np.floor(boxes[:, :2].min(axis=0)) - 4
    far = np.ceil(boxes[:, 2:].max(axis=0)) + 4
    canvas = np.zeros((int(far[1] - corner[1]), int(far[0] - corner[0])), np.uint8)
    for glyph, left, top in pieces:
        row, column = round(top - corner[1]), round(left - corner[0])
        part = canvas[row : row + glyph.ink.shape[0], column : column + glyph.ink.shape[1]]
        np.maximum(part, glyph.ink, out=part)
    if face.stem < THIN:
        _thicken(canvas)
    flat = (boxes[:count].reshape(-1, 2, 2) - corner).reshape(-1, 4)
    _draw_rules(canvas, flat, generator)
    return Line(Image.fromarray(canvas), flat)


_Piece = tuple[Glyph, float, float]


def _draw_spacing(generator: Generator) -> float:
    """Draw what is added between letters, in pixels: mostly little, now and then much."""
    kind = generator.random()
    if kind < 0.65:
        return generator.normal(0, 0.8)
    if kind < 0.93:
        return between(generator, 0, 6)
    return between(generator, 6, 20)


def _set_line(text: str, face: Face, spacing: float, pen: float, base: float) -> tuple[list[_Piece], float]:
    pieces = []
    for character in text:
        glyph = face.glyph(character)
        if glyph.ink.size:
            pieces.append((glyph, pen + glyph.left, base + glyph.top))
        pen += max(glyph.advance + spacing, 1)
    return pieces, pen


def _set_small_capitals(text: str, face: Face, spacing: float, size: float) -> tuple[list[_Piece], float]:
    """Set a line whose letters are smaller but for the first one."""
    pieces, pen = _set_line(text[0], face, spacing, 0.0, 0.0)
    for character in text[1:]:
        glyph = face.glyph(character)
        if glyph.ink.size:
            rows, columns = glyph.ink.shape
            shape = max(1, round(columns * size)), max(1, round(rows * size))
            small = np.asarray(Image.fromarray(glyph.ink).resize(shape, Image.Resampling.BILINEAR))
            pieces.append((glyph._replace(ink=small), pen + glyph.left * size, glyph.top * size))
        pen += max(glyph.advance * size + spacing, 1)
    return pieces, pen


def _thicken(canvas: NDArray[np.uint8]) -> None:
    """Make strokes a pixel wider and a pixel higher, for hairlines are not written on signs."""
    np.maximum(canvas[:, 1:], canvas[:, :-1].copy(), out=canvas[:, 1:])
    np.maximum(canvas[1:], canvas[:-1].copy(), out=canvas[1:])


def _beside(face: Face, spacing: float, pen: float, generator: Generator) -> list[_Piece]:
    gap = CAPITAL_HEIGHT * between(generator, 0.25, 0.6) + max(spacing, 0)
    before, after = _some_letters(1, generator), _some_letters(1, generator)
    set_before, end = _set_line(before, face, spacing, 0.0, 0.0)
    set_after, _ = _set_line(after, face, spacing, pen + gap, 0.0)
    return [(glyph, left - end - gap, top) for glyph, left, top in set_before] + set_after


def _above_or_below(face: Face, spacing: float, pen: float, generator: Generator) -> list[_Piece]:
    line = _some_letters(2 + int(pen / CAPITAL_HEIGHT), generator)
    distance = CAPITAL_HEIGHT * between(generator, 1.35, 1.8)
    start = -CAPITAL_HEIGHT * generator.random()
    pieces = []
    if generator.random() < 0.6:
        pieces += _set_line(line, face, spacing, start, distance)[0]
    if generator.random() < 0.6:
        pieces += _set_line(line[::-1], face, spacing, start, -distance)[0]
    return pieces


def _some_letters(count: int, generator: Generator) -> str:
    return "".join(_NEIGHBOURS[int(len(_NEIGHBOURS) * place)] for place in generator.random(count))


def _draw_rules(canvas: NDArray[np.uint8], boxes: NDArray[np.float64], generator: Generator) -> None:
    """Draw a line below or above the word now and then."""
    if generator.random() < 0.05:
        thickness = int(between(generator, 1, 5))
        gap = between(generator, 2, 7)
        row = int(boxes[:, 3].max() + gap) if generator.random() < 0.7 else int(boxes[:, 1].min() - gap - thickness)
        canvas[max(row, 0) : max(row + thickness, 0)] = 255

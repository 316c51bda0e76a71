"""Draws a word as it might stand in a photograph: letters, their geometry, paint, light and camera, one after the other."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from ocr.glyphs import CAPITAL_HEIGHT, Face
from ocr.lettering import Line, set_text
from ocr.textures import Grey, between, draw_edge, draw_surface, light, photograph, slope, smooth_noise

# Strips that a curved word is bent by.
STRIPS = 8
# A crop is at least so large before the camera sees it, in pixels.
LEAST_SIZE = 12


def render(text: str, face: Face, generator: Generator, height: int, width: int) -> NDArray[np.uint8]:
    """Draw a text's crop.

    Args:
        text: what to write, on one line; one character with ink at least.
        face: what to write it in.
        generator: where all draws come from.
        height: of the crop.
        width: of the crop.

    Returns:
        (height, width) grey values.

    Raises:
        ValueError: if the face has no ink for any of the characters.
    """
    # Clean pictures are clean in all ways, messy ones in many.
    mess = 2 * generator.random()
    ink = _place(set_text(text, face, generator), generator)
    picture = light(_paint(ink, mess, generator), mess, generator)
    return photograph(picture, CAPITAL_HEIGHT, mess, generator, height, width)


# Geometry ----------------------------------------------------------------------------------------------------------------


class _Map(NamedTuple):
    """Where the places of a flat line of text, around the word's centre, are seen: bent, leant, turned, and looked at askew."""

    matrix: NDArray[np.float64]  # (2, 2)
    tilt: NDArray[np.float64]  # (2,): how perspective grows along both axes
    bend: float  # of a parabola, in 1 / pixels
    wave: float  # height of a wave, in pixels
    frequency: float  # of the wave, in radians per pixel
    phase: float

    # What the line's own bends add to the height of a place along it.
    def curve(self, along: NDArray[np.float64]) -> NDArray[np.float64]:
        lift: NDArray[np.float64] = self.bend * along**2 + self.wave * np.sin(self.frequency * along + self.phase)
        return lift

    def forward(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        bent = points.copy()
        bent[..., 1] += self.curve(points[..., 0])
        turned = bent @ self.matrix.T
        seen: NDArray[np.float64] = turned / (1 + turned @ self.tilt)[..., None]
        return seen

    def backward(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        (a, b), (c, d) = self.matrix.tolist()
        inverse = np.array(((d, -b), (-c, a))) / (a * d - b * c)
        flat: NDArray[np.float64] = (points / (1 - points @ self.tilt)[..., None]) @ inverse.T
        flat[..., 1] -= self.curve(flat[..., 0])
        return flat


def _draw_map(size: NDArray[np.float64], generator: Generator) -> _Map:
    width, height = size
    kind = generator.random()
    angle = math.radians(
        generator.normal(0, 2.5) if kind < 0.75 else generator.normal(0, 7) if kind < 0.96 else between(generator, -25, 25)
    )
    shear = generator.normal(0, 0.08) if generator.random() < 0.7 else generator.normal(0, 0.25)
    stretch = math.exp(generator.normal(0, 0.22))
    cosine, sine = math.cos(angle), math.sin(angle)
    # Letters lean and are stretched before the line is turned.
    matrix = np.array(((cosine, -sine), (sine, cosine))) @ np.array(((stretch, shear), (0.0, 1.0)))
    tilt = np.zeros(2)
    if generator.random() < 0.5:
        tilt = generator.normal(0, 0.13, 2) / np.array((width * stretch / 2, height / 2))
        tilt[1] /= 3
        reach = np.abs(tilt) @ np.array((width * stretch, height))
        tilt *= min(1.0, 0.6 / max(reach, 1e-9))
    bend = wave = 0.0
    if generator.random() < 0.10:
        bend = generator.normal(0, 0.25) * height / (width / 2) ** 2 * min(1.0, width / (3 * height))
    elif generator.random() < 0.03:
        wave = height * between(generator, 0.04, 0.12)
    frequency = 2 * math.pi / width * between(generator, 0.6, 1.6)
    return _Map(matrix, tilt, bend, wave, frequency, between(generator, 0, 2 * math.pi))


def _place(line: Line, generator: Generator) -> Image.Image:
    """Map the flat ink to the crop, whose edges are drawn around the word as a person would, tightly or loosely."""
    boxes = line.boxes
    low, high = boxes[:, :2].min(axis=0), boxes[:, 2:].max(axis=0)
    centre = (low + high) / 2
    mapping = _draw_map(high - low, generator)
    corners = boxes[:, [[0, 1], [2, 1], [2, 3], [0, 3]]].reshape(-1, 2) - centre
    seen = mapping.forward(corners)
    left, top = seen.min(axis=0)
    right, bottom = seen.max(axis=0)
    margins = _draw_margins(generator) * (bottom - top)
    left, top, right, bottom = np.array((left, top, right, bottom)) + np.array((-1, -1, 1, 1)) * margins
    width, height = max(LEAST_SIZE, math.ceil(right - left)), max(LEAST_SIZE, math.ceil(bottom - top))
    strips = STRIPS if mapping.bend or mapping.wave else 1
    columns = np.arange(strips + 1) * width // strips
    grid = np.empty((2, strips + 1, 2))
    grid[..., 0] = left + columns * ((right - left) / width)
    grid[0, :, 1], grid[1, :, 1] = top, bottom
    source = mapping.backward(grid) + centre
    mesh = [
        (
            (int(columns[strip]), 0, int(columns[strip + 1]), height),
            # The order that Pillow wants: upper left, lower left, lower right, upper right.
            (*source[0, strip], *source[1, strip], *source[1, strip + 1], *source[0, strip + 1]),
        )
        for strip in range(strips)
    ]
    return line.ink.transform((width, height), Image.Transform.MESH, mesh, Image.Resampling.BILINEAR)


def _draw_margins(generator: Generator) -> NDArray[np.float64]:
    """Draw how far the crop's left, upper, right and lower edges are from the letters, as shares of the word's height."""
    kind = generator.random()
    if kind < 0.35:  # tight
        return generator.random(4) * 0.1 - 0.015
    if kind < 0.8:
        return between(generator, 0, 0.15) + generator.random(4) * 0.2
    if kind < 0.93:  # loose
        return generator.random(4) * 0.5
    return generator.normal(0.0, 0.05, 4)  # careless, which cuts into letters


# Paint -------------------------------------------------------------------------------------------------------------------


def _paint(ink: Image.Image, mess: float, generator: Generator) -> Grey:
    """Paint surface, shadow, outline and letters, (height, width) grey values, which may leave [0, 255] a little."""
    height, width = ink.height, ink.width
    behind, front = _draw_tones(generator)
    contrast = front - behind
    if generator.random() < 0.3:
        ink = _change_weight(ink, generator)
    letters = np.asarray(ink, np.float32) * np.float32(1 / 255)
    strength = abs(contrast) * between(generator, 0.05, 0.38)
    picture = behind + strength * draw_surface(height, width, mess, generator)
    kind = generator.random() / max(mess, 0.01)
    if kind < 0.1:
        picture = _blend(picture, _shift(letters, generator, blurred=True), _other_tone(behind, front, generator), 0.8)
    elif kind < 0.18:
        picture = _extrude(picture, letters, _other_tone(behind, front, generator), generator)
    elif kind < 0.25:
        wide = _swell(ink, between(generator, 1.0, 2.5), 0.12)
        picture = _blend(picture, wide, _other_tone(behind, front, generator), 1.0)
    elif kind < 0.27:  # carved or raised: lit from one side
        step = _shift(letters, generator, blurred=False)
        return picture + between(generator, 0.5, 1) * abs(contrast) * (step - letters) + 0.2 * contrast * letters
    elif kind < 0.29:  # hollow
        letters = np.clip(_swell(ink, between(generator, 1.0, 1.6), 0.1) - letters, 0, 1)
    return picture + letters * (_fill(front, contrast, height, width, generator) - picture)


def _draw_tones(generator: Generator) -> tuple[float, float]:
    """Draw the tones of surface and letters: which is lighter, how much, and how light they are together."""
    contrast = 35 + 210 * generator.beta(1.5, 1.5)
    dark = (255 - contrast) * generator.beta(1.5, 1.6)
    return (dark, dark + contrast) if generator.random() < 0.55 else (dark + contrast, dark)


def _other_tone(behind: float, front: float, generator: Generator) -> float:
    """Draw a tone for what lies between surface and letters: mostly farther from the letters' tone than from the surface's."""
    if generator.random() < 0.7:
        return 0.0 if front > behind else 255.0 if generator.random() < 0.6 else (behind + front) / 2
    return behind + (front - behind) * between(generator, -0.5, 0.6)


def _fill(front: float, contrast: float, height: int, width: int, generator: Generator) -> Grey | float:
    kind = generator.random()
    if kind < 0.7:
        return front
    if kind < 0.82:
        return front + contrast * between(generator, 0.1, 0.35) * slope(height, width, generator)
    if kind < 0.86:
        return front + contrast * between(generator, 0.1, 0.3) * draw_edge(height, width, generator)
    return front + contrast * between(generator, 0.05, 0.35) * smooth_noise(height, width, generator)


def _blend(picture: Grey, cover: Grey, tone: float, strength: float) -> Grey:
    return picture + (strength * cover) * (tone - picture)


def _change_weight(ink: Image.Image, generator: Generator) -> Image.Image:
    """Make letters bolder, or a little thinner."""
    bolder = generator.random() < 0.85
    swollen = _swell(ink, between(generator, 0.6, 1.6) if bolder else 0.6, 0.3 if bolder else 0.6)
    return Image.fromarray((255 * swollen).astype(np.uint8))


def _swell(ink: Image.Image, radius: float, threshold: float) -> Grey:
    """Blur and cut: what is darker than the threshold becomes ink. Low thresholds make letters wider, high ones thinner."""
    blurred = np.asarray(ink.filter(ImageFilter.GaussianBlur(radius)), np.float32)
    swollen: Grey = np.clip((blurred * (1 / 255) - threshold) * (2 * radius) + 0.5, 0, 1)
    return swollen


def _move(letters: Grey, right: int, down: int) -> Grey:
    moved = np.zeros_like(letters)
    height, width = letters.shape
    moved[max(down, 0) : height + min(down, 0), max(right, 0) : width + min(right, 0)] = letters[
        max(-down, 0) : height + min(-down, 0), max(-right, 0) : width + min(-right, 0)
    ]
    return moved


def _shift(letters: Grey, generator: Generator, *, blurred: bool) -> Grey:
    """Move ink by a few pixels, as a shadow's."""
    right, down = int(7 * generator.random()) - 3, int(7 * generator.random()) - 3
    if not right and not down:
        right = down = 2
    moved = _move(letters, right, down)
    if blurred and generator.random() < 0.5:
        image = Image.fromarray((255 * moved).astype(np.uint8)).filter(ImageFilter.GaussianBlur(between(generator, 0.7, 2.5)))
        moved = np.asarray(image, np.float32) * np.float32(1 / 255)
    return moved


def _extrude(picture: Grey, letters: Grey, tone: float, generator: Generator) -> Grey:
    """Give letters a depth: the trace of their ink along a direction."""
    depth = int(between(generator, 2, 6))
    right, down = ((1, 1), (-1, 1), (1, -1), (0, 1), (-1, -1))[int(5 * generator.random())]
    trace = letters
    for _ in range(depth):
        trace = np.maximum(letters, _move(trace, right, down))
    return _blend(picture, trace, tone, 1.0)

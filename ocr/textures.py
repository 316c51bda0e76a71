"""What stands behind words, and what cameras and files do to pictures of them. Grey values are float32 from 0, black, to 255."""

from __future__ import annotations

import io
import math

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from PIL import Image, ImageFilter

Grey = NDArray[np.float32]

# Height of the smallest capitals that a person reads with ease, in pixels.
LEAST_LETTER = 9.0

_BICUBIC = Image.Resampling.BICUBIC
_SHRINKING = (Image.Resampling.BOX, Image.Resampling.BILINEAR, Image.Resampling.BICUBIC, Image.Resampling.HAMMING)
_GROWING = (Image.Resampling.BILINEAR, Image.Resampling.BICUBIC, Image.Resampling.BICUBIC, Image.Resampling.LANCZOS)


def between(generator: Generator, low: float, high: float) -> float:
    """Draw a number evenly from an interval."""
    return low + (high - low) * generator.random()


# Backgrounds -------------------------------------------------------------------------------------------------------------


def draw_surface(height: int, width: int, mess: float, generator: Generator) -> Grey:
    """Draw a surface that words stand on: plain, lit from a side, rough, of two tones, of stripes or bricks, or like a photograph.

    Args:
        height: in pixels.
        width: in pixels.
        mess: how much is likely to be on it, from 0, plain, to 2.
        generator: where the draws come from.

    Returns:
        (height, width), deviations from the surface's tone, about within [-1, 1].
    """
    if generator.random() > 0.65 * mess:
        return np.zeros((height, width), np.float32)
    kind = generator.random()
    if kind < 0.2:
        return slope(height, width, generator)
    if kind < 0.5:
        return smooth_noise(height, width, generator) * between(generator, 0.2, 1)
    if kind < 0.72:
        return draw_edge(height, width, generator)
    if kind < 0.8:
        return _stripes(height, width, generator) * between(generator, 0.2, 1)
    surface = smooth_noise(height, width, generator)
    for _ in range(int(1 + 3 * generator.random())):
        surface = surface + draw_edge(height, width, generator)
    return surface * 0.6


def slope(height: int, width: int, generator: Generator) -> Grey:
    """Draw a gradient in a random direction, from -1 to 1 across the picture, (height, width)."""
    angle = between(generator, 0, 2 * math.pi)
    across = (np.arange(width, dtype=np.float32) - (width - 1) / 2) * (2 * math.cos(angle) / width)
    down = (np.arange(height, dtype=np.float32) - (height - 1) / 2) * (2 * math.sin(angle) / height)
    return across + down[:, None]


def smooth_noise(height: int, width: int, generator: Generator) -> Grey:
    """Draw noise of some coarseness with half as strong noise twice as fine on it, about within [-1, 1], (height, width)."""
    grain = 5 * 8 ** generator.random()
    noise = _cloud(height, width, grain, generator)
    if generator.random() < 0.6:
        noise += 0.4 * _cloud(height, width, grain / 3, generator)
    return noise


def _cloud(height: int, width: int, grain: float, generator: Generator) -> Grey:
    # Wood and brushed metal have grains longer than they are high.
    long = grain * (between(generator, 2, 8) if generator.random() < 0.2 else 1)
    coarse = generator.random((2 + int(height / grain), 2 + int(width / long)), np.float32)
    return np.asarray(Image.fromarray(2 * coarse - 1).resize((width, height), _BICUBIC)).copy()


def draw_edge(height: int, width: int, generator: Generator) -> Grey:
    """Divide the picture by a line, sharp or blurred: the edge of a sign, a wall, a roof."""
    angle = int(4 * generator.random()) * math.pi / 2 + generator.normal(0, 0.12)
    if generator.random() < 0.2:
        angle = between(generator, 0, 2 * math.pi)
    across = math.cos(angle) * (np.arange(width, dtype=np.float32) - width / 2)
    down = math.sin(angle) * (np.arange(height, dtype=np.float32) - height / 2)
    reach = (abs(math.cos(angle)) * width + abs(math.sin(angle)) * height) / 2
    distance = across + down[:, None] - reach * between(generator, 0.3, 1)
    softness = between(generator, 0.5, 3) * (1 if generator.random() < 0.5 else -1)
    return np.clip(distance / softness, -1, 1)


def _stripes(height: int, width: int, generator: Generator) -> Grey:
    """Lay stripes, or bricks or tiles: two of them."""
    period = between(generator, 4, 24)
    down = np.arange(height, dtype=np.float32)
    across = np.arange(width, dtype=np.float32)
    lean = generator.normal(0, 0.15)
    lines = _ridges(down[:, None] + lean * across, period, generator)
    if generator.random() < 0.35:
        return lines
    if generator.random() < 0.5:
        return np.maximum(lines, _ridges(across - lean * down[:, None], period * between(generator, 1, 3), generator))
    return _ridges(across - lean * down[:, None], period, generator)


def _ridges(places: Grey, period: float, generator: Generator) -> Grey:
    waves = np.sin((2 * math.pi / period) * places + between(generator, 0, 2 * math.pi))
    lines: Grey = np.clip(waves * between(generator, 1, 5) - between(generator, 0, 3), -1, 1)
    return lines


# Light -------------------------------------------------------------------------------------------------------------------


def light(picture: Grey, mess: float, generator: Generator) -> Grey:
    """Light a picture unevenly, the more likely the more mess, now and then with a reflection; (height, width) as given."""
    height, width = picture.shape
    kind = generator.random() / max(mess, 0.01)
    if kind < 0.3:
        picture = picture * (1 + between(generator, 0.05, 0.35) * slope(height, width, generator))
    elif kind < 0.4:  # shadows of leaves and passers-by
        picture = picture * (1 + between(generator, 0.1, 0.35) * np.clip(2 * _cloud(height, width, 30, generator), -1, 1))
    if generator.random() < 0.05 * mess:
        down = (np.arange(height, dtype=np.float32) - height * generator.random()) / (height * between(generator, 0.2, 0.7))
        across = (np.arange(width, dtype=np.float32) - width * generator.random()) / (height * between(generator, 0.3, 1.5))
        glare = np.exp(-(down[:, None] ** 2 + across**2))
        picture = picture + between(generator, 20, 100) * glare
    return _expose(picture)


def _expose(picture: Grey) -> Grey:
    """Bring tones into [0, 255], a little of them cut off at either end, as cameras do, so that letters stay."""
    darkest, lightest = float(picture.min()), float(picture.max())
    low, high = max(darkest, -12.0), min(lightest, 267.0)
    if darkest < low or lightest > high:
        picture = low + (picture - darkest) * ((high - low) / (lightest - darkest))
    return np.clip(picture, 0, 255)


# Camera ------------------------------------------------------------------------------------------------------------------


def photograph(picture: Grey, letter: float, mess: float, generator: Generator, height: int, width: int) -> NDArray[np.uint8]:
    """Take a picture as a camera does: blur, coarse pixels, noise, sharpening, JPEG; then squeeze it as a reader does.

    Args:
        picture: (rows, columns), at least 8 of each.
        letter: height of its capitals, in pixels; `LEAST_LETTER` are left to it at least.
        mess: how much the camera is likely to do, from 0, little, to 2.
        generator: where the draws come from.
        height: of the result.
        width: of the result.

    Returns:
        (height, width) grey values.
    """
    rows, columns = picture.shape
    contrast = float(picture[::2, ::3].std())
    image = Image.fromarray(picture.astype(np.uint8))
    kind = generator.random() / max(mess, 0.01)
    if kind < 0.33:
        image = image.filter(ImageFilter.GaussianBlur(0.4 + 1.8 * generator.random() ** 2))
    elif kind < 0.38:
        image = _move(image, generator)
    # Many pictures keep their size, as those of good cameras do.
    if generator.random() < 0.35 + 0.2 * mess:
        scale = LEAST_LETTER / letter * (letter / LEAST_LETTER) ** generator.random()
        size = (max(6, round(columns * scale)), max(6, round(rows * scale)))
        image = image.resize(size, _SHRINKING[int(4 * generator.random())])
    if generator.random() < 0.4 * mess:
        image = _add_noise(image, 1 + 0.25 * contrast * generator.random() ** 3, generator)
    if generator.random() < 0.25:
        radius, percent = between(generator, 0.6, 2.5), int(between(generator, 50, 250))
        image = image.filter(ImageFilter.UnsharpMask(radius, percent, 0))
    if generator.random() < 0.4:
        # Faint letters, and those of few pixels, do not outlive the strongest compression.
        image = _compress(image, int(between(generator, 50 if contrast < 25 or min(image.size) < 16 else 15, 90)))
    return np.asarray(image.resize((width, height), _GROWING[int(4 * generator.random())]))


def _move(image: Image.Image, generator: Generator) -> Image.Image:
    """Blur along a line: the camera moved."""
    length = 3 if generator.random() < 0.5 else 5
    right, down = ((1, 0), (0, 1), (1, 1), (1, -1))[int(4 * generator.random())]
    kernel = np.zeros((length, length))
    for step in range(-(length // 2), length // 2 + 1):
        kernel[length // 2 + step * down, length // 2 + step * right] = 1
    return image.filter(ImageFilter.Kernel((length, length), kernel.ravel().tolist()))


def _add_noise(image: Image.Image, deviation: float, generator: Generator) -> Image.Image:
    values = np.asarray(image, np.float32)
    noise = generator.standard_normal(values.shape, np.float32) * np.float32(deviation)
    return Image.fromarray(np.clip(values + noise, 0, 255).astype(np.uint8))


def _compress(image: Image.Image, quality: int) -> Image.Image:
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=quality)
    return Image.open(stream)

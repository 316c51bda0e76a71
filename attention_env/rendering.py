"""Drawing: the picture with what is looked at framed, and beside or below it what is seen or said."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from attention_env.shapes import SHAPES

SIDE = 320
GAP = 8
BACKGROUND = (24, 26, 32)
PATH = (255, 176, 0)
TEXT = (235, 235, 235)
# One colour per scale, finest first.
BOXES = ((0, 229, 255), (124, 252, 120), (255, 120, 200), (190, 160, 255))
# A sentence below a picture: height of its lines, and how many there is room for.
LETTERS = 20
LINES = 3
NEW_LINE = "\n"
CLASS_NAMES = {
    "fashion_mnist": ("T-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot"),
    "circle_square": SHAPES,
    "catch": ("left", "stay", "right"),
}
"""What the classes of a source are called, where a number does not say it."""
CORNERS = ((-1, -1), (1, -1), (1, 1), (-1, 1))


def class_names(source: Any) -> tuple[str, ...]:
    """Tell what the classes of a source are called, in order; of one whose numbers say it, and of arrays, nothing."""
    return CLASS_NAMES.get(source, ()) if isinstance(source, str) else ()


def draw_frame(
    image: NDArray[np.float32],
    glimpse: NDArray[np.float32],
    path: NDArray[np.float32],
    size: int,
    scales: int,
    zoom: float = 0.0,
    rotation: NDArray[np.float32] | None = None,
) -> NDArray[np.uint8]:
    """Draw one moment of an episode.

    Args:
        image: (C, H, W) in [0, 1], the whole picture, which the agent does not see.
        glimpse: (scales · C, size, size) in [0, 1], what it sees.
        path: (steps, 2), the locations so far, the present one last.
        size: side of the finest patch in pixels of the picture, at zoom 0.
        scales: number of patches.
        zoom: of the glimpse.
        rotation: (cos, sin) of the angle that the glimpse is turned by; None for upright boxes.

    Returns:
        (height, width, 3) uint8: the picture left, the patches, finest on top, in a column on the right.
    """
    channels, height, width = image.shape
    pitch = SIDE / max(height, width)
    left = _to_picture(image).resize((round(width * pitch), round(height * pitch)), Image.Resampling.NEAREST)
    draw = ImageDraw.Draw(left)
    points = [((x + 1) / 2 * width * pitch, (y + 1) / 2 * height * pitch) for x, y in path.tolist()]
    if len(points) > 1:
        draw.line(points, fill=PATH, width=2)
    for x, y in points[:-1]:
        draw.ellipse((x - 4, y - 4, x + 4, y + 4), fill=PATH)
    x, y = points[-1]
    for scale in reversed(range(scales)):
        half, colour = size * 2 ** (scale + zoom) / 2 * pitch, BOXES[scale % len(BOXES)]
        if rotation is None:
            draw.rectangle((x - half, y - half, x + half, y + half), outline=colour, width=3)
        else:
            across, down = half * rotation, half * np.array((-rotation[1], rotation[0]))
            corners = [tuple((x, y) + right * across + low * down) for right, low in CORNERS]
            draw.polygon(corners, outline=colour, width=3)

    side = (SIDE - GAP * (scales - 1)) // scales if scales > 1 else SIDE // 2
    frame = Image.new("RGB", (SIDE + 3 * GAP + side, SIDE + 2 * GAP), BACKGROUND)
    frame.paste(left, (GAP + (SIDE - left.width) // 2, GAP + (SIDE - left.height) // 2))
    outline = ImageDraw.Draw(frame)
    for scale in range(scales):
        patch = _to_picture(glimpse[scale * channels : (scale + 1) * channels]).resize((side, side), Image.Resampling.NEAREST)
        corner = (SIDE + 2 * GAP, GAP + scale * (side + GAP))
        frame.paste(patch, corner)
        outline.rectangle((*corner, corner[0] + side - 1, corner[1] + side - 1), outline=BOXES[scale % len(BOXES)], width=3)
    return np.array(frame)


def draw_sentence(image: NDArray[np.float32], grid: tuple[int, int], place: int | None, words: Sequence[str]) -> NDArray[np.uint8]:
    """Draw one moment of a description.

    Args:
        image: (3, H, W) in [0, 1].
        grid: (lines, columns) of the cells that are looked at.
        place: cell that was looked at last, row by row from the top left; None for none.
        words: what was said so far.

    Returns:
        (height, width, 3) uint8: the picture with the cell framed, and the words below it, in as many lines as they need.
    """
    _, height, width = image.shape
    pitch = SIDE / max(height, width)
    picture = _to_picture(image).resize((round(width * pitch), round(height * pitch)), Image.Resampling.NEAREST)
    if place is not None:
        lines, columns = grid
        (line, column), tall, wide = divmod(place, columns), picture.height / lines, picture.width / columns
        box = (column * wide, line * tall, (column + 1) * wide - 1, (line + 1) * tall - 1)
        ImageDraw.Draw(picture).rectangle(box, outline=PATH, width=3)
    frame = Image.new("RGB", (SIDE + 2 * GAP, SIDE + 3 * GAP + LETTERS * LINES), BACKGROUND)
    frame.paste(picture, (GAP + (SIDE - picture.width) // 2, GAP + (SIDE - picture.height) // 2))
    draw, font, text = ImageDraw.Draw(frame), ImageFont.load_default(size=LETTERS * 3 // 4), ""
    for word in words:
        line_with_it = f"{text.rpartition(NEW_LINE)[2]} {word}"
        text += f"{NEW_LINE if draw.textlength(line_with_it, font=font) > SIDE else ' '}{word}"
    # Of a sentence of more lines than there is room for the last ones are shown.
    draw.text((GAP, SIDE + 2 * GAP), NEW_LINE.join(text.strip().split(NEW_LINE)[-LINES:]), fill=TEXT, font=font)
    return np.array(frame)


def _to_picture(image: NDArray[np.float32]) -> Image.Image:
    """Bring (C, H, W) in [0, 1] to a colour picture: one channel is grey, three are red, green and blue."""
    levels = (np.clip(image, 0, 1) * 255).round().astype(np.uint8)
    if len(levels) != 3:
        levels = np.repeat(levels[:1], 3, axis=0)
    return Image.fromarray(np.ascontiguousarray(levels.transpose(1, 2, 0)))

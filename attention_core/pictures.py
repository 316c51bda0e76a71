"""Writing figures, and pictures that move."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image

from attention_core.files import write_atomically

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def save_figure(figure: Figure, path: Path, dots: int) -> None:
    """Write a figure, whole or not at all, as what its place's ending says: png, jpg, svg, pdf and others; as PNG without one.

    Args:
        figure: the figure.
        path: its place.
        dots: pixels of an inch.

    Raises:
        ValueError: if the ending is of no such kind, naming those that are.
        attention_core.files.SaveError: if it cannot be written.
    """
    kind = path.suffix.removeprefix(".") or "png"
    write_atomically(path, lambda temporary: figure.savefig(temporary, dpi=dots, format=kind))


def check_gif(out: Path) -> None:
    """See that a GIF's place is not named as if it held something else.

    Raises:
        ValueError: if it is.
    """
    if out.suffix.lower() not in ("", ".gif"):
        raise ValueError(f"{out} would be a GIF: let its name end with .gif")


def write_gif(frames: list[list[Image.Image]], out: Path, milliseconds: int = 450, last: int = 1500) -> None:
    """Write sequences one after the other, each ending on a longer look.

    Args:
        frames: the sequences.
        out: the GIF's place.
        milliseconds: how long a frame is shown.
        last: how long the last one of each sequence is.

    Raises:
        attention_core.files.SaveError: if it cannot be written.
    """
    images = [frame for sequence in frames for frame in sequence]
    durations = [last if place == len(sequence) - 1 else milliseconds for sequence in frames for place in range(len(sequence))]
    write_atomically(
        out, lambda path: images[0].save(path, format="GIF", save_all=True, append_images=images[1:], duration=durations, loop=0)
    )

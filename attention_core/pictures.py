"""Writing pictures that move."""

from __future__ import annotations

from pathlib import Path

from PIL import Image

from attention_core.files import write_atomically


def write_gif(frames: list[list[Image.Image]], out: Path) -> None:
    """Write episodes one after the other, each ending on a longer look."""
    images = [frame for episode in frames for frame in episode]
    durations = [1500 if place == len(episode) - 1 else 450 for episode in frames for place in range(len(episode))]
    write_atomically(
        out, lambda path: images[0].save(path, format="GIF", save_all=True, append_images=images[1:], duration=durations, loop=0)
    )

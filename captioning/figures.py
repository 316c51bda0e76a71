"""A sentence and where was looked for each of its words, as a picture."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from attention_core.pictures import save_figure
from attention_env.caption_scenes import SceneSource
from captioning.config import CaptionConfig
from captioning.decoder import Captioner
from captioning.encoders import load_encoder
from captioning.loading import load
from captioning.pictures import read_picture
from captioning.writing import Written, write_about

COLUMNS = 6
LONGEST = 40
"""Words of a sentence at most, its end included."""


def describe(reference: str, picture: str, out: Path, device: torch.device, searching: Mapping[str, Any] | None = None) -> str:
    """Write a sentence about a picture, and draw it with one map of attention for each word.

    Args:
        reference: a captioner, as a zoo name, a run folder or a weights file.
        picture: a file; of a captioner of scenes the number of a test scene.
        out: the figure's place.
        device: where to compute.
        searching: settings of the search, `beams`, `length_power` and `tries`, in place of its own.

    Returns:
        The sentence.

    Raises:
        attention_core.zoo.ModelError: if there is no such captioner.
        attention_core.picture_files.PictureError: if the file is no picture.
        ValueError: if there is no such scene, or it cannot write so.
    """
    captioner, config, vocabulary, _ = load(reference, device)
    config = replace(config, **(searching or {}))
    pixels, shown = _show(captioner, config, picture, device)
    written = write_about(captioner, shown, LONGEST, config.search)
    words = vocabulary.decode(written.captions[0])
    draw(pixels, words, written, config.attention == "hard", out)
    return " ".join(words)


def _show(captioner: Captioner, config: CaptionConfig, picture: str, device: torch.device) -> tuple[NDArray[np.uint8], Tensor]:
    """Read a picture: its pixels, (H, W, 3), and what the captioner is shown, for a batch of one."""
    if config.data == "scenes":
        source = SceneSource("test")
        if not picture.isdecimal() or int(picture) >= len(source):
            raise ValueError(f"{picture!r} is no scene: this captioner writes about test scenes 0 … {len(source) - 1}")
        index = torch.tensor([int(picture)])
        pixels = (source.pictures(index, device)[0] * 255).round().byte()
        return pixels.permute(1, 2, 0).cpu().numpy(), source.shown(index, device)
    read = read_picture(picture, config.features.size)
    shown = torch.from_numpy(read)[None].to(device)
    if captioner.encoder is None:
        encoder = load_encoder(config.features.encoder, config.features.stride).to(device)
        with torch.inference_mode():
            shown = encoder.annotate(shown)
    return read.transpose(1, 2, 0), shown


def draw(pixels: NDArray[np.uint8], words: list[str], written: Written, hard: bool, out: Path) -> None:
    """Draw a picture as often as there are words, each with where was looked for it.

    Args:
        pixels: (H, W, 3), of a picture whose annotations are a square of places.
        words: of the sentence.
        written: what `captioning.writing.write_about` gave for it.
        hard: whether to frame the place that the word came of, or else to light up the picture by the weights.
        out: the figure's place.
    """
    side = math.isqrt(written.weights.shape[2])
    lines = -(-(len(words) + 1) // COLUMNS)
    with mpl.rc_context({"font.size": 10}):
        figure = Figure(figsize=(1.7 * COLUMNS, 1.95 * lines), layout="constrained")
        places = list(figure.subplots(lines, COLUMNS, squeeze=False).flat)
        for axes in places:
            axes.set_axis_off()
        places[0].imshow(pixels)
        for step, (word, axes) in enumerate(zip(words, places[1:], strict=False)):
            axes.set_title(word)
            if hard:
                _frame(axes, pixels, int(written.origins[step, 0]), side)
            else:
                _light(axes, pixels, written.weights[step, 0].view(side, side))
        save_figure(figure, out, 110)


def _frame(axes: Axes, pixels: NDArray[np.uint8], place: int, side: int) -> None:
    height, width = pixels.shape[0] / side, pixels.shape[1] / side
    axes.imshow(pixels, alpha=0.6)
    corner = (place % side * width - 0.5, place // side * height - 0.5)
    axes.add_patch(Rectangle(corner, width, height, fill=False, edgecolor="red", linewidth=2))


def _light(axes: Axes, pixels: NDArray[np.uint8], weights: Tensor) -> None:
    height, width = pixels.shape[:2]
    small = Image.fromarray(weights.cpu().numpy().astype(np.float32))
    light = np.asarray(small.resize((width, height), Image.Resampling.BICUBIC)).clip(0)
    light = light / max(light.max(), 1e-9)
    axes.imshow((pixels * (0.25 + 0.75 * light[..., None])).astype(np.uint8))

"""A sheet of words that are drawn, beside real ones where those are at hand: do they look alike?"""

from __future__ import annotations

from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from attention_core.pictures import save_figure
from ocr.crops import load_training
from ocr.words import WordStream
from ocr.words_config import WordConfig

COLUMNS = 6
Words = list[tuple[NDArray[np.uint8], str]]
"""Crops with their labels."""


def write_sheet(config: WordConfig, count: int, seed: int, real: bool, out: Path) -> None:
    """Draw synthetic words with their labels, and under them as many real training crops if asked for.

    Args:
        config: what is written.
        count: how many of each.
        seed: of the words, and of which real ones.
        real: whether real ones are shown as well.
        out: the figure's place.

    Raises:
        ValueError: if there is nothing to show.
        attention_core.data_files.DataError: if real crops are asked for and are not here.
    """
    if count < 1:
        raise ValueError(f"count must be at least 1, got {count}")
    stream = WordStream(config, seed)
    parts: dict[str, Words] = {"drawn": [stream.word(number) for number in range(count)]}
    if real:
        crops, _ = load_training(config.height, config.width)
        chosen = np.random.default_rng(seed).choice(len(crops), count, replace=False)
        parts["real"] = [(crops.pictures[row], crops.words[row]) for row in chosen]
    _draw(parts, out)


def _draw(parts: dict[str, Words], out: Path) -> None:
    lines = {name: -(-len(words) // COLUMNS) for name, words in parts.items()}
    with mpl.rc_context({"font.size": 8}):
        figure = Figure(figsize=(1.7 * COLUMNS, sum(0.72 * count + 0.35 for count in lines.values())), layout="constrained")
        places = figure.subfigures(len(parts), 1, height_ratios=list(lines.values()), squeeze=False)[:, 0]
        for place, (name, words) in zip(places, parts.items(), strict=True):
            if len(parts) > 1:
                place.suptitle(name)
            grid = place.subplots(lines[name], COLUMNS, squeeze=False)
            for axes in grid.flat:
                axes.set_axis_off()
            for axes, (crop, word) in zip(grid.flat, words, strict=False):
                axes.imshow(crop, cmap="gray", vmin=0, vmax=255, aspect="auto")
                axes.set_title(word, pad=2)
        save_figure(figure, out, 110)

"""Reading picture files, and drawing where each character was read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import matplotlib as mpl
import numpy as np
import torch
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from attention_core.picture_files import PictureError, read_picture_file
from attention_core.pictures import save_figure
from ocr.config import OCRConfig
from ocr.crops import squeeze
from ocr.evaluate import read_lexicon
from ocr.lexicon import log_likelihoods
from ocr.loading import load
from ocr.reader import Reader
from ocr.reading import as_input, read

UPRIGHT = 2.0
"""A crop so many times as high as wide holds a single character, or a word that is written downwards, which cannot be read."""
COLUMNS = 8


@dataclass(frozen=True)
class ReadFile:
    """What was read in a picture file.

    Attributes:
        name: the file.
        crop: (H, W) uint8, as the reader saw it.
        word: what was read.
        confidence: its probability under the reader, in [0, 1]; with a lexicon, among the lexicon's words.
        weights: (characters, lines, columns), where was looked for each; None of a reader without attention or with a lexicon.
        upright: whether the file is so much higher than wide that it must hold a single character to be read at all.
    """

    name: str
    crop: NDArray[np.uint8]
    word: str
    confidence: float
    weights: NDArray[np.float32] | None
    upright: bool = False


@dataclass(frozen=True)
class ReadFiles:
    """What was read in picture files, and what is wrong with those that were not read."""

    read: list[ReadFile]
    left_out: list[str]


def read_files(
    reference: str, files: Sequence[Path], device: torch.device, beams: int | None = None, lexicon: Path | None = None
) -> ReadFiles:
    """Read the word in each of some picture files.

    Args:
        reference: a reader, as a zoo name, a run folder or a weights file.
        files: pictures, each a crop of one word.
        device: where to compute.
        beams: of the search; None for the settings' own.
        lexicon: a text file of words of which it must be one.

    Raises:
        attention_core.zoo.ModelError: if there is no such reader.
        ValueError: if the lexicon cannot be read.
    """
    reader, config, _ = load(reference, device)
    words = None if lexicon is None else read_lexicon(lexicon)
    found, left_out = [], []
    for file in files:
        try:
            picture = read_picture_file(file)
            crop = squeeze(picture, config.words.height, config.words.width, str(file))
        except PictureError as error:
            left_out.append(str(error))
            continue
        one = _read(reader, config, str(file), crop, device, config.beams if beams is None else beams, words)
        found.append(replace(one, upright=picture.height > UPRIGHT * picture.width))
    return ReadFiles(found, left_out)


def _read(
    reader: Reader,
    config: OCRConfig,
    name: str,
    crop: NDArray[np.uint8],
    device: torch.device,
    beams: int,
    lexicon: list[str] | None,
) -> ReadFile:
    shown = as_input(crop[None], device)
    if lexicon is not None:
        among = log_likelihoods(reader, shown, lexicon).softmax(0)
        return ReadFile(name, crop, lexicon[int(among.argmax())], float(among.max()), None)
    reading = read(reader, shown, config.words.longest, beams)
    word = reading.words[0]
    weights = _as_maps(reading.weights[0, : len(word)], reader) if config.form == "attention" else None
    return ReadFile(name, crop, word, float(reading.confidences[0]), weights)


def _as_maps(weights: Tensor, reader: Reader) -> NDArray[np.float32]:
    maps: NDArray[np.float32] = weights.view(-1, *reader.places).float().cpu().numpy()
    return maps


def explain(found: Sequence[ReadFile], out: Path) -> None:
    """Draw each crop with its word, and lit up where each character was read.

    Args:
        found: what was read, by a reader with attention and without a lexicon.
        out: the figure's place.

    Raises:
        ValueError: if there is nothing to show.
    """
    if any(one.weights is None for one in found):
        raise ValueError("only a reader with attention that reads without a lexicon can show where it read")
    rows: list[list[tuple[ReadFile, int | None]]] = []
    for one in found:
        cells: list[tuple[ReadFile, int | None]] = [(one, None), *((one, place) for place in range(len(one.word)))]
        rows += [cells[first : first + COLUMNS] for first in range(0, len(cells), COLUMNS)]
    with mpl.rc_context({"font.size": 9}):
        figure = Figure(figsize=(1.6 * COLUMNS, 0.85 * len(rows)), layout="constrained")
        grid = figure.subplots(len(rows), COLUMNS, squeeze=False)
        for axes in grid.flat:
            axes.set_axis_off()
        for line, cells in zip(grid, rows, strict=True):
            for axes, (one, place) in zip(line, cells, strict=False):
                lit = one.crop if place is None else _light(one, place)
                axes.imshow(lit, cmap="gray", vmin=0, vmax=255, aspect="auto")
                axes.set_title(f"{one.word} {one.confidence:.0%}" if place is None else one.word[place])
        save_figure(figure, out, 110)


def _light(one: ReadFile, place: int) -> NDArray[np.uint8]:
    """Light up a crop where a character was read."""
    assert one.weights is not None
    height, width = one.crop.shape
    light = np.asarray(Image.fromarray(one.weights[place]).resize((width, height), Image.Resampling.BICUBIC)).clip(0)
    lit: NDArray[np.uint8] = (one.crop * (0.3 + 0.7 * light / max(light.max(), 1e-9))).astype(np.uint8)
    return lit

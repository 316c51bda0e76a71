"""Words without end and their pictures: what a reader of scene text learns from.

With the same settings and fonts, word number i of seed s depends on s and i alone, so that any number of processes make the same
words, and a training that goes on goes on with the words that it would have had.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.progress import track

from ocr.collections import write_lmdb
from ocr.fonts import Font, find_fonts, font_probabilities, open_face
from ocr.rendering import render
from ocr.texts import draw_text, lexicon, pick
from ocr.words_config import WordConfig


class WordStream:
    """An endless numbered sequence of word crops. It can be pickled, and holds no open file.

    Args:
        config: what is written, and the crops' size.
        seed: at least 0; the streams of different seeds have nothing in common.
        fonts: faces to write in; None for those of this machine.

    Raises:
        ValueError: if the seed is negative.
        ocr.fonts.FontError: if there are no fonts.
        attention_core.data_files.DataError: if the list of words is missing or damaged.
    """

    def __init__(self, config: WordConfig, seed: int, fonts: Sequence[Font] | None = None) -> None:
        if seed < 0:
            raise ValueError(f"the seed of a word stream must be at least 0, got {seed}")
        self.config = config
        self.seed = seed
        self.fonts = tuple(find_fonts() if fonts is None else fonts)
        self._fonts_below = np.cumsum(font_probabilities(self.fonts, config.display))
        lexicon()  # what is missing shows at once

    def word(self, index: int) -> tuple[NDArray[np.uint8], str]:
        """Make a word.

        Args:
            index: its number, at least 0.

        Returns:
            The crop, (height, width) grey values, and its label, 1 to `longest` characters of 0-9 and a-z.

        Raises:
            IndexError: if the number is negative.
        """
        if index < 0:
            raise IndexError(f"words are numbered from 0, got {index}")
        generator = np.random.default_rng((self.seed, index))
        text = draw_text(self.config, generator)
        font = self.fonts[pick(self._fonts_below, generator)]
        return render(text.drawn, open_face(font.path), generator, self.config.height, self.config.width), text.label

    def __getitem__(self, index: int) -> tuple[NDArray[np.uint8], str]:
        """Make a word; see `word`."""
        return self.word(index)


def write_words(config: WordConfig, count: int, seed: int, folder: Path) -> None:
    """Draw words once for many trainings: write the first of a stream as a collection, with a progress bar.

    Args:
        config: what is written, and the crops' size.
        count: how many.
        seed: of the words.
        folder: where they will lie.

    Raises:
        ValueError: if there is nothing to write.
        FileExistsError: if something lies there already.
        ocr.collections.CollectionError: if lmdb is not installed.
        ocr.fonts.FontError: if there are no fonts.
    """
    if count < 1:
        raise ValueError(f"count must be at least 1, got {count}")
    stream = WordStream(config, seed)
    write_lmdb((stream.word(number) for number in track(range(count), "words")), folder)

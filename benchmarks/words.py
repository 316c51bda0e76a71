"""How fast synthetic words are drawn, by how many processes, beside letters that are drawn plainly.

    python benchmarks/words.py                    words per second by 1, 2 and 4 processes, and plain letters by one
    python benchmarks/words.py --processes 1 8    by 1 and by 8

The plain ones are the same texts in fonts of the same machine, black on white, drawn by Pillow in one go and squeezed to the same
size: what the rest of the chain costs is seen beside them. The words are those that training learns from; each process makes whole
batches of them, which come back as arrays. Fonts are open before a round is timed, as they are after a training's first minute.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import side_by_side
import tyro
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from side_by_side import Measure, interleave, print_head, print_machine, print_row, ratio, spread

from ocr.texts import draw_text
from ocr.words import WordStream
from ocr.words_config import WordConfig

BATCH = 100
PLAIN = "plain letters"
Drawn = tuple[NDArray[np.uint8], list[str]]


@dataclass(frozen=True)
class Arguments:
    """What to measure."""

    processes: tuple[int, ...] = (1, 2, 4)
    """Numbers of processes."""
    rounds: int = 5
    """Interleaved rounds."""
    words: int = 3000
    """Words that are drawn in a round."""
    warm_up: int = 3000
    """Words that each process draws beforehand."""


def draw_words(stream: WordStream, first: int, count: int) -> Drawn:
    """Draw words as training does, (count, height, width) and labels."""
    pictures, labels = zip(*(stream.word(first + number) for number in range(count)), strict=True)
    return np.stack(pictures), list(labels)


@lru_cache(512)
def _open(path: str) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(path, 32)


def draw_plainly(stream: WordStream, first: int, count: int) -> Drawn:
    """Draw texts black on white and nothing more; see the head of this file."""
    pictures, labels = [], []
    for number in range(first, first + count):
        generator = np.random.default_rng((stream.seed, number))
        text = draw_text(stream.config, generator)
        font = _open(stream.fonts[int(len(stream.fonts) * generator.random())].path)
        left, top, right, bottom = font.getbbox(text.drawn)
        picture = Image.new("L", (max(8, round(right - left)), max(8, round(bottom - top))), 255)
        ImageDraw.Draw(picture).text((-left, -top), text.drawn, fill=0, font=font)
        pictures.append(np.asarray(picture.resize((stream.config.width, stream.config.height))))
        labels.append(text.label)
    return np.stack(pictures), labels


def make_measure(draw: Callable[[WordStream, int, int], Drawn], pool: Executor, processes: int, asked: Arguments) -> Measure:
    """Tell how many words the processes of a pool draw in a second, never the same ones twice."""
    stream = WordStream(WordConfig(), seed=0)
    drawn = 0

    def run(words: int) -> None:
        nonlocal drawn
        starts = range(drawn, drawn + words, BATCH)
        for task in [pool.submit(draw, stream, start, min(BATCH, drawn + words - start)) for start in starts]:
            task.result()
        drawn += words

    def rate() -> float:
        began = time.perf_counter()
        run(asked.words)
        return asked.words / (time.perf_counter() - began)

    run(processes * asked.warm_up)
    return rate


def measure(asked: Arguments) -> tuple[Sequence[str], dict[str, list[float]]]:
    """Measure all; the names of the rivals that draw words, and everyone's rates."""
    with ExitStack() as pools:

        def start(processes: int) -> Executor:
            return pools.enter_context(ProcessPoolExecutor(processes, mp_context=side_by_side.PROCESSES))

        rivals = {str(count): make_measure(draw_words, start(count), count, asked) for count in asked.processes}
        names = list(rivals)
        rivals[PLAIN] = make_measure(draw_plainly, start(1), 1, asked)
        return names, interleave(rivals, asked.rounds)


def main(asked: Arguments) -> None:
    """Print the table."""
    if not asked.processes or min(asked.processes) < 1:
        raise ValueError(f"the numbers of processes must be at least 1, got {asked.processes}")
    print_machine("cpu", 1, asked.rounds)
    names, rates = measure(asked)
    print_head(["processes", "words/s", f"/ {names[0]} process(es)", f"/ {PLAIN}"])
    for name in names:
        print_row([name, spread(rates[name]), ratio(rates, name, names[0]), ratio(rates, name, PLAIN)])
    print_row([PLAIN, spread(rates[PLAIN]), ratio(rates, PLAIN, names[0]), ratio(rates, PLAIN, PLAIN)])


if __name__ == "__main__":
    main(tyro.cli(Arguments, description=__doc__))

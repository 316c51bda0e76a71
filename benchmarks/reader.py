"""How fast words are read and learned from.

    python benchmarks/reader.py              words read per second, greedily and by a search, in batches and one by one
    python benchmarks/reader.py --training   words drawn and learned from per second, and the share of the time spent waiting

The reader has the sizes of `--settings` and random weights that make words of usual lengths.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass

import numpy as np
import torch
import tyro
from accelerate import Accelerator
from numpy.typing import NDArray
from side_by_side import Apart, Measure, interleave, print_head, print_machine, print_row, ratio, spread, synchronise

from attention_core.training import Update, make_accelerator
from attention_core.zoo import pick_device
from ocr.alphabet import END
from ocr.config import published_config
from ocr.loading import new_reader
from ocr.reader import Reader
from ocr.reading import as_input, read, read_all
from ocr.train import ReaderLearner

LONGEST = 23
WAYS = ("batched", "one by one")


@dataclass(frozen=True)
class Arguments:
    """What to measure."""

    settings: str = "synthetic"
    """Whose sizes; see ocr/hyperparameters/reader.yaml."""
    rounds: int = 3
    """Interleaved rounds."""
    crops: int = 128
    """Crops that are read in a round."""
    updates: int = 10
    """Updates in a round of training."""
    threads: int = 1
    """CPU threads of each."""
    workers: int = 1
    """Processes that draw words in training."""
    training: bool = False
    """Measure learning instead."""


def make_reader(settings: str) -> Reader:
    """Make one whose words depend on the crop and end after some characters."""
    reader = new_reader(published_config(settings))
    with torch.no_grad():
        reader.output.weight.mul_(20)
        reader.output.bias[END] += 4
    return reader.to(pick_device()).eval()


def make_crops(settings: str, count: int) -> NDArray[np.uint8]:
    """Draw crops of noise, of the settings' size."""
    words = published_config(settings).words
    return np.random.default_rng(0).integers(0, 256, (count, words.height, words.width), dtype=np.uint8)


def read_batched(reader: Reader, crops: NDArray[np.uint8], beams: int) -> list[str]:
    """Read as the package does."""
    device = pick_device()
    return [word for chunk in read_all(reader, crops, LONGEST, beams, device) for word in chunk.words]


def read_singly(reader: Reader, crops: NDArray[np.uint8], beams: int) -> list[str]:
    """Read one crop after the other."""
    device = pick_device()
    return [read(reader, as_input(crop[None], device), LONGEST, beams).words[0] for crop in crops]


READERS: dict[str, Callable[[Reader, NDArray[np.uint8], int], list[str]]] = {"batched": read_batched, "one by one": read_singly}


def make_measure(way: str, settings: str, count: int, beams: int) -> Measure:
    """Tell how many words a way of reading reads in a second."""
    reader, crops = make_reader(settings), make_crops(settings, count)

    def rate() -> float:
        synchronise()
        began = time.perf_counter()
        READERS[way](reader, crops, beams)
        synchronise()
        return count / (time.perf_counter() - began)

    return rate


def measure_reading(asked: Arguments) -> None:
    """Print the table of words read per second."""
    print_head(["beams", "batched, words/s", "one by one, words/s", "batched / one by one", "the same word"])
    reader, crops = make_reader(asked.settings), make_crops(asked.settings, asked.crops)
    for beams in (1, 5):
        with ExitStack() as rivals:
            made = {
                way: rivals.enter_context(Apart(make_measure, way, asked.settings, asked.crops, beams, threads=asked.threads))
                for way in WAYS
            }
            rates = interleave(made, asked.rounds)
        both = (READERS[way](reader, crops, beams) for way in WAYS)
        same = np.mean([one == other for one, other in zip(*both, strict=True)])
        print_row([beams, *(spread(rates[way]) for way in WAYS), ratio(rates, *WAYS), f"{same:.1%}"])


def measure_training(asked: Arguments) -> None:
    """Print how many words are learned from in a second, and how much of the time was spent waiting for them."""
    torch.set_num_threads(asked.threads)
    config = dataclasses.replace(published_config(asked.settings), workers=asked.workers)
    accelerator: Accelerator = make_accelerator(config.training)
    learner = ReaderLearner(config, accelerator)
    update = Update(learner, config.training, accelerator)
    rates, shares = [], []
    for round_ in range(asked.rounds + 1):
        began, waiting = time.perf_counter(), []
        for number in range(asked.updates):
            waiting.append(float(update(number)["time/waiting"]))
        synchronise()
        if round_:  # the first one warms up
            rates.append(asked.updates * config.batch_size / (time.perf_counter() - began))
            shares.append(100 * sum(waiting) / len(waiting))
    print_head(["settings", "precision", "workers", "words/s", "share of the time spent waiting"])
    print_row([asked.settings, accelerator.mixed_precision, asked.workers, spread(rates), spread(shares, ".1f", "%")])


def main(asked: Arguments) -> None:
    """Measure what was asked for."""
    print_machine(pick_device().type, asked.threads, asked.rounds)
    if asked.training:
        measure_training(asked)
    else:
        measure_reading(asked)


if __name__ == "__main__":
    main(tyro.cli(Arguments, description=__doc__))

"""How fast every system trains on a GPU, and which share of the GPU's time is work.

    python benchmarks/gpu_training.py [--systems ram draw …]      a row for each system, as a Markdown table

Whole updates with the published settings, their data where `ATTENTION_DATA` says: examples per second, and the share of the time in
which at least one kernel or copy ran, by PyTorch's profiler. Where a system's gradients are replayed as a CUDA graph
(`attention_core.cuda_graph`), DRAW's step being compiled then, they are launched kernel by kernel as well, by turns. Each system is
measured in a process of its own.
"""

from __future__ import annotations

import dataclasses
import multiprocessing
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from typing import Any

import torch
import tyro
from side_by_side import interleave, print_head, print_machine, print_row, ratio, spread, synchronise
from torch.autograd import DeviceType
from torch.profiler import ProfilerActivity
from torch.profiler import profile as record

from agents.config import published_config as ram_config
from agents.reinforce import ReinforceLearner
from attention_core.config import TrainingConfig
from attention_core.training import Learner, Update, make_accelerator
from attention_core.zoo import pick_device
from captioning.config import published_config as caption_config
from captioning.hard import EpisodeLearner
from captioning.learner import SoftLearner
from generative.config import published_config as latent_config
from generative.train import LatentLearner
from generative.train import ReaderLearner as EyeLearner
from ocr.config import published_config as ocr_config
from ocr.train import ReaderLearner
from transformer.config import published_config as transformer_config
from transformer.learner import TranslationLearner

WARM_UP = 8
TIMED = 20
PROFILED = 3
"""Updates. DRAW launches 20 000 kernels in one, and a profiler keeps so many events and no more."""


def training(kind: Callable[..., Learner], config: Any, **changes: Any) -> Callable[[], tuple[Learner, TrainingConfig]]:
    """Tell how a learner is made, with published settings but for some changes."""

    def make() -> tuple[Learner, TrainingConfig]:
        settings: Any = dataclasses.replace(config, **changes)
        return kind(settings, make_accelerator(settings.training)), settings.training

    return make


SYSTEMS: dict[str, Callable[[], tuple[Learner, TrainingConfig]]] = {
    "ram": training(ReinforceLearner, ram_config("attention_env/MNIST-v0")),
    "ram-cluttered100": training(ReinforceLearner, ram_config("attention_env/ClutteredMNIST100-v0")),
    "ram-catch": training(ReinforceLearner, ram_config("attention_env/Catch-v0")),
    "vae": training(LatentLearner, latent_config("vae", "binarized_mnist")),
    "draw": training(LatentLearner, latent_config("draw", "binarized_mnist")),
    "draw-noattention": training(LatentLearner, latent_config("draw", "binarized_mnist"), attention=False),
    "drawreader": training(EyeLearner, latent_config("drawreader", "attention_env/ClutteredMNIST100-v0")),
    "captions-soft": training(SoftLearner, caption_config("scenes", "soft")),
    "captions-hard": training(EpisodeLearner, caption_config("scenes", "hard")),
    "ocr": training(ReaderLearner, ocr_config("large")),
    "transformer": training(TranslationLearner, transformer_config("multi30k")),
}
REPLAYED, LAUNCHED = "replayed", "launched"


@dataclass(frozen=True)
class Arguments:
    """What to measure."""

    systems: tuple[str, ...] = tuple(SYSTEMS)
    """Which systems."""
    rounds: int = 3
    """Interleaved rounds."""
    seconds: float = 3.0
    """Seconds of each in a round."""


class Training:
    """A system's training after its first updates, timed again and again.

    Args:
        system: which.
        way: `REPLAYED` or `LAUNCHED`.
        seconds: of one timing.
    """

    def __init__(self, system: str, way: str, seconds: float) -> None:
        self.learner, config = SYSTEMS[system]()
        self.update = Update(self.learner, config, make_accelerator(config), capture=way == REPLAYED)
        self.seconds = seconds
        self.done = 0
        self.take(WARM_UP)

    def take(self, updates: int) -> float:
        """Make so many updates; return how many seconds they took."""
        synchronise()
        began = time.perf_counter()
        for _ in range(updates):
            self.update(self.done)
            self.done += 1
        synchronise()
        return time.perf_counter() - began

    def __call__(self) -> float:
        """Tell how many examples are learned from in a second."""
        some = max(1, round(self.seconds / (self.take(TIMED) / TIMED)))
        return some * self.learner.examples_per_update / self.take(some)

    def share(self) -> float:
        """Tell in which share of an update's time, as it is without a profiler, the GPU computes."""
        seconds = self.take(TIMED) / TIMED * PROFILED
        with record(activities=[ProfilerActivity.CUDA]) as trace:
            self.take(PROFILED)
        spans = sorted((e.time_range.start, e.time_range.end) for e in trace.events() if e.device_type == DeviceType.CUDA)
        busy, last = 0.0, 0.0
        for start, end in spans:
            busy += max(0.0, end - max(start, last))
            last = max(last, end)
        return busy * 1e-6 / seconds


def measure(system: str, asked: Arguments) -> list[str]:
    """Give a system's row."""
    torch.set_num_threads(1)
    made = {REPLAYED: Training(system, REPLAYED, asked.seconds)}
    if made[REPLAYED].update.replays:
        made[LAUNCHED] = Training(system, LAUNCHED, asked.seconds)
    else:
        made[LAUNCHED] = made.pop(REPLAYED)
    rates = interleave(dict(made), asked.rounds)
    shares = {way: f"{training.share():.0%}" for way, training in made.items()}
    row = [system, spread(rates[LAUNCHED]), shares[LAUNCHED]]
    if REPLAYED not in made:
        return [*row, "–", "–", "–"]
    return [*row, spread(rates[REPLAYED]), shares[REPLAYED], ratio(rates, REPLAYED, LAUNCHED)]


def main(asked: Arguments) -> None:
    """Print the table.

    Raises:
        SystemExit: if there is no GPU.
    """
    if pick_device().type != "cuda":
        raise SystemExit("there is no GPU here whose time could be shared out: the other scripts measure on the CPU")
    print_machine(pick_device().type, 1, asked.rounds)
    print_head(["system", "launched, examples/s", "GPU at work", "replayed, examples/s", "GPU at work", "replayed / launched"])
    for system in asked.systems:
        with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as process:
            print_row(process.submit(measure, system, asked).result())


if __name__ == "__main__":
    main(tyro.cli(Arguments, description=__doc__))

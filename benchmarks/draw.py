"""How fast DRAW learns at the paper's setting, beside the same model written the plain way; its window beside `grid_sample`.

    python benchmarks/draw.py             updates per second: ours, ours compiled, and a plain loop, as a Markdown table
    python benchmarks/draw.py --window    glimpses per second of the window beside crops of the same size by grid_sample
    python benchmarks/draw.py --memory    peak memory against the number of steps T

The setting: 28×28, T = 64, LSTMs of 256 units, z of 100, windows of 2×2 and 5×5, batches of 100. The plain loop computes the same
model as code for it is usually written: cells of `torch.nn.LSTMCell`, a linear layer for each quantity, filterbanks built at every
step for each axis and each window by broadcasting and division by their sum, losses gathered step by step. On a GPU each is timed
in single precision and synchronised.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass

import torch
import torch.nn.functional as F
import tyro
from side_by_side import Apart, Measure, interleave, peak_memory, print_head, print_machine, print_row, ratio, spread, synchronise
from torch import Tensor, nn

from attention_core.zoo import pick_device
from generative.config import DRAWConfig
from generative.draw import DRAW
from generative.filterbank import NUMBERS, make_window, read
from generative.likelihood import draw_noise

SIDE = 28
BATCH = 100
CONFIG = DRAWConfig()
WINDOWS = ((2, 28), (5, 28), (12, 100))
"""Sides of windows and of the pictures that they see."""


@dataclass(frozen=True)
class Arguments:
    """What to measure."""

    rounds: int = 7
    """Interleaved rounds."""
    seconds: float = 5.0
    """Seconds of each in a round."""
    threads: int = 1
    """CPU threads of each."""
    window: bool = False
    """Measure the window beside grid_sample instead."""
    memory: bool = False
    """Measure memory against T instead."""
    steps: tuple[int, ...] = (1, 8, 16, 32, 64, 128)
    """T of the models whose memory is measured."""
    compiled: bool = True
    """Measure the compiled model as well, which first takes a minute or two."""


class PlainDRAW(nn.Module):
    """DRAW as it is usually written; see the head of this file."""

    def __init__(self, config: DRAWConfig) -> None:
        super().__init__()
        self.config = config
        units, latents = config.hidden, config.latents
        self.encoder = nn.LSTMCell(2 * config.read_size**2 + units, units)
        self.decoder = nn.LSTMCell(latents, units)
        self.mean, self.log_deviation = nn.Linear(units, latents), nn.Linear(units, latents)
        self.read_window, self.write_window = nn.Linear(units, NUMBERS), nn.Linear(units, NUMBERS)
        self.patch = nn.Linear(units, config.write_size**2)

    def filterbank(self, centre: Tensor, stride: Tensor, variance: Tensor, size: int) -> Tensor:
        """Build one axis's filters, (B, N, SIDE)."""
        steps = torch.arange(size, dtype=torch.float32, device=centre.device) - size / 2 + 0.5
        places = (centre + steps * stride).view(-1, size, 1)
        pixels = torch.arange(1, SIDE + 1, dtype=torch.float32, device=centre.device).view(1, 1, -1)
        filters = torch.exp(-((pixels - places) ** 2) / (2 * variance.view(-1, 1, 1)))
        return filters / (filters.sum(2, keepdim=True) + 1e-8)

    def window(self, numbers: Tensor, size: int) -> tuple[Tensor, Tensor, Tensor]:
        """Build both axes' filters, and γ."""
        x, y, log_variance, log_stride, log_intensity = numbers.split(1, 1)
        x, y = (SIDE + 1) / 2 * (x + 1), (SIDE + 1) / 2 * (y + 1)
        variance, stride = torch.exp(log_variance), (SIDE - 1) / (size - 1) * torch.exp(log_stride)
        return self.filterbank(x, stride, variance, size), self.filterbank(y, stride, variance, size), torch.exp(log_intensity)

    def forward(self, pictures: Tensor) -> Tensor:
        """Give the mean bound of pictures, (B, SIDE²), its sign turned."""
        config, count = self.config, len(pictures)
        canvas = torch.zeros(count, SIDE * SIDE, device=pictures.device)
        encoder = (
            torch.zeros(count, config.hidden, device=pictures.device),
            torch.zeros(count, config.hidden, device=pictures.device),
        )
        decoder = (torch.zeros_like(encoder[0]), torch.zeros_like(encoder[0]))
        divergence = torch.zeros(count, device=pictures.device)
        for _ in range(config.steps):
            missing = pictures - torch.sigmoid(canvas)
            columns, rows, intensity = self.window(self.read_window(decoder[0]), config.read_size)
            seen = []
            for picture in (pictures, missing):
                glimpse = torch.bmm(torch.bmm(rows, picture.view(-1, SIDE, SIDE)), columns.transpose(1, 2))
                seen.append(glimpse.view(count, -1) * intensity)
            encoder = self.encoder(torch.cat((*seen, decoder[0]), 1), encoder)
            mean, log_deviation = self.mean(encoder[0]), self.log_deviation(encoder[0])
            deviation = torch.exp(log_deviation)
            latents = mean + deviation * torch.randn_like(mean)
            divergence = divergence + 0.5 * torch.sum(mean**2 + deviation**2 - 2 * log_deviation - 1, 1)
            decoder = self.decoder(latents, decoder)
            columns, rows, intensity = self.window(self.write_window(decoder[0]), config.write_size)
            patch = self.patch(decoder[0]).view(-1, config.write_size, config.write_size)
            written = torch.bmm(torch.bmm(rows.transpose(1, 2), patch), columns)
            canvas = canvas + written.view(count, -1) / intensity
        errors = F.binary_cross_entropy(torch.sigmoid(canvas), pictures, reduction="none").sum(1)
        return (errors + divergence).mean()


def make_update(kind: str, seconds: float, config: DRAWConfig) -> Measure:
    """Make a model and its optimizer, do one update, and tell how the next ones are timed."""
    device = pick_device()
    torch.manual_seed(0)
    model: PlainDRAW | DRAW = (PlainDRAW(config) if kind == "plain" else DRAW((1, SIDE, SIDE), config)).to(device)
    if kind == "compiled":
        vars(model)["step"] = torch.compile(model.step)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, fused=True)
    pictures = (torch.rand(BATCH, 1, SIDE, SIDE, device=device) < 0.13).float()
    generator = torch.Generator(device).manual_seed(0)

    def bound() -> Tensor:
        if isinstance(model, PlainDRAW):
            loss: Tensor = model(pictures.flatten(1))
            return loss
        inferred = model(pictures, draw_noise(model, BATCH, generator))
        return (inferred.divergences.sum(0) - model.output.log_probability(pictures, inferred.canvas)).mean()

    def update() -> None:
        optimizer.zero_grad()
        bound().backward()
        optimizer.step()

    update()
    return timed(update, seconds)


def timed(work: Callable[[], None], seconds: float) -> Measure:
    """Tell how often a piece of work is done in a second, tried for so many."""

    def rate() -> float:
        synchronise()
        began, done = time.perf_counter(), 0
        while time.perf_counter() - began < seconds:
            work()
            done += 1
        synchronise()
        return done / (time.perf_counter() - began)

    return rate


def measure_updates(asked: Arguments) -> None:
    """Print the table of updates per second."""
    kinds = ["ours", *(["compiled"] if asked.compiled else []), "plain"]
    print_head([*(f"{kind}, updates/s" for kind in kinds), *(f"{kind} / plain" for kind in kinds[:-1])])
    with ExitStack() as rivals:
        made = {
            kind: rivals.enter_context(Apart(make_update, kind, asked.seconds, CONFIG, threads=asked.threads)) for kind in kinds
        }
        rates = interleave(made, asked.rounds)
    print_row([*(spread(rates[kind], ".2f") for kind in kinds), *(ratio(rates, kind, "plain") for kind in kinds[:-1])])


def make_glimpses(kind: str, size: int, side: int, seconds: float) -> Measure:
    """Make pictures and windows, and tell how long looking at them takes, forward and backward, gradient of the window included."""
    device = pick_device()
    pictures = torch.rand(BATCH, 1, side, side, device=device)
    numbers = (0.1 * torch.randn(BATCH, NUMBERS, device=device)).requires_grad_()

    def by_filterbank() -> Tensor:
        return read(pictures, make_window(numbers, size, side, side), size)

    def by_grid_sample() -> Tensor:
        x, y, _, log_stride, _ = numbers.unbind(1)
        zeros = torch.zeros_like(x)
        scale = log_stride.exp()
        maps = torch.stack((torch.stack((scale, zeros, x), 1), torch.stack((zeros, scale, y), 1)), 1)  # (B, 2, 3)
        return F.grid_sample(pictures, F.affine_grid(maps, (BATCH, 1, size, size), align_corners=True), align_corners=True)

    look = by_filterbank if kind == "filterbank" else by_grid_sample

    def work() -> None:
        numbers.grad = None
        look().sum().backward()

    rate = timed(work, seconds)
    return lambda: rate() * BATCH


def measure_windows(asked: Arguments) -> None:
    """Print the table of glimpses per second."""
    print_head(["window", "picture", "filterbank, glimpses/s", "grid_sample, glimpses/s", "filterbank / grid_sample"])
    for size, side in WINDOWS:
        with (
            Apart(make_glimpses, "filterbank", size, side, asked.seconds, threads=asked.threads) as bank,
            Apart(make_glimpses, "grid_sample", size, side, asked.seconds, threads=asked.threads) as crops,
        ):
            rates = interleave({"filterbank": bank, "grid_sample": crops}, asked.rounds)
        print_row([f"{size}×{size}", f"{side}×{side}", *map(spread, rates.values()), ratio(rates, "filterbank", "grid_sample")])


def make_memory(steps: int) -> Measure:
    """Make a training with T steps, and tell the most memory that it takes beside the libraries, in MiB."""
    before = peak_memory()
    update = make_update("ours", 0.0, DRAWConfig(steps=steps))

    def peak() -> float:
        update()
        return peak_memory() - before

    return peak


def measure_memory(asked: Arguments) -> None:
    """Print the table of memory against T."""
    print_head(["T", "peak memory, MiB"])
    for steps in asked.steps:
        with Apart(make_memory, steps, threads=asked.threads) as peak:
            print_row([steps, f"{peak():,.0f}"])


def main(asked: Arguments) -> None:
    """Measure what was asked for."""
    print_machine(pick_device().type, asked.threads, asked.rounds)
    if asked.window:
        measure_windows(asked)
    elif asked.memory:
        measure_memory(asked)
    else:
        measure_updates(asked)


if __name__ == "__main__":
    main(tyro.cli(Arguments, description=__doc__))

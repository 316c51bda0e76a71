"""How probable a model finds pictures: bounds of log p(x), in nats.

Two measures, which do not belong into one column: the evidence lower bound of a single sample of the latent variables (Kingma and
Welling 2013, equation 3), and the importance-weighted bound of k samples, which is never looser in expectation (Burda, Grosse,
Salakhutdinov 2015, arXiv 1509.00519, equation 8).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from rich.console import Console
from rich.progress import track
from torch import Tensor

from generative.latent import Inference, LatentModel
from generative.pictures import Batch, Pictures

CHUNK = 500


@dataclass(frozen=True)
class Bound:
    """A lower bound of log p(x), of a model by class of log p(x | class), its sign turned so that lower is better.

    Attributes:
        nats: mean over all pictures and passes.
        standard_error: of that mean, from how the passes differ; None of a single pass. It tells how much chance in the latent
            variables is left in the figure, not how it would change with other pictures.
        divergences: mean KL divergence of every step, (T,) in nats.
        passes: how often every picture was seen.
        examples: number of pictures.
    """

    nats: float
    standard_error: float | None
    divergences: tuple[float, ...]
    passes: int
    examples: int


def evidence_lower_bound(model: LatentModel, batch: Batch, inferred: Inference) -> Tensor:
    """Give log D(x | c_T) - Σ_t KL_t for each picture, (B,) in nats (DRAW's equation 12 with its sign turned)."""
    return model.output.log_probability(batch.pictures, inferred.canvas) - inferred.divergences.sum(0)


def log_weights(model: LatentModel, batch: Batch, inferred: Inference) -> Tensor:
    """Give log p(x, z) - log q(z | x) of the z drawn for each picture, (B,) in nats."""
    return model.output.log_probability(batch.pictures, inferred.canvas) + inferred.log_ratios


def draw_noise(model: LatentModel, count: int, generator: torch.Generator) -> Tensor:
    """Draw ε for so many pictures: (T, B, Z)."""
    return torch.randn((model.steps, count, model.latents), generator=generator, device=generator.device)


@torch.no_grad()
def measure(model: LatentModel, pictures: Pictures, passes: int = 1, seed: int = 0) -> Bound:
    """Measure the evidence lower bound, every picture once in each of several passes, one sample a time.

    Args:
        model: in evaluation mode.
        pictures: of which split.
        passes: at least 1.
        seed: of latent variables and of binarisation, drawn anew in each pass.

    Raises:
        ValueError: if there are no passes, or the pictures are not such as the model is of.
    """
    if passes < 1:
        raise ValueError(f"passes must be at least 1, got {passes}")
    means, divergences = [], torch.zeros(model.steps, device=pictures.images.device)
    for number in range(passes):
        generator = torch.Generator(pictures.images.device).manual_seed(seed + number)
        total = torch.zeros((), dtype=torch.float64, device=pictures.images.device)
        for batch in _watched(pictures, generator, f"pass {number + 1} of {passes}"):
            inferred = model(batch.pictures, draw_noise(model, len(batch.pictures), generator), batch.labels)
            total += evidence_lower_bound(model, batch, inferred).sum(dtype=torch.float64)
            divergences += inferred.divergences.sum(1)
        means.append(-float(total) / len(pictures))
    spread = None
    if passes > 1:
        spread = float(torch.tensor(means, dtype=torch.float64).std() / math.sqrt(passes))
    shares = (divergences / (passes * len(pictures))).tolist()
    return Bound(sum(means) / passes, spread, tuple(shares), passes, len(pictures))


@torch.no_grad()
def measure_importance_weighted(model: LatentModel, pictures: Pictures, samples: int, seed: int = 0) -> float:
    """Measure the importance-weighted bound log 1/k Σ p(x, z_i) / q(z_i | x), its sign turned, in nats.

    Args:
        model: in evaluation mode.
        pictures: of which split; each is binarised once, if it is.
        samples: k, at least 1.
        seed: of latent variables and of binarisation.

    Raises:
        ValueError: if there are no samples, or the pictures are not such as the model is of.
    """
    if samples < 1:
        raise ValueError(f"importance samples must be at least 1, got {samples}")
    generator = torch.Generator(pictures.images.device).manual_seed(seed)
    total = 0.0
    for batch in _watched(pictures, generator, f"{samples} samples of each"):
        weights = torch.full((len(batch.pictures),), -math.inf, device=pictures.images.device)
        for _ in range(samples):
            inferred = model(batch.pictures, draw_noise(model, len(batch.pictures), generator), batch.labels)
            weights = torch.logaddexp(weights, log_weights(model, batch, inferred))
        total += float((weights - math.log(samples)).sum(dtype=torch.float64))
    return -total / len(pictures)


def _watched(pictures: Pictures, generator: torch.Generator, what: str) -> Iterator[Batch]:
    """Show every picture once, and on a terminal how far that is."""
    console = Console(stderr=True)
    batches = pictures.batches(CHUNK, generator)
    total = -(-len(pictures) // CHUNK)
    yield from track(batches, what, total, console=console, transient=True, disable=not console.is_terminal)

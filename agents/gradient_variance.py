"""How noisy the location head's gradient is under each baseline, at the same parameters and for the same simulated steps.

    attention rl variance runs/digits

An estimate is the gradient of one update of the training (`agents.reinforce`) with respect to the location head, its weights and
its scan. Every estimate plays equally many episodes and so takes equally many environment steps: where a baseline compares episodes
of one picture (leave-one-out, self-critical) there are fewer pictures in it, and the greedy episodes of self-critical count. The
noise is the trace of the estimates' covariance, tr Cov(g) = E‖g − E g‖².
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.progress import track

from agents.config import BASELINES, ReinforceConfig, deviation_at
from agents.ram import RAM
from agents.reinforce import ReinforceLearner
from agents.train import load
from attention_core.statistics import Array
from attention_core.training import make_accelerator
from attention_core.zoo import pick_device

WARM_UP = 300
"""Batches that the moving average sees before it is measured: what it keeps of its start is 0.99^300, a twentieth."""


@dataclass(frozen=True)
class GradientVariance:
    """The noise of one baseline's gradient.

    Attributes:
        baseline: its name.
        pictures: different pictures in an estimate.
        samples: episodes of each that are learned from.
        variance: trace of the covariance of the estimates.
        error: its standard error.
        relative: the variance as a multiple of that without a baseline; not a number if that one is 0.
        relative_error: the standard error of this ratio.
    """

    baseline: str
    pictures: int
    samples: int
    variance: float
    error: float
    relative: float
    relative_error: float


def measure(reference: str, estimates: int, episodes: int, copies: int, seed: int) -> list[GradientVariance]:
    """Measure the noise of the location head's gradient under every baseline.

    The parameters are those of a trained agent; so is the learned baseline, while the moving average is warmed up at them. The
    locations' deviation σ is that of the training: at the update of a checkpoint, at the end for all else.

    Args:
        reference: a zoo name, a run folder, a checkpoint or a weights file of RAM.
        estimates: R, gradients drawn for each baseline, independently of the others'; at least 2.
        episodes: played for each estimate, greedy ones as well.
        copies: episodes of the same picture where a baseline compares them, of self-critical one of them greedy; at least 2.
        seed: of pictures and locations.

    Returns:
        A figure for each of `agents.config.BASELINES`, in that order.

    Raises:
        attention_core.zoo.ModelError: if there is no such model, or it is not RAM.
        ValueError: if a number is out of range, or the agent does not choose locations.
    """
    if estimates < 2:
        raise ValueError(f"a variance needs at least 2 estimates, got {estimates}")
    if copies < 2 or episodes < 1 or episodes % copies:
        raise ValueError(f"episodes must be a multiple of copies, and those at least 2; got episodes={episodes}, copies={copies}")
    player, config, _ = load(reference, pick_device())
    deviation = _deviation(reference, config)
    config = dataclasses.replace(config, deviation=deviation, final_deviation=deviation, location_weight=1.0, entropy_weight=0.0)
    spreads = {}
    for place, baseline in enumerate(BASELINES):
        learner = _learner(config, baseline, episodes, copies, seed + place, player.network)
        drawn = track(_gradients(learner, estimates), baseline, estimates, console=Console(stderr=True))
        spreads[baseline] = squared_distances(np.stack(list(drawn)))
    without = spreads["none"]
    return [
        GradientVariance(baseline, *_shape(baseline, episodes, copies), *mean_and_error(spread), *ratio_and_error(spread, without))
        for baseline, spread in spreads.items()
    ]


def _deviation(reference: str, config: ReinforceConfig) -> float:
    update = Path(reference).name
    return deviation_at(config, int(update) if update.isdigit() else config.training.updates)


def _shape(baseline: str, episodes: int, copies: int) -> tuple[int, int]:
    """Share an estimate's episodes out: pictures, and samples of each."""
    if baseline == "leave_one_out":
        return episodes // copies, copies
    if baseline == "self_critical":
        return episodes // copies, copies - 1
    return episodes, 1


def _learner(config: ReinforceConfig, baseline: str, episodes: int, copies: int, seed: int, network: RAM) -> ReinforceLearner:
    """Make a learner that uses a baseline, at the parameters of a network."""
    pictures, samples = _shape(baseline, episodes, copies)
    settings: dict[str, Any] = {"baseline": baseline, "batch_size": pictures, "samples": samples, "seed": seed}
    learner = ReinforceLearner(dataclasses.replace(config, **settings), make_accelerator(config.training))
    learner.released(learner.module).load_state_dict(network.state_dict())
    if baseline == "moving_average":
        with torch.no_grad():
            for _ in range(WARM_UP):
                learner.loss(learner.module)
    return learner


def _gradients(learner: ReinforceLearner, estimates: int) -> Iterator[Array]:
    """Draw estimates of the gradient, (d,) each. No part of the loss but the locations' reaches the location head."""
    network = learner.released(learner.module)
    head = [parameter for name, parameter in network.named_parameters() if name.startswith(("location_", "scan"))]
    for _ in range(estimates):
        loss, _ = learner.loss(learner.module)
        parts = [part.flatten() for part in torch.autograd.grad(loss, head, allow_unused=True) if part is not None]
        if learner.glimpses < 2 or not parts:
            raise ValueError("no location is chosen here: there is no gradient to measure")
        yield torch.cat(parts).double().cpu().numpy()


def squared_distances(gradients: Array) -> Array:
    """Give what each estimate adds to the trace of the covariance: (R, d) to (R,), whose mean is the trace."""
    count = len(gradients)
    distances: Array = np.square(gradients - gradients.mean(0)).sum(1) * count / (count - 1)
    return distances


def mean_and_error(values: Array) -> tuple[float, float]:
    """Give a mean and its standard error."""
    return float(values.mean()), float(values.std(ddof=1) / np.sqrt(len(values)))


def ratio_and_error(values: Array, others: Array) -> tuple[float, float]:
    """Give the ratio of two independent means and its standard error, to first order in theirs; not numbers for a mean of 0."""
    (mean, error), (other, other_error) = mean_and_error(values), mean_and_error(others)
    if values is others:
        return 1.0, 0.0
    if other == 0:
        return float("nan"), float("nan")
    return mean / other, float(np.hypot(error, mean / other * other_error)) / other


def as_table(figures: list[GradientVariance]) -> str:
    """Write the figures as a table in Markdown."""
    lines = ["| baseline | pictures × samples | tr Cov | relative to none |", "| --- | --- | --- | --- |"]
    lines += [
        f"| {row.baseline} | {row.pictures} × {row.samples} | {row.variance:.3g} ± {row.error:.1g} "
        f"| {row.relative:.3f} ± {row.relative_error:.3f} |"
        for row in figures
    ]
    return "\n".join(lines)

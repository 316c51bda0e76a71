"""How noisy the location head's gradient is under each baseline, at the same parameters and for the same simulated steps.

    attention rl variance runs/digits

An estimate is the gradient of one update of the training (`agents.reinforce`) with respect to the location head, its weights and
its scan. Every estimate plays equally many episodes, see `attention_core.gradient_variance`, and so takes equally many environment
steps.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import torch

from agents.config import BASELINES, ReinforceConfig, deviation_at
from agents.ram import RAM
from agents.reinforce import ReinforceLearner
from agents.train import load
from attention_core.gradient_variance import (
    WARM_UP,
    GradientVariance,
    check_numbers,
    collect,
    mean_and_error,
    ratio_and_error,
    share_out,
    squared_distances,
)
from attention_core.statistics import Array
from attention_core.training import make_accelerator
from attention_core.zoo import find_model, pick_device


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
    check_numbers(estimates, episodes, copies)
    player, config, _ = load(reference, pick_device())
    deviation = _deviation(reference, config)
    config = dataclasses.replace(config, deviation=deviation, final_deviation=deviation, location_weight=1.0, entropy_weight=0.0)
    spreads = {}
    for place, baseline in enumerate(BASELINES):
        learner = _learner(config, baseline, episodes, copies, seed + place, player.network)
        spreads[baseline] = squared_distances(collect(_gradients(learner, estimates), baseline, estimates))
    without = spreads["none"]
    return [
        GradientVariance(
            baseline, *share_out(baseline, episodes, copies), *mean_and_error(spread), *ratio_and_error(spread, without)
        )
        for baseline, spread in spreads.items()
    ]


def _deviation(reference: str, config: ReinforceConfig) -> float:
    folder = find_model(reference).weights.resolve().parent
    at_checkpoint = folder.parent.name == "checkpoint"  # run folders may have numbers for names as well
    return deviation_at(config, int(folder.name) if at_checkpoint else config.training.updates)


def _learner(config: ReinforceConfig, baseline: str, episodes: int, copies: int, seed: int, network: RAM) -> ReinforceLearner:
    """Make a learner that uses a baseline, at the parameters of a network; of whole returns, as most baselines ask for."""
    pictures, samples = share_out(baseline, episodes, copies)
    settings: dict[str, Any] = {"baseline": baseline, "trace": 1.0, "batch_size": pictures, "samples": samples, "seed": seed}
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

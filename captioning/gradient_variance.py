"""How noisy the gradient of where to look is under each baseline, with and without the entropy's term, at the same parameters.

    attention caption variance runs/scenes-hard-0

An estimate is the gradient with respect to the attention network, f_att, of what teaches it in one update of the training, the
places' part and the entropy's (`captioning.hard.looking`). Every estimate plays equally many episodes, see
`attention_core.gradient_variance`; a batch has all reference captions of its pictures, so the examples of which a baseline compares
episodes are the captions. It is REINFORCE's gradient alone: no caption is shown the expectation, and nothing is dropped out.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch

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
from attention_core.zoo import ModelError, pick_device
from captioning.config import BASELINES, CaptionConfig
from captioning.decoder import Captioner
from captioning.hard import EpisodeLearner, looking
from captioning.loading import load
from captioning.sources import make_source


@dataclass(frozen=True)
class LookingVariance(GradientVariance):
    """The noise of one baseline's gradient with one weight of the entropy.

    Attributes:
        samples: episodes of each picture that are learned from, those of all its captions together.
        relative: the variance as a multiple of that without a baseline and without the entropy's term.
        entropy_weight: λ_e.
    """

    entropy_weight: float

    def cells(self) -> dict[str, str]:
        """Write a row of the table, by the titles of its columns."""
        return {"baseline": self.baseline, "entropy weight": f"{self.entropy_weight:g}", **super().cells()}


def measure(reference: str, estimates: int, episodes: int, copies: int, seed: int) -> list[LookingVariance]:
    """Measure the noise of the attention network's gradient under every baseline, with and without the entropy's term.

    The parameters are those of a trained captioner; the moving average is warmed up at them. The entropy's weight is 0 and that of
    the training, of the same episodes; the places' weight λ_r is that of the training.

    Args:
        reference: a zoo name, a run folder, a checkpoint or a weights file of a captioner with hard attention.
        estimates: R, gradients drawn for each baseline, independently of the others'; at least 2.
        episodes: played for each estimate, greedy ones as well.
        copies: episodes of the same caption where a baseline compares them, of self-critical one of them greedy; at least 2.
        seed: of pictures and places.

    Returns:
        A figure for each of `captioning.config.BASELINES` without the entropy's term, in that order, each followed by the one with
        it, if there is such a term.

    Raises:
        attention_core.zoo.ModelError: if there is no such model, or none that learned from likelihood with hard attention.
        ValueError: if a number is out of range.
    """
    check_numbers(estimates, episodes, copies)
    device = pick_device()
    captioner, config, vocabulary, name = load(reference, device)
    if (config.attention, config.reward) != ("hard", "likelihood"):
        raise ModelError(
            f"{name} has {config.attention} attention and learned from {config.reward}: give a captioner with hard attention that "
            "learned from likelihood"
        )
    references = make_source(config, "validation", device, vocabulary).references
    if episodes % (copies * references):
        raise ValueError(
            f"episodes must be a multiple of copies times captions of a picture, {copies} × {references}; got {episodes}"
        )
    config = dataclasses.replace(config, expected=0.0, dropout=0.0, annotation_dropout=None)
    weights = tuple(dict.fromkeys((0.0, config.entropy_weight)))
    shapes, spreads = {}, {}
    for place, baseline in enumerate(BASELINES):
        pictures, samples = share_out(baseline, episodes // references, copies)
        shapes[baseline] = pictures, samples * references
        learner = _learner(config, baseline, pictures, samples, seed + place, captioner)
        distances = squared_distances(collect(_gradients(learner, weights, estimates), baseline, estimates))  # (R, weights)
        spreads.update({(baseline, weight): spread for weight, spread in zip(weights, distances.T, strict=True)})
    without = spreads["none", 0.0]
    return [
        LookingVariance(
            baseline, *shapes[baseline], *mean_and_error(spread), *ratio_and_error(spread, without, baseline == "none"), weight
        )
        for (baseline, weight), spread in spreads.items()
    ]


def _learner(config: CaptionConfig, baseline: str, pictures: int, samples: int, seed: int, captioner: Captioner) -> EpisodeLearner:
    """Make a learner that uses a baseline, at the parameters of a captioner."""
    settings: dict[str, Any] = {"baseline": baseline, "batch_size": pictures, "samples": samples, "seed": seed}
    learner = EpisodeLearner(dataclasses.replace(config, **settings), make_accelerator(config.training))
    learner.captioner.load_state_dict(captioner.state_dict())
    if baseline == "moving_average":
        with torch.no_grad():
            for _ in range(WARM_UP):
                learner.parts()
    return learner


def _gradients(learner: EpisodeLearner, entropy_weights: Sequence[float], estimates: int) -> Iterator[Array]:
    """Draw estimates of the gradient, (W, d) each, the same episodes with every weight of the entropy."""
    parameters = list(learner.captioner.attention.parameters())
    for _ in range(estimates):
        parts = learner.parts()
        gradients = [
            torch.autograd.grad(looking(parts, learner.config.location_weight, weight), parameters, retain_graph=True)
            for weight in entropy_weights
        ]
        yield torch.stack([torch.cat([part.flatten() for part in gradient]) for gradient in gradients]).cpu().numpy()

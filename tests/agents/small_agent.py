"""Episodes of the tests' small agent: some of them, or all that can happen."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from agents.config import ReinforceConfig
from agents.player import Episodes, Noise, Player, names_always
from agents.reinforce import losses
from attention_env.batch import make_split

CPU = torch.device("cpu")
CERTAIN = 1e6
"""Noise that leaves nothing to chance."""


def draw_noise(player: Player, config: ReinforceConfig, rows: int, seed: int = 0) -> Noise:
    """Draw the chance in a batch as the training does."""
    environment = make_split(config, CPU, 1, "train")
    return player.noise(environment, (rows,), torch.Generator().manual_seed(seed), config.deviation, config.rule == "pure")


def play(player: Player, config: ReinforceConfig, index: Any, noise: Noise | None) -> Episodes:
    """Play an episode with each of some training pictures."""
    environment = make_split(config, CPU, len(index), "train")
    episodes: Episodes = player(environment, {"index": np.asarray(index)}, noise)
    return episodes


def play_all(player: Player, config: ReinforceConfig) -> tuple[Episodes, Tensor]:
    """Play every episode that can happen with the training pictures, where what is looked at are cells.

    What would be chosen after an early end is gone through as well: it changes nothing, and its probabilities sum to 1.

    Returns:
        The episodes, and the probability of each given its picture, (B,), differentiable.
    """
    environment = make_split(config, CPU, 1, "train")
    glimpses, classes = environment.settings.glimpses, environment.pictures.classes
    names = 0 if config.rule == "hybrid" else glimpses if names_always(environment) else 1
    stops = (glimpses - 1) * environment.settings.stop
    limits = [player.looking.numbers] * (glimpses - 1) + [classes] * names + [2] * stops
    pictures = len(environment.pictures)
    choices = torch.tensor(list(itertools.product(*map(range, limits)))).T.repeat_interleave(pictures, dim=1)
    cells, named, stopped = choices.split([glimpses - 1, names, stops])

    answers = F.one_hot(named, classes) * CERTAIN
    noise = Noise(
        look=F.one_hot(cells, player.looking.numbers) * CERTAIN,
        answer=None if not names else answers if names > 1 or glimpses == 1 else answers[0],
        stop=F.pad(2.0 * stopped - 1, (0, 0, 0, 1)) * CERTAIN if stops else None,
    )
    episodes = play(player, config, np.tile(np.arange(pictures), choices.shape[1] // pictures), noise)
    assert torch.equal(episodes.looks, cells)

    network, states = player.network, episodes.states
    heads = network.location_mean(states[:-1], episodes.glimpses, slice(glimpses - 1))
    logs = _chosen(heads, cells).sum(0)
    if names:
        logs = logs + _chosen(network.class_scores(states[-names:]), named).sum(0)
    if stops:
        logs = logs + F.logsigmoid((2 * stopped - 1) * network.stop_score(states[:-1])).sum(0)
    return episodes, logs.exp()


def _chosen(scores: Tensor, choices: Tensor) -> Tensor:
    """Log-probabilities of choices, (T, B), by the softmax of scores, (T, B, K)."""
    return scores.log_softmax(-1).gather(-1, choices[..., None])[..., 0]


def expected_loss(player: Player, config: ReinforceConfig, episodes: Episodes, chances: Tensor, *parts: str) -> Tensor:
    """Weigh some parts of the loss of every episode that can happen with its probability; the gradient is the estimate's mean.

    Args:
        player: who played them.
        config: the rule.
        episodes: from `play_all`, their rewards as the rule credits them.
        chances: (B,), the probability of each, given its picture.
        parts: names of parts of the loss.
    """
    total = torch.zeros(())
    for row, chance in enumerate(chances.detach()):
        found = losses(player, episodes.rows(slice(row, row + 1)), config, config.deviation)
        total = total + chance * sum((found[part] for part in parts), torch.zeros(()))
    return total / chances.detach().sum()

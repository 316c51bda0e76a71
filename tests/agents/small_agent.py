"""Episodes of the tests' small agent."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from agents.config import ReinforceConfig
from agents.player import Episodes, Noise, Player, make_environment

CPU = torch.device("cpu")


def draw_noise(config: ReinforceConfig, rows: int, glimpses: int = 6, seed: int = 0) -> Noise:
    """Draw the chance in a batch, for both rules."""
    generator = torch.Generator().manual_seed(seed)
    location = config.deviation * torch.randn(glimpses - 1, rows, 2, generator=generator)
    return Noise(location, torch.randn(rows, 10, generator=generator) if config.rule == "pure" else None)


def play(player: Player, config: ReinforceConfig, index: Any, noise: Noise | None) -> Episodes:
    """Play an episode with each of some training pictures."""
    environment = make_environment(config, CPU, len(index), "train")
    episodes: Episodes = player(environment, {"index": np.asarray(index)}, noise)
    return episodes

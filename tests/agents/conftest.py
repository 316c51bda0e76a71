"""What the tests of the agents share: a small agent whose layers all differ in width."""

from __future__ import annotations

import pytest
import torch
from small_agent import CPU, play

from agents.config import RAMConfig, ReinforceConfig
from agents.player import Player, make_environment, new_player
from attention_core.config import TrainingConfig


@pytest.fixture
def config() -> ReinforceConfig:
    """A small agent in the environment that needs no download."""
    return ReinforceConfig(
        env="attention_env/Digits-v0",
        deviation=0.3,
        batch_size=8,
        network=RAMConfig(glimpse_width=12, location_width=10, hidden=16),
        training=TrainingConfig(updates=4, warmup=1, log_every=2, validate_every=2),
    )


@pytest.fixture
def player(config: ReinforceConfig) -> Player:
    """That agent, with weights large enough that it looks at different places and names different classes."""
    player = new_player(config, make_environment(config, CPU, 1, "train"))
    torch.manual_seed(1)
    with torch.no_grad():
        for parameter in player.network.parameters():
            parameter.normal_(std=0.3)
        # States are not negative: without this the heads would say nearly the same of all of them.
        states = play(player, config, range(100), None).states
        player.network.scan -= player.network.location_head(states).mean((0, 1))
        player.network.class_head.bias -= player.network.class_head(states[-1]).mean(0)
    return player

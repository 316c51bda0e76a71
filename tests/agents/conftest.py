"""What the tests of the agents share: a small agent whose layers all differ in width, and a task of few possible episodes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from small_agent import CPU, draw_noise, play

from agents.config import RAMConfig, ReinforceConfig
from agents.player import Player, new_player
from attention_core.config import TrainingConfig
from attention_env.batch import make_split


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
def make_player() -> Callable[[ReinforceConfig], Player]:
    """Make that agent with weights large enough that it looks at different places, names different classes, and stops or not."""

    def make(config: ReinforceConfig) -> Player:
        environment = make_split(config, CPU, 1, "train")
        player = new_player(config, environment)
        network = player.network
        torch.manual_seed(1)
        with torch.no_grad():
            for parameter in network.parameters():
                if parameter.requires_grad:
                    parameter.normal_(std=0.3)
            # States are not negative: without this the heads would say nearly the same of all of them.
            index = range(min(100, len(environment.pictures)))
            noise = draw_noise(player, config, len(index)) if player.looking.always_by_chance else None
            states = play(player, config, index, noise).states[..., : network.hidden]
            if network.location_eye is None:
                network.scan -= network.location_head(states).mean((0, 1))
            network.class_head.bias -= network.class_head(states[-1]).mean(0)
            if network.stop_head is not None:
                network.stop_head.bias -= network.stop_head(states[0]).mean()
        return player

    return make


@pytest.fixture
def player(config: ReinforceConfig, make_player: Callable[[ReinforceConfig], Player]) -> Player:
    """That agent as it is by default."""
    return make_player(config)


@pytest.fixture
def toy() -> dict[str, Any]:
    """Settings of a task that can be gone through: three pictures of three classes, two glimpses, four places to look at."""
    images = np.random.default_rng(0).random((3, 8, 8), np.float32)
    return {"source": (images, np.arange(3)), "glimpses": 2, "action_format": "grid", "grid": 2}

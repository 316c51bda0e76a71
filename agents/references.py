"""Reference classifiers: networks that see the whole picture at once, to tell what looking at parts of it costs or gains.

Mnih et al. 2014 (arXiv 1406.6247, section 4.1 and table 1) set two beside RAM: two fully connected layers of 256 rectified linear
units, and a convolution of 8 filters of 10×10 with stride 5 before a fully connected layer of 256 units, all rectified. Both
learn by cross-entropy from the true classes of the very pictures that the environments show, drawn, distorted and composed by them.
"""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from agents.evaluate import Score, figures
from agents.rival_config import CNNConfig, MLPConfig, ReferenceConfig
from attention_core.config import to_dict
from attention_core.curves import draw_panels
from attention_core.run_folder import RunFolder
from attention_core.splits import closed_test_splits
from attention_core.training import ERROR_RATE, fit, make_accelerator
from attention_core.zoo import find_model, pick_device
from attention_env.classification import ClassifierLearner, count_errors, make_environment, picture_shape
from attention_env.envs.glimpse import GlimpseVectorEnv

CONFIGS: dict[str, type[ReferenceConfig]] = {kind.agent: kind for kind in (MLPConfig, CNNConfig)}
PANELS = {
    "success in training": ["charts/success"],
    "error on validation pictures": [ERROR_RATE],
    "loss": ["losses/answer"],
    "learning rate": ["charts/learning_rate"],
}

# The networks -----------------------------------------------------------------------------------------------------------


class MLP(nn.Sequential):
    """Two fully connected layers of rectified linear units, and scores of the classes.

    Args:
        shape: of a picture, (C, H, W).
        classes: number of classes.
        hidden: units of each layer.
    """

    def __init__(self, shape: tuple[int, int, int], classes: int, hidden: int) -> None:
        super().__init__(
            nn.Flatten(),
            nn.Linear(math.prod(shape), hidden),
            nn.ReLU(),
            nn.Linear(hidden, hidden),
            nn.ReLU(),
            nn.Linear(hidden, classes),
        )


class CNN(nn.Sequential):
    """A convolution, a fully connected layer, both of rectified linear units, and scores of the classes.

    Args:
        shape: of a picture, (C, H, W).
        classes: number of classes.
        hidden: units of the fully connected layer.
        filters: filters of the convolution.
        kernel: their side in pixels.
        stride: pixels between two places of a filter.

    Raises:
        ValueError: if a filter is larger than the picture.
    """

    def __init__(
        self, shape: tuple[int, int, int], classes: int, hidden: int, filters: int = 8, kernel: int = 10, stride: int = 5
    ) -> None:
        channels, height, width = shape
        if kernel > min(height, width):
            raise ValueError(f"kernel={kernel} is larger than the pictures, {height}×{width}: choose a smaller one")
        places = math.prod((side - kernel) // stride + 1 for side in (height, width))
        super().__init__(
            nn.Conv2d(channels, filters, kernel, stride),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(filters * places, hidden),
            nn.ReLU(),
            nn.Linear(hidden, classes),
        )


def new_network(config: ReferenceConfig, environment: GlimpseVectorEnv) -> nn.Module:
    """Make an untrained network for the pictures of an environment; its weights depend on `config.seed` alone."""
    shape, classes = picture_shape(environment), environment.pictures.classes
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        if isinstance(config, CNNConfig):
            return CNN(shape, classes, config.hidden, config.filters, config.kernel, config.stride)
        return MLP(shape, classes, config.hidden)


# Training and scoring ---------------------------------------------------------------------------------------------------


def score(network: nn.Module, config: ReferenceConfig, split: str, device: torch.device) -> Score:
    """Score a network on a split: every picture exactly once, the likeliest class."""
    return Score(*count_errors(network, config, split, device), coverage=0.0)


class ReferenceLearner(ClassifierLearner):
    """A reference and its pictures, as the training loop wants them."""

    config: ReferenceConfig

    def new_network(self) -> nn.Module:
        """Make the network that the settings describe."""
        return new_network(self.config, self.environment)


@closed_test_splits()
def train(config: ReferenceConfig, place: Path, max_seconds: float | None = None) -> RunFolder:
    """Train a reference, or go on with a training, to the same numbers; see `agents.registry.train`."""
    accelerator = make_accelerator(config.training)
    folder = RunFolder(place, writes=accelerator.is_main_process)
    settings = {"kind": config.agent, **to_dict(config)}
    folder.check(settings)
    learner = ReferenceLearner(config, accelerator)
    folder.begin(settings)
    fit(learner, config.training, folder, accelerator, max_seconds)
    if folder.writes:
        draw_panels(folder, PANELS, "updates")
    return folder


def load(reference: str, device: torch.device) -> tuple[nn.Module, ReferenceConfig, str]:
    """Load a reference from a zoo name, a run folder or a weights file.

    Returns:
        The network, its settings, and its name.

    Raises:
        ModelError: if there is none, or it is another kind of model.
    """
    saved = find_model(reference)
    config = saved.settings(CONFIGS, f"one of {', '.join(CONFIGS)}")
    network = new_network(config, make_environment(config, device, 1, "validation")).to(device)
    saved.load_into(network)
    return network, config, saved.name


def evaluate(reference: str, split: str = "test", runs: int = 0, env_kwargs: dict[str, Any] | None = None) -> dict[str, Any]:
    """Score a trained reference; see `agents.registry.report`. Nothing in it is drawn by chance: all `runs` are the same."""
    device = pick_device()
    network, config, name = load(reference, device)
    config = replace(config, env_kwargs={**config.env_kwargs, **(env_kwargs or {})})
    result, environment = score(network, config, split, device), make_environment(config, device, 1, split)
    return figures(name, config, environment, split, result, [result] * runs, {"locations": "whole picture"})

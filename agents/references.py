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

import numpy as np
import torch
import torch.nn.functional as F
from accelerate import Accelerator
from gymnasium.vector import AutoresetMode
from numpy.typing import NDArray
from torch import Tensor, nn

from agents.curves import draw_panels
from agents.environments import make_batch
from agents.evaluate import CHUNK, Score, figures
from agents.reinforce import ShuffledIndex
from agents.rival_config import CNNConfig, MLPConfig, ReferenceConfig
from attention_core.config import from_dict, to_dict
from attention_core.run_folder import RunFolder
from attention_core.training import CHOOSES, fit, make_accelerator
from attention_core.zoo import ModelError, find_model, pick_device
from attention_env.envs.glimpse import GlimpseVectorEnv

CONFIGS: dict[str, type[ReferenceConfig]] = {kind.agent: kind for kind in (MLPConfig, CNNConfig)}
PANELS = {
    "success in training": ["charts/success"],
    "error on validation pictures": ["validation/error_rate"],
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
    environment.reset()  # composed scenes are larger than the pictures that they are made of
    _, channels, height, width = environment.images().shape
    shape, classes = (channels, height, width), environment.pictures.classes
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        if isinstance(config, CNNConfig):
            return CNN(shape, classes, config.hidden, config.filters, config.kernel, config.stride)
        return MLP(shape, classes, config.hidden)


# The pictures -----------------------------------------------------------------------------------------------------------


def make_environment(
    config: ReferenceConfig, device: torch.device, count: int, split: str, training: bool = False
) -> GlimpseVectorEnv:
    """Make the batched environment whose pictures are classified.

    Args:
        config: names the environment and its settings.
        device: where everything is computed.
        count: number of rows.
        split: which pictures.
        training: whether the settings for training alone (`training_kwargs`) hold as well.

    Raises:
        ValueError: if it is no glimpse environment, or its pictures have no classes.
    """
    settings = {**config.env_kwargs, **(config.training_kwargs if training else {}), "split": split}
    environment = make_batch(
        config.env, count, **settings, output="torch", device=str(device), autoreset_mode=AutoresetMode.DISABLED
    )
    if environment.acts:
        raise ValueError(f"{config.agent} learns to name pictures, and those of {config.env} have no classes: use ram, ppo, …")
    return environment


def show(environment: GlimpseVectorEnv, index: NDArray[np.int64]) -> tuple[Tensor, Tensor]:
    """Show chosen pictures, one in each of the environment's n rows.

    Args:
        environment: from `make_environment`.
        index: (n,), which pictures.

    Returns:
        The pictures, (n, C, H, W) float32 in [0, 1], and their classes, (n,).
    """
    environment.reset(options={"index": index})
    return environment.images(), environment.started()[1]


@torch.no_grad()
def score(network: nn.Module, config: ReferenceConfig, split: str, device: torch.device) -> Score:
    """Score a network on a split: every picture exactly once, the likeliest class."""
    environment = make_environment(config, device, 1, split)
    count = len(environment.pictures)
    wrong = torch.zeros((), dtype=torch.int64, device=device)
    for first in range(0, count, CHUNK):
        index = np.arange(first, min(first + CHUNK, count))
        if environment.num_envs != len(index):
            environment = make_environment(config, device, len(index), split)
        pictures, labels = show(environment, index)
        wrong += (network(pictures).argmax(-1) != labels).sum()
    return Score(int(wrong), count, coverage=0.0)


# Training and scoring ---------------------------------------------------------------------------------------------------


class ReferenceLearner:
    """A network and its pictures, as the training loop wants them.

    Of several processes each sees its own part of every batch.
    """

    def __init__(self, config: ReferenceConfig, accelerator: Accelerator) -> None:
        """Make environment, network and the order of the pictures.

        Raises:
            ValueError: if the batch cannot be shared out evenly, or the pictures have no classes.
        """
        processes, number = accelerator.num_processes, accelerator.process_index
        if config.batch_size % processes:
            raise ValueError(f"batch_size={config.batch_size} cannot be shared out evenly among {processes} processes")
        share = config.batch_size // processes
        self.config = config
        self.device = accelerator.device
        self.mine = slice(number * share, (number + 1) * share)
        self.examples_per_update = config.batch_size
        self.environment = make_environment(config, self.device, share, "train", training=True)
        self.module = new_network(config, self.environment).to(self.device)
        self.order = ShuffledIndex(len(self.environment.pictures), config.seed)
        self.environment.reset(seed=config.seed + 1 + 1000 * number)  # of distortion and composition

    def loss(self, module: nn.Module) -> tuple[Tensor, dict[str, Tensor]]:
        """Classify the next batch of pictures."""
        pictures, labels = show(self.environment, self.order.take(self.config.batch_size)[self.mine])
        scores = module(pictures)
        loss = F.cross_entropy(scores, labels)
        return loss, {"losses/answer": loss, "charts/success": (scores.argmax(-1) == labels).float().mean()}

    def parameter_groups(self) -> list[dict[str, Any]]:
        """All parameters, together."""
        return [{"params": list(self.module.parameters())}]

    def released(self, module: nn.Module) -> nn.Module:
        """The network itself."""
        return module

    def validate(self, module: nn.Module) -> dict[str, float]:
        """Classify every validation picture once."""
        return {CHOOSES: score(module, self.config, "validation", self.device).error_rate}

    def state_dict(self) -> dict[str, Any]:
        """Take down the place in the data and the environment's random stream."""
        return {"order": self.order.state_dict(), "environment": self.environment.random_state()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take them up again."""
        self.order.load_state_dict(state["order"])
        self.environment.set_random_state(state["environment"].cpu())


def train(config: ReferenceConfig, place: Path, max_seconds: float | None = None) -> RunFolder:
    """Train a reference, or go on with a training, to the same numbers; see `agents.registry.train`."""
    accelerator = make_accelerator(config.training)
    folder = RunFolder(place, writes=accelerator.is_main_process)
    folder.begin({"kind": config.agent, **to_dict(config)})
    fit(ReferenceLearner(config, accelerator), config.training, folder, accelerator, max_seconds)
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
    settings = dict(saved.config)
    kind = settings.pop("kind", None)
    if kind not in CONFIGS:
        raise ModelError(f"{saved.name} is a model of kind {kind!r}, not one of {', '.join(CONFIGS)}")
    config = from_dict(CONFIGS[kind], settings)
    network = new_network(config, make_environment(config, device, 1, "validation")).to(device)
    saved.load_into(network)
    return network, config, saved.name


def evaluate(reference: str, split: str = "test", runs: int = 0, env_kwargs: dict[str, Any] | None = None) -> dict[str, Any]:
    """Score a trained reference; see `agents.registry.report`. Nothing in it is drawn by chance: all `runs` are the same."""
    device = pick_device()
    network, config, name = load(reference, device)
    config = replace(config, env_kwargs={**config.env_kwargs, **(env_kwargs or {})})
    result = score(network, config, split, device)
    return figures(name, config.env, split, False, result, [result] * runs, {"locations": "whole picture"})

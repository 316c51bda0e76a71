"""Learning to name the pictures that the environments show: whoever sees them whole learns from the same as those who look around.

Pictures are drawn, distorted and composed by the batched environment itself; a validation or test picture is the one that it
would show.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, Protocol

import numpy as np
import torch
import torch.nn.functional as F
from accelerate import Accelerator
from numpy.typing import NDArray
from torch import Tensor, nn

from attention_core.order import ShuffledIndex
from attention_core.training import ERROR_RATE, SteadyLearner, share_of
from attention_env.batch import World, every_picture, make_split
from attention_env.envs.glimpse import GlimpseVectorEnv

CHUNK = 500


class ClassifierConfig(World, Protocol):
    """What the settings of a classifier say at least."""

    @property
    def batch_size(self) -> int:
        """Pictures per update, over all processes."""

    @property
    def seed(self) -> int:
        """Seed of weights and pictures."""


def make_environment(world: World, device: torch.device, count: int, split: str, training: bool = False) -> GlimpseVectorEnv:
    """Make the batched environment whose pictures are classified; see `attention_env.batch.make_split`.

    Raises:
        ValueError: if it is no glimpse environment, or its pictures have no classes.
    """
    environment = make_split(world, device, count, split, training)
    if environment.acts:
        raise ValueError(f"the pictures of {world.env} have no classes to be named: choose an environment whose pictures have")
    return environment


def picture_shape(environment: GlimpseVectorEnv) -> tuple[int, int, int]:
    """Tell the (C, H, W) of what an environment shows; composed scenes are larger than the pictures that they are made of."""
    environment.reset()
    _, channels, height, width = environment.images().shape
    return channels, height, width


def show(environment: GlimpseVectorEnv, index: NDArray[np.int64], seed: int | None = None) -> tuple[Tensor, Tensor]:
    """Show chosen pictures, one in each of the environment's n rows.

    Args:
        environment: from `make_environment`.
        index: (n,), which pictures.
        seed: of distortion and composition; by default they go on with the environment's own chance.

    Returns:
        The pictures, (n, C, H, W) float32 in [0, 1], and their classes, (n,).
    """
    environment.reset(seed=seed, options={"index": index})
    return environment.images(), environment.started()[1]


@torch.no_grad()
def count_errors(network: nn.Module, config: ClassifierConfig, split: str, device: torch.device) -> tuple[int, int]:
    """Show a network every picture of a split exactly once.

    Args:
        network: makes of pictures, (n, C, H, W), scores of the classes, (n, K) or, glimpse by glimpse, (N, n, K); the last count.
        config: names the environment and its settings.
        split: which pictures.
        device: where to compute.

    Returns:
        How many are misnamed, the likeliest class being named, and of how many.
    """

    def make(rows: int) -> GlimpseVectorEnv:
        return make_environment(config, device, rows, split)

    count = len(make(1).pictures)
    wrong = torch.zeros((), dtype=torch.int64, device=device)
    for environment, index in every_picture(make, count, CHUNK):
        pictures, labels = show(environment, index, seed=int(index[0]))
        scores = network(pictures)
        wrong += ((scores if scores.dim() == 2 else scores[-1]).argmax(-1) != labels).sum()
    return int(wrong), count


class ClassifierLearner(SteadyLearner):
    """A network and its pictures, as the training loop wants them.

    Of several processes each sees its own part of every batch.

    Attributes:
        config: the settings.
        environment: whose pictures are learned from.
        module: the network.
    """

    chooses = ERROR_RATE

    def __init__(self, config: ClassifierConfig, accelerator: Accelerator) -> None:
        """Make environment, network and the order of the pictures.

        Raises:
            ValueError: if the batch cannot be shared out evenly, or the pictures have no classes.
        """
        self.mine = share_of(accelerator, config.batch_size)
        self.config = config
        self.device = accelerator.device
        self.examples_per_update = config.batch_size
        self.environment = make_environment(config, self.device, self.mine.stop - self.mine.start, "train", training=True)
        self.module = self.new_network().to(self.device)
        self.order = ShuffledIndex(len(self.environment.pictures), config.seed)
        self.environment.reset(seed=config.seed + 1 + 1000 * accelerator.process_index)  # of distortion and composition

    @abstractmethod
    def new_network(self) -> nn.Module:
        """Make the untrained network for the pictures of `environment`."""

    def answer_loss(self, scores: Tensor, labels: Tensor) -> Tensor:
        """Give the loss of the scores of one batch."""
        return F.cross_entropy(scores, labels)

    def batch(self) -> tuple[Tensor, Tensor]:
        """Show the next pictures: them and their classes."""
        return show(self.environment, self.order.take(self.config.batch_size)[self.mine])

    def batch_loss(self, module: nn.Module, batch: tuple[Tensor, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        """Classify pictures."""
        pictures, labels = batch
        scores = module(pictures)
        loss = self.answer_loss(scores, labels)
        named = (scores if scores.dim() == 2 else scores[-1]).argmax(-1)
        return loss, {"losses/answer": loss, "charts/success": (named == labels).float().mean()}

    def validate(self, module: nn.Module) -> dict[str, float]:
        """Classify every validation picture once."""
        wrong, count = count_errors(module, self.config, "validation", self.device)
        return {ERROR_RATE: wrong / count}

    def state_dict(self) -> dict[str, Any]:
        """Take down the place in the data and the environment's random stream."""
        return {"order": self.order.state_dict(), "environment": self.environment.random_state()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take them up again."""
        self.order.load_state_dict(state["order"])
        self.environment.set_random_state(state["environment"].cpu())

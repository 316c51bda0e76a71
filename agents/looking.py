"""How an agent chooses where to look: the distributions over looks, and the actions that they become.

Every one turns the location head's numbers into looks with chance that was drawn beforehand, so that a batch can be played again,
by several processes too, and tells how probable a look was. Without chance a look is the likeliest.

| kind | the head's numbers are | a look is | the environment's format |
|---|---|---|---|
| `Gaussian` | the mean of (x, y), and of zoom and rotation where switched on | mean + σ·noise (Mnih et al. 2014) | "dict" |
| `Cells` | a score for each cell of a grid | the cell of the greatest score + Gumbel noise | "grid" |
| `Anywhere` | not asked | uniform noise | "dict" |
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from attention_core.policy_gradient import gaussian_log_probability, gumbel_noise, sample_categorical
from attention_env.options import GlimpseOptions

POSE = ("location", "zoom", "rotation")
"""The parts of an observation that say where and how its glimpse was taken."""


def pose(observation: dict[str, Tensor]) -> Tensor:
    """Join what an observation says about where and how its glimpse was taken: (B, 2), more with zoom (1) and rotation (2)."""
    parts = [observation[name] for name in POSE if name in observation]
    return parts[0] if len(parts) == 1 else torch.cat(parts, dim=1)


@dataclass(frozen=True)
class Looking(ABC):
    """A distribution over looks.

    Attributes:
        numbers: how many numbers the location head gives.
        bounded: whether these are means, to be bounded, or scores.
        always_by_chance: whether there is no likeliest look.
    """

    numbers: int
    bounded: ClassVar[bool] = True
    always_by_chance: ClassVar[bool] = False

    @abstractmethod
    def noise(self, shape: tuple[int, ...], generator: torch.Generator, deviation: float) -> Tensor:
        """Draw the chance of as many looks as `shape` says, (*shape, D), on the generator's device."""

    @abstractmethod
    def choose(self, head: Tensor, noise: Tensor | None) -> Tensor:
        """Choose looks, (B, …), by the head's numbers, (B, numbers), and chance, (B, D), or the likeliest ones."""

    @abstractmethod
    def nowhere(self, count: int, device: torch.device) -> Tensor:
        """Give looks, (count, …), for actions of which they are ignored."""

    @abstractmethod
    def log_probability(self, look: Tensor, head: Tensor, deviation: float | Tensor) -> Tensor:
        """Tell the log-probability (or log-density) of looks, (T, B, …), given the head's numbers, (T, B, numbers): (T, B)."""

    @abstractmethod
    def action(self, look: Tensor, label: Tensor, stop: Tensor | None) -> Any:
        """Write looks, classes named, (B,), and whether to stop, (B,), as the environment's actions."""


@dataclass(frozen=True)
class Gaussian(Looking):
    """Looks around a mean, with a standard deviation that the learning rule sets."""

    zoom: bool = False
    rotate: bool = False

    def noise(self, shape: tuple[int, ...], generator: torch.Generator, deviation: float) -> Tensor:
        """Draw normal noise."""
        return torch.randn(*shape, self.numbers, generator=generator, device=generator.device) * deviation

    def choose(self, head: Tensor, noise: Tensor | None) -> Tensor:
        """Add the noise to the mean: (B, numbers)."""
        return head if noise is None else head + noise

    def nowhere(self, count: int, device: torch.device) -> Tensor:
        """Give the middle, (count, numbers)."""
        return torch.zeros(count, self.numbers, device=device)

    def log_probability(self, look: Tensor, head: Tensor, deviation: float | Tensor) -> Tensor:
        """Tell the log-density of the sample as it was drawn, not as the environment clips it."""
        return gaussian_log_probability(look, head, deviation)

    def action(self, look: Tensor, label: Tensor, stop: Tensor | None) -> dict[str, Tensor]:
        """Give each part its name."""
        action = {"location": look[:, :2], "label": label}
        if self.zoom:
            action["zoom"] = look[:, 2:3]
        if self.rotate:
            action["rotation"] = look[:, self.numbers - 1 :]
        return action if stop is None else {**action, "stop": stop}


class Anywhere(Gaussian):
    """Looks anywhere, whatever was seen: the reference that shows what choosing is worth."""

    always_by_chance = True

    def noise(self, shape: tuple[int, ...], generator: torch.Generator, deviation: float) -> Tensor:
        """Draw uniform noise within [-1, 1]."""
        return torch.rand(*shape, self.numbers, generator=generator, device=generator.device) * 2 - 1

    def choose(self, head: Tensor, noise: Tensor | None) -> Tensor:
        """Take the noise.

        Raises:
            ValueError: without noise, since there is no likeliest place.
        """
        if noise is None:
            raise ValueError("looks=random needs chance: there is no likeliest place")
        return noise

    def log_probability(self, look: Tensor, head: Tensor, deviation: float | Tensor) -> Tensor:
        """Tell a constant: there is nothing to learn."""
        return head.new_zeros(look.shape[:-1])


@dataclass(frozen=True)
class Cells(Looking):
    """Looks at the centres of a grid's cells."""

    bounded = False

    def noise(self, shape: tuple[int, ...], generator: torch.Generator, deviation: float) -> Tensor:
        """Draw Gumbel noise; the deviation plays no part."""
        return gumbel_noise((*shape, self.numbers), generator, generator.device)

    def choose(self, head: Tensor, noise: Tensor | None) -> Tensor:
        """Take the cell of the greatest score: (B,) int64."""
        return head.argmax(-1) if noise is None else sample_categorical(head, noise)

    def nowhere(self, count: int, device: torch.device) -> Tensor:
        """Give the first cell, (count,)."""
        return torch.zeros(count, dtype=torch.int64, device=device)

    def log_probability(self, look: Tensor, head: Tensor, deviation: float | Tensor) -> Tensor:
        """Tell the log-probability of the cells."""
        return head.log_softmax(-1).gather(-1, look[..., None])[..., 0]

    def action(self, look: Tensor, label: Tensor, stop: Tensor | None) -> Tensor:
        """Join cell and class, and whether to stop."""
        return torch.stack((look, label) if stop is None else (look, label, stop), dim=-1)


def make_looking(settings: GlimpseOptions, looks: str) -> Looking:
    """Make what fits an environment.

    Args:
        settings: the environment's.
        looks: "learned", "scan" or "random" (`agents.config.ReinforceConfig.looks`).

    Raises:
        ValueError: if RAM cannot look around in this action format, or looks by chance are no places.
    """
    if looks == "random" and settings.moves == "relative":
        # Steps of a walk that is stopped at the edges: most of its looks would lie along them.
        raise ValueError("looks=random draws places, and moves='relative' would take them for steps: use moves='absolute'")
    numbers = 2 + settings.zoom + settings.rotate
    if settings.action_format == "dict":
        return (Anywhere if looks == "random" else Gaussian)(numbers, settings.zoom, settings.rotate)
    if settings.action_format == "grid" and numbers == 2 and looks != "random":
        return Cells(settings.grid**2)
    raise ValueError(
        f"RAM acts in action_format='dict', or in 'grid' without zoom, rotation and random looks; not in "
        f"{settings.action_format!r} with {numbers} numbers a look and looks={looks!r}"
    )

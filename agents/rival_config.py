"""Settings of RAM's rivals, free of torch: learners of Stable-Baselines3, and classifiers that see whole pictures."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar

import tyro

from agents.config import check_environment
from attention_core.config import TrainingConfig, check_above_zero, check_at_least

FORMATS = ("grid", "saccade", "box")
"""Action formats that Stable-Baselines3 can use: it takes no actions that are dictionaries."""


@dataclass(frozen=True)
class SB3Config:
    """What all learners of Stable-Baselines3 depend on; each has a class of its own below."""

    agent: ClassVar[str]
    """The learner's name."""

    env: str
    """Environment id."""
    env_kwargs: Annotated[dict[str, Any], tyro.conf.Suppress] = field(default_factory=lambda: {"action_format": "grid"})
    """Settings of the environment in training and evaluation; `action_format` must be "grid", "saccade" or "box"."""
    training_kwargs: Annotated[dict[str, Any], tyro.conf.Suppress] = field(default_factory=dict)
    """Settings of the environment in training only, such as distortion."""
    steps: int = 1_000_000
    """Environment steps in all rows together; a last rollout that would go beyond is not begun."""
    num_envs: int = 64
    """Rows of the batched environment."""
    history: bool = True
    """Whether observations show all glimpses of the episode so far, which a learner without a memory needs."""
    n_steps: int = 24
    """Steps of every row between two updates; a multiple of the episode's length cuts no episode in grid and box formats."""
    learning_rate: float = 1e-3
    """The optimizer's rate at the start; it falls along a line."""
    final_learning_rate: float = 0.0
    """The rate when all steps are taken."""
    gae_lambda: float = 0.95
    """λ of the generalized advantage estimate. The discount γ is 1 always: episodes are short and only their end counts."""
    ent_coef: float = 0.0
    """Weight of a bonus for the entropy of the actions."""
    vf_coef: float = 0.5
    """Weight of the value's squared error."""
    max_grad_norm: float = 0.5
    """Largest norm of the gradient; a larger one is scaled down to it."""
    glimpse_width: int = 128
    """Units of the layer that sees the glimpse's pixels."""
    location_width: int = 128
    """Units of the layer that sees the glimpse's location."""
    hidden: int = 256
    """Units of the glimpse vector, and of the layer between it and each of policy and value."""
    log_every: int = 10_000
    """Steps between two rows of metrics."""
    validate_every: int = 50_000
    """Steps between two validations."""
    checkpoint_seconds: float = 60.0
    """Seconds between two checkpoints."""
    seed: int = 0
    """Seed of weights, pictures and exploration."""

    def __post_init__(self) -> None:
        """Check the numbers and the action format.

        Raises:
            ValueError: naming the setting that is wrong and what would be right.
        """
        action_format = self.env_kwargs.get("action_format", "dict")
        if action_format not in FORMATS:
            raise ValueError(
                f"{self.agent} cannot act in action_format={action_format!r}, since Stable-Baselines3 takes no dictionaries: "
                f"env_kwargs needs one of {', '.join(FORMATS)}"
            )
        check_environment(self.env_kwargs, self.training_kwargs)
        check_at_least(self, 1, "num_envs", "n_steps", "hidden", "glimpse_width", "location_width", "log_every", "validate_every")
        if self.steps < self.rollout:
            raise ValueError(f"steps must be at least num_envs · n_steps = {self.rollout}, one rollout; got {self.steps}")
        check_above_zero(self, "learning_rate", "max_grad_norm")
        if not 0 <= self.gae_lambda <= 1:
            raise ValueError(f"gae_lambda must be within 0 … 1, got {self.gae_lambda}")

    @property
    def rollout(self) -> int:
        """Environment steps between two updates."""
        return self.num_envs * self.n_steps


@dataclass(frozen=True)
class A2CConfig(SB3Config):
    """Settings of A2C (Mnih et al. 2016, arXiv 1602.01783): one step of RMSprop for each rollout."""

    agent: ClassVar[str] = "a2c"

    n_steps: int = 6
    """Steps of every row between two updates; a multiple of the episode's length cuts no episode in grid and box formats."""
    learning_rate: float = 2e-3
    """The optimizer's rate at the start; it falls along a line."""
    gae_lambda: float = 1.0
    """λ of the generalized advantage estimate. The discount γ is 1 always: episodes are short and only their end counts."""


@dataclass(frozen=True)
class PPOConfig(SB3Config):
    """Settings of PPO (Schulman et al. 2017, arXiv 1707.06347)."""

    agent: ClassVar[str] = "ppo"

    batch_size: int = 256
    """Steps in each of the batches into which a rollout is divided."""
    n_epochs: int = 10
    """How often a rollout is learned from."""
    clip_range: float = 0.2
    """How far the ratio of the new probability of an action to the old one counts, from 1."""

    def __post_init__(self) -> None:
        """Check the numbers and the action format.

        Raises:
            ValueError: naming the setting that is wrong and what would be right.
        """
        super().__post_init__()
        check_at_least(self, 1, "batch_size", "n_epochs")
        if self.rollout % self.batch_size:
            raise ValueError(
                f"batch_size must divide num_envs · n_steps = {self.rollout}, or the last batch of each rollout is a rest; "
                f"got {self.batch_size}"
            )
        check_above_zero(self, "clip_range")


@dataclass(frozen=True)
class RecurrentPPOConfig(PPOConfig):
    """Settings of PPO with an LSTM, of sb3-contrib: the rival that has a memory of its own, as RAM has."""

    agent: ClassVar[str] = "recurrent_ppo"

    history: bool = False
    """Whether observations show all glimpses of the episode so far, which a learner without a memory needs."""
    lstm_hidden: int = 256
    """Units of the LSTM of the policy, and of that of the value."""


def learning_rate_at(config: SB3Config, steps: int) -> float:
    """The optimizer's rate after so many environment steps."""
    share = steps / config.steps
    return config.learning_rate + (config.final_learning_rate - config.learning_rate) * share


@dataclass(frozen=True)
class ReferenceConfig:
    """What both references depend on; each has a class of its own below."""

    agent: ClassVar[str]
    """The reference's name."""

    env: str
    """Id of the environment whose pictures are classified."""
    env_kwargs: Annotated[dict[str, Any], tyro.conf.Suppress] = field(default_factory=dict)
    """Settings of the environment in training and evaluation; those of the retina count for nothing."""
    training_kwargs: Annotated[dict[str, Any], tyro.conf.Suppress] = field(default_factory=dict)
    """Settings of the environment in training only, such as distortion."""
    batch_size: int = 256
    """Pictures per update, over all processes."""
    hidden: int = 256
    """Units of every fully connected hidden layer."""
    training: TrainingConfig = field(default_factory=TrainingConfig)
    """The training loop."""
    seed: int = 0
    """Seed of weights and pictures."""

    def __post_init__(self) -> None:
        """Check the numbers.

        Raises:
            ValueError: naming the setting that is wrong and what would be right.
        """
        check_environment(self.env_kwargs, self.training_kwargs)
        check_at_least(self, 1, "batch_size", "hidden")


@dataclass(frozen=True)
class MLPConfig(ReferenceConfig):
    """Settings of the network with two hidden layers (Mnih et al. 2014: "FC, 2 layers (256 hiddens each)")."""

    agent: ClassVar[str] = "mlp"


@dataclass(frozen=True)
class CNNConfig(ReferenceConfig):
    """Settings of the convolutional network (Mnih et al. 2014: 8 filters of 10×10 with stride 5, then 256 units)."""

    agent: ClassVar[str] = "cnn"

    filters: int = 8
    """Filters of the convolution."""
    kernel: int = 10
    """Their side in pixels."""
    stride: int = 5
    """Pixels between two places of a filter."""

    def __post_init__(self) -> None:
        """Check the numbers.

        Raises:
            ValueError: naming the setting that is wrong and what would be right.
        """
        super().__post_init__()
        check_at_least(self, 1, "filters", "kernel", "stride")

"""`attention rl …`: agents that learn where to look."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Generic, Literal, TypeVar

import tyro

from agents import registry
from agents.config import ReinforceConfig
from attention_cli.arguments import TrainingArguments, figures_folder, pairs, peek, print_figures, print_run

DEFAULT_AGENT = "ram"
DEFAULT_ENV = "attention_env/Digits-v0"
Config = TypeVar("Config", bound=registry.AgentConfig)


@dataclass(frozen=True)
class TrainArguments(TrainingArguments, Generic[Config]):
    """Train an agent; the same command again goes on where it was interrupted."""

    config: tyro.conf.OmitArgPrefixes[Config]
    """The settings; their defaults are the published ones of the agent in the environment."""
    agent: str = DEFAULT_AGENT
    """Whom: ram, a learner of Stable-Baselines3 (ppo, a2c, recurrent_ppo), or a classifier that sees whole pictures (mlp, cnn).
    Each has settings of its own, which `--agent … --help` lists."""
    out: Path | None = None
    """Run folder; runs/<env>-<agent>-<seed> by default, of ram with its rule in the agent's place."""
    env_kwargs: tuple[str, ...] = ()
    """Settings of the environment, as key:value, such as glimpse_size:12 "start:random"."""
    training_kwargs: tuple[str, ...] = ()
    """Settings of the environment in training only, as key:value, such as "distortion:{rotation: 10}"; "distortion:" for none."""


def train(arguments: list[str], program: str) -> None:
    """`attention rl train`."""
    name = peek(arguments, "--agent", DEFAULT_AGENT)
    published: Any = registry.published(name, peek(arguments, "--env", DEFAULT_ENV))
    generic: Any = TrainArguments
    default = TrainArguments(published, name)
    asked = tyro.cli(generic[registry.find(name).config], args=arguments, prog=program, default=default)
    config = dataclasses.replace(
        asked.config,
        env=published.env,  # spelt out
        env_kwargs={**asked.config.env_kwargs, **pairs(asked.env_kwargs)},
        training_kwargs={**asked.config.training_kwargs, **pairs(asked.training_kwargs)},
    )
    asked.begin()
    variant = config.rule if isinstance(config, ReinforceConfig) else name
    place = asked.out or Path("runs") / f"{config.env.split('/')[-1]}-{variant}-{config.seed}"
    folder = registry.train(config, place, asked.max_seconds)
    print_run(folder, program)


@dataclass(frozen=True)
class EvaluateArguments:
    """Score a trained agent: every picture of the split once, mean locations or likeliest actions, likeliest class."""

    model: Annotated[str, tyro.conf.Positional]
    """A zoo name, a run folder, or a weights file."""
    split: Literal["test", "validation", "train"] = "test"
    """Which pictures."""
    env_kwargs: tuple[str, ...] = ()
    """Settings of the environment that differ from the training's, as key:value; the figure is then another task's."""
    json: bool = False
    """Print one JSON object instead of a table."""
    runs: int = 0
    """Besides, average so many runs with locations or actions sampled as in training: a separate figure."""


def evaluate(arguments: list[str], program: str) -> None:
    """`attention rl evaluate`."""
    asked = tyro.cli(EvaluateArguments, args=arguments, prog=program)
    from rich.console import Console

    with Console(stderr=True).status(f"{asked.model} sees every picture of the {asked.split} split once"):
        figures = registry.report(asked.model, asked.split, asked.runs, pairs(asked.env_kwargs))
    print_figures(figures, asked.json)


@dataclass(frozen=True)
class WatchArguments:
    """Draw where a trained agent looks: a GIF of scan paths, of ram with the class probabilities at every step."""

    model: Annotated[str, tyro.conf.Positional]
    """A zoo name, a run folder, or a weights file."""
    out: Path | None = None
    """The GIF; figures/scan.gif of a run folder, else scan.gif here."""
    episodes: int = 8
    """How many pictures."""
    split: Literal["test", "validation", "train"] = "test"
    """Which pictures."""
    seed: int = 0
    """Which of them."""


def watch(arguments: list[str], program: str) -> None:
    """`attention rl watch`."""
    asked = tyro.cli(WatchArguments, args=arguments, prog=program)
    out = asked.out or figures_folder(asked.model, None) / "scan.gif"
    registry.watch(asked.model, out, asked.split, asked.episodes, asked.seed)
    print(f"scan path   {out}")


@dataclass(frozen=True)
class PlayArguments:
    """Play yourself: arrows or clicks look, digits (from class 10 on letters) name the class, space goes on, escape quits."""

    env: str = DEFAULT_ENV
    """Where to play."""
    split: Literal["test", "validation", "train"] = "test"
    """Which pictures."""
    seed: int | None = None
    """Which of them, in which order; others every time by default."""
    env_kwargs: tuple[str, ...] = ()
    """Settings of the environment, as key:value, such as glimpse_size:12 "start:random"."""


def play(arguments: list[str], program: str) -> None:
    """`attention rl play`."""
    asked = tyro.cli(PlayArguments, args=arguments, prog=program)
    import gymnasium as gym

    from attention_env import play as playing
    from attention_env.batch import plain_errors

    with plain_errors(asked.env):
        environment = gym.make(asked.env, **{"split": asked.split, **pairs(asked.env_kwargs)})
    game = playing.play(environment, asked.seed)
    print(f"score       {game.right} of {game.played}")

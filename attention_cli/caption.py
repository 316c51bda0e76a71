"""`attention caption …`: sentences about pictures."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from attention_cli.arguments import (
    TrainingArguments,
    VarianceArguments,
    figures_folder,
    peek,
    print_figures,
    print_run,
    print_variances,
)
from captioning.config import CaptionConfig, Places, published_config

Split = Literal["test", "validation", "train"]


@dataclass(frozen=True)
class TrainArguments(TrainingArguments):
    """Train a captioner; the same command again goes on where it was interrupted."""

    config: tyro.conf.OmitArgPrefixes[CaptionConfig]
    """The settings; their defaults are the published ones for the data."""
    out: Path | None = None
    """Run folder; runs/<data>-<attention>-<seed> by default."""


def train(arguments: list[str], program: str) -> None:
    """`attention caption train`."""
    published = published_config(
        peek(arguments, "--data", CaptionConfig.data), peek(arguments, "--attention", CaptionConfig.attention)
    )
    asked = tyro.cli(TrainArguments, args=arguments, prog=program, default=TrainArguments(published))
    asked.begin()
    from captioning.train import train

    config = asked.config
    folder = train(config, asked.out or Path("runs") / f"{config.data}-{config.attention}-{config.seed}", asked.max_seconds)
    print_run(folder, program)


@dataclass(frozen=True, kw_only=True)
class SearchArguments:
    """How sentences are searched for, where that shall not be as the settings say."""

    beams: int | None = None
    """Beams of the search; the settings' own by default."""
    length_power: float | None = None
    """Sentences compete by log-probability over length to this power; the settings' own by default."""
    tries: int | None = None
    """Places that hard attention tries before each word; the settings' own by default."""

    def searching(self) -> dict[str, float]:
        """Give the settings that were asked for, by their names."""
        asked = {"beams": self.beams, "length_power": self.length_power, "tries": self.tries}
        return {name: value for name, value in asked.items() if value is not None}


@dataclass(frozen=True)
class EvaluateArguments(SearchArguments):
    """Score the captions that are written, free-running, about every picture of a split."""

    model: Annotated[str, tyro.conf.Positional]
    """A zoo name, a run folder, or a weights file."""
    split: Split = "test"
    """Which pictures."""
    places: Places = "attended"
    """Where it looks: where its attention is, or, to be measured by, at places that are drawn uniformly."""
    json: bool = False
    """Print one JSON object instead of a table."""


def evaluate(arguments: list[str], program: str) -> None:
    """`attention caption evaluate`."""
    asked = tyro.cli(EvaluateArguments, args=arguments, prog=program)
    from attention_core.zoo import pick_device
    from captioning.evaluate import report
    from captioning.scores import NO_JAVA

    figures = report(asked.model, asked.split, pick_device(), asked.places, asked.searching())
    print_figures(figures, asked.json)
    if figures.get("tokenizer") == "python":
        print(NO_JAVA, file=sys.stderr)


@dataclass(frozen=True)
class DescribeArguments(SearchArguments):
    """Write a sentence about a picture, and draw where was looked for each of its words."""

    picture: Annotated[str, tyro.conf.Positional]
    """A picture file; of a captioner of scenes the number of a test scene."""
    model: str = "caption-flickr8k-soft"
    """A zoo name, a run folder, or a weights file."""
    out: Path | None = None
    """The figure; described.png among the figures of a run folder, else here."""


def describe(arguments: list[str], program: str) -> None:
    """`attention caption describe`."""
    asked = tyro.cli(DescribeArguments, args=arguments, prog=program)
    from attention_core.zoo import pick_device
    from captioning.figures import describe

    out = asked.out or figures_folder(asked.model, None) / "described.png"
    print(describe(asked.model, asked.picture, out, pick_device(), asked.searching()))
    print(f"written     {out}")


@dataclass(frozen=True)
class CaptionerVarianceArguments(VarianceArguments):
    """Measure how noisy the gradient of where to look is under each baseline, with and without the entropy's term.

    That is at the parameters of trained captioners, of those with hard attention that learned from likelihood.
    """

    estimates: int = 200
    """Gradients drawn for each baseline."""


def variance(arguments: list[str], program: str) -> None:
    """`attention caption variance`."""
    asked = tyro.cli(CaptionerVarianceArguments, args=arguments, prog=program)
    if not asked.models:
        raise ValueError("name at least one trained captioner")
    from captioning.gradient_variance import measure

    figures = {model: measure(model, asked.estimates, asked.episodes, asked.copies, asked.seed) for model in asked.models}
    print_variances(figures, asked)

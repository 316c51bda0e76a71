"""`attention translate …`: sentences into another language."""

from __future__ import annotations

import json
import shlex
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from attention_cli.arguments import TrainingArguments, figures_folder, peek, print_figures, print_run
from transformer.config import TransformerConfig, published_config

Split = Literal["test", "validation", "train"]


@dataclass(frozen=True)
class TrainArguments(TrainingArguments):
    """Train a Transformer; the same command again goes on where it was interrupted."""

    config: tyro.conf.OmitArgPrefixes[TransformerConfig]
    """The settings; their defaults are the published ones for the data."""
    out: Path | None = None
    """Run folder; runs/<data>-<source>-<target>-<seed> by default."""


def train(arguments: list[str], program: str) -> None:
    """`attention translate train`."""
    published = published_config(peek(arguments, "--data", TransformerConfig.data))
    asked = tyro.cli(TrainArguments, args=arguments, prog=program, default=TrainArguments(published))
    asked.begin()
    from transformer.train import train

    config = asked.config
    usual = Path("runs") / f"{config.data}-{config.source}-{config.target}-{config.seed}"
    # Files of one's own have no test split.
    files = f" --files {shlex.join(config.validation_files)}" if config.data == "files" else ""
    print_run(train(config, asked.out or usual, asked.max_seconds), program, files)


@dataclass(frozen=True)
class EvaluateArguments:
    """Score the translations of every sentence of a split, or of files of one's own."""

    model: Annotated[str, tyro.conf.Positional]
    """A zoo name, a run folder, or a weights file."""
    split: Split = "test"
    """Which sentences."""
    files: tuple[Path, ...] = ()
    """Sentences of one's own in their place: one file with a tab before each translation, or two files."""
    beams: int | None = None
    """Beams of the search; the settings' own by default."""
    length_power: float | None = None
    """Translations compete by log-probability over ((5 + length) / 6) to this power; the settings' own by default."""
    json: bool = False
    """Print one JSON object instead of a table."""


def evaluate(arguments: list[str], program: str) -> None:
    """`attention translate evaluate`."""
    asked = tyro.cli(EvaluateArguments, args=arguments, prog=program)
    from attention_core.zoo import pick_device
    from transformer.evaluate import report

    print_figures(report(asked.model, asked.split, pick_device(), asked.beams, asked.length_power, asked.files), asked.json)


@dataclass(frozen=True)
class TextArguments:
    """Translate a sentence, or each line of what comes in from another program."""

    text: Annotated[str | None, tyro.conf.Positional] = None
    """The sentence; without one, lines are read until there are no more."""
    model: str = "translate-multi30k-en-de"
    """A zoo name, a run folder, or a weights file."""
    beams: int | None = None
    """Beams of the search; the settings' own by default."""
    explain: bool = False
    """Draw where the heads of the last layer look in the source for each piece of the translation; of a single sentence."""
    out: Path | None = None
    """The figure; heads.png among the figures of a run folder, else here."""
    json: bool = False
    """Print one JSON object for each sentence."""


def text(arguments: list[str], program: str) -> None:
    """`attention translate text`."""
    asked = tyro.cli(TextArguments, args=arguments, prog=program)
    if asked.explain and asked.text is None:
        raise ValueError("--explain draws a single sentence: give it as an argument")
    from attention_core.zoo import pick_device
    from transformer.corpora import decode_lines
    from transformer.loading import load
    from transformer.translating import translate

    model, config, vocabulary, _ = load(asked.model, pick_device())
    lines = decode_lines(sys.stdin.buffer.read(), "the input") if asked.text is None else [asked.text]
    beams = config.beams if asked.beams is None else asked.beams
    for line, translation in zip(
        lines, translate(model, vocabulary, lines, beams, config.length_power, pick_device()), strict=True
    ):
        print(json.dumps({"source": line, "translation": translation}, ensure_ascii=False) if asked.json else translation)
        if asked.explain:
            from transformer.figures import draw_heads

            out = asked.out or figures_folder(asked.model, None) / "heads.png"
            draw_heads(model, vocabulary, line, translation, out)
            print(f"written     {out}")


@dataclass(frozen=True)
class ExportArguments:
    """Write a Transformer as ONNX files, its encoder and its decoder's step, and see that they compute what it does."""

    model: Annotated[str, tyro.conf.Positional]
    """A zoo name, a run folder, or a weights file."""
    out: Path = Path("onnx")
    """The folder for them."""


def export(arguments: list[str], program: str) -> None:
    """`attention translate export`."""
    asked = tyro.cli(ExportArguments, args=arguments, prog=program)
    import torch

    from transformer.export import ENCODER, STEP, TOKENIZER, export
    from transformer.loading import load

    model, _, vocabulary, name = load(asked.model, torch.device("cpu"))
    found = export(model, vocabulary, asked.out)
    for file in (ENCODER, STEP, TOKENIZER):
        print(f"written     {asked.out / file}")
    print(
        f"checked     against {name}: scores differ by {found.scores:.1g} at most, "
        f"{found.same:.0%} of {found.sentences} random sentences are translated alike"
    )

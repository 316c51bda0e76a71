"""`attention ocr …`: reading words."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import tyro

from attention_cli.arguments import TrainingArguments, figures_folder, peek, print_figures, print_run
from ocr.config import By, OCRConfig, Turned, published_config
from ocr.words_config import WordConfig


@dataclass(frozen=True)
class TrainArguments(TrainingArguments):
    """Train a reader of words; the same command again goes on where it was interrupted."""

    config: tyro.conf.OmitArgPrefixes[OCRConfig]
    """The settings; their defaults are those of the name."""
    settings: str = "synthetic"
    """Whose settings to begin with, a name in ocr/hyperparameters/reader.yaml: synthetic, large, real, or paper."""
    out: Path | None = None
    """Run folder; runs/ocr-<settings>-<seed> by default."""


def train(arguments: list[str], program: str) -> None:
    """`attention ocr train`."""
    published = published_config(peek(arguments, "--settings", TrainArguments.settings))
    asked = tyro.cli(TrainArguments, args=arguments, prog=program, default=TrainArguments(published))
    asked.begin()
    from ocr.train import train

    config = asked.config
    folder = train(config, asked.out or Path("runs") / f"ocr-{asked.settings}-{config.seed}", asked.max_seconds)
    print_run(folder, program)


@dataclass(frozen=True)
class EvaluateArguments:
    """Score the words that are read in the crops of IIIT5K, SVT and ICDAR 2013, or in crops of one's own."""

    model: Annotated[str, tyro.conf.Positional]
    """A zoo name, a run folder, or a weights file."""
    beams: int | None = None
    """Beams of the search; the settings' own by default."""
    labels: Path | None = None
    """Crops of one's own: a text file with a line for each, its file as seen from there, a tab, and its label."""
    lexicon: str | None = None
    """Read with a lexicon: a text file with a word on each line, or "full" for all words that occur in the crops."""
    by: By = "likelihood"
    """Which word of a lexicon is taken: the likeliest, or the nearest to what is read without."""
    turned: Turned = 0
    """Turn the crops to the left by so many degrees before: their words then run upwards (90), or downwards (270)."""
    json: bool = False
    """Print one JSON object instead of a table."""


def evaluate(arguments: list[str], program: str) -> None:
    """`attention ocr evaluate`."""
    asked = tyro.cli(EvaluateArguments, args=arguments, prog=program)
    from attention_core.zoo import pick_device
    from ocr.evaluate import report

    found = report(asked.model, pick_device(), asked.beams, asked.labels, asked.lexicon, asked.by, asked.turned)
    print_figures(found, asked.json)


@dataclass(frozen=True)
class ReadArguments:
    """Read the words in pictures, each a crop of one word, and say how sure that is."""

    pictures: Annotated[tuple[Path, ...], tyro.conf.Positional]
    """Picture files."""
    model: str = "ocr-synthetic"
    """A zoo name, a run folder, or a weights file."""
    beams: int | None = None
    """Beams of the search; the settings' own by default."""
    lexicon: Path | None = None
    """A text file with a word on each line, one of which it is."""
    explain: bool = False
    """Draw where each character was read."""
    out: Path | None = None
    """The figure; read.png among the figures of a run folder, else here."""
    json: bool = False
    """Print one JSON object for each picture."""


def read(arguments: list[str], program: str) -> None:
    """`attention ocr read`."""
    asked = tyro.cli(ReadArguments, args=arguments, prog=program)
    if not asked.pictures:
        raise ValueError("name at least one picture")
    from attention_core.zoo import pick_device
    from ocr.figures import explain, read_files

    found = read_files(asked.model, asked.pictures, pick_device(), asked.beams, asked.lexicon)
    for one in found.read:
        shown = {"picture": one.name, "word": one.word, "confidence": one.confidence}
        print(json.dumps(shown) if asked.json else f"{one.word}  {one.confidence:.0%}  {one.name}")
        if one.upright:
            print(
                f"{one.name} is upright: if it is a word and no single character, turn it to run from left to right",
                file=sys.stderr,
            )
    if asked.explain and found.read:
        out = asked.out or figures_folder(asked.model, None) / "read.png"
        explain(found.read, out)
        print(f"written     {out}")
    if found.left_out:
        raise ValueError("\n".join(found.left_out))


@dataclass(frozen=True)
class WordsArguments:
    """Draw a sheet of synthetic words with their labels."""

    config: tyro.conf.OmitArgPrefixes[WordConfig] = field(default_factory=WordConfig)
    """What is written."""
    count: int = 60
    """How many."""
    seed: int = 0
    """Of the words."""
    real: bool = False
    """Show as many real training crops under them."""
    out: Path = Path("words.png")
    """The figure."""
    collection: Path | None = None
    """Write the words to this folder in place of a figure, for `attention ocr train --folder` to learn from."""


def words(arguments: list[str], program: str) -> None:
    """`attention ocr words`."""
    asked = tyro.cli(WordsArguments, args=arguments, prog=program)
    if asked.collection is not None:
        if asked.real:
            raise ValueError("a collection holds drawn words alone: ask for --real or for --collection")
        from ocr.words import write_words

        write_words(asked.config, asked.count, asked.seed, asked.collection)
    else:
        from ocr.sheet import write_sheet

        write_sheet(asked.config, asked.count, asked.seed, asked.real, asked.out)
    print(f"written     {asked.collection or asked.out}")

"""What the commands of several areas do with their arguments."""

from __future__ import annotations

import dataclasses
import itertools
import json
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro
import yaml

if TYPE_CHECKING:
    from attention_core.gradient_variance import GradientVariance
    from attention_core.run_folder import RunFolder


def peek(arguments: list[str], name: str, default: str) -> str:
    """Find an option before all options are read, since it decides on the defaults of the others; the last one counts."""
    found = default
    for word, after in itertools.zip_longest(arguments, arguments[1:], fillvalue=default):
        if word == name:
            found = after
        elif word.startswith(f"{name}="):
            found = word.split("=", 1)[1]
    return found


def pairs(words: tuple[str, ...]) -> dict[str, Any]:
    """Read key:value words, the values as YAML.

    Raises:
        ValueError: if a word has no colon.
    """
    pairs = {}
    for word in words:
        key, colon, value = word.partition(":")
        if not colon:
            raise ValueError(f"{word!r} is not key:value, such as glimpse_size:12")
        try:
            pairs[key.strip()] = yaml.safe_load(value)
        except yaml.YAMLError as error:
            raise ValueError(f"the value of {word!r} is not YAML: {error}") from error
    return pairs


@dataclass(frozen=True, kw_only=True)
class TrainingArguments:
    """What every training may be told beside its settings; it changes nothing of what is learned."""

    max_seconds: float | None = None
    """End cleanly after so many seconds, with a checkpoint to go on from."""
    threads: int | None = None
    """CPU threads; PyTorch's choice by default."""

    def begin(self) -> None:
        """Check both, and let PyTorch compute with so many threads.

        Raises:
            ValueError: if there are no threads, or less than no time.
        """
        if self.max_seconds is not None and not self.max_seconds >= 0:
            raise ValueError(f"max_seconds must be at least 0, got {self.max_seconds:g}")
        if self.threads is not None:
            if self.threads < 1:
                raise ValueError(f"threads must be at least 1, got {self.threads}")
            import torch

            torch.set_num_threads(self.threads)


def figures_folder(model: str, asked: Path | None) -> Path:
    """Tell where pictures of a model go: where asked for, else into a run folder's own figures, else here."""
    if asked is not None:
        return asked
    folder = Path(model)
    return folder / "figures" if (folder / "metrics.jsonl").exists() else Path()


def print_run(folder: RunFolder, program: str, more: str = "") -> None:
    """Say where a training has left what, and what to do next; of several processes only the one that writes does.

    Args:
        folder: the run.
        program: the command that was called, such as "attention rl train".
        more: what `evaluate` must be told beside the run.
    """
    if folder.writes:
        print(f"run folder  {folder.path}\nmetrics     {folder.metrics}\ncurves      {folder.figures / 'curves.png'}")
        evaluate = f"{program.rsplit(' ', 1)[0]} evaluate {shlex.quote(str(folder.path))}{more}"
        print(f"next        {evaluate if folder.model.exists() else 'the same command again goes on: nothing was validated yet'}")


def print_figures(figures: dict[str, Any], as_json: bool) -> None:
    """Print an evaluation's figures as one JSON object or as a table, in which what has parts has a line for each of them."""
    if as_json:
        print(json.dumps(figures))
        return
    figures = dict(_lines(figures))
    width = max(map(len, figures))
    for key, value in figures.items():
        print(f"{key:<{width}}  {value}")


def _lines(figures: dict[str, Any], before: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in figures.items():
        if isinstance(value, dict):
            yield from _lines(value, f"{before}{key} ")
        else:
            yield f"{before}{key}", value


@dataclass(frozen=True)
class VarianceArguments:
    """How much of the gradient's noise is measured, and how it is printed."""

    models: Annotated[tuple[str, ...], tyro.conf.Positional]
    """Zoo names, run folders, checkpoints or weights files."""
    estimates: int = 500
    """Gradients drawn for each baseline."""
    episodes: int = 240
    """Episodes played for each of them, greedy ones as well."""
    copies: int = 2
    """Episodes of the same example where a baseline compares them, of self_critical one of them greedy."""
    seed: int = 0
    """Seed of examples and places."""
    json: bool = False
    """Print one JSON object instead of tables."""


def print_variances(figures: Mapping[str, Sequence[GradientVariance]], asked: VarianceArguments) -> None:
    """Print the gradient's noise at each model's parameters as one JSON object or as tables."""
    from attention_core.gradient_variance import as_table

    if asked.json:
        print(json.dumps({model: [dataclasses.asdict(row) for row in rows] for model, rows in figures.items()}))
        return
    for model, rows in figures.items():
        print(f"{model}: {asked.estimates} estimates of {asked.episodes} episodes each, ± standard error\n\n{as_table(rows)}\n")

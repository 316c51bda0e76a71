"""What the commands of several areas do with their arguments."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import yaml


def peek(arguments: list[str], name: str, default: str) -> str:
    """Find an option before all options are read: the environment decides on the defaults of the others."""
    for place, word in enumerate(arguments):
        if word == name and place + 1 < len(arguments):
            return arguments[place + 1]
        if word.startswith(f"{name}="):
            return word.split("=", 1)[1]
    return default


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


def use_threads(threads: int | None) -> None:
    """Let PyTorch compute with so many CPU threads; None for its own choice.

    Raises:
        ValueError: if there are none.
    """
    if threads is not None:
        if threads < 1:
            raise ValueError(f"threads must be at least 1, got {threads}")
        import torch

        torch.set_num_threads(threads)


def figures_folder(model: str, asked: Path | None) -> Path:
    """Tell where pictures of a model go: where asked for, else into a run folder's own figures, else here."""
    if asked is not None:
        return asked
    folder = Path(model)
    return folder / "figures" if (folder / "metrics.jsonl").exists() else Path()


def print_figures(figures: dict[str, Any], as_json: bool) -> None:
    """Print an evaluation's figures as one JSON object or as a table."""
    if as_json:
        print(json.dumps(figures))
        return
    width = max(map(len, figures))
    for key, value in figures.items():
        print(f"{key:<{width}}  {value}")

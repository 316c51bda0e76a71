"""`attention zoo …`: the released models."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import tyro


@dataclass(frozen=True)
class ListArguments:
    """List the released models."""


def show(arguments: list[str], program: str) -> None:
    """`attention zoo list`."""
    tyro.cli(ListArguments, args=arguments, prog=program)
    from attention_core.zoo import ZOO, find_model, zoo_names

    for name in zoo_names():
        model = find_model(str(ZOO / name))
        size = model.weights.stat().st_size / 2**20
        print(f"{name:<24} {model.config.get('kind', '?'):<8} {size:6.2f} MiB  {model.config.get('env', '')}")


@dataclass(frozen=True)
class ReleaseArguments:
    """Put a trained model into the zoo, in half precision; write its card.md beside it."""

    run: Annotated[str, tyro.conf.Positional]
    """The run folder, or a weights file beside its config.yaml."""
    name: Annotated[str, tyro.conf.Positional]
    """The model's name in the zoo."""


def release(arguments: list[str], program: str) -> None:
    """`attention zoo release`."""
    asked = tyro.cli(ReleaseArguments, args=arguments, prog=program)
    from attention_core import zoo

    print(zoo.release(zoo.find_model(asked.run), asked.name))

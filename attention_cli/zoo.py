"""`attention zoo …`: the released models."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from attention_cli.arguments import TrainingArguments


@dataclass(frozen=True)
class ListArguments:
    """List the released models."""


def show(arguments: list[str], program: str) -> None:
    """`attention zoo list`."""
    tyro.cli(ListArguments, args=arguments, prog=program)
    from attention_core.released import FIGURES, released
    from attention_core.zoo import ZOO, zoo_names

    for name in zoo_names():
        if not (ZOO / name / FIGURES).exists():
            print(f"{name:<34} nothing is said of it yet: write its {FIGURES}")
            continue
        model = released(name)
        first = model.figures[0]
        figure = f"{first.name} {first.shown(first.value)}"
        print(f"{model.name:<34} {model.parameters() / 1e6:5.2f} M parameters  {figure:<42} {model.task}")


@dataclass(frozen=True)
class CheckArguments:
    """Evaluate released models on their test data and compare with what is claimed; the status is 1 if a figure does not hold."""

    names: Annotated[tuple[str, ...], tyro.conf.Positional] = ()
    """Which; all by default."""
    markdown: bool = False
    """If all hold, write docs/results.md and the table in README.md; only with all models."""


def check(arguments: list[str], program: str) -> int:
    """`attention zoo check`."""
    asked = tyro.cli(CheckArguments, args=arguments, prog=program)
    from rich.console import Console
    from rich.table import Table

    from attention_core.released import all_released, released

    if asked.markdown and asked.names:
        raise ValueError("--markdown writes about all models: leave the names out")
    models, console = [released(name) for name in asked.names] or all_released(), Console()
    table, all_hold = Table("model", "figure", "claimed", "found", "", box=None), True
    for model in models:
        try:
            with console.status(model.check):
                evaluation = model.evaluate()
            rows = [(figure, figure.found_in(evaluation)) for figure in model.figures]
        except (RuntimeError, ValueError) as error:
            console.print(f"[red]{model.name}: {error}[/red]")
            table.add_row(model.name, "", "", "", "[red]not checked[/red]")
            all_hold = False
            continue
        for figure, found in rows:
            verdict = "holds" if figure.holds(found) else "[red]does not hold[/red]"
            console.print(f"{model.name}: {figure.name} {figure.shown(found)}, {verdict}")
            table.add_row(model.name, figure.name, figure.shown(figure.value), figure.shown(found), verdict)
            all_hold &= figure.holds(found)
    console.print(table)
    if all_hold and asked.markdown:
        write_results()
    return 0 if all_hold else 1


def write_results() -> None:
    """Write the page of results and README's table beside the zoo."""
    from attention_core.files import write_text_atomically
    from attention_core.released import PAGE, all_released, figures_table, page, with_table
    from attention_core.zoo import ZOO

    models, root = all_released(), ZOO.parent
    readme = root / "README.md"
    write_text_atomically(root / PAGE, page(models))
    write_text_atomically(readme, with_table(readme.read_text(encoding="utf-8"), figures_table(models, False)))


@dataclass(frozen=True)
class TrainArguments(TrainingArguments):
    """Train a released model anew, by the commands that made it; the same again goes on where it was interrupted."""

    name: Annotated[str, tyro.conf.Positional]
    """The model's name in the zoo."""
    out: Path | None = None
    """Run folder, or folder of run folders where trainings go on from each other; runs/<name> by default."""


def train(arguments: list[str], program: str) -> int:
    """`attention zoo train`."""
    asked = tyro.cli(TrainArguments, args=arguments, prog=program)
    asked.begin()
    from attention_cli.main import main
    from attention_core.released import released
    from attention_core.run_folder import RunFolder

    began = time.monotonic()
    for words, folder in released(asked.name).steps(asked.out or Path("runs") / asked.name):
        print(f"attention {' '.join(words)}", flush=True)
        left = [] if asked.max_seconds is None else ["--max-seconds", str(max(0.0, asked.max_seconds - (time.monotonic() - began)))]
        status = main([*words, *left])
        if status or not RunFolder(folder, writes=False).finished():
            return status
    return 0


@dataclass(frozen=True)
class ReleaseArguments:
    """Put a trained model into the zoo, in half precision; write its card.md and figures.yaml beside it."""

    run: Annotated[str, tyro.conf.Positional]
    """The run folder, or a weights file beside its config.yaml."""
    name: Annotated[str, tyro.conf.Positional]
    """The model's name in the zoo."""


def release(arguments: list[str], program: str) -> None:
    """`attention zoo release`."""
    asked = tyro.cli(ReleaseArguments, args=arguments, prog=program)
    from attention_core import zoo

    print(zoo.release(zoo.find_model(asked.run), asked.name))

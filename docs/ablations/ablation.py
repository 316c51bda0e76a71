"""What helped? `python docs/ablations/ablation.py vae --jobs 2` trains a model without each part in turn, and writes a page.

A file beside this one, `vae.yaml`, names a short training and what is changed of it:

    title: what it is about
    command: attention vae train --data binarized_mnist --updates 3000
    figure: {key: validation/elbo_nats, name: nats a picture}
    seeds: 3
    contenders:
      as released: ""
      without an average of the weights: --average 0

Every contender is trained with the same seeds. What counts is the last validation of each: no test picture is looked at, and no
moment is chosen. Trainings that are finished are not repeated, and one that was interrupted goes on.
"""

from __future__ import annotations

import shlex
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import tyro
from joblib import Parallel, delayed
from matplotlib.figure import Figure as Picture
from numpy.typing import NDArray

from attention_core.config import from_dict, load_yaml
from attention_core.files import write_text_atomically
from attention_core.pictures import save_figure
from attention_core.run_folder import RunFolder

HERE = Path(__file__).parent


@dataclass(frozen=True)
class Arguments:
    """What to run."""

    name: Annotated[str, tyro.conf.Positional]
    """The file beside this one, without its ending."""
    out: Path = Path("runs/ablations")
    """Folder of the run folders."""
    jobs: int = 1
    """Trainings side by side, each on one thread."""


@dataclass(frozen=True)
class Measure:
    """What is compared.

    Attributes:
        key: its name in metrics.jsonl.
        name: what it is, in words.
        scale: times which it is shown.
        digits: after the point.
    """

    key: str
    name: str
    scale: float = 1.0
    digits: int = 2


@dataclass(frozen=True)
class Ablation:
    """A training and what is changed of it.

    Attributes:
        title: what it is about.
        command: the training.
        figure: what is compared; less is better.
        contenders: by name, what is added to the command; the first one is what the others are compared with.
        seeds: of each.
    """

    title: str
    command: str
    figure: Measure
    contenders: dict[str, str]
    seeds: int = 3


def train(command: str, folder: Path, seed: int) -> None:
    """Run a training, or go on with it, in a process of its own; one that is finished is only seen to be of these settings.

    Raises:
        RuntimeError: with its last words, if it fails.
    """
    words = [*shlex.split(command)[1:], "--seed", str(seed), "--threads", "1", "--out", str(folder)]
    run = subprocess.run([sys.executable, "-m", "attention_cli", *words], capture_output=True, text=True, check=False)
    if run.returncode:
        raise RuntimeError(f"`attention {shlex.join(words)}` ended with status {run.returncode}: {run.stderr.strip()[-500:]}")


def last_value(folder: Path, measure: Measure) -> float:
    """Give what the last validation found.

    Raises:
        ValueError: if no validation tells it.
    """
    found = [row[measure.key] for row in RunFolder(folder, writes=False).rows() if measure.key in row]
    if not found:
        raise ValueError(
            f"{folder} has no {measure.key!r} among its metrics: figure.key must be what the training's validation tells"
        )
    return measure.scale * float(found[-1])


def table(ablation: Ablation, values: dict[str, NDArray[np.float64]]) -> str:
    """Write what was found as Markdown: the mean over seeds, its deviation, and how far a contender is from the first, by seeds."""
    measure, first = ablation.figure, next(iter(values.values()))
    lines = [f"| | added to the command | {measure.name} | beside the first, same seed |", "|---|---|---|---|"]
    for name, found in values.items():
        beside = "" if found is first else _spread(found - first, measure.digits, "+")
        added = f"`{ablation.contenders[name]}`" if ablation.contenders[name] else ""
        lines.append(f"| {name} | {added} | {_spread(found, measure.digits)} | {beside} |")
    return "\n".join(lines)


def _spread(values: NDArray[np.float64], digits: int, sign: str = "") -> str:
    deviation = values.std(ddof=1) if len(values) > 1 else 0.0
    return f"{values.mean():{sign}.{digits}f} ± {deviation:.{digits}f}"


def draw(ablation: Ablation, values: dict[str, NDArray[np.float64]], path: Path) -> None:
    """Draw every training as a point."""
    picture = Picture(figsize=(8, 0.8 + 0.32 * len(values)), layout="constrained")
    axes = picture.subplots()
    for place, found in enumerate(values.values()):
        axes.plot(found, [place] * len(found), "o", alpha=0.7, color="tab:blue" if place else "tab:red")
        axes.plot(found.mean(), place, "|", markersize=16, color="black")
    axes.axvline(next(iter(values.values())).mean(), color="tab:red", linewidth=0.8, linestyle=":")
    axes.set_yticks(range(len(values)), list(values))
    axes.set_ylim(len(values) - 0.5, -0.5)
    axes.set_xlabel(f"{ablation.figure.name} (less is better)")
    save_figure(picture, path, 90)


def main(asked: Arguments) -> None:
    """Train all, and write table and picture."""
    ablation = from_dict(Ablation, load_yaml(HERE / f"{asked.name}.yaml"))
    folders = {
        (name, seed): asked.out / asked.name / f"{name.replace(' ', '-')}-{seed}"
        for seed in range(ablation.seeds)  # all of one seed first, so that a part of the work is a whole comparison
        for name in ablation.contenders
    }
    Parallel(n_jobs=asked.jobs, prefer="threads")(  # each waits for a process
        delayed(train)(f"{ablation.command} {ablation.contenders[name]}", folder, seed) for (name, seed), folder in folders.items()
    )
    values = {
        name: np.array([last_value(folders[name, seed], ablation.figure) for seed in range(ablation.seeds)])
        for name in ablation.contenders
    }
    found = table(ablation, values)
    made = f"`{ablation.command}`, {ablation.seeds} seeds each, by `python docs/ablations/ablation.py {asked.name}`:"
    page = f"# {ablation.title}\n\n{made}\n\n![each training]({asked.name}.png)\n\n{found}\n"
    draw(ablation, values, HERE / f"{asked.name}.png")
    write_text_atomically(HERE / f"{asked.name}.md", page)
    print(found)


if __name__ == "__main__":
    main(tyro.cli(Arguments, description=__doc__))

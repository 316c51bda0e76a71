"""`attention vae …` and `attention draw …`: models that make pictures, and DRAW's eye."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Generic, Literal, TypeVar

import tyro

from attention_cli.arguments import TrainingArguments, figures_folder, pairs, peek, print_figures, print_run
from generative.config import CONFIGS, DRAWConfig, ReaderConfig, VAEConfig, published_config

Config = TypeVar("Config", VAEConfig, DRAWConfig, ReaderConfig)
Split = Literal["test", "validation", "train"]


@dataclass(frozen=True)
class TrainArguments(TrainingArguments, Generic[Config]):
    """Train a model; the same command again goes on where it was interrupted."""

    config: tyro.conf.OmitArgPrefixes[Config]
    """The settings; their defaults are the published ones for the data."""
    model: Literal["vae", "draw", "drawreader"]
    """What to train: vae, draw, or drawreader, DRAW's eye as a recogniser of an environment's pictures (`attention draw train`)."""
    out: Path | None = None
    """Run folder; runs/<data>-<model>-<seed> by default."""
    env_kwargs: tuple[str, ...] = ()
    """Settings of a reader's environment, as key:value."""
    training_kwargs: tuple[str, ...] = ()
    """The same in training only, such as "distortion:{rotation: 10}"."""


def train_vae(arguments: list[str], program: str) -> None:
    """`attention vae train`."""
    _train(arguments, program, "vae", ("vae",))


def train_draw(arguments: list[str], program: str) -> None:
    """`attention draw train`."""
    _train(arguments, program, "draw", ("draw", "drawreader"))


def _train(arguments: list[str], program: str, usual: str, models: tuple[str, ...]) -> None:
    kind = peek(arguments, "--model", usual)
    if kind not in models:
        raise ValueError(f"{program} trains {' or '.join(models)}, not {kind!r}")
    reads = kind == ReaderConfig.kind
    about = peek(arguments, "--env", ReaderConfig.env) if reads else peek(arguments, "--data", DRAWConfig.data)
    published: Any = published_config(kind, about)
    generic: Any = TrainArguments
    asked = tyro.cli(generic[CONFIGS[kind]], args=arguments, prog=program, default=generic(published, kind))
    config = asked.config
    if not reads and (asked.env_kwargs or asked.training_kwargs):
        raise ValueError(f"{kind} has no environment to set: env_kwargs and training_kwargs are for --model {ReaderConfig.kind}")
    if reads:
        changes = {name: {**getattr(config, name), **pairs(getattr(asked, name))} for name in ("env_kwargs", "training_kwargs")}
        config = dataclasses.replace(config, **changes)
    asked.begin()
    from generative.train import train

    place = asked.out or Path("runs") / f"{about.split('/')[-1]}-{kind}-{config.seed}"
    folder = train(config, place, asked.max_seconds)
    print_run(folder, program)


@dataclass(frozen=True)
class EvaluateArguments:
    """Score a trained model on every picture of a split: the bound of log p(x) in nats, or a reader's error."""

    model: Annotated[str, tyro.conf.Positional]
    """A zoo name, a run folder, or a weights file."""
    split: Split = "test"
    """Which pictures."""
    passes: int = 10
    """How often a model of pictures sees each, a single sample of the latent variables every time."""
    importance_samples: int = 0
    """Besides, the importance-weighted bound with so many samples for each picture: a separate figure."""
    env_kwargs: tuple[str, ...] = ()
    """Settings of a reader's environment that differ from the training's, as key:value; the figure is then another task's."""
    json: bool = False
    """Print one JSON object instead of a table."""


def evaluate(arguments: list[str], program: str) -> None:
    """`attention vae evaluate` and `attention draw evaluate`."""
    asked = tyro.cli(EvaluateArguments, args=arguments, prog=program)
    from attention_core.zoo import pick_device
    from generative.evaluate import report

    changed = pairs(asked.env_kwargs)
    print_figures(report(asked.model, pick_device(), asked.split, asked.passes, asked.importance_samples, changed), asked.json)


@dataclass(frozen=True)
class SampleArguments:
    """Make pictures: a grid of them, and of DRAW a GIF of how they are drawn, with the window that it writes through."""

    model: Annotated[str, tyro.conf.Positional]
    """A zoo name, a run folder, or a weights file."""
    out: Path | None = None
    """Folder for the files; the figures of a run folder, else here."""
    count: int = 64
    """How many."""
    label: int | None = None
    """Of a model that makes pictures by class: which; all in turn by default."""
    seed: int = 0
    """Of the latent variables."""


def sample(arguments: list[str], program: str) -> None:
    """`attention vae sample` and `attention draw sample`."""
    asked = tyro.cli(SampleArguments, args=arguments, prog=program)
    from generative.figures import write_samples

    model, _ = _load_latent(asked.model)
    folder = figures_folder(asked.model, asked.out)
    _say(write_samples(model, folder, asked.count, asked.seed, asked.label))


@dataclass(frozen=True)
class ReconstructArguments:
    """Draw pictures above what the model makes of them, the way from one to another, what each step tells, and DRAW at work."""

    model: Annotated[str, tyro.conf.Positional]
    """A zoo name, a run folder, or a weights file."""
    out: Path | None = None
    """Folder for the files; the figures of a run folder, else here."""
    split: Split = "test"
    """Which pictures."""
    count: int = 10
    """How many."""
    steps: int = 10
    """Pictures on the way from one to another."""
    seed: int = 0
    """Which pictures, and of the latent variables."""


def reconstruct(arguments: list[str], program: str) -> None:
    """`attention vae reconstruct` and `attention draw reconstruct`."""
    asked = tyro.cli(ReconstructArguments, args=arguments, prog=program)
    from generative.figures import write_divergences, write_interpolation, write_reconstructions
    from generative.likelihood import measure
    from generative.loading import load_pictures

    model, config = _load_latent(asked.model)
    if asked.steps < 2:
        raise ValueError(f"from one picture to another there are at least 2 steps, got {asked.steps}")
    pictures = load_pictures(config, asked.split, next(model.parameters()).device)
    folder = figures_folder(asked.model, asked.out)
    written = write_reconstructions(model, pictures, folder, asked.count, asked.seed)
    written += write_interpolation(model, pictures, folder, asked.steps, asked.seed)
    if model.steps > 1:
        written.append(write_divergences(measure(model, pictures), folder / "divergences.png"))
    _say(written)


@dataclass(frozen=True)
class ClassifyArguments:
    """Show how DRAW's eye names pictures: a GIF of its window on each, frame by frame."""

    model: Annotated[str, tyro.conf.Positional]
    """A zoo name, a run folder, or a weights file of a drawreader."""
    out: Path | None = None
    """The GIF; naming.gif among the figures of a run folder, else here."""
    split: Split = "test"
    """Which pictures."""
    count: int = 8
    """How many."""
    seed: int = 0
    """Which of them."""


def classify(arguments: list[str], program: str) -> None:
    """`attention draw classify`."""
    asked = tyro.cli(ClassifyArguments, args=arguments, prog=program)
    from attention_core.zoo import ModelError, pick_device
    from generative.figures import write_reading
    from generative.loading import load
    from generative.recogniser import Reader

    model, config, name = load(asked.model, pick_device())
    if not isinstance(model, Reader) or not isinstance(config, ReaderConfig):
        raise ModelError(f"{name} makes pictures and names none: train one with attention draw train --model drawreader")
    out = asked.out or figures_folder(asked.model, None) / "naming.gif"
    named = write_reading(model, config, out, asked.split, asked.count, asked.seed)
    print(f"named       {' '.join(map(str, named))}")
    _say([out])


def _load_latent(reference: str) -> tuple[Any, Any]:
    """Load a model that makes pictures, and its settings.

    Raises:
        attention_core.zoo.ModelError: if it is a reader, which makes none.
    """
    from attention_core.zoo import ModelError, pick_device
    from generative.latent import LatentModel
    from generative.loading import load

    model, config, name = load(reference, pick_device())
    if not isinstance(model, LatentModel):
        raise ModelError(f"{name} names pictures and makes none: attention draw classify shows what it does")
    return model, config


def _say(written: list[Path]) -> None:
    for path in written:
        print(f"written     {path}")

"""Which convolution and decoder reads best, at equal training? `python docs/ocr/ablation.py` trains them and writes the table.

Every contender sees the same synthetic words, as often, in the small setting `ablation` of ocr/hyperparameters/reader.yaml, with
three seeds. The words are drawn once, into an LMDB folder, and gone through in another order with each seed. Scores are those on
the real training crops that are kept for validation; no test crop is looked at. Trainings that are finished are not repeated, and
one that was interrupted goes on.
"""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import tyro
from joblib import Parallel, delayed

from attention_core.files import write_text_atomically
from attention_core.training import ERROR_RATE
from ocr.config import FORMS, Form, OCRConfig, published_config
from ocr.loading import new_reader
from ocr.train import train
from ocr.words import write_words

CONVOLUTIONS: dict[str, dict[str, Any]] = {
    "base": {"kind": "base"},
    "recurrent, tied": {"kind": "recurrent", "tied": True},
    "recurrent, untied": {"kind": "recurrent", "tied": False},
    "recursive, tied": {"kind": "recursive", "tied": True},
    "recursive, untied": {"kind": "recursive", "tied": False},
}
PAGE = Path(__file__).with_name("ablation.md")
USUAL_FORM: Form = "attention"
USUAL_CONVOLUTION = "recursive, untied"


@dataclass(frozen=True)
class Arguments:
    """What to run."""

    out: Path = Path("runs/ocr-ablation")
    """Folder of the run folders."""
    page: Path = PAGE
    """The table."""
    seeds: int = 3
    """Seeds of each."""
    jobs: int = 1
    """Trainings side by side, each on one thread."""
    updates: int | None = None
    """Updates of each; the settings' own by default."""
    words: int = 60_000
    """Words that are drawn."""


def contenders() -> dict[tuple[str, Form], OCRConfig]:
    """Name the settings that are compared by their convolution and the decoder's form."""
    usual = published_config("ablation")
    pairs = [(name, USUAL_FORM) for name in CONVOLUTIONS] + [(USUAL_CONVOLUTION, form) for form in FORMS if form != USUAL_FORM]
    return {
        (name, form): dataclasses.replace(
            usual,
            form=form,
            convolution=dataclasses.replace(usual.convolution, **CONVOLUTIONS[name]),
        )
        for name, form in pairs
    }


def run(config: OCRConfig, place: Path) -> tuple[float, float]:
    """Train one, and give the accuracy and the edit similarity at its end."""
    torch.set_num_threads(1)
    folder = train(config, place)
    rows = [json.loads(line) for line in folder.metrics.read_text(encoding="utf-8").splitlines()]
    last = next(row for row in reversed(rows) if ERROR_RATE in row)
    return 1 - last[ERROR_RATE], last["validation/edit_similarity"]


def main(asked: Arguments) -> None:
    """Train all, and write the table."""
    folder = asked.out / "words"
    if not folder.exists():
        write_words(published_config("ablation").words, asked.words, 0, folder)
    jobs = [
        (names, seed, dataclasses.replace(config, seed=seed, folder=str(folder), training=_training(config, asked.updates)))
        for seed in range(asked.seeds)  # all of one seed first, so that a part of the work is a whole comparison
        for names, config in contenders().items()
    ]
    scores = Parallel(n_jobs=asked.jobs)(
        delayed(run)(config, asked.out / f"{'-'.join(names).replace(', ', '-')}-{seed}") for names, seed, config in jobs
    )
    lines = [
        "| convolution | decoder | parameters | of the convolutions | receptive field | accuracy | edit similarity |",
        "|---|---|---|---|---|---|---|",
    ]
    for names, config in contenders().items():
        found = np.array([score for (its_names, _, _), score in zip(jobs, scores, strict=True) if its_names == names])
        reader = new_reader(config)
        parameters, convolutions = (
            sum(parameter.numel() for parameter in part.parameters()) for part in (reader, reader.convolution)
        )
        high, wide = reader.convolution.receptive_field()
        accuracy, similarity = (f"{100 * column.mean():.1f} ± {100 * _deviation(column):.1f}" for column in found.T)
        lines.append(f"| {' | '.join(names)} | {parameters:,} | {convolutions:,} | {high}×{wide} | {accuracy} | {similarity} |")
    write_text_atomically(asked.page, "\n".join(lines) + "\n")
    print("\n".join(lines))


def _training(config: OCRConfig, updates: int | None) -> Any:
    return config.training if updates is None else dataclasses.replace(config.training, updates=updates, validate_every=updates)


def _deviation(values: np.ndarray[Any, Any]) -> float:
    return float(values.std(ddof=1)) if len(values) > 1 else 0.0


if __name__ == "__main__":
    main(tyro.cli(Arguments, description=__doc__))

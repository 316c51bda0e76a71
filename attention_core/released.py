"""What is said of released models, `zoo/<name>/figures.yaml`: read, checked by running the command beside it, and shown as a page.

Cards are for people; this file holds those of their figures that anybody may want to check. The tables of results are made of it.
"""

from __future__ import annotations

import json
import math
import shlex
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from attention_core import zoo
from attention_core.config import check_above_zero, check_choices, from_dict, load_yaml
from attention_core.statistics import wilson_interval

FIGURES = "figures.yaml"
PREVIOUS, TRAINING = "PREVIOUS", "TRAINING-"
"""Stand for the run folder of the training before, and, with a number behind it, for that of the first one, the second one, …."""
PAGE = "docs/results.md"
BEGIN, END = "<!-- results: cut from docs/results.md -->", "<!-- end of results -->"
"""Around the table in README."""
GROUPS = {
    "looking": "Looking at pictures",
    "pictures": "Making pictures",
    "sentences": "Sentences about pictures",
    "words": "Reading words",
    "translation": "Translating",
}


@dataclass(frozen=True)
class Figure:
    """A figure of a released model.

    Attributes:
        name: what it measures, in words.
        key: where it stands in the evaluation's JSON object, "accuracy.svt" for a value within an object.
        value: what is claimed, in its unit.
        within: how far an evaluation may be from it: what rounding, and another machine's arithmetic, may change.
        unit: "%", of which the evaluation gives a fraction, or another that it gives as it is.
        examples: of how many a share is, which gives it an interval; 0 if it has none.
        spread: over seeds, in words, where the training was repeated.
        paper: the figure of the paper that the model is of.
        public: the best figure of a public reproduction known.
    """

    name: str
    key: str
    value: float
    within: float
    unit: str = "%"
    examples: int = 0
    spread: str = ""
    paper: str = "–"
    public: str = "–"

    def __post_init__(self) -> None:
        """Check the numbers.

        Raises:
            ValueError: if nothing may differ: another machine rounds otherwise.
        """
        check_above_zero(self, "within")

    def found_in(self, evaluation: dict[str, Any]) -> float:
        """Take it out of an evaluation, in its unit.

        Raises:
            ValueError: if it is not there.
        """
        value: Any = evaluation
        for name in self.key.split("."):
            value = value.get(name) if isinstance(value, dict) else None
        if not isinstance(value, int | float):
            raise ValueError(f"the evaluation has no number {self.key}: it has {', '.join(evaluation)}")
        return 100.0 * value if self.unit == "%" else float(value)

    def holds(self, found: float) -> bool:
        """Whether what was found is what is claimed."""
        return abs(found - self.value) <= self.within

    def shown(self, value: float) -> str:
        """Write a value with as many digits as are claimed, and its unit."""
        digits = max(0, -math.floor(math.log10(self.within)))
        return f"{value:.{digits}f} {self.unit}".rstrip()

    def uncertainty(self) -> str:
        """Tell how sure it is: over seeds, or by the number of examples."""
        if self.examples:
            low, high = wilson_interval(round(self.value / 100 * self.examples), self.examples)
            interval = f"{100 * low:.2f} to {100 * high:.2f}"
            return f"{interval}; {self.spread}" if self.spread else interval
        return self.spread or "–"


@dataclass(frozen=True)
class Released:
    """A released model and its figures.

    Attributes:
        name: in the zoo.
        group: which table it belongs to, a key of `GROUPS`.
        task: what it does, in words.
        train: the commands that made it, one after the other; `PREVIOUS` stands for the run folder of the one before, `TRAINING-2`
            for that of the second.
        check: the command that gives the figures.
        time: how long the training took, in words.
        hardware: on what.
        figures: at least one.
    """

    name: str
    group: str
    task: str
    train: tuple[str, ...]
    check: str
    time: str
    hardware: str
    figures: tuple[Figure, ...]

    def __post_init__(self) -> None:
        """Check what can be.

        Raises:
            ValueError: naming what is wrong and what would be right.
        """
        check_choices(self, group=GROUPS)
        for command in (*self.train, self.check):
            if not command.startswith("attention "):
                raise ValueError(f"train and check must be commands of ours, 'attention …', got {command!r}")

    def steps(self, out: Path) -> list[tuple[list[str], Path]]:
        """Tell how to train it: for each command its words, without the first, and the run folder that they name.

        Args:
            out: the run folder; of several commands, each has one in it.
        """
        folders = [out / str(number) for number in range(1, len(self.train) + 1)] if len(self.train) > 1 else [out]
        steps, known = [], dict[str, str]()
        for number, (command, folder) in enumerate(zip(self.train, folders, strict=True), 1):
            words = [known.get(word, word) for word in shlex.split(command)[1:]]
            steps.append(([*words, "--out", str(folder)], folder))
            known |= {PREVIOUS: str(folder), f"{TRAINING}{number}": str(folder)}
        return steps

    def parameters(self) -> int:
        """Count the numbers in the weights file."""
        return zoo.count_parameters(zoo.ZOO / self.name / zoo.WEIGHTS)

    def evaluate(self) -> dict[str, Any]:
        """Run the command that checks it, in a process of its own.

        Raises:
            RuntimeError: with its last words, if it fails.
        """
        words = shlex.split(self.check)[1:]
        run = subprocess.run([sys.executable, "-m", "attention_cli", *words, "--json"], capture_output=True, text=True, check=False)
        lines = run.stdout.strip().splitlines()
        if run.returncode or not lines:
            said = run.stderr.strip().splitlines() or ["nothing was printed"]
            raise RuntimeError(f"`{self.check} --json` ended with status {run.returncode}: {said[-1]}")
        evaluation: dict[str, Any] = json.loads(lines[-1])
        return evaluation


def released(name: str) -> Released:
    """Read what is said of a released model.

    Raises:
        attention_core.zoo.ModelError: if there is no such model, or its file is missing or wrong.
    """
    if name not in zoo.zoo_names():
        raise zoo.ModelError(f"no released model {name!r}: there are {', '.join(zoo.zoo_names()) or 'none'}")
    path = zoo.ZOO / name / FIGURES
    try:
        values = load_yaml(path)
        figures = tuple(from_dict(Figure, figure) for figure in values.pop("figures"))
        train = values.pop("train")
        commands = (train,) if isinstance(train, str) else tuple(train)
        return from_dict(Released, {"name": name, "train": commands, "figures": figures, **values})
    except (OSError, ValueError, KeyError, AttributeError, TypeError) as error:
        raise zoo.ModelError(f"{path} does not say what {name}'s figures are: {error}") from error


def all_released() -> list[Released]:
    """Read what is said of all released models, group by group.

    Raises:
        attention_core.zoo.ModelError: if a model's file is missing or wrong.
    """
    order = list(GROUPS)
    return sorted(map(released, zoo.zoo_names()), key=lambda model: order.index(model.group))


def page(models: Sequence[Released]) -> str:
    """Write the results of models as Markdown: for each group its figures, and how its models were made and are checked."""
    parts = [
        "# Results",
        "Made from `zoo/*/figures.yaml`; `attention zoo check` evaluates the models anew and says which figures hold, and with "
        "`--markdown` writes this page if all do. All are on test data, which chose nothing; the interval is of 95 % (Wilson) over "
        "the examples, ± a standard deviation over seeds, and each figure is of one training where no seeds are named. Where a "
        "training was ended early, its time says so, and its command goes on for longer. Cards say how each model was chosen, and "
        "what it cannot do.",
    ]
    for group, heading in GROUPS.items():
        members = [model for model in models if model.group == group]
        if members:
            parts.append(f"## {heading}\n\n{figures_table(members, True)}\n\n{_making_table(members)}")
    return "\n\n".join(parts) + "\n"


def figures_table(models: Sequence[Released], whole: bool) -> str:
    """Write a table of figures beside those of papers and of public reproductions.

    Args:
        models: whose.
        whole: all figures with their intervals; else the first one of each model and the command that checks it.
    """
    last = "95 % interval; seeds" if whole else "command"
    rows = [f"| task | figure | paper | best public | ours | {last} |", "|---|---|---|---|---|---|"]
    above = "../" if whole else ""
    for model in models:
        for place, figure in enumerate(model.figures if whole else model.figures[:1]):
            task = "" if place else f"{model.task} ([card]({above}zoo/{model.name}/card.md))"
            end = figure.uncertainty() if whole else f"`{model.check}`"
            ours = f"**{figure.shown(figure.value)}**"
            rows.append(f"| {' | '.join([task, figure.name, figure.paper, figure.public, ours, end])} |")
    return "\n".join(rows)


def _making_table(models: Sequence[Released]) -> str:
    rows = ["| model | parameters | training | hardware | made by | checked by |", "|---|---|---|---|---|---|"]
    for model in models:
        made = f"`{model.train[0]}`" if len(model.train) == 1 else f"`attention zoo train {model.name}`"
        about = [model.name, f"{model.parameters():,}", model.time, model.hardware, made, f"`{model.check}`"]
        rows.append(f"| {' | '.join(about)} |")
    return "\n".join(rows)


def with_table(text: str, table: str) -> str:
    """Put a table between the marks in a text, in place of what is there.

    Raises:
        ValueError: if the marks are not there once each.
    """
    if text.count(BEGIN) != 1 or text.count(END) != 1:
        raise ValueError(f"the text must have {BEGIN!r} and {END!r} once each")
    before, rest = text.split(BEGIN)
    return f"{before}{BEGIN}\n{table}\n{END}{rest.split(END)[1]}"

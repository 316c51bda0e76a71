"""Agents × environments × seeds at equal steps: training them side by side in worker processes, and what each has come to.

A comparison's folder holds

    comparison.yaml              what was asked for last, complete
    cells/<agent>/<env>/<seed>/  one run folder per training, with a result.json once it is over
    results.csv, results.json    all results so far, made from those
    workers/                     how far each cell is, and what it printed
    report.md and figures        made from the results by `agents.report`

The same comparison again does only the cells that have no result, and each of those goes on from its own checkpoint. A cell whose
worker raises or dies is tried once more (`agents.workers`) and then marked as failed, with the reason; the others are kept.
"""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import math
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import torch
import yaml
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from agents import registry
from agents.comparison_config import ComparisonConfig, load_comparison
from agents.config import ReinforceConfig
from agents.registry import AgentConfig
from agents.rival_config import ReferenceConfig, SB3Config
from agents.workers import prepare, run_all
from attention_core.config import to_dict
from attention_core.files import write_text_atomically
from attention_core.run_folder import RunFolder
from attention_core.training import ERROR_RATE
from attention_core.zoo import count_parameters
from attention_env.batch import make_batch

PLAN = "comparison.yaml"
RESULT = "result.json"


@dataclass(frozen=True)
class Cell:
    """One training of a comparison.

    Attributes:
        agent: the contender's name.
        env: environment id.
        seed: of everything that is chance in the training.
        config: its settings, complete, with its length.
        steps_per_count: environment steps in one of what its metrics count as "update".
        told: what its learner is told besides what is seen: "reward", "reward and label" or "label".
        note: what a reader must know to judge the figures; may be empty.
    """

    agent: str
    env: str
    seed: int
    config: AgentConfig
    steps_per_count: int
    told: str
    note: str

    @property
    def name(self) -> str:
        """The cell's place below `cells`."""
        return cell_name(self.agent, self.env, self.seed)


@dataclass(frozen=True)
class Result:
    """What a training has come to.

    Attributes:
        agent: the contender's name.
        env: environment id.
        seed: of the training.
        told: what its learner was told besides what is seen.
        note: what a reader must know to judge the figures.
        failure: why there are no figures; empty if there are.
        steps: environment steps really taken.
        success: share of the test pictures named rightly, or of the games won, each once, with the likeliest actions.
        success_sampled: the same with actions drawn by chance, mean of `runs` passes; of an agent without chance the same again.
        examples: number of test pictures or games.
        curve: pairs of steps and success on validation pictures.
        parameters: numbers in the agent's weights.
        seconds: of training, as the run's metrics have them.
        runs: see `success_sampled`.
    """

    agent: str
    env: str
    seed: int
    told: str
    note: str
    failure: str = ""
    steps: int | None = None
    success: float | None = None
    success_sampled: float | None = None
    examples: int | None = None
    curve: list[tuple[int, float]] = dataclasses.field(default_factory=list)
    parameters: int | None = None
    seconds: float | None = None
    runs: int | None = None


def cell_name(agent: str, env: str, seed: int) -> str:
    """Name a cell, as its place below `cells`."""
    return f"{agent}/{env.split('/')[-1]}/{seed}"


# What is to be done -----------------------------------------------------------------------------------------------------


def plan_cells(config: ComparisonConfig) -> list[Cell]:
    """List the trainings of a comparison, seed by seed, so that all agents have some results early.

    Raises:
        ValueError: if an environment is unknown, an agent cannot act or learn in one, a setting is wrong, or the steps are too few
            for a single update.
        attention_core.data_files.DataError: if an environment's pictures are not there.
    """
    tasks = [env.split("/")[-1] for env in config.envs]
    if len({*tasks}) < len(tasks):
        raise ValueError(f"environments need different names behind the slash, got {', '.join(config.envs)}")
    return [_plan_cell(config, agent, env, seed) for seed in config.all_seeds for env in config.envs for agent in config.agents]


def _plan_cell(config: ComparisonConfig, name: str, env: str, seed: int) -> Cell:
    settings = config.settings(name, env, seed)
    agent = registry.find(registry.name_of(settings))
    kwargs: dict[str, Any] = {**settings.env_kwargs, **settings.training_kwargs}
    environment = make_batch(env, 1, **kwargs)
    action_format = environment.settings.action_format
    if action_format not in agent.action_formats:
        raise ValueError(
            f"agent {name} cannot act in action_format={action_format!r}: give it env_kwargs with action_format one of "
            f"{', '.join(agent.action_formats)}"
        )
    told = agent.told(settings)
    if "label" in told and environment.acts:
        raise ValueError(
            f"agent {name} learns from true classes, which {env} does not have: choose agents that need the reward alone"
        )
    limited, steps_per_count = limit_steps(settings, config.steps_in(env), config.validations, environment.settings.glimpses)
    return Cell(name, env, seed, limited, steps_per_count, told, _note(settings))


def limit_steps(config: AgentConfig, steps: int, validations: int, glimpses: int) -> tuple[AgentConfig, int]:
    """Give a training the length that environment steps allow; a last update that would go beyond is dropped.

    Args:
        config: its settings.
        steps: what it may take.
        validations: scores on validation pictures on the way.
        glimpses: N. An episode is N steps, even one that may stop earlier; a picture that is seen whole counts as an episode.

    Returns:
        The settings, and how many steps one count of "update" in the run's metrics stands for.

    Raises:
        ValueError: if not a single update can be made.
    """
    per_update = config.rollout if isinstance(config, SB3Config) else config.batch_size * _copies(config) * glimpses
    updates = steps // per_update
    if updates < 1:
        raise ValueError(f"steps={steps} are too few for {registry.name_of(config)}, an update of which takes {per_update}")
    every = max(1, updates // validations)
    if isinstance(config, SB3Config):
        every *= per_update  # its metrics count environment steps
        log_every = min(config.log_every, every)
        return dataclasses.replace(config, steps=updates * per_update, validate_every=every, log_every=log_every), 1
    log_every = min(config.training.log_every, every)
    training = dataclasses.replace(config.training, updates=updates, validate_every=every, log_every=log_every)
    return dataclasses.replace(config, training=training), per_update


def _copies(config: ReinforceConfig | ReferenceConfig) -> int:
    """Episodes of the same picture in one update."""
    return config.copies if isinstance(config, ReinforceConfig) else 1


def _note(config: AgentConfig) -> str:
    """Say what sets an agent's way of learning apart from the others'."""
    if isinstance(config, ReferenceConfig):
        return "sees whole pictures, each counted as an episode"
    if isinstance(config, ReinforceConfig) and _copies(config) > 1:
        return f"needs every picture {_copies(config)} times in an update"
    return ""


# Doing it ---------------------------------------------------------------------------------------------------------------


def compare(config: ComparisonConfig, out: Path, jobs: int, backend: str) -> list[Result]:
    """Train and score whatever has no result yet; what was scored over fewer or more runs is scored again.

    Args:
        config: what to compare. If the folder holds trainings of the same names, their settings must be the same.
        out: the comparison's folder; with Ray, one that all machines share.
        jobs: trainings at a time.
        backend: "loky" for processes on this machine, "ray" for a cluster.

    Returns:
        All results.

    Raises:
        ValueError: before anything runs, if something cannot be done; see `plan_cells` and `agents.workers.prepare`.
        attention_core.run_folder.RunError: before anything runs, if the folder holds trainings of other settings.
        agents.workers.WorkersError: if Ray is not installed, or no worker process can begin.
    """
    prepare(jobs, backend)
    out = out.resolve()
    cells = plan_cells(config)
    for cell in cells:
        RunFolder(out / "cells" / cell.name, writes=False).check(_settings(cell), complete=True)
    write_text_atomically(out / PLAN, yaml.safe_dump(dataclasses.asdict(config), sort_keys=False))
    results = {cell.name: read_result(out, cell.name) for cell in cells}
    missing = {
        cell.name: cell for cell in cells if (found := results[cell.name]) is None or found.failure or found.runs != config.runs
    }
    for name in missing:
        (out / "cells" / name / RESULT).unlink(missing_ok=True)
    with _watching(config, out):
        failures = run_all(partial(run_cell, out=out, runs=config.runs), missing, out / "workers", jobs, backend)
        for name, reason in failures.items():
            cell = missing[name]
            _write_result(out, cell, Result(cell.agent, cell.env, cell.seed, cell.told, cell.note, reason))
    return collect(config, out)


def run_cell(cell: Cell, out: Path, runs: int) -> None:
    """Train one agent, or go on with it, score it, and write its result; done in a worker process, with one thread."""
    torch.set_num_threads(1)
    folder = registry.train(cell.config, out / "cells" / cell.name)
    rows = list(folder.rows())
    figures = registry.report(str(folder.path), "test", runs)
    turn = (lambda value: 1 - value) if figures["metric"] == "error_rate" else float
    sampled = figures.get("value_sampled")
    result = Result(
        cell.agent,
        cell.env,
        cell.seed,
        cell.told,
        cell.note,
        steps=rows[-1]["update"] * cell.steps_per_count,
        success=turn(figures["value"]),
        success_sampled=None if sampled is None else turn(sampled),
        examples=figures["examples"],
        curve=[(row["update"] * cell.steps_per_count, 1 - row[ERROR_RATE]) for row in rows if ERROR_RATE in row],
        parameters=count_parameters(folder.model),
        seconds=max(row.get("time/seconds", 0.0) for row in rows),
        runs=runs,
    )
    _write_result(out, cell, result)


def _settings(cell: Cell) -> dict[str, Any]:
    """Settings as the cell's run folder has them."""
    return {"kind": registry.name_of(cell.config), **to_dict(cell.config)}


# Results ----------------------------------------------------------------------------------------------------------------


def read_result(out: Path, name: str) -> Result | None:
    """Read the result of a cell of this name, if there is one."""
    path = out / "cells" / name / RESULT
    if not path.exists():
        return None
    values = json.loads(path.read_text(encoding="utf-8"))
    return Result(**{**values, "curve": [(steps, success) for steps, success in values["curve"]]})


def read_results(config: ComparisonConfig, out: Path) -> list[Result]:
    """Read the results that there are, agent by agent."""
    cells = product(config.agents, config.envs, config.all_seeds)
    return [result for cell in cells if (result := read_result(out, cell_name(*cell))) is not None]


def _write_result(out: Path, cell: Cell, result: Result) -> None:
    write_text_atomically(out / "cells" / cell.name / RESULT, json.dumps(dataclasses.asdict(result), indent=1))


def collect(config: ComparisonConfig, out: Path) -> list[Result]:
    """Gather the results that there are, and write `results.json` and `results.csv` anew."""
    results = read_results(config, out)
    rows = [dataclasses.asdict(result) for result in results]
    write_text_atomically(out / "results.json", json.dumps(rows, indent=1))
    table = io.StringIO()
    columns = [field.name for field in dataclasses.fields(Result) if field.name != "curve"]
    writer = csv.DictWriter(table, columns, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_text_atomically(out / "results.csv", table.getvalue())
    return results


def load_results(out: Path) -> tuple[ComparisonConfig, list[Result]]:
    """Read a comparison's folder: what was asked for, and the results that there are.

    Raises:
        FileNotFoundError: if it is no comparison's folder.
    """
    if not (out / PLAN).is_file():
        raise FileNotFoundError(f"{out} has no {PLAN}: it is no comparison's folder")
    config = load_comparison(out / PLAN)
    return config, collect(config, out)


@contextmanager
def _watching(config: ComparisonConfig, out: Path) -> Iterator[None]:
    """Show the cells done and the time left, and keep the tables of results up to date, while they are worked on elsewhere."""
    times = (TimeElapsedColumn(), "left", TimeRemainingColumn())
    columns = ("{task.description}", BarColumn(), "{task.completed}/{task.total}", *times, TextColumn("{task.fields[shown]}"))
    over = threading.Event()
    # The pace is taken over the whole of it: a cell may last for hours.
    with Progress(*columns, refresh_per_second=2, speed_estimate_period=math.inf) as bar:
        task = bar.add_task("comparing", total=config.cells, shown="")

        def show() -> None:
            results = collect(config, out)
            failed = sum(bool(result.failure) for result in results)
            bar.update(task, completed=len(results), shown=f"{failed} failed" if failed else "")

        def watch() -> None:
            while not over.wait(0.5):
                if len(read_results(config, out)) > bar.tasks[task].completed:
                    show()

        show()
        watcher = threading.Thread(target=watch, daemon=True)
        watcher.start()
        try:
            yield
        finally:
            over.set()
            watcher.join()
            show()

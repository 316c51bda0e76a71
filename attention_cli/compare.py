"""`attention rl compare` and `attention rl variance`: agents side by side, and baselines side by side."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import tyro

from agents.comparison_config import load_comparison, make_comparison
from attention_cli.arguments import VarianceArguments, print_variances


@dataclass(frozen=True)
class CompareArguments:
    """Train agents in environments with several seeds at equal steps, and report; the same command again does what is missing."""

    out: Path
    """Folder of the comparison; with Ray, one that all machines share."""
    file: Path | None = None
    """YAML file that describes the comparison; what else is given here replaces what it says, or chooses from it."""
    agents: tuple[str, ...] = ()
    """Agents by name: those of the file, or ram-hybrid, ram-pure, ppo, …."""
    envs: tuple[str, ...] = ()
    """Environment ids."""
    seeds: int | None = None
    """Trainings of every agent in every environment; 5 by default."""
    first_seed: int | None = None
    """The lowest of their seeds; 0 by default."""
    steps: int | None = None
    """Environment steps of every training, copies of a picture and greedy episodes counted; 200 000 by default."""
    jobs: int = 1
    """Trainings at a time, each in a process of its own with one thread."""
    backend: Literal["loky", "ray"] = "loky"
    """Processes on this machine, or a Ray cluster: the one that RAY_ADDRESS names."""
    report_only: bool = False
    """Train nothing: make the report from the results that are there."""


def compare(arguments: list[str], program: str) -> None:
    """`attention rl compare`."""
    asked = tyro.cli(CompareArguments, args=arguments, prog=program)
    if asked.report_only:
        from agents.report import write_report

        print(f"report      {write_report(asked.out)}")
        return
    base = None if asked.file is None else load_comparison(asked.file)
    given = {name: value for name in ("seeds", "first_seed", "steps") if (value := getattr(asked, name)) is not None}
    config = make_comparison(asked.agents, asked.envs, base, **given)
    from agents.comparison import compare as run
    from agents.report import write_report

    results = run(config, asked.out, asked.jobs, asked.backend)
    for result in results:
        if result.failure:
            print(f"failed      {result.agent} in {result.env}, seed {result.seed}: {result.failure}")
    print(f"results     {asked.out / 'results.csv'}\nreport      {write_report(asked.out)}")


@dataclass(frozen=True)
class AgentVarianceArguments(VarianceArguments):
    """Measure how noisy the gradient of where to look is under each baseline, at the parameters of trained agents, RAM's."""


def variance(arguments: list[str], program: str) -> None:
    """`attention rl variance`."""
    asked = tyro.cli(AgentVarianceArguments, args=arguments, prog=program)
    if not asked.models:
        raise ValueError("name at least one trained agent")
    from agents.gradient_variance import measure

    figures = {model: measure(model, asked.estimates, asked.episodes, asked.copies, asked.seed) for model in asked.models}
    print_variances(figures, asked)

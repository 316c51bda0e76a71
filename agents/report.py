"""What a comparison has shown, as Markdown tables and figures; see `agents.comparison`.

Scores are success rates on all test pictures, each seen once. They are summed up as Agarwal et al. 2021 (arXiv 2108.13264) ask for:
interquartile means, performance profiles and probabilities of improvement, with 95 % intervals from a bootstrap over seeds within
each environment (`attention_core.statistics`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, PercentFormatter

from agents.comparison import Result, load_results
from agents.comparison_config import ComparisonConfig
from attention_core.curves import STYLE
from attention_core.files import write_text_atomically
from attention_core.pictures import save_figure
from attention_core.statistics import (
    Array,
    Strata,
    bootstrap_interval,
    interquartile_mean,
    performance_profile,
    probability_of_improvement,
)

# Okabe and Ito's colours, which the colour-blind can tell apart, without the yellow, which is faint on white; then three more.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#7F7F7F", "#882255", "#6B4F1D", "#332288")
LINES = {"reward": "-", "reward and label": "--", "label": ":"}
THRESHOLDS = np.linspace(0, 1, 201)


@dataclass(frozen=True)
class Standing:
    """All that an agent has achieved.

    Attributes:
        name: the contender's name.
        results: of its trainings that did not fail, at least one, by environment.
        colour: of its lines.
    """

    name: str
    results: dict[str, list[Result]]
    colour: str

    @property
    def first(self) -> Result:
        """Any of its results, for what all of them have in common."""
        return next(iter(self.results.values()))[0]

    @property
    def label(self) -> str:
        """What to call it in a legend."""
        return f"{self.name} (told {self.first.told})"

    @property
    def line(self) -> str:
        """Style of its lines, by what its learner is told."""
        return LINES[self.first.told]

    def scores(self, field: str = "success") -> Strata | None:
        """Gather its scores by environment, None if some are missing."""
        strata = [np.array([getattr(result, field) for result in results], np.float64) for results in self.results.values()]
        return None if any(np.isnan(scores).any() for scores in strata) else strata


def write_report(out: Path) -> Path:
    """Write `report.md` and its figures into a comparison's folder, from the results that are there.

    Returns:
        The report's place.

    Raises:
        FileNotFoundError: if it is no comparison's folder.
        ValueError: if there is no result to report on.
    """
    config, results = load_results(out)
    done = [result for result in results if not result.failure]
    if not done:
        raise ValueError(f"{out} holds no result yet: there is nothing to report on")
    standings = [_standing(name, done, config, place) for place, name in enumerate(config.agents)]
    present = [standing for standing in standings if standing.results]
    everywhere = [standing for standing in present if len(standing.results) == len(config.envs)]
    sections = [
        _heading(config, results),
        _agents(present, config),
        *(_overall(everywhere, present, config, out) if everywhere else []),
        "## By environment\n\nMean ± standard deviation over seeds, and the lowest … highest of them.",
        *[_environment(env, present, config) for env in config.envs],
        _learning_curves(present, config, out),
        _tuning(config),
        _failures(results),
    ]
    path = out / "report.md"
    write_text_atomically(path, "\n\n".join(section for section in sections if section) + "\n")
    return path


def _standing(name: str, done: list[Result], config: ComparisonConfig, place: int) -> Standing:
    its = {env: [result for result in done if (result.agent, result.env) == (name, env)] for env in config.envs}
    return Standing(name, {env: found for env, found in its.items() if found}, COLOURS[place % len(COLOURS)])


# Tables -----------------------------------------------------------------------------------------------------------------


def _heading(config: ComparisonConfig, results: list[Result]) -> str:
    done = sum(not result.failure for result in results)
    seeds = f"seeds {config.all_seeds[0]} … {config.all_seeds[-1]}" if config.seeds > 1 else f"seed {config.first_seed}"
    lines = [
        f"# Comparison of {len(config.agents)} agents in {len(config.envs)} environments",
        f"{done} of {config.cells} trainings ({seeds}). Scores are success rates, 1 − error rate, on all test pictures, each seen "
        "once: *greedy* with the likeliest actions and mean locations, *sampled* with actions drawn by chance"
        + (f" (mean of {config.runs} passes)." if config.runs > 1 else ".")
        + " The weights scored are those that were best on validation pictures, of which each training made "
        f"about {config.validations} scores at even distances.",
        "Every training may take the same number of environment steps. All that is simulated for learning counts, copies of a "
        "picture and greedy episodes as well; an episode of N glimpses is N steps. A last update that would go beyond is dropped.",
    ]
    if config.seeds == 1:
        lines.append("**There is one seed only: intervals say nothing here.**")
    return "\n\n".join(lines)


def _agents(present: list[Standing], config: ComparisonConfig) -> str:
    rows = [
        [
            standing.name,
            standing.first.told,
            standing.first.note or "–",
            " / ".join(f"{count:,}" for count in dict.fromkeys(results[0].parameters for results in standing.results.values())),
            str(config.tuning.trials.get(standing.name, "not said")),
        ]
        for standing in present
    ]
    columns = ["agent", "its learner is told", "note", "parameters", "trainings tried in tuning"]
    return "## Agents\n\nAgents that are told more, or that need a picture repeated, are rows of another kind.\n\n" + _table(
        columns, rows
    )


def _overall(everywhere: list[Standing], present: list[Standing], config: ComparisonConfig, out: Path) -> list[str]:
    """Sum up the agents that have results in every environment."""
    ranked = sorted(everywhere, key=lambda standing: -float(interquartile_mean(_strata(standing))))
    rows = [
        [
            standing.name,
            standing.first.told,
            _with_interval(standing.scores()),
            _with_interval(standing.scores("success_sampled")),
            f"{sum(map(len, standing.results.values()))} of {len(config.envs) * config.seeds}",
            standing.first.note or "–",
        ]
        for standing in ranked
    ]
    columns = ["agent", "its learner is told", "greedy, %", "sampled, %", "trainings", "note"]
    left_out = ", ".join(standing.name for standing in present if standing not in everywhere)
    told = "Interquartile mean over all environments and seeds, in brackets its 95 % interval (bootstrap over seeds within each)."
    sections = [
        f"## Success in all environments\n\n{told}" + (f" Without results everywhere: {left_out}." if left_out else ""),
        _table(columns, rows),
        _draw_scores(ranked, out / "scores.png"),
        "Share of the trainings that score more than a threshold:",
        _draw_profiles(ranked, out / "performance_profile.png"),
    ]
    return sections + (_improvement(ranked, out) if len(ranked) > 1 else [])


def _improvement(ranked: list[Standing], out: Path) -> list[str]:
    chances = np.full((len(ranked), len(ranked), 3), 0.5)
    for row, ours in enumerate(ranked):
        for column, theirs in enumerate(ranked):
            if row != column:
                pair = (_strata(ours), _strata(theirs))
                chances[row, column] = [
                    float(probability_of_improvement(*pair)),
                    *bootstrap_interval(probability_of_improvement, *pair),
                ]
    names = [standing.name for standing in ranked]
    rows = [
        [name, *("–" if row == column else "{:.2f} [{:.2f}, {:.2f}]".format(*chances[row, column]) for column in range(len(names)))]
        for row, name in enumerate(names)
    ]
    return [
        "### Probability of improvement\n\nHow probably a training of the row's agent scores more than one of the column's.",
        _table(["", *names], rows),
        _draw_improvement(names, chances, out / "probability_of_improvement.png"),
    ]


def _environment(env: str, present: list[Standing], config: ComparisonConfig) -> str:
    here = [standing for standing in present if env in standing.results]
    rows = []
    for standing in sorted(here, key=lambda standing: -_mean(standing.results[env], "success")):
        results = standing.results[env]
        rows.append(
            [
                standing.name,
                standing.first.told,
                _spread(results, "success"),
                _spread(results, "success_sampled"),
                f"{len(results)} of {config.seeds}",
                f"{_mean(results, 'steps'):,.0f}",
                f"{_mean(results, 'seconds'):,.0f}",
                standing.first.note or "–",
            ]
        )
    columns = ["agent", "its learner is told", "greedy, %", "sampled, %", "seeds", "steps taken", "seconds", "note"]
    examples = f", {here[0].results[env][0].examples:,} test pictures" if here else ""
    return f"### {env}\n\n{config.steps_in(env):,} steps{examples}.\n\n" + _table(columns, rows)


def _tuning(config: ComparisonConfig) -> str:
    tuning = config.tuning
    if not (tuning.seeds or tuning.trials or tuning.note):
        return "## Tuning\n\nNothing is said of how the settings were found."
    seeds = (
        f"Seeds of the search: {', '.join(map(str, tuning.seeds))}; none of them is one of the trainings' here. "
        if tuning.seeds
        else ""
    )
    trials = "; ".join(f"{name} {count}" for name, count in tuning.trials.items())
    return f"## Tuning\n\n{seeds}{f'Trainings tried: {trials}. ' if trials else ''}{tuning.note}".rstrip()


def _failures(results: list[Result]) -> str:
    failed = [f"* {result.agent} in {result.env}, seed {result.seed}: {result.failure}" for result in results if result.failure]
    return "## Failed trainings\n\nEach was tried twice.\n\n" + "\n".join(failed) if failed else ""


def _table(columns: list[str], rows: list[list[str]]) -> str:
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _strata(standing: Standing) -> Strata:
    strata = standing.scores()
    assert strata is not None  # every training that did not fail has a greedy score
    return strata


def _values(results: list[Result], field: str) -> list[float]:
    return [value for result in results if (value := getattr(result, field)) is not None]


def _mean(results: list[Result], field: str) -> float:
    return float(np.mean(_values(results, field)))


def _spread(results: list[Result], field: str) -> str:
    """Mean ± standard deviation and range, in percent; of a single seed just the figure."""
    values = 100 * np.array(_values(results, field))
    if len(values) < 2:
        return f"{values[0]:.2f}" if len(values) else "–"
    return f"{values.mean():.2f} ± {values.std(ddof=1):.2f} ({values.min():.2f} … {values.max():.2f})"


def _with_interval(strata: Strata | None) -> str:
    """Interquartile mean and its interval, in percent."""
    if strata is None:
        return "–"
    low, high = 100 * bootstrap_interval(interquartile_mean, strata)
    return f"{100 * float(interquartile_mean(strata)):.2f} [{low:.2f}, {high:.2f}]"


# Figures ----------------------------------------------------------------------------------------------------------------


def _draw(path: Path, size: tuple[float, float], paint: Callable[[Figure], None]) -> str:
    """Make a figure and save it; return the Markdown that shows it."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=size, layout="constrained")
        paint(figure)
        save_figure(figure, path, 130)
    return f"![{path.stem.replace('_', ' ')}]({path.name})"


def _draw_scores(ranked: list[Standing], path: Path) -> str:
    def paint(figure: Figure) -> None:
        axes = figure.subplots()
        for height, standing in enumerate(reversed(ranked)):
            for field, face, offset in (("success", standing.colour, 0.12), ("success_sampled", "white", -0.12)):
                if (strata := standing.scores(field)) is not None:
                    mean, (low, high) = float(interquartile_mean(strata)), bootstrap_interval(interquartile_mean, strata)
                    place = height + offset
                    axes.plot([low, high], [place, place], color=standing.colour, linewidth=2, solid_capstyle="butt")
                    axes.plot(mean, place, "o", markersize=6, markeredgecolor=standing.colour, markerfacecolor=face)
        axes.set_yticks(range(len(ranked)), [f"{standing.name}\ntold {standing.first.told}" for standing in reversed(ranked)])
        axes.set_ylim(-0.6, len(ranked) - 0.4)
        axes.xaxis.set_major_formatter(PercentFormatter(1.0))
        axes.set_xlabel("success on test pictures: interquartile mean, 95 % interval (full: greedy, hollow: sampled)")

    return _draw(path, (7.5, 1.1 + 0.55 * len(ranked)), paint)


def _draw_profiles(ranked: list[Standing], path: Path) -> str:
    def paint(figure: Figure) -> None:
        axes = figure.subplots()
        for standing in ranked:
            strata = _strata(standing)
            low, high = bootstrap_interval(lambda drawn: performance_profile(drawn, THRESHOLDS), strata)
            _line(axes, standing, THRESHOLDS, performance_profile(strata, THRESHOLDS), low, high)
        axes.xaxis.set_major_formatter(PercentFormatter(1.0))
        axes.yaxis.set_major_formatter(PercentFormatter(1.0))
        axes.set_xlabel("success on test pictures above …")
        axes.set_ylabel("share of trainings")
        handles, labels = _legend(figure)
        figure.legend(handles, labels, loc="outside lower center", ncols=min(3, len(labels)))

    return _draw(path, (7.5, 4.8), paint)


def _draw_improvement(names: list[str], chances: Array, path: Path) -> str:
    def paint(figure: Figure) -> None:
        axes = figure.subplots()
        shown = axes.imshow(chances[..., 0], cmap="PuOr", vmin=0, vmax=1)
        for row in range(len(names)):
            for column in range(len(names)):
                chance, low, high = chances[row, column]
                if row != column:
                    colour = "white" if abs(chance - 0.5) > 0.35 else "black"
                    text = f"{chance:.2f}\n{low:.2f} … {high:.2f}"
                    axes.text(column, row, text, ha="center", va="center", color=colour, fontsize=7)
        axes.set_xticks(range(len(names)), names, rotation=30, ha="right")
        axes.set_yticks(range(len(names)), names)
        axes.grid(visible=False)
        figure.colorbar(shown, label="probability that the row's agent scores more", shrink=0.8)

    side = 2.5 + 0.75 * len(names)
    return _draw(path, (side + 1, side), paint)


def _learning_curves(present: list[Standing], config: ComparisonConfig, out: Path) -> str:
    """Draw success on validation pictures against environment steps, a panel for each environment."""
    columns = min(2, len(config.envs))
    lines = -(-len(config.envs) // columns)

    def paint(figure: Figure) -> None:
        panels = figure.subplots(lines, columns, squeeze=False).flat
        for env, axes in zip(config.envs, panels, strict=False):
            for standing in present:
                if env in standing.results:
                    curves = np.array([result.curve for result in standing.results[env]])  # (seeds, points, 2)
                    points = curves[..., 1].T  # (points, seeds)
                    low, high = np.transpose([bootstrap_interval(interquartile_mean, [point]) for point in points])
                    _line(axes, standing, curves[0, :, 0], interquartile_mean([points]), low, high)
            axes.set_title(env)
            axes.set_xlabel("environment steps")
            axes.set_ylabel("success on validation pictures")
            axes.yaxis.set_major_formatter(PercentFormatter(1.0))
            axes.xaxis.set_major_formatter(FuncFormatter(_thousands))
            axes.set_xlim(left=0)
        for axes in list(figure.axes)[len(config.envs) :]:
            axes.remove()
        handles, labels = _legend(figure)
        figure.legend(handles, labels, loc="outside lower center", ncols=min(3, len(labels)))

    picture = _draw(out / "learning_curves.png", (max(6.5, 4.5 * columns), 3.2 * lines + 0.25 * (1 + len(present) // 3)), paint)
    return f"## Learning curves\n\nInterquartile mean over seeds, greedy, with its 95 % interval.\n\n{picture}"


def _legend(figure: Figure) -> tuple[list[Any], list[str]]:
    """Gather every agent once from all panels."""
    entries = {label: handle for axes in figure.axes for handle, label in zip(*axes.get_legend_handles_labels(), strict=True)}
    return list(entries.values()), list(entries)


def _line(axes: Axes, standing: Standing, x: Array, middle: Array, low: Array, high: Array) -> None:
    axes.plot(x, middle, standing.line, color=standing.colour, linewidth=1.6, label=standing.label)
    axes.fill_between(x, low, high, color=standing.colour, alpha=0.15, linewidth=0)


def _thousands(value: float, _: object) -> str:
    return f"{value / 1e6:g} M" if value >= 1e6 else f"{value / 1e3:g} k" if value else "0"

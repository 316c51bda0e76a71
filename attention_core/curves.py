"""Learning curves of a run, drawn from its metrics."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from attention_core.pictures import save_figure
from attention_core.run_folder import RunFolder

STYLE: Any = {
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.alpha": 0.3,
    "axes.formatter.limits": (-3, 6),  # numbers beyond 10⁻³ and 10⁶ would not fit into the margin
}
WIDTH, HEIGHT = 9, 2.75  # of a row, in inches


def draw_panels(folder: RunFolder, panels: dict[str, list[str]], counted: str) -> Path:
    """Draw metrics of a run to `figures/curves.png`, two panels in a row.

    Args:
        folder: the run.
        panels: titles, and the names of the metrics below each; a title that starts with "error" is of fractions, drawn as percent.
        counted: what "update" counts.

    Returns:
        The picture's place.
    """
    import matplotlib as mpl  # here, since it takes a second, for which a training need not wait at its start
    from matplotlib.figure import Figure
    from matplotlib.ticker import PercentFormatter

    rows = list(folder.rows())
    lines = -(-len(panels) // 2)
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(WIDTH, HEIGHT * lines))
        # Margins in inches: a layout that matplotlib works out takes as long as all the drawing.
        figure.subplots_adjust(
            0.6 / WIDTH, 0.5 / HEIGHT / lines, 1 - 0.1 / WIDTH, 1 - 0.3 / HEIGHT / lines, wspace=0.18, hspace=0.4
        )
        places = list(figure.subplots(lines, 2).flat)
        for unused in places[len(panels) :]:
            unused.remove()
        for axes, (title, names) in zip(places, panels.items(), strict=False):
            for name in names:
                points = [(row["update"], row[name]) for row in rows if name in row]
                if points:
                    axes.plot(*zip(*points, strict=True), label=name.split("/")[1])
            axes.set_title(title)
            axes.set_xlabel(counted)
            axes.locator_params("x", nbins=5)
            if title.startswith("error"):
                axes.yaxis.set_major_formatter(PercentFormatter(1.0))
                axes.set_ylim(bottom=0)
            if len(names) > 1 and axes.lines:
                axes.legend()
        path = folder.figures / "curves.png"
        save_figure(figure, path, 120)
    return path

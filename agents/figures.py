"""The figures of an evaluation, the same for every kind of agent."""

from __future__ import annotations

from statistics import mean
from typing import Any

from agents.evaluate import Score


def figures(
    name: str, env: str, split: str, acts: bool, score: Score, sampled: list[Score], looks: dict[str, Any]
) -> dict[str, Any]:
    """Give the figures of an evaluation as one object that JSON can hold.

    Args:
        name: the model's name.
        env: the environment's id.
        split: which pictures.
        acts: whether the environment is one in which things are done, and success counts, not one with classes to be named.
        score: with the likeliest actions.
        sampled: scores of further runs with actions drawn by chance; may be empty.
        looks: how it looks at the pictures.
    """

    def turned(error_rate: float) -> float:
        return 1 - error_rate if acts else error_rate

    found: dict[str, Any] = {
        "model": name,
        "metric": "success_rate" if acts else "error_rate",
        "value": turned(score.error_rate),
        "interval": [round(end, 6) for end in sorted(map(turned, score.interval))],
        "examples": score.examples,
        "split": split,
        "env": env,
        **looks,
    }
    if sampled:
        found["value_sampled"] = turned(mean(run.error_rate for run in sampled))
        found["runs_sampled"] = len(sampled)
    return found

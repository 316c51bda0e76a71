"""Scoring an agent: every picture of a split exactly once, mean locations, likeliest class."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import mean
from typing import Any

import torch
from gymnasium import Space
from gymnasium.vector import VectorEnv

from agents.config import ReinforceConfig
from agents.player import Noise, Player
from attention_core.statistics import wilson_interval
from attention_env.batch import World, describe, every_picture, make_split
from attention_env.envs.glimpse import GlimpseVectorEnv

CHUNK = 1_000


@dataclass(frozen=True)
class Score:
    """How an agent does on a split.

    Attributes:
        errors: pictures misnamed, or games lost.
        examples: pictures shown or games played, each once.
        coverage: share of the picture's area, on a grid of 8×8 cells, that holds at least 1 % of the chosen locations: an
            agent that has ended up staring at a corner has 1/64.
        glimpses: mean number of glimpses in an episode, where that is told.
    """

    errors: int
    examples: int
    coverage: float
    glimpses: float | None = None

    @property
    def error_rate(self) -> float:
        """Errors as a fraction."""
        return self.errors / self.examples

    @property
    def interval(self) -> tuple[float, float]:
        """95 % Wilson interval of the error rate."""
        return wilson_interval(self.errors, self.examples)


def check_spaces(env: str, observations: Space[Any], actions: Space[Any], batch: VectorEnv[Any, Any, Any]) -> None:
    """See that an agent can see and act in an environment.

    Args:
        env: the environment's id.
        observations: the space of those that the agent was made for.
        actions: likewise.
        batch: the environment, with the settings asked for.

    Raises:
        ValueError: naming the spaces that differ.
    """
    for name, learned, given in (
        ("observations", observations, batch.single_observation_space),
        ("actions", actions, batch.single_action_space),
    ):
        if learned != given:
            raise ValueError(f"the model was made for {name} in {learned}, but {env} with these settings has {given}")


@torch.no_grad()
def score(player: Player, config: ReinforceConfig, split: str, device: torch.device, sampled: bool = False, seed: int = 0) -> Score:
    """Score an agent on a split.

    Args:
        player: the agent.
        config: names the environment and its settings.
        split: "train", "validation" or "test".
        device: where to compute.
        sampled: whether to act by chance, as at the end of the training, and not the likeliest way, as the figures do.
        seed: of that chance, and of what is chance in the environment, such as a random start.

    Returns:
        The score over all pictures of the split, each seen once.
    """

    def make(rows: int) -> GlimpseVectorEnv:
        return make_split(config, device, rows, split)

    count = len(make(1).pictures)
    generator = torch.Generator(device).manual_seed(seed)
    wrong, glimpses = torch.zeros((), dtype=torch.int64, device=device), torch.zeros((), dtype=torch.int64, device=device)
    cells = torch.zeros(64, device=device)
    for environment, index in every_picture(make, count, CHUNK):
        environment.reset(seed=seed + int(index[0]))
        noise = None
        if sampled or player.looking.always_by_chance:
            noise = player.noise(environment, (len(index),), generator, config.final_deviation, config.rule == "pure")
            noise = noise if sampled else Noise(noise.look)
        episodes = player(environment, {"index": index}, noise)
        wrong += (~episodes.success).sum()
        glimpses += episodes.lengths.sum()
        cells += count_cells(episodes.locations[1:][episodes.playing[1:]])
    return Score(int(wrong), count, coverage(cells), int(glimpses) / count)


def count_cells(locations: torch.Tensor) -> torch.Tensor:
    """Count locations, (…, 2), in each of 8×8 cells of the picture, (64,)."""
    cell = ((locations.clamp(-1, 1) + 1) * 4).long().clamp(max=7)
    return torch.bincount((cell[..., 1] * 8 + cell[..., 0]).flatten(), minlength=64).float()


def coverage(cells: torch.Tensor) -> float:
    """Tell the share of cells that hold at least 1 % of the locations counted, which is 0 where nothing was counted."""
    return float((cells > 0).logical_and(cells >= 0.01 * cells.sum()).float().mean())


def figures(
    name: str, world: World, environment: GlimpseVectorEnv, split: str, score: Score, sampled: list[Score], looks: dict[str, Any]
) -> dict[str, Any]:
    """Give the figures of an evaluation as one object that JSON can hold.

    Args:
        name: the model's name.
        world: names the environment and its settings.
        environment: made of them; where things are done in it, success counts, and where classes are named, errors.
        split: which pictures.
        score: with the likeliest actions.
        sampled: scores of further runs with actions drawn by chance; may be empty.
        looks: how it looks at the pictures.
    """
    acts = environment.acts

    def turned(error_rate: float) -> float:
        return 1 - error_rate if acts else error_rate

    found: dict[str, Any] = {
        "model": name,
        "metric": "success_rate" if acts else "error_rate",
        "value": turned(score.error_rate),
        "interval": [round(end, 6) for end in sorted(map(turned, score.interval))],
        "examples": score.examples,
        "split": split,
        **describe(world, environment),
        **looks,
    }
    if sampled:
        found["value_sampled"] = turned(mean(run.error_rate for run in sampled))
        found["runs_sampled"] = len(sampled)
    return found


def report(player: Player, config: ReinforceConfig, name: str, split: str, device: torch.device, runs: int = 0) -> dict[str, Any]:
    """Give an evaluation's figures as one object that JSON can hold.

    Args:
        player: the agent.
        config: names the environment and its settings.
        name: the model's name.
        split: which pictures.
        device: where to compute.
        runs: besides, the mean error over so many runs that act by chance.
    """
    environment = make_split(config, device, 1, split)
    result = score(player, config, split, device)
    sampled = [score(player, config, split, device, True, seed) for seed in range(runs)]
    looks: dict[str, Any] = {
        "locations": "random" if player.looking.always_by_chance else "mean",
        "location_coverage": result.coverage,
    }
    if environment.settings.stop:
        looks["glimpses"] = result.glimpses
    return figures(name, config, environment, split, result, sampled, looks)

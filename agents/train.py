"""Training, loading and the curves of an agent."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from agents import watch
from agents.config import ReinforceConfig
from agents.evaluate import check_spaces, report
from agents.player import Player, new_player
from agents.reinforce import ReinforceLearner
from attention_core.config import to_dict
from attention_core.curves import draw_panels
from attention_core.run_folder import RunFolder
from attention_core.splits import closed_test_splits
from attention_core.training import ERROR_RATE, fit, make_accelerator
from attention_core.zoo import find_model, pick_device
from attention_env.batch import make_split

KIND = "ram"
PANELS = {
    "success in training (sampled locations)": ["charts/success"],
    "error on validation pictures": [ERROR_RATE],
    "losses": ["losses/answer", "losses/location", "losses/baseline"],
    "spread of locations": ["charts/location_spread"],
}


@closed_test_splits()
def train(config: ReinforceConfig, place: Path, max_seconds: float | None = None) -> RunFolder:
    """Train an agent, or go on with a training.

    Args:
        config: what to train. If the folder holds a run, it must be the same.
        place: the run folder.
        max_seconds: ends this call cleanly after so much time; call again to go on.

    Returns:
        The run folder, with metrics, curves and the weights that were best on validation pictures.

    Raises:
        attention_core.run_folder.RunError: if the folder holds a run of other settings.
    """
    accelerator = make_accelerator(config.training)
    folder = RunFolder(place, writes=accelerator.is_main_process)
    settings = {"kind": KIND, **to_dict(config)}
    folder.check(settings)
    learner = ReinforceLearner(config, accelerator)
    folder.begin(settings)
    fit(learner, config.training, folder, accelerator, max_seconds)
    if folder.writes:
        draw_panels(folder, PANELS, "updates")
    return folder


def load(reference: str, device: torch.device) -> tuple[Player, ReinforceConfig, str]:
    """Load an agent from a zoo name, a run folder or a weights file.

    Returns:
        The agent, its settings, and its name.

    Raises:
        ModelError: if there is none, or it is another kind of model.
    """
    saved = find_model(reference)
    config = saved.settings({KIND: ReinforceConfig}, repr(KIND))
    player = new_player(config, make_split(config, device, 1, "validation")).to(device)
    saved.load_into(player.network)
    return player.eval(), config, saved.name


def evaluate(reference: str, split: str = "test", runs: int = 0, env_kwargs: dict[str, Any] | None = None) -> dict[str, Any]:
    """Score a trained agent; see `agents.registry.report`.

    Raises:
        ValueError: if the environment with these settings has other spaces than the agent was made for.
    """
    device = pick_device()
    player, learned, name = load(reference, device)
    config = replace(learned, env_kwargs={**learned.env_kwargs, **(env_kwargs or {})})
    if env_kwargs:
        before, now = (make_split(world, device, 1, split) for world in (learned, config))
        check_spaces(config.env, before.single_observation_space, before.single_action_space, now)
    return report(player, config, name, split, device, runs)


def write_scan(reference: str, out: Path, split: str, episodes: int, seed: int) -> None:
    """Write a GIF of where a trained agent looks; see `agents.registry.watch`."""
    device = pick_device()
    player, config, _ = load(reference, device)
    watch.write_scan(player, config, out, split, episodes, seed, device)

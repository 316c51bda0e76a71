"""Training, loading, scoring and watching learners of Stable-Baselines3 in run folders, as RAM's are.

A training goes on where it stopped: weights, optimizer and counters are taken up again. The episodes that were being played at that
moment are not: they are begun anew, and chance is drawn afresh from then on. So a run that was interrupted is as good as one that
was not, but its numbers are others, as with another seed.
"""

from __future__ import annotations

import dataclasses
import math
import os
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageOps
from rich.progress import Progress, TextColumn
from stable_baselines3.common.logger import Logger
from stable_baselines3.common.on_policy_algorithm import OnPolicyAlgorithm
from torch import nn

from agents import sb3
from agents.config import check_environment
from agents.evaluate import figures
from agents.rival_config import A2CConfig, PPOConfig, RecurrentPPOConfig, SB3Config, learning_rate_at
from attention_core.config import to_dict
from attention_core.curves import draw_panels
from attention_core.pictures import write_gif
from attention_core.run_folder import RunFolder
from attention_core.splits import closed_test_splits
from attention_core.training import ERROR_RATE, save_weights
from attention_core.zoo import WEIGHTS, find_model
from attention_env.batch import make_batch
from attention_env.rendering import BACKGROUND

CONFIGS: dict[str, type[SB3Config]] = {kind.agent: kind for kind in (PPOConfig, A2CConfig, RecurrentPPOConfig)}
OF_THE_ALGORITHM = (
    *("n_steps", "batch_size", "n_epochs", "learning_rate", "gae_lambda"),
    *("ent_coef", "vf_coef", "max_grad_norm", "clip_range"),
)
"""Settings that Stable-Baselines3 knows by the same name."""
LOSSES = {
    "train/policy_gradient_loss": "losses/policy",
    "train/policy_loss": "losses/policy",
    "train/value_loss": "losses/value",
    "train/approx_kl": "losses/approx_kl",
}
"""What Stable-Baselines3 calls the losses of its algorithms, and what they are called here."""
PANELS = {
    "success in training (sampled actions)": ["charts/success"],
    "error on validation pictures": [ERROR_RATE],
    "losses": ["losses/policy", "losses/value"],
    "entropy of the actions": ["charts/entropy"],
}
STATE = "training.pt"
"""What a checkpoint holds beside the weights: the optimizer and how far the training is."""
RECENT = 1_000
"""Episodes over which success in training is averaged."""
RIGHT, WRONG = (60, 180, 90), (220, 70, 60)
"""Colours around an episode's last frame."""

# Making and training ----------------------------------------------------------------------------------------------------


def new_model(config: SB3Config, split: str = "train") -> OnPolicyAlgorithm:
    """Make an untrained learner in its environment; it lives on the CPU, as the environment's arrays do.

    Raises:
        ValueError: if the environment is not one that it can act in.
    """
    environment = sb3.make_environment(
        config.env, config.num_envs, config.history, **{**config.env_kwargs, **config.training_kwargs, "split": split}
    )
    policy: dict[str, Any] = {
        "net_arch": [config.hidden],
        "features_extractor_kwargs": {name: getattr(config, name) for name in ("glimpse_width", "location_width", "hidden")},
    }
    if isinstance(config, RecurrentPPOConfig):
        policy["lstm_hidden_size"] = config.lstm_hidden
    settings = {name: value for name, value in vars(config).items() if name in OF_THE_ALGORITHM}
    return sb3.make_model(
        config.agent, environment, config.seed, policy_kwargs=policy, stats_window_size=RECENT, device="cpu", **settings
    )


def released(model: OnPolicyAlgorithm) -> nn.Module:
    """Gather a learner's weights, each once: policies hold the layers that policy and value share under several names."""
    weights = nn.Module()
    for name, part in model.policy.named_children():
        weights.add_module(name, part)
    for name, parameter in model.policy.named_parameters(recurse=False):
        weights.register_parameter(name, parameter)
    return weights


@closed_test_splits()
def train(config: SB3Config, place: Path, max_seconds: float | None = None) -> RunFolder:
    """Train a learner, or go on with a training.

    Args:
        config: what to train. If the folder holds a run, it must be the same.
        place: the run folder.
        max_seconds: ends this call cleanly after so much time; call again to go on.

    Returns:
        The run folder, with metrics, curves and the weights that were best on validation pictures. "update" in its metrics counts
        environment steps.

    Raises:
        attention_core.run_folder.RunError: if the folder holds a run of other settings.
        attention_core.files.SaveError: if the disk is full; what was saved before is untouched.
        FloatingPointError: if a loss is no longer a finite number.
        ValueError: if several processes were launched.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise ValueError(f"{config.agent} learns in one process: start it without accelerate launch or torchrun")
    folder = RunFolder(place)
    settings = {"kind": config.agent, **to_dict(config)}
    folder.check(settings)
    training = _Training(config, folder)
    folder.begin(settings)
    training.go_on(max_seconds)
    draw_panels(folder, PANELS, "environment steps")
    return folder


class _Training:
    """A learner on its way: how far it is, the best so far, and what is written down of it."""

    def __init__(self, config: SB3Config, folder: RunFolder) -> None:
        self.config = config
        self.folder = folder
        self.model = new_model(config)
        self.model.set_logger(Logger(None, []))
        # Schedules of Stable-Baselines3 know the steps of one call of `learn` alone, which here is one rollout.
        self.model.lr_schedule = lambda _: learning_rate_at(config, self.model.num_timesteps - config.rollout)
        self.best = math.inf
        self.seconds = 0.0
        if (newest := folder.newest_checkpoint()) is not None:
            self._take_up(newest[1])
        folder.rewind(self.model.num_timesteps)

    def go_on(self, max_seconds: float | None) -> None:
        """Train up to the last whole rollout within `config.steps`, or until `max_seconds` have passed."""
        config, model = self.config, self.model
        end = config.steps // config.rollout * config.rollout
        began = self.saved = self.logged = time.monotonic()
        self.logged_steps = model.num_timesteps
        with Progress(*Progress.get_default_columns(), TextColumn("{task.fields[shown]}"), refresh_per_second=2) as bar:
            task = bar.add_task("training", total=end, completed=model.num_timesteps, shown="")
            while model.num_timesteps < end:
                self._learn()
                last = model.num_timesteps == end
                if last or self._passed(config.log_every):
                    row = self._log()
                    bar.update(task, shown=_shown(row, self.best))
                bar.update(task, completed=model.num_timesteps)
                validating = last or self._passed(config.validate_every)
                if validating:
                    self._validate()
                stopping = max_seconds is not None and time.monotonic() - began > max_seconds
                # At once after a validation: a run that is killed later remembers the steps that its best weights come from.
                if validating or stopping or time.monotonic() - self.saved > config.checkpoint_seconds:
                    self._save()
                if stopping:
                    break
        self.folder.close()

    def _learn(self) -> None:
        """Play one rollout and learn from it.

        Raises:
            FloatingPointError: if what the policy computes is no longer a finite number.
        """
        try:
            # Of every two rollouts in one call Stable-Baselines3 would write the log away after the second.
            self.model.learn(self.config.rollout, log_interval=2, reset_num_timesteps=False)
        except ValueError as error:
            if "satisfy the constraint" not in str(error):  # what torch's distributions say of parameters that are no numbers
                raise
            raise FloatingPointError(
                f"training broke down at step {self.model.num_timesteps}: actions have no probabilities; try a lower learning rate"
            ) from error

    def _passed(self, every: int) -> bool:
        """Tell whether the last rollout has passed a multiple of so many steps."""
        steps = self.model.num_timesteps
        return steps // every > (steps - self.config.rollout) // every

    def _log(self) -> dict[str, float]:
        """Write a row of metrics: the last update's losses, recent episodes, and time.

        Raises:
            FloatingPointError: if one of them is not a finite number.
        """
        model, now = self.model, time.monotonic()
        told = model.logger.name_to_value
        row = {name: float(told[theirs]) for theirs, name in LOSSES.items() if theirs in told}
        row["charts/entropy"] = -float(told["train/entropy_loss"])
        if model.ep_success_buffer and model.ep_info_buffer:
            row["charts/success"] = float(np.mean(model.ep_success_buffer))
            row["charts/return"] = float(np.mean([episode["r"] for episode in model.ep_info_buffer]))
            row["charts/length"] = float(np.mean([episode["l"] for episode in model.ep_info_buffer]))
        if not all(map(math.isfinite, row.values())):
            raise FloatingPointError(f"training broke down before step {model.num_timesteps}: {row}; try a lower learning rate")
        row["charts/learning_rate"] = self.model.lr_schedule(0.0)
        row["time/seconds"] = self.seconds + now - self.saved
        row["time/steps_per_second"] = (model.num_timesteps - self.logged_steps) / max(now - self.logged, 1e-9)
        self.logged, self.logged_steps = now, model.num_timesteps
        self.folder.log(model.num_timesteps, row)
        return row

    def _validate(self) -> None:
        """Score the learner on validation pictures and keep it if it is the best so far; of equals the latest."""
        error_rate = sb3.score(self.model, self.config.env, "validation", **self.config.env_kwargs).error_rate
        self.folder.log(self.model.num_timesteps, {ERROR_RATE: error_rate})
        if error_rate <= self.best:
            self.best = error_rate
            save_weights(released(self.model), self.folder.model)

    def _save(self) -> None:
        now = time.monotonic()
        self.seconds, self.saved = self.seconds + now - self.saved, now
        self.folder.save_checkpoint(self.model.num_timesteps, self._write)

    def _write(self, path: Path) -> None:
        path.mkdir(parents=True, exist_ok=True)  # a killed run may have left a part
        save_weights(released(self.model), path / WEIGHTS)
        state = {"steps": self.model.num_timesteps, "best": self.best, "seconds": self.seconds}
        torch.save({**state, "optimizer": self.model.policy.optimizer.state_dict()}, path / STATE)

    def _take_up(self, checkpoint: Path) -> None:
        """Go on from a checkpoint."""
        find_model(str(checkpoint)).load_into(released(self.model))
        state = torch.load(checkpoint / STATE, map_location="cpu", weights_only=True)
        self.model.policy.optimizer.load_state_dict(state["optimizer"])
        self.model.num_timesteps, self.best, self.seconds = state["steps"], state["best"], state["seconds"]
        # Pictures and exploration from here on must not be those of the start again.
        self.model.set_random_seed(self.config.seed + self.model.num_timesteps)


def _shown(row: dict[str, float], best: float) -> str:
    parts = [f"{row['time/steps_per_second']:,.0f} steps/s"]
    if "charts/success" in row:
        parts.append(f"success {row['charts/success']:.1%}")
    if best < math.inf:
        parts.append(f"validation error {best:.2%}")
    return "  ".join(parts)


# Using what was trained ---------------------------------------------------------------------------------------------------


def load(reference: str) -> tuple[OnPolicyAlgorithm, SB3Config, str]:
    """Load a learner from a zoo name, a run folder or a weights file.

    Returns:
        The learner, its settings, and its name.

    Raises:
        ModelError: if there is none, or it is another kind of model.
    """
    saved = find_model(reference)
    config = saved.settings(CONFIGS, f"one of {', '.join(CONFIGS)}")
    model = new_model(config, "validation")
    saved.load_into(released(model))
    return model, config, saved.name


def evaluate(reference: str, split: str = "test", runs: int = 0, env_kwargs: dict[str, Any] | None = None) -> dict[str, Any]:
    """Score a trained learner; see `agents.registry.report`."""
    model, config, name = load(reference)
    config = dataclasses.replace(config, env_kwargs={**config.env_kwargs, **(env_kwargs or {})})
    settings = config.env_kwargs
    check_environment(settings)
    environment = make_batch(config.env, 1, **settings, split=split)  # refuses what is no setting of it before anything is played
    score = sb3.score(model, config.env, split, **settings)
    sampled = [sb3.score(model, config.env, split, seed, deterministic=False, **settings) for seed in range(runs)]
    looks: dict[str, Any] = {"locations": "likeliest", "location_coverage": score.coverage}
    if environment.settings.lengths_differ:
        looks["glimpses"] = score.glimpses
    return figures(name, config, environment, split, score, sampled, looks)


def write_scan(reference: str, out: Path, split: str, episodes: int, seed: int) -> None:
    """Write a GIF of episodes one after the other, with the likeliest actions.

    Every frame shows the picture with the glimpses' boxes and the path so far, and what the retina sees; the last one of an episode
    is framed in green if it ended well, in red if not.

    Args:
        reference: a zoo name, a run folder, or a weights file.
        out: the GIF's place.
        split: which pictures.
        episodes: how many.
        seed: which of them.

    Raises:
        ValueError: if `episodes` is not within the number of pictures.
    """
    model, config, _ = load(reference)
    settings = {**config.env_kwargs, "split": split, "render_mode": "rgb_array"}
    count = len(make_batch(config.env, 1, **settings).pictures)
    if not 1 <= episodes <= count:
        raise ValueError(f"episodes must be within 1 … {count}, the pictures of the split, got {episodes}")
    batch = sb3.make_vector_environment(config.env, episodes, config.history, **settings)
    index = np.random.default_rng(seed).choice(count, episodes, replace=False)
    frames: list[list[Image.Image]] = [[] for _ in range(episodes)]
    before = np.ones(episodes, np.bool_)
    for playing, won in sb3.play(model, batch, index, seed):
        pictures: Any = batch.render()
        for row in np.flatnonzero(before):
            colour = None if playing[row] else RIGHT if won[row] else WRONG
            frames[row].append(_framed(pictures[row], colour))
        before = playing
    write_gif(frames, out)


def _framed(picture: NDArray[np.uint8], colour: tuple[int, int, int] | None) -> Image.Image:
    """Put a frame of a colour, or of the background's, around a picture."""
    return ImageOps.expand(Image.fromarray(picture), border=5, fill=BACKGROUND if colour is None else colour)

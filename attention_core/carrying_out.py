"""Carrying a training out: what it would be refused for is looked at first, since data, networks and teachers can take minutes."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar, Protocol

import torch
from accelerate import Accelerator

from attention_core.config import TrainingConfig, to_dict
from attention_core.curves import draw_panels
from attention_core.run_folder import RunFolder
from attention_core.training import Learner, fit
from attention_core.zoo import ModelError, find_model


class TrainingSettings(Protocol):
    """Settings of a system whose training may begin with another model's weights."""

    kind: ClassVar[str]

    @property
    def start(self) -> str:
        """The model whose weights to begin with, or nothing."""

    @property
    def seed(self) -> int:
        """Of all that is chance."""

    @property
    def training(self) -> TrainingConfig:
        """The loop's settings."""


def open_run(config: TrainingSettings, place: Path, accelerator: Accelerator) -> RunFolder:
    """Open the folder of a training that is about to be made.

    Raises:
        attention_core.run_folder.RunError: if it holds a run of other settings.
        attention_core.files.SaveError: if there can be no such folder.
        attention_core.zoo.ModelError: if there is no such model to begin with, or it is of another kind.
    """
    folder = RunFolder(place, writes=accelerator.is_main_process)
    folder.check(_settings(config))
    if begins_with_another(config, folder):
        try:
            kind = find_model(config.start).config.get("kind")
        except ModelError as error:
            raise ModelError(f"start={config.start!r} cannot be begun with: {error}") from error
        if kind != config.kind:
            raise ModelError(f"start={config.start!r} is a model of kind {kind!r}: begin with one of kind {config.kind!r}")
    return folder


def begins_with_another(config: TrainingSettings, folder: RunFolder) -> bool:
    """Tell whether the weights of another model are to be loaded: the settings ask for it, and there is nothing to go on from."""
    return bool(config.start) and folder.newest_checkpoint() is None


def carry_out(
    learner: Learner,
    config: TrainingSettings,
    folder: RunFolder,
    accelerator: Accelerator,
    panels: dict[str, list[str]],
    max_seconds: float | None = None,
    **made_for: Any,
) -> None:
    """Train, or go on with a training, and draw its curves.

    Args:
        learner: the system, with the weights that it begins with.
        config: its settings.
        folder: from `open_run`.
        accelerator: from `attention_core.training.make_accelerator`.
        panels: of the curves; see `attention_core.curves.draw_panels`.
        max_seconds: ends this call cleanly after so much time.
        **made_for: what the configuration says of the model beside its settings.

    Raises:
        attention_core.run_folder.RunError: if the folder holds a run that was made for something else.
        FloatingPointError: if a part of the loss is no finite number.
    """
    folder.begin(_settings(config, **made_for))
    torch.manual_seed(config.seed + 2 + 1000 * accelerator.process_index)  # of dropout
    fit(learner, config.training, folder, accelerator, max_seconds)
    if folder.writes:
        draw_panels(folder, panels, "updates")


def _settings(config: TrainingSettings, **made_for: Any) -> dict[str, Any]:
    return {"kind": config.kind, **made_for, **to_dict(config)}

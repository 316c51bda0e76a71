"""The run folder: everything a training leaves behind.

    config.yaml          what was asked for, complete
    metrics.jsonl        the truth: one JSON object per line, each with its "update"
    tensorboard/         the same as TensorBoard events
    checkpoint/<update>/ the newest state, from which training goes on to the same numbers
    model.safetensors    the weights that were best on validation pictures
    figures/             curves and pictures

`model.safetensors` and `config.yaml` make a released model as well (see `attention_core.zoo`).
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import yaml
from torch.utils.tensorboard import SummaryWriter

from attention_core.config import load_yaml
from attention_core.files import WRITE_ERRORS, SaveError, write_text_atomically


class RunError(ValueError):
    """A run folder holds something else than was asked for."""


class RunFolder:
    """One run's folder.

    Args:
        path: the folder, made when something is first written into it.
        writes: whether this process may write; of several processes only the first does.
    """

    def __init__(self, path: Path, writes: bool = True) -> None:
        self.path = path
        self.writes = writes
        self._events: SummaryWriter | None = None

    @property
    def config(self) -> Path:
        """Place of the configuration."""
        return self.path / "config.yaml"

    @property
    def metrics(self) -> Path:
        """Place of the metrics."""
        return self.path / "metrics.jsonl"

    @property
    def model(self) -> Path:
        """Place of the best weights."""
        return self.path / "model.safetensors"

    @property
    def figures(self) -> Path:
        """Folder of pictures, made when asked for."""
        folder = self.path / "figures"
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def begin(self, settings: dict[str, Any]) -> None:
        """Make the folder and write the configuration, all of it; see `check`.

        Raises:
            RunError: naming the settings that differ from those of a run that is there, or if there are weights of no run.
            SaveError: if they cannot be written.
        """
        self.check(settings, complete=True)
        if self.writes:
            try:
                self.path.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise SaveError(f"{self.path} cannot be a run folder ({error}); choose another place") from error
            write_text_atomically(self.config, yaml.safe_dump(settings, sort_keys=False))

    def check(self, settings: dict[str, Any], complete: bool = False) -> None:
        """See, where there is a checkpoint to go on from, that it is of the same settings.

        Args:
            settings: what is asked for.
            complete: whether that is all: settings that are there alone differ as well.

        Raises:
            RunError: naming the settings that differ, or if there are weights of no run.
            SaveError: if there can be no such folder, or it cannot be written to.
        """
        there = next(place for place in (self.path, *self.path.absolute().parents) if place.exists())
        if not there.is_dir():
            raise SaveError(f"{self.path} cannot be a run folder, since {there} is a file; choose another place")
        if self.writes and not os.access(there, os.W_OK):
            raise SaveError(f"{self.path} cannot be a run folder, since {there} may not be written to; choose another place")
        if self.newest_checkpoint() is None and self.model.exists() and not self.metrics.exists():
            raise RunError(
                f"{self.path} holds weights that no training here has left, such as a released model: choose another folder"
            )
        if self.newest_checkpoint() is not None:
            earlier = load_yaml(self.config)
            if not isinstance(earlier, dict):
                raise RunError(f"{self.config} is not a mapping of settings")
            if not complete:
                earlier = {name: value for name, value in earlier.items() if name in settings}
            different = list(_differences(earlier, settings))
            if different:
                raise RunError(
                    f"{self.path} holds a run of other settings; choose another folder, or the same settings to go on with it:\n  "
                    + "\n  ".join(different)
                )

    # Metrics --------------------------------------------------------------------------------------------------------

    def log(self, update: int, values: dict[str, float]) -> None:
        """Append one row of metrics and flush it.

        Raises:
            SaveError: if the disk is full or cannot be written to.
        """
        if not self.writes:
            return
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            with open(self.metrics, "a", encoding="utf-8") as stream:
                stream.write(json.dumps({"update": update, **values}) + "\n")
            if self._events is None:
                self._events = SummaryWriter(str(self.path / "tensorboard"), purge_step=update)
            for name, value in values.items():
                self._events.add_scalar(name, value, update)
            # Its thread writes when it likes; waited for, a full disk is met here, where it can be told.
            self._events.flush()
        except OSError as error:
            raise SaveError(f"{self.metrics} or the events beside it could not be written to ({error}); make room") from error

    def rewind(self, update: int) -> None:
        """Forget metrics later than an update, and checkpoints before the newest: a run was killed and left them."""
        if not self.writes or not self.metrics.exists():
            return
        if (newest := self.newest_checkpoint()) is not None:
            self._drop_others(newest[1])
        kept = [json.dumps(row) for row in self.rows() if row["update"] <= update]
        write_text_atomically(self.metrics, "".join(line + "\n" for line in kept))

    def rows(self) -> Iterator[dict[str, Any]]:
        """Read the metrics, passing over a last line that a killed process left unfinished."""
        if not self.metrics.exists():
            return
        for line in self.metrics.read_text(encoding="utf-8").splitlines():
            try:
                yield json.loads(line)
            except json.JSONDecodeError:
                return

    # Checkpoints ----------------------------------------------------------------------------------------------------

    def save_checkpoint(self, update: int, save: Callable[[Path], None]) -> None:
        """Save a checkpoint beside its place, put it there whole, and drop the one before.

        Args:
            update: how many updates it has seen.
            save: called, in every process, with a folder to fill.

        Raises:
            SaveError: if the disk is full or cannot be written to; the checkpoint before is still there.
        """
        final = self.path / "checkpoint" / f"{update:09d}"
        partial = final.with_suffix(".partial")
        try:
            save(partial)
            if self.writes:
                shutil.rmtree(final, ignore_errors=True)
                partial.rename(final)
        except WRITE_ERRORS as error:
            shutil.rmtree(partial, ignore_errors=True)
            raise SaveError(f"checkpoint {final} could not be saved ({error}); the one before is untouched") from error
        if self.writes:
            self._drop_others(final)

    def _drop_others(self, kept: Path) -> None:
        for other in kept.parent.iterdir():
            if other != kept:
                shutil.rmtree(other, ignore_errors=True)

    def newest_checkpoint(self) -> tuple[int, Path] | None:
        """Find the newest complete checkpoint: its update and its folder."""
        folders = sorted(path for path in (self.path / "checkpoint").glob("*") if path.name.isdigit())
        return (int(folders[-1].name), folders[-1]) if folders else None

    def finished(self) -> bool:
        """Tell whether the newest checkpoint has seen all updates that the configuration asks for."""
        newest = self.newest_checkpoint()
        return newest is not None and newest[0] >= int(load_yaml(self.config)["training"]["updates"])

    def close(self) -> None:
        """Close the TensorBoard events."""
        if self._events is not None:
            self._events.close()


def _differences(earlier: dict[str, Any], settings: dict[str, Any], prefix: str = "") -> Iterator[str]:
    """Say which settings differ, those of settings within settings one by one."""
    for name in sorted({*earlier, *settings}):
        there, asked = earlier.get(name), settings.get(name)
        if isinstance(there, dict) and isinstance(asked, dict):
            yield from _differences(there, asked, f"{prefix}{name}.")
        elif there != asked:
            yield f"{prefix}{name}: {there!r} there, {asked!r} asked for"

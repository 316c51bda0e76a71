"""Released models: a folder with `model.safetensors`, `config.yaml`, `card.md` and `figures.yaml`, under `zoo/`.

A run folder has the first two as well, so whatever takes a released model takes a run folder.
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from safetensors import SafetensorError, safe_open

from attention_core.config import Config, from_dict, load_yaml
from attention_core.files import write_atomically, write_text_atomically

if TYPE_CHECKING:  # PyTorch takes seconds to import: whoever only asks what there is does without
    import torch
    from torch import Tensor, nn

ZOO = Path(__file__).resolve().parent.parent / "zoo"
WEIGHTS = "model.safetensors"
CONFIG = "config.yaml"
NAME = re.compile(r"[a-z][a-z0-9-]*")


class ModelError(ValueError):
    """A released model or a run is not there, is incomplete, or is of another kind than was asked for."""


@dataclass(frozen=True)
class SavedModel:
    """A model on the disk.

    Attributes:
        name: what to call it: the folder's name.
        weights: its weights file.
        config: its configuration, as plain dictionaries.
    """

    name: str
    weights: Path
    config: dict[str, Any]

    def settings(self, kinds: Mapping[str, type[Config]], what: str, made_for: Collection[str] = ()) -> Config:
        """Read the settings that it was trained by.

        Args:
            kinds: the settings' class for each kind of model that will do.
            what: these kinds, for a message.
            made_for: names of what its configuration says of it beside its settings.

        Raises:
            ModelError: if it is of another kind.
            ValueError: if a setting is unknown or wrong.
        """
        kind = str(self.config.get("kind"))
        if kind not in kinds:
            raise ModelError(f"{self.name} is a model of kind {kind!r}, not {what}: use its own command")
        settings = {name: value for name, value in self.config.items() if name != "kind" and name not in made_for}
        return from_dict(kinds[kind], settings)

    def load_into(self, module: nn.Module, may_lack: str | None = None) -> None:
        """Load the weights into a module.

        Args:
            module: to load into.
            may_lack: beginning of the names of tensors that may be absent in the file: they stay as the module was made.

        Raises:
            ModelError: if the file is damaged, or its tensors are not the module's: the checkpoint of another model.
        """
        from safetensors.torch import load_file

        try:
            found: Mapping[str, Tensor] = load_file(self.weights)
        except (SafetensorError, OSError) as error:
            raise ModelError(f"{self.weights} is not a readable safetensors file ({error}): it was cut or altered") from error
        wanted = module.state_dict()
        found = _without_prefix(found, next(iter(wanted)))
        if may_lack is not None:
            found = {**{name: value for name, value in wanted.items() if name.startswith(may_lack)}, **found}
        differences = [
            f"{name}: {_shape(found, name)} in the file, {_shape(wanted, name)} in the model"
            for name in sorted({*found, *wanted})
            if _shape(found, name) != _shape(wanted, name)
        ]
        if differences:
            raise ModelError(
                f"{self.weights} holds another model than {self.name}'s configuration describes:\n  " + "\n  ".join(differences)
            )
        module.load_state_dict({name: value.to(wanted[name].dtype) for name, value in found.items()})


def _without_prefix(found: Mapping[str, Tensor], name: str) -> Mapping[str, Tensor]:
    """Take a model out of a checkpoint, in which it is a part of what was optimised, by the place of one of its tensors."""
    prefixes = [key.removesuffix(name) for key in found if key.endswith(f".{name}")]
    if name in found or not prefixes:
        return found
    return {key.removeprefix(prefixes[0]): value for key, value in found.items() if key.startswith(prefixes[0])}


def _shape(tensors: Mapping[str, Tensor], name: str) -> str:
    return str(tuple(tensors[name].shape)) if name in tensors else "absent"


def find_model(reference: str) -> SavedModel:
    """Find a model by a zoo name ("ram-mnist"), a folder ("zoo/ram-mnist", "runs/digits"), a checkpoint, or a weights file.

    A checkpoint, "runs/digits/checkpoint/000001000", holds the newest weights, before averaging.

    Raises:
        ModelError: if there is none, saying where was looked, or if its folder lacks a file.
    """
    place = Path(reference)
    if place.suffix == ".safetensors" and place.is_file():
        weights, folder = place, place.parent
    else:
        folder = place if place.is_dir() else ZOO / reference.removeprefix(f"{ZOO.name}/")
        weights = folder / WEIGHTS
        if not folder.is_dir():
            known = ", ".join(zoo_names()) or "none"
            raise ModelError(
                f"no model {reference!r}: it is neither a run folder, nor a weights file, nor a name in the zoo ({known})"
            )
    if not weights.is_file():
        raise ModelError(f"{folder} has no {WEIGHTS}: a training leaves one there after its first validation")
    run = folder.resolve()
    if run.parent.name == "checkpoint":
        run = run.parent.parent
    if not (run / CONFIG).is_file():
        raise ModelError(f"{run} has no {CONFIG}, which says what model {weights.name} belongs to")
    config = load_yaml(run / CONFIG)
    if not isinstance(config, dict):
        raise ModelError(f"{run / CONFIG} is not a mapping of settings")
    return SavedModel(run.name, weights, config)


def begin_with(reference: str, module: nn.Module, what: str, may_lack: str | None = None) -> None:
    """Load the weights that a training begins with.

    Args:
        reference: see `find_model`.
        module: to load into.
        what: what kind of model it must be, for a message.
        may_lack: see `SavedModel.load_into`.

    Raises:
        ModelError: if there are none, or they are of another kind or size.
    """
    try:
        find_model(reference).load_into(module, may_lack)
    except ModelError as error:
        raise ModelError(f"start={reference!r} must be a {what} of the same sizes as these settings: {error}") from error


def zoo_names() -> list[str]:
    """List the released models."""
    return sorted(path.parent.name for path in ZOO.glob(f"*/{WEIGHTS}"))


def release(model: SavedModel, name: str) -> Path:
    """Put a trained model into the zoo, its weights in half precision; its card is written by hand beside them.

    Args:
        model: the run to release.
        name: its name there.

    Returns:
        The model's folder.

    Raises:
        ModelError: if the name is none for a folder, or that of a model of another kind.
        attention_core.files.SaveError: if it cannot be written.
    """
    from safetensors.torch import load_file, save_file

    if not NAME.fullmatch(name):
        raise ModelError(f"{name!r} is no name for a released model: use small letters, digits and - only, a letter first")
    if name in zoo_names() and (other := find_model(str(ZOO / name)).config.get("kind")) != (kind := model.config.get("kind")):
        raise ModelError(f"{name} is a released model of kind {other!r}, and {model.name} of kind {kind!r}: choose another name")
    tensors = {key: value.half() if value.is_floating_point() else value for key, value in load_file(model.weights).items()}
    folder = ZOO / name
    write_atomically(folder / WEIGHTS, lambda temporary: save_file(tensors, temporary))
    write_text_atomically(folder / CONFIG, yaml.safe_dump(model.config, sort_keys=False))
    return folder


def count_parameters(weights: Path) -> int:
    """Count the numbers in a weights file."""
    with safe_open(weights, "np") as file:
        return sum(math.prod(tensor.get_shape()) for tensor in map(file.get_slice, file.keys()))


def pick_device() -> torch.device:
    """Choose the GPU where there is one."""
    import torch

    return torch.device("cuda" if torch.cuda.is_available() else "cpu")

"""Settings of the training loop, free of torch so that the command line answers at once, and their YAML form."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar, get_args, get_origin, get_type_hints

import yaml

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

Config = TypeVar("Config", bound="DataclassInstance")


def check_at_least(config: Any, least: int, *names: str) -> None:
    """See that settings are large enough.

    Raises:
        ValueError: naming one that is not.
    """
    for name in names:
        if not getattr(config, name) >= least:  # so that NaN is refused as well
            raise ValueError(f"{name} must be at least {least}, got {getattr(config, name)}")


def check_above_zero(config: Any, *names: str) -> None:
    """See that settings are positive numbers.

    Raises:
        ValueError: naming one that is not.
    """
    for name in names:
        if not getattr(config, name) > 0:
            raise ValueError(f"{name} must be above 0, got {getattr(config, name)}")


def check_share(config: Any, *names: str) -> None:
    """See that settings are shares, of which 1 would leave nothing.

    Raises:
        ValueError: naming one that is not.
    """
    for name in names:
        if not 0 <= getattr(config, name) < 1:
            raise ValueError(f"{name} must be within 0 … 1, 1 excepted; got {getattr(config, name)}")


def check_choices(config: Any, **others: Collection[str]) -> None:
    """See that settings are among those that there are: the literals that their types name, and of others those given.

    Raises:
        ValueError: naming one that is not, and what it may be.
    """
    hints = get_type_hints(type(config)).items()
    choices = {name: get_args(hint) for name, hint in hints if get_origin(hint) is Literal}
    for name, known in (choices | others).items():
        if getattr(config, name) not in known:
            raise ValueError(f"{name}={getattr(config, name)!r} is unknown: choose one of {', '.join(known)}")


@dataclass(frozen=True)
class TrainingConfig:
    """How long and how fast to learn."""

    updates: int = 10_000
    """Parameter updates in all; the learning rate's schedule ends there."""
    learning_rate: float = 1e-3
    """Adam's rate after the warm-up, from which it falls along a cosine."""
    final_learning_rate: float = 0.0
    """The rate at the end of the cosine."""
    warmup: int = 200
    """Updates over which the rate rises linearly from 0."""
    schedule: Literal["cosine", "inverse_root"] = "cosine"
    """How the rate falls after the warm-up: along a cosine to the end, or as one over the root of the updates, without end."""
    second_moment: float = 0.999
    """Adam's β₂."""
    weight_decay: float = 0.0
    """AdamW's decoupled weight decay."""
    clip: float = 5.0
    """Largest gradient norm of a group of parameters; larger ones are scaled down to it."""
    average: float = 0.999
    """Decay of the exponential moving average of the weights, which is what gets validated and released; 0 for none."""
    average_last: int = 0
    """In its place, of how many of the last validations' weights the mean is taken, this one's included; 0 for none of that."""
    log_every: int = 100
    """Updates between two rows of metrics."""
    validate_every: int = 1_000
    """Updates between two validations."""
    checkpoint_seconds: float = 60.0
    """Seconds between two checkpoints; there is one after every validation as well."""
    precision: Literal["no", "auto", "bf16", "fp16"] = "no"
    """What products of matrices are computed in: "no" mixed precision, "bf16" or "fp16"; "auto" takes bfloat16 where the device has
    it, float32 elsewhere. A CPU that has no bfloat16 imitates it, which takes several times as long."""

    def __post_init__(self) -> None:
        check_at_least(self, 1, "updates", "log_every", "validate_every")
        check_at_least(
            self, 0, "average_last", "warmup", "learning_rate", "final_learning_rate", "weight_decay", "checkpoint_seconds"
        )
        check_above_zero(self, "clip")
        check_share(self, "second_moment", "average")
        check_choices(self)


def load_yaml(path: Path) -> Any:
    """Read a YAML file.

    Raises:
        FileNotFoundError: if there is none.
        ValueError: if it cannot be understood.
    """
    try:
        return yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is not a YAML file: {error}") from error


def to_dict(config: Any) -> dict[str, Any]:
    """Turn a configuration dataclass into plain nested dictionaries that YAML and JSON can hold."""
    plain: dict[str, Any] = yaml.safe_load(yaml.safe_dump(dataclasses.asdict(config)))
    return plain


def from_dict(kind: type[Config], values: dict[str, Any]) -> Config:
    """Make a configuration dataclass from nested dictionaries; what is absent takes its default.

    Raises:
        ValueError: if a key is not a setting, naming those that are.
    """
    hints = get_type_hints(kind)
    known = [field.name for field in dataclasses.fields(kind)]
    unknown = sorted(set(values) - set(known))
    if unknown:
        raise ValueError(f"unknown setting {', '.join(unknown)} for {kind.__name__}: it takes {', '.join(known)}")
    try:
        return kind(**{name: _as_hinted(hints[name], value) for name, value in values.items()})
    except TypeError as error:
        raise ValueError(f"settings of {kind.__name__} are missing or of the wrong type: {error}") from error


def _as_hinted(hint: Any, value: Any) -> Any:
    """Make a dictionary the dataclass and a list the tuple that a setting wants, which YAML does not know."""
    if dataclasses.is_dataclass(hint) and isinstance(hint, type) and isinstance(value, dict):
        return from_dict(hint, value)
    return tuple(value) if get_origin(hint) is tuple and isinstance(value, list) else value

"""Action formats: the ways an agent can say where to look and what it sees.

Every format is a view of one and the same environment: it turns what the agent sends into a `Decision`.

| format | space | for |
|---|---|---|
| `"dict"` | `Dict(location=Box(-1, 1, (2,)), label=Discrete(K))` | agents that send both at every step; the native one |
| `"grid"` | `MultiDiscrete((grid², K))` | learners of discrete actions: a cell to look at and a class, both at every step |
| `"saccade"` | `Discrete(grid² + K)` | learners of one discrete action: a cell to look at, *or* a class, which ends it all |
| `"box"` | `Box(-1, 1, (2 + K,))` | learners of one flat vector: a location and a score for each class, the greatest naming it |
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import gymnasium as gym
import numpy as np
import torch
from torch import Tensor


class ActionError(ValueError):
    """An action does not belong to the action space; the message says what would."""


class Decision(NamedTuple):
    """What a batch of actions asks for.

    Attributes:
        location: (n, 2) float32, where to look (or, in relative moves, how far to go); finite.
        label: (n,) int64, the class named.
        answers: (n,) bool, rows whose action names a class and thereby ends the episode; None where the format leaves the
            end to the environment, which takes the last action's class.
        valid: () bool tensor, false if a device action was outside the space; None for NumPy actions, which are checked
            at once.
    """

    location: Tensor
    label: Tensor
    answers: Tensor | None
    valid: Tensor | None


class ActionFormat(Protocol):
    """What an action format offers to the environment."""

    space: gym.Space[Any]

    def decode(self, actions: Any, count: int) -> Decision:
        """Read a batch of `count` actions.

        Raises:
            ActionError: if NumPy actions do not belong to the batched space.
        """


@dataclass(frozen=True)
class DictFormat:
    """Location and label at every step; location beyond [-1, 1] is clipped by the environment."""

    classes: int
    grid: int

    @property
    def space(self) -> gym.spaces.Dict:
        """The action space of one environment."""
        return gym.spaces.Dict(
            location=gym.spaces.Box(-1.0, 1.0, (2,), np.float32),
            label=gym.spaces.Discrete(self.classes),
        )

    def decode(self, actions: Any, count: int) -> Decision:
        """Read {"location": (n, 2), "label": (n,)}, NumPy arrays or tensors."""
        try:
            location, label = actions["location"], actions["label"]
        except (TypeError, KeyError, IndexError):
            keys = sorted(actions) if isinstance(actions, dict) else type(actions).__name__
            raise ActionError(f"an action is a dict with 'location' and 'label', got {keys}") from None
        if isinstance(location, Tensor):
            _require_shape("location", location, (count, 2))
            _require_shape("label", label, (count,))
            _require_whole("label", label)
            valid = location.isfinite().all() & ((label >= 0) & (label < self.classes)).all()
            return Decision(location.float().nan_to_num(0.0), label, None, valid)
        location = np.array(location, np.float32)  # a copy: what the caller does with its array is its own business
        _require_shape("location", location, (count, 2))
        if not np.isfinite(location).all():  # one pass; the rest only says where
            raise ActionError(f"locations must be finite numbers, got {location[~np.isfinite(location).all(axis=1)][0]}")
        return Decision(torch.from_numpy(location), _labels(label, count, self.classes, "label"), None, None)


@dataclass(frozen=True)
class GridFormat:
    """A cell to look at, 0 … grid² - 1 row by row from the top left, and a class, at every step.

    In relative moves the cells are displacements: the middle of the grid stays, its edges go furthest.
    """

    classes: int
    grid: int

    @property
    def space(self) -> gym.spaces.MultiDiscrete:
        """The action space of one environment."""
        return gym.spaces.MultiDiscrete([self.grid**2, self.classes])

    def decode(self, actions: Any, count: int) -> Decision:
        """Read (n, 2) whole numbers, a NumPy array or a tensor."""
        cells = self.grid**2
        if isinstance(actions, Tensor):
            _require_shape("action", actions, (count, 2))
            _require_whole("action", actions)
            cell, label = actions.long().unbind(-1)
            valid = ((cell >= 0) & (cell < cells) & (label >= 0) & (label < self.classes)).all()
            return Decision(_centre(cell.clamp(0, cells - 1), self.grid), label, None, valid)
        array = np.asarray(actions)
        _require_shape("action", array, (count, 2))
        cell, label = _labels(array[:, 0], count, cells, "cell"), _labels(array[:, 1], count, self.classes, "label")
        return Decision(_centre(cell, self.grid), label, None, None)


@dataclass(frozen=True)
class SaccadeFormat:
    """A cell to look at, 0 … grid² - 1 row by row from the top left, or grid² + the class seen, which ends the episode.

    In relative moves the cells are displacements: the middle of the grid stays, its edges go furthest.
    """

    classes: int
    grid: int

    @property
    def space(self) -> gym.spaces.Discrete[np.int64]:
        """The action space of one environment."""
        return gym.spaces.Discrete(self.grid**2 + self.classes)

    def decode(self, actions: Any, count: int) -> Decision:
        """Read (n,) whole numbers, a NumPy array or a tensor."""
        cells = self.grid**2
        valid = None
        if isinstance(actions, Tensor):
            _require_shape("action", actions, (count,))
            _require_whole("action", actions)
            valid = ((actions >= 0) & (actions < cells + self.classes)).all()
        else:
            actions = _labels(actions, count, cells + self.classes, "action")
        return Decision(_centre(actions.clamp(0, cells - 1), self.grid), actions - cells, actions >= cells, valid)


@dataclass(frozen=True)
class BoxFormat:
    """One flat vector: the location, then a score for each class, of which the greatest names the class (the first, of equals).

    Location and scores beyond [-1, 1] are taken: the environment clips the location, and scores are only compared.
    """

    classes: int
    grid: int

    @property
    def space(self) -> gym.spaces.Box:
        """The action space of one environment."""
        return gym.spaces.Box(-1.0, 1.0, (2 + self.classes,), np.float32)

    def decode(self, actions: Any, count: int) -> Decision:
        """Read (n, 2 + K) numbers, a NumPy array or a tensor."""
        if isinstance(actions, Tensor):
            _require_shape("action", actions, (count, 2 + self.classes))
            actions, valid = actions.float(), actions.isfinite().all()
            return Decision(actions[:, :2].nan_to_num(0.0), actions[:, 2:].nan_to_num(0.0).argmax(-1), None, valid)
        array = np.array(actions, np.float32)
        _require_shape("action", array, (count, 2 + self.classes))
        if not np.isfinite(array).all():
            raise ActionError(f"actions must be finite numbers, got {array[~np.isfinite(array).all(axis=1)][0]}")
        return Decision(torch.from_numpy(array[:, :2]), torch.from_numpy(array[:, 2:].argmax(axis=1)), None, None)


ACTION_FORMATS: dict[str, type[DictFormat] | type[GridFormat] | type[SaccadeFormat] | type[BoxFormat]] = {
    "dict": DictFormat,
    "grid": GridFormat,
    "saccade": SaccadeFormat,
    "box": BoxFormat,
}


def _centre(cell: Tensor, grid: int) -> Tensor:
    """Give the centres of cells, (n,) to (n, 2)."""
    column_and_row = torch.stack((cell % grid, cell.div(grid, rounding_mode="floor")), dim=-1)
    return (2 * column_and_row + 1) / grid - 1


def _labels(values: Any, count: int, limit: int, name: str) -> Tensor:
    """Check NumPy whole numbers in [0, limit) and bring them to a tensor of their own."""
    array = np.asarray(values)
    _require_shape(name, array, (count,))
    if array.dtype.kind not in "iu":
        raise ActionError(f"{name} must be a whole number, got {array.dtype}")
    labels = array.astype(np.int64, order="C")
    if (labels.view(np.uint64) >= limit).any():  # a negative number is a very large one without its sign
        wrong = array[(array < 0) | (array >= limit)][0]
        raise ActionError(f"{name} {wrong} is outside the space: it must be in 0 … {limit - 1}")
    return torch.from_numpy(labels)


def _require_whole(name: str, tensor: Tensor) -> None:
    if tensor.is_floating_point() or tensor.dtype == torch.bool:
        raise ActionError(f"{name} must be a whole number, got {tensor.dtype}")


def _require_shape(name: str, array: Any, shape: tuple[int, ...]) -> None:
    if tuple(array.shape) != shape:
        raise ActionError(f"{name} must be of shape {shape}, got {tuple(array.shape)}")

"""Action formats: the ways an agent can say where to look and what it sees.

Every format is a view of one and the same environment: it turns what the agent sends into a `Decision`.

| format | space | for |
|---|---|---|
| `"dict"` | `Dict(location=Box(-1, 1, (2,)), label=Discrete(K))` | agents that send both at every step; the native one |
| `"grid"` | `MultiDiscrete((grid², K))` | learners of discrete actions: a cell to look at and a class, both at every step |
| `"saccade"` | `Discrete(grid² + K)` | learners of one discrete action: a cell to look at, *or* a class, which ends it all |
| `"box"` | `Box(-1, 1, (2 + K,))` | learners of one flat vector: a location and a score for each class, the greatest naming it |

With the switches `zoom`, `rotate` and `stop` an action says more, in this order:

| format | zoom | rotation | stop |
|---|---|---|---|
| `"dict"` | `zoom=Box(-1, 1, (1,))` | `rotation=Box(-1, 1, (1,))`, in half turns | `stop=Discrete(2)`: 1 ends the episode |
| `"grid"` | a third choice of 3: zoom -1, 0 or 1 | a choice of 8: eighths of a turn | a choice of 2: 1 ends the episode |
| `"saccade"` | a look names one of 3 zooms too | a look names one of 8 eighths of a turn too | a class ends it anyhow |
| `"box"` | a number after the location | a number after that | a number before the scores: above 0 it ends the episode |
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import gymnasium as gym
import numpy as np
import torch
from torch import Tensor

ZOOMS = 3
"""Zooms that the discrete formats can name: number 0, 1, 2 stands for -1, 0, 1."""
TURNS = 8
"""Rotations that the discrete formats can name: number k stands for k eighths of a turn."""


class ActionError(ValueError):
    """An action does not belong to the action space; the message says what would."""


class Decision(NamedTuple):
    """What a batch of actions asks for.

    Attributes:
        location: (n, 2) float32, where to look (or, in relative moves, how far to go); finite.
        label: (n,) int64, the class named; below 0 where none is.
        answers: (n,) bool, rows whose action ends the episode; None where the format leaves the end to the environment, which
            takes the last action's class.
        valid: () bool tensor, false if a device action was outside the space; None for NumPy actions, which are checked
            at once.
        zoom: (n, 1) float32, the next glimpse's zoom; finite; None without that switch.
        rotation: (n, 1) float32, the next glimpse's rotation in half turns; finite; None without that switch.
    """

    location: Tensor
    label: Tensor
    answers: Tensor | None
    valid: Tensor | None
    zoom: Tensor | None = None
    rotation: Tensor | None = None


@dataclass(frozen=True)
class ActionFormat(ABC):
    """What an action format offers to the environment.

    Attributes:
        classes: number K of classes.
        grid: discrete locations are the centres of grid × grid cells.
        zoom: whether an action names the next glimpse's zoom.
        rotate: whether it names its rotation.
        stop: whether it says if the episode ends.
    """

    classes: int
    grid: int
    zoom: bool = False
    rotate: bool = False
    stop: bool = False

    @property
    @abstractmethod
    def space(self) -> gym.Space[Any]:
        """The action space of one environment."""

    @abstractmethod
    def decode(self, actions: Any, count: int, resting: Tensor | None = None) -> Decision:
        """Read a batch of `count` actions.

        Args:
            actions: NumPy arrays, or tensors.
            count: number of rows.
            resting: (n,) bool, rows whose action counts for nothing, whatever its values; None if there are none.

        Raises:
            ActionError: if NumPy actions do not belong to the batched space, or tensors have a wrong shape or type.
        """

    @cached_property
    def extras(self) -> list[str]:
        """What an action says beside location and label, in this order."""
        return [name for name, on in (("zoom", self.zoom), ("rotation", self.rotate), ("stop", self.stop)) if on]


@dataclass(frozen=True)
class DictFormat(ActionFormat):
    """Location and label at every step; location and zoom beyond [-1, 1] are clipped by the environment."""

    @property
    def space(self) -> gym.spaces.Dict:
        """The action space of one environment."""
        space = gym.spaces.Dict(
            location=gym.spaces.Box(-1.0, 1.0, (2,), np.float32),
            label=gym.spaces.Discrete(self.classes),
        )
        for name in self.extras:
            space[name] = gym.spaces.Discrete(2) if name == "stop" else gym.spaces.Box(-1.0, 1.0, (1,), np.float32)
        return space

    def decode(self, actions: Any, count: int, resting: Tensor | None = None) -> Decision:
        """Read {"location": (n, 2), "label": (n,)}, and "zoom": (n, 1), "rotation": (n, 1), "stop": (n,) if switched on."""
        try:
            location, label = actions["location"], actions["label"]
            extras = {name: actions[name] for name in self.extras}
        except (TypeError, KeyError, IndexError):
            keys = sorted(actions) if isinstance(actions, dict) else type(actions).__name__
            *names, last = ("location", "label", *self.extras)
            wanted = f"{', '.join(map(repr, names))} and {last!r}"
            raise ActionError(f"an action is a dict with {wanted}, got {keys}") from None
        reader = Reader(count, resting)
        location, label = reader.numbers("location", location, 2), reader.choices("label", label, self.classes)
        zoom = reader.numbers("zoom", extras["zoom"], 1) if self.zoom else None
        rotation = reader.numbers("rotation", extras["rotation"], 1) if self.rotate else None
        answers = reader.choices("stop", extras["stop"], 2) == 1 if self.stop else None
        return Decision(location, label, answers, reader.valid, zoom, rotation)


@dataclass(frozen=True)
class GridFormat(ActionFormat):
    """A cell to look at, 0 … grid² - 1 row by row from the top left, and a class, at every step.

    In relative moves the cells are displacements: the middle of the grid stays, its edges go furthest.
    """

    @property
    def space(self) -> gym.spaces.MultiDiscrete:
        """The action space of one environment."""
        return gym.spaces.MultiDiscrete(list(self._limits().values()))

    def decode(self, actions: Any, count: int, resting: Tensor | None = None) -> Decision:
        """Read (n, 2) whole numbers, and a column more for each switch; a NumPy array or a tensor."""
        array, limits = actions if isinstance(actions, Tensor) else np.asarray(actions), self._limits()
        _require_shape("action", array, (count, len(limits)))
        reader = Reader(count, resting)
        columns = {name: reader.choices(name, array[:, number], limit) for number, (name, limit) in enumerate(limits.items())}
        return Decision(
            _centre(columns["cell"].clamp(0, limits["cell"] - 1), self.grid),
            columns["label"],
            columns["stop"] == 1 if self.stop else None,
            reader.valid,
            _zoom(columns["zoom"]) if self.zoom else None,
            _rotation(columns["rotation"]) if self.rotate else None,
        )

    def _limits(self) -> dict[str, int]:
        """Name the columns, and count the choices of each."""
        extras = {"zoom": ZOOMS, "rotation": TURNS, "stop": 2}
        return {"cell": self.grid**2, "label": self.classes, **{name: extras[name] for name in self.extras}}


@dataclass(frozen=True)
class SaccadeFormat(ActionFormat):
    """A cell to look at, 0 … grid² - 1 row by row from the top left, or grid² + the class seen, which ends the episode.

    With zooms or rotations a look is one of grid²·Z·R, numbered (cell · Z + zoom) · R + rotation, where Z is 3 or 1 and R is 8
    or 1; the classes follow. In relative moves the cells are displacements: the middle of the grid stays, its edges go furthest.
    """

    @property
    def space(self) -> gym.spaces.Discrete[np.int64]:
        """The action space of one environment."""
        return gym.spaces.Discrete(self._looks() + self.classes)

    def decode(self, actions: Any, count: int, resting: Tensor | None = None) -> Decision:
        """Read (n,) whole numbers, a NumPy array or a tensor."""
        looks, reader = self._looks(), Reader(count, resting)
        chosen = reader.choices("action", actions, looks + self.classes)
        cell, zoom, rotation = chosen.clamp(0, looks - 1), None, None
        if self.rotate:
            cell, rotation = cell // TURNS, _rotation(cell % TURNS)
        if self.zoom:
            cell, zoom = cell // ZOOMS, _zoom(cell % ZOOMS)
        return Decision(_centre(cell, self.grid), chosen - looks, chosen >= looks, reader.valid, zoom, rotation)

    def _looks(self) -> int:
        return self.grid**2 * (ZOOMS if self.zoom else 1) * (TURNS if self.rotate else 1)


@dataclass(frozen=True)
class BoxFormat(ActionFormat):
    """One flat vector: the location, then a score for each class, of which the greatest names the class (the first, of equals).

    Zoom, rotation and stop, where switched on, stand between them. Numbers beyond [-1, 1] are taken: the environment clips
    location and zoom, and scores are only compared.
    """

    @property
    def space(self) -> gym.spaces.Box:
        """The action space of one environment."""
        return gym.spaces.Box(-1.0, 1.0, (2 + len(self.extras) + self.classes,), np.float32)

    def decode(self, actions: Any, count: int, resting: Tensor | None = None) -> Decision:
        """Read (n, 2 + K) numbers, and a column more for each switch; a NumPy array or a tensor."""
        names, reader = self.extras, Reader(count, resting)
        numbers = reader.numbers("action", actions, 2 + len(names) + self.classes)
        extras = {name: numbers[:, 2 + place : 3 + place] for place, name in enumerate(names)}
        location, scores = numbers[:, :2], numbers[:, 2 + len(names) :]
        answers = extras["stop"][:, 0] > 0 if self.stop else None
        return Decision(location, scores.argmax(-1), answers, reader.valid, extras.get("zoom"), extras.get("rotation"))


ACTION_FORMATS: dict[str, type[ActionFormat]] = {
    "dict": DictFormat,
    "grid": GridFormat,
    "saccade": SaccadeFormat,
    "box": BoxFormat,
}


class Reader:
    """Reads the parts of a batch of actions: NumPy arrays are checked at once, tensors without waiting for the device.

    Args:
        count: number of rows.
        resting: (n,) bool, rows that are read as zeros; None if there are none.

    Attributes:
        valid: () bool tensor, whether all tensors so far were inside their spaces; None if there were none.
    """

    def __init__(self, count: int, resting: Tensor | None) -> None:
        self._count, self._resting = count, resting
        self.valid: Tensor | None = None

    def numbers(self, name: str, values: Any, width: int) -> Tensor:
        """Read finite numbers, (n, width) float32 in a tensor of its own."""
        shape = (self._count, width)
        if isinstance(values, Tensor):
            _require_shape(name, values, shape)
            numbers = values if self._resting is None else values.masked_fill(self._resting[:, None], 0)
            self._note(numbers.isfinite().all())
            return numbers.float().nan_to_num(0.0)
        array = np.array(values, np.float32)  # a copy: what the caller does with its array is its own business
        _require_shape(name, array, shape)
        if self._resting is not None:
            array[np.asarray(self._resting.cpu())] = 0
        if not np.isfinite(array).all():  # one pass; the rest only says where
            raise ActionError(f"{name}s must be finite numbers, got {array[~np.isfinite(array).all(axis=1)][0]}")
        return torch.from_numpy(array)

    def choices(self, name: str, values: Any, limit: int) -> Tensor:
        """Read whole numbers in [0, limit), (n,) int64; tensors may hold others, which `valid` tells."""
        array = values if isinstance(values, Tensor) else np.asarray(values)
        _require_shape(name, array, (self._count,))
        if isinstance(array, Tensor):
            if array.is_floating_point() or array.dtype == torch.bool:
                raise ActionError(f"{name} must be a whole number, got {array.dtype}")
            chosen = array.long() if self._resting is None else array.long().masked_fill(self._resting, 0)
            self._note(((chosen >= 0) & (chosen < limit)).all())
            return chosen
        if array.dtype.kind not in "iu":
            raise ActionError(f"{name} must be a whole number, got {array.dtype}")
        numbers = array.astype(np.int64, order="C")
        if self._resting is not None:
            numbers[np.asarray(self._resting.cpu())] = 0
        wrong = numbers.view(np.uint64) >= limit  # a negative number is a very large one without its sign
        if wrong.any():
            raise ActionError(f"{name} {array[wrong][0]} is outside the space: it must be in 0 … {limit - 1}")
        return torch.from_numpy(numbers)

    def _note(self, valid: Tensor) -> None:
        self.valid = valid if self.valid is None else self.valid & valid


def _centre(cell: Tensor, grid: int) -> Tensor:
    """Give the centres of cells, (n,) to (n, 2)."""
    column_and_row = torch.stack((cell % grid, cell.div(grid, rounding_mode="floor")), dim=-1)
    return (2 * column_and_row + 1) / grid - 1


def _zoom(number: Tensor) -> Tensor:
    """Give the zooms that numbers 0, 1, 2 stand for, (n,) to (n, 1)."""
    return (number - 1)[:, None].float()


def _rotation(number: Tensor) -> Tensor:
    """Give the half turns in [-1, 1) that numbers of eighths of a turn stand for, (n,) to (n, 1)."""
    half = TURNS // 2
    return ((number + half) % TURNS - half)[:, None] / half


def _require_shape(name: str, array: Any, shape: tuple[int, ...]) -> None:
    if tuple(array.shape) != shape:
        raise ActionError(f"{name} must be of shape {shape}, got {tuple(array.shape)}")

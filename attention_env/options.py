"""The settings of the environments, checked where they enter."""

from __future__ import annotations

import inspect
import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
from gymnasium.vector import AutoresetMode

MOVES = ("absolute", "relative")
STARTS = ("center", "random")
REWARDS = ("sparse", "dense")
CAPTION_REWARDS = ("likelihood", "cider", "bleu", "cider_bleu")
OUTPUTS = ("numpy", "torch")


class UnknownSettingError(TypeError):
    """An environment has no such setting."""


class BatchOptions(ABC):
    """What the settings of all environments have in common; a subclass is a dataclass that has these fields among its own.

    Attributes:
        kind: what to call the environment in messages.
        output: "numpy" arrays, or "torch" tensors on `device`.
        device: where a vector environment keeps and computes everything; "cpu" for NumPy output.
        autoreset_mode: what happens after the end of an episode, for vector environments.
        render_mode: None or "rgb_array".
    """

    kind: ClassVar[str]
    output: str
    device: str
    autoreset_mode: AutoresetMode | str
    render_mode: str | None

    @property
    @abstractmethod
    def lengths_differ(self) -> bool:
        """Whether an episode may end before the others of a batch."""

    @classmethod
    def of(cls, defaults: dict[str, Any], given: dict[str, Any]) -> Self:
        """Merge an environment's defaults with what its user gave.

        Raises:
            UnknownSettingError: if a keyword is not a setting.
        """
        known = list(inspect.signature(cls).parameters)
        unknown = sorted(set(given) - set(known))
        if unknown:
            raise UnknownSettingError(f"unknown setting {', '.join(unknown)}: {cls.kind} takes {', '.join(known)}")
        return cls(**{**defaults, **given})

    def _check_output(self) -> None:
        """Check what all environments can be told.

        Raises:
            ValueError: naming the setting, its value, and what would be right.
        """
        _choose("output", self.output, OUTPUTS)
        if not isinstance(self.autoreset_mode, AutoresetMode):
            _choose("autoreset_mode", self.autoreset_mode, tuple(mode.value for mode in AutoresetMode))
        _choose("render_mode", self.render_mode, (None, "rgb_array"))
        if self.output == "numpy" and self.device != "cpu":
            raise ValueError(f"device={self.device!r} needs output='torch': NumPy arrays live on the CPU")
        object.__setattr__(self, "autoreset_mode", AutoresetMode(self.autoreset_mode))


@dataclass(frozen=True)
class GlimpseOptions(BatchOptions):
    """Everything a glimpse environment can be told, as keyword arguments of `gym.make` and `gym.make_vec`.

    All but `source` given as arrays can be written as JSON.

    Attributes:
        source: name of a picture source ("digits", "mnist", "fashion_mnist", "circle_square"), or (images, labels) arrays.
        split: "train", "validation" or "test" pictures of a named source.
        glimpses: N, glimpses in an episode: the one that `reset` shows and N - 1 looks; action N carries the class.
        glimpse_size: side g of the retina's patches, in pixels.
        scales: number k of patches, each twice as wide as the one before, all brought to g × g.
        interpolation: "nearest" (whole pixels) or "bilinear"; with `zoom` or `rotate` glimpses are always bilinear.
        moves: "absolute": an action's location is where to look; "relative": it is added, times `move_scale`, to the
            present location.
        move_scale: how far a relative move of 1 goes, in units of half the picture.
        start: where the first glimpse is taken: "center", "random" (uniform over [-1, 1]²), or a pair [x, y].
        reward: "sparse": 1 at the end if the class is right; "dense": 1/N at each step whose label is right.
        action_format: how actions are written: "dict", "grid", "saccade" or "box" (see `attention_env.actions`).
        grid: the locations of the "grid" and "saccade" formats are the centres of grid × grid cells.
        zoom: actions say how wide the next glimpse is: "zoom" from -1, half as wide and sharper, to 1, twice as wide; 0 is as
            without. Observations show the "zoom" of their glimpse.
        rotate: actions say how far the retina is turned for the next glimpse: "rotation", in half turns. Observations show the
            "rotation" of their glimpse as (cos, sin) of its angle.
        stop: actions say whether the episode ends: "stop" 1 makes their label the answer, as action N does. Not for "saccade",
            where a class ends the episode anyhow.
        step_cost: what each action costs: that much less reward, at every step; 0 or more.
        distortion: random distortion of each picture at every reset, for training: keyword arguments of
            `attention_env.distortion.Distortion`; absent by default.
        scene: the pictures are laid on a larger canvas, perhaps among pieces of others: keyword arguments of
            `attention_env.scenes.Scene`; absent by default. Composed anew at every reset for the training split and for arrays
            of one's own, fixed for "validation" and "test".
        output: "numpy" arrays, or "torch" tensors on `device`, without a host synchronisation per step.
        device: where a vector environment keeps and computes everything; "cpu" for NumPy output.
        autoreset_mode: Gymnasium's "NextStep", "SameStep" or "Disabled" (or the enum); vector environments only.
        render_mode: None or "rgb_array" (`gym.make` makes "rgb_array_list" and "human" of it).
    """

    kind = "a glimpse environment"

    source: Any = "mnist"
    split: str = "train"
    glimpses: int = 6
    glimpse_size: int = 8
    scales: int = 1
    interpolation: str = "nearest"
    moves: str = "absolute"
    move_scale: float = 1.0
    start: str | Sequence[float] = "center"
    reward: str = "sparse"
    action_format: str = "dict"
    grid: int = 7
    zoom: bool = False
    rotate: bool = False
    stop: bool = False
    step_cost: float = 0.0
    distortion: dict[str, float] | None = None
    scene: dict[str, Any] | None = None
    output: str = "numpy"
    device: str = "cpu"
    autoreset_mode: AutoresetMode | str = AutoresetMode.NEXT_STEP
    render_mode: str | None = None

    def __post_init__(self) -> None:
        """Check every setting that no other part checks by itself.

        Raises:
            ValueError: naming the setting, its value, and what would be right.
        """
        from attention_env.actions import ACTION_FORMATS

        _choose("moves", self.moves, MOVES)
        _choose("reward", self.reward, REWARDS)
        _choose("action_format", self.action_format, tuple(ACTION_FORMATS))
        self._check_output()
        for name in ("glimpses", "glimpse_size", "scales", "grid"):
            _count(name, getattr(self, name))
        if not (is_number(self.move_scale) and 0 < self.move_scale < math.inf):
            raise ValueError(f"move_scale must be a finite number above 0, got {self.move_scale!r}")
        for name in ("zoom", "rotate", "stop"):
            if not isinstance(value := getattr(self, name), bool):
                raise ValueError(f"{name} must be True or False, got {value!r}")
        if not (is_number(self.step_cost) and 0 <= self.step_cost < math.inf):
            raise ValueError(f"step_cost must be a finite number of at least 0, got {self.step_cost!r}")
        if isinstance(self.start, str):
            _choose("start", self.start, STARTS)
        elif np.shape(self.start) != (2,) or not all(is_number(number) and -1 <= number <= 1 for number in self.start):
            raise ValueError(f"start must be one of {', '.join(STARTS)}, or [x, y] with both within [-1, 1], got {self.start!r}")
        if self.reward == "dense" and self.action_format == "saccade":
            raise ValueError("reward='dense' needs a label in every action: use another action_format, or reward='sparse'")
        if self.stop and self.action_format == "saccade":
            raise ValueError(
                "stop=True is not for action_format='saccade', where naming a class ends the episode anyhow: leave it out"
            )

    @property
    def free(self) -> bool:
        """Whether glimpses are zoomed or turned."""
        return self.zoom or self.rotate

    @property
    def lengths_differ(self) -> bool:
        """Whether an action may end an episode before the others of a batch."""
        return self.stop or self.action_format == "saccade"


@dataclass(frozen=True)
class CaptionOptions(BatchOptions):
    """Everything a caption environment can be told, as keyword arguments of `gym.make` and `gym.make_vec`.

    All but a `source` of one's own can be written as JSON.

    Attributes:
        source: name of a source of captioned pictures ("scenes"), or an `attention_env.captions.CaptionSource`.
        split: "train", "validation" or "test" pictures of a named source; a source of one's own is used as it is.
        reward: "likelihood": the log-likelihood of the reference's word at every step; "cider", "bleu" or "cider_bleu": the
            score of the whole sentence at the end (see `attention_env.sentence_rewards`).
        blind: observations have no "annotations": only what was looked at is seen.
        longest: words of a sentence at most, END included; None for those of the source's longest reference. A reference that is
            longer is scored up to there.
        output: "numpy" arrays, or "torch" tensors on `device`.
        device: where a vector environment keeps and computes everything; "cpu" for NumPy output.
        autoreset_mode: Gymnasium's "NextStep", "SameStep" or "Disabled" (or the enum); vector environments only.
        render_mode: None or "rgb_array" (`gym.make` makes "rgb_array_list" and "human" of it), for sources with pictures.
    """

    kind = "a caption environment"

    source: Any = "scenes"
    split: str = "train"
    reward: str = "likelihood"
    blind: bool = False
    longest: int | None = None
    output: str = "numpy"
    device: str = "cpu"
    autoreset_mode: AutoresetMode | str = AutoresetMode.NEXT_STEP
    render_mode: str | None = None

    def __post_init__(self) -> None:
        """Check every setting that no other part checks by itself.

        Raises:
            ValueError: naming the setting, its value, and what would be right.
        """
        _choose("reward", self.reward, CAPTION_REWARDS)
        self._check_output()
        if not isinstance(self.blind, bool):
            raise ValueError(f"blind must be True or False, got {self.blind!r}")
        if self.longest is not None:
            _count("longest", self.longest)

    @property
    def lengths_differ(self) -> bool:
        """Sentences differ in length."""
        return True


def is_number(value: Any) -> bool:
    """Tell whether a setting is a number, which a truth value is not."""
    return isinstance(value, (int, float, np.number)) and not isinstance(value, bool)


def _choose(name: str, value: Any, choices: tuple[Any, ...]) -> None:
    if value not in choices:
        raise ValueError(f"{name}={value!r} is unknown: choose one of {', '.join(map(repr, choices))}")


def is_whole(value: Any) -> bool:
    """Tell whether a setting is a whole number, which a truth value is not."""
    return isinstance(value, (int, np.integer)) and not isinstance(value, bool)


def _count(name: str, value: Any) -> None:
    if not is_whole(value) or value < 1:
        raise ValueError(f"{name} must be a whole number of at least 1, got {value!r}")

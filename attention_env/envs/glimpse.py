"""The glimpse environment: name what is in a picture that is seen only through a retina.

The batched environment is the truth; the single one is that with one row.
"""

from __future__ import annotations

from typing import Any, ClassVar, NamedTuple

import gymnasium as gym
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from attention_env.actions import ACTION_FORMATS, Decision
from attention_env.distortion import Distortion
from attention_env.envs.batched import BatchedVectorEnv, SingleEnv, one_row, repeat_batch
from attention_env.envs.one_row import OneRow, is_plain
from attention_env.options import GlimpseOptions
from attention_env.rendering import draw_frame
from attention_env.retina import Prepared, Retina, direction
from attention_env.scenes import Scene, load_scenes
from attention_env.sources import load_pictures


class Started(NamedTuple):
    """What a batch of n episodes is played with.

    Attributes:
        pictures: prepared for the retina.
        labels: (n,) int64, their classes.
        location: (n, 2), where the rows look at present.
    """

    pictures: Prepared
    labels: Tensor
    location: Tensor


WORLD = ("_start_all", "_draw", "_move_world")
"""What a subclass replaces whose episodes are more than a picture to be looked at."""
# Fewer rows than this keep their pictures as floats, which saves an operation per step.
FEW = 16


class GlimpseVectorEnv(BatchedVectorEnv[Decision]):
    """Many glimpse environments in one, all computed at once as tensors.

    Takes `num_envs` and the settings of `attention_env.options.GlimpseOptions`. What an episode is, the spaces and the
    rewards are described in `GlimpseEnv`; here every array has a leading axis of `num_envs`.

    `reset(options=...)` understands:
        "index": (n,) whole numbers, which pictures to show (otherwise they are drawn uniformly, with repetition);
        "location": (n, 2) within [-1, 1], where each episode starts;
        "reset_mask": (n,) bool, which rows to reset; "index" and "location" still have n rows, of which those are used;
        "copies": m, a divisor of n: row i shows what row i modulo n/m shows, distorted and composed alike (of "index" the
            first n/m count); not together with "reset_mask".

    Information: at the end of an episode `infos` holds "label" (the true class) and "is_success", with Gymnasium's masks
    "_label" and "_is_success"; under `autoreset_mode="SameStep"` they are in "final_info", beside "final_obs".

    Under `autoreset_mode="Disabled"` rows that have ended rest while others still play: their action is ignored, whatever its
    values, their reward is 0, `terminated` stays true, their observation stays as it is, and no information comes again. Once all
    rows have ended, a step raises `ResetNeeded`.

    With `output="torch"` observations, rewards, flags and infos are tensors on `device`, actions are expected as such, and
    no step waits for the device: actions are checked there, and an invalid one is reported by the step that ends the episode
    (and "final_obs" is one dictionary of batched tensors). Where episodes end early, by `stop` or in "saccade", autoreset must
    ask the device which have. Without autoreset nothing is asked either, from a reset of all rows up to the N-th step: infos come
    with every step, their masks telling for which rows; an invalid action is reported by the N-th step or an earlier reset of all
    rows; and only the step after the N-th raises `ResetNeeded`.

    Seeds: one generator for the whole batch, so the same seed, `num_envs` and actions give the same episodes.
    """

    options = GlimpseOptions
    own_option = "location"
    settings: GlimpseOptions
    acts: ClassVar[bool] = False
    """Whether the label counts at every step, as something done to a world that moves, and not as the answer at the end."""

    def __init__(self, num_envs: int = 1, **settings: Any) -> None:
        """Make the spaces and load the pictures; no tensor is computed before the first `reset`."""
        super().__init__(num_envs, **settings)
        self.pictures, self.scene = self._load()
        interpolation = "bilinear" if self.settings.free else self.settings.interpolation
        self.retina = Retina(self.settings.glimpse_size, self.settings.scales, interpolation, self.settings.free)
        self.distortion = None if self.settings.distortion is None else Distortion(**self.settings.distortion)
        self.action_format = ACTION_FORMATS[self.settings.action_format](
            self.pictures.classes, self.settings.grid, self.settings.zoom, self.settings.rotate, self.settings.stop
        )

        size, channels = self.settings.glimpse_size, self.settings.scales * self.pictures.shape[0]
        observation = gym.spaces.Dict(
            glimpse=gym.spaces.Box(0.0, 1.0, (channels, size, size), np.float32),
            location=gym.spaces.Box(-1.0, 1.0, (2,), np.float32),
            remaining=gym.spaces.Box(0.0, 1.0, (1,), np.float32),
        )
        if self.settings.zoom:
            observation["zoom"] = gym.spaces.Box(-1.0, 1.0, (1,), np.float32)
        if self.settings.rotate:
            observation["rotation"] = gym.spaces.Box(-1.0, 1.0, (2,), np.float32)
        self._lay_out(self.action_format.space, observation, self.pictures, self.settings.glimpses)
        self._shown: Prepared | None = None

    # What Gymnasium asks for ----------------------------------------------------------------------------------------

    def render(self) -> tuple[NDArray[np.uint8], ...] | None:
        """Draw every row: the picture, the boxes of all scales, the path so far, and what the retina sees."""
        if self.render_mode is None or self._shown is None:
            return None
        glimpses = self._glimpses().cpu().numpy()
        images = self.images().cpu().numpy()
        pose = {name: values.cpu().numpy() for name, values in self._pose.items()}
        return tuple(
            draw_frame(
                images[row],
                glimpses[row],
                np.stack(self._paths[row]),
                self.settings.glimpse_size,
                self.settings.scales,
                pose["zoom"][row].item() if self.settings.zoom else 0.0,
                pose["rotation"][row] if self.settings.rotate else None,
            )
            for row in range(self.num_envs)
        )

    def images(self) -> Tensor:
        """Return the pictures that the rows show at present, (n, C, H, W) float32 in [0, 1], for drawing and for tests.

        Raises:
            gymnasium.error.ResetNeeded: before the first `reset`.
        """
        if self._shown is None:
            raise gym.error.ResetNeeded("call reset() before images()")
        border = self.retina.border
        pixels = self._shown.pixels[..., border : -border - 1, border : -border - 1]
        return pixels / 255 if pixels.dtype == torch.uint8 else pixels.clone()

    def started(self) -> Started:
        """Return what the rows' present episodes are played with.

        Raises:
            gymnasium.error.ResetNeeded: before the first `reset`.
        """
        if self._shown is None:
            raise gym.error.ResetNeeded("call reset() before started()")
        return Started(self._shown, self._labels, self._location)

    @property
    def still(self) -> bool:
        """Whether `started` tells all of an episode that has begun: not where the world moves, or is drawn in a way of its own."""
        return all(getattr(type(self), part) is getattr(GlimpseVectorEnv, part) for part in WORLD)

    def restart(self, started: Started) -> dict[str, Tensor]:
        """Start episodes in all rows with what `started` gave after a reset of these or of others; return what is seen.

        Nothing is drawn, checked or asked of the device: with output "torch" it can be part of a CUDA graph.

        Raises:
            ValueError: of an environment that is not `still`.
        """
        if not self.still:
            raise ValueError("only episodes whose pictures stay as they are can be started again")
        super()._start_all(None, None)
        self._valid = torch.ones((), dtype=torch.bool, device=self.device)
        self._begun = True
        self._shown, self._labels, self._location = started
        self._pose = self._first_pose(self.num_envs)
        return self._observation()

    # Episodes -------------------------------------------------------------------------------------------------------

    def _load(self) -> tuple[Any, Scene | None]:
        """Load the pictures, and the recipe of the scenes if those are composed at every reset."""
        settings = self.settings
        if settings.scene is None:
            return load_pictures(settings.source, settings.split), None
        scene = Scene(**settings.scene)
        if isinstance(settings.source, str) and settings.split != "train":
            return load_scenes(settings.source, settings.split, scene), None
        pictures = load_pictures(settings.source, settings.split)
        scene.check(pictures)
        return pictures, scene

    def _start_all(self, index: Tensor | None, location: Tensor | None, copies: int = 1) -> None:
        super()._start_all(index, location, copies)
        count = self.num_envs
        self._shown, self._labels = self._draw(count, index, copies)
        self._location = self._first_location(count) if location is None else location
        self._pose = self._first_pose(count)
        if self.render_mode is not None:
            self._paths: list[list[NDArray[np.float32]]] = [[place] for place in self._location.cpu().numpy().copy()]

    def _start_rows(self, rows: Tensor, index: Tensor | None, location: Tensor | None) -> None:
        super()._start_rows(rows, index, location)
        assert self._shown is not None
        pictures, self._labels[rows] = self._draw(len(rows), index)
        self._shown.put(rows, pictures)
        # A tensor of its own: what earlier observations show must not change.
        self._location = self._location.index_copy(0, rows, self._first_location(len(rows)) if location is None else location)
        first = self._first_pose(len(rows))
        self._pose = {name: values.index_copy(0, rows, first[name]) for name, values in self._pose.items()}
        if self.render_mode is not None:
            for row in rows.tolist():
                self._paths[row] = [self._location[row].cpu().numpy().copy()]

    def _draw(self, count: int, index: Tensor | None, copies: int = 1) -> tuple[Prepared, Tensor]:
        """Choose pictures, distort them and compose scenes if asked to, and prepare what comes out for the retina."""
        images, labels = self.pictures.on(self.device)
        count //= copies
        index = self._whole_numbers(len(self.pictures), (count,)) if index is None else index[:count]
        chosen = images[index]
        if self.distortion is not None:
            assert self._generator is not None
            chosen = self.distortion(chosen, self._generator)
        if self.scene is not None:
            chosen = chosen if chosen.dtype == torch.uint8 else (chosen * 255).round_().to(torch.uint8)
            height, width = images.shape[-2:]
            plan = self.scene.plan(index, len(images), height, width, self._whole_numbers)
            chosen = self.scene.compose(chosen, images, plan)
        return self.retina.prepare(repeat_batch(chosen, copies), few=self.num_envs < FEW), repeat_batch(labels[index], copies)

    def _first_location(self, count: int) -> Tensor:
        start = self.settings.start
        if start == "center":
            return torch.zeros(count, 2, device=self.device)
        if start == "random":
            return torch.rand(count, 2, generator=self._generator, device=self.device) * 2 - 1
        return torch.tensor(start, dtype=torch.float32, device=self.device).expand(count, 2).clone()

    def _first_pose(self, count: int) -> dict[str, Tensor]:
        """Give what the first glimpses are taken with, as the retina takes it and as it is shown, of what is switched on."""
        pose = {}
        if self.settings.zoom:
            pose["zoom"] = torch.zeros(count, 1, device=self.device)
        if self.settings.rotate:
            pose["rotation"] = torch.eye(1, 2, device=self.device).repeat(count, 1)  # (cos, sin) of 0
        return pose

    def _decode(self, actions: Any, resting: Tensor | None) -> Decision:
        return self.action_format.decode(actions, self.num_envs, resting)

    def _ends(self, decision: Decision) -> bool | Tensor:
        ended: bool | Tensor = self._turn >= self.settings.glimpses
        return ended if decision.answers is None else ended | decision.answers

    def _act(self, decision: Decision, ended: bool | Tensor, resting: Tensor | None) -> float | Tensor:
        if ended is not True:
            self._move_eye(decision, ended)
        self._move_world(decision, resting)
        if self.render_mode is not None:
            self._extend_paths(ended)
        return self._rewards(decision, ended)

    def _move_eye(self, decision: Decision, ended: bool | Tensor) -> None:
        """Look where the actions say, except where an episode has ended."""
        location, pose = self.moved(self._location, decision.location), {}
        if decision.zoom is not None:
            pose["zoom"] = decision.zoom.clamp(-1.0, 1.0)
        if decision.rotation is not None:
            pose["rotation"] = direction(decision.rotation)
        if isinstance(ended, Tensor):
            stays = ended[:, None]
            location = torch.where(stays, self._location, location)
            pose = {name: torch.where(stays, self._pose[name], values) for name, values in pose.items()}
        self._location, self._pose = location, pose

    def _move_world(self, decision: Decision, resting: Tensor | None) -> None:
        """Let what is looked at move, except in rows that rest; pictures do not."""

    def _rewards(self, decision: Decision, ended: bool | Tensor) -> float | Tensor:
        """Tell what the actions earn, less what they cost: (n,) float64, or one number for all rows."""
        rewards: float | Tensor = 0.0
        if self.settings.reward == "dense":
            rewards = (decision.label == self._labels).double() / self.settings.glimpses
        elif ended is not False:
            rewards = (self._right(decision) & ended).double()
        return rewards - self.settings.step_cost if self.settings.step_cost else rewards

    def _right(self, decision: Decision) -> Tensor:
        """Tell which rows name the true class."""
        return decision.label == self._labels

    def moved(self, present: Tensor, location: Tensor) -> Tensor:
        """Tell where an action's location leads to from the present one; both and the result are (n, 2)."""
        location = location.clamp(-1.0, 1.0)
        if self.settings.moves == "relative":
            location = torch.add(present, location, alpha=self.settings.move_scale).clamp_(-1.0, 1.0)
        return location

    # What the agent is shown ----------------------------------------------------------------------------------------

    def _observation(self) -> dict[str, Tensor]:
        left = (self.settings.glimpses - self._turn) / self.settings.glimpses
        remaining = left[:, None] if isinstance(left, Tensor) else self._full(left, torch.float32)[:, None]
        return {
            "glimpse": self._glimpses(),
            "location": self._location.clone(),
            "remaining": remaining,
            **{name: values.clone() for name, values in self._pose.items()},
        }

    def _glimpses(self) -> Tensor:
        assert self._shown is not None
        return self.retina.look(self._shown, self._location, self._rows, **self._pose)

    def _tell(self, decision: Decision) -> dict[str, Tensor]:
        return {"label": self._labels, "is_success": self._right(decision)}

    # Odds and ends --------------------------------------------------------------------------------------------------

    def _extend_paths(self, ended: bool | Tensor) -> None:
        if ended is True:
            return
        stays = ended.tolist() if isinstance(ended, Tensor) else [False] * self.num_envs
        for path, place, stay in zip(self._paths, self._location.cpu().numpy().copy(), stays, strict=True):
            if not stay:
                path.append(place)

    def _read_own(self, options: dict[str, Any]) -> Tensor | None:
        location = self._option(options, "location", (2,), "numbers", "fiu")
        if location is not None and not bool((location.abs() <= 1).all()):
            raise ValueError("location must be finite and within [-1, 1]")
        return location


class GlimpseEnv(SingleEnv):
    """Name what is in a picture that is seen only through a retina.

    ## Description
    A picture is drawn from a source. The agent never sees it whole: an observation is a *glimpse*, a few small patches
    around one location, the first sharp, each next one covering twice the width at the same number of pixels (Mnih et al.
    2014, arXiv 1406.6247). The agent says where to look next, and in the end what it has seen.

    ## Action space
    `action_format="dict"` (default): `Dict(location=Box(-1, 1, (2,)), label=Discrete(K))`. `location` is (x, y), where to
    look next: (-1, -1) is the top-left corner, (0, 0) the centre, (1, 1) the bottom-right corner; beyond [-1, 1] it is
    clipped. With `moves="relative"` it is then added, times `move_scale`, to the present location. `label` is the class.

    `action_format="grid"`: `MultiDiscrete((grid², K))`, a cell to look at and a class. `action_format="box"`:
    `Box(-1, 1, (2 + K,))`, a location and a score for each class, of which the greatest names it.
    `action_format="saccade"`: `Discrete(grid² + K)`. The first grid² actions look at the centre of a cell, row by row from
    the top left; the others name a class, which ends the episode.

    Three switches let an action say more; all are absent by default.

    - `zoom=True`: how wide the next glimpse is. At zoom z patch s covers g·2^s·2^z pixels of the picture: at -1 it is half as
      wide, and sharper, at 1 twice. Beyond [-1, 1] it is clipped.
    - `rotate=True`: by how many half turns the retina is turned about its location for the next glimpse, positive from the x-axis
      towards the y-axis, which points down. Whole turns count for nothing.
    - `stop=True`: whether the episode ends with this action.

    Neither zoom nor rotation adds to the one before, in relative moves either. "dict" has them as `zoom=Box(-1, 1, (1,))`,
    `rotation=Box(-1, 1, (1,))`, `stop=Discrete(2)`. "grid" has a number more for each, in this order: 0, 1, 2 for zoom -1, 0, 1;
    0 … 7 for eighths of a turn; 1 to stop. "box" has one more for each between location and scores, in this order; above 0 it
    stops. In "saccade" a look is one of grid²·Z·R, numbered (cell · Z + zoom) · R + rotation, with Z = 3 zooms or 1, R = 8
    rotations or 1, and the classes follow; a class stops as ever, so there is no `stop`.

    ## Observation space
    `Dict(glimpse=Box(0, 1, (scales·C, g, g)), location=Box(-1, 1, (2,)), remaining=Box(0, 1, (1,)))`, all float32: the
    patches, finest first; where they were taken; the share of the episode's actions that is left. With `zoom=True`,
    `zoom=Box(-1, 1, (1,))` too; with `rotate=True`, `rotation=Box(-1, 1, (2,))`, cosine and sine of the angle: those of the
    glimpse shown. `attention_env.retina` says what a zoomed or turned glimpse is to the pixel.

    ## Rewards
    `reward="sparse"`: 1 at the end if the class named there is right, else 0. `reward="dense"`: 1/N at each step whose
    label is right (not in "saccade"). `step_cost=c` takes c off at every step, so that it pays to stop early, in "saccade" too.

    ## Starting state
    A picture drawn uniformly from the split, looked at its centre (`start="random"`: anywhere; `start=[x, y]`: there), at zoom 0
    and not turned. `reset(options={"index": i})` shows picture i, `{"location": [x, y]}` starts there.

    ## Episode end
    N = `glimpses`: `reset` shows the first, N-1 actions look, and action N carries the class; its location is ignored. The
    end is a termination, never a truncation. In "saccade", naming a class ends the episode at once, and N actions without a
    class end it with reward 0. With `stop=True` an action that stops is the last one, as action N is in any case: its label is
    the answer, its location is ignored. At the end `info` holds `label`, the true class, and `is_success`.

    ## Arguments
    Every setting of `attention_env.options.GlimpseOptions`. A single environment gives NumPy arrays on the CPU.
    """

    vector_class: ClassVar[type[GlimpseVectorEnv]] = GlimpseVectorEnv
    batch: GlimpseVectorEnv

    def __init__(self, **settings: Any) -> None:
        """Make a batched environment with one row."""
        super().__init__(**settings)
        self._row: OneRow | None = None

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Start an episode; `options` may hold "index" (a whole number) and "location" ([x, y]).

        Raises:
            ValueError: for options of a wrong name, shape or range.
        """
        observation, info = super().reset(seed=seed, options=options)
        self._row = OneRow(self.batch) if is_plain(self.batch.settings) and not self.batch.acts else None
        return observation, info

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """Take one action.

        Raises:
            attention_env.actions.ActionError: if the action is outside the space.
            gymnasium.error.ResetNeeded: before `reset` and after the end of an episode.
        """
        if self._row is not None:
            return self._row.step(self.batch.action_format.decode(one_row(action), 1))
        return super().step(action)

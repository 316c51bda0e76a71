"""The glimpse environment: name what is in a picture that is seen only through a retina.

The batched environment is the truth; the single one is that with one row.
"""

from __future__ import annotations

from typing import Any, ClassVar

import gymnasium as gym
import numpy as np
import torch
from gymnasium.utils import EzPickle
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray
from torch import Tensor

from attention_env.actions import ACTION_FORMATS, ActionError, Decision
from attention_env.distortion import Distortion
from attention_env.envs.one_row import OneRow, is_plain
from attention_env.options import GlimpseOptions
from attention_env.rendering import draw_frame
from attention_env.retina import Prepared, Retina, direction
from attention_env.scenes import Scene, load_scenes
from attention_env.sources import load_pictures

METADATA: dict[str, Any] = {"render_modes": ["rgb_array"], "render_fps": 2}
# Fewer rows than this keep their pictures as floats, which saves an operation per step.
FEW = 16
RESET_OPTIONS = ("index", "location", "reset_mask", "copies")


class GlimpseVectorEnv(EzPickle, VectorEnv[Any, Any, Any]):
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

    defaults: ClassVar[dict[str, Any]] = {}
    acts: ClassVar[bool] = False
    """Whether the label counts at every step, as something done to a world that moves, and not as the answer at the end."""

    def __init__(self, num_envs: int = 1, **settings: Any) -> None:
        """Make the spaces and load the pictures; no tensor is computed before the first `reset`."""
        EzPickle.__init__(self, num_envs=num_envs, **settings)
        if num_envs < 1:
            raise ValueError(f"num_envs must be at least 1, got {num_envs}")
        self.settings = GlimpseOptions.of(self.defaults, settings)
        self.num_envs = num_envs
        self.render_mode = self.settings.render_mode
        self.autoreset_mode = AutoresetMode(self.settings.autoreset_mode)
        self.metadata = {**METADATA, "autoreset_mode": self.autoreset_mode}

        self.pictures, self.scene = self._load()
        interpolation = "bilinear" if self.settings.free else self.settings.interpolation
        self.retina = Retina(self.settings.glimpse_size, self.settings.scales, interpolation, self.settings.free)
        self.distortion = None if self.settings.distortion is None else Distortion(**self.settings.distortion)
        self.action_format = ACTION_FORMATS[self.settings.action_format](
            self.pictures.classes, self.settings.grid, self.settings.zoom, self.settings.rotate, self.settings.stop
        )

        size, channels = self.settings.glimpse_size, self.settings.scales * self.pictures.shape[0]
        self.single_action_space = self.action_format.space
        self.single_observation_space = gym.spaces.Dict(
            glimpse=gym.spaces.Box(0.0, 1.0, (channels, size, size), np.float32),
            location=gym.spaces.Box(-1.0, 1.0, (2,), np.float32),
            remaining=gym.spaces.Box(0.0, 1.0, (1,), np.float32),
        )
        if self.settings.zoom:
            self.single_observation_space["zoom"] = gym.spaces.Box(-1.0, 1.0, (1,), np.float32)
        if self.settings.rotate:
            self.single_observation_space["rotation"] = gym.spaces.Box(-1.0, 1.0, (2,), np.float32)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self.observation_space = batch_space(self.single_observation_space, num_envs)

        self.device = torch.device(self.settings.device)
        self._generator: torch.Generator | None = None
        self._shown: Prepared | None = None
        # While all rows are in step (no row ever ends or starts before the others) one number and one flag stand for all of
        # them, and nothing has to be asked of the device; otherwise both are tensors with one element per row.
        self._turn: int | Tensor = 0
        self._ended: bool | Tensor = False
        # Actions since all rows started together, where the device shall not be asked which have ended; None where it is.
        self._unasked: int | None = None
        self._valid: Tensor

    # What Gymnasium asks for ----------------------------------------------------------------------------------------

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Start new episodes, in all rows or in those of `options["reset_mask"]`.

        Raises:
            ValueError: for options of a wrong name, shape or range.
            attention_env.actions.ActionError: if an invalid action on the device has not been reported yet.
        """
        super().reset(seed=seed)
        if self._generator is None or seed is not None:
            self._generator = torch.Generator(self.device).manual_seed(int(self.np_random.integers(2**63)))
        mask, index, location, copies = self._read_options(options or {})
        if mask is None or self._shown is None or bool(mask.all()):
            if self._unasked:
                self._report_invalid()
            self._start_all(index, location, copies)
            self._valid = torch.ones((), dtype=torch.bool, device=self.device)
        else:
            rows = mask.nonzero()[:, 0]
            self._start_rows(rows, None if index is None else index[rows], None if location is None else location[rows])
        return self._leave(self._observation()), {}

    def step(self, actions: Any) -> tuple[Any, Any, Any, Any, dict[str, Any]]:
        """Take one action per row.

        Raises:
            attention_env.actions.ActionError: if an action is outside the space.
            gymnasium.error.ResetNeeded: before the first `reset`, and under "Disabled" autoreset after the end of all episodes.
        """
        if self._shown is None:
            raise gym.error.ResetNeeded("call reset() before step()")
        resting: Tensor | None = None
        if self.autoreset_mode == AutoresetMode.DISABLED:
            if self._all_have_ended():
                raise gym.error.ResetNeeded(
                    "every episode has ended; without autoreset, reset() them (or some, by options['reset_mask'])"
                )
            resting = self._ended if isinstance(self._ended, Tensor) else None
        decision = self.action_format.decode(actions, self.num_envs, resting)
        if decision.valid is not None:
            self._valid = self._valid & decision.valid

        infos: dict[str, Any] = {}
        if self.autoreset_mode == AutoresetMode.NEXT_STEP and _any(self._ended):
            rewards, self._ended = self._restart_or_advance(decision)
        else:
            rewards, self._ended = self._advance(decision, resting)
        ended = self._ended
        just_ended = ended if resting is None else ended & ~resting
        if self._unasked is not None or _any(just_ended):
            infos = self._final_infos(just_ended, decision)
            if self.autoreset_mode == AutoresetMode.SAME_STEP:
                infos = self._restart_at_once(ended, infos)
        if self._unasked == self.settings.glimpses or (self._unasked is None and infos):
            self._report_invalid()
        return (
            self._leave(self._observation()),
            self._per_row(rewards, np.float64, torch.float32),
            self._per_row(ended, np.bool_, torch.bool),
            self._per_row(False, np.bool_, torch.bool),
            self._leave(infos),
        )

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

    def started(self) -> tuple[Prepared, Tensor, Tensor]:
        """Return what the rows' present episodes are played with: prepared pictures, labels (n,) and locations (n, 2).

        Raises:
            gymnasium.error.ResetNeeded: before the first `reset`.
        """
        if self._shown is None:
            raise gym.error.ResetNeeded("call reset() before started()")
        return self._shown, self._labels, self._location

    def random_state(self) -> Tensor:
        """Return the generator's state, so that a training can be continued with the same pictures.

        Raises:
            gymnasium.error.ResetNeeded: before the first `reset`.
        """
        if self._generator is None:
            raise gym.error.ResetNeeded("call reset() before random_state()")
        return self._generator.get_state()

    def set_random_state(self, state: Tensor) -> None:
        """Take up a state that `random_state` returned."""
        self._generator = torch.Generator(self.device)
        self._generator.set_state(state)

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
        count = self.num_envs
        self._rows = torch.arange(count, device=self.device)
        self._shown, self._labels = self._draw(count, index, copies)
        self._location = self._first_location(count) if location is None else location
        self._pose = self._first_pose(count)
        in_step = not self.settings.lengths_differ
        self._turn = 0 if in_step else torch.zeros(count, dtype=torch.int64, device=self.device)
        self._ended = False if in_step else torch.zeros(count, dtype=torch.bool, device=self.device)
        disabled = self.autoreset_mode == AutoresetMode.DISABLED
        self._unasked = 0 if disabled and self.settings.output == "torch" and not in_step else None
        if self.render_mode is not None:
            self._paths: list[list[NDArray[np.float32]]] = [[place] for place in self._location.cpu().numpy().copy()]

    def _start_rows(self, rows: Tensor, index: Tensor | None, location: Tensor | None) -> None:
        """Start new episodes in some rows; from here on the rows are no longer in step."""
        assert self._shown is not None
        self._unasked = None
        if isinstance(self._turn, int):
            self._turn = self._full(self._turn, torch.int64)
        if isinstance(self._ended, bool):
            self._ended = self._full(self._ended, torch.bool)
        pictures, self._labels[rows] = self._draw(len(rows), index)
        self._shown.put(rows, pictures)
        # A tensor of its own: what earlier observations show must not change.
        self._location = self._location.index_copy(0, rows, self._first_location(len(rows)) if location is None else location)
        first = self._first_pose(len(rows))
        self._pose = {name: values.index_copy(0, rows, first[name]) for name, values in self._pose.items()}
        self._turn[rows] = 0
        self._ended = self._ended.index_fill(0, rows, False)
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
        return self.retina.prepare(_repeat(chosen, copies), few=self.num_envs < FEW), _repeat(labels[index], copies)

    def _whole_numbers(self, limit: int, shape: tuple[int, ...]) -> Tensor:
        """Draw whole numbers from 0 up to, not including, a limit."""
        return torch.randint(limit, shape, generator=self._generator, device=self.device)

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

    def _advance(self, decision: Decision, resting: Tensor | None) -> tuple[float | Tensor, bool | Tensor]:
        """Take one action in every row that does not rest.

        Args:
            decision: what the actions ask for.
            resting: (n,) bool, rows whose episode ended before; nothing of them changes. None if there are none.

        Returns:
            Rewards (n,), or one for all rows, and which episodes have ended, in this step or before.
        """
        self._turn = self._turn + (1 if resting is None else ~resting)
        if self._unasked is not None:
            self._unasked += 1
        ended: bool | Tensor = self._turn >= self.settings.glimpses
        if decision.answers is not None:
            ended = ended | decision.answers
        if resting is not None:
            ended = ended | resting
        if ended is not True:
            self._move_eye(decision, ended)
        self._move_world(decision, resting)
        if self.render_mode is not None:
            self._extend_paths(ended)
        rewards = self._rewards(decision, ended)
        return rewards if resting is None else torch.where(resting, 0.0, rewards), ended

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

    def _restart_or_advance(self, decision: Decision) -> tuple[float | Tensor, bool | Tensor]:
        """NEXT_STEP: rows whose episode ended in the step before start anew, their action ignored; the others go on."""
        restarting = self._ended
        if not isinstance(restarting, Tensor):
            self._start_all(None, None)
            return 0.0, self._ended
        rewards, self._ended = self._advance(decision, restarting)
        self._start_rows(restarting.nonzero()[:, 0], None, None)
        return rewards, self._ended

    def _restart_at_once(self, ended: bool | Tensor, infos: dict[str, Any]) -> dict[str, Any]:
        """SAME_STEP: start new episodes where one ended, keeping the old end's observation and infos aside."""
        mask = self._full(True, torch.bool) if ended is True else ended
        final = {"final_obs": self._final_observations(mask), "_final_obs": mask, "final_info": infos, "_final_info": mask}
        if ended is True:
            self._start_all(None, None)
        else:
            assert isinstance(ended, Tensor)
            self._start_rows(ended.nonzero()[:, 0], None, None)
        return final

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

    def _final_infos(self, ended: bool | Tensor, decision: Decision) -> dict[str, Tensor]:
        """Gather what is told at the end of episodes."""
        mask = self._full(True, torch.bool) if ended is True else ended
        assert isinstance(mask, Tensor)
        return {
            "label": self._labels * mask,
            "_label": mask.clone(),
            "is_success": self._right(decision) & mask,
            "_is_success": mask.clone(),
        }

    def _all_have_ended(self) -> bool:
        """Tell whether no row still plays, as far as that is known without asking the device when it shall not be asked."""
        if self._unasked is not None:
            return self._unasked >= self.settings.glimpses
        return self._ended if isinstance(self._ended, bool) else bool(self._ended.all())

    def _report_invalid(self) -> None:
        """Say, where episodes end, that a device action since the last report was outside the space."""
        if not self._valid:
            self._valid = torch.ones_like(self._valid)
            raise ActionError(
                f"an action of this episode was outside the space {self.single_action_space}, or its location not finite"
            )

    def _final_observations(self, mask: Tensor | bool) -> Any:
        """Give the ended rows' last observations: one dict per row, as Gymnasium has it, or one of batched tensors."""
        observation = self._observation()
        if self.settings.output == "torch":
            return observation
        final = np.full(self.num_envs, None, dtype=object)
        arrays = {key: value.numpy() for key, value in observation.items()}
        for row in np.flatnonzero(mask):
            final[row] = {key: array[row] for key, array in arrays.items()}
        return final

    # Odds and ends --------------------------------------------------------------------------------------------------

    def _full(self, value: float, dtype: torch.dtype) -> Tensor:
        return torch.full((self.num_envs,), value, dtype=dtype, device=self.device)

    def _per_row(self, value: float | Tensor, kind: type[np.generic], dtype: torch.dtype) -> Any:
        """One value per row, in an array or tensor of its own."""
        if self.settings.output == "torch":
            return value.to(dtype, copy=True) if isinstance(value, Tensor) else self._full(value, dtype)
        if isinstance(value, Tensor):
            return value.numpy().astype(kind)
        return np.full(self.num_envs, value, kind) if value else np.zeros(self.num_envs, kind)

    def _leave(self, tensors: Any) -> Any:
        """Bring a dictionary of tensors, nested perhaps, to the output asked for."""
        if self.settings.output == "torch":
            return tensors
        if isinstance(tensors, dict):
            return {key: self._leave(value) for key, value in tensors.items()}
        return tensors.numpy() if isinstance(tensors, Tensor) else tensors

    def _extend_paths(self, ended: bool | Tensor) -> None:
        if ended is True:
            return
        stays = ended.tolist() if isinstance(ended, Tensor) else [False] * self.num_envs
        for path, place, stay in zip(self._paths, self._location.cpu().numpy().copy(), stays, strict=True):
            if not stay:
                path.append(place)

    def _read_options(self, options: dict[str, Any]) -> tuple[Tensor | None, Tensor | None, Tensor | None, int]:
        unknown = sorted(set(options) - set(RESET_OPTIONS))
        if unknown:
            raise ValueError(f"unknown reset option {', '.join(unknown)}: choose from {', '.join(RESET_OPTIONS)}")
        mask = self._option(options, "reset_mask", (self.num_envs,), "bool", "b")
        index = self._option(options, "index", (self.num_envs,), "whole numbers", "iu")
        location = self._option(options, "location", (self.num_envs, 2), "numbers", "fiu")
        if mask is not None and not bool(mask.any()):
            raise ValueError("reset option 'reset_mask' must select at least one row")
        if index is not None and not bool(((index >= 0) & (index < len(self.pictures))).all()):
            raise ValueError(f"index must be in 0 … {len(self.pictures) - 1}, the pictures of {self.pictures.name}")
        if location is not None and not bool((location.abs() <= 1).all()):
            raise ValueError("location must be finite and within [-1, 1]")
        copies = options.get("copies", 1)
        if (
            not isinstance(copies, int)
            or isinstance(copies, bool)
            or copies < 1
            or self.num_envs % copies
            or (copies > 1 and mask is not None)
        ):
            raise ValueError(f"copies must divide the {self.num_envs} rows, and all rows be reset, got {copies!r}")
        return mask, index, location, copies

    def _option(self, options: dict[str, Any], name: str, shape: tuple[int, ...], wanted: str, kinds: str) -> Tensor | None:
        """Read one reset option; `kinds` are NumPy's letters of the data types that will do."""
        value = options.get(name)
        if value is None:
            return None
        array = np.asarray(value.cpu() if isinstance(value, Tensor) else value)
        if array.dtype.kind not in kinds:
            raise ValueError(f"reset option {name!r} must be {wanted}, got {array.dtype}")
        value = value if isinstance(value, Tensor) else torch.from_numpy(array.copy())
        if tuple(value.shape) != shape:
            raise ValueError(f"reset option {name!r} must be of shape {shape}, got {tuple(value.shape)}")
        value = value.to(self.device, copy=True)  # the caller's tensor stays the caller's
        return value.float() if name == "location" else value.long() if name == "index" else value


def _repeat(rows: Tensor, copies: int) -> Tensor:
    """Repeat a batch as a whole."""
    return rows if copies == 1 else rows.repeat(copies, *[1] * (rows.dim() - 1))


def _any(flag: bool | Tensor) -> bool:
    return flag if isinstance(flag, bool) else bool(flag.any())


class GlimpseEnv(EzPickle, gym.Env[Any, Any]):
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
    metadata = METADATA

    def __init__(self, **settings: Any) -> None:
        """Make a batched environment with one row."""
        EzPickle.__init__(self, **settings)
        if settings.get("output", "numpy") != "numpy":
            raise ValueError("a single environment gives NumPy arrays: use gym.make_vec for output='torch'")
        self.batch = self.vector_class(num_envs=1, **{**settings, "autoreset_mode": AutoresetMode.DISABLED})
        self.observation_space = self.batch.single_observation_space
        self.action_space = self.batch.single_action_space
        self.render_mode = self.batch.render_mode
        self._row: OneRow | None = None

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Start an episode; `options` may hold "index" (a whole number) and "location" ([x, y]).

        Raises:
            ValueError: for options of a wrong name, shape or range.
        """
        super().reset(seed=seed)
        rows = {name: np.asarray(value)[None] for name, value in (options or {}).items()}
        observation, _ = self.batch.reset(seed=seed, options=rows)
        self._row = OneRow(self.batch) if is_plain(self.batch.settings) and not self.batch.acts else None
        return _first_row(observation), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """Take one action.

        Raises:
            attention_env.actions.ActionError: if the action is outside the space.
            gymnasium.error.ResetNeeded: before `reset` and after the end of an episode.
        """
        rows = (
            {name: np.asarray(value)[None] for name, value in action.items()}
            if isinstance(action, dict)
            else np.asarray(action)[None]
        )
        if self._row is not None:
            return self._row.step(self.batch.action_format.decode(rows, 1))
        observation, rewards, terminated, truncated, infos = self.batch.step(rows)
        info: dict[str, Any] = {name: infos[name][0].item() for name in ("label", "is_success") if name in infos}
        return _first_row(observation), float(rewards[0]), bool(terminated[0]), bool(truncated[0]), info

    def render(self) -> Any:
        """Draw the picture, the boxes of all scales, the path so far, and what the retina sees: (H, W, 3) uint8."""
        frames = self.batch.render()
        return None if frames is None else frames[0]


def _first_row(observation: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    return {key: array[0] for key, array in observation.items()}

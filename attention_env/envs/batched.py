"""What all environments of this package have in common: many rows in one, and the single one, which is that with one row."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, ClassVar, Generic, Protocol, TypeVar

import gymnasium as gym
import numpy as np
import torch
from gymnasium.utils import EzPickle
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray
from torch import Tensor

from attention_env.actions import ActionError
from attention_env.options import BatchOptions, is_whole

METADATA: dict[str, Any] = {"render_modes": ["rgb_array"], "render_fps": 2}


class Asked(Protocol):
    """What a batch of actions asks for."""

    @property
    def valid(self) -> Tensor | None:
        """() bool tensor, false if a device action was outside the space; None for NumPy actions, which are checked at once."""


class Collection(Protocol):
    """What episodes are about, pictures mostly."""

    @property
    def name(self) -> str:
        """What to call them in messages."""

    def __len__(self) -> int:
        """Return how many there are."""


D = TypeVar("D", bound=Asked)


class BatchedVectorEnv(EzPickle, VectorEnv[Any, Any, Any], Generic[D]):
    """Many environments in one, all computed at once as tensors: resets, ends, autoreset, and the way in and out of the rows.

    A subclass says what an episode is. It calls `_lay_out` in its constructor, and its episodes are begun by `_start_all` and
    `_start_rows`, played by `_decode`, `_ends` and `_act`, and shown by `_observation` and `_tell`.
    """

    defaults: ClassVar[dict[str, Any]] = {}
    options: ClassVar[type[BatchOptions]]
    """Kind of the settings."""
    settings: BatchOptions
    own_option: ClassVar[str]
    """Reset option beside "index", "reset_mask" and "copies"."""

    def __init__(self, num_envs: int = 1, **settings: Any) -> None:
        """Check the settings; no tensor is computed before the first `reset`."""
        EzPickle.__init__(self, num_envs=num_envs, **settings)
        if num_envs < 1:
            raise ValueError(f"num_envs must be at least 1, got {num_envs}")
        self.settings = self.options.of(self.defaults, settings)
        self.num_envs = num_envs
        self.render_mode = self.settings.render_mode
        self.autoreset_mode = AutoresetMode(self.settings.autoreset_mode)
        self.metadata = {**METADATA, "autoreset_mode": self.autoreset_mode}
        self.device = _find_device(self.settings.device)
        self._generator: torch.Generator | None = None
        self._begun = False
        # While all rows are in step (no row ever ends or starts before the others) one number and one flag stand for all of
        # them, and nothing has to be asked of the device; otherwise both are tensors with one element per row.
        self._turn: int | Tensor = 0
        self._ended: bool | Tensor = False
        # Actions since all rows started together, where the device shall not be asked which have ended; None where it is.
        self._unasked: int | None = None
        self._valid: Tensor

    def _lay_out(self, action: gym.Space[Any], observation: gym.spaces.Dict, collection: Collection, most: int) -> None:
        """Take up what the constructor found out.

        Args:
            action: action space of one environment.
            observation: observation space of one environment.
            collection: what "index" chooses from.
            most: actions after which every episode has ended.
        """
        self.single_action_space, self.single_observation_space = action, observation
        self.action_space = batch_space(action, self.num_envs)
        self.observation_space = batch_space(observation, self.num_envs)
        self._collection, self._most = collection, most

    # What Gymnasium asks for ----------------------------------------------------------------------------------------

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Start new episodes, in all rows or in those of `options["reset_mask"]`.

        Raises:
            ValueError: for options of a wrong name, shape or range.
            attention_env.actions.ActionError: where episodes on the device end apart, if an invalid action among them has not been
                reported yet. Elsewhere those of an episode that is cut short are forgotten.
        """
        super().reset(seed=seed)
        if self._generator is None or seed is not None:
            self._generator = torch.Generator(self.device).manual_seed(int(self.np_random.integers(2**63)))
        mask, index, own, copies = self._read_options(options or {})
        if mask is None or not self._begun or bool(mask.all()):
            if self._unasked:
                self._report_invalid()
            self._start_all(index, own, copies)
            self._valid = torch.ones((), dtype=torch.bool, device=self.device)
            self._begun = True
        else:
            rows = mask.nonzero()[:, 0]
            self._start_rows(rows, None if index is None else index[rows], None if own is None else own[rows])
        return self._leave(self._observation()), {}

    def step(self, actions: Any) -> tuple[Any, Any, Any, Any, dict[str, Any]]:
        """Take one action per row.

        Raises:
            attention_env.actions.ActionError: if an action is outside the space.
            gymnasium.error.ResetNeeded: before the first `reset`, and under "Disabled" autoreset after the end of all episodes.
        """
        self._need_reset_before("step")
        resting: Tensor | None = None
        if self.autoreset_mode == AutoresetMode.DISABLED:
            if self._all_have_ended():
                raise gym.error.ResetNeeded(
                    "every episode has ended; without autoreset, reset() them (or some, by options['reset_mask'])"
                )
            resting = self._ended if isinstance(self._ended, Tensor) else None
        ignored = resting
        if self.autoreset_mode == AutoresetMode.NEXT_STEP and _any(self._ended):  # of those that start anew in place of acting
            ignored = self._ended if isinstance(self._ended, Tensor) else self._full(True, torch.bool)
        decision = self._decode(actions, ignored)
        if decision.valid is not None:
            self._valid = self._valid & decision.valid

        infos: dict[str, Any] = {}
        if ignored is not resting:
            rewards, self._ended = self._restart_or_advance(decision)
        else:
            rewards, self._ended = self._advance(decision, resting)
        ended = self._ended
        just_ended = ended if resting is None else ended & ~resting
        if self._unasked is not None or _any(just_ended):
            infos = self._final_infos(just_ended, decision)
            if self.autoreset_mode == AutoresetMode.SAME_STEP:
                infos = self._restart_at_once(ended, infos)
        if self._unasked == self._most or (self._unasked is None and infos):
            self._report_invalid()
        return (
            self._leave(self._observation()),
            self._per_row(rewards, np.float64, torch.float32),
            self._per_row(ended, np.bool_, torch.bool),
            self._per_row(False, np.bool_, torch.bool),
            self._leave(infos),
        )

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

    # What an episode is: for subclasses to say ------------------------------------------------------------------------

    def _start_all(self, index: Tensor | None, own: Tensor | None, copies: int = 1) -> None:
        """Start new episodes in all rows.

        Args:
            index: (n,) int64, what they are about; drawn at random if None.
            own: what `own_option` says, likewise.
            copies: of how many rows that are alike there is one each.
        """
        self._rows = torch.arange(self.num_envs, device=self.device)
        in_step = not self.settings.lengths_differ
        self._turn = 0 if in_step else self._full(0, torch.int64)
        self._ended = False if in_step else self._full(False, torch.bool)
        disabled = self.autoreset_mode == AutoresetMode.DISABLED
        self._unasked = 0 if disabled and self.settings.output == "torch" and not in_step else None

    def _start_rows(self, rows: Tensor, index: Tensor | None, own: Tensor | None) -> None:
        """Start new episodes in some rows (m,), of whose `index` and `own` there are m; from here on rows are not in step."""
        self._unasked = None
        turn = self._full(self._turn, torch.int64) if isinstance(self._turn, int) else self._turn
        ended = self._full(self._ended, torch.bool) if isinstance(self._ended, bool) else self._ended
        self._turn, self._ended = turn.index_fill(0, rows, 0), ended.index_fill(0, rows, False)

    @abstractmethod
    def _decode(self, actions: Any, resting: Tensor | None) -> D:
        """Read a batch of actions, of which those of rows that rest (n,) count for nothing.

        Raises:
            ActionError: if NumPy actions do not belong to the batched space, or tensors have a wrong shape or type.
        """

    @abstractmethod
    def _ends(self, decision: D) -> bool | Tensor:
        """Tell which episodes end with this action, of which `_turn` counts already: (n,) bool, or one for all rows."""

    @abstractmethod
    def _act(self, decision: D, ended: bool | Tensor, resting: Tensor | None) -> float | Tensor:
        """Do what the actions ask for, except in rows that rest, and give the rewards: (n,), or one for all rows."""

    @abstractmethod
    def _observation(self) -> dict[str, Tensor]:
        """Show every row's present state; what is returned is the taker's own."""

    @abstractmethod
    def _tell(self, decision: D) -> dict[str, Tensor]:
        """Give what is told of every episode at its end, (n, ...) each."""

    @abstractmethod
    def _read_own(self, options: dict[str, Any]) -> Tensor | None:
        """Read the reset option named `own_option`, which has n rows.

        Raises:
            ValueError: for a wrong shape, type or range.
        """

    # Episodes -------------------------------------------------------------------------------------------------------

    def _advance(self, decision: D, resting: Tensor | None) -> tuple[float | Tensor, bool | Tensor]:
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
        ended = self._ends(decision)
        if resting is not None:
            ended = ended | resting
        rewards = self._act(decision, ended, resting)
        return rewards if resting is None else torch.where(resting, 0.0, rewards), ended

    def _restart_or_advance(self, decision: D) -> tuple[float | Tensor, bool | Tensor]:
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

    def _final_infos(self, ended: bool | Tensor, decision: D) -> dict[str, Tensor]:
        """Gather what is told at the end of episodes, zeros for all others, and Gymnasium's masks."""
        mask = self._full(True, torch.bool) if ended is True else ended
        assert isinstance(mask, Tensor)
        infos = {}
        for name, values in self._tell(decision).items():
            infos[name] = values * mask.view(-1, *[1] * (values.dim() - 1))
            infos[f"_{name}"] = mask.clone()
        return infos

    def _all_have_ended(self) -> bool:
        """Tell whether no row still plays, as far as that is known without asking the device when it shall not be asked."""
        if self._unasked is not None:
            return self._unasked >= self._most
        return self._ended if isinstance(self._ended, bool) else bool(self._ended.all())

    def _report_invalid(self) -> None:
        """Say, where episodes end, that a device action since the last report was outside the space.

        While a CUDA graph is taken down the device cannot be asked.
        """
        if self._valid.is_cuda and torch.cuda.is_current_stream_capturing():
            return
        if not self._valid:
            self._valid = torch.ones_like(self._valid)
            raise ActionError(
                f"an action of this episode was outside the space {self.single_action_space}, or a number in it not finite"
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

    def _need_reset_before(self, method: str) -> None:
        """Raise `ResetNeeded` before the first `reset`."""
        if not self._begun:
            raise gym.error.ResetNeeded(f"call reset() before {method}()")

    def _whole_numbers(self, limit: int, shape: tuple[int, ...]) -> Tensor:
        """Draw whole numbers from 0 up to, not including, a limit."""
        return torch.randint(limit, shape, generator=self._generator, device=self.device)

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

    def _read_options(self, options: dict[str, Any]) -> tuple[Tensor | None, Tensor | None, Tensor | None, int]:
        known = ("index", self.own_option, "reset_mask", "copies")
        unknown = sorted(set(options) - set(known))
        if unknown:
            raise ValueError(f"unknown reset option {', '.join(unknown)}: choose from {', '.join(known)}")
        mask = self._option(options, "reset_mask", (), "bool", "b")
        index = self._option(options, "index", (), "whole numbers", "iu")
        own = self._read_own(options)
        if mask is not None and not bool(mask.any()):
            raise ValueError("reset option 'reset_mask' must select at least one row")
        if index is not None and not bool(((index >= 0) & (index < len(self._collection))).all()):
            raise ValueError(f"index must be in 0 … {len(self._collection) - 1}, the pictures of {self._collection.name}")
        copies = options.get("copies", 1)
        if not is_whole(copies) or copies < 1 or self.num_envs % copies or (copies > 1 and mask is not None):
            raise ValueError(f"copies must divide the {self.num_envs} rows, and all rows be reset, got {copies!r}")
        return mask, index, own, int(copies)

    def _option(self, options: dict[str, Any], name: str, shape: tuple[int, ...], wanted: str, kinds: str) -> Tensor | None:
        """Read one reset option, (n, *shape); `kinds` are NumPy's letters of the data types that will do."""
        value = options.get(name)
        if value is None:
            return None
        array = np.asarray(value.cpu() if isinstance(value, Tensor) else value)
        if array.dtype.kind not in kinds:
            raise ValueError(f"reset option {name!r} must be {wanted}, got {array.dtype}")
        value = value if isinstance(value, Tensor) else torch.from_numpy(array.copy())
        if tuple(value.shape) != (self.num_envs, *shape):
            raise ValueError(f"reset option {name!r} must be of shape {(self.num_envs, *shape)}, got {tuple(value.shape)}")
        value = value.to(self.device, copy=True)  # the caller's tensor stays the caller's
        return value.float() if "f" in kinds else value.long() if "i" in kinds else value


class SingleEnv(EzPickle, gym.Env[Any, Any]):
    """One environment: the batched one with one row."""

    vector_class: ClassVar[type[BatchedVectorEnv[Any]]]
    batch: BatchedVectorEnv[Any]
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

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Start an episode; `options` may hold what the batched environment's may, for one row.

        Raises:
            ValueError: for options of a wrong name, shape or range.
        """
        super().reset(seed=seed)
        rows = {name: value if name == "copies" else np.asarray(value)[None] for name, value in (options or {}).items()}
        observation, _ = self.batch.reset(seed=seed, options=rows)
        return _first_row(observation), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """Take one action.

        Raises:
            attention_env.actions.ActionError: if the action is outside the space.
            gymnasium.error.ResetNeeded: before `reset` and after the end of an episode.
        """
        observation, rewards, terminated, truncated, infos = self.batch.step(one_row(action))
        info = {name: _plain(values[0]) for name, values in infos.items() if not name.startswith("_")}
        return _first_row(observation), float(rewards[0]), bool(terminated[0]), bool(truncated[0]), info

    def render(self) -> Any:
        """Draw the present moment, (H, W, 3) uint8; None without a render mode."""
        frames = self.batch.render()
        return None if frames is None else frames[0]


def _find_device(name: str) -> torch.device:
    """Find a device by its name, and see that it is there, which starts nothing on it.

    Raises:
        ValueError: if PyTorch has no such device.
    """
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise ValueError(f"device={name!r} is none that PyTorch knows: use 'cpu', 'cuda' or 'cuda:1', say") from error
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        there = f"{torch.cuda.device_count()} of them" if torch.cuda.is_available() else "none, so that 'cpu' is left"
        raise ValueError(f"device={name!r} is a GPU that PyTorch does not find here: it finds {there}")
    return device


def one_row(action: Any) -> Any:
    """Make a batch of one of an action."""
    if isinstance(action, dict):
        return {name: np.asarray(value)[None] for name, value in action.items()}
    return np.asarray(action)[None]


def repeat_batch(rows: Tensor, copies: int) -> Tensor:
    """Repeat a batch as a whole."""
    return rows if copies == 1 else rows.repeat(copies, *[1] * (rows.dim() - 1))


def _first_row(observation: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    return {key: array[0] for key, array in observation.items()}


def _plain(value: Any) -> Any:
    """Give a number or flag as Python's own, as Gymnasium wants it in information; arrays stay as they are."""
    return value if value.ndim else value.item()


def _any(flag: bool | Tensor) -> bool:
    return flag if isinstance(flag, bool) else bool(flag.any())

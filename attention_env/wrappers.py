"""The glimpse history, for learners without a memory.

An observation holds one glimpse. Whoever acts on it alone has forgotten all that it saw before; with these wrappers it sees every
glimpse of the episode so far, each in the slot of its step, and may be any network without recurrence. `GlimpseHistory` is for
the single environment, `VectorGlimpseHistory` for the batched one; both show the same.
"""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
import torch
from gymnasium.utils import RecordConstructorArgs
from gymnasium.vector import AutoresetMode, VectorEnv, VectorWrapper
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray
from torch import Tensor

from attention_env.actions import ActionError
from attention_env.envs.glimpse import GlimpseEnv, GlimpseVectorEnv

# What histories are made of; an environment without zoom or rotation has no such history.
PARTS = {"glimpses": "glimpse", "locations": "location", "zooms": "zoom", "rotations": "rotation"}


class GlimpseHistory(gym.Wrapper[Any, Any, Any, Any], RecordConstructorArgs):
    """Shows all glimpses of the episode so far instead of the last one.

    The observation becomes `Dict(glimpses=Box(0, 1, (N, C, g, g)), locations=Box(-1, 1, (N, 2)), seen=Box(0, 1, (N,)))`, all
    float32, N being the environment's `glimpses`: slot t holds the glimpse that was taken at step t, slot 0 the one that `reset`
    shows. `seen` is 1 where a glimpse is; slots that are not reached yet are 0. The step that ends an episode takes no glimpse,
    so its observation is the one before. With the environment's switches come `zooms=Box(-1, 1, (N, 1))` and
    `rotations=Box(-1, 1, (N, 2))`.

    Args:
        env: a glimpse environment, perhaps in wrappers that leave its observation as it is.

    Raises:
        TypeError: if it is another environment.
        ValueError: if a wrapper below has changed the observation.
    """

    def __init__(self, env: gym.Env[Any, Any]) -> None:
        RecordConstructorArgs.__init__(self)
        gym.Wrapper.__init__(self, env)
        if not isinstance(env.unwrapped, GlimpseEnv):
            raise TypeError(f"GlimpseHistory needs a glimpse environment, one of attention_env; got {env.unwrapped}")
        self._shapes = _history_shapes(env.observation_space, env.unwrapped.batch.settings.glimpses)
        self.observation_space = _history_space(self._shapes)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Start an episode; the arguments are the environment's."""
        observation, info = self.env.reset(seed=seed, options=options)
        self._history = {name: np.zeros(shape, np.float32) for name, shape in self._shapes.items()}
        self._slot = 0
        self._add(observation)
        return self._shown(), info

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """Take one action; what is raised is the environment's."""
        observation, reward, terminated, truncated, info = self.env.step(action)
        if not terminated:
            self._slot += 1
            self._add(observation)
        return self._shown(), float(reward), terminated, truncated, info

    def _add(self, observation: dict[str, NDArray[np.float32]]) -> None:
        for name, slots in self._history.items():
            slots[self._slot] = 1 if name == "seen" else observation[PARTS[name]]

    def _shown(self) -> dict[str, NDArray[np.float32]]:
        """Give the history in arrays of its own."""
        return {key: array.copy() for key, array in self._history.items()}


class VectorGlimpseHistory(VectorWrapper):
    """Shows in every row all glimpses of its episode so far; `GlimpseHistory` describes the observation.

    NumPy arrays or tensors on the environment's device, as its `output` says; no step waits for the device because of this. Under
    "SameStep" autoreset "final_obs" holds the histories of the episodes that have ended.

    Args:
        env: a batched glimpse environment, perhaps in wrappers that leave its observation as it is.

    Raises:
        TypeError: if it is another environment.
        ValueError: if a wrapper below has changed the observation.
    """

    def __init__(self, env: VectorEnv[Any, Any, Any]) -> None:
        super().__init__(env)
        if not isinstance(env.unwrapped, GlimpseVectorEnv):
            raise TypeError(
                "VectorGlimpseHistory needs a batched glimpse environment, as gym.make_vec makes it of the ids of attention_env; "
                f"got {env.unwrapped} (wrap single ones by GlimpseHistory before they are batched)"
            )
        self._length = env.unwrapped.settings.glimpses
        self._shapes = _history_shapes(env.single_observation_space, self._length)
        self.single_observation_space = _history_space(self._shapes)
        self.observation_space = batch_space(self.single_observation_space, self.num_envs)
        self._in_same_step = env.unwrapped.autoreset_mode == AutoresetMode.SAME_STEP
        self._numpy = env.unwrapped.settings.output == "numpy"
        self._device = env.unwrapped.device
        self._begun = False

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Start new episodes in all rows or in those of `options["reset_mask"]`; the arguments are the environment's."""
        observation, infos = self.env.reset(seed=seed, options=options)
        mask = None if options is None else options.get("reset_mask")
        slot = torch.zeros(self.num_envs, dtype=torch.int64, device=self._device)
        if mask is None or not self._begun:
            self._begin()
            mask = torch.ones_like(slot, dtype=torch.bool)
        self._add(observation, slot, torch.as_tensor(mask, device=self._device))
        return self._histories(), infos

    def step(self, actions: Any) -> tuple[Any, Any, Any, Any, dict[str, Any]]:
        """Take one action per row; what is raised is the environment's.

        An invalid action on a device is reported late. Rows have gone on by then, and what they saw in that step is lost: whoever
        goes on without a reset finds `seen` to be 0 in the slots up to there.
        """
        try:
            observation, rewards, terminated, truncated, infos = self.env.step(actions)
        except ActionError:
            if not self._numpy:
                self._seen.zero_()
            raise
        if "final_obs" in infos:
            infos["final_obs"] = self._final(infos["_final_obs"])
        remaining = torch.as_tensor(observation["remaining"])[:, 0]
        slot = self._length - (remaining * self._length).round().long()  # the number of actions so far
        looked = ~torch.as_tensor(terminated)
        # Under "SameStep" a row that has ended shows the first glimpse of its next episode.
        self._add(observation, slot, torch.ones_like(looked) if self._in_same_step else looked)
        return self._histories(), rewards, terminated, truncated, infos

    def _begin(self) -> None:
        """Make an empty history in every row."""
        self._begun = True
        self._slots = torch.arange(self._length, device=self._device)
        self._shown = {
            name: torch.zeros(self.num_envs, *shape, device=self._device) for name, shape in self._shapes.items() if name != "seen"
        }
        self._seen = torch.zeros(self.num_envs, *self._shapes["seen"], dtype=torch.bool, device=self._device)

    def _add(self, observation: dict[str, Any], slot: Tensor, looked: Tensor) -> None:
        """Put glimpses into their slots and forget what is in later ones, which an earlier episode has left there.

        Args:
            observation: the environment's.
            slot: (n,) int64.
            looked: (n,) bool, rows that show a new glimpse; the others stay as they are.
        """
        here = looked[:, None] & (self._slots == slot[:, None])  # (n, N)
        later = looked[:, None] & (self._slots > slot[:, None])
        self._shown = {
            name: torch.where(_like(here, slots), torch.as_tensor(observation[PARTS[name]])[:, None], slots)
            for name, slots in self._shown.items()
        }
        self._seen = (self._seen | here) & ~later

    def _histories(self) -> dict[str, Any]:
        """Give the histories in tensors or arrays of their own."""
        empty = ~self._seen
        histories = {name: slots.masked_fill(_like(empty, slots), 0.0) for name, slots in self._shown.items()}
        histories["seen"] = self._seen.float()
        return {key: tensor.numpy() for key, tensor in histories.items()} if self._numpy else histories

    def _final(self, mask: Any) -> Any:
        """Give the histories of the rows that have ended, in the environment's form; called before their slots are cleared."""
        histories = self._histories()
        if not self._numpy:
            return histories
        final = np.full(self.num_envs, None, dtype=object)
        for row in np.flatnonzero(mask):
            final[row] = {key: array[row] for key, array in histories.items()}
        return final


def _like(mask: Tensor, slots: Tensor) -> Tensor:
    """Bring a mask (n, N) to as many axes as what it is for, (n, N, …)."""
    return mask.view(*mask.shape, *[1] * (slots.dim() - 2))


def _history_shapes(space: gym.Space[Any], glimpses: int) -> dict[str, tuple[int, ...]]:
    """Tell the shapes of the histories of one environment's observations.

    Raises:
        ValueError: if those are not a glimpse environment's.
    """
    if not isinstance(space, gym.spaces.Dict) or not {"glimpse", "location", "remaining"} <= space.keys():
        raise ValueError(f"a history is made of observations with 'glimpse', 'location' and 'remaining': wrap those, not {space}")
    shapes = {name: (glimpses, *(space[part].shape or ())) for name, part in PARTS.items() if part in space.spaces}
    return {**shapes, "seen": (glimpses,)}


def _history_space(shapes: dict[str, tuple[int, ...]]) -> gym.spaces.Dict:
    low = {"glimpses": 0.0, "locations": -1.0, "zooms": -1.0, "rotations": -1.0, "seen": 0.0}
    return gym.spaces.Dict({name: gym.spaces.Box(low[name], 1.0, shape, np.float32) for name, shape in shapes.items()})

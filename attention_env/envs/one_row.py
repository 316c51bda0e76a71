"""One episode in NumPy and plain numbers.

For a single picture an operation on tensors costs more than what it computes. The batched environment says what an episode
is; this plays the same one, twice as fast, where there is one row and its settings are plain.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import gymnasium as gym
import numpy as np
import torch

from attention_env.actions import Decision
from attention_env.options import GlimpseOptions

if TYPE_CHECKING:
    from attention_env.envs.glimpse import GlimpseVectorEnv

Step = tuple[dict[str, Any], float, bool, bool, dict[str, Any]]


def is_plain(settings: GlimpseOptions) -> bool:
    """Tell whether `OneRow` can play an environment of these settings."""
    plain_retina = settings.scales == 1 and settings.interpolation == "nearest" and not settings.free
    plain_episode = not settings.lengths_differ and not settings.step_cost
    return plain_retina and plain_episode and settings.render_mode is None


class OneRow:
    """The episode that a batched environment with one row has just started.

    Args:
        batch: that environment, after its `reset`.
    """

    def __init__(self, batch: GlimpseVectorEnv) -> None:
        settings = batch.settings
        pictures, labels, self._location = batch.started()
        self._label = int(labels)
        self._pixels, self._size = pictures.pixels.numpy()[0], settings.glimpse_size
        self._edge, self._half_size = batch.retina.fine_places(pictures)
        self._moved = batch.moved
        self._glimpses, self._dense, self._turn = settings.glimpses, settings.reward == "dense", 0

    def step(self, decision: Decision) -> Step:
        """Take one action, as `GlimpseEnv.step` does.

        Raises:
            gymnasium.error.ResetNeeded: after the end of the episode.
        """
        if self._turn == self._glimpses:
            raise gym.error.ResetNeeded("the episode has ended: reset() the environment")
        self._turn += 1
        ended = self._turn == self._glimpses
        if not ended:
            self._location = self._moved(self._location, decision.location)
        right = int(decision.label) == self._label
        reward = right / self._glimpses if self._dense else float(right and ended)
        info = {"label": self._label, "is_success": right} if ended else {}
        return self._observation(), reward, ended, False, info

    def _observation(self) -> dict[str, Any]:
        # Computed as the batch does it, so that rounding is the same to the pixel.
        x, y = map(int, torch.addcmul(self._edge, self._location, self._half_size)[0].tolist())
        return {
            "glimpse": self._pixels[:, y : y + self._size, x : x + self._size].copy(),
            "location": self._location.numpy()[0].copy(),
            "remaining": np.array([(self._glimpses - self._turn) / self._glimpses], np.float32),
        }

"""Making the batched environments that agents are trained and scored in."""

from __future__ import annotations

from typing import Any

import gymnasium as gym

from attention_env.envs.glimpse import GlimpseVectorEnv


def make_batch(env: str, count: int, **settings: Any) -> GlimpseVectorEnv:
    """Make a batched glimpse environment.

    Args:
        env: an id of attention_env.
        count: number of rows.
        settings: those of `attention_env.options.GlimpseOptions`.

    Raises:
        ValueError: if it is another environment, or takes no such settings.
    """
    try:
        batch = gym.make_vec(env, num_envs=count, **settings)
    except TypeError as error:
        raise ValueError(f"{env} is not a glimpse environment, or not with these settings: {error}") from error
    if not isinstance(batch, GlimpseVectorEnv):
        raise ValueError(f"{env} is not a glimpse environment: agents here need one of attention_env")
    return batch

"""Playing an environment without a thought."""

from __future__ import annotations

from typing import Any

import gymnasium as gym


def play(env: gym.Env[Any, Any], seed: int, steps: int = 25) -> list[Any]:
    """Take sampled actions, resetting at each episode's end; return all that came back."""
    env.action_space.seed(seed)
    results: list[Any] = [env.reset(seed=seed)]
    for _ in range(steps):
        result = env.step(env.action_space.sample())
        results.append(result)
        if result[2]:
            results.append(env.reset())
    return results

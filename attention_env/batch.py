"""Making the batched environments that agents are trained and scored in."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol, TypeVar

import gymnasium as gym
import numpy as np
import torch
from gymnasium.vector import AutoresetMode, VectorEnv
from numpy.typing import NDArray

from attention_env.envs.glimpse import GlimpseVectorEnv
from attention_env.options import UnknownSettingError
from attention_env.scenes import Scene

Batch = TypeVar("Batch", bound=VectorEnv[Any, Any, Any])
"""A batched environment."""


@contextmanager
def plain_errors(env: str) -> Iterator[None]:
    """Say what is wrong with an environment's name or settings where gymnasium leaves it to Python, or to be guessed.

    Raises:
        ValueError: if it takes no such settings, its module is not found, or there is no such environment.
    """
    try:
        yield
    except UnknownSettingError as error:
        raise ValueError(f"{env} cannot be made: {error}") from error
    except TypeError as error:
        raise ValueError(f"{env} is not a glimpse environment, or not with these settings: {error}") from error
    except ModuleNotFoundError as error:
        raise ValueError(f"{env} names a module that Python does not find (is its folder on PYTHONPATH?): {error}") from error
    except gym.error.UnregisteredEnv as error:
        ours, meant = [name for name in gym.registry if name.startswith("attention_env/")], f"attention_env/{env}"
        hint = f"did you mean {meant}?" if meant in ours else f"here there are {', '.join(ours)}"
        raise ValueError(f"there is no environment {env}: {hint}") from error


def make_batch(env: str, count: int, **settings: Any) -> GlimpseVectorEnv:
    """Make a batched glimpse environment.

    Args:
        env: an id of attention_env.
        count: number of rows.
        settings: those of `attention_env.options.GlimpseOptions`.

    Raises:
        ValueError: if it is another environment, or takes no such settings.
    """
    with plain_errors(env):
        batch = gym.make_vec(env, num_envs=count, **settings)
    if not isinstance(batch, GlimpseVectorEnv):
        raise ValueError(f"{env} is not a glimpse environment: agents here need one of attention_env")
    return batch


class World(Protocol):
    """What the settings of whoever learns in an environment say of it."""

    @property
    def env(self) -> str:
        """Environment id."""

    @property
    def env_kwargs(self) -> dict[str, Any]:
        """Settings of the environment in training and evaluation."""

    @property
    def training_kwargs(self) -> dict[str, Any]:
        """Settings of the environment in training only, such as distortion."""


def make_split(world: World, device: torch.device, count: int, split: str, training: bool = False) -> GlimpseVectorEnv:
    """Make the batched environment of a split, as learning and scoring want it: torch output on the device, no autoreset.

    Args:
        world: names the environment and its settings.
        device: where everything is computed.
        count: number of rows.
        split: which pictures.
        training: whether the settings for training alone (`training_kwargs`) hold as well.

    Raises:
        ValueError: if it is no glimpse environment.
    """
    settings = {**world.env_kwargs, **(world.training_kwargs if training else {}), "split": split}
    return make_batch(world.env, count, **settings, output="torch", device=str(device), autoreset_mode=AutoresetMode.DISABLED)


def describe(world: World, environment: GlimpseVectorEnv) -> dict[str, Any]:
    """Say in which environment something was scored, as JSON can hold it: its settings decide on what a figure means.

    Args:
        world: names the environment and its settings.
        environment: made of them.

    Returns:
        Its id, "env"; "env_kwargs", what is not as registered; and of scenes the whole recipe, "scene".
    """
    scene = environment.settings.scene
    return {
        "env": world.env,
        **({"env_kwargs": world.env_kwargs} if world.env_kwargs else {}),
        **({} if scene is None else {"scene": dataclasses.asdict(Scene(**scene))}),
    }


def every_picture(make: Callable[[int], Batch], count: int, rows: int) -> Iterator[tuple[Batch, NDArray[np.int64]]]:
    """Go through the pictures of a split, each of them once.

    Args:
        make: makes the split's environment, with as many rows as it is told.
        count: number of pictures.
        rows: of the environment; it has fewer for the last pictures.

    Yields:
        The environment, and which pictures its rows are to be reset to, (n,).
    """
    environment = make(min(rows, count))
    for index in np.split(np.arange(count), range(rows, count, rows)):
        if environment.num_envs != len(index):
            environment = make(len(index))
        yield environment, index

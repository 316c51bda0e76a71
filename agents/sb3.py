"""The bridge to Stable-Baselines3: its learners in the batched environments, and scored as all agents here are.

`pip install -e ".[sb3]"`. For a single environment no bridge is needed:

    PPO("MultiInputPolicy", gym.make("attention_env/Digits-v0", action_format="saccade"), gamma=1.0)

What follows is many times as fast, sees glimpses by layers made for them, and counts errors over a whole split:

    environment = make_environment("attention_env/Digits-v0", 64, action_format="saccade", history=True)
    model = make_model("ppo", environment, seed=0, n_steps=48, batch_size=512)
    model.learn(500_000)
    print(score(model, "attention_env/Digits-v0", "test", action_format="saccade").error_rate)

Stable-Baselines3 takes no actions that are dictionaries, so `action_format` must be "grid", "saccade" or "box". It clips a "box"
to [-1, 1]: class scores beyond 1 become equals, of which the first wins. Less exploration than its standard deviation of 1 helps
there: `policy_kwargs={"log_std_init": -1.0}`.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from typing import Any

import gymnasium as gym
import numpy as np
import torch
import torch.nn.functional as F
from gymnasium.vector import AutoresetMode, VectorEnv
from numpy.typing import NDArray
from sb3_contrib import RecurrentPPO
from stable_baselines3 import A2C, PPO
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.on_policy_algorithm import OnPolicyAlgorithm
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from stable_baselines3.common.vec_env import VecEnv
from stable_baselines3.common.vec_env.base_vec_env import VecEnvIndices, VecEnvStepReturn
from torch import Tensor, nn

from agents.evaluate import CHUNK, Score, check_spaces, count_cells, coverage
from agents.looking import POSE
from agents.rival_config import FORMATS
from attention_env.batch import every_picture, make_batch
from attention_env.envs.glimpse import GlimpseVectorEnv
from attention_env.wrappers import VectorGlimpseHistory

ALGORITHMS: dict[str, tuple[type[OnPolicyAlgorithm], str]] = {
    "ppo": (PPO, "MultiInputPolicy"),
    "a2c": (A2C, "MultiInputPolicy"),
    "recurrent_ppo": (RecurrentPPO, "MultiInputLstmPolicy"),
}
HISTORY = "glimpses"
"""The part of an observation that tells a history from a single glimpse."""

# The environment --------------------------------------------------------------------------------------------------------


class SB3VecEnv(VecEnv):
    """A batched glimpse environment as Stable-Baselines3 wants it.

    At the end of an episode a row's information holds "terminal_observation", "episode" (return "r", length "l", seconds "t"
    since this was made, as `Monitor` reports them), "is_success" and, where there is one, "label"; "TimeLimit.truncated" is always
    False, since ends are terminations.

    `seed` seeds the one generator of the whole batch. `set_options` takes the single environment's reset options, one dictionary
    for all rows or one for each, such as [{"index": 3}, {"index": 5}].

    Args:
        environment: made with NumPy output, `autoreset_mode="SameStep"` and an `action_format` other than "dict"; perhaps in
            `VectorGlimpseHistory`.

    Raises:
        TypeError: if it is no batched glimpse environment.
        ValueError: if one of these settings is another.
    """

    def __init__(self, environment: VectorEnv[Any, Any, Any]) -> None:
        bare = _bare(environment)
        _refuse_dictionaries(environment.single_action_space)
        if bare.autoreset_mode != AutoresetMode.SAME_STEP:
            raise ValueError(f"SB3VecEnv needs autoreset_mode='SameStep', got {bare.autoreset_mode.value!r}")
        if bare.settings.output != "numpy":
            raise ValueError(f"SB3VecEnv needs output='numpy', got {bare.settings.output!r}")
        self.environment = environment
        self._start = time.perf_counter()
        self._returns, self._lengths = np.zeros(environment.num_envs), np.zeros(environment.num_envs, np.int64)
        super().__init__(environment.num_envs, environment.single_observation_space, environment.single_action_space)

    def reset(self) -> dict[str, NDArray[np.float32]]:
        """Start new episodes in all rows, with the seed and the options that were set since the last time.

        Raises:
            ValueError: if the rows' options differ in their names, or the environment refuses them.
        """
        names = set(self._options[0])
        if any(set(row) != names for row in self._options):
            raise ValueError(f"every row must get the same reset options, got {[sorted(row) for row in self._options]}")
        options = {name: np.stack([np.asarray(row[name]) for row in self._options]) for name in names}
        observation, _ = self.environment.reset(seed=self._seeds[0], options=options)
        self._reset_seeds()
        self._reset_options()
        self._returns[:], self._lengths[:] = 0.0, 0
        result: dict[str, NDArray[np.float32]] = observation
        return result

    def step_async(self, actions: NDArray[Any]) -> None:
        """Keep the actions for `step_wait`."""
        self._actions = actions

    def step_wait(self) -> VecEnvStepReturn:
        """Take one action per row.

        Returns:
            Observations, rewards (n,) float32, ends (n,) bool, and a dictionary per row.
        """
        observation, rewards, ended, _, infos = self.environment.step(self._actions)
        self._returns += rewards
        self._lengths += 1
        rows: list[dict[str, Any]] = [{"TimeLimit.truncated": False} for _ in range(self.num_envs)]
        if ended.any():
            told = {name: values for name, values in infos["final_info"].items() if not name.startswith("_")}
            seconds = round(time.perf_counter() - self._start, 6)
            for row in np.flatnonzero(ended):
                rows[row].update({name: values[row].item() for name, values in told.items()})
                rows[row]["terminal_observation"] = infos["final_obs"][row]
                rows[row]["episode"] = {"r": float(self._returns[row]), "l": int(self._lengths[row]), "t": seconds}
            self._returns[ended], self._lengths[ended] = 0.0, 0
        return observation, rewards.astype(np.float32), ended, rows

    def close(self) -> None:
        """Close the environment."""
        self.environment.close()

    def get_images(self) -> Sequence[NDArray[np.uint8] | None]:
        """Draw every row; without a render mode there is nothing to draw."""
        frames: Any = self.environment.render()
        return [None] * self.num_envs if frames is None else list(frames)

    def get_attr(self, attr_name: str, indices: VecEnvIndices = None) -> list[Any]:
        """Return an attribute of the environment, the same one for every row asked for.

        Raises:
            AttributeError: if neither it nor the environment within its wrappers has it.
        """
        holder = self.environment if hasattr(self.environment, attr_name) else self.environment.unwrapped
        value = getattr(holder, attr_name)
        return [value for _ in self._get_indices(indices)]

    def set_attr(self, attr_name: str, value: Any, indices: VecEnvIndices = None) -> None:
        """Refuse: rows have no attributes of their own.

        Raises:
            TypeError: always.
        """
        raise TypeError(f"all rows are one environment: set {attr_name} on `environment`, once for all")

    def env_method(self, method_name: str, *method_args: Any, indices: VecEnvIndices = None, **method_kwargs: Any) -> list[Any]:
        """Refuse: rows have no methods of their own.

        Raises:
            TypeError: always.
        """
        raise TypeError(f"all rows are one environment: call {method_name} on `environment`, once for all")

    def env_is_wrapped(self, wrapper_class: type[gym.Wrapper[Any, Any, Any, Any]], indices: VecEnvIndices = None) -> list[bool]:
        """Say that rows are monitored, which they are here, and in no other wrapper."""
        return [wrapper_class is Monitor for _ in self._get_indices(indices)]


def make_environment(env: str, num_envs: int, history: bool = False, **settings: Any) -> SB3VecEnv:
    """Make a batched environment for Stable-Baselines3.

    Args:
        env: an id of attention_env.
        num_envs: number of rows.
        history: whether it shows all glimpses of the episode so far, for learners without a memory.
        settings: those of `attention_env.options.GlimpseOptions`, `action_format` among them.

    Raises:
        ValueError: if the action format is "dict", the default, or it is no glimpse environment.
    """
    return SB3VecEnv(make_vector_environment(env, num_envs, history, **settings, autoreset_mode=AutoresetMode.SAME_STEP))


def make_vector_environment(env: str, num_envs: int, history: bool, **settings: Any) -> VectorEnv[Any, Any, Any]:
    """Make a batched environment as Gymnasium has it, for a learner to `play` in; the arguments are those of `make_environment`."""
    batch = make_batch(env, num_envs, **settings)
    return VectorGlimpseHistory(batch) if history else batch


def _bare(environment: VectorEnv[Any, Any, Any]) -> GlimpseVectorEnv:
    bare = environment.unwrapped
    if not isinstance(bare, GlimpseVectorEnv):
        raise TypeError(f"only a batched glimpse environment will do, as gym.make_vec makes it of attention_env; got {bare}")
    return bare


def _refuse_dictionaries(space: gym.Space[Any]) -> None:
    if isinstance(space, gym.spaces.Dict):
        formats = ", ".join(map(repr, FORMATS))
        raise ValueError(f"Stable-Baselines3 cannot use action_format='dict': make the environment with one of {formats}")


# The learner ------------------------------------------------------------------------------------------------------------


class GlimpseExtractor(BaseFeaturesExtractor):
    """RAM's glimpse network as the features of a policy (Mnih et al. 2014, arXiv 1406.6247, figure 1; `agents.ram`).

    Of one glimpse the features are g_t = ReLU(W_a ReLU(W_p ρ_t) + W_b ReLU(W_l l_t)); of a history, the mean of g_t over the slots
    that are seen. In both cases the share of the actions that are left stands behind them. Where zoom and rotation are switched on,
    they stand beside the location l_t.

    Args:
        observation_space: of a glimpse environment, or of one in a glimpse history.
        glimpse_width: units of the layer that sees the pixels.
        location_width: units of the layer that sees the location, zoom and rotation.
        hidden: units of g_t.

    Raises:
        ValueError: if observations are others.
    """

    def __init__(
        self, observation_space: gym.spaces.Dict, glimpse_width: int = 128, location_width: int = 128, hidden: int = 256
    ) -> None:
        super().__init__(observation_space, hidden + 1)
        keys = set(observation_space.keys())
        self.history = HISTORY in keys
        needed = {"glimpses", "locations", "seen"} if self.history else {"glimpse", "location", "remaining"}
        pose = [f"{name}s" for name in POSE] if self.history else POSE
        if not needed <= keys <= {*needed, *pose}:
            raise ValueError(
                "GlimpseExtractor sees 'glimpse', 'location' and 'remaining', or the 'glimpses', 'locations' and 'seen' of a "
                f"history, not {', '.join(map(repr, sorted(keys)))}"
            )
        self.pose = [name for name in pose if name in keys]
        self.what = nn.Linear(
            math.prod(_shape(observation_space, HISTORY if self.history else "glimpse")[-3:]), glimpse_width
        )  # W_p
        self.where = nn.Linear(sum(_shape(observation_space, name)[-1] for name in self.pose), location_width)  # W_l
        self.what_to_glimpse = nn.Linear(glimpse_width, hidden)  # W_a
        self.where_to_glimpse = nn.Linear(location_width, hidden, bias=False)  # W_b; W_a has the bias

    def forward(self, observations: dict[str, Tensor]) -> Tensor:
        """Compute the features, (B, hidden + 1), of a batch of observations."""
        where = torch.cat([observations[name] for name in self.pose], dim=-1)  # (B, 2 … 5) or (B, N, 2 … 5)
        if not self.history:
            seen = self._see(observations["glimpse"].flatten(1), where)  # (B, hidden)
            return torch.cat((seen, observations["remaining"]), dim=1)
        slots = observations["seen"]  # (B, N)
        count = slots.sum(1, keepdim=True)
        each = self._see(observations["glimpses"].flatten(2), where)  # (B, N, hidden)
        # A recurrent learner pads its sequences with zeros: observations in which nothing is seen, and whose gradient must exist.
        mean = (each * slots[..., None]).sum(1) / count.clamp(min=1)
        return torch.cat((mean, 1 - (count - 1) / slots.shape[1]), dim=1)

    def _see(self, pixels: Tensor, where: Tensor) -> Tensor:
        """Compute g_t: (…, pixels) and (…, 2 … 5) to (…, hidden)."""
        return F.relu(self.what_to_glimpse(F.relu(self.what(pixels))) + self.where_to_glimpse(F.relu(self.where(where))))


def _shape(space: gym.spaces.Dict, name: str) -> tuple[int, ...]:
    shape = space[name].shape
    assert shape is not None
    return shape


def make_model(algorithm: str, environment: VecEnv | gym.Env[Any, Any], seed: int, **settings: Any) -> OnPolicyAlgorithm:
    """Make an untrained learner of Stable-Baselines3.

    Args:
        algorithm: "ppo" or "a2c", which have no memory and want a history, or "recurrent_ppo", which has an LSTM.
        environment: where it learns, in an action format other than "dict".
        seed: of weights, exploration and environment.
        settings: those of the algorithm; different here are `gamma=1.0`, since episodes are short and only their end counts, and
            the `features_extractor_class` among `policy_kwargs`, a `GlimpseExtractor`.

    Raises:
        ValueError: if there is no such algorithm, or the action format is "dict".
    """
    if algorithm not in ALGORITHMS:
        raise ValueError(f"algorithm={algorithm!r} is unknown: choose one of {', '.join(map(repr, ALGORITHMS))}")
    _refuse_dictionaries(environment.action_space)
    kind, policy = ALGORITHMS[algorithm]
    policy_settings = {"features_extractor_class": GlimpseExtractor, **settings.pop("policy_kwargs", {})}
    return kind(policy, environment, seed=seed, policy_kwargs=policy_settings, **{"gamma": 1.0, **settings})


# The score ------------------------------------------------------------------------------------------------------------


def score(model: BaseAlgorithm, env: str, split: str = "test", seed: int = 0, deterministic: bool = True, **settings: Any) -> Score:
    """Score a learner on a split: every picture exactly once, the likeliest actions, as `agents.evaluate.score` does it for RAM.

    Args:
        model: the learner; if it has learned from histories, it is shown histories.
        env: the environment's id.
        split: "train", "validation" or "test".
        seed: of what is chance in the environment itself, such as a random start, and of the actions where those are.
        deterministic: whether the likeliest actions are taken, as the figures do; else they are drawn as in training.
        settings: the environment's, `action_format` among them.

    Returns:
        The score over all pictures of the split. An episode that ends without an answer ("saccade") is an error.

    Raises:
        ValueError: if the environment's spaces are not those that the learner was made for.
    """
    history = HISTORY in getattr(model.observation_space, "spaces", {})

    def make(rows: int) -> VectorEnv[Any, Any, Any]:
        return make_vector_environment(env, rows, history, split=split, **settings)

    one = make(1)
    check_spaces(env, model.observation_space, model.action_space, one)
    count = len(_bare(one).pictures)
    right, glimpses, cells = 0, 0, torch.zeros(64)
    with torch.random.fork_rng(devices=[model.device] if model.device.type == "cuda" else []):
        torch.manual_seed(seed)
        for batch, index in every_picture(make, count, CHUNK):
            for step, (playing, won) in enumerate(play(model, batch, index, seed + int(index[0]), deterministic)):
                right += int(won.sum())
                glimpses += int(playing.sum())
                if step:  # where an episode starts is not chosen
                    cells += count_cells(_bare(batch).started()[2][torch.from_numpy(playing)])
    return Score(count - right, count, coverage(cells), glimpses / count)


def play(
    model: BaseAlgorithm, batch: VectorEnv[Any, Any, Any], index: NDArray[np.int64], seed: int, deterministic: bool = True
) -> Iterator[tuple[NDArray[np.bool_], NDArray[np.bool_]]]:
    """Play one episode with each of n pictures, step by step.

    Args:
        model: the learner.
        batch: the environment, of n rows, with NumPy output and `autoreset_mode="NextStep"`.
        index: (n,), the pictures.
        seed: of the chance in the environment.
        deterministic: whether the likeliest actions are taken; else they are drawn, from torch's own generator.

    Yields:
        At the start and after every step: (n,) bool, which rows are still playing, and (n,) bool, which have just ended well.
    """
    observation, _ = batch.reset(seed=seed, options={"index": index})
    playing, none = np.ones(len(index), np.bool_), np.zeros(len(index), np.bool_)
    yield playing, none
    state, started = None, playing
    while playing.any():
        actions, state = model.predict(observation, state, started, deterministic)
        observation, _, ended, _, infos = batch.step(actions)
        # What rows do after their first end is of no account.
        won = playing & infos["is_success"] if ended.any() else none
        playing, started = playing & ~ended, none
        yield playing, won

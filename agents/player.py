"""How an agent plays: whole episodes of a batched environment, with the chance in them drawn beforehand."""

from __future__ import annotations

from typing import Any, NamedTuple

import gymnasium as gym
import torch
from gymnasium.vector import AutoresetMode
from torch import Tensor, nn

from agents.config import ReinforceConfig
from agents.ram import RAM
from attention_core.policy_gradient import sample_categorical
from attention_env.envs.glimpse import GlimpseVectorEnv


class Noise(NamedTuple):
    """The chance in one batch of episodes, drawn beforehand.

    Attributes:
        location: (N-1, B, 2), what is added to the mean locations.
        answer: Gumbel noise, (B, K) for the class named at the end, (N, B, K) for what is done at every step in an environment
            that `acts`; None for the likeliest.
    """

    location: Tensor
    answer: Tensor | None


class Episodes(NamedTuple):
    """What happened in a batch of B episodes of N glimpses.

    Attributes:
        states: (N, B, hidden), h_1 … h_N, differentiable.
        locations: (N-1, B, 2), where the agent chose to look: the samples, not clipped.
        named: (N, B), the classes named, or the moves made, at every step; those before the last are zeros where they count for
            nothing.
        rewards: (N, B).
        labels: (B,), the true class; None in an environment that has none.
        success: (B,) bool.
        acts: whether all that was named counts, or only the last.
    """

    states: Tensor
    locations: Tensor
    named: Tensor
    rewards: Tensor
    labels: Tensor | None
    success: Tensor
    acts: bool

    @property
    def answers(self) -> Tensor:
        """(B,), the class named at the end."""
        return self.named[-1]

    def rows(self, chosen: slice) -> Episodes:
        """Choose some of the episodes."""
        return self._replace(
            states=self.states[:, chosen],
            locations=self.locations[:, chosen],
            named=self.named[:, chosen],
            rewards=self.rewards[:, chosen],
            labels=None if self.labels is None else self.labels[chosen],
            success=self.success[chosen],
        )


class Player(nn.Module):
    """RAM playing whole episodes; one `forward` is one batch of episodes."""

    def __init__(self, network: RAM) -> None:
        super().__init__()
        self.network = network

    def forward(self, environment: GlimpseVectorEnv, options: dict[str, Any], noise: Noise | None) -> Episodes:
        """Play one episode in every row.

        Args:
            environment: with torch output, the "dict" action format and lock-step rows.
            options: for the environment's `reset`.
            noise: None to look at the mean location and name the likeliest class, as in an evaluation.

        Returns:
            What happened. Actions are chosen without gradient; losses compute the log-probabilities afterwards.
        """
        network = self.network
        observation, _ = environment.reset(options=options)
        states: list[Tensor] = []
        locations: list[Tensor] = []
        named: list[Tensor] = []
        rewards: list[Tensor] = []
        steps = environment.settings.glimpses
        names_always = environment.acts or environment.settings.reward == "dense"
        nothing = torch.zeros(environment.num_envs, dtype=torch.int64, device=environment.device)
        for step in range(steps):
            state = network(observation["glimpse"], observation["location"], states[-1] if states else None)
            states.append(state)
            with torch.no_grad():
                last = step == steps - 1
                label = self._answer(state, noise, step, last or environment.acts) if last or names_always else nothing
                location = (
                    observation["location"] if last else self._look(state, step, None if noise is None else noise.location[step])
                )
                observation, reward, _, _, infos = environment.step({"location": location, "label": label})
            named.append(label)
            rewards.append(reward)
            if not last:
                locations.append(location)
        chosen = torch.stack(locations) if locations else observation["location"].new_zeros(0, environment.num_envs, 2)
        return Episodes(
            torch.stack(states),
            chosen,
            torch.stack(named),
            torch.stack(rewards),
            infos.get("label"),
            infos["is_success"],
            environment.acts,
        )

    def _look(self, state: Tensor, step: int, noise: Tensor | None) -> Tensor:
        mean = self.network.location_mean(state, step)
        return mean if noise is None else mean + noise

    def _answer(self, state: Tensor, noise: Noise | None, step: int, counts: bool) -> Tensor:
        scores = self.network.class_scores(state)
        if noise is None or noise.answer is None or not counts:
            return scores.argmax(-1)
        return sample_categorical(scores, noise.answer if noise.answer.dim() == 2 else noise.answer[step])


def make_environment(
    config: ReinforceConfig, device: torch.device, count: int, split: str, training: bool = False
) -> GlimpseVectorEnv:
    """Make the batched environment that RAM plays in: torch output on the device, no autoreset.

    Args:
        config: names the environment and its settings.
        device: where everything is computed.
        count: number of rows.
        split: which pictures.
        training: whether the settings for training alone (`training_kwargs`) hold as well.

    Raises:
        ValueError: if RAM cannot act there: it needs a glimpse environment with the "dict" action format.
    """
    settings = {**config.env_kwargs, **(config.training_kwargs if training else {}), "split": split}
    try:
        environment = gym.make_vec(
            config.env, num_envs=count, **settings, output="torch", device=str(device), autoreset_mode=AutoresetMode.DISABLED
        )
    except TypeError as error:
        raise ValueError(f"{config.env} is not a glimpse environment, or not with these settings: {error}") from error
    if not isinstance(environment, GlimpseVectorEnv):
        raise ValueError(f"{config.env} is not a glimpse environment: RAM needs one of attention_env")
    if environment.settings.action_format != "dict":
        raise ValueError(f"RAM acts in action_format='dict', not in {environment.settings.action_format!r}")
    return environment


def new_player(config: ReinforceConfig, environment: GlimpseVectorEnv) -> Player:
    """Make an untrained agent for an environment; its weights depend on `config.seed` alone."""
    channels, size = environment.settings.scales * environment.pictures.shape[0], environment.settings.glimpse_size
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        network = RAM((channels, size, size), environment.pictures.classes, environment.settings.glimpses, config.network)
    return Player(network)

"""How an agent plays: whole episodes of a batched environment, with the chance in them drawn beforehand."""

from __future__ import annotations

from collections import defaultdict
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from agents.config import ReinforceConfig
from agents.looking import Looking, make_looking, pose
from agents.ram import RAM
from attention_core.policy_gradient import gumbel_noise, logistic_noise, sample_categorical
from attention_env.envs.glimpse import GlimpseVectorEnv, Started


class Noise(NamedTuple):
    """The chance in one batch of episodes, drawn beforehand.

    Attributes:
        look: (N-1, B, D), what makes looks of the location head's numbers (see `agents.looking`); None for the likeliest.
        answer: Gumbel noise, (B, K) for the class named at the end, (N, B, K) for what is named at every step where that may
            count; None for the likeliest.
        stop: logistic noise, (N, B), on whether to answer now; None for the likelier, and where there is no such choice.
    """

    look: Tensor | None
    answer: Tensor | None = None
    stop: Tensor | None = None


class Episodes(NamedTuple):
    """What happened in a batch of B episodes of at most N glimpses.

    Attributes:
        states: (N, B, hidden), h_1 … h_N, differentiable.
        glimpses: (N-1, B, C, g, g), what was seen where a look was chosen.
        looks: (N-1, B, D), the looks chosen: samples, not clipped; of cells their numbers, (N-1, B).
        locations: (N, B, 2), where the glimpses were taken.
        named: (N, B), the classes named, or the moves made, at every step; zeros where they count for nothing.
        stops: (N, B) bool, whether the agent chose to answer; None where it has no such choice.
        playing: (N, B) bool, whether the action at each step counted: the episode had not ended before.
        rewards: (N, B).
        labels: (B,), the true class; None in an environment that has none.
        success: (B,) bool.
        acts: whether all that was named counts, or only the answer.
    """

    states: Tensor
    glimpses: Tensor
    looks: Tensor
    locations: Tensor
    named: Tensor
    stops: Tensor | None
    playing: Tensor
    rewards: Tensor
    labels: Tensor | None
    success: Tensor
    acts: bool

    @property
    def answering(self) -> Tensor:
        """(N, B) bool, the step at which each episode ended."""
        return self.playing & ~torch.cat((self.playing[1:], torch.zeros_like(self.playing[:1])))

    @property
    def lengths(self) -> Tensor:
        """(B,), glimpses seen."""
        return self.playing.sum(0)

    def rows(self, chosen: slice) -> Episodes:
        """Choose some of the episodes."""

        def choose(part: Any) -> Any:
            if not isinstance(part, Tensor):
                return part
            return part[chosen] if part.dim() == 1 else part[:, chosen]

        return Episodes(*map(choose, self))


class Player(nn.Module):
    """RAM playing whole episodes; one `forward` is one batch of episodes.

    Args:
        network: the agent's.
        looking: how its location head's numbers become looks.
    """

    def __init__(self, network: RAM, looking: Looking) -> None:
        super().__init__()
        self.network = network
        self.looking = looking

    def forward(self, environment: GlimpseVectorEnv, options: dict[str, Any] | Started, noise: Noise | None) -> Episodes:
        """Play one episode in every row.

        Args:
            environment: with torch output, autoreset "Disabled", and the action format of `looking`.
            options: for the environment's `reset`; or what it has started with before, for its `restart`.
            noise: None for the likeliest actions, as in an evaluation.

        Returns:
            What happened. Actions are chosen without gradient; losses compute the log-probabilities afterwards.
        """
        noise = Noise(None) if noise is None else noise
        if isinstance(options, Started):
            observation = environment.restart(options)
        else:
            observation, _ = environment.reset(options=options)
        labels = None if environment.acts else environment.started()[1].clone()
        happened: defaultdict[str, list[Tensor]] = defaultdict(list)
        state: Tensor | None = None
        going = torch.ones(environment.num_envs, dtype=torch.bool, device=environment.device)
        success = torch.zeros_like(going)
        for step in range(environment.settings.glimpses):
            state = self.network(observation["glimpse"], pose(observation), state)
            seen = {"states": state, "glimpses": observation["glimpse"], "locations": observation["location"], "playing": going}
            with torch.no_grad():
                look, label, stop = self.choose(environment, observation, state, step, noise)
                observation, reward, ended, _, infos = environment.step(self.looking.action(look, label, stop))
            done = {"looks": look, "named": label, "rewards": reward} | ({} if stop is None else {"stops": stop.bool()})
            for name, part in (seen | done).items():
                happened[name].append(part)
            if "is_success" in infos:
                success = success | infos["is_success"]
            going = ~ended
        parts = {name: torch.stack(steps) for name, steps in happened.items()}
        return Episodes(
            states=parts["states"],
            glimpses=parts["glimpses"][:-1],
            looks=parts["looks"][:-1],
            locations=parts["locations"],
            named=parts["named"],
            stops=parts.get("stops"),
            playing=parts["playing"],
            rewards=parts["rewards"],
            labels=labels,
            success=success,
            acts=environment.acts or environment.settings.reward == "dense",
        )

    def choose(
        self, environment: GlimpseVectorEnv, observation: dict[str, Tensor], state: Tensor, step: int, noise: Noise
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        """Choose what to do after a glimpse.

        Args:
            environment: where.
            observation: what was seen.
            state: h_{step + 1}, in which it is taken in.
            step: actions taken before.
            noise: the chance in it.

        Returns:
            Where to look (of the last action it does not count), what to name, and whether to answer now, (B,) int64, if there is
            such a choice.
        """
        last = step == environment.settings.glimpses - 1
        if last:
            look = self.looking.nowhere(len(state), state.device)
        else:
            head = self.network.location_mean(state, observation["glimpse"], step)
            look = self.looking.choose(head, None if noise.look is None else noise.look[step])
        stop = None
        if environment.settings.stop:
            score = self.network.stop_score(state)
            stop = (score if noise.stop is None else score + noise.stop[step]).gt(0).long()
        if last or names_always(environment):
            scores = self.network.class_scores(state)
            answer = noise.answer if noise.answer is None or noise.answer.dim() == 2 else noise.answer[step]
            label = scores.argmax(-1) if answer is None else sample_categorical(scores, answer)
        else:
            label = torch.zeros(environment.num_envs, dtype=torch.int64, device=environment.device)
        return look, label, stop

    def noise(
        self, environment: GlimpseVectorEnv, shape: tuple[int, ...], generator: torch.Generator, deviation: float, names: bool
    ) -> Noise:
        """Draw the chance in episodes.

        Args:
            environment: where they are to be played.
            shape: of the batch.
            generator: where the numbers come from.
            deviation: σ of the locations.
            names: whether classes are drawn too, or the likeliest named.

        Returns:
            Noise of which the batch's axes have that shape.
        """
        steps, classes = environment.settings.glimpses, environment.pictures.classes
        look = self.looking.noise((steps - 1, *shape), generator, deviation)
        answer = None
        if names:
            times = (steps,) if names_always(environment) else ()
            answer = gumbel_noise((*times, *shape, classes), generator, generator.device)
        stop = logistic_noise((steps, *shape), generator) if environment.settings.stop else None
        return Noise(look, answer, stop)


def names_always(environment: GlimpseVectorEnv) -> bool:
    """Tell whether what is named before the last action may count."""
    return environment.acts or environment.settings.stop or environment.settings.reward == "dense"


def new_player(config: ReinforceConfig, environment: GlimpseVectorEnv) -> Player:
    """Make an untrained agent for an environment; its weights depend on `config.seed` alone.

    Raises:
        ValueError: if RAM cannot look around in the environment's action format.
    """
    settings = environment.settings
    looking = make_looking(settings, config.looks)
    shape = (settings.scales * environment.pictures.shape[0], settings.glimpse_size, settings.glimpse_size)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        network = RAM(
            shape,
            environment.pictures.classes,
            settings.glimpses,
            config.network,
            pose=2 + settings.zoom + 2 * settings.rotate,
            looks=looking.numbers,
            bounded=looking.bounded,
            stops=settings.stop,
        )
    if config.looks != "learned":
        # One path for all pictures: the scan alone. Random looks ask neither.
        network.location_head.weight.requires_grad_(False).zero_()
        network.scan.requires_grad_(config.looks == "scan")
        if network.location_eye is not None:
            network.location_eye.requires_grad_(False)
    return Player(network, looking)

"""REINFORCE for RAM: what it learns from the episodes that it plays.

Mnih et al. 2014 (arXiv 1406.6247), section 3.1. Two rules:

* hybrid, the paper's for recognition: cross-entropy at the last step trains class head, core and glimpse network; REINFORCE
  trains the location head, whose input is detached, so that no gradient of its loss reaches core or glimpse network.
* pure: the class is an action as well, and REINFORCE trains everything, from the reward alone. So is whatever is done at every
  step in an environment that moves, such as Catch, which knows no other rule.

In both b_t = E[R_t | h_t] is learned by squared error from the detached state; it is the baseline unless another is asked for
(`attention_core.policy_gradient` lists them).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from accelerate import Accelerator
from torch import Tensor, nn

from agents.config import ReinforceConfig, deviation_at
from agents.evaluate import score
from agents.player import Episodes, Noise, Player, names_always, new_player
from agents.ram import RAM
from attention_core.order import ShuffledIndex
from attention_core.policy_gradient import (
    MovingAverage,
    baseline_loss,
    generalized_advantage,
    hold_last_return,
    leave_one_out,
    reinforce_loss,
    reward_to_go,
)
from attention_core.training import ERROR_RATE, SteadyLearner, apart, share_of
from attention_env.batch import make_split
from attention_env.envs.glimpse import GlimpseVectorEnv, Started


def losses(
    player: Player, episodes: Episodes, config: ReinforceConfig, deviation: float | Tensor, baseline: Tensor | float | None = None
) -> dict[str, Tensor]:
    """Compute the parts of the loss of a batch of episodes.

    Args:
        player: who played them.
        episodes: what happened, its rewards as `credited` gives them.
        config: the rule.
        deviation: standard deviation σ of the locations.
        baseline: b_t, (N, B) or broadcastable to it; None for the learned one.

    Returns:
        "location": REINFORCE on where to look; its gradient stays in the location head (hybrid) or goes everywhere (pure).
        "answer": cross-entropy (hybrid) or REINFORCE (pure) on the class, or on what was done at every step.
        "baseline": squared error of the learned b_t, whose gradient stays in the baseline head, but for `config.baseline_weight`.
        "entropy": mean entropy of the class, or of what is done at each step, in nats.
        "stop": REINFORCE on when to answer, where that is the agent's choice; its gradient goes where that of "location" does.
    """
    network, states, playing = player.network, episodes.states, episodes.playing.float()
    # Where only the last answer counts, nobody asks for the others.
    every = episodes.acts or episodes.stops is not None or config.every_answer > 0
    deciding = slice(None) if every else slice(-1, None)
    logs = network.class_scores(states[deciding]).log_softmax(-1)  # (D, B, K), D being N or 1
    detached = states.detach()
    # The same states, but a share of the gradient goes on into the core.
    watched = torch.lerp(detached, states, config.baseline_weight) if config.baseline_weight else detached
    learned = network.baseline(watched) * playing  # (N, B)
    advantages = generalized_advantage(episodes.rewards, learned.detach(), config.discount, config.trace)  # (N, B)
    returns = advantages + learned.detach()
    if baseline is not None:
        advantages = returns - baseline
    advantages = advantages * playing

    looking = detached if config.rule == "hybrid" else states
    heads = network.location_mean(looking[:-1], episodes.glimpses, slice(len(states) - 1))  # (N-1, B, ·)
    looked = player.looking.log_probability(episodes.looks, heads, deviation)  # (N-1, B)
    parts = {
        # A look counts if the episode went on after it.
        "location": reinforce_loss(looked * playing[1:], advantages[:-1], 0.0),
        "answer": _answer_loss(episodes, logs, advantages[deciding], config, playing[deciding]),
        "baseline": baseline_loss(learned, returns * playing),
        "entropy": -((logs.exp() * logs).sum(-1) * playing[deciding]).sum(0).div(playing[deciding].sum(0)).mean(),
    }
    if episodes.stops is not None:
        score = network.stop_score(looking[:-1])  # at the last step there is no choice
        chosen = torch.where(episodes.stops[:-1], F.logsigmoid(score), F.logsigmoid(-score))
        parts["stop"] = reinforce_loss(chosen, advantages[:-1], 0.0)
    return parts


def credited(network: RAM, episodes: Episodes, config: ReinforceConfig) -> Episodes:
    """Replace an episode's rewards by what the settings credit each step with.

    "information" pays at once for what the next glimpse adds to the probability of the true class. The environment's reward for
    the answer, of which these gains are the expectation (but for what the first glimpse told), is left out, its costs stay.
    """
    if config.credit == "return":
        return episodes
    assert episodes.labels is not None
    with torch.no_grad():
        probabilities = network.class_scores(episodes.states).softmax(-1)  # (N, B, K)
    certainty = probabilities.gather(-1, episodes.labels.expand(len(probabilities), -1)[..., None])[..., 0]  # (N, B)
    gained = (certainty[1:] - certainty[:-1]) * episodes.playing[1:]
    paid = (episodes.success * episodes.answering).float()
    return episodes._replace(rewards=episodes.rewards - paid + F.pad(gained, (0, 0, 0, 1)))


def _answer_loss(episodes: Episodes, logs: Tensor, advantages: Tensor, config: ReinforceConfig, playing: Tensor) -> Tensor:
    """Cross-entropy of the class (hybrid), or REINFORCE on what was named: D steps of B episodes to a scalar."""
    count = len(logs)
    answering = episodes.answering[-count:]
    if config.rule == "hybrid":
        assert episodes.labels is not None
        errors = -logs.gather(-1, episodes.labels.expand(count, -1)[..., None])[..., 0]  # (D, B)
        weights = torch.where(answering, 1.0, config.every_answer * playing)
        return (errors * weights).sum(0).mean()
    named = logs.gather(-1, episodes.named[-count:][..., None])[..., 0]  # (D, B)
    return reinforce_loss(named if episodes.acts else named * answering, advantages, 0.0)


class _Loss(nn.Module):
    """Episodes and their losses as one module, since distributed training wants one forward per backward."""

    def __init__(self, player: Player, config: ReinforceConfig, glimpses: int) -> None:
        super().__init__()
        self.player = player
        self.config = config
        self.average = MovingAverage(glimpses) if config.baseline == "moving_average" else None

    def forward(
        self, environment: GlimpseVectorEnv, options: dict[str, Any] | Started, noise: Noise, deviation: float | Tensor
    ) -> tuple[Tensor, dict[str, Tensor]]:
        episodes = credited(self.player.network, self.player(environment, options, noise), self.config)
        episodes, baseline = self._baseline(episodes)
        parts = losses(self.player, episodes, self.config, deviation, baseline)
        entropy = parts.pop("entropy")
        weight = self.config.location_weight
        total = parts["answer"] + weight * parts["location"] + parts["baseline"]
        if "stop" in parts:
            total = total + weight * parts["stop"]
        if self.config.rule == "pure":
            total = total - self.config.entropy_weight * entropy
        looked_at = episodes.locations[1:].flatten(0, 1)
        return total, {
            **{f"losses/{name}": part for name, part in parts.items()},
            "charts/success": episodes.success.float().mean(),
            "charts/entropy": entropy,
            "charts/glimpses": episodes.lengths.float().mean(),
            "charts/location_spread": looked_at.std(0).mean() if len(looked_at) > 1 else looked_at.new_zeros(()),
        }

    def _baseline(self, episodes: Episodes) -> tuple[Episodes, Tensor | float | None]:
        """Give the baseline that the settings ask for, None for the learned one, and the episodes to learn from."""
        kind, returns = self.config.baseline, reward_to_go(episodes.rewards, self.config.discount)
        if kind == "none":
            return episodes, 0.0
        if self.average is not None:
            return episodes, self.average(returns, episodes.playing)
        compared = hold_last_return(returns, episodes.playing)
        if kind == "leave_one_out":
            return episodes, leave_one_out(compared, self.config.samples)
        if kind == "self_critical":
            # The last copy of each picture was played greedily: it is what the others are measured by.
            sampled = len(episodes.success) * self.config.samples // (self.config.samples + 1)
            return episodes.rows(slice(sampled)), compared[:, sampled:].repeat(1, self.config.samples)
        return episodes, None


Batch = tuple[Started, Noise, Tensor]
"""Episodes about to be played: what they start with, the chance in them, and σ, ()."""


class ReinforceLearner(SteadyLearner):
    """RAM, its environment and its rule, as the training loop wants them.

    Of several processes each plays its own rows of every batch. All of them draw the chance of the whole batch and keep their
    rows' part, so that they do together what one process would do alone.
    """

    chooses = ERROR_RATE

    def __init__(self, config: ReinforceConfig, accelerator: Accelerator) -> None:
        """Make environment, network and random streams.

        Raises:
            ValueError: if the batch cannot be shared out evenly, or the environment is not one that RAM can act in.
        """
        self.config = config
        self.device = accelerator.device
        self.pictures = share_of(accelerator, config.batch_size)
        self.copies = config.copies
        self.examples_per_update = config.batch_size * self.copies
        rows = (self.pictures.stop - self.pictures.start) * self.copies
        self.environment = make_split(config, self.device, rows, "train", training=True)
        self.glimpses = self.environment.settings.glimpses
        # Not where there is more to an episode than its picture, where rows end apart, or where what was earned before counts.
        alike = self.environment.still and not self.environment.settings.lengths_differ
        self.steady = alike and config.baseline != "moving_average"
        if self.environment.acts and config.rule == "hybrid":
            raise ValueError(f"rule='hybrid' learns from true classes, which {config.env} does not have: use rule='pure'")
        if config.rule == "hybrid" and config.baseline_weight:
            raise ValueError(
                f"baseline_weight={config.baseline_weight} is for rule='pure': 'hybrid' keeps the baseline from the core"
            )
        if config.credit == "information" and self.environment.settings.reward == "dense":
            raise ValueError("credit='information' stands for the last answer's reward: use credit='return', or reward='sparse'")
        self.module: nn.Module = _Loss(new_player(config, self.environment), config, self.glimpses).to(self.device)
        self.order = ShuffledIndex(len(self.environment.pictures), config.seed)
        self.chance = torch.Generator(self.device).manual_seed(config.seed + 1)
        self.updates = 0
        # Only the pictures' distortion is drawn here: where and what the agent looks at is given to every reset.
        self.environment.reset(seed=config.seed + 2 + 1000 * accelerator.process_index)

    def loss(self, module: nn.Module) -> tuple[Tensor, dict[str, Tensor]]:
        """Play the next batch of pictures, `samples` times each."""
        options, noise, deviation = self._next_batch()
        result: tuple[Tensor, dict[str, Tensor]] = module(self.environment, options, noise, deviation)
        return result

    def batch(self) -> Batch:
        """Start the next episodes; see `loss`."""
        options, noise, deviation = self._next_batch()
        self.environment.reset(options=options)
        return self.environment.started(), noise, torch.full((), deviation, device=self.device)

    def batch_loss(self, module: nn.Module, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """Play episodes that have been started."""
        result: tuple[Tensor, dict[str, Tensor]] = module(self.environment, *batch)
        return result

    def _next_batch(self) -> tuple[dict[str, Any], Noise, float]:
        """Choose the next episodes: options of the environment's reset, what is drawn, and σ."""
        deviation = deviation_at(self.config, self.updates)
        self.updates += 1
        index = np.tile(self.order.take(self.config.batch_size)[self.pictures], self.copies)
        return {"index": index, "copies": self.copies}, self._noise(deviation), deviation

    def _noise(self, deviation: float) -> Noise:
        """Draw the chance of the whole batch; keep that of this process's rows, and let the greedy episodes be without."""
        shape, names = (self.config.samples, self.config.batch_size), self.config.rule == "pure"
        player = self.released_player(self.module)
        noise = player.noise(self.environment, shape, self.chance, deviation, names)

        def share(part: Tensor | None, batch: int) -> Tensor | None:
            """Of (…, samples, pictures, ·), with `batch` axes before these, make (…, rows, ·)."""
            if part is None:
                return None
            part = part.narrow(batch + 1, self.pictures.start, self.pictures.stop - self.pictures.start)
            if self.copies > self.config.samples:
                part = torch.cat((part, torch.zeros_like(part.narrow(batch, 0, 1))), dim=batch)
            return part.flatten(batch, batch + 1)

        return Noise(share(noise.look, 1), share(noise.answer, int(names_always(self.environment))), share(noise.stop, 1))

    def parameter_groups(self) -> list[dict[str, Any]]:
        """The location head apart, which has a weight decay of its own."""
        network = self.released(self.module)
        head = [network.location_head.weight]
        if network.location_eye is not None:
            head += network.location_eye.parameters()
        return apart(self.module, head, weight_decay=self.config.location_decay)

    def released(self, module: nn.Module) -> RAM:
        """The network, without the losses around it."""
        return self.released_player(module).network

    def released_player(self, module: nn.Module) -> Player:
        """The agent, without the losses around it."""
        assert isinstance(module, _Loss)
        return module.player

    def validate(self, module: nn.Module) -> dict[str, float]:
        """Score every validation picture once, with mean locations."""
        assert isinstance(module, _Loss)
        return {ERROR_RATE: score(module.player, self.config, "validation", self.device).error_rate}

    def state_dict(self) -> dict[str, Any]:
        """Take down the random streams and the place in the data."""
        return {
            "updates": self.updates,
            "order": self.order.state_dict(),
            "chance": self.chance.get_state(),
            "environment": self.environment.random_state(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take them up again."""
        self.updates = state["updates"]
        self.order.load_state_dict(state["order"])
        self.chance.set_state(state["chance"].cpu())
        self.environment.set_random_state(state["environment"].cpu())

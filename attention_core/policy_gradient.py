"""The score-function estimator, REINFORCE (Williams 1992), as Mnih et al. 2014 (arXiv 1406.6247, eq. 2) use it.

∇J ≈ (1/B) Σ_i Σ_t ∇ log π(u_t^i | s_{1:t}^i) (R_t^i − b_t): the sum is over time, the mean over the batch of episodes. It is
the gradient of J itself, the expected return, not of its logarithm.

Any b_t that does not depend on the action at t leaves the expectation as it is; a good one lowers the variance. Five are offered:

* "none": 0.
* "moving_average": the mean return of late (`MovingAverage`).
* "learned": E[R_t | h_t], regressed on the agent's state (`baseline_loss`), Mnih et al.'s.
* "leave_one_out": the mean return of the other samples of the same example (`leave_one_out`; Kool, van Hoof, Welling 2019).
* "self_critical": the return of the agent's own best guess on the same example (Rennie et al. 2017, arXiv 1612.00563).

The last two compare episodes that may end apart: one that has ended is compared by its last return (`hold_last_return`).
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def reward_to_go(rewards: Tensor, discount: float = 1.0) -> Tensor:
    """Sum, at each step, the rewards from there on: R_t = Σ_{s ≥ t} γ^(s-t) r_s, (T, B) to (T, B).

    Args:
        rewards: (T, B).
        discount: γ within [0, 1].
    """
    if discount == 1.0:
        return rewards.flip(0).cumsum(0).flip(0)
    returns = [rewards[-1]]
    for reward in rewards[:-1].flip(0):
        returns.append(reward + discount * returns[-1])
    return torch.stack(returns[::-1])


def generalized_advantage(rewards: Tensor, values: Tensor, discount: float = 1.0, trace: float = 1.0) -> Tensor:
    """Tell how much better than expected each step was: A_t = Σ_k (γλ)^k δ_{t+k}, δ_t = r_t + γ b_{t+1} − b_t.

    The generalized advantage of Schulman et al. 2016 (arXiv 1506.02438, eq. 16). At λ = 1 it is REINFORCE's R_t − b_t, the
    b of later steps cancelling out; below it they stand in for part of what is paid later, which is less noisy and, as far as
    they are wrong, biased.

    Args:
        rewards: (T, B).
        values: (T, B), b_t; there is nothing to expect after the last step.
        discount: γ within [0, 1].
        trace: λ within [0, 1].

    Returns:
        (T, B).
    """
    if trace == 1.0:
        return reward_to_go(rewards, discount) - values
    later = torch.cat((values[1:], torch.zeros_like(values[:1])))
    return reward_to_go(rewards + discount * later - values, discount * trace)


def gaussian_log_probability(sample: Tensor, mean: Tensor, deviation: float | Tensor) -> Tensor:
    """Log-density of N(mean, deviation²·I) at a sample, summed over the last axis: (..., D) to (...).

    The sample is a constant here: it is detached, or the gradient with respect to the mean would cancel out. Give the
    sample as it was drawn, not as the environment clipped it.
    """
    distance = (sample.detach() - mean).square().sum(-1)
    dimensions = mean.shape[-1]
    log_deviation = deviation.log() if isinstance(deviation, Tensor) else math.log(deviation)
    return -distance / (2 * deviation**2) - dimensions * (log_deviation + 0.5 * math.log(2 * math.pi))


def reinforce_loss(log_probabilities: Tensor, returns: Tensor, baseline: Tensor | float) -> Tensor:
    """A scalar whose negative gradient is the REINFORCE estimate of ∇J.

    Args:
        log_probabilities: (T, B), of what was done, differentiable.
        returns: (T, B), R_t; taken as constants.
        baseline: (T, B) or broadcastable, b_t, anything that does not depend on the action at t; taken as constant.

    Returns:
        −(1/B) Σ_i Σ_t log π(u_t^i) (R_t^i − b_t).
    """
    return -(log_probabilities * (returns - baseline).detach()).sum(0).mean()


def hold_last_return(returns: Tensor, playing: Tensor) -> Tensor:
    """Hold an episode's last return after its end, where there is nothing left to earn, for those to be compared with that go on.

    What is paid at the end is worth as much to a long episode as to a short one; beside 0, every late step of a long one would
    seem good.

    Args:
        returns: (T, B), R_t.
        playing: (T, B) bool, the steps before and at the end of each, the first one at least.
    """
    last = returns.gather(0, playing.sum(0, keepdim=True) - 1)  # (1, B)
    return torch.where(playing, returns, last)


def leave_one_out(returns: Tensor, samples: int) -> Tensor:
    """Average the returns of the other samples of the same example.

    Args:
        returns: (T, samples · B), row i + j·B being sample j of example i.
        samples: M, at least 2.

    Returns:
        (T, samples · B).

    Raises:
        ValueError: if there are no others.
    """
    if samples < 2:
        raise ValueError(f"leave-one-out needs at least 2 samples of each example, got {samples}")
    apart = returns.reshape(len(returns), samples, -1)
    others: Tensor = (apart.sum(1, keepdim=True) - apart) / (samples - 1)
    return others.flatten(1, 2)


class MovingAverage(nn.Module):
    """The mean return at each step, forgetting the old exponentially.

    Args:
        steps: T, at most.
        decay: share of the old that one update keeps.
    """

    mean: Tensor
    updates: Tensor

    def __init__(self, steps: int, decay: float = 0.99) -> None:
        super().__init__()
        self.decay = decay
        self.register_buffer("mean", torch.zeros(steps, 1))
        self.register_buffer("updates", torch.zeros(steps, 1))

    def forward(self, returns: Tensor, playing: Tensor | None = None) -> Tensor:
        """Return the average before these returns, (T, 1), 0 at first, and take them in.

        Args:
            returns: (T, B).
            playing: (T, B) bool, which of them count, where episodes are of different lengths; all by default.
        """
        count = returns.new_full((len(returns), 1), returns.shape[1]) if playing is None else playing.sum(1, keepdim=True)
        total = (returns if playing is None else returns * playing).sum(1, keepdim=True)
        # Of all steps there may be, since another process's episodes may be longer or shorter.
        missing = (0, 0, 0, len(self.mean) - len(returns))
        total, count = F.pad(total, missing), F.pad(count, missing)
        if torch.distributed.is_initialized():
            torch.distributed.all_reduce(total)
            torch.distributed.all_reduce(count)
        before = self.mean / (1 - self.decay**self.updates).clamp(min=1 - self.decay)
        told = count > 0
        # New ones, since autograd may still need what was there before.
        self.mean = torch.where(told, torch.lerp(total / count.clamp(min=1), self.mean, self.decay), self.mean)
        self.updates = self.updates + told
        return before[: len(returns)]


def baseline_loss(baseline: Tensor, returns: Tensor) -> Tensor:
    """Squared error of b_t against R_t, summed over time, averaged over the batch: its minimum is b_t = E[R_t | h_t]."""
    return (baseline - returns.detach()).square().sum(0).mean()


def sample_categorical(scores: Tensor, gumbel: Tensor) -> Tensor:
    """Draw from softmax(scores) by the Gumbel-max trick: (..., K) to (...).

    Args:
        scores: unnormalised log-probabilities.
        gumbel: noise of the same shape from `gumbel_noise`.
    """
    return (scores.detach() + gumbel).argmax(-1)


def draw_categorical(scores: Tensor, uniform: Tensor) -> Tensor:
    """Draw from softmax(scores) by inverting its distribution function: (B, K) to (B,).

    It wants one random number for each row where `sample_categorical` wants K, which for thousands of classes is most of the work.

    Args:
        scores: unnormalised log-probabilities.
        uniform: (B,), in [0, 1).
    """
    reached = scores.detach().softmax(-1).cumsum(-1)
    # Of a class without probability nothing is reached that was not before it.
    drawn = torch.searchsorted(reached, uniform[:, None] * reached[:, -1:], right=True)[:, 0]
    return drawn.clamp(max=scores.shape[-1] - 1)


def gumbel_noise(shape: tuple[int, ...], generator: torch.Generator, device: torch.device) -> Tensor:
    """Draw standard Gumbel noise."""
    return -torch.empty(shape, device=device).exponential_(generator=generator).log()


def logistic_noise(shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    """Draw standard logistic noise: log-odds plus such noise is above 0 with their probability."""
    return torch.rand(shape, generator=generator, device=generator.device).logit(eps=1e-6)

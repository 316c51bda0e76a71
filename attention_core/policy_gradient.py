"""The score-function estimator, REINFORCE (Williams 1992), as Mnih et al. 2014 (arXiv 1406.6247, eq. 2) use it.

∇J ≈ (1/B) Σ_i Σ_t ∇ log π(u_t^i | s_{1:t}^i) (R_t^i − b_t): the sum is over time, the mean over the batch of episodes. It is
the gradient of J itself, the expected return, not of its logarithm.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor


def reward_to_go(rewards: Tensor) -> Tensor:
    """Sum, at each step, the rewards from there on: R_t = Σ_{s ≥ t} r_s, (T, B) to (T, B)."""
    return rewards.flip(0).cumsum(0).flip(0)


def gaussian_log_probability(sample: Tensor, mean: Tensor, deviation: float) -> Tensor:
    """Log-density of N(mean, deviation²·I) at a sample, summed over the last axis: (..., D) to (...).

    The sample is a constant here: it is detached, or the gradient with respect to the mean would cancel out. Give the
    sample as it was drawn, not as the environment clipped it.
    """
    distance = (sample.detach() - mean).square().sum(-1)
    dimensions = mean.shape[-1]
    return -distance / (2 * deviation**2) - dimensions * (math.log(deviation) + 0.5 * math.log(2 * math.pi))


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


def gumbel_noise(shape: tuple[int, ...], generator: torch.Generator, device: torch.device) -> Tensor:
    """Draw standard Gumbel noise."""
    return -torch.empty(shape, device=device).exponential_(generator=generator).log()

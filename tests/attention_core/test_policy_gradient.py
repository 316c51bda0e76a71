"""The estimator against exact enumeration on a toy, against PyTorch's distributions, and its conventions of sum and mean."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from torch import Tensor

from attention_core.policy_gradient import (
    MovingAverage,
    baseline_loss,
    draw_categorical,
    gaussian_log_probability,
    generalized_advantage,
    gumbel_noise,
    hold_last_return,
    leave_one_out,
    logistic_noise,
    reinforce_loss,
    reward_to_go,
    sample_categorical,
)

PLACES = 3
STEPS = 3


class Toy:
    """Three looks at three places; where to look next depends, by a table, on all places looked at so far.

    The reward of a step is a table of the places up to it, so that returns differ from step to step.
    """

    def __init__(self) -> None:
        generator = torch.Generator().manual_seed(0)
        # One row of scores per history: 1, then 3, then 9 of them.
        self.scores = [
            torch.randn(PLACES**step, PLACES, generator=generator, dtype=torch.float64).requires_grad_() for step in range(STEPS)
        ]
        self.rewards = [torch.rand(PLACES ** (step + 1), generator=generator, dtype=torch.float64) * 3 for step in range(STEPS)]
        # Any function of the history is a lawful baseline.
        self.baselines = [torch.randn(PLACES**step, generator=generator, dtype=torch.float64) for step in range(STEPS)]

    def episode(self, places: tuple[int, ...]) -> tuple[Tensor, Tensor, Tensor]:
        """Log-probabilities, rewards and baselines of one episode, each (T, 1)."""
        histories = [0]
        for place in places:
            histories.append(histories[-1] * PLACES + place)
        logs = [self.scores[step][histories[step]].log_softmax(-1)[place] for step, place in enumerate(places)]
        rewards = [self.rewards[step][histories[step + 1]] for step in range(STEPS)]
        baselines = [self.baselines[step][histories[step]] for step in range(STEPS)]
        return torch.stack(logs)[:, None], torch.stack(rewards)[:, None], torch.stack(baselines)[:, None]

    def expected_return(self) -> Tensor:
        """J, exactly."""
        total = torch.zeros((), dtype=torch.float64)
        for places in itertools.product(range(PLACES), repeat=STEPS):
            logs, rewards, _ = self.episode(places)
            total = total + logs.sum().exp() * rewards.sum()
        return total


@pytest.mark.parametrize("with_baseline", [False, True])
def test_expected_gradient_of_the_loss_is_minus_the_gradient_of_the_expected_return(with_baseline: bool) -> None:
    toy = Toy()
    expected = [torch.zeros_like(table) for table in toy.scores]
    for places in itertools.product(range(PLACES), repeat=STEPS):
        logs, rewards, baselines = toy.episode(places)
        loss = reinforce_loss(logs, reward_to_go(rewards), baselines if with_baseline else 0.0)
        for total, gradient in zip(expected, torch.autograd.grad(loss, toy.scores), strict=True):
            total += logs.sum().exp().detach() * gradient

    exact = torch.autograd.grad(toy.expected_return(), toy.scores)
    for found, right in zip(expected, exact, strict=True):
        torch.testing.assert_close(found, -right, rtol=1e-10, atol=1e-12)
        assert right.abs().max() > 1e-3


def test_estimate_is_of_the_expected_return_and_not_of_its_logarithm() -> None:
    toy = Toy()
    value = toy.expected_return()
    assert abs(value.item() - 1) > 0.5, "the toy could not tell the two apart"
    of_logarithm = torch.autograd.grad(value.log(), toy.scores)
    estimate = torch.zeros_like(toy.scores[0])
    for places in itertools.product(range(PLACES), repeat=STEPS):
        logs, rewards, baselines = toy.episode(places)
        loss = reinforce_loss(logs, reward_to_go(rewards), baselines)
        estimate += logs.sum().exp().detach() * torch.autograd.grad(loss, toy.scores[0])[0]
    torch.testing.assert_close(-estimate, of_logarithm[0] * value.detach())


def test_sampled_batch_approaches_the_exact_gradient() -> None:
    torch.manual_seed(0)
    scores = torch.tensor([0.3, -0.5, 1.0], dtype=torch.float64, requires_grad=True)
    reward = torch.tensor([1.0, 4.0, 2.0], dtype=torch.float64)
    count = 40_000
    noise = gumbel_noise((count, 3), torch.Generator().manual_seed(1), torch.device("cpu"))
    drawn = sample_categorical(scores.expand(count, 3), noise.double())
    loss = reinforce_loss(scores.log_softmax(-1)[drawn][None], reward[drawn][None], 2.0)
    (estimate,) = torch.autograd.grad(loss, scores)
    (exact,) = torch.autograd.grad((scores.softmax(-1) * reward).sum(), scores)
    torch.testing.assert_close(estimate, -exact, rtol=0, atol=0.02)


@pytest.mark.parametrize("rewards", [[[0.0], [0.0], [1.0]], [[1.0, 2.0], [10.0, 20.0], [100.0, 200.0]]])
def test_reward_to_go_sums_from_each_step_on(rewards: list[list[float]]) -> None:
    table = torch.tensor(rewards)
    by_hand = torch.stack([table[step:].sum(0) for step in range(len(table))])
    assert torch.equal(reward_to_go(table), by_hand)


@pytest.mark.parametrize("discount", [0.0, 0.3, 0.99])
def test_discount_weighs_what_comes_later(discount: float) -> None:
    first, second, third, fourth = 5.0, -1.0, 0.0, 2.0
    right = [
        first + discount * second + discount**2 * third + discount**3 * fourth,
        second + discount * third + discount**2 * fourth,
        third + discount * fourth,
        fourth,
    ]
    rewards = torch.tensor([[first, second, third, fourth]]).T
    torch.testing.assert_close(
        reward_to_go(torch.cat((rewards, 10 * rewards), dim=1), discount), torch.tensor([[1.0, 10.0]]) * torch.tensor([right]).T
    )


def test_discount_of_one_weighs_all_alike() -> None:
    rewards = torch.randn(5, 3, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(reward_to_go(rewards, 1.0), reward_to_go(rewards, 1 - 1e-9))


@pytest.mark.parametrize("discount", [0.0, 0.7, 1.0])
@pytest.mark.parametrize("trace", [0.0, 0.6, 1.0])
def test_generalized_advantage_is_that_of_the_formula(discount: float, trace: float) -> None:
    generator = torch.Generator().manual_seed(0)
    rewards, values = (torch.randn(4, 3, generator=generator, dtype=torch.float64) for _ in range(2))
    right = torch.zeros(4, 3, dtype=torch.float64)
    for step in range(4):
        for later in range(step, 4):
            after = values[later + 1] if later < 3 else 0.0
            right[step] += (discount * trace) ** (later - step) * (rewards[later] + discount * after - values[later])
    torch.testing.assert_close(generalized_advantage(rewards, values, discount, trace), right)


@pytest.mark.parametrize("loss", [reinforce_loss, lambda logs, returns, baseline: baseline_loss(logs, returns - baseline)])
def test_losses_are_summed_over_time_and_averaged_over_the_batch(loss: object) -> None:
    assert callable(loss)
    generator = torch.Generator().manual_seed(0)
    logs, returns, baseline = (torch.randn(4, 5, generator=generator, dtype=torch.float64) for _ in range(3))
    once = loss(logs, returns, baseline)

    def repeat(axis: int) -> list[Tensor]:
        return [torch.cat((values, values), axis) for values in (logs, returns, baseline)]

    torch.testing.assert_close(loss(*repeat(0)), 2 * once)
    torch.testing.assert_close(loss(*repeat(1)), once)


def test_reinforce_loss_by_hand() -> None:
    logs = torch.tensor([[-1.0, -2.0], [-3.0, -4.0]])
    returns = torch.tensor([[5.0, 6.0], [7.0, 8.0]])
    baseline = torch.tensor([[1.0, 1.0], [2.0, 2.0]])
    # Episode 1: -1·4 - 3·5 = -19; episode 2: -2·5 - 4·6 = -34.
    assert reinforce_loss(logs, returns, baseline).item() == (19 + 34) / 2


def test_returns_and_baseline_are_constants_of_the_estimate() -> None:
    logs, returns, baseline = (torch.randn(2, 3, requires_grad=True) for _ in range(3))
    reinforce_loss(logs, returns, baseline).backward()
    assert logs.grad is not None
    assert returns.grad is None
    assert baseline.grad is None


def test_leave_one_out_is_the_mean_of_the_other_samples() -> None:
    returns = torch.tensor([[1.0, 10.0, 2.0, 20.0, 6.0, 60.0]])  # two examples, three samples of each
    assert leave_one_out(returns, 3).tolist() == [[4.0, 40.0, 3.5, 35.0, 1.5, 15.0]]
    with pytest.raises(ValueError, match="at least 2 samples of each example, got 1"):
        leave_one_out(returns, 1)


def test_an_episode_that_has_ended_is_compared_by_its_last_return() -> None:
    playing = torch.tensor([[True, True, True], [True, True, False], [True, False, False]])
    rewards = torch.tensor([[0.0, 0.0, 5.0], [0.0, 5.0, 0.0], [5.0, 0.0, 0.0]])  # the same score for one, two and three steps
    assert hold_last_return(reward_to_go(rewards), playing).tolist() == [[5.0] * 3] * 3
    assert hold_last_return(torch.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 0.0], [7.0, 0.0, 0.0]]), playing).tolist() == [
        [1.0, 2.0, 3.0],
        [4.0, 5.0, 3.0],
        [7.0, 5.0, 3.0],
    ]


def test_moving_average_is_that_of_the_returns_before() -> None:
    average = MovingAverage(2, decay=0.5)
    batches = [torch.tensor([[1.0, 3.0], [10.0, 30.0]]), torch.tensor([[4.0, 4.0], [40.0, 40.0]]), torch.zeros(2, 2)]
    given = [average(batch)[:, 0].tolist() for batch in batches]
    assert given[0] == [0.0, 0.0]
    assert given[1] == [2.0, 20.0]
    # Weights 1/4 and 1/2 of what they sum to.
    assert given[2] == pytest.approx([(0.25 * 2 + 0.5 * 4) / 0.75, (0.25 * 20 + 0.5 * 40) / 0.75])


def test_baseline_loss_is_least_at_the_mean_return_and_leaves_the_returns_alone() -> None:
    returns = torch.tensor([[1.0, 0.0, 1.0, 1.0]], requires_grad=True)
    baseline = torch.full((1,), 0.75, requires_grad=True)
    baseline_loss(baseline.expand(1, 4), returns).backward()
    assert baseline.grad is not None
    assert baseline.grad.item() == pytest.approx(0.0, abs=1e-7)
    assert returns.grad is None
    assert baseline_loss(torch.full((1, 4), 0.75), returns) < baseline_loss(torch.full((1, 4), 0.7), returns)


@pytest.mark.parametrize("deviation", [0.05, 0.15, 1.0, 3.0])
@pytest.mark.parametrize("dimensions", [1, 2, 5])
def test_gaussian_log_probability_is_that_of_pytorch(deviation: float, dimensions: int) -> None:
    generator = torch.Generator().manual_seed(0)
    mean = torch.randn(3, 4, dimensions, generator=generator, dtype=torch.float64)
    sample = mean + 2 * deviation * torch.randn(3, 4, dimensions, generator=generator, dtype=torch.float64)
    right = torch.distributions.Normal(mean, deviation).log_prob(sample).sum(-1)
    torch.testing.assert_close(gaussian_log_probability(sample, mean, deviation), right, rtol=1e-12, atol=1e-12)


def test_gaussian_sample_is_detached_so_that_the_mean_has_a_gradient() -> None:
    mean = torch.tensor([[0.2, -0.4]], dtype=torch.float64, requires_grad=True)
    noise = torch.tensor([[1.5, -0.5]], dtype=torch.float64)
    sample = mean + 0.1 * noise  # drawn with a gradient, as a careless caller might
    gaussian_log_probability(sample, mean, 0.1).sum().backward()
    torch.testing.assert_close(mean.grad, noise / 0.1)


def test_gaussian_log_probability_tells_a_sample_beyond_the_edge_from_its_clipped_self() -> None:
    mean = torch.zeros(1, 2)
    beyond = torch.tensor([[1.7, 0.0]])
    difference = gaussian_log_probability(beyond, mean, 0.5) - gaussian_log_probability(beyond.clamp(-1, 1), mean, 0.5)
    assert difference.item() == pytest.approx((1 - 1.7**2) / (2 * 0.25))


def test_gumbel_noise_has_the_moments_of_the_standard_distribution() -> None:
    noise = gumbel_noise((200_000,), torch.Generator().manual_seed(0), torch.device("cpu"))
    assert noise.isfinite().all()
    assert noise.mean().item() == pytest.approx(0.5772, abs=0.02)
    assert noise.var().item() == pytest.approx(math.pi**2 / 6, abs=0.03)


def test_categorical_samples_come_as_often_as_the_softmax_says() -> None:
    scores = torch.tensor([2.0, 0.0, -1.0, 1.0, 0.5])
    count = 50_000
    noise = gumbel_noise((count, 5), torch.Generator().manual_seed(0), torch.device("cpu"))
    found = torch.bincount(sample_categorical(scores.expand(count, 5), noise), minlength=5) / count
    probabilities = scores.softmax(-1)
    deviation = (probabilities * (1 - probabilities) / count).sqrt()
    assert ((found - probabilities).abs() < 4 * deviation).all(), (found, probabilities)


def test_inverting_the_distribution_draws_as_often_as_the_softmax_says_and_never_the_impossible() -> None:
    scores, count = torch.tensor([-torch.inf, 0.3, -1.2, -torch.inf, 2.0, -torch.inf]), 20_000
    uniform = torch.rand(count, generator=torch.Generator().manual_seed(0))
    uniform[:2] = torch.tensor([0.0, 1 - 2**-24])  # the ends of what random numbers there are
    drawn = draw_categorical(scores.expand(count, 6), uniform)
    assert drawn[:2].tolist() == [1, 4]
    assert torch.allclose(torch.bincount(drawn, minlength=6) / count, scores.softmax(0), atol=0.01)


def test_logistic_noise_is_that_of_pytorch_and_decides_as_often_as_the_odds_say() -> None:
    count = 100_000
    noise = logistic_noise((count,), torch.Generator().manual_seed(0))
    assert noise.isfinite().all()
    assert noise.mean().item() == pytest.approx(0.0, abs=0.03)
    assert noise.var().item() == pytest.approx(math.pi**2 / 3, abs=0.06)
    for score in (-3.0, -0.5, 0.0, 2.0):
        probability = 1 / (1 + math.exp(-score))
        found = (score + noise > 0).float().mean().item()
        assert found == pytest.approx(probability, abs=4 * math.sqrt(probability * (1 - probability) / count))


def test_moving_average_leaves_out_what_is_over() -> None:
    average = MovingAverage(3, decay=0.5)
    returns = torch.tensor([[2.0, 4.0, 6.0], [1.0, 5.0, 100.0], [7.0, 100.0, 100.0]])
    playing = torch.tensor([[True, True, True], [True, True, False], [True, False, False]])
    assert torch.equal(average(returns, playing), torch.zeros(3, 1))
    assert average(returns, playing).flatten().tolist() == pytest.approx([4.0, 3.0, 7.0])
    # Shorter episodes tell nothing of the steps that they do not come to.
    average(torch.tensor([[8.0]]), torch.tensor([[True]]))
    average(torch.tensor([[8.0], [9.0]]), torch.tensor([[True], [False]]))
    assert average(returns, playing).flatten().tolist() == pytest.approx([(4 / 16 + 4 / 8 + 8 / 4 + 8 / 2) * 16 / 15, 3.0, 7.0])

"""Distributions over pictures: they sum to one, and agree with SciPy and with loops."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from scipy import stats

from generative.outputs import LEVELS, OUTPUTS, Bernoulli, DiscretisedLogistic, Gaussian


@pytest.mark.parametrize("shape", [(1, 2, 3), (3, 1, 2)])
def test_bernoulli_is_a_distribution_over_all_black_and_white_pictures(shape: tuple[int, int, int]) -> None:
    canvas = 2 * torch.randn(1, *shape, generator=torch.Generator().manual_seed(0))
    pictures = torch.tensor(list(itertools.product((0.0, 1.0), repeat=math.prod(shape)))).view(-1, *shape)
    logs = Bernoulli(shape[0]).log_probability(pictures, canvas.expand(len(pictures), *shape))
    assert logs.shape == (64,)
    assert logs.exp().sum().item() == pytest.approx(1, abs=1e-5)
    # Its mean, over all pictures, is the one that it tells.
    mean = (logs.exp().view(-1, 1, 1, 1) * pictures).sum(0, keepdim=True)
    torch.testing.assert_close(mean, Bernoulli(shape[0]).mean(canvas))


def test_bernoulli_equals_the_loop() -> None:
    canvas, pictures = torch.tensor([[[[-1.5, 0.3]]], [[[2.0, -0.7]]]]), torch.tensor([[[[1.0, 0.0]]], [[[1.0, 1.0]]]])
    right = []
    for row, picture in zip(canvas.flatten(1).tolist(), pictures.flatten(1).tolist(), strict=True):
        white = [1 / (1 + math.exp(-c)) for c in row]
        right.append(sum(math.log(p if x else 1 - p) for p, x in zip(white, picture, strict=True)))
    assert Bernoulli(1).log_probability(pictures, canvas).tolist() == pytest.approx(right, rel=1e-5)


def test_bernoulli_stays_finite_where_the_canvas_is_certain() -> None:
    canvas = torch.tensor([300.0, -300.0]).view(2, 1, 1, 1)
    assert Bernoulli(1).log_probability(torch.ones(2, 1, 1, 1), canvas).tolist() == [0.0, -300.0]


@pytest.mark.parametrize("channels", [1, 3])
def test_gaussian_is_that_of_scipy_with_a_deviation_for_each_channel(channels: int) -> None:
    generator = torch.Generator().manual_seed(0)
    output = Gaussian(channels)
    deviations = np.array([0.1, 0.7, 2.0])[:channels].reshape(-1, 1, 1)
    with torch.no_grad():
        output.log_deviation.copy_(torch.from_numpy(np.log(deviations)))
    canvas, pictures = torch.randn(4, channels, 2, 3, generator=generator), torch.rand(4, channels, 2, 3, generator=generator)
    mean = 1 / (1 + np.exp(-canvas.double().numpy()))
    right = stats.norm(mean, deviations).logpdf(pictures.double().numpy()).sum((1, 2, 3))
    torch.testing.assert_close(output.log_probability(pictures, canvas), torch.from_numpy(right).float(), rtol=1e-4, atol=1e-4)


def test_deviation_of_a_gaussian_is_best_at_the_root_of_the_mean_squared_error() -> None:
    generator = torch.Generator().manual_seed(0)
    output = Gaussian(2)
    canvas, pictures = torch.randn(9, 2, 4, 4, generator=generator), torch.rand(9, 2, 4, 4, generator=generator)
    error = (pictures - output.mean(canvas)).square().mean((0, 2, 3)).sqrt().view(2, 1, 1)
    for factor, direction in ((1.0, 0), (0.5, 1), (2.0, -1)):
        with torch.no_grad():
            output.log_deviation.copy_((factor * error).log())
        (gradient,) = torch.autograd.grad(output.log_probability(pictures, canvas).mean(), output.log_deviation)
        if direction:
            assert (gradient.sign() == direction).all()
        else:
            torch.testing.assert_close(gradient, torch.zeros_like(gradient), rtol=0, atol=1e-4)


def logistic(scale: float, channels: int = 1) -> DiscretisedLogistic:
    output = DiscretisedLogistic(channels)
    with torch.no_grad():
        output.log_scale.fill_(math.log(scale))
    return output


def every_level() -> torch.Tensor:
    return (torch.arange(LEVELS) / (LEVELS - 1)).view(-1, 1, 1, 1)


@pytest.mark.parametrize("scale", [0.0005, 0.01, 0.1, 2.0])
@pytest.mark.parametrize("place", [-9.0, -1.0, 0.0, 0.4, 30.0])
def test_masses_of_all_levels_sum_to_one(place: float, scale: float) -> None:
    logs = logistic(scale).log_probability(every_level(), torch.full((LEVELS, 1, 1, 1), place))
    assert logs.exp().sum().item() == pytest.approx(1, abs=2e-4)


@pytest.mark.parametrize("scale", [0.01, 0.1, 2.0])
@pytest.mark.parametrize("place", [-3.0, 0.1, 4.0])
def test_masses_are_what_scipys_logistic_puts_into_each_bin(place: float, scale: float) -> None:
    distribution = stats.logistic(1 / (1 + math.exp(-place)), scale)
    edges = np.concatenate(([-math.inf], (np.arange(LEVELS - 1) + 0.5) / 255, [math.inf]))
    # Of two small differences the one that does not cancel.
    below, above = np.diff(distribution.cdf(edges)), -np.diff(distribution.sf(edges))
    right = np.log(np.where(np.arange(LEVELS) / 255 < distribution.mean(), below, above))
    logs = logistic(scale).log_probability(every_level(), torch.full((LEVELS, 1, 1, 1), place))
    torch.testing.assert_close(logs, torch.from_numpy(right).float(), rtol=2e-4, atol=2e-3)


def test_each_channel_has_a_scale_of_its_own_and_pixels_are_summed() -> None:
    output = DiscretisedLogistic(2)
    with torch.no_grad():
        output.log_scale.copy_(torch.tensor([0.05, 0.4]).log().view(2, 1, 1))
    generator = torch.Generator().manual_seed(0)
    pictures = torch.randint(LEVELS, (3, 2, 2, 2), generator=generator) / 255
    canvas = torch.randn(3, 2, 2, 2, generator=generator)
    right = torch.zeros(3)
    for channel, scale in enumerate((0.05, 0.4)):
        for row, column in itertools.product(range(2), repeat=2):
            pixel = (slice(None), slice(channel, channel + 1), slice(row, row + 1), slice(column, column + 1))
            right += logistic(scale).log_probability(pictures[pixel], canvas[pixel])
    torch.testing.assert_close(output.log_probability(pictures, canvas), right, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("scale", [0.0005, 0.1, 5.0])
def test_logistic_has_finite_gradients_at_every_level_however_wrong_the_canvas(scale: float) -> None:
    output = logistic(scale)
    for place in (-20.0, 0.0, 20.0):
        canvas = torch.full((LEVELS, 1, 1, 1), place, requires_grad=True)
        logs = output.log_probability(every_level(), canvas)
        assert logs.isfinite().all()
        assert (logs <= 1e-6).all()
        of_canvas, of_scale = torch.autograd.grad(logs.sum(), (canvas, output.log_scale))
        assert of_canvas.isfinite().all()
        assert of_scale.isfinite().all()


@pytest.mark.parametrize("name", OUTPUTS)
def test_half_precision_around_them_changes_nothing(name: str) -> None:
    output = OUTPUTS[name](3)
    generator = torch.Generator().manual_seed(0)
    pictures = torch.randint(2, (4, 3, 5, 6), generator=generator).float()
    canvas = torch.randn(4, 3, 5, 6, generator=generator)
    alone = output.log_probability(pictures, canvas)
    with torch.autocast("cpu", torch.bfloat16):
        around = output.log_probability(pictures, canvas)
        of_half = output.log_probability(pictures, canvas.bfloat16())
    assert alone.shape == (4,)
    assert alone.dtype == around.dtype == of_half.dtype == torch.float32
    assert torch.equal(around, alone)
    torch.testing.assert_close(of_half, output.log_probability(pictures, canvas.bfloat16().float()))


@pytest.mark.parametrize("name", OUTPUTS)
def test_mean_lies_within_zero_and_one_and_gains_with_the_canvas(name: str) -> None:
    means = OUTPUTS[name](1).mean(torch.tensor([-4.0, 0.0, math.log(3)]).view(3, 1, 1, 1)).flatten().tolist()
    assert means == pytest.approx([1 / (1 + math.exp(4)), 0.5, 0.75])

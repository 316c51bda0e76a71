"""What models with latent variables have in common, against PyTorch's distributions, and what they refuse."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from torch.distributions import Normal, kl_divergence

from generative.config import VAEConfig
from generative.latent import Inference, LatentModel
from generative.vae import VAE

STEPS, COUNT, LATENTS = 3, 4, 5


def infer(count: int = COUNT) -> Inference:
    """Make up what was inferred, of double precision; the deviations lie around 1 on both sides."""
    generator = torch.Generator().manual_seed(0)
    means, log_deviations, noise = (torch.randn(STEPS, count, LATENTS, generator=generator, dtype=torch.float64) for _ in range(3))
    return Inference(torch.zeros(count, 1, 2, 2), means, 0.5 * log_deviations, noise)


def test_latents_are_mean_and_deviation_times_noise() -> None:
    inferred = infer()
    for t in range(STEPS):
        for b in range(COUNT):
            for z in range(LATENTS):
                mean, log_deviation, noise = (values[t, b, z].item() for values in inferred[1:])
                assert inferred.latents[t, b, z].item() == pytest.approx(mean + math.exp(log_deviation) * noise)


def test_divergences_are_those_of_pytorch() -> None:
    inferred = infer()
    right = kl_divergence(Normal(inferred.means, inferred.log_deviations.exp()), Normal(0.0, 1.0)).sum(-1)
    assert inferred.divergences.shape == (STEPS, COUNT)
    torch.testing.assert_close(inferred.divergences, right, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("latents", [1, 7, 100])
def test_divergence_of_the_prior_from_itself_is_nought_however_many_dimensions(latents: int) -> None:
    # The -1 stands in the sum over the dimensions, not once for each step.
    nothing = torch.zeros(2, 3, latents)
    assert torch.equal(Inference(nothing, nothing, nothing, nothing).divergences, torch.zeros(2, 3))


def test_divergence_by_hand() -> None:
    means, log_deviations = torch.tensor([[[2.0, 0.0]]]), torch.tensor([[[0.0, math.log(3)]]])
    divergences = Inference(means, means, log_deviations, means).divergences
    assert divergences.item() == pytest.approx(0.5 * (4 + 1 - 0 - 1) + 0.5 * (0 + 9 - math.log(9) - 1))


def test_log_ratios_are_those_of_pytorch() -> None:
    inferred = infer()
    drawn = inferred.latents
    prior = Normal(0.0, 1.0).log_prob(drawn)
    posterior = Normal(inferred.means, inferred.log_deviations.exp()).log_prob(drawn)
    assert inferred.log_ratios.shape == (COUNT,)
    torch.testing.assert_close(inferred.log_ratios, (prior - posterior).sum((0, 2)), rtol=1e-10, atol=1e-10)


def test_log_ratios_are_minus_the_divergences_in_the_mean() -> None:
    samples = 20_000
    one = infer(1)
    noise = torch.randn(STEPS, samples, LATENTS, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    ratios = Inference(one.canvas, one.means, one.log_deviations, noise).log_ratios
    error = float(ratios.std()) / math.sqrt(samples)
    assert ratios.mean().item() == pytest.approx(-one.divergences.sum().item(), abs=4 * error)
    assert error < 0.1, "too few samples to tell"


def test_gradients_reach_the_posterior_through_the_sample() -> None:
    inferred = infer()
    means, log_deviations = inferred.means.requires_grad_(), inferred.log_deviations.requires_grad_()
    weights = torch.randn(STEPS, COUNT, LATENTS, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    (inferred.latents * weights).sum().backward()
    torch.testing.assert_close(means.grad, weights)
    torch.testing.assert_close(log_deviations.grad, weights * inferred.log_deviations.exp() * inferred.noise)


def model(classes: int = 0) -> LatentModel:
    return VAE((1, 2, 3), VAEConfig(latents=4, hidden=5), classes)


PICTURES = torch.full((2, 1, 2, 3), 0.5)


@pytest.mark.parametrize("shape", [(2, 1, 3, 2), (2, 3, 2, 3), (2, 2, 3)])
def test_pictures_of_another_shape_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"pictures of shape \(1, 2, 3\), got"):
        model().check(torch.zeros(shape), None)


@pytest.mark.parametrize("value", [-0.1, 1.5, 255.0, math.nan])
def test_pictures_beyond_zero_and_one_are_refused(value: float) -> None:
    pictures = PICTURES.clone()
    pictures[1, 0, 1, 2] = value
    with pytest.raises(ValueError, match=r"must lie within \[0, 1\], got"):
        model().check(pictures, None)


def test_pictures_of_the_range_itself_are_accepted() -> None:
    model().check(torch.tensor([0.0, 1.0]).view(2, 1, 1, 1).expand(2, 1, 2, 3), None)
    model(3).check(PICTURES, torch.tensor([0, 2]))


def test_classes_are_wanted_by_those_who_know_of_them_alone() -> None:
    with pytest.raises(ValueError, match="knows of no classes: train one with conditional=True"):
        model().check(PICTURES, torch.tensor([0, 1]))
    with pytest.raises(ValueError, match="makes pictures by class: say which of 3"):
        model(3).check(PICTURES, None)


@pytest.mark.parametrize("labels", [[0, 3], [-1, 0], [0], [0, 1, 2], [[0, 1]]])
def test_classes_out_of_range_or_number_are_refused(labels: list[int]) -> None:
    with pytest.raises(ValueError, match="classes must be 2 whole numbers within 0 … 2"):
        model(3).check(PICTURES, torch.tensor(labels))


@pytest.mark.parametrize(("classes", "labels", "right"), [(3, [2, 0], [[0.0, 0.0, 1.0], [1.0, 0.0, 0.0]]), (0, None, [[], []])])
def test_classes_are_written_as_zeros_and_a_one(classes: int, labels: list[int] | None, right: list[list[float]]) -> None:
    given: Tensor | None = None if labels is None else torch.tensor(labels)
    assert model(classes).one_hot(given, 2, torch.device("cpu")).tolist() == right


def test_forward_checks_shapes_alone() -> None:
    noise = torch.zeros(1, 2, 4)
    model()(PICTURES * 3, noise)  # what lies beyond 1 is told by `check`, which waits for the device
    with pytest.raises(ValueError, match=r"pictures of shape \(1, 2, 3\), got \(1, 3, 2\)"):
        model()(PICTURES.mT, noise)
    with pytest.raises(ValueError, match=r"noise must be of shape \(T, B, Z\) = \(1, 2, 4\), got \(2, 2, 4\)"):
        model()(PICTURES, noise.repeat(2, 1, 1))
    with pytest.raises(ValueError, match="say which of 3"):
        model(3)(PICTURES, noise)
    with pytest.raises(ValueError, match="say which of 3"):
        model(3).generate(noise)
    with pytest.raises(ValueError, match="knows of no classes"):
        model().generate(noise, torch.tensor([0, 1]))

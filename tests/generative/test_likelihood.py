"""Bounds of log p(x) against models whose log p(x) is known: in closed form, and by adding up over a grid of latent variables."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor
from torch.distributions import Normal

from generative.config import VAEConfig
from generative.latent import Inference, LatentModel
from generative.likelihood import (
    CHUNK,
    draw_noise,
    evidence_lower_bound,
    log_weights,
    measure,
    measure_importance_weighted,
)
from generative.outputs import Output
from generative.pictures import Batch, Pictures
from generative.vae import VAE

CPU = torch.device("cpu")
DIGITS = (1, 8, 8)


class NormalOutput(Output):
    """Pixels around the canvas itself, with a fixed deviation."""

    deviation = 0.5

    def log_probability(self, pictures: Tensor, canvas: Tensor) -> Tensor:
        return Normal(canvas, self.deviation).log_prob(pictures).flatten(1).sum(1)


class LinearModel(LatentModel):
    """x ~ N(W z + b, s² I): log p(x) and the posterior of z are known, the latter being diagonal where W's columns are orthogonal.

    Args:
        shift: how far the inference network's mean lies beside the true one, in every latent variable.
        factor: by how much its deviation is too large.
    """

    def __init__(self, shift: float = 0.0, factor: float = 1.0) -> None:
        super().__init__(DIGITS, 2, 3, "gaussian", 0)
        self.output = NormalOutput(1)
        generator = torch.Generator().manual_seed(0)
        columns = torch.linalg.qr(torch.randn(64, 6, generator=generator)).Q
        self.mapping = columns * torch.tensor([2.0, 1.0, 0.5, 3.0, 0.1, 1.5])  # (64, T·Z)
        self.bias = 0.3 + 0.1 * torch.randn(64, generator=generator)
        self.shift, self.factor = shift, factor

    def posterior(self, pictures: Tensor) -> tuple[Tensor, Tensor]:
        """Give mean (B, T·Z) and deviation (T·Z,) of p(z | x)."""
        precision = 1 + self.mapping.square().sum(0) / NormalOutput.deviation**2
        return (pictures.flatten(1) - self.bias) @ self.mapping / NormalOutput.deviation**2 / precision, precision.rsqrt()

    def forward(self, pictures: Tensor, noise: Tensor, labels: Tensor | None = None) -> Inference:
        mean, deviation = self.posterior(pictures)
        means = (mean + self.shift).view(-1, 2, 3).transpose(0, 1)
        log_deviations = (deviation * self.factor).log().view(1, 2, 3).transpose(0, 1).expand_as(means)
        inferred = Inference(pictures, means, log_deviations, noise)
        return inferred._replace(canvas=self.generate(inferred.latents)[-1])

    def generate(self, latents: Tensor, labels: Tensor | None = None) -> Tensor:
        canvas = latents.transpose(0, 1).flatten(1) @ self.mapping.T + self.bias
        return canvas.view(1, -1, *self.shape).expand(self.steps, -1, -1, -1, -1)

    def log_evidence(self, pictures: Tensor) -> Tensor:
        """Give log p(x), (B,)."""
        covariance = self.mapping.double() @ self.mapping.double().T + NormalOutput.deviation**2 * torch.eye(64)
        logs = stats.multivariate_normal(self.bias.double().numpy(), covariance.numpy()).logpdf(
            pictures.flatten(1).double().numpy()
        )
        return torch.from_numpy(np.asarray(logs))


@pytest.fixture
def grey() -> Pictures:
    return Pictures("digits", "validation", CPU, binary=False)


@pytest.fixture
def binary() -> Pictures:
    return Pictures("digits", "validation", CPU, binary=True)


def shown(pictures: Pictures, seed: int = 0) -> Batch:
    """Show them all, as a measurement with this seed does."""
    return next(pictures.batches(CHUNK, torch.Generator().manual_seed(seed)))


def random_vae() -> VAE:
    """A model with two latent variables, none of which is without effect, and a posterior that is not the right one."""
    model = VAE(DIGITS, VAEConfig(latents=2, hidden=9))
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(std=0.15, generator=generator)
        model.decoder[0][0].weight.mul_(3)
    return model.eval()


def log_evidence_on_a_grid(model: VAE, pictures: Tensor) -> Tensor:
    """Add up p(x | z) p(z) over a grid of both latent variables: log p(x), (B,)."""
    side = torch.linspace(-6, 6, 49)
    grid = torch.cartesian_prod(side, side)
    canvas = model.generate(grid[None])[0]
    prior = Normal(0.0, 1.0).log_prob(grid).sum(1) + 2 * math.log(12 / 48)
    logs = [model.output.log_probability(picture.expand_as(canvas), canvas) for picture in pictures]
    return (torch.stack(logs) + prior).logsumexp(1)


def test_every_weight_is_the_evidence_where_the_posterior_is_the_right_one(grey: Pictures) -> None:
    model, batch = LinearModel(), shown(grey)
    right = model.log_evidence(batch.pictures).float()
    for seed in range(3):
        inferred = model(batch.pictures, draw_noise(model, len(grey), torch.Generator().manual_seed(seed)))
        torch.testing.assert_close(log_weights(model, batch, inferred), right, rtol=0, atol=2e-3)
    assert right.std() > 1, "these pictures are all alike to the model"


def test_the_bound_falls_short_by_the_divergence_from_the_right_posterior(grey: Pictures) -> None:
    model = LinearModel(shift=0.1, factor=1.3)
    batch = shown(grey)
    right_mean, deviation = model.posterior(batch.pictures)
    gap = torch.distributions.kl_divergence(Normal(right_mean + 0.1, 1.3 * deviation), Normal(right_mean, deviation)).sum(1)
    expected = float((model.log_evidence(batch.pictures) - gap).mean())
    bound = measure(model, grey, passes=100)
    assert bound.standard_error is not None
    assert -bound.nats == pytest.approx(expected, abs=4 * bound.standard_error)
    assert float(gap.mean()) > 20 * bound.standard_error, "too few passes to tell"


def test_bound_is_reconstruction_less_divergences() -> None:
    model = random_vae()
    batch = Batch((torch.rand(5, *DIGITS, generator=torch.Generator().manual_seed(1)) > 0.5).float(), None)
    inferred = model(batch.pictures, draw_noise(model, 5, torch.Generator().manual_seed(2)))
    reconstruction = model.output.log_probability(batch.pictures, inferred.canvas)
    torch.testing.assert_close(evidence_lower_bound(model, batch, inferred), reconstruction - inferred.divergences.sum(0))
    torch.testing.assert_close(log_weights(model, batch, inferred), reconstruction + inferred.log_ratios)


def test_noise_is_drawn_afresh_for_every_step_and_picture() -> None:
    noise = draw_noise(LinearModel(), 1_000, torch.Generator().manual_seed(0))
    assert noise.shape == (2, 1_000, 3)
    assert noise.unique().numel() > 0.99 * noise.numel()
    assert noise.mean().item() == pytest.approx(0, abs=0.06)
    assert noise.std().item() == pytest.approx(1, abs=0.05)
    assert torch.equal(noise, draw_noise(LinearModel(), 1_000, torch.Generator().manual_seed(0)))


@torch.no_grad()
def test_importance_bound_of_one_sample_is_the_mean_weight_of_the_same_seed(binary: Pictures) -> None:
    model, generator = random_vae(), torch.Generator().manual_seed(5)
    batch = next(binary.batches(CHUNK, generator))
    inferred = model(batch.pictures, draw_noise(model, len(binary), generator))
    right = -log_weights(model, batch, inferred).mean().item()
    assert measure_importance_weighted(model, binary, 1, seed=5) == pytest.approx(right, rel=1e-6)
    assert measure_importance_weighted(model, binary, 1, seed=6) != pytest.approx(right, rel=1e-6)


@torch.no_grad()
def test_importance_bound_is_the_log_of_the_mean_weight(binary: Pictures) -> None:
    model, generator = random_vae(), torch.Generator().manual_seed(5)
    batch = next(binary.batches(CHUNK, generator))
    logs = [log_weights(model, batch, model(batch.pictures, draw_noise(model, len(binary), generator))).double() for _ in range(4)]
    right = -(torch.stack(logs).exp().mean(0)).log().mean().item()
    assert measure_importance_weighted(model, binary, 4, seed=5) == pytest.approx(right, rel=1e-6)


@torch.no_grad()
def test_importance_bound_approaches_the_evidence_from_the_lower_bound(binary: Pictures) -> None:
    model, seed = random_vae(), 3
    right = -log_evidence_on_a_grid(model, shown(binary, seed).pictures).mean().item()
    of_one = np.mean([measure_importance_weighted(model, binary, 1, number) for number in range(30)])
    bound = measure(model, binary, passes=30)
    assert bound.standard_error is not None
    assert of_one == pytest.approx(bound.nats, abs=5 * bound.standard_error)

    nats = {samples: measure_importance_weighted(model, binary, samples, seed) for samples in (10, 100, 3_000)}
    assert bound.nats > nats[10] + 0.1
    assert nats[10] > nats[100] > nats[3_000]
    assert nats[3_000] == pytest.approx(right, abs=0.02)
    assert bound.nats > right + 0.3


def test_importance_bound_of_a_linear_model_approaches_its_evidence(grey: Pictures) -> None:
    model = LinearModel(shift=0.1, factor=1.3)
    right = -model.log_evidence(shown(grey).pictures).mean().item()
    assert measure_importance_weighted(model, grey, 2_000) == pytest.approx(right, abs=0.02)
    assert measure(model, grey).nats > right + 0.2


class Brightness(Output):
    """The brighter a picture, the more probable."""

    def log_probability(self, pictures: Tensor, canvas: Tensor) -> Tensor:
        return pictures.flatten(1).sum(1)


class Watcher(LatentModel):
    """A model that writes down what it was shown, and finds every picture as probable as it is bright."""

    def __init__(self, shape: tuple[int, int, int] = DIGITS, classes: int = 0) -> None:
        super().__init__(shape, 3, 2, "bernoulli", classes)
        self.output = Brightness(shape[0])
        self.seen: list[Tensor] = []
        self.told: list[Tensor | None] = []

    def forward(self, pictures: Tensor, noise: Tensor, labels: Tensor | None = None) -> Inference:
        assert not torch.is_grad_enabled()
        self.seen.append(pictures)
        self.told.append(labels)
        # Means of 0, 1 and 2 in the steps: divergences of 0, 1 and 4 from two latent variables each.
        means = torch.arange(3.0)[:, None, None].expand_as(noise)
        return Inference(pictures, means, torch.zeros_like(noise), noise)

    def generate(self, latents: Tensor, labels: Tensor | None = None) -> Tensor:
        return torch.zeros(self.steps, latents.shape[1], *self.shape)


def test_every_picture_is_seen_once_in_each_pass_and_counts_alike() -> None:
    pictures = Pictures("digits", "train", CPU, binary=False)
    model = Watcher()
    bound = measure(model, pictures, passes=2)
    grey = pictures.images.float() / 255
    assert torch.equal(torch.cat(model.seen), torch.cat((grey, grey)))
    # The last of several unequal chunks counts by its pictures, not as a chunk.
    assert len({len(batch) for batch in model.seen}) == 2
    assert bound.nats == pytest.approx(5 - grey.flatten(1).sum(1).double().mean().item(), rel=1e-6)
    assert bound.divergences == pytest.approx((0.0, 1.0, 4.0))
    assert (bound.passes, bound.examples) == (2, 1_257)


def test_classes_are_told_with_the_pictures() -> None:
    pictures = Pictures("digits", "train", CPU, binary=False, labelled=True)
    for measurement in (measure, lambda model, pictures: measure_importance_weighted(model, pictures, 1)):
        model = Watcher(classes=10)
        measurement(model, pictures)
        told = torch.cat([labels for labels in model.told if labels is not None])
        assert pictures.labels is not None
        assert torch.equal(told, pictures.labels)


def test_pictures_are_binarised_once_for_all_samples_and_anew_in_every_pass(binary: Pictures) -> None:
    model = Watcher()
    measure_importance_weighted(model, binary, 3)
    assert len(model.seen) == 3
    assert torch.equal(model.seen[0], model.seen[1])
    assert torch.equal(model.seen[0], model.seen[2])
    model = Watcher()
    measure(model, binary, passes=2)
    assert not torch.equal(*model.seen)


def test_measurements_depend_on_the_seed_alone(binary: Pictures) -> None:
    model = random_vae()
    for measurement in (
        lambda seed: measure(model, binary, 2, seed),
        lambda seed: measure_importance_weighted(model, binary, 2, seed),
    ):
        first = measurement(0)
        torch.manual_seed(99)
        torch.randn(3)
        assert measurement(0) == first
        assert measurement(7) != first


def test_standard_error_is_that_of_the_mean_over_passes(binary: Pictures) -> None:
    model = random_vae()
    assert measure(model, binary).standard_error is None
    # Pass number n is drawn by the seed that is n larger.
    alone = [measure(model, binary, seed=seed).nats for seed in (4, 5, 6)]
    bound = measure(model, binary, passes=3, seed=4)
    assert bound.nats == pytest.approx(np.mean(alone))
    assert bound.standard_error == pytest.approx(np.std(alone, ddof=1) / math.sqrt(3))


def test_standard_error_tells_how_far_the_figure_is_from_the_mean_of_many(grey: Pictures) -> None:
    model = LinearModel(shift=0.2, factor=2.0)
    exact = measure(model, grey, passes=200, seed=1_000).nats
    bounds = [measure(model, grey, passes=10, seed=10 * number) for number in range(20)]
    errors = [(bound.nats - exact) / bound.standard_error for bound in bounds if bound.standard_error]
    assert len(errors) == 20
    assert 0.5 < np.std(errors) < 2


def test_pictures_of_another_kind_are_refused(binary: Pictures) -> None:
    for measurement in (measure, lambda model, pictures: measure_importance_weighted(model, pictures, 1)):
        with pytest.raises(ValueError, match=r"this model is of pictures of shape \(1, 8, 9\)"):
            measurement(VAE((1, 8, 9), VAEConfig()), binary)
        with pytest.raises(ValueError, match="say which of 10"):
            measurement(VAE((1, 8, 8), VAEConfig(), classes=10), binary)

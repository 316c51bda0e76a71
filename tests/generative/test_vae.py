"""The variational auto-encoder equals its equations, written out unit by unit from its own weights."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from loops import Loop, linear_by_loop, sigmoid
from torch import Tensor, nn

from generative.config import VAEConfig
from generative.vae import VAE, Gated

SHAPE = (3, 2, 4)


def make(classes: int = 0, layer: str = "tanh", layers: int = 1, dropout: float = 0.0, output: str = "bernoulli") -> VAE:
    """Make a model whose weights and biases all differ."""
    config = VAEConfig(latents=5, hidden=7, layers=layers, layer=layer, dropout=dropout, output=output)
    model = VAE(SHAPE, config, classes)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(std=0.4, generator=generator)
    return model


def draw(count: int, latents: int = 5) -> tuple[Tensor, Tensor]:
    """Draw black and white pictures, and noise for one step."""
    generator = torch.Generator().manual_seed(count)
    return torch.randint(2, (count, *SHAPE), generator=generator).float(), torch.randn(1, count, latents, generator=generator)


def layers_by_loop(layers: nn.Module, inputs: Loop) -> Loop:
    """Go through hidden layers of tanh units or of gated ones."""
    for layer in layers.modules():
        if isinstance(layer, Gated):
            let_through, gates = np.split(linear_by_loop(layer.linear, inputs), 2)
            inputs = let_through * sigmoid(gates)
        elif isinstance(layer, nn.Sequential) and isinstance(layer[0], nn.Linear):
            inputs = np.tanh(linear_by_loop(layer[0], inputs))
    return inputs


def infer_by_loop(model: VAE, picture: Tensor, noise: Tensor, one_hot: list[float]) -> tuple[Loop, Loop, Loop]:
    """Infer one picture's z and draw it again: canvas, μ and log σ."""
    hidden = layers_by_loop(model.encoder, np.array([*picture.flatten().tolist(), *one_hot]))
    mean, log_deviation = np.split(linear_by_loop(model.posterior, hidden), 2)
    latents = mean + np.exp(log_deviation) * noise.double().numpy()
    canvas = linear_by_loop(model.picture, layers_by_loop(model.decoder, np.array([*latents, *one_hot])))
    return canvas.reshape(SHAPE), mean, log_deviation


@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("layer", ["tanh", "gated"])
@pytest.mark.parametrize("classes", [0, 3])
def test_inference_equals_the_loop(classes: int, layer: str, layers: int) -> None:
    model = make(classes, layer, layers)
    pictures, noise = draw(4)
    labels = torch.tensor([0, 2, 1, 2]) if classes else None
    inferred = model(pictures, noise, labels)
    assert inferred.canvas.shape == (4, *SHAPE)
    assert inferred.means.shape == inferred.log_deviations.shape == inferred.noise.shape == (1, 4, 5)
    for row in range(4):
        one_hot = [] if labels is None else [float(labels[row] == number) for number in range(classes)]
        right = infer_by_loop(model, pictures[row], noise[0, row], one_hot)
        for found, expected in zip((inferred.canvas, inferred.means[0], inferred.log_deviations[0]), right, strict=True):
            torch.testing.assert_close(found[row], torch.from_numpy(expected).float(), rtol=1e-4, atol=1e-5)


def test_gated_units_are_let_through_by_their_gates() -> None:
    layer = Gated(2, 1)
    with torch.no_grad():
        layer.linear.weight.copy_(torch.tensor([[1.0, 2.0], [3.0, -1.0]]))
        layer.linear.bias.copy_(torch.tensor([0.5, -0.5]))
    assert layer(torch.tensor([[2.0, 1.0]])).item() == pytest.approx((2 + 2 + 0.5) / (1 + math.exp(-(6 - 1 - 0.5))))


@pytest.mark.parametrize("classes", [0, 3])
def test_generating_from_the_latents_of_an_inference_gives_its_canvas(classes: int) -> None:
    model = make(classes)
    pictures, noise = draw(4)
    labels = torch.tensor([0, 2, 1, 2]) if classes else None
    inferred = model(pictures, noise, labels)
    made = model.generate(inferred.latents, labels)
    assert made.shape == (1, 4, *SHAPE)
    torch.testing.assert_close(made[0], inferred.canvas)


def test_the_decoder_alone_generates() -> None:
    model = make()
    _, latents = draw(4)
    before = model.generate(latents)
    with torch.no_grad():
        for parameter in (*model.encoder.parameters(), *model.posterior.parameters()):
            parameter.fill_(math.nan)
    assert torch.equal(model.generate(latents), before)
    assert before.isfinite().all()


def test_class_reaches_the_encoder_and_the_decoder() -> None:
    model = make(classes=3)
    pictures, noise = draw(2)
    inferences = [model(pictures, noise, torch.full((2,), label)) for label in (0, 1)]
    assert not torch.allclose(inferences[0].means, inferences[1].means)
    made = [model.generate(noise, torch.full((2,), label)) for label in (0, 1)]
    assert not torch.allclose(made[0], made[1])


def test_noise_makes_the_sample_and_nothing_else() -> None:
    model = make()
    pictures, noise = draw(3)
    inferred, certain = model(pictures, noise), model(pictures, torch.zeros_like(noise))
    assert torch.equal(inferred.means, certain.means)
    assert torch.equal(inferred.log_deviations, certain.log_deviations)
    assert torch.equal(certain.latents, certain.means)
    assert not torch.allclose(inferred.canvas, certain.canvas)


@pytest.mark.parametrize("output", ["bernoulli", "gaussian", "logistic"])
def test_the_bound_has_a_gradient_in_every_parameter(output: str) -> None:
    model = make(classes=3, layer="gated", layers=2, output=output)
    pictures, noise = draw(6)
    inferred = model(pictures, noise, torch.arange(6) % 3)
    bound = model.output.log_probability(pictures, inferred.canvas) - inferred.divergences.sum(0)
    bound.mean().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.abs().max() > 0, name


def test_dropout_is_for_training_alone() -> None:
    model = make(dropout=0.5)
    pictures, noise = draw(3)
    torch.manual_seed(0)
    assert not torch.equal(model(pictures, noise).means, model(pictures, noise).means)
    model.eval()
    assert torch.equal(model(pictures, noise).means, model(pictures, noise).means)
    torch.testing.assert_close(model(pictures, noise).means, make(dropout=0.0)(pictures, noise).means)


def test_half_precision_around_it_leaves_the_exponentials_in_single() -> None:
    model = make()
    pictures, noise = draw(3)
    with torch.autocast("cpu", torch.bfloat16):
        inferred = model(pictures, noise)
        made = model.generate(inferred.latents)
    for values in (*inferred, made, inferred.latents, inferred.divergences):
        assert values.dtype == torch.float32
    alone = model(pictures, noise)
    torch.testing.assert_close(inferred.canvas, alone.canvas, rtol=0.1, atol=0.1)
    assert not torch.equal(inferred.canvas, alone.canvas), "half precision was not in force"


@pytest.mark.parametrize(("layer", "factor"), [("tanh", 1), ("gated", 2)])
def test_encoder_and_decoder_have_the_layers_that_were_asked_for(layer: str, factor: int) -> None:
    model = VAE((1, 28, 28), VAEConfig(layers=3, layer=layer))
    for part, inputs in ((model.encoder, 784), (model.decoder, 50)):
        widths = [(layer.in_features, layer.out_features) for layer in part.modules() if isinstance(layer, nn.Linear)]
        assert widths == [(inputs, factor * 500), (500, factor * 500), (500, factor * 500)]

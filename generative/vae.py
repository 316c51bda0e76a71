"""The variational auto-encoder (Kingma and Welling 2013, arXiv 1312.6114): DRAW of a single step, without eye or memory."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import torch
from torch import Tensor, nn

from generative.config import VAEConfig
from generative.latent import Inference, LatentModel, draw_latents


class Gated(nn.Module):
    """A layer whose units are let through by gates that see the same: (W x + a) ⊙ σ(V x + b) (Dauphin et al. 2017)."""

    def __init__(self, inputs: int, units: int) -> None:
        super().__init__()
        self.linear = nn.Linear(inputs, 2 * units)

    def forward(self, inputs: Tensor) -> Tensor:
        """Map (…, inputs) to (…, units)."""
        return nn.functional.glu(self.linear(inputs), -1)


def _tanh(inputs: int, units: int) -> nn.Module:
    return nn.Sequential(nn.Linear(inputs, units), nn.Tanh())


LAYERS: dict[str, Callable[[int, int], nn.Module]] = {"tanh": _tanh, "gated": Gated}


def _layers(inputs: int, config: VAEConfig) -> nn.Sequential:
    widths = [inputs, *[config.hidden] * config.layers]
    layers = [LAYERS[config.layer](before, after) for before, after in itertools.pairwise(widths)]
    return nn.Sequential(*[part for layer in layers for part in (layer, nn.Dropout(config.dropout))])


class VAE(LatentModel):
    """q(z | x) = N(μ(x), diag σ²(x)) and p(x | z), both of fully connected layers (Kingma and Welling, appendix C).

    Args:
        shape: of a picture, (C, H, W).
        config: its settings.
        classes: number of classes that pictures are made by; 0 for none.
    """

    def __init__(self, shape: tuple[int, int, int], config: VAEConfig, classes: int = 0) -> None:
        super().__init__(shape, 1, config.latents, config.output, classes)
        self.encoder = _layers(self.pixels + classes, config)
        self.posterior = nn.Linear(config.hidden, 2 * config.latents)  # μ and log σ
        self.decoder = _layers(config.latents + classes, config)
        self.picture = nn.Linear(config.hidden, self.pixels)

    def forward(self, pictures: Tensor, noise: Tensor, labels: Tensor | None = None) -> Inference:
        """Infer z in one step; see `LatentModel`."""
        self.check_shapes(pictures, noise, labels)
        classes = self.one_hot(labels, len(pictures), pictures.device)
        hidden = self.encoder(torch.cat((pictures.flatten(1), classes), 1))
        mean, log_deviation = self.posterior(hidden).float().chunk(2, -1)  # (B, Z) each
        canvas = self._decode(draw_latents(mean, log_deviation, noise[0]), classes)
        return Inference(canvas, mean[None], log_deviation[None], noise)

    def generate(self, latents: Tensor, labels: Tensor | None = None) -> Tensor:
        """Make pictures in one step; see `LatentModel`."""
        self.check_labels(labels)
        return self._decode(latents[0], self.one_hot(labels, latents.shape[1], latents.device))[None]

    def _decode(self, latents: Tensor, classes: Tensor) -> Tensor:
        canvas: Tensor = self.picture(self.decoder(torch.cat((latents, classes), 1)))
        return canvas.float().view(-1, *self.shape)

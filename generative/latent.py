"""What models of pictures with latent variables have in common: what they infer, and what that is worth."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from generative.outputs import OUTPUTS, Output


def draw_latents(mean: Tensor, log_deviation: Tensor, noise: Tensor) -> Tensor:
    """Draw latent variables by what was drawn of N(0, I): z = μ + σ ε (VAE's section 2.4, DRAW's equation 6)."""
    return mean + log_deviation.exp() * noise


class Inference(NamedTuple):
    """What a model infers about a batch of B pictures in T steps, z_t ~ q(z_t | x, z_1 … z_{t-1}) = N(μ_t, σ_t²).

    Attributes:
        canvas: (B, C, H, W), c_T.
        means: (T, B, Z), μ_t.
        log_deviations: (T, B, Z), log σ_t.
        noise: (T, B, Z), ε_t, from which z_t = μ_t + σ_t ε_t.
    """

    canvas: Tensor
    means: Tensor
    log_deviations: Tensor
    noise: Tensor

    @property
    def latents(self) -> Tensor:
        """(T, B, Z), z_t."""
        return draw_latents(self.means, self.log_deviations, self.noise)

    @property
    def divergences(self) -> Tensor:
        """(T, B), KL(q(z_t) ‖ N(0, I)) = ½ Σ_j (μ² + σ² - log σ² - 1) in nats (DRAW's equation 11, VAE's appendix B)."""
        twice = 2 * self.log_deviations
        return 0.5 * (self.means.square() + twice.exp() - twice - 1).sum(-1)

    @property
    def log_ratios(self) -> Tensor:
        """(B,), log p(z) - log q(z | x) of the very z drawn, over all steps: what `divergences` expects with its sign turned."""
        return (0.5 * (self.noise.square() - self.latents.square()) + self.log_deviations).sum((0, -1))


class LatentModel(nn.Module, ABC):
    """A model p(z) p(x | z) of pictures with an inference network q(z | x).

    Args:
        shape: of a picture, (C, H, W).
        steps: T, how often latent variables are drawn.
        latents: Z, how many each time.
        output: the distribution over pictures: a name in `OUTPUTS`.
        classes: number of classes that pictures are made by; 0 for a model that knows of none.
    """

    def __init__(self, shape: tuple[int, int, int], steps: int, latents: int, output: str, classes: int) -> None:
        super().__init__()
        self.shape = shape
        self.pixels = math.prod(shape)
        self.steps = steps
        self.latents = latents
        self.classes = classes
        self.output: Output = OUTPUTS[output](shape[0])

    @abstractmethod
    def forward(self, pictures: Tensor, noise: Tensor, labels: Tensor | None = None) -> Inference:
        """Infer what pictures were made of, and draw them again.

        Args:
            pictures: (B, C, H, W) in [0, 1].
            noise: (T, B, Z), ε ~ N(0, I).
            labels: (B,), their classes, of a model that knows of such.
        """

    @abstractmethod
    def generate(self, latents: Tensor, labels: Tensor | None = None) -> Tensor:
        """Make pictures.

        Args:
            latents: (T, B, Z), z ~ N(0, I).
            labels: (B,), the classes wanted, of a model that knows of such.

        Returns:
            (T, B, C, H, W), the canvas after every step.
        """

    def check(self, pictures: Tensor, labels: Tensor | None) -> None:
        """See that pictures from elsewhere are such as the model is of; this waits for the device.

        Raises:
            ValueError: if they are of another size, not within [0, 1], or their classes are missing, not wanted or out of range.
        """
        self._check_size(pictures)
        if not bool(((pictures >= 0) & (pictures <= 1)).all()):
            raise ValueError(f"pictures must lie within [0, 1], got {pictures.min():.4g} … {pictures.max():.4g}")
        self.check_labels(labels)
        if labels is not None and (labels.shape != (len(pictures),) or not bool(((labels >= 0) & (labels < self.classes)).all())):
            raise ValueError(f"classes must be {len(pictures)} whole numbers within 0 … {self.classes - 1}")

    def check_shapes(self, pictures: Tensor, noise: Tensor, labels: Tensor | None) -> None:
        """See that pictures, noise and classes are of the model's shapes, without waiting for the device.

        Raises:
            ValueError: if they are not, or if classes are missing or not wanted.
        """
        self._check_size(pictures)
        if tuple(noise.shape) != (right := (self.steps, len(pictures), self.latents)):
            raise ValueError(f"noise must be of shape (T, B, Z) = {right}, got {tuple(noise.shape)}")
        self.check_labels(labels)

    def _check_size(self, pictures: Tensor) -> None:
        if tuple(pictures.shape[1:]) != self.shape:
            raise ValueError(f"this model is of pictures of shape {self.shape}, got {tuple(pictures.shape[1:])}")

    def check_labels(self, labels: Tensor | None) -> None:
        """See that classes are given if the model knows of such, and only then.

        Raises:
            ValueError: if they are missing or not wanted.
        """
        if self.classes and labels is None:
            raise ValueError(f"this model makes pictures by class: say which of {self.classes}")
        if not self.classes and labels is not None:
            raise ValueError("this model knows of no classes: train one with conditional=True")

    def one_hot(self, labels: Tensor | None, count: int, device: torch.device) -> Tensor:
        """Write classes as (B, K) of zeros and ones; (B, 0) for a model that knows of none."""
        if labels is None:
            return torch.zeros(count, 0, device=device)
        return F.one_hot(labels, self.classes).float()

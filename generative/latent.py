"""What models of pictures with latent variables have in common: what they infer, and what that is worth."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from generative.outputs import OUTPUTS, Output


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
        return self.means + self.log_deviations.exp() * self.noise

    @property
    def divergences(self) -> Tensor:
        """(T, B), KL(q(z_t) ‖ N(0, I)) = ½ Σ_j (μ² + σ² - log σ² - 1) in nats (DRAW's equation 11, VAE's appendix B)."""
        twice = 2 * self.log_deviations
        return 0.5 * (self.means.square() + twice.exp() - twice - 1).sum(-1)

    @property
    def log_ratios(self) -> Tensor:
        """(B,), log p(z) - log q(z | x) of the very z drawn, over all steps: what `divergences` expects with its sign turned."""
        return (0.5 * (self.noise.square() - self.latents.square()) + self.log_deviations).sum((0, -1))


class LatentModel(nn.Module):
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

    def forward(self, pictures: Tensor, noise: Tensor, labels: Tensor | None = None) -> Inference:
        """Infer what pictures were made of, and draw them again.

        Args:
            pictures: (B, C, H, W) in [0, 1].
            noise: (T, B, Z), ε ~ N(0, I).
            labels: (B,), their classes, of a model that knows of such.
        """
        raise NotImplementedError

    def generate(self, latents: Tensor, labels: Tensor | None = None) -> Tensor:
        """Make pictures.

        Args:
            latents: (T, B, Z), z ~ N(0, I).
            labels: (B,), the classes wanted, of a model that knows of such.

        Returns:
            (T, B, C, H, W), the canvas after every step.
        """
        raise NotImplementedError

    def check(self, pictures: Tensor, labels: Tensor | None) -> None:
        """See that pictures are such as the model is of.

        Raises:
            ValueError: if they are of another size, not within [0, 1], or their classes are missing or not wanted.
        """
        if tuple(pictures.shape[1:]) != self.shape:
            raise ValueError(f"this model is of pictures of shape {self.shape}, got {tuple(pictures.shape[1:])}")
        if not bool(((pictures >= 0) & (pictures <= 1)).all()):
            raise ValueError(f"pictures must lie within [0, 1], got {pictures.min():.4g} … {pictures.max():.4g}")
        self.check_labels(labels, len(pictures))

    def check_labels(self, labels: Tensor | None, count: int) -> None:
        """See that classes are given where the model knows of such, one for each picture.

        Raises:
            ValueError: if they are missing, not wanted, or out of range.
        """
        if not self.classes:
            if labels is not None:
                raise ValueError("this model knows of no classes: train one with conditional=True")
            return
        if labels is None:
            raise ValueError(f"this model makes pictures by class: say which of {self.classes}")
        if labels.shape != (count,) or not bool(((labels >= 0) & (labels < self.classes)).all()):
            raise ValueError(f"classes must be {count} whole numbers within 0 … {self.classes - 1}")

    def one_hot(self, labels: Tensor | None, count: int, device: torch.device) -> Tensor:
        """Write classes as (B, K) of zeros and ones; (B, 0) for a model that knows of none."""
        if labels is None:
            return torch.zeros(count, 0, device=device)
        return F.one_hot(labels, self.classes).float()

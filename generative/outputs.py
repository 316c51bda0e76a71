"""How a canvas becomes a distribution over pictures: D(x | c)."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod

import torch
import torch.nn.functional as F
from torch import Tensor, nn

LEVELS = 256


class Output(nn.Module, ABC):
    """A distribution over pictures of C × H × W pixels, each pixel by itself given the canvas.

    Args:
        channels: C.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.channels = channels

    def mean(self, canvas: Tensor) -> Tensor:
        """Give the expected picture, (…, C, H, W) in [0, 1]; DRAW subtracts it from x to see what is missing still."""
        return canvas.sigmoid()

    @abstractmethod
    def log_probability(self, pictures: Tensor, canvas: Tensor) -> Tensor:
        """Give log D(x | c) in nats.

        Args:
            pictures: (B, C, H, W) in [0, 1].
            canvas: (B, C, H, W).

        Returns:
            (B,) float32.
        """


class Bernoulli(Output):
    """Pixels that are black or white; white with probability σ(c)."""

    def log_probability(self, pictures: Tensor, canvas: Tensor) -> Tensor:
        """Give Σ x log σ(c) + (1 - x) log(1 - σ(c)) for each picture; see `Output`."""
        return -F.binary_cross_entropy_with_logits(canvas.float(), pictures, reduction="none").flatten(1).sum(1)


class Gaussian(Output):
    """Grey or coloured pixels around σ(c), with a learned deviation for each channel: a density over [0, 1], and beyond."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels)
        self.log_deviation = nn.Parameter(torch.full((channels, 1, 1), math.log(0.2)))

    def log_probability(self, pictures: Tensor, canvas: Tensor) -> Tensor:
        """Give log N(x; σ(c), deviation²) for each picture; see `Output`. It is a density: it may be above 0."""
        normalised = (pictures - self.mean(canvas.float())) / self.log_deviation.exp()
        return -(0.5 * normalised.square() + self.log_deviation + 0.5 * math.log(2 * math.pi)).flatten(1).sum(1)


class DiscretisedLogistic(Output):
    """Pixels of 256 levels: a logistic distribution around σ(c), its mass gathered into bins of 1/255 (Kingma et al. 2016).

    The scale is learned for each channel. The lowest and the highest level take all that lies beyond (arXiv 1606.04934, appendix).
    """

    def __init__(self, channels: int) -> None:
        super().__init__(channels)
        self.log_scale = nn.Parameter(torch.full((channels, 1, 1), math.log(0.1)))

    def log_probability(self, pictures: Tensor, canvas: Tensor) -> Tensor:
        """Give the log of the mass of each pixel's bin, summed over each picture; see `Output`."""
        levels = (pictures * (LEVELS - 1)).round() / (LEVELS - 1)
        scale, mean, half = self.log_scale.exp(), self.mean(canvas.float()), 0.5 / (LEVELS - 1)
        upper = ((levels + half - mean) / scale).masked_fill(levels >= 1, math.inf)
        lower = ((levels - half - mean) / scale).masked_fill(levels <= 0, -math.inf)
        # σ(u) - σ(l) = σ(u) σ(-l) (1 - e^(l - u)), which does not cancel where both are near 0 or near 1.
        mass = F.logsigmoid(upper) + F.logsigmoid(-lower) + torch.log(-torch.expm1(lower - upper))
        return mass.flatten(1).sum(1)


OUTPUTS: dict[str, type[Output]] = {"bernoulli": Bernoulli, "gaussian": Gaussian, "logistic": DiscretisedLogistic}

"""The network that sees a word: pairs of convolutions, the second of each pair plain, recursive, or recurrent.

Lee and Osindero 2016 (arXiv 1603.03101), section 3.1. With σ the rectifier, x what comes in and T repetitions:

    base        h = σ(w·x + b)
    recursive   h(0) = σ(w·x + b),     h(t) = σ(w·h(t−1) + b)
    recurrent   h(0) = σ(w_f·x + b),   h(t) = σ(w_r·h(t−1) + w_f·x + b)

Tied, one kernel does all of it: w at t = 0 as well, w_r = w_f. Untied, the first pass or the feed-forward part has a kernel of its
own. So a tied network has as many parameters as the base one however often it repeats, and sees farther: each repetition of a 3×3
kernel adds two pixels of its map to the receptive field.

Layer sizes as commonly reported (3×3, 64-64, 128-128, 256-256, 512-512, pooling of 2×2 after the first three pairs); they were not
checked against the paper's text. The paper has no batch normalisation. Where it is on, the sum before b is normalised over the
batch and scaled by a gain, each repetition by statistics of its own, which are no parameters, but with the same gain and b.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ocr.config import ConvolutionConfig

KERNEL = 3


class Rectified(nn.Module):
    """σ(· + b), b being one number for each channel, perhaps of what has been normalised over the batch, for a number of passes.

    Args:
        channels: C.
        passes: how many there are, each with statistics of its own.
        batch_norm: whether to normalise, and scale by a gain.
    """

    def __init__(self, channels: int, passes: int, batch_norm: bool) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(channels))
        self.gain = nn.Parameter(torch.ones(channels)) if batch_norm else None
        if batch_norm:
            self.register_buffer("mean", torch.zeros(passes, channels))
            self.register_buffer("variance", torch.ones(passes, channels))

    def forward(self, summed: Tensor, step: int = 0) -> Tensor:
        """Rectify what a pass has summed, (B, C, H, W)."""
        if self.gain is None:
            return F.relu(summed + self.bias[:, None, None].to(summed.dtype))
        mean, variance = self.get_buffer("mean")[step], self.get_buffer("variance")[step]
        return F.relu_(F.batch_norm(summed, mean, variance, self.gain, self.bias, self.training))


class RecursiveConvolution(nn.Module):
    """The second convolution of a pair, C to C channels.

    Args:
        channels: C.
        config: what it is, tied or not, how often it repeats.
    """

    def __init__(self, channels: int, config: ConvolutionConfig) -> None:
        super().__init__()
        self.recurrent = config.kind == "recurrent"
        self.iterations = 0 if config.kind == "base" else config.iterations
        self.first = _kernel(channels, channels)  # w, w_f
        # w, w_r; without one of its own it is the first.
        self.again = None if config.tied or config.kind == "base" else _kernel(channels, channels)
        self.rectified = Rectified(channels, self.iterations + 1, config.batch_norm)

    def forward(self, inputs: Tensor) -> Tensor:
        """See: (B, C, H, W) to (B, C, H, W)."""
        fed = self.first(inputs)
        seen: Tensor = self.rectified(fed, 0)
        for step in range(1, self.iterations + 1):
            again = (self.again or self.first)(seen)
            seen = self.rectified(again + fed if self.recurrent else again, step)
        return seen


class RecursiveCNN(nn.Module):
    """Four pairs of convolutions with pooling after the first three: crops to a feature map.

    Args:
        config: the settings.
    """

    def __init__(self, config: ConvolutionConfig) -> None:
        super().__init__()
        self.config = config
        inputs = (1, *config.channels[:-1])
        self.enter = nn.ModuleList(_kernel(before, after) for before, after in zip(inputs, config.channels, strict=True))
        self.entered = nn.ModuleList(Rectified(channels, 1, config.batch_norm) for channels in config.channels)
        self.repeat = nn.ModuleList(RecursiveConvolution(channels, config) for channels in config.channels)

    @property
    def pooling(self) -> tuple[tuple[int, int], ...]:
        """(lines, columns) that each of the three poolings joins."""
        return (2, 2), (2, 2), (2, self.config.last_pooling)

    def map_size(self, height: int, width: int) -> tuple[int, int]:
        """Tell the (lines, columns) of the feature map of crops of so many pixels."""
        for lines, columns in self.pooling:
            height, width = height // lines, width // columns
        return height, width

    def receptive_field(self) -> tuple[int, int]:
        """Tell how many (lines, columns) of the crop a place of the feature map sees."""
        passes = 2 + (0 if self.config.kind == "base" else self.config.iterations)
        seen, apart = [1, 1], [1, 1]
        for joined in (*self.pooling, (1, 1)):
            for axis, together in enumerate(joined):
                seen[axis] += passes * (KERNEL - 1) * apart[axis] + (together - 1) * apart[axis]
                apart[axis] *= together
        return seen[0], seen[1]

    def forward(self, crops: Tensor) -> Tensor:
        """See crops, (B, 1, H, W) in [-1, 1]: (B, C, lines, columns)."""
        seen = crops.contiguous(memory_format=torch.channels_last)  # in which convolutions of low precision are fastest
        for place, (enter, entered, repeat) in enumerate(zip(self.enter, self.entered, self.repeat, strict=True)):
            seen = repeat(entered(enter(seen)))
            if place < len(self.pooling):
                seen = F.max_pool2d(seen, self.pooling[place])
        return seen


def _kernel(inputs: int, outputs: int) -> nn.Conv2d:
    kernel = nn.Conv2d(inputs, outputs, KERNEL, padding=KERNEL // 2, bias=False)
    nn.init.kaiming_normal_(kernel.weight, nonlinearity="relu")
    return kernel

"""DRAW's eye as a recogniser: its read window in place of RAM's hard glimpse, so that plain gradients teach it where to look.

Gregor et al. 2015 (arXiv 1502.04623), section 4.1: a recurrent network that reads a picture a few times through an N × N window,
placed by its state after the glimpse before, and names it at the end. The pictures are those of the environments.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from attention_core.lstm import LSTMCell
from generative.config import ReaderConfig
from generative.filterbank import NUMBERS, Window, check_window, even_numbers, make_window, read


class GlimpseBlock(nn.Module):
    """A residual block of two layers (He et al. 2015, arXiv 1512.03385), which at first changes nothing.

    Args:
        width: units of its input, its middle and its output.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.inner, self.outer = nn.Linear(width, width), nn.Linear(width, width)
        nn.init.zeros_(self.outer.weight)
        nn.init.zeros_(self.outer.bias)

    def forward(self, glimpse: Tensor) -> Tensor:
        """Add to features, (B, width), what the block makes of them."""
        changed: Tensor = self.outer(F.relu(self.inner(glimpse)))
        return glimpse + changed


class Reader(nn.Module):
    """An LSTM that reads through a window; its first state and cell are learned.

    Between window and LSTM lies a layer of rectified linear units that sees the glimpse beside the window's five numbers, and
    residual blocks after it: the paper says that the LSTM is given the glimpse, and not how.

    Args:
        shape: of a picture, (C, H, W).
        classes: K.
        config: its settings.

    Raises:
        ValueError: if the window does not fit the pictures.
    """

    def __init__(self, shape: tuple[int, int, int], classes: int, config: ReaderConfig) -> None:
        super().__init__()
        channels, self.height, self.width = shape
        self.shape = shape
        check_window(config.size, self.height, self.width)
        self.size, self.glimpses, self.window_clip = config.size, config.glimpses, config.window_clip
        self.glimpse = nn.Linear(channels * config.size**2 + NUMBERS, config.glimpse_width)
        self.blocks = nn.Sequential(*(GlimpseBlock(config.glimpse_width) for _ in range(config.glimpse_blocks)))
        self.core = LSTMCell(config.glimpse_width, config.hidden)
        self.window = nn.Linear(config.hidden, NUMBERS)
        self.scores = nn.Linear(config.hidden, classes)
        self.first_states = nn.Parameter(torch.zeros(2, config.hidden))
        with torch.no_grad():
            self.window.weight.mul_(0.1)  # at first all pictures are looked at in about the same way
            self.window.bias.copy_(torch.tensor(even_numbers(config.size, self.height, self.width)))

    def forward(self, pictures: Tensor) -> Tensor:
        """Name pictures, (B, C, H, W) in [0, 1]: scores of the classes after every glimpse, (T, B, K)."""
        return self.watch(pictures)[0]

    def watch(self, pictures: Tensor) -> tuple[Tensor, list[Window]]:
        """Name pictures as `forward` does, and tell through which windows they were seen, one for every glimpse."""
        if tuple(pictures.shape[1:]) != self.shape:
            raise ValueError(f"this model names pictures of shape {self.shape}, got {tuple(pictures.shape[1:])}")
        hidden, cell = (state.expand(len(pictures), -1) for state in self.first_states)
        scores, windows = [], []
        for _ in range(self.glimpses):
            numbers = self.window(hidden)
            if numbers.requires_grad:
                numbers.register_hook(self._shorten)
            window = make_window(numbers, self.size, self.height, self.width)
            seen = read(pictures, window, self.size).flatten(1)
            glimpse = self.blocks(F.relu(self.glimpse(torch.cat((seen, numbers.float()), 1))))
            hidden, cell = self.core((glimpse,), (hidden, cell))
            scores.append(self.scores(hidden).float())
            windows.append(window)
        return torch.stack(scores), windows

    def _shorten(self, gradient: Tensor) -> Tensor:
        """Shorten the gradients of single pictures' losses at a window's numbers, (B, 5), to the bound.

        Where a window lies decides what is seen, and that where the next one lies: for a few pictures the gradient grows with every
        glimpse until it outweighs all others', and what is learned from these alone makes training break down.
        """
        norms = gradient.float().norm(dim=-1, keepdim=True) * len(gradient)  # the loss is the mean of the pictures' losses
        shortened: Tensor = gradient * (self.window_clip / norms).clamp(max=1)
        return shortened.to(gradient.dtype)


def answer_loss(scores: Tensor, labels: Tensor, every_answer: float) -> Tensor:
    """Give the cross-entropy of the last of T answers, plus that of each earlier one times `every_answer`.

    Args:
        scores: (T, B, K).
        labels: (B,).
        every_answer: weight of the earlier ones.
    """
    steps, count, _ = scores.shape
    errors = F.cross_entropy(scores.flatten(0, 1), labels.repeat(steps), reduction="none").view(steps, count).mean(1)
    return errors[-1] + every_answer * errors[:-1].sum()

"""The equations written out in loops over single numbers, which the tests hold the package against."""

from __future__ import annotations

import itertools
import math
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from attention_core.lstm import LSTMCell

Loop = NDArray[np.float64]


class LoopWindow(NamedTuple):
    """The filters of one window, F_Y (N, H) and F_X (N, W), and γ."""

    rows: Loop
    columns: Loop
    intensity: float


def filters_by_loop(centre: float, stride: float, deviation: float, size: int, length: int) -> Loop:
    """Make (N, length) filters, i and a counting from 1."""
    filters = np.zeros((size, length))
    for i in range(1, size + 1):
        middle = centre + (i - size / 2 - 0.5) * stride
        for a in range(1, length + 1):
            filters[i - 1, a - 1] = math.exp(-((a - middle) ** 2) / (2 * deviation**2))
        filters[i - 1] /= sum(filters[i - 1])
    return filters


def window_by_loop(numbers: Loop, size: int, height: int, width: int) -> LoopWindow:
    """Make the window of (g̃_X, g̃_Y, log σ², log δ̃, log γ)."""
    x, y, log_variance, log_stride, log_intensity = numbers.tolist()
    stride = (max(width, height) - 1) / (size - 1) * math.exp(log_stride)
    deviation = math.sqrt(math.exp(log_variance))
    return LoopWindow(
        filters_by_loop((height + 1) / 2 * (y + 1), stride, deviation, size, height),
        filters_by_loop((width + 1) / 2 * (x + 1), stride, deviation, size, width),
        math.exp(log_intensity),
    )


def read_by_loop(picture: Loop, numbers: Loop, size: int) -> Loop:
    """Read one picture (C, H, W): (C, N, N)."""
    channels, height, width = picture.shape
    rows, columns, intensity = window_by_loop(numbers, size, height, width)
    seen = np.zeros((channels, size, size))
    for c, i, j, b, a in itertools.product(range(channels), range(size), range(size), range(height), range(width)):
        seen[c, i, j] += intensity * rows[i, b] * picture[c, b, a] * columns[j, a]
    return seen


def write_by_loop(patch: Loop, numbers: Loop, height: int, width: int) -> Loop:
    """Write one patch (C, N, N): (C, H, W)."""
    channels, size, _ = patch.shape
    rows, columns, intensity = window_by_loop(numbers, size, height, width)
    written = np.zeros((channels, height, width))
    for c, i, j, b, a in itertools.product(range(channels), range(size), range(size), range(height), range(width)):
        written[c, b, a] += rows[i, b] * patch[c, i, j] * columns[j, a] / intensity
    return written


def linear_by_loop(layer: nn.Linear, inputs: Loop) -> Loop:
    """W x + b, row by row."""
    weight, bias = layer.weight.detach().double().numpy(), layer.bias.detach().double().numpy()
    return np.array([bias[row] + sum(weight[row] * inputs) for row in range(len(bias))])


def sigmoid(values: Loop) -> Loop:
    return 1 / (1 + np.exp(-values))


def randomise(model: nn.Module) -> None:
    """Give all parameters values of their own, those included that start at zero."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(std=0.3, generator=generator)


def lstm_by_loop(cell: LSTMCell, inputs: Loop, hidden: Loop, memory: Loop) -> tuple[Loop, Loop]:
    """Take one step of a long short-term memory, for one row."""
    enter, forget, leave, new = np.split(linear_by_loop(cell.gates, np.concatenate((inputs, hidden))), 4)
    memory = sigmoid(forget) * memory + sigmoid(enter) * np.tanh(new)
    return sigmoid(leave) * np.tanh(memory), memory

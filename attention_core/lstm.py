"""The long short-term memory cell of DRAW, of its eye, of the captioner, and of the reader of words."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class LSTMCell(nn.Module):
    """A long short-term memory cell whose four gates see input and state in one matrix product.

    The gate that forgets begins open, with a bias of 1, so that what was seen first is still there after many steps (Gers,
    Schmidhuber, Cummins 2000).

    Args:
        inputs: numbers that come in.
        units: of state and cell.
    """

    def __init__(self, inputs: int, units: int) -> None:
        super().__init__()
        self.units = units
        self.gates = nn.Linear(inputs + units, 4 * units)
        with torch.no_grad():
            self.gates.bias[units : 2 * units] = 1

    def forward(self, inputs: tuple[Tensor, ...], state: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        """Take one step.

        Args:
            inputs: (B, ·) each; together as many numbers as come in.
            state: h and c, (B, units) each.

        Returns:
            The new ones.
        """
        hidden, cell = state
        gates, new = self.gates(torch.cat((*inputs, hidden), 1)).float().split((3 * self.units, self.units), 1)
        enter, forget, leave = gates.sigmoid().chunk(3, 1)
        cell = forget * cell + enter * new.tanh()
        return leave * cell.tanh(), cell

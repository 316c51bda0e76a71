"""The long short-term memory cell of DRAW, of its eye, of the captioner, and of the reader of words."""

from __future__ import annotations

import torch
import torch.nn.functional as F
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

    def forward(
        self, inputs: tuple[Tensor, ...], state: tuple[Tensor, Tensor], known: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Take one step, or try K of them from the same state.

        Args:
            inputs: (B, ·) each; together as many numbers as come in. For K steps (B, K, ·) each, or (B, 1, ·) where they are
                alike in all of them, and multiplied but once, as the state is.
            state: h and c, (B, units) each.
            known: (B, 4 units), what inputs that are the same at every step, and are multiplied but once, add to the gates.

        Returns:
            The new ones, (B, units) or (B, K, units) each.
        """
        hidden, cell = state
        if inputs[0].dim() == 2:
            gates = self.gates(torch.cat((*inputs, hidden), 1))
        else:
            parts, cell = (*inputs, hidden[:, None]), cell[:, None]
            weights = torch.split(self.gates.weight, [part.shape[-1] for part in parts], 1)
            gates = sum(map(F.linear, parts, weights), self.gates.bias)
        gates = gates.float() if known is None else gates.float() + known
        gates, new = gates.split((3 * self.units, self.units), -1)
        enter, forget, leave = gates.sigmoid().chunk(3, -1)
        cell = forget * cell + enter * new.tanh()
        return leave * cell.tanh(), cell

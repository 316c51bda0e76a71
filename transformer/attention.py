"""Multi-head attention: softmax(QKᵀ/√d_k)V in several heads at once (Vaswani et al. 2017, section 3.2)."""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class KeysValues(NamedTuple):
    """What can be looked at: K and V, (B, heads, S, d_k) each."""

    keys: Tensor
    values: Tensor


class MultiHeadAttention(nn.Module):
    """Attention of T queries to S tokens, on PyTorch's own kernel.

    Args:
        units: d.
        heads: of d_k = d / heads numbers each.

    Raises:
        ValueError: if the units cannot be shared out evenly.
    """

    def __init__(self, units: int, heads: int) -> None:
        super().__init__()
        if units % heads:
            raise ValueError(f"{units} units cannot be shared out evenly among {heads} heads")
        self.units, self.heads = units, heads
        # W^Q, W^K and W^V, one above the other: one matrix product makes all three where all are of the same tokens.
        self.inputs = nn.Linear(units, 3 * units)
        self.outputs = nn.Linear(units, units)
        for part in self.inputs.weight.chunk(3):
            nn.init.xavier_uniform_(part)
        nn.init.xavier_uniform_(self.outputs.weight)
        nn.init.zeros_(self.inputs.bias)
        nn.init.zeros_(self.outputs.bias)

    def of_all(self, tokens: Tensor) -> tuple[Tensor, KeysValues]:
        """Make queries, keys and values of the same tokens: (B, T, d) to (B, heads, T, d_k) each."""
        queries, keys, values = (self._split(part) for part in self.inputs(tokens).chunk(3, -1))
        return queries, KeysValues(keys, values)

    def of_queries(self, tokens: Tensor) -> Tensor:
        """Make queries, (B, T, d) to (B, heads, T, d_k)."""
        weight, bias = self.inputs.weight[: self.units], self.inputs.bias[: self.units]
        return self._split(F.linear(tokens, weight, bias))

    def of_memory(self, tokens: Tensor) -> KeysValues:
        """Make keys and values, (B, S, d) to (B, heads, S, d_k) each."""
        weight, bias = self.inputs.weight[self.units :], self.inputs.bias[self.units :]
        return KeysValues(*(self._split(part) for part in F.linear(tokens, weight, bias).chunk(2, -1)))

    def forward(self, queries: Tensor, seen: KeysValues, mask: Tensor | None = None, causal: bool = False) -> Tensor:
        """Look.

        Args:
            queries: (B, heads, T, d_k).
            seen: what is there.
            mask: broadcastable to (B, heads, T, S) bool, True where may be looked; each query must have such a place.
            causal: whether the query at a place may look no farther than there.

        Returns:
            (B, T, d).
        """
        if queries.device.type == "cpu":  # where the kernel's gradient in half precision takes ten times as long
            queries, seen = queries.float(), KeysValues(*(part.float() for part in seen))
        with torch.autocast("cpu", enabled=False):
            looked = F.scaled_dot_product_attention(queries, *seen, attn_mask=mask, is_causal=causal)
        return self._join(looked)

    def readably(
        self, queries: Tensor, seen: KeysValues, mask: Tensor | None = None, causal: bool = False
    ) -> tuple[Tensor, Tensor]:
        """Look as `forward` does, formula by formula, and give the weights, (B, heads, T, S), as well."""
        scores = queries @ seen.keys.transpose(-1, -2) / queries.shape[-1] ** 0.5
        if causal:
            may = torch.ones(scores.shape[-2:], dtype=torch.bool, device=scores.device).tril()
            scores = scores.masked_fill(~may, -torch.inf)
        if mask is not None:
            scores = scores.masked_fill(~mask, -torch.inf)
        weights = scores.softmax(-1)
        return self._join(weights @ seen.values), weights

    def _split(self, tokens: Tensor) -> Tensor:
        return tokens.view(*tokens.shape[:2], self.heads, -1).transpose(1, 2)

    def _join(self, looked: Tensor) -> Tensor:
        joined: Tensor = self.outputs(looked.transpose(1, 2).flatten(2))
        return joined

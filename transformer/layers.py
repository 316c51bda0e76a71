"""Layers of encoder and decoder (Vaswani et al. 2017, section 3.1), normalised after each part as published, or before it."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from transformer.attention import KeysValues, MultiHeadAttention
from transformer.config import Size


class Residual(nn.Module):
    """LayerNorm(x + Dropout(part(x))), or x + Dropout(part(LayerNorm(x))).

    Args:
        units: d.
        dropout: share of the part's result left out at random in training.
        norm_first: which of the two.
    """

    def __init__(self, units: int, dropout: float, norm_first: bool) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(units)
        self.dropout = nn.Dropout(dropout)
        self.norm_first = norm_first

    def forward(self, tokens: Tensor, part: Callable[[Tensor], Tensor]) -> Tensor:
        """Add what a part makes of tokens, (B, T, d)."""
        added: Tensor
        if self.norm_first:
            added = tokens + self.dropout(part(self.norm(tokens)))
        else:
            added = self.norm(tokens + self.dropout(part(tokens)))
        return added


class FeedForward(nn.Sequential):
    """max(0, xW₁ + b₁)W₂ + b₂, at each place alike.

    Args:
        units: d.
        inner: d_ff.
    """

    def __init__(self, units: int, inner: int) -> None:
        super().__init__(nn.Linear(units, inner), nn.ReLU(), nn.Linear(inner, units))
        for layer in self:
            if isinstance(layer, nn.Linear):
                nn.init.xavier_uniform_(layer.weight)
                nn.init.zeros_(layer.bias)


class EncoderLayer(nn.Module):
    """Tokens look at each other, then each for itself.

    Args:
        size: of the Transformer.
        dropout: share of units of each part's result left out at random in training (section 5.4).
        norm_first: see `Residual`.
    """

    def __init__(self, size: Size, dropout: float, norm_first: bool) -> None:
        super().__init__()
        self.attention = MultiHeadAttention(size.units, size.heads)
        self.forward_network = FeedForward(size.units, size.inner)
        self.residuals = nn.ModuleList(Residual(size.units, dropout, norm_first) for _ in range(2))

    def forward(self, tokens: Tensor, mask: Tensor) -> Tensor:
        """Work on tokens, (B, S, d); where `mask`, (B, 1, 1, S), is False there is none."""

        def look(inputs: Tensor) -> Tensor:
            queries, seen = self.attention.of_all(inputs)
            looked: Tensor = self.attention(queries, seen, mask)
            return looked

        tokens = self.residuals[0](tokens, look)
        worked: Tensor = self.residuals[1](tokens, self.forward_network)
        return worked


class DecoderLayer(nn.Module):
    """Tokens look at those before them, then at the source, then each for itself.

    Args:
        size: of the Transformer.
        dropout: share of units of each part's result left out at random in training (section 5.4).
        norm_first: see `Residual`.
    """

    def __init__(self, size: Size, dropout: float, norm_first: bool) -> None:
        super().__init__()
        self.attention = MultiHeadAttention(size.units, size.heads)
        self.source_attention = MultiHeadAttention(size.units, size.heads)
        self.forward_network = FeedForward(size.units, size.inner)
        self.residuals = nn.ModuleList(Residual(size.units, dropout, norm_first) for _ in range(3))

    def forward(self, tokens: Tensor, source: KeysValues, mask: Tensor) -> Tensor:
        """Work on whole sentences, (B, T, d); the source's keys and values are of `source_attention.of_memory`."""

        def look(inputs: Tensor) -> Tensor:
            queries, seen = self.attention.of_all(inputs)
            looked: Tensor = self.attention(queries, seen, causal=True)
            return looked

        def look_at_source(inputs: Tensor) -> Tensor:
            looked: Tensor = self.source_attention(self.source_attention.of_queries(inputs), source, mask)
            return looked

        tokens = self.residuals[0](tokens, look)
        tokens = self.residuals[1](tokens, look_at_source)
        worked: Tensor = self.residuals[2](tokens, self.forward_network)
        return worked

    def advance(self, token: Tensor, before: KeysValues | None, source: KeysValues, mask: Tensor) -> tuple[Tensor, KeysValues]:
        """Work on the next token of each sentence, (B, 1, d), with the keys and values of those before it, (B, heads, t, d_k) each.

        The source may have fewer rows, P: then B = P · K, the K sentences about the same source next to each other.

        Returns:
            (B, 1, d), and the keys and values with this one's added.
        """
        seen = before

        def look(inputs: Tensor) -> Tensor:
            nonlocal seen
            queries, own = self.attention.of_all(inputs)
            seen = own if before is None else KeysValues(*(torch.cat(pair, 2) for pair in zip(before, own, strict=True)))
            looked: Tensor = self.attention(queries, seen)
            return looked

        def look_at_source(inputs: Tensor) -> Tensor:
            # Sentences about one source as queries of it. An exported graph keeps a shape free, but not a length.
            together = inputs.view(source.keys.shape[0], -1, inputs.shape[-1])
            looked: Tensor = self.source_attention(self.source_attention.of_queries(together), source, mask)
            return looked.view_as(inputs)

        token = self.residuals[0](token, look)
        assert seen is not None
        token = self.residuals[1](token, look_at_source)
        return self.residuals[2](token, self.forward_network), seen

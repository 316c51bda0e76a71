"""Soft attention over annotation vectors, of the captioner and of the reader of words.

Xu et al. 2015 (arXiv 1502.03044), section 3.1.2: e_ti = f_att(a_i, h_{t-1}), α_t = softmax(e_t), and what is seen is Σ_i α_ti a_i.

Several sequences may be written about one picture, as a beam search does: then there are B = P · K rows for P pictures, the K of a
picture next to each other, and what is known of a picture is read once for all of them.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Attention(nn.Module):
    """f_att, a network with one layer of tanh units: e_ti = v · tanh(W_a a_i + W_h h_{t-1} + b).

    Args:
        annotation: D.
        hidden: units of h.
        units: of the layer.
    """

    def __init__(self, annotation: int, hidden: int, units: int) -> None:
        super().__init__()
        self.of_annotation = nn.Linear(annotation, units)
        self.of_hidden = nn.Linear(hidden, units, bias=False)
        self.score = nn.Linear(units, 1, bias=False)  # a bias would be the same for all places

    def keys(self, annotations: Tensor) -> Tensor:
        """W_a a_i + b, which is the same at every step: (P, L, D) to (P, L, units)."""
        keys: Tensor = self.of_annotation(annotations)
        return keys

    def forward(self, keys: Tensor, hidden: Tensor) -> Tensor:
        """Give e_t, (B, L), of keys, (P, L, units), and h_{t-1}, (B, hidden)."""
        asked = by_picture(self.of_hidden(hidden), keys)[:, :, None]  # (P, K, 1, units)
        # In place: the sum is the largest tensor there is, and nothing else wants it.
        scores: Tensor = self.score((keys[:, None] + asked).tanh_())
        return scores.flatten(2).flatten(0, 1).float()


def by_picture(rows: Tensor, pictures: Tensor) -> Tensor:
    """Put rows about the same picture together: (P · K, …) to (P, K, …)."""
    return rows.reshape(len(pictures), -1, *rows.shape[1:])


def weigh(annotations: Tensor, weights: Tensor) -> Tensor:
    """Σ_i α_ti a_i: (P, L, D) and (B, L) to (B, D)."""
    return torch.bmm(by_picture(weights.to(annotations.dtype), annotations), annotations).flatten(0, 1)

"""Where to look for the next word: the attention network f_att, and what is made of its weights, φ.

Xu et al. 2015 (arXiv 1502.03044), sections 3.1.2 and 4: e_ti = f_att(a_i, h_{t-1}), α_t = softmax(e_t), ẑ_t = φ({a_i}, α_t). Soft
and hard attention differ in φ alone.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from attention_core.policy_gradient import sample_categorical


class Looked(NamedTuple):
    """What a look gives.

    Attributes:
        context: (B, D), ẑ_t before its gate.
        weights: (B, L), α_t.
        log_weights: (B, L), log α_t.
        place: (B,), s_t: the annotation looked at; of soft attention the one of greatest weight.
    """

    context: Tensor
    weights: Tensor
    log_weights: Tensor
    place: Tensor


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
        """W_a a_i + b, which is the same at every step: (B, L, D) to (B, L, units)."""
        keys: Tensor = self.of_annotation(annotations)
        return keys

    def forward(self, keys: Tensor, hidden: Tensor) -> Tensor:
        """Give e_t, (B, L), of keys, (P, L, units), and h_{t-1}, (B, hidden); see `by_picture`."""
        asked = by_picture(self.of_hidden(hidden), keys)[:, :, None]  # (P, K, 1, units)
        # In place: the sum is the largest tensor there is, and nothing else wants it.
        scores: Tensor = self.score((keys[:, None] + asked).tanh_())
        return scores.flatten(2).flatten(0, 1).float()


def by_picture(rows: Tensor, pictures: Tensor) -> Tensor:
    """Put rows that look at the same picture together: (B, …) to (P, K, …), B = P · K, those of a picture next to each other.

    So what is known of a picture is read once for all captions of it that a search writes at.
    """
    return rows.reshape(len(pictures), -1, *rows.shape[1:])


def soft(annotations: Tensor, scores: Tensor) -> Looked:
    """Look everywhere at once, by weight: φ = Σ_i α_ti a_i (equation 13).

    Args:
        annotations: (P, L, D); see `by_picture`.
        scores: (B, L), e_t.
    """
    logs = scores.log_softmax(-1)
    weights = logs.exp()
    context = torch.bmm(by_picture(weights.to(annotations.dtype), annotations), annotations).flatten(0, 1)
    return Looked(context, weights, logs, scores.argmax(-1))


def hard(annotations: Tensor, scores: Tensor, gumbel: Tensor | None = None, everywhere: Tensor | None = None) -> Looked:
    """Look at one place, s_t ~ Multinoulli(α_t): φ = a_{s_t} (equations 8 and 9).

    No gradient goes through the choice: that of log α_t at the place is what REINFORCE learns from.

    Args:
        annotations: (P, L, D); see `by_picture`.
        scores: (B, L), e_t.
        gumbel: (B, L), standard Gumbel noise, by which the place is drawn; without it the likeliest is taken.
        everywhere: (B,) bool, of captions that are shown the expectation Σ_i α_ti a_i in place of the sample (section 4.1).
    """
    looked = soft(annotations, scores)
    place = looked.place if gumbel is None else sample_categorical(scores, gumbel)
    rows = torch.arange(len(place), device=place.device)
    context = annotations[rows // (len(place) // len(annotations)), place]
    if everywhere is not None:
        context = torch.where(everywhere[:, None], looked.context, context)
    return looked._replace(context=context, place=place)

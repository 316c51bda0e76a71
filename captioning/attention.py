"""Where to look for the next word: what is made of the weights of the attention network f_att, φ.

Xu et al. 2015 (arXiv 1502.03044), sections 3.1.2 and 4: e_ti = f_att(a_i, h_{t-1}), α_t = softmax(e_t), ẑ_t = φ({a_i}, α_t). Soft
and hard attention differ in φ alone. Several captions may be written about one picture: see `attention_core.attention`.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from attention_core.attention import weigh
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


class Glances(NamedTuple):
    """What looking at K places one by one gives, before it is settled which of them is the one looked at.

    Attributes:
        contexts: (B, K, D), ẑ_t before its gate at each.
        log_shares: (B, K), log-probabilities, given that it is one of the K.
        places: (B, K), the likeliest first.
        log_weights: (B, L), log α_t.
    """

    contexts: Tensor
    log_shares: Tensor
    places: Tensor
    log_weights: Tensor


def soft(annotations: Tensor, scores: Tensor) -> Looked:
    """Look everywhere at once, by weight: φ = Σ_i α_ti a_i (equation 13).

    Args:
        annotations: (P, L, D).
        scores: (B, L), e_t.
    """
    logs = scores.log_softmax(-1)
    weights = logs.exp()
    return Looked(weigh(annotations, weights), weights, logs, scores.argmax(-1))


def hard(annotations: Tensor, scores: Tensor, gumbel: Tensor | None = None, everywhere: Tensor | None = None) -> Looked:
    """Look at one place, s_t ~ Multinoulli(α_t): φ = a_{s_t} (equations 8 and 9).

    No gradient goes through the choice: that of log α_t at the place is what REINFORCE learns from.

    Args:
        annotations: (P, L, D).
        scores: (B, L), e_t.
        gumbel: (B, L), standard Gumbel noise, by which the place is drawn; without it the likeliest is taken.
        everywhere: (B,) bool, of captions that are shown the expectation Σ_i α_ti a_i in place of the sample (section 4.1).
    """
    looked = soft(annotations, scores)
    place = looked.place if gumbel is None else sample_categorical(scores, gumbel)
    context = annotations[_pictures(annotations, place), place]
    if everywhere is not None:
        context = torch.where(everywhere[:, None], looked.context, context)
    return looked._replace(context=context, place=place)


def glance(annotations: Tensor, scores: Tensor, order: Tensor, tries: int) -> Glances:
    """Look at several places.

    Args:
        annotations: (P, L, D).
        scores: (B, L), e_t.
        order: (B, L): the places where it is greatest are looked at.
        tries: K, or L where there are fewer.
    """
    places = order.topk(min(tries, order.shape[1]), 1).indices
    contexts = annotations[_pictures(annotations, places)[:, None], places]
    return Glances(contexts, scores.gather(1, places).log_softmax(1), places, scores.log_softmax(-1))


def _pictures(annotations: Tensor, places: Tensor) -> Tensor:
    """Tell which of P pictures each of B rows is about, those of a picture lying next to each other."""
    return torch.arange(len(places), device=places.device) // (len(places) // len(annotations))

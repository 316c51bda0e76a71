"""Making and loading captioners."""

from __future__ import annotations

import torch

from attention_core.zoo import ModelError, find_model
from attention_env.captions import Vocabulary
from captioning.config import CaptionConfig
from captioning.decoder import Captioner
from captioning.encoders import Encoder, choose_weights, described_weights

MADE_FOR = ("shape", "words", "seen_by")
"""What a model's configuration says of it beside its settings, so that it can be made without its pictures."""


def new_captioner(config: CaptionConfig, shape: tuple[int, int], vocabulary: Vocabulary, encoder: Encoder | None) -> Captioner:
    """Make an untrained captioner; its weights depend on `config.seed` alone.

    Args:
        config: its settings.
        shape: (L, D) of the annotations.
        vocabulary: the words.
        encoder: one of its own, if it has one.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        return Captioner(shape, len(vocabulary), config, encoder)


def load(reference: str, device: torch.device) -> tuple[Captioner, CaptionConfig, Vocabulary, str]:
    """Load a captioner from a zoo name, a run folder or a weights file.

    Returns:
        The captioner in evaluation mode, its settings, its words, and its name.

    Raises:
        ModelError: if there is none, or it is another kind of model.
    """
    saved = find_model(reference)
    config = saved.settings({CaptionConfig.kind: CaptionConfig}, "a captioner", MADE_FOR)
    shape, words, seen_by = (saved.config.get(name) for name in MADE_FOR)
    if shape is None or words is None or seen_by is None:
        raise ModelError(
            f"{saved.name}'s configuration does not say of which pictures and words it is (shape, words, seen_by): train it anew"
        )
    vocabulary = Vocabulary(tuple(words.split(" ")))
    count, numbers = shape
    encoder = None
    if config.encoder_rate:
        encoder = Encoder(config.features.encoder, config.features.stride, described_weights(seen_by))
    elif seen_by and (here := choose_weights(config.features.encoder).path) != seen_by:
        raise ModelError(
            f"{saved.name} learned from what {seen_by} makes of pictures, and here {here} would be used: "
            f"they differ; put {seen_by} where data files lie (`attention data list` says where)"
        )
    captioner = new_captioner(config, (count, numbers), vocabulary, encoder)
    saved.load_into(captioner)
    return captioner.to(device).eval(), config, vocabulary, saved.name

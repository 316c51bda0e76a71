"""Making and loading Transformers."""

from __future__ import annotations

import torch

from attention_core.zoo import ModelError, find_model
from transformer.config import TransformerConfig
from transformer.model import Transformer
from transformer.vocabulary import Vocabulary


def new_transformer(config: TransformerConfig, vocabulary: Vocabulary) -> Transformer:
    """Make an untrained Transformer; its weights depend on `config.seed` alone."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        return Transformer(config, len(vocabulary))


def load(reference: str, device: torch.device) -> tuple[Transformer, TransformerConfig, Vocabulary, str]:
    """Load a Transformer from a zoo name, a run folder or a weights file.

    Returns:
        The Transformer in evaluation mode, its settings, its vocabulary, and its name.

    Raises:
        ModelError: if there is none, it is another kind of model, or its weights are of another vocabulary.
    """
    saved = find_model(reference)
    config = saved.settings({TransformerConfig.kind: TransformerConfig}, "a Transformer", ("merges",))
    merges = saved.config.get("merges")
    if not isinstance(merges, str):
        raise ModelError(f"{saved.name}'s configuration does not hold its vocabulary (merges): train it anew")
    vocabulary = Vocabulary(merges.split("\n") if merges else [])
    model = new_transformer(config, vocabulary)
    saved.load_into(model)
    return model.to(device).eval(), config, vocabulary, saved.name

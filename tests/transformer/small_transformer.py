"""A Transformer small enough for tests, and sentences for it."""

from __future__ import annotations

import torch

from attention_core.config import from_dict
from transformer.config import TransformerConfig
from transformer.model import Transformer
from transformer.vocabulary import END, PAD

TOKENS = 24
"""In the vocabulary of models that have no words."""


def make_model(seed: int = 3, tokens: int = TOKENS, **settings: object) -> Transformer:
    """Make one of random weights, large enough that what it writes depends on what it reads, in evaluation mode."""
    torch.manual_seed(seed)
    model = Transformer(from_dict(TransformerConfig, {"longest": 40, **settings}), tokens)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "bias" in name:
                parameter.normal_(std=0.1)
            elif "source_attention" in name:
                parameter.mul_(8)
        model.embedding.weight.mul_(2)
    return model.eval()


def make_sources(count: int = 12, longest: int = 9, tokens: int = TOKENS, seed: int = 1) -> torch.Tensor:
    """Make sentences of random tokens and different lengths, padded at their ends."""
    generator = torch.Generator().manual_seed(seed)
    source = torch.randint(END + 1, tokens, (count, longest), generator=generator)
    for row, length in enumerate(torch.randint(1, longest, (count,), generator=generator).tolist()):
        source[row, length], source[row, length + 1 :] = END, PAD
    return source


LINES = [
    "A man in a blue shirt is standing on a ladder cleaning a window.",
    "Two young, White males are outside near many bushes.",
    "Ein Mann in einem blauen Hemd steht auf einer Leiter und putzt ein Fenster.",
    "Zwei junge weiße Männer sind im Freien in der Nähe vieler Büsche.",
    "A man in a blue hat is standing near a window; a man in a red hat is not.",
    "Ein Mann mit einem blauen Hut steht in der Nähe eines Fensters.",
]

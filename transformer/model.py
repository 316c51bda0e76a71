"""The Transformer: an encoder that reads a sentence whole, and a decoder that writes another token by token.

Vaswani et al. 2017 (arXiv 1706.03762). One matrix embeds the tokens of both languages, times √d, and scores the next token (section
3.4). Places are told by sines, PE(p, 2i) = sin(p / 10000^(2i/d)) and PE(p, 2i+1) = cos(p / 10000^(2i/d)) (section 3.5), or learned.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn

from attention_core.beam_search import select_rows
from transformer.attention import KeysValues
from transformer.config import SIZES, TransformerConfig
from transformer.layers import DecoderLayer, EncoderLayer
from transformer.vocabulary import PAD


class Memory(NamedTuple):
    """What the decoder sees of P sources, the same at every step.

    Attributes:
        layers: for each layer of the decoder its keys and values of the source, (P, heads, S, d_k) each.
        mask: (P, 1, 1, S) bool, where there is a token.
    """

    layers: tuple[KeysValues, ...]
    mask: Tensor


class Written(NamedTuple):
    """What the decoder knows of B sentences that it has written t tokens of.

    Attributes:
        layers: for each layer the keys and values of the tokens, (B, heads, t, d_k) each; before the first token there are none.
        place: (B,), t.
    """

    layers: tuple[KeysValues, ...]
    place: Tensor


class Transformer(nn.Module):
    """The network and nothing else.

    Args:
        config: its settings.
        tokens: V, in the joint vocabulary.
    """

    def __init__(self, config: TransformerConfig, tokens: int) -> None:
        super().__init__()
        size = SIZES[config.size]
        self.units, self.longest = size.units, config.longest
        self.embedding = nn.Embedding(tokens, size.units, padding_idx=PAD)
        nn.init.normal_(self.embedding.weight, std=size.units**-0.5)
        with torch.no_grad():
            self.embedding.weight[PAD] = 0
        self.dropout = nn.Dropout(config.dropout)
        if config.positions == "learned":
            self.positions: Tensor = nn.Parameter(torch.randn(config.longest, size.units) * 0.02)
        else:
            self.register_buffer("positions", sinusoids(config.longest, size.units), persistent=False)
        encoder = [EncoderLayer(size, config.dropout, config.norm_first) for _ in range(size.layers)]
        decoder = [DecoderLayer(size, config.dropout, config.norm_first) for _ in range(size.layers)]
        self.encoder, self.decoder = nn.ModuleList(encoder), nn.ModuleList(decoder)
        # What has been normalised before every part has not been after the last one.
        self.encoder_end = nn.LayerNorm(size.units) if config.norm_first else nn.Identity()
        self.decoder_end = nn.LayerNorm(size.units) if config.norm_first else nn.Identity()

    def encode(self, source: Tensor) -> Memory:
        """Read sources, (P, S) padded at the end."""
        mask = (source != PAD)[:, None, None]
        # A row of nothing but padding may look at it: a softmax over no place at all would be no number.
        mask = mask | ~mask.any(-1, keepdim=True)
        tokens = self._embed(source, self.positions[: source.shape[1]])
        for layer in self.encoder:
            tokens = layer(tokens, mask)
        tokens = self.encoder_end(tokens)
        return Memory(tuple(layer.source_attention.of_memory(tokens) for layer in self._decoder()), mask)

    def decode(self, target: Tensor, memory: Memory) -> Tensor:
        """Read the beginnings of targets, (B, T), being told all of them: what scores are made of, (B, T, d); see `score`."""
        tokens = self._embed(target, self.positions[: target.shape[1]])
        for layer, source in zip(self.decoder, memory.layers, strict=True):
            tokens = layer(tokens, source, memory.mask)
        ended: Tensor = self.decoder_end(tokens)
        return ended

    def score(self, told: Tensor) -> Tensor:
        """Scores of all tokens as the next one, unnormalised log-probabilities: (…, d) to (…, V)."""
        return nn.functional.linear(told, self.embedding.weight).float()

    def begin(self, count: int) -> Written:
        """Know nothing of `count` sentences that have no token yet."""
        return Written((), torch.zeros(count, dtype=torch.long, device=self.embedding.weight.device))

    def advance(self, tokens: Tensor, written: Written, memory: Memory) -> tuple[Tensor, Written]:
        """Take in the next token of each sentence, (B,): scores of the one after it, (B, V), and what is known then.

        Sentences may share sources; see `DecoderLayer.advance`.
        """
        token = self._embed(tokens[:, None], self.positions[written.place][:, None])
        before = written.layers or (None,) * len(self.decoder)
        layers = []
        for layer, known, source in zip(self._decoder(), before, memory.layers, strict=True):
            token, known = layer.advance(token, known, source, memory.mask)
            layers.append(known)
        return self.score(self.decoder_end(token[:, 0])), Written(tuple(layers), written.place + 1)

    def forward(self, source: Tensor, target: Tensor, about: Tensor | None = None) -> Tensor:
        """Read sources and the beginnings of targets.

        Args:
            source: (P, S).
            target: (B, T).
            about: (B,), which source each target is of; by default B = P, and each is of its own.

        Returns:
            (B, T, d), what scores are made of; see `score`.
        """
        memory = self.encode(source)
        return self.decode(target, memory if about is None else select_rows(memory, about))

    def _decoder(self) -> list[DecoderLayer]:
        return [layer for layer in self.decoder if isinstance(layer, DecoderLayer)]

    def _embed(self, tokens: Tensor, positions: Tensor) -> Tensor:
        embedded: Tensor = self.dropout(self.embedding(tokens) * math.sqrt(self.units) + positions)
        return embedded


def sinusoids(places: int, units: int) -> Tensor:
    """Tell places by sines and cosines of wave lengths from 2π to 10000 · 2π: (places, units)."""
    place = torch.arange(places)[:, None]
    wave = torch.exp(torch.arange(0, units, 2) * (-math.log(10_000.0) / units))
    table = torch.zeros(places, units)
    table[:, 0::2] = torch.sin(place * wave)
    table[:, 1::2] = torch.cos(place * wave)[:, : units // 2]
    return table

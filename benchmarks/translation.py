"""How fast the Transformer learns and translates, and how much memory it takes, beside its peers.

    python benchmarks/translation.py              sentences translated per second: with a cache, without one, and Marian
    python benchmarks/translation.py --training   tokens learned from per second, beside torch.nn.Transformer
    python benchmarks/translation.py --memory     peak memory of an update against the length of its sentences

All have the same sizes and random weights. In training the peer is torch.nn.Transformer between the same embeddings, positions and
tied output, in the same loop, on the same batches, whose sentences are about as long as Multi30k's. Translations have exactly so
many tokens, since the end is forbidden until then. Marian is Hugging Face's, `pip install "attention-suite[bench]"`, by its own
`generate`.
"""

from __future__ import annotations

import importlib.util
import math
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
import tyro
from numpy.typing import NDArray
from side_by_side import Apart, Measure, interleave, peak_memory, print_head, print_machine, print_row, ratio, spread, synchronise
from torch import Tensor, nn

from attention_core.zoo import pick_device
from transformer.batches import TokenBatches, pad
from transformer.config import SIZES, TransformerConfig
from transformer.learner import losses
from transformer.model import Transformer, sinusoids
from transformer.translating import search
from transformer.vocabulary import END, PAD, START

PIECES = 10_000
BEAMS, POWER = 4, 0.6
OURS, PEER = "ours", "torch.nn.Transformer"


@dataclass(frozen=True)
class Arguments:
    """What to measure."""

    rounds: int = 5
    """Interleaved rounds."""
    sizes: tuple[str, ...] = ("tiny", "small")
    """Of the models; see transformer/config.py."""
    seconds: float = 5.0
    """Seconds of training of each in a round."""
    tokens: int = 4096
    """Of a batch in training."""
    precision: Literal["float32", "bfloat16"] = "float32"
    """Numbers of the matrix products in training."""
    sentences: int = 32
    """Translated at once."""
    length: int = 40
    """Tokens of each translation."""
    lengths: tuple[int, ...] = (32, 64, 128, 256, 512)
    """Tokens of the sentences whose memory is measured, eight in a batch."""
    threads: int = 1
    """CPU threads of each."""
    training: bool = False
    """Measure learning instead."""
    memory: bool = False
    """Measure memory instead."""


def make_config(size: str) -> TransformerConfig:
    """Make the settings of all models, with room for long sentences."""
    return TransformerConfig(size=size, longest=1024)


# Learning ---------------------------------------------------------------------------------------------------------------


class PeerTransformer(nn.Module):
    """torch.nn.Transformer between the embeddings, positions and output of ours.

    Args:
        config: the settings.
        pieces: V.
    """

    def __init__(self, config: TransformerConfig, pieces: int) -> None:
        super().__init__()
        size = SIZES[config.size]
        self.units = size.units
        self.embedding = nn.Embedding(pieces, size.units, padding_idx=PAD)
        nn.init.normal_(self.embedding.weight, std=size.units**-0.5)
        self.dropout = nn.Dropout(config.dropout)
        self.register_buffer("positions", sinusoids(config.longest, size.units), persistent=False)
        self.transformer = nn.Transformer(
            size.units, size.heads, size.layers, size.layers, size.inner, config.dropout, batch_first=True
        )
        # It normalises once more at the end of encoder and decoder than was published, which would only slow it down.
        self.transformer.encoder.norm = self.transformer.decoder.norm = None
        # Nor were attention's weights and the inner layer's units dropped.
        for part in self.transformer.modules():
            if isinstance(part, nn.MultiheadAttention):
                part.dropout = 0.0
            elif isinstance(part, nn.TransformerEncoderLayer | nn.TransformerDecoderLayer):
                part.dropout.p = 0.0

    def embed(self, tokens: Tensor) -> Tensor:
        """Embed tokens, (B, T), as ours does."""
        embedded: Tensor = self.dropout(self.embedding(tokens) * math.sqrt(self.units) + self.positions[: tokens.shape[1]])
        return embedded

    def forward(self, source: Tensor, target: Tensor) -> Tensor:
        """Read sources and the beginnings of targets: (B, S) and (B, T) to (B, T, d), what scores are made of."""
        length, padding = target.shape[1], source == PAD
        told: Tensor = self.transformer(
            self.embed(source),
            self.embed(target),
            tgt_mask=torch.ones(length, length, dtype=torch.bool, device=target.device).triu(1),
            src_key_padding_mask=padding,
            memory_key_padding_mask=padding,
            tgt_is_causal=True,
        )
        return told

    def score(self, told: Tensor) -> Tensor:
        """Scores of all tokens as the next one: (…, d) to (…, V)."""
        return nn.functional.linear(told, self.embedding.weight).float()


def make_model(kind: str, config: TransformerConfig) -> PeerTransformer | Transformer:
    """Make ours or its peer."""
    torch.manual_seed(0)
    return (PeerTransformer if kind == PEER else Transformer)(config, PIECES).to(pick_device())


def draw_lengths(count: int) -> NDArray[np.int64]:
    """Draw lengths of sources and targets, (count, 2): about 15 ± 5 tokens, that of one near that of the other."""
    generator = np.random.default_rng(0)
    source = generator.normal(15, 5, count)
    return np.stack((source, source + generator.normal(1, 3, count)), 1).round().clip(5, 40).astype(np.int64)


def make_batches(tokens: int, count: int = 8) -> list[tuple[Tensor, Tensor]]:
    """Make batches of random sentences: sources, and targets with their start."""
    generator = np.random.default_rng(1)
    pairs = [tuple(generator.integers(2, PIECES, length - 1).tolist() for length in both) for both in draw_lengths(5000)]
    batches = []
    for batch in TokenBatches(lambda _: pairs, tokens, 0).epoch(0)[:count]:
        source, target = (pad([[*before, *pair[side], END] for pair in batch]) for side, before in enumerate(([], [START])))
        batches.append((source.to(pick_device()), target.to(pick_device())))
    return batches


def make_update(
    model: PeerTransformer | Transformer, config: TransformerConfig, precision: str
) -> Callable[[Tensor, Tensor], None]:
    """Tell how a model learns from a batch."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, betas=(0.9, 0.98), fused=True)

    def update(source: Tensor, target: Tensor) -> None:
        with torch.autocast(pick_device().type, torch.bfloat16, enabled=precision == "bfloat16"):
            loss = losses(model.score, model(source, target[:, :-1]), target[:, 1:], config)["tokens"]
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()

    return update


def make_training(kind: str, size: str, tokens: int, precision: str, seconds: float) -> Measure:
    """Make a model that learns, and tell how many tokens of sources and targets it does so from in a second."""
    config = make_config(size)
    update = make_update(make_model(kind, config), config, precision)
    batches = make_batches(tokens)
    counts = [int((source != PAD).sum() + (target != PAD).sum()) - len(target) for source, target in batches]

    def rate() -> float:
        synchronise()
        began, done, place = time.perf_counter(), 0, 0
        while place == 0 or time.perf_counter() - began < seconds:
            update(*batches[place % len(batches)])
            done += counts[place % len(batches)]
            place += 1
        synchronise()
        return done / (time.perf_counter() - began)

    return rate


def measure_training(asked: Arguments) -> None:
    """Print the table of tokens learned from per second."""
    print_head(["size", "precision", f"{OURS}, tokens/s", f"{PEER}, tokens/s", f"{OURS} / {PEER}"])
    for size in asked.sizes:
        with ExitStack() as rivals:
            made = {
                kind: rivals.enter_context(
                    Apart(make_training, kind, size, asked.tokens, asked.precision, asked.seconds, threads=asked.threads)
                )
                for kind in (OURS, PEER)
            }
            rates = interleave(made, asked.rounds)
        print_row([size, asked.precision, *map(spread, rates.values()), ratio(rates, OURS, PEER)])


# Translating ------------------------------------------------------------------------------------------------------------


class Endless(Transformer):
    """A Transformer that never ends a sentence."""

    def score(self, told: Tensor) -> Tensor:
        """Score the tokens, the end last."""
        scores = super().score(told)
        scores[..., END] = -torch.inf
        return scores


def make_sources(count: int) -> Tensor:
    """Make random sentences, (B, S)."""
    generator = np.random.default_rng(2)
    return pad([[*generator.integers(2, PIECES, length - 1), END] for length in draw_lengths(count)[:, 0]]).to(pick_device())


def make_translator(way: str, size: str, length: int) -> Callable[[Tensor], Tensor]:
    """Make a model, and tell how it translates sources into (B, length) tokens."""
    torch.manual_seed(0)
    if way == "marian":
        return _make_marian(size, length)
    model = Endless(make_config(size), PIECES).to(pick_device()).eval()
    return lambda source: search(model, source, length, BEAMS, POWER, cached=way == "cached").tokens


def _make_marian(size: str, length: int) -> Callable[[Tensor], Tensor]:
    from transformers import MarianConfig, MarianMTModel

    sizes = SIZES[size]
    config = MarianConfig(
        vocab_size=PIECES,
        d_model=sizes.units,
        encoder_layers=sizes.layers,
        decoder_layers=sizes.layers,
        encoder_attention_heads=sizes.heads,
        decoder_attention_heads=sizes.heads,
        encoder_ffn_dim=sizes.inner,
        decoder_ffn_dim=sizes.inner,
        activation_function="relu",
        scale_embedding=True,
        max_position_embeddings=1024,
        pad_token_id=PAD,
        eos_token_id=END,
        decoder_start_token_id=START,
        forced_eos_token_id=None,
    )
    model = MarianMTModel(config).to(pick_device()).eval()

    def translate(source: Tensor) -> Tensor:
        written: Tensor = model.generate(
            input_ids=source,
            attention_mask=(source != PAD).long(),
            num_beams=BEAMS,
            length_penalty=POWER,
            min_new_tokens=length,
            max_new_tokens=length,
        )
        return written[:, 1:]

    return translate


def make_translating(way: str, size: str, count: int, length: int) -> Measure:
    """Tell how many sentences a way of translating does in a second."""
    translate, source = make_translator(way, size, length), make_sources(count)

    def rate() -> float:
        synchronise()
        began = time.perf_counter()
        translate(source)
        synchronise()
        return count / (time.perf_counter() - began)

    return rate


def measure_translating(asked: Arguments) -> None:
    """Print the table of sentences translated per second."""
    there = importlib.util.find_spec("transformers") is not None
    if not there:
        print('Marian is left out: pip install "attention-suite[bench]"\n')
    ways = ["cached", "anew", *(["marian"] if there else [])]
    print_head(["size", "with a cache, sentences/s", "without", "Marian", "with / without", "with / Marian"])
    for size in asked.sizes:
        with ExitStack() as rivals:
            made = {
                way: rivals.enter_context(Apart(make_translating, way, size, asked.sentences, asked.length, threads=asked.threads))
                for way in ways
            }
            rates = interleave(made, asked.rounds)
        shown = {way: spread(rates[way], ",.1f") for way in ways}
        beside = ratio(rates, "cached", "marian") if there else "–"
        print_row([size, shown["cached"], shown["anew"], shown.get("marian", "–"), ratio(rates, "cached", "anew"), beside])


# Memory -----------------------------------------------------------------------------------------------------------------


def make_memory(kind: str, size: str, length: int, precision: str) -> Measure:
    """Make a training on eight sentences of a length, and tell the most memory that it takes beside the libraries, in MiB."""
    before, config = peak_memory(), make_config(size)
    update = make_update(make_model(kind, config), config, precision)
    tokens = torch.randint(2, PIECES, (8, length + 1), device=pick_device())

    def peak() -> float:
        for _ in range(2):  # the second one finds the optimizer's moments there
            update(tokens[:, 1:], tokens)
        return peak_memory() - before

    return peak


def measure_memory(asked: Arguments) -> None:
    """Print the table of memory against the sentences' length."""
    print_head(["size", "tokens of each of 8 sentences", f"{OURS}, MiB", f"{PEER}, MiB"])
    for size in asked.sizes:
        for length in asked.lengths:
            peaks = []
            for kind in (OURS, PEER):
                with Apart(make_memory, kind, size, length, asked.precision, threads=asked.threads) as peak:
                    peaks.append(f"{peak():,.0f}")
            print_row([size, length, *peaks])


def main(asked: Arguments) -> None:
    """Measure what was asked for."""
    print_machine(pick_device().type, asked.threads, asked.rounds)
    if asked.training:
        measure_training(asked)
    elif asked.memory:
        measure_memory(asked)
    else:
        measure_translating(asked)


if __name__ == "__main__":
    main(tyro.cli(Arguments, description=__doc__))

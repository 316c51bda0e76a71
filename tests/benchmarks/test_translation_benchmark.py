"""The Transformer's benchmark: its peer computes the same, translations have the length asked for, and tables are printed."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from test_benchmarks import RATIO, SPREAD, Script, assert_like, tables

from transformer.config import SIZES, Size
from transformer.model import Transformer
from transformer.vocabulary import END, PAD, START

SMALL = Size(layers=2, units=16, inner=24, heads=4)


@torch.no_grad()
def test_the_peer_computes_what_ours_does(script: Script, monkeypatch: pytest.MonkeyPatch) -> None:
    benchmark = script("translation")
    monkeypatch.setitem(SIZES, "tiny", SMALL)
    config = dataclasses.replace(benchmark.make_config("tiny"), dropout=0.0)
    ours, theirs = Transformer(config, 50), benchmark.PeerTransformer(config, 50)
    assert sum(map(torch.numel, ours.parameters())) == sum(map(torch.numel, theirs.parameters()))
    theirs.embedding.load_state_dict(ours.embedding.state_dict())
    for ours_side, side in ((ours.encoder, theirs.transformer.encoder), (ours.decoder, theirs.transformer.decoder)):
        for own, layer in zip(ours_side, side.layers, strict=True):
            attentions = [(own.attention, layer.self_attn)]
            if side is theirs.transformer.decoder:
                attentions.append((own.source_attention, layer.multihead_attn))
            for part, attention in attentions:
                attention.in_proj_weight.copy_(part.inputs.weight)
                attention.in_proj_bias.copy_(part.inputs.bias)
                attention.out_proj.load_state_dict(part.outputs.state_dict())
            layer.linear1.load_state_dict(own.forward_network[0].state_dict())
            layer.linear2.load_state_dict(own.forward_network[2].state_dict())
    source, target = torch.randint(2, 50, (3, 6)), torch.randint(2, 50, (3, 5))
    source[1, 4:] = PAD
    assert torch.allclose(ours(source, target), theirs.train()(source, target), atol=1e-5)


def test_batches_are_sentences_with_little_padding(script: Script) -> None:
    benchmark = script("translation")
    for source, target in benchmark.make_batches(600):
        assert max(source.numel(), target[:, 1:].numel()) <= 600
        assert (target[:, 0] == START).all()
        for rows in (source, target[:, 1:]):
            assert ((rows == END).sum(1) == 1).all()
        assert (source == PAD).float().mean() < 0.3


@pytest.mark.parametrize("way", ["cached", "anew", "marian"])
def test_translations_have_the_length_asked_for(script: Script, monkeypatch: pytest.MonkeyPatch, way: str) -> None:
    if way == "marian":
        pytest.importorskip("transformers")
    benchmark = script("translation")
    monkeypatch.setitem(SIZES, "tiny", SMALL)
    written = benchmark.make_translator(way, "tiny", 7)(benchmark.make_sources(3))
    assert written.shape == (3, 7)
    # Marian writes the end as the last of its tokens; ours is cut off.
    assert not (written[:, :-1] == END).any()


def test_the_tables(script: Script) -> None:
    few = ("--sizes", "tiny", "--rounds", "1")
    ((_, row),) = tables(script("translation"), *few, "--sentences", "2", "--length", "3")
    beside = (SPREAD, RATIO, RATIO) if row[3] != "–" else ("–", RATIO, "–")
    assert_like(row, "tiny", SPREAD, SPREAD, *beside)
    ((_, row),) = tables(script("translation"), *few, "--training", "--seconds", "0.01", "--tokens", "200")
    assert_like(row, "tiny", "float32", SPREAD, SPREAD, RATIO)
    ((_, row),) = tables(script("translation"), *few, "--memory", "--lengths", "8")
    assert_like(row, "tiny", "8", r"\d+", r"\d+")

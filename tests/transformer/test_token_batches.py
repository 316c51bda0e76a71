"""Batches by tokens: every sentence once, the limit kept, little padding, the same after a resume."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.random import Generator

from transformer.batches import Pair, TokenBatches, pad
from transformer.config import published_config
from transformer.corpora import load_corpus
from transformer.vocabulary import learn_vocabulary

TOKENS = 60


@pytest.fixture
def pairs() -> list[Pair]:
    """Sentences whose pieces are their own numbers."""
    generator = np.random.default_rng(0)
    lengths = generator.integers(1, 19, 500)
    others = np.clip(lengths + generator.integers(-3, 4, 500), 1, None)
    return [([number] * one, [number] * other) for number, (one, other) in enumerate(zip(lengths, others, strict=True))]


def make_batches(pairs: list[Pair], seed: int = 0) -> TokenBatches:
    return TokenBatches(lambda _: pairs, TOKENS, seed)


def tokens_of(batch: list[Pair]) -> int:
    """Tokens of the longer side, ends and padding included."""
    return len(batch) * max(len(side) + 1 for pair in batch for side in pair)


def test_every_sentence_comes_once_an_epoch(pairs: list[Pair]) -> None:
    batches = make_batches(pairs)
    epochs = [batches.epoch(number) for number in range(3)]
    for epoch in epochs:
        assert sorted(pair for batch in epoch for pair in batch) == pairs
        assert all(epoch)
    assert epochs[0] != epochs[1]
    assert [batches.take() for _ in range(len(epochs[0]) + 1)] == [*epochs[0], epochs[1][0]]


def test_no_batch_has_more_tokens_than_asked_for(pairs: list[Pair]) -> None:
    sizes = [tokens_of(batch) for batch in make_batches(pairs).epoch(0)]
    assert max(sizes) <= TOKENS
    # and hardly one that could have taken another sentence
    assert np.mean(sizes) > 0.75 * TOKENS


def test_a_sentence_too_long_is_a_batch_of_its_own(pairs: list[Pair]) -> None:
    pairs[7], pairs[9] = ([7] * TOKENS, [7] * 2), ([9] * 3, [9] * 2 * TOKENS)
    epoch = make_batches(pairs).epoch(0)
    assert [pairs[7]] in epoch
    assert [pairs[9]] in epoch
    assert sum(map(len, epoch)) == 500


def test_batches_are_the_same_after_a_resume(pairs: list[Pair]) -> None:
    def draw(batches: TokenBatches, count: int) -> list[list[Pair]]:
        return [batches.take() for _ in range(count)]

    whole = draw(make_batches(pairs, seed=3), 400)  # more than three epochs
    for cut in (0, 1, 130, 399):
        before, after = (make_batches(pairs, seed=3) for _ in range(2))
        draw(before, cut)
        after.load_state_dict(before.state_dict())
        assert draw(after, 400 - cut) == whole[cut:]
    assert draw(make_batches(pairs, seed=4), 5) != whole[:5]


def test_sentences_are_cut_anew_for_each_epoch_and_again_the_same(pairs: list[Pair]) -> None:
    def cut(generator: Generator) -> list[Pair]:
        ends = generator.integers(1000, size=len(pairs)).tolist()
        return [([*source, end], target) for (source, target), end in zip(pairs, ends, strict=True)]

    first, second = (TokenBatches(cut, TOKENS, seed=0) for _ in range(2))
    assert first.epoch(1) == second.epoch(1)
    last = [sorted(pair[0][-1] for batch in first.epoch(number) for pair in batch) for number in range(2)]
    assert last[0] != last[1]
    assert max(tokens_of(batch) for batch in first.epoch(0)) <= TOKENS


def test_sentences_are_brought_to_one_length() -> None:
    assert pad([[3, 4, 1], [5]]).tolist() == [[3, 4, 1], [5, 0, 0]]
    assert pad([]).shape == (0, 0)
    assert pad([[2]]).dtype == torch.int64


@pytest.mark.usefixtures("data_folder")
def test_less_than_a_tenth_of_a_batch_of_multi30k_is_padding() -> None:
    config = published_config("multi30k")
    corpus = load_corpus(config, "train")
    vocabulary = learn_vocabulary([*corpus.sources, *corpus.targets], config.vocabulary)
    assert len(vocabulary) == config.vocabulary
    batches = TokenBatches(lambda _: list(zip(*map(vocabulary.encode, corpus), strict=True)), config.tokens, 0).epoch(0)
    tokens = sum(len(side) + 1 for batch in batches for pair in batch for side in pair)
    whole = sum(len(batch) * (max(map(len, side)) + 1) for batch in batches for side in zip(*batch, strict=True))
    assert 1 - tokens / whole < 0.1

"""Batches by tokens: every sentence once, the limit kept, little padding, the same after a resume."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from transformer.batches import TokenBatches, pad
from transformer.config import published_config
from transformer.corpora import load_corpus
from transformer.vocabulary import learn_vocabulary

TOKENS = 60


@pytest.fixture
def lengths() -> NDArray[np.int64]:
    generator = np.random.default_rng(0)
    source = generator.integers(2, 20, 500)
    return np.stack((source, np.clip(source + generator.integers(-3, 4, 500), 2, None)), 1)


def test_every_sentence_comes_once_an_epoch(lengths: NDArray[np.int64]) -> None:
    batches = TokenBatches(lengths, TOKENS, seed=0)
    epochs = [batches.epoch(number) for number in range(3)]
    for epoch in epochs:
        assert sorted(np.concatenate(epoch).tolist()) == list(range(500))
        assert all(len(batch) for batch in epoch)
    assert [batch.tolist() for batch in epochs[0]] != [batch.tolist() for batch in epochs[1]]
    taken = [batches.take()[0].tolist() for _ in range(len(epochs[0]) + 1)]
    assert taken == [batch.tolist() for batch in (*epochs[0], epochs[1][0])]


def test_no_batch_has_more_tokens_than_asked_for(lengths: NDArray[np.int64]) -> None:
    epoch = TokenBatches(lengths, TOKENS, seed=0).epoch(0)
    sizes = [lengths[batch].max(0) * len(batch) for batch in epoch]
    assert max(size.max() for size in sizes) <= TOKENS
    # and hardly one that could have taken another sentence
    assert np.mean([size.max() for size in sizes]) > 0.75 * TOKENS


def test_a_sentence_too_long_is_a_batch_of_its_own(lengths: NDArray[np.int64]) -> None:
    lengths[7], lengths[9] = (TOKENS + 1, 3), (4, 2 * TOKENS)
    epoch = TokenBatches(lengths, TOKENS, seed=0).epoch(0)
    assert [7] in [batch.tolist() for batch in epoch]
    assert [9] in [batch.tolist() for batch in epoch]
    assert sorted(np.concatenate(epoch).tolist()) == list(range(500))


def test_batches_are_the_same_after_a_resume(lengths: NDArray[np.int64]) -> None:
    def draw(batches: TokenBatches, count: int) -> list[tuple[list[int], float]]:
        return [(rows.tolist(), generator.random()) for rows, generator in itertools.starmap(batches.take, [()] * count)]

    whole = draw(TokenBatches(lengths, TOKENS, seed=3), 400)  # more than three epochs
    for cut in (0, 1, 130, 399):
        before, after = (TokenBatches(lengths, TOKENS, seed=3) for _ in range(2))
        draw(before, cut)
        after.load_state_dict(before.state_dict())
        assert draw(after, 400 - cut) == whole[cut:]
    assert draw(TokenBatches(lengths, TOKENS, seed=4), 5) != whole[:5]
    assert len({number for _, number in whole}) == 400


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
    lengths = np.array([[len(numbers) + 1 for numbers in vocabulary.encode(side)] for side in corpus]).T
    whole = sum(lengths[batch].max(0).sum() * len(batch) for batch in TokenBatches(lengths, config.tokens, 0).epoch(0))
    assert 1 - lengths.sum() / whole < 0.1

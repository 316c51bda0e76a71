"""Beam search against enumeration, one row at a time, and by hand."""

from __future__ import annotations

import itertools
import math
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor

from attention_core.beam_search import Sequences, beam_search, greedy_search, select_rows

START, END, WORDS = 0, 1, 5
LONGEST = 4


class Counted(NamedTuple):
    """A state that remembers everything: which table a row reads from, and what it has written."""

    table: Tensor
    written: Tensor


class Tables:
    """Each row has tables of its own: scores of the next token by how many there are and what the last two were."""

    def __init__(self, count: int, seed: int = 0) -> None:
        generator = torch.Generator().manual_seed(seed)
        self.scores = 2 * torch.randn(count, LONGEST, WORDS, WORDS, WORDS, generator=generator)

    def state(self) -> Counted:
        count = len(self.scores)
        return Counted(torch.arange(count), torch.full((count, 1), START))

    def context(self) -> Tensor:
        return torch.arange(len(self.scores))

    def step(self, tokens: Tensor, state: Counted, context: Tensor) -> tuple[Tensor, Counted]:
        beginnings = len(tokens) // len(context)
        assert torch.equal(state.table, context.repeat_interleave(beginnings))  # what belongs together stays together
        written = torch.cat((state.written, tokens[:, None]), 1)
        length = written.shape[1] - 2
        return self.scores[state.table, length, written[:, -2], tokens], Counted(state.table, written)

    def log_probability(self, row: int, tokens: tuple[int, ...]) -> float:
        """Add up a sequence's log-probability in a loop."""
        total, before = 0.0, (START, START)
        for place, token in enumerate(tokens):
            total += float(self.scores[row, place][before].log_softmax(-1)[token])
            before = (before[1], token)
        return total


def sequences() -> list[tuple[int, ...]]:
    """All that end, and all that are cut off at the longest."""
    going = [0, 2, 3, 4]
    ended = [(*middle, END) for length in range(LONGEST) for middle in itertools.product(going, repeat=length)]
    return [*ended, *itertools.product(going, repeat=LONGEST)]


def search(tables: Tables, **settings: Any) -> Sequences:
    return beam_search(tables.step, tables.state(), tables.context(), len(tables.scores), START, END, LONGEST, **settings)


def found(tables: Tables, **settings: Any) -> list[tuple[int, ...]]:
    result = search(tables, **settings)
    return [tuple(row[:length]) for row, length in zip(result.tokens.tolist(), result.lengths.tolist(), strict=True)]


@pytest.mark.parametrize("power", [0.0, 0.7, 1.0])
def test_enough_beams_find_the_best_of_all_sequences(power: float) -> None:
    tables = Tables(6)
    result = beam_search(
        tables.step,
        tables.state(),
        tables.context(),
        6,
        START,
        END,
        LONGEST,
        beams=WORDS**LONGEST,
        penalty=lambda length: length**power,
    )
    for row in range(6):
        worth = {tokens: tables.log_probability(row, tokens) / len(tokens) ** power for tokens in sequences()}
        best = max(worth, key=worth.__getitem__)
        assert tuple(result.tokens[row, : result.lengths[row]].tolist()) == best
        assert math.isclose(float(result.scores[row]), worth[best], rel_tol=1e-5)


@pytest.mark.parametrize("beams", [1, 2, 3])
def test_a_row_finds_the_same_alone_and_among_others(beams: int) -> None:
    together = Tables(12)
    alone = []
    for row in range(12):
        one = Tables(1)
        one.scores = together.scores[row : row + 1]
        alone += found(one, beams=beams)
    assert found(together, beams=beams) == alone


def test_more_beams_find_better_sequences_on_average() -> None:
    tables = Tables(30, seed=3)
    scores = [search(tables, beams=beams).scores.mean() for beams in (1, 2, 100)]
    assert scores[0] < scores[1] < scores[2]


def test_a_scores_sum_belongs_to_the_tokens_that_are_given() -> None:
    tables = Tables(8, seed=5)
    result = search(tables, beams=3)
    for row in range(8):
        tokens = tuple(result.tokens[row, : result.lengths[row]].tolist())
        assert math.isclose(float(result.scores[row]), tables.log_probability(row, tokens) / len(tokens), rel_tol=1e-5)
        assert set(result.tokens[row, result.lengths[row] :].tolist()) <= {END}


def test_what_never_ends_is_taken_as_it_is() -> None:
    tables = Tables(3)
    tables.scores[..., END] = -1e9
    result = search(tables, beams=2)
    assert result.lengths.tolist() == [LONGEST] * 3
    assert END not in result.tokens


def test_forbidden_tokens_are_never_chosen() -> None:
    tables = Tables(10)
    assert any(3 in tokens for tokens in found(tables, beams=3))
    assert not any({3, 4} & set(tokens) for tokens in found(tables, beams=3, forbidden=(3, 4)))
    greedy = greedy_search(tables.step, tables.state(), tables.context(), 10, START, END, LONGEST, forbidden=(3, 4))
    assert not ((greedy.tokens == 3) | (greedy.tokens == 4)).any()


def test_what_is_forbidden_takes_no_probability() -> None:
    tables = Tables(4)
    allowed = Tables(4)
    allowed.scores[..., 3] = -1e9
    searched, greedy = search(tables, beams=3, forbidden=(3,)), search(allowed, beams=3)
    assert torch.equal(searched.tokens, greedy.tokens)
    assert torch.allclose(searched.scores, greedy.scores)


def test_one_beam_in_plain_sums_is_at_least_as_good_as_greed() -> None:
    tables = Tables(20, seed=1)
    greedy = greedy_search(tables.step, tables.state(), tables.context(), 20, START, END, LONGEST)
    searched = search(tables, beams=1, penalty=lambda _: 1.0)
    ended = (greedy.tokens == END).any(1)
    assert ended.any()
    assert (searched.scores[ended] >= greedy.scores[ended] - 1e-5).all()


def test_greedy_takes_the_likeliest_token_every_time() -> None:
    tables = Tables(5)
    result = greedy_search(tables.step, tables.state(), tables.context(), 5, START, END, LONGEST)
    for row in range(5):
        before, tokens = (START, START), []
        while len(tokens) < LONGEST and (not tokens or tokens[-1] != END):
            tokens.append(int(tables.scores[row, len(tokens)][before].argmax()))
            before = (before[1], tokens[-1])
        assert result.tokens[row, : result.lengths[row]].tolist() == tokens
        assert math.isclose(float(result.scores[row]), tables.log_probability(row, tuple(tokens)), rel_tol=1e-5)


@pytest.mark.parametrize("wrong", [{"beams": 0}, {"longest": 0}])
def test_nothing_to_search_is_refused(wrong: dict[str, int]) -> None:
    tables = Tables(1)
    settings = {"longest": LONGEST, "beams": 2, **wrong}
    with pytest.raises(ValueError, match="at least one beam and one token"):
        beam_search(tables.step, tables.state(), tables.context(), 1, START, END, **settings)


def test_states_of_states_are_reordered() -> None:
    state = (torch.arange(3), Counted(torch.arange(3) * 10, torch.arange(6).view(3, 2)))
    first, second = select_rows(state, torch.tensor([2, 2, 0]))
    assert first.tolist() == [2, 2, 0]
    assert second.table.tolist() == [20, 20, 0]
    assert second.written.tolist() == [[4, 5], [4, 5], [0, 1]]

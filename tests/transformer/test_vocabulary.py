"""Pieces of words: no text is lost, merges make the vocabulary, and merges that are left out cut words otherwise."""

from __future__ import annotations

import numpy as np
import pytest
from small_transformer import LINES
from tokenizers import Tokenizer

from transformer.vocabulary import (
    END,
    PAD,
    SPECIAL,
    WAYS,
    PieceDropout,
    Vocabulary,
    VocabularyError,
    learn_vocabulary,
)

TEXTS = [
    *LINES,
    "a",
    "😀 family: 👨‍👩‍👧‍👦, flag 🇩🇪",
    "tabs\tin\t\tthe middle",
    "several   blanks    in a row",
    "日本語 и русский",
    "<end> and <pad> are text here, and so is Ġ",
    "a\u00a0no-break blank, a\x0cform feed, a\x00zero",
    "ends in punctuation ?!",
    "1234567890 1,000.50 $5",
    "",
]


@pytest.fixture(scope="module")
def vocabulary() -> Vocabulary:
    return learn_vocabulary(LINES * 2, 400)


@pytest.mark.parametrize("text", TEXTS)
def test_no_text_is_lost(vocabulary: Vocabulary, text: str) -> None:
    (numbers,) = vocabulary.encode([text])
    assert vocabulary.decode(numbers) == text
    assert not {PAD, END} & set(numbers)


def test_blanks_at_the_ends_are_no_part_of_a_sentence(vocabulary: Vocabulary) -> None:
    assert vocabulary.decode(vocabulary.encode(["  a man \t"])[0]) == "a man"


def test_a_vocabulary_has_special_pieces_and_bytes_first(vocabulary: Vocabulary) -> None:
    assert vocabulary.pieces[: len(SPECIAL)] == ("<pad>", "<end>")
    assert (PAD, END) == (0, 1)
    assert 258 < len(vocabulary) <= 400
    assert len(set(vocabulary.pieces)) == len(vocabulary)
    assert "Ġman" in vocabulary.pieces


def test_merges_make_the_vocabulary_again(vocabulary: Vocabulary) -> None:
    again = Vocabulary("\n".join(vocabulary.merges).split("\n"))
    assert again.pieces == vocabulary.pieces
    assert again.encode(TEXTS) == vocabulary.encode(TEXTS)
    assert len(Vocabulary([])) == len(SPECIAL) + 256


def test_the_library_reads_what_is_written_for_it(vocabulary: Vocabulary) -> None:
    theirs = Tokenizer.from_str(vocabulary.to_json())
    for text, numbers in zip(TEXTS, vocabulary.encode(TEXTS), strict=True):
        assert theirs.encode(text).ids == numbers
        assert theirs.decode(numbers).strip() == text


def test_frequent_words_are_one_piece(vocabulary: Vocabulary) -> None:
    assert [vocabulary.pieces[number] for number in vocabulary.encode(["A man"])[0]] == ["ĠA", "Ġman"]


@pytest.mark.parametrize("merges", [["a b", "x"], ["a b", "ab cd"], ["a b", "ab"], ["a b", "a b c"], [""]])
def test_wrong_merges_are_refused(merges: list[str]) -> None:
    with pytest.raises(VocabularyError, match=f"merge {len(merges) - 1} must be of two pieces that are there by then"):
        Vocabulary(merges)


def test_a_vocabulary_has_room_for_all_bytes() -> None:
    with pytest.raises(VocabularyError, match="at least 258 pieces, those of bytes, got 257"):
        learn_vocabulary(LINES, 257)
    assert len(learn_vocabulary([], 300)) == 258


# Merges left out --------------------------------------------------------------------------------------------------------


def cut_whole(vocabulary: Vocabulary, text: str, share: float, generator: np.random.Generator) -> list[int]:
    return [number for word in vocabulary.cut(text) for number in vocabulary.drop(word, share, generator)]


@pytest.mark.parametrize("text", TEXTS)
def test_leaving_no_merge_out_cuts_as_the_library_does(vocabulary: Vocabulary, text: str) -> None:
    generator = np.random.default_rng(0)
    assert cut_whole(vocabulary, text, 0.0, generator) == vocabulary.encode([text])[0]


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("share", [0.1, 0.5, 1 - 1e-12])
def test_leaving_merges_out_loses_no_text(vocabulary: Vocabulary, text: str, share: float) -> None:
    numbers = cut_whole(vocabulary, text, share, np.random.default_rng(1))
    assert vocabulary.decode(numbers) == text
    if share > 0.9:
        assert all(len(vocabulary.pieces[number]) == 1 for number in numbers)


def test_the_vocabulary_does_not_depend_on_the_direction() -> None:
    assert learn_vocabulary([*LINES, *reversed(LINES)], 330).merges == learn_vocabulary(LINES[::-1] * 2, 330).merges


def test_words_are_cut_in_many_ways_that_the_seed_decides(vocabulary: Vocabulary) -> None:
    def cuts(seed: int) -> list[list[int]]:
        dropout = PieceDropout(vocabulary, LINES, 0.3, seed)
        return [numbers for place in range(20) for numbers in dropout.encode(np.random.default_rng(place))]

    assert cuts(0) == cuts(0)
    assert cuts(0) != cuts(1)
    assert {vocabulary.decode(numbers) for numbers in cuts(0)} == set(LINES)
    assert 2 < len({tuple(numbers) for numbers in cuts(0)[:: len(LINES)]}) <= WAYS ** len(LINES[0].split())
    whole = PieceDropout(vocabulary, LINES, 0.0, 0)
    assert whole.encode(np.random.default_rng(9)) == vocabulary.encode(LINES)

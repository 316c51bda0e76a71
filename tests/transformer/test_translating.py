"""Searching with a cache and without, causality, padding, and translating lines of text."""

from __future__ import annotations

import pytest
import torch
from small_transformer import LINES, TOKENS, make_model, make_sources
from torch import Tensor

from attention_core.beam_search import Sequences
from transformer.model import Transformer
from transformer.translating import CHUNK, length_penalty, search, translate
from transformer.vocabulary import END, PAD, START, Vocabulary, learn_vocabulary

CPU = torch.device("cpu")
LONGEST = 12
pytestmark = pytest.mark.usefixtures("small_size")


def test_the_length_penalty_is_the_formulas() -> None:
    assert length_penalty(0.6)(1) == 1
    assert length_penalty(0.6)(13) == pytest.approx(3**0.6)
    assert length_penalty(0.0)(13) == 1


@torch.no_grad()
@pytest.mark.parametrize("norm_first", [False, True])
def test_later_tokens_do_not_change_earlier_scores(norm_first: bool) -> None:
    model, source = make_model(norm_first=norm_first), make_sources(3)
    target = torch.randint(2, TOKENS, (3, 8), generator=torch.Generator().manual_seed(5))
    other = target.clone()
    other[:, 5:] = (other[:, 5:] + 3) % TOKENS
    scores, changed = (model.score(model(source, tokens)) for tokens in (target, other))
    assert torch.allclose(scores[:, :5], changed[:, :5], atol=1e-5)
    assert not torch.allclose(scores[:, 5:], changed[:, 5:], atol=1e-2)


@torch.no_grad()
@pytest.mark.parametrize("norm_first", [False, True])
def test_step_by_step_gives_the_scores_of_whole_sentences(norm_first: bool) -> None:
    model, source, copies = make_model(norm_first=norm_first, positions="learned"), make_sources(3), 2
    target = torch.randint(2, TOKENS, (3 * copies, 7), generator=torch.Generator().manual_seed(6))
    whole = model.score(model(source.repeat_interleave(copies, 0), target))
    memory, written = model.encode(source), model.begin(3 * copies)
    for place in range(7):
        scores, written = model.advance(target[:, place], written, memory)
        assert torch.allclose(scores, whole[:, place], atol=1e-4)
    assert written.place.tolist() == [7] * 6
    assert written.layers[0].keys.shape[2] == 7


@torch.no_grad()
def log_probability(model: Transformer, source: Tensor, tokens: Tensor, length: int) -> float:
    """Sum what whole-sentence scores say of a translation's tokens, of which padding is none."""
    target = torch.cat((torch.tensor([START]), tokens[:length]))
    scores = model.score(model(source[None], target[None, :-1]))[0]
    scores[:, PAD] = scores[0, END] = -torch.inf
    return float(scores.log_softmax(-1).gather(1, target[1:, None]).sum())


@pytest.mark.parametrize("beams", [1, 2, 5])
@pytest.mark.parametrize("norm_first", [False, True])
def test_a_cache_changes_no_token(beams: int, norm_first: bool) -> None:
    model, source = make_model(norm_first=norm_first), make_sources(16)
    found: list[Sequences] = [search(model, source, LONGEST, beams, 0.6, cached) for cached in (True, False)]
    assert found[0].tokens.tolist() == found[1].tokens.tolist()
    assert found[0].lengths.tolist() == found[1].lengths.tolist()
    assert torch.allclose(found[0].scores, found[1].scores, atol=1e-4)
    # Rows really leave the batch at different times.
    assert len(set(found[0].lengths.tolist())) > min(beams, 2)
    for row, length in enumerate(found[0].lengths.tolist()):
        penalty = 1.0 if beams == 1 else length_penalty(0.6)(length)
        expected = log_probability(model, source[row], found[0].tokens[row], length) / penalty
        assert found[0].scores[row].item() == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("beams", [1, 4])
def test_the_rest_of_a_batch_changes_no_translation(beams: int) -> None:
    model, source = make_model(), make_sources(16)
    together = search(model, source, LONGEST, beams, 0.6)
    for row in range(len(source)):
        alone = search(model, source[row : row + 1, : int((source[row] != PAD).sum())], LONGEST, beams, 0.6)
        assert alone.tokens[0].tolist() == together.tokens[row].tolist()
        assert alone.scores[0].item() == pytest.approx(together.scores[row].item(), abs=1e-4)


@pytest.mark.parametrize("beams", [1, 3])
@pytest.mark.parametrize("cached", [False, True])
def test_each_translation_has_a_length_of_its_own_at_most(beams: int, cached: bool) -> None:
    model, source = make_model(), make_sources(16)
    limits = (source != PAD).sum(1)
    found = search(model, source, limits, beams, 0.6, cached)
    assert (found.lengths <= limits).all()
    assert (found.lengths == limits).any()
    ends = found.tokens.gather(1, found.lengths[:, None] - 1)
    assert (ends == END).all()
    for row, limit in enumerate(limits.tolist()):
        alone = search(model, source[row : row + 1, :limit], limits[row : row + 1], beams, 0.6, cached)
        assert alone.tokens[0].tolist() == found.tokens[row, :limit].tolist()
        assert alone.scores[0].item() == pytest.approx(found.scores[row].item(), abs=1e-4)
        assert alone.scores.isfinite().all()


@pytest.mark.parametrize("beams", [1, 3])
@pytest.mark.parametrize("cached", [False, True])
def test_no_translation_is_empty_unless_it_must_be(beams: int, cached: bool) -> None:
    model, source = make_model(), make_sources(16)
    with torch.no_grad():  # the likeliest token of all, wherever it may be
        model.embedding.weight[END] = 10 * model.embedding.weight.mean(0)
    limits = torch.full((16,), 5)
    limits[3] = 1
    found = search(model, source, limits, beams, 0.6, cached)
    assert found.lengths[3] == 1
    assert (found.tokens[torch.arange(16) != 3, 0] != END).all()
    assert found.scores.isfinite().all()


def test_padding_is_never_written() -> None:
    model = make_model()
    with torch.no_grad():  # the likeliest token of all, were it one
        model.embedding.weight[PAD] = 10 * model.embedding.weight.mean(0)
    for beams in (1, 3):
        assert not (search(model, make_sources(), LONGEST, beams, 0.6).tokens == PAD).any()


# Lines of text ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def vocabulary() -> Vocabulary:
    return learn_vocabulary(LINES, 300)


def test_empty_lines_come_out_empty_and_in_order(vocabulary: Vocabulary) -> None:
    model = make_model(tokens=len(vocabulary))
    lines = ["A man", "", "a window", "   ", "Two"]
    written = list(translate(model, vocabulary, lines, 1, 0.6, CPU))
    alone = [next(translate(model, vocabulary, [line], 1, 0.6, CPU)) for line in lines]
    assert written == alone
    assert [bool(line) for line in lines[:3]] == [bool(line) for line in written[:3]]
    assert list(translate(model, vocabulary, ["", ""], 2, 0.6, CPU)) == ["", ""]
    assert list(translate(model, vocabulary, [], 2, 0.6, CPU)) == []


def test_many_lines_are_translated_in_parts(vocabulary: Vocabulary) -> None:
    model = make_model(tokens=len(vocabulary))
    lines = ["A man", "a window"] * (CHUNK // 2) + ["A man"]
    written = list(translate(model, vocabulary, lines, 1, 0.6, CPU))
    assert len(written) == CHUNK + 1
    assert len(set(written[0::2])) == len(set(written[1::2])) == 1


def test_a_line_too_long_is_refused_before_any_is_translated(vocabulary: Vocabulary, monkeypatch: pytest.MonkeyPatch) -> None:
    model = make_model(tokens=len(vocabulary))

    def read(_: Tensor) -> None:
        raise AssertionError("nothing was to be translated")

    monkeypatch.setattr(model, "encode", read)
    with pytest.raises(ValueError, match=r"sentence 2 has 61 tokens and the model 40 places: split it, 'qqq"):
        next(translate(model, vocabulary, ["A man", "q" * 59], 1, 0.6, CPU))


@pytest.mark.parametrize("beams", [1, 3])
def test_the_longest_line_that_there_is_a_place_for_is_translated(vocabulary: Vocabulary, beams: int) -> None:
    model = make_model(tokens=len(vocabulary))
    line = "q" * 38
    assert len(vocabulary.encode([line])[0]) + 1 == 40
    assert len(list(translate(model, vocabulary, [line], beams, 0.6, CPU))) == 1


def test_the_end_of_a_sentence_is_not_text(vocabulary: Vocabulary) -> None:
    numbers = vocabulary.encode(["A man"])[0]
    assert vocabulary.decode([PAD, *numbers, END, *numbers]) == "A man"

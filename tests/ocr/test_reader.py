"""What the four forms are told and see, reading, searching, and lexicons."""

from __future__ import annotations

import dataclasses
from typing import Literal

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from ocr.alphabet import CHARACTERS, END, PAD, START, decode, encode, spell
from ocr.config import FORMS, ConvolutionConfig, OCRConfig
from ocr.lexicon import likeliest, log_likelihoods, nearest
from ocr.reader import Reader
from ocr.reading import as_input, read, read_all
from ocr.train import words_loss

Form = Literal["1c", "1u", "2u", "attention"]
CPU = torch.device("cpu")
SMALL = OCRConfig(
    convolution=ConvolutionConfig(channels=(4, 6, 8, 10), iterations=1),
    fully_connected=16,
    units=12,
    embedding=6,
    attention_units=7,
    dropout=0.0,
)


def make_reader(form: Form = "attention") -> Reader:
    torch.manual_seed(0)
    reader = Reader(dataclasses.replace(SMALL, form=form))
    with torch.no_grad():
        reader.output.weight.mul_(8)
        reader.embedding.weight.mul_(3)
    return reader.eval()


def crops(count: int) -> torch.Tensor:
    return torch.rand(count, 1, 32, 100, generator=torch.Generator().manual_seed(1)) * 2 - 1


def test_words_become_numbers_and_words_again() -> None:
    assert spell("Café-No. 7!") == "cafno7"
    numbers = encode(["a1", "zoo", ""])
    assert numbers.shape == (3, 5)
    assert numbers[0].tolist() == [START, 11, 2, END, PAD]
    assert numbers[2].tolist() == [START, END, PAD, PAD, PAD]
    assert [decode(row[1:].tolist()) for row in numbers] == ["a1", "zoo", ""]


@pytest.mark.parametrize("form", FORMS)
def test_a_word_is_told_character_by_character(form: Form) -> None:
    reader = make_reader(form)
    words = encode(["seven", "at", "mall"])
    told = reader(crops(3), words)
    assert len(told.characters) == 6 + 3 + 5
    by_word = [told.scores[told.word == word] for word in range(3)]
    for row in range(3):
        seen = reader.see(crops(3)[row : row + 1])
        state = reader.begin(seen)
        for step, following in enumerate(words[row, 1:]):
            if following == PAD:
                break
            context, weights = reader.look(seen, state)
            scores, state = reader.advance(words[row, step : step + 1], context, state)
            assert torch.allclose(scores[0], by_word[row][step], atol=1e-5)
            assert weights.sum().item() == pytest.approx(1, abs=1e-5)
        assert step == len(by_word[row]) or words[row, -1] != PAD


def test_forms_differ_in_when_they_see_the_picture() -> None:
    pictures = crops(2)
    for form in FORMS:
        reader = make_reader(form)
        seen = reader.see(pictures)
        state = reader.begin(seen)
        scores = [
            reader.advance(torch.full((2,), START), context, state)[0]
            for context in (reader.look(seen, state)[0], torch.zeros(2, 1))
            if form == "1c" or context.shape[1] > 1
        ]
        if form == "1c":  # what is looked at later makes no difference
            assert torch.equal(scores[0], scores[1])
        assert (reader.upper is not None) == (form == "2u")
        assert seen.annotations.shape[1] == (4 * 12 if form == "attention" else 1)


def test_the_loss_is_that_of_words() -> None:
    reader = make_reader()
    words = encode(["seven", "at"])
    told = reader(crops(2), words)
    logs = told.scores.detach().log_softmax(-1)
    by_hand = -sum(float(row[character]) for row, character in zip(logs, told.characters, strict=True)) / 2
    assert words_loss(told, 2, 0.0).item() == pytest.approx(by_hand, rel=1e-5)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("beams", [1, 4])
def test_a_word_is_as_likely_as_it_says(form: Form, beams: int) -> None:
    reader = make_reader(form)
    reading = read(reader, crops(5), 6, beams)
    for row, word in enumerate(reading.words):
        assert len(word) <= 6
        if len(word) == 6:
            continue  # cut off, without an end
        logs = log_likelihoods(reader, crops(5)[row : row + 1], [word])
        assert reading.confidences[row].item() == pytest.approx(logs.exp().item(), rel=1e-3)
    assert reading.weights.shape[0] == 5
    assert torch.allclose(reading.weights.sum(-1), torch.ones(reading.weights.shape[:2]), atol=1e-5)


def test_more_beams_find_words_at_least_as_likely() -> None:
    reader = make_reader()
    greedy, searched = (read(reader, crops(20), 5, beams).confidences for beams in (1, 6))
    assert (searched >= greedy * 0.999).all()
    assert (searched > greedy * 1.001).any()


def test_chunks_are_read_as_one(monkeypatch: pytest.MonkeyPatch) -> None:
    reader = make_reader()
    pictures = np.random.default_rng(0).integers(0, 256, (7, 32, 100), dtype=np.uint8)
    whole = read(reader, as_input(pictures, CPU), 5).words
    monkeypatch.setattr("ocr.reading.CHUNK", 3)
    assert [word for chunk in read_all(reader, pictures, 5, 1, CPU) for word in chunk.words] == whole


def test_a_lexicons_word_is_the_nearest_or_the_likeliest() -> None:
    assert nearest("hause", ["mouse", "house", "horse"]) == "house"
    assert nearest("x", ["ab", "cd"]) == "ab"
    reader, lexicon = make_reader(), ["at", "seven", "s"]
    picture = np.random.default_rng(0).integers(0, 256, (2, 32, 100), dtype=np.uint8)
    for row, word in enumerate(likeliest(reader, picture, [lexicon, lexicon[:2]], CPU)):
        shown = as_input(picture[row : row + 1], CPU)
        among = lexicon[: 3 - row]
        logs = []
        for candidate in among:
            told = reader(shown, encode([candidate]))
            logs.append(-F.cross_entropy(told.scores, told.characters, reduction="sum").item())
        assert word == among[int(np.argmax(logs))]


def test_lexicons_without_words_are_refused() -> None:
    with pytest.raises(ValueError, match="at least one word"):
        nearest("a", [])
    picture = np.zeros((1, 32, 100), np.uint8)
    with pytest.raises(ValueError, match="at least one word"):
        likeliest(make_reader(), picture, [[]], CPU)
    with pytest.raises(ValueError, match="one lexicon belongs to each crop, got 2 and 1"):
        likeliest(make_reader(), picture, [["a"], ["b"]], CPU)


def test_scores_are_of_all_characters() -> None:
    assert make_reader()(crops(1), encode(["a"])).scores.shape == (2, CHARACTERS)

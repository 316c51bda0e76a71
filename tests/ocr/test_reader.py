"""What the four forms are told and see, reading, searching, and lexicons."""

from __future__ import annotations

import dataclasses
import math
from typing import Literal

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from ocr.alphabet import CHARACTERS, END, PAD, START, decode, encode, spell
from ocr.config import FORMS, ConvolutionConfig, OCRConfig
from ocr.lexicon import likeliest, log_likelihoods, nearest
from ocr.loading import load
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
        context, _ = reader.look(seen, state)
        scores, others = (reader.advance(torch.full((2,), START), given, state)[0] for given in (context, context + 1))
        assert torch.equal(scores, others) == (form == "1c")  # to which what is looked at later makes no difference
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
def test_greedy_reading_takes_the_likeliest_characters_and_says_how_likely_and_where(form: Form) -> None:
    reader, count, longest = make_reader(form), 5, 6
    reading = read(reader, crops(count), longest)
    for row, word in enumerate(reading.words):
        seen = reader.see(crops(count)[row : row + 1])
        state, before, told, characters = reader.begin(seen), torch.tensor([START]), 0.0, list[int]()
        for step in range(longest + 1):  # a word that is cut off has had one more
            context, weights = reader.look(seen, state)
            assert torch.allclose(reading.weights[row, step], weights[0], atol=1e-5)
            scores, state = reader.advance(before, context, state)
            before = scores.argmax(-1)
            told += float(scores.detach().log_softmax(-1).amax())
            characters.append(int(before))
            if characters[-1] == END:
                break
        assert word == decode(characters[:longest])
        assert reading.confidences[row].item() == pytest.approx(math.exp(told), rel=1e-3, abs=0)


@pytest.mark.parametrize("beams", [1, 4])
def test_a_word_is_as_likely_as_it_says(beams: int) -> None:
    reader, config, _ = load("ocr-synthetic", CPU)
    words = ("on", "tree", "station")
    pictures = np.stack([drawn(word) for word in words])
    reading = read(reader, as_input(pictures, CPU), config.words.longest, beams)
    assert [len(word) for word in reading.words] == [len(word) for word in words]
    for row, word in enumerate(reading.words):
        (likely,) = log_likelihoods(reader, as_input(pictures[row : row + 1], CPU), [word]).exp().tolist()
        assert 0.05 < reading.confidences[row].item() == pytest.approx(likely, rel=1e-3)


def drawn(word: str) -> NDArray[np.uint8]:
    """A plain word, 32×100."""
    picture = Image.new("L", (100, 32), 230)
    ImageDraw.Draw(picture).text((50, 16), word, fill=20, font=ImageFont.load_default(size=24), anchor="mm")
    return np.asarray(picture)


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

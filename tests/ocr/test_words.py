"""The stream of words: what it depends on, what its labels are, and how often it draws what."""

from __future__ import annotations

import dataclasses
import gzip
import pickle
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from statistics import median
from typing import Any

import matplotlib
import numpy as np
import pytest
from numpy.typing import NDArray

from attention_cli.main import main
from ocr import texts, words
from ocr.collections import open_collection, write_lmdb
from ocr.fonts import Font, FontError
from ocr.texts import draw_text, lexicon
from ocr.words import WordStream, write_words
from ocr.words_config import WordConfig

FOLDER = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
FONTS = tuple(
    Font(str(FOLDER / name), name, True, 1.0) for name in ("DejaVuSans-Bold.ttf", "DejaVuSerif.ttf", "cmr10.ttf", "STIXGeneral.ttf")
)
LISTED = ["a", "I", "of", "the", "Park", "hotel", "market", "station", "national", "restaurants", "internationalisation"]
ONLY_WORDS = WordConfig(words=1, numbers=0, names=0, mixtures=0, punctuation=0)


@pytest.fixture(autouse=True)
def _small_list(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    place = tmp_path / "words.txt.gz"
    place.write_bytes(gzip.compress("\n".join(LISTED).encode()))
    monkeypatch.setattr(texts, "fetch", lambda path: place)
    lexicon.cache_clear()
    yield
    lexicon.cache_clear()


def make_stream(seed: int = 0, **settings: Any) -> WordStream:
    return WordStream(WordConfig(**settings), seed, FONTS)


def draw_texts(config: WordConfig, count: int) -> list[texts.Text]:
    generator = np.random.default_rng(0)
    return [draw_text(config, generator) for _ in range(count)]


def pictures(stream: WordStream, indices: list[int]) -> list[NDArray[np.uint8]]:
    return [stream.word(index)[0] for index in indices]


# Words that are kept ------------------------------------------------------------------------------------------------------


def test_words_are_drawn_once_for_many_trainings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(words, "find_fonts", lambda: FONTS)
    config, folder = WordConfig(height=24, width=72), tmp_path / "new" / "words"
    write_words(config, 5, 3, folder)
    kept, stream = open_collection(folder, 24, 72, 23), WordStream(config, 3, FONTS)
    assert len(kept) == 5
    for number in range(5):
        np.testing.assert_array_equal(kept[number][0], stream.word(number)[0])
        assert kept[number][1] == stream.word(number)[1]
    with pytest.raises(FileExistsError, match="words is there already: name a folder that is not"):
        write_words(config, 5, 3, folder)
    with pytest.raises(ValueError, match="count must be at least 1, got 0"):
        write_words(config, 0, 3, tmp_path / "none")


def test_the_command_writes_a_collection_in_place_of_a_figure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(words, "find_fonts", lambda: FONTS)
    figure, folder = tmp_path / "words.png", tmp_path / "words"
    asked = ["ocr", "words", "--count", "2", "--out", str(figure), "--collection", str(folder)]
    assert main([*asked, "--real"]) == 2
    assert "ask for --real or for --collection" in capsys.readouterr().err
    assert main(asked) == 0
    assert len(open_collection(folder, 32, 100, 23)) == 2
    assert not figure.exists()


def test_a_collection_that_was_interrupted_is_not_taken_for_a_whole_one(tmp_path: Path) -> None:
    def interrupted() -> Iterator[tuple[NDArray[np.uint8], str]]:
        yield make_stream().word(0)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_lmdb(interrupted(), tmp_path / "words")
    assert not (tmp_path / "words").exists()
    write_lmdb((make_stream().word(number) for number in range(2)), tmp_path / "words")
    assert len(open_collection(tmp_path / "words", 32, 100, 23)) == 2


# The stream ---------------------------------------------------------------------------------------------------------------


def test_a_word_depends_on_seed_and_number_alone() -> None:
    forwards, backwards = make_stream(), make_stream()
    drawn = {index: forwards.word(index) for index in range(20)}
    for index in reversed(range(20)):
        picture, label = backwards[index]
        np.testing.assert_array_equal(picture, drawn[index][0])
        assert label == drawn[index][1]


def test_other_numbers_and_other_seeds_are_other_pictures() -> None:
    crops = [*pictures(make_stream(), [*range(30), 10**12]), *pictures(make_stream(1), list(range(30)))]
    assert len({crop.tobytes() for crop in crops}) == len(crops)


def test_a_process_of_its_own_makes_the_same_words() -> None:
    stream = make_stream()
    with ProcessPoolExecutor(1, mp_context=get_context("fork")) as process:
        theirs = process.submit(pictures, stream, [5, 3]).result()
    np.testing.assert_array_equal(theirs, pictures(stream, [5, 3]))


def test_a_stream_can_be_pickled_after_use() -> None:
    stream = make_stream()
    expected = pictures(stream, [7])
    np.testing.assert_array_equal(pictures(pickle.loads(pickle.dumps(stream)), [7]), expected)


def test_a_crop_is_grey_and_of_the_size_asked_for() -> None:
    for height, width in ((32, 100), (48, 64)):
        crop, _ = make_stream(height=height, width=width).word(0)
        assert crop.shape == (height, width)
        assert crop.dtype == np.uint8


def test_hardly_a_picture_is_flat() -> None:
    deviations = [crop.std() for crop in pictures(make_stream(), list(range(400)))]
    assert np.mean(np.array(deviations) > 5) > 0.99


@pytest.mark.parametrize(("seed", "index", "error"), [(-1, 0, ValueError), (0, -1, IndexError)])
def test_negative_numbers_are_refused(seed: int, index: int, error: type[Exception]) -> None:
    with pytest.raises(error, match="0"):
        make_stream(seed).word(index)


def test_a_stream_needs_fonts() -> None:
    with pytest.raises(FontError, match="one font at least"):
        WordStream(WordConfig(), 0, ())


# Labels -------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("longest", [1, 2, 7, 23])
def test_labels_are_letters_and_digits_and_never_too_long(longest: int) -> None:
    for text in draw_texts(WordConfig(longest=longest, punctuation=0.5), 3000):
        assert 1 <= len(text.label) <= longest
        assert set(text.label) <= set("0123456789abcdefghijklmnopqrstuvwxyz")


def test_a_label_is_what_is_drawn_without_signs_and_case() -> None:
    drawn = draw_texts(WordConfig(punctuation=1), 2000)
    assert all(text.label == "".join(filter(str.isalnum, text.drawn)).lower() for text in drawn)
    assert all(text.drawn.isascii() and not text.drawn.isalnum() for text in drawn)


def test_punctuation_is_as_frequent_as_asked_for() -> None:
    assert all(text.drawn.isalnum() for text in draw_texts(WordConfig(punctuation=0), 500))
    share = np.mean([not text.drawn.isalnum() for text in draw_texts(WordConfig(punctuation=0.2), 4000)])
    assert share == pytest.approx(0.2, abs=0.03)


# Shares -------------------------------------------------------------------------------------------------------------------


def test_words_are_those_of_the_list_and_common_ones() -> None:
    known = {word.lower() for word in LISTED} | set(texts.COMMON)
    assert {text.label for text in draw_texts(ONLY_WORDS, 3000)} <= known


def test_kinds_have_their_shares() -> None:
    config = dataclasses.replace(ONLY_WORDS, words=3, numbers=1)
    assert np.mean([text.label[0].isdigit() for text in draw_texts(config, 4000)]) == pytest.approx(0.25, abs=0.03)
    config = dataclasses.replace(ONLY_WORDS, words=0, names=1, mixtures=1)
    known = [text.label.isalpha() and len(text.label) > 7 for text in draw_texts(config, 1000)]
    assert 0.05 < np.mean(known) < 0.4  # names alone are so long


def test_names_go_on_as_words_of_the_list_do() -> None:
    config = dataclasses.replace(ONLY_WORDS, words=0, names=1)
    follows = {pair for word in LISTED for pair in zip(word.lower(), word.lower()[1:], strict=False)}
    begins = {word[0].lower() for word in LISTED}
    for text in draw_texts(config, 500):
        assert text.label[0] in begins
        # Where a name had to begin again, its last letter is a word's last one.
        strange = [pair for pair in zip(text.label, text.label[1:], strict=False) if pair not in follows]
        assert all(first in {word[-1].lower() for word in LISTED} for first, _ in strange)


def test_cases_have_their_shares() -> None:
    config = dataclasses.replace(ONLY_WORDS, upper=0.5, capitalised=0.2, lower=0.3, mixed=0)
    drawn = [text.drawn for text in draw_texts(config, 6000) if len(text.drawn) > 1]
    cases = Counter("upper" if word.isupper() else "lower" if word.islower() else "capitalised" for word in drawn)
    shares = {case: count / len(drawn) for case, count in cases.items()}
    assert shares == pytest.approx({"upper": 0.5, "capitalised": 0.2, "lower": 0.3}, abs=0.03)


def test_fonts_are_drawn_by_their_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    opened: Counter[str] = Counter()

    class NotOpenedError(Exception):
        pass

    def open_none(path: str) -> None:
        opened[path] += 1
        raise NotOpenedError

    monkeypatch.setattr("ocr.words.open_face", open_none)
    stream = WordStream(WordConfig(), 0, (Font("a", "a", True, 3.0), Font("b", "b", True, 1.0)))
    for index in range(2000):
        with pytest.raises(NotOpenedError):
            stream.word(index)
    assert opened["a"] / 2000 == pytest.approx(0.75, abs=0.04)


def test_words_of_the_real_list_are_as_long_as_those_of_signs(data_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = data_folder / texts.WORD_LIST
    monkeypatch.setattr(texts, "fetch", lambda path: place)
    lexicon.cache_clear()
    labels = [text.label for text in draw_texts(ONLY_WORDS, 4000)]
    assert len(set(labels)) > 2000
    assert 5 <= median(map(len, labels)) <= 6


# Settings -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"height": 4}, "height must be at least 8"),
        ({"longest": 0}, "longest must be at least 1"),
        ({"words": -1.0}, "share words"),
        ({"upper": float("nan")}, "share upper"),
        ({"words": 0.0, "numbers": 0.0, "names": 0.0, "mixtures": 0.0}, "one of the shares words"),
        ({"punctuation": 1.5}, r"punctuation must be within \[0, 1\]"),
    ],
)
def test_settings_that_make_no_sense_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        WordConfig(**settings)

"""Vocabulary, and captioned pictures in arrays of one's own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from attention_env.captions import END, PAD, SPECIAL, START, UNKNOWN, CaptionedPictures, Vocabulary
from attention_env.sources import SourceError

CPU = torch.device("cpu")
VOCABULARY = Vocabulary((*SPECIAL, "a", "dog", "runs"))
A, DOG, RUNS = 4, 5, 6
CAPTIONS = np.array(
    [
        [[A, DOG, END, PAD, PAD], [DOG, RUNS, END, PAD, PAD]],
        [[A, DOG, RUNS, END, PAD], [UNKNOWN, END, PAD, PAD, PAD]],
        [[RUNS, END, PAD, PAD, PAD], [DOG, END, PAD, PAD, PAD]],
    ],
    dtype=np.int32,
)
ANNOTATIONS = np.random.default_rng(0).standard_normal((3, 4, 2)).astype(np.float16)


def test_the_special_words_come_first() -> None:
    assert [SPECIAL[number] for number in (PAD, START, END, UNKNOWN)] == ["<pad>", "<start>", "<end>", "<unknown>"]
    assert len(VOCABULARY) == 7


def test_words_are_encoded_with_an_end_and_decoded_up_to_it() -> None:
    assert VOCABULARY.encode(["a", "cat", "runs"]) == [A, UNKNOWN, RUNS, END]
    assert VOCABULARY.encode([]) == [END]
    assert VOCABULARY.decode([START, A, UNKNOWN, RUNS, END, DOG, PAD]) == ["a", "<unknown>", "runs"]
    assert VOCABULARY.decode([A, DOG]) == ["a", "dog"]
    assert VOCABULARY.decode(VOCABULARY.encode(["dog", "runs"])) == ["dog", "runs"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((), "begins with <pad>, <start>, <end>, <unknown>, got nothing"),
        (("a", *SPECIAL), "begins with"),
        ((*SPECIAL, "a", "dog", "a"), "'a' stands there more often"),
    ],
)
def test_a_wrong_vocabulary_is_refused(words: tuple[str, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Vocabulary(words)


def test_pictures_come_with_their_annotations_and_captions() -> None:
    source = CaptionedPictures("mine", VOCABULARY, ANNOTATIONS, CAPTIONS)
    assert (source.name, len(source), source.shape, source.references) == ("mine", 3, (4, 2), 2)
    assert source.longest == 4  # the column that is PAD everywhere is cut off
    index = torch.tensor([2, 0, 2])
    annotations, captions = source.annotations(index, CPU), source.captions(index, CPU)
    assert annotations.dtype == torch.float32
    np.testing.assert_array_equal(annotations, ANNOTATIONS[[2, 0, 2]])
    assert captions.dtype == torch.int64
    np.testing.assert_array_equal(captions, CAPTIONS[[2, 0, 2], :, :4])
    assert source.sentences(torch.tensor([1, 2])) == [["a dog runs", "<unknown>"], ["runs", "dog"]]


def test_what_a_source_gives_is_the_takers_own() -> None:
    annotations, captions = ANNOTATIONS.astype(np.float32), CAPTIONS.copy()
    source = CaptionedPictures("mine", VOCABULARY, annotations, captions)
    index = torch.arange(3)
    source.annotations(index, CPU).zero_()
    source.captions(index, CPU).zero_()
    captions[:] = PAD
    np.testing.assert_array_equal(source.annotations(index, CPU), annotations)
    np.testing.assert_array_equal(source.captions(index, CPU), CAPTIONS[..., :4])


def test_annotations_may_be_memory_mapped(tmp_path: Path) -> None:
    np.save(tmp_path / "annotations.npy", ANNOTATIONS)
    mapped = np.load(tmp_path / "annotations.npy", mmap_mode="r")
    source = CaptionedPictures("mine", VOCABULARY, mapped, CAPTIONS)
    np.testing.assert_array_equal(source.annotations(torch.tensor([1]), CPU), ANNOTATIONS[[1]])


@pytest.mark.parametrize(
    ("annotations", "message"),
    [
        (ANNOTATIONS[0], r"shape \(count, L, D\)"),
        (ANNOTATIONS[:0], "not empty"),
        (ANNOTATIONS.astype(np.int64), "floating point .* got int64"),
        (ANNOTATIONS[:2], r"shape \(2, R, T\).* got int32 \(3, 2, 5\)"),
    ],
)
def test_wrong_annotations_are_refused(annotations: Any, message: str) -> None:
    with pytest.raises(SourceError, match=message):
        CaptionedPictures("mine", VOCABULARY, annotations, CAPTIONS)


@pytest.mark.parametrize(
    ("caption", "message"),
    [
        ([A, DOG, RUNS, A, DOG], r"caption 1 of picture 2 is \[4, 5, 6, 4, 5\]"),  # never ends
        ([A, PAD, END, PAD, PAD], "then END"),
        ([A, END, DOG, PAD, PAD], "nothing but PAD"),
        ([A, END, END, PAD, PAD], "nothing but PAD"),
        ([START, A, END, PAD, PAD], "a caption is words"),
        ([A, 7, END, PAD, PAD], r"word numbers in 0 … 6, .* got 0 … 7"),
        ([A, -1, END, PAD, PAD], "got -1 … 6"),
    ],
)
def test_wrong_captions_are_refused(caption: list[int], message: str) -> None:
    captions = CAPTIONS.copy()
    captions[2, 1] = caption
    with pytest.raises(SourceError, match=message):
        CaptionedPictures("mine", VOCABULARY, ANNOTATIONS, captions)
    with pytest.raises(SourceError, match="whole numbers of shape"):
        CaptionedPictures("mine", VOCABULARY, ANNOTATIONS, captions.astype(np.float32))

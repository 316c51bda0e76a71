"""Flickr8k: official splits, the captions as written, and each picture beside its own."""

from __future__ import annotations

import io
import pickle
import tarfile
from pathlib import Path

import pooch
import pytest
from PIL import Image

from attention_core.data_files import DataError
from captioning.flickr8k import identity, load_captions, load_pictures

SPLITS = {"train": 6000, "validation": 1000, "test": 1000}


def test_splits_are_the_official_ones(data_folder: Path) -> None:
    names = {split: [picture.filename for picture in load_captions(split)] for split in SPLITS}
    assert {split: len(found) for split, found in names.items()} == SPLITS
    assert len({name for found in names.values() for name in found}) == sum(SPLITS.values())
    # Each is in one of the published lists.
    assert "2513260012_03d33305cf.jpg" in names["train"]
    assert "2090545563_a4e66ec76b.jpg" in names["validation"]
    assert "3385593926_d3e9c21170.jpg" in names["test"]


def test_every_picture_has_five_sentences_as_they_were_written(data_folder: Path) -> None:
    captioned = {picture.filename: picture.sentences for split in SPLITS for picture in load_captions(split)}
    assert {len(sentences) for sentences in captioned.values()} == {5}
    assert captioned["3385593926_d3e9c21170.jpg"][0] == "The dogs are in the snow in front of a fence ."


@pytest.mark.parametrize("split", SPLITS)
def test_pictures_stand_in_the_order_of_the_captions(data_folder: Path, split: str) -> None:
    captioned, pictures = load_captions(split), load_pictures(split)
    assert len(pictures) == len(captioned)
    wanted = dict.fromkeys([0, 1, len(captioned) // 2, len(captioned) - 1])
    for number in (0, 1):
        with tarfile.open(data_folder / "flickr8k" / f"images-176-{number}.tar") as archive:
            names = {*archive.getnames()}
            for index in wanted:
                if captioned[index].filename in names:
                    stream = archive.extractfile(captioned[index].filename)
                    assert stream is not None
                    wanted[index] = stream.read()
    assert {index: pictures[index] for index in wanted} == wanted


def test_every_picture_is_a_whole_jpeg(data_folder: Path) -> None:
    for encoded in load_pictures("validation"):
        with Image.open(io.BytesIO(encoded)) as picture:
            assert (picture.format, picture.size, picture.mode) == ("JPEG", (176, 176), "RGB")
        assert encoded.endswith(b"\xff\xd9")


def test_pictures_survive_pickling(data_folder: Path) -> None:
    pictures = load_pictures("test")
    assert pickle.loads(pickle.dumps(pictures))[7] == pictures[7]


def test_picture_beyond_the_last_is_an_index_error(data_folder: Path) -> None:
    pictures = load_pictures("test")
    with pytest.raises(IndexError):
        pictures[1000]


def test_identity_is_the_files_hashes(data_folder: Path) -> None:
    assert len(identity()) == 3
    assert identity() == {path: pooch.file_hash(str(data_folder / path)) for path in identity()}


@pytest.mark.parametrize("load", [load_captions, load_pictures])
def test_unknown_split_is_named(load: type) -> None:
    with pytest.raises(ValueError, match="unknown split 'val': choose one of train, validation, test"):
        load("val")


def test_missing_files_are_said_to_be_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ATTENTION_DATA", str(tmp_path))
    with pytest.raises(DataError, match=r"captions\.json\.gz is missing"):
        load_captions("test")

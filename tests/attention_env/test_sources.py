"""Picture sources: sizes and disjoint splits, arrays of one's own, and files that are missing, cut or altered."""

from __future__ import annotations

import shutil
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from attention_core.data_files import DATA_FILES, DataError
from attention_core.splits import SPLITS
from attention_env import sources
from attention_env.sources import SOURCES, Pictures, SourceError, load_pictures

SIZES = {"digits": (1_257, 180, 360), "mnist": (55_000, 5_000, 10_000), "fashion_mnist": (55_000, 5_000, 10_000)}
SIDES = {"digits": 8, "mnist": 28, "fashion_mnist": 28}


@pytest.fixture(params=list(SIZES))
def source(request: pytest.FixtureRequest) -> str:
    if request.param != "digits":
        request.getfixturevalue("data_folder")
    return str(request.param)


@pytest.fixture
def empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data folder to fill; what the process has already loaded is set aside for the time of the test."""
    monkeypatch.setenv("ATTENTION_DATA", str(tmp_path))
    for loader in ("_load_named", "_read_idx"):
        monkeypatch.setattr(sources, loader, cache(getattr(sources, loader).__wrapped__))
    (tmp_path / "mnist").mkdir()
    return tmp_path


def fill(folder: Path, path: str, content: bytes) -> None:
    (folder / path).write_bytes(content)


def test_splits_have_the_sizes_of_the_docstring_and_fit_the_description(source: str) -> None:
    for split, size in zip(SPLITS, SIZES[source], strict=True):
        pictures = load_pictures(source, split)
        assert len(pictures) == size
        assert pictures.images.shape == (size, 1, SIDES[source], SIDES[source])
        assert pictures.images.dtype == np.uint8
        assert pictures.shape == (1, SIDES[source], SIDES[source])
        assert pictures.labels.shape == (size,)
        assert pictures.labels.dtype == np.int64
        assert pictures.classes == 10
        assert set(pictures.labels) == set(range(10))
        assert pictures.name == f"{source}/{split}"
        assert pictures.images.min() == 0
        assert pictures.images.max() == 255


def test_digits_are_dealt_out_without_overlap_and_without_loss() -> None:
    from sklearn.datasets import load_digits

    whole, labels = load_digits(return_X_y=True)
    splits = [load_pictures("digits", split) for split in SPLITS]
    together = np.concatenate([picture.images.reshape(-1, 64) for picture in splits])
    together_labels = np.concatenate([picture.labels for picture in splits])
    # No two of the 1 797 are alike, so equal sets mean that each is there once.
    expected = {(int(label), *(row * 255 / 16).round().astype(int).tolist()) for row, label in zip(whole, labels, strict=True)}
    found = [(int(label), *row.tolist()) for row, label in zip(together, together_labels, strict=True)]
    assert len(found) == len(whole)
    assert set(found) == expected
    assert len(expected) == len(whole)


@pytest.mark.parametrize("name", ["mnist", "fashion_mnist"])
def test_validation_is_the_end_of_the_official_training_file(name: str, data_folder: Path) -> None:
    import gzip

    with gzip.open(data_folder / name / "train-images-idx3-ubyte.gz") as stream:
        official = np.frombuffer(stream.read(), np.uint8, offset=16).reshape(60_000, 1, 28, 28)
    assert np.array_equal(load_pictures(name, "train").images, official[:55_000])
    assert np.array_equal(load_pictures(name, "validation").images, official[55_000:])


def test_digits_are_stratified() -> None:
    counts = np.array([np.bincount(load_pictures("digits", split).labels, minlength=10) for split in SPLITS])
    shares = counts / counts.sum(axis=0)
    assert np.abs(shares - np.array([[0.7], [0.1], [0.2]])).max() < 0.01


def test_digits_use_the_whole_range_of_a_byte_for_their_seventeen_levels() -> None:
    levels = np.unique(load_pictures("digits", "train").images)
    assert len(levels) == 17
    assert np.array_equal(levels, (np.arange(17) * 255 / 16).round())


def test_mnist_begins_as_the_official_files_do(data_folder: Path) -> None:
    assert load_pictures("mnist", "train").labels[:10].tolist() == [5, 0, 4, 1, 9, 2, 1, 3, 1, 4]
    assert load_pictures("mnist", "test").labels[:10].tolist() == [7, 2, 1, 0, 4, 1, 4, 9, 5, 9]


def test_a_process_loads_a_split_once(source: str) -> None:
    assert load_pictures(source, "test") is load_pictures(source, "test")
    assert load_pictures(source, "test") is not load_pictures(source, "validation")


def test_tensors_are_brought_to_a_device_once() -> None:
    pictures = load_pictures("digits", "test")
    images, labels = pictures.on(torch.device("cpu"))
    assert pictures.on(torch.device("cpu"))[0] is images
    assert np.array_equal(images.numpy(), pictures.images)
    assert np.array_equal(labels.numpy(), pictures.labels)


# Arrays of one's own ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(4, 5, 6), (4, 1, 5, 6), (4, 3, 5, 6)])
@pytest.mark.parametrize("dtype", [np.uint8, np.float16, np.float32, np.float64])
def test_arrays_are_used_as_they_are_whatever_the_split(shape: tuple[int, ...], dtype: type[Any]) -> None:
    images = np.random.default_rng(0).integers(0, 2, shape).astype(dtype)
    for split in SPLITS:
        pictures = load_pictures((images, np.array([0, 4, 2, 0])), split)
        assert pictures.images.shape == (4, shape[1] if len(shape) == 4 else 1, 5, 6)
        assert pictures.images.dtype == (np.uint8 if dtype is np.uint8 else np.float32)
        assert np.array_equal(pictures.images.reshape(shape), images)
        assert pictures.labels.tolist() == [0, 4, 2, 0]
        assert pictures.labels.dtype == np.int64
        assert pictures.classes == 5


def test_arrays_are_copied() -> None:
    images, labels = np.zeros((2, 4, 4), np.uint8), np.array([0, 1])
    pictures = load_pictures((images, labels))
    images += 9
    labels += 9
    assert pictures.images.max() == 0
    assert pictures.labels.tolist() == [0, 1]


def test_lists_are_taken_for_arrays() -> None:
    pictures = load_pictures([[[[0.0, 0.5]], [[1.0, 0.0]]], [0, 1]])
    assert isinstance(pictures, Pictures)
    assert pictures.shape == (1, 1, 2)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        (np.zeros((2, 4, 4), np.uint8), r"a pair \(images, labels\), got ndarray"),
        ((np.zeros((2, 4, 4), np.uint8),), r"a pair \(images, labels\), got tuple"),
        (None, r"a pair \(images, labels\), got NoneType"),
        ((np.zeros((4, 4), np.uint8), np.zeros(4, int)), r"images must be .*got shape \(4, 4\)"),
        ((np.zeros((0, 4, 4), np.uint8), np.zeros(0, int)), r"images must be .*not empty, got shape \(0, 4, 4\)"),
        ((np.zeros((2, 0, 4), np.uint8), np.zeros(2, int)), r"images must be .*not empty"),
        ((np.zeros((2, 4, 4), np.uint8), np.zeros(3, int)), r"labels must be of shape \(2,\), one per image, got \(3,\)"),
        ((np.zeros((2, 4, 4), np.uint8), np.zeros((2, 1), int)), r"labels must be of shape \(2,\)"),
        ((np.zeros((2, 4, 4), np.uint8), np.zeros(2)), r"labels must be whole numbers from 0 on, got float64"),
        ((np.zeros((2, 4, 4), np.uint8), np.array([0, -1])), r"labels must be whole numbers from 0 on, got int64 with minimum -1"),
        ((np.zeros((2, 4, 4), np.int64), np.zeros(2, int)), r"images must be uint8 or floating point, got int64"),
        ((np.zeros((2, 4, 4), bool), np.zeros(2, int)), r"images must be uint8 or floating point, got bool"),
        ((np.full((2, 4, 4), 255.0), np.zeros(2, int)), r"must lie within \[0, 1\], got \[255.0, 255.0\]"),
        ((np.full((2, 4, 4), -0.1), np.zeros(2, int)), r"must lie within \[0, 1\]"),
        ((np.full((2, 4, 4), np.nan), np.zeros(2, int)), r"must lie within \[0, 1\]"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(arrays: Any, message: str) -> None:
    with pytest.raises(SourceError, match=message):
        load_pictures(arrays)


# Names and files --------------------------------------------------------------------------------------------------------


def test_an_unknown_source_is_refused() -> None:
    with pytest.raises(SourceError, match=f"unknown image source 'cifar': choose one of {', '.join(SOURCES)}"):
        load_pictures("cifar")


@pytest.mark.parametrize("source_of_any_kind", ["digits", (np.zeros((1, 4, 4), np.uint8), [0])])
def test_an_unknown_split_is_refused(source_of_any_kind: Any) -> None:
    with pytest.raises(ValueError, match="unknown split 'dev': choose one of train, validation, test"):
        load_pictures(source_of_any_kind, "dev")


@pytest.mark.parametrize("name", ["mnist", "fashion_mnist"])
def test_a_missing_file_is_named_with_the_remedy(name: str, empty_folder: Path) -> None:
    path = f"{name}/t10k-images-idx3-ubyte.gz"
    with pytest.raises(DataError, match=rf"{empty_folder / path} is missing: ATTENTION_DATA is set.*put {path}"):
        load_pictures(name, "test")


@pytest.mark.parametrize("length", [0, 1_000])
def test_a_cut_file_is_refused(length: int, empty_folder: Path) -> None:
    fill(empty_folder, "mnist/t10k-images-idx3-ubyte.gz", bytes(length))
    with pytest.raises(DataError, match=rf"has {length:,} bytes where 1,648,877 are right: it was cut or altered"):
        load_pictures("mnist", "test")


def test_a_file_of_the_right_length_and_other_content_is_refused(empty_folder: Path) -> None:
    path = "mnist/t10k-images-idx3-ubyte.gz"
    fill(empty_folder, path, bytes(DATA_FILES[path].size))
    with pytest.raises(DataError, match=r"has sha256 .* it was altered"):
        load_pictures("mnist", "test")


def test_one_flipped_bit_is_found_and_the_mended_file_is_read(data_folder: Path, empty_folder: Path) -> None:
    images, labels = "mnist/t10k-images-idx3-ubyte.gz", "mnist/t10k-labels-idx1-ubyte.gz"
    shutil.copy(data_folder / images, empty_folder / images)
    right = (data_folder / labels).read_bytes()
    altered = bytearray(right)
    altered[2_000] ^= 1
    fill(empty_folder, labels, bytes(altered))
    with pytest.raises(DataError, match=r"t10k-labels.* it was altered"):
        load_pictures("mnist", "test")
    fill(empty_folder, labels, right)
    assert len(load_pictures("mnist", "test")) == 10_000

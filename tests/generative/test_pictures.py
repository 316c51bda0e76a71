"""Pictures that models are made of: both binarisations, colours, classes, and the two forms of the fixed one's files."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from attention_core.data_files import DATA_FILES, FOLDER_VARIABLE, DataError
from attention_env import sources
from attention_env.sources import SOURCES, SourceError
from generative import pictures as pictures_module
from generative.pictures import BINARISED, DATA, PACKED, Pictures

CPU = torch.device("cpu")
SIZES = {"train": 50_000, "validation": 10_000, "test": 10_000}
MEANS = {"train": 0.13056, "validation": 0.13113, "test": 0.13251}
TEXT = f"{BINARISED}/binarized_mnist_test.amat"


def chance(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.fixture
def colours(monkeypatch: pytest.MonkeyPatch) -> NDArray[np.uint8]:
    """Seven oblong coloured pictures of three classes, as the source "colours"."""
    images = np.random.default_rng(0).integers(0, 256, (7, 3, 4, 5), dtype=np.uint8)
    monkeypatch.setitem(SOURCES, "colours", lambda split: (images, np.arange(7) % 3))
    monkeypatch.setattr(sources, "_load_named", cache(sources._load_named.__wrapped__))
    return images


@pytest.fixture
def empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data folder to fill; what the process has already loaded is set aside for the time of the test."""
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path))
    monkeypatch.setattr(pictures_module, "_binarised", cache(pictures_module._binarised.__wrapped__))
    (tmp_path / BINARISED).mkdir()
    return tmp_path


@pytest.fixture
def declare(empty_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Declare the file that lies at a path of that folder to be the right one."""

    def as_it_is(path: str) -> None:
        content = (empty_folder / path).read_bytes()
        monkeypatch.setitem(
            DATA_FILES, path, replace(DATA_FILES[path], sha256=hashlib.sha256(content).hexdigest(), size=len(content))
        )

    return as_it_is


def as_text(bits: NDArray[np.uint8]) -> bytes:
    """Write rows of zeros and ones as the `.amat` files do: digits with spaces between, a line each."""
    table = np.full((len(bits), 2 * bits.shape[1]), ord(" "), np.uint8)
    table[:, ::2] = bits + ord("0")
    table[:, -1] = ord("\n")
    return table.tobytes()


@pytest.mark.parametrize("split", SIZES)
def test_fixed_binarisation_has_the_sizes_and_means_of_its_splits(split: str, data_folder: Path) -> None:
    pictures = Pictures(BINARISED, split, CPU, binary=True)
    assert len(pictures) == SIZES[split]
    assert pictures.shape == (1, 28, 28)
    assert pictures.binarisation == "fixed"
    assert pictures.classes == 0
    assert pictures.images.dtype == torch.uint8
    white, black = (int((pictures.images == value).sum()) for value in (255, 0))
    assert white + black == pictures.images.numel()
    assert white / pictures.images.numel() == pytest.approx(MEANS[split], abs=5e-6)
    shown = pictures.show(torch.arange(0, SIZES[split], 1_000), None)
    assert set(shown.pictures.unique().tolist()) == {0.0, 1.0}
    assert shown.labels is None


def test_fixed_binarisation_is_of_the_test_pictures_in_the_order_of_their_classes(data_folder: Path) -> None:
    grey = Pictures("mnist", "test", CPU, binary=False, labelled=True)
    assert grey.labels is not None
    images = grey.images[torch.sort(grey.labels, stable=True).indices]
    binary = Pictures(BINARISED, "test", CPU, binary=True).images
    assert not ((images == 0) & (binary == 255)).any()
    assert not ((images == 255) & (binary == 0)).any()


def test_packed_rows_are_pictures_row_by_row(empty_folder: Path, declare: Callable[[str], None]) -> None:
    bits = np.random.default_rng(0).integers(0, 2, (5, 784), dtype=np.uint8)
    np.savez(empty_folder / PACKED, test=np.packbits(bits, axis=1), valid=np.packbits(1 - bits, axis=1))
    declare(PACKED)
    shown = Pictures(BINARISED, "test", CPU, binary=True).show(torch.arange(5), None).pictures
    for pixel in range(784):
        assert shown[:, 0, pixel // 28, pixel % 28].tolist() == bits[:, pixel].tolist()
    assert torch.equal(Pictures(BINARISED, "validation", CPU, binary=True).show(torch.arange(5), None).pictures, 1 - shown)


def test_text_is_read_as_the_packed_file_is(empty_folder: Path, declare: Callable[[str], None]) -> None:
    bits = np.random.default_rng(0).integers(0, 2, (5, 784), dtype=np.uint8)
    (empty_folder / TEXT).write_bytes(as_text(bits))
    declare(TEXT)
    of_text = Pictures(BINARISED, "test", CPU, binary=True).images
    pictures_module._binarised.cache_clear()
    (empty_folder / TEXT).unlink()
    np.savez(empty_folder / PACKED, test=np.packbits(bits, axis=1))
    declare(PACKED)
    of_packed = Pictures(BINARISED, "test", CPU, binary=True).images
    assert of_text.dtype == of_packed.dtype == torch.uint8
    assert of_text.shape == (5, 1, 28, 28)
    assert torch.equal(of_text, of_packed)


def test_the_official_text_is_that_of_the_packed_file(data_folder: Path, empty_folder: Path) -> None:
    with np.load(data_folder / PACKED) as packed:
        bits = np.unpackbits(packed["test"], axis=1)
    (empty_folder / TEXT).write_bytes(as_text(bits))
    # It is read because its sha256 is the one declared of the official file.
    found = Pictures(BINARISED, "test", CPU, binary=True).images
    assert np.array_equal(found.numpy().reshape(-1, 784), bits * np.uint8(255))


def test_a_missing_file_is_named(empty_folder: Path) -> None:
    with pytest.raises(DataError, match=r"binarized_mnist_test\.amat is missing: ATTENTION_DATA is set"):
        Pictures(BINARISED, "test", CPU, binary=True)


@pytest.mark.parametrize("path", [PACKED, TEXT])
def test_an_altered_file_is_refused(path: str, empty_folder: Path) -> None:
    (empty_folder / path).write_bytes(bytes(1_000))
    with pytest.raises(DataError, match=r"has 1,000 bytes where .* are right"):
        Pictures(BINARISED, "test", CPU, binary=True)


@pytest.mark.parametrize("binary", [True, False])
def test_fixed_binarisation_leaves_nothing_to_chance(binary: bool, data_folder: Path) -> None:
    pictures = Pictures(BINARISED, "test", CPU, binary)
    assert pictures.binarisation == ("fixed" if binary else None)
    assert pictures.chance(3, chance()) is None
    first, again = (next(pictures.batches(100, chance(seed))).pictures for seed in (0, 1))
    assert torch.equal(first, again)


def test_dynamic_binarisation_is_white_as_often_as_the_pixel_is_grey() -> None:
    pictures = Pictures("digits", "validation", CPU, binary=True)
    assert pictures.binarisation == "dynamic"
    grey = pictures.images[:20].float() / 255
    times, generator = 2_000, chance()
    total = torch.zeros_like(grey)
    for _ in range(times):
        shown = pictures.show(torch.arange(20), pictures.chance(20, generator)).pictures
        assert ((shown == 0) | (shown == 1)).all()
        total += shown
    found = total / times
    deviation = (grey * (1 - grey) / times).sqrt()
    # Of 1 280 pixels none is expected beyond five deviations; black and white ones have none and are never missed.
    assert ((found - grey).abs() <= 5 * deviation).all()
    assert found.mean().item() == pytest.approx(grey.mean().item(), abs=5 * deviation.square().sum().sqrt().item() / grey.numel())
    assert ((grey == 0).any(), (grey == 1).any()) == (True, True), "these pictures have no certain pixels"


def test_dynamic_binarisation_is_drawn_anew_each_time_by_the_generator_alone() -> None:
    pictures = Pictures("digits", "validation", CPU, binary=True)
    generator = chance(3)
    first, second = ([batch.pictures for batch in pictures.batches(50, generator)] for _ in range(2))
    assert not torch.equal(torch.cat(first), torch.cat(second))
    again = [batch.pictures for batch in pictures.batches(50, chance(3))]
    assert torch.equal(torch.cat(first), torch.cat(again))


def test_a_pixel_is_white_where_chance_lies_below_its_grey() -> None:
    pictures = Pictures("digits", "test", CPU, binary=True)
    grey = pictures.images[:1].float() / 255
    half = torch.full((1, 1, 8, 8), 0.5)
    assert torch.equal(pictures.show(torch.tensor([0]), half).pictures, (grey > 0.5).float())
    assert torch.equal(pictures.show(torch.tensor([0]), torch.zeros(1, 1, 8, 8)).pictures, (grey > 0).float())


def test_pictures_that_are_not_binarised_are_shown_as_they_are(colours: NDArray[np.uint8]) -> None:
    pictures = Pictures("colours", "train", CPU, binary=False)
    assert (len(pictures), pictures.shape, pictures.binarisation) == (7, (3, 4, 5), None)
    assert pictures.chance(2, chance()) is None
    index = torch.tensor([6, 0, 6])
    shown = pictures.show(index, None)
    assert shown.pictures.dtype == torch.float32
    assert np.allclose(shown.pictures.numpy(), colours[index.numpy()] / 255, rtol=0, atol=1e-7)
    assert shown.labels is None


def test_coloured_pictures_are_binarised_channel_by_channel(colours: NDArray[np.uint8]) -> None:
    pictures = Pictures("colours", "train", CPU, binary=True)
    drawn = pictures.chance(7, chance())
    assert drawn is not None
    assert drawn.shape == (7, 3, 4, 5)
    shown = pictures.show(torch.arange(7), drawn).pictures
    assert np.array_equal(shown.numpy(), (drawn.numpy() < colours.astype(np.float32) / 255).astype(np.float32))


@pytest.mark.parametrize("size", [1, 3, 7, 100])
def test_batches_show_every_picture_once_in_order(size: int, colours: NDArray[np.uint8]) -> None:
    pictures = Pictures("colours", "train", CPU, binary=False, labelled=True)
    assert pictures.classes == 3
    batches = list(pictures.batches(size, chance()))
    assert [len(batch.pictures) for batch in batches[:-1]] == [size] * (len(batches) - 1)
    shown = torch.cat([batch.pictures for batch in batches])
    assert np.array_equal((shown * 255).round().numpy(), colours)
    assert torch.cat([batch.labels for batch in batches if batch.labels is not None]).tolist() == [0, 1, 2, 0, 1, 2, 0]


def test_classes_are_shown_to_those_alone_who_are_to_know_them() -> None:
    told = Pictures("digits", "test", CPU, binary=True, labelled=True)
    untold = Pictures("digits", "test", CPU, binary=True)
    assert (told.classes, untold.classes) == (10, 0)
    shown = told.show(torch.tensor([5, 1]), told.chance(2, chance()))
    assert told.labels is not None
    assert shown.labels is not None
    assert shown.labels.tolist() == [told.labels[5].item(), told.labels[1].item()]
    assert untold.show(torch.tensor([5, 1]), untold.chance(2, chance())).labels is None


def test_classes_of_the_fixed_binarisation_are_refused() -> None:
    with pytest.raises(SourceError, match=rf"{BINARISED} comes without classes: use mnist"):
        Pictures(BINARISED, "test", CPU, binary=True, labelled=True)


def test_unknown_data_and_splits_are_refused_with_those_there_are() -> None:
    assert set(DATA) >= {"digits", "mnist", "fashion_mnist", BINARISED}
    with pytest.raises(SourceError, match=rf"unknown data 'nonsense': choose one of .*digits.*{BINARISED}"):
        Pictures("nonsense", "test", CPU, binary=True)
    for data in ("digits", BINARISED):
        with pytest.raises(ValueError, match="unknown split 'dev'"):
            Pictures(data, "dev", CPU, binary=True)

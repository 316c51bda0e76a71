"""Annotation vectors on the disk: the encoder's, once; and never another's."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pooch
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from attention_core.data_files import DATA_FILES, FOLDER_VARIABLE
from attention_core.files import CACHE_VARIABLE, SaveError
from attention_core.picture_files import PictureError
from captioning import features
from captioning.config import FeatureConfig
from captioning.encoders import WEIGHTS, Encoder, load_encoder, published_names
from captioning.features import load_features
from captioning.pictures import decode_picture, random_view

CPU = torch.device("cpu")
CONFIG = FeatureConfig("mobilenet_v2", 48, 16)
IDENTITY = {"toys/pictures.tar": "0123"}


class Album:
    """Encoded pictures that count how often they were looked through."""

    def __init__(self, count: int) -> None:
        self.pictures = [self.draw(number) for number in range(count)]
        self.looks = 0

    @staticmethod
    def draw(seed: int) -> bytes:
        stream = io.BytesIO()
        pixels: NDArray[np.uint8] = np.random.default_rng(seed).integers(0, 256, (30, 40, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(stream, "png")
        return stream.getvalue()

    def __len__(self) -> int:
        return len(self.pictures)

    def __iter__(self) -> Iterator[bytes]:
        self.looks += 1
        return iter(self.pictures)


def publish(name: str, folder: Path, seed: int) -> None:
    """Write an encoder's file as it is published, of random numbers."""
    weights = WEIGHTS[name][-1]
    generator = torch.Generator().manual_seed(seed)
    convolutions = [module for module in Encoder(name, 32, weights).modules() if isinstance(module, torch.nn.Conv2d)]
    tensors = {}
    for convolution, (filters, norm) in zip(convolutions, published_names(name), strict=True):
        shape = convolution.weight.shape
        tensors[f"{filters}.weight"] = torch.randn(shape, generator=generator) * (2 / shape[1:].numel()) ** 0.5
        for part, value in (("weight", 1.0), ("bias", 0.0), ("running_mean", 0.0), ("running_var", 1.0)):
            tensors[f"{norm}.{part}"] = torch.full(shape[:1], value)
    (folder / "encoders").mkdir(exist_ok=True)
    torch.save(tensors, folder / weights.path)


def declare(name: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Take a folder for the data folder, and its encoder's file for the published one."""
    path = WEIGHTS[name][-1].path
    monkeypatch.setenv(FOLDER_VARIABLE, str(folder))
    found = pooch.file_hash(str(folder / path))
    monkeypatch.setitem(DATA_FILES, path, replace(DATA_FILES[path], sha256=found[:8]))


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder with both encoders' files."""
    folder = tmp_path_factory.mktemp("data")
    for name in WEIGHTS:
        publish(name, folder, seed=0)
    return folder


@pytest.fixture(autouse=True)
def cache(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache, and encoders to fill it."""
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path))
    for name in WEIGHTS:
        declare(name, data, monkeypatch)
    return tmp_path / features.FOLDER


def load(album: Album, config: FeatureConfig = CONFIG, **others: object) -> NDArray[np.float16]:
    return load_features("toys-train", **({"identity": IDENTITY, "pictures": album, "config": config, "device": CPU} | others))


def test_vectors_are_the_encoders_picture_by_picture() -> None:
    album = Album(2 * features.BATCH + 3)
    vectors = load(album)
    assert (vectors.shape, vectors.dtype) == ((len(album), 9, 96), np.float16)
    encoder = load_encoder("mobilenet_v2", 16)
    for number in (0, features.BATCH, len(album) - 1):
        seen = torch.from_numpy(decode_picture(album.pictures[number], 48, "it"))
        with torch.inference_mode():
            expected = encoder.annotate(seen[None])[0].half().numpy()
        np.testing.assert_allclose(vectors[number], expected, rtol=2e-3, atol=2e-3)


def test_the_second_time_nothing_is_computed_and_nothing_said(capsys: pytest.CaptureFixture[str]) -> None:
    album = Album(3)
    first = load(album).copy()
    capsys.readouterr()
    second = load(album)
    assert album.looks == 1
    assert capsys.readouterr() == ("", "")
    assert isinstance(second, np.memmap)
    assert not second.flags.writeable
    np.testing.assert_array_equal(first, second)


def test_description_says_what_the_file_was_made_from(cache: Path) -> None:
    load(Album(3))
    (path,) = cache.glob("*.json")
    assert path.name == "toys-train-mobilenet_v2-48-16.json"
    description = json.loads(path.read_text())
    assert description["data"] == IDENTITY
    assert description["weights"].startswith(DATA_FILES[WEIGHTS["mobilenet_v2"][-1].path].sha256)
    assert {key: description[key] for key in ("name", "count", "encoder", "size", "stride", "mirrored", "shape", "numbers")} == {
        "name": "toys-train",
        "count": 3,
        "encoder": "mobilenet_v2",
        "size": 48,
        "stride": 16,
        "mirrored": False,
        "shape": [3, 9, 96],
        "numbers": "float16",
    }


@pytest.mark.parametrize(
    ("config", "shape"),
    [
        (FeatureConfig("mobilenet_v2", 48, 32), (2, 4, 1280)),
        (FeatureConfig("mobilenet_v2", 64, 16), (2, 16, 96)),
        (FeatureConfig("efficientnet_lite0", 48, 16), (2, 9, 112)),
    ],
)
def test_every_setting_has_a_file_of_its_own(config: FeatureConfig, shape: tuple[int, ...], cache: Path) -> None:
    album = Album(2)
    load(album)
    assert load(album, config).shape == shape
    load(album)
    load(album, config)
    assert album.looks == 2
    assert len(list(cache.glob("*.npy"))) == 2


def test_mirrored_pictures_are_turned_before_they_are_seen() -> None:
    album, turned = Album(2), Album(2)
    for number, picture in enumerate(album.pictures):
        stream = io.BytesIO()
        Image.open(io.BytesIO(picture)).transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(stream, "png")
        turned.pictures[number] = stream.getvalue()
    mirrored = load(album, seen="mirrored")
    expected = load(turned, identity={"toys/turned.tar": "4567"})
    straight = load(album, identity={"toys/other.tar": "89"})
    np.testing.assert_allclose(mirrored, expected, rtol=2e-2, atol=2e-2)
    assert abs(mirrored.astype(np.float32) - straight).max() > 0.1


def test_parts_are_random_but_for_each_number_the_same(cache: Path) -> None:
    album = Album(3)
    first, second = np.array(load(album, seen=0)), np.array(load(album, seen=1))
    assert {path.name for path in cache.glob("*.npy")} == {f"toys-train-mobilenet_v2-48-16-crop-{number}.npy" for number in (0, 1)}
    np.testing.assert_array_equal(load(album, seen=0), first)
    assert album.looks == 2
    assert abs(first.astype(np.float32) - second).max() > 0.1
    for path in cache.glob("*"):
        path.unlink()
    np.testing.assert_array_equal(load(album, seen=0), first)


def test_an_encoder_sees_the_part_that_is_drawn() -> None:
    album, cut = Album(3), Album(3)
    rng = np.random.default_rng(5)
    shown = [random_view(rng).of(Image.open(io.BytesIO(picture)), 48) for picture in album.pictures]
    for number, pixels in enumerate(shown):
        stream = io.BytesIO()
        Image.fromarray(pixels.transpose(1, 2, 0)).save(stream, "png")
        cut.pictures[number] = stream.getvalue()
    np.testing.assert_allclose(load(album, seen=5), load(cut, identity={"toys/cut.tar": "4567"}), rtol=2e-2, atol=2e-2)


def test_vectors_of_another_data_set_are_named_and_made_anew(capsys: pytest.CaptureFixture[str]) -> None:
    load(Album(3))
    capsys.readouterr()
    other = Album(3)
    other.pictures.reverse()
    vectors = load(other, identity={"toys/pictures.tar": "4567"})
    told = capsys.readouterr().err
    assert "toys-train-mobilenet_v2-48-16.npy is made anew: its data is {'toys/pictures.tar': '0123'} where" in told
    assert other.looks == 1
    np.testing.assert_array_equal(vectors, load(other, identity={"toys/pictures.tar": "4567"}))


def test_vectors_of_another_encoder_are_named_and_made_anew(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    album = Album(2)
    before = load(album).copy()
    publish("mobilenet_v2", tmp_path, seed=1)
    declare("mobilenet_v2", tmp_path, monkeypatch)
    capsys.readouterr()
    after = load(album)
    assert "is made anew: its weights is " in capsys.readouterr().err
    assert abs(before.astype(np.float32) - after).max() > 0.1


def test_a_file_put_in_the_place_of_another_is_found_out(cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    album = Album(2)
    load(album)
    (path,) = cache.glob("*.npy")
    np.save(path, np.zeros((2, 9, 112), np.float16))
    capsys.readouterr()
    assert load(album).shape == (2, 9, 96)
    assert "its shape is [2, 9, 96] where [2, 9, 112] is right" in capsys.readouterr().err


def cut(path: Path) -> None:
    with open(path, "rb+") as stream:
        stream.truncate(path.stat().st_size - 1)


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (cut, "is made anew: it is cut or damaged"),
        (lambda path: path.write_bytes(b""), "is made anew: it is cut or damaged"),
        (lambda path: path.write_bytes(b"no numbers"), "is made anew: it is cut or damaged"),
        (lambda path: path.with_suffix(".json").unlink(), "48-16.json, which says what it was made from, is missing"),
        (lambda path: cut(path.with_suffix(".json")), "48-16.json, which says what it was made from, is missing"),
    ],
    ids=["cut", "empty", "garbage", "no description", "cut description"],
)
def test_a_damaged_cache_is_named_and_made_anew(
    damage: Callable[[Path], object], told: str, cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    album = Album(2)
    before = load(album).copy()
    (path,) = cache.glob("*.npy")
    damage(path)
    capsys.readouterr()
    np.testing.assert_array_equal(load(album), before)
    assert told in capsys.readouterr().err
    load(album)
    assert album.looks == 2


@pytest.mark.parametrize("number", [1, features.BATCH + 1])
def test_a_damaged_picture_is_named_and_leaves_no_file(number: int, cache: Path) -> None:
    album = Album(features.BATCH + 2)
    album.pictures[number] = album.pictures[number][:200]
    with pytest.raises(PictureError, match=f"picture {number} of toys-train is not a whole picture"):
        load(album)
    assert not cache.exists() or list(cache.iterdir()) == []


def test_a_cache_that_cannot_be_written_is_a_save_error(cache: Path) -> None:
    # A file where the folder should be keeps everybody out, root included.
    cache.write_text("")
    with pytest.raises(SaveError, match=r"toys-train-mobilenet_v2-48-16\.npy could not be saved"):
        load(Album(1))

"""Batches, augmentation, learning, resuming, scores, and the commands."""

from __future__ import annotations

import dataclasses
import json
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any, get_args

import numpy as np
import pytest
import torch
from matplotlib import font_manager
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from attention_cli.main import main
from attention_core.config import TrainingConfig
from attention_core.order import ShuffledIndex
from attention_core.training import make_accelerator
from attention_core.zoo import ModelError
from ocr.augment import _move, augment
from ocr.batches import Batches
from ocr.config import By, ConvolutionConfig, OCRConfig, Turned, published_config
from ocr.crops import Crops, load_training
from ocr.evaluate import read_crops, read_lexicon, report, score_words
from ocr.figures import read_files
from ocr.loading import load
from ocr.train import ReaderLearner, train

CPU = torch.device("cpu")
FEW = TrainingConfig(updates=4, warmup=1, log_every=2, validate_every=2)
SMALL = OCRConfig(
    convolution=ConvolutionConfig(channels=(4, 6, 8, 10), iterations=1),
    units=12,
    embedding=6,
    attention_units=7,
    batch_size=4,
    workers=0,
    training=FEW,
)
EVERYTHING = slice(0, 4)
load_once = cache(load_training)


@pytest.fixture(autouse=True)
def crops_loaded_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The real crops are unpacked once, not for every training."""
    monkeypatch.setattr("ocr.train.load_training", load_once)


class Numbered:
    """A source whose word number n is "n" on a crop of grey n."""

    def __getitem__(self, index: int) -> tuple[NDArray[np.uint8], str]:
        return np.full((32, 100), index % 256, np.uint8), str(index)


REAL = Crops(np.full((5, 32, 100), 255, np.uint8), ["r0", "r1", "r2", "r3", "r4"], list("abcde"))


def words_of(batches: Batches, count: int) -> list[list[str]]:
    return [batches.take().words for _ in range(count)]


# Batches --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("workers", [0, 2])
def test_words_come_in_order_whoever_draws_them(workers: int) -> None:
    config = dataclasses.replace(SMALL, workers=workers)
    batches = Batches(Numbered(), None, None, config, EVERYTHING)
    assert words_of(batches, 3) == [["0", "1", "2", "3"], ["4", "5", "6", "7"], ["8", "9", "10", "11"]]
    again = Batches(Numbered(), None, None, SMALL, EVERYTHING)
    again.load_state_dict(batches.state_dict())
    batch = again.take()
    assert batch.words == ["12", "13", "14", "15"]
    assert batch.pictures[:, 0, 0].tolist() == [12, 13, 14, 15]
    assert 0 <= batch.waiting <= 1


def test_processes_share_a_batch_out() -> None:
    halves = [Batches(Numbered(), None, None, SMALL, part).take().words for part in (slice(0, 2), slice(2, 4))]
    assert halves == [["0", "1"], ["2", "3"]]


def test_a_collection_is_gone_through_epoch_by_epoch() -> None:
    batches = Batches(Numbered(), ShuffledIndex(6, 0), None, SMALL, EVERYTHING)
    seen = [word for words in words_of(batches, 3) for word in words]
    assert sorted(seen[:6]) == sorted(seen[6:]) == ["0", "1", "2", "3", "4", "5"]
    again = Batches(Numbered(), ShuffledIndex(6, 0), None, SMALL, EVERYTHING)
    again.load_state_dict({"taken": 2, "real": {}})
    assert again.take().words == seen[8:]


def test_a_share_of_a_batch_is_real() -> None:
    config = dataclasses.replace(SMALL, real=0.5)
    batches = Batches(Numbered(), None, REAL, config, EVERYTHING)
    words = words_of(batches, 5)
    assert [part[:2] for part in words] == [[str(4 * number), str(4 * number + 1)] for number in range(5)]
    real = [word for part in words for word in part[2:]]
    assert all(word.startswith("r") for word in real)
    assert len(set(real)) == 5
    again = Batches(Numbered(), None, REAL, config, EVERYTHING)
    for _ in range(2):
        again.take()
    third = Batches(Numbered(), None, REAL, config, EVERYTHING)
    third.load_state_dict(again.state_dict())
    assert third.take().words == words[2]
    alone = Batches(Numbered(), None, REAL, dataclasses.replace(SMALL, real=1.0), EVERYTHING).take()
    assert all(word.startswith("r") for word in alone.words)
    assert alone.pictures.shape == (4, 32, 100)


# Augmentation ---------------------------------------------------------------------------------------------------------


def test_augmentation_changes_crops_by_its_strength() -> None:
    crops = torch.rand(64, 1, 32, 100, generator=torch.Generator().manual_seed(0)) * 2 - 1
    kept = crops.clone()
    assert torch.equal(augment(crops, 0, torch.Generator()), crops)
    far = [
        (augment(crops, strength, torch.Generator().manual_seed(1)).abs() - crops.abs()).abs().mean()
        for strength in (0.1, 0.5, 1.0)
    ]
    assert 0 < far[0] < far[1] < far[2]
    changed = augment(crops, 1.0, torch.Generator().manual_seed(1))
    assert torch.equal(crops, kept)
    assert changed.abs().max() <= 1
    assert torch.equal(changed, augment(crops, 1.0, torch.Generator().manual_seed(1)))


def test_a_moved_crop_is_still_where_it_was_on_average() -> None:
    crops = torch.full((500, 1, 32, 100), -1.0)
    crops[:, :, 12:20, 40:60] = 1.0
    moved = augment(crops, 0.5, torch.Generator().manual_seed(2)).abs()
    light = augment(crops, 0.5, torch.Generator().manual_seed(2)).mean(0)[0]
    assert moved.shape == crops.shape
    inside, outside = light[14:18, 45:55].mean(), light[:4].mean()
    assert inside > outside + 0.5


# The six numbers of a move, in deviations: which one, and how a spot right of the middle and one below it come to lie, in pixels.
MOVES = {
    "turn": (0, (0.0, -0.6), (0.6, 0.0)),
    "shear": (1, (0.0, 0.0), (-1.2, 0.0)),
    "stretch across": (2, (-1.9, 0.0), (0.0, 0.0)),
    "stretch along": (3, (0.0, 0.0), (0.0, -0.6)),
    "right": (4, (-4.0, 0.0), (-4.0, 0.0)),
    "down": (5, (0.0, -1.3), (0.0, -1.3)),
}


@pytest.mark.parametrize("move", MOVES)
def test_moves_take_spots_where_they_should(move: str, monkeypatch: pytest.MonkeyPatch) -> None:
    number, *shifts = MOVES[move]
    monkeypatch.setattr("ocr.augment._normal", lambda crops, count, _: torch.eye(count)[number].expand(len(crops), count))
    spots = torch.full((2, 1, 32, 100), -1.0)
    spots[0, 0, 14:18, 73:77] = 1.0
    spots[1, 0, 22:26, 48:52] = 1.0
    light = (_move(spots, 1.0, torch.Generator()) + 1)[:, 0]
    across, down = torch.arange(100.0), torch.arange(32.0)[:, None]
    for picture, (right, below), (x, y) in zip(light, shifts, ((74.5, 15.5), (49.5, 23.5)), strict=True):
        place = [float((picture * axis).sum() / picture.sum()) for axis in (across, down)]
        assert place == pytest.approx([x + right, y + below], abs=0.12)


@pytest.mark.usefixtures("data_folder")
def test_nothing_is_left_out_at_random_in_validation(monkeypatch: pytest.MonkeyPatch) -> None:
    learner = ReaderLearner(dataclasses.replace(SMALL, dropout=0.5), make_accelerator(FEW))
    seen = []

    def read_nothing(reader: torch.nn.Module, *_: Any) -> list[Any]:
        seen.append(any(part.training for part in reader.modules()))
        return []

    monkeypatch.setattr("ocr.train.read_all", read_nothing)
    monkeypatch.setattr("ocr.train.score_words", lambda *_: SimpleNamespace(accuracy=0.0, edit_similarity=0.0))
    learner.validate(learner.module.train())
    assert seen == [False]


# Learning -------------------------------------------------------------------------------------------------------------


def settled(folder: Path) -> dict[str, Any]:
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return {key: value for row in rows for key, value in row.items() if not key.startswith("time/")}


@pytest.mark.usefixtures("data_folder")
def test_a_training_resumed_gives_the_same_numbers(tmp_path: Path) -> None:
    config = dataclasses.replace(SMALL, real=0.25, training=dataclasses.replace(FEW, validate_every=4))
    whole = train(config, tmp_path / "whole").path
    train(config, tmp_path / "cut", max_seconds=0)
    assert not (tmp_path / "cut" / "model.safetensors").exists()
    cut = train(config, tmp_path / "cut").path
    assert settled(whole) == settled(cut)
    reader, loaded, name = load(str(cut), CPU)
    assert loaded == config
    assert name == "cut"
    assert not reader.training


@pytest.mark.usefixtures("data_folder")
def test_words_are_learned(tmp_path: Path) -> None:
    longer = TrainingConfig(updates=60, warmup=5, log_every=30, validate_every=60, learning_rate=0.01, average=0.9)
    config = dataclasses.replace(SMALL, units=32, dropout=0.0, augment=0.0, real=1.0, training=longer)
    learner = ReaderLearner(config, make_accelerator(longer))
    learner.batches = Batches(
        Numbered(),
        None,
        Crops(
            np.stack([np.eye(32, 100, dtype=np.uint8) * 255, np.zeros((32, 100), np.uint8)] * 2), ["on", "off"] * 2, list("abcd")
        ),
        config,
        EVERYTHING,
    )
    optimizer = torch.optim.Adam(learner.module.parameters(), 0.01)
    losses = []
    for _ in range(40):
        loss, _ = learner.loss(learner.module)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.3 * losses[0]


@pytest.mark.usefixtures("data_folder")
def test_another_model_is_no_start(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="start='ram-digits' is a model of kind 'ram': begin with one of kind 'ocr'"):
        train(dataclasses.replace(SMALL, start="ram-digits"), tmp_path / "run")
    with pytest.raises(ModelError, match="not a reader of words"):
        load("ram-digits", CPU)


def test_published_settings_have_names() -> None:
    assert published_config("paper").convolution.channels == (64, 128, 256, 512)
    assert published_config("real").real > 0
    with pytest.raises(ValueError, match="no settings 'huge': choose one of paper"):
        published_config("huge")


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"form": "3u"}, "form='3u' is unknown"),
        ({"real": 1.5}, "real must be within 0 … 1"),
        ({"dropout": 1.0}, "dropout must be within 0 … 1, 1 excepted"),
        ({"units": 0}, "units must be at least 1"),
        ({"workers": -1}, "workers must be at least 0"),
    ],
)
def test_wrong_settings_are_named(changes: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        dataclasses.replace(SMALL, **changes)


# Scores and commands --------------------------------------------------------------------------------------------------


def test_words_are_scored() -> None:
    scores = score_words(["house", "mouse", ""], ["house", "moose", "a"])
    assert scores.accuracy == pytest.approx(1 / 3)
    assert scores.edit_similarity == pytest.approx((1 + 0.8 + 0) / 3)
    with pytest.raises(ValueError, match="got 0 and 0"):
        score_words([], [])


def test_a_lexicon_file_is_a_word_a_line(tmp_path: Path) -> None:
    file = tmp_path / "words.txt"
    file.write_text("House\n\nmouse's\nhouse\n", encoding="utf-8")
    assert read_lexicon(file) == ["house", "mouses"]
    file.write_text("?\n")
    with pytest.raises(ValueError, match="holds no word"):
        read_lexicon(file)
    with pytest.raises(ValueError, match="no readable text file"):
        read_lexicon(tmp_path / "none.txt")


def test_a_word_that_runs_downwards_is_read_once_it_is_turned(tmp_path: Path) -> None:
    picture = Image.new("L", (130, 44), 255)
    font = ImageFont.truetype(font_manager.findfont("DejaVu Sans"), 32)
    ImageDraw.Draw(picture).text((8, 2), "menu", font=font)
    picture.rotate(270, expand=True).save(tmp_path / "word.png")
    labels = tmp_path / "labels.tsv"
    labels.write_text("word.png\tmenu\n", encoding="utf-8")
    right = [report("ocr-synthetic", CPU, labels=labels, turned=turned)["accuracy"]["labels"] for turned in get_args(Turned)]
    assert right == [0, 1, 0, 0]


@pytest.mark.usefixtures("data_folder")
def test_the_commands_train_score_and_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run, picture = tmp_path / "run", tmp_path / "word.png"
    Image.new("RGB", (80, 24), (90, 20, 200)).save(picture)
    Image.new("RGB", (20, 90)).save(tmp_path / "upright.png")
    rows = ("word.png\tWord!", "none.png\tnone", f"word.png\t{'long' * 6}")
    (tmp_path / "labels.tsv").write_text("\n".join(rows), encoding="utf-8")
    (tmp_path / "lexicon.txt").write_text("one\ntwo\n", encoding="utf-8")
    sizes = "--channels 4 6 8 10 --units 12 --attention-units 7 --batch-size 4 --updates 2 --workers 0 --precision no"
    assert main(["ocr", "train", *sizes.split(), "--out", str(run)]) == 0
    capsys.readouterr()
    assert main(["ocr", "evaluate", str(run), "--labels", str(tmp_path / "labels.tsv"), "--json"]) == 0
    figures = json.loads(capsys.readouterr().out)
    assert figures["examples"] == {"labels": 2}
    assert figures["too_long"] == ["long" * 6]
    assert figures["altered_labels"] == ["Word!"]
    assert list(figures["left_out"]) == ["none.png"]
    assert set(figures["accuracy"]) == {"labels"}
    assert figures["turned"] == 0
    assert main(["ocr", "read", str(picture), "--model", str(run), "--explain", "--json"]) == 0
    told = json.loads(capsys.readouterr().out.splitlines()[0])
    assert 0 <= told["confidence"] <= 1
    assert (run / "figures" / "read.png").stat().st_size > 1000
    assert main(["ocr", "read", str(picture), "--model", str(run), "--lexicon", str(tmp_path / "lexicon.txt"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["word"] in ("one", "two")
    # What can be read is, and what cannot is named.
    assert main(["ocr", "read", str(picture), str(tmp_path / "upright.png"), str(tmp_path / "none.png"), "--model", str(run)]) == 2
    printed = capsys.readouterr()
    assert str(picture) in printed.out
    assert "upright.png" in printed.out
    assert "upright.png is upright: if it is a word" in printed.err
    assert "none.png cannot be read" in printed.err


def test_upright_crops_are_read_as_single_characters_and_told_to_be_upright(tmp_path: Path) -> None:
    wide, upright = tmp_path / "wide.png", tmp_path / "upright.png"
    for path, width in ((wide, 40), (upright, 16)):
        picture = Image.new("RGB", (width, 40), (240, 240, 240))
        font = ImageFont.load_default(size=32)
        ImageDraw.Draw(picture).text((width / 2, 20), "I", fill=(20, 20, 20), font=font, anchor="mm")
        picture.save(path)
    found = read_files("ocr-synthetic", [wide, upright], CPU)
    assert not found.left_out
    assert [file.upright for file in found.read] == [False, True]
    assert found.read[1].word == "i"


@pytest.mark.usefixtures("data_folder")
def test_a_lexicon_makes_words_ones_of_it(tmp_path: Path) -> None:
    reader, config, _ = load(str(train(SMALL, tmp_path / "run").path), CPU)
    for by in get_args(By):
        words = read_crops(reader, REAL, config, CPU, 1, [["one", "two"]] * 5, by)
        assert set(words) <= {"one", "two"}

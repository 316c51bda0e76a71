"""Test splits choose nothing: nothing that learns can open one, and whatever gives out data knows it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from agents.registry import AGENTS, published
from agents.registry import train as train_agent
from attention_core.run_folder import RunFolder
from attention_core.splits import SplitError, closed_test_splits, open_split
from attention_env.caption_scenes import SceneSource
from attention_env.envs.caption import load_source
from attention_env.envs.catch import load_games
from attention_env.scenes import Scene, load_scenes
from attention_env.sources import load_pictures
from captioning import flickr8k
from captioning.config import CaptionConfig
from captioning.train import train as train_captioner
from generative.config import DRAWConfig, ReaderConfig, VAEConfig
from generative.pictures import Pictures
from generative.train import train as train_generative
from ocr.config import OCRConfig
from ocr.crops import load_benchmark, load_svt_lexicons
from ocr.train import train as train_reader
from transformer.config import TransformerConfig
from transformer.corpora import load_corpus
from transformer.train import train as train_transformer

CPU = torch.device("cpu")
GIVES_OUT: dict[str, Callable[[str], Any]] = {
    "pictures": lambda split: load_pictures("digits", split),
    "scenes": lambda split: load_scenes("digits", split, Scene(20)),
    "games": load_games,
    "captioned scenes": SceneSource,
    "a captioned source": lambda split: load_source("scenes", split),
    "generative pictures": lambda split: Pictures("digits", split, CPU, binary=True),
    "sentences": lambda split: load_corpus(TransformerConfig(), split),
}
WITH_FILES: dict[str, Callable[[str], Any]] = {
    "captions": flickr8k.load_captions,
    "photographs": flickr8k.load_pictures,
    "binarised pictures": lambda split: Pictures("binarized_mnist", split, CPU, binary=True),
    "MNIST": lambda split: load_pictures("mnist", split),
    "Multi30k": lambda split: load_corpus(TransformerConfig(data="multi30k_tatoeba"), split),
}
TRAINS: dict[str, tuple[Callable[..., Any], Any]] = {
    **{name: (train_agent, published(name, "attention_env/Digits-v0")) for name in AGENTS},
    "VAE": (train_generative, VAEConfig(data="digits")),
    "DRAW": (train_generative, DRAWConfig(data="digits")),
    "DRAW's eye": (train_generative, ReaderConfig(env="attention_env/Digits-v0", size=4)),
    "captioner": (train_captioner, CaptionConfig()),
    "reader": (train_reader, OCRConfig(workers=0)),
    "Transformer": (train_transformer, TransformerConfig()),
}


@pytest.mark.parametrize("what", GIVES_OUT)
def test_no_test_data_are_given_out_while_something_learns(what: str) -> None:
    _refuses(GIVES_OUT[what])


@pytest.mark.usefixtures("data_folder")
@pytest.mark.parametrize("what", WITH_FILES)
def test_no_test_files_are_given_out_while_something_learns(what: str) -> None:
    _refuses(WITH_FILES[what])


@pytest.mark.usefixtures("data_folder")
def test_no_benchmark_is_given_out_while_something_learns() -> None:
    for load in (load_svt_lexicons, lambda: load_benchmark("svt", 8, 16)):
        assert load()
        with closed_test_splits(), pytest.raises(SplitError):
            load()


def _refuses(load: Callable[[str], Any]) -> None:
    before = load("test")  # so that it is there already, if it is kept
    assert before is not None
    with closed_test_splits():
        for split in ("train", "validation"):
            if not (load is GIVES_OUT["scenes"] and split == "train"):
                assert load(split) is not None
        with pytest.raises(SplitError, match="a training asked for a test split"):
            load("test")
    load("test")


@pytest.mark.parametrize("what", TRAINS)
def test_whatever_trains_closes_the_test_splits(
    what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    if what == "reader":  # of words, which validates with photographs
        request.getfixturevalue("data_folder")

    def begin(folder: RunFolder, *_: Any, **__: Any) -> None:
        open_split("validation")
        open_split("test")

    monkeypatch.setattr(RunFolder, "begin", begin)
    train, config = TRAINS[what]
    with pytest.raises(SplitError):
        train(config, tmp_path / "run")
    open_split("test")  # and lets them be opened again


def test_every_package_that_trains_is_among_these() -> None:
    root = Path(__file__).resolve().parents[1]
    modules = {path.parent.name for path in root.glob("*/train.py")}
    assert modules == {train.__module__.split(".")[0] for train, _ in TRAINS.values()}

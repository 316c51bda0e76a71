"""What a training would be refused for is told before its data, network or teachers are made, and leaves nothing behind."""

from __future__ import annotations

import dataclasses
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from agents.config import ReinforceConfig
from agents.rival_config import MLPConfig, PPOConfig
from attention_core.config import to_dict
from attention_core.run_folder import RunError, RunFolder
from attention_core.zoo import ModelError
from captioning.config import CaptionConfig
from generative.config import DRAWConfig, ReaderConfig, VAEConfig
from ocr.config import OCRConfig
from transformer.config import TransformerConfig

SYSTEMS = {
    "captioning": (CaptionConfig(), "SoftLearner"),
    "captioning from sentences": (CaptionConfig(attention="hard"), "EpisodeLearner"),
    "generative": (VAEConfig(), "LatentLearner"),
    "generative with attention": (DRAWConfig(), "LatentLearner"),
    "generative reader": (ReaderConfig("attention_env/Digits-v0"), "ReaderLearner"),
    "ocr": (OCRConfig(), "ReaderLearner"),
    "transformer": (TransformerConfig(), "TranslationLearner"),
}


class MadeError(Exception):
    """A learner was made."""


@pytest.fixture(params=SYSTEMS)
def system(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> tuple[Any, Any]:
    """A system's training, whose learner cannot be made, and its settings."""
    config, learner = SYSTEMS[request.param]
    module = import_module(f"{request.param.split()[0]}.train")

    def make(*_: Any) -> None:
        raise MadeError

    monkeypatch.setattr(module, learner, make)
    return module.train, config


def test_a_folder_with_other_settings_is_refused_first(system: tuple[Any, Any], tmp_path: Path) -> None:
    train, config = system
    folder = RunFolder(tmp_path)
    folder.begin({"kind": config.kind, "made_for": "something", **to_dict(config)})
    folder.save_checkpoint(3, lambda place: place.mkdir(parents=True))
    with pytest.raises(MadeError):
        train(config, tmp_path)
    with pytest.raises(RunError, match="seed: 0 there, 1 asked for"):
        train(dataclasses.replace(config, seed=1), tmp_path)


def test_a_model_to_begin_with_is_looked_for_first(system: tuple[Any, Any], tmp_path: Path) -> None:
    train, config = system
    config = dataclasses.replace(config, start="nowhere")
    with pytest.raises(ModelError, match="start='nowhere' cannot be begun with: no model 'nowhere'"):
        train(config, tmp_path / "run")
    with pytest.raises(ModelError, match=f"start='ram-digits' is a model of kind 'ram': begin with one of kind '{config.kind}'"):
        train(dataclasses.replace(config, start="ram-digits"), tmp_path / "run")
    assert not (tmp_path / "run").exists()
    folder = RunFolder(tmp_path / "other")
    folder.begin({"kind": config.kind, **to_dict(config)})
    folder.save_checkpoint(3, lambda place: place.mkdir(parents=True))
    with pytest.raises(MadeError):  # what it began with may be gone by now
        train(config, folder.path)


AGENTS = {
    "train": (ReinforceConfig("attention_env/Digits-v0"), "ReinforceLearner", "ram"),
    "references": (MLPConfig("attention_env/Digits-v0"), "ReferenceLearner", "mlp"),
    "rivals": (PPOConfig("attention_env/Digits-v0"), "_Training", "ppo"),
}


@pytest.mark.parametrize("name", AGENTS)
def test_agents_as_well(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if name == "rivals":
        pytest.importorskip("stable_baselines3")
    config, learner, kind = AGENTS[name]
    module = import_module(f"agents.{name}")

    def make(*_: Any) -> None:
        raise MadeError

    monkeypatch.setattr(module, learner, make)
    with pytest.raises(MadeError):
        module.train(config, tmp_path / "new")
    assert not (tmp_path / "new").exists()
    folder = RunFolder(tmp_path / "run")
    folder.begin({"kind": kind, **to_dict(config)})
    folder.save_checkpoint(3, lambda place: place.mkdir(parents=True))
    with pytest.raises(RunError, match="seed: 0 there, 1 asked for"):
        module.train(dataclasses.replace(config, seed=1), tmp_path / "run")


def test_what_only_a_made_learner_tells_is_compared_when_it_begins(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    folder.begin({"kind": "translator", "merges": "a b", "seed": 0})
    folder.save_checkpoint(3, lambda place: place.mkdir(parents=True))
    folder.check({"kind": "translator", "seed": 0})
    with pytest.raises(RunError, match="merges: 'a b' there, None asked for"):
        folder.begin({"kind": "translator", "seed": 0})
    with pytest.raises(RunError, match="merges: 'a b' there, 'c d' asked for"):
        folder.begin({"kind": "translator", "merges": "c d", "seed": 0})


def test_a_start_that_does_not_fit_leaves_no_configuration(tmp_path: Path) -> None:
    generative = import_module("generative.train")
    small = VAEConfig(batch_size=8, latents=4, hidden=12)
    small = dataclasses.replace(small, training=dataclasses.replace(small.training, updates=1, validate_every=1, warmup=1))
    begun = generative.train(small, tmp_path / "small")
    larger = dataclasses.replace(small, latents=5, start=str(begun.path))
    with pytest.raises(ModelError, match="must be a model of the same sizes"):
        generative.train(larger, tmp_path / "larger")
    assert not (tmp_path / "larger").exists()

"""Figures of models of pictures and readers: what is reported, from what it comes, and pictures that are refused."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from test_generative_train import DRAW_CONFIG, FEW, LATENT, READER_CONFIG, VAE_CONFIG
from torch import Tensor
from untrained_models import untrained

from attention_core.statistics import wilson_interval
from attention_core.zoo import ModelError
from attention_env.classification import make_environment, show
from generative.config import GenerativeConfig, LatentConfig
from generative.evaluate import report
from generative.latent import LatentModel
from generative.likelihood import measure, measure_importance_weighted
from generative.loading import load, load_pictures
from generative.train import train

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Trained models by name."""
    place = tmp_path_factory.mktemp("runs")
    configs: dict[str, GenerativeConfig] = {
        "vae": VAE_CONFIG,
        "grey": LATENT["vae of grey pictures"],
        "draw": LATENT["draw by class"],
        # Long enough to tell some classes apart, of which turned pictures are then others.
        "drawreader": replace(READER_CONFIG, batch_size=32, training=replace(FEW, updates=60, learning_rate=0.02, average=0.9)),
    }
    return {name: str(train(config, place / name).path) for name, config in configs.items()}


# Reports ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "binarisation"), [("vae", "dynamic"), ("grey", None), ("draw", "dynamic")])
def test_report_of_a_model_says_what_was_measured_and_of_what(runs: dict[str, str], name: str, binarisation: str | None) -> None:
    figures = report(runs[name], CPU, "test", passes=3, importance_samples=0, env_kwargs={})
    assert json.loads(json.dumps(figures)) == figures
    model, config, _ = load(runs[name], CPU)
    assert isinstance(model, LatentModel)
    assert isinstance(config, LatentConfig)
    pictures = load_pictures(config, "test", CPU)
    passes = [measure(model, pictures, seed=seed) for seed in range(3)]
    nats = [one.nats for one in passes]
    mean = sum(nats) / 3
    spread = math.sqrt(sum((value - mean) ** 2 for value in nats) / 2)
    assert spread > 0
    assert figures == {
        "model": name,
        "metric": "elbo_nats",
        "value": pytest.approx(mean, rel=1e-9),
        "standard_error": pytest.approx(spread / math.sqrt(3), rel=1e-6),
        "passes": 3,
        "divergence_nats": pytest.approx(sum(sum(one.divergences) for one in passes) / 3, rel=1e-5),
        "examples": 360,
        "split": "test",
        "data": "digits",
        "output": config.output,
        "binarisation": binarisation,
        "conditional": config.conditional,
    }


def test_a_single_pass_has_no_standard_error(runs: dict[str, str]) -> None:
    figures = report(runs["vae"], CPU, "validation", passes=1, importance_samples=0, env_kwargs={})
    assert figures["standard_error"] is None
    assert (figures["passes"], figures["examples"], figures["split"]) == (1, 180, "validation")


def test_importance_weighted_bound_is_a_figure_of_its_own(runs: dict[str, str]) -> None:
    plain, weighted = (report(runs["draw"], CPU, "test", 1, samples, {}) for samples in (0, 5))
    model, config, _ = load(runs["draw"], CPU)
    assert isinstance(model, LatentModel)
    assert isinstance(config, LatentConfig)
    expected = measure_importance_weighted(model, load_pictures(config, "test", CPU), 5)
    assert weighted == {**plain, "importance_weighted_nats": expected, "importance_samples": 5}


def test_report_of_a_reader_counts_its_errors(runs: dict[str, str]) -> None:
    figures = report(runs["drawreader"], CPU, "test", passes=10, importance_samples=0, env_kwargs={})
    model, _, _ = load(runs["drawreader"], CPU)
    pictures, labels = show(make_environment(READER_CONFIG, CPU, 360, "test"), np.arange(360))
    wrong = int((model(pictures)[-1].argmax(-1) != labels).sum())
    low, high = figures.pop("interval")
    assert (low, high) == pytest.approx(wilson_interval(wrong, 360), abs=1e-6)
    assert low < figures["value"] < high
    assert figures == {
        "model": "drawreader",
        "metric": "error_rate",
        "value": wrong / 360,
        "examples": 360,
        "split": "test",
        "env": "attention_env/Digits-v0",
        "glimpses": 3,
    }


def test_reader_of_another_task_is_scored_there(runs: dict[str, str]) -> None:
    plain, turned = (report(runs["drawreader"], CPU, "train", 1, 0, kwargs) for kwargs in ({}, {"distortion": {"rotation": 180}}))
    assert plain["examples"] == turned["examples"] == 1257
    assert plain["value"] != turned["value"]


@pytest.mark.parametrize(
    ("passes", "samples", "message"),
    [
        (0, 0, "passes must be at least 1, got 0"),
        (-1, 0, "passes must be at least 1, got -1"),
        (1, -1, "importance samples must be at least 1, got -1"),
    ],
)
def test_numbers_out_of_range_are_refused(runs: dict[str, str], passes: int, samples: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        report(runs["vae"], CPU, "test", passes, samples)


def test_readers_bound_no_probability_and_makers_are_in_no_environment(runs: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="drawreader names pictures and bounds no probability"):
        report(runs["drawreader"], CPU, importance_samples=5)
    with pytest.raises(ValueError, match="vae makes pictures and is in no environment"):
        report(runs["vae"], CPU, passes=1, env_kwargs={"glimpses": 3})


def test_model_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"no model .*nowhere"):
        report(str(tmp_path / "nowhere"), CPU, "test", 1, 0, {})


# Pictures that are not such as a model is of ----------------------------------------------------------------------------

RIGHT = torch.full((2, 1, 8, 8), 0.5)
CLASSES = torch.tensor([0, 9])


@pytest.mark.parametrize("config", [VAE_CONFIG, DRAW_CONFIG], ids=["vae", "draw"])
@pytest.mark.parametrize(
    ("pictures", "message"),
    [
        (torch.zeros(2, 1, 28, 28), r"this model is of pictures of shape \(1, 8, 8\), got \(1, 28, 28\)"),
        (torch.zeros(2, 3, 8, 8), r"got \(3, 8, 8\)"),
        (torch.zeros(2, 64), r"got \(64,\)"),
        (RIGHT * 255, r"pictures must lie within \[0, 1\], got 127.5 … 127.5"),
        (RIGHT - 1, r"pictures must lie within \[0, 1\], got -0.5 … -0.5"),
        (RIGHT * math.nan, r"pictures must lie within \[0, 1\], got nan"),
    ],
    ids=["larger", "coloured", "flat", "bytes", "negative", "no numbers"],
)
def test_other_pictures_are_refused(config: LatentConfig, pictures: Tensor, message: str) -> None:
    model = untrained(config)
    model.check(RIGHT, None)
    with pytest.raises(ValueError, match=message):
        model.check(pictures, None)


@pytest.mark.parametrize("name", ["vae by class", "draw by class"])
@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (None, "this model makes pictures by class: say which of 10"),
        (torch.tensor([3]), "classes must be 2 whole numbers within 0 … 9"),
        (torch.tensor([[3], [4]]), "classes must be 2 whole numbers within 0 … 9"),
        (torch.tensor([3, 10]), "classes must be 2 whole numbers within 0 … 9"),
        (torch.tensor([-1, 3]), "classes must be 2 whole numbers within 0 … 9"),
    ],
    ids=["missing", "too few", "of another shape", "too large", "negative"],
)
def test_missing_or_wrong_classes_are_refused(name: str, labels: Tensor | None, message: str) -> None:
    model = untrained(LATENT[name])
    model.check(RIGHT, CLASSES)
    with pytest.raises(ValueError, match=message):
        model.check(RIGHT, labels)


def test_classes_that_are_not_wanted_are_refused() -> None:
    model = untrained(VAE_CONFIG)
    with pytest.raises(ValueError, match="this model knows of no classes: train one with conditional=True"):
        model.check(RIGHT, CLASSES)


def test_pictures_are_checked_where_they_are_measured() -> None:
    by_class = LATENT["vae by class"]
    model, other = (untrained(config).eval() for config in (VAE_CONFIG, by_class))
    with pytest.raises(ValueError, match="this model knows of no classes"):
        measure(model, load_pictures(by_class, "test", CPU))
    with pytest.raises(ValueError, match="this model makes pictures by class"):
        measure_importance_weighted(other, load_pictures(VAE_CONFIG, "test", CPU), 2)

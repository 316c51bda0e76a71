"""Classifiers of whole pictures: their layers, the pictures they learn from, their score, and going on to the same numbers."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
import yaml
from safetensors.torch import load_file
from small_agent import CPU
from torch import nn

from agents.evaluate import Score
from agents.references import CNN, MLP, evaluate, load, new_network, score, train
from agents.rival_config import CNNConfig, MLPConfig, ReferenceConfig
from attention_core.config import TrainingConfig
from attention_core.run_folder import RunError
from attention_core.zoo import ModelError
from attention_env.classification import make_environment, show
from attention_env.sources import load_pictures

DIGITS = "attention_env/Digits-v0"
FEW = TrainingConfig(updates=4, warmup=1, log_every=2, validate_every=2)
MLP_CONFIG = MLPConfig(DIGITS, batch_size=8, hidden=12, training=FEW)
CNN_CONFIG = CNNConfig(DIGITS, batch_size=8, hidden=12, filters=3, kernel=3, stride=2, training=FEW)
CONFIGS: dict[str, ReferenceConfig] = {"mlp": MLP_CONFIG, "cnn": CNN_CONFIG}


def contents(folder: Path) -> tuple[Any, ...]:
    """What must be the same to the bit in two runs."""
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    (checkpoint,) = (folder / "checkpoint").iterdir()
    timeless = [{name: value for name, value in row.items() if not name.startswith("time/")} for row in rows]
    return timeless, (folder / "model.safetensors").read_bytes(), (checkpoint / "model.safetensors").read_bytes()


# The networks -----------------------------------------------------------------------------------------------------------


def test_mlp_is_two_rectified_layers_of_256_units() -> None:
    network = MLP((1, 28, 28), 10, 256)
    assert [tuple(weight.shape) for weight in network.parameters() if weight.dim() == 2] == [(256, 784), (256, 256), (10, 256)]
    pictures = torch.rand(5, 1, 28, 28)
    (first, a), (second, b), (third, c) = ((layer.weight, layer.bias) for layer in network if isinstance(layer, nn.Linear))
    expected = (pictures.reshape(5, 784) @ first.T + a).relu()
    expected = (expected @ second.T + b).relu() @ third.T + c
    torch.testing.assert_close(network(pictures), expected)


def test_cnn_is_a_loop_over_the_places_of_its_filters() -> None:
    network = CNN((2, 60, 45), 10, 256)
    convolution, hidden, out = network[0], network[3], network[5]
    assert tuple(convolution.weight.shape) == (8, 2, 10, 10)
    picture = torch.rand(2, 60, 45)
    places = [[picture[:, y : y + 10, x : x + 10] for x in range(0, 36, 5)] for y in range(0, 51, 5)]
    seen = torch.stack([torch.stack([convolution.weight.flatten(1) @ patch.flatten() for patch in line]) for line in places])
    seen = (seen.permute(2, 0, 1) + convolution.bias[:, None, None]).relu()  # (filters, rows, columns)
    assert tuple(seen.shape) == (8, 11, 8)
    expected = (seen.flatten() @ hidden.weight.T + hidden.bias).relu() @ out.weight.T + out.bias
    torch.testing.assert_close(network(picture[None])[0], expected, atol=1e-4, rtol=1e-4)
    assert len(hidden.bias) == 256


def test_filters_larger_than_the_pictures_are_refused() -> None:
    with pytest.raises(ValueError, match="kernel=10 is larger than the pictures, 8×8"):
        new_network(CNNConfig(DIGITS), make_environment(CNNConfig(DIGITS), CPU, 1, "train"))


@pytest.mark.parametrize("config", CONFIGS.values(), ids=list(CONFIGS))
def test_weights_depend_on_the_seed_alone(config: ReferenceConfig) -> None:
    networks = []
    for seed in (0, 0, 1):
        torch.rand(3)
        config = dataclasses.replace(config, seed=seed)
        networks.append(nn.utils.parameters_to_vector(new_network(config, make_environment(config, CPU, 2, "train")).parameters()))
    assert torch.equal(networks[0], networks[1])
    assert not torch.equal(networks[0], networks[2])


# The pictures -----------------------------------------------------------------------------------------------------------


def test_pictures_are_those_of_the_environment_with_their_classes() -> None:
    source = load_pictures("digits", "test")
    index = np.array([3, 359, 0])
    pictures, labels = show(make_environment(MLP_CONFIG, CPU, 3, "test"), index)
    np.testing.assert_allclose(pictures.numpy(), source.images[index] / (255 if source.images.dtype == np.uint8 else 1), atol=1e-6)
    assert labels.tolist() == source.labels[index].tolist()


def test_distorted_pictures_are_for_training_alone() -> None:
    config = dataclasses.replace(MLP_CONFIG, training_kwargs={"distortion": {"shift": 0.2}})
    index = np.arange(16)
    plain, again, distorted = (
        show(make_environment(config, CPU, 16, "train", training), index)[0] for training in (False, False, True)
    )
    assert torch.equal(plain, again)
    assert not torch.allclose(plain, distorted)


def test_scenes_are_seen_whole() -> None:
    config = dataclasses.replace(MLP_CONFIG, env_kwargs={"scene": {"canvas": 20}})
    environment = make_environment(config, CPU, 4, "train")
    network = new_network(config, environment)
    pictures, _ = show(environment, np.arange(4))
    assert tuple(pictures.shape) == (4, 1, 20, 20)
    assert tuple(network(pictures).shape) == (4, 10)


def test_what_has_no_classes_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="the pictures of attention_env/Catch-v0 have no classes"):
        train(dataclasses.replace(MLP_CONFIG, env="attention_env/Catch-v0"), tmp_path)
    with pytest.raises(ValueError, match="CartPole-v1 is not a glimpse environment"):
        train(dataclasses.replace(MLP_CONFIG, env="CartPole-v1"), tmp_path)


# Training and scoring ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("config", CONFIGS.values(), ids=list(CONFIGS))
def test_digits_are_learned_within_seconds(config: ReferenceConfig, tmp_path: Path) -> None:
    training = TrainingConfig(updates=300, warmup=10, learning_rate=0.01, average=0.9, log_every=100, validate_every=100)
    config = dataclasses.replace(config, training=training, batch_size=64, hidden=32)
    folder = train(config, tmp_path / "run").path
    figures = evaluate(str(folder), runs=2)
    assert figures["value"] < 0.2
    assert figures["value_sampled"] == figures["value"]
    assert (figures["model"], figures["metric"], figures["examples"], figures["split"]) == ("run", "error_rate", 360, "test")
    assert "location_coverage" not in figures
    assert (folder / "figures" / "curves.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("config", CONFIGS.values(), ids=list(CONFIGS))
def test_interrupted_training_goes_on_to_the_same_numbers(config: ReferenceConfig, tmp_path: Path) -> None:
    config = dataclasses.replace(config, training_kwargs={"distortion": {"rotation": 10}})
    train(config, tmp_path / "whole")
    for _ in range(5):
        train(config, tmp_path / "parts", max_seconds=0.0)
    assert contents(tmp_path / "parts") == contents(tmp_path / "whole")


@pytest.mark.parametrize("config", CONFIGS.values(), ids=list(CONFIGS))
def test_trained_network_comes_back_as_it_was_validated(config: ReferenceConfig, tmp_path: Path) -> None:
    folder = train(config, tmp_path / "run").path
    network, loaded, name = load(str(folder), CPU)
    assert (loaded, name) == (config, "run")
    plain = yaml.safe_load((folder / "config.yaml").read_text())
    assert plain.pop("kind") == config.agent
    assert plain == dataclasses.asdict(config)
    kept = load_file(folder / "model.safetensors")
    assert all(torch.equal(kept[key], value) for key, value in network.state_dict().items())
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    best = min(row["validation/error_rate"] for row in rows if "validation/error_rate" in row)
    assert score(network, config, "validation", CPU).error_rate == best


def test_score_counts_every_picture_once(monkeypatch: pytest.MonkeyPatch) -> None:
    network = new_network(MLP_CONFIG, make_environment(MLP_CONFIG, CPU, 1, "train"))
    pictures, labels = show(make_environment(MLP_CONFIG, CPU, 360, "test"), np.arange(360))
    expected = Score(int((network(pictures).argmax(-1) != labels).sum()), 360, 0.0)
    assert 0 < expected.errors < 360
    for chunk in (7, 360, 1000):
        monkeypatch.setattr("attention_env.classification.CHUNK", chunk)
        assert score(network, MLP_CONFIG, "test", CPU) == expected


def test_the_loss_is_the_cross_entropy_of_the_pictures_in_their_order(tmp_path: Path) -> None:
    config = dataclasses.replace(MLP_CONFIG, training=dataclasses.replace(FEW, updates=1, log_every=1))
    folder = train(config, tmp_path)
    network = new_network(config, make_environment(config, CPU, 1, "train"))
    index = np.random.default_rng([0, 0]).permutation(1257)[:8]
    pictures, labels = show(make_environment(config, CPU, 8, "train"), index)
    logged = next(folder.rows())
    assert logged["losses/answer"] == pytest.approx(F.cross_entropy(network(pictures), labels).item(), abs=1e-6)


def test_other_runs_and_other_models_are_refused(tmp_path: Path) -> None:
    folder = train(MLP_CONFIG, tmp_path / "run").path
    with pytest.raises(RunError, match="kind: 'mlp' there, 'cnn' asked for"):
        train(CNN_CONFIG, folder)
    plain = yaml.safe_load((folder / "config.yaml").read_text())
    (folder / "config.yaml").write_text(yaml.safe_dump({**plain, "kind": "ram"}))
    with pytest.raises(ModelError, match="run is a model of kind 'ram', not one of mlp, cnn"):
        load(str(folder), CPU)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"batch_size": 0}, "batch_size must be at least 1, got 0"),
        ({"hidden": -1}, "hidden must be at least 1, got -1"),
        ({"stride": 0}, "stride must be at least 1, got 0"),
        ({"env_kwargs": {"device": "cuda"}}, "device cannot be set for the environment"),
    ],
)
def test_settings_that_will_not_do_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        CNNConfig(DIGITS, **changes)

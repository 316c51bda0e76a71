"""Training an agent as one call, loading it again, and refusing what does not belong together."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from forked_processes import FORKS
from safetensors.torch import load_file
from small_agent import CPU

from agents.config import RAMConfig, ReinforceConfig
from agents.evaluate import score
from agents.train import load, train
from attention_core.run_folder import RunError
from attention_core.zoo import ModelError, find_model, release


@pytest.fixture
def run(config: ReinforceConfig, tmp_path: Path) -> Path:
    """A finished run."""
    return train(config, tmp_path / "run").path


def test_run_folder_is_complete(run: Path) -> None:
    assert {path.name for path in run.iterdir()} == {
        "checkpoint",
        "config.yaml",
        "figures",
        "metrics.jsonl",
        "model.safetensors",
        "tensorboard",
    }
    assert (run / "figures" / "curves.png").read_bytes().startswith(b"\x89PNG")


def test_loaded_agent_scores_what_was_validated(run: Path, config: ReinforceConfig) -> None:
    player, loaded, name = load(str(run), CPU)
    assert (loaded, name) == (config, "run")
    assert not player.training
    rows = (line for line in (run / "metrics.jsonl").read_text().splitlines() if "validation" in line)
    best = min(yaml.safe_load(row)["validation/error_rate"] for row in rows)
    assert score(player, config, "validation", CPU).error_rate == best


def test_configuration_is_complete_and_brings_the_same_agent_back(run: Path, config: ReinforceConfig) -> None:
    plain = yaml.safe_load((run / "config.yaml").read_text())
    assert plain.pop("kind") == "ram"
    assert plain == yaml.safe_load(yaml.safe_dump(dataclasses.asdict(config)))


def test_released_agent_is_loaded_from_half_precision(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("attention_core.zoo.ZOO", tmp_path / "zoo")
    release(find_model(str(run)), "ram-small")
    player, _, name = load("ram-small", CPU)
    assert name == "ram-small"
    right = load_file(run / "model.safetensors")
    for key, value in player.network.state_dict().items():
        assert value.dtype == torch.float32
        assert torch.equal(value, right[key].half().float())


def test_run_of_other_settings_is_not_continued_and_the_difference_is_named(run: Path, config: ReinforceConfig) -> None:
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    other = dataclasses.replace(config, seed=3, network=dataclasses.replace(config.network, hidden=99))
    with pytest.raises(RunError, match="run holds a run of other settings") as failure:
        train(other, run)
    message = str(failure.value)
    assert "seed: 0 there, 3 asked for" in message
    assert "hidden" in message
    assert "99" in message
    assert "batch_size" not in message
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == before


def test_folder_of_another_kind_of_run_is_refused(run: Path, config: ReinforceConfig) -> None:
    plain = yaml.safe_load((run / "config.yaml").read_text())
    (run / "config.yaml").write_text(yaml.safe_dump({**plain, "kind": "draw"}))
    with pytest.raises(RunError, match="kind: 'draw' there, 'ram' asked for"):
        train(config, run)
    with pytest.raises(ModelError, match="run is a model of kind 'draw', not 'ram'"):
        load(str(run), CPU)


def test_configuration_that_is_not_the_weights_is_refused_with_the_shapes(run: Path) -> None:
    plain = yaml.safe_load((run / "config.yaml").read_text())
    plain["network"]["hidden"] = 20
    (run / "config.yaml").write_text(yaml.safe_dump(plain))
    with pytest.raises(ModelError, match=r"class_head\.weight: \(10, 16\) in the file, \(10, 20\) in the model"):
        load(str(run), CPU)


def test_configuration_with_an_unknown_setting_is_refused_by_name(run: Path) -> None:
    with open(run / "config.yaml", "a") as stream:
        stream.write("colour: red\n")
    with pytest.raises(ValueError, match="unknown setting colour for ReinforceConfig"):
        load(str(run), CPU)


def test_configuration_without_an_environment_is_refused(run: Path) -> None:
    plain = yaml.safe_load((run / "config.yaml").read_text())
    del plain["env"]
    (run / "config.yaml").write_text(yaml.safe_dump(plain))
    with pytest.raises(ValueError, match="env"):
        load(str(run), CPU)


@pytest.mark.parametrize("rule", ["hybrid", "pure"])
@pytest.mark.parametrize(
    ("baseline", "location_mean", "core"),
    [
        ("none", "linear", "rnn"),
        ("moving_average", "tanh", "lstm"),
        ("learned", "tanh", "rnn"),
        ("leave_one_out", "linear", "lstm"),
        ("self_critical", "tanh", "rnn"),
    ],
)
def test_every_rule_baseline_and_network_trains(
    config: ReinforceConfig, tmp_path: Path, rule: str, baseline: str, location_mean: str, core: str
) -> None:
    config = dataclasses.replace(
        config,
        rule=rule,
        baseline=baseline,
        samples=2,
        env_kwargs={"reward": "dense"},
        network=RAMConfig(5, 6, 7, location_mean, core),
    )
    folder = train(config, tmp_path)
    rows = list(folder.rows())
    assert [row["update"] for row in rows] == [2, 2, 4, 4]
    assert load(str(tmp_path), CPU)[1] == config


ABILITIES: list[dict[str, Any]] = [
    {"env_kwargs": {"stop": True, "step_cost": 0.05}},
    {"env_kwargs": {"stop": True}, "rule": "pure", "baseline": "self_critical"},
    {"env_kwargs": {"zoom": True, "rotate": True}},
    {"env_kwargs": {"action_format": "grid", "grid": 3}, "rule": "pure"},
    {"looks": "scan"},
    {"looks": "scan", "env_kwargs": {"action_format": "grid", "grid": 3}},
    {"looks": "random", "rule": "pure"},
    {"credit": "information", "discount": 0.3, "every_answer": 0.5, "network": RAMConfig(5, 6, 7, location_hidden=8)},
]


@pytest.mark.parametrize("changes", ABILITIES, ids=str)
def test_agent_of_every_ability_is_loaded_as_it_was_saved(config: ReinforceConfig, tmp_path: Path, changes: dict[str, Any]) -> None:
    config = dataclasses.replace(config, **changes)
    folder = train(config, tmp_path / "run")
    player, loaded, _ = load(str(tmp_path / "run"), CPU)
    assert loaded == config
    right = load_file(folder.model)
    assert set(player.network.state_dict()) == set(right)
    assert all(torch.equal(value, right[name]) for name, value in player.network.state_dict().items())
    best = min(row["validation/error_rate"] for row in folder.rows() if "validation/error_rate" in row)
    assert score(player, loaded, "validation", CPU).error_rate == best


@pytest.mark.parametrize("changes", ABILITIES, ids=str)
def test_training_of_every_ability_goes_on_to_the_same_numbers(
    config: ReinforceConfig, tmp_path: Path, changes: dict[str, Any]
) -> None:
    config = dataclasses.replace(config, **changes)
    whole = train(config, tmp_path / "whole")
    train(config, tmp_path / "parts", max_seconds=0.0)
    parts = train(config, tmp_path / "parts")

    def numbers(row: dict[str, Any]) -> dict[str, Any]:
        return {name: value for name, value in row.items() if not name.startswith("time/")}

    assert [numbers(row) for row in parts.rows()] == [numbers(row) for row in whole.rows()]
    assert parts.model.read_bytes() == whole.model.read_bytes()
    newest = [path.read_bytes() for folder in (parts, whole) for path in folder.path.glob("checkpoint/*/model.safetensors")]
    assert len(newest) == 2
    assert newest[0] == newest[1]


def test_training_in_half_precision_is_a_training(config: ReinforceConfig, tmp_path: Path) -> None:
    """In a process of its own, since accelerate takes one precision per process."""
    config = dataclasses.replace(
        config,
        credit="information",
        every_answer=0.5,
        env_kwargs={"stop": True},
        network=dataclasses.replace(config.network, location_hidden=8),
        training=dataclasses.replace(config.training, precision="bf16"),
    )
    process = FORKS.Process(target=train, args=(config, tmp_path / "run"), daemon=True)
    process.start()
    process.join(300)
    assert process.exitcode == 0
    rows = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert [row["update"] for row in rows] == [2, 2, 4, 4]
    assert all(math.isfinite(value) for row in rows for value in row.values())
    player, loaded, _ = load(str(tmp_path / "run"), CPU)
    assert loaded == config
    assert all(value.dtype == torch.float32 for value in player.network.parameters())
    assert player.network.location_head.weight.any()  # which was zero before it learned


def test_training_without_a_glimpse_to_choose_is_a_training(config: ReinforceConfig, tmp_path: Path) -> None:
    folder = train(dataclasses.replace(config, env_kwargs={"glimpses": 1}), tmp_path)
    assert [row["update"] for row in folder.rows()] == [2, 2, 4, 4]


def test_stop_before_the_first_row_leaves_a_folder_to_go_on_from(config: ReinforceConfig, tmp_path: Path) -> None:
    folder = train(config, tmp_path, max_seconds=0.0)
    newest = folder.newest_checkpoint()
    assert newest is not None
    assert newest[0] == 1
    assert list(folder.rows()) == []
    assert [row["update"] for row in train(config, tmp_path).rows()] == [2, 2, 4, 4]

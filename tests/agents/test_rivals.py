"""Learners of Stable-Baselines3 in run folders: complete, continued, loaded again, scored, watched."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from PIL import Image

pytest.importorskip("stable_baselines3")
pytest.importorskip("sb3_contrib")

from safetensors.torch import load_file

from agents import rivals, sb3
from agents.rival_config import A2CConfig, PPOConfig, RecurrentPPOConfig, SB3Config, learning_rate_at
from agents.rivals import evaluate, load, train, write_scan
from attention_core.run_folder import RunError
from attention_core.zoo import ModelError

DIGITS = "attention_env/Digits-v0"
ROLLOUT = 48
SMALL: dict[str, Any] = {
    "env": DIGITS,
    "num_envs": 4,
    "n_steps": 12,
    "steps": 4 * ROLLOUT + 5,
    "log_every": ROLLOUT,
    "validate_every": 2 * ROLLOUT,
    "glimpse_width": 12,
    "location_width": 10,
    "hidden": 16,
}
PPO: dict[str, Any] = {**SMALL, "batch_size": 16, "n_epochs": 2}
KINDS: dict[str, SB3Config] = {
    "ppo": PPOConfig(**PPO),
    "a2c": A2CConfig(**SMALL),
    "recurrent_ppo": RecurrentPPOConfig(**PPO, lstm_hidden=8),
}


@pytest.fixture
def config() -> PPOConfig:
    """A small learner, of four rollouts."""
    return PPOConfig(**PPO)


@pytest.fixture
def run(config: PPOConfig, tmp_path: Path) -> Path:
    """A finished run."""
    return train(config, tmp_path / "run").path


def rows(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def checkpoint(folder: Path) -> dict[str, Any]:
    (place,) = (folder / "checkpoint").iterdir()
    state: dict[str, Any] = torch.load(place / "training.pt", weights_only=True)
    return {**state, "weights": load_file(place / "model.safetensors")}


def steps_of_adam(state: dict[str, Any]) -> float:
    return float(state["optimizer"]["state"][0]["step"])


# The run folder ---------------------------------------------------------------------------------------------------------


def test_run_folder_is_of_the_same_kind_as_that_of_ram(run: Path, config: PPOConfig) -> None:
    names = {"checkpoint", "config.yaml", "figures", "metrics.jsonl", "model.safetensors", "tensorboard"}
    assert {path.name for path in run.iterdir()} == names
    assert (run / "figures" / "curves.png").read_bytes().startswith(b"\x89PNG")
    plain = yaml.safe_load((run / "config.yaml").read_text())
    assert plain.pop("kind") == "ppo"
    assert plain == dataclasses.asdict(config)


def test_metrics_count_environment_steps_and_never_more_than_were_asked_for(run: Path, config: PPOConfig) -> None:
    lines = rows(run)
    assert [row["update"] for row in lines] == [48, 96, 96, 144, 192, 192]
    assert [row["update"] for row in lines if "validation/error_rate" in row] == [96, 192]
    logged = [row for row in lines if "losses/policy" in row]
    names = {"losses/policy", "losses/value", "charts/entropy", "charts/success", "charts/return", "charts/length"}
    assert all(names | {"time/seconds", "time/steps_per_second", "charts/learning_rate"} <= set(row) for row in logged)
    assert {row["charts/length"] for row in logged} == {6.0}
    # At first all of the 49 cells and 10 classes are nearly equally probable.
    assert logged[0]["charts/entropy"] == pytest.approx(np.log(49 * 10), abs=0.05)
    assert all(0 <= row["charts/success"] == row["charts/return"] <= 1 for row in logged)
    assert [row["time/seconds"] for row in logged] == sorted(row["time/seconds"] for row in logged)
    assert [row["charts/learning_rate"] for row in logged] == [learning_rate_at(config, 48 * number) for number in range(4)]


def test_learning_rate_falls_along_a_line_to_the_final_one(config: PPOConfig) -> None:
    config = dataclasses.replace(config, steps=1000, learning_rate=0.5, final_learning_rate=0.1)
    assert [learning_rate_at(config, steps) for steps in (0, 500, 1000)] == pytest.approx([0.5, 0.3, 0.1])


def test_the_rate_that_is_logged_is_the_optimizers(run: Path) -> None:
    assert checkpoint(run)["optimizer"]["param_groups"][0]["lr"] == rows(run)[-2]["charts/learning_rate"]


@pytest.mark.parametrize("agent", list(KINDS))
@pytest.mark.parametrize("action_format", ["grid", "saccade", "box"])
def test_every_learner_comes_back_from_its_folder_as_it_was_validated(agent: str, action_format: str, tmp_path: Path) -> None:
    config = dataclasses.replace(KINDS[agent], env_kwargs={"action_format": action_format, "grid": 4})
    folder = train(config, tmp_path / agent).path
    model, loaded, name = load(str(folder))
    assert (loaded, name) == (config, agent)
    best = min(row["validation/error_rate"] for row in rows(folder) if "validation/error_rate" in row)
    assert sb3.score(model, DIGITS, "validation", **config.env_kwargs).error_rate == best
    kept = load_file(folder / "model.safetensors")
    assert sum(value.numel() for value in kept.values()) == sum(value.numel() for value in model.policy.parameters())
    assert all(torch.equal(kept[key], value) for key, value in rivals.released(model).state_dict().items())


def test_learning_changes_the_weights_and_the_seed_decides_on_them(config: PPOConfig, tmp_path: Path) -> None:
    weights = [checkpoint(train(dataclasses.replace(config, seed=seed), tmp_path / str(number)).path)["weights"]
               for number, seed in enumerate((0, 0, 1))]  # fmt: skip
    untrained = rivals.released(rivals.new_model(config)).state_dict()
    same = [all(torch.equal(weights[0][key], other[key]) for key in other) for other in (weights[1], weights[2], untrained)]
    assert same == [True, False, False]


def test_settings_reach_the_learner() -> None:
    config = RecurrentPPOConfig(
        **{**PPO, "gae_lambda": 0.7, "ent_coef": 0.03, "vf_coef": 0.4, "max_grad_norm": 0.2, "clip_range": 0.1}, lstm_hidden=9
    )
    model = rivals.new_model(config)
    assert model.gamma == 1.0
    assert (model.n_steps, model.batch_size, model.n_epochs, model.n_envs) == (12, 16, 2, 4)
    assert (model.gae_lambda, model.ent_coef, model.vf_coef, model.max_grad_norm) == (0.7, 0.03, 0.4, 0.2)
    assert model.clip_range(0.0) == 0.1
    assert model.policy.lstm_actor.hidden_size == 9
    extractor = model.policy.features_extractor
    assert (extractor.what.out_features, extractor.where.out_features, extractor.what_to_glimpse.out_features) == (12, 10, 16)
    assert model.policy.mlp_extractor.latent_dim_pi == 16
    assert not extractor.history
    assert rivals.new_model(PPOConfig(**PPO)).policy.features_extractor.history


def test_settings_of_training_alone_hold_in_training_alone(config: PPOConfig) -> None:
    config = dataclasses.replace(config, training_kwargs={"distortion": {"shift": 0.1}})
    environment = rivals.new_model(config).get_env()
    assert environment is not None
    assert environment.get_attr("settings", 0)[0].distortion == {"shift": 0.1}
    assert environment.get_attr("settings", 0)[0].split == "train"


# Going on ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("agent", ["ppo", "recurrent_ppo"])
def test_interrupted_training_goes_on_where_it_stopped(agent: str, tmp_path: Path) -> None:
    config, parts = KINDS[agent], tmp_path / "parts"
    whole = train(config, tmp_path / "whole").path
    for number in range(1, 7):
        train(config, parts, max_seconds=0.0)
        assert checkpoint(parts)["steps"] == min(number, 4) * ROLLOUT
    # The same amount of learning at the same rates, though not the same numbers.
    assert steps_of_adam(checkpoint(parts)) == steps_of_adam(checkpoint(whole))
    for name in ("update", "charts/learning_rate"):
        assert [row.get(name) for row in rows(parts)] == [row.get(name) for row in rows(whole)]
    seconds = [row["time/seconds"] for row in rows(parts) if "time/seconds" in row]
    assert seconds == sorted(seconds)


def test_what_is_taken_up_is_what_was_put_down(config: PPOConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    train(config, tmp_path, max_seconds=0.0)
    saved = checkpoint(tmp_path)
    monkeypatch.setattr(rivals._Training, "go_on", lambda training, _: setattr(rivals, "resumed", training))
    monkeypatch.setattr(rivals, "resumed", None, raising=False)
    train(config, tmp_path)
    resumed = rivals.resumed
    assert (resumed.model.num_timesteps, resumed.best, resumed.seconds) == (ROLLOUT, saved["best"], saved["seconds"])
    for key, value in rivals.released(resumed.model).state_dict().items():
        assert torch.equal(value, saved["weights"][key])
    for number, state in resumed.model.policy.optimizer.state_dict()["state"].items():
        assert torch.equal(state["exp_avg"], saved["optimizer"]["state"][number]["exp_avg"])


def test_metrics_later_than_the_checkpoint_are_forgotten(config: PPOConfig, tmp_path: Path) -> None:
    train(config, tmp_path, max_seconds=0.0)
    with open(tmp_path / "metrics.jsonl", "a") as stream:
        stream.write(json.dumps({"update": 96, "charts/success": 77.0}) + "\n")
    train(config, tmp_path)
    assert [row["update"] for row in rows(tmp_path)] == [48, 96, 96, 144, 192, 192]
    assert all(row.get("charts/success") != 77.0 for row in rows(tmp_path))


def test_part_of_a_checkpoint_that_a_killed_run_has_left_is_no_obstacle(config: PPOConfig, tmp_path: Path) -> None:
    train(config, tmp_path, max_seconds=0.0)
    part = tmp_path / "checkpoint" / "000000096.partial"
    part.mkdir()
    (part / "model.safetensors").write_bytes(b"a part")
    train(config, tmp_path)
    assert checkpoint(tmp_path)["steps"] == 4 * ROLLOUT


def test_run_of_other_settings_is_not_continued(run: Path, config: PPOConfig) -> None:
    with pytest.raises(RunError, match="seed: 0 there, 3 asked for"):
        train(dataclasses.replace(config, seed=3), run)
    with pytest.raises(RunError, match="kind: 'ppo' there, 'a2c' asked for"):
        train(KINDS["a2c"], run)


def test_training_that_breaks_down_says_what_to_change(config: PPOConfig, tmp_path: Path) -> None:
    with pytest.raises(FloatingPointError, match=r"training broke down .*; try a lower learning rate"):
        train(dataclasses.replace(config, learning_rate=1e30, max_grad_norm=1e30), tmp_path)


# Scoring and watching ---------------------------------------------------------------------------------------------------


def test_evaluation_gives_the_score_of_every_test_picture(run: Path, config: PPOConfig) -> None:
    figures = evaluate(str(run), runs=2)
    model, _, _ = load(str(run))
    scores = [
        sb3.score(model, DIGITS, "test", seed, deterministic=deterministic, **config.env_kwargs)
        for seed, deterministic in ((0, True), (0, False), (1, False))
    ]
    assert (figures["model"], figures["metric"], figures["env"]) == ("run", "error_rate", DIGITS)
    assert (figures["split"], figures["examples"], figures["runs_sampled"]) == ("test", 360, 2)
    assert figures["value"] == scores[0].error_rate
    assert figures["interval"] == pytest.approx(scores[0].interval, abs=1e-6)
    assert figures["location_coverage"] == scores[0].coverage
    assert figures["value_sampled"] == pytest.approx((scores[1].error_rate + scores[2].error_rate) / 2)
    assert "glimpses" not in figures
    assert json.loads(json.dumps(figures)) == figures


def test_evaluation_says_how_long_was_looked_where_that_may_differ(tmp_path: Path) -> None:
    config = PPOConfig(**{**PPO, "env_kwargs": {"action_format": "saccade", "grid": 1}, "steps": ROLLOUT})
    folder = train(config, tmp_path / "run").path
    assert 1 <= evaluate(str(folder))["glimpses"] <= 6


def test_games_are_evaluated_by_their_success(tmp_path: Path) -> None:
    config = PPOConfig(
        **{**PPO, "env": "attention_env/Catch-v0", "env_kwargs": {"action_format": "grid", "glimpses": 2}, "steps": ROLLOUT}
    )
    figures = evaluate(str(train(config, tmp_path / "catch").path), "validation", runs=1)
    assert (figures["metric"], figures["examples"]) == ("success_rate", 5000)
    assert 0 < figures["interval"][0] < figures["value"] < figures["interval"][1] < 1
    assert abs(figures["value_sampled"] - figures["value"]) < 0.3


def test_evaluation_in_other_settings_is_another_figure(run: Path) -> None:
    corner = evaluate(str(run), "validation", env_kwargs={"start": [1.0, 1.0]})
    assert corner != evaluate(str(run), "validation")
    with pytest.raises(ValueError, match="the model was made for"):
        evaluate(str(run), env_kwargs={"grid": 3})


@pytest.mark.parametrize("name", ["split", "device", "seed", "deterministic"])
def test_what_is_no_setting_of_the_environment_is_refused_before_anything_is_played(
    run: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sb3, "score", lambda *_, **__: pytest.fail("something was played"))
    with pytest.raises(ValueError, match=name):
        evaluate(str(run), env_kwargs={name: 1})


@pytest.mark.parametrize(("agent", "action_format"), [("ppo", "grid"), ("recurrent_ppo", "saccade")])
def test_scan_shows_every_step_and_how_the_episode_ended(agent: str, action_format: str, tmp_path: Path) -> None:
    config = dataclasses.replace(KINDS[agent], env_kwargs={"action_format": action_format, "grid": 2}, steps=ROLLOUT)
    folder = train(config, tmp_path / "run").path
    write_scan(str(folder), tmp_path / "scan.gif", "test", 5, 0)
    with Image.open(tmp_path / "scan.gif") as image:
        corners = []
        for frame in range(image.n_frames):
            image.seek(frame)
            corners.append(np.array(image.convert("RGB"))[0, 0].astype(int))
    closing = [int(np.abs(corner - rivals.RIGHT).max() < 12 or np.abs(corner - rivals.WRONG).max() < 12) for corner in corners]
    assert sum(closing) == 5
    assert closing[-1] == 1
    with pytest.raises(ValueError, match="episodes must be within 1 … 360"):
        write_scan(str(folder), tmp_path / "scan.gif", "test", 361, 0)


def test_another_kind_of_model_is_refused(run: Path) -> None:
    plain = yaml.safe_load((run / "config.yaml").read_text())
    (run / "config.yaml").write_text(yaml.safe_dump({**plain, "kind": "ram"}))
    with pytest.raises(ModelError, match="run is a model of kind 'ram', not one of ppo, a2c, recurrent_ppo"):
        load(str(run))


# Settings ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"env_kwargs": {}}, "ppo cannot act in action_format='dict'.*needs one of grid, saccade, box"),
        ({"env_kwargs": {"action_format": "words"}}, "cannot act in action_format='words'"),
        ({"env_kwargs": {"action_format": "grid", "split": "test"}}, "split cannot be set for the environment"),
        ({"training_kwargs": {"output": "torch"}}, "output cannot be set for the environment"),
        ({"num_envs": 0}, "num_envs must be at least 1, got 0"),
        ({"steps": 47}, "steps must be at least num_envs · n_steps = 48, one rollout; got 47"),
        ({"learning_rate": 0.0}, "learning_rate must be above 0"),
        ({"learning_rate": float("nan")}, "learning_rate must be above 0"),
        ({"gae_lambda": 1.2}, "gae_lambda must be within 0 … 1, got 1.2"),
        ({"batch_size": 20}, "batch_size must divide num_envs · n_steps = 48"),
        ({"n_epochs": 0}, "n_epochs must be at least 1, got 0"),
        ({"clip_range": 0.0}, "clip_range must be above 0"),
    ],
)
def test_settings_that_will_not_do_are_refused_with_what_would(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        PPOConfig(**{**PPO, **changes})


def test_other_environments_are_refused(config: PPOConfig, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="CartPole-v1 is not a glimpse environment"):
        train(dataclasses.replace(config, env="CartPole-v1"), tmp_path)


def test_several_processes_are_refused(config: PPOConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(ValueError, match="ppo learns in one process"):
        train(config, tmp_path)

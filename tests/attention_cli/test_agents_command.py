"""The command line with every agent: help, training, going on, evaluation, and what is said to whoever asks for the impossible."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from PIL import Image
from test_commands import WATCHED, run_in_process

from agents.registry import AGENTS, published

FEW_STEPS = [
    "--num-envs",
    "2",
    "--n-steps",
    "6",
    "--steps",
    "30",
    "--glimpse-width",
    "8",
    "--location-width",
    "9",
    "--hidden",
    "10",
]
FEW_UPDATES = ["--updates", "2", "--warmup", "1", "--batch-size", "8", "--hidden", "10"]
OPTIONS = {
    "ppo": [*FEW_STEPS, "--batch-size", "12"],
    "a2c": FEW_STEPS,
    "recurrent_ppo": [*FEW_STEPS, "--batch-size", "12", "--lstm-hidden", "8"],
    "mlp": FEW_UPDATES,
    "cnn": [*FEW_UPDATES, "--kernel", "4"],
}


def train(agent: str, *more: str) -> list[str]:
    return ["rl", "train", "--agent", agent, *OPTIONS[agent], *more]


@pytest.mark.parametrize("agent", list(AGENTS))
def test_help_shows_the_published_settings_of_the_agent_without_importing_torch(agent: str) -> None:
    arguments = ["rl", "train", f"--agent={agent}", "--env", "attention_env/MNIST-v0", "--help"]
    done = subprocess.run([sys.executable, "-c", WATCHED, *arguments], capture_output=True, text=True, timeout=60, check=True)
    assert done.stderr == "False False\n"
    config = published(agent, "attention_env/MNIST-v0")
    flat = " ".join(done.stdout.replace("│", " ").split())
    assert "--agent STR Whom: ram, a learner of Stable-Baselines3 (ppo, a2c, recurrent_ppo)" in flat
    assert f"(default: {agent})" in flat
    for name in ("steps", "n_steps", "batch_size", "seed"):
        if hasattr(config, name):
            assert f"--{name.replace('_', '-')} INT" in flat
            assert f"(default: {getattr(config, name)})" in flat


@pytest.mark.parametrize("agent", list(OPTIONS))
def test_train_go_on_and_evaluate(agent: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("sb3_contrib")
    folder = tmp_path / "run"
    for _ in range(2):
        status, said, complaint = run_in_process(train(agent, "--seed", "3", "--out", str(folder)), capsys)
        assert status == 0, complaint
        assert f"attention rl evaluate {folder}" in said
    config = yaml.safe_load((folder / "config.yaml").read_text())
    assert (config["kind"], config["seed"], config["hidden"]) == (agent, 3, 10)
    rows = [json.loads(line)["update"] for line in (folder / "metrics.jsonl").read_text().splitlines()]
    assert rows == ([2, 2] if agent in ("mlp", "cnn") else [24, 24])
    status, said, complaint = run_in_process(["rl", "evaluate", str(folder), "--json", "--runs", "2"], capsys)
    assert status == 0, complaint
    figures = json.loads(said)
    assert (figures["model"], figures["examples"], figures["split"], figures["runs_sampled"]) == ("run", 360, "test", 2)


def test_of_an_option_given_twice_the_last_one_counts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    twice = ["--env", "attention_env/MNIST-v0", "--env=attention_env/Catch", "--updates", "1", "--max-seconds", "0"]
    status, _, complaint = run_in_process(["rl", "train", *twice, "--out", str(tmp_path)], capsys)
    assert status == 0, complaint
    config = yaml.safe_load((tmp_path / "config.yaml").read_text())
    assert (config["env"], config["rule"]) == ("attention_env/Catch-v0", "pure")


def test_a_training_cut_short_is_gone_on_with_before_it_is_evaluated(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, said, complaint = run_in_process(train("mlp", "--max-seconds", "0", "--updates", "9", "--out", str(tmp_path)), capsys)
    assert status == 0, complaint
    assert "next        the same command again goes on: nothing was validated yet\n" in said


@pytest.mark.parametrize(
    ("env", "says"),
    [
        ("nowhere:mine/Corners-v0", "nowhere:mine/Corners-v0 names a module that Python does not find"),
        ("Digits-v0", "there is no environment Digits-v0: did you mean attention_env/Digits-v0?"),
        ("Dogs-v0", "there is no environment Dogs-v0: here there are attention_env/Digits-v0, attention_env/MNIST-v0"),
        ("attention_env/Digits-v7", "there is no environment attention_env/Digits-v7: here there are attention_env/Digits-v0"),
    ],
)
def test_an_environment_that_is_not_found_is_named(env: str, says: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for command in (["rl", "train", "--out", str(tmp_path)], ["rl", "play"]):
        status, _, complaint = run_in_process([*command, "--env", env], capsys)
        assert status == 2
        assert says in complaint


def test_learner_is_watched(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("sb3_contrib")
    folder = tmp_path / "run"
    assert run_in_process(train("ppo", "--out", str(folder), "--env-kwargs", "action_format:saccade"), capsys)[0] == 0
    status, said, complaint = run_in_process(["rl", "watch", str(folder), "--episodes", "2"], capsys)
    assert status == 0, complaint
    gif = folder / "figures" / "scan.gif"
    assert said == f"scan path   {gif}\n"
    with Image.open(gif) as image:
        assert image.n_frames >= 2


def test_classifier_of_whole_pictures_is_not_watched(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_in_process(train("mlp", "--out", str(tmp_path)), capsys)[0] == 0
    status, _, complaint = run_in_process(["rl", "watch", str(tmp_path)], capsys)
    assert status == 2
    assert "'mlp', which sees the whole picture at once" in complaint


def test_run_folder_is_named_after_the_agent_by_default(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run_in_process(train("cnn", "--seed", "5"), capsys)[0] == 0
    assert (tmp_path / "runs" / "Digits-v0-cnn-5" / "model.safetensors").exists()


def test_environment_settings_are_added_to_the_published_ones(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("sb3_contrib")
    extra = ["--env-kwargs", "glimpses:3", "--training-kwargs", "distortion:{shift: 0.1}", "--no-history"]
    assert run_in_process(train("ppo", *extra, "--out", str(tmp_path)), capsys)[0] == 0
    config = yaml.safe_load((tmp_path / "config.yaml").read_text())
    assert config["env_kwargs"] == {"action_format": "grid", "glimpses": 3}
    assert config["training_kwargs"] == {"distortion": {"shift": 0.1}}
    assert config["history"] is False


WRONG = {
    "unknown agent": (["rl", "train", "--agent", "dqn"], "no agent 'dqn': choose one of ram, ppo, a2c, recurrent_ppo, mlp, cnn"),
    "setting of another agent": (train("a2c", "--n-epochs", "3"), "--n-epochs"),
    "dictionaries": (train("ppo", "--env-kwargs", "action_format:dict"), "env_kwargs needs one of grid, saccade, box"),
    "environment of another kind": (train("ppo", "--env", "CartPole-v1"), "CartPole-v1 is not a glimpse environment"),
    "setting of no environment": (train("ppo", "--env-kwargs", "glimpsez:3"), "unknown setting glimpsez"),
    "setting that is decided on": (train("mlp", "--env-kwargs", "split:test"), "split cannot be set for the environment"),
    "too few steps": (train("ppo", "--steps", "11"), "steps must be at least num_envs · n_steps = 12"),
    "games": (train("mlp", "--env", "attention_env/Catch-v0"), "have no classes"),
    "filters too large": (train("cnn", "--kernel", "9"), "kernel=9 is larger than the pictures, 8×8"),
    "saccades in a game": (
        train("ppo", "--env", "attention_env/Catch-v0", "--env-kwargs", "action_format:saccade"),
        "Catch needs a move at every step",
    ),
}


@pytest.mark.parametrize(("arguments", "message"), WRONG.values(), ids=list(WRONG))
def test_mistakes_are_told_on_stderr_with_status_2(
    arguments: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("sb3_contrib")
    monkeypatch.chdir(tmp_path)
    status, said, complaint = run_in_process(arguments, capsys)
    assert status == 2
    assert message in complaint
    assert said == ""

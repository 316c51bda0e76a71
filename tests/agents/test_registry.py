"""The table of agents: whole, with settings for every environment, and one way to train, score and watch them all."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from pathlib import Path
from typing import Any

import gymnasium as gym
import pytest
from small_agent import CPU

import attention_env
from agents import evaluate
from agents.config import ReinforceConfig, published_config
from agents.registry import AGENTS, HYPERPARAMETERS, find, kind_of, name_of, published, report, train, watch
from agents.rival_config import FORMATS, CNNConfig, MLPConfig, PPOConfig
from agents.train import load
from attention_core.config import TrainingConfig, load_yaml
from attention_core.zoo import ModelError
from attention_env.actions import ACTION_FORMATS
from attention_env.options import GlimpseOptions

DIGITS = "attention_env/Digits-v0"


def test_nothing_heavy_is_imported_by_the_table() -> None:
    command = "import sys, agents.registry; print({'torch', 'gymnasium', 'stable_baselines3'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", command], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "set()\n"


def test_action_formats_are_those_of_the_environments() -> None:
    assert set(FORMATS) == set(ACTION_FORMATS) - {"dict"}
    assert all(set(agent.action_formats) <= set(ACTION_FORMATS) for agent in AGENTS.values())


@pytest.mark.parametrize("env", attention_env.environment_ids())
@pytest.mark.parametrize("name", list(AGENTS))
def test_published_settings_hold_in_their_environment(name: str, env: str) -> None:
    config: Any = published(name, env)
    table = load_yaml(HYPERPARAMETERS / find(name).hyperparameters)
    assert (env in table) == (name not in ("mlp", "cnn") or env != "attention_env/Catch-v0")
    assert (config.env, type(config), name_of(config)) == (env, AGENTS[name].config, name)
    settings = GlimpseOptions.of({}, {**config.env_kwargs, **config.training_kwargs})
    assert settings.action_format in find(name).action_formats
    if isinstance(config, PPOConfig):
        glimpses = gym.make_vec(env, num_envs=1).unwrapped.settings.glimpses if needs_no_data(env) else settings_of(env)["glimpses"]
        assert config.n_steps % glimpses == 0


def needs_no_data(env: str) -> bool:
    return "MNIST" not in env


def settings_of(env: str) -> dict[str, Any]:
    """An environment's defaults, without loading its pictures."""
    module, kind = str(gym.spec(env).vector_entry_point).split(":")
    defaults: dict[str, Any] = getattr(__import__(module, fromlist=[kind]), kind).defaults
    return defaults


@pytest.mark.parametrize("name", list(AGENTS))
def test_environment_without_published_settings_takes_the_defaults(name: str) -> None:
    assert published(name, "somewhere/Else-v3") == AGENTS[name].config(env="somewhere/Else-v3")


@pytest.mark.parametrize(
    "env", ["attention_env/Catch", "attention_env:attention_env/Catch-v0", "attention_env:attention_env/Catch"]
)
def test_an_environment_is_known_however_it_is_spelt(env: str) -> None:
    assert published("ram", env) == published("ram", "attention_env/Catch-v0")
    assert published("ram", "mine:mine/Corners-v0").env == "mine:mine/Corners-v0"


def test_settings_of_ram_are_those_of_its_own_table() -> None:
    assert published("ram", DIGITS) == published_config(DIGITS)


def test_what_a_learner_is_told_follows_from_its_settings() -> None:
    told = {name: agent.told(published(name, DIGITS)) for name, agent in AGENTS.items()}
    assert told.pop("ram") == "reward and label"
    assert told == {"ppo": "reward", "a2c": "reward", "recurrent_ppo": "reward", "mlp": "label", "cnn": "label"}
    assert find("ram").told(ReinforceConfig(DIGITS, rule="pure")) == "reward"


def test_unknown_agents_are_refused_with_those_that_are_known() -> None:
    with pytest.raises(ValueError, match="no agent 'dqn': choose one of ram, ppo, a2c, recurrent_ppo, mlp, cnn"):
        published("dqn", DIGITS)


def test_ram_is_trained_and_reported_on_as_by_its_own_modules(config: ReinforceConfig, tmp_path: Path) -> None:
    folder = train(config, tmp_path / "run").path
    assert kind_of(str(folder)) == "ram"
    player, loaded, name = load(str(folder), CPU)
    expected = evaluate.report(player, loaded, name, "validation", CPU, runs=2)
    assert report(str(folder), "validation", runs=2) == expected
    moved = dataclasses.replace(loaded, env_kwargs={"start": [0.9, 0.9]})
    changed = report(str(folder), "validation", env_kwargs={"start": [0.9, 0.9]})
    assert changed == evaluate.report(player, moved, name, "validation", CPU) != report(str(folder), "validation")
    watch(str(folder), tmp_path / "scan.gif", episodes=1)
    assert (tmp_path / "scan.gif").read_bytes().startswith(b"GIF")


def test_every_kind_of_agent_reports_the_same_figures(config: ReinforceConfig, tmp_path: Path) -> None:
    pytest.importorskip("sb3_contrib")
    few = TrainingConfig(updates=1, warmup=1)
    configs = [
        config,
        PPOConfig(DIGITS, num_envs=2, n_steps=6, steps=12, batch_size=12, n_epochs=1),
        MLPConfig(DIGITS, batch_size=4, training=few),
        CNNConfig(DIGITS, batch_size=4, kernel=3, training=few),
    ]
    names = []
    for each in configs:
        folder = train(each, tmp_path / name_of(each)).path
        figures = report(str(folder), runs=1)
        names.append({*figures} - {"location_coverage", "env_kwargs"})
        assert figures["examples"] == 360
        assert all(0 <= figures[name] <= 1 for name in ("value", "value_sampled"))
    assert all(each == names[0] for each in names)


def test_whoever_sees_whole_pictures_cannot_be_watched(tmp_path: Path) -> None:
    few = TrainingConfig(updates=1, warmup=1)
    folder = train(MLPConfig(DIGITS, batch_size=4, training=few), tmp_path / "run").path
    with pytest.raises(ValueError, match="of kind 'mlp', which sees the whole picture at once"):
        watch(str(folder), tmp_path / "scan.gif")


def test_model_that_is_no_agent_is_refused(config: ReinforceConfig, tmp_path: Path) -> None:
    folder = train(config, tmp_path / "run").path
    (folder / "config.yaml").write_text("kind: draw\n")
    with pytest.raises(ModelError, match="run is a model of kind 'draw', not one of ram, ppo"):
        report(str(folder))


def test_learner_of_a_package_that_is_not_installed_says_how_to_install_it(tmp_path: Path) -> None:
    command = f"""
import pathlib, sys
sys.modules["sb3_contrib"] = None
from agents.registry import published, train
train(published("a2c", "{DIGITS}"), pathlib.Path("{tmp_path}"))
"""
    done = subprocess.run([sys.executable, "-c", command], capture_output=True, text=True, timeout=60, check=False)
    assert done.stderr.endswith("ValueError: a2c needs Stable-Baselines3: pip install -e '.[sb3]'\n")

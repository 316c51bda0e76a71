"""The one table of agents: how each is configured, trained and scored, whatever it is made of.

    config = published("ppo", "attention_env/Digits-v0")
    folder = train(config, Path("runs/digits-ppo"))
    print(report(str(folder.path))["value"])

Torch and the agents themselves are imported only when one is trained or scored.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agents.config import ReinforceConfig
from agents.rival_config import FORMATS, A2CConfig, CNNConfig, MLPConfig, PPOConfig, RecurrentPPOConfig, ReferenceConfig, SB3Config
from attention_core.config import from_dict, load_yaml

if TYPE_CHECKING:
    from attention_core.run_folder import RunFolder

AgentConfig = ReinforceConfig | SB3Config | ReferenceConfig
HYPERPARAMETERS = Path(__file__).parent / "hyperparameters"
REWARD, REWARD_AND_LABEL, LABEL = "reward", "reward and label", "label"


@dataclass(frozen=True)
class Agent:
    """An agent that can be trained by name.

    Attributes:
        config: the class of its settings.
        hyperparameters: the file of its published ones, below `HYPERPARAMETERS`, keyed by environment id.
        module: where its `train(config, place, max_seconds)`, its `evaluate(reference, split, runs, env_kwargs)` and, if it looks
            around, its `write_scan(reference, out, split, episodes, seed)` are.
        action_formats: those of the environment that it can act in; all of them if it does not act.
        told: of its settings, what its learner is told besides what is seen: "reward", "reward and label" or "label".
    """

    config: type[Any]
    hyperparameters: str
    module: str
    action_formats: tuple[str, ...]
    told: Callable[[Any], str]


AGENTS: dict[str, Agent] = {
    "ram": Agent(
        ReinforceConfig,
        "reinforce.yaml",
        "agents.train",
        ("dict", "grid"),
        lambda config: REWARD if config.rule == "pure" else LABEL if config.looks == "random" else REWARD_AND_LABEL,
    ),
    "ppo": Agent(PPOConfig, "ppo.yaml", "agents.rivals", FORMATS, lambda _: REWARD),
    "a2c": Agent(A2CConfig, "a2c.yaml", "agents.rivals", FORMATS, lambda _: REWARD),
    "recurrent_ppo": Agent(RecurrentPPOConfig, "recurrent_ppo.yaml", "agents.rivals", FORMATS, lambda _: REWARD),
    "mlp": Agent(MLPConfig, "mlp.yaml", "agents.references", ("dict", *FORMATS), lambda _: LABEL),
    "cnn": Agent(CNNConfig, "cnn.yaml", "agents.references", ("dict", *FORMATS), lambda _: LABEL),
}


def find(name: str) -> Agent:
    """Look an agent up.

    Raises:
        ValueError: if there is none of that name, saying which there are.
    """
    if name not in AGENTS:
        raise ValueError(f"no agent {name!r}: choose one of {', '.join(AGENTS)}")
    return AGENTS[name]


def name_of(config: AgentConfig) -> str:
    """Tell whose settings these are."""
    return next(name for name, agent in AGENTS.items() if agent.config is type(config))


def published(name: str, env: str) -> AgentConfig:
    """Look up an agent's published settings for an environment; one that has none takes the defaults.

    Raises:
        ValueError: if there is no such agent.
    """
    agent = find(name)
    known = load_yaml(HYPERPARAMETERS / agent.hyperparameters)
    env = _spelt_out(env, known)
    config: AgentConfig = from_dict(agent.config, {"env": env, **known.get(env, {})})
    return config


def _spelt_out(env: str, known: Iterable[str]) -> str:
    """Give an id of ours as it is registered, without a module before it and with its newest version behind it."""
    env = env.removeprefix("attention_env:")
    versions = {int(found[1]): id_ for id_ in known if (found := re.fullmatch(rf"{re.escape(env)}-v(\d+)", id_))}
    return versions[max(versions)] if versions else env


def train(config: AgentConfig, place: Path, max_seconds: float | None = None) -> RunFolder:
    """Train the agent whose settings these are, or go on with a training.

    Args:
        config: what to train. If the folder holds a run, it must be the same.
        place: the run folder.
        max_seconds: ends this call cleanly after so much time; call again to go on.

    Returns:
        The run folder; its config.yaml has the agent's name as "kind", each row of its metrics counts updates (environment steps
        for learners of Stable-Baselines3) as "update".

    Raises:
        attention_core.run_folder.RunError: if the folder holds a run of other settings.
        ValueError: if the agent cannot act or learn in the environment, or what it stands on is not installed.
    """
    folder: RunFolder = _module_of(name_of(config)).train(config, place, max_seconds)
    return folder


def report(reference: str, split: str = "test", runs: int = 0, env_kwargs: dict[str, Any] | None = None) -> dict[str, Any]:
    """Score a trained agent of any kind: every picture of the split exactly once, likeliest actions.

    Args:
        reference: a zoo name, a run folder, or a weights file.
        split: "train", "validation" or "test".
        runs: besides, the mean over so many runs with actions drawn by chance: "value_sampled".
        env_kwargs: settings of the environment that differ from the training's.

    Returns:
        What JSON can hold: "model", "metric" ("error_rate", or "success_rate" where there are no classes), "value", "interval",
        "examples", "split", "env", ….

    Raises:
        attention_core.zoo.ModelError: if there is none, or it is of a kind that is no agent.
    """
    figures: dict[str, Any] = _module_of(kind_of(reference)).evaluate(reference, split, runs, env_kwargs)
    return figures


def watch(reference: str, out: Path, split: str = "test", episodes: int = 8, seed: int = 0) -> None:
    """Write a GIF of where a trained agent looks.

    Args:
        reference: a zoo name, a run folder, or a weights file.
        out: the GIF's place.
        split: which pictures.
        episodes: how many.
        seed: which of them.

    Raises:
        attention_core.zoo.ModelError: if there is none, or it is of a kind that is no agent.
        ValueError: if it looks nowhere, since it sees the whole picture at once, if there are not so many pictures, or if the place
            is not named as a GIF's.
    """
    from attention_core.pictures import check_gif

    kind = kind_of(reference)
    if issubclass(AGENTS[kind].config, ReferenceConfig):
        raise ValueError(f"{reference} is of kind {kind!r}, which sees the whole picture at once: there is no scan path to watch")
    check_gif(out)
    _module_of(kind).write_scan(reference, out, split, episodes, seed)


def kind_of(reference: str) -> str:
    """Tell which agent a trained model is.

    Raises:
        attention_core.zoo.ModelError: if there is no such model, or it is of a kind that is no agent.
    """
    from attention_core.zoo import ModelError, find_model

    saved = find_model(reference)
    kind = saved.config.get("kind")
    if kind not in AGENTS:
        raise ModelError(
            f"{saved.name} is a model of kind {kind!r}, not one of {', '.join(AGENTS)}: evaluate it with its own command"
        )
    return str(kind)


def _module_of(name: str) -> Any:
    try:
        return importlib.import_module(AGENTS[name].module)
    except ModuleNotFoundError as error:
        if error.name not in ("stable_baselines3", "sb3_contrib"):
            raise
        raise ValueError(f"{name} needs Stable-Baselines3: pip install -e '.[sb3]'") from error

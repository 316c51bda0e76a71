"""What a comparison is: agents × environments × seeds at equal steps; free of torch. See `agents.comparison`."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from agents.registry import AGENTS, AgentConfig, find, published
from attention_core.config import check_at_least, from_dict, load_yaml, to_dict

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]*")


@dataclass(frozen=True)
class Contender:
    """An agent under a name of its own: an agent of `agents.registry`, and how its settings differ from the published ones."""

    agent: str
    """The agent's name in the registry."""
    settings: dict[str, Any] = field(default_factory=dict)
    """What differs in every environment; nested mappings are merged."""
    per_env: dict[str, dict[str, Any]] = field(default_factory=dict)
    """What differs, besides, in an environment of this id."""


CONTENDERS: dict[str, Contender] = {
    "ram-hybrid": Contender("ram", {"rule": "hybrid"}),
    "ram-pure": Contender("ram", {"rule": "pure", "credit": "return", "env_kwargs": {"action_format": "grid"}}),
    "random-glimpses": Contender("ram", {"rule": "hybrid", "looks": "random", "env_kwargs": {"moves": "absolute"}}),
    **{name: Contender(name) for name in AGENTS if name != "ram"},
}
"""Contenders that the command knows by name; a file may describe others."""


@dataclass(frozen=True)
class Arena:
    """An environment's part in a comparison."""

    steps: int | None = None
    """Environment steps of every training in it; the comparison's by default."""
    env_kwargs: dict[str, Any] = field(default_factory=dict)
    """Its settings, the same for all agents."""
    training_kwargs: dict[str, Any] = field(default_factory=dict)
    """Its settings in training only, such as distortion: all agents learn from the same pictures, plain ones by default."""


@dataclass(frozen=True)
class Tuning:
    """How the settings were found, for the report: a comparison is worth no more than the search that went before it."""

    seeds: tuple[int, ...] = ()
    """Seeds of the search, none of which may be one of the comparison's."""
    trials: dict[str, int] = field(default_factory=dict)
    """Trainings that were tried, by contender."""
    note: str = ""
    """What was searched and how it was chosen."""

    def __post_init__(self) -> None:
        """See that the seeds are several.

        Raises:
            ValueError: if they are not.
        """
        if not isinstance(self.seeds, tuple):
            raise ValueError(f"tuning.seeds must be a list such as [0, 1], got {self.seeds!r}")


@dataclass(frozen=True)
class ComparisonConfig:
    """A whole comparison."""

    agents: dict[str, Contender]
    """Contenders by name."""
    envs: dict[str, Arena]
    """Environments by id."""
    seeds: int = 5
    """Trainings of every agent in every environment."""
    first_seed: int = 0
    """The lowest of their seeds."""
    steps: int = 200_000
    """Environment steps of every training, all that is simulated for learning counted: copies of a picture and greedy episodes as
    well. An episode of N glimpses is N actions and N steps."""
    validations: int = 20
    """Scores on validation pictures in every training: the points of its learning curve, the best of which is kept."""
    runs: int = 1
    """Passes over the test pictures with actions drawn by chance, whose mean is the sampled score."""
    tuning: Tuning = field(default_factory=Tuning)
    """How the settings were found."""

    def __post_init__(self) -> None:
        """Check names and numbers.

        Raises:
            ValueError: naming what is wrong and what would be right.
        """
        for name in ("seeds", "steps", "validations", "runs", "first_seed"):
            if not isinstance(value := getattr(self, name), int):
                raise ValueError(f"{name} must be a whole number such as 200_000, got {value!r}")
        check_at_least(self, 1, "seeds", "steps", "validations", "runs")
        for kind, members in (("agent", self.agents), ("environment", self.envs)):
            if not members:
                raise ValueError(f"a comparison needs at least one {kind}")
        for name, contender in self.agents.items():
            if not isinstance(name, str) or not NAME.fullmatch(name):
                raise ValueError(f"agent {name!r} names a folder: use letters, digits and . _ + - only, a letter or digit first")
            find(contender.agent)
            _known(f"per_env of agent {name}", contender.per_env, self.envs)
        _known("tuning.trials", self.tuning.trials, self.agents)
        both = sorted({*self.tuning.seeds} & {*self.all_seeds})
        if both:
            raise ValueError(
                f"seeds {', '.join(map(str, both))} served for tuning: settings chosen by them are flattered by them; choose a "
                f"first_seed above {max(self.tuning.seeds)}"
            )

    @property
    def all_seeds(self) -> range:
        """The seeds of the trainings."""
        return range(self.first_seed, self.first_seed + self.seeds)

    @property
    def cells(self) -> int:
        """Number of trainings."""
        return len(self.agents) * len(self.envs) * self.seeds

    def steps_in(self, env: str) -> int:
        """Tell the steps that every training in an environment may take."""
        steps = self.envs[env].steps
        return self.steps if steps is None else steps

    def settings(self, name: str, env: str, seed: int) -> AgentConfig:
        """Put the settings of one training together; its length is that of the published settings still.

        Raises:
            ValueError: if a setting is unknown or out of range.
        """
        contender, arena = self.agents[name], self.envs[env]
        settings = _merged(to_dict(published(contender.agent, env)), {"env_kwargs": arena.env_kwargs})
        for changes in (contender.settings, contender.per_env.get(env, {})):
            if refused := sorted({"env", "seed", "steps", "training_kwargs"} & {*changes}):
                raise ValueError(f"agent {name} sets {', '.join(refused)}: that is the comparison's to set, the same for all")
            settings = _merged(settings, changes)
        settings |= {"training_kwargs": arena.training_kwargs, "seed": seed}
        try:
            config: AgentConfig = from_dict(AGENTS[contender.agent].config, settings)
        except ValueError as error:
            raise ValueError(f"agent {name} in {env}: {error}") from error
        return config


def make_comparison(
    agents: tuple[str, ...], envs: tuple[str, ...], base: ComparisonConfig | None, **changes: Any
) -> ComparisonConfig:
    """Make a comparison of named contenders and environments, or choose from one that is given.

    Args:
        agents: contenders of `base` or of `CONTENDERS`; none for all those of `base`.
        envs: environment ids; none for those of `base`.
        base: what is not given is taken from it.
        changes: other settings of `ComparisonConfig`.

    Raises:
        ValueError: if a name comes twice or is unknown, or nothing says what to compare.
    """
    for kind, names in (("agent", agents), ("environment", envs)):
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"{kind} {', '.join(twice)} is named twice")
    known = CONTENDERS | (base.agents if base else {})
    if unknown := [name for name in agents if name not in known]:
        raise ValueError(f"no agent {', '.join(map(repr, unknown))}: choose from {', '.join(known)}")
    chosen = {name: known[name] for name in agents} if agents or base is None else base.agents
    arenas = {env: (base.envs if base else {}).get(env, Arena()) for env in envs} if envs or base is None else base.envs
    if base is None:
        return ComparisonConfig(chosen, arenas, **changes)
    kept = {
        name: dataclasses.replace(contender, per_env={env: value for env, value in contender.per_env.items() if env in arenas})
        for name, contender in chosen.items()
    }
    trials = {name: count for name, count in base.tuning.trials.items() if name in kept}
    tuning = dataclasses.replace(base.tuning, trials=trials)
    return dataclasses.replace(base, agents=kept, envs=arenas, tuning=tuning, **changes)


def load_comparison(path: Path) -> ComparisonConfig:
    """Read a comparison from a YAML file.

    Such a file may say:

        steps: 1_000_000
        first_seed: 100
        envs:
          attention_env/Digits-v0:
            training_kwargs: {distortion: {rotation: 12}}
        agents:
          ppo:                                    # a known one as it is
          ram-pure: {settings: {samples: 4}}      # a known one with other settings
          eager: {agent: ram, settings: {rule: pure, deviation: 0.5}}
        tuning: {seeds: [0, 1], trials: {eager: 12}, note: "deviations, on validation pictures"}

    Raises:
        FileNotFoundError: if there is none.
        ValueError: if it is not YAML or no comparison, naming what is wrong.
    """
    values = load_yaml(path)
    if not isinstance(values, dict):
        raise ValueError(f"{path} is not a comparison: it needs agents and envs")
    try:
        return comparison_from_dict(values)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def comparison_from_dict(values: dict[str, Any]) -> ComparisonConfig:
    """Make a comparison from what YAML holds; an agent that is absent or empty there is the one of its name in `CONTENDERS`.

    Raises:
        ValueError: if a setting is unknown, missing or out of range.
    """
    agents = {name: _contender(name, value or {}) for name, value in _mapping("agents", values.get("agents", {})).items()}
    envs = {env: from_dict(Arena, _mapping(env, value or {})) for env, value in _mapping("envs", values.get("envs", {})).items()}
    tuning = from_dict(Tuning, _mapping("tuning", values.get("tuning", {})))
    return from_dict(ComparisonConfig, {**values, "agents": agents, "envs": envs, "tuning": tuning})


def _contender(name: str, value: Any) -> Contender:
    """Read a contender; one that does not say which agent it is builds upon the known one of its name."""
    changes = {setting: value for setting, value in _mapping(name, value).items() if value is not None}
    if "agent" in changes:
        return from_dict(Contender, changes)
    if name not in CONTENDERS:
        raise ValueError(f"agent {name} does not say which agent it is (agent: …), and is none of {', '.join(CONTENDERS)}")
    return from_dict(Contender, _merged(to_dict(CONTENDERS[name]), changes))


def _merged(values: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Lay changes over nested mappings."""
    both = {**values}
    for name, change in changes.items():
        old = both.get(name)
        both[name] = _merged(old, change) if isinstance(old, Mapping) and isinstance(change, Mapping) else change
    return both


def _mapping(name: str, value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ValueError(f"{name} must be a mapping, got {value!r}")
    return value


def _known(what: str, names: Mapping[str, Any], known: Mapping[str, Any]) -> None:
    if unknown := sorted({*names} - {*known}):
        raise ValueError(f"{what} names {', '.join(unknown)}, which is not in the comparison: {', '.join(known)}")

"""What a comparison is made of, how long each of its trainings may be, what is refused, and what its report says."""

from __future__ import annotations

import csv
import dataclasses
import inspect
import json
import shutil
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import yaml
from PIL import Image

from agents.comparison import PLAN, RESULT, Result, compare, limit_steps, plan_cells, read_results
from agents.comparison_config import (
    CONTENDERS,
    Arena,
    ComparisonConfig,
    Contender,
    Tuning,
    comparison_from_dict,
    load_comparison,
    make_comparison,
)
from agents.config import ReinforceConfig
from agents.registry import AGENTS, published
from agents.report import write_report
from agents.rival_config import MLPConfig, PPOConfig
from attention_core.config import TrainingConfig
from attention_core.files import write_text_atomically
from attention_core.run_folder import RunError
from attention_core.zoo import count_parameters

DIGITS, CATCH = "attention_env/Digits-v0", "attention_env/Catch-v0"
SMALL = {"batch_size": 4, "network": {"glimpse_width": 8, "location_width": 8, "hidden": 8}}


def small(**changes: Any) -> ComparisonConfig:
    """A comparison of one small agent with itself."""
    agents = {name: Contender("ram", {**SMALL, "rule": name, "credit": "return"}) for name in ("hybrid", "pure")}
    return ComparisonConfig(**{"agents": agents, "envs": {DIGITS: Arena()}, "seeds": 2, "steps": 100, "validations": 2, **changes})


# Equal steps ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "per_update"),
    [
        ({}, 8 * 6),
        ({"samples": 3}, 8 * 3 * 6),
        ({"baseline": "self_critical"}, 8 * 2 * 6),
        ({"samples": 2, "baseline": "self_critical"}, 8 * 3 * 6),
        ({"samples": 2, "baseline": "leave_one_out"}, 8 * 2 * 6),
    ],
)
def test_every_episode_of_an_update_counts(changes: dict[str, Any], per_update: int) -> None:
    config = ReinforceConfig(env=DIGITS, batch_size=8, **changes)
    for steps in (10 * per_update, 11 * per_update - 1):
        limited, unit = limit_steps(config, steps, 5, glimpses=6)
        assert isinstance(limited, ReinforceConfig)
        assert unit == per_update
        assert limited.training.updates == 10
        assert (limited.training.validate_every, limited.training.log_every) == (2, 2)
        assert dataclasses.replace(limited, training=config.training) == config


def test_learner_of_stable_baselines_takes_whole_rollouts() -> None:
    config = PPOConfig(env=DIGITS, num_envs=4, n_steps=16, batch_size=32)
    limited, unit = limit_steps(config, 1_000, 5, glimpses=6)
    assert isinstance(limited, PPOConfig)
    assert (limited.steps, unit) == (15 * 64, 1)
    assert (limited.validate_every, limited.log_every) == (3 * 64, 3 * 64)


def test_picture_seen_whole_counts_as_an_episode() -> None:
    limited, unit = limit_steps(MLPConfig(env=DIGITS, batch_size=10), 1_000, 4, glimpses=6)
    assert isinstance(limited, MLPConfig)
    assert (limited.training.updates, unit) == (16, 60)


@pytest.mark.parametrize(
    "config", [ReinforceConfig(env=DIGITS, batch_size=8), PPOConfig(env=DIGITS, num_envs=4, n_steps=12, batch_size=48)]
)
def test_steps_that_are_no_update_are_refused(config: Any) -> None:
    assert limit_steps(config, 48, 5, glimpses=6)
    with pytest.raises(ValueError, match=r"steps=47 are too few for (ram|ppo), an update of which takes 48"):
        limit_steps(config, 47, 5, glimpses=6)


def test_more_validations_than_updates_are_one_after_each() -> None:
    limited, _ = limit_steps(ReinforceConfig(env=DIGITS, batch_size=8), 150, 100, glimpses=6)
    assert limited.training == dataclasses.replace(TrainingConfig(), updates=3, validate_every=1, log_every=1)


# The plan ---------------------------------------------------------------------------------------------------------------


def test_cells_are_all_combinations_seed_by_seed() -> None:
    config = small(envs={DIGITS: Arena(), "attention_env/CircleSquare-v0": Arena(steps=700)}, first_seed=7)
    cells = plan_cells(config)
    assert [cell.name for cell in cells] == [
        f"{agent}/{env}/{seed}" for seed in (7, 8) for env in ("Digits-v0", "CircleSquare-v0") for agent in ("hybrid", "pure")
    ]
    assert len(cells) == config.cells
    assert [cell.config.seed for cell in cells] == [cell.seed for cell in cells]
    # 4 pictures × 6 glimpses of 100 steps; 4 × 16 of 700.
    assert {(cell.env, cell.config.training.updates) for cell in cells if isinstance(cell.config, ReinforceConfig)} == {
        (DIGITS, 4),
        ("attention_env/CircleSquare-v0", 10),
    }
    assert {(cell.agent, cell.told) for cell in cells} == {("hybrid", "reward and label"), ("pure", "reward")}
    assert {cell.note for cell in cells} == {""}


def test_agents_that_need_more_than_a_picture_once_say_so() -> None:
    agents = {
        "critical": Contender("ram", {**SMALL, "baseline": "self_critical", "samples": 2}),
        "mlp": Contender("mlp", {"batch_size": 4}),
    }
    notes = {cell.agent: (cell.note, cell.told) for cell in plan_cells(small(agents=agents))}
    assert notes == {
        "critical": ("needs every picture 3 times in an update", "reward and label"),
        "mlp": ("sees whole pictures, each counted as an episode", "label"),
    }


def test_glimpses_of_the_settings_count() -> None:
    config = small(envs={DIGITS: Arena(env_kwargs={"glimpses": 2})}, steps=80)
    assert {cell.steps_per_count for cell in plan_cells(config)} == {8}


def test_settings_are_the_published_ones_with_what_differs_laid_over() -> None:
    contender = Contender("ram", {"network": {"hidden": 31}, "env_kwargs": {"scales": 2}}, {DIGITS: {"network": {"core": "lstm"}}})
    arena = Arena(env_kwargs={"glimpses": 3, "scales": 1}, training_kwargs={"distortion": {"rotation": 5}})
    config = ComparisonConfig({"mine": contender}, {DIGITS: arena}).settings("mine", DIGITS, 9)
    known = published("ram", DIGITS)
    assert isinstance(known, ReinforceConfig)
    assert config == dataclasses.replace(
        known,
        network=dataclasses.replace(known.network, hidden=31, core="lstm"),
        env_kwargs={"glimpses": 3, "scales": 2},
        training_kwargs={"distortion": {"rotation": 5}},
        seed=9,
    )


def test_all_agents_learn_from_the_same_pictures() -> None:
    assert published("ram", DIGITS).training_kwargs
    assert {cell.agent: cell.config.training_kwargs for cell in plan_cells(small())} == {"hybrid": {}, "pure": {}}


@pytest.mark.parametrize("name", ["env", "seed", "steps", "training_kwargs"])
def test_agent_cannot_set_what_is_the_same_for_all(name: str) -> None:
    config = small(agents={"mine": Contender("ram", {name: 1})})
    with pytest.raises(ValueError, match=f"agent mine sets {name}: that is the comparison's to set"):
        config.settings("mine", DIGITS, 0)


def test_every_known_contender_is_an_agent_with_valid_settings() -> None:
    assert {contender.agent for contender in CONTENDERS.values()} == {*AGENTS}
    config = ComparisonConfig(CONTENDERS, {DIGITS: Arena()})
    for name in CONTENDERS:
        assert config.settings(name, DIGITS, 3).seed == 3


PLANS: dict[str, tuple[dict[str, Any], str]] = {
    "no seed": ({"seeds": 0}, "seeds must be at least 1, got 0"),
    "no step": ({"steps": 0}, "steps must be at least 1, got 0"),
    "no agent": ({"agents": {}}, "at least one agent"),
    "no environment": ({"envs": {}}, "at least one environment"),
    "unknown agent": ({"agents": {"a": Contender("dqn")}}, "no agent 'dqn': choose one of ram, ppo"),
    "name of a path": ({"agents": {"../a": Contender("ram")}}, r"agent '\.\./a' names a folder"),
    "unknown environment of an agent": (
        {"agents": {"a": Contender("ram", per_env={CATCH: {}})}},
        f"per_env of agent a names {CATCH}, which is not in the comparison",
    ),
    "trials of nobody": ({"tuning": Tuning(trials={"b": 3})}, "tuning.trials names b"),
    "tuned on its own seeds": (
        {"tuning": Tuning(seeds=(1, 5)), "first_seed": 5},
        "seeds 5 served for tuning: .* choose a first_seed above 5",
    ),
}


@pytest.mark.parametrize(("changes", "message"), PLANS.values(), ids=list(PLANS))
def test_impossible_plan_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        small(**changes)


CELLS: dict[str, tuple[dict[str, Any], str]] = {
    "unknown environment": ({"envs": {"attention_env/Digit-v0": Arena()}}, "Digit"),
    "environment of another kind": ({"envs": {"CartPole-v1": Arena()}}, "CartPole-v1 is not a glimpse environment"),
    "environments of one name": (
        {"envs": {DIGITS: Arena(), "elsewhere/Digits-v0": Arena()}},
        "environments need different names behind the slash",
    ),
    "unknown setting": ({"agents": {"a": Contender("ram", {"speed": 1})}}, f"agent a in {DIGITS}: unknown setting speed"),
    "setting of no environment": ({"envs": {DIGITS: Arena(env_kwargs={"glimpsez": 1})}}, "unknown setting glimpsez"),
    "action format": (
        {"agents": {"a": Contender("ppo", {"env_kwargs": {"action_format": "dict"}})}},
        "cannot act in action_format='dict'.* needs one of grid, saccade, box",
    ),
    "labels where there are none": (
        {"envs": {CATCH: Arena()}},
        f"agent hybrid learns from true classes, which {CATCH} does not have",
    ),
    "too few steps": ({"steps": 23}, "steps=23 are too few for ram, an update of which takes 24"),
}


@pytest.mark.parametrize(("changes", "message"), CELLS.values(), ids=list(CELLS))
def test_impossible_cell_is_refused_before_anything_runs(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises((ValueError, gym.error.Error), match=message):
        compare(small(**changes), tmp_path / "out", 1, "loky")
    assert not (tmp_path / "out").exists()


def test_agent_that_cannot_act_in_a_format_is_refused_with_those_it_can_act_in() -> None:
    other = next(name for name in ("saccade", "box") if name not in AGENTS["ram"].action_formats)
    config = small(envs={DIGITS: Arena(env_kwargs={"action_format": other})})
    with pytest.raises(ValueError, match=f"agent hybrid cannot act in action_format='{other}': .* one of dict"):
        plan_cells(config)


# Files and choices ------------------------------------------------------------------------------------------------------


def test_plan_is_read_back_as_it_was_written() -> None:
    agents = {"z": Contender("ram", SMALL, {DIGITS: {"samples": 2}}), "a": Contender("ppo")}
    config = small(agents=agents, tuning=Tuning((90, 91), {"z": 4}, "by hand"))
    found = comparison_from_dict(yaml.safe_load(yaml.safe_dump(dataclasses.asdict(config), sort_keys=False)))
    assert found == config
    assert list(found.agents) == ["z", "a"]


def test_agent_of_a_file_may_build_upon_a_known_one() -> None:
    values = {"agents": {"ram-pure": {"settings": {"batch_size": 4}}, "ppo": None}, "envs": {DIGITS: None}}
    found = comparison_from_dict(values)
    assert found.agents["ram-pure"].settings == {**CONTENDERS["ram-pure"].settings, "batch_size": 4}
    assert found.agents["ppo"] == CONTENDERS["ppo"]
    assert found.envs == {DIGITS: Arena()}


def test_example_of_the_docstring_is_a_comparison(tmp_path: Path) -> None:
    text = inspect.cleandoc(load_comparison.__doc__ or "").split("may say:\n")[1].split("Raises:")[0]
    (tmp_path / "plan.yaml").write_text(text)
    config = load_comparison(tmp_path / "plan.yaml")
    assert list(config.agents) == ["ppo", "ram-pure", "eager"]
    assert all(config.settings(name, DIGITS, 100).training_kwargs for name in config.agents)


FILES = {
    "no mapping": ("- a\n", "is not a comparison: it needs agents and envs"),
    "no YAML": ("agents: [", "is not a YAML file"),
    "nobody": ("envs: {attention_env/Digits-v0: }\n", "at least one agent"),
    "unknown setting": (
        "agents: {ppo: }\nenvs: {attention_env/Digits-v0: }\nseed: 3\n",
        "unknown setting seed for ComparisonConfig",
    ),
    "unknown setting of an environment": (
        "agents: {ppo: }\nenvs: {attention_env/Digits-v0: {step: 3}}\n",
        "unknown setting step for Arena",
    ),
    "agent without a kind": ("agents: {mine: }\nenvs: {attention_env/Digits-v0: }\n", "agent mine does not say which agent it is"),
    "text for a number": (
        "steps: 1e6\nagents: {ppo: }\nenvs: {attention_env/Digits-v0: }\n",
        "steps must be a whole number .*'1e6'",
    ),
    "one seed of tuning": (
        "agents: {ppo: }\nenvs: {attention_env/Digits-v0: }\ntuning: {seeds: 3}\n",
        r"tuning\.seeds must be a list such as \[0, 1\], got 3",
    ),
    "number for a name": ("agents: {1: {agent: ppo}}\nenvs: {attention_env/Digits-v0: }\n", "agent 1 names a folder"),
    "list of agents": ("agents: [ppo]\nenvs: {attention_env/Digits-v0: }\n", "agents must be a mapping"),
}


@pytest.mark.parametrize(("text", "message"), FILES.values(), ids=list(FILES))
def test_file_that_is_no_comparison_is_told(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "plan.yaml"
    path.write_text(text)
    with pytest.raises(ValueError, match=message) as failure:
        load_comparison(path)
    assert str(path) in str(failure.value)


def test_an_empty_part_of_a_contender_is_none(tmp_path: Path) -> None:
    path = tmp_path / "plan.yaml"
    path.write_text("agents: {ppo: {per_env: , settings: }}\nenvs: {attention_env/Digits-v0: }\n")
    assert load_comparison(path).agents == {"ppo": CONTENDERS["ppo"]}


def test_names_choose_from_a_file_and_from_the_known_ones() -> None:
    base = small(
        agents={"a": Contender("ram", SMALL, {DIGITS: {}, CATCH: {}}), "b": Contender("ppo")},
        envs={DIGITS: Arena(), CATCH: Arena(50)},
    )
    assert make_comparison((), (), base) == base
    chosen = make_comparison(("a", "a2c"), (CATCH,), base, seeds=7)
    assert chosen.agents == {"a": Contender("ram", SMALL, {CATCH: {}}), "a2c": CONTENDERS["a2c"]}
    assert chosen.envs == {CATCH: Arena(50)}
    assert (chosen.seeds, chosen.steps) == (7, base.steps)
    assert make_comparison(("ppo",), (DIGITS,), None, steps=5).agents == {"ppo": CONTENDERS["ppo"]}


@pytest.mark.parametrize(
    ("agents", "envs", "message"),
    [
        (("ppo", "ppo"), (DIGITS,), "agent ppo is named twice"),
        (("ppo",), (DIGITS, DIGITS), f"environment {DIGITS} is named twice"),
        (("ppo", "dqn"), (DIGITS,), "no agent 'dqn': choose from ram-hybrid, ram-pure"),
        ((), (DIGITS,), "at least one agent"),
        (("ppo",), (), "at least one environment"),
    ],
)
def test_impossible_names_are_refused(agents: tuple[str, ...], envs: tuple[str, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make_comparison(agents, envs, None)


# Running ----------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A comparison that is over: two agents that learn, and one that cannot."""
    out = tmp_path_factory.mktemp("comparison") / "out"
    broken = Contender("ram", {**SMALL, "training": {"learning_rate": 1e30}})
    config = small()
    compare(dataclasses.replace(config, agents={**config.agents, "broken": broken}), out, 2, "loky")
    return out


def test_rows_say_what_was_done_and_reached(finished: Path) -> None:
    rows = json.loads((finished / "results.json").read_text())
    assert [(row["agent"], row["seed"]) for row in rows] == [
        (agent, seed) for agent in ("hybrid", "pure", "broken") for seed in (0, 1)
    ]
    for row in rows[:4]:
        folder = finished / "cells" / row["agent"] / "Digits-v0" / str(row["seed"])
        metrics = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
        validated = [
            (line["update"] * 24, 1 - line["validation/error_rate"]) for line in metrics if "validation/error_rate" in line
        ]
        assert row["failure"] == ""
        assert row["steps"] == 96
        assert [tuple(point) for point in row["curve"]] == validated
        assert [steps for steps, _ in row["curve"]] == [48, 96]
        assert row["examples"] == 360
        for name in ("success", "success_sampled"):
            assert row[name] * 360 == pytest.approx(round(row[name] * 360))
        assert row["parameters"] == count_parameters(folder / "model.safetensors")
        assert row["seconds"] > 0
    # 16 pixels and 2 coordinates to 8 units each, two layers from there, the core's two; heads; the scan; the baseline.
    assert rows[0]["parameters"] == (17 + 3 + 9 + 8 + 9 + 8) * 8 + 2 * 8 + 9 * 10 + 5 * 2 + 9
    assert {(row["agent"], row["told"]) for row in rows[:4]} == {("hybrid", "reward and label"), ("pure", "reward")}


def test_table_holds_what_the_json_holds(finished: Path) -> None:
    rows = json.loads((finished / "results.json").read_text())
    with open(finished / "results.csv", newline="") as stream:
        table = list(csv.DictReader(stream))
    expected = [{name: "" if value is None else str(value) for name, value in row.items() if name != "curve"} for row in rows]
    assert table == expected


def test_training_that_fails_is_marked_with_the_reason_and_the_others_are_kept(finished: Path) -> None:
    failed = json.loads((finished / "results.json").read_text())[4:]
    for row in failed:
        assert row["failure"].startswith("ActionError: an action of this episode")
        assert row["success"] is None
    report = write_report(finished).read_text()
    assert "## Failed trainings" in report
    assert "* broken in attention_env/Digits-v0, seed 1: ActionError" in report
    assert "4 of 6 trainings" in report


def test_what_was_scored_over_other_runs_is_scored_again_and_not_trained_again(finished: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    shutil.copytree(finished, out)
    config = small()
    weights = {path: path.stat().st_mtime_ns for path in out.rglob("*.safetensors")}
    before, after = (compare(dataclasses.replace(config, runs=runs), out, 1, "loky") for runs in (1, 7))
    assert [(one.runs, other.runs) for one, other in zip(before, after, strict=True)] == [(1, 7)] * 4
    assert [row.success for row in before] == [row.success for row in after]
    assert [row.success_sampled for row in before] != [row.success_sampled for row in after]
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*.safetensors")} == weights


def test_comparison_of_other_settings_is_not_mixed_with_what_is_there(finished: Path) -> None:
    before = {path: path.read_bytes() for path in finished.rglob("*") if path.is_file()}
    with pytest.raises(RunError, match="batch_size: 4 there, 5 asked for"):
        compare(small(agents={"hybrid": Contender("ram", {**SMALL, "rule": "hybrid", "batch_size": 5})}), finished, 1, "loky")
    assert {path: path.read_bytes() for path in finished.rglob("*") if path.is_file()} == before


# The report -------------------------------------------------------------------------------------------------------------

SCORES = {
    ("strong", DIGITS): [0.9, 0.8, 0.7, 0.6],
    ("strong", CATCH): [0.5, 0.5, 0.5, 0.5],
    ("weak", DIGITS): [0.1, 0.2, 0.3, 0.65],
    ("weak", CATCH): [0.5, 0.4, 0.4, 0.4],
}


def fake_results(out: Path, left_out: tuple[tuple[str, str, int], ...] = ()) -> ComparisonConfig:
    """Write a comparison's folder with results that are easy to check by hand."""
    agents = {"strong": Contender("ram"), "weak": Contender("ppo")}
    tuning = Tuning((8, 9), {"weak": 12}, "Learning rates, on validation pictures.")
    config = ComparisonConfig(agents, {DIGITS: Arena(), CATCH: Arena(steps=999)}, seeds=4, steps=500, tuning=tuning)
    write_text_atomically(out / PLAN, yaml.safe_dump(dataclasses.asdict(config), sort_keys=False))
    for (agent, env), scores in SCORES.items():
        for seed, score in enumerate(scores):
            told, note = ("reward and label", "needs every picture 3 times in an update") if agent == "strong" else ("reward", "")
            sampled = None if agent == "weak" else score - 0.01
            curve = [(250, score / 2), (500, score)]
            result = Result(agent, env, seed, told, note, "", 480, score, sampled, 100, curve, 1234, 5.0)
            if (agent, env, seed) not in left_out:
                path = out / "cells" / agent / env.split("/")[-1] / str(seed) / RESULT
                write_text_atomically(path, json.dumps(dataclasses.asdict(result)))
    return config


def table_under(report: str, heading: str) -> dict[str, list[str]]:
    """Read the first table below a heading: its rows by their first column."""
    lines = report[report.index(heading) :].splitlines()
    first = next(place for place, line in enumerate(lines) if line.startswith("|"))
    rows = [line.strip("| ").split(" | ") for line in lines[first + 2 :]]
    count = next((place for place, line in enumerate(lines[first + 2 :]) if not line.startswith("|")), len(rows))
    return {row[0]: row[1:] for row in rows[:count]}


def test_report_has_the_figures_that_can_be_worked_out_by_hand(tmp_path: Path) -> None:
    fake_results(tmp_path)
    report = write_report(tmp_path).read_text()
    overall = table_under(report, "## Success in all environments")
    # The middle four of .5 .5 .5 .5 .6 .7 .8 .9 and of .1 .2 .3 .4 .4 .4 .5 .65.
    assert overall["strong"][1].startswith("57.50 [")
    assert overall["strong"][2].startswith("56.50 [")
    assert overall["weak"][1].startswith("37.50 [")
    assert overall["weak"][2] == "–"
    assert list(overall) == ["strong", "weak"]
    assert overall["strong"][0] == "reward and label"
    assert overall["strong"][4] == "needs every picture 3 times in an update"
    chances = table_under(report, "### Probability of improvement")
    # Of 16 pairs in each, 15 are won in Digits (.6 loses to .65); in Catch 12, with 4 draws: (15/16 + 14/16) / 2.
    assert chances["strong"][1].startswith("0.91 [")
    assert chances["weak"][0].startswith("0.09 [")
    here = table_under(report, f"### {DIGITS}")
    assert here["strong"][1] == "75.00 ± 12.91 (60.00 … 90.00)"
    assert here["weak"][1] == "31.25 ± 23.94 (10.00 … 65.00)"
    assert here["weak"][3:6] == ["4 of 4", "480", "5"]
    assert "500 steps, 100 test pictures" in report
    assert "999 steps, 100 test pictures" in report
    agents = table_under(report, "## Agents")
    assert agents["weak"] == ["reward", "–", "1,234", "12"]
    assert agents["strong"][-1] == "not said"
    assert "Seeds of the search: 8, 9" in report
    assert "Learning rates, on validation pictures." in report


def test_report_is_remade_the_same(tmp_path: Path) -> None:
    fake_results(tmp_path)
    first = write_report(tmp_path).read_bytes()
    pictures = {path.name: path.read_bytes() for path in tmp_path.glob("*.png")}
    assert {*pictures} == {"learning_curves.png", "performance_profile.png", "probability_of_improvement.png", "scores.png"}
    for path in (tmp_path / "report.md", *tmp_path.glob("*.png")):
        path.unlink()
    assert write_report(tmp_path).read_bytes() == first
    assert {path.name: path.read_bytes() for path in tmp_path.glob("*.png")} == pictures
    for name in pictures:
        assert f"({name})".encode() in first
        with Image.open(tmp_path / name) as image:
            assert np.asarray(image.convert("L")).std() > 10


def test_agent_without_results_everywhere_is_left_out_of_the_sum(tmp_path: Path) -> None:
    fake_results(tmp_path, tuple(("weak", CATCH, seed) for seed in range(4)))
    report = write_report(tmp_path).read_text()
    assert list(table_under(report, "## Success in all environments")) == ["strong"]
    assert "Without results everywhere: weak." in report
    assert list(table_under(report, f"### {DIGITS}")) == ["strong", "weak"]
    assert "12 of 16 trainings" in report


def test_single_seed_is_warned_of(tmp_path: Path) -> None:
    config = fake_results(tmp_path)
    write_text_atomically(tmp_path / PLAN, yaml.safe_dump(dataclasses.asdict(dataclasses.replace(config, seeds=1))))
    report = write_report(tmp_path).read_text()
    assert "**There is one seed only: intervals say nothing here.**" in report
    assert table_under(report, f"### {DIGITS}")["strong"][1] == "90.00"


def test_results_are_read_as_they_were_written(tmp_path: Path) -> None:
    config = fake_results(tmp_path)
    results = read_results(config, tmp_path)
    assert [result.success for result in results] == [score for scores in SCORES.values() for score in scores]
    assert results[0].curve == [(250, 0.45), (500, 0.9)]


def test_report_on_nothing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"has no comparison\.yaml: it is no comparison's folder"):
        write_report(tmp_path)
    write_text_atomically(tmp_path / PLAN, yaml.safe_dump(dataclasses.asdict(small())))
    with pytest.raises(ValueError, match="holds no result yet"):
        write_report(tmp_path)

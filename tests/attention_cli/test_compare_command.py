"""`attention rl compare` and `variance` end to end: real trainings, interruptions, workers that are killed, and mistakes."""

from __future__ import annotations

import json
import os
import re
import signal
import time
from collections.abc import Callable
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

import pytest
import yaml
from child_processes import Child, finish

from agents.config import ReinforceConfig
from agents.train import train
from attention_cli.main import main
from attention_core.config import from_dict

PLAN: dict[str, Any] = {
    "steps": 600,
    "seeds": 2,
    "first_seed": 5,
    "validations": 3,
    "envs": {"attention_env/Digits-v0": {"training_kwargs": {"distortion": {"rotation": 10}}}},
    "agents": {
        "looker": {
            "agent": "ram",
            "settings": {"batch_size": 4, "network": {"glimpse_width": 8, "location_width": 8, "hidden": 8}},
        },
        "repeater": {
            "agent": "ram",
            "settings": {
                "rule": "pure",
                "samples": 2,
                "baseline": "self_critical",
                "batch_size": 2,
                "network": {"glimpse_width": 8, "location_width": 8, "hidden": 8},
            },
        },
    },
    "tuning": {"seeds": [0, 1], "trials": {"looker": 3}, "note": "By hand."},
}


@pytest.fixture
def plan(tmp_path: Path) -> Path:
    """A comparison's file."""
    path = tmp_path / "plan.yaml"
    path.write_text(yaml.safe_dump(PLAN, sort_keys=False))
    return path


def written(out: Path) -> list[dict[str, Any]]:
    """Read the results, without what is a matter of time."""
    rows = json.loads((out / "results.json").read_text())
    return [{name: value for name, value in row.items() if name != "seconds"} for row in rows]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A comparison that ran from beginning to end."""
    folder = tmp_path_factory.mktemp("undisturbed")
    (folder / "plan.yaml").write_text(yaml.safe_dump(PLAN, sort_keys=False))
    assert main(["rl", "compare", "--file", str(folder / "plan.yaml"), "--out", str(folder / "out"), "--jobs", "2"]) == 0
    return folder / "out"


def start(plan: Path, out: Path) -> ForkServerProcess:
    """Start the command as a process of its own, which says what it says into a log beside the folder."""
    arguments = ["rl", "compare", "--file", str(plan), "--out", str(out), "--jobs", "2"]
    return Child(arguments, out.with_suffix(".log")).start()


def wait_until(found: Callable[[], Any], process: ForkServerProcess) -> Any:
    """Wait for something to be there, as long as a process lives."""
    until = time.monotonic() + 120
    while not (value := found()) and process.is_alive() and time.monotonic() < until:
        time.sleep(0.01)
    return value


# Running ----------------------------------------------------------------------------------------------------------------


def test_every_cell_has_its_result_and_the_report_is_there(undisturbed: Path) -> None:
    rows = written(undisturbed)
    assert [(row["agent"], row["env"], row["seed"]) for row in rows] == [
        (agent, "attention_env/Digits-v0", seed) for agent in ("looker", "repeater") for seed in (5, 6)
    ]
    # 4 pictures × 6 glimpses; 2 pictures × (2 samples + 1 greedy) × 6 glimpses, of which 16 updates are 576 steps.
    assert [row["steps"] for row in rows] == [600, 600, 576, 576]
    assert [row["told"] for row in rows] == ["reward and label"] * 2 + ["reward"] * 2
    assert all(row["failure"] == "" and 0 <= row["success"] <= 1 for row in rows)
    assert yaml.safe_load((undisturbed / "comparison.yaml").read_text())["steps"] == 600
    report = (undisturbed / "report.md").read_text()
    assert "4 of 4 trainings (seeds 5 … 6)" in report
    assert "needs every picture 3 times in an update" in report
    assert "Seeds of the search: 0, 1" in report
    for name in re.findall(r"\]\((\w+\.png)\)", report):
        assert (undisturbed / name).read_bytes().startswith(b"\x89PNG")
    config = yaml.safe_load((undisturbed / "cells" / "repeater" / "Digits-v0" / "6" / "config.yaml").read_text())
    assert config["training_kwargs"] == {"distortion": {"rotation": 10}}
    assert (config["seed"], config["training"]["updates"], config["rule"]) == (6, 16, "pure")


def test_training_of_a_cell_is_the_one_of_its_settings(undisturbed: Path, tmp_path: Path) -> None:
    """The same settings trained by `attention rl train` give the same weights."""
    cell = undisturbed / "cells" / "looker" / "Digits-v0" / "5"
    config = yaml.safe_load((cell / "config.yaml").read_text())
    assert config.pop("kind") == "ram"
    alone = train(from_dict(ReinforceConfig, config), tmp_path / "alone")
    assert alone.model.read_bytes() == (cell / "model.safetensors").read_bytes()


def test_same_command_again_has_nothing_to_do(undisturbed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = {path: path.stat().st_mtime_ns for path in (undisturbed / "cells").rglob("*")}
    plan = undisturbed.parent / "plan.yaml"
    assert main(["rl", "compare", "--file", str(plan), "--out", str(undisturbed)]) == 0
    said = capsys.readouterr().out
    assert "4/4" in said
    assert f"report      {undisturbed / 'report.md'}" in said
    assert {path: path.stat().st_mtime_ns for path in (undisturbed / "cells").rglob("*")} == before


def test_report_alone_is_remade_from_the_results(undisturbed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = (undisturbed / "report.md").read_bytes()
    (undisturbed / "report.md").unlink()
    (undisturbed / "scores.png").unlink()
    assert main(["rl", "compare", "--out", str(undisturbed), "--report-only"]) == 0
    assert capsys.readouterr().out == f"report      {undisturbed / 'report.md'}\n"
    assert (undisturbed / "report.md").read_bytes() == before
    assert (undisturbed / "scores.png").exists()


def test_options_choose_from_the_file_and_more_seeds_keep_what_is_there(
    plan: Path, tmp_path: Path, undisturbed: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["rl", "compare", "--file", str(plan), "--out", str(tmp_path / "out"), "--agents", "looker"]
    assert main([*arguments, "--seeds", "1"]) == 0
    result = tmp_path / "out" / "cells" / "looker" / "Digits-v0" / "5" / "result.json"
    before = result.stat().st_mtime_ns
    assert main([*arguments, "--seeds", "2"]) == 0
    assert result.stat().st_mtime_ns == before
    assert written(tmp_path / "out") == written(undisturbed)[:2]
    assert "2/2" in capsys.readouterr().out


# Interruptions ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGKILL])
def test_interrupted_comparison_does_what_is_missing_and_comes_to_the_same(
    plan: Path, tmp_path: Path, undisturbed: Path, sent: signal.Signals
) -> None:
    out = tmp_path / "out"
    process = start(plan, out)
    (first, *_) = wait_until(lambda: list(out.glob("cells/*/*/*/result.json")), process)
    assert process.pid
    os.killpg(process.pid, sent)
    status, said = finish(process), out.with_suffix(".log").read_text()
    if sent == signal.SIGINT:
        assert status == 130, said
        assert said.rstrip().endswith("interrupted")
        assert "Traceback" not in said
    before = first.stat().st_mtime_ns
    assert main(["rl", "compare", "--file", str(plan), "--out", str(out), "--jobs", "2"]) == 0
    assert first.stat().st_mtime_ns == before
    assert written(out) == written(undisturbed)


def test_killed_worker_costs_nobody_a_result(plan: Path, tmp_path: Path, undisturbed: Path) -> None:
    out = tmp_path / "out"
    process = start(plan, out)
    # The mark of a seed bears its number alone: beside it lie its log, and for a moment the file that becomes the mark.
    mark = wait_until(lambda: next((path for path in out.glob("workers/*/*/*") if path.name.isdigit()), None), process)
    os.kill(int(mark.read_text().split()[1]), signal.SIGKILL)
    status, said = finish(process), out.with_suffix(".log").read_text()
    assert status == 0, said
    assert "failed" not in said
    assert written(out) == written(undisturbed)


def test_training_that_fails_is_told_and_tried_again_by_the_same_command(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plan, out = tmp_path / "plan.yaml", tmp_path / "out"
    agents = {
        "looker": PLAN["agents"]["looker"],
        "broken": {"agent": "ram", "settings": {"training": {"learning_rate": 1e30}, "batch_size": 4}},
    }
    plan.write_text(yaml.safe_dump({**PLAN, "seeds": 1, "agents": agents}))
    for _ in range(2):
        assert main(["rl", "compare", "--file", str(plan), "--out", str(out)]) == 0
        said = capsys.readouterr().out
        assert "failed      broken in attention_env/Digits-v0, seed 5: ActionError: an action of this episode" in said
        assert [row["failure"] == "" for row in written(out)] == [False, True]
        assert (out / "workers" / "broken" / "Digits-v0" / "5.log").read_text().count("Traceback") >= 2


# Mistakes ---------------------------------------------------------------------------------------------------------------

DIGITS = ("--envs", "attention_env/Digits-v0")
WRONG = {
    "no folder": (["rl", "compare"], "--out"),
    "nobody": (["--out", "o", *DIGITS], "at least one agent"),
    "nowhere": (["--out", "o", "--agents", "a2c"], "at least one environment"),
    "unknown agent": (["--out", "o", "--agents", "a2c", "dqn", *DIGITS], "no agent 'dqn': choose from ram-hybrid, ram-pure, "),
    "unknown environment": (["--out", "o", "--agents", "a2c", "--envs", "attention_env/Digit-v0"], "Digit"),
    "agent twice": (["--out", "o", "--agents", "a2c", "a2c", *DIGITS], "agent a2c is named twice"),
    "no seed": (["--out", "o", "--agents", "a2c", *DIGITS, "--seeds", "0"], "seeds must be at least 1, got 0"),
    "too few steps": (["--out", "o", "--agents", "a2c", *DIGITS, "--steps", "9"], "steps=9 are too few for a2c"),
    "no jobs": (["--out", "o", "--agents", "a2c", *DIGITS, "--jobs", "0"], "jobs must be at least 1, got 0"),
    "unknown backend": (["--out", "o", "--agents", "a2c", *DIGITS, "--backend", "dask"], "dask"),
    "labels where there are none": (
        ["--out", "o", "--agents", "mlp", "--envs", "attention_env/Catch-v0"],
        "agent mlp learns from true classes, which attention_env/Catch-v0 does not have",
    ),
    "no such file": (["--out", "o", "--file", "nowhere.yaml"], "nowhere.yaml"),
    "report on nothing": (["--out", "o", "--report-only"], "o has no comparison.yaml"),
}


@pytest.mark.parametrize(("arguments", "message"), WRONG.values(), ids=list(WRONG))
def test_mistakes_are_told_before_anything_runs(
    arguments: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    try:
        status = main(arguments if arguments[0] == "rl" else ["rl", "compare", *arguments])
    except SystemExit as end:
        status = int(end.code or 0)
    captured = capsys.readouterr()
    assert status == 2
    assert message in captured.err
    assert "Traceback" not in captured.err
    assert not (tmp_path / "o").exists()


# The gradient's noise ---------------------------------------------------------------------------------------------------


def test_variance_prints_a_table_or_an_object(undisturbed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = str(undisturbed / "cells" / "looker" / "Digits-v0" / "5")
    arguments = ["rl", "variance", run, "--estimates", "4", "--episodes", "8"]
    assert main([*arguments, "--json"]) == 0
    (rows,) = json.loads(capsys.readouterr().out).values()
    assert [row["baseline"] for row in rows] == ["none", "moving_average", "learned", "leave_one_out", "self_critical"]
    assert main(arguments) == 0
    said = capsys.readouterr().out
    assert said.startswith(f"{run}: 4 estimates of 8 episodes each")
    assert f"| learned | 8 × 1 | {rows[2]['variance']:.3g} ±" in said


@pytest.mark.parametrize(
    ("arguments", "message"), [([], "name at least one trained agent"), (["no-such-model"], "no model 'no-such-model'")]
)
def test_variance_of_nothing_is_refused(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    try:
        status = main(["rl", "variance", *arguments])
    except SystemExit as end:
        status = int(end.code or 0)
    assert status == 2
    assert message in capsys.readouterr().err

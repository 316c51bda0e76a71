"""Trainings that are killed, stopped or run out of disk, against one that was left in peace: the same numbers to the bit."""

from __future__ import annotations

import os
import random
import signal
import time
from pathlib import Path
from typing import Any

import pytest
from child_processes import TINY, Child, Moment, finish
from results import contents, rows

RULES = ["hybrid", "pure"]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """What a training that nobody disturbs leaves, for either rule."""
    found = {}
    for rule in RULES:
        folder = tmp_path_factory.mktemp("undisturbed") / rule
        assert Child([*TINY, "--rule", rule, "--out", str(folder)], folder.with_suffix(".log")).run() == 0
        found[rule] = contents(folder)
        assert [row["update"] for row in found[rule]["rows"]] == [4, 5, 8, 10, 12, 12]
    return found


@pytest.mark.parametrize("rule", RULES)
def test_killed_at_any_moment_it_goes_on_to_the_same_numbers(
    tmp_path: Path, undisturbed: dict[str, dict[str, Any]], rule: str
) -> None:
    chance = random.Random(rule)
    folder, log = tmp_path / "run", tmp_path / "log"
    child = Child([*TINY, "--rule", rule, "--out", str(folder)], log)
    killed = 0
    for _ in range(4):
        process = child.start()
        until = time.monotonic() + 60
        seen = _newest(folder)
        # Not before this process itself has got somewhere, so that they get to the end together.
        while process.is_alive() and _newest(folder) == seen and time.monotonic() < until:
            time.sleep(0.002)
        time.sleep(chance.uniform(0, 0.08))
        process.kill()
        killed += finish(process) == -signal.SIGKILL
    assert killed >= 2
    assert child.run() == 0, log.read_text()
    assert contents(folder) == undisturbed[rule]


def _newest(folder: Path) -> str:
    return max((path.name for path in folder.glob("checkpoint/*") if path.name.isdigit()), default="")


MOMENTS = {
    "before the first file of a checkpoint": Moment("os", "makedirs", 3, below=".partial"),
    "between the files of a checkpoint": Moment("torch", "save", 12),
    "after the last file of a checkpoint, which is not yet in place": Moment("os", "rename", 5, below=".partial"),
    "when a checkpoint is in place and the one before still there": Moment("os", "rename", 5, after=True, below=".partial"),
    "when the one before is half removed": Moment("os", "unlink", 3),
    "before the best weights are in place": Moment("os", "replace", 2),
    "after the best weights are in place, before the checkpoint that knows of them": Moment("os", "replace", 2, after=True),
    "while the curves are drawn": Moment("zlib", "crc32", 1),
}


@pytest.mark.parametrize("moment", MOMENTS.values(), ids=list(MOMENTS))
def test_killed_at_a_delicate_moment_it_goes_on_to_the_same_numbers(
    tmp_path: Path, undisturbed: dict[str, dict[str, Any]], moment: Moment
) -> None:
    folder, log = tmp_path / "run", tmp_path / "log"
    arguments = [*TINY, "--out", str(folder)]
    status = Child(arguments, log, kill=moment).run()
    assert status == -signal.SIGKILL, f"{moment} never came: {log.read_text()}"
    assert Child(arguments, log).run() == 0, log.read_text()
    assert contents(folder) == undisturbed["hybrid"]


def test_killed_while_a_row_of_metrics_is_written_it_goes_on_to_the_same_numbers(
    tmp_path: Path, undisturbed: dict[str, dict[str, Any]]
) -> None:
    folder, log = tmp_path / "run", tmp_path / "log"
    arguments = [*TINY, "--out", str(folder)]
    assert Child(arguments, log, kill=Moment("os", "rename", 9, below=".partial")).run() == -signal.SIGKILL
    with open(folder / "metrics.jsonl", "a") as stream:
        stream.write('{"update": 9, "losses/ans')
    assert Child(arguments, log).run() == 0, log.read_text()
    assert contents(folder) == undisturbed["hybrid"]


def test_killed_before_its_first_checkpoint_it_starts_anew(tmp_path: Path, undisturbed: dict[str, dict[str, Any]]) -> None:
    folder, log = tmp_path / "run", tmp_path / "log"
    arguments = [*TINY, "--out", str(folder)]
    # At update 4 the metrics and the best weights are there, and the first checkpoint is about to be.
    rare = [*arguments, "--checkpoint-seconds", "1000"]
    assert Child(rare, log, kill=Moment("os", "rename", 1, below=".partial")).run() == -signal.SIGKILL
    assert [row["update"] for row in rows(folder)] == [4]
    assert Child(rare, log).run() == 0, log.read_text()
    found = contents(folder)
    assert found["rows"] == undisturbed["hybrid"]["rows"]
    assert found["best"] == undisturbed["hybrid"]["best"]


def test_killed_after_a_validation_it_goes_on_from_there(tmp_path: Path, undisturbed: dict[str, dict[str, Any]]) -> None:
    folder, log = tmp_path / "run", tmp_path / "log"
    arguments = [*TINY, "--out", str(folder), "--checkpoint-seconds", "1000"]
    assert Child(arguments, log, kill=Moment("os", "rename", 2, below=".partial")).run() == -signal.SIGKILL
    assert _newest(folder) == f"{4:09d}"
    assert Child(arguments, log).run() == 0, log.read_text()
    found = contents(folder)
    assert {**found, "config": ""} == {**undisturbed["hybrid"], "config": ""}


def test_stopped_by_the_clock_it_goes_on_to_the_same_numbers(tmp_path: Path, undisturbed: dict[str, dict[str, Any]]) -> None:
    folder, log = tmp_path / "run", tmp_path / "log"
    arguments = [*TINY, "--out", str(folder), "--checkpoint-seconds", "1000"]
    for update in (1, 2, 3):
        assert Child([*arguments, "--max-seconds", "0"], log).run() == 0, log.read_text()
        assert _newest(folder) == f"{update:09d}"
    assert Child(arguments, log).run() == 0, log.read_text()
    found = contents(folder)
    assert {**found, "config": ""} == {**undisturbed["hybrid"], "config": ""}


def test_stopped_by_the_user_it_says_so_and_can_go_on(tmp_path: Path) -> None:
    folder, log = tmp_path / "run", tmp_path / "log"
    # Far more updates than can be made before the signal comes.
    arguments = [*TINY, "--updates", "100000", "--out", str(folder)]
    child = Child(arguments, log)
    process = child.start()
    until = time.monotonic() + 60
    while process.is_alive() and not _newest(folder) and time.monotonic() < until:
        time.sleep(0.002)
    assert process.pid is not None
    os.kill(process.pid, signal.SIGINT)
    assert finish(process) == 130
    assert log.read_text().rstrip().endswith("interrupted")
    assert "Traceback" not in log.read_text()
    stopped = _newest(folder)
    assert Child([*arguments, "--max-seconds", "0"], log).run() == 0
    assert int(_newest(folder)) == int(stopped) + 1


# The network's weights are 46 kB, the optimiser's state is twice that.
@pytest.mark.parametrize("limit", [20_000, 70_000], ids=["weights do not fit", "optimiser's state does not fit"])
def test_full_disk_is_reported_and_the_checkpoint_before_goes_on_to_the_same_numbers(
    tmp_path: Path, undisturbed: dict[str, dict[str, Any]], limit: int
) -> None:
    folder, log = tmp_path / "run", tmp_path / "log"
    arguments = [*TINY, "--out", str(folder)]
    assert Child([*arguments, "--max-seconds", "0"], log).run() == 0
    before = {path: path.read_bytes() for path in (folder / "checkpoint").rglob("*") if path.is_file()}
    full = tmp_path / "full"
    assert Child(arguments, full, limit=limit).run() == 2, full.read_text()
    assert f"attention: checkpoint {folder}/checkpoint/000000002 could not be saved" in full.read_text()
    assert "Traceback" not in full.read_text()
    assert {path: path.read_bytes() for path in (folder / "checkpoint").rglob("*") if path.is_file()} == before
    assert Child(arguments, log).run() == 0, log.read_text()
    assert contents(folder) == undisturbed["hybrid"]


def test_finished_run_is_left_as_it_is(tmp_path: Path, undisturbed: dict[str, dict[str, Any]]) -> None:
    folder, log = tmp_path / "run", tmp_path / "log"
    arguments = [*TINY, "--out", str(folder)]
    assert Child(arguments, log).run() == 0
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    assert Child(arguments, log).run() == 0
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before
    assert contents(folder) == undisturbed["hybrid"]

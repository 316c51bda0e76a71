"""Tasks in worker processes: all get done, whoever raises or dies gets a second chance, and nobody pays for another."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from agents.workers import WorkersError, run_all


@pytest.fixture(params=["loky", "ray"])
def backend(request: pytest.FixtureRequest) -> str:
    """Each backend; Ray where it is installed."""
    if request.param == "ray":
        ray = pytest.importorskip("ray", reason='needs Ray: pip install -e ".[ray]"')
        ray.init(num_cpus=2, include_dashboard=False, ignore_reinit_error=True)
    return request.param


def attempts(folder: Path) -> dict[str, int]:
    """Count how often each task was begun."""
    return {path.name: len(path.read_text()) for path in folder.iterdir()}


def recording(folder: Path, act: Callable[[str, int], None]) -> Callable[[str], None]:
    """Make a task that takes down in a folder that it was begun, and then acts, knowing how often it was begun before."""
    folder.mkdir()

    def work(task: str) -> None:
        path = folder / task
        before = len(path.read_text()) if path.exists() else 0
        with open(path, "a") as stream:
            stream.write("x")
        act(task, before)

    return work


def named(*names: str) -> dict[str, str]:
    return {name: name for name in names}


@pytest.mark.parametrize("jobs", [1, 2])
def test_every_task_is_done_once_in_another_process(tmp_path: Path, backend: str, jobs: int) -> None:
    def act(task: str, before: int) -> None:
        (tmp_path / f"{task}.pid").write_text(str(os.getpid()))
        print("said by", task)

    failures = run_all(recording(tmp_path / "begun", act), named(*"abcde"), tmp_path / "marks", jobs, backend)
    assert failures == {}
    assert attempts(tmp_path / "begun") == dict.fromkeys("abcde", 1)
    processes = {int(path.read_text()) for path in tmp_path.glob("*.pid")}
    assert os.getpid() not in processes
    assert (tmp_path / "marks" / "c").read_text() == "done"
    assert (tmp_path / "marks" / "c.log").read_text() == "said by c\n"


def test_no_more_tasks_run_at_a_time_than_asked_for(tmp_path: Path, backend: str) -> None:
    def act(task: str, before: int) -> None:
        (tmp_path / f"{task}.running").touch()
        time.sleep(0.1)
        (tmp_path / f"{task}.seen").write_text(str(len(list(tmp_path.glob("*.running")))))
        (tmp_path / f"{task}.running").unlink()

    run_all(recording(tmp_path / "begun", act), named(*"abcdef"), tmp_path / "marks", 1, backend)
    assert [path.read_text() for path in tmp_path.glob("*.seen")] == ["1"] * 6


@pytest.mark.parametrize("times", [1, 2])
def test_task_that_raises_is_tried_once_more(tmp_path: Path, backend: str, times: int) -> None:
    def act(task: str, before: int) -> None:
        if task == "b" and before < times:
            raise ZeroDivisionError(f"attempt\n{before}")

    failures = run_all(recording(tmp_path / "begun", act), named(*"abcd"), tmp_path / "marks", 2, backend)
    assert failures == ({} if times == 1 else {"b": "ZeroDivisionError: attempt 1"})
    assert attempts(tmp_path / "begun") == {"a": 1, "b": 2, "c": 1, "d": 1}
    log = (tmp_path / "marks" / "b.log").read_text()
    assert log.count("Traceback") == times
    assert "ZeroDivisionError: attempt\n0" in log


DEATHS = {"killed": lambda: os.kill(os.getpid(), signal.SIGKILL), "exits": lambda: os._exit(3)}


@pytest.mark.parametrize("die", DEATHS.values(), ids=list(DEATHS))
@pytest.mark.parametrize("times", [1, 2])
def test_task_whose_worker_dies_is_tried_once_more_and_the_others_are_done(
    tmp_path: Path, backend: str, times: int, die: Callable[[], None]
) -> None:
    def act(task: str, before: int) -> None:
        if task == "b" and before < times:
            die()

    failures = run_all(recording(tmp_path / "begun", act), named(*"abcdef"), tmp_path / "marks", 2, backend)
    assert list(failures) == ([] if times == 1 else ["b"])
    assert all(reason.startswith("its worker died: ") for reason in failures.values())
    assert attempts(tmp_path / "begun")["b"] == 2


def test_whoever_runs_beside_one_that_dies_does_not_pay_for_it(tmp_path: Path, backend: str) -> None:
    """The neighbour is taken along by the first death, but not by the second; whoever had not begun is begun once only."""

    def act(task: str, before: int) -> None:
        if task == "killer":
            while before == 0 and not (tmp_path / "begun" / "neighbour").exists():
                time.sleep(0.01)
            time.sleep(0.2)
            os.kill(os.getpid(), signal.SIGKILL)
        if task == "neighbour" and before == 0:
            time.sleep(3)

    tasks = named("killer", "neighbour", "later", "last")
    failures = run_all(recording(tmp_path / "begun", act), tasks, tmp_path / "marks", 2, backend)
    assert list(failures) == ["killer"]
    begun = attempts(tmp_path / "begun")
    assert begun["killer"] == 2
    assert begun["neighbour"] <= 2
    assert (begun["later"], begun["last"]) == (1, 1)


def test_several_that_die_are_told_apart(tmp_path: Path) -> None:
    def act(task: str, before: int) -> None:
        if task in "bdf":
            os.kill(os.getpid(), signal.SIGKILL)

    failures = run_all(recording(tmp_path / "begun", act), named(*"abcdefg"), tmp_path / "marks", 2, "loky")
    assert sorted(failures) == ["b", "d", "f"]
    assert "SIGKILL" in failures["b"]


ORPHANS = """
import sys, time
from pathlib import Path
from agents.workers import run_all

def work(task):
    time.sleep(100)

if __name__ == "__main__":
    run_all(work, {"a": 1, "b": 2}, Path(sys.argv[1]), 2, "loky")
"""


def test_workers_end_with_the_process_that_started_them(tmp_path: Path) -> None:
    script, marks = tmp_path / "script.py", tmp_path / "marks"
    script.write_text(ORPHANS)
    parent = subprocess.Popen([sys.executable, str(script), str(marks)])
    try:
        workers = [int(wait_for(marks / name).split()[1]) for name in "ab"]
        assert all(is_alive(worker) for worker in workers)
    finally:
        parent.kill()
        parent.wait()
    until = time.monotonic() + 20
    while any(map(is_alive, workers)) and time.monotonic() < until:
        time.sleep(0.05)
    assert not any(map(is_alive, workers))


def wait_for(path: Path) -> str:
    """Wait for a file and read it."""
    until = time.monotonic() + 60
    while not path.exists() and time.monotonic() < until:
        time.sleep(0.02)
    return path.read_text()


def is_alive(process: int) -> bool:
    """Tell whether a process runs; one that has ended and that nobody has asked after does not."""
    try:
        state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def test_marks_of_an_earlier_call_count_for_nothing(tmp_path: Path) -> None:
    (tmp_path / "marks").mkdir()
    (tmp_path / "marks" / "a").write_text("done")
    assert run_all(recording(tmp_path / "begun", lambda task, before: None), named("a"), tmp_path / "marks", 1, "loky") == {}
    assert attempts(tmp_path / "begun") == {"a": 1}


def test_nothing_to_do_is_done(tmp_path: Path) -> None:
    assert run_all(print, {}, tmp_path / "marks", 1, "loky") == {}


@pytest.mark.parametrize(
    ("jobs", "backend", "message"),
    [(0, "loky", "jobs must be at least 1, got 0"), (1, "threads", "backend='threads' is unknown: choose one of loky, ray")],
)
def test_impossible_workers_are_refused(tmp_path: Path, jobs: int, backend: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        run_all(print, {"a": 1}, tmp_path / "marks", jobs, backend)


def test_absence_of_ray_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray.exceptions", None)
    with pytest.raises(WorkersError, match=r'pip install -e "\.\[ray\]"'):
        run_all(print, {"a": 1}, tmp_path / "marks", 1, "ray")


def test_workers_that_cannot_even_begin_are_told(tmp_path: Path) -> None:
    class Deadly:
        def __reduce__(self) -> tuple[Callable[[int], None], tuple[int]]:
            return os._exit, (1,)

    with pytest.raises(WorkersError, match="no worker could begin with anything: its worker died"):
        run_all(print, {"a": Deadly()}, tmp_path / "marks", 1, "loky")

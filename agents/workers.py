"""Tasks done in worker processes that may raise or die, by joblib: on this machine (loky) or on a cluster (Ray).

A task that fails is tried once more, after the others and on its own: whoever dies then has died of itself, and whoever ran out of
memory has it all. A dead worker takes the other workers of its pool along; the rest of the tasks goes on in a new pool.
"""

from __future__ import annotations

import logging
import os
import shutil
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures.process import BrokenProcessPool
from contextlib import redirect_stderr, redirect_stdout
from functools import cache
from pathlib import Path
from typing import TypeVar

import joblib

from attention_core.files import write_text_atomically

BACKENDS = ("loky", "ray")
BEGUN, DONE, FAILED = "begun", "done", "failed"

Task = TypeVar("Task")


class WorkersError(OSError):
    """Workers cannot be started, or die before they begin with anything."""


def run_all(work: Callable[[Task], None], tasks: Mapping[str, Task], marks: Path, jobs: int, backend: str) -> dict[str, str]:
    """Do every task in a worker process.

    Args:
        work: does one; a function of a module, so that other processes find it.
        tasks: by name; a name may have slashes.
        marks: a folder for two files per task, which say how far it is and what it printed; emptied before. Ray's machines must
            share it.
        jobs: how many tasks at a time.
        backend: "loky" for processes on this machine, "ray" for a cluster (the one that `RAY_ADDRESS` names, or a local one).

    Returns:
        The tasks that failed twice, and why the second time.

    Raises:
        ValueError: if `jobs` or `backend` is impossible.
        WorkersError: if no worker can begin.
    """
    deaths = prepare(jobs, backend)
    shutil.rmtree(marks, ignore_errors=True)
    failures: dict[str, str] = {}
    left = dict(tasks)
    while left:
        ended = _run_pool(work, left, marks, jobs, backend, deaths)
        failures |= {name: reason for name, reason in ended.items() if reason}
        left = {name: task for name, task in left.items() if name not in ended}
    for name in list(failures):
        (marks / name).unlink()
        reason = _run_pool(work, {name: tasks[name]}, marks, 1, backend, deaths)[name]
        del failures[name]
        failures |= {name: reason} if reason else {}
    return failures


def prepare(jobs: int, backend: str) -> tuple[type[Exception], ...]:
    """Check how tasks are to be done, and make the backend known to joblib.

    Returns:
        The errors by which the backend says that a worker has died.

    Raises:
        ValueError: if `jobs` or `backend` is impossible.
        WorkersError: if Ray is wanted and not installed.
    """
    if jobs < 1:
        raise ValueError(f"jobs must be at least 1, got {jobs}")
    if backend not in BACKENDS:
        raise ValueError(f"backend={backend!r} is unknown: choose one of {', '.join(BACKENDS)}")
    if backend == "loky":
        return (BrokenProcessPool,)
    try:
        from ray.exceptions import RayError
        from ray.util.joblib import register_ray
    except ImportError as error:
        raise WorkersError('backend="ray" needs Ray: pip install -e ".[ray]"') from error
    register_ray()
    return (RayError,)


def _run_pool(
    work: Callable[[Task], None],
    tasks: Mapping[str, Task],
    marks: Path,
    jobs: int,
    backend: str,
    deaths: tuple[type[Exception], ...],
) -> dict[str, str]:
    """Do tasks in one pool, until all are done or it breaks down.

    Returns:
        Of every task that was begun why it failed; "" if it did not.
    """
    death = "its worker stopped"
    try:
        with joblib.parallel_config(backend=backend):
            # A single job joblib would do in this process, and its death would be ours. So there are two then, one of them idle.
            pool = joblib.Parallel(n_jobs=max(2, jobs), pre_dispatch=jobs, batch_size=1)
            pool(joblib.delayed(_attempt)(work, task, marks / name) for name, task in tasks.items())
    except deaths as error:
        death = f"its worker died: {_one_line(error)}"
    ended = {}
    for name in tasks:
        if (marks / name).exists():
            state, _, reason = (marks / name).read_text(encoding="utf-8").partition(" ")
            ended[name] = {BEGUN: death, DONE: "", FAILED: reason}[state]
    if not ended:
        raise WorkersError(f"no worker could begin with anything: {death}")
    return ended


def _attempt(work: Callable[[Task], None], task: Task, mark: Path) -> None:
    """Do one task, in a worker; leave a mark of how far it got, and beside it what it printed."""
    _follow(os.getppid())
    write_text_atomically(mark, f"{BEGUN} {os.getpid()}")
    with open(mark.with_name(f"{mark.name}.log"), "a", encoding="utf-8") as log, redirect_stdout(log), redirect_stderr(log):
        try:
            work(task)
        except Exception as error:
            logging.getLogger(__name__).exception("%s failed", mark.name)
            end = f"{FAILED} {type(error).__name__}: {_one_line(error)}"
        else:
            end = DONE
    write_text_atomically(mark, end)


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())


@cache
def _follow(parent: int) -> None:
    """Let this process end when the one that started it is gone: nobody would use what is done here."""
    threading.Thread(target=_end_after, args=(parent,), daemon=True).start()


def _end_after(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)

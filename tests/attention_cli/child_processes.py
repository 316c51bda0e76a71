"""The command in a process of its own, the leader of its group as in a terminal, which a test can kill at any moment."""

from __future__ import annotations

import faulthandler
import os
import resource
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

from forked_processes import FORKS, forked_workers

TINY = [
    *("rl", "train", "--threads", "1", "--updates", "12", "--batch-size", "8", "--warmup", "2"),
    *("--log-every", "5", "--validate-every", "4", "--checkpoint-seconds", "0"),
    *("--glimpse-width", "16", "--location-width", "16", "--hidden", "64"),
]


@dataclass(frozen=True)
class Moment:
    """A moment in the life of a process: the `count`-th call of `function` in `module`, just before it or just after.

    `below`, if given, counts only calls whose first argument ends in it.
    """

    module: str
    function: str
    count: int
    after: bool = False
    below: str = ""


@dataclass
class Child:
    """One process that runs the command.

    Args:
        arguments: of the command.
        log: file for what it prints, standard output and standard error together.
        kill: the moment at which it is killed.
        limit: largest size of a file that it can write, as on a full disk.
        environment: variables to set.
    """

    arguments: list[str]
    log: Path
    kill: Moment | None = None
    limit: int | None = None
    environment: dict[str, str] = field(default_factory=dict)

    def start(self) -> ForkServerProcess:
        """Start it."""
        process = FORKS.Process(target=_run, args=(self,))
        process.start()
        return process

    def run(self) -> int:
        """Run it to its end and return its exit status, negative if it was killed."""
        return finish(self.start())


def finish(process: ForkServerProcess) -> int:
    """Wait for a process; one that hangs ends itself with status 1."""
    process.join()
    assert process.exitcode is not None
    return process.exitcode


def _run(child: Child) -> None:
    os.setsid()
    with open(child.log, "a") as stream:
        os.dup2(stream.fileno(), 1)
        os.dup2(stream.fileno(), 2)
    faulthandler.dump_traceback_later(90, exit=True)  # one that hangs says in the log where
    os.environ.update(child.environment)
    if child.limit is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (child.limit, child.limit))
    if child.kill is not None:
        _prepare_end(child.kill)
    from attention_cli.main import main

    with forked_workers():
        sys.exit(main(child.arguments))


def _prepare_end(moment: Moment) -> None:
    module = __import__(moment.module, fromlist=["_"])
    function: Callable[..., Any] = getattr(module, moment.function)
    calls = 0

    def wrapped(*arguments: Any, **keywords: Any) -> Any:
        nonlocal calls
        calls += str(arguments[0]).endswith(moment.below)
        if calls == moment.count and not moment.after:
            os.kill(os.getpid(), signal.SIGKILL)
        result = function(*arguments, **keywords)
        if calls == moment.count:
            os.kill(os.getpid(), signal.SIGKILL)
        return result

    setattr(module, moment.function, wrapped)

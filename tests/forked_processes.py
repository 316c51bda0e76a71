"""Processes that start at once: they are forked from one that has already imported what is slow to import.

Their environment is that of the first one's start, unless they are programs.
"""

from __future__ import annotations

import faulthandler
import json
import multiprocessing
import os
import runpy
import socket
import sys
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.reduction import DupFd
from pathlib import Path
from typing import Any

FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(
    [
        "agents.train",
        "agents.rivals",
        "generative.train",
        "attention_cli.rl",
        "torch._dynamo",
        "matplotlib.backends.backend_agg",
        "sklearn.datasets",
        "PIL.PngImagePlugin",
    ]
)


@contextmanager
def forked_workers() -> Iterator[None]:
    """Let joblib fork its workers, and send them home at the end, as that of a real program would."""
    from joblib.externals.loky import get_reusable_executor
    from joblib.externals.loky.backend.context import set_start_method

    warnings.filterwarnings("ignore", "`fork` start method", UserWarning)
    set_start_method("fork")
    try:
        yield
    finally:
        get_reusable_executor().shutdown()


# Programs -----------------------------------------------------------------------------------------------------------------

PROGRAM = """#!{python} -SE
import json, os, socket, sys
with socket.socket(socket.AF_UNIX) as server:
    server.connect({address!r})
    socket.send_fds(server, [b" "], [0, 1, 2])
    server.sendall(json.dumps([sys.argv, os.getcwd(), dict(os.environ)]).encode())
    server.shutdown(socket.SHUT_WR)
    sys.exit(int(server.recv(16)))
"""


class PreloadedPrograms:
    """Programs `python` and `attention` that start at once.

    They do what those of this environment do, with one thread. `python` takes a script's name or, after `-m`, a module's.

    Args:
        folder: for them; to be named first in a `PATH`.
    """

    def __init__(self, folder: Path) -> None:
        address = str(folder / "socket")
        self.python, self.attention = folder / "python", folder / "attention"
        for program in (self.python, self.attention):
            program.write_text(PROGRAM.format(python=sys.executable, address=address), encoding="utf-8")
            program.chmod(0o755)
        listening = socket.socket(socket.AF_UNIX)
        listening.bind(address)
        listening.listen()
        threading.Thread(target=_serve, args=(listening,), daemon=True).start()


def _serve(listening: socket.socket) -> None:
    while True:
        connection, _ = listening.accept()
        threading.Thread(target=_answer, args=(connection,), daemon=True).start()


def _answer(connection: socket.socket) -> None:
    """Run a program in a fork, and tell its exit status."""
    with connection:
        _, standard, _, _ = socket.recv_fds(connection, 1, 3)
        said = b"".join(iter(lambda: connection.recv(65536), b""))
        process = FORKS.Process(target=_become, args=(*json.loads(said), [DupFd(descriptor) for descriptor in standard]))
        process.start()
        for descriptor in standard:
            os.close(descriptor)
        process.join()
        connection.sendall(str(process.exitcode).encode())


def _become(arguments: list[str], folder: str, environment: dict[str, str], standard: list[Any]) -> None:
    """Go on as the program that was called."""
    for descriptor, passed in enumerate(standard):
        os.dup2(passed.detach(), descriptor)  # before anything can fail: they are held open until they are taken
    import torch

    faulthandler.dump_traceback_later(600, exit=True)  # whoever called it may have given up before
    torch.set_num_threads(1)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    sys.path[:0] = [os.path.abspath(place) for place in environment.get("PYTHONPATH", "").split(os.pathsep) if place]
    if environment.get("PYTHONWARNINGS") == "error":
        warnings.simplefilter("error")
    program, *words = arguments
    if Path(program).name == "attention":
        words = [str(Path(sys.executable).with_name("attention")), *words]
    with forked_workers():
        if words[0] == "-m":
            sys.argv = words[1:]
            sys.path.insert(0, folder)
            runpy.run_module(words[1], run_name="__main__", alter_sys=True)
        else:
            sys.argv = words
            sys.path.insert(0, str(Path(words[0]).resolve().parent))
            runpy.run_path(words[0], run_name="__main__")

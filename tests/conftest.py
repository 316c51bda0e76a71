"""What all tests share."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from forked_processes import PreloadedPrograms

from attention_core import curves

# One thread: the tests' tensors are small, and worker processes that are forked must not meet a busy thread pool.
torch.set_num_threads(1)

# A shell's background job ignores interrupts, and so would the processes that tests start and interrupt.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def data_folder() -> Path:
    """The folder of real data sets; tests that need one run wherever `ATTENTION_DATA` names it."""
    folder = os.environ.get("ATTENTION_DATA")
    if not folder:
        pytest.skip("needs the real data sets: set ATTENTION_DATA to their folder")
    return Path(folder)


@pytest.fixture(scope="session")
def preloaded(tmp_path_factory: pytest.TempPathFactory) -> PreloadedPrograms:
    """Programs that start at once."""
    return PreloadedPrograms(tmp_path_factory.mktemp("preloaded"))


@pytest.fixture
def preloaded_python(preloaded: PreloadedPrograms, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let this Python's path, `sys.executable`, name the one that starts at once."""
    monkeypatch.setattr(sys, "executable", str(preloaded.python))


@pytest.fixture(scope="session", autouse=True)
def plain_curves() -> Iterator[None]:
    """Let learning curves have neither numbers nor grid, which take most of the time, and every training draws some."""
    plain = {"axes.grid": False, "xtick.bottom": False, "xtick.labelbottom": False, "ytick.left": False, "ytick.labelleft": False}
    with pytest.MonkeyPatch.context() as patch:
        for name, value in plain.items():
            patch.setitem(curves.STYLE, name, value)
        yield

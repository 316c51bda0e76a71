"""Processes that start at once: they are forked from one that has already imported what is slow to import.

Their environment is that of the first one's start.
"""

from __future__ import annotations

import multiprocessing

FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(
    [
        "agents.train",
        "attention_cli.rl",
        "torch._dynamo",
        "matplotlib.backends.backend_agg",
        "sklearn.datasets",
        "PIL.PngImagePlugin",
    ]
)

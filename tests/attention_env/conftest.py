"""What the environments' tests share."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from torch.utils._python_dispatch import TorchDispatchMode

import attention_env
from attention_env.actions import ACTION_FORMATS

Arrays = tuple[NDArray[np.uint8], NDArray[np.int64]]


class Operations(TorchDispatchMode):
    """Keeps the names of torch's operations, and asks for nothing itself."""

    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.names.append(func.__name__)
        return func(*args, **(kwargs or {}))


@pytest.fixture
def operations() -> Operations:
    """What torch does within `with operations:`, by name."""
    return Operations()


# Catch, whose world moves and which takes fewer settings, has tests of its own.
PICTURES = [name for name in attention_env.environment_ids() if "Catch" not in name]


@pytest.fixture(params=PICTURES)
def environment_id(request: pytest.FixtureRequest) -> str:
    """Every registered id with pictures to name; those whose pictures are data files run where the data are."""
    if "MNIST" in request.param:
        request.getfixturevalue("data_folder")
    return str(request.param)


@pytest.fixture(params=list(ACTION_FORMATS))
def action_format(request: pytest.FixtureRequest) -> str:
    """Every action format."""
    return str(request.param)


@pytest.fixture
def arrays() -> Arrays:
    """Nine random 8×8 pictures of three classes."""
    return np.random.default_rng(0).integers(0, 256, (9, 8, 8), dtype=np.uint8), np.arange(9) % 3


@pytest.fixture
def one_picture() -> Arrays:
    """A single picture, of class 2 of three: whatever the draws, every episode shows it."""
    return np.random.default_rng(1).integers(0, 256, (1, 8, 8), dtype=np.uint8), np.array([2])

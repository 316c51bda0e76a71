"""The order of the examples: whole epochs, a seed, and going on."""

from __future__ import annotations

import numpy as np
import pytest

from attention_core.order import ShuffledIndex


@pytest.mark.parametrize("size", [1, 3, 7, 10, 23])
def test_every_index_comes_once_an_epoch(size: int) -> None:
    order = ShuffledIndex(10, seed=0)
    taken = np.concatenate([order.take(size) for _ in range(30)])
    epochs = [taken[first : first + 10] for first in range(0, len(taken) - 9, 10)]
    assert all(sorted(epoch) == list(range(10)) for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) > len(epochs) / 2


def test_order_depends_on_the_seed_and_not_on_the_batch_size() -> None:
    assert np.array_equal(
        np.concatenate([ShuffledIndex(10, 4).take(25)]),
        np.concatenate([part for order in [ShuffledIndex(10, 4)] for part in (order.take(4), order.take(21))]),
    )
    assert not np.array_equal(ShuffledIndex(10, 4).take(10), ShuffledIndex(10, 5).take(10))


@pytest.mark.parametrize("taken", [0, 4, 10, 17])
def test_order_goes_on_from_its_state(taken: int) -> None:
    order = ShuffledIndex(10, seed=2)
    if taken:
        order.take(taken)
    state = order.state_dict()
    rest = order.take(31)
    other = ShuffledIndex(10, seed=2)
    other.take(3)
    other.load_state_dict(state)
    assert np.array_equal(other.take(31), rest)

"""The order in which a training sees its examples."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


class ShuffledIndex:
    """Indices of pictures, epoch by epoch, each epoch in an order of its own; a batch may span two epochs."""

    def __init__(self, count: int, seed: int) -> None:
        self.count = count
        self.seed = seed
        self.taken = 0

    def take(self, size: int) -> NDArray[np.int64]:
        """Return the next `size` indices."""
        parts: list[NDArray[np.int64]] = []
        while size:
            epoch, place = divmod(self.taken, self.count)
            part = self._order(epoch)[place : place + size]
            parts.append(part)
            self.taken += len(part)
            size -= len(part)
        return np.concatenate(parts)

    def _order(self, epoch: int) -> NDArray[np.int64]:
        if getattr(self, "_epoch", None) != epoch:
            self._epoch, self._permutation = epoch, np.random.default_rng([self.seed, epoch]).permutation(self.count)
        return self._permutation

    def state_dict(self) -> dict[str, int]:
        """Take down how many indices have been given out."""
        return {"taken": self.taken}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Take that up again."""
        self.taken = state["taken"]

"""A forward and backward pass taken down once as a CUDA graph and launched as one.

Recurrent networks of a few hundred units are thousands of kernels of microseconds each; launched one by one from Python they leave
a GPU idle most of the time.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

Compute = Callable[[Any], dict[str, Tensor]]
WARM_UP = 3
"""Batches computed as ever before the graph is taken down: libraries choose their kernels in the first."""


class CapturedGradient:
    """Computes gradients as a function does, from the fourth batch on by replaying what that did for the fourth.

    Args:
        compute: takes a batch, tensors in tuples and dictionaries, leaves gradients at the parameters, which have none before, and
            gives metrics. It asks the device for nothing, and does the same for every batch but for the numbers in it.
        parameters: those that get gradients.
    """

    def __init__(self, compute: Compute, parameters: Sequence[nn.Parameter]) -> None:
        self._compute, self._parameters = compute, parameters
        self._seen = 0
        self._side = torch.cuda.Stream()  # type: ignore[no-untyped-call]  # PyTorch leaves it without types
        self._graph: torch.cuda.CUDAGraph | None = None
        self._batch: Any = None
        self._metrics: dict[str, Tensor] = {}
        self._gradients: list[Tensor | None] = []

    def __call__(self, batch: Any) -> dict[str, Tensor]:
        """Compute the gradients of a batch, all of it on the GPU; return its metrics."""
        self._seen += 1
        if self._seen <= WARM_UP:
            return self._warm_up(batch)
        if self._graph is None:
            self._graph = self._capture(batch)
        each_tensor(Tensor.copy_, self._batch, batch)
        self._graph.replay()
        for parameter, gradient in zip(self._parameters, self._gradients, strict=True):
            parameter.grad = gradient
        return {name: value.clone() for name, value in self._metrics.items()}

    def _warm_up(self, batch: Any) -> dict[str, Tensor]:
        """Compute as ever, though on another stream, as PyTorch asks of what is to be captured."""
        present = torch.cuda.current_stream()
        self._side.wait_stream(present)
        with torch.cuda.stream(self._side):
            metrics = self._compute(batch)
        present.wait_stream(self._side)
        return metrics

    def _capture(self, batch: Any) -> torch.cuda.CUDAGraph:
        """Take down what is done for a batch, without doing it; batch, metrics and gradients lie in tensors of its own."""
        graph = torch.cuda.CUDAGraph()
        self._batch = each_tensor(Tensor.clone, batch)
        # Other threads may ask what they like of the GPU meanwhile.
        with torch.cuda.graph(graph, stream=self._side, capture_error_mode="thread_local"):
            self._metrics = {name: value.detach() for name, value in self._compute(self._batch).items()}
        self._gradients = [parameter.grad for parameter in self._parameters]
        return graph


def each_tensor(change: Callable[..., Tensor], *batches: Any) -> Any:
    """Do something to every tensor of a batch, with the one in the same place of others like it, and keep how they lie.

    Args:
        change: takes a tensor of each batch.
        batches: tensors in tuples, named ones too, and dictionaries; what is None stays so.

    Raises:
        TypeError: if there is anything else in them, which would be the same in every replay.
    """
    first = batches[0]
    if isinstance(first, Tensor):
        return change(*batches)
    if isinstance(first, dict):
        return {name: each_tensor(change, *(batch[name] for batch in batches)) for name in first}
    if isinstance(first, tuple):
        parts = [each_tensor(change, *places) for places in zip(*batches, strict=True)]
        return type(first)(*parts) if hasattr(first, "_fields") else tuple(parts)
    if first is not None:
        raise TypeError(f"a batch must be made of tensors, not of {type(first).__name__}: a graph would replay it unchanged")
    return None

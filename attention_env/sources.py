"""Where the pictures come from.

`load_pictures("mnist", "train")` reads a built-in source by NumPy alone, once per process; every environment of the process
shares the arrays. Three splits, so that nothing need ever be chosen on test pictures:

| source | train | validation | test | picture |
|---|---|---|---|---|
| `digits` | 1 257 | 180 | 360 | 8×8, scikit-learn's copy of the UCI handwritten digits; stratified, fixed |
| `mnist` | 55 000 | 5 000 | 10 000 | 28×28; validation is the end of the official training file |
| `fashion_mnist` | 55 000 | 5 000 | 10 000 | 28×28; likewise |
| `circle_square` | 1 094 | 158 | 316 | 28×28, drawn by `attention_env.shapes`; each split has positions of its own, fixed |
"""

from __future__ import annotations

import gzip
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from attention_core import data_files
from attention_core.splits import check_split, open_split
from attention_env.shapes import POSITIONS, draw_shapes

VALIDATION_PICTURES = 5_000


class SourceError(ValueError):
    """A picture source, or arrays given in place of one, cannot be used."""


@dataclass(frozen=True, eq=False)
class Pictures:
    """Labelled pictures.

    Attributes:
        images: (count, C, H, W), uint8 in [0, 255] or float32 in [0, 1]; shared, so never to be written to.
        labels: (count,) int64 in [0, classes); likewise.
        classes: number of classes.
        name: what to call them in messages and run folders.
    """

    images: NDArray[Any]
    labels: NDArray[np.int64]
    classes: int
    name: str
    _tensors: dict[torch.device, tuple[Tensor, Tensor]] = field(default_factory=dict, repr=False)

    def on(self, device: torch.device) -> tuple[Tensor, Tensor]:
        """Return images and labels as tensors on a device, brought there once."""
        if device not in self._tensors:
            self._tensors[device] = (torch.from_numpy(self.images).to(device), torch.from_numpy(self.labels).to(device))
        return self._tensors[device]

    def __len__(self) -> int:
        """Return the number of pictures."""
        return len(self.labels)

    @property
    def shape(self) -> tuple[int, int, int]:
        """(C, H, W) of one picture."""
        channels, height, width = self.images.shape[1:]
        return channels, height, width


def load_pictures(source: str | tuple[Any, Any], split: str = "train") -> Pictures:
    """Load a source's pictures.

    Args:
        source: a built-in name (`SOURCES`), or a pair (images, labels) of arrays of one's own: images (count, H, W) or
            (count, C, H, W), uint8 or floating point within [0, 1]; labels (count,) whole numbers from 0 on. A pair is
            used as it is, whatever the split.
        split: "train", "validation" or "test".

    Returns:
        The pictures; the same object for the same name and split within a process.

    Raises:
        ValueError: for an unknown split.
        SourceError: for an unknown name, or arrays that do not fit the description.
        attention_core.data_files.DataError: if a data file is missing or damaged.
        attention_core.splits.SplitError: if test data are asked for while something learns.
    """
    check_split(split)
    if not isinstance(source, str):
        return _own_arrays(source)
    if source not in SOURCES:
        raise SourceError(f"unknown image source {source!r}: choose one of {', '.join(SOURCES)}, or give (images, labels) arrays")
    open_split(split)
    return _load_named(source, split)


@cache
def _load_named(source: str, split: str) -> Pictures:
    images, labels = SOURCES[source](split)
    return Pictures(images, labels, classes=int(labels.max()) + 1, name=f"{source}/{split}")


def _own_arrays(source: Any) -> Pictures:
    if not isinstance(source, (tuple, list)) or len(source) != 2:
        raise SourceError(f"an image source is a name or a pair (images, labels), got {type(source).__name__}")
    # Copies: what the caller does to its arrays afterwards must not reach running environments.
    images, labels = np.array(source[0]), np.array(source[1])
    if images.ndim == 3:
        images = images[:, None]
    if images.ndim != 4 or 0 in images.shape:
        raise SourceError(f"images must be (count, H, W) or (count, C, H, W) and not empty, got shape {np.shape(source[0])}")
    if labels.shape != (len(images),):
        raise SourceError(f"labels must be of shape ({len(images)},), one per image, got {labels.shape}")
    if not np.issubdtype(labels.dtype, np.integer) or labels.min() < 0:
        raise SourceError(f"labels must be whole numbers from 0 on, got {labels.dtype} with minimum {labels.min()}")
    if images.dtype != np.uint8:
        if not np.issubdtype(images.dtype, np.floating):
            raise SourceError(f"images must be uint8 or floating point, got {images.dtype}")
        if not (images.min() >= 0 and images.max() <= 1):
            raise SourceError(f"floating point images must lie within [0, 1], got [{images.min()}, {images.max()}]")
        images = images.astype(np.float32)
    return Pictures(images, labels.astype(np.int64), classes=int(labels.max()) + 1, name="arrays")


def _digits(split: str) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    from sklearn.datasets import load_digits

    images, labels = load_digits(return_X_y=True)
    # 17 grey levels, 0 … 16, spread over a byte.
    images = (images.reshape(-1, 1, 8, 8) * 255 / 16).round().astype(np.uint8)
    labels = labels.astype(np.int64)
    chosen = _stratified(labels)[split]
    return images[chosen], labels[chosen]


def _stratified(labels: NDArray[np.int64]) -> dict[str, NDArray[np.int64]]:
    """Deal each class's pictures out in a fixed shuffled order: 2 of 10 to test, 1 of 10 to validation, 7 to training."""
    order = np.random.RandomState(0).permutation(len(labels))
    order = order[np.argsort(labels[order], kind="stable")]
    turn = np.arange(len(order)) % 10
    return {"train": np.sort(order[turn >= 3]), "validation": np.sort(order[turn == 2]), "test": np.sort(order[turn < 2])}


def _mnist(split: str) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    return _idx_pair("mnist", split)


def _fashion_mnist(split: str) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    return _idx_pair("fashion_mnist", split)


def _circle_square(split: str) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    # Positions are dealt out, not pictures: both shapes at a position share a split, so where a shape is says nothing of which.
    return draw_shapes(_stratified(np.zeros(POSITIONS, np.int64))[split])


def _idx_pair(data_set: str, split: str) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    prefix = "t10k" if split == "test" else "train"
    images = _read_idx(f"{data_set}/{prefix}-images-idx3-ubyte.gz")[:, None]
    labels = _read_idx(f"{data_set}/{prefix}-labels-idx1-ubyte.gz").astype(np.int64)
    part = {"train": slice(None, -VALIDATION_PICTURES), "validation": slice(-VALIDATION_PICTURES, None), "test": slice(None)}[split]
    return images[part], labels[part]


@cache
def _read_idx(path: str) -> NDArray[np.uint8]:
    """Read an idx file of bytes: two zeros, type 8, the number of dimensions, the dimensions, the data."""
    with gzip.open(data_files.fetch(path)) as stream:
        content = stream.read()
    dimensions = content[3]
    shape = np.frombuffer(content, ">i4", count=dimensions, offset=4)
    # A copy, because a view of `bytes` is read-only and PyTorch warns of such arrays.
    return np.frombuffer(content, np.uint8, offset=4 + 4 * dimensions).reshape(shape).copy()


SOURCES: dict[str, Callable[[str], tuple[NDArray[np.uint8], NDArray[np.int64]]]] = {
    "digits": _digits,
    "mnist": _mnist,
    "fashion_mnist": _fashion_mnist,
    "circle_square": _circle_square,
}

"""The pictures that models are made of: the environments' sources, and MNIST as it was binarised once for all.

| data | train | validation | test | picture |
|---|---|---|---|---|
| `binarized_mnist` | 50 000 | 10 000 | 10 000 | 28×28, black or white; Salakhutdinov and Murray 2008, their splits; no classes |

and the sources of `attention_env.sources`. Fixed and dynamic binarisation are different tasks, whose figures do not belong into one
column: here every pixel was drawn once, of grey pictures each pixel is drawn anew, white with the probability of its grey, whenever
the picture is shown to a model of black and white ones.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from attention_core import data_files
from attention_core.splits import open_split
from attention_env.sources import SOURCES, SourceError, load_pictures

BINARISED = "binarized_mnist"
DATA = (*SOURCES, BINARISED)
PACKED = f"{BINARISED}/binarized_mnist_packed.npz"


class Batch(NamedTuple):
    """Pictures shown to a model.

    Attributes:
        pictures: (B, C, H, W) float32 in [0, 1].
        labels: (B,), their classes; None if they have none or the model is not to know them.
    """

    pictures: Tensor
    labels: Tensor | None


class Pictures:
    """One split of a data set, on a device.

    Args:
        data: its name, one of `DATA`.
        split: "train", "validation" or "test".
        device: where the pictures lie.
        binary: whether to show them in black and white.
        labelled: whether classes are shown too.

    Attributes:
        binarisation: "fixed" if they were binarised once for all, "dynamic" if they are whenever they are shown, else None.
        classes: number of classes shown; 0 if none are.

    Raises:
        ValueError: for an unknown split.
        SourceError: for unknown data, or classes asked of data that have none.
        attention_core.data_files.DataError: if a data file is missing or damaged.
        attention_core.splits.SplitError: if test data are asked for while something learns.
    """

    def __init__(self, data: str, split: str, device: torch.device, binary: bool, labelled: bool = False) -> None:
        open_split(split)
        self.labels: Tensor | None = None
        self.classes = 0
        if data == BINARISED:
            if labelled:
                raise SourceError(f"{BINARISED} comes without classes: use mnist for a model that makes pictures by class")
            self.images = _binarised(split).to(device)
        elif data in SOURCES:
            found = load_pictures(data, split)
            self.images, labels = found.on(device)
            if labelled:
                self.labels, self.classes = labels, found.classes
        else:
            raise SourceError(f"unknown data {data!r}: choose one of {', '.join(DATA)}")
        self.binarises = binary and data != BINARISED
        self.binarisation = ("dynamic" if self.binarises else "fixed") if binary else None

    def __len__(self) -> int:
        """Return the number of pictures."""
        return len(self.images)

    @property
    def shape(self) -> tuple[int, int, int]:
        """(C, H, W) of one picture."""
        channels, height, width = self.images.shape[1:]
        return channels, height, width

    def show(self, index: Tensor, chance: Tensor | None) -> Batch:
        """Show some of the pictures.

        Args:
            index: (B,), which.
            chance: (B, C, H, W), uniform in [0, 1), by which grey pictures are binarised, if they are.
        """
        pictures = self.images[index].float() / 255
        if self.binarises:
            assert chance is not None
            pictures = (chance < pictures).float()
        return Batch(pictures, None if self.labels is None else self.labels[index])

    def chance(self, count: int, generator: torch.Generator) -> Tensor | None:
        """Draw what `show` needs for so many pictures."""
        if not self.binarises:
            return None
        return torch.rand((count, *self.shape), generator=generator, device=generator.device)

    def batches(self, size: int, generator: torch.Generator) -> Iterator[Batch]:
        """Show every picture once, in order, so many at a time; binarised ones by the generator's chance."""
        for index in torch.split(torch.arange(len(self), device=self.images.device), size):
            yield self.show(index, self.chance(len(index), generator))


@cache
def _binarised(split: str) -> Tensor:
    """Read the fixed binarisation: (count, 1, 28, 28) of bytes 0 and 255."""
    name = {"train": "train", "validation": "valid", "test": "test"}[split]
    if data_files.local_path(PACKED).is_file():
        with np.load(data_files.fetch(PACKED)) as packed:
            bits = np.unpackbits(packed[name], axis=1)
    else:
        bits = np.loadtxt(data_files.fetch(f"{BINARISED}/binarized_mnist_{name}.amat"), np.uint8)
    return torch.from_numpy(bits.reshape(-1, 1, 28, 28) * np.uint8(255))

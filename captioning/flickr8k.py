"""Flickr8k: 8 000 photographs with five captions each, in the official splits (Hodosh, Young and Hockenmaier 2013, JAIR 47).

| split | pictures | captions |
|---|---|---|
| train | 6 000 | 30 000 |
| validation | 1 000 | 5 000 |
| test | 1 000 | 5 000 |

The pictures are JPEGs of 176×176 pixels, their aspect ratio not kept, in two tar files; they are read from there, one at a time.
"""

from __future__ import annotations

import gzip
import json
import tarfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import NamedTuple

from attention_core.data_files import DATA_FILES, fetch
from attention_core.splits import open_split

CAPTIONS = "flickr8k/captions.json.gz"
PICTURES = ("flickr8k/images-176-0.tar", "flickr8k/images-176-1.tar")
# Our names of the splits, and the file's.
_SPLITS = {"train": "train", "validation": "val", "test": "test"}


@dataclass(frozen=True)
class Captioned:
    """A picture's name and what people wrote about it.

    Attributes:
        filename: the picture's, as Flickr8k names it.
        sentences: five, as they were written.
    """

    filename: str
    sentences: tuple[str, ...]


class _Place(NamedTuple):
    """Where a picture's bytes lie: in which file, from where, how many."""

    path: Path
    start: int
    size: int


class EncodedPictures:
    """The bytes of picture files, read when asked for.

    It holds no open file, so processes can share it by forking or pickling.
    """

    def __init__(self, places: Sequence[_Place]) -> None:
        self._places = tuple(places)

    def __len__(self) -> int:
        """Return the number of pictures."""
        return len(self._places)

    def __getitem__(self, index: int) -> bytes:
        """Read one picture file.

        Raises:
            IndexError: if there is no such picture.
        """
        path, start, size = self._places[index]
        with open(path, "rb") as stream:
            stream.seek(start)
            return stream.read(size)

    def __iter__(self) -> Iterator[bytes]:
        """Read one after the other."""
        return (self[index] for index in range(len(self)))


def load_captions(split: str) -> list[Captioned]:
    """Read a split's captions, in the order of the file.

    Args:
        split: "train", "validation" or "test".

    Raises:
        ValueError: if there is no such split.
        attention_core.data_files.DataError: if the file is missing or damaged.
        attention_core.splits.SplitError: if test data are asked for while something learns.
    """
    open_split(split)
    with gzip.open(fetch(CAPTIONS), "rt", encoding="utf-8") as stream:
        pictures = json.load(stream)["images"]
    return [
        Captioned(picture["filename"], tuple(picture["captions"])) for picture in pictures if picture["split"] == _SPLITS[split]
    ]


def load_pictures(split: str) -> EncodedPictures:
    """Find a split's pictures, in the order of `load_captions`; each is a JPEG file's bytes.

    Args:
        split: "train", "validation" or "test".

    Raises:
        ValueError: if there is no such split.
        attention_core.data_files.DataError: if a file is missing or damaged.
    """
    captioned = load_captions(split)
    places = {name: place for tar in PICTURES for name, place in _contents(fetch(tar)).items()}
    return EncodedPictures([places[picture.filename] for picture in captioned])


def identity() -> dict[str, str]:
    """Return the sha256 of each file that the data set is made of: what is computed from others is another's."""
    return {path: DATA_FILES[path].sha256 for path in (CAPTIONS, *PICTURES)}


@cache
def _contents(tar: Path) -> dict[str, _Place]:
    with tarfile.open(tar, "r:") as archive:
        return {member.name: _Place(tar, member.offset_data, member.size) for member in archive}

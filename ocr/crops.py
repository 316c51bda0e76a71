"""Real crops of words: the benchmarks that readers are scored on, training crops, and folders of one's own.

| benchmark | words | |
|---|---|---|
| iiit5k | 3 000 | web pictures; a quarter of its words is in no dictionary (Mishra, Alahari, Jawahar 2012) |
| svt | 647 | street views, each with a lexicon of 50 words (Wang, Babenko, Belongie 2011) |
| icdar2013 | 1 015 | signs in focus, letters and digits alone (Karatzas et al. 2013) |
| icdar2013_857 | 857 | those of them with three characters or more |

Labels are compared without case and without what is neither letter nor digit. No word is left out for being short.
"""

from __future__ import annotations

import tarfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from attention_core.data_files import fetch
from attention_core.picture_files import PictureError, decode_picture_file, read_picture_file
from attention_core.splits import open_split
from ocr.alphabet import spell
from ocr.config import Turned

BENCHMARKS = {
    "iiit5k": ("ocr/iiit5k/test.tar.gz", "ocr/iiit5k/test.tsv"),
    "svt": ("ocr/svt/test.tar.gz", "ocr/svt/test.tsv"),
    "icdar2013": ("ocr/icdar2013/test.tar.gz", "ocr/icdar2013/test_1015.tsv"),
    "icdar2013_857": ("ocr/icdar2013/test.tar.gz", "ocr/icdar2013/test_857.tsv"),
}
"""Pictures and labels of the test crops."""
SVT_LEXICON = "ocr/svt/test_lexicon50.tsv"
TRAINING = {
    "iiit5k": ("ocr/iiit5k/train.tar.gz", "ocr/iiit5k/train.tsv"),
    "svt": ("ocr/svt/train.tar.gz", "ocr/svt/train.tsv"),
    # Without the scenes that are seen again in ICDAR 2013's test crops.
    "icdar2003": ("ocr/icdar2003/train.tar.gz", "ocr/icdar2003/train_noic13.tsv"),
    "icdar2015": ("ocr/icdar2015/train.tar.gz", "ocr/icdar2015/train.tsv"),
}
"""Those of the training crops."""
VALIDATION = ("iiit5k", "svt", "icdar2003")
"""Whose training crops validate: those that look like the benchmarks. Every fifth does, and is not learned from."""
EVERY = 5


@dataclass
class Crops:
    """Crops with their labels.

    Attributes:
        pictures: (n, height, width) uint8, grey.
        words: what is to be read in each, small letters and digits.
        names: of their files.
        altered: labels that hold other characters than letters and digits, as they were; those characters are not asked for.
        left_out: names of crops that cannot be used, and why.
    """

    pictures: NDArray[np.uint8]
    words: list[str]
    names: list[str]
    altered: list[str] = field(default_factory=list)
    left_out: dict[str, str] = field(default_factory=dict)

    def __len__(self) -> int:
        """Return the number of crops."""
        return len(self.words)

    def part(self, rows: NDArray[np.int64]) -> Crops:
        """Take some of the crops."""
        return Crops(self.pictures[rows], [self.words[row] for row in rows], [self.names[row] for row in rows])


class Labelled(NamedTuple):
    """A crop that has not been looked at yet: its name, its label, and its file, or its bytes."""

    name: str
    label: str
    file: Path | bytes


def squeeze(picture: Image.Image, height: int, width: int, name: str) -> NDArray[np.uint8]:
    """Bring a crop to the size that a reader takes, grey, its proportions not kept: (height, width).

    Raises:
        PictureError: if it is a single line or column of pixels, in which nothing can be read.
    """
    if min(picture.size) < 2:
        raise PictureError(f"{name} is {picture.width}×{picture.height} pixels: nothing can be read in it")
    reduced = picture.convert("L").resize((width, height), Image.Resampling.BICUBIC)
    return np.array(reduced)


def load_benchmark(name: str, height: int, width: int, turned: Turned = 0) -> Crops:
    """Load the test crops of a benchmark.

    Args:
        name: one of `BENCHMARKS`.
        height: pixels that crops are brought to.
        width: likewise.
        turned: degrees to the left by which crops are turned before.

    Raises:
        ValueError: if there is no such benchmark.
        attention_core.data_files.DataError: if its files are missing or damaged.
        attention_core.splits.SplitError: if test data are asked for while something learns.
    """
    if name not in BENCHMARKS:
        raise ValueError(f"there is no benchmark {name!r}: choose one of {', '.join(BENCHMARKS)}")
    open_split("test")
    return _load(_of_archive(*BENCHMARKS[name]), height, width, turned)


def load_svt_lexicons() -> list[list[str]]:
    """Load the 50 words, among them the true one, that each test crop of SVT is said to hold one of."""
    open_split("test")
    lines = fetch(SVT_LEXICON).read_text(encoding="utf-8").splitlines()
    return [[spell(word) for word in line.split("\t")[1].split(",")] for line in lines]


def load_training(height: int, width: int) -> tuple[Crops, Crops]:
    """Load the real training crops: those to learn from, and those that validate, which are not learned from.

    The first of them tells of both which labels were altered and which crops left out.
    """
    loaded = {name: _load(_of_archive(*files), height, width) for name, files in TRAINING.items()}
    learned, validating = [], []
    for name, crops in loaded.items():
        every = np.arange(len(crops))
        held = (every % EVERY == 0) & (name in VALIDATION)
        learned.append(crops.part(every[~held]))
        validating.append(crops.part(every[held]))
    whole = _join(learned)
    for name, crops in loaded.items():
        whole.altered += crops.altered
        whole.left_out |= {f"{name}/{file}": why for file, why in crops.left_out.items()}
    return whole, _join(validating)


def load_folder(labels: Path, height: int, width: int, turned: Turned = 0) -> Crops:
    """Load crops of one's own.

    Args:
        labels: a text file with a line for each crop: its file, as seen from the folder of this file, a tab, and its label.
        height: pixels that crops are brought to.
        width: likewise.
        turned: degrees to the left by which crops are turned before.

    Raises:
        ValueError: if the file cannot be read, a line has no tab, or no crop is left; the crops that cannot be used are named in
            `Crops.left_out`, and the rest is there.
    """
    try:
        lines = labels.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"{labels} is no readable text file: {error}") from error
    rows = []
    for number, line in enumerate(lines, 1):
        if not line:
            continue
        name, tab, label = line.partition("\t")
        if not tab:
            raise ValueError(f"line {number} of {labels} must be a file, a tab and its label, got {line!r}")
        rows.append(Labelled(name, label, labels.parent / name))
    crops = _load(iter(rows), height, width, turned)
    if not len(crops):
        reasons = "; ".join(crops.left_out.values()) or "it has no lines"
        raise ValueError(f"no crop of {labels} can be used: {reasons}")
    return crops


def _of_archive(archive: str, labels: str) -> Iterator[Labelled]:
    """Give the crops of a declared archive in the order of its labels."""
    with tarfile.open(fetch(archive)) as packed:
        members = {member.name: member for member in packed}  # by name the archive would look through all of them
        for line in fetch(labels).read_text(encoding="utf-8").splitlines():
            name, _, label = line.partition("\t")
            file = packed.extractfile(members[name])
            assert file is not None, name  # the archive's hash was checked
            yield Labelled(name, label, file.read())


def _load(rows: Iterator[Labelled], height: int, width: int, turned: Turned = 0) -> Crops:
    crops, pictures = Crops(np.empty((0, height, width), np.uint8), [], []), []
    for name, label, file in rows:
        word = spell(label)
        if not word:
            crops.left_out[name] = f"{name}: its label {label!r} has neither letter nor digit"
            continue
        try:
            picture = decode_picture_file(file, name) if isinstance(file, bytes) else read_picture_file(file)
            pictures.append(squeeze(picture.rotate(turned, expand=True), height, width, name))
        except PictureError as error:
            crops.left_out[name] = str(error)
            continue
        if len(word) < len(label):
            crops.altered.append(label)
        crops.words.append(word)
        crops.names.append(name)
    if pictures:
        crops.pictures = np.stack(pictures)
    return crops


def _join(parts: list[Crops]) -> Crops:
    return Crops(
        np.concatenate([part.pictures for part in parts]),
        [word for part in parts for word in part.words],
        [name for part in parts for name in part.names],
    )

"""Large collections of rendered words: MJSynth and SynthText as they are given out, and the LMDB files of the field.

A folder's files tell which it is:

| | |
|---|---|
| `data.mdb` | LMDB with the keys num-samples, image-000000001, label-000000001, … (`pip install "attention-suite[ocr]"`) |
| `annotation_train.txt` | MJSynth (Jaderberg et al. 2014): a line for each crop, whose file name holds the word, 12_WORD_3456.jpg |
| `gt.mat` | SynthText (Gupta et al. 2016): whole pictures, of which the words' upright boxes are cut out |

Words that are empty without signs, longer than the reader can write, or whose picture cannot be read, are passed over: the word
after takes their place. Of unreadable pictures a warning gives the name.
"""

from __future__ import annotations

import io
import warnings
from abc import ABC, abstractmethod
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from attention_core.picture_files import PictureError, decode_picture_file, read_picture_file
from ocr.alphabet import spell
from ocr.crops import squeeze

LARGEST = 1 << 40
"""Bytes that a collection may come to: addresses that are set aside, not memory nor disk."""


class CollectionError(ValueError):
    """A folder is no collection of words, or one without a word that can be used."""


class Collection(ABC):
    """Rendered words by number; it can be pickled.

    Args:
        folder: where it lies.
        height: pixels that crops are brought to.
        width: likewise.
        longest: characters of a word at most.
    """

    def __init__(self, folder: Path, height: int, width: int, longest: int) -> None:
        self.folder, self.height, self.width, self.longest = folder, height, width, longest

    @abstractmethod
    def __len__(self) -> int:
        """Return the number of words, those included that are passed over."""

    @abstractmethod
    def label(self, index: int) -> str:
        """Give the label of a word as it is written there."""

    @abstractmethod
    def picture(self, index: int) -> Image.Image:
        """Read the crop of a word.

        Raises:
            PictureError: if it cannot be read.
        """

    def __getitem__(self, index: int) -> tuple[NDArray[np.uint8], str]:
        """Give a word: its crop, (height, width), and what is to be read.

        Raises:
            CollectionError: if no word can be used.
        """
        for number in range(index, index + len(self)):
            number %= len(self)
            word = spell(self.label(number))
            if not 1 <= len(word) <= self.longest:
                continue
            try:
                return squeeze(self.picture(number), self.height, self.width, f"word {number} of {self.folder}"), word
            except PictureError as error:
                warnings.warn(f"passed over: {error}", stacklevel=2)
        raise CollectionError(f"{self.folder} holds no word of 1 to {self.longest} letters and digits whose picture can be read")


class MJSynth(Collection):
    """Single crops, named in a list."""

    def __init__(self, folder: Path, height: int, width: int, longest: int) -> None:
        super().__init__(folder, height, width, longest)
        lines = (folder / "annotation_train.txt").read_text(encoding="utf-8").splitlines()
        self._paths = np.array([line.split(" ")[0] for line in lines if line.strip()], dtype=np.bytes_)

    def __len__(self) -> int:
        """Return the number of lines."""
        return len(self._paths)

    def label(self, index: int) -> str:
        """Take the word out of the file's name."""
        parts = self._path(index).stem.split("_")
        return parts[1] if len(parts) > 2 else ""

    def picture(self, index: int) -> Image.Image:
        """Read the file."""
        return read_picture_file(self._path(index))

    def _path(self, index: int) -> Path:
        return self.folder / str(self._paths[index], "utf-8")


class SynthText(Collection):
    """Words cut out of whole pictures."""

    def __init__(self, folder: Path, height: int, width: int, longest: int) -> None:
        super().__init__(folder, height, width, longest)
        from scipy.io import loadmat

        truth = loadmat(str(folder / "gt.mat"), squeeze_me=False)
        self._words: list[tuple[str, str, tuple[float, float, float, float]]] = []
        for name, texts, boxes in zip(truth["imnames"][0], truth["txt"][0], truth["wordBB"][0], strict=True):
            words = [word for text in texts for word in str(text).split()]
            corners = np.asarray(boxes).reshape(2, 4, -1)
            if len(words) != corners.shape[2]:
                raise CollectionError(f"{name[0]} of {folder} has {len(words)} words and {corners.shape[2]} boxes")
            for word, (across, down) in zip(words, np.moveaxis(corners, 2, 0), strict=True):
                self._words.append((str(name[0]), word, (across.min(), down.min(), across.max(), down.max())))

    def __len__(self) -> int:
        """Return the number of words in all pictures."""
        return len(self._words)

    def label(self, index: int) -> str:
        """Give the word."""
        return self._words[index][1]

    def picture(self, index: int) -> Image.Image:
        """Cut the word's upright box out of its picture."""
        name, word, (left, top, right, bottom) = self._words[index]
        whole = read_picture_file(self.folder / name)
        box = (max(0, round(left)), max(0, round(top)), min(whole.width, round(right)), min(whole.height, round(bottom)))
        if box[2] - box[0] < 2 or box[3] - box[1] < 2:
            raise PictureError(f"the box of {word!r} in {name} has no pixels within the picture")
        return whole.crop(box)


class LMDB(Collection):
    """The key-value files that the field passes around; opened anew in every process."""

    def __init__(self, folder: Path, height: int, width: int, longest: int) -> None:
        super().__init__(folder, height, width, longest)
        self._environment: Any = None
        self._count = int(self._read("num-samples"))

    def __len__(self) -> int:
        """Return the number of words that the file says it has."""
        return self._count

    def label(self, index: int) -> str:
        """Read the label."""
        return self._read(f"label-{index + 1:09d}").decode()

    def picture(self, index: int) -> Image.Image:
        """Read the crop."""
        key = f"image-{index + 1:09d}"
        return decode_picture_file(self._read(key), f"{key} of {self.folder}")

    def _read(self, key: str) -> bytes:
        if self._environment is None:
            self._environment = _lmdb().open(str(self.folder), readonly=True, lock=False, readahead=False, meminit=False)
        with self._environment.begin() as transaction:
            found: bytes | None = transaction.get(key.encode())
        if found is None:
            raise CollectionError(f"{self.folder} has no key {key!r}: it is no LMDB of words, or it was cut")
        return found

    def __getstate__(self) -> dict[str, Any]:
        """Leave the open file behind when pickled."""
        return {**vars(self), "_environment": None}


def write_lmdb(words: Iterable[tuple[NDArray[np.uint8], str]], folder: Path) -> None:
    """Write words as a collection that `LMDB` reads; it is there when it is whole.

    Args:
        words: crops, (height, width), with their labels.
        folder: where it will lie.

    Raises:
        FileExistsError: if something lies there already.
        CollectionError: if lmdb is not installed.
    """
    if folder.exists():
        raise FileExistsError(f"{folder} is there already: name a folder that is not, or remove it")
    lmdb = _lmdb()
    partial = folder.with_name(f"{folder.name}.partial")
    partial.mkdir(parents=True, exist_ok=True)
    count = 0
    with lmdb.open(str(partial), map_size=LARGEST) as environment, environment.begin(write=True) as transaction:
        for count, (picture, word) in enumerate(words, 1):
            buffer = io.BytesIO()
            Image.fromarray(picture).save(buffer, "PNG")
            transaction.put(f"image-{count:09d}".encode(), buffer.getvalue())
            transaction.put(f"label-{count:09d}".encode(), word.encode())
        transaction.put(b"num-samples", str(count).encode())
    partial.rename(folder)


def _lmdb() -> Any:
    try:
        import lmdb
    except ImportError as error:
        raise CollectionError('LMDB files need lmdb: pip install "attention-suite[ocr]"') from error
    return lmdb


KINDS: dict[str, type[Collection]] = {"data.mdb": LMDB, "annotation_train.txt": MJSynth, "gt.mat": SynthText}
"""By the file that tells what a folder is."""


def open_collection(folder: str | Path, height: int, width: int, longest: int) -> Collection:
    """Open a folder of rendered words.

    Args:
        folder: of MJSynth, SynthText, or an LMDB.
        height: pixels that crops are brought to.
        width: likewise.
        longest: characters of a word at most.

    Raises:
        CollectionError: if it is none of these, or is empty.
    """
    place = Path(folder)
    for file, kind in KINDS.items():
        if (place / file).is_file():
            collection = kind(place, height, width, longest)
            if not len(collection):
                raise CollectionError(f"{place} holds no words")
            return collection
    raise CollectionError(f"{place} is no collection of words: a folder with one of {', '.join(KINDS)} is wanted")

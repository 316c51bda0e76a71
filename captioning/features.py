"""Annotation vectors of whole data sets, computed once and then read from a memory-mapped file.

Beside each file lies a JSON of what it was made from. Where that is not what is asked for, or the file is cut, it is named and made
anew. Both lie among the features in the folder that `ATTENTION_CACHE` names, or in the user's cache.
"""

from __future__ import annotations

import json
import math
import sys
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import chain, count, islice, repeat
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
import pooch
import torch
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track

from attention_core import data_files
from attention_core.files import cache_folder, write_atomically, write_text_atomically
from captioning.config import FeatureConfig
from captioning.encoders import choose_weights, load_encoder
from captioning.pictures import SMALLEST_SIDE, View, decode_picture, random_view

Seen = Literal["whole", "mirrored"] | int
"""What an encoder sees of pictures: all of them, that mirrored, or for a number random parts."""
FOLDER = "features"
"""Within the cache."""
BATCH = 16
DECODING_THREADS = 4
# Batches that are being decoded while the encoder works on the one before.
BATCHES_AHEAD = 4


class EncodedPictures(Protocol):
    """Picture files' bytes, one after the other: a list of them, or something that reads them when asked."""

    def __len__(self) -> int:
        """Return the number of pictures."""

    def __iter__(self) -> Iterator[bytes]:
        """Give each picture's file."""


def load_features(
    name: str,
    identity: Mapping[str, str],
    pictures: EncodedPictures,
    config: FeatureConfig,
    device: torch.device,
    *,
    seen: Seen = "whole",
) -> NDArray[np.float16]:
    """Return the annotation vectors of a data set's pictures, from the cache where it has them.

    Args:
        name: the data set and split, such as "flickr8k-train"; part of the cache file's name.
        identity: what the pictures are, by which a cache of others is known: the data set's files and their sha256.
        pictures: picture files, one at least; they are read only if the cache does not have them.
        config: encoder, size and stride.
        device: where the encoder runs.
        seen: what the encoder sees of the pictures: the whole, the whole with left and right exchanged, or for a number a random
            part of each (`captioning.pictures.random_view`). Each number has parts of its own, always the same.

    Returns:
        (count, L, D), memory-mapped and read-only; L is row after row of the encoder's map.

    Raises:
        attention_core.picture_files.PictureError: if a picture is not whole; it is called by its number.
        attention_core.data_files.DataError: if the encoder's weights are missing or damaged.
        attention_core.files.SaveError: if the cache cannot be written to.
    """
    weights = data_files.fetch(choose_weights(config.encoder).path)
    made_from = {
        "name": name,
        "data": dict(identity),
        "count": len(pictures),
        "encoder": config.encoder,
        "weights": pooch.file_hash(str(weights)),
        "size": config.size,
        "stride": config.stride,
        "mirrored": seen == "mirrored",
        **({"crop": seen, "smallest_side": SMALLEST_SIDE} if isinstance(seen, int) else {}),
    }
    ending = f"-crop-{seen}" if isinstance(seen, int) else {"whole": "", "mirrored": "-mirrored"}[seen]
    path = cache_folder() / FOLDER / f"{name}-{config.encoder}-{config.size}-{config.stride}{ending}.npy"
    if path.exists():
        try:
            return _read(path, made_from)
        except _StaleError as stale:
            print(f"{path} is made anew: {stale}", file=sys.stderr)
    _write(path, made_from, _annotations(name, zip(pictures, _views(seen), strict=False), config, device))
    return _read(path, made_from)


class _StaleError(Exception):
    """A cache file is not, or no longer, what is asked for; the text says why."""


def _read(path: Path, made_from: dict[str, Any]) -> NDArray[np.float16]:
    try:
        vectors: NDArray[np.float16] = np.load(path, mmap_mode="r")
    except (EOFError, ValueError) as error:
        raise _StaleError(f"it is cut or damaged ({error})") from error
    try:
        found = json.loads(_description(path).read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError) as error:
        raise _StaleError(f"{_description(path).name}, which says what it was made from, is missing or damaged") from error
    for part, right in (made_from | _form(vectors)).items():
        if found.get(part) != right:
            raise _StaleError(f"its {part} is {found.get(part)!r} where {right!r} is right")
    return vectors


def _form(vectors: NDArray[np.float16]) -> dict[str, Any]:
    return {"numbers": str(vectors.dtype), "shape": [*vectors.shape]}


def _write(path: Path, made_from: dict[str, Any], batches: Iterator[NDArray[np.float16]]) -> None:
    # The first batch says the shape, and what is wrong with pictures or encoder shows before anything is written.
    first = next(batches)
    shape = (made_from["count"], *first.shape[1:])
    progress = track(chain([first], batches), path.stem, math.ceil(shape[0] / BATCH), console=Console(stderr=True))

    def fill(temporary: Path) -> None:
        with open(temporary, "wb") as stream:
            header = {"descr": "<f2", "fortran_order": False, "shape": shape}
            np.lib.format.write_array_header_1_0(stream, header)
            for batch in progress:
                stream.write(batch.tobytes())
        # Without the old description the new file cannot be taken for the old one, wherever this is interrupted.
        _description(path).unlink(missing_ok=True)

    write_atomically(path, fill)
    description = made_from | _form(np.load(path, mmap_mode="r"))
    write_text_atomically(_description(path), json.dumps(description, indent=2))


def _description(path: Path) -> Path:
    return path.with_suffix(".json")


def _views(seen: Seen) -> Iterator[View]:
    """Give a view for each picture, without end."""
    if not isinstance(seen, int):
        return repeat(View(mirrored=seen == "mirrored"))
    rng = np.random.default_rng(seen)
    return (random_view(rng) for _ in count())


def _annotations(
    name: str, pictures: Iterable[tuple[bytes, View]], config: FeatureConfig, device: torch.device
) -> Iterator[NDArray[np.float16]]:
    """Look at pictures: arrays (up to BATCH, L, D)."""
    encoder = load_encoder(config.encoder, config.stride).to(device)
    for batch in _decoded(name, pictures, config.size):
        with torch.inference_mode():
            vectors = encoder.annotate(torch.from_numpy(batch).to(device))
        yield vectors.half().cpu().numpy()


def _decoded(name: str, pictures: Iterable[tuple[bytes, View]], size: int) -> Iterator[NDArray[np.uint8]]:
    """Decode pictures in threads, a little ahead of who asks: arrays (up to BATCH, 3, size, size)."""
    named = ((encoded, size, f"picture {number} of {name}", view) for number, (encoded, view) in enumerate(pictures))
    waiting: deque[list[Future[NDArray[np.uint8]]]] = deque()
    with ThreadPoolExecutor(DECODING_THREADS) as threads:
        while batch := [threads.submit(decode_picture, *picture) for picture in islice(named, BATCH)]:
            waiting.append(batch)
            if len(waiting) > BATCHES_AHEAD:
                yield np.stack([future.result() for future in waiting.popleft()])
        for batch in waiting:
            yield np.stack([future.result() for future in batch])

"""Files that are either wholly written or not at all, and where those are kept that can be made again."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path

import pooch
from safetensors import SafetensorError

CACHE_VARIABLE = "ATTENTION_CACHE"
"""Names the folder of what takes long to make; the user's cache by default."""

# How the system, safetensors and torch.save say that something could not be written.
WRITE_ERRORS = (OSError, SafetensorError, RuntimeError)


class SaveError(OSError):
    """Something could not be saved; what was there before is untouched."""


def cache_folder() -> Path:
    """Say where files are kept that take long to make and can be made again."""
    return Path(os.environ.get(CACHE_VARIABLE) or pooch.os_cache("attention-suite"))


def write_atomically(path: Path, write: Callable[[Path], None]) -> None:
    """Write a file beside its place, flush it to the disk, and only then put it there.

    Args:
        path: the file's place; its folder is made if need be.
        write: called with a temporary path in the same folder, which it fills.

    Raises:
        SaveError: if the disk is full or the folder cannot be written to. The old file, if any, is still there.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".partial")
        os.close(handle)
        temporary = Path(name)
        try:
            write(temporary)
            with open(temporary, "rb+") as stream:
                os.fsync(stream.fileno())
            temporary.chmod(0o644)
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)
    except WRITE_ERRORS as error:
        raise SaveError(
            f"{path} could not be saved ({error}); make room or choose another folder. The old file is untouched"
        ) from error


def write_text_atomically(path: Path, text: str) -> None:
    """Write a text file as a whole; see `write_atomically`."""
    write_atomically(path, lambda temporary: _write_text(temporary, text))


def _write_text(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")

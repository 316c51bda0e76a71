"""Files that are wholly written or not at all."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pooch
import pytest
import torch
from safetensors.torch import save_file

from attention_core.files import CACHE_VARIABLE, SaveError, cache_folder, write_atomically, write_text_atomically


def test_what_can_be_made_again_is_kept_where_it_is_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path))
    assert cache_folder() == tmp_path
    monkeypatch.delenv(CACHE_VARIABLE)
    assert cache_folder() == Path(pooch.os_cache("attention-suite"))


def test_text_is_written_in_a_new_folder(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "down" / "note.txt"
    write_text_atomically(path, "σ = 0.1\n")
    assert path.read_bytes() == "σ = 0.1\n".encode()
    assert os.listdir(path.parent) == ["note.txt"]
    assert stat.S_IMODE(path.stat().st_mode) & 0o444 == 0o444


def test_old_file_is_there_until_the_new_one_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "note.txt"
    path.write_text("old")

    def write(temporary: Path) -> None:
        temporary.write_text("new")
        assert temporary.parent == path.parent
        assert path.read_text() == "old"

    write_atomically(path, write)
    assert path.read_text() == "new"
    assert os.listdir(tmp_path) == ["note.txt"]


@pytest.mark.parametrize("error", [OSError("the cable is out"), ZeroDivisionError("a fault"), KeyboardInterrupt()])
def test_failing_writer_leaves_the_old_file_and_nothing_else(tmp_path: Path, error: BaseException) -> None:
    path = tmp_path / "note.txt"
    path.write_text("old")

    def write(temporary: Path) -> None:
        temporary.write_text("half of the n")
        raise error

    with pytest.raises(type(error)):
        write_atomically(path, write)
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["note.txt"]


def test_faults_of_the_writer_are_not_taken_for_the_disks(tmp_path: Path) -> None:
    def write(temporary: Path) -> None:
        raise ZeroDivisionError(str(temporary))

    with pytest.raises(ZeroDivisionError):
        write_atomically(tmp_path / "note.txt", write)


def test_full_disk_is_a_save_error_that_names_the_file(
    tmp_path: Path, no_room_beyond: Callable[[int], AbstractContextManager[None]]
) -> None:
    path = tmp_path / "note.txt"
    path.write_text("old")
    with no_room_beyond(10_000), pytest.raises(SaveError, match=r"note\.txt could not be saved"):
        write_text_atomically(path, "n" * 20_000)
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["note.txt"]


def test_full_disk_met_by_a_library_is_a_save_error_too(
    tmp_path: Path, no_room_beyond: Callable[[int], AbstractContextManager[None]]
) -> None:
    path = tmp_path / "model.safetensors"
    save_file({"old": torch.ones(3)}, path)
    before = path.read_bytes()
    weights = {"new": torch.ones(100_000)}
    with no_room_beyond(10_000), pytest.raises(SaveError, match=r"model\.safetensors could not be saved"):
        write_atomically(path, lambda temporary: save_file(weights, temporary))
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["model.safetensors"]


def test_file_in_the_way_of_the_folder_is_a_save_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(SaveError, match=r"note\.txt could not be saved"):
        write_text_atomically(tmp_path / "file" / "note.txt", "text")
    assert (tmp_path / "file").read_text() == "not a folder"

"""Data files: taken from a folder or downloaded, never trusted unchecked, and what is said when something is wrong."""

from __future__ import annotations

import hashlib
import re
import shutil
from dataclasses import replace
from pathlib import Path

import pooch
import pytest

from attention_core import data_files
from attention_core.data_files import DATA_FILES, FOLDER_VARIABLE, DataError, DataFile, fetch, local_path, needed_files

CONTENT = bytes(range(256)) * 8
FILE = DataFile(
    "toys/blocks.bin",
    ("https://first.invalid/blocks.bin", "https://second.invalid/blocks.bin"),
    hashlib.sha256(CONTENT).hexdigest(),
    len(CONTENT),
    "none",
)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data folder that `ATTENTION_DATA` names, with one declared file in it."""
    monkeypatch.setitem(DATA_FILES, FILE.path, FILE)
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path))
    (tmp_path / "toys").mkdir()
    (tmp_path / FILE.path).write_bytes(CONTENT)
    return tmp_path


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's cache, empty, with no `ATTENTION_DATA`."""
    monkeypatch.setitem(DATA_FILES, FILE.path, FILE)
    monkeypatch.delenv(FOLDER_VARIABLE, raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(data_files.pooch, "os_cache", lambda project: tmp_path / project)
    return tmp_path / "attention-suite"


def test_file_in_the_named_folder_is_taken_from_there(folder: Path) -> None:
    assert fetch(FILE.path) == folder / "toys" / "blocks.bin"


def test_missing_file_says_where_to_put_it_and_downloads_nothing(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / FILE.path).unlink()
    monkeypatch.setattr(pooch, "retrieve", lambda *_, **__: pytest.fail("a download was tried"))
    with pytest.raises(DataError, match=rf"(?s)blocks\.bin is missing.*{FOLDER_VARIABLE}.*toys/blocks\.bin \(2,048 bytes\)"):
        fetch(FILE.path)


def test_missing_folder_is_a_missing_file(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(FOLDER_VARIABLE, str(folder / "nowhere"))
    with pytest.raises(DataError, match=r"nowhere/toys/blocks\.bin is missing"):
        fetch(FILE.path)


@pytest.mark.parametrize("length", [0, 1, len(CONTENT) - 1])
def test_truncated_file_is_refused_with_both_lengths(folder: Path, length: int) -> None:
    (folder / FILE.path).write_bytes(CONTENT[:length])
    with pytest.raises(DataError, match=rf"blocks\.bin has {length:,} bytes where 2,048 are right"):
        fetch(FILE.path)


def test_altered_file_is_refused_with_both_hashes(folder: Path) -> None:
    altered = bytearray(CONTENT)
    altered[1000] ^= 1
    (folder / FILE.path).write_bytes(altered)
    found = hashlib.sha256(altered).hexdigest()
    with pytest.raises(DataError, match=rf"blocks\.bin has sha256 {found} where {FILE.sha256} is right"):
        fetch(FILE.path)


def test_undeclared_file_is_a_key_error() -> None:
    with pytest.raises(KeyError, match="nonsense"):
        fetch("nonsense/file")


def test_failed_download_names_every_address_and_its_failure(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(url: str, **_: object) -> None:
        raise ConnectionError(f"no route to {url.split('/')[2]}")

    monkeypatch.setattr(pooch, "retrieve", refuse)
    with pytest.raises(DataError) as failure:
        fetch(FILE.path)
    for server in ("first.invalid", "second.invalid"):
        assert f"https://{server}/blocks.bin: no route to {server}" in str(failure.value)
    assert FOLDER_VARIABLE in str(failure.value)
    assert not (cache / FILE.path).exists()


def test_second_address_serves_when_the_first_does_not(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def serve(url: str, known_hash: str, fname: str, path: Path, progressbar: bool) -> str:
        asked.append(url)
        assert known_hash == f"sha256:{FILE.sha256}"
        if "first" in url:
            raise ConnectionError("down")
        path.mkdir(parents=True)
        (path / fname).write_bytes(CONTENT)
        return str(path / fname)

    monkeypatch.setattr(pooch, "retrieve", serve)
    assert fetch(FILE.path) == cache / FILE.path
    assert asked == list(FILE.urls)
    # The second time it is there, and nobody is asked.
    assert fetch(FILE.path) == cache / FILE.path
    assert asked == list(FILE.urls)


def test_damaged_cache_is_refused_with_advice(cache: Path) -> None:
    (cache / "toys").mkdir(parents=True)
    (cache / FILE.path).write_bytes(CONTENT[:-3])
    with pytest.raises(DataError, match="delete it and fetch it again"):
        fetch(FILE.path)


def test_empty_variable_counts_as_none(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(FOLDER_VARIABLE, "")
    assert local_path(FILE.path) == cache / FILE.path


@pytest.mark.parametrize("file", DATA_FILES.values(), ids=list(DATA_FILES))
def test_declarations_are_complete(file: DataFile) -> None:
    assert DATA_FILES[file.path] is file
    assert file.data_set == Path(file.path).parts[0]
    assert re.fullmatch(r"[0-9a-f]{64}|[0-9a-f]{8}", file.sha256)
    assert file.size is None or file.size > 0
    assert file.licence
    assert {*file.instead_of} <= {*DATA_FILES}
    assert all(url.endswith(Path(file.path).name) for url in file.urls)


@pytest.mark.parametrize("name", ["t10k-images-idx3-ubyte.gz", "t10k-labels-idx1-ubyte.gz"])
@pytest.mark.parametrize("data_set", ["mnist", "fashion_mnist"])
def test_real_files_are_those_declared(data_folder: Path, data_set: str, name: str) -> None:
    assert fetch(f"{data_set}/{name}") == data_folder / data_set / name


def test_real_file_cut_by_one_byte_is_refused(data_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name = "mnist/t10k-labels-idx1-ubyte.gz"
    (tmp_path / "mnist").mkdir()
    shutil.copyfile(data_folder / name, tmp_path / name)
    with open(tmp_path / name, "rb+") as stream:
        stream.truncate(4541)
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path))
    with pytest.raises(DataError, match="4,541 bytes where 4,542 are right"):
        fetch(name)


@pytest.mark.parametrize("stand_in", [file for file in DATA_FILES.values() if file.instead_of], ids=lambda file: file.path)
def test_a_file_brought_in_place_of_others_makes_them_needless(
    stand_in: DataFile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path))
    downloadable = {path for path, file in DATA_FILES.items() if file.urls}
    assert {file.path for file in needed_files()} == downloadable
    (tmp_path / stand_in.path).parent.mkdir()
    (tmp_path / stand_in.path).write_bytes(b"")
    assert {file.path for file in needed_files()} == downloadable - {*stand_in.instead_of} | {stand_in.path}


def test_a_file_that_is_only_ever_brought_is_listed_where_it_lies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = "flickr8k/captions.json.gz"
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path))
    (tmp_path / path).parent.mkdir()
    (tmp_path / path).write_bytes(b"")
    assert [file.path for file in needed_files() if file.data_set == "flickr8k"] == [path]


def test_a_file_without_address_says_where_to_put_it(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(DATA_FILES, FILE.path, replace(FILE, urls=()))
    (folder / FILE.path).unlink()
    with pytest.raises(DataError, match=r"put toys/blocks\.bin \(2,048 bytes\) there$"):
        fetch(FILE.path)


def test_a_file_without_address_is_not_looked_for(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(DATA_FILES, FILE.path, replace(FILE, urls=()))
    monkeypatch.setattr(pooch, "retrieve", lambda *_, **__: pytest.fail("a download was tried"))
    with pytest.raises(DataError, match=rf"no address to be downloaded from \(none\); set {FOLDER_VARIABLE}"):
        fetch(FILE.path)


def test_a_file_of_which_only_the_beginning_of_the_hash_is_known_is_checked_by_that(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    declared = replace(FILE, sha256=FILE.sha256[:8], size=None, urls=FILE.urls[:1])
    assert declared.length == "size unknown"
    monkeypatch.setitem(DATA_FILES, FILE.path, declared)
    served = [CONTENT[:-1], CONTENT]

    def serve(url: str, known_hash: str | None, fname: str, path: Path, progressbar: bool) -> None:
        assert known_hash is None
        path.mkdir(parents=True, exist_ok=True)
        (path / fname).write_bytes(served.pop(0))

    monkeypatch.setattr(pooch, "retrieve", serve)
    with pytest.raises(DataError, match=rf"where {FILE.sha256[:8]}… is right: it was altered; delete it and fetch it again"):
        fetch(FILE.path)
    (cache / FILE.path).unlink()
    assert fetch(FILE.path) == cache / FILE.path


@pytest.mark.parametrize(
    "path", [path for path, file in DATA_FILES.items() if file.data_set in ("encoders", "flickr8k") and not file.urls]
)
def test_files_brought_are_those_declared(data_folder: Path, path: str) -> None:
    assert fetch(path) == data_folder / path

"""`attention data …`: the data files."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Annotated

import tyro

from attention_core import data_files


@dataclass(frozen=True)
class ListArguments:
    """List the data files that the suite knows, their terms, and which of them are on this machine."""


def show(arguments: list[str], program: str) -> None:
    """`attention data list`."""
    tyro.cli(ListArguments, args=arguments, prog=program)
    for file in data_files.listed_files():
        here = "here" if data_files.local_path(file.path).is_file() else "missing" if file.urls else "by hand"
        print(f"{here:<7}  {file.path:<44} {file.length:>18}  {file.licence}")
    folder = data_files.local_path("")
    print(f"\nfolder: {folder}{'' if folder.is_dir() else ', which is not there'}")
    fetched = f"unset {data_files.FOLDER_VARIABLE}, and `attention data fetch` brings it to the user's cache"
    fetched = fetched if os.environ.get(data_files.FOLDER_VARIABLE) else "`attention data fetch` brings it"
    print(f"missing: {fetched}; by hand: there is no address to fetch it from, put it there yourself")


@dataclass(frozen=True)
class FetchArguments:
    """Download data sets, or check those that are there."""

    data_sets: Annotated[tuple[str, ...], tyro.conf.Positional] = ()
    """Names, such as mnist; all of them if none is given."""


def fetch(arguments: list[str], program: str) -> None:
    """`attention data fetch`."""
    asked = tyro.cli(FetchArguments, args=arguments, prog=program)
    known = sorted({file.data_set for file in data_files.DATA_FILES.values()})
    unknown = sorted(set(asked.data_sets) - set(known))
    if unknown:
        raise ValueError(f"unknown data set {', '.join(unknown)}: choose from {', '.join(known)}")
    for file in data_files.listed_files() if asked.data_sets else data_files.needed_files():
        if not asked.data_sets or file.data_set in asked.data_sets:
            print(f"{data_files.fetch(file.path)}  sha256 right")

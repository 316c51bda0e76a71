"""Sentences and their translations: Multi30k, with Tatoeba's added, files of one's own, and a made-up task.

| data | training | validation | test |
|---|---|---|---|
| multi30k | 29 000 | 1 014 | 1 000, test2016 (Elliott et al. 2016) |
| multi30k_tatoeba | the same, and Tatoeba's pairs | as multi30k | as multi30k |
| reverse | 20 000 rows of letters, to be written backwards | 500 | 500 |

Of Tatoeba those pairs are left out whose source or target is among Multi30k's validation or test sentences.
"""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from attention_core.data_files import fetch
from attention_core.splits import open_split
from transformer.config import TransformerConfig

SPLITS = {"train": "train", "validation": "val", "test": "test_2016_flickr"}
"""Our names of Multi30k's splits, and its own."""
TATOEBA = {"de": "tatoeba/eng-deu.2018-04-07.tsv.gz", "fr": "tatoeba/eng-fra.2017-09-29.tsv.gz"}
"""Pairs of English and another language."""
REVERSED = {"train": 20_000, "validation": 500, "test": 500}
LETTERS = "abcdefghijklmnopqrstuvwxyz"
SHORTEST, LONGEST = 5, 9
"""Letters of a row of the made-up task."""


class CorpusError(ValueError):
    """Files that are no sentences with their translations."""


class Corpus(NamedTuple):
    """As many sentences as translations.

    Attributes:
        sources: the sentences.
        targets: their translations, one of each.
    """

    sources: list[str]
    targets: list[str]


def load_corpus(config: TransformerConfig, split: str) -> Corpus:
    """Load the sentences that the settings name.

    Args:
        config: the settings.
        split: "train", "validation" or "test"; files of one's own have no test split.

    Raises:
        ValueError: if there is no such split.
        CorpusError: if files of one's own cannot be read or do not belong together, or there are none of the split.
        attention_core.data_files.DataError: if data files are missing or damaged.
        attention_core.splits.SplitError: if test data are asked for while something learns.
    """
    open_split(split)
    if config.data == "reverse":
        return _reversed(split)
    if config.data == "files":
        files = {"train": config.train_files, "validation": config.validation_files}.get(split)
        if files is None:
            raise CorpusError(f"data='files' has no {split} split: name the files to be scored")
        if not files:
            raise CorpusError("data='files' needs train_files and validation_files: each one file with tabs, or two files")
        return read_pairs([Path(file) for file in files])
    corpus = _multi30k(split, config.source, config.target)
    if config.data == "multi30k_tatoeba" and split == "train":
        added = _tatoeba(config.source, config.target)
        return Corpus(corpus.sources + added.sources, corpus.targets + added.targets)
    return corpus


def read_pairs(files: Sequence[Path]) -> Corpus:
    """Read sentences and translations: one file with a tab between them on each line, or two files with as many lines.

    Empty lines of the one file are passed over.

    Raises:
        CorpusError: if a file cannot be read or is not UTF-8, a line has no tab, the files have different numbers of lines, or
            there is no line.
    """
    corpus = _read_pairs(files)
    if not corpus.sources:
        raise CorpusError(f"{' and '.join(map(str, files))} must hold sentences, and there are none")
    return corpus


def _read_pairs(files: Sequence[Path]) -> Corpus:
    if len(files) == 2:
        sources, targets = (_lines(file) for file in files)
        if len(sources) != len(targets):
            raise CorpusError(f"{files[0]} has {len(sources)} lines and {files[1]} has {len(targets)}: they must have as many")
        return Corpus(sources, targets)
    if len(files) != 1:
        raise CorpusError(f"sentences are in one file with tabs or in two files, got {len(files)}")
    corpus = Corpus([], [])
    for number, line in enumerate(_lines(files[0]), 1):
        if not line:
            continue
        source, tab, rest = line.partition("\t")
        if not tab:
            raise CorpusError(f"line {number} of {files[0]} must be a sentence, a tab and its translation, got {line!r}")
        corpus.sources.append(source)
        corpus.targets.append(rest.split("\t")[0])
    return corpus


def decode_lines(text: bytes, name: str) -> list[str]:
    """Make lines of bytes; of none at all there are none.

    Raises:
        CorpusError: if they are not UTF-8, naming the first line that is not and, by `name`, where it stands.
    """
    if not text:
        return []
    try:
        # Not splitlines: a form feed or the like within a sentence ends no line.
        lines = text.decode("utf-8-sig").removesuffix("\n").split("\n")
    except UnicodeDecodeError as error:
        place = text[: error.start].count(b"\n") + 1
        raise CorpusError(f"line {place} of {name} is not UTF-8 text: {error.reason}") from error
    return [line.removesuffix("\r") for line in lines]


def _lines(file: Path) -> list[str]:
    try:
        text = gzip.decompress(file.read_bytes()) if file.suffix == ".gz" else file.read_bytes()
    except (OSError, EOFError, zlib.error) as error:  # the latter two of a damaged gzip file
        raise CorpusError(f"{file} cannot be read: {error}") from error
    return decode_lines(text, str(file))


def _multi30k(split: str, source: str, target: str) -> Corpus:
    return Corpus(*(_lines(fetch(f"multi30k/{SPLITS[split]}.{language}.gz")) for language in (source, target)))


def _tatoeba(source: str, target: str) -> Corpus:
    """Tatoeba's pairs without those that share a sentence with what Multi30k is validated and tested by."""
    other = target if source == "en" else source
    if {source, target} != {"en", other}:
        raise CorpusError(f"Tatoeba's pairs are of English and {' or '.join(TATOEBA)}, not of {source} and {target}")
    pairs = read_pairs([fetch(TATOEBA[other])])
    if source != "en":
        pairs = Corpus(pairs.targets, pairs.sources)
    # The test sentences too, though only to leave them out.
    held = {_plain(line) for split in ("validation", "test") for lines in _multi30k(split, source, target) for line in lines}
    kept = [pair for pair in zip(*pairs, strict=True) if not held & {_plain(side) for side in pair}]
    return Corpus([one for one, _ in kept], [other for _, other in kept])


def _plain(line: str) -> str:
    """A sentence without case and signs, by which it is known again."""
    return "".join(character for character in line.casefold() if character.isalnum())


def _reversed(split: str) -> Corpus:
    generator = np.random.default_rng([7, list(REVERSED).index(split)])
    sources = []
    for _ in range(REVERSED[split]):
        length = generator.integers(SHORTEST, LONGEST + 1)
        sources.append(" ".join(LETTERS[letter] for letter in generator.integers(len(LETTERS), size=length)))
    return Corpus(sources, [line[::-1] for line in sources])

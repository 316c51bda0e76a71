"""How well words are read: the benchmarks, with a lexicon and without, and folders of one's own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from rapidfuzz.distance import Levenshtein
from rich.console import Console
from rich.progress import track

from ocr.alphabet import spell
from ocr.config import By, OCRConfig, Turned
from ocr.crops import BENCHMARKS, Crops, load_benchmark, load_folder, load_svt_lexicons
from ocr.lexicon import likeliest, nearest
from ocr.loading import load
from ocr.reader import Reader
from ocr.reading import CHUNK, read_all

FULL = "full"
"""The lexicon of all words of a benchmark."""
SVT_50 = "svt_50"
"""SVT with its lexicons of 50 words."""


@dataclass(frozen=True)
class Scores:
    """How near read words come to the true ones.

    Attributes:
        accuracy: share of words that are right, case and signs not counting, in [0, 1].
        edit_similarity: 1 - edit distance over the length of the longer word, averaged over the words, in [0, 1].
    """

    accuracy: float
    edit_similarity: float


def score_words(words: Sequence[str], true: Sequence[str]) -> Scores:
    """Score words that were read.

    Raises:
        ValueError: if there are none, or not as many as true ones.
    """
    if len(words) != len(true) or not words:
        raise ValueError(f"as many words must be read as there are true ones, and one at least, got {len(words)} and {len(true)}")
    pairs = list(zip(words, true, strict=True))
    right = sum(word == wanted for word, wanted in pairs)
    similar = sum(Levenshtein.normalized_similarity(word, wanted) for word, wanted in pairs)
    return Scores(right / len(pairs), similar / len(pairs))


def read_crops(
    reader: Reader,
    crops: Crops,
    config: OCRConfig,
    device: torch.device,
    beams: int,
    lexicons: Sequence[Sequence[str]] | None = None,
    by: By = "likelihood",
    name: str = "crops",
) -> list[str]:
    """Read crops, each with a lexicon of its own if there are such.

    Args:
        reader: in evaluation mode.
        crops: to be read.
        config: the reader's settings.
        device: where to compute.
        beams: of the search without a lexicon.
        lexicons: one for each crop.
        by: how a lexicon's word is chosen.
        name: what the progress bar calls them.
    """
    if lexicons is not None and by == "likelihood":
        return likeliest(reader, crops.pictures, lexicons, device)
    chunks = read_all(reader, crops.pictures, config.words.longest, beams, device)
    shown = track(chunks, name, total=-(-len(crops) // CHUNK), console=Console(stderr=True), transient=True)
    words = [word for chunk in shown for word in chunk.words]
    if lexicons is None:
        return words
    return [nearest(word, lexicon) for word, lexicon in zip(words, lexicons, strict=True)]


def score_benchmarks(
    reader: Reader,
    config: OCRConfig,
    device: torch.device,
    beams: int,
    lexicon: Sequence[str] | str | None,
    by: By,
    turned: Turned = 0,
) -> dict[str, Scores]:
    """Score a reader on every benchmark, and on SVT with its lexicons of 50 words.

    Args:
        reader: in evaluation mode.
        config: its settings.
        device: where to compute.
        beams: of the search.
        lexicon: words that all crops are read with; `FULL` for those of the benchmark; None for none.
        by: how a lexicon's word is chosen.
        turned: degrees to the left by which crops are turned before.
    """
    scores = {}
    for name in BENCHMARKS:
        crops = load_benchmark(name, config.words.height, config.words.width, turned)
        words = sorted(set(crops.words)) if lexicon == FULL else lexicon
        lexicons = None if words is None else [words] * len(crops)
        scores[name] = score_words(read_crops(reader, crops, config, device, beams, lexicons, by, name), crops.words)
        if name == "svt":
            scores[SVT_50] = score_words(read_crops(reader, crops, config, device, beams, load_svt_lexicons(), by), crops.words)
    return scores


def read_lexicon(path: Path) -> list[str]:
    """Read a lexicon, a word on each line.

    Raises:
        ValueError: if it cannot be read, or no line holds a letter or digit.
    """
    try:
        words = [spell(line) for line in path.read_text(encoding="utf-8").splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is no readable text file: {error}") from error
    if not any(words):
        raise ValueError(f"{path} holds no word: a lexicon is a text file with a word on each line")
    return sorted({word for word in words if word})


def report(
    reference: str,
    device: torch.device,
    beams: int | None = None,
    labels: Path | None = None,
    lexicon: str | None = None,
    by: By = "likelihood",
    turned: Turned = 0,
) -> dict[str, Any]:
    """Score a saved reader.

    Args:
        reference: a zoo name, a run folder or a weights file.
        device: where to compute.
        beams: of the search; None for the settings' own.
        labels: crops of one's own to read in place of the benchmarks; see `ocr.crops.load_folder`.
        lexicon: a file of words to read with; "full" for the words that occur in the crops; None for none.
        by: how a lexicon's word is chosen.
        turned: degrees to the left by which crops are turned before: how does it do on words that do not run from left to right?

    Returns:
        "accuracy" and "edit_similarity" by benchmark, in [0, 1], and what they are of.

    Raises:
        attention_core.zoo.ModelError: if there is no such reader.
        ValueError: if labels or lexicon cannot be read.
    """
    reader, config, name = load(reference, device)
    beams = config.beams if beams is None else beams
    words = lexicon if lexicon in (None, FULL) else read_lexicon(Path(lexicon))
    about = {"beams": beams, "lexicon": lexicon or "none", "turned": turned, "split": "test"}
    if labels is None:
        scores = score_benchmarks(reader, config, device, beams, words, by, turned)
        counts = {benchmark: len(load_benchmark(benchmark, 2, 2)) for benchmark in BENCHMARKS}
        about |= {"examples": counts | ({SVT_50: counts["svt"]} if SVT_50 in scores else {})}
    else:
        crops = load_folder(labels, config.words.height, config.words.width, turned)
        own = sorted(set(crops.words)) if words == FULL else words
        lexicons = None if own is None else [own] * len(crops)
        scores = {labels.stem: score_words(read_crops(reader, crops, config, device, beams, lexicons, by), crops.words)}
        about |= {"examples": {labels.stem: len(crops)}, "split": "own"}
        about |= {"altered_labels": crops.altered, "left_out": crops.left_out}
        about |= {"too_long": [word for word in crops.words if len(word) > config.words.longest]}
    return {
        "model": name,
        "accuracy": {benchmark: score.accuracy for benchmark, score in scores.items()},
        "edit_similarity": {benchmark: score.edit_similarity for benchmark, score in scores.items()},
        **about,
    }

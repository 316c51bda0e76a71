"""Learning from translators: what they make of the sentences that are learned from is learned from besides.

A translator the same way gives other targets for the sources, one the other way other sources for the targets (Nguyen et al. 2020,
arXiv 1911.01986, data diversification). What one has made is kept among the translations in the folder that `ATTENTION_CACHE`
names, or in the user's cache.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

import pooch
import torch
from rich.console import Console
from rich.progress import track

from attention_core.config import to_dict
from attention_core.files import cache_folder, write_text_atomically
from attention_core.zoo import ModelError, find_model
from transformer.config import TransformerConfig
from transformer.corpora import Corpus
from transformer.loading import load
from transformer.translating import translate
from transformer.vocabulary import Vocabulary

FOLDER = "translations"
"""Within the cache."""


def taught(corpus: Corpus, teacher: str, config: TransformerConfig, device: torch.device) -> Corpus:
    """Let a translator translate one side of the sentences, searching as its own settings say.

    Args:
        corpus: what is learned from.
        teacher: a Transformer between the same languages, either way, as a zoo name or a run folder.
        config: the settings of the one that learns.
        device: where the teacher computes, if it has to.

    Returns:
        Its translations beside the sentences that they are of, without those of more tokens than it can read.

    Raises:
        ModelError: if there is no such Transformer, or it is of other languages.
        attention_core.files.SaveError: if the cache cannot be written to.
    """
    model, its, vocabulary, _ = load(teacher, device)
    if {its.source, its.target} != {config.source, config.target}:
        raise ModelError(
            f"teacher {teacher!r} translates from {its.source} into {its.target}: "
            f"needed is one between {config.source} and {config.target}, either way"
        )
    lines = corpus.sources if its.source == config.source else corpus.targets
    lines = [line for line, tokens in zip(lines, vocabulary.encode(lines), strict=True) if len(tokens) < model.longest]
    place = _place(teacher, its, vocabulary, lines)
    if not place.exists():
        found = translate(model, vocabulary, lines, its.beams, its.length_power, device)
        shown = track(found, f"{teacher} translates what is learned from", len(lines), console=Console(stderr=True))
        write_text_atomically(place, json.dumps(list(shown), ensure_ascii=False))
    translations = json.loads(place.read_text(encoding="utf-8"))
    return Corpus(lines, translations) if its.source == config.source else Corpus(translations, lines)


def _place(teacher: str, its: TransformerConfig, vocabulary: Vocabulary, lines: Sequence[str]) -> Path:
    """Say where its translations are kept: a name of all that they depend on."""
    made_from = [pooch.file_hash(str(find_model(teacher).weights)), vocabulary.merges, to_dict(its), lines]
    return cache_folder() / FOLDER / f"{hashlib.sha256(json.dumps(made_from).encode()).hexdigest()}.json"

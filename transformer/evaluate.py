"""How well a Transformer translates: sacreBLEU with its signature, and the tokenised lower-case figure beside it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.progress import track
from sacrebleu.metrics.bleu import BLEU, BLEUScore
from sacremoses import MosesPunctNormalizer, MosesTokenizer

from attention_core.training import ERROR_RATE
from transformer.corpora import Corpus, load_corpus, read_pairs
from transformer.loading import load
from transformer.model import Transformer
from transformer.translating import translate
from transformer.vocabulary import Vocabulary


def bleu(translations: Sequence[str], references: Sequence[str]) -> tuple[float, str]:
    """Score translations by sacreBLEU, with case, on its tokenisation 13a (Post 2018).

    Returns:
        BLEU in percent, and its signature.
    """
    metric = BLEU()
    score = metric.corpus_score(list(translations), [list(references)])
    return float(score.score), str(metric.get_signature())


def sentence_bleu(translations: Sequence[str], references: Sequence[str]) -> list[float]:
    """Score translations one by one: BLEU in [0, 1] on sacreBLEU's tokenisation 13a, with case.

    One sentence seldom has four words in a row in common with its reference, and BLEU would be 0: for sequences of two words and
    more, one is added to what they have in common and to how many there are (Lin and Och 2004, ORANGE). What that gives to short
    sentences is taken back: a reference counts as a word longer than it is (Nakov, Guzmán and Vogel 2012), so that one which is
    found as it is has less than 1.
    """
    metric = BLEU(smooth_method="add-k", smooth_value=1, effective_order=True)
    scores = (metric.sentence_score(one, [other]) for one, other in zip(translations, references, strict=True))
    return [_shifted(score) for score in scores]


def _shifted(score: BLEUScore) -> float:
    if not score.score:
        return 0.0
    return score.score / 100 / score.bp * min(1.0, math.exp(1 - (score.ref_len + 1) / score.sys_len))


def bleu_tokenized_lowercase(translations: Sequence[str], references: Sequence[str], language: str) -> float:
    """Score translations as papers on Multi30k do: lower case, Moses' punctuation and tokenisation, then BLEU on the tokens.

    Args:
        translations: as they are read by people.
        references: likewise.
        language: two letters, by which Moses knows abbreviations.

    Returns:
        BLEU in percent.
    """
    normalizer, tokenizer = MosesPunctNormalizer(language), MosesTokenizer(language)

    def prepare(lines: Sequence[str]) -> list[str]:
        return [tokenizer.tokenize(normalizer.normalize(line.lower()), return_str=True) for line in lines]

    return float(BLEU(tokenize="none", force=True).corpus_score(prepare(translations), [prepare(references)]).score)


def exact(translations: Sequence[str], references: Sequence[str]) -> float:
    """Give the share of translations that are their references."""
    return sum(one == other for one, other in zip(translations, references, strict=True)) / len(references)


def validate(model: Transformer, vocabulary: Vocabulary, corpus: Corpus, device: torch.device) -> dict[str, float]:
    """Translate sentences, taking the likeliest token every time: the share of wrong ones, and what is missing of 100 BLEU."""
    translations = list(translate(model, vocabulary, corpus.sources, 1, 0.0, device))
    lost = 100 - bleu(translations, corpus.targets)[0]
    return {ERROR_RATE: 1 - exact(translations, corpus.targets), "validation/lost_bleu": lost}


def report(
    reference: str,
    split: str,
    device: torch.device,
    beams: int | None = None,
    length_power: float | None = None,
    files: Sequence[Path] = (),
) -> dict[str, Any]:
    """Score a saved Transformer on every sentence of a split, or of files of one's own.

    Args:
        reference: a zoo name, a run folder or a weights file.
        split: "train", "validation" or "test".
        device: where to compute.
        beams: of the search; None for the settings' own.
        length_power: likewise.
        files: one file with tabs, or two.

    Returns:
        "bleu" with its "signature", "bleu_tokenized_lowercase", "exact" as a fraction, and what they are of.

    Raises:
        attention_core.zoo.ModelError: if there is no such Transformer.
        transformer.corpora.CorpusError: if files cannot be used, or there is no such split.
    """
    model, config, vocabulary, name = load(reference, device)
    beams = config.beams if beams is None else beams
    length_power = config.length_power if length_power is None else length_power
    corpus = read_pairs(files) if files else load_corpus(config, split)
    translated = translate(model, vocabulary, corpus.sources, beams, length_power, device)
    shown = track(translated, name, total=len(corpus.sources), console=Console(stderr=True), transient=True)
    translations = list(shown)
    score, signature = bleu(translations, corpus.targets)
    return {
        "model": name,
        "bleu": score,
        "signature": signature,
        "bleu_tokenized_lowercase": bleu_tokenized_lowercase(translations, corpus.targets, config.target),
        "exact": exact(translations, corpus.targets),
        "examples": len(translations),
        "split": "own" if files else split,
        "data": config.data,
        "languages": f"{config.source}-{config.target}",
        "beams": beams,
        "length_power": length_power,
    }

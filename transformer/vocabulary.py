"""Pieces of words, the tokens of both languages: byte-pair encoding by the `tokenizers` library, and BPE dropout.

Sennrich, Haddow, Birch 2016 (arXiv 1508.07909): the pair of neighbouring pieces that is most frequent becomes one piece, again and
again. The first pieces are bytes, so that every text can be written and none is lost. Provilkov et al. 2020 (arXiv 1910.13267): in
training some of the merges are left out at random, so that a word is cut in many ways.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.random import Generator
from rich.console import Console
from rich.progress import track
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

PAD, END = 0, 1
START = END
"""The end of a sentence also stands before its first token."""
SPECIAL = ("<pad>", "<end>")
WAYS = 16
"""In how many ways a word is cut where merges are left out."""


class VocabularyError(ValueError):
    """Merges that make no vocabulary, or a vocabulary that cannot be learned."""


class Vocabulary:
    """A vocabulary by its merges.

    Args:
        merges: the pairs of pieces that become one, in order, "left right" each.

    Raises:
        VocabularyError: if a merge is not of two pieces that are there by then.
    """

    def __init__(self, merges: Sequence[str]) -> None:
        pieces = [*SPECIAL, *sorted(pre_tokenizers.ByteLevel.alphabet())]
        known, pairs = set(pieces), []
        for place, merge in enumerate(merges):
            left, blank, right = merge.partition(" ")
            if not blank or left not in known or right not in known:
                raise VocabularyError(f"merge {place} must be of two pieces that are there by then, got {merge!r}")
            pairs.append((left, right))
            if left + right not in known:
                pieces.append(left + right)
                known.add(left + right)
        self.merges, self.pieces = tuple(merges), tuple(pieces)
        self._numbers = {piece: number for number, piece in enumerate(pieces)}
        self._tokenizer = _empty(models.BPE(vocab=self._numbers, merges=pairs))

    def __len__(self) -> int:
        """Return the number of pieces, the special ones included."""
        return len(self.pieces)

    def encode(self, lines: Sequence[str]) -> list[list[int]]:
        """Cut sentences into the numbers of pieces, without an end."""
        return [encoded.ids for encoded in self._tokenizer.encode_batch(list(lines))]

    def decode(self, numbers: Iterable[int]) -> str:
        """Put the pieces up to the first end together; the padding is left out."""
        kept = []
        for number in numbers:
            if number == END:
                break
            if number != PAD:
                kept.append(number)
        text: str = self._tokenizer.decode(kept)
        return text.strip()

    def cut(self, line: str) -> list[str]:
        """Cut a sentence into words, each with the blank before it, as bytes are written in pieces."""
        return [word for word, _ in self._tokenizer.pre_tokenizer.pre_tokenize_str(line)]

    def to_json(self) -> str:
        """Write it as the `tokenizers` library reads it, `Tokenizer.from_str`."""
        text: str = self._tokenizer.to_str()
        return text

    def drop(self, word: str, share: float, generator: Generator) -> list[int]:
        """Cut a word into pieces with each merge left out with some probability, every time it could be made."""
        pieces = list(word)
        while len(pieces) > 1:
            ranks = [self._ranks.get(pair, len(self._ranks)) for pair in pairwise(pieces)]
            allowed = generator.random(len(ranks)) >= share
            best = min((rank for rank, may in zip(ranks, allowed, strict=True) if may), default=len(self._ranks))
            if best == len(self._ranks):
                break
            place = next(place for place, (rank, may) in enumerate(zip(ranks, allowed, strict=True)) if rank == best and may)
            pieces[place : place + 2] = [pieces[place] + pieces[place + 1]]
        return [self._numbers[piece] for piece in pieces]

    @cached_property
    def _ranks(self) -> dict[tuple[str, str], int]:
        pairs = (merge.partition(" ") for merge in self.merges)
        return {(left, right): rank for rank, (left, _, right) in enumerate(pairs)}


class PieceDropout:
    """Sentences cut anew every time, from `WAYS` ways to cut each of their words that are drawn beforehand.

    Args:
        vocabulary: the pieces.
        lines: the sentences.
        share: of the merges that are left out.
        seed: of the ways.
    """

    def __init__(self, vocabulary: Vocabulary, lines: Sequence[str], share: float, seed: int) -> None:
        generator = np.random.default_rng(seed)
        self._ways: list[list[list[int]]] = []
        numbers: dict[str, int] = {}
        self._lines: list[list[int]] = []
        for line in track(lines, "ways to cut words", console=Console(stderr=True)):
            words = vocabulary.cut(line)
            for word in words:
                if word not in numbers:
                    numbers[word] = len(numbers)
                    self._ways.append([vocabulary.drop(word, share, generator) for _ in range(WAYS)])
            self._lines.append([numbers[word] for word in words])

    def encode(self, generator: Generator) -> list[list[int]]:
        """Cut all sentences anew."""
        chosen = iter(generator.integers(WAYS, size=sum(map(len, self._lines))).tolist())
        return [[piece for word in words for piece in self._ways[word][next(chosen)]] for words in self._lines]


def learn_vocabulary(lines: Iterable[str], pieces: int) -> Vocabulary:
    """Learn the merges of sentences, those of both languages together.

    Args:
        lines: the sentences.
        pieces: V, with the bytes and the special ones; fewer if the sentences do not hold as many.

    Raises:
        VocabularyError: if there is no room for more than the bytes.
    """
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    if pieces < len(alphabet) + len(SPECIAL):
        raise VocabularyError(
            f"a vocabulary must have at least {len(alphabet) + len(SPECIAL)} pieces, those of bytes, got {pieces}"
        )
    tokenizer = _empty(models.BPE())
    trainer = trainers.BpeTrainer(
        vocab_size=pieces, special_tokens=list(SPECIAL), initial_alphabet=alphabet, show_progress=False, min_frequency=2
    )
    tokenizer.train_from_iterator(lines, trainer)
    return Vocabulary(_merges(tokenizer))


def _empty(model: Any) -> Any:
    tokenizer = Tokenizer(model)
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


def _merges(tokenizer: Any) -> list[str]:
    merges = json.loads(tokenizer.to_str())["model"]["merges"]
    return [" ".join(merge) for merge in merges]

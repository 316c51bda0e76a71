"""Learning to translate from true translations, token by token."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import chain
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from accelerate import Accelerator
from numpy.random import Generator
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from attention_core.training import ERROR_RATE, Learner
from attention_core.zoo import find_model
from transformer.batches import Pair, TokenBatches, pad
from transformer.config import TransformerConfig
from transformer.corpora import Corpus, CorpusError, load_corpus
from transformer.evaluate import validate
from transformer.loading import new_transformer
from transformer.model import Transformer
from transformer.teachers import taught
from transformer.translating import encode_short
from transformer.vocabulary import END, PAD, START, PieceDropout, Vocabulary, learn_vocabulary

CHUNK = 128
"""Tokens whose scores are made at once in training."""


class TranslationLearner(Learner):
    """A Transformer and its sentences, as the training loop wants them."""

    def __init__(self, config: TransformerConfig, accelerator: Accelerator) -> None:
        """Load the sentences and learn the vocabulary; make the network, and the order of the sentences.

        Raises:
            transformer.corpora.CorpusError: if no pair of sentences is short enough, or one to validate with is too long.
            ModelError: if a teacher is no Transformer between the same languages.
        """
        self.config, self.accelerator, self.device = config, accelerator, accelerator.device
        for teacher in config.teachers:
            find_model(teacher)  # before vocabulary and sentences are made, which takes a minute
        self.chooses = ERROR_RATE if config.data == "reverse" else "validation/lost_bleu"
        corpus = load_corpus(config, "train")
        self.validation = load_corpus(config, "validation")
        # Of Multi30k's sentences alone even where others are added: those are what is translated in the end.
        words = load_corpus(replace(config, data="multi30k"), "train") if config.data == "multi30k_tatoeba" else corpus
        self.vocabulary = learn_vocabulary([*words.sources, *words.targets], config.vocabulary)
        try:
            encode_short(self.vocabulary, self.validation.sources, config.longest)
        except ValueError as error:
            raise CorpusError(f"of those to validate with, {error}") from error
        lessons = [taught(corpus, teacher, config, self.device) for teacher in config.teachers]
        corpus = Corpus(*map(list, map(chain.from_iterable, zip(corpus, *lessons, strict=True))))
        self.pairs, corpus = _short_enough(corpus, self.vocabulary, config)
        self.cuts = [
            PieceDropout(self.vocabulary, lines, config.piece_dropout, config.seed) for lines in corpus if config.piece_dropout
        ]
        self.batches = TokenBatches(self.cut, config.tokens, config.seed)
        self.module: nn.Module = new_transformer(config, self.vocabulary).to(self.device)
        self.examples_per_update = round(config.tokens / np.mean([max(map(len, pair)) + 1 for pair in self.pairs]))

    def loss(self, module: nn.Module) -> tuple[Tensor, dict[str, Tensor]]:
        """Read the next batch of sentences with their translations."""
        source, target, weight = self.next_batch()
        if self.config.agreement:  # the same sentences again, with other units left out
            source, target = source.repeat(2, 1), target.repeat(2, 1)
        score = self.released(self.accelerator.unwrap_model(module)).score
        found = losses(score, module(source, target[:, :-1]), target[:, 1:], self.config)
        parts = {name: weight * part for name, part in found.items()}
        padding = ((source == PAD).sum() + (target == PAD).sum()) / (source.numel() + target.numel())
        metrics = {**{f"losses/{name}": part for name, part in parts.items()}, "charts/padding": padding}
        # R-Drop's L_NLL + α L_KL (equation 4), halved: its L_NLL is the sum over both readings, of which this is the mean.
        return parts["tokens"] + 0.5 * self.config.agreement * parts.get("disagreement", 0.0), metrics

    def cut(self, generator: Generator) -> list[Pair]:
        """Give the sentences for an epoch, cut anew if the settings ask for it."""
        return list(zip(*(cut.encode(generator) for cut in self.cuts), strict=True)) if self.cuts else self.pairs

    def next_batch(self) -> tuple[Tensor, Tensor, float]:
        """Give this process's part of the next batch: sources, (B, S), and targets with their start and end, (B, T + 1).

        Returns:
            Both, and the weight of this process's own mean: the mean over processes is then that over the whole batch.
        """
        batch, processes = self.batches.take(), self.accelerator.num_processes
        mine = batch[self.accelerator.process_index :: processes]
        weight = processes * sum(map(self.weigh, mine)) / sum(map(self.weigh, batch))
        longest, mine = self.config.longest - 1, mine or batch[:1]
        source = pad([[*sentence[:longest], END] for sentence, _ in mine])
        target = pad([[START, *sentence[:longest], END] for _, sentence in mine])
        return source.to(self.device), target.to(self.device), weight

    def weigh(self, pair: Pair) -> int:
        """Tell how much of the loss's mean a pair of sentences is: its target's tokens, the end among them."""
        return min(len(pair[1]), self.config.longest - 1) + 1

    def released(self, module: nn.Module) -> Transformer:
        """The module itself."""
        assert isinstance(module, Transformer)
        return module

    def validate(self, module: nn.Module) -> dict[str, float]:
        """Translate every validation sentence, taking the likeliest token every time."""
        return validate(self.released(module).eval(), self.vocabulary, self.validation, self.device)

    def state_dict(self) -> dict[str, Any]:
        """Take down the place in the sentences."""
        return {"batches": self.batches.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take it up again."""
        self.batches.load_state_dict(state["batches"])


def losses(score: Callable[[Tensor], Tensor], told: Tensor, wanted: Tensor, config: TransformerConfig) -> dict[str, Tensor]:
    """Compute the parts of the loss, of `CHUNK` tokens at a time.

    The scores of a batch would be the largest numbers by far: V for each token. They are made, and for the gradient made anew, of
    so few tokens that they stay in a processor's cache and take no memory.

    Args:
        score: makes scores, (…, V), of what the decoder tells, (…, d).
        told: (B, T, d), what it tells of each place.
        wanted: (B, T), the true tokens, padded.
        config: the settings.

    Returns:
        "tokens": -log p of a token in nats, with smoothed labels, averaged over the tokens.
        "disagreement": if the settings ask for it, ½ (KL(p ‖ q) + KL(q ‖ p)) of both readings of a token, in nats, likewise; the
            second half of the rows is the first one read again (Liang et al. 2021, arXiv 2106.14448, R-Drop).
    """
    readings = 2 if config.agreement else 1
    there = wanted != PAD
    told, wanted = told[there].view(readings, -1, told.shape[-1]), wanted[there].view(readings, -1)
    sums: dict[str, Tensor] = {}
    for part in zip(torch.split(told, CHUNK, 1), torch.split(wanted, CHUNK, 1), strict=True):
        found = checkpoint(_summed_losses, score, *part, config.label_smoothing, use_reentrant=False, preserve_rng_state=False)
        sums = {name: sums.get(name, 0.0) + value for name, value in found.items()}
    return {name: value / wanted.numel() for name, value in sums.items()}


def _summed_losses(score: Callable[[Tensor], Tensor], told: Tensor, wanted: Tensor, smoothing: float) -> dict[str, Tensor]:
    """Sum the parts of the loss over what is told of tokens, (readings, count, d), and the true ones, (readings, count)."""
    scores = score(told)
    parts = {"tokens": F.cross_entropy(scores.flatten(0, 1), wanted.flatten(), label_smoothing=smoothing, reduction="sum")}
    if len(scores) == 2:
        one, other = scores.log_softmax(-1)
        parts["disagreement"] = ((one.exp() - other.exp()) * (one - other)).sum()  # half of it for each reading
    return parts


def token_logs(score: Callable[[Tensor], Tensor], told: Tensor, wanted: Tensor) -> Tensor:
    """Compute log p of tokens, (N,), of what the decoder tells of each, (N, d), of `CHUNK` at a time as in `losses`: (N,)."""
    parts = zip(torch.split(told, CHUNK), torch.split(wanted, CHUNK), strict=True)
    return torch.cat([checkpoint(_logs, score, *part, use_reentrant=False, preserve_rng_state=False) for part in parts])


def _logs(score: Callable[[Tensor], Tensor], told: Tensor, wanted: Tensor) -> Tensor:
    return -F.cross_entropy(score(told), wanted, reduction="none")


def _short_enough(corpus: Corpus, vocabulary: Vocabulary, config: TransformerConfig) -> tuple[list[Pair], Corpus]:
    """Take the pairs of which both sides have a word and places enough, as tokens and as they are.

    Raises:
        CorpusError: if there is none.
    """
    coded = list(zip(vocabulary.encode(corpus.sources), vocabulary.encode(corpus.targets), strict=True))
    kept = [row for row, pair in enumerate(coded) if all(0 < len(side) < config.longest for side in pair)]
    if not kept:
        raise CorpusError(f"no pair of sentences has 1 to {config.longest - 1} tokens on both sides")
    return [coded[row] for row in kept], Corpus(*([lines[row] for row in kept] for lines in corpus))

"""Translating with a trained Transformer: beam search with what is known of the tokens before, and without."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from attention_core.beam_search import Sequences, beam_search, greedy_search, select_rows
from attention_core.policy_gradient import draw_categorical
from transformer.batches import pad
from transformer.model import Memory, Transformer
from transformer.vocabulary import END, PAD, START, Vocabulary

CHUNK = 64
"""Sentences that are translated at once."""
TWICE, MORE = 2, 10
"""A translation has at most so many times its source's tokens, and so many more."""


class Prefix(NamedTuple):
    """What is known of sentences without a cache: their tokens, (B, t)."""

    tokens: Tensor


class Task(NamedTuple):
    """What is to be translated, the same at every step.

    Attributes:
        memory: of P sources.
        limits: (P,), the number of the token at which a translation ends at the latest.
    """

    memory: Memory
    limits: Tensor


def length_penalty(power: float) -> Any:
    """((5 + length) / 6)^power, by which log-probabilities are divided (Wu et al. 2016, arXiv 1609.08144, equation 14)."""
    return lambda length: ((5 + length) / 6) ** power


@torch.no_grad()
def search(
    model: Transformer, source: Tensor, longest: int | Tensor, beams: int, length_power: float, cached: bool = True
) -> Sequences:
    """Translate sources, (B, S).

    Args:
        model: in evaluation mode.
        source: tokens, padded at the end.
        longest: tokens of a translation at most, the end included: of all, a translation that has not ended by then being cut off,
            or of each, (B,), where the end is written then, so that what becomes of a source does not depend on the others.
        beams: of the search; 1 takes the likeliest token every time.
        length_power: see `length_penalty`.
        cached: whether keys and values of the tokens before are kept; without, all are computed anew for every token.
    """

    def step(tokens: Tensor, state: Any, task: Task) -> tuple[Tensor, Any]:
        scores, state = model.advance(tokens, state, task.memory)
        return _end_where_it_may(scores, state.place, task.limits), state

    def step_anew(tokens: Tensor, state: Prefix, task: Task) -> tuple[Tensor, Prefix]:
        written, memory = torch.cat((state.tokens, tokens[:, None]), 1), task.memory
        about = torch.arange(len(memory.mask), device=tokens.device).repeat_interleave(len(tokens) // len(memory.mask))
        scores = model.score(model.decode(written, select_rows(memory, about))[:, -1])
        return _end_where_it_may(scores, torch.full_like(tokens, written.shape[1]), task.limits), Prefix(written)

    count, device = len(source), source.device
    limits = longest if isinstance(longest, Tensor) else torch.full((count,), longest + 1, device=device)
    most = int(longest.max()) if isinstance(longest, Tensor) else longest
    task = Task(model.encode(source), limits)
    state: Any = model.begin(count) if cached else Prefix(torch.empty(count, 0, dtype=torch.long, device=device))
    way = step if cached else step_anew
    if beams == 1:
        return greedy_search(way, state, task, count, START, END, most, forbidden=(PAD,), device=device)
    return beam_search(way, state, task, count, START, END, most, beams, length_penalty(length_power), (PAD,), device)


@torch.no_grad()
def draw(model: Transformer, source: Tensor, longest: Tensor, samples: int, temperature: float, chance: torch.Generator) -> Tensor:
    """Translate sources, (P, S), by chance: every token is drawn by its scores over a temperature, whatever it is but padding.

    Args:
        model: in evaluation mode.
        source: tokens, padded at the end.
        longest: (P,), tokens of a translation at most, the end included; one that has not ended by then is cut off.
        samples: N, translations of each source.
        temperature: below 1 the likeliest tokens are drawn more often.
        chance: what is drawn from, on the device of the sources.

    Returns:
        (P · N, T), padded, those of a source next to each other.
    """
    count, device = len(source) * samples, source.device
    memory, state = model.encode(source), model.begin(count)
    newest, writing = torch.full((count,), START, device=device), torch.ones(count, dtype=torch.bool, device=device)
    written = []
    while writing.any():
        scores, state = model.advance(newest, state, memory)
        newest = draw_categorical(tempered(scores, temperature), torch.rand(count, generator=chance, device=device))
        written.append(torch.where(writing, newest, PAD))
        writing = writing & (newest != END) & (state.place < longest.repeat_interleave(samples))
    return torch.stack(written, 1)


def tempered(scores: Tensor, temperature: float) -> Tensor:
    """Make the scores that tokens are drawn by, of a model's scores, (…, V): over a temperature, and padding never."""
    return (scores / temperature).index_fill(-1, torch.tensor([PAD], device=scores.device), -torch.inf)


def most_tokens(source: Tensor, longest: int) -> Tensor:
    """Tell how many tokens translations of sources, (P, S), have at most, their ends included, with places for `longest`: (P,)."""
    return (TWICE * (source != PAD).sum(1) + MORE).clamp(max=longest)


def _end_where_it_may(scores: Tensor, places: Tensor, limits: Tensor) -> Tensor:
    """Let the next token, of scores (B, V), be the end where it is the last one, and not where it is the first.

    To a beam search a translation of nothing at all, with what smoothed labels leave it, is likelier than many a long one.

    Args:
        scores: of the next token.
        places: (B,), its number.
        limits: of the sources, the number of the last one.
    """
    last = places >= limits.repeat_interleave(len(places) // len(limits))
    end = scores[:, END].masked_fill((places == 1) & ~last, -torch.inf)
    if last.any():
        scores = scores.masked_fill(last[:, None], -torch.inf)
    scores[:, END] = end
    return scores


def encode_short(vocabulary: Vocabulary, lines: Sequence[str], longest: int) -> list[list[int]]:
    """Cut sentences into tokens that, with their end, have places enough.

    Raises:
        ValueError: naming the first sentence that has not.
    """
    tokens = vocabulary.encode(lines)
    for number, (line, numbers) in enumerate(zip(lines, tokens, strict=True), 1):
        if len(numbers) + 1 > longest:
            raise ValueError(
                f"sentence {number} has {len(numbers) + 1} tokens and the model {longest} places: split it, {line[:60]!r}"
            )
    return tokens


def translate(
    model: Transformer,
    vocabulary: Vocabulary,
    lines: Sequence[str],
    beams: int,
    length_power: float,
    device: torch.device,
) -> Iterator[str]:
    """Translate sentences, in order; an empty one is empty in translation.

    Args:
        model: in evaluation mode.
        vocabulary: its own.
        lines: sentences.
        beams: of the search.
        length_power: see `length_penalty`.
        device: where to compute.

    Raises:
        ValueError: if a sentence has more tokens than the model has places, before any is translated.
    """
    tokens = encode_short(vocabulary, lines, model.longest)
    for first in range(0, len(lines), CHUNK):
        yield from _translate_chunk(model, vocabulary, tokens[first : first + CHUNK], beams, length_power, device)


def _translate_chunk(
    model: Transformer,
    vocabulary: Vocabulary,
    tokens: Sequence[Sequence[int]],
    beams: int,
    length_power: float,
    device: torch.device,
) -> list[str]:
    full = [row for row, numbers in enumerate(tokens) if numbers]
    translations = [""] * len(tokens)
    if full:
        source = pad([[*tokens[row], END] for row in full]).to(device)
        found = search(model, source, most_tokens(source, model.longest), beams, length_power)
        for row, numbers in zip(full, found.tokens.tolist(), strict=True):
            translations[row] = vocabulary.decode(numbers)
    return translations

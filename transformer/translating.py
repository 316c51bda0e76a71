"""Translating with a trained Transformer: beam search with what is known of the tokens before, and without."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from attention_core.beam_search import Sequences, beam_search, greedy_search
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
        copies = torch.arange(len(memory.mask), device=tokens.device).repeat_interleave(len(tokens) // len(memory.mask))
        each = Memory(tuple(type(layer)(*(part[copies] for part in layer)) for layer in memory.layers), memory.mask[copies])
        scores = model.score(model.decode(written, each)[:, -1])
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
        longest = (TWICE * (source != PAD).sum(1) + MORE).clamp(max=model.longest)
        found = search(model, source, longest, beams, length_power)
        for row, numbers in zip(full, found.tokens.tolist(), strict=True):
            translations[row] = vocabulary.decode(numbers)
    return translations

"""Finding a likely sequence, token by token, for a whole batch at once: by beam search, or greedily.

Whatever writes sequences (sentences, words, translations) is asked for one step at a time, by a function of the newest tokens
and of a state that belongs to them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor

Step = Callable[[Tensor, Any, Any], tuple[Tensor, Any]]
"""Of tokens, (rows,), the state after the tokens before, and the context, to the scores of the next tokens, (rows, V), any logits,
and the state after these. The context is what stays the same from token to token, such as a picture or a sentence to be translated.
Both are tensors with rows first, or tuples of such. The context has a row for each sequence that is looked for, tokens and state
have one for each beginning of it, next to each other: so the context is read once for all of them."""


class Sequences(NamedTuple):
    """What was found.

    Attributes:
        tokens: (B, T), without the start; after the end of a sequence the end again.
        lengths: (B,), tokens up to and with the end; T where it never came.
        scores: (B,), log-probabilities; of beam search over the length penalty, which is what it chooses by.
    """

    tokens: Tensor
    lengths: Tensor
    scores: Tensor


def change_each(state: Any, change: Callable[[Tensor], Tensor]) -> Any:
    """Change each tensor of a state, whatever tuples they lie in."""
    if isinstance(state, Tensor):
        return change(state)
    parts = [change_each(part, change) for part in state]
    return type(state)(*parts) if hasattr(state, "_fields") else tuple(parts)


def select_rows(state: Any, rows: Tensor) -> Any:
    """Take rows of a state, in any order and any number of times."""
    return change_each(state, lambda part: part.index_select(0, rows))


def _logs(scores: Tensor, forbidden: tuple[int, ...]) -> Tensor:
    """Make log-probabilities of scores, (rows, V), tokens that are never chosen having no probability."""
    scores = scores.float()
    if forbidden:
        scores = scores.index_fill(1, torch.tensor(forbidden, device=scores.device), -torch.inf)
    return scores.log_softmax(-1)


@torch.no_grad()
def beam_search(
    step: Step,
    state: Any,
    context: Any,
    count: int,
    start: int,
    end: int,
    longest: int,
    beams: int = 5,
    penalty: Callable[[int], float] = float,
    forbidden: tuple[int, ...] = (),
    device: torch.device | None = None,
) -> Sequences:
    """Find, for each row of a batch, the sequence with the highest log-probability over its length penalty.

    The `beams` likeliest unfinished beginnings are kept at every step. One that ends leaves them for the finished ones, of which
    `beams` are kept as well. A row is done when no beginning can overtake those any more: its log-probability can only fall, and
    the penalty of the longest sequence is the greatest there is. Rows that are done leave the batch. What a row finds does not
    depend on the others.

    Args:
        step: what writes; see `Step`. It is given one row for each of the batch at first, and
            then `beams`, next to each other, for each that is still written.
        state: before the first token, with B rows.
        context: of B rows as well.
        count: B.
        start: the token before the first.
        end: the token that ends a sequence.
        longest: T, tokens at most, the end included; a sequence that has not ended by then counts as it is.
        beams: how many beginnings to keep.
        penalty: of a length, by which the log-probability is divided; grows with it. `float` gives the mean for each token,
            `lambda length: 1.0` the plain sum.
        forbidden: tokens that are never chosen.
        device: where to compute.

    Returns:
        The best sequence of each row.

    Raises:
        ValueError: if there is no beam or no token to search.
    """
    if beams < 1 or longest < 1:
        raise ValueError(f"beam search wants at least one beam and one token, got beams={beams}, longest={longest}")
    search = _Search(count, beams, start, end, longest, device)
    for length in range(1, longest + 1):
        scores, state = step(search.newest(), state, context)
        logs = _logs(scores, forbidden)
        if length == 1:  # until now all beams of a row are alike, and the step was given one of them
            every = torch.arange(count, device=device).repeat_interleave(beams)
            logs, state = logs[every], select_rows(state, every)
        rows = search.extend(logs.view(-1, beams, logs.shape[-1]), length, penalty(length))
        done = search.done(penalty(longest))
        many = int(done.sum())
        if many == len(done) or length == longest:
            break
        if 4 * many >= len(done):
            stay = search.leave(done)
            rows, context = rows.view(-1, beams)[stay].flatten(), select_rows(context, stay)
        state = select_rows(state, rows)
    search.end_all(penalty(length))
    return search.found


class _Search:
    """The beginnings that are still written at, and the finished sequences, of n rows with K beams each; at first n = B.

    Attributes:
        found: the best sequence of each of the B rows, once that is known.
    """

    def __init__(self, count: int, beams: int, start: int, end: int, longest: int, device: torch.device | None) -> None:
        self.beams, self.end, self.length = beams, end, 0
        self.index = torch.arange(count, device=device)  # (n,), which of the B rows they are
        self.tokens = torch.full((count, beams, longest + 1), end, device=device)  # the start first
        self.tokens[:, :, 0] = start
        # All beams begin alike: only the first of them counts, or they would all be the same for ever.
        self.logs = torch.full((count, beams), -torch.inf, device=device)
        self.logs[:, 0] = 0.0
        self.finished = torch.full((count, beams, longest + 1), end, device=device)
        self.finished_scores = torch.full((count, beams), -torch.inf, device=device)
        self.finished_lengths = torch.zeros((count, beams), dtype=torch.long, device=device)
        self.found = Sequences(
            self.finished[:, 0, 1:].clone(), self.finished_lengths[:, 0].clone(), self.finished_scores[:, 0].clone()
        )

    def newest(self) -> Tensor:
        """The newest token of every beam, (n · K,), or of the first beams alone, (n,), where there is no more than the start."""
        return self.tokens[:, :, self.length].flatten() if self.length else self.tokens[:, 0, 0]

    def extend(self, logs: Tensor, length: int, penalty: float) -> Tensor:
        """Go on with the likeliest tokens; tell which of the n · K rows each beam comes from.

        Args:
            logs: (n, K, V), log-probabilities of the next token.
            length: tokens that every sequence now has.
            penalty: of that length.
        """
        vocabulary = logs.shape[-1]
        ended = self.logs + logs[:, :, self.end]  # (n, K)
        self._finish(ended / penalty, length)
        going = self.logs[:, :, None] + logs
        going[:, :, self.end] = -torch.inf
        self.logs, chosen = going.flatten(1).topk(self.beams, dim=1)  # (n, K)
        beam = chosen // vocabulary
        self.tokens = self.tokens.gather(1, beam[:, :, None].expand_as(self.tokens))
        self.tokens[:, :, length] = chosen % vocabulary
        self.length = length
        return (torch.arange(len(beam), device=beam.device)[:, None] * self.beams + beam).flatten()

    def _finish(self, scores: Tensor, length: int) -> None:
        """Take in the sequences as they are, with their scores, (n, K); keep the best K of the finished ones."""
        candidates = torch.cat((self.finished_scores, scores), 1)
        self.finished_scores, kept = candidates.topk(self.beams, dim=1)
        both = torch.cat((self.finished, self.tokens), 1)
        self.finished = both.gather(1, kept[:, :, None].expand_as(self.finished))
        lengths = torch.cat((self.finished_lengths, torch.full_like(self.finished_lengths, length)), 1)
        self.finished_lengths = lengths.gather(1, kept)

    def done(self, greatest_penalty: float) -> Tensor:
        """Tell in which rows, (n,), the best that a beginning can still come to is no better than the best finished one."""
        return self.logs[:, 0] / greatest_penalty <= self.finished_scores[:, 0]

    def leave(self, done: Tensor) -> Tensor:
        """Let rows leave, (n,) bool, their best sequence being found; tell the numbers of those that stay."""
        self._note(done)
        stay = (~done).nonzero()[:, 0]
        for name in ("index", "tokens", "logs", "finished", "finished_scores", "finished_lengths"):
            setattr(self, name, getattr(self, name)[stay])
        return stay

    def end_all(self, penalty: float) -> None:
        """Let the rest leave; beginnings that never ended compete as they are."""
        self._finish(self.logs / penalty, self.length)
        self._note(torch.ones_like(self.index, dtype=torch.bool))

    def _note(self, rows: Tensor) -> None:
        best = (self.finished[rows, 0, 1:], self.finished_lengths[rows, 0], self.finished_scores[rows, 0])
        for whole, part in zip(self.found, best, strict=True):
            whole[self.index[rows]] = part


@torch.no_grad()
def greedy_search(
    step: Step,
    state: Any,
    context: Any,
    count: int,
    start: int,
    end: int,
    longest: int,
    forbidden: tuple[int, ...] = (),
    device: torch.device | None = None,
) -> Sequences:
    """Write each row's sequence token by token, the likeliest one every time.

    Args and returns are those of `beam_search`; the scores are plain log-probabilities.
    """
    newest = torch.full((count,), start, device=device)
    tokens = torch.full((count, longest), end, device=device)
    writing = torch.ones(count, dtype=torch.bool, device=device)
    lengths, scores = torch.zeros(count, dtype=torch.long, device=device), torch.zeros(count, device=device)
    for place in range(longest):
        told, state = step(newest, state, context)
        logs = _logs(told, forbidden)
        newest = torch.where(writing, logs.argmax(-1), end)
        tokens[:, place] = newest
        scores += torch.where(writing, logs.gather(1, newest[:, None])[:, 0], 0.0)
        lengths += writing
        writing = writing & (newest != end)
        if not writing.any():
            break
    return Sequences(tokens, lengths, scores)

"""Writing captions with a trained captioner, and telling where it looked for each word."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from attention_core.beam_search import Sequences, beam_search, sample_sequences
from attention_env.captions import END, PAD, START, UNKNOWN, CaptionSource
from captioning.decoder import Captioner, Scene, State

CHUNK = 50
"""Pictures that are written about at once."""


class Written(NamedTuple):
    """Captions of B pictures.

    Attributes:
        captions: the numbers of each one's words, without the end.
        weights: (T, B, L), α_t of soft attention, which is also what hard attention's place was chosen by.
        places: (T, B), the annotation looked at; of soft attention the one of greatest weight.
    """

    captions: list[list[int]]
    weights: Tensor
    places: Tensor


def write(
    captioner: Captioner,
    annotations: Tensor,
    longest: int,
    beams: int = 1,
    length_power: float = 0.0,
    generator: torch.Generator | None = None,
) -> Sequences:
    """Write a caption of each picture, free-running: every word follows those that it has written itself.

    Hard attention looks where it most likely looks.

    Args:
        captioner: in evaluation mode.
        annotations: (B, L, D).
        longest: words at most, the end included.
        beams: of the search; 1 for the likeliest word every time.
        length_power: the search compares log-probabilities over length to this power.
        generator: of the words that are drawn by chance instead.

    Raises:
        ValueError: if words are to be drawn and searched for at once.
    """
    if generator is not None and beams > 1:
        raise ValueError(f"words are drawn by chance or searched for with {beams} beams, not both")

    def step(words: Tensor, state: State, scene: Scene) -> tuple[Tensor, State]:
        looked = captioner.look(scene, state)
        state, told = captioner.advance(words, looked.context, state)
        return captioner.score(told), state

    scene = captioner.see(annotations)
    count, device, never = len(annotations), annotations.device, (PAD, START, UNKNOWN)
    begun = captioner.begin(scene)
    if beams == 1:
        return sample_sequences(step, begun, scene, count, START, END, longest, generator, never, device)
    return beam_search(step, begun, scene, count, START, END, longest, beams, lambda length: length**length_power, never, device)


@torch.no_grad()
def write_about(captioner: Captioner, annotations: Tensor, longest: int, beams: int, length_power: float) -> Written:
    """Write a caption of each picture, (B, L, D), and tell where was looked for its words; see `write`."""
    found = write(captioner, annotations, longest, beams, length_power)
    scene = captioner.see(annotations)
    state = captioner.begin(scene)
    weights, places = [], []
    # Read again what was written: the search has looked at many beginnings that came to nothing.
    for words in F.pad(found.tokens, (1, -1), value=START).T:
        looked = captioner.look(scene, state)
        state, _ = captioner.advance(words, looked.context, state)
        weights.append(looked.weights)
        places.append(looked.place)
    rows = zip(found.tokens.tolist(), found.lengths.tolist(), strict=True)
    captions = [[word for word in row[:length] if word != END] for row, length in rows]
    return Written(captions, torch.stack(weights), torch.stack(places))


def write_all(
    captioner: Captioner, source: CaptionSource, beams: int, length_power: float, device: torch.device
) -> Iterator[Written]:
    """Write captions of all pictures of a source, chunk by chunk, in order; see `write`."""
    for chunk in torch.split(torch.arange(len(source)), CHUNK):
        yield write_about(captioner, source.shown(chunk, device), source.longest, beams, length_power)

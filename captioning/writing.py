"""Writing captions with a trained captioner, and telling where it looked for each word.

What its looks are worth is told by `Wanderer`, the same decoder whose looks go anywhere.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from attention_core.beam_search import Sequences, beam_search, greedy_search
from attention_core.policy_gradient import gumbel_noise
from attention_env.captions import END, PAD, START, UNKNOWN, CaptionSource
from captioning.attention import Looked, hard
from captioning.config import Places
from captioning.decoder import Captioner, Scene, State

CHUNK = 50
"""Pictures that are written about at once."""
SEED = 0
"""Of places drawn at random."""
NEVER = (PAD, START, UNKNOWN)
"""What is never written."""


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


class Wandering(NamedTuple):
    """The state of a `Wanderer`.

    Attributes:
        state: that of its captioner.
        noise: (B, looks to come, L), Gumbel noise of the places.
    """

    state: State
    noise: Tensor


class Wanderer:
    """A captioner in all but where it looks: at one place for each word, as hard attention does, drawn uniformly.

    What it looks at is drawn beforehand for each picture, so all beams of a search look at the same, and it cannot choose among
    places by what comes of them.

    Args:
        captioner: in evaluation mode; its attention, soft or hard, is not asked.
        noise: (B, T, L), standard Gumbel noise, for T looks at each of the B pictures that will be written about.
    """

    def __init__(self, captioner: Captioner, noise: Tensor) -> None:
        self.captioner = captioner
        self.noise = noise
        self.see, self.score = captioner.see, captioner.score

    def begin(self, scene: Scene) -> Wandering:
        """See `Captioner.begin`."""
        return Wandering(self.captioner.begin(scene), self.noise)

    def look(self, scene: Scene, state: Wandering) -> Looked:
        """Look somewhere, all places being alike."""
        noise = state.noise[:, 0]
        return hard(scene.annotations, torch.zeros_like(noise), noise)

    def advance(self, words: Tensor, context: Tensor, state: Wandering) -> tuple[Wandering, Tensor]:
        """See `Captioner.advance`."""
        after, told = self.captioner.advance(words, context, state.state)
        return Wandering(after, state.noise[:, 1:]), told


def write(
    captioner: Captioner | Wanderer,
    annotations: Tensor,
    longest: int,
    beams: int = 1,
    length_power: float = 0.0,
) -> Sequences:
    """Write a caption of each picture, free-running: every word follows those that it has written itself.

    Hard attention looks where it most likely looks.

    Args:
        captioner: in evaluation mode.
        annotations: (B, L, D).
        longest: words at most, the end included.
        beams: of the search; 1 for the likeliest word every time.
        length_power: the search compares log-probabilities over length to this power.
    """

    def step(words: Tensor, state: Any, scene: Scene) -> tuple[Tensor, Any]:
        looked = captioner.look(scene, state)
        state, told = captioner.advance(words, looked.context, state)
        return captioner.score(told), state

    scene = captioner.see(annotations)
    count, device = len(annotations), annotations.device
    begun = captioner.begin(scene)
    if beams == 1:
        return greedy_search(step, begun, scene, count, START, END, longest, NEVER, device)
    return beam_search(step, begun, scene, count, START, END, longest, beams, lambda length: length**length_power, NEVER, device)


@torch.no_grad()
def write_about(captioner: Captioner | Wanderer, annotations: Tensor, longest: int, beams: int, length_power: float) -> Written:
    """Write a caption of each picture, (B, L, D), and tell where was looked for its words; see `write`."""
    found = write(captioner, annotations, longest, beams, length_power)
    scene = captioner.see(annotations)
    state: Any = captioner.begin(scene)
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
    captioner: Captioner,
    source: CaptionSource,
    beams: int,
    length_power: float,
    device: torch.device,
    places: Places = "attended",
) -> Iterator[Written]:
    """Write captions of all pictures of a source, chunk by chunk, in order; see `write`.

    Random places are those of a `Wanderer`, the same every time.
    """
    chance = torch.Generator().manual_seed(SEED)  # on the CPU, since streams differ between devices
    for chunk in torch.split(torch.arange(len(source)), CHUNK):
        writer: Captioner | Wanderer = captioner
        if places == "random":
            noise = gumbel_noise((len(chunk), source.longest, source.shape[0]), chance, torch.device("cpu"))
            writer = Wanderer(captioner, noise.to(device))
        yield write_about(writer, source.shown(chunk, device), source.longest, beams, length_power)

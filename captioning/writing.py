"""Writing captions with a trained captioner, and telling where it looked for each word.

What its looks are worth is told by `Wanderer`, the same decoder whose looks go anywhere.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from attention_core.beam_search import Sequences, beam_search, change_each, greedy_search
from attention_core.policy_gradient import gumbel_noise
from attention_env.captions import END, PAD, START, UNKNOWN, CaptionSource
from captioning.attention import Glances, glance
from captioning.config import Places, Search
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
        places: (T, B), the annotation of greatest weight: the one that hard attention looks at, or tries first.
        origins: (T, B), of those that it tries the one that the word most likely came of, from which it goes on; where there is one
            look, the place.
    """

    captions: list[list[int]]
    weights: Tensor
    places: Tensor
    origins: Tensor


class Tried(NamedTuple):
    """What comes of each of the K places that are tried before a word, in B beginnings of captions; of a single one if K = 1.

    Attributes:
        state: that of the writer after it has looked there, whose tensors are (B, K, …).
        scores: (B, K, V), log p(place, word), given that it is one of the K; of a single place the words' scores, unnormalised,
            which saves two passes over them.
        places: (B, K), the likeliest first.
        log_weights: (B, L), log α_t.
    """

    state: Any
    scores: Tensor
    places: Tensor
    log_weights: Tensor

    def word_scores(self) -> Tensor:
        """Score the words, whatever place they come of: log Σ_s p(s) p(word | s), (B, V), unnormalised if K = 1."""
        return self.scores[:, 0] if self.scores.shape[1] == 1 else self.scores.logsumexp(1)


class Wandering(NamedTuple):
    """The state of a `Wanderer`.

    Attributes:
        state: that of its captioner.
        noise: (B, looks to come, L), Gumbel noise of the places.
    """

    state: State
    noise: Tensor


class Wanderer:
    """A captioner in all but where it looks: at as many places for each word as hard attention does, drawn uniformly.

    What it looks at is drawn beforehand for each picture, so all beams of a search look at the same. Of one place for each word
    there is nothing to choose by what comes of it; of several it goes on from the one that the word came of, as the captioner does.

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

    def glance(self, scene: Scene, state: Wandering, tries: int) -> Glances:
        """Look somewhere, all places being alike."""
        noise = state.noise[:, 0]
        return glance(scene.annotations, torch.zeros_like(noise), noise, tries)

    def advance(self, words: Tensor, context: Tensor, state: Wandering) -> tuple[Wandering, Tensor]:
        """See `Captioner.advance`."""
        after, told = self.captioner.advance(words, context, state.state)
        return Wandering(after, state.noise[:, 1:][:, None].expand(-1, context.shape[1], -1, -1)), told


def try_places(captioner: Captioner | Wanderer, scene: Scene, state: Any, words: Tensor, tries: int) -> Tried:
    """Look at several places, and take in the word before, (B,), with what is at each of them."""
    glances = captioner.glance(scene, state, tries)
    after, told = captioner.advance(words, glances.contexts, state)
    scores = captioner.score(told)
    if glances.places.shape[1] > 1:
        scores = scores.log_softmax(-1) + glances.log_shares[:, :, None]
    return Tried(after, scores, glances.places, glances.log_weights)


def settle(tried: Tried, words: Tensor) -> tuple[Any, Tensor]:
    """Tell which place the words that were chosen, (B,), most likely came of: the state after a look there, and the place, (B,)."""
    if tried.places.shape[1] == 1:
        return change_each(tried.state, lambda part: part[:, 0]), tried.places[:, 0]
    rows = torch.arange(len(words), device=words.device)
    best = tried.scores[rows, :, words].argmax(1)
    return change_each(tried.state, lambda part: part[rows, best]), tried.places[rows, best]


@torch.no_grad()
def write(captioner: Captioner | Wanderer, annotations: Tensor, longest: int, search: Search) -> Sequences:
    """Write a caption of each picture, free-running: every word follows those that it has written itself.

    Hard attention looks where it most likely looks. With several tries it does so at each of the K likeliest places s, a word has
    the probability Σ_s p(s) p(word | s), and it goes on as if it had looked only where the word that was chosen came of, at the
    likeliest s given the word. With all places that is the sum of Xu et al. 2015, equation 10, for each word; of K the p(s) are
    given that s is one of them.

    Args:
        captioner: in evaluation mode.
        annotations: (B, L, D).
        longest: words at most, the end included.
        search: how.
    """

    def step(words: Tensor, before: Any, scene: Scene) -> tuple[Tensor, Any]:
        state = settle(before, words)[0] if isinstance(before, Tried) else before
        tried = try_places(captioner, scene, state, words, search.tries)
        if tried.places.shape[1] == 1:  # there will be nothing to choose among: the search need not carry the scores along
            return tried.word_scores(), tried._replace(scores=tried.scores[:, :, :0])
        return tried.word_scores(), tried

    scene = captioner.see(annotations)
    count, device = len(annotations), annotations.device
    begun = captioner.begin(scene)
    if search.beams == 1:
        return greedy_search(step, begun, scene, count, START, END, longest, NEVER, device)
    return beam_search(
        step, begun, scene, count, START, END, longest, search.beams, lambda length: length**search.length_power, NEVER, device
    )


@torch.no_grad()
def write_about(captioner: Captioner | Wanderer, annotations: Tensor, longest: int, search: Search) -> Written:
    """Write a caption of each picture, (B, L, D), and tell where was looked for its words; see `write`."""
    found = write(captioner, annotations, longest, search)
    scene = captioner.see(annotations)
    state: Any = captioner.begin(scene)
    weights, places, origins = [], [], []
    # Read again what was written: the search has looked at many beginnings that came to nothing.
    for before, word in zip(F.pad(found.tokens, (1, -1), value=START).T, found.tokens.T, strict=True):
        tried = try_places(captioner, scene, state, before, search.tries)
        state, origin = settle(tried, word)
        weights.append(tried.log_weights.exp())
        places.append(tried.places[:, 0])
        origins.append(origin)
    rows = zip(found.tokens.tolist(), found.lengths.tolist(), strict=True)
    captions = [[word for word in row[:length] if word != END] for row, length in rows]
    return Written(captions, *map(torch.stack, (weights, places, origins)))


def write_all(
    captioner: Captioner,
    source: CaptionSource,
    search: Search,
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
        yield write_about(writer, source.shown(chunk, device), source.longest, search)

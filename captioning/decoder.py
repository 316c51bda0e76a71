"""The captioner: a recurrent network that looks at a picture before every word it writes.

Xu et al. 2015 (arXiv 1502.03044), section 3.1:

    look           α_t = softmax f_att(a, h_{t-1}),  ẑ_t = β_t φ(a, α_t),  β_t = σ(f_β(h_{t-1})), a number
    core           h_t, c_t = LSTM([E y_{t-1}, ẑ_t], h_{t-1}, c_{t-1})
    first states   h_0 and c_0 by two networks of the mean annotation
    deep output    p(y_t) ∝ exp(L_o (E y_{t-1} + L_h h_t + L_z ẑ_t))

As in the authors' code a tanh stands before L_o, hard attention is gated as well, and units are dropped out at random in training.
The a here are not what the encoder gives but a layer of rectified linear units of it, which the paper does not have: the encoder is
not trained, and this layer learns what captions need of its many numbers.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from attention_core.attention import Attention
from attention_core.lstm import LSTMCell
from attention_env.captions import PAD
from captioning.attention import Glances, Looked, glance, hard, soft
from captioning.config import CaptionConfig
from captioning.encoders import Encoder


class Scene(NamedTuple):
    """What is there to be looked at, the same at every step.

    Attributes:
        annotations: (B, L, units), a.
        keys: (B, L, attention units), what f_att sees of them.
    """

    annotations: Tensor
    keys: Tensor

    def rows(self, rows: slice | Tensor) -> Scene:
        """Take some pictures, in any order."""
        return Scene(self.annotations[rows], self.keys[rows])


class State(NamedTuple):
    """h_t and c_t, (B, hidden) each."""

    hidden: Tensor
    cell: Tensor


class Read(NamedTuple):
    """What the captioner makes of B captions that it reads, with N words in all.

    Attributes:
        scores: (N, V), of the words, unnormalised log-probabilities.
        words: (N,), the true ones.
        seen: (B, L), Σ_t α_t over the words of a caption.
        entropy: (), mean entropy of α_t in nats.
    """

    scores: Tensor
    words: Tensor
    seen: Tensor
    entropy: Tensor


class Captioner(nn.Module):
    """The network and nothing else.

    Args:
        shape: (L, D) of the annotations that the encoder gives; L is not fixed by it.
        words: V, those of the vocabulary.
        config: its settings.
        encoder: one of its own, that learns with it; by default it is shown what a fixed encoder gives.
    """

    def __init__(self, shape: tuple[int, int], words: int, config: CaptionConfig, encoder: Encoder | None = None) -> None:
        super().__init__()
        self.encoder = encoder
        units, hidden, embedding = config.annotation_units, config.hidden, config.embedding
        self.attends, self.apart = config.attention, config.attention == "hard" and config.apart
        self.annotation = nn.Linear(shape[1], units)
        self.embedding = nn.Embedding(words, embedding)
        self.attention = Attention(units, hidden, config.attention_units)
        self.gate = nn.Linear(hidden, 1)  # f_β
        self.first_hidden = nn.Linear(units, hidden)
        self.first_cell = nn.Linear(units, hidden)
        self.core = LSTMCell(embedding + units, hidden)
        self.hidden_output = nn.Linear(hidden, embedding)  # L_h
        self.context_output = nn.Linear(units, embedding, bias=False)  # L_z
        self.output = nn.Linear(embedding, words)  # L_o
        self.annotation_dropout = nn.Dropout(config.dropout if config.annotation_dropout is None else config.annotation_dropout)
        self.dropout = nn.Dropout(config.dropout)
        nn.init.uniform_(self.embedding.weight, -0.1, 0.1)

    def see(self, shown: Tensor) -> Scene:
        """Prepare pictures for being looked at.

        Args:
            shown: (B, L, D), annotations; or of a captioner with an encoder of its own the pictures, (B, 3, H, W) in 0 … 255.
        """
        annotations = shown if self.encoder is None else self.encoder.annotate(shown)
        seen = self.annotation_dropout(torch.relu(self.annotation(annotations)))
        return Scene(seen, self.attention.keys(seen.detach() if self.apart else seen))

    def begin(self, scene: Scene) -> State:
        """h_0 and c_0 of pictures."""
        mean = scene.annotations.mean(1)
        return State(torch.tanh(self.first_hidden(mean)).float(), torch.tanh(self.first_cell(mean)).float())

    def look(self, scene: Scene, state: State, gumbel: Tensor | None = None, everywhere: Tensor | None = None) -> Looked:
        """Choose where to look, with h_{t-1}; see `captioning.attention.hard` for the last two, which soft attention ignores."""
        scores = self._place_scores(scene, state)
        if self.attends == "soft":
            return soft(scene.annotations, scores)
        return hard(scene.annotations, scores, gumbel, everywhere)

    def _place_scores(self, scene: Scene, state: State) -> Tensor:
        scores: Tensor = self.attention(scene.keys, state.hidden.detach() if self.apart else state.hidden)
        return scores

    def glance(self, scene: Scene, state: State, tries: int) -> Glances:
        """Look, with h_{t-1}, at the likeliest places, `tries` of them; with soft attention everywhere at once, a single look."""
        if self.attends == "hard":
            scores = self._place_scores(scene, state)
            return glance(scene.annotations, scores, scores, tries)
        looked = self.look(scene, state)
        return Glances(looked.context[:, None], torch.zeros_like(looked.weights[:, :1]), looked.place[:, None], looked.log_weights)

    def advance(self, words: Tensor, context: Tensor, state: State) -> tuple[State, Tensor]:
        """Take in the word before, and what was looked at.

        Args:
            words: (B,).
            context: ẑ_t before its gate, (B, units); or (B, K, units), of K looks that are tried one by one.
            state: with h_{t-1} and c_{t-1}, (B, hidden) each.

        Returns:
            The next state, and what the words' scores are made of, (B, embedding), see `score`; after K looks (B, K, …) each.
        """
        embedded, gate = self.dropout(self.embedding(words)), torch.sigmoid(self.gate(state.hidden))
        if context.dim() == 3:
            embedded, gate = embedded[:, None], gate[:, None]
        context = gate * context
        hidden, cell = self.core((embedded, context), state)
        told = embedded + self.hidden_output(self.dropout(hidden)) + self.context_output(context)
        return State(hidden, cell), torch.tanh(told)

    def score(self, told: Tensor) -> Tensor:
        """L_o: scores of all words as the next one, unnormalised log-probabilities, (…, embedding) to (…, V)."""
        scores: Tensor = self.output(self.dropout(told))
        return scores.float()

    def forward(self, shown: Tensor, captions: Tensor) -> Read:
        """Read captions word by word, the word before being the true one whatever would have been written.

        Args:
            shown: (P, …), of P pictures; see `see`.
            captions: (P, R, T + 1), R captions of each, the start first, the end last, padded.

        Returns:
            Of B = P · R captions, those of a picture next to each other.
        """
        copies, captions = captions.shape[1], captions.flatten(0, 1)
        scene = self.see(shown)
        state = self.begin(scene)
        # The longest first: as captions end, ever fewer rows are left.
        lengths = (captions != PAD).sum(1) - 1
        order = lengths.argsort(descending=True, stable=True)
        picture = order // copies
        scene, state, captions = scene.rows(picture), State(*(part[picture] for part in state)), captions[order]
        going = (lengths[order] > torch.arange(int(lengths.max()), device=lengths.device)[:, None]).sum(1).tolist()
        told, words, seen = [], [], torch.zeros(scene.annotations.shape[:2], device=captions.device)
        entropy = torch.zeros((), device=captions.device)
        for step, rows in enumerate(going):
            scene, state = scene.rows(slice(rows)), State(state.hidden[:rows], state.cell[:rows])
            looked = self.look(scene, state)
            state, output = self.advance(captions[:rows, step], looked.context, state)
            told.append(output)
            words.append(captions[:rows, step + 1])
            seen = torch.cat((seen[:rows] + looked.weights, seen[rows:]))
            entropy = entropy - (looked.weights * looked.log_weights).sum()
        return Read(self.score(torch.cat(told)), torch.cat(words), seen, entropy / sum(going))

"""The network that reads a word: a recursive convolutional network, and a recurrent one that writes character by character.

Lee and Osindero 2016 (arXiv 1603.03101), section 3.2, in its four forms. With y the characters, E their embedding and I what two
fully connected layers make of the whole feature map:

    1c          h_0 from I,   h_t = RNN(E y_{t-1}, h_{t-1})
    1u          h_t = RNN([E y_{t-1}, I], h_{t-1})
    2u          the same with a second recurrent layer above it
    attention   α_t = softmax f_att(a, h_{t-1}) over the places of the feature map, h_t = RNN([E y_{t-1}, Σ_i α_ti a_i], h_{t-1})

and p(y_t) from h_t, with attention from h_t and what was looked at. The recurrent layers are long short-term memories. The
annotations a are the columns of channels at each place of the map, with a learned vector for each place added, by which two same
letters in a row can be told apart: whether the paper has such is not known here.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from attention_core.attention import Attention, weigh
from attention_core.lstm import LSTMCell
from ocr.alphabet import CHARACTERS, PAD
from ocr.config import OCRConfig
from ocr.recursive_cnn import RecursiveCNN


class Seen(NamedTuple):
    """What the reader sees of P crops, the same at every step.

    Attributes:
        annotations: (P, L, D), a; of the forms without attention I, as one place.
        keys: (P, L, units), what f_att sees of them; of the forms without attention (P, 1, 0).
    """

    annotations: Tensor
    keys: Tensor

    def rows(self, rows: Tensor | slice) -> Seen:
        """Take some crops, in any order."""
        return Seen(self.annotations[rows], self.keys[rows])


class State(NamedTuple):
    """h and c of the first recurrent layer and of the second, (B, units) each; without a second its are (B, 0)."""

    hidden: Tensor
    cell: Tensor
    upper_hidden: Tensor
    upper_cell: Tensor


class Read(NamedTuple):
    """What the reader makes of P words that it is told, with N characters in all, the ends included.

    Attributes:
        scores: (N, C), of the characters, unnormalised log-probabilities.
        characters: (N,), the true ones.
        word: (N,), which of the P words each is of.
    """

    scores: Tensor
    characters: Tensor
    word: Tensor


class Reader(nn.Module):
    """The network and nothing else.

    Args:
        config: its settings.
    """

    def __init__(self, config: OCRConfig) -> None:
        super().__init__()
        self.form, self.units = config.form, config.units
        self.convolution = RecursiveCNN(config.convolution)
        lines, columns = self.convolution.map_size(config.words.height, config.words.width)
        channels = config.convolution.channels[-1]
        self.places = lines, columns
        if self.form == "attention":
            self.place = nn.Parameter(torch.zeros(lines * columns, channels))
            self.attention = Attention(channels, config.units, config.attention_units)
            shown = channels
        else:
            shown = config.fully_connected
            self.whole = nn.Sequential(
                nn.Flatten(),
                nn.Linear(channels * lines * columns, shown),
                nn.ReLU(),
                nn.Dropout(config.dropout),
                nn.Linear(shown, shown),
                nn.ReLU(),
                nn.Dropout(config.dropout),
            )
        self.first_hidden = nn.Linear(shown, config.units)
        self.first_cell = nn.Linear(shown, config.units)
        self.embedding = nn.Embedding(CHARACTERS, config.embedding)
        self.core = LSTMCell(config.embedding + (0 if self.form == "1c" else shown), config.units)
        self.upper = LSTMCell(config.units, config.units) if self.form == "2u" else None
        self.output = nn.Linear(config.units + (shown if self.form == "attention" else 0), CHARACTERS)
        self.dropout = nn.Dropout(config.dropout)

    def see(self, crops: Tensor) -> Seen:
        """Look at crops, (P, 1, H, W) in [-1, 1]."""
        features = self.convolution(crops)
        if self.form == "attention":
            annotations = features.flatten(2).transpose(1, 2) + self.place
            return Seen(annotations, self.attention.keys(annotations))
        whole = self.whole(features)[:, None]
        return Seen(whole, whole[:, :, :0])

    def begin(self, seen: Seen) -> State:
        """h_0 and c_0, from the mean annotation."""
        mean = seen.annotations.mean(1)
        hidden, cell = torch.tanh(self.first_hidden(mean)).float(), torch.tanh(self.first_cell(mean)).float()
        upper = torch.zeros_like(hidden) if self.upper is not None else hidden[:, :0]
        return State(hidden, cell, upper, upper)

    def look(self, seen: Seen, state: State) -> tuple[Tensor, Tensor]:
        """See what there is to see before a character: (B, D), and α_t, (B, L)."""
        if self.form != "attention":
            whole = seen.annotations[:, 0].repeat_interleave(len(state.hidden) // len(seen.annotations), 0)
            return whole, torch.ones_like(whole[:, :1])
        weights = self.attention(seen.keys, state.hidden).softmax(-1)
        return weigh(seen.annotations, weights), weights

    def advance(self, characters: Tensor, context: Tensor, state: State) -> tuple[Tensor, State]:
        """Take in the character before, (B,), and what was looked at, (B, D): the next one's scores, (B, C), and the state."""
        inputs = (self.embedding(characters),) if self.form == "1c" else (self.embedding(characters), context)
        hidden, cell = self.core(inputs, (state.hidden, state.cell))
        upper = (state.upper_hidden, state.upper_cell)
        if self.upper is not None:
            upper = self.upper((hidden,), upper)
        told = hidden if self.upper is None else upper[0]
        if self.form == "attention":
            told = torch.cat((told, context), 1)
        scores: Tensor = self.output(self.dropout(told))
        return scores.float(), State(hidden, cell, *upper)

    def forward(self, crops: Tensor, words: Tensor) -> Read:
        """Be told words character by character, the one before being the true one whatever would have been read.

        Args:
            crops: (P, 1, H, W) in [-1, 1].
            words: (P, T + 1), the start first, the end last, then padding.
        """
        return self.told(self.see(crops), words, torch.arange(len(words), device=words.device))

    def told(self, seen: Seen, words: Tensor, crop: Tensor) -> Read:
        """Be told words, (B, T + 1), of the crops of these numbers, (B,); see `forward`."""
        # The longest first: as words end, ever fewer rows are left.
        lengths = (words != PAD).sum(1) - 1
        order = lengths.argsort(descending=True, stable=True)
        seen, words = seen.rows(crop[order]), words[order]
        state = self.begin(seen)
        going = (lengths[order] > torch.arange(int(lengths.max()), device=lengths.device)[:, None]).sum(1).tolist()
        scores, characters, word = [], [], []
        for step, rows in enumerate(going):
            seen, state = seen.rows(slice(rows)), State(*(part[:rows] for part in state))
            context, _ = self.look(seen, state)
            told, state = self.advance(words[:rows, step], context, state)
            scores.append(told)
            characters.append(words[:rows, step + 1])
            word.append(order[:rows])
        return Read(torch.cat(scores), torch.cat(characters), torch.cat(word))

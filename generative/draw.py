"""DRAW: a recurrent network that looks at a picture again and again, and draws it step by step.

Gregor, Danihelka, Graves, Rezende, Wierstra 2015 (arXiv 1502.04623), sections 2 and 3.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn

from attention_core.lstm import LSTMCell
from generative.config import DRAWConfig
from generative.filterbank import NUMBERS, Window, check_window, even_numbers, make_window, read_missing, write
from generative.latent import Inference, LatentModel, draw_latents


class Heads(NamedTuple):
    """What is read off the decoder's state h^dec.

    Attributes:
        read: (B, 5), numbers of the next window to read through; (B, 0) without attention.
        write: (B, 5), numbers of the window to write through; likewise.
        patch: (B, C, M, M), what to write; without attention (B, C, H, W).
    """

    read: Tensor
    write: Tensor
    patch: Tensor


class State(NamedTuple):
    """Where DRAW is after a step.

    Attributes:
        encoder: h^enc and its cell, (B, units) each.
        decoder: h^dec and its cell, likewise.
        canvas: (B, C, H, W), c_t.
        heads: what is read off h^dec.
    """

    encoder: tuple[Tensor, Tensor]
    decoder: tuple[Tensor, Tensor]
    canvas: Tensor
    heads: Heads


class Look(NamedTuple):
    """What a step did, for those who watch.

    Attributes:
        canvas: (B, C, H, W), c_t.
        read: the window that was read through; None without attention, and where nothing is read.
        write: the window that was written through; None without attention.
    """

    canvas: Tensor
    read: Window | None
    write: Window | None


class DRAW(LatentModel):
    """The whole network; h_0 of both recurrent networks, their cells and the canvas c_0 are learned.

    Args:
        shape: of a picture, (C, H, W).
        config: its settings.
        classes: number of classes that pictures are made by; 0 for none.

    Raises:
        ValueError: if a window does not fit the pictures.
    """

    def __init__(self, shape: tuple[int, int, int], config: DRAWConfig, classes: int = 0) -> None:
        super().__init__(shape, config.steps, config.latents, config.output, classes)
        channels, self.height, self.width = shape
        self.attention = config.attention
        self.read_size, self.write_size = config.read_size, config.write_size
        seen, written = self.pixels, self.pixels
        if self.attention:
            for size in (self.read_size, self.write_size):
                check_window(size, self.height, self.width)
            seen, written = 2 * channels * self.read_size**2, channels * self.write_size**2
        windows = [NUMBERS, NUMBERS] if self.attention else [0, 0]
        self.head_sizes = [*windows, written]
        units = config.hidden
        # Without attention x is a part of every r_t, x̂ the other: what it adds to the encoder's gates is found but once.
        self.picture = None if self.attention else nn.Linear(self.pixels, 4 * units, bias=False)
        self.encoder = LSTMCell(seen + units + classes, units)
        self.posterior = nn.Linear(units, 2 * config.latents)  # μ_t and log σ_t (equations 1 and 2)
        self.decoder = LSTMCell(config.latents + classes, units)
        self.heads = nn.Linear(units, sum(self.head_sizes))
        if self.attention:
            with torch.no_grad():
                reading, writing = (even_numbers(size, self.height, self.width) for size in (self.read_size, self.write_size))
                # Each filter's row sums to 1 over many pixels, which would thin what is written: 31 times at 5 × 5 on 28 × 28.
                writing[4] = math.log(self.write_size**2 / (self.height * self.width))
                self.heads.bias[: 2 * NUMBERS] = torch.tensor([*reading, *writing])
        self.first_states = nn.Parameter(torch.zeros(4, units))
        self.first_canvas = nn.Parameter(torch.zeros(shape))

    def forward(self, pictures: Tensor, noise: Tensor, labels: Tensor | None = None) -> Inference:
        """Look at pictures and draw them; see `LatentModel`."""
        return self._infer(pictures, noise, labels, None)

    def watch(self, pictures: Tensor, noise: Tensor, labels: Tensor | None = None) -> tuple[Inference, list[Look]]:
        """Look at pictures and draw them, as `forward` does, and tell what each step did."""
        looks: list[Look] = []
        return self._infer(pictures, noise, labels, looks), looks

    def _infer(self, pictures: Tensor, noise: Tensor, labels: Tensor | None, looks: list[Look] | None) -> Inference:
        """Take all steps; what each of them did is added to `looks`, if that is asked for."""
        self.check_shapes(pictures, noise, labels)
        classes = self.one_hot(labels, len(pictures), pictures.device)
        known = None if self.picture is None else self.picture(pictures.flatten(1))
        state = self._begin(len(pictures))
        means, log_deviations = [], []
        for chance in noise:
            before = state
            state, mean, log_deviation = self.step(pictures, known, chance, classes, before)
            means.append(mean)
            log_deviations.append(log_deviation)
            if looks is not None:
                read_through = self._window(before.heads.read, self.read_size)
                looks.append(Look(state.canvas, read_through, self._window(state.heads.write, self.write_size)))
        return Inference(state.canvas, torch.stack(means), torch.stack(log_deviations), noise)

    def step(
        self, pictures: Tensor, known: Tensor | None, chance: Tensor, classes: Tensor, state: State
    ) -> tuple[State, Tensor, Tensor]:
        """Look once and write once (equations 3 to 8).

        Args:
            pictures: (B, C, H, W), x.
            known: what x adds to the encoder's gates at every step, (B, 4 units); None with attention.
            chance: (B, Z), ε_t.
            classes: (B, K) of zeros and ones; (B, 0) for a model that knows of none.
            state: after the step before.

        Returns:
            The state after this one, and μ_t and log σ_t, (B, Z) each.
        """
        glimpse = self._read(pictures, self.output.mean(state.canvas), state.heads)  # r_t (3, 4)
        encoder = self.encoder((glimpse, state.decoder[0], classes), state.encoder, known)  # (5)
        mean, log_deviation = self.posterior(encoder[0]).float().chunk(2, 1)
        latents = draw_latents(mean, log_deviation, chance)  # z_t (6)
        return self._draw(latents, classes, state._replace(encoder=encoder)), mean, log_deviation

    def generate(self, latents: Tensor, labels: Tensor | None = None) -> Tensor:
        """Draw pictures; see `LatentModel`."""
        return torch.stack([look.canvas for look in self.imagine(latents, labels)])

    def imagine(self, latents: Tensor, labels: Tensor | None = None) -> list[Look]:
        """Draw pictures of latent variables, (T, B, Z), the decoder alone at work; give what each step did (section 2.3)."""
        self.check_labels(labels)
        classes = self.one_hot(labels, latents.shape[1], latents.device)
        state = self._begin(latents.shape[1])
        looks = []
        for drawn in latents:
            state = self._draw(drawn, classes, state)
            looks.append(Look(state.canvas, None, self._window(state.heads.write, self.write_size)))
        return looks

    def _begin(self, count: int) -> State:
        """Start with the learned states and canvas, the same for every picture."""
        states = [state.repeat(count, 1) for state in self.first_states]
        canvas = self.first_canvas.repeat(count, 1, 1, 1)
        return State((states[0], states[1]), (states[2], states[3]), canvas, self._heads(states[2]))

    def _draw(self, latents: Tensor, classes: Tensor, state: State) -> State:
        """Take latent variables in and write (7 and 8)."""
        decoder = self.decoder((latents, classes), state.decoder)
        heads = self._heads(decoder[0])
        return State(state.encoder, decoder, state.canvas + self._write(heads), heads)

    def _heads(self, hidden: Tensor) -> Heads:
        read_numbers, write_numbers, patch = self.heads(hidden).float().split(self.head_sizes, 1)
        side = (self.write_size, self.write_size) if self.attention else (self.height, self.width)
        return Heads(read_numbers, write_numbers, patch.view(-1, self.shape[0], *side))

    def _window(self, numbers: Tensor, size: int) -> Window | None:
        return make_window(numbers, size, self.height, self.width) if self.attention else None

    def _read(self, pictures: Tensor, expected: Tensor, heads: Heads) -> Tensor:
        """Read x and x̂ = x - σ(c), (B, ·); without attention x̂ alone, since x is known."""
        window = self._window(heads.read, self.read_size)
        if window is None:
            return (pictures - expected).flatten(1)
        return read_missing(pictures, expected, window, self.read_size).flatten(1)

    def _write(self, heads: Heads) -> Tensor:
        window = self._window(heads.write, self.write_size)
        return heads.patch if window is None else write(heads.patch, window, self.height, self.width)

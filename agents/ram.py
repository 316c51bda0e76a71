"""The Recurrent Attention Model: the network and nothing else.

Mnih, Heess, Graves, Kavukcuoglu, "Recurrent Models of Visual Attention" (2014, arXiv 1406.6247), section 3 and figure 1:

    glimpse network   g_t = ReLU(W_a ReLU(W_p ρ_t) + W_b ReLU(W_l l_t))
    core              h_t = ReLU(W_h h_{t-1} + W_g g_t),  h_0 = 0   (or an LSTM over g_t)
    location head     E[l_{t+1}] = tanh(W h_t + b_t)   (or linear)
    class head        softmax(W h_t)
    baseline          b_t = W h_t

The location is drawn from N(E[l], σ² I), σ fixed, by the learning rule, not here. The paper's mean is linear; most code bounds
it by tanh, and so does this by default. Its bias has a value of its own for every step, the scan b_1 … b_{N-1}: where to look
whatever was seen. Such a path is learned from every picture at once, long before what was seen can tell where to look instead.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from agents.config import RAMConfig


class RAM(nn.Module):
    """Glimpse network, core and heads; one call sees one glimpse.

    Args:
        glimpse_shape: (channels, size, size) of the environment's glimpses, channels counting the scales.
        classes: number of classes.
        glimpses: N, glimpses in an episode.
        config: the layers' widths and the kind of location mean.
    """

    def __init__(self, glimpse_shape: tuple[int, ...], classes: int, glimpses: int, config: RAMConfig) -> None:
        super().__init__()
        self.bounded = config.location_mean == "tanh"
        pixels = int(torch.Size(glimpse_shape).numel())
        self.what = nn.Linear(pixels, config.glimpse_width)  # W_p
        self.where = nn.Linear(2, config.location_width)  # W_l
        self.what_to_glimpse = nn.Linear(config.glimpse_width, config.hidden)  # W_a
        self.where_to_glimpse = nn.Linear(config.location_width, config.hidden, bias=False)  # W_b; W_a has the bias
        self.hidden = config.hidden
        self.lstm = nn.LSTMCell(config.hidden, config.hidden) if config.core == "lstm" else None
        if self.lstm is None:
            self.glimpse_to_state = nn.Linear(config.hidden, config.hidden)  # W_g
            self.state_to_state = nn.Linear(config.hidden, config.hidden, bias=False)  # W_h; W_g has the bias
            # What was seen first must still be there at the end: the identity keeps it, PyTorch's default forgets it within a
            # few steps (Le, Jaitly, Hinton 2015, arXiv 1504.00941).
            nn.init.eye_(self.state_to_state.weight)
        self.location_head = nn.Linear(config.hidden, 2, bias=False)
        self.scan = nn.Parameter(torch.zeros(glimpses - 1, 2))  # b_t
        self.class_head = nn.Linear(config.hidden, classes)
        self.baseline_head = nn.Linear(config.hidden, 1)

    def forward(self, glimpse: Tensor, location: Tensor, state: Tensor | None = None) -> Tensor:
        """See one glimpse.

        Args:
            glimpse: (B, C, g, g) in [0, 1].
            location: (B, 2), where it was taken.
            state: h_{t-1}, as the step before returned it; None for h_0 = 0.

        Returns:
            (B, hidden), h_t; of an LSTM (B, 2 · hidden), its output h_t and behind it its cell c_t, which the heads do not see.
        """
        what = F.relu(self.what(glimpse.flatten(1)))  # (B, glimpse_width)
        where = F.relu(self.where(location))  # (B, location_width)
        seen = F.relu(self.what_to_glimpse(what) + self.where_to_glimpse(where))  # (B, hidden)
        if self.lstm is not None:
            state = seen.new_zeros(len(seen), 2 * self.hidden) if state is None else state
            output, cell = self.lstm(seen, (state[:, : self.hidden], state[:, self.hidden :]))
            return torch.cat((output, cell), dim=1)
        drive = self.glimpse_to_state(seen)  # (B, hidden)
        return F.relu(drive if state is None else drive + self.state_to_state(state))

    def location_mean(self, state: Tensor, step: int | slice) -> Tensor:
        """Where to look next, on average.

        Args:
            state: h_{step + 1} of a batch, (B, ·); or those of several steps, (T, B, ·).
            step: how many steps were taken before, from 0 on; or the T of them. In an episode longer than those of the
                training, the scan stays at its last place.

        Returns:
            (B, 2) or (T, B, 2).
        """
        scan = self.scan[step] if isinstance(step, slice) else self.scan[min(step, len(self.scan) - 1)]
        mean: Tensor = self.location_head(state[..., : self.hidden]) + scan.unsqueeze(-2)
        return mean.tanh() if self.bounded else mean

    def class_scores(self, state: Tensor) -> Tensor:
        """Unnormalised log-probabilities of the classes: states (..., ·) to (..., classes)."""
        scores: Tensor = self.class_head(state[..., : self.hidden])
        return scores

    def baseline(self, state: Tensor) -> Tensor:
        """Expected return b_t: states (..., ·) to (...)."""
        value: Tensor = self.baseline_head(state[..., : self.hidden])
        return value[..., 0]

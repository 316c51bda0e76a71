"""The Recurrent Attention Model: the network and nothing else.

Mnih, Heess, Graves, Kavukcuoglu, "Recurrent Models of Visual Attention" (2014, arXiv 1406.6247), section 3 and figure 1:

    glimpse network   g_t = ReLU(W_a ReLU(W_p ρ_t) + W_b ReLU(W_l l_t))
    core              h_t = ReLU(W_h h_{t-1} + W_g g_t),  h_0 = 0   (or an LSTM over g_t)
    location head     E[l_{t+1}] = tanh(W h_t + b_t)   (or linear; or W ReLU(V_h h_t + V_p ρ_t) for W h_t)
    class head        softmax(W h_t)
    baseline          b_t = W h_t

The location is drawn from N(E[l], σ² I), σ fixed, by the learning rule, not here. The paper's mean is linear; most code bounds
it by tanh, and so does this by default. Its bias has a value of its own for every step, the scan b_1 … b_{N-1}: where to look
whatever was seen. Such a path is learned from every picture at once, long before what was seen can tell where to look instead.

Where the environment lets an agent zoom, turn its eye or stop (the three things that attention does beside moving), l has more
numbers, and a stop head gives the odds of answering now: log p/(1 − p) = 3 tanh(W h_t / 3).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from agents.config import RAMConfig

FIRST_STOP_SCORE = -2.0
"""Log-odds of answering now, before anything is learned: most episodes must be long, or later glimpses would teach nothing."""
MOST_STOP_SCORE = 3.0
"""These log-odds are kept within ± this, so that both choices go on being tried: an agent that never stops cannot learn when to."""
LEAST_CONTRAST = 0.02
"""What is added to a patch's deviation, in shares of the range from black to white, so that an even patch stays even."""


class RAM(nn.Module):
    """Glimpse network, core and heads; one call sees one glimpse.

    Args:
        glimpse_shape: (channels, size, size) of the environment's glimpses, channels counting the scales.
        classes: number of classes.
        glimpses: N, glimpses in an episode.
        config: the layers' widths and the kind of location mean.
        pose: numbers that say where and how a glimpse was taken.
        looks: numbers that say where to look: as many as a look has, or a score for each cell of a grid.
        bounded: whether these may be bounded as `config` says; scores are not.
        stops: whether the agent decides when to answer.
    """

    def __init__(
        self,
        glimpse_shape: tuple[int, ...],
        classes: int,
        glimpses: int,
        config: RAMConfig,
        pose: int = 2,
        looks: int = 2,
        bounded: bool = True,
        stops: bool = False,
    ) -> None:
        super().__init__()
        self.bounded = bounded and config.location_mean == "tanh"
        self.contrast = config.contrast
        pixels = int(torch.Size(glimpse_shape).numel()) + 2 * glimpse_shape[0] * config.contrast
        self.what = nn.Linear(pixels, config.glimpse_width)  # W_p
        self.where = nn.Linear(pose, config.location_width)  # W_l
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
        self.location_eye: nn.ModuleDict | None = None
        self.location_head = nn.Linear(config.location_hidden or config.hidden, looks, bias=False)
        if config.location_hidden:
            self.location_eye = nn.ModuleDict(
                {
                    "state": nn.Linear(config.hidden, config.location_hidden),  # V_h
                    "pixels": nn.Linear(pixels, config.location_hidden, bias=False),  # V_p; V_h has the bias
                }
            )
            nn.init.zeros_(self.location_head.weight)  # at first the eye goes where chance moves it
        self.scan = nn.Parameter(torch.zeros(glimpses - 1, looks))  # b_t
        self.class_head = nn.Linear(config.hidden, classes)
        self.baseline_head = nn.Linear(config.hidden, 1)
        self.stop_head = nn.Linear(config.hidden, 1) if stops else None
        if self.stop_head is not None:
            nn.init.constant_(self.stop_head.bias, FIRST_STOP_SCORE)

    def forward(self, glimpse: Tensor, pose: Tensor, state: Tensor | None = None) -> Tensor:
        """See one glimpse.

        Args:
            glimpse: (B, C, g, g) in [0, 1].
            pose: (B, 2 or more), where and how it was taken.
            state: h_{t-1}, as the step before returned it; None for h_0 = 0.

        Returns:
            (B, hidden), h_t; of an LSTM (B, 2 · hidden), its output h_t and behind it its cell c_t, which the heads do not see.
        """
        what = F.relu(self.what(self._pixels(glimpse)))  # (B, glimpse_width)
        where = F.relu(self.where(pose))  # (B, location_width)
        seen = F.relu(self.what_to_glimpse(what) + self.where_to_glimpse(where))  # (B, hidden)
        if self.lstm is not None:
            state = seen.new_zeros(len(seen), 2 * self.hidden) if state is None else state
            output, cell = self.lstm(seen, (state[:, : self.hidden], state[:, self.hidden :]))
            return torch.cat((output, cell), dim=1)
        drive = self.glimpse_to_state(seen)  # (B, hidden)
        return F.relu(drive if state is None else drive + self.state_to_state(state))

    def location_mean(self, state: Tensor, glimpse: Tensor, step: int | slice) -> Tensor:
        """Where to look next, on average; or, where it looks at cells, each one's score.

        Args:
            state: h_{step + 1} of a batch, (B, ·); or those of several steps, (T, B, ·).
            glimpse: what was seen then, (B, C, g, g) or (T, B, C, g, g); it counts if the head has a hidden layer.
            step: how many steps were taken before, from 0 on; or the T of them. In an episode longer than those of the
                training, the scan stays at its last place.

        Returns:
            (B, looks) or (T, B, looks), float32.
        """
        scan = self.scan[step] if isinstance(step, slice) else self.scan[min(step, len(self.scan) - 1)]
        seen = state[..., : self.hidden]
        if self.location_eye is not None:
            seen = F.relu(self.location_eye["state"](seen) + self.location_eye["pixels"](self._pixels(glimpse)))
        mean: Tensor = self.location_head(seen).float() + scan.unsqueeze(-2)
        return mean.tanh() if self.bounded else mean

    def _pixels(self, glimpse: Tensor) -> Tensor:
        """Give what of a glimpse, (..., C, g, g), is seen: its pixels, (..., C·g·g), or with contrast (..., C·g·g + 2·C)."""
        if not self.contrast:
            return glimpse.flatten(-3)
        deviation, mean = torch.std_mean(glimpse, dim=(-2, -1), correction=0)  # (..., C)
        deviation = deviation + LEAST_CONTRAST
        patches = (glimpse - mean[..., None, None]) / deviation[..., None, None]
        return torch.cat((patches.flatten(-3), mean, deviation), dim=-1)

    def class_scores(self, state: Tensor) -> Tensor:
        """Unnormalised log-probabilities of the classes: states (..., ·) to (..., classes), float32."""
        scores: Tensor = self.class_head(state[..., : self.hidden])
        return scores.float()

    def baseline(self, state: Tensor) -> Tensor:
        """Expected return b_t: states (..., ·) to (...), float32."""
        value: Tensor = self.baseline_head(state[..., : self.hidden])
        return value[..., 0].float()

    def stop_score(self, state: Tensor) -> Tensor:
        """Log-odds of answering now, within ± `MOST_STOP_SCORE`: states (..., ·) to (...), float32."""
        assert self.stop_head is not None, "a network made for an environment without stop"
        score: Tensor = self.stop_head(state[..., : self.hidden])
        return MOST_STOP_SCORE * (score[..., 0].float() / MOST_STOP_SCORE).tanh()

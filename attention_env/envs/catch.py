"""`attention_env/Catch-v0`: catch a falling ball that is seen through a retina, RAM's dynamic task."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from attention_core.splits import open_split
from attention_env.actions import Decision
from attention_env.envs.glimpse import FEW, GlimpseEnv, GlimpseVectorEnv
from attention_env.retina import Prepared
from attention_env.scenes import Scene

SIDE = 24
FASTEST = 1.5
DEFAULTS = {"source": "catch", "glimpses": SIDE - 1, "glimpse_size": 6, "scales": 3}
GAMES = {"train": (0, 100_000), "validation": (1, 5_000), "test": (2, 10_000)}
"""Seed and number of the games of each split."""


@dataclass(frozen=True, eq=False)
class Games:
    """How games start.

    Attributes:
        starts: (count, 3) float32: the ball's column in [0, 23], its speed in columns per row, the paddle's left column.
        name: what to call them in messages.
    """

    starts: NDArray[np.float32]
    name: str
    classes: int = 3
    shape: tuple[int, int, int] = (1, SIDE, SIDE)

    def __len__(self) -> int:
        """Return the number of games."""
        return len(self.starts)


def load_games(split: str) -> Games:
    """Draw the games of a split by NumPy's frozen generator, the same ones everywhere.

    Raises:
        ValueError: if there is no such split.
        attention_core.splits.SplitError: if test data are asked for while something learns.
    """
    open_split(split)
    return _draw_games(split)


@cache
def _draw_games(split: str) -> Games:
    seed, count = GAMES[split]
    chance = np.random.RandomState(seed)
    column, speed = chance.randint(SIDE, size=count), chance.uniform(-FASTEST, FASTEST, size=count)
    paddle = chance.randint(SIDE - 1, size=count)
    return Games(np.stack((column, speed, paddle), axis=1).astype(np.float32), f"catch/{split}")


class CatchVectorEnv(GlimpseVectorEnv):
    """Many `attention_env/Catch-v0` in one; `CatchEnv` describes the task, `GlimpseVectorEnv` the arrays.

    `reset(options={"index": ...})` chooses games. There is no "label" in the information at the end, only "is_success".
    """

    defaults = DEFAULTS
    acts = True

    def _load(self) -> tuple[Games, Scene | None]:
        settings = self.settings
        for name, wanted in (("source", "catch"), ("distortion", None), ("scene", None), ("reward", "sparse")):
            if getattr(settings, name) != wanted:
                raise ValueError(f"Catch takes no other {name} than {wanted!r}, got {getattr(settings, name)!r}")
        if settings.glimpses >= SIDE:
            raise ValueError(f"Catch has at most {SIDE - 1} glimpses, since the ball falls a row at each, got {settings.glimpses}")
        if settings.stop:
            raise ValueError("Catch takes no stop=True: the ball must come down before it is caught")
        if settings.action_format == "saccade":
            raise ValueError("Catch needs a move at every step: use action_format='dict', 'grid' or 'box'")
        return load_games(settings.split), None

    def _start_all(self, index: Tensor | None, location: Tensor | None, copies: int = 1) -> None:
        super()._start_all(index, location, copies)
        self._games = self._started

    def _start_rows(self, rows: Tensor, index: Tensor | None, location: Tensor | None) -> None:
        super()._start_rows(rows, index, location)
        self._games = self._games.index_copy(0, rows, self._started)

    def _draw(self, count: int, index: Tensor | None, copies: int = 1) -> tuple[Prepared, Tensor]:
        index = self._whole_numbers(len(self.pictures), (count // copies,)) if index is None else index[: count // copies]
        starts = torch.from_numpy(self.pictures.starts).to(self.device)
        self._started = starts[index].repeat(copies, 1)
        turn = torch.zeros(count, dtype=torch.int64, device=self.device)
        return self._prepare(self._started, turn), turn

    def _move_world(self, decision: Decision, resting: Tensor | None) -> None:
        """The ball falls one row and bounces off the walls; the paddle moves left, stays or moves right."""
        column, speed, paddle = self._games.unbind(1)
        column = column + speed
        bounced = (column < 0) | (column > SIDE - 1)
        column = torch.where(column < 0, -column, torch.where(column > SIDE - 1, 2 * (SIDE - 1) - column, column))
        paddle = (paddle + decision.label.clamp(0, 2) - 1).clamp(0, SIDE - 2)
        games = torch.stack((column, torch.where(bounced, -speed, speed), paddle), dim=1)
        self._games = games if resting is None else torch.where(resting[:, None], self._games, games)
        turn = self._turn if isinstance(self._turn, Tensor) else torch.full_like(self._rows, self._turn)
        self._shown = self._prepare(self._games, turn)

    def _prepare(self, games: Tensor, turn: Tensor) -> Prepared:
        """Draw the screens and prepare them for the retina.

        Args:
            games: (n, 3).
            turn: (n,) int64, actions so far.
        """
        rows = torch.arange(len(games), device=self.device)
        column, _, paddle = games.round().long().unbind(1)
        screens = torch.zeros(len(games), 1, SIDE, SIDE, dtype=torch.uint8, device=self.device)
        screens[rows, 0, (turn + SIDE - 1 - self.settings.glimpses).clamp(max=SIDE - 1), column] = 255
        for part in (0, 1):
            screens[rows, 0, SIDE - 1, paddle + part] = 255
        return self.retina.prepare(screens, few=self.num_envs < FEW)

    def _right(self, decision: Decision) -> Tensor:
        """Tell which balls are at the paddle's place."""
        column, _, paddle = self._games.round().unbind(1)
        return (column == paddle) | (column == paddle + 1)

    def _final_infos(self, ended: bool | Tensor, decision: Decision) -> dict[str, Tensor]:
        infos = super()._final_infos(ended, decision)
        return {name: value for name, value in infos.items() if not name.endswith("label")}


class CatchEnv(GlimpseEnv):
    """Catch a falling ball with a paddle, seeing both only through a retina.

    ## Description
    The dynamic task of Mnih et al. 2014 (arXiv 1406.6247, section 4.2), whose agent catches about 85 %. On a black screen of 24×24
    a white ball of one pixel falls one row at each step, sideways by up to 1.5 columns, and bounces off the side walls; below, a
    white paddle of two pixels moves left, stays, or moves right. The agent moves eye and paddle at the same time, and must keep
    in mind what it cannot see at the moment. The paper leaves the ball's speeds open; the ball's column is rounded to the nearest
    pixel, halves to the even one.

    ## Action space
    `Dict(location=Box(-1, 1, (2,)), label=Discrete(3))`: where to look next, and what the paddle does now: 0 left, 1 stay, 2 right.
    "grid" and "box" are as `GlimpseEnv` describes them, and so are `zoom` and `rotate`; "saccade" cannot move the paddle while
    looking and is refused, and so is `stop`, since the ball must come down.

    ## Observation space
    `Dict(glimpse=Box(0, 1, (3, 6, 6)), location=Box(-1, 1, (2,)), remaining=Box(0, 1, (1,)))`, float32: patches that cover 6, 12
    and 24 pixels of the screen's 24×24.

    ## Rewards
    1 at the end if the ball falls on the paddle, else 0.

    ## Starting state
    The ball N rows above the paddle (in the top row, with 23 glimpses) at any column, falling at any slant, the paddle anywhere,
    the eye at the centre. "train" draws from 100 000 games, "validation" from 5 000, "test" from 10 000, all drawn by NumPy from
    fixed seeds.

    ## Episode end
    After N actions the ball has reached the paddle's row. `info` holds `is_success` then.

    ## Arguments
    `glimpse_size=6`, `scales=3`, `interpolation`, `moves`, `move_scale`, `start`, `action_format`, `grid`, `zoom`, `rotate`,
    `step_cost`, `split` and those for output and rendering, as in `attention_env.options.GlimpseOptions`; `glimpses=23` or fewer,
    for shorter games. Refused are another `source`, `scene`, `distortion`, `reward="dense"`, `stop=True` and
    `action_format="saccade"`.
    """

    vector_class = CatchVectorEnv

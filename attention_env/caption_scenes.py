"""Scenes of two coloured shapes with captions from a small grammar, drawn when they are asked for.

Here it can be measured whether attention is on the thing being named, since it is known where every thing is.

* **Picture**: 48×48 pixels, RGB, black: a grid of 4×4 cells of 12×12 pixels. Two of them hold a shape of 10×10 pixels, moved by up
  to a pixel from the middle. The two shapes differ (of `SHAPES`), and so do their colours (of `COLOURS`): each word that names a
  thing names one of them alone.
* **Captions**: "a red circle above a blue square", or "left of", "right of". Scenes are read as a page is: a sentence begins with
  the shape in the upper line, or further left in the same. The relation goes by the larger of the two offsets, in cells; places
  whose offsets are equal do not occur. Each scene has this one reference: were both orders true, nobody could know which one a
  sentence will take, and to look at one shape while naming the other would cost nothing.
* **Annotation vectors**: one for each cell, row by row from the top left: its pixels in [0, 1] (channels, lines, columns), then 1
  for each of the picture's 48 lines that it covers, and likewise for the columns: D = 3·12·12 + 48 + 48 = 528 and L = 16. The two
  numbers of a centre would be drowned by 432 pixels: which shape is above the other would be learned slowly and by half.

A scene is a number of mixed radix: which arrangement (places, colours, shapes), and how both shapes are moved. Nothing is stored:
numbers become pictures by integer arithmetic and small tables, on the device. An affine permutation deals the 36 800 arrangements
out to the splits, so that what is said in the test split, about what stands where, was never shown in training:

| split | scenes | |
|---|---|---|
| `train` | 2 656 800 | 32 800 arrangements, each with its 81 moves |
| `validation` | 2 000 | as many arrangements, each moved in one way |
| `test` | 2 000 | likewise |
"""

from __future__ import annotations

from functools import cache
from itertools import combinations, permutations, product
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from attention_core.splits import open_split
from attention_env.captions import END, PAD, SPECIAL, PicturedSource, Vocabulary

COLOURS = {
    "red": (1.0, 0.0, 0.0),
    "green": (0.0, 0.8, 0.0),
    "blue": (0.2, 0.4, 1.0),
    "yellow": (1.0, 1.0, 0.0),
    "purple": (0.6, 0.0, 0.8),
}
SHAPES = ("circle", "square", "triangle", "cross", "diamond")
RELATIONS = (("above",), ("left", "of"), ("right", "of"))

GRID = 4
CELL = 12
SIDE = GRID * CELL
PIXELS = 3 * CELL**2
MOVES = tuple(product((-1, 0, 1), repeat=2))
"""Pixels (down, right) that a shape may be moved by within its cell."""

WORDS = (*SPECIAL, "a", "above", "left", "right", "of", *COLOURS, *SHAPES)
LONGEST = 9
FIRST_COLOUR, FIRST_SHAPE = WORDS.index("red"), WORDS.index("circle")


def _relation(first: int, second: int) -> int:
    """Tell which of `RELATIONS` holds of two cells, the first coming first as on a page."""
    down, right = second // GRID - first // GRID, second % GRID - first % GRID
    return 0 if down > abs(right) else 2 - (right > 0)


def _offsets_differ(first: int, second: int) -> bool:
    return abs(second // GRID - first // GRID) != abs(second % GRID - first % GRID)


PLACES = [pair for pair in combinations(range(GRID**2), 2) if _offsets_differ(*pair)]
"""Cells of the two shapes; the first shape of a scene is the one whose cell comes first."""
PAIRS = list(permutations(range(len(SHAPES)), 2))
"""Two different shapes, or two different colours: there are five of both."""

ARRANGEMENTS = len(PLACES) * len(PAIRS) ** 2
MOVED = len(MOVES) ** 2
HELD_OUT = 2_000
# rank -> (FACTOR · rank + OFFSET) modulo ARRANGEMENTS visits every arrangement once, since FACTOR and 36 800 = 2⁶·5²·23 have no
# divisor in common, and spreads neighbouring ranks evenly over all places, colours and shapes.
FACTOR, OFFSET = 22_743, 11_117


class _Scenes(NamedTuple):
    """What scenes consist of, each (n, 2), of the first shape and of the second; relations are (n,), of the first to the second."""

    places: Tensor
    colours: Tensor
    shapes: Tensor
    moves: Tensor
    relations: Tensor


class SceneSource(PicturedSource):
    """Drawn scenes of one split.

    Args:
        split: "train", "validation" or "test".

    Raises:
        ValueError: for an unknown split.
        attention_core.splits.SplitError: if test data are asked for while something learns.
    """

    vocabulary = Vocabulary(WORDS)
    shape = (GRID**2, PIXELS + 2 * SIDE)
    longest = LONGEST
    references = 1
    bounds = (0.0, 1.0)
    grid = (GRID, GRID)

    def __init__(self, split: str = "train") -> None:
        open_split(split)
        self.split = split
        self.name = f"scenes/{split}"

    def __len__(self) -> int:
        """Return the number of scenes."""
        return (ARRANGEMENTS - 2 * HELD_OUT) * MOVED if self.split == "train" else HELD_OUT

    def annotations(self, index: Tensor, device: torch.device) -> Tensor:
        """Draw scenes as annotation vectors, (n,) int64 to (n, 16, 528) float32."""
        scenes, tables = self._scenes(index, device)
        cells = tables.black.repeat(len(index), 1, 1)  # (n, 16, 528)
        drawn = tables.drawn[scenes.colours, scenes.shapes, scenes.moves]  # (n, 2, 432)
        cells[..., :PIXELS].scatter_(1, scenes.places[..., None].expand_as(drawn), drawn)
        return cells

    def captions(self, index: Tensor, device: torch.device) -> Tensor:
        """Say the sentences of scenes, (n,) int64 to (n, 1, 9) int64."""
        scenes, tables = self._scenes(index, device)
        named = torch.stack((FIRST_COLOUR + scenes.colours, FIRST_SHAPE + scenes.shapes), dim=-1).flatten(1)  # (n, 4)
        words = tables.forms[scenes.relations]  # (n, 9)
        return torch.where(words < len(WORDS), words, named.gather(-1, (words - len(WORDS)).clamp(min=0)))[:, None]

    def pictures(self, index: Tensor, device: torch.device) -> Tensor:
        """Draw scenes, (n,) int64 to (n, 3, 48, 48) float32 in [0, 1]."""
        cells = self.annotations(index, device)[..., :PIXELS].reshape(-1, GRID, GRID, 3, CELL, CELL)
        return cells.permute(0, 3, 1, 4, 2, 5).reshape(-1, 3, SIDE, SIDE)

    def holds(self, index: Tensor, device: torch.device) -> Tensor:
        """Tell for each cell and word whether the cell holds a shape that the word names, by its colour or by its form.

        Args:
            index: (n,) int64.
            device: where the result shall be.

        Returns:
            (n, 16, V) bool; false throughout for words that name nothing, such as "above".
        """
        scenes, _ = self._scenes(index, device)
        held = torch.zeros(len(index), GRID**2, len(WORDS), dtype=torch.bool, device=device)
        rows = torch.arange(len(index), device=device)[:, None]
        held[rows, scenes.places, FIRST_COLOUR + scenes.colours] = True
        held[rows, scenes.places, FIRST_SHAPE + scenes.shapes] = True
        return held

    def _scenes(self, index: Tensor, device: torch.device) -> tuple[_Scenes, _Tables]:
        """Take scenes' numbers apart; also gives the tables of the device."""
        tables, index = _tables(device), index.to(device)
        if self.split == "train":
            rank, moved = 2 * HELD_OUT + index // MOVED, index % MOVED
        else:
            rank, moved = index + (HELD_OUT if self.split == "test" else 0), index % MOVED
        arrangement = (FACTOR * rank + OFFSET) % ARRANGEMENTS
        place, colour, shape = arrangement // len(PAIRS) ** 2, arrangement // len(PAIRS) % len(PAIRS), arrangement % len(PAIRS)
        moves = torch.stack((moved // len(MOVES), moved % len(MOVES)), dim=-1)
        return _Scenes(tables.places[place], tables.pairs[colour], tables.pairs[shape], moves, tables.relations[place]), tables


class _Tables:
    """What scenes are looked up in, on a device.

    Attributes:
        places: (92, 2) cells.
        pairs: (20, 2) shapes, or colours.
        relations: (92,) relation of the first shape to the second.
        forms: (3, 9) for each relation a sentence; V, V + 1, V + 2, V + 3 stand for the colour and the form of the first shape, and
            those of the second.
        drawn: (5, 5, 9, 432) pixels of a cell by colour, shape and move.
        black: (16, 528) annotation vectors of a scene without shapes.
    """

    def __init__(self, device: torch.device) -> None:
        self.places = torch.tensor(PLACES, device=device)
        self.pairs = torch.tensor(PAIRS, device=device)
        self.relations = torch.tensor([_relation(*pair) for pair in PLACES], device=device)
        self.forms = torch.tensor([_form(relation) for relation in RELATIONS], device=device)
        colours = torch.tensor(list(COLOURS.values()), device=device)[:, None, None, :, None]
        masks = torch.from_numpy(draw_shapes()).to(device).flatten(2)[None, :, :, None]  # (1, 5, 9, 1, 144)
        self.drawn = (colours * masks).flatten(3)
        covered = torch.eye(GRID, device=device).repeat_interleave(CELL, 1)  # (4, 48)
        self.black = torch.zeros(SceneSource.shape, device=device)
        self.black[:, PIXELS : PIXELS + SIDE] = covered.repeat_interleave(GRID, 0)
        self.black[:, PIXELS + SIDE :] = covered.repeat(GRID, 1)


@cache
def _tables(device: torch.device) -> _Tables:
    return _Tables(device)


def _form(relation: tuple[str, ...]) -> list[int]:
    """Write a sentence whose names are left open; see `_Tables`."""
    article, count = WORDS.index("a"), len(WORDS)
    form = [article, count, count + 1, *map(WORDS.index, relation), article, count + 2, count + 3, END]
    return form + [PAD] * (LONGEST - len(form))


def draw_shapes() -> NDArray[np.float32]:
    """Draw every shape, moved in every way: (5, 9, 12, 12), 1 where the shape covers the pixel's centre and 0 elsewhere."""
    line, column = np.mgrid[:CELL, :CELL] - (CELL - 1) / 2  # (12, 12) each, pixels from the middle of the cell
    covers = {
        "circle": np.hypot(line, column) <= 5,
        "square": np.maximum(abs(line), abs(column)) <= 4,
        "triangle": (abs(line) <= 5) & (abs(column) <= (line + 5) / 2),
        "cross": (np.minimum(abs(line), abs(column)) <= 1) & (np.maximum(abs(line), abs(column)) <= 5),
        "diamond": abs(line) + abs(column) <= 5,
    }
    moved = [[np.roll(covers[shape], move, axis=(0, 1)) for move in MOVES] for shape in SHAPES]
    return np.array(moved, np.float32)

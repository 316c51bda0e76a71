"""Drawn scenes: what is said of them is true of their pixels."""

from __future__ import annotations

import re
from collections import Counter

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from attention_core.splits import SPLITS
from attention_env.caption_scenes import (
    ARRANGEMENTS,
    CELL,
    COLOURS,
    GRID,
    HELD_OUT,
    MOVED,
    MOVES,
    SHAPES,
    WORDS,
    SceneSource,
    draw_shapes,
)
from attention_env.captions import END, PAD

CPU = torch.device("cpu")
SENTENCE = re.compile(r"a (\w+) (\w+) (above|left of|right of) a (\w+) (\w+)")


def some(source: SceneSource, count: int) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(count).integers(0, len(source), count))


def seen(picture: NDArray[np.float32]) -> dict[tuple[str, str], tuple[int, int]]:
    """Read a picture's pixels: which colour and shape stands in which cell (line, column)."""
    masks = draw_shapes()
    found = {}
    for line in range(GRID):
        for column in range(GRID):
            cell = picture[:, line * CELL : (line + 1) * CELL, column * CELL : (column + 1) * CELL]
            covered = cell.max(axis=0) > 0
            if covered.any():
                pixels = cell[:, covered]
                (colour,) = (name for name, value in COLOURS.items() if np.allclose(pixels, np.array(value)[:, None]))
                (shape,) = (name for name, moved in zip(SHAPES, masks, strict=True) if (moved == covered).all((1, 2)).any())
                found[colour, shape] = (line, column)
    return found


@pytest.mark.parametrize("split", SPLITS)
def test_the_sentence_is_true_of_the_picture_and_begins_as_a_page_is_read(split: str) -> None:
    source = SceneSource(split)
    index = some(source, 200)
    for picture, (sentence,) in zip(source.pictures(index, CPU).numpy(), source.sentences(index), strict=True):
        (first, here), (second, there) = seen(picture).items()  # line by line
        match = SENTENCE.fullmatch(sentence)
        assert match
        colour, shape, relation, other_colour, other_shape = match.groups()
        assert colour != other_colour
        assert shape != other_shape
        assert ((colour, shape), (other_colour, other_shape)) == (first, second)
        down, right = there[0] - here[0], there[1] - here[1]
        assert abs(down) != abs(right)
        assert relation == ("above" if down > abs(right) else "left of" if right > 0 else "right of")


def test_captions_are_words_an_end_and_pads() -> None:
    source = SceneSource("train")
    captions = source.captions(some(source, 100), CPU)
    assert captions.shape == (100, 1, source.longest)
    assert captions.dtype == torch.int64
    lengths = (captions != PAD).sum(dim=-1)
    assert set(lengths.flatten().tolist()) == {8, source.longest}
    assert (captions.gather(-1, lengths[..., None] - 1) == END).all()
    assert ((captions == END).sum(dim=-1) == 1).all()


def test_annotation_vectors_are_the_cells_and_where_they_are() -> None:
    source = SceneSource("validation")
    index = some(source, 20)
    annotations, pictures = source.annotations(index, CPU), source.pictures(index, CPU)
    assert annotations.shape == (20, *source.shape) == (20, 16, 528)
    assert annotations.dtype == torch.float32
    for cell in range(16):
        line, column = cell // GRID, cell % GRID
        pixels = pictures[:, :, line * CELL : (line + 1) * CELL, column * CELL : (column + 1) * CELL]
        assert torch.equal(annotations[:, cell, : 3 * CELL**2], pixels.flatten(1))
        covered = torch.zeros(2, GRID * CELL)
        covered[0, line * CELL : (line + 1) * CELL] = 1
        covered[1, column * CELL : (column + 1) * CELL] = 1
        assert torch.equal(annotations[:, cell, 3 * CELL**2 :], covered.flatten().expand(20, -1))
    assert annotations.min() == 0
    assert annotations.max() == 1


def test_what_a_word_names_is_where_the_pixels_show_it() -> None:
    source = SceneSource("test")
    index = some(source, 50)
    holds = source.holds(index, CPU)
    assert holds.shape == (50, 16, len(WORDS))
    assert holds.sum() == 50 * 4
    for held, picture in zip(holds, source.pictures(index, CPU).numpy(), strict=True):
        named = {(GRID * line + column, word) for thing, (line, column) in seen(picture).items() for word in thing}
        assert {(cell, WORDS[word]) for cell, word in held.nonzero().tolist()} == named


def test_a_shape_is_moved_within_its_cell_alone() -> None:
    shapes = draw_shapes()
    assert shapes.shape == (len(SHAPES), len(MOVES), CELL, CELL)
    for masks in shapes:
        assert masks[0].sum() > 20
        for mask, (down, right) in zip(masks, MOVES, strict=True):
            assert mask.sum() == masks[0].sum()
            middle = masks[MOVES.index((0, 0))]
            np.testing.assert_array_equal(mask, np.roll(middle, (down, right), (0, 1)))
            assert middle[[0, -1]].sum() == middle[:, [0, -1]].sum() == 0  # a pixel of room on each side


def arrangements(source: SceneSource, index: torch.Tensor) -> Counter[tuple[int, ...]]:
    """Count scenes by what stands where, however moved: the words of both sentences, and the cells of their shapes."""
    cells = source.holds(index, CPU).any(dim=-1).nonzero()[:, 1].view(-1, 2)
    return Counter(map(tuple, torch.cat((cells, source.captions(index, CPU).flatten(1)), dim=1).tolist()))


def test_every_arrangement_is_in_one_split_alone() -> None:
    train = SceneSource("train")
    counts = [arrangements(train, torch.arange(0, len(train), MOVED))]
    for split in ("validation", "test"):
        source = SceneSource(split)
        assert len(source) == HELD_OUT
        counts.append(arrangements(source, torch.arange(HELD_OUT)))
    together = sum(counts, Counter())
    assert len(together) == ARRANGEMENTS == 36_800
    assert set(together.values()) == {1}


def test_training_shows_each_arrangement_moved_in_every_way() -> None:
    source = SceneSource("train")
    assert len(source) == (ARRANGEMENTS - 2 * HELD_OUT) * MOVED == 2_656_800
    index = torch.arange(7 * MOVED, 8 * MOVED)
    assert set(arrangements(source, index).values()) == {MOVED}
    assert len(source.pictures(index, CPU).flatten(1).unique(dim=0)) == MOVED


def test_held_out_scenes_are_moved_in_all_ways_too() -> None:
    pixels = SceneSource("test").annotations(torch.arange(HELD_OUT), CPU)[..., : 3 * CELL**2].flatten(0, 1)
    kinds = pixels[pixels.any(dim=-1)].unique(dim=0)
    assert len(kinds) == len(COLOURS) * len(SHAPES) * len(MOVES)


def test_all_colours_shapes_and_relations_are_about_as_frequent_in_each_split() -> None:
    for split in SPLITS:
        source = SceneSource(split)
        captions = source.captions(torch.arange(0, len(source), max(1, len(source) // HELD_OUT)), CPU)
        share = {word: (captions == number).sum().item() / len(captions) for number, word in enumerate(WORDS)}
        assert all(share[word] == pytest.approx(2 / 5, abs=0.02) for word in (*COLOURS, *SHAPES))
        assert share["above"] == pytest.approx(1 / 2, abs=0.02)
        assert share["left"] == pytest.approx(35 / 92, abs=0.02)
        assert share["right"] == pytest.approx(11 / 92, abs=0.02)
        assert share["<unknown>"] == share["<start>"] == 0


def test_an_unknown_split_is_refused() -> None:
    with pytest.raises(ValueError, match="unknown split 'dev': choose one of train, validation, test"):
        SceneSource("dev")

"""A sentence, its translation, and where each head of the decoder's last layer looks in the one for the other."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor, nn

from attention_core.pictures import save_figure
from transformer.attention import MultiHeadAttention
from transformer.layers import DecoderLayer
from transformer.model import Transformer
from transformer.vocabulary import END, SPECIAL, START, Vocabulary

COLUMNS = 4
"""Heads beside each other."""
INCHES = 0.2
"""Of a piece, either way."""
WORD, WITHIN = "Ġ", "·"
"""How a vocabulary marks a piece that begins a word, and how the figure marks one that does not."""


@torch.no_grad()
def source_weights(model: Transformer, source: Sequence[int], target: Sequence[int]) -> Tensor:
    """Tell where the heads of the decoder's last layer look in the source as a translation is written.

    Args:
        model: in evaluation mode.
        source: S tokens, the end included.
        target: T tokens, the start first: each looks for the one after it.

    Returns:
        (heads, T, S), each row of which sums to 1.
    """
    last, device, seen = model.decoder[-1], model.embedding.weight.device, list[Tensor]()
    assert isinstance(last, DecoderLayer)

    def look(attention: nn.Module, inputs: tuple[Any, ...]) -> None:
        assert isinstance(attention, MultiHeadAttention)
        seen.append(attention.readably(*inputs)[1][0])

    hook = last.source_attention.register_forward_pre_hook(look)
    try:
        model.decode(torch.tensor([target], device=device), model.encode(torch.tensor([source], device=device)))
    finally:
        hook.remove()
    return seen[0]


def readable_pieces(vocabulary: Vocabulary, numbers: Sequence[int]) -> list[str]:
    """Write pieces as people read them; those that go on with a word begin with a dot, and the special ones lose their brackets."""
    written = []
    for number in numbers:
        if number < len(SPECIAL):
            written.append(SPECIAL[number].strip("<>"))
        else:
            within = "" if vocabulary.pieces[number].startswith(WORD) else WITHIN
            written.append(within + vocabulary.decode([number]))
    return written


def draw_heads(model: Transformer, vocabulary: Vocabulary, source: str, translation: str, out: Path) -> None:
    """Draw, for each head of the decoder's last layer, where it looks in the source for each piece of the translation.

    Args:
        model: in evaluation mode.
        vocabulary: its own.
        source: the sentence, along each panel.
        translation: what it has become, down each panel.
        out: the figure's place.

    Raises:
        ValueError: if the source has no piece, or more than the model has places.
        attention_core.files.SaveError: if it cannot be written.
    """
    read, wanted = vocabulary.encode([source, translation])
    if not read:
        raise ValueError(f"heads look at the pieces of a sentence, got {source!r}, which has none")
    if len(read) >= model.longest:
        raise ValueError(f"the sentence has {len(read) + 1} tokens where the model has {model.longest} places")
    wanted = wanted[: model.longest - 1]
    weights = source_weights(model, [*read, END], [START, *wanted]).cpu().numpy()
    along, down = (readable_pieces(vocabulary, [*numbers, END]) for numbers in (read, wanted))
    columns = min(COLUMNS, len(weights))
    lines = -(-len(weights) // columns)
    width = max(1.3, INCHES * len(along))
    height = max(1.0, INCHES * len(down))
    margins = (0.08 * max(map(len, down)) + 0.4, 0.08 * max(map(len, along)) + 0.4)
    with mpl.rc_context({"font.size": 8, "axes.titlesize": 9}):
        figure = Figure(figsize=(columns * width + margins[0] + 0.7, lines * (height + 0.3) + margins[1]), layout="constrained")
        grid = figure.subplots(lines, columns, squeeze=False, sharex=True, sharey=True)
        for head, axes in enumerate(grid.flat):
            if head < len(weights):
                shades = axes.imshow(weights[head], cmap="Blues", vmin=0, vmax=1, interpolation="nearest", aspect="auto")
                axes.set_title(f"head {head + 1}")
                _name_pieces(axes, along, down)
            else:
                axes.set_axis_off()
        figure.colorbar(shades, ax=grid, ticks=[0, 0.5, 1], fraction=0.03, pad=0.01).outline.set_visible(False)
        save_figure(figure, out, 140)


def _name_pieces(axes: Axes, along: Sequence[str], down: Sequence[str]) -> None:
    # Not as formulas: a sentence may hold dollars.
    axes.set_xticks(range(len(along)), along, rotation=90, parse_math=False)
    axes.set_yticks(range(len(down)), down, parse_math=False)
    axes.tick_params(length=0)
    for side in axes.spines.values():
        side.set_color("lightgrey")

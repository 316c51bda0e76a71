"""Where heads look is what they look by, and the figure is drawn whatever the sentence holds."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from PIL import Image
from small_transformer import LINES, make_model

from transformer.figures import draw_heads, readable_pieces, source_weights
from transformer.vocabulary import END, PAD, START, Vocabulary, learn_vocabulary

pytestmark = pytest.mark.usefixtures("small_size")


@pytest.fixture(scope="module")
def vocabulary() -> Vocabulary:
    return learn_vocabulary(LINES, 300)


@torch.no_grad()
def test_weights_are_those_that_the_translation_was_made_with() -> None:
    model, source, target = make_model(), [5, 6, 7, END], [START, 9, 8]
    weights = source_weights(model, source, target)
    assert weights.shape == (4, 3, 4)
    assert torch.allclose(weights.sum(-1), torch.ones(4, 3))
    # The last layer's sight of the source, made again of the weights and the values.
    last, memory, looked = model.decoder[-1], model.encode(torch.tensor([source])), []
    last.source_attention.register_forward_hook(lambda _, __, result: looked.append(result))
    model.decode(torch.tensor([target]), memory)
    values = (weights @ memory.layers[-1].values[0]).transpose(0, 1).flatten(1)
    assert torch.allclose(last.source_attention.outputs(values), looked[0][0], atol=1e-5)
    assert not last.source_attention._forward_pre_hooks


def test_pieces_are_written_for_people(vocabulary: Vocabulary) -> None:
    numbers = vocabulary.encode(["a manä"])[0]
    assert readable_pieces(vocabulary, [PAD, *numbers, END]) == ["pad", "a", "man", "·ä", "end"]


@pytest.mark.parametrize(
    ("source", "translation"),
    [(LINES[0], LINES[2]), ("it costs $5 or $6_^{", "a"), ("a", ""), ("a \\frac{ <end>", "$$ $x$")],
)
def test_heads_are_drawn(vocabulary: Vocabulary, tmp_path: Path, source: str, translation: str) -> None:
    out = tmp_path / "new" / "heads.png"
    draw_heads(make_model(tokens=len(vocabulary)), vocabulary, source[:30], translation[:30], out)
    with Image.open(out) as picture:
        assert picture.format == "PNG"
        assert min(picture.size) > 150
    assert [file.name for file in out.parent.iterdir()] == ["heads.png"]


def test_what_cannot_be_drawn_is_named(vocabulary: Vocabulary, tmp_path: Path) -> None:
    model = make_model(tokens=len(vocabulary))
    with pytest.raises(ValueError, match="heads look at the pieces of a sentence, got '', which has none"):
        draw_heads(model, vocabulary, "", "a", tmp_path / "heads.png")
    with pytest.raises(ValueError, match="61 tokens where the model has 40 places"):
        draw_heads(model, vocabulary, "q" * 59, "a", tmp_path / "heads.png")

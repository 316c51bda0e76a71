"""Writing and telling where was looked: free-running, alone as among others, and as reading it again says."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from attention_env.caption_scenes import SceneSource
from attention_env.captions import END, PAD, START, UNKNOWN
from captioning.config import CaptionConfig
from captioning.decoder import Captioner
from captioning.writing import CHUNK, write, write_about, write_all

CONFIG = CaptionConfig(annotation_units=8, hidden=12, embedding=8, attention_units=6, dropout=0.5)
CPU = torch.device("cpu")
LONGEST = 9


@pytest.fixture
def source() -> SceneSource:
    return SceneSource("test")


def make(source: SceneSource, attention: str = "soft") -> Captioner:
    torch.manual_seed(0)
    config = dataclasses.replace(CONFIG, attention=attention)  # type: ignore[arg-type]
    captioner = Captioner(source.shape, len(source.vocabulary), config)
    with torch.no_grad():
        for parameter in captioner.parameters():
            parameter.mul_(4)
    return captioner.eval()


@pytest.mark.parametrize("attention", ["soft", "hard"])
@pytest.mark.parametrize("beams", [1, 3])
def test_what_is_written_does_not_depend_on_the_batch(source: SceneSource, attention: str, beams: int) -> None:
    captioner, annotations = make(source, attention), torch.randn(12, *source.shape, generator=torch.Generator().manual_seed(0))
    together = write(captioner, annotations, LONGEST, beams, 0.7)
    for row in range(12):
        alone = write(captioner, annotations[row : row + 1], LONGEST, beams, 0.7)
        assert torch.equal(alone.tokens[0], together.tokens[row])
    assert len({tuple(tokens) for tokens in together.tokens.tolist()}) > 1


def test_no_caption_holds_what_is_no_word(source: SceneSource) -> None:
    captioner = make(source)
    with torch.no_grad():
        captioner.output.bias[[PAD, START, UNKNOWN]] = 50.0
    for beams in (1, 3):
        tokens = write(captioner, source.annotations(torch.arange(5), CPU), LONGEST, beams).tokens
        assert not torch.isin(tokens, torch.tensor([PAD, START, UNKNOWN])).any()


def test_words_are_drawn_by_chance_where_a_generator_is_given(source: SceneSource) -> None:
    captioner, annotations = make(source), source.annotations(torch.arange(20), CPU)
    draws = [write(captioner, annotations, LONGEST, generator=torch.Generator().manual_seed(seed)).tokens for seed in (0, 0, 1)]
    assert torch.equal(draws[0], draws[1])
    assert not torch.equal(draws[0], draws[2])
    with pytest.raises(ValueError, match="drawn by chance or searched for with 2 beams, not both"):
        write(captioner, annotations, LONGEST, 2, generator=torch.Generator())


@pytest.mark.parametrize("attention", ["soft", "hard"])
def test_places_are_those_looked_at_in_writing(source: SceneSource, attention: str) -> None:
    captioner, annotations = make(source, attention), source.annotations(torch.arange(6), CPU)
    written = write_about(captioner, annotations, LONGEST, 1, 0.0)
    for row, caption in enumerate(written.captions):
        scene = captioner.see(annotations[row : row + 1])
        state = captioner.begin(scene)
        for step, word in enumerate([*caption, END][:LONGEST]):
            looked = captioner.look(scene, state)
            assert int(written.places[step, row]) == int(looked.place)
            assert torch.allclose(written.weights[step, row], looked.weights[0], atol=1e-6)
            before = START if step == 0 else caption[step - 1]
            state, told = captioner.advance(torch.tensor([before]), looked.context, state)
            scores = captioner.score(told)[0]
            scores[[PAD, START, UNKNOWN]] = -torch.inf
            assert int(scores.argmax()) == word


def test_all_pictures_are_written_about_in_order(source: SceneSource) -> None:
    captioner = make(source)
    chunks = list(write_all(captioner, source, 1, 0.0, CPU))
    assert [len(chunk.captions) for chunk in chunks] == [CHUNK] * (len(source) // CHUNK)
    last = write_about(captioner, source.annotations(torch.tensor([len(source) - 1]), CPU), LONGEST, 1, 0.0)
    assert chunks[-1].captions[-1] == last.captions[0]

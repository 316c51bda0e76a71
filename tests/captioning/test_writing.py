"""Writing and telling where was looked: free-running, alone as among others, and as reading it again says."""

from __future__ import annotations

import dataclasses
from typing import Literal

import pytest
import torch

from attention_core.policy_gradient import gumbel_noise
from attention_env.caption_scenes import FIRST_COLOUR, SceneSource
from attention_env.captions import END, PAD, START, UNKNOWN
from captioning.config import CaptionConfig, Search
from captioning.decoder import Captioner
from captioning.evaluate import attention_on_shape, score_captions
from captioning.loading import load
from captioning.writing import CHUNK, Wanderer, write, write_about, write_all

CONFIG = CaptionConfig(annotation_units=8, hidden=12, embedding=8, attention_units=6, dropout=0.5)
CPU = torch.device("cpu")
LONGEST = 9


@pytest.fixture
def source() -> SceneSource:
    return SceneSource("test")


def make(source: SceneSource, attention: Literal["soft", "hard"] = "soft") -> Captioner:
    torch.manual_seed(0)
    config = dataclasses.replace(CONFIG, attention=attention)
    captioner = Captioner(source.shape, len(source.vocabulary), config)
    with torch.no_grad():
        for parameter in captioner.parameters():
            parameter.mul_(4)
    return captioner.eval()


@pytest.mark.parametrize(("attention", "tries"), [("soft", 1), ("hard", 1), ("hard", 3)])
@pytest.mark.parametrize("beams", [1, 3])
def test_what_is_written_does_not_depend_on_the_batch(
    source: SceneSource, attention: Literal["soft", "hard"], tries: int, beams: int
) -> None:
    captioner, annotations = make(source, attention), torch.randn(12, *source.shape, generator=torch.Generator().manual_seed(0))
    together = write(captioner, annotations, LONGEST, Search(beams, 0.7, tries))
    for row in range(12):
        alone = write(captioner, annotations[row : row + 1], LONGEST, Search(beams, 0.7, tries))
        assert torch.equal(alone.tokens[0], together.tokens[row])
    assert len({tuple(tokens) for tokens in together.tokens.tolist()}) > 1


def test_no_caption_holds_what_is_no_word(source: SceneSource) -> None:
    captioner = make(source)
    with torch.no_grad():
        captioner.output.bias[[PAD, START, UNKNOWN]] = 50.0
    for beams in (1, 3):
        tokens = write(captioner, source.annotations(torch.arange(5), CPU), LONGEST, Search(beams)).tokens
        assert not torch.isin(tokens, torch.tensor([PAD, START, UNKNOWN])).any()


@pytest.mark.parametrize("attention", ["soft", "hard"])
def test_places_are_those_looked_at_in_writing(source: SceneSource, attention: Literal["soft", "hard"]) -> None:
    captioner, annotations = make(source, attention), source.annotations(torch.arange(6), CPU)
    written = write_about(captioner, annotations, LONGEST, Search())
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


@pytest.mark.parametrize(("beams", "tries"), [(1, 3), (1, 1000), (4, 3)])
@pytest.mark.parametrize("wanders", [False, True])
def test_a_word_is_as_likely_as_over_the_places_tried_and_goes_on_from_the_one_it_came_of(
    source: SceneSource, beams: int, tries: int, wanders: bool
) -> None:
    captioner, annotations = make(source, "hard"), torch.randn(12, *source.shape, generator=torch.Generator().manual_seed(0))
    noise = gumbel_noise((12, LONGEST, source.shape[0]), torch.Generator().manual_seed(0), CPU)
    writer, search = Wanderer(captioner, noise) if wanders else captioner, Search(beams, tries=tries)
    found, written = write(writer, annotations, LONGEST, search), write_about(writer, annotations, LONGEST, search)
    elsewhere = 0
    for row in range(12):
        scene = captioner.see(annotations[row : row + 1])
        state, before, score = captioner.begin(scene), START, 0.0
        for step, word in enumerate(found.tokens[row, : found.lengths[row]].tolist()):
            weights = captioner.look(scene, state).weights[0].detach()
            weights = torch.full_like(weights, 1 / len(weights)) if wanders else weights
            places = (noise[row, step] if wanders else weights).argsort(descending=True)[:tries].tolist()
            after, shares = {}, {}
            for place in places:
                after[place], told = captioner.advance(torch.tensor([before]), scene.annotations[:, place], state)
                shares[place] = captioner.score(told)[0].softmax(-1).detach() * weights[place]
            mixture = torch.stack(list(shares.values())).sum(0)
            mixture[[PAD, START, UNKNOWN]] = 0
            assert beams > 1 or int(mixture.argmax()) == word
            score += float((mixture[word] / mixture.sum()).log())
            origin = max(places, key=lambda place: float(shares[place][word]))
            assert int(written.places[step, row]) == places[0]
            assert int(written.origins[step, row]) == origin
            assert torch.allclose(written.weights[step, row], weights, atol=1e-6)
            elsewhere += origin != places[0]
            state, before = after[origin], word
        assert score == pytest.approx(float(found.scores[row]), rel=1e-4)
    assert elsewhere


def test_attention_is_measured_where_it_is_and_not_where_a_word_came_of(source: SceneSource) -> None:
    captioner, *_ = load("caption-scenes-hard", CPU)
    noise = gumbel_noise((100, source.longest, source.shape[0]), torch.Generator().manual_seed(0), CPU)
    annotations = source.annotations(torch.arange(100), CPU)
    written = write_about(Wanderer(captioner, noise), annotations, source.longest, Search(tries=16))
    # Of sixteen random places nearly always one is found that holds the word; it is the word that is chosen by them, and not they.
    assert attention_on_shape(source, [written._replace(places=written.origins)]) > 0.8
    assert attention_on_shape(source, [written]) < 0.3


def test_all_pictures_are_written_about_in_order(source: SceneSource) -> None:
    captioner = make(source)
    chunks = list(write_all(captioner, source, Search(), CPU))
    assert [len(chunk.captions) for chunk in chunks] == [CHUNK] * (len(source) // CHUNK)
    last = write_about(captioner, source.annotations(torch.tensor([len(source) - 1]), CPU), LONGEST, Search())
    assert chunks[-1].captions[-1] == last.captions[0]


@pytest.mark.parametrize("attention", ["soft", "hard"])
@pytest.mark.parametrize("beams", [1, 3])
def test_a_wanderer_looks_where_chance_has_it(source: SceneSource, attention: Literal["soft", "hard"], beams: int) -> None:
    captioner, annotations = make(source, attention), source.annotations(torch.arange(6), CPU)
    noise = gumbel_noise((6, LONGEST, source.shape[0]), torch.Generator().manual_seed(0), CPU)
    wanderer = Wanderer(captioner, noise)
    found, written = (
        write(wanderer, annotations, LONGEST, Search(beams)),
        write_about(wanderer, annotations, LONGEST, Search(beams)),
    )
    assert torch.equal(written.places, noise.argmax(-1).T)
    assert torch.equal(written.origins, written.places)
    assert torch.allclose(written.weights, torch.tensor(1 / source.shape[0]))
    scene = captioner.see(annotations)
    for row in range(6):
        state, before, score = captioner.begin(scene.rows(slice(row, row + 1))), START, 0.0
        for step, word in enumerate(found.tokens[row, : found.lengths[row]].tolist()):
            seen = scene.annotations[row, noise[row, step].argmax()]
            state, told = captioner.advance(torch.tensor([before]), seen[None], state)
            scores = captioner.score(told)[0].detach()
            scores[[PAD, START, UNKNOWN]] = -torch.inf
            score += float(scores.log_softmax(-1)[word])
            before = word
        assert score == pytest.approx(float(found.scores[row]), rel=1e-4)


def test_random_places_are_uniform_the_same_every_time_and_on_a_shape_as_often_as_chance_is(source: SceneSource) -> None:
    captioner = make(source)
    with torch.no_grad():
        captioner.output.bias[FIRST_COLOUR:] += 20.0  # it names something with nearly every word
    written = list(write_all(captioner, source, Search(), CPU, "random"))
    places = torch.cat([chunk.places.flatten() for chunk in written]).bincount(minlength=source.shape[0])
    expected = places.sum() / source.shape[0]
    assert ((places - expected).abs() < 5 * expected.sqrt()).all()

    holds = source.holds(torch.arange(len(source)), CPU).float().mean(1)  # (pictures, V)
    captions = [caption for chunk in written for caption in chunk.captions]
    chances = [float(holds[row, word]) for row, caption in enumerate(captions) for word in caption if word >= FIRST_COLOUR]
    chance = sum(chances) / len(chances)
    assert chance > 0.005
    on_shape = attention_on_shape(source, written)
    assert abs(on_shape - chance) < 4 * (chance / len(chances)) ** 0.5

    figures = [score_captions(captioner, source, Search(), CPU, places) for places in ("attended", "random")]
    assert figures[1]["attention_on_shape"] == on_shape
    assert figures[0] != figures[1]

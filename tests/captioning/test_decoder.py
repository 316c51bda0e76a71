"""The captioner against its equations."""

from __future__ import annotations

import dataclasses
from itertools import pairwise

import pytest
import torch

from attention_env.captions import END, PAD, START
from captioning.config import CaptionConfig
from captioning.decoder import Captioner, State

PLACES, NUMBERS, UNITS, WORDS = 6, 9, 5, 11
CONFIG = CaptionConfig(annotation_units=UNITS, hidden=8, embedding=4, attention_units=3, dropout=0.0)


@pytest.fixture
def captioner() -> Captioner:
    torch.manual_seed(0)
    return Captioner((PLACES, NUMBERS), WORDS, CONFIG).eval()


def test_annotations_are_seen_through_a_layer(captioner: Captioner) -> None:
    given = torch.randn(3, PLACES, NUMBERS)
    scene = captioner.see(given)
    layer = captioner.annotation
    assert torch.allclose(scene.annotations, (given @ layer.weight.T + layer.bias).clamp(min=0), atol=1e-6)
    assert torch.equal(scene.keys, captioner.attention.keys(scene.annotations))


def test_first_states_are_two_networks_of_the_mean(captioner: Captioner) -> None:
    scene = captioner.see(torch.randn(3, PLACES, NUMBERS))
    state = captioner.begin(scene)
    mean = scene.annotations.sum(1) / PLACES
    for found, layer in ((state.hidden, captioner.first_hidden), (state.cell, captioner.first_cell)):
        assert torch.allclose(found, torch.tanh(mean @ layer.weight.T + layer.bias), atol=1e-6)
    assert not torch.allclose(state.hidden, state.cell)


def test_a_step_is_that_of_the_equations(captioner: Captioner) -> None:
    words, context = torch.tensor([START, 7]), torch.randn(2, UNITS)
    before = State(torch.randn(2, 8), torch.randn(2, 8))
    after, told = captioner.advance(words, context, before)
    gate = torch.sigmoid(before.hidden @ captioner.gate.weight.T + captioner.gate.bias)
    assert gate.shape == (2, 1)  # β is a number, not a vector
    seen, embedded = gate * context, captioner.embedding.weight[words]
    core = captioner.core.gates
    i, f, o, g = (torch.cat((embedded, seen, before.hidden), 1) @ core.weight.T + core.bias).chunk(4, 1)
    cell = f.sigmoid() * before.cell + i.sigmoid() * g.tanh()
    hidden = o.sigmoid() * cell.tanh()
    assert torch.allclose(after.cell, cell, atol=1e-6)
    assert torch.allclose(after.hidden, hidden, atol=1e-6)
    deep = embedded + captioner.hidden_output(hidden) + seen @ captioner.context_output.weight.T
    assert torch.allclose(captioner.score(told), captioner.output(torch.tanh(deep)), atol=1e-5)


def test_looks_that_are_tried_one_by_one_are_steps_of_their_own(captioner: Captioner) -> None:
    words, contexts = torch.tensor([START, 7]), torch.randn(2, 5, UNITS)
    before = State(torch.randn(2, 8), torch.randn(2, 8))
    after, told = captioner.advance(words, contexts, before)
    for look in range(5):
        alone, said = captioner.advance(words, contexts[:, look], before)
        for found, right in ((after.hidden, alone.hidden), (after.cell, alone.cell), (told, said)):
            assert torch.allclose(found[:, look], right, atol=1e-6)


def test_reading_is_step_after_step_of_each_caption_alone(captioner: Captioner) -> None:
    """Captions of different lengths, several of a picture: what the rows of a shrinking batch give is what each gives by itself."""
    annotations = torch.randn(2, PLACES, NUMBERS)
    captions = torch.tensor([[[START, 9, END, PAD], [START, 5, 6, END]], [[START, END, PAD, PAD], [START, 7, 8, END]]])
    read = captioner(annotations, captions)
    found: dict[tuple[int, ...], list[torch.Tensor]] = {}
    for scores, word in zip(read.scores, read.words, strict=True):
        found.setdefault((int(word),), []).append(scores)
    total, count, seen = torch.zeros(()), 0, []
    for picture, references in enumerate(captions):
        for caption in references:
            scene = captioner.see(annotations[picture : picture + 1])
            state = captioner.begin(scene)
            weights = torch.zeros(PLACES)
            for before, word in pairwise([int(word) for word in caption if word != PAD]):
                looked = captioner.look(scene, state)
                state, told = captioner.advance(torch.tensor([before]), looked.context, state)
                scores = captioner.score(told)[0]
                assert any(torch.allclose(scores, other, atol=1e-5) for other in found[(word,)])
                weights = weights + looked.weights[0]
                total, count = total - (looked.weights * looked.log_weights).sum(), count + 1
            seen.append(weights)
    assert len(read.words) == count
    order = [1, 3, 0, 2]  # the longest first
    assert torch.allclose(read.seen, torch.stack([seen[row] for row in order]), atol=1e-5)
    assert torch.allclose(read.entropy, total / count, atol=1e-5)


def test_where_to_look_depends_on_the_state_before_the_word_is_read(captioner: Captioner) -> None:
    """α_t comes of h_{t-1}: the word that is read at the same step cannot change it."""
    scene = captioner.see(torch.randn(1, PLACES, NUMBERS))
    state = captioner.begin(scene)
    context = captioner.look(scene, state).context
    first, second = (captioner.advance(torch.tensor([word]), context, state)[0] for word in (5, 6))
    assert not torch.allclose(captioner.look(scene, first).weights, captioner.look(scene, second).weights)
    assert torch.equal(captioner.look(scene, state).weights, captioner.look(scene, state).weights)


def test_the_number_of_places_is_not_fixed(captioner: Captioner) -> None:
    read = captioner(torch.randn(1, 20, NUMBERS), torch.tensor([[[START, 5, END]]]))
    assert read.seen.shape == (1, 20)
    assert torch.allclose(read.seen.sum(), torch.tensor(2.0))


def test_hard_and_soft_attention_have_the_same_weights() -> None:
    torch.manual_seed(0)
    soft = Captioner((PLACES, NUMBERS), WORDS, CONFIG)
    hard = Captioner((PLACES, NUMBERS), WORDS, dataclasses.replace(CONFIG, attention="hard"))
    hard.load_state_dict(soft.state_dict())
    annotations = torch.randn(2, PLACES, NUMBERS)
    scene = soft.see(annotations)
    state = soft.begin(scene)
    looked = hard.look(scene, state)
    assert torch.equal(looked.weights, soft.look(scene, state).weights)
    assert torch.equal(looked.context, scene.annotations[torch.arange(2), looked.place])

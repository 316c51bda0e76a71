"""Hard attention in its environment: the estimator against enumeration, its parts by hand, and training that learns to look."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from attention_core.config import TrainingConfig
from attention_core.policy_gradient import gumbel_noise, reward_to_go
from attention_core.training import make_accelerator
from attention_env.captions import END, SPECIAL, START, CaptionedPictures, Vocabulary
from attention_env.envs.caption import CaptionVectorEnv
from attention_env.sentence_rewards import Bleu
from captioning.config import CaptionConfig
from captioning.decoder import Captioner, State
from captioning.hard import Chance, EpisodeLearner, Episodes, _Loss, losses, play
from captioning.loading import load
from captioning.train import train

PLACES, NUMBERS, WORDS, STEPS = 3, 2, 7, 3
CAPTION = (5, 4, END)
CONFIG = CaptionConfig(attention="hard", annotation_units=6, hidden=5, embedding=3, attention_units=4, dropout=0.0, expected=0.0)
FEW = TrainingConfig(updates=3, warmup=1, log_every=1, validate_every=3)


@pytest.fixture
def source() -> CaptionedPictures:
    annotations = np.random.default_rng(0).normal(0, 2, (1, PLACES, NUMBERS)).astype(np.float32)
    return CaptionedPictures("toy", Vocabulary((*SPECIAL, "a", "b", "c")), annotations, np.array([[CAPTION]]))


@pytest.fixture
def captioner() -> Captioner:
    """One that has its preferences: places and words are far from equally likely."""
    torch.manual_seed(1)
    captioner = Captioner((PLACES, NUMBERS), WORDS, CONFIG)
    with torch.no_grad():
        for parameter in captioner.parameters():
            parameter.mul_(2.5)
    return captioner


def exact_bound(captioner: Captioner, annotations: Tensor) -> Tensor:
    """L_s = Σ_s p(s | a) log p(y | s, a), over all 27 ways to look."""
    total = torch.zeros(())
    for places in itertools.product(range(PLACES), repeat=STEPS):
        scene = captioner.see(annotations)
        state = captioner.begin(scene)
        likely, told = torch.zeros(()), torch.zeros(())
        for place, before, word in zip(places, (START, *CAPTION), CAPTION, strict=False):
            likely = likely + captioner.look(scene, state).log_weights[0, place]
            state, output = captioner.advance(torch.tensor([before]), scene.annotations[:, place], state)
            told = told + captioner.score(output).log_softmax(-1)[0, word]
        total = total + likely.exp() * told
    return total


def sampled(captioner: Captioner, source: CaptionedPictures, rows: int, seed: int = 0) -> Episodes:
    environment = CaptionVectorEnv(rows, source=source, output="torch", autoreset_mode="Disabled")
    noise = gumbel_noise((STEPS, rows, PLACES), torch.Generator().manual_seed(seed), torch.device("cpu"))
    everywhere = torch.zeros(rows, dtype=torch.bool)
    return play(captioner, environment, {"index": np.zeros(rows, np.int64)}, Chance(noise, None, everywhere))


@pytest.mark.parametrize("baseline", [0.0, -4.0])
def test_the_estimator_agrees_with_enumeration(captioner: Captioner, source: CaptionedPictures, baseline: float) -> None:
    """Samples weigh by p(s): that factor stands nowhere else. Whatever the baseline, the expectation is the gradient of L_s."""
    annotations = source.annotations(torch.zeros(1, dtype=torch.long), torch.device("cpu"))
    parameters = dict(captioner.named_parameters())
    exact = torch.autograd.grad(exact_bound(captioner, annotations), list(parameters.values()))
    rows = 200_000
    episodes = sampled(captioner, source, rows)
    parts = losses(episodes, reward_to_go(episodes.rewards), baseline, torch.zeros(rows, dtype=torch.bool), CONFIG)
    estimated = torch.autograd.grad(-(parts["words"] + parts["places"]), list(parameters.values()))
    right, found = (torch.cat([part.flatten() for part in parts]) for parts in (exact, estimated))
    assert (found - right).norm() < 0.03 * right.norm()
    # The layer that chooses places learns from REINFORCE alone.
    place = list(parameters).index("attention.score.weight")
    assert exact[place].norm() > 0.02
    assert (estimated[place] - exact[place]).norm() < 0.25 * exact[place].norm()


def test_the_environment_pays_what_the_captioner_thinks_of_the_true_words(captioner: Captioner, source: CaptionedPictures) -> None:
    episodes = sampled(captioner, source, 50)
    assert torch.allclose(episodes.rewards.float(), episodes.told.detach(), atol=1e-5)
    assert episodes.playing.all()
    assert len(episodes.rewards.sum(0).unique()) > 1  # it depends on where was looked


def test_a_baseline_makes_the_gradient_less_noisy(captioner: Captioner, source: CaptionedPictures) -> None:
    def noise(baseline: float | str) -> float:
        estimates = []
        for seed in range(40):
            episodes = sampled(captioner, source, 8, seed)
            returns = reward_to_go(episodes.rewards)
            b = mean if baseline == "mean" else 0.0
            part = losses(episodes, returns, b, torch.zeros(8, dtype=torch.bool), CONFIG)["places"]
            estimates.append(torch.autograd.grad(part, [captioner.attention.score.weight])[0].flatten())
        return float(torch.stack(estimates).var(0).sum())

    mean = reward_to_go(sampled(captioner, source, 4000, seed=99).rewards).mean(1, keepdim=True)
    assert noise("mean") < 0.5 * noise(0.0)


def test_captions_that_see_the_expectation_teach_by_its_gradient_and_not_by_reinforce() -> None:
    config = CONFIG
    shape = (2, 4)
    episodes = Episodes(
        torch.ones(shape, dtype=torch.bool),
        torch.randn(shape),
        torch.randn(shape, requires_grad=True),
        torch.randn(shape),
        torch.randn(shape, requires_grad=True),
        torch.rand(shape),
    )
    everywhere = torch.tensor([True, False, False, True])
    losses(episodes, reward_to_go(episodes.rewards), 0.0, everywhere, config)["places"].backward()
    assert episodes.looked.grad is not None
    assert episodes.looked.grad.any(0).tolist() == [False, True, True, False]


def test_words_that_are_over_count_for_nothing() -> None:
    told = torch.tensor([[-1.0, -2.0], [-3.0, -100.0]], requires_grad=True)
    playing = torch.tensor([[True, True], [True, False]])
    any_word = torch.tensor([[-5.0, -5.0], [-6.0, -100.0]])
    episodes = Episodes(playing, told.detach(), told, any_word, torch.zeros(2, 2), torch.zeros(2, 2))
    returns, everywhere = reward_to_go(told.detach()), torch.zeros(2, dtype=torch.bool)
    parts = losses(episodes, returns, 0.0, everywhere, replace(CONFIG, label_smoothing=0.0))
    assert parts["words"].item() == pytest.approx((1 + 3 + 2) / 2)
    parts = losses(episodes, returns, 0.0, everywhere, replace(CONFIG, label_smoothing=0.25))
    assert parts["words"].item() == pytest.approx((0.75 * (1 + 3 + 2) + 0.25 * (5 + 6 + 5)) / 2)


@pytest.mark.usefixtures("few_scenes")
@pytest.mark.parametrize(
    "change",
    [
        {},
        {"baseline": "leave_one_out", "samples": 2},
        {"baseline": "self_critical", "samples": 2},
        {"baseline": "none", "expected": 1.0},
        {"reward": "cider", "baseline": "self_critical"},
        {"reward": "bleu", "baseline": "moving_average"},
        {"reward": "cider_bleu", "baseline": "leave_one_out", "samples": 2},
        {"reward": "cider_bleu", "baseline": "leave_one_out", "samples": 2, "tries": 3},
        {"reward": "cider", "baseline": "self_critical", "attention": "soft"},
    ],
    ids=str,
)
def test_training_runs_is_saved_and_goes_on_to_the_same_numbers(tmp_path: Path, change: dict[str, Any]) -> None:
    settings: dict[str, Any] = {
        "attention": "hard",
        "annotation_units": 6,
        "hidden": 8,
        "embedding": 4,
        "attention_units": 4,
        "batch_size": 4,
        "beams": 1,
        **change,
    }
    config = CaptionConfig(training=FEW, **settings)
    whole = train(config, tmp_path / "whole")
    train(config, tmp_path / "parts", max_seconds=0.0)
    parts = train(config, tmp_path / "parts")
    timeless = [
        [{name: value for name, value in row.items() if not name.startswith("time/")} for row in folder.rows()]
        for folder in (whole, parts)
    ]
    assert timeless[0] == timeless[1]
    captioner, loaded, vocabulary, name = load(str(whole.path), torch.device("cpu"))
    assert loaded == config
    assert name == "whole"
    assert isinstance(captioner.begin(captioner.see(torch.zeros(1, 16, 528))), State)
    assert len(vocabulary) == captioner.embedding.num_embeddings


def test_the_last_copy_is_greedy_where_it_is_what_the_others_are_measured_by() -> None:
    config = CaptionConfig(attention="hard", baseline="self_critical", reward="cider", samples=2, batch_size=3, training=FEW)
    learner = EpisodeLearner(config, make_accelerator(FEW))
    chance = learner._draw(4, 3, free=True)
    assert chance.words is not None
    for noise in (chance.places, chance.words):
        assert noise.shape[1] == 9
        assert noise[:, :6].abs().min() > 0
        assert not noise[:, 6:].any()
    assert not chance.everywhere.any()


def written(
    captioner: Captioner, source: CaptionedPictures, temperature: float, rows: int = 20_000, tries: int = 1, seed: int = 0
) -> Episodes:
    environment = CaptionVectorEnv(rows, source=source, reward="bleu", output="torch", autoreset_mode="Disabled")
    generator = torch.Generator().manual_seed(seed)
    places, words = (gumbel_noise((STEPS, rows, many), generator, torch.device("cpu")) for many in (PLACES, WORDS))
    chance = Chance(places, words, torch.zeros(rows, dtype=torch.bool))
    return play(captioner, environment, {"index": np.zeros(rows, np.int64)}, chance, temperature, tries)


def exact_score(captioner: Captioner, annotations: Tensor, tries: int, temperature: float) -> Tensor:
    """J = Σ_y p(y) BLEU(y) over all sentences, each word's probability being over the places that are tried for it."""
    words = [END, 4, 5, 6]

    def rest(state: State, before: int, said: tuple[int, ...]) -> Tensor:
        if len(said) == STEPS or before == END:
            return torch.tensor(Bleu().score([said], [[CAPTION]])[0])
        weights = captioner.look(scene, state).weights[0]
        places = weights.argsort(descending=True)[:tries].tolist()
        shares, after = torch.zeros(PLACES, WORDS), {}
        for place in places:
            after[place], told = captioner.advance(torch.tensor([before]), scene.annotations[:, place], state)
            only = torch.zeros(PLACES, 1).index_fill(0, torch.tensor(place), 1.0)
            shares = shares + only * captioner.score(told).softmax(-1) * weights[place] / weights[places].sum()
        likely = (shares.sum(0)[words].log() / temperature).softmax(0)
        came_of = shares.argmax(0).tolist()
        total = torch.zeros(())
        for chance, word in zip(likely, words, strict=True):
            total = total + chance * rest(after[came_of[word]], word, (*said, word))
        return total

    scene = captioner.see(annotations)
    return rest(captioner.begin(scene), START, ())


@pytest.mark.parametrize("tries", [2, 100])
def test_places_that_are_tried_learn_with_the_words_that_come_of_them(
    captioner: Captioner, source: CaptionedPictures, tries: int
) -> None:
    """By enumeration: no place is drawn, and REINFORCE on the words is the gradient of the expected score, the places' with it."""
    annotations = source.annotations(torch.zeros(1, dtype=torch.long), torch.device("cpu"))
    exact = exact_score(captioner, annotations, tries, 0.7)
    rows, config = 20_000, replace(CONFIG, data="scenes", reward="bleu", tries=tries)
    episodes = written(captioner, source, 0.7, rows, tries)
    returns = reward_to_go(episodes.rewards).float()
    assert float(returns[0].mean()) == pytest.approx(exact.item(), rel=0.01)
    parts = losses(episodes, returns, exact.detach(), torch.zeros(rows, dtype=torch.bool), config)
    assert not parts["places"].any()
    parameters = dict(captioner.named_parameters())
    right, found = (torch.autograd.grad(part, list(parameters.values())) for part in (exact, -parts["words"]))
    whole, estimate = (torch.cat([part.flatten() for part in parts]) for parts in (right, found))
    assert (estimate - whole).norm() < 0.02 * whole.norm()
    place = list(parameters).index("attention.score.weight")
    assert right[place].norm() > 0.01
    assert (found[place] - right[place]).norm() < 0.03 * right[place].norm()


@pytest.mark.parametrize("temperature", [1.0, 0.5])
def test_words_are_drawn_by_their_scores_over_the_temperature(
    captioner: Captioner, source: CaptionedPictures, temperature: float
) -> None:
    scene = captioner.see(source.annotations(torch.zeros(1, dtype=torch.long), torch.device("cpu")))
    state = captioner.begin(scene)
    weights = captioner.look(scene, state).weights[0].tolist()
    told = written(captioner, source, temperature).told[0].detach()
    entropy, likely = 0.0, set()
    for place in range(PLACES):
        _, output = captioner.advance(torch.tensor([START]), scene.annotations[:, place], state)
        # Padding, the start and the unknown word are never written.
        logs = (captioner.score(output)[0, [END, 4, 5, 6]].detach() / temperature).log_softmax(0)
        entropy -= weights[place] * float((logs.exp() * logs).sum())
        likely |= {round(value, 3) for value in logs.tolist()}
    assert {round(value, 3) for value in told.tolist()} <= likely
    assert -float(told.mean()) == pytest.approx(entropy, rel=0.03)


def test_attention_that_learns_apart_leaves_the_rest_alone(source: CaptionedPictures) -> None:
    for apart in (False, True):
        torch.manual_seed(1)
        captioner = Captioner((PLACES, NUMBERS), WORDS, replace(CONFIG, apart=apart))
        episodes = sampled(captioner, source, 50)
        parts = losses(episodes, reward_to_go(episodes.rewards), -4.0, torch.zeros(50, dtype=torch.bool), CONFIG)
        names = [name for name, _ in captioner.named_parameters()]
        found = torch.autograd.grad(parts["places"], list(captioner.parameters()), allow_unused=True)
        taught = {name.split(".")[0] for name, part in zip(names, found, strict=True) if part is not None and part.any()}
        assert (taught == {"attention"}) == apart
        assert "attention" in taught


def test_rewards_to_come_are_discounted() -> None:
    config = replace(CONFIG, discount=0.5, data="scenes", batch_size=2, baseline="none")
    learner = EpisodeLearner(config, make_accelerator(FEW))
    options, chance = learner._next_batch()
    assert isinstance(learner.module, _Loss)
    parts, _ = learner.module.parts(learner.environment, options, chance)
    episodes = play(learner.captioner, learner.environment, options, chance)
    by_hand = 0.0
    for row in range(2):
        for step, log in enumerate(episodes.looked[:, row].tolist()):
            to_come = sum(0.5**later * reward for later, reward in enumerate(episodes.rewards[step:, row].tolist()))
            by_hand -= log * to_come * bool(episodes.playing[step, row]) / 2
    assert parts["places"].item() == pytest.approx(by_hand, rel=1e-4)


@pytest.mark.parametrize("attention", ["hard", "soft"])
def test_sentences_teach_words_and_places_by_how_much_better_they_are(attention: Any) -> None:
    """Of unequal length: -(1/B) Σ_i Σ_t log π (R_t - b_t), as long as they are played."""
    generator = torch.Generator().manual_seed(0)
    told, any_word, looked, returns, baseline = (torch.randn(3, 2, generator=generator).tolist() for _ in range(5))
    playing = [[True, True], [True, False], [True, False]]
    words = places = 0.0
    for step, row in itertools.product(range(3), range(2)):
        if playing[step][row]:
            words -= told[step][row] * (returns[step][row] - baseline[step][row]) / 2
            places -= looked[step][row] * (returns[step][row] - baseline[step][row]) / 2
    episodes = Episodes(torch.tensor(playing), torch.zeros(3, 2), *map(torch.tensor, (told, any_word, looked)), torch.zeros(3, 2))
    config = replace(CONFIG, attention=attention, reward="bleu", data="scenes")
    parts = losses(episodes, torch.tensor(returns), torch.tensor(baseline), torch.zeros(2, dtype=torch.bool), config)
    assert parts["words"].item() == pytest.approx(words, rel=1e-5)
    assert parts["places"].item() == pytest.approx(places if attention == "hard" else 0.0, rel=1e-5)


def test_a_batch_of_sentences_is_measured_by_its_other_samples_at_the_temperature() -> None:
    config = replace(
        CONFIG, data="scenes", reward="bleu", baseline="leave_one_out", samples=2, batch_size=8, temperature=0.2, discount=1.0
    )
    learner = EpisodeLearner(config, make_accelerator(FEW))
    options, chance = learner._next_batch()
    assert isinstance(learner.module, _Loss)
    parts, _ = learner.module.parts(learner.environment, options, chance)
    episodes = play(learner.captioner, learner.environment, options, chance, temperature=0.2)
    paid = episodes.rewards.sum(0)
    assert (paid[:8] != paid[8:]).any()
    by_hand = 0.0
    for row, other in [*zip(range(8), range(8, 16), strict=True), *zip(range(8, 16), range(8), strict=True)]:
        for step, log in enumerate(episodes.told[:, row].tolist()):  # a sentence is paid when it ends
            by_hand -= log * (paid[row] - paid[other]).item() * bool(episodes.playing[step, row]) / 16
    assert (episodes.playing.sum(0)[:8] != episodes.playing.sum(0)[8:]).any()
    assert parts["words"].item() == pytest.approx(by_hand, rel=1e-4)


@pytest.mark.parametrize("baseline", ["leave_one_out", "self_critical"])
def test_a_long_sentence_that_scores_as_a_short_one_does_is_no_better_in_its_late_words(baseline: Any) -> None:
    config = replace(CONFIG, reward="cider", baseline=baseline, samples=2, data="scenes")
    rows = 2 if baseline == "leave_one_out" else 3  # the last one greedy
    playing = torch.tensor([[True] * rows, [True] * rows, [True] + [False] * (rows - 1), [True] + [False] * (rows - 1)])
    rewards = torch.zeros(4, rows)
    rewards[3, 0], rewards[1, 1:] = 0.75, 0.75
    none = torch.zeros(4, rows)
    loss = _Loss(Captioner((PLACES, NUMBERS), WORDS, config), config, 4)
    episodes, returns, compared = loss._baseline(Episodes(playing, rewards, none, none, none, none), reward_to_go(rewards))
    assert not ((returns - compared) * episodes.playing).any()

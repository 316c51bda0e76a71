"""What each part of the loss trains, against hand-written formulas; batches, epochs and random streams."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from small_agent import CERTAIN, draw_noise, expected_loss, play, play_all
from torch import nn

from agents.config import BASELINES, RAMConfig, ReinforceConfig, deviation_at
from agents.player import Episodes, Noise, Player
from agents.ram import RAM
from agents.reinforce import ReinforceLearner, credited, losses
from attention_core.config import TrainingConfig
from attention_core.order import ShuffledIndex
from attention_core.policy_gradient import reward_to_go

GLIMPSE_NETWORK = {"what", "where", "what_to_glimpse", "where_to_glimpse"}
CORE = {"glimpse_to_state", "state_to_state"}
BODY = GLIMPSE_NETWORK | CORE
LOOKING = {"location_head", "scan"}
MakePlayer = Callable[[ReinforceConfig], Player]
# Which layers each part of the loss may and must reach.
REACHED = {
    ("hybrid", "location"): LOOKING,
    ("hybrid", "answer"): BODY | {"class_head"},
    ("hybrid", "baseline"): {"baseline_head"},
    ("pure", "location"): BODY | LOOKING,
    ("pure", "answer"): BODY | {"class_head"},
    ("pure", "baseline"): {"baseline_head"},
}


def layers_with_gradient(network: RAM) -> set[str]:
    return {
        name.split(".")[0]
        for name, parameter in network.named_parameters()
        if parameter.grad is not None and parameter.grad.abs().max() > 0
    }


@pytest.fixture(params=["hybrid", "pure"])
def ruled(request: pytest.FixtureRequest, config: ReinforceConfig) -> ReinforceConfig:
    return dataclasses.replace(config, rule=request.param)


def some_episodes(player: Player, config: ReinforceConfig, rows: int = 64, **changes: Any) -> Episodes:
    """Episodes in which some answers are right and some wrong."""
    config = dataclasses.replace(config, **changes)
    episodes = play(player, config, np.arange(rows), draw_noise(player, config, rows))
    assert 0 < episodes.success.sum() < rows
    return episodes


@pytest.mark.parametrize("part", ["location", "answer", "baseline"])
def test_each_part_trains_what_it_should_and_nothing_else(player: Player, ruled: ReinforceConfig, part: str) -> None:
    episodes = some_episodes(player, ruled)
    losses(player, episodes, ruled, ruled.deviation)[part].backward()
    assert layers_with_gradient(player.network) == REACHED[ruled.rule, part]


def test_together_they_train_every_layer(player: Player, ruled: ReinforceConfig) -> None:
    episodes = some_episodes(player, ruled)
    sum(losses(player, episodes, ruled, ruled.deviation).values(), torch.zeros(())).backward()
    assert layers_with_gradient(player.network) == {name.split(".")[0] for name, _ in player.network.named_parameters()}


@pytest.mark.parametrize("part", ["location", "answer", "baseline", "stop"])
def test_eye_of_the_location_head_and_stop_head_are_trained_by_their_own_parts_alone(
    ruled: ReinforceConfig, make_player: MakePlayer, part: str
) -> None:
    network = dataclasses.replace(ruled.network, location_hidden=11)
    ruled = dataclasses.replace(ruled, env_kwargs={"stop": True}, network=network)
    player = make_player(ruled)
    losses(player, some_episodes(player, ruled), ruled, ruled.deviation)[part].backward()
    if part == "stop":
        assert layers_with_gradient(player.network) == {"stop_head"} | (BODY if ruled.rule == "pure" else set())
    else:
        own = {"location_eye"} if part == "location" else set()
        assert layers_with_gradient(player.network) == REACHED[ruled.rule, part] | own
    assert player.network.location_eye is not None
    for layer in ("state", "pixels"):
        gradient = player.network.location_eye[layer].weight.grad
        assert (gradient is not None and bool(gradient.any())) == (part == "location")


def test_share_of_the_baselines_gradient_goes_on_into_the_core(player: Player, config: ReinforceConfig) -> None:
    episodes = some_episodes(player, config)
    parameters = list(player.network.parameters())

    def gradients(share: float) -> list[torch.Tensor]:
        pure = dataclasses.replace(config, rule="pure", baseline_weight=share)
        loss = losses(player, episodes, pure, config.deviation)["baseline"]
        return list(torch.autograd.grad(loss, parameters, retain_graph=True, materialize_grads=True))

    none, some, all_of_it = gradients(0.0), gradients(0.25), gradients(1.0)
    for (name, _), nothing, quarter, whole in zip(player.network.named_parameters(), none, some, all_of_it, strict=True):
        if name.startswith("baseline_head"):
            torch.testing.assert_close(quarter, nothing)
            torch.testing.assert_close(whole, nothing)
        else:
            assert not nothing.any(), name
            torch.testing.assert_close(quarter, 0.25 * whole)
            assert whole.any() == (name.split(".")[0] in BODY), name


def test_of_the_references_the_scan_is_trained_or_nothing(ruled: ReinforceConfig, make_player: MakePlayer) -> None:
    scan, random = (dataclasses.replace(ruled, looks=looks) for looks in ("scan", "random"))
    player = make_player(scan)
    losses(player, some_episodes(player, scan), scan, scan.deviation)["location"].backward()
    assert layers_with_gradient(player.network) == {"scan"}
    player = make_player(random)
    parts = losses(player, some_episodes(player, random), random, random.deviation)
    assert not parts["location"].requires_grad
    (parts["answer"] + parts["location"]).backward()
    assert layers_with_gradient(player.network) == REACHED[ruled.rule, "answer"]


def by_hand(player: Player, episodes: Episodes, config: ReinforceConfig) -> dict[str, float]:
    """The parts of the loss, one step of one episode after the other."""
    network, rows, last = player.network, len(episodes.success), len(episodes.states) - 1
    baselines, scores = network.baseline(episodes.states), network.class_scores(episodes.states)
    heads = network.location_mean(episodes.states[:-1], episodes.glimpses, slice(last))
    every = "reward" in config.env_kwargs or "stop" in config.env_kwargs or config.every_answer > 0
    found = dict.fromkeys(("location", "answer", "baseline", "entropy"), 0.0)
    for row in range(rows):
        length = 1 + (last if episodes.stops is None else [*episodes.stops[:last, row].tolist(), True].index(True))
        for step in range(length):
            # Every later step counts by what it paid and by how far it changed what is expected; at λ = 1 this is R_t − b_t.
            expected = [*baselines[:length, row].tolist(), 0.0]
            advantage = sum(
                (config.discount * config.trace) ** (later - step)
                * (float(episodes.rewards[later, row]) + config.discount * expected[later + 1] - expected[later])
                for later in range(step, length)
            )
            found["baseline"] += advantage**2 / rows
            if step < length - 1:
                head, look = heads[step, row], episodes.looks[step, row]
                cells = "grid" in config.env_kwargs
                density = (
                    torch.distributions.Categorical(logits=head) if cells else torch.distributions.Normal(head, config.deviation)
                )
                found["location"] -= float(density.log_prob(look).sum()) * advantage / rows
            if episodes.stops is not None and step < last:
                odds = float(network.stop_score(episodes.states[step, row]))
                chance = 1 / (1 + math.exp(-odds if episodes.stops[step, row] else odds))
                found["stop"] = found.get("stop", 0.0) - math.log(chance) * advantage / rows
            logs = scores[step, row].log_softmax(-1)
            if config.rule == "hybrid":
                assert episodes.labels is not None
                weight = 1.0 if step == length - 1 else config.every_answer
                found["answer"] -= weight * float(logs[episodes.labels[row]]) / rows
            elif step == length - 1 or "reward" in config.env_kwargs:
                found["answer"] -= float(logs[episodes.named[step, row]]) * advantage / rows
            if step == length - 1 or every:
                entropy = float(torch.distributions.Categorical(logits=logs).entropy())
                found["entropy"] += entropy / rows / (length if every else 1)
    return found


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"discount": 0.3, "env_kwargs": {"step_cost": 0.1}},
        {"env_kwargs": {"stop": True, "step_cost": 0.1}},
        {"discount": 0.3, "env_kwargs": {"stop": True, "step_cost": 0.1, "action_format": "grid", "grid": 3}},
        {"env_kwargs": {"zoom": True, "rotate": True}},
        {"env_kwargs": {"reward": "dense", "stop": True}},
        {"discount": 0.9, "trace": 0.5, "env_kwargs": {"stop": True, "step_cost": 0.1}},
        {"every_answer": 0.5},
        {"every_answer": 0.25, "env_kwargs": {"stop": True}},
    ],
    ids=str,
)
@torch.no_grad()
def test_parts_are_those_of_the_formulas(ruled: ReinforceConfig, make_player: MakePlayer, changes: dict[str, Any]) -> None:
    config = dataclasses.replace(ruled, **changes)
    player = make_player(config)
    episodes = some_episodes(player, config)
    found = losses(player, episodes, config, config.deviation)
    assert {name: part.item() for name, part in found.items()} == pytest.approx(by_hand(player, episodes, config), rel=1e-4)


def test_weights_of_earlier_answers_are_those_of_the_settings(player: Player, config: ReinforceConfig) -> None:
    episodes = some_episodes(player, config)
    assert episodes.labels is not None
    labels = episodes.labels.expand(6, -1).flatten()
    scores = player.network.class_scores(episodes.states)
    errors = torch.nn.functional.cross_entropy(scores.flatten(0, 1), labels, reduction="none").reshape(6, -1).mean(1)
    for weight in (0.0, 0.5, 1.0):
        found = losses(player, episodes, dataclasses.replace(config, every_answer=weight), config.deviation)["answer"]
        torch.testing.assert_close(found, errors[-1] + weight * errors[:-1].sum())


@pytest.mark.parametrize("changes", [{}, {"every_answer": 0.5, "discount": 0.5}], ids=str)
def test_episode_that_has_ended_teaches_nothing_more(
    ruled: ReinforceConfig, make_player: MakePlayer, changes: dict[str, Any]
) -> None:
    config = dataclasses.replace(ruled, env_kwargs={"stop": True, "step_cost": 0.1}, **changes)
    player = make_player(config)
    episodes = some_episodes(player, config)
    playing = episodes.playing
    assert 0.1 < playing.float().mean() < 0.9
    parts = losses(player, episodes, config, config.deviation)
    (gradient,) = torch.autograd.grad(sum(parts.values(), torch.zeros(())), episodes.states, retain_graph=True)
    assert not gradient[~playing].any()
    assert gradient[playing].any(-1).all()
    # Nor does it matter what would have been chosen there.
    assert episodes.stops is not None
    chance = torch.Generator().manual_seed(0)
    rest = episodes._replace(
        states=torch.where(playing[..., None], episodes.states, torch.randn(episodes.states.shape, generator=chance)),
        looks=torch.where(playing[1:, :, None], episodes.looks, 5.0),
        named=torch.where(playing, episodes.named, 7),
        stops=episodes.stops | ~playing,
    )
    changed = losses(player, rest, config, config.deviation)
    for name, part in parts.items():
        torch.testing.assert_close(changed[name], part, msg=name)


def assert_gradients_agree(estimate: torch.Tensor, exact: torch.Tensor, parameters: dict[str, nn.Parameter]) -> None:
    """The mean estimate of a loss's gradient is minus that of what is to be raised, in every parameter."""
    descent, ascent = (torch.autograd.grad(value, list(parameters.values()), retain_graph=True) for value in (estimate, exact))
    for name, down, up in zip(parameters, descent, ascent, strict=True):
        torch.testing.assert_close(down, -up, rtol=1e-3, atol=1e-6, msg=lambda message, name=name: f"{name}: {message}")
        assert up.abs().max() > 1e-4, name


@pytest.mark.parametrize(
    "task",
    [{}, {"glimpses": 3}, {"stop": True, "step_cost": 0.125}, {"reward": "dense"}, {"reward": "dense", "stop": True}],
    ids=str,
)
def test_mean_of_pure_gradients_is_that_of_the_expected_return(
    config: ReinforceConfig, make_player: MakePlayer, toy: dict[str, Any], task: dict[str, Any]
) -> None:
    """Over all that can be looked at, named and stopped, through the environment: of every layer that acts."""
    config = dataclasses.replace(config, rule="pure", env_kwargs={**toy, **task})
    player = make_player(config)
    episodes, chances = play_all(player, config)
    assert chances.sum().item() == pytest.approx(3, rel=1e-5)
    assert len(episodes.rewards.sum(0).unique()) > 1
    parts = ("location", "answer", *(["stop"] if "stop" in task else []))
    acting = {name: part for name, part in player.network.named_parameters() if not name.startswith("baseline_head")}
    exact = (chances * episodes.rewards.sum(0)).sum() / 3
    assert_gradients_agree(expected_loss(player, config, episodes, chances, *parts), exact, acting)


@pytest.mark.parametrize("location_hidden", [0, 11])
@pytest.mark.parametrize("credit", ["return", "information"])
def test_mean_of_hybrid_gradients_is_that_of_the_expected_success_less_the_costs(
    config: ReinforceConfig, make_player: MakePlayer, toy: dict[str, Any], location_hidden: int, credit: str
) -> None:
    """Of the heads that act by chance, when the likeliest class is named ("return") or a class by its probability."""
    network = dataclasses.replace(config.network, location_hidden=location_hidden)
    task = {**toy, "glimpses": 3, "stop": True, "step_cost": 0.125}
    config = dataclasses.replace(config, env_kwargs=task, network=network, credit=credit)
    player = make_player(config)
    episodes, chances = play_all(player, config)
    assert episodes.labels is not None
    assert chances.sum().item() == pytest.approx(3, rel=1e-5)
    ends, rows = episodes.lengths - 1, torch.arange(len(chances))
    probabilities = player.network.class_scores(episodes.states[ends, rows]).softmax(-1)
    certainty = probabilities[rows, episodes.labels].detach()
    reached = certainty if credit == "information" else (probabilities.argmax(-1) == episodes.labels).float()
    exact = (chances * (reached - 0.125 * episodes.lengths)).sum() / 3
    names = ("location_", "scan", "stop_head")
    heads = {name: part for name, part in player.network.named_parameters() if name.startswith(names)}
    estimate = expected_loss(player, config, credited(player.network, episodes, config), chances, "location", "stop")
    assert_gradients_agree(estimate, exact, heads)


@pytest.mark.parametrize("task", [{}, {"step_cost": 0.125}, {"stop": True, "step_cost": 0.125}], ids=str)
def test_information_adds_up_to_what_was_learned_of_the_true_class_and_costs_stay(
    config: ReinforceConfig, make_player: MakePlayer, task: dict[str, Any]
) -> None:
    config = dataclasses.replace(config, env_kwargs=task, credit="information")
    player = make_player(config)
    episodes = some_episodes(player, config)
    found = credited(player.network, episodes, config).rewards
    assert episodes.labels is not None
    certainty = player.network.class_scores(episodes.states).softmax(-1).detach()[:, range(64), episodes.labels]
    for row, length in enumerate(episodes.lengths.tolist()):
        by_step = certainty[:length, row].diff(append=certainty[length - 1 : length, row])
        by_step -= task.get("step_cost", 0.0)
        torch.testing.assert_close(found[:length, row], by_step)
        assert not found[length:, row].any()
    gained = certainty[episodes.lengths - 1, range(64)] - certainty[0]
    torch.testing.assert_close(found.sum(0), gained - task.get("step_cost", 0.0) * episodes.lengths)
    assert gained.abs().max() > 0.1
    assert not found.requires_grad


def test_returns_are_credited_as_the_environment_pays_them(player: Player, config: ReinforceConfig) -> None:
    episodes = some_episodes(player, config)
    assert torch.equal(credited(player.network, episodes, config).rewards, episodes.rewards)


def test_log_probability_is_that_of_the_sample_that_was_not_clipped(player: Player, config: ReinforceConfig) -> None:
    episodes = some_episodes(player, config)
    beyond = episodes._replace(looks=episodes.looks * 4)
    found = losses(player, beyond, config, config.deviation)["location"]
    clipped = losses(player, beyond._replace(looks=beyond.looks.clamp(-1, 1)), config, config.deviation)
    assert abs(found.item() - clipped["location"].item()) > 1
    means = player.network.location_mean(beyond.states[:-1], beyond.glimpses, slice(5)).detach()
    density = torch.distributions.Normal(means, config.deviation).log_prob(beyond.looks).sum(-1)
    advantage = beyond.rewards[-1] - player.network.baseline(beyond.states[:-1]).detach()
    torch.testing.assert_close(found, -(density * advantage).sum(0).mean(), rtol=1e-4, atol=1e-4)


def test_losses_do_not_change_when_the_batch_is_doubled(player: Player, ruled: ReinforceConfig) -> None:
    noise = draw_noise(player, ruled, 16)
    assert noise.look is not None
    twice = Noise(noise.look.repeat(1, 2, 1), None if noise.answer is None else noise.answer.repeat(2, 1))
    index = np.arange(16)
    once = losses(player, play(player, ruled, index, noise), ruled, ruled.deviation)
    doubled = losses(player, play(player, ruled, np.tile(index, 2), twice), ruled, ruled.deviation)
    for part, value in once.items():
        torch.testing.assert_close(doubled[part], value)


def test_pure_gradient_is_that_of_the_expected_reward(player: Player, config: ReinforceConfig) -> None:
    """With one glimpse the only action is the class, and the expectation is a sum over ten of them."""
    config = dataclasses.replace(config, rule="pure", env_kwargs={"glimpses": 1})
    noise = draw_noise(player, config, 8)
    weight = player.network.class_head.weight
    expected = torch.zeros_like(weight)
    for name in range(10):
        episodes = play(player, config, np.arange(8), noise._replace(answer=torch.eye(10)[name].expand(8, 10) * CERTAIN))
        assert (episodes.named[-1] == name).all()
        probabilities = player.network.class_scores(episodes.states[-1]).softmax(-1)[:, name].detach()
        for row in range(8):
            loss = losses(player, episodes.rows(slice(row, row + 1)), config, config.deviation)["answer"]
            expected += probabilities[row] / 8 * torch.autograd.grad(loss, weight, retain_graph=True)[0]
    right = player.network.class_scores(episodes.states[-1]).softmax(-1)[torch.arange(8), episodes.labels].mean()
    torch.testing.assert_close(expected, -torch.autograd.grad(right, weight)[0], rtol=1e-4, atol=1e-6)


def test_weight_of_the_location_loss_counts_in_the_hybrid_rule(config: ReinforceConfig) -> None:
    def gradients(weight: float) -> dict[str, torch.Tensor]:
        changed = dataclasses.replace(config, batch_size=64, location_weight=weight, env_kwargs={"stop": True})
        learner = ReinforceLearner(changed, Accelerator())
        learner.loss(learner.module)[0].backward()
        return {
            name.rsplit(".", 2)[-2]: parameter.grad
            for name, parameter in learner.module.named_parameters()
            if parameter.grad is not None and name.endswith(".weight")
        }

    once, thrice = gradients(1.0), gradients(3.0)
    for head in ("location_head", "stop_head"):
        assert once[head].abs().max() > 0
        torch.testing.assert_close(thrice[head], 3 * once[head])
    torch.testing.assert_close(thrice["class_head"], once["class_head"])


@pytest.fixture
def catch() -> ReinforceConfig:
    """A small agent in the environment that moves."""
    return ReinforceConfig(
        env="attention_env/Catch-v0",
        env_kwargs={"glimpses": 4},
        rule="pure",
        batch_size=32,
        network=RAMConfig(glimpse_width=12, location_width=10, hidden=16, core="lstm"),
        training=TrainingConfig(updates=4, warmup=1, log_every=2, validate_every=2),
    )


def test_where_every_step_acts_every_step_is_learned_from(catch: ReinforceConfig) -> None:
    learner = ReinforceLearner(catch, Accelerator())
    recorder = Recorder()
    learner.loss(recorder)
    environment, options, noise, deviation = recorder.calls[0]
    assert noise.answer is not None
    assert noise.answer.shape == (4, 32, 3)
    assert isinstance(learner.module, nn.Module)
    network = learner.module.player.network
    episodes = learner.module.player(environment, options, noise)
    assert episodes.labels is None
    assert len(episodes.named.unique()) == 3
    assert 0 < episodes.success.sum() < 32
    found = losses(learner.module.player, episodes, catch, deviation)["answer"].item()
    with torch.no_grad():
        logs, baselines = network.class_scores(episodes.states).log_softmax(-1), network.baseline(episodes.states)
    expected = 0.0
    for row in range(32):
        for step in range(4):
            advantage = float(episodes.rewards[-1, row] - baselines[step, row])
            expected -= float(logs[step, row, episodes.named[step, row]]) * advantage / 32
    assert found == pytest.approx(expected, rel=1e-4)


def test_the_hybrid_rule_keeps_the_baseline_from_the_core(config: ReinforceConfig) -> None:
    with pytest.raises(ValueError, match=r"baseline_weight=0\.5 is for rule='pure'"):
        ReinforceLearner(dataclasses.replace(config, rule="hybrid", baseline_weight=0.5), Accelerator())


def test_where_nothing_has_a_true_class_the_hybrid_rule_is_refused(catch: ReinforceConfig) -> None:
    with pytest.raises(ValueError, match="rule='hybrid' learns from true classes, which attention_env/Catch-v0 does not have"):
        ReinforceLearner(dataclasses.replace(catch, rule="hybrid"), Accelerator())


def test_location_head_and_its_eye_decay_by_their_own_rate(config: ReinforceConfig) -> None:
    network = dataclasses.replace(config.network, location_hidden=8)
    learner = ReinforceLearner(dataclasses.replace(config, network=network, location_decay=2.5), Accelerator())
    others, head = learner.parameter_groups()
    assert "weight_decay" not in others
    assert head["weight_decay"] == 2.5
    names = {id(parameter): name for name, parameter in learner.released(learner.module).named_parameters()}
    assert {names[id(parameter)].split(".")[0] for parameter in head["params"]} == {"location_head", "location_eye"}
    assert len(others["params"]) + len(head["params"]) == len(list(learner.module.parameters()))


def test_information_is_no_credit_for_answers_that_are_paid_one_by_one(config: ReinforceConfig) -> None:
    dense = dataclasses.replace(config, rule="hybrid", credit="information", env_kwargs={"reward": "dense"})
    with pytest.raises(ValueError, match="use credit='return', or reward='sparse'"):
        ReinforceLearner(dense, Accelerator())


@pytest.mark.parametrize("baseline", BASELINES)
def test_catch_is_learned_from_with_every_baseline(catch: ReinforceConfig, baseline: str) -> None:
    learner = ReinforceLearner(dataclasses.replace(catch, baseline=baseline, samples=2), Accelerator())
    loss, metrics = learner.loss(learner.module)
    assert loss.isfinite()
    assert all(value.isfinite() for value in metrics.values())


class Recorder(nn.Module):
    """Stands in for the learner's module and keeps what it is called with."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[tuple[Any, dict[str, Any], Noise, float]] = []

    def forward(
        self, environment: Any, options: dict[str, Any], noise: Noise, deviation: float
    ) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        self.calls.append((environment, options, noise, deviation))
        return torch.zeros(()), {}


@pytest.mark.parametrize("stop", [False, True])
def test_samples_repeat_the_pictures_as_a_whole_with_chance_of_their_own(ruled: ReinforceConfig, stop: bool) -> None:
    config = dataclasses.replace(ruled, batch_size=5, samples=3, env_kwargs={"stop": stop})
    learner = ReinforceLearner(config, Accelerator())
    recorder = Recorder()
    for _ in range(2):
        learner.loss(recorder)
    order = ShuffledIndex(learner.order.count, config.seed)
    for environment, options, noise, _ in recorder.calls:
        pictures = order.take(5)
        assert np.array_equal(options["index"], [*pictures, *pictures, *pictures])
        assert options["copies"] == 3
        assert environment.num_envs == 15
        assert noise.look.shape == (5, 15, 2)
        assert len(noise.look.flatten().unique()) == 150
        assert (noise.answer is None) == (config.rule == "hybrid")
        assert noise.answer is None or noise.answer.shape == ((6, 15, 10) if stop else (15, 10))
        assert (noise.stop is None) == (not stop)
        assert noise.stop is None or (noise.stop.shape == (6, 15) and len(noise.stop.unique()) == 90)
    first, second = (noise for _, _, noise, _ in recorder.calls)
    assert not torch.equal(first.look, second.look)


@pytest.mark.parametrize("stop", [False, True])
def test_self_critical_plays_a_greedy_episode_of_each_picture_and_learns_from_the_others(
    ruled: ReinforceConfig, stop: bool
) -> None:
    task = {"stop": stop, "step_cost": 0.125}
    config = dataclasses.replace(ruled, batch_size=40, samples=2, baseline="self_critical", env_kwargs=task)
    learner = ReinforceLearner(config, Accelerator())
    recorder = Recorder()
    learner.loss(recorder)
    environment, options, noise, _ = recorder.calls[0]
    assert environment.num_envs == learner.examples_per_update == 120
    assert (noise.look[:, 80:] == 0).all()
    assert len(noise.look[:, :80].unique()) == 5 * 80 * 2
    assert isinstance(learner.module, nn.Module)
    player = learner.module.player
    whole = player(environment, options, noise)
    greedy = player(environment, options, None)
    assert torch.equal(whole.rewards[:, 80:], greedy.rewards[:, 80:])
    learned_from, baseline = learner.module._baseline(whole)
    assert len(learned_from.labels) == 80
    torch.testing.assert_close(baseline[0], whole.rewards[:, 80:].sum(0).repeat(2))


def test_the_moving_average_is_of_the_episodes_that_still_go_on(config: ReinforceConfig) -> None:
    stopping = dataclasses.replace(config, batch_size=40, baseline="moving_average", env_kwargs={"stop": True, "step_cost": 0.125})
    learner = ReinforceLearner(stopping, Accelerator())
    recorder = Recorder()
    learner.loss(recorder)
    environment, options, noise, _ = recorder.calls[0]
    assert isinstance(learner.module, nn.Module)
    episodes = learner.module.player(environment, options, noise)
    learner.module._baseline(episodes)
    _, baseline = learner.module._baseline(episodes)
    returns = reward_to_go(episodes.rewards, stopping.discount)
    assert not episodes.playing[-1].all()
    for step, going in enumerate(episodes.playing):
        right = returns[step, going].mean() if going.any() else torch.zeros(())
        torch.testing.assert_close(baseline[step, 0], right)


@pytest.mark.parametrize("baseline", BASELINES)
def test_every_baseline_gives_the_same_gradient_on_average(config: ReinforceConfig, baseline: str) -> None:
    """Of pure REINFORCE with one glimpse, where the only action is the class and the expectation is a sum."""
    config = dataclasses.replace(
        config, rule="pure", env_kwargs={"glimpses": 1}, batch_size=4, samples=2000, baseline=baseline, deviation=0.1
    )
    learner = ReinforceLearner(config, Accelerator())
    assert isinstance(learner.module, nn.Module)
    network, bias = learner.module.player.network, learner.module.player.network.class_head.bias
    learner.loss(learner.module)  # gives the moving average something to start from
    total, _ = learner.loss(learner.module)
    (estimate,) = torch.autograd.grad(total, bias)
    index = ShuffledIndex(learner.order.count, config.seed)
    index.take(4)
    episodes = play(learner.module.player, config, index.take(4), None)
    right = network.class_scores(episodes.states[-1]).softmax(-1)[torch.arange(4), episodes.labels].mean()
    (exact,) = torch.autograd.grad(right, bias)
    torch.testing.assert_close(estimate, -exact, rtol=0, atol=0.02)


def test_entropy_is_that_of_the_class_and_a_bonus_for_it_draws_the_classes_together(
    player: Player, config: ReinforceConfig
) -> None:
    episodes = some_episodes(player, config)
    probabilities = player.network.class_scores(episodes.states[-1]).softmax(-1).detach()
    found = losses(player, episodes, dataclasses.replace(config, rule="pure"), config.deviation)["entropy"]
    expected = np.mean([-sum(p * np.log(p) for p in row) for row in probabilities.double().numpy()])
    assert found.item() == pytest.approx(expected, rel=1e-4)
    pure = dataclasses.replace(config, rule="pure", batch_size=64)
    plain, with_bonus = (ReinforceLearner(dataclasses.replace(pure, entropy_weight=weight), Accelerator()) for weight in (0.0, 0.5))
    (loss, metrics), (lower, _) = plain.loss(plain.module), with_bonus.loss(with_bonus.module)
    torch.testing.assert_close(loss - lower, 0.5 * metrics["charts/entropy"])


def test_deviation_of_the_chance_is_the_one_told_to_the_loss_and_falls(config: ReinforceConfig) -> None:
    config = dataclasses.replace(
        config, batch_size=2000, deviation=0.5, final_deviation=0.05, annealing=0.5, training=TrainingConfig(updates=8)
    )
    learner = ReinforceLearner(config, Accelerator())
    recorder = Recorder()
    for _ in range(8):
        learner.loss(recorder)
    told = [deviation for *_, deviation in recorder.calls]
    assert told == pytest.approx([0.5 * 0.1 ** min(1, update / 4) for update in range(8)])
    assert told == [deviation_at(config, update) for update in range(8)]
    for *_, noise, deviation in recorder.calls:
        assert noise.look.std().item() == pytest.approx(deviation, rel=0.03)


@pytest.mark.parametrize(
    "changes",
    [
        {"training_kwargs": {"distortion": {"rotation": 20, "shift": 0.1}, "start": "random"}},
        {"env_kwargs": {"stop": True, "step_cost": 0.1, "zoom": True, "rotate": True}},
        {"env_kwargs": {"action_format": "grid", "grid": 3}},
        {"looks": "random"},
    ],
    ids=str,
)
def test_learner_goes_on_where_another_one_was(ruled: ReinforceConfig, changes: dict[str, Any]) -> None:
    config = dataclasses.replace(ruled, **changes)
    learner, other = ReinforceLearner(config, Accelerator()), ReinforceLearner(config, Accelerator())
    for _ in range(3):
        learner.loss(learner.module)
    other.load_state_dict(learner.state_dict())
    for _ in range(2):
        (loss, metrics), (same, same_metrics) = learner.loss(learner.module), other.loss(other.module)
        assert torch.equal(loss, same)
        assert all(torch.equal(value, same_metrics[name]) for name, value in metrics.items())
    fresh = ReinforceLearner(config, Accelerator())
    assert not torch.equal(fresh.loss(fresh.module)[0], loss)


def test_training_with_a_single_glimpse_has_finite_metrics(ruled: ReinforceConfig) -> None:
    learner = ReinforceLearner(dataclasses.replace(ruled, env_kwargs={"glimpses": 1}), Accelerator())
    loss, metrics = learner.loss(learner.module)
    assert loss.isfinite()
    assert all(value.isfinite() for value in metrics.values()), metrics


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"credit": "information", "discount": 0.3, "every_answer": 0.5},
        {"rule": "pure", "env_kwargs": {"stop": True, "zoom": True}},
        {"rule": "pure", "env_kwargs": {"action_format": "grid", "grid": 3}},
    ],
    ids=str,
)
@pytest.mark.parametrize("core", ["rnn", "lstm"])
def test_in_half_precision_the_same_layers_learn_the_same(
    config: ReinforceConfig, make_player: MakePlayer, changes: dict[str, Any], core: str
) -> None:
    """Under autocast, as accelerate has it: what was chosen without gradient must not keep the gradient from what is learned."""
    network = RAMConfig(glimpse_width=12, location_width=10, hidden=16, location_hidden=11, core=core)
    config = dataclasses.replace(config, batch_size=64, network=network, baseline="none", **changes)
    weights = make_player(config).network.state_dict()

    def gradients(half: bool) -> dict[str, torch.Tensor]:
        learner = ReinforceLearner(config, Accelerator())
        learner.released(learner.module).load_state_dict(weights)
        with torch.autocast("cpu", torch.bfloat16, enabled=half):
            loss, metrics = learner.loss(learner.module)
        assert all(value.isfinite() for value in (loss, *metrics.values()))
        loss.backward()
        return {name: part.grad for name, part in learner.module.named_parameters() if part.grad is not None}

    whole, half = gradients(False), gradients(True)
    assert set(whole) == set(half)
    for name, gradient in half.items():
        assert gradient.isfinite().all(), name
        assert gradient.any() == whole[name].any(), name
    flat, right = (torch.cat([part.flatten() for part in parts.values()]) for parts in (half, whole))
    assert torch.cosine_similarity(flat, right, dim=0) > 0.8


def test_metrics_tell_how_many_glimpses_were_taken(config: ReinforceConfig) -> None:
    learner = ReinforceLearner(dataclasses.replace(config, batch_size=64, env_kwargs={"stop": True}), Accelerator())
    recorder = Recorder()
    learner.loss(recorder)
    environment, options, noise, deviation = recorder.calls[0]
    _, metrics = learner.module(environment, options, noise, deviation)
    episodes = learner.released_player(learner.module)(environment, options, noise)
    assert metrics["charts/glimpses"].item() == pytest.approx(episodes.lengths.double().mean().item())
    assert 1 < metrics["charts/glimpses"].item() < 6
    assert metrics["losses/stop"].isfinite()


def learn(config: ReinforceConfig, updates: int = 150) -> list[dict[str, float]]:
    """A minute's curve in two seconds."""
    learner = ReinforceLearner(dataclasses.replace(config, batch_size=64), Accelerator())
    optimizer = torch.optim.Adam(learner.module.parameters(), lr=0.01)
    rows = []
    for _ in range(updates):
        loss, metrics = learner.loss(learner.module)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        rows.append({name: value.item() for name, value in metrics.items()})
    return rows


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"env_kwargs": {"action_format": "grid", "grid": 2}},
        {"credit": "information", "every_answer": 0.5, "discount": 0.3},
        {"looks": "scan"},
    ],
    ids=str,
)
def test_learning_raises_the_rate_of_success(config: ReinforceConfig, changes: dict[str, Any]) -> None:
    success = [row["charts/success"] for row in learn(dataclasses.replace(config, **changes))]
    assert np.mean(success[:5]) < 0.25
    assert np.mean(success[-10:]) > 0.5


def test_where_glimpses_cost_too_much_it_learns_to_answer_at_once_and_where_they_tell_for_nothing_to_wait(
    config: ReinforceConfig,
) -> None:
    dear = learn(dataclasses.replace(config, env_kwargs={"stop": True, "step_cost": 0.4}))
    free = learn(dataclasses.replace(config, env_kwargs={"stop": True}, credit="information", every_answer=1.0))
    for rows, least, most in ((dear, 1.0, 1.1), (free, 5.0, 6.0)):
        glimpses = [row["charts/glimpses"] for row in rows]
        # Stopping with probability σ(3 tanh(-2/3)) = 0.15 at each of the first five, an episode has 4.2 glimpses on average.
        assert 3.4 < np.mean(glimpses[:3]) < 4.7
        assert least <= np.mean(glimpses[-10:]) <= most

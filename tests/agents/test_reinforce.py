"""What each part of the loss trains, against hand-written formulas; batches, epochs and random streams."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from small_agent import draw_noise, play
from torch import nn

from agents.config import BASELINES, RAMConfig, ReinforceConfig, deviation_at
from agents.player import Episodes, Noise, Player
from agents.ram import RAM
from agents.reinforce import ReinforceLearner, ShuffledIndex, losses
from attention_core.config import TrainingConfig

GLIMPSE_NETWORK = {"what", "where", "what_to_glimpse", "where_to_glimpse"}
CORE = {"glimpse_to_state", "state_to_state"}
BODY = GLIMPSE_NETWORK | CORE
LOOKING = {"location_head", "scan"}
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
    episodes = play(player, config, np.arange(rows), draw_noise(config, rows))
    assert 0 < episodes.rewards.sum() < rows
    return episodes


@pytest.mark.parametrize("part", ["location", "answer", "baseline"])
def test_each_part_trains_what_it_should_and_nothing_else(player: Player, ruled: ReinforceConfig, part: str) -> None:
    episodes = some_episodes(player, ruled)
    losses(player.network, episodes, ruled.rule, ruled.deviation)[part].backward()
    assert layers_with_gradient(player.network) == REACHED[ruled.rule, part]


def test_together_they_train_every_layer(player: Player, ruled: ReinforceConfig) -> None:
    episodes = some_episodes(player, ruled)
    sum(losses(player.network, episodes, ruled.rule, ruled.deviation).values(), torch.zeros(())).backward()
    assert layers_with_gradient(player.network) == {name.split(".")[0] for name, _ in player.network.named_parameters()}


def test_parts_are_those_of_the_formulas(player: Player, ruled: ReinforceConfig) -> None:
    network, deviation, rows = player.network, ruled.deviation, 64
    episodes = some_episodes(player, ruled)
    found = losses(network, episodes, ruled.rule, deviation)
    with torch.no_grad():
        baselines = network.baseline(episodes.states)
        means = network.location_mean(episodes.states[:-1], slice(5))
        logs = network.class_scores(episodes.states[-1]).log_softmax(-1)
        location = answer = baseline = 0.0
        for row in range(rows):
            for step in range(6):
                to_go = episodes.rewards[step:, row].sum()
                advantage = to_go - baselines[step, row]
                baseline += float(advantage**2) / rows
                if step < 5:
                    density = torch.distributions.Normal(means[step, row], deviation)
                    location -= float(density.log_prob(episodes.locations[step, row]).sum() * advantage) / rows
                elif ruled.rule == "pure":
                    answer -= float(logs[row, episodes.answers[row]] * advantage) / rows
            if ruled.rule == "hybrid":
                answer -= float(logs[row, episodes.labels[row]]) / rows
    assert found["location"].item() == pytest.approx(location, rel=1e-4)
    assert found["answer"].item() == pytest.approx(answer, rel=1e-4)
    assert found["baseline"].item() == pytest.approx(baseline, rel=1e-4)


def test_log_probability_is_that_of_the_sample_that_was_not_clipped(player: Player, config: ReinforceConfig) -> None:
    episodes = some_episodes(player, config)
    beyond = episodes._replace(locations=episodes.locations * 4)
    found = losses(player.network, beyond, "hybrid", config.deviation)["location"]
    clipped = losses(player.network, beyond._replace(locations=beyond.locations.clamp(-1, 1)), "hybrid", config.deviation)
    assert abs(found.item() - clipped["location"].item()) > 1
    means = player.network.location_mean(beyond.states[:-1], slice(5)).detach()
    density = torch.distributions.Normal(means, config.deviation).log_prob(beyond.locations).sum(-1)
    advantage = beyond.rewards[-1] - player.network.baseline(beyond.states[:-1]).detach()
    torch.testing.assert_close(found, -(density * advantage).sum(0).mean(), rtol=1e-4, atol=1e-4)


def test_losses_do_not_change_when_the_batch_is_doubled(player: Player, ruled: ReinforceConfig) -> None:
    noise = draw_noise(ruled, 16)
    twice = Noise(noise.location.repeat(1, 2, 1), None if noise.answer is None else noise.answer.repeat(2, 1))
    index = np.arange(16)
    once = losses(player.network, play(player, ruled, index, noise), ruled.rule, ruled.deviation)
    doubled = losses(player.network, play(player, ruled, np.tile(index, 2), twice), ruled.rule, ruled.deviation)
    for part, value in once.items():
        torch.testing.assert_close(doubled[part], value)


def test_pure_gradient_is_that_of_the_expected_reward(player: Player, config: ReinforceConfig) -> None:
    """With one glimpse the only action is the class, and the expectation is a sum over ten of them."""
    config = dataclasses.replace(config, rule="pure", env_kwargs={"glimpses": 1})
    noise = draw_noise(config, 8, glimpses=1)
    weight = player.network.class_head.weight
    expected = torch.zeros_like(weight)
    for name in range(10):
        episodes = play(player, config, np.arange(8), noise._replace(answer=torch.eye(10)[name].expand(8, 10) * 1e6))
        assert (episodes.answers == name).all()
        probabilities = player.network.class_scores(episodes.states[-1]).softmax(-1)[:, name].detach()
        for row in range(8):
            loss = losses(player.network, episodes.rows(slice(row, row + 1)), "pure", config.deviation)["answer"]
            expected += probabilities[row] / 8 * torch.autograd.grad(loss, weight, retain_graph=True)[0]
    right = player.network.class_scores(episodes.states[-1]).softmax(-1)[torch.arange(8), episodes.labels].mean()
    torch.testing.assert_close(expected, -torch.autograd.grad(right, weight)[0], rtol=1e-4, atol=1e-6)


def test_weight_of_the_location_loss_counts_in_the_hybrid_rule(config: ReinforceConfig) -> None:
    def gradients(weight: float) -> dict[str, torch.Tensor]:
        learner = ReinforceLearner(dataclasses.replace(config, batch_size=64, location_weight=weight), Accelerator())
        learner.loss(learner.module)[0].backward()
        return {
            name.rsplit(".", 2)[-2]: parameter.grad
            for name, parameter in learner.module.named_parameters()
            if parameter.grad is not None and name.endswith(".weight")
        }

    once, thrice = gradients(1.0), gradients(3.0)
    assert once["location_head"].abs().max() > 0
    torch.testing.assert_close(thrice["location_head"], 3 * once["location_head"])
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
    found = losses(network, episodes, "pure", deviation)["answer"].item()
    with torch.no_grad():
        logs, baselines = network.class_scores(episodes.states).log_softmax(-1), network.baseline(episodes.states)
    expected = 0.0
    for row in range(32):
        for step in range(4):
            advantage = float(episodes.rewards[-1, row] - baselines[step, row])
            expected -= float(logs[step, row, episodes.named[step, row]]) * advantage / 32
    assert found == pytest.approx(expected, rel=1e-4)


def test_where_nothing_has_a_true_class_the_hybrid_rule_is_refused(catch: ReinforceConfig) -> None:
    with pytest.raises(ValueError, match="rule='hybrid' learns from true classes, which attention_env/Catch-v0 does not have"):
        ReinforceLearner(dataclasses.replace(catch, rule="hybrid"), Accelerator())


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


def test_samples_repeat_the_pictures_as_a_whole_with_chance_of_their_own(ruled: ReinforceConfig) -> None:
    config = dataclasses.replace(ruled, batch_size=5, samples=3)
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
        assert noise.location.shape == (5, 15, 2)
        assert len(noise.location.flatten().unique()) == 150
        assert (noise.answer is None) == (config.rule == "hybrid")
    first, second = (noise for _, _, noise, _ in recorder.calls)
    assert not torch.equal(first.location, second.location)


def test_self_critical_plays_a_greedy_episode_of_each_picture_and_learns_from_the_others(ruled: ReinforceConfig) -> None:
    config = dataclasses.replace(ruled, batch_size=40, samples=2, baseline="self_critical")
    learner = ReinforceLearner(config, Accelerator())
    recorder = Recorder()
    learner.loss(recorder)
    environment, options, noise, _ = recorder.calls[0]
    assert environment.num_envs == learner.examples_per_update == 120
    assert (noise.location[:, 80:] == 0).all()
    assert len(noise.location[:, :80].unique()) == 5 * 80 * 2
    assert isinstance(learner.module, nn.Module)
    player = learner.module.player
    whole = player(environment, options, noise)
    greedy = player(environment, options, None)
    assert torch.equal(whole.rewards[:, 80:], greedy.rewards[:, 80:])
    learned_from, baseline = learner.module._baseline(whole)
    assert len(learned_from.labels) == 80
    assert torch.equal(baseline[0], whole.rewards[-1, 80:].repeat(2))


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
    found = losses(player.network, episodes, "pure", config.deviation)["entropy"]
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
        assert noise.location.std().item() == pytest.approx(deviation, rel=0.03)


def test_learner_goes_on_where_another_one_was(ruled: ReinforceConfig) -> None:
    config = dataclasses.replace(ruled, training_kwargs={"distortion": {"rotation": 20, "shift": 0.1}, "start": "random"})
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


def test_learning_raises_the_rate_of_success(config: ReinforceConfig) -> None:
    """A minute's curve in two seconds: the losses pull in the right direction."""
    learner = ReinforceLearner(dataclasses.replace(config, batch_size=64), Accelerator())
    optimizer = torch.optim.Adam(learner.module.parameters(), lr=0.01)
    success = []
    for _ in range(150):
        loss, metrics = learner.loss(learner.module)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        success.append(float(metrics["charts/success"]))
    assert np.mean(success[:5]) < 0.25
    assert np.mean(success[-10:]) > 0.5


@pytest.mark.parametrize("size", [1, 3, 7, 10, 23])
def test_every_index_comes_once_an_epoch(size: int) -> None:
    order = ShuffledIndex(10, seed=0)
    taken = np.concatenate([order.take(size) for _ in range(30)])
    epochs = [taken[first : first + 10] for first in range(0, len(taken) - 9, 10)]
    assert all(sorted(epoch) == list(range(10)) for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) > len(epochs) / 2


def test_order_depends_on_the_seed_and_not_on_the_batch_size() -> None:
    assert np.array_equal(
        np.concatenate([ShuffledIndex(10, 4).take(25)]),
        np.concatenate([part for order in [ShuffledIndex(10, 4)] for part in (order.take(4), order.take(21))]),
    )
    assert not np.array_equal(ShuffledIndex(10, 4).take(10), ShuffledIndex(10, 5).take(10))


@pytest.mark.parametrize("taken", [0, 4, 10, 17])
def test_order_goes_on_from_its_state(taken: int) -> None:
    order = ShuffledIndex(10, seed=2)
    if taken:
        order.take(taken)
    state = order.state_dict()
    rest = order.take(31)
    other = ShuffledIndex(10, seed=2)
    other.take(3)
    other.load_state_dict(state)
    assert np.array_equal(other.take(31), rest)

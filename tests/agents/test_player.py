"""Whole episodes: what is chance in them, what is not, and in which environments they can be played."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
import torch
from small_agent import CPU, draw_noise, play

from agents.config import RAMConfig, ReinforceConfig
from agents.player import Noise, Player, make_environment, new_player

PICTURES = np.arange(8)


def test_episodes_have_the_shapes_that_are_promised(player: Player, config: ReinforceConfig) -> None:
    episodes = play(player, config, PICTURES, draw_noise(config, 8))
    assert episodes.states.shape == (6, 8, 16)
    assert episodes.states.requires_grad
    assert episodes.locations.shape == (5, 8, 2)
    assert not episodes.locations.requires_grad
    assert episodes.answers.shape == episodes.labels.shape == (8,)
    assert episodes.rewards.shape == (6, 8)


def test_without_noise_two_plays_are_the_same(player: Player, config: ReinforceConfig) -> None:
    first, second = (play(player, config, PICTURES, None) for _ in range(2))
    for one, other in zip(first[:-1], second[:-1], strict=True):
        assert torch.equal(one, other)


def test_without_noise_it_looks_at_the_mean_and_names_the_likeliest(player: Player, config: ReinforceConfig) -> None:
    episodes = play(player, config, PICTURES, None)
    torch.testing.assert_close(episodes.locations, player.network.location_mean(episodes.states[:-1], slice(5)).detach())
    assert torch.equal(episodes.answers, player.network.class_scores(episodes.states[-1]).argmax(-1))
    assert len(episodes.locations.flatten(0, 1).unique(dim=0)) > 20
    assert len(episodes.answers.unique()) > 1


def test_locations_are_the_mean_and_the_noise(player: Player, config: ReinforceConfig) -> None:
    noise = draw_noise(config, 8)
    episodes = play(player, config, PICTURES, noise)
    means = player.network.location_mean(episodes.states[:-1], slice(5)).detach()
    torch.testing.assert_close(episodes.locations, means + noise.location)


def test_locations_are_kept_as_drawn_while_the_environment_clips_them(player: Player, config: ReinforceConfig) -> None:
    episodes = play(player, config, PICTURES, Noise(10 * draw_noise(config, 8).location, None))
    assert (episodes.locations.abs() > 1).float().mean() > 0.5
    # What is beyond the edge is seen at the edge.
    environment = make_environment(config, CPU, 8, "train")
    observation, _ = environment.reset(options={"index": PICTURES})
    state = player.network(observation["glimpse"], observation["location"])
    for location, right in zip(episodes.locations, episodes.states[1:], strict=True):
        observation, *_ = environment.step({"location": location.clamp(-1, 1), "label": torch.zeros(8, dtype=torch.int64)})
        torch.testing.assert_close(observation["location"], location.clamp(-1, 1))
        state = player.network(observation["glimpse"], observation["location"], state)
        torch.testing.assert_close(state, right)


def test_pure_rule_samples_the_class(player: Player, config: ReinforceConfig) -> None:
    pure = dataclasses.replace(config, rule="pure")
    noise = draw_noise(pure, 8)
    episodes = play(player, pure, PICTURES, noise._replace(answer=torch.zeros(8, 10).index_fill(1, torch.tensor([4]), 1e6)))
    assert (episodes.answers == 4).all()
    likeliest = play(player, pure, PICTURES, noise._replace(answer=torch.zeros(8, 10)))
    assert torch.equal(likeliest.answers, player.network.class_scores(likeliest.states[-1]).argmax(-1))


def test_rewards_say_which_answers_are_right(player: Player, config: ReinforceConfig) -> None:
    index = np.arange(200)
    episodes = play(player, config, index, None)
    pictures = make_environment(config, CPU, 1, "train").pictures
    assert torch.equal(episodes.labels, torch.from_numpy(pictures.labels[:200]))
    right = episodes.answers == episodes.labels
    assert right.any()
    assert not right.all()
    assert torch.equal(episodes.rewards[-1], right.float())
    assert not episodes.rewards[:-1].any()


def test_dense_rewards_are_given_for_what_is_named_on_the_way(player: Player, config: ReinforceConfig) -> None:
    dense = dataclasses.replace(config, env_kwargs={"reward": "dense"})
    episodes = play(player, dense, np.arange(200), None)
    named = player.network.class_scores(episodes.states).argmax(-1)
    torch.testing.assert_close(episodes.rewards, (named == episodes.labels).float() / 6)
    assert episodes.rewards[0].any()


@pytest.mark.parametrize(
    "kwargs",
    [
        {"glimpses": 1},
        {"glimpses": 2, "glimpse_size": 3, "scales": 3},
        {"start": "random", "moves": "relative", "move_scale": 0.5},
        {"interpolation": "bilinear"},
    ],
    ids=str,
)
def test_every_environment_of_dict_actions_can_be_played(config: ReinforceConfig, kwargs: dict[str, Any]) -> None:
    config = dataclasses.replace(config, env_kwargs=kwargs)
    player = new_player(config, make_environment(config, CPU, 1, "train"))
    glimpses = kwargs.get("glimpses", 6)
    episodes = play(player, config, PICTURES, draw_noise(config, 8, glimpses))
    assert episodes.states.shape == (glimpses, 8, 16)
    assert episodes.locations.shape == (glimpses - 1, 8, 2)
    assert episodes.states.isfinite().all()


def test_format_that_it_cannot_act_in_is_refused_by_name(config: ReinforceConfig) -> None:
    saccade = dataclasses.replace(config, env_kwargs={"action_format": "saccade"})
    with pytest.raises(ValueError, match="action_format='dict', not in 'saccade'"):
        make_environment(saccade, CPU, 1, "train")


def test_environment_of_another_kind_is_refused_by_name(config: ReinforceConfig) -> None:
    with pytest.raises(ValueError, match="CartPole-v1 is not a glimpse environment"):
        make_environment(dataclasses.replace(config, env="CartPole-v1"), CPU, 1, "train")


def test_training_settings_hold_in_training_only(config: ReinforceConfig) -> None:
    config = dataclasses.replace(config, env_kwargs={"glimpses": 3}, training_kwargs={"distortion": {"rotation": 10}})
    training = make_environment(config, CPU, 2, "train", training=True)
    evaluation = make_environment(config, CPU, 2, "test")
    assert training.distortion is not None
    assert evaluation.distortion is None
    assert training.settings.glimpses == evaluation.settings.glimpses == 3
    assert (training.settings.split, evaluation.settings.split) == ("train", "test")


def test_weights_depend_on_the_seed_and_leave_the_global_stream_alone(config: ReinforceConfig) -> None:
    environment = make_environment(config, CPU, 1, "train")
    torch.manual_seed(3)
    undisturbed = torch.rand(4)
    torch.manual_seed(3)
    one, same = new_player(config, environment), new_player(config, environment)
    assert torch.equal(torch.rand(4), undisturbed)
    other = new_player(dataclasses.replace(config, seed=1), environment)
    for name, value in one.state_dict().items():
        assert torch.equal(value, same.state_dict()[name])
    assert not torch.equal(one.network.class_head.weight, other.network.class_head.weight)


def test_network_takes_the_widths_that_are_asked_for(config: ReinforceConfig) -> None:
    config = dataclasses.replace(config, network=RAMConfig(3, 4, 5))
    network = new_player(config, make_environment(config, CPU, 1, "train")).network
    assert network.what.weight.shape == (3, 16)
    assert network.where.weight.shape == (4, 2)
    assert network.class_head.weight.shape == (10, 5)

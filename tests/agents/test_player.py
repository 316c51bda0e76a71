"""Whole episodes: what is chance in them, what is not, and in which environments they can be played."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from small_agent import CERTAIN, CPU, draw_noise, play

from agents.config import RAMConfig, ReinforceConfig
from agents.looking import pose
from agents.player import Episodes, Noise, Player, new_player
from attention_env.batch import make_split

PICTURES = np.arange(8)
MakePlayer = Callable[[ReinforceConfig], Player]


def heads(player: Player, episodes: Episodes) -> torch.Tensor:
    """What the location head said at every step."""
    return player.network.location_mean(episodes.states[:-1], episodes.glimpses, slice(len(episodes.looks))).detach()


def assert_the_environment_agrees(player: Player, config: ReinforceConfig, episodes: Episodes) -> None:
    """Take the same actions one by one in the environment: what comes of them must be what the episodes say."""
    rows = len(episodes.success)
    environment = make_split(config, CPU, rows, "train")
    observation, _ = environment.reset(options={"index": np.arange(rows)})
    state, playing, success = None, torch.ones(rows, dtype=torch.bool), torch.zeros(rows, dtype=torch.bool)
    for step in range(len(episodes.states)):
        state = player.network(observation["glimpse"], pose(observation), state)
        torch.testing.assert_close(state, episodes.states[step])
        torch.testing.assert_close(observation["location"], episodes.locations[step])
        assert torch.equal(playing, episodes.playing[step])
        if step == len(episodes.looks):
            look = player.looking.nowhere(rows, CPU)
        else:
            torch.testing.assert_close(observation["glimpse"], episodes.glimpses[step])
            look = episodes.looks[step]
        stop = None if episodes.stops is None else episodes.stops[step].long()
        action = player.looking.action(look, episodes.named[step], stop)
        observation, reward, ended, _, infos = environment.step(action)
        torch.testing.assert_close(reward, episodes.rewards[step])
        if "is_success" in infos:
            success = success | infos["is_success"]
        playing = ~ended
    assert not playing.any()
    assert torch.equal(success, episodes.success)


def test_episodes_have_the_shapes_that_are_promised(player: Player, config: ReinforceConfig) -> None:
    episodes = play(player, config, PICTURES, draw_noise(player, config, 8))
    assert episodes.states.shape == (6, 8, 16)
    assert episodes.states.requires_grad
    assert episodes.glimpses.shape == (5, 8, 1, 4, 4)
    assert episodes.looks.shape == (5, 8, 2)
    assert episodes.locations.shape == (6, 8, 2)
    assert not episodes.looks.requires_grad
    assert episodes.named.shape == episodes.rewards.shape == (6, 8)
    assert episodes.labels is not None
    assert episodes.labels.shape == episodes.success.shape == episodes.lengths.shape == (8,)
    assert episodes.stops is None
    assert episodes.playing.shape == (6, 8)
    assert episodes.playing.all()
    assert (episodes.lengths == 6).all()
    assert torch.equal(episodes.answering, torch.eye(6)[5].bool()[:, None].expand(6, 8))


def test_without_noise_two_plays_are_the_same(player: Player, config: ReinforceConfig) -> None:
    first, second = (play(player, config, PICTURES, None) for _ in range(2))
    compared = [torch.equal(one, other) for one, other in zip(first, second, strict=True) if isinstance(one, torch.Tensor)]
    assert compared == [True] * 9


def test_without_noise_it_looks_at_the_mean_and_names_the_likeliest(player: Player, config: ReinforceConfig) -> None:
    episodes = play(player, config, PICTURES, None)
    torch.testing.assert_close(episodes.looks, heads(player, episodes))
    assert torch.equal(episodes.named[-1], player.network.class_scores(episodes.states[-1]).argmax(-1))
    assert len(episodes.looks.flatten(0, 1).unique(dim=0)) > 20
    assert len(episodes.named[-1].unique()) > 1
    assert not episodes.named[:-1].any()


def test_looks_are_the_mean_and_the_noise(player: Player, config: ReinforceConfig) -> None:
    noise = draw_noise(player, config, 8)
    episodes = play(player, config, PICTURES, noise)
    torch.testing.assert_close(episodes.looks, heads(player, episodes) + noise.look)


def test_looks_are_kept_as_drawn_while_the_environment_clips_them(player: Player, config: ReinforceConfig) -> None:
    episodes = play(player, config, PICTURES, Noise(10 * draw_noise(player, config, 8).look))
    assert (episodes.looks.abs() > 1).float().mean() > 0.5
    # What is beyond the edge is seen at the edge.
    torch.testing.assert_close(episodes.locations[1:], episodes.looks.clamp(-1, 1))
    assert not episodes.locations[0].any()
    clipped = episodes._replace(looks=episodes.looks.clamp(-1, 1))
    for one in (episodes, clipped):
        assert_the_environment_agrees(player, config, one)


def test_pure_rule_samples_the_class(player: Player, config: ReinforceConfig) -> None:
    pure = dataclasses.replace(config, rule="pure")
    noise = draw_noise(player, pure, 8)
    episodes = play(player, pure, PICTURES, noise._replace(answer=torch.zeros(8, 10).index_fill(1, torch.tensor([4]), CERTAIN)))
    assert (episodes.named[-1] == 4).all()
    likeliest = play(player, pure, PICTURES, noise._replace(answer=torch.zeros(8, 10)))
    assert torch.equal(likeliest.named[-1], player.network.class_scores(likeliest.states[-1]).argmax(-1))


def test_rewards_say_which_answers_are_right(player: Player, config: ReinforceConfig) -> None:
    index = np.arange(200)
    episodes = play(player, config, index, None)
    pictures = make_split(config, CPU, 1, "train").pictures
    assert episodes.labels is not None
    assert torch.equal(episodes.labels, torch.from_numpy(pictures.labels[:200]))
    right = episodes.named[-1] == episodes.labels
    assert right.any()
    assert not right.all()
    assert torch.equal(episodes.success, right)
    assert torch.equal(episodes.rewards[-1], right.float())
    assert not episodes.rewards[:-1].any()


def test_dense_rewards_are_given_for_what_is_named_on_the_way(player: Player, config: ReinforceConfig) -> None:
    dense = dataclasses.replace(config, env_kwargs={"reward": "dense"})
    episodes = play(player, dense, np.arange(200), None)
    named = player.network.class_scores(episodes.states).argmax(-1)
    assert torch.equal(episodes.named, named)
    torch.testing.assert_close(episodes.rewards, (named == episodes.labels).float() / 6)
    assert episodes.rewards[0].any()


def test_every_step_costs(player: Player, config: ReinforceConfig) -> None:
    costly = dataclasses.replace(config, env_kwargs={"step_cost": 0.125})
    free, paid = (play(player, settings, np.arange(200), None) for settings in (config, costly))
    torch.testing.assert_close(paid.rewards, free.rewards - 0.125)
    assert torch.equal(paid.success, free.success)


@pytest.mark.parametrize(
    "kwargs",
    [
        {"glimpses": 1},
        {"glimpses": 2, "glimpse_size": 3, "scales": 3},
        {"start": "random", "moves": "relative", "move_scale": 0.5},
        {"interpolation": "bilinear"},
        {"action_format": "grid", "grid": 3},
        {"action_format": "grid", "grid": 3, "moves": "relative", "stop": True},
        {"zoom": True},
        {"rotate": True, "moves": "relative"},
        {"zoom": True, "rotate": True, "stop": True, "scales": 2},
        {"glimpses": 1, "stop": True},
    ],
    ids=str,
)
@pytest.mark.parametrize("rule", ["hybrid", "pure"])
def test_every_environment_of_dict_and_grid_actions_can_be_played(
    config: ReinforceConfig, make_player: MakePlayer, kwargs: dict[str, Any], rule: str
) -> None:
    config = dataclasses.replace(config, env_kwargs=kwargs, rule=rule)
    player = make_player(config)
    glimpses, looks = kwargs.get("glimpses", 6), (2 + kwargs.get("zoom", 0) + kwargs.get("rotate", 0),)
    episodes = play(player, config, PICTURES, draw_noise(player, config, 8))
    assert episodes.states.shape == (glimpses, 8, 16)
    assert episodes.looks.shape == (glimpses - 1, 8, *(() if "grid" in kwargs else looks))
    assert episodes.states.isfinite().all()
    if kwargs.get("start") != "random":
        assert_the_environment_agrees(player, config, episodes)


def test_cells_are_looked_at_in_their_middle(config: ReinforceConfig, make_player: MakePlayer) -> None:
    config = dataclasses.replace(config, env_kwargs={"action_format": "grid", "grid": 3})
    player = make_player(config)
    noise = draw_noise(player, config, 64)
    episodes = play(player, config, np.arange(64), noise)
    assert torch.equal(episodes.looks, (heads(player, episodes) + noise.look).argmax(-1))
    assert len(episodes.looks.unique()) == 9
    column, row = episodes.looks % 3, episodes.looks // 3
    torch.testing.assert_close(episodes.locations[1:], (torch.stack((column, row), dim=-1) - 1) * 2 / 3)
    likeliest = play(player, config, np.arange(64), None)
    assert torch.equal(likeliest.looks, heads(player, likeliest).argmax(-1))


def test_zoom_and_rotation_are_chosen_sent_and_come_back_in_the_pose(config: ReinforceConfig, make_player: MakePlayer) -> None:
    config = dataclasses.replace(config, env_kwargs={"zoom": True, "rotate": True}, deviation=0.8)
    player = make_player(config)
    episodes = play(player, config, PICTURES, draw_noise(player, config, 8))
    assert episodes.looks.flatten(0, 1).std(0).min() > 0.5
    assert (episodes.looks[..., 2].abs() > 1).any()
    environment = make_split(config, CPU, 8, "train")
    observation, _ = environment.reset(options={"index": PICTURES})
    state = player.network(observation["glimpse"], torch.tensor([[0.0, 0.0, 0.0, 1.0, 0.0]]).expand(8, 5))
    for look, right in zip(episodes.looks, episodes.states[1:], strict=True):
        place, zoom, turn = look[:, :2].clamp(-1, 1), look[:, 2:3].clamp(-1, 1), look[:, 3:] * torch.pi
        sent = {"location": place, "zoom": zoom, "rotation": look[:, 3:], "label": torch.zeros(8, dtype=torch.int64)}
        observation, *_ = environment.step(sent)
        state = player.network(observation["glimpse"], torch.cat((place, zoom, turn.cos(), turn.sin()), dim=1), state)
        torch.testing.assert_close(state, right, rtol=1e-4, atol=1e-5)


@pytest.fixture(params=["hybrid", "pure"])
def stopping(request: pytest.FixtureRequest, config: ReinforceConfig) -> ReinforceConfig:
    """A task in which it pays to answer early."""
    return dataclasses.replace(config, rule=request.param, env_kwargs={"stop": True, "step_cost": 0.125})


def test_it_stops_where_score_and_chance_say_so(stopping: ReinforceConfig, make_player: MakePlayer) -> None:
    player = make_player(stopping)
    noise = draw_noise(player, stopping, 64)
    assert noise.stop is not None
    noise = noise._replace(stop=5 * noise.stop)
    episodes = play(player, stopping, np.arange(64), noise)
    assert_the_environment_agrees(player, stopping, episodes)
    scores = player.network.stop_score(episodes.states).detach()
    assert episodes.stops is not None
    assert torch.equal(episodes.stops, scores + noise.stop > 0)
    likelier = play(player, stopping, np.arange(64), None)
    assert likelier.stops is not None
    assert torch.equal(likelier.stops, player.network.stop_score(likelier.states) > 0)
    for played in (episodes, likelier):
        # By hand: an episode lasts until the first stop.
        assert played.stops is not None
        assert played.labels is not None
        lengths = [[*stops, True].index(True) + 1 for stops in played.stops[:-1].T.tolist()]
        assert len(set(lengths)) > (3 if played is episodes else 1)
        assert played.lengths.tolist() == lengths
        for row, length in enumerate(lengths):
            assert played.playing[:, row].tolist() == [step < length for step in range(6)]
            assert played.answering[:, row].tolist() == [step == length - 1 for step in range(6)]
            right = bool(played.named[length - 1, row] == played.labels[row])
            assert played.success[row] == right
            assert played.rewards[:, row].tolist() == [-0.125] * (length - 1) + [right - 0.125] + [0.0] * (6 - length)
        assert 0 < played.success.sum() < 64


def test_it_answers_by_what_it_has_seen_when_it_stops(stopping: ReinforceConfig, make_player: MakePlayer) -> None:
    player = make_player(stopping)
    episodes = play(player, stopping, np.arange(64), None)
    assert torch.equal(episodes.named, player.network.class_scores(episodes.states).argmax(-1))


@pytest.mark.parametrize(("score", "length"), [(20.0, 1), (-20.0, 6)])
def test_agent_that_is_sure_answers_at_once_or_never(
    stopping: ReinforceConfig, make_player: MakePlayer, score: float, length: int
) -> None:
    player = make_player(stopping)
    assert player.network.stop_head is not None
    with torch.no_grad():
        player.network.stop_head.weight.zero_()
        player.network.stop_head.bias.fill_(score)
    for noise in (None, draw_noise(player, stopping, 64)._replace(stop=None)):  # by chance alone it might do the other
        episodes = play(player, stopping, np.arange(64), noise)
        assert (episodes.lengths == length).all()
        torch.testing.assert_close(episodes.rewards.sum(0), episodes.success.float() - 0.125 * length)
        assert not episodes.rewards[length:].any()
        assert_the_environment_agrees(player, stopping, episodes)


def test_some_of_the_episodes_are_those_played_alone(stopping: ReinforceConfig, make_player: MakePlayer) -> None:
    player = make_player(stopping)
    episodes = play(player, stopping, np.arange(8), None).rows(slice(3, 6))
    alone = play(player, stopping, np.arange(3, 6), None)
    for one, other in zip(episodes, alone, strict=True):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize(
    ("rule", "kwargs", "answers"),
    [
        ("hybrid", {"stop": True}, None),
        ("pure", {}, (4, 3, 10)),
        ("pure", {"stop": True}, (6, 4, 3, 10)),
        ("pure", {"reward": "dense"}, (6, 4, 3, 10)),
    ],
)
def test_chance_is_drawn_for_what_is_left_to_it(
    config: ReinforceConfig, rule: str, kwargs: dict[str, Any], answers: tuple[int, ...] | None
) -> None:
    config = dataclasses.replace(config, env_kwargs=kwargs, rule=rule)
    environment = make_split(config, CPU, 1, "train")
    player = new_player(config, environment)
    one, same, other = (
        player.noise(environment, (4, 3), torch.Generator().manual_seed(seed), 0.3, rule == "pure") for seed in (0, 0, 1)
    )
    assert one.look is not None
    assert one.look.shape == (5, 4, 3, 2)
    assert (None if one.answer is None else one.answer.shape) == answers
    assert (None if one.stop is None else one.stop.shape) == ((6, 4, 3) if "stop" in kwargs else None)
    for first, second, third in zip(one, same, other, strict=True):
        if first is not None:
            assert len(first.unique()) > 0.99 * first.numel()
            assert torch.equal(first, second)
            assert not torch.equal(first, third)


def test_scan_is_one_path_for_all_pictures(config: ReinforceConfig, make_player: MakePlayer) -> None:
    config = dataclasses.replace(config, looks="scan")
    player = make_player(config)
    episodes = play(player, config, np.arange(64), None)
    torch.testing.assert_close(episodes.looks, player.network.scan.tanh().detach()[:, None].expand(5, 64, 2))
    assert len(episodes.looks[:, 0].unique(dim=0)) == 5
    learned = dataclasses.replace(config, looks="learned")
    assert play(make_player(learned), learned, np.arange(64), None).looks.std(1).min() > 0.01


def test_random_looks_are_the_chance_itself_and_cover_the_picture(config: ReinforceConfig, make_player: MakePlayer) -> None:
    config = dataclasses.replace(config, looks="random")
    player = make_player(config)
    noise = draw_noise(player, config, 64)
    episodes = play(player, config, np.arange(64), noise)
    assert noise.look is not None
    assert torch.equal(episodes.looks, noise.look)
    torch.testing.assert_close(episodes.locations[1:], noise.look)
    assert 0.9 < noise.look.abs().max() <= 1
    assert torch.equal(play(player, config, np.arange(64), draw_noise(player, config, 64)).looks, episodes.looks)
    assert not torch.equal(play(player, config, np.arange(64), draw_noise(player, config, 64, seed=1)).looks, episodes.looks)
    with pytest.raises(ValueError, match="looks=random needs chance"):
        play(player, config, np.arange(64), None)


@pytest.mark.parametrize("looks", ["scan", "random"])
def test_what_was_seen_cannot_tell_where_to_look_in_the_references(config: ReinforceConfig, looks: str) -> None:
    learned, reference = (
        new_player(config, make_split(config, CPU, 1, "train")).network
        for config in (config, dataclasses.replace(config, looks=looks))
    )
    assert learned.location_head.weight.any()
    assert not reference.location_head.weight.any()
    assert not reference.location_head.weight.requires_grad
    assert reference.scan.requires_grad == (looks == "scan")
    assert all(parameter.requires_grad for parameter in learned.parameters())
    assert torch.equal(learned.class_head.weight, reference.class_head.weight)


@pytest.mark.parametrize("looks", ["scan", "random"])
def test_eye_that_tells_nobody_where_to_look_is_not_trained(config: ReinforceConfig, looks: str) -> None:
    config = dataclasses.replace(config, looks=looks, network=dataclasses.replace(config.network, location_hidden=8))
    eye = new_player(config, make_split(config, CPU, 1, "train")).network.location_eye
    assert eye is not None
    assert not any(parameter.requires_grad for parameter in eye.parameters())


def test_format_that_it_cannot_act_in_is_refused_by_name(config: ReinforceConfig) -> None:
    saccade = dataclasses.replace(config, env_kwargs={"action_format": "saccade"})
    with pytest.raises(ValueError, match=r"action_format='dict', or in 'grid' .* not in 'saccade'"):
        new_player(saccade, make_split(saccade, CPU, 1, "train"))


def test_environment_of_another_kind_is_refused_by_name(config: ReinforceConfig) -> None:
    with pytest.raises(ValueError, match="CartPole-v1 is not a glimpse environment"):
        make_split(dataclasses.replace(config, env="CartPole-v1"), CPU, 1, "train")


def test_training_settings_hold_in_training_only(config: ReinforceConfig) -> None:
    config = dataclasses.replace(config, env_kwargs={"glimpses": 3}, training_kwargs={"distortion": {"rotation": 10}})
    training = make_split(config, CPU, 2, "train", training=True)
    evaluation = make_split(config, CPU, 2, "test")
    assert training.distortion is not None
    assert evaluation.distortion is None
    assert training.settings.glimpses == evaluation.settings.glimpses == 3
    assert (training.settings.split, evaluation.settings.split) == ("train", "test")


def test_weights_depend_on_the_seed_and_leave_the_global_stream_alone(config: ReinforceConfig) -> None:
    environment = make_split(config, CPU, 1, "train")
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
    network = new_player(config, make_split(config, CPU, 1, "train")).network
    assert network.what.weight.shape == (3, 16)
    assert network.where.weight.shape == (4, 2)
    assert network.class_head.weight.shape == (10, 5)

"""The distributions over looks against PyTorch's, and their actions as the environment understands them."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import pytest
import torch
from torch.distributions import Categorical, Normal, Uniform

from agents.looking import Anywhere, Cells, Gaussian, Looking, make_looking, pose
from attention_env.actions import ACTION_FORMATS, Decision
from attention_env.options import GlimpseOptions

ALL = [Gaussian(2), Gaussian(3, zoom=True), Gaussian(4, zoom=True, rotate=True), Anywhere(2), Cells(9)]
COUNT = 40_000


def drawn(looking: Looking, head: torch.Tensor, deviation: float = 0.3) -> torch.Tensor:
    """Many looks by the same numbers of the location head."""
    noise = looking.noise((COUNT,), torch.Generator().manual_seed(0), deviation)
    return looking.choose(head.expand(COUNT, -1), noise)


def decision(looking: Looking, settings: GlimpseOptions, looks: torch.Tensor, stop: torch.Tensor | None = None) -> Decision:
    """What the environment understands of looks, with class 7 named."""
    kind = ACTION_FORMATS[settings.action_format]
    action_format = kind(10, settings.grid, settings.zoom, settings.rotate, settings.stop)
    read = action_format.decode(looking.action(looks, torch.full((len(looks),), 7), stop), len(looks))
    assert read.valid is None or read.valid
    assert (read.label == 7).all()
    return read


@pytest.mark.parametrize("numbers", [2, 3, 4])
def test_gaussian_looks_and_their_log_densities_are_those_of_pytorch(numbers: int) -> None:
    looking, deviation = Gaussian(numbers), 0.3
    mean = torch.linspace(-0.8, 0.9, numbers)
    looks = drawn(looking, mean, deviation)
    standard = (looks - mean) / deviation
    assert (standard.mean(0).abs() < 4 / math.sqrt(COUNT)).all()
    torch.testing.assert_close(standard.T.cov(), torch.eye(numbers), rtol=0, atol=0.03)
    assert (standard.pow(4).mean(0) - 3).abs().max() < 0.15  # the kurtosis of a normal distribution
    head = torch.randn(5, 4, numbers)
    looks = head + torch.randn(5, 4, numbers)
    right = Normal(head, deviation).log_prob(looks).sum(-1)
    torch.testing.assert_close(looking.log_probability(looks, head, deviation), right)


def test_cells_and_their_log_probabilities_are_those_of_pytorch() -> None:
    looking, scores = Cells(9), torch.linspace(-2, 2, 9)
    cells = drawn(looking, scores)
    found, right = torch.bincount(cells, minlength=9) / COUNT, Categorical(logits=scores).probs
    assert ((found - right).abs() < 4 * (right * (1 - right) / COUNT).sqrt()).all(), (found, right)
    head, cells = torch.randn(5, 4, 9), torch.randint(9, (5, 4))
    torch.testing.assert_close(looking.log_probability(cells, head, 0.3), Categorical(logits=head).log_prob(cells))


def test_anywhere_is_uniform_whatever_the_head_says_and_has_nothing_to_learn() -> None:
    looking = Anywhere(3, zoom=True)
    looks = drawn(looking, torch.tensor([5.0, -5.0, 0.0]))
    assert looks.shape == (COUNT, 3)
    places = Uniform(-1.0, 1.0).cdf(looks).sort(dim=0).values
    steps = (torch.arange(COUNT) + 0.5) / COUNT
    assert (places - steps[:, None]).abs().max() < 2 / math.sqrt(COUNT)  # Kolmogorov and Smirnov, p < 0.001
    assert (looks.T.corrcoef() - torch.eye(3)).abs().max() < 0.02
    head = torch.randn(5, 4, 3, requires_grad=True)
    log_probability = looking.log_probability(looks[:20].reshape(5, 4, 3), head, 0.3)
    assert log_probability.shape == (5, 4)
    assert len(log_probability.unique()) == 1
    assert not log_probability.requires_grad


def test_anywhere_without_chance_is_refused() -> None:
    with pytest.raises(ValueError, match="looks=random needs chance"):
        Anywhere(2).choose(torch.zeros(3, 2), None)


def test_without_chance_a_look_is_the_likeliest() -> None:
    head = torch.randn(6, 9)
    assert torch.equal(Gaussian(9).choose(head, None), head)
    assert torch.equal(Cells(9).choose(head, None), Categorical(logits=head).probs.argmax(-1))


@pytest.mark.parametrize("looking", ALL, ids=lambda looking: f"{type(looking).__name__}-{looking.numbers}")
def test_chance_depends_on_the_seed_alone_and_has_the_shape_asked_for(looking: Looking) -> None:
    one, same, other = (looking.noise((5, 3), torch.Generator().manual_seed(seed), 0.3) for seed in (1, 1, 2))
    assert one.shape == (5, 3, looking.numbers)
    assert torch.equal(one, same)
    assert not torch.equal(one, other)
    assert len(one.unique()) == one.numel()


@pytest.mark.parametrize("looking", ALL, ids=lambda looking: f"{type(looking).__name__}-{looking.numbers}")
def test_nowhere_is_a_look_like_others(looking: Looking) -> None:
    nowhere, look = (
        looking.nowhere(3, torch.device("cpu")),
        looking.choose(torch.zeros(3, looking.numbers), torch.zeros(3, looking.numbers)),
    )
    assert (nowhere.shape, nowhere.dtype) == (look.shape, look.dtype)
    assert not nowhere.any()


@pytest.mark.parametrize("zoom", [False, True])
@pytest.mark.parametrize("rotate", [False, True])
@pytest.mark.parametrize("stop", [False, True])
def test_environment_understands_every_part_of_a_look(zoom: bool, rotate: bool, stop: bool) -> None:
    settings = GlimpseOptions(zoom=zoom, rotate=rotate, stop=stop)
    looking = make_looking(settings, "learned")
    looks = torch.rand(5, 2 + zoom + rotate)
    stops = torch.tensor([0, 1, 1, 0, 1]) if stop else None
    read = decision(looking, settings, looks, stops)
    assert torch.equal(read.location, looks[:, :2])
    for part, place in ((read.zoom, 2 if zoom else None), (read.rotation, 2 + zoom if rotate else None)):
        assert (part is None) == (place is None)
        assert part is None or torch.equal(part[:, 0], looks[:, place])
    assert (read.answers is None) == (not stop)
    assert read.answers is None or read.answers.tolist() == [False, True, True, False, True]


@pytest.mark.parametrize("stop", [False, True])
def test_environment_understands_cells(stop: bool) -> None:
    settings = GlimpseOptions(action_format="grid", grid=2, stop=stop)
    read = decision(make_looking(settings, "learned"), settings, torch.arange(4), torch.tensor([0, 1, 1, 0]) if stop else None)
    assert read.location.tolist() == [[-0.5, -0.5], [0.5, -0.5], [-0.5, 0.5], [0.5, 0.5]]
    assert (read.answers is None) == (not stop)
    assert read.answers is None or read.answers.tolist() == [False, True, True, False]


@pytest.mark.parametrize(
    ("settings", "looks", "right"),
    [
        ({}, "learned", Gaussian(2)),
        ({}, "scan", Gaussian(2)),
        ({"stop": True}, "learned", Gaussian(2)),
        ({"rotate": True}, "learned", Gaussian(3, rotate=True)),
        ({"zoom": True, "rotate": True}, "scan", Gaussian(4, zoom=True, rotate=True)),
        ({"zoom": True}, "random", Anywhere(3, zoom=True)),
        ({"action_format": "grid", "grid": 5}, "learned", Cells(25)),
        ({"action_format": "grid", "grid": 5, "stop": True}, "scan", Cells(25)),
    ],
    ids=str,
)
def test_way_of_looking_fits_the_environment(settings: dict[str, Any], looks: str, right: Looking) -> None:
    found = make_looking(GlimpseOptions(**settings), looks)
    assert type(found) is type(right)
    assert found == right


@pytest.mark.parametrize(
    ("settings", "looks"),
    [
        ({"action_format": "saccade"}, "learned"),
        ({"action_format": "box"}, "learned"),
        ({"action_format": "grid", "zoom": True}, "learned"),
        ({"action_format": "grid", "rotate": True}, "scan"),
        ({"action_format": "grid"}, "random"),
    ],
    ids=str,
)
def test_environment_in_which_it_cannot_look_around_is_refused_by_name(settings: dict[str, Any], looks: str) -> None:
    with pytest.raises(ValueError, match=rf"action_format='dict', or in 'grid' .*{settings['action_format']!r}.*looks={looks!r}"):
        make_looking(GlimpseOptions(**settings), looks)


def test_pose_is_where_and_how_a_glimpse_was_taken() -> None:
    observation = {"glimpse": torch.zeros(3, 1, 4, 4), "location": torch.rand(3, 2), "remaining": torch.zeros(3, 1)}
    assert torch.equal(pose(observation), observation["location"])
    freely = {"rotation": torch.rand(3, 2), **observation, "zoom": torch.rand(3, 1)}
    assert torch.equal(pose(freely), torch.cat((freely["location"], freely["zoom"], freely["rotation"]), dim=1))


def test_places_by_chance_are_not_taken_for_moves() -> None:
    relative = GlimpseOptions(moves="relative")
    with pytest.raises(ValueError, match="looks=random draws places, and moves='relative' would take them for steps"):
        make_looking(relative, "random")
    assert isinstance(make_looking(dataclasses.replace(relative, moves="absolute"), "random"), Anywhere)

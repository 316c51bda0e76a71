"""The network against its formula written out in NumPy."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

from agents.config import RAMConfig
from agents.ram import RAM

Array = NDArray[np.float64]


def relu(values: Array) -> Array:
    return np.maximum(values, 0)


def by_hand(weights: dict[str, Array], glimpse: Array, location: Array, state: Array | None) -> Array:
    """h_t = ReLU(W_h h + W_g ReLU(W_a ReLU(W_p ρ) + W_b ReLU(W_l l))), row by row."""
    rows = []
    for row in range(len(glimpse)):
        what = relu(weights["what.weight"] @ glimpse[row].reshape(-1) + weights["what.bias"])
        where = relu(weights["where.weight"] @ location[row] + weights["where.bias"])
        seen = relu(
            weights["what_to_glimpse.weight"] @ what + weights["what_to_glimpse.bias"] + weights["where_to_glimpse.weight"] @ where
        )
        drive = weights["glimpse_to_state.weight"] @ seen + weights["glimpse_to_state.bias"]
        rows.append(relu(drive if state is None else drive + weights["state_to_state.weight"] @ state[row]))
    return np.stack(rows)


@pytest.fixture(params=["tanh", "linear"])
def network(request: pytest.FixtureRequest) -> RAM:
    torch.manual_seed(0)
    config = RAMConfig(glimpse_width=7, location_width=5, hidden=9, location_mean=request.param)
    network = RAM((6, 4, 4), 3, 5, config).double()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.normal_(std=0.5)
    return network


def test_states_are_those_of_the_formula(network: RAM) -> None:
    generator = np.random.default_rng(0)
    weights = {name: value.detach().numpy() for name, value in network.named_parameters()}
    state: Array | None = None
    found: torch.Tensor | None = None
    for _ in range(3):
        glimpse, location = generator.random((5, 6, 4, 4)), generator.uniform(-1, 1, (5, 2))
        state = by_hand(weights, glimpse, location, state)
        found = network(torch.from_numpy(glimpse), torch.from_numpy(location), found)
        np.testing.assert_allclose(found.detach().numpy(), state, rtol=1e-12, atol=1e-12)
    assert state is not None
    assert (state > 0).any()
    assert (state == 0).any()


def test_no_state_is_a_state_of_zeros(network: RAM) -> None:
    glimpse, location = torch.rand(2, 6, 4, 4, dtype=torch.float64), torch.zeros(2, 2, dtype=torch.float64)
    zeros = torch.zeros(2, 9, dtype=torch.float64)
    torch.testing.assert_close(network(glimpse, location), network(glimpse, location, zeros))


def test_heads_are_those_of_the_formula_at_any_number_of_axes(network: RAM) -> None:
    weights = {name: value.detach().numpy() for name, value in network.named_parameters()}
    states = np.random.default_rng(1).random((4, 5, 9))
    given, unseen = torch.from_numpy(states), torch.empty(0)  # without an eye of its own the head does not look at the glimpse
    mean = states @ weights["location_head.weight"].T + weights["scan"][:, None]
    assert np.abs(mean).max() > 1
    right = np.tanh(mean) if network.bounded else mean
    np.testing.assert_allclose(network.location_mean(given, unseen, slice(4)).detach().numpy(), right, rtol=1e-5)
    for step in range(4):
        np.testing.assert_allclose(network.location_mean(given[step], unseen, step).detach().numpy(), right[step], rtol=1e-5)
    scores = states @ weights["class_head.weight"].T + weights["class_head.bias"]
    np.testing.assert_allclose(network.class_scores(given).detach().numpy(), scores, rtol=1e-5)
    baseline = (states @ weights["baseline_head.weight"].T + weights["baseline_head.bias"])[..., 0]
    np.testing.assert_allclose(network.baseline(given).detach().numpy(), baseline, rtol=1e-5)


def test_an_lstm_keeps_its_cell_behind_what_the_heads_see() -> None:
    torch.manual_seed(0)
    network = RAM((6, 4, 4), 3, 5, RAMConfig(glimpse_width=7, location_width=5, hidden=9, core="lstm"))
    assert network.lstm is not None
    glimpse, location = torch.rand(2, 6, 4, 4), torch.rand(2, 2)
    first = network(glimpse, location)
    second = network(glimpse, location, first)
    assert second.shape == (2, 18)
    what, where = network.what(glimpse.flatten(1)).relu(), network.where(location).relu()
    seen = (network.what_to_glimpse(what) + network.where_to_glimpse(where)).relu()
    output, cell = network.lstm(seen, network.lstm(seen))
    torch.testing.assert_close(second, torch.cat((output, cell), dim=1))
    torch.testing.assert_close(network.class_scores(second), network.class_head(output))
    torch.testing.assert_close(network.baseline(second), network.baseline_head(output)[:, 0])
    torch.testing.assert_close(network.location_mean(second, glimpse, 1), (network.location_head(output) + network.scan[1]).tanh())


def test_location_head_with_an_eye_of_its_own_is_that_of_the_formula() -> None:
    torch.manual_seed(0)
    config = RAMConfig(glimpse_width=7, location_width=5, hidden=9, location_hidden=11)
    network = RAM((6, 4, 4), 3, 5, config).double()
    assert not network.location_head.weight.any()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.normal_(std=0.5)
    weights = {name: value.detach().numpy() for name, value in network.named_parameters()}
    generator = np.random.default_rng(1)
    states, glimpses = generator.random((4, 3, 9)), generator.random((4, 3, 6, 4, 4))
    hidden = relu(
        states @ weights["location_eye.state.weight"].T
        + weights["location_eye.state.bias"]
        + glimpses.reshape(4, 3, 96) @ weights["location_eye.pixels.weight"].T
    )
    right = np.tanh(hidden @ weights["location_head.weight"].T + weights["scan"][:, None])
    given, seen = torch.from_numpy(states), torch.from_numpy(glimpses)
    np.testing.assert_allclose(network.location_mean(given, seen, slice(4)).detach().numpy(), right, rtol=1e-5)
    for step in range(4):
        np.testing.assert_allclose(network.location_mean(given[step], seen[step], step).detach().numpy(), right[step], rtol=1e-5)


def test_with_contrast_each_patch_is_seen_in_deviations_from_its_mean_and_these_beside_it() -> None:
    torch.manual_seed(0)
    config = RAMConfig(glimpse_width=7, location_width=5, hidden=9, location_hidden=11, contrast=True)
    network = RAM((2, 4, 4), 3, 5, config)
    nn.init.normal_(network.location_head.weight)
    glimpses, poses = torch.rand(3, 2, 4, 4), torch.rand(3, 2)
    glimpses[0, 1] = 0.25  # an even patch, which stays even
    seen = np.empty((3, 2 * 16 + 2 + 2))
    for row, glimpse in enumerate(glimpses.double().numpy()):
        means, deviations = [patch.mean() for patch in glimpse], [patch.std() + 0.02 for patch in glimpse]
        patches = [(patch - mean) / deviation for patch, mean, deviation in zip(glimpse, means, deviations, strict=True)]
        seen[row] = [*np.concatenate(patches).reshape(-1), *means, *deviations]
    assert np.abs(seen[0, 16:32]).max() < 1e-6
    weights = {name: value.detach().double().numpy() for name, value in network.named_parameters()}
    state = by_hand(weights, seen, poses.double().numpy(), None)
    found = network(glimpses, poses)
    np.testing.assert_allclose(found.detach().numpy(), state, rtol=1e-4, atol=1e-5)
    hidden = relu(
        state @ weights["location_eye.state.weight"].T
        + weights["location_eye.state.bias"]
        + seen @ weights["location_eye.pixels.weight"].T
    )
    right = np.tanh(hidden @ weights["location_head.weight"].T + weights["scan"][1])
    np.testing.assert_allclose(network.location_mean(found, glimpses, 1).detach().numpy(), right, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("location_mean", ["tanh", "linear"])
def test_scores_of_cells_are_not_bounded(location_mean: str) -> None:
    torch.manual_seed(0)
    network = RAM((1, 4, 4), 3, 5, RAMConfig(hidden=9, location_mean=location_mean), looks=7, bounded=False)
    state = 10 * torch.rand(2, 9)
    scores = network.location_mean(state, torch.empty(0), 1)
    torch.testing.assert_close(scores, network.location_head(state) + network.scan[1])
    assert scores.shape == (2, 7)
    assert scores.abs().max() > 1


def test_stop_score_is_that_of_the_formula_and_only_there_where_it_can_stop() -> None:
    config = RAMConfig(glimpse_width=7, location_width=5, hidden=9)
    network = RAM((6, 4, 4), 3, 5, config, stops=True)
    assert network.stop_head is not None
    states = torch.rand(4, 5, 9)
    right = (states * network.stop_head.weight[0]).sum(-1) + network.stop_head.bias
    torch.testing.assert_close(network.stop_score(states), 3 * (right / 3).tanh())
    assert RAM((6, 4, 4), 3, 5, config).stop_head is None


def test_pose_may_have_more_numbers_than_a_location() -> None:
    torch.manual_seed(0)
    network = RAM((1, 4, 4), 3, 5, RAMConfig(glimpse_width=7, location_width=5, hidden=9), pose=5, looks=4)
    assert network.where.weight.shape == (5, 5)
    assert network.scan.shape == (4, 4)
    glimpse, pose = torch.rand(2, 1, 4, 4), torch.rand(2, 5)
    weights = {name: value.detach().double().numpy() for name, value in network.named_parameters()}
    right = by_hand(weights, glimpse.double().numpy(), pose.double().numpy(), None)
    np.testing.assert_allclose(network(glimpse, pose).detach().numpy(), right, rtol=1e-4, atol=1e-6)


def test_the_scan_stays_at_its_last_place_in_a_longer_episode(network: RAM) -> None:
    state, unseen = torch.rand(3, 9, dtype=torch.float64), torch.empty(0)
    assert torch.equal(network.location_mean(state, unseen, 9), network.location_mean(state, unseen, 3))
    assert not torch.equal(network.location_mean(state, unseen, 2), network.location_mean(state, unseen, 3))


def test_widths_are_the_papers_by_default() -> None:
    shapes = {name: tuple(value.shape) for name, value in RAM((1, 8, 8), 10, 7, RAMConfig()).named_parameters()}
    assert shapes["what.weight"] == (128, 64)
    assert shapes["where.weight"] == (128, 2)
    assert shapes["what_to_glimpse.weight"] == shapes["where_to_glimpse.weight"] == (256, 128)
    assert shapes["glimpse_to_state.weight"] == shapes["state_to_state.weight"] == (256, 256)


def test_one_row_is_not_changed_by_the_others(network: RAM) -> None:
    glimpse, location = torch.rand(8, 6, 4, 4, dtype=torch.float64), torch.rand(8, 2, dtype=torch.float64)
    state = torch.rand(8, 9, dtype=torch.float64)
    whole = network(glimpse, location, state)
    torch.testing.assert_close(network(glimpse[3:4], location[3:4], state[3:4]), whole[3:4])

"""Action formats: what is accepted, what it means, and what is refused, with which words."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import torch
from gymnasium.vector.utils import batch_space

from attention_env.actions import ACTION_FORMATS, ActionError, BoxFormat, DictFormat, GridFormat, SaccadeFormat

NAN, INF = float("nan"), float("inf")


def both(location: Any, label: Any) -> dict[str, Any]:
    return {"location": location, "label": label}


def test_dict_actions_carry_location_and_label() -> None:
    decision = DictFormat(10, 7).decode(both(np.array([[0.5, -1.0], [0.0, 0.25]], np.float32), np.array([9, 0])), 2)
    assert decision.location.dtype == torch.float32
    assert decision.location.tolist() == [[0.5, -1.0], [0.0, 0.25]]
    assert decision.label.dtype == torch.int64
    assert decision.label.tolist() == [9, 0]
    assert decision.answers is None
    assert decision.valid is None


@pytest.mark.parametrize("grid", [1, 2, 3, 7])
def test_saccades_look_at_the_centres_of_cells_row_by_row_from_the_top_left(grid: int) -> None:
    decision = SaccadeFormat(4, grid).decode(np.arange(grid**2), grid**2)
    side = 2 / grid
    centres = [[-1 + (column + 0.5) * side, -1 + (row + 0.5) * side] for row in range(grid) for column in range(grid)]
    torch.testing.assert_close(decision.location, torch.tensor(centres), rtol=0, atol=1e-6)
    assert decision.answers is not None
    assert not decision.answers.any()


def test_saccades_beyond_the_cells_name_the_classes() -> None:
    decision = SaccadeFormat(4, 3).decode(np.array([9, 12, 8]), 3)
    assert decision.answers is not None
    assert decision.answers.tolist() == [True, True, False]
    assert decision.label[:2].tolist() == [0, 3]
    assert decision.location.isfinite().all()


def test_grid_actions_are_a_cell_as_in_saccades_and_a_class() -> None:
    cells = np.arange(9)
    decision = GridFormat(4, 3).decode(np.stack((cells, cells % 4), axis=1), 9)
    assert torch.equal(decision.location, SaccadeFormat(4, 3).decode(cells, 9).location)
    assert decision.label.tolist() == (cells % 4).tolist()
    assert decision.answers is None


def test_box_actions_are_a_location_and_the_class_of_the_greatest_score() -> None:
    actions = np.array([[0.5, -0.25, 0.1, 0.9, -1.0], [2.0, 0.0, 0.3, 0.3, 0.2]])
    decision = BoxFormat(3, 7).decode(actions, 2)
    assert decision.location.tolist() == [[0.5, -0.25], [2.0, 0.0]]
    assert decision.label.tolist() == [1, 0]
    assert decision.answers is None


@pytest.mark.parametrize(
    ("action_format", "actions", "message"),
    [
        (GridFormat(4, 3), np.array([[9, 0], [0, 0]]), r"cell 9 is outside the space: it must be in 0 … 8"),
        (GridFormat(4, 3), np.array([[0, 0], [0, 4]]), r"label 4 is outside the space: it must be in 0 … 3"),
        (GridFormat(4, 3), np.zeros((2, 2)), r"cell must be a whole number, got float64"),
        (GridFormat(4, 3), np.zeros(2, int), r"action must be of shape \(2, 2\), got \(2,\)"),
        (BoxFormat(4, 3), np.zeros((2, 5)), r"action must be of shape \(2, 6\), got \(2, 5\)"),
        (BoxFormat(4, 3), np.array([[0.0] * 6, [0.0] * 5 + [NAN]]), r"actions must be finite numbers, got \[ ?0"),
    ],
)
def test_wrong_grid_and_box_actions_are_refused_at_once(action_format: GridFormat | BoxFormat, actions: Any, message: str) -> None:
    with pytest.raises(ActionError, match=message):
        action_format.decode(actions, 2)


@pytest.mark.parametrize(
    ("action_format", "actions"),
    [
        (GridFormat(4, 3), torch.tensor([[9, 0], [0, 0]])),
        (GridFormat(4, 3), torch.tensor([[0, 0], [0, -1]])),
        (BoxFormat(4, 3), torch.tensor([[0.0] * 6, [INF] + [0.0] * 5])),
    ],
)
def test_wrong_values_of_grid_and_box_tensors_raise_a_flag(action_format: GridFormat | BoxFormat, actions: torch.Tensor) -> None:
    decision = action_format.decode(actions, 2)
    assert decision.valid is not None
    assert decision.valid.item() is False
    assert decision.location.isfinite().all()


@pytest.mark.parametrize("name", list(ACTION_FORMATS))
def test_samples_of_the_space_are_accepted_as_arrays_and_as_tensors_and_mean_the_same(name: str) -> None:
    action_format = ACTION_FORMATS[name](10, 3)
    space = batch_space(action_format.space, 5)
    space.seed(0)
    for _ in range(20):
        sample = space.sample()
        tensors = {key: torch.tensor(array) for key, array in sample.items()} if isinstance(sample, dict) else torch.tensor(sample)
        of_arrays, of_tensors = action_format.decode(sample, 5), action_format.decode(tensors, 5)
        assert of_tensors.valid is not None
        assert of_tensors.valid.item() is True
        assert torch.equal(of_arrays.location, of_tensors.location)
        assert torch.equal(of_arrays.label, of_tensors.label)


@pytest.mark.parametrize("name", list(ACTION_FORMATS))
def test_decoding_does_not_alter_the_actions(name: str) -> None:
    action_format = ACTION_FORMATS[name](10, 3)
    space = batch_space(action_format.space, 5)
    space.seed(0)
    sample: Any = space.sample()
    before = copy.deepcopy(sample)
    action_format.decode(sample, 5)
    np.testing.assert_equal(sample, before)


@pytest.mark.parametrize("dtype", [np.int8, np.uint8, np.int32, np.int64, np.uint64])
def test_labels_of_any_whole_number_type_are_accepted(dtype: type[np.integer[Any]]) -> None:
    assert DictFormat(10, 7).decode(both(np.zeros((2, 2)), np.array([3, 9], dtype)), 2).label.tolist() == [3, 9]


def test_double_precision_locations_are_accepted() -> None:
    assert DictFormat(10, 7).decode(both(np.full((1, 2), 0.5), np.array([3])), 1).location.dtype == torch.float32
    tensors = both(torch.full((1, 2), 0.5, dtype=torch.float64), torch.tensor([3]))
    assert DictFormat(10, 7).decode(tensors, 1).location.dtype == torch.float32


def test_lists_are_accepted() -> None:
    decision = DictFormat(10, 7).decode(both([[0.5, 0.5]], [3]), 1)
    assert decision.location.tolist() == [[0.5, 0.5]]
    assert SaccadeFormat(4, 3).decode([12], 1).label.tolist() == [3]


def test_read_only_and_reversed_arrays_are_accepted_without_a_warning() -> None:
    location, label = np.array([[0.5, -0.5], [0.25, 1.0]], np.float32), np.array([1, 2])
    for array in (location, label):
        array.setflags(write=False)
    assert DictFormat(10, 7).decode(both(location, label), 2).label.tolist() == [1, 2]
    reversed_ = DictFormat(10, 7).decode(both(location[::-1], label[::-1]), 2)
    assert reversed_.location.tolist() == [[0.25, 1.0], [0.5, -0.5]]
    assert reversed_.label.tolist() == [2, 1]
    assert SaccadeFormat(4, 3).decode(label[::-1], 2).location.shape == (2, 2)


@pytest.mark.parametrize(
    ("actions", "message"),
    [
        (both(np.zeros((2, 2)), np.array([0, 10])), r"label 10 is outside the space: it must be in 0 … 9"),
        (both(np.zeros((2, 2)), np.array([-1, 3])), r"label -1 is outside the space"),
        (both(np.zeros((2, 2)), np.array([0.0, 1.0])), r"label must be a whole number, got float64"),
        (both(np.zeros((2, 2)), np.array([True, False])), r"label must be a whole number, got bool"),
        (both(np.zeros((2, 2)), np.array(["3", "4"])), r"label must be a whole number"),
        (both(np.zeros((2, 2)), np.zeros((2, 1), int)), r"label must be of shape \(2,\), got \(2, 1\)"),
        (both(np.zeros((2, 2)), np.zeros(3, int)), r"label must be of shape \(2,\), got \(3,\)"),
        (both(np.zeros((2, 2)), 3), r"label must be of shape \(2,\), got \(\)"),
        (both(np.zeros((2, 3)), np.zeros(2, int)), r"location must be of shape \(2, 2\), got \(2, 3\)"),
        (both(np.zeros(2), np.zeros(2, int)), r"location must be of shape \(2, 2\), got \(2,\)"),
        (both(np.array([[0.0, 0.0], [NAN, 0.0]]), np.zeros(2, int)), r"locations must be finite numbers, got \[nan"),
        (both(np.array([[0.0, INF], [0.0, 0.0]]), np.zeros(2, int)), r"locations must be finite numbers"),
        (both(np.array([[0.0, 0.0], [0.0, -INF]]), np.zeros(2, int)), r"locations must be finite numbers"),
        ({"location": np.zeros((2, 2))}, r"a dict with 'location' and 'label', got \['location'\]"),
        ({"place": np.zeros((2, 2)), "label": np.zeros(2, int)}, r"a dict with 'location' and 'label', got"),
        (np.zeros(2, int), r"a dict with 'location' and 'label', got ndarray"),
        ([both(np.zeros(2), 0)] * 2, r"a dict with 'location' and 'label', got list"),
        (None, r"a dict with 'location' and 'label', got NoneType"),
    ],
)
def test_wrong_dict_actions_are_refused_at_once(actions: Any, message: str) -> None:
    with pytest.raises(ActionError, match=message):
        DictFormat(10, 7).decode(actions, 2)


@pytest.mark.parametrize(
    ("actions", "message"),
    [
        (np.array([0, 13]), r"action 13 is outside the space: it must be in 0 … 12"),
        (np.array([-1, 0]), r"action -1 is outside the space"),
        (np.array([0.0, 1.0]), r"action must be a whole number|action must be a whole number"),
        (np.array([0]), r"action must be of shape \(2,\), got \(1,\)"),
        (np.zeros((2, 2), int), r"action must be of shape \(2,\), got \(2, 2\)"),
        (both(np.zeros((2, 2)), np.zeros(2, int)), r"action must be of shape \(2,\), got \(\)"),
    ],
)
def test_wrong_saccades_are_refused_at_once(actions: Any, message: str) -> None:
    with pytest.raises(ActionError, match=message):
        SaccadeFormat(4, 3).decode(actions, 2)


@pytest.mark.parametrize(
    ("actions", "message"),
    [
        (both(torch.zeros(2, 3), torch.zeros(2, dtype=torch.int64)), r"location must be of shape \(2, 2\), got \(2, 3\)"),
        (both(torch.zeros(2, 2), torch.zeros(2, 1, dtype=torch.int64)), r"label must be of shape \(2,\), got \(2, 1\)"),
        (both(torch.zeros(2, 2), torch.zeros(2)), r"label must be a whole number, got torch.float32"),
        ({"location": torch.zeros(2, 2)}, r"a dict with 'location' and 'label'"),
        (torch.zeros(2, 2), r"a dict with 'location' and 'label', got Tensor"),
    ],
)
def test_what_is_known_of_dict_tensors_without_waiting_is_refused_at_once(actions: Any, message: str) -> None:
    with pytest.raises(ActionError, match=message):
        DictFormat(10, 7).decode(actions, 2)


@pytest.mark.parametrize("actions", [torch.zeros(2), torch.zeros(2, 1, dtype=torch.int64), torch.zeros(3, dtype=torch.int64)])
def test_what_is_known_of_saccade_tensors_without_waiting_is_refused_at_once(actions: torch.Tensor) -> None:
    with pytest.raises(ActionError, match="must be"):
        SaccadeFormat(4, 3).decode(actions, 2)


@pytest.mark.parametrize(
    "actions",
    [
        both(torch.tensor([[0.0, 0.0], [NAN, 0.0]]), torch.tensor([0, 0])),
        both(torch.tensor([[0.0, INF], [0.0, 0.0]]), torch.tensor([0, 0])),
        both(torch.zeros(2, 2), torch.tensor([0, 10])),
        both(torch.zeros(2, 2), torch.tensor([-1, 0])),
    ],
)
def test_wrong_values_of_dict_tensors_raise_a_flag_and_leave_finite_locations(actions: Any) -> None:
    decision = DictFormat(10, 7).decode(actions, 2)
    assert decision.valid is not None
    assert decision.valid.item() is False
    assert decision.location.isfinite().all()


@pytest.mark.parametrize("actions", [torch.tensor([0, 13]), torch.tensor([-1, 3])])
def test_wrong_values_of_saccade_tensors_raise_a_flag_and_leave_locations_inside(actions: torch.Tensor) -> None:
    decision = SaccadeFormat(4, 3).decode(actions, 2)
    assert decision.valid is not None
    assert decision.valid.item() is False
    assert (decision.location.abs() <= 1).all()

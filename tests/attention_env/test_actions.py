"""Action formats: what is accepted, what it means, and what is refused, with which words."""

from __future__ import annotations

import copy
import itertools
from typing import Any

import gymnasium as gym
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
        (np.array([0.0, 1.0]), r"action must be a whole number"),
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


# Zoom, rotation, stop -------------------------------------------------------------------------------------------------------

SWITCHES = list(itertools.product([False, True], repeat=3))
FORMATS_AND_SWITCHES = [(name, *on) for name in ACTION_FORMATS for on in SWITCHES if not (name == "saccade" and on[2])]


def more(**parts: Any) -> dict[str, Any]:
    """Actions for two rows that say everything, some of it replaced."""
    return {**both(np.zeros((2, 2)), np.zeros(2, int)), "zoom": np.zeros((2, 1)), "rotation": np.zeros((2, 1)), **parts}


def box(width: int) -> gym.spaces.Box:
    return gym.spaces.Box(-1.0, 1.0, (width,), np.float32)


def test_spaces_with_switches_are_those_of_the_table() -> None:
    everything = {name: action_format(10, 7, True, True, True).space for name, action_format in ACTION_FORMATS.items()}
    assert everything["dict"] == gym.spaces.Dict(
        location=box(2), label=gym.spaces.Discrete(10), zoom=box(1), rotation=box(1), stop=gym.spaces.Discrete(2)
    )
    assert everything["grid"] == gym.spaces.MultiDiscrete([49, 10, 3, 8, 2])
    assert everything["box"] == box(2 + 3 + 10)
    assert SaccadeFormat(10, 7, True, True).space == gym.spaces.Discrete(49 * 3 * 8 + 10)
    assert SaccadeFormat(10, 7, zoom=True).space == gym.spaces.Discrete(49 * 3 + 10)
    assert GridFormat(10, 7, rotate=True).space == gym.spaces.MultiDiscrete([49, 10, 8])
    assert BoxFormat(10, 7, stop=True).space == box(2 + 1 + 10)


@pytest.mark.parametrize(("name", "zoom", "rotate", "stop"), FORMATS_AND_SWITCHES)
def test_samples_with_switches_mean_the_same_as_arrays_and_as_tensors(name: str, zoom: bool, rotate: bool, stop: bool) -> None:
    action_format = ACTION_FORMATS[name](10, 3, zoom, rotate, stop)
    space = batch_space(action_format.space, 5)
    space.seed(0)
    for _ in range(20):
        sample: Any = space.sample()
        tensors = {key: torch.tensor(array) for key, array in sample.items()} if isinstance(sample, dict) else torch.tensor(sample)
        of_arrays, of_tensors = action_format.decode(sample, 5), action_format.decode(tensors, 5)
        assert of_arrays.valid is None
        assert of_tensors.valid is not None
        assert of_tensors.valid.item() is True
        for part, twin in zip(of_arrays._replace(valid=None), of_tensors._replace(valid=None), strict=True):
            assert (part is None and twin is None) or torch.equal(part, twin)
        for part, on in ((of_arrays.zoom, zoom), (of_arrays.rotation, rotate)):
            assert (part is not None) == on
            assert part is None or (part.dtype, part.shape) == (torch.float32, (5, 1))
            assert part is None or part.abs().max() <= 1
        assert (of_arrays.answers is not None) == (stop or name == "saccade")


def test_dict_actions_may_carry_zoom_rotation_and_stop() -> None:
    actions = more(zoom=np.array([[0.5], [-2.0]]), rotation=np.array([[0.25], [1.5]]), stop=np.array([0, 1]))
    decision = DictFormat(10, 7, True, True, True).decode(actions, 2)
    assert decision.zoom is not None
    assert decision.rotation is not None
    assert decision.answers is not None
    assert decision.zoom.tolist() == [[0.5], [-2.0]]
    assert decision.rotation.tolist() == [[0.25], [1.5]]
    assert decision.answers.tolist() == [False, True]


def test_grid_actions_name_zooms_eighths_of_a_turn_and_stop() -> None:
    eighths = np.arange(8)
    actions = np.stack((eighths % 4, eighths % 3, eighths % 3, eighths, eighths % 2), axis=1)
    decision = GridFormat(3, 2, True, True, True).decode(actions, 8)
    assert decision.zoom is not None
    assert decision.rotation is not None
    assert decision.answers is not None
    assert decision.zoom[:3, 0].tolist() == [-1.0, 0.0, 1.0]
    assert decision.rotation[:, 0].tolist() == [0.0, 0.25, 0.5, 0.75, -1.0, -0.75, -0.5, -0.25]
    assert decision.answers.tolist() == [False, True] * 4
    assert torch.equal(decision.location, SaccadeFormat(3, 2).decode(eighths % 4, 8).location)


@pytest.mark.parametrize(("zoom", "rotate"), [(True, True), (True, False), (False, True)])
def test_a_saccade_is_numbered_by_cell_then_zoom_then_rotation(zoom: bool, rotate: bool) -> None:
    zooms, turns = [-1.0, 0.0, 1.0] if zoom else [None], list(range(8)) if rotate else [None]
    looks = list(itertools.product(range(4), zooms, turns))
    decision = SaccadeFormat(5, 2, zoom, rotate).decode(np.arange(len(looks) + 5), len(looks) + 5)
    cells = SaccadeFormat(5, 2).decode(np.array([cell for cell, _, _ in looks]), len(looks))
    assert torch.equal(decision.location[: len(looks)], cells.location)
    for part, number in ((decision.zoom, 1), (decision.rotation, 2)):
        expected = [look[number] for look in looks]
        if part is None:
            assert expected == [None] * len(looks)
        else:
            found = part[: len(looks), 0]
            assert (found if number == 1 else found * 4 % 8).tolist() == expected
    assert decision.answers is not None
    assert decision.answers.tolist() == [False] * len(looks) + [True] * 5
    assert decision.label[-5:].tolist() == [0, 1, 2, 3, 4]
    assert (decision.label[:-5] < 0).all()


def test_box_actions_carry_zoom_rotation_and_stop_before_the_scores() -> None:
    actions = np.array([[0.5, -0.25, 0.75, -0.5, 0.1, 0.0, 0.9, 0.3], [0.0, 0.0, -3.0, 1.5, 0.0, 0.9, 0.3, 0.2]])
    decision = BoxFormat(3, 7, True, True, True).decode(actions, 2)
    assert decision.zoom is not None
    assert decision.rotation is not None
    assert decision.answers is not None
    assert decision.location.tolist() == [[0.5, -0.25], [0.0, 0.0]]
    assert (decision.zoom.tolist(), decision.rotation.tolist()) == ([[0.75], [-3.0]], [[-0.5], [1.5]])
    assert decision.answers.tolist() == [True, False]
    assert decision.label.tolist() == [1, 0]


@pytest.mark.parametrize(
    ("actions", "message"),
    [
        (more(stop=np.array([0, 2])), "stop 2 is outside the space: it must be in 0 … 1"),
        (more(stop=np.array([0.0, 1.0])), "stop must be a whole number, got float64"),
        (more(stop=np.array([0, 1]), zoom=np.array([[NAN], [0.0]])), r"zooms must be finite numbers, got \[nan\]"),
        (more(stop=np.array([0, 1]), rotation=np.array([[0.0], [INF]])), r"rotations must be finite numbers, got \[inf\]"),
        (more(stop=np.array([0, 1]), zoom=np.zeros(2)), r"zoom must be of shape \(2, 1\), got \(2,\)"),
        (
            more(),
            r"a dict with 'location', 'label', 'zoom', 'rotation' and 'stop', got \['label', 'location', 'rotation', 'zoom'\]",
        ),
    ],
)
def test_wrong_zooms_rotations_and_stops_are_refused_at_once(actions: Any, message: str) -> None:
    with pytest.raises(ActionError, match=message):
        DictFormat(10, 7, True, True, True).decode(actions, 2)


@pytest.mark.parametrize("wrong", [{"zoom": [[NAN], [0.0]]}, {"rotation": [[0.0], [INF]]}, {"stop": [0, 2]}, {"stop": [-1, 0]}])
def test_wrong_zooms_rotations_and_stops_of_tensors_raise_a_flag(wrong: dict[str, Any]) -> None:
    actions = {key: torch.tensor(value) for key, value in more(**{"stop": [0, 1], **wrong}).items()}
    decision = DictFormat(10, 7, True, True, True).decode(actions, 2)
    assert decision.valid is not None
    assert decision.valid.item() is False
    for part in (decision.zoom, decision.rotation):
        assert part is not None
        assert part.isfinite().all()


# Rows that rest -------------------------------------------------------------------------------------------------------------

RESTING = torch.tensor([False, True])
NONSENSE: list[tuple[str, Any]] = [
    ("dict", more(location=np.array([[0.5, 0.5], [NAN, INF]]), label=np.array([1, -7]), zoom=np.array([[0.5], [NAN]]))),
    ("grid", np.array([[4, 1, 2, 5], [-3, 99, 99, 99]])),
    ("saccade", np.array([4, 9_999])),
    ("box", np.array([[0.5] * 8, [NAN, INF] * 4])),
]


@pytest.mark.parametrize("as_tensors", [False, True])
@pytest.mark.parametrize(("name", "actions"), NONSENSE)
def test_values_of_rows_that_rest_are_ignored_and_those_of_the_others_are_not(name: str, actions: Any, as_tensors: bool) -> None:
    action_format = ACTION_FORMATS[name](4, 3, True, True)
    before = copy.deepcopy(actions)
    given = actions
    if as_tensors:
        given = {key: torch.tensor(value) for key, value in actions.items()} if name == "dict" else torch.tensor(actions)
    decision = action_format.decode(given, 2, RESTING)
    assert decision.valid is None or decision.valid.item() is True
    assert decision.location.isfinite().all()
    np.testing.assert_equal(actions, before)
    if as_tensors:
        refused = action_format.decode(given, 2, ~RESTING)
        assert refused.valid is not None
        assert refused.valid.item() is False
    else:
        with pytest.raises(ActionError):
            action_format.decode(given, 2, ~RESTING)


def test_shapes_are_refused_even_where_all_rest() -> None:
    with pytest.raises(ActionError, match=r"location must be of shape \(2, 2\), got \(3, 2\)"):
        DictFormat(4, 3).decode(both(np.zeros((3, 2)), np.zeros(2, int)), 2, torch.tensor([True, True]))

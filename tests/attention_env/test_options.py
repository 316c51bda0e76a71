"""Settings: what is not usable is refused where it enters, by a message that names it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from gymnasium.vector import AutoresetMode

from attention_env.options import GlimpseOptions


def test_a_users_settings_win_over_an_environments_defaults() -> None:
    options = GlimpseOptions.of({"glimpses": 3, "scales": 2}, {"scales": 4})
    assert (options.glimpses, options.scales, options.glimpse_size) == (3, 4, GlimpseOptions().glimpse_size)


@pytest.mark.parametrize("mode", list(AutoresetMode))
def test_the_autoreset_mode_may_be_a_string_or_the_enum(mode: AutoresetMode) -> None:
    assert GlimpseOptions(autoreset_mode=mode.value).autoreset_mode is mode
    assert GlimpseOptions(autoreset_mode=mode).autoreset_mode is mode


def test_numbers_may_be_numpys() -> None:
    assert GlimpseOptions(glimpses=np.int64(3), move_scale=np.float32(0.5)).glimpses == 3


def test_an_unknown_setting_is_named_beside_the_known_ones() -> None:
    with pytest.raises(TypeError, match=r"unknown setting glimpse, scalez: a glimpse environment takes source, split"):
        GlimpseOptions.of({}, {"scalez": 2, "glimpse": 3, "scales": 2})


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"moves": "jump"}, "moves='jump' is unknown: choose one of 'absolute', 'relative'"),
        ({"reward": "shaped"}, "reward='shaped' is unknown: choose one of 'sparse', 'dense'"),
        ({"output": "jax"}, "output='jax' is unknown: choose one of 'numpy', 'torch'"),
        ({"action_format": "joystick"}, "action_format='joystick' is unknown: choose one of 'dict'"),
        ({"render_mode": "ansi"}, "render_mode='ansi' is unknown: choose one of None, 'rgb_array'"),
        ({"start": "left"}, "start='left' is unknown: choose one of 'center', 'random'"),
        ({"start": [0.0, 1.5]}, "start must be one of"),
        ({"start": [0.0]}, "start must be one of"),
        ({"start": [float("nan"), 0.0]}, "start must be one of"),
        ({"start": 0.5}, "start must be one of"),
        ({"start": None}, "start must be one of"),
        ({"glimpses": 0}, "glimpses must be a whole number of at least 1, got 0"),
        ({"glimpses": 2.0}, "glimpses must be a whole number of at least 1, got 2.0"),
        ({"glimpses": True}, "glimpses must be a whole number of at least 1, got True"),
        ({"glimpse_size": -1}, "glimpse_size must be a whole number of at least 1"),
        ({"scales": 0}, "scales must be a whole number of at least 1"),
        ({"grid": "7"}, "grid must be a whole number of at least 1, got '7'"),
        ({"move_scale": 0.0}, "move_scale must be a finite number above 0"),
        ({"move_scale": float("inf")}, "move_scale must be a finite number above 0"),
        ({"move_scale": float("nan")}, "move_scale must be a finite number above 0"),
        ({"move_scale": "far"}, "move_scale must be a finite number above 0"),
        ({"device": "cuda"}, "device='cuda' needs output='torch'"),
        ({"reward": "dense", "action_format": "saccade"}, "reward='dense' needs a label in every action"),
        ({"zoom": 1}, "zoom must be True or False, got 1"),
        ({"rotate": None}, "rotate must be True or False, got None"),
        ({"stop": "yes"}, "stop must be True or False, got 'yes'"),
        ({"step_cost": -0.1}, "step_cost must be a finite number of at least 0, got -0.1"),
        ({"step_cost": float("nan")}, "step_cost must be a finite number of at least 0"),
        ({"step_cost": float("inf")}, "step_cost must be a finite number of at least 0"),
        ({"step_cost": True}, "step_cost must be a finite number of at least 0, got True"),
        ({"stop": True, "action_format": "saccade"}, "stop=True is not for action_format='saccade', where naming a class ends"),
        ({"autoreset_mode": "Sometimes"}, "autoreset_mode"),
    ],
)
def test_a_value_that_is_not_usable_is_named_beside_what_would_be(setting: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        GlimpseOptions(**setting)

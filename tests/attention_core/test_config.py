"""Configurations as YAML and back, and what is said about files and settings that are wrong."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import yaml

from attention_core.config import TrainingConfig, from_dict, load_yaml, to_dict


@dataclass(frozen=True)
class Whole:
    """A configuration that holds another one."""

    name: str
    kwargs: dict[str, float] = field(default_factory=dict)
    training: TrainingConfig = field(default_factory=TrainingConfig)


def test_configuration_survives_yaml(tmp_path: Path) -> None:
    config = Whole("ä name: with # signs", {"shift": 1e-9}, TrainingConfig(updates=7, learning_rate=3e-5, precision="bf16"))
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump(to_dict(config)), encoding="utf-8")
    assert from_dict(Whole, load_yaml(path)) == config


def test_plain_form_is_complete_and_plain() -> None:
    plain = to_dict(Whole("x"))
    assert plain == {"name": "x", "kwargs": {}, "training": dataclasses.asdict(TrainingConfig())}
    assert type(plain["training"]) is dict


def test_absent_settings_take_their_defaults() -> None:
    config = from_dict(Whole, {"name": "x", "training": {"updates": 3}})
    assert config == Whole("x", {}, TrainingConfig(updates=3))


def test_unknown_settings_are_named_beside_the_known_ones() -> None:
    with pytest.raises(ValueError, match=r"unknown setting color, size for Whole: it takes name, kwargs, training"):
        from_dict(Whole, {"name": "x", "size": 1, "color": 2})


def test_unknown_nested_setting_is_named() -> None:
    with pytest.raises(ValueError, match=r"unknown setting learning_rat for TrainingConfig: it takes .*learning_rate"):
        from_dict(Whole, {"name": "x", "training": {"learning_rat": 1.0}})


@pytest.mark.parametrize("content", [b"a: [1, 2", b"\xff\xfe\x00 not text"])
def test_damaged_yaml_names_the_file(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "broken.yaml"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"broken\.yaml is not a YAML file"):
        load_yaml(path)


def test_absent_yaml_is_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="nowhere"):
        load_yaml(tmp_path / "nowhere.yaml")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("learning_rate", -1.0),
        ("learning_rate", float("nan")),
        ("final_learning_rate", -1.0),
        ("warmup", -5),
        ("second_moment", 3.0),
        ("average", 2.0),
        ("weight_decay", -1.0),
        ("checkpoint_seconds", -1.0),
        ("precision", "bf17"),
    ],
)
def test_numbers_that_make_no_sense_are_refused_by_name(name: str, value: object) -> None:
    with pytest.raises(ValueError, match=f"^{name}"):
        from_dict(TrainingConfig, {name: value})


@pytest.mark.parametrize("name", ["log_every", "validate_every"])
def test_intervals_of_nothing_are_refused_by_name(name: str) -> None:
    with pytest.raises(ValueError, match=name):
        TrainingConfig(**{name: 0})

"""Settings of models of pictures and readers: what is refused, the published ones, and YAML."""

from __future__ import annotations

import subprocess
import sys
from typing import Any, get_args, get_type_hints

import pytest
import yaml

import attention_env
from attention_core.config import TrainingConfig, from_dict, load_yaml, to_dict
from attention_env.distortion import Distortion
from attention_env.options import GlimpseOptions
from generative.config import (
    CONFIGS,
    HYPERPARAMETERS,
    DRAWConfig,
    GenerativeConfig,
    LatentConfig,
    ReaderConfig,
    VAEConfig,
    published_config,
)

PUBLISHED = [(kind, about) for kind in CONFIGS for about in load_yaml(HYPERPARAMETERS / f"{kind}.yaml")]


@pytest.mark.parametrize(("kind", "about"), PUBLISHED, ids=map("-".join, PUBLISHED))
def test_published_settings_are_those_of_the_file_and_defaults(kind: str, about: str) -> None:
    key = "env" if kind == "drawreader" else "data"
    table = load_yaml(HYPERPARAMETERS / f"{kind}.yaml")
    config = published_config(kind, about)
    assert type(config) is CONFIGS[kind]
    plain, default = to_dict(config), to_dict(CONFIGS[kind]())
    assert (plain.pop(key), default.pop(key)) == (about, getattr(CONFIGS[kind](), key))
    for name, value in table[about].items():
        assert plain.pop(name) == ({**default[name], **value} if name == "training" else value)
        del default[name]
    assert plain == default


@pytest.mark.parametrize("about", load_yaml(HYPERPARAMETERS / "drawreader.yaml"))
def test_published_settings_of_readers_are_of_environments_whose_pictures_have_classes(about: str) -> None:
    assert about in attention_env.environment_ids()
    config = published_config("drawreader", about)
    assert isinstance(config, ReaderConfig)
    for kwargs in (config.env_kwargs, {**config.env_kwargs, **config.training_kwargs}):
        settings = GlimpseOptions.of({}, kwargs)
        assert settings.distortion is None or isinstance(Distortion(**settings.distortion), Distortion)


@pytest.mark.parametrize(("kind", "about"), [pair for pair in PUBLISHED if pair[0] != "drawreader"], ids=str)
def test_published_settings_of_models_are_of_pictures_that_there_are(kind: str, about: str) -> None:
    from generative.pictures import DATA

    assert about in DATA


@pytest.mark.parametrize(
    ("kind", "about", "expected"),
    [
        ("vae", "pebbles", VAEConfig(data="pebbles")),
        ("draw", "pebbles", DRAWConfig(data="pebbles")),
        ("drawreader", "somewhere/Else-v3", ReaderConfig(env="somewhere/Else-v3")),
    ],
)
def test_what_has_no_published_settings_takes_the_defaults(kind: str, about: str, expected: GenerativeConfig) -> None:
    assert published_config(kind, about) == expected


def test_defaults_of_draw_are_the_papers_for_mnist() -> None:
    """Table 3: 64 glimpses, 256 units, 100 latent variables, windows of 2 × 2 to read and 5 × 5 to write."""
    config = DRAWConfig()
    numbers = (config.steps, config.hidden, config.latents, config.read_size, config.write_size)
    assert numbers == (64, 256, 100, 2, 5)
    assert config.attention
    assert config.divergence_warmup == 0


SHARED = [
    ({"batch_size": 0}, "batch_size must be at least 1, got 0"),
    ({"divergence_warmup": -1}, "divergence_warmup must be at least 0, got -1"),
    ({"output": "poisson"}, "output='poisson' is unknown: choose one of bernoulli, gaussian, logistic"),
]


@pytest.mark.parametrize("kind", [VAEConfig, DRAWConfig])
@pytest.mark.parametrize(("changes", "message"), SHARED, ids=lambda value: "-".join(value) if isinstance(value, dict) else "")
def test_impossible_settings_of_all_models_are_refused_by_name(
    kind: type[LatentConfig], changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        kind(**changes)


@pytest.mark.parametrize(
    ("kind", "changes", "message"),
    [
        (VAEConfig, {"latents": 0}, "latents must be at least 1, got 0"),
        (VAEConfig, {"hidden": -3}, "hidden must be at least 1, got -3"),
        (VAEConfig, {"layers": 0}, "layers must be at least 1, got 0"),
        (VAEConfig, {"layer": "relu"}, "layer='relu' is unknown: choose one of tanh, gated"),
        (VAEConfig, {"dropout": 1.0}, "dropout must be within 0 … 1, 1 excepted; got 1.0"),
        (VAEConfig, {"dropout": -0.1}, "dropout must be within 0 … 1"),
        (VAEConfig, {"dropout": float("nan")}, "dropout must be within 0 … 1"),
        (DRAWConfig, {"steps": 0}, "steps must be at least 1, got 0"),
        (DRAWConfig, {"hidden": 0}, "hidden must be at least 1, got 0"),
        (DRAWConfig, {"latents": 0}, "latents must be at least 1, got 0"),
        (DRAWConfig, {"read_size": 1}, "read_size must be at least 2, got 1"),
        (DRAWConfig, {"write_size": 1}, "write_size must be at least 2, got 1"),
        (ReaderConfig, {"glimpses": 0}, "glimpses must be at least 1, got 0"),
        (ReaderConfig, {"glimpse_blocks": -1}, "glimpse_blocks must be at least 0, got -1"),
        (ReaderConfig, {"window_clip": 0.0}, "window_clip must be above 0, got 0.0"),
        (
            ReaderConfig,
            {"training": TrainingConfig(precision="fp16")},
            "window_clip would shorten all of them: use 'bf16' or 'no', or window_clip=inf",
        ),
        (ReaderConfig, {"glimpse_width": 0}, "glimpse_width must be at least 1, got 0"),
        (ReaderConfig, {"hidden": 0}, "hidden must be at least 1, got 0"),
        (ReaderConfig, {"batch_size": 0}, "batch_size must be at least 1, got 0"),
        (ReaderConfig, {"size": 1}, "size must be at least 2, got 1"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else getattr(value, "kind", ""),
)
def test_impossible_settings_are_refused_by_name(kind: Any, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        kind(**changes)


@pytest.mark.parametrize(
    "config",
    [
        VAEConfig(conditional=True, output="logistic", layer="gated", layers=3, dropout=0.25, divergence_warmup=7),
        DRAWConfig(attention=False, steps=5, training=TrainingConfig(learning_rate=3e-5, precision="bf16"), seed=9),
        ReaderConfig(env_kwargs={"scene": {"canvas": 20}}, training_kwargs={"distortion": None}, every_answer=0.5),
    ],
    ids=lambda config: config.kind,
)
def test_settings_survive_yaml(config: GenerativeConfig) -> None:
    assert from_dict(type(config), yaml.safe_load(yaml.safe_dump(to_dict(config)))) == config


def test_outputs_are_those_that_there_are() -> None:
    from generative import outputs

    assert tuple(outputs.OUTPUTS) == get_args(get_type_hints(LatentConfig)["output"])


def test_settings_need_no_torch() -> None:
    command = "import sys, generative.config; print('torch' in sys.modules, 'numpy' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", command], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "False False\n"

"""Figures of trained models of pictures and readers, as one object that JSON can hold."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch

from attention_core.statistics import wilson_interval
from attention_env.batch import describe
from attention_env.classification import count_errors, make_environment
from generative.config import LatentConfig, ReaderConfig
from generative.latent import LatentModel
from generative.likelihood import measure, measure_importance_weighted
from generative.loading import load, load_pictures
from generative.recogniser import Reader


def report(
    reference: str,
    device: torch.device,
    split: str = "test",
    passes: int = 10,
    importance_samples: int = 0,
    env_kwargs: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Score a model on every picture of a split.

    Args:
        reference: a zoo name, a run folder or a weights file.
        device: where to compute.
        split: "train", "validation" or "test".
        passes: how often a model of pictures sees each of them, with latent variables drawn anew.
        importance_samples: k of the importance-weighted bound, a separate figure; 0 to leave it out.
        env_kwargs: settings of a reader's environment that differ from the training's.

    Returns:
        "model", "metric" ("elbo_nats" or "error_rate"), "value", "examples", "split", ….

    Raises:
        attention_core.zoo.ModelError: if there is none, or it is another kind of model.
        ValueError: if the numbers are out of range.
    """
    model, config, name = load(reference, device)
    changed = env_kwargs or {}
    if isinstance(model, Reader):
        assert isinstance(config, ReaderConfig)
        if importance_samples:
            raise ValueError(f"{name} names pictures and bounds no probability: leave importance samples out")
        return _report_reader(model, replace(config, env_kwargs={**config.env_kwargs, **changed}), name, split, device)
    assert isinstance(config, LatentConfig)
    if changed:
        raise ValueError(f"{name} makes pictures and is in no environment: leave env_kwargs out")
    return _report_latent(model, config, name, split, device, passes, importance_samples)


def _report_reader(model: Reader, config: ReaderConfig, name: str, split: str, device: torch.device) -> dict[str, Any]:
    wrong, count = count_errors(model, config, split, device)
    return {
        "model": name,
        "metric": "error_rate",
        "value": wrong / count,
        "interval": [round(end, 6) for end in wilson_interval(wrong, count)],
        "examples": count,
        "split": split,
        **describe(config, make_environment(config, device, 1, split)),
        "glimpses": config.glimpses,
    }


def _report_latent(
    model: LatentModel, config: LatentConfig, name: str, split: str, device: torch.device, passes: int, importance_samples: int
) -> dict[str, Any]:
    pictures = load_pictures(config, split, device)
    bound = measure(model, pictures, passes)
    figures: dict[str, Any] = {
        "model": name,
        "metric": "elbo_nats",
        "value": bound.nats,
        "standard_error": bound.standard_error,
        "passes": bound.passes,
        "divergence_nats": sum(bound.divergences),
        "examples": bound.examples,
        "split": split,
        "data": config.data,
        "output": config.output,
        "binarisation": pictures.binarisation,
        "conditional": config.conditional,
    }
    if importance_samples:
        figures["importance_weighted_nats"] = measure_importance_weighted(model, pictures, importance_samples)
        figures["importance_samples"] = importance_samples
    return figures

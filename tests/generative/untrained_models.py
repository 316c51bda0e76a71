"""Models as a training begins with them."""

from __future__ import annotations

import torch

from attention_env.classification import make_environment, picture_shape
from generative.config import GenerativeConfig, ReaderConfig
from generative.latent import LatentModel
from generative.loading import load_pictures, new_model
from generative.recogniser import Reader

CPU = torch.device("cpu")


def untrained(config: GenerativeConfig) -> LatentModel | Reader:
    """Make the model of these settings for its own pictures."""
    if isinstance(config, ReaderConfig):
        environment = make_environment(config, CPU, 1, "train")
        return new_model(config, picture_shape(environment), environment.pictures.classes)
    pictures = load_pictures(config, "test", CPU)
    return new_model(config, pictures.shape, pictures.classes)

"""Making and loading models of pictures and DRAW's eye, and the pictures that they are of."""

from __future__ import annotations

import torch

from attention_core.zoo import ModelError, find_model
from generative.config import CONFIGS, DRAWConfig, GenerativeConfig, LatentConfig, VAEConfig
from generative.draw import DRAW
from generative.latent import LatentModel
from generative.pictures import Pictures
from generative.recogniser import Reader
from generative.vae import VAE

MADE_FOR = ("shape", "classes")
"""What a model's configuration says of it beside its settings, so that it can be made without its pictures."""


def new_model(config: GenerativeConfig, shape: tuple[int, int, int], classes: int) -> LatentModel | Reader:
    """Make an untrained model; its weights depend on `config.seed` alone.

    Args:
        config: its settings.
        shape: of the pictures, (C, H, W).
        classes: how many a reader names, or a model makes pictures by; 0 for one that knows of none.

    Raises:
        ValueError: if a window does not fit the pictures.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        if isinstance(config, VAEConfig):
            return VAE(shape, config, classes)
        if isinstance(config, DRAWConfig):
            return DRAW(shape, config, classes)
        return Reader(shape, classes, config)


def load_pictures(config: LatentConfig, split: str, device: torch.device) -> Pictures:
    """Load the pictures that a model is of."""
    return Pictures(config.data, split, device, config.output == "bernoulli", config.conditional)


def load(reference: str, device: torch.device) -> tuple[LatentModel | Reader, GenerativeConfig, str]:
    """Load a model from a zoo name, a run folder or a weights file.

    Returns:
        The model in evaluation mode, its settings, and its name.

    Raises:
        ModelError: if there is none, or it is another kind of model.
    """
    saved = find_model(reference)
    config: GenerativeConfig = saved.settings(CONFIGS, f"one of {', '.join(CONFIGS)}", MADE_FOR)
    shape, classes = (saved.config.get(name) for name in MADE_FOR)
    if shape is None or classes is None:
        raise ModelError(f"{saved.name}'s configuration does not say of which pictures it is (shape, classes): train it anew")
    channels, height, width = shape
    model = new_model(config, (channels, height, width), classes)
    saved.load_into(model)
    return model.to(device).eval(), config, saved.name

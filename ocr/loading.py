"""Making and loading readers of words."""

from __future__ import annotations

import torch

from attention_core.zoo import find_model
from ocr.config import OCRConfig
from ocr.reader import Reader


def new_reader(config: OCRConfig) -> Reader:
    """Make an untrained reader; its weights depend on `config.seed` alone."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        return Reader(config)


def load(reference: str, device: torch.device) -> tuple[Reader, OCRConfig, str]:
    """Load a reader from a zoo name, a run folder or a weights file.

    Returns:
        The reader in evaluation mode, its settings, and its name.

    Raises:
        ModelError: if there is none, or it is another kind of model.
    """
    saved = find_model(reference)
    config = saved.settings({OCRConfig.kind: OCRConfig}, "a reader of words")
    reader = new_reader(config)
    saved.load_into(reader)
    return reader.to(device).eval(), config, saved.name

"""Training captioners."""

from __future__ import annotations

from pathlib import Path

import torch

from attention_core.config import to_dict
from attention_core.curves import draw_panels
from attention_core.run_folder import RunFolder
from attention_core.splits import closed_test_splits
from attention_core.training import ERROR_RATE, fit, make_accelerator
from attention_core.zoo import begin_with
from captioning.config import CaptionConfig
from captioning.encoders import choose_weights
from captioning.hard import EpisodeLearner
from captioning.learner import CaptionLearner, SoftLearner

PANELS = {
    "flickr8k": {"CIDEr-D on validation pictures, sign turned": ["validation/negative_cider"]},
    "scenes": {
        "errors on validation scenes": [ERROR_RATE],
        "attention on what is named": ["validation/attention_on_shape"],
    },
}
TRAINING_PANELS = {
    "loss in training, nats a caption": ["losses/words"],
    "entropy of the places, nats": ["charts/entropy"],
    "gradient's norm": ["charts/gradient_norm"],
}


@closed_test_splits()
def train(config: CaptionConfig, place: Path, max_seconds: float | None = None) -> RunFolder:
    """Train a captioner, or go on with a training.

    Args:
        config: what to train. If the folder holds a run, it must be the same, and so must be the vocabulary.
        place: the run folder.
        max_seconds: ends this call cleanly after so much time; call again to go on.

    Returns:
        The run folder, with metrics, curves and the weights that were best on validation pictures.

    Raises:
        attention_core.run_folder.RunError: if the folder holds a run of other settings or of another vocabulary.
        FloatingPointError: if a part of the loss is no finite number.
    """
    accelerator = make_accelerator(config.training)
    by_gradient = config.attention == "soft" and config.reward == "likelihood"
    learner: CaptionLearner = SoftLearner(config, accelerator) if by_gradient else EpisodeLearner(config, accelerator)
    folder = RunFolder(place, writes=accelerator.is_main_process)
    seen_by = choose_weights(config.features.encoder).path if config.data == "flickr8k" else ""
    made_for = {"shape": list(learner.source.shape), "words": " ".join(learner.source.vocabulary.words), "seen_by": seen_by}
    folder.begin({"kind": config.kind, **made_for, **to_dict(config)})
    if config.start and folder.newest_checkpoint() is None:
        begin_with(config.start, learner.captioner, "captioner")
    torch.manual_seed(config.seed + 2 + 1000 * accelerator.process_index)  # of dropout
    fit(learner, config.training, folder, accelerator, max_seconds)
    if folder.writes:
        draw_panels(folder, {**TRAINING_PANELS, **PANELS[config.data]}, "updates")
    return folder

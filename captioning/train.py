"""Training captioners."""

from __future__ import annotations

from pathlib import Path

from attention_core.carrying_out import begins_with_another, carry_out, open_run
from attention_core.run_folder import RunFolder
from attention_core.splits import closed_test_splits
from attention_core.training import ERROR_RATE, make_accelerator
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
        attention_core.zoo.ModelError: if there is no such model to begin with, or it is another kind, or of other sizes.
        FloatingPointError: if a part of the loss is no finite number.
    """
    accelerator = make_accelerator(config.training)
    by_gradient = config.attention == "soft" and config.reward == "likelihood"
    folder = open_run(config, place, accelerator)
    learner: CaptionLearner = SoftLearner(config, accelerator) if by_gradient else EpisodeLearner(config, accelerator)
    if begins_with_another(config, folder):
        begin_with(config.start, learner.captioner, "captioner")
    seen_by = choose_weights(config.features.encoder).path if config.data == "flickr8k" else ""
    made_for = {"shape": list(learner.source.shape), "words": " ".join(learner.source.vocabulary.words), "seen_by": seen_by}
    carry_out(learner, config, folder, accelerator, {**TRAINING_PANELS, **PANELS[config.data]}, max_seconds, **made_for)
    return folder

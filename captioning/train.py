"""Training and loading captioners."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from attention_core.config import from_dict, to_dict
from attention_core.curves import draw_panels
from attention_core.run_folder import RunFolder
from attention_core.splits import closed_test_splits
from attention_core.training import fit, make_accelerator
from attention_core.zoo import ModelError, begin_with, find_model
from attention_env.captions import Vocabulary
from captioning.config import CaptionConfig, Places
from captioning.decoder import Captioner
from captioning.encoders import Encoder, choose_weights, described_weights
from captioning.evaluate import score_captions
from captioning.hard import EpisodeLearner
from captioning.learner import CaptionLearner, SoftLearner, new_captioner
from captioning.sources import make_source

MADE_FOR = ("kind", "shape", "words", "seen_by")
"""What a model's configuration says of it beside its settings, so that it can be made without its pictures."""
PANELS = {
    "flickr8k": {"CIDEr-D on validation pictures, sign turned": ["validation/negative_cider"]},
    "scenes": {
        "errors on validation scenes": ["validation/error_rate"],
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


def load(reference: str, device: torch.device) -> tuple[Captioner, CaptionConfig, Vocabulary, str]:
    """Load a captioner from a zoo name, a run folder or a weights file.

    Returns:
        The captioner in evaluation mode, its settings, its words, and its name.

    Raises:
        ModelError: if there is none, or it is another kind of model.
    """
    saved = find_model(reference)
    kind, shape, words, seen_by = (saved.config.get(name) for name in MADE_FOR)
    if kind != CaptionConfig.kind:
        raise ModelError(f"{saved.name} is a model of kind {kind!r}, not a captioner: use its own command")
    if shape is None or words is None or seen_by is None:
        raise ModelError(
            f"{saved.name}'s configuration does not say of which pictures and words it is (shape, words, seen_by): train it anew"
        )
    config = from_dict(CaptionConfig, {name: value for name, value in saved.config.items() if name not in MADE_FOR})
    vocabulary = Vocabulary(tuple(words.split(" ")))
    count, numbers = shape
    encoder = None
    if config.encoder_rate:
        encoder = Encoder(config.features.encoder, config.features.stride, described_weights(seen_by))
    elif seen_by and (here := choose_weights(config.features.encoder).path) != seen_by:
        raise ModelError(f"{saved.name} learned from what {seen_by} makes of pictures, and here {here} would be used: they differ")
    captioner = new_captioner(config, (count, numbers), vocabulary, encoder)
    saved.load_into(captioner)
    return captioner.to(device).eval(), config, vocabulary, saved.name


def report(
    reference: str,
    split: str,
    beams: int | None,
    length_power: float | None,
    device: torch.device,
    places: Places = "attended",
) -> dict[str, Any]:
    """Score a saved captioner on every picture of a split.

    Args:
        reference: a zoo name, a run folder or a weights file.
        split: "train", "validation" or "test".
        beams: of the search; None for the settings' own.
        length_power: likewise.
        device: where to compute.
        places: where it is let look.

    Returns:
        The figures of `captioning.evaluate.score_captions`, and what they are of.

    Raises:
        ModelError: if there is none, or it is another kind of model.
    """
    captioner, config, vocabulary, name = load(reference, device)
    beams = config.beams if beams is None else beams
    length_power = config.length_power if length_power is None else length_power
    source = make_source(config, split, device, vocabulary)
    figures = score_captions(captioner, source, beams, length_power, device, places)
    about = {"examples": len(source), "split": split, "data": config.data, "attention": config.attention}
    return {"model": name, **figures, **about, "places": places, "beams": beams, "length_power": length_power}

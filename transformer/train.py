"""Training Transformers."""

from __future__ import annotations

from pathlib import Path

from attention_core.carrying_out import begins_with_another, carry_out, open_run
from attention_core.run_folder import RunFolder
from attention_core.splits import closed_test_splits
from attention_core.training import ERROR_RATE, make_accelerator
from attention_core.zoo import ModelError, begin_with, find_model
from transformer.config import TransformerConfig
from transformer.learner import TranslationLearner
from transformer.reinforce import RewardLearner

PANELS = {
    "wrong sentences of the made-up task, or 100 - BLEU, on validation sentences": [ERROR_RATE, "validation/lost_bleu"],
    "gradient's norm": ["charts/gradient_norm"],
}
REWARD_PANELS = {
    "likelihood": {
        "loss in training, nats a token": ["losses/tokens"],
        "share of a batch that is padding": ["charts/padding"],
    },
    "bleu": {"BLEU of a translation that is drawn in training": ["charts/reward"]},
}


@closed_test_splits()
def train(config: TransformerConfig, place: Path, max_seconds: float | None = None) -> RunFolder:
    """Train a Transformer, or go on with a training.

    Args:
        config: what to train. If the folder holds a run, it must be the same, and so must be the vocabulary.
        place: the run folder.
        max_seconds: ends this call cleanly after so much time; call again to go on.

    Returns:
        The run folder, with metrics, curves and the weights that were best on validation sentences.

    Raises:
        transformer.corpora.CorpusError: if files of one's own cannot be used.
        attention_core.run_folder.RunError: if the folder holds a run of other settings or of another vocabulary.
        attention_core.zoo.ModelError: if there is no such model to begin with, or it is another kind, or of other sizes.
        FloatingPointError: if a part of the loss is no finite number.
    """
    accelerator = make_accelerator(config.training)
    folder = open_run(config, place, accelerator)
    learner = (TranslationLearner if config.reward == "likelihood" else RewardLearner)(config, accelerator)
    merges = "\n".join(learner.vocabulary.merges)
    if begins_with_another(config, folder):
        saved = find_model(config.start)
        if saved.config.get("kind") == config.kind and saved.config.get("merges") != merges:
            raise ModelError(f"start={config.start!r} has another vocabulary than these sentences give: its pieces would be others")
        begin_with(config.start, learner.module, "Transformer")
    carry_out(learner, config, folder, accelerator, {**PANELS, **REWARD_PANELS[config.reward]}, max_seconds, merges=merges)
    return folder

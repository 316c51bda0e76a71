"""Training readers of words."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from accelerate import Accelerator
from torch import Tensor, nn

from attention_core.carrying_out import begins_with_another, carry_out, open_run
from attention_core.run_folder import RunFolder
from attention_core.splits import closed_test_splits
from attention_core.training import ERROR_RATE, Learner, make_accelerator, share_of
from attention_core.zoo import begin_with
from ocr.alphabet import encode
from ocr.augment import augment
from ocr.batches import make_batches
from ocr.config import OCRConfig
from ocr.crops import Crops, load_training
from ocr.evaluate import score_words
from ocr.loading import new_reader
from ocr.reader import Read, Reader
from ocr.reading import as_input, read_all

PANELS = {
    "errors on real validation crops": [ERROR_RATE],
    "loss in training, nats a word": ["losses/words"],
    "errors on characters in training": ["charts/wrong_characters"],
    "share of the time spent waiting for words": ["time/waiting"],
}


class ReaderLearner(Learner):
    """A reader and its words, as the training loop wants them."""

    chooses = ERROR_RATE

    def __init__(self, config: OCRConfig, accelerator: Accelerator) -> None:
        """Make words, network, and random stream.

        Raises:
            ValueError: if the batch cannot be shared out evenly.
        """
        self.config, self.device = config, accelerator.device
        learned, self.validation = load_training(config.words.height, config.words.width)
        mine = share_of(accelerator, config.batch_size)
        self.batches = make_batches(config, _short_enough(learned, config, accelerator) if config.real else None, mine)
        self.module: nn.Module = new_reader(config).to(self.device)
        self.examples_per_update = config.batch_size
        self.chance = torch.Generator(self.device).manual_seed(config.seed + 1 + 1000 * accelerator.process_index)

    def loss(self, module: nn.Module) -> tuple[Tensor, dict[str, Tensor]]:
        """Read the next batch of words, being told the characters before."""
        batch = self.batches.take()
        crops = augment(as_input(batch.pictures, self.device), self.config.augment, self.chance)
        told = module(crops, encode(batch.words).to(self.device))
        loss = words_loss(told, len(batch.words), self.config.label_smoothing)
        wrong = (told.scores.argmax(-1) != told.characters).float().mean()
        waiting = torch.tensor(batch.waiting, device=self.device)
        return loss, {"losses/words": loss, "charts/wrong_characters": wrong, "time/waiting": waiting}

    def released(self, module: nn.Module) -> Reader:
        """The module itself."""
        assert isinstance(module, Reader)
        return module

    def validate(self, module: nn.Module) -> dict[str, float]:
        """Read the real training crops that are not learned from."""
        reader = self.released(module).eval()
        chunks = read_all(reader, self.validation.pictures, self.config.words.longest, 1, self.device)
        scores = score_words([word for chunk in chunks for word in chunk.words], self.validation.words)
        return {ERROR_RATE: 1 - scores.accuracy, "validation/edit_similarity": scores.edit_similarity}

    def state_dict(self) -> dict[str, Any]:
        """Take down the place in the words and the random stream."""
        return {"batches": self.batches.state_dict(), "chance": self.chance.get_state()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take them up again."""
        self.batches.load_state_dict(state["batches"])
        self.chance.set_state(state["chance"].cpu())


def _short_enough(crops: Crops, config: OCRConfig, accelerator: Accelerator) -> Crops:
    """Take the crops whose word the reader can write, and say what becomes of the others."""
    fits = np.array([len(word) <= config.words.longest for word in crops.words])
    accelerator.print(
        f"real crops  {fits.sum()}; {len(crops.altered)} labels hold other characters than letters and digits, which are not asked "
        f"for, and {len(crops.left_out)} nothing else; {(~fits).sum()} words are longer than {config.words.longest}"
    )
    return crops.part(np.flatnonzero(fits))


def words_loss(told: Read, words: int, smoothing: float) -> Tensor:
    """-log p(word | crop) in nats, with smoothed labels if asked for, averaged over the words."""
    return F.cross_entropy(told.scores, told.characters, reduction="sum", label_smoothing=smoothing) / words


@closed_test_splits()
def train(config: OCRConfig, place: Path, max_seconds: float | None = None) -> RunFolder:
    """Train a reader, or go on with a training.

    Args:
        config: what to train. If the folder holds a run, it must be the same.
        place: the run folder.
        max_seconds: ends this call cleanly after so much time; call again to go on.

    Returns:
        The run folder, with metrics, curves and the weights that were best on real validation crops.

    Raises:
        attention_core.run_folder.RunError: if the folder holds a run of other settings.
        attention_core.data_files.DataError: if crops or the list of words are missing.
        ocr.fonts.FontError: if there are no fonts to draw words with.
        attention_core.zoo.ModelError: if there is no such model to begin with, or it is another kind, or of other sizes.
        FloatingPointError: if a part of the loss is no finite number.
    """
    accelerator = make_accelerator(config.training)
    folder = open_run(config, place, accelerator)
    learner = ReaderLearner(config, accelerator)
    if begins_with_another(config, folder):
        begin_with(config.start, learner.module, "reader")
    carry_out(learner, config, folder, accelerator, PANELS, max_seconds)
    return folder

"""Learning to write captions from the true ones, word by word: what soft attention needs, its gradient going everywhere."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import torch
import torch.nn.functional as F
from accelerate import Accelerator
from torch import Tensor, nn

from attention_core.order import ShuffledIndex
from attention_core.training import Learner, apart, share_of
from attention_env.captions import START
from captioning.config import CaptionConfig
from captioning.decoder import Captioner, Read
from captioning.encoders import load_encoder
from captioning.evaluate import CHOOSES, validate
from captioning.loading import new_captioner
from captioning.sources import make_source


class CaptionLearner(Learner):
    """A captioner and its captions, as the training loop wants them; who teaches it is left open.

    Of several processes each sees its own part of every batch.

    Attributes:
        config: the settings.
        source: the training pictures and captions.
        captioner: the network.
    """

    def __init__(self, config: CaptionConfig, accelerator: Accelerator) -> None:
        """Make pictures, network, and the order of the pictures.

        Raises:
            ValueError: if the batch cannot be shared out evenly.
        """
        self.mine = share_of(accelerator, config.batch_size)
        self.config = config
        self.chooses = CHOOSES[config.data]
        self.device = accelerator.device
        self.source = make_source(config, "train", self.device, training=True)
        self.validation = make_source(config, "validation", self.device, self.source.vocabulary)
        features = config.features
        encoder = load_encoder(features.encoder, features.stride) if config.encoder_rate else None
        self.captioner = new_captioner(config, self.source.shape, self.source.vocabulary, encoder).to(self.device)
        self.order = ShuffledIndex(len(self.source), config.seed)

    def next_pictures(self) -> Tensor:
        """Choose this process's part of the next batch of pictures, (P,)."""
        return torch.from_numpy(self.order.take(self.config.batch_size)[self.mine])

    @abstractmethod
    def released(self, module: nn.Module) -> Captioner:
        """The captioner, without what may be around it."""

    def validate(self, module: nn.Module) -> dict[str, float]:
        """Write about every validation picture and score that."""
        return validate(self.released(module).eval(), self.validation, self.config, self.device)

    def state_dict(self) -> dict[str, Any]:
        """Take down the place in the data."""
        return {"order": self.order.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take it up again."""
        self.order.load_state_dict(state["order"])


class SoftLearner(CaptionLearner):
    """Likelihood of the true captions, with soft attention."""

    def __init__(self, config: CaptionConfig, accelerator: Accelerator) -> None:
        super().__init__(config, accelerator)
        self.module = self.captioner
        self.examples_per_update = config.batch_size * self.source.references

    def loss(self, module: nn.Module) -> tuple[Tensor, dict[str, Tensor]]:
        """Read the captions of the next batch of pictures."""
        index = self.next_pictures()
        captions = F.pad(self.source.captions(index, self.device), (1, 0), value=START)
        parts = losses(module(self.source.shown(index, self.device), captions), self.config)
        entropy = parts.pop("entropy")
        metrics = {**{f"losses/{name}": part for name, part in parts.items()}, "charts/entropy": entropy}
        return parts["words"] + self.config.even * parts["uneven"], metrics

    def parameter_groups(self) -> list[dict[str, Any]]:
        """The encoder apart, which learns more slowly."""
        if self.captioner.encoder is None:
            return super().parameter_groups()
        return apart(self.captioner, self.captioner.encoder.parameters(), rate=self.config.encoder_rate)

    def released(self, module: nn.Module) -> Captioner:
        """The module itself."""
        assert isinstance(module, Captioner)
        return module


def losses(read: Read, config: CaptionConfig) -> dict[str, Tensor]:
    """Compute the parts of the loss of soft attention (Xu et al. 2015, equation 14).

    Args:
        read: what the captioner made of the captions.
        config: the settings.

    Returns:
        "words": -log p(y | x) of a caption in nats, with smoothed labels if the settings say so, averaged over the captions.
        "uneven": Σ_i (1 - Σ_t α_ti)² of a caption, likewise.
        "entropy": of α_t in nats, averaged over the words; nothing learns from it.
    """
    errors = F.cross_entropy(read.scores, read.words, reduction="sum", label_smoothing=config.label_smoothing)
    uneven = (1 - read.seen).square().sum(1).mean()
    return {"words": errors / len(read.seen), "uneven": uneven, "entropy": read.entropy.detach()}

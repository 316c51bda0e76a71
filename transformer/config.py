"""Settings of the Transformer, free of torch, and the published ones by data set."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Literal

from attention_core.config import TrainingConfig, check_above_zero, check_at_least, check_choices, check_share, from_dict, load_yaml

HYPERPARAMETERS = Path(__file__).parent / "hyperparameters" / "transformer.yaml"
DATA = ("reverse", "multi30k", "multi30k_tatoeba", "files")
LANGUAGES = ("en", "de", "fr")


@dataclass(frozen=True)
class Size:
    """How large a Transformer is.

    Attributes:
        layers: N, of the encoder and of the decoder.
        units: d, numbers that stand for a token.
        inner: d_ff, units of the layer within the feed-forward networks.
        heads: of each attention.
    """

    layers: int
    units: int
    inner: int
    heads: int


SIZES = {
    "tiny": Size(4, 128, 256, 4),
    "small": Size(6, 256, 1024, 4),
    "base": Size(6, 512, 2048, 8),
    "big": Size(6, 1024, 4096, 16),
}
"""`base` and `big` are those of the paper (table 3), `tiny` that of Wu et al. 2021 (arXiv 2105.14462) for Multi30k."""


@dataclass(frozen=True)
class TransformerConfig:
    """What a training of the Transformer depends on."""

    kind: ClassVar[str] = "transformer"

    data: str = "reverse"
    """What is translated: reverse, a made-up task; multi30k; multi30k_tatoeba, with Tatoeba's sentences; or files of one's own."""
    source: str = "en"
    """Language that is translated from."""
    target: str = "de"
    """Language that is translated into."""
    train_files: tuple[str, ...] = ()
    """Of data=files: one file with a source, a tab and a target on each line, or one of sources and one of targets."""
    validation_files: tuple[str, ...] = ()
    """The same, to choose the weights by."""
    size: str = "tiny"
    """tiny (4+4 layers, d 128), small (6+6, d 256), base (6+6, d 512) or big (6+6, d 1024)."""
    norm_first: bool = False
    """Whether layers are normalised before they begin rather than after their residual is added, as published."""
    positions: Literal["sinusoidal", "learned"] = "sinusoidal"
    """How a token's place is told."""
    longest: int = 256
    """Tokens of a sentence at most, and places of the position table; longer pairs are left out of training."""
    vocabulary: int = 10_000
    """Pieces of words in the joint vocabulary of both languages."""
    piece_dropout: float = 0.0
    """Share of the merges of pieces left out at random in training, so that a word is cut in many ways (BPE dropout)."""
    dropout: float = 0.1
    """Share of the units left out at random in training."""
    label_smoothing: float = 0.1
    """Share of a token's probability that is spread over all in training."""
    agreement: float = 0.0
    """α of R-Drop: every sentence is read twice, with other units left out, and both readings are to agree; 0 for once."""
    reward: Literal["likelihood", "bleu"] = "likelihood"
    """What it learns from: the likelihood of the true translations, or the BLEU of translations that it draws itself, which is for
    the end of a training: `start` with what likelihood has taught."""
    samples: int = 10
    """N, translations that are drawn of each source, where it learns from those."""
    temperature: float = 0.5
    """Their tokens are drawn by their scores over this: below 1 the likeliest more often, so that the long tail of tokens that
    smoothed labels leave does not have to be unlearned one by one."""
    tokens: int = 4096
    """Tokens of a batch at most, padding included, of sources and of targets each, over all processes."""
    beams: int = 4
    """Beams of the search that translates."""
    length_power: float = 0.6
    """Sentences compete by log-probability over ((5 + length) / 6) to this power."""
    teachers: tuple[str, ...] = ()
    """Translators between the same languages, either way, as zoo names or run folders: what they make of the sentences that are
    learned from, searching as their own settings say, is learned from besides."""
    start: str = ""
    """A Transformer of the same sizes and vocabulary whose weights to begin with, as a zoo name or a run folder."""
    training: TrainingConfig = field(default_factory=TrainingConfig)
    """The training loop."""
    seed: int = 0
    """Seed of weights, order and dropout."""

    def __post_init__(self) -> None:
        """Check the numbers.

        Raises:
            ValueError: naming the setting that is wrong and what would be right.
        """
        check_choices(self, data=DATA, size=SIZES)
        if self.data.startswith("multi30k"):
            check_choices(self, source=LANGUAGES, target=LANGUAGES)
            if self.source == self.target:
                raise ValueError(f"source and target must differ, both are {self.source!r}")
        check_at_least(self, 1, "longest", "vocabulary", "tokens", "beams")
        check_at_least(self, 2, "samples")
        check_at_least(self, 0, "length_power", "agreement")
        check_above_zero(self, "temperature")
        if self.reward != "likelihood" and self.agreement:
            raise ValueError(f"agreement is for reward='likelihood': leave it at 0, got {self.agreement}")
        check_share(self, "dropout", "piece_dropout", "label_smoothing")


def published_config(data: str) -> TransformerConfig:
    """Look up the published settings of a data set; one that has none takes the defaults."""
    return from_dict(TransformerConfig, {"data": data, **load_yaml(HYPERPARAMETERS).get(data, {})})

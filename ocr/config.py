"""Settings of the reader of words, free of torch, and the published ones by name."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Literal, get_args

from attention_core.config import TrainingConfig, check_at_least, check_choices, check_share, from_dict, load_yaml
from ocr.words_config import WordConfig

HYPERPARAMETERS = Path(__file__).parent / "hyperparameters" / "reader.yaml"
ALPHABET = "0123456789abcdefghijklmnopqrstuvwxyz"
"""What words are made of; capitals count as small letters."""
Form = Literal["1c", "1u", "2u", "attention"]
FORMS: tuple[Form, ...] = get_args(Form)
By = Literal["likelihood", "distance"]
"""How a word of a lexicon is chosen: the likeliest under the reader, or the nearest to what it reads without."""
Turned = Literal[0, 90, 180, 270]
"""Degrees to the left by which crops are turned before they are read: with 90 their words run upwards, with 270 downwards."""
PAIRS = 4
"""Pairs of convolutions, the first three with pooling after them."""


@dataclass(frozen=True)
class ConvolutionConfig:
    """The recursive convolutional network; see `ocr.recursive_cnn`."""

    kind: Literal["base", "recursive", "recurrent"] = "recursive"
    """What the second convolution of each pair is: base, a plain one; recursive, repeated on its own result; recurrent, repeated
    with the input taking part each time."""
    tied: bool = False
    """Whether one kernel serves all repetitions; untied, the first pass or the feed-forward part has its own."""
    iterations: int = 2
    """T, repetitions after the first pass; base has none."""
    channels: tuple[int, int, int, int] = (64, 128, 256, 512)
    """Channels of the four pairs."""
    batch_norm: bool = True
    """Whether every convolution is normalised over the batch, which the paper does not do."""
    last_pooling: int = 2
    """Columns that the third pooling joins: 2, or 1 to keep twice as many places for long words."""

    def __post_init__(self) -> None:
        """Check the numbers.

        Raises:
            ValueError: naming the setting that is wrong and what would be right.
        """
        check_choices(self)
        check_at_least(self, 1, "iterations")
        if len(self.channels) != PAIRS or min(self.channels) < 1:
            raise ValueError(f"channels must be {PAIRS} numbers of at least 1, got {self.channels}")
        if self.last_pooling not in (1, 2):
            raise ValueError(f"last_pooling must be 1 or 2, got {self.last_pooling}")


@dataclass(frozen=True)
class OCRConfig:
    """What a training of the reader depends on."""

    kind: ClassVar[str] = "ocr"

    convolution: ConvolutionConfig = field(default_factory=ConvolutionConfig)
    """The network that sees the crop."""
    form: Form = "attention"
    """How characters are written: by one recurrent layer that is shown the picture once (1c) or before every character (1u), by two
    (2u), or with soft attention over the feature map."""
    fully_connected: int = 4096
    """Units of each of the two layers through which all forms but attention see the whole feature map."""
    units: int = 1024
    """Units of the recurrent layers."""
    embedding: int = 128
    """Numbers that stand for a character."""
    attention_units: int = 256
    """Units of the attention network."""
    dropout: float = 0.5
    """Share of the units before the output that are left out at random in training."""
    label_smoothing: float = 0.0
    """Share of a character's probability that is spread over all in training."""
    words: WordConfig = field(default_factory=WordConfig)
    """The synthetic words, the size of all crops, and how long a word may be: longer ones are left out of training, and reading
    ends there."""
    folder: str = ""
    """A folder of MJSynth, SynthText or LMDB files to learn from in place of words drawn here; see `ocr.collections`."""
    real: float = 0.0
    """Share of every batch that are real training crops of IIIT5K, SVT, ICDAR 2003 and ICDAR 2015."""
    augment: float = 1.0
    """How strongly crops are moved, stretched, blurred and so on, on the device; 0 for not at all."""
    batch_size: int = 128
    """Words per update, over all processes."""
    workers: int = 1
    """Processes that draw words; 0 to draw them in the training's own."""
    beams: int = 1
    """Beams of the search that reads; 1 takes the likeliest character every time."""
    start: str = ""
    """A reader of the same sizes whose weights to begin with, as a zoo name or a run folder."""
    training: TrainingConfig = field(default_factory=TrainingConfig)
    """The training loop."""
    seed: int = 0
    """Seed of weights, words and augmentation."""

    def __post_init__(self) -> None:
        """Check the numbers.

        Raises:
            ValueError: naming the setting that is wrong and what would be right.
        """
        check_choices(self)
        check_at_least(self, 1, "fully_connected", "units", "embedding", "attention_units", "batch_size", "beams")
        check_at_least(self, 0, "augment", "workers")
        if not 0 <= self.real <= 1:
            raise ValueError(f"real must be within 0 … 1, got {self.real}")
        check_share(self, "dropout", "label_smoothing")


def published_config(name: str) -> OCRConfig:
    """Look up published settings.

    Args:
        name: "paper" for the paper's sizes, or one of those in `HYPERPARAMETERS`.

    Raises:
        ValueError: if there are none of that name.
    """
    table = load_yaml(HYPERPARAMETERS)
    if name not in table:
        raise ValueError(f"there are no settings {name!r}: choose one of {', '.join(table)}")
    return from_dict(OCRConfig, table[name])

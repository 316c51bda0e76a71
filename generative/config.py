"""Settings of the models of pictures and of DRAW's eye, free of torch, and the published ones by data set."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import tyro

from attention_core.config import TrainingConfig, check_above_zero, check_at_least, check_choices, check_share, from_dict, load_yaml

HYPERPARAMETERS = Path(__file__).parent / "hyperparameters"


@dataclass(frozen=True)
class LatentConfig:
    """What every training of a model of pictures depends on; each model has a class of its own below."""

    kind: ClassVar[str]
    """The model's name."""

    data: str = "digits"
    """Which pictures: digits or circle_square (no download), mnist, fashion_mnist, binarized_mnist."""
    output: Literal["bernoulli", "gaussian", "logistic"] = "bernoulli"
    """Distribution over pictures: "bernoulli" of black and white pixels, grey ones being binarised by chance every time they are
    seen; "gaussian" or "logistic" (256 levels) of grey or coloured ones."""
    conditional: bool = False
    """Whether pictures are made by class, which encoder and decoder are then told."""
    batch_size: int = 100
    """Pictures per update, over all processes."""
    divergence_warmup: int = 0
    """Updates over which the weight of the KL divergence rises from 0 to 1, so that the latent variables are taken into use
    before they are made to pay; 0 for a weight of 1 throughout, as in the papers."""
    start: str = ""
    """A model of the same sizes whose weights to begin with, as a zoo name or a run folder. DRAW's do not depend on how many steps
    it takes: a few may be learned first, which takes less time."""
    training: TrainingConfig = field(default_factory=TrainingConfig)
    """The training loop."""
    seed: int = 0
    """Seed of weights, pictures and latent variables."""

    def __post_init__(self) -> None:
        """Check the numbers.

        Raises:
            ValueError: naming the setting that is wrong and what would be right.
        """
        check_at_least(self, 1, "batch_size")
        check_at_least(self, 0, "divergence_warmup")
        check_choices(self)


@dataclass(frozen=True)
class VAEConfig(LatentConfig):
    """Settings of the variational auto-encoder; by default the paper's, with more latent variables."""

    kind: ClassVar[str] = "vae"

    latents: int = 50
    """Z, latent variables."""
    hidden: int = 500
    """Units of every hidden layer."""
    layers: int = 1
    """Hidden layers of the encoder, and of the decoder."""
    layer: Literal["tanh", "gated"] = "tanh"
    """What they are made of: tanh units, as in the paper, or gated ones."""
    dropout: float = 0.0
    """Share of the hidden units that is left out at random in training."""

    def __post_init__(self) -> None:
        """Check the numbers.

        Raises:
            ValueError: naming the setting that is wrong and what would be right.
        """
        super().__post_init__()
        check_at_least(self, 1, "latents", "hidden", "layers")
        check_share(self, "dropout")


@dataclass(frozen=True)
class DRAWConfig(LatentConfig):
    """Settings of DRAW; by default those of the paper's table 3 for MNIST."""

    kind: ClassVar[str] = "draw"

    steps: int = 64
    """T, how often it looks, draws latent variables and writes."""
    hidden: int = 256
    """Units of the encoder's LSTM, and of the decoder's."""
    latents: int = 100
    """Z, latent variables of each step."""
    attention: bool = True
    """Whether it reads and writes through windows; else it sees and changes the whole picture at every step."""
    read_size: int = 2
    """N, filters along each side of the window that is read through."""
    write_size: int = 5
    """N, filters along each side of the window that is written through."""

    def __post_init__(self) -> None:
        """Check the numbers.

        Raises:
            ValueError: naming the setting that is wrong and what would be right.
        """
        super().__post_init__()
        check_at_least(self, 1, "steps", "hidden", "latents")
        check_at_least(self, 2, "read_size", "write_size")


@dataclass(frozen=True)
class ReaderConfig:
    """Settings of DRAW's eye as a recogniser."""

    kind: ClassVar[str] = "drawreader"

    env: str = "attention_env/ClutteredMNIST100-v0"
    """Id of the environment whose pictures are named."""
    env_kwargs: Annotated[dict[str, Any], tyro.conf.Suppress] = field(default_factory=dict)
    """Settings of the environment in training and evaluation; those of the retina count for nothing."""
    training_kwargs: Annotated[dict[str, Any], tyro.conf.Suppress] = field(default_factory=dict)
    """Settings of the environment in training only, such as distortion."""
    glimpses: int = 8
    """T, how often it looks."""
    size: int = 12
    """N, filters along each side of the window."""
    glimpse_width: int = 256
    """Units of the layer that sees what the window shows, and where that lies."""
    glimpse_blocks: int = 0
    """Residual blocks of that width between this layer and the LSTM."""
    hidden: int = 256
    """Units of the LSTM."""
    window_clip: float = 5.0
    """Greatest norm of the gradient of one picture's loss at a window's five numbers; longer ones are shortened."""
    every_answer: float = 0.0
    """Weight of the cross-entropy of an answer after every glimpse, beside that of the last one."""
    batch_size: int = 128
    """Pictures per update, over all processes."""
    start: str = ""
    """A reader of the same sizes whose weights to begin with, as a zoo name or a run folder; pictures may be larger or smaller, and
    it may be without residual blocks, which change nothing at first."""
    training: TrainingConfig = field(default_factory=TrainingConfig)
    """The training loop."""
    seed: int = 0
    """Seed of weights and pictures."""

    def __post_init__(self) -> None:
        """Check the numbers.

        Raises:
            ValueError: naming the setting that is wrong and what would be right.
        """
        check_at_least(self, 1, "glimpses", "glimpse_width", "hidden", "batch_size")
        check_at_least(self, 2, "size")
        check_at_least(self, 0, "glimpse_blocks")
        check_above_zero(self, "window_clip")
        if self.training.precision == "fp16" and math.isfinite(self.window_clip):
            raise ValueError(
                "precision='fp16' makes gradients larger until they have been through the network, so that window_clip would "
                "shorten all of them: use 'bf16' or 'no', or window_clip=inf"
            )


GenerativeConfig = VAEConfig | DRAWConfig | ReaderConfig
CONFIGS: dict[str, type[VAEConfig] | type[DRAWConfig] | type[ReaderConfig]] = {
    config.kind: config for config in (VAEConfig, DRAWConfig, ReaderConfig)
}


def published_config(kind: str, about: str) -> GenerativeConfig:
    """Look up the published settings of a model.

    Args:
        kind: "vae", "draw" or "drawreader".
        about: the data set, or the environment whose pictures a reader names; one that has none takes the defaults.
    """
    table = load_yaml(HYPERPARAMETERS / f"{kind}.yaml")
    key = "env" if kind == ReaderConfig.kind else "data"
    config: GenerativeConfig = from_dict(CONFIGS[kind], {key: about, **table.get(about, {})})
    return config

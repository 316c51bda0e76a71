"""Settings of the captioner, free of torch, and the published ones by data set."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Literal, NamedTuple, get_args

from attention_core.config import TrainingConfig, check_above_zero, check_at_least, check_choices, check_share, from_dict, load_yaml

HYPERPARAMETERS = Path(__file__).parent / "hyperparameters" / "captioner.yaml"
DATA = ("flickr8k", "scenes")
ENCODERS = ("efficientnet_lite0", "mobilenet_v2")
STRIDES = (16, 32)
Reward = Literal["likelihood", "cider", "bleu", "cider_bleu"]
Baseline = Literal["none", "moving_average", "leave_one_out", "self_critical"]
BASELINES: tuple[Baseline, ...] = get_args(Baseline)
Places = Literal["attended", "random"]
"""Where a captioner is let look: where its attention is, or at places drawn uniformly, to be measured by."""


@dataclass(frozen=True)
class FeatureConfig:
    """How pictures become annotation vectors."""

    encoder: str = "efficientnet_lite0"
    """The network: efficientnet_lite0 or mobilenet_v2."""
    size: int = 224
    """Pixels along each side that a picture is brought to; its aspect ratio is not kept."""
    stride: int = 32
    """Pixels from one annotation to the next: 16 for many vectors of few numbers, 32 for few of many."""

    def __post_init__(self) -> None:
        """Check the numbers.

        Raises:
            ValueError: naming the setting that is wrong and what would be right.
        """
        check_choices(self, encoder=ENCODERS)
        if self.stride not in STRIDES:
            raise ValueError(f"stride must be one of {', '.join(map(str, STRIDES))}, got {self.stride}")
        if self.size < self.stride:
            raise ValueError(f"size must be at least the stride, {self.stride}, got {self.size}")


class Search(NamedTuple):
    """How sentences are searched for, the likeliest word after the other if nothing is said; see `CaptionConfig`."""

    beams: int = 1
    length_power: float = 0.0
    tries: int = 1


@dataclass(frozen=True)
class CaptionConfig:
    """What a training of the captioner depends on."""

    kind: ClassVar[str] = "captioner"

    data: str = "scenes"
    """Whose captions: scenes, drawn on the fly, or flickr8k."""
    features: FeatureConfig = field(default_factory=FeatureConfig)
    """How the pictures of flickr8k become annotations."""
    attention: Literal["soft", "hard"] = "soft"
    """Whether it looks everywhere at once, by weight, or at one place."""
    annotation_units: int = 512
    """Units of the layer through which the encoder's annotations are seen."""
    hidden: int = 512
    """Units of the LSTM."""
    embedding: int = 256
    """Numbers that stand for a word, and units of the output's layer."""
    attention_units: int = 256
    """Units of the attention network."""
    dropout: float = 0.5
    """Share of the units left out at random in training."""
    annotation_dropout: float | None = None
    """The same of the annotations, by default as of the rest. Soft attention averages the noise away over the places; of a single
    place all of it is seen."""
    label_smoothing: float = 0.0
    """Share of a word's probability that is spread over all words in training."""
    even: float = 1.0
    """λ, weight of the doubly stochastic penalty of soft attention: each place should be looked at about once in a caption."""
    encoder_rate: float = 0.0
    """Learning rate of flickr8k's encoder as a share of the others', such as 0.01; at 0 it stays as it is, and what it makes of the
    pictures is kept in the cache, without which an epoch takes many times as long. Soft attention and likelihood only."""
    mirrored: bool = True
    """Whether the pictures of flickr8k are seen mirrored as well in training."""
    crops: int = 0
    """How many parts of each picture of flickr8k are seen besides in training, of at least 0.7 of each side, at random places, some
    mirrored. Each is another 750 MB in the cache at the published size and stride."""
    least: int = 5
    """How often a word must occur in the training captions to be in the vocabulary of flickr8k."""
    reward: Reward = "likelihood"
    """What it learns from: the likelihood of the true words, or the score of the sentences that it writes itself (CIDEr-D,
    BLEU-4, or both together), word by word and place by place by REINFORCE."""
    baseline: Baseline = "moving_average"
    """What REINFORCE takes off the rewards; see `attention_core.policy_gradient`."""
    temperature: float = 1.0
    """Where it writes itself, words are drawn by their scores over this: below 1 the likeliest more often, so that the long tail of
    words that smoothed labels leave does not have to be unlearned word by word."""
    samples: int = 1
    """N, how often each caption of a batch is gone through, with places drawn anew; each picture, where it writes itself."""
    location_weight: float = 0.1
    """λ_r, weight of REINFORCE on the places; the authors divide their rewards by 10."""
    discount: float = 1.0
    """γ of the rewards that are still to come when a place is chosen: below 1 for less noise, since what is looked at matters most
    for the next word."""
    apart: bool = False
    """Whether hard attention learns on its own: what teaches where to look ends at the attention network, as in RAM, and the rest's
    gradient is free of its noise."""
    entropy_weight: float = 0.002
    """λ_e, weight of the entropy of the places: of those of soft attention as well, where it learns from whole sentences."""
    expected: float = 0.5
    """Share of the captions that are shown what hard attention would see on average in place of one place."""
    batch_size: int = 16
    """Pictures per update, over all processes; all reference captions of each are learned from."""
    beams: int = 3
    """Beams of the search that writes captions, in validation and later."""
    length_power: float = 0.7
    """Sentences compete by log-probability over length to this power: 0 favours short ones, 1 takes the mean for each word."""
    tries: int = 1
    """Places that hard attention tries before each word that it writes itself, in learning, in validation and later: the likeliest
    ones, all where there are fewer; it goes on from the one that the word came of."""
    start: str = ""
    """A captioner of the same sizes whose weights to begin with, as a zoo name or a run folder."""
    training: TrainingConfig = field(default_factory=TrainingConfig)
    """The training loop."""
    seed: int = 0
    """Seed of weights, captions and places."""

    @property
    def search(self) -> Search:
        """How it writes."""
        return Search(self.beams, self.length_power, self.tries)

    @property
    def draws_places(self) -> bool:
        """Whether it looks at one place drawn for each word while it learns, so that REINFORCE can teach it where."""
        return self.attention == "hard" and (self.reward == "likelihood" or self.tries == 1)

    @property
    def copies(self) -> int:
        """Episodes of the same picture in one update: the samples, and for the self-critical baseline a greedy one."""
        return self.samples + (self.baseline == "self_critical")

    def __post_init__(self) -> None:
        """Check the numbers.

        Raises:
            ValueError: naming the setting that is wrong and what would be right.
        """
        check_at_least(
            self, 1, "annotation_units", "hidden", "embedding", "attention_units", "least", "batch_size", "beams", "tries"
        )
        check_at_least(self, 0, "even", "length_power", "encoder_rate", "crops")
        if self.crops and self.encoder_rate:
            raise ValueError(
                f"crops are seen by an encoder that stays as it is: leave crops or encoder_rate at 0, got {self.crops} crops"
            )
        if self.encoder_rate and (self.data == "scenes" or self.attention == "hard" or self.reward != "likelihood"):
            raise ValueError("encoder_rate is for data='flickr8k', attention='soft' and reward='likelihood' alone: leave it at 0")
        if self.tries > 1 and self.attention == "soft":
            raise ValueError(
                f"tries is for attention='hard', since soft attention sees every place at once: leave it at 1, got {self.tries}"
            )
        check_at_least(self, 1, "samples")
        check_above_zero(self, "temperature")
        check_at_least(self, 0, "location_weight", "entropy_weight")
        check_choices(self, data=DATA)
        if self.baseline == "leave_one_out" and self.samples < 2:
            raise ValueError(f"baseline='leave_one_out' needs samples of at least 2, got {self.samples}")
        for name in ("expected", "discount"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} must be within 0 … 1, got {getattr(self, name)}")
        check_share(self, "dropout", "label_smoothing", *(() if self.annotation_dropout is None else ("annotation_dropout",)))


def published_config(data: str, attention: str) -> CaptionConfig:
    """Look up the published settings.

    Args:
        data: whose captions; what has none takes the defaults.
        attention: "soft" or "hard", which have settings of their own.
    """
    table = load_yaml(HYPERPARAMETERS)
    return from_dict(CaptionConfig, {"data": data, "attention": attention, **table.get(f"{data}-{attention}", {})})

"""Settings of the agents, free of torch, and the published ones per environment."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

import tyro

from attention_core.config import TrainingConfig, check_choices, from_dict, load_yaml

Baseline = Literal["none", "moving_average", "learned", "leave_one_out", "self_critical"]
BASELINES: tuple[Baseline, ...] = get_args(Baseline)
HYPERPARAMETERS = Path(__file__).parent / "hyperparameters" / "reinforce.yaml"


DECIDED = ("split", "output", "device", "autoreset_mode")
"""Settings of the environment that whoever trains in it decides on."""


def check_environment(*settings: dict[str, Any]) -> None:
    """Refuse settings of the environment that the agent decides on.

    Raises:
        ValueError: naming one of them.
    """
    for name in DECIDED:
        if any(name in given for given in settings):
            raise ValueError(f"{name} cannot be set for the environment: the agent decides on {', '.join(DECIDED)} itself")


@dataclass(frozen=True)
class RAMConfig:
    """The network's widths (Mnih et al. 2014: 128, 128, 256) and its location mean."""

    glimpse_width: int = 128
    """Units of the layer that sees the glimpse's pixels."""
    location_width: int = 128
    """Units of the layer that sees the glimpse's location."""
    hidden: int = 256
    """Units of the glimpse vector and of the recurrent core."""
    location_mean: Literal["tanh", "linear"] = "tanh"
    """Bounded by tanh, as in most code, or linear, as in the paper."""
    core: Literal["rnn", "lstm"] = "rnn"
    """Rectified linear units, the paper's for still pictures, or the LSTM that it uses where things move."""
    contrast: bool = False
    """Whether each patch is brought to mean 0 and deviation 1 before it is seen, its mean and deviation beside it: what stands out
    by a tenth from a bright ground, or is one pixel of a dark one, is then as plain as the rest."""
    location_hidden: int = 0
    """Units of a hidden layer of the location head, which then sees the present glimpse's pixels beside the state; 0 for the
    paper's head, linear in the state. What tells the class need not tell where to look: with an eye of its own the head learns that
    many times faster."""

    def __post_init__(self) -> None:
        """Check the names.

        Raises:
            ValueError: naming the setting that is wrong and what would be right.
        """
        check_choices(self)


@dataclass(frozen=True)
class ReinforceConfig:
    """Everything that a training of RAM by REINFORCE depends on."""

    env: str
    """Environment id."""
    env_kwargs: Annotated[dict[str, Any], tyro.conf.Suppress] = field(default_factory=dict)
    """Settings of the environment in training and evaluation."""
    training_kwargs: Annotated[dict[str, Any], tyro.conf.Suppress] = field(default_factory=dict)
    """Settings of the environment in training only, such as distortion."""
    rule: Literal["hybrid", "pure"] = "hybrid"
    """"hybrid": cross-entropy trains class head, core and glimpse network, REINFORCE the location head (the paper's rule for
    recognition); "pure": the class is an action too, and REINFORCE trains everything from the reward alone."""
    looks: Literal["learned", "scan", "random"] = "learned"
    """"learned": chosen by what was seen; "scan": one path for all pictures, learned as well; "random": anywhere, for which moves
    must be absolute. The last two are references, which show what choosing is worth."""
    credit: Literal["return", "information"] = "return"
    """What a look is credited with. "return": what the environment pays from there on, as in the paper. "information" (hybrid):
    what later looks add to the probability of the true class. That is the expected return itself, shaped by a potential, which
    takes nothing from the best policy (Ng, Harada, Russell 1999), and with a discount it says which of the looks it was."""
    discount: float = 1.0
    """γ, weight of what comes one step later in a look's credit."""
    every_answer: float = 0.0
    """Weight of the cross-entropy of an answer after every glimpse, beside that of the last one (hybrid)."""
    deviation: float = 0.35
    """Standard deviation σ of the locations around their mean at the start: the agent first has to see everything."""
    final_deviation: float = 0.07
    """σ at the end; it falls geometrically, so that the mean takes over what chance has found."""
    annealing: float = 0.7
    """Share of the training over which σ falls; 0 for the final one throughout, as in the paper."""
    baseline: Baseline = "learned"
    """What is subtracted from the return to lower the gradient's variance (see `attention_core.policy_gradient`). "leave_one_out"
    needs samples of at least 2; "self_critical" plays one more episode of each picture, with mean locations and the likeliest
    class."""
    trace: float = 1.0
    """λ of the learned baseline: at 1, REINFORCE, a step is judged by all that was paid after it; below, what the baseline expects
    of later steps stands in for a part of it (`attention_core.policy_gradient.generalized_advantage`)."""
    baseline_weight: float = 0.0
    """Weight with which the learned baseline's squared error trains core and glimpse network as well (pure): what tells how an
    episode will end is worth seeing, long before rewards are frequent enough to say so."""
    entropy_weight: float = 0.0
    """Weight of a bonus for the entropy of the class named (pure); the locations' is fixed by σ."""
    samples: int = 1
    """M, episodes of the same picture per update, each with locations of its own."""
    batch_size: int = 256
    """Pictures per update, over all processes; each is played `samples` times."""
    location_weight: float = 1.0
    """Weight of the loss of where to look, and when to stop, beside that of the answer. Its gradient is of the order of 1/σ: in the
    pure rule, where it trains the core as well, a weight of σ² keeps it from drowning that of what is done."""
    location_decay: float = 3.0
    """AdamW's weight decay of the location head, the scan excepted. Its gradient is mostly noise once most answers are right, and
    Adam makes steps of the same size of it: without a pull back the head wanders off and glimpses land anywhere."""
    network: RAMConfig = field(default_factory=RAMConfig)
    """The network."""
    training: TrainingConfig = field(default_factory=TrainingConfig)
    """The training loop."""
    seed: int = 0
    """Seed of weights, pictures and locations."""

    @property
    def copies(self) -> int:
        """Episodes of the same picture in one update: the samples, and for the self-critical baseline a greedy one."""
        return self.samples + (self.baseline == "self_critical")

    def __post_init__(self) -> None:
        """Check the numbers.

        Raises:
            ValueError: naming the setting that is wrong and what would be right.
        """
        check_environment(self.env_kwargs, self.training_kwargs)
        for name in ("samples", "batch_size"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        for name in ("deviation", "final_deviation"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} must be above 0, or nothing can be learned about looking; got {getattr(self, name)}")
        if self.baseline == "leave_one_out" and self.samples < 2:
            raise ValueError(f"baseline='leave_one_out' compares samples of one picture: it needs samples ≥ 2, got {self.samples}")
        for name, meaning in (
            ("annealing", "a share of the training"),
            ("discount", "the weight of what comes later"),
            ("trace", "λ"),
        ):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} must be within 0 … 1, {meaning}; got {getattr(self, name)}")
        if self.trace < 1 and self.baseline != "learned":
            raise ValueError(f"trace={self.trace} asks the learned baseline what to expect: use baseline='learned', or trace=1")
        if self.rule == "pure" and self.credit == "information":
            raise ValueError("credit='information' asks for the true class, which rule='pure' is not told: use credit='return'")
        check_choices(self)


def deviation_at(config: ReinforceConfig, update: int) -> float:
    """Standard deviation σ of the locations at an update."""
    steps = config.annealing * config.training.updates
    share = min(1.0, update / steps) if steps else 1.0
    fallen: float = config.deviation * (config.final_deviation / config.deviation) ** share
    return fallen


def published_config(env: str) -> ReinforceConfig:
    """Look up the published settings of an environment; one that has none takes the defaults."""
    table = load_yaml(HYPERPARAMETERS)
    return from_dict(ReinforceConfig, {"env": env, **table.get(env, {})})

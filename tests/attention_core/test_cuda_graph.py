"""Replayed gradients: how batches are handed over and, where there is a GPU, that what is replayed is what would be computed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import pytest
import torch
from accelerate.state import AcceleratorState
from torch import Tensor

from agents.config import RAMConfig, ReinforceConfig
from agents.reinforce import ReinforceLearner
from attention_core.config import TrainingConfig
from attention_core.cuda_graph import each_tensor
from attention_core.training import SteadyLearner, Update, make_accelerator
from generative.config import DRAWConfig, ReaderConfig, VAEConfig
from generative.train import LatentLearner, ReaderLearner

UPDATES = 8
FEW = TrainingConfig(updates=UPDATES, warmup=2, learning_rate=0.01)
DIGITS = "attention_env/Digits-v0"
NETWORK = RAMConfig(glimpse_width=12, location_width=10, hidden=16)
SMALL: dict[str, tuple[Callable[..., SteadyLearner], Any]] = {
    "ram": (ReinforceLearner, ReinforceConfig(DIGITS, batch_size=16, samples=2, network=NETWORK, annealing=0.5, training=FEW)),
    "ram by reward alone": (
        ReinforceLearner,
        ReinforceConfig(DIGITS, rule="pure", baseline="self_critical", batch_size=16, network=NETWORK, training=FEW),
    ),
    "vae": (LatentLearner, VAEConfig(batch_size=8, latents=4, hidden=12, divergence_warmup=5, training=FEW)),
    "draw": (LatentLearner, DRAWConfig(batch_size=8, steps=3, latents=4, hidden=12, write_size=3, conditional=True, training=FEW)),
    "drawreader": (ReaderLearner, ReaderConfig(DIGITS, glimpses=3, size=4, hidden=12, batch_size=8, training=FEW)),
}


class Pair(NamedTuple):
    """A batch with a name for each part."""

    one: Tensor
    other: Tensor | None


def test_every_tensor_of_a_batch_is_changed_and_lies_where_it_lay() -> None:
    held = (Pair(torch.zeros(2), None), {"more": torch.zeros(3)}, torch.zeros(()))
    places = [held[0].one, held[1]["more"], held[2]]
    new = (Pair(torch.ones(2), None), {"more": torch.arange(3.0)}, torch.tensor(7.0))
    each_tensor(Tensor.copy_, held, new)
    assert [place.tolist() for place in places] == [[1.0, 1.0], [0.0, 1.0, 2.0], 7.0]
    copied = each_tensor(Tensor.clone, held)
    assert isinstance(copied[0], Pair)
    assert copied[0].other is None
    copied[1]["more"].zero_()
    assert places[1].tolist() == [0.0, 1.0, 2.0]


def test_what_a_graph_would_replay_unchanged_is_refused() -> None:
    with pytest.raises(TypeError, match="a batch must be made of tensors, not of float"):
        each_tensor(Tensor.clone, (torch.zeros(2), 0.5))


@pytest.mark.parametrize("system", SMALL)
def test_a_batch_holds_all_that_differs_from_update_to_update(system: str) -> None:
    """What is learned of a batch taken down before is what is learned of the next batch at once."""
    kind, config = SMALL[system]
    accelerator = make_accelerator(config.training)
    taken, at_once = (kind(config, accelerator) for _ in range(2))
    # All taken before the first is learned from: what a learner keeps from batch to batch has gone on by then.
    for batch in [each_tensor(Tensor.clone, taken.batch()) for _ in range(3)]:
        (loss, metrics), (right, right_metrics) = taken.batch_loss(taken.module, batch), at_once.loss(at_once.module)
        torch.testing.assert_close(loss, right)
        assert metrics.keys() == right_metrics.keys()
        gradients = [
            torch.autograd.grad(one, [*learner.module.parameters()], allow_unused=True)
            for one, learner in ((loss, taken), (right, at_once))
        ]
        for found, wanted in zip(*gradients, strict=True):
            assert (found is None) == (wanted is None)
            torch.testing.assert_close(found, wanted)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="a CUDA graph needs a GPU")
@pytest.mark.parametrize("precision", ["no", "bf16"])
@pytest.mark.parametrize("system", SMALL)
def test_replayed_gradients_are_those_that_are_launched(system: str, precision: str) -> None:
    """With weights that stay as they are, so that what rounding does to one gradient does nothing to the next."""
    kind, config = SMALL[system]
    training = TrainingConfig(updates=UPDATES, learning_rate=0.0, precision=precision)
    found = {}
    for capture in (True, False):
        AcceleratorState._reset_state(reset_partial_state=True)
        accelerator = make_accelerator(training)
        step = Update(kind(config, accelerator), training, accelerator, capture=capture)
        assert step.replays == capture
        found[capture] = [{name: value.detach().item() for name, value in step(update).items()} for update in range(UPDATES)]
    rough = 5e-2 if precision == "bf16" else 1e-3
    for replayed, launched in zip(found[True], found[False], strict=True):
        assert replayed == pytest.approx(launched, rel=rough, abs=rough)
    assert len({metrics["charts/gradient_norm"] for metrics in found[True]}) == UPDATES

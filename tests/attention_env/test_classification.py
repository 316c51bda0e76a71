"""Pictures of the environments for whoever sees them whole: which are shown, how errors are counted, and learning from shares."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from attention_core.config import TrainingConfig
from attention_core.training import ERROR_RATE, make_accelerator
from attention_env.classification import ClassifierLearner, count_errors, make_environment, picture_shape, show
from attention_env.sources import load_pictures

CPU = torch.device("cpu")


@dataclass(frozen=True)
class Config:
    """The least that a classifier's settings say."""

    env: str = "attention_env/Digits-v0"
    env_kwargs: dict[str, Any] = field(default_factory=dict)
    training_kwargs: dict[str, Any] = field(default_factory=dict)
    batch_size: int = 8
    seed: int = 0


class Share(NamedTuple):
    """What a learner asks of an accelerator: which of how many processes this is."""

    process_index: int
    num_processes: int
    device: torch.device = CPU


class Linear(ClassifierLearner):
    """Learns a linear map from pictures to classes."""

    def new_network(self) -> nn.Module:
        torch.manual_seed(self.config.seed)
        _, height, width = picture_shape(self.environment)
        return nn.Sequential(nn.Flatten(), nn.Linear(height * width, self.environment.pictures.classes))


class Glimpsing(nn.Module):
    """Names every picture after each of two glimpses: first wrongly, class 3 whatever it is, then by its brightest pixel."""

    def forward(self, pictures: Tensor) -> Tensor:
        first = F.one_hot(torch.full((len(pictures),), 3), 10).float()
        return torch.stack((first, pictures.flatten(1)[:, 20:30]))


def make_learner(config: Config, accelerator: Any = None) -> Linear:
    return Linear(config, make_accelerator(TrainingConfig()) if accelerator is None else accelerator)


# Pictures ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("split", ["train", "validation", "test"])
def test_chosen_pictures_are_shown_with_their_classes(split: str) -> None:
    source = load_pictures("digits", split)
    index = np.array([5, len(source) - 1, 0, 5])
    pictures, labels = show(make_environment(Config(), CPU, 4, split), index)
    assert pictures.dtype == torch.float32
    np.testing.assert_allclose(pictures, source.images[index] / np.float32(255), atol=1e-6)
    assert labels.tolist() == source.labels[index].tolist()


def test_settings_of_training_hold_in_training_alone() -> None:
    config = Config(env_kwargs={"scene": {"canvas": 16}}, training_kwargs={"scene": {"canvas": 20}})
    shapes = [picture_shape(make_environment(config, CPU, 2, "train", training)) for training in (False, True)]
    assert shapes == [(1, 16, 16), (1, 20, 20)]


def test_shape_is_that_of_scenes_where_pictures_are_composed() -> None:
    assert picture_shape(make_environment(Config(), CPU, 1, "test")) == (1, 8, 8)
    config = Config(env_kwargs={"scene": {"canvas": 19, "pieces": 2, "piece_size": 4}})
    assert picture_shape(make_environment(config, CPU, 3, "test")) == (1, 19, 19)


def test_scenes_of_a_test_split_are_always_the_same() -> None:
    config = Config(env_kwargs={"scene": {"canvas": 16}})
    (one, _), (other, _) = (show(make_environment(config, CPU, 3, "test"), np.arange(3)) for _ in range(2))
    assert torch.equal(one, other)


def test_what_has_no_classes_is_refused() -> None:
    with pytest.raises(
        ValueError, match="the pictures of attention_env/Catch-v0 have no classes to be named: choose an environment"
    ):
        make_environment(Config(env="attention_env/Catch-v0"), CPU, 1, "train")
    with pytest.raises(ValueError, match="CartPole-v1 is not a glimpse environment"):
        make_environment(Config(env="CartPole-v1"), CPU, 1, "train")
    with pytest.raises(ValueError, match="glimpsez"):
        make_environment(Config(env_kwargs={"glimpsez": 3}), CPU, 1, "train")


# Errors -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("chunk", [7, 180, 1000])
def test_every_picture_counts_once_however_they_are_shown(chunk: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("attention_env.classification.CHUNK", chunk)
    network = make_learner(Config()).module
    source = load_pictures("digits", "validation")
    named = network(torch.from_numpy(source.images).float() / 255).argmax(-1).numpy()
    assert count_errors(network, Config(), "validation", CPU) == (int((named != source.labels).sum()), 180)


def test_of_several_answers_the_last_counts() -> None:
    source = load_pictures("digits", "test")
    by_pixel = source.images.reshape(-1, 64)[:, 20:30].argmax(-1)
    wrong = int((by_pixel != source.labels).sum())
    assert wrong != int((source.labels != 3).sum())
    assert count_errors(Glimpsing(), Config(), "test", CPU) == (wrong, 360)


def test_errors_are_counted_without_the_settings_of_training() -> None:
    network = make_learner(Config()).module
    config = Config(training_kwargs={"distortion": {"shift": 0.3}})
    assert count_errors(network, config, "train", CPU) == count_errors(network, Config(), "train", CPU)


def test_errors_are_the_same_again_where_pictures_are_distorted_by_chance() -> None:
    network = make_learner(Config()).module
    config = Config(env_kwargs={"distortion": {"shift": 0.2, "rotation": 30}})
    assert count_errors(network, config, "train", CPU) != count_errors(network, Config(), "train", CPU)
    assert count_errors(network, config, "train", CPU) == count_errors(network, config, "train", CPU)


# Learning ---------------------------------------------------------------------------------------------------------------


def test_loss_is_the_cross_entropy_of_the_pictures_in_their_order() -> None:
    learner = make_learner(Config(seed=5))
    source = load_pictures("digits", "train")
    order = np.random.default_rng([5, 0]).permutation(len(source))
    for batch in (order[:8], order[8:16]):
        scores = learner.module(torch.from_numpy(source.images[batch]).float() / 255)
        labels = torch.from_numpy(source.labels[batch])
        loss, parts = learner.loss(learner.module)
        torch.testing.assert_close(loss, F.cross_entropy(scores, labels))
        assert parts["losses/answer"] is loss
        assert parts["charts/success"] == (scores.argmax(-1) == labels).float().mean()


def test_validation_is_the_share_of_errors() -> None:
    learner = make_learner(Config())
    wrong, count = count_errors(learner.module, Config(), "validation", CPU)
    assert learner.validate(learner.module) == {ERROR_RATE: wrong / count}
    assert learner.chooses == ERROR_RATE


@pytest.mark.parametrize("processes", [2, 4])
def test_shares_of_a_batch_are_together_the_batch(processes: int) -> None:
    whole = make_learner(Config())
    shares = [make_learner(Config(), Share(number, processes)) for number in range(processes)]
    for _ in range(2):
        expected = torch.autograd.grad(whole.loss(whole.module)[0], [*whole.module.parameters()])
        gradients = [torch.autograd.grad(share.loss(share.module)[0], [*share.module.parameters()]) for share in shares]
        for one, parts in zip(expected, zip(*gradients, strict=True), strict=True):
            torch.testing.assert_close(torch.stack(parts).mean(0), one)
    assert {share.examples_per_update for share in shares} == {8}


def test_processes_distort_each_in_its_own_way() -> None:
    """What is no chance is shared out; the chance of distortion is each process's own, as if their batches were larger."""
    config = Config(training_kwargs={"distortion": {"shift": 0.3}})
    first, second = (make_learner(config, Share(number, 2)).environment for number in range(2))
    assert not torch.equal(show(first, np.zeros(4, np.int64))[0], show(second, np.zeros(4, np.int64))[0])


def test_batch_that_cannot_be_shared_out_is_refused() -> None:
    with pytest.raises(ValueError, match="batch_size=8 cannot be shared out evenly among 3 processes"):
        make_learner(Config(), Share(0, 3))


def test_learner_goes_on_from_its_state_with_the_same_distorted_pictures() -> None:
    config = Config(training_kwargs={"distortion": {"shift": 0.3, "rotation": 20}})
    learner, other = make_learner(config), make_learner(config)
    learner.loss(learner.module)
    other.load_state_dict(learner.state_dict())
    for _ in range(2):
        assert torch.equal(other.loss(other.module)[0], learner.loss(learner.module)[0])


def test_another_seed_shows_other_pictures() -> None:
    one, other = (make_learner(replace(Config(), seed=seed)).order.take(8) for seed in (0, 1))
    assert not np.array_equal(one, other)

"""Training models of pictures and readers: the loss by hand, shares of a batch, going on, failing safely, and what is refused."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
import torch.nn.functional as F
import yaml
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from untrained_models import untrained

from attention_core.config import TrainingConfig
from attention_core.run_folder import RunError, RunFolder
from attention_core.training import ERROR_RATE, make_accelerator
from attention_core.zoo import ModelError
from attention_env.classification import ClassifierLearner, count_errors, make_environment, show
from attention_env.sources import SourceError
from attention_env.sources import load_pictures as load_source
from generative.config import DRAWConfig, GenerativeConfig, LatentConfig, ReaderConfig, VAEConfig
from generative.latent import LatentModel
from generative.likelihood import measure
from generative.loading import load, load_pictures
from generative.recogniser import Reader
from generative.train import NATS, LatentLearner, ReaderLearner, train

CPU = torch.device("cpu")
DIGITS = "attention_env/Digits-v0"
FEW = TrainingConfig(updates=4, warmup=1, log_every=2, validate_every=2)
VAE_CONFIG = VAEConfig(batch_size=8, latents=4, hidden=12, training=FEW)
DRAW_CONFIG = DRAWConfig(batch_size=8, steps=3, latents=4, hidden=12, read_size=2, write_size=3, training=FEW)
READER_CONFIG = ReaderConfig(DIGITS, glimpses=3, size=4, glimpse_width=10, hidden=12, batch_size=8, training=FEW)
LATENT: dict[str, VAEConfig | DRAWConfig] = {
    "vae": VAE_CONFIG,
    "vae of grey pictures": dataclasses.replace(VAE_CONFIG, output="gaussian", divergence_warmup=3),
    "vae by class": dataclasses.replace(VAE_CONFIG, conditional=True, layer="gated", layers=2),
    "draw": DRAW_CONFIG,
    "draw without attention": dataclasses.replace(DRAW_CONFIG, attention=False, output="logistic"),
    "draw by class": dataclasses.replace(DRAW_CONFIG, conditional=True),
}
CONFIGS: dict[str, GenerativeConfig] = {
    **LATENT,
    "drawreader": dataclasses.replace(READER_CONFIG, every_answer=0.5, training_kwargs={"distortion": {"rotation": 10}}),
}


class Share(NamedTuple):
    """What a learner asks of an accelerator: which of how many processes this is."""

    process_index: int
    num_processes: int = 2
    device: torch.device = CPU


def contents(folder: Path) -> tuple[Any, ...]:
    """What must be the same to the bit in two runs."""
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    (checkpoint,) = (folder / "checkpoint").iterdir()
    timeless = [{name: value for name, value in row.items() if not name.startswith("time/")} for row in rows]
    return timeless, (folder / "model.safetensors").read_bytes(), (checkpoint / "model.safetensors").read_bytes()


def validated(folder: RunFolder, name: str) -> list[float]:
    """Every validation's score, in turn."""
    return [row[name] for row in folder.rows() if name in row]


def score(model: nn.Module, config: GenerativeConfig) -> float:
    """What the validation says of a model."""
    if isinstance(config, ReaderConfig):
        wrong, count = count_errors(model, config, "validation", CPU)
        return wrong / count
    assert isinstance(model, LatentModel)
    return measure(model, load_pictures(config, "validation", CPU)).nats


# Runs -------------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module", params=CONFIGS.values(), ids=list(CONFIGS))
def whole(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[GenerativeConfig, RunFolder]:
    """Settings, and a training of them that nobody disturbed."""
    return request.param, train(request.param, tmp_path_factory.mktemp("runs") / "run")


def test_training_leaves_a_complete_folder_and_the_model_comes_back_as_it_was_validated(
    whole: tuple[GenerativeConfig, RunFolder],
) -> None:
    config, folder = whole
    names = {"checkpoint", "config.yaml", "figures", "metrics.jsonl", "model.safetensors", "tensorboard"}
    assert {path.name for path in folder.path.iterdir()} == names
    assert (folder.figures / "curves.png").read_bytes().startswith(b"\x89PNG")
    assert [row["update"] for row in folder.rows()] == [2, 2, 4, 4]
    plain = yaml.safe_load(folder.config.read_text())
    assert plain.pop("kind") == config.kind
    assert plain.pop("shape") == [1, 8, 8]
    assert plain.pop("classes") == (10 if isinstance(config, ReaderConfig) or config.conditional else 0)
    assert plain == dataclasses.asdict(config)

    model, loaded, name = load(str(folder.path), CPU)
    assert (loaded, name, model.training) == (config, "run", False)
    kept = load_file(folder.model)
    assert set(model.state_dict()) == set(kept)
    assert all(torch.equal(kept[key], value) for key, value in model.state_dict().items())
    scores = validated(folder, ERROR_RATE if isinstance(config, ReaderConfig) else NATS)
    assert score(model, config) == min(scores)


def test_training_that_is_stopped_goes_on_to_the_same_numbers(whole: tuple[GenerativeConfig, RunFolder], tmp_path: Path) -> None:
    config, undisturbed = whole
    torch.rand(3)
    # In the middle of a row of metrics.
    newest = train(config, tmp_path, max_seconds=0.0).newest_checkpoint()
    assert newest is not None
    assert newest[0] == 1
    train(config, tmp_path)
    assert contents(tmp_path) == contents(undisturbed.path)


DROPPING = dataclasses.replace(VAE_CONFIG, dropout=0.3)


def test_units_that_are_dropped_depend_on_the_settings_alone(tmp_path: Path) -> None:
    for name in ("one", "two"):
        torch.rand(3)
        train(DROPPING, tmp_path / name)
    assert contents(tmp_path / "one") == contents(tmp_path / "two")


@pytest.mark.parametrize("config", CONFIGS.values(), ids=list(CONFIGS))
def test_weights_depend_on_the_seed(config: GenerativeConfig) -> None:
    vectors = []
    for seed in (0, 1):
        config = dataclasses.replace(config, seed=seed)
        if isinstance(config, ReaderConfig):
            model: nn.Module = untrained(config)
        else:
            model = untrained(config)
        vectors.append(nn.utils.parameters_to_vector(model.parameters()))
    assert not torch.equal(*vectors)


def test_dropout_is_for_training_alone(tmp_path: Path) -> None:
    folder = train(DROPPING, tmp_path)
    model, config, _ = load(str(folder.path), CPU)
    assert score(model, config) == score(model, config) == min(validated(folder, NATS))


# The loss ---------------------------------------------------------------------------------------------------------------


def first_digits(config: LatentConfig, count: int) -> tuple[Tensor, Tensor]:
    """The grey pictures of the first batch and their classes, as the order of training gives them out."""
    source = load_source("digits", "train")
    index = np.random.default_rng([config.seed, 0]).permutation(len(source))[:count]
    return torch.from_numpy(source.images[index]).float() / 255, torch.from_numpy(source.labels[index])


@pytest.mark.parametrize("name", ["vae", "vae by class", "draw", "draw by class"])
def test_the_loss_is_the_bound_of_the_first_batch_by_hand(name: str, tmp_path: Path) -> None:
    config = dataclasses.replace(LATENT[name], seed=3, training=TrainingConfig(updates=1, log_every=1))
    logged = next(train(config, tmp_path).rows())
    model = untrained(config)
    grey, labels = first_digits(config, 8)
    chance = torch.Generator().manual_seed(config.seed + 1)
    pictures = (torch.rand(8, 1, 8, 8, generator=chance) < grey).float()
    noise = torch.randn(model.steps, 8, 4, generator=chance)
    model.train()
    inferred = model(pictures, noise, labels if config.conditional else None)

    white = torch.sigmoid(inferred.canvas)
    reconstruction = (
        -sum(math.log(p if x else 1 - p) for p, x in zip(white.flatten().tolist(), pictures.flatten(), strict=True)) / 8
    )
    divergence = 0.0
    for mean, log_deviation in zip(inferred.means.flatten().tolist(), inferred.log_deviations.flatten().tolist(), strict=True):
        deviation = math.exp(log_deviation)
        divergence += (mean**2 + deviation**2 - 1 - math.log(deviation**2)) / 2 / 8
    assert divergence > 0.01
    assert logged["losses/reconstruction"] == pytest.approx(reconstruction, rel=1e-5)
    assert logged["losses/divergence"] == pytest.approx(divergence, rel=1e-4)
    assert logged["losses/elbo_nats"] == pytest.approx(reconstruction + divergence, rel=1e-5)


def test_grey_pictures_are_learned_as_they_are(tmp_path: Path) -> None:
    config = dataclasses.replace(LATENT["vae of grey pictures"], training=TrainingConfig(updates=1, log_every=1))
    logged = next(train(config, tmp_path).rows())
    model = untrained(config)
    pictures, _ = first_digits(config, 8)
    canvas = model(pictures, torch.randn(1, 8, 4, generator=torch.Generator().manual_seed(1))).canvas
    expected = (((pictures - canvas.sigmoid()) / 0.2).square() / 2 + math.log(0.2 * math.sqrt(2 * math.pi))).sum() / 8
    assert logged["losses/reconstruction"] == pytest.approx(expected.item(), rel=1e-5)


@pytest.mark.parametrize("every_answer", [0.0, 0.25])
def test_the_readers_loss_is_the_cross_entropy_of_its_answers(every_answer: float, tmp_path: Path) -> None:
    training = TrainingConfig(updates=1, log_every=1)
    config = dataclasses.replace(READER_CONFIG, every_answer=every_answer, training=training)
    logged = next(train(config, tmp_path).rows())
    environment = make_environment(config, CPU, 8, "train")
    pictures, labels = show(environment, np.random.default_rng([0, 0]).permutation(1257)[:8])
    scores = untrained(config)(pictures)
    first, second, last = (F.cross_entropy(answer, labels).item() for answer in scores)
    assert logged["losses/answer"] == pytest.approx(last + every_answer * (first + second), rel=1e-5)
    assert logged["charts/success"] == pytest.approx((scores[-1].argmax(-1) == labels).float().mean().item())


def test_the_divergence_is_warmed_up_to_its_full_weight() -> None:
    config = dataclasses.replace(DRAW_CONFIG, divergence_warmup=3)
    learner = LatentLearner(config, make_accelerator(FEW))
    for weight in (1 / 3, 2 / 3, 1, 1):
        loss, parts = learner.loss(learner.module)
        expected = parts["losses/reconstruction"] + weight * parts["losses/divergence"]
        torch.testing.assert_close(loss, expected)
        # What is reported is the bound itself, so that figures before and after can be compared.
        torch.testing.assert_close(parts["losses/elbo_nats"], parts["losses/reconstruction"] + parts["losses/divergence"])


def test_the_warm_up_goes_on_where_it_was() -> None:
    config = dataclasses.replace(VAE_CONFIG, divergence_warmup=10)
    learner, other = (LatentLearner(config, make_accelerator(FEW)) for _ in range(2))
    for _ in range(3):
        learner.loss(learner.module)
    other.load_state_dict(learner.state_dict())
    torch.testing.assert_close(other.loss(other.module), learner.loss(learner.module), rtol=0, atol=0)


# Several processes ------------------------------------------------------------------------------------------------------


def learner_of(config: GenerativeConfig, accelerator: Any) -> LatentLearner | ClassifierLearner:
    return ReaderLearner(config, accelerator) if isinstance(config, ReaderConfig) else LatentLearner(config, accelerator)


@pytest.mark.parametrize("config", [*LATENT.values(), READER_CONFIG], ids=[*LATENT, "drawreader"])
def test_shares_of_a_batch_do_together_what_one_process_does(config: GenerativeConfig) -> None:
    found = []
    for accelerators in ([Share(0, 1)], [Share(0), Share(1)]):
        learners = [learner_of(config, accelerator) for accelerator in accelerators]
        for _ in range(2):
            losses = [learner.loss(learner.module)[0] for learner in learners]
            gradients = [
                torch.autograd.grad(loss, [*learner.module.parameters()]) for loss, learner in zip(losses, learners, strict=True)
            ]
            means = [torch.stack(parts).mean(0) for parts in zip(*gradients, strict=True)]
            found.append([torch.stack(losses).mean().detach(), *means])
    for one, two in zip(found[:2], found[2:], strict=True):
        torch.testing.assert_close(two, one, rtol=1e-4, atol=1e-5)
    assert not torch.equal(found[0][0], found[1][0])


@pytest.mark.parametrize("config", [VAE_CONFIG, READER_CONFIG], ids=["vae", "drawreader"])
def test_batch_that_cannot_be_shared_out_is_refused(config: GenerativeConfig) -> None:
    with pytest.raises(ValueError, match="batch_size=7 cannot be shared out evenly among 2 processes"):
        learner_of(dataclasses.replace(config, batch_size=7), Share(0))


# Learning ---------------------------------------------------------------------------------------------------------------

LONGER = TrainingConfig(updates=200, warmup=10, learning_rate=0.01, average=0.9, log_every=100, validate_every=100)


def nats_of_independent_pixels() -> float:
    """What digits cost a model that knows how often each pixel is white, and nothing of which are white together."""
    often = load_source("digits", "train").images.mean(0) / 255
    grey = load_source("digits", "validation").images / 255
    often = often.clip(1e-3, 1 - 1e-3)
    return float(-(grey * np.log(often) + (1 - grey) * np.log(1 - often)).sum() / len(grey))


LEARNING: dict[str, VAEConfig | DRAWConfig] = {
    "vae": VAEConfig(batch_size=64, latents=8, hidden=64, training=LONGER),
    # Warmed up, since DRAW at first finds it cheaper to tell nothing.
    "draw": DRAWConfig(batch_size=64, steps=3, latents=8, hidden=64, attention=False, divergence_warmup=200, training=LONGER),
}


@pytest.mark.parametrize("config", LEARNING.values(), ids=list(LEARNING))
def test_models_learn_which_pixels_are_white_together(config: GenerativeConfig, tmp_path: Path) -> None:
    assert min(validated(train(config, tmp_path), NATS)) < nats_of_independent_pixels() - 1


def test_reader_learns_digits_within_seconds(tmp_path: Path) -> None:
    config = dataclasses.replace(READER_CONFIG, batch_size=64, hidden=48, glimpse_width=48, training=LONGER)
    assert min(validated(train(config, tmp_path), ERROR_RATE)) < 0.2


def test_best_weights_by_validation_are_those_kept(tmp_path: Path) -> None:
    # The rate rises from update to update, so that the model gets better first and then worse.
    training = TrainingConfig(
        updates=60, warmup=1, learning_rate=0.005, final_learning_rate=3.0, average=0.0, log_every=60, validate_every=5
    )
    folder = train(dataclasses.replace(VAE_CONFIG, training=training), tmp_path)
    scores = validated(folder, NATS)
    assert min(scores) < min(scores[0], scores[-1]) - 1
    newest = folder.newest_checkpoint()
    assert newest is not None
    model, config, _ = load(str(folder.path), CPU)
    last, _, _ = load(str(newest[1]), CPU)
    assert score(model, config) == min(scores)
    assert score(last, config) == scores[-1]


# Failing ----------------------------------------------------------------------------------------------------------------

RISING = TrainingConfig(
    updates=20,
    warmup=1,
    learning_rate=0.01,
    final_learning_rate=1e4,
    average=0.0,
    log_every=1,
    validate_every=20,
    checkpoint_seconds=0,
)
"""Rates that start well and soon throw the weights out of all numbers."""


BREAKING: dict[str, tuple[GenerativeConfig, str]] = {
    "vae": (VAE_CONFIG, "losses/elbo_nats"),
    "draw": (DRAW_CONFIG, "losses/elbo_nats"),
    "drawreader": (READER_CONFIG, "losses/answer"),
}


@pytest.mark.parametrize(("config", "term"), BREAKING.values(), ids=list(BREAKING))
def test_absurd_rate_ends_the_training_and_the_last_numbers_stay(config: GenerativeConfig, term: str, tmp_path: Path) -> None:
    with pytest.raises(FloatingPointError, match=rf"broke down at update 3: {term}, .*try a lower learning rate"):
        train(dataclasses.replace(config, training=RISING), tmp_path)
    folder = RunFolder(tmp_path)
    newest = folder.newest_checkpoint()
    assert newest is not None
    assert newest[0] == 2
    assert all(value.isfinite().all() for value in load_file(newest[1] / "model.safetensors").values())
    rows = list(folder.rows())
    assert [row["update"] for row in rows] == [1, 2]
    assert all(math.isfinite(value) for row in rows for value in row.values())


@pytest.mark.parametrize(("config", "term"), BREAKING.values(), ids=list(BREAKING))
def test_training_that_breaks_down_leaves_the_best_weights_and_the_checkpoint_alone(
    config: GenerativeConfig, term: str, tmp_path: Path
) -> None:
    config = dataclasses.replace(config, training=dataclasses.replace(FEW, checkpoint_seconds=0))
    for _ in range(2):
        newest = train(config, tmp_path, max_seconds=0.0).newest_checkpoint()
    assert newest is not None
    weights = newest[1] / "model.safetensors"
    save_file({name: value * math.nan for name, value in load_file(weights).items()}, weights)
    before = {path: path.read_bytes() for path in (*newest[1].iterdir(), tmp_path / "model.safetensors")}
    with pytest.raises(FloatingPointError, match=f"broke down at update 3: {term}"):
        train(config, tmp_path)
    assert {path: path.read_bytes() for path in before} == before
    assert len(list((tmp_path / "checkpoint").iterdir())) == 1


def test_weights_that_are_no_numbers_are_not_kept_as_the_best(tmp_path: Path) -> None:
    """A reader's error is a number whatever its weights are, and no row of metrics is due before the first validation."""
    training = dataclasses.replace(RISING, log_every=20, validate_every=3, checkpoint_seconds=1000)
    with pytest.raises(FloatingPointError, match="broke down at update 3"):
        train(dataclasses.replace(READER_CONFIG, training=training), tmp_path)
    assert not (tmp_path / "model.safetensors").exists()


def test_validation_that_is_no_number_ends_the_training(tmp_path: Path) -> None:
    """The only update leaves weights of which the bound is no number, though its own loss was one."""
    training = TrainingConfig(updates=1, warmup=1, learning_rate=1e30, average=0.0)
    with pytest.raises(FloatingPointError, match="validation/elbo_nats"):
        train(dataclasses.replace(VAE_CONFIG, training=training), tmp_path)
    assert "NaN" not in (tmp_path / "metrics.jsonl").read_text()


# What is refused --------------------------------------------------------------------------------------------------------


def test_folder_of_other_settings_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    train(VAE_CONFIG, tmp_path)
    before = contents(tmp_path)
    with pytest.raises(RunError, match=r"(?s)holds a run of other settings; choose another folder.*latents: 4 there, 5 asked for"):
        train(dataclasses.replace(VAE_CONFIG, latents=5), tmp_path)
    with pytest.raises(RunError, match="kind: 'vae' there, 'draw' asked for"):
        train(DRAW_CONFIG, tmp_path)
    with pytest.raises(RunError, match="kind: 'vae' there, 'drawreader' asked for"):
        train(READER_CONFIG, tmp_path)
    assert contents(tmp_path) == before


def test_model_of_another_kind_is_not_loaded(tmp_path: Path) -> None:
    folder = train(VAE_CONFIG, tmp_path / "run")
    plain = yaml.safe_load(folder.config.read_text())
    folder.config.write_text(yaml.safe_dump({**plain, "kind": "ram"}))
    with pytest.raises(ModelError, match="run is a model of kind 'ram', not one of vae, draw, drawreader: use its own command"):
        load(str(folder.path), CPU)


def test_weights_of_other_settings_are_refused_with_the_shapes(tmp_path: Path) -> None:
    folder = train(DRAW_CONFIG, tmp_path)
    plain = yaml.safe_load(folder.config.read_text())
    folder.config.write_text(yaml.safe_dump({**plain, "latents": 5}))
    with pytest.raises(ModelError, match=r"posterior\.bias: \(8,\) in the file, \(10,\) in the model"):
        load(str(folder.path), CPU)


def test_a_training_begins_with_the_weights_that_it_is_told_to(tmp_path: Path) -> None:
    short = train(DRAW_CONFIG, tmp_path / "short")
    still = dataclasses.replace(FEW, updates=1, learning_rate=0.0, average=0.0)
    longer = dataclasses.replace(DRAW_CONFIG, steps=7, start=str(short.path), training=still)
    found, begun = load_file(train(longer, tmp_path / "longer").model), load_file(short.model)
    assert {*found} == {*begun}
    assert all(torch.equal(found[name], weight) for name, weight in begun.items())
    with pytest.raises(ModelError, match=r"(?s)start='.*short' must be a model of the same sizes as these settings: .*posterior"):
        train(dataclasses.replace(longer, latents=5), tmp_path / "other")


def test_a_readers_training_begins_with_weights_learned_on_pictures_of_another_size(tmp_path: Path) -> None:
    small = train(READER_CONFIG, tmp_path / "small")
    still = dataclasses.replace(FEW, updates=1, learning_rate=0.0, average=0.0)
    kwargs = {"scene": {"canvas": 12}}
    large = dataclasses.replace(READER_CONFIG, env_kwargs=kwargs, start=str(small.path), training=still)
    found, begun = load_file(train(large, tmp_path / "large").model), load_file(small.model)
    assert all(torch.equal(found[name], weight) for name, weight in begun.items())


def test_a_readers_training_may_begin_with_one_without_blocks(tmp_path: Path) -> None:
    plain = train(READER_CONFIG, tmp_path / "plain")
    still = dataclasses.replace(FEW, updates=1, learning_rate=0.0, average=0.0)
    deeper = dataclasses.replace(READER_CONFIG, glimpse_blocks=1, start=str(plain.path), training=still)
    found, begun = load_file(train(deeper, tmp_path / "deeper").model), load_file(plain.model)
    assert all(torch.equal(found[name], weight) for name, weight in begun.items())
    assert {*found} - {*begun} == {f"blocks.0.{layer}.{part}" for layer in ("inner", "outer") for part in ("weight", "bias")}
    with pytest.raises(ModelError, match=r"(?s)start='.*deeper' must be a model of the same sizes.*blocks"):
        train(dataclasses.replace(READER_CONFIG, start=str(tmp_path / "deeper"), training=still), tmp_path / "shallow")


def test_the_gradient_that_places_the_window_is_clipped_apart() -> None:
    learner = ReaderLearner(READER_CONFIG, make_accelerator(FEW))
    others, placing = learner.parameter_groups()
    assert isinstance(learner.module, Reader)
    assert {id(part) for part in placing["params"]} == {id(part) for part in learner.module.window.parameters()}
    assert len(others["params"]) + len(placing["params"]) == len(list(learner.module.parameters()))


def test_a_training_goes_on_without_the_model_that_it_began_with(tmp_path: Path) -> None:
    short = train(VAE_CONFIG, tmp_path / "short")
    config = dataclasses.replace(VAE_CONFIG, start=str(short.path))
    train(config, tmp_path / "run", max_seconds=0.0)
    short.path.rename(tmp_path / "elsewhere")
    assert [row["update"] for row in train(config, tmp_path / "run").rows()][-1] == FEW.updates


WRONG: dict[str, tuple[GenerativeConfig, str]] = {
    "unknown data": (dataclasses.replace(VAE_CONFIG, data="cifar"), "unknown data 'cifar': choose one of digits, mnist"),
    "classes of data without": (
        dataclasses.replace(VAE_CONFIG, data="binarized_mnist", conditional=True),
        "binarized_mnist comes without classes: use mnist",
    ),
    "read window too large": (
        dataclasses.replace(DRAW_CONFIG, read_size=9),
        r"9×9 filters cannot be laid over a picture of 8×8: N must be within 2 … 8",
    ),
    "write window too large": (
        dataclasses.replace(DRAW_CONFIG, write_size=12),
        "12×12 filters cannot be laid over a picture of 8×8",
    ),
    "reader's window too large": (dataclasses.replace(READER_CONFIG, size=9), r"N must be within 2 … 8"),
    "pictures without classes": (
        dataclasses.replace(READER_CONFIG, env="attention_env/Catch-v0"),
        "the pictures of attention_env/Catch-v0 have no classes",
    ),
    "environment of another kind": (
        dataclasses.replace(READER_CONFIG, env="CartPole-v1"),
        "CartPole-v1 is not a glimpse environment",
    ),
}


@pytest.mark.parametrize(("config", "message"), WRONG.values(), ids=list(WRONG))
def test_settings_that_do_not_fit_the_pictures_are_refused_before_anything_is_written(
    config: GenerativeConfig, message: str, tmp_path: Path
) -> None:
    with pytest.raises((ValueError, SourceError), match=message):
        train(config, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_windows_do_not_matter_without_attention(tmp_path: Path) -> None:
    config = dataclasses.replace(DRAW_CONFIG, attention=False, read_size=9, write_size=9)
    assert [row["update"] for row in train(config, tmp_path).rows()] == [2, 2, 4, 4]

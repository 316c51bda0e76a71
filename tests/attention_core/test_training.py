"""The training loop on a learner of two lines: the schedule, what is logged and kept, stopping, going on, and failing safely."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from attention_core import training
from attention_core.config import TrainingConfig
from attention_core.files import SaveError
from attention_core.run_folder import RunFolder
from attention_core.training import (
    ERROR_RATE,
    LastWeights,
    Learner,
    Update,
    apart,
    fast_precision,
    fit,
    learning_rate,
    make_accelerator,
)

QUICK = TrainingConfig(updates=10, warmup=2, learning_rate=0.01, log_every=4, validate_every=5, checkpoint_seconds=0.0)


class Line(Learner):
    """Fits a noisy linear map; its examples come from a random stream that has to be saved.

    Args:
        width: inputs of the map; what makes its files large.
        breaks_at: the update whose loss is not a number, if any.
        errors: what its validations say, in turn; the true error if absent.
    """

    chooses = ERROR_RATE

    def __init__(self, width: int = 3, breaks_at: int | None = None, errors: tuple[float, ...] = ()) -> None:
        torch.manual_seed(0)
        self.module: nn.Module = nn.Linear(width, 1)
        self.examples_per_update = 16
        self.chance = torch.Generator().manual_seed(5)
        self.width = width
        self.breaks_at = breaks_at
        self.errors = list(errors)
        self.validated: list[dict[str, Tensor]] = []
        self.losses: list[float] = []

    def loss(self, module: nn.Module) -> tuple[Tensor, dict[str, Tensor]]:
        inputs = torch.randn(16, self.width, generator=self.chance)
        loss = (module(inputs)[:, 0] - inputs.sum(1)).square().mean()
        self.losses.append(loss.item())
        if len(self.losses) == self.breaks_at:
            loss = loss * math.nan
        return loss, {"losses/square": loss}

    def validate(self, module: nn.Module) -> dict[str, float]:
        self.validated.append({name: value.clone() for name, value in module.state_dict().items()})
        with torch.no_grad():
            true = float((module(torch.eye(self.width)) - 1).square().mean())
        return {"validation/error_rate": self.errors.pop(0) if self.errors else true}

    def state_dict(self) -> dict[str, Any]:
        return {"chance": self.chance.get_state()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.chance.set_state(state["chance"])


def train(learner: Line, place: Path, config: TrainingConfig = QUICK, max_seconds: float | None = None) -> RunFolder:
    folder = RunFolder(place)
    fit(learner, config, folder, make_accelerator(config), max_seconds)
    return folder


def without_time(folder: RunFolder) -> list[dict[str, Any]]:
    rows = [json.loads(line) for line in folder.metrics.read_text().splitlines()]
    return [{name: value for name, value in row.items() if not name.startswith("time/")} for row in rows]


def weights_of_newest_checkpoint(folder: RunFolder) -> bytes:
    newest = folder.newest_checkpoint()
    assert newest is not None
    return (newest[1] / "model.safetensors").read_bytes()


def test_rate_rises_linearly_and_falls_along_a_cosine() -> None:
    config = TrainingConfig(updates=1000, warmup=10, learning_rate=0.4, final_learning_rate=0.1)
    flat = TrainingConfig(updates=1000, warmup=10, learning_rate=0.4, final_learning_rate=0.4)
    assert [learning_rate(flat, update) for update in range(12)] == pytest.approx([0.04 * n for n in range(1, 11)] + [0.4, 0.4])
    assert learning_rate(config, 500) == pytest.approx(0.25)
    assert learning_rate(config, 250) == pytest.approx(0.1 + 0.3 * (1 + math.sqrt(0.5)) / 2)
    assert learning_rate(config, 1000) == pytest.approx(0.1)
    assert learning_rate(TrainingConfig(updates=100, warmup=0, learning_rate=0.4), 0) == pytest.approx(0.4)


@pytest.mark.parametrize(("has_it", "fast"), [(True, "bf16"), (False, "no")])
def test_bfloat16_is_taken_by_itself_where_the_device_has_it(has_it: bool, fast: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx2": True, "avx512_bf16": has_it})
    assert fast_precision() == fast
    asked: list[str] = []
    monkeypatch.setattr(training, "Accelerator", lambda cpu, mixed_precision: asked.append(mixed_precision))
    for config in (TrainingConfig(precision="auto"), TrainingConfig(), TrainingConfig(precision="bf16")):
        make_accelerator(config)
    assert asked == [fast, "no", "bf16"]


@pytest.mark.parametrize(("has_it", "fast"), [(True, "bf16"), (False, "no")])
def test_a_gpu_is_asked_whether_it_has_bfloat16_itself(has_it: bool, fast: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: has_it or including_emulation)
    assert fast_precision() == fast


def test_training_lowers_the_loss_and_leaves_a_complete_folder(tmp_path: Path) -> None:
    learner = Line()
    config = TrainingConfig(updates=60, warmup=1, learning_rate=0.1, log_every=20, validate_every=30, average=0.5)
    folder = train(learner, tmp_path, config)
    assert sum(learner.losses[-5:]) < 0.2 * sum(learner.losses[:5])
    assert [row["update"] for row in folder.rows()] == [20, 30, 40, 60, 60]
    assert {path.name for path in tmp_path.iterdir()} == {"checkpoint", "metrics.jsonl", "model.safetensors", "tensorboard"}
    newest = folder.newest_checkpoint()
    assert newest is not None
    assert newest[0] == 60


def test_metrics_are_the_means_of_what_happened_since_the_last_row(tmp_path: Path) -> None:
    learner = Line()
    rows = [row for row in train(learner, tmp_path).rows() if "losses/square" in row]
    assert [row["update"] for row in rows] == [4, 8, 10]
    for row, window in zip(rows, (slice(0, 4), slice(4, 8), slice(8, 10)), strict=True):
        losses = learner.losses[window]
        assert row["losses/square"] == pytest.approx(sum(losses) / len(losses), rel=1e-5)
        assert row["charts/learning_rate"] == learning_rate(QUICK, row["update"] - 1)
        assert row["charts/gradient_norm"] > 0
        assert row["time/examples_per_second"] > 0


def test_best_weights_are_kept_of_equals_the_latest_and_not_the_last(tmp_path: Path) -> None:
    learner = Line(errors=(0.2, 0.5, 0.2, 0.4))
    folder = train(learner, tmp_path, TrainingConfig(updates=8, validate_every=2, warmup=1, learning_rate=0.05))
    kept = load_file(folder.model)
    assert all(torch.equal(kept[name], value) for name, value in learner.validated[2].items())
    for other in (learner.validated[0], learner.validated[3]):
        assert any(not torch.equal(kept[name], value) for name, value in other.items())


def test_average_of_zero_releases_the_weights_themselves(tmp_path: Path) -> None:
    folder = train(Line(), tmp_path, TrainingConfig(updates=5, average=0.0, warmup=1, learning_rate=0.05))
    newest = folder.newest_checkpoint()
    assert newest is not None
    kept, last = load_file(folder.model), load_file(newest[1] / "model.safetensors")
    assert all(torch.equal(kept[name], value) for name, value in last.items())


def test_averaged_weights_lag_behind(tmp_path: Path) -> None:
    config = TrainingConfig(updates=50, average=0.99, warmup=1, learning_rate=0.02, final_learning_rate=0.02)
    folder = train(Line(), tmp_path, config)
    newest = folder.newest_checkpoint()
    assert newest is not None
    kept, last = load_file(folder.model)["weight"], load_file(newest[1] / "model.safetensors")["weight"]
    # All weights rise towards 1.
    assert (kept < last - 1e-3).all()
    torch.manual_seed(0)
    assert (kept > nn.Linear(3, 1).weight + 1e-3).all()


def test_average_follows_faster_at_first(tmp_path: Path) -> None:
    config = TrainingConfig(updates=30, average=0.9999, warmup=1, learning_rate=0.02, final_learning_rate=0.02)
    folder = train(Line(), tmp_path, config)
    newest = folder.newest_checkpoint()
    assert newest is not None
    torch.manual_seed(0)
    first, last = nn.Linear(3, 1).weight, load_file(newest[1] / "model.safetensors")["weight"]
    # Of 30 updates a plain average of that decay would have taken in a thousandth part.
    assert ((load_file(folder.model)["weight"] - first) / (last - first) > 0.5).all()


def test_loss_that_is_not_a_number_ends_the_training_with_advice(tmp_path: Path) -> None:
    with pytest.raises(
        FloatingPointError, match=r"broke down at update 6: losses/square, charts/gradient_norm was .*lower learning rate"
    ):
        train(Line(breaks_at=6), tmp_path)
    assert all(math.isfinite(value) for row in RunFolder(tmp_path).rows() for value in row.values())


def test_weights_that_are_not_numbers_are_never_saved(tmp_path: Path) -> None:
    config = replace(QUICK, log_every=10, checkpoint_seconds=0.0)
    with pytest.raises(FloatingPointError, match="broke down at update 6"):
        train(Line(breaks_at=6), tmp_path, config)
    newest = RunFolder(tmp_path).newest_checkpoint()
    assert newest is not None
    assert newest[0] == 5
    assert load_file(newest[1] / "model.safetensors")["weight"].isfinite().all()


def test_stopped_and_continued_training_is_the_uninterrupted_one(tmp_path: Path) -> None:
    whole = train(Line(), tmp_path / "whole")
    for stop in range(1, 10):
        folder = train(Line(), tmp_path / "parts", max_seconds=0.0)
        newest = folder.newest_checkpoint()
        assert newest is not None
        assert newest[0] == stop
    parts = train(Line(), tmp_path / "parts")
    assert without_time(parts) == without_time(whole)
    assert parts.model.read_bytes() == whole.model.read_bytes()
    assert weights_of_newest_checkpoint(parts) == weights_of_newest_checkpoint(whole)


def test_time_goes_on_counting_over_a_stop(tmp_path: Path) -> None:
    for _ in range(4):
        train(Line(), tmp_path, max_seconds=0.0)
    folder = train(Line(), tmp_path)
    seconds = [row["time/seconds"] for row in folder.rows() if "time/seconds" in row]
    assert len(seconds) == 3
    assert seconds == sorted(seconds)


def test_finished_training_is_left_alone(tmp_path: Path) -> None:
    folder = train(Line(), tmp_path)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    learner = Line()
    train(learner, tmp_path)
    assert learner.losses == []
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before
    assert folder.newest_checkpoint() is not None


def test_metrics_of_a_training_killed_before_its_first_checkpoint_are_made_again(tmp_path: Path) -> None:
    whole = train(Line(), tmp_path / "whole")
    # What such a training leaves: rows, perhaps a model, no checkpoint.
    killed = RunFolder(tmp_path / "killed")
    killed.begin({})
    killed.log(4, {"losses/square": 123.0})
    killed.close()
    again = train(Line(), tmp_path / "killed")
    assert without_time(again) == without_time(whole)


# A checkpoint holds the weights, 4 kB per 1000 inputs, then the optimiser's state, twice as large.
@pytest.mark.parametrize("limit", [30_000, 60_000], ids=["weights do not fit", "optimiser's state does not fit"])
def test_full_disk_keeps_the_checkpoint_before_and_the_training_goes_on_from_it(
    tmp_path: Path, no_room_beyond: Callable[[int], AbstractContextManager[None]], limit: int
) -> None:
    config = TrainingConfig(updates=6, warmup=1, log_every=2, validate_every=3, checkpoint_seconds=0.0)
    whole = train(Line(width=10_000), tmp_path / "whole", config)
    place = tmp_path / "full"
    train(Line(width=10_000), place, config, max_seconds=0.0)
    before = {path: path.read_bytes() for path in (place / "checkpoint").rglob("*") if path.is_file()}
    with no_room_beyond(limit), pytest.raises(SaveError, match=r"full/checkpoint/000000002 could not be saved.*untouched"):
        train(Line(width=10_000), place, config)
    assert {path: path.read_bytes() for path in (place / "checkpoint").rglob("*") if path.is_file()} == before
    folder = train(Line(width=10_000), place, config)
    assert without_time(folder) == without_time(whole)
    assert folder.model.read_bytes() == whole.model.read_bytes()


def test_full_disk_met_by_the_best_weights_names_them(
    tmp_path: Path, no_room_beyond: Callable[[int], AbstractContextManager[None]]
) -> None:
    config = TrainingConfig(updates=2, warmup=1, log_every=1, validate_every=1, checkpoint_seconds=1000.0)
    with no_room_beyond(30_000), pytest.raises(SaveError, match=r"model\.safetensors could not be saved"):
        train(Line(width=10_000), tmp_path, config)
    assert not list(tmp_path.glob("*model*"))


def test_weights_taken_up_again_lie_where_the_module_does() -> None:
    """Checkpoints are read on the host, wherever the training goes on."""
    before = LastWeights(nn.Linear(2, 1), 2)
    before.keep(nn.Linear(2, 1))
    after = LastWeights(nn.Linear(2, 1, device="meta"), 2)
    after.load_state_dict(before.state_dict())
    assert {value.device.type for kept in after.kept for value in kept.values()} == {"meta"}


class Pushed(nn.Module):
    """Two weights whose gradients are whatever is pushed."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Parameter(torch.tensor([1.0, -2.0])), nn.Parameter(torch.tensor([0.5]))

    def forward(self, pushes: tuple[Tensor, Tensor]) -> Tensor:
        return (self.first * pushes[0]).sum() + (self.second * pushes[1]).sum()


class Pushing(Line):
    """Pushes the first weight hard and the second one softly, which has a rate and a decay of its own."""

    PUSHES = ((torch.tensor([30.0, 40.0]), torch.tensor([0.3])), (torch.tensor([0.3, -0.4]), torch.tensor([-0.9])))

    def __init__(self) -> None:
        super().__init__()
        self.module = Pushed()
        self.pushes = iter(self.PUSHES)

    def loss(self, module: nn.Module) -> tuple[Tensor, dict[str, Tensor]]:
        return module(next(self.pushes)), {}

    def parameter_groups(self) -> list[dict[str, Any]]:
        assert isinstance(self.module, Pushed)
        return apart(self.module, [self.module.second], rate=0.1, weight_decay=0.5)


def test_each_group_is_clipped_alone_and_has_its_rate_and_its_decay() -> None:
    """AdamW (Loshchilov and Hutter 2019, algorithm 2) by hand."""
    config = replace(QUICK, warmup=0, clip=1.0, weight_decay=0.05, second_moment=0.9)
    learner = Pushing()
    step = Update(learner, config, make_accelerator(config))
    norms = [float(step(update)["charts/gradient_norm"]) for update in range(2)]
    assert norms == pytest.approx([math.hypot(50.0, 0.3), math.hypot(0.5, 0.9)])
    assert isinstance(learner.module, Pushed)
    for group, (found, weights, rate, decay) in enumerate(
        ((learner.module.first, [1.0, -2.0], 1.0, 0.05), (learner.module.second, [0.5], 0.1, 0.5))
    ):
        wanted, mean, square = torch.tensor(weights), torch.zeros(len(weights)), torch.zeros(len(weights))
        for update, pushes in enumerate(Pushing.PUSHES):
            gradient = pushes[group] * min(1.0, 1 / float(pushes[group].norm()))
            mean, square = 0.9 * mean + 0.1 * gradient, 0.9 * square + 0.1 * gradient.square()
            far = rate * learning_rate(config, update)
            wanted = wanted - far * decay * wanted
            wanted = wanted - far * (mean / (1 - 0.9 ** (update + 1))) / ((square / (1 - 0.9 ** (update + 1))).sqrt() + 1e-8)
        torch.testing.assert_close(found.detach(), wanted, rtol=1e-5, atol=1e-6)

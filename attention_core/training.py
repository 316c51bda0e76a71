"""The training loop that every system shares, on Hugging Face accelerate.

One process here, `accelerate launch` or `torchrun` over many, mixed precision: nothing of that is written by hand. A run can be
killed at any moment; started again with the same folder it goes on from its newest checkpoint to the same numbers.
"""

from __future__ import annotations

import copy
import math
import time
from abc import ABC, abstractmethod
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal

import torch
from accelerate import Accelerator
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from safetensors.torch import save_file
from torch import Tensor, nn

from attention_core.config import TrainingConfig
from attention_core.cuda_graph import CapturedGradient
from attention_core.files import write_atomically
from attention_core.run_folder import RunError, RunFolder


class Learner(ABC):
    """What a system brings to the loop."""

    module: nn.Module
    """What is optimised. One call of it per update, since accelerate's distributed data parallel counts on that."""

    examples_per_update: int
    """Examples that one update sees, over all processes, for the speed shown."""

    chooses: str
    """Which of the scores of `validate` chooses the weights to keep, lower being better: `ERROR_RATE` where something is named."""

    @abstractmethod
    def loss(self, module: nn.Module) -> tuple[Tensor, dict[str, Tensor]]:
        """Take the next batch; return the loss to descend and scalars to log, all on the device."""

    def parameter_groups(self) -> list[dict[str, Any]]:
        """All parameters of `module` in groups whose gradients are clipped apart; together, if nothing else is said.

        One may set a "weight_decay" of its own, and a "rate", its learning rate as a share of the schedule's; see `apart`.
        """
        return [{"params": list(self.module.parameters())}]

    def released(self, module: nn.Module) -> nn.Module:
        """The part of `module` whose weights are worth keeping when training is over; all of it, if nothing else is said."""
        return module

    @abstractmethod
    def validate(self, module: nn.Module) -> dict[str, float]:
        """Score the weights on validation examples."""

    @abstractmethod
    def state_dict(self) -> dict[str, Any]:
        """Everything besides the weights that the next update depends on: random streams, place in the data."""

    @abstractmethod
    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take up such a state."""


class SteadyLearner(Learner):
    """One that does the same for every batch but for the numbers in it: a GPU can replay it (`attention_core.cuda_graph`)."""

    steady: bool = True
    """Whether these settings let it; false makes it a learner like any other."""

    @abstractmethod
    def batch(self) -> Any:
        """Take the next batch: all that differs from update to update, as tensors on the device, in tuples and dictionaries."""

    @abstractmethod
    def batch_loss(self, module: nn.Module, batch: Any) -> tuple[Tensor, dict[str, Tensor]]:
        """Give the loss of a batch and scalars to log, asking the device for nothing; see `loss`."""

    def loss(self, module: nn.Module) -> tuple[Tensor, dict[str, Tensor]]:
        """Take the next batch; give its loss and scalars to log."""
        return self.batch_loss(module, self.batch())

    def compile(self) -> None:
        """Have what is done again and again within a batch compiled, where that is worth the wait: not, if nothing else is said."""


def apart(module: nn.Module, own: Iterable[Tensor], **settings: float) -> list[dict[str, Any]]:
    """Put some of a module's parameters into a group of their own, which may have settings of its own."""
    own = list(own)
    others = [parameter for parameter in module.parameters() if all(parameter is not part for part in own)]
    return [{"params": others}, {"params": own, **settings}]


ERROR_RATE = "validation/error_rate"


def make_accelerator(config: TrainingConfig) -> Accelerator:
    """Make the accelerator: the GPU where there is one, as many processes as were launched."""
    precision = fast_precision() if config.precision == "auto" else config.precision
    # Said outright, since launchers that find no GPU would otherwise leave every process to itself.
    return Accelerator(cpu=not torch.cuda.is_available(), mixed_precision=precision)


def fast_precision() -> Literal["bf16", "no"]:
    """Tell what the device multiplies matrices fast in: "bf16" if it has bfloat16, else "no", since to imitate it takes longer."""
    if torch.cuda.is_available():
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "no"
    return "bf16" if torch.cpu.get_capabilities().get("avx512_bf16") else "no"  # processors with AMX have this one as well


def learning_rate(config: TrainingConfig, update: int) -> float:
    """Rate of an update: a linear rise over the warm-up, then a cosine to the final rate or one over the root of the updates.

    The latter is Vaswani et al.'s (arXiv 1706.03762, section 5.3), d^-0.5 · min(step^-0.5, step · warmup^-1.5), if the rate is set
    to d^-0.5 · warmup^-0.5, its highest.
    """
    rise = min(1.0, (update + 1) / max(1, config.warmup))
    if config.schedule == "inverse_root":
        return config.learning_rate * min(rise, math.sqrt(max(1, config.warmup) / (update + 1)))
    fall = 0.5 * (1 + math.cos(math.pi * min(1.0, update / max(1, config.updates))))
    return rise * (config.final_learning_rate + (config.learning_rate - config.final_learning_rate) * fall)


def share_of(accelerator: Accelerator, batch_size: int) -> slice:
    """Tell which part of every batch this process sees.

    Raises:
        ValueError: if a batch cannot be shared out evenly.
    """
    processes = accelerator.num_processes
    if batch_size % processes:
        raise ValueError(f"batch_size={batch_size} cannot be shared out evenly among {processes} processes")
    share = batch_size // processes
    return slice(accelerator.process_index * share, (accelerator.process_index + 1) * share)


class Average:
    """An exponential moving average of a module's weights.

    It follows faster at first, when all there is to average is not worth keeping. The count lies on the host, so that no update
    waits for the device.

    Attributes:
        module: holds the averages.
    """

    def __init__(self, module: nn.Module, decay: float) -> None:
        self.module = copy.deepcopy(module)
        self.decay = decay
        self.count = 0

    @torch.no_grad()
    def update(self, module: nn.Module) -> None:
        """Take in the weights of an update."""
        averages, weights = ([value.data for value in (*part.parameters(), *part.buffers())] for part in (self.module, module))
        share = 1 - min(self.decay, (1 + self.count) / (10 + self.count)) if self.count else 1.0
        pairs = list(zip(averages, weights, strict=True))
        numbers = [pair for pair in pairs if pair[0].is_floating_point()]
        torch._foreach_lerp_([average for average, _ in numbers], [weight for _, weight in numbers], share)
        for average, weight in pairs:
            if not average.is_floating_point():  # a count, which has no mean
                average.copy_(weight)
        self.count += 1

    def keep(self, module: nn.Module) -> None:
        """Take in nothing: every update was taken in when it was made."""

    def state_dict(self) -> dict[str, Any]:
        """Take down the averages."""
        return {"module": self.module.state_dict(), "count": self.count}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take them up again."""
        self.module.load_state_dict(state["module"])
        self.count = state["count"]


class LastWeights:
    """The mean of a module's weights at the last few validations (the "average of the last checkpoints" of Vaswani et al. 2017).

    Args:
        module: the module.
        last: of how many.
    """

    def __init__(self, module: nn.Module, last: int) -> None:
        self._mean = copy.deepcopy(module)
        self.last = last
        self.kept: list[dict[str, Tensor]] = []

    def update(self, module: nn.Module) -> None:
        """Let an update pass."""

    @torch.no_grad()
    def keep(self, module: nn.Module) -> None:
        """Keep the weights, which are about to be validated."""
        kept = {name: value.detach().clone() for name, value in module.state_dict().items()}
        self.kept = [*self.kept[1 - self.last :], kept] if self.last > 1 else [kept]

    @property
    def module(self) -> nn.Module:
        """A module with the mean of those kept; before there is any, with the weights at the beginning."""
        if self.kept:
            first = self.kept[0]
            self._mean.load_state_dict(
                {
                    name: torch.stack([kept[name] for kept in self.kept]).mean(0)
                    if value.is_floating_point()
                    else self.kept[-1][name]
                    for name, value in first.items()
                }
            )
        return self._mean

    def state_dict(self) -> dict[str, Any]:
        """Take down what is kept."""
        return {"kept": self.kept}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take it up again."""
        device = next(self._mean.parameters()).device
        self.kept = [{name: value.to(device) for name, value in kept.items()} for kept in state["kept"]]


class _Progress:
    """The loop's own state, saved beside the weights: how far, the best so far, and metrics not yet written."""

    def __init__(self) -> None:
        self.update = 0
        self.best = math.inf
        self.seconds = 0.0
        self.names: list[str] = []
        self.sums = torch.zeros(0)
        self.count = 0
        self._broken = torch.zeros(0)

    def state_dict(self) -> dict[str, Any]:
        kept = {name: value for name, value in vars(self).items() if not name.startswith("_")}
        return {**kept, "sums": self.sums.cpu()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        vars(self).update(state)

    def add(self, metrics: dict[str, Tensor]) -> None:
        """Take in an update's metrics, without waiting for the device."""
        values = torch.stack([value.detach().float() for value in metrics.values()])
        self.names = list(metrics)
        self.sums = self.sums.to(values.device) + values if self.count else values
        self.count += 1
        self.update += 1
        if not len(self._broken):
            self._broken = torch.full_like(values, math.inf)
        # The first update at which each of them was no finite number.
        self._broken = torch.where(values.isfinite(), self._broken, self._broken.clamp(max=self.update))

    def check(self, accelerator: Accelerator) -> None:
        """See that all metrics of all processes have been finite numbers.

        Raises:
            FloatingPointError: naming the update and the metrics where that ended.
        """
        broken = accelerator.gather(self._broken).reshape(-1, len(self.names)).amin(0).tolist() if self.count else []
        if (first := min(broken, default=math.inf)) < math.inf:
            terms = ", ".join(name for name, update in zip(self.names, broken, strict=True) if update == first)
            raise FloatingPointError(
                f"training broke down at update {first:.0f}: {terms} was no finite number. What was saved is from before; "
                "try a lower learning rate"
            )

    def take(self, accelerator: Accelerator) -> dict[str, float]:
        """Return the means since the last call, over all processes, and start anew."""
        means = accelerator.reduce(self.sums / self.count, reduction="mean").tolist()
        self.count = 0
        return dict(zip(self.names, means, strict=True))


class Update:
    """One step of learning: a batch's loss, its gradient, clipped AdamW, and the moving average of the weights.

    Args:
        learner: the system.
        config: the loop's settings.
        accelerator: from `make_accelerator`.
        capture: whether to replay the gradient of a `SteadyLearner` where there is a GPU.

    Attributes:
        module: the learner's module, as accelerate wraps it.
        averaged: the moving average; `averaged.module` is what gets validated and released.
        replays: whether the gradient is replayed.
    """

    def __init__(self, learner: Learner, config: TrainingConfig, accelerator: Accelerator, capture: bool = True) -> None:
        self.learner, self.config, self.accelerator = learner, config, accelerator
        optimizer = torch.optim.AdamW(
            learner.parameter_groups(),
            lr=config.learning_rate,
            betas=(0.9, config.second_moment),
            weight_decay=config.weight_decay,
            fused=True,
        )
        module = learner.module.to(accelerator.device)
        self.averaged: Average | LastWeights = Average(module, config.average)
        if config.average_last:
            self.averaged = LastWeights(module, config.average_last)
        self.module, self.optimizer = accelerator.prepare(learner.module, optimizer)
        self._captured = self._capture() if capture else None
        self.replays = self._captured is not None

    def __call__(self, update: int) -> dict[str, Tensor]:
        """Make the update of this number, from 0 on; return its metrics, on the device."""
        return {**self._gradient(), "charts/gradient_norm": self.descend(update)}

    def _gradient(self) -> dict[str, Tensor]:
        """Leave the next batch's gradient at the parameters; return its metrics."""
        if self._captured is not None:
            assert isinstance(self.learner, SteadyLearner)
            return self._captured(self.learner.batch())
        loss, metrics = self.learner.loss(self.module)
        self.accelerator.backward(loss)
        return metrics

    def _capture(self) -> CapturedGradient | None:
        """Get ready to replay gradients, on one GPU; scaled as half precision asks for, they are not the same twice."""
        learner, accelerator = self.learner, self.accelerator
        alone = accelerator.device.type == "cuda" and accelerator.num_processes == 1 and accelerator.scaler is None
        if not (alone and isinstance(learner, SteadyLearner) and learner.steady):
            return None
        learner.compile()  # after the average was made, which does without

        def compute(batch: Any) -> dict[str, Tensor]:
            loss, metrics = learner.batch_loss(self.module, batch)
            accelerator.backward(loss)
            return metrics

        return CapturedGradient(compute, [part for group in self.optimizer.param_groups for part in group["params"]])

    def descend(self, update: int) -> Tensor:
        """Follow the gradient that is there; return its norm before clipping."""
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(self.config, update) * group.get("rate", 1.0)
        self.accelerator.unscale_gradients()
        # Each group on its own: a noisy gradient in one, such as REINFORCE's, must not shrink that of the others.
        # The norm of a group that has no gradient lies on the host.
        device = self.accelerator.device
        norms = [nn.utils.clip_grad_norm_(group["params"], self.config.clip).to(device) for group in self.optimizer.param_groups]
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self.averaged.update(self.learner.module)
        norm: Tensor = torch.stack(norms).norm()
        # In half precision a gradient that overflows is passed over, and the next one scaled down: nothing has broken.
        return torch.zeros_like(norm) if self.accelerator.optimizer_step_was_skipped else norm


def fit(
    learner: Learner, config: TrainingConfig, folder: RunFolder, accelerator: Accelerator, max_seconds: float | None = None
) -> None:
    """Train until `config.updates`, or until `max_seconds` have passed, and leave the run folder complete.

    Args:
        learner: the system.
        config: the loop's settings.
        folder: where to write, and to go on from if it holds a checkpoint.
        accelerator: from `make_accelerator`.
        max_seconds: ends this call cleanly, with a checkpoint, after so much time; the schedule is not changed by it.

    Raises:
        attention_core.files.SaveError: if the disk is full; what was saved before is untouched.
        attention_core.run_folder.RunError: if the checkpoint is of more or fewer processes than there are now.
        FloatingPointError: if the loss is no longer a finite number.
    """
    step = Update(learner, config, accelerator)
    progress = _Progress()
    accelerator.register_for_checkpointing(step.averaged)
    own: dict[str, Any] = {"learner": learner, "progress": progress}
    if (newest := folder.newest_checkpoint()) is not None:
        _check_processes(newest[1], accelerator)
        accelerator.load_state(str(newest[1]))
        states = torch.load(newest[1] / f"process_{accelerator.process_index}.pt", map_location="cpu", weights_only=True)
        for name, part in own.items():
            part.load_state_dict(states[name])
    folder.rewind(progress.update)

    clock = _Clock(progress)
    with _progress_bar(accelerator.is_main_process) as bar:
        task = bar.add_task("training", total=config.updates, completed=progress.update, shown="")
        while progress.update < config.updates:
            progress.add(step(progress.update))
            bar.advance(task)
            last = progress.update == config.updates
            if progress.update % config.log_every == 0 or last:
                progress.check(accelerator)
                row = progress.take(accelerator)
                row |= {
                    "charts/learning_rate": learning_rate(config, progress.update - 1),
                    **clock.row(learner.examples_per_update),
                }
                folder.log(progress.update, row)
                bar.update(task, shown=_shown(row, learner.chooses, progress.best))
            validating = progress.update % config.validate_every == 0 or last
            if validating:
                progress.check(accelerator)
                step.averaged.keep(learner.module)
                _validate(learner, step.averaged.module, progress, folder)
            stopping = max_seconds is not None and _agreed(accelerator, clock.elapsed() > max_seconds)
            # After a validation too: the best weights are kept by then, and belong to a checkpoint that goes on from there.
            if validating or stopping or _agreed(accelerator, clock.since_saved() > config.checkpoint_seconds):
                progress.check(accelerator)
                clock.saved()
                _save(accelerator, folder, progress, own)
            if stopping:
                break
    folder.close()


def _check_processes(checkpoint: Path, accelerator: Accelerator) -> None:
    """See that each process finds its own random streams in a checkpoint, and none is left over."""
    before = len(list(checkpoint.glob("process_*.pt")))
    if before != accelerator.num_processes:
        raise RunError(
            f"{checkpoint} holds the states of {before} process(es), and this training has {accelerator.num_processes}: go on "
            "with as many, or choose another folder"
        )


class _Clock:
    """How long this call and the whole run have taken, and how fast it goes."""

    def __init__(self, progress: _Progress) -> None:
        self.progress = progress
        self.earlier = progress.seconds
        self.began = self._saved = self._logged = time.monotonic()
        self._logged_update = progress.update

    def elapsed(self) -> float:
        return time.monotonic() - self.began

    def since_saved(self) -> float:
        return time.monotonic() - self._saved

    def saved(self) -> None:
        self._saved = time.monotonic()
        self.progress.seconds = self.earlier + self.elapsed()

    def row(self, examples_per_update: int) -> dict[str, float]:
        """Metrics of time since the last row."""
        now, update = time.monotonic(), self.progress.update
        speed = (update - self._logged_update) * examples_per_update / max(now - self._logged, 1e-9)
        self._logged, self._logged_update = now, update
        return {"time/seconds": self.earlier + self.elapsed(), "time/examples_per_second": speed}


def _validate(learner: Learner, weights: nn.Module, progress: _Progress, folder: RunFolder) -> None:
    """Score the weights and keep them if they are the best so far; of equals the latest, which has learned from more.

    Raises:
        FloatingPointError: if a score is no finite number.
    """
    scores = learner.validate(weights)
    if broken := [name for name, value in scores.items() if not math.isfinite(value)]:
        raise FloatingPointError(
            f"training broke down before update {progress.update}: {', '.join(broken)} was no finite number. "
            "What was saved is from before; try a lower learning rate"
        )
    folder.log(progress.update, scores)
    if scores[learner.chooses] <= progress.best:
        progress.best = scores[learner.chooses]
        if folder.writes:
            save_weights(learner.released(weights), folder.model)


def save_weights(module: nn.Module, path: Path) -> None:
    """Write a module's weights as safetensors, whole or not at all."""
    weights = {name: value.detach().cpu().contiguous() for name, value in module.state_dict().items()}
    write_atomically(path, lambda temporary: save_file(weights, temporary))


def _save(accelerator: Accelerator, folder: RunFolder, progress: _Progress, own: dict[str, Any]) -> None:
    folder.save_checkpoint(progress.update, lambda path: _save_state(accelerator, path, own))
    accelerator.wait_for_everyone()


def _save_state(accelerator: Accelerator, path: Path, own: dict[str, Any]) -> None:
    accelerator.save_state(str(path))
    torch.save({name: part.state_dict() for name, part in own.items()}, path / f"process_{accelerator.process_index}.pt")
    accelerator.wait_for_everyone()


def _agreed(accelerator: Accelerator, wish: bool) -> bool:
    """Let the first process decide, so that all do the same."""
    if accelerator.num_processes == 1:
        return wish
    flag = torch.tensor(float(wish and accelerator.is_main_process), device=accelerator.device)
    decided: Tensor = accelerator.reduce(flag, reduction="sum")
    return bool(decided > 0)


def _progress_bar(shown: bool) -> Progress:
    columns = (
        "{task.description}",
        BarColumn(),
        "{task.completed}/{task.total}",
        TimeElapsedColumn(),
        "left",
        TimeRemainingColumn(),
    )
    return Progress(*columns, TextColumn("{task.fields[shown]}"), disable=not shown, refresh_per_second=2)


def _shown(row: dict[str, float], chooses: str, best: float) -> str:
    parts = [f"{row['time/examples_per_second']:,.0f}/s"]
    parts += [f"{name.split('/')[-1]} {value:.3f}" for name, value in row.items() if name.startswith("losses/")][:1]
    if best < math.inf:
        parts.append(f"best {chooses.replace('/', ' ').replace('_', ' ')} {best:.4g}")
    return "  ".join(parts)

"""Training models of pictures and DRAW's eye."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from attention_core.carrying_out import begins_with_another, carry_out, open_run
from attention_core.order import ShuffledIndex
from attention_core.run_folder import RunFolder
from attention_core.splits import closed_test_splits
from attention_core.training import ERROR_RATE, SteadyLearner, apart, make_accelerator, share_of
from attention_core.zoo import begin_with
from attention_env.classification import ClassifierLearner, picture_shape
from generative.config import DRAWConfig, GenerativeConfig, ReaderConfig, VAEConfig
from generative.draw import DRAW
from generative.latent import LatentModel
from generative.likelihood import draw_noise, measure
from generative.loading import load_pictures, new_model
from generative.recogniser import Reader, answer_loss

NATS = "validation/elbo_nats"
LATENT_PANELS = {
    "bound in nats, training": ["losses/elbo_nats"],
    "bound in nats, validation": [NATS],
    "parts of the bound, training": ["losses/reconstruction", "losses/divergence"],
    "gradient's norm": ["charts/gradient_norm"],
}
READER_PANELS = {
    "success in training": ["charts/success"],
    "error on validation pictures": [ERROR_RATE],
    "loss": ["losses/answer"],
    "gradient's norm": ["charts/gradient_norm"],
}


class LatentLearner(SteadyLearner):
    """A model of pictures and its pictures, as the training loop wants them.

    Of several processes each sees its own part of every batch. All of them draw the chance of the whole batch and keep their part,
    so that they do together what one process would do alone.
    """

    chooses = NATS

    def __init__(self, config: VAEConfig | DRAWConfig, accelerator: Accelerator) -> None:
        """Load pictures, make the model and its random stream.

        Raises:
            ValueError: if the batch cannot be shared out evenly, or a window does not fit the pictures.
        """
        self.mine = share_of(accelerator, config.batch_size)
        self.config = config
        self.device = accelerator.device
        self.examples_per_update = config.batch_size
        self.pictures = load_pictures(config, "train", self.device)
        model = new_model(config, self.pictures.shape, self.pictures.classes)
        assert isinstance(model, LatentModel)
        self.model = model.to(self.device)
        self.module: nn.Module = self.model
        self.order = ShuffledIndex(len(self.pictures), config.seed)
        self.chance = torch.Generator(self.device).manual_seed(config.seed + 1)
        self.updates = 0

    def batch(self) -> tuple[Tensor, ...]:
        """Show the next pictures: them, their noise, the weight of the divergence, and their classes if they have such."""
        size = self.config.batch_size
        index = torch.from_numpy(self.order.take(size)[self.mine]).to(self.device, non_blocking=True)
        chance = self.pictures.chance(size, self.chance)
        noise = draw_noise(self.model, size, self.chance)[:, self.mine]
        shown = self.pictures.show(index, None if chance is None else chance[self.mine])
        self.updates += 1
        weight = min(1.0, self.updates / self.config.divergence_warmup) if self.config.divergence_warmup else 1.0
        labels = () if shown.labels is None else (shown.labels,)
        return shown.pictures, noise, torch.full((), weight, device=self.device), *labels

    def batch_loss(self, module: nn.Module, batch: tuple[Tensor, ...]) -> tuple[Tensor, dict[str, Tensor]]:
        """Infer and draw pictures; the loss is the bound with its sign turned, in nats."""
        pictures, noise, weight, *labels = batch
        inferred = module(pictures, noise, *labels)
        reconstruction = -self.model.output.log_probability(pictures, inferred.canvas).mean()
        divergence = inferred.divergences.sum(0).mean()
        return reconstruction + weight * divergence, {
            "losses/elbo_nats": reconstruction + divergence,
            "losses/reconstruction": reconstruction,
            "losses/divergence": divergence,
        }

    def compile(self) -> None:
        """Compile DRAW's step, which is taken T times: into a tenth of the kernels."""
        if isinstance(self.model, DRAW):
            warnings.filterwarnings("ignore", "TensorFloat32")  # windows are computed in single precision
            # Of this model alone: the average is validated, at other sizes, as it is written.
            # (mypy is told that a method is replaced on purpose.)
            self.model.step = torch.compile(self.model.step)  # type: ignore[method-assign]

    def validate(self, module: nn.Module) -> dict[str, float]:
        """Measure the bound on every validation picture, one sample each."""
        assert isinstance(module, LatentModel)
        module.eval()
        bound = measure(module, load_pictures(self.config, "validation", self.device))
        return {NATS: bound.nats}

    def state_dict(self) -> dict[str, Any]:
        """Take down the random stream and the place in the data."""
        return {"updates": self.updates, "order": self.order.state_dict(), "chance": self.chance.get_state()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take them up again."""
        self.updates = state["updates"]
        self.order.load_state_dict(state["order"])
        self.chance.set_state(state["chance"].cpu())


class ReaderLearner(ClassifierLearner):
    """A reader and the pictures that it names, as the training loop wants them."""

    config: ReaderConfig

    def new_network(self) -> nn.Module:
        """Make the reader that the settings describe."""
        return new_model(self.config, picture_shape(self.environment), self.environment.pictures.classes)

    def parameter_groups(self) -> list[dict[str, Any]]:
        """The layer that places the window apart: without a bound on its gradient (`window_clip`) that is many times larger."""
        assert isinstance(self.module, Reader)
        return apart(self.module, self.module.window.parameters())

    def answer_loss(self, scores: Tensor, labels: Tensor) -> Tensor:
        """Give the cross-entropy of the last answer, and of the earlier ones in their measure."""
        return answer_loss(scores, labels, self.config.every_answer)


@closed_test_splits()
def train(config: GenerativeConfig, place: Path, max_seconds: float | None = None) -> RunFolder:
    """Train a model, or go on with a training.

    Args:
        config: what to train. If the folder holds a run, it must be the same.
        place: the run folder.
        max_seconds: ends this call cleanly after so much time; call again to go on.

    Returns:
        The run folder, with metrics, curves and the weights that were best on validation pictures.

    Raises:
        attention_core.run_folder.RunError: if the folder holds a run of other settings.
        attention_core.zoo.ModelError: if there is no such model to begin with, or it is another kind, or of other sizes.
        FloatingPointError: if a part of the loss is no finite number.
    """
    accelerator = make_accelerator(config.training)
    folder = open_run(config, place, accelerator)
    learner: LatentLearner | ReaderLearner
    if isinstance(config, ReaderConfig):
        learner, panels = ReaderLearner(config, accelerator), READER_PANELS
        made_for = {"shape": list(picture_shape(learner.environment)), "classes": learner.environment.pictures.classes}
    else:
        learner, panels = LatentLearner(config, accelerator), LATENT_PANELS
        made_for = {"shape": list(learner.pictures.shape), "classes": learner.pictures.classes}
    if begins_with_another(config, folder):
        begin_with(config.start, learner.module, "model", may_lack="blocks.")  # a reader's residual blocks; no other model has such
    carry_out(learner, config, folder, accelerator, panels, max_seconds, **made_for)
    return folder

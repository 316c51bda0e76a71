"""Learning to translate from whole translations of one's own: REINFORCE on their BLEU.

Ranzato et al. 2016 (arXiv 1511.06732): what is trained token by token never sees its own mistakes, and is measured by another
figure than it learns from. Here several translations of each source are drawn, and each is made likelier by as much as its BLEU is
above that of the others (leave-one-out; Kool, van Hoof, Welling 2019):

    -(1/PN) Σ_ij log π(y_ij | x_i) (R_ij - b_ij),  b_ij = Σ_{k≠j} R_ik / (N - 1)
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from accelerate import Accelerator
from torch import Tensor, nn

from attention_core.policy_gradient import leave_one_out, reinforce_loss
from transformer.batches import Pair
from transformer.config import TransformerConfig
from transformer.evaluate import sentence_bleu
from transformer.learner import TranslationLearner, token_logs
from transformer.translating import draw, most_tokens, tempered
from transformer.vocabulary import PAD, START


class RewardLearner(TranslationLearner):
    """A Transformer that learns from its own translations, as the training loop wants it."""

    def __init__(self, config: TransformerConfig, accelerator: Accelerator) -> None:
        """Make sentences, network and chance; see `TranslationLearner`."""
        super().__init__(config, accelerator)
        self.chance = torch.Generator(self.device).manual_seed(config.seed + 1 + 1000 * accelerator.process_index)

    def loss(self, module: nn.Module) -> tuple[Tensor, dict[str, Tensor]]:
        """Translate the next batch of sentences several times, and learn from what the translations are worth."""
        source, target, weight = self.next_batch()
        model, samples = self.released(self.accelerator.unwrap_model(module)), self.config.samples
        model.eval()  # what is drawn is what it would write, with all its units
        drawn = draw(model, source, most_tokens(source, model.longest), samples, self.config.temperature, self.chance)
        model.train()
        returns = self._rewards(drawn, target)
        # Translations that were drawn more than once are read once.
        about = torch.arange(len(source), device=self.device).repeat_interleave(samples)
        read, which = torch.unique(torch.cat((about[:, None], drawn), 1), dim=0, return_inverse=True)
        about, wanted = read[:, 0], read[:, 1:]
        told = module(source, F.pad(wanted[:, :-1], (1, 0), value=START), about)
        there = wanted != PAD
        logs = token_logs(lambda part: tempered(model.score(part), self.config.temperature), told[there], wanted[there])
        likely = torch.zeros(len(read), device=self.device).index_add(0, there.nonzero()[:, 0], logs)[which]  # (P · N,), log π
        in_turn = likely.view(-1, samples).T.reshape(1, -1), returns.view(-1, samples).T.reshape(1, -1)
        loss = weight * reinforce_loss(*in_turn, leave_one_out(in_turn[1], samples))
        return loss, {"losses/translations": loss, "charts/reward": weight * returns.mean()}

    def weigh(self, pair: Pair) -> int:
        """Tell how much of the loss's mean a pair of sentences is: all alike."""
        return 1

    def _rewards(self, drawn: Tensor, target: Tensor) -> Tensor:
        """Score translations, (P · N, T), against the true ones, (P, ·): (P · N,), BLEU in [0, 1]."""
        texts, references = ([self.vocabulary.decode(row) for row in rows.tolist()] for rows in (drawn, target[:, 1:]))
        repeated = [reference for reference in references for _ in range(self.config.samples)]
        return torch.tensor(sentence_bleu(texts, repeated), device=self.device)

    def state_dict(self) -> dict[str, Any]:
        """Take down the place in the sentences and the random stream."""
        return {**super().state_dict(), "chance": self.chance.get_state()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take them up again."""
        super().load_state_dict(state)
        self.chance.set_state(state["chance"].cpu())

"""Learning to look by trying: REINFORCE in `attention_env/Caption-v0`.

Xu et al. 2015 (arXiv 1502.03044), section 4.1, equation 12, for places s̃ ~ Multinoulli(α):

    (1/N) Σ_n [∂ log p(y | s̃) + λ_r (log p(y | s̃) - b) ∂ log p(s̃) + λ_e ∂H(s̃)]

The environment pays the log-likelihood of the true word at every step. A place cannot change what was paid before it was looked at,
so its reward is what comes from there on, which has the same expectation and less noise than the whole sentence's. For some of the
captions the expectation Σ_i α_i a_i stands in place of the sample, as in the paper, and the gradient goes through it.

Where the environment pays the score of the finished sentence instead, words are chosen as well, and REINFORCE teaches both, of soft
attention the words alone, beside the entropy's term (self-critical training where the baseline is the score of the greedy sentence;
Rennie et al. 2017, arXiv 1612.00563).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch
from accelerate import Accelerator
from torch import Tensor, nn

from attention_core.beam_search import change_each
from attention_core.policy_gradient import (
    MovingAverage,
    gumbel_noise,
    hold_last_return,
    leave_one_out,
    reinforce_loss,
    reward_to_go,
    sample_categorical,
)
from attention_env.captions import PAD
from attention_env.envs.caption import CaptionVectorEnv
from captioning.config import CaptionConfig
from captioning.decoder import Captioner, Scene, State
from captioning.learner import CaptionLearner
from captioning.writing import NEVER, Tried, settle, try_places


class Chance(NamedTuple):
    """What is drawn before a batch of episodes.

    Attributes:
        places: (T, rows, L), Gumbel noise of the places.
        words: (T, rows, V), of the words, where those are chosen; else None.
        everywhere: (rows,) bool, captions that are shown the expectation.
    """

    places: Tensor
    words: Tensor | None
    everywhere: Tensor


class Episodes(NamedTuple):
    """What happened, (T, rows) each.

    Attributes:
        playing: whether the episode was not over yet.
        rewards: what the environment paid.
        told: log-probability of the true word, or of the word that was chosen; differentiable.
        any_word: mean log-probability of all words, which smoothed labels ask for; differentiable.
        looked: log α_t of the place that was looked at; differentiable.
        entropy: that of α_t, in nats; differentiable.
    """

    playing: Tensor
    rewards: Tensor
    told: Tensor
    any_word: Tensor
    looked: Tensor
    entropy: Tensor


def play(
    captioner: Captioner,
    environment: CaptionVectorEnv,
    options: dict[str, Any],
    chance: Chance,
    temperature: float = 1.0,
    tries: int = 1,
) -> Episodes:
    """Write captions in the environment.

    Args:
        captioner: who writes.
        environment: with torch output and no autoreset; its reward says whether words are read or chosen.
        options: of its `reset`: which pictures, which of their captions, how many copies.
        chance: what is drawn.
        temperature: by which the scores of words that are chosen are divided.
        tries: K; above 1 no place is drawn, but the K likeliest are tried before each word, see `captioning.writing.write`.
    """
    observation, _ = environment.reset(options=options)
    annotations = environment.annotations()
    scene = captioner.see(annotations)
    state: State = captioner.begin(scene)
    true = environment.captions().T if chance.words is None else None  # (T, rows)
    never = torch.tensor(NEVER, device=annotations.device)
    playing = torch.ones(len(annotations), dtype=torch.bool, device=annotations.device)
    steps = []
    for step, noise in enumerate(chance.places):
        if tries > 1:
            tried = try_places(captioner, scene, state, observation["word"], tries)
        else:
            tried = _draw_place(captioner, scene, state, observation["word"], noise, chance.everywhere)
        scores = tried.word_scores()
        if true is None:
            scores = scores.index_fill(1, never, -torch.inf) / temperature
        logs = scores.log_softmax(-1)
        if true is not None:
            word, said = true[step], {"scores": scores.detach()}
        else:
            assert chance.words is not None
            word = sample_categorical(scores, chance.words[step])
            said = {"word": word}
        state, place = settle(tried, word)
        observation, rewards, ended, _, _ = environment.step({"place": place, **said})
        at_place = tried.log_weights.gather(1, place[:, None])[:, 0]
        entropy = -(tried.log_weights.exp() * tried.log_weights).sum(-1)
        steps.append(Episodes(playing, rewards, logs.gather(1, word[:, None])[:, 0], logs.mean(-1), at_place, entropy))
        playing = playing & ~ended
        if true is None and not playing.any():  # of true captions it is known beforehand when the longest ends
            break
    return Episodes(*(torch.stack(part) for part in zip(*steps, strict=True)))


def _draw_place(captioner: Captioner, scene: Scene, state: State, words: Tensor, noise: Tensor, everywhere: Tensor) -> Tried:
    """Look at a place that is drawn, and take in the word before, (B,), with what is there; see `Captioner.look`."""
    looked = captioner.look(scene, state, noise, everywhere)
    after, told = captioner.advance(words, looked.context, state)
    state = change_each(after, lambda part: part[:, None])
    return Tried(state, captioner.score(told)[:, None], looked.place[:, None], looked.log_weights)


class _Loss(nn.Module):
    """Episodes and their losses as one module, since distributed training wants one forward per backward."""

    def __init__(self, captioner: Captioner, config: CaptionConfig, longest: int) -> None:
        super().__init__()
        self.captioner = captioner
        self.config = config
        self.average = MovingAverage(longest) if config.baseline == "moving_average" else None

    def forward(self, environment: CaptionVectorEnv, options: dict[str, Any], chance: Chance) -> tuple[Tensor, dict[str, Tensor]]:
        parts, charts = self.parts(environment, options, chance)
        total = parts["words"] + looking(parts, self.config.location_weight, self.config.entropy_weight)
        return total, {"losses/words": parts["words"], "losses/places": parts["places"], **charts}

    def parts(
        self, environment: CaptionVectorEnv, options: dict[str, Any], chance: Chance
    ) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Give the parts of the loss, see `losses`, and what else the charts show of the episodes."""
        tries = 1 if self.config.draws_places else self.config.tries
        episodes = play(self.captioner, environment, options, chance, self.config.temperature, tries)
        returns = reward_to_go(episodes.rewards, self.config.discount)
        episodes, returns, baseline = self._baseline(episodes, returns)
        length = episodes.playing.float().sum(0).mean()
        parts = losses(episodes, returns, baseline, chance.everywhere[: returns.shape[1]], self.config)
        return parts, {"charts/return": returns[0].mean(), "charts/entropy": parts["entropy"] / length}

    def _baseline(self, episodes: Episodes, returns: Tensor) -> tuple[Episodes, Tensor, Tensor | float]:
        """Give the baseline that the settings ask for, and the episodes to learn from with their returns."""
        if self.average is not None:
            return episodes, returns, self.average(returns, episodes.playing)
        compared = hold_last_return(returns, episodes.playing)
        if self.config.baseline == "leave_one_out":
            return episodes, returns, leave_one_out(compared, self.config.samples)
        if self.config.baseline == "self_critical":
            # The last copy of each caption was written greedily: it is what the others are measured by.
            sampled = returns.shape[1] * self.config.samples // (self.config.samples + 1)
            greedy = compared[:, sampled:].repeat(1, self.config.samples)
            return Episodes(*(part[:, :sampled] for part in episodes)), returns[:, :sampled], greedy
        return episodes, returns, 0.0


def losses(
    episodes: Episodes, returns: Tensor, baseline: Tensor | float, everywhere: Tensor, config: CaptionConfig
) -> dict[str, Tensor]:
    """Compute the parts of the loss of a batch of episodes.

    Args:
        episodes: what happened.
        returns: (T, rows), R_t.
        baseline: b_t, broadcastable to it.
        everywhere: (rows,) bool, captions that were shown the expectation: where they would have looked teaches nothing.
        config: the settings.

    Returns:
        "words": -log p(y | s̃) of a caption, with smoothed labels if the settings say so (what the environment pays is never
            smoothed), averaged over the captions; or, where words are chosen, REINFORCE on them.
        "places": REINFORCE on the places, where those are drawn.
        "entropy": Σ_t H(α_t) of a caption in nats, averaged over the captions; the more of it, the better.
    """
    playing = episodes.playing.float()
    chosen = playing * ~everywhere if config.draws_places else torch.zeros_like(playing)
    if config.reward == "likelihood":
        smoothed = torch.lerp(episodes.told, episodes.any_word, config.label_smoothing)
        words = -(smoothed * playing).sum(0).mean()
    else:
        words = reinforce_loss(episodes.told * playing, returns, baseline)
    places = reinforce_loss(episodes.looked * chosen, returns, baseline)
    return {"words": words, "places": places, "entropy": (episodes.entropy * playing).sum(0).mean()}


def looking(parts: dict[str, Tensor], location_weight: float, entropy_weight: float) -> Tensor:
    """Put together what teaches where to look, of the parts that `losses` gives: λ_r REINFORCE on the places - λ_e H."""
    return location_weight * parts["places"] - entropy_weight * parts["entropy"]


class EpisodeLearner(CaptionLearner):
    """A captioner in `attention_env/Caption-v0`, as the training loop wants it."""

    def __init__(self, config: CaptionConfig, accelerator: Accelerator) -> None:
        """Make the environment as well.

        Raises:
            ValueError: if the batch cannot be shared out evenly.
        """
        super().__init__(config, accelerator)
        self.copies = config.copies
        captions = 1 if config.reward != "likelihood" else self.source.references
        self.examples_per_update = config.batch_size * captions * self.copies
        rows = (self.mine.stop - self.mine.start) * captions * self.copies
        self.environment = CaptionVectorEnv(
            rows, source=self.source, reward=config.reward, output="torch", device=str(self.device), autoreset_mode="Disabled"
        )
        self.module = _Loss(self.captioner, config, self.source.longest).to(self.device)
        self.chance = torch.Generator(self.device).manual_seed(config.seed + 1 + 1000 * accelerator.process_index)

    def loss(self, module: nn.Module) -> tuple[Tensor, dict[str, Tensor]]:
        """Write the next batch of captions."""
        result: tuple[Tensor, dict[str, Tensor]] = module(self.environment, *self._next_batch())
        return result

    def parts(self) -> dict[str, Tensor]:
        """Write the next batch of captions, and give the parts of the loss one by one; see `losses`."""
        assert isinstance(self.module, _Loss)
        return self.module.parts(self.environment, *self._next_batch())[0]

    def _next_batch(self) -> tuple[dict[str, Any], Chance]:
        """Choose the next episodes: options of the environment's reset, and what is drawn."""
        free = self.config.reward != "likelihood"
        index = self.next_pictures()
        references = 1 if free else self.source.references
        captions = self.source.captions(index, torch.device("cpu"))  # (P, R, T)
        options = {
            "index": np.tile(index.numpy().repeat(references), self.copies),
            "caption": np.tile(np.arange(references), len(index) * self.copies),
            "copies": self.copies,
        }
        steps = self.source.longest if free else int((captions != PAD).sum(-1).max())
        return options, self._draw(steps, len(index) * references, free)

    def _draw(self, steps: int, count: int, free: bool) -> Chance:
        """Draw the chance of a batch; greedy episodes are without."""
        rows = count * self.config.samples
        places = gumbel_noise((steps, rows, self.source.shape[0]), self.chance, self.device)
        words = gumbel_noise((steps, rows, len(self.source.vocabulary)), self.chance, self.device) if free else None
        everywhere = torch.rand(rows, generator=self.chance, device=self.device) < (0.0 if free else self.config.expected)
        if self.copies > self.config.samples:
            places = torch.cat((places, torch.zeros_like(places[:, :count])), 1)
            words = None if words is None else torch.cat((words, torch.zeros_like(words[:, :count])), 1)
            everywhere = torch.cat((everywhere, torch.zeros_like(everywhere[:count])))
        return Chance(places, words, everywhere)

    def released(self, module: nn.Module) -> Captioner:
        """The captioner, without the losses around it."""
        assert isinstance(module, _Loss)
        return module.captioner

    def state_dict(self) -> dict[str, Any]:
        """Take down the place in the data and the random stream."""
        return {**super().state_dict(), "chance": self.chance.get_state()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take them up again."""
        super().load_state_dict(state)
        self.chance.set_state(state["chance"].cpu())

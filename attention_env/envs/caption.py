"""`attention_env/Caption-v0`: say what is in a picture, word by word, looking at one place of it for each word.

The batched environment is the truth; the single one is that with one row.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, lru_cache
from typing import Any, NamedTuple

import gymnasium as gym
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from attention_core.splits import open_split
from attention_env.actions import ActionError, Reader
from attention_env.caption_scenes import SceneSource
from attention_env.captions import END, PAD, START, CaptionSource, PicturedSource
from attention_env.envs.batched import BatchedVectorEnv, SingleEnv, repeat_batch
from attention_env.options import CaptionOptions
from attention_env.rendering import draw_sentence
from attention_env.sentence_rewards import Bleu, Cider, CiderBleu, SentenceReward
from attention_env.sources import SourceError

SOURCES: dict[str, Callable[[str], CaptionSource]] = {"scenes": SceneSource}
# Of a source with many more pictures, CIDEr learns how rare words are from about so many of them, evenly spaced: from all of fewer
# than twice as many.
CIDER_PICTURES = 5_000


class Said(NamedTuple):
    """What a batch of actions asks for.

    Attributes:
        place: (n,) int64 in [0, L), where to look.
        scores: (n, V) float32, of all words; finite; None where a word is said.
        word: (n,) int64 in [0, V), the word said; None where scores are given.
        valid: () bool tensor, false if a device action was outside the space; None for NumPy actions, which are checked at once.
    """

    place: Tensor
    scores: Tensor | None
    word: Tensor | None
    valid: Tensor | None


class CaptionVectorEnv(BatchedVectorEnv[Said]):
    """Many caption environments in one, all computed at once as tensors.

    Takes `num_envs` and the settings of `attention_env.options.CaptionOptions`. What an episode is, the spaces and the rewards are
    described in `CaptionEnv`; here every array has a leading axis of `num_envs`.

    `reset(options=...)` understands:
        "index": (n,) whole numbers, which pictures to show (otherwise they are drawn uniformly, with repetition);
        "caption": (n,) whole numbers in [0, R), which of a picture's references is the teacher (otherwise drawn uniformly);
        "reset_mask": (n,) bool, which rows to reset; "index" and "caption" still have n rows, of which those are used;
        "copies": m, a divisor of n: row i shows what row i modulo n/m shows, with the same teacher (of "index" and "caption" the
            first n/m count); not together with "reset_mask".

    Information: at the end of an episode `infos` holds "is_success" and, where words are said, "sentence" (n, `longest`), the words
    and `PAD` after them, with Gymnasium's masks; under `autoreset_mode="SameStep"` they are in "final_info", beside "final_obs".

    Under `autoreset_mode="Disabled"` rows that have ended rest while others still play: their action is ignored, whatever its
    values, their reward is 0, `terminated` stays true, their observation stays as it is, and no information comes again. Once all
    rows have ended, a step raises `ResetNeeded`.

    With `output="torch"` observations, rewards, flags and infos are tensors on `device`, actions are expected as such, rewards
    carry no gradient, and an invalid action is reported by the step that ends the episode. "annotations" is the same tensor from
    a row's reset to its next, not to be written to. Under "Disabled" autoreset with the likelihood as reward no step waits for the
    device: infos come with every step, their masks telling for which rows; an invalid action is reported by the step number
    `longest` or an earlier reset of all rows; and only the step after that one raises `ResetNeeded`. (The longest caption of the
    rows, after which nothing happens any more, is known beforehand: ask `captions()`.) Autoreset, and scores of sentences, must
    ask the device which have ended.

    Seeds: one generator for the whole batch, so the same seed, `num_envs` and actions give the same episodes.
    """

    options = CaptionOptions
    own_option = "caption"
    settings: CaptionOptions

    def __init__(self, num_envs: int = 1, **settings: Any) -> None:
        """Make the spaces; nothing is drawn or read before the first `reset`."""
        super().__init__(num_envs, **settings)
        self.source = load_source(self.settings.source, self.settings.split)
        if self.render_mode is not None and not isinstance(self.source, PicturedSource):
            raise ValueError(f"{self.source.name} has no pictures to draw: leave render_mode out, or use a source with pictures")
        self.longest = self.settings.longest or self.source.longest
        self._teaches = self.settings.reward == "likelihood"
        if self._teaches:
            self.longest = min(self.longest, self.source.longest)

        (places, width), words, (low, high) = self.source.shape, len(self.source.vocabulary), self.source.bounds
        observation = gym.spaces.Dict(
            glimpse=gym.spaces.Box(low, high, (width,), np.float32),
            word=gym.spaces.Discrete(words),
        )
        if not self.settings.blind:
            observation["annotations"] = gym.spaces.Box(low, high, (places, width), np.float32)
        action = gym.spaces.Dict(place=gym.spaces.Discrete(places))
        if self._teaches:
            action["scores"] = gym.spaces.Box(-np.inf, np.inf, (words,), np.float32)
        else:
            action["word"] = gym.spaces.Discrete(words)
        self._lay_out(action, observation, self.source, self.longest)

    def render(self) -> tuple[NDArray[np.uint8], ...] | None:
        """Draw every row: the picture, the place looked at, and the sentence so far."""
        if self.render_mode is None or not self._begun:
            return None
        assert isinstance(self.source, PicturedSource)
        pictures = self.source.pictures(self._index, self.device).cpu().numpy()
        places = self._place.tolist()
        return tuple(
            draw_sentence(picture, self.source.grid, place if words else None, self.source.vocabulary.decode(words))
            for picture, place, words in zip(pictures, places, self._words_so_far(), strict=True)
        )

    # For learners ---------------------------------------------------------------------------------------------------

    def captions(self) -> Tensor:
        """Return the captions that the rows are taught: (n, T) int64, no longer than `longest`, with `PAD` after `END`.

        Raises:
            gymnasium.error.ResetNeeded: before the first `reset`.
        """
        self._need_reset_before("captions")
        return self._teacher.clone()

    def annotations(self) -> Tensor:
        """Return the rows' annotation vectors, (n, L, D) float32, not to be written to; a blind agent must not ask.

        Raises:
            gymnasium.error.ResetNeeded: before the first `reset`.
        """
        self._need_reset_before("annotations")
        return self._annotations

    def index(self) -> Tensor:
        """Return which pictures of the source the rows show, (n,) int64.

        Raises:
            gymnasium.error.ResetNeeded: before the first `reset`.
        """
        self._need_reset_before("index")
        return self._index.clone()

    # Episodes -------------------------------------------------------------------------------------------------------

    def _start_all(self, index: Tensor | None, caption: Tensor | None, copies: int = 1) -> None:
        super()._start_all(index, caption, copies)
        if not self._teaches:
            self._unasked = None  # the device is asked at each step which sentences have ended: those are scored
        drawn = self._draw(self.num_envs // copies, index, caption)
        self._index, self._annotations, self._teacher = (repeat_batch(part, copies) for part in drawn)
        self._lengths = (self._teacher != PAD).sum(dim=-1)
        self._place = self._full(0, torch.int64)
        self._glimpse = self._annotations.mean(dim=1)
        self._word = self._full(START, torch.int64)
        self._sentence = torch.full((self.num_envs, self.longest), PAD, device=self.device)
        self._right = self._full(True, torch.bool)

    def _start_rows(self, rows: Tensor, index: Tensor | None, caption: Tensor | None) -> None:
        super()._start_rows(rows, index, caption)
        chosen, annotations, self._teacher[rows] = self._draw(len(rows), index, caption)
        self._index[rows] = chosen
        # Tensors of their own: what earlier observations show must not change.
        self._annotations = self._annotations.index_copy(0, rows, annotations)
        self._glimpse = self._glimpse.index_copy(0, rows, annotations.mean(dim=1))
        self._word = self._word.index_fill(0, rows, START)
        self._lengths = (self._teacher != PAD).sum(dim=-1)
        self._sentence[rows] = PAD
        self._right = self._right.index_fill(0, rows, True)

    def _draw(self, count: int, index: Tensor | None, caption: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
        """Choose pictures and teachers where they are not given: numbers (m,), annotation vectors and captions (m, T)."""
        index = self._whole_numbers(len(self.source), (count,)) if index is None else index[:count]
        caption = self._whole_numbers(self.source.references, (count,)) if caption is None else caption[:count]
        captions = self.source.captions(index, self.device)[torch.arange(count, device=self.device), caption]
        return index, self.source.annotations(index, self.device), captions[:, : self.longest]

    def _decode(self, actions: Any, resting: Tensor | None) -> Said:
        said = "scores" if self._teaches else "word"
        try:
            place, words = actions["place"], actions[said]
        except (TypeError, KeyError, IndexError):
            keys = sorted(actions) if isinstance(actions, dict) else type(actions).__name__
            raise ActionError(f"an action is a dict with 'place' and {said!r}, got {keys}") from None
        reader, count = Reader(self.num_envs, resting), len(self.source.vocabulary)
        # Clamped, since an invalid number on the device is reported later than it is used.
        place = reader.choices("place", place, self.source.shape[0]).clamp(0, self.source.shape[0] - 1)
        if not self._teaches:
            return Said(place, None, reader.choices("word", words, count).clamp(0, count - 1), reader.valid)
        return Said(
            place, reader.numbers("score", words.detach() if isinstance(words, Tensor) else words, count), None, reader.valid
        )

    def _ends(self, said: Said) -> bool | Tensor:
        if said.word is None:
            return self._turn >= self._lengths
        return (said.word == END) | (self._turn >= self.longest)

    def _act(self, said: Said, ended: bool | Tensor, resting: Tensor | None) -> float | Tensor:
        assert isinstance(self._turn, Tensor)
        turn = (self._turn - 1)[:, None]
        word = self._teacher.gather(1, turn)[:, 0] if said.word is None else said.word
        place, glimpse = said.place, self._annotations[self._rows, said.place]
        if resting is not None:
            word, place = torch.where(resting, self._word, word), torch.where(resting, self._place, place)
            glimpse = torch.where(resting[:, None], self._glimpse, glimpse)
        self._word, self._place, self._glimpse = word, place, glimpse
        self._sentence.scatter_(1, turn, word[:, None])
        if said.scores is None:
            assert isinstance(ended, Tensor)
            return self._scores_of_sentences(ended if resting is None else ended & ~resting)
        self._right = self._right & (said.scores.argmax(dim=-1) == word)
        return said.scores.log_softmax(dim=-1).gather(1, word[:, None])[:, 0]

    def _scores_of_sentences(self, ended: Tensor) -> float | Tensor:
        """Score the sentences that have just ended (n,), `END` among their words: (n,) float64, 0 where none has."""
        rows = ended.nonzero()[:, 0]
        if not len(rows):
            return 0.0
        words = self._words_so_far()
        sentences = [words[row] for row in rows.tolist()]
        captions: list[list[list[int]]] = self.source.captions(self._index[rows], torch.device("cpu")).tolist()
        references = [[caption[: caption.index(END) + 1] for caption in own] for own in captions]
        scores = torch.from_numpy(self._scorer().score(sentences, references)).to(self.device)
        right = torch.tensor([sentence in own for sentence, own in zip(sentences, references, strict=True)], device=self.device)
        self._right = self._right.index_copy(0, rows, right)
        return torch.zeros(self.num_envs, dtype=torch.float64, device=self.device).index_copy_(0, rows, scores)

    def _scorer(self) -> SentenceReward:
        if self.settings.reward == "bleu":
            return Bleu()
        own = isinstance(self.settings.source, CaptionSource)
        cider = _cider(self.source if own else load_source(self.settings.source, "train"))
        return cider if self.settings.reward == "cider" else CiderBleu(cider)

    def _words_so_far(self) -> list[list[int]]:
        """Give the words of every row's sentence up to now."""
        assert isinstance(self._turn, Tensor)
        return [words[:turn] for words, turn in zip(self._sentence.tolist(), self._turn.tolist(), strict=True)]

    # What the agent is shown, and told ------------------------------------------------------------------------------

    def _observation(self) -> dict[str, Tensor]:
        observation = {"glimpse": self._glimpse.clone(), "word": self._word.clone()}
        if not self.settings.blind:
            # The largest part by far, and always the same: tensors are shared, arrays may be written to.
            shared = self.settings.output == "torch"
            observation["annotations"] = self._annotations if shared else self._annotations.clone()
        return observation

    def _tell(self, said: Said) -> dict[str, Tensor]:
        told = {"is_success": self._right}
        return told if self._teaches else {**told, "sentence": self._sentence}

    def _read_own(self, options: dict[str, Any]) -> Tensor | None:
        caption, references = self._option(options, "caption", (), "whole numbers", "iu"), self.source.references
        if caption is not None and not bool(((caption >= 0) & (caption < references)).all()):
            raise ValueError(f"caption must be in 0 … {references - 1}, the references of a picture of {self.source.name}")
        return caption


def load_source(source: str | CaptionSource, split: str = "train") -> CaptionSource:
    """Find a source of captioned pictures.

    Args:
        source: a built-in name (`SOURCES`), or a source of one's own, which is used as it is, whatever the split.
        split: "train", "validation" or "test".

    Returns:
        The source; the same object for the same name and split within a process.

    Raises:
        SourceError: for an unknown name or split, or something that is no source.
        attention_core.splits.SplitError: if test data are asked for while something learns.
    """
    if isinstance(source, CaptionSource):
        return source
    if source not in SOURCES:
        raise SourceError(f"unknown caption source {source!r}: choose one of {', '.join(SOURCES)}, or give a CaptionSource")
    open_split(split)
    return _load_named(source, split)


@cache
def _load_named(source: str, split: str) -> CaptionSource:
    return SOURCES[source](split)


@lru_cache(maxsize=4)
def _cider(source: CaptionSource) -> Cider:
    index = torch.arange(0, len(source), max(1, len(source) // CIDER_PICTURES))
    captions: list[list[list[int]]] = source.captions(index, torch.device("cpu")).tolist()
    return Cider([[caption[: caption.index(END) + 1] for caption in references] for references in captions])


class CaptionEnv(SingleEnv):
    """Say what is in a picture, word by word, looking at one place of it for each word.

    ## Description
    Show, Attend and Tell (Xu et al. 2015, arXiv 1502.03044) as an environment. A picture is known as annotation vectors, one of D
    numbers for each of L places. With each action the agent chooses the place to look at and the next word of a caption: the hard
    attention of the paper, whose learning rule is REINFORCE with the log-likelihood of the reference's words as reward.

    The built-in source "scenes" draws two coloured shapes in a grid of 4×4 cells, and says of them sentences such as "a red circle
    above a blue square" or "a yellow cross left of a green diamond" (`attention_env.caption_scenes`): L = 16 cells, D = 528
    numbers (12×12 pixels in three colours, and the cell's place), V = 19 words, of which 4 are special (padding, start, end,
    unknown).

    ## Action space
    `Dict(place=Discrete(16), scores=Box(-inf, inf, (19,)))` for the scenes, `Dict(place=Discrete(L), scores=Box(-inf, inf, (V,)))`
    in general: where to look, and a score for each word, of whose softmax the words' probabilities are made. With `reward="cider"`
    (or "bleu", or "cider_bleu") it is `Dict(place=Discrete(L), word=Discrete(V))`: where to look, and the next word itself.

    ## Observation space
    `Dict(annotations=Box(0, 1, (16, 528)), glimpse=Box(0, 1, (528,)), word=Discrete(19))`, float32, for the scenes: all
    annotation vectors (L, D), always the same in an episode; the one that the action before looked at, at first their mean; and
    the word before, at first the special word that starts a sentence. With `blind=True` there are no "annotations": the agent
    looks at a place without having seen what is there. For a source without bounds of its own they are infinite.

    ## Rewards
    `reward="likelihood"`: at every step the logarithm of the probability that the scores give to the reference's word, whatever
    the agent would have said; the next observation's word is the reference's (teacher forcing). The sum is the log-likelihood of
    the caption. `reward="cider"`, "bleu" or "cider_bleu": 0 until the sentence ends, then its score against all references of
    the picture, in [0, 10], [0, 1] or [0, 14] (`attention_env.sentence_rewards`); the next observation's word is the agent's
    own. The word that ends a sentence counts among its words, so that breaking off costs. CIDEr knows from the training split
    how rare words are (in a source of one's own, from that source).

    ## Starting state
    A picture drawn uniformly from the split, and one of its references, drawn uniformly, as the teacher.
    `reset(options={"index": i})` shows picture i, `{"caption": j}` takes its reference j.

    ## Episode end
    Teacher-forced after the reference's end has been scored (word number eight or nine in the scenes); else when the agent says
    the word that ends a sentence; and after `longest` words in any case. The end is a termination, never a truncation. `info` holds
    `is_success` then: whether every word of the reference was the likeliest, or whether the sentence equals a reference; and,
    where words are said, `sentence`, their numbers, padded to `longest`.

    ## Arguments
    Every setting of `attention_env.options.CaptionOptions`. A single environment gives NumPy arrays on the CPU.
    `render_mode="rgb_array"` draws the picture, the place looked at, and the sentence so far, for sources that have pictures.
    """

    vector_class = CaptionVectorEnv
    batch: CaptionVectorEnv

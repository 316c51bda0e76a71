"""The caption environment: Gymnasium's rules, what an episode is, autoreset contracts, tensors."""

from __future__ import annotations

import pickle
import warnings
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium.envs.registration import EnvSpec
from gymnasium.utils.env_checker import check_env
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from numpy.typing import NDArray
from playing import play
from torch import Tensor

from attention_env.actions import ActionError
from attention_env.batch import make_batch
from attention_env.captions import END, PAD, SPECIAL, START, CaptionedPictures, Vocabulary
from attention_env.envs.caption import CaptionEnv, CaptionVectorEnv, load_source
from attention_env.rendering import draw_sentence
from attention_env.sentence_rewards import Bleu, Cider, CiderBleu
from attention_env.sources import SourceError

ID = "attention_env/Caption-v0"
REWARDS = ("likelihood", "cider", "bleu", "cider_bleu")
SETTINGS: list[dict[str, Any]] = [
    {},
    {"blind": True, "split": "test"},
    {"longest": 3},
    {"reward": "cider"},
    {"reward": "bleu", "blind": True},
    {"reward": "bleu", "longest": 4, "split": "validation"},
]
A, DOG, CAT, RUNS, SITS = 4, 5, 6, 7, 8
CAPTIONS = np.array(
    [
        [[A, DOG, RUNS, END], [DOG, END, PAD, PAD]],
        [[A, CAT, SITS, END], [CAT, SITS, END, PAD]],
        [[RUNS, END, PAD, PAD], [DOG, RUNS, END, PAD]],
    ]
)
WORDS = 9
PLACES, WIDTH = 4, 3
ROWS = 4


@pytest.fixture
def source() -> CaptionedPictures:
    """Three pictures of four places, described twice each."""
    annotations = np.random.default_rng(0).random((3, PLACES, WIDTH), np.float32)
    return CaptionedPictures("animals", Vocabulary((*SPECIAL, "a", "dog", "cat", "runs", "sits")), annotations, CAPTIONS)


@pytest.fixture
def one_picture(source: CaptionedPictures) -> CaptionedPictures:
    """One picture with one caption: whatever the draws, every episode is about it."""
    annotations = source.annotations(torch.tensor([0]), torch.device("cpu")).numpy()
    return CaptionedPictures("one", source.vocabulary, annotations, CAPTIONS[:1, :1])


def actions_for(env: CaptionVectorEnv, generator: np.random.Generator) -> dict[str, NDArray[Any]]:
    """Draw an action for each row, sentences of a few words."""
    rows, (places, _), words = env.num_envs, env.source.shape, len(env.source.vocabulary)
    place = generator.integers(places, size=rows)
    if env.settings.reward == "likelihood":
        return {"place": place, "scores": generator.standard_normal((rows, words)).astype(np.float32)}
    return {"place": place, "word": np.where(generator.random(rows) < 0.3, END, generator.integers(words, size=rows))}


def in_lists(value: Any) -> Any:
    """Make lists of arrays of objects, to any depth, for NumPy to compare."""
    if isinstance(value, np.ndarray) and value.dtype == object:
        value = list(value)
    if isinstance(value, dict):
        return {key: in_lists(part) for key, part in value.items()}
    return [in_lists(part) for part in value] if isinstance(value, (list, tuple)) else value


def to_numpy(value: Any) -> Any:
    if isinstance(value, Tensor):
        return value.numpy().copy()
    if isinstance(value, dict):
        return {key: to_numpy(part) for key, part in value.items()}
    return tuple(to_numpy(part) for part in value) if isinstance(value, tuple) else value


def to_torch(actions: dict[str, Any]) -> dict[str, Tensor]:
    return {key: torch.tensor(value) for key, value in actions.items()}


# Gymnasium's rules --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("render_mode", [None, "rgb_array"])
@pytest.mark.parametrize("settings", SETTINGS)
def test_the_environment_checker_finds_nothing_but_that_scores_are_unbounded(
    settings: dict[str, Any], render_mode: str | None
) -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        check_env(gym.make(ID, render_mode=render_mode, **settings).unwrapped)
    said = {str(warning.message) for warning in caught}
    if "reward" in settings:
        assert said == set()
    else:
        assert len(said) == 3
        assert all("Box action space" in message for message in said)


@pytest.mark.parametrize("settings", SETTINGS)
def test_specs_survive_json(settings: dict[str, Any]) -> None:
    env = gym.make(ID, **settings)
    assert isinstance(env.unwrapped, CaptionEnv)
    assert env.spec is not None
    assert env.spec.reward_threshold is None
    again = gym.make(EnvSpec.from_json(env.spec.to_json()))
    assert (again.action_space, again.observation_space) == (env.action_space, env.observation_space)
    np.testing.assert_equal(again.reset(seed=3), env.reset(seed=3))
    batch = gym.make_vec(ID, num_envs=2, **settings)
    assert isinstance(batch, CaptionVectorEnv)
    assert (batch.single_action_space, batch.single_observation_space) == (env.action_space, env.observation_space)
    assert batch.spec is not None
    np.testing.assert_equal(gym.make_vec(EnvSpec.from_json(batch.spec.to_json())).reset(seed=3), batch.reset(seed=3))


def test_the_spaces_are_those_of_the_manual() -> None:
    manual, box = CaptionEnv.__doc__ or "", gym.spaces.Box
    env = gym.make(ID)
    observation = gym.spaces.Dict(annotations=box(0, 1, (16, 528)), glimpse=box(0, 1, (528,)), word=gym.spaces.Discrete(19))
    assert env.observation_space == observation
    assert "Dict(annotations=Box(0, 1, (16, 528)), glimpse=Box(0, 1, (528,)), word=Discrete(19))" in manual
    assert env.action_space == gym.spaces.Dict(place=gym.spaces.Discrete(16), scores=box(-np.inf, np.inf, (19,)))
    assert "Dict(place=Discrete(16), scores=Box(-inf, inf, (19,)))" in manual
    free = gym.make(ID, reward="bleu", blind=True)
    assert free.action_space == gym.spaces.Dict(place=gym.spaces.Discrete(16), word=gym.spaces.Discrete(19))
    assert set(free.observation_space.spaces) == {"glimpse", "word"}


@pytest.mark.parametrize("settings", SETTINGS)
def test_the_same_seed_and_actions_give_the_same_episodes(settings: dict[str, Any]) -> None:
    first, second = gym.make(ID, **settings), gym.make(ID, **settings)
    episodes = play(first, 5)
    np.testing.assert_equal(play(second, 5), episodes)
    np.testing.assert_equal(play(first, 5), episodes)
    np.testing.assert_equal(play(pickle.loads(pickle.dumps(first)), 5), episodes)
    with pytest.raises(AssertionError):
        np.testing.assert_equal(play(first, 6), episodes)


@pytest.mark.parametrize("settings", SETTINGS)
def test_a_constructor_runs_no_torch_operation(settings: dict[str, Any], operations: Any) -> None:
    with operations:
        gym.make(ID, **settings)
        gym.make_vec(ID, num_envs=3, render_mode="rgb_array", **settings)
        assert operations.names == []
        torch.zeros(1)
    assert len(operations.names) == 1


@pytest.mark.parametrize("context", ["fork", "forkserver"])
def test_worker_processes_play_like_this_one(context: str) -> None:
    settings: dict[str, Any] = {"num_envs": 2, "reward": "bleu", "longest": 3}
    workers = gym.make_vec(ID, vectorization_mode="async", vector_kwargs={"context": context}, **settings)
    here = gym.make_vec(ID, vectorization_mode="sync", **settings)
    try:
        np.testing.assert_equal(workers.reset(seed=1), here.reset(seed=1))
        here.action_space.seed(0)
        for _ in range(4):
            actions = here.action_space.sample()
            np.testing.assert_equal(workers.step(actions), here.step(actions))
    finally:
        workers.close()


# An episode with a teacher ------------------------------------------------------------------------------------------------


def test_a_teacher_forced_episode_is_what_the_manual_says(source: CaptionedPictures) -> None:
    env = CaptionEnv(source=source)
    index = torch.tensor([1])
    annotations = source.annotations(index, torch.device("cpu"))[0].numpy()
    observation, info = env.reset(options={"index": 1, "caption": 0})
    assert info == {}
    np.testing.assert_allclose(observation["glimpse"], annotations.mean(axis=0), rtol=1e-6)
    assert observation["word"] == START
    generator = np.random.default_rng(0)
    for turn, word in enumerate((A, CAT, SITS, END)):
        np.testing.assert_array_equal(observation["annotations"], annotations)
        place, scores = turn, generator.standard_normal(WORDS).astype(np.float32)
        observation, reward, terminated, truncated, info = env.step({"place": place, "scores": scores})
        likelihood = np.exp(scores.astype(float)) / np.exp(scores.astype(float)).sum()
        assert reward == pytest.approx(np.log(likelihood[word]), rel=1e-5)
        np.testing.assert_array_equal(observation["glimpse"], annotations[place])
        assert observation["word"] == word
        assert (terminated, truncated) == (word == END, False)
    assert info == {"is_success": False}
    with pytest.raises(gym.error.ResetNeeded):
        env.step({"place": 0, "scores": scores})


@pytest.mark.parametrize("wrong", [None, 0, 2, 3])
def test_success_is_that_every_word_of_the_reference_was_the_likeliest(wrong: int | None, source: CaptionedPictures) -> None:
    env = CaptionEnv(source=source)
    env.reset(options={"index": 0, "caption": 0})
    for turn, word in enumerate(CAPTIONS[0, 0]):
        scores = np.eye(WORDS, dtype=np.float32)[CAT if turn == wrong else word]
        *_, info = env.step({"place": 0, "scores": scores})
    assert info == {"is_success": wrong is None}


def test_a_reference_that_is_too_long_is_scored_up_to_there(source: CaptionedPictures) -> None:
    env = CaptionVectorEnv(2, source=source, longest=2, autoreset_mode="Disabled")
    env.reset(options={"index": np.array([0, 2]), "caption": np.array([0, 0])})
    assert env.captions().tolist() == [[A, DOG], [RUNS, END]]
    actions: dict[str, Any] = {"place": [0, 0], "scores": np.zeros((2, WORDS), np.float32)}
    assert not env.step(actions)[2].any()
    observations, rewards, terminated, _, infos = env.step(actions)
    assert terminated.all()
    np.testing.assert_allclose(rewards, -np.log(WORDS), rtol=1e-6)
    assert observations["word"].tolist() == [DOG, END]
    assert infos["_is_success"].all()
    assert CaptionVectorEnv(2, source=source, longest=99).longest == source.longest


# An episode without ---------------------------------------------------------------------------------------------------------


def say(env: CaptionEnv, words: list[int]) -> tuple[float, dict[str, Any]]:
    """Say words to the end of the episode; until then there is no reward and no information."""
    for number, word in enumerate(words, 1):
        observation, reward, terminated, truncated, info = env.step({"place": 0, "word": word})
        assert observation["word"] == word
        assert (terminated, truncated) == (number == len(words), False)
        if not terminated:
            assert (reward, info) == (0.0, {})
    return reward, info


@pytest.mark.parametrize("reward", ["cider", "bleu", "cider_bleu"])
@pytest.mark.parametrize("words", [[A, CAT, SITS, END], [CAT, END], [END], [CAT, SITS, A, DOG, A], [CAT, SITS, END]])
def test_a_sentence_is_scored_at_its_end_against_all_references(reward: str, words: list[int], source: CaptionedPictures) -> None:
    env = CaptionEnv(source=source, reward=reward, longest=5)
    env.reset(options={"index": 1})
    references = [[[word for word in caption if word != PAD] for caption in own] for own in CAPTIONS.tolist()]
    cider = Cider(references)
    scorer = {"cider": cider, "bleu": Bleu(), "cider_bleu": CiderBleu(cider)}[reward]
    score, info = say(env, words)
    assert score == scorer.score([words], [references[1]])[0]
    assert info["sentence"].tolist() == words + [PAD] * (5 - len(words))
    assert info["is_success"] is (words in references[1])


def test_breaking_off_costs(source: CaptionedPictures, one_picture: CaptionedPictures) -> None:
    for reward, pictures in (("cider", source), ("bleu", one_picture)):
        scores = []
        for words in ([A, DOG, RUNS, END], [A, DOG, RUNS]):
            env = CaptionEnv(source=pictures, reward=reward, longest=len(words))
            env.reset(options={"index": 0})
            score, info = say(env, words)
            assert info["is_success"] is (END in words)
            scores.append(score)
        assert 0 < scores[1] < 0.8 * scores[0]


def test_cider_knows_from_the_training_split_how_rare_words_are() -> None:
    env = CaptionEnv(split="test", reward="cider")
    env.reset(options={"index": 7})
    train, test = load_source("scenes", "train"), load_source("scenes", "test")
    words = test.captions(torch.tensor([7]), torch.device("cpu"))[0, 0]
    score, info = say(env, [word for word in words.tolist() if word != PAD])
    assert info["is_success"]
    every = train.captions(torch.arange(0, len(train), len(train) // 20_000), torch.device("cpu")).tolist()
    references = test.captions(torch.tensor([7]), torch.device("cpu")).tolist()
    without = [[[word for word in caption if word != PAD] for caption in own] for own in (*every, *references)]
    assert score == pytest.approx(Cider(without[:-1]).score([without[-1][0]], without[-1:])[0], rel=0.02)


# Resets ---------------------------------------------------------------------------------------------------------------------


def test_a_teacher_is_drawn_where_none_is_asked_for(source: CaptionedPictures) -> None:
    env = CaptionVectorEnv(64, source=source)
    env.reset(seed=0)
    index, captions = env.index(), env.captions()
    kinds = {(row, tuple(caption)) for row, caption in zip(index.tolist(), captions.tolist(), strict=True)}
    assert kinds == {(row, tuple(caption)) for row in range(3) for caption in CAPTIONS[row].tolist()}
    np.testing.assert_array_equal(env.annotations(), source.annotations(index, torch.device("cpu")))


def test_copies_show_the_same_with_the_same_teacher(source: CaptionedPictures) -> None:
    env = CaptionVectorEnv(12, source=source)
    env.reset(seed=1, options={"copies": 3})
    for rows in (env.index(), env.captions(), env.annotations()):
        assert torch.equal(rows, rows[:4].repeat(3, *[1] * (rows.dim() - 1)))
    assert len(env.index().unique()) > 1
    env.reset(options={"copies": 6, "index": np.arange(12) % 3, "caption": np.arange(12) % 2})
    assert env.index().tolist() == [0, 1] * 6
    assert env.captions().tolist() == [CAPTIONS[0, 0].tolist(), CAPTIONS[1, 1].tolist()] * 6


def test_some_rows_are_reset_and_the_others_go_on(source: CaptionedPictures) -> None:
    env = CaptionVectorEnv(3, source=source, output="torch", autoreset_mode="Disabled")
    first, _ = env.reset(options={"index": np.array([0, 1, 2]), "caption": np.zeros(3, int)})
    before, before_it = {key: value.clone() for key, value in first.items()}, env.captions()
    action = {"place": torch.tensor([1, 2, 3]), "scores": torch.zeros(3, WORDS)}
    observations, *_ = env.step(action)
    options = {"reset_mask": np.array([False, True, False]), "index": np.array([9, 2, 9]) % 3, "caption": np.array([0, 1, 0])}
    again, _ = env.reset(options=options)
    for key in again:
        assert torch.equal(first[key], before[key])  # what was shown before does not change
        assert torch.equal(again[key][[0, 2]], observations[key][[0, 2]])
    assert torch.equal(again["annotations"][1], first["annotations"][2])
    assert torch.equal(again["glimpse"][1], first["annotations"][2].mean(dim=0))
    assert again["word"].tolist() == [A, START, RUNS]
    assert env.index().tolist() == [0, 2, 2]
    assert env.captions().tolist() == [CAPTIONS[0, 0].tolist(), CAPTIONS[2, 1].tolist(), CAPTIONS[2, 0].tolist()]
    assert before_it[1].tolist() == CAPTIONS[1, 0].tolist()
    ends = [env.step(action)[2].tolist() for _ in range(3)]
    assert ends == [[False, False, True], [False, False, True], [True, True, True]]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"location": np.array([0, 1])}, "unknown reset option location: choose from index, caption, reset_mask, copies"),
        ({"index": np.array([0, 3])}, "index must be in 0 … 2, the pictures of animals"),
        ({"caption": np.array([0, 2])}, "caption must be in 0 … 1, the references of a picture of animals"),
        ({"caption": np.array([0, -1])}, "caption must be in 0 … 1"),
        ({"caption": np.array([0])}, r"reset option 'caption' must be of shape \(2,\), got \(1,\)"),
        ({"caption": np.array([0.0, 1.0])}, "reset option 'caption' must be whole numbers, got float64"),
        ({"copies": 3}, "copies must divide the 2 rows"),
    ],
)
def test_wrong_reset_options_are_refused(options: dict[str, Any], message: str, source: CaptionedPictures) -> None:
    with pytest.raises(ValueError, match=message):
        CaptionVectorEnv(2, source=source).reset(options=options)


def test_a_random_state_continues_the_same_pictures() -> None:
    env, other = CaptionVectorEnv(6), CaptionVectorEnv(6)
    env.reset(seed=0)
    state = env.random_state()
    later = [env.reset() for _ in range(3)]
    other.set_random_state(state)
    np.testing.assert_equal([other.reset() for _ in range(3)], later)


@pytest.mark.parametrize("method", ["captions", "annotations", "index"])
def test_before_a_reset_there_is_nothing_to_ask_for(method: str) -> None:
    env = CaptionVectorEnv(2)
    with pytest.raises(gym.error.ResetNeeded, match=f"before {method}"):
        getattr(env, method)()
    with pytest.raises(gym.error.ResetNeeded, match="before step"):
        env.step({})
    assert CaptionVectorEnv(2, render_mode="rgb_array").render() is None


# Settings and actions ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "kind", "message"),
    [
        ({"source": "coco"}, SourceError, "unknown caption source 'coco': choose one of scenes, or give a CaptionSource"),
        ({"split": "dev"}, ValueError, "unknown split 'dev'"),
        ({"reward": "meteor"}, ValueError, "reward='meteor' is unknown: choose one of 'likelihood', 'cider', 'bleu', 'cider_bleu'"),
        ({"blind": 1}, ValueError, "blind must be True or False, got 1"),
        ({"longest": 0}, ValueError, "longest must be a whole number of at least 1, got 0"),
        ({"glimpses": 3}, TypeError, "unknown setting glimpses: a caption environment takes source, split, reward, blind, longest"),
        ({"render_mode": "ansi"}, ValueError, "render_mode='ansi' is unknown"),
    ],
)
def test_wrong_settings_are_refused(settings: dict[str, Any], kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match=message):
        CaptionEnv(**settings)
    with pytest.raises(kind, match=message):
        gym.make_vec(ID, num_envs=2, **settings)


def test_where_a_glimpse_environment_is_wanted_it_is_refused() -> None:
    with pytest.raises(ValueError, match="is not a glimpse environment"):
        make_batch(ID, 2)


SCORES = np.zeros((2, WORDS), np.float32)


@pytest.mark.parametrize(
    ("reward", "action", "message"),
    [
        ("likelihood", {"place": [0, 0], "word": [0, 0]}, r"a dict with 'place' and 'scores', got \['place', 'word'\]"),
        ("bleu", {"place": [0, 0], "scores": SCORES}, r"a dict with 'place' and 'word', got \['place', 'scores'\]"),
        ("bleu", np.zeros(2), "a dict with 'place' and 'word', got ndarray"),
        ("likelihood", {"place": [0, PLACES], "scores": SCORES}, "place 4 is outside the space: it must be in 0 … 3"),
        ("bleu", {"place": [0, 0], "word": [WORDS, 0]}, "word 9 is outside the space"),
        ("likelihood", {"place": [0, 0], "scores": SCORES[:, 1:]}, r"score must be of shape \(2, 9\), got \(2, 8\)"),
        ("likelihood", {"place": [0, 0], "scores": np.where(np.eye(2, WORDS) > 0, np.nan, 0)}, "scores must be finite numbers"),
    ],
)
def test_wrong_actions_are_refused(reward: str, action: Any, message: str, source: CaptionedPictures) -> None:
    env = CaptionVectorEnv(2, source=source, reward=reward)
    env.reset(seed=0)
    with pytest.raises(ActionError, match=message):
        env.step(action)


# Many rows --------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("reward", REWARDS)
@pytest.mark.parametrize("mode", list(AutoresetMode))
def test_rows_are_like_gymnasiums_vector_of_single_environments(
    mode: AutoresetMode, reward: str, one_picture: CaptionedPictures
) -> None:
    settings: dict[str, Any] = {"source": one_picture, "reward": reward}
    sync = SyncVectorEnv([lambda: CaptionEnv(**settings) for _ in range(ROWS)], autoreset_mode=mode)
    batch = CaptionVectorEnv(ROWS, autoreset_mode=mode, **settings)
    assert (batch.action_space, batch.observation_space) == (sync.action_space, sync.observation_space)
    np.testing.assert_equal(batch.reset(seed=0), sync.reset(seed=0))
    generator, ended, ends = np.random.default_rng(1), np.zeros(ROWS, bool), 0
    for _ in range(30):
        if mode is AutoresetMode.DISABLED and (mask := ended | (generator.random(ROWS) < 0.1)).any():
            options = [{"reset_mask": mask.copy()} for _ in range(2)]
            np.testing.assert_equal(batch.reset(options=options[0]), sync.reset(options=options[1]))
        actions = actions_for(batch, generator)
        ours, theirs = batch.step(actions), sync.step(actions)
        assert ours[1].dtype == theirs[1].dtype
        np.testing.assert_equal(in_lists(ours), in_lists(theirs))
        ended = theirs[2]
        ends += int(ended.sum())
    assert ends > 2 * ROWS


@pytest.mark.parametrize("settings", SETTINGS)
@pytest.mark.parametrize("mode", [AutoresetMode.NEXT_STEP, AutoresetMode.SAME_STEP])
def test_tensors_show_the_same_episodes_as_arrays(mode: AutoresetMode, settings: dict[str, Any]) -> None:
    arrays, tensors = (CaptionVectorEnv(ROWS, output=output, autoreset_mode=mode, **settings) for output in ("numpy", "torch"))
    generator = np.random.default_rng(2)
    observations, _ = arrays.reset(seed=0)
    assert observations in arrays.observation_space
    np.testing.assert_equal(to_numpy(tensors.reset(seed=0)[0]), observations)
    for _ in range(25):
        actions = actions_for(arrays, generator)
        ours, theirs = tensors.step(to_torch(actions)), arrays.step(actions)
        assert theirs[0] in arrays.observation_space
        assert [part.dtype for part in ours[1:4]] == [torch.float32, torch.bool, torch.bool]
        assert [part.dtype for part in theirs[1:4]] == [np.float64, np.bool_, np.bool_]
        ours = to_numpy(ours)
        np.testing.assert_equal(ours[0], theirs[0])
        np.testing.assert_allclose(ours[1], theirs[1], rtol=1e-6)
        np.testing.assert_equal(ours[2:4], theirs[2:4])
        finals, final = theirs[4].pop("final_obs", []), ours[4].pop("final_obs", {})
        for row, expected in enumerate(finals):
            if expected is not None:
                np.testing.assert_equal({key: part[row] for key, part in final.items()}, expected)
        np.testing.assert_equal(ours[4], theirs[4])


@pytest.mark.parametrize("reward", REWARDS)
@pytest.mark.parametrize("output", ["numpy", "torch"])
def test_without_autoreset_rows_that_have_ended_rest(reward: str, output: str, source: CaptionedPictures) -> None:
    env = CaptionVectorEnv(3, source=source, reward=reward, output=output, autoreset_mode="Disabled")
    env.reset(options={"index": np.array([0, 1, 2]), "caption": np.array([0, 1, 0])})  # of 4, 3 and 2 words
    totals, observations = np.zeros(3), []
    for turn in range(1, 5):
        still = np.array([4, 3, 2]) >= turn
        words = CAPTIONS[[0, 1, 2], [0, 1, 0], turn - 1]
        # Rows that rest may send what they like.
        actions: dict[str, Any] = {"place": np.where(still, turn % PLACES, 99)}
        if reward == "likelihood":
            actions["scores"] = np.where(still[:, None], np.eye(WORDS)[words], np.nan).astype(np.float32)
        else:
            actions["word"] = np.where(still, words, -1)
        result = to_numpy(env.step(to_torch(actions) if output == "torch" else actions))
        observations.append(result[0])
        assert result[2].tolist() == (np.array([4, 3, 2]) <= turn).tolist()
        assert (result[1][~still] == 0).all()
        totals += result[1]
        mask = result[4].get("_is_success", np.zeros(3, bool))
        assert mask.tolist() == (np.array([4, 3, 2]) == turn).tolist()
        assert result[4].get("is_success", np.zeros(3, bool)).tolist() == mask.tolist()
        if reward != "likelihood" and mask.any():
            row = int(np.flatnonzero(mask)[0])
            np.testing.assert_array_equal(result[4]["sentence"][row], CAPTIONS[row, [0, 1, 0][row]])
            assert not result[4]["sentence"][~mask].any()
    for row, last in ((1, 2), (2, 1)):
        for key, part in observations[last].items():
            np.testing.assert_array_equal(observations[3][key][row], part[row])
    if reward == "likelihood":
        likelihood = 1 - np.log(np.e + WORDS - 1)
        np.testing.assert_allclose(totals, likelihood * np.array([4, 3, 2]), rtol=1e-6)
    else:
        assert (totals > 0.3).all()
    with pytest.raises(gym.error.ResetNeeded, match="every episode has ended"):
        env.step(to_torch(actions) if output == "torch" else actions)


def test_with_a_teacher_and_without_autoreset_no_step_before_the_last_waits_for_the_device(operations: Any) -> None:
    env = CaptionVectorEnv(ROWS, output="torch", autoreset_mode="Disabled")
    env.reset(seed=0)
    generator = np.random.default_rng(0)
    actions = [to_torch(actions_for(env, generator)) for _ in range(env.longest)]
    with operations:
        for action in actions[:-1]:
            env.step(action)
        assert not {"_local_scalar_dense.default", "nonzero.default", "masked_select.default"} & set(operations.names)
        env.step(actions[-1])
        assert "_local_scalar_dense.default" in operations.names


@pytest.mark.parametrize(
    ("reward", "wrong"),
    [
        ("likelihood", {"place": [0, PLACES], "scores": SCORES}),
        ("likelihood", {"place": [0, -1], "scores": SCORES}),
        ("likelihood", {"place": [0, 0], "scores": np.full_like(SCORES, np.nan)}),
        ("likelihood", {"place": [0, 0], "scores": np.full_like(SCORES, np.inf)}),
        ("bleu", {"place": [0, 0], "word": [DOG, WORDS]}),
        ("cider", {"place": [0, 0], "word": [-1, DOG]}),
    ],
)
@pytest.mark.parametrize("mode", list(AutoresetMode))
def test_a_wrong_action_on_the_device_is_reported_at_the_end_of_an_episode(
    mode: AutoresetMode, reward: str, wrong: dict[str, Any], source: CaptionedPictures
) -> None:
    env = CaptionVectorEnv(2, source=source, reward=reward, output="torch", autoreset_mode=mode)
    env.reset(options={"index": np.array([0, 1]), "caption": np.array([0, 0])})
    right = {"place": [0, 0], "scores": SCORES} if reward == "likelihood" else {"place": [0, 0], "word": [DOG, DOG]}
    observations, *_ = env.step(to_torch(wrong))
    assert to_numpy(observations) in env.observation_space
    for _ in range(2):
        env.step(to_torch(right))
    with pytest.raises(ActionError, match="an action of this episode was outside the space"):
        env.step(to_torch(right))


def test_rewards_carry_no_gradient(source: CaptionedPictures) -> None:
    env = CaptionVectorEnv(2, source=source, output="torch")
    env.reset(seed=0)
    scores = torch.zeros(2, WORDS, requires_grad=True)
    observations, rewards, *_ = env.step({"place": torch.tensor([0, 0]), "scores": scores})
    assert not rewards.requires_grad
    assert not any(part.requires_grad for part in observations.values())


def test_arrays_that_were_returned_may_be_altered(source: CaptionedPictures) -> None:
    env, twin = (CaptionVectorEnv(ROWS, source=source, reward="bleu", autoreset_mode="SameStep") for _ in range(2))
    results, expected, generator = env.reset(seed=0), twin.reset(seed=0), np.random.default_rng(0)
    for _ in range(12):
        np.testing.assert_equal(in_lists(results), in_lists(expected))
        for part in (*results[0].values(), *results[1:-1]):
            part[...] = 0
        actions = actions_for(twin, generator)
        expected = twin.step({name: values.copy() for name, values in actions.items()})
        results = env.step(actions)
        for values in actions.values():
            values[...] = 1


# Drawing ----------------------------------------------------------------------------------------------------------------------


def test_a_frame_shows_the_picture_the_place_looked_at_and_the_sentence_so_far() -> None:
    env = CaptionEnv(reward="bleu", render_mode="rgb_array", split="test")
    env.reset(options={"index": 3})
    picture = load_source("scenes", "test")
    image = picture.pictures(torch.tensor([3]), torch.device("cpu"))[0].numpy()
    vocabulary = picture.vocabulary
    np.testing.assert_array_equal(env.render(), draw_sentence(image, (4, 4), None, []))
    for place, words in ((0, ["a"]), (5, ["a", "red"])):
        env.step({"place": place, "word": vocabulary.words.index(words[-1])})
        np.testing.assert_array_equal(env.render(), draw_sentence(image, (4, 4), place, words))


def test_a_frame_is_drawn_around_the_cell_and_has_room_for_long_sentences() -> None:
    image = np.zeros((3, 20, 40), np.float32)
    plain, framed = draw_sentence(image, (2, 4), None, []), draw_sentence(image, (2, 4), 6, [])
    changed = np.argwhere((plain != framed).any(axis=-1))
    (top, left), (bottom, right) = changed.min(axis=0), changed.max(axis=0)
    assert (bottom - top + 1, right - left + 1) == (80, 80)
    assert (left, top) == (8 + 2 * 80, 8 + 80 + 80)  # beyond the border; the picture is as low as it is wide
    said = [draw_sentence(image, (2, 4), None, ["word"] * count) for count in (5, 40, 400)]
    assert len({frame.shape for frame in said}) == 1
    assert (said[0] != plain).any()
    assert (said[1] != said[0]).any()
    assert (said[2] != said[0]).any()


def test_a_source_without_pictures_cannot_be_drawn(source: CaptionedPictures) -> None:
    with pytest.raises(ValueError, match="animals has no pictures to draw: leave render_mode out"):
        CaptionEnv(source=source, render_mode="rgb_array")

"""The bridge to Stable-Baselines3 against its own adapters and against loops by hand over single environments."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

pytest.importorskip("stable_baselines3")
pytest.importorskip("sb3_contrib")

from sb3_contrib import QRDQN, TRPO
from stable_baselines3 import PPO
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.env_checker import check_env
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import DummyVecEnv

from agents import sb3
from agents.evaluate import Score
from agents.registry import HYPERPARAMETERS
from agents.sb3 import ALGORITHMS, FORMATS, GlimpseExtractor, SB3VecEnv, make_environment, make_model, score
from attention_core.config import load_yaml
from attention_env.actions import ACTION_FORMATS
from attention_env.sources import load_pictures
from attention_env.wrappers import GlimpseHistory

Arrays = tuple[NDArray[np.uint8], NDArray[np.int64]]
DIGITS = "attention_env/Digits-v0"
ROWS = 4
SMALL: dict[str, Any] = {"features_extractor_kwargs": {"glimpse_width": 12, "location_width": 10, "hidden": 16}, "net_arch": [8]}


@pytest.fixture
def one_picture() -> Arrays:
    """A single picture, of class 2 of three: whatever the draws, every episode shows it."""
    return np.random.default_rng(1).integers(0, 256, (1, 8, 8), dtype=np.uint8), np.array([2])


@pytest.fixture
def black_and_white() -> Arrays:
    """Two pictures that one glimpse tells apart."""
    return np.stack((np.zeros((8, 8), np.uint8), np.full((8, 8), 255, np.uint8))), np.array([0, 1])


def small_model(algorithm: str, environment: Any, seed: int = 0, **settings: Any) -> Any:
    """A small learner, of few steps per update."""
    policy = {**SMALL, "lstm_hidden_size": 8} if algorithm == "recurrent_ppo" else SMALL
    batch = {} if algorithm == "a2c" else {"batch_size": 16, "n_epochs": 2}
    return make_model(algorithm, environment, seed, policy_kwargs=policy, **{"n_steps": 8, **batch, **settings})


def stir(model: BaseAlgorithm) -> None:
    """Make the weights so large that the learner does different things with different pictures."""
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in model.policy.parameters():
            parameter.normal_(std=1.0)


def answer_always(model: BaseAlgorithm, action: int) -> None:
    """Make one action of a "saccade" the likeliest, whatever is seen."""
    with torch.no_grad():
        model.policy.action_net.weight.zero_()
        model.policy.action_net.bias.zero_()
        model.policy.action_net.bias[action] = 1.0


def weights(model: BaseAlgorithm) -> torch.Tensor:
    return torch.cat([parameter.detach().flatten() for parameter in model.policy.parameters()])


# Without the bridge -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("action_format", ACTION_FORMATS)
def test_the_checker_of_stable_baselines_objects_to_dictionaries_of_actions_alone(action_format: str) -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        check_env(gym.make(DIGITS, action_format=action_format))
    # It takes a glimpse for an image, which it is, and says that it is too small for its own network for images.
    messages = [str(warning.message) for warning in caught if "image" not in str(warning.message)]
    assert (messages == []) == (action_format in FORMATS)
    assert all("action space is not based off a numpy array" in message for message in messages)


def test_a_learner_of_stable_baselines_takes_a_single_environment_as_it_is() -> None:
    model = PPO("MultiInputPolicy", gym.make(DIGITS, action_format="saccade"), n_steps=64, n_epochs=2, seed=0)
    before = weights(model)
    model.learn(192)
    assert model.num_timesteps == 192
    assert not torch.equal(weights(model), before)
    assert len(model.ep_info_buffer) == len(model.ep_success_buffer) > 30


@pytest.mark.parametrize(("algorithm", "settings"), [(TRPO, {"n_steps": 32}), (QRDQN, {"learning_starts": 16, "buffer_size": 200})])
def test_learners_of_the_contrib_package_take_it_as_well(algorithm: type[BaseAlgorithm], settings: dict[str, Any]) -> None:
    env = GlimpseHistory(gym.make(DIGITS, action_format="saccade"))
    model = algorithm("MultiInputPolicy", env, batch_size=16, gamma=1.0, seed=0, policy_kwargs={"net_arch": [8]}, **settings)
    before = weights(model)
    model.learn(96)
    assert model.num_timesteps == 96
    assert not torch.equal(weights(model), before)
    result = score(model, DIGITS, "validation", action_format="saccade")
    assert result.examples == 180


def test_settings_for_rl_zoo_are_settings_of_the_learner() -> None:
    settings = load_yaml(HYPERPARAMETERS / "rl_zoo" / "ppo.yaml")["default"]
    module, wrapper = settings.pop("env_wrapper").rsplit(".", 1)
    assert (module, wrapper) == (GlimpseHistory.__module__, GlimpseHistory.__name__)
    rollout = settings["n_steps"] * settings.pop("n_envs")
    assert rollout % settings["batch_size"] == 0
    assert settings.pop("n_timesteps") > rollout
    assert settings.pop("policy_kwargs") == "dict(net_arch=[256])"
    schedule, rate = settings.pop("learning_rate").split("_")
    assert (schedule, float(rate)) == ("lin", 1e-3)
    env = GlimpseHistory(gym.make(DIGITS, action_format="saccade"))
    assert PPO(settings.pop("policy"), env, **{**settings, "batch_size": 192}).gamma == 1.0


# The environment ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("history", [False, True])
@pytest.mark.parametrize(
    ("action_format", "reward"), [("saccade", "sparse"), ("grid", "sparse"), ("grid", "dense"), ("box", "sparse"), ("box", "dense")]
)
def test_every_step_is_that_of_single_environments_in_stable_baselines_own_adapters(
    action_format: str, reward: str, history: bool, one_picture: Arrays
) -> None:
    settings: dict[str, Any] = {"source": one_picture, "action_format": action_format, "reward": reward, "glimpses": 3, "grid": 2}

    def single() -> gym.Env[Any, Any]:
        env = gym.make(DIGITS, **settings)
        return Monitor(GlimpseHistory(env) if history else env)

    theirs, ours = DummyVecEnv([single] * ROWS), make_environment(DIGITS, ROWS, history, **settings)
    assert ours.observation_space == theirs.observation_space
    assert ours.action_space == theirs.action_space
    np.testing.assert_equal(ours.reset(), dict(theirs.reset()))
    ours.action_space.seed(0)
    ends = 0
    for _ in range(20):
        actions = np.stack([ours.action_space.sample() for _ in range(ROWS)])
        observation, rewards, dones, infos = ours.step(actions)
        expected, expected_rewards, expected_dones, expected_infos = theirs.step(actions)
        np.testing.assert_equal(observation, dict(expected))
        np.testing.assert_array_equal(rewards, expected_rewards)
        np.testing.assert_array_equal(dones, expected_dones)
        assert (rewards.dtype, dones.dtype) == (np.float32, np.bool_)
        for info, expected_info, done in zip(infos, expected_infos, dones, strict=True):
            if done:
                assert 0 <= info["episode"].pop("t") < 60
                expected_info["episode"].pop("t")
                assert info["episode"] == pytest.approx(expected_info.pop("episode"), abs=1e-6)
                info.pop("episode")
                ends += 1
            np.testing.assert_equal(info, expected_info)
    assert ends >= 24


def test_one_seed_gives_one_course_of_pictures_and_is_used_once() -> None:
    env = make_environment(DIGITS, ROWS, action_format="saccade")
    env.seed(3)
    first, second = env.reset(), env.reset()
    env.seed(3)
    np.testing.assert_equal(env.reset(), first)
    np.testing.assert_equal(env.reset(), second)
    assert not np.array_equal(first["glimpse"], second["glimpse"])
    env.seed(4)
    assert not np.array_equal(env.reset()["glimpse"], first["glimpse"])


def test_reset_options_are_those_of_single_environments_and_used_once() -> None:
    env = make_environment(DIGITS, 2, action_format="saccade")
    single = gym.make(DIGITS, action_format="saccade")
    env.seed(0)
    env.set_options([{"index": 3}, {"index": 5}])
    observation = env.reset()
    for row, index in enumerate((3, 5)):
        np.testing.assert_equal({key: part[row] for key, part in observation.items()}, single.reset(options={"index": index})[0])
    env.set_options({"location": [1.0, -1.0]})
    np.testing.assert_array_equal(env.reset()["location"], [[1, -1], [1, -1]])
    np.testing.assert_array_equal(env.reset()["location"], [[0, 0], [0, 0]])
    env.set_options([{"index": 3}, {}])
    with pytest.raises(ValueError, match=r"every row must get the same reset options, got \[\['index'\], \[\]\]"):
        env.reset()


def test_a_reset_begins_to_count_anew(one_picture: Arrays) -> None:
    env = make_environment(DIGITS, 1, action_format="grid", reward="dense", source=one_picture, glimpses=2)
    right = np.array([[0, 2]])
    env.reset()
    env.step(right)
    env.reset()
    env.step(right)
    infos = env.step(right)[3]
    assert (infos[0]["episode"]["l"], infos[0]["episode"]["r"]) == (2, 1.0)


def test_stable_baselines_own_evaluation_counts_these_episodes_without_a_warning(black_and_white: Arrays) -> None:
    env = make_environment(DIGITS, 2, action_format="saccade", source=black_and_white, grid=1)
    model = small_model("ppo", env)
    answer_always(model, 1)
    returns, lengths = evaluate_policy(model, env, n_eval_episodes=40, return_episode_rewards=True)
    assert set(lengths) == {1}
    assert set(returns) == {0.0, 1.0}


def test_attributes_are_the_environments_and_stay_as_they_are() -> None:
    env = make_environment(DIGITS, 2, history=True, action_format="box")
    assert env.get_attr("num_envs") == [2, 2]
    assert env.get_attr("settings", 1) == [env.environment.unwrapped.settings]
    assert env.has_attr("pictures")
    assert not env.has_attr("nonsense")
    assert env.env_is_wrapped(Monitor) == [True, True]
    assert env.env_is_wrapped(gym.wrappers.TimeLimit, [0]) == [False]
    with pytest.raises(TypeError, match="set pictures on `environment`"):
        env.set_attr("pictures", None)
    with pytest.raises(TypeError, match="call images on `environment`"):
        env.env_method("images")


def test_drawing_shows_every_row() -> None:
    env = make_environment(DIGITS, ROWS, action_format="grid", render_mode="rgb_array")
    env.reset()
    frames = env.get_images()
    height, width, _ = frames[0].shape
    assert env.render().shape == (2 * height, 2 * width, 3)
    env.close()
    assert make_environment(DIGITS, ROWS, action_format="grid").get_images() == [None] * ROWS


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"autoreset_mode": "SameStep"}, "cannot use action_format='dict': .* one of 'grid', 'saccade', 'box'"),
        ({"action_format": "grid"}, "needs autoreset_mode='SameStep', got 'NextStep'"),
        ({"action_format": "grid", "autoreset_mode": "SameStep", "output": "torch"}, "needs output='numpy', got 'torch'"),
    ],
)
def test_an_environment_that_will_not_do_is_refused_with_what_would(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SB3VecEnv(gym.make_vec(DIGITS, num_envs=2, **settings))


def test_other_environments_are_refused() -> None:
    with pytest.raises(TypeError, match=r"only a batched glimpse environment will do.*CartPole"):
        SB3VecEnv(gym.make_vec("CartPole-v1", num_envs=2))


# The features -------------------------------------------------------------------------------------------------------------


def glimpse_features(extractor: GlimpseExtractor, glimpse: torch.Tensor, location: torch.Tensor) -> torch.Tensor:
    """g_t of one glimpse, term by term from the paper's formula."""
    what = F.relu(extractor.what.weight @ glimpse.flatten() + extractor.what.bias)
    where = F.relu(extractor.where.weight @ location + extractor.where.bias)
    both = extractor.what_to_glimpse.weight @ what + extractor.what_to_glimpse.bias + extractor.where_to_glimpse.weight @ where
    return F.relu(both)


def test_features_of_a_glimpse_are_the_papers_and_the_share_of_actions_left() -> None:
    env = make_environment(DIGITS, ROWS, action_format="grid", start="random", scales=2)
    extractor = GlimpseExtractor(env.observation_space, glimpse_width=12, location_width=10, hidden=16)
    env.reset()
    observation = {key: torch.from_numpy(part) for key, part in env.step(np.zeros((ROWS, 2), np.int64))[0].items()}
    features = extractor(observation)
    assert features.shape == (ROWS, extractor.features_dim) == (ROWS, 17)
    for row in range(ROWS):
        seen = glimpse_features(extractor, observation["glimpse"][row], observation["location"][row])
        torch.testing.assert_close(features[row], torch.cat((seen, observation["remaining"][row])))
    assert features[:, :16].std(0).max() > 0.01
    assert features[:, 16].tolist() == pytest.approx([5 / 6] * ROWS)


def test_features_of_a_history_are_the_mean_over_what_was_seen_and_nothing_else() -> None:
    env = make_environment(DIGITS, ROWS, history=True, action_format="saccade", glimpses=4, grid=3)
    plain = make_environment(DIGITS, ROWS, action_format="saccade", glimpses=4, grid=3)
    extractor = GlimpseExtractor(env.observation_space, glimpse_width=12, location_width=10, hidden=16)
    for each in (env, plain):
        each.seed(0)
        each.reset()
    for cells in ([0, 1, 2, 3], [4, 5, 6, 10], [8, 12, 7, 0]):
        arrays, remaining = env.step(np.array(cells))[0], plain.step(np.array(cells))[0]["remaining"]
    observation = {key: torch.from_numpy(part) for key, part in arrays.items()}
    assert observation["seen"].sum(1).tolist() == [4, 1, 4, 2]
    features = extractor(observation)
    for row, count in enumerate((4, 1, 4, 2)):
        pairs = zip(observation["glimpses"][row, :count], observation["locations"][row, :count], strict=True)
        mean = torch.stack([glimpse_features(extractor, glimpse, location) for glimpse, location in pairs]).mean(0)
        expected = torch.cat((mean, torch.from_numpy(remaining[row])))
        torch.testing.assert_close(features[row], expected)


@pytest.mark.parametrize("history", [False, True])
def test_zoom_and_rotation_stand_beside_the_location(history: bool) -> None:
    settings: dict[str, Any] = {"action_format": "box", "zoom": True, "rotate": True, "stop": True, "glimpses": 3}
    env = make_environment(DIGITS, ROWS, history, **settings)
    model = small_model("ppo", env)
    extractor = model.policy.features_extractor
    assert extractor.where.in_features == 2 + 1 + 2
    observation = {key: torch.from_numpy(part) for key, part in env.reset().items()}
    features = extractor(observation)
    for key in ("locations", "zooms", "rotations") if history else ("location", "zoom", "rotation"):
        assert not torch.equal(extractor({**observation, key: observation[key] + 0.5}), features)
    model.learn(64)
    assert 0 < score(model, DIGITS, "validation", **settings).errors <= 180


def test_an_empty_history_which_a_recurrent_learner_pads_with_has_a_gradient() -> None:
    space = make_environment(DIGITS, 1, history=True, action_format="grid").observation_space
    extractor = GlimpseExtractor(space)
    extractor({key: torch.zeros(2, *part.shape) for key, part in space.items()}).sum().backward()
    assert all(parameter.grad.isfinite().all() for parameter in extractor.parameters() if parameter.grad is not None)


def test_other_observations_have_no_features() -> None:
    with pytest.raises(ValueError, match=r"sees 'glimpse', 'location' and 'remaining', or .*, not 'speed'"):
        GlimpseExtractor(gym.spaces.Dict(speed=gym.spaces.Box(0, 1, (1,))))


# The learner --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("history", [False, True])
@pytest.mark.parametrize("algorithm", list(ALGORITHMS))
def test_every_algorithm_learns_with_and_without_a_history(algorithm: str, history: bool) -> None:
    env = make_environment(DIGITS, ROWS, history, action_format="saccade", glimpses=3)
    model = small_model(algorithm, env)
    assert isinstance(model, ALGORITHMS[algorithm][0])
    assert model.gamma == 1.0
    assert isinstance(model.policy.features_extractor, GlimpseExtractor)
    before = weights(model)
    model.learn(64)
    after = weights(model)
    assert after.isfinite().all()
    assert not torch.equal(after, before)


@pytest.mark.parametrize("action_format", FORMATS)
def test_the_seed_decides_on_weights_exploration_and_pictures(action_format: str) -> None:
    results = []
    for seed in (0, 0, 1):
        model = small_model("ppo", make_environment(DIGITS, ROWS, action_format=action_format), seed)
        before = weights(model)
        results.append((before, weights(model.learn(64))))
    assert all(torch.equal(one, other) for one, other in zip(results[0], results[1], strict=True))
    assert not any(torch.equal(one, other) for one, other in zip(results[0], results[2], strict=True))


def test_settings_of_an_algorithm_come_before_the_defaults() -> None:
    env = gym.make(DIGITS, action_format="grid")
    model = make_model("ppo", env, 0, gamma=0.5, n_steps=16, batch_size=16, policy_kwargs={"net_arch": [3]})
    assert model.gamma == 0.5
    assert model.policy.mlp_extractor.latent_dim_pi == 3
    assert isinstance(model.policy.features_extractor, GlimpseExtractor)


def test_unknown_algorithms_and_dictionaries_of_actions_are_refused() -> None:
    with pytest.raises(ValueError, match="algorithm='dqn' is unknown: choose one of 'ppo', 'a2c', 'recurrent_ppo'"):
        make_model("dqn", gym.make(DIGITS, action_format="grid"), 0)
    with pytest.raises(ValueError, match="one of 'grid', 'saccade', 'box'"):
        make_model("ppo", gym.make(DIGITS), 0)


def test_what_one_glimpse_tells_apart_is_learned_within_seconds(black_and_white: Arrays) -> None:
    settings: dict[str, Any] = {"action_format": "saccade", "source": black_and_white, "glimpses": 2, "grid": 1}
    model = small_model("ppo", make_environment(DIGITS, 32, **settings), batch_size=64, n_epochs=8, learning_rate=0.01)
    assert score(model, DIGITS, **settings).errors > 0
    model.learn(32 * 8 * 10)
    assert score(model, DIGITS, **settings).errors == 0


# The score --------------------------------------------------------------------------------------------------------------


def by_hand(model: BaseAlgorithm, pictures: range, history: bool, **settings: Any) -> tuple[Score, set[int]]:
    """The score, and the numbers of glimpses that were taken, from episodes played one by one."""
    env = gym.make(DIGITS, **settings)
    env = GlimpseHistory(env) if history else env
    errors, lengths, looked = 0, [], []
    for index in pictures:
        observation, _ = env.reset(options={"index": index})
        state, started, ended, length = None, np.array([True]), False, 0
        while not ended:
            action, state = model.predict(observation, state, started, deterministic=True)
            observation, _, ended, _, info = env.step(action)
            started, length = np.array([False]), length + 1
            if not ended:
                looked.append(observation["locations"][length] if history else observation["location"])
        errors += not info["is_success"]
        lengths.append(length)
    visits = np.histogram2d(*np.array(looked).T, bins=8, range=[(-1, 1), (-1, 1)])[0]
    assert ((visits > 0) & (visits < 0.01 * len(looked))).any()
    mean = sum(lengths) / len(pictures)
    return Score(errors, len(pictures), float((visits >= 0.01 * len(looked)).mean()), mean), set(lengths)


@pytest.mark.parametrize(
    ("algorithm", "action_format", "history"),
    [("ppo", "saccade", True), ("ppo", "grid", False), ("a2c", "box", True), ("recurrent_ppo", "saccade", False)],
)
def test_the_score_is_that_of_a_loop_by_hand(algorithm: str, action_format: str, history: bool) -> None:
    settings: dict[str, Any] = {"action_format": action_format, "glimpses": 4, "grid": 4}
    model = small_model(algorithm, make_environment(DIGITS, ROWS, history, **settings))
    stir(model)
    expected, lengths = by_hand(model, range(180), history, split="validation", **settings)
    assert 0 < expected.errors < 180
    assert (len(lengths) > 1) == (action_format == "saccade")
    assert score(model, DIGITS, "validation", **settings) == expected


@pytest.mark.parametrize(("split", "count"), [("train", 1257), ("validation", 180), ("test", 360)])
def test_every_picture_of_the_split_is_shown_once(split: str, count: int) -> None:
    model = small_model("ppo", make_environment(DIGITS, ROWS, action_format="saccade", grid=2))
    labels = load_pictures("digits", split).labels
    for label in (0, 7):
        answer_always(model, 4 + label)
        result = score(model, DIGITS, split, action_format="saccade", grid=2)
        assert result == Score(int((np.array(labels) != label).sum()), count, 0.0, 1.0)


@pytest.mark.parametrize("chunk", [1, 50, 180])
def test_the_score_does_not_depend_on_the_chunks(chunk: int, monkeypatch: pytest.MonkeyPatch) -> None:
    settings: dict[str, Any] = {"action_format": "saccade", "glimpses": 3, "grid": 4}
    model = small_model("ppo", make_environment(DIGITS, ROWS, **settings))
    stir(model)
    whole = score(model, DIGITS, "validation", **settings)
    assert 0 < whole.errors < 180
    monkeypatch.setattr(sb3, "CHUNK", chunk)
    assert score(model, DIGITS, "validation", **settings) == whole


def test_games_without_classes_are_scored_by_their_success() -> None:
    env = make_environment("attention_env/Catch-v0", ROWS, action_format="grid", glimpses=2)
    env.reset()
    infos = [env.step(np.ones((ROWS, 2), np.int64))[3] for _ in range(2)][-1]
    assert {"is_success", "label"} & set(infos[0]) == {"is_success"}
    model = small_model("ppo", env)
    result = score(model, "attention_env/Catch-v0", "validation", action_format="grid", glimpses=2)
    assert 0 < result.errors < result.examples == 5000


def test_whoever_only_looks_is_wrong_throughout_and_covers_one_cell() -> None:
    settings: dict[str, Any] = {"action_format": "saccade", "grid": 8}
    model = small_model("ppo", make_environment(DIGITS, ROWS, **settings))
    answer_always(model, 11)
    assert score(model, DIGITS, "validation", **settings) == Score(180, 180, 1 / 64, 6.0)


def test_random_starts_are_the_same_for_the_same_seed() -> None:
    settings: dict[str, Any] = {"action_format": "grid", "glimpses": 2, "start": "random"}
    model = small_model("ppo", make_environment(DIGITS, ROWS, **settings))
    stir(model)
    scores = [score(model, DIGITS, "validation", seed, **settings) for seed in (0, 0, 1, 2)]
    assert scores[0] == scores[1]
    assert len(set(scores)) > 1


def test_a_saved_learner_has_the_score_that_it_had(tmp_path: Path) -> None:
    settings: dict[str, Any] = {"action_format": "saccade", "glimpses": 3, "grid": 4}
    model = small_model("ppo", make_environment(DIGITS, ROWS, history=True, **settings))
    stir(model)
    model.save(tmp_path / "model")
    again = PPO.load(tmp_path / "model")
    assert torch.equal(weights(again), weights(model))
    assert score(again, DIGITS, "validation", **settings) == score(model, DIGITS, "validation", **settings)


def test_a_learner_of_another_task_is_refused() -> None:
    model = small_model("ppo", make_environment(DIGITS, ROWS, action_format="saccade", grid=2))
    with pytest.raises(ValueError, match=r"made for actions in Discrete\(14\), but .* has Discrete\(19\)"):
        score(model, DIGITS, action_format="saccade", grid=3)
    with pytest.raises(ValueError, match="made for observations in"):
        score(model, DIGITS, action_format="saccade", grid=2, glimpse_size=3)


def test_drawn_actions_are_those_of_the_seed_and_leave_other_chance_alone() -> None:
    settings: dict[str, Any] = {"action_format": "grid", "glimpses": 2}
    model = small_model("ppo", make_environment(DIGITS, ROWS, **settings))
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    scores = [score(model, DIGITS, "validation", seed, deterministic=False, **settings) for seed in (0, 0, 1)]
    assert torch.equal(torch.rand(3), expected)
    assert scores[0] == scores[1] != scores[2]
    # An untrained learner draws classes and cells nearly evenly, where its likeliest ones are always the same few.
    assert abs(scores[0].error_rate - 0.9) < 0.08
    assert scores[0].coverage > 0.5 > score(model, DIGITS, "validation", **settings).coverage

"""A person's game: what keys and clicks do, what has been seen of the hidden picture, the score, and the window around it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from numpy.typing import NDArray

from attention_env.actions import ACTION_FORMATS
from attention_env.play import LINE, NAMES_WIDTH, RIGHT, WRONG, Game, PlayError, draw_game, place_at, play
from attention_env.rendering import BOXES, GAP, SIDE

Picture = NDArray[np.float32]


class Recorder(gym.Wrapper[Any, Any, Any, Any]):
    """Shows the first picture in every episode, and keeps the actions that reach the environment."""

    def __init__(self, env: gym.Env[Any, Any]) -> None:
        super().__init__(env)
        self.actions: list[dict[str, Any]] = []

    def reset(self, **arguments: Any) -> Any:
        return super().reset(**{**arguments, "options": {"index": 0}})

    def step(self, action: Any) -> Any:
        self.actions.append(action)
        return super().step(action)


def shuffled(height: int = 8, width: int = 8) -> Picture:
    """A picture in which no two pixels are alike and none is black: a glimpse tells which pixels it shows."""
    levels = np.linspace(0.1, 1, height * width, dtype=np.float32)
    return np.random.default_rng(0).permutation(levels).reshape(height, width)


def make(picture: Picture, label: int = 2, classes: int = 3, **settings: Any) -> Recorder:
    """Make an environment that always shows one picture of one class."""
    source = (np.stack((picture, picture)), np.array([label, classes - 1]))
    return Recorder(gym.make("attention_env/Digits-v0", source=source, **settings))


def game_of(picture: Picture, **settings: Any) -> Game:
    return Game(make(picture, **settings), 0)


# Every environment --------------------------------------------------------------------------------------------------


def test_every_environment_can_be_played_to_the_end(environment_id: str) -> None:
    game = Game(gym.make(environment_id, split="test"), seed=0)
    shape, looks = draw_game(game).shape, game.settings.glimpses - 1
    for turn in range(2):
        assert (game.played, game.success, game.label) == (turn, None, None)
        for left in range(looks, 0, -1):
            assert game.looks_left == left
            game.press(("left", "up", "right", "down")[left % 4])
            assert draw_game(game).shape == shape
        assert len(game.path) == game.settings.glimpses
        game.press("1")
        assert game.success in (True, False)
        assert (game.played, game.looks_left) == (turn + 1, 0)
        assert draw_game(game).shape == shape
        game.press("space")
    assert 0 <= game.right <= game.played == 2


def test_other_environments_are_refused_by_name() -> None:
    with pytest.raises(ValueError, match="CartPoleEnv is not a glimpse environment"):
        Game(gym.make("CartPole-v1"))


@pytest.mark.parametrize("action_format", sorted(set(ACTION_FORMATS) - {"dict"}))
def test_other_action_formats_are_refused_by_name(action_format: str) -> None:
    with pytest.raises(ValueError, match=f"action_format='dict', not in '{action_format}'"):
        game_of(shuffled(), action_format=action_format)


# What has been seen -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("height", "width"), [(8, 8), (9, 9), (28, 28), (7, 12)])
@pytest.mark.parametrize("size", [1, 3, 4, 5])
def test_what_has_been_seen_is_the_picture_where_the_retina_was_and_black_elsewhere(size: int, height: int, width: int) -> None:
    picture = shuffled(height, width)
    game = game_of(picture, glimpse_size=size, glimpses=9)
    shown = np.zeros_like(picture, dtype=bool)
    keys = ["right", "up", "left", "left", "left", "down", "down", "right"]
    for key in ["", *keys]:
        game.press(key)
        shown |= np.isin(picture, game.glimpse)
        np.testing.assert_array_equal(game.seen, np.where(shown, picture, 0)[None])
    assert size**2 < shown.sum() < picture.size or size == 5


def test_colours_are_seen_as_they_are() -> None:
    red, green, blue = shuffled(), shuffled() / 2, shuffled() / 3
    game = game_of(np.stack((red, green, blue)), glimpse_size=4)
    expected = np.zeros((3, 8, 8), np.float32)
    expected[:, 2:6, 2:6] = np.stack((red, green, blue))[:, 2:6, 2:6]
    np.testing.assert_array_equal(game.seen, expected)


def test_a_coarse_patch_shows_the_means_of_blocks_and_never_hides_what_was_sharp() -> None:
    picture = shuffled()
    game = game_of(picture, glimpse_size=2, scales=2)
    coarse = picture.reshape(4, 2, 4, 2).mean(axis=(1, 3)).repeat(2, axis=0).repeat(2, axis=1)
    expected = np.zeros_like(picture)
    expected[2:6, 2:6] = coarse[2:6, 2:6]
    expected[3:5, 3:5] = picture[3:5, 3:5]
    np.testing.assert_allclose(game.seen[0], expected, atol=1e-6)

    game.look((0.5, 0.5))
    expected[4:8, 4:8] = coarse[4:8, 4:8]
    expected[3:5, 3:5] = picture[3:5, 3:5]
    expected[5:7, 5:7] = picture[5:7, 5:7]
    np.testing.assert_allclose(game.seen[0], expected, atol=1e-6)


@pytest.mark.parametrize("place", [(0.0, 0.0), (0.11, -0.2), (0.3, 0.3)])
def test_a_patch_between_pixels_is_shown_at_the_nearest_ones(place: tuple[float, float]) -> None:
    slope = 0.02
    ramp = np.tile(0.1 + slope * np.arange(28, dtype=np.float32), (28, 1))
    game = game_of(ramp, glimpse_size=5, interpolation="bilinear", start=list(place))
    shown = game.seen[0] > 0
    assert shown.sum() == 25
    assert np.abs(game.seen[0] - ramp)[shown].max() <= slope / 2 + 1e-6
    y, x = np.nonzero(shown)
    centre = np.array([x.mean() + 0.5, y.mean() + 0.5]) / 14 - 1
    assert np.abs(centre - place).max() <= 0.5 / 14 + 1e-6


def test_the_picture_is_hidden_until_the_end_and_another_one_is_hidden_again() -> None:
    picture = shuffled()
    game = game_of(picture)
    assert (game.picture == 0).sum() == 64 - 16
    game.press("0")
    np.testing.assert_array_equal(game.picture[0], picture)
    game.press("space")
    assert (game.picture == 0).sum() == 64 - 16
    assert (game.named, game.success, game.label, len(game.path)) == (None, None, None, 1)


# What keys and clicks do --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("key", "step"), [("left", (-1, 0)), ("right", (1, 0)), ("up", (0, -1)), ("down", (0, 1))])
def test_an_arrow_looks_one_patch_further(key: str, step: tuple[int, int]) -> None:
    game = game_of(shuffled(10, 20), glimpse_size=4)
    game.press(key)
    np.testing.assert_allclose(game.path[-1], (step[0] * 2 * 4 / 20, step[1] * 2 * 4 / 10), atol=1e-6)
    game.press(key)
    game.press(key)
    assert np.abs(game.path[-1]).max() <= 1
    assert len(game.path) == 4


def test_one_looks_where_one_points() -> None:
    game = game_of(shuffled())
    game.look((0.25, -0.5))
    np.testing.assert_allclose(game.path[-1], (0.25, -0.5))


def test_in_relative_moves_one_gets_as_far_towards_a_place_as_a_move_goes() -> None:
    game = game_of(shuffled(), moves="relative", move_scale=0.25, glimpses=9)
    for place, reached in [
        ((0.125, -0.0625), (0.125, -0.0625)),
        ((1.0, -0.125), (0.375, -0.125)),
        ((-1.0, 1.0), (0.125, 0.125)),
        ((0.125, 0.125), (0.125, 0.125)),
    ]:
        game.look(place)
        np.testing.assert_allclose(game.path[-1], reached, atol=1e-6)
    game.press("up")
    np.testing.assert_allclose(game.path[-1], (0.125, -0.125), atol=1e-6)


def test_without_a_look_left_only_naming_is_possible() -> None:
    environment = make(shuffled(), glimpses=3)
    game = Game(environment, 0)
    for _ in range(4):
        game.press("right")
    game.look((0.0, 0.0))
    assert (game.looks_left, len(environment.actions), len(game.path)) == (0, 2, 3)
    game.press("2")
    assert (game.success, len(environment.actions)) == (True, 3)


def test_a_single_glimpse_leaves_naming_alone() -> None:
    game = game_of(shuffled(), glimpses=1)
    game.press("left")
    assert (len(game.path), game.looks_left) == (1, 0)
    game.press("2")
    assert game.success is True


@pytest.mark.parametrize("moves", ["absolute", "relative"])
@pytest.mark.parametrize("looks", [0, 1, 3])
def test_naming_early_spends_the_actions_that_are_left_on_the_spot(moves: str, looks: int) -> None:
    environment = make(shuffled(), moves=moves, start=[0.25, -0.25], glimpses=6)
    game = Game(environment, 0)
    for _ in range(looks):
        game.press("left")
    place = game.path[-1]
    game.press("2")
    assert [action["label"] for action in environment.actions] == [0] * looks + [2] * (6 - looks)
    for action in environment.actions[looks:]:
        np.testing.assert_array_equal(action["location"], place if moves == "absolute" else (0, 0))
    np.testing.assert_array_equal(game.path[-1], place)
    with pytest.raises(gym.error.ResetNeeded):
        environment.step(environment.actions[-1])


def test_keys_that_mean_nothing_at_present_do_nothing() -> None:
    environment = make(shuffled(), classes=3)
    game = Game(environment, 0)
    for key in ("space", "return", "3", "9", "a", "", "01", "é", "²", "left shift", "f1"):
        game.press(key)
    assert (environment.actions, game.played, game.over) == ([], 0, False)
    game.press("1")
    before = len(environment.actions)
    for key in ("left", "2", "0", "x"):
        game.press(key)
    game.look((0.5, 0.5))
    assert (len(environment.actions), game.named, game.success, game.played) == (before, 1, False, 1)
    game.press("return")
    assert game.success is None


def test_classes_from_the_eleventh_on_have_letters() -> None:
    for key, label in (("9", 9), ("a", 10), ("z", 35)):
        game = game_of(shuffled(), label=label, classes=36)
        game.press(key)
        assert (game.named, game.success) == (label, True)
    with pytest.raises(ValueError, match="keys for 36 classes, not for 37"):
        game_of(shuffled(), classes=37)


def test_escape_ends_it_all_and_counts_nothing() -> None:
    game = game_of(shuffled())
    game.press("left")
    game.press("escape")
    assert (game.over, game.played) == (True, 0)


# Zoom, rotation, stop -------------------------------------------------------------------------------------------------


def test_zooming_and_turning_look_again_and_are_kept() -> None:
    environment = make(shuffled(28, 28), glimpses=12, zoom=True, rotate=True)
    game = Game(environment, 0)
    game.press("right")
    place = game.path[-1]
    for key, zoom, rotation in [
        ("+", -0.5, 0),
        ("+", -1, 0),
        ("-", -0.5, 0),
        (",", -0.5, -0.25),
        (".", -0.5, 0),
        (".", -0.5, 0.25),
    ]:
        game.press(key)
        action = environment.actions[-1]
        assert (action["zoom"].tolist(), action["rotation"].tolist()) == ([zoom], [rotation])
        np.testing.assert_array_equal(action["location"], place)
        assert (game.zoom, game.rotation) == (zoom, rotation)
    game.press("down")
    action = environment.actions[-1]
    assert (action["zoom"].tolist(), action["rotation"].tolist()) == ([-0.5], [0.25])
    # One patch further, which is narrower now.
    np.testing.assert_allclose(game.path[-1] - place, (0, 2 * 4 * 2**-0.5 / 28), atol=1e-6)
    game.press("0")
    game.press("space")
    assert (game.zoom, game.rotation) == (0, 0)


def test_zooms_end_at_one_and_turns_go_round() -> None:
    environment = make(shuffled(), glimpses=20, zoom=True, rotate=True)
    game = Game(environment, 0)
    for _ in range(4):
        game.press("-")
    assert (game.zoom, len(environment.actions)) == (1, 2)
    for _ in range(8):
        game.press(".")
    assert [action["rotation"].item() for action in environment.actions[2:]] == [0.25, 0.5, 0.75, -1, -0.75, -0.5, -0.25, 0]


def test_without_the_switches_their_keys_do_nothing() -> None:
    environment = make(shuffled())
    game = Game(environment, 0)
    for key in "+-,.":
        game.press(key)
    assert (environment.actions, game.direction) == ([], None)


@pytest.mark.parametrize("looks", [0, 1, 3])
def test_with_stop_naming_the_class_is_one_action_that_stops(looks: int) -> None:
    environment = make(shuffled(), glimpses=6, stop=True)
    game = Game(environment, 0)
    for _ in range(looks):
        game.press("left")
    game.press("2")
    assert [(action["label"], action["stop"]) for action in environment.actions] == [(0, 0)] * looks + [(2, 1)]
    assert (game.success, game.played, game.looks_left) == (True, 1, 0)
    game.press("return")
    assert game.success is None


@pytest.mark.parametrize("rotation", [0, 0.1, 0.25, -0.6, 1])
@pytest.mark.parametrize("zoom", [-1, -0.5, 0, 0.7, 1])
def test_a_zoomed_and_turned_patch_is_shown_where_the_retina_was(zoom: float, rotation: float) -> None:
    slope = 0.01
    x, y = np.meshgrid(np.arange(28, dtype=np.float32), np.arange(28, dtype=np.float32))
    slopes = 0.2 + slope * x + slope / 2 * y  # whose means are its values in the middle
    game = game_of(slopes, glimpse_size=6, start=[-1.0, -1.0], zoom=True, rotate=True)
    corner = game.seen > 0
    game.look((0.3, 0.25), zoom, rotation)
    shown = (game.seen > 0) & ~corner
    width = 2**zoom
    assert shown.sum() == pytest.approx((6 * width) ** 2, rel=0.25)
    # A pixel of the picture lies at most half a diagonal away from the middle of the patch's pixel that is shown there.
    assert np.abs(game.seen - slopes)[shown].max() <= slope * 1.25**0.5 * width * 0.5**0.5 + 1e-5


def test_a_sharper_look_is_not_hidden_by_a_wider_one() -> None:
    game = game_of(shuffled(28, 28), glimpse_size=8, start=[-1.0, -1.0], zoom=True)
    corner = game.seen > 0
    game.look((0.1, 0.1), zoom=-0.5)
    sharp = game.seen.copy()
    shown = (sharp > 0) & ~corner
    assert shown.sum() == pytest.approx(8**2 / 2, rel=0.25)
    for zoom in (0, 1):
        game.look((0.1, 0.1), zoom)
        np.testing.assert_array_equal(game.seen[shown], sharp[shown])
    assert ((game.seen > 0) & ~corner).sum() == 16**2


def test_the_drawing_shows_zoom_and_angle_and_names_their_keys() -> None:
    game = game_of(shuffled(), glimpse_size=2, glimpses=9, zoom=True, rotate=True)
    boxes, texts = [], []
    for key in ("", "-", "-", "."):
        game.press(key)
        drawing = draw_game(game)
        boxes.append(np.ptp(where(drawing[:, : GAP + SIDE + 2], BOXES[0])[:, 0]))
        texts.append(drawing[-2 * LINE - GAP :])
    assert np.abs(np.array(boxes) - np.array([80, 113, 160, 226])).max() <= 5
    assert not np.array_equal(texts[0], draw_game(game_of(shuffled(), glimpse_size=2, glimpses=9))[-2 * LINE - GAP :])


# The score ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("reward", ["sparse", "dense"])
def test_the_score_counts_the_episodes_whose_class_was_named_rightly(reward: str) -> None:
    game = game_of(shuffled(), label=0, reward=reward)
    score = []
    for key in ("0", "1", "2", "0"):
        game.press("up")  # a look carries class 0, which is no answer
        game.press(key)
        score.append((game.right, game.played, game.success, game.label))
        game.press("space")
    assert score == [(1, 1, True, 0), (1, 2, False, 0), (1, 3, False, 0), (2, 4, True, 0)]


def test_the_seed_decides_on_the_pictures() -> None:
    def pictures(seed: int) -> list[bytes]:
        game = Game(gym.make("attention_env/Digits-v0"), seed)
        found = []
        for _ in range(4):
            game.press("0")
            found.append(game.picture.tobytes())
            game.press("space")
        return found

    assert pictures(0) == pictures(0)
    assert pictures(0) != pictures(1)
    assert len(set(pictures(0))) > 1


# A world that moves -------------------------------------------------------------------------------------------------


def test_where_every_label_acts_a_key_is_one_action_and_a_look_carries_on_with_it() -> None:
    environment = Recorder(gym.make("attention_env/Catch-v0"))
    game = Game(environment, 0)
    for key in ("2", "1", "up", "0", "left"):
        game.press(key)
    assert [action["label"] for action in environment.actions] == [2, 1, 1, 0, 0]
    assert len(game.path) == 6
    assert game.success is None


def test_of_a_world_that_moves_only_the_last_glimpse_is_shown() -> None:
    environment = gym.make("attention_env/Catch-v0", scales=1, glimpse_size=24)
    game = Game(environment, 0)
    for _ in range(game.settings.glimpses):
        np.testing.assert_array_equal(game.seen, environment.unwrapped.batch.images()[0].numpy())
        assert (game.seen > 0).sum() == 3  # a ball and a paddle of two
        game.press("1")
    assert game.success in (True, False)
    assert (game.label, game.played, game.right) == (None, 1, int(game.success))
    np.testing.assert_array_equal(game.picture, environment.unwrapped.batch.images()[0].numpy())


def test_of_a_world_that_moves_nothing_is_remembered() -> None:
    game = Game(gym.make("attention_env/Catch-v0", scales=1, glimpse_size=24), 0)
    assert game.seen[0, 23].sum() == 2  # the paddle
    game.look((-1.0, -1.0))
    assert game.seen[0, 12:].sum() == 0


# What one sees ------------------------------------------------------------------------------------------------------


def where(drawing: NDArray[np.uint8], colour: tuple[int, int, int]) -> NDArray[np.int64]:
    """List the points (x, y) of a colour."""
    y, x = np.nonzero((drawing == colour).all(axis=-1))
    return np.stack((x, y), axis=1)


def test_the_drawing_is_black_where_nothing_was_seen() -> None:
    game = game_of(np.ones((8, 8), np.float32), glimpse_size=2)
    picture = draw_game(game)[GAP : GAP + SIDE, GAP : GAP + SIDE]
    assert (picture[:115] == 0).all()
    assert (picture[130:190, 130:190] == 255).all()
    game.press("0")
    assert (draw_game(game)[GAP : GAP + 115, GAP : GAP + SIDE] == 255).all()


@pytest.mark.parametrize(("height", "width"), [(8, 8), (28, 28), (6, 12), (12, 6)])
@pytest.mark.parametrize("place", [(0.0, 0.0), (0.5, -0.25), (-0.4, 0.6)])
def test_the_point_in_the_middle_of_the_box_is_where_one_looks(place: tuple[float, float], height: int, width: int) -> None:
    game = game_of(shuffled(height, width), glimpse_size=2)
    game.look(place)
    box = where(draw_game(game)[:, : GAP + SIDE + 2], BOXES[0])
    found = place_at(game, *((box.min(axis=0) + box.max(axis=0)) / 2))
    assert found is not None
    np.testing.assert_allclose(found, place, atol=0.03)


def test_points_beside_the_picture_are_no_places() -> None:
    game = game_of(shuffled(4, 8))
    height, width, _ = draw_game(game).shape
    middle = GAP + SIDE / 2
    for point in [(0, 0), (width - 1, height - 1), (middle, GAP), (GAP - 2, middle), (GAP + SIDE + 2, middle)]:
        assert place_at(game, *point) is None
    assert place_at(game, middle, middle) == (0.0, 0.0)
    assert place_at(game, GAP, middle - SIDE / 4) == (-1.0, -1.0)


def test_the_drawing_tells_right_from_wrong_and_which_class_it_was() -> None:
    game = game_of(shuffled(), label=2)
    assert len(where(draw_game(game), RIGHT)) == len(where(draw_game(game), WRONG)) == 0
    game.press("0")
    drawing = draw_game(game)
    names = drawing[: GAP + 3 * LINE, -NAMES_WIDTH:]
    assert where(names, WRONG)[:, 1].max() < GAP + LINE < GAP + 2 * LINE <= where(names, RIGHT)[:, 1].min()
    game.press("space")
    game.press("2")
    drawing = draw_game(game)
    assert len(where(drawing, RIGHT)) > 0
    assert len(where(drawing, WRONG)) == 0


def test_the_score_and_the_glimpses_are_drawn() -> None:
    game = game_of(shuffled(), label=2)
    drawings = [draw_game(game)]
    for key in ("right", "2", "space"):
        game.press(key)
        drawings.append(draw_game(game))
    glimpse, score = ([drawing[-2 * LINE - GAP : -LINE - GAP // 2] for drawing in drawings], [d[-LINE:] for d in drawings])
    assert not np.array_equal(glimpse[0], glimpse[1])
    assert np.array_equal(glimpse[0], glimpse[3])
    assert np.array_equal(score[0], score[1])
    assert not np.array_equal(score[1], score[2])
    assert np.array_equal(score[2], score[3])


# The window ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def pygame(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """Pygame with a screen that nobody sees, so that events can be posted before a window opens."""
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    monkeypatch.setenv("PYGAME_HIDE_SUPPORT_PROMPT", "1")
    import pygame

    pygame.display.init()
    yield pygame
    pygame.quit()


def post_key(pygame: ModuleType, key: int, character: str = "") -> None:
    pygame.event.post(pygame.event.Event(pygame.KEYDOWN, key=key, unicode=character))


def post_click(pygame: ModuleType, place: tuple[float, float], button: int = 1) -> None:
    """Click on a place of a square picture."""
    point = tuple(round(GAP + (coordinate + 1) / 2 * SIDE) for coordinate in place)
    pygame.event.post(pygame.event.Event(pygame.MOUSEBUTTONDOWN, button=button, pos=point))


def test_keys_and_clicks_reach_the_game(pygame: ModuleType) -> None:
    environment = make(shuffled(), glimpses=5, glimpse_size=2, label=2)
    post_key(pygame, pygame.K_RIGHT)
    post_key(pygame, pygame.K_UP)
    post_click(pygame, (-0.5, 0.25))
    post_click(pygame, (0.5, 0.5), button=3)  # not the left button
    post_click(pygame, (1.2, 0.0))  # beside the picture
    post_key(pygame, pygame.K_2, "2")
    post_key(pygame, pygame.K_SPACE, " ")
    post_key(pygame, pygame.K_KP1, "1")
    post_key(pygame, pygame.K_RETURN, "\r")
    post_key(pygame, pygame.K_AMPERSAND, "1")  # where the digits need the shift key, or do not
    post_key(pygame, pygame.K_ESCAPE, "\x1b")
    post_key(pygame, pygame.K_SPACE, " ")  # comes too late
    game = play(environment, 0)
    np.testing.assert_allclose(
        [action["location"] for action in environment.actions[:5]], [(0.5, 0), (0.5, -0.5), *[(-0.5, 0.25)] * 3], atol=1e-6
    )
    assert [action["label"] for action in environment.actions] == [0, 0, 0, 2, 2, *[1] * 10]
    assert (game.right, game.played, game.over, game.success) == (1, 3, True, False)
    assert not pygame.display.get_init()


def test_signs_reach_the_game(pygame: ModuleType) -> None:
    environment = make(shuffled(), zoom=True, rotate=True, stop=True)
    post_key(pygame, pygame.K_EQUALS, "+")  # where the sign needs the shift key
    post_key(pygame, pygame.K_KP_PLUS, "+")
    post_key(pygame, pygame.K_MINUS, "-")
    post_key(pygame, pygame.K_COMMA, ",")
    post_key(pygame, pygame.K_2, "2")
    post_key(pygame, pygame.K_ESCAPE, "\x1b")
    game = play(environment, 0)
    assert [action["zoom"].item() for action in environment.actions] == [-0.5, -1, -0.5, -0.5, -0.5]
    assert [action["rotation"].item() for action in environment.actions] == [0, 0, 0, -0.25, -0.25]
    assert (game.right, game.played) == (1, 1)


def test_letters_reach_the_game_whether_capital_or_not(pygame: ModuleType) -> None:
    post_key(pygame, pygame.K_b, "B")
    post_key(pygame, pygame.K_ESCAPE)
    assert play(make(shuffled(), label=11, classes=12)).right == 1


def test_closing_the_window_quits(pygame: ModuleType) -> None:
    pygame.event.post(pygame.event.Event(pygame.QUIT))
    game = play(make(shuffled()), 0)
    assert (game.over, game.played) == (True, 0)


def test_the_window_shows_the_drawing(pygame: ModuleType) -> None:
    class Photographer(gym.Wrapper[Any, Any, Any, Any]):
        """Keeps what the window shows whenever an action is taken."""

        def step(self, action: Any) -> Any:
            photographs.append(pygame.surfarray.array3d(pygame.display.get_surface()).swapaxes(0, 1))
            return super().step(action)

    photographs: list[NDArray[np.uint8]] = []
    twin, expected = game_of(shuffled(), glimpses=4), []
    for key, code in (("right", pygame.K_RIGHT), ("down", pygame.K_DOWN), ("left", pygame.K_LEFT), ("2", pygame.K_2)):
        expected.append(draw_game(twin))
        twin.press(key)
        post_key(pygame, code, key if len(key) == 1 else "")
    post_key(pygame, pygame.K_ESCAPE)
    play(Photographer(make(shuffled(), glimpses=4)), 0)
    assert len({drawing.tobytes() for drawing in expected}) == 4
    np.testing.assert_array_equal(photographs, expected)


def test_without_a_seed_the_pictures_are_others_every_time(pygame: ModuleType) -> None:
    pictures = set()
    for _ in range(5):
        pygame.display.init()
        post_key(pygame, pygame.K_0, "0")
        post_key(pygame, pygame.K_ESCAPE)
        pictures.add(play(gym.make("attention_env/Digits-v0")).picture.tobytes())
    assert len(pictures) > 1


@pytest.mark.parametrize("driver", ["offscreen", "no-such-driver"])
def test_without_a_screen_that_is_said_at_once(driver: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SDL_VIDEODRIVER", driver)
    with pytest.raises(PlayError, match=r"no window can be opened \(.+\): playing needs a screen"):
        play(make(shuffled()))


def test_without_pygame_the_error_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pygame", None)
    with pytest.raises(PlayError, match=r'pygame.*pip install -e "\.\[human\]"'):
        play(make(shuffled()))


def test_an_environment_that_cannot_be_played_opens_no_window(pygame: ModuleType) -> None:
    pygame.quit()
    with pytest.raises(ValueError, match="CartPoleEnv"):
        play(gym.make("CartPole-v1"))
    assert not pygame.display.get_init()

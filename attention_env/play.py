"""Play yourself: steer the retina over a hidden picture and name what you have seen.

`Game` is what keys and clicks do, `draw_game` what one sees of it; both need no window. `play` puts them into one of pygame.

| key | what it does |
|---|---|
| arrows | look one patch further, or, in relative moves, as far as one move reaches |
| click | look there, or, in relative moves, as far in that direction as one move reaches |
| + - | with `zoom`: look again, sharper or wider |
| , . | with `rotate`: look again, turned an eighth of a turn to the left or to the right |
| 0 … 9, a … z | name the class, from class 10 on by a letter, and end the episode; or, in a world that moves, act once |
| space, return | show the next picture, after the end |
| escape | quit |
"""

from __future__ import annotations

import math
import os
import string
import warnings
from typing import TYPE_CHECKING, Any

import gymnasium as gym
import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from attention_env.envs.glimpse import GlimpseEnv
from attention_env.rendering import BACKGROUND, GAP, SIDE, TEXT, class_names, draw_frame

if TYPE_CHECKING:
    from pygame.event import Event

ARROWS = {"left": (-1, 0), "right": (1, 0), "up": (0, -1), "down": (0, 1)}
ZOOM_KEYS = {"+": -0.5, "-": 0.5}
TURN_KEYS = {",": -0.25, ".": 0.25}
CLASS_KEYS = string.digits + string.ascii_lowercase
NAMES_WIDTH = 130
LINE = 24
RIGHT = (124, 252, 120)
WRONG = (255, 96, 96)


class PlayError(RuntimeError):
    """There is no window to play in; the message says what would help."""


class Game:
    """One person's episodes in a glimpse environment.

    Naming a class ends an episode: early, it spends the actions that are left on the spot, or, with `stop`, stops at once. Where
    the environment `acts` on the label at every step, it is one action instead. A look carries the label named last, at first 0,
    since every action has one, and is zoomed and turned like the one before. The score counts `is_success`, whatever the rewards.

    Args:
        env: a glimpse environment whose actions are in the "dict" format, as `gym.make` gives it.
        seed: of the first episode; those that follow go on from it.

    Attributes:
        seen: (C, H, W) float32 in [0, 1], the picture as far as the retina has shown it, each pixel as sharp as it ever was; 0
            elsewhere. Of a world that moves it is what the last glimpse shows.
        glimpse: (scales · C, g, g) float32, what the retina shows at present.
        path: the locations (2,) so far, the present one last.
        zoom: of the glimpse.
        rotation: of the glimpse, in half turns.
        named: the label named last; None before.
        success: whether the episode has ended well; None until it has ended.
        label: the true class; None until the episode has ended, and where there is none.
        right: episodes that have ended well.
        played: episodes that have ended.
        over: whether the player has quit.

    Raises:
        ValueError: if it is no such environment, or there are more classes than keys.
    """

    def __init__(self, env: gym.Env[Any, Any], seed: int | None = None) -> None:
        inner = env.unwrapped
        if not isinstance(inner, GlimpseEnv):
            raise ValueError(f"{type(inner).__name__} is not a glimpse environment: playing needs one of attention_env")
        self.settings, self._batch = inner.batch.settings, inner.batch
        if self.settings.action_format != "dict":
            raise ValueError(f"one plays in action_format='dict', not in {self.settings.action_format!r}")
        self.classes = self._batch.pictures.classes
        if self.classes > len(CLASS_KEYS):
            raise ValueError(f"there are keys for {len(CLASS_KEYS)} classes, not for {self.classes}")
        self._env = env
        self.path: list[NDArray[np.float32]]
        self.named: int | None
        self.success: bool | None
        self.label: int | None
        self.right = self.played = 0
        self.over = False
        self._start(seed)

    @property
    def picture(self) -> NDArray[np.float32]:
        """What to show, (C, H, W): what has been seen, and after the end everything."""
        return self.seen if self.success is None else self._whole

    @property
    def looks_left(self) -> int:
        """How often one may still look before a class must be named."""
        return self._actions_left - 1 if self.success is None else 0

    @property
    def direction(self) -> NDArray[np.float32] | None:
        """(cos, sin) of the angle that the glimpse is turned by; None where there is no turning."""
        angle = self.rotation * math.pi
        return np.array((math.cos(angle), math.sin(angle)), np.float32) if self.settings.rotate else None

    def press(self, key: str) -> None:
        """Do what a key asks for, or nothing if at present it asks for nothing.

        Args:
            key: "left", "right", "up", "down", "space", "return", "escape", or a character.
        """
        if key == "escape":
            self.over = True
        elif self.success is not None:
            if key in ("space", "return"):
                self._start(None)
        elif key in ARROWS:
            _, height, width = self.seen.shape
            patch = 2 * self.settings.glimpse_size * 2**self.zoom / np.array([width, height])
            self.look(self.path[-1] + patch * ARROWS[key])
        elif key in ZOOM_KEYS and self.settings.zoom:
            if abs(zoom := self.zoom + ZOOM_KEYS[key]) <= 1:
                self.look(self.path[-1], zoom=zoom)
        elif key in TURN_KEYS and self.settings.rotate:
            self.look(self.path[-1], rotation=self.rotation + TURN_KEYS[key])
        elif len(key) == 1 and key in CLASS_KEYS[: self.classes]:
            self.name(CLASS_KEYS.index(key))

    def look(self, place: NDArray[Any] | tuple[float, float], zoom: float | None = None, rotation: float | None = None) -> None:
        """Look at a place (x, y), or as far towards it as a move goes; without a look left nothing happens.

        Args:
            place: (x, y), in [-1, 1].
            zoom: of the glimpse, clipped to [-1, 1]; None for that of the last one.
            rotation: of the glimpse, in half turns; None for that of the last one.
        """
        if not self.looks_left:
            return
        if zoom is not None:
            self.zoom = min(max(zoom, -1.0), 1.0)
        if rotation is not None:
            self.rotation = (rotation + 1) % 2 - 1
        action = np.asarray(place, np.float32)
        if self.settings.moves == "relative":
            action = (action - self.path[-1]) / self.settings.move_scale
        self._act(action)

    def name(self, label: int) -> None:
        """Name the class and end the episode, or, where the environment acts on every label, act; after the end nothing happens."""
        stay = np.zeros(2) if self.settings.moves == "relative" else self.path[-1]
        while self.success is None:
            self.named = label
            self._act(stay, stop=True)
            if self._batch.acts:
                break

    def _start(self, seed: int | None) -> None:
        observation, _ = self._env.reset(seed=seed)
        self._edge, self._half_size = self._batch.retina.fine_places(self._batch.started()[0])
        self._whole: NDArray[np.float32] = self._batch.images()[0].numpy()
        self.path = []
        self.zoom = self.rotation = 0.0
        self.named = self.success = self.label = None
        self._forget()
        self._observe(observation)

    def _forget(self) -> None:
        self.seen = np.zeros_like(self._whole)
        # How coarse the finest patch was that showed a pixel: its scale and zoom; infinitely where there was none.
        self._coarseness: NDArray[np.float64] = np.full(self.seen.shape[1:], np.inf)

    def _act(self, location: NDArray[Any], stop: bool = False) -> None:
        action: dict[str, Any] = {"location": np.clip(location, -1, 1).astype(np.float32), "label": self.named or 0}
        if self.settings.zoom:
            action["zoom"] = np.array([self.zoom], np.float32)
        if self.settings.rotate:
            action["rotation"] = np.array([self.rotation], np.float32)
        if self.settings.stop:
            action["stop"] = int(stop)
        observation, _, ended, _, info = self._env.step(action)
        if self._batch.acts:
            self._whole = self._batch.images()[0].numpy()
            self._forget()
        if ended:
            self.glimpse = observation["glimpse"]
            self.success, self.label = bool(info["is_success"]), info.get("label")
            self.played += 1
            self.right += self.success
        else:
            self._observe(observation)

    def _observe(self, observation: dict[str, NDArray[np.float32]]) -> None:
        self.glimpse = observation["glimpse"]
        self.path.append(observation["location"])
        self._actions_left = round(float(observation["remaining"][0]) * self.settings.glimpses)
        patches = self.glimpse.reshape(self.settings.scales, len(self.seen), *self.glimpse.shape[1:])
        for scale, patch in enumerate(patches):
            self._paint(patch, scale)

    def _paint(self, patch: NDArray[np.float32], scale: int) -> None:
        """Lay a patch (C, g, g) over what has been seen, except where that was sharper."""
        size, (height, width), coarseness = self.settings.glimpse_size, self._coarseness.shape, scale + self.zoom
        # Computed as the retina does it, so that rounding is the same to the pixel.
        fine = torch.addcmul(self._edge, torch.from_numpy(self.path[-1])[None], self._half_size)[0].numpy()
        edges = fine - self._batch.retina.border - size * (2**scale - 1) / 2
        if self._batch.retina.interpolation == "nearest":
            edges = np.floor(edges)
        middle = edges + size * 2**scale / 2
        x, y = np.arange(width) + 0.5 - middle[0], (np.arange(height) + 0.5 - middle[1])[:, None]
        cosine, sine = (1.0, 0.0) if self.direction is None else self.direction
        across = np.floor((x * cosine + y * sine) / 2**coarseness + size / 2).astype(np.int64)  # (H, W)
        down = np.floor((y * cosine - x * sine) / 2**coarseness + size / 2).astype(np.int64)
        inside = (across >= 0) & (across < size) & (down >= 0) & (down < size)
        shown = inside & (coarseness <= self._coarseness)
        self.seen[:, shown] = patch[:, down[shown], across[shown]]
        self._coarseness[shown] = coarseness


# What one sees ------------------------------------------------------------------------------------------------------


def draw_game(game: Game) -> NDArray[np.uint8]:
    """Draw a game: what has been seen of the picture, what the retina shows, the classes and their keys, the score.

    Returns:
        (height, width, 3) uint8, of the same shape throughout a game; the left part is a frame of `attention_env.rendering`.
    """
    settings = game.settings
    path, size, scales = np.stack(game.path), settings.glimpse_size, settings.scales
    frame = draw_frame(game.picture, game.glimpse, path, size, scales, game.zoom, game.direction)
    height, width, _ = frame.shape
    page = Image.new("RGB", (width + NAMES_WIDTH, height + 2 * LINE + GAP), BACKGROUND)
    page.paste(Image.fromarray(frame), (0, 0))
    draw = ImageDraw.Draw(page)
    pitch = min(LINE, (height - 2 * GAP) // game.classes)
    font = ImageFont.load_default(size=max(8, pitch * 0.6))
    verdict = TEXT if game.success is None else RIGHT if game.success else WRONG
    for label in range(game.classes):
        colour = RIGHT if label == game.label else verdict if label == game.named else TEXT
        draw.text((width + 4, GAP + label * pitch), _key_and_name(game, label), fill=colour, font=font)
    font = ImageFont.load_default(size=14)
    draw.text((GAP, height), _what_now(game), fill=verdict, font=font)
    draw.text((GAP, height + LINE), f"score {game.right} of {game.played}    escape: quit", fill=TEXT, font=font)
    return np.array(page)


def place_at(game: Game, x: float, y: float) -> tuple[float, float] | None:
    """Tell which place of the picture lies at a point of the drawing, in its pixels; None beside the picture."""
    _, height, width = game.seen.shape
    zoom = SIDE / max(height, width)
    across, down = round(width * zoom), round(height * zoom)
    place = ((x - GAP - (SIDE - across) // 2) / across * 2 - 1, (y - GAP - (SIDE - down) // 2) / down * 2 - 1)
    return place if max(map(abs, place)) <= 1 else None


def _what_now(game: Game) -> str:
    if game.success is not None:
        verdict = "right" if game.success else "wrong"
        truth = "" if game.label is None else f", it was {_key_and_name(game, game.label)}"
        return f"{verdict}{truth}    space: next"
    glimpse = f"glimpse {len(game.path)} of {game.settings.glimpses}"
    if not game.looks_left:
        return f"{glimpse}, the last    name: keys"
    zoom, turn = "; zoom: + -" if game.settings.zoom else "", "; turn: , ." if game.settings.rotate else ""
    return f"{glimpse}    look: arrows, click{zoom}{turn}; name: keys"


def _key_and_name(game: Game, label: int) -> str:
    names = class_names(game.settings.source)
    return f"{CLASS_KEYS[label]}  {names[label]}" if names else CLASS_KEYS[label]


# The window ---------------------------------------------------------------------------------------------------------


def play(env: gym.Env[Any, Any], seed: int | None = None) -> Game:
    """Play in a window until the player quits.

    Args:
        env: a glimpse environment whose actions are in the "dict" format, as `gym.make` gives it.
        seed: of the first picture; without one, others every time.

    Returns:
        The game, with its score.

    Raises:
        ValueError: if the environment cannot be played in.
        PlayError: if pygame is not installed, or no window can be opened.
    """
    os.environ.setdefault("PYGAME_HIDE_SUPPORT_PROMPT", "1")  # its greeting would stand in our output
    try:
        import pygame
    except ImportError as error:
        raise PlayError('playing needs pygame, which is not installed: pip install -e ".[human]"') from error
    game = Game(env, seed)
    height, width, _ = draw_game(game).shape
    try:
        pygame.display.init()
        if pygame.display.get_driver() == "offscreen":  # SDL's choice where there is no screen: nobody could end the game
            raise pygame.error("no screen was found")
        with warnings.catch_warnings(category=Warning, action="ignore"):  # of slow renderers: we draw only after key presses
            window = pygame.display.set_mode((width, height), pygame.SCALED | pygame.RESIZABLE)
    except pygame.error as error:
        pygame.quit()
        raise PlayError(f"no window can be opened ({error}): playing needs a screen") from error
    try:
        pygame.display.set_caption("What is in the picture?")
        pygame.event.set_blocked(pygame.MOUSEMOTION)  # which would have everything drawn anew all the time
        while not game.over:
            pygame.surfarray.blit_array(window, draw_game(game).swapaxes(0, 1))
            pygame.display.flip()
            _handle(game, pygame.event.wait())
    finally:
        pygame.quit()
    return game


def _handle(game: Game, event: Event) -> None:
    """Tell the game of an event of pygame."""
    import pygame

    if event.type == pygame.QUIT:
        game.press("escape")
    elif event.type == pygame.KEYDOWN:
        # The character, not the key: digits stand on other keys elsewhere, and on the keypad.
        character = event.unicode.strip().lower()
        game.press(character if character.isprintable() and character else pygame.key.name(event.key))
    elif event.type == pygame.MOUSEBUTTONDOWN and event.button == pygame.BUTTON_LEFT:
        place = place_at(game, *event.pos)
        if place is not None:
            game.look(place)

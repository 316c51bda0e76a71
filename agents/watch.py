"""Watching an agent: a GIF of where it looks and what it thinks at every step."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from agents.config import ReinforceConfig
from agents.looking import pose
from agents.player import Noise, Player
from attention_core.pictures import write_gif
from attention_env.batch import make_split
from attention_env.rendering import BACKGROUND, GAP, SIDE, TEXT, class_names

BAR_HEIGHT = 26


@torch.no_grad()
def write_scan(
    player: Player, config: ReinforceConfig, out: Path, split: str, episodes: int, seed: int, device: torch.device
) -> None:
    """Write a GIF of episodes one after the other, at mean locations.

    Every frame shows the picture with the glimpses' boxes and the path so far, what the retina sees, and the class
    probabilities at that step; the box's and the true class's colour says how probable the true class is, from red to green. In a
    world that moves there is no true class: what is done takes its place.

    Args:
        player: the agent.
        config: names the environment and its settings.
        out: the GIF's place.
        split: which pictures.
        episodes: how many.
        seed: which of them, and of all that is chance.
        device: where to compute.

    Raises:
        ValueError: if `episodes` is not within the number of pictures.
    """
    count = len(make_split(config, device, 1, split).pictures)
    if not 1 <= episodes <= count:
        raise ValueError(f"episodes must be within 1 … {count}, the pictures of the split, got {episodes}")
    environment = make_split(
        dataclasses.replace(config, env_kwargs={**config.env_kwargs, "render_mode": "rgb_array"}), device, episodes, split
    )
    index = np.random.default_rng(seed).choice(count, episodes, replace=False)
    observation, _ = environment.reset(seed=seed, options={"index": index})
    labels = None if environment.acts else environment.pictures.labels[index]
    state, chance = None, Noise(None)
    if player.looking.always_by_chance:
        generator = torch.Generator(device).manual_seed(seed)
        chance = Noise(player.noise(environment, (episodes,), generator, config.final_deviation, False).look)
    playing = np.ones(episodes, np.bool_)
    frames: list[list[Image.Image]] = [[] for _ in range(episodes)]
    steps, names = environment.settings.glimpses, class_names(environment.settings.source)
    for step in range(steps):
        state = player.network(observation["glimpse"], pose(observation), state)
        probabilities = player.network.class_scores(state).softmax(-1)
        pictures = environment.render()
        assert pictures is not None
        marked = probabilities.argmax(-1).cpu().numpy() if labels is None else labels
        for row in np.flatnonzero(playing):
            frames[row].append(_add_bars(pictures[row], probabilities[row].cpu().numpy(), int(marked[row]), names))
        action = player.looking.action(*player.choose(environment, observation, state, step, chance))
        observation, _, ended, *_ = environment.step(action)
        playing = ~ended.cpu().numpy()
    write_gif(frames, out)


def _add_bars(picture: NDArray[np.uint8], probabilities: NDArray[np.float32], label: int, names: Sequence[str] = ()) -> Image.Image:
    """Put the class probabilities beside a rendered frame, framed in the colour of the true class's probability."""
    height, width, _ = picture.shape
    pitch = min(BAR_HEIGHT, (height - 2 * GAP) // len(probabilities))
    font = ImageFont.load_default(size=max(9, pitch * 0.6))
    names = names or [str(number) for number in range(len(probabilities))]
    start = width + 14 + max(16, *(math.ceil(font.getlength(name)) for name in names))
    frame = Image.new("RGB", (start + 170, height), BACKGROUND)
    frame.paste(Image.fromarray(picture), (0, 0))
    draw = ImageDraw.Draw(frame)
    colour = _colour(float(probabilities[label]))
    draw.rectangle((GAP - 5, GAP - 5, GAP + SIDE + 4, GAP + SIDE + 4), outline=colour, width=5)
    for row, (name, probability) in enumerate(zip(names, probabilities.tolist(), strict=True)):
        top = GAP + 4 + row * pitch
        shade = colour if row == label else (110, 114, 128)
        draw.text((width + 4, top), name, fill=colour if row == label else TEXT, font=font)
        draw.rectangle((start, top, start + round(150 * probability), top + max(1, pitch - 8)), fill=shade)
    return frame


def _colour(probability: float) -> tuple[int, int, int]:
    """Colour of the true class's probability: red at 0, yellow at ½, green at 1, none too dark to be read."""
    from matplotlib import colormaps  # here: see `attention_core.curves`

    red, green, blue, _ = colormaps["RdYlGn"](0.15 + 0.7 * probability)
    return round(red * 255), round(green * 255), round(blue * 255)

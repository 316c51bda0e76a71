"""Write the environments' manual: `python docs/make_pages.py` makes `docs/environments/` from docstrings, scans and trained agents.

The text needs no data files; it is written first. The pictures need the data sets that they show (see `attention data fetch`).
"""

from __future__ import annotations

import dataclasses
import inspect
import re
from enum import Enum
from functools import partial
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from gymnasium.envs.registration import load_env_creator
from PIL import Image

import attention_env
import captioning.loading
from agents.train import load
from agents.watch import write_scan
from attention_core.files import write_atomically, write_text_atomically
from attention_core.pictures import write_gif
from attention_core.zoo import pick_device
from attention_env.caption_scenes import SceneSource
from attention_env.captions import END
from attention_env.envs.batched import SingleEnv
from attention_env.envs.caption import CaptionEnv
from attention_env.envs.glimpse import GlimpseEnv
from attention_env.options import BatchOptions
from captioning.writing import write_about

FOLDER = Path(__file__).resolve().parent / "environments"
SEEN = "Six moments of a scan, row by row: boxes show where the retina looks, beside each what it sees"
SAID = "Six moments of a sentence, row by row: the place looked at, and what has been said so far"
LOOKING = ("with what it thinks at every step", "The scan paths of a trained agent, and the probability of each class")
TELLING = ("in its own words", "Where a trained captioner looks for each word, and what it has said so far")
SHARED = (
    " In bold: what differs from the ordinary glimpse environment. [`GlimpseEnv`](README.md#what-they-share-glimpseenv) is "
    "described with the index of all environments."
)
COLUMNS = 3
MOMENTS = 6
EPISODES = 4

# Where each picture's episode looks after its start (in `CircleSquare-v0`, how far it moves), written by hand for what seed 0
# shows; an environment that is not listed gets the last one. Of a longer scan every so many moments are shown.
SCANS: dict[str, list[tuple[float, float]]] = {
    "Digits-v0": [(0.0, -0.75), (-0.5, -0.25), (-0.25, 0.5), (0.25, 0.75), (0.5, 0.25)],
    "MNIST-v0": [(0.0, -0.35), (-0.5, -0.05), (0.2, 0.2), (0.75, -0.5), (-0.15, 0.6)],
    "FashionMNIST-v0": [(-0.3, 0.0), (-0.65, 0.1), (0.1, 0.2), (0.45, 0.1), (0.75, -0.1)],
    "TranslatedMNIST-v0": [(-0.15, 0.2), (-0.35, 0.1), (-0.2, 0.0), (0.2, -0.1), (-0.25, 0.4)],
    "RotatedMNIST-v0": [(-0.15, 0.2), (-0.4, 0.1), (-0.15, 0.0), (0.25, 0.0), (-0.3, 0.4)],
    "ScaledMNIST-v0": [(-0.1, 0.2), (-0.45, 0.15), (-0.2, -0.1), (0.25, -0.15), (-0.25, 0.5)],
    "ClutteredMNIST-v0": [(-0.4, -0.35), (-0.4, 0.45), (-0.7, 0.45), (-0.15, 0.2), (-0.55, 0.7)],
    "ClutteredMNIST100-v0": [(-0.55, 0.45), (0.85, 0.85), (0.55, 0.25), (0.4, 0.3), (0.7, 0.1)],
    "CircleSquare-v0": [(1.0, -1.0), (1.0, -0.25), (0.0, -1.0), (0.0, -1.0), (0.0, -1.0)],
    "Catch-v0": [
        place for place in [(0.45, -0.6), (0.45, -0.3), (0.55, 0.05), (0.6, 0.4), (0.65, 0.7)] for _ in range(4)
    ],  # the ball falls slowly
    "": [(-0.5, -0.5), (0.5, -0.5), (0.5, 0.5), (-0.5, 0.5), (0.0, 0.0)],
}


# The released agent that a page shows at work; two of them were never trained on what they are shown there.
AGENTS = {
    "Digits-v0": "ram-digits",
    "MNIST-v0": "ram-mnist",
    "FashionMNIST-v0": "ram-fashion",
    "TranslatedMNIST-v0": "ram-translated",
    "RotatedMNIST-v0": "ram-translated",
    "ScaledMNIST-v0": "ram-translated",
    "ClutteredMNIST-v0": "ram-cluttered",
    "ClutteredMNIST100-v0": "ram-cluttered100",
    "Catch-v0": "ram-catch",
    "CircleSquare-v0": "ram-circlesquare",
    "Caption-v0": "caption-scenes-hard",
}


def pages() -> dict[str, str]:
    """Write the text of all pages: file name and Markdown of each, the index among them."""
    return {"README.md": _index(), **{f"{task_of(id_)}.md": _page(id_) for id_ in all_ids()}}


def all_ids() -> list[str]:
    """List the ids of all environments, those seen through a retina first."""
    return [*attention_env.environment_ids(), *attention_env.caption_ids()]


def task_of(id_: str) -> str:
    """Give the id's part after the namespace, such as "MNIST-v0": what its page and picture are called."""
    return id_.rpartition("/")[2]


def spaces(docstring: str) -> tuple[str, str]:
    """Read the action space and the observation space of an environment off its docstring: the first code in their sections.

    Raises:
        ValueError: if there is no such section, or no code in it.
    """
    return _first_code(docstring, "Action space"), _first_code(docstring, "Observation space")


def draw_picture(id_: str) -> Image.Image:
    """Draw the scan of an environment as it renders it itself: test pictures, seed 0, two rows of three moments.

    Raises:
        attention_core.data_files.DataError: if its data files are not there.
    """
    env: gym.Env[Any, Any] = gym.make(id_, split="test", render_mode="rgb_array")
    env.reset(seed=0)
    frames: list[Any] = [env.render()]
    actions = _telling(env.unwrapped) if isinstance(env.unwrapped, CaptionEnv) else _looking(id_)
    for action in actions:
        env.step(action)
        frames.append(env.render())
    moments = [Image.fromarray(frame).reduce(2) for frame in frames[:: len(actions) // (MOMENTS - 1)]][:MOMENTS]
    width, height = moments[0].size
    strip = Image.new("RGB", (COLUMNS * width, -(-len(moments) // COLUMNS) * height))
    for place, moment in enumerate(moments):
        strip.paste(moment, (place % COLUMNS * width, place // COLUMNS * height))
    return strip


def _looking(id_: str) -> list[dict[str, Any]]:
    """Give the actions of an environment's scan; the label is of no account, but that in `Catch-v0` the paddle stays."""
    return [{"location": location, "label": 1} for location in SCANS.get(task_of(id_), SCANS[""])]


def _telling(env: CaptionEnv) -> list[dict[str, Any]]:
    """Give the actions of someone who looks at what the reference names, and, at other words, at what it names next."""
    batch = env.batch
    assert isinstance(batch.source, SceneSource)
    (caption,) = batch.captions().tolist()
    holds = batch.source.holds(batch.index(), batch.device)[0].float()  # (L, V)
    named = [int(holds[:, word].argmax()) if holds[:, word].any() else None for word in caption]
    places = [next((place for place in named[step:] if place is not None), 0) for step in range(len(caption))]
    scores = np.zeros(len(batch.source.vocabulary), np.float32)
    return [{"place": place, "scores": scores} for place in places[: caption.index(END) + 1]]


def draw_agent(id_: str, place: Path) -> None:
    """Write the GIF of the released agent in an environment."""
    device = pick_device()
    if id_ in attention_env.caption_ids():
        _draw_captioner(id_, place, device)
    else:
        player, config, _ = load(AGENTS[task_of(id_)], device)
        write_scan(player, dataclasses.replace(config, env=id_), place, "test", EPISODES, 0, device)


def _draw_captioner(id_: str, place: Path, device: torch.device) -> None:
    """Write the GIF of the released captioner, which writes its own words, on the first test scenes."""
    captioner, config, _, _ = captioning.loading.load(AGENTS[task_of(id_)], device)
    source = SceneSource("test")
    written = write_about(captioner, source.shown(torch.arange(EPISODES), device), source.longest, config.search)
    env: gym.Env[Any, Any] = gym.make(id_, split="test", reward="cider", render_mode="rgb_array")
    frames = []
    for episode, caption in enumerate(written.captions):
        env.reset(options={"index": episode})
        frames.append([Image.fromarray(env.render())])
        # Places are told for as many words as the longest sentence of the batch has.
        for word, looked in zip([*caption, END], written.places[:, episode].tolist(), strict=False):
            env.step({"place": looked, "word": word})
            frames[-1].append(Image.fromarray(env.render()))
    write_gif(frames, place)


def _index() -> str:
    lines = [
        "# Environments",
        "",
        "Written by `python docs/make_pages.py` from the docstrings, as are all pages here.",
        "",
        "| id | task | action space | observation space, float32 | glimpses |",
        "|---|---|---|---|---|",
    ]
    for id_ in attention_env.environment_ids():
        lines.append(f"{_row(id_)} {_settings(id_)['glimpses']} |")
    lines += ["", "Described in words:", "", "| id | task | action space | observation space, float32 |", "|---|---|---|---|"]
    lines += map(_row, attention_env.caption_ids())
    summary, _, rest = _docstring(GlimpseEnv).partition("\n")
    shared = re.sub("^##", "###", rest, flags=re.MULTILINE)
    return "\n".join([*lines, "", "## What they share: `GlimpseEnv`", "", f"{summary}\n{shared}", ""])


def _row(id_: str) -> str:
    """Begin an environment's row of the index."""
    docstring = _docstring(_environment(id_))
    action, observation = spaces(docstring)
    return f"| [`{id_}`]({task_of(id_)}.md) | {docstring.splitlines()[0]} | `{action}` | `{observation}` |"


def _page(id_: str) -> str:
    task, options = task_of(id_), _environment(id_).vector_class.options
    meanings, ordinary = _meanings(options), _ordinary_settings(options)
    glimpses = issubclass(_environment(id_), GlimpseEnv)
    table = ["| setting | here | what it means |", "|---|---|---|"]
    for name, value in _settings(id_).items():
        here = _code(value) if value == ordinary[name] else f"**{_code(value)}**"
        table.append(f"| `{name}` | {here} | {meanings[name]} |")
    return "\n".join(
        [
            f"# `{id_}`",
            "",
            f"![{SEEN if glimpses else SAID}]({task}.png)",
            "",
            *_at_work(task, glimpses),
            _docstring(_environment(id_)),
            "",
            "## Settings",
            f"Keyword arguments of `gym.make` and `gym.make_vec`.{SHARED if glimpses else ''}",
            "",
            *table,
            "",
        ]
    )


def _at_work(task: str, glimpses: bool) -> list[str]:
    """Show the released agent of a task, if it has one."""
    if task not in AGENTS:
        return []
    shown = LOOKING if glimpses else TELLING
    return [
        f"[`{AGENTS[task]}`](../../zoo/{AGENTS[task]}/card.md) at work, on test pictures, {shown[0]}:",
        "",
        f"![{shown[1]}]({task}.gif)",
        "",
    ]


def _environment(id_: str) -> type[SingleEnv]:
    """Find the class of an id's single environment, of which nothing is made."""
    entry_point = gym.spec(id_).entry_point
    found: Any = load_env_creator(entry_point) if isinstance(entry_point, str) else entry_point
    if not (isinstance(found, type) and issubclass(found, SingleEnv)):
        raise TypeError(f"{id_} is made by {found!r}, which is no class derived from SingleEnv")
    return found


def _docstring(described: type) -> str:
    docstring = described.__doc__
    if not docstring:
        raise ValueError(f"{described.__name__} has no docstring, which is its manual page")
    return inspect.cleandoc(docstring)


def _first_code(docstring: str, section: str) -> str:
    found = re.search(rf"^## {section}\n(?:(?!^## ).)*?`([^`]+)`", docstring, flags=re.MULTILINE | re.DOTALL)
    if found is None:
        raise ValueError(f"no section '## {section}' with the space in backticks in: {docstring.splitlines()[0]}")
    return found[1]


def _ordinary_settings(options: type[BatchOptions]) -> dict[str, Any]:
    ordinary = options()
    return {field.name: getattr(ordinary, field.name) for field in dataclasses.fields(options)}


def _settings(id_: str) -> dict[str, Any]:
    """Merge the ordinary settings with what the environment and its registration make of them."""
    batched = _environment(id_).vector_class
    return {**_ordinary_settings(batched.options), **batched.defaults, **gym.spec(id_).kwargs}


def _meanings(options: type[BatchOptions]) -> dict[str, str]:
    """Read what each setting means off the attributes that the docstrings of the options and of their bases list."""
    meanings = {}
    for kind in reversed(options.__mro__):
        attributes = inspect.cleandoc(kind.__doc__ or "").partition("Attributes:\n")[2]
        entries = re.findall(r"^    (\w+): (.*(?:\n {5,}.*)*)", attributes, flags=re.MULTILINE)
        meanings |= {name: " ".join(meaning.split()).replace("|", r"\|") for name, meaning in entries}
    if missing := sorted({field.name for field in dataclasses.fields(options)} - set(meanings)):
        raise ValueError(f"the docstring of {options.__name__} does not say what {', '.join(missing)} means")
    return meanings


def _code(value: Any) -> str:
    """Write a setting as the docstrings do: texts in double quotes, numbers to six digits."""
    value = value.value if isinstance(value, Enum) else value
    text = f"{value:.6g}" if isinstance(value, float) else repr(value).replace("'", '"')
    return f"`{text}`"


def main() -> None:
    """Write all pages, then all pictures."""
    for name, text in pages().items():
        write_text_atomically(FOLDER / name, text)
    for id_ in all_ids():
        write_atomically(FOLDER / f"{task_of(id_)}.png", partial(draw_picture(id_).save, format="PNG", optimize=True))
        if task_of(id_) in AGENTS:
            draw_agent(id_, FOLDER / f"{task_of(id_)}.gif")


if __name__ == "__main__":
    main()

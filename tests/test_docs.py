"""The environments' pages are what their docstrings say today, and what the pages say of spaces and glimpses is true."""

from __future__ import annotations

import dataclasses
import re
import runpy
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest
from PIL import Image

import attention_env
from attention_env.envs.glimpse import GlimpseEnv
from attention_env.options import GlimpseOptions

DOCS = Path(__file__).resolve().parents[1] / "docs"
FOLDER = DOCS / "environments"
SCRIPT = runpy.run_path(str(DOCS / "make_pages.py"), run_name="make_pages")
PAGES: dict[str, str] = SCRIPT["pages"]()
LARGEST_PICTURE = 60_000
SPACES = {
    "Dict": gym.spaces.Dict,
    "Discrete": gym.spaces.Discrete,
    "Box": lambda low, high, shape: gym.spaces.Box(low, high, shape, np.float32),
}


@pytest.mark.parametrize("name", PAGES)
def test_a_committed_page_is_what_the_script_writes_today(name: str) -> None:
    committed = (FOLDER / name).read_text(encoding="utf-8")
    assert committed == PAGES[name], f"docs/environments/{name} is out of date: run `python docs/make_pages.py`"


def test_every_id_has_a_page_and_a_picture_and_nothing_else_lies_there() -> None:
    tasks = [id_.removeprefix("attention_env/") for id_ in attention_env.environment_ids()]
    expected = {"README.md", *(f"{task}.md" for task in tasks), *(f"{task}.png" for task in tasks)}
    assert {path.name for path in FOLDER.iterdir()} == expected


@pytest.mark.parametrize("name", PAGES)
def test_links_and_pictures_of_a_page_exist(name: str) -> None:
    targets = re.findall(r"\]\(([^)\s]+)\)", PAGES[name])
    assert targets
    for target in targets:
        file, _, heading = target.partition("#")
        assert (FOLDER / file).is_file(), target
        assert not heading or heading in _anchors(PAGES[file]), target


@pytest.mark.parametrize("id_", attention_env.environment_ids())
def test_a_picture_is_small_and_shows_more_than_one_moment(id_: str) -> None:
    path = FOLDER / f"{id_.removeprefix('attention_env/')}.png"
    assert path.stat().st_size < LARGEST_PICTURE
    with Image.open(path) as picture:
        assert picture.format == "PNG"
        pixels = np.asarray(picture.convert("RGB"))
    third = pixels.shape[1] // 3
    moments = [
        pixels[top : top + pixels.shape[0] // 2, left : left + third]
        for top in (0, len(pixels) // 2)
        for left in (0, third, 2 * third)
    ]
    assert len({moment.tobytes() for moment in moments}) == len(moments)


@pytest.mark.parametrize("id_", attention_env.environment_ids())
def test_a_page_holds_the_docstring_and_every_setting_with_its_value_there(id_: str) -> None:
    page = PAGES[f"{id_.removeprefix('attention_env/')}.md"]
    assert page.startswith(f"# `{id_}`\n\n![")
    sections = re.findall("^## (.*)$", page, flags=re.MULTILINE)
    wanted = [
        "Description",
        "Action space",
        "Observation space",
        "Rewards",
        "Starting state",
        "Episode end",
        "Arguments",
        "Settings",
    ]
    assert sections == wanted
    rows = dict(re.findall(r"^\| `(\w+)` \| (.*?) \| .{10,} \|$", page, flags=re.MULTILINE))
    assert list(rows) == [field.name for field in dataclasses.fields(GlimpseOptions)]


def test_what_differs_from_the_ordinary_environment_is_bold() -> None:
    page = PAGES["CircleSquare-v0.md"]
    bold = dict(re.findall(r"^\| `(\w+)` \| \*\*`(.*?)`\*\* \|", page, flags=re.MULTILINE))
    assert bold == {
        "source": '"circle_square"',
        "glimpses": "16",
        "glimpse_size": "5",
        "interpolation": '"bilinear"',
        "moves": '"relative"',
        "move_scale": "0.164286",
        "start": '"random"',
    }


def test_a_meaning_that_runs_over_several_lines_is_whole() -> None:
    assert '"relative": it is added, times `move_scale`, to the present location. |' in PAGES["MNIST-v0.md"]


@pytest.mark.parametrize("id_", attention_env.environment_ids())
def test_spaces_and_glimpses_of_the_index_are_those_of_the_environment(id_: str, request: pytest.FixtureRequest) -> None:
    if "MNIST" in id_:
        request.getfixturevalue("data_folder")
    (row,) = [line for line in PAGES["README.md"].splitlines() if line.startswith(f"| [`{id_}`]")]
    _, _, action, observation, glimpses = row.removesuffix(" |").split(" | ")
    environment = gym.make(id_).unwrapped
    assert isinstance(environment, GlimpseEnv)
    assert environment.action_space == eval(action.strip("`"), SPACES.copy())
    assert environment.observation_space == eval(observation.strip("`"), SPACES.copy())
    assert int(glimpses) == environment.batch.settings.glimpses


def test_a_docstring_without_its_spaces_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match="no section '## Action space' with the space in backticks in: Look at nothing"):
        SCRIPT["spaces"]("Look at nothing.\n\n## Action space\nNone.\n\n## Observation space\n`Box(0, 1, (1,))`")
    assert SCRIPT["spaces"]("Look.\n\n## Action space\nIt is\n`A`, `B`.\n\n## Observation space\n`C`.") == ("A", "C")


def _anchors(page: str) -> set[str]:
    """List the names by which a page's headings can be linked to, as GitHub makes them."""
    headings = re.findall("^#+ (.*)$", page, flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading).lower().replace(" ", "-") for heading in headings}

"""The environments' pages are what their docstrings say today, what they say of spaces is true, and what other pages show runs."""

from __future__ import annotations

import dataclasses
import importlib
import os
import re
import runpy
import subprocess
import sys
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest
from forked_processes import PreloadedPrograms
from PIL import Image

import attention_env
from attention_cli.main import COMMANDS
from attention_env.envs.batched import SingleEnv
from attention_env.options import CaptionOptions, GlimpseOptions

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
HOW_TO = sorted((DOCS / "how-to").glob("*.md"))
FOLDER = DOCS / "environments"
SCRIPT = runpy.run_path(str(DOCS / "make_pages.py"), run_name="make_pages")
PAGES: dict[str, str] = SCRIPT["pages"]()
IDS: list[str] = SCRIPT["all_ids"]()
LARGEST_PICTURE = 60_000
BLOCK_OF_PYTHON, BLOCK_OF_COMMANDS = "```python\n", "```sh\n"
SPACES = {
    "Dict": gym.spaces.Dict,
    "Discrete": gym.spaces.Discrete,
    "Box": lambda low, high, shape: gym.spaces.Box(low, high, shape, np.float32),
    "inf": np.inf,
}


def _with(block: str, *pages: Path) -> list[Path]:
    """List the pages that have a block of code of a kind."""
    return [page for page in pages if block in page.read_text(encoding="utf-8")]


def _name(page: Path) -> str:
    """Name a page, below the repository."""
    return str(page.relative_to(ROOT))


@pytest.mark.parametrize("name", PAGES)
def test_a_committed_page_is_what_the_script_writes_today(name: str) -> None:
    committed = (FOLDER / name).read_text(encoding="utf-8")
    assert committed == PAGES[name], f"docs/environments/{name} is out of date: run `python docs/make_pages.py`"


def test_every_id_has_a_page_and_a_picture_and_nothing_else_lies_there() -> None:
    tasks = [id_.removeprefix("attention_env/") for id_ in IDS]
    expected = {"README.md", *(f"{task}.md" for task in tasks), *(f"{task}.png" for task in tasks)}
    expected |= {f"{task}.gif" for task in SCRIPT["AGENTS"]}
    assert {path.name for path in FOLDER.iterdir()} == expected


@pytest.mark.parametrize("name", PAGES)
def test_links_and_pictures_of_a_page_exist(name: str) -> None:
    targets = re.findall(r"\]\(([^)\s]+)\)", PAGES[name])
    assert targets
    for target in targets:
        file, _, heading = target.partition("#")
        assert (FOLDER / file).is_file(), target
        assert not heading or heading in _anchors(PAGES[file]), target


@pytest.mark.parametrize("id_", IDS)
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


@pytest.mark.parametrize("id_", IDS)
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
    options = GlimpseOptions if id_ in attention_env.environment_ids() else CaptionOptions
    assert list(rows) == [field.name for field in dataclasses.fields(options)]


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


@pytest.mark.parametrize("id_", IDS)
def test_spaces_and_glimpses_of_the_index_are_those_of_the_environment(id_: str, request: pytest.FixtureRequest) -> None:
    if "MNIST" in id_:
        request.getfixturevalue("data_folder")
    (row,) = [line for line in PAGES["README.md"].splitlines() if line.startswith(f"| [`{id_}`]")]
    _, _, action, observation, *glimpses = row.removesuffix(" |").split(" | ")
    environment = gym.make(id_).unwrapped
    assert isinstance(environment, SingleEnv)
    assert environment.action_space == eval(action.strip("`"), SPACES.copy())
    assert environment.observation_space == eval(observation.strip("`"), SPACES.copy())
    settings = environment.batch.settings
    assert glimpses == ([str(settings.glimpses)] if isinstance(settings, GlimpseOptions) else [])


def test_a_docstring_without_its_spaces_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match="no section '## Action space' with the space in backticks in: Look at nothing"):
        SCRIPT["spaces"]("Look at nothing.\n\n## Action space\nNone.\n\n## Observation space\n`Box(0, 1, (1,))`")
    assert SCRIPT["spaces"]("Look.\n\n## Action space\nIt is\n`A`, `B`.\n\n## Observation space\n`C`.") == ("A", "C")


# Pages that show how: blocks of Python are one script per page, blocks of sh one; a block with file=… is a file beside them ---


@pytest.mark.parametrize("page", _with(BLOCK_OF_PYTHON, ROOT / "README.md", *HOW_TO), ids=_name)
def test_the_python_of_a_page_runs_and_prints_what_it_says(page: Path, tmp_path: Path, preloaded: PreloadedPrograms) -> None:
    script = "\n".join(_written(page, "python", tmp_path))
    (tmp_path / "page.py").write_text(script, encoding="utf-8")
    # What everybody copies first is run as they run it.
    python = Path(sys.executable) if page.name == "README.md" else preloaded.python
    printed = _run([str(python), "page.py"], tmp_path, python.parent, PYTHONWARNINGS="error")
    for claim in re.findall(r"^ *print\(.*\)  # ([^:\n]*)", script, flags=re.MULTILINE):
        assert claim in printed


@pytest.mark.parametrize("page", _with(BLOCK_OF_COMMANDS, *HOW_TO), ids=_name)
def test_the_commands_of_a_page_run(page: Path, tmp_path: Path, preloaded: PreloadedPrograms) -> None:
    printed = _run(["bash", "-euc", "\n".join(_written(page, "sh", tmp_path))], tmp_path, preloaded.python.parent)
    assert "failed" not in printed  # a comparison goes on without what has failed


@pytest.mark.parametrize("page", HOW_TO, ids=_name)
def test_links_of_a_page_that_shows_how_exist(page: Path) -> None:
    prose = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    targets = re.findall(r"\]\(([^)\s]+)\)", prose)
    assert [target for target in targets if not (page.parent / target).exists()] == []


@pytest.mark.parametrize("page", HOW_TO, ids=_name)
def test_files_and_commands_that_a_page_names_exist(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    packages = "attention_cli|attention_core|attention_env|agents|generative|captioning|ocr|tests"
    for path in re.findall(rf"`((?:{packages})/[\w./-]*)`", text):
        assert (ROOT / path).exists(), path
    for module, name in re.findall(rf"`((?:{packages})(?:\.[a-z_]\w*)*)\.(\w+)`", text):
        assert hasattr(importlib.import_module(module), name), f"{module}.{name}"
    for area, verb in re.findall(r"`attention (\w+) (\w+)[^`]*`", text):
        assert (area, verb) in COMMANDS, f"attention {area} {verb}"


def test_the_index_names_every_page_that_shows_how() -> None:
    links = re.findall(r"\]\((\w[\w-]*\.md)\)", (DOCS / "how-to" / "README.md").read_text(encoding="utf-8"))
    assert sorted(["README.md", *links]) == [page.name for page in HOW_TO]


def test_the_page_of_rl_zoo_has_the_command_that_its_settings_name() -> None:
    settings = (ROOT / "agents" / "hyperparameters" / "rl_zoo" / "ppo.yaml").read_text(encoding="utf-8")
    (command,) = (code for kind, _, code in _blocks(DOCS / "how-to" / "stable-baselines3.md") if kind == "console")
    assert " ".join(command.split()) in " ".join(settings.replace("#", " ").split())


def _blocks(page: Path) -> list[tuple[str, str, str]]:
    """List a page's blocks of code: language, file if it is one, and text."""
    text = page.read_text(encoding="utf-8")
    return re.findall(r"^```(\w+)(?: file=(\S+))?\n(.*?)^```$", text, flags=re.MULTILINE | re.DOTALL)


def _written(page: Path, kind: str, folder: Path) -> list[str]:
    """Write a page's files into a folder; return its other blocks in a language."""
    blocks = _blocks(page)
    for _, file, code in blocks:
        if file:
            (folder / file).write_text(code, encoding="utf-8")
    return [code for language, file, code in blocks if language == kind and not file]


def _run(command: list[str], folder: Path, programs: Path, **variables: str) -> str:
    """Run a command in a folder, with programs of another at hand and one thread; return what it prints."""
    path = f"{programs}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "OMP_NUM_THREADS": "1", **variables}
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, env=environment, timeout=600, check=False)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    return done.stdout


def _anchors(page: str) -> set[str]:
    """List the names by which a page's headings can be linked to, as GitHub makes them."""
    headings = re.findall("^#+ (.*)$", page, flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading).lower().replace(" ", "-") for heading in headings}

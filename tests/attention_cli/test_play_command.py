"""`attention rl play`: a game in a window that nobody sees, and what is said to whoever cannot play."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator

import gymnasium as gym
import pytest

from attention_cli.main import main
from attention_env.play import Game

WITHOUT_PYGAME = """
import sys
sys.modules["pygame"] = None  # as if it were not installed
from attention_cli.main import main
sys.exit(main())
"""


@pytest.fixture
def post(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], None]]:
    """Give what presses keys before the window opens: characters, "<" for left, "." for escape."""
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    monkeypatch.setenv("PYGAME_HIDE_SUPPORT_PROMPT", "1")
    import pygame

    pygame.display.init()

    def press(keys: str) -> None:
        special = {"<": pygame.K_LEFT, ".": pygame.K_ESCAPE, " ": pygame.K_SPACE}
        for key in keys:
            code = special.get(key, ord(key))
            pygame.event.post(pygame.event.Event(pygame.KEYDOWN, key=code, unicode="" if key in special else key))

    yield press
    pygame.quit()


def label_of(seed: int, split: str) -> int:
    """Find out what the first picture of a seed shows."""
    game = Game(gym.make("attention_env/Digits-v0", split=split), seed)
    game.press("0")
    assert game.label is not None
    return game.label


def said(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> tuple[int, str, str]:
    """Run the command; return its exit status, what it says, and what it complains of."""
    status = main(["rl", "play", *arguments])
    captured = capsys.readouterr()
    return status, captured.out, captured.err


@pytest.mark.parametrize(("split", "seed"), [("test", 0), ("test", 1), ("train", 0)])
def test_the_score_is_told_at_the_end(
    split: str, seed: int, post: Callable[[str], None], capsys: pytest.CaptureFixture[str]
) -> None:
    post(f"<<{label_of(seed, split)} <.")
    assert said(["--seed", str(seed), "--split", split], capsys) == (0, "score       1 of 1\n", "")


def test_a_wrong_class_counts_and_an_episode_left_early_does_not(
    post: Callable[[str], None], capsys: pytest.CaptureFixture[str]
) -> None:
    post(f"{(label_of(0, 'test') + 1) % 10} <<.")
    assert said(["--seed", "0"], capsys) == (0, "score       0 of 1\n", "")


def test_the_environment_is_the_one_asked_for(post: Callable[[str], None], capsys: pytest.CaptureFixture[str]) -> None:
    post("5 1.")  # there is no class 5 among circles and squares
    status, told, _ = said(["--env", "attention_env/CircleSquare-v0"], capsys)
    assert (status, told.split()[-1]) == (0, "1")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--env", "attention_env/Digit-v0"], "Digit"),
        (["--env", "CartPole-v1"], "CartPole-v1 is not a glimpse environment"),
        (["--env-kwargs", "glimpses=3"], "'glimpses=3' is not key:value"),
        (["--env-kwargs", "glimpsez:3"], "unknown setting glimpsez"),
        (["--env-kwargs", "action_format:grid"], "action_format='dict', not in 'grid'"),
    ],
)
def test_mistakes_are_told_with_status_2(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    status, told, complaint = said(arguments, capsys)
    assert (status, told) == (2, "")
    assert complaint.startswith("attention: ")
    assert message in complaint


def test_without_a_screen_nothing_waits_for_keys(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("SDL_VIDEODRIVER", "offscreen")
    status, told, complaint = said([], capsys)
    assert (status, told) == (2, "")
    assert "playing needs a screen" in complaint


def test_without_pygame_the_command_says_how_to_install_it() -> None:
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_PYGAME, "rl", "play"], capture_output=True, text=True, timeout=120, check=False
    )
    expected = 'attention: playing needs pygame, which is not installed: pip install -e ".[human]"\n'
    assert (done.returncode, done.stdout, done.stderr) == (2, "", expected)

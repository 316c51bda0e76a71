"""The GIF of scan paths: its frames, its order and its refusals."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from small_agent import CPU

from agents.config import RAMConfig, ReinforceConfig
from agents.player import Player, make_environment, new_player
from agents.watch import write_scan


def frames(path: Path) -> list[np.ndarray]:
    with Image.open(path) as image:
        assert image.format == "GIF"
        found = []
        for frame in range(image.n_frames):
            image.seek(frame)
            found.append(np.asarray(image.convert("RGB")))
        return found


@pytest.mark.parametrize(("episodes", "glimpses"), [(1, 6), (3, 4), (2, 1)])
def test_there_is_a_frame_for_every_glimpse(
    player: Player, config: ReinforceConfig, tmp_path: Path, episodes: int, glimpses: int
) -> None:
    config = dataclasses.replace(config, env_kwargs={"glimpses": glimpses})
    path = tmp_path / "deep" / "scan.gif"
    write_scan(player, config, path, "test", episodes, 0, CPU)
    found = frames(path)
    assert len(found) == episodes * glimpses
    assert len({frame.tobytes() for frame in found}) == len(found)
    assert list(path.parent.iterdir()) == [path]


def test_last_frame_of_an_episode_stays_longer(player: Player, config: ReinforceConfig, tmp_path: Path) -> None:
    config = dataclasses.replace(config, env_kwargs={"glimpses": 3})
    write_scan(player, config, tmp_path / "scan.gif", "test", 2, 0, CPU)
    durations = []
    with Image.open(tmp_path / "scan.gif") as image:
        for frame in range(6):
            image.seek(frame)
            durations.append(image.info["duration"])
    assert durations[0] == durations[1] == durations[3] == durations[4] < durations[2] == durations[5]


def test_seed_chooses_the_pictures(player: Player, config: ReinforceConfig, tmp_path: Path) -> None:
    config = dataclasses.replace(config, env_kwargs={"glimpses": 2})
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        write_scan(player, config, tmp_path / name, "test", 2, seed, CPU)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert (tmp_path / "a").read_bytes() != (tmp_path / "c").read_bytes()


@pytest.mark.parametrize("episodes", [0, -3, 361])
def test_impossible_number_of_episodes_is_refused_by_name(
    player: Player, config: ReinforceConfig, tmp_path: Path, episodes: int
) -> None:
    with pytest.raises(ValueError, match=rf"episodes must be within 1 … 360.*got {episodes}"):
        write_scan(player, config, tmp_path / "scan.gif", "test", episodes, 0, CPU)
    assert not list(tmp_path.iterdir())


def test_where_nothing_has_a_true_class_what_is_done_is_marked(tmp_path: Path) -> None:
    config = ReinforceConfig(
        env="attention_env/Catch-v0", env_kwargs={"glimpses": 3}, rule="pure", network=RAMConfig(hidden=8, core="lstm")
    )
    player = new_player(config, make_environment(config, CPU, 1, "train"))
    write_scan(player, config, tmp_path / "scan.gif", "test", 2, 0, CPU)
    with Image.open(tmp_path / "scan.gif") as gif:
        assert gif.n_frames == 6

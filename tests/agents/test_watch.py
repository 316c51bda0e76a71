"""The GIF of scan paths: its frames, its order and its refusals."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from small_agent import CPU

from agents.config import RAMConfig, ReinforceConfig
from agents.player import Noise, Player, new_player
from agents.watch import _add_bars, write_scan
from attention_env.batch import make_split
from attention_env.rendering import class_names


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


@pytest.mark.parametrize("looks", ["learned", "random"])
def test_episode_ends_where_the_agent_stops(
    config: ReinforceConfig, make_player: Callable[[ReinforceConfig], Player], tmp_path: Path, looks: str
) -> None:
    config = dataclasses.replace(config, env_kwargs={"stop": True}, looks=looks)
    player = make_player(config)
    write_scan(player, config, tmp_path / "scan.gif", "test", 12, 0, CPU)
    index = np.random.default_rng(0).choice(360, 12, replace=False)
    environment = make_split(config, CPU, 12, "test")
    chance = player.noise(environment, (12,), torch.Generator().manual_seed(0), config.final_deviation, False)
    episodes = player(environment, {"index": index}, Noise(chance.look) if looks == "random" else None)
    lengths = episodes.lengths.tolist()
    assert len(set(lengths)) > 1
    with Image.open(tmp_path / "scan.gif") as gif:
        assert gif.n_frames == sum(lengths)
        durations = []
        for frame in range(gif.n_frames):
            gif.seek(frame)
            durations.append(gif.info["duration"])
    assert durations == [duration for length in lengths for duration in [450] * (length - 1) + [1500]]


def test_agent_that_is_sure_has_one_frame_an_episode(
    config: ReinforceConfig, make_player: Callable[[ReinforceConfig], Player], tmp_path: Path
) -> None:
    config = dataclasses.replace(config, env_kwargs={"stop": True})
    player = make_player(config)
    assert player.network.stop_head is not None
    with torch.no_grad():
        player.network.stop_head.weight.zero_()
        player.network.stop_head.bias.fill_(20.0)
    write_scan(player, config, tmp_path / "scan.gif", "test", 5, 0, CPU)
    assert len(frames(tmp_path / "scan.gif")) == 5


@pytest.mark.parametrize(
    "task", [{"action_format": "grid", "grid": 3}, {"zoom": True, "rotate": True, "scales": 2}], ids=lambda task: "-".join(task)
)
def test_agent_that_looks_at_cells_or_freely_is_drawn(
    config: ReinforceConfig, make_player: Callable[[ReinforceConfig], Player], tmp_path: Path, task: dict[str, object]
) -> None:
    config = dataclasses.replace(config, env_kwargs=task)
    write_scan(make_player(config), config, tmp_path / "scan.gif", "test", 2, 0, CPU)
    found = frames(tmp_path / "scan.gif")
    assert len(found) == 12
    assert len({frame.tobytes() for frame in found}) == 12


def test_random_looks_are_those_of_the_seed(
    config: ReinforceConfig, make_player: Callable[[ReinforceConfig], Player], tmp_path: Path
) -> None:
    config = dataclasses.replace(config, env_kwargs={"glimpses": 3}, looks="random")
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        write_scan(make_player(config), config, tmp_path / name, "test", 2, seed, CPU)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert (tmp_path / "a").read_bytes() != (tmp_path / "c").read_bytes()


def test_last_frame_of_an_episode_stays_longer(player: Player, config: ReinforceConfig, tmp_path: Path) -> None:
    config = dataclasses.replace(config, env_kwargs={"glimpses": 3})
    write_scan(player, config, tmp_path / "scan.gif", "test", 2, 0, CPU)
    durations = []
    with Image.open(tmp_path / "scan.gif") as image:
        for frame in range(6):
            image.seek(frame)
            durations.append(image.info["duration"])
    assert durations[0] == durations[1] == durations[3] == durations[4] < durations[2] == durations[5]


@pytest.mark.parametrize("start", ["center", "random"])
def test_seed_chooses_the_pictures(player: Player, config: ReinforceConfig, tmp_path: Path, start: str) -> None:
    config = dataclasses.replace(config, env_kwargs={"glimpses": 2, "start": start})
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


def test_more_classes_than_bars_have_room_for_are_drawn_all_the_same() -> None:
    even = np.full(62, 1 / 62, dtype=np.float32)
    sure = np.eye(62, dtype=np.float32)[7]
    frames = [np.asarray(_add_bars(np.zeros((336, 300, 3), dtype=np.uint8), bars, 5)) for bars in (even, sure)]
    assert not np.array_equal(*frames)


def test_classes_are_named_where_their_numbers_do_not_say_it() -> None:
    picture, even = np.zeros((336, 300, 3), dtype=np.uint8), np.full(3, 1 / 3, dtype=np.float32)
    names = ((), ("left", "stay", "right"), ("a", "b", "ankle boot"))
    numbered, named, longer = (_add_bars(picture, even, 1, some) for some in names)
    assert not np.array_equal(np.asarray(numbered), np.asarray(named)[:, : numbered.width])
    assert numbered.width < named.width < longer.width
    assert class_names("catch") == ("left", "stay", "right")
    assert class_names("mnist") == class_names((picture, even)) == ()


def test_where_nothing_has_a_true_class_what_is_done_is_marked(tmp_path: Path) -> None:
    config = ReinforceConfig(
        env="attention_env/Catch-v0", env_kwargs={"glimpses": 3}, rule="pure", network=RAMConfig(hidden=8, core="lstm")
    )
    player = new_player(config, make_split(config, CPU, 1, "train"))
    write_scan(player, config, tmp_path / "scan.gif", "test", 2, 0, CPU)
    with Image.open(tmp_path / "scan.gif") as gif:
        assert gif.n_frames == 6

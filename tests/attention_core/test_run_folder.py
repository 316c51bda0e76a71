"""Run folders: metrics that survive a kill, and checkpoints that are whole or absent."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
import yaml
from safetensors import SafetensorError

from attention_core.files import SaveError
from attention_core.run_folder import RunError, RunFolder


def fill(text: str) -> Callable[[Path], None]:
    def save(path: Path) -> None:
        path.mkdir(parents=True, exist_ok=True)
        (path / "state").write_text(text)

    return save


def test_rows_come_back_as_they_were_logged(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run")
    folder.log(5, {"losses/answer": 0.1 + 0.2, "charts/success": 1e-9})
    folder.log(10, {"validation/error_rate": 0.25})
    folder.close()
    assert list(RunFolder(tmp_path / "run").rows()) == [
        {"update": 5, "losses/answer": 0.1 + 0.2, "charts/success": 1e-9},
        {"update": 10, "validation/error_rate": 0.25},
    ]
    assert list((tmp_path / "run" / "tensorboard").glob("events*"))


def test_tensorboard_shows_what_the_metrics_say(tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    folder = RunFolder(tmp_path)
    for update in (1, 2, 3):
        folder.log(update, {"losses/answer": update / 4})
    folder.close()
    events = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    assert [(event.step, event.value) for event in events.Scalars("losses/answer")] == [(1, 0.25), (2, 0.5), (3, 0.75)]


def test_unfinished_last_row_is_passed_over_and_rewound(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    for update in (1, 2, 3):
        folder.log(update, {"losses/answer": update / 4})
    with open(folder.metrics, "a") as stream:
        stream.write('{"update": 4, "losses/ans')
    assert [row["update"] for row in folder.rows()] == [1, 2, 3]
    folder.rewind(2)
    folder.log(3, {"losses/answer": 0.75})
    folder.close()
    assert [json.loads(line)["update"] for line in folder.metrics.read_text().splitlines()] == [1, 2, 3]


def test_rewinding_a_new_folder_is_nothing(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    folder.rewind(0)
    assert list(folder.rows()) == []


SETTINGS = {"kind": "ram", "seed": 0, "training": {"updates": 3}}


def test_beginning_writes_the_settings_as_yaml(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    folder.begin(SETTINGS)
    assert yaml.safe_load(folder.config.read_text()) == SETTINGS


def test_beginning_anew_with_other_settings_is_possible_until_there_is_a_checkpoint(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    folder.begin({**SETTINGS, "seed": 1})
    folder.begin(SETTINGS)
    folder.save_checkpoint(1, fill("one"))
    folder.begin(SETTINGS)
    with pytest.raises(RunError, match="holds a run of other settings") as failure:
        folder.begin({**SETTINGS, "seed": 2, "rule": "pure"})
    assert "seed: 0 there, 2 asked for" in str(failure.value)
    assert "rule: None there, 'pure' asked for" in str(failure.value)
    assert "kind" not in str(failure.value)
    assert yaml.safe_load(folder.config.read_text()) == SETTINGS


def test_a_released_model_is_not_trained_over(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    folder.begin(SETTINGS)
    folder.model.write_bytes(b"weights")
    with pytest.raises(RunError, match="holds weights that no training here has left"):
        folder.begin({**SETTINGS, "seed": 1})
    assert yaml.safe_load(folder.config.read_text()) == SETTINGS
    folder.log(1, {"losses/answer": 1.0})  # what was validated before it was interrupted, and has no checkpoint yet
    folder.begin(SETTINGS)


@pytest.mark.parametrize("content", ["", "just words", "kind: ["])
def test_damaged_configuration_of_a_run_is_told_by_name(tmp_path: Path, content: str) -> None:
    folder = RunFolder(tmp_path)
    folder.save_checkpoint(1, fill("one"))
    folder.config.write_text(content)
    with pytest.raises(ValueError, match=r"config\.yaml"):
        folder.begin(SETTINGS)


def test_newest_checkpoint_takes_the_place_of_the_one_before(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    assert folder.newest_checkpoint() is None
    folder.save_checkpoint(9, fill("nine"))
    folder.save_checkpoint(10, fill("ten"))
    newest = folder.newest_checkpoint()
    assert newest is not None
    assert newest[0] == 10
    assert (newest[1] / "state").read_text() == "ten"
    assert list((tmp_path / "checkpoint").iterdir()) == [newest[1]]


def test_updates_are_compared_as_numbers(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    folder.save_checkpoint(999_999, fill("before"))
    # A kill between the two steps of a save leaves both.
    kept = tmp_path / "checkpoint" / f"{999_999:09d}"
    (tmp_path / "aside").mkdir()
    (kept / "state").rename(tmp_path / "aside" / "state")
    folder.save_checkpoint(1_000_000, fill("after"))
    (tmp_path / "aside").rename(kept)
    newest = folder.newest_checkpoint()
    assert newest is not None
    assert newest[0] == 1_000_000


def test_partial_checkpoint_is_not_found_and_goes_with_the_next(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    folder.save_checkpoint(3, fill("three"))
    partial = tmp_path / "checkpoint" / "000000004.partial"
    partial.mkdir()
    (partial / "half").write_text("half")
    newest = folder.newest_checkpoint()
    assert newest is not None
    assert newest[0] == 3
    folder.save_checkpoint(5, fill("five"))
    assert [path.name for path in (tmp_path / "checkpoint").iterdir()] == ["000000005"]


@pytest.mark.parametrize(
    "error",
    [OSError(28, "No space left on device"), RuntimeError("file write failed"), SafetensorError("I/O error: File too large")],
    ids=["system", "torch", "safetensors"],
)
def test_failed_save_names_the_checkpoint_and_leaves_the_one_before(tmp_path: Path, error: Exception) -> None:
    folder = RunFolder(tmp_path)
    folder.save_checkpoint(3, fill("three"))

    def save(path: Path) -> None:
        fill("half")(path)
        raise error

    with pytest.raises(SaveError, match="checkpoint/000000004 could not be saved"):
        folder.save_checkpoint(4, save)
    newest = folder.newest_checkpoint()
    assert newest is not None
    assert newest[0] == 3
    assert (newest[1] / "state").read_text() == "three"
    assert [path.name for path in (tmp_path / "checkpoint").iterdir()] == ["000000003"]


def test_process_that_may_not_write_leaves_nothing(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run", writes=False)
    folder.begin(SETTINGS)
    folder.log(1, {"losses/answer": 0.5})
    folder.rewind(0)
    folder.close()
    assert not (tmp_path / "run").exists()


def test_file_in_the_way_of_the_run_folder_is_a_save_error(tmp_path: Path) -> None:
    (tmp_path / "run").write_text("a file")
    for place in ("run", "run/1"):
        with pytest.raises(SaveError, match=f"{place} cannot be a run folder, since .*run is a file"):
            RunFolder(tmp_path / place).check({})


def test_a_place_that_may_not_be_written_to_is_told_before_anything_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.access", lambda place, mode: (place, mode) != (tmp_path, os.W_OK))
    with pytest.raises(SaveError, match=r"new/run cannot be a run folder, since .* may not be written to"):
        RunFolder(tmp_path / "new" / "run").check({})
    RunFolder(tmp_path / "new" / "run", writes=False).check({})


def test_full_disk_met_by_the_metrics_names_them(
    tmp_path: Path, no_room_beyond: Callable[[int], AbstractContextManager[None]]
) -> None:
    folder = RunFolder(tmp_path)
    folder.log(1, {"losses/answer": 0.5})
    with no_room_beyond(folder.metrics.stat().st_size + 10), pytest.raises(SaveError, match=r"metrics\.jsonl"):
        folder.log(2, {"losses/answer": 0.25})
    folder.close()
    assert list(folder.rows()) == [{"update": 1, "losses/answer": 0.5}]

"""Ablations: every file names trainings that there are, and the script trains them, goes on, and writes what it found."""

import importlib.util
import shlex
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from attention_core.config import from_dict, load_yaml

FOLDER = Path(__file__).parents[1] / "docs" / "ablations"
FILES = sorted(FOLDER.glob("*.yaml"))


@pytest.fixture(scope="module")
def ablation() -> ModuleType:
    specification = importlib.util.spec_from_file_location("ablation", FOLDER / "ablation.py")
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    sys.modules["ablation"] = module  # dataclasses look their module up
    specification.loader.exec_module(module)
    return module


@pytest.mark.parametrize("path", FILES, ids=[path.stem for path in FILES])
def test_files_name_trainings_and_their_first_contender_changes_nothing(ablation: ModuleType, path: Path) -> None:
    made = from_dict(ablation.Ablation, load_yaml(path))
    words = shlex.split(made.command)
    assert (words[0], words[2]) == ("attention", "train")
    added = list(made.contenders.values())
    assert not added[0]
    assert all(words.startswith("--") for words in added[1:])
    assert len(set(added)) == len(added) > 1
    assert made.seeds >= 3
    asked = [sys.executable, "-m", "attention_cli", *words[1:], "--help"]
    help_page = subprocess.run(asked, capture_output=True, text=True, check=True).stdout
    for option in {word for words in (made.command, *added) for word in words.split() if word.startswith("--")}:
        assert f"{option} " in help_page


@pytest.mark.usefixtures("preloaded_python")
def test_contenders_are_trained_and_compared(
    ablation: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(ablation, "HERE", tmp_path)
    (tmp_path / "small.yaml").write_text(
        "title: What helps\n"
        "command: attention vae train --data digits --updates 2 --validate-every 1\n"
        "figure: {key: validation/elbo_nats, name: nats, digits: 1}\n"
        "seeds: 1\n"
        "contenders: {as published: '', one layer: --layers 1}\n"
    )
    ablation.main(ablation.Arguments("small", tmp_path / "runs", jobs=2))
    page = (tmp_path / "small.md").read_text()
    assert "| one layer | `--layers 1` | " in page
    assert (tmp_path / "small.png").stat().st_size > 1000
    metrics = tmp_path / "runs" / "small" / "one-layer-0" / "metrics.jsonl"
    before = metrics.read_bytes()  # in which is how long it took
    ablation.main(ablation.Arguments("small", tmp_path / "runs"))
    assert (metrics.read_bytes(), (tmp_path / "small.md").read_text()) == (before, page)
    assert "one layer" in capsys.readouterr().out


def test_what_is_beside_the_first_is_by_seeds(ablation: ModuleType) -> None:
    made = ablation.Ablation("", "", ablation.Measure("key", "nats", digits=1), {"first": "", "other": "--x"})
    table = ablation.table(made, {"first": np.array([1.0, 2.0]), "other": np.array([2.0, 3.0])})
    assert "| first |  | 1.5 ± 0.7 |  |" in table
    assert "| other | `--x` | 2.5 ± 0.7 | +1.0 ± 0.0 |" in table


@pytest.mark.usefixtures("preloaded_python")
def test_finished_training_of_other_settings_is_not_taken_for_this_one(ablation: ModuleType, tmp_path: Path) -> None:
    command = "attention vae train --data digits --updates 2 --validate-every 1"
    ablation.train(command, tmp_path, 0)
    with pytest.raises(RuntimeError, match="latents"):
        ablation.train(f"{command} --latents 7", tmp_path, 0)
    with pytest.raises(ValueError, match="has no 'validation/bound' among its metrics"):
        ablation.last_value(tmp_path, ablation.Measure("validation/bound", "nats"))


@pytest.mark.usefixtures("preloaded_python")
def test_what_a_failed_training_says_is_told(ablation: ModuleType, tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match=r"(?s)status 2.*choice 'paper'"):
        ablation.train("attention vae train --data digits --layer paper", tmp_path, 0)

"""What is said of released models: read with care, compared with what an evaluation finds, and the same in every table."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from attention_cli.main import COMMANDS, main
from attention_core import zoo
from attention_core.config import from_dict, to_dict
from attention_core.released import (
    BEGIN,
    END,
    FIGURES,
    PAGE,
    Figure,
    Released,
    all_released,
    figures_table,
    page,
    released,
    with_table,
)
from attention_core.run_folder import RunFolder
from attention_core.zoo import ModelError

ROOT = Path(__file__).resolve().parents[2]
FIGURE = Figure("error", "value", 1.25, 0.03, examples=10_000, spread="1.2 ± 0.1 (3 seeds)", paper="2 %")
NAMES = zoo.zoo_names()
CHOSEN_LATER = {"start", "teachers", "beams", "length_power", "tries"}
"""Settings that do not matter to the training, or that name other folders."""


@pytest.fixture
def copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A zoo that holds a copy of one model."""
    shutil.copytree(zoo.ZOO / "ram-digits", tmp_path / "zoo" / "ram-digits")
    monkeypatch.setattr(zoo, "ZOO", tmp_path / "zoo")
    return tmp_path / "zoo" / "ram-digits" / FIGURES


def change(path: Path, **changes: Any) -> None:
    values = yaml.safe_load(path.read_text())
    path.write_text(yaml.safe_dump({name: value for name, value in {**values, **changes}.items() if value is not None}))


# Figures ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("found", "holds"), [(1.25, True), (1.279, True), (1.221, True), (1.29, False), (1.21, False)])
def test_a_figure_holds_if_it_is_found_again_no_better_and_no_worse(found: float, holds: bool) -> None:
    assert FIGURE.holds(found) is holds


def test_a_figure_is_found_by_its_key_in_its_unit() -> None:
    assert FIGURE.found_in({"value": 0.0125}) == pytest.approx(1.25)
    assert Figure("SVT", "accuracy.svt", 80.0, 0.1).found_in({"accuracy": {"svt": 0.8}}) == pytest.approx(80)
    assert Figure("bound", "value", 90.0, 0.1, unit="nats").found_in({"value": 90}) == 90
    for evaluation in ({"metric": 1.0}, {"value": "much"}, {"value": {"value": 1.0}}):
        with pytest.raises(ValueError, match="the evaluation has no number value: it has "):
            FIGURE.found_in(evaluation)


def test_a_figure_is_shown_with_the_digits_that_are_claimed() -> None:
    assert FIGURE.shown(1.2) == "1.20 %"
    assert Figure("BLEU", "bleu", 20.0, 0.1, unit="").shown(20.04) == "20.0"
    assert Figure("steps", "steps", 2000.0, 30, unit="").shown(2003.2) == "2003"


def test_uncertainty_is_of_examples_or_of_seeds() -> None:
    assert FIGURE.uncertainty() == "1.05 to 1.49; 1.2 ± 0.1 (3 seeds)"
    assert Figure("error", "value", 1.25, 0.03, examples=100).uncertainty() == "0.18 to 5.45"
    assert Figure("error", "value", 1.25, 0.03, spread="± 1").uncertainty() == "± 1"
    assert Figure("error", "value", 1.25, 0.03).uncertainty() == "–"


# What is said of a model ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"group": "cooking"}, "group='cooking' is unknown: choose one of looking"),
        ({"check": "python evaluate.py"}, "must be commands of ours, 'attention …', got 'python evaluate.py'"),
        ({"train": ["attention rl train", "make"]}, "got 'make'"),
        ({"figures": None}, "figures"),
        ({"figures": [{"name": "error", "key": "value", "value": 1.0, "within": 0}]}, "within must be above 0, got 0"),
        ({"figures": [{"name": "error", "key": "value", "value": 1.0}]}, "missing"),
        ({"colour": "red"}, "unknown setting colour for Released"),
    ],
)
def test_what_is_wrong_in_the_file_is_named(copied: Path, changes: dict[str, Any], says: str) -> None:
    change(copied, **changes)
    with pytest.raises(ModelError, match="does not say what ram-digits's figures are: ") as raised:
        released("ram-digits")
    assert says in str(raised.value)


def test_a_model_that_is_not_there_or_has_no_figures_is_named(copied: Path) -> None:
    with pytest.raises(ModelError, match="no released model 'ram-moon': there are ram-digits"):
        released("ram-moon")
    copied.unlink()
    with pytest.raises(ModelError, match=r"does not say what ram-digits's figures are: .*No such file"):
        released("ram-digits")


@pytest.mark.parametrize("name", NAMES)
def test_what_is_said_of_a_released_model_can_be_checked(name: str) -> None:
    model = released(name)
    assert model.figures
    assert model.check.split()[-1] == f"zoo/{name}"
    for command in (*model.train, model.check):
        assert tuple(command.split()[1:3]) in COMMANDS
    card = (zoo.ZOO / name / "card.md").read_text(encoding="utf-8")
    assert f"{model.check} --json" in card
    for figure in model.figures:  # with as many digits as the card likes
        assert any(f"{figure.value:.{digits}f}".rstrip("0").rstrip(".") in card for digits in (1, 2, 3)), figure.name


def test_parameters_are_those_of_the_weights_file() -> None:
    assert released("ram-digits").parameters() == 203_029


# Training anew --------------------------------------------------------------------------------------------------------


def test_trainings_go_on_from_each_other() -> None:
    train = (
        "attention draw train --updates 3",
        'attention draw train --kwargs "a: {b: 1}" --start PREVIOUS',
        "attention draw train --start TRAINING-1 --teachers PREVIOUS TRAINING-2 else",
    )
    steps = dataclasses.replace(released("ram-digits"), train=train).steps(Path("runs/toy"))
    assert steps == [
        (["draw", "train", "--updates", "3", "--out", "runs/toy/1"], Path("runs/toy/1")),
        (["draw", "train", "--kwargs", "a: {b: 1}", "--start", "runs/toy/1", "--out", "runs/toy/2"], Path("runs/toy/2")),
        (
            ["draw", "train", "--start", "runs/toy/1", "--teachers", "runs/toy/2", "runs/toy/2", "else", "--out", "runs/toy/3"],
            Path("runs/toy/3"),
        ),
    ]
    ((words, folder),) = released("ram-digits").steps(Path("runs/toy"))
    assert folder == Path("runs/toy")
    assert words[-2:] == ["--out", "runs/toy"]


def test_a_model_is_trained_anew_and_goes_on_where_it_was_interrupted(copied: Path, tmp_path: Path) -> None:
    few = "--data digits --hidden 8 --updates 4 --validate-every 2 --log-every 2 --warmup 1"
    change(copied, train=[f"attention vae train {few}", f"attention vae train {few} --start PREVIOUS"])
    command, folders = ["zoo", "train", "ram-digits", "--out", str(tmp_path / "run")], [tmp_path / "run" / name for name in "12"]
    assert main([*command, "--max-seconds", "0"]) == 0
    assert not RunFolder(folders[0]).finished()
    assert not folders[1].exists()
    assert main([*command, "--threads", "0"]) == 2
    assert main(command) == 0
    assert all(RunFolder(folder).finished() for folder in folders)
    before = [(folder / "metrics.jsonl").read_bytes() for folder in folders]
    assert main(command) == 0
    assert [(folder / "metrics.jsonl").read_bytes() for folder in folders] == before


@pytest.mark.parametrize("name", NAMES)
def test_a_released_models_settings_are_those_that_its_last_command_asks_for(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []

    def train(config: Any, *_: Any) -> None:
        asked.append(config)
        raise KeyboardInterrupt

    for module in ("agents.registry", "generative.train", "captioning.train", "ocr.train", "transformer.train"):
        monkeypatch.setattr(f"{module}.train", train)
    assert [main(words) for words, _ in released(name).steps(Path("runs"))] == [130] * len(asked)
    saved = yaml.safe_load((zoo.ZOO / name / "config.yaml").read_text(encoding="utf-8"))
    settings = to_dict(asked[-1])
    saved = to_dict(from_dict(type(asked[-1]), {key: saved[key] for key in settings if key in saved}))
    if settings["training"]["precision"] == "auto":  # before there was that, it was bfloat16
        assert saved["training"]["precision"] in ("auto", "bf16")
        settings["training"]["precision"] = saved["training"]["precision"]
    differing = {key: (value, saved[key]) for key, value in settings.items() if saved[key] != value}
    assert set(differing) <= CHOSEN_LATER, differing


# Checking -----------------------------------------------------------------------------------------------------------


def test_a_figure_that_holds_has_status_0(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["zoo", "check", "ram-digits"]) == 0
    assert "ram-digits: error 1.1 %, holds" in capsys.readouterr().out


@pytest.mark.usefixtures("preloaded_python")
def test_a_figure_that_does_not_hold_has_status_1(copied: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (figure,) = yaml.safe_load(copied.read_text())["figures"]
    change(copied, figures=[{**figure, "value": 0.8}])
    assert main(["zoo", "check"]) == 1
    assert "does not hold" in capsys.readouterr().out


@pytest.mark.usefixtures("preloaded_python")
def test_a_model_that_cannot_be_evaluated_has_status_1_and_the_reason(copied: Path, capsys: pytest.CaptureFixture[str]) -> None:
    change(copied, check="attention rl evaluate zoo/ram-moon")
    assert main(["zoo", "check"]) == 1
    said = " ".join(capsys.readouterr().out.split())
    assert "ended with status 2: attention: no model 'zoo/ram-moon'" in said
    assert "not checked" in said


def test_the_page_is_not_written_about_some_models(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["zoo", "check", "ram-digits", "--markdown"]) == 2
    assert "leave the names out" in capsys.readouterr().err


@pytest.mark.usefixtures("preloaded_python")
def test_the_page_is_written_if_all_holds(copied: Path, tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text(f"Before.\n{BEGIN}\nold\n{END}\nAfter.\n", encoding="utf-8")
    change(copied, check=f"attention rl evaluate {copied.parent}")
    assert main(["zoo", "check", "--markdown"]) == 0
    assert (tmp_path / PAGE).read_text(encoding="utf-8") == page([released("ram-digits")])
    readme = (tmp_path / "README.md").read_text(encoding="utf-8")
    assert readme.startswith(f"Before.\n{BEGIN}\n| task |")
    assert readme.endswith(f"{END}\nAfter.\n")
    assert "old" not in readme


# Tables ---------------------------------------------------------------------------------------------------------------


def test_the_committed_page_and_readmes_table_say_what_the_figures_files_say() -> None:
    assert (ROOT / PAGE).read_text(encoding="utf-8") == page(all_released())
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert readme == with_table(readme, figures_table(all_released(), whole=False))


def test_a_table_shows_the_figures_beside_others() -> None:
    model = Released(
        "toy", "looking", "toys", ("attention rl train",), "attention rl evaluate zoo/toy", "1 minute", "a core", (FIGURE,) * 2
    )
    whole, short = (figures_table([model], whole).splitlines() for whole in (True, False))
    assert whole[2:] == [
        "| toys ([card](../zoo/toy/card.md)) | error | 2 % | – | **1.25 %** | 1.05 to 1.49; 1.2 ± 0.1 (3 seeds) |",
        "|  | error | 2 % | – | **1.25 %** | 1.05 to 1.49; 1.2 ± 0.1 (3 seeds) |",
    ]
    assert short[2:] == ["| toys ([card](zoo/toy/card.md)) | error | 2 % | – | **1.25 %** | `attention rl evaluate zoo/toy` |"]


def test_a_text_without_marks_is_refused() -> None:
    with pytest.raises(ValueError, match="once each"):
        with_table("nothing", "| a |")

"""The command line with models of pictures and readers: help, training, going on, figures, pictures, and what is refused."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from child_processes import Child
from PIL import Image
from results import contents, rows
from test_commands import WATCHED, run_in_process
from test_several_processes import assert_same_training, train_by_two

from attention_cli.main import main
from generative.config import DRAWConfig, ReaderConfig, published_config

FEW_UPDATES = [
    *("--updates", "4", "--warmup", "1", "--log-every", "2", "--validate-every", "2", "--learning-rate", "0.01"),
    *("--batch-size", "8", "--hidden", "12", "--seed", "3"),
]
SMALL = ["--steps", "3", "--latents", "4", "--read-size", "2", "--write-size", "3"]
READ = [
    *("--model", "drawreader", "--env", "attention_env/Digits-v0"),
    *("--glimpses", "3", "--size", "4", "--glimpse-width", "10"),
]
TRAIN = {
    "vae": ["vae", "train", "--data", "digits", "--latents", "4", *FEW_UPDATES],
    "draw": ["draw", "train", "--data", "digits", *SMALL, *FEW_UPDATES],
    "draw without attention": ["draw", "train", "--no-attention", *SMALL, *FEW_UPDATES],
    "draw by class": ["draw", "train", "--model", "draw", "--conditional", *SMALL, *FEW_UPDATES],
    "drawreader": ["draw", "train", *READ, "--training-kwargs", "distortion:{shift: 0.1}", *FEW_UPDATES],
}
KINDS = {name: "drawreader" if name == "drawreader" else words[0] for name, words in TRAIN.items()}


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A run of each, and one of an agent."""
    place = tmp_path_factory.mktemp("runs")
    agent = ["rl", "train", *FEW_UPDATES, "--glimpse-width", "8", "--location-width", "9"]
    for name, arguments in {**TRAIN, "ram": agent}.items():
        assert main([*arguments, "--out", str(place / name)]) == 0
    return {name: place / name for name in (*TRAIN, "ram")}


# Help -------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "arguments", "settings"),
    [
        ("vae", ["vae", "train", "--data", "digits"], ("latents", "hidden", "layers", "batch_size")),
        ("draw", ["draw", "train", "--data=digits"], ("steps", "latents", "read_size", "write_size")),
        ("drawreader", ["draw", "train", "--model=drawreader"], ("glimpses", "size", "glimpse_width", "batch_size")),
    ],
    ids=["vae", "draw", "drawreader"],
)
def test_help_shows_the_published_settings_without_importing_torch(
    kind: str, arguments: list[str], settings: tuple[str, ...]
) -> None:
    command = [sys.executable, "-c", WATCHED, *arguments, "--help"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert done.stderr == "False False\n"
    config = published_config(kind, ReaderConfig.env if kind == "drawreader" else DRAWConfig.data)
    flat = " ".join(done.stdout.replace("│", " ").split())
    assert f"(default: {kind})" in flat
    for name in settings:
        assert f"--{name.replace('_', '-')} INT" in flat
        assert f"(default: {getattr(config, name)})" in flat


# Training ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", list(TRAIN))
def test_training_that_is_stopped_goes_on_to_the_same_numbers(
    name: str, runs: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for extra in (["--max-seconds", "0"], []):
        status, said, complaint = run_in_process([*TRAIN[name], "--out", str(tmp_path), *extra], capsys)
        assert status == 0, complaint
        assert f"run folder  {tmp_path}\nmetrics     {tmp_path}/metrics.jsonl" in said
        after = "the same command again goes on" if extra else f"attention {TRAIN[name][0]} evaluate {tmp_path}\n"
        assert f"next        {after}" in said
    assert contents(tmp_path) == contents(runs[name])
    assert [row["update"] for row in rows(tmp_path)] == [2, 2, 4, 4]


@pytest.mark.parametrize("name", list(TRAIN))
def test_settings_of_the_command_are_those_of_the_run(name: str, runs: dict[str, Path]) -> None:
    config = yaml.safe_load((runs[name] / "config.yaml").read_text())
    assert (config["kind"], config["seed"], config["batch_size"], config["hidden"]) == (KINDS[name], 3, 8, 12)
    assert config["training"]["updates"] == 4
    expected = {
        "vae": {"data": "digits", "latents": 4},
        "draw": {"data": "digits", "steps": 3, "read_size": 2, "write_size": 3, "attention": True, "conditional": False},
        "draw without attention": {"data": "digits", "attention": False},
        "draw by class": {"data": "digits", "conditional": True},
        "drawreader": {"env": "attention_env/Digits-v0", "size": 4, "training_kwargs": {"distortion": {"shift": 0.1}}},
    }
    assert {key: config[key] for key in expected[name]} == expected[name]


def test_run_folder_is_named_after_the_training_by_default(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("draw", "drawreader"):
        assert run_in_process([*TRAIN[name], "--max-seconds", "0"], capsys)[0] == 0
    assert {path.name for path in (tmp_path / "runs").iterdir()} == {"digits-draw-3", "Digits-v0-drawreader-3"}


@pytest.mark.parametrize("name", ["draw", "drawreader"])
def test_two_processes_do_what_one_does(name: str, tmp_path: Path) -> None:
    # Distorted pictures are drawn by each process for itself, so two of them cannot see what one would.
    arguments = [*TRAIN[name], *(["--training-kwargs", "distortion:"] if name == "drawreader" else []), "--threads", "1", "--out"]
    one, two = tmp_path / "one", tmp_path / "two"
    assert Child([*arguments, str(one)], tmp_path / "one.log").run() == 0
    assert train_by_two([*arguments, str(two)], tmp_path / "two.log") == [0, 0], (tmp_path / "two.log").read_text()
    assert_same_training(two, one)


# Figures ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["vae", "draw", "draw without attention", "draw by class"])
def test_evaluation_of_a_model_prints_one_json_object(name: str, runs: dict[str, Path], capsys: pytest.CaptureFixture[str]) -> None:
    more = ["--passes", "2", "--importance-samples", "3"]
    status, said, complaint = run_in_process([KINDS[name], "evaluate", str(runs[name]), "--json", *more], capsys)
    assert status == 0, complaint
    (line,) = said.splitlines()
    figures = json.loads(line)
    assert {"model": name, "metric": "elbo_nats", "passes": 2, "examples": 360, "split": "test"}.items() <= figures.items()
    assert {"data": "digits", "output": "bernoulli", "binarisation": "dynamic", "importance_samples": 3}.items() <= figures.items()
    assert 0 < figures["standard_error"] < 1
    assert 20 < figures["importance_weighted_nats"] < figures["value"] < 70


def test_evaluation_of_a_reader_prints_one_json_object(runs: dict[str, Path], capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["draw", "evaluate", str(runs["drawreader"]), "--json", "--split", "validation"]
    status, said, complaint = run_in_process(arguments, capsys)
    assert status == 0, complaint
    (line,) = said.splitlines()
    figures = json.loads(line)
    assert {"model": "drawreader", "metric": "error_rate", "examples": 180, "split": "validation"}.items() <= figures.items()
    low, high = figures["interval"]
    assert 0 <= low < figures["value"] < high <= 1


@pytest.mark.parametrize("name", ["vae", "drawreader"])
def test_table_says_what_the_json_says(name: str, runs: dict[str, Path], capsys: pytest.CaptureFixture[str]) -> None:
    arguments = [TRAIN[name][0], "evaluate", str(runs[name]), "--passes", "1"]
    figures = json.loads(run_in_process([*arguments, "--json"], capsys)[1])
    _, said, _ = run_in_process(arguments, capsys)
    assert dict(line.split(maxsplit=1) for line in said.splitlines()) == {key: str(value) for key, value in figures.items()}


def test_newest_weights_can_be_evaluated(runs: dict[str, Path], capsys: pytest.CaptureFixture[str]) -> None:
    (checkpoint,) = (runs["vae"] / "checkpoint").iterdir()
    values = []
    for model in (runs["vae"], runs["vae"] / "model.safetensors", checkpoint):
        status, said, complaint = run_in_process(["vae", "evaluate", str(model), "--json", "--passes", "1"], capsys)
        assert status == 0, complaint
        values.append(json.loads(said)["value"])
    assert values[0] == values[1]
    assert values[0] != values[2]


# Pictures ---------------------------------------------------------------------------------------------------------------


def written(said: str) -> dict[str, tuple[tuple[int, int], int]]:
    """The files that the command says it has written: of each, its size and how many frames it has."""
    found = {}
    for line in said.splitlines():
        if line.startswith("written"):
            path = Path(line.split(maxsplit=1)[1])
            with Image.open(path) as image:
                image.load()
                found[path.name] = (image.size, getattr(image, "n_frames", 1))
    return found


@pytest.mark.parametrize("name", ["vae", "draw", "draw by class"])
def test_samples_are_written(name: str, runs: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = [KINDS[name], "sample", str(runs[name]), "--count", "6", "--out", str(tmp_path)]
    status, said, complaint = run_in_process([*arguments, *(["--label", "4"] if "class" in name else [])], capsys)
    assert status == 0, complaint
    size = (3 * 82 + 2, 2 * 82 + 2)
    assert written(said) == {"samples.png": (size, 1), **({} if name == "vae" else {"drawing.gif": (size, 4)})}
    assert {path.name for path in tmp_path.iterdir()} == set(written(said))


@pytest.mark.parametrize("name", ["vae", "draw"])
def test_reconstructions_are_written_into_the_runs_figures(
    name: str, runs: dict[str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [name, "reconstruct", str(runs[name]), "--count", "4", "--steps", "3", "--split", "validation"]
    status, said, complaint = run_in_process(arguments, capsys)
    assert status == 0, complaint
    expected = {"reconstructions.png": ((4 * 82 + 2, 2 * 82 + 2), 1), "interpolation.png": ((3 * 82 + 2, 5 * 82 + 2), 1)}
    if name == "draw":
        expected |= {"reading.gif": ((4 * 82 + 2, 2 * 84), 4), "divergences.png": ((840, 330), 1)}
    assert written(said) == expected
    assert set(expected) < {path.name for path in (runs[name] / "figures").iterdir()}


def test_reader_is_shown_at_work(runs: dict[str, Path], capsys: pytest.CaptureFixture[str]) -> None:
    status, said, complaint = run_in_process(["draw", "classify", str(runs["drawreader"]), "--count", "2"], capsys)
    assert status == 0, complaint
    named = said.splitlines()[0].split()
    assert named[0] == "named"
    assert len(named[1:]) == 2
    assert set(map(int, named[1:])) <= set(range(10))
    assert written(said) == {"naming.gif": ((2 * 202 + 2, 202 + 2), 3)}
    assert (runs["drawreader"] / "figures" / "naming.gif").exists()


# What is refused --------------------------------------------------------------------------------------------------------

BAD_TRAINING = {
    "vae under draw": (["draw", "train", "--model", "vae"], "attention draw train trains draw or drawreader, not 'vae'"),
    "draw under vae": (["vae", "train", "--model=draw"], "attention vae train trains vae, not 'draw'"),
    "no pictures": (["vae", "train", "--batch-size", "0"], "batch_size must be at least 1, got 0"),
    "no steps": (["draw", "train", "--steps", "0"], "steps must be at least 1, got 0"),
    "window of one filter": (["draw", "train", "--read-size", "1"], "read_size must be at least 2, got 1"),
    "window too large": ([*TRAIN["draw"], "--write-size", "9"], "N must be within 2 … 8"),
    "reader's window too large": ([*TRAIN["drawreader"], "--size", "9"], "N must be within 2 … 8"),
    "unknown data": (["vae", "train", "--data", "cifar"], "unknown data 'cifar': choose one of digits, mnist"),
    "unknown output": (["vae", "train", "--output", "poisson"], "poisson"),
    "classes of data without": (
        ["draw", "train", "--data", "binarized_mnist", "--conditional"],
        "binarized_mnist comes without classes: use mnist",
    ),
    "setting of another model": (["vae", "train", "--read-size", "3"], "--read-size"),
    "pictures without classes": (
        ["draw", "train", *READ, "--env", "attention_env/Catch-v0"],
        "choose an environment whose pictures",
    ),
    "no key and value": ([*TRAIN["drawreader"], "--env-kwargs", "glimpses"], "'glimpses' is not key:value"),
    "environment's settings without an environment": ([*TRAIN["vae"], "--env-kwargs", "glimpses:3"], "kwargs"),
    "no threads": ([*TRAIN["vae"], "--threads", "0"], "threads must be at least 1, got 0"),
    "less than no time": ([*TRAIN["vae"], "--max-seconds", "-1"], "max_seconds must be at least 0, got -1"),
}


@pytest.mark.parametrize(("arguments", "message"), BAD_TRAINING.values(), ids=list(BAD_TRAINING))
def test_trainings_that_are_impossible_are_told_on_stderr_with_status_2(
    arguments: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    status, said, complaint = run_in_process(
        [*arguments[:2], "--max-seconds", "0", *arguments[2:], "--out", str(tmp_path / "run")], capsys
    )
    assert status == 2, said
    assert message in " ".join(complaint.replace("│", " ").split())
    assert "Traceback" not in complaint
    assert said == ""
    assert not (tmp_path / "run").exists()


BAD_USE = {
    "model as an agent": (
        "vae",
        ["rl", "evaluate"],
        "vae is a model of kind 'vae', not one of ram, ppo, a2c, recurrent_ppo, mlp, cnn: evaluate it with its own command",
    ),
    "reader as an agent": ("drawreader", ["rl", "watch"], "drawreader is a model of kind 'drawreader', not one of ram"),
    "agent as a model": (
        "ram",
        ["draw", "evaluate"],
        "ram is a model of kind 'ram', not one of vae, draw, drawreader: use its own command",
    ),
    "reader that is to make": ("drawreader", ["draw", "sample"], "names pictures and makes none: attention draw classify shows"),
    "reader that is to rebuild": ("drawreader", ["draw", "reconstruct"], "names pictures and makes none"),
    "model that is to name": (
        "draw",
        ["draw", "classify"],
        "draw makes pictures and names none: train one with attention draw train",
    ),
    "class of a model without": ("vae", ["vae", "sample", "--label", "3"], "train one with conditional=True"),
    "class out of range": ("draw by class", ["draw", "sample", "--label", "10"], "label must be within 0 … 9, got 10"),
    "no samples": ("vae", ["vae", "sample", "--count", "0"], "at least one picture can be made, got 0"),
    "too many reconstructions": (
        "vae",
        ["vae", "reconstruct", "--count", "361"],
        "between 1 and 360 pictures can be shown, got 361",
    ),
    "way of a single step": ("vae", ["vae", "reconstruct", "--steps", "1"], "there are at least 2 steps, got 1"),
    "no passes": ("vae", ["vae", "evaluate", "--passes", "0"], "passes must be at least 1"),
    "no readings": ("drawreader", ["draw", "classify", "--count", "0"], "between 1 and 360 pictures can be shown, got 0"),
}


@pytest.mark.parametrize(("name", "arguments", "message"), BAD_USE.values(), ids=list(BAD_USE))
def test_use_that_is_impossible_is_told_on_stderr_with_status_2(
    name: str, arguments: list[str], message: str, runs: dict[str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    status, said, complaint = run_in_process([*arguments[:2], str(runs[name]), *arguments[2:]], capsys)
    assert status == 2
    assert message in complaint
    assert complaint.startswith("attention: ")
    assert said == ""


def test_run_of_other_settings_is_not_overwritten(runs: dict[str, Path], capsys: pytest.CaptureFixture[str]) -> None:
    before = contents(runs["draw"])
    for name, difference in (("draw without attention", "attention: True there, False asked for"), ("vae", "kind: 'draw' there")):
        status, _, complaint = run_in_process([*TRAIN[name], "--out", str(runs["draw"])], capsys)
        assert status == 2
        assert "holds a run of other settings" in complaint
        assert difference in complaint
    assert contents(runs["draw"]) == before


def test_loss_that_is_no_number_is_told_with_advice(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = [*TRAIN["vae"], "--updates", "20", "--final-learning-rate", "1e4", "--validate-every", "20", "--average", "0"]
    status, _, complaint = run_in_process([*arguments, "--out", str(tmp_path)], capsys)
    assert status == 2
    assert complaint.startswith("attention: training broke down at update 3: losses/elbo_nats, ")
    assert "try a lower learning rate" in complaint

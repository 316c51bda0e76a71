"""The command line with captioners: help, training, going on, figures, descriptions, and what is refused."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml
from child_processes import Child
from PIL import Image
from results import contents
from safetensors.torch import load_file
from test_commands import WATCHED, run_in_process
from test_several_processes import assert_same_training, newest_weights, train_by_two

from attention_cli.main import main
from attention_core.training import save_weights
from attention_env.caption_scenes import FIRST_COLOUR
from captioning.config import BASELINES, published_config
from captioning.loading import load

TRAIN = [
    *("caption", "train", "--updates", "4", "--warmup", "1", "--log-every", "2", "--validate-every", "4", "--batch-size", "4"),
    *("--hidden", "12", "--embedding", "6", "--annotation-units", "8", "--attention-units", "5", "--seed", "3"),
]
KINDS = {
    "soft": [],
    "hard": ["--attention", "hard"],
    "self-critical": ["--attention", "hard", "--reward", "cider", "--baseline", "self_critical"],
}


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    place = tmp_path_factory.mktemp("runs")
    for name, arguments in KINDS.items():
        assert main([*TRAIN, *arguments, "--out", str(place / name)]) == 0
    return {name: place / name for name in KINDS}


def test_help_shows_the_published_settings_without_importing_torch() -> None:
    command = [sys.executable, "-c", WATCHED, "caption", "train", "--data", "flickr8k", "--attention", "soft", "--help"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert done.stderr == "False False\n"
    flat = " ".join(done.stdout.replace("│", " ").split())
    config = published_config("flickr8k", "soft")
    for name in ("hidden", "embedding", "attention_units", "batch_size"):
        assert f"--{name.replace('_', '-')} INT" in flat
        assert f"(default: {getattr(config, name)})" in flat


@pytest.mark.parametrize("name", list(KINDS))
def test_training_that_is_stopped_goes_on_to_the_same_numbers(
    name: str, runs: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for extra in (["--max-seconds", "0"], []):
        status, said, complaint = run_in_process([*TRAIN, *KINDS[name], "--out", str(tmp_path), *extra], capsys)
        assert status == 0, complaint
        after = "the same command again goes on" if extra else f"attention caption evaluate {tmp_path}\n"
        assert f"next        {after}" in said
    assert contents(tmp_path) == contents(runs[name])
    config = yaml.safe_load((tmp_path / "config.yaml").read_text())
    assert (config["kind"], config["seed"], config["batch_size"]) == ("captioner", 3, 4)
    assert config["words"].split()[:4] == ["<pad>", "<start>", "<end>", "<unknown>"]


def test_two_processes_do_what_one_does(tmp_path: Path) -> None:
    # Places are drawn by each process for itself, so two of them cannot look where one would: soft attention alone.
    one, two = tmp_path / "one", tmp_path / "two"
    arguments = [*TRAIN, "--threads", "1", "--out"]
    assert Child([*arguments, str(one)], tmp_path / "one.log").run() == 0
    assert train_by_two([*arguments, str(two)], tmp_path / "two.log") == [0, 0], (tmp_path / "two.log").read_text()
    assert_same_training(two, one)


@pytest.mark.parametrize("reward", ["likelihood", "cider"])
def test_two_processes_whose_captions_are_of_different_lengths_share_one_moving_average(reward: str, tmp_path: Path) -> None:
    hard = ("--attention", "hard", "--baseline", "moving_average", "--reward", reward)
    arguments = [*TRAIN, *hard, "--batch-size", "2", "--threads", "1"]
    log = tmp_path / "log"
    assert train_by_two([*arguments, "--out", str(tmp_path / "run")], log) == [0, 0], log.read_text()
    average = load_file(newest_weights(tmp_path / "run"))["average.updates"].flatten().tolist()
    assert average[0] == 4  # updates, each taken in by both at once
    assert average == sorted(average, reverse=True)


def test_run_folder_is_named_after_the_training_by_default(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run_in_process([*TRAIN, "--attention", "hard", "--max-seconds", "0"], capsys)[0] == 0
    assert [path.name for path in (tmp_path / "runs").iterdir()] == ["scenes-hard-3"]


def test_evaluation_prints_one_json_object(runs: dict[str, Path], capsys: pytest.CaptureFixture[str]) -> None:
    status, said, complaint = run_in_process(
        ["caption", "evaluate", str(runs["hard"]), "--json", "--beams", "2", "--tries", "3"], capsys
    )
    assert status == 0, complaint
    (line,) = said.splitlines()
    figures = json.loads(line)
    expected = {"model": "hard", "examples": 2000, "split": "test", "data": "scenes", "attention": "hard", "beams": 2, "tries": 3}
    assert expected.items() <= figures.items()
    assert 0 <= figures["exact"] <= 1
    assert 0 <= figures["attention_on_shape"] <= 1
    once = json.loads(run_in_process(["caption", "evaluate", str(runs["hard"]), "--json", "--beams", "2"], capsys)[1])
    assert once["tries"] == 1


@pytest.mark.parametrize(("tokenizer", "told"), [("python", True), ("coco", False)])
def test_scores_without_java_are_said_to_be_so(
    tokenizer: str, told: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("captioning.evaluate.report", lambda *_, **__: {"bleu4": 20.0, "tokenizer": tokenizer})
    status, said, complaint = run_in_process(["caption", "evaluate", "somewhere", "--json"], capsys)
    assert (status, json.loads(said)["tokenizer"]) == (0, tokenizer)
    assert ("no Java was found, so METEOR is left out" in complaint) == told


@pytest.mark.parametrize("name", ["soft", "hard"])
def test_evaluation_says_where_it_was_let_look(
    name: str, runs: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    captioner = load(str(runs[name]), torch.device("cpu"))[0]
    with torch.no_grad():
        captioner.output.bias[FIRST_COLOUR:] += 20.0  # it names something with nearly every word
    run = shutil.copytree(runs[name], tmp_path / name)
    save_weights(captioner, run / "model.safetensors")
    figures = {}
    for places in ("attended", "random"):
        status, said, complaint = run_in_process(["caption", "evaluate", str(run), "--json", "--places", places], capsys)
        assert status == 0, complaint
        figures[places] = json.loads(said)
        assert figures[places].pop("places") == places
    assert figures["attended"].keys() == figures["random"].keys()
    assert figures["attended"] != figures["random"]


def test_variance_prints_a_table_or_an_object(
    runs: dict[str, Path], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("captioning.gradient_variance.WARM_UP", 2)
    arguments = ["caption", "variance", str(runs["hard"]), "--estimates", "3", "--episodes", "4"]
    status, said, complaint = run_in_process([*arguments, "--json"], capsys)
    assert status == 0, complaint
    (rows,) = json.loads(said).values()
    weight = yaml.safe_load((runs["hard"] / "config.yaml").read_text())["entropy_weight"]
    assert [(row["baseline"], row["entropy_weight"]) for row in rows] == [(name, own) for name in BASELINES for own in (0, weight)]
    said = run_in_process(arguments, capsys)[1]
    assert said.startswith(f"{runs['hard']}: 3 estimates of 4 episodes each")
    assert f"| leave_one_out | 0 | 2 × 2 | {rows[4]['variance']:.3g} ±" in said


@pytest.mark.parametrize("name", ["soft", "hard"])
def test_a_scene_is_described_with_a_map_for_each_word(
    name: str, runs: dict[str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    status, said, complaint = run_in_process(["caption", "describe", "7", "--model", str(runs[name])], capsys)
    assert status == 0, complaint
    sentence, written = said.splitlines()
    assert written == f"written     {runs[name]}/figures/described.png"
    with Image.open(runs[name] / "figures" / "described.png") as picture:
        assert picture.width > 900
    assert len(sentence.split()) <= 40


def test_a_sentence_may_be_searched_for_in_another_way(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    describe = ["caption", "describe", "7", "--model", "caption-scenes-hard", "--out", str(tmp_path / "described.png")]
    as_set, longest = (
        run_in_process([*describe, *more], capsys)[1].splitlines()[0] for more in ([], ["--length-power", "30", "--beams", "8"])
    )
    assert as_set == "a yellow diamond above a purple triangle"
    # Every word makes a sentence less likely, and here more worth: none ends before it must.
    assert longest.startswith(as_set)
    assert len(longest.split()) > 8


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["caption", "describe", "2000", "--model", "RUN"], "'2000' is no scene: this captioner writes about test scenes 0 … 1999"),
        (["caption", "describe", "photo.jpg", "--model", "RUN"], "'photo.jpg' is no scene"),
        (["caption", "evaluate", "nowhere"], "no model 'nowhere'"),
        (["caption", "variance"], "name at least one trained captioner"),
        (
            ["caption", "variance", "RUN"],
            "soft has soft attention and learned from likelihood: give a captioner with hard attention",
        ),
        (["caption", "evaluate", "RUN", "--beams", "0"], "beams must be at least 1, got 0"),
        (["caption", "evaluate", "RUN", "--tries", "2"], "tries is for attention='hard'"),
        (["caption", "describe", "7", "--model", "RUN", "--tries", "2"], "tries is for attention='hard'"),
        (["draw", "evaluate", "RUN"], "is a model of kind 'captioner'"),
        ([*TRAIN, "--data", "coco"], "data='coco' is unknown"),
    ],
)
def test_what_cannot_be_is_refused_in_a_line(
    arguments: list[str], message: str, runs: dict[str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    words = [str(runs["soft"]) if word == "RUN" else word for word in arguments]
    status, _, complaint = run_in_process(words, capsys)
    assert status == 2
    assert message in complaint
    assert len(complaint.splitlines()) == 1

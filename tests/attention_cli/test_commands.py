"""The command line: help at once, train, evaluate and watch end to end, and what is said to whoever asks for the impossible."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml
from PIL import Image
from results import contents, rows

import attention_env
from agents.config import published_config
from attention_cli.arguments import print_figures
from attention_cli.main import COMMANDS, main
from attention_core import data_files, zoo
from attention_core.config import to_dict

TRAIN = [
    *("rl", "train", "--updates", "4", "--batch-size", "8", "--log-every", "2", "--validate-every", "2", "--warmup", "1"),
    *("--glimpse-width", "8", "--location-width", "9", "--hidden", "10"),
]
COMMAND = "import sys; from attention_cli.main import main; sys.exit(main())"
WATCHED = """
import sys
from attention_cli.main import main
try:
    status = main()
except SystemExit as end:
    status = end.code
print("torch" in sys.modules, "numpy" in sys.modules, file=sys.stderr)
sys.exit(status)
"""


def run_in_process(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> tuple[int, str, str]:
    """Run the command here; return its exit status, what it says, and what it complains of."""
    try:
        status = main(arguments)
    except SystemExit as end:
        status = int(end.code or 0)
    captured = capsys.readouterr()
    return status, captured.out, captured.err


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of four updates."""
    folder = tmp_path_factory.mktemp("runs") / "tiny"
    assert main([*TRAIN, "--out", str(folder)]) == 0
    return folder


# Start --------------------------------------------------------------------------------------------------------------


def test_a_training_begins_without_what_only_its_end_needs() -> None:
    command = (
        "import sys, agents.train, captioning.train, generative.train, ocr.train, transformer.train\n"
        "print({'matplotlib.figure', 'scipy.stats', 'scipy.ndimage', 'sklearn'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", command], capture_output=True, text=True, timeout=120, check=True)
    assert done.stdout == "set()\n"


# What is printed ----------------------------------------------------------------------------------------------------


def test_what_is_next_is_called_as_this_was(
    trained: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for script, called in (
        ("my own/mine.py", "python 'my own/mine.py'"),
        ("attention_cli/__main__.py", "attention"),
        ("bin/attention", "attention"),
    ):
        monkeypatch.setattr(sys, "argv", [script, *TRAIN, "--out", str(trained)])
        assert main() == 0
        assert f"next        {called} rl evaluate {trained}\n" in capsys.readouterr().out
    monkeypatch.setattr(sys, "argv", ["own/mine.py"])  # which says itself what is to be done
    assert main([*TRAIN, "--out", str(trained)]) == 0
    assert f"next        attention rl evaluate {trained}\n" in capsys.readouterr().out


def test_figures_of_parts_are_lines_of_their_own(capsys: pytest.CaptureFixture[str]) -> None:
    figures = {"model": "reader", "svt": {"accuracy": 0.5, "words": 647}}
    print_figures(figures, as_json=False)
    assert capsys.readouterr().out == "model         reader\nsvt accuracy  0.5\nsvt words     647\n"
    print_figures(figures, as_json=True)
    assert json.loads(capsys.readouterr().out) == figures


# Help ---------------------------------------------------------------------------------------------------------------

HELP = [["--help"], ["-h"], [], ["rl", "--help"], *([area, verb, "--help"] for area, verb in COMMANDS)]


@pytest.mark.parametrize("arguments", HELP, ids=" ".join)
def test_help_answers_at_once_without_importing_torch(arguments: list[str]) -> None:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    began = time.monotonic()
    done = subprocess.run([sys.executable, "-c", WATCHED, *arguments], capture_output=True, text=True, timeout=60, check=False)
    waited = time.monotonic() - began
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("usage: attention")
    assert done.stderr == "False False\n"
    # Other work on the machine stretches the wall clock and not the time that the processor spends on us.
    assert min(waited, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime) < 1.5


@pytest.mark.parametrize("area", ["data", "zoo"])
def test_lists_of_what_there_is_do_without_torch(area: str) -> None:
    done = subprocess.run([sys.executable, "-c", WATCHED, area, "list"], capture_output=True, text=True, timeout=60, check=True)
    assert done.stderr.startswith("False ")


def test_help_lists_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    status, said, _ = run_in_process(["--help"], capsys)
    assert status == 0
    assert all(f"attention {area} {verb} " in said for area, verb in COMMANDS)


def test_help_of_an_area_lists_its_commands_alone(capsys: pytest.CaptureFixture[str]) -> None:
    status, said, _ = run_in_process(["data", "--help"], capsys)
    assert status == 0
    assert "attention data fetch" in said
    assert "attention rl" not in said


def test_installed_command_is_this_one() -> None:
    script = Path(sys.executable).parent / "attention"
    done = subprocess.run([script, "--help"], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert "attention rl train" in done.stdout


@pytest.mark.parametrize("arguments", [["--help"], ["rl", "train", "--help"], ["data", "list"]], ids=" ".join)
def test_reader_that_has_gone_away_is_not_complained_of(arguments: list[str]) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    try:
        command = [sys.executable, "-c", COMMAND, *arguments]
        done = subprocess.run(command, stdout=writing, stderr=subprocess.PIPE, text=True, timeout=60, check=False)
    finally:
        os.close(writing)
    assert done.stderr == ""


# From training to watching ------------------------------------------------------------------------------------------


def test_train_evaluate_watch_end_to_end(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "run"
    status, said, _ = run_in_process([*TRAIN, "--out", str(folder)], capsys)
    assert status == 0
    for path in (folder, folder / "metrics.jsonl", folder / "figures" / "curves.png"):
        assert str(path) in said
        assert path.exists()

    status, said, _ = run_in_process(["rl", "evaluate", str(folder), "--json"], capsys)
    assert status == 0
    figures = json.loads(said)
    assert (figures["model"], figures["examples"], figures["split"]) == ("run", 360, "test")
    assert figures["env"] == "attention_env/Digits-v0"
    assert figures["value"] * 360 == pytest.approx(round(figures["value"] * 360))
    low, high = figures["interval"]
    assert 0 <= low < figures["value"] < high <= 1

    status, said, _ = run_in_process(["rl", "watch", str(folder), "--episodes", "2"], capsys)
    gif = folder / "figures" / "scan.gif"
    assert (status, said) == (0, f"scan path   {gif}\n")
    with Image.open(gif) as image:
        assert image.n_frames == 2 * 6


def test_same_command_again_goes_on_and_then_has_nothing_to_do(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    assert run_in_process([*TRAIN, "--out", str(whole)], capsys)[0] == 0
    for _ in range(5):
        assert run_in_process([*TRAIN, "--out", str(parts), "--max-seconds", "0"], capsys)[0] == 0
    assert contents(parts) == contents(whole)


def test_table_says_what_the_json_says(trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _, said, _ = run_in_process(["rl", "evaluate", str(trained), "--json", "--split", "validation", "--runs", "2"], capsys)
    figures = json.loads(said)
    assert (figures["split"], figures["examples"], figures["runs_sampled"]) == ("validation", 180, 2)
    _, said, _ = run_in_process(["rl", "evaluate", str(trained), "--split", "validation", "--runs", "2"], capsys)
    assert dict(line.split(maxsplit=1) for line in said.splitlines()) == {name: str(value) for name, value in figures.items()}


def test_evaluation_of_another_task_says_so_by_its_settings(trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    values = []
    for extra in ([], ["--env-kwargs", "start:[0.9, 0.9]", "glimpses:1"]):
        status, said, complaint = run_in_process(["rl", "evaluate", str(trained), "--json", *extra], capsys)
        assert status == 0, complaint
        values.append(json.loads(said))
    assert values[0] != values[1]


@pytest.mark.parametrize("setting", ["glimpse_size:6", "stop:true", "action_format:grid", "zoom:true"])
def test_task_that_the_agent_was_not_made_for_is_refused_by_its_spaces(
    trained: Path, setting: str, capsys: pytest.CaptureFixture[str]
) -> None:
    status, _, complaint = run_in_process(["rl", "evaluate", str(trained), "--env-kwargs", setting], capsys)
    assert status == 2
    assert "the model was made for" in complaint
    assert "with these settings has" in complaint
    assert "Traceback" not in complaint


def test_watch_writes_where_it_is_told(trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    gif = tmp_path / "here.gif"
    assert run_in_process(["rl", "watch", str(trained), "--out", str(gif), "--episodes", "1", "--split", "train"], capsys)[0] == 0
    with Image.open(gif) as image:
        assert image.n_frames == 6


def test_zoo_name_serves_for_all_commands(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(zoo, "ZOO", tmp_path / "zoo")
    monkeypatch.chdir(tmp_path)
    status, said, _ = run_in_process(["zoo", "release", str(trained), "ram-tiny"], capsys)
    assert (status, said) == (0, f"{tmp_path / 'zoo' / 'ram-tiny'}\n")
    status, said, _ = run_in_process(["zoo", "list"], capsys)
    assert status == 0
    assert said == f"{'ram-tiny':<34} nothing is said of it yet: write its figures.yaml\n"
    status, said, _ = run_in_process(["rl", "evaluate", "ram-tiny", "--json"], capsys)
    assert (status, json.loads(said)["model"]) == (0, "ram-tiny")
    assert run_in_process(["rl", "watch", "ram-tiny", "--episodes", "1"], capsys)[0] == 0
    assert (tmp_path / "scan.gif").exists()


def test_checkpoint_can_be_evaluated(trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, said, complaint = run_in_process(["rl", "evaluate", str(trained / "model.safetensors"), "--json"], capsys)
    assert status == 0, complaint
    assert json.loads(said)["model"] == "tiny"


# Settings -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("env", attention_env.environment_ids())
def test_published_settings_are_the_defaults_of_the_command(env: str, capsys: pytest.CaptureFixture[str]) -> None:
    _, said, _ = run_in_process(["rl", "train", "--env", env, "--help"], capsys)
    published = published_config(env)
    flat = " ".join(said.replace("│", " ").split())
    for value in (published.batch_size, published.training.updates, published.training.learning_rate):
        assert f"(default: {value})" in flat


def test_command_line_overrides_the_published_settings_and_keeps_the_rest(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    extra = ["--learning-rate", "0.007", "--env-kwargs", "glimpses:3", "start: [0.5, -0.5]", "--training-kwargs", "move_scale:0.5"]
    assert run_in_process([*TRAIN, *extra, "--out", str(tmp_path)], capsys)[0] == 0
    config = yaml.safe_load((tmp_path / "config.yaml").read_text())
    published = published_config("attention_env/Digits-v0")
    assert config["training"]["learning_rate"] == 0.007
    assert config["training"]["updates"] == 4
    assert config["training"]["clip"] == published.training.clip
    assert config["network"] == {**to_dict(published.network), "glimpse_width": 8, "location_width": 9, "hidden": 10}
    assert config["env_kwargs"] == {"glimpses": 3, "start": [0.5, -0.5]}
    assert config["training_kwargs"] == {**published.training_kwargs, "move_scale": 0.5}


def test_published_distortion_can_be_switched_off(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_in_process([*TRAIN, "--training-kwargs", "distortion:", "--out", str(tmp_path)], capsys)[0] == 0
    assert yaml.safe_load((tmp_path / "config.yaml").read_text())["training_kwargs"] == {"distortion": None}


def test_run_folder_is_named_after_the_training_by_default(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run_in_process([*TRAIN, "--rule", "pure", "--seed", "5"], capsys)[0] == 0
    assert [row["update"] for row in rows(tmp_path / "runs" / "Digits-v0-pure-5")] == [2, 2, 4, 4]


# Mistakes -----------------------------------------------------------------------------------------------------------

WRONG = {
    "no such command": (["rl", "trian"], "no command 'rl trian'"),
    "no such area": (["cooking", "eggs"], "no command 'cooking eggs'"),
    "area alone": (["rl"], "no command 'rl'"),
    "unknown option": (["rl", "train", "--learning-rat", "1"], "--learning-rat"),
    "unknown environment": ([*TRAIN, "--env", "attention_env/Digit-v0"], "Digit"),
    "environment of another kind": ([*TRAIN, "--env", "CartPole-v1"], "CartPole-v1 is not a glimpse environment"),
    "environment without its package": ([*TRAIN, "--env", "elsewhere/Digits-v0"], "elsewhere"),
    "rule": ([*TRAIN, "--rule", "greedy"], "greedy"),
    "number that is none": ([*TRAIN, "--batch-size", "many"], "many"),
    "number out of range": ([*TRAIN, "--samples", "0"], "samples must be at least 1, got 0"),
    "interval of nothing": ([*TRAIN, "--log-every", "0"], "log_every"),
    "threads of nothing": ([*TRAIN, "--threads", "0"], "threads"),
    "precision": ([*TRAIN, "--precision", "half"], "half"),
    "pair without a colon": ([*TRAIN, "--env-kwargs", "glimpses=3"], "'glimpses=3' is not key:value"),
    "pair that is not YAML": ([*TRAIN, "--env-kwargs", "start:[0.5"], "start"),
    "setting of no environment": (
        [*TRAIN, "--env-kwargs", "glimpsez:3"],
        "attention_env/Digits-v0 cannot be made: unknown setting glimpsez",
    ),
    "setting out of range": ([*TRAIN, "--env-kwargs", "glimpses:0"], "glimpses must be a whole number of at least 1"),
    "setting of the wrong type": ([*TRAIN, "--env-kwargs", "glimpses:few"], "glimpses must be a whole number"),
    "setting that the agent decides on": ([*TRAIN, "--env-kwargs", "output:numpy"], "output"),
    "action format": ([*TRAIN, "--env-kwargs", "action_format:saccade"], "and random looks; not in 'saccade'"),
    "distortion of no kind": ([*TRAIN, "--training-kwargs", "distortion:{twirl: 3}"], "twirl"),
    "picture source": ([*TRAIN, "--env-kwargs", "source:cifar"], "unknown image source 'cifar'"),
    "unknown model": (["rl", "evaluate", "no-such-model"], "no model 'no-such-model'"),
    "unknown model to watch": (["rl", "watch", "no-such-model"], "no model 'no-such-model'"),
    "no model": (["rl", "evaluate"], "A zoo name, a run folder, or a weights file. (required)"),
    "unknown model to release": (["zoo", "release", "no-such-model", "name"], "no model 'no-such-model'"),
    "split": (["rl", "evaluate", "no-such-model", "--split", "exam"], "exam"),
    "unknown data set": (
        ["data", "fetch", "imagenet"],
        "unknown data set imagenet: choose from binarized_mnist, encoders, fashion_mnist, flickr8k, mnist",
    ),
}


@pytest.mark.parametrize(("arguments", "message"), WRONG.values(), ids=list(WRONG))
def test_mistakes_are_told_on_stderr_with_status_2(
    arguments: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    status, said, complaint = run_in_process(arguments, capsys)
    assert status == 2
    assert message in complaint
    assert "Traceback" not in complaint
    assert said == ""


def test_mistake_in_a_real_process_has_status_2_and_no_traceback(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", COMMAND, "rl", "evaluate", str(tmp_path)], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith(f"attention: {tmp_path} has no model.safetensors")
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("episodes", ["0", "361"])
def test_impossible_number_of_episodes_is_told(trained: Path, capsys: pytest.CaptureFixture[str], episodes: str) -> None:
    status, _, complaint = run_in_process(["rl", "watch", str(trained), "--episodes", episodes], capsys)
    assert status == 2
    assert "episodes must be within 1" in complaint


def test_a_gif_of_another_name_is_refused(trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, _, complaint = run_in_process(["rl", "watch", str(trained), "--out", str(tmp_path / "scan.txt")], capsys)
    assert (status, list(tmp_path.iterdir())) == (2, [])
    assert "scan.txt would be a GIF: let its name end with .gif" in complaint


def test_run_of_other_settings_is_not_overwritten(trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = contents(trained)
    status, _, complaint = run_in_process([*TRAIN, "--seed", "9", "--out", str(trained)], capsys)
    assert status == 2
    assert "holds a run of other settings" in complaint
    assert "seed: 0 there, 9 asked for" in complaint
    assert contents(trained) == before


def test_folder_that_is_a_file_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "run").write_text("a file")
    status, _, complaint = run_in_process([*TRAIN, "--out", str(tmp_path / "run")], capsys)
    assert status == 2
    assert "run cannot be a run folder" in complaint


@pytest.mark.parametrize("damage", ["cut", "emptied"])
def test_damaged_model_is_told(trained: Path, tmp_path: Path, damage: str, capsys: pytest.CaptureFixture[str]) -> None:
    content = (trained / "model.safetensors").read_bytes()
    (tmp_path / "model.safetensors").write_bytes(content[:-10] if damage == "cut" else b"")
    (tmp_path / "config.yaml").write_text((trained / "config.yaml").read_text())
    status, _, complaint = run_in_process(["rl", "evaluate", str(tmp_path)], capsys)
    assert status == 2
    assert "model.safetensors is not a readable safetensors file" in complaint


@pytest.mark.parametrize("content", ["just words", "kind: ram\n", "kind: [", "kind: ram\nenv: 3\nbatch_size: many\n"])
def test_damaged_configuration_is_told(trained: Path, tmp_path: Path, content: str, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "model.safetensors").write_bytes((trained / "model.safetensors").read_bytes())
    (tmp_path / "config.yaml").write_text(content)
    status, _, complaint = run_in_process(["rl", "evaluate", str(tmp_path)], capsys)
    assert status == 2
    assert complaint.startswith("attention: ")


def test_faults_of_ours_keep_their_traceback(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def fail(*_: object) -> None:
        raise ZeroDivisionError("a fault")

    monkeypatch.setattr("agents.train.train", fail)
    with pytest.raises(ZeroDivisionError):
        main([*TRAIN, "--out", str(tmp_path)])


# Data ---------------------------------------------------------------------------------------------------------------


def test_data_list_tells_what_is_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv(data_files.FOLDER_VARIABLE, str(tmp_path))
    (tmp_path / "mnist").mkdir()
    (tmp_path / "mnist" / "t10k-labels-idx1-ubyte.gz").write_bytes(b"something")
    status, said, _ = run_in_process(["data", "list"], capsys)
    assert status == 0
    lines = {
        line[9:].split()[0]: line[:7].strip() for line in said.splitlines() if line.startswith(("here ", "missing ", "by hand "))
    }
    to_be_had = {file.path for file in data_files.needed_files()}
    brought = {file.path for file in data_files.DATA_FILES.values() if not file.urls and not file.instead_of}
    assert set(lines) == to_be_had | brought
    assert [path for path, here in lines.items() if here == "here"] == ["mnist/t10k-labels-idx1-ubyte.gz"]
    assert {path for path, here in lines.items() if here == "by hand"} == brought
    assert any(path.startswith("flickr8k/") for path in brought)
    assert f"folder: {tmp_path}\n" in said
    assert "missing: unset ATTENTION_DATA, and `attention data fetch` brings it" in said
    monkeypatch.setenv(data_files.FOLDER_VARIABLE, str(tmp_path / "nowhere"))
    assert f"folder: {tmp_path / 'nowhere'}, which is not there\n" in run_in_process(["data", "list"], capsys)[1]


def test_data_fetch_checks_what_is_there(data_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, said, complaint = run_in_process(["data", "fetch", "mnist"], capsys)
    assert status == 0, complaint
    expected = [path for path in data_files.DATA_FILES if path.startswith("mnist/")]
    assert said.splitlines() == [f"{data_folder / path}  sha256 right" for path in expected]


def test_data_that_are_missing_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(data_files.FOLDER_VARIABLE, str(tmp_path))
    status, _, complaint = run_in_process(["data", "fetch", "fashion_mnist"], capsys)
    assert status == 2
    assert f"{tmp_path}/fashion_mnist/train-images-idx3-ubyte.gz is missing" in complaint


def test_zoo_list_of_an_empty_zoo_is_no_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(zoo, "ZOO", tmp_path)
    assert run_in_process(["zoo", "list"], capsys)[0] == 0


def test_zoo_list_shows_every_released_model(capsys: pytest.CaptureFixture[str]) -> None:
    status, said, _ = run_in_process(["zoo", "list"], capsys)
    assert status == 0
    assert [line.split()[0] for line in said.splitlines()] == zoo.zoo_names()

"""Two processes on the CPU that train as one process with the batch of both does."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from child_processes import TINY, Child, finish
from results import rows
from safetensors.torch import load_file

# Distorted pictures are drawn by each process for itself, so two of them cannot see what one would.
PLAIN = [*TINY, "--updates", "6", "--learning-rate", "0.01", "--training-kwargs", "distortion:"]
CLOSE = {"rel": 1e-4, "abs": 1e-5}
# The spread of a process's own locations is that of half a batch.
OWN_SHARE = {"charts/location_spread": {"rel": 0.2}}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def train_by_two(arguments: list[str], log: Path) -> list[int]:
    """Run the command in two processes that know of each other, as a launcher would start them."""
    shared = {
        "WORLD_SIZE": "2",
        "LOCAL_WORLD_SIZE": "2",
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(free_port()),
        "ACCELERATE_USE_CPU": "true",
    }
    processes = [
        Child(arguments, log, environment={**shared, "RANK": str(rank), "LOCAL_RANK": str(rank)}).start() for rank in range(2)
    ]
    return [finish(process) for process in processes]


def newest_weights(folder: Path) -> Path:
    (checkpoint,) = (folder / "checkpoint").iterdir()
    return checkpoint / "model.safetensors"


def assert_same_training(found: Path, right: Path) -> None:
    """Weights and metrics agree to what the order of summation leaves; there is one row where there was one row."""
    found_rows, right_rows = rows(found), rows(right)
    assert [(row["update"], sorted(row)) for row in found_rows] == [(row["update"], sorted(row)) for row in right_rows]
    for one, other in zip(found_rows, right_rows, strict=True):
        assert one == {name: pytest.approx(value, **OWN_SHARE.get(name, CLOSE)) for name, value in other.items()}
    for one_file, other_file in (
        (newest_weights(found), newest_weights(right)),
        (found / "model.safetensors", right / "model.safetensors"),
    ):
        one_weights, other_weights = load_file(one_file), load_file(other_file)
        assert one_weights.keys() == other_weights.keys()
        for name, value in other_weights.items():
            assert (one_weights[name] - value).abs().max() < 1e-4, name


@pytest.mark.parametrize("stop", ["false", "true"])
@pytest.mark.parametrize("rule", ["hybrid", "pure"])
def test_two_processes_do_what_one_does(tmp_path: Path, rule: str, stop: str) -> None:
    chances = ["--rule", rule, "--env-kwargs", f"stop:{stop}", "--entropy-weight", "0.1", "--samples", "2"]
    arguments = [*PLAIN, *chances, "--out"]
    one, two = tmp_path / "one", tmp_path / "two"
    assert Child([*arguments, str(one)], tmp_path / "one.log").run() == 0
    assert train_by_two([*arguments, str(two)], tmp_path / "two.log") == [0, 0], (tmp_path / "two.log").read_text()
    assert_same_training(two, one)


def test_only_the_first_of_two_processes_writes(tmp_path: Path) -> None:
    folder, log = tmp_path / "run", tmp_path / "log"
    assert train_by_two([*PLAIN, "--out", str(folder)], log) == [0, 0], log.read_text()
    assert [row["update"] for row in rows(folder)] == [4, 5, 6, 6]
    assert len(list((folder / "tensorboard").iterdir())) == 1
    assert yaml.safe_load((folder / "config.yaml").read_text())["kind"] == "ram"
    assert {path.name for path in folder.iterdir()} == {
        "checkpoint",
        "config.yaml",
        "figures",
        "metrics.jsonl",
        "model.safetensors",
        "tensorboard",
    }
    assert log.read_text().count("run folder") == 1


def test_two_processes_that_are_stopped_go_on_to_the_same_numbers(tmp_path: Path) -> None:
    # With distorted pictures, so that each process has a random stream of its own.
    arguments = [*TINY, "--updates", "6", "--learning-rate", "0.01", "--out"]
    whole, parts, log = tmp_path / "whole", tmp_path / "parts", tmp_path / "log"
    assert train_by_two([*arguments, str(whole)], log) == [0, 0], log.read_text()
    # One update: in the middle of a row of metrics.
    assert train_by_two([*arguments, str(parts), "--max-seconds", "0"], log) == [0, 0], log.read_text()
    assert train_by_two([*arguments, str(parts)], log) == [0, 0], log.read_text()
    assert newest_weights(parts).read_bytes() == newest_weights(whole).read_bytes()
    assert rows(parts) == rows(whole)


def test_training_of_one_process_is_not_gone_on_with_by_two(tmp_path: Path) -> None:
    arguments, log = [*PLAIN, "--out", str(tmp_path / "run")], tmp_path / "log"
    assert Child([*arguments, "--max-seconds", "0"], tmp_path / "one.log").run() == 0
    before = newest_weights(tmp_path / "run").read_bytes()
    assert train_by_two(arguments, log) == [2, 2]
    assert "holds the states of 1 process(es), and this training has 2: go on with as many" in log.read_text()
    assert "Traceback" not in log.read_text()
    assert newest_weights(tmp_path / "run").read_bytes() == before


def test_batch_that_cannot_be_shared_out_is_refused_by_name(tmp_path: Path) -> None:
    log = tmp_path / "log"
    assert train_by_two([*PLAIN, "--batch-size", "7", "--out", str(tmp_path / "run")], log) == [2, 2]
    assert "attention: batch_size=7 cannot be shared out evenly among 2 processes" in log.read_text()
    assert "Traceback" not in log.read_text()


def test_accelerate_launch_on_a_machine_without_gpu_makes_one_training_of_two_processes(tmp_path: Path) -> None:
    launcher = ["-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes", "2", "--num_machines", "1"]
    launcher += ["--mixed_precision", "no", "--dynamo_backend", "no", "--main_process_port", str(free_port())]
    command = "import sys; from attention_cli.main import main; sys.exit(main())"
    script = tmp_path / "attention.py"
    script.write_text(command)
    folder = tmp_path / "run"
    done = subprocess.run(
        [sys.executable, *launcher, str(script), *PLAIN, "--out", str(folder)],
        env={**os.environ, "CUDA_VISIBLE_DEVICES": ""},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert [row["update"] for row in rows(folder)] == [4, 5, 6, 6]
    assert done.stdout.count("run folder") == 1
    assert (next((folder / "checkpoint").iterdir()) / "random_states_1.pkl").exists()

"""The commands train, score, translate, draw and export."""

from __future__ import annotations

import io
import json
import shlex
import sys
from pathlib import Path

import pytest

from attention_cli.main import main

pytestmark = pytest.mark.usefixtures("small_size")
FEW = "--updates 2 --warmup 1 --validate-every 2 --log-every 1 --precision no --threads 1"


@pytest.fixture
def run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    """Train on a few sentences of one's own."""
    (tmp_path / "pairs.tsv").write_text("a b c d e\te d c b a\nb c\tc b\n", encoding="utf-8")
    file, folder = str(tmp_path / "pairs.tsv"), tmp_path / "run"
    own = ["--data", "files", "--train-files", file, "--validation-files", file, "--vocabulary", "270", "--longest", "24"]
    assert main(["translate", "train", *own, *FEW.split(), "--out", str(folder)]) == 0
    said = capsys.readouterr().out.splitlines()[-1]
    assert said == f"next        attention translate evaluate {folder} --files {file}"
    assert main(shlex.split(said)[2:]) == 0
    capsys.readouterr()
    return folder


def give(monkeypatch: pytest.MonkeyPatch, text: bytes) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text)))


def test_the_made_up_task_is_trained_and_scored(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["translate", "train", "--data", "reverse", *FEW.split(), "--out", str(tmp_path / "run")]) == 0
    capsys.readouterr()
    assert main(["translate", "evaluate", str(tmp_path / "run"), "--json"]) == 0
    figures = json.loads(capsys.readouterr().out)
    assert {"bleu", "signature", "bleu_tokenized_lowercase", "exact"} <= set(figures)
    assert figures["signature"].startswith("nrefs:1|case:mixed|eff:no|tok:13a")
    assert figures["examples"] == 500
    assert figures["split"] == "test"
    assert 0 <= figures["exact"] <= 1


def test_files_of_ones_own_are_scored(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["translate", "evaluate", str(run), "--split", "validation", "--beams", "2", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["beams"] == 2
    (tmp_path / "one").write_text("a b\nc\n\n")
    (tmp_path / "other").write_text("b a\nc\n")
    assert main(["translate", "evaluate", str(run), "--files", str(tmp_path / "one"), str(tmp_path / "other")]) == 2
    assert "one has 3 lines and" in capsys.readouterr().err
    (tmp_path / "other").write_text("b a\nc\n\n")
    assert main(["translate", "evaluate", str(run), "--files", str(tmp_path / "one"), str(tmp_path / "other"), "--json"]) == 0
    figures = json.loads(capsys.readouterr().out)
    assert (figures["split"], figures["examples"]) == ("own", 3)
    assert main(["translate", "evaluate", str(run)]) == 2
    assert "no test split" in capsys.readouterr().err


def test_text_is_translated(run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["translate", "text", "a b c", "--model", str(run)]) == 0
    alone = capsys.readouterr().out
    assert alone.endswith("\n")
    give(monkeypatch, "a b c\n\nb c\r\n😀".encode())
    assert main(["translate", "text", "--model", str(run)]) == 0
    lines = capsys.readouterr().out.split("\n")
    assert len(lines) == 5
    assert (lines[0], lines[1]) == (alone.removesuffix("\n"), "")
    give(monkeypatch, b"a b c\n\n")
    assert main(["translate", "text", "--model", str(run), "--json"]) == 0
    told = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert told == [{"source": "a b c", "translation": lines[0]}, {"source": "", "translation": ""}]
    give(monkeypatch, b"")
    assert main(["translate", "text", "--model", str(run)]) == 0
    assert capsys.readouterr().out == ""


def test_what_cannot_be_translated_is_named(run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    give(monkeypatch, b"a\n\xff\n")
    assert main(["translate", "text", "--model", str(run)]) == 2
    assert "line 2 of the input is not UTF-8 text" in capsys.readouterr().err
    give(monkeypatch, b"a\n" + b"q " * 30)
    assert main(["translate", "text", "--model", str(run)]) == 2
    printed = capsys.readouterr()
    assert "sentence 2 has" in printed.err
    assert "the model 24 places" in printed.err
    assert printed.out == ""
    give(monkeypatch, b"a\n")
    assert main(["translate", "text", "--model", str(run), "--explain"]) == 2
    assert "draws a single sentence" in capsys.readouterr().err
    assert main(["translate", "text", "a", "--model", "ram-digits"]) == 2
    assert "not a Transformer" in capsys.readouterr().err


def test_a_sentence_is_explained(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["translate", "text", "a b c d", "--model", str(run), "--explain"]) == 0
    assert "heads.png" in capsys.readouterr().out
    assert (run / "figures" / "heads.png").stat().st_size > 1000


@pytest.mark.parametrize("verb", ["train", "evaluate", "text", "export"])
def test_help_answers(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["translate", verb, "--help"])
    assert ended.value.code == 0
    assert f"attention translate {verb}" in capsys.readouterr().out

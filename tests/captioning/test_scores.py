"""Scores of captions: small cases counted by hand, `pycocoevalcap` itself, and what is missing said clearly."""

from __future__ import annotations

import math
import os
import shutil
import sys
import tempfile
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import pytest
from java import needs_java
from pycocoevalcap.bleu.bleu import Bleu
from pycocoevalcap.cider.cider import Cider
from pycocoevalcap.meteor.meteor import Meteor
from pycocoevalcap.rouge.rouge import Rouge
from pycocoevalcap.tokenizer.ptbtokenizer import PTBTokenizer

from captioning.scores import ScoreError, Scores, score

CANDIDATES = [
    "a man in a red shirt is climbing a rock",
    "two dogs run",
    "the girl 's t-shirt is n't white -lrb- blue -rrb-",
    "",
    "a a a a a a",
]
REFERENCES = [
    ["A man in a red shirt climbs a rock wall .", "A climber, in red, on a rock."],
    ["Two dogs are running through the grass .", "Dogs running.", "Two brown dogs run on the grass ."],
    ["The girl's T-shirt isn't white (but blue).", "A café - she wears a blue shirt !"],
    ["A child\nplays with sand .", "A boy | a girl ||| on the beach ."],
    ["A", "A bicyclist rides down a hill; a dog runs after him ."],
]


# Decimal commas, at which METEOR fails when left to itself; another small letter for I; a remark of Java's at every start.
ABROAD = {"JAVA_TOOL_OPTIONS": "-Duser.language=tr -Duser.country=TR -Dfile.encoding=US-ASCII", "LC_ALL": "C"}


@pytest.fixture(scope="module")
def full_and_printed() -> tuple[Scores, str]:
    """The scores of the captions above, with all that Java gives, on a machine of another language, and what was printed.

    METEOR takes long to start.
    """
    kept = os.dup(1), os.dup(2)
    with tempfile.TemporaryFile("w+") as printed, pytest.MonkeyPatch.context() as patch:
        for name, value in ABROAD.items():
            patch.setenv(name, value)
        try:
            for descriptor in (1, 2):
                os.dup2(printed.fileno(), descriptor)
            with redirect_stdout(printed), redirect_stderr(printed):
                scores = score(CANDIDATES, REFERENCES)
        finally:
            for descriptor, own in zip((1, 2), kept, strict=True):
                os.dup2(own, descriptor)
                os.close(own)
        printed.seek(0)
        return scores, printed.read()


@pytest.fixture
def full(full_and_printed: tuple[Scores, str]) -> Scores:
    return full_and_printed[0]


@pytest.fixture
def broken_java(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A Java that knows its version and can do nothing else."""
    java = tmp_path / "java"
    java.write_text('#!/bin/sh\n[ "$1" = -version ] && exit 0\necho "no room for the heap" >&2\nexit 1\n')
    java.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    return java


@pytest.mark.usefixtures("without_java")
def test_bleu_counted_by_hand() -> None:
    # Five words of six in length. One word: 4 of 5 (the second "the" is one too many). Two: 2 of 4. Three: 1 of 3. Four: 0 of 2.
    found = score(["the cat sat the on"], [["the cat sat on a mat"]])
    penalty = math.exp(1 - 6 / 5)
    assert found.brevity_penalty == pytest.approx(penalty)
    assert found.bleu1 == pytest.approx(100 * penalty * 4 / 5)
    assert found.bleu2 == pytest.approx(100 * penalty * math.sqrt(4 / 5 * 2 / 4))
    assert found.bleu3 == pytest.approx(100 * penalty * (4 / 5 * 2 / 4 * 1 / 3) ** (1 / 3))
    assert found.bleu4 == pytest.approx(0, abs=0.1)


@pytest.mark.usefixtures("without_java")
@pytest.mark.parametrize(
    ("candidates", "references", "penalty"),
    [
        (["a b c"], [["a b c d", "a b", "a b c d e f"]], 1.0),  # 4 and 2 are as near: the shorter
        (["a b c"], [["a b c d", "a b c d e f"]], math.exp(1 - 4 / 3)),
        (["a", "a b c d e"], [["a b c"], ["a b c"]], 1.0),  # of all together: 6 of 6
        (["", "a b"], [["a b"], ["a b"]], math.exp(1 - 4 / 2)),
        ([""], [["a b"]], 0.0),
    ],
)
def test_brevity_penalty_counted_by_hand(candidates: list[str], references: list[list[str]], penalty: float) -> None:
    assert score(candidates, references).brevity_penalty == pytest.approx(penalty)


@pytest.mark.usefixtures("without_java")
def test_rouge_l_counted_by_hand() -> None:
    # Longest common subsequence "the cat on mat": 4 of the candidate's 5 words and of the reference's 6; beta 1.2.
    precision, recall = 4 / 5, 4 / 6
    wanted = (1 + 1.2**2) * precision * recall / (recall + 1.2**2 * precision)
    assert score(["the cat is on mat"], [["the cat sat on a mat"]]).rouge_l == pytest.approx(wanted)


@pytest.mark.usefixtures("without_java")
def test_cider_of_the_references_themselves_is_ten_and_of_strangers_nothing() -> None:
    sentences = ["one two three four", "five six seven eight", "nine ten eleven twelve"]
    references = [[sentence] for sentence in sentences]
    assert score(sentences, references).cider == pytest.approx(10)
    assert score(sentences[1:] + sentences[:1], references).cider == 0
    # With one picture no word tells pictures apart.
    assert score(sentences[:1], references[:1]).cider == 0


@needs_java
def test_all_scores_are_those_of_pycocoevalcap_whatever_the_machines_language(
    full: Scores, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JAVA_TOOL_OPTIONS", "-Dfile.encoding=UTF-8 -Duser.language=en")
    wanted = tokenize_as_coco({picture: [*sentences] for picture, sentences in enumerate(REFERENCES)})
    written = tokenize_as_coco({picture: [sentence] for picture, sentence in enumerate(CANDIDATES)})
    bleu, _ = Bleu(4).compute_score(wanted, written, verbose=0)
    meteor = Meteor()
    assert full.meteor == pytest.approx(100 * meteor.compute_score(wanted, written)[0])
    # It leaves them open.
    meteor.meteor_p.stdout.close()
    meteor.meteor_p.stderr.close()
    assert [full.bleu1, full.bleu2, full.bleu3, full.bleu4] == pytest.approx([100 * figure for figure in bleu])
    assert full.rouge_l == pytest.approx(Rouge().compute_score(wanted, written)[0])
    assert full.cider == pytest.approx(Cider().compute_score(wanted, written)[0])
    assert full.tokenizer == "coco"


@needs_java
def test_nothing_is_printed(full_and_printed: tuple[Scores, str]) -> None:
    assert full_and_printed[1] == ""


@needs_java
def test_captions_without_words_score_nothing() -> None:
    found = score(["", "..."], [["a dog"], ["a cat"]])
    assert (found.meteor, found.rouge_l, found.cider) == (0, 0, 0)
    assert [found.bleu1, found.bleu2, found.bleu3, found.bleu4, found.brevity_penalty] == [0] * 5


@needs_java
@pytest.mark.usefixtures("without_java")
def test_without_java_the_other_scores_are_the_same(full: Scores) -> None:
    found = score(CANDIDATES, REFERENCES)
    assert found.as_dict() == {**full.as_dict(), "meteor": None, "tokenizer": "python"}


@pytest.mark.usefixtures("without_java")
def test_dictionary_has_every_figure() -> None:
    found = score(["a dog"], [["a dog"]]).as_dict()
    assert [*found] == ["bleu1", "bleu2", "bleu3", "bleu4", "brevity_penalty", "meteor", "rouge_l", "cider", "tokenizer"]
    assert {type(figure) for figure in found.values()} == {float, str, type(None)}
    assert found["bleu2"] == pytest.approx(100)


def test_missing_package_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pycocoevalcap.bleu.bleu", None)
    with pytest.raises(ScoreError, match=r'pip install "attention-suite\[captioning\]"'):
        score(["a dog"], [["a dog"]])


def test_failing_java_says_why(broken_java: Path) -> None:
    with pytest.raises(ScoreError, match="COCO's tokeniser failed: no room for the heap"):
        score(["a dog"], [["a dog"]])


@needs_java
def test_failing_meteor_says_why(broken_java: Path) -> None:
    real = shutil.which("java", path=os.environ["PATH"].split(os.pathsep, 1)[1])
    broken_java.write_text(broken_java.read_text().replace("\n", f'\ncase "$*" in *PTBTokenizer*) exec {real} "$@";; esac\n', 1))
    with pytest.raises(ScoreError, match="METEOR failed: no room for the heap"):
        score(["a dog"] * 3, [["a dog"]] * 3)


@pytest.mark.parametrize(
    ("candidates", "references", "complaint"),
    [
        (["a dog"], [["a dog"], ["a cat"]], "one candidate belongs to each list of references, got 1 and 2"),
        ([], [], "nothing to score"),
        (["a dog", "a cat"], [["a dog"], []], r"picture 1 needs a list of at least one reference, got \[\]"),
        (["a dog"], ["a dog"], "picture 0 needs a list of at least one reference, got 'a dog'"),
        (["a dog"], [[".", ""]], r"picture 0 has no reference with a word in it, got \['.', ''\]"),
    ],
)
@pytest.mark.usefixtures("without_java")
def test_what_cannot_be_scored_is_refused(candidates: list[str], references: list[list[str]], complaint: str) -> None:
    with pytest.raises(ScoreError, match=complaint):
        score(candidates, references)


def tokenize_as_coco(sentences: dict[int, list[str]]) -> dict[int, list[str]]:
    captions = {picture: [{"caption": sentence} for sentence in several] for picture, several in sentences.items()}
    tokenized: dict[int, list[str]] = PTBTokenizer().tokenize(captions)
    return tokenized

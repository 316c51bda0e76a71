"""Scores of written captions against reference captions: BLEU, METEOR, ROUGE-L and CIDEr, as COCO's evaluation gives them.

The metrics are those of `pycocoevalcap` (`pip install "attention-suite[captioning]"`), on the words of COCO's tokeniser (Chen
et al. 2015, arXiv 1504.00325). The tokeniser and METEOR are Java programs. Where Java is missing, the words are those of
`captioning.tokens` and METEOR is left out; `NO_JAVA` says so. BLEU and METEOR are of all pictures together, not means.
"""

from __future__ import annotations

import importlib
import math
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any

from captioning.tokens import tokenize

# METEOR reads and writes numbers in the machine's language otherwise, and fails at decimal commas; so with letters beyond ASCII.
_JAVA_OPTIONS = ("-Dfile.encoding=UTF-8", "-Duser.language=en", "-Duser.country=US", "-Xmx2G")


NO_JAVA = "no Java was found, so METEOR is left out and the words are captioning.tokens', not COCO's: install a Java runtime"
"""What to know before comparing scores whose `tokenizer` is "python" with published ones."""


class ScoreError(ValueError):
    """Sentences that cannot be scored, or a program that is needed for it and is missing or fails."""


@dataclass(frozen=True)
class Scores:
    """How near written captions come to the reference captions.

    Attributes:
        bleu1: BLEU-1 in percent, brevity penalty included (Papineni et al. 2002); the reference nearest in length counts.
        bleu2: BLEU-2 likewise: the geometric mean of the precisions of one and two words.
        bleu3: BLEU-3.
        bleu4: BLEU-4.
        brevity_penalty: in [0, 1], the factor in all four; divide by it for a BLEU without.
        meteor: METEOR 1.5 in percent (Denkowski and Lavie 2014); None without Java.
        rouge_l: ROUGE-L, in [0, 1] (Lin 2004), mean over pictures.
        cider: CIDEr-D, in [0, 10] (Vedantam et al. 2015), document frequencies from these references; 0 for a single picture.
        tokenizer: "coco", or "python" for `captioning.tokens` where Java is missing.
    """

    bleu1: float
    bleu2: float
    bleu3: float
    bleu4: float
    brevity_penalty: float
    meteor: float | None
    rouge_l: float
    cider: float
    tokenizer: str

    def as_dict(self) -> dict[str, Any]:
        """Return the attributes by name."""
        return asdict(self)


def check_installed() -> None:
    """See that captions can be scored here, before there is much to score.

    Raises:
        ScoreError: if `pycocoevalcap` is not installed.
    """
    try:
        importlib.import_module("pycocoevalcap.bleu.bleu")
    except ImportError as error:
        raise ScoreError('scoring captions needs pycocoevalcap: pip install "attention-suite[captioning]"') from error


def score(candidates: Sequence[str], references: Sequence[Sequence[str]]) -> Scores:
    """Score one written caption per picture.

    Args:
        candidates: the captions, as plain text or words joined by blanks; they may be empty.
        references: as many lists of reference captions.

    Raises:
        ScoreError: if the counts differ, there is nothing to score, a picture has no reference with a word in it,
            `pycocoevalcap` is not installed, or a Java program fails.
    """
    _check(candidates, references)
    check_installed()
    from pycocoevalcap.bleu.bleu import Bleu
    from pycocoevalcap.cider.cider import Cider
    from pycocoevalcap.rouge.rouge import Rouge

    java = _find_java()
    written, wanted = _tokenize_all(candidates, references, java)
    for picture, sentences in enumerate(wanted):
        if not any(sentences):
            raise ScoreError(f"picture {picture} has no reference with a word in it, got {list(references[picture])}")
    by_picture = dict(enumerate(wanted)), {picture: [sentence] for picture, sentence in enumerate(written)}
    bleu, _ = Bleu(4).compute_score(*by_picture, verbose=0)
    bleu1, bleu2, bleu3, bleu4 = (100 * float(figure) for figure in bleu)
    rouge_l, _ = Rouge().compute_score(*by_picture)
    cider, _ = Cider().compute_score(*by_picture)
    return Scores(
        bleu1=bleu1,
        bleu2=bleu2,
        bleu3=bleu3,
        bleu4=bleu4,
        brevity_penalty=_brevity_penalty(written, wanted),
        meteor=100 * _meteor(java, written, wanted) if java else None,
        rouge_l=float(rouge_l),
        cider=float(cider),
        tokenizer="coco" if java else "python",
    )


def _check(candidates: Sequence[str], references: Sequence[Sequence[str]]) -> None:
    if len(candidates) != len(references):
        raise ScoreError(f"one candidate belongs to each list of references, got {len(candidates)} and {len(references)}")
    if not candidates:
        raise ScoreError("there is nothing to score: give at least one candidate")
    for picture, sentences in enumerate(references):
        if isinstance(sentences, str) or not sentences:
            raise ScoreError(f"picture {picture} needs a list of at least one reference, got {sentences!r}")


def _find_java() -> str | None:
    """Find a Java that runs; some systems have a command of that name which only says where to get one."""
    java = shutil.which("java")
    if java and subprocess.run([java, "-version"], capture_output=True, check=False).returncode == 0:
        return java
    return None


def _tokenize_all(
    candidates: Sequence[str], references: Sequence[Sequence[str]], java: str | None
) -> tuple[list[str], list[list[str]]]:
    """Bring everything to words joined by single blanks; in one call, since starting Java takes longer than its work."""
    sentences = [*(sentence for several in references for sentence in several), *candidates]
    tokenized = _tokenize_in_java(java, sentences) if java else [" ".join(tokenize(sentence)) for sentence in sentences]
    rest = iter(tokenized)
    wanted = [[next(rest) for _ in several] for several in references]
    return list(rest), wanted


def _tokenize_in_java(java: str, sentences: Sequence[str]) -> list[str]:
    """Run COCO's tokeniser as `pycocoevalcap` does, but over pipes: its own writes into the folder where it is installed."""
    from pycocoevalcap.tokenizer import ptbtokenizer

    jar = Path(ptbtokenizer.__file__).parent / ptbtokenizer.STANFORD_CORENLP_3_4_1_JAR
    command = [java, *_JAVA_OPTIONS, "-cp", str(jar), "edu.stanford.nlp.process.PTBTokenizer"]
    # A sentence is a line, whatever kinds of line breaks it has within.
    text = "\n".join(" ".join(sentence.split()) for sentence in sentences)
    run = subprocess.run(
        [*command, "-preserveLines", "-lowerCase", "-encoding", "UTF-8"], input=text.encode(), capture_output=True, check=False
    )
    lines = run.stdout.decode().split("\n")
    if run.returncode or len(lines) != len(sentences):
        raise ScoreError(f"COCO's tokeniser failed: {_last_line(run.stderr)}")
    return [" ".join(word for word in line.split() if word not in ptbtokenizer.PUNCTUATIONS) for line in lines]


def _brevity_penalty(candidates: Sequence[str], references: Sequence[Sequence[str]]) -> float:
    """exp(1 - r/c) where the candidates' words c are fewer than r, those of the references nearest in length, or shorter."""
    written = wanted = 0
    for candidate, several in zip(candidates, references, strict=True):
        length = len(candidate.split())
        written += length
        wanted += min((len(reference.split()) for reference in several), key=lambda other: (abs(other - length), other))
    if written >= wanted:
        return 1.0
    return math.exp(1 - wanted / written) if written else 0.0


def _meteor(java: str, candidates: Sequence[str], references: Sequence[Sequence[str]]) -> float:
    """Ask METEOR 1.5 for the statistics of each picture, a line each, then for the score of them all, in [0, 1]."""
    from pycocoevalcap.meteor import meteor

    folder = Path(meteor.__file__).parent
    command = [java, *_JAVA_OPTIONS, "-jar", meteor.METEOR_JAR, "-", "-", "-stdio", "-l", "en", "-norm"]
    with tempfile.TemporaryFile() as complaints:
        try:
            with subprocess.Popen(
                command, cwd=folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=complaints, encoding="utf-8"
            ) as process:
                assert process.stdin is not None
                assert process.stdout is not None
                statistics = [
                    _ask(process.stdin, process.stdout, " ||| ".join(("SCORE", *several, candidate)))
                    for candidate, several in zip(candidates, references, strict=True)
                ]
                # It answers with a line per picture, and one of all.
                return float(_ask(process.stdin, process.stdout, " ||| ".join(("EVAL", *statistics)), len(candidates) + 1))
        except (OSError, EOFError) as error:
            complaints.seek(0)
            raise ScoreError(f"METEOR failed: {_last_line(complaints.read()) or error}") from error


def _ask(questions: IO[str], answers: IO[str], question: str, lines: int = 1) -> str:
    """Write a line and return the last of the lines that answer it."""
    questions.write(f"{question}\n")
    questions.flush()
    answered = [answers.readline() for _ in range(lines)]
    if not answered[-1]:
        raise EOFError("it ended before it had answered")
    return answered[-1].strip()


def _last_line(output: bytes) -> str:
    return (output.decode(errors="replace").strip().splitlines() or [""])[-1]

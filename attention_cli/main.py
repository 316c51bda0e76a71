"""`attention <area> <verb> …`: finds the command and hands over to it.

Nothing is imported before it is needed, so that `--help` answers at once.
"""

from __future__ import annotations

import importlib
import os
import shlex
import sys
from pathlib import Path

# (area, verb): module and function below attention_cli, and what it does.
COMMANDS: dict[tuple[str, str], tuple[str, str, str]] = {
    ("rl", "train"): ("rl", "train", "train an agent in an environment"),
    ("rl", "evaluate"): ("rl", "evaluate", "score a trained agent, every picture of a split once"),
    ("rl", "watch"): ("rl", "watch", "draw where a trained agent looks, as a GIF"),
    ("rl", "play"): ("rl", "play", "steer the retina yourself and name what you see"),
    ("rl", "compare"): ("compare", "compare", "train agents side by side at equal steps, and report"),
    ("rl", "variance"): ("compare", "variance", "measure the gradient's noise under each baseline"),
    ("vae", "train"): ("generative", "train_vae", "train a variational auto-encoder"),
    ("vae", "evaluate"): ("generative", "evaluate", "measure the bound of log p(x)"),
    ("vae", "sample"): ("generative", "sample", "make pictures"),
    ("vae", "reconstruct"): ("generative", "reconstruct", "draw pictures beside what the model makes of them"),
    ("draw", "train"): ("generative", "train_draw", "train DRAW, or its eye as a recogniser"),
    ("draw", "evaluate"): ("generative", "evaluate", "measure the bound of log p(x), or a recogniser's error"),
    ("draw", "sample"): ("generative", "sample", "make pictures, and show how they are drawn"),
    ("draw", "reconstruct"): ("generative", "reconstruct", "show how pictures are looked at and drawn again"),
    ("draw", "classify"): ("generative", "classify", "show where DRAW's eye looks to name pictures"),
    ("caption", "train"): ("caption", "train", "train a captioner, its attention soft or hard"),
    ("caption", "evaluate"): ("caption", "evaluate", "score the captions that it writes"),
    ("caption", "describe"): ("caption", "describe", "write about a picture, and draw where was looked for each word"),
    ("caption", "variance"): ("caption", "variance", "measure the gradient's noise under each baseline"),
    ("ocr", "train"): ("ocr", "train", "train a reader of words on synthetic ones, real ones, or both"),
    ("ocr", "evaluate"): ("ocr", "evaluate", "score what it reads in IIIT5K, SVT and ICDAR 2013, or in crops of yours"),
    ("ocr", "read"): ("ocr", "read", "read the words in pictures, and draw where each character was read"),
    ("ocr", "words"): ("ocr", "words", "draw a sheet of synthetic words, beside real ones if asked for"),
    ("translate", "train"): ("translate", "train", "train a Transformer"),
    ("translate", "evaluate"): ("translate", "evaluate", "score its translations, by BLEU"),
    ("translate", "text"): ("translate", "text", "translate a sentence or many, and draw where the heads look"),
    ("translate", "export"): ("translate", "export", "write it as ONNX files for programs without PyTorch"),
    ("data", "list"): ("data", "show", "list the data files, their terms, and which are here"),
    ("data", "fetch"): ("data", "fetch", "download data sets"),
    ("zoo", "list"): ("zoo", "show", "list the released models"),
    ("zoo", "check"): ("zoo", "check", "evaluate the released models, and compare with what is claimed"),
    ("zoo", "train"): ("zoo", "train", "train a released model anew, by the commands that made it"),
    ("zoo", "release"): ("zoo", "release", "put a trained model into the zoo"),
}


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; return the exit status: 0 if all went well, 2 if the user asked for something impossible.

    A command that answers yes or no, `zoo check`, has a status of its own, 1 for no.
    """
    words = sys.argv[1:] if arguments is None else arguments
    command = COMMANDS.get((words[0], words[1])) if len(words) >= 2 else None
    if command is None:
        try:
            status = _explain(words)
            sys.stdout.flush()
        except BrokenPipeError:
            return _reader_gone()
        return status
    module, function, _ = command
    try:
        run = getattr(importlib.import_module(f"attention_cli.{module}"), function)
        called = _called_as() if arguments is None else "attention"
        status = run(words[2:], f"{called} {words[0]} {words[1]}") or 0
        sys.stdout.flush()
    except BrokenPipeError:
        return _reader_gone()
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    except Exception as error:
        if not _is_the_users(error) or os.environ.get("ATTENTION_TRACEBACK"):
            raise
        print(f"attention: {error}", file=sys.stderr)
        return 2
    return int(status)


def _called_as() -> str:
    """How to call this again: `attention`, or a script that brings agents or environments of its own."""
    script = Path(sys.argv[0])
    return f"python {shlex.quote(str(script))}" if script.suffix == ".py" and script.name != "__main__.py" else "attention"


def _reader_gone() -> int:
    """Whoever read our output has enough: say no more, not even at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


def _is_the_users(error: Exception) -> bool:
    """Tell errors that say what to do differently from faults of ours, whose traceback is wanted."""
    return isinstance(error, (ValueError, OSError, FloatingPointError)) or type(error).__module__.startswith(
        ("gymnasium.error", "attention_")
    )


def _explain(words: list[str]) -> int:
    asked = not words or words[-1] in ("-h", "--help", "help")
    area = words[0] if words and words[0] in {area for area, _ in COMMANDS} else None
    stream = sys.stdout if asked else sys.stderr
    if not asked:
        print(f"attention: there is no command {' '.join(words[:2])!r}", file=stream)
    print("usage: attention <area> <verb> [--help] …\n", file=stream)
    for (its_area, verb), (_, _, what) in COMMANDS.items():
        if area in (None, its_area):
            print(f"  attention {its_area} {verb:<11} {what}", file=stream)
    return 0 if asked else 2

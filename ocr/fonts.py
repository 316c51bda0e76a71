"""The fonts of this machine that words can be written in.

A face is left out unless its letters and digits look like letters and digits: that leaves out symbols, barcodes, other scripts, and
fonts whose letters are blank or boxes. What was found of a font file is kept in the folder that `ATTENTION_CACHE` names, or in the
user's cache, until the file changes.
"""

from __future__ import annotations

import json
import math
import os
import re
import string
from collections import Counter, defaultdict
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path
from typing import NamedTuple

import matplotlib
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFont

from attention_core.files import SaveError, cache_folder, write_text_atomically
from ocr.glyphs import Face, draw_character

FONT_FOLDERS = (
    "/usr/share/fonts",
    "/usr/local/share/fonts",
    "~/.local/share/fonts",
    "~/.fonts",
    "/Library/Fonts",
    "C:/Windows/Fonts",
)
SUFFIXES = {".ttf", ".otf", ".ttc", ".otc"}

CHARACTERS = string.digits + string.ascii_uppercase + string.ascii_lowercase
# A family has so many faces (regular, bold, italic, bold italic) if it was made to set texts in.
TEXT_FACES = 4
# Typewriter faces are rare on signs; their families count so much as others.
TYPEWRITER_WEIGHT = 0.3
OPEN_FACES = 512

# How a face is judged: its letters are brought to squares of so many pixels and compared with those of the reference faces.
SQUARE = 16
JUDGED_SIZE = 24
REFERENCES = (
    "DejaVuSans.ttf",
    "DejaVuSans-Bold.ttf",
    "DejaVuSans-BoldOblique.ttf",
    "DejaVuSans-Oblique.ttf",
    "DejaVuSerif.ttf",
    "DejaVuSerif-Bold.ttf",
    "DejaVuSerif-Italic.ttf",
    "DejaVuSansMono-Bold.ttf",
    "STIXGeneral.ttf",
    "STIXGeneralBol.ttf",
    "STIXGeneralBolIta.ttf",
    "STIXGeneralItalic.ttf",
    "cmss10.ttf",
)
# Least share of all characters that are nearest to themselves among the reference faces' characters, and of the digits, of the
# capitals and of the small letters.
LEAST_LIKENESS = 0.5
LEAST_LIKENESS_OF_A_KIND = 0.3
# Changes of how faces are judged make what was kept worthless.
CACHE_VERSION = 2
_WEIGHTS = re.compile(
    r"\b(thin|hairline|extra ?light|ultra ?light|light|book|regular|roman|medium|demi|semi ?bold|bold|extra ?bold|heavy|black|"
    r"italic|oblique|condensed|narrow|extra ?condensed|semi ?condensed|extra|display|[0-9]+)\b"
)


class FontError(ValueError):
    """There is no font to write with; the text says where fonts were looked for and what to do."""


@dataclass(frozen=True)
class Font:
    """A face that all letters and digits can be written in.

    Attributes:
        path: the font file.
        family: name of its family in small letters, without weights, widths and slants.
        text: whether its family is a text family, one of four faces or more; others are display families.
        weight: how often it is drawn beside others of its kind, text or display. Families count the same, but for typewriters,
            which count less, and families that share a folder with n - 1 others, which count 1/√n: a collection of hundreds is to
            be seen, but not to drown the rest. The faces of a family share its weight evenly.
    """

    path: str
    family: str
    text: bool
    weight: float


@lru_cache(OPEN_FACES)
def open_face(path: str) -> Face:
    """Open a font file; each process keeps those last used open.

    Raises:
        FontError: if the file cannot be read any more.
    """
    try:
        return Face(path)
    except OSError as error:
        raise FontError(f"the font {path} cannot be read ({error}); find fonts again") from error


# Finding -----------------------------------------------------------------------------------------------------------------


def find_fonts(folders: Sequence[str | Path] | None = None) -> tuple[Font, ...]:
    """Find the faces that words can be written in.

    Args:
        folders: where to look, deeply; None for the system's and the user's font folders and, where those have none, the DejaVu
            fonts that come with Matplotlib.

    Returns:
        Them, in the order of their paths.

    Raises:
        FontError: if there are none.
    """
    if folders is not None:
        return _usable(tuple(str(folder) for folder in folders))
    try:
        return _usable(FONT_FOLDERS)
    except FontError:
        return _usable((str(Path(matplotlib.get_data_path()) / "fonts" / "ttf"),))


@cache
def _usable(folders: tuple[str, ...]) -> tuple[Font, ...]:
    places = [Path(folder).expanduser() for folder in folders]
    paths = sorted(
        {str(path) for place in places for path in place.rglob("*") if path.suffix.lower() in SUFFIXES and path.is_file()}
    )
    verdicts = [(path, verdict) for path, verdict in zip(paths, _judge_all(paths), strict=True) if verdict.usable]
    if not verdicts:
        raise FontError(
            f"none of the {len(paths)} font files below {', '.join(map(str, places))} has all of 0-9, A-Z and a-z: install fonts, "
            "such as Debian's fonts-dejavu, fonts-liberation, fonts-roboto and fonts-lato, or name a folder that has some"
        )
    faces = Counter(verdict.family for _, verdict in verdicts)
    folder_families: dict[Path, set[str]] = defaultdict(set)
    for path, verdict in verdicts:
        folder_families[Path(path).parent].add(verdict.family)
    return tuple(
        Font(
            path,
            verdict.family,
            text=faces[verdict.family] >= TEXT_FACES,
            weight=(TYPEWRITER_WEIGHT if verdict.typewriter else 1.0)
            / faces[verdict.family]
            / math.sqrt(len(folder_families[Path(path).parent])),
        )
        for path, verdict in verdicts
    )


def font_probabilities(fonts: Sequence[Font], display: float) -> NDArray[np.float64]:
    """Say how often each font is to be drawn.

    Args:
        fonts: one at least.
        display: probability of a display family, if there are both kinds.

    Returns:
        (fonts,) probabilities, which add up to 1.

    Raises:
        FontError: if there are no fonts.
    """
    if not fonts:
        raise FontError("there must be one font at least; find_fonts finds those of this machine")
    weights = np.array([font.weight for font in fonts])
    is_text = np.array([font.text for font in fonts])
    if is_text.any() and not is_text.all():
        weights[is_text] *= (1 - display) / weights[is_text].sum()
        weights[~is_text] *= display / weights[~is_text].sum()
    probabilities: NDArray[np.float64] = weights / weights.sum()
    return probabilities


# Judging -----------------------------------------------------------------------------------------------------------------


class _Verdict(NamedTuple):
    usable: bool
    family: str
    typewriter: bool


_UNUSABLE = _Verdict(False, "", False)


def _judge_all(paths: Sequence[str]) -> list[_Verdict]:
    place = cache_folder() / "fonts.json"
    try:
        kept = json.loads(place.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        kept = {}
    known = kept.get("files", {}) if isinstance(kept, dict) and kept.get("version") == CACHE_VERSION else {}
    found = {}
    for path in paths:
        status = os.stat(path)
        state = [status.st_mtime_ns, status.st_size]
        old = known.get(path, [None, None])
        found[path] = old if old[0] == state else [state, judge(path)]
    if any(found[path] is not known.get(path) for path in paths):
        with suppress(SaveError):  # fonts are then judged anew the next time
            write_text_atomically(place, json.dumps({"version": CACHE_VERSION, "files": known | found}))
    return [_Verdict(*found[path][1]) for path in paths]


def judge(path: str) -> _Verdict:
    """Look at a face's letters and digits: (whether words can be written in it, its family, whether all are equally wide)."""
    try:
        font = ImageFont.truetype(path, JUDGED_SIZE, layout_engine=ImageFont.Layout.BASIC)
        squares = _squares(font)
    except (OSError, ValueError):  # FreeType cannot read it
        return _UNUSABLE
    if squares is None or not _like_letters(squares):
        return _UNUSABLE
    family, style = (name or "" for name in font.getname())
    stem = " ".join(_WEIGHTS.sub(" ", family.lower()).split()) or family.lower() or Path(path).stem
    return _Verdict(True, stem, font.getlength("i") == font.getlength("M") and "condensed" not in style.lower())


def _like_letters(squares: NDArray[np.float32]) -> bool:
    likeness = squares @ _reference_squares().T  # (characters, faces · characters)
    nearest = likeness.reshape(len(CHARACTERS), -1, len(CHARACTERS)).max(axis=1).argmax(axis=1)
    labels = np.array([ord(character) for character in CHARACTERS.lower()])
    # O and 0, I and 1 are the same in many good faces.
    labels[labels == ord("0")] = ord("o")
    labels[(labels == ord("1")) | (labels == ord("l"))] = ord("i")
    right = labels[nearest] == labels
    kinds = np.split(right, [10, 36])
    return bool(right.mean() >= LEAST_LIKENESS and all(kind.mean() >= LEAST_LIKENESS_OF_A_KIND for kind in kinds))


@cache
def _reference_squares() -> NDArray[np.float32]:
    folder = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
    faces = [
        _squares(ImageFont.truetype(str(folder / name), JUDGED_SIZE, layout_engine=ImageFont.Layout.BASIC)) for name in REFERENCES
    ]
    return np.concatenate([squares for squares in faces if squares is not None])


def _squares(font: ImageFont.FreeTypeFont) -> NDArray[np.float32] | None:
    """Bring each character's ink to a square, (characters, SQUARE²), of mean 0 and length 1; None if one has no ink."""
    squares = np.empty((len(CHARACTERS), SQUARE * SQUARE), np.float32)
    for row, character in zip(squares, CHARACTERS, strict=True):
        picture, _ = draw_character(font, character)
        if picture is None or min(picture.size) < 1:
            return None
        # Tall and narrow ones, such as i and l, keep their proportions.
        side = max(picture.height, picture.width)
        square = Image.new("L", (max(picture.width, side // 2), max(picture.height, side // 2)))
        square.paste(picture, ((square.width - picture.width) // 2, (square.height - picture.height) // 2))
        row[:] = np.asarray(square.resize((SQUARE, SQUARE), Image.Resampling.BILINEAR), np.float32).ravel()
    squares -= squares.mean(axis=1, keepdims=True)
    length = np.linalg.norm(squares, axis=1, keepdims=True)
    return None if not length.all() else squares / length

"""Fonts that words can be written in are found and told from others, and families are drawn evenly."""

from __future__ import annotations

import json
import shutil
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import matplotlib
import numpy as np
import pytest

from ocr import fonts
from ocr.fonts import Font, FontError, find_fonts, font_probabilities, open_face
from ocr.glyphs import CAPITAL_HEIGHT

SHIPPED = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
SYMBOLS = ("cmsy10.ttf", "cmex10.ttf", "STIXSizOneSymReg.ttf", "STIXNonUni.ttf")
TEXT = (
    "DejaVuSans.ttf",
    "DejaVuSans-Oblique.ttf",
    "DejaVuSerif-Bold.ttf",
    "DejaVuSansMono.ttf",
    "STIXGeneralItalic.ttf",
    "cmr10.ttf",
)
Copy = Callable[..., Path]


@pytest.fixture(autouse=True)
def _own_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("ATTENTION_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def copy(tmp_path: Path) -> Copy:
    """Put fonts into a new folder."""

    def put(*names: str) -> Path:
        folder = tmp_path / "fonts"
        folder.mkdir()
        for name in names:
            shutil.copy(SHIPPED / name, folder)
        return folder

    return put


def test_symbol_fonts_are_left_out(copy: Copy) -> None:
    found = find_fonts([copy(*SYMBOLS, *TEXT)])
    assert [Path(font.path).name for font in found] == sorted(TEXT)


def test_the_order_is_that_of_the_paths_and_folders_are_searched_deeply(copy: Copy) -> None:
    folder = copy("DejaVuSans.ttf")
    below = folder / "b" / "c"
    below.mkdir(parents=True)
    (folder / "DejaVuSans.ttf").rename(folder / "z.ttf")
    shutil.copy(SHIPPED / "cmr10.ttf", below / "a.ttf")
    assert [font.path for font in find_fonts([folder])] == [str(below / "a.ttf"), str(folder / "z.ttf")]


def test_what_is_no_font_is_left_out(copy: Copy) -> None:
    folder = copy("DejaVuSans.ttf")
    (folder / "broken.ttf").write_bytes(b"not a font")
    (folder / "dangling.ttf").symlink_to(folder / "gone.ttf")
    (folder / "folder.ttf").mkdir()
    assert len(find_fonts([folder])) == 1


@pytest.mark.parametrize("names", [(), SYMBOLS])
def test_no_fonts_at_all_is_an_error_that_says_what_to_do(copy: Copy, names: tuple[str, ...]) -> None:
    folder = copy(*names)
    with pytest.raises(FontError, match=rf"none of the {len(names)} font files below {folder} .*install fonts"):
        find_fonts([folder])


def test_without_fonts_of_the_system_those_of_matplotlib_are_taken(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(fonts, "FONT_FOLDERS", (str(tmp_path),))
    assert {Path(font.path).parent for font in find_fonts()} == {SHIPPED}


def test_fonts_are_judged_once_until_they_change(copy: Copy, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    folder, judged = copy("DejaVuSans.ttf", "cmr10.ttf"), []
    judge = fonts.judge
    monkeypatch.setattr(fonts, "judge", lambda path: judged.append(Path(path).name) or judge(path))

    def find() -> list[str]:
        judged.clear()
        fonts._usable.cache_clear()
        find_fonts([folder])
        return sorted(judged)

    assert find() == ["DejaVuSans.ttf", "cmr10.ttf"]
    assert find() == []
    shutil.copy(SHIPPED / "cmss10.ttf", folder / "cmr10.ttf")
    assert find() == ["cmr10.ttf"]
    (tmp_path / "cache" / "fonts.json").write_text("{", encoding="utf-8")
    assert find() == ["DejaVuSans.ttf", "cmr10.ttf"]
    kept = json.loads((tmp_path / "cache" / "fonts.json").read_text(encoding="utf-8"))
    (tmp_path / "cache" / "fonts.json").write_text(json.dumps(kept | {"version": 0}), encoding="utf-8")
    assert find() == ["DejaVuSans.ttf", "cmr10.ttf"]


def test_families_of_four_faces_are_text_families(copy: Copy) -> None:
    faces = ("DejaVuSans.ttf", "DejaVuSans-Bold.ttf", "DejaVuSans-Oblique.ttf", "DejaVuSans-BoldOblique.ttf", "DejaVuSerif.ttf")
    kinds = {font.family: font.text for font in find_fonts([copy(*faces)])}
    assert kinds == {"dejavu sans": True, "dejavu serif": False}


def test_families_count_the_same_however_many_faces_they_have(copy: Copy) -> None:
    found = find_fonts([copy("DejaVuSans.ttf", "DejaVuSans-Bold.ttf", "DejaVuSerif.ttf", "DejaVuSansMono.ttf")])
    weights: dict[str, float] = defaultdict(float)
    for font, probability in zip(found, font_probabilities(found, display=0.3), strict=True):
        weights[font.family] += probability
    assert weights["dejavu sans"] == pytest.approx(weights["dejavu serif"])
    assert weights["dejavu sans mono"] == pytest.approx(fonts.TYPEWRITER_WEIGHT * weights["dejavu serif"])


def test_display_families_have_their_share() -> None:
    some = (Font("a", "a", True, 0.5), Font("b", "a", True, 0.5), Font("c", "c", False, 0.1), Font("d", "d", False, 0.3))
    np.testing.assert_allclose(font_probabilities(some, display=0.2), [0.4, 0.4, 0.05, 0.15])
    np.testing.assert_allclose(font_probabilities(some[:2], display=0.2), [0.5, 0.5])
    with pytest.raises(FontError, match="one font at least"):
        font_probabilities((), display=0.2)


@pytest.mark.parametrize("name", TEXT)
def test_letters_are_as_high_as_they_should_be(name: str) -> None:
    glyph = open_face(str(SHIPPED / name)).glyph("H")
    assert abs(glyph.ink.shape[0] - CAPITAL_HEIGHT) <= 1
    assert abs(glyph.top + glyph.ink.shape[0]) <= 1  # it stands on the base line
    assert glyph.ink.any(axis=0).all() or "Italic" in name
    assert 0 < glyph.ink.shape[1] <= glyph.advance + 4


def test_a_character_that_a_font_lacks_has_no_ink() -> None:
    face = open_face(str(SHIPPED / "cmr10.ttf"))
    assert face.glyph("\u0416").ink.size == 0
    assert face.glyph(" ").ink.size == 0


def test_a_font_that_has_gone_is_named(tmp_path: Path) -> None:
    with pytest.raises(FontError, match=r"gone\.ttf cannot be read"):
        open_face(str(tmp_path / "gone.ttf"))

"""Real crops: benchmarks, training crops, folders of one's own, collections, and what is wrong with any of them."""

from __future__ import annotations

import io
import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from attention_core.picture_files import PictureError
from ocr.alphabet import spell
from ocr.collections import LMDB, Collection, CollectionError, MJSynth, SynthText, open_collection
from ocr.config import Turned
from ocr.crops import BENCHMARKS, load_benchmark, load_folder, load_svt_lexicons, load_training, squeeze

SIZES = {"iiit5k": 3000, "svt": 647, "icdar2013": 1015, "icdar2013_857": 857}
WORDS = ("One", "it's", "three")


def picture(shade: int, width: int = 60) -> Image.Image:
    return Image.new("RGB", (width, 20), (shade, shade, shade))


def as_png(shade: int) -> bytes:
    buffer = io.BytesIO()
    picture(shade).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.mark.usefixtures("data_folder")
@pytest.mark.parametrize("name", BENCHMARKS)
def test_a_benchmark_is_whole(name: str) -> None:
    crops = load_benchmark(name, 8, 25)
    assert len(crops) == SIZES[name]
    assert crops.pictures.shape == (SIZES[name], 8, 25)
    assert not crops.altered
    assert not crops.left_out
    assert all(word == spell(word) != "" for word in crops.words)
    lengths = [len(word) for word in crops.words]
    assert max(lengths) == {"iiit5k": 22, "svt": 13, "icdar2013": 19, "icdar2013_857": 19}[name]
    assert sum(length == 1 for length in lengths) == {"iiit5k": 84, "svt": 0, "icdar2013": 64, "icdar2013_857": 0}[name]


@pytest.mark.usefixtures("data_folder")
def test_every_crop_of_svt_has_its_word_in_its_lexicon() -> None:
    lexicons = load_svt_lexicons()
    words = load_benchmark("svt", 2, 2).words
    assert len(lexicons) == len(words)
    assert all(word in lexicon for word, lexicon in zip(words, lexicons, strict=True))


@pytest.mark.usefixtures("data_folder")
def test_what_validates_is_not_learned_from() -> None:
    learned, validating = load_training(8, 25)
    assert len(validating) == 400 + 52 + 160 - 1  # a label of ICDAR 2003 has neither letter nor digit
    assert len(learned) + len(validating) > 7400
    assert "3.15" in learned.altered
    assert "icdar2003" in {name.split("/")[0] for name in learned.left_out}
    whole = {(name, word) for name, word in zip(learned.names, learned.words, strict=True)}
    held = [pair for pair in zip(validating.names, validating.words, strict=True) if pair in whole]
    assert len(held) < 5  # files of different sets that are called alike and hold the same word


def test_there_is_no_other_benchmark() -> None:
    with pytest.raises(ValueError, match="no benchmark 'cute80': choose one of iiit5k"):
        load_benchmark("cute80", 8, 25)


def test_a_folder_of_ones_own_is_read_and_what_cannot_be_is_named(tmp_path: Path) -> None:
    for number, shade in enumerate((10, 100, 200)):
        picture(shade).save(tmp_path / f"{number}.png")
    (tmp_path / "broken.png").write_bytes(as_png(3)[:-30])
    Image.new("L", (30, 1)).save(tmp_path / "line.png")
    labels = tmp_path / "labels.tsv"
    labels.write_text("0.png\tOne\n1.png\tit's\n2.png\t---\nbroken.png\ttwo\nline.png\tl\nabsent.png\tthree\n", encoding="utf-8")
    crops = load_folder(labels, 8, 25)
    assert crops.words == ["one", "its"]
    assert crops.altered == ["it's"]
    assert crops.pictures[:, 4, 12].tolist() == [10, 100]
    assert set(crops.left_out) == {"2.png", "broken.png", "line.png", "absent.png"}
    assert "neither letter nor digit" in crops.left_out["2.png"]
    assert "not a whole picture" in crops.left_out["broken.png"]
    assert "30×1 pixels" in crops.left_out["line.png"]
    assert "cannot be read" in crops.left_out["absent.png"]


@pytest.mark.parametrize(("turned", "bright"), [(0, "left"), (90, "bottom"), (180, "right"), (270, "top")])
def test_crops_are_turned_to_the_left(tmp_path: Path, turned: Turned, bright: str) -> None:
    shown = Image.new("L", (40, 10))
    shown.paste(255, (0, 0, 20, 10))
    shown.save(tmp_path / "0.png")
    (tmp_path / "labels.tsv").write_text("0.png\tone\n\n", encoding="utf-8-sig")  # with the mark that some editors set
    (crop,) = load_folder(tmp_path / "labels.tsv", 8, 20, turned).pictures
    sides = {"left": crop[:, 0], "right": crop[:, -1], "top": crop[0], "bottom": crop[-1]}
    assert [side for side, pixels in sides.items() if pixels.min() > 200] == [bright]


@pytest.mark.parametrize(
    ("text", "says"), [("0.png One", "line 1 of .* must be a file, a tab"), ("", "it has no lines"), ("0.png\t?", "neither letter")]
)
def test_wrong_labels_are_named(tmp_path: Path, text: str, says: str) -> None:
    labels = tmp_path / "labels.tsv"
    labels.write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match=says):
        load_folder(labels, 8, 25)
    with pytest.raises(ValueError, match="no readable text file"):
        load_folder(tmp_path / "none.tsv", 8, 25)


def test_a_crop_without_pixels_to_speak_of_is_refused() -> None:
    assert squeeze(picture(50), 8, 25, "x").shape == (8, 25)
    with pytest.raises(PictureError, match="x is 1×20 pixels"):
        squeeze(picture(50, 1), 8, 25, "x")


# Collections ----------------------------------------------------------------------------------------------------------


def make_mjsynth(folder: Path) -> None:
    lines = []
    for number, word in enumerate(("One", "antidisestablishmentarianism", "three")):
        name = f"./{number}_{word}_77.jpg"
        picture(80 * number).save(folder / name)
        lines.append(f"{name} 77\n")
    (folder / "9_two_77.jpg").write_bytes(b"no picture")
    (folder / "annotation_train.txt").write_text("".join([*lines, "./9_two_77.jpg 77\n"]), encoding="utf-8")


def make_synthtext(folder: Path) -> None:
    from scipy.io import savemat

    whole = np.zeros((40, 90, 3), np.uint8)
    whole[5:15, 10:40] = 80
    whole[20:35, 50:80] = 160
    Image.fromarray(whole).save(folder / "a.png")
    boxes = np.array(
        [[[10, 50, 200], [40, 80, 220], [40, 80, 220], [10, 50, 200]], [[5, 20, 5], [5, 20, 5], [15, 35, 9], [15, 35, 9]]]
    )
    objects = {name: np.empty((1, 1), dtype=object) for name in ("imnames", "txt", "wordBB")}
    objects["imnames"][0, 0] = np.array(["a.png"])
    objects["txt"][0, 0] = np.array(["One\nthree ", "out"])
    objects["wordBB"][0, 0] = boxes.astype(float)
    savemat(folder / "gt.mat", objects)


def make_lmdb(folder: Path) -> None:
    import lmdb

    with lmdb.open(str(folder), map_size=1 << 20) as environment, environment.begin(write=True) as transaction:
        transaction.put(b"num-samples", b"3")
        for number, (word, shade) in enumerate(zip(("One", "--", "three"), (0, 80, 160), strict=True), 1):
            transaction.put(f"label-{number:09d}".encode(), word.encode())
            transaction.put(f"image-{number:09d}".encode(), as_png(shade))


KINDS: dict[type[Collection], Callable[[Path], None]] = {MJSynth: make_mjsynth, SynthText: make_synthtext, LMDB: make_lmdb}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.filterwarnings("ignore:passed over")
def test_a_collection_is_known_by_its_files_and_read(tmp_path: Path, kind: type[Collection]) -> None:
    KINDS[kind](tmp_path)
    collection = pickle.loads(pickle.dumps(open_collection(tmp_path, 8, 25, 23)))
    assert type(collection) is kind
    assert collection[0][1] == "one"
    # Where a word cannot be used, the one after it stands in its place.
    words = [collection[number][1] for number in range(len(collection))]
    assert (
        words
        == {MJSynth: ["one", "three", "three", "one"], SynthText: ["one", "three", "one"], LMDB: ["one", "three", "three"]}[kind]
    )
    shades = {int(collection[words.index("three")][0][4, 12]) // 10}
    assert shades == {16} or kind is MJSynth


def test_an_unreadable_picture_is_named(tmp_path: Path) -> None:
    make_mjsynth(tmp_path)
    collection = open_collection(tmp_path, 8, 25, 23)
    with pytest.warns(UserWarning, match="passed over: .*9_two_77.jpg is not a picture"):
        assert collection[3][1] == "one"


def test_folders_that_are_no_collection_are_refused(tmp_path: Path) -> None:
    with pytest.raises(CollectionError, match=r"no collection of words: a folder with one of data\.mdb, annotation_train\.txt"):
        open_collection(tmp_path, 8, 25, 23)
    (tmp_path / "annotation_train.txt").write_text("")
    with pytest.raises(CollectionError, match="holds no words"):
        open_collection(tmp_path, 8, 25, 23)
    (tmp_path / "annotation_train.txt").write_text("./1_--_2.jpg 3\n")
    with pytest.raises(CollectionError, match="no word of 1 to 23"):
        open_collection(tmp_path, 8, 25, 23)[0]

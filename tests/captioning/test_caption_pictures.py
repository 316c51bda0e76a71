"""Picture files of every kind: the colours that a viewer would show, or an error that names the file and what is wrong."""

from __future__ import annotations

import io
import random
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from attention_core.picture_files import PictureError
from captioning.pictures import SMALLEST_SIDE, View, decode_picture, random_view, read_picture

RED, WHITE = (255, 0, 0), (255, 255, 255)


def saved(picture: Image.Image, path: Path, **options: object) -> Path:
    picture.save(path, **options)
    return path


def colours(path: Path, size: int = 8) -> set[tuple[int, ...]]:
    """The colours of a picture once read."""
    seen = read_picture(path, size)
    assert (seen.shape, seen.dtype) == ((3, size, size), np.uint8)
    return {tuple(colour) for colour in seen.reshape(3, -1).T.tolist()}


@pytest.mark.parametrize("ending", ["png", "bmp", "tiff", "webp", "gif", "ppm"])
def test_plain_colours_arrive_as_red_green_blue(ending: str, tmp_path: Path) -> None:
    options = {"lossless": True} if ending == "webp" else {}
    assert colours(saved(Image.new("RGB", (20, 10), RED), tmp_path / f"plain.{ending}", **options)) == {RED}


def test_rows_and_columns_keep_their_places(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (6, 6, 3), dtype=np.uint8)
    seen = read_picture(saved(Image.fromarray(pixels), tmp_path / "noise.png"), 6)
    np.testing.assert_array_equal(seen, pixels.transpose(2, 0, 1))


def test_the_whole_frame_is_squashed_not_cropped(tmp_path: Path) -> None:
    wide = Image.new("RGB", (64, 16), WHITE)
    wide.paste(RED, (0, 0, 32, 16))
    seen = read_picture(saved(wide, tmp_path / "wide.png"), 16)
    assert (seen[1, :, :7] == 0).all()
    assert (seen[1, :, 9:] == 255).all()


def test_a_view_is_a_part_at_full_size() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (8, 16, 3), dtype=np.uint8)
    picture = Image.fromarray(pixels).resize((64, 32), Image.Resampling.NEAREST)
    # The lower half of the height, from a quarter of the width to three: 8 columns and 4 rows, of 4×4 pixels each.
    part = pixels[4:8, 4:12].transpose(2, 0, 1)
    seen = View(0.25, 0.5, 0.5).of(picture.crop((0, 0, 64, 32)), 64)
    np.testing.assert_array_equal(seen[:, 8::16, 4::8], part)
    mirrored = View(0.25, 0.5, 0.5, mirrored=True).of(picture, 64)
    np.testing.assert_array_equal(mirrored, seen[..., ::-1])


def test_random_views_lie_within_the_picture_and_differ() -> None:
    rng = np.random.default_rng(0)
    views = np.array([random_view(rng) for _ in range(500)])
    left, top, side, mirrored = views.T
    assert views[:, :2].min() >= 0
    assert max((left + side).max(), (top + side).max()) <= 1
    assert side.min() >= SMALLEST_SIDE
    np.testing.assert_allclose(side.mean(), (1 + SMALLEST_SIDE) / 2, atol=0.02)
    assert abs(np.corrcoef(left, top)[0, 1]) < 0.5  # the shorter the side the more room in both
    assert 0.4 < mirrored.mean() < 0.6
    assert (left + side / 2 < 0.45).any()
    assert (left + side / 2 > 0.55).any()


def test_shrinking_averages_instead_of_picking_pixels(tmp_path: Path) -> None:
    stripes = np.zeros((256, 256), np.uint8)
    stripes[:, ::2] = 255
    seen = read_picture(saved(Image.fromarray(stripes), tmp_path / "stripes.png"), 16)
    assert abs(seen.astype(int) - 127).max() <= 4


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_what_is_transparent_is_white(mode: str, tmp_path: Path) -> None:
    # Where nothing is to be seen these files hold black.
    picture = Image.new("RGBA", (8, 8), (0, 0, 0, 0))
    if mode == "P":
        picture = Image.new("P", (8, 8), 3)
        picture.putpalette([0, 0, 0] * 4)
        path = saved(picture, tmp_path / "clear.png", transparency=3)
    else:
        path = saved(picture.convert(mode), tmp_path / "clear.png")
    assert colours(path) == {WHITE}


def test_half_transparent_is_mixed_with_white(tmp_path: Path) -> None:
    ((red, green, blue),) = colours(saved(Image.new("RGBA", (8, 8), (255, 0, 0, 128)), tmp_path / "half.png"))
    assert red == 255
    assert green == blue == pytest.approx(127, abs=1)


def test_transparent_grey_without_alpha_channel_is_white(tmp_path: Path) -> None:
    assert colours(saved(Image.new("L", (8, 8), 7), tmp_path / "keyed.png", transparency=7)) == {WHITE}


@pytest.mark.parametrize("ending", ["png", "tiff"])
@pytest.mark.parametrize(("bits16", "bits8"), [(0, 0), (0x80FF, 0x80), (0xFFFF, 0xFF), (200, 0)])
def test_sixteen_bits_become_eight(bits16: int, bits8: int, ending: str, tmp_path: Path) -> None:
    picture = Image.fromarray(np.full((5, 5), bits16, np.uint16))
    assert colours(saved(picture, tmp_path / f"deep.{ending}")) == {(bits8,) * 3}


@pytest.mark.parametrize("mode", ["L", "1", "P", "CMYK"])
def test_other_colour_spaces_are_converted(mode: str, tmp_path: Path) -> None:
    path = saved(Image.new("RGB", (16, 16), WHITE).convert(mode), tmp_path / "white.tiff")
    assert colours(path) == {WHITE}


def test_cmyk_photograph_is_not_inverted(tmp_path: Path) -> None:
    ((red, green, blue),) = colours(saved(Image.new("RGB", (16, 16), RED).convert("CMYK"), tmp_path / "print.jpg", quality=95))
    assert (red, green, blue) == pytest.approx(RED, abs=6)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_picture_turned_by_the_camera_is_turned_back(orientation: int, tmp_path: Path) -> None:
    upright = np.random.default_rng(1).integers(0, 256, (4, 4, 3), dtype=np.uint8)
    # What a camera stores so that the named operation makes it upright again (Exif 2.3, tag 274).
    stored = {
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.transpose(1, 0, 2),
        6: np.rot90(upright, 1),
        7: upright[::-1, ::-1].transpose(1, 0, 2),
        8: np.rot90(upright, -1),
    }[orientation]
    exif = Image.Exif()
    exif[274] = orientation
    path = saved(Image.fromarray(np.ascontiguousarray(stored)), tmp_path / "turned.png", exif=exif)
    np.testing.assert_array_equal(read_picture(path, 4), upright.transpose(2, 0, 1))


@pytest.mark.parametrize(("width", "height"), [(1, 300), (300, 1), (1, 1)])
def test_one_pixel_wide_is_wide_enough(width: int, height: int, tmp_path: Path) -> None:
    assert colours(saved(Image.new("RGB", (width, height), RED), tmp_path / "thin.png"), 224) == {RED}


def test_of_several_frames_the_first_is_taken(tmp_path: Path) -> None:
    frames = [Image.new("RGB", (8, 8), colour) for colour in (RED, WHITE)]
    assert colours(saved(frames[0], tmp_path / "film.gif", save_all=True, append_images=frames[1:])) == {RED}


def test_text_is_not_a_picture(tmp_path: Path) -> None:
    (tmp_path / "notes.jpg").write_text("not a picture at all")
    with pytest.raises(PictureError, match=r"notes\.jpg is not a picture"):
        read_picture(tmp_path / "notes.jpg", 8)


def test_empty_missing_and_folder_are_told_apart(tmp_path: Path) -> None:
    (tmp_path / "empty.png").touch()
    with pytest.raises(PictureError, match=r"empty\.png is not a picture"):
        read_picture(tmp_path / "empty.png", 8)
    with pytest.raises(PictureError, match=r"nowhere\.png cannot be read: No such file"):
        read_picture(str(tmp_path / "nowhere.png"), 8)
    with pytest.raises(PictureError, match="cannot be read: Is a directory"):
        read_picture(tmp_path, 8)


def encoded(ending: str) -> bytes:
    stream = io.BytesIO()
    noise: NDArray[np.uint8] = np.random.default_rng(2).integers(0, 256, (40, 40, 3), dtype=np.uint8)
    Image.fromarray(noise).save(stream, ending)
    return stream.getvalue()


@pytest.mark.parametrize("ending", ["png", "jpeg", "tiff", "gif", "bmp"])
def test_a_cut_file_is_refused(ending: str, tmp_path: Path) -> None:
    whole = encoded(ending)
    (tmp_path / "cut").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(PictureError, match="cut is not a"):
        read_picture(tmp_path / "cut", 8)


@pytest.mark.filterwarnings("ignore::UserWarning")  # of Pillow, which warns of damaged TIFF tags before it gives up
@pytest.mark.parametrize("ending", ["png", "jpeg", "tiff", "gif", "bmp", "webp"])
def test_damaged_files_end_in_no_other_error(ending: str) -> None:
    whole, dice = encoded(ending), random.Random(3)
    refused = 0
    for _ in range(40):
        damaged = bytearray(whole)
        damaged[dice.randrange(30)] = dice.randrange(256)
        try:
            decode_picture(bytes(damaged), 8, "damaged")
        except PictureError:
            refused += 1
    assert refused


def test_floating_point_pixels_are_refused_with_advice(tmp_path: Path) -> None:
    path = saved(Image.fromarray(np.full((4, 4), 0.5, np.float32)), tmp_path / "float.tiff")
    with pytest.raises(PictureError, match=r"float\.tiff has floating-point pixels.*save it with 8 or 16 bits"):
        read_picture(path, 8)


def test_grey_beyond_sixteen_bits_is_refused(tmp_path: Path) -> None:
    path = saved(Image.fromarray(np.full((4, 4), 70_000, np.int32)), tmp_path / "deep.tiff")
    with pytest.raises(PictureError, match=r"deep\.tiff has grey from 70000 to 70000 where 0 to 65535 is right"):
        read_picture(path, 8)


def test_a_picture_of_too_many_pixels_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path = saved(Image.new("L", (100, 100)), tmp_path / "huge.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1_000)
    with pytest.raises(PictureError, match=r"huge\.png .*10000 pixels"):
        read_picture(path, 8)

"""Scenes equal a loop over pixels, written from the recipe alone; NumPy and PyTorch compose the same; the fixed ones stay fixed."""

from __future__ import annotations

import copy
import hashlib
import importlib
import itertools
import math
import pickle
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium.envs.registration import EnvSpec
from numpy.typing import NDArray

from attention_core.splits import SPLITS
from attention_env import scenes
from attention_env.envs.glimpse import GlimpseEnv, GlimpseVectorEnv
from attention_env.registration import ENVIRONMENTS
from attention_env.retina import glimpse
from attention_env.scenes import CHECKSUMS, SEEDS, STEPS, Plan, Scene, fixed_scenes, load_scenes, reshape, windows
from attention_env.sources import Pictures, SourceError, load_pictures

Arrays = tuple[NDArray[np.uint8], NDArray[np.int64]]
Bytes = NDArray[np.uint8]

COUNT = 7
# Scenes, and the (C, H, W) of pictures to compose them of.
EXACT = [
    pytest.param(Scene(12, piece_size=4), (1, 5, 5), id="no pieces"),
    # Twelve pieces of nine pixels on 81: some overlap, and some lie under the picture.
    pytest.param(Scene(9, pieces=12, piece_size=3), (1, 5, 5), id="overlapping"),
    pytest.param(Scene(15, pieces=5, piece_size=4), (3, 6, 9), id="wide, three channels"),
    pytest.param(Scene(15, pieces=5, piece_size=4), (2, 9, 6), id="tall, two channels"),
    pytest.param(Scene(8, pieces=3, piece_size=4), (1, 8, 8), id="as large as the canvas"),
    pytest.param(Scene(10, pieces=4, piece_size=5), (2, 10, 5), id="as tall as the canvas, pieces as wide as the picture"),
    pytest.param(Scene(7, pieces=2, piece_size=7), (1, 7, 7), id="canvas, picture and pieces of one size"),
    pytest.param(Scene(1, pieces=1, piece_size=1), (1, 1, 1), id="one pixel"),
]
TURNED = [
    pytest.param(Scene(12, pieces=2, piece_size=3, rotation=60), (1, 7, 7), id="turned"),
    pytest.param(Scene(14, pieces=2, piece_size=3, scale=(0.53, 1.87)), (2, 6, 9), id="enlarged, wide"),
    pytest.param(Scene(14, pieces=0, piece_size=3, scale=(0.43, 0.43)), (1, 9, 6), id="shrunk by one factor, tall"),
    pytest.param(Scene(16, pieces=3, piece_size=4, rotation=170.0, scale=(0.7, 1.4)), (3, 10, 7), id="turned and enlarged"),
    pytest.param(Scene(9, pieces=3, piece_size=4, rotation=45, scale=(1.2, 1.3)), (1, 9, 9), id="as large as the canvas"),
]
SCENE: dict[str, Any] = {"canvas": 20, "pieces": 3, "piece_size": 4, "rotation": 30, "scale": [0.8, 1.2]}
DISTORTION = {"rotation": 20.0, "scale": 0.2, "shift": 0.1, "elastic": 0.02}


def pictures_of(shape: tuple[int, int, int], count: int = COUNT) -> Pictures:
    """Random pictures of three classes."""
    images = np.random.default_rng(sum(shape)).integers(0, 256, (count, *shape), dtype=np.uint8)
    return Pictures(images, np.arange(count) % 3, 3, "random")


def draws(seed: int) -> scenes.Draw:
    chance = np.random.RandomState(seed)
    return lambda limit, shape: chance.randint(limit, size=shape)


def tensor_draws(seed: int) -> scenes.Draw:
    generator = torch.Generator().manual_seed(seed)
    return lambda limit, shape: torch.randint(limit, shape, generator=generator)


def plan_of(scene: Scene, pictures: Pictures, seed: int) -> Plan:
    """What fixed scenes of that seed are composed by."""
    _, height, width = pictures.shape
    return scene.plan(np.arange(len(pictures)), len(pictures), height, width, draws(seed))


def compose(scene: Scene, pictures: Pictures, plan: Plan) -> Bytes:
    """Show every picture once, composed by PyTorch."""
    images = torch.from_numpy(pictures.images)
    return scene.compose(images, images, Plan(*map(torch.from_numpy, plan))).numpy()


def turn_by_loop(picture: Bytes, angle: float, factor: float) -> Bytes:
    """Turn a picture (C, H, W) from right to down and enlarge it about its centre."""
    channels, height, width = picture.shape
    turned = np.zeros(picture.shape)
    for y, x in itertools.product(range(height), range(width)):
        right, down = x + 0.5 - width / 2, y + 0.5 - height / 2
        # What is here was, before, nearer to the centre by the factor, and not yet turned.
        before_x = (right * math.cos(angle) + down * math.sin(angle)) / factor + width / 2 - 0.5
        before_y = (down * math.cos(angle) - right * math.sin(angle)) / factor + height / 2 - 0.5
        left, top = math.floor(before_x), math.floor(before_y)
        for channel, v, u in itertools.product(range(channels), (top, top + 1), (left, left + 1)):
            if 0 <= v < height and 0 <= u < width:
                turned[channel, y, x] += (1 - abs(before_y - v)) * (1 - abs(before_x - u)) * float(picture[channel, v, u])
    return turned.round().astype(np.uint8)


def compose_by_loop(scene: Scene, images: Bytes, number: int, plan: Plan) -> Bytes:
    """Compose one scene by its recipe, pixel by pixel."""
    _, channels, height, width = images.shape
    canvas = np.zeros((channels, scene.canvas, scene.canvas), np.uint8)

    def lay(channel: int, y: int, x: int, value: int) -> None:
        canvas[channel, y, x] = max(int(canvas[channel, y, x]), value)

    side = range(scene.piece_size)
    for piece in range(scene.pieces):
        other = images[plan.others[number, piece]]
        from_x, from_y = plan.cut_x[number, piece], plan.cut_y[number, piece]
        to_x, to_y = plan.laid_x[number, piece], plan.laid_y[number, piece]
        for channel, y, x in itertools.product(range(channels), side, side):
            lay(channel, to_y + y, to_x + x, int(other[channel, from_y + y, from_x + x]))
    shown = images[number]
    if scene.rotation or tuple(scene.scale) != (1, 1):
        share, least, greatest = plan.growth[number] / (STEPS - 1), *scene.scale
        angle = math.radians(scene.rotation) * (2 * plan.turn[number] / (STEPS - 1) - 1)
        shown = turn_by_loop(shown, angle, least + share * (greatest - least))
    for channel, y, x in itertools.product(range(channels), range(height), range(width)):
        lay(channel, plan.y[number] + y, plan.x[number] + x, int(shown[channel, y, x]))
    return canvas


def assert_alike_but_for_rounding(first: Bytes, second: Bytes) -> None:
    """See that two differ by at most one grey level, and hardly ever."""
    apart = np.abs(first.astype(int) - second.astype(int))
    assert apart.max() <= 1
    assert apart.mean() < 0.005


def showing(count: int, **settings: Any) -> GlimpseVectorEnv:
    return GlimpseVectorEnv(num_envs=count, **{"glimpse_size": 4, "glimpses": 3, **settings})


def shown_by(env: GlimpseVectorEnv, seed: int | None = 0, **options: Any) -> Bytes:
    """Start new episodes, with no seed the next ones; return what is shown, as bytes."""
    env.reset(seed=seed, options=options)
    return shown_now(env)


def shown_now(env: GlimpseVectorEnv) -> Bytes:
    return (env.images() * 255).round().to(torch.uint8).numpy()


def unlike(images: NDArray[Any]) -> int:
    """Count the different ones."""
    return len({image.tobytes() for image in images})


# The recipe -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("scene", "shape"), EXACT)
def test_fixed_scenes_equal_the_loop(scene: Scene, shape: tuple[int, int, int]) -> None:
    pictures = pictures_of(shape)
    composed, plan = fixed_scenes(pictures, scene, 5).images, plan_of(scene, pictures, 5)
    assert composed.dtype == np.uint8
    assert composed.shape == (COUNT, shape[0], scene.canvas, scene.canvas)
    for number in range(COUNT):
        assert np.array_equal(composed[number], compose_by_loop(scene, pictures.images, number, plan))


@pytest.mark.parametrize(("scene", "shape"), EXACT)
@pytest.mark.parametrize("seed", [0, 1])
def test_tensors_and_arrays_are_composed_alike(scene: Scene, shape: tuple[int, int, int], seed: int) -> None:
    pictures = pictures_of(shape)
    composed = compose(scene, pictures, plan_of(scene, pictures, seed))
    assert composed.dtype == np.uint8
    assert np.array_equal(composed, fixed_scenes(pictures, scene, seed).images)


@pytest.mark.parametrize(("scene", "shape"), TURNED)
def test_turned_and_enlarged_fixed_scenes_equal_the_loop(scene: Scene, shape: tuple[int, int, int]) -> None:
    pictures = pictures_of(shape)
    plan = plan_of(scene, pictures, 5)
    expected = np.stack([compose_by_loop(scene, pictures.images, number, plan) for number in range(COUNT)])
    assert_alike_but_for_rounding(fixed_scenes(pictures, scene, 5).images, expected)


@pytest.mark.parametrize(("scene", "shape"), TURNED)
@pytest.mark.parametrize("seed", [0, 1])
def test_turned_and_enlarged_tensors_and_arrays_are_alike_but_for_rounding(
    scene: Scene, shape: tuple[int, int, int], seed: int
) -> None:
    pictures = pictures_of(shape)
    composed = compose(scene, pictures, plan_of(scene, pictures, seed))
    assert_alike_but_for_rounding(composed, fixed_scenes(pictures, scene, seed).images)


@pytest.mark.parametrize("scene", [Scene(10, pieces=3, piece_size=4), Scene(10, pieces=3, piece_size=4, rotation=90)])
def test_some_pictures_in_any_order_are_composed_as_all_are(scene: Scene) -> None:
    pictures = pictures_of((2, 6, 7))
    images, plan = torch.from_numpy(pictures.images), plan_of(scene, pictures, 3)
    chosen = torch.tensor([4, 0, 6, 4])
    some = scene.compose(images[chosen], images, Plan(*(torch.from_numpy(drawn)[chosen] for drawn in plan)))
    assert np.array_equal(some.numpy(), compose(scene, pictures, plan)[chosen])


def test_a_picture_as_large_as_the_canvas_is_the_scene() -> None:
    pictures = pictures_of((3, 9, 9))
    scene = Scene(9)
    assert np.array_equal(fixed_scenes(pictures, scene, 0).images, pictures.images)
    assert np.array_equal(compose(scene, pictures, plan_of(scene, pictures, 0)), pictures.images)


def test_without_pieces_all_but_the_picture_is_black() -> None:
    white = Pictures(np.full((300, 1, 3, 5), 255, np.uint8), np.zeros(300, np.int64), 1, "white")
    composed = fixed_scenes(white, Scene(11), 0).images
    assert (composed.reshape(300, -1).sum(axis=1, dtype=int) == 255 * 15).all()


def test_the_greater_of_two_pixels_stays_whichever_came_first() -> None:
    # All lie on the only pixel of the canvas, the picture last.
    values = np.array([7, 250, 100], np.uint8).reshape(3, 1, 1, 1)
    pictures, scene = Pictures(values, np.arange(3), 3, "values"), Scene(1, pieces=30, piece_size=1)
    for composed in (fixed_scenes(pictures, scene, 0).images, compose(scene, pictures, plan_of(scene, pictures, 0))):
        assert composed.flatten().tolist() == [250, 250, 250]


@pytest.mark.parametrize(("scene", "shape"), [*EXACT, *TURNED])
def test_composing_alters_nothing_it_is_given(scene: Scene, shape: tuple[int, int, int]) -> None:
    pictures = pictures_of(shape)
    images, labels, plan = pictures.images.copy(), pictures.labels.copy(), plan_of(scene, pictures, 0)
    kept = copy.deepcopy(plan)
    fixed = fixed_scenes(pictures, scene, 0)
    composed = compose(scene, pictures, plan)
    assert not np.shares_memory(fixed.images, pictures.images)
    assert not np.shares_memory(composed, pictures.images)
    assert np.array_equal(pictures.images, images)
    assert np.array_equal(pictures.labels, labels)
    assert all(map(np.array_equal, plan, kept))


def test_windows_are_the_parts_that_start_there_also_of_views() -> None:
    whole = torch.from_numpy(pictures_of((4, 9, 10)).images)
    for images in (whole, whole[1::2, 1:3, 2:, 1:8], whole.transpose(2, 3)):
        batch, channels, height, width = images.shape
        seen = windows(images, 3, 4)
        assert seen.shape == (batch, height - 2, width - 3, channels, 3, 4)
        assert seen.untyped_storage().data_ptr() == whole.untyped_storage().data_ptr()
        for number, y, x in itertools.product(range(batch), range(height - 2), range(width - 3)):
            assert torch.equal(seen[number, y, x], images[number, :, y : y + 3, x : x + 4])


# Turning and enlarging --------------------------------------------------------------------------------------------------


def turned(images: Bytes, degrees: float, factor: float) -> Bytes:
    count = len(images)
    return reshape(torch.from_numpy(images), torch.full((count,), math.radians(degrees)), torch.full((count,), factor)).numpy()


def spots(*places: tuple[float, float]) -> Bytes:
    """Draw smooth round spots on 60×60, right and down of the centre by so many pixels, one to a picture."""
    along = np.arange(60) + 0.5 - 30
    return np.stack(
        [
            255 * np.exp(-((along[None, :] - right) ** 2 + (along[:, None] - down) ** 2) / (2 * 2.0**2))[None]
            for right, down in places
        ]
    ).astype(np.uint8)


def centres(images: Bytes) -> NDArray[np.float64]:
    """Find the centres of brightness, (B, 2), right and down of the picture's centre in pixels."""
    along = np.arange(60) + 0.5 - 30
    mass = images[:, 0].astype(float)
    total = mass.sum(axis=(1, 2))
    return np.stack(((mass.sum(axis=1) @ along) / total, (mass.sum(axis=2) @ along) / total), axis=1)


@pytest.mark.parametrize("shape", [(1, 6, 6), (3, 7, 4)])
def test_no_turn_and_a_factor_of_one_leave_a_picture_as_it_is(shape: tuple[int, int, int]) -> None:
    images = pictures_of(shape).images
    assert np.array_equal(turned(images, 0, 1), images)


@pytest.mark.parametrize("side", [6, 7])
def test_quarter_turns_are_exact(side: int) -> None:
    images = pictures_of((2, side, side)).images
    assert np.array_equal(turned(images, 90, 1), np.rot90(images, -1, axes=(2, 3)))  # NumPy turns the other way round
    assert np.array_equal(turned(images, -90, 1), np.rot90(images, axes=(2, 3)))


@pytest.mark.parametrize("shape", [(1, 5, 8), (1, 8, 5)])
def test_half_a_turn_of_an_oblong_picture_is_exact(shape: tuple[int, int, int]) -> None:
    images = pictures_of(shape).images
    assert np.array_equal(turned(images, 180, 1), images[:, :, ::-1, ::-1])


@pytest.mark.parametrize("degrees", [-120.0, -30.0, 45.0, 170.0])
def test_a_turn_goes_from_right_to_down_about_the_centre(degrees: float) -> None:
    places = [(15.0, 0.0), (0.0, 15.0), (-10.0, 6.0)]
    angle = math.radians(degrees)
    expected = [
        (right * math.cos(angle) - down * math.sin(angle), right * math.sin(angle) + down * math.cos(angle))
        for right, down in places
    ]
    np.testing.assert_allclose(centres(turned(spots(*places), degrees, 1)), expected, atol=0.05)


@pytest.mark.parametrize("factor", [0.5, 0.8, 1.3, 1.6])
def test_a_factor_enlarges_about_the_centre(factor: float) -> None:
    places = [(13.0, 0.0), (0.0, -13.0), (-8.0, 5.0)]
    before = spots(*places)
    after = turned(before, 0, factor)
    np.testing.assert_allclose(centres(after), np.array(places) * factor, atol=0.05)
    np.testing.assert_allclose(after.sum(axis=(1, 2, 3)) / before.sum(axis=(1, 2, 3)), factor**2, rtol=0.03)


def test_what_is_enlarged_beyond_the_pictures_frame_is_cut_off_and_what_comes_in_is_black() -> None:
    white = np.full((40, 1, 10, 10), 255, np.uint8)
    labels = np.zeros(40, np.int64)
    larger = fixed_scenes(Pictures(white, labels, 1, "white"), Scene(30, scale=(2, 2)), 0).images
    assert ((larger == 255).sum(axis=(1, 2, 3)) == 100).all()
    assert ((larger > 0).sum(axis=(1, 2, 3)) == 100).all()
    smaller = fixed_scenes(Pictures(white, labels, 1, "white"), Scene(30, scale=(0.5, 0.5)), 0).images
    assert ((smaller > 0).sum(axis=(1, 2, 3)) <= 36).all()
    np.testing.assert_allclose(smaller.sum(axis=(1, 2, 3)) / 255, 25, atol=0.5)


def test_full_brightness_stays_full_brightness() -> None:
    white = np.full((500, 1, 9, 9), 255, np.uint8)
    generator = torch.Generator().manual_seed(0)
    angles, factors = torch.rand(500, generator=generator) * 7, 2 + torch.rand(500, generator=generator)
    assert (reshape(torch.from_numpy(white), angles, factors) == 255).all()  # a byte too bright would be black


# What is drawn ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("draw", [draws(3), tensor_draws(3)], ids=["arrays", "tensors"])
def test_draws_are_uniform_over_their_whole_range(draw: scenes.Draw) -> None:
    index: Any = np.arange(6).repeat(1_000)
    index = torch.from_numpy(index) if isinstance(draw(2, (1,)), torch.Tensor) else index
    plan = Scene(9, pieces=2, piece_size=3).plan(index, 6, 5, 4, draw)
    for drawn, places in (
        (plan.x, 9 - 4 + 1),
        (plan.y, 9 - 5 + 1),
        (plan.cut_x, 4 - 3 + 1),
        (plan.cut_y, 5 - 3 + 1),
        (plan.laid_x, 9 - 3 + 1),
        (plan.laid_y, 9 - 3 + 1),
    ):
        counts = np.bincount(np.asarray(drawn).flatten())
        assert len(counts) == places
        share, total = 1 / places, counts.sum()
        assert (np.abs(counts - total * share) < 5 * math.sqrt(total * share * (1 - share))).all()
    for drawn in (plan.turn, plan.growth):
        numbers = np.asarray(drawn) / STEPS
        assert numbers.min() < 0.002
        assert 0.998 < numbers.max() < 1
        assert abs(numbers.mean() - 0.5) < 5 * math.sqrt(1 / 12 / len(numbers))


@pytest.mark.parametrize("draw", [draws(3), tensor_draws(3)], ids=["arrays", "tensors"])
def test_pieces_are_of_all_the_other_pictures_and_never_of_the_picture_itself(draw: scenes.Draw) -> None:
    index: Any = np.arange(6).repeat(1_000)
    index = torch.from_numpy(index) if isinstance(draw(2, (1,)), torch.Tensor) else index
    others = np.asarray(Scene(9, pieces=2, piece_size=3).plan(index, 6, 5, 4, draw).others).reshape(6, 2_000)
    for number in range(6):
        counts = np.bincount(others[number], minlength=6)
        assert len(counts) == 6
        assert counts[number] == 0
        assert (np.abs(np.delete(counts, number) - 400) < 5 * math.sqrt(2_000 * 0.2 * 0.8)).all()


def test_everything_is_drawn_apart() -> None:
    plan = Scene(40, pieces=2, piece_size=8).plan(np.arange(2_000) % 50, 50, 20, 20, draws(0))
    columns = [column for drawn in plan for column in np.asarray(drawn).reshape(2_000, -1).T]
    assert len(columns) == 4 + 5 * 2
    correlations = np.corrcoef(columns) - np.eye(len(columns))
    assert np.abs(correlations).max() < 0.12


@pytest.mark.parametrize(("scene", "shape"), [*EXACT, *TURNED])
@pytest.mark.parametrize("end", [0, -1])
def test_both_ends_of_every_draw_lie_inside(scene: Scene, shape: tuple[int, int, int], end: int) -> None:
    pictures = pictures_of(shape)
    _, height, width = shape
    plan = scene.plan(np.arange(COUNT), COUNT, height, width, lambda limit, shape: np.full(shape, range(limit)[end]))
    composed = compose(scene, pictures, plan)
    for number in range(COUNT):
        assert_alike_but_for_rounding(composed[number], compose_by_loop(scene, pictures.images, number, plan))


@pytest.mark.parametrize(("kind", "precision"), [(np.array, 1e-14), (torch.tensor, 2e-7)])
def test_the_ends_of_a_draw_are_the_greatest_turns_and_the_least_and_the_greatest_factor(kind: Any, precision: float) -> None:
    scene = Scene(60, rotation=45, scale=(0.6, 1.3))
    ends = kind([0, STEPS - 1])
    np.testing.assert_allclose(np.asarray(scene.angle(ends)), [-math.pi / 4, math.pi / 4], rtol=precision)
    np.testing.assert_allclose(np.asarray(scene.factor(ends)), [0.6, 1.3], rtol=precision)


# Fixed scenes -----------------------------------------------------------------------------------------------------------


def test_there_is_one_fixed_scene_for_each_picture_with_its_label() -> None:
    for split in ("validation", "test"):
        pictures, composed = load_pictures("digits", split), load_scenes("digits", split, Scene(20))
        assert composed.images.shape == (len(pictures), 1, 20, 20)
        assert composed.shape == (1, 20, 20)
        assert np.array_equal(composed.labels, pictures.labels)
        assert composed.classes == pictures.classes
        for picture, scene in zip(pictures.images[:, 0], composed.images[:, 0], strict=True):
            assert any(np.array_equal(scene[y : y + 8, x : x + 8], picture) for y in range(13) for x in range(13))


def test_fixed_scenes_are_the_same_on_every_call_and_others_for_another_seed() -> None:
    pictures, scene = load_pictures("digits", "test"), Scene(20, pieces=3, piece_size=4, rotation=30, scale=(0.8, 1.2))
    first = fixed_scenes(pictures, scene, 1).images
    assert np.array_equal(fixed_scenes(pictures, scene, 1).images, first)
    assert not np.array_equal(fixed_scenes(pictures, scene, 2).images, first)


def test_fixed_scenes_will_be_the_same_for_ever() -> None:
    images = (np.arange(50 * 2 * 7 * 6) ** 2 % 251).astype(np.uint8).reshape(50, 2, 7, 6)
    pictures = Pictures(images, np.arange(50) % 3, 3, "squares")
    found = hashlib.sha256(fixed_scenes(pictures, Scene(20, pieces=3, piece_size=4), 1).images.tobytes()).hexdigest()
    assert found == "d7a367ff126f3ffbaf46a973d32b9c42c322d0ca1278e832b6939970481d90f7"


@pytest.mark.parametrize("scene", [key[2] for key in CHECKSUMS if key[1] == "validation" and key[2].canvas == 60], ids=str)
def test_fixed_scenes_are_the_published_ones(scene: Scene, data_folder: Path) -> None:
    composed = load_scenes("mnist", "validation", scene)
    assert composed.images.shape == (5_000, 1, 60, 60)
    assert hashlib.sha256(composed.images.tobytes()).hexdigest() == CHECKSUMS["mnist", "validation", scene]


def test_the_scenes_of_every_registered_environment_and_of_the_other_recipe_are_published() -> None:
    expected = {("mnist", split, Scene(100, 4)) for split in ("validation", "test")}
    for module, name, _ in ENVIRONMENTS.values():
        defaults = getattr(importlib.import_module(f"attention_env.envs.{module}"), f"{name}VectorEnv").defaults
        if "scene" in defaults:
            expected |= {(defaults["source"], split, Scene(**defaults["scene"])) for split in ("validation", "test")}
    assert set(CHECKSUMS) == expected
    assert len(set(CHECKSUMS.values())) == len(expected) >= 12


def test_a_checksum_that_differs_is_an_error_and_the_right_one_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    scene = Scene(23, pieces=1, piece_size=5)
    found = hashlib.sha256(fixed_scenes(load_pictures("digits", "test"), scene, SEEDS["test"]).images.tobytes()).hexdigest()
    monkeypatch.setitem(CHECKSUMS, ("digits", "test", scene), "0" * 64)
    with pytest.raises(SourceError, match=f"scenes of digits/test.*23×23 have SHA-256 {found}, those published have 0000"):
        load_scenes("digits", "test", scene)
    with pytest.raises(SourceError, match="SHA-256"):
        GlimpseEnv(source="digits", split="test", scene={"canvas": 23, "pieces": 1, "piece_size": 5})
    monkeypatch.setitem(CHECKSUMS, ("digits", "test", scene), found)
    assert len(load_scenes("digits", "test", scene)) == 360


def test_a_process_composes_fixed_scenes_once() -> None:
    assert load_scenes("digits", "test", Scene(20, 1, 4)) is load_scenes("digits", "test", Scene(20, 1, 4, scale=[1, 1]))
    assert load_scenes("digits", "test", Scene(20, 1, 4)) is not load_scenes("digits", "validation", Scene(20, 1, 4))
    assert load_scenes("digits", "test", Scene(20, 1, 4)) is not load_scenes("digits", "test", Scene(20, 2, 4))


def test_composing_touches_no_global_generator(arrays: Arrays) -> None:
    state: Any = np.random.get_state()
    tensor_state = torch.random.get_rng_state()
    fixed_scenes(pictures_of((1, 8, 8)), Scene(20, pieces=2, rotation=10), 0)
    showing(4, source=arrays, scene=SCENE).reset(seed=0)
    np.testing.assert_equal(np.random.get_state(), state)
    assert torch.equal(torch.random.get_rng_state(), tensor_state)


# In environments --------------------------------------------------------------------------------------------------------

IDS = {
    "attention_env/TranslatedMNIST-v0": (3, 60),
    "attention_env/RotatedMNIST-v0": (3, 60),
    "attention_env/ScaledMNIST-v0": (3, 60),
    "attention_env/ClutteredMNIST-v0": (3, 60),
    "attention_env/ClutteredMNIST100-v0": (4, 100),
}


@pytest.mark.parametrize("id_", IDS)
def test_environments_of_scenes_have_the_documented_spaces_and_canvas(id_: str, data_folder: Path) -> None:
    env = gym.make(id_)
    assert isinstance(env.unwrapped, GlimpseEnv)
    patches, canvas = IDS[id_]
    assert env.observation_space == gym.spaces.Dict(
        glimpse=gym.spaces.Box(0.0, 1.0, (patches, 12, 12), np.float32),
        location=gym.spaces.Box(-1.0, 1.0, (2,), np.float32),
        remaining=gym.spaces.Box(0.0, 1.0, (1,), np.float32),
    )
    assert env.action_space == gym.spaces.Dict(location=gym.spaces.Box(-1.0, 1.0, (2,), np.float32), label=gym.spaces.Discrete(10))
    documented = type(env.unwrapped).__doc__
    assert documented is not None
    assert f"`Dict(glimpse=Box(0, 1, ({patches}, 12, 12)), location=Box(-1, 1, (2,)), remaining=Box(0, 1, (1,)))`" in documented
    assert f"scene's {canvas}×{canvas}" in documented
    observation, _ = env.reset(seed=0)
    assert observation in env.observation_space
    assert env.unwrapped.batch.images().shape == (1, 1, canvas, canvas)
    env.action_space.seed(0)
    results = [env.step(env.action_space.sample()) for _ in range(8)]
    assert all(result[0] in env.observation_space for result in results)
    assert [result[2] for result in results] == [False] * 7 + [True]


@pytest.mark.parametrize("split", SPLITS)
@pytest.mark.parametrize("channels", [1, 3])
def test_arrays_of_ones_own_are_composed_anew_in_every_split(split: str, channels: int) -> None:
    images = pictures_of((channels, 6, 9)).images
    env = showing(5, source=(images, np.arange(COUNT) % 3), split=split, scene=SCENE, scales=2)
    observations, _ = env.reset(seed=0, options={"index": [3, 3, 3, 1, 0]})
    assert env.images().shape == (5, channels, 20, 20)
    assert observations in env.observation_space
    assert env.started()[1].tolist() == [0, 0, 0, 1, 0]
    first = shown_now(env)
    assert unlike(first) == 5
    for turn in range(3):
        observations, rewards, ended, _, _ = env.step({"location": np.zeros((5, 2), np.float32), "label": [0, 0, 0, 1, 0]})
        assert observations in env.observation_space
        assert ended.tolist() == [turn == 2] * 5
        assert rewards.tolist() == [float(turn == 2)] * 5
    assert not (shown_by(env, None, index=[3, 3, 3, 1, 0]) == first).all(axis=(1, 2, 3)).any()


def test_a_picture_is_laid_anywhere_inside_and_nowhere_else() -> None:
    white = np.full((1, 3, 5), 255, np.uint8), np.zeros(1, np.int64)
    shown = shown_by(showing(1_000, source=white, scene={"canvas": 8, "piece_size": 3}))[:, 0]
    places = set()
    for scene in shown:
        y, x = (int(lit[0]) for lit in np.nonzero(scene))
        expected = np.zeros((8, 8))
        expected[y : y + 3, x : x + 5] = 255
        assert np.array_equal(scene, expected)
        places.add((y, x))
    assert places == set(itertools.product(range(6), range(4)))


def test_pieces_that_are_shown_come_from_every_other_picture_and_never_from_the_picture_itself() -> None:
    # Each picture is of one grey level, which tells where a piece came from; the brightest lies over all pieces.
    levels = np.array([10, 40, 90, 200], np.uint8)
    images = np.broadcast_to(levels[:, None, None], (4, 6, 6))
    env = showing(300, source=(images, np.arange(4)), scene={"canvas": 20, "pieces": 3, "piece_size": 5})
    for number, level in enumerate(levels):
        shown = shown_by(env, index=np.full(300, number))
        own = (shown == level).sum(axis=(1, 2, 3))
        assert own.max() == 36
        if level == levels.max():
            assert own.min() == 36
        assert set(np.unique(shown)) == {0, *levels}
        # What else is lit is at most three pieces, and often all of them.
        others = ((shown > 0) & (shown != level)).sum(axis=(1, 2, 3))
        assert others.max() == 3 * 25


def test_training_scenes_differ_between_resets_and_repeat_under_a_seed() -> None:
    settings: dict[str, Any] = {"source": "digits", "scene": SCENE}
    env, index = showing(6, **settings), [4, 4, 8, 15, 16, 23]
    first, second, third = shown_by(env, 7), shown_by(env, None), shown_by(env, None, index=index)
    assert unlike(np.concatenate((first, second))) == 12
    assert unlike(np.concatenate((third, shown_by(env, None, index=index)))) == 12
    for again in (env, showing(6, **settings)):
        assert np.array_equal(shown_by(again, 7), first)
        assert np.array_equal(shown_by(again, None), second)
        assert np.array_equal(shown_by(again, None, index=index), third)
    assert unlike(np.concatenate((first, shown_by(env, 8)))) == 12


@pytest.mark.parametrize("mode", ["NextStep", "SameStep"])
def test_an_episode_that_follows_by_itself_has_a_new_scene(mode: str, one_picture: Arrays) -> None:
    env = showing(3, source=one_picture, scene={"canvas": 40}, glimpses=1, autoreset_mode=mode)
    env.reset(seed=0)
    seen = [shown_now(env)]
    for _ in range(3):
        for _ in range(2 if mode == "NextStep" else 1):
            env.step({"location": np.zeros((3, 2), np.float32), "label": [0, 0, 0]})
        seen.append(shown_now(env))
    assert unlike(np.concatenate(seen)) == 12


def test_rows_reset_by_a_mask_have_new_scenes_and_the_others_keep_theirs(arrays: Arrays) -> None:
    env = showing(4, source=arrays, scene=SCENE)
    env.reset(seed=0)
    before = shown_now(env)
    after = shown_by(env, None, reset_mask=np.array([False, True, False, True]))
    assert (after == before).all(axis=(1, 2, 3)).tolist() == [True, False, True, False]


@pytest.mark.parametrize("count", [5, 40])
@pytest.mark.parametrize("split", ["validation", "test"])
def test_an_index_shows_exactly_that_fixed_scene(split: str, count: int) -> None:
    fixed = load_scenes("digits", split, Scene(**SCENE))
    env = showing(count, source="digits", split=split, scene=SCENE, scales=2)
    index = np.arange(count) * 7 % 180
    location = np.random.default_rng(0).uniform(-1, 1, (count, 2)).astype(np.float32)
    for seed in (0, 1, None):
        observations, _ = env.reset(seed=seed, options={"index": index, "location": location})
        assert np.array_equal(shown_now(env), fixed.images[index])
        assert np.array_equal(env.started()[1], fixed.labels[index])
        expected = glimpse(torch.from_numpy(fixed.images[index]), torch.from_numpy(location), 4, 2)
        assert np.array_equal(observations["glimpse"], expected)


def test_a_single_environment_shows_the_fixed_scene_of_its_index_too() -> None:
    fixed = load_scenes("digits", "test", Scene(**SCENE))
    env = GlimpseEnv(source="digits", split="test", scene=SCENE, glimpse_size=20)
    for number in (0, 17, 359):
        observation, _ = env.reset(seed=number, options={"index": number})
        assert np.array_equal(observation["glimpse"], fixed.images[number].astype(np.float32) / np.float32(255))


def test_without_an_index_fixed_scenes_are_drawn() -> None:
    fixed = {scene.tobytes() for scene in load_scenes("digits", "validation", Scene(**SCENE)).images}
    shown = shown_by(showing(2_000, source="digits", split="validation", scene=SCENE))
    assert {scene.tobytes() for scene in shown} == fixed


@pytest.mark.parametrize("settings", [{"split": "train"}, {"split": "test"}, {"split": "train", "distortion": DISTORTION}])
def test_playing_alters_neither_pictures_nor_settings(settings: dict[str, Any]) -> None:
    given = copy.deepcopy(SCENE)
    env = showing(20, source="digits", scene=given, **settings)
    images, labels = env.pictures.images.copy(), env.pictures.labels.copy()
    env.reset(seed=0)
    env.images().zero_()
    for _ in range(7):
        env.step({"location": np.ones((20, 2), np.float32), "label": np.zeros(20, int)})
    shown_by(env, None, index=np.arange(20))
    assert np.array_equal(env.pictures.images, images)
    assert np.array_equal(env.pictures.labels, labels)
    assert given == SCENE


def test_a_distortion_is_of_the_picture_before_it_is_laid(one_picture: Arrays) -> None:
    white = np.full_like(one_picture[0], 255), one_picture[1]
    lit = (shown_by(showing(100, source=white, scene={"canvas": 24}, distortion={"shift": 0.5})) > 0).sum(axis=(1, 2, 3))
    # Shifted by half of its 8 pixels at most; by half of the scene's 24, some would be gone from the canvas.
    assert lit.min() >= 16
    assert np.median(lit) < 50


def test_a_distortion_that_changes_nothing_loses_no_grey_level() -> None:
    images = pictures_of((3, 11, 11)).images
    env = showing(COUNT, source=(images, np.arange(COUNT)), scene={"canvas": 11}, distortion={"shift": 0.0})
    assert np.array_equal(shown_by(env, index=np.arange(COUNT)), images)


def test_tensors_show_the_same_scenes_as_arrays(arrays: Arrays) -> None:
    settings: dict[str, Any] = {"source": arrays, "scene": SCENE, "distortion": DISTORTION, "scales": 2}
    as_arrays, as_tensors = showing(20, **settings), showing(20, output="torch", **settings)
    observations, observed = as_arrays.reset(seed=3)[0], as_tensors.reset(seed=3)[0]
    assert np.array_equal(shown_now(as_arrays), shown_now(as_tensors))
    assert np.array_equal(observations["glimpse"], observed["glimpse"].numpy())


# Copies -----------------------------------------------------------------------------------------------------------------

SETTINGS = [
    pytest.param({}, id="plain"),
    pytest.param({"distortion": DISTORTION}, id="distorted"),
    pytest.param({"scene": SCENE}, id="scenes"),
    pytest.param({"scene": SCENE, "distortion": DISTORTION}, id="scenes of distorted"),
    pytest.param({"source": "digits", "split": "test", "scene": SCENE}, id="fixed scenes"),
    pytest.param({"scene": SCENE, "distortion": DISTORTION, "scales": 2, "output": "torch"}, id="tensors"),
]


@pytest.mark.parametrize("settings", SETTINGS)
@pytest.mark.parametrize("copies", [1, 2, 3, 4, 6, 12, 24])
@pytest.mark.parametrize("by_index", [False, True])
def test_copies_show_the_same_in_every_so_manieth_row(
    settings: dict[str, Any], copies: int, by_index: bool, arrays: Arrays
) -> None:
    env = showing(24, **{"source": arrays, **settings})
    count = 24 // copies
    index = np.arange(count) * 5 % 9
    for seed in (0, None):
        options = {"copies": copies, **({"index": np.tile(index, copies)} if by_index else {})}
        observations, _ = env.reset(seed=seed, options=options)
        shown, labels = shown_now(env).reshape(copies, count, -1), env.started()[1].reshape(copies, count)
        assert (shown == shown[0]).all()
        assert (labels == labels[0]).all()
        seen = np.asarray(observations["glimpse"]).reshape(copies, count, -1)
        assert (seen == seen[0]).all()
        if by_index:
            assert np.array_equal(labels[0], env.pictures.labels[index])
        if env.scene is not None or env.distortion is not None:
            assert unlike(shown[0]) == count  # within one copy everything is drawn apart
        elif not by_index and count > 6:
            assert unlike(shown[0]) > 1


def test_copies_of_plain_pictures_show_the_pictures_of_the_index(arrays: Arrays) -> None:
    env = showing(6, source=arrays)
    assert np.array_equal(shown_by(env, copies=2, index=[4, 0, 8, 4, 0, 8])[:, 0], arrays[0][[4, 0, 8, 4, 0, 8]])


@pytest.mark.parametrize("settings", SETTINGS)
def test_one_copy_is_what_there_is_without_the_option(settings: dict[str, Any], arrays: Arrays) -> None:
    with_, without = (showing(8, **{"source": arrays, **settings}) for _ in range(2))
    with_.reset(seed=1, options={"copies": np.int64(1)})
    without.reset(seed=1)
    assert np.array_equal(shown_now(with_), shown_now(without))
    assert np.array_equal(with_.started()[1], without.started()[1])


def test_copies_may_start_at_places_of_their_own(arrays: Arrays) -> None:
    env = showing(12, source=arrays, scene=SCENE, start="random")
    observations, _ = env.reset(seed=0, options={"copies": 4})
    assert unlike(observations["location"]) == 12
    location = np.random.default_rng(0).uniform(-1, 1, (12, 2)).astype(np.float32)
    observations, _ = env.reset(options={"copies": 4, "location": location})
    assert np.array_equal(observations["location"], location)


@pytest.mark.parametrize("mode", ["NextStep", "SameStep"])
def test_copies_last_for_one_episode(mode: str, arrays: Arrays) -> None:
    env = showing(12, source=arrays, scene=SCENE, glimpses=1, autoreset_mode=mode)
    env.reset(seed=0, options={"copies": 4})
    assert unlike(shown_now(env)) == 3
    for _ in range(2 if mode == "NextStep" else 1):
        env.step({"location": np.zeros((12, 2), np.float32), "label": np.zeros(12, int)})
    assert unlike(shown_now(env)) == 12
    assert unlike(shown_by(env, None)) == 12


def test_copies_may_be_reset_by_a_mask_one_by_one(arrays: Arrays) -> None:
    env = showing(6, source=arrays, scene=SCENE)
    before = shown_by(env, copies=2)
    after = shown_by(env, None, reset_mask=np.arange(6) == 4)
    assert (after == before).all(axis=(1, 2, 3)).tolist() == [True, True, True, True, False, True]


@pytest.mark.parametrize(
    "options",
    [
        {"copies": 0},
        {"copies": -2},
        {"copies": 3},
        {"copies": 16},
        {"copies": 2.0},
        {"copies": "2"},
        {"copies": [2]},
        {"copies": None},
        {"copies": float("nan")},
        {"copies": 2, "reset_mask": [True] * 8},
        {"copies": 2, "reset_mask": [True, False] * 4},
    ],
)
def test_copies_that_do_not_divide_the_rows_are_refused(options: dict[str, Any], arrays: Arrays) -> None:
    env = showing(8, source=arrays, scene=SCENE)
    env.reset(seed=0)
    before = shown_now(env)
    with pytest.raises(ValueError, match="copies must divide the 8 rows"):
        env.reset(options=options)
    assert np.array_equal(shown_now(env), before)


# What is refused --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        ({"canvas": 0}, "canvas"),
        ({"canvas": -60}, "canvas"),
        ({"canvas": 60.0}, "canvas"),
        ({"canvas": "60"}, "canvas"),
        ({"canvas": None}, "canvas"),
        ({"canvas": [60, 60]}, "canvas"),
        ({"pieces": -1}, "pieces"),
        ({"pieces": 1.5}, "pieces"),
        ({"pieces": None}, "pieces"),
        ({"piece_size": 0}, "piece_size"),
        ({"piece_size": -8}, "piece_size"),
        ({"piece_size": 8.0}, "piece_size"),
        ({"piece_size": 61, "pieces": 1}, "piece_size"),
        ({"rotation": -1}, "rotation"),
        ({"rotation": math.inf}, "rotation"),
        ({"rotation": -math.inf}, "rotation"),
        ({"rotation": math.nan}, "rotation"),
        ({"scale": (0.0, 1.0)}, "scale"),
        ({"scale": (-1.0, 1.0)}, "scale"),
        ({"scale": (1.3, 0.6)}, "scale"),
        ({"scale": (0.6, math.inf)}, "scale"),
        ({"scale": (math.nan, 1.0)}, "scale"),
        ({"scale": (1.0, math.nan)}, "scale"),
        ({"scale": ()}, "scale"),
        ({"scale": [1.3]}, "scale"),
        ({"scale": [0.6, 1.0, 1.3]}, "scale"),
    ],
)
def test_numbers_out_of_range_are_refused_by_name(arguments: dict[str, Any], name: str, arrays: Arrays) -> None:
    with pytest.raises(ValueError, match=rf"^scene {name} "):
        Scene(**arguments)
    with pytest.raises(ValueError, match=rf"^scene {name} "):
        showing(2, source=arrays, scene=arguments)


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        ({"rotation": "45"}, "rotation"),
        ({"rotation": None}, "rotation"),
        ({"rotation": [10, 20]}, "rotation"),
        ({"scale": 1.3}, "scale"),
        ({"scale": None}, "scale"),
        ({"scale": ["0.6", "1.3"]}, "scale"),
    ],
)
def test_arguments_of_a_wrong_kind_are_refused_by_name(arguments: dict[str, Any], name: str) -> None:
    with pytest.raises(ValueError, match=rf"^scene {name} "):
        Scene(**arguments)


def test_an_unknown_argument_is_named() -> None:
    with pytest.raises(TypeError, match="piece_count"):
        showing(2, source="digits", scene={"piece_count": 4})


@pytest.mark.parametrize(
    ("scene", "images", "message"),
    [
        ({"canvas": 9}, np.zeros((3, 10, 4), np.uint8), "pictures of 10×4 do not fit on a canvas of 9×9"),
        ({"canvas": 9}, np.zeros((3, 4, 10), np.uint8), "pictures of 4×10 do not fit on a canvas of 9×9"),
        ({"canvas": 20, "pieces": 1}, np.zeros((3, 7, 12), np.uint8), "pieces of 8×8 cannot be cut from other pictures of 7×12"),
        ({"canvas": 20, "pieces": 1}, np.zeros((3, 12, 7), np.uint8), "pieces of 8×8 cannot be cut from other pictures of 12×7"),
        ({"canvas": 20, "pieces": 1}, np.zeros((1, 9, 9), np.uint8), "pieces of 8×8 cannot be cut from other pictures of 9×9"),
        ({"canvas": 20}, np.zeros((3, 9, 9), np.float32), r"composed of pictures in bytes \(uint8\), got float32"),
        ({"canvas": 20, "pieces": 1}, np.ones((3, 9, 9)), r"composed of pictures in bytes \(uint8\), got float32"),
    ],
)
def test_pictures_that_do_not_fit_are_refused(scene: dict[str, Any], images: NDArray[Any], message: str) -> None:
    source = images, np.zeros(len(images), np.int64)
    for split in SPLITS:
        with pytest.raises(SourceError, match=message):
            showing(2, source=source, split=split, scene=scene)
    with pytest.raises(SourceError, match=message):
        fixed_scenes(load_pictures(source), Scene(**scene), 0)


@pytest.mark.parametrize("split", SPLITS)
def test_pictures_of_a_named_source_that_do_not_fit_are_refused(split: str) -> None:
    with pytest.raises(SourceError, match="pictures of 8×8 do not fit on a canvas of 7×7"):
        GlimpseEnv(source="digits", split=split, scene={"canvas": 7, "piece_size": 4})
    with pytest.raises(SourceError, match="pieces of 9×9 cannot be cut"):
        GlimpseEnv(source="digits", split=split, scene={"canvas": 20, "piece_size": 9, "pieces": 1})


def test_an_unknown_split_or_source_is_refused_as_without_a_scene() -> None:
    with pytest.raises(ValueError, match="unknown split 'dev'"):
        showing(2, source="digits", split="dev", scene=SCENE)
    with pytest.raises(SourceError, match="unknown image source 'cifar'"):
        showing(2, source="cifar", split="test", scene=SCENE)


@pytest.mark.parametrize("shape", [(5, 5), (7, 7), (8, 8), (3, 20), (20, 3)])
@pytest.mark.parametrize("count", [1, 4])
def test_without_pieces_a_picture_may_be_single_and_smaller_than_a_piece(shape: tuple[int, int], count: int) -> None:
    images = np.random.default_rng(0).integers(1, 256, (count, *shape), dtype=np.uint8)
    source = images, np.zeros(count, np.int64)
    for composed in (
        fixed_scenes(load_pictures(source), Scene(20), 0).images,
        shown_by(showing(count, source=source, scene={"canvas": 20}), index=np.arange(count)),
    ):
        lit = [scene[scene > 0] for scene in composed]
        assert all(np.array_equal(found, image.flatten()) for found, image in zip(lit, images, strict=True))


# Made again -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("settings", [{"source": "digits", "split": split, "scene": SCENE} for split in SPLITS])
def test_environments_with_scenes_survive_pickling(settings: dict[str, Any]) -> None:
    env = showing(4, **settings)
    again = pickle.loads(pickle.dumps(env))
    np.testing.assert_equal(again.reset(seed=3), env.reset(seed=3))
    assert np.array_equal(shown_now(again), shown_now(env))
    single = GlimpseEnv(**settings)
    np.testing.assert_equal(pickle.loads(pickle.dumps(single)).reset(seed=3), single.reset(seed=3))


def test_environments_with_scenes_of_arrays_survive_pickling(arrays: Arrays) -> None:
    env = showing(4, source=arrays, scene=SCENE)
    again = pickle.loads(pickle.dumps(env))
    env.reset(seed=3)
    again.reset(seed=3)
    assert np.array_equal(shown_now(again), shown_now(env))


def test_scenes_survive_pickling_and_are_equal_by_their_numbers() -> None:
    scene = Scene(**SCENE)
    assert pickle.loads(pickle.dumps(scene)) == scene
    assert scene == Scene(20, 3, 4, 30.0, (0.8, 1.2))
    assert hash(scene) == hash(Scene(20, 3, 4, 30.0, (0.8, 1.2)))
    assert scene != Scene(20, 3, 4, 30.0, (0.8, 1.3))


@pytest.mark.parametrize("split", SPLITS)
def test_specs_with_a_scene_survive_json(split: str) -> None:
    env = gym.make("attention_env/Digits-v0", split=split, scene=SCENE)
    assert env.spec is not None
    spec = EnvSpec.from_json(env.spec.to_json())
    assert spec.kwargs == env.spec.kwargs == {"split": split, "scene": SCENE}
    np.testing.assert_equal(gym.make(spec).reset(seed=3), env.reset(seed=3))
    batch = gym.make_vec("attention_env/Digits-v0", num_envs=3, split=split, scene=SCENE)
    assert batch.spec is not None
    again = gym.make_vec(EnvSpec.from_json(batch.spec.to_json()))
    np.testing.assert_equal(again.reset(seed=3), batch.reset(seed=3))
    assert isinstance(batch, GlimpseVectorEnv)
    assert isinstance(again, GlimpseVectorEnv)
    assert np.array_equal(shown_now(again), shown_now(batch))


@pytest.mark.parametrize("id_", IDS)
def test_a_registered_scene_may_be_replaced_or_left_out(id_: str, data_folder: Path) -> None:
    for scene, side in (({"canvas": 33}, 33), (None, 28)):
        env = gym.make_vec(id_, num_envs=2, scene=scene)
        assert isinstance(env, GlimpseVectorEnv)
        assert shown_by(env).shape == (2, 1, side, side)
    env = gym.make_vec(id_, num_envs=2)
    assert isinstance(env, GlimpseVectorEnv)
    assert shown_by(env).shape == (2, 1, IDS[id_][1], IDS[id_][1])  # the registered one is as it was

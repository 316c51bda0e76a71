"""Scenes: a digit somewhere on a larger canvas, among pieces of other digits.

The recipe, to the pixel (Mnih et al. 2014, arXiv 1406.6247, section 4.1, says as much as that a digit and 8 × 8 pieces of other
digits lie at random places; the rest is ours):

1. The canvas is `canvas` × `canvas` zeros.
2. For each of `pieces`: of the same split another picture is drawn uniformly; of it a window of `piece_size` × `piece_size`
   pixels, uniformly among all that lie inside it (so some show little or nothing); and a place on the canvas, uniformly among
   all that lie inside it. The piece is laid there: each pixel keeps the greater of what was there and what comes.
3. The picture itself, first turned by up to `rotation` degrees and enlarged by a factor within `scale` about its centre if those
   are asked for, is laid in the same way, at a place drawn uniformly among all at which it lies inside.

In training a scene is composed anew at every reset, on the device. For validation and test there is one scene per picture,
composed by NumPy from a fixed seed: `fixed_scenes`; the SHA-256 of the published ones is `CHECKSUMS`.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from attention_core.splits import open_split
from attention_env.options import is_number, is_whole
from attention_env.sources import Pictures, SourceError, load_pictures

# Turns and factors are drawn among so many steps, so that whole numbers are all that is ever drawn.
STEPS = 1_000_000

Whole = Any
"""Whole numbers: a tensor on the device in training, a NumPy array for fixed scenes."""
Draw = Callable[[int, tuple[int, ...]], Whole]
"""Draws whole numbers uniformly from 0 up to, not including, a limit, in an array of a shape."""


class Plan(NamedTuple):
    """What is drawn for a batch of B scenes with k pieces.

    Attributes:
        x: (B,), where on the canvas the picture's top-left pixel lies, from the left.
        y: (B,), the same from the top.
        others: (B, k), which pictures the pieces are of.
        cut_x: (B, k), each piece's first pixel in its picture.
        cut_y: (B, k).
        laid_x: (B, k), the same on the canvas.
        laid_y: (B, k).
        turn: (B,) of STEPS, how far the picture is turned between -rotation and rotation.
        growth: (B,) of STEPS, where its factor lies within `scale`.
    """

    x: Whole
    y: Whole
    others: Whole
    cut_x: Whole
    cut_y: Whole
    laid_x: Whole
    laid_y: Whole
    turn: Whole
    growth: Whole


@dataclass(frozen=True)
class Scene:
    """How scenes are composed.

    Attributes:
        canvas: side of the scene in pixels.
        pieces: number of pieces of other pictures.
        piece_size: side of a piece in pixels.
        rotation: the picture is turned by up to this many degrees either way.
        scale: least and greatest factor by which the picture is enlarged; what then lies beyond its own frame is cut off.

    Raises:
        ValueError: if a number is out of range.
    """

    canvas: int = 60
    pieces: int = 0
    piece_size: int = 8
    rotation: float = 0.0
    scale: Sequence[float] = (1.0, 1.0)

    def __post_init__(self) -> None:
        """Check the numbers."""
        for name, least in (("canvas", 1), ("pieces", 0), ("piece_size", 1)):
            if not is_whole(value := getattr(self, name)) or value < least:
                raise ValueError(f"scene {name} must be a whole number of at least {least}, got {value!r}")
        if self.pieces and self.piece_size > self.canvas:
            raise ValueError(f"scene piece_size {self.piece_size} does not fit into a canvas of {self.canvas}")
        if not is_number(self.rotation) or not 0 <= self.rotation < math.inf:
            raise ValueError(f"scene rotation must be a finite number of at least 0, got {self.rotation!r}")
        factors = tuple(self.scale) if isinstance(self.scale, Sequence) else ()
        if len(factors) != 2 or not all(map(is_number, factors)) or not 0 < factors[0] <= factors[1] < math.inf:
            raise ValueError(f"scene scale must be two factors above 0, the lesser first, got {self.scale!r}")
        object.__setattr__(self, "scale", factors)

    @property
    def reshapes(self) -> bool:
        """Whether pictures are turned or enlarged."""
        return bool(self.rotation) or tuple(self.scale) != (1.0, 1.0)

    def check(self, pictures: Pictures) -> None:
        """See that pictures fit.

        Raises:
            SourceError: if they are larger than the canvas, smaller than a piece, or not bytes; or none is left for pieces.
        """
        _, height, width = pictures.shape
        if max(height, width) > self.canvas:
            raise SourceError(f"pictures of {height}×{width} do not fit on a canvas of {self.canvas}×{self.canvas}")
        if self.pieces and (min(height, width) < self.piece_size or len(pictures) < 2):
            raise SourceError(
                f"pieces of {self.piece_size}×{self.piece_size} cannot be cut from other pictures of {height}×{width}"
            )
        if pictures.images.dtype != np.uint8:
            raise SourceError(f"scenes are composed of pictures in bytes (uint8), got {pictures.images.dtype}")

    def plan(self, index: Whole, count: int, height: int, width: int, draw: Draw) -> Plan:
        """Draw everything that is random about a batch of scenes.

        Args:
            index: (B,), the pictures shown.
            count: number of pictures there are.
            height: of a picture.
            width: of a picture.
            draw: where the numbers come from.
        """
        size, pieces = self.piece_size, (len(index), self.pieces)
        others = draw(max(count - 1, 1), pieces)
        return Plan(
            x=draw(self.canvas - width + 1, (len(index),)),
            y=draw(self.canvas - height + 1, (len(index),)),
            others=others + (others >= index[:, None]),  # any but the one that is shown
            cut_x=draw(max(width - size + 1, 1), pieces),
            cut_y=draw(max(height - size + 1, 1), pieces),
            laid_x=draw(self.canvas - size + 1, pieces),
            laid_y=draw(self.canvas - size + 1, pieces),
            turn=draw(STEPS, (len(index),)),
            growth=draw(STEPS, (len(index),)),
        )

    def angle(self, turn: Whole) -> Any:
        """Give the angles in radians that draws stand for."""
        return (turn / (STEPS - 1) * 2 - 1) * math.radians(self.rotation)

    def factor(self, growth: Whole) -> Any:
        """Give the factors that draws stand for."""
        least, greatest = self.scale
        return growth / (STEPS - 1) * (greatest - least) + least

    def compose(self, shown: Tensor, images: Tensor, plan: Plan) -> Tensor:
        """Compose a batch of scenes on the device.

        Args:
            shown: (B, C, h, w) uint8, the pictures.
            images: (count, C, h, w) uint8, those that pieces are cut from.
            plan: from `plan`.

        Returns:
            (B, C, canvas, canvas) uint8.
        """
        batch, channels, height, width = shown.shape
        rows = torch.arange(batch, device=shown.device)
        canvas = torch.zeros(batch, channels, self.canvas, self.canvas, dtype=torch.uint8, device=shown.device)
        if self.pieces:
            cuts, lay = windows(images, self.piece_size, self.piece_size), windows(canvas, self.piece_size, self.piece_size)
        for piece in range(self.pieces):
            patch = cuts[plan.others[:, piece], plan.cut_y[:, piece], plan.cut_x[:, piece]]
            at = rows, plan.laid_y[:, piece], plan.laid_x[:, piece]
            lay[at] = torch.maximum(lay[at], patch)
        if self.reshapes:
            shown = reshape(shown, self.angle(plan.turn), self.factor(plan.growth))
        lay, at = windows(canvas, height, width), (rows, plan.y, plan.x)
        lay[at] = torch.maximum(lay[at], shown)
        return canvas


def windows(images: Tensor, height: int, width: int) -> Tensor:
    """View pictures (B, C, H, W) so that [picture, y, x] is the window (C, height, width) that starts there."""
    batch, channels, whole_height, whole_width = images.shape
    row, channel, down, right = images.stride()
    shape = (batch, whole_height - height + 1, whole_width - width + 1, channels, height, width)
    return images.as_strided(shape, (row, down, right, channel, down, right))


def reshape(images: Tensor, angle: Tensor, factor: Tensor) -> Tensor:
    """Turn and enlarge pictures about their centres, linear between pixels, zeros outside.

    Args:
        images: (B, C, H, W) uint8.
        angle: (B,) in radians; positive turns from the x-axis to the y-axis, which points down.
        factor: (B,), above 0.

    Returns:
        (B, C, H, W) uint8.
    """
    height, width = images.shape[-2:]
    cosine, sine, none = angle.cos() / factor, angle.sin() / factor, torch.zeros_like(angle)
    aspect = height / width
    back = torch.stack((torch.stack((cosine, sine * aspect, none), -1), torch.stack((-sine / aspect, cosine, none), -1)), 1)
    grid = F.affine_grid(back, list(images.shape), align_corners=False)
    return F.grid_sample(images.to(grid.dtype), grid, align_corners=False).round_().to(torch.uint8)


# Fixed scenes -----------------------------------------------------------------------------------------------------------

SEEDS = {"validation": 1, "test": 2}
# SHA-256 of the bytes of the published fixed scenes: those of the registered environments, and those of 100×100 with half as many
# pieces, which the paper may mean.
CHECKSUMS = {
    ("mnist", "validation", Scene(60)): "212311174fefb2eeb7d606e21fd0e4d86110384d6d42c303a2b70ab8e8330423",
    ("mnist", "test", Scene(60)): "79414a1b2fa182f2648e89af4abdd88631ef5197fe4878b8989ac87fa24c8303",
    ("mnist", "validation", Scene(60, 4)): "ef280942d027d032bab2cbf0a442e0fc4a22833f3a5dfa3c592e09c95f317a7a",
    ("mnist", "test", Scene(60, 4)): "07d27c6d9b6228105a0dddd5856dfa95a7f215445bf63935592fe00a607e6035",
    ("mnist", "validation", Scene(100, 8)): "ff043ca7cf7b8eacdf9aed93ebf6d7166aa4cc6acd5bc207b4391340c0ee5529",
    ("mnist", "test", Scene(100, 8)): "0edfda38c449461adf2c6c113d268d0329a3e98e3ef1dc0fd1962b14049a36ac",
    ("mnist", "validation", Scene(100, 4)): "931d797b334a944d85165a702db351ccea9e25a57396a27ef994ec07f9673c98",
    ("mnist", "test", Scene(100, 4)): "9ce0a3b2eac69249198d38541a5664dffdd564db10569619be27fc6b395cf698",
    ("mnist", "validation", Scene(60, rotation=45)): "14dc21b426500655299600e5193efe6092a788960e0fefa69ddceb64c0819953",
    ("mnist", "test", Scene(60, rotation=45)): "338ad7297f97d707f39b826f9c5d9f1d0ac9066d340172cd6a5f1aea35db3e3e",
    ("mnist", "validation", Scene(60, scale=(0.6, 1.3))): "cb84c0446ed0f643e322afb5df4124d19ad4deb077719f46bbb21d27c6ea3a26",
    ("mnist", "test", Scene(60, scale=(0.6, 1.3))): "d0afc4389972c5c364c528860e14cb9a03b6a50d7ecbcbfade03d955f6eec259",
}


def load_scenes(source: str, split: str, scene: Scene) -> Pictures:
    """Load the fixed scenes of a built-in source's validation or test pictures; within a process they are composed once.

    Raises:
        SourceError: if what was composed is not what was published.
        attention_core.splits.SplitError: if test data are asked for while something learns.
    """
    open_split(split)
    return _compose(source, split, scene)


@cache
def _compose(source: str, split: str, scene: Scene) -> Pictures:
    composed = fixed_scenes(load_pictures(source, split), scene, SEEDS[split])
    expected = CHECKSUMS.get((source, split, scene))
    if expected is not None and (found := hashlib.sha256(composed.images.tobytes()).hexdigest()) != expected:
        raise SourceError(f"the fixed scenes of {composed.name} have SHA-256 {found}, those published have {expected}")
    return composed


def fixed_scenes(pictures: Pictures, scene: Scene, seed: int) -> Pictures:
    """Compose one scene for each picture, by NumPy, the same ones everywhere and for ever.

    Args:
        pictures: what to show, and to cut pieces from.
        scene: how.
        seed: of NumPy's frozen generator `RandomState`.
    """
    scene.check(pictures)
    chance = np.random.RandomState(seed)
    count, (channels, height, width) = len(pictures), pictures.shape
    plan = scene.plan(np.arange(count), count, height, width, lambda limit, shape: chance.randint(limit, size=shape))
    angles, factors = scene.angle(plan.turn), scene.factor(plan.growth)
    scenes = np.zeros((count, channels, scene.canvas, scene.canvas), np.uint8)
    for number in range(count):
        for piece in range(scene.pieces):
            at = number, piece
            other = pictures.images[plan.others[at]][:, plan.cut_y[at] :, plan.cut_x[at] :]
            _lay(scenes[number], other[:, : scene.piece_size, : scene.piece_size], plan.laid_x[at], plan.laid_y[at])
        shown = pictures.images[number]
        if scene.reshapes:
            shown = np.stack([_reshape(channel, angles[number], factors[number]) for channel in shown])
        _lay(scenes[number], shown, plan.x[number], plan.y[number])
    return Pictures(scenes, pictures.labels, pictures.classes, f"{pictures.name}, scenes of {scene.canvas}×{scene.canvas}")


def _lay(canvas: NDArray[np.uint8], patch: NDArray[np.uint8], x: int, y: int) -> None:
    under = canvas[:, y : y + patch.shape[1], x : x + patch.shape[2]]
    np.maximum(under, patch, out=under)


def _reshape(image: NDArray[np.uint8], angle: float, factor: float) -> NDArray[np.uint8]:
    """Turn and enlarge one channel about its centre, as `reshape` does."""
    from scipy.ndimage import affine_transform  # here, since it takes a quarter of a second, and few pictures are turned

    cosine, sine = math.cos(angle) / factor, math.sin(angle) / factor
    back = np.array([[cosine, -sine], [sine, cosine]])  # from (y, x) there to (y, x) here
    centre = (np.array(image.shape) - 1) / 2
    turned = affine_transform(image.astype(np.float64), back, centre - back @ centre, order=1, mode="grid-constant")
    rounded: NDArray[np.uint8] = turned.round().astype(np.uint8)
    return rounded

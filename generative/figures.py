"""Pictures of what models of pictures do: samples, how they are drawn, reconstructions, ways between them, what a step tells."""

from __future__ import annotations

from pathlib import Path

import matplotlib as mpl
import numpy as np
import torch
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from torch import Tensor

from attention_core.curves import STYLE
from attention_core.files import write_atomically
from attention_core.pictures import check_gif, save_figure, write_gif
from attention_env.classification import make_environment, show
from generative.config import ReaderConfig
from generative.draw import DRAW, Look
from generative.filterbank import Window
from generative.latent import LatentModel
from generative.likelihood import Bound, draw_noise
from generative.pictures import Batch, Pictures
from generative.recogniser import Reader

GAP = 2
GAP_COLOUR = (70, 74, 90)
READ_COLOUR = (80, 200, 120)
WRITE_COLOUR = (240, 90, 70)
SIDE, READING_SIDE = 84, 200
"""Pixels along the longer side of a picture: of those that are made, and of those that are only read."""
MOVING = 64
"""Most pictures in a GIF of how they are drawn."""


def to_image(pictures: Tensor, columns: int, side: int) -> Image.Image:
    """Lay pictures out on a grid, row by row.

    Args:
        pictures: (n, C, H, W) in [0, 1]; C is 1 or 3.
        columns: pictures in a row.
        side: pixels along the longer side of each, enlarged without smoothing.
    """
    count, _, height, width = pictures.shape
    factor = max(1, side // max(height, width))
    rows = -(-count // columns)
    step_x, step_y = width * factor + GAP, height * factor + GAP
    grid = Image.new("RGB", (columns * step_x + GAP, rows * step_y + GAP), GAP_COLOUR)
    for place, picture in enumerate(_bytes(pictures)):
        enlarged = Image.fromarray(picture).resize((width * factor, height * factor), Image.Resampling.NEAREST)
        grid.paste(enlarged, (GAP + place % columns * step_x, GAP + place // columns * step_y))
    return grid


def _bytes(pictures: Tensor) -> NDArray[np.uint8]:
    """(n, C, H, W) in [0, 1] as (n, H, W, 3) of bytes."""
    coloured = pictures.detach().cpu().clamp(0, 1).expand(-1, 3, -1, -1)
    return (coloured.permute(0, 2, 3, 1) * 255).round().to(torch.uint8).contiguous().numpy()


def save_image(image: Image.Image, path: Path) -> Path:
    """Write a picture as PNG, whole or not at all; return its place."""
    write_atomically(path, lambda temporary: image.save(temporary, format="PNG"))
    return path


def mark_windows(
    image: Image.Image, window: Window, shape: tuple[int, int, int], size: int, columns: int, colour: tuple[int, int, int]
) -> None:
    """Draw windows onto a grid of pictures: each frame runs through the outermost filters, the thicker the wider they are.

    Args:
        image: from `to_image`, drawn upon.
        window: one for each picture.
        shape: of a picture, (C, H, W).
        size: N.
        columns: pictures in a row.
        colour: of the frames.
    """
    _, height, width = shape
    factor = (image.width - GAP) // columns // width
    draw = ImageDraw.Draw(image)
    for place, (x, y, stride, deviation) in enumerate(zip(*(part.tolist() for part in window[:4]), strict=True)):
        left, top = GAP + place % columns * (width * factor + GAP), GAP + place // columns * (height * factor + GAP)
        reach = (size - 1) / 2 * stride

        def inside(value: float, start: int, length: int) -> float:
            # The middle of pixel 1 lies half a pixel from the edge.
            return start + min(max((value - 0.5) * factor, 0), length * factor - 1)

        box = (
            inside(x - reach, left, width),
            inside(y - reach, top, height),
            inside(x + reach, left, width),
            inside(y + reach, top, height),
        )
        draw.rectangle(box, outline=colour, width=round(min(max(deviation * factor / 4, 1), 4)))


@torch.no_grad()
def write_samples(model: LatentModel, folder: Path, count: int, seed: int, label: int | None) -> list[Path]:
    """Write samples as a grid, `samples.png`, and how DRAW draws the first of them, `drawing.gif`, with its window.

    Args:
        model: in evaluation mode.
        folder: where to.
        count: how many, at least 1.
        seed: of the latent variables.
        label: the class wanted of a model that makes pictures by class; None for all of them in turn.

    Returns:
        The files' places.

    Raises:
        ValueError: if the model knows of no such class, or there is nothing to make.
    """
    if count < 1:
        raise ValueError(f"at least one picture can be made, got {count}")
    device = next(model.parameters()).device
    generator = torch.Generator(device).manual_seed(seed)
    labels = None
    if label is not None:
        if model.classes and not 0 <= label < model.classes:
            raise ValueError(f"label must be within 0 … {model.classes - 1}, got {label}")
        labels = torch.full((count,), label, device=device)
    elif model.classes:
        labels = torch.arange(count, device=device) % model.classes
    latents = draw_noise(model, count, generator)
    columns = -(-count // max(1, round(count**0.5)))
    if not isinstance(model, DRAW):
        canvas = model.generate(latents, labels)[-1]
        return [save_image(to_image(model.output.mean(canvas), columns, SIDE), folder / "samples.png")]
    looks = model.imagine(latents, labels)
    samples = to_image(model.output.mean(looks[-1].canvas), columns, SIDE)
    shown, side_by_side = [_first(look, MOVING) for look in looks], min(columns, 8)
    return [
        save_image(samples, folder / "samples.png"),
        _write_process(model, shown, folder / "drawing.gif", side_by_side),
    ]


def _first(look: Look, count: int) -> Look:
    """Keep the first few pictures of a step."""
    write = None if look.write is None else Window(*(part[:count] for part in look.write))
    return Look(look.canvas[:count], None, write)


def _write_process(model: DRAW, looks: list[Look], path: Path, columns: int, beside: Tensor | None = None) -> Path:
    """Write what each step did as a GIF; of pictures that were looked at (`beside`), the window that was read through as well."""
    frames = []
    for look in looks:
        image = to_image(model.output.mean(look.canvas), columns, SIDE)
        if look.write is not None:
            mark_windows(image, look.write, model.shape, model.write_size, columns, WRITE_COLOUR)
        if beside is not None:
            seen = to_image(beside, columns, SIDE)
            if look.read is not None:
                mark_windows(seen, look.read, model.shape, model.read_size, columns, READ_COLOUR)
            image = _below(seen, image)
        frames.append(image)
    plain = to_image(model.output.mean(looks[-1].canvas), columns, SIDE)
    frames.append(plain if beside is None else _below(to_image(beside, columns, SIDE), plain))
    write_gif([frames], path, milliseconds=120, last=3000)
    return path


def _below(first: Image.Image, second: Image.Image) -> Image.Image:
    both = Image.new("RGB", (first.width, first.height + second.height), GAP_COLOUR)
    both.paste(first, (0, 0))
    both.paste(second, (0, first.height))
    return both


@torch.no_grad()
def write_reconstructions(model: LatentModel, pictures: Pictures, folder: Path, count: int, seed: int) -> list[Path]:
    """Write pictures above what the model makes of them, `reconstructions.png`, and of DRAW how it looks and draws, `reading.gif`.

    Args:
        model: in evaluation mode.
        pictures: of which split.
        folder: where to.
        count: how many.
        seed: which of them, and of the latent variables.

    Returns:
        The files' places.

    Raises:
        ValueError: if there are not so many pictures.
    """
    batch, generator = choose(pictures, count, seed)
    noise = draw_noise(model, count, generator)
    model.check(*batch)
    if not isinstance(model, DRAW):
        canvas = model(batch.pictures, noise, batch.labels).canvas
    else:
        inferred, looks = model.watch(batch.pictures, noise, batch.labels)
        canvas = inferred.canvas
    both = torch.cat((batch.pictures, model.output.mean(canvas)))
    written = [save_image(to_image(both, count, SIDE), folder / "reconstructions.png")]
    if isinstance(model, DRAW):
        written.append(_write_process(model, looks, folder / "reading.gif", count, batch.pictures))
    return written


@torch.no_grad()
def write_interpolation(model: LatentModel, pictures: Pictures, folder: Path, steps: int, seed: int) -> list[Path]:
    """Write the way from one picture to another, five times, `interpolation.png`: means of latent variables, mixed and decoded.

    Of a model that makes pictures by class, all on a way are made by the class of the first.

    Args:
        model: in evaluation mode.
        pictures: of which split.
        folder: where to.
        steps: pictures on the way, both ends included, at least 2.
        seed: which pictures.

    Returns:
        The file's place.

    Raises:
        ValueError: if there are fewer than 2 steps.
    """
    if steps < 2:
        raise ValueError(f"from one picture to another there are at least 2 steps, got {steps}")
    ways = min(5, len(pictures) // 2)
    batch, generator = choose(pictures, 2 * ways, seed)
    model.check(*batch)
    latents = model(batch.pictures, torch.zeros_like(draw_noise(model, 2 * ways, generator)), batch.labels).latents  # (T, 2w, Z)
    start, end = latents[:, :ways], latents[:, ways:]
    labels = None if batch.labels is None else batch.labels[:ways]
    mixed = [model.generate(torch.lerp(start, end, share), labels)[-1] for share in torch.linspace(0, 1, steps).tolist()]
    grid = model.output.mean(torch.stack(mixed, 1).flatten(0, 1))  # (w · steps, C, H, W)
    return [save_image(to_image(grid, steps, SIDE), folder / "interpolation.png")]


def write_divergences(bound: Bound, path: Path) -> Path:
    """Draw how many nats each step tells of a picture, its mean KL divergence, as bars; return the picture's place."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(7, 2.75), layout="constrained")
        axes = figure.subplots()
        steps = np.arange(1, len(bound.divergences) + 1)
        axes.bar(steps, bound.divergences)
        axes.set_xlabel("step")
        axes.set_ylabel("KL divergence in nats")
        axes.set_title(f"what each step tells: {sum(bound.divergences):.1f} nats in all, of {bound.nats:.1f}")
        save_figure(figure, path, 120)
    return path


def choose(pictures: Pictures, count: int, seed: int) -> tuple[Batch, torch.Generator]:
    """Choose some pictures by chance; return them, and the generator for what comes after.

    Raises:
        ValueError: if there are not so many.
    """
    if not 1 <= count <= len(pictures):
        raise ValueError(f"between 1 and {len(pictures)} pictures can be shown, got {count}")
    device = pictures.images.device
    generator = torch.Generator(device).manual_seed(seed)
    index = np.random.default_rng(seed).choice(len(pictures), count, replace=False)
    return pictures.show(torch.from_numpy(index).to(device), pictures.chance(count, generator)), generator


@torch.no_grad()
def write_reading(model: Reader, config: ReaderConfig, path: Path, split: str, count: int, seed: int) -> list[int]:
    """Write how a reader looks at pictures of an environment as a GIF: its window on each, frame by frame.

    Args:
        model: in evaluation mode.
        config: its settings.
        path: the GIF's place.
        split: which pictures.
        count: how many.
        seed: which of them.

    Returns:
        What it names them.

    Raises:
        ValueError: if there are not so many pictures, or the place is not named as a GIF's.
    """
    check_gif(path)
    device = next(model.parameters()).device
    known = len(make_environment(config, device, 1, split).pictures)
    if not 1 <= count <= known:
        raise ValueError(f"between 1 and {known} pictures can be shown, got {count}")
    index = np.random.default_rng(seed).choice(known, count, replace=False)
    pictures, labels = show(make_environment(config, device, count, split), index)
    scores, windows = model.watch(pictures)
    columns = -(-count // max(1, round(count**0.5 / 1.4)))
    frames = []
    for window, answers in zip(windows, scores, strict=True):
        image = to_image(pictures, columns, READING_SIDE)
        mark_windows(image, window, model.shape, model.size, columns, READ_COLOUR)
        _write_answers(image, answers.softmax(-1), labels, columns)
        frames.append(image)
    write_gif([frames], path, milliseconds=600, last=2500)
    named: list[int] = scores[-1].argmax(-1).tolist()
    return named


def _write_answers(image: Image.Image, probabilities: Tensor, labels: Tensor, columns: int) -> None:
    """Write the likeliest class and its probability onto each picture, green where it is the true one."""
    draw = ImageDraw.Draw(image)
    step = (image.width - GAP) // columns
    for place, (row, label) in enumerate(zip(probabilities, labels.tolist(), strict=True)):
        named = int(row.argmax())
        corner = (GAP + place % columns * step + 6, GAP + place // columns * step + 4)
        draw.text(corner, f"{named}  {row[named]:.0%}", fill=READ_COLOUR if named == label else WRITE_COLOUR, font_size=14)

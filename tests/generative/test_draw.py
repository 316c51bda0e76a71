"""DRAW equals its equations 3 to 8, unrolled from its own weights, and draws the same without its encoder."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import pytest
import torch
from loops import Loop, linear_by_loop, lstm_by_loop, randomise, read_by_loop, sigmoid, write_by_loop
from torch import Tensor, nn

from attention_core.lstm import LSTMCell
from generative.config import DRAWConfig
from generative.draw import DRAW
from generative.filterbank import even_numbers, make_window, write

HEIGHT, WIDTH = 4, 6
STEPS, COUNT = 3, 2


def make(attention: bool = True, channels: int = 1, classes: int = 0, steps: int = STEPS, output: str = "bernoulli") -> DRAW:
    """Make a model whose sizes all differ."""
    config = DRAWConfig(steps=steps, hidden=7, latents=5, attention=attention, read_size=2, write_size=3, output=output)
    model = DRAW((channels, HEIGHT, WIDTH), config, classes)
    randomise(model)
    return model


def draw(channels: int = 1, steps: int = STEPS) -> tuple[Tensor, Tensor]:
    """Draw black and white pictures, and noise."""
    generator = torch.Generator().manual_seed(channels)
    pictures = torch.randint(2, (COUNT, channels, HEIGHT, WIDTH), generator=generator).float()
    return pictures, torch.randn(steps, COUNT, 5, generator=generator)


LABELS = torch.tensor([2, 0])
MODELS = pytest.mark.parametrize(
    ("attention", "channels", "classes"), [(True, 1, 0), (True, 3, 0), (True, 1, 3), (False, 1, 0), (False, 3, 3)]
)


class Unrolled(NamedTuple):
    """What the equations give for one picture: every canvas, μ_t and log σ_t, and the numbers of the windows in use."""

    canvases: list[Loop]
    means: list[Loop]
    log_deviations: list[Loop]
    reads: list[Loop]
    writes: list[Loop]


def whole_encoder(model: DRAW) -> LSTMCell:
    """Give the cell of equation 5, which sees all of r_t; without attention the model keeps what it makes of x apart."""
    if model.picture is None:
        return model.encoder
    cell = LSTMCell(model.pixels + model.encoder.gates.in_features - model.encoder.units, model.encoder.units)
    with torch.no_grad():
        cell.gates.weight.copy_(torch.cat((model.picture.weight, model.encoder.gates.weight), 1))
        cell.gates.bias.copy_(model.encoder.gates.bias)
    return cell


def unroll(model: DRAW, picture: Loop, noise: Loop, one_hot: Loop) -> Unrolled:
    """Look at one picture and draw it, equation by equation."""
    first = model.first_states.detach().double().numpy()
    encoder, decoder = (first[0], first[1]), (first[2], first[3])
    canvas = model.first_canvas.detach().double().numpy()
    channels, height, width = picture.shape
    found = Unrolled([], [], [], [], [])
    cell = whole_encoder(model)
    for chance in noise:
        missing = picture - sigmoid(canvas)  # (3)
        both = [picture, missing]
        numbers = linear_by_loop(model.heads, decoder[0])
        if model.attention:
            found.reads.append(numbers[:5])
            both = [read_by_loop(seen, numbers[:5], model.read_size) for seen in both]
        glimpse = np.concatenate([seen.ravel() for seen in both])  # (4)
        encoder = lstm_by_loop(cell, np.concatenate((glimpse, decoder[0], one_hot)), *encoder)  # (5)
        mean, log_deviation = np.split(linear_by_loop(model.posterior, encoder[0]), 2)  # (1) and (2)
        latents = mean + np.exp(log_deviation) * chance  # (6)
        decoder = lstm_by_loop(model.decoder, np.concatenate((latents, one_hot)), *decoder)  # (7)
        numbers = linear_by_loop(model.heads, decoder[0])
        if model.attention:
            found.writes.append(numbers[5:10])
            patch = numbers[10:].reshape(channels, model.write_size, model.write_size)
            canvas = canvas + write_by_loop(patch, numbers[5:10], height, width)  # (8)
        else:
            canvas = canvas + numbers.reshape(picture.shape)
        found.canvases.append(canvas)
        found.means.append(mean)
        found.log_deviations.append(log_deviation)
    return found


def unroll_all(model: DRAW, pictures: Tensor, noise: Tensor, labels: Tensor | None) -> list[Unrolled]:
    classes = np.eye(model.classes)
    return [
        unroll(
            model,
            pictures[row].double().numpy(),
            noise[:, row].double().numpy(),
            np.zeros(0) if labels is None else classes[int(labels[row])],
        )
        for row in range(len(pictures))
    ]


def assert_equals_loop(found: Tensor, right: list[Loop]) -> None:
    torch.testing.assert_close(found, torch.from_numpy(np.stack(right)).float(), rtol=1e-3, atol=1e-4)


def test_cell_is_that_of_pytorch() -> None:
    cell, right = LSTMCell(5, 3), nn.LSTMCell(5, 3)
    randomise(cell)
    weight, bias = cell.gates.weight.detach(), cell.gates.bias.detach()
    order = torch.cat([torch.arange(3 * gate, 3 * gate + 3) for gate in (0, 1, 3, 2)])  # PyTorch's output gate comes last
    with torch.no_grad():
        right.weight_ih.copy_(weight[order, :5])
        right.weight_hh.copy_(weight[order, 5:])
        right.bias_ih.copy_(bias[order])
        right.bias_hh.zero_()
    generator = torch.Generator().manual_seed(1)
    inputs, hidden, memory = (torch.randn(4, size, generator=generator) for size in (5, 3, 3))
    found = cell((inputs[:, :2], inputs[:, 2:]), (hidden, memory))
    for values, expected in zip(found, right(inputs, (hidden, memory)), strict=True):
        torch.testing.assert_close(values, expected)


def test_cell_tries_several_inputs_from_one_state_as_one_after_the_other() -> None:
    cell = LSTMCell(5, 3)
    randomise(cell)
    generator = torch.Generator().manual_seed(1)
    alike, own = torch.randn(4, 1, 2, generator=generator), torch.randn(4, 6, 3, generator=generator)
    state = torch.randn(4, 3, generator=generator), torch.randn(4, 3, generator=generator)
    found = cell((alike, own), state)
    for which in range(6):
        for values, expected in zip(found, cell((alike[:, 0], own[:, which]), state), strict=True):
            torch.testing.assert_close(values[:, which], expected)


def test_cell_keeps_its_state_in_single_precision_under_half() -> None:
    cell = LSTMCell(5, 3)
    randomise(cell)
    state = torch.zeros(4, 3), torch.zeros(4, 3)
    with torch.autocast("cpu", torch.bfloat16):
        found = cell((torch.ones(4, 5),), state)
    assert [values.dtype for values in found] == [torch.float32, torch.float32]
    # The gates themselves are computed from the rounded product, but not rounded again.
    assert not any(torch.equal(values, values.bfloat16().float()) for values in found)


@MODELS
def test_inference_equals_the_unrolled_equations(attention: bool, channels: int, classes: int) -> None:
    model = make(attention, channels, classes)
    pictures, noise = draw(channels)
    labels = LABELS if classes else None
    inferred, looks = model.watch(pictures, noise, labels)
    assert inferred.canvas.shape == pictures.shape
    assert inferred.means.shape == inferred.log_deviations.shape == (STEPS, COUNT, 5)
    assert len(looks) == STEPS
    assert torch.equal(looks[-1].canvas, inferred.canvas)
    for row, right in enumerate(unroll_all(model, pictures, noise, labels)):
        assert_equals_loop(inferred.means[:, row], right.means)
        assert_equals_loop(inferred.log_deviations[:, row], right.log_deviations)
        assert_equals_loop(torch.stack([look.canvas[row] for look in looks]), right.canvases)
    assert inferred.log_deviations.abs().max() > 0.1, "this model could not tell σ from 1"


def test_windows_that_are_watched_are_those_in_use() -> None:
    model = make()
    pictures, noise = draw()
    looks = model.watch(pictures, noise, None)[1]
    for row, right in enumerate(unroll_all(model, pictures, noise, None)):
        for step, look in enumerate(looks):
            for window, numbers, size in ((look.read, right.reads[step], 2), (look.write, right.writes[step], 3)):
                assert window is not None
                x, y, log_variance, log_stride, log_intensity = numbers
                expected = [
                    (WIDTH + 1) / 2 * (x + 1),
                    (HEIGHT + 1) / 2 * (y + 1),
                    (WIDTH - 1) / (size - 1) * math.exp(log_stride),
                    math.exp(log_variance / 2),
                    math.exp(log_intensity),
                ]
                assert [values[row].item() for values in window] == pytest.approx(expected, rel=1e-3)


def test_watching_changes_nothing() -> None:
    model = make()
    pictures, noise = draw()
    inferred, looks = model.watch(pictures, noise)
    assert torch.equal(model(pictures, noise).canvas, inferred.canvas)
    assert torch.equal(looks[-1].canvas, inferred.canvas)
    without = make(attention=False)
    assert all(look.read is None and look.write is None for look in without.watch(pictures, noise, None)[1])


@MODELS
def test_generating_from_the_latents_of_an_inference_gives_its_canvases(attention: bool, channels: int, classes: int) -> None:
    model = make(attention, channels, classes)
    pictures, noise = draw(channels)
    labels = LABELS if classes else None
    inferred, looks = model.watch(pictures, noise, labels)
    made = model.generate(inferred.latents, labels)
    assert made.shape == (STEPS, *pictures.shape)
    torch.testing.assert_close(made, torch.stack([look.canvas for look in looks]), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(made[-1], inferred.canvas, rtol=1e-4, atol=1e-5)
    imagined = model.imagine(inferred.latents, labels)
    for look, seen in zip(imagined, looks, strict=True):
        assert look.read is None
        assert (look.write is None) == (not attention)
        if look.write is not None and seen.write is not None:
            for found, expected in zip(look.write, seen.write, strict=True):
                torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("attention", [True, False])
def test_the_decoder_alone_generates(attention: bool) -> None:
    model = make(attention)
    _, latents = draw()
    before = model.generate(latents)
    with torch.no_grad():
        for parameter in (*model.encoder.parameters(), *model.posterior.parameters()):
            parameter.fill_(math.nan)
        model.first_states[:2] = math.nan  # those of the encoder
    assert before.isfinite().all()
    assert torch.equal(model.generate(latents), before)


@pytest.mark.parametrize("attention", [True, False])
def test_every_step_has_noise_of_its_own(attention: bool) -> None:
    model = make(attention, steps=4)
    pictures, noise = draw(steps=4)
    before = model.watch(pictures, noise, None)
    for changed in range(4):
        other = noise.clone()
        other[changed] += 1
        after = model.watch(pictures, other, None)
        for step in range(4):
            same = [
                torch.equal(before[0].means[step], after[0].means[step]),
                torch.equal(before[1][step].canvas, after[1][step].canvas),
            ]
            # What is drawn in a step shows on its canvas, and the encoder sees it in the next.
            assert same == [step <= changed, step < changed]
    made = model.generate(noise)
    for changed in range(4):
        other = noise.clone()
        other[changed] += 1
        assert [torch.equal(*pair) for pair in zip(made, model.generate(other), strict=True)] == [s < changed for s in range(4)]


def test_class_reaches_the_encoder_and_the_decoder() -> None:
    model = make(classes=3)
    pictures, noise = draw()
    inferences = [model(pictures, noise, torch.full((COUNT,), label)) for label in (0, 1)]
    assert not torch.allclose(inferences[0].means[0], inferences[1].means[0])
    made = [model.generate(noise, torch.full((COUNT,), label)) for label in (0, 1)]
    assert not torch.allclose(made[0][0], made[1][0])


@pytest.mark.parametrize("attention", [True, False])
@pytest.mark.parametrize("output", ["bernoulli", "gaussian", "logistic"])
def test_the_bound_has_a_gradient_in_every_parameter(output: str, attention: bool) -> None:
    model = make(attention, channels=3, classes=3, output=output)
    pictures, noise = draw(3)
    inferred = model(pictures, noise, LABELS)
    bound = model.output.log_probability(pictures, inferred.canvas) - inferred.divergences.sum(0)
    bound.mean().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.abs().max() > 0, name


def test_first_states_and_canvas_are_learned_all_of_them() -> None:
    model = make()
    pictures, noise = draw()
    inferred = model(pictures, noise)
    (model.output.log_probability(pictures, inferred.canvas) - inferred.divergences.sum(0)).mean().backward()
    assert model.first_states.grad is not None
    assert model.first_canvas.grad is not None
    assert (model.first_states.grad != 0).all(1).all()  # h and c of the encoder and of the decoder
    assert (model.first_canvas.grad != 0).all()


def test_gradient_of_the_first_canvas_is_that_of_the_unrolled_equations() -> None:
    model = make()
    pictures, noise = draw()
    model(pictures, noise).canvas[0].sum().backward()
    assert model.first_canvas.grad is not None
    for place in ((0, 0, 0), (0, 2, 5)):
        ends = []
        for step in (1e-2, -2e-2):
            with torch.no_grad():
                model.first_canvas[place] += step
            ends.append(unroll_all(model, pictures[:1], noise[:, :1], None)[0].canvases[-1].sum())
        with torch.no_grad():
            model.first_canvas[place] += 1e-2
        assert model.first_canvas.grad[place].item() == pytest.approx((ends[0] - ends[1]) / 2e-2, rel=1e-2)


@pytest.mark.parametrize("attention", [True, False])
def test_more_steps_need_no_more_parameters(attention: bool) -> None:
    one, many = make(attention, steps=1), make(attention, steps=9)
    shapes = [{name: tuple(values.shape) for name, values in model.state_dict().items()} for model in (one, many)]
    assert shapes[0] == shapes[1]
    assert (one.steps, many.steps) == (1, 9)


@pytest.mark.parametrize(("read_size", "write_size"), [(5, 2), (2, 5)])
def test_windows_of_more_filters_than_pixels_are_refused(read_size: int, write_size: int) -> None:
    config = DRAWConfig(hidden=3, latents=2, read_size=read_size, write_size=write_size)
    with pytest.raises(ValueError, match="window of 5×5 filters cannot be laid over a picture of 4×6"):
        DRAW((1, HEIGHT, WIDTH), config)
    DRAW((1, HEIGHT, WIDTH), DRAWConfig(hidden=3, latents=2, attention=False, read_size=read_size, write_size=write_size))


@pytest.mark.parametrize("name", ["read_size", "write_size"])
def test_a_single_filter_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match=f"{name} must be at least 2, got 1"):
        DRAWConfig(**{name: 1})


def test_published_model_has_the_layers_of_the_papers_table() -> None:
    model = DRAW((1, 28, 28), DRAWConfig())
    assert (model.steps, model.latents, model.read_size, model.write_size) == (64, 100, 2, 5)
    assert model.encoder.gates.weight.shape == (4 * 256, 2 * 2 * 2 + 256 + 256)
    assert model.decoder.gates.weight.shape == (4 * 256, 100 + 256)
    assert model.heads.weight.shape == (5 + 5 + 5 * 5, 256)


@pytest.mark.parametrize("attention", [True, False])
def test_half_precision_around_it_leaves_canvas_and_exponentials_in_single(attention: bool) -> None:
    model = make(attention)
    pictures, noise = draw()
    with torch.autocast("cpu", torch.bfloat16):
        inferred = model(pictures, noise)
        made = model.generate(inferred.latents)
    for values in (*inferred, made, inferred.latents, inferred.divergences):
        assert values.dtype == torch.float32
    alone = model(pictures, noise)
    torch.testing.assert_close(inferred.canvas, alone.canvas, rtol=0.1, atol=0.1)
    assert not torch.equal(inferred.canvas, alone.canvas), "half precision was not in force"


def test_untrained_windows_share_the_picture_evenly() -> None:
    model = DRAW((1, 28, 28), DRAWConfig(steps=1, hidden=8, latents=2))
    with torch.no_grad():
        model.heads.weight.zero_()
    _, looks = model.watch(torch.zeros(1, 1, 28, 28), torch.zeros(1, 1, 2))
    read_through, write_through = looks[0].read, looks[0].write
    assert read_through is not None
    assert write_through is not None
    assert read_through.stride.item() == pytest.approx(28 / 2)
    assert write_through.stride.item() == pytest.approx(28 / 5)
    writing = [*even_numbers(5, 28, 28)[:4], math.log(25 / 784)]
    assert model.heads.bias[:10].tolist() == pytest.approx([*even_numbers(2, 28, 28), *writing])


def test_an_even_patch_is_at_first_written_as_bright_as_it_is() -> None:
    writing = torch.tensor([[*even_numbers(5, 28, 28)[:4], math.log(25 / 784)]])
    written = write(torch.ones(1, 1, 5, 5), make_window(writing, 5, 28, 28), 28, 28)
    assert written.mean().item() == pytest.approx(1, abs=0.01)
    assert written[0, 0, 8:20, 8:20].mean().item() == pytest.approx(1, abs=0.1)

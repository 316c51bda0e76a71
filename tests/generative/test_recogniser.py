"""DRAW's eye as a recogniser equals a loop over its own weights; where it looks is learned by plain gradients."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
import torch
from loops import linear_by_loop, lstm_by_loop, randomise, read_by_loop
from torch import Tensor, nn

from generative.config import ReaderConfig
from generative.filterbank import filterbanks
from generative.recogniser import Reader, answer_loss

HEIGHT, WIDTH, CLASSES, GLIMPSES = 6, 5, 3, 3


def make(channels: int = 1, glimpses: int = GLIMPSES, size: int = 2, blocks: int = 2, window_clip: float = math.inf) -> Reader:
    """Make a reader whose sizes all differ."""
    config = ReaderConfig(glimpses=glimpses, size=size, glimpse_width=8, glimpse_blocks=blocks, hidden=7, window_clip=window_clip)
    reader = Reader((channels, HEIGHT, WIDTH), CLASSES, config)
    randomise(reader)
    return reader


def draw(channels: int = 1, count: int = 4) -> Tensor:
    return torch.rand(count, channels, HEIGHT, WIDTH, generator=torch.Generator().manual_seed(channels))


@pytest.mark.parametrize("channels", [1, 3])
def test_reading_equals_the_loop(channels: int) -> None:
    reader, pictures = make(channels), draw(channels)
    scores, windows = reader.watch(pictures)
    assert scores.shape == (GLIMPSES, 4, CLASSES)
    assert len(windows) == GLIMPSES
    assert torch.equal(reader(pictures), scores)
    for row, picture in enumerate(pictures.double().numpy()):
        hidden, memory = reader.first_states.detach().double().numpy()
        for step in range(GLIMPSES):
            numbers = linear_by_loop(reader.window, hidden)
            seen = read_by_loop(picture, numbers, 2).ravel()
            glimpse = np.maximum(linear_by_loop(reader.glimpse, np.concatenate((seen, numbers))), 0)
            for block in reader.blocks:
                glimpse = glimpse + linear_by_loop(block.outer, np.maximum(linear_by_loop(block.inner, glimpse), 0))
            hidden, memory = lstm_by_loop(reader.core, glimpse, hidden, memory)
            right = linear_by_loop(reader.scores, hidden)
            torch.testing.assert_close(scores[step, row], torch.from_numpy(right).float(), rtol=1e-3, atol=1e-4)
            window = windows[step]
            assert window.x[row].item() == pytest.approx((WIDTH + 1) / 2 * (numbers[0] + 1), rel=1e-3)
            assert window.y[row].item() == pytest.approx((HEIGHT + 1) / 2 * (numbers[1] + 1), rel=1e-3)
            assert window.stride[row].item() == pytest.approx(5 * math.exp(numbers[3]), rel=1e-3)


def test_the_first_window_is_the_same_for_all_and_later_ones_are_not() -> None:
    _, windows = make().watch(draw())
    for values in windows[0]:
        assert len(values.unique()) == 1
    for values in windows[1]:
        assert len(values.unique()) == 4


@pytest.mark.parametrize(("shape", "size"), [((1, 100, 100), 12), ((1, 60, 60), 12), ((3, 40, 28), 4)])
def test_an_untrained_window_covers_the_picture(shape: tuple[int, int, int], size: int) -> None:
    reader = Reader(shape, CLASSES, ReaderConfig(size=size, glimpses=1))
    window = reader.watch(torch.zeros(1, *shape))[1][0]
    height, width = shape[1:]
    assert window.x.item() == pytest.approx((width + 1) / 2)
    assert window.y.item() == pytest.approx((height + 1) / 2)
    assert window.stride.item() == pytest.approx(max(height, width) / size)
    assert window.deviation.item() == pytest.approx(window.stride.item() / 2, rel=1e-5)
    assert window.intensity.item() == 1
    # No pixel of the longer side falls between two filters, and none is looked at much more than others.
    share = filterbanks(window, size, height, width)[0 if height >= width else 1][0].sum(0)
    assert share.min() > share.median() / 2
    assert share.max() < 1.2 * share.median()


def test_windows_of_untrained_readers_stay_near_the_first_one() -> None:
    torch.manual_seed(0)
    reader = Reader((1, 40, 40), CLASSES, ReaderConfig(size=4, glimpses=6))
    windows = reader.watch(torch.rand(3, 1, 40, 40))[1]
    for window in windows:
        assert ((window.x - 20.5).abs() < 0.1).all()
        assert ((window.stride / 10).log().abs() < 0.005).all()


def test_gradients_reach_the_window_and_every_other_parameter() -> None:
    reader = make(channels=3)
    answer_loss(reader(draw(3)), torch.tensor([0, 2, 1, 2]), 0.0).backward()
    for name, parameter in reader.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.abs().max() > 0, name
    assert reader.window.bias.grad is not None
    assert reader.window.weight.grad is not None
    assert reader.first_states.grad is not None
    assert (reader.window.bias.grad != 0).all()  # place, width, stride and intensity
    assert (reader.window.weight.grad != 0).all(1).all()
    assert (reader.first_states.grad != 0).any(1).all()


def test_gradient_of_the_window_is_the_slope_of_the_loss() -> None:
    reader, pictures, labels = make(), draw(), torch.tensor([0, 2, 1, 2])
    answer_loss(reader(pictures), labels, 0.3).backward()
    assert reader.window.bias.grad is not None
    for number in range(5):
        losses = []
        for step in (1e-2, -2e-2):
            with torch.no_grad():
                reader.window.bias[number] += step
                losses.append(answer_loss(reader(pictures), labels, 0.3).item())
        with torch.no_grad():
            reader.window.bias[number] += 1e-2
        slope = (losses[0] - losses[1]) / 2e-2
        assert reader.window.bias.grad[number].item() == pytest.approx(slope, rel=0.03, abs=1e-4)


def gradients_at_windows(window_clip: float) -> tuple[Reader, Tensor]:
    """Give a reader after a backward pass, and the gradients at its windows, (T, 4, 5), before it shortens them."""
    reader, found = make(window_clip=window_clip), list[Tensor]()

    def watch(layer: nn.Module, inputs: tuple[Tensor, ...], numbers: Tensor) -> None:
        # Hooks see what those before them have left: this one comes before the reader's own, and sees gradients of full length.
        numbers.register_hook(lambda gradient: found.append(gradient.detach()))

    reader.window.register_forward_hook(watch)
    answer_loss(reader(draw()), torch.tensor([0, 2, 1, 2]), 0.3).backward()
    return reader, torch.stack(found)


def test_a_picture_alone_cannot_outweigh_the_others_at_a_window() -> None:
    _, free = gradients_at_windows(math.inf)
    clip = 4 * free.norm(dim=-1).median().item()  # the losses are averaged over four pictures
    reader, found = gradients_at_windows(clip)
    norms = 4 * found.norm(dim=-1, keepdim=True)
    assert (norms > clip).any()
    assert (norms < clip).any()
    shortened = found * (clip / norms).clamp(max=1)
    assert reader.window.bias.grad is not None
    torch.testing.assert_close(reader.window.bias.grad, shortened.sum((0, 1)))


def test_blocks_change_nothing_at_first() -> None:
    torch.manual_seed(0)
    config = ReaderConfig(glimpses=3, size=2, glimpse_width=8, glimpse_blocks=2, hidden=7)
    deep, plain = (Reader((1, HEIGHT, WIDTH), CLASSES, dataclasses.replace(config, glimpse_blocks=blocks)) for blocks in (2, 0))
    deep.load_state_dict(plain.state_dict(), strict=False)
    assert torch.equal(deep(draw()), plain(draw()))


def test_a_window_beside_what_is_to_be_seen_is_drawn_to_it() -> None:
    # One bright spot, and a loss that wants to see bright: where to look follows by gradients through the picture alone.
    spot = torch.zeros(1, 1, HEIGHT, WIDTH)
    spot[0, 0, 4, 1] = 1.0  # the second pixel of the fifth row
    reader = make(glimpses=1)
    with torch.no_grad():
        reader.window.weight.zero_()
        reader.window.bias.copy_(torch.tensor([0.0, 0.0, 0.0, -2.0, 0.0]))
        reader.glimpse.weight.zero_()
        reader.glimpse.weight[:, :4] = 1.0
        reader.core.gates.weight.abs_()
        reader.scores.weight.zero_()
        reader.scores.weight[1] = 1.0
    answer_loss(reader(spot), torch.tensor([1]), 0.0).backward()
    assert reader.window.bias.grad is not None
    right, down = (-reader.window.bias.grad[:2]).tolist()
    assert right < 0 < down


def test_answer_loss_by_hand() -> None:
    scores = torch.tensor([[[1.0, 0.0], [0.0, 2.0]], [[3.0, 0.0], [0.0, 0.0]], [[0.0, 0.5], [1.0, -1.0]]])
    labels = torch.tensor([0, 1])

    def cross_entropy(step: int) -> float:
        errors = []
        for row, label in enumerate(labels.tolist()):
            values = scores[step, row].tolist()
            errors.append(math.log(sum(math.exp(value) for value in values)) - values[label])
        return sum(errors) / len(errors)

    assert answer_loss(scores, labels, 0.0).item() == pytest.approx(cross_entropy(2))
    assert answer_loss(scores, labels, 0.5).item() == pytest.approx(cross_entropy(2) + 0.5 * (cross_entropy(0) + cross_entropy(1)))
    assert answer_loss(scores[:1], labels, 0.5).item() == pytest.approx(cross_entropy(0))


def test_earlier_answers_count_for_nothing_without_a_weight() -> None:
    scores = torch.randn(3, 4, CLASSES, generator=torch.Generator().manual_seed(0), requires_grad=True)
    labels = torch.tensor([0, 1, 2, 0])
    (gradient,) = torch.autograd.grad(answer_loss(scores, labels, 0.0), scores)
    assert gradient[:2].abs().max() == 0
    assert gradient[2].abs().min() > 0


def test_more_glimpses_need_no_more_parameters_and_begin_alike() -> None:
    few, many = make(glimpses=2), make(glimpses=5)
    assert [values.shape for values in few.parameters()] == [values.shape for values in many.parameters()]
    assert torch.equal(few(draw()), many(draw())[:2])


@pytest.mark.parametrize("shape", [(4, 1, WIDTH, HEIGHT), (4, 3, HEIGHT, WIDTH)])
def test_pictures_of_another_shape_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"names pictures of shape \(1, 6, 5\), got"):
        make()(torch.zeros(shape))


def test_windows_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="window of 6×6 filters cannot be laid over a picture of 6×5"):
        make(size=6)
    with pytest.raises(ValueError, match="size must be at least 2, got 1"):
        ReaderConfig(size=1)


def test_half_precision_around_it_leaves_the_window_in_single() -> None:
    reader, pictures = make(), draw()
    with torch.autocast("cpu", torch.bfloat16):
        scores, windows = reader.watch(pictures)
    assert scores.dtype == torch.float32
    assert all(values.dtype == torch.float32 for window in windows for values in window)
    torch.testing.assert_close(scores, reader(pictures), rtol=0.1, atol=0.1)
    assert not torch.equal(scores, reader(pictures)), "half precision was not in force"

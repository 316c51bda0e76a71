"""The formulas of the three kinds of convolution by hand, parameters, and how far a place of the map sees."""

from __future__ import annotations

import dataclasses
import itertools
from typing import Literal

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from ocr.config import ConvolutionConfig
from ocr.recursive_cnn import RecursiveCNN, RecursiveConvolution

Kind = Literal["base", "recursive", "recurrent"]
PLAIN = ConvolutionConfig(channels=(3, 4, 5, 6), batch_norm=False)


def convolve(inputs: Tensor, kernel: Tensor) -> Tensor:
    """A convolution as a loop over places and the kernel's taps."""
    count, _, height, width = inputs.shape
    padded = F.pad(inputs, (1, 1, 1, 1))
    result = torch.zeros(count, len(kernel), height, width)
    for line, column in itertools.product(range(3), range(3)):
        shifted = padded[:, :, line : line + height, column : column + width]
        result += torch.einsum("bchw,dc->bdhw", shifted, kernel[:, :, line, column])
    return result


@pytest.mark.parametrize("iterations", [1, 2, 3])
@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("kind", ["base", "recursive", "recurrent"])
def test_a_pass_is_the_formula(kind: Kind, tied: bool, iterations: int) -> None:
    torch.manual_seed(0)
    config = dataclasses.replace(PLAIN, kind=kind, tied=tied, iterations=iterations)
    convolution = RecursiveConvolution(4, config)
    torch.nn.init.normal_(convolution.rectified.bias)
    inputs = torch.randn(2, 4, 5, 6)
    first = convolution.first.weight
    again = first if convolution.again is None else convolution.again.weight
    assert (convolution.again is None) == (tied or kind == "base")
    bias = convolution.rectified.bias[:, None, None]
    expected = (convolve(inputs, first) + bias).clamp(min=0)
    for _ in range(0 if kind == "base" else iterations):
        fed = convolve(inputs, first) if kind == "recurrent" else 0
        expected = (convolve(expected, again) + fed + bias).clamp(min=0)
    assert torch.allclose(convolution(inputs), expected, atol=1e-5)


@pytest.mark.parametrize("batch_norm", [True, False])
@pytest.mark.parametrize("kind", ["recursive", "recurrent"])
def test_tied_repetition_adds_no_parameters(kind: Kind, batch_norm: bool) -> None:
    def parameters(**changes: object) -> int:
        network = RecursiveCNN(dataclasses.replace(PLAIN, batch_norm=batch_norm, **changes))
        return sum(parameter.numel() for parameter in network.parameters())

    base = parameters(kind="base")
    assert {parameters(kind=kind, tied=True, iterations=times) for times in (1, 2, 3)} == {base}
    own = sum(9 * channels**2 for channels in PLAIN.channels)
    assert {parameters(kind=kind, tied=False, iterations=times) for times in (1, 2, 3)} == {base + own}


@pytest.mark.parametrize("last_pooling", [1, 2])
@pytest.mark.parametrize(("kind", "iterations"), [("base", 1), ("recursive", 1), ("recursive", 2), ("recurrent", 3)])
def test_a_place_sees_as_far_as_is_said(kind: Kind, iterations: int, last_pooling: int) -> None:
    torch.manual_seed(1)
    network = RecursiveCNN(dataclasses.replace(PLAIN, kind=kind, iterations=iterations, last_pooling=last_pooling)).double()
    for kernel in (module for module in network.modules() if isinstance(module, torch.nn.Conv2d)):
        torch.nn.init.uniform_(kernel.weight, 0.01, 0.02)  # so that nothing is rectified away
    lines, columns = network.receptive_field()
    crops = torch.rand(1, 1, 8 * (lines // 4 + 1), 8 * (columns // 4 + 1), dtype=torch.double, requires_grad=True)
    seen = network(crops)
    seen[0, :, seen.shape[2] // 2, seen.shape[3] // 2].sum().backward()
    assert crops.grad is not None
    reached = crops.grad[0, 0] != 0
    # Pooling takes the largest of several, so that some of what can be seen is not, this time.
    high, wide = int(reached.any(1).sum()), int(reached.any(0).sum())
    assert lines - 7 <= high <= lines
    assert columns - 7 <= wide <= columns


def test_the_map_has_the_size_that_is_said() -> None:
    for last_pooling in (1, 2):
        network = RecursiveCNN(dataclasses.replace(PLAIN, last_pooling=last_pooling))
        assert tuple(network(torch.rand(2, 1, 32, 100)).shape[2:]) == network.map_size(32, 100) == (4, 25 // last_pooling)


def test_every_repetition_is_normalised_by_its_own_statistics() -> None:
    torch.manual_seed(2)
    config = dataclasses.replace(PLAIN, tied=True, batch_norm=True)
    convolution = RecursiveConvolution(4, config)
    inputs = torch.randn(64, 4, 5, 6)
    trained = convolution(inputs)
    # Every pass has left a tenth of what it saw.
    assert convolution.rectified.get_buffer("mean").abs().sum(1).min() > 0
    for _ in range(100):
        convolution(inputs)
    assert torch.allclose(convolution.eval()(inputs), trained, atol=0.05)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"kind": "gated"}, "kind='gated'"),
        ({"iterations": 0}, "iterations must be at least 1"),
        ({"channels": (1, 2, 3)}, "channels must be 4 numbers"),
        ({"last_pooling": 3}, "last_pooling must be 1 or 2"),
    ],
)
def test_wrong_settings_are_named(changes: dict[str, object], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        dataclasses.replace(PLAIN, **changes)

"""DRAW's benchmark: the plain loop is the same model, and the script prints its tables."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from test_benchmarks import RATIO, SPREAD, Script, assert_like, tables
from torch import Tensor

from generative.config import DRAWConfig
from generative.draw import DRAW

CONFIG = DRAWConfig(steps=3, hidden=6, latents=4)


def copy_cell(plain: Any, cell: Any, inputs: int) -> None:
    """Give a cell of PyTorch's, whose gates are in another order, the weights of ours."""
    enter, forget, leave, new = cell.gates.weight.chunk(4)
    weights = torch.cat((enter, forget, new, leave))
    enter_bias, forget_bias, leave_bias, new_bias = cell.gates.bias.chunk(4)
    plain.weight_ih.copy_(weights[:, :inputs])
    plain.weight_hh.copy_(weights[:, inputs:])
    plain.bias_ih.copy_(torch.cat((enter_bias, forget_bias, new_bias, leave_bias)))
    plain.bias_hh.zero_()


def copy_linear(plain: Any, weight: Tensor, bias: Tensor) -> None:
    plain.weight.copy_(weight)
    plain.bias.copy_(bias)


def test_the_plain_loop_is_the_same_model(script: Script) -> None:
    torch.manual_seed(0)
    model, plain = DRAW((1, 28, 28), CONFIG), script("draw").PlainDRAW(CONFIG)
    with torch.no_grad():
        model.posterior.weight[4:] = 0
        model.posterior.bias[4:] = -30  # so that what chance draws makes no difference
        copy_cell(plain.encoder, model.encoder, 8 + 6)
        copy_cell(plain.decoder, model.decoder, 4)
        for layer, rows in ((plain.mean, slice(4)), (plain.log_deviation, slice(4, 8))):
            copy_linear(layer, model.posterior.weight[rows], model.posterior.bias[rows])
        for layer, rows in ((plain.read_window, slice(5)), (plain.write_window, slice(5, 10)), (plain.patch, slice(10, 35))):
            copy_linear(layer, model.heads.weight[rows], model.heads.bias[rows])
    pictures = (torch.rand(7, 1, 28, 28) < 0.2).float()
    inferred = model(pictures, torch.zeros(3, 7, 4))
    expected = (inferred.divergences.sum(0) - model.output.log_probability(pictures, inferred.canvas)).mean()
    assert plain(pictures.flatten(1)).item() == pytest.approx(expected.item(), rel=1e-5)


def test_the_tables(script: Script, monkeypatch: pytest.MonkeyPatch) -> None:
    few, benchmark = ("--rounds", "1", "--seconds", "0.01"), script("draw")
    monkeypatch.setattr(benchmark, "CONFIG", CONFIG)
    monkeypatch.setattr(benchmark, "WINDOWS", ((12, 100),))
    ((_, row),) = tables(benchmark, "--no-compiled", *few)
    assert_like(row, SPREAD, SPREAD, RATIO)
    ((_, row),) = tables(benchmark, "--window", *few)
    assert_like(row, "12×12", "100×100", SPREAD, SPREAD, RATIO)
    ((_, row),) = tables(benchmark, "--memory", "--steps", "2")
    assert_like(row, "2", r"[\d,]+")

"""The captioner's benchmark: both searches find the same captions, and the script prints its tables."""

from __future__ import annotations

import pytest
import torch
from test_benchmarks import RATIO, SPREAD, Script, assert_like, tables

from attention_env.captions import END
from captioning.config import CaptionConfig
from captioning.decoder import Captioner

CONFIG = CaptionConfig(annotation_units=8, hidden=12, embedding=8, attention_units=6)


@pytest.mark.parametrize("beams", [1, 3])
def test_the_plain_search_finds_the_captions_of_the_batched_one(script: Script, beams: int) -> None:
    benchmark = script("captioner")
    torch.manual_seed(0)
    captioner = Captioner((6, 5), 30, CONFIG).eval()
    with torch.no_grad():
        for parameter in captioner.parameters():
            parameter.mul_(2)
        captioner.output.bias[END] += 1
    pictures = 3 * torch.randn(30, 6, 5)
    plain = benchmark.write_plainly(captioner, pictures, beams)
    if beams > 1:  # a batched search of one beam is a greedy one, which does not look for better ends
        assert plain == benchmark.write_batched(captioner, pictures, beams)
    assert len({len(caption) for caption in plain}) > 1


def test_the_tables(script: Script) -> None:
    ((_, row),) = tables(script("captioner"), "--rounds", "1", "--pictures", "2", "--beams", "2")
    assert_like(row, "2", SPREAD, SPREAD, RATIO, r"100\.0%")
    ((_, *rows),) = tables(script("captioner"), "--training", "--rounds", "1", "--seconds", "0.01")
    for cells, precision in zip(rows, ("float32", "bfloat16"), strict=True):
        assert_like(cells, precision, SPREAD, r"\d+% \(\d+ to \d+\)")

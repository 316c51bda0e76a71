"""What is exported computes what the model does, on onnxruntime alone."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from small_transformer import LINES, make_model, make_sources
from tokenizers import Tokenizer

from attention_core.zoo import ModelError
from transformer.config import SIZES, Size
from transformer.export import TOLERANCE, Difference, Exported, compare, export
from transformer.model import Transformer
from transformer.translating import search
from transformer.vocabulary import END, START, Vocabulary, learn_vocabulary

Made = tuple[Transformer, Vocabulary, Path, Difference]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Made]:
    """Export a model once for all tests."""
    pytest.importorskip("onnxruntime")
    folder = tmp_path_factory.mktemp("onnx")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(SIZES, "tiny", Size(layers=2, units=16, inner=24, heads=4))
        vocabulary = learn_vocabulary(LINES, 280)
        model = make_model(tokens=len(vocabulary), norm_first=True)
        yield model, vocabulary, folder, export(model, vocabulary, folder)


def test_files_compute_what_the_model_does(made: Made) -> None:
    model, vocabulary, folder, found = made
    assert found.scores < TOLERANCE
    assert found.same == 1
    assert found.sentences == 8
    again = compare(model, folder, sentences=3, longest=30, seed=5)
    assert again.scores < TOLERANCE
    assert again.same == 1
    assert {file.name for file in folder.iterdir()} == {"encoder.onnx", "step.onnx", "tokenizer.json"}
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    assert tokenizer.encode(LINES[0]).ids == vocabulary.encode([LINES[0]])[0]


@pytest.mark.parametrize(("count", "longest"), [(1, 2), (5, 9), (16, 30)])
def test_batches_and_lengths_are_free(made: Made, count: int, longest: int) -> None:
    model, vocabulary, folder, _ = made
    source = make_sources(count, longest, len(vocabulary))
    exported = Exported(folder)
    theirs = search(model, source, 15, 1, 0.0).tokens
    assert exported.translate(source.numpy(), 15).tolist() == theirs.tolist()
    memory = exported.encode(source.numpy())
    read = model.encode(source)
    assert np.array_equal(memory["mask"], read.mask.numpy())
    for layer, (keys, values) in enumerate(read.layers):
        assert np.allclose(memory[f"memory_keys_{layer}"], keys.detach().numpy(), atol=1e-5)
        assert np.allclose(memory[f"memory_values_{layer}"], values.detach().numpy(), atol=1e-5)


@pytest.mark.usefixtures("made")
def test_no_translation_ends_before_it_has_begun(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(SIZES, "tiny", Size(layers=1, units=16, inner=24, heads=4))
    vocabulary = learn_vocabulary(LINES, 280)
    model = make_model(tokens=len(vocabulary), norm_first=True)
    with torch.no_grad():  # the end has the direction that all outputs share
        outputs = model.decode(torch.full((8, 1), START), model.encode(make_sources(8, 6, len(vocabulary))))[:, -1]
        model.embedding.weight[END] = 5 * outputs.mean(0)
    export(model, vocabulary, tmp_path)
    source = make_sources(4, 6, len(vocabulary))
    tokens = Exported(tmp_path).translate(source.numpy(), 5)
    assert (tokens[:, 0] != END).all()
    assert (tokens[:, 1:] == END).any()
    assert tokens.tolist() == search(model, source, 5, 1, 0.0).tokens.tolist()


def test_files_of_another_model_are_found_out(made: Made) -> None:
    _, vocabulary, folder, _ = made
    other = make_model(seed=4, tokens=len(vocabulary), norm_first=True)
    assert compare(other, folder).scores > TOLERANCE


@pytest.mark.usefixtures("small_size")
def test_packages_that_are_not_there_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    vocabulary = learn_vocabulary([], 258)
    with pytest.raises(ModelError, match=r'pip install "attention-suite\[onnx\]"'):
        export(make_model(tokens=len(vocabulary)), vocabulary, tmp_path)
    assert not list(tmp_path.iterdir())

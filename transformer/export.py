"""A Transformer as ONNX files, for programs without PyTorch, and translating with nothing but onnxruntime and NumPy.

    encoder.onnx     what is read of the sources
        source       (P, S) int64, tokens with the end, padded by 0 at their ends
        mask         (P, 1, 1, S) bool, where there is a token
        memory_keys_0, memory_values_0, …    (P, heads, S, d_k) each, for each layer of the decoder
    step.onnx        the next tokens of K translations of each source
        tokens       (P, K) int64, the newest
        mask, memory_keys_0, …               as the encoder gives them
        keys_0, values_0, …                  (P, K, heads, t, d_k) each, of the t tokens before; t = 0 at first
        scores       (P, K, V), unnormalised log-probabilities of the tokens after
        next_keys_0, next_values_0, …        (P, K, heads, t + 1, d_k) each, for the next step
    tokenizer.json   the vocabulary, as the `tokenizers` library reads it

P, S, K and t are free.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from attention_core.files import write_atomically, write_text_atomically
from attention_core.zoo import ModelError
from transformer.attention import KeysValues
from transformer.model import Memory, Transformer, Written
from transformer.translating import search
from transformer.vocabulary import END, PAD, START, Vocabulary

ENCODER, STEP, TOKENIZER = "encoder.onnx", "step.onnx", "tokenizer.json"
OPSET = 18
TOLERANCE = 1e-3
"""By which scores of the files may differ from the model's."""


class ExportError(ModelError):
    """The packages that export are not there, or what was exported does not compute what the model does."""


class Difference(NamedTuple):
    """How far exported files are from their model.

    Attributes:
        scores: the greatest difference of a score.
        sentences: how many were translated.
        same: the share of them whose tokens are the same.
    """

    scores: float
    sentences: int
    same: float


class _Encoder(nn.Module):
    """The encoder, its results one after the other."""

    def __init__(self, model: Transformer) -> None:
        super().__init__()
        self.model = model

    def forward(self, source: Tensor) -> tuple[Tensor, ...]:
        memory = self.model.encode(source)
        return (memory.mask, *(part for layer in memory.layers for part in layer))


class _Step(nn.Module):
    """A step of the decoder, its arguments and results one after the other."""

    def __init__(self, model: Transformer) -> None:
        super().__init__()
        self.model = model

    def forward(self, tokens: Tensor, mask: Tensor, *parts: Tensor) -> tuple[Tensor, ...]:
        memory_parts, known_parts = parts[: len(parts) // 2], parts[len(parts) // 2 :]
        count, copies = tokens.shape
        known = _pair([part.flatten(0, 1) for part in known_parts])
        newest = tokens.flatten()
        written = Written(known, torch.zeros_like(newest) + known_parts[0].shape[3])
        scores, written = self.model.advance(newest, written, Memory(_pair(memory_parts), mask))
        grown = [part.view(count, copies, *part.shape[1:]) for layer in written.layers for part in layer]
        return (scores.view(count, copies, -1), *grown)


def _pair(parts: Sequence[Tensor]) -> tuple[KeysValues, ...]:
    return tuple(KeysValues(*pair) for pair in zip(parts[::2], parts[1::2], strict=True))


def _names(prefix: str, layers: int) -> list[str]:
    return [f"{prefix}{kind}_{layer}" for layer in range(layers) for kind in ("keys", "values")]


def export(model: Transformer, vocabulary: Vocabulary, folder: Path) -> Difference:
    """Write a Transformer's encoder, decoder's step and vocabulary, and see that they compute what it does.

    Args:
        model: in evaluation mode, on the CPU.
        vocabulary: its own.
        folder: where to write `encoder.onnx`, `step.onnx` and `tokenizer.json`.

    Returns:
        How far the files are from the model, by onnxruntime; see `compare`.

    Raises:
        ExportError: if onnx, onnxscript or onnxruntime are not installed, or the files compute something else.
        attention_core.files.SaveError: if they cannot be written.
    """
    _need_packages()
    layers, batch, length = len(model.decoder), torch.export.Dim("batch"), torch.export.Dim("source_length")
    source = torch.full((2, 5), END)  # any tokens will do, since shapes alone are traced
    memory_names = _names("memory_", layers)
    _write(_Encoder(model), (source,), ["source"], ["mask", *memory_names], ({0: batch, 1: length},), folder / ENCODER)

    copies, before = torch.export.Dim("translations"), torch.export.Dim("before")
    with torch.no_grad():
        memory = model.encode(source)
    heads, each = memory.layers[0].keys.shape[1], memory.layers[0].keys.shape[3]
    known = [torch.zeros(2, 3, heads, 4, each) for _ in range(2 * layers)]
    inputs = (source[:, :3], memory.mask, *(part for layer in memory.layers for part in layer), *known)
    # Of the arguments that are many, one entry for all of them.
    shapes = (
        {0: batch, 1: copies},
        {0: batch, 3: length},
        tuple([{0: batch, 2: length}] * (2 * layers) + [{0: batch, 1: copies, 3: before}] * (2 * layers)),
    )
    names = ["tokens", "mask", *memory_names, *_names("", layers)]
    _write(_Step(model), inputs, names, ["scores", *_names("next_", layers)], shapes, folder / STEP)
    write_text_atomically(folder / TOKENIZER, vocabulary.to_json())
    found = compare(model, folder)
    if found.scores > TOLERANCE:
        raise ExportError(f"what was written to {folder} gives scores {found.scores:.2g} from the model's: it must not be used")
    return found


def _need_packages() -> None:
    try:
        for package in ("onnx", "onnxruntime", "onnxscript"):
            import_module(package)
    except ImportError as error:
        raise ExportError('exporting needs onnx and onnxruntime: pip install "attention-suite[onnx]"') from error


def _write(
    module: nn.Module, inputs: tuple[Tensor, ...], names: list[str], results: list[str], shapes: tuple[Any, ...], file: Path
) -> None:
    with _quiet():
        program = torch.onnx.export(
            module.eval(),
            inputs,
            input_names=names,
            output_names=results,
            dynamic_shapes=shapes,
            opset_version=OPSET,
            dynamo=True,
            verbose=False,
        )
    assert program is not None
    write_atomically(file, lambda path: program.save(path, external_data=False))


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep to itself what the exporter tells of its own workings."""
    log = logging.getLogger("torch.onnx")
    level = log.level
    log.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        log.setLevel(level)


class Exported:
    """A Transformer by its files, on onnxruntime and NumPy alone.

    Args:
        folder: of `encoder.onnx` and `step.onnx`.
    """

    def __init__(self, folder: Path) -> None:
        import onnxruntime

        self.encoder, self.step = (
            onnxruntime.InferenceSession(str(folder / name), providers=["CPUExecutionProvider"]) for name in (ENCODER, STEP)
        )
        names = [one.name for one in self.step.get_inputs()]
        self._known = [name for name in names if name.startswith(("keys_", "values_"))]
        self._shape = next(one.shape for one in self.step.get_inputs() if one.name == "keys_0")

    def encode(self, source: NDArray[np.int64]) -> dict[str, Any]:
        """Read sources, (P, S): the mask, and the memory's keys and values."""
        names = [one.name for one in self.encoder.get_outputs()]
        return dict(zip(names, self.encoder.run(None, {"source": source}), strict=True))

    def begin(self, count: int, copies: int) -> dict[str, Any]:
        """Know nothing of `copies` translations of each of `count` sources."""
        empty = np.zeros((count, copies, self._shape[2], 0, self._shape[4]), np.float32)
        return dict.fromkeys(self._known, empty)

    def advance(self, tokens: NDArray[np.int64], known: dict[str, Any], memory: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        """Take in the next tokens, (P, K): the scores of those after them, (P, K, V), and what is known then."""
        scores, *grown = self.step.run(None, {"tokens": tokens, **memory, **known})
        return scores, dict(zip(self._known, grown, strict=True))

    def translate(self, source: NDArray[np.int64], longest: int) -> NDArray[np.int64]:
        """Translate sources, (P, S), taking the likeliest token every time: (P, longest), after its end the end again."""
        count = len(source)
        memory, known = self.encode(source), self.begin(count, 1)
        newest, tokens = np.full((count, 1), START), np.full((count, longest), END)
        writing = np.ones(count, np.bool_)
        for place in range(longest):
            scores, known = self.advance(newest, known, memory)
            scores[:, :, PAD] = -np.inf
            if place == 0:
                scores[:, :, END] = -np.inf  # a translation of nothing at all is none, see `transformer.translating`
            newest = np.where(writing[:, None], scores.argmax(-1), END)
            tokens[:, place] = newest[:, 0]
            writing &= newest[:, 0] != END
            if not writing.any():
                break
        return tokens


def compare(model: Transformer, folder: Path, sentences: int = 8, longest: int = 20, seed: int = 0) -> Difference:
    """See how far exported files are from their model, on sentences of random tokens and different lengths.

    Args:
        model: in evaluation mode, on the CPU.
        folder: of the files.
        sentences: how many are translated, each taking the likeliest token every time.
        longest: tokens of a sentence and of a translation at most.
        seed: of the sentences.
    """
    generator, exported = np.random.default_rng(seed), Exported(folder)
    longest = min(longest, model.longest)
    source = generator.integers(END + 1, len(model.embedding.weight), (sentences, longest))
    for row, length in enumerate(generator.integers(1, longest + 1, sentences)):
        source[row, length - 1], source[row, length:] = END, PAD
    copies = 3
    written = generator.integers(END + 1, len(model.embedding.weight), (sentences, copies, min(5, longest)))
    theirs = search(model, torch.from_numpy(source), longest, 1, 0.0).tokens.numpy()
    same = float(np.mean((exported.translate(source, longest) == theirs).all(1)))
    return Difference(_score_difference(model, exported, source, written), sentences, same)


@torch.no_grad()
def _score_difference(model: Transformer, exported: Exported, source: NDArray[np.int64], written: NDArray[np.int64]) -> float:
    """Tell how far scores are apart while some given translations, (P, K, T), are written of each source."""
    count, copies, length = written.shape
    ours, known = exported.encode(source), exported.begin(count, copies)
    memory, state = model.encode(torch.from_numpy(source)), model.begin(count * copies)
    greatest = 0.0
    for place in range(length):
        newest = written[:, :, place]
        scores, known = exported.advance(newest, known, ours)
        theirs, state = model.advance(torch.from_numpy(newest).flatten(), state, memory)
        greatest = max(greatest, float(np.abs(scores.reshape(theirs.shape) - theirs.numpy()).max()))
    return greatest

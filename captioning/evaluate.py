"""What a captioner is worth: scores of the sentences that it writes on its own, and where it looks for them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from rich.console import Console
from rich.progress import track

from attention_core.training import ERROR_RATE
from attention_env.caption_scenes import FIRST_COLOUR, SceneSource
from attention_env.captions import PAD, CaptionSource
from attention_env.sentence_rewards import Cider
from captioning import flickr8k
from captioning.config import CaptionConfig, Places, Search
from captioning.decoder import Captioner
from captioning.loading import load
from captioning.scores import check_installed, score
from captioning.sources import make_source
from captioning.writing import CHUNK, Written, write_all

CHOOSES = {"flickr8k": "validation/negative_cider", "scenes": ERROR_RATE}
"""By which score of `validate` the weights are chosen, lower being better."""


def validate(captioner: Captioner, source: CaptionSource, config: CaptionConfig, device: torch.device) -> dict[str, float]:
    """Score the captions of all validation pictures without COCO's tokenisation, on the words as they are in the vocabulary.

    Returns:
        Of scenes the share of wrong sentences and that of attention on what is named; else CIDEr-D with its sign turned.
    """
    written = list(write_all(captioner, source, config.search, device))
    captions = [caption for chunk in written for caption in chunk.captions]
    references = references_of(source)
    if isinstance(source, SceneSource):
        on_shape = attention_on_shape(source, written)
        return {ERROR_RATE: 1 - exact(captions, references), "validation/attention_on_shape": on_shape}
    return {"validation/negative_cider": -float(Cider(references).score(captions, references).mean())}


def references_of(source: CaptionSource) -> list[list[list[int]]]:
    """List the reference captions of all pictures as word numbers, without end and padding."""
    captions = source.captions(torch.arange(len(source)), torch.device("cpu"))
    lengths = (captions != PAD).sum(-1) - 1
    return [
        [caption[:length] for caption, length in zip(of_picture, its_lengths, strict=True)]
        for of_picture, its_lengths in zip(captions.tolist(), lengths.tolist(), strict=True)
    ]


def exact(captions: list[list[int]], references: list[list[list[int]]]) -> float:
    """Give the share of captions that are one of their picture's references."""
    return sum(caption in true for caption, true in zip(captions, references, strict=True)) / len(captions)


def attention_on_shape(source: SceneSource, written: list[Written]) -> float:
    """Give the share of the words that name a colour or a shape at which the place of most attention holds what they name.

    Args:
        source: the scenes.
        written: captions of all of them, in order.
    """
    first = on = named = 0
    for chunk in written:
        count = len(chunk.captions)
        holds = source.holds(torch.arange(first, first + count), torch.device("cpu"))  # (B, L, V)
        first += count
        for row, caption in enumerate(chunk.captions):
            for step, word in enumerate(caption):
                if word >= FIRST_COLOUR:
                    named += 1
                    on += bool(holds[row, int(chunk.places[step, row]), word])
    return on / max(1, named)


def score_captions(
    captioner: Captioner,
    source: CaptionSource,
    search: Search,
    device: torch.device,
    places: Places = "attended",
) -> dict[str, Any]:
    """Score the captions that are written, free-running, about every picture of a source.

    Args:
        captioner: in evaluation mode.
        source: the pictures.
        search: how they are written.
        device: where to compute.
        places: where it is let look.

    Returns:
        Of scenes "exact", the share of sentences that are one of the true ones, and "attention_on_shape", as fractions; else
        "bleu1" … "bleu4" and "meteor" times 100, "brevity_penalty", "rouge_l" and "cider", against the references as they were
        written, rare words included.

    Raises:
        captioning.scores.ScoreError: if they cannot be scored.
    """
    if not isinstance(source, SceneSource):
        check_installed()
    chunks, total = write_all(captioner, source, search, device, places), -(-len(source) // CHUNK)
    written = list(track(chunks, "writing captions", total, console=Console(stderr=True), transient=True))
    captions = [caption for chunk in written for caption in chunk.captions]
    if isinstance(source, SceneSource):
        return {"exact": exact(captions, references_of(source)), "attention_on_shape": attention_on_shape(source, written)}
    sentences = [" ".join(source.vocabulary.decode(caption)) for caption in captions]
    split = source.name.split("/")[1]
    return score(sentences, [picture.sentences for picture in flickr8k.load_captions(split)]).as_dict()


def report(
    reference: str, split: str, device: torch.device, places: Places = "attended", searching: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Score a saved captioner on every picture of a split.

    Args:
        reference: a zoo name, a run folder or a weights file.
        split: "train", "validation" or "test".
        device: where to compute.
        places: where it is let look.
        searching: settings of the search, `beams`, `length_power` and `tries`, in place of its own.

    Returns:
        The figures of `captioning.evaluate.score_captions`, and what they are of.

    Raises:
        ModelError: if there is none, or it is another kind of model.
        ValueError: if it cannot write so.
    """
    captioner, config, vocabulary, name = load(reference, device)
    config = replace(config, **(searching or {}))
    source = make_source(config, split, device, vocabulary)
    figures = score_captions(captioner, source, config.search, device, places)
    about = {"examples": len(source), "split": split, "data": config.data, "attention": config.attention}
    return {"model": name, **figures, **about, "places": places, **config.search._asdict()}

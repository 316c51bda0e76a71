"""The pictures and captions that a captioner learns from: drawn scenes, or Flickr8k as an encoder sees it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from attention_env.caption_scenes import SceneSource
from attention_env.captions import CaptionedPictures, CaptionSource, Vocabulary
from captioning import flickr8k
from captioning.config import CaptionConfig, FeatureConfig
from captioning.features import Seen, load_features
from captioning.pictures import decode_picture
from captioning.tokens import build_vocabulary, tokenize


def make_source(
    config: CaptionConfig, split: str, device: torch.device, vocabulary: Vocabulary | None = None, training: bool = False
) -> CaptionSource:
    """Make the source that the settings name.

    Args:
        config: the settings.
        split: "train", "validation" or "test".
        device: where features are computed that are not in the cache yet.
        vocabulary: the words that captions are made of; those of the training captions by default.
        training: whether mirrored pictures and parts of pictures are among them, if the settings ask for such.
    """
    if config.data == "scenes":
        return SceneSource(split)
    pictures = flickr8k.load_captions(split)
    tokens = [[tokenize(sentence) for sentence in picture.sentences] for picture in pictures]
    if vocabulary is None:
        trained = tokens if split == "train" else [[tokenize(s) for s in p.sentences] for p in flickr8k.load_captions("train")]
        vocabulary = build_vocabulary((sentence for references in trained for sentence in references), config.least)
    captions = pad_captions([[vocabulary.encode(sentence) for sentence in references] for references in tokens])
    views: list[Seen] = ["whole"]
    if training and config.mirrored:
        views.append("mirrored")
    if training:
        views.extend(range(config.crops))
    sources = [
        CaptionedPictures(f"flickr8k/{split}", vocabulary, _features(split, config.features, device, view), captions)
        for view in views
    ]
    joined = sources[0] if len(sources) == 1 else JoinedSources(sources)
    return Photographs(joined, flickr8k.load_pictures(split), config.features.size) if config.encoder_rate else joined


def _features(split: str, config: FeatureConfig, device: torch.device, view: Seen) -> NDArray[np.float16]:
    pictures = flickr8k.load_pictures(split)
    return load_features(f"flickr8k-{split}", flickr8k.identity(), pictures, config, device, seen=view)


def pad_captions(captions: Sequence[Sequence[Sequence[int]]]) -> NDArray[np.int64]:
    """Bring captions, R for each picture, to one length: (count, R, T), padded by `PAD`, which is 0."""
    longest = max(len(caption) for references in captions for caption in references)
    padded = np.zeros((len(captions), len(captions[0]), longest), np.int64)
    for picture, references in zip(padded, captions, strict=True):
        for row, caption in zip(picture, references, strict=True):
            row[: len(caption)] = caption
    return padded


class JoinedSources(CaptionSource):
    """Sources of the same words and shape as one, the pictures of the first coming first.

    Args:
        sources: at least one.
    """

    def __init__(self, sources: Sequence[CaptionSource]) -> None:
        first = sources[0]
        self.sources = list(sources)
        self.name, self.vocabulary, self.shape, self.references = first.name, first.vocabulary, first.shape, first.references
        self.longest = max(source.longest for source in sources)
        self._ends = torch.tensor([len(source) for source in sources]).cumsum(0)

    def __len__(self) -> int:
        """Return the number of pictures of all of them."""
        return int(self._ends[-1])

    def annotations(self, index: Tensor, device: torch.device) -> Tensor:
        """Give pictures' annotation vectors, (n,) int64 to (n, L, D) float32."""
        found = torch.empty(len(index), *self.shape, device=device)
        for rows, source, own in self._parts(index):
            found[rows] = source.annotations(own, device)
        return found

    def captions(self, index: Tensor, device: torch.device) -> Tensor:
        """Give pictures' reference captions, (n,) int64 to (n, R, T) int64."""
        found = torch.zeros(len(index), self.references, self.longest, dtype=torch.int64, device=device)
        for rows, source, own in self._parts(index):
            found[rows, :, : source.longest] = source.captions(own, device)
        return found

    def _parts(self, index: Tensor) -> list[tuple[Tensor, CaptionSource, Tensor]]:
        """Tell for each source which rows of an index are its own, and their numbers there."""
        index = index.cpu()
        which = torch.bucketize(index, self._ends, right=True)
        parts = []
        for number, source in enumerate(self.sources):
            rows = (which == number).nonzero()[:, 0]
            if len(rows):
                parts.append((rows, source, index[rows] - (self._ends[number] - len(source))))
        return parts


class Photographs(CaptionSource):
    """Pictures that are shown as they are, to a captioner that encodes them itself.

    Args:
        source: their captions, and what a fixed encoder makes of them; where it has twice as many pictures, the second half are the
            same mirrored.
        encoded: the bytes of their files.
        size: pixels along each side that they are brought to.
    """

    def __init__(self, source: CaptionSource, encoded: flickr8k.EncodedPictures, size: int) -> None:
        self.source, self.encoded, self.size = source, encoded, size
        self.name, self.vocabulary, self.shape, self.references = source.name, source.vocabulary, source.shape, source.references
        self.longest = source.longest

    def __len__(self) -> int:
        """Return the number of pictures, mirrored ones among them."""
        return len(self.source)

    def annotations(self, index: Tensor, device: torch.device) -> Tensor:
        """Give what the fixed encoder makes of pictures."""
        return self.source.annotations(index, device)

    def captions(self, index: Tensor, device: torch.device) -> Tensor:
        """Give pictures' reference captions."""
        return self.source.captions(index, device)

    def shown(self, index: Tensor, device: torch.device) -> Tensor:
        """Read pictures, (n,) int64 to (n, 3, size, size) uint8."""
        return torch.stack([self._read(number) for number in index.tolist()]).to(device)

    def _read(self, number: int) -> Tensor:
        mirrored, own = divmod(number, len(self.encoded))
        picture = torch.from_numpy(decode_picture(self.encoded[own], self.size, f"picture {own} of {self.name}"))
        return picture.flip(-1) if mirrored else picture

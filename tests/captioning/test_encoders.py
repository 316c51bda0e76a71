"""Encoders: the same numbers as the published networks written out plainly, under each file's names, padding and scaling."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import replace
from itertools import islice
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from attention_core.data_files import DATA_FILES, FOLDER_VARIABLE, DataError, fetch
from captioning.config import ENCODERS, STRIDES
from captioning.encoders import (
    WEIGHTS,
    Convolution,
    Encoder,
    EncoderError,
    Weights,
    choose_weights,
    load_encoder,
    published_names,
    read_tensors,
    same_padding,
)
from captioning.flickr8k import load_captions, load_pictures
from captioning.pictures import decode_picture

EVERY_FILE = [(name, weights) for name, files in WEIGHTS.items() for weights in files]


def random_tensors(name: str) -> dict[str, Tensor]:
    """Weights of the published names and shapes, with batch normalisation that does something, and a classifier to be ignored."""
    generator = torch.Generator().manual_seed(1)
    tensors = {"classifier.weight": torch.zeros(3, 3)}
    convolutions = [module for module in Encoder(name, 32, WEIGHTS[name][0]).modules() if isinstance(module, Convolution)]
    for convolution, (filters, normalisation) in zip(convolutions, published_names(name), strict=True):
        shape = convolution.convolution.weight.shape
        fan_in = shape[1:].numel()
        tensors[f"{filters}.weight"] = torch.randn(shape, generator=generator) * (2 / fan_in) ** 0.5
        for part, least in (("weight", 0.5), ("bias", -0.5), ("running_mean", -0.5), ("running_var", 0.5)):
            tensors[f"{normalisation}.{part}"] = least + torch.rand(shape[0], generator=generator)
        tensors[f"{normalisation}.num_batches_tracked"] = torch.tensor(1)
    return tensors


def plain(tensors: Mapping[str, Tensor], filters: str, norm: str, x: Tensor, same: bool, stride: int, epsilon: float) -> Tensor:
    """A padded convolution and batch normalisation, apart from each other."""
    weight = tensors[f"{filters}.weight"].float()
    kernel, groups = weight.shape[-1], x.shape[1] // weight.shape[1]
    height, width = x.shape[-2:]
    if same:  # where the windows of TensorFlow's SAME begin, then as much as the last of them lacks
        lacking = [max((-(-side // stride) - 1) * stride + kernel - side, 0) for side in (height, width)]
        x = F.pad(x, (lacking[1] // 2, kernel, lacking[0] // 2, kernel))
        x = F.conv2d(x, weight, stride=stride, groups=groups)[..., : -(-height // stride), : -(-width // stride)]
    else:
        x = F.conv2d(x, weight, stride=stride, padding=(kernel - 1) // 2, groups=groups)
    mean, variance, scale, shift = (tensors[f"{norm}.{part}"] for part in ("running_mean", "running_var", "weight", "bias"))
    return F.batch_norm(x, mean, variance, scale, shift, eps=epsilon)


def plain_efficientnet_lite0(tensors: Mapping[str, Tensor], x: Tensor, same: bool) -> dict[int, Tensor]:
    """EfficientNet-Lite0 by timm's names, block by block."""

    def layer(filters: str, norm: str, x: Tensor, stride: int = 1) -> Tensor:
        return plain(tensors, filters, norm, x, same, stride, 1e-3)

    maps = {}
    x = F.relu6(layer("conv_stem", "bn1", x, 2))
    for stage, (blocks, first_stride) in enumerate([(1, 1), (2, 2), (2, 2), (3, 2), (3, 1), (4, 2), (1, 1)]):
        for block in range(blocks):
            at, stride, before = f"blocks.{stage}.{block}", first_stride if block == 0 else 1, x
            if stage == 0:
                x = F.relu6(layer(f"{at}.conv_dw", f"{at}.bn1", x, stride))
                x = layer(f"{at}.conv_pw", f"{at}.bn2", x)
            else:
                x = F.relu6(layer(f"{at}.conv_pw", f"{at}.bn1", x))
                x = F.relu6(layer(f"{at}.conv_dw", f"{at}.bn2", x, stride))
                x = layer(f"{at}.conv_pwl", f"{at}.bn3", x)
            x = x + before if block > 0 else x
        if stage == 4:
            maps[16] = x
    maps[32] = F.relu6(layer("conv_head", "bn2", x))
    return maps


def plain_mobilenet_v2(tensors: Mapping[str, Tensor], x: Tensor, same: bool) -> dict[int, Tensor]:
    """MobileNetV2 by torchvision's names, block by block."""

    def layer(filters: str, norm: str, x: Tensor, stride: int = 1) -> Tensor:
        return plain(tensors, f"features.{filters}", f"features.{norm}", x, same, stride, 1e-5)

    maps = {}
    x = F.relu6(layer("0.0", "0.1", x, 2))
    x = F.relu6(layer("1.conv.0.0", "1.conv.0.1", x))
    x = layer("1.conv.1", "1.conv.2", x)
    for number in range(2, 18):
        before, stride = x, 2 if number in (2, 4, 7, 14) else 1
        x = F.relu6(layer(f"{number}.conv.0.0", f"{number}.conv.0.1", x))
        x = F.relu6(layer(f"{number}.conv.1.0", f"{number}.conv.1.1", x, stride))
        x = layer(f"{number}.conv.2", f"{number}.conv.3", x)
        x = x + before if number not in (2, 4, 7, 11, 14, 17) else x
        if number == 13:
            maps[16] = x
    maps[32] = F.relu6(layer("18.0", "18.1", x))
    return maps


PLAIN: dict[str, Callable[[Mapping[str, Tensor], Tensor, bool], dict[int, Tensor]]] = {
    "efficientnet_lite0": plain_efficientnet_lite0,
    "mobilenet_v2": plain_mobilenet_v2,
}


def pictures(height: int = 52, width: int = 39, count: int = 2) -> Tensor:
    return torch.randint(0, 256, (count, 3, height, width), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("stride", STRIDES)
@pytest.mark.parametrize(("name", "weights"), EVERY_FILE, ids=[weights.path for _, weights in EVERY_FILE])
def test_folded_network_equals_the_published_one_written_out(name: str, weights: Weights, stride: int) -> None:
    tensors, seen = random_tensors(name), pictures()
    encoder = Encoder(name, stride, weights)
    encoder.read(tensors)
    scaled = (seen - torch.tensor(weights.mean).view(3, 1, 1)) / torch.tensor(weights.deviation).view(3, 1, 1)
    right = PLAIN[name](tensors, scaled, weights.same_padding)[stride]
    other = PLAIN[name](tensors, scaled, not weights.same_padding)[stride]
    with torch.inference_mode():
        torch.testing.assert_close(encoder(seen), right, rtol=1e-3, atol=1e-3)
        assert (encoder(seen) - other).abs().max() > 0.1, "the two ways of padding must differ"


@pytest.mark.parametrize(("height", "width"), [(224, 224), (176, 176), (33, 64), (1, 17)])
@pytest.mark.parametrize("stride", STRIDES)
@pytest.mark.parametrize(("name", "weights"), EVERY_FILE, ids=[weights.path for _, weights in EVERY_FILE])
def test_map_has_a_place_for_every_square_begun(name: str, weights: Weights, stride: int, height: int, width: int) -> None:
    encoder = Encoder(name, stride, weights)
    with torch.inference_mode():
        maps = encoder(pictures(height, width, 1))
        vectors = encoder.annotate(pictures(height, width, 1))
    rows, columns = -(-height // stride), -(-width // stride)
    assert encoder.channels == {16: {"efficientnet_lite0": 112, "mobilenet_v2": 96}[name], 32: 1280}[stride]
    assert maps.shape == (1, encoder.channels, rows, columns)
    assert torch.equal(vectors[0, -1], maps[0, :, -1, -1])
    assert torch.equal(vectors[0, columns - 1], maps[0, :, 0, -1])


@pytest.mark.parametrize(
    ("side", "kernel", "stride", "right"),
    [(224, 3, 2, (0, 1)), (224, 5, 2, (1, 2)), (11, 3, 2, (1, 1)), (11, 5, 2, (2, 2)), (7, 3, 1, (1, 1)), (1, 3, 2, (1, 1))],
)
def test_same_padding_is_what_tensorflow_adds(side: int, kernel: int, stride: int, right: tuple[int, int]) -> None:
    assert same_padding(side, kernel, stride) == right


def test_sizes_are_those_published() -> None:
    def parameters(name: str, stride: int) -> int:
        return sum(parameter.numel() for parameter in Encoder(name, stride, WEIGHTS[name][0]).parameters())

    # timm's and torchvision's counts, less the classifiers and the scales of batch normalisation, which are folded in.
    classifier = 1_280 * 1_000 + 1_000
    assert parameters("efficientnet_lite0", 32) == 4_652_008 - classifier - 21_008
    assert parameters("mobilenet_v2", 32) == 3_504_872 - classifier - 17_056


@pytest.mark.parametrize("name", ENCODERS)
def test_whole_numbers_and_fractions_are_seen_alike_in_training_and_evaluation(name: str) -> None:
    encoder = Encoder(name, 32, WEIGHTS[name][0])
    encoder.read(random_tensors(name))
    seen = pictures()
    evaluated = encoder.eval()(seen)
    assert torch.equal(encoder.train()(seen.float()), evaluated)
    evaluated.sum().backward()
    assert all(parameter.grad is not None and parameter.grad.isfinite().all() for parameter in encoder.parameters())


def test_a_missing_tensor_is_named() -> None:
    tensors = random_tensors("mobilenet_v2")
    del tensors["features.7.conv.1.1.running_var"]
    encoder = Encoder("mobilenet_v2", 16, WEIGHTS["mobilenet_v2"][0])
    with pytest.raises(EncoderError, match=r"encoders/mobilenet_v2\.safetensors .* features\.7\.conv\.1\.1\.running_var"):
        encoder.read(tensors)


def test_a_tensor_of_another_shape_is_named_with_both_shapes() -> None:
    tensors = random_tensors("efficientnet_lite0")
    tensors["blocks.2.0.conv_dw.weight"] = torch.zeros(144, 1, 3, 3)
    encoder = Encoder("efficientnet_lite0", 32, WEIGHTS["efficientnet_lite0"][0])
    with pytest.raises(
        EncoderError, match=r"blocks\.2\.0\.conv_dw\.weight has shape \(144, 1, 3, 3\) where \(144, 1, 5, 5\) is right"
    ):
        encoder.read(tensors)


def test_unknown_encoder_and_stride_are_refused_with_the_choices() -> None:
    with pytest.raises(ValueError, match=r"'vgg19' is unknown: choose one of efficientnet_lite0, mobilenet_v2"):
        load_encoder("vgg19", 32)
    with pytest.raises(ValueError, match="stride must be one of 16, 32, got 8"):
        load_encoder("mobilenet_v2", 8)


@pytest.fixture
def published(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, dict[str, Tensor]]:
    """A data folder with files as timm and torchvision publish them, and what is in them."""
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path))
    (tmp_path / "encoders").mkdir()
    written = {}
    for name, (*_, weights) in WEIGHTS.items():
        written[name] = random_tensors(name)
        torch.save(written[name], tmp_path / weights.path)
        found = hashlib.sha256((tmp_path / weights.path).read_bytes()).hexdigest()
        monkeypatch.setitem(DATA_FILES, weights.path, replace(DATA_FILES[weights.path], sha256=found[:8]))
    return written


@pytest.mark.parametrize("name", ENCODERS)
def test_published_file_is_read_with_its_own_padding_and_scaling(name: str, published: dict[str, dict[str, Tensor]]) -> None:
    encoder = load_encoder(name, 16)
    assert encoder.weights is WEIGHTS[name][-1]
    assert not encoder.training
    expected = Encoder(name, 16, WEIGHTS[name][-1])
    expected.read(published[name])
    assert torch.equal(encoder(pictures()), expected(pictures()))


def test_a_file_brought_is_preferred_and_checked(published: dict[str, dict[str, Tensor]], tmp_path: Path) -> None:
    brought = WEIGHTS["mobilenet_v2"][0]
    (tmp_path / brought.path).write_bytes(b"something else")
    assert choose_weights("mobilenet_v2") is brought
    with pytest.raises(DataError, match=r"mobilenet_v2\.safetensors has 14 bytes where 7,240,560 are right"):
        load_encoder("mobilenet_v2", 32)


def test_declared_scalings_are_those_of_the_origins() -> None:
    lite, mobile = WEIGHTS["efficientnet_lite0"], WEIGHTS["mobilenet_v2"]
    assert (lite[0].mean, lite[0].deviation) == ((127,) * 3, (128,) * 3)
    assert (lite[1].mean, lite[1].deviation) == ((0.5 * 255,) * 3, (0.5 * 255,) * 3)
    assert mobile[1].mean == pytest.approx([255 * 0.485, 255 * 0.456, 255 * 0.406])
    assert mobile[1].deviation == pytest.approx([255 * 0.229, 255 * 0.224, 255 * 0.225])
    assert [weights.same_padding for _, weights in EVERY_FILE] == [True, True, True, False]


@pytest.mark.parametrize("name", ENCODERS)
def test_real_file_has_every_name_and_no_other(name: str, data_folder: Path) -> None:
    tensors = read_tensors(fetch(WEIGHTS[name][0].path))
    names = {filters + ".weight" for filters, _ in published_names(name)}
    names |= {f"{norm}.{part}" for _, norm in published_names(name) for part in ("weight", "bias", "running_mean", "running_var")}
    assert {tensor for tensor in tensors if not tensor.startswith("classifier")} == names


def test_real_mobilenet_tells_dogs_and_is_surest_when_it_is_padded_as_it_was_trained(data_folder: Path) -> None:
    # Its classifier, which the encoder leaves out, is in the file; ImageNet's classes 151 to 268 are breeds of dogs.
    count = 32
    dogs = [sum("dog" in sentence for sentence in picture.sentences) > 2 for picture in load_captions("validation")[:count]]
    files = islice(load_pictures("validation"), count)
    seen = torch.stack([torch.from_numpy(decode_picture(encoded, 176, "a picture")) for encoded in files])
    brought = WEIGHTS["mobilenet_v2"][0]
    tensors = read_tensors(fetch(brought.path))

    def classify(weights: Weights) -> Tensor:
        encoder = Encoder("mobilenet_v2", 32, weights)
        encoder.read(tensors)
        with torch.inference_mode():
            pooled = encoder(seen).mean((-2, -1))
        return F.linear(pooled, tensors["classifier.1.weight"].float(), tensors["classifier.1.bias"]).softmax(-1)

    probabilities = classify(brought)
    told = probabilities[:, 151:269].sum(-1) > 0.5
    assert (told == torch.tensor(dogs)).float().mean() > 0.9
    certainty, padded_otherwise = (each.amax(-1).mean() for each in (probabilities, classify(replace(brought, same_padding=False))))
    assert certainty > padded_otherwise + 0.05

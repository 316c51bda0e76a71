"""Networks that turn a picture into annotation vectors: EfficientNet-Lite0 and MobileNetV2, trained on ImageNet.

Both are chains of inverted residuals (Sandler et al. 2018, arXiv 1801.04381; Tan and Le 2019, arXiv 1905.11946, in its "Lite" form
without squeeze-and-excitation): one plan of stages each, one block for both. Batch normalisation is folded into the convolutions as
the weights are read. That keeps its running statistics, which is what fine-tuning on a small data set wants too, and leaves an
ordinary module of convolutions that may be trained further.

```python
encoder = load_encoder("efficientnet_lite0", stride=32)
vectors = encoder.annotate(torch.from_numpy(read_picture("dog.jpg", 224))[None])  # (1, 49, 1280)
```
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import Tensor, nn

from attention_core import data_files
from captioning.config import ENCODERS, STRIDES

STEM_CHANNELS = 32
HEAD_CHANNELS = 1280


class EncoderError(ValueError):
    """A file of weights is not that of the encoder it was taken for."""


@dataclass(frozen=True)
class Stage:
    """Some inverted residuals of one width.

    Attributes:
        expansion: how many times wider the inside of a block is than its input.
        channels: width of the output.
        blocks: how many; the first has the stride, the others 1.
        stride: 1 or 2.
        kernel: side of the depthwise filter, odd.
    """

    expansion: int
    channels: int
    blocks: int
    stride: int
    kernel: int


# The first five stages end at a sixteenth of the picture's side, the others and the head at a thirty-second.
STAGES_AT_16 = 5
PLANS: dict[str, tuple[Stage, ...]] = {
    "efficientnet_lite0": (
        Stage(1, 16, 1, 1, 3),
        Stage(6, 24, 2, 2, 3),
        Stage(6, 40, 2, 2, 5),
        Stage(6, 80, 3, 2, 3),
        Stage(6, 112, 3, 1, 5),
        Stage(6, 192, 4, 2, 5),
        Stage(6, 320, 1, 1, 3),
    ),
    "mobilenet_v2": (
        Stage(1, 16, 1, 1, 3),
        Stage(6, 24, 2, 2, 3),
        Stage(6, 32, 3, 2, 3),
        Stage(6, 64, 4, 2, 3),
        Stage(6, 96, 3, 1, 3),
        Stage(6, 160, 3, 2, 3),
        Stage(6, 320, 1, 1, 3),
    ),
}


@dataclass(frozen=True)
class Weights:
    """A published file of weights, and how the network that it comes from was fed.

    Attributes:
        path: a key of `attention_core.data_files.DATA_FILES`.
        mean: what is taken from each colour (red, green, blue) of a pixel in 0…255.
        deviation: what the rest is divided by.
        same_padding: whether pictures are padded as TensorFlow's "SAME" does, with the odd pixel right and below, or alike on all
            sides. The two differ wherever a filter of stride 2 meets an even side.
    """

    path: str
    mean: tuple[float, float, float]
    deviation: tuple[float, float, float]
    same_padding: bool


# The files that each encoder may be read from; the first that lies in the data folder is taken, the last can be downloaded.
WEIGHTS: dict[str, tuple[Weights, ...]] = {
    "efficientnet_lite0": (
        Weights("encoders/efficientnet_lite0.safetensors", (127.0,) * 3, (128.0,) * 3, same_padding=True),
        Weights("encoders/tf_efficientnet_lite0-0aa007d2.pth", (127.5,) * 3, (127.5,) * 3, same_padding=True),
    ),
    "mobilenet_v2": (
        Weights("encoders/mobilenet_v2.safetensors", (127.5,) * 3, (127.5,) * 3, same_padding=True),
        Weights("encoders/mobilenet_v2-b0353104.pth", (123.675, 116.28, 103.53), (58.395, 57.12, 57.375), same_padding=False),
    ),
}
NORMALISATION_EPSILON = {"efficientnet_lite0": 1e-3, "mobilenet_v2": 1e-5}


class Convolution(nn.Module):
    """A convolution with bias, padded so that an input of side n gives an output of side ceil(n / stride).

    Args:
        inputs: channels coming in.
        outputs: channels going out.
        kernel: side of the filter, odd.
        stride: 1 or 2.
        groups: 1, or the number of channels for a depthwise filter.
        rectified: whether the output is clipped to [0, 6].
        same_padding: see `Weights`.
    """

    def __init__(
        self, inputs: int, outputs: int, kernel: int, stride: int = 1, *, groups: int = 1, rectified: bool, same_padding: bool
    ) -> None:
        super().__init__()
        # At stride 1 both ways of padding are the same one, which the convolution does itself.
        self.same_padding = same_padding and stride > 1
        padding = 0 if self.same_padding else kernel // 2
        self.convolution = nn.Conv2d(inputs, outputs, kernel, stride, padding, groups=groups)
        self.rectified = rectified

    def forward(self, inputs: Tensor) -> Tensor:
        """(B, inputs, H, W) -> (B, outputs, ceil(H / stride), ceil(W / stride))."""
        if self.same_padding:
            (kernel, _), (stride, _) = self.convolution.kernel_size, self.convolution.stride
            above, below = same_padding(inputs.shape[-2], kernel, stride)
            left, right = same_padding(inputs.shape[-1], kernel, stride)
            inputs = F.pad(inputs, (left, right, above, below))
        outputs: Tensor = self.convolution(inputs)
        return F.relu6(outputs, inplace=True) if self.rectified else outputs


def same_padding(side: int, kernel: int, stride: int) -> tuple[int, int]:
    """Say how many pixels TensorFlow's "SAME" adds before and after a side, so that ceil(side / stride) filters just cover it."""
    missing = max((-(-side // stride) - 1) * stride + kernel - side, 0)
    return missing // 2, missing - missing // 2


class InvertedResidual(nn.Module):
    """Widen, filter each channel by itself, narrow; and add the input where it has the output's shape.

    Args:
        inputs: channels coming in.
        stage: what the block belongs to.
        stride: 1 or 2.
        same_padding: see `Weights`.
    """

    def __init__(self, inputs: int, stage: Stage, stride: int, *, same_padding: bool) -> None:
        super().__init__()
        inside = inputs * stage.expansion
        layers = [
            Convolution(inside, inside, stage.kernel, stride, groups=inside, rectified=True, same_padding=same_padding),
            Convolution(inside, stage.channels, 1, rectified=False, same_padding=same_padding),
        ]
        if stage.expansion > 1:
            layers.insert(0, Convolution(inputs, inside, 1, rectified=True, same_padding=same_padding))
        self.layers = nn.Sequential(*layers)
        self.residual = stride == 1 and inputs == stage.channels

    def forward(self, inputs: Tensor) -> Tensor:
        """(B, inputs, H, W) -> (B, channels, ceil(H / stride), ceil(W / stride))."""
        outputs: Tensor = self.layers(inputs)
        return inputs + outputs if self.residual else outputs


class Encoder(nn.Module):
    """A network from pictures to a map of annotation vectors, with weights still to be read; see `load_encoder`.

    Args:
        name: one of `captioning.config.ENCODERS`.
        stride: 16 or 32, the side in pixels of the square that a place of the map stands for. The layers beyond are left out.
        weights: the file that the weights will be from, which decides on scaling and padding.

    Attributes:
        channels: D, numbers of an annotation vector.

    Raises:
        ValueError: if there is no such encoder, or the stride is another.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, name: str, stride: int, weights: Weights) -> None:
        super().__init__()
        if name not in PLANS:
            raise ValueError(f"encoder {name!r} is unknown: choose one of {', '.join(ENCODERS)}")
        if stride not in STRIDES:
            raise ValueError(f"stride must be one of {', '.join(map(str, STRIDES))}, got {stride}")
        self.name, self.stride, self.weights = name, stride, weights
        same = weights.same_padding
        channels = STEM_CHANNELS
        layers: list[nn.Module] = [Convolution(3, channels, 3, 2, rectified=True, same_padding=same)]
        for stage in PLANS[name][: STAGES_AT_16 if stride == 16 else None]:
            for block in range(stage.blocks):
                layers.append(InvertedResidual(channels, stage, stage.stride if block == 0 else 1, same_padding=same))
                channels = stage.channels
        if stride == 32:
            layers.append(Convolution(channels, HEAD_CHANNELS, 1, rectified=True, same_padding=same))
            channels = HEAD_CHANNELS
        self.layers = nn.Sequential(*layers)
        self.channels = channels
        for constant in ("mean", "deviation"):
            self.register_buffer(constant, torch.tensor(getattr(weights, constant)).view(3, 1, 1), persistent=False)

    def forward(self, pictures: Tensor) -> Tensor:
        """Look at pictures.

        Args:
            pictures: (B, 3, H, W), red, green, blue, uint8 or floating point in 0…255.

        Returns:
            (B, channels, ceil(H / stride), ceil(W / stride)).
        """
        # With the channels of a pixel side by side, which the layers keep up, a CPU is nearly twice as fast.
        pictures = pictures.contiguous(memory_format=torch.channels_last)
        maps: Tensor = self.layers((pictures - self.mean) / self.deviation)
        return maps

    def annotate(self, pictures: Tensor) -> Tensor:
        """Return the places of `forward`'s map as rows, from left to right, then down: (B, L, channels)."""
        maps: Tensor = self(pictures)
        return maps.flatten(2).transpose(1, 2)

    def read(self, tensors: Mapping[str, Tensor]) -> None:
        """Take published weights, batch normalisation folded in.

        Args:
            tensors: by timm's names (EfficientNet-Lite0) or torchvision's (MobileNetV2); there may be others, of a classifier.

        Raises:
            EncoderError: if a tensor is missing, or has another shape.
        """
        convolutions = [module.convolution for module in self.modules() if isinstance(module, Convolution)]
        # At stride 16 the names of the last layers find no convolution.
        for convolution, names in zip(convolutions, published_names(self.name), strict=False):
            self._read_convolution(convolution, *names, tensors)

    def _read_convolution(self, convolution: nn.Conv2d, filters: str, normalisation: str, tensors: Mapping[str, Tensor]) -> None:
        width = (convolution.out_channels,)
        shapes = {f"{filters}.weight": convolution.weight.shape}
        shapes |= {f"{normalisation}.{part}": torch.Size(width) for part in ("weight", "bias", "running_mean", "running_var")}
        for name, shape in shapes.items():
            if name not in tensors:
                raise EncoderError(f"{self.weights.path} holds no {self.name}: there is no tensor {name} in it")
            if tensors[name].shape != shape:
                found = tuple(tensors[name].shape)
                raise EncoderError(
                    f"{self.weights.path} holds no {self.name}: {name} has shape {found} where {tuple(shape)} is right"
                )
        weight, scale, shift, mean, variance = (tensors[name].double() for name in shapes)
        scale = scale / (variance + NORMALISATION_EPSILON[self.name]).sqrt()
        with torch.no_grad():
            convolution.weight.copy_(weight * scale.view(-1, 1, 1, 1))
            assert convolution.bias is not None
            convolution.bias.copy_(shift - mean * scale)


def published_names(encoder: str) -> Iterator[tuple[str, str]]:
    """Give the published names of each convolution and of the batch normalisation after it, in the order of the network."""
    name_blocks = {"efficientnet_lite0": _timm_names, "mobilenet_v2": _torchvision_names}
    return name_blocks[encoder](PLANS[encoder])


def _timm_names(plan: tuple[Stage, ...]) -> Iterator[tuple[str, str]]:
    yield "conv_stem", "bn1"
    for number, stage in enumerate(plan):
        parts = ("conv_dw", "conv_pw") if stage.expansion == 1 else ("conv_pw", "conv_dw", "conv_pwl")
        for block in range(stage.blocks):
            for place, part in enumerate(parts, start=1):
                yield f"blocks.{number}.{block}.{part}", f"blocks.{number}.{block}.bn{place}"
    yield "conv_head", "bn2"


def _torchvision_names(plan: tuple[Stage, ...]) -> Iterator[tuple[str, str]]:
    yield "features.0.0", "features.0.1"
    blocks = [stage for stage in plan for _ in range(stage.blocks)]
    for number, stage in enumerate(blocks, start=1):
        rectified = 1 if stage.expansion == 1 else 2
        for place in range(rectified):
            yield f"features.{number}.conv.{place}.0", f"features.{number}.conv.{place}.1"
        yield f"features.{number}.conv.{rectified}", f"features.{number}.conv.{rectified + 1}"
    yield f"features.{len(blocks) + 1}.0", f"features.{len(blocks) + 1}.1"


def choose_weights(name: str) -> Weights:
    """Say which file of weights an encoder is read from on this machine: one that lies in the data folder, or the one to download.

    Raises:
        ValueError: if there is no such encoder.
    """
    if name not in WEIGHTS:
        raise ValueError(f"encoder {name!r} is unknown: choose one of {', '.join(ENCODERS)}")
    *brought, downloadable = WEIGHTS[name]
    return next((weights for weights in brought if data_files.local_path(weights.path).is_file()), downloadable)


def described_weights(path: str) -> Weights:
    """Tell how the network was fed that a declared file of weights comes from.

    Raises:
        ValueError: if there is no such file.
    """
    known = {weights.path: weights for several in WEIGHTS.values() for weights in several}
    if path not in known:
        raise ValueError(f"{path!r} is no file of an encoder: choose from {', '.join(known)}")
    return known[path]


def load_encoder(name: str, stride: int) -> Encoder:
    """Make an encoder and read its weights, downloading them if need be.

    Args:
        name: one of `captioning.config.ENCODERS`.
        stride: 16 or 32.

    Returns:
        The encoder, in evaluation mode, on the CPU.

    Raises:
        ValueError: if there is no such encoder or stride.
        attention_core.data_files.DataError: if its file is missing, cannot be downloaded, or is damaged.
        EncoderError: if its file lacks a tensor or has one of another shape.
    """
    encoder = Encoder(name, stride, choose_weights(name))
    encoder.read(read_tensors(data_files.fetch(encoder.weights.path)))
    return encoder.eval()


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Read tensors by name from a file of safetensors, or else of `torch.save`, from which nothing but tensors is taken."""
    if path.suffix == ".safetensors":
        return load_file(path)
    tensors: dict[str, Tensor] = torch.load(path, map_location="cpu", weights_only=True)
    return tensors

"""Data files: one declaration each, taken from a folder or downloaded once, and always checked.

If the environment variable `ATTENTION_DATA` names a folder, files are read from there and nothing is downloaded; otherwise
`pooch` fetches them into the user's cache. Either way the file's sha256 must be the declared one.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import pooch

FOLDER_VARIABLE = "ATTENTION_DATA"


class DataError(RuntimeError):
    """A data file is missing, cannot be downloaded, or is not the file that was declared."""


@dataclass(frozen=True)
class DataFile:
    """One file of a data set.

    Attributes:
        path: its path below the data folder, "data_set/file".
        urls: where it can be downloaded, tried in order; none for a file that is only ever brought.
        sha256: hexadecimal hash of the file as stored.
        size: its length in bytes.
        licence: what is known of its terms.
        instead_of: paths of declared files whose content it has too, in a folder that holds it in their place.
    """

    path: str
    urls: tuple[str, ...]
    sha256: str
    size: int
    licence: str
    instead_of: tuple[str, ...] = ()

    @property
    def data_set(self) -> str:
        """Name of the data set that the file belongs to."""
        return self.path.split("/")[0]


def _mnist_like(data_set: str, base_urls: tuple[str, ...], licence: str, files: dict[str, tuple[int, str]]) -> list[DataFile]:
    return [
        DataFile(f"{data_set}/{name}", tuple(base + name for base in base_urls), sha256, size, licence)
        for name, (size, sha256) in files.items()
    ]


DATA_FILES: dict[str, DataFile] = {
    file.path: file
    for file in [
        *_mnist_like(
            "mnist",
            ("https://ossci-datasets.s3.amazonaws.com/mnist/", "https://storage.googleapis.com/cvdf-datasets/mnist/"),
            "no licence stated by its authors (LeCun, Cortes, Burges); in universal use for research",
            {
                "train-images-idx3-ubyte.gz": (9912422, "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609"),
                "train-labels-idx1-ubyte.gz": (28881, "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c"),
                "t10k-images-idx3-ubyte.gz": (1648877, "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6"),
                "t10k-labels-idx1-ubyte.gz": (4542, "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6"),
            },
        ),
        *_mnist_like(
            "fashion_mnist",
            ("http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",),
            "MIT, copyright 2017 Zalando SE",
            {
                "train-images-idx3-ubyte.gz": (26421880, "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84"),
                "train-labels-idx1-ubyte.gz": (29515, "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845"),
                "t10k-images-idx3-ubyte.gz": (4422102, "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073"),
                "t10k-labels-idx1-ubyte.gz": (5148, "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5"),
            },
        ),
        # Salakhutdinov and Murray 2008, as H. Larochelle gave it out; what is known of it is of MNIST.
        *_mnist_like(
            "binarized_mnist",
            ("http://www.cs.toronto.edu/~larocheh/public/datasets/binarized_mnist/",),
            "no licence stated; made of MNIST by R. Salakhutdinov, I. Murray and H. Larochelle",
            {
                "binarized_mnist_train.amat": (78400000, "ad693b29f94c14277b095f5238ddefbbdaaae0939789dd2f4f0205278cee3e4d"),
                "binarized_mnist_valid.amat": (15680000, "1de3d397c40fe8eeb33dafd4099a1f665ec01e96d9be234aaeeac8a34930e2e2"),
                "binarized_mnist_test.amat": (15680000, "e6687bfea3f820c174f33b7865140b2a2dd2930ef786f35d45795fc193b5ab2c"),
            },
        ),
        DataFile(
            "binarized_mnist/binarized_mnist_packed.npz",
            (),
            "50de2c8299a5a297789293ab2c30f6fc3cb8c359a15e5e88d5501aa18ebb8fa5",
            2295919,
            "the same three files packed, eight pixels to a byte, for folders that hold them so",
            instead_of=tuple(f"binarized_mnist/binarized_mnist_{split}.amat" for split in ("train", "valid", "test")),
        ),
    ]
}


def needed_files() -> list[DataFile]:
    """List the files to have on this machine: all that can be downloaded, but for those that a file brought here stands for."""
    brought = [file for file in DATA_FILES.values() if file.instead_of and local_path(file.path).is_file()]
    replaced = {path for file in brought for path in file.instead_of}
    return [file for file in DATA_FILES.values() if file in brought or (file.urls and file.path not in replaced)]


def local_path(path: str) -> Path:
    """Say where a declared file lies, or would lie, on this machine."""
    folder = os.environ.get(FOLDER_VARIABLE)
    return (Path(folder) if folder else Path(pooch.os_cache("attention-suite"))) / path


def fetch(path: str) -> Path:
    """Return a declared file's place on this machine, downloading it if it may be.

    Args:
        path: a key of `DATA_FILES`.

    Returns:
        The file, its sha256 checked.

    Raises:
        KeyError: if no such file is declared.
        DataError: if it is not in the `ATTENTION_DATA` folder, cannot be downloaded, or has been cut or altered.
    """
    file = DATA_FILES[path]
    place = local_path(path)
    if os.environ.get(FOLDER_VARIABLE):
        if not place.is_file():
            raise DataError(
                f"{place} is missing: {FOLDER_VARIABLE} is set, so data is read from that folder and nothing is downloaded; "
                f"put {file.path} ({file.size:,} bytes) there, or unset {FOLDER_VARIABLE} to have it downloaded"
            )
    elif not place.is_file():
        _download(file, place)
    _check(file, place)
    return place


def _download(file: DataFile, place: Path) -> None:
    failures = []
    for url in file.urls:
        try:
            pooch.retrieve(url, known_hash=f"sha256:{file.sha256}", fname=place.name, path=place.parent, progressbar=True)
            return
        except (OSError, ValueError) as error:  # the network and the disk, or pooch where the hash is another
            failures.append(f"{url}: {error}")
    raise DataError(
        f"{file.path} could not be downloaded; set {FOLDER_VARIABLE} to a folder that holds it, or try again later.\n  "
        + "\n  ".join(failures)
    )


def _check(file: DataFile, place: Path) -> None:
    size = place.stat().st_size
    if size != file.size:
        raise DataError(
            f"{place} has {size:,} bytes where {file.size:,} are right: it was cut or altered; delete it and fetch it again"
        )
    found = pooch.file_hash(str(place))
    if found != file.sha256:
        raise DataError(f"{place} has sha256 {found} where {file.sha256} is right: it was altered; delete it and fetch it again")

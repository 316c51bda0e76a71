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
SHA256_DIGITS = 64


class DataError(RuntimeError):
    """A data file is missing, cannot be downloaded, or is not the file that was declared."""


@dataclass(frozen=True)
class DataFile:
    """One file of a data set.

    Attributes:
        path: its path below the data folder, "data_set/file".
        urls: where it can be downloaded, tried in order; none for a file that is only ever brought.
        sha256: hexadecimal hash of the file as stored, or as many of its first digits as are published.
        size: its length in bytes, None where that is not published.
        licence: what is known of its terms.
        instead_of: paths of declared files that are not needed in a folder that holds this one.
    """

    path: str
    urls: tuple[str, ...]
    sha256: str
    size: int | None
    licence: str
    instead_of: tuple[str, ...] = ()

    @property
    def data_set(self) -> str:
        """Name of the data set that the file belongs to."""
        return self.path.split("/")[0]

    @property
    def length(self) -> str:
        """Its size as it is shown."""
        return "size unknown" if self.size is None else f"{self.size:,} bytes"


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
        # Published file names end in the first eight digits of the hash. The files brought instead are smaller copies of other
        # trainings of the same networks; captioning.encoders knows how each is to be fed.
        DataFile(
            "encoders/tf_efficientnet_lite0-0aa007d2.pth",
            (
                "https://github.com/huggingface/pytorch-image-models/releases/download/v0.1-weights/"
                "tf_efficientnet_lite0-0aa007d2.pth",
            ),
            "0aa007d2",
            None,
            "Apache-2.0, Google's weights as Ross Wightman gives them out",
        ),
        DataFile(
            "encoders/mobilenet_v2-b0353104.pth",
            ("https://download.pytorch.org/models/mobilenet_v2-b0353104.pth",),
            "b0353104",
            None,
            "BSD-3-Clause, as torchvision",
        ),
        DataFile(
            "encoders/efficientnet_lite0.safetensors",
            (),
            "76a7079dd59a39d7de178bf519ab959331fa8053b4d782ab5688051e665ed608",
            7015576,
            "Apache-2.0, Google's feature vector EfficientNet-Lite0",
            instead_of=("encoders/tf_efficientnet_lite0-0aa007d2.pth",),
        ),
        DataFile(
            "encoders/mobilenet_v2.safetensors",
            (),
            "299bad6df964406bcccb476c220f982b98d002017c1578dc3ffb0a774e255ec5",
            7240560,
            "Apache-2.0, Google's quantised MobileNetV2 1.0/224",
            instead_of=("encoders/mobilenet_v2-b0353104.pth",),
        ),
        # Hodosh, Young and Hockenmaier 2013. Its pictures may not be passed on, so there is no address to name.
        *(
            DataFile(f"flickr8k/{name}", (), sha256, size, "pictures of Flickr's users, for non-commercial research only")
            for name, size, sha256 in (
                ("captions.json.gz", 790470, "764258841b7df0939834bf89137b0afddc4081ce9fc3a99f425fc25e961ee269"),
                ("images-176-0.tar", 35788800, "b9500cfcc93558931c7c580c76ec3160fffa656416b238d1fe5f8f4eff3f0211"),
                ("images-176-1.tar", 35952640, "ccdae21bb73cd1228d963c67c8b8b53e5c47a8ee15b837b6e79e43eee42f3ed6"),
            )
        ),
        # Word crops, brought to at most 64 lines of text height and packed anew, and so without an address.
        *(
            DataFile(f"ocr/{name}", (), sha256, size, licence)
            for licence, files in (
                (
                    "no licence stated; released for research (Mishra, Alahari, Jawahar 2012)",
                    (
                        ("iiit5k/test.tar.gz", 7585509, "771b053c6db812e0f2e48e78ecaf08343fea8676bf8ab3c343bab93567b6f3ee"),
                        ("iiit5k/test.tsv", 49925, "af1e02c5df744a89edf1ca5f31dd5bb20b625e2bacae22749d38242d5a43a145"),
                        ("iiit5k/train.tar.gz", 4335924, "25e9b613d4722b5a1b527b87ff75e55d52f685f335ce0f53121d3abb691773fa"),
                        ("iiit5k/train.tsv", 33131, "65b3e9f59de6b348316682314ae3248d99a7b57a4a331a67b0ce871fa5aca083"),
                    ),
                ),
                (
                    "no licence stated; Google Street View pictures, for research (Wang, Babenko, Belongie 2011)",
                    (
                        ("svt/test.tar.gz", 1892880, "a2ebed30c368c5d249d618ec1813d39f0f6f56d005e65fc66c202877b871967e"),
                        ("svt/test.tsv", 10266, "dc6af6463270a11c227b501cf115f19816f67edac6053e23be21eebbdaca43b4"),
                        ("svt/test_lexicon50.tsv", 229094, "67ae94b5e401f29c7ec298be96898c0e2e886a4753b67eae5eaa972ea98285fc"),
                        ("svt/train.tar.gz", 711211, "200efd53367f9581da980df0da870763fe6567d6c06f9a5ad6d4ac09a2d45a67"),
                        ("svt/train.tsv", 5586, "69cdb306f4edbda22742fe79aaf3f715ff3d43fc9dba5a0840471217a261dc28"),
                    ),
                ),
                (
                    "released for research by the competition (Karatzas et al. 2013)",
                    (
                        ("icdar2013/test.tar.gz", 4203591, "d1bf94be74a3a8232747ebdf151bb1efab9c1678f861c45c1261b08cc96fcaae"),
                        ("icdar2013/test_1015.tsv", 19592, "06d3f43ab8c5b9a43c77292abdc0f483e40899152047f149c3623989a0bfdc31"),
                        ("icdar2013/test_857.tsv", 17137, "7dc431d5afd64716a5ef891530ac9060692eccc4a2e87bcecd86405d57a987ce"),
                    ),
                ),
                (
                    "released for research by the competition (Lucas et al. 2003)",
                    (
                        ("icdar2003/train.tar.gz", 4313069, "58553040e7b715cf460686f2a508b7cfee95850445ea0485718d00bf84c0c43e"),
                        ("icdar2003/train_noic13.tsv", 17140, "67ff1e40df5d0b726868d07ac96abc5c43296c2d75a4d314437bd0bfcec78f97"),
                    ),
                ),
                (
                    "released for research by the competition (Karatzas et al. 2015)",
                    (
                        ("icdar2015/train.tar.gz", 6132395, "4a03721844c115f1fe0799960e968b2a73345230b80f7ebf236c211c2ac27db3"),
                        ("icdar2015/train.tsv", 89770, "fe48759910acb4ee125c368302fc434fee10d7022f4a7fbeea3b7ebf54bd9229"),
                    ),
                ),
            )
            for name, size, sha256 in files
        ),
        DataFile(
            "ocr/words.txt.gz",
            (),
            "1213e98fb63d09cca5a92c0314e5abdddd6f90d048ce6f5092263d69950409ff",
            207725,
            "SCOWL, copyright 2000-2011 Kevin Atkinson; may be used and passed on with its notice",
        ),
        # Elliott, Frank, Sima'an, Specia 2016; the files are its own, packed, so without an address.
        *(
            DataFile(f"multi30k/{name}", (), sha256, size, "no licence stated; captions of Flickr's pictures, for research")
            for name, size, sha256 in (
                ("train.en.gz", 568929, "d79cfa999dd4c51d2cb42499b6796d5a882c3a8a961923c25a898c90f8bbd56f"),
                ("train.de.gz", 637044, "726e39b2fa9eb9ffb6dc763fb35a179f80fae06ffc5d28b6ace5faa883de28a6"),
                ("train.fr.gz", 604242, "622e75069e9f4c577425c4f277116ce66e63a2401c0a2312d90073cb12379a3c"),
                ("val.en.gz", 21650, "14f7d25ddd868909a9213e361768460edcacdd6ab9d1e77b92560dc10c10dc28"),
                ("val.de.gz", 24681, "f0cba2f995189cf5770f29a8a9a537a3ad3f51657ad873405082ff6863a5e75a"),
                ("val.fr.gz", 23001, "ca3106f1a72390591d25f6c45cb4cd39dec4cd3f123e099748a3ce5256c160e9"),
                ("test_2016_flickr.en.gz", 21077, "611d361c6334bc7246101d48097c13cf5c4413c5befc793cc629934359d532d9"),
                ("test_2016_flickr.de.gz", 22890, "9204244e408ccb38d2a55cfcd344df15005fc42a07a6e55ca6c52b6ababb8cc8"),
                ("test_2016_flickr.fr.gz", 22310, "6d326e188d259fb1d04ac19eae3af956559b3a0b93d7635e56c90987c40c8b90"),
            )
        ),
        *(
            DataFile(f"tatoeba/{name}", (), sha256, size, "CC BY 2.0 FR, tatoeba.org's contributors")
            for name, size, sha256 in (
                ("eng-deu.2018-04-07.tsv.gz", 3981600, "68896194e44bad35684537d6882de5af1e6442ea42f9612433e4b8bf22136e7d"),
                ("eng-fra.2017-09-29.tsv.gz", 2941514, "ec59d6aaba2103a1320330f39bec51dbebbb20cb6bbe9976bd16b0622c965a50"),
            )
        ),
    ]
}


def needed_files() -> list[DataFile]:
    """List the files to have on this machine: those brought here, and all that can be downloaded but for those they stand for."""
    brought = [file for file in DATA_FILES.values() if not file.urls and local_path(file.path).is_file()]
    replaced = {path for file in brought for path in file.instead_of}
    return [file for file in DATA_FILES.values() if file in brought or (file.urls and file.path not in replaced)]


def listed_files() -> list[DataFile]:
    """List the files to have, and those that have to be brought because there is nowhere to download them from."""
    needed = needed_files()
    return [file for file in DATA_FILES.values() if file in needed or not (file.urls or file.instead_of)]


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
    if not place.is_file():
        if os.environ.get(FOLDER_VARIABLE):
            or_download = f", or unset {FOLDER_VARIABLE} to have it downloaded" if file.urls else ""
            raise DataError(
                f"{place} is missing: {FOLDER_VARIABLE} is set, so data is read from that folder and nothing is downloaded; "
                f"put {file.path} ({file.length}) there{or_download}"
            )
        _download(file, place)
    _check(file, place)
    return place


def _download(file: DataFile, place: Path) -> None:
    if not file.urls:
        raise DataError(
            f"{file.path} ({file.length}) has no address to be downloaded from ({file.licence}); "
            f"set {FOLDER_VARIABLE} to a folder that holds it"
        )
    # pooch compares whole hashes only; the file's check knows what to do with the beginning of one.
    known_hash = f"sha256:{file.sha256}" if len(file.sha256) == SHA256_DIGITS else None
    failures = []
    for url in file.urls:
        try:
            pooch.retrieve(url, known_hash=known_hash, fname=place.name, path=place.parent, progressbar=True)
            return
        except (OSError, ValueError) as error:  # the network and the disk, or pooch where the hash is another
            failures.append(f"{url}: {error}")
    raise DataError(
        f"{file.path} could not be downloaded; set {FOLDER_VARIABLE} to a folder that holds it, or try again later.\n  "
        + "\n  ".join(failures)
    )


def _check(file: DataFile, place: Path) -> None:
    size = place.stat().st_size
    if file.size is not None and size != file.size:
        raise DataError(
            f"{place} has {size:,} bytes where {file.size:,} are right: it was cut or altered; delete it and fetch it again"
        )
    found = pooch.file_hash(str(place))
    if not found.startswith(file.sha256):
        right = file.sha256 if len(file.sha256) == SHA256_DIGITS else f"{file.sha256}…"
        raise DataError(f"{place} has sha256 {found} where {right} is right: it was altered; delete it and fetch it again")

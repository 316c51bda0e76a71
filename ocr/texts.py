"""What is written in synthetic crops: words, numbers, made-up names and mixtures, about as often as in real ones."""

from __future__ import annotations

import gzip
from collections.abc import Sequence
from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from attention_core.data_files import fetch
from ocr.words_config import WordConfig

WORD_LIST = "ocr/words.txt.gz"
# How often words in the training pictures of IIIT5K, SVT and ICDAR 2003 have 1, 2, ... letters, in percent and smoothed.
LENGTHS = (3, 9, 14.5, 17, 15, 13, 10.5, 6.5, 4.3, 2.8, 1.6, 1, 0.7, 0.5, 0.3, 0.2, 0.1, 0.05, 0.03, 0.02, 0.02, 0.02, 0.02)
# Words that signs, posters and covers of books are full of; so large a share of the words of their lengths is drawn from them.
COMMON_SHARE = 0.3
_COMMON_LINES = """
a i of to in is it on at by we my be no or up so do go if me us am an as he all and any are bar big but buy can car cut day did
dry due end eye far few fit for fun gas get god had has her him his hot how ice inn its job key kid law let low mad man may men
mix new non not now off oil old one our out own pay per pub red sea see set she sir sky son spa sun tax tea the too top two try
use van via war was way who why win yes yet you zoo able also auto baby back bank bath beer bell best blue body book both call
camp card care case cash city clean club coffee cold come copy dark data days dead down easy east even ever exit face fair farm
fast feel film fine fire fish five food foot four free fresh from full game gate gift girl give gold golf good green group hair
half hand have head health hear heart help here high hill home hope hotel hour house into island item just keep king kiss lady
lake land last late life light like line list live long look loss love made mail main make mall many mark meat meet menu milk
mind mini miss more most much music must name near need news next nice night north note ocean once only open order other oven
over page paper park part past path peace people phone photo pizza place plan play plus police pool port power press price prime
public push queen quick radio rain ready real rent rest rice ride right road rock room royal safe sale salon same save school
seal seat sell send service shoe shop show side sign silver site slow small snow soft some song soon soup south space speed
sport square star state station steak stop store story street studio style such summer sure sweet take talk tall taxi team tell
text than that their them then there these they thing think this those three tickets time tire today tool tour tower town toys
trade trail train travel tree true turn under unit upon urban used very video view wait walk wall want warm wash watch water
week well were west what when where white will wind wine wing wish with wood word work world would year yellow young your zone
danger warning caution entrance center centre company limited welcome avenue university library international national
management bakery fashion beauty dental insurance department information computer professional personal business special quality
original
"""
COMMON = _COMMON_LINES.split()

# The number of a word's beginning and end among letters, which are 0 to 25.
_END = 26
_BEFORE = ('"', "'", "(", "$", "#", "-", "$", "@")
_AFTER = (",", ".", "!", ",", ".", "!", "?", ":", ";", '"', "'", ")", "'s", "%", "...", "-", "*", "!!", "/")
_WITHIN = ("-", "'", ".", "&", "-", "/")
_PLATES = ("LLDDLLL", "LLLDDDD", "LDDD", "LD", "LLD", "DL", "DDL", "LDL", "LDDDLLL", "LLDD", "DLLL", "LDLD", "LLDDDD", "LDD")


class Text(NamedTuple):
    """What stands in a picture.

    Attributes:
        drawn: as it is drawn, ASCII letters, digits and signs.
        label: its letters and digits in small letters, one at least.
    """

    drawn: str
    label: str


def draw_text(config: WordConfig, generator: Generator) -> Text:
    """Draw what is to be written.

    Args:
        config: shares of kinds and cases.
        generator: where the draws come from.
    """
    kinds = (_draw_word, _draw_number, _draw_name, _draw_mixture)
    kind = pick(np.cumsum((config.words, config.numbers, config.names, config.mixtures)), generator)
    characters = kinds[kind](config.longest, generator)
    if kinds[kind] is not _draw_number:
        characters = _put_case(characters, config, generator)
    text = Text(characters, characters.lower())
    if generator.random() < config.punctuation:
        drawn = _punctuate(characters, generator)
        label = "".join(filter(str.isalnum, drawn)).lower()
        text = Text(drawn, label) if len(label) <= config.longest else text
    return text


def pick(below: NDArray[np.float64], generator: Generator) -> int:
    """Draw a place in a list, by cumulative weights, (places,)."""
    return min(int(np.searchsorted(below, generator.random() * below[-1], side="right")), len(below) - 1)


def _one_of(choices: Sequence[str], generator: Generator) -> str:
    return choices[int(generator.random() * len(choices))]


def _draw_length(least: int, longest: int, generator: Generator) -> int:
    below = _LENGTHS_BELOW[: max(least, min(longest, len(LENGTHS)))]
    before = below[least - 2] if least > 1 else 0.0
    return int(np.searchsorted(below, before + generator.random() * (below[-1] - before), side="right")) + 1


_LENGTHS_BELOW = np.cumsum(LENGTHS)


def _draw_word(longest: int, generator: Generator) -> str:
    listed = lexicon()
    length = min(_draw_length(1, longest, generator), listed.longest)
    common = listed.common.get(length)
    if common and generator.random() < COMMON_SHARE:
        return _one_of(common, generator)
    return _one_of(listed.words[length], generator)


def _draw_name(longest: int, generator: Generator) -> str:
    below = lexicon().letters_below
    length = _draw_length(min(3, longest), min(12, longest), generator)
    name: list[int] = []
    one, two, three = _END, _END, _END
    while len(name) < length:
        row = below[one, two, three]
        # Where no letter can follow, the name goes on like one that begins with its last letters.
        letter = int(np.searchsorted(row, generator.random() * float(row[-1]), side="right")) if row[-1] > 0 else _END
        if letter >= _END:
            shorter = ((_END, two, three), (_END, _END, three), (_END, _END, _END))
            one, two, three = next(before for before in shorter if below[before][-1] > 0)
            continue
        name.append(letter)
        one, two, three = two, three, letter
    return "".join(chr(ord("a") + letter) for letter in name)


def _draw_number(longest: int, generator: Generator) -> str:
    kind = generator.random()
    whole = int(generator.random() * 10 ** int(1 + 4 * generator.random()))
    if kind < 0.55:  # house numbers, prices, scores, sizes
        number = str(whole)
    elif kind < 0.68:
        number = str(int(1900 + 130 * generator.random()))
    elif kind < 0.74:  # 1st, 22nd
        number = f"{whole % 100}{'th' if whole % 100 // 10 == 1 else {1: 'st', 2: 'nd', 3: 'rd'}.get(whole % 10, 'th')}"
    elif kind < 0.80:  # 1000, 250000
        number = str(1 + whole % 99) + "0" * int(1 + 4 * generator.random())
    elif kind < 0.90:  # telephone numbers and the like
        number = "".join(str(int(10 * generator.random())) for _ in range(int(4 + 7 * generator.random())))
    elif kind < 0.95:  # 7pm, 1030am, 500ml, 20km
        unit = _one_of(
            ("am", "pm", "AM", "PM", "km", "ml", "kg", "g", "m", "cm", "mm", "p", "s", "x", "D", "K", "GB", "W"), generator
        )
        number = f"{whole % 1000}{unit}"
    else:  # 0012, 007
        number = str(whole).zfill(int(2 + 4 * generator.random()))
    return number[:longest]


def _draw_mixture(longest: int, generator: Generator) -> str:
    if generator.random() < 0.5:
        return "".join(
            _one_of("0123456789" if sign == "D" else "abcdefghijklmnopqrstuvwxyz", generator)
            for sign in _one_of(_PLATES, generator)
        )[:longest]
    characters = "abcdefghijklmnopqrstuvwxyz" if generator.random() < 0.6 else "0123456789abcdefghijklmnopqrstuvwxyz"
    length = min(longest, int(1 + 7 * generator.random() ** 1.5))
    return "".join(_one_of(characters, generator) for _ in range(length))


def _put_case(characters: str, config: WordConfig, generator: Generator) -> str:
    case = pick(np.cumsum((config.upper, config.capitalised, config.lower, config.mixed)), generator)
    if case == 0:
        return characters.upper()
    if case == 1:
        return characters.capitalize()
    if case == 2:
        return characters.lower()
    return "".join(one.upper() if generator.random() < 0.5 else one.lower() for one in characters)


def _punctuate(characters: str, generator: Generator) -> str:
    """Put a sign, or a few, before, behind or into a text."""
    place = generator.random()
    if place < 0.6:
        return characters + _one_of(_AFTER, generator)
    if place < 0.72:
        return _one_of(_BEFORE, generator) + characters
    if place < 0.82:
        opening, closing = (("'", "'"), ('"', '"'), ("(", ")"), ("[", "]"), ("-", "-"))[int(5 * generator.random())]
        return opening + characters + closing
    if len(characters) < 3:
        return characters + "."
    cut = 1 + int(generator.random() * (len(characters) - 1))
    return characters[:cut] + _one_of(_WITHIN, generator) + characters[cut:]


# The list of words -------------------------------------------------------------------------------------------------------


class Lexicon(NamedTuple):
    """The list of words, and what was learned from it.

    Attributes:
        words: by their lengths.
        common: those of `COMMON` by their lengths.
        longest: most letters of a word.
        letters_below: (27, 27, 27, 27) for the three letters before, cumulative counts of the next one; 26 is a word's end.
    """

    words: dict[int, list[str]]
    common: dict[int, list[str]]
    longest: int
    letters_below: NDArray[np.float32]


@cache
def lexicon() -> Lexicon:
    """Read the list of words, once in a process.

    Raises:
        attention_core.data_files.DataError: if it is missing or damaged.
    """
    with gzip.open(fetch(WORD_LIST), "rt", encoding="ascii") as stream:
        listed = sorted({line.strip().lower() for line in stream} - {""})
    words = _by_length(listed)
    longest = max(words)
    for length in range(2, longest):
        words.setdefault(length, words[length - 1])
    return Lexicon(words, _by_length(COMMON), longest, _chain(listed))


def _by_length(words: Sequence[str]) -> dict[int, list[str]]:
    lengths: dict[int, list[str]] = {}
    for word in words:
        lengths.setdefault(len(word), []).append(word)
    return lengths


def _chain(words: Sequence[str]) -> NDArray[np.float32]:
    """Count which letter follows which three; before the first letter and behind the last one stand ends."""
    joined = ("{" * 3).join(["", *words, ""])  # "{" is the character after "z"
    letters = np.frombuffer(joined.encode("ascii"), np.uint8).astype(np.int64) - ord("a")
    size = _END + 1
    places = ((letters[:-3] * size + letters[1:-2]) * size + letters[2:-1]) * size + letters[3:]
    counts = np.bincount(places, minlength=size**4).reshape(size, size, size, size)
    counts[_END, _END, _END, _END] = 0
    counts[..., _END] = 0  # lengths are drawn beforehand
    return counts.cumsum(axis=-1).astype(np.float32)

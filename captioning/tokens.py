"""Sentences as words, and the vocabulary that is learned from them.

Captions are scored on the words of COCO's evaluation (Chen et al. 2015, arXiv 1504.00325): the Penn Treebank tokenisation of
Stanford's `PTBTokenizer`, in lower case, without punctuation. That one needs Java; `tokenize` has the part of its rules that
English captions meet, so that training needs none. On all 40 455 captions of Flickr8k both give the same words.

What it leaves out: emoticons, markup, names such as "c++", and French elisions but for those with d, l, n and o.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence

from attention_env.captions import SPECIAL, Vocabulary

# A full stop belongs to these words. Titles, streets, companies, days, months, states, and some Latin.
_ABBREVIATIONS = (
    "mr mrs ms dr drs prof rev gen sen sens rep reps gov lt col sgt capt cmdr cpl pvt maj adm brig hon msgr pres supt "
    "messrs mme mlle st ste mt ft jr sr esq ave blvd rd sq ct bldg bros co cos corp inc ltd plc dept univ assn assoc intl "
    "natl mfg est etc vs v al cf seq tel ext ph.d jan feb mar apr jun jul aug sep sept oct nov dec mon tue tues wed thu "
    "thurs fri ala ariz calif colo conn dak fla ga ind kan kans ky md mich minn mo mont neb nev okla penn tenn va vt wis "
    "wyo"
)
# To these only where they begin with a capital, being words otherwise.
_CAPITAL_ABBREVIATIONS = "ark del ill la mass miss ore pa tex wash"
# To these only before a number.
_NUMBERED_ABBREVIATIONS = "no nos fig pp ca op"

_LETTER = r"[^\W\d_]"
_SIGN = r"[^\W_]"  # a letter or a digit
_END = rf"(?!{_SIGN})"
_ENDS = rf"(?!'?{_SIGN})"  # and nothing like 's follows


def _one_of(words: str) -> str:
    return "|".join(map(re.escape, words.split()))


# The first rule that fits decides, so what is longer comes first. What fits none (stops, commas, dashes, quotes) is left out.
_RULES = (
    # brackets of what has been tokenised before, which is so tokenised to itself
    r"(?i:-[lr][rsc]b-)",
    r"https?://\S*\w",
    r"[\w.+-]+@\w+(?:\.\w+)+",
    rf"[@#]{_LETTER}\w*",
    # and/or, black/white, 1/2-mile
    rf"{_SIGN}+(?:-{_LETTER}+){{0,2}}(?:/{_SIGN}+(?:-{_LETTER}+){{0,2}}){{1,2}}",
    # t-shirt, 3.5-mile, jack-o'lantern
    rf"{_SIGN}(?:{_SIGN}|[.,])*(?:-(?:o'{_LETTER}+|{_SIGN}+))+",
    rf"{_SIGN}+(?:_+{_SIGN}+)+",
    # 1,000.50, 10:30, .5, -5
    r"[+-]?\d*(?:[.:,]\d+)+",
    rf"[+-]\d+{_END}",
    # B, U.S., a.m.; AT&T
    rf"(?:{_LETTER}\.)+{_END}",
    r"[A-Z]{1,3}&[A-Z]{1,3}(?![a-z])",
    rf"(?i:{_one_of(_ABBREVIATIONS)})\.(?!{_LETTER})",
    rf"(?:{_one_of(_CAPITAL_ABBREVIATIONS.title())}|{_one_of(_CAPITAL_ABBREVIATIONS.upper())})\.(?!{_LETTER})",
    rf"(?i:{_one_of(_NUMBERED_ABBREVIATIONS)})\.(?=\s*\d)",
    # can|not, gon|na, got|ta, wan|na, gim|me, lem|me, 't|is, 't|was
    rf"(?i:can(?=not{_ENDS})|(?:gon|wan)(?=na{_ENDS})|got(?=ta{_ENDS})|(?:gim|lem)(?=me{_ENDS}))",
    rf"'[tT](?=(?i:is|was){_END})",
    # do|n't, ca|n't
    rf"{_LETTER}+?(?=[nN]'[tT]{_END})",
    rf"[nN]'[tT]{_END}",
    # words with an apostrophe of their own
    rf"(?i:ma'am|ne'er|e'er|ev'ry|hallowe'en|c'mon|s'mores){_END}",
    r"(?i:ol|somethin|dunkin)'",
    rf"[dlnoDLNO]'{_LETTER}+",
    rf"[yY]'(?={_LETTER})",
    # words and years that one stands before: 'em, rock 'n' roll, '80s
    rf"'(?i:em|till?|cause){_END}",
    rf"'[nN](?:'|{_END})",
    rf"'\d\ds{_END}|'\d\d(?=\s|$)",
    # dog|'s, they|'re
    rf"'(?i:s|m|d|re|ve|ll){_END}",
    # dog, 4x4, 3rd, statefarm.com
    rf"{_LETTER}{_SIGN}*(?:[.!?]{_LETTER}{_SIGN}*)*",
    rf"{_SIGN}+",
    r"[?!]{2,}|\*+|_+",
    r"""[^\w\s.,:;?!'"`-]""",
)
_TOKEN = re.compile("|".join(_RULES))

_TYPOGRAPHY = str.maketrans(
    {"’": "'", "‘": " ", "“": '"', "”": '"', "–": " ", "—": " ", "…": " ", "`": " ", "¼": "1/4", "½": "1/2", "¾": "3/4"}
)
_NAMED = {"(": "-lrb-", ")": "-rrb-", "[": "-lsb-", "]": "-rsb-", "{": "-lcb-", "}": "-rcb-", "£": "#", "€": "$", "¢": "cents"}


def tokenize(sentence: str) -> list[str]:
    """Split an English sentence into words as COCO's evaluation does.

    Args:
        sentence: one or more sentences of running text; line breaks count as blanks.

    Returns:
        The words in lower case, punctuation left out: "The dog's T-shirt isn't red." becomes the, dog, 's, t-shirt, is, n't, red.
        Round brackets stay, as -lrb- and -rrb-: COCO's list of punctuation has them in capitals, and looks after lower-casing.
    """
    return [_NAMED.get(token, token.lower()) for token in _TOKEN.findall(sentence.translate(_TYPOGRAPHY).replace("&amp;", "&"))]


def build_vocabulary(sentences: Iterable[Sequence[str]], least: int) -> Vocabulary:
    """Number the words of the training sentences.

    Args:
        sentences: tokenised.
        least: how often a word must have been seen to be one of the vocabulary.

    Returns:
        The special words, then the others, the most frequent first, those as frequent in alphabetical order.

    Raises:
        ValueError: if `least` is less than 1, or no word has been seen so often.
    """
    if least < 1:
        raise ValueError(f"least must be at least 1, got {least}")
    counts = Counter(word for sentence in sentences for word in sentence)
    words = sorted((word for word, count in counts.items() if count >= least), key=lambda word: (-counts[word], word))
    if not words:
        raise ValueError(f"no word occurs {least} times or more: give more sentences or a smaller `least`")
    return Vocabulary((*SPECIAL, *words))

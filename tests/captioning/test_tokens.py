"""The tokeniser: COCO's words without Java, and the vocabulary made of them."""

from __future__ import annotations

import gzip
import json
from collections.abc import Sequence
from pathlib import Path

import pytest
from java import needs_java
from pycocoevalcap.tokenizer.ptbtokenizer import PTBTokenizer

from attention_env.captions import END, SPECIAL, UNKNOWN
from captioning.tokens import build_vocabulary, tokenize

# What COCO's tokeniser makes of these; `test_hard_cases_are_what_coco_makes_of_them` asks it.
HARD = {
    "A dog runs .": "a dog runs",
    "A dog runs.": "a dog runs",
    "A dog runs. A cat sits.": "a dog runs a cat sits",
    "A dog runs.A cat sits.": "a dog runs.a cat sits",
    "The man's dog can't find John 's bone": "the man 's dog ca n't find john 's bone",
    "the two boys' dogs' bone": "the two boys dogs bone",
    "I'm you're he'll they've she'd it's": "i 'm you 're he 'll they 've she 'd it 's",
    "WON'T don't. shan't, isn't! couldn't've": "wo n't do n't sha n't is n't could n't 've",
    "did n't dont": "did n't dont",
    "cannot Cannot. CANNOT cannot-be": "can not can not can not cannot-be",
    "gonna wanna gotta gimme lemme, GONNA": "gon na wan na got ta gim me lem me gon na",
    "'tis 'Twas": "'t is 't was",
    "a t-shirt , T-shirts and a 3-wheeler": "a t-shirt t-shirts and a 3-wheeler",
    "a dog- and -cat mid-air-jump x - y -- z dog--cat dog–cat": "a dog and cat mid-air-jump x y z dog cat dog cat",
    "an ant 's-eye-view a bird's-eye view": "an ant 's eye-view a bird 's eye view",
    "11-year-old-girl's 2-on-2 3.5-mile": "11-year-old-girl 's 2-on-2 3.5-mile",
    "\"Mark ' Mom ' Finley\" ``hello'' “hi” ‘hi’ it’s": "mark mom finley hello hi hi it 's",
    "1,000 2.5 1,000.50 12:30 .5 3rd 1950s 4x4 6ft -5 10:30am": "1,000 2.5 1,000.50 12:30 .5 3rd 1950s 4x4 6ft -5 10:30 am",
    "dog,cat 5,dog dog:cat dog;cat dog,5": "dog cat 5 dog dog cat dog cat dog ,5",
    "the '80s, 80's, the 1960s' rock 'n' roll rock'n'roll 'em": "the '80s 80 's the 1960s rock 'n' roll rock 'n' roll 'em",
    "o'clock O'Brien ma'am d'Artagnan s'mores jack-o'lantern ol' goin' y'all": (
        "o'clock o'brien ma'am d'artagnan s'mores jack-o'lantern ol' goin y' all"
    ),
    "slip n 'slide n'slide dog'cat": "slip n slide n'slide dog cat",
    "R & B AT&T at&t A&amp;M stone &amp; tile": "r & b at&t at & t a&m stone & tile",
    "( # 7 ) #1 [a] {b} @home": "-lrb- # 7 -rrb- # 1 -lsb- a -rsb- -lcb- b -rcb- @home",
    "a -lrb- that -rrb- was tokenised n't 's": "a -lrb- that -rrb- was tokenised n't 's",
    "wait ... what.... and.. ok…": "wait what and ok",
    "St. John and Mr. Smith live on Main St. vs. Dr. No .": "st. john and mr. smith live on main st. vs. dr. no",
    "No. 5 no. no . Ill. ill. etc., Jr.'s": "no. 5 no no ill. ill etc. jr. 's",
    "in Washington D.C.": "in washington d.c.",
    'U.S. S.C.U.B.A. a.m p.m. U.S.-based the letter P. " u.s.a': "u.s. s.c.u.b.a. a.m p.m. u.s.-based the letter p. u.s.a",
    "black/white and/or 1/2 24/7. w/o dog/ a/b/c/d": "black/white and/or 1/2 24/7 w/o dog / a/b/c / d",
    "RIF=ding a+b a*b $5 50% a_b _": "rif = ding a + b a * b $ 5 50 % a_b _",
    'What?! !! ? ! a?b bro! "': "what ?! !! a?b bro",
    "www.dog.com statefarm.com http://a.b/c?d=e. me@you.com.": "www.dog.com statefarm.com http://a.b/c?d=e me@you.com",
    "café NAÏVE piñata-shaped straße": "café naïve piñata-shaped straße",
    " tab\there  and there ": "tab here and there",
    "": "",
    ' " . ': "",
}


@pytest.mark.parametrize(("sentence", "words"), HARD.items(), ids=list(HARD))
def test_hard_cases(sentence: str, words: str) -> None:
    assert tokenize(sentence) == words.split()


@needs_java
def test_hard_cases_are_what_coco_makes_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JAVA_TOOL_OPTIONS", "-Dfile.encoding=UTF-8")
    assert dict(zip(HARD, coco_words([*HARD]), strict=True)) == {sentence: words.split() for sentence, words in HARD.items()}


@needs_java
def test_every_caption_of_flickr8k_has_cocos_words(data_folder: Path) -> None:
    sentences = flickr8k_sentences(data_folder)
    assert len(sentences) == 40455
    others = {
        sentence: (tokenize(sentence), words)
        for sentence, words in zip(sentences, coco_words(sentences), strict=True)
        if tokenize(sentence) != words
    }
    assert not others


def test_line_breaks_are_blanks() -> None:
    assert tokenize("a dog\nand\r\na\u2028cat\u00a0sit") == ["a", "dog", "and", "a", "cat", "sit"]


def test_words_of_flickr8k_joined_by_blanks_are_the_same_words_again(data_folder: Path) -> None:
    written = [tokenize(sentence) for sentence in flickr8k_sentences(data_folder)[::10]]
    assert [tokenize(" ".join(words)) for words in written] == written


def test_vocabulary_has_the_frequent_words_in_order_of_frequency_then_alphabet() -> None:
    sentences = [["a", "b", "c"], ["b", "a", "d"], ["a", "d", "e"], ["b", "a"]]
    vocabulary = build_vocabulary(iter(sentences), 2)
    assert vocabulary.words == (*SPECIAL, "a", "b", "d")
    assert vocabulary.encode(["d", "c", "a"]) == [6, UNKNOWN, 4, END]
    assert build_vocabulary(sentences, 1).words == (*SPECIAL, "a", "b", "d", "c", "e")


def test_vocabulary_without_words_is_refused() -> None:
    with pytest.raises(ValueError, match="no word occurs 3 times or more"):
        build_vocabulary([["a", "a"]], 3)
    with pytest.raises(ValueError, match="least must be at least 1, got 0"):
        build_vocabulary([["a"]], 0)


def flickr8k_sentences(folder: Path) -> list[str]:
    with gzip.open(folder / "flickr8k" / "captions.json.gz", "rt", encoding="utf-8") as stream:
        return [sentence for picture in json.load(stream)["images"] for sentence in picture["captions"]]


def coco_words(sentences: Sequence[str]) -> list[list[str]]:
    captions = [{"caption": sentence} for sentence in sentences]
    return [words.split() for words in PTBTokenizer().tokenize({0: captions})[0]]

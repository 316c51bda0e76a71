"""Sentences and translations: data sets, files of one's own, and what is wrong with them."""

from __future__ import annotations

import gzip
import itertools
from pathlib import Path

import pytest

import transformer.corpora
from transformer.config import TransformerConfig
from transformer.corpora import CorpusError, decode_lines, load_corpus, read_pairs

OWN = TransformerConfig(data="files", train_files=("train.tsv",), validation_files=("validation.tsv",))


def plain(line: str) -> str:
    return "".join(filter(str.isalnum, line.casefold()))


# Data sets --------------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("data_folder")
@pytest.mark.parametrize(("split", "count"), [("train", 29_000), ("validation", 1014), ("test", 1000)])
def test_multi30k_has_its_sentences(split: str, count: int) -> None:
    corpus = load_corpus(TransformerConfig(data="multi30k"), split)
    assert len(corpus.sources) == len(corpus.targets) == count
    assert all(line.strip() for side in corpus for line in side)
    turned = load_corpus(TransformerConfig(data="multi30k", source="de", target="en"), split)
    assert (turned.sources, turned.targets) == (corpus.targets, corpus.sources)


@pytest.mark.usefixtures("data_folder")
@pytest.mark.parametrize("languages", [("en", "de"), ("fr", "en")])
def test_tatoeba_is_added_without_what_scores_are_made_of(languages: tuple[str, str]) -> None:
    source, target = languages
    alone = load_corpus(TransformerConfig(data="multi30k", source=source, target=target), "train")
    both = TransformerConfig(data="multi30k_tatoeba", source=source, target=target)
    corpus = load_corpus(both, "train")
    assert corpus.sources[:29_000] == alone.sources
    assert len(corpus.sources) == len(corpus.targets) > 129_000
    held = {plain(line) for split in ("validation", "test") for side in load_corpus(both, split) for line in side}
    assert len(held) > 3900
    assert not held & {plain(line) for side in corpus for line in side[29_000:]}


def test_a_sentence_is_known_again_by_its_letters(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = {f"multi30k/{split}.{language}.gz": "" for split in ("train", "val", "test_2016_flickr") for language in ("en", "de")}
    files |= {"multi30k/train.en.gz": "A cat.\n", "multi30k/train.de.gz": "Eine Katze.\n"}
    files |= {"multi30k/val.en.gz": "A dog runs.\n", "multi30k/val.de.gz": "Ein Hund rennt.\n"}
    files |= {"multi30k/test_2016_flickr.en.gz": "A man, outside.\n", "multi30k/test_2016_flickr.de.gz": "Ein Mann im Freien.\n"}
    pairs = [
        "a dog runs\tEs rennt ein Hund.",
        "Look!\tein mann  im freien",
        "A cow.\tEine Kuh.\tfrom somebody",
        "A cat.\tDie Katze.",
    ]
    files["tatoeba/eng-deu.2018-04-07.tsv.gz"] = "\n".join(pairs)
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(gzip.compress(text.encode()))
    monkeypatch.setattr(transformer.corpora, "fetch", tmp_path.joinpath)
    corpus = load_corpus(TransformerConfig(data="multi30k_tatoeba"), "train")
    assert corpus.sources == ["A cat.", "A cow.", "A cat."]
    assert corpus.targets == ["Eine Katze.", "Eine Kuh.", "Die Katze."]
    for language in ("de", "fr"):
        (tmp_path / f"multi30k/train.{language}.gz").write_bytes(gzip.compress(b"Hallo, salut\n"))
    with pytest.raises(CorpusError, match="of English and de or fr, not of de and fr"):
        load_corpus(TransformerConfig(data="multi30k_tatoeba", source="de", target="fr"), "train")


def test_the_made_up_task_writes_letters_backwards() -> None:
    splits = {split: load_corpus(TransformerConfig(), split) for split in ("train", "validation", "test")}
    assert {split: len(corpus.sources) for split, corpus in splits.items()} == {"train": 20_000, "validation": 500, "test": 500}
    for corpus in splits.values():
        for source, target in itertools.islice(zip(*corpus, strict=True), 100):
            assert source.split() == target.split()[::-1]
    assert splits["test"].sources == load_corpus(TransformerConfig(), "test").sources
    assert len(set(splits["test"].sources) & set(splits["train"].sources)) < 5


# Files ------------------------------------------------------------------------------------------------------------------


def test_a_file_with_tabs_is_read(tmp_path: Path) -> None:
    file = tmp_path / "pairs.tsv"
    file.write_text("one\teins\r\ntwo\x0cfeeds\tzwei\tand more\n\n\t\n\tdrei\n\n", encoding="utf-8")
    corpus = read_pairs([file])
    assert corpus.sources == ["one", "two\x0cfeeds", "", ""]
    assert corpus.targets == ["eins", "zwei", "", "drei"]
    zipped = tmp_path / "pairs.tsv.gz"
    zipped.write_bytes(gzip.compress(file.read_bytes()))
    assert read_pairs([zipped]) == corpus


def test_two_files_are_read(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("one\n\nthree", encoding="utf-8")
    (tmp_path / "b").write_text("eins\nzwei\n\n", encoding="utf-8")
    corpus = read_pairs([tmp_path / "a", tmp_path / "b"])
    assert corpus.sources == ["one", "", "three"]
    assert corpus.targets == ["eins", "zwei", ""]


def test_what_is_wrong_with_files_is_named(tmp_path: Path) -> None:
    short, long = tmp_path / "short", tmp_path / "long"
    short.write_text("one\ntwo\n")
    long.write_text("eins\nzwei\ndrei\n")
    with pytest.raises(CorpusError, match=r"short has 2 lines and .*long has 3: they must have as many"):
        read_pairs([short, long])
    with pytest.raises(CorpusError, match=r"line 1 of .*short must be a sentence, a tab and its translation, got 'one'"):
        read_pairs([short])
    (tmp_path / "empty").write_text("")
    for files in ([tmp_path / "empty"], [tmp_path / "empty", tmp_path / "empty"]):
        with pytest.raises(CorpusError, match="empty must hold sentences, and there are none"):
            read_pairs(files)
    with pytest.raises(CorpusError, match="none cannot be read"):
        read_pairs([tmp_path / "none", long])
    with pytest.raises(CorpusError, match="cannot be read"):
        read_pairs([tmp_path])
    with pytest.raises(CorpusError, match="one file with tabs or in two files, got 3"):
        read_pairs([short, long, long])
    (tmp_path / "bytes").write_bytes("one\tä\ntwo\t".encode() + b"\xe4\n")
    with pytest.raises(CorpusError, match=r"line 2 of .*bytes is not UTF-8 text"):
        read_pairs([tmp_path / "bytes"])
    damaged = tmp_path / "damaged.gz"
    damaged.write_bytes(b"no gzip")
    with pytest.raises(CorpusError, match=r"damaged\.gz cannot be read"):
        read_pairs([damaged])
    damaged.write_bytes(gzip.compress(b"one\teins\n" * 1000)[:-20])
    with pytest.raises(CorpusError, match=r"damaged\.gz cannot be read"):
        read_pairs([damaged])


def test_bytes_become_lines() -> None:
    assert decode_lines(b"", "the input") == []
    assert decode_lines(b"\n", "the input") == [""]
    assert decode_lines(b"a\n\nb", "the input") == ["a", "", "b"]
    assert decode_lines(b"\xef\xbb\xbfA dog.", "the input") == ["A dog."]  # with the mark that some editors set
    assert decode_lines("\u2028x\r\ny\n".encode(), "the input") == ["\u2028x", "y"]
    with pytest.raises(CorpusError, match="line 3 of the input is not UTF-8 text"):
        decode_lines(b"a\nb\n\xff\n", "the input")


def test_files_of_ones_own_have_the_splits_that_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("train.tsv").write_text("one\teins\n")
    Path("validation.tsv").write_text("two\tzwei\n")
    assert load_corpus(OWN, "train").sources == ["one"]
    assert load_corpus(OWN, "validation").targets == ["zwei"]
    with pytest.raises(CorpusError, match="no test split: name the files to be scored"):
        load_corpus(OWN, "test")

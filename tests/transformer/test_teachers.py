"""Learning from translators: which pairs they give, and when they are asked again."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch
from small_transformer import LINES

from attention_core.config import TrainingConfig
from attention_core.files import CACHE_VARIABLE
from attention_core.training import make_accelerator
from attention_core.zoo import ModelError
from transformer import teachers
from transformer.config import TransformerConfig
from transformer.corpora import Corpus
from transformer.learner import TranslationLearner
from transformer.loading import load
from transformer.teachers import taught
from transformer.train import train
from transformer.translating import translate

CPU = torch.device("cpu")
FEW = TrainingConfig(updates=4, warmup=1, log_every=2, validate_every=2, learning_rate=0.01)
CORPUS = Corpus(LINES[:4], [line[::-1] for line in LINES[:4]])

pytestmark = pytest.mark.usefixtures("small_size")


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache."""
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "cache"))
    return tmp_path / "cache" / teachers.FOLDER


@pytest.fixture
def config(tmp_path: Path) -> TransformerConfig:
    """Settings for a handful of sentences."""
    pairs = tmp_path / "pairs.tsv"
    pairs.write_text("".join(f"{source}\t{target}\n" for source, target in zip(*CORPUS, strict=True)), encoding="utf-8")
    file = (str(pairs),)
    return TransformerConfig(
        data="files", train_files=file, validation_files=file, vocabulary=300, tokens=180, longest=90, beams=2, training=FEW
    )


@pytest.fixture
def forth(config: TransformerConfig, tmp_path: Path) -> str:
    return str(train(config, tmp_path / "forth").path)


@pytest.fixture
def back(config: TransformerConfig, tmp_path: Path) -> str:
    pairs = tmp_path / "turned.tsv"
    pairs.write_text("".join(f"{target}\t{source}\n" for source, target in zip(*CORPUS, strict=True)), encoding="utf-8")
    turned = dataclasses.replace(config, source="de", target="en", train_files=(str(pairs),), validation_files=(str(pairs),))
    return str(train(turned, tmp_path / "back").path)


def said(teacher: str, lines: list[str]) -> list[str]:
    model, its, vocabulary, _ = load(teacher, CPU)
    return list(translate(model, vocabulary, lines, its.beams, its.length_power, CPU))


def test_a_teacher_gives_the_side_that_it_writes(config: TransformerConfig, forth: str, back: str) -> None:
    assert taught(CORPUS, forth, config, CPU) == Corpus(CORPUS.sources, said(forth, CORPUS.sources))
    assert taught(CORPUS, back, config, CPU) == Corpus(said(back, CORPUS.targets), CORPUS.targets)


def test_sentences_are_learned_with_what_teachers_make_of_them(config: TransformerConfig, forth: str, back: str) -> None:
    learner = TranslationLearner(dataclasses.replace(config, teachers=(back, forth)), make_accelerator(FEW))
    decode = learner.vocabulary.decode
    pairs = {(decode(source), decode(target)) for source, target in learner.pairs}
    wanted = set(zip(*CORPUS, strict=True))
    wanted |= set(zip(CORPUS.sources, said(forth, CORPUS.sources), strict=True))
    wanted |= set(zip(said(back, CORPUS.targets), CORPUS.targets, strict=True))
    assert pairs == {pair for pair in wanted if all(pair)}
    assert learner.vocabulary.merges == load(forth, CPU)[2].merges


def test_a_teacher_is_asked_once(config: TransformerConfig, forth: str, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = taught(CORPUS, forth, config, CPU)
    (file,) = cache.iterdir()
    with monkeypatch.context() as patch:
        patch.setattr(teachers, "translate", lambda *_: pytest.fail("was asked again"))
        assert taught(CORPUS, forth, config, CPU) == first
    taught(Corpus(CORPUS.sources[:3], CORPUS.targets[:3]), forth, config, CPU)  # other sentences
    train(dataclasses.replace(config, seed=1), Path(forth).parent / "other")
    taught(CORPUS, str(Path(forth).parent / "other"), config, CPU)  # other weights
    settings = Path(forth, "config.yaml")
    settings.write_text(settings.read_text(encoding="utf-8").replace("beams: 2", "beams: 1"), encoding="utf-8")
    taught(CORPUS, forth, config, CPU)  # another search
    assert len(list(cache.iterdir())) == 4
    assert file.exists()


def test_sentences_too_long_for_a_teacher_are_left_out(config: TransformerConfig, forth: str) -> None:
    corpus = Corpus([CORPUS.sources[0], "q " * 90], ["one", "two"])
    assert taught(corpus, forth, config, CPU).sources == CORPUS.sources[:1]


def test_a_teacher_of_other_languages_is_refused(config: TransformerConfig, forth: str) -> None:
    with pytest.raises(ModelError, match=r"translates from en into de: needed is one between fr and en, either way"):
        taught(CORPUS, forth, dataclasses.replace(config, source="fr", target="en"), CPU)
    with pytest.raises(ModelError, match="no model 'nobody'"):
        TranslationLearner(dataclasses.replace(config, teachers=("nobody",)), make_accelerator(FEW))

"""The loss of soft attention by hand, sources of Flickr8k, scores, loading, and what is refused."""

from __future__ import annotations

import dataclasses
import math
import sys
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np
import pytest
import torch
import yaml

from attention_core.config import TrainingConfig
from attention_core.run_folder import RunError
from attention_core.training import make_accelerator
from attention_core.zoo import ModelError
from attention_env.caption_scenes import SceneSource
from attention_env.captions import END, SPECIAL, CaptionedPictures, Vocabulary
from captioning.config import BASELINES, CaptionConfig, FeatureConfig, Search, published_config
from captioning.decoder import Read
from captioning.encoders import load_encoder
from captioning.evaluate import attention_on_shape, exact, references_of, report, score_captions, validate
from captioning.hard import EpisodeLearner
from captioning.learner import SoftLearner, losses
from captioning.loading import load
from captioning.scores import ScoreError
from captioning.sources import JoinedSources, make_source, pad_captions
from captioning.train import train
from captioning.writing import Written

CPU = torch.device("cpu")
FEW = TrainingConfig(updates=4, warmup=1, log_every=2, validate_every=2)
SMALL = CaptionConfig(annotation_units=8, hidden=12, embedding=8, attention_units=6, batch_size=4, beams=1, training=FEW)


# The loss -------------------------------------------------------------------------------------------------------------


def test_the_loss_sums_over_the_words_of_a_caption_and_over_places() -> None:
    scores = torch.randn(5, 7)
    words = torch.tensor([4, 5, 6, 2, 2])
    seen = torch.tensor([[0.5, 1.5, 1.0], [1.0, 1.0, 0.0]])
    parts = losses(Read(scores, words, seen, torch.tensor(0.3)), SMALL)
    errors = [-float(row.log_softmax(0)[word]) for row, word in zip(scores, words, strict=True)]
    assert parts["words"].item() == pytest.approx(sum(errors) / 2)
    assert parts["uneven"].item() == pytest.approx(((0.5**2 + 0.5**2) + 1) / 2)
    smoothed = losses(Read(scores, words, seen, torch.tensor(0.3)), dataclasses.replace(SMALL, label_smoothing=0.2))["words"]
    spread = [-float(row.log_softmax(0).mean()) for row in scores]
    right = sum(0.8 * error + 0.2 * other for error, other in zip(errors, spread, strict=True)) / 2
    assert smoothed.item() == pytest.approx(right, rel=1e-5)


@pytest.mark.parametrize("learner_of", [SoftLearner, EpisodeLearner])
def test_a_batch_is_all_captions_of_its_pictures(
    monkeypatch: pytest.MonkeyPatch, learner_of: type[SoftLearner] | type[EpisodeLearner]
) -> None:
    def thrice(source: SceneSource, index: torch.Tensor, device: torch.device) -> torch.Tensor:
        return said(source, index, device).repeat(1, 3, 1)

    said = SceneSource.captions
    monkeypatch.setattr(SceneSource, "references", 3)
    monkeypatch.setattr(SceneSource, "captions", thrice)
    learner = learner_of(SMALL, make_accelerator(FEW))
    assert learner.examples_per_update == 4 * 3
    _, metrics = learner.loss(learner.module)
    # Before it has learned anything, all words are about as likely: eight or nine of them in a caption.
    words = math.log(len(learner.source.vocabulary))
    assert 8 * words * 0.8 < float(metrics["losses/words"].detach()) < 9 * words * 1.2
    assert 0 < float(metrics["charts/entropy"].detach()) <= math.log(16)


@pytest.mark.usefixtures("few_scenes")
def test_soft_attention_learns_scenes(tmp_path: Path) -> None:
    config = dataclasses.replace(
        SMALL, hidden=48, annotation_units=48, dropout=0.0, even=0.0, batch_size=32,
        training=TrainingConfig(updates=150, learning_rate=0.01, warmup=10, log_every=10, validate_every=150),
    )  # fmt: skip
    rows = [row for row in train(config, tmp_path).rows() if "losses/words" in row]
    assert rows[0]["losses/words"] > 12
    assert rows[-1]["losses/words"] < 9.5


# Sources --------------------------------------------------------------------------------------------------------------


def test_captions_are_padded_to_one_length() -> None:
    padded = pad_captions([[[5, 2], [6, 7, 8, 2]], [[2], [9, 2]]])
    assert padded.tolist() == [[[5, 2, 0, 0], [6, 7, 8, 2]], [[2, 0, 0, 0], [9, 2, 0, 0]]]


def test_joined_sources_are_one_after_the_other() -> None:
    vocabulary, rng = Vocabulary((*SPECIAL, "a", "b")), np.random.default_rng(0)
    parts = [
        CaptionedPictures(name, vocabulary, rng.normal(size=(count, 3, 2)), np.full((count, 1, length), END) * [0] * 0
                          + np.array([4] * (length - 1) + [END]))
        for name, count, length in (("first", 2, 2), ("second", 3, 4))
    ]  # fmt: skip
    joined = JoinedSources(parts)
    assert len(joined) == 5
    assert joined.longest == 4
    index = torch.tensor([4, 0, 2, 1])
    for row, (part, own) in enumerate([(1, 2), (0, 0), (1, 0), (0, 1)]):
        assert torch.equal(joined.annotations(index, CPU)[row], parts[part].annotations(torch.tensor([own]), CPU)[0])
        caption = parts[part].captions(torch.tensor([own]), CPU)[0, 0].tolist()
        assert joined.captions(index, CPU)[row, 0].tolist() == caption + [0] * (4 - len(caption))


# Scores ---------------------------------------------------------------------------------------------------------------


def test_a_sentence_is_exact_if_it_is_one_of_the_true_ones() -> None:
    source = SceneSource("validation")
    references = references_of(source)
    assert len(references) == 2000
    assert references[0] == [source.vocabulary.encode(sentence.split())[:-1] for sentence in source.sentences(torch.tensor([0]))[0]]
    both = [*references[1], *references[0]]
    assert exact([references[0][0], references[1][0], references[0][0]], [both, references[1], references[1]]) == 2 / 3


def test_attention_is_on_the_shape_where_the_place_holds_what_the_word_names() -> None:
    source = SceneSource("validation")
    caption = references_of(source)[0][0]
    holds = source.holds(torch.tensor([0]), CPU)[0]  # (L, V)
    words = source.vocabulary.decode(caption)
    right = [int(holds[:, word].float().argmax()) if holds[:, word].any() else 0 for word in caption]
    naming = [step for step, word in enumerate(caption) if holds[:, word].any()]
    assert [words[step] for step in naming] == [*words[1:3], *words[-2:]]

    def share(places: list[int]) -> float:
        looked = torch.tensor(places)[:, None]
        return attention_on_shape(source, [Written([caption], torch.zeros(len(caption), 1, 16), looked, looked)])

    assert share(right) == 1.0
    wrong = right.copy()
    wrong[naming[0]] = next(place for place in range(16) if not holds[place, caption[naming[0]]])
    assert share(wrong) == 3 / 4


def test_validation_scores_a_captioner_of_scenes(tmp_path: Path) -> None:
    folder = train(SMALL, tmp_path)
    captioner, config, _, _ = load(str(folder.path), CPU)
    figures = validate(captioner, SceneSource("validation"), config, CPU)
    assert {*figures} == {"validation/error_rate", "validation/attention_on_shape"}
    report_ = report(str(folder.path), "validation", CPU)
    assert report_["exact"] == pytest.approx(1 - figures["validation/error_rate"])
    assert report_["attention_on_shape"] == figures["validation/attention_on_shape"]
    assert (report_["examples"], report_["split"], report_["beams"]) == (2000, "validation", 1)
    assert (folder.figures / "curves.png").read_bytes().startswith(b"\x89PNG")


# What is refused ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"hidden": 0}, "hidden must be at least 1, got 0"),
        ({"batch_size": 0}, "batch_size must be at least 1, got 0"),
        ({"data": "coco"}, "data='coco' is unknown: choose one of flickr8k, scenes"),
        ({"attention": "firm"}, "attention='firm' is unknown: choose one of soft, hard"),
        ({"reward": "spice"}, "reward='spice' is unknown: choose one of likelihood, cider, bleu, cider_bleu"),
        ({"baseline": "learned"}, f"baseline='learned' is unknown: choose one of {', '.join(BASELINES)}"),
        ({"baseline": "leave_one_out"}, "baseline='leave_one_out' needs samples of at least 2, got 1"),
        ({"dropout": 1.0}, r"dropout must be within 0 … 1, 1 excepted; got 1.0"),
        ({"label_smoothing": -0.1}, r"label_smoothing must be within 0 … 1"),
        ({"expected": 1.5}, r"expected must be within 0 … 1, got 1.5"),
        ({"length_power": -1.0}, "length_power must be at least 0"),
        ({"tries": 0}, "tries must be at least 1"),
        ({"tries": 2}, "tries is for attention='hard'"),
    ],
)
def test_settings_out_of_range_are_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        CaptionConfig(**change)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"encoder": "vgg"}, "encoder='vgg' is unknown: choose one of efficientnet_lite0, mobilenet_v2"),
        ({"stride": 8}, "stride must be one of 16, 32, got 8"),
        ({"size": 20}, "size must be at least the stride, 32, got 20"),
    ],
)
def test_features_out_of_range_are_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        FeatureConfig(**change)


@pytest.mark.usefixtures("few_scenes")
def test_a_run_of_another_vocabulary_is_not_gone_on_with(tmp_path: Path) -> None:
    folder = train(SMALL, tmp_path, max_seconds=0.0)
    settings = yaml.safe_load(folder.config.read_text())
    settings["words"] = settings["words"].replace("purple", "mauve")
    folder.config.write_text(yaml.safe_dump(settings))
    with pytest.raises(RunError, match="words"):
        train(SMALL, tmp_path)


@pytest.mark.usefixtures("few_scenes")
def test_another_kind_of_model_is_refused(tmp_path: Path) -> None:
    folder = train(SMALL, tmp_path)
    settings = yaml.safe_load(folder.config.read_text())
    folder.config.write_text(yaml.safe_dump({**settings, "kind": "vae"}))
    with pytest.raises(ModelError, match="is a model of kind 'vae', not a captioner"):
        load(str(folder.path), CPU)
    folder.config.write_text(yaml.safe_dump({name: value for name, value in settings.items() if name != "words"}))
    with pytest.raises(ModelError, match=r"does not say of which pictures and words it is \(shape, words, seen_by\)"):
        load(str(folder.path), CPU)


@pytest.mark.usefixtures("few_scenes")
def test_a_training_begins_with_the_weights_that_it_is_told_to(tmp_path: Path) -> None:
    soft = train(SMALL, tmp_path / "soft")
    still = TrainingConfig(updates=1, learning_rate=0.0, average=0.0, warmup=1, validate_every=1)
    hard = train(dataclasses.replace(SMALL, attention="hard", start=str(soft.path), training=still), tmp_path / "hard")
    assert hard.model.read_bytes() == soft.model.read_bytes()
    with pytest.raises(ModelError, match=r"start='.*soft' must be a captioner of the same sizes as these settings"):
        train(dataclasses.replace(SMALL, hidden=5, start=str(soft.path)), tmp_path / "other")


@pytest.mark.parametrize("data", ["scenes", "flickr8k"])
@pytest.mark.parametrize("attention", ["soft", "hard"])
def test_published_settings_are_there(data: str, attention: Literal["soft", "hard"]) -> None:
    config = published_config(data, attention)
    assert (config.data, config.attention) == (data, attention)
    assert config != CaptionConfig(data=data, attention=attention)


# Flickr8k, where it is ------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("without_java")
def test_flickr8k_comes_with_its_captions_and_features(data_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ATTENTION_CACHE", str(tmp_path))
    monkeypatch.setattr("captioning.flickr8k.load_captions", _first(12))
    config = CaptionConfig(data="flickr8k", features=FeatureConfig("mobilenet_v2", 64, 32), least=1, mirrored=True)
    source = make_source(config, "train", CPU, training=True)
    assert len(source) == 24
    assert source.shape == (4, 1280)
    index = torch.arange(12)
    assert torch.equal(source.captions(index, CPU), source.captions(index + 12, CPU))
    assert not torch.equal(source.annotations(index, CPU), source.annotations(index + 12, CPU))
    cropped = make_source(dataclasses.replace(config, crops=2), "train", CPU, training=True)
    assert len(cropped) == 48
    assert torch.equal(cropped.annotations(torch.arange(24), CPU), source.annotations(torch.arange(24), CPU))
    assert torch.equal(cropped.captions(index + 36, CPU), source.captions(index, CPU))
    assert not torch.equal(cropped.annotations(index + 24, CPU), cropped.annotations(index + 36, CPU))
    validation = make_source(dataclasses.replace(config, crops=2), "validation", CPU, source.vocabulary)
    assert validation.vocabulary == source.vocabulary
    assert len(validation) == 12
    captioner = SoftLearner(
        dataclasses.replace(SMALL, data="flickr8k", features=config.features, least=1), make_accelerator(FEW)
    ).captioner.eval()
    figures = score_captions(captioner, validation, Search(2, 0.7), CPU)
    assert {"bleu1", "bleu4", "brevity_penalty", "meteor", "rouge_l", "cider"} <= {*figures}
    assert math.isfinite(
        validate(captioner, validation, dataclasses.replace(SMALL, data="flickr8k"), CPU)["validation/negative_cider"]
    )


def _first(count: int) -> object:
    from captioning.flickr8k import load_captions

    return lambda split: load_captions(split)[:count]


# An encoder of its own ------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("without_java")
def test_an_encoder_of_its_own_learns_and_is_saved(data_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ATTENTION_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("captioning.flickr8k.load_captions", _first(6))
    features = FeatureConfig("mobilenet_v2", 64, 32)
    config = dataclasses.replace(
        SMALL, data="flickr8k", features=features, least=1, batch_size=2, encoder_rate=0.5,
        training=dataclasses.replace(FEW, updates=2, average=0.0),
    )  # fmt: skip
    folder = train(config, tmp_path / "run")
    captioner, loaded, vocabulary, _ = load(str(folder.path), CPU)
    assert loaded == config
    assert captioner.encoder is not None
    published = load_encoder("mobilenet_v2", 32)
    moved = [not torch.equal(own, other) for own, other in zip(captioner.encoder.parameters(), published.parameters(), strict=True)]
    assert all(moved)
    source = make_source(config, "train", CPU, vocabulary, training=True)
    shown = source.shown(torch.tensor([1, 7]), CPU)
    assert shown.shape == (2, 3, 64, 64)
    assert torch.equal(shown[0].flip(-1), shown[1])  # the second half are the same pictures mirrored
    assert torch.allclose(published.annotate(shown), source.annotations(torch.tensor([1, 7]), CPU), atol=0.01)
    assert math.isfinite(report(str(folder.path), "validation", CPU)["cider"])
    learner = SoftLearner(config, make_accelerator(FEW))
    rates = [group.get("rate", 1.0) for group in learner.parameter_groups()]
    assert rates == [1.0, 0.5]


@pytest.mark.usefixtures("few_scenes")
def test_a_captioner_of_another_encoders_weights_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = train(SMALL, tmp_path)
    settings = yaml.safe_load(folder.config.read_text())
    folder.config.write_text(yaml.safe_dump({**settings, "data": "flickr8k", "seen_by": "encoders/other.safetensors"}))
    with pytest.raises(ModelError, match=r"learned from what encoders/other.safetensors makes of pictures, and here encoders/"):
        load(str(folder.path), CPU)


@pytest.mark.parametrize("change", [{"data": "scenes"}, {"attention": "hard"}, {"reward": "cider"}])
def test_an_encoder_of_its_own_is_for_soft_attention_of_photographs(change: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="encoder_rate is for data='flickr8k', attention='soft'"):
        CaptionConfig(**{"data": "flickr8k", "encoder_rate": 0.1, **change})


def test_parts_are_for_an_encoder_that_stays_as_it_is() -> None:
    with pytest.raises(ValueError, match=r"leave crops or encoder_rate at 0, got 2 crops"):
        CaptionConfig(data="flickr8k", encoder_rate=0.1, crops=2)
    with pytest.raises(ValueError, match="crops must be at least 0"):
        CaptionConfig(crops=-1)


@pytest.mark.parametrize("attention", ["soft", "hard"])
def test_nothing_is_left_out_at_random_in_validation(attention: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    config = CaptionConfig(attention=attention, batch_size=2, dropout=0.5, training=TrainingConfig())
    learner = (SoftLearner if attention == "soft" else EpisodeLearner)(config, make_accelerator(config.training))

    def told(captioner: torch.nn.Module, *_: Any) -> dict[str, Any]:
        return {"training": any(part.training for part in captioner.modules())}

    monkeypatch.setattr("captioning.learner.validate", told)
    assert learner.validate(learner.module.train()) == {"training": False}


def test_what_cannot_be_scored_is_not_written_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pycocoevalcap.bleu.bleu", None)
    monkeypatch.setattr("captioning.evaluate.write_all", lambda *_: pytest.fail("captions were written"))
    annotations = np.zeros((1, 3, 2), np.float32)
    source = CaptionedPictures("toy", Vocabulary((*SPECIAL, "a")), annotations, np.array([[(4, END)]]))
    with pytest.raises(ScoreError, match=r'pip install "attention-suite\[captioning\]"'):
        score_captions(cast(Any, None), source, Search(), torch.device("cpu"))

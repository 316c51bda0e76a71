"""Losses and schedule by hand, the mean of the last weights, resuming, and scores."""

from __future__ import annotations

import dataclasses
import json
import math
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, cast

import pytest
import torch
from safetensors.torch import load_file
from small_transformer import LINES, TOKENS
from torch import Tensor, nn

from attention_core.config import TrainingConfig, load_yaml
from attention_core.run_folder import RunError
from attention_core.training import LastWeights, learning_rate, make_accelerator
from attention_core.zoo import ModelError
from transformer.config import TransformerConfig, published_config
from transformer.corpora import CorpusError, load_corpus
from transformer.evaluate import bleu, bleu_tokenized_lowercase, exact
from transformer.learner import TranslationLearner, losses
from transformer.loading import load
from transformer.train import train
from transformer.vocabulary import END, PAD, START

CPU = torch.device("cpu")
FEW = TrainingConfig(updates=6, warmup=2, log_every=2, validate_every=2, schedule="inverse_root", second_moment=0.98)
BACKWARDS = [line[::-1] for line in LINES]


@pytest.fixture
def config(tmp_path: Path) -> TransformerConfig:
    """Settings for a handful of sentences."""
    lines = [f"{source}\t{target}" for source, target in zip(LINES, BACKWARDS, strict=True)]
    (tmp_path / "pairs.tsv").write_text("\n".join(lines), encoding="utf-8")
    file = (str(tmp_path / "pairs.tsv"),)
    return TransformerConfig(
        data="files", train_files=file, validation_files=file, vocabulary=300, tokens=180, longest=90, training=FEW
    )


# Losses -----------------------------------------------------------------------------------------------------------------


@pytest.fixture
def scores() -> Tensor:
    return torch.randn(4, 5, TOKENS, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def wanted() -> Tensor:
    tokens = torch.randint(2, TOKENS, (2, 5), generator=torch.Generator().manual_seed(1))
    tokens[0, 3:] = PAD
    return tokens.repeat(2, 1)


def as_they_are(scores: Tensor) -> Tensor:
    """Make scores of scores, in place of a Transformer's end."""
    return scores


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_the_loss_is_that_of_smoothed_labels(scores: Tensor, wanted: Tensor, smoothing: float) -> None:
    terms = []
    for row in range(4):
        for place in range(5):
            if wanted[row, place] != PAD:
                logs = scores[row, place].log_softmax(0).tolist()
                labels = [smoothing / TOKENS] * TOKENS
                labels[int(wanted[row, place])] += 1 - smoothing
                terms.append(-sum(label * log for label, log in zip(labels, logs, strict=True)))
    parts = losses(as_they_are, scores, wanted, TransformerConfig(label_smoothing=smoothing))
    assert list(parts) == ["tokens"]
    assert parts["tokens"].item() == pytest.approx(sum(terms) / len(terms), rel=1e-5)
    assert len(terms) == 2 * 8


def test_disagreement_is_that_of_two_readings(scores: Tensor, wanted: Tensor) -> None:
    terms = []
    for row in range(2):
        for place in range(5):
            if wanted[row, place] != PAD:
                one, other = scores[row, place].softmax(0).tolist(), scores[row + 2, place].softmax(0).tolist()
                there = sum(p * math.log(p / q) for p, q in zip(one, other, strict=True))
                back = sum(q * math.log(q / p) for p, q in zip(one, other, strict=True))
                terms.append((there + back) / 2)
    parts = losses(as_they_are, scores, wanted, TransformerConfig(agreement=1.0))
    assert parts["disagreement"].item() == pytest.approx(sum(terms) / len(terms), rel=1e-4)
    same = losses(as_they_are, scores[:2].repeat(2, 1, 1), wanted, TransformerConfig(agreement=1.0))
    assert same["disagreement"].item() == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("agreement", [0.0, 2.0])
def test_a_few_tokens_at_a_time_give_the_loss_and_the_gradient_of_all(
    scores: Tensor, wanted: Tensor, agreement: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = TransformerConfig(agreement=agreement, label_smoothing=0.1)
    found = []
    for chunk in (1000, 3):
        monkeypatch.setattr("transformer.learner.CHUNK", chunk)
        told, matrix = scores.clone().requires_grad_(), torch.eye(TOKENS).mul(0.7).requires_grad_()
        parts = losses(partial(torch.matmul, other=matrix), told, wanted, config)
        sum(parts.values()).backward()
        found.append((parts, told.grad, matrix.grad))
    for whole, part in zip(*found, strict=True):
        torch.testing.assert_close(part, whole)


@pytest.mark.usefixtures("small_size")
def test_agreement_reads_a_batch_twice_and_weighs_what_differs(config: TransformerConfig) -> None:
    learners = [
        TranslationLearner(dataclasses.replace(config, agreement=agreement, dropout=dropout), make_accelerator(FEW))
        for agreement, dropout in ((0.0, 0.0), (3.0, 0.0), (3.0, 0.3))
    ]
    (once, _), (alike, none), (twice, some) = (learner.loss(learner.module) for learner in learners)
    assert alike.item() == pytest.approx(once.item(), rel=1e-5)
    assert none["losses/disagreement"].item() == pytest.approx(0, abs=1e-6)
    assert some["losses/disagreement"] > 0
    assert twice.item() == pytest.approx((some["losses/tokens"] + 0.5 * 3 * some["losses/disagreement"]).item(), rel=1e-5)


@pytest.mark.usefixtures("small_size")
def test_batches_have_starts_ends_and_their_share_of_padding(config: TransformerConfig) -> None:
    learner = TranslationLearner(config, make_accelerator(FEW))
    vocabulary = learner.vocabulary
    seen = []
    for _ in range(6):
        source, target, _ = learner.next_batch()
        assert (target[:, 0] == START).all()
        for rows in (source, target[:, 1:]):
            assert ((rows == END).sum(1) == 1).all()
            assert max(rows.shape) <= max(config.tokens, rows.shape[1])
        seen += [
            (vocabulary.decode(one), vocabulary.decode(other[1:]))
            for one, other in zip(source.tolist(), target.tolist(), strict=True)
        ]
    assert set(seen) == set(zip(LINES, BACKWARDS, strict=True))


@pytest.mark.usefixtures("small_size")
def test_pieces_are_cut_anew_every_time(config: TransformerConfig) -> None:
    learner = TranslationLearner(dataclasses.replace(config, piece_dropout=0.3, tokens=2000), make_accelerator(FEW))
    batches = [learner.next_batch()[0] for _ in range(2)]
    texts = [{learner.vocabulary.decode(row) for row in batch.tolist()} for batch in batches]
    assert texts[0] == texts[1] == set(LINES)
    assert batches[0].shape != batches[1].shape or not torch.equal(*batches)


class Share(NamedTuple):
    """What a learner asks of an accelerator: which of how many processes this is."""

    process_index: int
    num_processes: int
    device: torch.device = CPU

    def unwrap_model(self, module: nn.Module) -> nn.Module:
        return module


@pytest.mark.usefixtures("small_size")
def test_processes_share_out_every_batch(config: TransformerConfig) -> None:
    alone, *both = (cast(Any, share) for share in (Share(0, 1), Share(0, 2), Share(1, 2)))
    whole, parts = TranslationLearner(config, alone), [TranslationLearner(config, share) for share in both]
    for _ in range(3):
        source = whole.next_batch()[0]
        wanted = sorted(whole.vocabulary.decode(row) for row in source.tolist())
        shares = [[whole.vocabulary.decode(row) for row in part.next_batch()[0].tolist()] for part in parts]
        assert all(shares)
        assert sorted([*shares[0], *shares[1]]) == wanted


@pytest.mark.usefixtures("small_size")
@pytest.mark.parametrize("processes", [2, 5])  # more than a batch has sentences: some have nothing to say
def test_the_mean_over_processes_is_that_over_all_tokens(config: TransformerConfig, processes: int) -> None:
    config = dataclasses.replace(config, dropout=0.0, piece_dropout=0.2, longest=55, agreement=1.0)
    whole, *parts = (
        TranslationLearner(config, cast(Any, share))
        for share in (Share(0, 1), *(Share(one, processes) for one in range(processes)))
    )
    model, counts = whole.module.eval(), set()
    for _ in range(4):
        right, shown = whole.loss(model)
        found = [part.loss(model) for part in parts]
        assert sum(loss.item() for loss, _ in found) / processes == pytest.approx(right.item(), rel=1e-5)
        assert sum(row["losses/tokens"].item() for _, row in found) / processes == pytest.approx(
            shown["losses/tokens"].item(), rel=1e-5
        )
        counts.add(sum(loss.item() > 0 for loss, _ in found))
    assert (min(counts) < processes) == (processes == 5)


@pytest.mark.usefixtures("small_size")
def test_nothing_is_left_out_at_random_in_validation(config: TransformerConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    learner = TranslationLearner(dataclasses.replace(config, dropout=0.5), make_accelerator(FEW))
    monkeypatch.setattr(
        "transformer.learner.validate", lambda model, *_: {"training": any(part.training for part in model.modules())}
    )
    assert learner.validate(learner.module.train()) == {"training": False}


@pytest.mark.usefixtures("small_size")
def test_pairs_too_long_or_empty_are_left_out(config: TransformerConfig, tmp_path: Path) -> None:
    file = tmp_path / "pairs.tsv"
    file.write_text("one\teins\n\tzwei\ndrei\t\nlong\t0123456789abc\ntwo\tzwei\n", encoding="utf-8")
    learner = TranslationLearner(dataclasses.replace(config, longest=12), make_accelerator(FEW))
    assert [learner.vocabulary.decode(source) for source, _ in learner.pairs] == ["one", "two"]
    file.write_text("one\teins\nsomething long\tzwei\n", encoding="utf-8")
    with pytest.raises(CorpusError, match="of those to validate with, sentence 2 has 14 tokens and the model 12 places"):
        TranslationLearner(dataclasses.replace(config, longest=12), make_accelerator(FEW))
    file.write_text("\t\n", encoding="utf-8")
    with pytest.raises(CorpusError, match="no pair of sentences has 1 to 11 tokens on both sides"):
        TranslationLearner(dataclasses.replace(config, longest=12), make_accelerator(FEW))
    with pytest.raises(CorpusError, match="data='files' needs train_files and validation_files"):
        TranslationLearner(dataclasses.replace(config, train_files=()), make_accelerator(FEW))


# Schedule and weights ---------------------------------------------------------------------------------------------------


def test_the_schedule_is_the_published_one() -> None:
    units, warmup = 512, 4000
    config = TrainingConfig(learning_rate=units**-0.5 * warmup**-0.5, warmup=warmup, schedule="inverse_root")
    for step in (1, 2, 100, 3999, 4000, 4001, 10_000, 100_000):
        published = units**-0.5 * min(step**-0.5, step * warmup**-1.5)
        assert learning_rate(config, step - 1) == pytest.approx(published)


def test_the_mean_is_that_of_the_last_validations_weights() -> None:
    module = nn.Linear(2, 1, bias=False)
    mean = LastWeights(module, last=3)
    begun = module.weight.detach().clone()
    assert torch.equal(mean.module.weight, begun)
    for update in range(1, 22):
        with torch.no_grad():
            module.weight.fill_(update)
        mean.update(module)
        if update % 4 == 0 or update == 21:
            mean.keep(module)
        expected = {4: 4.0, 7: 4.0, 8: 6.0, 12: 8.0, 16: 12.0, 20: 16.0, 21: 19.0}.get(update)
        if expected is not None:
            assert mean.module.weight.tolist() == [[expected] * 2]
        if update < 4:
            assert torch.equal(mean.module.weight, begun)
    other = LastWeights(nn.Linear(2, 1, bias=False), last=3)
    other.load_state_dict(mean.state_dict())
    for one in (mean, other):
        one.keep(module.apply(lambda layer: layer.weight.data.fill_(22)))
    assert other.module.weight.tolist() == mean.module.weight.tolist() == [[(20 + 21 + 22) / 3] * 2]
    last = LastWeights(module, last=1)
    last.keep(module)
    last.keep(module)
    assert len(last.kept) == 1


@pytest.mark.usefixtures("small_size")
def test_the_last_validation_is_of_learned_weights_however_rare_validations_are(config: TransformerConfig, tmp_path: Path) -> None:
    rare = dataclasses.replace(FEW, average_last=2, validate_every=100, learning_rate=0.01)
    found = load_file(train(dataclasses.replace(config, training=rare), tmp_path / "rare").path / "model.safetensors")
    newest = load_file(tmp_path / "rare" / "checkpoint" / "000000006" / "model.safetensors")
    assert all(torch.equal(value, newest[name]) for name, value in found.items())


# Training ---------------------------------------------------------------------------------------------------------------


def settled(folder: Path) -> list[dict[str, Any]]:
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [{key: value for key, value in row.items() if not key.startswith("time/")} for row in rows]


@pytest.mark.usefixtures("small_size")
@pytest.mark.parametrize(
    ("changes", "average_last"),
    [({}, 0), ({"piece_dropout": 0.2, "agreement": 1.0, "norm_first": True}, 2), ({"reward": "bleu", "samples": 3}, 0)],
)
def test_a_training_resumed_gives_the_same_numbers(
    config: TransformerConfig, tmp_path: Path, changes: dict[str, Any], average_last: int
) -> None:
    training = dataclasses.replace(FEW, average_last=average_last)
    config = dataclasses.replace(config, training=training, **changes)
    whole = train(config, tmp_path / "whole").path
    for _ in range(2):
        train(config, tmp_path / "cut", max_seconds=0)
    assert not (tmp_path / "cut" / "checkpoint" / "000000006").exists()
    cut = train(config, tmp_path / "cut").path
    assert settled(whole) == settled(cut)
    assert len(settled(whole)) == 6
    weights = [load_file(folder / "model.safetensors") for folder in (whole, cut)]
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])
    assert "positions" not in weights[0]
    model, loaded, vocabulary, name = load(str(cut), CPU)
    assert loaded == config
    assert name == "cut"
    assert vocabulary.decode(vocabulary.encode([LINES[0]])[0]) == LINES[0]
    assert not model.training
    assert (cut / "figures" / "curves.png").stat().st_size > 1000


@pytest.mark.usefixtures("small_size")
def test_sentences_are_learned(config: TransformerConfig) -> None:
    learner = TranslationLearner(dataclasses.replace(config, dropout=0.0, label_smoothing=0.0), make_accelerator(FEW))
    optimizer = torch.optim.Adam(learner.module.parameters(), 0.01)
    told = []
    for _ in range(60):
        loss, _ = learner.loss(learner.module)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        told.append(loss.item())
    assert sum(told[-5:]) < 0.7 * sum(told[:5])


@pytest.mark.usefixtures("small_size")
def test_a_model_of_another_vocabulary_is_refused(config: TransformerConfig, tmp_path: Path) -> None:
    run = train(config, tmp_path / "run").path
    settings = load_yaml(run / "config.yaml")
    for merges, says in (
        ("\n".join(settings["merges"].split("\n")[:-1]), "holds another model than run's configuration describes"),
        (None, "does not hold its vocabulary"),
    ):
        (run / "config.yaml").write_text(json.dumps({**settings, "merges": merges}), encoding="utf-8")
        with pytest.raises(ModelError, match=says):
            load(str(run), CPU)
    with pytest.raises(ModelError, match="not a Transformer: use its own command"):
        load("ram-digits", CPU)
    (run / "config.yaml").write_text(json.dumps(settings), encoding="utf-8")
    begun = train(dataclasses.replace(config, start=str(run), seed=1), tmp_path / "begun").path
    assert (begun / "model.safetensors").exists()
    Path(config.train_files[0]).write_text("other words\tandere Worte\n" * 3, encoding="utf-8")
    with pytest.raises(ModelError, match="has another vocabulary than these sentences give"):
        train(dataclasses.replace(config, start=str(run)), tmp_path / "other")
    with pytest.raises(ModelError, match="start='ram-digits' is a model of kind 'ram': begin with one of kind 'transformer'"):
        train(dataclasses.replace(config, start="ram-digits"), tmp_path / "none")
    with pytest.raises(RunError, match="merges"):
        train(config, run)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"data": "wmt"}, "data='wmt' is unknown: choose one of reverse"),
        ({"size": "huge"}, "size='huge' is unknown: choose one of tiny"),
        ({"positions": "none"}, "positions='none' is unknown"),
        ({"data": "multi30k", "source": "cs"}, "source='cs' is unknown: choose one of en, de, fr"),
        ({"data": "multi30k", "source": "de"}, "source and target must differ"),
        ({"beams": 0}, "beams must be at least 1"),
        ({"agreement": -1.0}, "agreement must be at least 0"),
        ({"piece_dropout": 1.0}, "piece_dropout must be within 0 … 1, 1 excepted"),
        ({"reward": "ter"}, "reward='ter' is unknown: choose one of likelihood, bleu"),
        ({"samples": 1}, "samples must be at least 2"),
        ({"temperature": 0.0}, "temperature must be above 0"),
        ({"reward": "bleu", "agreement": 1.0}, "agreement is for reward='likelihood'"),
    ],
)
def test_wrong_settings_are_named(changes: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        dataclasses.replace(TransformerConfig(), **changes)


def test_published_settings_are_those_of_the_data() -> None:
    assert published_config("multi30k").norm_first
    assert published_config("multi30k_tatoeba").data == "multi30k_tatoeba"
    assert published_config("files") == dataclasses.replace(published_config("multi30k"), data="files")
    assert published_config("reverse").vocabulary == 300


# Scores -----------------------------------------------------------------------------------------------------------------


def test_a_reference_scores_a_hundred() -> None:
    score, signature = bleu(LINES, LINES)
    assert score == pytest.approx(100)
    assert "case:mixed" in signature
    assert "tok:13a" in signature
    assert bleu_tokenized_lowercase(LINES, LINES, "en") == pytest.approx(100)
    loud = [line.replace("ß", "s").upper() for line in LINES]
    assert bleu_tokenized_lowercase(loud, [line.lower() for line in loud], "en") == pytest.approx(100)
    assert bleu([line.lower() for line in LINES], LINES)[0] < 90
    assert exact(["a", "b"], ["a", "c"]) == 0.5


def test_the_tokenised_figure_is_that_of_split_signs() -> None:
    # „ … “ become plain quotation marks, signs are tokens, and so five tokens of eight are right, with four pairs of six, ….
    one, other = ["Ein „Hund“ rennt, schnell."], ['ein "hund" rennt, langsam.']
    kept = [7 / 8, 5 / 7, 4 / 6, 3 / 5]
    expected = 100 * math.prod(kept) ** 0.25
    assert bleu_tokenized_lowercase(one, other, "de") == pytest.approx(expected)


@pytest.mark.usefixtures("data_folder")
def test_references_have_the_published_number_of_tokens(monkeypatch: pytest.MonkeyPatch) -> None:
    references = load_corpus(TransformerConfig(data="multi30k"), "test").targets
    counts = []

    def count(tokens: Any, _: Any) -> Any:
        counts.append(sum(len(line.split()) for line in tokens))
        return type("Score", (), {"score": 100.0})

    monkeypatch.setattr("transformer.evaluate.BLEU.corpus_score", lambda _, lines, others: count(lines, others))
    bleu_tokenized_lowercase(references, references, "de")
    assert counts == [12_103]

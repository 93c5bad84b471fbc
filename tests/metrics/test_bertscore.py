"""BERTScore is bert-score's at batch size 1, whatever our batches; without its traps."""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import bert_score
import numpy as np
import pytest
import torch
from bert_score import utils
from hypothesis import example, given, settings
from hypothesis import strategies as st
from transformers import RobertaTokenizer

from bench.errors import BenchError
from bench.metrics import bertscore as module
from bench.metrics.base import TextInputs, Undefined, Value
from bench.metrics.bertscore import FORMS, METRIC, Scorer, rescaled
from bench.metrics.pretrained import Checkpoint, find, load
from tests.metrics import tiny_models
from tests.metrics.tiny_models import needs_minilm

GENERATED = [
    "the cat sat on the mat", "a dog", "日本 naïve 🙂 e\u0301", "the", "the cat sat on the mat", "word " * 700,
    "x [SEP] y",
]  # fmt: skip
REFERENCES = [
    "a cat is sitting on a mat", "prices rose 3 % in october , the board said", "nothing in common", "the", "the cat",
    "word " * 90, "  spaces\tand\nlines ",
]  # fmt: skip
WORDS = ["the", "cat", "sat", "a", "dog", "ran", "3", "%", "xyz", "é", "日本", "[SEP]", "\0"]
texts = st.lists(st.sampled_from(WORDS), min_size=1, max_size=12).map(" ".join)
pairs = st.lists(st.tuples(texts, texts), min_size=1, max_size=6)


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    """Tiny matrices are slower on many."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module", params=[tiny_models.bert, tiny_models.roberta], ids=["bert", "roberta"])
def tiny(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    return Checkpoint("tiny", request.param(tmp_path_factory.mktemp("encoder")))


@cache
def _peer(directory: Path, layer: int, idf: bool) -> bert_score.BERTScorer:
    return bert_score.BERTScorer(str(directory), layer, device="cpu", nthreads=0, idf=idf)


@pytest.fixture(scope="module", autouse=True)
def spaces() -> Iterator[None]:
    """bert-score asks these tokenisers for a space before a text, by an argument that transformers 5 drops."""
    encode = utils.sent_encode

    def encoded(tokeniser: object, text: str) -> list[int]:
        if not isinstance(tokeniser, RobertaTokenizer) or not text.strip():
            return encode(tokeniser, text)
        spaced = f" {text.strip()}"
        return tokeniser.encode(spaced, truncation=True, max_length=tokeniser.model_max_length)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(utils, "sent_encode", encoded)
        yield


def peer(generated: list[str], references: list[str], directory: Path, layer: int, idf: bool = False) -> np.ndarray:
    """bert-score, one text at a time: P, R, F1 [N, 3]."""
    scorer = _peer(directory, layer, idf)
    if idf:
        scorer._idf_dict = utils.get_idf_dict(references, scorer._tokenizer, nthreads=0)
    return np.stack([part.numpy() for part in scorer.score(generated, references, batch_size=1)], axis=1)


@pytest.mark.parametrize(("layer", "idf"), [(6, False), (4, True)])
@needs_minilm
def test_equals_bert_score(layer: int, idf: bool) -> None:
    checkpoint = find("minilm", "encoder", "test")
    ours, unscored = Scorer(checkpoint, layer, idf).scores(GENERATED, REFERENCES)
    theirs = peer(GENERATED, REFERENCES, checkpoint.path, layer, idf=idf)
    np.testing.assert_allclose(ours, theirs, atol=1e-6)
    assert unscored == 0


@pytest.mark.parametrize("layer", [0, 2, 3])
@pytest.mark.parametrize("idf", [False, True])
def test_equals_bert_score_at_any_layer_of_any_encoder(tiny: Checkpoint, layer: int, idf: bool) -> None:
    ours, _ = Scorer(tiny, layer, idf).scores(GENERATED, REFERENCES)
    np.testing.assert_allclose(ours, peer(GENERATED, REFERENCES, tiny.path, layer, idf=idf), atol=1e-6)
    assert np.ptp(ours) > 0.1


@settings(max_examples=25, deadline=None)
@given(pairs=pairs, idf=st.booleans())
@example(pairs=[("the", "\0")], idf=True)  # a reference of no token: bert-score says 0, without weights
@example(pairs=[("the", "a cat"), ("a dog", "cat a")], idf=True)
def test_equals_bert_score_on_random_texts(tiny: Checkpoint, pairs: list[tuple[str, str]], idf: bool) -> None:
    generated, references = ([pair[i] for pair in pairs] for i in (0, 1))
    tokeniser, _ = load(tiny.path, "encoder", 3)
    if idf and len({frozenset(utils.sent_encode(tokeniser, text)) for text in references}) == 1:
        with pytest.raises(Undefined, match="idf is 0 for every token"):
            Scorer(tiny, 3, idf).scores(generated, references)
        return
    theirs = peer(generated, references, tiny.path, 3, idf=idf)
    defined = ~np.isnan(theirs).any(axis=1)  # else a text without weight: bert-score divides by 0
    ours, unscored = Scorer(tiny, 3, idf).scores(generated, references)
    np.testing.assert_allclose(ours[defined], theirs[defined], atol=1e-6)
    assert unscored == (ours == 0).all(axis=1).sum() >= (~defined).sum() and (ours[~defined] == 0).all()


@settings(max_examples=25, deadline=None)
@given(pairs=pairs, at_once=st.integers(1, 60), held=st.integers(1, 60))
def test_batches_change_nothing(tiny: Checkpoint, pairs: list[tuple[str, str]], at_once: int, held: int) -> None:
    generated, references = ([pair[i] for pair in pairs] for i in (0, 1))
    whole, _ = Scorer(tiny, 3).scores(generated, references)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "TOKENS_AT_ONCE", at_once)
        patch.setattr(module, "TOKENS_HELD", held)
        parts, _ = Scorer(tiny, 3).scores(generated, references)
    np.testing.assert_allclose(parts, whole, atol=2e-6)
    alone = [Scorer(tiny, 3).scores([x], [y])[0][0] for x, y in pairs]
    np.testing.assert_allclose(alone, whole, atol=2e-6)


def test_a_space_before_the_text_where_the_tokeniser_was_made_for_it(tiny: Checkpoint) -> None:
    tokeniser, _ = load(tiny.path, "encoder", 3)
    (found, empty), scorer = Scorer(tiny, 3)._tokens(tokeniser, [" the cat\n", " "]), Scorer(tiny, 3)
    spaced = isinstance(tokeniser, RobertaTokenizer)
    assert found == tuple(tokeniser(" the cat" if spaced else "the cat")["input_ids"])
    assert (found != tuple(tokeniser("the cat")["input_ids"])) == spaced == bool(scorer.space) and len(empty) == 2


def test_identical_texts_and_exchanged_sides(tiny: Checkpoint) -> None:
    same, _ = Scorer(tiny, 3).scores(GENERATED[:6], GENERATED[:6])
    np.testing.assert_allclose(same, 1, atol=1e-6)
    assert (same <= 1).all()
    one, _ = Scorer(tiny, 3).scores(GENERATED, REFERENCES)
    other, _ = Scorer(tiny, 3).scores(REFERENCES, GENERATED)
    np.testing.assert_allclose(one, other[:, [1, 0, 2]], atol=1e-6)


def test_long_texts_are_cut(tiny: Checkpoint) -> None:
    long = "the cat " * 300
    assert Scorer(tiny, 3, max_length=12).scores([long], ["a dog"])[0] == pytest.approx(
        Scorer(tiny, 3, max_length=12).scores([long + "sat on the mat"], ["a dog"])[0]
    )


def test_empty_texts_score_0(tiny: Checkpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    generated, references = ["", "a dog", "  \n", "the cat"], ["a cat", "", "", "the cat"]
    ours, unscored = Scorer(tiny, 3).scores(generated, references)
    assert unscored == 3 and (ours[:3] == 0).all() and ours[3] == pytest.approx([1, 1, 1])
    # what bert-score means by it: with transformers 5 it crashes, for want of this function
    encode = utils.sent_encode
    monkeypatch.setattr(utils, "sent_encode", lambda t, text: encode(t, text) if text.strip() else t("")["input_ids"])
    np.testing.assert_allclose(ours, peer(generated, references, tiny.path, 3), atol=1e-6)


def test_a_text_without_weight(tiny: Checkpoint) -> None:
    # "the" is in every reference: idf 0
    ours, unscored = Scorer(tiny, 3, idf=True).scores(["a dog ran", "a dog ran"], ["the", "the cat"])
    assert unscored == 1 and (ours[0] == 0).all() and ours[1].all()
    for references in (["the cat"], ["the cat"] * 3, ["", ""]):
        with pytest.raises(Undefined, match="bertscore: idf is 0 for every token"):
            Scorer(tiny, 3, idf=True).scores(["a dog ran"] * len(references), references)


BASELINE = "LAYER,P,R,F\n0,0.1,0.2,0.15\n1,0.3,0.3,0.3\n2,0.4,0.5,0.45\n3,0.6,0.7,0.65\n"


def test_rescaling(tiny: Checkpoint, tmp_path: Path) -> None:
    file = tmp_path / "baseline.tsv"
    file.write_text(BASELINE)
    ours, _ = Scorer(tiny, 2).scores(GENERATED, REFERENCES)
    scores = bert_score.score(
        GENERATED, REFERENCES, str(tiny.path), 2, batch_size=1, lang="en", rescale_with_baseline=True,
        baseline_path=str(file), device="cpu",
    )  # fmt: skip
    theirs = np.stack([part.numpy() for part in scores], axis=1)
    np.testing.assert_allclose(rescaled(ours, file, 2), theirs, atol=3e-6)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "No such file"),
        ("P,R,F\n1,2,3\n", "not numbers in columns LAYER, P, R, F"),
        ("LAYER,P,R,F\n3,0.1,0.2\n", "not numbers"),
        ("LAYER,P,R,F\n0,0.1,0.2,0.3\n", "no row of layer 3"),
        ("LAYER,P,R,F\n3,0.1,nan,0.3\n", "layer 3 is not below 1"),
    ],
)
def test_a_bad_baseline_is_an_error(tmp_path: Path, content: str | None, message: str) -> None:
    if content is not None:
        (tmp_path / "b.tsv").write_text(content)
    with pytest.raises(BenchError, match=rf"^bertscore: baseline .*b\.tsv: {message}"):
        rescaled(np.zeros((1, 3)), tmp_path / "b.tsv", 3)


def compute(tiny: Checkpoint, generated: list[str], references: list[str], **options: Any) -> dict[str, Value]:
    return METRIC.compute(TextInputs(generated, references), {"model": str(tiny.path), **options})


def test_values(tiny: Checkpoint, tmp_path: Path) -> None:
    values = compute(tiny, [*GENERATED, ""], [*REFERENCES, "a"])
    assert values == compute(tiny, [*GENERATED, ""], [*REFERENCES, "a"], layer=3)
    assert list(values) == [quantity.key for quantity in METRIC.quantities] == [f"bertscore_{form}" for form in FORMS]
    expected, _ = Scorer(tiny, 3).scores([*GENERATED, ""], [*REFERENCES, "a"])
    for value, mean in zip(values.values(), expected.mean(axis=0), strict=True):
        assert value.value == pytest.approx(mean, rel=1e-12) and value.n == 8 and value.ci95 is not None
        assert value.ci95[0] < value.value < value.ci95[1] and math.isfinite(value.value)
        assert value.note == "1 of 8 pairs have a text without a token that weighs anything, and score 0"
    name = f"{tiny.path.name}-{tiny.hash}"
    last = "len:512|space:before|v:1" if Scorer(tiny, 3).space else "len:512|v:1"
    assert values["bertscore_p"].signature == f"bertscore|form:p|model:{name}|layer:3|idf:no|rescale:no|{last}"
    (tmp_path / "b.tsv").write_text(BASELINE)
    other = compute(tiny, GENERATED, REFERENCES, idf=True, baseline=str(tmp_path / "b.tsv"), layer=1, resamples=0)
    assert "|layer:1|idf:refs7|rescale:" in other["bertscore_f1"].signature and other["bertscore_f1"].ci95 is None
    assert "rescale:no" not in other["bertscore_f1"].signature
    empty = compute(tiny, [""], ["a"], baseline=str(tmp_path / "b.tsv"), layer=1)["bertscore_f1"]
    assert empty.value < 0 and empty.note.endswith("that weighs anything, and score 0 before rescaling")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"lyer": 3}, "unknown option 'lyer'; did you mean 'layer'"),
        ({"layer": 4}, "option 'layer' is 4, but encoder '.*' has 3 layers"),
        ({"layer": -1}, "option 'layer' must be a whole number >= 0"),
        ({"idf": "yes"}, "option 'idf' must be true or false, not 'yes'"),
        ({"baseline": True}, "option 'baseline' must be a file, not True"),
        ({"baseline": "nowhere.tsv"}, "baseline nowhere.tsv: No such file"),
        ({"max_length": 2}, "option 'max_length' must be a whole number >= 3"),
        ({"max_length": 513}, "option 'max_length' is 513, but the model has room for 512 tokens"),
        ({"device": "gpu"}, "option 'device' must be cpu or cuda"),
        ({"resamples": -1}, "option 'resamples' must be"),
    ],
)
def test_options_are_checked(tiny: Checkpoint, options: dict[str, object], message: str) -> None:
    with pytest.raises(BenchError, match=f"^bertscore: {message}"):
        METRIC.compute(TextInputs(["a"], ["b"]), {"model": str(tiny.path), **options})


def test_pairs(tiny: Checkpoint) -> None:
    with pytest.raises(BenchError, match="bertscore: pairs each generated text with its reference"):
        compute(tiny, ["a"], ["b", "c"])
    with pytest.raises(Undefined, match="bertscore: needs at least 1 generated text and 1 reference text"):
        compute(tiny, [], [])
    for pair in (["\ud800"], ["a"]), (["a"], ["\ud800"]):
        with pytest.raises(BenchError, match="bertscore: text 1 holds half of a surrogate pair"):
            compute(tiny, *pair)


def test_a_model_for_pairs_of_texts_is_refused(tmp_path: Path) -> None:
    from transformers import T5Config, T5Model

    T5Model(T5Config(vocab_size=300, d_model=8, d_kv=4, d_ff=8, num_layers=1, num_heads=1)).save_pretrained(tmp_path)
    tiny_models.gpt2(tmp_path / "tokeniser")
    for file in (tmp_path / "tokeniser").glob("tokenizer*"):
        file.rename(tmp_path / file.name)
    with pytest.raises(BenchError, match="is both encoder and decoder"):
        Scorer(Checkpoint("t5", tmp_path), 1).scores(["a"], ["b"])

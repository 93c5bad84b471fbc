"""Features are reproducible, whatever the batch, and their cache is never stale."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.errors import BenchError
from bench.metrics import features as features_module
from bench.metrics.features import POOLINGS, Encoder, encode, features
from bench.metrics.pretrained import Checkpoint, find, load
from tests.metrics import tiny_models
from tests.metrics.tiny_models import needs_minilm

TEXTS = ["the cat sat on the mat", "", "a dog", "prices rose 3 % in october , the board said", "a dog"]


@pytest.fixture(scope="module")
def encoder() -> Encoder:
    return Encoder(find("minilm", "encoder", "test"), batch_size=2)


@needs_minilm
def test_features_are_the_mean_over_tokens_whatever_the_batch(encoder: Encoder) -> None:
    import torch

    threads = torch.get_num_threads()
    ours = encode(TEXTS, encoder)
    assert ours.dtype == np.float32 and ours.shape == (5, 384)
    assert (ours == encode(TEXTS, encoder)).all() and torch.get_num_threads() == threads
    tokeniser, model = load(encoder.checkpoint.path, "encoder")
    with torch.inference_mode():
        alone = [model(**tokeniser(text, return_tensors="pt")).last_hidden_state[0] for text in TEXTS]
    np.testing.assert_allclose(ours, np.stack([hidden.mean(dim=0) for hidden in alone]), atol=2e-6)
    last = encode(TEXTS, Encoder(encoder.checkpoint, pooling="last", batch_size=3))
    np.testing.assert_allclose(last, np.stack([hidden[-1] for hidden in alone]), atol=5e-6)


@needs_minilm
def test_the_cache_answers_only_for_what_it_holds(
    encoder: Encoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = tmp_path / "new"
    stored = features(TEXTS, encoder, cache)
    (file,) = cache.iterdir()
    others = [(TEXTS[::-1], encoder), (TEXTS, Encoder(encoder.checkpoint, max_length=8))]
    for texts, other in others:
        features(texts, other, cache)
    assert len(list(cache.iterdir())) == 3  # each has a file of its own
    monkeypatch.setattr(features_module, "encode", pytest.fail)
    assert (features(TEXTS, encoder, cache) == stored).all()
    next(other for other in cache.iterdir() if other != file).replace(file)
    with pytest.raises(BenchError, match="npz: holds features of other texts or of another encoder"):
        features(TEXTS, encoder, cache)
    file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(BenchError, match="npz: not a readable file of encoder features"):
        features(TEXTS, encoder, cache)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    return Checkpoint("tiny", tiny_models.bert(tmp_path_factory.mktemp("encoder")))


@settings(max_examples=25, deadline=None)
@given(
    texts=st.lists(
        st.one_of(st.text(max_size=30), st.sampled_from(["", "the", "the cat " * 200])), min_size=1, max_size=7
    ),
    batch_size=st.integers(1, 4),
    pooling=st.sampled_from(POOLINGS),
)
def test_features_of_a_text_depend_on_that_text_alone(
    tiny: Checkpoint, texts: list[str], batch_size: int, pooling: str
) -> None:
    together = encode(texts, Encoder(tiny, pooling, max_length=64, batch_size=batch_size))
    assert np.isfinite(together).all()
    for row, text in zip(together, texts, strict=True):
        (alone,) = encode([text], Encoder(tiny, pooling, max_length=64))
        np.testing.assert_allclose(row, alone, atol=1e-5)


def test_text_boundaries_are_part_of_the_key(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    encoder = Encoder(Checkpoint("x", tmp_path))
    keys = [encoder.key(texts) for texts in (["ab", "c"], ["a", "bc"], ["abc"], ["abc", ""], ["\ud800"])]
    assert len(set(keys)) == len(keys)


@needs_minilm
def test_what_cannot_be_encoded(encoder: Encoder) -> None:
    with pytest.raises(BenchError, match="encoder features: needs at least one text"):
        encode([], encoder)
    with pytest.raises(BenchError, match="'max_length' is 600, but the model has room for 512 tokens"):
        encode(["a"], Encoder(encoder.checkpoint, max_length=600))
    with pytest.raises(BenchError, match=r"^encoder features: text 2 holds half of a surrogate pair"):
        encode(["a", "\ud800 b"], encoder)


@pytest.mark.parametrize("length", [1, 2])
def test_a_text_has_room_beside_special_tokens(tiny: Checkpoint, length: int) -> None:
    """With 2 every text would be [CLS] [SEP]; with 1 the tokeniser does not cut at all."""
    with pytest.raises(BenchError, match=f"'max_length' is {length}, but 2 special tokens leave no room for a text"):
        encode(["the cat"], Encoder(tiny, max_length=length))
    assert not np.array_equal(*encode(["the cat", "a dog"], Encoder(tiny, max_length=3)))

"""Features are reproducible and their cache is never stale; MAUVE is mauve-text's."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path

import numpy as np
import pytest

from bench.errors import BenchError
from bench.metrics import features as features_module
from bench.metrics import mauve as module
from bench.metrics.base import TextInputs
from bench.metrics.features import PACKAGED, Encoder, encode, encoder_directory, features

needs_minilm = pytest.mark.skipif(
    importlib.util.find_spec(PACKAGED["minilm"][0]) is None, reason="the packaged MiniLM encoder is not installed"
)
TEXTS = ["the cat sat on the mat", "", "a dog", "prices rose 3 % in october , the board said", "a dog"]


@pytest.fixture(scope="module")
def encoder() -> Encoder:
    return Encoder(encoder_directory("minilm"), batch_size=2)


@pytest.fixture
def clouds() -> tuple[np.ndarray, np.ndarray]:
    """Two overlapping Gaussian clouds, float32 [200, 16] and [180, 16]."""
    rng = np.random.default_rng(0)
    return rng.normal(size=(200, 16)).astype(np.float32), rng.normal(0.4, 1, size=(180, 16)).astype(np.float32)


def test_equals_mauve_text(clouds: tuple[np.ndarray, np.ndarray]) -> None:
    from mauve import compute_mauve

    p, q = clouds
    direct = compute_mauve(p_features=p, q_features=q, num_buckets=18, mauve_scaling_factor=5, seed=25)
    assert module.auto_buckets(len(p), len(q)) == direct.num_buckets == 18
    assert module.mauve(p, q, 18, 5.0, 25) == pytest.approx((direct.mauve, direct.mauve_star), rel=1e-9)


def test_deterministic_quiet_and_sensitive_to_the_seed(
    clouds: tuple[np.ndarray, np.ndarray], capfd: pytest.CaptureFixture[str]
) -> None:
    first = module.mauve(*clouds, 18, 5.0, 25)
    assert first == module.mauve(*clouds, 18, 5.0, 25) != module.mauve(*clouds, 18, 5.0, 26)
    os.write(1, b"still here")
    assert capfd.readouterr() == ("still here", "")


def test_identical_sets_give_one_and_disjoint_sets_nearly_nothing(clouds: tuple[np.ndarray, np.ndarray]) -> None:
    p, _ = clouds
    assert module.mauve(p, p, 18, 5.0, 25) == pytest.approx((1, 1))
    assert module.mauve(p, p + 20, 18, 5.0, 25)[0] < 0.01


@needs_minilm
def test_values(encoder: Encoder, tmp_path: Path) -> None:
    references = [*TEXTS, "stocks fell", "the moon", "x y"]
    values = module.METRIC.compute(TextInputs(TEXTS, references, cache=tmp_path), {"batch_size": 2})
    again = module.METRIC.compute(TextInputs(TEXTS, references, cache=tmp_path), {"batch_size": 2})
    assert len(list(tmp_path.iterdir())) == 1  # the references' features; generated texts are never seen twice
    assert values == again and list(values) == [quantity.key for quantity in module.METRIC.quantities]
    ours, theirs = features(TEXTS, encoder), features(references, encoder)
    assert values["mauve"].value == module.mauve(ours, theirs, 2, 5.0, 25)[0]
    assert values["mauve"].ci95 is None and "no interval" in values["mauve"].note and values["mauve"].n == 5
    expected = f"mauve|form:plain|model:minilm-{encoder.hash}|pool:mean|layer:last|len:256|batch:2|N:5|refs:8|"
    assert values["mauve"].signature.startswith(expected + "buckets:2|scale:5|seed:25|mauve-text:")


@needs_minilm
def test_features_are_the_mean_over_tokens_whatever_the_batch(encoder: Encoder) -> None:
    import torch

    ours = encode(TEXTS, encoder)
    assert ours.dtype == np.float32 and ours.shape == (5, 384)
    assert (ours == encode(TEXTS, encoder)).all() and torch.get_num_threads() >= 1
    tokeniser, model = features_module._load(encoder.directory)
    with torch.inference_mode():
        alone = [model(**tokeniser(text, return_tensors="pt")).last_hidden_state[0] for text in TEXTS]
    np.testing.assert_allclose(ours, np.stack([hidden.mean(dim=0) for hidden in alone]), atol=2e-6)
    last = encode(TEXTS, Encoder(encoder.directory, pooling="last", batch_size=3))
    np.testing.assert_allclose(last, np.stack([hidden[-1] for hidden in alone]), atol=5e-6)


@needs_minilm
def test_the_cache_answers_only_for_what_it_holds(
    encoder: Encoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = tmp_path / "new"
    stored = features(TEXTS, encoder, cache)
    (file,) = cache.iterdir()
    others = [(TEXTS[::-1], encoder), (TEXTS, Encoder(encoder.directory, max_length=8))]
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


def test_text_boundaries_are_part_of_the_key(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    encoder = Encoder(tmp_path)
    keys = [encoder.key(texts) for texts in (["ab", "c"], ["a", "bc"], ["abc"], ["abc", ""], ["\ud800"])]
    assert len(set(keys)) == len(keys)
    (tmp_path / "config.json").write_text("{ }")
    assert Encoder(tmp_path).hash != encoder.hash


def test_a_directory_without_a_model(tmp_path: Path) -> None:
    with pytest.raises(BenchError, match="encoder 'nowhere': neither one of minilm nor a directory"):
        encoder_directory("nowhere")
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(BenchError, match="cannot be loaded"):
        encode(["a"], Encoder(encoder_directory(str(tmp_path))))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"modle": "minilm"}, "mauve: unknown option 'modle'; did you mean 'model'"),
        ({"model": 3}, "mauve: option 'model' must be"),
        ({"pooling": "max"}, "mauve: option 'pooling' must be one of mean, last"),
        ({"buckets": 1}, "mauve: option 'buckets' must be a whole number >= 2"),
        ({"scaling": 0}, "mauve: option 'scaling' must be a positive number"),
        ({"seed": -1}, "mauve: option 'seed' must be a whole number >= 0"),
        ({"max_length": 0}, "mauve: option 'max_length' must be a whole number >= 1"),
        ({"buckets": 5}, "mauve: option 'buckets' is 5, more than the 2 texts there are"),
    ],
)
@needs_minilm
def test_options_are_checked_before_anything_is_loaded(options: dict[str, object], message: str) -> None:
    with pytest.raises(BenchError, match=message):
        module.METRIC.compute(TextInputs(["a"], ["b"]), options)


@needs_minilm
def test_no_texts() -> None:
    with pytest.raises(BenchError, match="mauve: needs at least 1 generated text and 1 reference text, got 0 and 1"):
        module.METRIC.compute(TextInputs([], ["a"]), {})

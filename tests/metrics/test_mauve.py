"""MAUVE is mauve-text's."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from bench.errors import BenchError
from bench.metrics import mauve as module
from bench.metrics.base import TextInputs
from bench.metrics.features import Encoder, features
from bench.metrics.pretrained import find
from tests.metrics.tiny_models import needs_minilm

TEXTS = ["the cat sat on the mat", "", "a dog", "prices rose 3 % in october , the board said", "a dog"]


@pytest.fixture(scope="module")
def encoder() -> Encoder:
    return Encoder(find("minilm", "encoder", "test"), batch_size=2)


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


@pytest.mark.parametrize("n", [2, 8, 16])
def test_equal_histograms_give_one(clouds: tuple[np.ndarray, np.ndarray], n: int) -> None:
    """Also where rounding leaves no gap between them: mauve-text makes 0.75 of that."""
    p, _ = clouds
    assert module.mauve(p[:n], p[:n], 2, 5.0, 25) == (1, 1)
    alike = np.ones((n, 4), np.float32)
    assert module.mauve(alike, alike, 2, 5.0, 25) == (1, 1)
    plain, smoothed = module.mauve(alike, np.ones((3, 4), np.float32), 2, 5.0, 25)  # 1/2 counts for more among fewer
    assert plain == 1 and 0.5 < smoothed < 1


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
    expected = f"mauve|form:plain|model:{encoder.checkpoint.label}|pool:mean|layer:last|len:256|batch:2|N:5|refs:8|"
    assert values["mauve"].signature.startswith(expected + "buckets:2|scale:5.0|seed:25|mauve-text:")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"modle": "minilm"}, "mauve: unknown option 'modle'; did you mean 'model'"),
        ({"model": 3}, "mauve: option 'model' must be"),
        ({"pooling": "max"}, "mauve: option 'pooling' must be one of mean, last"),
        ({"buckets": 1}, "mauve: option 'buckets' must be a whole number >= 2"),
        ({"scaling": 0}, "mauve: option 'scaling' must be a positive number"),
        ({"scaling": 10**400}, "mauve: option 'scaling' must be a positive number"),
        ({"seed": -1}, "mauve: option 'seed' must be a whole number >= 0"),
        ({"seed": 2**31 - 2}, "mauve: option 'seed' must be at most 2147483548, not 2147483646"),
        (
            {"model": "~nobody-of-that-name/x"},
            "encoder '~nobody-of-that-name/x': neither one of minilm nor a directory",
        ),
        ({"device": "gpu"}, "mauve: option 'device' must be cpu or cuda"),
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

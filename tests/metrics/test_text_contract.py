"""What every text metric of the n-gram family owes its readers."""

from __future__ import annotations

import json
import math

import pytest

from bench.errors import BenchError
from bench.metrics import bleu, cnd, distinct, entropy, jaccard, self_bleu
from bench.metrics.base import Metric, TextInputs

METRICS = [bleu.METRIC, self_bleu.METRIC, distinct.METRIC, entropy.METRIC, cnd.METRIC, jaccard.METRIC]
INPUTS = TextInputs(
    ["the cat sat on the mat", "", "the cat sat on the mat", "a dog ran", "the dog sat on a mat today"],
    ["the cat sat on the rug", "a dog sat on the mat", "a bird"],
)


@pytest.fixture(params=METRICS, ids=lambda metric: metric.name)
def metric(request: pytest.FixtureRequest) -> Metric:
    return request.param


def test_every_quantity_has_a_value_in_its_range_and_its_interval(metric: Metric) -> None:
    values = metric.compute(INPUTS, {})
    assert set(values) == {quantity.key for quantity in metric.quantities}
    for quantity in metric.quantities:
        value = values[quantity.key]
        low, high = quantity.range
        assert low <= value.value <= high and math.isfinite(value.value) and isinstance(value.value, float)
        assert value.ci95 is not None and low <= value.ci95[0] <= value.ci95[1] <= high
        assert value.n == 5 and value.signature.endswith(f"|v:{metric.version}")
        assert json.loads(json.dumps(value.as_dict(), allow_nan=False))["n"] == 5


def test_same_inputs_same_values(metric: Metric) -> None:
    again = TextInputs(list(INPUTS.generated), list(INPUTS.references))
    assert metric.compute(INPUTS, {}) == metric.compute(again, dict(metric.defaults))


def test_no_two_quantities_share_a_signature(metric: Metric) -> None:
    values = metric.compute(INPUTS, {})
    signatures = {key: value.signature for key, value in values.items() if key != "cnd"}  # an alias, on purpose
    assert len(set(signatures.values())) == len(signatures)


def test_without_intervals(metric: Metric) -> None:
    plain, full = metric.compute(INPUTS, {"resamples": 0}), metric.compute(INPUTS, {})
    same = ("value", "n", "signature")
    assert [[getattr(v, name) for name in same] for v in plain.values()] == [
        [getattr(v, name) for name in same] for v in full.values()
    ]
    assert all((value.ci95, value.interval) == (None, "none") for value in plain.values())


def test_options_are_checked(metric: Metric) -> None:
    with pytest.raises(BenchError, match=f"^{metric.name}: unknown option 'sed'; did you mean 'seed'"):
        metric.compute(INPUTS, {"sed": 1})
    with pytest.raises(BenchError, match=f"^{metric.name}: option 'resamples' must be"):
        metric.compute(INPUTS, {"resamples": "many"})


def test_quantity_keys_are_unique() -> None:
    keys = [quantity.key for metric in METRICS for quantity in metric.quantities]
    assert len(keys) == len(set(keys))

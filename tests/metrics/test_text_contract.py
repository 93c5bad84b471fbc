"""What every registered text metric owes its readers; those that need a model run on tiny ones."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bench import registry
from bench.errors import BenchError
from bench.metrics.base import Metric, TextInputs, Undefined, Value
from bench.metrics.mauve import METRIC as MAUVE
from tests.metrics import tiny_models

NAMES = sorted(name for name, source in registry.metrics().items() if source.from_texts)
INPUTS = TextInputs(
    ["the cat sat on the mat", "", "the cat sat on the mat", "a dog ran", "the dog sat on a mat today"],
    ["the cat sat on the rug", "a dog sat on the mat", "a bird sang", "the dog ran far", "the dog sat on a hill"],
    ["a cat was on the mat", "a dog on a mat", "birds sing", "a dog ran", "it sat on a hill"],
)
ALIASES = {"cnd", "sacrebleu"}  # each the same number as another quantity, on purpose
NO_INTERVAL = {"mauve", "mauve_star"}
COUNT_TEXTS = {"cnd", "distinct", "entropy", "mauve", "self_bleu"}
COUNT_REFERENCES = {"bleu", "cnd", "mauve"}
BOOTSTRAP = {"resamples", "seed"}
# Options that decide how fast a number is had and not what it is.
MACHINE = {"device", "threads"}
# metric.option -> another value of it, and where that shows; every other option must have none.
CHANGES: Mapping[str, Mapping[str, Any]] = {
    "mauve": {"pooling": "last", "max_length": 4, "batch_size": 1, "seed": 3, "buckets": 3, "scaling": 1.0},
    "bertscore": {"layer": 1, "idf": True, "max_length": 4},
    "fluency": {"bos": False, "eos": True, "max_length": 4},
    "ibleu": {"alpha": 0.5},
}


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Metric -> a tiny model for it; and for "other" another of the same shape."""
    folder = tmp_path_factory.mktemp("models")
    encoder, language_model = tiny_models.bert(folder / "bert"), tiny_models.gpt2(folder / "gpt2")
    return {"mauve": str(encoder), "bertscore": str(encoder), "fluency": str(language_model)}


@pytest.fixture(params=NAMES)
def metric(request: pytest.FixtureRequest) -> Metric:
    return registry.load_metric(request.param)


@pytest.fixture
def options(metric: Metric, models: dict[str, str]) -> dict[str, Any]:
    """The options that the metric is run with here: a model where it needs one, else none."""
    if metric.name not in models:
        return {}
    return {"model": models[metric.name], **({"max_length": 32} if metric.name == "fluency" else {})}


def test_every_quantity_has_a_value_in_its_range_and_its_interval(metric: Metric, options: dict[str, Any]) -> None:
    values = metric.compute(INPUTS, options)
    assert set(values) == {quantity.key for quantity in metric.quantities}
    for quantity in metric.quantities:
        value = values[quantity.key]
        low, high = quantity.range
        assert low <= value.value <= high and math.isfinite(value.value) and isinstance(value.value, float)
        if quantity.key in NO_INTERVAL:
            assert (value.ci95, value.interval) == (None, "none") and "no interval" in value.note
        else:
            assert value.ci95 is not None and low <= value.ci95[0] <= value.ci95[1] <= high
            assert "1000 resamples" in value.interval
        assert 0 < value.n <= 5
        assert json.loads(json.dumps(value.as_dict(), allow_nan=False))["n"] == value.n


def test_what_is_listed_is_what_is_signed(metric: Metric, options: dict[str, Any]) -> None:
    """`bench metrics` shows signatures with <...> for what depends on texts, options and machine."""
    for value in metric.compute(INPUTS, options).values():
        assert value.signature.endswith(f"|v:{metric.version}")
        assert any(re.fullmatch(_pattern(listed), value.signature) for listed in metric.signatures), value.signature


def _pattern(listed: str) -> str:
    """``"bleu|n:<1-5>|v:1"`` as a regular expression: any text that is no separator for each <...>."""
    return "[^|]+".join(map(re.escape, re.split("<[^<>]+>", listed)))


def test_same_inputs_same_values(metric: Metric, options: dict[str, Any]) -> None:
    again = TextInputs(list(INPUTS.generated), list(INPUTS.references), list(INPUTS.sources or []))
    assert metric.compute(INPUTS, options) == metric.compute(again, {**metric.defaults, **options})


def test_no_two_quantities_share_a_signature(metric: Metric, options: dict[str, Any]) -> None:
    values = metric.compute(INPUTS, options)
    signatures = {key: value.signature for key, value in values.items() if key not in ALIASES}
    assert len(set(signatures.values())) == len(signatures)


def test_how_intervals_are_made_changes_neither_values_nor_signatures(metric: Metric, options: dict[str, Any]) -> None:
    if not set(metric.defaults) >= BOOTSTRAP:
        assert metric.name == "mauve"
        return
    full = metric.compute(INPUTS, options)
    for other in ({"resamples": 0}, {"resamples": 50}, {"seed": 7}):
        assert _told(metric.compute(INPUTS, {**options, **other})) == _told(full)
    without = metric.compute(INPUTS, {**options, "resamples": 0}).values()
    assert all(v.ci95 is None and v.interval.startswith("none") for v in without)


def _told(values: Mapping[str, Value]) -> dict[str, tuple[float, int, str]]:
    return {key: (value.value, value.n, value.signature) for key, value in values.items()}


def test_a_signature_changes_when_and_only_when_a_choice_can_change_the_number(
    metric: Metric, options: dict[str, Any]
) -> None:
    choices = CHANGES.get(metric.name, {})
    silent = set(metric.defaults) - set(choices) - {"model", "baseline"}
    assert silent <= (MACHINE if metric.name == "mauve" else MACHINE | BOOTSTRAP)
    plain = metric.compute(INPUTS, options)
    for name, other in choices.items():
        changed = metric.compute(INPUTS, {**options, name: other})
        moved = {key for key, value in plain.items() if changed[key].value != value.value}
        resigned = {key for key, value in plain.items() if changed[key].signature != value.signature}
        assert moved <= resigned and resigned, name
        assert moved or name == "batch_size", name  # which moves features by float noise alone
        assert metric.name == "mauve" or moved == resigned, name
    for name in silent & MACHINE:
        other = {"device": "cpu", "threads": 2}[name]
        changed = metric.compute(INPUTS, {**options, name: other})
        assert all(changed[key].signature == value.signature for key, value in plain.items()), name


def test_another_model_is_another_signature(metric: Metric, options: dict[str, Any], tmp_path: Path) -> None:
    if "model" not in options:
        pytest.skip("no model")
    make = tiny_models.llama if metric.name == "fluency" else tiny_models.roberta
    other = metric.compute(INPUTS, {**options, "model": str(make(tmp_path / "other"))})
    plain = metric.compute(INPUTS, options)
    assert all(other[key].signature != value.signature for key, value in plain.items())


def test_how_many_texts_there_are_is_signed_where_it_moves_the_number(metric: Metric, options: dict[str, Any]) -> None:
    """Means over texts, or over pairs of them, do not depend on how many there are; the others do."""
    for key, value in metric.compute(INPUTS, options).items():
        parts = [part.partition(":")[0] for part in value.signature.split("|")]
        assert ("N" in parts) == (metric.name in COUNT_TEXTS or key == "js_max"), key
        assert ("refs" in parts) == (metric.name in COUNT_REFERENCES), key


def test_options_are_checked(metric: Metric) -> None:
    with pytest.raises(BenchError, match=f"^{metric.name}: unknown option 'sed'; did you mean 'seed'"):
        metric.compute(INPUTS, {"sed": 1})
    for name in metric.defaults:
        with pytest.raises(BenchError, match=f"^{metric.name}: .*'?{name}"):
            metric.compute(INPUTS, {name: [1]})


def test_no_texts(metric: Metric, options: dict[str, Any]) -> None:
    with pytest.raises(Undefined, match=f"^{metric.name}: needs at least"):
        metric.compute(TextInputs([], [], []), options)


def test_texts_that_do_not_pair(metric: Metric, options: dict[str, Any]) -> None:
    if metric.needs not in ("pairs", "sources"):
        pytest.skip("takes sets of texts")
    with pytest.raises(BenchError, match=f"^{metric.name}: pairs each generated text with its"):
        metric.compute(replace(INPUTS, references=INPUTS.references[:3]), options)


def test_quantity_keys_are_unique() -> None:
    keys = [quantity.key for name in registry.metrics() for quantity in registry.load_metric(name).quantities]
    assert len(keys) == len(set(keys))
    assert {quantity.key for quantity in MAUVE.quantities} == NO_INTERVAL

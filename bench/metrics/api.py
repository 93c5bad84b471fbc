"""Every text metric on any texts, and two systems compared: what ``python -m bench score`` and Python callers use."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench import registry
from bench.errors import BenchError, suggest
from bench.files import json_number
from bench.metrics import signatures
from bench.metrics.base import Metric, TextInputs, Undefined, Value
from bench.metrics.bootstrap import DEFAULTS as BOOTSTRAP
from bench.metrics.bootstrap import FEW, Examples, Interval
from bench.metrics.significance import (
    Difference,
    approximate_randomisation,
    independent_bootstrap,
    paired_bootstrap,
    permutation,
)  # fmt: skip

if TYPE_CHECKING:
    from bench.metrics.likelihood_file import LikelihoodFile

Options = Mapping[str, Mapping[str, Any]]  # metric -> its options over its defaults
PAIRED = ("pairs", "sources")  # what metrics need whose examples correspond from one system to the next


@dataclass(frozen=True)
class Procedure:
    """How two systems are compared."""

    name: str
    bootstrap: Callable[[Examples, Examples, int, int], Difference]
    randomisation: Callable[[Examples, Examples, int, int], float]


TESTS = {
    "paired": Procedure("paired bootstrap; p: approximate randomisation", paired_bootstrap, approximate_randomisation),
    "independent": Procedure("bootstrap of both; p: permutation of texts", independent_bootstrap, permutation),
}
NO_RESAMPLES = "no test: no resamples"
NO_EXAMPLES = "no test: no statistics by example"
TOO_FEW = f" (fewer than {FEW} examples: interval too short, p_bootstrap too small)"


@dataclass(frozen=True)
class Comparison:
    """One quantity of two systems: ``difference`` = value - baseline, its 95 % interval, and its p-value."""

    value: float
    baseline: float
    difference: float
    ci95: Interval | None
    p: float | None  # two-sided, by randomisation; None where there is no test, and ``test`` says why
    p_bootstrap: float | None
    test: str  # how interval and p were made
    note: str = ""  # of the baseline's value

    def as_dict(self) -> dict[str, Any]:
        """JSON form."""
        numbers = {name: json_number(getattr(self, name)) for name in ("value", "baseline", "difference")}
        return {**asdict(self), **numbers, "ci95": None if self.ci95 is None else list(map(json_number, self.ci95))}


def names(references: bool = True, sources: bool = False, paired: bool = False) -> list[str]:
    """The text metrics that can be computed from generated texts and what else there is; ``paired``: line by line.

    >>> names(references=False)
    ['distinct', 'entropy', 'fluency', 'jaccard', 'self_bleu']
    """
    given = {"generated", *(["references"] if references else [])}
    given |= {"pairs"} if references and paired else set()
    given |= {"sources"} if references and paired and sources else set()
    return sorted(name for name, source in registry.metrics().items() if source.needs in given)


def score(
    generated: Sequence[str],
    references: Sequence[str] = (),
    *,
    sources: Sequence[str] | None = None,
    metrics: str | Iterable[str] | None = None,
    options: Options | None = None,
    cache: Path | None = None,
) -> dict[str, Value]:
    """Metrics of generated texts: quantity key -> value, 95 % interval, n, signature.

    ``references`` are the set of texts to compare with, and for metrics that pair (rouge, corpus_bleu, bertscore,
    ibleu) the i-th belongs to the i-th generated text, as the i-th of ``sources`` does. ``metrics``: one name or
    several, by default the n-gram metrics that are defined for these texts. ``options``:
    ``{"bleu": {"resamples": 0}}``. ``cache``: a directory that keeps features of the references.
    :class:`bench.errors.BenchError` says in one line what is wrong.

    >>> values = score(["a b c", "a b d", "e"], metrics=["self_bleu"], options={"self_bleu": {"resamples": 0}})
    >>> round(values["self_bleu1"].value, 2), values["self_bleu1"].ci95
    (44.44, None)
    """
    inputs = _inputs(generated, references, sources, cache)
    chosen = ngram_metrics(bool(inputs.references)) if metrics is None else _asked(metrics)
    given = options_of(chosen, options or {})
    values = {}
    for name in chosen:
        try:
            values.update(compute(name, inputs, given[name]))
        except Undefined:
            if metrics is not None:
                raise
    return values


def compare(
    generated: Sequence[str],
    baseline: Sequence[str],
    references: Sequence[str] = (),
    *,
    sources: Sequence[str] | None = None,
    metrics: str | Iterable[str] | None = None,
    options: Options | None = None,
) -> dict[str, Comparison]:
    """Two systems on the same references: quantity key -> difference with its interval and p-value.

    Metrics that pair examples (rouge, corpus_bleu, bertscore, ibleu) compare the two outputs for one example: paired
    bootstrap and approximate randomisation. For all others the two lists are independent samples, of any sizes.
    Arguments as in :func:`score`.

    >>> ours, theirs = ["a b c d", "b c d e"] * 20, ["a b x y", "b x y z"] * 20
    >>> found = compare(ours, theirs, ["a b c d", "b c d e"] * 20, metrics=["bleu"])["bleu2"]
    >>> found.difference > 0 and found.ci95[0] > 0 and found.p < 0.01
    True
    """
    ours = _inputs(generated, references, sources)
    theirs = replace(ours, generated=_texts(baseline, "baseline"))
    chosen = ngram_metrics(bool(ours.references)) if metrics is None else _asked(metrics)
    given = options_of(chosen, options or {})
    found = {}
    for name in chosen:
        try:
            values = compute(name, ours, given[name])
            found.update(compared(name, values, _of_baseline(name, theirs, given[name]), given[name]))
        except Undefined:
            if metrics is not None:
                raise
    return found


def _of_baseline(name: str, inputs: TextInputs, options: Mapping[str, Any]) -> dict[str, Value]:
    try:
        return compute(name, inputs, options)
    except BenchError as error:
        raise type(error)(f"baseline: {error}") from None


def _inputs(
    generated: Iterable[str], references: Iterable[str], sources: Iterable[str] | None, cache: Path | None = None
) -> TextInputs:
    return TextInputs(
        _texts(generated, "generated"),
        _texts(references, "references"),
        None if sources is None else _texts(sources, "sources"),
        cache,
    )


def _texts(texts: Iterable[str], role: str) -> list[str]:
    """As a list; a single string, which would be a list of letters, is a :class:`BenchError`."""
    if isinstance(texts, str) or not isinstance(texts, Iterable):
        raise BenchError(f"{role}: expected a list of texts, got {type(texts).__name__}")
    found = list(texts)
    for i, text in enumerate(found):
        if not isinstance(text, str):
            raise BenchError(f"{role}: expected a text, got {type(text).__name__} (item {i})")
    return found


def _asked(metrics: str | Iterable[str]) -> list[str]:
    """One name or several, each once."""
    return [metrics] if isinstance(metrics, str) else list(dict.fromkeys(metrics))


def compared(
    name: str, ours: Mapping[str, Value], theirs: Mapping[str, Value], options: Mapping[str, Any]
) -> dict[str, Comparison]:
    """The values of one metric for two systems, compared from their sufficient statistics: no text is scored again."""
    merged = {**BOOTSTRAP, **registry.load_metric(name).defaults, **options}
    resamples, seed = merged["resamples"], merged["seed"]
    tests = TESTS["paired" if registry.metric(name).needs in PAIRED else "independent"]
    found = {}
    for key, a in ours.items():
        if key in theirs:
            b = theirs[key]
            tested = _tested(tests, a, b, resamples, seed)
            found[key] = Comparison(a.value, b.value, a.value - b.value, *tested, b.note)
    return found


def _tested(
    tests: Procedure, a: Value, b: Value, resamples: int, seed: int
) -> tuple[Interval | None, float | None, float | None, str]:
    """Interval, both p-values and the name of the tests; none where there are no statistics by example."""
    if a.signature != b.signature:
        return None, None, None, f"not comparable: {signatures.difference(a.signature, b.signature)}"
    if not resamples:
        return None, None, None, NO_RESAMPLES
    if a.examples is None or b.examples is None:
        return None, None, None, NO_EXAMPLES
    try:
        difference = tests.bootstrap(a.examples, b.examples, resamples, seed)
        p = tests.randomisation(a.examples, b.examples, resamples, seed)
    except Undefined as reason:
        return None, None, None, f"no test: {reason}"
    if a.ci95 is None and b.ci95 is None:  # no resample of either differs, and so none of the difference
        return None, p, None, f"{tests.name}; no interval where neither value has one"
    few = min(len(a.examples.rows), len(b.examples.rows)) < FEW
    return difference.ci95, p, difference.p, tests.name + TOO_FEW * few


def ngram_metrics(references: bool) -> list[str]:
    """The n-gram metrics, which need no model and no pairs."""
    return [name for name in names(references) if registry.metric(name).family == "ngrams"]


def options_of(chosen: Iterable[str], given: Options) -> dict[str, Mapping[str, Any]]:
    """The options of each chosen metric; options of any other are a :class:`BenchError`."""
    found = {name: given.get(name, {}) for name in chosen}
    for name in given:
        if name not in found:
            raise BenchError(f"options of metric '{name}', which is not asked for{suggest(name, found)}")
    return found


def compute(name: str, inputs: TextInputs, options: Mapping[str, Any]) -> dict[str, Value]:
    """One metric, where it was given what it needs; :class:`Undefined` where not."""
    metric = text_metric(name)
    if metric.needs != "generated" and not inputs.references:
        raise Undefined(f"{name}: needs reference texts")
    if metric.needs == "sources" and inputs.sources is None:
        raise Undefined(f"{name}: needs source texts")
    return metric.compute(inputs, options)


def text_metric(name: str) -> Metric:
    """A metric of texts by name; a quantity's key, or a metric of likelihood statistics, is told what it is."""
    if name not in registry.metrics():
        for metric in map(registry.load_metric, registry.metrics()):
            if any(quantity.key == name for quantity in metric.quantities):
                raise BenchError(f"'{name}' is a quantity of the metric '{metric.name}': ask for that")
    if not registry.metric(name).from_texts:
        raise BenchError(f"metric '{name}' is computed from a trained cell's likelihood statistics, not from texts")
    return registry.load_metric(name)


def score_likelihood(stats: LikelihoodFile, metrics: str | Iterable[str] | None = None) -> dict[str, Value]:
    """Metrics of likelihood statistics, by default all of them: exact ones and each paper's arithmetic.

    >>> import numpy as np
    >>> from bench.metrics import LikelihoodFile, score_likelihood
    >>> stats = LikelihoodFile.empty(n=2, m=2, k=1, groups=0, latent=0, samples=1, mi_batch=32)  # a plain LM
    >>> stats.log_px[:, 0], stats.predicted[:] = [-10.0, -20.0], [4, 6]
    >>> round(score_likelihood(stats, ["iw"])["ppl"].value, 3)  # exp(30 / 10)
    20.086
    """
    known = [name for name, source in registry.metrics().items() if not source.from_texts]
    chosen = known if metrics is None else _asked(metrics)
    for name in chosen:
        if name not in known:
            raise BenchError(f"'{name}' is no metric of likelihood statistics{suggest(name, known)}")
    return {k: value for name in chosen for k, value in registry.load_metric(name).compute(stats, {}).items()}

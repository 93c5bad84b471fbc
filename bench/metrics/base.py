"""What a metric is: a named pure function of texts or of likelihood statistics, with signed, bounded results.

A metric lives in one file of ``bench/metrics`` that ends with ``METRIC = Metric(name=..., family=..., ...)``.
``name``, ``family`` and ``needs`` are literals, so that the DAG can read them without importing the file. Metrics of
one family are scored in one process (they share the n-gram index, an encoder, or the likelihood file) and written to
one ``scores/<family>.json``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from bench.errors import BenchError
from bench.files import json_number

if TYPE_CHECKING:
    from bench.metrics.bootstrap import Examples
    from bench.metrics.ngrams import NgramIndex

Direction = Literal["up", "down", "none"]
# generated: generated texts alone; references: and a set of reference texts; pairs: and the reference of each text;
# sources: and also the source of each text; likelihood: the statistics of a trained cell.
Needs = Literal["generated", "references", "pairs", "sources", "likelihood"]


@dataclass(frozen=True)
class Quantity:
    """One number a metric reports: a column a table can show."""

    key: str  # unique over all metrics: "self_bleu4"
    label: str  # column head: "SB-4"
    direction: Direction  # which way is better; "none" where neither is
    formula: str  # in plain text, one line
    unit: str  # "nats/example", "percent", "dims", "1" for a pure number
    range: tuple[float, float]
    source: str  # paper, section or equation
    detail: bool = False  # a part of another quantity: in every file, but not in a short table


@dataclass(frozen=True)
class Value:
    """A measured number. ``ci95`` is sampling uncertainty over examples, never seed variation."""

    value: float
    ci95: tuple[float, float] | None
    n: int  # how many examples the number averages or counts over
    signature: str  # everything that must agree before two values may be compared
    interval: str = ""  # how ci95 was made: "bootstrap of 1000 resamples, seed 0"
    note: str = ""
    examples: Examples | None = field(default=None, repr=False, compare=False)  # for comparisons; never written

    def as_dict(self) -> dict[str, Any]:
        """JSON form, as written to ``scores/<family>.json`` and into a record."""
        return {
            "value": json_number(self.value),
            "ci95": None if self.ci95 is None else list(map(json_number, self.ci95)),
            "n": self.n,
            "signature": self.signature,
            "interval": self.interval,
            "note": self.note,
        }


class Undefined(BenchError):
    """A metric that has no value for these inputs: too few texts, or none that is long enough."""


class NotInstalled(BenchError):
    """A metric whose model is not on this machine."""


@dataclass(frozen=True)
class TextInputs:
    """What a text metric may look at.

    ``references`` is a set of texts for metrics that need ``"references"``, and for ``"pairs"`` and ``"sources"`` the
    i-th is that of the i-th generated text, as is the i-th source. ``cache``: where features of texts may be kept.
    """

    generated: list[str]
    references: list[str] = field(default_factory=list)
    sources: list[str] | None = None
    cache: Path | None = None

    @cached_property
    def index(self) -> NgramIndex:
        """The n-gram index of generated texts and references, built once and shared by every n-gram metric."""
        from bench.metrics.ngrams import NgramIndex

        return NgramIndex(self.generated, self.references)

    def require(self, metric: str, generated: int = 1, references: int = 0) -> None:
        """Raise :class:`Undefined` where there are fewer texts."""
        if len(self.generated) < generated or len(self.references) < references:
            needed = f"{generated} generated text{'s' * (generated > 1)}"
            needed += f" and {references} reference text{'s' * (references > 1)}" if references else ""
            got = f"{len(self.generated)}" + (f" and {len(self.references)}" if references else "")
            raise Undefined(f"{metric}: needs at least {needed}, got {got}")

    def require_pairs(self, metric: str, sources: bool = False) -> None:
        """Raise :class:`Undefined` where there is no pair, or not equally many texts, references and sources."""
        self.require(metric, references=1)
        others = {"reference": self.references, **({"source": self.sources or []} if sources else {})}
        for kind, texts in others.items():
            if len(texts) != len(self.generated):
                raise Undefined(
                    f"{metric}: pairs each generated text with its {kind}, "
                    f"but there are {len(self.generated)} generated texts and {len(texts)} {kind}s"
                )


@dataclass(frozen=True)
class Metric:
    """A named metric. ``compute(inputs, options) -> {quantity key: Value}``.

    ``inputs`` is a :class:`bench.metrics.likelihood_file.LikelihoodFile` where ``needs == "likelihood"``, else a
    :class:`TextInputs`. ``options`` are the suite's options for this metric over ``defaults``; an unknown option is a
    :class:`BenchError`, and so are texts for which the metric is not defined (:class:`Undefined`).
    """

    name: str
    family: str
    needs: Needs
    quantities: tuple[Quantity, ...]
    compute: Callable[[Any, Mapping[str, Any]], dict[str, Value]]
    signatures: tuple[str, ...] = ()  # of its values, with <...> for what texts, options and versions decide
    defaults: Mapping[str, Any] = field(default_factory=dict)
    version: int = 1  # part of every signature: raise it when a change changes values


def signature(metric: str, version: int, **parts: object) -> str:
    """``"bleu|n:4|tok:13a|v:1"``: sacrebleu's idea, parts in the order given."""
    return "|".join([metric, *(f"{key}:{value}" for key, value in parts.items()), f"v:{version}"])

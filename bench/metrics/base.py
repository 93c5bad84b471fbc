"""What a metric is: a named pure function of texts or of likelihood statistics, with signed, bounded results.

A metric lives in one file of ``bench/metrics`` that ends with ``METRIC = Metric(name=..., family=..., ...)``.
``name`` and ``family`` are literals, so that the DAG can read them without importing the file. Metrics of one
family are scored in one process (they share the n-gram index, or the likelihood file) and written to one
``scores/<family>.json``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from bench.metrics.ngrams import NgramIndex

Direction = Literal["up", "down", "none"]
Needs = Literal["texts", "likelihood"]


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


@dataclass(frozen=True)
class Value:
    """A measured number. ``ci95`` is sampling uncertainty over examples, never seed variation."""

    value: float
    ci95: tuple[float, float] | None
    n: int  # how many examples the number averages or counts over
    signature: str  # everything that must agree before two values may be compared
    note: str = ""

    def as_dict(self) -> dict[str, Any]:
        """JSON form, as written to ``scores/<family>.json``."""
        return {
            "value": self.value,
            "ci95": None if self.ci95 is None else list(self.ci95),
            "n": self.n,
            "signature": self.signature,
            "note": self.note,
        }


@dataclass(frozen=True)
class TextInputs:
    """What a text metric may look at: generated texts, reference texts, and a directory to cache reference features."""

    generated: list[str]
    references: list[str]
    cache: Path | None = None

    @cached_property
    def index(self) -> NgramIndex:
        """The n-gram index of both text sets, built once and shared by every n-gram metric."""
        from bench.metrics.ngrams import NgramIndex

        return NgramIndex(self.generated, self.references)


@dataclass(frozen=True)
class Metric:
    """A named metric. ``compute(inputs, options) -> {quantity key: Value}``.

    ``inputs`` is a :class:`TextInputs` where ``needs == "texts"`` and a
    :class:`bench.metrics.likelihood_file.LikelihoodFile` where ``needs == "likelihood"``.
    ``options`` are the suite's options for this metric over ``defaults``; an unknown option is an error.
    """

    name: str
    family: str
    needs: Needs
    quantities: tuple[Quantity, ...]
    compute: Callable[[Any, Mapping[str, Any]], dict[str, Value]]
    defaults: Mapping[str, Any] = field(default_factory=dict)
    version: int = 1  # part of every signature: raise it when a change changes values


def signature(metric: str, version: int, **parts: object) -> str:
    """``"bleu|n:4|tok:13a|v:1"``: sacrebleu's idea, parts in the order given."""
    return "|".join([metric, *(f"{key}:{value}" for key, value in parts.items()), f"v:{version}"])

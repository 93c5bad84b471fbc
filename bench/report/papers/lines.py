"""What figures with a line through several cells share."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bench import registry
from bench import suite as suites
from bench.errors import BenchError
from bench.report.collect import Results
from bench.schema import Suite


def by_seed(results: Results, dataset: str, key: str) -> dict[str, list[float]]:
    """One quantity of every method that has it; what cannot stand on one line is a :class:`BenchError`."""
    column = results.column(dataset, key)
    for method, measured in column.items():
        if measured.problem:
            raise BenchError(f"{key} of '{method}' on {dataset} is not comparable: {measured.problem}")
    having = {method: [r for r in results.records[dataset, method] if key in r.values] for method in column}
    return {method: [record.values[key].value for record in records] for method, records in having.items()}


def options_of(suite: Suite, method: str, defaults: Mapping[str, Any]) -> dict[str, Any]:
    """The options of a method of the suite: ``defaults`` of its class, its name's own, the suite's."""
    spec = suites.spec_of(suite, method)
    return {**defaults, **registry.describe(spec.use).options, **spec.options}


def class_of(suite: Suite, method: str) -> tuple[Path, str]:
    """The class behind a method of the suite: methods of one class differ in options alone."""
    source = registry.describe(suites.spec_of(suite, method).use)
    return source.file, source.cls

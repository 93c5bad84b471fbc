"""The machine-readable form of a report: one row a dataset × method × quantity."""

from __future__ import annotations

from collections.abc import Sequence

from bench.metrics.base import Quantity
from bench.report.collect import Measured, Results, quantity
from bench.report.layout import MAIN
from bench.report.published import PRINTED_TIMES, Printed, Published
from bench.suite import generation_of

HEADER = (
    "dataset", "method", "quantity", "label", "unit", "direction", "value", "half_width", "n_seeds", "ci95_low",
    "ci95_high", "n", "signature", "protocol", "published", "published_note", "not_comparable", "note",
)  # fmt: skip
FIRST = tuple(key for key, *_ in MAIN)


def tidy_rows(
    results: Results,
    published: Published,
    first: Sequence[str] = FIRST,
    paper: str = "della",
    table: str = "",
    decoding: str = "",
) -> tuple[tuple[str, ...], ...]:
    """Every quantity of every record, those of the table ``first``. Full precision, empty where there is no number.

    Beside each is what a paper prints, in one of its tables where named. ``decoding`` is that of the results.

    ``half_width`` is over seeds (Student's t, 95 %), ``ci95_*`` over examples (mean of the seeds' interval ends).
    """
    keys = sorted(results.keys(), key=lambda key: (first.index(key) if key in first else len(first), key))
    rows = []
    for dataset in results.datasets:
        decoded = generation_of(results.suite, dataset, decoding).decoding.signature
        columns = {key: results.column(dataset, key) for key in keys}
        for method in results.methods(dataset):
            for key in keys:
                if method in columns[key]:
                    printed = published.find(dataset, method, key, paper, table or None)
                    beside = (printed.text, _printed_note(printed)) if printed else ("", "")
                    rows.append(_row(dataset, method, quantity(key), columns[key][method], decoded, beside))
    return tuple(rows)


def printed_rows(published: Published, paper: str, table: str) -> tuple[tuple[str, ...], ...]:
    """A paper's own table in the same form: no value of ours, the printed metric in place of a quantity."""
    empty = dict.fromkeys(HEADER, "")
    return tuple(
        tuple({
            **empty, "dataset": row.dataset, "method": row.method, "quantity": row.metric,
            "protocol": f"printed: {paper}, Table {table}", "published": row.text, "published_note": _printed_note(row),
        }.values())
        for row in published.table(paper, table)
    )  # fmt: skip


def _printed_note(printed: Printed) -> str:
    times = f"printed times {PRINTED_TIMES[printed.metric]}" if printed.metric in PRINTED_TIMES else ""
    return "; ".join(filter(None, (times, printed.note)))


def _row(
    dataset: str, method: str, of: Quantity, measured: Measured, decoding: str, printed: tuple[str, str]
) -> tuple[str, ...]:
    estimate = measured.estimate
    low, high = measured.ci95 or (None, None)
    numbers = (estimate.mean, estimate.half_width, estimate.n, low, high, measured.n)
    return (
        dataset, method, of.key, of.label, of.unit, of.direction,
        *("" if value is None else repr(value) for value in numbers),
        measured.signature, protocol_of(measured.signature, decoding), *printed, measured.problem, measured.note,
    )  # fmt: skip


def protocol_of(signature: str, decoding: str) -> str:
    """Whose arithmetic (likelihood), or how the texts were decoded."""
    found = [part.partition(":")[2] for part in signature.split("|") if part.startswith("protocol:")]
    return found[0] if found else f"decoding {decoding}"

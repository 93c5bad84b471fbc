"""A report of frozen releases in place of a run: of those of its cells that they hold, with nothing trained."""

from __future__ import annotations

import importlib
import shutil
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from bench import suite as suites
from bench.errors import BenchError
from bench.files import write_json
from bench.freeze import FrozenCell, Release, check_settings, load_release
from bench.paths import CellPaths
from bench.record_schema import write_record
from bench.report import catalogue
from bench.report.collect import TAKEN, Taken
from bench.schema import Suite
from bench.suite import Cell

HELD = ("records", "histories")  # what a release has of what a report may read


def render(suite: Suite, report: str, names: Sequence[str], out: Path, root: Path = Path()) -> None:
    """Write ``out`` and its siblings from the records, or the histories, of some releases of one suite.

    :class:`BenchError`: the report shows more than a release holds, none of its cells is in one, a release adds nothing
    to it, two have the same, one was made under settings that the suite no longer has, or histories are of other data.
    """
    found = catalogue.find(report)
    if beyond := [source for source in found.reads if source not in HELD]:
        raise BenchError(f"report '{report}' reads {' and '.join(beyond)}, and a release holds {' and '.join(HELD)}")
    if suites.select(suite, report).decodings and not found.own:
        raise BenchError(f"report '{report}' is of named decodings, and a release holds texts of none")
    releases = [load_release(name, root) for name in names]
    cells = _cells(suite, releases, {*suites.cells(suite, report), *suites.untrained(suite, report)})
    if "histories" in found.reads:  # which do not say of what data they are, as records do
        _of_same_data(releases, {cell.dataset for cell in cells})
        cells = {cell: frozen for cell, frozen in cells.items() if frozen.history is not None}
    held = _held(suite, report, cells, names)
    _every_one_used(held, report, releases)
    with TemporaryDirectory() as folder:
        _lay_out(suite.name, cells, [release.manifest for release in releases], Path(folder))
        write_json(Path(folder) / TAKEN, asdict(_taken(suite, held, report, names)))
        importlib.import_module(found.module).render(held, report, out, Path(folder))


def _cells(suite: Suite, releases: Sequence[Release], wanted: Collection[Cell]) -> dict[Cell, FrozenCell]:
    """Of all releases; those that are ``wanted`` must be of the suite as it is, for a report tells its settings."""
    cells: dict[Cell, FrozenCell] = {}
    for release in releases:
        of = release.manifest["suite"]["name"]
        if of != suite.name:
            raise BenchError(f"release '{release.name}' is of suite '{of}', not of '{suite.name}'")
        for cell, frozen in release.cells.items():
            name = f"release '{release.name}': {cell.dataset}/{cell.method}/seed{cell.seed}"
            if cell in cells:
                raise BenchError(f"{name} is in one before it too")
            if cell in wanted:
                check_settings(suite, frozen.record, name)
            cells[cell] = frozen
    return cells


def _of_same_data(releases: Sequence[Release], datasets: Collection[str]) -> None:
    """:class:`BenchError` where two releases had other texts of one dataset."""
    seen: dict[str, tuple[str, str]] = {}
    for release in releases:
        for dataset, data in release.manifest["data"].items():
            first, digest = seen.setdefault(dataset, (release.name, data["sha256"]))
            if dataset in datasets and data["sha256"] != digest:
                raise BenchError(f"release '{release.name}': other data of {dataset} than release '{first}'")


def _held(suite: Suite, report: str, cells: Collection[Cell], names: Sequence[str]) -> Suite:
    """The suite whose report is of the methods that have what it reads for every dataset and seed, and of no others."""
    wanted, selection = suites.cells(suite, report), suites.select(suite, report)
    datasets = [name for name in selection.datasets if any(c.dataset == name and c in cells for c in wanted)]
    missing = {cell.method for cell in wanted if cell.dataset in datasets and cell not in cells}
    methods = [method for method in selection.methods if method not in missing]
    if not datasets or not methods:
        raise BenchError(f"report '{report}': {', '.join(names)}: {_nothing(report)}")
    part = selection.model_copy(update={"datasets": datasets, "methods": methods})
    held = suite.model_copy(update={"reports": {report: part}})
    for cell in suites.untrained(held, report):
        if cell not in cells:
            raise BenchError(f"report '{report}': {', '.join(names)}: no {cell.dataset}/{cell.method}")
    return held


def _every_one_used(held: Suite, report: str, releases: Sequence[Release]) -> None:
    """:class:`BenchError` where nothing of a release is shown, which its reader would not see."""
    shown = {*suites.cells(held, report), *suites.untrained(held, report)}
    if unused := next((release.name for release in releases if not shown & release.cells.keys()), None):
        raise BenchError(f"release '{unused}' adds nothing to report '{report}': {_nothing(report)}")


def _nothing(report: str) -> str:
    """For a message."""
    return f"no method of it with {' and '.join(catalogue.find(report).reads) or 'records'} of every dataset and seed"


def _taken(suite: Suite, held: Suite, report: str, names: Sequence[str]) -> Taken:
    """What the report says of where its rows are from; one of data alone has no rows of methods."""
    whole, part = suites.select(suite, report), suites.select(held, report)
    methods = whole.methods if catalogue.find(report).reads else []
    return Taken(
        releases=list(names),
        methods=[method for method in methods if method not in part.methods],
        datasets=[dataset for dataset in whole.datasets if dataset not in part.datasets],
    )


def _lay_out(suite: str, cells: Mapping[Cell, FrozenCell], manifests: Sequence[Mapping[str, Any]], root: Path) -> None:
    """As a run has them."""
    for cell, frozen in cells.items():
        paths = CellPaths(suite, cell.dataset, cell.method, cell.seed)
        (root / paths.record).parent.mkdir(parents=True, exist_ok=True)
        write_record(frozen.record, root / paths.record)
        if frozen.history is not None:
            shutil.copyfile(frozen.history, root / paths.history)
    for manifest in manifests:
        for dataset, data in manifest["data"].items():
            if data["manifest"] is not None:
                path = root / CellPaths(suite, dataset, "", 0).manifest
                path.parent.mkdir(parents=True, exist_ok=True)
                write_json(path, data["manifest"])

"""``results/frozen/<release>/``: a finished run kept as small JSON, to compare with later and never to change.

A release holds ``manifest.json`` (the suite, its cells and their checksums, data manifests, signatures, versions,
commits) and one file a cell, ``cells/<dataset>/<method>/seed<k>.json``: its record, and of trained cells the
per-example statistics that a paired bootstrap needs; beside it ``seed<k>.csv``, the history of the training. The same
run always gives the same bytes. Texts are those of each dataset's own decoding: records of named decodings
(``decodings:`` of a suite) take no part in releases.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench import digests
from bench import suite as suites
from bench.errors import BenchError, suggest
from bench.files import atomic_directory, check, claimed, read_json, sha256, write_json
from bench.paths import FROZEN, CellPaths, releases
from bench.record_schema import Record, parse_record, read_cell
from bench.schema import Suite
from bench.suite import UNTRAINED, Cell

SCHEMA = 1
DECIMALS = 4  # of per-example statistics, in nats: far below their Monte-Carlo error
RESTORE = "take the release again from where it is kept (git checkout)"
PerExample = Mapping[str, Sequence[float]]


@dataclass(frozen=True)
class FrozenCell:
    """A cell of a release; ``per_example`` is empty for rows without a model.

    ``history`` is the file with its training terms by step; None without a model, and in releases older than that.
    """

    record: Record
    per_example: PerExample
    history: Path | None = None


@dataclass(frozen=True)
class Release:
    """A frozen release, checksums verified."""

    name: str
    manifest: Mapping[str, Any]
    cells: Mapping[Cell, FrozenCell]


def freeze(
    suite_path: str, release: str, allow_dirty: bool = False, finished: bool = False, root: Path = Path()
) -> Path:
    """Write a finished run's release and return its folder; :class:`BenchError` says why not, and nothing is written.

    Refused: a name that is taken or not a plain name, an unfinished cell (with ``finished`` the manifest names it, and
    the others are kept), records made from uncommitted code (unless ``allow_dirty``), from different data or code,
    under settings that the suite no longer has, from other statistics or texts than are there, or without one of the
    suite's metrics.
    """
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", release):
        raise BenchError(f"release '{release}': expected letters, digits, '.', '_' and '-'")
    folder = root / FROZEN / release
    with claimed(folder):
        if folder.exists():
            raise BenchError(f"release '{release}': {folder} exists; a release never changes, choose another name")
        suite = suites.load(suite_path)
        kept, missing = _kept(suite, finished, root)
        records = [read_cell(suite.name, cell, root) for cell in kept]
        _check(suite, records, allow_dirty, root)
        with atomic_directory(folder) as temporary:
            listed = [_write_cell(suite, record, temporary, root) for record in records]
            manifest = _manifest(release, suite, suite_path, records, missing, listed, root)
            write_json(temporary / "manifest.json", manifest)
    return folder


def _kept(suite: Suite, finished: bool, root: Path) -> tuple[list[Cell], list[Cell]]:
    """The cells that have a record, and those that should have one and do not."""
    wanted = _wanted(suite)
    missing = [cell for cell in wanted if not _record(suite, cell, root).exists()]
    others = [cell for cell in suites.cells(suite) if cell not in wanted]
    kept = [cell for cell in (*wanted, *others) if _record(suite, cell, root).exists()]
    if missing and not (finished and kept):
        path, cell = _record(suite, missing[0], root), missing[0]
        raise BenchError(
            f"suite '{suite.name}': cell {cell.dataset}/{cell.method}/seed{cell.seed} is not finished ({path})"
        )
    return kept, missing


def _wanted(suite: Suite) -> list[Cell]:
    """Every cell that must have a record, rows without a model included.

    A cell whose record no report reads need not: its training or its texts of named decodings are all that is shown.
    It is frozen with its history where somebody asked for one.
    """
    trained = [cell for cell in suites.cells(suite) if suites.metrics_of(suite, cell.dataset, cell.method)]
    return [*trained, *suites.untrained(suite)]


def _record(suite: Suite, cell: Cell, root: Path) -> Path:
    return root / CellPaths(suite.name, cell.dataset, cell.method, cell.seed).record


def _check(suite: Suite, records: Sequence[Record], allow_dirty: bool, root: Path) -> None:
    data: dict[str, str] = {}
    code: dict[tuple[str, ...], str] = {}
    for record in records:
        name, provenance = f"cell {record.dataset}/{record.method}/seed{record.seed}", record.provenance
        if (provenance.git.dirty or not provenance.git.sha) and not allow_dirty:
            raise BenchError(f"{name}: made from uncommitted code; commit and run again, or pass --allow-dirty")
        prepared = root / CellPaths(suite.name, record.dataset, "", 0).manifest
        expected = data.setdefault(record.dataset, sha256(prepared) if prepared.exists() else provenance.data)
        if provenance.data != expected:
            raise BenchError(f"{name}: made from other data than the rest of '{record.dataset}'; run the suite again")
        trained = record.method not in UNTRAINED
        backbone = suites.backbone_of(suite, record.dataset, record.method).kind if trained else ""
        for stage, fingerprint in provenance.code.items():
            # stages share code between methods and backbones only in part, so a mix shows within one of each
            if code.setdefault((record.method, backbone, stage), fingerprint) != fingerprint:
                raise BenchError(f"{name}: stage '{stage}' ran other code than the method's other cells; run it again")
        check_settings(suite, record, name, "; run it again")
        _check_scores(suite, record, name, root)
        for family, scored in (provenance.scores or {}).items():
            if scored.code and code.setdefault(("score", family), scored.code) != scored.code:
                raise BenchError(f"{name}: its {family} values are by other code than other cells'; run it again")


def check_settings(suite: Suite, record: Record, name: str, remedy: str = "") -> None:
    """:class:`BenchError` where a stage of a record ran under other settings than the suite has."""
    for stage, digest in record.provenance.settings.items():
        if digest != digests.settings(suite, stage, record.dataset, record.method):
            raise BenchError(f"{name}: stage '{stage}' ran under settings the suite no longer has{remedy}")


def _check_scores(suite: Suite, record: Record, name: str, root: Path) -> None:
    """:class:`BenchError` where values are not the suite's metrics of the files beside the record.

    Records of older versions do not say of what their values are.
    """
    if (scores := record.provenance.scores) is None:
        return
    paths = CellPaths(suite.name, record.dataset, record.method, record.seed)
    files = {"likelihood": root / paths.likelihood, "texts": root / paths.samples}
    for family, source in suites.families_of(suite, record.dataset, record.method).items():
        scored, file = scores.get(family), files[source]
        if scored is None:
            raise BenchError(f"{name}: it has no {family} values, which the suite now has; run the suite again")
        if scored.settings not in ("", digests.settings(suite, "score", family=family)):
            raise BenchError(f"{name}: its {family} values are of metrics the suite no longer has so; run it again")
        if scored.of and file.exists() and sha256(file) != scored.of:
            raise BenchError(f"{name}: its {family} values are of another {file.name} than is there; run it again")


def _write_cell(suite: Suite, record: Record, folder: Path, root: Path) -> dict[str, Any]:
    paths = CellPaths(suite.name, record.dataset, record.method, record.seed)
    name = f"cells/{record.dataset}/{record.method}/seed{record.seed}.json"
    statistics = {} if record.method in UNTRAINED else per_example(record, root / paths.likelihood)
    file = folder / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(_cell_text(record, statistics), encoding="utf-8")
    listed = {"dataset": record.dataset, "method": record.method, "seed": record.seed, "file": name,
              "sha256": sha256(file)}  # fmt: skip
    if record.method in UNTRAINED:
        return listed
    history = file.with_suffix(".csv")
    if not (root / paths.history).is_file():
        raise BenchError(f"{root / paths.history}: the history of a training with a record is gone; run it again")
    shutil.copyfile(root / paths.history, history)
    return listed | {"history": {"file": str(history.relative_to(folder)), "sha256": sha256(history)}}


def per_example(record: Record, path: Path) -> PerExample:
    """Rounded statistics of a trained cell; none where its suite measures no likelihood."""
    if "nelbo" not in record.values and "ppl" not in record.values:
        return {}
    from bench.metrics.likelihood_file import per_example as read

    return {key: [round(value, DECIMALS) for value in values] for key, values in sorted(read(path).items())}


def _cell_text(record: Record, statistics: PerExample) -> str:
    """JSON, the record readable, each array on one line."""
    lines = [f"  {json.dumps(key)}: {json.dumps(values, allow_nan=False)}" for key, values in statistics.items()]
    content = json.dumps(record.as_dict(), indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False)
    arrays = ",\n".join(lines)
    return f'{{\n"schema": {SCHEMA},\n"record": {content},\n"per_example": {{\n{arrays}\n}}\n}}\n'


def _manifest(
    release: str, suite: Suite, suite_path: str, records: Sequence[Record], missing: Sequence[Cell],
    listed: list[dict[str, Any]], root: Path,
) -> dict[str, Any]:  # fmt: skip
    text = Path(suite_path).read_text(encoding="utf-8")
    signatures: dict[str, dict[str, set[str]]] = {}
    versions: dict[str, set[str]] = {}
    for record in records:
        for key, value in record.values.items():
            signatures.setdefault(record.dataset, {}).setdefault(key, set()).add(value.signature)
        for package, version in record.provenance.versions.items():
            versions.setdefault(package, set()).add(version)
    recorded = {record.dataset for record in records}
    commits = {(record.provenance.git.sha, record.provenance.git.dirty) for record in records}
    return {
        "schema": SCHEMA,
        "release": release,
        "suite": {
            "name": suite.name,
            "yaml": text,
            "digest": digests.digest(suite),
            "resolved": suite.model_dump(mode="json"),
        },
        "cells": listed,
        **({"unfinished": [f"{cell.dataset}/{cell.method}/seed{cell.seed}" for cell in missing]} if missing else {}),
        "data": {name: _data(suite, name, records, root) for name in suite.datasets if name in recorded},
        "signatures": {d: {key: sorted(found) for key, found in by.items()} for d, by in signatures.items()},
        "versions": {package: sorted(found) for package, found in versions.items()},
        "git": [{"sha": sha, "dirty": dirty} for sha, dirty in sorted(commits)],
    }


def _data(suite: Suite, dataset: str, records: Sequence[Record], root: Path) -> dict[str, Any]:
    path = root / CellPaths(suite.name, dataset, "", 0).manifest
    digest = next(record.provenance.data for record in records if record.dataset == dataset)
    return {"sha256": digest, "manifest": read_json(path, "manifest") if path.exists() else None}


def load_release(name: str, root: Path = Path()) -> Release:
    """Read a release; one that is missing, damaged or of another schema is a :class:`BenchError`."""
    folder = root / FROZEN / name
    if not name or not (folder / "manifest.json").is_file():
        raise BenchError(f"no frozen release '{name}' in {root / FROZEN}{suggest(name, releases(root))}")
    check(folder / "manifest.json", remedy=RESTORE)
    manifest = read_json(folder / "manifest.json", "release")
    try:
        if manifest["schema"] != SCHEMA:
            raise BenchError(f"release {folder}: schema is {manifest['schema']!r}, this version reads {SCHEMA}")
        cells = [_read_cell(folder, entry) for entry in manifest["cells"]]
        _ = manifest["suite"]["resolved"], manifest["versions"], manifest["git"]
    except (KeyError, TypeError) as error:
        raise BenchError(f"release {folder}: manifest.json is damaged ({error!r})") from None
    return Release(name, manifest, {cell.record.cell: cell for cell in cells})


def _read_cell(folder: Path, entry: Mapping[str, Any]) -> FrozenCell:
    file = _unchanged(folder, entry)
    content = read_json(file, "frozen cell")
    history = _unchanged(folder, entry["history"]) if "history" in entry else None
    return FrozenCell(parse_record(content["record"], f"frozen cell {file}"), content["per_example"], history)


def _unchanged(folder: Path, entry: Mapping[str, Any]) -> Path:
    file: Path = folder / entry["file"]
    if not file.is_file() or sha256(file) != entry["sha256"]:
        raise BenchError(f"{file}: missing or changed since it was frozen, by manifest.json; {RESTORE}")
    return file

"""The folder of one human evaluation: sheets for annotators (CSV, and an HTML form that saves one), and the key.

``sheet-K.csv`` and ``sheet-K.html`` go to annotator K. ``key.csv`` says which code is whose and stays here, as does
``protocol.json``.
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from bench import registry
from bench.data.prepare import read_split
from bench.errors import BenchError
from bench.files import atomic_directory, read_json, read_lines, write_json
from bench.humaneval.agreement import Scores
from bench.humaneval.design import QUESTIONS, SCALE, WARNINGS, Design
from bench.paths import CellPaths
from bench.samples import read_samples
from bench.schema import Suite
from bench.suite import HUMAN, UNTRAINED

FIXED = ("item", "code", "source", "text")
KEY = ("code", "item", "method")


def texts_of(
    suite: Suite, dataset: str, methods: Sequence[str], seed: int, root: Path = Path()
) -> tuple[dict[str, list[str]], list[str] | None]:
    """The samples of each method, and the sources they were written for, where the dataset has them.

    ``human`` is held-out texts; where there are sources, what a human wrote for each of them.
    """
    texts, sources = {}, None
    for method in methods:
        paths = CellPaths(suite.name, dataset, method, 0 if method in UNTRAINED else seed)
        path = root / paths.samples
        found: list[str] | None
        if method == HUMAN and registry.dataset(dataset).conditional:  # its samples are validation texts
            path = root / paths.data / "test.txt"
            test = read_split(path.parent, "test")
            texts[method], found = test.texts, test.sources
        else:
            texts[method] = read_samples(path)
            found = [json.loads(line).get("source") for line in read_lines(path, "samples")]
        if found and found[0] is not None:
            if sources is not None and sources[: len(found)] != found[: len(sources)]:
                raise BenchError(f"{path}: its sources are not those of {methods[0]}")
            sources = found
    return texts, sources


def export(plan: Design, criteria: Sequence[str], about: Mapping[str, Any], out: Path) -> None:
    """Write the folder, whole or not at all; one that is there is not replaced: its sheets may be filled in."""
    if out.exists():
        raise BenchError(f"{out}: is there already, perhaps with filled sheets; choose another folder")
    with atomic_directory(out) as folder:
        rows = [(sample.code, sample.item, sample.method) for sample in plan.samples.values()]
        _write_csv(folder / "key.csv", KEY, rows)
        write_json(folder / "protocol.json", {**about, "criteria": list(criteria), "scale": list(SCALE)})
        for number, sheet in enumerate(plan.sheets, 1):
            shown = [(place, [plan.samples[code] for code in item]) for place, item in enumerate(sheet, 1)]
            empty = [""] * len(criteria)
            lines = [(at, s.code, _plain(s.source), _plain(s.text), *empty) for at, item in shown for s in item]
            _write_csv(folder / f"sheet-{number}.csv", (*FIXED, *criteria), lines)
            page = _template().render(
                number=number, items=shown, criteria={name: QUESTIONS[name] for name in criteria},
                scale=range(SCALE[0], SCALE[1] + 1), warnings=WARNINGS,
            )  # fmt: skip
            (folder / f"sheet-{number}.html").write_text(page, encoding="utf-8")


def read_key(folder: Path) -> dict[str, tuple[int, str]]:
    """code -> item, method."""
    key = {}
    for number, row in enumerate(_read_csv(folder / "key.csv", KEY), start=2):
        if not (row["item"] or "").isdecimal():
            raise BenchError(f"{folder / 'key.csv'}:{number}: item is '{row['item']}': expected a whole number")
        key[row["code"]] = (int(row["item"]), row["method"])
    return key


def read_sheets(folder: Path) -> tuple[tuple[str, ...], dict[str, Scores]]:
    """The criteria, and of each the scores by code and annotator; a sheet's unfilled lines are left out.

    Two filled sheets of one annotator are a :class:`BenchError`, and a method of which a criterion has no score at all:
    there is nothing to compare.
    """
    protocol = read_json(folder / "protocol.json", "protocol")
    criteria, (low, high) = tuple(protocol["criteria"]), protocol["scale"]
    known = read_key(folder)
    scores: dict[str, dict[str, dict[str, int]]] = {name: {} for name in criteria}
    filled: dict[str, Path] = {}
    for file in sorted(folder.glob("sheet-*.csv")):
        annotator = _annotator(file)
        for number, row in enumerate(_read_csv(file, ("code", *criteria)), start=2):
            if row["code"] not in known:
                raise BenchError(f"{file}:{number}: code '{row['code']}' is not in key.csv")
            for name in criteria:
                given = (row[name] or "").strip()
                if not given:
                    continue
                if not given.isdecimal() or not low <= int(given) <= high:
                    raise BenchError(f"{file}:{number}: {name} is '{given}': expected {low} to {high}")
                if (other := filled.setdefault(annotator, file)) != file:
                    raise BenchError(f"{other} and {file.name}: both are filled in, by one annotator; keep one of them")
                scores[name].setdefault(row["code"], {})[annotator] = int(given)
    if not any(scores.values()):
        raise BenchError(f"{folder}: no sheet is filled in")
    for name, of in scores.items():
        unscored = {method for _, method in known.values()} - {known[code][1] for code in of}
        if unscored:
            raise BenchError(f"{folder}: no sheet has a score of {name} for {', '.join(sorted(unscored))}")
    return criteria, dict(scores)


def _annotator(file: Path) -> str:
    """Whose sheet it is: a form that is saved again is ``sheet-1 (1).csv``, or what else a browser makes of it."""
    number = re.match(r"sheet-\d+", file.name)
    return number[0] if number else file.stem


def _template() -> Any:
    environment = Environment(loader=PackageLoader("bench.humaneval"), autoescape=True, undefined=StrictUndefined)
    return environment.get_template("sheet.html.j2")


def _plain(text: str) -> str:
    """A text that no spreadsheet takes for a formula; it is never read back."""
    return f"'{text}" if text.startswith(("=", "+", "-", "@")) else text


def _write_csv(path: Path, header: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    with open(path, "w", encoding="utf-8-sig", newline="") as stream:  # whose mark tells spreadsheets what it is
        csv.writer(stream).writerows([header, *rows])


def _read_csv(path: Path, needed: Sequence[str]) -> list[dict[str, str]]:
    try:
        with open(path, encoding="utf-8-sig", newline="") as stream:  # spreadsheets begin with a byte order mark
            separator = ";" if ";" in stream.readline() else ","  # as spreadsheets save where a comma is decimal
            stream.seek(0)
            reader = csv.DictReader(stream, strict=True, delimiter=separator)
            rows = list(reader)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise BenchError(f"{path}: {getattr(error, 'strerror', None) or error}") from None
    missing = [name for name in needed if name not in (reader.fieldnames or [])]
    if missing:
        raise BenchError(f"{path}: has no column '{missing[0]}'")
    return rows

"""What the Snakefile knows about a suite: its targets, the inputs of each job, and the parameters that re-run it.

A verb that a job of a run begins finds the parameters of that job in a file, see :func:`plan`.

Everything here is plain lookup in a validated suite and in what releases hold: no data of a dataset is read and nothing
heavy imported while the DAG is built.
"""

from __future__ import annotations

import json
import os
import re
import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

from bench import closure, digests, pretrained, registry
from bench import suite as suites
from bench.errors import BenchError, suggest
from bench.files import write_json
from bench.paths import DECODING, FROZEN, PUBLISHED, RENDERED, SUITE, CellPaths, releases
from bench.report import catalogue
from bench.report.site import contents
from bench.schema import Suite
from bench.suite import UNTRAINED, Cell

DEFAULTS: Mapping[str, Any] = {
    "suite": SUITE,
    "method": [],  # specs of methods from outside the suite
    "frozen": [],  # releases to compare with; where none is given, those that :func:`_releases` chooses
    "device": "cpu",
    "gpus": 1,  # of one training
}

PLAN = Path(".snakemake/bench-plan.json")
PLANNED = "BENCH_PLAN"  # the environment variable that names it


@dataclass(frozen=True)
class Dag:
    """A suite as one invocation of snakemake sees it."""

    file: str
    uses: tuple[str, ...]
    suite: Suite
    frozen: tuple[str, ...]
    device: Literal["cpu", "cuda"]
    gpus: int = 1

    @property
    def cell(self) -> CellPaths:
        """The files of a cell, with Snakemake's wildcards for dataset, method and seed."""
        return CellPaths(self.suite.name, "{dataset}", "{method}", "{seed}")

    @property
    def drawn(self) -> CellPaths:
        """Likewise of its texts, under any decoding: the wildcard is ``/decoding-<name>``, or empty."""
        return CellPaths(self.suite.name, "{dataset}", "{method}", "{seed}{decoding}")

    @property
    def untrained(self) -> CellPaths:
        """The files of a row without a model, with wildcards for the dataset and which row."""
        return CellPaths(self.suite.name, "{dataset}", "{row}", 0)

    @property
    def gpu(self) -> int:
        """GPUs a job holds that computes with a model: as many as a training has, or two jobs would share one."""
        return self.gpus if self.device == "cuda" else 0

    def training(self, wildcards: Any) -> str:
        """The options of the verb that trains."""
        several = {"processes": str(self.gpus)} if self.gpus > 1 else {}
        return self.arguments(wildcards, device=self.device, **several)

    def training_threads(self, wildcards: Any) -> int:
        """Of one cell: its method may have a number of its own."""
        return suites.training_of(self.suite, wildcards.dataset, wildcards.method).threads

    def augmentation_threads(self, wildcards: Any) -> int:
        """Of the language model that is trained."""
        return suites.training_of(self.suite, wildcards.dataset, self.suite.augmentation.model).threads

    def paths(self, cell: Cell) -> CellPaths:
        """The files of one cell."""
        return CellPaths(self.suite.name, cell.dataset, cell.method, cell.seed, cell.decoding)

    @staticmethod
    def log(folder: Path, job: str) -> Path:
        """What a job printed."""
        return folder / "logs" / f"{job}.log"

    @staticmethod
    def benchmark(folder: Path, job: str) -> Path:
        """What a job cost, as Snakemake measures it."""
        return folder / "logs" / f"{job}.tsv"

    def reports(self, prefix: str = "") -> list[str]:
        """The main file of every report of the suite whose name begins so."""
        chosen = [catalogue.find(name) for name in self.suite.reports or catalogue.DEFAULT if name.startswith(prefix)]
        return [f"{RENDERED / report.name}.{catalogue.FORMATS[report.kind][0]}" for report in chosen]

    def reports_of(self, paper: str) -> list[str]:
        """Those of one paper; of a suite without any, what Snakemake then says is missing."""
        return self.reports(f"{paper}/") or [f"no-report-of-{paper}-in-suite-{self.suite.name}"]

    @staticmethod
    def category(report: str) -> str:
        """Under which head ``snakemake --report`` has it."""
        return catalogue.find(report).paper or "This suite"

    @staticmethod
    def labels(report: str) -> dict[str, str]:
        """What it says of it there; with a second label, of two reports it makes one with a switch, and fails."""
        return {"report": catalogue.find(report).head}

    def read(self, report: str) -> list[str]:
        """What a report reads of its cells and, of records and samples, of the rows without a model beside them."""
        trained, beside = suites.cells(self.suite, report), suites.untrained(self.suite, report)
        drawn = (*suites.drawn(self.suite, report), *beside)
        files = []
        for what in catalogue.find(report).reads:
            match what:
                case "records":
                    files += [self.paths(cell).record for cell in drawn]
                case "samples":
                    files += [self.paths(cell).samples for cell in drawn]
                case "histories":
                    files += [self.paths(cell).history for cell in trained]
                case "interpolation":
                    files += [self.paths(cell).interpolation for cell in trained]
                case "attention":
                    files += [self.paths(cell).attention for cell in trained]
                case "costs":
                    files += [self.paths(cell).cost("train") for cell in trained]
                case "statistics":
                    files += [self.paths(cell).likelihood for cell in trained]
                case "models":
                    files += [self.paths(cell).model for cell in trained]
                case "augmentation":
                    parts = suites.augmented_parts(self.suite)
                    files += [self.paths(cell).augmented(part) for cell in trained for part in parts]
        if catalogue.find(report).kind == "site":
            files += [catalogue.find(name).page for name in contents.pages(self.suite, report)]
            files += [self.paths(cell).record for cell in contents.recorded(self.suite, report)]
            files += [self.paths(cell).interpolation for cell in contents.interpolated(self.suite, report)]
        return list(dict.fromkeys(map(str, files)))

    def pretrained(self, dataset: str, method: str = "") -> list[str]:
        """The pretrained models that a dataset or, with a method, a cell starts from."""
        cell = self.paths(Cell(dataset, method, 0))
        return [
            str(cell.pretrained(name) / "manifest.json") for name in suites.pretrained_of(self.suite, dataset, method)
        ]

    def compared(self) -> list[str]:
        """Records and per-example statistics of what is compared: the methods given from outside, or else all."""
        cells = suites.compared(self.suite, [name for name, _ in map(suites.named_spec, self.uses)])
        measured = [cell for cell in cells if "likelihood" in self.families(cell.dataset, cell.method).values()]
        records = [self.paths(cell).record for cell in cells]
        return [*map(str, records), *(str(self.paths(cell).likelihood) for cell in measured)]

    def manifests(self, report: str) -> list[str]:
        """The data of a report's cells."""
        datasets = dict.fromkeys(cell.dataset for cell in suites.cells(self.suite, report))
        return [str(self.paths(Cell(dataset, "", 0)).manifest) for dataset in datasets]

    def published(self) -> list[str]:
        """What the papers print."""
        return sorted(map(str, PUBLISHED.glob("*.csv")))

    def frozen_manifests(self) -> list[str]:
        """The small file that stands for each frozen release; :class:`BenchError` where none can be compared with."""
        if not self.frozen:
            where = _compared_datasets(self.suite)
            raise BenchError(f"reports/compare: no release in {FROZEN} has a measured row on {where}")
        return [str(FROZEN / name / "manifest.json") for name in self.frozen]

    def families(self, dataset: str, method: str, decoding: str = "") -> Mapping[str, str]:
        """Metric family -> "texts" or "likelihood", of one cell."""
        return suites.families_of(self.suite, dataset, method, decoding)

    def scored(self, wildcards: Any) -> list[str]:
        """What one metric family of one cell is computed from: statistics, or samples and the dataset's test texts."""
        paths = self.cell_of(wildcards)
        texts = self.families(wildcards.dataset, wildcards.method, paths.decoding)[wildcards.family] == "texts"
        return [str(paths.samples), str(paths.manifest)] if texts else [str(paths.likelihood)]

    def recorded(self, wildcards: Any) -> list[str]:
        """What a record collects: scores, and of a trained cell its history and its costs."""
        paths = self.cell_of(wildcards)
        families = self.families(wildcards.dataset, wildcards.method, paths.decoding)
        files = [paths.scores(family) for family in families]
        if wildcards.method not in UNTRAINED:
            stages = suites.trained_stages(self.suite, wildcards.dataset, wildcards.method, paths.decoding)
            files += [paths.history, *map(paths.cost, stages)]
        return list(map(str, files))

    def cell_of(self, wildcards: Any) -> CellPaths:
        """The files of the cell of one job on texts."""
        decoding = self.decoding(wildcards)
        return CellPaths(self.suite.name, wildcards.dataset, wildcards.method, wildcards.seed, decoding)

    @staticmethod
    def decoding(wildcards: Any) -> str:
        """The name of the decoding of one job on texts."""
        return str(wildcards.decoding).removeprefix(f"/{DECODING}")

    def code(self, stage: str, **part: str) -> str:
        """The hash of a stage's code; see :func:`bench.closure.stage_fingerprint`. Named, for Snakemake's reasons."""
        return f"code:{closure.stage_fingerprint(self.suite, stage, **part)}"

    def settings(self, stage: str, **part: str) -> str:
        """The hash of a stage's settings; see :func:`bench.digests.settings`."""
        return f"settings:{digests.settings(self.suite, stage, **part)}"

    def order(self, report: str = "") -> str:
        """What a report shows, in the order of the YAML, which no hash of settings sees."""
        suite = self.suite
        shown = suites.select(suite, report) if report else None
        return f"order:{digests.digest(list(suite.datasets), list(suite.methods), list(suite.metrics), shown)}"

    def render(self, report: str, out: str) -> str:
        """The options of the verb that makes one report."""
        return self.arguments({}, report=report, out=out)

    def compare(self, out: str) -> str:
        """The options of the verb that puts methods beside frozen releases."""
        return " ".join(
            [self.arguments({}), *(f"--frozen {shlex.quote(name)}" for name in self.frozen), f"--out {out}"]
        )

    def arguments(self, wildcards: Mapping[str, Any], **more: str) -> str:
        """The options of the verb of one job: suite, methods from outside, wildcards, and what one verb alone takes."""
        cell = [(key, str(value).removeprefix(f"/{DECODING}")) for key, value in wildcards.items()]
        of = [(key, value) for key, value in cell if value]  # without the wildcard {decoding} where it is empty
        options = [("suite", self.file), *(("use", use) for use in self.uses), *of, *more.items()]
        return " ".join(f"--{key} {shlex.quote(str(value))}" for key, value in options)

    def constraints(self) -> dict[str, str]:
        """What each wildcard may be: exactly the names of the suite, so that a mistyped target is refused at once."""
        shown = self.suite.reports or catalogue.REPORTS
        return {
            "dataset": _one_of(self.suite.datasets),
            "method": _one_of([*self.suite.methods, *UNTRAINED]),
            "row": _one_of(UNTRAINED),
            "family": _one_of({registry.metric(name).family for name in self.suite.metrics}),
            "seed": r"\d+",
            "model": _one_of([*pretrained.KNOWN, *self.suite.models]),
            "part": _one_of(suites.augmented_parts(self.suite)),
            "decoding": f"(/{re.escape(DECODING)}({_one_of(self.suite.decodings)}))?",
            **{
                kind: _one_of(name for name in shown if catalogue.find(name).kind == kind) for kind in catalogue.FORMATS
            },
        }


def load(config: Mapping[str, Any]) -> Dag:
    """The suite of a snakemake ``--config``; :class:`BenchError` says in one line what is wrong with it."""
    unknown = next((key for key in config if key not in DEFAULTS), None)
    if unknown:
        raise BenchError(f"--config: unknown key '{unknown}'{suggest(unknown, DEFAULTS)}")
    given = {**DEFAULTS, **config}
    uses = [given["method"]] if isinstance(given["method"], str) else given["method"]
    named = given["frozen"] if isinstance(given["frozen"], list) else [given["frozen"]]
    if not isinstance(uses, list) or not all(isinstance(use, str) for use in uses):
        raise BenchError(f"--config: 'method' is {given['method']!r}: expected file.py:Class, module:Class or a list")
    if given["device"] not in ("cpu", "cuda"):
        raise BenchError(f"--config: 'device' is {given['device']!r}: expected cpu or cuda")
    if type(given["gpus"]) is not int or given["gpus"] < 1 or (given["gpus"] > 1 and given["device"] != "cuda"):
        raise BenchError(f"--config: 'gpus' is {given['gpus']!r}: expected 1, or with device=cuda a larger number")
    suite = suites.load(str(given["suite"]), tuple(uses))
    frozen = _releases([str(name) for name in named if name], suite)
    return Dag(str(given["suite"]), tuple(uses), suite, frozen, given["device"], given["gpus"])


def plan(jobs: Iterable[Any]) -> None:
    """Write the hashes of code and settings that each job of a run is planned with, by output, for its verb to compare.

    Snakemake notes these hashes with the outputs, whatever was on the disk when the job began. That is told by a file
    that only the environment names: in a job's parameters or its command it could count as a change.
    """
    hashes = {
        str(output): {key: job.params[key] for key in ("code", "settings") if job.params.get(key)}
        for job in jobs
        for output in job.output
    }
    write_json(PLAN, hashes)
    os.environ[PLANNED] = str(PLAN.resolve())


def _releases(names: Sequence[str], suite: Suite) -> tuple[str, ...]:
    """Frozen releases by name, each with a measured row on a dataset that is compared.

    Where none is named, the newest that has rows of the suite's first report of values, and, as a suite may be frozen
    in parts, those before it that have some too and no method of a newer one. Where the suite has no such release, the
    newest of any suite. The newest is so by name, numbers compared as numbers.
    """
    known = sorted(releases(), key=_natural, reverse=True)
    if unknown := next((name for name in names if name not in known), None):
        raise BenchError(f"--config: 'frozen' is '{unknown}': no such release in {FROZEN}{suggest(unknown, known)}")
    joined = {(cell.dataset, cell.method) for cell in suites.compared(suite)}
    contents = {name: _contents(name) for name in names or known}
    shared = [name for name, of in contents.items() if {dataset for dataset, _ in joined} & of.measured]
    if apart := next((name for name in names if name not in shared), None):
        raise BenchError(f"--config: 'frozen' is '{apart}': it has no measured row on {_compared_datasets(suite)}")
    if names:
        return tuple(names)
    chosen, held = [], set[tuple[str, str]]()
    for name in shared:
        found = contents[name]
        if found.suite == suite.name and found.methods & joined and not held & found.methods:
            chosen.append(name)
            held |= found.methods
    return tuple(reversed(chosen or shared[:1]))


def _compared_datasets(suite: Suite) -> str:
    """For a message."""
    names = dict.fromkeys(cell.dataset for cell in suites.compared(suite))
    return f"a dataset that suite '{suite.name}' compares ({', '.join(names)})"


class _Contents(NamedTuple):
    """Of a release: the name of its suite, what was trained for it (dataset, method), where anything was measured."""

    suite: str
    methods: set[tuple[str, str]]
    measured: set[str]


def _contents(release: str) -> _Contents:
    """By the manifest, unchecked: whoever reads the release checks it. Of one that is damaged, nothing."""
    try:
        manifest = json.loads((FROZEN / release / "manifest.json").read_text(encoding="utf-8"))
        held = {(str(cell["dataset"]), str(cell["method"])) for cell in manifest["cells"]}
        trained = {at for at in held if at[1] not in UNTRAINED}
        measured = {dataset for dataset, _ in trained} & {*manifest["signatures"]}
        return _Contents(str(manifest["suite"]["name"]), trained, measured)
    except (OSError, ValueError, KeyError, TypeError):
        return _Contents("", set(), set())


def _natural(name: str) -> list[tuple[int, str]]:
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", name)]


def _one_of(names: Iterable[str]) -> str:
    return "|".join(map(re.escape, names)) or "(?!)"  # of no names, nothing

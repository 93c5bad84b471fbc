"""What each stage reads is checked before it begins, and what it wrote is sealed when it has succeeded.

No two processes work at the same stage of a cell; a Snakemake that was killed may have left one running. The files are
those of the Snakemake rules. Directories seal themselves, see :func:`bench.files.atomic_directory`. Results of versions
without checksums are taken as they are.
"""

from __future__ import annotations

import csv
import math
import os
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

from bench import provenance, registry
from bench import suite as suites
from bench.closure import stage_fingerprint
from bench.dag import PLANNED, Dag
from bench.digests import digest, settings
from bench.errors import BenchError, first_line
from bench.files import check, claimed, read_json, seal, sha256, write_json
from bench.paths import CellPaths
from bench.schema import Suite, Training
from bench.suite import UNTRAINED, Cell, training_of


@contextmanager
def guarded(stage: str, suite: Suite, cell: Cell, part: str = "") -> Iterator[tuple[Suite, Cell]]:
    """Around one stage of a cell; ``part`` is the metric family that is scored, or the part of an augmentation.

    What it cost, or the values it scored, are written with what it :func:`began_with`.
    """
    paths = CellPaths(suite.name, cell.dataset, cell.method, cell.seed, cell.decoding)
    written = _written(stage, paths, part)
    costs = [path for path in written if path.parent.name == "cost"]
    scores = [path for path in written if path.parent.name == "scores"]
    first = os.environ.get("RANK", "0") == "0"  # of several processes the first one writes
    with claimed(written[0]) if first else nullcontext():
        read = _read(stage, suite, cell, paths, part)
        check(*read)
        check_planned(written[0], suite, stage, **_part(cell, part))
        of = sha256(read[-1]) if scores and read[-1].is_file() else ""  # what is scored
        began = began_with(stage, suite, cell, part) if first and (costs or scores) else {}
        with _explained(stage, suite, cell, paths):
            yield suite, cell
        if first:
            for path in costs:
                write_json(path, {**read_json(path, "cost"), **began})
            for path in scores:
                write_json(path, {"values": read_json(path, "scores"), "of": of, **began})
            seal(*written)


def began_with(stage: str, suite: Suite, cell: Cell, part: str = "") -> dict[str, Any]:
    """The commit, code, settings and library versions of a stage, for the record.

    Taken as it begins: it may take hours, and code and suite be edited and packages be installed meanwhile.
    """
    return {
        "git": provenance.git_state(_plug_in(suite, cell)),
        **_hashes(suite, stage, **_part(cell, part)),
        "versions": provenance.versions(),
    }


def _part(cell: Cell, family: str) -> dict[str, str]:
    """What of a suite a stage of a cell is."""
    return {"dataset": cell.dataset, "method": cell.method, "family": family, "decoding": cell.decoding}


def _hashes(
    suite: Suite, stage: str, dataset: str = "", method: str = "", family: str = "", report: str = "", **more: str
) -> dict[str, str]:
    """Of the code and settings of a stage, which may be given by its verb."""
    stage = "score" if stage == "score-cell" else stage
    return {
        "code": stage_fingerprint(suite, stage, dataset, method, family, report),
        "settings": settings(suite, stage, dataset, method, family, report, **more),
    }


def check_planned(out: Path, suite: Suite, stage: str, **part: str) -> None:
    """:class:`BenchError` where code or settings changed since the run of Snakemake that wants ``out`` was planned.

    Snakemake would call what is made now up to date as soon as the edit is reverted. A verb typed by hand has no plan.
    """
    plan = os.environ.get(PLANNED)
    planned = read_json(plan, "plan").get(str(out), {}) if plan and Path(plan).exists() else {}
    now = _hashes(suite, stage, **part) if planned else {}
    for what in planned:
        if planned[what] != f"{what}:{now[what]}":
            raise BenchError(f"{out}: the {what} of '{stage}' changed since this run was planned; run snakemake again")


def _plug_in(suite: Suite, cell: Cell) -> Path | None:
    """The file of a cell's method, where it is named by that."""
    if cell.method in UNTRAINED:
        return None
    source = registry.describe(suites.spec_of(suite, cell.method).use)
    return source.file if source.module is None else None


@contextmanager
def _explained(stage: str, suite: Suite, cell: Cell, paths: CellPaths) -> Iterator[None]:
    """What a method from outside raises is a :class:`BenchError` that names its file and line.

    So is what comes of weights that are not finite, from which no text can be drawn.
    """
    try:
        yield
    except (BenchError, OSError):
        raise
    except (Exception, SystemExit) as error:
        if stage != "train" and _diverged(paths.history):  # while one is trained, that is of the one before
            raise BenchError(f"{paths.history}: the training diverged ({stage}: {first_line(error)})") from error
        file = None if cell.method in UNTRAINED else registry.describe(suites.spec_of(suite, cell.method).use).file
        if file is None or file.is_relative_to(registry.PACKAGE):
            raise
        own = [
            frame
            for frame in traceback.extract_tb(error.__traceback__)
            if Path(frame.filename).resolve() == file.resolve()
        ]
        where = f"{file}:{own[-1].lineno}, in {own[-1].name}" if own else file
        raise BenchError(f"method '{cell.method}' ({where}): {type(error).__name__}: {first_line(error)}") from error


def _diverged(history: Path) -> bool:
    """Whether the last validation bound of a training is not finite."""
    try:
        with open(history, encoding="utf-8", newline="") as stream:
            *_, last = csv.DictReader(stream)
        return not math.isfinite(float(last["valid_nelbo"]))
    except (OSError, ValueError, KeyError):
        return False


def _read(stage: str, suite: Suite, cell: Cell, paths: CellPaths, part: str) -> list[Path]:
    match stage:
        case "train":
            return [paths.data, *_pretrained(suite, paths, cell.dataset, cell.method), paths.resume]
        case "augment":
            resume = paths.augmented(part).with_name(f".resume-{part}")
            models = _pretrained(suite, paths, cell.dataset, suite.augmentation.model)
            return [paths.data, *models, paths.model, paths.history, resume]
        case "untrained":
            return [paths.data]
        case "score-cell":
            texts = suites.families_of(suite, cell.dataset, cell.method, cell.decoding).get(part) == "texts"
            return [paths.data, paths.samples] if texts else [paths.likelihood]
        case "record":
            families = suites.families_of(suite, cell.dataset, cell.method, cell.decoding)
            files = [paths.manifest, *map(paths.scores, families)]
            if cell.method in UNTRAINED:
                return files
            stages = suites.trained_stages(suite, cell.dataset, cell.method, cell.decoding)
            return [*files, paths.model / "config.json", *map(paths.cost, stages)]
        case _:
            return [paths.data, paths.model]


def _pretrained(suite: Suite, paths: CellPaths, dataset: str, method: str) -> list[Path]:
    return list(map(paths.pretrained, suites.pretrained_of(suite, dataset, method)))


def _written(stage: str, paths: CellPaths, part: str) -> list[Path]:
    """What a stage writes besides directories."""
    return {
        "train": [paths.history, paths.cost("train")],
        "likelihood": [paths.likelihood, paths.cost("likelihood")],
        "generate": [paths.samples, paths.cost("generate")],
        "interpolate": [paths.interpolation],
        "attention": [paths.attention],
        "augment": [paths.augmented(part), paths.cost(f"augment-{part}")],
        "untrained": [paths.samples],
        "score-cell": [paths.scores(part)],
        "record": [paths.record],
    }[stage]


def training_key(suite: Suite, cell: Cell, device: str, processes: int) -> str:
    """What a training's checkpoint must agree on."""
    several = [processes] if processes > 1 else []
    return digest(*_trained_of("train", suite, cell, cell.method, device), *several)


def augmentation_key(suite: Suite, cell: Cell, part: str, device: str) -> str:
    """Likewise, of the language model of an augmentation."""
    history = CellPaths(suite.name, cell.dataset, cell.method, cell.seed).history  # stands for the generator
    return digest(*_trained_of("augment", suite, cell, suite.augmentation.model, device), sha256(history), part)


def _trained_of(stage: str, suite: Suite, cell: Cell, method: str, device: str) -> list[Any]:
    """What decides the weights of a method that one stage of a cell trains."""
    import torch

    paths = CellPaths(suite.name, cell.dataset, cell.method, cell.seed)
    return [
        torch.__version__,
        stage_fingerprint(suite, stage, cell.dataset, cell.method),
        settings(suite, stage, cell.dataset, cell.method),
        sha256(paths.manifest),
        *(sha256(model / "manifest.json") for model in _pretrained(suite, paths, cell.dataset, method)),
        cell.seed,
        device,
        *_without_bfloat16(training_of(suite, cell.dataset, method), device),
    ]


def _without_bfloat16(plan: Training, device: str) -> list[str]:
    """Something where a CPU lacks what is asked for: no training begins in one precision and ends in another."""
    if plan.precision != "bfloat16":
        return []
    import torch

    from bench.device import has_bfloat16

    return [] if has_bfloat16(torch.device(device)) else ["in float32"]


def check_report(suite: Suite, report: str) -> None:
    """What one report reads."""
    dag = Dag("", (), suite, (), "cpu")
    check(*map(Path, (*dag.read(report), *dag.manifests(report))))


def check_run(suite: Suite) -> None:
    """Every record of a run and what stands behind it."""
    for cell in (*suites.cells(suite), *suites.untrained(suite)):
        paths = CellPaths(suite.name, cell.dataset, cell.method, cell.seed)
        check(paths.record, paths.likelihood, paths.history, paths.manifest)

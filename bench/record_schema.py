"""``record.json``: the whole result of one cell, typed. Written by ``bench.record``, read by every table and release.

Numbers that are not finite are the strings ``"inf"``, ``"-inf"`` and ``"nan"`` on disk: strict JSON has no other way.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, PlainSerializer

from bench.errors import BenchError
from bench.files import json_number, read_json, write_json
from bench.paths import CellPaths
from bench.suite import Cell
from bench.validation import validate

SCHEMA = 1


Number = Annotated[float, PlainSerializer(json_number)]


class Part(BaseModel):
    """A part of a record; unknown keys are errors, so that a newer schema is not misread."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class RecordedValue(Part):
    """One measured quantity, see :class:`bench.metrics.base.Value`. ``ci95``: over examples, never over seeds."""

    value: Number
    ci95: tuple[Number, Number] | None = None
    n: int
    signature: str
    interval: str = ""  # how ci95 was made
    note: str = ""


class Git(Part):
    """The commit a cell was trained at, see bench/record.py; ``dirty`` where a stage or metric ran uncommitted code."""

    sha: str
    dirty: bool


class Cost(Part):
    """What one stage cost: measured, so never compared; ``step_s`` is the mean time of a training step.

    ``peak_mb`` is of the process, ``gpu_peak_mb`` of its tensors on a GPU; ``energy_j`` of the machine's processors and
    ``gpu_energy_j`` of the GPUs while it ran (``bench.energy``), None where they cannot be read.
    """

    wall_s: float
    peak_mb: float
    gpu_peak_mb: float | None = None
    tokens_per_s: float | None = None
    step_s: float | None = None
    energy_j: float | None = None
    gpu_energy_j: float | None = None


class Scored(Part):
    """What the values of one metric family were computed by, as it began; "" in scores of versions that did not say.

    ``code`` and ``settings`` are as those of a stage; ``of`` is the sha256 of the statistics or texts that were scored.
    """

    code: str = ""
    settings: str = ""
    of: str = ""


class Provenance(Part):
    """Where the numbers come from.

    Attributes
    ----------
    code: stage -> fingerprint of the source files it imports, as it began.
    data: sha256 of the prepared dataset's manifest, which holds the checksums of texts and tokenizer.
    pretrained: the model whose weights it started from, if any -> sha256 of its manifest, which says where it is from.
    settings: stage -> digest of the suite settings it depends on (``bench.digests.settings``), likewise.
    scores: metric family -> what its values were computed by; None in records of older versions.
    versions: package -> version, or "2.12.0/2.13.0" where the stages ran with several.
    parameters: trained parameters of the model; 0 for human text.
    tokens: token counts of the test set, by who counts them.
    """

    git: Git
    code: dict[str, str]
    data: str
    settings: dict[str, str]
    scores: dict[str, Scored] | None = None
    versions: dict[str, str]
    device: str
    parameters: Annotated[int, Field(ge=0)]
    cost: dict[str, Cost] = {}
    tokens: dict[str, float] = {}
    pretrained: dict[str, str] = {}


class Record(Part):
    """One cell: which it is, what was measured, and where it comes from."""

    schema_version: Literal[1] = Field(alias="schema")
    suite: str
    dataset: str
    method: str
    seed: int
    decoding: str = ""  # by which the texts were drawn, by name; "": the dataset's own
    values: dict[str, RecordedValue]
    provenance: Provenance

    @property
    def cell(self) -> Cell:
        """Which cell of its suite this is."""
        return Cell(self.dataset, self.method, self.seed, self.decoding)

    def as_dict(self) -> dict[str, Any]:
        """JSON form."""
        return self.model_dump(mode="json", by_alias=True)


def parse_record(given: Mapping[str, Any], where: str) -> Record:
    """A validated record; :class:`BenchError` is one line naming ``where``, the key and the value."""
    if not isinstance(given, Mapping):
        raise BenchError(f"{where}: expected a JSON object, found {type(given).__name__}")
    if given.get("schema") != SCHEMA:
        raise BenchError(f"{where}: schema is {given.get('schema')!r}, this version reads schema {SCHEMA}")
    record: Record = validate(Record, given, where)
    return record


def write_record(record: Record, path: str | Path) -> None:
    """Whole or not at all."""
    write_json(path, record.as_dict())


def read_record(path: str | Path) -> Record:
    """A record from disk; missing, broken or foreign ones are a :class:`BenchError` of one line."""
    return parse_record(read_json(path, "record"), f"record {path}")


def read_cell(suite: str, cell: Cell, root: Path = Path()) -> Record:
    """The record of one cell of a run, checked to be that cell's."""
    path = root / CellPaths(suite, cell.dataset, cell.method, cell.seed, cell.decoding).record
    record = read_record(path)
    if (record.suite, record.cell) != (suite, cell):
        raise BenchError(
            f"record {path}: is of {record.suite}/{record.dataset}/{record.method}/seed{record.seed}"
            f"{f', decoding {record.decoding}' if record.decoding else ''}, not of this cell"
        )
    return record

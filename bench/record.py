"""``record.json``: a cell's whole result, its values and where they come from."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from bench import closure, provenance
from bench.digests import settings
from bench.files import read_json, sha256
from bench.paths import CellPaths
from bench.record_schema import SCHEMA, Cost, Scored, parse_record, write_record
from bench.schema import FRESH, Suite
from bench.suite import UNTRAINED, Cell, backbone_of, families_of, trained_stages


def record(suite: Suite, cell: Cell) -> None:
    """Collect the scores of one cell, add its provenance, and write it, checked against the schema."""
    paths = CellPaths(suite.name, cell.dataset, cell.method, cell.seed, cell.decoding)
    trained = cell.method not in UNTRAINED
    families = families_of(suite, cell.dataset, cell.method, cell.decoding)
    scores = {family: read_json(paths.scores(family), "scores") for family in families}
    stages = trained_stages(suite, cell.dataset, cell.method, cell.decoding) if trained else ("untrained",)
    config = read_json(paths.model / "config.json", "model config") if trained else {}
    costs = {stage: read_json(paths.cost(stage), "cost") for stage in stages} if trained else {}
    # each stage's code and settings as it began; today's of a row without a model, and of cells made by older versions
    began: Mapping[str, Mapping[str, Any]] = {stage: costs.get(stage, {}) for stage in stages}
    weights = backbone_of(suite, cell.dataset, cell.method).weights if trained else FRESH
    manifest = read_json(paths.manifest, "manifest")
    content = {
        "schema": SCHEMA,
        "suite": suite.name,
        "dataset": cell.dataset,
        "method": cell.method,
        "seed": cell.seed,
        "decoding": cell.decoding,
        "values": {
            key: value
            for scored in scores.values()
            for key, value in scored.get("values", scored).items()  # those of older versions are values alone
        },
        "provenance": {
            "git": _ran_at(costs, scores),
            "code": {
                stage: cost.get("code") or closure.stage_fingerprint(suite, stage, cell.dataset, cell.method)
                for stage, cost in began.items()
            },
            "scores": {
                family: {key: scored[key] for key in Scored.model_fields if key in scored}
                for family, scored in scores.items()
            },
            "data": sha256(paths.manifest),
            "settings": {
                stage: cost.get("settings") or settings(suite, stage, cell.dataset, cell.method, decoding=cell.decoding)
                for stage, cost in began.items()
            },
            "versions": _versions([*costs.values(), *scores.values()]),
            "device": costs["train"]["device"] if costs else "",
            "parameters": config.get("parameters", 0),
            "cost": {stage: {k: cost[k] for k in Cost.model_fields if k in cost} for stage, cost in costs.items()},
            "pretrained": {} if weights == FRESH else {weights: sha256(paths.pretrained(weights) / "manifest.json")},
            "tokens": {split: part["tokens_a_text"] for split, part in manifest["splits"].items()},
        },
    }
    write_record(parse_record(content, f"record {paths.record}"), paths.record)


def _ran_at(costs: Mapping[str, Any], scores: Mapping[str, Any]) -> dict[str, Any]:
    """The commit of a training as it began, and whether it, a later stage, scoring or this ran uncommitted code.

    Of a row without a model, or where the training knew of none, the present commit.
    """
    now, trained = provenance.git_state(), costs.get("train", {}).get("git") or {}
    states = [now, *(made["git"] for made in (*costs.values(), *scores.values()) if made.get("git"))]
    return {"sha": trained.get("sha") or now["sha"], "dirty": any(git["dirty"] for git in states)}


def _versions(made: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """package -> its version, or several as "2.12.0/2.13.0"; today's where no stage says with which it ran."""
    found: dict[str, dict[str, None]] = {}
    for stage in made:
        for package, version in stage.get("versions", {}).items():
            found.setdefault(package, {})[version] = None
    return {package: "/".join(versions) for package, versions in found.items()} or provenance.versions()

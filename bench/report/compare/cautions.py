"""What must be known of a comparison: where both sides come from, and in what they were not made alike."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from pydantic import BaseModel, ValidationError

from bench import suite as suites
from bench.freeze import Release
from bench.report.compare.pairs import Method, Pair
from bench.report.model import Note, NoteGroup
from bench.schema import Suite

SETTINGS = ("backbone", "training", "likelihood", "generation")  # parts of a suite whose differences are told


def provenance(suite: Suite, releases: Sequence[Release], pairs: Sequence[Pair]) -> tuple[NoteGroup, ...]:
    """Commits of both sides, and first what may make them unlike: settings, versions, devices, code."""
    several = len(releases) > 1
    facts = [Note(f"Frozen, {release.name}" if several else "Frozen", _frozen(release)) for release in releases]
    here = {record.provenance.git.sha[:12] or "no commit": None for pair in pairs for record in pair.new.records}
    facts.append(Note("New", f"commit {', '.join(here)}"))
    wanted = dict.fromkeys(cell.dataset for cell in suites.compared(suite))
    missing = [name for name in wanted if name not in {pair.dataset for pair in pairs}]
    if missing:
        facts.append(Note("Datasets", f"not in the release{'s' if several else ''}: {', '.join(missing)}"))
    cautions = []
    for release in releases:
        manifest, of = release.manifest, [pair for pair in pairs if pair.release is release]
        found = [*_settings(suite, manifest, of), *_versions(manifest, of), *_devices(of), *_code(of)] if of else []
        cautions += [replace(note, term=f"{note.term}, {release.name}") if several else note for note in found]
    groups = [NoteGroup("Provenance", tuple(facts))]
    if cautions:
        groups.insert(0, NoteGroup("Read with caution", tuple(cautions)))
    return tuple(groups)


def _frozen(release: Release) -> str:
    commits = ", ".join(
        (git["sha"][:12] or "no commit") + (" with uncommitted changes" if git["dirty"] else "")
        for git in release.manifest["git"]
    )
    return f"suite {release.manifest['suite']['name']}, commit {commits}"


def _settings(suite: Suite, manifest: Mapping[str, Any], pairs: Sequence[Pair]) -> list[Note]:
    """Settings of the suite that are not the release's: numbers are comparable, budgets may not be."""
    there = manifest["suite"]["resolved"]
    parts: dict[str, tuple[BaseModel, Any]] = {part: (getattr(suite, part), there.get(part)) for part in SETTINGS}
    for name in dict.fromkeys(pair.dataset for pair in pairs):
        parts[f"datasets.{name}"] = suite.datasets[name], there.get("datasets", {}).get(name)
    for name in dict.fromkeys(pair.new.name for pair in pairs if pair.new.name == pair.frozen.name):
        parts[f"methods.{name}"] = suite.methods[name], there["methods"].get(name)
    apart = [text for name, (ours, theirs) in parts.items() for text in
             _apart(name, ours.model_dump(mode="json"), _read_now(type(ours), theirs))]  # fmt: skip
    for pair in pairs:  # of another method's own settings what a budget is; None: the suite's
        own, other = suite.methods[pair.new.name].epochs, there["methods"].get(pair.frozen.name, {}).get("epochs")
        if own != other and pair.new.name != pair.frozen.name:
            apart.append(f"methods.{pair.new.name}.epochs is {own} here, {other} of {pair.frozen.name} in the release")
    apart = list(dict.fromkeys(apart))  # a pair on several datasets
    return [Note("Settings", "; ".join(apart))] if apart else []


def _read_now(kind: type[BaseModel], theirs: Any) -> Any:
    """Settings of a release as they are read now: those there were not yet have their defaults."""
    try:
        return kind(**theirs).model_dump(mode="json")
    except (ValidationError, TypeError):
        return theirs


def _apart(name: str, here: Any, there: Any) -> list[str]:
    if isinstance(here, dict) and isinstance(there, dict):
        return [text for key in dict.fromkeys([*here, *there]) for text in
                _apart(f"{name}.{key}", here.get(key), there.get(key))]  # fmt: skip
    return [] if here == there else [f"{name} is {here} here, {there} in the release"]


def _versions(manifest: Mapping[str, Any], pairs: Sequence[Pair]) -> list[Note]:
    here: dict[str, set[str]] = {}
    for pair in pairs:
        for record in pair.new.records:
            for package, version in record.provenance.versions.items():
                here.setdefault(package, set()).add(version)
    apart = []
    for package in sorted({*here, *manifest["versions"]}):
        ours, theirs = sorted(here.get(package, {"absent"})), sorted(manifest["versions"].get(package, ["absent"]))
        if ours != theirs:
            apart.append(f"{package} {'/'.join(ours)} here, {'/'.join(theirs)} in the release")
    return [Note("Library versions", "; ".join(apart))] if apart else []


def _devices(pairs: Sequence[Pair]) -> list[Note]:
    """What they were trained on: a GPU, a CPU, or one without the precision that was asked for."""
    sides = [[pair.new for pair in pairs], [pair.frozen for pair in pairs]]
    here, there = ({record.provenance.device for side in of for record in side.records} for of in sides)
    if here == there:
        return []
    return [Note("Devices", f"trained on {', '.join(sorted(here))} here, on {', '.join(sorted(there))} in the release")]


def _code(pairs: Sequence[Pair]) -> list[Note]:
    """Stages whose code changed since the release, where a method meets its frozen namesake; and any pair's metrics."""
    changed: dict[str, set[str]] = {}
    for pair in pairs:
        if pair.new.name == pair.frozen.name:
            ours, theirs = (
                {made for record in side.records for made in record.provenance.code.items()}
                for side in (pair.new, pair.frozen)
            )
            if ours != theirs:
                changed.setdefault(pair.new.name, set()).update(stage for stage, _ in ours ^ theirs)
    texts = [f"{method}: {', '.join(sorted(stages))}" for method, stages in changed.items()]
    here, there = (_scored_by(side) for side in ([pair.new for pair in pairs], [pair.frozen for pair in pairs]))
    if families := sorted(family for family in here.keys() & there.keys() if here[family] != there[family]):
        texts.append(f"metrics: {', '.join(families)}")
    return [Note("Code changed since the release", "; ".join(texts))] if texts else []


def _scored_by(methods: Sequence[Method]) -> dict[str, set[str]]:
    """Metric family -> the code that its values were computed by, of the records that say."""
    found: dict[str, set[str]] = {}
    for record in (record for method in methods for record in method.records):
        for family, scored in (record.provenance.scores or {}).items():
            if scored.code:
                found.setdefault(family, set()).add(scored.code)
    return found

"""What must be read with the numbers: how they were measured, on what, by which code."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from bench.data.base import SPLITS
from bench.metrics import signatures
from bench.pretrained import about
from bench.record_schema import Provenance
from bench.report.collect import Measured, Results, Taken, by_text, quantity
from bench.report.layout import Protocol
from bench.report.model import Column, Note, NoteGroup, number
from bench.report.papers.findings import these
from bench.suite import COPY, HUMAN, UNTRAINED, generation_of, likelihood_of


def main_caption(results: Results, printed: bool, apart: Collection[str]) -> str:
    """How to read the first table; ``apart`` are the rows without a model that it has."""
    per_dataset = {
        dataset: sorted({len(results.records[dataset, m]) for m in results.methods(dataset) if m not in UNTRAINED})
        for dataset in results.datasets
    }
    sizes = {n for found in per_dataset.values() for n in found}
    sentences = []
    if sizes - {1}:
        sentences.append("Mean ± half-width of the 95 % t interval over seeds.")
    if 2 in sizes:
        sentences.append("With two seeds the interval is 12.7 standard errors to each side.")
    if 1 in sizes:
        alone = [dataset for dataset, found in per_dataset.items() if 1 in found]
        where = "" if len(alone) == len(per_dataset) else f" ({', '.join(alone)})"
        sentences.append(f"One seed{where}: the value alone; its bootstrap interval over examples is in the csv.")
    sentences.append("Best in bold, second underlined, within a dataset; not where no direction is better.")
    if HUMAN in apart:
        sentences.append("human: held-out human text scored as if it were generated; never ranked.")
    if COPY in apart:
        sentences.append(f"copy: each source as it is{', likewise' if HUMAN in apart else '; never ranked'}.")
    if printed:
        sentences.append("In parentheses: the number the paper prints.")
    sentences.append("-: not defined or not measured; n/c: not comparable, see the footnote.")
    return " ".join(sentences)


def verdicts(results: Results, protocol: Protocol) -> list[str]:
    """A sentence a dataset: which method has the lowest PPL by either arithmetic."""
    found = []
    for dataset in results.datasets:
        exact = _lowest(results, dataset, protocol.exact("ppl"))
        paper = _lowest(results, dataset, protocol.key("ppl"))
        if exact and paper:
            ours, theirs = f"{number(exact[1], 2)} exactly", f"{number(paper[1], 2)} by {protocol.label}"
            found.append(
                f"On {dataset} the lowest PPL is that of {exact[0]} either way: {ours}, {theirs}."
                if exact[0] == paper[0]
                else f"On {dataset} the lowest PPL is that of {exact[0]}, {ours}; but that of {paper[0]}, {theirs}."
            )
    return found


def fewer_texts(results: Results, protocol: Protocol) -> list[str]:
    """Where exact PPL is of fewer test texts than a paper's own, so that no two PPL of a row are of the same texts."""
    found = []
    for dataset in results.datasets:
        exact, paper = (
            max((of.n for of in results.column(dataset, key).values() if not of.problem), default=0)
            for key in (protocol.exact("ppl"), protocol.key("ppl"))
        )
        if 0 < exact < paper:
            found.append(f"{dataset}: exact PPL is of the first {exact:,} of {paper:,} test texts.")
    return found


def _lowest(results: Results, dataset: str, key: str) -> tuple[str, float] | None:
    means = {
        method: measured.estimate.mean
        for method, measured in results.column(dataset, key).items()
        if not measured.problem and method not in UNTRAINED and not math.isnan(measured.estimate.mean)
    }
    best = min(means, key=lambda method: means[method], default=None)
    return None if best is None else (best, means[best])


def notes(results: Results, columns: Sequence[Column]) -> tuple[NoteGroup, ...]:
    """Protocol, data, models, what each of the columns shown is, signatures, provenance."""
    return note_groups(
        Protocol=_protocol(results),
        Data=data_notes(results.datasets, results.manifests),
        Models=_models(results),
        Pretrained=_pretrained(results),
        Columns=_columns(results, columns),
        Signatures=_signatures(results, columns),
        Provenance=provenance_notes(results),
    )


def note_groups(**groups: tuple[Note, ...]) -> tuple[NoteGroup, ...]:
    """Notes by title, without the groups that are empty."""
    return tuple(NoteGroup(title, found) for title, found in groups.items() if found)


def _weighted(results: Results) -> str:
    """Which test examples are importance-weighted: all, or the first ones of a dataset, as many as its methods have."""
    suite = results.suite
    usual = suite.likelihood.importance_examples
    own: list[tuple[str, str]] = []  # how many, of which dataset
    for name in results.datasets:
        methods = [method for method in results.methods(name) if method in suite.methods]
        numbers = {n for method in methods if (n := likelihood_of(suite, name, method).importance_examples)}
        if numbers - {usual}:
            by_method = " by method" if len(numbers) > 1 else ""
            own.append((" or ".join(map(str, sorted(numbers))), f"{name}{by_method}"))
    listed = [f"{n} of {name}" for n, name in own]
    if own and len(own) == len(results.datasets):
        return "the first " + these([f"{own[0][0]} test examples of {own[0][1]}", *listed[1:]])
    of = "all test examples" if usual is None else f"the first {usual} test examples"
    return of + (f" (the first {', '.join(listed)})" if own else "")


def _protocol(results: Results) -> tuple[Note, ...]:
    suite = results.suite
    seeds = by_text(
        (dataset, ", ".join(str(record.seed) for record in results.records[dataset, method]))
        for dataset in results.datasets
        for method in results.methods(dataset)[:1]
    )
    decodings = by_text((name, generation_of(suite, name).decoding.signature) for name in results.datasets)
    decoded = "; ".join(f"{text} ({', '.join(who)})" if len(decodings) > 1 else text for text, who in decodings.items())
    conditional = any(manifest.get("conditional") for manifest in results.manifests.values())
    paired = "of a conditional dataset one for each of the first test sources, " if conditional else ""
    return (
        Note("Likelihood", f"K = {suite.likelihood.importance_samples} importance samples for {_weighted(results)}; "
             "other likelihood columns over the whole test set. A finite K bounds PPL from above; the effective number "
             "of samples is ess in the csv."),
        Note("Texts", f"at most {suite.generation.samples} texts a cell from the prior, {paired}decoded by {decoded}; "
             "the same for every method."),
        Note("Seeds", "; ".join(f"{text} ({', '.join(who)})" for text, who in seeds.items())),
    )  # fmt: skip


def data_notes(datasets: Iterable[str], manifests: Mapping[str, Mapping[str, Any]]) -> tuple[Note, ...]:
    """Sizes, origin and licence of each dataset; the share of unknown words, and whether files are those papers use."""
    found = []
    for dataset in datasets:
        manifest = manifests.get(dataset, {})
        splits = manifest.get("splits", {})
        sizes = ", ".join(f"{splits[part].get('texts', '?')} {part}" for part in SPLITS if part in splits)
        licence = f"licence: {manifest['licence']}" if "licence" in manifest else ""
        verified = manifest.get("verified", ())  # a key that packaged datasets lack
        said = [text for text in (sizes, _unknown(splits), str(manifest.get("origin", "")), *verified, licence) if text]
        found.append(Note(dataset, "; ".join(said) if said else "no manifest found"))
    return tuple(found)


def _unknown(splits: Mapping[str, Mapping[str, Any]]) -> str:
    """How much of a word vocabulary's texts is <unk>; nothing where tokens are byte pairs."""
    shares = [
        f"{100 * splits[part]['unk']['share']:.2f} % of {part}" for part in SPLITS if "unk" in splits.get(part, {})
    ]
    return f"words that are <unk>: {', '.join(shares)}" if shares else ""


def _models(results: Results) -> tuple[Note, ...]:
    """Trained parameters a method, and whose weights they started from; by dataset only where they differ."""
    found = []
    for method in dict.fromkeys(method for _, method in results.records if method not in UNTRAINED):
        sizes = by_text(
            (dataset, _size(records[0].provenance))
            for (dataset, at), records in results.records.items()
            if at == method
        )
        text = next(iter(sizes)) if len(sizes) == 1 else "; ".join(f"{n} ({', '.join(w)})" for n, w in sizes.items())
        found.append(Note(method, text))
    return tuple(found)


def _size(provenance: Provenance) -> str:
    started = f", from pretrained {', '.join(provenance.pretrained)}" if provenance.pretrained else ""
    return f"{provenance.parameters:,} parameters{started}"


def _pretrained(results: Results) -> tuple[Note, ...]:
    """Where the weights that models started from come from, and under which licence."""
    found = []
    records = (record for of_method in results.records.values() for record in of_method)
    for name in dict.fromkeys(name for record in records for name in record.provenance.pretrained):
        told = about(results.suite, name)
        text = f"{told['origin']}; licence: {told['licence']}"
        found.append(Note(name, f"{text}; {told['note']}" if "note" in told else text))
    return tuple(found)


def _columns(results: Results, columns: Sequence[Column]) -> tuple[Note, ...]:
    """Formula, unit and the notes on values of every column shown."""
    found = []
    for column in columns:
        of, remarks = quantity(column.key), _remarks(results, column.key)
        unit = f"{of.unit}." if of.unit not in ("", "1") else ""
        scaled = f"shown times {column.scale:g}." if column.scale != 1 else ""
        text = " ".join(part for part in (unit, scaled, remarks) if part)
        found.append(Note(column.label, text, code=of.formula))
    return tuple(found)


def _remarks(results: Results, key: str) -> str:
    """Notes on a quantity's values, each once, with the datasets or methods it is about where not about all."""
    said: dict[str, dict[str, tuple[str, ...]]] = {}  # text -> dataset -> methods
    everyone = {}
    for dataset in results.datasets:
        column = results.column(dataset, key)
        everyone[dataset] = tuple(column)
        for text, methods in by_text((method, measured.note) for method, measured in column.items()).items():
            said.setdefault(text, {})[dataset] = tuple(methods)
    return " ".join(f"{text}{_about(where, everyone)}." for text, where in said.items())


def _about(where: dict[str, tuple[str, ...]], everyone: dict[str, tuple[str, ...]]) -> str:
    """`` (who)``: the methods where they are the same on every dataset, else datasets, with methods where not all."""
    if where == everyone:
        return ""
    if set(where) == set(everyone) and len(set(where.values())) == 1:
        return f" ({', '.join(next(iter(where.values())))})"
    parts = [d if methods == everyone[d] else f"{d}: {', '.join(methods)}" for d, methods in where.items()]
    return f" ({'; '.join(parts)})"


def _signatures(results: Results, columns: Sequence[Column]) -> tuple[Note, ...]:
    lines, seen = [], []
    for column in columns:
        by_dataset = [results.column(dataset, column.key) for dataset in results.datasets]
        used = [s for measured in by_dataset if (s := _column_signature(measured.values()))]
        if used:
            seen += used
            lines.append(Note(column.label, code=signatures.merged(used)))
    legend = signatures.legend(seen)
    if legend:
        lines.append(Note("Parts", "; ".join(f"{key}: {text}" for key, text in legend.items())))
    return tuple(lines)


def _column_signature(column: Iterable[Measured]) -> str:
    usable = [measured.signature for measured in column if not measured.problem]
    return usable[0] if usable else ""


def provenance_notes(results: Results) -> tuple[Note, ...]:
    """Releases in place of a run; commits, devices and versions of every record."""
    records = [record for group in results.records.values() for record in group]
    commits = by_text(
        ("", (git.sha[:12] or "no commit") + (" with uncommitted changes" if git.dirty else ""))
        for git in (record.provenance.git for record in records)
    )
    devices = by_text(("", record.provenance.device) for record in records)
    versions = _versions([record.provenance.versions for record in records])
    return (
        *release_notes(results.taken),
        Note("Code", ", ".join(commits)),
        Note("Devices", ", ".join(devices)),
        Note("Libraries", versions),
    )


def release_notes(taken: Taken) -> tuple[Note, ...]:
    """Which releases a report was rendered from, and what it has no row of for that; nothing of a run's."""
    if not taken.releases:
        return ()
    lacking = [
        f"{', '.join(names)} ({why})"
        for names, why in (
            (taken.methods, "not every dataset and seed is in these releases"),
            (taken.datasets, "nothing is in these releases"),
        )
        if names
    ]
    left_out = (Note("Left out", "; ".join(lacking)),) if lacking else ()
    return Note("Releases", ", ".join(taken.releases)), *left_out


def _versions(found: Sequence[dict[str, str]]) -> str:
    """package version, with every version where records disagree."""
    names = dict.fromkeys(name for versions in found for name in versions)
    return ", ".join(f"{name} {'/'.join(dict.fromkeys(v[name] for v in found if name in v))}" for name in sorted(names))

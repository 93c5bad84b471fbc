"""Which code a stage's results come from, and a hash that changes when, and only when, that code's meaning does.

The DAG gives every job this hash as a parameter instead of listing source files as inputs. Snakemake then re-runs a
job exactly when the hash differs from the recorded one: ``touch``, comments, docstrings, formatting and a reverted edit
re-run nothing. Everything is read by ``ast``; nothing is imported, so a dry run never waits for torch.

Known limits: an import whose name is computed at run time is not seen (the ones in ``bench`` go through
``bench.registry`` and are entry modules here), and a ``path/to/file.py:Class`` method is that one file plus what it
imports from ``bench``.
"""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import TypeGuard

from bench import registry
from bench import suite as suites
from bench.errors import BenchError
from bench.report import catalogue
from bench.schema import Suite

PACKAGE = Path(__file__).parent

# Modules that move, name, check or report values and never compute one: an edit there must not re-train a suite.
# What they decide reaches the DAG by other ways: suite, strict_yaml and validation as the settings digest of each
# stage, registry as the choice of entry modules, paths as the declared files. files, cost, energy and progress decide
# when bytes reach the disk, what it took and what is printed meanwhile; cli parses; integrity refuses; dag, provenance
# and this module describe results; bench.metrics (its __init__), bench.report.catalogue and bench.pretrained are lists
# of names.
# If such an edit does change values after all, `snakemake --forcerun <rule>` says so.
HARNESS = frozenset(
    f"bench.{name}"
    for name in (
        "cli", "closure", "cost", "cpus", "dag", "digests", "energy", "errors", "files", "integrity", "metrics",
        "paths", "pretrained", "progress", "provenance", "registry", "report", "report.catalogue", "schema",
        "strict_yaml", "suite", "suite_checks", "validation", "verbs", "__main__",
    )
)  # fmt: skip

# Stage -> the modules its verb starts from; the method's, dataset's and metrics' own modules come on top.
STAGES: Mapping[str, tuple[str, ...]] = {
    "prepare": ("bench.data.prepare",),
    "pretrained": ("bench.data.pretrained",),
    "train": ("bench.training",),
    "likelihood": ("bench.likelihood",),
    "generate": ("bench.generation",),
    "interpolate": ("bench.interpolation",),
    "attention": ("bench.attention",),
    "augment": ("bench.augmentation",),
    "untrained": ("bench.untrained",),
    "score": ("bench.score",),
    "record": ("bench.record",),
    "report": (),
    "compare": ("bench.report.compare.report",),
}

# Imported by ``bench.methods.base``, or of a metric's models, for the sake of one stage, never called by the others.
UNUSED: Mapping[str, frozenset[str]] = {
    "pretrained": frozenset({"bench.metrics.base", "bench.metrics.bootstrap"}),
    "train": frozenset({"bench.decoding"}),
    "likelihood": frozenset({"bench.decoding"}),
    "attention": frozenset({"bench.decoding"}),
}

# Files that are no Python and still decide what a stage writes.
DATA: Mapping[str, str] = {"report": "report/templates/*", "compare": "report/templates/*"}

Entries = tuple[tuple[str, ...], tuple[Path, ...], Mapping[str, Path], frozenset[str]]


def stage_fingerprint(
    suite: Suite, stage: str, dataset: str = "", method: str = "", family: str = "", report: str = ""
) -> str:
    """The code of one stage of one cell as a hash: the counterpart of :func:`bench.digests.settings`.

    ``method`` counts where the stage computes with it, ``dataset`` where it is prepared or decides the backbone,
    ``family`` where it is scored, ``report`` where it is rendered. The code of a report, and of a comparison, is also
    that of the metrics whose values it may show.
    """
    match stage:
        case "prepare":
            return _fingerprint_of(stage, modules=(registry.dataset(dataset).module,))
        case "train" | "likelihood" | "generate" | "interpolate" | "attention":
            backbone = f"bench.backbones.{suites.backbone_of(suite, dataset, method).kind}"
            return _fingerprint_of(stage, (suites.spec_of(suite, method).use,), (backbone,))
        case "augment":  # computes with a generator, and with the language model that reads what it generates
            model = suite.augmentation.model
            kinds = {f"bench.backbones.{suites.backbone_of(suite, dataset, of).kind}" for of in (method, model)}
            uses = tuple(suites.spec_of(suite, of).use for of in (method, model))
            return _fingerprint_of(stage, uses, tuple(sorted(kinds)))
        case "score":
            sources = map(registry.metric, suite.metrics)
            return _fingerprint_of(stage, modules=tuple(sorted(s.module for s in sources if s.family == family)))
        case "report":  # labels and directions of quantities are their metrics' own
            found = catalogue.find(report)
            shown = _metrics_of(suite) if "records" in found.reads else ()
            return _fingerprint_of(stage, modules=(found.module, *shown))
        case "compare":  # likewise, and which of two is better is by a direction
            return _fingerprint_of(stage, modules=_metrics_of(suite))
        case _:
            return _fingerprint_of(stage)


def _metrics_of(suite: Suite) -> tuple[str, ...]:
    return tuple(sorted({registry.metric(name).module for name in suite.metrics}))


@cache
def _fingerprint_of(stage: str, uses: tuple[str, ...] = (), modules: tuple[str, ...] = ()) -> str:
    """Once for all jobs that share it: a suite has thousands of cells and a handful of these."""
    return fingerprint(*entries(stage, uses, modules))


def entries(stage: str, uses: tuple[str, ...] = (), modules: tuple[str, ...] = ()) -> Entries:
    """The arguments of :func:`closure` and :func:`fingerprint` for one stage, and for the methods that it uses."""
    starts, packages = (*STAGES[stage], *modules), {"bench": PACKAGE}
    files = tuple(sorted(PACKAGE.glob(DATA[stage]))) if stage in DATA else ()
    for source in map(registry.describe, uses):
        if source.module is None:
            files += (source.file,)
        else:
            starts += (source.module,)
            packages[source.module.partition(".")[0]] = _top_of(source.module, source.file)
    return starts, files, packages, UNUSED.get(stage, frozenset())


def closure(
    modules: Iterable[str],
    extra_files: Iterable[Path] = (),
    packages: Mapping[str, Path] | None = None,
    without: frozenset[str] = frozenset(),
) -> list[Path]:
    """Every file of ``packages`` (by default ``bench``) that the modules and files import at run time, sorted.

    A package is given as name -> its directory, without ``.py`` for a single file. The entry modules and files
    themselves are included; :data:`HARNESS` and ``without`` are neither included nor followed.
    """
    packages = {"bench": PACKAGE} if packages is None else packages
    found: set[Path] = set(extra_files)
    waiting = [name for file in sorted(found) for name in _imports(file, "")]
    for module in modules:
        if _file(module, packages) is None:
            raise BenchError(f"no module '{module}' under {', '.join(str(p.parent) for p in packages.values())}")
        waiting.append(module)
    seen = set(HARNESS | without)
    while waiting:
        name = waiting.pop()
        if name in seen or name.partition(".")[0] not in packages:
            continue
        seen.add(name)
        if "." in name:
            waiting.append(name.rpartition(".")[0])  # importing a.b runs a/__init__.py
        file = _file(name, packages)
        if file is not None and file not in found:
            found.add(file)
            waiting.extend(_imports(file, name if file.name == "__init__.py" else name.rpartition(".")[0]))
    return sorted(found)


def fingerprint(
    modules: Iterable[str],
    extra_files: Iterable[Path] = (),
    packages: Mapping[str, Path] | None = None,
    without: frozenset[str] = frozenset(),
) -> str:
    """A short hash of the meaning of a closure, independent of where the files lie."""
    parts = sorted(f"{_label(file)} {meaning(file)}" for file in closure(modules, extra_files, packages, without))
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]


@cache
def meaning(file: Path) -> str:
    """The hash of a file's syntax tree without comments, layout, docstrings and type-checking imports.

    Of a file that is no Python, the hash of its bytes.
    """
    content = _dump(_tree(file)).encode() if file.suffix == ".py" else file.read_bytes()
    return hashlib.sha256(content).hexdigest()


def _dump(node: object) -> str:
    """Like ``ast.dump``, but imports are sorted, and empty fields leave no trace (newer Pythons add some)."""
    if isinstance(node, list):
        imports = [n for n in node if isinstance(n, ast.Import | ast.ImportFrom | ast.alias)]
        others = (n for n in node if n not in imports) if imports else node
        return ",".join(filter(None, [*sorted(map(_dump, imports)), *map(_dump, others)]))
    if not isinstance(node, ast.AST):
        return repr(node)
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
        return ""
    if _is_type_checking(node):
        return _dump(node.orelse)
    fields = ((name, getattr(node, name, None)) for name in node._fields if name != "ctx")
    inner = " ".join(f"{name}={_dump(value)}" for name, value in fields if value is not None and value != [])
    return f"{type(node).__name__}({inner})"


@cache
def _imports(file: Path, package: str) -> tuple[str, ...]:
    """Absolute names that may be modules imported by a file of ``package``, also inside functions."""
    names: list[str] = []
    waiting: list[ast.AST] = [_tree(file)] if file.suffix == ".py" else []
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Import):
            names += (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            base = ".".join(filter(None, [*above, node.module]))
            names += (base, *(f"{base}.{alias.name}" for alias in node.names))
        below = node.orelse if _is_type_checking(node) else ast.iter_child_nodes(node)
        waiting += (n for n in below if isinstance(n, ast.stmt | ast.excepthandler | ast.match_case))
    return tuple(names)


def _is_type_checking(node: ast.AST) -> TypeGuard[ast.If]:
    test = node.test if isinstance(node, ast.If) else None
    return (test.attr if isinstance(test, ast.Attribute) else getattr(test, "id", "")) == "TYPE_CHECKING"


@cache
def _tree(file: Path) -> ast.Module:
    try:
        return ast.parse(file.read_bytes(), filename=str(file))
    except (OSError, SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise BenchError(f"{file}: {error}") from None


def _file(module: str, packages: Mapping[str, Path]) -> Path | None:
    """The source of a module, or None (a function or class; a directory without ``__init__.py``)."""
    top, *rest = module.split(".")
    path = packages[top].joinpath(*rest)
    return next((f for f in (path / "__init__.py", path.parent / f"{path.name}.py") if f.is_file()), None)


def _top_of(module: str, file: Path) -> Path:
    """The directory of a module's top-level package, from where the module lies."""
    here = file.parent if file.name == "__init__.py" else file.with_suffix("")
    return here.parents[module.count(".") - 1] if "." in module else here


def _label(file: Path) -> str:
    return str(file.relative_to(PACKAGE)) if file.is_relative_to(PACKAGE) else file.name

"""Names to files, read from the source by ``ast``: neither the DAG nor ``--help`` ever imports torch to know a name.

A method is any class in ``bench/methods/*.py`` with a literal ``variants``; a dataset is any file of ``bench/data``
with a literal ``NAMES`` or ``CONDITIONAL``, and ``DATA_DIR = True`` where a suite may give its files; a metric is any
file of ``bench/metrics`` that ends with ``METRIC = Metric(...)``. Packages elsewhere add methods by an entry point in
the group ``bench.methods`` (``name = "module:Class"``), and a suite may name ``module:Class`` or
``path/to/file.py:Class`` directly.
"""

from __future__ import annotations

import ast
import importlib
import importlib.util
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from importlib.metadata import entry_points
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, TypeVar

from bench.errors import BenchError, suggest

if TYPE_CHECKING:
    from bench.metrics.base import Metric

PACKAGE = Path(__file__).parent
BACKBONES = ("gpt2", "llama", "bart")  # of a method that does not say
T = TypeVar("T")


@dataclass(frozen=True)
class MethodSource:
    """Where a method is written: its name, class, the file, the importable module (if any) and its option values.

    ``backbones`` are the kinds it can be built on.
    """

    name: str
    cls: str
    file: Path
    module: str | None
    options: dict[str, Any]
    backbones: tuple[str, ...]


@dataclass(frozen=True)
class ClassSource:
    """The literals of a method's class."""

    variants: dict[str, dict[str, Any]]
    backbones: tuple[str, ...]


@dataclass(frozen=True)
class DatasetSource:
    """Where a dataset is read from, whether its texts are conditioned on sources, and whether it takes ``data_dir``."""

    name: str
    module: str
    conditional: bool
    data_dir: bool


@dataclass(frozen=True)
class MetricSource:
    """Where a metric is written."""

    name: str
    family: str
    needs: str
    module: str

    @property
    def from_texts(self) -> bool:
        """Whether it reads texts, or else the likelihood statistics of a trained cell."""
        return self.needs != "likelihood"

    @property
    def paired(self) -> bool:
        """Whether each text is scored against a reference of its own, which only conditional datasets have."""
        return self.needs in ("pairs", "sources")


@cache
def methods() -> dict[str, MethodSource]:
    """Every registered method by name: the package's own, and those of installed packages' entry points."""
    found = dict(_own_methods())
    for entry in entry_points(group="bench.methods"):
        source = _from_spec(entry.value)
        found[entry.name] = replace(source, name=entry.name)
    return found


@cache
def _own_methods() -> dict[str, MethodSource]:
    return {
        name: MethodSource(name, cls, file, f"bench.methods.{file.stem}", options, found.backbones)
        for file in sorted((PACKAGE / "methods").glob("*.py"))
        for cls, found in _classes(file).items()
        for name, options in found.variants.items()
    }


def describe(spec: str) -> MethodSource:
    """A registered name, ``module:Class`` or ``path/to/file.py:Class`` -> where that method is written."""
    if ":" in spec:
        return _from_spec(spec)
    # entry points are asked only for other names: reading every installed package's takes longer than all else here
    return _named("method", spec, _own_methods() if spec in _own_methods() else methods())


def spelling(spec: str) -> str:
    """A spec as it is written plainly: one of a file by the file's path from here; of every other, itself."""
    where, _, cls = spec.rpartition(":")
    if not where.endswith(".py"):
        return spec
    file = Path(where).expanduser()
    return f"{os.path.relpath(file.parent.resolve() / file.name)}:{cls}"


def _named(kind: str, name: str, known: Mapping[str, T]) -> T:
    """``known[name]``, or a :class:`BenchError` with the nearest name there is."""
    if name not in known:
        raise BenchError(f"unknown {kind} '{name}'{suggest(name, known)}")
    return known[name]


def _from_spec(spec: str) -> MethodSource:
    where, _, cls = spec.rpartition(":")
    if where.endswith(".py"):
        file, module = Path(where).expanduser(), None
        if not file.is_file():
            raise BenchError(f"method '{spec}': no file {file}")
    else:
        try:
            found = importlib.util.find_spec(where) if where else None
        except (Exception, SystemExit):  # of a relative name, or whatever a parent package does when it is imported
            found = None
        if found is None or not Path(found.origin or "").is_file():  # os.path and sys are in no file
            raise BenchError(f"method '{spec}': no module '{where}' with a source file")
        file, module = Path(str(found.origin)), where
    classes = _classes(file)
    if cls not in classes:
        raise BenchError(
            f"method '{spec}': {file} has no class '{cls}' with a literal `variants = {{...}}`"
            f"{suggest(cls, classes) if classes else ''}"
        )
    found_class = classes[cls]
    if len(found_class.variants) == 0:
        raise BenchError(f"method '{spec}': `variants` of {cls} in {file} names no method")
    name, options = next(iter(found_class.variants.items()))
    return MethodSource(name, cls, file, module, options, found_class.backbones)


def load_class(source: MethodSource) -> Any:
    """Import a method's class (this is where torch comes in)."""
    module = importlib.import_module(source.module) if source.module else _module_from_file(source.file)
    return getattr(module, source.cls)


def _module_from_file(file: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"bench_plugin_{file.stem}", file)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        raise BenchError(f"method file {file}: {type(error).__name__}: {error}") from error
    return module


@cache
def _classes(file: Path) -> dict[str, ClassSource]:
    """The classes of a file that have a literal ``variants``; ``backbones`` where they do not say otherwise."""
    found = {}
    for node in _parse(file).body:
        if isinstance(node, ast.ClassDef):
            variants = _literal(node.body, "variants")
            if isinstance(variants, dict) and all(isinstance(v, dict) for v in variants.values()):
                backbones = _literal(node.body, "backbones")
                found[node.name] = ClassSource(variants, backbones if isinstance(backbones, tuple) else BACKBONES)
    return found


def method_options(source: MethodSource) -> frozenset[str] | None:
    """The options that a suite may give a method: the fields of its ``Options``, those it inherits among them.

    None where that cannot be told: a class that is neither in the method's file nor in ``bench``, a method of several
    bases. Such options are checked when the method is built.
    """
    try:
        options = _options_class(source.file, source.cls)
        return None if options is None else _fields(*options)
    except RecursionError:  # of a class that has the name of its own base
        return None


def _options_class(file: Path, name: str) -> tuple[Path, str] | None:
    """Where the class is that a method's class, or else its base, has as ``Options``; and its name there."""
    if (found := _class(file, name)) is None:
        return None
    file, node = found
    for line in node.body:
        if isinstance(line, ast.Assign | ast.AnnAssign) and _assigns(line, "Options"):
            return (file, line.value.id) if isinstance(line.value, ast.Name) else None
        if isinstance(line, ast.ClassDef) and line.name == "Options":
            return None
    match node.bases:
        case [ast.Name(base)]:
            return _options_class(file, base)
    return None


@cache
def _fields(file: Path, name: str) -> frozenset[str] | None:
    """The fields of a dataclass and of its bases, read as :func:`method_options` says."""
    if (found := _class(file, name)) is None:
        return None
    file, node = found
    fields = {n.target.id for n in node.body if isinstance(n, ast.AnnAssign) and isinstance(n.target, ast.Name)}
    for base in node.bases:
        inherited = _fields(file, base.id) if isinstance(base, ast.Name) else None
        if inherited is None:
            return None
        fields |= inherited
    return frozenset(fields)


def _class(file: Path, name: str) -> tuple[Path, ast.ClassDef] | None:
    """A class by its name in a file that has it or imports it from ``bench``, and the file that has it."""
    match _named_classes(file).get(name):
        case ast.ClassDef() as node:
            return file, node
        case (str(module), str(original)):
            there = PACKAGE.parent.joinpath(*module.split(".")).with_suffix(".py")
            return _class(there, original) if there.is_file() else None
    return None


@cache
def _named_classes(file: Path) -> dict[str, ast.ClassDef | tuple[str, str]]:
    """The classes of a file by name, and the module and name of what it imports from ``bench``; the last one counts."""
    found: dict[str, ast.ClassDef | tuple[str, str]] = {}
    for node in _parse(file).body:
        if isinstance(node, ast.ClassDef):
            found[node.name] = node
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("bench."):
            found |= {alias.asname or alias.name: (node.module, alias.name) for alias in node.names}
    return found


@cache
def datasets() -> dict[str, DatasetSource]:
    """Every dataset by name."""
    found = {}
    for file in sorted((PACKAGE / "data").glob("*.py")):
        body = _parse(file).body
        for kind in ("NAMES", "CONDITIONAL"):
            for name in _literal(body, kind) or ():
                takes = _literal(body, "DATA_DIR") is True
                found[name] = DatasetSource(name, f"bench.data.{file.stem}", kind == "CONDITIONAL", takes)
    return found


def dataset(name: str) -> DatasetSource:
    """One dataset by name."""
    return _named("dataset", name, datasets())


@cache
def metrics() -> dict[str, MetricSource]:
    """Every metric by name."""
    found = {}
    for file in sorted((PACKAGE / "metrics").glob("*.py")):
        if keywords := _metric_of(file):
            given = {key: str(value.value) for key, value in keywords.items() if isinstance(value, ast.Constant)}
            name = given["name"]
            found[name] = MetricSource(name, given["family"], given["needs"], f"bench.metrics.{file.stem}")
    return found


def metric(name: str) -> MetricSource:
    """One metric by name."""
    return _named("metric", name, metrics())


@cache
def metric_options(name: str) -> frozenset[str]:
    """The options that a suite may give a metric: the keys of its defaults, as its file writes them."""
    file = PACKAGE / "metrics" / f"{metric(name).module.rpartition('.')[2]}.py"
    return _keys(_metric_of(file).get("defaults"), file)


def _metric_of(file: Path) -> dict[str, ast.expr]:
    """The arguments of ``METRIC = Metric(...)``, none in a file that has no such line."""
    call = next((n.value for n in _parse(file).body if isinstance(n, ast.Assign) and _assigns(n, "METRIC")), None)
    return {str(k.arg): k.value for k in call.keywords} if isinstance(call, ast.Call) else {}


def _keys(node: ast.expr | None, file: Path) -> frozenset[str]:
    """Of a dict in a file of ``bench.metrics``: its own keys, and those of a dict that it spreads or is a name of."""
    match node:
        case ast.Dict():
            own = frozenset(str(key.value) for key in node.keys if isinstance(key, ast.Constant))
            spread = (value for key, value in zip(node.keys, node.values, strict=True) if key is None)
            return own.union(*(_keys(value, file) for value in spread))
        case ast.Name(name):
            return _keys_of(name, file)
        case ast.Attribute(ast.Name(module), name):
            return _keys_of(name, file.with_name(f"{module}.py"))
    return frozenset()


def _keys_of(name: str, file: Path) -> frozenset[str]:
    """Likewise by its name, as the file assigns or imports it."""
    for line in _parse(file).body:
        if isinstance(line, ast.Assign | ast.AnnAssign) and _assigns(line, name):
            return _keys(line.value, file)
        if isinstance(line, ast.ImportFrom) and line.module:
            for alias in line.names:
                if name == (alias.asname or alias.name):
                    return _keys_of(alias.name, file.with_name(f"{line.module.rpartition('.')[2]}.py"))
    return frozenset()


def load_metric(name: str) -> Metric:
    """The metric of that name, imported."""
    loaded: Metric = importlib.import_module(metric(name).module).METRIC
    return loaded


def _parse(file: Path) -> ast.Module:
    try:
        return ast.parse(file.read_text(encoding="utf-8"), filename=str(file))
    except OSError as error:
        raise BenchError(f"{file}: {error.strerror}") from None
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:  # as ast.parse has it
        raise BenchError(f"{file}: not valid Python: {error}") from None


def _assigns(node: ast.stmt, name: str) -> bool:
    if isinstance(node, ast.Assign):
        return any(isinstance(t, ast.Name) and t.id == name for t in node.targets)
    return isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.target.id == name


def _literal(body: list[ast.stmt], name: str) -> Any:
    """The literal value assigned to ``name`` in a body, or None."""
    for node in body:
        if _assigns(node, name) and isinstance(node, (ast.Assign, ast.AnnAssign)) and node.value is not None:
            try:
                return ast.literal_eval(node.value)
            except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError):  # as it has it, likewise
                return None
    return None

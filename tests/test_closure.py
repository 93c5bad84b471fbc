"""The static closure: what it follows, what changes a fingerprint, and that it covers what Python really imports."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from bench import closure, registry
from bench.errors import BenchError
from bench.schema import Suite

SOURCES = {
    "__init__.py": "",
    "start.py": '"""Doc."""\nimport pkg.absolute\nfrom pkg.names import function\nfrom pkg import submodule\nVALUE=1',
    "absolute.py": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from pkg import only_typed\n",
    "names.py": "def function():\n    try:\n        from . import in_function\n    except ImportError:\n        pass\n",
    "submodule.py": "from .deep.inner import thing\n",
    "in_function.py": "",
    "only_typed.py": "",
    "unused.py": "",
    "deep/__init__.py": "from pkg import from_package\n",
    "deep/inner.py": "from ..above import x\nimport json\n",
    "above.py": "x = 1\n",
    "from_package.py": "",
}
REACHED = set(SOURCES) - {"only_typed.py", "unused.py"}


@pytest.fixture
def package(tmp_path: Path) -> Path:
    for name, text in SOURCES.items():
        file = tmp_path / "pkg" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return tmp_path / "pkg"


def fingerprint(package: Path, *extra: Path) -> str:
    for cached in (closure._tree, closure._imports, closure.meaning):
        cached.cache_clear()
    return closure.fingerprint(["pkg.start"], extra, {"pkg": package})


def test_follows_every_kind_of_import_but_those_for_type_checkers(package: Path) -> None:
    found = closure.closure(["pkg.start"], packages={"pkg": package})
    assert {str(file.relative_to(package)) for file in found} == REACHED
    assert found == sorted(found)


def test_extra_file_brings_what_it_imports(package: Path, tmp_path: Path) -> None:
    plugin = tmp_path / "mine.py"
    plugin.write_text("from pkg.unused import something\n")
    assert closure.closure([], [plugin], {"pkg": package}) == [plugin, package / "__init__.py", package / "unused.py"]


def test_modules_left_out_are_not_followed(package: Path) -> None:
    found = closure.closure(["pkg.start"], packages={"pkg": package}, without=frozenset({"pkg.submodule"}))
    assert {f.name for f in found} == {"__init__.py", "start.py", "absolute.py", "names.py", "in_function.py"}


@pytest.mark.parametrize(
    "text",
    [
        '# note\n"""Other words."""\nimport pkg.absolute\nfrom pkg.names import function\nfrom pkg import submodule\n'
        "VALUE = (\n    1\n)  # one\n",
        'from pkg import submodule\nfrom pkg.names import function\nimport pkg.absolute\n"""Elsewhere."""\nVALUE=1',
    ],
    ids=["comments, docstring, layout", "order of imports"],
)
def test_edits_without_meaning_keep_the_fingerprint(package: Path, text: str) -> None:
    before = fingerprint(package)
    (package / "start.py").write_text(text)
    assert fingerprint(package) == before


@pytest.mark.parametrize("name", sorted(SOURCES))
def test_an_edit_changes_the_fingerprint_where_the_file_is_reached_and_a_revert_restores_it(
    package: Path, name: str
) -> None:
    before, text = fingerprint(package), (package / name).read_text()
    (package / name).write_text(f"{text}\nadded = 'a string that is no docstring'\n")
    assert (fingerprint(package) != before) == (name in REACHED)
    (package / name).write_text(text)
    assert fingerprint(package) == before


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("x = 1", "x = 2"),
        ("x = 1", "x = 1.0"),
        ("x = None", "x = ()"),
        ("x = [a, b]", "x = [b, a]"),
        ("f(a, b)", "f(a, b=b)"),
        ("def f(): return", "def f(): return 0"),
        ("def f(a, b): 0", "def f(a, *, b): 0"),
        ("if a: b", "if a: pass\nelse: b"),
        ("a\nb", "b\na"),
        ("x = 'a'", "x = b'a'"),
        ("x = f'{a}'", "x = f'{a!r}'"),
        ("class A:\n    x: int = 1", "class A:\n    x: float = 1"),
        ("{**a, 'b': 1}", "{'b': 1, **a}"),
    ],
)
def test_different_meanings_differ(tmp_path: Path, one: str, other: str) -> None:
    files = [tmp_path / "one.py", tmp_path / "other.py"]
    for file, text in zip(files, (one, other), strict=True):
        file.write_text(text)
    assert closure.meaning(files[0]) != closure.meaning(files[1])


def test_place_is_no_part_of_the_fingerprint(package: Path, tmp_path: Path) -> None:
    before = fingerprint(package)
    package.rename(tmp_path / "moved")
    assert fingerprint(tmp_path / "moved") == before


def test_broken_and_missing_sources_are_one_line(package: Path) -> None:
    with pytest.raises(BenchError, match=r"no module 'pkg\.nowhere'"):
        closure.closure(["pkg.nowhere"], packages={"pkg": package})
    (package / "start.py").write_text("def f(:\n")
    with pytest.raises(BenchError, match=r"start\.py: invalid syntax"):
        fingerprint(package)


def test_a_method_from_another_package_brings_its_own_modules(
    package: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (package / "method.py").write_text("from pkg.above import x\nclass Mine:\n    variants = {'mine': {}}\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    files = closure.closure(*closure.entries("train", ("pkg.method:Mine",)))
    assert {package / "method.py", package / "above.py", closure.PACKAGE / "training.py"} <= set(files)


def test_what_shows_values_is_made_again_when_one_of_its_metrics_is_edited(monkeypatch: pytest.MonkeyPatch) -> None:
    """Even where the scores come out the same: which way is better is the metric's own."""
    given = {"name": "s", "datasets": ["bbe"], "methods": ["embed"], "seeds": [1], "metrics": ["elbo", "cnd"]}
    suite = Suite.model_validate(given)

    def found() -> dict[str, str]:
        reports = {report: closure.stage_fingerprint(suite, "report", report=report) for report in ("table1", "curves")}
        return {**reports, "compare": closure.stage_fingerprint(suite, "compare")}

    monkeypatch.setattr(closure, "_fingerprint_of", closure._fingerprint_of.__wrapped__)
    before, meaning = found(), closure.meaning
    for metric, expected in (("elbo", {"table1", "compare"}), ("cnd", {"table1", "compare"}), ("mauve", set())):
        edited = closure.PACKAGE / "metrics" / f"{metric}.py"
        monkeypatch.setattr(closure, "meaning", lambda file, edited=edited: "" if file == edited else meaning(file))
        assert {what for what, value in found().items() if value != before[what]} == expected


IMPORT_ALL = """
import importlib, json, sys
loaded = {}
for key, modules in json.loads(sys.argv[1]).items():
    for name in [n for n in sys.modules if n.partition(".")[0] == "bench"]:
        del sys.modules[name]
    for module in modules:
        importlib.import_module(module)
    loaded[key] = sorted(n for n in sys.modules if n.partition(".")[0] == "bench")
print(json.dumps(loaded))
"""


def test_covers_what_python_imports() -> None:
    """Static closures, with the modules left out on purpose, hold every module of bench that a stage really loads."""
    stages = {stage: closure.entries(stage) for stage in closure.STAGES}
    for name, source in registry.methods().items():
        if source.module and source.module.startswith("bench."):
            stages |= {
                f"{stage} {name}": closure.entries(stage, (name,)) for stage in ("train", "likelihood", "generate")
            }
    stages |= {f"score {s.name}": closure.entries("score", (), (s.module,)) for s in registry.metrics().values()}
    stages |= {f"prepare {n}": closure.entries("prepare", (), (d.module,)) for n, d in registry.datasets().items()}
    wanted = json.dumps({key: entries[0] for key, entries in stages.items()})
    done = subprocess.run(
        [sys.executable, "-c", IMPORT_ALL, wanted], cwd=closure.PACKAGE.parent, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    for key, loaded in json.loads(done.stdout).items():
        covered = {_module(file) for file in closure.closure(*stages[key])} | closure.HARNESS | stages[key][3]
        assert set(loaded) <= covered, f"{key}: not in the static closure: {sorted(set(loaded) - covered)}"


def _module(file: Path) -> str:
    parts = file.relative_to(closure.PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def test_a_pretrained_model_is_not_taken_over_again_for_what_only_reads_it() -> None:
    modules = {_module(file) for file in closure.closure(*closure.entries("pretrained"))}
    assert {"bench.data.adopt", "bench.data.download", "bench.tensors"} <= modules
    assert not {"bench.model", "bench.decoding", "bench.nll", "bench.metrics.ngrams"} & modules

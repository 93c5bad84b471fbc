"""`--use-conda`: the environment is the lock and nothing else. A stand-in answers for conda: no channel is asked."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.end_to_end.test_run import NO_NETWORK, Place
from tests.workflow.tree import ROOT, Tree

ENVIRONMENTS = ROOT / "workflow/envs"
STAND_IN = Path(__file__).parent / "conda/bin"
# A distribution that pip takes for installed, and a package that no job can import.
LEAKS = {
    "xxhash-4.1.0.dist-info/METADATA": "Metadata-Version: 2.1\nName: xxhash\nVersion: 4.1.0\n",
    "torch.py": "raise ImportError('leaked in through PYTHONPATH')\n",
}
WITNESS = """
import sys
with open({file!r}, "a") as stream:
    print(sys.prefix, *sys.orig_argv[1:4], file=stream)
"""


def pins(file: str) -> list[str]:
    """The lines of a file of the lock that are no comments."""
    return [line for line in (ENVIRONMENTS / file).read_text().splitlines() if not line.startswith("#")]


def names(requirements: list[str]) -> set[str]:
    return {canonicalize_name(Requirement(line).name) for line in requirements}


def test_the_environment_is_the_lock() -> None:
    *packages, section = yaml.safe_load((ENVIRONMENTS / "bench.yaml").read_text())["dependencies"]
    again = "sed -n 's/^[^#]/      - &/p' workflow/envs/requirements.txt"
    assert section == {"pip": pins("requirements.txt")}, f"the pip section of bench.yaml is to be: {again}"
    assert packages == ["python=3.11", "pip", "conda-ecosystem-user-package-isolation=1.0"]
    script = (ENVIRONMENTS / "bench.post-deploy.sh").read_text()
    assert re.findall(r"\S+==\S+", script) == pins("without-deps.txt")


def test_every_package_of_the_lock_is_pinned_and_what_they_need_is_in_it() -> None:
    lock = pins("requirements.txt")
    assert all(re.fullmatch(r"[\w.-]+==[\w.]+", line) for line in (*lock, *pins("without-deps.txt")))
    for line in lock:
        needed = [need for need in metadata.requires(Requirement(line).name) or () if "extra ==" not in need]
        here = [need for need in needed if (marker := Requirement(need).marker) is None or marker.evaluate()]
        assert names(here) <= names(lock), f"{line} needs more than the lock has"


def test_what_the_project_asks_for_is_in_the_lock() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"].values()
    asked = names(project["dependencies"]).union(*map(names, extras))
    assert asked <= names(pins("requirements.txt"))


def test_without_conda_one_line_says_so(fresh: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    if (Path(sys.executable).parent / "conda").exists():
        pytest.skip("conda lies beside this Python")
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    done = fresh.snakemake("--dry-run", "--use-conda", "--config", "suite=tiny.yaml")
    assert done.returncode == 1
    said = done.stdout + done.stderr  # of a dry run on stdout
    assert "Is conda installed and accessible?" in said and "Traceback" not in said


def test_snakemake_asks_the_stand_in_and_no_more(fresh: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(STAND_IN), prepend=os.pathsep)
    monkeypatch.setenv("CONDA_CALLS", str(fresh.root / "asked.txt"))
    done = fresh.snakemake("--dry-run", "--use-conda", "--config", "suite=tiny.yaml")
    assert done.returncode == 0, done.stderr
    assert "Conda environment workflow/envs/bench.yaml will be created." in done.stdout + done.stderr
    asked = (fresh.root / "asked.txt").read_text().splitlines()
    assert asked == ["info --json", "--version", "config --get channel_priority --json"]


@pytest.mark.long
def test_a_whole_run_on_that_environment_alone(tmp_path: Path) -> None:
    """Minutes: pip installs the lock. Then no job sees the network, this environment or $PYTHONPATH."""
    place = Place(tmp_path / "tree")
    for name, text in LEAKS.items():
        file = tmp_path / "leaks" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)

    def snakemake(*arguments: str) -> None:
        command = [sys.executable, "-m", "snakemake", "--cores", "2", "--use-conda", *arguments]
        path = f"{STAND_IN}{os.pathsep}{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        outer = {**os.environ, "PATH": path, "PYTHONPATH": str(tmp_path / "leaks"), "HF_HUB_OFFLINE": "1"}
        done = subprocess.run(command, cwd=place.root, env=outer, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr

    target = ("--config", "suite=tiny.yaml", "--", "reports/table1.md")
    snakemake("--conda-create-envs-only", *target)
    (environment,) = (path for path in (place.root / ".snakemake/conda").iterdir() if path.is_dir())
    (packages,) = environment.glob("lib/python*/site-packages")
    installed = {canonicalize_name(found.name): found.version for found in metadata.distributions(path=[str(packages)])}
    for pin in (*pins("requirements.txt"), *pins("without-deps.txt")):
        name, _, version = pin.partition("==")
        assert installed[canonicalize_name(name)].partition("+")[0] == version
    seen = tmp_path / "seen.txt"
    (packages / "sitecustomize.py").write_text(WITNESS.format(file=str(seen)) + NO_NETWORK)
    snakemake(*target)
    assert "della" in (place.root / "reports/table1.md").read_text()
    ran = [line.split() for line in seen.read_text().splitlines() if " -m bench " in line]
    verbs = {verb for _, _, _, verb in ran}
    assert verbs == {"prepare", "train", "likelihood", "generate", "untrained", "score-cell", "record", "report"}
    assert {prefix for prefix, *_ in ran} == {str(environment)}

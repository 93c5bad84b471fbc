"""The main job, whole and real, at a size of seconds: data to table, twice, once killed, with the network off."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from bench.files import sha256
from bench.metrics.likelihood_file import LikelihoodFile, importance_weighted_nll
from bench.paths import CellPaths
from bench.record_schema import read_record

REPOSITORY = Path(__file__).parents[2]
NO_NETWORK = """
import socket

def refuse(self, address):
    raise OSError(f"the network is off: {address}")

class Offline(socket.socket):
    def connect(self, address):
        return super().connect(address) if self.family == socket.AF_UNIX else refuse(self, address)

    connect_ex = connect

socket.socket = Offline
"""


class Place:
    """A copy of the source tree, and commands run in it as a user would, with every network connection refused."""

    def __init__(self, root: Path) -> None:
        self.root = root
        for name in ("bench", "workflow", "results/published", "docs/examples"):
            shutil.copytree(REPOSITORY / name, root / name, ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copy(REPOSITORY / "Snakefile", root)
        shutil.copy(Path(__file__).with_name("tiny.yaml"), root)
        (root / "offline").mkdir()
        (root / "offline/sitecustomize.py").write_text(NO_NETWORK)

    @property
    def environment(self) -> Mapping[str, str]:
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        return {**os.environ, "PATH": path, "PYTHONPATH": str(self.root / "offline"), "HF_HUB_OFFLINE": "1"}

    def start(self, *command: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            command, cwd=self.root, env=self.environment, text=True, start_new_session=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip

    def run(self, *command: str) -> str:
        process = self.start(*command)
        output, _ = process.communicate()
        assert process.returncode == 0, output
        return output

    def snakemake(self, target: str, *config: str) -> tuple[str, ...]:
        return ("snakemake", "--cores", "2", "--rerun-incomplete", "--config", "suite=tiny.yaml", *config, "--", target)

    def cell(self, method: str) -> CellPaths:
        return CellPaths("tiny", "bbe", method, 1)

    def results(self, method: str) -> dict[str, str]:
        """Hashes of all that must not depend on when, where or how often a cell was run."""
        paths = self.cell(method)
        files = [paths.model / "weights.safetensors", paths.history, paths.likelihood, paths.samples]
        files += [paths.scores(family) for family in ("likelihood", "ngrams", "mauve")]
        return {str(file): sha256(self.root / file) for file in files}

    def values(self, method: str) -> dict:
        return json.loads((self.root / self.cell(method).record).read_text())["values"]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    """A finished run of tiny.yaml: reports/table1.md and the curves."""
    made = Place(tmp_path_factory.mktemp("run") / "tree")
    made.run(*made.snakemake("all"))
    return made


def test_the_table_has_every_row_and_column(place: Place) -> None:
    table = (place.root / "reports/table1.md").read_text()
    for word in ("gpt2", "della", "human", "PPL", "ELBO", "KL", "MI", "BLEU", "CND", "MAUVE", "Dist", "JS"):
        assert word in table, f"{word} is not in\n{table}"
    for suffix in ("md", "csv", "tex", "html"):
        text = (place.root / f"reports/table1.{suffix}").read_text()
        assert "nan" not in text.lower().replace("nance", "")
    assert (place.root / "reports/curves.png").stat().st_size > 10_000


def test_every_quantity_of_the_metrics_is_recorded_and_finite(place: Place) -> None:
    values = place.values("della")
    for key in ("ppl", "nelbo", "kl", "mi", "au_0.01", "au_0.1", "au_0.2", "bleu4", "cnd", "mauve", "self_bleu4",
                "dist2", "js", "paper:della/ppl", "paper:della/kl"):  # fmt: skip
        assert np.isfinite(values[key]["value"]) and values[key]["signature"]
    record = read_record(place.root / place.cell("gpt2").record)
    assert record.provenance.parameters > 0 and record.provenance.code["train"]


def test_likelihood_invariants_hold(place: Place) -> None:
    """NLL_K <= -ELBO within Monte-Carlo error, decreasing in K; a plain language model is exact."""
    stats = LikelihoodFile.read(place.root / place.cell("della").likelihood)
    curve = [importance_weighted_nll(stats.log_w, k).mean() for k in (1, 10, 100)]
    assert curve[0] >= curve[1] >= curve[2]
    gap = stats.nelbo[: stats.importance_examples] - stats.nll
    assert gap.mean() >= -3 * gap.std() / len(gap) ** 0.5
    lm = place.values("gpt2")
    assert lm["nll"]["note"].startswith("exact") and "kl" not in lm
    plain = LikelihoodFile.read(place.root / place.cell("gpt2").likelihood)
    np.testing.assert_allclose(plain.nll, plain.rec[: plain.importance_examples], rtol=1e-5)


def test_nothing_is_done_twice(place: Place) -> None:
    assert "Nothing to be done" in place.run(*place.snakemake("all"))


def test_killed_and_run_again_gives_the_same_bytes(place: Place, tmp_path: Path) -> None:
    """kill -9 of the whole process group while della trains, once a checkpoint is there; then unlock and run again."""
    other = Place(tmp_path / "tree")
    target = str(other.cell("della").record)
    process = other.start(*other.snakemake(target))
    deadline = time.monotonic() + 300
    while not (other.root / other.cell("della").resume / "state.json").exists():
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < deadline
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    assert not (other.root / other.cell("della").model).exists()
    other.run("snakemake", "--unlock", "--config", "suite=tiny.yaml")
    other.run(*other.snakemake(target))
    assert other.results("della") == place.results("della")
    assert other.values("della") == place.values("della")


def test_freeze_then_compare_a_method_from_outside(place: Place) -> None:
    """The example of the docs appears beside frozen rows; nothing frozen is trained again."""
    before = place.results("della")
    place.run(sys.executable, "-m", "bench", "freeze", "--suite", "tiny.yaml", "first", "--allow-dirty")
    method = "method=docs/examples/memory_softmax.py:MemorySoftmax"
    output = place.run(*place.snakemake("reports/compare.md", method))
    assert "train memory-softmax" in output and "train della" not in output
    compared = (place.root / "reports/compare.md").read_text()
    assert "memory-softmax" in compared and "della" in compared and "gpt2" in compared
    assert place.results("della") == before

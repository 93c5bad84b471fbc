"""workflow/profiles/slurm on a real cluster of one node (slurm.py): as root, `pytest -m long tests/cluster -n 0`."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from bench.files import sha256
from tests.cluster import slurm
from tests.end_to_end.test_run import Place
from tests.workflow.test_conda import STAND_IN, WITNESS
from tests.workflow.tree import Tree, copy

pytestmark = [pytest.mark.long, pytest.mark.skipif(bool(slurm.missing()), reason=slurm.missing())]
pytest.importorskip("snakemake_executor_plugin_slurm", reason="pip install -r workflow/profiles/slurm/requirements.txt")

TRAINED = "results/runs/tiny/bbe/gpt2/seed1/history.csv"
TRAIN = ("--config", "suite=tiny.yaml", "device=cpu", "--", TRAINED)
HERE = ("--slurm-init-seconds-before-status-checks", "12")  # jobs of seconds


@pytest.fixture(scope="module")
def cluster() -> Iterator[slurm.Cluster]:
    with slurm.cluster() as running:
        yield running


@pytest.fixture
def fresh(tmp_path: Path) -> Tree:
    return copy(tmp_path)


class Run:
    """Snakemake with the profile, in a group of processes of its own."""

    def __init__(self, root: Path, *arguments: str) -> None:
        command = (sys.executable, "-m", "snakemake", "--profile", "workflow/profiles/slurm", *HERE, *arguments)
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        self.output = root / f"snakemake{time.monotonic_ns()}.txt"
        with open(self.output, "w") as stream:
            self.process = subprocess.Popen(
                command, cwd=root, env={**os.environ, "PATH": path}, start_new_session=True,
                stdout=stream, stderr=subprocess.STDOUT,
            )  # fmt: skip

    def until(self, what: Callable[[], object], seconds: float = 300) -> None:
        """Wait while Snakemake runs."""
        ends = time.monotonic() + seconds
        while not what():
            assert self.process.poll() is None, self.output.read_text()
            assert time.monotonic() < ends, self.output.read_text()
            time.sleep(0.2)

    def end(self) -> str:
        """What a run that succeeds printed."""
        assert self.process.wait(900) == 0, self.output.read_text()
        return self.output.read_text()


def jobs(cluster: slurm.Cluster, *columns: str) -> dict[str, list[str]]:
    """By rule and wildcards, what squeue says of every job."""
    said = cluster.ask("squeue", "--states=all", "--noheader", f"--Format=Comment:80,{','.join(columns)}")
    return {name: rest for name, *rest in map(str.split, said.splitlines())}


def calls(tree: Tree, verb: str) -> int:
    """How often a verb ran to its end."""
    return [name for name, *_ in tree.calls()].count(verb) if (tree.root / "calls.txt").exists() else 0


def running(root: Path, verb: str) -> list[psutil.Process]:
    """The processes of a verb in a tree."""
    found = []
    for process in psutil.process_iter():
        try:
            if ["-m", "bench", verb] == process.cmdline()[1:4] and process.cwd() == str(root):
                found.append(process)
        except (psutil.NoSuchProcess, psutil.ZombieProcess):
            pass
    return found


def test_gpus_time_and_memory_are_asked_for(cluster: slurm.Cluster, fresh: Tree) -> None:
    target = "results/runs/tiny/bbe/embed/seed1/scores/likelihood.json"
    Run(fresh.root, "--config", "suite=tiny.yaml", "device=cuda", "gpus=2", "--", target).end()
    asked = jobs(cluster, "tres-per-job", "TimeLimit", "MinMemory")
    assert asked["rule_prepare_wildcards_bbe"] == ["N/A", "30:00", "8000M"]
    assert asked["rule_train_wildcards_bbe_embed_1"] == ["gres:gpu:2", "1-00:00:00", "32000M"]
    assert asked["rule_likelihood_wildcards_bbe_embed_1"] == ["gres:gpu:2", "8:00:00", "32000M"]
    assert asked["rule_score_wildcards_bbe_embed_1__likelihood"] == ["N/A", "4:00:00", "8000M"]


def test_a_failed_job_is_heard_and_tried_again(cluster: slurm.Cluster, fresh: Tree) -> None:
    (fresh.root / "fail.txt").write_text("train")
    run = Run(fresh.root, *TRAIN)
    log = fresh.root / TRAINED.replace("history.csv", "logs/train.log")
    run.until(lambda: log.exists() and "failed as asked" in log.read_text())
    (fresh.root / "fail.txt").unlink()
    said = run.end()
    assert "Trying to restart job" in said and "bench: train of bbe failed as asked" in said
    (kept,) = (fresh.root / ".snakemake/slurm_logs/rule_train/bbe_gpt2_1").iterdir()
    assert str(kept) in said and "bench: train of bbe failed as asked" in kept.read_text()


def test_jobs_outlive_the_controller(cluster: slurm.Cluster, fresh: Tree) -> None:
    """slurmctld and slurmdbd are killed while a job runs, and start again some time after it has ended."""
    (fresh.root / "slow.txt").write_text("5")
    run = Run(fresh.root, *TRAIN)
    run.until(lambda: running(fresh.root, "train"))
    for daemon in ("slurmctld", "slurmdbd"):
        cluster.kill(daemon)
    run.until(lambda: calls(fresh, "train"))
    time.sleep(30)
    cluster.start_slurmdbd()  # first: slurmctld ends where it has neither this nor a state of some age
    cluster.start("slurmctld", "-D")
    said = run.end()
    assert calls(fresh, "train") == 1 and "Trying to restart" not in said


def test_jobs_outlive_snakemake(cluster: slurm.Cluster, fresh: Tree) -> None:
    """Killed itself, it finds what its jobs finished meanwhile."""
    (fresh.root / "slow.txt").write_text("5")
    run = Run(fresh.root, *TRAIN)
    run.until(lambda: running(fresh.root, "train"))
    os.killpg(run.process.pid, signal.SIGKILL)
    ends = time.monotonic() + 120
    while cluster.ask("squeue", "--noheader"):
        assert time.monotonic() < ends
        time.sleep(0.5)
    assert calls(fresh, "train") == 1
    again = Run(fresh.root, *TRAIN)
    assert again.process.wait(60) == 1 and "--unlock" in again.output.read_text()
    done = fresh.snakemake("--unlock", "--config", "suite=tiny.yaml")
    assert done.returncode == 0, done.stderr
    assert "Nothing to be done" in Run(fresh.root, *TRAIN).end()


def test_a_cell_is_left_to_the_job_that_still_runs(cluster: slurm.Cluster, tmp_path: Path) -> None:
    """Snakemake is killed, and starts again while its job runs (here: stands still)."""
    place = Place(tmp_path)
    log = place.root / TRAINED.replace("history.csv", "logs/train.log")
    run = Run(place.root, *TRAIN)
    run.until((place.root / place.cell("gpt2").resume / "state.json").exists)
    (left,) = running(place.root, "train")
    left.suspend()
    os.killpg(run.process.pid, signal.SIGKILL)
    place.run("snakemake", "--unlock", "--config", "suite=tiny.yaml")
    again = Run(place.root, *TRAIN)
    again.until(lambda: f"process {left.pid} on " in log.read_text())
    left.resume()
    again.end()
    trained = sha256(place.root / TRAINED)
    (place.root / TRAINED).unlink()
    place.run(*place.snakemake(TRAINED))
    assert sha256(place.root / TRAINED) == trained


def test_jobs_run_in_the_environment_of_conda(
    cluster: slurm.Cluster, fresh: Tree, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The Snakemake that submits makes it (here: of little, by a stand-in), and jobs use it."""
    environments = fresh.root / "workflow/envs"
    (environments / "bench.yaml").write_text("dependencies: [python=3.11, pip: [pyyaml, pydantic]]\n")
    (environments / "bench.post-deploy.sh").write_text("true\n")
    monkeypatch.setenv("PATH", str(STAND_IN), prepend=os.pathsep)
    options = ("--use-conda", "--config", "suite=tiny.yaml", "device=cpu")
    Run(fresh.root, "--conda-create-envs-only", *options, "--", TRAINED).end()
    (environment,) = (path for path in (fresh.root / ".snakemake/conda").iterdir() if path.is_dir())
    (packages,) = environment.glob("lib/python*/site-packages")
    seen = fresh.root / "seen.txt"
    (packages / "sitecustomize.py").write_text(WITNESS.format(file=str(seen)))
    Run(fresh.root, *options, "--", TRAINED).end()
    ran = [line.split() for line in seen.read_text().splitlines() if " -m bench " in line]
    assert {(prefix, verb) for prefix, _, _, verb in ran} == {
        (str(environment), "prepare"),
        (str(environment), "train"),
    }


def test_a_suite_with_a_killed_training_ends_as_on_one_machine(cluster: slurm.Cluster, tmp_path: Path) -> None:
    here, there = Place(tmp_path / "here"), Place(tmp_path / "there")
    here.run(*here.snakemake("reports/table1.md"))
    run = Run(there.root, "--config", "suite=tiny.yaml", "device=cpu", "--", "reports/table1.md")
    checkpoint = there.root / there.cell("della").resume / "state.json"
    run.until(checkpoint.exists)
    for process in running(there.root, "train"):
        if "della" in process.cmdline():
            process.kill()
    assert "Trying to restart job" in run.end()
    for method in ("gpt2", "della"):
        assert there.results(method) == here.results(method)
        assert there.values(method) == here.values(method)
    for suffix in ("md", "csv"):
        table = f"reports/table1.{suffix}"
        assert (there.root / table).read_text() == (here.root / table).read_text()

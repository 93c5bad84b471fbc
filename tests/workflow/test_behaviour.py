"""What a user sees when something is wrong, and who shares a GPU."""

from __future__ import annotations

import json
import os
import re
import shutil

import yaml

from bench import dag as dags
from tests.workflow.tree import RELEASE, ROOT, SUITE, Tree


def test_lint_is_clean(fresh: Tree) -> None:
    done = fresh.snakemake("--lint", "--config", "suite=tiny.yaml")
    assert done.returncode == 0, done.stderr


def test_a_mistake_is_one_line_and_exit_code_2(fresh: Tree) -> None:
    (fresh.root / "tiny.yaml").write_text(SUITE.replace("della]", "dela]"))
    done = fresh.snakemake("--dry-run", "--config", "suite=tiny.yaml")
    said = "bench: suite tiny.yaml: unknown method 'dela'; did you mean 'della'?\n"
    assert (done.returncode, done.stdout, done.stderr) == (2, "", said)


def test_docs_say_how_many_cells_and_jobs_the_tables_of_della_take(fresh: Tree) -> None:
    jobs = fresh.pending("--config", "suite=workflow/config/embedded.yaml", "--", "della_all")
    trained = sum(job.startswith("train ") for job in jobs)
    of_all = len(jobs) + 1  # the target itself, which has no output
    assert f"{trained} trained cells, {of_all} jobs" in (ROOT / "docs/della.md").read_text(encoding="utf-8")


def test_what_cannot_be_compared_is_one_line_before_anything_runs(fresh: Tree) -> None:
    """A release of other datasets that was named; and none to choose from, where other targets are still made."""
    release = {**RELEASE, "cells": [{"dataset": "ptb", "method": "gpt2"}], "signatures": {"ptb": {}}}
    (fresh.root / "results/frozen/r1/manifest.json").write_text(json.dumps(release))
    compare = ("suite=tiny.yaml", "method=mine.py:Mine", "--", "reports/compare.html")
    for options, said in (
        (
            ("--config", "frozen=r1"),
            "--config: 'frozen' is 'r1': it has no measured row on a dataset that suite 'tiny'",
        ),
        (("--config",), "reports/compare: no release in results/frozen has a measured row on a dataset that suite"),
    ):
        done = fresh.snakemake(*options, *compare)
        last = done.stderr.splitlines()[-1]
        assert done.returncode == 2 and last.startswith(f"bench: {said}") and "Traceback" not in done.stderr
        assert not (fresh.root / "results/runs").exists()
    done = fresh.snakemake("--dry-run", "--config", "suite=tiny.yaml", "--", "reports/table1.md")
    assert done.returncode == 0, done.stderr


def test_a_failing_verb_is_heard_and_leaves_no_output(fresh: Tree) -> None:
    (fresh.root / "fail.txt").write_text("train")
    cell = "results/runs/tiny/bbe/gpt2/seed1"
    done = fresh.snakemake("--config", "suite=tiny.yaml", "--", f"{cell}/record.json")
    assert done.returncode == 1
    assert "\nbench: train of bbe failed as asked\n" in f"\n{done.stderr}"
    assert (fresh.root / cell / "logs" / "train.log").read_text() == "bench: train of bbe failed as asked\n"
    assert not (fresh.root / cell / "model").exists()
    (fresh.root / "fail.txt").unlink()
    fresh.run("--config", "suite=tiny.yaml", "--", f"{cell}/record.json")


def test_every_job_is_given_the_hashes_that_snakemake_notes_for_it(fresh: Tree) -> None:
    """What re-runs is the same with and without a plan, see test_rerun.py."""
    cell = "results/runs/tiny/bbe/gpt2/seed1"
    target = ("--config", "suite=tiny.yaml", "--", f"{cell}/record.json")
    assert fresh.snakemake("--dry-run", *target).returncode == 0
    file = fresh.root / ".snakemake/bench-plan.json"
    assert not file.exists()
    fresh.run(*target)
    calls = (fresh.root / "calls.txt").read_text().splitlines()
    assert {line.split()[0]: line.split()[3] for line in calls} == dict.fromkeys(
        ("prepare", "train", "likelihood", "generate", "score-cell", "record"), str(file)
    )
    dag = dags.load({"suite": str(fresh.root / "tiny.yaml")})
    of = {"dataset": "bbe", "method": "gpt2"}
    for output, stage, part in (
        ("../../data/manifest.json", "prepare", {"dataset": "bbe"}), ("history.csv", "train", of),
        ("likelihood.npz", "likelihood", of), ("samples.jsonl", "generate", of),
        ("scores/ngrams.json", "score", {"family": "ngrams"}), ("record.json", "record", {}),
    ):  # fmt: skip
        expected = {"code": dag.code(stage, **part), "settings": dag.settings(stage, **part)}
        expected = {"code": expected["code"]} if stage == "record" else expected
        assert json.loads(file.read_text())[os.path.normpath(f"{cell}/{output}")] == expected
    assert fresh.pending(*target) == set()


def test_a_model_that_was_deleted_is_trained_again_only_where_it_is_needed(finished: Tree) -> None:
    model = finished.root / "results/runs/tiny/bbe/gpt2/seed1/model"
    shutil.move(model, finished.root / "elsewhere")
    assert finished.pending() == set()
    with finished.edited("bench/generation.py", lambda text: f"{text}\nx = 1\n"):
        assert {job for job in finished.pending() if job.startswith("train")} == {"train bbe gpt2 1"}
    shutil.move(finished.root / "elsewhere", model)
    assert finished.pending() == set()


def test_cells_never_share_a_gpu_and_a_cpu_runs_as_many_as_it_has_cores(fresh: Tree) -> None:
    def together(device: str, *options: str) -> int:
        """The largest number of trainings that ran at once."""
        (fresh.root / "calls.txt").unlink(missing_ok=True)
        fresh.run(
            *options,
            "--forcerun",
            "train",
            "--until",
            "train",
            "--config",
            "suite=tiny.yaml",
            f"device={device}",
            cores=4,
        )
        events = sorted(e for verb, a, b in fresh.calls() if verb == "train" for e in ((a, 1), (b, -1)))
        running = [0]
        for _, change in events:
            running.append(running[-1] + change)
        return max(running)

    (fresh.root / "slow.txt").write_text("0.5")
    assert together("cuda") == 1
    (fresh.root / "slow.txt").unlink()
    for device, options, most in (("cuda", ("--resources", "gpu=2"), 2), ("cpu", (), 3)):
        (fresh.root / "together.txt").write_text(str(most))  # none ends before so many have begun
        (fresh.root / "begun.txt").unlink(missing_ok=True)
        found = together(device, *options)
        assert found == most if device == "cuda" else found >= most


def test_on_a_cluster_every_job_with_a_model_has_memory_for_one_and_every_training_time() -> None:
    profile = yaml.safe_load((ROOT / "workflow/profiles/slurm/config.yaml").read_text())
    own = dict(given.split("=") for given in profile["set-resources"])
    rules = "".join(file.read_text() for file in sorted((ROOT / "workflow/rules").glob("*.smk")))
    named = dict(re.findall(r"^rule (\w+):\n(.*?)(?=^\S|\Z)", rules, re.DOTALL | re.MULTILINE))
    with_model = {rule for rule, text in named.items() if "gpu=dag.gpu" in text}
    assert with_model >= {"train", "likelihood", "augment"}
    assert {own.get(f"{rule}:mem_mb") for rule in with_model} == {own["train:mem_mb"]}
    assert own["augment:runtime"] == own["train:runtime"]

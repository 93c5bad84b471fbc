"""Several processes train as one does: two of them, on the CPU."""

from __future__ import annotations

import os
import subprocess
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

from bench.errors import BenchError
from bench.files import read_json
from bench.ranks import ALONE, Ranks, launch
from tests import ranks_work as work

ROOT = Path(__file__).parents[1]


def test_shares_are_all_of_a_batch() -> None:
    rows = np.array([5, 3, 8])
    shares = [Ranks(rank, 4).share(rows).tolist() for rank in range(4)]
    assert shares == [[5], [3], [8], []] and ALONE.share(rows) is not rows
    assert ALONE.share(rows).tolist() == rows.tolist()


@pytest.mark.usefixtures("one_thread")
def test_two_processes_train_as_one(tmp_path: Path) -> None:
    """With the same noise for every text. Some batches have a single text: nothing is left for the second process."""
    work.train_all(tmp_path / "one")
    launch(2, "cpu", partial(work.train_all, tmp_path / "two"))
    for name in work.NAMES:
        one, two = (torch.load(tmp_path / folder / name) for folder in ("one", "two"))
        torch.testing.assert_close(one, two, rtol=1e-9, atol=1e-12)


def test_a_killed_process_ends_all_and_they_resume_together(tmp_path: Path) -> None:
    """By hand and undisturbed; the second killed before its eighth step, and gone on with from the fifth."""
    undisturbed, killed = tmp_path / "undisturbed", tmp_path / "killed"
    work.prepare_in(undisturbed)
    work.prepare_in(killed)
    cell = ("--suite", "tiny.yaml", "--dataset", "bbe", "--method", "della", "--seed", "1")
    done = subprocess.run(
        [sys.executable, "-m", "bench", "train", *cell, "--processes", "2"], cwd=undisturbed, capture_output=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)}, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    with pytest.raises(BenchError, match=r"^process 1 of 2 died: exit code -9$"):
        launch(2, "cpu", partial(work.train_cell, killed, 7))
    assert (killed / work.PATHS.resume).exists() and not (killed / work.PATHS.model).exists()
    launch(2, "cpu", partial(work.train_cell, killed, None))
    assert work.results(undisturbed) == work.results(killed)
    assert read_json(undisturbed / work.PATHS.cost("train"))["device"] == "2 × cpu"
    seeds = [read_json(killed / f"seed-{rank}.json") for rank in range(2)]
    assert seeds[0] != seeds[1], "dropout and posterior noise"


def test_a_mistake_is_said_once() -> None:
    with pytest.raises(BenchError, match=r"^as every process says$"):
        launch(2, "cpu", work.mistaken)


def test_more_processes_than_gpus_is_one_clear_line() -> None:
    wanted = torch.cuda.device_count() + 1
    with pytest.raises(BenchError, match=f"^--processes {wanted}: one a GPU, and PyTorch sees {wanted - 1}$"):
        launch(wanted, "cuda", work.mistaken)

"""Several processes train as one does: two of them, on the CPU."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

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


@pytest.mark.usefixtures("one_thread")
def test_a_killed_process_ends_all_and_they_resume_together(tmp_path: Path) -> None:
    """The second, before its eighth step; by hand both go on from the fifth, to where one process comes undisturbed."""
    one, two = tmp_path / "one", tmp_path / "two"
    for folder in (one, two):
        work.prepare_in(folder)
    work.train_cell(one, None)
    with pytest.raises(BenchError, match=r"^process 1 of 2 died: exit code -9$"):
        launch(2, "cpu", partial(work.train_cell, two, 7))
    assert read_json(two / work.PATHS.resume / "state.json")["step"] == 5 and not (two / work.PATHS.model).exists()
    done = subprocess.run(
        [sys.executable, "-m", "bench", *work.TRAIN, "--processes", "2"], cwd=two, capture_output=True, text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)}, check=False,
    )  # fmt: skip
    assert done.returncode == 0 and done.stderr.count("train: 16/16") == 1, done.stderr
    weights = [load_file(folder / work.PATHS.model / "weights.safetensors") for folder in (one, two)]
    for of in weights:  # a bias of all keys changes no attention: its gradient is rounding, of which AdamW makes steps
        for name in [name for name in of if name.endswith("c_attn.bias")]:
            queries, _, values = of.pop(name).chunk(3)
            of[f"{name} of queries and values"] = torch.cat([queries, values])
    torch.testing.assert_close(*weights, rtol=1e-4, atol=1e-5)
    assert read_json(two / work.PATHS.cost("train"))["device"] == "2 × cpu"
    seeds = [read_json(folder / f"seed-{rank}.json") for folder, rank in ((one, 0), (two, 0), (two, 1))]
    assert seeds[0] == seeds[1] != seeds[2], "of dropout and posterior noise"


def test_a_mistake_is_said_once() -> None:
    with pytest.raises(BenchError, match=r"^as every process says$"):
        launch(2, "cpu", work.mistaken)


def test_what_no_process_explains_keeps_its_name() -> None:
    with pytest.raises(BenchError, match=r"^/full: No space left on device$"):
        launch(2, "cpu", work.without_room)
    with pytest.raises(RuntimeError, match=r"^ZeroDivisionError: division by zero$"):
        launch(2, "cpu", work.dividing)


INTERRUPTED = """
import signal, sys
from functools import partial
from pathlib import Path
from bench.ranks import launch
from tests import ranks_work
signal.signal(signal.SIGINT, signal.default_int_handler)  # pytest's workers ignore it, and what they start
launch(2, "cpu", partial(ranks_work.sleeping, Path(sys.argv[1])))
"""


def test_an_interrupt_ends_all(tmp_path: Path) -> None:
    """One that reaches the process alone that started the others."""
    first = subprocess.Popen(
        [sys.executable, "-c", INTERRUPTED, str(tmp_path)], cwd=ROOT, stderr=subprocess.PIPE, text=True
    )
    noted = [tmp_path / str(rank) for rank in range(2)]
    until = time.monotonic() + 120
    while first.poll() is None and not all(file.exists() for file in noted) and time.monotonic() < until:
        time.sleep(0.1)
    first.send_signal(signal.SIGINT)
    try:
        assert "KeyboardInterrupt" in first.communicate(timeout=60)[1], "and it has waited for the others to end"
    finally:
        for file in noted:
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(file.read_text()), signal.SIGKILL)


def test_more_processes_than_gpus_is_one_clear_line() -> None:
    wanted = torch.cuda.device_count() + 1
    with pytest.raises(BenchError, match=f"^--processes {wanted}: one a GPU, and PyTorch sees {wanted - 1}$"):
        launch(wanted, "cuda", work.mistaken)

"""Several processes that train one model. Each works through its share of every batch, and gradients are added up.

Their weights are the same at every step. What is decided or written, by validation or the clock, is so by the first.
"""

from __future__ import annotations

import logging
import os
import signal
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from multiprocessing.queues import SimpleQueue
from typing import TypeVar

import numpy as np
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch import Tensor

from bench.errors import BenchError, of_system

T = TypeVar("T")


@dataclass(frozen=True)
class Ranks:
    """This process and how many there are."""

    rank: int = 0
    size: int = 1

    @property
    def first(self) -> bool:
        return self.rank == 0

    def share(self, rows: np.ndarray) -> np.ndarray:
        """This process's of the rows of a batch, which may be none."""
        return rows[self.rank :: self.size]

    def add_up(self, tensors: Sequence[Tensor]) -> None:
        """Make each of them, of one type, its sum over the processes."""
        if self.size == 1 or not tensors:
            return
        flat = torch.cat([tensor.flatten() for tensor in tensors])
        dist.all_reduce(flat)
        for tensor, summed in zip(tensors, flat.split([tensor.numel() for tensor in tensors]), strict=True):
            tensor.copy_(summed.view_as(tensor))

    def of_first(self, compute: Callable[[], T]) -> T:
        """What the first process computes, for all."""
        if self.size == 1:
            return compute()
        told = [compute() if self.first else None]
        dist.broadcast_object_list(told)
        return told[0]  # type: ignore[return-value]


ALONE = Ranks()


def started() -> int:
    """Of how many processes this is one, by the environment that ``launch`` or torchrun gave it."""
    return int(os.environ.get("WORLD_SIZE", 1))


@contextmanager
def joined(device: str) -> Iterator[Ranks]:
    """Among the processes of ``launch`` or of torchrun, known by the environment; alone without them."""
    if started() == 1:
        yield ALONE
        return
    # the others wait while the first one validates, compiles or writes
    dist.init_process_group("nccl" if device == "cuda" else "gloo", timeout=timedelta(hours=6))
    yield Ranks(dist.get_rank(), dist.get_world_size())
    dist.destroy_process_group()


def launch(size: int, device: str, work: Callable[[], None]) -> None:
    """Run ``work`` in so many processes on this machine, one a GPU; when one of them ends badly, so do all."""
    if started() > 1:
        raise BenchError(f"--processes {size}: torchrun has started processes already")
    if device == "cuda" and torch.cuda.device_count() < size:
        raise BenchError(f"--processes {size}: one a GPU, and PyTorch sees {torch.cuda.device_count()}")
    said = mp.get_context("spawn").SimpleQueue()
    logging.getLogger("torch.multiprocessing.spawn").setLevel(logging.ERROR)
    workers = mp.start_processes(_work, (size, _free_port(), work, said), size, join=False)
    try:
        while not workers.join():
            pass
    except (mp.ProcessExitedException, mp.ProcessRaisedException) as ended:
        if not said.empty():
            raise BenchError(said.get()) from None
        for rank, process in enumerate(workers.processes):  # the others lost it, or were ended by join
            if process.exitcode not in (0, 1, -signal.SIGTERM):
                raise BenchError(f"process {rank} of {size} died: exit code {process.exitcode}") from None
        if isinstance(ended, mp.ProcessRaisedException):  # its message is a traceback, whose last line says what it was
            raise RuntimeError(str(ended).rstrip().rpartition("\n")[2]) from ended
        raise
    finally:  # of an interrupt that reached this process alone
        for process in workers.processes:
            process.terminate()


def _work(rank: int, size: int, port: int, work: Callable[[], None], said: SimpleQueue[str]) -> None:
    where = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": size, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    os.environ.update({name: str(value) for name, value in where.items()})
    try:
        work()
    except BenchError as error:
        said.put(str(error))
        raise SystemExit(2) from None
    except OSError as error:
        said.put(of_system(error, "train"))
        raise SystemExit(2) from None


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
    return port

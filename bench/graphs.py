"""Training steps on a GPU as CUDA graphs.

A small model's step is hundreds of kernels of some microseconds each, and to launch them takes the CPU longer than the
GPU needs for them. Recorded once for every shape of batch, all are launched as one.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from copy import deepcopy

import torch

from bench.batch import Batch, host

Shape = tuple[torch.Size, ...]


class Recorder:
    """What a function launches on the GPU, as something that launches it again.

    All graphs share one memory for what is temporary in them, since one runs at a time.
    """

    def __init__(self) -> None:
        self.stream = torch.cuda.Stream()
        self.pool = torch.cuda.graph_pool_handle()

    @contextlib.contextmanager
    def beside(self) -> Iterator[None]:
        """On the stream that is recorded, between what the caller's has been told before and what it is told after."""
        caller = torch.cuda.current_stream()
        self.stream.wait_stream(caller)
        with torch.cuda.stream(self.stream):
            yield
        caller.wait_stream(self.stream)

    def record(self, run: Callable[[], None]) -> Callable[[], None]:
        """Nothing is computed yet."""
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, self.pool, self.stream):
            run()
        return graph.replay


def recorder(device: torch.device) -> Recorder | None:
    """None where nothing is launched."""
    return Recorder() if device.type == "cuda" else None


class Graphs:
    """A function of batches, run by what was recorded of it at another batch of the same shape.

    From one call to the next it may depend on nothing but the batch and on tensors that stay where they are, and give
    back nothing; random numbers are drawn anew. The first batch of a shape is not recorded: libraries make their
    choices with it. The second one is.
    """

    def __init__(self, run: Callable[[Batch], None], recorder: Recorder) -> None:
        self.run, self.recorder = run, recorder
        self.met: set[Shape] = set()
        self.recorded: dict[Shape, tuple[Batch, Callable[[], None]]] = {}

    def __call__(self, batch: Batch, device: torch.device) -> None:
        """With a batch, on the host or there already."""
        shape = tuple(part.shape for part in batch.tensors)
        if shape not in self.met:
            self.met.add(shape)
            with self.recorder.beside():
                self.run(batch.to(device))
            return
        if shape not in self.recorded:
            held = deepcopy(batch.to(device))  # nobody else's, though it may have been there already
            self.recorded[shape] = held, self.recorder.record(lambda: self.run(held))
        held, again = self.recorded[shape]
        for into, part in zip(held.tensors, batch.tensors, strict=True):
            into.copy_(host(part, into.device), non_blocking=True)
        again()

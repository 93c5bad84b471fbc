"""One optimiser step of a training: a process's share of a batch, its gradients, clipping, and the update."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils.parametrize import ParametrizationList

from bench import aggressive, graphs, objectives
from bench.batch import Batch, Sequences, cut
from bench.errors import BenchError
from bench.graphs import Graphs
from bench.methods.base import Method, Stage
from bench.passes import Passes
from bench.ranks import Ranks
from bench.schema import Training
from bench.sgd import SparseSGD, sparse_embeddings


@dataclass(frozen=True)
class Work:
    """A batch as one process works through it.

    Attributes
    ----------
    parts: the texts of its share, all at once or some at a time.
    counted: False where its share is empty; the texts of ``parts`` are then another's, and weigh nothing.
    texts, tokens: of the whole batch: how many, and how many tokens they predict.
    """

    parts: Sequence[Batch]
    counted: bool
    texts: int
    tokens: int


class Stepper:
    """The steps of one stage, on batches of ``sequences``.

    Attributes
    ----------
    optimiser: of the parameters that the stage trains.
    tokens: predicted so far, also while the encoder is ahead.
    sums: of rec, of KL and of texts since they were last set to 0, on the device: [3].
    """

    def __init__(self, method: Method, stage: Stage, sequences: Sequences, plan: Training, ranks: Ranks) -> None:
        self.method, self.stage, self.sequences, self.plan, self.ranks = method, stage, sequences, plan, ranks
        self.device, self.sizes = next(method.parameters()).device, sequences.sizes
        self.tokens, self.sums = 0, torch.zeros(3, dtype=torch.float64, device=self.device)
        self.beta: float | Tensor = 0.0
        self.graphs: Graphs | None = None
        if plan.graphs and (recorder := graphs.recorder(self.device)) is not None:
            if ranks.size > 1:
                raise BenchError("training.graphs: steps are recorded where one process trains, not several")
            self.graphs = Graphs(self._recorded, recorder)
            self.beta = torch.zeros((), device=self.device)

    @property
    def sparse(self) -> bool:
        """Whether gradients of embeddings are: by SGD on the CPU, where it costs nothing to ask how long they are."""
        return self.plan.optimiser == "sgd" and self.ranks.size == 1 and self.device.type == "cpu"

    def begin(self) -> None:
        """Choose what is trained, and make its optimiser."""
        method, plan = self.method, self.plan
        method.requires_grad_(not self.stage.trained)
        for name in self.stage.trained:
            method.get_submodule(name).requires_grad_(True)
        parameters = [p for p in method.parameters() if p.requires_grad]
        self.optimiser: torch.optim.Optimizer
        rate = torch.tensor(plan.learning_rate, device=self.device) if self.graphs else plan.learning_rate
        sparse_embeddings(method, self.sparse)
        if self.sparse:
            self.optimiser = SparseSGD(parameters, plan.learning_rate)
        elif plan.optimiser == "sgd":
            self.optimiser = torch.optim.SGD(parameters, lr=rate, fused=True)
        else:
            self.optimiser = torch.optim.AdamW(
                parameters, lr=rate, weight_decay=plan.weight_decay, fused=True, capturable=bool(self.graphs)
            )
        self.passes = Passes(method, plan)

    def work(self, rows: np.ndarray[Any, Any]) -> Work:
        """What this process has to do of a batch of these texts."""
        share, at_once = self.ranks.share(rows), self.plan.tokens_at_once
        taken = share if len(share) else rows[:1]  # so that the same parameters have gradients in every process
        parts = [taken] if at_once is None else cut(taken, self.sizes, at_once)
        tokens = int(self.sizes[rows, 0].sum()) - len(rows)
        return Work([self.sequences.batch(part) for part in parts], len(share) > 0, len(rows), tokens)

    def take(
        self, work: Work, beta: float, rate: float, ahead: Sequence[str] = (), others: Iterable[Work] = ()
    ) -> None:
        """A step at this beta and this rate; parts that are ``ahead`` take theirs before, also on ``others``."""
        self.beta = _written(self.beta, beta)
        for group in self.optimiser.param_groups:
            group["lr"] = _written(group["lr"], rate)
        if ahead:
            aggressive.train_ahead(self.method, ahead, chain([work], others), self.backward, self.apply)
        if self.graphs is None or ahead:
            self._update(work, ahead)
        else:
            self.graphs(work.parts[0], self.device)
            self.tokens += work.tokens
        self.sums[2] += work.texts

    def _update(self, work: Work, kept: Sequence[str] = ()) -> None:
        self.sums[:2] += self.backward(work)[1:]
        self.apply(kept)

    def _recorded(self, batch: Batch) -> None:
        """The same of a batch that is a whole one; what it predicts is counted as often as it runs."""
        self._update(Work([batch], True, len(batch), 0))

    def backward(self, work: Work) -> Tensor:
        """The gradients of a batch's loss, left in the parameters; that loss, and the sums of rec and KL: [3]."""
        method, beta, options = self.method, self.beta, self.method.options
        method.train()
        self.tokens += work.tokens
        found = torch.zeros(3, dtype=torch.float64, device=self.device)
        for batch in work.parts:
            with self.passes:
                terms = self.stage.terms(batch.to(self.device), beta)
            weight = work.counted * len(batch) / work.texts
            loss = weight * objectives.loss(terms, beta, options.kl_reduction, options.free_bits)
            loss.backward()
            found[0] += loss.detach()
            found[1:] += work.counted * torch.stack([terms.rec.detach().sum(), terms.kl.detach().sum()])
            if len(work.parts) > 1:
                _hold_norms(method)
        gradients = [p.grad for p in method.parameters() if p.grad is not None]
        self.ranks.add_up(gradients)
        self.ranks.add_up([found])
        return found

    def apply(self, kept: Sequence[str] = ()) -> None:
        """Clip all gradients and take a step, but with the parts named in ``kept``."""
        if isinstance(self.optimiser, SparseSGD):
            self.optimiser.clip(self.plan.clip)
        else:
            torch.nn.utils.clip_grad_norm_(self.method.parameters(), self.plan.clip)
        for name in kept:
            self.method.get_submodule(name).zero_grad()
        self.optimiser.step()
        self.optimiser.zero_grad()


def _written(held: float | Tensor, number: float) -> float | Tensor:
    """The number, or where steps are recorded the tensor that they read, holding it."""
    return held.fill_(number) if isinstance(held, Tensor) else number


def _hold_norms(method: Method) -> None:
    """Until the next step: a spectral norm takes one power iteration a step, in however many parts."""
    for part in method.modules():
        if isinstance(part, ParametrizationList):
            part.eval()

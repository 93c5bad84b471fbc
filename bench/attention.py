"""``attention.json``: how much each head of the decoder attends to the memory position (DELLA Sec. 3.3, Fig. 6 and 7).

Weights are softmax(q k^T / sqrt(d/heads)) as the decoder computes them while it reads a test text at a sample of its
posterior. Where a prompt precedes the text, only queries of the text count, and the prompt's keys are one column "c".
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from bench import device as devices
from bench import model as models
from bench.batch import Batch
from bench.data.sequences import read_sequences
from bench.errors import BenchError
from bench.files import atomic
from bench.methods.base import Method
from bench.paths import CellPaths
from bench.progress import progress
from bench.schema import Suite
from bench.suite import Cell, backbone_of
from bench.vocabulary import load_tokenizer

TEXTS = 64  # the first of the test set
POSITIONS = 20  # of a text that are listed one by one, and that a map shows; a causal map does not see what is cut
DIGITS = 4


def measure(suite: Suite, cell: Cell, device: str = "cpu") -> None:
    """Write ``attention.json`` of one cell."""
    paths = CellPaths(suite.name, cell.dataset, cell.method, cell.seed)
    target = devices.select(device, suite.training.threads)
    method = models.load(paths.model).to(target)
    if not method.backbone.heads:
        raise BenchError(f"attention: method '{cell.method}' has no memory position to attend to")
    sequences = read_sequences(paths.data, "test", backbone_of(suite, cell.dataset, cell.method)).first(TEXTS)
    tokenizer = load_tokenizer(paths.model / "tokenizer.json")
    torch.manual_seed(cell.seed)
    rows = range(len(sequences))
    read: list[Attention] = []
    for i in progress(rows, len(rows), "attention"):
        read.append(attend(method, sequences.batch([i]).to(target)))
        if not read[0].weights:
            raise BenchError(f"attention: method '{cell.method}' has no memory position to attend to")
    fits = (i for i in rows if len(sequences.texts[i]) - 1 <= POSITIONS)
    example = next(fits, 0)  # the first text that a map shows whole
    shown = sequences.texts[example][:-1][:POSITIONS]  # what is read: BOS x
    tokens = [tokenizer.decode([token], skip_special_tokens=False) for token in shown]
    found = {"seed": cell.seed, "texts": len(rows), "example": example, "tokens": tokens, **summary(read, example)}
    try:
        text = json.dumps(found, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    except ValueError:
        raise BenchError(f"attention: weights of '{cell.method}' on {cell.dataset} are not finite") from None
    with atomic(paths.attention) as stream:
        stream.write(text + "\n")


@dataclass(frozen=True)
class Attention:
    """How the decoder attends while it reads one text of T positions.

    Attributes
    ----------
    weights: layer -> [heads, T, 1 or 2 + T], of the layers with memory. Columns: memory, prompt if there is one, text.
    uniform: [T], the weight on the memory were everything that a position sees attended to alike.
    """

    weights: Mapping[int, np.ndarray]
    uniform: np.ndarray


@torch.inference_mode()
def attend(method: Method, batch: Batch) -> Attention:
    """Read the one text of a batch at a sample of its posterior."""
    condition = method.condition(batch)
    text, injection = method.read(batch, method.posterior(batch, condition).sample(1)[0])
    positions = text.inputs.shape[1]
    weights, uniform = {}, np.zeros(positions)

    def watch(layer: int, q: Tensor, k: Tensor, allowed: Tensor | None) -> None:
        nonlocal uniform
        memory = None if injection.memory is None else injection.memory[layer]
        if memory is not None:
            slots = memory.shape[1]
            weights[layer] = _columns(attention_weights(q, k, allowed)[0, :, -positions:], slots)
            uniform = _columns(attention_weights(torch.zeros_like(q), k, allowed)[0, :, -positions:], slots)[0, :, 0]

    method.backbone.decode(text.inputs, injection, None if condition is None else condition.context, watch=watch)
    return Attention(weights, uniform)


def _columns(weights: Tensor, slots: int) -> np.ndarray:
    """[heads, T, slots + prompt + T] -> [heads, T, 1 or 2 + T]."""
    positions = weights.shape[1]
    parts = weights.double().split([slots, weights.shape[2] - slots - positions, positions], 2)
    before = [part.sum(2, keepdim=True) for part in parts[:2] if part.shape[2]]
    columns: np.ndarray = torch.cat([*before, parts[2]], 2).cpu().numpy()
    return columns


def attention_weights(q: Tensor, k: Tensor, allowed: Tensor | None) -> Tensor:
    """softmax(q k^T / sqrt(d/heads)): q [N, heads, Q, d/heads], k [N, heads, K, ...] -> [N, heads, Q, K].

    ``allowed`` as in a backbone: True where attention is, broadcast over heads; None is plainly causal.
    """
    if allowed is None:
        allowed = torch.ones(q.shape[2], k.shape[2], dtype=torch.bool, device=q.device).tril()
    scores = q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1])
    return scores.masked_fill(~allowed, float("-inf")).softmax(-1)


def summary(read: Sequence[Attention], example: int) -> dict[str, Any]:
    """What the figures show of the texts' attention, rounded; lists are by head, then by position.

    ``mean`` is over all positions of all texts, ``by_position`` over the texts that have that position. ``maps`` are of
    the example text: the average over heads, and the heads of the largest and the smallest ``mean``.
    """
    layers = []
    for layer, of_example in read[example].weights.items():
        memory = [of_text.weights[layer][:, :, 0] for of_text in read]  # texts × [heads, T]
        mean = np.concatenate(memory, 1).mean(1)
        heads = {"max": int(mean.argmax()), "min": int(mean.argmin())}
        shown = of_example[:, :POSITIONS, : of_example.shape[2] - of_example.shape[1] + POSITIONS]
        maps = {"average": shown.mean(0), **{name: shown[head] for name, head in heads.items()}}
        layers.append({
            "layer": layer,
            "mean": _rounded(mean),
            "by_position": _rounded(_by_position(memory)),
            "heads": heads,
            "maps": {name: _rounded(of_map) for name, of_map in maps.items()},
        })  # fmt: skip
    uniform = [of_text.uniform[None] for of_text in read]
    return {
        "layers": layers,
        "uniform": _rounded(np.concatenate(uniform, 1).mean(1))[0],
        "uniform_by_position": _rounded(_by_position(uniform))[0],
    }


def _by_position(memory: Sequence[np.ndarray]) -> np.ndarray:
    """texts × [heads, T] -> [heads, POSITIONS or fewer], each the mean over the texts that long."""
    longest = min(POSITIONS, max(of_text.shape[1] for of_text in memory))
    columns = [[of_text[:, t] for of_text in memory if of_text.shape[1] > t] for t in range(longest)]
    return np.stack([np.mean(column, 0) for column in columns], 1)


def _rounded(values: np.ndarray) -> Any:
    return values.round(DIGITS).tolist()

"""From a latent variable to tokens: greedy, sampling (whole, top-k, top-p) and beam search, with a key-value cache.

The filters are transformers' own logits processors; the loops are here because z enters inside the blocks.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor
from transformers.generation.logits_process import (
    LogitsProcessorList,
    RepetitionPenaltyLogitsProcessor,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

from bench.backbones.base import Cache, Context
from bench.vocabulary import BOS, EOS, PAD, UNK

if TYPE_CHECKING:
    from bench.methods.base import Method
    from bench.schema import Decoding


@torch.inference_mode()
def decode(
    method: Method, z: Tensor, decoding: Decoding, max_tokens: int, context: Context | None = None,
    generator: torch.Generator | None = None,
) -> list[list[int]]:  # fmt: skip
    """z [N, G, D], N conditions or none -> N token lists without BOS, ended by EOS unless cut at ``max_tokens``.

    ``max_tokens`` counts BOS and EOS.
    """
    processors = _processors(decoding)
    if decoding.strategy == "beam":
        each = torch.arange(len(z), device=z.device).split(1)
        contexts = [None if context is None else context.select(row) for row in each]
        return [
            _beam(method, z[row], of_row, decoding.k, processors, max_tokens)
            for row, of_row in zip(each, contexts, strict=True)
        ]
    rows = torch.arange(len(z), device=z.device)  # sequences not yet finished
    ids = torch.full((len(z), 1), BOS, device=z.device)
    done: dict[int, list[int]] = {}
    cache, injection = Cache(), method.inject(z)
    while True:
        hidden = method.backbone.decode(ids[:, cache.positions :], injection, context, cache)
        logits = method.logits(hidden[:, -1])
        scores = processors(ids, _without_specials(logits))
        if decoding.strategy == "greedy":
            chosen = scores.argmax(-1, keepdim=True)
        else:
            chosen = torch.multinomial(scores.softmax(-1), 1, generator=generator)
        ids = torch.cat([ids, chosen], 1)
        ended = chosen[:, 0] == EOS
        if ids.shape[1] == max_tokens:
            ended = torch.ones_like(ended)
        if ended.any():
            for row, tokens in zip(rows[ended].tolist(), ids[ended, 1:].tolist(), strict=True):
                done[row] = tokens
            if ended.all():
                return [done[row] for row in sorted(done)]
            going = ~ended
            rows, ids, z = rows[going], ids[going], z[going]
            cache.select(going)
            injection = method.inject(z)
            context = None if context is None else context.select(going)


def _beam(
    method: Method, z: Tensor, context: Context | None, beams: int, processors: LogitsProcessorList, max_tokens: int
) -> list[int]:
    """The hypothesis of highest mean log-probability a token, for one z [1, G, D] and one condition or none."""
    ids = torch.full((1, 1), BOS, device=z.device)
    total = torch.zeros(1, device=z.device)  # log-probability of each open beam
    cache = Cache()
    finished: list[tuple[float, list[int]]] = []
    while ids.shape[1] < max_tokens and len(finished) < beams:
        injection = method.inject(z.expand(len(ids), *z.shape[1:]))
        repeated = None if context is None else context.repeat(len(ids))
        hidden = method.backbone.decode(ids[:, cache.positions :], injection, repeated, cache)
        logits = method.logits(hidden[:, -1])
        log_p = processors(ids, _without_specials(logits)).log_softmax(-1) + total[:, None]
        best = log_p.flatten().topk(min(2 * beams, log_p.numel()))  # at most half of them can end
        beam, token = best.indices // log_p.shape[1], best.indices % log_p.shape[1]
        ends = token == EOS
        ended = ends[:beams]  # the spare candidates are there to keep ``beams`` open, not to end (as in transformers)
        for score, b in zip(best.values[:beams][ended].tolist(), beam[:beams][ended].tolist(), strict=True):
            tokens = [*ids[b, 1:].tolist(), EOS]
            finished.append((score / len(tokens), tokens))
        beam, token, total = beam[~ends][:beams], token[~ends][:beams], best.values[~ends][:beams]
        cache.select(beam)
        ids = torch.cat([ids[beam], token[:, None]], 1)
    if ids.shape[1] == max_tokens:  # the open beams are whole but for their end; stopped before, they are fragments
        finished += [(float(s) / (ids.shape[1] - 1), row) for s, row in zip(total, ids[:, 1:].tolist(), strict=True)]
    return max(finished)[1]


def _processors(decoding: Decoding) -> LogitsProcessorList:
    """Penalty, temperature, then the cut, in the order transformers applies them."""
    processors = LogitsProcessorList()
    if decoding.repetition_penalty != 1:
        processors.append(RepetitionPenaltyLogitsProcessor(decoding.repetition_penalty))
    if decoding.temperature != 1:
        processors.append(TemperatureLogitsWarper(decoding.temperature))
    if decoding.strategy == "top_k":
        processors.append(TopKLogitsWarper(decoding.k))
    if decoding.strategy == "top_p":
        processors.append(TopPLogitsWarper(decoding.p))
    return processors


def _without_specials(logits: Tensor) -> Tensor:
    """No text holds BOS, PAD or UNK."""
    logits = logits.clone()
    logits[..., [BOS, PAD, UNK]] = float("-inf")
    return logits

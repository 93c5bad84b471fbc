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

from bench.backbones.base import Context, Injection
from bench.vocabulary import BOS, EOS, PAD, UNK

if TYPE_CHECKING:
    from bench.methods.base import Method
    from bench.schema import Decoding


BEAMS_AT_ONCE = {"cpu": 256, "cuda": 1024}  # sequences a beam search holds


class Steering:
    """The latent variables of N texts while they are decoded; here the same at every position."""

    def __init__(self, method: Method, z: Tensor) -> None:
        self.method, self.z = method, z
        self._injection = method.inject(z)

    def injection(self) -> Injection:
        """What enters at the positions about to be read, of every text."""
        return self._injection

    def select(self, rows: Tensor) -> None:
        """Go on with these texts."""
        self.z = self.z[rows]
        self._injection = self.method.inject(self.z)

    def read(self, ids: Tensor) -> None:
        """The texts so far [N, t], BOS first, each one token longer than at the last call."""


@torch.inference_mode()
def decode(
    method: Method, z: Tensor, decoding: Decoding, max_tokens: int, context: Context | None = None,
    generator: torch.Generator | None = None,
) -> list[list[int]]:  # fmt: skip
    """z [N, G, D], N conditions or none -> N token lists without BOS, ended by EOS unless cut at ``max_tokens``.

    ``max_tokens`` counts BOS and EOS. Separators of segments are written on the way and are in no list.
    """
    if decoding.strategy == "beam":
        each = torch.arange(len(z), device=z.device).split(max(1, BEAMS_AT_ONCE[z.device.type] // decoding.k))
        contexts = [None if context is None else context.select(rows) for rows in each]
        return [
            tokens
            for rows, of_rows in zip(each, contexts, strict=True)
            for tokens in _beam(method, z[rows], of_rows, decoding, max_tokens, generator)
        ]
    processors = _processors(decoding)
    rows = torch.arange(len(z), device=z.device)  # sequences not yet finished
    ids = torch.full((len(z), 1), BOS, device=z.device)
    done: dict[int, list[int]] = {}
    cache, steering = method.backbone.cache(), method.steering(z, context, generator)
    while True:
        hidden = method.backbone.decode(ids[:, cache.positions :], steering.injection(), context, cache)
        scores = processors(ids, _allowed(method, method.logits(hidden[:, -1]), ids, decoding.words))
        if decoding.strategy == "greedy":
            chosen = scores.argmax(-1, keepdim=True)
        else:
            chosen = torch.multinomial(scores.softmax(-1), 1, generator=generator)
        ids = torch.cat([ids, chosen], 1)
        ended = (chosen[:, 0] == EOS) | (_length(method, ids) == max_tokens)
        over = ended.nonzero()[:, 0]  # as indices, once: a mask makes a GPU wait at each tensor that it selects from
        if len(over):
            for row, tokens in zip(rows[over].tolist(), ids[over, 1:].tolist(), strict=True):
                done[row] = _text(method, tokens)
            if len(over) == len(rows):
                return [done[row] for row in sorted(done)]
            going = (~ended).nonzero()[:, 0]
            rows, ids = rows[going], ids[going]
            cache.select(going)
            steering.select(going)
            context = None if context is None else context.select(going)
        steering.read(ids)


def _beam(
    method: Method, z: Tensor, context: Context | None, decoding: Decoding, max_tokens: int,
    generator: torch.Generator | None,
) -> list[list[int]]:  # fmt: skip
    """Of each z [N, G, D] the hypothesis of highest mean log-probability a token; every text has beams of its own.

    A text is done when as many hypotheses have ended as it has beams, or none is open. Where a hypothesis draws
    latent variables on its way, it draws its own.
    """
    beams, processors = decoding.k, _processors(decoding)
    texts = list(range(len(z)))  # not yet done; ids [texts * open beams, t] in their order
    ids = torch.full((len(z), 1), BOS, device=z.device)
    total = torch.zeros(len(z), 1, device=z.device)  # log-probability of each open beam; -inf: there is none
    cache, steering = method.backbone.cache(), method.steering(z, context, generator)
    finished: list[list[tuple[float, list[int]]]] = [[] for _ in texts]
    while texts:
        hidden = method.backbone.decode(ids[:, cache.positions :], steering.injection(), context, cache)
        log_p = processors(ids, method.logits(hidden[:, -1]).log_softmax(-1))
        log_p = _allowed(method, log_p, ids, decoding.words).log_softmax(-1)
        vocabulary = log_p.shape[1]
        of_text = (log_p.view(len(texts), -1, vocabulary) + total[:, :, None]).flatten(1)
        best = of_text.topk(min(2 * beams, of_text.shape[1]))  # at most half of them can end
        row = best.indices // vocabulary + torch.arange(len(texts), device=z.device)[:, None] * total.shape[1]
        longer = torch.cat([ids[row], (best.indices % vocabulary)[..., None]], -1)  # [texts, 2 * beams, t + 1]
        ends = longer[..., -1] == EOS
        # a candidate that ends counts among the first ``beams``; the rest are there to keep as many open
        score = best.values.masked_fill(ends, float("-inf"))
        total, kept = score.topk(min(beams, score.shape[1]))
        cut = _length(method, longer.flatten(0, 1)).view(ends.shape) == max_tokens
        complete = ends & (torch.arange(ends.shape[1], device=z.device) < beams)
        complete |= torch.zeros_like(ends).scatter(1, kept, True) & cut & score.isfinite()
        found = complete.nonzero()[:, 0].tolist(), best.values[complete].tolist(), longer[complete, 1:].tolist()
        for i, value, tokens in zip(*found, strict=True):
            finished[texts[i]].append((value / len(tokens), tokens))
        total = total.masked_fill(cut.gather(1, kept), float("-inf"))
        some = total.isfinite().any(1).tolist()
        goes = [some[i] and len(finished[text]) < beams for i, text in enumerate(texts)]
        going = torch.tensor(goes, device=z.device)
        texts = [text for text, on in zip(texts, goes, strict=True) if on]
        total = total[going]
        ids = longer.gather(1, kept[..., None].expand(-1, -1, longer.shape[-1]))[going].flatten(0, 1)
        rows = row.gather(1, kept)[going].flatten()
        if texts:
            cache.select(rows)
            steering.select(rows)
            context = None if context is None else context.select(rows)
            steering.read(ids)
    return [_text(method, max(of)[1]) for of in finished]


def _processors(decoding: Decoding) -> LogitsProcessorList:
    """Penalty, temperature, then the cut, in the order transformers applies them.

    Like there, sampling hands them logits and beam search log-probabilities.
    """
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


def _allowed(method: Method, logits: Tensor, ids: Tensor, words: int | None) -> Tensor:
    """Logits [N, V] after the texts so far: no text holds BOS, PAD or (but for words) UNK, no segment is empty.

    With ``words`` a text ends after so many, and not before.
    """
    logits = logits.clone()
    logits[..., [BOS, PAD] if method.backbone.has_unknown else [BOS, PAD, UNK]] = float("-inf")
    if method.separator is not None:
        after = ids[:, -1] == method.separator
        logits[after | (ids[:, -1] == BOS), method.separator] = float("-inf")
        logits[after, EOS] = float("-inf")  # the empty text, EOS after BOS, has no segment
    if words is not None:
        whole = _length(method, ids) > words
        logits[~whole, EOS] = float("-inf")
        logits[whole, :EOS] = logits[whole, EOS + 1 :] = float("-inf")
    return logits


def _length(method: Method, ids: Tensor) -> Tensor:
    """[N], tokens of BOS x EOS so far, separators not counted."""
    if method.separator is None:
        return torch.full((len(ids),), ids.shape[1], device=ids.device)
    return (ids != method.separator).sum(1)


def _text(method: Method, tokens: list[int]) -> list[int]:
    return tokens if method.separator is None else [token for token in tokens if token != method.separator]

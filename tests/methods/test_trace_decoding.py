"""Texts that draw a latent variable with each segment: with a cache as without, given ones first, beams and lengths."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from bench.methods.trace import SegmentSteering, Trace
from bench.vocabulary import BOS, EOS

from .conftest import Task
from .trace_cases import BEAM, GREEDY, TASKS, draw, make, noiseless


@pytest.fixture(params=TASKS.values(), ids=TASKS)
def task(request: pytest.FixtureRequest) -> Task:
    found: Task = request.param
    return found


def without_cache(method: Trace, z: Tensor, task: Task, row: int, max_tokens: int) -> list[int]:
    """Greedy, the whole text through the model for each token, z drawn (here: its mean) at each [SEP]."""
    ids, latents = [BOS], [z]
    one = task.batch(row)
    context = None if one.condition is None else method.backbone.context(one.condition)
    while ids[-1] != EOS and len([token for token in ids if token != method.separator]) < max_tokens:
        at = torch.stack([latents[segment] for segment in _segment_of_next(ids, method.separator)], 1)
        hidden = method.backbone.decode(torch.tensor([ids]), method.inject(at), context)
        logits = method.logits(hidden[:, -1])[0]
        logits[[0, 2, 3]] = -math.inf
        if ids[-1] in (BOS, method.separator):
            logits[method.separator] = -math.inf
        if ids[-1] == method.separator:
            logits[EOS] = -math.inf
        ids.append(int(logits.argmax()))
        if ids[-1] == method.separator:
            latents.append(method.next_prior(torch.tensor([ids]), latents[-1], context).mean)
    return [token for token in ids[1:] if token != method.separator]


def _segment_of_next(ids: list[int], separator: int | None) -> list[int]:
    segment, found = 0, []
    for token in ids:
        segment += token == separator
        found.append(segment)
    return found


@pytest.mark.parametrize("name", ["trace-r", "ind", "cgd"])
def test_generation_with_a_cache_is_generation_without(name: str, task: Task, monkeypatch: pytest.MonkeyPatch) -> None:
    """Greedy, token for token, texts that end segments at different times in one batch; beams as if alone."""
    method, batch = make(name, task), task.batch()
    noiseless(monkeypatch)
    likely = torch.zeros(method.backbone.vocabulary)
    likely[method.separator] = 20.0  # segments end
    logits = method.logits
    monkeypatch.setattr(method, "logits", lambda hidden: 10 * logits(hidden) + likely)
    written: list[int] = []
    monkeypatch.setattr(SegmentSteering, "read", _counting(SegmentSteering.read, written))
    condition = method.condition(batch) if task.conditional else None
    z = method.sample_prior(len(batch), condition) + torch.arange(len(batch))[:, None, None]
    together = method.decode(z, GREEDY, 20, condition)
    assert sum(written) > 2, "segments have ended"
    beams = method.decode(z, BEAM, 20, condition)
    for row in range(len(batch)):
        assert together[row] == without_cache(method, z[row], task, row, 20)
        alone = method.condition(task.batch(row)) if task.conditional else None
        assert beams[row] == method.decode(z[row : row + 1], BEAM, 20, alone)[0]


def _counting(read: Callable[[SegmentSteering, Tensor], None], written: list[int]):  # type: ignore[no-untyped-def]
    def counted(self: SegmentSteering, ids: Tensor) -> None:
        written.append(int((ids[:, -1] == self.method.separator).sum()))
        read(self, ids)

    return counted


def test_given_latents_come_first() -> None:
    """Of a posterior's z a text takes the next with each segment; what it writes beyond them is drawn."""
    method = make("trace-r")
    z = draw(method, TASKS["gpt2"].batch(0))[0]
    steering = method.steering(z)
    ids = [BOS]
    for segment in range(1, 5):
        ids += [10, 260]
        steering.read(torch.tensor([ids[:-1]]))
        steering.read(torch.tensor([ids]))
        assert isinstance(steering, SegmentSteering)
        expected = z[:, segment] if segment < z.shape[1] else None
        assert (expected is None) == (segment >= 3)
        if expected is not None:
            assert torch.equal(steering.z, expected)
        else:
            assert not torch.equal(steering.z, z[:, -1]) and steering.z.isfinite().all()


def test_each_text_takes_its_own_given_latents() -> None:
    """Two texts that end their segments at different times: z is that of the segment each one writes."""
    method = make("trace-r")
    given = draw(method, TASKS["gpt2"].batch(0, 0))[0]
    assert given.shape[:2] == (2, 3) and not torch.equal(given[0], given[1])
    sep = method.separator
    ids = torch.tensor([[BOS, 10, sep, 11, 12, 13, sep, 14], [BOS, 10, 11, 12, sep, 13, sep, 14]])
    steering = method.steering(given)
    for length in range(2, ids.shape[1] + 1):
        steering.read(ids[:, :length])
        segment = (ids[:, :length] == sep).sum(1)
        assert torch.equal(steering.z, given[torch.arange(2), segment])


@pytest.mark.parametrize("ends", [-100.0, 20.0])
def test_no_beam_is_longer_than_a_text_may_be(ends: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """Separators are not counted: beams of as many ids are cut at different times, and then stay as they are.

    Seven tokens without a separator come first and are cut. EOS, if it follows, is for the others alone.
    """
    method, steps = make("trace-r"), iter(range(100))

    def logits(hidden: Tensor) -> Tensor:
        made = torch.full((len(hidden), method.backbone.vocabulary), -100.0)
        made[:, 10], made[:, method.separator] = 10.0, 9.5
        if next(steps) >= 7:
            made[:, EOS] = ends
        return made

    monkeypatch.setattr(method, "logits", logits)
    z = draw(method, TASKS["gpt2"].batch())[0][:, :1]
    for tokens in method.decode(z, BEAM, 8):
        assert len(tokens) <= 7 and set(tokens) <= {10, EOS}, "BOS is the eighth"
        assert ends > 0 or tokens == [10] * 7

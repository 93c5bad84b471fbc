"""The three places where text or z could leak in TRACE: each leak is put in, and found; and draws from its prior."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from bench.backbones.base import Cache
from bench.batch import Batch
from bench.decoding import Steering, decode
from bench.methods.base import Condition
from bench.methods.gaussian import Gaussian
from bench.methods.trace import SegmentSteering, Trace
from bench.segments import Segments
from bench.vocabulary import BOS, EOS

from .conftest import Task
from .trace_cases import ALL, GREEDY, TASKS, draw, make, noiseless


@pytest.fixture(params=TASKS.values(), ids=TASKS)
def task(request: pytest.FixtureRequest) -> Task:
    found: Task = request.param
    return found


def prior_sees_only_the_past(method: Trace, batch: Batch) -> None:
    """p(z_t | z_<t, x_<t) is the same whatever segments t, t + 1, ... hold, and another where x_{t-1} is another."""
    z = draw(method, batch)[0]
    before = method.prior(z, method.condition(batch))
    segments = method.segmented(batch)
    for t in range(1, z.shape[1]):
        ids = batch.ids.clone()
        for row in range(len(batch)):
            if segments.used[row] > t:
                starts = int(segments.ends[row, t - 1]) + 1 - t  # of segment t, separators not counted
                ids[row, starts : batch.lengths[row] - 1] += 7
        after = method.prior(z, method.condition(Batch(ids, batch.lengths, batch.condition)))
        has = (segments.used > t).nonzero()[:, 0]
        for part in ("mean", "logvar"):
            old, new = getattr(before, part)[has], getattr(after, part)[has]
            torch.testing.assert_close(new[:, : t + 1], old[:, : t + 1], atol=1e-5, rtol=1e-4)
        both = (segments.used > t + 1).nonzero()[:, 0]
        if len(both):
            assert (after.mean[both, t + 1] - before.mean[both, t + 1]).abs().max() > 1e-4


@pytest.mark.parametrize("name", ["trace-r", "cgd", "trace-r-rp"])
def test_a_prior_has_not_seen_its_segment(name: str, task: Task, monkeypatch: pytest.MonkeyPatch) -> None:
    """x_<t is the state at the (t-1)-th [SEP]. The t-th, put in its place, has seen x_t, and is found out."""
    method, batch = make(name, task), task.batch()
    prior_sees_only_the_past(method, batch)
    monkeypatch.setattr(method, "before", lambda joint: joint.ends)
    with pytest.raises(AssertionError):
        prior_sees_only_the_past(method, batch)


def latents_reach_only_their_segments(method: Trace, batch: Batch) -> None:
    """Of z_t, exactly the positions that predict a token of segment t; and no segment before it is any likelier."""
    z = draw(method, batch)[0]
    for t in range(z.shape[1]):
        moved = z.clone()
        moved[:, t] += 1.0
        (text, old), (_, new) = method.read(batch, z), method.read(batch, moved)
        assert old.positions is not None and new.positions is not None
        touched = (new.positions - old.positions).abs().amax(-1) > 0
        for row in range(len(batch)):
            segment, expected = 0, []
            for token in text.targets[row, : text.predicted[row]].tolist():
                expected.append(segment == t)
                segment += token == method.separator
            assert touched[row, : len(expected)].tolist() == expected


@pytest.mark.parametrize("name", ALL)
def test_a_latent_reaches_the_positions_that_predict_its_segment(
    name: str, task: Task, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The [SEP] before a segment predicts it, and has its z; the segment that a position is in is found out."""
    method, batch = make(name, task), task.batch()
    latents_reach_only_their_segments(method, batch)
    monkeypatch.setattr(Segments, "predicts", property(lambda self: self.index[:, :-1]))
    with pytest.raises(AssertionError):
        latents_reach_only_their_segments(method, batch)


class Scripted:
    """Decodes by a script: the N texts are these ids, whatever the model says; keeps what it is given on the way."""

    def __init__(self, method: Trace, texts: list[list[int]]) -> None:
        self.method, self.texts, self.step = method, texts, 0
        self.positions: list[Tensor] = []
        self.decode = method.backbone.decode

    def run(self, monkeypatch: pytest.MonkeyPatch, z: Tensor, task: Task) -> Tensor:
        """[N, S, d], what was added to the embedding of each position."""

        def logits(hidden: Tensor) -> Tensor:
            self.step += 1
            made = torch.full((len(hidden), self.method.backbone.vocabulary), -100.0)
            made[torch.arange(len(hidden)), torch.tensor([text[self.step] for text in self.texts])] = 0.0
            return made

        def watched(ids: Tensor, injection, context, cache: Cache) -> Tensor:  # type: ignore[no-untyped-def]
            self.positions.append(injection.positions[:, -1])
            return self.decode(ids, injection, context, cache)

        monkeypatch.setattr(self.method, "logits", logits)
        monkeypatch.setattr(self.method.backbone, "decode", watched)
        batch = task.batch(*range(len(z))) if task.conditional else None
        condition = None if batch is None else self.method.condition(batch)
        self.out = decode(self.method, z, GREEDY, 24, None if condition is None else condition.context)
        monkeypatch.undo()
        return torch.stack(self.positions, 1)


def a_segment_end_brings_the_next_latent(
    method: Trace, monkeypatch: pytest.MonkeyPatch, task: Task, noiseless: Callable[[pytest.MonkeyPatch], None]
) -> None:
    """After a [SEP], and only there, z is p(z_{t+1} | z_t, x_<=t)'s, that of the likelihood; here its mean."""
    texts = task.batch(0, 2)
    segments = method.segmented(texts)
    assert segments.text.lengths[0] != segments.text.lengths[1]
    script = [row + [EOS] * 3 for row in segments.text.ids.tolist()]
    first = draw(method, texts)[0][:, :1]
    for row in range(2):
        one = task.batch((0, 2)[row])
        noiseless(monkeypatch)
        positions = Scripted(method, [script[row]]).run(monkeypatch, first[row : row + 1], _one(task, (0, 2)[row]))
        chain = first[row : row + 1]
        reading = method.condition(one)
        while chain.shape[1] < segments.used[row]:
            longer = torch.cat([chain, torch.zeros_like(chain[:, :1])], 1)
            chain = torch.cat([chain, method.prior(longer, reading).mean[:, -1:]], 1)
        _, injection = method.read(one, chain)
        assert injection.positions is not None
        torch.testing.assert_close(positions, injection.positions, atol=1e-5, rtol=1e-4)


def _one(task: Task, row: int) -> Task:
    """The same task with one example alone."""

    class Single(Task):
        def batch(self, *rows: int) -> Batch:
            return task.batch(row)

    return Single(task.kind, task.conditional)


@pytest.mark.parametrize("name", ALL)
def test_generation_draws_the_next_latent_at_each_separator(
    name: str, task: Task, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The z of generation are those of the likelihood's prior, given the text written so far. One z for all is not."""
    method = make(name, task)
    a_segment_end_brings_the_next_latent(method, monkeypatch, task, noiseless)

    def stuck(patch: pytest.MonkeyPatch) -> None:
        noiseless(patch)
        patch.setattr(SegmentSteering, "read", Steering.read)

    with pytest.raises(AssertionError):
        a_segment_end_brings_the_next_latent(method, monkeypatch, task, stuck)
    monkeypatch.undo()


@pytest.mark.parametrize("name", ["trace-r", "cgd"])
def test_generation_and_likelihood_have_one_prior(name: str, task: Task) -> None:
    """p(z_t | z_<t, x_<t) from the tokens written so far is that from the whole text, where it is clamped too."""
    method, batch = wide(name, task), task.batch(0)
    z, reading, segments = draw(method, batch), method.condition(batch), method.segmented(batch)
    prior = method.prior(z, reading)
    assert (prior.logvar.abs() == method.options.clamp).any(), "else nothing is clamped"
    for t in range(int(segments.used[0]) - 1):
        written = segments.text.ids[:, : segments.ends[0, t] + 1]
        after = method.next_prior(written, z[0, :, t], reading.context)
        torch.testing.assert_close(after.mean, prior.mean[0, :, t + 1], atol=1e-4, rtol=1e-4)
        torch.testing.assert_close(after.logvar, prior.logvar[0, :, t + 1], atol=1e-4, rtol=1e-4)


def wide(name: str, task: Task) -> Trace:
    """A method whose priors are far from N(0, I)."""
    method = make(name, task)
    assert method.f is not None
    with torch.no_grad():
        method.f.weight *= 20
    return method


def test_the_first_latent_is_a_draw_from_its_prior(task: Task) -> None:
    method, n = wide("trace-r", task), 4000
    reading = method.condition(task.batch(0))
    context = None if reading.context is None else reading.context.repeat(n)
    prior = method.prior(torch.zeros(1, 1, method.options.latent), reading)
    draws_of(prior, lambda generator: method.sample_prior(n, Condition(context), generator))


def test_a_separator_draws_the_next_latent_from_its_prior(task: Task) -> None:
    """Sec. 5.2: "we sample a new latent variable based on the prior distribution"."""
    method, n = make("trace-r", task), 4000
    context = method.condition(task.batch(0)).context
    z, ids = draw(method, task.batch(0))[0][:, :1], torch.tensor([[BOS, 10, 11, method.separator]])

    def drawn(generator: torch.Generator) -> Tensor:
        repeated = None if context is None else context.repeat(n)
        steering = method.steering(z.expand(n, -1, -1), repeated, generator)
        steering.read(ids.expand(n, -1))
        return steering.z

    draws_of(method.next_prior(ids, z[:, 0], context), drawn)


@torch.no_grad()
def draws_of(prior: Gaussian, sample: Callable[[torch.Generator], Tensor]) -> None:
    """Means and variances of some thousand draws; the same draws from the same seed, and only from that."""
    first, again, other = (sample(torch.Generator().manual_seed(seed)) for seed in (1, 1, 2))
    white = (first - prior.mean) / (0.5 * prior.logvar).exp()
    torch.testing.assert_close(white.mean(0), torch.zeros_like(white[0]), atol=0.1, rtol=0)
    torch.testing.assert_close(white.var(0), torch.ones_like(white[0]), atol=0.15, rtol=0)
    assert torch.equal(first, again) and not torch.equal(first, other)

"""TRACE against its equations, written out one segment at a time, and the three places where text or z could leak."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.distributions import Normal
from torch.utils._python_dispatch import TorchDispatchMode

from bench import model as models
from bench.backbones.base import Cache
from bench.batch import Batch, Sequences
from bench.decoding import Steering, decode
from bench.errors import BenchError
from bench.likelihood import statistics
from bench.methods.base import Condition, Gaussian
from bench.methods.trace import Normalise, Reading, SegmentSteering, Trace, TraceOptions, parallel_samples
from bench.schema import Backbone, Decoding, Likelihood, MethodSpec
from bench.segments import Segments
from bench.vocabulary import BOS, EOS

from .conftest import TINY, Task, build, perturb

RECURRENT = ("trace-r", "trace-p", "trace-r-ln", "trace-r-rp", "trace-r+bn", "trace-p-sn")
ALL = (*RECURRENT, "ind", "cgd")
TASKS = {"gpt2": Task(), "gpt2-prompt": Task(conditional=True)}
GREEDY, BEAM = Decoding(strategy="greedy"), Decoding(strategy="beam", k=3)


@pytest.fixture(params=TASKS.values(), ids=TASKS)
def task(request: pytest.FixtureRequest) -> Task:
    found: Task = request.param
    return found


def make(name: str, task: Task = TASKS["gpt2"]) -> Trace:
    method = build(name, task)
    assert isinstance(method, Trace)
    return method


def fresh(seed: int = 0, latent: int = 4, **options: object) -> Trace:
    method = models.build(MethodSpec(use="trace-r", options={"latent": latent, **options}), TINY, seed)
    assert isinstance(method, Trace)
    return method.eval()


def draw(method: Trace, batch: Batch, k: int = 1) -> Tensor:
    torch.manual_seed(0)
    return method.posterior(batch, method.condition(batch)).sample(k)


# The three leaks ------------------------------------------------------------------------------------------------------


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


def noiseless(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Gaussian, "sample", lambda self, generator=None: self.mean)


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


# The densities --------------------------------------------------------------------------------------------------------


def test_separators_stand_between_segments(task: Task) -> None:
    """Texts of 5, 2, 4 and 0 tokens, two a segment. EOS ends the last segment, and is a token of the text anyway."""
    method, batch = make("trace-r", task), task.batch()
    assert method.used(batch).tolist() == [3, 1, 2, 1]
    assert method.separators(batch).tolist() == [2, 0, 1, 0]
    text, _ = method.read(batch, draw(method, batch)[0])
    assert (text.predicted - batch.predicted).tolist() == [2, 0, 1, 0], "tokens predicted besides x and EOS"
    stats = statistics(method, task.sequences, Likelihood(importance_samples=1), 0)
    assert stats.used.tolist() == [3, 1, 2, 1] and stats.separators.tolist() == [2, 0, 1, 0]


@pytest.mark.parametrize("name", ["trace-r", "trace-p", "trace-r-rp"])
def test_densities_one_segment_at_a_time(name: str) -> None:
    """Eq. 7-11 of each text alone, with each x_<t and x_t encoded from the tokens that it may see and no mask."""
    method, batch = make(name), TASKS["gpt2"].batch()
    options, p = method.options, method.options.latent
    z = draw(method, batch, 3)
    log_p, log_q = method.log_prior(z), method.posterior(batch).log_prob(z)
    assert torch.equal(log_p, Normal(0.0, 1.0).log_prob(z).sum(-1)), "without a text a prior is that of z_1"
    log_p = method.log_prior(z, method.condition(batch))
    assert method.w_mean is not None and method.w_logvar is not None and method.f is not None
    w = torch.cat([method.w_mean.weight, method.w_logvar.weight])  # type: ignore[list-item]
    segments = method.segmented(batch)
    for row in range(len(batch)):
        ids = segments.text.ids[row]
        for t in range(z.shape[2]):
            q_at = p_at = Normal(torch.zeros(3, p), torch.ones(3, p))
            if t < segments.used[row]:
                start = 0 if t == 0 else int(segments.ends[row, t - 1]) + 1
                own = method.g(_within(method, ids, start, int(segments.ends[row, t])))
                previous = z[:, row, t - 1] if t else torch.zeros(3, p)
                before = (
                    _last_state(method, ids, segments.index[row], t - 1) if t else torch.zeros(method.backbone.width)
                )
                if t:
                    mean, logvar = (previous @ w.T + method.f(before)).chunk(2, -1)
                    logvar = logvar.clamp(-5, 5)
                    p_at = Normal(mean, (0.5 * logvar).exp())
                else:
                    mean, logvar = torch.zeros(3, p), torch.zeros(3, p)
                assert method.normalise is not None and method.normalise.bias is not None
                if options.residual:
                    q_mean, q_logvar = mean + _layer_norm(own[:p], method.normalise.bias), logvar + own[p:]
                else:
                    assert method.w_q is not None
                    both = method.w_q(torch.cat([previous, before.expand(3, -1)], -1)) + own
                    q_mean = torch.stack([_layer_norm(of[:p], method.normalise.bias) for of in both])
                    q_logvar = both[:, p:].clamp(-5, 5)
                q_at = Normal(q_mean, (0.5 * q_logvar).exp())
            at = z[:, row, t]
            torch.testing.assert_close(log_p[:, row, t], p_at.log_prob(at).sum(-1), atol=1e-3, rtol=1e-4)
            torch.testing.assert_close(log_q[:, row, t], q_at.log_prob(at).sum(-1), atol=1e-3, rtol=1e-4)


def _layer_norm(values: Tensor, bias: Tensor) -> Tensor:
    return 3.0 * (values - values.mean()) / values.std(unbiased=False) + bias


def _within(method: Trace, ids: Tensor, start: int, end: int) -> Tensor:
    """x_t: the last state of the pass over segment t alone, at the positions it has in the text."""
    length = end + 1
    mask = torch.eye(length, dtype=torch.bool)[None]
    mask[:, start:length, start:length] = True
    return method.backbone.encode(ids[None, :length], mask)[-1][0, end]


def _last_state(method: Trace, ids: Tensor, index: Tensor, t: int) -> Tensor:
    """x_<=t: the state at the [SEP] of segment t by attention over growing beginnings of the text."""
    end = int((index <= t).nonzero()[-1])
    mask = torch.zeros(1, end + 1, end + 1, dtype=torch.bool)
    for position in range(end + 1):
        mask[0, position, : int((index <= index[position]).nonzero()[-1]) + 1] = True
    return method.backbone.encode(ids[None, : end + 1], mask)[-1][0, end]


@pytest.mark.parametrize("name", ALL)
def test_the_bound_is_exact_where_the_decoder_ignores_z(name: str, task: Task) -> None:
    """log p(x) is then rec, whatever the posterior: the importance weights of ragged groups find it."""
    method = make(name, task)
    with torch.no_grad():
        for parameter in method.project.parameters():
            parameter.zero_()
        for part in (method.f, method.g, method.w_q, method.w_mean, method.w_logvar):
            for parameter in () if part is None else part.parameters():
                parameter *= 0.2
        if method.normalise is not None:
            method.normalise.gamma = 0.2
    stats = statistics(method, task.sequences, Likelihood(importance_samples=4000), 0)
    error = (stats.log_w - stats.log_px).std(axis=1) / math.sqrt(4000)
    assert (abs(stats.nll - stats.rec) < 6 * error + 0.05).all(), (stats.nll, stats.rec)
    assert (stats.kl.sum(1) > 0.01).all(), "else nothing is tested"


def test_theorem_1(task: Task) -> None:
    """KL(z_1) >= l gamma^2 / 2 = 16 * 9 / 2 without a bias, and nothing at all with one that has learnt to undo it."""
    method = make("trace-r", TASKS["gpt2"])
    batch = TASKS["gpt2"].batch()
    assert method.normalise is not None and method.normalise.bias is not None
    with torch.no_grad():
        method.normalise.bias.zero_()
        assert (method.terms(batch).kl[:, 0] >= method.options.latent * 9 / 2 - 1e-3).all()
        method.g.weight.zero_()
        method.g.bias[method.options.latent :] = 0.0
        normalised = method.normalise(method.g.bias, torch.tensor(True))[: method.options.latent]
        method.normalise.bias.copy_(-normalised)
        assert (method.terms(batch).kl[:, 0] < 1e-6).all()


@pytest.mark.parametrize("name", [name for name in RECURRENT if name != "trace-r+bn"])
def test_kl_vanishes_without_layer_normalisation_alone(name: str) -> None:
    """Table 5: where x_t moves the posterior next to nothing, Theorem 1 still holds of all but -LN."""
    method = make(name)
    with torch.no_grad():
        method.g.weight *= 1e-3
        method.g.bias *= 1e-3
        if method.normalise is not None and method.normalise.bias is not None:
            method.normalise.bias.zero_()
    kl = method.terms(TASKS["gpt2"].batch()).kl[:, 0]
    if name == "trace-r-ln":
        assert kl.max() < 0.1
    else:
        assert kl.min() >= method.options.latent * 9 / 2 - 1e-2


@pytest.mark.parametrize("name", RECURRENT)
def test_spectral_normalisation_is_of_trace_p_alone(name: str) -> None:
    """Sec. 4.2, Table 5: of both W_mu1 and W_sigma1 as the priors use them; others start at about 0.02 * 2 sqrt(l)."""
    method = models.build(MethodSpec(use=name), TINY, 0).eval()
    assert isinstance(method, Trace)
    for weights in method.condition(TASKS["gpt2"].batch()).given_z.chunk(2):
        largest = float(torch.linalg.matrix_norm(weights, 2).detach())
        assert largest == pytest.approx(1, abs=0.02) if name == "trace-p" else largest < 0.5


def test_batch_normalisation_holds_over_present_segments() -> None:
    """Each dimension of Delta mu has mean 0 and variance gamma^2 over the segments there are."""
    layer = Normalise(TraceOptions(latent=4, normalisation="batch")).train()
    torch.manual_seed(0)
    parameters, present = (
        torch.randn(5, 3, 8),
        torch.tensor([[1, 1, 1], [1, 0, 0], [1, 1, 0], [1, 0, 0], [1, 1, 1]]) > 0,
    )
    made = layer(parameters, present)[present]
    torch.testing.assert_close(made[:, :4].mean(0), torch.zeros(4), atol=1e-5, rtol=0)
    torch.testing.assert_close(made[:, :4].var(0, unbiased=False), torch.full((4,), 9.0), atol=1e-4, rtol=0)
    assert torch.equal(made[:, 4:], parameters[present][:, 4:])
    with pytest.raises(BenchError, match="one segment has no variance"):
        layer(parameters[:1, :1], present[:1, :1])


def test_both_halves_can_be_normalised() -> None:
    made = Normalise(TraceOptions(latent=4, normalised="both"))(torch.randn(3, 8), torch.ones(3, dtype=torch.bool))
    for half in made.chunk(2, -1):
        torch.testing.assert_close(half.var(-1, unbiased=False), torch.full((3,), 9.0))


@pytest.mark.parametrize("segment", [0, 1, 2])
def test_what_each_posterior_reads(segment: int) -> None:
    """ind: x_<=t. cgd: all of x. trace: z_{t-1}, x_<t and x_t; none depends on z where it should not."""
    batch = TASKS["gpt2"].batch()
    ids = batch.ids.clone()
    ids[0, 1 + 2 * segment] = 99  # of the first text
    other = Batch(ids, batch.lengths)
    since = [t >= segment for t in range(3)]
    for name, expected in (("ind", since), ("cgd", [True] * 3), ("trace-r", since)):
        method = make(name)
        z = draw(method, batch)[0]
        moved = z.clone()
        moved[:, 0] += 1.0
        q = method.posterior(batch).conditional(z)
        change = (method.posterior(other).conditional(z).mean - q.mean)[0].abs().amax(-1) > 1e-5
        assert change.tolist() == expected, name
        of_z = (method.posterior(batch).conditional(moved).mean - q.mean)[0].abs().amax(-1) > 1e-5
        assert of_z.tolist() == [False, name == "trace-r", False], name


def test_sentences_of_the_batch_are_the_segments() -> None:
    sequences = Sequences([[0, 10, 11, 12, 13, 14, 1], [0, 20, 21, 1]], None, [[2, 5], []])
    segments = make("trace-r").segmented(sequences.batch([0, 1]))
    assert segments.used.tolist() == [3, 1]
    assert segments.text.ids.tolist() == [[0, 10, 260, 11, 12, 13, 260, 14, 1], [0, 20, 21, 1, 2, 2, 2, 2, 2]]


# Sampling all segments at once ----------------------------------------------------------------------------------------


def reading(w_mean: Tensor, w_logvar: Tensor, mean: Tensor, logvar: Tensor) -> Reading:
    """Eq. 13's parts, and W of Eq. 14 with sigma = exp(half a log-variance); mean, logvar [B, T, D]."""
    own = torch.cat([mean, logvar], -1)
    nothing = Segments(Batch(torch.zeros(1, 1), torch.ones(1)), *(torch.zeros(1),) * 3)
    return Reading(
        None, segments=nothing, given_text=torch.zeros_like(own), given_z=torch.cat([w_mean, w_logvar]), own=own
    )


def projection(d: int, rank: int) -> Tensor:
    torch.manual_seed(1)
    q, _ = torch.linalg.qr(torch.randn(d, d, dtype=torch.float64))
    return q[:, :rank] @ q[:, :rank].T


def recurrence(of: Reading, epsilon: Tensor, sigma: Callable[[Tensor], Tensor]) -> Tensor:
    """z_t = mu_t + sigma_t * epsilon_t, one after the other (Eq. 27)."""
    w_mean, w_logvar = of.given_z.chunk(2)
    z, drawn = torch.zeros_like(epsilon[..., 0, :]), []
    for t in range(epsilon.shape[-2]):
        mean, logvar = of.own[:, t].chunk(2, -1)
        z = z @ w_mean.T + mean + sigma(0.5 * (z @ w_logvar.T + logvar)) * epsilon[..., t, :]
        drawn.append(z)
    return torch.stack(drawn, -2)


def parts(scale: float, t: int = 9, d: int = 6) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(3)
    mean, logvar, epsilon = (torch.randn(2, t, d, generator=generator, dtype=torch.float64) for _ in range(3))
    return mean, scale * logvar, epsilon[None]


def test_parallel_is_the_recurrence_where_w_is_idempotent_and_sigma_is_linear() -> None:
    """Eq. 34-36 are exact for W_mu1 a projection and W_sigma1 = 0: to 1e-12 with exp(a) = 1 + a, as Eq. 28 has it."""
    mean, logvar, epsilon = parts(1.0)
    of = reading(projection(6, 3), torch.zeros(6, 6, dtype=torch.float64), mean, logvar)
    expected = recurrence(of, epsilon, lambda a: 1 + a)
    torch.testing.assert_close(parallel_samples(of, epsilon, torch.randn_like(epsilon)), expected, atol=1e-12, rtol=0)


def test_parallel_is_the_recurrence_for_one_noise_shared_by_all_steps() -> None:
    """W_mu1 + diag(xi / 2) W_sigma1 a projection, every epsilon_j = xi: one factor is then all of Eq. 34, to 1e-12."""
    mean, logvar, epsilon = parts(1.0)
    xi = epsilon[:, :1, :1].expand_as(epsilon)
    whole = projection(6, 3)
    w_logvar = 2 * torch.diag(1 / xi[0, 0, 0]) @ whole / 2
    of = reading(whole / 2, w_logvar, mean, logvar)
    expected = recurrence(of, xi, lambda a: 1 + a)
    torch.testing.assert_close(parallel_samples(of, xi, xi), expected, atol=1e-10, rtol=0)


def test_parallel_as_the_paper_writes_it() -> None:
    """Eq. 12-14, one step after the other, any matrices, xi a noise of its own; sigma from half a log-variance."""
    mean, logvar, epsilon = parts(1.0)
    generator = torch.Generator().manual_seed(4)
    xi = torch.randn(epsilon.shape, generator=generator, dtype=torch.float64)
    w_mean, w_logvar = (torch.randn(6, 6, generator=generator, dtype=torch.float64) for _ in range(2))
    made = parallel_samples(reading(w_mean, w_logvar, mean, logvar), epsilon, xi)
    for row in range(len(mean)):
        total = torch.zeros(6, dtype=torch.float64)
        for t in range(mean.shape[1]):
            v = mean[row, t] + epsilon[0, row, t] + logvar[row, t] / 2 * epsilon[0, row, t]
            torch.testing.assert_close(made[0, row, t], v + total, atol=1e-10, rtol=0)
            total += w_mean @ v + (w_logvar / 2) @ v * xi[0, row, t]


def test_the_two_noises_of_parallel_sampling_are_independent() -> None:
    """E z_2 = E v_2 + W_mu1 E v_1; were xi epsilon, W_sigma1 = 2 I would add E (sigma_1 epsilon_1) epsilon_1 to it."""
    method = fresh(segment_length=2, parallel=True).train()
    assert isinstance(method.w_logvar, torch.nn.Linear)
    with torch.no_grad():
        method.w_logvar.weight.copy_(2 * torch.eye(4))
    batch = TASKS["gpt2"].batch(2)
    found = method.condition(batch)
    mean, logvar = (found.given_text + found.own).chunk(2, -1)
    expected = mean[0, 1] + method.w_mean(mean[0, 0])  # type: ignore[misc]
    assert (1 + logvar / 2).min() > 0.5, "what would be added"
    torch.manual_seed(0)
    made = method.posterior(batch).sample(20000)[:, 0, 1].mean(0)
    torch.testing.assert_close(made, expected, atol=0.2, rtol=0)


def test_parallel_approaches_trace_r_as_log_variances_vanish() -> None:
    """With the true exp the error is that of exp(a) ~ 1 + a: halve the log-variances and a quarter of it is left."""
    errors = []
    for scale in (0.2, 0.1, 0.05):
        mean, logvar, epsilon = parts(scale)
        of = reading(projection(6, 3), torch.zeros(6, 6, dtype=torch.float64), mean, logvar)
        made = parallel_samples(of, epsilon, torch.randn_like(epsilon))
        errors.append(float((made - recurrence(of, epsilon, torch.exp)).abs().max()))
    assert errors[2] < 2e-2
    assert 3.5 < errors[0] / errors[1] < 4.5 and 3.5 < errors[1] / errors[2] < 4.5


def test_trace_p_is_trace_r_in_that_limit() -> None:
    """The methods: same weights (idempotent W_mu1, no W_sigma1, log-variances near 0), same noise, to 1e-3."""
    method = fresh(segment_length=1, parallel=True)
    perturb(method)
    assert isinstance(method.w_mean, torch.nn.Linear) and isinstance(method.w_logvar, torch.nn.Linear)
    assert method.f is not None
    with torch.no_grad():
        method.w_mean.weight.copy_(projection(4, 2))
        method.w_logvar.weight.zero_()
        for layer in (method.f, method.g):
            layer.weight[4:] *= 1e-3
            layer.bias[4:] *= 1e-3
    batch = TASKS["gpt2"].batch()
    with torch.no_grad():
        at_once = _sampled(method.train(), batch)
        one_by_one = _sampled(method.eval(), batch)
    has = method.segmented(batch).present
    torch.testing.assert_close(at_once[0][has], one_by_one[0][has], atol=1e-3, rtol=1e-3)
    assert one_by_one[0][has].abs().max() > 3, "nothing of this is trivially 0"


def _sampled(method: Trace, batch: Batch) -> Tensor:
    torch.manual_seed(5)
    return method.posterior(batch).sample(1)


class Count(TorchDispatchMode):
    calls = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        self.calls += 1
        return func(*args, **(kwargs or {}))


def test_sampling_at_once_has_no_loop_over_segments() -> None:
    """As many operations for 20 segments as for 2, forward and backward; one after the other takes more with each."""

    def operations(parallel: bool, segments: int) -> int:
        method = fresh(segment_length=1, parallel=parallel).train()
        batch = Sequences([[BOS, *range(10, 10 + segments), EOS]]).batch([0])
        posterior = method.posterior(batch)
        with Count() as count:
            posterior.sample(1).sum().backward()
        return count.calls

    assert operations(True, 20) == operations(True, 2)
    assert operations(False, 20) > operations(False, 2) + 18 * 5


# Decoding -------------------------------------------------------------------------------------------------------------


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


def test_no_recurrence_is_embed() -> None:
    first, second = build("no-recurrence"), build("embed")
    batch = TASKS["gpt2"].batch()
    torch.manual_seed(0)
    expected = second.terms(batch)
    torch.manual_seed(0)
    assert torch.equal(first.terms(batch).rec, expected.rec)


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"segment_length": 0}, "'segment_length' is 0"),
        ({"latent": 0}, "'latent' is 0"),
        ({"clamp": -5}, "'clamp' is -5"),
        ({"gamma": -1}, "'gamma' is -1"),
        ({"bow": 0.2}, "a bag of the whole text's words"),
        ({"parallel": True, "residual": False}, "parallel sampling"),
        ({"residual": False, "normalisation": "batch"}, "batch normalisation"),
        ({"parallel": True, "dependence": "context"}, "for recurrent dependence, and have 'context'"),
        ({"normalisation": "none", "dependence": "independent"}, "for recurrent dependence"),
    ],
)  # fmt: skip
def test_options_that_make_no_sense(options: dict[str, object], complaint: str) -> None:
    with pytest.raises(BenchError, match=f"method 'trace-r'.*{complaint}"):
        models.build(MethodSpec(use="trace-r", options=options), TINY, 0)


def test_position_table_holds_a_separator_after_every_token() -> None:
    size = Backbone(layers=1, width=8, heads=2, vocabulary=260, max_tokens=9)
    method = models.build(MethodSpec(use="trace-r", options={"segment_length": 1}), size, 0)
    batch = Sequences([[BOS, *range(10, 17), EOS]]).batch([0])
    assert torch.isfinite(method.terms(batch).rec).all()

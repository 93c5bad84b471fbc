"""TRACE against its equations, written out one segment at a time."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from torch.distributions import Normal

from bench import model as models
from bench.batch import Batch, Sequences
from bench.decoding import _allowed
from bench.errors import BenchError
from bench.likelihood import statistics
from bench.methods.recurrent import Normalise
from bench.methods.trace import Trace, TraceOptions
from bench.schema import Backbone, Likelihood, MethodSpec
from bench.vocabulary import BOS, EOS

from .conftest import TINY, Task, build
from .trace_cases import ALL, RECURRENT, TASKS, draw, make


@pytest.fixture(params=TASKS.values(), ids=TASKS)
def task(request: pytest.FixtureRequest) -> Task:
    found: Task = request.param
    return found


def test_separators_stand_between_segments(task: Task) -> None:
    """Texts of 5, 2, 4 and 0 tokens, two a segment. EOS ends the last segment, and is a token of the text anyway."""
    method, batch = make("trace-r", task), task.batch()
    assert method.used(batch).tolist() == [3, 1, 2, 1]
    assert method.separators(batch).tolist() == [2, 0, 1, 0]
    text, _ = method.read(batch, draw(method, batch)[0])
    assert (text.predicted - batch.predicted).tolist() == [2, 0, 1, 0], "tokens predicted besides x and EOS"
    stats = statistics(method, task.sequences, Likelihood(importance_samples=1), 0)
    assert stats.used.tolist() == [3, 1, 2, 1] and stats.separators.tolist() == [2, 0, 1, 0]


def test_no_segment_that_is_written_is_empty(task: Task) -> None:
    """After BOS a text may end, which is the empty text; after a [SEP] neither another one nor EOS may follow."""
    separator = make("trace-r", task).separator
    assert separator is not None
    ids = torch.tensor([[7, BOS], [7, separator], [separator, 7]])
    logits = _allowed(make("trace-r", task), torch.zeros(3, separator + 1), ids, None)
    assert logits[:, [EOS, separator, 7]].isfinite().tolist() == [
        [True, False, True],
        [False, False, True],
        [True, True, True],
    ]


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


def test_theorem_1() -> None:
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

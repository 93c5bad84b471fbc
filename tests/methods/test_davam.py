"""DAVAM's parts: the codebook, its gradients, the PixelCNN, attention, and what is drawn from the priors."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.cluster.vq import kmeans2
from scipy.spatial.distance import cdist
from scipy.stats import chisquare
from torch import Tensor, nn

from bench import model as models
from bench.backbones.attending import attending_lstm
from bench.batch import Sequences, collate
from bench.errors import BenchError
from bench.methods.base import Method
from bench.methods.codebook import DEAD, DECAY, Choice, Codebook, Codes
from bench.methods.davam import resampled
from bench.methods.stepwise import Attention, Lengths, PixelCNN, StepwiseOptions, Walk
from bench.schema import Backbone, MethodSpec

from .conftest import known_options, perturb

SIZE = Backbone(kind="lstm", layers=1, width=8, embedding=6, tokenizer="words", vocabulary=30, max_tokens=10)
SMALL = {"latent": 4, "prior_layers": 2, "prior_width": 6}
BATCH = collate([[0, 10, 11, 12, 13, 1], [0, 20, 21, 1], [0, 1]])


def build(name: str, size: Backbone = SIZE, **options: object) -> Method:
    torch.set_num_threads(1)
    method = models.build(MethodSpec(use=name, options={**known_options(name, SMALL), **options}), size, 0)
    perturb(method)
    return method.eval()


def codebook(vectors: Tensor, count: float = 1.0) -> Codebook:
    made = Codebook(*vectors.shape)
    made.vectors.copy_(vectors)
    made.sums.copy_(count * vectors)
    made.counts.fill_(count)
    return made


def follow(book: Codebook, states: Tensor) -> None:
    """One step of the moving averages, with all states."""
    book.update(states, book.nearest(states), torch.ones(len(states), dtype=torch.bool))


# Codebook ---------------------------------------------------------------------------------------------------------


@given(st.integers(0, 999), st.integers(1, 9), st.integers(1, 5), st.floats(0.01, 10))
def test_nearest_code(seed: int, codes: int, dimension: int, scale: float) -> None:
    """Eq. 6 against scipy's distances; a code is nearest to itself."""
    rng = np.random.default_rng(seed)
    vectors, states = rng.standard_normal((codes, dimension)) * scale, rng.standard_normal((3, 4, dimension))
    book = codebook(torch.tensor(vectors, dtype=torch.float32))
    distance = cdist(states.reshape(12, -1), vectors)
    found = book.nearest(torch.tensor(states, dtype=torch.float32)).flatten().numpy()
    np.testing.assert_allclose(distance[np.arange(12), found], distance.min(axis=1), rtol=1e-4)
    assert book.nearest(book.vectors).tolist() == list(range(codes))


def test_moving_averages_by_hand() -> None:
    """As in van den Oord et al. 2017, A.1: two batches, of one and three states and then of two and one."""
    book = codebook(torch.tensor([[0.0, 0.0], [10.0, 0.0]]))
    follow(book, torch.tensor([[1.0, 1.0], [9.0, 2.0], [11.0, 4.0], [10.0, 0.0]]))
    count = [0.99 + 0.01 * 1, 0.99 + 0.01 * 3]
    total = [[0.01 * 1, 0.01 * 1], [9.9 + 0.01 * 30, 0.01 * 6]]
    torch.testing.assert_close(book.vectors, torch.tensor(total) / torch.tensor(count)[:, None])
    follow(book, torch.tensor([[2.0, 0.0], [1.0, 0.0], [8.0, 1.0]]))
    count = [0.99 * count[0] + 0.01 * 2, 0.99 * count[1] + 0.01 * 1]
    total = [[0.99 * total[0][0] + 0.01 * 3, 0.99 * total[0][1]],
             [0.99 * total[1][0] + 0.01 * 8, 0.99 * total[1][1] + 0.01 * 1]]  # fmt: skip
    torch.testing.assert_close(book.vectors, torch.tensor(total) / torch.tensor(count)[:, None])
    torch.testing.assert_close(book.counts, torch.tensor(count))


def test_a_small_batch_moves_the_codes_less() -> None:
    """By as much as it has fewer states: 9 in 900 by a hundredth of 900."""
    near, far = torch.tensor([[1.0, 0.0]]), torch.tensor([[-1.0, 0.0]])
    book = codebook(torch.zeros(1, 2), count=900.0)
    follow(book, far.expand(9, -1))
    by_few = book.vectors.clone()
    follow(book, near.expand(900, -1))
    assert -1.1e-4 < by_few[0, 0] < -0.9e-4 and 0.9e-2 < book.vectors[0, 0] < 1.1e-2


def test_moving_averages_end_where_the_states_are() -> None:
    """The same two clusters in every batch: their means, whatever the codes were."""
    states = torch.tensor([[1.0, 0.0], [3.0, 0.0], [20.0, 5.0]])
    book = codebook(torch.tensor([[0.0, 0.0], [15.0, 0.0]]))
    for _ in range(2000):
        follow(book, states)
    torch.testing.assert_close(book.vectors, torch.tensor([[2.0, 0.0], [20.0, 5.0]]), atol=1e-4, rtol=0)


def test_dead_codes_are_put_on_states_of_the_batch() -> None:
    """After as many batches without a state as leave it a hundredth of its share; then it is as good as new."""
    torch.manual_seed(0)
    states = torch.randn(20, 3)
    book = codebook(torch.cat([states[:2], torch.full((2, 3), 99.0)]), count=5.0)  # 20 states of 4 codes
    needed = math.ceil(math.log(DEAD) / math.log(DECAY))
    for _ in range(needed - 1):
        follow(book, states)
    assert (book.vectors[2:] == pytest.approx(99.0, rel=1e-4)) and book.counts[2] >= 5 * DEAD
    padded = torch.cat([states, torch.full((60, 3), 1e6)])
    book.update(padded, book.nearest(padded), torch.arange(80) < 20)
    for vector in book.vectors[2:]:
        (beside,) = torch.cdist(states, vector[None]).min(0).values
        assert 0 < beside < 0.0011 * vector.norm()
    assert book.counts[2:].tolist() == pytest.approx([5.0, 5.0])
    assert set(book.nearest(states).tolist()) >= {0, 1} and len(set(book.nearest(states).tolist())) >= 3


def test_equal_states_make_different_codes() -> None:
    """Texts that begin alike have equal states; the history of a prior knows a code by its vector."""
    torch.manual_seed(0)
    book = Codebook(8, 4)
    book.begin(torch.ones(40, 4), iterations=0)
    book.counts[3:] = 0.0
    follow(book, torch.ones(40, 4))
    assert len(torch.unique(book.vectors, dim=0)) == 8
    assert book.nearest(book.vectors).tolist() == list(range(8))


@pytest.mark.parametrize("seed", range(3))
def test_first_codebook_is_k_means(seed: int) -> None:
    """scipy's from the same start; and more iterations never leave states further away."""
    rng = np.random.default_rng(seed)
    states = torch.tensor(rng.standard_normal((200, 3)) + 4 * rng.integers(0, 3, (200, 1)), dtype=torch.float32)
    inertia, books = [], []
    for iterations in (0, 1, 3, 20):
        torch.manual_seed(seed)
        book = Codebook(6, 3)
        book.begin(states, 4, iterations)
        books.append(book.vectors.double().numpy())
        inertia.append((cdist(states.numpy(), books[-1]).min(axis=1) ** 2).sum())
    assert inertia[0] > inertia[1] > inertia[2] >= inertia[3] - 1e-6
    for start in books[0]:
        assert 0 < cdist(states.double().numpy(), start[None]).min() < 0.0011 * np.linalg.norm(start)
    assert len(np.unique(books[0], axis=0)) == 6
    expected, _ = kmeans2(states.double().numpy(), books[0], iter=20, minit="matrix")
    np.testing.assert_allclose(books[3], expected, atol=1e-4)
    assert book.counts.tolist() == pytest.approx([200 / 4 / 6] * 6), "states a batch and code"
    torch.testing.assert_close(book.sums / book.counts[:, None], book.vectors)


def test_fewer_states_than_codes() -> None:
    torch.manual_seed(0)
    book, states = Codebook(5, 2), torch.tensor([[50.0, 0.0], [0.0, 50.0]])
    before = book.vectors.clone()
    book.begin(states)
    assert {tuple(v) for v in book.vectors[:2].round().tolist()} == {(50.0, 0.0), (0.0, 50.0)}
    assert torch.equal(book.vectors[2:], before[2:])


def test_choices_have_the_moments_of_their_probabilities() -> None:
    book, p = codebook(torch.randn(4, 3)), torch.rand(2, 5, 4).softmax(-1)
    present = torch.tensor([[True] * 5, [True, True, False, False, False]])
    choice = Choice(p.log(), book, present)
    for i, j in itertools.product(range(2), range(5)):
        mean = sum(p[i, j, k] * book.vectors[k] for k in range(4)) * present[i, j]
        variance = sum(p[i, j, k] * (book.vectors[k] - mean) ** 2 for k in range(4))
        torch.testing.assert_close(choice.mean[i, j], mean)
        expected = variance.log() if present[i, j] else torch.zeros(3)
        torch.testing.assert_close(choice.logvar[i, j], expected, atol=1e-4, rtol=1e-4)
    index = torch.randint(4, (3, 2, 5))
    log_p = choice.log_prob(book.vectors[index])
    codes = Codes(index[0], book, present)
    for k, i, j in itertools.product(range(3), range(2), range(5)):
        expected = p[i, j, index[k, i, j]].log() if present[i, j] else torch.tensor(0.0)
        torch.testing.assert_close(log_p[k, i, j], expected)
        if k == 0:
            torch.testing.assert_close(codes.kl(choice)[i, j], -expected)


# Gradients --------------------------------------------------------------------------------------------------------


def test_the_encoder_gets_the_gradient_of_its_codes() -> None:
    """d rec / d h_t^e = d rec / d e_{z_t} (Fig. 2), and 2 beta (h - e) of the commitment (Eq. 8); the codebook none."""
    method, beta = build("davam-k128", codes=5), 0.7
    method.codebook.update = lambda *_: None  # type: ignore[method-assign]
    plain, codes = method.coded(BATCH)
    at_codes = codes.sample(1)[0].requires_grad_()
    (of_codes,) = torch.autograd.grad(-method.log_likelihood(BATCH, at_codes).sum(), at_codes)
    held: list[Tensor] = []
    coded = method.coded

    def watched(batch: object) -> tuple[Tensor, Codes]:
        states, found = coded(batch)
        states.retain_grad()
        held.append(states)
        return states, found

    method.coded = watched  # type: ignore[method-assign]
    for weight in (0.0, beta):
        terms = method._codes_terms(BATCH, weight)
        (terms.rec + terms.auxiliary).sum().backward()
        expected = of_codes + 2 * weight * (plain - codes.mean)
        present = codes.present
        torch.testing.assert_close(held[-1].grad[present], expected.detach()[present], atol=1e-5, rtol=1e-4)
        assert not held[-1].grad[~present].any()
        assert of_codes[present].abs().max() > 1e-4
    assert not any(tensor.requires_grad for tensor in method.codebook.buffers())
    assert not list(method.codebook.parameters())
    assert all(p.grad is None for p in method.gamma.parameters())


def test_commitment_is_a_squared_distance_of_the_steps_there_are() -> None:
    method = build("davam-k128", codes=5)
    with torch.no_grad():
        states, codes = method.coded(BATCH)
    vectors = method.codebook.vectors.clone()
    terms = method._codes_terms(BATCH, 0.3)
    for row, steps in enumerate(BATCH.predicted.tolist()):
        distance = sum(float(((states[row, t] - vectors[codes.index[row, t]]) ** 2).sum()) for t in range(steps))
        assert terms.auxiliary[row].item() == pytest.approx(0.3 * distance, rel=1e-4)
    assert not torch.equal(method.codebook.vectors, vectors), "and the codebook follows"
    assert terms.kl.shape == (3, 0)


def test_only_steps_that_are_there_move_the_codebook() -> None:
    """A batch and its padding: as the texts alone together."""
    method, other = build("davam-k128", codes=5), build("davam-k128", codes=5)
    states, codes = method.coded(BATCH)
    for of in (method, other):
        of.codebook.begin(states[codes.present].detach(), iterations=0)
        for name, tensor in of.codebook.named_buffers():
            tensor.copy_(method.codebook.get_buffer(name))
    follow(other.codebook, states[codes.present].detach())
    method._codes_terms(BATCH, 1.0)
    assert torch.equal(method.codebook.vectors, other.codebook.vectors)
    assert len(states[codes.present]) == int(BATCH.predicted.sum())


def test_beta_of_the_commitment() -> None:
    """beta_min for an annealing period, then in one more up to beta_max; a short training has three equal parts."""
    method = build("davam-k128")
    betas = [method._beta(step, 10, 100) for step in range(100)]
    assert betas[:10] == [0.1] * 10 and betas[19:] == [5.0] * 81
    assert betas[10:20] == pytest.approx([0.1 + 4.9 * i / 10 for i in range(1, 11)])
    cut = [method._beta(step, 1000, 30) for step in range(30)]
    assert cut[:10] == [0.1] * 10 and cut[19:] == [5.0] * 11 and cut[14] == pytest.approx(0.1 + 4.9 / 2)
    other = build("davam-k128", beta_min=0.5, beta_max=0.2)
    assert other._beta(99, 10, 100) == pytest.approx(0.2)


def test_weights_of_a_commitment_that_is_still_small_are_not_kept() -> None:
    """Which of two betas validates better by rec is no question of Eq. 8."""
    method = build("davam-k128")
    codes, prior = method.stages()
    assert codes.settled is not None and prior.settled is None
    for period, total in ((10, 100), (1000, 30), (7, 22)):
        kept = [step for step in range(1, total + 1) if codes.settled(step, period, total)]
        assert kept == [step for step in range(1, total + 1) if method._beta(step - 1, period, total) == 5.0]


# PixelCNN and attention -------------------------------------------------------------------------------------------


def pixelcnn(layers: int, kernel: int) -> PixelCNN:
    torch.manual_seed(layers)
    options = StepwiseOptions(prior_layers=layers, prior_width=6, prior_kernel=kernel)
    made = PixelCNN(nn.Linear(2, 6), 3, options)
    perturb(made)
    return made


@pytest.mark.parametrize(("layers", "kernel"), [(1, 1), (1, 2), (2, 2), (1, 3), (2, 3), (3, 3)])
def test_what_a_step_sees(layers: int, kernel: int) -> None:
    """z_t' -> parameters of z_t where t - layers (kernel - 1) - 1 <= t' < t, and nowhere else."""
    model, z = pixelcnn(layers, kernel), torch.randn(1, 9, 2, requires_grad=True)
    field = layers * (kernel - 1)
    found = model(z)
    assert found.shape == (1, 10, 3)
    for t in range(10):  # parameters of z_{t+1}, which has t before it
        (gradient,) = torch.autograd.grad(found[0, t].sum(), z, retain_graph=True)
        seen = (gradient[0].abs().sum(-1) > 0).nonzero()[:, 0].tolist()
        assert seen == list(range(max(0, t - 1 - field), t))


def test_it_is_gated_causal_convolutions() -> None:
    """nn.Conv1d with the same weights, padded on the left; tanh times sigmoid, mixed and added."""
    model, z = pixelcnn(3, 3), torch.randn(2, 5, 2)
    x = torch.cat([model.start.expand(2, 1, -1), model.read(z)], 1).transpose(1, 2)
    with torch.no_grad():
        for gates, mix in zip(model.gates, model.mix, strict=True):
            convolution, pointwise = nn.Conv1d(6, 12, 3), nn.Conv1d(6, 6, 1)
            convolution.weight.copy_(gates.weight.view(12, 3, 6).transpose(1, 2))
            convolution.bias.copy_(gates.bias)
            pointwise.weight.copy_(mix.weight[..., None])
            pointwise.bias.copy_(mix.bias)
            filtered, gate = convolution(nn.functional.pad(x, (2, 0))).chunk(2, 1)
            x = x + pointwise(filtered.tanh() * gate.sigmoid())
        torch.testing.assert_close(model(z), model.write(x.transpose(1, 2)))


def test_attention_is_equation_3() -> None:
    """Of an LSTM whose state is o tanh(f c + i g): here g = tanh(c_i), i = o = 1 and f = 0."""
    attention, present = Attention(4, 4), torch.tensor([[True] * 3, [True, True, False]])
    perturb(attention)
    z, state = torch.randn(2, 3, 4), torch.randn(2, 4)
    of_context, of_gates = torch.zeros(16, 5), torch.tensor([99.0, -99.0, 0.0, 99.0]).repeat_interleave(4)
    of_context[8:12, 1:] = torch.eye(4)
    with torch.no_grad():
        weights = (of_context, torch.zeros(16, 4), of_gates, torch.zeros(16))
        found, _ = attending_lstm(torch.zeros(2, 1, 1), (state, torch.randn(2, 4)), attention(z, present), weights)
        for n, steps in enumerate((3, 2)):
            w_e, b, w_d, v = attention.w_e.weight, attention.w_e.bias, attention.w_d.weight, attention.v.weight[0]
            scores = [float(v @ torch.tanh(w_e @ z[n, t] + w_d @ state[n] + b)) for t in range(steps)]
            alpha = [math.exp(score) / sum(map(math.exp, scores)) for score in scores]
            expected = sum(a * z[n, t] for t, a in enumerate(alpha))
            torch.testing.assert_close(found[n, 0], expected.tanh().tanh())
    assert attention.w_d.bias is None and attention.v.bias is None


def test_latent_sequences_have_no_bag_of_words() -> None:
    for name in ("davam-k128", "gavam", "davam-q"):
        with pytest.raises(BenchError, match="options ask for bow"):
            build(name, bow=0.2)


@pytest.mark.parametrize("option", ["prior_layers", "clamp"])
def test_a_standard_normal_prior_has_no_options(option: str) -> None:
    with pytest.raises(BenchError, match=f"'vae-attn' options: .*'{option}'"):
        models.build(MethodSpec(use="vae-attn", options={option: 2}), SIZE, 0)


def test_codes_refuse_options_without_effect() -> None:
    """Their KL is trained alone, whole; and a single code is drawn from as many numbers as there are codes."""
    for name in ("davam-k128", "davam-q"):
        for option in ({"annealing": "linear"}, {"free_bits": 0.1}, {"kl_reduction": "mean_groups"}):
            with pytest.raises(BenchError, match=f"options ask for {next(iter(option))}"):
                build(name, **option)
    for option in ({"length": "empirical"}, {"prior_layers": 2}):
        with pytest.raises(BenchError, match=f"'davam-q' options: .*'{next(iter(option))}'"):
            models.build(MethodSpec(use="davam-q", options=option), SIZE, 0)


# What is drawn ----------------------------------------------------------------------------------------------------


def used(z: Tensor) -> Tensor:
    """How many steps each sequence has; NaN marks the others, which come last."""
    absent = z.isnan().all(-1)
    assert torch.equal(absent, z.isnan().any(-1)) and torch.equal(absent, absent.cummax(1).values)
    return (~absent).sum(1)


@given(st.lists(st.integers(1, 6), min_size=1, max_size=30))
def test_lengths_are_counted(steps: list[int]) -> None:
    """One more of each than there are, so that none is impossible."""
    lengths = Lengths(6)
    torch.testing.assert_close(lengths.nll(torch.tensor([1, 6])), torch.full((2,), math.log(6)))
    lengths.fit(Sequences([[0, *[5] * (n - 1), 1] for n in steps]))
    for n in range(1, 7):
        expected = -math.log((steps.count(n) + 1) / (len(steps) + 6))
        assert lengths.nll(torch.tensor([n])).item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("name", ["gavam", "vae-attn", "davam-k128"])
def test_drawn_lengths_follow_the_counted_ones(name: str) -> None:
    method = build(name, **({"length": "empirical", "codes": 3} if name == "davam-k128" else {}))
    method.lengths.fit(Sequences([[0, 5, 1]] * 6 + [[0, 5, 5, 5, 1]] * 30))
    torch.manual_seed(0)
    z = method.sample_prior(2000)
    found = torch.bincount(used(z), minlength=10)[1:10].numpy()
    assert chisquare(found, method.lengths.log_p.exp().double().numpy() * 2000 / float(
        method.lengths.log_p.exp().double().sum())).pvalue > 0.01  # fmt: skip
    assert z.shape[1] == int(used(z).max())


@pytest.mark.parametrize("name", ["gavam", "vae-attn", "davam-k128", "davam-q"])
@pytest.mark.parametrize("length", ["end", "empirical"])
def test_draws_for_so_many_tokens(name: str, length: str) -> None:
    """A step for each and one for EOS; a single code is just one."""
    method = build(name, **known_options(name, {"length": length, "codes": 3}))
    for tokens in (0, 1, 7):
        torch.manual_seed(0)
        z = method.sample_prior_for(5, tokens)
        steps = 1 if name == "davam-q" else tokens + 1
        assert z.shape == (5, steps, 4) and not z.isnan().any()
        if method.certain:
            assert all((method.codebook.vectors == vector).all(-1).any() for vector in z.flatten(0, 1))


@pytest.mark.parametrize("name", ["end", "empirical", "one code"])
def test_sequences_are_drawn_with_their_probabilities(name: str) -> None:
    """Every one of at most two steps of two codes, listed; what has not ended then is cut there."""
    size = SIZE.model_copy(update={"max_tokens": 4 if name == "empirical" else 3})
    made = {"one code": ("davam-q", {"codes": 4})}.get(name, ("davam-k128", {"codes": 2, "length": name}))
    method = build(made[0], size, **made[1])
    with torch.no_grad():
        for parameter in method.gamma.parameters():
            parameter *= 1.5
    probabilities: dict[tuple[int, ...], float] = {}
    codes, longest = range(method.options.codes), 1 if name == "one code" else size.max_tokens - 1
    for steps in range(1, longest + 1):
        for sequence in itertools.product(codes, repeat=steps):
            p = 1.0
            with torch.no_grad():
                for t in range(steps + 1):
                    scores = method.gamma(torch.tensor([sequence[:t]], dtype=torch.long).view(1, t))[0, -1].double()
                    if name == "end" and t == 0:
                        scores[-1] = -math.inf
                    here = scores.softmax(-1)
                    if t < steps:
                        p *= float(here[sequence[t]])
                    elif name == "end" and steps < longest:
                        p *= float(here[-1])
            if name == "empirical":
                p *= math.exp(method.lengths.log_p[steps - 1])
            probabilities[sequence] = p
    assert sum(probabilities.values()) == pytest.approx(1, abs=1e-5)
    torch.manual_seed(1)
    n = 4000
    z = method.sample_prior(n)
    steps = used(z)
    index = method.codebook.nearest(z.nan_to_num())
    counts = dict.fromkeys(probabilities, 0)
    for row in range(n):
        counts[tuple(index[row, : steps[row]].tolist())] += 1
    expected = np.array(list(probabilities.values()))
    assert chisquare(list(counts.values()), expected / expected.sum() * n).pvalue > 0.01


def test_gaussian_sequences_are_drawn_step_by_step() -> None:
    """z_t from p(z_t | z_<t) at the z_<t that were drawn: standardised, they are N(0, 1) and independent."""
    method = build("gavam", latent=1)
    torch.manual_seed(0)
    with torch.no_grad():
        z = method.sample_prior_for(4000, 2)
        prior = method.prior(z)
        noise = ((z - prior.mean) * (-0.5 * prior.logvar).exp())[..., 0]
    assert noise.mean(0).abs().max() < 0.06 and (noise.std(0) - 1).abs().max() < 0.05
    assert (torch.corrcoef(noise.T) - torch.eye(3)).abs().max() < 0.06
    assert prior.mean[:, 1:].std(0).min() > 1e-3, "which depends on what was drawn"


def test_priors_clamp_their_log_variances() -> None:
    method = build("gavam", clamp=0.5)
    with torch.no_grad():
        method.pixelcnn.write.weight *= 100
        logvar = method.prior(torch.randn(2, 4, 4)).logvar
    assert logvar.abs().max() == 0.5


@pytest.mark.parametrize("name", ["davam-k128", "gavam"])
def test_draws_are_the_generators(name: str) -> None:
    method = build(name)
    first, second, other = (method.sample_prior(9, generator=torch.Generator().manual_seed(s)) for s in (1, 1, 2))
    torch.testing.assert_close(first, second, equal_nan=True, atol=0, rtol=0)
    assert first.shape != other.shape or not torch.equal(first.nan_to_num(), other.nan_to_num())


@pytest.mark.parametrize("kernel", [1, 2, 3])
def test_step_by_step_is_the_whole_sequence(kernel: int) -> None:
    """Up to longer than the receptive field; and of the sequences selected, in their order."""
    torch.manual_seed(0)
    net = PixelCNN(nn.Linear(4, 8), 5, StepwiseOptions(prior_layers=3, prior_width=8, prior_kernel=kernel))
    z = torch.randn(3, 12, 4)
    walk, expected = Walk(net, 3), net(z)
    for step in range(12):
        torch.testing.assert_close(walk.parameters, expected[:, step])
        if step == 5:
            rows = torch.tensor([2, 0, 0])
            walk.select(rows)
            z, expected = z[rows], expected[rows]
        walk.read(z[:, step])


@pytest.mark.parametrize("steps", [1, 2, 3, 4])
def test_draws_of_one_length_are_of_the_prior_given_that_length(steps: int) -> None:
    """Every sequence of two codes, listed: prod_t gamma_t * p(end), normalised; not gamma without its end."""
    method = build("davam-k128", codes=2, prior_layers=2)
    generator = torch.Generator().manual_seed(8)  # of a prior whose end depends much on the codes
    with torch.no_grad():
        for parameter in method.gamma.parameters():
            parameter.copy_(0.5 * torch.randn(parameter.shape, generator=generator))
    sequences = torch.tensor(list(itertools.product(range(2), repeat=steps)))
    with torch.no_grad():
        log_gamma = method.log_gamma(sequences).double()
        of_codes = log_gamma[:, :-1].gather(-1, sequences[..., None])[..., 0].sum(1)
        p = (of_codes + log_gamma[:, -1, 2]).softmax(0).numpy()
        going_on = log_gamma[:, :-1, :2].log_softmax(-1).gather(-1, sequences[..., None])[..., 0].sum(1)
        blind, only_the_end = going_on.exp().numpy(), (going_on + log_gamma[:, -1, 2]).softmax(0).numpy()
        torch.manual_seed(1)
        drawn = method._of_length(4000, steps, None)
    counts = np.bincount((drawn * 2 ** torch.arange(steps - 1, -1, -1)).sum(1), minlength=2**steps)
    assert chisquare(counts, p * 4000).pvalue > 0.01
    assert abs(p - blind).sum() > 0.2, "it makes a difference"
    assert steps == 1 or abs(p - only_the_end).sum() > 0.1, "so does not to have ended before"


def test_systematic_resampling() -> None:
    """Equal weights are all kept; others as often as they weigh, to within one; and each draw on average so."""
    torch.manual_seed(0)
    equal = resampled(torch.full((3, 8), 0.2), 8, None)
    assert torch.equal(equal, torch.arange(24))
    weights = torch.tensor([[0.0, 1.0, 3.0, 0.0], [0.7, 0.1, 0.1, 0.1]]).repeat(2000, 1)
    counts = torch.bincount(resampled(weights, 4, None), minlength=weights.numel()).view(-1, 4).double()
    shares = 4 * weights / weights.sum(1, keepdim=True)
    assert ((counts - shares).abs() < 1).all()
    torch.testing.assert_close(counts.view(2000, 2, 4).mean(0), shares[:2].double(), atol=0.05, rtol=0)
    one = torch.bincount(resampled(weights, 1, None) % 4 + 4 * (torch.arange(4000) % 2), minlength=8).view(2, 4)
    torch.testing.assert_close(one / 2000, shares[:2] / 4, atol=0.04, rtol=0)
    assert resampled(torch.zeros(2, 4), 4, None).tolist() == list(range(8)), "no way to go on: any"

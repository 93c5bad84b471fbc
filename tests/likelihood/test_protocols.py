"""The likelihood metrics on a hand-made file, each protocol against its formula written out with loops."""

from __future__ import annotations

import math
import re
from dataclasses import fields, replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.errors import BenchError
from bench.metrics import au, elbo, iw, mi, paper_davam, paper_della, paper_trace
from bench.metrics.base import Metric, Undefined, Value
from bench.metrics.likelihood_file import LikelihoodFile, importance_weighted_nll, per_example

METRICS = [module.METRIC for module in (iw, elbo, mi, au, paper_della, paper_trace, paper_davam)]


@pytest.fixture
def stats() -> LikelihoodFile:
    """N = 6 examples, M = 4 with K = 40 weights, G = 3 groups of D = 2, posterior means over 8 draws."""
    rng = np.random.default_rng(0)
    made = LikelihoodFile.empty(6, 4, 40, 3, 2, 40, 2, 8)
    made.rec[:] = rng.uniform(20, 40, 6)
    made.kl[:] = rng.uniform(0, 3, (6, 3))
    made.log_px[:] = -rng.uniform(20, 40, (4, 40))
    made.log_pz_qz[:] = rng.normal(-3, 2, (4, 40))
    made.log_q[:] = rng.normal(size=6)
    made.log_q_full[:] = made.log_q - rng.uniform(0, 1, 6)
    made.log_q_batch[:] = made.log_q - rng.uniform(0, 0.5, 6)
    made.mean[:] = rng.normal(size=(6, 3, 2)) * [[0.05, 1.0], [0.4, 0.5], [0.0, 2.0]]
    made.predicted[:] = [5, 6, 7, 8, 9, 10]
    made.words[:] = [4, 4, 5, 6, 7, 8]
    return made


@pytest.fixture
def ragged(stats: LikelihoodFile) -> LikelihoodFile:
    """The same where examples have one to three segments, and a separator after each but the last."""
    used = np.array([1, 2, 3, 3, 2, 1])
    kl = np.where(np.arange(3) < used[:, None], stats.kl, 0)
    mean = np.where(np.arange(3)[:, None] < used[:, None, None], stats.mean, 0)
    return replace(stats, used=used, kl=kl, mean=mean, separators=used - 1)


def compute(stats: LikelihoodFile, **options: int) -> dict[str, Value]:
    """Every value of every likelihood metric."""
    return {key: value for metric in METRICS for key, value in metric.compute(stats, options).items()}


def test_every_value_is_a_registered_quantity_within_its_range(stats: LikelihoodFile, ragged: LikelihoodFile) -> None:
    known = {quantity.key: quantity for metric in METRICS for quantity in metric.quantities}
    priced = replace(ragged, length=np.linspace(1, 2, len(ragged.rec)))
    without = {"nll@100", "nll@1000", "ess@100", "ess@1000"}
    for values, more in ((compute(stats), {"length"}), (compute(ragged), {"length"}), (compute(priced), set())):
        assert set(values) == set(known) - without - more
        for key, value in values.items():
            low, high = known[key].range
            assert low <= value.value <= high and value.signature.endswith("|v:1"), key
            assert value.ci95 is None or value.ci95[0] <= value.value <= value.ci95[1]


def test_exact_protocol(stats: LikelihoodFile) -> None:
    values = {**elbo.METRIC.compute(stats, {}), **iw.METRIC.compute(stats, {})}
    assert values["kl"].value == pytest.approx(np.mean([sum(row) for row in stats.kl]))
    assert values["nelbo"].value == pytest.approx(values["rec"].value + values["kl"].value)
    total = 0.0
    for i in range(4):
        weights = [math.exp(stats.log_px[i, k] + stats.log_pz_qz[i, k]) for k in range(40)]
        total -= math.log(sum(weights) / 40)
    assert values["nll"].value == pytest.approx(total / 4)
    assert values["ppl"].value == pytest.approx(math.exp(total / (5 + 6 + 7 + 8)))
    assert values["ppl_word"].value == pytest.approx(math.exp(total / (5 + 5 + 6 + 7)))
    assert values["nll@1"].value == pytest.approx(-stats.log_w.mean())
    assert values["nll@1"].value >= values["nll@10"].value >= values["nll"].value
    assert 1 <= values["ess@10"].value <= 10 and values["ess@10"].value <= values["ess"].value <= 40
    blocks = np.exp(stats.log_w).reshape(4, 4, 10)
    assert values["ess@10"].value == pytest.approx((blocks.sum(2) ** 2 / (blocks**2).sum(2)).mean())
    each = [float(kl) for kl in values["kl_per_group"].note.removeprefix("by group: ").split()]
    np.testing.assert_allclose(each, stats.kl.mean(axis=0), rtol=1e-3)
    assert values["kl_per_group"].value == pytest.approx(values["kl"].value / 3)


@given(st.integers(1, 6), st.integers(1, 6), st.integers(1, 3), st.integers(0, 99))
def test_the_curve_decreases_on_every_sample(k: int, times: int, rest: int, seed: int) -> None:
    """NLL_k >= NLL_K where k divides K; weights that fill no block are not looked at."""
    log_w = np.random.default_rng(seed).normal(-30, 3, (3, k * times))
    assert (importance_weighted_nll(log_w, k) >= importance_weighted_nll(log_w) - 1e-9).all()
    more = np.concatenate([log_w, np.full((3, min(rest, k - 1)), 50.0)], axis=1)
    np.testing.assert_array_equal(importance_weighted_nll(more, k), importance_weighted_nll(log_w, k))
    assert (iw.effective_sample_size(log_w, k) <= k * (1 + 1e-12)).all()


def test_kl_per_group_is_over_the_groups_there_are(ragged: LikelihoodFile) -> None:
    value = elbo.METRIC.compute(ragged, {})["kl_per_group"]
    assert value.value == pytest.approx(
        np.mean([row[:n].mean() for row, n in zip(ragged.kl, ragged.used, strict=True)])
    )
    expected = [ragged.kl[:, 0].mean(), ragged.kl[1:5, 1].mean(), ragged.kl[2:4, 2].mean()]
    assert value.note == "by group: " + " ".join(f"{kl:.4g}" for kl in expected)


def test_paper_della_averages_over_groups(stats: LikelihoodFile) -> None:
    values = paper_della.METRIC.compute(stats, {})
    assert values["paper:della/kl"].value == pytest.approx(stats.kl.mean())
    assert values["paper:della/nelbo"].value == pytest.approx(stats.rec.mean() + stats.kl.mean())
    total = 0.0
    for i in range(4):
        weights = [math.exp(stats.log_px[i, k] + stats.log_pz_qz[i, k] / 3) for k in range(30)]
        total -= math.log(sum(weights) / 30)
    assert values["paper:della/ppl"].value == pytest.approx(math.exp(total / (6 + 7 + 8 + 9)))
    layers = [sum(float(np.var(stats.mean[:, g, d], ddof=1)) > 0.2 for d in range(2)) for g in range(3)]
    assert values["paper:della/au_0.2"].value == pytest.approx(sum(layers) / 3)
    assert au.METRIC.compute(stats, {})["au_0.2"].value == sum(layers)


def test_paper_and_exact_agree_for_one_group_but_for_tokens_and_samples(stats: LikelihoodFile) -> None:
    one = replace(stats, kl=stats.kl[:, :1], mean=stats.mean[:, :1], used=np.ones(6, dtype=np.int64))
    exact = {**elbo.METRIC.compute(one, {}), **iw.METRIC.compute(one, {})}
    paper = paper_della.METRIC.compute(one, {})
    assert paper["paper:della/kl"].value == exact["kl"].value
    assert paper["paper:della/nelbo"].value == exact["nelbo"].value
    nll = importance_weighted_nll(one.log_w[:, :30]).sum()
    assert paper["paper:della/ppl"].value == pytest.approx(math.exp(nll / (26 + 4)))


def test_paper_trace_averages_over_segments_and_counts_separators(ragged: LikelihoodFile) -> None:
    values = paper_trace.METRIC.compute(ragged, {})
    kl = [sum(row) / n for row, n in zip(ragged.kl, ragged.used, strict=True)]
    assert values["paper:trace/kl"].value == pytest.approx(np.mean(kl))
    assert values["paper:trace/nelbo"].value == pytest.approx(np.mean(ragged.rec + kl))
    total = 0.0
    for i in range(4):
        parts = [ragged.log_px[i, k] + ragged.log_pz_qz[i, k] / ragged.used[i] for k in range(40)]
        total -= math.log(sum(map(math.exp, parts)) / 40)
    assert values["paper:trace/ppl"].value == pytest.approx(math.exp(total / (5 + 7 + 9 + 10)))
    assert "K:40" in values["paper:trace/ppl"].signature and values["paper:trace/ppl"].note == "K = 40"
    using = [range(6), range(1, 5), range(2, 4)]
    active = [sum(float(np.var(ragged.mean[using[g], g, d], ddof=1)) > 0.1 for d in range(2)) for g in range(3)]
    assert values["paper:trace/au_0.1"].value == pytest.approx(sum(active) / 3)
    assert au.METRIC.compute(ragged, {})["au_0.1"].value == sum(active)


def test_a_segment_that_some_texts_lack_is_not_active_for_that(ragged: LikelihoodFile) -> None:
    """The same posterior mean wherever there is a segment, none elsewhere."""
    there = np.arange(3)[:, None] < ragged.used[:, None, None]
    constant = replace(ragged, mean=np.broadcast_to(np.where(there, 5.0, 0.0), ragged.mean.shape))
    assert au.active_units(constant, 0.01).tolist() == [0, 0, 0]
    alone = replace(ragged, used=np.array([1, 1, 1, 3, 1, 1]))
    assert au.active_units(alone, 0.01).tolist()[1:] == [0, 0], "one example has no variance"


def test_variances_of_active_units_are_unbiased(stats: LikelihoodFile) -> None:
    """-x and x: 2 x^2 unbiased, x^2 not. 0.15 and 0.075 are on either side of 0.1."""
    two = first(2, weights(slice(2), slice(None), stats))
    two.mean[:] = np.sqrt(0.075) * np.array([-1, 1])[:, None, None]
    assert au.active_units(two, 0.1).tolist() == [2, 2, 2]
    assert au.active_units(two, 0.2).tolist() == [0, 0, 0]


def test_paper_trace_has_a_hundred_samples_at_most(stats: LikelihoodFile) -> None:
    many = replace(stats, log_px=np.tile(stats.log_px, 3), log_pz_qz=np.tile(stats.log_pz_qz, 3), samples=120)
    first = replace(many, log_px=many.log_px[:, :100], log_pz_qz=many.log_pz_qz[:, :100], samples=100)
    assert paper_trace.METRIC.compute(many, {}) == paper_trace.METRIC.compute(first, {})


def test_paper_davam_averages_over_steps_by_words(ragged: LikelihoodFile) -> None:
    values = paper_davam.METRIC.compute(ragged, {})
    kl = [sum(row) / n for row, n in zip(ragged.kl, ragged.used, strict=True)]
    assert values["paper:davam/rec"].value == pytest.approx(ragged.rec.mean())
    assert values["paper:davam/kl"].value == pytest.approx(np.mean(kl))
    total = sum(rec + step for rec, step in zip(ragged.rec, kl, strict=True))
    assert values["paper:davam/ppl"].value == pytest.approx(math.exp(total / (5 + 5 + 6 + 7 + 8 + 9)))


PTB = (78_669, 3_761)  # words and lines of the test set


@pytest.mark.parametrize(
    ("rec", "kl", "ppl"), [(83.57, 2.23, 50.15), (60.16, 3.12, 17.94), (102.20, 0.00, 105.94)],
    ids=["DAVAM K=128", "DAVAM K=512", "GAVAM"],
)  # fmt: skip
def test_the_printed_rows_of_davam(rec: float, kl: float, ppl: float) -> None:
    """DAVAM Table II on PTB, rows 10, 11, 8: from the printed Rec and KL to the printed PPL, within their rounding."""
    words, lines = PTB
    made = LikelihoodFile.empty(lines, 1, 1, 20, 1, 1, 32)
    made.words[:] = words // lines
    made.words[: words % lines] += 1
    made.rec[:], made.kl[:] = rec, kl
    value = paper_davam.METRIC.compute(made, {"resamples": 0})["paper:davam/ppl"].value
    rounding = 0.005 + ppl * 0.01 / (words / lines + 1)
    assert value == pytest.approx(ppl, abs=rounding)


def test_what_the_rest_of_davams_table_fits() -> None:
    """DAVAM Table II by nats / log PPL, the tokens a sentence that a row implies: what paper_davam's docstring says."""
    words, lines = PTB
    ptb, snli = words / lines + 1, 10.757
    for rec, kl, ppl, tokens in ((95.83, 0.27, 79.24, ptb), (28.16, 0.12, 13.71, snli), (30.90, 0.38, 17.68, snli)):
        assert rec / math.log(ppl) == pytest.approx(tokens, abs=0.005), "without the KL"
        assert (rec + kl) / math.log(ppl) > tokens + 0.04
    for rec, kl, ppl in ((16.11, 2.38, 5.58), (10.85, 2.69, 3.52)):  # DAVAM on SNLI: the formula
        assert (rec + kl) / math.log(ppl) == pytest.approx(snli, abs=0.02)
    for rec, kl, ppl in ((101.85, 1.37, 108.97), (98.52, 2.95, 99.62), (96.91, 4.99, 96.17)):  # baselines on PTB
        assert ppl < 0.985 * math.exp((rec + kl) / ptb)


def test_the_tokens_that_traces_table_implies() -> None:
    """TRACE Table 2, -ELBO / log PPL: methods with segments seem to have 3 to 10 % more tokens than the one without."""
    yelp, yahoo = (327.35, 20.12), (286.89, 21.18)  # No Recurrence
    segments = {
        yelp: [(328.17, 15.35), (327.84, 16.29), (298.61, 13.03), (315.28, 14.88)],  # IND, CGD, TRACE-R, TRACE-P
        yahoo: [(285.61, 17.05), (285.92, 18.84), (258.25, 14.56), (278.35, 16.85)],
    }
    for without, rows in segments.items():
        for nelbo, ppl in rows:
            assert 1.02 < (nelbo / math.log(ppl)) / (without[0] / math.log(without[1])) < 1.11


def test_mutual_information(stats: LikelihoodFile) -> None:
    values = mi.METRIC.compute(stats, {})
    assert values["mi"].value == pytest.approx((stats.log_q - stats.log_q_full).mean())
    assert values["mi_batch"].value == pytest.approx((stats.log_q - stats.log_q_batch).mean())
    assert "1.79" in values["mi"].note and "0.69" in values["mi_batch"].note  # log 6, log 2
    one_batch = mi.METRIC.compute(replace(stats, mi_batch=32), {})["mi_batch"]
    assert "|mixture:6|" in one_batch.signature and one_batch.note == "cannot exceed log 6 = 1.79"


def test_a_plain_language_model_has_no_latent_columns() -> None:
    lm = LikelihoodFile.empty(3, 3, 1, 0, 32, 100, 32)
    lm.rec[:] = [10, 20, 30]
    lm.log_px[:, 0] = [-10, -20, -30]
    lm.predicted[:] = [4, 5, 6]
    lm.words[:] = [3, 4, 5]
    values = compute(lm)
    assert set(values) == {"rec", "nelbo", "ppl", "ppl_word", "nll", "paper:della/nelbo", "paper:della/ppl",
                           "paper:trace/nelbo", "paper:trace/ppl", "paper:davam/rec", "paper:davam/ppl"}  # fmt: skip
    assert values["ppl"].value == values["paper:trace/ppl"].value == pytest.approx(math.exp(60 / 15))
    assert values["paper:della/ppl"].value == pytest.approx(math.exp(60 / 18))
    assert values["paper:davam/ppl"].value == values["ppl_word"].value
    assert "exact" in values["ppl"].note


@pytest.mark.parametrize(("of_z", "said"), [(0.0, "exact: every z is counted"), (-3.0, "by the one z that q(z|x) has")])
def test_which_z_a_perplexity_counts(of_z: float, said: str) -> None:
    """Of 100 that are asked for, where there is one weight: of every z there is, or of a point."""
    one = LikelihoodFile.empty(3, 3, 1, groups=1, latent=2, samples=100, mi_batch=2)
    one.log_px[:], one.log_pz_qz[:], one.predicted[:], one.words[:], one.used[:] = -20.0, of_z, 4, 3, 1
    values = compute(one)
    assert values["ppl"].note == values["nll"].note == (f"a bound: {said}" if of_z else said)
    assert values["paper:della/ppl"].note == values["paper:trace/ppl"].note == said


IMPORTANCE = {"ppl", "ppl_word", "nll", "nll@1", "nll@10", "ess", "ess@10", "paper:della/ppl", "paper:trace/ppl"}
ACTIVE = {"au_0.01", "au_0.1", "au_0.2", "paper:della/au_0.2", "paper:trace/au_0.1"}


def first(n: int, stats: LikelihoodFile) -> LikelihoodFile:
    """Fewer test examples, as many importance-weighted ones."""
    names = (
        "rec",
        "kl",
        "log_q",
        "log_q_full",
        "log_q_batch",
        "length",
        "mean",
        "predicted",
        "words",
        "used",
        "separators",
    )
    return replace(stats, **{name: getattr(stats, name)[:n] for name in names})


def weights(m: slice, k: slice, stats: LikelihoodFile) -> LikelihoodFile:
    """Fewer importance-weighted examples, fewer weights."""
    kept = {name: getattr(stats, name)[m, k] for name in ("log_px", "log_pz_qz")}
    return replace(stats, **kept, samples=kept["log_px"].shape[1])


@pytest.mark.parametrize(
    ("change", "changed"),
    [
        (lambda s: s, set()),
        (lambda s: first(5, s), {"rec", "kl", "kl_per_group", "nelbo", "mi", "mi_batch", "paper:della/nelbo",
                                 "paper:della/kl", "paper:trace/nelbo", "paper:trace/kl", "paper:davam/rec",
                                 "paper:davam/kl", "paper:davam/ppl"} | ACTIVE),
        (lambda s: weights(slice(3), slice(None), s), IMPORTANCE),
        (lambda s: weights(slice(None), slice(39), s), IMPORTANCE - {"paper:della/ppl"}),
        (lambda s: weights(slice(None), slice(25), s), IMPORTANCE),
        (lambda s: replace(s, mi_batch=3), {"mi_batch"}),
        (lambda s: replace(s, draws=4), ACTIVE),
    ],
    ids=["nothing", "N", "M", "K", "K below DELLA's 30", "batch of MI", "draws"],
)  # fmt: skip
def test_a_signature_changes_when_and_only_when_the_choice_bears_on_the_number(stats, change, changed) -> None:
    before, after = compute(stats), compute(change(stats))
    assert {key for key in before if before[key].signature != after[key].signature} == changed


def test_with_conditions_activity_counts_from_the_prior_and_there_is_no_mutual_information(stats) -> None:
    plain, conditional = compute(stats), compute(replace(stats, conditional=True))
    assert set(plain) - set(conditional) == {"mi", "mi_batch"}
    assert {key for key in conditional if conditional[key].signature != plain[key].signature} == ACTIVE
    assert all("|means:q-p|" in conditional[key].signature for key in ACTIVE)


def test_a_point_of_the_curve_is_signed_with_the_weights_it_uses(stats: LikelihoodFile) -> None:
    """39 and 30 weights fill the same three blocks of ten; the last point of a curve is the bound itself."""
    fewer, fewest = (compute(weights(slice(None), slice(k), stats)) for k in (39, 30))
    assert fewer["nll@10"].signature == fewest["nll@10"].signature != compute(stats)["nll@10"].signature
    assert fewer["nll@10"].value == fewest["nll@10"].value
    assert "|K:10|of:30|N:4|" in fewer["nll@10"].signature and "|K:10|of:30|N:4|" in fewer["ess@10"].signature
    ten = compute(weights(slice(None), slice(10), stats))
    for key in ("nll", "ess"):
        assert (ten[key].value, ten[key].signature) == (ten[f"{key}@10"].value, ten[f"{key}@10"].signature)


def test_what_is_listed_is_what_is_signed(stats: LikelihoodFile) -> None:
    for metric in METRICS:
        listed = [re.sub(r"<[^>]*>", "[^|]+", re.escape(text)) for text in metric.signatures]
        tasks = (stats, replace(stats, conditional=True))
        signed = {value.signature for of in tasks for value in metric.compute(of, {}).values()}
        assert all(any(re.fullmatch(pattern, s) for pattern in listed) for s in signed), metric.name
        assert all(any(re.fullmatch(pattern, s) for s in signed) for pattern in listed), metric.name


def test_signatures_tell_quantities_apart_and_not_intervals(stats: LikelihoodFile) -> None:
    values = compute(stats)
    signatures = {key: value.signature for key, value in values.items()}
    assert len(set(signatures.values())) == len(signatures)
    assert signatures == {key: value.signature for key, value in compute(stats, resamples=0, seed=5).items()}
    for protocol, tokens in (("della", "bos+x+eos"), ("trace", "x+sep+eos"), ("davam", "words_read+eos")):
        signed = signatures[f"paper:{protocol}/ppl"]
        assert f"|protocol:paper:{protocol}|groups:mean|" in signed and f"|tokens:{tokens}|" in signed
    assert "|protocol:exact|groups:sum|K:40|per:token|tokens:x+eos|N:4|" in signatures["ppl"]
    assert "|delta:0.1|draws:8|" in signatures["au_0.1"] and "|mixture:2|N:6|" in signatures["mi_batch"]


def test_file_round_trip_and_damage(stats: LikelihoodFile, tmp_path) -> None:
    path = tmp_path / "likelihood.npz"
    with path.open("wb") as stream:
        stats.write(stream)
    again = LikelihoodFile.read(path)
    np.testing.assert_array_equal(again.log_w, stats.log_w)
    np.testing.assert_array_equal(again.kl, stats.kl)
    np.testing.assert_array_equal(again.used, stats.used)
    assert (again.samples, again.mi_batch, again.draws, again.groups) == (40, 2, 8, 3)
    with np.load(path) as archive:
        narrow = {name for name in archive if archive[name].dtype == np.float32}
        assert narrow == {"mean", "logvar"}, "the rest is summed"
    assert set(per_example(path)) == {"nelbo", "kl", "nll", "predicted"}
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(BenchError, match=r"likelihood\.npz: cannot be read"):
        LikelihoodFile.read(path)


def test_an_older_file_is_refused(stats: LikelihoodFile, tmp_path) -> None:
    path = tmp_path / "likelihood.npz"
    np.savez(path, rec=stats.rec, kl=stats.kl)
    with pytest.raises(BenchError, match=r"likelihood\.npz: has no .*used, separators.*; measure it again"):
        LikelihoodFile.read(path)


def test_kl_of_a_group_that_is_not_there_is_refused(stats: LikelihoodFile, tmp_path) -> None:
    path = tmp_path / "likelihood.npz"
    with path.open("wb") as stream:
        replace(stats, used=stats.used - 1).write(stream)
    with pytest.raises(BenchError, match="does not use has a KL other than 0"):
        LikelihoodFile.read(path)
    with path.open("wb") as stream:
        replace(stats, used=stats.used - 1, kl=np.full((6, 3), np.nan)).write(stream)
    assert np.isnan(LikelihoodFile.read(path).kl).all(), "of a model that diverged"


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"rec": np.zeros(5)}, r"kl has shape \[6, 3\], not \[N, G\], N = 5; measure it again"),
        ({"kl": np.zeros(6)}, r"kl has shape \[6\], not \[N, G\], N = 6"),
        ({"log_pz_qz": np.zeros((4, 39))}, r"log_pz_qz has shape \[4, 39\], not \[M, K\], M = 4, K = 40"),
        ({"mean": np.zeros((6, 2, 2))}, r"mean has shape \[6, 2, 2\], not \[N, G, D\], N = 6, G = 3"),
        ({"used": np.zeros((6, 1), int)}, r"used has shape \[6, 1\]"),
        ({"samples": np.array([40])}, r"samples has shape \[1\], not \[\]"),
        ({"samples": np.array(40.0)}, "samples is no array of whole numbers"),
        ({"rec": np.array(list("abcdef"))}, "rec is no array of floating-point numbers"),
        ({"mi_batch": np.array(0)}, "mi_batch is 0, not at least 1"),
        ({"log_px": np.zeros((4, 0)), "log_pz_qz": np.zeros((4, 0))}, "has no importance weight"),
        ({"log_px": np.zeros((7, 3)), "log_pz_qz": np.zeros((7, 3))}, "weights of 7 examples, but only 6 examples"),
    ],
)  # fmt: skip
def test_arrays_that_do_not_fit_are_refused(stats: LikelihoodFile, tmp_path, change, complaint) -> None:
    path = tmp_path / "likelihood.npz"
    whole = {f.name: np.asarray(getattr(stats, f.name)) for f in fields(stats)}
    np.savez(path, **{**whole, "conditional": np.asarray(0), **change})
    with pytest.raises(BenchError, match=rf"likelihood\.npz: .*{complaint}"):
        LikelihoodFile.read(path)


def test_files_of_another_kind_are_refused(stats: LikelihoodFile, tmp_path) -> None:
    path = tmp_path / "likelihood.npz"
    with path.open("wb") as stream:
        np.save(stream, stats.rec)
    with pytest.raises(BenchError, match=r"likelihood\.npz: cannot be read"):
        LikelihoodFile.read(path)
    with pytest.raises(BenchError, match=r"likelihood\.npz: cannot be read"):
        LikelihoodFile.read(tmp_path / "missing" / "likelihood.npz")


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_a_damaged_file_is_one_line_or_a_file(stats: LikelihoodFile, tmp_path, save) -> None:
    """Bytes overwritten anywhere: whatever the archive's reader makes of them, nothing else escapes."""
    path, rng = tmp_path / "likelihood.npz", np.random.default_rng(0)
    save(path, **{f.name: np.asarray(getattr(stats, f.name)) for f in fields(stats)})
    whole, refused = path.read_bytes(), 0
    for start in rng.integers(0, len(whole) - 8, 150):
        path.write_bytes(whole[:start] + rng.bytes(8) + whole[start + 8 :])
        try:
            LikelihoodFile.read(path)
        except BenchError as error:
            assert "\n" not in str(error)
            refused += 1
    assert refused > 100


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
def test_options_are_checked(stats: LikelihoodFile, metric: Metric) -> None:
    with pytest.raises(BenchError, match=f"^{metric.name}: .*did you mean 'resamples'"):
        metric.compute(stats, {"resample": 3})
    for option, wrong in (("resamples", -1), ("seed", "0")):
        with pytest.raises(BenchError, match=f"^{metric.name}: option '{option}' must be a whole number"):
            metric.compute(stats, {option: wrong})


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
@pytest.mark.parametrize(("n", "groups"), [(0, 0), (0, 2), (3, 2)])
def test_no_example_has_no_value(metric: Metric, n: int, groups: int) -> None:
    with pytest.raises(Undefined, match=f"^{metric.name}: needs at least 1 test example .* got 0 of {n}$"):
        metric.compute(LikelihoodFile.empty(n, 0, 1, groups, 2, 1, 32), {})

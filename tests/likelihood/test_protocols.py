"""The likelihood metrics on a hand-made file, each protocol against its formula written out with loops."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from bench.errors import BenchError
from bench.metrics import au, elbo, iw, mi, paper_della
from bench.metrics.likelihood_file import LikelihoodFile, importance_weighted_nll, per_example


@pytest.fixture
def stats() -> LikelihoodFile:
    """N = 6 examples, M = 4 with K = 40 weights, G = 3 groups of D = 2."""
    rng = np.random.default_rng(0)
    made = LikelihoodFile.empty(6, 4, 40, 3, 2, 40, 2)
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
    assert 1 <= values["ess"].value <= 40


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
    one = replace(stats, kl=stats.kl[:, :1], mean=stats.mean[:, :1])
    exact = {**elbo.METRIC.compute(one, {}), **iw.METRIC.compute(one, {})}
    paper = paper_della.METRIC.compute(one, {})
    assert paper["paper:della/kl"].value == exact["kl"].value
    assert paper["paper:della/nelbo"].value == exact["nelbo"].value
    nll = importance_weighted_nll(one.log_w[:, :30]).sum()
    assert paper["paper:della/ppl"].value == pytest.approx(math.exp(nll / (26 + 4)))


def test_mutual_information(stats: LikelihoodFile) -> None:
    values = mi.METRIC.compute(stats, {})
    assert values["mi"].value == pytest.approx((stats.log_q - stats.log_q_full).mean())
    assert values["mi_batch"].value == pytest.approx((stats.log_q - stats.log_q_batch).mean())
    assert "1.79" in values["mi"].note and "0.69" in values["mi_batch"].note  # log 6, log 2


def test_a_plain_language_model_has_no_latent_columns() -> None:
    lm = LikelihoodFile.empty(3, 3, 1, 0, 32, 100, 32)
    lm.rec[:] = [10, 20, 30]
    lm.log_px[:, 0] = [-10, -20, -30]
    lm.predicted[:] = [4, 5, 6]
    lm.words[:] = [3, 4, 5]
    values = {**elbo.METRIC.compute(lm, {}), **iw.METRIC.compute(lm, {}), **mi.METRIC.compute(lm, {}),
              **au.METRIC.compute(lm, {}), **paper_della.METRIC.compute(lm, {})}  # fmt: skip
    assert set(values) == {"rec", "nelbo", "ppl", "ppl_word", "nll", "paper:della/nelbo", "paper:della/ppl"}
    assert values["ppl"].value == pytest.approx(math.exp(60 / 15))
    assert values["paper:della/ppl"].value == pytest.approx(math.exp(60 / 18))
    assert "exact" in values["ppl"].note


def test_signatures_tell_protocols_and_sizes_apart(stats: LikelihoodFile) -> None:
    exact = iw.METRIC.compute(stats, {})["ppl"].signature
    assert "protocol:exact" in exact and "K:40" in exact and "N:4" in exact
    fewer = replace(stats, log_px=stats.log_px[:3], log_pz_qz=stats.log_pz_qz[:3])
    assert iw.METRIC.compute(fewer, {})["ppl"].signature != exact
    assert "protocol:paper:della" in paper_della.METRIC.compute(stats, {})["paper:della/ppl"].signature


def test_file_round_trip_and_damage(stats: LikelihoodFile, tmp_path) -> None:
    path = tmp_path / "likelihood.npz"
    with path.open("wb") as stream:
        stats.write(stream)
    again = LikelihoodFile.read(path)
    np.testing.assert_array_equal(again.log_w, stats.log_w)
    np.testing.assert_array_equal(again.kl, stats.kl)
    assert (again.samples, again.mi_batch, again.groups) == (40, 2, 3)
    assert set(per_example(path)) == {"nelbo", "kl", "nll", "predicted"}
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(BenchError, match=r"likelihood\.npz: cannot be read"):
        LikelihoodFile.read(path)


def test_unknown_options_are_refused(stats: LikelihoodFile) -> None:
    with pytest.raises(BenchError, match="did you mean 'resamples'"):
        iw.METRIC.compute(stats, {"resample": 3})

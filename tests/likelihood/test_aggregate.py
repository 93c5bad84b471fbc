"""The aggregated posterior against scipy's densities, in the matrix product's domain and beyond it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import logsumexp
from scipy.stats import norm
from threadpoolctl import threadpool_limits

from bench.metrics import aggregate
from bench.metrics.aggregate import log_aggregate, log_density, mutual_information

Arrays = tuple[np.ndarray, np.ndarray, np.ndarray]


def gaussians(
    n: int, dims: tuple[int, ...], variance: float, centres: np.ndarray | float = 0.0, seed: int = 0
) -> Arrays:
    """A draw z_i of each posterior, means around ``centres`` with unit variance, log-variances around ``variance``."""
    rng = np.random.default_rng(seed)
    mean = rng.standard_normal((n, *dims)) + centres
    logvar = np.log(variance) + 0.3 * rng.standard_normal((n, *dims))
    return mean + np.exp(0.5 * logvar) * rng.standard_normal((n, *dims)), mean, logvar


def oracle(z: np.ndarray, mean: np.ndarray, logvar: np.ndarray) -> np.ndarray:
    """log q(z_i|x_j) of all pairs by scipy, [N, N]."""
    axes = tuple(range(1, z.ndim))
    return np.stack([norm(mean, np.exp(0.5 * logvar)).logpdf(z_i).sum(axis=axes) for z_i in z])


@pytest.mark.parametrize("centre", [0.0, 1000.0], ids=["centred", "far from 0"])
@pytest.mark.parametrize("variance", [1.0, 1e-2, 1e-4, 1e-5, 1e-6])
def test_against_scipy(variance: float, centre: float) -> None:
    """32 dims: variances of 1e-4 still go through the matrix product, smaller ones do not."""
    z, mean, logvar = gaussians(300, (32,), variance, centre)
    pairs = oracle(z, mean, logvar)
    np.testing.assert_allclose(
        log_aggregate(z, mean, logvar), logsumexp(pairs, axis=1) - np.log(300), rtol=0, atol=1e-9
    )
    np.testing.assert_allclose(log_density(z, mean, logvar), np.diag(pairs), rtol=0, atol=1e-9)


def test_clusters_far_apart() -> None:
    """No centre is near these means: the product would be wrong by 1e-4 nats."""
    centres = 100.0 * np.random.default_rng(1).choice([-1, 1], (200, 1))
    z, mean, logvar = gaussians(200, (32,), 1e-6, centres)
    expected = logsumexp(oracle(z, mean, logvar), axis=1) - np.log(200)
    np.testing.assert_allclose(log_aggregate(z, mean, logvar), expected, rtol=0, atol=1e-9)


def test_an_offset_of_all_means_is_taken_off(monkeypatch: pytest.MonkeyPatch) -> None:
    """Left in, it would make the product too coarse, and the slow way necessary."""
    monkeypatch.setattr(aggregate, "_differences", None)  # so that calling it is an error
    z, mean, logvar = gaussians(100, (32,), 0.1, 1000.0)
    at_zero = log_aggregate(z - 1000, mean - 1000, logvar)
    np.testing.assert_allclose(log_aggregate(z, mean, logvar), at_zero, rtol=0, atol=1e-9)


def test_both_ways_agree(monkeypatch: pytest.MonkeyPatch) -> None:
    z, mean, logvar = gaussians(150, (8,), 0.1)
    by_products = log_aggregate(z, mean, logvar)
    monkeypatch.setattr(aggregate, "LARGEST", 0.0)
    np.testing.assert_allclose(log_aggregate(z, mean, logvar), by_products, rtol=0, atol=1e-11)


@settings(max_examples=60, deadline=None)
@given(
    n=st.integers(1, 40), groups=st.integers(1, 4), dims=st.integers(1, 5), exponent=st.floats(-6, 2),
    centre=st.floats(-50, 50), seed=st.integers(0, 999), threads=st.integers(1, 3),
)  # fmt: skip
def test_any_shape(n: int, groups: int, dims: int, exponent: float, centre: float, seed: int, threads: int) -> None:
    """Groups are independent, so that their log densities add up; MI is at most log N."""
    z, mean, logvar = gaussians(n, (groups, dims), 10**exponent, centre, seed)
    pairs = oracle(z, mean, logvar)
    expected = logsumexp(pairs, axis=1) - np.log(n)
    np.testing.assert_allclose(log_aggregate(z, mean, logvar, threads), expected, rtol=0, atol=1e-9)
    assert mutual_information(z, mean, logvar) == pytest.approx((np.diag(pairs) - expected).mean(), abs=1e-9)
    assert mutual_information(z, mean, logvar) <= np.log(n) + 1e-9


@pytest.mark.filterwarnings("error")
def test_variances_beyond_all_numbers() -> None:
    """logvar = -800: each z_i has its own mean, log N(0) = 400 - log(2 pi) / 2 a dim, and no other's density."""
    at = np.arange(5.0)[:, None]
    logvar = np.full((5, 1), -800.0)
    own = 400 - 0.5 * np.log(2 * np.pi)
    np.testing.assert_allclose(log_density(at, at, logvar), own)
    np.testing.assert_allclose(log_aggregate(at, at, logvar), own - np.log(5))


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("largest", [aggregate.LARGEST, 0.0], ids=["products", "differences"])
def test_densities_of_a_model_that_diverged(monkeypatch: pytest.MonkeyPatch, largest: float) -> None:
    """Far from every mean: -inf, and the other rows are as they would be; nan: nan."""
    monkeypatch.setattr(aggregate, "LARGEST", largest)
    z, mean, logvar = gaussians(6, (3,), 0.5)
    expected = log_aggregate(z, mean, logvar)
    far = np.where(np.arange(6)[:, None] == 2, 1e200, z)
    assert log_density(far, mean, logvar)[2] == -np.inf
    found = log_aggregate(far, mean, logvar)
    assert found[2] == -np.inf
    np.testing.assert_array_equal(np.delete(found, 2), np.delete(expected, 2))
    assert np.isnan(log_aggregate(z, mean * np.nan, logvar)).all()


def test_more_examples_than_a_tile() -> None:
    n = aggregate.COLUMNS + 1
    z, mean, logvar = gaussians(n, (3,), 0.5)
    some = [0, aggregate.ROWS - 1, aggregate.ROWS, n - 1]
    pairs = np.stack([norm(mean, np.exp(0.5 * logvar)).logpdf(z[i]).sum(axis=1) for i in some])
    np.testing.assert_allclose(log_aggregate(z, mean, logvar)[some], logsumexp(pairs, axis=1) - np.log(n), atol=1e-11)


def test_threads_change_no_bit() -> None:
    z, mean, logvar = gaussians(1100, (4, 32), 0.3)  # enough dims for BLAS to split sums by its threads
    expected = log_aggregate(z, mean, logvar, threads=1)
    for workers in (2, 3):
        for blas in (1, 2, 4):
            with threadpool_limits(blas):
                np.testing.assert_array_equal(log_aggregate(z, mean, logvar, threads=workers), expected)


def test_mutual_information_at_its_ends() -> None:
    apart = 100.0 * np.arange(50.0)[:, None]
    assert mutual_information(apart, apart, np.zeros((50, 1))) == pytest.approx(np.log(50), abs=1e-12)
    same = np.zeros((50, 2))
    assert mutual_information(np.random.default_rng(0).standard_normal((50, 2)), same, same) == pytest.approx(
        0, abs=1e-12
    )

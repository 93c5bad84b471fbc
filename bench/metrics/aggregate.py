"""The aggregated posterior (1/N) sum_j q(z|x_j) of diagonal Gaussians, and the mutual information under it.

    log q(z_i|x_j) = -1/2 sum_d [ (z_id - mu_jd)^2 / var_jd + log 2 pi var_jd ]
                   = [z_i^2, z_i, 1] . [-1 / 2 var_j, mu_j / var_j, -1/2 sum_d (mu_jd^2 / var_jd + log 2 pi var_jd)]

The second line makes all N^2 pairs one matrix product, at the price of cancellation: with S = max_j sum_d
mu_jd^2 / var_jd, means taken about their centre, its error is one to two machine epsilons times S (measured for
variances 1 to 1e-6). Up to S = 1e6, which unit means with variances of 1e-4 reach, that is below 1e-9 nats; beyond it
the pairs are computed from their differences: six times slower, and exact to rounding.

Shapes: z, mean and logvar are [N, D], or [N, G, D] with groups independent of each other. All in float64, nats. Results
do not depend on the number of threads. A log density below all numbers is -inf, and one of nan is nan: a model that
diverged has results too.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import ArrayLike, NDArray
from threadpoolctl import ThreadpoolController

Floats = NDArray[np.float64]
Pairs = Callable[[slice, slice], Floats]  # rows i, columns j -> a new tile of log q(z_i|x_j)

ROWS, COLUMNS = 128, 1024  # of a tile: 1 MB
LARGEST = 1e6  # S up to which the matrix product is used
LOG_2_PI = np.log(2 * np.pi)
LARGEST_LOG = 700.0  # exp of it is a number
LIBRARIES = ThreadpoolController()  # numpy's BLAS is among them: looking for it at every call takes longer than a batch


def log_density(z: ArrayLike, mean: ArrayLike, logvar: ArrayLike) -> Floats:
    """log q(z_i|x_i) of each z_i under its own Gaussian, [N].

    >>> log_density([[0.0], [1.0]], [[0.0], [1.0]], [[0.0], [0.0]]).round(4)
    array([-0.9189, -0.9189])
    """
    at, mu, log_var = _flat(z), _flat(mean), _flat(logvar)
    with np.errstate(over="ignore", invalid="ignore"):
        return np.asarray(-0.5 * ((at - mu) ** 2 * _precision(log_var) + log_var + LOG_2_PI).sum(axis=1))


def log_aggregate(z: ArrayLike, mean: ArrayLike, logvar: ArrayLike, threads: int = 2) -> Floats:
    """log (1/N) sum_j q(z_i|x_j) of each z_i, [N].

    >>> log_aggregate([[0.0], [1.0]], [[0.0], [0.0]], [[0.0], [0.0]]).round(4)
    array([-0.9189, -1.4189])
    """
    at, mu, log_var = _flat(z), _flat(mean), _flat(logvar)
    with np.errstate(over="ignore", invalid="ignore"):
        centre = mu.mean(axis=0)
        at, mu, precision = at - centre, mu - centre, _precision(log_var)
        by = _products if (mu**2 * precision).sum(axis=1).max() <= LARGEST else _differences
        pairs, n = by(at, mu, log_var, precision), len(mu)
    blocks = [slice(start, start + ROWS) for start in range(0, len(at), ROWS)]
    # BLAS threads would split a product by how many they are, and so change its last bits
    with LIBRARIES.limit(limits=1, user_api="blas"), ThreadPoolExecutor(threads) as pool:
        return np.concatenate(list(pool.map(lambda rows: _log_sum(pairs, rows, n), blocks))) - np.log(n)


def mutual_information(z: ArrayLike, mean: ArrayLike, logvar: ArrayLike) -> float:
    """mean_i [log q(z_i|x_i) - log (1/N) sum_j q(z_i|x_j)], nats: at most log N. DELLA Eq. 14."""
    return float((log_density(z, mean, logvar) - log_aggregate(z, mean, logvar)).mean())


def _flat(array: ArrayLike) -> Floats:
    rows = np.asarray(array, dtype=np.float64)
    return rows.reshape(len(rows), -1)


def _precision(logvar: Floats) -> Floats:
    """1 / variance, below the largest number: times a difference of 0 it is 0."""
    return np.asarray(np.exp(np.minimum(-logvar, LARGEST_LOG)))


def _products(z: Floats, mean: Floats, logvar: Floats, precision: Floats) -> Pairs:
    of_z = np.concatenate([z**2, z, np.ones((len(z), 1))], axis=1)
    constant = -0.5 * (mean**2 * precision + logvar + LOG_2_PI).sum(axis=1)
    of_x = np.concatenate([-0.5 * precision, mean * precision, constant[:, None]], axis=1)
    return lambda rows, columns: of_z[rows] @ of_x[columns].T


def _differences(z: Floats, mean: Floats, logvar: Floats, precision: Floats) -> Pairs:
    constant = -0.5 * (logvar + LOG_2_PI).sum(axis=1)
    of_z, of_x, half = (np.ascontiguousarray(array.T) for array in (z, mean, 0.5 * precision))

    def pairs(rows: slice, columns: slice) -> Floats:
        tile = np.tile(constant[columns], (len(z[rows]), 1))
        for z_d, mean_d, half_d in zip(of_z, of_x, half, strict=True):
            step = z_d[rows, None] - mean_d[columns]
            step *= step
            step *= half_d[columns]
            tile -= step
        return tile

    return pairs


def _log_sum(pairs: Pairs, rows: slice, n: int) -> Floats:
    """log sum_j exp log q(z_i|x_j) of a block of rows, a tile of columns at a time."""
    total: Floats = np.array(-np.inf)
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):  # here: it does not reach other threads
        for start in range(0, n, COLUMNS):
            tile = pairs(rows, slice(start, start + COLUMNS))
            top = tile.max(axis=1)
            top[np.isneginf(top)] = 0  # -inf - -inf would be nan
            tile -= top[:, None]
            np.exp(tile, out=tile)
            total = np.logaddexp(total, top + np.log(tile.sum(axis=1)))
    return total

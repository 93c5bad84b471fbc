"""Sufficient statistics of a trained cell on its test set, one example at a time: the file every protocol reads.

Nothing is averaged here. Which groups are summed, which tokens are counted and how many samples are used is
arithmetic on this file (``bench.metrics``), so no paper's protocol ever needs a model to be run again.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import torch
from scipy.special import logsumexp
from torch import Tensor

from bench import device as devices
from bench import model as models
from bench.batch import Batch, Sequences, sorted_batches
from bench.cost import measured
from bench.data.sequences import read_sequences, words_kept
from bench.files import atomic
from bench.methods.base import Method
from bench.methods.gaussian import Gaussian, IndependentPosterior, Posterior, standard_normal
from bench.metrics import aggregate
from bench.metrics.likelihood_file import LikelihoodFile
from bench.paths import CellPaths
from bench.progress import progress
from bench.schema import Likelihood, Suite
from bench.suite import Cell, backbone_of, likelihood_of

EXAMPLES_AT_ONCE = 32  # texts whose posteriors are sampled; a part of a seed's values, as the next ones are
# What the importance sampler takes at once: texts, and decoder positions a pass. Noise is drawn for them in turn, so
# that these numbers are a part of a seed's values. As few as fit a CPU's caches would leave a GPU idle.
TEXTS_AT_ONCE = {"cpu": 1, "cuda": 32}
WITHOUT_NOISE = 32  # texts of a plain language model
POSITIONS_AT_ONCE = {"cpu": 1 << 12, "cuda": 1 << 16}
PAIRS_AT_ONCE = 1 << 22  # latent numbers a block of the aggregated posterior holds


def measure(suite: Suite, cell: Cell, device: str = "cpu") -> None:
    """Write ``likelihood.npz`` of one cell."""
    paths = CellPaths(suite.name, cell.dataset, cell.method, cell.seed)
    target = devices.select(device, suite.training.threads)
    method = models.load(paths.model).to(target)
    backbone = backbone_of(suite, cell.dataset, cell.method)
    sequences = read_sequences(paths.data, "test", backbone)
    with measured(paths.cost("likelihood")) as meter:
        meter.device = devices.describe(target)
        result = statistics(method, sequences, likelihood_of(suite, cell.dataset, cell.method), cell.seed, target)
        each = result.log_px.shape[1] if (listed := method.every_z()) is None else len(listed[0])
        meter.tokens = int(result.predicted.mean() * (len(result.log_px) * each + len(sequences)))
    with atomic(paths.likelihood, "wb") as stream:
        replace(result, words=words_kept(paths.data, "test", backbone)).write(stream)


@torch.inference_mode()
def statistics(
    method: Method, sequences: Sequences, plan: Likelihood, seed: int, device: torch.device | str = "cpu"
) -> LikelihoodFile:
    """All statistics of N test sequences; see :class:`LikelihoodFile` for shapes and units.

    The first M = ``plan.importance_examples`` get K = ``plan.importance_samples`` importance weights. A plain
    language model, or a posterior of one point, has one weight whatever K is; where every z can be listed, it is p(x).
    G is the most groups any sequence has.
    """
    n = len(sequences)
    used, separators = np.zeros(n, dtype=np.int64), np.zeros(n, dtype=np.int64)
    for rows, batch in sorted_batches(sequences, EXAMPLES_AT_ONCE):
        used[rows], separators[rows] = method.used(batch), method.separators(batch)
    groups = int(used.max())
    m = min(n, plan.importance_examples or n)
    k = plan.importance_samples if groups and not method.certain else 1
    latent, draws = method.options.latent, 1 if method.certain else plan.posterior_samples
    conditional = sequences.sources is not None
    out = LikelihoodFile.empty(n, m, k, groups, latent, plan.importance_samples, plan.mi_batch, draws, conditional)
    out.predicted[:] = [len(text) - 1 for text in sequences.texts]
    out.used[:], out.separators[:] = used, separators
    z, gaussians, apart = _posteriors(method, sequences, out, seed, device)
    torch.manual_seed(seed + 1)
    for rows, log_px, log_pz_qz in importance_weights_of(method, sequences.first(m), k, device):
        out.log_px[rows], out.log_pz_qz[rows] = log_px, log_pz_qz
    if conditional:  # no mixture over texts that depend on sources says anything: bench/metrics/mi.py
        return out
    if method.certain:
        _aggregate_points(z, out)
    elif groups and gaussians is not None:
        _aggregate_gaussians(z, gaussians, out, apart)
    elif groups:
        _aggregate_pairs(method, sequences, z, out, device)
    return out


def _posteriors(
    method: Method, sequences: Sequences, out: LikelihoodFile, seed: int, device: torch.device | str
) -> tuple[Tensor, Gaussian | None, bool]:
    """Into ``out`` what ``out.draws`` samples of each q(z|x) say.

    Returns the first of them, z [N, G, D]; q(z|x) where its groups are independent; and whether the number of groups is
    a part of z.
    """
    n, groups, latent = out.mean.shape
    absent = torch.Generator().manual_seed(seed + 2)  # groups a text does not have are N(0, I), as part of z_i too
    z = torch.randn(n, groups, latent, generator=absent).to(device)
    torch.manual_seed(seed)
    gaussians: Gaussian | None = Gaussian(torch.zeros_like(z), torch.zeros_like(z))
    apart = False
    for rows, batch in sorted_batches(sequences, EXAMPLES_AT_ONCE):
        batch = batch.to(device)
        condition = method.condition(batch)
        posterior = method.posterior(batch, condition)
        drawn = posterior.sample(out.draws)  # [S, B, G', D], G' the most groups in this batch
        given_lower, prior = posterior.conditional(drawn), method.prior(drawn, condition)
        g = drawn.shape[2]
        z[rows, :g] = drawn[0]
        if not isinstance(posterior, IndependentPosterior):
            gaussians = None
        elif gaussians is not None:
            gaussians.mean[rows, :g], gaussians.logvar[rows, :g] = posterior.mean, posterior.logvar
        out.rec[rows] = _array(-method.log_likelihood(batch, drawn[0], condition))
        out.kl[rows, :g] = _array(given_lower.kl(prior)[0])
        if (length := method.length_nll(batch)) is not None:
            apart, out.length[rows] = True, _array(length)
        # what varies with c alone is no activity: the means of q(z|x, c) count from those of p(z|c)
        means = given_lower.mean - prior.mean if out.conditional else given_lower.mean
        out.mean[rows, :g] = _array(means.mean(0))
        if out.draws > 1 and g:
            there = np.arange(g) < out.used[rows][:, None]
            out.noise[:g] += (_array(means.double().var(0)) * there[..., None]).sum(0) / out.draws
        out.logvar[rows, :g] = _array(given_lower.logvar.mean(0))
    out.noise[:] /= (out.used[:, None] > np.arange(groups)).sum(0)[:, None]
    return z, gaussians, apart


def importance_weights_of(
    method: Method, sequences: Sequences, k: int, device: torch.device | str
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """The rows of some texts, as many as the device takes at once, and their :func:`importance_weights`."""
    at_once = TEXTS_AT_ONCE[torch.device(device).type] if method.groups else WITHOUT_NOISE
    batches = sorted_batches(sequences, at_once)
    for rows, batch in progress(batches, math.ceil(len(sequences) / at_once), "importance weights"):
        yield rows, *importance_weights(method, batch.to(device), k)


def importance_weights(method: Method, batch: Batch, k: int) -> tuple[np.ndarray, np.ndarray]:
    """The two parts of log w_k = log p(x|z_k) + sum_g [log p(z_g) - log q(z_g|x)], z_k ~ q(z|x): each [B, K], nats.

    Where every z can be listed the one weight is p(x) = sum_z p(z) p(x|z), all of it in the first part: each [B, 1].
    """
    condition = method.condition(batch)
    read = batch.ids.numel() + (0 if batch.condition is None else batch.condition.ids.numel())
    at_once = max(1, POSITIONS_AT_ONCE[batch.ids.device.type] // read)
    px, pz_qz = [], []
    if (listed := method.every_z()) is not None:
        every, log_p = listed
        for z in every[:, None].expand(-1, len(batch), -1, -1).split(at_once):
            px.append(_array(method.log_likelihood(batch, z, condition)))
        marginal = logsumexp(np.concatenate(px) + _array(log_p)[:, None], axis=0)[:, None]
        return marginal, np.zeros_like(marginal)
    posterior = method.posterior(batch, condition)
    for start in range(0, k, at_once):
        z = posterior.sample(min(at_once, k - start))
        px.append(_array(method.log_likelihood(batch, z, condition)))
        pz_qz.append(_array((method.log_prior(z, condition) - posterior.log_prob(z)).double().sum(-1)))
    return np.concatenate(px).T, np.concatenate(pz_qz).T


def _aggregate_gaussians(z: Tensor, gaussians: Gaussian, out: LikelihoodFile, apart: bool) -> None:
    """log q(z_i|x_i), and log (1/N) sum_j q(z_i|x_j) over the whole set and over batches in test order.

    ``apart``: the number of groups is a part of z, so q(z_i|x_j) is 0 where x_j has another number.
    """
    z_i, mean, logvar = _array(z), _array(gaussians.mean), _array(gaussians.logvar)
    used = out.used if apart else np.full(len(z_i), z_i.shape[1])

    def mixture(rows: np.ndarray, threads: int) -> tuple[np.ndarray, np.ndarray]:
        own, all_of_them = np.empty(len(rows)), np.empty(len(rows))
        for g in np.unique(used[rows]):
            same = used[rows] == g
            at, mu, log_var = (part[rows[same], :g] for part in (z_i, mean, logvar))
            own[same] = aggregate.log_density(at, mu, log_var)
            all_of_them[same] = aggregate.log_aggregate(at, mu, log_var, threads) + np.log(same.mean())
        return own, all_of_them

    n = np.arange(len(z_i))
    out.log_q[:], out.log_q_full[:] = mixture(n, torch.get_num_threads())
    for start in range(0, len(n), out.mi_batch):
        rows = n[start : start + out.mi_batch]
        out.log_q_batch[rows] = mixture(rows, threads=1)[1]


def _aggregate_points(z: Tensor, out: LikelihoodFile) -> None:
    """The same of posteriors that are one point each: q(z_i|x_j) is 1 where x_j has the same z, else 0."""
    points = [(used, row[:used].tobytes()) for used, row in zip(out.used.tolist(), z.cpu().numpy(), strict=True)]

    def mixture(rows: list[tuple[int, bytes]]) -> list[float]:
        counts = Counter(rows)
        return [math.log(counts[row] / len(rows)) for row in rows]

    out.log_q[:], out.log_q_full[:] = 0.0, mixture(points)
    for start in range(0, len(points), out.mi_batch):
        rows = slice(start, start + out.mi_batch)
        out.log_q_batch[rows] = mixture(points[rows])


def _aggregate_pairs(
    method: Method, sequences: Sequences, z: Tensor, out: LikelihoodFile, device: torch.device | str
) -> None:
    """The same of hierarchical posteriors, evaluated at every pair (i, j): their conditionals depend on z_i."""
    n, mi_batch = len(sequences), out.mi_batch
    full = np.full(n, -np.inf)
    for columns, batch in sorted_batches(sequences, mi_batch):
        log_q = _pairs(_posterior(method, batch.to(device)), z)  # [N, columns]
        full = np.logaddexp(full, np.logaddexp.reduce(log_q, axis=1))
        out.log_q[columns] = log_q[columns, np.arange(len(columns))]
    out.log_q_full[:] = full - np.log(n)
    for start in range(0, n, mi_batch):
        rows = np.arange(start, min(n, start + mi_batch))
        log_q = _pairs(_posterior(method, sequences.batch(rows).to(device)), z[rows])
        out.log_q_batch[rows] = np.logaddexp.reduce(log_q, axis=1) - np.log(len(rows))


def _posterior(method: Method, batch: Batch) -> Posterior:
    return method.posterior(batch, method.condition(batch))


def _pairs(posterior: Posterior, z: Tensor) -> np.ndarray:
    """log q(z_i | x_j), groups summed, for every z_i [N, G, D] and every x_j of a batch of B: [N, B], in blocks.

    Groups that no x_j of the batch has are N(0, I).
    """
    b, g = posterior.mean.shape[:2]
    rest = standard_normal(z[:, g:]).log_prob(z[:, g:]).double().sum(-1)
    blocks = z[:, :g].split(max(1, PAIRS_AT_ONCE // max(1, b * z[0].numel())))
    own = torch.cat([posterior.log_prob(block[:, None]).double().sum(-1) for block in blocks])
    return _array(own + rest[:, None])


def _array(tensor: Tensor) -> np.ndarray:
    return tensor.double().cpu().numpy()

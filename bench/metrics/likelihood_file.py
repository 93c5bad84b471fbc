"""``likelihood.npz``: per-example sufficient statistics of a trained cell. Numpy only: scoring needs no torch."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp

from bench.errors import BenchError

Floats = NDArray[np.float64]

AXES: Mapping[str, str] = {  # of each array; equal letters are equal lengths
    "rec": "N", "kl": "NG", "log_px": "MK", "log_pz_qz": "MK", "log_q": "N", "log_q_full": "N", "log_q_batch": "N",
    "length": "N", "mean": "NGD", "logvar": "NGD", "noise": "GD", "predicted": "N", "words": "N", "used": "N",
    "separators": "N", "samples": "", "mi_batch": "", "draws": "", "conditional": "",
}  # fmt: skip
COUNTS = frozenset({"predicted", "words", "used", "separators", "samples", "mi_batch", "draws", "conditional"})


@dataclass(frozen=True)
class LikelihoodFile:
    """N test examples, the first M of them with K importance weights; G latent groups of D dims. All nats.

    Attributes
    ----------
    rec: [N] -log p(x|z) at one posterior sample.
    kl: [N, G] KL(q(z_g|z_<g, x) || p(z_g|z_<g)), closed form along that sample.
    log_px: [M, K] log p(x|z_k), z_k ~ q(z|x); [M, 1] log p(x) where there is no z, or every z was listed.
    log_pz_qz: [M, K] sum over groups of log p(z_g|.) - log q(z_g|.); a mean over groups is this divided by G.
    log_q: [N] log q(z_i|x_i), groups summed, at one sample z_i.
    log_q_full: [N] log (1/N) sum_j q(z_i|x_j).
    log_q_batch: [N] the same over batches of ``mi_batch`` in test order. Of a conditional model all three are 0.
    length: [N] -log p(G_i), what it costs to say how many groups there are where that is a part of z (latent
        sequences), or -log p(end|z_1 ... z_G) where an end code says it: in every bound and in the KL of the whole z,
        and in no group's. 0 elsewhere.
    mean, logvar: [N, G, D] posterior means and log-variances, averaged over ``draws`` of the lower groups. Of a
        conditional model the means are those of q(z_g|z_<g, x, c) minus those of p(z_g|z_<g, c): what x adds.
    noise: [G, D] what the averages ``mean`` vary by from one such average to the next, for want of more draws: the
        variance over draws divided by their number, a mean over the examples that use the group.
    predicted: [N] predicted tokens (x and EOS); + 1 counts BOS.
    words: [N] white-space words of which the predicted tokens hold a part.
    used: [N] how many groups an example really has, its first ones: G but for ragged segments or steps. The KL of the
        others is 0.
    separators: [N] predicted tokens between two segments ([SEP]): in rec and log_px, not in ``predicted``.
    samples: K as the suite asks (a plain language model has one exact weight, whatever K is).
    mi_batch: batch size of ``log_q_batch``.
    draws: posterior samples behind ``mean`` and ``logvar``.
    conditional: whether texts have conditions; every density above is then given c as well.
    """

    rec: Floats
    kl: Floats
    log_px: Floats
    log_pz_qz: Floats
    log_q: Floats
    log_q_full: Floats
    log_q_batch: Floats
    length: Floats
    mean: Floats
    logvar: Floats
    noise: Floats
    predicted: NDArray[np.int64]
    words: NDArray[np.int64]
    used: NDArray[np.int64]
    separators: NDArray[np.int64]
    samples: int
    mi_batch: int
    draws: int
    conditional: bool

    @classmethod
    def empty(
        cls, n: int, m: int, k: int, groups: int, latent: int, samples: int, mi_batch: int, draws: int = 1,
        conditional: bool = False,
    ) -> LikelihoodFile:  # fmt: skip
        """Zero-filled arrays of the right shapes; every example uses every group."""
        sizes = {"N": n, "M": m, "K": k, "G": groups, "D": latent}
        arrays: dict[str, Any] = {
            name: np.zeros([sizes[axis] for axis in axes], np.int64 if name in COUNTS else np.float64)
            for name, axes in AXES.items()
            if axes
        }
        arrays["used"][:] = groups
        return cls(**arrays, samples=samples, mi_batch=mi_batch, draws=draws, conditional=conditional)

    def write(self, stream: IO[bytes]) -> None:
        """As .npz; posterior means and log-variances in float32, everything that is summed in float64."""
        arrays = {f.name: np.asarray(getattr(self, f.name)) for f in fields(self)}
        arrays["conditional"] = arrays["conditional"].astype(np.int64)
        arrays.update(mean=arrays["mean"].astype(np.float32), logvar=arrays["logvar"].astype(np.float32))
        np.savez(stream, **arrays)  # type: ignore[arg-type]

    @classmethod
    def read(cls, path: str | Path) -> LikelihoodFile:
        """From disk, nothing unpickled; a missing, damaged or foreign file is a :class:`BenchError`."""
        try:
            with open(path, "rb") as stream, np.lib.npyio.NpzFile(stream, allow_pickle=False) as archive:
                arrays: dict[str, Any] = {name: archive[name] for name in AXES if name in archive}
        except (OSError, ValueError, EOFError, RuntimeError, zipfile.BadZipFile, zlib.error) as error:
            raise BenchError(f"likelihood file {path}: cannot be read ({error})") from None
        problem = _problem(arrays)
        if problem:
            raise BenchError(f"likelihood file {path}: {problem}; measure it again")
        single = {name: int(arrays[name]) for name in ("samples", "mi_batch", "draws")}
        return cls(**{**arrays, **single, "conditional": bool(arrays["conditional"])})

    @property
    def groups(self) -> int:
        """G; 0 for a plain language model."""
        return self.kl.shape[1]

    @property
    def importance_examples(self) -> int:
        """M."""
        return self.log_px.shape[0]

    @cached_property
    def log_w(self) -> Floats:
        """[M, K] log importance weights of the bound: groups summed, and their number coded."""
        return self.log_px + self.log_pz_qz - self.length[: self.importance_examples, None]

    @property
    def exact(self) -> bool:
        """Whether the one weight that each example has is p(x): there is no z, or all were summed."""
        return self.log_px.shape[1] == 1 and not self.log_pz_qz.any() and not self.length.any()

    def counted(self, k: int) -> str:
        """Of a number that is made of k importance weights where there are as many: which z it counts, in words."""
        if self.exact:
            return "exact: every z is counted" if self.groups else "exact: no latent variable"
        return f"K = {k}" if self.log_px.shape[1] == self.samples else "by the one z that q(z|x) has"

    @property
    def kl_total(self) -> Floats:
        """[N] KL(q(z|x) || p(z)) of the whole z: groups summed, and their number coded."""
        return self.kl.sum(axis=1) + self.length

    @property
    def kl_averaged(self) -> Floats:
        """[N] KL averaged over the groups an example uses: what papers report instead of the sum."""
        return self.kl.sum(axis=1) / np.maximum(self.used, 1)

    @property
    def log_w_averaged(self) -> Floats:
        """[M, K] log importance weights with log p(z) - log q(z) averaged over the groups an example uses: no bound."""
        return self.log_px + self.log_pz_qz / np.maximum(self.used[: self.importance_examples, None], 1)

    @property
    def nelbo(self) -> Floats:
        """[N] rec + KL of the whole z."""
        return self.rec + self.kl_total

    @property
    def nll(self) -> Floats:
        """[M] the importance-weighted bound NLL_K."""
        return importance_weighted_nll(self.log_w)


def _problem(arrays: Mapping[str, NDArray[Any]]) -> str:
    """What keeps arrays from being a likelihood file, in words; "" where nothing does."""
    missing = [name for name in AXES if name not in arrays]
    if missing:
        return f"has no {', '.join(missing)}"
    lengths: dict[str, int] = {}
    for name, axes in AXES.items():
        array = arrays[name]
        kinds, what = ("iu", "whole numbers") if name in COUNTS else ("f", "floating-point numbers")
        if not isinstance(array, np.ndarray) or array.dtype.kind not in kinds:
            return f"{name} is no array of {what}"
        if array.ndim != len(axes) or any(lengths.get(a, n) != n for a, n in zip(axes, array.shape, strict=True)):
            known = "".join(f", {axis} = {lengths[axis]}" for axis in axes if axis in lengths)
            return f"{name} has shape {list(array.shape)}, not [{', '.join(axes)}]{known}"
        lengths |= dict(zip(axes, array.shape, strict=True))
    if lengths["M"] > lengths["N"]:
        return f"has importance weights of {lengths['M']} examples, but only {lengths['N']} examples"
    for name in ("samples", "mi_batch", "draws"):
        if arrays[name] < 1:
            return f"{name} is {arrays[name]}, not at least 1"
    if lengths["K"] < 1:
        return "has no importance weight"
    unused = arrays["kl"][np.arange(lengths["G"]) >= arrays["used"][:, None]]
    if np.nan_to_num(unused).any():  # of a model that diverged they may be nan
        return "a group that its example does not use has a KL other than 0"
    return ""


def importance_weighted_nll(log_w: Floats, k: int | None = None) -> Floats:
    """NLL_K of each example, [M], nats: -(logsumexp_k log w_k - log K), Burda et al. 2016 Eq. 8; DELLA Eq. 13.

    With ``k`` smaller than the number of weights, the mean over disjoint blocks of k: less noise than the first k
    alone, and where one k divides the next, and that the number of weights, decreasing on every sample, not only in
    expectation.
    """
    blocks = disjoint_blocks(log_w, k)
    return -(logsumexp(blocks, axis=2) - np.log(blocks.shape[2])).mean(axis=1)


def disjoint_blocks(log_w: Floats, k: int | None = None) -> Floats:
    """[M, K] -> [M, K // k, k], a rest that does not fill a block left out; k is K where not given."""
    m, samples = log_w.shape
    k = samples if k is None else k
    return log_w[:, : samples // k * k].reshape(m, samples // k, k)


def per_example(path: str | Path) -> dict[str, list[float]]:
    """What a frozen record keeps for a paired bootstrap: nelbo and KL of N examples, NLL of the first M, nats.

    Statistics that are not all finite, those of a model that diverged, are left out: they cannot be resampled.
    """
    stats = LikelihoodFile.read(path)
    columns = {"nelbo": stats.nelbo, "kl": stats.kl_total, "nll": stats.nll, "predicted": stats.predicted}
    return {name: column.tolist() for name, column in columns.items() if np.isfinite(column).all()}

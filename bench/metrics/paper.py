"""What the papers' own arithmetics share: their values, named ``paper:<name>/...`` and signed.

The equations are in ``paper_della``, ``paper_trace`` and ``paper_davam``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.metrics.au import active_units, means
from bench.metrics.base import Metric, Value, signature
from bench.metrics.bootstrap import Bootstrap
from bench.metrics.likelihood_file import Floats, LikelihoodFile, importance_weighted_nll
from bench.metrics.likelihood_values import measured_perplexity, require_examples

Counts = NDArray[np.int64]


@dataclass(frozen=True)
class Paper:
    """One paper's protocol: its name ``paper:...``, the metric's version, and how intervals are made."""

    protocol: str
    version: int
    bootstrap: Bootstrap

    @classmethod
    def of(cls, metric: Metric, stats: LikelihoodFile, options: Mapping[str, Any]) -> Paper:
        """From the metric and its options, checked, and so are the statistics."""
        require_examples(metric.name, stats)
        return cls(metric.name, metric.version, Bootstrap.of(metric.name, options))

    def means(self, columns: Mapping[str, Floats]) -> dict[str, Value]:
        """Means over examples, each column [N] under its key."""
        made = self.bootstrap.means(np.stack(list(columns.values()), axis=1))
        return {
            self._key(key): measured.signed(len(column), self._signature(key, N=len(column)))
            for (key, column), measured in zip(columns.items(), made, strict=True)
        }

    def perplexity(self, nll: Floats, count: Counts, note: str = "", **parts: object) -> dict[str, Value]:
        """exp(sum nll / sum count), both [N], as ``ppl``; ``parts`` go into its signature."""
        measured = measured_perplexity(nll, count.astype(np.float64), self.bootstrap)
        return {self._key("ppl"): measured.signed(len(nll), self._signature("ppl", **parts, N=len(nll)), note)}

    def averaged(
        self, stats: LikelihoodFile, samples: int, threshold: float, count: Counts, counting: str, of_model: str
    ) -> dict[str, Value]:
        """All values of a protocol that averages groups: DELLA's and TRACE's, which differ in what is given here.

        ``samples`` are the importance samples, fewer where the suite has fewer; ``threshold`` is that of active units;
        ``count`` [M] are the tokens of each text, ``counting`` says which; ``of_model`` notes what a plain language
        model's number is.
        """
        k = min(samples, stats.samples)
        columns = {"nelbo": stats.rec + stats.kl_averaged, **({"kl": stats.kl_averaged} if stats.groups else {})}
        note = stats.counted(k) if stats.groups else of_model
        nll = importance_weighted_nll(stats.log_w_averaged[:, :k])
        values = self.means(columns) | self.perplexity(nll, count, note, K=k, tokens=counting)
        return values | self.active_units(stats, threshold) if stats.groups else values

    def active_units(self, stats: LikelihoodFile, threshold: float) -> dict[str, Value]:
        """Active units averaged over groups."""
        active, n = float(active_units(stats, threshold).mean()), len(stats.mean)
        signed = self._signature("au", delta=threshold, **means(stats), N=n)
        return {self._key(f"au_{threshold:g}"): Value(active, None, n, signed, "none")}

    def _key(self, key: str) -> str:
        return f"{self.protocol}/{key}"

    def _signature(self, key: str, **parts: object) -> str:
        return signature(key, self.version, protocol=self.protocol, groups="mean", **parts)

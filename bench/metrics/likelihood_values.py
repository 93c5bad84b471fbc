"""What the metrics of a likelihood file share: when they are defined, and perplexity with its interval."""

from __future__ import annotations

import numpy as np

from bench.metrics.base import Undefined
from bench.metrics.bootstrap import Bootstrap, Examples, Measured
from bench.metrics.likelihood_file import Floats, LikelihoodFile


def require_examples(metric: str, stats: LikelihoodFile) -> None:
    """Raise :class:`Undefined` where there is no test example, or none with importance weights."""
    n, m = len(stats.rec), stats.importance_examples
    if not (n and m):
        raise Undefined(f"{metric}: needs at least 1 test example with importance weights, got {m} of {n}")


def measured_perplexity(nll: Floats, tokens: Floats, bootstrap: Bootstrap) -> Measured:
    """exp(sum NLL / sum tokens), both [N]: over the corpus, not a mean over examples.

    For its interval, NLL and token count of an example are drawn together. Infinite where it exceeds all numbers.
    """
    estimate = _perplexity(np.array([[nll.sum(), tokens.sum()]]))
    examples = Examples(np.stack([nll, tokens], axis=1), _perplexity)
    (measured,) = bootstrap.measure(estimate, lambda: [examples])
    return measured


def _perplexity(of_both: Floats) -> Floats:
    """Sums or means of NLL and tokens [..., 2] -> [...]."""
    with np.errstate(over="ignore"):
        return np.asarray(np.exp(of_both[..., 0] / of_both[..., 1]))

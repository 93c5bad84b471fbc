"""ROUGE-1, ROUGE-2 and ROUGE-L of conditional generation: each generated text x against its one reference y.

    ROUGE-n:  P = m_n / max(1, |x| - n + 1),  R = m_n / max(1, |y| - n + 1),  m_n: clipped n-gram matches
    ROUGE-L:  P = LCS(x, y) / |x|,  R = LCS(x, y) / |y|,  LCS: length of the longest common subsequence of tokens
    F1 = 2 P R / (P + R)

each 0 where its numerator is 0. The number reported is the mean over pairs, in percent; its interval is a bootstrap
over pairs. These are the semantics of Google's rouge-score without stemmer: plain L, whose text is one sequence, not
Lsum. Its tokeniser lower-cases and keeps runs of ASCII letters and digits: every other character, accented letters
and all of other scripts included, separates tokens and matches nothing.

The LCS is found bit-parallel, one row of the dynamic programme in one Python integer, so a pair of long texts costs
|x| |y| / 30 rather than |x| |y| steps.

Lin (2004), "ROUGE"; Allison & Dix (1986), "A bit-string longest-common-subsequence algorithm"; Hyyro (2004),
"Bit-parallel LCS-length computation revisited".
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.metrics.base import Metric, Quantity, TextInputs, Value, signature
from bench.metrics.bootstrap import DEFAULTS, Bootstrap
from bench.metrics.pair_ngrams import lengths, matches, token_ids, windows

Floats = NDArray[np.float64]

VARIANTS = ("1", "2", "L")
FORMS = ("f1", "p", "r")

_find_tokens = re.compile("[a-z0-9]+").findall


def tokenise(text: str) -> list[str]:
    """Tokens of rouge-score's default tokeniser without stemmer.

    >>> tokenise("The Café's 2nd naïve-Bayes")
    ['the', 'caf', 's', '2nd', 'na', 've', 'bayes']
    """
    return _find_tokens(text.lower())


def rouge_scores(generated: Sequence[str], references: Sequence[str]) -> Floats:
    """F1, precision and recall of ROUGE-1, 2 and L of each pair: [N, 3 (1, 2, L), 3 (F1, P, R)] in 0..1.

    :class:`bench.errors.BenchError` where there are not equally many texts.

    >>> rouge_scores(["The cat sat."], ["the dog sat on it"]).round(3)
    array([[[0.5  , 0.667, 0.4  ],
            [0.   , 0.   , 0.   ],
            [0.5  , 0.667, 0.4  ]]])
    """
    xs, ys = token_ids(tokenise, generated, references)
    found = np.column_stack([matches(xs, ys, 2), [lcs_length(x, y) for x, y in zip(xs, ys, strict=True)]])
    x_sizes, y_sizes = (np.column_stack([windows(size, 2), size]) for size in (lengths(xs), lengths(ys)))
    precision, recall = found / np.maximum(1, x_sizes), found / np.maximum(1, y_sizes)
    f1 = 2 * precision * recall / np.where(found > 0, precision + recall, 1)
    return np.stack([f1, precision, recall], axis=-1)


def lcs_length(xs: Sequence[int], ys: Sequence[int]) -> int:
    """Length of the longest common subsequence.

    Bit i of ``row`` is 0 where the LCS of xs[: i + 1] and the ys so far is one longer than that of xs[:i]; adding
    carries each match up to the next such place.

    >>> lcs_length([1, 2, 3, 4, 1], [3, 4, 1, 2, 1])
    3
    """
    places: dict[int, int] = {}  # token -> bits of its places in xs
    for i, x in enumerate(xs):
        places[x] = places.get(x, 0) | 1 << i
    row = full = (1 << len(xs)) - 1
    for y in ys:
        if matched := row & places.get(y, 0):
            row = (row + matched | row - matched) & full
    return len(xs) - row.bit_count()


def _compute(inputs: TextInputs, options: Mapping[str, Any]) -> dict[str, Value]:
    bootstrap = Bootstrap.of("rouge", options)
    inputs.require_pairs("rouge")
    n = len(inputs.generated)
    scores = 100 * rouge_scores(inputs.generated, inputs.references)
    return {
        _key(variant, form): measured.signed(
            n, signature("rouge", METRIC.version, n=variant, form=form, tok="rouge-score", stem="no")
        )
        for (variant, form), measured in zip(_COLUMNS, bootstrap.means(scores.reshape(n, -1)), strict=True)
    }


def _key(variant: str, form: str) -> str:
    return f"rouge{variant}" if form == "f1" else f"rouge{variant}_{form}"


_COLUMNS = [(variant, form) for variant in VARIANTS for form in FORMS]
_FORMULAS = {"f1": "2 P R / (P + R)", "p": "P", "r": "R"}
_SHARES = {
    "1": "P, R: unigram matches over unigrams of the text, of its reference",
    "2": "P, R: bigram matches over bigrams of the text, of its reference",
    "L": "P, R: longest common subsequence over length of the text, of its reference",
}

METRIC = Metric(
    name="rouge",
    family="pairs",
    needs="pairs",
    quantities=tuple(
        Quantity(
            key=_key(variant, form),
            label=f"ROUGE-{variant}" if form == "f1" else f"ROUGE-{variant} {form.upper()}",
            direction="up",
            formula=f"100 mean over pairs of {_FORMULAS[form]}; {_SHARES[variant]}",
            unit="percent",
            range=(0.0, 100.0),
            source="Lin 2004; rouge-score without stemmer",
            detail=form != "f1",
        )
        for variant, form in _COLUMNS
    ),
    compute=_compute,
    signatures=("rouge|n:<1, 2 or L>|form:<f1, p or r>|tok:rouge-score|stem:no|v:1",),
    defaults=DEFAULTS,
)

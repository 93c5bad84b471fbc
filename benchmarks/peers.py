"""The jobs of ``benchmarks.metrics``: each timed, and its values compared with a peer's."""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np

from bench.metrics.aggregate import log_aggregate, log_density, mutual_information
from bench.metrics.base import TextInputs
from bench.metrics.bleu import bleu_scores
from bench.metrics.bootstrap import Bootstrap
from bench.metrics.cnd import cnd
from bench.metrics.distinct import distinct
from bench.metrics.entropy import entropy
from bench.metrics.jaccard import jaccard
from bench.metrics.ngrams import NgramIndex
from bench.metrics.rouge import rouge_scores
from bench.metrics.self_bleu import self_bleu_scores
from bench.metrics.tokenise import tokenise

ORDERS = range(1, 6)
WEIGHTS = {n: tuple([1 / n] * n) for n in ORDERS}
REPEATS = 7
FAST_WEIGHTS = {n: WEIGHTS[n] for n in range(2, 6)}  # fast-bleu has no order 1


@dataclass(frozen=True)
class Row:
    """One job, ours beside one peer's. ``deviation`` None: nothing to compare; ``wrong``: why it may differ."""

    job: str
    ours: float  # seconds
    peer: str = ""
    theirs: float | None = None
    scaled: bool = False
    deviation: float | None = None
    tolerance: float = 1e-12
    wrong: str = ""

    @property
    def failed(self) -> bool:
        return not self.wrong and self.deviation is not None and not self.deviation <= self.tolerance

    def cells(self) -> list[str]:
        """As a line of the table."""
        ratio = "" if self.theirs is None else f"{rounded(self.theirs / self.ours)}×"
        theirs = "" if self.theirs is None else f"{'~' * self.scaled}{seconds(self.theirs)}"
        deviation = "" if self.deviation is None else f"{self.deviation:.1e}"
        return [self.job, seconds(self.ours), self.peer, theirs, ratio, deviation, self.wrong]


def seconds(value: float) -> str:
    """Three digits."""
    return f"{rounded(value)} s"


def rounded(value: float) -> str:
    """Three digits, in full: ``"0.0615"``, ``"139,000"``.

    >>> rounded(0.06149), rounded(138_622)
    ('0.0615', '139,000')
    """
    return f"{float(f'{value:.3g}'):,.0f}" if value >= 100 else f"{value:.3g}"


def best(job: Callable[[], Any], repeats: int = REPEATS) -> float:
    """The least of several times, after one run that is not counted."""
    job()
    return min(once(job)[0] for _ in range(repeats))


def once(job: Callable[[], Any]) -> tuple[float, Any]:
    """Seconds, and what came of it."""
    began = time.perf_counter()
    result = job()
    return time.perf_counter() - began, result


def largest(ours: Any, theirs: Any) -> float:
    """The largest absolute difference."""
    return float(np.max(np.abs(np.asarray(ours, dtype=np.float64) - np.asarray(theirs, dtype=np.float64))))


def bleu_rows(generated: list[str], references: list[str], few: int) -> list[Row]:
    """BLEU-1..5 of every text against all references, from strings to scores."""
    import fast_bleu
    import sacrebleu
    from nltk.translate.bleu_score import SmoothingFunction, sentence_bleu
    from torchmetrics.functional.text import bleu_score

    ours = best(lambda: bleu_scores(NgramIndex(generated, references)))
    scores = bleu_scores(NgramIndex(generated, references))
    hypotheses, all_references = [tokenise(t) for t in generated], [tokenise(t) for t in references]
    scale = len(generated) / few
    smoothing = SmoothingFunction().method1

    def nltk() -> list[list[float]]:
        weights = list(WEIGHTS.values())
        return [sentence_bleu(all_references, h, weights, smoothing) for h in hypotheses[:few]]  # type: ignore[arg-type]

    def fast() -> Any:
        return fast_bleu.BLEU(all_references, FAST_WEIGHTS).get_score(hypotheses)

    def sacre() -> list[float]:
        metric = sacrebleu.BLEU(tokenize="none", smooth_method="add-k", smooth_value=0.1, effective_order=True)
        return [metric.sentence_score(" ".join(h), references).score for h in hypotheses[:3]]

    def torch() -> list[float]:
        return [float(bleu_score([" ".join(h)], [references], n_gram=4)) for h in hypotheses[:3]]

    nltk_time, nltk_scores = once(nltk)
    fast_time, fast_scores = once(fast)
    fast_matrix = np.array([fast_scores[n] for n in FAST_WEIGHTS]).T
    job = "BLEU-1..5, all references"
    return [
        Row(job, ours, "nltk", nltk_time * scale, True, largest(scores[:few], nltk_scores)),
        Row(job, ours, "fast-bleu (orders 2..5)", fast_time, False, largest(scores[:, 1:], fast_matrix), 1e-6),
        Row(job, ours, "sacrebleu (order 4)", once(sacre)[0] * len(generated) / 3, True),
        Row(job, ours, "torchmetrics (order 4)", once(torch)[0] * len(generated) / 3, True),
    ]


def self_bleu_rows(generated: list[str], few: int) -> list[Row]:
    """Self-BLEU-1..5 with leave-one-out references, from strings to scores."""
    import fast_bleu
    from nltk.translate.bleu_score import SmoothingFunction, sentence_bleu

    ours = best(lambda: self_bleu_scores(NgramIndex(generated, [])))
    scores = self_bleu_scores(NgramIndex(generated, []))
    tokens, smoothing = [tokenise(t) for t in generated], SmoothingFunction().method1
    scale, weights = len(generated) / few, list(WEIGHTS.values())

    def nltk() -> list[list[float]]:
        return [sentence_bleu(tokens[:i] + tokens[i + 1 :], tokens[i], weights, smoothing) for i in range(few)]  # type: ignore[arg-type]

    def texygen() -> list[float]:  # its default: all texts are references, the scored one among them
        return [sentence_bleu(tokens, tokens[i], weights[4], smoothing) for i in range(few)]

    nltk_time, nltk_scores = once(nltk)
    fast_time, fast_scores = once(lambda: fast_bleu.SelfBLEU(tokens, FAST_WEIGHTS).get_score())
    fast_matrix = np.array([fast_scores[n] for n in FAST_WEIGHTS]).T
    texygen_time, texygen_scores = once(texygen)
    job = "Self-BLEU-1..5, leave one out"
    return [
        Row(job, ours, "nltk", nltk_time * scale, True, largest(scores[:few], nltk_scores)),
        Row(job, ours, "fast-bleu (orders 2..5)", fast_time, False, largest(scores[:, 1:], fast_matrix),
            wrong="wrong where a text's length is unique"),
        Row(job, ours, "Texygen's method (order 5)", texygen_time * scale, True,
            largest(scores[:few, 4], texygen_scores), wrong="each text is its own reference"),
    ]  # fmt: skip


def grams(text: str, n: int) -> list[tuple[str, ...]]:
    """n-grams of a text."""
    tokens = tokenise(text)
    return list(zip(*(tokens[i:] for i in range(n)), strict=False))


def corpus_rows(generated: list[str], references: list[str]) -> list[Row]:
    """Dist, Ent and CND of orders 1..4, and everything in one pass; both from strings to values."""

    def set_metrics(index: NgramIndex) -> list[float]:
        return [v for n in range(1, 5) for v in (distinct(index, n), entropy(index, n), float(cnd(index, n).raw))]

    def everything() -> list[Any]:
        index = NgramIndex(generated, references)
        return [bleu_scores(index), self_bleu_scores(index), set_metrics(index)]

    def counters() -> list[float]:
        found = []
        for n in range(1, 5):
            g, p = (Counter(gram for text in texts for gram in grams(text, n)) for texts in (generated, references))
            total_g, total_p = g.total(), p.total()
            found += [
                len(g) / total_g,
                -math.fsum(c / total_g * math.log(c / total_g) for c in g.values()),
                math.fsum((p[w] / total_p - g[w] / total_g) ** 2 for w in g.keys() | p.keys()),
            ]
        return found

    index = NgramIndex(generated, references)
    taken, values = once(counters)
    ours = best(lambda: set_metrics(NgramIndex(generated, references)), 3)
    job = "Dist, Ent, CND, orders 1..4"
    return [
        Row(job, ours, "Python Counters", taken, False, largest(set_metrics(index), values)),
        Row("BLEU + Self-BLEU + Dist + Ent + CND, one pass", best(everything)),
    ]


def jaccard_rows(generated: list[str], few: int) -> list[Row]:
    """JS of all pairs, n = 1..4; Python sets on the pairs of a few hundred texts."""
    index = NgramIndex(generated, [])
    ours = best(lambda: [jaccard(index, n) for n in range(1, 5)], 5)

    def sets() -> list[float]:
        means = []
        for n in range(1, 5):
            of = [set(grams(text, n)) for text in generated[:few]]
            pairs = [len(a & b) / (len(a | b) or 1) for a, b in combinations(of, 2)]
            means.append(sum(pairs) / len(pairs))
        return means

    taken, values = once(sets)
    few_index = NgramIndex(generated[:few], [])
    deviation = largest([jaccard(few_index, n).mean.mean() for n in range(1, 5)], values)
    scale = len(generated) * (len(generated) - 1) / (few * (few - 1))
    return [Row("JS n = 1..4, all pairs (after the index)", ours, "Python sets", taken * scale, True, deviation)]


def pair_rows(generated: list[str], references: list[str], few: int) -> list[Row]:
    """ROUGE-1/2/L and corpus BLEU of texts with one reference each."""
    import sacrebleu
    from rouge_score import rouge_scorer

    from bench.metrics import score

    n = min(len(generated), len(references))
    generated, references = generated[:n], references[:n]
    scorer = rouge_scorer.RougeScorer(["rouge1", "rouge2", "rougeL"])
    ours = best(lambda: rouge_scores(generated, references), 3)
    taken, theirs = once(
        lambda: [
            [found[key].fmeasure for key in ("rouge1", "rouge2", "rougeL")]
            for g, r in zip(generated[:few], references[:few], strict=True)
            for found in [scorer.score(r, g)]
        ]
    )
    ours_few = rouge_scores(generated[:few], references[:few])
    options = {"corpus_bleu": {"resamples": 0}}
    bleu = best(lambda: score(generated, references, metrics=["corpus_bleu"], options=options), 3)
    sacre_time, sacre = once(lambda: sacrebleu.corpus_bleu(generated, [references]).score)
    value = score(generated, references, metrics=["corpus_bleu"], options=options)["sacrebleu"].value
    return [
        Row("ROUGE-1/2/L", ours, "rouge-score", taken * n / few, True, largest(ours_few[..., 0], theirs)),
        Row("corpus BLEU (sacrebleu, and orders 1..4)", bleu, "sacrebleu (order 4 alone)", sacre_time, False,
            abs(value - sacre), 1e-10),
    ]  # fmt: skip


def mutual_information_rows(n: int, dims: int, few: int) -> list[Row]:
    """MI of n posteriors, full mixture; the peer loops over z as released code does."""
    rng = np.random.default_rng(0)
    mean, logvar = rng.normal(size=(n, dims)), rng.normal(-1, 0.5, size=(n, dims))
    z = mean + np.exp(0.5 * logvar) * rng.normal(size=(n, dims))

    def loop() -> float:
        total = 0.0
        for i in range(few):
            log_q = -0.5 * (np.log(2 * np.pi) + logvar + (z[i] - mean) ** 2 / np.exp(logvar)).sum(axis=1)
            total += log_q[i] - (np.logaddexp.reduce(log_q) - np.log(n))
        return total / few

    taken, theirs = once(loop)
    ours = best(lambda: mutual_information(z, mean, logvar), 3)
    deviation = abs(float((log_density(z, mean, logvar) - log_aggregate(z, mean, logvar))[:few].mean()) - theirs)
    return [Row(f"MI, {n:,} × {n:,} × {dims}", ours, "a loop over z", taken * n / few, True, deviation, 1e-9)]


def bootstrap_rows(generated: list[str], references: list[str]) -> list[Row]:
    """1,000 resamples of a whole family, beside rescoring each resample."""
    from bench.metrics import score

    def with_resamples(count: int) -> Callable[[], Any]:
        names = ("bleu", "self_bleu", "distinct", "entropy", "cnd", "jaccard")
        return lambda: score(generated, references, metrics=names, options={n: {"resamples": count} for n in names})

    plain, _ = once(with_resamples(0))
    full, _ = once(with_resamples(1000))
    inputs = TextInputs(generated, references)
    scores = bleu_scores(inputs.index)
    (theirs,) = (m.ci95 for m in Bootstrap(50).means(100 * scores[:, 3:4]))
    draws = np.random.default_rng(0).integers(0, len(scores), (50, len(scores)))
    naive = np.percentile([100 * scores[row, 3].mean() for row in draws], [2.5, 97.5])
    return [
        Row("n-gram family with 1,000 resamples", full, "rescoring each resample", plain * 1000, True),
        Row("BLEU-4 interval, 50 resamples", best(lambda: Bootstrap(50).means(100 * scores[:, 3:4])), "numpy loop",
            deviation=largest(theirs, naive), tolerance=1e-9),
    ]  # fmt: skip


def models_rows(generated: list[str], references: list[str], few: int) -> list[Row]:
    """BERTScore of the first few texts, beside bert-score at its batch size and at 1."""
    import bert_score
    import torch

    from bench.metrics.bertscore import Scorer
    from bench.metrics.pretrained import find

    generated, references = generated[:few], references[:few]
    checkpoint = find("minilm", "encoder", "benchmark")
    rows, job = [], f"BERTScore, {few:,} pairs, one thread"
    ours, (scores, _) = once(lambda: Scorer(checkpoint, 6).scores(generated, references))
    torch.set_num_threads(1)
    for batch in (64, 1):
        taken, (_, _, f1) = once(
            lambda batch=batch: bert_score.score(
                generated, references, model_type=str(checkpoint.path), num_layers=6, batch_size=batch
            )
        )
        why = "padding moves its scores" if batch > 1 else ""
        deviation = largest(scores[:, 2], f1)
        rows.append(Row(job, ours, f"bert-score, batch {batch}", taken, False, deviation, 1e-6, why))
    return rows

"""Every metric beside its peers, timed and compared in one run.

    pip install -r benchmarks/requirements.txt       # the peers
    python -m benchmarks.metrics [--texts FILE] [--models] [--out FILE.md]       # from the repository root

By default N = 10,000 generated and 10,000 reference texts of 20 tokens drawn from a Zipf distribution over 20,000
words; ``--texts FILE`` (one text a line, plain or .gz) takes the two halves of real text instead. Our times are the
best of several runs after a first one; a peer that would take hours scores the first few texts against everything, and
its time is scaled up (marked ~). "deviation" is the largest difference from our values over what the peer scored.

Where a peer computes what it says it does, a deviation above the tolerance ends the run with exit code 1. Two do not,
and their rows say why: fast-bleu's Self-BLEU reads past an array where a text's length is unique, and Texygen's lets a
text be its own reference.
"""

from __future__ import annotations

import argparse
import platform
import subprocess
import sys
import time
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from bench.cpus import cpus
from bench.files import atomic, read_lines
from bench.metrics.bleu import bleu_scores
from bench.metrics.cnd import cnd
from bench.metrics.distinct import distinct
from bench.metrics.entropy import entropy
from bench.metrics.ngrams import NgramIndex
from bench.metrics.self_bleu import self_bleu_scores
from bench.metrics.tokenise import tokenise
from benchmarks.peers import (
    WEIGHTS,
    Row,
    bleu_rows,
    bootstrap_rows,
    corpus_rows,
    jaccard_rows,
    models_rows,
    mutual_information_rows,
    pair_rows,
    self_bleu_rows,
)

VOCABULARY = 20_000
PREFACE = """Written by `python -m benchmarks.metrics --texts FILE --models --out docs/benchmark.md`. Ours: the best of
several runs, warm, from Python strings to scores. ~: the peer scored the first few texts against everything, and its
time is scaled up. Deviation: the largest absolute difference over what the peer scored (scores in 0..1, nats)."""


def zipf(n: int, tokens: int, seed: int, vocabulary: int = VOCABULARY) -> list[str]:
    """n texts of so many words, word k drawn with probability proportional to 1/k."""
    probabilities = 1 / np.arange(1, vocabulary + 1)
    words = np.array([f"w{k}" for k in range(vocabulary)])
    drawn = np.random.default_rng(seed).choice(vocabulary, (n, tokens), p=probabilities / probabilities.sum())
    return [" ".join(row) for row in words[drawn].tolist()]


def counter_example() -> str:
    """Three texts of different lengths for which fast-bleu's Self-BLEU is wrong."""
    import fast_bleu
    from nltk.translate.bleu_score import SmoothingFunction, sentence_bleu

    texts = ["c b c b c", "d a c c", "c c"]
    tokens = [tokenise(t) for t in texts]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        right = [
            sentence_bleu(tokens[:i] + tokens[i + 1 :], t, WEIGHTS[2], SmoothingFunction().method1)
            for i, t in enumerate(tokens)
        ]
    fast = fast_bleu.SelfBLEU(tokens, {2: WEIGHTS[2]}).get_score()[2]
    ours = self_bleu_scores(NgramIndex(texts, []))[:, 1]
    rows = [f"| {t} | {n:.6f} | {o:.6f} | {f:.6f} |" for t, n, o, f in zip(texts, right, ours, fast, strict=True)]
    return "\n".join(["| text | nltk | ours | fast-bleu |", "|---|---:|---:|---:|", *rows])


def grown(n: int, tokens: int) -> None:
    """In a process of its own: seconds of the n-gram pass, and KB by which memory peaks above the texts themselves."""
    generated, references = zipf(n, tokens, 0), zipf(n, tokens, 1)
    self_bleu_scores(NgramIndex(generated[:10], []))
    Path("/proc/self/clear_refs").write_text("5")  # Linux: the peak starts anew from here
    before = memory("VmRSS")
    began = time.perf_counter()
    index = NgramIndex(generated, references)
    bleu_scores(index), self_bleu_scores(index)
    for order in range(1, 5):
        distinct(index, order), entropy(index, order), cnd(index, order)
    print(time.perf_counter() - began, memory("VmHWM") - before)


def memory(field: str) -> int:
    """KB, as Linux tells of this process."""
    (line,) = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(field)]
    return int(line.split()[1])


def scaling(sizes: Sequence[tuple[int, int]]) -> str:
    """Time and memory of the pass against the number of texts."""
    lines = ["| texts | tokens a text | n-gram pass | µs a token | memory a text | peak growth |", "|---:" * 6 + "|"]
    for n, tokens in sizes:
        command = [sys.executable, "-m", "benchmarks.metrics", "--grown", str(n), str(tokens)]
        taken, kilobytes = map(
            float, subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
        )
        lines.append(
            f"| 2 × {n:,} | {tokens} | {taken:.3g} s | {1e6 * taken / (2 * n * tokens):.2f} "
            f"| {kilobytes / (2 * n):.2f} KB | {kilobytes / 1024:,.0f} MB |"
        )
    return "\n".join(lines)


def fresh() -> str:
    """Importing, and the very first scores, in a new process."""
    code = (
        "import time; a = time.perf_counter(); import sys; from bench.metrics import score; "
        "b = time.perf_counter(); score(['a b'] * 100, ['b c'] * 100); c = time.perf_counter(); "
        "print(b - a, c - b, 'torch' in sys.modules)"
    )
    runs = [
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
        for _ in range(3)
    ]
    imported, first = (min(float(run[k]) for run in runs) for k in (0, 1))
    return (
        f"`from bench.metrics import score`: {imported:.2f} s, first call after it {first:.2f} s; "
        f"torch imported: {runs[0][2]}"
    )


def halves(file: Path, n: int) -> tuple[list[str], list[str]]:
    """The texts of a file that are not blank: its first half, its second half, at most n of each."""
    texts = [text for text in read_lines(file) if text.strip()]
    middle = len(texts) // 2
    return texts[:middle][:n], texts[middle:][:n]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--texts", type=Path, help="real text, one a line; its halves are scored against each other")
    parser.add_argument("--n", type=int, default=10_000, help="texts of each set, at most")
    parser.add_argument("--few", type=int, default=20, help="texts that slow peers score")
    parser.add_argument("--models", action="store_true", help="also the metrics that need a model")
    parser.add_argument("--no-scaling", action="store_true", help="without the runs up to 100,000 texts")
    parser.add_argument("--out", type=Path, help="write the report here as Markdown too")
    parser.add_argument("--grown", nargs=2, type=int, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.grown:
        return grown(*given.grown)
    warnings.filterwarnings("ignore", module="nltk")

    corpora = {f"Zipf text over {VOCABULARY:,} words": (zipf(given.n, 20, 0), zipf(given.n, 20, 1))}
    if given.texts:
        corpora[f"Real text, the halves of `{given.texts.name}`"] = halves(given.texts, given.n)
    machine = f"{cpus()} CPUs ({platform.machine()}), Python {platform.python_version()}, numpy {np.__version__}."
    parts, rows = ["# The metrics beside other packages", PREFACE, machine], []
    for title, (generated, references) in corpora.items():
        found = [
            *bleu_rows(generated, references, given.few),
            *self_bleu_rows(generated, given.few),
            *corpus_rows(generated, references),
            *jaccard_rows(generated, 300),
            *pair_rows(generated, references, 1000),
            *bootstrap_rows(generated, references),
            *(models_rows(generated, references, 500) if given.models else []),
        ]
        found += [] if rows else mutual_information_rows(given.n, 32, 50)
        rows += found
        tokens = sum(len(tokenise(text)) for text in [*generated, *references])
        size = f"{len(generated):,} generated, {len(references):,} reference texts, {tokens:,} tokens"
        parts += [f"## {title}", f"{size}.", table(found)]
    parts += ["## fast-bleu's Self-BLEU-2 where every length is unique", counter_example(), "## From nothing", fresh()]
    if not given.no_scaling:
        parts.append(scaling([(1_000, 20), (10_000, 20), (100_000, 20), (250_000, 20), (10_000, 80), (100_000, 80)]))
    text = "\n\n".join(parts) + "\n"
    print(text)
    if given.out:
        with atomic(given.out) as stream:
            stream.write(text)
    if failed := [row for row in rows if row.failed]:
        sys.exit("\n".join(f"{row.job} differs from {row.peer} by {row.deviation:.1e}" for row in failed))


def table(rows: Sequence[Row]) -> str:
    """As Markdown."""
    heads = ["job", "ours", "peer", "its time", "ratio", "deviation", ""]
    lines = [heads, ["---", "---:", "---", "---:", "---:", "---:", "---"], *(row.cells() for row in rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


if __name__ == "__main__":
    main()

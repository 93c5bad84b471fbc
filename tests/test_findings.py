"""docs/findings.md says what its release holds: the rows of its tables, and differences in its sentences."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.freeze import Release, load_release
from bench.metrics.seeds import Estimate, over_seeds

ROOT = Path(__file__).parents[1]
VAES = ("embed", "memory", "softmax", "della", "della@paper", "trace-r", "trace-p")
COLUMNS = (
    *(("ppl", 2), ("paper:della/ppl", 2), ("paper:trace/ppl", 2), ("nelbo", 2), ("kl", 2), ("mi", 2)),
    *(("self_bleu4", 2), ("dist2", 2), ("mauve", 3)),
)


@pytest.fixture(scope="module")
def release() -> Release:
    return load_release("snli-small-2026.11.1", ROOT)


@pytest.fixture(scope="module")
def text() -> str:
    return " ".join((ROOT / "docs/findings.md").read_text(encoding="utf-8").split())


def values(release: Release, method: str, key: str) -> dict[int, float]:
    cells = (frozen.record for cell, frozen in release.cells.items() if cell.method == method)
    return {record.seed: record.values[key].value for record in cells if key in record.values}


def shown(estimate: Estimate, digits: int, sign: str = "") -> str:
    digits = 0 if abs(estimate.mean) >= 1000 else digits
    spread = "" if estimate.half_width is None else f" ± {estimate.half_width:.{digits}f}"
    return f"{estimate.mean:{sign}.{digits}f}{spread}"


def difference(release: Release, one: str, other: str, key: str) -> Estimate:
    a, b = values(release, one, key), values(release, other, key)
    assert set(a) == set(b) and len(a) == 5
    return over_seeds([a[seed] - b[seed] for seed in a])


@pytest.mark.parametrize("method", ["gpt2", *VAES, "human"])
def test_the_table(method: str, release: Release, text: str) -> None:
    cells = []
    for key, digits in COLUMNS:
        found = list(values(release, method, key).values())
        cells.append(shown(over_seeds(found), digits) if found else "-")
    name = f"*{method}*" if method == "human" else method
    assert f"| {' | '.join((name, *cells))} |" in text


@pytest.mark.parametrize("method", VAES)
def test_the_differences_from_the_language_model(method: str, release: Release, text: str) -> None:
    cells = (shown(difference(release, method, "gpt2", key), 2, "+") for key in ("ppl", "nelbo"))
    assert f"| {' | '.join((method, *cells))} |" in text


@pytest.mark.parametrize(
    ("one", "other", "key", "told"),
    [
        ("della", "embed", "kl", "-0.47 ± 0.48"),
        ("della", "embed", "mi", "-0.47 ± 0.45"),
        ("della", "memory", "kl", "0.77 ± 0.50"),
        ("della", "softmax", "kl", "0.70 ± 0.26"),
        ("della", "gpt2", "paper:della/ppl", "-2.40 ± 0.69"),
        ("della@paper", "gpt2", "paper:della/ppl", "-12.93 ± 0.94"),
        ("trace-r", "gpt2", "self_bleu4", "-13.18 ± 4.34"),
        ("trace-r", "gpt2", "dist2", "14.98 ± 6.68"),
        ("trace-r", "gpt2", "mauve", "-0.24 ± 0.13"),
    ],
)
def test_the_sentences(one: str, other: str, key: str, told: str, release: Release, text: str) -> None:
    assert shown(difference(release, one, other, key), 2) == told
    assert told.lstrip("-") in text

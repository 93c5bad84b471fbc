"""Sentences of a model that diverged: it is named, and its nan is neither the highest nor the lowest of anything."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.report.collect import Results, gather
from bench.report.layout import PROTOCOLS
from bench.report.notes import verdicts
from bench.report.papers.findings import against, collapsed, highest_kl
from tests import fake_run

DELLA = next(protocol for protocol in PROTOCOLS if protocol.name == "della")


@pytest.fixture
def diverged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Results:
    """embed, the first row with a KL."""
    monkeypatch.chdir(tmp_path)
    suite = fake_run.write_run(tmp_path, fake_run.write_suite(tmp_path))
    for key in ("kl", "ppl", "paper:della/ppl"):
        fake_run.edit("bbe", "embed", lambda of, key=key: of["values"][key].update(value="nan", ci95=None))
    return gather(suite, "table1")


def test_nan_is_not_the_highest_kl(diverged: Results) -> None:
    assert highest_kl(diverged, "bbe") == [], "the two that are left are equal"
    fake_run.edit("bbe", "della", lambda of: of["values"]["kl"].update(value=20.0))
    found = gather(diverged.suite, "table1")
    assert highest_kl(found, "bbe") == ["On bbe the highest KL is that of della (20.00)."]


def test_who_diverged_has_not_kept_its_kl(diverged: Results) -> None:
    (sentence,) = collapsed(diverged, "bbe")
    assert sentence == "On bbe no row collapsed: every KL is at least 0.1 nats. embed diverged: KL nan."


def test_nan_is_on_no_side(diverged: Results) -> None:
    (sentence,) = against(diverged, "bbe", "della", ["embed", "della@paper"], ("kl", "KL", -1, "lower"))
    assert "embed" not in sentence and "della@paper" in sentence


def test_nan_is_not_the_lowest_perplexity(diverged: Results) -> None:
    for key in ("ppl", "paper:della/ppl"):  # of the first row, with which every comparison is false
        fake_run.edit("bbe", "gpt2", lambda of, key=key: of["values"][key].update(value="nan", ci95=None))
    said, _ = verdicts(gather(diverged.suite, "table1"), DELLA)
    assert said.startswith("On bbe the lowest PPL is that of della@paper either way: 12.14 exactly")

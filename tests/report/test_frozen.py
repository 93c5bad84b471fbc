"""Reports of frozen releases: those that docs/ has rendered of runs come out the same."""

from __future__ import annotations

import csv
import math
import os
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from bench import suite as suites
from bench.data import known
from bench.data.base import SPLITS
from bench.errors import BenchError
from bench.freeze import FrozenCell, Release, freeze, load_release
from bench.paths import releases
from bench.report import figures, frozen, table
from bench.report.published import load_published
from bench.schema import Suite
from bench.suite import Cell
from tests import fake_run

ROOT = Path(__file__).parents[2]
PTB = "ptb-2026.11.2"


@pytest.fixture(autouse=True)
def at_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)


@pytest.fixture
def embedded() -> Suite:
    return suites.load("workflow/config/embedded.yaml")


OF_RELEASES = ("- **Code**", "- **Releases**", "- **Left out**")


def lines(path: Path) -> list[str]:
    """Without what a run has otherwise: releases, and the commits, where records were made again."""
    return [line for line in path.read_text(encoding="utf-8").splitlines() if not line.startswith(OF_RELEASES)]


@pytest.mark.parametrize(
    ("report", "release"),
    [
        ("table1", (5,)),
        ("trace/table2", (5,)),
        ("trace/table3", (5,)),
        ("trace/table5", (5, 7)),
        ("della/table4", (5, 8)),
        ("della/table5", (5, 8)),
        ("davam/table2", (6,)),
    ],
)
def test_tables_as_they_came_from_the_run(
    report: str, release: tuple[int, ...], embedded: Suite, tmp_path: Path
) -> None:
    frozen.render(embedded, report, [f"embedded-2026.11.{n}" for n in release], tmp_path / "table.md")
    assert lines(tmp_path / "table.md") == lines(ROOT / f"docs/{report}.md")
    assert {path.suffix for path in tmp_path.iterdir()} == {".md", ".csv", ".tex", ".html"}


def test_the_audit_as_it_came_from_the_run(tmp_path: Path) -> None:
    suite = suites.load("workflow/config/snli-small.yaml")
    frozen.render(suite, "audit", ["snli-small-2026.11.1"], tmp_path / "audit.md")
    assert lines(tmp_path / "audit.md") == lines(ROOT / "docs/audit.md")


def test_table2_of_penn_treebank_from_several_releases(tmp_path: Path) -> None:
    suite = suites.load("workflow/config/ptb.yaml")
    releases = [*(f"ptb-2026.11.{n}" for n in (2, 3, 4, 5, 7, 9)), "ptb-2026.12.2", "ptb-2026.12.3"]
    frozen.render(suite, "davam/table2", releases, tmp_path / "table2.md")
    committed = ROOT / "docs/davam/ptb-table2.md"
    assert (tmp_path / "table2.md").read_text(encoding="utf-8") == committed.read_text(encoding="utf-8")


def test_penn_treebank_is_the_one_of_the_releases() -> None:
    """What the data stage knows of it: counts and checksums of the files that trained the frozen rows."""
    splits = load_release(PTB).manifest["data"]["ptb"]["manifest"]["splits"]
    assert {part: of["sha256"] for part, of in splits.items()} == known.KNOWN["ptb"].sha256
    assert tuple(splits[part]["texts"] for part in SPLITS) == known.KNOWN["ptb"].texts


def test_what_is_told_of_lstms_on_the_embedded_texts() -> None:
    """Sentences of docs/davam.md: their numbers are the release's."""
    held = load_release("embedded-2026.11.6").cells
    of = {cell.method: values(kept) for cell, kept in held.items()}
    lm = of["lstm-lm"]
    told_of = [
        (
            "PPL of {:.0f} (K = 128) and {:.0f} (K = 512) beside {:.0f} of the LSTM-LM",
            *(of[method]["paper:davam/ppl"] for method in ("davam-k128", "davam-k512", "lstm-lm")),
        ),
        ("cost {:.1f} and {:.1f} nats a text", of["davam-k128"]["kl"], of["davam-k512"]["kl"]),
        ("save {:.1f} and {:.1f} of", *(lm["rec"] - of[method]["rec"] for method in ("davam-k128", "davam-k512"))),
        ("its PPL is {:,.0f} and {:,.0f}.", of["davam-k128"]["ppl_word"], of["davam-k512"]["ppl_word"]),
        ("worth {:.1f} nats", of["gavam"]["length"]),
        ("{:.1f} nats below LSTM-LM's", lm["rec"] - of["gavam"]["rec"]),
        ("VAE + Attn's {:.1f}: T", lm["rec"] - of["vae-attn"]["rec"]),
        ("lowest PPL of all, {:.0f};", of["gavam"]["paper:davam/ppl"]),
        ("it is {:.0f} and VAE + Attn's {:.0f}.", of["gavam"]["ppl_word"], of["vae-attn"]["ppl_word"]),
        ("{:.1f}, and counting that one {:.1f}.", of["davam-q"]["ppl_word"], of["davam-q"]["paper:davam/ppl"]),
        ("KL at {:.1f} and {:.1f} nats", of["lstm-vae+fbp"]["kl"], of["lstm-vae+pretraining+fbp"]["kl"]),
        ("PPL {:.0f} and {:.0f}, where", of["lstm-vae+fbp"]["ppl_word"], of["lstm-vae+pretraining+fbp"]["ppl_word"]),
    ]  # fmt: skip
    assert_told(*told_of)
    assert min(of, key=lambda method: of[method]["paper:davam/ppl"]) == "gavam"
    assert sorted(of, key=lambda method: of[method]["paper:davam/ppl"])[1:3] == ["davam-k128", "davam-k512"]
    assert sorted(of, key=lambda method: of[method]["ppl_word"])[-3:] == ["davam-k128", "davam-k512", "davam-d8"]


def of_ptb(release: str, method: str) -> FrozenCell:
    """That method's cell on Penn Treebank."""
    return load_release(release).cells[Cell("ptb", method, 1)]


def values(cell: FrozenCell) -> dict[str, float]:
    return {key: value.value for key, value in cell.record.values.items()}


def assert_told(*told_of: tuple[Any, ...]) -> None:
    """Sentences of docs/davam.md, each followed by its numbers."""
    for sentence, *numbers in told_of:
        assert sentence.format(*numbers) in told()


def told() -> str:
    """docs/davam.md on one line."""
    return " ".join((ROOT / "docs/davam.md").read_text(encoding="utf-8").split())


ROWS = re.findall(r"^\| `([\w+-]+)` \| `(ptb-[\d.]+)` \|(.*)\|$", (ROOT / "docs/davam.md").read_text("utf-8"), re.M)


@pytest.mark.parametrize(("method", "release", "row"), ROWS, ids=[method for method, *_ in ROWS])
def test_the_rows_of_penn_treebank_that_are_told(method: str, release: str, row: str) -> None:
    """docs/davam.md: printed, by the paper's arithmetic, exactly; and for how many epochs, where there is a history."""
    kept = of_ptb(release, method)
    epochs, *numbers = (cell.strip() for cell in row.split("|"))
    paper = {
        printed.metric: printed.text
        for printed in load_published().table("davam", "2")
        if (printed.dataset, printed.method) == ("ptb", method)
    }
    expected = []
    for name in ("rec", "kl", "ppl"):
        ours = kept.record.values.get(f"paper:davam/{name}")
        expected += [paper.get(name, "-"), "-" if ours is None else f"{ours.value:.2f}"]
    expected.append(f"{kept.record.values['ppl_word'].value:.2f}")
    if method == "lstm-lm":  # whose loss is no reconstruction in the paper's table
        expected[1] = f"{kept.record.values['rec'].value:.2f}"
    assert numbers == expected
    if kept.history is not None:
        assert figures.read_history(kept.history)["step"][-1] == 1359 * sum(map(int, epochs.split(" + ")))


def test_every_row_of_penn_treebank_is_told() -> None:
    of_suite = {name for name in releases(ROOT) if name.startswith("ptb-")} - {"ptb-2026.11.1"}  # that of .2 in float32
    whole = [name for name in of_suite if not any(c.method.endswith("-start") for c in load_release(name).cells)]
    assert {release for _, release, _ in ROWS} == set(whole)


def split(release: Release, *methods: str) -> tuple[Release, Release]:
    """Those methods' cells, and all others, as two releases."""
    one = {cell: frozen for cell, frozen in release.cells.items() if cell.method in methods}
    other = {cell: frozen for cell, frozen in release.cells.items() if cell.method not in methods}
    return replace(release, name="one", cells=one), replace(release, name="other", cells=other)


def test_releases_are_put_together_and_what_none_has_is_left_out(
    embedded: Suite, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = load_release("embedded-2026.11.5", ROOT)
    parts = {release.name: release for release in split(whole, "della")}
    monkeypatch.setattr(frozen, "load_release", lambda name, root: parts[name])
    frozen.render(embedded, "table1", ["one", "other"], tmp_path / "both.md")
    assert lines(tmp_path / "both.md") == lines(ROOT / "docs/table1.md")
    frozen.render(embedded, "table1", ["other"], tmp_path / "other.md")
    text = (tmp_path / "other.md").read_text(encoding="utf-8")
    assert "\n| della@paper " in text and "\n| gpt2 " in text and "\n| della " not in text
    with pytest.raises(BenchError, match=r"report 'table1': one: no (bbe|sotu)/human"):
        frozen.render(embedded, "table1", ["one"], tmp_path / "one.md")
    with pytest.raises(BenchError, match=r"^release 'other': \w+/\w+/seed1 is in one before it too"):
        frozen.render(embedded, "table1", ["other", "other"], tmp_path / "twice.md")
    assert {path.stem for path in tmp_path.iterdir()} == {"both", "other"}


@pytest.mark.parametrize(
    ("report", "release", "told"),
    [
        ("davam/figure3", PTB, "report 'davam/figure3' reads augmentation, and a release holds records and histories"),
        ("davam/figure4d", PTB, f"report 'davam/figure4d': {PTB}: no method of it with histories of every dataset and"),
        ("davam/table5", PTB, "report 'davam/table5' is of named decodings, and a release holds texts of none"),
        ("davam/table2", "snli-small-2026.11.1", "release 'snli-small-2026.11.1' is of suite 'snli-small', not of"),
        ("davam/figure4a", PTB, f"report 'davam/figure4a': {PTB}: no method of it with records of every dataset and"),
        ("davam/table2", "ptb-2026.11.0", "no frozen release 'ptb-2026.11.0' in results/frozen; did you mean"),
    ],
)
def test_what_a_release_cannot_show_is_one_line(report: str, release: str, told: str, tmp_path: Path) -> None:
    suite = suites.load("workflow/config/ptb.yaml")
    with pytest.raises(BenchError) as raised:
        frozen.render(suite, report, [release], tmp_path / "out.md")
    assert str(raised.value).startswith(told)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("report", "unused", "reads"),
    [
        ("davam/table2", "ptb-2026.12.1", "records"),  # of a method that the table has not
        ("davam/figure4d", "ptb-2026.11.5", "histories"),  # it has none
    ],
)
def test_a_release_that_adds_nothing_is_refused(report: str, unused: str, reads: str, tmp_path: Path) -> None:
    suite = suites.load("workflow/config/ptb.yaml")
    with pytest.raises(BenchError) as raised:
        frozen.render(suite, report, ["ptb-2026.12.2", unused], tmp_path / "out.md")
    assert str(raised.value) == (
        f"release '{unused}' adds nothing to report '{report}': no method of it with {reads} of every dataset and seed"
    )
    assert not list(tmp_path.iterdir())


def test_of_a_release_with_part_of_a_method_nothing_is_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And where nothing of a dataset is there, that is told, as are the methods; of a table of data, no methods."""
    monkeypatch.chdir(tmp_path)
    of = "{datasets: [bbe, sotu], methods: [gpt2, embed, della]}"
    path = fake_run.write_suite(tmp_path, f"{fake_run.YAML}reports:\n  table1: {of}\n  della/table7: {of}\n")
    suite = fake_run.write_run(tmp_path, path)
    freeze(path, "r1")
    whole = load_release("r1")
    human = Cell("bbe", "human", 0)
    parts = {
        "gpt2": {c for c in whole.cells if (c.dataset, c.method) == ("bbe", "gpt2") or c == human},
        "some": {Cell("bbe", "embed", 1)},
    }
    kept = {name: replace(whole, name=name, cells={c: whole.cells[c] for c in cells}) for name, cells in parts.items()}
    monkeypatch.setattr(frozen, "load_release", lambda name, root: kept[name])
    with pytest.raises(BenchError, match=r"^release 'some' adds nothing to report 'table1': no method of it with rec"):
        frozen.render(suite, "table1", ["gpt2", "some"], tmp_path / "out.md")
    for report, methods in (
        ("table1", "embed, della (not every dataset and seed is in these releases); "),
        ("della/table7", ""),
    ):
        frozen.render(suite, report, ["gpt2"], tmp_path / "out.md")
        told = [
            line for line in Path("out.md").read_text(encoding="utf-8").splitlines() if line.startswith(OF_RELEASES)
        ]
        assert told[:2] == ["- **Releases** gpt2", f"- **Left out** {methods}sotu (nothing is in these releases)"]


def test_a_report_of_a_run_names_no_releases(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    suite = fake_run.write_run(tmp_path, fake_run.write_suite(tmp_path))
    table.render(suite, "table1", tmp_path / "out.md")
    text = Path("out.md").read_text(encoding="utf-8")
    assert "- **Code**" in text and "**Releases**" not in text and "**Left out**" not in text


def test_gavam_has_collapsed_after_an_epoch(tmp_path: Path) -> None:
    """What docs/davam.md tells of its first ten, and draws beside DAVAM."""
    suite = suites.load("workflow/config/ptb.yaml")
    frozen.render(suite, "davam/figure4d", ["ptb-2026.11.6", "ptb-2026.12.2"], tmp_path / "figure4d.png")
    assert {path.name for path in tmp_path.iterdir()} == {"figure4d.png", "figure4d.svg"}
    kept = of_ptb("ptb-2026.11.6", "gavam-start")
    assert kept.history is not None and kept.record.provenance.device == "cpu in float32"
    curve = figures.read_history(kept.history)
    assert curve["valid_kl"][0] > 100 and all(0.04 < kl < 0.34 for kl in curve["valid_kl"][1:])
    assert [round(rec, 1) for rec in (curve["valid_rec"][1], curve["valid_rec"][-1])] == [123.1, 104.7]


def test_annealing_collapses_or_keeps_a_little_kl() -> None:
    """What docs/davam.md tells of two trainings, the whole one and the first 68 epochs of another."""
    kept = of_ptb("ptb-2026.12.3", "lstm-vae+anneal")
    plain = of_ptb("ptb-2026.11.4", "lstm-vae").record.values
    rec, kl, ppl = (kept.record.values[f"paper:davam/{key}"].value for key in ("rec", "kl", "ppl"))
    assert_told(
        ("Rec {:.1f} ({:+.1f} % of 101.28), KL {:.2f} (0.00), PPL {:.1f} by", rec, 100 * (rec / 101.28 - 1), kl, ppl),
        ("({:+.1f} % of 101.40), {:.1f} exactly", 100 * (ppl / 101.40 - 1), kept.record.values["ppl_word"].value),
        ("beside {:.1f} of `lstm-vae`", plain["ppl_word"].value),
    )
    assert kept.history is not None
    curve = figures.read_history(kept.history)
    of_epochs = [curve["valid_kl"][epoch] for epoch in (1, 10, 22, -1)]
    assert [float(f"{kl:.2g}") for kl in of_epochs] == [2.1, 0.43, 0.12, 0.0042]

    other = of_ptb("ptb-2026.11.8", "lstm-vae+anneal-start")
    keys = ("paper:davam/rec", "paper:davam/kl", "paper:davam/ppl", "ppl_word", "mi")
    assert [round(other.record.values[key].value, 2) for key in keys] == [101.59, 0.35, 104.73, 104.02, 0.35]
    assert other.history is not None
    assert all(0.29 < kl < 0.44 for kl in figures.read_history(other.history)["valid_kl"][10:])


def test_128_codes_are_better_than_printed() -> None:
    """What docs/davam.md tells of K = 128 and of its beginning."""
    start, kept = of_ptb("ptb-2026.12.1", "davam-k128-start"), of_ptb("ptb-2026.12.2", "davam-k128")
    lm, more = of_ptb("ptb-2026.11.2", "lstm-lm"), of_ptb("ptb-2026.11.5", "davam-k512")
    plain, first, of, other = map(values, (lm, start, kept, more))
    rec, kl, ppl = (
        100 * (1 - of[f"paper:davam/{key}"] / at) for key, at in (("rec", 83.57), ("kl", 2.23), ("ppl", 50.15))
    )
    assert_told(
        ("Rec is {:.1f} % and PPL {:.0f} % below what is printed, and KL {:.0f} %.", rec, ppl, kl),
        ("cost {:.1f} nats a text and save {:.1f} of `lstm-lm`'s Rec", of["kl"], plain["rec"] - of["rec"]),
        ("the bound is {:.1f} nats, a PPL of at most {:.1f}", of["nelbo"], of["ppl_word"]),
        ("{:.1f} ({:.1f} - {:.1f}), {:.1f} below", of["ppl_word"], *kept.record.values["ppl_word"].ci95,
         other["ppl_word"] - of["ppl_word"]),
        ("PPL {:,.0f} (K = 128) and {:,.0f} (K = 512) by `fluency`'s pretrained model beside {:,.0f} of",
         *(v["fluency_ppl"] for v in (of, other, plain))),
        ("BLEU-4 {:.1f} and {:.1f} beside {:.1f}", *(v["bleu4"] for v in (of, other, plain))),
        ("Self-BLEU-4 {:.1f} and {:.1f} beside {:.1f}", *(v["self_bleu4"] for v in (of, other, plain))),
        ("in `ptb-2026.12.1`: Rec {:.1f}, a PPL of at most {:.1f}.", first["rec"], first["ppl_word"]),
    )  # fmt: skip
    assert kept.history is not None and start.history is not None
    curve = figures.read_history(kept.history)
    assert curve["step"][-1] == (52 + 26) * 1359
    assert [round(curve["valid_kl"][row], 1) for row in (54, -1)] == [110.8, 42.6]
    of_epoch = curve["valid_rec"][:53]
    assert of_epoch[:46] == figures.read_history(start.history)["valid_rec"][:46]  # one training
    rate = [float(row["lr"]) for row in csv.DictReader(kept.history.read_text("utf-8").splitlines())]
    halved = [epoch for epoch in range(1, 53) if rate[epoch + 1] < rate[epoch]]
    assert halved == [22, 28, 43, 49, 52]
    best = [min(of_epoch[begin + 1 : end + 1]) for begin, end in pairwise(halved)]
    assert [round(number, 1) for number in (of_epoch[20], *best)] == [90.5, 86.2, 81.4, 80.1, 79.8]


def test_cycles_end_collapsed() -> None:
    """What docs/davam.md tells of their restarts, which come after every tenth epoch."""
    kept = of_ptb("ptb-2026.11.7", "lstm-vae+cyclic")
    assert kept.history is not None
    rows = list(csv.DictReader(kept.history.read_text("utf-8").splitlines()))
    bound, kl, rec, beta = (
        [float(row[name]) for row in rows] for name in ("valid_nelbo", "valid_kl", "valid_rec", "beta")
    )
    restarts = [epoch for epoch in range(2, 54) if beta[epoch] < beta[epoch - 1]]
    assert restarts == [11, 21, 31, 41, 51]
    better = [epoch for epoch in restarts if bound[epoch] < min(bound[:epoch])]
    assert better == [11] and bound.index(min(bound[:11])) == 10
    assert all(0.75 < kl[epoch] < 1.15 for epoch in restarts) and all(kl[epoch - 1] < 0.05 for epoch in restarts)
    assert_told(
        ("({:.2f} nats after epoch 11 and {:.2f} after 10; Rec {:.1f} and KL", bound[11], bound[10], rec[51]),
        ("KL {:.1f} after epoch 51, {:.1f} and {:.2f} after 49, whose weights are kept", kl[51], rec[49], kl[49]),
    )
    assert bound[-1] == bound[49]


def test_the_papers_own_numbers_as_sums() -> None:
    """Rec and KL a step, of the words of a text or of one step more, as a PPL by words and EOS."""
    printed = {(of.method, of.metric): of.value for of in load_published().table("davam", "2") if of.dataset == "ptb"}
    texts, words = 3761, 78669
    ppl = {}
    for codes in (128, 512):
        rec, kl = (printed[f"davam-k{codes}", name] for name in ("rec", "kl"))
        ppl[codes] = [math.exp((rec + kl * (words / texts + eos)) / (words / texts + 1)) for eos in (0, 1)]
    assert_told(("a PPL of {:.0f} to {:.0f}.", *ppl[512]), ("make {:.0f} to {:.0f} of K = 128", *ppl[128]))


def test_free_bits_keep_the_target_rate() -> None:
    """What docs/davam.md tells of it."""
    kept = of_ptb("ptb-2026.11.9", "lstm-vae+fbp")
    keys = ("mi", "au_0.1", "au_0.2", "ess")
    assert [round(kept.record.values[key].value, 2) for key in keys] == [1.57, 32, 0, 12.43]
    assert round(math.exp(kept.record.values["nll@10"].value * 3761 / (78669 + 3761)), 1) == 105.8
    assert kept.history is not None
    curve = figures.read_history(kept.history)
    of_epochs = curve["valid_kl"][1:]
    assert curve["step"][-1] == 57 * 1359 and sum(kl < 3 for kl in of_epochs) > 50
    assert_told(("({:.1f} to {:.1f} nats in validation after each of 57 epochs", min(of_epochs), max(of_epochs)))
    plain = of_ptb("ptb-2026.11.4", "lstm-vae").record.values
    saved = [plain[key].value - kept.record.values[key].value for key in ("rec", "ppl_word")]
    assert [round(number, 1) for number in saved] == [1.4, 1.6]


def test_curves_are_those_of_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From histories alone: a training that no table reads is part of them, where it has a record."""
    of = "{datasets: [bbe], methods: [gpt2"
    about = f"reports:\n  table1: {of}]}}\n  curves: {of}, della]}}\n"
    monkeypatch.chdir(tmp_path)
    path = fake_run.write_suite(tmp_path, fake_run.YAML + about)
    suite = fake_run.write_run(tmp_path, path)
    figures.render(suite, "curves", tmp_path / "run.png")
    freeze(path, "r1")
    shutil.rmtree("results/runs")
    frozen.render(suite, "curves", ["r1"], tmp_path / "frozen.png")
    for form in ("png", "svg"):
        assert Path(f"frozen.{form}").read_bytes() == Path(f"run.{form}").read_bytes()
    with pytest.raises(BenchError, match=r"^results/frozen/r1/cells/bbe/della/seed2.csv: missing or changed"):
        Path("results/frozen/r1/cells/bbe/della/seed2.csv").write_text("step\n", encoding="utf-8")
        frozen.render(suite, "curves", ["r1"], tmp_path / "frozen.png")


def test_curves_of_other_data_are_not_drawn_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    suite, load = suites.load("workflow/config/ptb.yaml"), load_release

    def of_other_texts(name: str, root: Path) -> Release:
        release = load(name, root)
        data = {"ptb": {**release.manifest["data"]["ptb"], "sha256": name}}
        return replace(release, manifest={**release.manifest, "data": data})

    monkeypatch.setattr(frozen, "load_release", of_other_texts)
    both = ["ptb-2026.11.6", "ptb-2026.11.7"]
    with pytest.raises(BenchError, match=r"^release 'ptb-2026.11.7': other data of ptb than release 'ptb-2026.11.6'$"):
        frozen.render(suite, "davam/figure4d", both, tmp_path / "figure4d.png")


def test_of_other_settings_than_the_suite_has(embedded: Suite, tmp_path: Path) -> None:
    ptb = suites.load("workflow/config/ptb.yaml")
    with pytest.raises(BenchError, match=r"^release 'ptb-2026.11.1': ptb/lstm-lm/seed1: stage '\w+' ran under"):
        frozen.render(ptb, "davam/table2", ["ptb-2026.11.1"], tmp_path / "out.md")
    with pytest.raises(BenchError, match=r"^release '.*3': bbe/gpt2/seed1: stage 'generate' ran under settings the"):
        frozen.render(embedded, "table1", ["embedded-2026.11.3"], tmp_path / "out.md")
    assert not list(tmp_path.iterdir())


def test_on_the_command_line(tmp_path: Path) -> None:
    command = ["report", "--suite", "workflow/config/ptb.yaml", "--report", "davam/table2", "--frozen", PTB]
    subprocess.run(
        [sys.executable, "-m", "bench", *command, "--out", str(tmp_path / "t.csv")], check=True, env=dict(os.environ)
    )
    assert "| LSTM-LM    |    100.65 |" in (tmp_path / "t.md").read_text(encoding="utf-8")

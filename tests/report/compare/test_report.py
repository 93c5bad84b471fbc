"""A method beside frozen rows."""

from __future__ import annotations

import csv
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bench import suite as suites
from bench.errors import BenchError
from bench.freeze import freeze, load_release
from bench.paths import CellPaths
from bench.report.compare import pairs
from bench.report.compare.pairs import read_pairs
from bench.report.compare.report import compare
from tests import fake_run
from tests.browser import CHROMIUM, browser


def compared(suite: str, uses: tuple[str, ...]) -> tuple[dict[tuple[str, ...], dict[str, str]], str]:
    """The rows of the csv by (dataset, new, frozen, quantity), and the Markdown."""
    compare(suite, uses, ["r1"], Path("compare.md"))
    with open("compare.csv", encoding="utf-8", newline="") as stream:
        rows = {tuple(list(row.values())[:4]): row for row in csv.DictReader(stream)}
    return rows, Path("compare.md").read_text(encoding="utf-8")


def edit(method: str, seed: int, values: dict[str, Any], provenance: dict[str, Any]) -> None:
    path = CellPaths("tiny", "bbe", method, seed).record
    content = json.loads(path.read_text(encoding="utf-8"))
    for key, change in values.items():
        content["values"][key].update(change)
    content["provenance"].update(provenance)
    path.write_text(json.dumps(content), encoding="utf-8")


def test_a_new_method_stands_beside_every_frozen_row(mine: tuple[str, tuple[str, ...]]) -> None:
    rows, text = compared(*mine)
    assert {key[2] for key in rows} == {"gpt2", "embed", "della", "della@paper"} and {key[1] for key in rows} == {
        "mine"
    }
    assert {p.name for p in Path().glob("compare*")} == {
        *(f"compare.{form}" for form in ("csv", "html", "md", "tex")), "compare-pareto.png", "compare-pareto.svg"
    }  # fmt: skip
    assert "**bbe: mine against frozen della**" in text
    assert all(row["not_comparable"] == "" for row in rows.values())
    assert "Read with caution" not in text


def test_releases_are_put_together(mine: tuple[str, tuple[str, ...]], monkeypatch: pytest.MonkeyPatch) -> None:
    """A suite may be frozen in parts: their rows together are those of one release."""
    whole, text = compared(*mine)
    release = load_release("r1")
    cells = [{c: f for c, f in release.cells.items() if (c.method == "della") == there} for there in (True, False)]
    parts = {name: replace(release, name=name, cells=of) for name, of in zip(("r2", "r3"), cells, strict=True)}
    monkeypatch.setattr(pairs, "load_release", lambda name, root: parts[name])
    compare(*mine, ["r2", "r3"], Path("compare.md"))
    with open("compare.csv", encoding="utf-8", newline="") as stream:
        together = {tuple(list(row.values())[:4]): row for row in csv.DictReader(stream)}
    assert together == whole
    said = Path("compare.md").read_text(encoding="utf-8")
    assert said.startswith("# Suite tiny beside the frozen releases r2 and r3\n") and "**Frozen, r3**" in said
    assert "r2 and r3." in Path("compare.tex").read_text(encoding="utf-8")
    assert text.count("; human text (") == said.count("; human text (") == 2
    with pytest.raises(BenchError, match=r"^release 'r2': \w+/della is in 'r2' too; compare with one of them$"):
        compare(*mine, ["r2", "r3", "r2"], Path("compare.md"))


def test_a_training_without_values_is_no_row(mine: tuple[str, tuple[str, ...]]) -> None:
    """A release may have a record for the sake of its history alone."""
    for seed in (1, 2):
        path = CellPaths("tiny", "bbe", "embed", seed).record
        path.write_text(json.dumps(json.loads(path.read_text(encoding="utf-8")) | {"values": {}}), encoding="utf-8")
    freeze(mine[0], "r2")
    compare(*mine, ["r2"], Path("compare.md"))
    text = Path("compare.md").read_text(encoding="utf-8")
    assert "bbe: mine against frozen della" in text and "bbe: mine against frozen embed" not in text


def test_what_another_report_shows_is_not_said_to_be_missing(mine: tuple[str, tuple[str, ...]]) -> None:
    """Only the first report's cells are compared, and the release has the other dataset too."""
    suite, uses = mine
    Path(suite).write_text(
        Path(suite).read_text(encoding="utf-8")
        + "reports: {table1: {datasets: [bbe], methods: [gpt2, della]}, curves: {datasets: [sotu], methods: [della]}}\n"
    )
    rows, text = compared(suite, uses)
    assert {key[0] for key in rows} == {"bbe"} and "not in the release" not in text


def test_each_quantity_gets_the_sharpest_interval_there_is(mine: tuple[str, tuple[str, ...]]) -> None:
    rows, text = compared(*mine)
    how = {key[3]: row["how"] for key, row in rows.items() if key[0] == "bbe" and key[2] == "della"}
    assert (how["ppl"], how["nelbo"], how["kl"]) == ("paired",) * 3
    assert (how["bleu4"], how["mi"], how["paper:della/ppl"]) == ("Welch",) * 3
    assert how["au_0.2"] == "combined", "no variation over seeds"
    one_seed = {key[3]: row["how"] for key, row in rows.items() if key[0] == "sotu" and key[2] == "della"}
    assert (one_seed["bleu4"], one_seed["ppl"]) == ("combined", "paired")
    ppl = rows["bbe", "mine", "della", "ppl"]
    assert float(ppl["difference"]) == float(ppl["new"]) - float(ppl["frozen"])
    assert float(ppl["low"]) < float(ppl["difference"]) < float(ppl["high"]) < 0 and ppl["verdict"] == "win"
    assert float(ppl["p"]) < float(ppl["p_holm"]) < 0.05
    assert rows["bbe", "mine", "della", "kl"]["verdict"] == "", "neither direction is better"
    assert rows["bbe", "mine", "della", "nelbo"]["verdict"] == "", "the same likelihood as ppl"
    missing = rows["bbe", "mine", "gpt2", "kl"]
    assert (missing["frozen"], missing["difference"], missing["not_comparable"]) == ("", "", "")
    against_gpt2 = text.split("against frozen gpt2")[1].split("against frozen")[0]
    assert "| PPL (IW)" in against_gpt2 and "| KL" not in against_gpt2, "gpt2 has none"


def test_of_seeds_without_a_quantity_nothing_is_paired(mine: tuple[str, tuple[str, ...]]) -> None:
    """Values and statistics are of the same seeds: as if the other seed were not there."""
    path = CellPaths("tiny", "bbe", "mine", 1).record
    content = json.loads(path.read_text(encoding="utf-8"))
    del content["values"]["ppl"]
    path.write_text(json.dumps(content), encoding="utf-8")
    (pair,) = (p for p in read_pairs(suites.load(*mine), ["mine"], [load_release("r1")])
               if (p.dataset, p.frozen.name) == ("bbe", "della"))  # fmt: skip
    side = pair.new.side("ppl")
    assert side is not None and list(side.values) == [pair.new.records[1].values["ppl"].value]
    assert list(side.per_example) == [pair.new.per_example[1]] and pair.new.per_example[0] != pair.new.per_example[1]


def test_an_exact_number_is_not_compared_with_its_own_bound(run: str) -> None:
    """With that of another method it is: a table is for that."""
    freeze(run, "r1")
    for seed in (1, 2):
        edit("embed", seed, {"ppl": {"note": "exact: every z is counted"}}, {})
    rows, _ = compared(run, ())
    refused = rows["bbe", "embed", "embed", "ppl"]
    said = "one is exact and the other a bound (new: exact: every z is counted; frozen: K = "
    assert said in refused["not_comparable"]
    assert refused["difference"] == "" and rows["bbe", "embed", "embed", "nelbo"]["difference"] != ""


def test_a_run_beside_its_own_release_differs_by_nothing(run: str) -> None:
    freeze(run, "r1")
    rows, _ = compared(run, ())
    assert all(key[1] == key[2] for key in rows)
    assert all(float(row["difference"]) == 0 for row in rows.values())
    assert {row["verdict"] for row in rows.values()} == {"tie", ""}


@pytest.mark.parametrize(
    ("values", "provenance", "reason"),
    [
        (
            {"bleu4": {"signature": "bleu|n:4|tok:13a|refs:all9|v:1"}},
            {},
            "measured differently: refs is all9, not all5",
        ),
        ({}, {"data": "0" * 64}, "the data differ"),
    ],
)
def test_what_differs_is_refused_with_its_reason(
    mine: tuple[str, tuple[str, ...]], values: dict[str, Any], provenance: dict[str, Any], reason: str
) -> None:
    for seed in (1, 2):
        edit("mine", seed, values, provenance)
    rows, text = compared(*mine)
    refused = rows["bbe", "mine", "della", "bleu4"]
    assert reason in refused["not_comparable"] and refused["difference"] == "" and reason in text and "n/c" in text
    assert (rows["bbe", "mine", "della", "ppl"]["difference"] == "") == bool(provenance)


def test_texts_with_references_count_by_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    text = """
name: conditional
datasets: {kjv2bbe: {train: 20, valid: 5, test: 5, backbone: {kind: bart}}}
methods: [bart, embed]
seeds: [1, 2]
metrics: [iw, elbo, bleu, self_bleu, rouge, bertscore]
generation: {samples: 250}
"""
    suite = fake_run.write_suite(tmp_path, text)
    fake_run.write_run(tmp_path, suite)
    freeze(suite, "r1")
    rows, shown = compared(suite, ())
    counted = {key[3] for key, row in rows.items() if row["verdict"]}
    assert counted == {"ppl", "rougeL", "bertscore_f1", "self_bleu4"}
    assert "embed wins 0, ties 4 and loses 0 against frozen embed on kjv2bbe." in shown


def test_other_decoding_refuses_text_metrics_only(run: str, tmp_path: Path) -> None:
    freeze(run, "r1")
    other = tmp_path / "other.yaml"
    text = fake_run.YAML.replace("{samples: 250}", "{samples: 250, decoding: {strategy: greedy}}")
    other.write_text(text, encoding="utf-8")
    rows, text = compared(str(other), ())
    assert "decoded by greedy(), the frozen ones by top_k(50)" in rows["bbe", "della", "della", "js"]["not_comparable"]
    assert rows["bbe", "della", "della", "ppl"]["not_comparable"] == ""
    assert "generation.decoding.strategy is greedy here, top\\_k in the release" in text


def test_settings_that_a_release_did_not_have_yet_are_todays_defaults(run: str, tmp_path: Path) -> None:
    manifest = freeze(run, "r1") / "manifest.json"
    content = json.loads(manifest.read_text(encoding="utf-8"))
    del content["suite"]["resolved"]["training"]["precision"], content["suite"]["resolved"]["datasets"]["bbe"]["epochs"]
    manifest.write_text(json.dumps(content), encoding="utf-8")
    (manifest.parent / "SHA256SUMS").unlink()
    assert "Read with caution" not in compared(run, ())[1]
    other = tmp_path / "another.yaml"
    text = fake_run.YAML.replace("test: 5}", "test: 5, epochs: 7}", 1) + "training: {precision: bfloat16}\n"
    other.write_text(text, encoding="utf-8")
    told = compared(str(other), ())[1]
    assert "training.precision is bfloat16 here, float32 in the release" in told
    assert "datasets.bbe.epochs is 7 here, None in the release" in told


def test_other_versions_and_code_are_told_not_refused(run: str) -> None:
    freeze(run, "r1")
    for seed in (1, 2):
        edit("della", seed, {}, {"versions": {"torch": "9.9", "numpy": "2.4.6"}, "code": {"train": "changed"}})
    rows, text = compared(run, ())
    assert rows["bbe", "della", "della", "ppl"]["difference"] == "0.0"
    assert "## Read with caution" in text and "torch 2.13.0/9.9 here, 2.13.0 in the release" in text
    assert "della: generate, likelihood, train" in text


def test_metrics_whose_code_changed_are_told(run: str) -> None:
    """Of whatever methods; of records that do not say, nothing is."""
    families = list(suites.families_of(suites.load(run), "bbe", "della"))

    def scored(**code: str) -> None:
        scores = {family: {"code": code.get(family, "before")} for family in families}
        for seed in (1, 2):
            edit("della", seed, {}, {"scores": scores})

    scored()
    freeze(run, "r1")
    assert "metrics: " not in compared(run, ())[1]
    scored(**{families[0]: "after"})
    _, text = compared(run, ())
    assert f"Code changed since the release** metrics: {families[0]}\n" in text


def test_another_device_and_another_budget_are_told(run: str, tmp_path: Path) -> None:
    freeze(run, "r1")
    for seed in (1, 2):
        edit("della", seed, {}, {"device": "cpu in float32"})
    other = tmp_path / "longer.yaml"
    methods = "methods: {gpt2: {}, embed: {}, della: {epochs: 9, options: {latent: 8}}, della@paper: {}}"
    other.write_text(re.sub(r"methods: .*", methods, fake_run.YAML), encoding="utf-8")
    told = compared(str(other), ())[1]
    assert "trained on cpu, cpu in float32 here, on cpu in the release" in told
    assert told.count("methods.della.epochs is 9 here, None in the release") == 1
    assert "methods.della.options.latent is 8 here, None in the release" in told


@pytest.mark.parametrize("damage", ["missing", "changed"])
def test_a_damaged_release_is_one_clear_line(run: str, damage: str) -> None:
    folder = freeze(run, "r1")
    cell = folder / "cells/bbe/della/seed2.json"
    cell.unlink() if damage == "missing" else cell.write_text("{}", encoding="utf-8")
    with pytest.raises(BenchError, match=r"cells/bbe/della/seed2.json: missing or changed"):
        compare(run, (), ["r1"], Path("compare.md"))


def test_an_unknown_release_names_the_nearest(run: str) -> None:
    freeze(run, "2026.1-tiny")
    with pytest.raises(BenchError, match=r"did you mean '2026\.1-tiny'"):
        compare(run, (), ["2026.2-tiny"], Path("compare.md"))


def test_every_format_says_the_same(mine: tuple[str, tuple[str, ...]]) -> None:
    rows, text = compared(*mine)
    verdicts = [row["verdict"] for row in rows.values() if row["verdict"]]
    page = Path("compare.html").read_text("utf-8")
    counts = [verdicts.count(verdict) for verdict in ("win", "tie", "loss")]
    sentence = "wins {}, ties {} and loses {} in all".format(*counts)
    assert sum(counts) > 20 and sentence in text and sentence in page
    p = {f"{float(row['p_holm']):.3f}" for row in rows.values() if float(row["p_holm"] or 0) >= 0.001}
    assert p and all(f" {value} " in text and f">{value}" in page for value in p)
    assert page.count("<svg") == 4 and "![Quality against diversity](compare-pareto.svg)" in text
    ids = re.findall(r'\bid="([^"]+)"', page)
    assert len(ids) == len(set(ids))


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here")
def test_the_page_fits_a_phone_and_asks_for_nothing(mine: tuple[str, tuple[str, ...]]) -> None:
    compare(*mine, ["r1"], Path("compare.md"))
    with browser() as page:
        page.send("Emulation.setDeviceMetricsOverride", width=390, height=800, deviceScaleFactor=1, mobile=True)
        page.open(Path("compare.html").resolve().as_uri())
        assert page.run("document.documentElement.scrollWidth") == 390
        beyond = (
            "[...document.querySelectorAll('p, pre, svg, .scroll')].filter(e => e.getBoundingClientRect().right > 390)"
        )
        assert page.run(f"{beyond}.length") == 0 and page.run("document.querySelectorAll('svg').length") == 4
        assert page.errors == [] and {url.partition(":")[0] for url in page.requests} <= {"file", "about"}

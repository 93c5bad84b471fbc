"""``reports/index.html``: everything the records have, nothing that runs or is fetched, and a page that works."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench import suite as suites
from bench.errors import BenchError
from bench.metrics.tokenise import tokenise
from bench.paths import PUBLISHED
from bench.record_schema import Record, parse_record, read_cell, read_record
from bench.report import catalogue
from bench.report.model import Cell, Table
from bench.report.published import load_published
from bench.report.site import contents, neighbours, parts, texts
from bench.report.site.costs import costs
from tests.report.site.site_run import HOSTILE, ROOT, TRAINING, WRITTEN, rendered


class Page(HTMLParser):
    """What a page is made of, and the data it holds."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: dict[str, list[str]] = {}
        self.kept: dict[str, str] = {}
        self._in = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        for name, value in attrs:
            self.attributes.setdefault(name, []).append(value or "")
        if tag == "script":
            self._in = dict(attrs).get("type") or "script"

    def handle_data(self, data: str) -> None:
        if self._in:
            self.kept[self._in] = self.kept.get(self._in, "") + data

    def handle_endtag(self, tag: str) -> None:
        self._in = ""

    @property
    def data(self) -> Any:
        return json.loads(self.kept["application/json"])


def test_every_value_of_every_record_is_there(site: Path) -> None:
    data = Page(site.read_text(encoding="utf-8")).data
    paths = (site.parent / "results/runs/tiny").rglob("record.json")
    records = [record for record in map(read_record, paths) if record.method != "della-ltp"]
    at = {(c["dataset"], c["method"], c["seed"], c["decoding"]): c for c in data["cells"]}
    assert len(records) == len(at) == len(data["cells"])
    for record in records:
        cell = at[record.dataset, record.method, record.seed, record.decoding]
        assert cell["provenance"] == record.as_dict()["provenance"]
        assert set(cell["values"]) == set(record.values) <= set(data["quantities"])
        for key, of in record.values.items():
            value, ci95, n, *texts = cell["values"][key]
            assert (value, tuple(ci95), n) == (of.value, of.ci95, of.n)
            assert [data["strings"][i] for i in texts] == [of.signature, of.interval, of.note]
        path = f"seed{record.seed}/{f'decoding-{record.decoding}/' if record.decoding else ''}record.json"
        target = f"results/runs/tiny/{record.dataset}/{record.method}/{path}"
        assert cell["command"].startswith("snakemake --cores 2 --config suite=") and cell["command"].endswith(target)


def test_tables_are_means_over_seeds_as_the_first_table_shows_them(site: Path) -> None:
    data = Page(site.read_text(encoding="utf-8")).data
    bbe = next(of for of in data["tables"] if (of["dataset"], of["decoding"]) == ("bbe", ""))
    for row in bbe["rows"]:
        seeds = [cell for cell in data["cells"] if (cell["dataset"], cell["method"], cell["decoding"]) == (
            "bbe", row["method"], "")]  # fmt: skip
        for key, (text, _, _, value, *_) in row["cells"].items():
            mean = float(np.mean([cell["values"][key][0] for cell in seeds]))
            assert float(value) == pytest.approx(mean, rel=1e-12)
            assert float(text) == pytest.approx(mean, abs=0.06 if "." in text else 0.6)
    keys = {key for of in data["tables"] for row in of["rows"] for key in row["cells"]}
    assert keys == {key for cell in data["cells"] for key in cell["values"]}
    assert {key for of in data["sets"] for key in of["keys"]} == keys


def test_what_papers_print_is_there(site: Path) -> None:
    data = Page(site.read_text(encoding="utf-8")).data
    found = {
        (paper["name"], table["name"], dataset, method, metric, *printed)
        for paper in data["papers"]
        for table in paper["tables"]
        for dataset, methods in table["datasets"].items()
        for method, metrics in methods.items()
        for metric, printed in metrics.items()
    }
    labels = {(paper["name"], table["name"]): table["metrics"] for paper in data["papers"] for table in paper["tables"]}
    assert labels["della", "2"]["bleu"] == "BLEU" and labels["della", "1"]["self_bleu"] == "SB", "of no order"
    assert labels["davam", "4"]["gpt2_ppl"] == "PPL" and labels["davam", "2"]["kl"] == "KL"
    assert labels["della", "A.1"]["parameters"] == "parameters", "what no table of ours has keeps its name"
    rows = load_published(ROOT / PUBLISHED).rows
    assert found == {(r.paper, r.table, r.dataset, r.method, r.metric, r.text, r.note) for r in rows}


def test_every_text_with_what_it_is_most_like(site: Path) -> None:
    of = Page(site.read_text(encoding="utf-8")).data["samples"]["bbe"]
    assert len(of["sets"]) == 2 * 2 * 4 + 1  # decodings, seeds and methods; human
    for written in of["sets"]:
        assert [row[0] for row in written["rows"][:-1]] == WRITTEN
        copied = written["rows"][len(HOSTILE)]
        assert (of["training"][str(copied[1])], copied[2]) == (TRAINING[0], 1.0)
        assert written["rows"][copied[3]][0] == "the king went out" and copied[4] == 0.5
        rows = written["rows"]
        train, most, copies, other, repeated = written["likeness"]
        assert (train, other) == tuple(pytest.approx(np.mean([row[i] for row in rows]), abs=1e-3) for i in (2, 4))
        assert most == 1.0 and copies == sum(row[0] in TRAINING for row in rows) == len(HOSTILE) + 3
        assert (rows[len(HOSTILE) + 2][0], rows[len(HOSTILE) + 2][2]) == ("a b a", 1.0), "alike, and not the same"
        assert repeated == 2


def test_a_big_suite_shows_the_first_texts_and_counts_all(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    suite, root = suites.load(site.parent / "tiny.yaml"), site.parent
    whole = texts.texts(suite, "index", root)
    monkeypatch.setattr(texts, "LIMIT", 8_000)
    part = texts.texts(suite, "index", root)
    sizes = set()
    for dataset, of in part.items():
        for few, all_of in zip(of["sets"], whole[dataset]["sets"], strict=True):
            sizes.add(len(few["rows"]))
            assert few["rows"] == all_of["rows"][: len(few["rows"])] and few["n"] == len(all_of["rows"])
            assert few["likeness"] == all_of["likeness"]
            for _, train, like, other, _ in few["rows"]:
                assert not like or of["training"][str(train)] == TRAINING[train]
                text = few["rows"][other][0] if other < len(few["rows"]) else few["others"][str(other)]
                assert text == all_of["rows"][other][0]
    assert len(sizes) == 1 and 1 <= sizes.pop() < len(WRITTEN)
    shown = [text for of in part.values() for one in of["sets"] for row in one["rows"] for text in (row[0],)]
    assert sum(map(len, shown)) <= 8_000


def test_the_index_has_the_reports_that_need_no_other_cell_and_the_whole_site_all(site: Path) -> None:
    suite, root = suites.load(site.parent / "tiny.yaml"), site.parent
    tables = {"index": ["della/table8"], "whole": ["della/table8", "della/table4"]}
    for name, wanted in tables.items():
        assert contents.reports(suite, name) == [*wanted, "curves", "della/figure3"]
        text = rendered(root, name, f"{name}.html").decode()
        page = Page(text)
        anchors = [f"report-{name.replace('/', '-')}" for name in ["curves", *wanted]]
        assert [name for name in page.attributes["id"] if name in anchors] == anchors
        assert [f"#{name}" for name in anchors] == [href for href in page.attributes["href"] if href[1:] in anchors]
        assert len(page.attributes["id"]) == len(set(page.attributes["id"]))
        for label in page.attributes["aria-labelledby"]:
            assert set(label.split()) <= set(page.attributes["id"])
        assert ("della-ltp" in {cell["method"] for cell in page.data["cells"]}) == (name == "whole")
    (root / catalogue.find("della/table8").page).rename(root / "away.html")
    with pytest.raises(BenchError, match=r"report .*della/table8.html: cannot be read"):
        parts.groups(suite, "index", root)
    (root / "away.html").rename(root / catalogue.find("della/table8").page)


def test_cost_is_that_of_every_stage_once(site: Path) -> None:
    suite, root = suites.load(site.parent / "tiny.yaml"), site.parent
    records = [read_cell(suite.name, cell, root) for cell in contents.recorded(suite, "index")]
    stages = {}
    for record in records:
        for stage, cost in record.provenance.cost.items():
            stages[record.dataset, record.method, record.seed, stage] = cost
    table = costs(records)
    assert table is not None
    at = {column.key: i for i, column in enumerate(table.columns)}
    rows = {(group.label, row.label): row.cells for group in table.groups for row in group.rows}
    assert len(rows) == len({key[:3] for key in stages}) + 1
    for (dataset, method, seed, _), cost in stages.items():
        row = rows[dataset, f"{method} · seed {seed}"]
        assert (row[at["train_s"]].value, row[at["peak_mb"]].value) == (cost.wall_s, cost.peak_mb)
    total = rows["all", "sum, and peak"]
    assert total[at["wall_s"]].value == pytest.approx(sum(cost.wall_s for cost in stages.values()))
    assert total[at["peak_mb"]].value == max(cost.peak_mb for cost in stages.values())
    assert "energy" not in at and "could not be read" in table.paragraphs[0]

    known = [with_cost(record, energy_j=1500.0, gpu_energy_j=500.0, gpu_peak_mb=7.0) for record in records]
    table = costs(known)
    assert table is not None and f"was {1.5 * len(stages):,.1f} kJ" in table.paragraphs[0]
    cells = together(table)
    assert cells["energy"].value == pytest.approx(1.5 * len(stages))
    assert (cells["gpu_energy"].value, cells["gpu_peak_mb"].value) == (pytest.approx(0.5 * len(stages)), 7.0)
    some = costs([with_cost(record, energy_j=None) if record.seed == 2 else record for record in known])
    assert some is not None and together(some)["energy"].text == "-"  # a sum of some is no sum


def together(table: Table) -> dict[str, Cell]:
    return {column.key: cell for column, cell in zip(table.columns, table.groups[-1].rows[0].cells, strict=True)}


def with_cost(record: Record, **changes: float | None) -> Record:
    cost = {stage: {**of.model_dump(), **changes} for stage, of in record.provenance.cost.items()}
    content = record.as_dict()
    return parse_record({**content, "provenance": {**content["provenance"], "cost": cost}}, "a test")


@settings(max_examples=60)
@given(*[st.lists(st.text("abc .", max_size=12), min_size=1, max_size=6)] * 2)
def test_nearest_is_that_of_all_pairs(texts: list[str], training: list[str]) -> None:
    def bigrams(text: str) -> set[tuple[str, str]]:
        return set(zip(tokenise(text), tokenise(text)[1:], strict=False))

    def likeness(a: str, b: str) -> float:
        return len(bigrams(a) & bigrams(b)) / max(1, len(bigrams(a) | bigrams(b)))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(neighbours, "AT_ONCE", 4)
        train, other = neighbours.nearest(texts, training)
    for i, text in enumerate(texts):
        to_training = [likeness(text, of) for of in training]
        assert train.likeness[i] == pytest.approx(max(to_training))
        assert train.text[i] == int(np.argmax(to_training))
        others = [likeness(text, of) for j, of in enumerate(texts) if j != i]
        assert other.likeness[i] == pytest.approx(max(others, default=0))
        assert not others or likeness(text, texts[other.text[i]]) == pytest.approx(max(others)) or max(others) == 0


def test_texts_are_no_markup_and_nothing_is_fetched(site: Path) -> None:
    text = site.read_text(encoding="utf-8")
    page = Page(text)
    assert page.tags.count("script") == 2 and "img" not in page.tags
    assert not set(page.tags) & {"link", "iframe", "object", "embed", "base", "foreignobject"}
    assert not [name for name in page.attributes if name.startswith("on") or name == "src"]
    assert all(href.startswith("#") for name in ("href", "xlink:href") for href in page.attributes.get(name, []))
    assert len(page.attributes["id"]) == len(set(page.attributes["id"]))
    assert not set("<>&") & set(page.kept["application/json"])
    outside = re.sub(r'xmlns(:xlink)?="http://www\.w3\.org/[^"]*"', "", text.replace(page.kept["application/json"], ""))
    assert not re.search(r"(https?:)?//\w|url\((?!#)|@import|fetch\(|XMLHttp|innerHTML|insertAdjacent", outside)


def test_the_page_is_the_same_every_time_and_small(site: Path) -> None:
    assert rendered(site.parent, "index", "again.html") == site.read_bytes()
    assert len(site.read_bytes()) < 1_000_000

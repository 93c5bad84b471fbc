"""``reports/index.html``: everything the records have, nothing that runs or is fetched, and a page that works."""

from __future__ import annotations

import hashlib
import importlib
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import fake_run
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench import suite as suites
from bench.files import write_json
from bench.metrics.tokenise import tokenise
from bench.paths import PUBLISHED, CellPaths
from bench.record_schema import read_record
from bench.report import catalogue
from bench.report.published import load_published
from bench.report.site import contents, neighbours
from bench.samples import write_samples
from tests.browser import CHROMIUM, Browser, browser

HOSTILE = [
    "</script><script>document.title = 'owned'</script>", "<img src=x onerror=\"document.title = 'owned'\">",
    "<!-- <script>", "{{ 7 * 7 }} {% raw %}", "]]> &lt;b&gt; &amp;", "\u2028 \u202e \\u003c ' \" `${1}`",
]  # fmt: skip
TRAINING = ["the king went out to the sea", "a b c d e f", "water and bread", *HOSTILE]
WRITTEN = [*HOSTILE, "the king went out to the sea", "the king went out", "something else again", "water and bread ."]


ROOT = Path(__file__).parents[2]
YAML = f"""{
    fake_run.YAML.replace("sotu:", "kjv2bbe: {backbone: {kind: bart}, seeds: [1]}, sotu:").replace(
        "della@paper]", "della@paper, della-ltp]"
    )
}
decodings: {{greedy: {{strategy: greedy}}}}
reports:
  index: &all {{datasets: [bbe, kjv2bbe, sotu], methods: [gpt2, embed, della, della@paper], decodings: [greedy]}}
  whole: *all
  della/table8: {{datasets: [bbe], methods: [gpt2, embed, della]}}
  della/table4: {{datasets: [bbe], methods: [della, della-ltp]}}
  curves: {{datasets: [bbe], methods: [gpt2, embed, della]}}
  della/figure3: {{datasets: [bbe], methods: [embed, della]}}
"""
DECODED = ["the sea <b>", "the sea", "the king and the sea", "the king went out to the sea"]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of a finished run whose texts are hostile, and which has a second decoding."""
    root = tmp_path_factory.mktemp("site")
    suite = fake_run.write_run(root, fake_run.write_suite(root, YAML))
    for dataset in suite.datasets:
        paths = CellPaths(suite.name, dataset, "", 0)
        manifest = fake_run.manifest_of(dataset)
        source = "the source of\t" if manifest["conditional"] else ""
        lines = "".join(f"{source}{' '.join(text.split())}\n" for text in TRAINING)
        for part in manifest["splits"]:
            (root / paths.data / f"{part}.txt").write_text(lines, encoding="utf-8")
            manifest["splits"][part]["sha256"] = hashlib.sha256(lines.encode()).hexdigest()
        write_json(root / paths.manifest, manifest)
    for cell in (*suites.drawn(suite, "index"), *suites.untrained(suite, "index")):
        texts = [*WRITTEN, f"by {cell.method} of seed {cell.seed} {cell.decoding}"]
        samples = CellPaths(suite.name, cell.dataset, cell.method, cell.seed, cell.decoding).samples
        write_samples(root / samples, texts, cell.decoding, cell.seed)
    for cell in contents.interpolated(suite, "whole"):
        found = {"decoding": "greedy()", "seed": cell.seed, "taus": [1, 0.7, 0.3, 0],
                 "pairs": [{"texts": [TRAINING[0], f"pair {i}"], "decoded": DECODED} for i in (1, 2)]}  # fmt: skip
        write_json(root / CellPaths(suite.name, cell.dataset, cell.method, cell.seed).interpolation, found)
    for name in contents.pages(suite, "whole"):
        rendered(root, name, catalogue.find(name).page)
    rendered(root, "index", "index.html")
    return root / "index.html"


def rendered(root: Path, report: str, name: str | Path) -> bytes:
    """A report once more: what papers print is the repository's."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(ROOT)
        importlib.import_module(catalogue.find(report).module).render(
            suites.load(root / "tiny.yaml"), report, root / name, root
        )
    return (root / name).read_bytes()


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
    assert not set("<>&") & set(page.kept["application/json"])
    outside = re.sub(r'xmlns(:xlink)?="http://www\.w3\.org/[^"]*"', "", text.replace(page.kept["application/json"], ""))
    assert not re.search(r"(https?:)?//\w|url\((?!#)|@import|fetch\(|XMLHttp|innerHTML|insertAdjacent", outside)


def test_the_page_is_the_same_every_time_and_small(site: Path) -> None:
    assert rendered(site.parent, "index", "again.html") == site.read_bytes()
    assert len(site.read_bytes()) < 1_000_000


@pytest.fixture(scope="module")
def chromium():
    if CHROMIUM is None:
        pytest.skip("no chromium is installed")
    with browser() as page:
        yield page


COLUMN = (
    "[...document.querySelectorAll('#tables tbody:nth-of-type(1) tr:not(.dataset)')].map(r => r.cells[{}].innerText)"
)


def test_state_is_in_the_address(site: Path, chromium: Browser) -> None:
    chromium.open(f"{site.as_uri()}#overview&view=paper&paper=della&sort=paper%3Adella%2Fppl")
    shown = [float(text.split()[0]) for text in chromium.run(COLUMN.format(1))]
    assert len(shown) == 4 and shown == sorted(shown)
    assert chromium.run("document.querySelector('[aria-sort=ascending]').innerText.includes('PPL')")
    assert chromium.run("document.querySelector('[name=view]:checked').value") == "paper"

    chromium.open(f"{site.as_uri()}#overview&view=published&paper=trace")
    assert "TRACE, Table 2" in chromium.run("document.querySelector('#tables').innerText")

    chromium.open(f"{site.as_uri()}#samples&dataset=sotu&decoding=greedy()&left=della+%C2%B7+seed+1&q=KING")
    assert "della · seed 1: 2 of 11 texts" in chromium.run("document.querySelector('#found').innerText")
    assert set(chromium.run("[...document.querySelectorAll('mark')].map(m => m.innerText)")) == {"king"}
    assert chromium.run("document.querySelector('#decoding').value") == "greedy()"

    chromium.open(f"{site.as_uri()}#samples&dataset=kjv2bbe&left=embed+%C2%B7+seed+1&right=human")
    left, right = chromium.run("[...document.querySelectorAll('#texts article')].slice(0, 2).map(a => a.textContent)")
    assert "Given: the source of" in left and "Given" not in right

    chromium.open(f"{site.as_uri()}#cells&cell=bbe/della/2/greedy")
    assert "decoding-greedy/record.json" in chromium.run("document.querySelector('#one pre').innerText")
    assert_quiet(chromium, site)


def test_clicks_and_keys(site: Path, chromium: Browser) -> None:
    chromium.open(site.as_uri())
    before = chromium.run(COLUMN.format(0))
    chromium.run("document.querySelector('#tables thead button[data-key=ppl]').focus()")
    for order, descending in (("ascending", False), ("descending", True)):
        chromium.press("Enter")
        assert chromium.run("document.activeElement.closest('th').ariaSort") == order
        ppl = [float(text.split()[0]) for text in chromium.run(COLUMN.format(1))[:-1]]  # human is last, and has none
        assert ppl == sorted(ppl, reverse=descending)
    chromium.run("document.activeElement.click()")
    assert chromium.run(COLUMN.format(0)) == before

    chromium.run("document.querySelector('#tables td button').focus()")
    assert "signature ppl|protocol:exact" in chromium.run("document.querySelector('#tip').innerText")
    assert not chromium.run("document.querySelector('#tip').hidden")
    chromium.press("ArrowRight")
    assert "signature nelbo|" in chromium.run("document.querySelector('#tip').innerText")
    assert chromium.run("document.activeElement.getAttribute('aria-describedby')") == "tip"
    chromium.press("Escape")
    assert chromium.run("document.querySelector('#tip').hidden")
    assert chromium.run("document.querySelectorAll('#tables td button[tabindex=\"0\"]').length") == 1

    chromium.run("document.querySelector('[name=view][value=paper]').click()")
    assert "view=paper" in chromium.run("location.hash")
    chromium.run("document.querySelector('#tables tbody a').click()")
    assert chromium.run("document.querySelector('#cell').value") == "bbe/gpt2/1"
    assert_quiet(chromium, site)


def test_hostile_texts_are_shown_as_they_are(site: Path, chromium: Browser) -> None:
    chromium.open(f"{site.as_uri()}#samples")
    shown = chromium.run("document.querySelector('#texts').textContent")
    assert all(text in shown for text in HOSTILE)
    assert chromium.run("document.title") == "Suite tiny"
    assert chromium.run("document.querySelectorAll('main script, main img, main iframe').length") == 0
    assert_quiet(chromium, site)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_a_phone_scrolls_no_page_sideways_and_colours_can_be_read(site: Path, chromium: Browser, theme: str) -> None:
    chromium.send("Emulation.setDeviceMetricsOverride", width=390, height=800, deviceScaleFactor=1, mobile=True)
    chromium.send("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": theme}])
    for view in ("exact", "paper", "published"):
        chromium.open(f"{site.as_uri()}#overview&view={view}")
        assert chromium.run("document.documentElement.scrollWidth") <= 390
    ink, paper = (chromium.run(f"getComputedStyle(document.body).{name}") for name in ("color", "backgroundColor"))
    assert contrast(ink, paper) > 7
    soft = chromium.run("getComputedStyle(document.querySelector('.caption')).color")
    assert contrast(soft, paper) > 4.5
    assert (luminance(paper) < 0.5) == (theme == "dark")
    chromium.send("Emulation.clearDeviceMetricsOverride")
    chromium.send("Emulation.setEmulatedMedia", features=[])


def luminance(colour: str) -> float:
    """Relative luminance, WCAG 2."""
    parts = [int(part) / 255 for part in re.findall(r"\d+", colour)[:3]]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return float(np.dot(linear, (0.2126, 0.7152, 0.0722)))


def contrast(one: str, other: str) -> float:
    low, high = sorted(map(luminance, (one, other)))
    return (high + 0.05) / (low + 0.05)


def assert_quiet(chromium: Browser, site: Path) -> None:
    """No complaint on the console, and nothing asked for but the page."""
    assert chromium.errors == []
    assert {url.partition("#")[0] for url in chromium.requests} <= {site.as_uri(), "about:blank"}
    chromium.requests.clear()

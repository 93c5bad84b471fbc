"""The site of a finished run of invented numbers, whose texts are hostile and which has a second decoding."""

from __future__ import annotations

import hashlib
import importlib
from pathlib import Path

import pytest

from bench import suite as suites
from bench.files import write_json
from bench.paths import CellPaths
from bench.report import catalogue
from bench.report.site import contents
from bench.samples import write_samples
from tests import fake_run

HOSTILE = [
    "</script><script>document.title = 'owned'</script>", "<img src=x onerror=\"document.title = 'owned'\">",
    "<!-- <script>", "{{ 7 * 7 }} {% raw %}", "]]> &lt;b&gt; &amp;", "\u2028 \u202e \\u003c ' \" `${1}`",
]  # fmt: skip
TRAINING = ["the king went out to the sea", "a b a b", "water and bread", "alone", *HOSTILE]
WRITTEN = [
    *HOSTILE,
    "the king went out to the sea",
    "the king went out",
    "a b a",
    "water and bread .",
    "alone",
    "alone",
]


ROOT = Path(__file__).parents[3]
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


def write_site(root: Path) -> Path:
    """The run under ``root``, and its page."""
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
        written = [*WRITTEN, f"by {cell.method} of seed {cell.seed} {cell.decoding}"]
        samples = CellPaths(suite.name, cell.dataset, cell.method, cell.seed, cell.decoding).samples
        write_samples(root / samples, written, cell.decoding, cell.seed)
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

"""What the Snakefile asks about a suite, without Snakemake."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace

import pytest

from bench import dag, suite
from bench.errors import BenchError

SUITE = """\
name: tiny
datasets: {bbe: , sotu: {seeds: [7]}}
methods: [gpt2, della@paper]
seeds: [1, 2]
metrics: [%s]
"""
PLUGIN = "class Mine:\n    variants = {'mine': {}}\n"


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("tiny.yaml").write_text(SUITE % "elbo, bleu")
    Path("mine.py").write_text(PLUGIN)
    for release in ("v1.9", "v1.10", "v1.2"):
        freeze(release, "another", ["gpt2"])


def freeze(
    release: str, of: str, methods: Sequence[str], dataset: str = "bbe", signatures: Sequence[str] | None = None
) -> None:
    """What the Snakefile reads of a release; ``signatures``: of which datasets anything was measured."""
    signed = {dataset: {} for dataset in ([dataset] if signatures is None else signatures)}
    cells = [{"dataset": dataset, "method": method} for method in methods]
    path = Path("results/frozen", release, "manifest.json")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"suite": {"name": of}, "cells": cells, "signatures": signed}))


class Wildcards(SimpleNamespace):
    """Snakemake's, as far as they are asked."""

    def items(self) -> list[tuple[str, str]]:
        return list(vars(self).items())


def test_targets_are_the_cells_and_a_human_row_a_dataset() -> None:
    loaded = dag.load({"suite": "tiny.yaml"})
    cells = ["bbe/gpt2/seed1", "bbe/gpt2/seed2", "bbe/della@paper/seed1", "bbe/della@paper/seed2"]
    cells += ["sotu/gpt2/seed7", "sotu/della@paper/seed7"]
    assert loaded.read("curves") == [f"results/runs/tiny/{cell}/history.csv" for cell in cells]
    humans = ["bbe/human/seed0", "sotu/human/seed0"]
    assert loaded.read("table1") == [f"results/runs/tiny/{cell}/record.json" for cell in cells + humans]
    assert loaded.reports() == ["reports/table1.md", "reports/curves.png"]
    assert {"reports/table1.html", "reports/curves.svg"} < set(loaded.read("index"))


def test_a_method_may_be_trained_by_more_threads_than_the_others() -> None:
    Path("tiny.yaml").write_text((SUITE % "elbo").replace("[gpt2, della@paper]", "{gpt2: , della@paper: {threads: 3}}"))
    loaded = dag.load({"suite": "tiny.yaml"})
    threads = [loaded.training_threads(Wildcards(dataset="bbe", method=name)) for name in ("gpt2", "della@paper")]
    assert threads == [1, 3]


def test_an_augmentation_takes_the_threads_of_its_language_model() -> None:
    text = (SUITE % "elbo").replace("[gpt2, della@paper]", "{gpt2: {threads: 2}, della@paper: {threads: 3}}")
    Path("tiny.yaml").write_text(f"{text}augmentation: {{model: gpt2}}\n")
    assert dag.load({"suite": "tiny.yaml"}).augmentation_threads(Wildcards(dataset="bbe", method="della@paper")) == 2


def test_the_site_reads_a_datasets_own_decoding_too() -> None:
    index = "reports: {index: {datasets: [sotu], methods: [gpt2], decodings: [greedy]}}"
    Path("tiny.yaml").write_text(f"{SUITE % 'bleu'}\ndecodings: {{greedy: {{strategy: greedy}}}}\n{index}\n")
    loaded = dag.load({"suite": "tiny.yaml"})
    drawn = [f"results/runs/tiny/sotu/{of}" for of in ("gpt2/seed7", "gpt2/seed7/decoding-greedy", "human/seed0")]
    assert loaded.reports() == ["reports/index.html"]
    assert [path for path in loaded.read("index") if path.endswith("record.json")] == [
        f"{of}/record.json" for of in drawn
    ]
    assert {f"{of}/samples.jsonl" for of in drawn} <= set(loaded.read("index"))
    assert loaded.families("sotu", "gpt2", "greedy") == {"ngrams": "texts"}


SITES = """\
  index: &site {datasets: [bbe], methods: [gpt2, memory]}
  whole: *site
  della/figure3: {datasets: [bbe], methods: [memory], seeds: [2]}
  della/table7: {datasets: [bbe, kjv2bbe], methods: [memory]}
  davam/table1: {datasets: [bbe], methods: [della]}
  davam/figure3: {datasets: [bbe], methods: [memory]}
  trace/table6: {datasets: [bbe], methods: [gpt2], decodings: [greedy]}
augmentation: {model: gpt2}
decodings: {greedy: {strategy: greedy}}
"""


def test_a_site_reads_what_its_reports_are_made_of_and_the_index_trains_nothing_for_them() -> None:
    Path("tiny.yaml").write_text(SELECTED + SITES)
    loaded = dag.load({"suite": "tiny.yaml"})
    own = {f"results/runs/tiny/bbe/{of}" for of in ("gpt2/seed1", "gpt2/seed2", "memory/seed1", "memory/seed2")}
    human = "results/runs/tiny/bbe/human/seed0"
    index = {f"{of}/{file}" for of in (*own, human) for file in ("record.json", "samples.jsonl")}
    index |= {"results/runs/tiny/bbe/memory/seed2/interpolation.json"}
    # figure3 is a section of its own; the others need other cells, other texts, or models trained on generated texts
    pages = {"reports/della/figure6.svg", "reports/davam/table1.html"}
    assert set(loaded.read("index")) == index | pages and len(loaded.read("index")) == len(index | pages)
    whole = set(loaded.read("whole"))
    more = ["table1.html", "della/table2.html", "della/table7.html", "davam/figure3.svg", "trace/table6.html"]
    assert whole >= index | pages | {f"reports/{name}" for name in more}
    assert {path for path in whole - index if path.endswith("record.json")} == {
        path for name in ("table1", "della/table2", "trace/table6") for path in loaded.read(name)
    } - index


def test_a_suite_without_text_metrics_has_no_human_row() -> None:
    Path("tiny.yaml").write_text(SUITE % "elbo")
    assert not [record for record in dag.load({"suite": "tiny.yaml"}).read("table1") if "human" in record]


def test_a_method_from_outside_is_added_and_compared() -> None:
    loaded = dag.load({"suite": "tiny.yaml", "method": "mine.py:Mine"})
    cells = [f"results/runs/tiny/{cell}/mine/seed{seed}" for cell, seed in (("bbe", 1), ("bbe", 2), ("sotu", 7))]
    assert loaded.compared() == [f"{c}/record.json" for c in cells] + [f"{c}/likelihood.npz" for c in cells]
    assert [record for record in loaded.read("table1") if "mine" in record] == loaded.compared()[:3]
    assert loaded.arguments(Wildcards(dataset="bbe", method="m n"), out="o.md") == (
        "--suite tiny.yaml --use mine.py:Mine --dataset bbe --method 'm n' --out o.md"
    )
    assert len(dag.load({"suite": "tiny.yaml"}).compared()) == 12


SELECTED = """\
name: tiny
datasets: {bbe: , kjv2bbe: {backbone: {kind: bart}}, sotu-story: {seeds: [7]}}
methods: [gpt2, bart, memory, della]
seeds: [1, 2]
metrics: [elbo, bleu, rouge]
reports:
  table1: {datasets: [bbe], methods: [gpt2, della]}
  della/table2: {datasets: [sotu-story, kjv2bbe], methods: [gpt2, bart, memory], seeds: [1]}
  della/figure6: {datasets: [bbe], methods: [memory]}
"""


def test_a_report_reads_the_cells_the_suite_selects_for_it() -> None:
    Path("tiny.yaml").write_text(SELECTED)
    loaded = dag.load({"suite": "tiny.yaml"})
    assert loaded.reports() == ["reports/table1.md", "reports/della/table2.md", "reports/della/figure6.png"]
    assert loaded.reports("della/") == loaded.reports()[1:]
    conditional = ["kjv2bbe/bart/seed1", "kjv2bbe/memory/seed1", "sotu-story/gpt2/seed1", "sotu-story/memory/seed1"]
    beside = [f"{dataset}/{row}/seed0" for dataset in ("kjv2bbe", "sotu-story") for row in ("human", "copy")]
    assert loaded.read("della/table2") == [f"results/runs/tiny/{c}/record.json" for c in conditional + beside]
    assert loaded.manifests("della/table2") == [
        f"results/runs/tiny/{d}/data/manifest.json" for d in ("kjv2bbe", "sotu-story")
    ]
    assert loaded.read("della/figure6") == [f"results/runs/tiny/bbe/memory/seed{s}/attention.json" for s in (1, 2)]
    assert len(suite.cells(loaded.suite)) == 4 + 4 + 2


@pytest.mark.parametrize("first", ["", "  curves: {datasets: [sotu-story], methods: [gpt2]}\n"])
def test_a_method_from_outside_joins_the_first_report_of_values(first: str) -> None:
    Path("tiny.yaml").write_text(SELECTED.replace("reports:\n", f"reports:\n{first}"))
    loaded = dag.load({"suite": "tiny.yaml", "method": "mine.py:Mine"})
    assert [cell for cell in suite.cells(loaded.suite) if cell.method == "mine"] == [
        suite.Cell("bbe", "mine", 1), suite.Cell("bbe", "mine", 2),
    ]  # fmt: skip
    assert loaded.compared()[0] == "results/runs/tiny/bbe/mine/seed1/record.json"
    assert loaded.compared()[-1] == "results/runs/tiny/bbe/mine/seed2/likelihood.npz"
    assert {cell.method for cell in suite.compared(suite.load("tiny.yaml"))} == {"gpt2", "della"}


def test_a_method_from_outside_needs_a_report_of_values() -> None:
    Path("tiny.yaml").write_text(f"{SUITE % 'elbo'}reports: {{curves: {{datasets: [bbe], methods: [gpt2]}}}}\n")
    assert dag.load({"suite": "tiny.yaml"}).compared()
    with pytest.raises(BenchError, match="none of its reports shows values, which 'mine' could join"):
        dag.load({"suite": "tiny.yaml", "method": "mine.py:Mine"})


def test_pairs_are_scored_where_there_are_pairs() -> None:
    Path("tiny.yaml").write_text(SELECTED)
    loaded = dag.load({"suite": "tiny.yaml"})
    texts = {"ngrams": "texts", "pairs": "texts"}
    assert loaded.families("bbe", "della") == {"likelihood": "likelihood", "ngrams": "texts"}
    assert loaded.families("kjv2bbe", "memory") == {"likelihood": "likelihood", **texts}
    assert loaded.families("kjv2bbe", "copy") == texts
    assert loaded.families("kjv2bbe", "human") == {"ngrams": "texts"}


def test_texts_are_drawn_where_a_report_shows_them() -> None:
    Path("tiny.yaml").write_text(SELECTED + "  della/table4: {datasets: [bbe], methods: [della, memory]}\n")
    loaded = dag.load({"suite": "tiny.yaml"})
    assert loaded.families("bbe", "memory") == {"likelihood": "likelihood"}
    assert loaded.families("bbe", "della") == {"likelihood": "likelihood", "ngrams": "texts"}
    assert not [record for record in loaded.read("della/table4") if "human" in record]
    folder = "results/runs/tiny/bbe"
    needed = loaded.recorded(SimpleNamespace(dataset="bbe", method="memory", seed="1", decoding=""))
    assert needed == [
        f"{folder}/memory/seed1/{file}"
        for file in ("scores/likelihood.json", "history.csv", "cost/train.json", "cost/likelihood.json")
    ]


def test_texts_of_named_decodings_lie_beside_the_cells_own() -> None:
    Path("tiny.yaml").write_text(
        SELECTED + "  trace/table6: {datasets: [bbe], methods: [della], seeds: [1], decodings: [greedy, top.k-5]}\n"
        "decodings: {greedy: {strategy: greedy}, top.k-5: {k: 5}}\n"
    )
    loaded = dag.load({"suite": "tiny.yaml"})
    folder = "results/runs/tiny/bbe/della/seed1"
    drawn = [f"{folder}/decoding-{name}/record.json" for name in ("greedy", "top.k-5")]
    assert loaded.read("trace/table6") == [*drawn, "results/runs/tiny/bbe/human/seed0/record.json"]
    own = Wildcards(dataset="bbe", method="della", seed="1", decoding="", family="ngrams")
    greedy = Wildcards(dataset="bbe", method="della", seed="1", decoding="/decoding-greedy", family="ngrams")
    assert loaded.scored(own)[0] == f"{folder}/samples.jsonl"
    assert loaded.scored(greedy)[0] == f"{folder}/decoding-greedy/samples.jsonl"
    assert loaded.recorded(greedy) == [
        f"{folder}/decoding-greedy/scores/ngrams.json", f"{folder}/history.csv", f"{folder}/cost/train.json",
        f"{folder}/decoding-greedy/cost/generate.json",
    ]  # fmt: skip
    cell = "--suite tiny.yaml --dataset bbe --method della --seed 1"
    assert loaded.arguments(own) == f"{cell} --family ngrams"
    assert loaded.arguments(greedy) == f"{cell} --decoding greedy --family ngrams"
    wildcard = re.compile(loaded.constraints()["decoding"])
    matched = {text for text in ("", "/decoding-greedy", "/decoding-top.k-5", "/decoding-", "/decoding-topik-5")
               if wildcard.fullmatch(text)}  # fmt: skip
    assert matched == {"", "/decoding-greedy", "/decoding-top.k-5"}


def test_several_gpus_are_processes_of_a_training() -> None:
    cell = Wildcards(dataset="bbe", method="gpt2", seed=1)
    options = "--suite tiny.yaml --dataset bbe --method gpt2 --seed 1 --device"
    held = {}
    for config, said in (
        ({}, "cpu"), ({"device": "cuda"}, "cuda"), ({"device": "cuda", "gpus": 2}, "cuda --processes 2"),
    ):  # fmt: skip
        loaded = dag.load({"suite": "tiny.yaml", **config})
        assert loaded.training(cell) == f"{options} {said}"
        held[said] = loaded.gpu
    assert held == {"cpu": 0, "cuda": 1, "cuda --processes 2": 2}


def test_the_newest_release_counts_numbers_as_numbers() -> None:
    assert dag.load({"suite": "tiny.yaml"}).frozen_manifests() == ["results/frozen/v1.10/manifest.json"]
    assert dag.load({"suite": "tiny.yaml", "frozen": "v1.2"}).frozen == ("v1.2",)
    freeze(".v1.11.a1b2", "another", ["gpt2"])  # left by a kill while it was written
    assert dag.load({"suite": "tiny.yaml"}).frozen == ("v1.10",)


def test_reports_of_a_paper_that_the_suite_has_none_of_are_missing() -> None:
    Path("tiny.yaml").write_text(SELECTED)
    loaded = dag.load({"suite": "tiny.yaml"})
    assert loaded.reports_of("davam") == ["no-report-of-davam-in-suite-tiny"]
    assert loaded.reports_of("della") == loaded.reports("della/") != []


def test_the_newest_release_is_one_of_the_suite_where_it_has_any() -> None:
    for of, taken in (("tiny", "v1.3"), ("another", "v1.10")):
        freeze("v1.3", of, ["gpt2"])
        assert dag.load({"suite": "tiny.yaml"}).frozen == (taken,)


def test_a_suite_frozen_in_parts_is_compared_with_all_of_them() -> None:
    """Of each method the newest row; a release that has it too is left out whole."""
    Path("tiny.yaml").write_text((SUITE % "elbo").replace("gpt2,", "gpt2, embed,"))
    for release, methods in {
        "v1.11": ["gpt2", "embed"], "v1.12": ["embed", "human"], "v1.13": ["gpt2", "human"],
    }.items():  # fmt: skip
        freeze(release, "tiny", methods)
    loaded = dag.load({"suite": "tiny.yaml"})
    assert loaded.frozen == ("v1.12", "v1.13")
    assert loaded.compare("c.md") == "--suite tiny.yaml --frozen v1.12 --frozen v1.13 --out c.md"
    assert dag.load({"suite": "tiny.yaml", "frozen": ["v1.11", "v1.2"]}).frozen == ("v1.11", "v1.2")


@pytest.mark.parametrize("method", ["della@paper", "memory", "of no suite"])
def test_a_release_without_a_row_of_the_table_a_new_method_joins_is_not_compared_with(method: str) -> None:
    """As the LSTMs of the embedded suite, which are in DAVAM's tables alone, and beginnings that no report lists."""
    selected = "reports:\n  table1: {datasets: [bbe], methods: [gpt2]}\n"
    selected += "  della/table4: {datasets: [bbe], methods: [della@paper]}\n"
    Path("apart.yaml").write_text(Path("tiny.yaml").read_text().replace("[gpt2,", "[gpt2, memory,") + selected)
    freeze("v1.13", "tiny", ["gpt2"])
    for methods, taken in (([method], "v1.13"), ([method, "gpt2"], "v1.14")):
        freeze("v1.14", "tiny", methods)
        assert dag.load({"suite": "apart.yaml"}).frozen == (taken,)


def test_penn_treebank_is_compared_with_whole_trainings(monkeypatch: pytest.MonkeyPatch) -> None:
    """No beginning of one: ptb-2026.11.6, 11.8 and 12.1 hold nothing else."""
    monkeypatch.chdir(Path(__file__).parents[1])
    parts = [*(f"ptb-2026.11.{n}" for n in (2, 3, 4, 5, 7, 9)), "ptb-2026.12.2", "ptb-2026.12.3"]
    assert list(dag.load({"suite": "workflow/config/ptb.yaml"}).frozen) == parts
    assert dag.load({"suite": "workflow/config/embedded.yaml"}).frozen == ("embedded-2026.11.5",)


def test_a_release_that_shares_no_measured_dataset_is_never_taken() -> None:
    freeze("v1.11", "another", ["gpt2"], dataset="ptb")
    freeze("v1.12", "another", ["gpt2"], signatures=[])  # a history alone
    freeze("v1.13", "another", ["human"])
    freeze("v1.14", "another", ["gpt2"])
    Path("results/frozen/v1.14/manifest.json").write_text("{}")  # damaged
    assert dag.load({"suite": "tiny.yaml"}).frozen == ("v1.10",)
    why = "it has no measured row on a dataset that suite 'tiny' compares (bbe, sotu)"
    for release in ("v1.11", "v1.12", "v1.13", "v1.14"):
        with pytest.raises(BenchError) as raised:
            dag.load({"suite": "tiny.yaml", "frozen": ["v1.9", release]})
        assert str(raised.value) == f"--config: 'frozen' is '{release}': {why}"


def test_where_no_release_can_be_compared_with_all_else_works() -> None:
    for release in ("v1.9", "v1.10", "v1.2"):
        freeze(release, "another", ["gpt2"], dataset="ptb")
    loaded = dag.load({"suite": "tiny.yaml"})
    assert loaded.frozen == () and loaded.read("table1")
    with pytest.raises(BenchError, match=r"^reports/compare: no release in results/frozen has a measured row on"):
        loaded.frozen_manifests()


def test_parameters_name_themselves_and_the_order_of_the_yaml_counts_in_reports() -> None:
    loaded = dag.load({"suite": "tiny.yaml"})
    assert loaded.code("train", dataset="bbe", method="gpt2").startswith("code:")
    assert loaded.code("train", dataset="bbe", method="gpt2") != loaded.code(
        "train", dataset="bbe", method="della@paper"
    )
    assert loaded.settings("train", dataset="bbe", method="gpt2").startswith("settings:")
    Path("turned.yaml").write_text(Path("tiny.yaml").read_text().replace("elbo, bleu", "bleu, elbo"))
    assert dag.load({"suite": "turned.yaml"}).order() != loaded.order()


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"suit": "x"}, r"^--config: unknown key 'suit'; did you mean 'suite'\?$"),
        ({"device": "gpu"}, "^--config: 'device' is 'gpu': expected cpu or cuda$"),
        ({"gpus": 2}, "^--config: 'gpus' is 2: expected 1, or with device=cuda a larger number$"),
        ({"gpus": 0, "device": "cuda"}, "^--config: 'gpus' is 0: expected"),
        ({"gpus": "all", "device": "cuda"}, "^--config: 'gpus' is 'all': expected"),
        ({"method": 3}, "^--config: 'method' is 3: expected"),
        ({"method": "mine.py:Theirs"}, "^method 'mine.py:Theirs': mine.py has no class 'Theirs'"),
        ({"frozen": "v2"}, "^--config: 'frozen' is 'v2': no such release in results/frozen; "),
        ({"suite": "missing.yaml"}, "^suite missing.yaml: No such file or directory$"),
    ],
)
def test_a_mistake_is_one_line(config: dict[str, object], said: str) -> None:
    with pytest.raises(BenchError, match=said) as raised:
        dag.load({"suite": "tiny.yaml", **config})
    assert "\n" not in str(raised.value)

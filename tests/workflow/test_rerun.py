"""What re-runs after an edit: the exact set of jobs, and nothing after a touch, a comment or a revert."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable
from contextlib import ExitStack

import pytest

from tests.workflow.tree import ALL, Tree

DATASETS = ("bbe", "sotu")
METHODS = ("gpt2", "embed", "della")
TEXT, LIKELIHOOD = "ngrams", "likelihood"
TABLE, CURVES, COMPARED = {"table table1"}, {"figure curves"}, {"compare"}
VALUES = TABLE | COMPARED
REPORTS = VALUES | CURVES


def jobs(
    rules: str, methods: Iterable[str] = METHODS, datasets: Iterable[str] = DATASETS, seeds: Iterable[int] = (1,)
) -> set[str]:
    """ "train score:ngrams" -> "train bbe gpt2 1", ..., "score sotu della 1 ngrams"."""
    cells = [f"{dataset} {method} {seed}" for dataset in datasets for method in methods for seed in seeds]
    named = [rule.partition(":") for rule in rules.split()]
    return {f"{rule} {cell} {family}".strip() for rule, _, family in named for cell in cells}


def human(rules: str, datasets: Iterable[str] = DATASETS) -> set[str]:
    return jobs(rules, ["human"], datasets, [0])


SCORES = f"score:{TEXT} score:{LIKELIHOOD} record"
CELL = f"train likelihood generate {SCORES}"
EVERYTHING = jobs(CELL) | human(f"untrained score:{TEXT} record") | REPORTS | {"prepare bbe", "prepare sotu"}


def add(line: str) -> Callable[[str], str]:
    return lambda text: f"{text}\n{line}\n"


def swap(old: str, new: str) -> Callable[[str], str]:
    return lambda text: text.replace(old, new)


def test_a_fresh_tree_runs_everything(fresh: Tree) -> None:
    assert fresh.pending(*ALL) == EVERYTHING


def test_a_finished_tree_runs_nothing(finished: Tree) -> None:
    assert finished.pending(*ALL) == set()
    assert "Nothing to be done" in finished.snakemake("--config", "suite=tiny.yaml").stderr


def test_touching_anything_runs_nothing(finished: Tree) -> None:
    for path in finished.root.rglob("*"):
        if ".snakemake" not in path.parts:
            os.utime(path)
    assert finished.pending(*ALL) == set()


WITHOUT_EFFECT = {
    "bench/methods/della.py": lambda text: "# note\n" + text.replace('"""``della``', '"""Re-worded: ``della``'),
    "bench/training.py": lambda text: text.replace("    ", "     "),
    "bench/files.py": add("x = 1"),  # of the harness
    "bench/cli.py": add("x = 1"),
    "bench/metrics/mauve.py": add("x = 1"),  # of no metric of this suite
    "bench/methods/memory.py": add("x = 1"),
    "tiny.yaml": lambda text: "# note\n" + text.replace("seeds: [1]\n", "") + "seeds: [ 1 ]  # last\n",
}

EDITS = {
    "a method": ("bench/methods/della.py", add("x = 1"), jobs(CELL, ["della"]) | REPORTS),
    "a backbone": ("bench/backbones/gpt2.py", add("x = 1"), jobs(CELL) | REPORTS),
    "training": ("bench/training.py", add("x = 1"), jobs(CELL) | REPORTS),
    "likelihood": (
        "bench/likelihood.py", add("x = 1"), jobs(f"likelihood score:{LIKELIHOOD} record") | VALUES,
    ),
    "generation": ("bench/generation.py", add("x = 1"), jobs(f"generate score:{TEXT} record") | VALUES),
    "decoding": ("bench/decoding.py", add("x = 1"), jobs(f"generate score:{TEXT} record") | VALUES),
    "rows without a model": ("bench/untrained.py", add("x = 1"), human(f"untrained score:{TEXT} record") | TABLE),
    "a text metric": (
        "bench/metrics/cnd.py", add("x = 1"),
        jobs(f"score:{TEXT} record") | human(f"score:{TEXT} record") | VALUES,
    ),
    "a likelihood metric": ("bench/metrics/elbo.py", add("x = 1"), jobs(f"score:{LIKELIHOOD} record") | VALUES),
    "scoring": ("bench/score.py", add("x = 1"), jobs(SCORES) | human(f"score:{TEXT} record") | VALUES),
    "records": ("bench/record.py", add("x = 1"), jobs("record") | human("record") | VALUES),
    "the table": ("bench/report/table.py", add("x = 1"), TABLE),
    "the comparison": ("bench/report/compare/report.py", add("x = 1"), COMPARED),
    "the figures": ("bench/report/figures.py", add("x = 1"), CURVES | COMPARED),
    "a dataset": (
        "bench/data/sotu.py", add("x = 1"),
        {"prepare sotu"} | jobs(CELL, datasets=["sotu"]) | human(f"untrained score:{TEXT} record", ["sotu"]) | REPORTS,
    ),
    "a dataset's limit": (
        "tiny.yaml", swap("[bbe, sotu]", "{bbe: , sotu: {train: 50}}"),
        {"prepare sotu"} | jobs(CELL, datasets=["sotu"]) | human(f"untrained score:{TEXT} record", ["sotu"]) | REPORTS,
    ),
    "a dataset's batch size": (
        "tiny.yaml", swap("[bbe, sotu]", "{bbe: , sotu: {batch_size: 4}}"), jobs(CELL, datasets=["sotu"]) | REPORTS,
    ),
    "a new seed": ("tiny.yaml", swap("[1]", "[1, 2]"), jobs(CELL, seeds=[2]) | REPORTS),
    "one seed less": ("tiny.yaml", swap("methods: [gpt2, embed, della]", "methods: [gpt2, embed]"), REPORTS),
    "a registered method": ("tiny.yaml", swap("della]", "della, memory]"), jobs(CELL, ["memory"]) | REPORTS),
    "the options of a method": (
        "tiny.yaml", swap("[gpt2, embed, della]", "{gpt2: , embed: , della: {options: {rank: 2}}}"),
        jobs(CELL, ["della"]) | REPORTS,
    ),
    "a metric's option": (
        "tiny.yaml", swap("  bleu:", "  bleu: {resamples: 10}"),
        jobs(f"score:{TEXT} record") | human(f"score:{TEXT} record") | REPORTS,
    ),
    "the learning rate": ("tiny.yaml", add("training: {learning_rate: 0.1}"), jobs(CELL) | REPORTS),
    "importance samples": (
        "tiny.yaml", add("likelihood: {importance_samples: 7}"),
        jobs(f"likelihood score:{LIKELIHOOD} record") | REPORTS,
    ),
    "decoding options": (
        "tiny.yaml", add("generation: {decoding: {strategy: greedy}}"), jobs(f"generate score:{TEXT} record") | REPORTS,
    ),
}  # fmt: skip


def test_edits_without_effect_run_nothing(finished: Tree) -> None:
    with ExitStack() as edits:
        for file, change in WITHOUT_EFFECT.items():
            edits.enter_context(finished.edited(file, change))
        assert finished.pending(*ALL) == set()


@pytest.mark.parametrize("what", EDITS)
def test_an_edit_runs_exactly(finished: Tree, what: str) -> None:
    file, change, expected = EDITS[what]
    with finished.edited(file, change):
        assert finished.pending(*ALL) == expected


def test_reverted_edits_run_nothing(finished: Tree) -> None:
    for file in ("bench/methods/della.py", "bench/training.py", "bench/metrics/cnd.py", "tiny.yaml"):
        with finished.edited(file, add("x: 1")):
            pass
    assert finished.pending(*ALL) == set()


def test_a_new_method_in_a_new_file_runs_its_cells_only(finished: Tree) -> None:
    file = finished.root / "bench" / "methods" / "newer.py"
    file.write_text("from bench.methods.base import Method\nclass Newer(Method):\n    variants = {'newer': {}}\n")
    with finished.edited("tiny.yaml", swap("della]", "della, newer]")):
        assert finished.pending(*ALL) == jobs(CELL, ["newer"]) | REPORTS
    file.unlink()


CELL_ALONE = """
name: tiny
datasets: {bbe: , kjv2bbe: {backbone: {kind: bart}}}
methods: {embed: {threads: 1}, lm: {use: gpt2, threads: 1}}
seeds: [1]
metrics: [bleu]
training: {threads: 2}
augmentation: {model: lm, sizes: [4], factors: [0.5]}
reports:
  curves: {datasets: [bbe], methods: [embed]}
  della/figure4: {datasets: [bbe, kjv2bbe], methods: [embed]}
"""
MADE = ("likelihood.npz", "interpolation.json", "attention.json", "augment/4x0.5.json")
FILES = ("--config", "suite=tiny.yaml", "--", *(f"results/runs/tiny/bbe/embed/seed1/{file}" for file in MADE))


def of_cell(rules: str) -> set[str]:
    return jobs(rules, ["embed"], ["bbe"])


def test_what_is_made_of_a_cell_for_figures_runs_again_by_itself(fresh: Tree) -> None:
    (fresh.root / "tiny.yaml").write_text(CELL_ALONE)
    fresh.run(*FILES)
    for stage, file in (("interpolate", "interpolation"), ("attention", "attention"), ("augment", "augmentation")):
        with fresh.edited(f"bench/{file}.py", add("x = 1")):
            assert fresh.pending(*FILES) == of_cell(stage)
    with fresh.edited("tiny.yaml", swap("lm: {", "lm: {learning_rate: 0.1, ")):
        assert fresh.pending(*FILES) == of_cell("augment")
    with fresh.edited("tiny.yaml", swap("training: {threads: 2}", "training: {threads: 3}")):
        assert fresh.pending(*FILES) == of_cell("likelihood interpolate attention")


def test_what_reads_the_data_runs_again_when_they_change(fresh: Tree) -> None:
    """Even where training has already been repeated on them, and has come out the same: how long texts may be, and what
    they are drawn given, is of the data."""
    (fresh.root / "tiny.yaml").write_text(CELL_ALONE)
    targets = (*FILES, "reports/curves.png", "reports/della/figure4.md")
    fresh.run(*targets)
    for dataset in ("bbe", "kjv2bbe"):
        (fresh.root / f"results/runs/tiny/{dataset}/data/manifest.json").write_text("other texts\n")
    reading = of_cell("likelihood interpolate attention augment") | jobs("generate", ["embed"], ["bbe", "kjv2bbe"])
    assert reading <= set(fresh.pending(*targets))
    histories = [str(path.relative_to(fresh.root)) for path in fresh.root.glob("results/runs/**/history.csv")]
    fresh.run("--config", "suite=tiny.yaml", "--", *histories)
    found = fresh.pending(*targets)
    assert reading <= found and not any(job.startswith(("prepare", "train")) for job in found)


PRETRAINED = """
name: tiny
datasets: {bbe: , sotu: {backbone: {weights: smollm2, kind: llama}, tokenizer: smollm2}}
methods:
  embed:
  della:
  medium: {use: della, backbone: &mine {weights: mine, kind: llama}}
  lm: {use: llama, backbone: *mine}
models: {mine: {kind: llama, model_dir: here}}
augmentation: {model: lm, sizes: [4], factors: [0.5]}
seeds: [1]
metrics: [elbo]
reports:
  curves: {datasets: [bbe], methods: [embed]}
  table1: {datasets: [sotu], methods: [embed, della, medium]}
"""


def test_a_pretrained_model_is_taken_over_once_where_it_is_needed(fresh: Tree) -> None:
    (fresh.root / "tiny.yaml").write_text(PRETRAINED)
    augmented = "results/runs/tiny/sotu/embed/seed1/augment/4x0.5.json"
    table = ("--config", "suite=tiny.yaml", "--", "reports/table1.md", augmented)
    assert fresh.pending("--config", "suite=tiny.yaml", "--", "reports/curves.png") == {
        "prepare bbe", "train bbe embed 1", "figure curves"
    }  # fmt: skip
    taken = {"pretrained smollm2", "pretrained mine"}
    assert {job for job in fresh.pending(*table) if job.startswith("pre")} == {*taken, "prepare sotu"}
    fresh.run(*table)
    assert fresh.pending(*table) == set()
    with fresh.edited("tiny.yaml", swap("model_dir: here", "model_dir: there")):
        found = fresh.pending(*table)
        assert "pretrained mine" in found and "pretrained smollm2" not in found and "prepare sotu" not in found
    (fresh.root / "results/runs/tiny/pretrained/mine/manifest.json").write_text("other weights\n")
    found = {job for job in fresh.pending(*table) if job.startswith(("pre", "train", "augment"))}
    assert found == {"train sotu medium 1", "augment sotu embed 1"}


DECODED = """
decodings: {greedy: {strategy: greedy}, beam: {strategy: beam, k: 4}}
reports:
  table1: {datasets: [bbe], methods: [gpt2, della]}
  trace/table6: {datasets: [bbe], methods: [della], decodings: [greedy, beam]}
"""


def test_one_training_and_texts_of_every_decoding(fresh: Tree) -> None:
    with fresh.edited("tiny.yaml", add(DECODED)):
        drawn = {f"{rule} bbe della 1 {name}" for rule in ("generate", "record") for name in ("greedy", "beam")}
        drawn |= {f"score bbe della 1 {name} {TEXT}" for name in ("greedy", "beam")}
        beside = human(f"untrained score:{TEXT} record", ["bbe"])
        target = ("--config", "suite=tiny.yaml", "--", "reports/trace/table6.md")
        alone = {"prepare bbe", "table trace/table6"} | jobs("train", ["della"], ["bbe"]) | drawn | beside
        assert fresh.pending(*target) == alone
        fresh.run(*target)
        assert fresh.pending(*target) == set()
        both = ("--config", "suite=tiny.yaml", "--", "reports/trace/table6.md", "reports/table1.md")
        rest = jobs(f"likelihood generate {SCORES}", ["della"], ["bbe"]) | jobs(CELL, ["gpt2"], ["bbe"]) | TABLE
        assert fresh.pending(*both) == rest
        fresh.run(*both)
        with fresh.edited("tiny.yaml", swap("k: 4", "k: 5")):
            beam = {"generate bbe della 1 beam", f"score bbe della 1 beam {TEXT}", "record bbe della 1 beam"}
            assert fresh.pending(*both) == beam | TABLE | {"table trace/table6"}
        with fresh.edited("tiny.yaml", add("generation: {decoding: {k: 7}}")):
            own = jobs(f"generate score:{TEXT} record", ["gpt2", "della"], ["bbe"])
            assert fresh.pending(*both) == own | TABLE | {"table trace/table6"}
        assert fresh.pending(*both) == set()


def test_a_method_from_outside_is_compared_without_retraining(finished: Tree) -> None:
    config = ("--config", "suite=tiny.yaml", "method=mine.py:Mine", "--")
    assert finished.pending(*config, "reports/compare.md") == jobs(CELL, ["mine"]) | {"compare"}
    assert finished.pending(*config, "reports/table1.md") == jobs(CELL, ["mine"]) | TABLE
    assert finished.pending() == set()


def test_the_dry_run_agrees_with_the_summary(finished: Tree) -> None:
    with finished.edited("bench/objectives.py", add("x = 1")):
        done = finished.snakemake("--dry-run", "--config", "suite=tiny.yaml")
        rules = [job.split()[0] for job in finished.pending()]
    stated = dict(re.findall(r"^(\w+) +(\d+)$", done.stdout, re.MULTILINE))
    assert {rule: str(rules.count(rule)) for rule in rules} | {"all": "1", "total": str(len(rules) + 1)} == stated

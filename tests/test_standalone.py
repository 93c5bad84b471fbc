"""``python -m bench score`` and the Python API: any two files, one clear line for a mistake, nothing half-written."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import bench.metrics
from bench import registry
from bench.cli import main
from bench.errors import BenchError
from bench.files import read_lines
from bench.metrics import compare, names, score
from bench.metrics.base import Undefined
from bench.standalone import read_texts
from tests.metrics import tiny_models

GENERATED = ["the cat sat on the mat", "", "a dog ran today", "the dog sat on a mat", "a cat ran"]
REFERENCES = ["the cat sat on the rug", "a bird", "a dog ran off today", "a dog sat on the mat", "the cat ran away"]


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """g.txt, r.txt, h.txt, b.txt and short.txt in the working directory."""
    texts = {"g": GENERATED, "r": REFERENCES, "h": REFERENCES[::-1], "b": ["a b"] * 5, "short": ["one"]}
    for name, lines in texts.items():
        (tmp_path / f"{name}.txt").write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*arguments: str, generated: str = "g.txt", references: str = "r.txt") -> int:
    return main(["score", "--generated", generated, "--references", references, *arguments])


def test_every_cell_of_the_table(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("long.txt").write_text("".join(f"{text}\n" for text in [*REFERENCES[::-1], "more", "human texts"]))
    options = {name: {"resamples": 80, "seed": 3} for name in ("bleu", "self_bleu", "rouge")}
    assert run("--human", "long.txt", "--baseline", "b.txt", "--metrics", ",".join(options), "--resamples", "80",
               "--seed", "3") == 0  # fmt: skip
    lines = capsys.readouterr().out.splitlines()
    values = score(GENERATED, REFERENCES, metrics=options, options=options)
    human = score(REFERENCES[::-1], REFERENCES, metrics=["bleu", "self_bleu"])
    compared = compare(GENERATED, ["a b"] * 5, REFERENCES, metrics=options, options=options)
    assert lines[0].split() == [
        "value",
        "95",
        "%",
        "interval",
        "n",
        "human",
        "baseline",
        "difference",
        "95",
        "%",
        "interval",
        "p",
    ]
    for label, key in (("BLEU-4 ↑", "bleu4"), ("SB-2 ↓", "self_bleu2"), ("ROUGE-L ↑", "rougeL")):
        value, found = values[key], compared[key]
        assert value.ci95 is not None and found.ci95 is not None and found.p is not None
        cells = [
            label, f"{value.value:.2f}", "[{:.2f}, {:.2f}]".format(*value.ci95), "5",
            f"{human[key].value:.2f}" if key in human else "-", f"{found.baseline:.2f}", f"{found.difference:+.2f}",
            "[{:.2f}, {:.2f}]".format(*found.ci95), f"{found.p:.3f}",
        ]  # fmt: skip
        (line,) = [line for line in lines if line.startswith(label)]
        assert re.split(r"  +", line) == cells
    assert not any("ROUGE-L P" in line for line in lines)
    assert run("--metrics", "rouge", "--details") == 0 and "ROUGE-L P" in capsys.readouterr().out


def test_table_and_json(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--human", "h.txt", "--baseline", "b.txt", "--json", "out.json") == 0
    table = capsys.readouterr().out
    assert "BLEU-4" in table and "bleu|n:1,2,3,4,5|tok:regex|smooth:method1|refs:all5|v:1" in table
    assert "5 texts, 1 of them empty" in table
    written = json.loads(Path("out.json").read_text())
    assert written["inputs"]["generated"]["texts"] == 5 and len(written["inputs"]["references"]["sha256"]) == 64
    values = score(GENERATED, REFERENCES)
    assert set(written["values"]) == set(values)
    for key, value in values.items():
        found = written["values"][key]
        assert found["value"] == value.value and found["signature"] == value.signature and found["n"] == 5
        assert found["ci95"] == (None if value.ci95 is None else list(value.ci95))
    human = score(REFERENCES[::-1], REFERENCES, metrics=["bleu"])
    assert written["values"]["bleu4"]["human"]["value"] == human["bleu4"].value
    compared = compare(GENERATED, ["a b"] * 5, REFERENCES, metrics=["bleu"])["bleu1"]
    assert written["values"]["bleu1"]["baseline"] == compared.as_dict()
    assert compared.difference == pytest.approx(values["bleu1"].value - compared.baseline)


def test_generated_texts_alone(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["score", "--generated", "g.txt", "--resamples", "0"]) == 0
    table = capsys.readouterr().out
    assert "SB-4" in table and "BLEU-4" not in table
    assert {"dist1", "ent1", "js", "self_bleu5"} <= set(score(GENERATED))


def test_paired_metrics_and_all(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--metrics", "rouge, corpus_bleu", "--resamples", "10") == 0
    assert "ROUGE-L" in capsys.readouterr().out
    assert (
        main(["score", "--generated", "g.txt", "--references", "r.txt", "--sources", "h.txt", "--metrics", "ibleu"])
        == 0
    )
    assert names(references=True, sources=True, paired=True) == sorted(
        name for name, source in registry.metrics().items() if source.from_texts
    )
    assert not {"rouge", "ibleu"} & set(names())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--generated", "nowhere.txt"], "generated nowhere.txt: cannot be read (No such file or directory)"),
        (["--generated", "."], "generated .: cannot be read (Is a directory)"),
        (["--generated", "empty.txt"], "generated empty.txt: no text"),
        (["--references", "bytes.txt"], "references bytes.txt: line 2 is not UTF-8"),
        (["--references", "cut.txt.gz"], "references cut.txt.gz: cannot be read (Not a gzipped file"),
        (["--generated", "bad.jsonl"], "samples bad.jsonl: line 2 is not a JSON object with a 'text'"),
        (["--metrics", "blue"], "unknown metric 'blue'; did you mean 'bleu'?"),
        (["--metrics", "bleu4"], "'bleu4' is a quantity of the metric 'bleu': ask for that"),
        (["--metrics", "elbo"], "metric 'elbo' is computed from a trained cell's likelihood statistics"),
        (["--metrics", "rouge", "--references", "short.txt"],
         "rouge: pairs each generated text with its reference, but there are 5 generated texts and 1 references"),
        (["--metrics", "BLUE"], "unknown metric 'BLUE'; did you mean 'bleu'?"),
        (["--metrics", ","], "unknown metric ''"),
        (["--threads", "0", "--metrics", "mauve"], "mauve: option 'threads' must be a whole number >= 1, not 0"),
        (["--option", "bleu.seed=2001-99-99"], "--option 'bleu.seed=2001-99-99': not valid YAML"),
        (["--option", "bleu.seed=!!bool x"], "--option 'bleu.seed=!!bool x': not valid YAML: 'x' is no bool"),
        (["--option", "bleu.seed=!!timestamp x"], "'x' is no timestamp"),
        (["--option", "bleu.seed=!!int ''"], "'' is no int"),
        (["--json", "g.txt"], "--json g.txt is the file of texts g.txt: it would be lost"),
        (["--json", "pipe"], "pipe: it is there and no regular file"),
        (["--baseline", "short.txt", "--metrics", "jaccard"],
         "baseline: jaccard: needs at least 2 generated texts, got 1"),
        (["--generated", "deep.jsonl"], "samples deep.jsonl: line 1 is not a JSON object with a 'text'"),
        (["--generated", "half.jsonl"], "generated half.jsonl: line 1 holds half of a surrogate pair"),
        (["--generated", "null.jsonl"], "samples null.jsonl: line 1 is not a JSON object with a 'text'"),
        (["--generated", "cut.jsonl.gz"], "generated cut.jsonl.gz: cannot be read (Compressed file ended"),
        (["--generated", "two\nlines"], "generated two lines: cannot be read"),
        (["--resampels", "1"], "unrecognized arguments: --resampels 1"),
        (["--metrics", "ibleu"], "ibleu: needs source texts"),
        (["--metrics", "self_bleu", "--generated", "short.txt"], "self_bleu: needs at least 2 generated texts, got 1"),
        (["--option", "bleu.seed"], "--option 'bleu.seed': expected metric.option=value"),
        (["--option", "bleux.seed=1"], "the metric 'bleux' is not computed; did you mean 'bleu'?"),
        (["--option", "bleu.sed=1"], "bleu: unknown option 'sed'; did you mean 'seed'?"),
        (["--option", "bleu.seed=["], "--option 'bleu.seed=[': not valid YAML"),
        (["--resamples", "-1"], "option 'resamples' must be a whole number >= 0, not -1"),
        (["--json", "g.txt/out.json"], "cannot write g.txt/out.json: Not a directory"),
        (["--human", "empty.txt"], "human empty.txt: no text"),
        (["--baseline", "nowhere"], "baseline nowhere: cannot be read"),
    ],
)  # fmt: skip
def test_mistakes(arguments: list[str], message: str, files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("empty.txt").write_bytes(b"")
    Path("bytes.txt").write_bytes(b"good\nbad \xff\n")
    Path("cut.txt.gz").write_bytes(b"no gzip")
    os.mkfifo("pipe")
    Path("deep.jsonl").write_text("[" * 200_000 + "\n")
    Path("half.jsonl").write_text('{"text": "\\ud800"}\n')
    Path("null.jsonl").write_text('{"text": null}\n')
    Path("cut.jsonl.gz").write_bytes(gzip.compress(b'{"text": "a"}\n')[:-4])
    Path("bad.jsonl").write_text('{"text": "a"}\n{"txt": "b"}\n')
    before = sorted(files.iterdir())
    given = dict(zip(["--generated", "--references"], ["g.txt", "r.txt"], strict=True))
    options = dict(zip(arguments[::2], arguments[1::2], strict=True))
    arguments = ["score", *(part for pair in {**given, **options}.items() for part in pair)]
    try:
        assert main(arguments) == 2
    except SystemExit as done:  # argparse's own
        assert done.code == 2
    *told, error = capsys.readouterr().err.splitlines()
    assert all(line.startswith("metrics: ") for line in told)
    assert error.startswith("bench: ") and message in error
    assert sorted(files.iterdir()) == before


def test_metrics_without_a_value_are_left_out_with_the_reason_unless_asked_for(files: Path, capsys) -> None:
    assert run(generated="short.txt") == 0
    assert "left out: self_bleu: needs at least 2 generated texts, got 1" in capsys.readouterr().out
    assert "dist1" in score(["one"], REFERENCES) and "self_bleu1" not in score(["one"], REFERENCES)
    with pytest.raises(Undefined, match="needs at least 2"):
        score(["one"], REFERENCES, metrics=["self_bleu"])


def test_systems_that_differ_in_more_than_their_texts_are_not_compared() -> None:
    found = compare(GENERATED, GENERATED[:3], REFERENCES, metrics=["distinct", "bleu"])
    assert found["dist1"].p is None and found["dist1"].test == "not comparable: N is 5, not 3"
    assert found["bleu1"].p is not None  # a mean over texts: it does not depend on how many there are
    same = compare(GENERATED, GENERATED, REFERENCES, metrics=["bleu", "rouge"])
    assert all(c.difference == 0 and c.p == 1 for c in same.values())
    with pytest.raises(BenchError, match="options of metric 'rouge', which is not asked for"):
        score(GENERATED, REFERENCES, metrics=["bleu"], options={"rouge": {}})


def test_lines_end_at_newlines_alone(tmp_path: Path) -> None:
    path = tmp_path / "texts.txt"
    path.write_bytes("\ufeffa\u2028b\x85c\x0bd\r\n\n last ".encode())
    assert read_lines(path) == ["a\u2028b\x85c\x0bd", "", " last "]
    (tmp_path / "texts.txt.gz").write_bytes(gzip.compress(path.read_bytes()))
    assert read_lines(tmp_path / "texts.txt.gz") == read_lines(path)


def test_what_is_scored_is_what_was_read_once(files: Path) -> None:
    """From a pipe too, which can be read but once; the hash is that of the bytes read."""
    command = f"{sys.executable} -m bench score --generated <(cat g.txt) --resamples 0 --json out.json"
    environment = {**os.environ, "PYTHONPATH": str(Path(bench.__file__).parents[1])}
    subprocess.run(["bash", "-c", command], check=True, capture_output=True, env=environment)
    written = json.loads(Path("out.json").read_text())["inputs"]["generated"]
    assert (written["texts"], written["sha256"]) == (5, hashlib.sha256(Path("g.txt").read_bytes()).hexdigest())


@pytest.mark.parametrize("target", [".", "", "folder", "pipe", "g.txt/a/out.json", "/proc/out.json", "x" * 250, "link"])
def test_a_json_that_cannot_be_written_is_said_before_the_scoring(
    target: str, files: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("folder").mkdir()
    os.mkfifo("pipe")
    Path("link").symlink_to("/proc/out.json")
    monkeypatch.setattr("bench.standalone.score", lambda request: pytest.fail("it was scored"))
    before = sorted(Path().rglob("*"))
    assert run("--json", target) == 2
    printed = capsys.readouterr()
    assert printed.err.startswith(f"bench: cannot write {Path(target)}: ") and printed.err.count("\n") == 1
    assert printed.out == "" and sorted(Path().rglob("*")) == before


def test_a_disk_that_is_full_by_then_does_not_cost_the_table(
    files: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(path: Path, _: object) -> None:
        raise BenchError(f"cannot write {path}: No space left on device")

    monkeypatch.setattr("bench.files.write_json", full)
    assert run("--json", "out.json", "--metrics", "distinct") == 2
    printed = capsys.readouterr()
    assert "Dist-2" in printed.out and printed.err.endswith("bench: cannot write out.json: No space left on device\n")


def test_of_a_scoring_that_fails_nothing_is_left_and_an_older_file_stays(files: Path) -> None:
    Path("old.json").write_text("old")
    before = sorted(Path().rglob("*"))
    for target in ("a/b/new.json", "old.json"):
        assert run("--json", target, "--metrics", "blue") == 2
        assert sorted(Path().rglob("*")) == before and Path("old.json").read_text() == "old"
    assert run("--json", "a/b/new.json", "--metrics", "distinct") == 0 and Path("a/b/new.json").exists()


def test_samples_are_read_from_json_lines_gzipped_or_not(files: Path) -> None:
    lines = "".join(json.dumps({"text": text}) + "\n" for text in GENERATED)
    Path("S.JSONL").write_text(lines)
    Path("s.jsonl.gz").write_bytes(gzip.compress(lines.encode()))
    for name in ("S.JSONL", "s.jsonl.gz", "g.txt"):
        assert read_texts(Path(name), "generated").texts == GENERATED


def test_links_are_followed_when_written(files: Path) -> None:
    Path("link.json").symlink_to("target.json")
    assert run("--json", "link.json", "--metrics", "bleu") == 0
    assert Path("link.json").is_symlink() and "values" in json.loads(Path("target.json").read_text())


def test_streams_that_are_closed_or_know_no_arrows(files: Path) -> None:
    command = f"{sys.executable} -m bench score --generated g.txt --metrics distinct --resamples 0"
    environment = {**os.environ, "PYTHONPATH": str(Path(bench.__file__).parents[1]), "PYTHONIOENCODING": "ascii"}
    for redirected, status in (("", 0), (">&-", 0), ("2>&-", 0), ("| head -1; exit ${PIPESTATUS[0]}", None)):
        done = subprocess.run(
            ["bash", "-c", f"{command} {redirected}"], capture_output=True, text=True, env=environment
        )
        assert status is None or done.returncode == status
        assert "Traceback" not in done.stderr


def test_all_leaves_out_with_a_reason_what_cannot_be_had(
    files: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    ngrams = {name: source for name, source in registry.metrics().items() if source.family in ("ngrams", "pairs")}
    monkeypatch.setattr(registry, "metrics", lambda: ngrams)
    assert run("--metrics", "all", "--sources", "short.txt", "--baseline", "short.txt", "--human", "h.txt") == 0
    out = capsys.readouterr().out
    assert "ROUGE-L" in out and "BLEU-4" in out and "iBLEU" not in out
    assert "left out: ibleu: pairs each generated text with its source" in out
    assert "left out: baseline: self_bleu: needs at least 2 generated texts, got 1" in out
    assert "left out: baseline: rouge: pairs each generated text with its reference" in out
    assert "left out: human: rouge: pairs texts, and human texts have no reference of their own here" in out
    assert main(["score", "--generated", "g.txt", "--metrics", "all"]) == 0
    assert "left out: bleu: needs reference texts" in capsys.readouterr().out


def test_without_human_texts_mauve_has_the_ceiling_of_two_halves(files: Path, capsys, tmp_path: Path) -> None:
    model = str(tiny_models.bert(tmp_path / "bert"))
    assert run("--metrics", "mauve", "--option", f"mauve.model={model}", "--cache", "kept", "--json", "out.json") == 0
    human = json.loads(Path("out.json").read_text())["values"]["mauve"]["human"]
    shuffled = [REFERENCES[i] for i in np.random.default_rng(0).permutation(5)]
    halves = score(shuffled[:3], shuffled[3:], metrics=["mauve"], options={"mauve": {"model": model}})
    assert human["value"] == halves["mauve"].value and "|N:3|refs:2|" in human["signature"]
    assert "MAUVE of one half of the references against the other" in capsys.readouterr().out
    assert len(list(Path("kept").glob("*.npz"))) >= 1
    given = ("--metrics", "mauve", "--option", f"mauve.model={model}", "--option", "mauve.buckets=6")
    assert run(*given) == 0  # which the 5 texts of the halves are too few for
    assert "left out: human: mauve: option 'buckets' is 6, more than the 5 texts there are" in capsys.readouterr().out
    assert run(*given, "--baseline", "short.txt", "--references", "short.txt") == 2


def test_notes_of_each_side_are_shown(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("strange.txt").write_text("x y z\n" * 5)
    for role in ("human", "baseline"):
        assert run(f"--{role}", "strange.txt", "--metrics", "cnd", "--details") == 0
        assert f"\n{role}: cnd" in (out := capsys.readouterr().out) and "half an occurrence assumed" in out


@settings(max_examples=60, deadline=None)
@example(["\ud800 a", "a"], ["a \udfff"])
@given(st.lists(st.text(max_size=30), min_size=1, max_size=6), st.lists(st.text(max_size=30), min_size=1, max_size=6))
def test_any_texts_give_finite_values_or_none(generated: list[str], references: list[str]) -> None:
    """Surrogates, controls, empty texts and all: a value is in its range, or the metric has none."""
    for key, value in score(generated, references, options={}).items():
        low, high = _range(key)
        assert low <= value.value <= high
        assert value.ci95 is None or low <= value.ci95[0] <= value.ci95[1] <= high


def _range(key: str) -> tuple[float, float]:
    metrics = map(registry.load_metric, registry.metrics())
    return next(q.range for metric in metrics for q in metric.quantities if q.key == key)


def test_public_names_exist_and_scoring_n_grams_imports_nothing_heavy() -> None:
    for name in dir(bench.metrics):
        assert getattr(bench.metrics, name) is not None
    with pytest.raises(AttributeError):
        bench.metrics.no_such_name  # noqa: B018
    code = (
        "import sys; from bench.metrics import score; score(['a b', 'b c'], ['b c d e']); "
        "print(*[p for p in ('torch', 'transformers', 'pandas', 'nltk', 'sacrebleu') if p in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split() == []

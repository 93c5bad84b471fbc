"""``python -m bench score`` and the Python API: any two files, one clear line for a mistake, nothing half-written."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import bench.metrics
from bench import registry
from bench.cli import main
from bench.errors import BenchError
from bench.files import read_lines
from bench.metrics import compare, names, score
from bench.metrics.base import Undefined

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
        (["--metrics", "ibleu"], "ibleu: needs source texts"),
        (["--metrics", "self_bleu", "--generated", "short.txt"], "self_bleu: needs at least 2 generated texts, got 1"),
        (["--option", "bleu.seed"], "--option 'bleu.seed': expected metric.option=value"),
        (["--option", "bleux.seed=1"], "the metric 'bleux' is not computed; did you mean 'bleu'?"),
        (["--option", "bleu.sed=1"], "bleu: unknown option 'sed'; did you mean 'seed'?"),
        (["--option", "bleu.seed=["], "--option 'bleu.seed=[': the value is not valid YAML"),
        (["--resamples", "-1"], "option 'resamples' must be a whole number >= 0, not -1"),
        (["--json", "g.txt/out.json"], "g.txt"),
        (["--human", "empty.txt"], "human empty.txt: no text"),
        (["--baseline", "nowhere"], "baseline nowhere: cannot be read"),
    ],
)  # fmt: skip
def test_mistakes(arguments: list[str], message: str, files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("empty.txt").write_bytes(b"")
    Path("bytes.txt").write_bytes(b"good\nbad \xff\n")
    Path("cut.txt.gz").write_bytes(b"no gzip")
    Path("bad.jsonl").write_text('{"text": "a"}\n{"txt": "b"}\n')
    before = sorted(files.iterdir())
    given = dict(zip(["--generated", "--references"], ["g.txt", "r.txt"], strict=True))
    options = dict(zip(arguments[::2], arguments[1::2], strict=True))
    assert main(["score", *(part for pair in {**given, **options}.items() for part in pair)]) == 2
    error = [line for line in capsys.readouterr().err.splitlines() if line.startswith("bench: ")]
    assert len(error) == 1 and message in error[0]
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
    path.write_bytes("\ufeffa\u2028b\x85c\x0bd\r\n\nlast".encode())
    assert read_lines(path) == ["a\u2028b\x85c\x0bd", "", "last"]
    (tmp_path / "texts.txt.gz").write_bytes(gzip.compress(path.read_bytes()))
    assert read_lines(tmp_path / "texts.txt.gz") == read_lines(path)


@settings(max_examples=60, deadline=None)
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

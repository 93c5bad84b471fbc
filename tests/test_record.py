"""One trained cell, its texts drawn, scored and recorded by its dataset's own decoding and by two named ones."""

from __future__ import annotations

import hashlib
import json
import subprocess
from pathlib import Path

import pytest

from bench import closure, digests, provenance
from bench import suite as suites
from bench.cli import main
from bench.cost import measured
from bench.errors import BenchError
from bench.files import read_json, seal, sha256, write_json
from bench.freeze import freeze
from bench.integrity import guarded
from bench.paths import CellPaths
from bench.record_schema import Record, Scored, read_cell
from bench.report.collect import gather
from bench.schema import Suite
from bench.suite import Cell
from tests.trained_cell import write_cell

DECODED = """
generation: {samples: 7, decoding: {strategy: top_k, k: 20}}
decodings: {greedy: {strategy: greedy}, beam3: {strategy: beam, k: 3}}
reports:
  table1: {datasets: [bbe], methods: [embed], seeds: [1]}
  trace/table6: {datasets: [bbe], methods: [embed], seeds: [1], decodings: [greedy, beam3]}
"""
SIGNATURES = {"": "top_k(20)", "greedy": "greedy()", "beam3": "beam(3)"}
CELL = ("--suite", "trained.yaml", "--dataset", "bbe", "--method", "embed", "--seed", "1")


def paths(decoding: str = "") -> CellPaths:
    return CellPaths("trained", "bbe", "embed", 1, decoding)


def run(verb: str, *more: str) -> None:
    assert main([verb, *CELL, *more]) == 0


@pytest.fixture
def suite(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Suite:
    """A cell as training leaves it, in the working directory."""
    monkeypatch.chdir(tmp_path)
    write_cell(tmp_path, "bbe", "embed")
    text = Path("trained.yaml").read_text().replace("metrics: [elbo]", "metrics: [distinct, cnd]")
    Path("trained.yaml").write_text(text + DECODED)
    manifest = json.loads(paths().manifest.read_text())
    for part in manifest["splits"].values():
        part["tokens_a_text"] = 9.0
    write_json(paths().manifest, manifest)
    write_json(paths().cost("train"), {"wall_s": 1.5, "peak_mb": 2.0, "tokens_per_s": 3.0, "device": "cpu"})
    return suites.load("trained.yaml")


def recorded(suite: Suite, decoding: str) -> Record:
    """One decoding's record, after all its stages."""
    options = ("--decoding", decoding) if decoding else ()
    run("generate", *options)
    run("score-cell", "--family", "ngrams", *options)
    run("record", *options)
    return read_cell(suite.name, Cell("bbe", "embed", 1, decoding))


def test_each_decoding_has_texts_scores_and_a_record_of_its_own(suite: Suite) -> None:
    records = {decoding: recorded(suite, decoding) for decoding in SIGNATURES}
    texts = {}
    for decoding, signature in SIGNATURES.items():
        rows = [json.loads(line) for line in paths(decoding).samples.read_text().splitlines()]
        assert {row["decoding"] for row in rows} == {signature} and len(rows) == 7
        texts[decoding] = [row["text"] for row in rows]
    assert len({str(of) for of in texts.values()}) == 3
    own, greedy = records[""], records["greedy"]
    assert own.values.keys() == greedy.values.keys() and own.values["dist2"].n == 7
    assert own.values["dist2"].signature == greedy.values["dist2"].signature, "the text's decoding is no part of it"
    assert own.values["dist2"] != greedy.values["dist2"]
    assert paths().root / "decoding-greedy/cost/generate.json" == paths("greedy").cost("generate")
    assert paths("greedy").cost("generate").exists() and paths("greedy").cost("train") == paths().cost("train")
    assert own.provenance.code == greedy.provenance.code and own.provenance.code.keys() == {"train", "generate"}
    settings = own.provenance.settings, greedy.provenance.settings
    assert settings[0]["train"] == settings[1]["train"] and settings[0]["generate"] != settings[1]["generate"]


def test_a_report_gathers_one_decoding_and_the_rows_without_a_model(suite: Suite) -> None:
    for decoding in ("greedy", "beam3"):
        recorded(suite, decoding)
    row = ("--suite", "trained.yaml", "--dataset", "bbe")
    assert main(["untrained", *row, "--row", "human"]) == 0
    for verb in (["score-cell", "--family", "ngrams"], ["record"]):
        assert main([*verb, *row, "--method", "human", "--seed", "0"]) == 0
    found = {
        name: gather(suite, "trace/table6", decoding=name) for name in suites.select(suite, "trace/table6").decodings
    }
    for name, results in found.items():
        (record,), (human,) = results.records["bbe", "embed"], results.records["bbe", "human"]
        assert (record.decoding, human.decoding) == (name, "")
    assert found["greedy"].column("bbe", "dist2")["human"] == found["beam3"].column("bbe", "dist2")["human"]
    assert found["greedy"].column("bbe", "dist2")["embed"] != found["beam3"].column("bbe", "dist2")["embed"]
    with pytest.raises(BenchError, match=r"seed1/record\.json: No such file"):
        gather(suite, "trace/table6")


def test_a_record_in_the_place_of_another_decodings_is_refused(suite: Suite) -> None:
    recorded(suite, "greedy")
    paths("beam3").record.parent.mkdir()
    paths("beam3").record.write_bytes(paths("greedy").record.read_bytes())
    with pytest.raises(BenchError, match="is of trained/bbe/embed/seed1, decoding greedy, not of this cell"):
        read_cell(suite.name, Cell("bbe", "embed", 1, "beam3"))


@pytest.mark.parametrize("verb", ["generate", "score-cell", "record"])
def test_a_decoding_that_the_suite_does_not_have(suite: Suite, verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    family = ("--family", "ngrams") if verb == "score-cell" else ()
    assert main([verb, *CELL, *family, "--decoding", "gredy"]) == 2
    assert capsys.readouterr().err == "bench: suite 'trained' has no decoding 'gredy'; did you mean 'greedy'?\n"
    assert main([verb, *CELL[:4], "--method", "human", "--seed", "0", *family, "--decoding", "greedy"]) == 2
    assert "'human' is a row without a model: " in capsys.readouterr().err


def test_likelihoods_are_no_part_of_a_named_decoding(suite: Suite, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["score-cell", *CELL, "--family", "likelihood", "--decoding", "greedy"]) == 2
    expected = "suite 'trained', embed on bbe by decoding 'greedy': no metric of family 'likelihood'"
    assert expected in capsys.readouterr().err


def test_the_weights_it_started_from_are_named(suite: Suite) -> None:
    assert recorded(suite, "").provenance.pretrained == {}
    text = Path("trained.yaml").read_text()
    Path("trained.yaml").write_text(text.replace("backbone: {", "backbone: {kind: llama, weights: smollm2, "))
    manifest = paths().pretrained("smollm2") / "manifest.json"
    write_json(manifest, {"model": "smollm2"})
    assert recorded(suites.load("trained.yaml"), "").provenance.pretrained == {"smollm2": sha256(manifest)}


def test_a_commit_made_during_a_training_is_not_the_one_it_ran_at(
    suite: Suite, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bench.provenance.git_state", lambda *_: {"sha": "b" * 40, "dirty": False})
    cost = read_json(paths().cost("train"))
    for sha, expected in (("a" * 40, "a" * 40), ("", "b" * 40)):
        write_json(paths().cost("train"), {**cost, "git": {"sha": sha, "dirty": True}})
        found = recorded(suite, "").provenance
        assert (found.git.sha, found.git.dirty) == (expected, True), "where it knows of none, today's"
        assert found.cost["train"].wall_s == 1.5


def test_a_record_states_the_code_and_settings_that_its_stages_began_with(
    suite: Suite, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever is edited while a cell is trained or afterwards; a release with it is refused."""
    cell = Cell("bbe", "embed", 1)
    code = closure.stage_fingerprint(suite, "train", "bbe", "embed")
    with guarded("train", suite, cell):
        with measured(paths().cost("train")):  # for hours
            text = Path("trained.yaml").read_text()
            Path("trained.yaml").write_text(text + "training: {epochs: 7}\n")
            monkeypatch.setattr("bench.integrity.stage_fingerprint", lambda *_: "edited")
            monkeypatch.setattr("bench.closure.stage_fingerprint", lambda *_: "edited")
        paths().history.write_text("step\n0\n")
    edited = suites.load("trained.yaml")
    assert digests.settings(edited, "train", "bbe", "embed") != digests.settings(suite, "train", "bbe", "embed")
    found = recorded(edited, "").provenance
    assert found.code == {"train": code, "generate": "edited"}
    assert found.settings == {stage: digests.settings(suite, stage, "bbe", "embed") for stage in ("train", "generate")}
    assert found.scores is not None and found.scores["ngrams"].code == "edited"
    with pytest.raises(BenchError, match="stage 'train' ran under settings the suite no longer has"):
        freeze("trained.yaml", "r1", allow_dirty=True, finished=True)
    Path("trained.yaml").write_text(text)
    assert freeze("trained.yaml", "r1", allow_dirty=True, finished=True).is_dir()


def test_a_later_stage_of_uncommitted_code_counts(suite: Suite, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bench.provenance.git_state", lambda *_: {"sha": "b" * 40, "dirty": True})
    write_json(paths().cost("train"), {**read_json(paths().cost("train")), "git": {"sha": "a" * 40, "dirty": False}})
    assert recorded(suite, "").provenance.git.model_dump() == {"sha": "a" * 40, "dirty": True}


@pytest.mark.parametrize("verb", ["score-cell", "record"])
def test_values_of_uncommitted_code_are_told(suite: Suite, monkeypatch: pytest.MonkeyPatch, verb: str) -> None:
    """Whoever ran it, the metrics of a family or the record; what comes before them is committed."""
    git = {"sha": "a" * 40, "dirty": False}
    monkeypatch.setattr("bench.provenance.git_state", lambda *_: git)
    write_json(paths().cost("train"), {**read_json(paths().cost("train")), "git": git})
    human = Cell("bbe", "human", 0)
    row = ("--suite", "trained.yaml", "--dataset", "bbe")
    assert not recorded(suite, "").provenance.git.dirty
    assert main(["untrained", *row, "--row", "human"]) == 0
    for stage, *more in (["score-cell", "--family", "ngrams"], ["record"]):
        with monkeypatch.context() as patch:
            patch.setattr("bench.provenance.git_state", lambda *_, stage=stage: {**git, "dirty": stage == verb})
            run(stage, *more)
            assert main([stage, *row, "--method", "human", "--seed", "0", *more]) == 0
    for cell in (Cell("bbe", "embed", 1), human):
        assert read_cell(suite.name, cell).provenance.git.model_dump() == {"sha": "a" * 40, "dirty": True}


def test_a_record_names_what_its_scores_are_of(suite: Suite) -> None:
    recorded(suite, "greedy")
    before = paths("greedy").samples.read_bytes()
    paths("greedy").samples.write_bytes(before + before.splitlines(keepends=True)[0])
    run("record", "--decoding", "greedy")
    found = read_cell(suite.name, Cell("bbe", "embed", 1, "greedy")).provenance.scores
    assert found is not None
    assert found["ngrams"].of == hashlib.sha256(before).hexdigest(), "whatever has taken its place since"


def test_a_record_names_the_code_and_settings_of_its_scores(suite: Suite) -> None:
    found = recorded(suite, "greedy").provenance.scores
    assert found is not None and found.keys() == {"ngrams"}
    assert found["ngrams"].code == closure.stage_fingerprint(suite, "score", family="ngrams")
    assert found["ngrams"].settings == digests.settings(suite, "score", family="ngrams")


def test_a_record_names_the_versions_that_its_stages_and_scores_ran_with(
    suite: Suite, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not those of the day it was collected, unless none of them says."""

    def install(torch: str) -> None:
        monkeypatch.setattr("bench.provenance.versions", lambda: {"torch": torch, "numpy": "2.4.6"})

    install("2.13.0")
    made = recorded(suite, "").provenance
    assert made.versions == {"torch": "2.13.0", "numpy": "2.4.6"}
    write_json(paths().cost("train"), {**read_json(paths().cost("train")), "versions": {"torch": "2.12.0"}})
    install("2.14.0")
    run("score-cell", "--family", "ngrams")
    install("2.15.0")
    run("record")
    found = read_cell(suite.name, Cell("bbe", "embed", 1)).provenance
    assert found.versions == {"torch": "2.12.0/2.13.0/2.14.0", "numpy": "2.4.6"}
    for file in (paths().cost("train"), paths().cost("generate"), paths().scores("ngrams")):
        write_json(file, {key: value for key, value in read_json(file).items() if key != "versions"})
        seal(file)
    run("record")
    found = read_cell(suite.name, Cell("bbe", "embed", 1)).provenance
    assert found.versions == {"torch": "2.15.0", "numpy": "2.4.6"}


def test_scores_of_older_versions_are_values_alone(suite: Suite) -> None:
    today = recorded(suite, "")
    write_json(paths().scores("ngrams"), read_json(paths().scores("ngrams"))["values"])
    seal(paths().scores("ngrams"))
    run("record")
    found = read_cell(suite.name, Cell("bbe", "embed", 1))
    assert found.values == today.values and found.provenance.scores == {"ngrams": Scored()}


def test_code_that_git_does_not_have_is_uncommitted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where it is a new file, or a method's that lies elsewhere; what is ignored, or no code, does not count."""
    repository, elsewhere = tmp_path / "repository", tmp_path / "elsewhere.py"
    for file in ("bench/a.py", "mine.py", "notes.txt", "theirs.py"):
        (repository / file).parent.mkdir(parents=True, exist_ok=True)
        (repository / file).write_text("x = 1\n")
    (repository / ".gitignore").write_text("*.pyc\n")
    elsewhere.touch()
    monkeypatch.chdir(repository)

    def git(*arguments: str) -> None:
        who = ("-c", "user.name=x", "-c", "user.email=x")
        subprocess.run(["git", *who, *arguments], check=True, capture_output=True)

    def dirty(plug_in: str | Path | None = None) -> bool:
        return bool(provenance.git_state(Path(plug_in) if plug_in else None)["dirty"])

    git("init", "--quiet")
    git("add", "bench", "mine.py", ".gitignore")
    git("commit", "--quiet", "--message", "x")
    assert not dirty() and not dirty("mine.py") and not dirty(repository / "mine.py")
    assert dirty("theirs.py") and dirty(elsewhere)
    Path("bench/a.pyc").touch()
    assert not dirty()
    Path("bench/new.py").touch()
    assert dirty()
    Path("bench/new.py").unlink()
    Path("mine.py").write_text("x = 2\n")
    assert dirty()

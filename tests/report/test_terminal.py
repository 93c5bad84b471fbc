"""``bench ls``, ``show`` and ``diff``."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bench.cli import main
from bench.files import seal
from bench.freeze import freeze
from bench.paths import CellPaths


def said(capsys: pytest.CaptureFixture[str], *arguments: str) -> list[str]:
    assert main([arguments[0], "--suite", "tiny.yaml", *arguments[1:]]) == 0
    return capsys.readouterr().out.splitlines()


def edit(method: str, change: dict, seed: int = 1) -> None:
    path = CellPaths("tiny", "bbe", method, seed).record
    content = json.loads(path.read_text(encoding="utf-8"))
    for key, values in change.items():
        content[key].update(values)
    path.write_text(json.dumps(content), encoding="utf-8")


def test_ls_has_a_line_a_cell_and_says_how_far_it_is(run: str, capsys: pytest.CaptureFixture[str]) -> None:
    paths = [CellPaths("tiny", "bbe", "embed", seed) for seed in (1, 2)]
    for path in (paths[0].record, paths[1].record, paths[1].likelihood):
        path.unlink(missing_ok=True)
    paths[0].likelihood.touch()
    paths[1].history.unlink(missing_ok=True)
    paths[1].resume.mkdir()
    (paths[1].resume / "state.json").write_text('{"step": 1234}')
    lines = said(capsys, "ls", "--dataset", "bbe")
    assert lines[0].split()[:5] == ["dataset", "method", "seed", "state", "PPL"]
    rows = {tuple(line.split()[:3]): line for line in lines[1:-1]}
    assert len(rows) == 4 * 2 and lines[-1] == "6 of 8 cells of suite tiny are finished"
    assert "measured" in rows["bbe", "embed", "1"] and "training, step 1,234" in rows["bbe", "embed", "2"]
    record = json.loads(CellPaths("tiny", "bbe", "della", 2).record.read_text())
    assert f"{record['values']['ppl']['value']:.2f}" in rows["bbe", "della", "2"].split()
    assert len(said(capsys, "ls", "--dataset", "bbe", "--method", "gpt2")) == 1 + 2 + 1


def test_show_has_every_value_and_the_command_that_makes_the_cell_again(
    run: str, capsys: pytest.CaptureFixture[str]
) -> None:
    record = json.loads(CellPaths("tiny", "bbe", "della", 1).record.read_text())
    edit("della", {"values": {"my_own": {**record["values"]["kl"], "value": 12.3456789}}})
    text = said(capsys, "show", "bbe/della/seed1")
    assert record["values"]["kl"]["signature"] in "\n".join(text) and not any("my_own" in line for line in text)
    assert any(line.split()[:2] == ["my_own", "12.346"] for line in said(capsys, "show", "bbe/della/1", "--all"))
    assert text[-1] == ("snakemake --cores 2 --config suite=tiny.yaml -- results/runs/tiny/bbe/della/seed1/record.json")


def test_diff_subtracts_and_says_what_was_not_alike(run: str, capsys: pytest.CaptureFixture[str]) -> None:
    values = {
        method: json.loads(CellPaths("tiny", "bbe", method, 1).record.read_text())["values"]["kl"]
        for method in ("embed", "della")
    }
    edit("embed", {"provenance": {"scores": {"bleu": {"code": "before"}}}})
    edit("della", {"provenance": {"device": "a GPU", "scores": {"bleu": {"code": "after"}}}})
    edit("della", {"values": {"bleu4": {**values["della"], "signature": "bleu|n:4|other|v:9"}}})
    lines = said(capsys, "diff", "bbe/embed/1", "bbe/della/1")
    kl = next(line for line in lines if line.startswith("kl ")).split()
    assert float(kl[3]) == pytest.approx(values["della"]["value"] - values["embed"]["value"], rel=1e-4)
    assert next(line for line in lines if line.startswith("bleu4 ")).split()[3] == "n/c"
    assert "device: cpu | a GPU" in lines and "code score bleu: before | after" in lines
    assert any(
        line.startswith("code: ") and line.endswith(", score bleu after")
        for line in said(capsys, "show", "bbe/della/1")
    )


def test_a_frozen_cell_stands_beside_the_run(run: str, capsys: pytest.CaptureFixture[str]) -> None:
    freeze(run, "r1")
    lines = said(capsys, "diff", "r1:bbe/della/1", "bbe/della/1")
    assert {line.split()[3] for line in lines[1:] if line.startswith(("ppl ", "kl "))} == {"0"}


def test_a_cell_of_another_suite_has_no_command_of_this_one(run: str, capsys: pytest.CaptureFixture[str]) -> None:
    freeze(run, "r1")
    assert said(capsys, "show", "r1:bbe/della/1")[-1].startswith("snakemake --cores 2 --config suite=tiny.yaml -- ")
    Path(run).write_text(Path(run).read_text().replace("name: tiny", "name: other"))
    assert said(capsys, "show", "r1:bbe/della/1")[-1] == (
        "made by suite tiny: pass its file as --suite, to see the command that makes the cell again"
    )


@pytest.mark.parametrize("sealed", [True, False])
def test_a_damaged_record_is_a_row_of_ls_and_nothing_else_shows_it(
    sealed: bool, run: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """One that was edited, or where nobody wrote down its checksum, one that is none."""
    record = CellPaths("tiny", "bbe", "della", 1).record
    if sealed:
        seal(record)
        assert said(capsys, "ls")[-1] == "12 of 12 cells of suite tiny are finished"
        edit("della", {"values": {"my_own": json.loads(record.read_text())["values"]["kl"]}})
    else:
        record.write_text("{}")
    lines = said(capsys, "ls")
    rows = {tuple(line.split()[:3]): line.split()[3:] for line in lines[1:-1]}
    assert rows["bbe", "della", "1"] == ["damaged"] and len(rows["bbe", "della", "2"]) > 3
    assert lines[-1] == "11 of 12 cells of suite tiny are finished"
    for arguments in (["show", "bbe/della/1"], ["diff", "bbe/embed/1", "bbe/della/1"]):
        assert main([arguments[0], "--suite", "tiny.yaml", *arguments[1:]]) == 2
        printed = capsys.readouterr()
        assert printed.out == "" and printed.err.count("\n") == 1 and str(record) in printed.err


def test_statistics_that_were_edited_are_not_subtracted(run: str, capsys: pytest.CaptureFixture[str]) -> None:
    statistics = CellPaths("tiny", "bbe", "della", 1).likelihood
    seal(statistics)
    statistics.write_bytes(CellPaths("tiny", "bbe", "embed", 1).likelihood.read_bytes())
    assert main(["diff", "--suite", "tiny.yaml", "bbe/embed/1", "bbe/della/1"]) == 2
    assert f"{statistics}: changed since it was written" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["show", "della"], "'della' names no cell: expected DATASET/METHOD/SEED"),
        (["show", "bbe/dela/1"], "no method 'dela'; did you mean 'della'?"),
        (["show", "bbee/della/1"], "no dataset 'bbee'; did you mean 'bbe'?"),
        (["show", "bbe/della/9"], "seed9/record.json: No such file"),
        (["diff", "bbe/della/1", "r9:bbe/della/1"], "r9"),
        (["ls", "--method", "nobody"], "has no such cells"),
    ],
)
def test_mistakes_are_one_line(
    run: str, arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([arguments[0], "--suite", "tiny.yaml", *arguments[1:]]) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1
    assert not Path("reports").exists()

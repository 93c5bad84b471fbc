"""Figure 2: which method stands where, and what is drawn of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench import suite as suites
from bench.cli import main
from bench.errors import BenchError
from bench.paths import CellPaths
from bench.report.collect import gather
from bench.report.della.layers import COLOURS, Point, draw, read_points
from bench.schema import Suite
from tests import fake_run

REPORT = "della/figure2"
YAML = """
name: tiny
datasets: {bbe: , sotu: {seeds: [1]}}
methods:
  all: {use: della}
  upper: {use: della, options: {start: 2}}
  top: {use: della, options: {start: 3}}
  bottom: {use: della, options: {end: 1}}
  middle: {use: della, options: {start: 2, end: 2}}
  embed:
  third: {use: della, options: {start: 3, end: 3}}
seeds: [1, 2]
metrics: [iw, elbo, "paper:della"]
backbone: {layers: 3, width: 32, heads: 2}
reports:
  della/figure2: {datasets: [bbe, sotu], methods: %s}
"""
GOOD = "[all, upper, top, bottom]"


def load(root: Path, methods: str = GOOD) -> Suite:
    return suites.load(fake_run.write_suite(root, YAML % methods))


def test_methods_stand_where_their_options_say(tmp_path: Path) -> None:
    points = read_points(load(tmp_path), REPORT, "bbe")
    assert set(points) == {
        Point("start", 1, "all"), Point("start", 2, "upper"), Point("start", 3, "top"),
        Point("end", 1, "bottom"), Point("end", 3, "all"),
    }  # fmt: skip
    assert [point.layer for point in points] == sorted(point.layer for point in points)


@pytest.mark.parametrize(
    ("methods", "said"),
    [
        ("[all, middle]", "'middle' has layers 2 to 2 of 3, on neither line"),
        ("[all, embed]", "'embed' and 'all' are different methods"),
        ("[top, third]", "'top' and 'third' both have layers 3 to 3"),
    ],
)
def test_what_stands_on_no_line_is_one_clear_error(tmp_path: Path, methods: str, said: str) -> None:
    with pytest.raises(BenchError, match=said):
        read_points(load(tmp_path, methods), REPORT, "bbe")


def test_lines_are_means_over_seeds_and_marks_are_seeds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from matplotlib import pyplot

    monkeypatch.chdir(tmp_path)
    suite = load(tmp_path)
    fake_run.write_run(tmp_path, str(tmp_path / "tiny.yaml"))
    results = gather(suite, REPORT)
    figure = draw(results, {dataset: read_points(suite, REPORT, dataset) for dataset in results.datasets})
    assert [axes.get_ylabel() for axes in figure.axes] == ["PPL (per token)", "−ELBO (nats/text)", "KL (nats/text)"] * 2
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["bbe", "", "", "sotu", "", ""]
    lines = figure.axes[0].get_lines()
    assert len(lines) == 8  # start and end, exact and DELLA's arithmetic, a line and its marks
    start, marks, dashed = lines[0], lines[1], lines[2]
    assert start.get_color() == COLOURS["start"] and dashed.get_linestyle() == "--"
    for layer, method in ((1, "all"), (2, "upper"), (3, "top")):
        values = [record.values["ppl"].value for record in results.records["bbe", method]]
        assert len(values) == 2
        assert start.get_ydata()[layer - 1] == pytest.approx(sum(values) / 2)
        assert [y for x, y in zip(*marks.get_data(), strict=True) if x == layer] == values
    pyplot.close(figure)


def test_files_are_the_same_every_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    load(tmp_path)
    fake_run.write_run(tmp_path, "tiny.yaml")
    for name in ("a.png", "b.png"):
        assert main(["report", "--suite", "tiny.yaml", "--report", REPORT, "--out", name]) == 0
    for form in ("png", "svg"):
        assert Path(f"a.{form}").read_bytes() == Path(f"b.{form}").read_bytes()


def test_a_suite_that_measures_no_likelihood_is_one_clear_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    monkeypatch.chdir(tmp_path)
    suite = load(tmp_path)
    fake_run.write_run(tmp_path, "tiny.yaml")
    for cell in suites.cells(suite):
        path = CellPaths("tiny", cell.dataset, cell.method, cell.seed).record
        path.write_text(path.read_text().replace('"ppl"', '"x"').replace('"nelbo"', '"y"').replace('"kl"', '"z"'))
    assert main(["report", "--suite", "tiny.yaml", "--report", REPORT, "--out", "a.png"]) == 2
    assert "needs the metrics iw and elbo" in capsys.readouterr().err

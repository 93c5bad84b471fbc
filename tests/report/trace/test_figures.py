"""Figures 2 and 3: what stands where on the axis of segment lengths."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bench import dag
from bench.errors import BenchError
from bench.paths import CellPaths
from bench.report.collect import gather
from bench.report.published import load_published
from bench.report.trace import segments, speed
from bench.report.trace.lengths import Point, read_points
from bench.schema import MethodSpec, Selection, Suite
from bench.suite import Cell
from tests import fake_run


def reading(suite: Suite, methods: list[str], datasets: list[str], **more: MethodSpec) -> Suite:
    """The suite with another selection for Figure 2 and further methods."""
    reports = {"trace/figure2": Selection(datasets=datasets, methods=methods)}
    return suite.model_copy(update={"reports": reports, "methods": {**suite.methods, **more}})


def test_points_are_the_suites_methods_by_option(trace: Suite) -> None:
    assert read_points(trace, "trace/figure2", speed.LINES) == [
        Point("trace-r", 1, "trace-r-1"), Point("trace-p", 1, "trace-p-1"), Point("trace-r", 10, "trace-r"),
        Point("trace-p", 10, "trace-p"), Point("trace-r", 20, "trace-r-20"),
    ]  # fmt: skip
    assert [point.length for point in read_points(trace, "trace/figure3", ("trace-r",))] == [1, 10, 20]


@pytest.mark.parametrize(
    ("methods", "datasets", "complaint"),
    [
        (["trace-r", "ind"], ["bbe"], "'ind' is ind, not trace-r or trace-p"),
        (["trace-r", "ten"], ["bbe"], "'trace-r' and 'ten' both have segments of 10 tokens"),
        (["trace-r"], ["sotu-story"], "segments of sotu-story are sentences"),
        (["quoted"], ["bbe"], "segment_length of 'quoted' is '5'"),
    ],
)
def test_what_has_no_place_is_refused(trace: Suite, methods: list[str], datasets: list[str], complaint: str) -> None:
    ten = MethodSpec(use="trace-r", options={"segment_length": 10})
    quoted = MethodSpec(use="trace-r", options={"segment_length": "5"})
    with pytest.raises(BenchError, match=complaint):
        read_points(reading(trace, methods, datasets, ten=ten, quoted=quoted), "trace/figure2", speed.LINES)


def cost(method: str, seed: int) -> Path:
    return CellPaths("tiny", "bbe", method, seed).cost("train")


def test_seconds_a_step_and_ratios(trace: Suite) -> None:
    for method, step in (("trace-r-1", 2.0), ("trace-p-1", 0.5), ("trace-r", 1.0), ("trace-p", 1.0)):
        for seed in (1, 2):
            cost(method, seed).write_text(json.dumps({"wall_s": 9.0, "peak_mb": 1.0, "step_s": step}), encoding="utf-8")
    assert speed.step_seconds(trace, Cell("bbe", "trace-r-1", 1)) == 2.0
    points = read_points(trace, "trace/figure2", speed.LINES)
    of = {p.method: [speed.step_seconds(trace, Cell("bbe", p.method, seed)) for seed in (1, 2)] for p in points}
    assert speed.ratios(of, points) == {1: 4.0, 10: 1.0}, "there is no trace-p of length 20"
    claims = [row for row in load_published().table("trace", "5.8") if row.metric == "speedup"]
    figure = speed.draw({"bbe": of}, points, claims)
    (axes,) = figure.axes
    assert [text.get_text() for text in axes.texts] == ["×4.00", "×1.00"]
    assert list(axes.lines[0].get_ydata()) == [
        2.0,
        1.0,
        pytest.approx(of["trace-r-20"][0] / 2 + of["trace-r-20"][1] / 2),
    ]
    title = figure.legends[0].get_title().get_text()
    assert "more than twice faster than TRACE-R at segment length 1" in title and "50% faster" in title
    assert "ratio of speeds" not in title


def test_a_cost_without_a_time_is_one_clear_line(trace: Suite) -> None:
    cost("trace-r", 1).write_text("{}", encoding="utf-8")
    with pytest.raises(BenchError, match=r"cost .*trace-r/seed1/cost/train.json: no step_s"):
        speed.render(trace, "trace/figure2", Path("f.png"))


def test_training_alone_is_read_for_figure_2(trace: Suite) -> None:
    for record in Path().glob("results/runs/**/record.json"):
        record.unlink()
    speed.render(trace, "trace/figure2", Path("a/f.png"))
    speed.render(trace, "trace/figure2", Path("b/f.svg"))
    for form in ("png", "svg"):
        assert Path(f"a/f.{form}").read_bytes() == Path(f"b/f.{form}").read_bytes()


def test_the_dag_makes_what_is_read_and_no_more(trace: Suite) -> None:
    loaded = dag.load({"suite": "tiny.yaml"})
    names = {name: {Path(file).name for file in loaded.read(f"trace/{name}")} for name in ("figure2", "theorem1")}
    assert names == {"figure2": {"train.json"}, "theorem1": {"likelihood.npz", "model"}}


def test_figure_3_has_means_intervals_and_human_texts(trace: Suite) -> None:
    results = gather(trace, "trace/figure3")
    figure = segments.draw(results, read_points(trace, "trace/figure3", ("trace-r",)))
    cnd, self_bleu = figure.axes
    for axes, key in ((cnd, "cnd"), (self_bleu, "self_bleu4")):
        column = results.column("bbe", key)
        line, *intervals, human = axes.lines
        assert list(line.get_xdata()) == [1, 10, 20]
        assert list(line.get_ydata()) == [column[m].estimate.mean for m in ("trace-r-1", "trace-r", "trace-r-20")]
        assert [tuple(of.get_ydata()) for of in intervals] == [column["trace-r"].ci95] * 3
        assert human.get_ydata()[0] == column["human"].estimate.mean
    segments.render(trace, "trace/figure3", Path("f.png"))
    assert Path("f.svg").stat().st_size


def test_what_cannot_be_compared_is_not_drawn(trace: Suite) -> None:
    fake_run.edit("bbe", "trace-r", lambda record: record["provenance"].update(data="0" * 64))
    with pytest.raises(BenchError, match="cnd of 'trace-r' on bbe is not comparable: it was run on other data"):
        segments.render(trace, "trace/figure3", Path("f.png"))

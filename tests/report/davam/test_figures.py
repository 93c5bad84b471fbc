"""Figure 4: what stands where on the axis of an option, and the curves of a training in stages."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

from bench import dag
from bench import suite as suites
from bench.errors import BenchError
from bench.files import read_json
from bench.paths import CellPaths
from bench.report.collect import gather
from bench.report.davam import augmentation, dynamics, sweep
from bench.report.davam.sweep import Point, read_points
from bench.report.figures import KEPT_LABEL
from bench.report.papers.lines import class_of
from bench.schema import MethodSpec, Selection, Suite
from bench.suite import Cell
from tests import fake_run


def reading(suite: Suite, methods: list[str], **more: MethodSpec) -> Suite:
    """The suite with another selection for Figure 4a and further methods."""
    reports = {"davam/figure4a": Selection(datasets=["bbe"], methods=methods)}
    return suite.model_copy(update={"reports": reports, "methods": {**suite.methods, **more}})


def test_points_are_the_suites_methods_by_option(davam: Suite) -> None:
    expected = {
        "a": [(128, "davam-k128"), (256, "davam-k256"), (512, "davam-k512")],
        "b": [(1.0, "davam-beta-1"), (5.0, "davam-k512")],
        "c": [(8, "davam-latent-8"), (32, "davam-k512")],
    }
    for part, points in expected.items():
        name = f"davam/figure4{part}"
        assert read_points(davam, name, sweep.SWEPT[name][0]) == [Point(*point) for point in points]


@pytest.mark.parametrize(
    ("methods", "complaint"),
    [
        (["davam-k512", "gavam"], "'gavam' and 'davam-k512' are different methods"),
        (["davam-k512", "again"], "'davam-k512' and 'again' both have codes 512"),
        (["davam-k512", "both"], "'both' and 'davam-k512' differ in more than codes"),
        (["quoted"], "codes of 'quoted' is '64', not a positive number"),
    ],
)
def test_what_has_no_place_is_refused(davam: Suite, methods: list[str], complaint: str) -> None:
    more = {
        "again": MethodSpec(use="davam-k512"),
        "both": MethodSpec(use="davam-k512", options={"codes": 64, "latent": 8}),
        "quoted": MethodSpec(use="davam-k512", options={"codes": "64"}),
    }
    with pytest.raises(BenchError, match=complaint):
        read_points(reading(davam, methods, **more), "davam/figure4a", "codes")


def test_defaults_are_the_methods_own() -> None:
    from bench.methods.davam import DavamOptions

    assert {name: getattr(DavamOptions(), name) for name in sweep.DEFAULTS} == sweep.DEFAULTS


def test_rec_and_both_kls_against_the_option(davam: Suite) -> None:
    fake_run.edit("bbe", "davam-k256", lambda record: record["values"]["kl"].update(value=55.0, ci95=[54.5, 55.5]))
    points = read_points(davam, "davam/figure4a", "codes")
    figure = sweep.draw(gather(davam, "davam/figure4a"), points, "K")
    rec, averaged, summed = figure.axes
    for axes, means in ((rec, [92.15, 92.15, 72.15]), (averaged, [3.0] * 3), (summed, [60.0, 55.0, 60.0])):
        line, marks, *spans = axes.lines
        assert list(line.get_xdata()) == [128, 256, 512]
        assert list(line.get_ydata()) == pytest.approx(means)
        assert len(marks.get_ydata()) == 6, "a mark a seed"
        low, high = axes.get_ylim()
        assert low < min(means) and max(means) < high
        # of each seed, half a nat to either side of its value
        assert [span.get_xdata()[0] for span in spans] == [128, 128, 256, 256, 512, 512]
        drawn = [half for span, mark in zip(spans, marks.get_ydata(), strict=True) for half in span.get_ydata() - mark]
        assert drawn == pytest.approx([-0.5, 0.5] * 6)
        assert axes.get_xlabel() == "K"
    assert figure.legends[0].get_title().get_text() == (
        "Rec and KL of the test set; 95 % intervals over test texts. A mark a seed, lines through their means."
    )
    sweep.render(davam, "davam/figure4a", Path("f.png"))
    assert Path("f.svg").stat().st_size


@pytest.mark.parametrize(
    ("values", "least"), [([100.0, 101.0, 101.0], 10.0), ([0.777, 0.769, 0.77], 0.077), ([60.0, 30.0, 60.0], 30.0)]
)
def test_noise_fills_no_panel(davam: Suite, values: list[float], least: float) -> None:
    """A scale of at least a tenth of its values, also where they have no interval."""

    def change(record: dict[str, Any]) -> None:
        record["values"]["kl"].update(value=values[methods.index(record["method"])], ci95=None)

    methods = ["davam-k128", "davam-k256", "davam-k512"]
    for method in methods:
        fake_run.edit("bbe", method, change)
    points = read_points(davam, "davam/figure4a", "codes")
    axes = sweep.draw(gather(davam, "davam/figure4a"), points, "K").axes[2]
    low, high = axes.get_ylim()
    assert len(axes.lines) == 2, "no intervals"
    assert low < min(values) and max(values) < high and least * 0.98 < high - low < least * 1.4


def test_what_cannot_be_compared_is_not_drawn(davam: Suite) -> None:
    fake_run.edit("bbe", "davam-k128", lambda record: record["provenance"].update(data="0" * 64))
    with pytest.raises(BenchError, match="rec of 'davam-k128' on bbe is not comparable: it was run on other data"):
        sweep.render(davam, "davam/figure4a", Path("f.png"))


# Generated texts as training data --------------------------------------------------------------------------------


def test_a_panel_a_generator_a_line_a_size(davam: Suite) -> None:
    augmentation.render(davam, "davam/figure3", Path("f.png"))
    assert Path("f.svg").stat().st_size
    cells = suites.cells(davam, "davam/figure3")
    panels = {
        (cell.dataset, cell.method): [
            augmentation.Point(size, factor, augmented["ppl_word"], None)
            for other in cells
            if other.method == cell.method
            for size, factor in suites.augmented_parts(davam).values()
            for augmented in [read_json(_part(other, size, factor), "augmentation")]
        ]
        for cell in cells
    }
    figure = augmentation.draw(panels, "lstm-lm")
    # in the suite's order of methods
    assert [axes.get_title(loc="left") for axes in figure.axes] == [
        "bbe · texts of DAVAM (K=128)", "bbe · texts of DAVAM (K=512)"
    ]  # fmt: skip
    line, marks, *_ = figure.axes[1].lines
    assert list(line.get_xdata()) == [0, 0.5, 4]
    assert list(line.get_ydata()) == pytest.approx([201.5, 181.5, 100 + 100 / 3 + 1.5])
    assert len(marks.get_ydata()) == 6, "three factors, two seeds"


def _part(cell: Cell, size: int, factor: float) -> Path:
    return CellPaths("tiny", cell.dataset, cell.method, cell.seed).augmented(f"{size}x{factor:g}")


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"data": "1" * 64}, "other data than the first one of bbe"),
        ({"signature": "ppl|v:2"}, "other signature than the first one of bbe"),
        ({"ppl_word": None}, "1000x0.5.json: TypeError"),
    ],
)
def test_parts_that_do_not_belong_together(davam: Suite, change: dict[str, str], complaint: str) -> None:
    path = _part(Cell("bbe", "davam-k512", 2), 1000, 0.5)
    path.write_text(json.dumps({**read_json(path, "part"), **change}), encoding="utf-8")
    with pytest.raises(BenchError, match=complaint):
        augmentation.render(davam, "davam/figure3", Path("f.png"))


# Training dynamics -----------------------------------------------------------------------------------------------


def test_stages_begin_where_the_history_says(davam: Suite) -> None:
    run = dynamics.read_run(CellPaths("tiny", "bbe", "davam-k512", 1).history)
    assert run.stages == {"prior": 400}
    assert all(
        math.isnan(kl) == (step < 400) for step, kl in zip(run.curve["step"], run.curve["valid_kl"], strict=True)
    )
    assert dynamics.read_run(CellPaths("tiny", "bbe", "gavam", 1).history).stages == {}


def test_a_history_without_stages_is_one_stage(davam: Suite) -> None:
    assert dynamics.read_run(CellPaths("tiny", "bbe", "lstm-vae", 1).history).stages == {}


def test_both_trainings_on_one_pair_of_axes(davam: Suite) -> None:
    histories = {m: [dynamics.read_run(CellPaths("tiny", "bbe", m, 1).history)] for m in ("gavam", "davam-k512")}
    looks = dynamics.looks(davam, "davam/figure4d")
    figure = dynamics.draw({("bbe", method): runs for method, runs in histories.items()}, looks)
    rec, kl = figure.axes
    gavam, davam_kl, begins = kl.lines
    assert min(gavam.get_ydata()) < 0.01 < max(gavam.get_ydata())
    assert list(begins.get_xdata()) == [400, 400] and min(davam_kl.get_xdata()) == 400
    assert len(rec.lines) == 3
    assert [text.get_text() for text in figure.legends[0].get_texts()] == [
        "GAVAM", "DAVAM (K=512)", "from here it trains: prior"
    ]  # fmt: skip
    assert [line.get_color() for line in (gavam, davam_kl)] == [looks[m].colour for m in ("gavam", "davam-k512")]
    (note,) = kl.texts
    assert (note.get_text(), note.xy[0], note.get_color()) == ("no KL before its prior", 400, davam_kl.get_color())
    assert not rec.texts and max(kl.get_yticks()) == kl.get_ylim()[1]


def test_kept_weights_are_marks_beside_both_lines(davam: Suite) -> None:
    """One at the end of each stage; before the prior there is none of the KL."""
    path = CellPaths("tiny", "bbe", "davam-k512", 1).history
    lines = path.read_text(encoding="utf-8").splitlines()
    begins = next(i for i, line in enumerate(lines) if line.startswith("prior"))
    lines[begins:begins] = ["codes,380,1.9,1,1.0,,,59,,"]
    path.write_text("\n".join([*lines, "prior,800,4,1,1.0,,,60,61.5,"]) + "\n", encoding="utf-8")
    figure = dynamics.draw({("bbe", "davam-k512"): [dynamics.read_run(path)]}, dynamics.looks(davam, "davam/figure4d"))
    (_, rec, _), (line, kl, _) = (axes.lines for axes in figure.axes)
    assert (list(rec.get_xdata()), list(rec.get_ydata()), rec.get_marker()) == ([380, 800], [59, 60], "o")
    assert (list(kl.get_xdata()), list(kl.get_ydata())) == ([800], [61.5]) and line.get_ydata()[-1] != 61.5
    assert [text.get_text() for text in figure.legends[0].get_texts()] == [
        "DAVAM (K=512)", "from here it trains: prior", KEPT_LABEL
    ], "of what is drawn alone"  # fmt: skip


def test_a_class_of_methods_has_its_colour_in_every_report(davam: Suite) -> None:
    """Whatever stands before it, in the report or in the suite: DAVAM's figures stand on one page."""

    def looks(*methods: str) -> dict[str, dynamics.Look]:
        reports = {"davam/figure4d": Selection(datasets=["bbe"], methods=list(methods))}
        more = {"mine": MethodSpec(use="lstm-vae"), "davam-start": MethodSpec(use="davam-k128", epochs=3)}
        suite = davam.model_copy(update={"reports": reports, "methods": {**more, **davam.methods}})
        return dynamics.looks(suite, "davam/figure4d")

    for method, of in (("davam-k512", "Davam"), ("davam-k128", "Davam"), ("davam-start", "Davam"), ("gavam", "Gavam")):
        assert looks(method)[method].colour == looks("mine", method)[method].colour == dynamics.COLOURS[of]
        assert class_of(davam, method if method in davam.methods else "davam-k128")[1] == of
    found = looks("vae-attn", "davam-k512", "mine", "davam-start", "gavam", "davam-k256")
    assert list(found) == ["vae-attn", "davam-k512", "mine", "davam-start", "gavam", "davam-k256"]
    assert len({look.colour for look in found.values()}) == 6
    assert found["davam-start"].colour == "#865023", "DAVAM's orange, darker"


@pytest.mark.parametrize(
    ("spec", "label"),
    [
        (MethodSpec(use="gavam", epochs=10), "GAVAM, first 10 epochs"),
        (MethodSpec(use="davam-k128", epochs=45), "DAVAM (K=128), first 45 epochs"),
        (MethodSpec(use="davam-k512", epochs=5, options={"codes": 64}), "davam-mine, first 5 epochs"),
        (MethodSpec(use="davam-k512", options={"codes": 64}), "davam-mine"),
        (MethodSpec(use="davam-k512"), "davam-mine"),
    ],
)
def test_the_beginning_of_a_training_says_of_which(davam: Suite, spec: MethodSpec, label: str) -> None:
    suite = davam.model_copy(update={"methods": {**davam.methods, "davam-mine": spec}})
    assert dynamics.label_of(suite, "davam-mine") == label
    assert dynamics.label_of(suite, "davam-k128") == "DAVAM (K=128)"


def test_the_legend_of_figure_4d_is_in_the_reports_order(davam: Suite) -> None:
    reports = {"davam/figure4d": Selection(datasets=["bbe"], methods=["davam-k512", "gavam"])}
    dynamics.render(davam.model_copy(update={"reports": reports}), "davam/figure4d", Path("f.png"))
    svg = Path("f.svg").read_text(encoding="utf-8")
    assert svg.index(">DAVAM (K=512)<") < svg.index(">GAVAM<")


def test_histories_alone_are_read_for_figure_4d(davam: Suite) -> None:
    loaded = dag.load({"suite": "tiny.yaml"})
    assert {Path(file).name for file in loaded.read("davam/figure4d")} == {"history.csv"}
    for record in Path().glob("results/runs/**/record.json"):
        record.unlink()
    dynamics.render(davam, "davam/figure4d", Path("a/f.png"))
    dynamics.render(davam, "davam/figure4d", Path("b/f.svg"))
    for form in ("png", "svg"):
        assert Path(f"a/f.{form}").read_bytes() == Path(f"b/f.{form}").read_bytes()


def test_the_dag_makes_what_tables_of_texts_read(davam: Suite) -> None:
    loaded = dag.load({"suite": "tiny.yaml"})
    names = {
        name: {Path(file).name for file in loaded.read(f"davam/{name}")} for name in ("table3", "table4", "table5")
    }
    assert names == {
        "table3": {"record.json", "samples.jsonl"},
        "table4": {"record.json", "likelihood.npz"},
        "table5": {"record.json"},
    }
    assert any("decoding-length-30/record.json" in file for file in loaded.read("davam/table4"))

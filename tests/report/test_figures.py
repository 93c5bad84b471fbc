"""Learning curves: what is drawn, not how it looks."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from bench import suite as suites
from bench.errors import BenchError
from bench.paths import CellPaths
from bench.report import figures
from bench.report.figures import Curve, Panel, draw, read_history, read_panels, render


def test_files_are_the_same_every_time(run: str) -> None:
    suite = suites.load(run)
    render(suite, "curves", Path("a.png"))
    render(suite, "curves", Path("b.svg"))
    for form in ("png", "svg"):
        assert Path(f"a.{form}").read_bytes() == Path(f"b.{form}").read_bytes()
    svg = Path("a.svg").read_text(encoding="utf-8")
    assert "della@paper" in svg and "KL (nats/example)" in svg and "<dc:date>" not in svg


def test_a_column_a_method_and_a_line_a_seed(run: str) -> None:
    from matplotlib import pyplot

    panels = read_panels(suites.load(run), "curves")
    assert [(p.dataset, p.method, len(p.curves)) for p in panels][:2] == [("bbe", "gpt2", 2), ("bbe", "embed", 2)]
    figure = draw(panels)
    titled = [axes for axes in figure.axes if axes.get_title(loc="left")]
    assert [axes.get_title(loc="left") for axes in titled] == [
        "bbe · gpt2", "embed", "della", "della@paper", "sotu · gpt2", "embed", "della", "della@paper"
    ]  # fmt: skip
    colours = [line.get_color() for line in titled[1].get_lines()]
    assert colours.count(figures.TRAIN) == colours.count(figures.VALID) == 2
    said = [text.get_text() for axes in figure.axes for text in axes.texts]
    assert said == ["no latent variable"] * 2
    assert {axes.get_yscale() for axes in figure.axes} == {"log", "symlog", "linear"}
    pyplot.close(figure)


def test_the_first_point_has_no_training_terms(run: str) -> None:
    curve = read_panels(suites.load(run), "curves")[1].curves[1]
    assert math.isnan(curve["train_rec"][0]) and math.isfinite(curve["valid_rec"][0])


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("step,beta\n", "no rows"),
        ("step,beta\n0,1\n", "no column 'train_rec'"),
        ("step,beta,train_rec,train_kl,valid_rec,valid_kl\n0,1,,,x,2\n", ":2: valid_rec is 'x', not a number"),
    ],
)
def test_bad_histories_are_one_clear_line(run: str, text: str, complaint: str) -> None:
    CellPaths("tiny", "bbe", "embed", 2).history.write_text(text, encoding="utf-8")
    with pytest.raises(BenchError, match=r"embed/seed2/history\.csv") as error:
        render(suites.load(run), "curves", Path("a.png"))
    assert complaint in str(error.value)


def test_a_missing_history_is_named(run: str) -> None:
    CellPaths("tiny", "bbe", "embed", 2).history.unlink()
    with pytest.raises(BenchError, match=r"embed/seed2/history\.csv: No such file"):
        render(suites.load(run), "curves", Path("a.png"))


# A training by epochs, which ends with the weights that it keeps --------------------------------------------------

CYCLES = """stage,step,beta,train_rec,train_kl,valid_rec,valid_kl
,0,0.0,,,200,0.0
,10,0.5,140,1.5,120,0.5
,20,1.0,120,0.1,110,0.02
,30,0.5,112,3.8,105,1.1
,30,0.5,,,110,0.02
"""
STAGES = """stage,step,beta,train_rec,train_kl,valid_rec,valid_kl
codes,0,0.1,,,200,
codes,10,5.0,140,,120,
codes,10,5.0,,,118,
prior,10,1.0,,,118,90
prior,20,1.0,,50,118,40
prior,20,1.0,,,118,39
"""


def written(text: str, folder: Path) -> Curve:
    (folder / "history.csv").write_text(text, encoding="utf-8")
    return read_history(folder / "history.csv")


def test_kept_weights_are_no_step_of_training(tmp_path: Path) -> None:
    curve = written(CYCLES, tmp_path)
    assert figures.points(curve, "valid_kl") == [(0, 0.0), (10, 0.5), (20, 0.02), (30, 1.1)]
    assert figures.of_kept_weights(curve, "valid_kl") == [(30, 0.02)]


def test_a_stage_begins_at_the_step_where_the_last_one_ended(tmp_path: Path) -> None:
    """Its first row is of that step too, and yet of no kept weights."""
    curve = written(STAGES, tmp_path)
    assert [kl for _, kl in figures.points(curve, "valid_kl") if math.isfinite(kl)] == [90, 40]
    assert figures.of_kept_weights(curve, "valid_rec") == [(10, 118), (20, 118)]


def test_beta_falls_to_0_where_a_cycle_begins(tmp_path: Path) -> None:
    curve = written(CYCLES, tmp_path)
    assert figures.beta_points(curve) == [(0, 0.0), (10, 0.5), (20, 1.0), (20, 0.0), (30, 0.5)]
    assert figures.beta_points(written(STAGES, tmp_path)) == [(0, 0.1), (10, 5.0), (10, 1.0), (20, 1.0)], (
        "a stage is no cycle"
    )


def test_what_is_drawn_of_cycles_and_of_kept_weights(tmp_path: Path) -> None:
    from matplotlib import pyplot

    figure = draw([Panel("ptb", "lstm-vae+cyclic", {1: written(CYCLES, tmp_path)})])
    rec, kl, beta = figure.axes
    for axes, ends, kept in ((rec, 105, 110), (kl, 1.1, 0.02)):
        _, valid, marks = axes.lines
        assert (valid.get_xdata()[-1], valid.get_ydata()[-1]) == (30, ends)
        assert (list(marks.get_xdata()), list(marks.get_ydata()), marks.get_marker()) == ([30], [kept], "o")
    (shade,) = beta.collections
    corners = [(float(x), float(y)) for x, y in shade.get_paths()[0].vertices]
    assert (20, 1) in corners and corners.count((20, 0)) == 3, "its floor on either side, and the fall"
    assert [text.get_text() for text in figure.legends[0].get_texts()][-1] == figures.KEPT_LABEL
    pyplot.close(figure)


def test_a_scale_of_rec_has_a_tick_near_its_top(tmp_path: Path) -> None:
    from matplotlib import pyplot

    figure = draw([Panel("bbe", "embed", {1: written(CYCLES.replace(",200,", ",254,"), tmp_path)})])
    assert list(figure.axes[0].get_yticks()) == [100, 150, 200, 250]
    pyplot.close(figure)


def test_no_kept_weights_are_told_of_where_there_are_none(run: str) -> None:
    from matplotlib import pyplot

    figure = draw(read_panels(suites.load(run), "curves"))
    assert figures.KEPT_LABEL not in [text.get_text() for text in figure.legends[0].get_texts()]
    pyplot.close(figure)


@pytest.mark.parametrize(
    ("largest", "ticks"),
    [
        (0.02, [0, 0.1, 1]),
        (1.0, [0, 0.1, 1]),
        (2.9, [0, 0.1, 1, 3]),
        (3.8, [0, 0.1, 1, 10]),
        (136.0, [0, 0.1, 1, 10, 100, 300]),
        (700.0, [0, 0.1, 10, 1000]),
        (5000.0, [0, 1, 100, 10000]),
    ],
)
def test_a_scale_of_kl_ends_with_a_tick(largest: float, ticks: list[float]) -> None:
    from matplotlib import pyplot

    figure, axes = pyplot.subplots()
    figures.scale_kl(axes, [0.0, largest])
    assert list(axes.get_yticks()) == pytest.approx(ticks)
    assert axes.get_ylim() == pytest.approx((0, ticks[-1]))
    pyplot.close(figure)

"""Learning curves: what is drawn, not how it looks."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from bench import suite as suites
from bench.errors import BenchError
from bench.paths import CellPaths
from bench.report.figures import TRAIN, VALID, draw, read_panels, render


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
    assert colours.count(TRAIN) == colours.count(VALID) == 2
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

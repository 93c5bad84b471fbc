"""The front, what is a point and what is not, and what is drawn."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench import suite as suites
from bench.freeze import freeze, load_release
from bench.report.compare.pairs import read_pairs
from bench.report.compare.pareto import FRONT, Panel, Point, Range, draw, front, notes, read_panels, readings
from bench.report.figures import save
from bench.report.layout import shown_columns
from bench.report.model import Column
from tests import fake_run

numbers = st.integers(0, 4) | st.floats(-10, 10)


@given(st.lists(st.tuples(numbers, numbers), max_size=9))
def test_the_front_is_what_none_dominates(points: list[tuple[float, float]]) -> None:
    def beaten(i: int) -> bool:
        (x, y), others = points[i], points
        return any(a >= x and b >= y and (a > x or b > y) for a, b in others)

    found = front(points)
    assert sorted(found) == [i for i in range(len(points)) if not beaten(i)]
    assert [points[i][0] for i in found] == sorted((points[i][0] for i in found), reverse=True)


def panels_of(suite_path: str, uses: tuple[str, ...] = (), without: tuple[str, ...] = ()) -> list[Panel]:
    suite, release = suites.load(suite_path, uses), load_release("r1")
    release = replace(release, cells={at: cell for at, cell in release.cells.items() if at.method not in without})
    pairs = read_pairs(suite, [name for name, _ in map(suites.named_spec, uses)], [release])
    columns = shown_columns({key for pair in pairs for record in pair.records for key in record.values})
    return read_panels(pairs, suite, [release], columns)


def test_points_are_all_methods_and_human_text(mine: tuple[str, tuple[str, ...]]) -> None:
    panel = panels_of(*mine)[0]
    assert [(point.name, point.kind) for point in panel.points] == [
        ("gpt2", "frozen"), ("embed", "frozen"), ("della", "frozen"), ("della@paper", "frozen"), ("human", "human"),
        ("mine (new)", "new"),
    ]  # fmt: skip
    gpt2 = panel.points[0]
    assert (gpt2.x.low, gpt2.x.high) == pytest.approx((64 / 3, 65 / 3)), "of seeds 1 and 2"
    assert gpt2.y.mean == pytest.approx(64.5 / 2) and panel.quality.key == "bleu4"
    assert (panel.missing, panel.refused) == ((), ())


def test_what_was_not_measured_is_said(mine: tuple[str, tuple[str, ...]]) -> None:
    panels = panels_of(*mine)
    assert [(p.dataset, p.quality.key, len(p.models)) for p in panels] == [
        ("bbe", "bleu4", 5), ("bbe", "mauve", 0), ("sotu", "bleu4", 5), ("sotu", "mauve", 0)
    ]  # fmt: skip
    assert "no model has MAUVE" in words(panels[1]) and "frozen methods not shown: see the notes" in words(panels[1])
    (note,) = notes(panels)
    assert note.term == "bbe, MAUVE and sotu, MAUVE" and note.text.startswith(
        "not measured, or no finite number: gpt2, embed, della"
    )
    assert note.text.endswith("human, mine (new)") and len(readings(panels)) == 2


def test_a_release_without_human_text_is_said(mine: tuple[str, tuple[str, ...]]) -> None:
    panel = panels_of(*mine, without=("human",))[0]
    assert panel.missing == ("human",) and len(panel.models) == len(panel.points) == 5
    assert "1 not shown: see the notes" in words(panel) and "human" not in readings([panel])[0]


def words(panel: Panel) -> str:
    from matplotlib import pyplot

    figure = draw([panel])
    (axes,) = figure.axes
    found = [axes.get_title(loc="left"), axes.get_xlabel(), axes.get_ylabel(), *(t.get_text() for t in axes.texts)]
    pyplot.close(figure)
    return " ".join(" ".join(found).split())


def test_texts_decoded_otherwise_are_not_shown(run: str, tmp_path: Path) -> None:
    freeze(run, "r1")
    other = tmp_path / "other.yaml"
    text = fake_run.YAML.replace("{samples: 250}", "{samples: 250, decoding: {strategy: greedy}}")
    other.write_text(text, encoding="utf-8")
    panel = panels_of(str(other))[0]
    assert {point.kind for point in panel.points} == {"frozen", "human"}
    assert "della (new): the texts were decoded by greedy()" in " ".join(panel.refused)
    assert "4 not shown: see the notes" in words(panel)


def panel(*points: tuple[str, float, float]) -> Panel:
    """Names, Self-BLEU and BLEU; one seed each."""
    kinds = {"human": "human", "mine (new)": "new"}
    made = (Point(n, kinds.get(n, "frozen"), Range(x, x, x), Range(y, y, y)) for n, x, y in points)
    return Panel("bbe", Column("bleu4", "BLEU-4"), tuple(made), (), ())


@pytest.mark.parametrize(
    ("human", "said"),
    [
        ((9.0, 40.0), "human text (40.00 at Self-BLEU-4 9.00) dominates all of them"),
        ((15.0, 12.0), "human text (12.00 at Self-BLEU-4 15.00) dominates 1 of them"),
        ((25.0, 9.0), "human text (9.00 at Self-BLEU-4 25.00) is dominated by 3 of them"),
    ],
)
def test_human_text_is_read_beside_the_front_and_no_part_of_it(human: tuple[float, float], said: str) -> None:
    made = panel(("a", 20.0, 15.0), ("b", 10.0, 10.0), ("mine (new)", 18.0, 11.0), ("human", *human))
    assert [point.name for point in made.front] == ["b", "mine (new)", "a"]
    (sentence,) = readings([made])
    assert sentence == f"bbe, BLEU-4 against Self-BLEU-4: the front of 3 models is b, mine (new), a; {said}."


def test_the_drawing_has_the_front_and_every_name_apart() -> None:
    from matplotlib import pyplot

    made = panel(("a", 20.0, 15.0), ("b", 10.0, 10.0), ("c", 20.0, 14.9), ("mine (new)", 18.0, 11.0),
                 ("human", 5.0, 99.0))  # fmt: skip
    figure = draw([made])
    (axes,) = figure.axes
    left, right = axes.get_xlim()
    assert left > right, "more diverse to the right"
    (step,) = [line for line in axes.get_lines() if line.get_color() == FRONT]
    corners = list(zip(*step.get_data(), strict=True))
    assert corners[1:-1] == [(10, 10), (18, 10), (18, 11), (20, 11), (20, 15)] and corners[-1] == (left, 15)
    assert axes.get_ylim()[1] < 99, "the models decide what the panel spans"
    marks = {line.get_marker(): line.get_data() for line in axes.get_lines() if line.get_marker() != "None"}
    assert {"o", "*", "D"} == set(marks)
    assert (float(marks["D"][0][0]), float(marks["D"][1][0])) == (right, axes.get_ylim()[1])
    figure.canvas.draw()
    assert {text.get_text() for text in axes.texts} == {"a", "b", "c", "mine (new)", "human, outside"}
    boxes = [text.get_bbox_patch().get_window_extent() for text in axes.texts]
    assert not any(a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[:i])
    pyplot.close(figure)


def test_files_are_the_same_every_time(mine: tuple[str, tuple[str, ...]]) -> None:
    panels = panels_of(*mine)
    for name in ("a.svg", "b.svg"):
        save(lambda: draw(panels), Path(name))
    for form in ("png", "svg"):
        assert Path(f"a.{form}").read_bytes() == Path(f"b.{form}").read_bytes()
    assert "mine (new)" in Path("a.svg").read_text(encoding="utf-8")

"""``reports/compare.*``: a method's records beside the rows of frozen releases, nothing of which is trained again."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from markupsafe import Markup

from bench import suite as suites
from bench.errors import BenchError
from bench.files import atomic
from bench.freeze import Release
from bench.report import figures
from bench.report.compare import pareto, verdicts
from bench.report.compare.cautions import provenance
from bench.report.compare.difference import Side
from bench.report.compare.pairs import Compared, Comparison, Pair, compare_quantity, load_releases, read_pairs
from bench.report.compare.row import rows
from bench.report.layout import shown_columns
from bench.report.model import (
    MISSING,
    Cell,
    Column,
    Figure,
    Footnotes,
    Listing,
    Report,
    Row,
    RowGroup,
    Table,
    number,
    signed,
)
from bench.report.model import NOT_COMPARABLE as NC
from bench.report.notes import note_groups
from bench.report.papers.findings import these
from bench.report.render import write
from bench.report.svg import inline
from bench.schema import Suite

FORMATS = ("md", "csv", "html")
COLUMNS = (
    Column("frozen", "frozen"),
    Column("new", "new"),
    Column("difference", "new - frozen"),
    Column("interval", "95 % interval"),
    Column("p", "p (Holm)"),
    Column("verdict", "verdict", align="left"),
    Column("how", "how", align="left"),
)
HEADER = (
    "dataset", "new_method", "frozen_method", "quantity", "new", "new_half_width", "new_n_seeds", "frozen",
    "frozen_half_width", "frozen_n_seeds", "difference", "low", "high", "how", "p", "p_holm", "verdict",
    "not_comparable", "new_signature", "frozen_signature",
)  # fmt: skip


def compare(suite_path: str, uses: tuple[str, ...], names: Sequence[str], out: Path, root: Path = Path()) -> None:
    """Write the methods of ``uses``, or of the suite, beside the releases of these names.

    Beside ``out``, which may name any of them: .md, .csv and .html, .tex with rows to paste, -pareto.svg and .png.
    """
    suite, releases = suites.load(suite_path, uses), load_releases(names, root)
    pairs = read_pairs(suite, [name for name, _ in map(suites.named_spec, uses)], releases, root)
    if not pairs:
        raise BenchError(f"release '{', '.join(names)}' has no dataset of suite '{suite.name}': nothing to compare")
    columns = shown_columns({key for pair in pairs for record in pair.records for key in record.values})
    panels = pareto.read_panels(pairs, suite, releases, columns)
    image, row = out.with_name(f"{out.stem}-pareto.svg"), rows(pairs, these(release.name for release in releases))
    report = build(suite, releases, pairs, columns, panels, _figure(panels, image.name), _listing(row))
    figures.save(lambda: pareto.draw(panels), image)
    with atomic(out.with_suffix(".tex")) as stream:
        stream.write(row)
    write(report, out, FORMATS)


def build(
    suite: Suite, releases: Sequence[Release], pairs: Sequence[Pair], columns: Sequence[Column],
    panels: Sequence[pareto.Panel], figure: Figure, row: Listing,
) -> Report:  # fmt: skip
    """The whole report."""
    comparisons = verdicts.decide([
        Comparison(pair, {column.key: compare_quantity(column.key, pair, suite) for column in columns})
        for pair in pairs
    ])  # fmt: skip
    of = {column.key: column for column in columns}
    kind, them = ("release", "it") if len(releases) == 1 else ("releases", "them")
    return Report(
        title=f"Suite {suite.name} beside the frozen {kind} {these(release.name for release in releases)}",
        lead=f"Frozen rows are read from the {kind}; nothing of {them} was trained or measured again.",
        tables=(verdicts.summary(comparisons, of), _differences(comparisons, columns)),
        notes=(
            *note_groups(
                **{
                    "What counts": verdicts.notes(comparisons, of),
                    "Not shown in the plots of quality against diversity": pareto.notes(panels),
                }
            ),
            *provenance(suite, releases, pairs),
        ),
        tidy_header=HEADER,
        tidy_rows=tuple(
            _tidy(comparison.pair, found)
            for comparison in comparisons
            for found in comparison.found.values()
            if found.new or found.frozen
        ),
        figures=(figure,),
        listings=(row,),
    )


def _differences(comparisons: Sequence[Comparison], columns: Sequence[Column]) -> Table:
    footnotes, groups = Footnotes(), []
    for comparison in comparisons:
        pair = comparison.pair
        rows = (_row(column, comparison.found[column.key], footnotes) for column in columns)
        listed = tuple(row for row in rows if row)
        groups.append(RowGroup(f"{pair.dataset}: {pair.new.name} against frozen {pair.frozen.name}", listed))
    return Table(
        name="differences",
        title="Differences",
        caption=(
            "Of what both sides have; the csv has the rest. ± is half the 95 % t interval over seeds. Intervals of "
            "differences, each for itself: paired, bootstrap over the test examples that both sides share, about these "
            "trained models; Welch, t over seeds; combined, from the two bootstrap intervals over examples as if "
            "independent. p: two-sided, corrected (Holm), of what counts; the verdict is the new method's. n/c: not "
            "comparable, see the footnote; -: no interval."
        ),
        stub="Metric",
        columns=COLUMNS,
        groups=tuple(groups),
        footnotes=footnotes.listed(),
    )


def _figure(panels: Sequence[pareto.Panel], file: str) -> Figure:
    return Figure(
        name="pareto",
        title="Quality against diversity",
        caption=(
            "Up and to the right is better. Circle: frozen; star: new; diamond: human text, which is no model and "
            "takes no part in the front. The line is the border of what the models of the front dominate: at least as "
            "good in both, better in one. Points are means over seeds, bars reach from the lowest seed to the highest; "
            "whether two points differ by more than chance, the verdicts say."
        ),
        panels=tuple(_panel(panel, f"p{i}-") for i, panel in enumerate(panels)),
        file=file,
        findings=tuple(pareto.readings(panels)),
    )


def _panel(panel: pareto.Panel, prefix: str) -> Markup:
    drawn = figures.drawn(partial(pareto.draw, [panel]), ("svg",))["svg"].decode()
    return inline(drawn, prefix, panel.dataset, f"{panel.quality.label} against {pareto.SELF_BLEU}")


def _listing(row: str) -> Listing:
    return Listing("row", "A row to paste", "LaTeX, in the columns of reports/table1.tex; also in compare.tex.", row)


def _row(column: Column, found: Compared, footnotes: Footnotes) -> Row | None:
    """None where one side alone has the quantity."""
    if found.new is None or found.frozen is None:
        return None
    digits, made = column.digits, found.difference
    new, frozen = _value(found.new, digits), _value(found.frozen, digits)
    if made is None:
        refused = Cell(NC, marks=(footnotes.mark(f"not comparable: {found.problem}"),))
        return Row(column.head, (refused, new, refused, Cell(), Cell(""), Cell(""), Cell("")))
    shown = Cell(signed(made.value, digits), made.value)
    ends = [signed(end, digits) for end in made.interval or ()]
    interval = f"[{', '.join(ends)}]" if ends else MISSING
    p = "" if found.p is None else "<0.001" if found.p < 0.001 else f"{found.p:.3f}"
    verdict = Cell(found.verdict, emphasis="best" if found.verdict == "win" else "")
    return Row(column.head, (frozen, new, shown, Cell(interval), Cell(p), verdict, Cell(made.how)))


def _value(side: Side, digits: int) -> Cell:
    estimate = side.measured.estimate
    spread = "" if estimate.half_width is None else number(estimate.half_width, digits)
    return Cell(number(estimate.mean, digits), estimate.mean, spread)


def _tidy(pair: Pair, found: Compared) -> tuple[str, ...]:
    def numbers(side: Side | None) -> tuple[str, str, str]:
        if side is None:
            return "", "", ""
        e = side.measured.estimate
        return repr(e.mean), "" if e.half_width is None else repr(e.half_width), str(e.n)

    made = found.difference
    ends = tuple(map(repr, made.interval)) if made and made.interval else ("", "")
    signed = [side.measured.signature if side else "" for side in (found.new, found.frozen)]
    return (
        pair.dataset, pair.new.name, pair.frozen.name, found.key, *numbers(found.new), *numbers(found.frozen),
        repr(made.value) if made else "", *ends, made.how if made else "",
        *("" if p is None else repr(p) for p in (made and made.p, found.p)), found.verdict, found.problem, *signed,
    )  # fmt: skip

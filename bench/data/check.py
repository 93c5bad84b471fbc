"""Where each dataset and pretrained model of a suite comes from, whether its files are here, and are the papers'."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from bench import suite as suites
from bench.data import hub, known, papers
from bench.data.base import SPLITS, Source
from bench.data.prepare import read_source
from bench.data.pretrained import cached, is_model, packaged
from bench.errors import BenchError
from bench.pretrained import about, source_of
from bench.schema import Dataset, Suite


@dataclass(frozen=True)
class Found:
    """What is known of one dataset; ``source`` is None where its files are not here, and ``missing`` says why."""

    name: str
    source: Source | None
    missing: str = ""

    @property
    def state(self) -> str:
        """``missing``, ``differs`` or ``agrees`` with what papers use; empty where no paper has the dataset."""
        if self.source is None:
            return "missing"
        if self.name not in known.KNOWN:
            return ""
        sizes = tuple(len(self.source.splits[part]) for part in SPLITS)
        differs = sizes != known.KNOWN[self.name].texts or any(map(_warns, self.source.verified))
        return "differs" if differs else "agrees"


def check(suite: Suite, strict: bool) -> None:
    """Print the table, and fetch nothing. Where ``strict``, what is missing or differs is an error in the end."""
    found = [find(name, part) for name, part in suite.datasets.items()]
    names = {name for cell in suites.cells(suite) for name in suites.pretrained_of(suite, cell.dataset, cell.method)}
    models = [find_model(suite, name) for name in sorted(names)]
    show(suite, found, models)
    wrong = [f"{one.name} {one.state}" for one in found if one.state in ("missing", "differs")]
    wrong += [f"{one.name} missing" for one in models if not one.here]
    if strict and wrong:
        raise BenchError(
            f"suite '{suite.name}': {len(wrong)} of {len(found) + len(models)} datasets and models: {', '.join(wrong)}"
        )


def find(name: str, part: Dataset) -> Found:
    """Read one dataset as the data stage would, from what is here."""
    if not part.data_dir and name in papers.HUBS and name not in papers.BY_HAND and not hub.cached(papers.HUBS[name]):
        return Found(name, None, "not fetched yet: the data stage does")
    try:
        return Found(name, read_source(name, part))
    except (BenchError, ImportError) as error:  # the package of an embedded dataset may not be installed
        return Found(name, None, str(error))


@dataclass(frozen=True)
class Model:
    """What is known of one pretrained model."""

    name: str
    kind: str
    place: str
    here: bool
    licence: str


def find_model(suite: Suite, name: str) -> Model:
    """Where one pretrained model comes from, and whether it is there."""
    kind, model_dir, known = source_of(suite, name)
    licence = about(suite, name)["licence"]
    if known is None:
        return Model(name, kind, model_dir, is_model(Path(model_dir).expanduser()), licence)
    if known.package:
        return Model(name, kind, "package", packaged(known) is not None, licence)
    place = f"{known.repository}@{known.revision[:7]}"
    return Model(name, kind, place, cached(known) is not None, licence)


def show(suite: Suite, found: list[Found], models: list[Model]) -> None:
    """One row a dataset and the lines that say more, then one row a pretrained model."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(highlight=False, soft_wrap=True, width=1000)  # a row is a line, however long

    def print_table(heads: Collection[str], rows: Iterable[Collection[str]]) -> None:
        table = Table(box=None, pad_edge=False, header_style="bold")
        for head in heads:
            table.add_column(head, no_wrap=True)
        for row in rows:
            table.add_row(*map(Text, row))
        console.print(table)

    heads = ("dataset", "from", "train / valid / test", "papers", "", "licence")
    print_table(heads, (_row(one, suite.datasets[one.name]) for one in found))
    for line in (line for one in found for line in _lines(one)):
        console.print(Text(line))
    if models:
        print_table(("model", "kind", "from", "", "licence"), map(_model_row, models))


def _row(one: Found, part: Dataset) -> list[str]:
    sizes = [len(one.source.splits[key]) for key in SPLITS] if one.source else []
    papers_have = known.KNOWN[one.name].texts if one.name in known.KNOWN else ()
    licence = papers.LICENCES.get(one.name) or (one.source.licence if one.source else "")
    return [one.name, _place(one, part), _sizes(sizes), _sizes(papers_have), one.state, licence]


def _model_row(model: Model) -> list[str]:
    return [model.name, model.kind, model.place, "" if model.here else "missing", model.licence]


def _place(one: Found, part: Dataset) -> str:
    if part.data_dir:
        return part.data_dir
    if one.name in papers.BY_HAND:
        return "by hand"
    if one.name in papers.HUBS:
        return papers.HUBS[one.name].short
    return "package"


def _sizes(sizes: Collection[int]) -> str:
    return " / ".join(f"{size:,}" for size in sizes) or "-"


def _lines(one: Found) -> Iterator[str]:
    if one.source is None:
        yield f"{one.name}: {one.missing}"
    else:
        yield from (f"{one.name}: {said}" for said in (*one.source.verified, *one.source.notes))


def _warns(said: str) -> bool:
    return said.startswith("warning: ")

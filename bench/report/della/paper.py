"""The tables of the DELLA paper (Hu et al. 2022): their columns, their rows' names, and what they print."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from bench.report.blocks import Section, body, printed_cell, without_empty
from bench.report.collect import quantity
from bench.report.layout import DIVERSITY, MAIN, QUALITY, REPRESENTATION
from bench.report.model import Cell, Column, Footnotes, Table
from bench.report.published import PRINTED_TIMES, Printed, Published

MODELS = {
    "gpt2": "GPT-2", "bart": "BART", "optimus": "Optimus", "embed": "Embed", "memory": "Memory", "softmax": "Softmax",
    "della": "DELLA", "della-ltp": "-LTP", "della-lw": "-LW", "della-separate": "Separate",
    "della-kl-first": "l = 1 KL", "della-kl-last": "l = L KL",
}  # fmt: skip
PRINTED_MODELS = {"bart": "Bart-base", "della-kl-last": "l = 12 KL"}  # where the paper's own size is in the name
TRICKS = {  # Table 5; the paper's first row of each model, under the model's bare name, has none
    "none": "none",
    "bow": "+BOW",
    "": "+Annealing",
    "annealing+bow": "+Annealing + BOW",
    "annealing+bn": "+Annealing + BN",
}
MEDIUM = "medium"
DATASETS = {
    "yelp": "Yelp", "yahoo": "Yahoo", "ptb": "PTB", "snli": "SNLI",
    "writingprompts": "WritingPrompts", "cnn_dailymail": "CNN/DM", "quora": "Quora",
}  # fmt: skip


@dataclass(frozen=True)
class PaperColumn:
    """One column of the paper and the quantities of ours in its place."""

    metric: str  # as results/published names it
    label: str  # as printed
    group: str
    digits: int
    ours: tuple[str, ...]


def _columns(group: str, *columns: tuple[str, str, int, tuple[str, ...]]) -> tuple[PaperColumn, ...]:
    return tuple(PaperColumn(metric, label, group, digits, ours) for metric, label, digits, ours in columns)


_LIKELIHOOD = (
    ("ppl", "PPL", 2, ("ppl",)),
    ("nelbo", "ELBO", 2, ("nelbo",)),
    ("kl", "KL", 2, ("kl",)),
    ("mi", "MI", 2, ("mi",)),
    ("au_0.2", "AU", 1, ("au_0.2",)),
)
_DIVERSITY = (
    ("self_bleu", "SB", 2, ("self_bleu4",)),
    ("dist", "Dist", 2, ("dist2",)),
    ("js", "JS", 2, ("js",)),
)
_PAIRS = (
    ("bleu", "BLEU", 2, ("cbleu1", "sacrebleu")),
    ("rouge1", "Rouge-1", 2, ("rouge1",)),
    ("rouge2", "Rouge-2", 2, ("rouge2",)),
    ("rougeL", "Rouge-L", 2, ("rougeL",)),
    ("bertscore", "BERTScore", 2, ("bertscore_f1",)),
)
_QUALITY = (
    ("bleu", "BLEU", 2, ("bleu4",)),
    ("cnd", "CND", 2, ("cnd",)),
    ("mauve", "MAUVE", 3, ("mauve",)),
)
UNCONDITIONAL = (
    *_columns(REPRESENTATION, *_LIKELIHOOD),
    *_columns(QUALITY, *_QUALITY),
    *_columns(DIVERSITY, *_DIVERSITY),
)
LIKELIHOOD = _columns("", *_LIKELIHOOD)
CONDITIONAL = (
    *_columns(QUALITY, *_PAIRS),
    *_columns(DIVERSITY, *_DIVERSITY),
    *_columns(REPRESENTATION, ("kl", "KL", 2, ("kl",)), ("au_0.2", "AU", 1, ("au_0.2",))),
)
PARAPHRASING = _columns("", *_PAIRS, ("kl", "KL", 2, ("kl",)))

_GPT2 = "pretrained GPT-2, DELLA decoded by beam search and the others by top-k sampling (A.1)"
_BART = "pretrained BART-base, all decoded by beam search (A.1)"


@dataclass(frozen=True)
class PaperTable:
    """One table. ``setting`` is what its numbers were made with, ``rows`` says what its rows' names mean."""

    number: str
    title: str
    columns: tuple[PaperColumn, ...]
    setting: str
    rows: str = ""

    @property
    def ours(self) -> tuple[Column, ...]:
        """The columns of what this suite measures."""
        labels = {key: label for key, _, _, label in MAIN}
        return tuple(
            Column(
                key, labels.get(key) or quantity(key).label, column.group, quantity(key).direction, column.digits,
                scale=PRINTED_TIMES.get(key, 1),
            )
            for column in self.columns
            for key in column.ours
        )  # fmt: skip

    @property
    def quantities(self) -> set[str]:
        """What this suite measures of it."""
        return {key for column in self.columns for key in column.ours}


_ABLATIONS = (
    "-LTP: latent variables are an extra key and value of their layer in place of the low-rank tensor product. -LW: "
    "one latent variable for all layers. Separate: the layers' latent variables do not depend on each other. l = 1, "
    "l = L KL: the loss has the KL of the first or the last layer alone; the KL shown is of all, and so of priors that "
    "nothing trained. (N): a baseline with "
    "N latent dimensions."
)
_TRICKS = (
    "none: the whole KL from the first step. +BOW: with a bag-of-words loss. +Annealing: cyclical annealing, which the "
    "methods have by default. BN: posterior means are normalised over the batch."
)
_OPTIMUS = "Optimus' rows are copied from Li et al. 2020"
TABLES = {
    table.number: table
    for table in (
        PaperTable("1", "language modelling and unconditional generation", UNCONDITIONAL,
                   f"Yelp and Yahoo, {_GPT2}; {_OPTIMUS}"),
        PaperTable("2", "conditional generation", CONDITIONAL,
                   f"WritingPrompts: {_GPT2}; CNN/DM: {_BART}"),
        PaperTable("4", "ablations", LIKELIHOOD, "Yelp, pretrained GPT-2", _ABLATIONS),
        PaperTable("5", "training tricks and a larger backbone", LIKELIHOOD,
                   "Yelp, pretrained GPT-2 and GPT-2 medium", _TRICKS),
        PaperTable("8", "language modelling and unconditional generation, further datasets", UNCONDITIONAL,
                   f"PTB and SNLI, {_GPT2}; {_OPTIMUS}"),
        PaperTable("9", "paraphrasing", PARAPHRASING, f"Quora, {_BART}"),
    )
}  # fmt: skip


def row_label(method: str, printed: bool = False) -> str:
    """The paper's name of a method, as far as it has one; an unknown one keeps its own.

    >>> [row_label(name) for name in ("gpt2", "della-ltp", "embed-96", "embed+bow", "della@paper")]
    ['GPT-2', '-LTP', 'Embed(96)', 'Embed +BOW', 'della@paper']
    """
    model, plus, tricks = method.partition("+")
    narrow, _, dimensions = model.rpartition("-")
    label = MODELS.get(model, model)
    if narrow in MODELS and dimensions.isdigit():
        label = f"{MODELS[narrow]}({dimensions})"
    if printed:
        label = PRINTED_MODELS.get(model, label)
    return f"{label} {TRICKS.get(tricks, plus + tricks)}" if plus else label


def trick_label(method: str) -> str:
    """The name of a row of Table 5 inside its model's group; the model's own where there is nothing to trick."""
    model, plus, tricks = method.partition("+")
    if not plus and model in ("gpt2", "bart"):
        return row_label(model)
    return TRICKS.get(tricks, plus + tricks)


def named(label: str, method: str) -> str:
    """A label with the method's own name where that is not plain from it.

    >>> named("GPT-2", "gpt2"), named("+BOW", "embed+bow")
    ('GPT-2', '+BOW (embed+bow)')
    """

    def bare(text: str) -> str:
        return re.sub(r"[^a-z0-9]", "", text.lower())

    return label if bare(label) == bare(method) else f"{label} ({method})"


def as_printed(row: Printed, footnotes: Footnotes) -> Cell:
    """A printed number in the paper's own writing where the note has it: ``100k`` of "printed as 100k; ...".

    >>> as_printed(Printed("della", "7", "quora", "data", "length", "10", "printed as T: 10"), Footnotes()).text
    '10'
    """
    found = re.fullmatch(r"printed as (?:[ST]: )?([^;]+)(?:; (.*))?", row.note)
    text, note = (found[1], found[2]) if found else (row.text, row.note)
    return Cell(text, row.value, marks=(footnotes.mark(note),) if note else ())


def printed_table(published: Published, paper: PaperTable) -> Table:
    """The table as the paper prints it, with what is known to be wrong with it in footnotes."""
    rows = published.table("della", paper.number)
    at = {(row.dataset, row.method, row.metric): row for row in rows}
    footnotes = Footnotes()

    def cells_of(column: Column, dataset: str, methods: Sequence[str]) -> dict[str, Cell]:
        return {method: printed_cell(at.get((dataset, method, column.key)), footnotes, about="") for method in methods}

    columns = tuple(
        Column(column.metric, column.label, column.group, quantity(column.ours[0]).direction)
        for column in paper.columns
    )
    methods: dict[str, list[str]] = {}
    for row in rows:
        methods.setdefault(row.dataset, [])
        methods[row.dataset] += [row.method] if row.method not in methods[row.dataset] else []
    sections = [section for dataset in methods for section in _printed_sections(paper, dataset, methods[dataset])]
    return without_empty(Table(
        name=f"della-table{paper.number}-printed",
        title=f"As the paper prints it: DELLA, Table {paper.number}",
        caption=(
            f"Printed by Hu et al. 2022, Table {paper.number}, not measured here: {paper.setting}. The paper's own "
            "data, splits, tokenizer and arithmetic, one run; not to be compared with the tables above. Arrows: "
            "which way is better by this suite's definitions. -: not printed."
        ),
        stub="Model",
        columns=columns,
        groups=body(sections, columns, cells_of),
        footnotes=footnotes.listed(),
    ))  # fmt: skip


def _printed_sections(paper: PaperTable, dataset: str, methods: list[str]) -> list[Section]:
    name = DATASETS.get(dataset, dataset)
    if paper.number != "5":
        return [Section(name, dataset, {method: row_label(method, printed=True) for method in methods})]
    groups: dict[str, dict[str, str]] = {}
    for method in methods:
        model, _, tricks = method.partition("+")
        if tricks == MEDIUM:
            groups.setdefault("GPT-2 medium (24 layers)", {})[method] = row_label(model)
        else:
            groups.setdefault(row_label(model), {})[method] = trick_label(method)
    return [Section(f"{name}: {label}", dataset, found) for label, found in groups.items()]

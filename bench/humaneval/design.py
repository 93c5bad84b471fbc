"""What annotators are asked, and who is given what: balanced, shuffled and blinded.

An item is one sample of every method: of a conditional dataset for the same source, of another the i-th each. An item
is scored as a whole by ``ratings`` annotators, whose shares differ by one item at most; each annotator has items, and
the samples within them, in an order of their own, under codes that say nothing.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bench.errors import BenchError

SCALE = (1, 5)  # worst, best
QUESTIONS = {
    "fluency": "Is the text grammatical and does it read naturally?",
    "coherence": "Is the text well organised, and does it fit what it was written for?",
    "novelty": "Is what the text says new and interesting?",
    "informativeness": "Does the text give the main points of the source?",
    "consistency": "Is the text in agreement with the source and with itself?",
}
CRITERIA = {  # DELLA, A.4; TRACE, A.2
    "story": ("fluency", "coherence", "novelty"),
    "summary": ("informativeness", "consistency", "novelty"),
}
WARNINGS = (  # after DELLA, A.4
    "These texts were written by programs. Some may be offensive or untrue. Please keep that in mind and judge all of "
    "them by the same standards.",
    "Your scores are used for research alone, and never commercially.",
)


@dataclass(frozen=True)
class Sample:
    """One text to be judged: of which item and method it is, under which code an annotator sees it."""

    code: str
    item: int
    method: str
    source: str
    text: str


@dataclass(frozen=True)
class Design:
    """The samples, and for each annotator items in order, each with the codes of its samples in order."""

    samples: Mapping[str, Sample]
    sheets: Sequence[Sequence[Sequence[str]]]


def design(
    texts: Mapping[str, Sequence[str]],
    sources: Sequence[str] | None,
    items: int,
    annotators: int,
    ratings: int,
    seed: int,
) -> Design:
    """Texts by method, the i-th of each belonging together -> who scores what; all of it follows from ``seed``."""
    if not 1 <= ratings <= annotators:
        raise BenchError(f"{ratings} ratings of each text by {annotators} annotators: expected 1 to {annotators}")
    if len(texts) < 2:
        raise BenchError("a comparison needs two methods or more")
    there = min(map(len, texts.values()))
    if not 1 <= items <= there:
        raise BenchError(f"{items} items: every method has {there} texts")
    draw = random.Random(seed)
    chosen = draw.sample(range(there), items)
    codes = iter(draw.sample(range(100_000, 1_000_000), items * len(texts)))
    samples: dict[str, Sample] = {}
    of_item: dict[int, list[str]] = {}
    for item in chosen:
        for method in texts:
            code = f"t{next(codes)}"
            samples[code] = Sample(code, item, method, sources[item] if sources else "", texts[method][item])
            of_item.setdefault(item, []).append(code)
    sheets: list[list[list[str]]] = [[] for _ in range(annotators)]
    for index, item in enumerate(chosen):
        for turn in range(ratings):
            sheets[(index * ratings + turn) % annotators].append(draw.sample(of_item[item], len(texts)))
    for sheet in sheets:
        draw.shuffle(sheet)
    return Design(samples, sheets)

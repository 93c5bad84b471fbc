"""Where sentences begin, by NLTK's Punkt (Kiss and Strunk 2006; the toolkit of TRACE Sec. 5.2), without a download."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nltk.tokenize.punkt import PunktSentenceTokenizer
    from tokenizers import Tokenizer

# What Punkt finds when it is trained on the State of the Union addresses, which takes it a minute, with their like
# added and errors taken out. Initials need no entry.
ABBREVIATIONS = """
mr mrs ms messrs dr hon prof rev st jr sr esq gen col maj capt adm lt lieut sgt sen rep gov co inc ltd no nos vol sec
etc vs v viz i.e e.g p.m a.m a.d u.s u.n u.s.a u.s.s u.s.s.r d.c s.c n.y g.i stat fla ga ind kans mo nebr oreg pa tex
va jan feb aug sept oct nov dec
"""


def punkt() -> PunktSentenceTokenizer:
    """A Punkt tokenizer of English that knows :data:`ABBREVIATIONS`."""
    from nltk.tokenize.punkt import PunktParameters, PunktSentenceTokenizer

    parameters = PunktParameters()
    parameters.abbrev_types = set(ABBREVIATIONS.split())
    return PunktSentenceTokenizer(parameters)


def sentence_starts(texts: Sequence[str]) -> Iterator[list[int]]:
    """Of each text, the characters where its second and later sentences begin, rising."""
    tokenizer = punkt()
    for text in texts:
        yield [start for start, _ in tokenizer.span_tokenize(text)][1:]


def token_breaks(
    tokenizer: Tokenizer, texts: Sequence[str], starts: Sequence[Sequence[int]], max_tokens: int
) -> list[list[int]]:
    """The same in positions of ``BOS x EOS``, x cut so that the whole has at most ``max_tokens`` ids.

    A sentence begins with the first token that holds any of its characters but none of the one before: the space
    between them belongs to the token after it. One that the cut leaves nothing of has no position.
    """
    breaks: list[list[int]] = []
    for encoding, of_text in zip(tokenizer.encode_batch(list(texts), add_special_tokens=False), starts, strict=True):
        ends = [end for _, end in encoding.offsets[: max_tokens - 2]]
        at = 0
        found: list[int] = []
        for start in of_text:
            while at < len(ends) and ends[at] <= start:
                at += 1
            if 0 < at < len(ends) and at + 1 not in found[-1:]:
                found.append(at + 1)
        breaks.append(found)
    return breaks

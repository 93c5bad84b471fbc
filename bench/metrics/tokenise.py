"""Word tokenisation of the text metrics: ``tok:regex``, deterministic and without dependencies.

A token is, in this order of preference,

* a run of word characters (letters, digits, underscore in the Unicode sense), with inner apostrophes: ``don't``,
  ``n't``-style pieces of already tokenised corpora keep their apostrophe inside (``n't``);
* a bracketed symbol such as ``<unk>``: one token, since it stands for one word;
* any other single character that is not white space: punctuation, symbols, combining marks.

Case is kept and nothing is normalised: two texts that differ in bytes may differ in tokens. U+0000 counts as white
space. Scripts written without spaces (Chinese, Japanese, Thai) give one token a run: segment such texts beforehand.
"""

from __future__ import annotations

import re

TOKENISATION = "regex"  # as named in signatures: "tok:regex"

_find_tokens = re.compile(r"\w+(?:['’]\w+)*|<\w+>|[^\w\s\0]").findall


def tokenise(text: str) -> list[str]:
    """Tokens of one text, in order.

    >>> tokenise("Don't panic: the <unk> cost 3.50!")
    ["Don't", 'panic', ':', 'the', '<unk>', 'cost', '3', '.', '50', '!']
    >>> tokenise("  ")
    []
    """
    return _find_tokens(text)

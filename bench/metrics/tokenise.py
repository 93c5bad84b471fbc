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
from collections import defaultdict
from collections.abc import Sequence
from itertools import chain, count

import numpy as np
from numpy.typing import NDArray

TOKENISATION = "regex"  # as named in signatures: "tok:regex"
SEPARATOR_ID = 0  # of token_ids

Ints = NDArray[np.int32]
Keys = NDArray[np.uint64]

_find_tokens = re.compile(r"\w+(?:['’]\w+)*|<\w+>|[^\w\s\0]").findall
# Kinds of bytes: the end of a text; white space; marks, which are a token wherever they stand; parts of anything else.
_END, _SPACE, _MARK, _PART = range(4)


def _kind(byte: int) -> int:
    character = chr(byte)
    if byte == 0:
        return _END
    if byte > 127 or character.isalnum() or character in "_'<>":
        return _PART
    return _SPACE if character.isspace() else _MARK


_KINDS = bytes(map(_kind, range(256)))
_KEY_BYTES = 8
_FIRST_BYTES = np.array([(1 << 8 * n) - 1 for n in range(_KEY_BYTES + 1)], np.uint64)  # masks of the first n bytes
_BLOCK = 4096  # texts taken at a time: bounds the memory that their bytes take
_KEYS_AT_ONCE = 1 << 18  # bounds memory, and stays in cache
_MULTIPLIERS = [0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F, 0xD6E8FEB86659FD93, 0xA0761D6478BD642F]  # odd, bits well mixed


def tokenise(text: str) -> list[str]:
    """Tokens of one text, in order.

    >>> tokenise("Don't panic: the <unk> cost 3.50!")
    ["Don't", 'panic', ':', 'the', '<unk>', 'cost', '3', '.', '50', '!']
    >>> tokenise("  ")
    []
    """
    return _find_tokens(text)


def token_ids(texts: Sequence[str]) -> Ints:
    """The tokens of all texts [T] as ids >= 1, with the separator 0 before the first, between any two, after the last.

    Texts are cut into chunks at ASCII white space and marks, and only the distinct ones meet the regular expression.
    Chunks are told apart by their bytes, in numpy: a Python string for every token would take several times as long.

    >>> token_ids(["to be, or", "not", "", "to be"])  # to, be, the comma, or; not; nothing; to, be
    array([0, 4, 3, 5, 2, 0, 1, 0, 0, 4, 3, 0], dtype=int32)
    """
    long: defaultdict[bytes, int] = defaultdict(count(1).__next__)
    blocks = [_chunk_keys(texts[start : start + _BLOCK], long) for start in range(0, len(texts), _BLOCK)]
    ids, keys = dense_ids(np.concatenate([np.zeros(1, np.uint64), *blocks]))
    long_chunks = list(long)
    chunks = keys.astype("<u8").view(f"S{_KEY_BYTES}").tolist()
    for i in np.flatnonzero(keys & np.uint64(0xFF) == 0).tolist():
        chunks[i] = long_chunks[(int(keys[i]) >> 8) - 1]
    return _split_chunks(ids, chunks)


def _chunk_keys(texts: Sequence[str], long: defaultdict[bytes, int]) -> Keys:
    """A key > 0 for each chunk of the texts, and 0 after each text.

    A chunk of up to 8 bytes is its own key. The key of a longer one is its number in ``long``, moved one byte up: no
    chunk begins with the byte 0.
    """
    joined = "\0".join(texts)
    if joined.count("\0") >= len(texts):
        joined = "\0".join(text.replace("\0", " ") for text in texts)
    data = b"\0" + joined.encode("utf-8", "surrogatepass") + bytes(_KEY_BYTES)
    kinds = np.frombuffer(data.translate(_KINDS), np.uint8, len(data) - _KEY_BYTES + 1)
    bounds = np.flatnonzero(kinds != _PART)
    starts, sizes = bounds[:-1] + 1, np.diff(bounds) - 1
    # Bounds that are no white space are chunks themselves: a mark, or the end of a text, whose key is 0.
    own = np.flatnonzero(kinds[bounds] != _SPACE)
    starts, sizes = np.insert(starts, own, bounds[own])[1:], np.insert(sizes, own, 1)[1:]
    if not sizes.all():  # nothing between two bounds
        chunks = np.flatnonzero(sizes)
        starts, sizes = starts[chunks], sizes[chunks]
    eight_bytes_at = np.ndarray(len(kinds), "<u8", data, strides=(1,))
    keys = eight_bytes_at[starts] & _FIRST_BYTES.take(sizes, mode="clip")
    is_long = np.flatnonzero(sizes > _KEY_BYTES)
    numbers = [long[data[a : a + n]] for a, n in zip(starts[is_long].tolist(), sizes[is_long].tolist(), strict=True)]
    keys[is_long] = np.array(numbers, np.uint64) << np.uint64(8)
    return keys


def dense_ids(keys: Keys, multipliers: Sequence[int] = _MULTIPLIERS) -> tuple[Ints, Keys]:
    """Ids [T] of equal keys: 0 for key 0 and 1..V for the others; and those V keys.

    Every key is hashed to a slot of a table, where the last to come stays; those who find another key there go on to
    the next hash function, and the few left after all of them are sorted.
    """
    if not multipliers:
        distinct, ranks = np.unique(keys, return_inverse=True)
        return (ranks + 1).astype(np.int32), distinct
    bits = min(max(8, len(keys).bit_length() - 1), 22)
    table = np.zeros(1 << bits, np.uint64)

    def slots(part: Keys) -> NDArray[np.int64]:
        return ((part * np.uint64(multipliers[0])) >> np.uint64(64 - bits)).view(np.int64)

    parts = [slice(start, start + _KEYS_AT_ONCE) for start in range(0, len(keys), _KEYS_AT_ONCE)]
    for part in parts:
        table[slots(keys[part])] = keys[part]
    table[0] = 0
    taken = np.flatnonzero(table)
    id_at = np.zeros(len(table), np.int32)
    id_at[taken] = np.arange(1, len(taken) + 1)
    ids = np.empty(len(keys), np.int32)
    for part in parts:
        slot = slots(keys[part])
        ids[part] = np.where(table[slot] == keys[part], id_at[slot], -1)
    rest = np.flatnonzero(ids < 0)
    if len(rest) == 0:
        return ids, table[taken]
    ids_of_rest, keys_of_rest = dense_ids(keys[rest], multipliers[1:])
    ids[rest] = ids_of_rest + np.int32(len(taken))
    return ids, np.concatenate([table[taken], keys_of_rest])


def _split_chunks(ids: Ints, chunks: list[bytes]) -> Ints:
    """Token ids from chunk ids, 0 for 0. ``chunks``: the bytes of chunk id 1, 2, ..."""
    pieces = {}
    for chunk_id, chunk in enumerate(chunks, 1):
        if not chunk.isalnum():
            tokens = [
                token.encode("utf-8", "surrogatepass") for token in tokenise(chunk.decode("utf-8", "surrogatepass"))
            ]
            if tokens != [chunk]:
                pieces[chunk_id] = tokens
    if not pieces:
        return ids
    # A chunk that is a token keeps its id; no chunk that falls to pieces is equal to a token.
    token_id = defaultdict(count(len(chunks) + 1).__next__, zip(chunks, count(1)))
    sizes = np.ones(len(chunks) + 1, np.int32)
    sizes[list(pieces)] = list(map(len, pieces.values()))
    flat = np.repeat(np.arange(len(sizes), dtype=np.int32), sizes)
    is_piece = np.zeros(len(sizes), bool)
    is_piece[list(pieces)] = True
    flat[is_piece[flat]] = [token_id[token] for token in chain.from_iterable(pieces.values())]
    return _gather(flat, sizes, ids)


def _gather(flat: Ints, sizes: Ints, which: Ints) -> Ints:
    """``concatenate([lists[i] for i in which])``, the lists given one after another and by their sizes."""
    first = np.cumsum(sizes) - sizes  # of each list, in flat
    size = sizes[which]
    ends = np.cumsum(size)
    index = np.repeat(first[which] - ends + size, size)  # first[list] - start in the output, + place in the output
    index += np.arange(len(index))
    return flat[index]

"""Texts with separators, and what each position sees, beside the definitions written out position by position."""

from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st

from bench.batch import Batch, Sequences, collate
from bench.segments import Segments, fixed_breaks
from bench.vocabulary import BOS, EOS, PAD

SEPARATOR = 99
words = st.lists(st.integers(5, 90), max_size=12)
texts_and_breaks = st.lists(
    words.flatmap(lambda x: st.tuples(st.just(x), st.sets(st.integers(2, max(2, len(x))), max_size=4))),
    min_size=1, max_size=5,
).map(lambda rows: [(x, sorted(b for b in breaks if b <= len(x))) for x, breaks in rows])  # fmt: skip


def written(x: list[int], breaks: list[int]) -> tuple[list[int], list[int]]:
    """One text with separators, and the segment of each of its positions."""
    ids, segments, segment = [BOS], [0], 0
    for position, token in enumerate(x, 1):
        if position in breaks:
            ids.append(SEPARATOR)
            segments.append(segment)
            segment += 1
        ids.append(token)
        segments.append(segment)
    return [*ids, EOS], [*segments, segment]


def segmented(rows: list[tuple[list[int], list[int]]]) -> Segments:
    sequences = Sequences([[BOS, *x, EOS] for x, _ in rows], None, [breaks for _, breaks in rows])
    batch = sequences.batch(range(len(rows)))
    assert batch.breaks is not None
    return Segments.of(batch, batch.breaks, SEPARATOR)


@given(texts_and_breaks)
def test_separators_indices_and_ends(rows: list[tuple[list[int], list[int]]]) -> None:
    made = segmented(rows)
    for i, (x, breaks) in enumerate(rows):
        ids, segments = written(x, breaks)
        n, t = len(ids), len(breaks) + 1
        assert made.text.ids[i].tolist() == ids + [PAD] * (made.text.ids.shape[1] - n)
        assert made.text.lengths[i] == n and made.used[i] == t
        assert made.index[i].tolist() == segments + [t] * (made.index.shape[1] - n)
        last = [max(p for p in range(n) if segments[p] == segment) for segment in range(t)]
        assert made.ends[i, :t].tolist() == last
        assert [ids[p] for p in last] == [SEPARATOR] * (t - 1) + [EOS]
        assert made.present[i].tolist() == [j < t for j in range(made.ends.shape[1])]
        assert made.predicts[i, : n - 1].tolist() == segments[1:]


@given(texts_and_breaks, st.lists(words, min_size=5, max_size=5))
def test_masks_after_a_prompt(rows: list[tuple[list[int], list[int]]], prompts: list[list[int]]) -> None:
    prompt = collate([[BOS, *c, EOS] for c in prompts[: len(rows)]])
    joint = segmented(rows).after(prompt)
    extra, intra = joint.extra_mask(), joint.intra_mask()
    for i, (x, breaks) in enumerate(rows):
        ids, segments = written(x, breaks)
        c = [BOS, *prompts[i], EOS]
        assert joint.text.ids[i, : len(c) + len(ids)].tolist() == c + ids
        index = [-1] * len(c) + segments
        for p, of_p in enumerate(index):
            for other in range(joint.index.shape[1]):
                real = other < len(index)
                assert extra[i, p, other] == (real and index[other] <= of_p)
                assert intra[i, p, other] == (real and index[other] == of_p)
        assert [joint.text.ids[i, p] for p in joint.ends[i, : len(breaks) + 1]] == [SEPARATOR] * len(breaks) + [EOS]
    assert extra.any(-1).all() and intra.any(-1).all(), "a position that sees nothing has a state of nan"


@given(texts_and_breaks)
def test_so_far_is_the_beginning_of_the_whole(rows: list[tuple[list[int], list[int]]]) -> None:
    whole = segmented(rows)
    for i, (_, breaks) in enumerate(rows):
        for end in whole.ends[i, : len(breaks)].tolist():
            beginning = Segments.so_far(whole.text.ids[i : i + 1, : end + 1], SEPARATOR)
            assert torch.equal(beginning.index[0], whole.index[i, : end + 1])
            assert beginning.ends.tolist() == [[end]]


@given(st.lists(words, min_size=1, max_size=5), st.integers(1, 13))
def test_fixed_breaks(texts: list[list[int]], length: int) -> None:
    """Every ``length`` tokens of x; EOS begins no segment, and but for an empty x each has a token of x."""
    batch = collate([[BOS, *x, EOS] for x in texts])
    made = Segments.of(batch, fixed_breaks(batch, length), SEPARATOR)
    for i, x in enumerate(texts):
        pieces = [x[start : start + length] for start in range(0, len(x), length)] or [[]]
        expected = [BOS]
        for piece in pieces:
            expected += [*piece, SEPARATOR]
        expected[-1] = EOS
        assert made.text.ids[i, : made.text.lengths[i]].tolist() == expected


def test_batches_carry_breaks_and_conditions() -> None:
    sequences = Sequences([[0, 5, 6, 7, 1], [0, 8, 1]], [[0, 9, 1], [0, 1]], [[2, 3], []])
    batch = sequences.batch([1, 0]).to("cpu")
    assert batch.breaks is not None and batch.breaks.nonzero().tolist() == [[1, 2], [1, 3]]
    assert isinstance(batch.condition, Batch) and batch.condition.ids.tolist() == [[0, 1, 2], [0, 9, 1]]
    assert sequences.first(1).breaks == [[2, 3]]

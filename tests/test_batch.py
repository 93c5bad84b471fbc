"""Batches: padding, order, and that an epoch's batches are a function of seed and epoch alone."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from bench.batch import Sequences, collate, cut, length_batches, sorted_batches, token_batches, training_batches
from bench.vocabulary import PAD


def test_collate_pads_on_the_right() -> None:
    batch = collate([[0, 7, 8, 1], [0, 1]])
    assert batch.ids.tolist() == [[0, 7, 8, 1], [0, 1, PAD, PAD]]
    assert batch.mask.tolist() == [[True] * 4, [True, True, False, False]]
    assert batch.inputs.tolist() == [[0, 7, 8], [0, 1, PAD]] and batch.targets.tolist()[0] == [7, 8, 1]
    assert batch.predicted.tolist() == [3, 1]


@given(st.lists(st.integers(2, 30), min_size=8, max_size=200), st.integers(1, 8), st.integers(0, 5), st.integers(0, 3))
def test_an_epoch_visits_each_example_at_most_once(lengths: list[int], size: int, seed: int, epoch: int) -> None:
    batches = training_batches(lengths, size, seed, epoch)
    seen = np.concatenate(batches)
    assert len(set(seen.tolist())) == len(seen) == len(lengths) // size * size
    assert all(len(b) == size for b in batches)
    again = training_batches(lengths, size, seed, epoch)
    assert all((a == b).all() for a, b in zip(batches, again, strict=True))


@given(st.lists(st.integers(2, 12), min_size=1, max_size=120), st.integers(1, 8), st.integers(0, 5), st.integers(0, 3))
def test_batches_of_one_length_each(lengths: list[int], size: int, seed: int, epoch: int) -> None:
    """Every example once; of each length as few batches as hold it, at most one of them not full."""
    batches = length_batches(lengths, size, seed, epoch)
    assert sorted(np.concatenate(batches).tolist()) == list(range(len(lengths)))
    sizes: dict[int, list[int]] = {}
    for batch in batches:
        (length,) = {lengths[i] for i in batch}
        sizes.setdefault(length, []).append(len(batch))
    for length, of_length in sizes.items():
        full, rest = divmod(lengths.count(length), size)
        assert sorted(of_length, reverse=True) == [size] * full + [rest] * (rest > 0)
    again = length_batches(lengths, size, seed, epoch)
    assert all((a == b).all() for a, b in zip(batches, again, strict=True))


def test_batches_of_one_length_are_shuffled() -> None:
    """Who is together, and which length comes first: by seed and epoch."""
    lengths = np.random.default_rng(0).integers(2, 12, 400).tolist()
    epochs = [length_batches(lengths, 8, seed, epoch) for seed, epoch in ((1, 0), (1, 1), (2, 0))]
    orders = [[lengths[batch[0]] for batch in batches] for batches in epochs]
    company = [{frozenset(batch.tolist()) for batch in batches} for batches in epochs]
    for i in range(3):
        assert orders[i] != sorted(orders[i]) and orders[i] != orders[i - 1]
        assert len(company[i] & company[i - 1]) < 5


PAIRS = st.lists(st.tuples(st.integers(2, 30), st.integers(2, 30)), min_size=1, max_size=120)


@given(PAIRS, st.integers(1, 2), st.integers(10, 200), st.integers(0, 5), st.integers(0, 3))
def test_batches_of_so_many_tokens(
    pairs: list[tuple[int, int]], parts: int, tokens: int, seed: int, epoch: int
) -> None:
    """Every example once; none above the limit but a single text; as many batches in every epoch."""
    sizes = np.array(pairs)[:, :parts]
    batches = token_batches(sizes, tokens, seed, epoch)
    assert sorted(np.concatenate(batches).tolist()) == list(range(len(sizes)))
    assert all(padded(sizes[batch]) <= tokens or len(batch) == 1 for batch in batches)
    again, other = (token_batches(sizes, tokens, seed, of) for of in (epoch, epoch + 1))
    assert all((a == b).all() for a, b in zip(batches, again, strict=True)) and len(other) == len(batches)


def padded(sizes: np.ndarray) -> int:
    """Texts are padded to the longest text, their conditions to the longest condition."""
    return len(sizes) * int(sizes.max(0).sum())


def test_batches_of_so_many_tokens_are_full_and_shuffled() -> None:
    lengths = np.random.default_rng(0).integers(2, 30, (2000, 1))
    first, second = (token_batches(lengths, 400, 1, epoch) for epoch in (0, 1))
    assert sum(padded(lengths[batch]) for batch in first) < 1.02 * lengths.sum()
    assert len(first) < 1.05 * lengths.sum() / 400
    orders = [[int(lengths[batch].max()) for batch in batches] for batches in (first, second)]
    assert orders[0] != sorted(orders[0]) and orders[0] != orders[1]
    company = [{frozenset(batch.tolist()) for batch in batches} for batches in (first, second)]
    assert len(company[0] & company[1]) < 5


@given(PAIRS, st.integers(1, 100))
def test_parts_are_the_rows_in_order_and_as_few_as_can_be(pairs: list[tuple[int, int]], tokens: int) -> None:
    sizes, rows = np.array(pairs), np.arange(len(pairs))[::-1]
    parts = cut(rows, sizes, tokens)
    assert np.concatenate(parts).tolist() == rows.tolist()
    for part, after in zip(parts, [*parts[1:], None], strict=True):
        assert padded(sizes[part]) <= tokens or len(part) == 1
        assert after is None or padded(sizes[[*part, after[0]]]) > tokens, "the next would have fitted too"


@given(st.lists(st.integers(2, 30), min_size=1, max_size=50), st.integers(1, 8))
def test_evaluation_visits_each_example_once(lengths: list[int], size: int) -> None:
    sequences = [[0, *[5] * (n - 2), 1] for n in lengths]
    rows = [(i, batch) for i, batch in sorted_batches(Sequences(sequences), size)]
    assert sorted(np.concatenate([i for i, _ in rows]).tolist()) == list(range(len(lengths)))
    for indices, batch in rows:
        assert batch.lengths.tolist() == [lengths[i] for i in indices]


def test_conditions_stay_with_their_texts() -> None:
    """Longest pair first, each text with its own source, which are padded apart."""
    texts, sources = [[0, 5, 1], [0, 6, 6, 1], [0, 7, 1]], [[0, 8, 8, 8, 1], [0, 1], [0, 9, 1]]
    data = Sequences(texts, sources)
    assert data.lengths == [8, 6, 6] and len(data) == 3
    (first, one), (rest, two) = sorted_batches(data, 2)
    assert first.tolist() == [0, 1] and rest.tolist() == [2]
    assert one.condition is not None and two.condition is not None
    assert one.ids.tolist() == [[0, 5, 1, PAD], [0, 6, 6, 1]] and two.ids.tolist() == [[0, 7, 1]]
    assert one.condition.ids.tolist() == [[0, 8, 8, 8, 1], [0, 1, PAD, PAD, PAD]]
    assert two.condition.ids.tolist() == [[0, 9, 1]] and two.condition.lengths.tolist() == [3]
    assert data.first(1) == Sequences(texts[:1], sources[:1]) and data.first(None) == data
    assert one.to("cpu").condition is not None and Sequences(texts).batch([0]).condition is None


def test_epochs_differ_and_lengths_are_bucketed() -> None:
    lengths = np.random.default_rng(0).integers(2, 60, 640).tolist()
    first, second = training_batches(lengths, 16, 1, 0), training_batches(lengths, 16, 1, 1)
    assert not all((a == b).all() for a, b in zip(first, second, strict=True))
    spread = np.mean([np.ptp(np.asarray(lengths)[b]) for b in first])
    assert spread < 8  # unsorted batches of 16 would span nearly all of 2..60

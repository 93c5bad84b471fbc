"""The index holds what a Counter holds, less the n-grams seen once over both sets."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.metrics import ngrams as module
from bench.metrics.ngrams import MAX_ORDER, NgramIndex, TextCounts
from bench.metrics.tokenise import tokenise
from tests.metrics import oracles


def assert_index_holds(index: NgramIndex, generated: list[str], references: list[str]) -> None:
    for n in range(1, MAX_ORDER + 1):
        overall = oracles.corpus_counts(generated + references, n)
        order = index.order(n)
        for counts, texts in ((order.generated, generated), (order.references, references)):
            own = [Counter(oracles.ngrams(text, n)) for text in texts]
            rows = [sorted(c for gram, c in counter.items() if overall[gram] > 1) for counter in own]
            assert [sorted(counts.count[counts.text == i].tolist()) for i in range(len(texts))] == rows
            once = [sum(overall[gram] == 1 for gram in counter) for counter in own]
            assert counts.singletons.tolist() == once
            assert counts.total == sum(counter.total() for counter in own)
            repeated = [c for gram, c in oracles.corpus_counts(texts, n).items() if overall[gram] > 1]
            assert sorted(counts.corpus[counts.corpus > 0].tolist()) == sorted(repeated)
        assert order.generated.n_grams == sum(c > 1 for c in overall.values())


@settings(deadline=None, max_examples=150)
@given(oracles.text_sets(0), oracles.text_sets(0))
def test_index_against_counters(generated: list[str], references: list[str]) -> None:
    assert_index_holds(NgramIndex(generated, references), generated, references)


@settings(deadline=None, max_examples=50)
@given(st.lists(st.text(max_size=30), max_size=5), st.lists(st.text(max_size=30), max_size=5))
def test_any_unicode(generated: list[str], references: list[str]) -> None:
    index = NgramIndex(generated, references)
    assert index.lengths.tolist() == [len(tokenise(text)) for text in generated]
    assert_index_holds(index, generated, references)


def test_keys_too_large_to_pack_with_their_position() -> None:
    """Dense ids in their place give the same groups."""
    keys, positions = np.array([5, 2**62, 5, 7, 2**62, 2**62]), np.arange(10, 16, dtype=np.int32)
    groups = []
    for each in (keys, np.where(keys == 2**62, 9, keys)):
        found, gram = module._repeated(module._packed(each.copy(), positions, 4), 4)
        groups.append({tuple(found[gram == g].tolist()) for g in set(gram.tolist())})
    assert groups[0] == groups[1] == {(10, 12), (11, 14, 15)}


@settings(deadline=None, max_examples=60)
@given(oracles.text_sets(0), oracles.text_sets(0))
def test_index_with_dense_ids_and_short_runs(generated: list[str], references: list[str]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_KEY_BITS", 16)
        patch.setattr(module, "_AT_ONCE", 3)
        assert_index_holds(NgramIndex(generated, references), generated, references)


def test_rows_are_sorted_and_shared() -> None:
    order = NgramIndex(["b a b b", "a"], ["a b a b"]).order(1)
    ours, theirs = order.generated, order.references
    b, a = ours.gram[ours.text == 0][np.argsort(-ours.count[ours.text == 0].astype(int))].tolist()
    assert ours.gram.tolist() == sorted(ours.gram.tolist()) and ours.text[ours.gram == a].tolist() == [0, 1]
    assert theirs.corpus.tolist() == [2, 2] and theirs.gram.tolist() == [0, 1]
    assert ours.maximum(ours.count)[[a, b]].tolist() == [1, 3] and ours.corpus[[a, b]].tolist() == [2, 3]
    assert ours.indexed.tolist() == [4, 1]


def test_order_out_of_range() -> None:
    with pytest.raises(ValueError, match=r"orders 1..5"):
        NgramIndex(["a"], ["a"]).order(6)


def test_the_family_imports_light() -> None:
    """n-gram scoring starts a process a cell: it must load neither torch nor anything else that takes seconds."""
    names = ", ".join(["bleu", "self_bleu", "distinct", "entropy", "cnd", "jaccard"])
    heavy = {"torch", "transformers", "nltk", "sklearn", "faiss", "mauve", "numba", "pandas", "scipy"}
    code = f"from bench.metrics import {names}; import sys; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert heavy.isdisjoint(loaded)


def test_empty_sets() -> None:
    counts = NgramIndex([], []).order(2).generated
    assert isinstance(counts, TextCounts) and counts.total == 0 and counts.corpus.tolist() == []

"""Conditional datasets: how pairs are made, split, written and read, beyond the contract in test_datasets.py."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.data import kjv2bbe, local, papers, sotu_story
from bench.data.base import SPLITS, distinct_pairs, split, split_pairs
from bench.data.prepare import prepare, read_split
from bench.digests import settings
from bench.errors import BenchError
from bench.files import read_json
from bench.schema import Backbone, Dataset, Suite
from bench.vocabulary import encode, load_tokenizer

TINY = Backbone(layers=1, width=8, heads=1, vocabulary=300, max_tokens=6, max_source_tokens=8)
NAMES = st.text("aAbBß", min_size=1, max_size=2)


@given(st.lists(st.tuples(NAMES, NAMES)))
def test_distinct_pairs_share_no_side_and_none_more_would_fit(pairs: list[tuple[str, str]]) -> None:
    kept = distinct_pairs(pairs)
    sides = [{side.casefold() for side in pair} for pair in kept]
    assert sum(map(len, sides)) == len(set().union(*sides))
    assert all({side.casefold() for side in pair} & set().union(*sides) for pair in pairs)


def test_pairs_are_cut_as_texts_are() -> None:
    texts = [f"text {i}" for i in range(50)]
    sources, targets = split_pairs([(text.upper(), text) for text in texts], 5, 7)
    assert targets == split(texts, 5, 7)
    assert sources == {part: [text.upper() for text in targets[part]] for part in SPLITS}


def test_story_and_lead_are_one_cut_read_both_ways(monkeypatch: pytest.MonkeyPatch) -> None:
    paragraphs = [f"Here is sentence number {i} of them. Rest {i}{' is more' * 10}. End." for i in range(2100)]
    monkeypatch.setattr(sotu_story, "paragraphs", lambda: (paragraphs, "2100 paragraphs"))
    story, lead = (sotu_story.read(name, None) for name in sotu_story.CONDITIONAL)
    assert (story.splits, story.sources) == (lead.sources, lead.splits)
    both = [zip(lead.splits[part], story.splits[part], strict=True) for part in SPLITS]
    assert sorted(f"{first} {rest}" for part in both for first, rest in part) == sorted(paragraphs)


def test_a_sentence_ends_where_a_reader_ends_it() -> None:
    cut = sotu_story.cut_after_first(
        [
            "I met Mr. Smith of St. Louis, Mo. on Monday. He was well.",
            "The U.S. Navy, under Adm. J. P. Jones, sailed at 5 p.m. on the 4th. It came back.",
            'He said, "Stop!" We did.',
            "Debt fell by 3.5 per cent in 1897. $5 million is left.",
            "One sentence alone.",
        ]
    )
    assert [rest for _, rest in cut] == ["He was well.", "It came back.", "We did.", "$5 million is left.", ""]
    assert all(f"{first} {rest}".strip() for first, rest in cut)


def test_a_verse_meets_itself() -> None:
    """Spot checks against the printed books; Joel 2 and 3 are numbered differently by the two."""
    source = kjv2bbe.read("kjv2bbe", None)
    assert source.sources is not None
    pairs = {s: t for part in SPLITS for s, t in zip(source.sources[part], source.splits[part], strict=True)}
    assert pairs["Jesus wept."] == "And Jesus himself was weeping."
    assert pairs["In the beginning God created the heaven and the earth."].startswith("At the first God made")
    assert not any("pour out my spirit" in s and "handmaids" in s for s in pairs)
    assert not any(mark in side for pair in pairs.items() for side in pair for mark in ("[", "\\", "...", "\u2019"))


@pytest.fixture
def pairs(tmp_path: Path) -> Path:
    folder = tmp_path / "pairs"
    folder.mkdir()
    (folder / "train.tsv").write_text("a  b\tone two\nWhat is it\tit is\nit was\tso\n", encoding="utf-8")
    (folder / "valid.txt").write_text("other\tnew\n", encoding="utf-8")
    (folder / "test.tsv.gz").write_bytes(gzip.compress(b"IT IS\twhat is it\nso\tnot so\n"))
    return folder


def test_local_pairs(pairs: Path, tmp_path: Path) -> None:
    prepare("quora", Dataset(data_dir=str(pairs)), TINY, tmp_path / "out")
    train, manifest = read_split(tmp_path / "out", "train"), read_json(tmp_path / "out/manifest.json")
    assert train.sources == ["a b", "What is it", "it was"]
    assert train.texts == ["one two", "it is", "so"]
    assert manifest["conditional"] and manifest["max_source_tokens"] == 8
    size, shared = manifest["notes"]
    assert size.endswith("134k / 5k / 10k pairs of 10 and 10 words; these files: 3 / 1 / 2 pairs of 1.8 and 1.8 words")
    assert shared == (
        "warning: of 2 test pairs, train holds the source of 2 and the text of 1 (on either side of a pair), "
        "and 1 as whole pairs (either way round); none are dropped"
    )


def test_the_manifest_counts_both_sides(pairs: Path, tmp_path: Path) -> None:
    prepare("local-pairs", Dataset(data_dir=str(pairs)), TINY, tmp_path / "out")
    counts = read_json(tmp_path / "out/manifest.json")["splits"]["train"]
    train, tokenizer = read_split(tmp_path / "out", "train"), load_tokenizer(tmp_path / "out/tokenizer.json")
    sources, texts = (encode(tokenizer, side, 10_000) for side in (train.sources or [], train.texts))
    assert counts["source_words_a_text"] == round((2 + 3 + 2) / 3, 2) and counts["words_a_text"] == round(5 / 3, 2)
    assert counts["source_tokens_a_text"] == round(sum(map(len, sources)) / 3, 2)
    assert counts["sources_cut_at_max_tokens"] == sum(len(ids) > 8 for ids in sources)
    assert counts["cut_at_max_tokens"] == sum(len(ids) > 6 for ids in texts)


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("train.tsv", "a\tb\nno tab here\n", r"train\.tsv: line 2 is not 'source TAB text'"),
        ("train.tsv", "a\tb\nc\td\te\n", r"train\.tsv: line 2 is not"),
        ("valid.txt", "\tb\n", r"valid\.txt: line 1 is not"),
        ("valid.txt", "a\t \n", r"valid\.txt: line 1 is not"),
        ("train.tsv", "a\tb\n\nc\td\n", r"train\.tsv: line 2 is not"),
        ("valid.txt", "", r"valid\.txt holds no pair"),
        ("train.tsv", "a\tb\nc\td\0\n", r"/train\.tsv: line 2 holds a NUL byte$"),
        ("train.txt", "a\tb\n", r"'local-pairs': both train\.tsv and train\.txt in /"),
        ("valid.txt", None, r"no valid\.tsv, valid\.tsv\.gz, valid\.txt or valid\.txt\.gz in"),
    ],
)
def test_bad_pair_files_are_one_clear_line(
    pairs: Path, tmp_path: Path, file: str, content: str | None, message
) -> None:
    (pairs / file).unlink(missing_ok=True)
    if content is not None:
        (pairs / file).write_text(content, encoding="utf-8")
    with pytest.raises(BenchError, match=message) as caught:
        prepare("local-pairs", Dataset(data_dir=str(pairs)), TINY, tmp_path / "out")
    assert "\n" not in str(caught.value) and not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", ["cnn_dailymail", "writingprompts", "quora"])
def test_a_paper_s_sizes_stand_beside_the_files(name: str, pairs: Path) -> None:
    assert local.PAPER[name] in papers.read(name, pairs).notes[0]


def test_pairs_need_data_dir() -> None:
    with pytest.raises(BenchError, match=r"set data_dir, .* as \.tsv, \.tsv\.gz, \.txt or \.txt\.gz"):
        local.read("local-pairs", None)


@pytest.mark.parametrize(("dataset", "stages"), [("bbe", set()), ("kjv2bbe", {"prepare", "train"})])
def test_the_limit_of_sources_concerns_conditional_datasets_alone(dataset: str, stages: set[str]) -> None:
    def digests(limit: int) -> dict[str, str]:
        suite = Suite.model_validate(
            {"name": "s", "datasets": [dataset], "methods": ["gpt2"], "seeds": [0], "metrics": ["self_bleu"],
             "backbone": {"max_source_tokens": limit}}
        )  # fmt: skip
        return {stage: settings(suite, stage, dataset, "gpt2") for stage in ("prepare", "train", "likelihood")}

    short, long = digests(10), digests(20)
    assert {stage for stage in short if short[stage] != long[stage]} == stages

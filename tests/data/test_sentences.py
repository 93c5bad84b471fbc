"""Sentences of texts, as characters and as tokens, and what the data stage keeps of them."""

from __future__ import annotations

import json
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.data.prepare import fit_tokenizer, prepare, read_split
from bench.data.sentences import sentence_starts, token_breaks
from bench.data.sequences import read_sequences, words_kept
from bench.errors import BenchError
from bench.schema import Backbone, Dataset
from bench.vocabulary import decode, load_tokenizer

TEXTS = ["He came. Mr. Smith left at 5 p.m. today! Did he? Yes.", "One sentence", "", "A bell.  Cats din."]
SIZE = Backbone(layers=1, width=8, heads=2, vocabulary=300, max_tokens=64)


def sentences(text: str, starts: list[int]) -> list[str]:
    return [text[a:b] for a, b in zip([0, *starts], [*starts, len(text)], strict=True)]


def test_sentences_of_a_reader() -> None:
    found = [sentences(text, starts) for text, starts in zip(TEXTS, sentence_starts(TEXTS), strict=True)]
    assert found[0] == ["He came. ", "Mr. Smith left at 5 p.m. today! ", "Did he? ", "Yes."]
    assert found[1:] == [["One sentence"], [""], ["A bell.  ", "Cats din."]]


@given(st.lists(st.text(st.sampled_from("ab .é\u4e2d!"), max_size=30), min_size=1, max_size=4), st.integers(4, 40))
def test_tokens_of_a_sentence_are_its_own(texts: list[str], max_tokens: int) -> None:
    """Decoded, the tokens before a break are the text before that sentence; the space between goes with the second."""
    tokenizer = fit_tokenizer(["ab ba. a b!"], 270)
    starts = [[i for i in range(1, len(text)) if text[i - 1] == " " and text[i] != " "] for text in texts]
    for text, of_text, breaks in zip(texts, starts, token_breaks(tokenizer, texts, starts, max_tokens), strict=True):
        ids = tokenizer.encode(text).ids
        kept = ids[: max_tokens - 2]
        assert breaks == sorted(set(breaks)) and all(2 <= position <= len(kept) for position in breaks)
        reached = len(tokenizer.decode(kept)) if len(kept) < len(ids) else len(text)
        heads = {tokenizer.decode(kept[: position - 1]).rstrip() for position in breaks}
        expected = {text[:start].rstrip() for start in of_text if start < reached - 2 and text[:start].strip()}
        assert expected <= heads


@pytest.mark.parametrize(
    ("text", "start", "tokens", "breaks"),
    [
        ("a. b", 3, ["a", ".", "Ġb"], [3]),  # the space is a part of the token after it
        ("a. z", 3, ["a", ".", "Ġ", "z"], [4]),  # and ends the sentence before where it is a token
        (" a", 1, ["Ġa"], []),  # nothing is before the first token
        (" a b", 1, ["Ġa", "Ġb"], []),
        ("ab", 2, ["ab"], []),  # nor a sentence after the last
    ],
)
def test_a_sentence_begins_with_its_first_token(text: str, start: int, tokens: list[str], breaks: list[int]) -> None:
    tokenizer = fit_tokenizer(["ab ba. a b!"], 270)
    assert tokenizer.encode(text, add_special_tokens=False).tokens == tokens
    assert token_breaks(tokenizer, [text], [[start]], 24) == [breaks]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    source = tmp_path / "source"
    source.mkdir()
    for part in ("train", "valid", "test"):
        text = f"In {part} it began. Then it went on! And it ended."
        (source / f"{part}.txt").write_text(f"{text}\n{part} alone\n")
    out = tmp_path / "data"
    prepare("local", Dataset(data_dir=str(source), sentences=True), SIZE, out)
    return out


def test_prepared_sentences_become_breaks(folder: Path) -> None:
    split = read_split(folder, "test")
    assert split.sentences is not None
    assert [sentences(t, s) for t, s in zip(split.texts, split.sentences, strict=True)] == [
        ["In test it began. ", "Then it went on! ", "And it ended."], ["test alone"]
    ]  # fmt: skip
    sequences = read_sequences(folder, "test", SIZE)
    assert sequences.breaks is not None and [len(of) for of in sequences.breaks] == [2, 0]
    counts = json.loads((folder / "manifest.json").read_text())["splits"]["test"]
    assert counts["sentences_a_text"] == 2.0


def test_sentences_are_looked_for_where_the_suite_asks(tmp_path: Path, folder: Path) -> None:
    prepare("local", Dataset(data_dir=str(tmp_path / "source")), SIZE, tmp_path / "plain")
    assert read_sequences(tmp_path / "plain", "test", SIZE).breaks is None
    without = json.loads((tmp_path / "plain" / "manifest.json").read_text())
    assert "sentences_sha256" not in without["splits"]["test"]
    assert {path.name for path in (tmp_path / "plain").iterdir()} < {path.name for path in folder.iterdir()}


def test_changed_sentences_are_noticed(folder: Path) -> None:
    (folder / "test.sentences").write_text("1\n\n")
    with pytest.raises(BenchError, match=r"test\.sentences: missing or changed"):
        read_split(folder, "test")


@settings(max_examples=30, deadline=None)
@given(st.lists(st.text(st.sampled_from("ab c.é\u4e2d!"), max_size=30), min_size=1, max_size=4), st.integers(4, 20))
def test_words_of_a_cut_text_are_those_of_what_is_read(texts: list[str], max_tokens: int) -> None:
    """The oracle is what is read, decoded and split; a byte of a letter, decoded as U+FFFD, stands for the letter."""
    lines = [" ".join(text.split()) or "a" for text in texts]
    for kind in ("bpe", "words"):
        size = SIZE.model_copy(update={"tokenizer": kind, "max_tokens": max_tokens})
        with TemporaryDirectory() as name:
            raw, out = Path(name) / "raw", Path(name) / "out"
            raw.mkdir()
            for part in ("train", "valid", "test"):
                (raw / f"{part}.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
            prepare("local", Dataset(data_dir=str(raw)), size, out)
            decoded = decode(load_tokenizer(out / "tokenizer.json"), read_sequences(out, "test", size).texts)
            assert words_kept(out, "test", size).tolist() == [len(text.split()) for text in decoded]

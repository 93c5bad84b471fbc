"""Word vocabularies: the library's own trainer, Python's str.split and hand-counted texts are the oracles."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, pre_tokenizers, trainers

from bench import digests
from bench.data.prepare import fit_tokenizer, prepare
from bench.files import read_json, sha256
from bench.report.notes import data_notes
from bench.schema import Backbone, Dataset, Suite
from bench.vocabulary import BOS, EOS, PAD, SPECIALS, UNK, decode, encode, load_tokenizer

TEXTS = ["b a a", "c <unk> a b", "d c b a"]  # a 4, b 3, c 2, d 1 and one <unk>
LSTM = Backbone(kind="lstm", layers=1, width=8, tokenizer="words", vocabulary=7, max_tokens=5)
WORDS = st.text(st.characters(codec="utf-8"), max_size=40).map(lambda text: " ".join(text.split()))


def test_entries_are_the_specials_then_words_by_frequency() -> None:
    tokenizer = fit_tokenizer(TEXTS, 7, "words")
    assert [tokenizer.id_to_token(i) for i in range(tokenizer.get_vocab_size())] == [*SPECIALS, "a", "b", "c"]
    assert encode(tokenizer, ["a <unk> d c"], 10) == [[BOS, 4, UNK, UNK, 6, EOS]]
    assert fit_tokenizer(TEXTS, 100, "words").get_vocab_size() == 8


def test_equally_frequent_words_go_by_code_point() -> None:
    tokenizer = fit_tokenizer(["z é B a z"], 7, "words")
    assert [tokenizer.id_to_token(i) for i in range(4, 7)] == ["z", "B", "a"]


@given(st.lists(WORDS, max_size=6), st.integers(5, 20))
def test_entries_are_those_of_the_librarys_trainer(texts: list[str], vocabulary: int) -> None:
    trainer = trainers.WordLevelTrainer(vocab_size=vocabulary, special_tokens=list(SPECIALS), show_progress=False)
    oracle = Tokenizer(models.WordLevel(unk_token="<unk>"))
    oracle.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    oracle.train_from_iterator(texts, trainer)
    assert fit_tokenizer(texts, vocabulary, "words").get_vocab() == oracle.get_vocab()


@given(st.lists(WORDS, min_size=1, max_size=6))
def test_every_text_comes_back_where_all_words_are_known(texts: list[str]) -> None:
    tokenizer = fit_tokenizer(texts, 1000, "words")
    ids = encode(tokenizer, texts, 1000)
    assert decode(tokenizer, ids) == texts
    assert [len(row) - 2 for row in ids] == [len(text.split()) for text in texts]


@given(WORDS, st.integers(5, 8))
def test_decoded_texts_differ_by_unk_alone(text: str, vocabulary: int) -> None:
    tokenizer = fit_tokenizer(["a b a c", text], vocabulary, "words")
    known = set(tokenizer.get_vocab()) - {"<bos>", "<eos>", "<pad>"}
    expected = " ".join(word if word in known else "<unk>" for word in text.split())
    assert decode(tokenizer, encode(tokenizer, [text], 1000)) == [expected]


def test_decoding_drops_what_frames_a_text() -> None:
    tokenizer = fit_tokenizer(TEXTS, 7, "words")
    assert decode(tokenizer, [[BOS, 4, UNK, 5, EOS, PAD, PAD], [5], [BOS, EOS], []]) == ["a <unk> b", "b", "", ""]


def test_words_spelt_like_bos_eos_and_pad_are_none_of_them() -> None:
    texts = ["<bos> <bos> a <eos> <pad> <bos>x x<eos>"]
    tokenizer = fit_tokenizer(texts, 100, "words")
    ids = encode(tokenizer, texts, 100)[0][1:-1]
    assert not {BOS, EOS, PAD} & set(ids)
    assert decode(tokenizer, [ids]) == ["<unk> <unk> a <unk> <unk> <bos>x x<eos>"]


@pytest.mark.parametrize("kind", ["bpe", "words"])
def test_a_text_may_hold_what_frames_others(kind: str, tmp_path: Path) -> None:
    """Read from its file too, which does not say how to read it."""
    texts = ["a <unk> b", "<unk>", "say <eos> b", "<bos><pad>x <unk>"]
    fitted = fit_tokenizer(texts * 50, 400, kind)
    fitted.save(str(tmp_path / "tokenizer.json"))
    for tokenizer in (fitted, load_tokenizer(tmp_path / "tokenizer.json")):
        found = encode(tokenizer, texts, 100)
        assert not {BOS, EOS, PAD} & {token for ids in found for token in ids[1:-1]}
        if kind == "bpe":
            assert decode(tokenizer, found) == texts
            assert UNK not in {token for ids in found for token in ids}, "which no text that is generated may have"


@pytest.fixture
def local(tmp_path: Path) -> Path:
    for part, texts in {"train": TEXTS, "valid": ["a b c"], "test": ["a e <unk> b c", "<pad> d a"]}.items():
        (tmp_path / f"{part}.txt").write_text("\n".join(texts), encoding="utf-8")
    return tmp_path


def test_the_manifest_counts_unknown_words(local: Path) -> None:
    for folder in ("a", "b"):
        prepare("local", Dataset(data_dir=str(local)), LSTM, local / folder)
        assert sha256(local / folder / "manifest.json") == sha256(local / "a/manifest.json")
    manifest = read_json(local / "a/manifest.json")
    assert manifest["tokenizer"]["kind"] == "words of train, the most frequent ones"
    assert manifest["tokenizer"]["vocabulary"] == load_tokenizer(local / "a/tokenizer.json").get_vocab_size() == 7
    splits = manifest["splits"]
    assert splits["train"]["unk"] == {"written": 1, "out_of_vocabulary": 1, "share": round(2 / 11, 5)}
    assert splits["valid"]["unk"] == {"written": 0, "out_of_vocabulary": 0, "share": 0}
    assert splits["test"]["unk"] == {"written": 1, "out_of_vocabulary": 3, "share": 0.5}
    (note,) = data_notes(["local"], {"local": manifest})
    assert "words that are <unk>: 18.18 % of train, 0.00 % of valid, 50.00 % of test" in note.text
    assert splits["test"]["tokens_a_text"] == 6 and splits["test"]["cut_at_max_tokens"] == 1


def test_bpe_manifests_count_none(local: Path) -> None:
    prepare("local", Dataset(data_dir=str(local)), Backbone(vocabulary=300), local / "out")
    manifest = read_json(local / "out/manifest.json")
    assert manifest["tokenizer"]["kind"] == "byte-level BPE fitted on train"
    assert not any("unk" in split for split in manifest["splits"].values())


def test_the_tokenizer_is_part_of_what_prepared_data_depend_on() -> None:
    def prepared(tokenizer: str) -> str:
        backbone = Backbone(kind="lstm", layers=1, tokenizer=tokenizer, vocabulary=500)  # type: ignore[arg-type]
        suite = Suite.model_validate(
            {
                "name": "s",
                "datasets": ["bbe"],
                "methods": ["vae"],
                "seeds": [0],
                "metrics": ["au"],
                "backbone": backbone,
            }
        )
        return digests.settings(suite, "prepare", "bbe")

    assert prepared("bpe") != prepared("words")
    # What suites with BPE had before there was another tokenizer: train, valid, test, data_dir, vocabulary, max_tokens.
    assert prepared("bpe") == digests.digest(None, None, None, None, 500, 256)

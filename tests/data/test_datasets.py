"""The contract of every registered dataset that comes with a package, and of local texts; pairs: test_pairs.py."""

from __future__ import annotations

import gzip
import importlib
import re
from pathlib import Path

import pytest

from bench import registry
from bench.data.base import SPLITS, split
from bench.data.bbe import verses
from bench.data.prepare import fit_tokenizer, prepare, read_split
from bench.errors import BenchError
from bench.files import read_json, sha256
from bench.schema import Backbone, Dataset
from bench.vocabulary import SPECIALS, decode, encode, load_tokenizer

PACKAGED = [d.name for d in registry.datasets().values() if d.module not in ("bench.data.local", "bench.data.papers")]
TINY = Backbone(layers=1, width=8, heads=1, vocabulary=300, max_tokens=40)


@pytest.mark.parametrize("name", PACKAGED)
def test_splits_are_disjoint_repeatable_and_clean(name: str) -> None:
    module = importlib.import_module(registry.dataset(name).module)
    source = module.read(name, None)
    assert set(source.splits) == set(SPLITS)
    assert source == module.read(name, None)
    assert (source.sources is not None) == registry.dataset(name).conditional
    seen: set[str] = set()
    for part, texts in source.splits.items():
        sources = source.sources[part] if source.sources else []
        assert len(sources) in (0, len(texts))
        folded = {text.casefold() for text in [*texts, *sources]}
        assert len(folded) == len(texts) + len(sources) and not folded & seen
        seen |= folded
        assert all(text and text == " ".join(text.split()) for text in [*texts, *sources])
    assert source.licence and source.origin and source.notes


def test_what_takes_data_dir_reads_it(tmp_path: Path) -> None:
    """The others would leave a user's texts unread, so that a suite may not give it to them."""
    for dataset in registry.datasets().values():
        assert dataset.data_dir == (dataset.name not in PACKAGED)
        if dataset.data_dir:
            with pytest.raises(BenchError, match=re.escape(str(tmp_path))):
                importlib.import_module(dataset.module).read(dataset.name, tmp_path)


@pytest.mark.parametrize("name", PACKAGED)
def test_prepare_writes_a_manifest_that_holds(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = importlib.import_module(registry.dataset(name).module)
    source = module.read(name, None)
    monkeypatch.setattr(module, "read", lambda *_: source)  # once: reading takes most of the time
    part = Dataset(train=200, valid=20, test=30)
    prepare(name, part, TINY, tmp_path / "a")
    prepare(name, part, TINY, tmp_path / "b")
    manifest = read_json(tmp_path / "a/manifest.json")
    for file in ("manifest.json", "tokenizer.json", "train.txt", "valid.txt", "test.txt"):
        assert sha256(tmp_path / "a" / file) == sha256(tmp_path / "b" / file)
    assert {key: value["texts"] for key, value in manifest["splits"].items()} == {"train": 200, "valid": 20, "test": 30}
    read = read_split(tmp_path / "a", "test")
    assert read.texts == source.splits["test"][:30]
    assert read.sources == (source.sources["test"][:30] if source.sources else None)
    assert manifest["conditional"] == registry.dataset(name).conditional
    tokenizer = load_tokenizer(tmp_path / "a/tokenizer.json")
    assert [tokenizer.token_to_id(token) for token in SPECIALS] == [0, 1, 2, 3]
    assert tokenizer.get_vocab_size() == manifest["tokenizer"]["vocabulary"] == 300
    for texts in (read.texts, read.sources or []):
        assert decode(tokenizer, encode(tokenizer, texts, 10_000)) == texts


def test_verses_are_cut_where_the_book_cuts_them() -> None:
    """Spot checks against the printed book; the package's own offsets are wrong for the last two."""
    texts = verses()
    assert texts[1001001] == "At the first God made the heaven and the earth."
    assert texts[19023001].endswith("The Lord takes care of me as his sheep; I will not be without any good thing.")
    assert texts[66022021] == "The grace of the Lord Jesus be with the saints. So be it."


def test_tokenizer_encodes_what_it_has_never_seen() -> None:
    tokenizer = fit_tokenizer(["a small text", "another text"], 300)
    texts = ["Größe ≠ 尺寸 🙂", "", "\ttabs"]
    ids = encode(tokenizer, texts, 100)
    assert decode(tokenizer, ids) == ["Größe ≠ 尺寸 🙂", "", "tabs"]
    assert [row[0] for row in ids] == [0] * 3 and [row[-1] for row in ids] == [1] * 3
    assert [len(row) for row in encode(tokenizer, texts, 5)] == [5, 2, 5]


def test_split_refuses_too_few_texts() -> None:
    with pytest.raises(BenchError, match="2 distinct texts, too few for 1 valid and 1 test"):
        split(["a", "A", "b"], 1, 1)


@pytest.fixture
def local(tmp_path: Path) -> Path:
    for part in ("train", "test"):
        (tmp_path / f"{part}.txt").write_text(f"one {part}\n\ntwo {part}\n", encoding="utf-8")
    (tmp_path / "valid.txt.gz").write_bytes(gzip.compress(b"one valid\n"))
    return tmp_path


def test_local_files(local: Path, tmp_path: Path) -> None:
    prepare("ptb", Dataset(data_dir=str(local)), TINY, tmp_path / "out")
    assert read_split(tmp_path / "out", "train").texts == ["one train", "two train"]
    notes = read_json(tmp_path / "out/manifest.json")["notes"]
    assert notes[0].endswith("these files: 2 / 1 / 2 texts of 2.0 words, 4.0 with BOS and EOS")
    assert notes[1:] == ["1 blank lines of train.txt dropped", "1 blank lines of test.txt dropped"]


def test_every_text_is_counted_however_many(local: Path, tmp_path: Path) -> None:
    texts = [" ".join(["word"] * (1 + i % 7)) for i in range(2345)]
    (local / "train.txt").write_text("\n".join(texts), encoding="utf-8")
    prepare("local", Dataset(data_dir=str(local)), TINY, tmp_path / "out")
    counts = read_json(tmp_path / "out/manifest.json")["splits"]["train"]
    ids = encode(load_tokenizer(tmp_path / "out/tokenizer.json"), texts, 10_000)
    assert counts["words_a_text"] == round(sum(len(text.split()) for text in texts) / 2345, 2)
    assert counts["tokens_a_text"] == round(sum(map(len, ids)) / 2345, 2)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda d: (d / "train.txt").write_text(""), r"train\.txt holds no text"),
        (lambda d: (d / "test.txt").unlink(), r"no test\.txt or test\.txt\.gz in"),
        (lambda d: (d / "train.txt").write_bytes(b"good\nbad \xff\n"), r"train\.txt: line 2 is not UTF-8"),
        (lambda d: (d / "valid.txt.gz").write_bytes(b"\x1f\x8b not"), r"valid\.txt\.gz: cannot be read"),
        (lambda d: (d / "train.txt").write_bytes(b"good\nbad\0\n"), r"/train\.txt: line 2 holds a NUL byte$"),
        (lambda d: (d / "valid.txt").write_text("two\n"), r"'local': both valid\.txt and valid\.txt\.gz in /"),
    ],
)
def test_bad_local_files_are_one_clear_line(local: Path, tmp_path: Path, damage, message: str) -> None:
    damage(local)
    with pytest.raises(BenchError, match=message) as caught:
        prepare("local", Dataset(data_dir=str(local)), TINY, tmp_path / "out")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_changed_text_is_noticed(local: Path, tmp_path: Path) -> None:
    prepare("local", Dataset(data_dir=str(local)), TINY, tmp_path / "out")
    (tmp_path / "out/test.txt").write_text("other\n")
    with pytest.raises(BenchError, match="changed since it was prepared"):
        read_split(tmp_path / "out", "test")


def test_data_dir_is_needed_for_local_names() -> None:
    module = importlib.import_module(registry.dataset("ptb").module)
    with pytest.raises(BenchError, match="set data_dir"):
        module.read("ptb", None)

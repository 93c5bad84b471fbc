"""The papers' datasets as the hub has them: the same texts by every way in, and the pitfalls of their splits."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from pathlib import Path

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from huggingface_hub import constants

from bench import registry
from bench.data import hub, known, papers
from bench.data.base import SPLITS, Source
from bench.data.prepare import prepare, read_split
from bench.errors import BenchError
from bench.files import read_json
from bench.schema import Backbone, Dataset
from bench.suite import load

LONG = " ".join(f"word{i}" for i in range(5000))
SMALL = {name: (12, 3, 4) for name in ("snli", "quora", "cnn_dailymail", "writingprompts", "ptb")}
ROWS = {  # split of the hub -> rows; every dataset has folded white space, a long text in test, and an empty one
    "snli": {
        "train": [("A man  sleeps.", f"Hypothesis {i}.") for i in range(14)] + [("a MAN sleeps.", None)],
        "validation": [("A dog runs.", f"hypothesis {i}.") for i in range(9, 20)],
        "test": [(f"Premise\n{i}.", LONG) for i in range(5)],
    },
    "quora": {
        "train": [(f"What is {i}?", f"Which is {i % 5}?", i % 2) for i in range(30)] + [("", "What is 1?", 1)],
        "validation": [(f"Which is {i}?", f"What  is {i}?", i % 3 % 2) for i in range(9)] + [("Long", LONG, 1)],
    },
    **{
        name: {
            "train": [(f"source {i}", f"text\n{i}") for i in range(12)] + [("", "a text")],
            "validation": [(f"valid {i}", f"text {i}") for i in range(3)],
            "test": [(f"test {i}", LONG) for i in range(4)],
        }
        for name in ("cnn_dailymail", "writingprompts")
    },
    "ptb": {
        "train": [(f" train <unk> {i} ",) for i in range(12)],
        "validation": [(f"valid {i}",) for i in range(3)],
        "test": [(LONG,), ("b",), ("b",), ("c",)],
    },
}


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Splits of 12, 3 and 4 texts, of which nothing is known but the size."""
    monkeypatch.setattr(known, "KNOWN", {name: known.Known(sizes) for name, sizes in SMALL.items()})


def columns(name: str, split: str) -> dict[str, list]:
    return dict(zip(papers.HUBS[name].read, map(list, zip(*ROWS[name][split], strict=True)), strict=True))


def parquet(name: str, folder: Path) -> Path:
    """As the repository has them, train in two files."""
    for split in ROWS[name]:
        table, pattern = pa.table(columns(name, split)), papers.HUBS[name].files.format(split=split)
        parts = [table.slice(0, 5), table.slice(5)] if split == "train" else [table]
        for i, part in enumerate(parts):
            names = f"{i:05d}-of-{len(parts):05d}" if "-*" in pattern else f"{i:04d}"
            file = folder / pattern.replace("*", names)
            file.parent.mkdir(parents=True, exist_ok=True)
            pq.write_table(part, file)
            if "-*" not in pattern:  # such names do not say how many there are
                pq.write_table(table, file)
                break
    return folder


def saved(name: str, folder: Path) -> Path:
    """As the library saves what it has loaded."""
    made = {split: datasets.Dataset.from_dict(columns(name, split)) for split in ROWS[name]}
    datasets.DatasetDict(made).save_to_disk(str(folder))
    return folder


def in_cache(name: str, cache: Path) -> None:
    """As the hub's library lays them out."""
    of = papers.HUBS[name]
    parquet(name, cache / f"datasets--{of.repository.replace('/', '--')}" / "snapshots" / of.revision)


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("huggingface_hub.HfApi.list_repo_files", lambda *_, **__: pytest.fail("the network was used"))
    return tmp_path / "cache"


def texts(source: Source) -> tuple:
    return source.splits, source.sources, source.notes, source.licence


@pytest.mark.parametrize("name", ROWS)
def test_the_same_texts_come_by_every_way(name: str, tmp_path: Path, cache: Path) -> None:
    ways = [parquet(name, tmp_path / "parquet"), saved(name, tmp_path / "saved")]
    ways.append(ways[0] / papers.HUBS[name].files.partition("/")[0])
    sources = [papers.read(name, way) for way in ways]
    if name not in papers.BY_HAND:
        in_cache(name, cache)
        sources.append(papers.read(name, None))
        assert sources[-1].origin == f"hub {papers.HUBS[name].repository}@{papers.HUBS[name].revision}"
    assert all(texts(source) == texts(sources[0]) for source in sources)
    found = sources[0]
    assert tuple(len(found.splits[part]) for part in SPLITS) == SMALL[name]
    said = "train, valid, test: as many texts as papers use; no checksum of theirs is known"
    assert all(source.verified[0] == said for source in sources)
    others = [line for source in sources for line in source.verified[1:]]
    assert all(re.match(r"warning: .*\.parquet: not the hub's file: sha256 ", line) for line in others)


def test_snli_is_drawn_from_distinct_sentences(tmp_path: Path) -> None:
    source = papers.read("snli", parquet("snli", tmp_path))
    drawn = [text.casefold() for part in SPLITS for text in source.splits[part]]
    there = {" ".join((s or "").split()).casefold() for rows in ROWS["snli"].values() for row in rows for s in row} - {
        ""
    }
    assert len(set(drawn)) == len(drawn) == 19 and set(drawn) <= there
    assert source.notes[-2].startswith(f"drawn by a fixed seed from the {len(there)} premises and hypotheses")
    assert source.notes[-1] == "1 empty texts dropped"


def test_quora_holds_duplicates_alone_and_says_what_train_shares(tmp_path: Path) -> None:
    source = papers.read("quora", parquet("quora", tmp_path))
    assert source.sources is not None
    pairs = {part: list(zip(source.sources[part], source.splits[part], strict=True)) for part in SPLITS}
    drawn = Counter(pair for part in SPLITS for pair in pairs[part])
    rows = [row for split in ROWS["quora"].values() for row in split]
    assert drawn == Counter((a, " ".join(b.split())) for a, b, label in rows if label == 1 and a)
    train = {side.casefold() for pair in pairs["train"] for side in pair}
    shared = [sum(pair[side].casefold() in train for pair in pairs["test"]) for side in (0, 1)]
    (said,) = [note for note in source.notes if "test pairs" in note]
    assert f"train holds the source of {shared[0]} and the text of {shared[1]}" in said and any(shared)
    assert source.notes[-1] == "1 pairs with an empty side dropped"


@pytest.mark.parametrize("name", ["cnn_dailymail", "writingprompts", "ptb"])
def test_a_long_text_stays_in_test(name: str, tmp_path: Path) -> None:
    prepare(name, Dataset(data_dir=str(parquet(name, tmp_path / "data"))), Backbone(vocabulary=300), tmp_path / "out")
    assert read_split(tmp_path / "out", "test").texts.count(LONG) == sum(LONG in row for row in ROWS[name]["test"])
    counts = read_json(tmp_path / "out/manifest.json")["splits"]["test"]
    assert counts["texts"] == 4 and counts["cut_at_max_tokens"] >= 1


def test_the_order_of_a_hubs_split_is_kept(tmp_path: Path) -> None:
    source = papers.read("writingprompts", parquet("writingprompts", tmp_path))
    assert source.sources is not None and source.sources["train"] == [f"source {i}" for i in range(12)]
    assert source.splits["train"] == [f"text {i}" for i in range(12)]
    assert source.notes[-1] == "1 pairs with an empty side dropped"


def test_checksums_are_compared_where_they_are_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = papers.read("quora", parquet("quora", tmp_path))
    assert source.sources is not None
    pairs = zip(source.sources["test"], source.splits["test"], strict=True)
    digest = hashlib.sha256("".join(f"{a}\t{b}\n" for a, b in pairs).encode()).hexdigest()
    monkeypatch.setitem(known.KNOWN, "quora", known.Known((11, 3, 4), prepared={"valid": "0" * 64, "test": digest}))
    verified = papers.read("quora", tmp_path).verified
    assert verified[0] == "warning: train: not the split papers use: 12 texts, not 11"
    assert verified[1].startswith("warning: valid: as many, but not the texts of the pinned revision: sha256 ")
    assert verified[2] == "test: the texts of the pinned revision, by sha256"


def test_penn_treebank_is_known_by_its_texts_wherever_they_are_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = {"train": "train", "valid": "validation", "test": "test"}
    digests = {
        part: hashlib.sha256("".join(f"{row[0].strip()}\n" for row in ROWS["ptb"][split]).encode()).hexdigest()
        for part, split in lines.items()
    }
    monkeypatch.setitem(known.KNOWN, "ptb", known.Known(SMALL["ptb"], sha256=digests))
    said = ["train, valid, test: the texts papers use, by sha256"]
    assert papers.read("ptb", saved("ptb", tmp_path / "saved")).verified == said
    assert papers.read("ptb", parquet("ptb", tmp_path / "parquet")).verified == said


@pytest.mark.parametrize("name", papers.BY_HAND)
def test_what_is_not_fetched_names_the_steps(name: str) -> None:
    with pytest.raises(
        BenchError, match=f"^dataset '{name}': .* set data_dir, .*README.md, 'Data of the papers'"
    ) as caught:
        papers.read(name, None)
    assert "\n" not in str(caught.value)
    assert "## Data of the papers" in Path("workflow/config/README.md").read_text(encoding="utf-8")


def test_what_cannot_be_fetched_names_dataset_and_repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def offline(*_: object, **__: object) -> None:
        raise ConnectionError("no route to host")

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.HfApi.list_repo_files", offline)
    said = r"^dataset 'snli': cannot fetch stanfordnlp/snli@cdb5c3d \(no route to host\): give its files as data_dir"
    with pytest.raises(BenchError, match=said):
        prepare("snli", Dataset(), Backbone(vocabulary=300), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_the_suite_of_the_papers_has_all_seven() -> None:
    assert set(load("workflow/config/paper.yaml").datasets) == set(papers.LICENCES)


def test_every_dataset_has_a_licence_and_a_pinned_revision_or_a_reason() -> None:
    names = {d.name for d in registry.datasets().values() if d.module == "bench.data.papers"}
    assert names == set(papers.LICENCES) and names == set(papers.HUBS) | set(papers.BY_HAND)
    for name, of in papers.HUBS.items():
        assert (of.revision == "") == (name in papers.BY_HAND)
        assert name in papers.BY_HAND or re.fullmatch(r"[0-9a-f]{40}", of.revision)
        assert all(re.fullmatch(r"[0-9a-f]{64}", digest) for digest in of.sha256.values())


@pytest.mark.parametrize("damage", ["dataset_dict.json", "train/state.json", "test/data-00000-of-00001.arrow"])
def test_a_damaged_saved_dataset_is_one_clear_line(damage: str, tmp_path: Path) -> None:
    file = saved("ptb", tmp_path) / damage
    file.write_bytes(b"{")
    with pytest.raises(BenchError, match="cannot be read as a saved dataset") as caught:
        papers.read("ptb", tmp_path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("column", "said"), [([1, 2], "not all of sentence are text"), (["", None], "no text for train, valid, test")]
)
def test_a_saved_dataset_without_text(column: list, said: str, tmp_path: Path) -> None:
    made = {split: datasets.Dataset.from_dict({"sentence": column}) for split in papers.HUBS["ptb"].splits}
    datasets.DatasetDict(made).save_to_disk(str(tmp_path))
    with pytest.raises(BenchError, match=said):
        papers.read("ptb", tmp_path)


def test_a_saved_dataset_without_a_split(tmp_path: Path) -> None:
    datasets.DatasetDict(train=datasets.Dataset.from_dict(columns("ptb", "train"))).save_to_disk(str(tmp_path))
    with pytest.raises(BenchError, match="has no split validation"):
        hub.read_saved(papers.HUBS["ptb"], tmp_path)

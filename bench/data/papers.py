"""The seven datasets of the papers: from the Hugging Face hub where it has them, or from ``data_dir``.

``data_dir`` holds plain files (``bench/data/local.py``) or, of a dataset that the hub has, a ``DatasetDict`` written by
``save_to_disk`` or the hub's Parquet files as they are: the same texts come of either. No text is too long.
"""

from __future__ import annotations

from collections.abc import Mapping, Sized
from pathlib import Path

from bench.data import hub, known
from bench.data.base import SPLITS, Source, split, split_pairs
from bench.data.hub import Hub, Rows
from bench.data.local import pair_notes, read_files
from bench.errors import BenchError

NAMES = ("ptb", "snli", "yelp", "yahoo")
CONDITIONAL = ("quora", "cnn_dailymail", "writingprompts")
DATA_DIR = True

# Revisions that others pin too. PTB is on the hub as a script alone; its Parquet is made by the hub on a moving branch.
HUBS = {
    "ptb": Hub("ptb-text-only/ptb_text_only", "", "penn_treebank/{split}/*.parquet", ("sentence",)),
    "snli": Hub(
        "stanfordnlp/snli",
        "cdb5c3d5eed6ead6e5a341c8e56e669bb666725b",
        "plain_text/{split}-*.parquet",
        ("premise", "hypothesis"),
        sha256={
            "train-00000-of-00001.parquet": "ef9a7b25d97390a62aeda7abe26aec8640600f50b818eaeb9107097d60ac6620",
            "test-00000-of-00001.parquet": "4696deda851c4d2385f26b58f2e13f9ed9f08ea7b42a3f4c2b97a9d08448878c",
        },
    ),
    "quora": Hub(
        "nyu-mll/glue",
        "bcdcba79d07bc864c1c254ccfcedcce55bcc9a8c",
        "qqp/{split}-*.parquet",
        ("question1", "question2"),
        only=("label", 1),  # the duplicates
        splits=("train", "validation"),  # those of test have no labels
        sha256={
            "train-00000-of-00001.parquet": "4d6f02e643f7c36e9a4f7d4971a5ee9bd74063a319452fe6c87850c739774cd7",
            "validation-00000-of-00001.parquet": "efd86a539c412d74874ee451573d7bd142f56c47fe36de033b9f367d8bb0fa71",
        },
    ),
    "cnn_dailymail": Hub(
        "abisee/cnn_dailymail",
        "96df5e686bee6baa90b8bee7c28b81fa3fa6223d",
        "3.0.0/{split}-*.parquet",
        ("article", "highlights"),
        sha256={"test-00000-of-00001.parquet": "04e322d2634a96dba76bf9a6294fbbe48e0b36abeae43f13d86ba2c3bebffe4e"},
    ),
    "writingprompts": Hub(
        "euclaise/writingprompts",
        "35f0aa359452ba8147b34d925684fccee26679cc",
        "data/{split}-*.parquet",
        ("prompt", "story"),
    ),
}
LICENCES = {  # DELLA, A.2, and the hub's cards
    "ptb": "LDC User Agreement",
    "snli": "CC BY-SA 4.0",
    "yelp": "Yelp Data Agreement",
    "yahoo": "none found",
    "quora": "Quora's Terms of Service",
    "cnn_dailymail": "Apache 2.0 by its card, MIT by DELLA's paper",
    "writingprompts": "MIT",
}
BY_HAND = {  # why a dataset is not fetched
    "ptb": "the hub has it as a script alone, which is never run",
    "yelp": "no public host has the files of Yang et al. (2017)",
    "yahoo": "no public host has the files of Yang et al. (2017)",
}
STEPS = "workflow/config/README.md, 'Data of the papers', has the steps"


def read(name: str, data_dir: Path | None) -> Source:
    """The papers' splits; what is not here is fetched where the hub has it."""
    of = HUBS.get(name)
    if data_dir is None:
        if name in BY_HAND:
            raise BenchError(
                f"dataset '{name}': {BY_HAND[name]}: set data_dir, a directory with train, valid and test as .txt or "
                f".txt.gz ({STEPS})"
            )
        return _from_hub(name, f"hub {HUBS[name].repository}@{HUBS[name].revision}", *_fetched(name))
    if of and hub.is_saved(data_dir):
        return _from_hub(name, f"saved dataset {of.repository}", hub.read_saved(of, data_dir), [])
    if of and any(hub.parquet(of, data_dir).values()):
        return _from_hub(name, f"Parquet files {of.repository}", *hub.read_parquet(of, data_dir))
    return read_files(name, data_dir, name in CONDITIONAL)


def _fetched(name: str) -> tuple[Rows, list[str]]:
    try:
        return hub.read_parquet(HUBS[name], hub.fetch(HUBS[name]))
    except BenchError as error:
        raise BenchError(f"dataset '{name}': {error} ({STEPS})") from None


def _from_hub(name: str, origin: str, rows: Rows, verified: list[str]) -> Source:
    """The papers' splits of the hub's rows."""
    if name not in CONDITIONAL:
        texts, notes = _texts(name, rows)
        _check(name, origin, texts)
        notes = [*known.sizes(name, texts), *notes]
        return Source(texts, LICENCES[name], origin, notes, verified=[*known.verified(name, texts), *verified])
    pairs, notes = _pairs(name, rows)
    _check(name, origin, pairs)
    sources, texts = ({part: [pair[side] for pair in pairs[part]] for part in SPLITS} for side in (0, 1))
    lines = {part: ["\t".join(pair) for pair in pairs[part]] for part in SPLITS}
    notes = [*pair_notes(name, pairs), *notes]
    return Source(texts, LICENCES[name], origin, notes, sources, [*known.verified(name, lines), *verified])


def _check(name: str, origin: str, found: Mapping[str, Sized]) -> None:
    if empty := [part for part in SPLITS if not len(found[part])]:
        raise BenchError(f"dataset '{name}': {origin}: no text for {', '.join(empty)}")


def _texts(name: str, rows: Rows) -> tuple[dict[str, list[str]], list[str]]:
    """Each value of each row is a text. Of SNLI as many distinct ones as the papers have are drawn."""
    texts = {key: [text for row in of for text in row if text] for key, of in rows.items()}
    notes = _dropped(sum(not text for of in rows.values() for row in of for text in row), "empty texts")
    if name != "snli":
        return dict(zip(SPLITS, texts.values(), strict=True)), notes
    train, valid, test = known.KNOWN[name].texts
    drawn = split([text for of in texts.values() for text in of], valid, test)
    note = (
        f"drawn by a fixed seed from the {sum(map(len, drawn.values())):,} premises and hypotheses that differ without "
        "regard to case; the papers do not say how they drew theirs"
    )
    return drawn | {"train": drawn["train"][:train]}, [note, *notes]


def _pairs(name: str, rows: Rows) -> tuple[dict[str, list[tuple[str, str]]], list[str]]:
    """Each row is (source, text). Of Quora all are drawn from."""
    pairs = {key: [(source, text) for source, text in of if source and text] for key, of in rows.items()}
    notes = _dropped(sum(map(len, rows.values())) - sum(map(len, pairs.values())), "pairs with an empty side")
    if name != "quora":
        return dict(zip(SPLITS, pairs.values(), strict=True)), notes
    _, valid, test = known.KNOWN[name].texts
    sources, texts = split_pairs([pair for of in pairs.values() for pair in of], valid, test)
    note = (
        "drawn by a fixed seed from the duplicates of GLUE's train and validation; the paper does not say how it drew"
    )
    return {part: list(zip(sources[part], texts[part], strict=True)) for part in SPLITS}, [note, *notes]


def _dropped(count: int, what: str) -> list[str]:
    return [f"{count} {what} dropped"] if count else []

"""Source -> the files every later stage reads: three text files, a tokenizer fitted on train, and a manifest."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench import registry
from bench.data.base import SPLITS, Source
from bench.errors import BenchError
from bench.files import atomic, atomic_directory, read_json, sha256, write_json
from bench.vocabulary import SPECIALS

if TYPE_CHECKING:
    from tokenizers import Tokenizer

    from bench.suite import Backbone, Dataset


def prepare(name: str, part: Dataset, backbone: Backbone, out: Path) -> None:
    """Write ``out/{train,valid,test}.txt``, ``out/tokenizer.json`` and ``out/manifest.json``, all or nothing."""
    module = importlib.import_module(registry.dataset_source(name))
    source: Source = module.read(name, Path(part.data_dir).expanduser() if part.data_dir else None)
    limits = {"train": part.train, "valid": part.valid, "test": part.test}
    splits = {key: source.splits[key][: limits[key]] for key in SPLITS}
    tokenizer = fit_tokenizer(splits["train"], backbone.vocabulary)
    with atomic_directory(out) as folder:
        for key in SPLITS:
            with atomic(folder / f"{key}.txt") as stream:
                stream.writelines(text + "\n" for text in splits[key])
        with atomic(folder / "tokenizer.json") as stream:
            stream.write(tokenizer.to_str(pretty=True))
        write_json(folder / "manifest.json", _manifest(name, source, splits, tokenizer, backbone.max_tokens, folder))


def fit_tokenizer(texts: Sequence[str], vocabulary: int) -> Tokenizer:
    """Byte-level BPE of ``vocabulary`` entries, fitted on train alone; it encodes any text and has no <unk>."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary, special_tokens=list(SPECIALS), initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


def _manifest(
    name: str, source: Source, splits: dict[str, list[str]], tokenizer: Tokenizer, max_tokens: int, folder: Path
) -> dict[str, Any]:
    counts = {}
    for key, texts in splits.items():
        lengths = [len(e.ids) + 2 for e in tokenizer.encode_batch(texts)]
        counts[key] = {
            "texts": len(texts),
            "available": len(source.splits[key]),
            "words_a_text": round(sum(len(t.split()) for t in texts) / len(texts), 2),
            "tokens_a_text": round(sum(lengths) / len(texts), 2),  # with BOS and EOS
            "cut_at_max_tokens": sum(length > max_tokens for length in lengths),
            "sha256": sha256(folder / f"{key}.txt"),
        }
    return {
        "dataset": name,
        "licence": source.licence,
        "origin": source.origin,
        "notes": source.notes,
        "splits": counts,
        "tokenizer": {
            "kind": "byte-level BPE fitted on train",
            "vocabulary": tokenizer.get_vocab_size(),
            "sha256": sha256(folder / "tokenizer.json"),
        },
        "max_tokens": max_tokens,
    }


def read_split(folder: str | Path, part: str) -> list[str]:
    """The texts of one prepared split, checked against the manifest."""
    file = Path(folder) / f"{part}.txt"
    recorded = read_json(Path(folder) / "manifest.json", "manifest")["splits"][part]["sha256"]
    if not file.is_file() or sha256(file) != recorded:
        raise BenchError(f"{file}: missing or changed since it was prepared (sha256 differs from manifest.json)")
    return file.read_text(encoding="utf-8").splitlines()

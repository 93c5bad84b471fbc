"""Source -> the files every later stage reads: three text files, a tokenizer fitted on train, and a manifest."""

from __future__ import annotations

import importlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench import registry
from bench.data.base import SPLITS, Source
from bench.data.sentences import sentence_starts
from bench.errors import BenchError
from bench.files import atomic, atomic_directory, read_json, sha256, write_json
from bench.vocabulary import SPECIALS, UNK, load_tokenizer

if TYPE_CHECKING:
    from tokenizers import Tokenizer

    from bench.schema import Backbone, Dataset

KINDS = {"bpe": "byte-level BPE fitted on train", "words": "words of train, the most frequent ones"}


@dataclass(frozen=True)
class Split:
    """One split: the texts a model generates and, of a conditional dataset, the source of each.

    ``sentences`` are the characters where each text's second and later sentences begin; None where nobody looked.
    """

    texts: list[str]
    sources: list[str] | None
    sentences: list[list[int]] | None = None

    def lines(self) -> list[str]:
        """As the split's file holds them: ``text``, or ``source TAB text``; neither side holds a tab."""
        if self.sources is None:
            return self.texts
        return [f"{source}\t{text}" for source, text in zip(self.sources, self.texts, strict=True)]


def prepare(name: str, part: Dataset, backbone: Backbone, out: Path, pretrained: Path | None = None) -> None:
    """Write ``out/{train,valid,test}.txt``, ``out/tokenizer.json`` and ``out/manifest.json``, all or nothing.

    The tokenizer is fitted on train, or that of the ``pretrained`` model in a directory. Where the suite asks for
    sentences also ``{train,valid,test}.sentences``, their beginnings, a line for each text.
    """
    source = read_source(name, part)
    limits = {"train": part.train, "valid": part.valid, "test": part.test}
    splits = {
        key: Split(source.splits[key][: limits[key]], source.sources[key][: limits[key]] if source.sources else None)
        for key in SPLITS
    }
    texts = [*splits["train"].texts, *(splits["train"].sources or ())]
    if pretrained is not None:
        tokenizer = load_tokenizer(pretrained / "tokenizer.json")
    else:
        tokenizer = fit_tokenizer(texts, backbone.vocabulary, backbone.tokenizer)
    with atomic_directory(out) as folder:
        for key in SPLITS:
            with atomic(folder / f"{key}.txt") as stream:
                stream.writelines(line + "\n" for line in splits[key].lines())
            if part.sentences:
                with atomic(folder / f"{key}.sentences") as stream:
                    starts = sentence_starts(splits[key].texts)
                    stream.writelines(" ".join(map(str, of_text)) + "\n" for of_text in starts)
        with atomic(folder / "tokenizer.json") as stream:
            stream.write(tokenizer.to_str(pretty=True))
        write_json(folder / "manifest.json", _manifest(name, source, splits, tokenizer, backbone, folder))


def read_source(name: str, part: Dataset) -> Source:
    """A dataset's texts, from its module."""
    module = importlib.import_module(registry.dataset(name).module)
    source: Source = module.read(name, Path(part.data_dir).expanduser() if part.data_dir else None)
    return source


def fit_tokenizer(texts: Sequence[str], vocabulary: int, kind: str = "bpe") -> Tokenizer:
    """A tokenizer of at most ``vocabulary`` entries, the four special ones among them, fitted on train alone."""
    return _fit_words(texts, vocabulary) if kind == "words" else _fit_bpe(texts, vocabulary)


def _fit_bpe(texts: Sequence[str], vocabulary: int) -> Tokenizer:
    """Byte-level BPE; it encodes any text and never yields UNK: an <unk> of a text is read as its letters."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary, special_tokens=list(SPECIALS), initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.encode_special_tokens = True  # as `load_tokenizer` has it
    return tokenizer


def _fit_words(texts: Sequence[str], vocabulary: int) -> Tokenizer:
    """The most frequent words between white space, of equally frequent ones the first by code point; others are <unk>.

    A ``<unk>`` that stands in a text is that very id. None of the four is an added token of the library, which would
    find them inside words and leave ``<unk>`` out of decoded text.
    """
    from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers

    counts = Counter(word for text in texts for word in text.split())
    words = sorted(counts.keys() - set(SPECIALS), key=lambda word: (-counts[word], word))
    entries = [*SPECIALS, *words][:vocabulary]
    tokenizer = Tokenizer(models.WordLevel({word: i for i, word in enumerate(entries)}, unk_token=SPECIALS[UNK]))
    # A word of a text that is spelt like BOS, EOS or PAD is none of them but a word outside the vocabulary.
    spelt = "|".join(token for token in SPECIALS if token != SPECIALS[UNK])
    tokenizer.normalizer = normalizers.Replace(Regex(rf"(?<!\S)(?:{spelt})(?!\S)"), SPECIALS[UNK])
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return tokenizer


def _manifest(
    name: str, source: Source, splits: dict[str, Split], tokenizer: Tokenizer, backbone: Backbone, folder: Path
) -> dict[str, Any]:
    counts: dict[str, dict[str, Any]] = {}
    limits = {"max_tokens": backbone.max_tokens}
    for key, split in splits.items():
        words, tokens, cut = _lengths(split.texts, tokenizer, backbone.max_tokens)
        counts[key] = {
            "texts": len(split.texts),
            "available": len(source.splits[key]),
            "words_a_text": words,
            "tokens_a_text": tokens,
            "cut_at_max_tokens": cut,
            "sha256": sha256(folder / f"{key}.txt"),
        }
        if split.sources is not None:
            words, tokens, cut = _lengths(split.sources, tokenizer, backbone.max_source_tokens)
            counts[key] |= {
                "source_words_a_text": words,
                "source_tokens_a_text": tokens,
                "sources_cut_at_max_tokens": cut,
            }
            limits["max_source_tokens"] = backbone.max_source_tokens
        if backbone.tokenizer == "words":
            counts[key]["unk"] = _unknown([*split.texts, *(split.sources or ())], tokenizer)
        sentences = folder / f"{key}.sentences"
        if sentences.exists():
            found = len(split.texts) + sum(len(line.split()) for line in sentences.read_text().splitlines())
            counts[key] |= {
                "sentences_a_text": round(found / len(split.texts), 2),
                "sentences_sha256": sha256(sentences),
            }
    return {
        "dataset": name,
        "conditional": source.sources is not None,
        "licence": source.licence,
        "origin": source.origin,
        "notes": source.notes,
        **({"verified": source.verified} if source.verified else {}),
        "splits": counts,
        "tokenizer": {
            "kind": KINDS.get(backbone.tokenizer, f"byte-level BPE of pretrained {backbone.tokenizer}"),
            "vocabulary": tokenizer.get_vocab_size(),
            "sha256": sha256(folder / "tokenizer.json"),
        },
        **limits,
    }


def _lengths(texts: list[str], tokenizer: Tokenizer, max_tokens: int) -> tuple[float, float, int]:
    """Words and tokens (with BOS and EOS) a text, and how many texts have over ``max_tokens``."""
    lengths = [len(ids) + 2 for ids in _encoded(texts, tokenizer)]
    words = sum(len(t.split()) for t in texts)
    over = sum(length > max_tokens for length in lengths)
    return round(words / len(texts), 2), round(sum(lengths) / len(texts), 2), over


def _encoded(texts: list[str], tokenizer: Tokenizer, at_once: int = 1000) -> Iterator[list[int]]:
    """The ids of each text; of all articles of CNN/DM at once the library's encodings would take 14 GiB."""
    for start in range(0, len(texts), at_once):
        yield from (encoding.ids for encoding in tokenizer.encode_batch(texts[start : start + at_once]))


def _unknown(texts: list[str], tokenizer: Tokenizer) -> dict[str, float]:
    """How many words are <unk>: written so in the texts, or outside the vocabulary; and their share of all words."""
    found = words = 0
    for ids in _encoded(texts, tokenizer):
        found, words = found + ids.count(UNK), words + len(ids)
    written = sum(text.split().count(SPECIALS[UNK]) for text in texts)
    return {"written": written, "out_of_vocabulary": found - written, "share": round(found / words, 5)}


def read_split(folder: str | Path, part: str) -> Split:
    """One prepared split, checked against the manifest."""
    file = Path(folder) / f"{part}.txt"
    manifest = read_json(Path(folder) / "manifest.json", "manifest")
    counts = manifest["splits"][part]
    lines = _checked(file, counts["sha256"])
    sentences = None
    if "sentences_sha256" in counts:
        starts = _checked(file.with_suffix(".sentences"), counts["sentences_sha256"])
        sentences = [[int(start) for start in line.split()] for line in starts]
    if not manifest.get("conditional"):  # a key that older manifests lack
        return Split(lines, None, sentences)
    pairs = [line.split("\t") for line in lines]
    return Split([text for _, text in pairs], [source for source, _ in pairs], sentences)


def _checked(file: Path, expected: str) -> list[str]:
    """The lines of a file whose checksum the manifest holds."""
    if not file.is_file() or sha256(file) != expected:
        raise BenchError(f"{file}: missing or changed since it was prepared (sha256 differs from manifest.json)")
    return file.read_text(encoding="utf-8").splitlines()

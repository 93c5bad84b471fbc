"""Texts that no package may carry, as plain files: read from a local directory given as ``data_dir`` in the suite.

The directory holds ``train``, ``valid`` and ``test``, each as ``.txt`` or ``.txt.gz``, UTF-8, one text a line. Of a
conditional dataset they may end in ``.tsv`` or ``.tsv.gz`` as well, and a line is ``source TAB text``. Of a dataset in
``bench/data/known.py`` the manifest says under ``verified`` whether the files are those papers use: ``ptb`` by the
texts themselves (42,068 / 3,370 / 3,761 lines, ``<unk>`` for rare words, ``N`` for numbers, no end-of-text mark).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from bench.data import known
from bench.data.base import SPLITS, Source, one_line
from bench.errors import BenchError
from bench.files import lines_of, read_bytes

NAMES = ("local", "yahoo-resplit", "snli-resplit")  # the latter: not the papers' splits
CONDITIONAL = ("local-pairs",)
DATA_DIR = True

TEXTS = (".txt", ".txt.gz")
PAIRS = (".tsv", ".tsv.gz", *TEXTS)
PAPER = {  # DELLA, Table 7 and Section 5.1, where the number of WritingPrompts samples is printed as 22,2614
    "quora": "134k / 5k / 10k pairs of 10 and 10 words",
    "cnn_dailymail": "287k / 13k / 11k pairs of 790 and 61 words; trained on 165,157 with max length 900",
    "writingprompts": "272k / 15k / 15k pairs of 28 and 674 words; trained on 222,614 with max length 900",
}


def read(name: str, data_dir: Path | None) -> Source:
    """The three files as they are."""
    return read_files(name, data_dir, name in CONDITIONAL)


def read_files(name: str, data_dir: Path | None, conditional: bool) -> Source:
    """Likewise, of a dataset of any name."""
    suffixes = PAIRS if conditional else TEXTS
    if data_dir is None:
        raise BenchError(f"dataset '{name}': set data_dir, a directory with train, valid and test as {_any(suffixes)}")
    files = {part: _find(data_dir, part, suffixes, name) for part in SPLITS}
    return _read_pairs(name, files) if conditional else _read_texts(name, files)


def _read_texts(name: str, files: dict[str, Path]) -> Source:
    """Blank lines are dropped and counted; a tab is white space, and may stand behind a label."""
    splits, notes, read = {}, [], {part: (file, read_bytes(file)) for part, file in files.items()}
    verified = []
    for part, (file, data) in read.items():
        raw = _lines(file, data, name)
        lines = [one_line(line) for line in raw]
        splits[part] = [line for line in lines if line]
        if not splits[part]:
            raise BenchError(f"dataset '{name}': {file} holds no text")
        if blank := len(lines) - len(splits[part]):
            notes.append(f"{blank} blank lines of {file.name} dropped")
        if tabs := sum("\t" in line.strip() for line in raw):
            verified.append(f"warning: {tabs:,} lines of {file.name} hold a tab; a label before it is read as a word")
    return Source(
        splits,
        licence="not stated (local files)",
        origin=f"local files {name}",
        notes=[*known.sizes(name, splits), *notes],
        verified=[*known.verified(name, splits, read), *verified],
    )


def _read_pairs(name: str, files: dict[str, Path]) -> Source:
    """No pair is dropped."""
    read = {part: (file, read_bytes(file)) for part, file in files.items()}
    pairs = {part: _pairs_of(file, data, name) for part, (file, data) in read.items()}
    sources, texts = ({part: [pair[side] for pair in pairs[part]] for part in SPLITS} for side in (0, 1))
    lines = {part: ["\t".join(pair) for pair in pairs[part]] for part in SPLITS}
    return Source(
        texts,
        licence="not stated (local files)",
        origin=f"local files {name}",
        notes=pair_notes(name, pairs),
        sources=sources,
        verified=known.verified(name, lines, read),
    )


def pair_notes(name: str, pairs: Mapping[str, list[tuple[str, str]]]) -> list[str]:
    """DELLA's sizes beside these, and what valid and test share with train."""
    notes = _shared(pairs)
    if name in PAPER:
        every = [pair for part in SPLITS for pair in pairs[part]]
        words = " and ".join(f"{sum(len(p[side].split()) for p in every) / len(every):.1f}" for side in (0, 1))
        sizes = " / ".join(str(len(pairs[part])) for part in SPLITS)
        notes.insert(0, f"DELLA's paper: {PAPER[name]}; these files: {sizes} pairs of {words} words")
    return notes


def _pairs_of(file: Path, data: bytes, name: str) -> list[tuple[str, str]]:
    pairs = []
    for number, line in enumerate(_lines(file, data, name), 1):
        sides = [one_line(side) for side in line.split("\t")]
        if len(sides) != 2 or not all(sides):
            raise BenchError(f"dataset '{name}': {file}: line {number} is not 'source TAB text', neither of them empty")
        pairs.append((sides[0], sides[1]))
    if not pairs:
        raise BenchError(f"dataset '{name}': {file} holds no pair")
    return pairs


def _shared(pairs: Mapping[str, list[tuple[str, str]]]) -> list[str]:
    """How much of valid and of test train holds, compared without case; nothing of one of which it holds nothing."""
    known_pairs = {frozenset(map(str.casefold, pair)) for pair in pairs["train"]}
    known = frozenset().union(*known_pairs)
    notes = []
    for part in ("valid", "test"):
        folded = [(source.casefold(), text.casefold()) for source, text in pairs[part]]
        sources, texts = (sum(pair[side] in known for pair in folded) for side in (0, 1))
        whole = sum(frozenset(pair) in known_pairs for pair in folded)
        if sources or texts:
            notes.append(
                f"warning: of {len(folded)} {part} pairs, train holds the source of {sources} and the text of {texts} "
                f"(on either side of a pair), and {whole} as whole pairs (either way round); none are dropped"
            )
    return notes


def _find(data_dir: Path, part: str, suffixes: tuple[str, ...], name: str) -> Path:
    found = [file for suffix in suffixes if (file := data_dir / f"{part}{suffix}").is_file()]
    if not found:
        raise BenchError(f"dataset '{name}': no {_any([part + suffix for suffix in suffixes])} in {data_dir}")
    if len(found) > 1:
        raise BenchError(f"dataset '{name}': both {found[0].name} and {found[1].name} in {data_dir}: which is meant?")
    return found[0]


def _lines(file: Path, data: bytes, name: str) -> list[str]:
    """The lines of a file, which hold no character that no text has."""
    lines = lines_of(data, file)
    for number, line in enumerate(lines, 1):
        if "\0" in line:
            raise BenchError(f"dataset '{name}': {file}: line {number} holds a NUL byte")
    return lines


def _any(names: Sequence[str]) -> str:
    return f"{', '.join(names[:-1])} or {names[-1]}"

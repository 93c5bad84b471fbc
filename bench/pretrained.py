"""Which pretrained models there are by name. Light: the DAG reads it; bench/data/pretrained.py takes them over."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bench.errors import BenchError, suggest

if TYPE_CHECKING:
    from bench.schema import Suite

RESERVED = ("fresh", "bpe", "words")  # no names of models: of weights and tokenizers that are not pretrained
FILES = ("config.json", "weights.safetensors", "tokenizer.json")  # of one that was taken over, beside its manifest


@dataclass(frozen=True)
class Known:
    """A model by name: ``package`` of bench/metrics/pretrained.py, or a hub's ``repository`` at a ``revision``.

    ``note``: what else is to be known of its weights.
    """

    kind: str
    licence: str
    package: str = ""
    repository: str = ""
    revision: str = ""
    note: str = ""


KNOWN: Mapping[str, Known] = {
    "smollm2": Known(
        "llama",
        "Apache-2.0",
        package="smollm2",
        note="SmolLM2-135M-Instruct: tuned to follow instructions after pretraining; weights stored in 4 bits",
    ),
    "gpt2": Known(
        "gpt2", "MIT", repository="openai-community/gpt2", revision="607a30d783dfa663caf39e06633721c8d4cfcd7e"
    ),
    "gpt2-medium": Known(
        "gpt2", "MIT", repository="openai-community/gpt2-medium", revision="6dcaa7a952f72f9298047fd5137cd6e4f05f41da"
    ),
    "bart-base": Known(
        "bart", "Apache-2.0", repository="facebook/bart-base", revision="aadd2ab0ae0c8268c7c9693540e9904811f36177"
    ),
}


def kind_of(suite: Suite, name: str) -> str:
    """The kind of one model of a suite; :class:`BenchError` where there is none, or nobody says."""
    own, known = suite.models.get(name), KNOWN.get(name)
    if name in RESERVED:
        raise BenchError(f"'models.{name}': that is no name of a pretrained model here")
    if own is None and known is None:
        raise BenchError(f"no pretrained model '{name}'{suggest(name, [*KNOWN, *suite.models, *RESERVED])}")
    kind = (own.kind if own else None) or (known.kind if known else None)
    if kind is None:
        raise BenchError(f"'models.{name}': give its kind, gpt2, llama or bart")
    if known and kind != known.kind:
        raise BenchError(f"'models.{name}': it is of kind {known.kind}, not {kind}")
    if known is None and own is not None and own.model_dir is None:
        raise BenchError(f"'models.{name}': give its model_dir, a directory as transformers saves models")
    return kind


def source_of(suite: Suite, name: str) -> tuple[str, str, Known | None]:
    """Where a model of a suite is from: its kind, and its directory, or else what is known of it."""
    own = suite.models.get(name)
    model_dir = own.model_dir if own else None
    return kind_of(suite, name), model_dir or "", None if model_dir else KNOWN[name]


def about(suite: Suite, name: str) -> dict[str, str]:
    """What is to be said of a model's weights where they are used: ``origin``, ``licence``, and a ``note`` if any."""
    _, _, known = source_of(suite, name)
    if known is None:
        return {"origin": "local files", "licence": "not stated (local files)"}
    origin = f"package {known.package}" if known.package else f"hub {known.repository}@{known.revision}"
    return {"origin": origin, "licence": known.licence, **({"note": known.note} if known.note else {})}

"""Digests of settings: what a stage of a cell depends on besides its code (bench/closure.py) and its inputs."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

from bench import pretrained, registry
from bench.schema import FITTED, FRESH, Suite, Training
from bench.suite import backbone_of, generation_of, likelihood_of, spec_of, training_of

# keys of a method's spec that are in the digest of a plan or of its backbone
OWN_PLANS = {"backbone", "learning_rate", "epochs", "threads", "importance_examples"}
# of a plan, where they are off: no part of its digest
OFF_BY_DEFAULT = ("keep", "precision", "batch_tokens", "tokens_at_once", "compile")


def digest(*parts: Any) -> str:
    """A short hash of JSON-able or pydantic values: what a stage of a cell depends on besides its code and inputs."""

    def plain(value: Any) -> Any:
        if isinstance(value, BaseModel):
            return value.model_dump(mode="json")
        return dict(value) if isinstance(value, Mapping) else str(value)

    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=plain).encode()).hexdigest()[:16]


def settings(
    suite: Suite,
    stage: str,
    dataset: str = "",
    method: str = "",
    family: str = "",
    report: str = "",
    decoding: str = "",
    model: str = "",
) -> str:
    """The digest of exactly those suite settings that one stage of one cell depends on.

    Editing the YAML then re-runs what the edit concerns and nothing else.
    """
    part = suite.datasets.get(dataset)
    match stage:
        case "prepare":
            assert part is not None
            size = backbone_of(suite, dataset)
            sources = [size.max_source_tokens] if registry.dataset(dataset).conditional else []
            sentences = [part.sentences] if part.sentences else []
            vocabulary = size.vocabulary if size.tokenizer in FITTED else None
            limits = (part.train, part.valid, part.test, part.data_dir, vocabulary, size.max_tokens)
            kind = [size.tokenizer] if size.tokenizer != "bpe" else []
            return digest(*limits, *sources, *sentences, *kind)
        case "pretrained":
            return digest(pretrained.source_of(suite, model))
        case "train":
            spec = spec_of(suite, method).model_dump(exclude=OWN_PLANS)
            spec["use"] = registry.spelling(spec["use"])
            plan, plain = training_of(suite, dataset, method), Training()
            unread = {key for key in OFF_BY_DEFAULT if getattr(plan, key) == getattr(plain, key)}
            unread.add("graphs")  # says how a device computes, as the device itself does, and that is no setting
            built = _backbone_settings(suite, dataset, method)
            return digest(spec, built, plan.model_dump(mode="json", exclude=unread))
        case "likelihood":
            return digest(likelihood_of(suite, dataset, method), suite.training.threads)
        case "generate":
            return digest(generation_of(suite, dataset, decoding), suite.training.threads)
        case "interpolate" | "attention":
            return digest(suite.training.threads)
        case "augment":
            trained = settings(suite, "train", dataset, suite.augmentation.model)
            return digest(trained, suite.augmentation.decoding)
        case "untrained":
            return digest(suite.generation.samples)
        case "score":
            wanted = {name: given for name, given in suite.metrics.items() if registry.metric(name).family == family}
            return digest(wanted)
        case _:
            return digest(suite)


def _backbone_settings(suite: Suite, dataset: str, method: str) -> dict[str, Any]:
    """What a cell's model depends on: an unconditional dataset has no sources to cut."""
    size = backbone_of(suite, dataset, method)
    unread = set() if registry.dataset(dataset).conditional else {"max_source_tokens"}
    own = {"layers", "width", "heads", "kv_heads", "embedding"}  # of pretrained weights
    unread |= {"weights"} if size.weights == FRESH else own
    unread |= {"vocabulary"} if size.tokenizer not in FITTED else set()
    unread |= set() if size.kv_heads else {"kv_heads"}
    return size.model_dump(mode="json", exclude=unread)

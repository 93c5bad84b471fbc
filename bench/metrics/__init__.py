"""Metrics of generated text and of latent-variable likelihoods: exact, signed, with their sampling uncertainty.

>>> from bench.metrics import score
>>> values = score(["the cat sat", "a dog ran"], ["the cat ran", "a cat sat"], metrics=["bleu", "distinct"])
>>> values["bleu2"].value, values["bleu2"].signature
(59.12870929175277, 'bleu|n:2|tok:regex|smooth:method1|refs:all2|v:1')

Names are imported when first used: n-gram metrics need numpy alone, and nothing here imports torch before it must.
"""

from __future__ import annotations

import importlib
from typing import Any

_MODULE_OF = {
    "mutual_information": "aggregate",
    "compare": "api",
    "names": "api",
    "score": "api",
    "score_likelihood": "api",
    "Metric": "base",
    "Quantity": "base",
    "TextInputs": "base",
    "Undefined": "base",
    "Value": "base",
    "bleu_scores": "bleu",
    "Bootstrap": "bootstrap",
    "Examples": "bootstrap",
    "mean_ci": "bootstrap",
    "LikelihoodFile": "likelihood_file",
    "importance_weighted_nll": "likelihood_file",
    "NgramIndex": "ngrams",
    "rouge_scores": "rouge",
    "over_seeds": "seeds",
    "self_bleu_scores": "self_bleu",
    "approximate_randomisation": "significance",
    "independent_bootstrap": "significance",
    "paired_bootstrap": "significance",
    "permutation": "significance",
}


def __dir__() -> list[str]:
    return sorted(_MODULE_OF)


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
    return getattr(importlib.import_module(f"{__name__}.{_MODULE_OF[name]}"), name)

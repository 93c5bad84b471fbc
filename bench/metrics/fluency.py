"""Fluency: how likely a fixed pretrained language model finds the generated texts, as plain text without a prompt.

    nll_i = - sum_t log p(x_t | BOS, x_<t),    n_i: the tokens of text i that are predicted
    per token     sum_i nll_i / sum_i n_i    [nats/token],    PPL = exp of it
    per sentence  mean_i nll_i / n_i         [nats/token]: each text counts alike, long or short

With ``bos`` (the default) the first token is predicted too, from the model's BOS alone; without, it is only conditioned
on. With ``eos`` the end of each text that was not cut is predicted as one more token. Texts of which nothing is
predicted (by default the empty ones) have no likelihood a token: they are left out and counted in the note, and where
there is no other the values are nan. A text that repeats itself is likely: read this beside a measure of diversity and
beside its value on human text.

Intervals: bootstrap over texts, for the first two of the ratio of sums. Tokens are the model's own: values under
different models do not compare.

It is the "forward" perplexity of Zhao et al. (2018), "Adversarially Regularized Autoencoders", under a pretrained
model. SmolLM2: Ben Allal et al. (2025), "SmolLM2: When Smol Goes Big".
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.errors import BenchError
from bench.metrics import bootstrap
from bench.metrics.base import Metric, Quantity, TextInputs, Value, signature
from bench.metrics.bootstrap import Bootstrap, Examples, Measured, resolve_options, whole_number
from bench.metrics.gguf_model import unpacked
from bench.metrics.pretrained import MACHINE, Machine, by_length, check_characters, check_length, find, load
from bench.progress import progress

Floats = NDArray[np.float64]

DEFAULTS: Mapping[str, Any] = {
    "model": "smollm2",
    "bos": True,  # or false, or a token of the model's vocabulary
    "eos": False,
    "max_length": 512,  # tokens of a text with BOS and EOS; the rest is cut
    **MACHINE,
    **bootstrap.DEFAULTS,
}
TOKENS_AT_ONCE = 1024  # [B, T, V] floats are 200 MB with SmolLM2's 49,152 words; a longer text is a batch of its own


@dataclass(frozen=True)
class Framing:
    """What a text is put between, as token ids or None, and where it is cut."""

    bos: int | None
    eos: int | None
    max_length: int

    def frame(self, tokens: Sequence[int]) -> tuple[list[int], bool]:
        """The ids that the model reads, all but the first of them predicted; and whether the text was cut.

        >>> Framing(bos=0, eos=9, max_length=4).frame([5, 6]), Framing(0, 9, 4).frame([5, 6, 7])
        (([0, 5, 6, 9], False), ([0, 5, 6, 7], True))
        """
        whole = [*([] if self.bos is None else [self.bos]), *tokens, *([] if self.eos is None else [self.eos])]
        return whole[: self.max_length], len(whole) > self.max_length


def negative_log_likelihoods(sequences: Sequence[Sequence[int]], model: Any, at_once: int = TOKENS_AT_ONCE) -> Floats:
    """[N] in nats: -log p of all tokens of each sequence but its first, each given those before it."""
    import torch
    from torch.nn.functional import cross_entropy

    found = np.zeros(len(sequences))
    batches = list(by_length([len(tokens) for tokens in sequences], at_once))
    for batch in progress(batches, len(batches), "fluency"):
        ids = torch.tensor([sequences[i] for i in batch], device=model.device)  # [B, T]
        if ids.shape[1] > 1:
            logits = model(input_ids=ids, use_cache=False).logits  # [B, T, V]
            unpredicted = torch.full_like(ids[:, :1], -100)  # nothing follows the last
            following = torch.cat([ids[:, 1:], unpredicted], dim=1)
            parts = zip(
                logits.flatten(0, 1).split(TOKENS_AT_ONCE), following.flatten().split(TOKENS_AT_ONCE), strict=True
            )
            nll = torch.cat([cross_entropy(*part, ignore_index=-100, reduction="none") for part in parts])
            found[batch] = nll.double().view(ids.shape).sum(dim=1).cpu().numpy()
    return found


def _ratio(means: Floats) -> Floats:
    return means[..., 0] / means[..., 1]


def _exp_ratio(means: Floats) -> Floats:
    return np.exp(_ratio(means))


def _compute(inputs: TextInputs, options: Mapping[str, Any]) -> dict[str, Value]:
    checked = resolve_options("fluency", options, DEFAULTS)
    resampling = Bootstrap.of("fluency", {key: checked[key] for key in bootstrap.DEFAULTS})
    machine, max_length = Machine.of("fluency", checked), whole_number("fluency", checked, "max_length", 2)
    _check_ends(checked["bos"], checked["eos"])
    checkpoint = find(checked["model"], "language model", "fluency")
    inputs.require("fluency")
    packed = checkpoint.path.suffix == ".gguf"
    directory = unpacked(checkpoint) if packed else checkpoint.path
    tokeniser, model = load(directory, "language model")
    check_length("fluency", max_length, tokeniser, model)
    check_characters("fluency", inputs.generated)
    framing = Framing(_bos(checked["bos"], tokeniser), _eos(checked["eos"], tokeniser), max_length)

    framed = [framing.frame(ids) for ids in tokeniser(list(inputs.generated), add_special_tokens=False)["input_ids"]]
    sequences = [ids for ids, _ in framed if len(ids) > 1]
    empty, cut = len(framed) - len(sequences), sum(was_cut for _, was_cut in framed)
    with machine.inference() as device:
        nll = negative_log_likelihoods(sequences, model.to(device))
    counts = {"of which nothing is predicted left out": empty, f"cut at {max_length} tokens": cut}
    note = "; ".join(f"{count} of {len(framed)} texts {what}" for what, count in counts.items() if count)
    parts = {
        "model": checkpoint.label,
        "bos": "no" if framing.bos is None else framing.bos,
        "eos": "no" if framing.eos is None else framing.eos,
        "len": max_length,
    }
    return {
        f"fluency_{form}": measured.signed(len(nll), signature("fluency", METRIC.version, form=form, **parts), note)
        for form, measured in _measured(nll, np.array([len(ids) - 1 for ids in sequences]), resampling).items()
    }


def _measured(nll: Floats, tokens: NDArray[np.int64], resampling: Bootstrap) -> dict[str, Measured]:
    """The three quantities, from nats [N] and predicted tokens [N]."""
    if not len(nll):
        return dict.fromkeys(_FORMS, Measured(math.nan, None, "none"))
    sums = np.column_stack([nll, tokens])
    examples = [Examples(sums, _ratio), Examples(sums, _exp_ratio), *Examples.of_means((nll / tokens)[:, None])]
    estimates = np.array([e.statistic(e.rows.mean(axis=0)) for e in examples])
    return dict(zip(_FORMS, resampling.measure(estimates, lambda: examples, "texts"), strict=True))


def _check_ends(bos: object, eos: object) -> None:
    if not isinstance(bos, bool | str):
        raise BenchError(f"fluency: option 'bos' must be true, false or a token, not {bos!r}")
    if not isinstance(eos, bool):
        raise BenchError(f"fluency: option 'eos' must be true or false, not {eos!r}")


def _bos(given: bool | str, tokeniser: Any) -> int | None:
    if isinstance(given, str):
        if given not in tokeniser.get_vocab():
            raise BenchError(f"fluency: option 'bos': the model's vocabulary has no token {given!r}")
        return int(tokeniser.get_vocab()[given])
    if given and tokeniser.bos_token_id is None:
        raise BenchError("fluency: the model has no BOS token: set option 'bos' to false, or to a token")
    return int(tokeniser.bos_token_id) if given else None


def _eos(given: bool, tokeniser: Any) -> int | None:
    if given and tokeniser.eos_token_id is None:
        raise BenchError("fluency: the model has no EOS token: set option 'eos' to false")
    return int(tokeniser.eos_token_id) if given else None


_FORMS = ("nll", "ppl", "sentence")

METRIC = Metric(
    name="fluency",
    family="fluency",
    needs="generated",
    quantities=(
        Quantity(
            key="fluency_nll",
            label="Fluency NLL",
            direction="down",
            formula="sum_i nll_i / sum_i n_i under a pretrained language model, n_i tokens in text i",
            unit="nats/token",
            range=(0.0, float("inf")),
            source="SmolLM2: Ben Allal et al. 2025",
        ),
        Quantity(
            key="fluency_ppl",
            label="Fluency PPL",
            direction="down",
            formula="exp(sum_i nll_i / sum_i n_i) under a pretrained language model",
            unit="1/token",
            range=(1.0, float("inf")),
            source="SmolLM2: Ben Allal et al. 2025",
        ),
        Quantity(
            key="fluency_sentence",
            label="Fluency NLL/text",
            direction="down",
            formula="mean_i nll_i / n_i under a pretrained language model: each text counts alike",
            unit="nats/token",
            range=(0.0, float("inf")),
            source="SmolLM2: Ben Allal et al. 2025",
        ),
    ),
    compute=_compute,
    signatures=(
        "fluency|form:<nll, ppl or sentence>|model:<name-hash>|bos:<id or no>|eos:<id or no>|len:<max_length>|v:1",
    ),
    defaults=DEFAULTS,
)

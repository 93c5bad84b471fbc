"""BERTScore of conditional generation: greedy soft matching of each generated text x with its one reference y.

    P = sum_i w(x_i) max_j cos(x_i, y_j) / sum_i w(x_i),    R: the same with x and y exchanged,    F1 = 2 P R / (P + R)

where x_i are the encoder's hidden states of tokens at one layer. The [CLS] and [SEP] tokens that a text is put between
weigh nothing, but other tokens may match them. w = 1, or with ``idf`` w(t) = log((M + 1) / (df(t) + 1)), df(t) of the M
references holding token t. Rescaled with a baseline b (of the same encoder and layer): (score - b) / (1 - b).

The number reported is the mean over pairs; its interval is a bootstrap over pairs. The values are those of bert-score
0.3 at batch size 1: there, padding moves a text's score by the texts around it, here nothing is padded. Texts begin
with a space where the tokeniser is RoBERTa's or GPT-2's, as bert-score asks (transformers 5 no longer hears it). A pair
in which one text has no token that weighs anything (it is empty, say) scores 0 before rescaling: for empty texts so
does bert-score where it does not crash. A baseline that is not there is an error, where bert-score prints unscaled
scores.

Zhang et al. (2020), "BERTScore: Evaluating Text Generation with BERT", section 3.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bench.errors import BenchError
from bench.files import sha256
from bench.metrics import bootstrap
from bench.metrics.base import Metric, Quantity, TextInputs, Undefined, Value, signature
from bench.metrics.bootstrap import Bootstrap, resolve_options, whole_number
from bench.metrics.pretrained import (
    CPU,
    MACHINE,
    Checkpoint,
    Machine,
    by_length,
    check_characters,
    check_length,
    depth,
    find,
    load,
)  # fmt: skip
from bench.progress import progress

if TYPE_CHECKING:
    import torch

Floats = NDArray[np.float64]
Tokens = tuple[int, ...]

DEFAULTS: Mapping[str, Any] = {
    "model": "minilm",
    "layer": "last",
    "idf": False,
    "baseline": None,  # a file in bert-score's format: columns LAYER, P, R, F
    "max_length": 512,
    **MACHINE,
    **bootstrap.DEFAULTS,
}
FORMS = ("p", "r", "f1")
TOKENS_AT_ONCE = 4096  # through the encoder
TOKENS_HELD = 1 << 14  # whose hidden states are in memory


@dataclass(frozen=True)
class Scorer:
    """How pairs are scored."""

    checkpoint: Checkpoint
    layer: int  # hidden states after so many layers; 0: the embeddings
    idf: bool = False
    max_length: int = 512
    machine: Machine = CPU

    def scores(self, generated: Sequence[str], references: Sequence[str]) -> tuple[Floats, int]:
        """P, R and F1 of each pair [N, 3], not rescaled; and how many scored 0 for want of a token with weight.

        :class:`Undefined` where ``idf`` leaves no reference a token with weight.
        """
        tokeniser, model = load(self.checkpoint.path, "encoder", self.layer)
        check_length("bertscore", self.max_length, tokeniser, model)
        for texts in (generated, references):
            check_characters("bertscore", texts)
        ids = [self._tokens(tokeniser, texts) for texts in (generated, references)]
        weights = np.ones(len(tokeniser))
        if self.idf:
            weights = idf_weights(ids[1], len(tokeniser))
        else:
            weights[[i for i in (tokeniser.cls_token_id, tokeniser.sep_token_id) if i is not None]] = 0
        weighed = [np.array([weights[list(tokens)].sum() for tokens in side]) > 0 for side in ids]
        if self.idf and not weighed[1].any():
            raise Undefined("bertscore: idf is 0 for every token, because every reference has the same tokens")
        scored = np.flatnonzero(weighed[0] & weighed[1])
        scores = np.zeros((len(generated), len(FORMS)))
        pairs = [(ids[0][i], ids[1][i]) for i in scored]
        # pairs with references of one length together, so that texts of equal length meet in a batch
        order = sorted(range(len(pairs)), key=lambda i: (-len(pairs[i][1]), pairs[i][1]))
        with self.machine.inference() as device:
            model.to(device)
            matched = _matched([pairs[i] for i in order], weights, model)
            for i, pair in zip(order, progress(matched, len(order), "bertscore"), strict=True):
                scores[scored[i]] = pair
        return scores, len(generated) - len(scored)

    def _tokens(self, tokeniser: Any, texts: Sequence[str]) -> list[Tokens]:
        before = " " if _puts_space(tokeniser) else ""
        stripped = [before + text if text else "" for text in map(str.strip, texts)]
        return list(map(tuple, tokeniser(stripped, truncation=True, max_length=self.max_length)["input_ids"]))

    @property
    def space(self) -> Mapping[str, str]:
        """As a part of the signature: whether texts begin with one."""
        tokeniser, _ = load(self.checkpoint.path, "encoder", self.layer)
        return {"space": "before"} if _puts_space(tokeniser) else {}


def _puts_space(tokeniser: Any) -> bool:
    from transformers import GPT2Tokenizer, RobertaTokenizer

    return isinstance(tokeniser, GPT2Tokenizer | RobertaTokenizer)


def idf_weights(references: Sequence[Tokens], vocabulary: int) -> Floats:
    """[V]: log((M + 1) / (df + 1)), df: how many of the M references hold a token.

    >>> idf_weights([(0, 2, 2), (0,), (0, 1, 2)], 4).round(3)
    array([0.   , 0.693, 0.288, 1.386])
    """
    frequency = np.zeros(vocabulary)
    for tokens in references:
        frequency[list(set(tokens))] += 1
    return np.log((len(references) + 1) / (frequency + 1))


def match(x: torch.Tensor, y: torch.Tensor, x_weights: Floats, y_weights: Floats) -> tuple[float, float, float]:
    """P, R, F1 of unit vectors x [S, d] and y [T, d] under weights [S] and [T] with positive sums.

    >>> import torch
    >>> x, y = torch.eye(3)[[0, 1]], torch.eye(3)[[0, 0, 2]]
    >>> [round(float(value), 3) for value in match(x, y, np.ones(2), np.array([1.0, 1.0, 0.0]))]
    [0.5, 1.0, 0.667]
    """
    cosine = np.clip((x @ y.T).cpu().numpy().astype(np.float64), -1, 1)
    p = np.average(cosine.max(axis=1), weights=x_weights)
    r = np.average(cosine.max(axis=0), weights=y_weights)
    return p, r, 2 * p * r / (p + r) if p + r else 0.0


def rescaled(scores: Floats, baseline: Path | None, layer: int) -> Floats:
    """(scores - b) / (1 - b), with b [3] the baseline file's row of that layer."""
    if baseline is None:
        return scores
    try:
        with baseline.open(encoding="utf-8", newline="") as stream:
            rows = {int(row["LAYER"]): [float(row[column]) for column in "PRF"] for row in csv.DictReader(stream)}
    except OSError as error:
        raise BenchError(f"bertscore: baseline {baseline}: {error.strerror}") from None
    except (KeyError, TypeError, ValueError):
        raise BenchError(f"bertscore: baseline {baseline}: not numbers in columns LAYER, P, R, F") from None
    if layer not in rows:
        raise BenchError(f"bertscore: baseline {baseline}: no row of layer {layer}")
    b = np.array(rows[layer])
    if not (b < 1).all():  # nor NaN
        raise BenchError(f"bertscore: baseline {baseline}: layer {layer} is not below 1")
    return (scores - b) / (1 - b)


def _matched(
    pairs: Sequence[tuple[Tokens, Tokens]], weights: Floats, model: Any
) -> Iterator[tuple[float, float, float]]:
    """P, R, F1 of each pair, in order; each text is encoded once among the pairs that are held at once."""
    start = 0
    while start < len(pairs):
        stop, held = start, 0
        while stop < len(pairs) and (stop == start or held < TOKENS_HELD):
            held += sum(map(len, pairs[stop]))
            stop += 1
        vectors = _unit_vectors(sorted({tokens for pair in pairs[start:stop] for tokens in pair}), model)
        for x, y in pairs[start:stop]:
            yield match(vectors[x], vectors[y], weights[list(x)], weights[list(y)])
        start = stop


def _unit_vectors(texts: Sequence[Tokens], model: Any) -> dict[Tokens, torch.Tensor]:
    """Hidden states [T, d] of each text, of length 1."""
    import torch

    found = {}
    for batch in by_length([len(tokens) for tokens in texts], TOKENS_AT_ONCE):
        hidden = model(torch.tensor([texts[i] for i in batch], device=model.device)).last_hidden_state  # [B, T, d]
        unit = hidden / hidden.norm(dim=-1, keepdim=True)
        found.update({texts[i]: vectors for i, vectors in zip(batch, unit, strict=True)})
    return found


def _compute(inputs: TextInputs, options: Mapping[str, Any]) -> dict[str, Value]:
    checked = resolve_options("bertscore", options, DEFAULTS)
    resampling = Bootstrap.of("bertscore", {key: checked[key] for key in bootstrap.DEFAULTS})
    scorer, baseline = _scorer(checked), checked["baseline"]
    if baseline is not None and not isinstance(baseline, str):
        raise BenchError(f"bertscore: option 'baseline' must be a file, not {baseline!r}")
    path = None if baseline is None else Path(baseline)
    rescaled(np.zeros((1, 3)), path, scorer.layer)  # a bad file is known before minutes are spent
    inputs.require_pairs("bertscore")
    scores, unscored = scorer.scores(inputs.generated, inputs.references)
    n = len(scores)
    parts = {
        "model": scorer.checkpoint.label,
        "layer": scorer.layer,
        "idf": f"refs{n}" if scorer.idf else "no",
        "rescale": "no" if path is None else sha256(path)[:12],
        "len": scorer.max_length,
        **scorer.space,
    }
    score = "score 0" if path is None else "score 0 before rescaling"
    note = f"{unscored} of {n} pairs have a text without a token that weighs anything, and {score}" * (unscored > 0)
    return {
        f"bertscore_{form}": measured.signed(n, signature("bertscore", METRIC.version, form=form, **parts), note)
        for form, measured in zip(FORMS, resampling.means(rescaled(scores, path, scorer.layer)), strict=True)
    }


def _scorer(checked: Mapping[str, Any]) -> Scorer:
    if not isinstance(checked["idf"], bool):
        raise BenchError(f"bertscore: option 'idf' must be true or false, not {checked['idf']!r}")
    machine = Machine.of("bertscore", checked)
    max_length = whole_number("bertscore", checked, "max_length", 3)  # below, there is no room beside [CLS] and [SEP]
    layer = None if checked["layer"] == "last" else whole_number("bertscore", checked, "layer", 0)
    checkpoint = find(checked["model"], "encoder", "bertscore")
    layers = depth(checkpoint, "encoder")
    if layer is not None and layer > layers:
        raise BenchError(f"bertscore: option 'layer' is {layer}, but encoder '{checkpoint.name}' has {layers} layers")
    return Scorer(checkpoint, layers if layer is None else layer, checked["idf"], max_length, machine)


METRIC = Metric(
    name="bertscore",
    family="bertscore",
    needs="pairs",
    quantities=tuple(
        Quantity(
            key=f"bertscore_{form}",
            label=f"BERTScore {form.upper()}",
            direction="up",
            formula=formula,
            unit="1",
            range=(-float("inf"), 1.0),  # a rescaled score has no lower bound; others are cosines, >= -1
            source="Zhang et al. 2020, section 3; bert-score",
            detail=form != "f1",
        )
        for form, formula in zip(
            FORMS,
            (
                "mean over pairs of sum_i w(x_i) max_j cos(x_i, y_j) / sum_i w(x_i)",
                "mean over pairs of sum_j w(y_j) max_i cos(x_i, y_j) / sum_j w(y_j)",
                "mean over pairs of 2 P R / (P + R)",
            ),
            strict=True,
        )
    ),
    compute=_compute,
    signatures=(
        "bertscore|form:<p, r or f1>|model:<name-hash>|layer:<layer>|idf:<refsN or no>|rescale:<hash or no>"
        "|len:<max_length>|v:1",
        "bertscore|form:<p, r or f1>|model:<name-hash>|layer:<layer>|idf:<refsN or no>|rescale:<hash or no>"
        "|len:<max_length>|space:before|v:1",
    ),
    defaults=DEFAULTS,
)

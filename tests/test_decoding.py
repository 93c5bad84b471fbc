"""What is drawn follows the model's own distribution, cut and tempered as asked, and texts end where they should."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor

from bench import decoding as decodings
from bench import model as models
from bench.generation import draw
from bench.methods.base import Method
from bench.schema import Backbone, Decoding, MethodSpec
from bench.vocabulary import BOS, EOS, PAD, UNK
from tests.methods.conftest import TASKS, build, debug_options, perturb

pytestmark = pytest.mark.usefixtures("one_thread")

LOGITS = torch.tensor([9.0, 1.5, 9.0, 0.2, 2.0, -0.6, 0.7, 0.0, 1.1, -0.4, 1.7, 0.4])  # BOS, EOS, PAD, UNK, words


@pytest.mark.parametrize("kind", ["bpe", "words"])
@pytest.mark.parametrize(
    "decoding",
    [
        Decoding(strategy="sample"),
        Decoding(strategy="sample", temperature=0.5),
        Decoding(strategy="sample", temperature=3.0),
        Decoding(strategy="top_k", k=5),
        Decoding(strategy="top_k", k=5, temperature=2.0),
        Decoding(strategy="top_p", p=0.8),
    ],
    ids=lambda of: of.signature,
)
def test_tokens_are_drawn_with_their_probabilities(
    decoding: Decoding, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first one of 20,000 texts, against softmax(logits / T) of what is left, renormalised."""
    method, n = build("gpt2"), 20_000
    method.backbone.has_unknown = kind == "words"
    monkeypatch.setattr(method, "logits", lambda hidden: LOGITS.expand(len(hidden), -1))
    torch.manual_seed(0)
    texts = method.decode(torch.zeros(n, 0, 1), decoding, 2)
    assert {len(tokens) for tokens in texts} == {1}
    logits = LOGITS.double().numpy() / decoding.temperature
    logits[[BOS, PAD] if kind == "words" else [BOS, PAD, UNK]] = -np.inf
    order = np.argsort(-logits)
    p = np.exp(logits - logits.max()) / np.exp(logits - logits.max()).sum()
    kept = len(p)
    if decoding.strategy == "top_k":
        kept = decoding.k
    elif decoding.strategy == "top_p":
        kept = int((np.cumsum(p[order]) < decoding.p).sum()) + 1  # the fewest that have as much together
    p[order[kept:]] = 0
    counts = np.bincount([tokens[0] for tokens in texts], minlength=len(p))
    assert not counts[p == 0].any()
    expected = n * p[p > 0] / p.sum()
    assert expected.min() > 5
    assert stats.chisquare(counts[p > 0], expected).pvalue > 1e-3


@pytest.mark.parametrize("penalty", [1.0, 4.0])
def test_greedy_takes_the_best_and_what_was_said_is_penalised(penalty: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keskar et al. 2019: positive logits of tokens that are there are divided by the penalty, negative ones times."""
    method = build("gpt2")
    monkeypatch.setattr(method, "logits", lambda hidden: LOGITS.expand(len(hidden), -1))
    (tokens,) = method.decode(torch.zeros(1, 0, 1), Decoding(strategy="greedy", repetition_penalty=penalty), 5)
    logits, expected = LOGITS.clone(), []
    logits[[BOS, PAD, UNK]] = -torch.inf
    while len(expected) < 4 and EOS not in expected:
        expected.append(int(logits.argmax()))
        if penalty != 1 and expected.count(expected[-1]) == 1:
            logits[expected[-1]] /= penalty
    assert tokens == expected == ([4] * 4 if penalty == 1 else [4, 10, EOS])


def words_method(name: str) -> Method:
    """A debug-size method whose tokens are words."""
    size = Backbone(kind="lstm", layers=1, width=16, vocabulary=30, tokenizer="words", max_tokens=24)
    method = models.build(MethodSpec(use=name, options=debug_options(name)), size, 0)
    perturb(method)
    return method.eval()


@pytest.mark.parametrize("towards_eos", [-30.0, 30.0], ids=["reluctant to end", "eager to end"])
@pytest.mark.parametrize("strategy", ["sample", "greedy", "beam"])
@pytest.mark.parametrize("name", ["lstm-lm", "lstm-vae+fbp", "vae-attn", "gavam", "davam-q", "davam-k512"])
def test_every_text_has_so_many_words(name: str, strategy: str, towards_eos: float) -> None:
    """DAVAM Tables 3 to 5: whatever the model would rather do; and a latent sequence has a step for each and EOS."""
    method = words_method(name)
    of_model, of_z, seen = method.logits, method.decode, []

    def noted(z: Tensor, *more: Any) -> list[list[int]]:
        seen.append((~z.isnan().all(-1)).sum(1).tolist())
        return of_z(z, *more)

    def biased(hidden: Tensor) -> Tensor:
        logits = of_model(hidden).clone()
        logits[..., EOS] += towards_eos
        return logits

    method.logits, method.decode = biased, noted  # type: ignore[method-assign]
    torch.manual_seed(0)
    texts = draw(method, 6, Decoding(strategy=strategy, k=3, words=4), 10)
    steps = {"lstm-lm": 0, "lstm-vae+fbp": 1, "davam-q": 1}.get(name, 5)
    assert len(texts) == 6 and seen == [[steps] * 6]
    for tokens in texts:
        assert len(tokens) == 5 and tokens[-1] == EOS and not {EOS, BOS, PAD} & set(tokens[:-1])


@pytest.mark.parametrize("task", ["gpt2", "bart"])
@pytest.mark.parametrize("at_once", [1, 4, 7])
def test_beams_are_the_same_however_many_are_held(task: str, at_once: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Texts in blocks of as many as fit; a block has at least one."""
    method, batch = build("embed", TASKS[task]), TASKS[task].batch()
    condition = method.condition(batch)
    torch.manual_seed(0)
    z = method.sample_prior(len(batch), condition)
    together = method.decode(z, Decoding(strategy="beam", k=3), 8, condition)
    monkeypatch.setitem(decodings.BEAMS_AT_ONCE, "cpu", at_once)
    blocks, of_block = [], decodings._beam

    def noted(method: Method, z: Tensor, *more: Any) -> list[list[int]]:
        blocks.append(len(z))
        return of_block(method, z, *more)

    monkeypatch.setattr(decodings, "_beam", noted)
    assert method.decode(z, Decoding(strategy="beam", k=3), 8, condition) == together
    assert blocks == {1: [1, 1, 1, 1], 4: [1, 1, 1, 1], 7: [2, 2]}[at_once]

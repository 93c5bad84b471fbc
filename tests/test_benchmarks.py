"""What the benchmarks compare is one model twice: with equal weights and noise the plain forms say what ours do."""

from __future__ import annotations

from types import ModuleType

import numpy as np
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from bench import model as models
from bench import objectives
from bench.batch import Sequences
from bench.likelihood import importance_weights
from bench.methods.base import Method
from bench.schema import Backbone, Decoding, MethodSpec
from benchmarks import generation, likelihood, lstm, speed, trace, training
from benchmarks.plain import PlainDella, PlainLM, padded
from benchmarks.speed import Setting, Size

SIZE = Backbone(layers=3, width=16, heads=2, vocabulary=260, max_tokens=24)
TURN = Size(SIZE, length=6, batch=4, steps=1, samples=3, texts=2, drawn=3)
TEXTS = [[0, 10, 11, 12, 13, 14, 1], [0, 20, 21, 1], [0, 200, 201, 202, 203, 1], [0, 1]]


pytestmark = pytest.mark.usefixtures("one_thread")


def build(name: str) -> Method:
    """With weights away from their start, where the factors of Eq. 9 are 1."""
    method = models.build(MethodSpec(use=name), SIZE, seed=0).eval()
    torch.manual_seed(1)
    with torch.no_grad():
        for parameter in method.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    return method


def test_plain_gpt2_is_the_same_model() -> None:
    method = build("gpt2")
    plain, batch = PlainLM(method, SIZE).eval(), Sequences(TEXTS).batch(range(4))
    rec = method.terms(batch).rec
    torch.testing.assert_close(-plain.log_likelihood(*padded(TEXTS, "cpu")), rec)
    torch.testing.assert_close(plain.loss(*padded(TEXTS, "cpu")), rec.sum() / batch.predicted.sum())


def test_plain_della_has_the_same_loss_and_gradients() -> None:
    method = build("della")
    plain = PlainDella(method, SIZE)
    torch.manual_seed(2)
    ours = objectives.loss(method.terms(Sequences(TEXTS).batch(range(4))), 1.0, "sum")
    torch.manual_seed(2)
    theirs = plain.loss(*padded(TEXTS, "cpu"))
    torch.testing.assert_close(theirs, ours)
    ours.backward()
    theirs.backward()
    expected = method.backbone.transformer.wte.weight.grad
    torch.testing.assert_close(plain.gpt2.wte.weight.grad, expected, atol=1e-4, rtol=1e-3)
    for layer, fusion in enumerate(method.fusion):  # each of the r maps
        for j, each in enumerate(plain.w_v[layer]):
            torch.testing.assert_close(each.weight.grad, fusion.weight_v.grad[j], atol=1e-4, rtol=1e-3)
    assert sum(p.numel() for p in plain.parameters()) == sum(p.numel() for p in method.parameters())


@torch.no_grad()
def test_plain_della_has_the_same_importance_weights() -> None:
    method = build("della")
    torch.manual_seed(3)
    px, pz_qz = importance_weights(method, Sequences(TEXTS).batch(range(4)), 1)
    plain = PlainDella(method, SIZE)
    torch.manual_seed(3)
    weight = plain.log_weight(*padded(TEXTS, "cpu"))
    np.testing.assert_allclose(weight, (px + pz_qz)[:, 0], rtol=1e-4)


@torch.no_grad()
@pytest.mark.parametrize("name", ["gpt2", "della"])
def test_plain_texts_are_the_likeliest_where_there_is_no_choice(name: str) -> None:
    method = build(name)
    if name == "gpt2":
        plain, z = PlainLM(method, SIZE), torch.zeros(3, 0, 32)
    else:
        plain = PlainDella(method, SIZE)
        torch.manual_seed(4)
        z = torch.stack(plain.sample_prior(3), 1)
    torch.manual_seed(4)
    assert plain.generate(3, 5, k=1)[:, 1:].tolist() == method.decode(z, Decoding(strategy="greedy"), 6)


def test_model_flops_are_those_that_pytorch_counts() -> None:
    """But for what is not counted: the maps of Eq. 9 beyond one, and those of z."""
    plain, size, tokens = PlainDella(build("della"), SIZE), SIZE, 7
    setting, ids = Setting(TURN, "cpu", True), torch.randint(4, 260, (2, tokens))
    z, seen = plain.sample_prior(2), torch.ones(2, tokens, dtype=torch.bool)
    with FlopCounterMode(display=False) as counter:
        plain.blocks(ids, seen[:, None, None, :])
    assert counter.get_total_flops() == 2 * tokens * setting.encoder_flops(tokens)
    with FlopCounterMode(display=False) as counter:
        plain.logits(plain.decode(ids, seen, z))
    maps, of_z = 3 * size.layers * size.width**2, 4 * size.layers * size.width * plain.latent
    expected = 2 * tokens * (setting.forward_flops("della", tokens) + 2 * maps) + 2 * 2 * of_z
    assert counter.get_total_flops() == expected
    assert setting.forward_flops("della", tokens) - setting.forward_flops("gpt2", tokens) == 2 * maps / 3


@pytest.mark.parametrize("benchmark", [training, likelihood, generation])
def test_every_benchmark_runs(benchmark: ModuleType) -> None:
    for equal in (True, False):
        lines = list(speed.table(benchmark.FORMS, Setting(TURN, "cpu", equal), 1, 1e12, lambda name: 0.0))
        assert len(lines) == 6 and all(line.endswith(") |") for line in lines[3::2]), "ratios are in the rows of ours"


WORDS = Backbone(
    kind="lstm", layers=1, width=8, embedding=6, dropout=0.5, tokenizer="words", vocabulary=50, max_tokens=40
)


@pytest.mark.parametrize(("name", "latent"), [("lstm-lm", 0), ("lstm-vae", lstm.LATENT)])
def test_plain_lstms_have_the_same_loss_and_gradients(name: str, latent: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lstm, "SIZE", WORDS)
    method = models.build(MethodSpec(use=name), WORDS, seed=0).eval()
    torch.manual_seed(1)
    with torch.no_grad():
        for parameter in method.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    plain, batch = lstm.plain_like(method, latent).eval(), lstm.texts("cpu")[0]
    losses = []
    for loss in (lambda: lstm.loss(method, batch), lambda: plain(batch.ids)):
        torch.manual_seed(2)
        losses.append(loss())
        losses[-1].backward()
    torch.testing.assert_close(*losses)
    assert len(list(plain.parameters())) == len(list(method.parameters()))
    of_ours = dict(method.named_parameters())
    for part, parameter in plain.named_parameters():
        where, _, rest = part.partition(".")
        torch.testing.assert_close(parameter.grad, of_ours[f"{lstm.NAMES[where]}.{rest}"].grad, atol=1e-5, rtol=1e-4)
    with pytest.raises(SystemExit, match="not the same model"), torch.no_grad():
        plain.output.weight.mul_(2)
        lstm.same_loss(method, plain, batch)


def test_the_benchmarks_of_recurrent_latents_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lstm, "SIZE", WORDS)
    monkeypatch.setattr(lstm, "LENGTHS", (3, 5))
    rows = list(lstm.lines("cpu", 1, 1, 1))
    forms = len(lstm.forms("cpu"))
    assert [row.split(" | ")[0] for row in rows[2:]] == [
        f"| {name}" for name in ("lstm-lm", "lstm-vae", *lstm.OURS_ALONE) for _ in range(forms)
    ]
    monkeypatch.setattr(trace, "LENGTHS", (1, 5))
    table = trace.table(trace.Size("tiny", layers=1, width=8, batch=2, tokens=12), 1)
    assert sum(line.startswith(("| 1 |", "| 5 |")) for line in table) == 2

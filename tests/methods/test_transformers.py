"""transformers' own GPT-2, given our weights, decides the wiring: where z enters, how prompts are read, what comes out.

``embed``, ``softmax`` and ``della`` become the plain model where z has no effect. A memory slot takes attention weight
even where its key and value are 0, so ``memory``, ``della-ltp`` and ``optimus`` are compared at any z, as a cache of
past keys and values. Generation is compared with a second one without any cache, for every method.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from transformers import DynamicCache, GPT2LMHeadModel

from bench import model as models
from bench.backbones.gpt2 import GPT2
from bench.batch import Batch
from bench.methods.base import Method
from bench.methods.della import Della
from bench.methods.embed import Embed
from bench.methods.memory import Memory
from bench.methods.optimus import Optimus
from bench.schema import Decoding, MethodSpec
from bench.vocabulary import BOS, EOS, PAD, UNK

from .conftest import SEQUENCES, SOURCES, TASKS, UNCONDITIONAL, Task, build, perturb

PROMPTED = TASKS["gpt2-prompt"]
MAX_TOKENS = 9
GREEDY, BEAM = Decoding(strategy="greedy"), Decoding(strategy="beam", k=3)
PENALISED = Decoding(strategy="beam", k=3, repetition_penalty=1.3)


def transformers_own(method: Method) -> GPT2LMHeadModel:
    """With the weights of a method's backbone; its head is tied to the word embeddings."""
    backbone = method.backbone
    assert isinstance(backbone, GPT2)
    theirs = GPT2LMHeadModel(backbone.config).eval()
    theirs.transformer.load_state_dict(backbone.transformer.state_dict())
    assert theirs.lm_head.weight is theirs.transformer.wte.weight
    return theirs


def logits(method: Method, batch: Batch, z: Tensor) -> Tensor:
    condition = method.condition(batch)
    context = None if condition is None else condition.context
    return method.logits(method.backbone.decode(batch.inputs, method.inject(z), context))


def some_z(method: Method, n: int = len(SEQUENCES)) -> Tensor:
    return torch.randn(n, method.groups, method.options.latent, generator=torch.Generator().manual_seed(2))


def assert_close(ours: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(ours, expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("name", ["embed", "softmax", "softmax-logits", "della", "della-lw", "della-separate"])
def test_without_an_effect_of_z_all_are_gpt2(name: str) -> None:
    """Projections of 0 (embed, softmax), or fusion as it starts (della): the logits at any z."""
    method = models.build(MethodSpec(use=name), UNCONDITIONAL.size, seed=0).eval()
    perturb(method.backbone)
    if not isinstance(method, Della):
        for parameter in method.project.parameters():
            torch.nn.init.zeros_(parameter)
    batch = UNCONDITIONAL.batch()
    real = batch.mask[:, :-1]
    expected = transformers_own(method)(batch.inputs).logits
    assert_close(logits(method, batch, some_z(method))[real], expected[real])


@pytest.mark.parametrize("name", ["softmax", "softmax-logits"])
def test_z_before_the_softmax(name: str) -> None:
    """E (h + W z), or E h + W z; the likelihood and what is decoded from agree."""
    method = models.build(MethodSpec(use=name), UNCONDITIONAL.size, seed=0).eval()
    perturb(method)
    batch, z = UNCONDITIONAL.batch(), some_z(method)
    real = batch.mask[:, :-1]
    hidden, words = method.backbone.decode(batch.inputs), method.backbone.output_weight
    added = method.project(z)  # [B, 1, d or V]
    expected = (hidden + added) @ words.T if name == "softmax" else hidden @ words.T + added
    assert_close(logits(method, batch, z)[real], expected[real])
    by_token = expected.log_softmax(-1).gather(-1, batch.targets[..., None])[..., 0]
    assert_close(method.log_likelihood(batch, z), by_token.masked_fill(~batch.mask[:, 1:], 0.0).sum(-1))


def past(method: Method, slots: list[Tensor]) -> DynamicCache:
    """One position before the text, in each layer: key and value are ``slots`` L × [N, d]."""
    backbone = method.backbone
    assert isinstance(backbone, GPT2)
    cache = DynamicCache(config=backbone.config)
    for layer, slot in enumerate(slots):
        heads = slot[:, None].unflatten(-1, (backbone.heads, -1)).transpose(1, 2)
        cache.update(heads, heads, layer)
    return cache


@pytest.mark.parametrize("name", ["memory", "della-ltp", "optimus"])
def test_memory_is_a_past_position_of_gpt2(name: str) -> None:
    method, batch = build(name), UNCONDITIONAL.batch()
    z, theirs = some_z(method), transformers_own(method)
    words = theirs.transformer.wte(batch.inputs)
    if isinstance(method, Memory):
        slots = [project(z[:, 0]) for project in method.project]
    elif isinstance(method, Della):
        slots = [project(z[:, layer]) for layer, project in enumerate(method.fusion)]
    else:
        assert isinstance(method, Optimus)
        stacked = torch.cat([project.weight for project in method.to_memory])  # one map 32 -> L d, as in their code
        slots = list((z[:, 0] @ stacked.T).chunk(method.backbone.layers, -1))
        words = words + z @ method.to_embedding.weight.T
    positions = torch.arange(batch.inputs.shape[1])[None]
    expected = theirs(inputs_embeds=words, past_key_values=past(method, slots), position_ids=positions).logits
    real = batch.mask[:, :-1]
    assert_close(logits(method, batch, z)[real], expected[real])


@pytest.mark.parametrize("name", ["gpt2", "embed"])
def test_a_prompt_is_read_before_the_text(name: str) -> None:
    """log p(x|c) of transformers' GPT-2 on `BOS c EOS BOS x EOS`, each pair alone; ours all pairs in one batch."""
    method = build(name, PROMPTED)
    z, theirs, batch = some_z(method), transformers_own(method), PROMPTED.batch()
    condition = method.condition(batch)
    ours = method.log_likelihood(batch, z, condition)
    for row, (source, text) in enumerate(zip(SOURCES, SEQUENCES, strict=True)):
        words = theirs.transformer.wte(torch.tensor([source + text]))
        if isinstance(method, Embed):
            words = words + method.project(z[row])
        log_p = theirs(inputs_embeds=words).logits[0].log_softmax(-1)
        predicting = range(len(source), len(source) + len(text) - 1)
        expected = sum(log_p[at, token] for at, token in zip(predicting, text[1:], strict=True))
        alone = PROMPTED.batch(row)
        assert_close(ours[row], expected)
        assert_close(method.log_likelihood(alone, z[row : row + 1], method.condition(alone))[0], expected)


def other_head(method: Method) -> nn.Linear:
    """Tied to the embeddings, the head of random weights repeats its input and ends no text; this one does neither."""
    head = nn.Linear(method.output_weight.shape[1], method.backbone.vocabulary)
    with torch.no_grad():
        head.weight.normal_(generator=torch.Generator().manual_seed(9))
        head.bias.zero_()
        head.weight[EOS], head.bias[EOS] = 0.0, 9.0
    return head


def without_cache(method: Method, batch: Batch, z: Tensor, prefixes: list[list[int]]) -> Tensor:
    """log p(next token | prefix, z, c) of several prefixes of one example, by a full pass each: [P, V]."""
    condition = method.condition(batch)
    rows = []
    for prefix in prefixes:
        ids = torch.tensor([[BOS, *prefix]])
        hidden = method.backbone.decode(ids, method.inject(z), None if condition is None else condition.context)
        scores = method.logits(hidden[0, -1])
        scores[[BOS, PAD, UNK]] = float("-inf")
        rows.append(scores.log_softmax(-1))
    return torch.stack(rows)


def greedy(step: Callable[[list[list[int]]], Tensor]) -> list[int]:
    text: list[int] = []
    while len(text) < MAX_TOKENS - 1 and EOS not in text:
        text.append(int(step([text])[0].argmax()))
    return text


def beam(step: Callable[[list[list[int]]], Tensor], beams: int) -> list[int]:
    """The rules of transformers' beam search, length penalty 1 and early stopping, with lists."""
    open_beams: list[tuple[float, list[int]]] = [(0.0, [])]
    ended: list[tuple[float, list[int]]] = []
    for _ in range(MAX_TOKENS - 1):
        if len(ended) >= beams:
            return max(ended)[1]
        log_p = step([text for _, text in open_beams]).tolist()
        candidates = [
            (total + value, [*text, token])
            for (total, text), row in zip(open_beams, log_p, strict=True)
            for token, value in enumerate(row)
        ]
        candidates.sort(key=lambda candidate: -candidate[0])
        ended += [(total / len(text), text) for total, text in candidates[:beams] if text[-1] == EOS]
        open_beams = [(total, text) for total, text in candidates[: 2 * beams] if text[-1] != EOS][:beams]
    return max(ended + [(total / len(text), text) for total, text in open_beams])[1]


@torch.inference_mode()
def test_generation_with_a_cache_is_generation_without(
    method: Method, task: Task, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Token for token, sequences that end at different times and their conditions in one batch."""
    if method.separator is not None:
        pytest.skip("which also writes separators: tests/methods/test_trace_decoding.py")
    monkeypatch.setattr(method, "logits", other_head(method).forward)
    batch, z = task.batch(), some_z(method)
    condition = method.condition(batch)
    ours = [method.decode(z, decoding, MAX_TOKENS, condition) for decoding in (GREEDY, BEAM)]
    for row in range(len(z)):
        alone, of_row = task.batch(row), z[row : row + 1]

        def step(prefixes: list[list[int]], alone: Batch = alone, of_row: Tensor = of_row) -> Tensor:
            return without_cache(method, alone, of_row, prefixes)

        assert ours[0][row] == greedy(step)
        assert ours[1][row] == beam(step, BEAM.k)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("task", [UNCONDITIONAL, PROMPTED], ids=["unconditional", "prompted"])
def test_generation_is_transformers_generate(task: Task, seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beam search equals theirs with length_penalty 1, early_stopping True and probabilities normalised once more.

    Theirs goes through each prompt alone, ours through all of them padded.
    """
    method, batch = build("gpt2", task, seed), task.batch()
    theirs = transformers_own(method)
    theirs.lm_head = other_head(method)
    monkeypatch.setattr(method, "logits", theirs.lm_head.forward)
    prompts = [[*source, BOS] for source in SOURCES] if task.conditional else [[BOS]] * len(SEQUENCES)
    for decoding in (GREEDY, BEAM) if task.conditional else (GREEDY, BEAM, PENALISED):  # theirs penalises prompts too
        ours = method.decode(some_z(method), decoding, MAX_TOKENS, method.condition(batch))
        for prompt, text in zip(prompts, ours, strict=True):
            expected = theirs.generate(
                torch.tensor([prompt]), attention_mask=torch.ones(1, len(prompt), dtype=torch.long), do_sample=False,
                max_length=len(prompt) + MAX_TOKENS - 1, num_beams=1 if decoding is GREEDY else 3,
                early_stopping=decoding is not GREEDY, length_penalty=1.0,
                repetition_penalty=decoding.repetition_penalty, suppress_tokens=[BOS, PAD, UNK],
                renormalize_logits=True, pad_token_id=PAD,
            )  # fmt: skip
            assert text == [token for token in expected[0, len(prompt) :].tolist() if token != PAD]

"""Attention weights against transformers' own, what is made of them, and a cell's file."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import DynamicCache
from transformers.models.gpt2.modeling_gpt2 import GPT2Model

from bench import attention
from bench import model as models
from bench.attention import POSITIONS, Attention, attend, summary
from bench.batch import Batch, collate
from bench.cli import main
from bench.methods.base import Method
from bench.paths import CellPaths
from bench.schema import Backbone, MethodSpec
from tests.trained_cell import TEXTS, write_cell

LAYERS, HEADS, WIDTH = 3, 4, 16
TEXT, SOURCE = [0, 10, 11, 12, 13, 1], [0, 20, 21, 1]


def build(name: str, kind: str = "gpt2", conditional: bool = False) -> Method:
    size = Backbone(kind=kind, layers=LAYERS, width=WIDTH, heads=HEADS, vocabulary=260, max_tokens=24)
    method = models.build(MethodSpec(use=name), size, 0, conditional).eval()
    with torch.no_grad():
        for parameter in method.parameters():
            parameter += 0.1 * torch.randn_like(parameter)  # saturated weights would hide mistakes
    return method


def read(method: Method, batch: Batch) -> Attention:
    torch.manual_seed(5)
    return attend(method, batch)


def one(conditional: bool) -> Batch:
    text = collate([TEXT])
    return Batch(text.ids, text.lengths, collate([SOURCE]) if conditional else None)


@pytest.mark.parametrize("name", ["memory", "della-ltp"])
def test_weights_are_those_of_transformers_with_the_memory_as_its_past(name: str) -> None:
    method, batch = build(name), one(False)
    torch.manual_seed(5)
    with torch.inference_mode():
        memory = method.inject(method.posterior(batch).sample(1)[0]).memory
    past = DynamicCache()
    for layer in range(LAYERS):
        slots = memory[layer].unflatten(-1, (HEADS, -1)).transpose(1, 2)
        past.update(slots, slots, layer)
    theirs = GPT2Model(method.backbone.config).eval()
    theirs.load_state_dict(method.backbone.transformer.state_dict())
    theirs.set_attn_implementation("eager")
    positions = torch.arange(batch.inputs.shape[1])[None]
    with torch.inference_mode():
        expected = theirs(batch.inputs, past_key_values=past, position_ids=positions, output_attentions=True).attentions
    ours = read(method, batch).weights
    assert list(ours) == list(range(LAYERS))
    for layer in range(LAYERS):
        np.testing.assert_allclose(ours[layer], expected[layer][0].numpy(), atol=1e-5)


@pytest.mark.parametrize(
    ("name", "kind", "conditional"),
    [("memory", "gpt2", False), ("della-ltp", "gpt2", True), ("memory", "bart", True)],
)
def test_rows_sum_to_one_and_see_nothing_to_their_right(name: str, kind: str, conditional: bool) -> None:
    found = read(build(name, kind, conditional), one(conditional))
    prompt = len(SOURCE) if kind == "gpt2" and conditional else 0
    positions = len(TEXT) - 1
    before = 2 if prompt else 1
    for weights in found.weights.values():
        assert weights.shape == (HEADS, positions, before + positions)
        np.testing.assert_allclose(weights.sum(-1), 1, atol=1e-6)
        assert not np.triu(weights[:, :, before:], 1).any() and (weights[:, :, :before] > 0).all()
    np.testing.assert_allclose(found.uniform, [1 / (1 + prompt + t + 1) for t in range(positions)], atol=1e-6)


def test_layers_without_a_latent_variable_have_no_memory() -> None:
    size = Backbone(layers=LAYERS, width=WIDTH, heads=HEADS, vocabulary=260, max_tokens=24)
    method = models.build(MethodSpec(use="della-ltp", options={"start": 2}), size, 0).eval()
    assert list(read(method, one(False)).weights) == [1, 2]
    assert read(build("della"), one(False)).weights == {} == read(build("gpt2"), one(False)).weights


def test_the_summary_averages_over_all_positions_and_cuts_maps() -> None:
    rng = np.random.default_rng(0)
    lengths = (3, POSITIONS + 5)
    texts = [Attention({1: rng.dirichlet(np.ones(t + 1), (2, t))}, 1 / np.arange(2, t + 2)) for t in lengths]
    found = summary(texts, example=1)
    (layer,) = found["layers"]
    memory = [text.weights[1][:, :, 0] for text in texts]
    mean = (memory[0].sum(1) + memory[1].sum(1)) / sum(lengths)
    np.testing.assert_allclose(layer["mean"], mean, atol=1e-4)
    np.testing.assert_allclose(np.array(layer["by_position"])[:, 2], (memory[0][:, 2] + memory[1][:, 2]) / 2, atol=1e-4)
    np.testing.assert_allclose(np.array(layer["by_position"])[:, 3:], memory[1][:, 3:POSITIONS], atol=1e-4)
    assert layer["heads"] == {"max": int(mean.argmax()), "min": int(mean.argmin())}
    cut = texts[1].weights[1][:, :POSITIONS, : POSITIONS + 1]
    for which, expected in (("average", cut.mean(0)), ("max", cut[mean.argmax()]), ("min", cut[mean.argmin()])):
        np.testing.assert_allclose(layer["maps"][which], expected, atol=1e-4)
    assert found["uniform_by_position"] == [round(1 / (t + 2), 4) for t in range(POSITIONS)]
    assert found["uniform"] == pytest.approx(sum(text.uniform.sum() for text in texts) / sum(lengths), abs=1e-4)


def measure(dataset: str, method: str) -> int:
    return main(["attention", "--suite", "trained.yaml", "--dataset", dataset, "--method", method, "--seed", "1"])


def test_a_cell_repeats_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    suite = write_cell(tmp_path, "sotu-story", "memory")
    path = CellPaths(suite.name, "sotu-story", "memory", 1).attention
    written = []
    for _ in range(2):
        assert measure("sotu-story", "memory") == 0
        written.append(path.read_bytes())
    assert written[0] == written[1]
    found = json.loads(written[0])
    assert (found["texts"], found["tokens"][0]) == (len(TEXTS), "<bos>")
    assert TEXTS[found["example"]].startswith("".join(found["tokens"][1:]))
    assert len(found["layers"][0]["maps"]["max"]) == len(found["tokens"])
    assert len(found["layers"][0]["maps"]["max"][0]) == len(found["tokens"]) + 2


def test_a_method_without_memory_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    """Told when one text of all has been read."""
    monkeypatch.chdir(tmp_path)
    write_cell(tmp_path, "bbe", "della")
    read = []
    monkeypatch.setattr(attention, "attend", lambda *given: read.append(given) or attend(*given))
    assert measure("bbe", "della") == 2
    said = "bench: attention: method 'della' has no memory position to attend to\n"
    assert (capsys.readouterr().err, len(read)) == (said, 1)

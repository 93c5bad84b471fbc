"""The ends are the decoded posterior samples, what is between is between, and a cell repeats itself."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from bench import model as models
from bench.batch import Sequences, collate
from bench.cli import main
from bench.interpolation import DECODING, PAIRS, TAUS, between, mix
from bench.paths import CellPaths
from bench.schema import Backbone, MethodSpec
from tests.trained_cell import TEXTS, write_cell

TINY = Backbone(layers=2, width=16, heads=2, vocabulary=260, max_tokens=12)
SEQUENCES = Sequences([[0, *range(10 * i, 10 * i + i), 1] for i in range(1, 6)])


def test_a_mixture_is_linear_and_its_ends_are_exact() -> None:
    z1, z2 = torch.randn(2, 3, 4, 5)
    mixed = mix(z1, z2)
    assert mixed.shape == (3, len(TAUS), 4, 5)
    assert torch.equal(mixed[:, TAUS.index(1)], z1) and torch.equal(mixed[:, TAUS.index(0)], z2)
    torch.testing.assert_close(mixed[:, TAUS.index(0.5)], (z1 + z2) / 2)


@pytest.mark.parametrize("name", ["embed", "della"])
def test_the_ends_are_the_texts_of_the_posterior_samples(name: str) -> None:
    method = models.build(MethodSpec(use=name), TINY, 0).eval()
    with torch.no_grad():
        for parameter in method.parameters():
            parameter += 0.3 * torch.randn_like(parameter)
    torch.manual_seed(3)
    decoded = between(method, SEQUENCES, TINY.max_tokens)
    assert [len(pair) for pair in decoded] == [len(TAUS)] * 2  # five texts are two pairs
    torch.manual_seed(3)
    with torch.inference_mode():
        z = method.posterior(collate(SEQUENCES.texts[:4])).sample(1)[0]
    alone = method.decode(z, DECODING, TINY.max_tokens)
    assert [text for pair in decoded for text in (pair[0], pair[-1])] == alone
    assert alone[0] != alone[1]


def interpolate(dataset: str, method: str, seed: int = 1) -> int:
    cell = ["--dataset", dataset, "--method", method, "--seed", str(seed)]
    return main(["interpolate", "--suite", "trained.yaml", *cell])


def test_a_cell_repeats_itself_and_another_seed_does_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    suite = write_cell(tmp_path, "bbe", "embed")
    path = CellPaths(suite.name, "bbe", "embed", 1).interpolation
    written = []
    for _ in range(2):
        assert interpolate("bbe", "embed") == 0
        written.append(path.read_bytes())
    assert written[0] == written[1]
    found = json.loads(written[0])
    assert [pair["texts"] for pair in found["pairs"]] == [TEXTS[2 * i : 2 * i + 2] for i in range(PAIRS)]
    assert all(len(pair["decoded"]) == len(found["taus"]) for pair in found["pairs"])
    assert (found["decoding"], found["seed"], found["taus"]) == ("greedy()", 1, list(TAUS))


@pytest.mark.parametrize(
    ("dataset", "method", "said"),
    [("bbe", "gpt2", "'gpt2' has no latent variable"), ("sotu-story", "embed", "'sotu-story' depend on sources")],
)
def test_what_has_nothing_to_interpolate_is_one_line(
    dataset: str, method: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    monkeypatch.chdir(tmp_path)
    write_cell(tmp_path, dataset, method)
    assert interpolate(dataset, method) == 2
    assert said in capsys.readouterr().err


SEQUENTIAL = """
name: trained
datasets: [bbe]
methods: [vae-attn]
seeds: [1]
metrics: [elbo]
backbone: {kind: lstm, layers: 1, width: 16, vocabulary: 270, max_tokens: 24}
"""


def test_there_is_nothing_between_latent_sequences_of_different_lengths(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    suite = write_cell(tmp_path, "bbe", "vae-attn", yaml=SEQUENTIAL)
    assert interpolate("bbe", "vae-attn") == 2
    assert "the sequences of 'vae-attn' differ in length" in capsys.readouterr().err
    assert not CellPaths(suite.name, "bbe", "vae-attn", 1).interpolation.exists()

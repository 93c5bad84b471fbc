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


def test_segments_that_one_text_lacks_are_the_priors(monkeypatch: pytest.MonkeyPatch) -> None:
    """One of two texts has five segments and the other one: noise of the posterior's is in neither's place."""
    method = models.build(MethodSpec(use="trace-r", options={"segment_length": 2}), TINY, 0).eval()
    texts = Sequences([[0, 20, 21, 1], [0, *range(30, 40), 1], [0, 50, 51, 1], [0, *range(60, 70), 1]])
    batch = collate(texts.texts)
    assert method.used(batch).tolist() == [1, 5, 1, 5]
    given: list[torch.Tensor] = []
    monkeypatch.setattr(type(method), "decode", lambda self, z, *_: given.append(z) or [[0]] * len(z))
    torch.manual_seed(3)
    between(method, texts, TINY.max_tokens)
    (z,) = given
    there = ~z.unflatten(0, (2, len(TAUS))).isnan().any(-1)  # [pairs, taus, G]
    assert there[..., 0].all()
    for i, tau in enumerate(TAUS):
        assert there[:, i, 1:].any().item() == there[:, i, 1:].all().item() == (tau == 0), tau


def test_what_is_not_given_is_drawn_from_the_prior() -> None:
    method = models.build(MethodSpec(use="trace-r"), TINY, 0).eval()
    z = torch.randn(2, 3, method.options.latent)
    z[0, 1:] = torch.nan
    torch.manual_seed(0)
    steering = method.steering(z)
    ids = torch.tensor([[0, 20, method.separator]] * 2)
    steering.read(ids)
    assert torch.equal(steering.z[1], z[1, 1]) and steering.z[0].isfinite().all()


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

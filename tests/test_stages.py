"""Trainings in several stages and by the plateau schedule: what each stage moves, when it ends, and killed anywhere."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from torch import Tensor

from bench import aggressive, training
from bench import model as models
from bench.backbones.base import NOTHING, Injection
from bench.batch import Batch, Sequences
from bench.checkpoint import Checkpoint
from bench.cost import Meter
from bench.data.prepare import prepare
from bench.errors import BenchError
from bench.files import sha256
from bench.methods import davam
from bench.methods.base import Condition, Method, MethodOptions, Stage, Terms
from bench.methods.codebook import Codebook
from bench.methods.gaussian import IndependentPosterior
from bench.paths import CellPaths
from bench.schema import MethodSpec, Suite, Training
from bench.suite import Cell
from tests.interrupted import Nowhere, every, saved_steps, stop
from tests.methods.conftest import TASKS, build, known_options

SMALL = {"codes": 5, "latent": 4, "prior_layers": 2, "prior_width": 6}
SUITE = Suite.model_validate(
    {
        "name": "tiny",
        "datasets": {"bbe": {"train": 64, "valid": 8, "test": 8}},
        "methods": {
            "davam": {"use": "davam-k128", "options": SMALL},
            "gavam": {"options": {name: value for name, value in SMALL.items() if name != "codes"}},
            "lstm-vae+pretraining+fbp": {"options": {"latent": 4}},
            "lstm-vae+aggressive": {"options": {"latent": 4}},
        },
        "seeds": [1],
        "metrics": {"iw": {}},
        "backbone": {
            "kind": "lstm", "layers": 1, "width": 8, "embedding": 6, "tokenizer": "words", "vocabulary": 60,
            "max_tokens": 40, "dropout": 0.3,
        },
        "training": {
            "epochs": 6, "batch_size": 16, "optimiser": "sgd", "learning_rate": 1.0, "decay": "plateau",
            "decay_from": 1, "patience": 1, "halvings": 2, "clip": 5.0, "annealing_period": 1,
        },
    }
)  # fmt: skip
TEXTS = [[0, *(4 + (i * i + j) % 40 for j in range(3 + i % 4)), 1] for i in range(24)]


pytestmark = pytest.mark.usefixtures("one_thread")


def tiny(name: str, seed: int = 0) -> Method:
    """A method of the suite at its size."""
    spec = SUITE.methods[name]
    return models.build(spec if spec.use else MethodSpec(use=name, options=spec.options), SUITE.backbone, seed)


def fit(method: Method, tmp_path: Path, **plan: Any) -> list[dict[str, Any]]:
    """Train on TEXTS without checkpoints; the rows of history."""
    changed = Training.model_validate({**SUITE.training.model_dump(), "batch_size": 8, "epochs": 2, **plan})
    data = Sequences(TEXTS)
    return training.fit(method, data, data.first(8), changed, 1, Nowhere(), Meter())


def weights(method: Method, *parts: str) -> dict[str, Tensor]:
    """Copies of all weights and buffers, or of those of some parts."""
    return {
        name: tensor.clone()
        for name, tensor in method.state_dict().items()
        if not parts or name.partition(".")[0] in parts
    }


def same(first: dict[str, Tensor], second: dict[str, Tensor]) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


def between(method: Method, seen: dict[str, dict[str, Tensor]]) -> None:
    """Have the weights copied where the second stage begins, before and after what it does first."""
    first, second = method.stages()

    def begin(sequences: Sequences, device: torch.device) -> None:
        seen["before"] = weights(method)
        if second.begin is not None:
            second.begin(sequences, device)
        seen["after"] = weights(method)

    stages = (first, replace(second, begin=begin))
    method.stages = lambda: stages  # type: ignore[method-assign]


# What each stage moves ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("plan", [{}, {"decay": "constant"}], ids=["plateau", "constant"])
def test_davam_trains_the_codes_first_and_then_the_prior(tmp_path: Path, plan: dict[str, Any]) -> None:
    method, seen = tiny("davam"), {}
    at_first = weights(method)
    between(method, seen)
    fit(method, tmp_path, **plan)
    middle, last = seen["before"], weights(method)
    prior = {name for name in at_first if name.startswith("gamma.")}
    assert prior and len(prior) < len(at_first)
    for name in at_first:
        assert torch.equal(at_first[name], middle[name]) == (name in prior), f"{name} in stage one"
        assert torch.equal(middle[name], last[name]) == (name not in prior), f"{name} in stage two"
    assert all(p.requires_grad for p in method.parameters()), "as it was"


def test_the_decoder_is_forgotten_after_pretraining_and_the_encoder_goes_on(tmp_path: Path) -> None:
    method, seen = tiny("lstm-vae+pretraining+fbp"), {}
    at_first = weights(method)
    between(method, seen)
    fit(method, tmp_path)
    before, after, last = seen["before"], seen["after"], weights(method)
    assert {name.partition(".")[0] for name in before} == {"backbone", "encoder", "to_latent", "to_cell"}
    for name, tensor in after.items():
        decoder = name.startswith(("backbone.", "to_cell."))
        assert torch.equal(before[name], tensor) != decoder, name
        assert not torch.equal(at_first[name], before[name]) and not torch.equal(tensor, last[name]), name
        if decoder:
            assert tensor.abs().max() <= (0.1 if "words" in name else 0.01)
            assert tensor.abs().max() > (0.05 if "words" in name else 0.005), name


@pytest.mark.parametrize("first_states", [10_000, 40])
def test_the_codebook_begins_as_k_means_of_the_untrained_encoders_states(
    first_states: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of the steps that the texts of some batches have, and of as many batches as those are."""
    method, texts = tiny("davam"), TEXTS * 4  # three batches of 32
    with torch.no_grad():
        states = {tuple(text): method.coded(Sequences([text]).batch([0]))[0][0] for text in texts}
    given: list[tuple[Tensor, int]] = []
    begin = Codebook.begin

    def watched(book: Codebook, states: Tensor, batches: int) -> None:
        given.append((states, batches))
        begin(book, states, batches)

    monkeypatch.setattr(Codebook, "begin", watched)
    monkeypatch.setattr(davam, "INITIAL_STATES", first_states)
    plan = SUITE.training.model_copy(update={"epochs": 1, "decay": "constant", "learning_rate": 1e-12})
    data = Sequences(texts)
    training.fit(method, data, data.first(8), plan, 1, Nowhere(), Meter())
    ((of_batches, batches),) = given
    every = torch.cat([states[tuple(text)] for text in texts])
    if first_states > len(every):
        assert batches == 3 and len(of_batches) == len(every)
        torch.testing.assert_close(of_batches.sum(0), every.sum(0), rtol=1e-4, atol=1e-4)
    else:
        assert batches == 1 and len(of_batches) < len(every) / 2
    assert torch.cdist(of_batches.double(), every.double()).min(1).values.max() < 1e-5, (
        "states of texts, not of padding"
    )
    assert method.codebook.counts.sum() == pytest.approx(len(of_batches) / batches, rel=0.2), "states a batch"


@pytest.mark.parametrize(
    ("name", "options"), [("gavam", {}), ("vae-attn", {}), ("davam-k128", {"length": "empirical"})]
)
def test_lengths_are_counted_when_training_begins(name: str, options: dict[str, Any], tmp_path: Path) -> None:
    known = known_options(name, SMALL)
    method = models.build(MethodSpec(use=name, options={**known, **options}), SUITE.backbone, 0)
    longest = SUITE.backbone.max_tokens - 1
    assert torch.allclose(method.lengths.log_p.exp(), torch.tensor(1 / longest)), "uniform before"
    fit(method, tmp_path, epochs=1)
    steps = [len(text) - 1 for text in TEXTS]
    expected = [(1 + steps.count(t)) / (len(steps) + longest) for t in range(1, longest + 1)]
    torch.testing.assert_close(method.lengths.log_p.exp(), torch.tensor(expected))


def test_history_of_two_stages(tmp_path: Path) -> None:
    """A row when each stage begins, after each epoch, and of the weights that were kept; no KL where none is trained"""
    rows = fit(tiny("davam"), tmp_path, epochs=3, halvings=9)
    assert [tuple(row) for row in rows] == [training.COLUMNS] * 10
    assert [row["stage"] for row in rows] == ["codes"] * 5 + ["prior"] * 5
    assert [row["step"] for row in rows] == [0, 3, 6, 9, 9, 9, 12, 15, 18, 18]
    assert [row["epoch"] for row in rows] == [0, 1, 2, 3, 3, 3, 4, 5, 6, 6]
    for row in rows:
        codes = row["stage"] == "codes"
        assert (row["valid_kl"] == "") == (row["valid_nelbo"] == "") == codes
        assert row["valid_rec"] > 0
        assert row["lr"] in ((1.0, 0.5, 0.25) if codes else (0.001, 0.0005, 0.00025))
    without = [i for i, row in enumerate(rows) if row["train_rec"] == ""]
    assert without == [0, 4, 5, 6, 7, 8, 9], "nothing was trained since the row before, or nothing but the prior"
    assert [row["train_kl"] == "" for row in rows] == [True] * 6 + [False] * 3 + [True]
    assert [row["beta"] for row in rows] == [0.1, 0.1, 5.0, 5.0, 5.0] + [1.0] * 5
    assert rows[9]["valid_nelbo"] == min(row["valid_nelbo"] for row in rows[6:])
    assert rows[4]["valid_rec"] == min(row["valid_rec"] for row in rows[1:5])


def test_beta_is_zero_while_an_autoencoder_is_trained(tmp_path: Path) -> None:
    rows = fit(tiny("lstm-vae+pretraining+fbp"), tmp_path, epochs=3, halvings=9, annealing_period=2)
    assert [row["stage"] for row in rows] == ["autoencoder"] * 5 + ["vae"] * 5
    assert [row["beta"] for row in rows] == [0.0] * 5 + [pytest.approx(b, abs=1e-6) for b in (1 / 6, 0.5, 1, 1, 1)]
    assert [row["valid_kl"] == "" for row in rows] == [True] * 5 + [False] * 5


def test_a_method_of_one_stage_has_no_name_for_it(tmp_path: Path) -> None:
    assert {row["stage"] for row in fit(tiny("gavam"), tmp_path)} == {""}


@pytest.mark.parametrize(
    ("name", "optimiser", "expected"),
    [("davam", "sgd", [0.5, 0.001]), ("davam", "adamw", [0.5, 0.5]), ("gavam", "sgd", [0.001])],
)
def test_what_sgd_does_not_suit_is_trained_by_adamw(
    name: str, optimiser: str, expected: list[float], tmp_path: Path
) -> None:
    """And a suite that trains by AdamW does so at a rate of its own."""
    rows = fit(tiny(name), tmp_path, optimiser=optimiser, learning_rate=0.5, decay="constant", epochs=1)
    assert list(dict.fromkeys(row["lr"] for row in rows)) == list(dict.fromkeys(expected))


def test_no_two_steps_have_the_same_noise(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of the second stage go on from the first's."""
    steps: list[int] = []
    step = training.Run._step

    def watched(run: training.Run, *rest: Any) -> None:
        with monkeypatch.context() as patch:
            patch.setattr(training, "_seed", lambda seed, number, rank: steps.append(number))
            step(run, *rest)

    monkeypatch.setattr(training.Run, "_step", watched)
    rows = fit(tiny("davam"), tmp_path, decay="constant")
    assert steps == list(range(12))
    by_parts = [row["valid_rec"] + row["valid_kl"] for row in rows if row["valid_nelbo"] != ""]
    bounds = [row["valid_nelbo"] for row in rows if row["valid_nelbo"] != ""]
    assert all(bound > parts + 0.1 for bound, parts in zip(bounds, by_parts, strict=True)), "the length is in the bound"


def test_a_stage_validates_what_it_changes_and_history_has_the_whole_bound(tmp_path: Path) -> None:
    """Rec while codes are trained, then the prior beside the Rec that codes ended with."""
    method, data = tiny("davam"), Sequences(TEXTS).first(8)
    rows = fit(method, tmp_path)
    rec, kl, cost = training.validation_terms(method, data, 8, 1, torch.device("cpu"))
    last = rows[-1]
    assert (last["valid_rec"], last["valid_kl"], last["valid_nelbo"]) == (rec, kl, rec + kl + cost)
    assert {row["valid_rec"] for row in rows if row["stage"] == "prior"} == {rec}
    assert [row["valid_rec"] for row in rows if row["stage"] == "codes"][-1] == rec
    batch = data.batch(range(8))
    codes, prior = (stage.validated(batch) for stage in method.stages())
    assert not codes.kl.numel() and codes.length is None and not prior.rec.any()
    whole = method.terms(batch)
    for part, of in (("rec", codes), ("kl", prior), ("length", prior)):
        torch.testing.assert_close(getattr(of, part), getattr(whole, part), rtol=0, atol=0)


@pytest.mark.parametrize("name", ["davam", "gavam"])
def test_validation_counts_what_a_length_costs(name: str) -> None:
    """In the bound, and in no KL."""
    method, data = tiny(name).eval(), Sequences(TEXTS)
    with torch.no_grad():
        rec, kl, cost = training.validation_terms(method, data, 5, 1, torch.device("cpu"))
        lengths = [method.length_nll(data.batch([i])) for i in range(len(TEXTS))]
        assert cost == pytest.approx(float(torch.cat(lengths).mean()), rel=1e-5) and cost > 1  # type: ignore[arg-type]
        if method.certain:
            each = [method.terms(data.batch([i])) for i in range(len(TEXTS))]
            assert rec == pytest.approx(sum(float(terms.rec) for terms in each) / 24, rel=1e-5)
            assert kl == pytest.approx(sum(float(terms.kl.sum()) for terms in each) / 24, rel=1e-5)


# The plateau schedule --------------------------------------------------------------------------------------------


class Descent(Method):
    """One weight, whose gradient is 1: each step of SGD takes the learning rate off it."""

    def __init__(self, stages: int = 1, settled: Callable[[int, int, int], bool] | None = None) -> None:
        super().__init__(None, MethodOptions())  # type: ignore[arg-type]
        self.weight, self.count, self.settled = torch.nn.Parameter(torch.zeros(())), stages, settled

    def posterior(self, batch: Batch, condition: Condition | None = None) -> IndependentPosterior:
        raise NotImplementedError

    def inject(self, z: Tensor) -> Injection:
        return NOTHING

    def terms(self, batch: Batch, generator: torch.Generator | None = None) -> Terms:
        return Terms(self.weight.expand(len(batch)), torch.zeros(len(batch), 0, 1))

    def stages(self) -> list[Stage]:
        names = ["first", "second"][: self.count]
        return [
            Stage(lambda batch, beta: self.terms(batch), lambda *_: 1.0, name, settled=self.settled) for name in names
        ]


def scripted(values: list[float], patch: Callable[[Any, str, Any], None], seen: list[float] | None = None) -> None:
    """Validation of every stage gives one of the values after each epoch; ``seen``: the weight of `Descent` then."""
    now: list[training.Run] = []
    row = training.Run._row

    def of_run(run: training.Run) -> None:
        now[:] = [run]
        row(run)

    def validation(method: Method, *_: object) -> tuple[float, float, float]:
        epoch = now[0].progress.step // now[0].per_epoch
        if seen is not None:
            seen.append(float(method.weight.detach()))
        return (values[epoch - 1] if epoch else 1e9), 0.0, 0.0

    patch(training.Run, "_row", of_run)
    patch(training, "validation_terms", validation)


def plainly(
    values: list[float], steps: int, decay_from: int, patience: int, halvings: int, settled: int = 1
) -> tuple[list[float], list[float], float]:
    """The schedule as its description has it: the weight and the rate after each epoch, and the weight kept."""
    weight, rate, kept, halved, since = 0.0, 1.0, (math.inf, 0.0), 0, 0
    at, rates = [0.0], [1.0]
    for epoch, value in enumerate(values, 1):
        weight -= steps * rate
        at.append(weight)
        rates.append(rate)
        if epoch < settled:
            continue
        if value < kept[0] or epoch == settled:
            kept, since = (value if value == value else math.inf, weight), 0
        else:
            since += 1
        if since >= patience and epoch >= decay_from:
            weight, rate, since, halved = kept[1], rate / 2, 0, halved + 1
            if halved == halvings:
                break
    return [*at, kept[1]], [*rates, rate], kept[1]


@given(
    values=st.lists(st.sampled_from([1.0, 2.0, 3.0, 4.0, 5.0, math.nan]), min_size=1, max_size=14),
    decay_from=st.integers(1, 5), patience=st.integers(1, 3), halvings=st.integers(1, 4), steps=st.integers(1, 2),
    settled=st.integers(1, 4),
)  # fmt: skip
@example(values=[1.0, 2.0, 3.0, 2.0], decay_from=2, patience=1, halvings=4, steps=2, settled=1)
@example(values=[5.0, 4.0, 6.0, 6.0, 6.0, 3.0, 4.0, 4.0, 4.0], decay_from=5, patience=2, halvings=2, steps=1, settled=1)
@example(values=[1.0, 2.0, 3.0, 2.0, 4.0], decay_from=1, patience=1, halvings=4, steps=2, settled=3)
@settings(max_examples=60, deadline=None)
def test_plateau(values: list[float], decay_from: int, patience: int, halvings: int, steps: int, settled: int) -> None:
    """Weights and rates are sums of powers of two: equal to the last bit."""
    settled = min(settled, len(values))
    plan = Training(
        epochs=len(values), batch_size=1, optimiser="sgd", learning_rate=1.0, decay="plateau", decay_from=decay_from,
        patience=patience, halvings=halvings, clip=9.0, annealing_period=settled,
    )  # fmt: skip
    method, data, seen = Descent(settled=lambda step, period, _: step >= period), Sequences([[0, 5, 1]] * steps), []
    with pytest.MonkeyPatch.context() as patch:
        scripted(values, patch.setattr, seen)
        rows = training.fit(method, data, data, plan, 1, Nowhere(), Meter())
    at, rates, kept = plainly(values, steps, decay_from, patience, halvings, settled)
    assert seen == at and [row["lr"] for row in rows] == rates and method.weight.item() == kept


def test_plateau_by_hand() -> None:
    """Better at 1 and 2; worse at 3 and 4, which is before epoch 5; worse at 5: halved, back to 2; better at 6, ..."""
    at, rates, kept = plainly([5, 4, 6, 6, 6, 3, 4, 4, 4, 9], steps=1, decay_from=5, patience=2, halvings=2)
    assert at == [0, -1, -2, -3, -4, -5, -2.5, -3, -3.5, -2.5] and kept == -2.5
    assert rates == [1, 1, 1, 1, 1, 1, 0.5, 0.5, 0.5, 0.25]


def test_a_cycle_that_begins_anew_halves_no_rate(monkeypatch: pytest.MonkeyPatch) -> None:
    """A bound that is worse while beta rises again, and better than ever where it is whole: there is no plateau."""
    (cyclic,) = build("lstm-vae+cyclic", TASKS["lstm"]).stages()
    of_cycle = {0: 9.0, 1: 8.0, 2: 1.0, 3: 0.5}  # epochs in a cycle of four; the first two are of beta below 1
    values = [of_cycle[epoch % 4] - 0.01 * epoch for epoch in range(16)]

    def rates(values: list[float], settled: Any, decay_from: int = 1) -> list[float]:
        scripted(values, monkeypatch.setattr)
        plan = Training(
            epochs=len(values), batch_size=1, optimiser="sgd", learning_rate=1.0, decay="plateau", patience=2,
            decay_from=decay_from, halvings=5, clip=9.0, annealing_period=4,
        )  # fmt: skip
        data = Sequences([[0, 5, 1]])
        rows = training.fit(Descent(settled=settled), data, data, plan, 1, Nowhere(), Meter())
        return [row["lr"] for row in rows]

    assert set(rates(values, cyclic.settled)) == {1.0} and min(rates(values, None)) < 0.2
    # two that are worse than the third, before the ninth may halve: the eleventh does, where beta is whole again
    waiting = [9.0, 8.0, 1.0, 2.0, 9.0, 9.0, 2.0, 2.0, 9.0, 9.0, 2.0, 0.8]
    assert rates(waiting, cyclic.settled, decay_from=9)[1:13] == [1.0] * 11 + [0.5]


def test_every_stage_has_the_whole_schedule(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Rate, best bound and epochs of the second begin anew; weights go on from the best ones of the first."""
    seen: list[float] = []
    scripted([2.0, 1.0, 3.0, 3.0], monkeypatch.setattr, seen)
    plan = Training(
        epochs=4, batch_size=1, optimiser="sgd", learning_rate=1.0, decay="plateau", decay_from=1, patience=1,
        halvings=1, clip=9.0,
    )  # fmt: skip
    method, data = Descent(stages=2), Sequences([[0, 5, 1]])
    rows = training.fit(method, data, data, plan, 1, Nowhere(), Meter())
    assert seen == [0, -1, -2, -3, -2, -2, -3, -4, -5, -4]
    assert [row["lr"] for row in rows] == [1, 1, 1, 1, 0.5] * 2
    assert [row["step"] for row in rows] == [0, 1, 2, 3, 3, 3, 4, 5, 6, 6]


def test_plateau_looks_at_the_whole_validation_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    sizes: list[int] = []
    terms = training.validation_terms

    def counted(method: Method, sequences: Sequences, *rest: Any) -> tuple[float, float, float]:
        sizes.append(len(sequences))
        return terms(method, sequences, *rest)

    monkeypatch.setattr(training, "validation_terms", counted)
    for decay, expected in (("plateau", {8}), ("constant", {3})):
        sizes.clear()
        fit(tiny("gavam"), tmp_path, valid_examples=3, decay=decay, epochs=1)
        assert set(sizes) == expected


# Killed anywhere -------------------------------------------------------------------------------------------------

VALUES = [6.0, 5.0, 6.0, 4.0, 5.0, 9.0]  # halved after epoch 3, and for the last time after epoch 5
PER_EPOCH = 4
STAGE = 5 * PER_EPOCH


@pytest.fixture
def undisturbed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> list[str]:
    """What the training of a cell leaves, by its files' hashes."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(aggressive, "STEPS", 4)
    scripted(VALUES, monkeypatch.setattr)
    cell = Cell("bbe", request.param, 1)
    prepare("bbe", SUITE.datasets["bbe"], SUITE.backbone, paths(cell).data)
    training.train(SUITE, cell, "key")
    return hashes(cell)


def paths(cell: Cell) -> CellPaths:
    return CellPaths("tiny", cell.dataset, cell.method, cell.seed)


def hashes(cell: Cell) -> list[str]:
    files = paths(cell)
    return [sha256(files.model / name) for name in ("weights.safetensors", "config.json")] + [sha256(files.history)]


def resumed(cell: Cell, monkeypatch: pytest.MonkeyPatch, after: int, checkpoints: int, end: int) -> list[int]:
    """Kill a training and let it go on; the steps at which the second part wrote checkpoints."""
    monkeypatch.setattr(Checkpoint, "due", every(checkpoints))
    with monkeypatch.context() as killed:
        if after < end:
            stop(killed, after)
        else:  # trained, and not yet written

            def interrupt(*_: object) -> None:
                raise KeyboardInterrupt

            killed.setattr(models, "save", interrupt)
        with pytest.raises(KeyboardInterrupt):
            training.train(SUITE, cell, "key")
    assert paths(cell).resume.exists() and not paths(cell).model.joinpath("partial").exists()
    steps = saved_steps(monkeypatch)
    training.train(SUITE, cell, "key")
    assert not paths(cell).resume.exists()
    return steps


TWO_STAGES = {
    "in stage one": 3, "just after a halving": 3 * PER_EPOCH, "at the end of stage one": STAGE,
    "in stage two": STAGE + 3, "after a halving in stage two": STAGE + 3 * PER_EPOCH,
    "after the last halving": 2 * STAGE,
}  # fmt: skip


@pytest.mark.parametrize("checkpoints", [1, 3])
@pytest.mark.parametrize("undisturbed", ["davam", "lstm-vae+pretraining+fbp"], indirect=True)
def test_two_stages_resume_to_the_same_bytes(
    undisturbed: list[str], monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest, checkpoints: int
) -> None:
    cell = Cell("bbe", request.node.callspec.params["undisturbed"], 1)
    for where, after in TWO_STAGES.items():
        with monkeypatch.context() as patch:
            steps = resumed(cell, patch, after, checkpoints, end=2 * STAGE)
        assert hashes(cell) == undisturbed, where
        first = after // checkpoints * checkpoints + checkpoints
        assert steps == list(range(first, 2 * STAGE + 1, checkpoints)), f"{where}: it went on from the checkpoint"


@pytest.mark.parametrize("undisturbed", ["lstm-vae+aggressive"], indirect=True)
def test_aggressive_training_resumes_to_the_same_bytes(undisturbed: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed while it is aggressive, and where it is not any more; what says so is scripted in the second half."""
    cell = Cell("bbe", "lstm-vae+aggressive", 1)
    ahead: list[int] = []
    train_ahead, measured = aggressive.train_ahead, iter([1.0, 0.5])

    def watched(*arguments: Any) -> None:
        ahead.append(1)
        train_ahead(*arguments)

    monkeypatch.setattr(aggressive, "train_ahead", watched)
    for after in (3, PER_EPOCH, 2 * PER_EPOCH, STAGE):
        with monkeypatch.context() as patch:
            resumed(cell, patch, after, 1, end=STAGE)
        assert hashes(cell) == undisturbed, after
    monkeypatch.setattr(aggressive, "mutual_information", lambda *_: next(measured))
    ahead.clear()
    training.train(SUITE, cell, "key")
    assert len(ahead) == 2 * PER_EPOCH
    scripted_off = hashes(cell)
    measured, before = iter([1.0, 0.5]), len(ahead)
    resumed(cell, monkeypatch, 2 * PER_EPOCH + 3, 1, end=STAGE)
    assert hashes(cell) == scripted_off and len(ahead) == before + 2 * PER_EPOCH, "it is not asked again"


def test_a_rate_that_would_have_no_effect_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """GAVAM is trained by AdamW where others are by SGD, of which a method's rate is."""
    monkeypatch.chdir(tmp_path)
    own = {name: spec.model_copy(update={"learning_rate": 0.5}) for name, spec in SUITE.methods.items()}
    suite, cell = SUITE.model_copy(update={"methods": own}), Cell("bbe", "gavam", 1)
    prepare("bbe", suite.datasets["bbe"], suite.backbone, paths(cell).data)
    with pytest.raises(BenchError, match=r"'methods\.gavam\.learning_rate' is of SGD; .* by AdamW at 0.001"):
        training.train(suite, cell, "key")
    assert not paths(cell).model.exists()

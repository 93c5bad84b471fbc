"""The training loop: it learns, repeats itself bit for bit, and resumes as if it had never been stopped."""

from __future__ import annotations

import csv
import time
from pathlib import Path

import pytest
import torch

from bench import checkpoint as checkpoints
from bench import training
from bench.batch import token_batches
from bench.checkpoint import FIRST, SECONDS, SHARE, Checkpoint, Progress
from bench.cost import Meter, measured
from bench.data.prepare import prepare
from bench.data.sequences import read_sequences
from bench.errors import BenchError
from bench.files import read_json, sha256
from bench.integrity import training_key
from bench.model import load
from bench.paths import CellPaths
from bench.schema import Suite
from bench.suite import Cell
from bench.vocabulary import load_tokenizer
from tests.interrupted import every, saved_steps, stop

SUITE = Suite.model_validate(
    {
        "name": "tiny",
        "datasets": {
            "bbe": {"train": 64, "valid": 8, "test": 8},
            "kjv2bbe": {"train": 64, "valid": 8, "test": 8, "backbone": {"kind": "bart"}},
        },
        "methods": ["della", "gpt2", "bart", "optimus", "embed+annealing+bn", "memory+bow", "della-kl-last"],
        "seeds": [1],
        "metrics": {"iw": {}},
        "backbone": {
            "layers": 2,
            "width": 16,
            "heads": 2,
            "vocabulary": 300,
            "max_tokens": 48,
            "max_source_tokens": 48,
            "dropout": 0.1,
        },
        "training": {"epochs": 4, "batch_size": 8, "learning_rate": 0.01, "log_points": 4, "valid_examples": 8},
    }
)
CELL = Cell("bbe", "della", 1)


@pytest.fixture
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> CellPaths:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(Checkpoint, "due", every(5))
    return prepared(CELL)


def prepared(cell: Cell) -> CellPaths:
    """The paths of a cell, its data written."""
    paths = CellPaths("tiny", cell.dataset, cell.method, cell.seed)
    prepare(cell.dataset, SUITE.datasets[cell.dataset], SUITE.backbone, paths.data)
    return paths


def hashes(paths: CellPaths) -> list[str]:
    return [sha256(paths.model / "weights.safetensors"), sha256(paths.history), sha256(paths.model / "config.json")]


def test_training_lowers_the_loss_and_leaves_no_resume(workplace: CellPaths) -> None:
    training.train(SUITE, CELL, "key")
    rows = workplace.history.read_text().splitlines()
    assert rows[0].split(",") == list(training.COLUMNS) and len(rows) == 1 + 5
    first, last = (float(row.split(",")[-1]) for row in (rows[1], rows[-1]))
    assert last < 0.9 * first
    assert not workplace.resume.exists()
    assert load(workplace.model).groups == 2


LEARNING = [
    Cell("bbe", "optimus", 1), Cell("kjv2bbe", "bart", 1), Cell("kjv2bbe", "della-kl-last", 1),
    Cell("kjv2bbe", "memory+bow", 1),
]  # fmt: skip


@pytest.mark.parametrize("cell", LEARNING, ids=lambda cell: cell.method)
def test_other_objectives_and_conditions_are_learned_from(workplace: CellPaths, cell: Cell) -> None:
    paths = prepared(cell)
    training.train(SUITE, cell, "key")
    rows = [row.split(",") for row in paths.history.read_text().splitlines()]
    rec = rows[0].index("valid_rec")
    assert float(rows[-1][rec]) < 0.9 * float(rows[1][rec])
    method = load(paths.model)
    assert method.backbone.conditional == (cell.dataset == "kjv2bbe")
    assert "" not in rows[-1][1:] or method.groups == 0  # one stage has no name


def test_running_statistics_are_part_of_a_checkpoint(workplace: CellPaths, monkeypatch: pytest.MonkeyPatch) -> None:
    """Batch norm on a conditional dataset, stopped and resumed."""
    cell = Cell("kjv2bbe", "embed+annealing+bn", 1)
    paths = prepared(cell)
    training.train(SUITE, cell, "key")
    undisturbed, norm = hashes(paths), load(paths.model).encoder.normalise.norm
    assert norm.num_batches_tracked == 32 and norm.running_mean.any()
    with monkeypatch.context() as stopped:
        stop(stopped, after=13)
        with pytest.raises(KeyboardInterrupt):
            training.train(SUITE, cell, "key")
    assert paths.resume.exists()
    training.train(SUITE, cell, "key")
    assert hashes(paths) == undisturbed


def tokens_of(paths: CellPaths) -> float:
    cost = read_json(paths.cost("train"))
    return cost["tokens_per_s"] * cost["wall_s"]  # both are rounded in the file


@pytest.mark.parametrize("stop_after", [4, 5, 13, 31])
def test_a_killed_run_resumes_to_the_same_bytes(
    workplace: CellPaths, monkeypatch: pytest.MonkeyPatch, stop_after: int
) -> None:
    training.train(SUITE, CELL, "key")
    undisturbed, undisturbed_tokens = hashes(workplace), tokens_of(workplace)
    with monkeypatch.context() as stopped:
        stop(stopped, stop_after)
        with pytest.raises(KeyboardInterrupt):
            training.train(SUITE, CELL, "key")
    assert workplace.resume.exists() == (stop_after >= 5)
    steps = saved_steps(monkeypatch)
    training.train(SUITE, CELL, "key")
    assert hashes(workplace) == undisturbed
    assert steps == [s for s in range(5, 33, 5) if s > stop_after]  # it went on from the checkpoint
    assert tokens_of(workplace) == pytest.approx(undisturbed_tokens, rel=0.05), "all of its steps are counted, once"


def test_a_resumed_run_costs_what_its_parts_did(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    first = Meter(tokens=7, steps=2, steps_s=3.0)
    now[0] += 5.0
    spent = first.spent
    now[0] += 1000.0  # killed, and a night later
    with measured(tmp_path / "cost.json") as meter:
        meter.resume(spent)
        meter.tokens, meter.steps, meter.steps_s = meter.tokens + 8, meter.steps + 1, meter.steps_s + 3.0
        now[0] += 10.0
    cost = read_json(tmp_path / "cost.json")
    assert (cost["wall_s"], cost["tokens_per_s"], cost["step_s"]) == (15.0, 1.0, 2.0)


def test_memory_of_a_gpu_is_that_of_its_tensors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda: 3 << 20)
    cpus = ("cpu", "2 × cpu", "cpu in float32")
    for device in (*cpus, "a GPU"):
        with measured(tmp_path / f"{device}.json") as meter:
            meter.device = device
    assert not any("gpu_peak_mb" in read_json(tmp_path / f"{device}.json") for device in cpus)
    assert read_json(tmp_path / "a GPU.json")["gpu_peak_mb"] == 3.0


def test_a_checkpoint_of_other_code_or_data_is_not_used(workplace: CellPaths, monkeypatch: pytest.MonkeyPatch) -> None:
    training.train(SUITE, CELL, "key")
    undisturbed = hashes(workplace)
    method = load(workplace.model)
    others = Checkpoint(workplace.resume, "another key")
    others.save(method, torch.optim.AdamW(method.parameters()), {}, Progress(step=20), {})
    steps = saved_steps(monkeypatch)
    training.train(SUITE, CELL, "key")
    assert hashes(workplace) == undisturbed and steps == list(range(5, 33, 5))


def test_a_damaged_checkpoint_is_not_used(workplace: CellPaths, monkeypatch: pytest.MonkeyPatch) -> None:
    training.train(SUITE, CELL, "key")
    undisturbed = hashes(workplace)
    with monkeypatch.context() as stopped:
        stop(stopped, after=13)
        with pytest.raises(KeyboardInterrupt):
            training.train(SUITE, CELL, "key")
    (workplace.resume / "state.json").write_text("{")
    training.train(SUITE, CELL, "key")
    assert hashes(workplace) == undisturbed


@pytest.mark.parametrize(
    ("took", "waits"),
    [
        (0.0, (FIRST, 2 * FIRST, 4 * FIRST, 8 * FIRST, 16 * FIRST, SECONDS, SECONDS)),
        (3.0, (FIRST, 3 / SHARE, 3 / SHARE)),
    ],
)
def test_a_checkpoint_is_due_after_some_seconds(
    took: float, waits: tuple[float, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of the last one, or of the beginning of the run: soon at first, then twice as long each time, up to a limit.

    Where one takes long to write they are as far apart as makes it little of the time.
    """
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    written = checkpoints.save_tensors

    def slowly(tensors: dict[str, torch.Tensor], path: Path) -> None:
        written(tensors, path)
        now[0] += took

    monkeypatch.setattr(checkpoints, "save_tensors", slowly)
    checkpoint, method = Checkpoint(tmp_path / "resume", "key"), torch.nn.Linear(1, 1)
    for wait in waits:
        assert not checkpoint.due
        now[0] += wait - 0.5
        assert not checkpoint.due
        now[0] += 0.5
        assert checkpoint.due
        checkpoint.save(method, torch.optim.SGD(method.parameters()), {}, Progress(), {})  # type: ignore[arg-type]


def test_a_vocabulary_is_as_large_as_the_texts_fill_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a suite allows beyond that would be in every softmax, and be drawn, and decode to nothing."""
    monkeypatch.chdir(tmp_path)
    size = SUITE.backbone.model_copy(update={"tokenizer": "words", "vocabulary": 9000})
    plan = SUITE.training.model_copy(update={"epochs": 1})
    suite = SUITE.model_copy(update={"backbone": size, "training": plan})
    paths = CellPaths("tiny", "bbe", "gpt2", 1)
    prepare("bbe", suite.datasets["bbe"], size, paths.data)
    training.train(suite, Cell("bbe", "gpt2", 1), "key")
    entries = load_tokenizer(paths.data / "tokenizer.json").get_vocab_size()
    method = load(paths.model)
    assert 100 < entries < 2000 and method.output_weight.shape[0] == entries == method.backbone.vocabulary
    config = read_json(paths.model / "config.json", "model config")
    assert config["backbone"]["vocabulary"] == entries
    assert config["parameters"] == sum(parameter.numel() for parameter in method.parameters())


def test_seeds_differ(workplace: CellPaths) -> None:
    training.train(SUITE, CELL, "key")
    training.train(SUITE, Cell("bbe", "della", 2), "key")
    other = CellPaths("tiny", "bbe", "della", 2)
    assert sha256(other.model / "weights.safetensors") != sha256(workplace.model / "weights.safetensors")


def test_no_gpu_is_one_clear_line(workplace: CellPaths) -> None:
    if torch.cuda.is_available():
        pytest.skip("there is a GPU here")
    with pytest.raises(BenchError, match="sees no CUDA GPU"):
        training.train(SUITE, CELL, "key", device="cuda")


def test_a_cpu_without_bfloat16_says_so(
    workplace: CellPaths, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """On standard error and beside what training cost; and computes as without it."""
    training.train(SUITE, CELL, "key")
    undisturbed = hashes(workplace)
    assert read_json(workplace.cost("train"))["device"] == "cpu"
    monkeypatch.setattr("bench.device.has_bfloat16", lambda device: False)
    low = SUITE.training.model_copy(update={"precision": "bfloat16"})
    training.train(SUITE.model_copy(update={"training": low}), CELL, "key")
    assert hashes(workplace) == undisturbed
    assert read_json(workplace.cost("train"))["device"] == "cpu in float32"
    assert "this CPU has no bfloat16: training in float32" in capsys.readouterr().err


def test_a_checkpoint_is_of_one_precision(workplace: CellPaths, monkeypatch: pytest.MonkeyPatch) -> None:
    """That of a CPU without bfloat16 is not gone on from on one that has it, nor the other way round."""
    low = SUITE.model_copy(update={"training": SUITE.training.model_copy(update={"precision": "bfloat16"})})
    keys = {}
    for there in (True, False):
        monkeypatch.setattr("bench.device.has_bfloat16", lambda device, there=there: there)
        keys[there] = [training_key(suite, CELL, "cpu", 1) for suite in (SUITE, low)]
    assert keys[True][0] == keys[False][0] and len({keys[True][0], keys[True][1], keys[False][1]}) == 3


def test_a_truncated_model_is_one_clear_line(workplace: CellPaths) -> None:
    training.train(SUITE, CELL, "key")
    weights = workplace.model / "weights.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(BenchError, match=r"weights\.safetensors: missing or damaged"):
        load(workplace.model)


def test_batches_by_tokens_are_trained_on_whole_epochs(workplace: CellPaths) -> None:
    """Every text in every epoch, and no rest is left out."""
    changed = {"batches": "tokens", "batch_tokens": 100, "epochs": 2}
    suite = SUITE.model_copy(update={"training": SUITE.training.model_copy(update=changed)})
    training.train(suite, CELL, "key")
    sequences = read_sequences(workplace.data, "train", suite.backbone)
    assert tokens_of(workplace) == pytest.approx(2 * sum(len(text) - 1 for text in sequences.texts), rel=0.05)
    _, step, epoch, *_ = workplace.history.read_text().splitlines()[-1].split(",")
    per_epoch = len(token_batches(sequences.sizes, 100, CELL.seed, 0))
    assert (int(step), epoch) == (2 * per_epoch, "2.0") and per_epoch > 8, "more than those of eight texts"


def with_training(**changes: object) -> Suite:
    return SUITE.model_copy(update={"training": SUITE.training.model_copy(update=changes)})


def column(paths: CellPaths, name: str) -> list[float]:
    """One column of a history, without its empty cells."""
    rows = csv.DictReader(paths.history.read_text().splitlines())
    return [float(row[name]) for row in rows if row[name]]


@pytest.mark.parametrize("stop_after", [None, 13, 31])
def test_the_weights_of_the_best_validation_bound_are_kept(
    workplace: CellPaths, monkeypatch: pytest.MonkeyPatch, stop_after: int | None
) -> None:
    """Of a rate so large that the last are not; also of a run that was killed since, or before."""
    suite = with_training(learning_rate=0.3, decay="constant", log_points=8, keep="best")
    training.train(with_training(learning_rate=0.3, decay="constant", log_points=8), CELL, "last")
    bounds = column(workplace, "valid_nelbo")
    assert len(bounds) == 9 and bounds[-1] > min(bounds[1:]), "the last are not the best"
    if stop_after is not None:
        with monkeypatch.context() as stopped:
            stop(stopped, stop_after)
            with pytest.raises(KeyboardInterrupt):
                training.train(suite, CELL, "best")
    training.train(suite, CELL, "best")
    assert column(workplace, "valid_nelbo") == [*bounds, min(bounds[1:])], "a last row, of what is kept"
    kept = load(workplace.model)
    valid = read_sequences(workplace.data, "valid", SUITE.backbone)
    terms = training.validation_terms(kept, valid, 8, CELL.seed, torch.device("cpu"))
    assert sum(terms) == pytest.approx(min(bounds[1:]), rel=1e-6)


def test_history_has_means_over_texts(workplace: CellPaths) -> None:
    """At a rate of next to nothing they are, over an epoch of whole batches, those of the training set."""
    cell = Cell("bbe", "gpt2", 1)
    paths = prepared(cell)
    suite = with_training(learning_rate=1e-12, epochs=1)
    dry = suite.model_copy(update={"backbone": suite.backbone.model_copy(update={"dropout": 0.0})})
    training.train(dry, cell, "key")
    train = read_sequences(paths.data, "train", SUITE.backbone)
    rec = training.validation_terms(load(paths.model), train, 8, 1, torch.device("cpu"))[0]
    found = column(paths, "train_rec")
    assert len(found) == 4 and sum(found) / 4 == pytest.approx(rec, rel=1e-5)

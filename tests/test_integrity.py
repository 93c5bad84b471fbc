"""Damaged, exchanged and edited files of a finished run: no stage uses one."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from bench import closure
from bench import dag as dags
from bench import suite as suites
from bench.cli import main
from bench.dag import PLANNED
from bench.errors import BenchError
from bench.files import SUMS, atomic_directory, check, claimed, seal, write_json
from bench.integrity import augmentation_key, training_key
from bench.paths import CellPaths
from bench.suite import Cell
from tests.trained_cell import write_data

ROOT = Path(__file__).parents[1]
YAML = """
name: s
datasets: {bbe: {train: 16, valid: 8, test: 8}}
methods: [embed]
seeds: [1, 2]
metrics: [iw, distinct]
backbone: {layers: 1, width: 8, heads: 1, vocabulary: 262, max_tokens: 16}
training: {epochs: 1, batch_size: 8, log_points: 2, valid_examples: 8}
likelihood: {importance_samples: 2, posterior_samples: 1}
generation: {samples: 4}
"""
SUITE, AT = ("--suite", "s.yaml"), ("--dataset", "bbe")
TABLE, CURVES = (("report", *SUITE, "--report", name, "--out", f"out.{end}") for name, end in
                 (("table1", "md"), ("curves", "png")))  # fmt: skip
FREEZE = ("freeze", *SUITE, "again", "--allow-dirty")
COMPARE = ("compare", *SUITE, "--frozen", "r1", "--out", "compare.md")


def stage(verb: str, *more: str, seed: int = 1) -> tuple[str, ...]:
    return (verb, *SUITE, *AT, "--method", "embed", "--seed", str(seed), *more)


def human(verb: str, *more: str) -> tuple[str, ...]:
    return (verb, *SUITE, *AT, "--method", "human", "--seed", "0", *more)


LIKELIHOOD, TEXTS = ("--family", "likelihood"), ("--family", "ngrams")
EVERY = [
    ("prepare", *SUITE, *AT),
    *(stage(verb, *more, seed=seed) for seed in (1, 2) for verb, more in (
        ("train", ()), ("likelihood", ()), ("generate", ()), ("interpolate", ()), ("score-cell", LIKELIHOOD),
        ("score-cell", TEXTS), ("record", ()),
    )),
    ("untrained", *SUITE, *AT, "--row", "human"), human("score-cell", *TEXTS), human("record"),
    TABLE, CURVES, ("freeze", *SUITE, "r1", "--allow-dirty"), COMPARE,
]  # fmt: skip

CELL, DATA, FROZEN = "results/runs/s/bbe/embed/seed1", "results/runs/s/bbe/data", "results/frozen/r1"
READERS = [  # each file, and the stages that read it
    (f"{DATA}/manifest.json", stage("train"), stage("likelihood"), stage("record"), TABLE),
    (f"{DATA}/train.txt", stage("train")),
    (f"{DATA}/valid.txt", stage("train"), ("untrained", *SUITE, *AT, "--row", "human")),
    (f"{DATA}/test.txt", stage("likelihood"), stage("score-cell", *TEXTS)),
    (f"{DATA}/tokenizer.json", stage("train"), stage("likelihood"), stage("interpolate")),
    *((f"{CELL}/model/{file}", stage("likelihood"), stage("generate"), stage("interpolate"))
      for file in ("weights.safetensors", "config.json", "tokenizer.json")),
    (f"{CELL}/model/config.json", stage("record")),
    (f"{CELL}/history.csv", CURVES, FREEZE),
    (f"{CELL}/likelihood.npz", stage("score-cell", *LIKELIHOOD), FREEZE, COMPARE),
    (f"{CELL}/samples.jsonl", stage("score-cell", *TEXTS)),
    *((f"{CELL}/{file}.json", stage("record")) for file in (
        "scores/likelihood", "scores/ngrams", "cost/train", "cost/likelihood", "cost/generate")),
    (f"{CELL}/record.json", TABLE, FREEZE, COMPARE),
    (f"{FROZEN}/manifest.json", COMPARE),
    (f"{FROZEN}/cells/bbe/embed/seed1.json", COMPARE),
]  # fmt: skip


def flipped(data: bytes, _: Path) -> bytes:
    middle = len(data) // 2
    return data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :]


def of_another(_: bytes, path: Path) -> bytes:
    other = Path(str(path).replace("seed1", "seed2"))
    return other.read_bytes() if other != path else path.parent.joinpath("manifest.json").read_bytes() + b" "


def edited(data: bytes, _: Path) -> bytes:
    """A digit after a colon or comma, as a hand would: still valid JSON or CSV."""
    return re.sub(rb"([:,] ?-?\d*)(\d)", lambda m: m[1] + str((int(m[2]) + 1) % 10).encode(), data, count=1)


DAMAGE: list[Callable[[bytes, Path], bytes]] = [
    flipped, of_another, edited,
    lambda data, _: data[: len(data) // 2], lambda data, _: b"", lambda data, _: data + b"\n",
]  # fmt: skip


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A run made by the verbs."""
    root = tmp_path_factory.mktemp("run")
    (root / "s.yaml").write_text(YAML)
    shutil.copytree("results/published", root / "results/published")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        for arguments in EVERY:
            assert main(arguments) == 0, arguments
        yield root


def contents() -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in Path().rglob("*") if path.is_file()}


@pytest.mark.parametrize("case", READERS, ids=lambda case: case[0].removeprefix("results/"))
def test_no_stage_reads_a_damaged_file(case: tuple, finished: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file, readers = Path(case[0]), case[1:]
    whole = file.read_bytes()
    for damage in DAMAGE:
        if (data := damage(whole, file)) == whole:
            continue  # no number in it to edit
        file.write_bytes(data)
        before = contents()
        for arguments in readers:
            code, error = main(arguments), capsys.readouterr().err
            assert code == 2 and error.count("\n") == 1, (arguments, error)
            assert f"{file}: " in error and "changed since it was " in error, error
            assert ("take the release again" if "frozen" in file.parts else "run again") in error, error
            assert contents() == before, "nothing is written"
        file.write_bytes(whole)
    capsys.readouterr()


def test_every_file_of_a_run_is_sealed_and_repeats(finished: Path) -> None:
    """What a stage writes without a checksum would never be checked."""
    for path in Path("results").rglob("*"):
        if path.is_dir() or SUMS in path.name or path.suffix == ".sha256" or path.is_relative_to("results/published"):
            continue
        whole = path.read_bytes()
        path.write_bytes(whole + b" ")
        with pytest.raises(BenchError, match=f"{re.escape(str(path))}: changed since it was written"):
            check(*(folder for folder in path.parents if (folder / SUMS).exists()), path)
        path.write_bytes(whole)
        check(path)


def test_a_damaged_checkpoint(finished: Path, capsys: pytest.CaptureFixture[str]) -> None:
    resume = Path(CELL) / ".resume"
    with atomic_directory(resume) as folder:
        (folder / "state.json").write_text(json.dumps({"key": "of other code"}))
    assert main(stage("train")) == 0, "one of other code is not read"
    with atomic_directory(resume) as folder:
        (folder / "state.json").write_text(json.dumps({"key": "of other code"}))
    (resume / "state.json").write_text(json.dumps({"key": "another"}))
    capsys.readouterr()
    assert main(stage("train")) == 2
    assert f"{resume}/state.json: changed since it was written, by {resume}/{SUMS}; delete {resume} and run again" in (
        capsys.readouterr().err
    )
    shutil.rmtree(resume)


def test_results_without_checksums_are_taken_as_they_are(tmp_path: Path) -> None:
    path = tmp_path / "record.json"
    path.write_text("{}")
    check(path, tmp_path, tmp_path / "nowhere")
    seal(path)
    check(path)


@pytest.mark.parametrize("sums", ["", "nonsense\n", "0" * 64 + "  record.json\n", "0" * 64 + "  other.json\n"])
def test_damaged_checksums_are_no_checksums_passed(sums: str, tmp_path: Path) -> None:
    path = tmp_path / "record.json"
    path.write_text("{}")
    seal(path)
    (tmp_path / ".record.json.sha256").write_text(sums)
    with pytest.raises(BenchError, match="changed since it was written"):
        check(path)
    folder = tmp_path / "folder"
    with atomic_directory(folder) as made:
        (made / "record.json").write_text("{}")
    (folder / SUMS).write_text(sums)
    for wanted in (folder, folder / "record.json"):
        with pytest.raises(BenchError, match="changed since it was written"):
            check(wanted)


WITHOUT = [  # every stage of a cell; tests of `prepare`, which claims nothing, are in tests/data
    *(stage(verb) for verb in ("train", "likelihood", "generate", "interpolate", "attention", "record")),
    stage("augment", "--part", "4x0.5"), stage("score-cell", *LIKELIHOOD), stage("score-cell", *TEXTS),
    human("score-cell", *TEXTS), human("record"),
    *(("untrained", *SUITE, *AT, "--row", row) for row in ("human", "copy")),
]  # fmt: skip


def everything() -> set[Path]:
    return set(Path().rglob("*"))


@pytest.mark.parametrize("arguments", WITHOUT, ids=lambda arguments: " ".join((arguments[0], *arguments[5:])))
def test_a_stage_without_what_it_reads_leaves_nothing(arguments, tmp_path: Path, monkeypatch, capsys) -> None:
    """No folder, no lock; a folder that was there stays."""
    monkeypatch.chdir(tmp_path)
    Path("s.yaml").write_text(YAML + "augmentation: {model: embed, sizes: [4], factors: [0.5]}\n")
    Path("results").mkdir()
    before = everything()
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert error.startswith("bench: ") and error.count("\n") == 1
    assert everything() == before


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (stage("train", "--device", "cuda"), "cuda"),
        (stage("train"), "method 'embed' options: 'latent' is 0"),
        (("untrained", *SUITE, *AT, "--row", "copy"), "is unconditional: it has no sources to copy"),
    ],
)
def test_a_stage_that_refuses_leaves_nothing(arguments, message: str, tmp_path: Path, monkeypatch, capsys) -> None:
    """Its data being there."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    Path("s.yaml").write_text(YAML.replace("[embed]", "{embed: {options: {latent: 0}}}"))
    write_data(Path(DATA), conditional=False)
    before = everything()
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1
    assert everything() == before


TO_PLAN = [  # a stage, the output that stands for it, and what of the suite it is
    (("prepare", *SUITE, *AT), f"{DATA}/manifest.json", "prepare", {"dataset": "bbe"}),
    *((stage(verb), f"{CELL}/{file}", verb, {"dataset": "bbe", "method": "embed"}) for verb, file in (
        ("train", "history.csv"), ("likelihood", "likelihood.npz"), ("generate", "samples.jsonl"),
        ("interpolate", "interpolation.json"))),
    (("untrained", *SUITE, *AT, "--row", "human"), "results/runs/s/bbe/human/seed0/samples.jsonl", "untrained", {}),
    (stage("score-cell", *TEXTS), f"{CELL}/scores/ngrams.json", "score", {"family": "ngrams"}),
    (stage("record"), f"{CELL}/record.json", "record", {}),
    (TABLE, "out.md", "report", {"report": "table1"}),
    (COMPARE, "compare.md", "compare", {}),
]  # fmt: skip


@pytest.mark.parametrize("case", TO_PLAN, ids=lambda case: case[0][0])
def test_an_edit_since_a_run_was_planned_is_refused(
    case: tuple, finished: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Reverted it would leave results of the edit that Snakemake calls up to date."""
    arguments, out, name, part = case
    monkeypatch.setenv(PLANNED, "")
    suite = dags.load({"suite": "s.yaml"})
    hashes = {"code": suite.code(name, **part), "settings": suite.settings(name, **part)}

    def plan(output: str, **changed: str) -> None:
        dags.plan([SimpleNamespace(output=["another", output], params={**hashes, **changed})])

    for what in hashes:
        plan(out, **{what: f"{what}:older"})
        before = contents()
        assert main(arguments) == 2
        said = f"bench: {out}: the {what} of '{arguments[0]}' changed since this run was planned; run snakemake again\n"
        assert capsys.readouterr().err == said
        assert contents() == before, "nothing is written"
    for output, changed in ((out, {}), ("elsewhere", {"code": "code:older"})):  # typed by hand it has no plan
        plan(output, **changed)
        assert main(arguments) == 0, capsys.readouterr().err
    shutil.rmtree(".snakemake")
    assert main(arguments) == 0


def test_no_model_is_taken_over_by_code_that_was_edited_since(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(PLANNED, "")
    Path("s.yaml").write_text(YAML)
    out = "results/runs/s/pretrained/smollm2/manifest.json"
    dags.plan([SimpleNamespace(output=[out], params={"code": "code:older"})])
    assert main(("pretrained", *SUITE, "--model", "smollm2")) == 2
    said = "the code of 'pretrained' changed since this run was planned; run snakemake again"
    assert capsys.readouterr().err == f"bench: {out}: {said}\n"


CLAIM = "import sys, pathlib, time; from bench.files import claimed; file = pathlib.Path(sys.argv[1])\n"


def test_one_process_at_a_stage(finished: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What another writes is left to it; when it is killed the stage runs again."""
    history = (finished / CELL / "history.csv").resolve()
    before = history.stat().st_mtime_ns
    hold = CLAIM + "with claimed(file): print(flush=True); time.sleep(600)"
    with subprocess.Popen([sys.executable, "-c", hold, str(history)], cwd=ROOT, stdout=subprocess.PIPE) as other:
        assert other.stdout
        other.stdout.readline()
        capsys.readouterr()
        assert main([*stage("train")]) == 2
        said = capsys.readouterr().err
        assert f"history.csv: process {other.pid} on " in said and said.count("\n") == 1
        assert history.stat().st_mtime_ns == before
        assert main([*stage("generate")]) == 0  # another stage of the cell
        other.send_signal(signal.SIGKILL)
    assert main([*stage("train")]) == 0
    assert history.stat().st_mtime_ns > before
    assert not list(finished.rglob("*.lock"))


def test_of_many_that_claim_a_file_one_has_it(tmp_path: Path) -> None:
    """Each adds to a number, if it may: no addition is lost."""
    number = tmp_path / "number"
    number.write_text("0")
    add = (
        CLAIM
        + """
from bench.errors import BenchError
done = 0
for _ in range(300):
    try:
        with claimed(file):
            value = int(file.read_text())
            time.sleep(0.0001)
            file.write_text(str(value + 1))
            done += 1
    except BenchError:
        pass
print(done)
"""
    )
    command = [sys.executable, "-c", add, str(number)]
    others = [subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) for _ in range(4)]
    assert sum(int(other.communicate()[0]) for other in others) == int(number.read_text()) > 0


def test_a_claim_ends_with_its_block(tmp_path: Path) -> None:
    file = tmp_path / "new" / "file"
    with pytest.raises(ValueError), claimed(file):
        with pytest.raises(BenchError, match="is writing it"), claimed(file):
            pytest.fail("claimed twice")
        raise ValueError
    assert not list(tmp_path.iterdir()), "nor is anything left of it"
    with claimed(file):
        file.write_text("written")
    assert list(tmp_path.rglob("*")) == [file.parent, file]


def test_a_lock_that_ends_while_it_is_taken_is_not_had(tmp_path: Path, monkeypatch) -> None:
    """What was locked is then a file without a name, which the next process does not see."""
    fstat = os.fstat

    def fstat_and_lose(descriptor: int) -> os.stat_result:
        (tmp_path / ".file.lock").unlink(missing_ok=True)
        return fstat(descriptor)

    monkeypatch.setattr(os, "fstat", fstat_and_lose)
    with pytest.raises(BenchError, match="file: another process is writing it"), claimed(tmp_path / "file"):
        pytest.fail("claimed")


def test_where_a_file_system_knows_no_locks_none_is_taken(tmp_path: Path, monkeypatch) -> None:
    def flock(*_) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", flock)
    with claimed(tmp_path / "file"):
        (tmp_path / "file").write_text("written")
    assert list(tmp_path.iterdir()) == [tmp_path / "file"]


def make_directory(path: Path) -> None:
    with atomic_directory(path):
        pass


def claim_and_write(path: Path) -> None:
    with claimed(path):
        write_json(path, 1)


@pytest.mark.parametrize("make", [claim_and_write, lambda path: write_json(path, 1), make_directory])
def test_a_folder_that_another_claim_removes_is_made_again(make, tmp_path: Path, monkeypatch) -> None:
    """As soon as it is there, while nothing is in it."""
    folder, mkdir, removed = tmp_path / "new", Path.mkdir, []

    def mkdir_and_lose(path: Path, *given, **more) -> None:
        mkdir(path, *given, **more)
        if path == folder and len(removed) < 3:
            path.rmdir()
            removed.append(path)

    monkeypatch.setattr(Path, "mkdir", mkdir_and_lose)
    make(folder / "file")
    assert (folder / "file").exists() and len(removed) == 3


KEYED = """
name: s
datasets: {bbe: {tokenizer: tokens}}
methods: {embed: {backbone: {weights: theirs}}, lm: {use: gpt2, backbone: {weights: mine}}}
models:
  mine: &here {kind: gpt2, model_dir: here}
  theirs: *here
  tokens: *here
seeds: [1, 2]
metrics: [iw, distinct]
backbone: {max_tokens: 16}
training: {epochs: 1, precision: bfloat16}
augmentation: {model: lm, sizes: [4], factors: [0.5]}
"""


class Keys:
    """Of a training and of an augmentation, and whatever could be another."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.monkeypatch, self.yaml = monkeypatch, KEYED
        self.seed, self.device, self.processes, self.part = 1, "cpu", 1, "4x0.5"
        paths = [CellPaths("s", "bbe", "embed", seed) for seed in (1, 2)]
        self.manifest, self.history = paths[0].manifest, paths[0].history
        self.models = {name: paths[0].pretrained(name) / "manifest.json" for name in ("mine", "theirs", "tokens")}
        for path in (self.manifest, *self.models.values(), *(of_seed.history for of_seed in paths)):
            self.write(path, "{}")
        monkeypatch.setattr("bench.device.has_bfloat16", lambda device: True)
        monkeypatch.setattr(closure, "_fingerprint_of", closure._fingerprint_of.__wrapped__)  # not the cached ones

    def write(self, path: Path, text: str = "other") -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def edit(self, *names: str) -> None:
        """As if files of bench had another meaning."""
        meaning = closure.meaning
        self.monkeypatch.setattr(closure, "meaning", lambda file: "other" if file.name in names else meaning(file))

    def swap(self, old: str, new: str) -> None:
        """In the suite."""
        assert old in self.yaml
        self.yaml = self.yaml.replace(old, new)

    def found(self) -> dict[str, str]:
        Path("keyed.yaml").write_text(self.yaml)
        suite, cell = suites.load("keyed.yaml"), Cell("bbe", "embed", self.seed)
        return {
            "train": training_key(suite, cell, self.device, self.processes),
            "augment": augmentation_key(suite, cell, self.part, self.device),
        }


BOTH = {"train", "augment"}
KEYED_BY: dict[str, tuple[Callable[[Keys], object], set[str]]] = {
    "the code of training": (lambda keys: keys.edit("training.py"), BOTH),
    "the code of augmentation": (lambda keys: keys.edit("augmentation.py"), {"augment"}),
    "the code of the method": (lambda keys: keys.edit("embed.py"), BOTH),
    "the settings of training": (lambda keys: keys.swap("epochs: 1", "epochs: 2"), BOTH),
    "those of the method": (lambda keys: keys.swap("embed: {", "embed: {epochs: 2, "), {"train"}),
    "those of the language model": (lambda keys: keys.swap("lm: {", "lm: {epochs: 2, "), {"augment"}),
    "how texts are generated": (lambda keys: keys.swap("sizes:", "decoding: {k: 3}, sizes:"), {"augment"}),
    "the data": (lambda keys: keys.write(keys.manifest), BOTH),
    "the weights it starts from": (lambda keys: keys.write(keys.models["theirs"]), {"train"}),
    "those of the language model too": (lambda keys: keys.write(keys.models["mine"]), {"augment"}),
    "the tokens of both": (lambda keys: keys.write(keys.models["tokens"]), BOTH),
    "the generator": (lambda keys: keys.write(keys.history), {"augment"}),
    "the seed": (lambda keys: setattr(keys, "seed", 2), BOTH),
    "the device": (lambda keys: setattr(keys, "device", "cuda"), BOTH),
    "the processes": (lambda keys: setattr(keys, "processes", 2), {"train"}),
    "the part": (lambda keys: setattr(keys, "part", "4x1"), {"augment"}),
    "the precision": (lambda keys: keys.monkeypatch.setattr("bench.device.has_bfloat16", lambda _: False), BOTH),
    "the version of PyTorch": (lambda keys: keys.monkeypatch.setattr(torch, "__version__", "0"), BOTH),
    "no code of other stages": (lambda keys: keys.edit("score.py", "attention.py", "integrity.py"), set()),
    "no settings of other stages": (lambda keys: keys.swap("metrics: [iw, distinct]", "metrics: [iw]"), set()),
    "no other cells": (lambda keys: keys.swap("seeds: [1, 2]", "seeds: [1]"), set()),
    "nothing": (lambda keys: None, set()),
}  # fmt: skip


@pytest.mark.parametrize("what", KEYED_BY)
def test_what_a_checkpoint_is_keyed_by(what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One of anything else is not gone on from, and one of the same is."""
    monkeypatch.chdir(tmp_path)
    keys = Keys(monkeypatch)
    before = keys.found()
    change, expected = KEYED_BY[what]
    change(keys)
    assert {key for key, value in keys.found().items() if value != before[key]} == expected

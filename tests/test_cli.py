"""The command line: light to start, and one clear line with exit code 2 for a user's mistake."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from bench.cli import main

SUITE = "workflow/config/embedded.yaml"
CELL = ("--suite", SUITE, "--dataset", "bbe", "--method", "della", "--seed", "1")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["train", *CELL[:2], "--dataset", "bbee", *CELL[4:]], "no dataset 'bbee'; did you mean 'bbe'?"),
        (["train", *CELL[:4], "--method", "dela", *CELL[6:]], "no method 'dela'; did you mean 'della'?"),
        (["train", *CELL[:6], "--seed", "-1"], "seed -1 is negative"),
        (["score-cell", *CELL, "--family", "ngram"], "no metric of family 'ngram'; did you mean 'ngrams'?"),
        (["train", "--suite", "nowhere.yaml", *CELL[2:]], "suite nowhere.yaml: No such file"),
        (["train", "--use", "nowhere.py:Mine", *CELL], "no file nowhere.py"),
        (["likelihood", *CELL], "results/runs/embedded/bbe/della/seed1/model/config.json: No such file"),
    ],
)
def test_mistakes(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch
) -> None:
    suite = Path(SUITE).read_text()
    monkeypatch.chdir(tmp_path)
    Path(SUITE).parent.mkdir(parents=True)
    Path(SUITE).write_text(suite)
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert message in error and error.startswith("bench: ") and error.count("\n") == 1


def test_a_release_takes_no_method_that_its_suite_does_not_name(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["freeze", "--suite", SUITE, "--use", "mine.py:Mine", "r1"])
    error = capsys.readouterr().err
    assert error.startswith("bench: unrecognized arguments: --use") and error.count("\n") == 1


def test_a_plug_in_without_the_contract(tmp_path: Path, capsys, monkeypatch) -> None:
    suite = Path(SUITE).read_text()
    monkeypatch.chdir(tmp_path)
    Path(SUITE).parent.mkdir(parents=True)
    Path(SUITE).write_text(suite)
    file = tmp_path / "mine.py"
    cases = {
        "variants = 3": "has no class 'Mine'",
        "class Mine: pass": "has no class 'Mine' with a literal `variants",
        "class Mine:\n    variants = {'mine': {}}": "lacks ",
        "from bench.methods.base import Method\nclass Mine(Method):\n    variants = {'mine': {}}": "lacks inject",
        "import nothing_so_named\nclass Mine:\n    variants = {'mine': {}}": "No module named 'nothing_so_named'",
        "class Mine(:": "not valid Python",
    }
    from bench import registry
    from bench import suite as suites

    for source, message in cases.items():
        file.write_text(source)
        registry._classes.cache_clear()
        suites._resolved.cache_clear()
        use = ["--use", f"{file}:Mine"]
        prepared = ["prepare", *use, "--suite", SUITE, "--dataset", "bbe"]
        code = main(prepared) if not Path("results").exists() else 0
        code = code or main(["train", *use, *CELL[:4], "--method", "mine", "--seed", "1"])
        error = capsys.readouterr().err
        assert code == 2 and message in error, (source, error)
        assert [line for line in error.splitlines() if line.startswith("bench: ")][-1].count("mine.py") >= 1


def test_a_damaged_sample_file_names_its_line(tmp_path: Path) -> None:
    from bench.errors import BenchError
    from bench.samples import read_samples, write_samples

    path = tmp_path / "samples.jsonl"
    write_samples(path, ["a <b>", "ü"], "greedy()", 1)
    assert read_samples(path) == ["a <b>", "ü"]
    path.write_text(path.read_text() + '{"id": 3}\n')
    with pytest.raises(BenchError, match=r"samples\.jsonl: line 3 is not"):
        read_samples(path)
    path.write_text("")
    with pytest.raises(BenchError, match="no text"):
        read_samples(path)


def run(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout


def loaded(imports: str, packages: tuple[str, ...]) -> list[str]:
    code = f"{imports}\nimport sys\nprint(*[p for p in {packages} if p in sys.modules])"
    return run(code).split()


@pytest.mark.parametrize(
    "imports", ["import bench.cli", "import bench.suite, bench.closure", "import bench.score, bench.metrics.bleu"]
)
def test_light_verbs_import_no_torch(imports: str) -> None:
    assert loaded(imports, ("torch", "transformers", "matplotlib", "sklearn")) == []


def test_training_needs_none_of_the_metric_packages() -> None:
    """A GPU machine with torch and transformers alone must be able to train, measure and generate."""
    packages = ("mauve", "nltk", "sacrebleu", "bert_score", "matplotlib", "pandas", "snakemake")
    assert loaded("import bench.training, bench.likelihood, bench.generation", packages) == []


def test_a_failed_write_leaves_what_was_there(tmp_path: Path) -> None:
    from bench.files import atomic, atomic_directory

    path = tmp_path / "kept"
    path.write_text("old")
    with pytest.raises(ZeroDivisionError), atomic(path) as stream:
        stream.write("half")
        raise ZeroDivisionError
    assert path.read_text() == "old"
    folder = tmp_path / "folder"
    with atomic_directory(folder) as made:
        (made / "file").write_text("1")
    with pytest.raises(ZeroDivisionError), atomic_directory(folder) as made:
        (made / "file").write_text("2")
        raise ZeroDivisionError
    assert (folder / "file").read_text() == "1"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["folder", "kept"]


def test_a_full_disk_while_weights_are_written_is_one_clear_line(tmp_path: Path, monkeypatch) -> None:
    import os

    import torch

    from bench.errors import BenchError
    from bench.files import atomic_directory
    from bench.tensors import save_tensors

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with (
        pytest.raises(BenchError, match=r"cannot write .*w\.safetensors: No space left on device"),
        atomic_directory(tmp_path / "model") as folder,
    ):
        save_tensors({"a": torch.zeros(3)}, folder / "w.safetensors")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("bound", "code"), [("nan", 2), ("12.5", None)])
def test_a_training_that_diverged_is_named_where_its_model_is_read(
    bound: str, code: int | None, tmp_path: Path, monkeypatch, capsys
) -> None:
    """No text can be drawn of weights that are not numbers; where its last bound is finite that is an error of ours."""
    import torch

    from bench import model as models
    from bench.files import read_json
    from bench.paths import CellPaths
    from tests import trained_cell

    monkeypatch.chdir(tmp_path)
    trained_cell.write_cell(tmp_path, "bbe", "embed")
    paths = CellPaths("trained", "bbe", "embed", 1)
    broken = models.load(paths.model)
    with torch.no_grad():
        broken.project.weight.fill_(float("nan"))
    models.save(broken, read_json(paths.model / "config.json"), paths.model)
    paths.history.write_text(f"step,valid_nelbo\n0,30.0\n9,{bound}\n")
    call = ["generate", "--suite", "trained.yaml", "--dataset", "bbe", "--method", "embed", "--seed", "1"]
    if code is None:
        with pytest.raises(RuntimeError, match="probability tensor contains"):
            main(call)
    else:
        assert main(call) == code
        assert f"{paths.history}: the training diverged (generate: " in (error := capsys.readouterr().err)
        assert error.count("\n") == 1
    assert not paths.samples.exists()


def test_what_metrics_and_methods_list(capsys) -> None:
    from bench import registry

    for name in registry.metrics():
        assert main(["metrics", name]) == 0
        listed, metric = capsys.readouterr().out, registry.load_metric(name)
        for quantity in metric.quantities:
            assert f"  {quantity.key}: {quantity.formula}\n" in listed and quantity.source in listed
        assert all(f"signature: {signature}" in listed for signature in metric.signatures)
        assert all(f"{option}={value}" in listed for option, value in metric.defaults.items())
    assert main(["metrics", "blue"]) == 2
    assert "did you mean 'bleu'?" in capsys.readouterr().err
    assert main(["methods"]) == 0
    rows = [line.split()[0] for line in capsys.readouterr().out.splitlines()]
    assert rows == [*registry.methods(), *registry.datasets()]


def test_a_reader_that_leaves_is_no_error_message() -> None:
    command = f"{sys.executable} -m bench metrics | head -1; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert done.stderr == "" and done.stdout.count("\n") == 1


def test_a_full_disk_is_one_clear_line(tmp_path: Path, monkeypatch) -> None:
    import os

    from bench.errors import BenchError
    from bench.files import write_json

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(BenchError, match=r"cannot write .*scores\.json: No space left on device"):
        write_json(tmp_path / "scores.json", {"a": 1})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        ("def __init__(self, backbone, options):\n        1 / 0", "mine.py:5, in __init__): ZeroDivisionError"),
        ("def inject(self, z):\n        return [][1]", "mine.py:5, in inject): IndexError: list index out of range"),
        ("def inject(self, z):\n        raise SystemExit('gone')", "mine.py:5, in inject): SystemExit: gone"),
        ("def posterior(self, batch, condition=None):\n        return 3", "mine.py): AttributeError: 'int' object"),
    ],
)
def test_a_plug_in_that_fails_is_named(broken: str, message: str, tmp_path: Path, monkeypatch, capsys) -> None:
    from tests import trained_cell

    trained_cell.write_cell(tmp_path, "bbe", "embed", yaml=f"{trained_cell.YAML}training: {{batch_size: 4}}\n")
    monkeypatch.chdir(tmp_path)
    Path("mine.py").write_text(
        f"from bench.methods.embed import Embed\nclass Mine(Embed):\n    variants = {{'mine': {{}}}}\n    {broken}\n"
    )
    assert main(["train", "--suite", "trained.yaml", "--use", "mine.py:Mine", "--dataset", "bbe", "--method", "mine",
                 "--seed", "1"]) == 2  # fmt: skip
    error = capsys.readouterr().err
    assert error.startswith("bench: method 'mine' (") and message in error and error.count("\n") == 1


def test_an_error_of_our_own_keeps_its_traceback(tmp_path: Path, monkeypatch) -> None:
    from bench import training
    from tests import trained_cell

    trained_cell.write_cell(tmp_path, "bbe", "embed")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(training, "train", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        main(["train", "--suite", "trained.yaml", "--dataset", "bbe", "--method", "embed", "--seed", "1"])


def test_what_is_printed_is_one_line(capsys) -> None:
    with pytest.raises(SystemExit):
        main(["methods", "a\nb\x1b[2J"])
    assert capsys.readouterr().err == "bench: unrecognized arguments: a b?[2J (python -m bench --help tells more)\n"


def test_an_augmentation_whose_model_the_suite_lacks(tmp_path: Path, monkeypatch, capsys) -> None:
    from tests import trained_cell

    monkeypatch.chdir(tmp_path)
    Path("s.yaml").write_text(trained_cell.YAML, encoding="utf-8")
    assert main(["augment", "--suite", "s.yaml", *CELL[2:], "--part", "1000x0.5"]) == 2
    assert "'augmentation.model': no method 'lstm-lm' in the suite" in capsys.readouterr().err

"""Language models trained on generated texts: which texts those are, what is measured, and what the DAG makes of it."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
import torch

from bench import augmentation, dag, digests
from bench import closure as code
from bench import model as models
from bench import suite as suites
from bench.augmentation import generated
from bench.batch import collate
from bench.cli import main
from bench.files import read_json, sha256, write_json
from bench.paths import CellPaths
from bench.schema import Decoding
from bench.vocabulary import BOS, EOS
from tests.trained_cell import TEXTS, YAML, write_cell

AUGMENTED = f"""{YAML}
training: {{epochs: 2, batch_size: 2, learning_rate: 0.01}}
augmentation: {{model: gpt2, sizes: [4, 6], factors: [0, 0.5, 2]}}
reports:
  davam/figure3: {{datasets: [bbe], methods: [embed]}}
"""
RUN = ["augment", "--suite", "augmented.yaml", "--dataset", "bbe", "--method", "embed", "--seed", "1", "--part"]


@pytest.fixture
def paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> CellPaths:
    """A trained generator in the working directory, under a suite that augments with it."""
    monkeypatch.chdir(tmp_path)
    suite = write_cell(Path(), "bbe", "embed")
    found = CellPaths(suite.name, "bbe", "embed", 1)
    found.history.write_text("step\n0\n", encoding="utf-8")
    Path("augmented.yaml").write_text(AUGMENTED, encoding="utf-8")
    return found


def test_texts_of_a_larger_factor_begin_with_those_of_a_smaller(
    paths: CellPaths, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(augmentation, "BATCH", 3)
    method = models.load(paths.model)
    few, more = (generated(method, n, Decoding(strategy="sample"), 24, 5) for n in (2, 7))
    assert len(few) == 2 and len(more) == 7 and more[:2] == few
    assert generated(method, 7, Decoding(strategy="sample"), 24, 6) != more
    assert generated(method, 0, Decoding(strategy="sample"), 24, 5) == []
    for text in more:
        assert text[0] == BOS and text[-1] == EOS and len(text) <= 24 and EOS not in text[1:-1]


def test_perplexity_is_the_language_models_own(paths: CellPaths, monkeypatch: pytest.MonkeyPatch) -> None:
    """Against the sum of log-probabilities under the weights that training leaves."""
    kept = {}
    real = augmentation.fit

    def fit(method, sequences, valid, *rest):  # type: ignore[no-untyped-def]
        rows = real(method, sequences, valid, *rest)
        kept.update(method=method, texts=sequences.texts, valid=valid.texts)
        return rows

    monkeypatch.setattr(augmentation, "fit", fit)
    other = paths.data / "valid.txt"
    other.write_text("".join(f"{text}\n" for text in reversed(TEXTS)), encoding="utf-8")
    manifest = read_json(paths.manifest, "manifest")
    manifest["splits"]["valid"]["sha256"] = sha256(other)
    write_json(paths.manifest, manifest)
    assert main([*RUN, "6x2"]) == 0
    found = json.loads(paths.augmented("6x2").read_text(encoding="utf-8"))
    assert (found["size"], found["factor"], found["generated"], found["model"]) == (6, 2, 12, "gpt2")
    assert len(kept["texts"]) == 18 and found["n"] == len(TEXTS) and found["trained_on"] == len(TEXTS)
    backbone = suites.backbone_of(suites.load("augmented.yaml"), "bbe")
    train, valid, test = (
        augmentation.read_sequences(paths.data, part, backbone) for part in ("train", "valid", "test")
    )
    assert kept["texts"][:6] == train.texts[:6] and kept["valid"] == valid.texts == test.texts[::-1]
    with torch.no_grad():
        batch = collate(test.texts)
        log_p = kept["method"].log_likelihood(batch, torch.zeros(len(test), 0, 32), None)
    words = sum(len(text.split()) + 1 for text in TEXTS)
    assert found["ppl_word"] == pytest.approx(math.exp(-float(log_p.sum()) / words), rel=1e-4)
    assert found["ci95"][0] < found["ppl_word"] < found["ci95"][1]
    assert not list(paths.augmented("6x2").parent.glob(".resume*")) and paths.cost("augment-6x2").exists()


def test_a_factor_of_nothing_is_the_model_alone(paths: CellPaths) -> None:
    assert main([*RUN, "4x0"]) == 0
    first = paths.augmented("4x0").read_bytes()
    assert json.loads(first)["generated"] == 0
    paths.augmented("4x0").unlink()
    assert main([*RUN, "4x0"]) == 0
    assert paths.augmented("4x0").read_bytes() == first, "the same bytes again"


@pytest.mark.parametrize(
    ("text", "part", "complaint"),
    [
        ("", "4x3", "has no part '4x3'"),
        ("sizes: [4, 6]|sizes: [4, 60]", "60x0", "60 texts of 'bbe' are asked for, and there are 9"),
        ("model: gpt2|model: della", "4x0", "model 'della' has latent variables"),
        ("model: gpt2|model: gpt3", "4x0", "'augmentation.model': no method 'gpt3' in the suite; did you mean 'gpt2'?"),
        ("factors: [0, 0.5, 2]|factors: [-1]", "4x-1", "augmentation.factors"),
    ],
)
def test_mistakes_are_one_clear_line(
    paths: CellPaths, capsys: pytest.CaptureFixture[str], text: str, part: str, complaint: str
) -> None:
    old, _, new = text.partition("|")
    Path("augmented.yaml").write_text(AUGMENTED.replace(old, new) if old else AUGMENTED, encoding="utf-8")
    assert main([*RUN, part]) == 2
    said = capsys.readouterr().err
    assert complaint in said and said.count("\n") == 1


def test_texts_that_depend_on_sources_are_not_augmented(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    suite = write_cell(Path(), "sotu-story", "embed")
    CellPaths(suite.name, "sotu-story", "embed", 1).history.write_text("step\n0\n", encoding="utf-8")
    Path("augmented.yaml").write_text(AUGMENTED, encoding="utf-8")
    assert main([*(word.replace("bbe", "sotu-story") for word in RUN), "4x0"]) == 2
    said = capsys.readouterr().err
    assert "the texts of 'sotu-story' depend on sources" in said and said.count("\n") == 1


# The DAG ---------------------------------------------------------------------------------------------------------


def test_a_figure_reads_every_part_of_its_generators(paths: CellPaths) -> None:
    loaded = dag.load({"suite": "augmented.yaml"})
    parts = [f"{size}x{factor}" for size in (4, 6) for factor in ("0", "0.5", "2")]
    expected = [str(CellPaths("trained", "bbe", "embed", seed).augmented(part)) for seed in (1, 2) for part in parts]
    assert loaded.read("davam/figure3") == expected
    assert loaded.constraints()["part"] == "|".join(part.replace(".", r"\.") for part in parts)


def test_what_re_runs_it(paths: CellPaths) -> None:
    suite = suites.load("augmented.yaml")
    before = digests.settings(suite, "augment", "bbe")
    more = suite.augmentation.model_copy(update={"factors": [0, 8]})
    assert digests.settings(suite.model_copy(update={"augmentation": more}), "augment", "bbe") == before
    other = suite.augmentation.model_copy(update={"decoding": Decoding(strategy="greedy")})
    assert digests.settings(suite.model_copy(update={"augmentation": other}), "augment", "bbe") != before
    longer = suite.training.model_copy(update={"epochs": 3})
    assert digests.settings(suite.model_copy(update={"training": longer}), "augment", "bbe") != before


def test_its_code_is_the_generators_and_the_models(paths: CellPaths) -> None:
    suite = suites.load("augmented.yaml")
    embed, della = (code.stage_fingerprint(suite, "augment", "bbe", method) for method in ("embed", "della"))
    assert embed != della
    names = {path.name for path in code.closure(*code.entries("augment", ("embed", "gpt2")))}
    assert {"training.py", "likelihood.py", "embed.py", "lm.py", "decoding.py"} <= names


@pytest.mark.parametrize("use", ["plm.py:LM", "theirs.plm:LM"])
def test_a_model_from_outside_is_a_part_of_its_code(
    paths: CellPaths, use: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = Path(use.rpartition(":")[0].removesuffix(".py").replace(".", "/")).with_suffix(".py")
    file.parent.mkdir(exist_ok=True)
    file.write_text("class LM:\n    variants = {'plm': {}}\n")
    monkeypatch.syspath_prepend(".")
    suite = suites.load("augmented.yaml")
    methods = {**suite.methods, "plm": suite.methods["gpt2"].model_copy(update={"use": use})}
    plan = suite.augmentation.model_copy(update={"model": "plm"})
    suite = suite.model_copy(update={"methods": methods, "augmentation": plan})

    def found() -> str:
        for cached in (code._fingerprint_of, code._tree, code._imports, code.meaning):
            cached.cache_clear()
        return code.stage_fingerprint(suite, "augment", "bbe", "embed")

    before = found()
    assert found() == before
    file.write_text("class LM:\n    variants = {'plm': {}}\n    width = 2\n")
    assert found() != before

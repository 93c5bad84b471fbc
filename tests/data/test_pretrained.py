"""Pretrained models taken over: the same network on the same words, under the suite's own ids."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer
from transformers import AutoTokenizer, BartConfig, BartForConditionalGeneration, GPT2LMHeadModel, LlamaForCausalLM
from transformers import RobertaTokenizer as BartTokenizer

from bench import model as models
from bench import suite as suites
from bench.backbones.base import Context
from bench.batch import collate
from bench.cli import main
from bench.data.adopt import adopt
from bench.data.pretrained import ASIDE, HUB_FILES
from bench.errors import BenchError
from bench.files import read_json
from bench.model import Start, make_backbone
from bench.paths import CellPaths
from bench.pretrained import KNOWN
from bench.schema import Backbone, MethodSpec
from bench.vocabulary import BOS, EOS, PAD, UNK, decode, encode, load_tokenizer
from tests.data.hub_server import point_to, serving
from tests.metrics import tiny_models

TEXTS = ["the cat sat on a hill , 35 % up", "a <unk> dog said <|endoftext|> </s> <bos>", "über the board"]


def bart(directory: Path) -> Path:
    """Bytes; <s> and </s> around a text; weights of its own on either side."""
    vocabulary, merges = tiny_models._bytes(["<s>", "<pad>", "</s>", "<unk>", "<mask>"])
    tokeniser = BartTokenizer(vocab=vocabulary, merges=merges, model_max_length=512)
    torch.manual_seed(0)
    config = BartConfig(
        vocab_size=len(tokeniser), d_model=32, encoder_layers=2, decoder_layers=2, encoder_attention_heads=2,
        decoder_attention_heads=2, encoder_ffn_dim=64, decoder_ffn_dim=64, max_position_embeddings=64, init_std=0.5,
    )  # fmt: skip
    return tiny_models._save(directory, tokeniser, BartForConditionalGeneration(config))


def llama(directory: Path) -> Path:
    """As SmolLM2: the word embeddings are the map to logits."""
    return tiny_models.llama(directory, tied=True)


MAKERS: dict[str, Callable[[Path], Path]] = {"gpt2": tiny_models.gpt2, "llama": llama, "bart": bart}


@pytest.fixture(params=MAKERS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def source(kind: str, tmp_path: Path) -> Path:
    return MAKERS[kind](tmp_path / "source")


@pytest.fixture
def adopted(source: Path, kind: str, tmp_path: Path) -> Path:
    (tmp_path / "adopted").mkdir()
    adopt(source, kind, tmp_path / "adopted")
    return tmp_path / "adopted"


def backbone_of(adopted: Path, kind: str, conditional: bool) -> torch.nn.Module:
    size = Backbone(kind=kind, weights="mine", max_tokens=24, max_source_tokens=24)
    start = Start(read_json(adopted / "config.json"), adopted / "weights.safetensors")
    return make_backbone(size, conditional, start).eval()


def words(tokenizer: Tokenizer, text: str) -> list[str]:
    return list(tokenizer.encode(text, add_special_tokens=False).tokens)


def test_texts_are_the_same_tokens_under_other_ids(source: Path, adopted: Path) -> None:
    """Names of special tokens that stand in a text are characters of it, for the model's own reader never were."""
    ours, theirs = load_tokenizer(adopted / "tokenizer.json"), AutoTokenizer.from_pretrained(source)
    plain = TEXTS[0]
    assert words(ours, plain) == theirs.tokenize(plain)
    for ids, text in zip(encode(ours, TEXTS, 100), TEXTS, strict=True):
        assert ids[0] == BOS and ids[-1] == EOS and not {BOS, EOS, PAD, UNK} & set(ids[1:-1])
        assert decode(ours, [ids]) == [text]
    assert ours.get_vocab_size() == max(ours.get_vocab().values()) + 1
    assert {ours.id_to_token(i) for i in range(4)} == {"<bos>", "<eos>", "<pad>", "<unk>"}


def test_it_is_the_same_network(source: Path, adopted: Path, kind: str) -> None:
    """Logits of every word, after what the model itself begins a text with, equal transformers'."""
    ours, theirs = load_tokenizer(adopted / "tokenizer.json"), AutoTokenizer.from_pretrained(source)
    backbone = backbone_of(adopted, kind, conditional=kind == "bart")
    text = torch.tensor(encode(ours, TEXTS[:1], 100))[:, :-1]
    tokens = [ours.id_to_token(i) for i in range(4, ours.get_vocab_size())]
    at = theirs.convert_tokens_to_ids(tokens)
    bos, eos = theirs.bos_token_id, theirs.eos_token_id
    of_text = torch.tensor([[bos, *theirs.convert_tokens_to_ids(words(ours, TEXTS[0]))]])
    if kind == "bart":
        source_ids = torch.tensor(encode(ours, TEXTS[2:], 100))
        of_source = [bos, *theirs.convert_tokens_to_ids(words(ours, TEXTS[2])), eos]
        own = BartForConditionalGeneration.from_pretrained(source).eval()
        expected = own(torch.tensor([of_source]), decoder_input_ids=of_text).logits
        states = backbone.encode(source_ids, torch.ones_like(source_ids, dtype=torch.bool))
        context = Context(source_ids, torch.ones_like(source_ids, dtype=torch.bool), states[-1])
        hidden = backbone.decode(text, context=context)
    else:
        own = {"gpt2": GPT2LMHeadModel, "llama": LlamaForCausalLM}[kind].from_pretrained(source).eval()
        expected = own(of_text).logits
        hidden = backbone.decode(text)
    logits = hidden @ backbone.output_weight.T
    torch.testing.assert_close(logits[..., 4:], expected[..., at], atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(logits[..., EOS], expected[..., eos], atol=1e-4, rtol=1e-4)
    of_all = expected[0, 0].mean()  # of the first position, the mean of all logits: of a map the mean of its rows
    torch.testing.assert_close(logits[0, 0, [PAD, UNK]], of_all.expand(2), atol=1e-4, rtol=1e-4)


def test_states_of_huge_units_make_no_huge_posteriors(source: Path, adopted: Path, kind: str) -> None:
    """As large as those of pretrained models are: the KL stays that of a start, loaded again too."""
    if kind == "bart":
        pytest.skip("its states are normalised by its own blocks")
    tensors = load_file(adopted / "weights.safetensors")
    name = next(name for name in sorted(tensors) if name.endswith(("mlp.c_proj.weight", "mlp.down_proj.weight")))
    outputs = tensors[name] if kind == "gpt2" else tensors[name].T  # [inner, d]
    outputs[:, 0] *= 1e5
    save_file(tensors, adopted / "weights.safetensors")
    for use in ("memory", "della", "trace-r"):
        size = Backbone(kind=kind, weights="mine", max_tokens=24)
        start = Start(read_json(adopted / "config.json"), adopted / "weights.safetensors")
        method = models.build(MethodSpec(use=use), size, 0, start=start).eval()
        batch = collate(encode(load_tokenizer(adopted / "tokenizer.json"), TEXTS, 20))
        kl = method.terms(batch).kl_dims
        assert kl.isfinite().all() and kl.sum(-1).max() < 300, use  # TRACE's gamma of 3 alone is 144
        again = models.build(MethodSpec(use=use), size, 0, start=Start(start.config))
        again.load_state_dict(method.state_dict())
        torch.manual_seed(0)
        expected = method.terms(batch)
        torch.manual_seed(0)
        torch.testing.assert_close(again.eval().terms(batch).rec, expected.rec)


def test_a_new_token_of_a_pretrained_model_does_not_stand_out(adopted: Path, kind: str) -> None:
    """TRACE's [SEP] starts as the mean of all tokens: it is never the likeliest."""
    if kind == "bart":
        pytest.skip("no segments on BART")
    size = Backbone(kind=kind, weights="mine", max_tokens=24)
    start = Start(read_json(adopted / "config.json"), adopted / "weights.safetensors")
    method = models.build(MethodSpec(use="trace-r", options={"segment_length": 2}), size, 0, start=start)
    weight = method.backbone.output_weight
    assert len(weight) == start.config["vocab_size"] + 1 == method.separator + 1
    torch.testing.assert_close(weight[-1], weight[:-1].mean(0))
    if kind == "gpt2":
        assert method.backbone.transformer.wpe.num_embeddings == 64, "its own table has room for [SEP]s"


def damaged(source: Path, how: str) -> None:
    weights = source / "model.safetensors"
    content = json.loads((source / "config.json").read_text())

    def configured(changed: object) -> None:
        (source / "config.json").write_text(json.dumps(changed))

    match how:
        case "a list":
            configured([])
        case "another size":
            width = next(key for key in ("n_embd", "hidden_size", "d_model") if key in content)
            configured({**content, width: 2 * content[width]})
        case "quantised":
            configured({**content, "quantization_config": {"quant_method": "gptq", "bits": 4}, "vocab_size": 3})
        case "fewer layers":
            layers = {"n_layer", "num_hidden_layers", "decoder_layers", "encoder_layers"} & content.keys()
            configured({**content, **dict.fromkeys(layers, 1)})
        case "not finite":
            tensors = load_file(weights)
            next(tensor for name, tensor in tensors.items() if "layer" in name or ".h." in name).view(-1)[0] = float(
                "nan"
            )
            save_file(tensors, weights, metadata={"format": "pt"})
        case "an odd tokenizer":
            (source / "tokenizer.json").write_text("{}")
        case "a token added":
            tokenizer = AutoTokenizer.from_pretrained(source)
            tokenizer.add_tokens(["catsat"])
            tokenizer.save_pretrained(source)
        case "not a file":
            (source / "config.json").unlink()
        case "no weights":
            weights.unlink()
        case "cut short":
            weights.write_bytes(weights.read_bytes()[:1000])
        case "a tensor missing":
            tensors = load_file(weights)
            tensors.pop(next(name for name in sorted(tensors) if "layers.1." in name or "h.1." in name))
            save_file(tensors, weights, metadata={"format": "pt"})
        case "no tokenizer":
            for file in source.glob("*token*"):
                file.unlink()
            for name in ("vocab.json", "merges.txt", "special_tokens_map.json"):
                (source / name).unlink(missing_ok=True)


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("not a file", "model configuration"), ("no weights", "cannot be loaded"), ("cut short", "cannot be loaded"),
        ("a tensor missing", "are missing (1 in all)"), ("no tokenizer", "no tokenizer"),
        ("a list", "it is of kind no configuration"), ("another size", "cannot be loaded"),
        ("quantised", "cannot be loaded"), ("fewer layers", "1 layers by its configuration"),
        ("not finite", "numbers that are not finite"), ("an odd tokenizer", "no tokenizer"),
        ("a token added", "added tokens that are no special ones, as 'catsat'"),
    ],
)  # fmt: skip
def test_a_damaged_model_is_one_line(source: Path, kind: str, tmp_path: Path, how: str, message: str) -> None:
    damaged(source, how)
    with pytest.raises(BenchError) as caught:
        adopt(source, kind, tmp_path)
    assert message in str(caught.value) and str(source) in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("kind", "changed", "message"),
    [
        ("gpt2", {"activation_function": "relu"}, "its activation_function is 'relu'"),
        ("gpt2", {"scale_attn_by_inverse_layer_idx": True}, "its scale_attn_by_inverse_layer_idx is True"),
        ("gpt2", {"scale_attn_weights": False}, "its scale_attn_weights is False"),
        ("bart", {"encoder_layers": 1}, "its encoder and decoder are not of as many layers"),
        ("bart", {"encoder_attention_heads": 4}, "its encoder and decoder have not as many heads of attention"),
    ],
)
def test_another_network_is_refused(tmp_path: Path, kind: str, changed: dict, message: str) -> None:
    """One that the backbone of its kind would compute differently."""
    source = MAKERS[kind](tmp_path / "source")
    content = json.loads((source / "config.json").read_text())
    (source / "config.json").write_text(json.dumps({**content, **changed}))
    with pytest.raises(BenchError, match=message):
        adopt(source, kind, tmp_path)


def test_code_that_a_configuration_names_is_not_looked_for(tmp_path: Path) -> None:
    source = llama(tmp_path / "source")
    content = json.loads((source / "config.json").read_text())
    named = {"_attn_implementation": "some/kernel", "auto_map": {"AutoModel": "evil.Model"}}
    (source / "config.json").write_text(json.dumps({**content, **named}))
    (source / "evil.py").write_text("raise SystemExit('code beside the weights was run')")
    (tmp_path / "out").mkdir()
    assert adopt(source, "llama", tmp_path / "out") > 0
    assert not set(named) & set(read_json(tmp_path / "out" / "config.json"))


def test_what_backbones_here_are_not(tmp_path: Path) -> None:
    with pytest.raises(BenchError, match="it is of kind gpt2, not llama"):
        adopt(tiny_models.gpt2(tmp_path / "gpt2"), "llama", tmp_path)
    with pytest.raises(BenchError, match="its map to logits is not its word embeddings"):
        adopt(tiny_models.llama(tmp_path / "llama"), "llama", tmp_path)


YAML = """
name: tiny
datasets: {{bbe: {{train: 16, valid: 8, test: 4}}}}
methods:
  lm: {{use: {kind}}}
  della:
  small: {{use: gpt2, backbone: {{weights: fresh, kind: gpt2, layers: 1, width: 8, heads: 2}}}}
models: {{mine: {{kind: {kind}, model_dir: {folder}}}}}
seeds: [1]
metrics: [elbo]
backbone: {{kind: {kind}, weights: mine, max_tokens: 24}}
training: {{epochs: 1, batch_size: 8}}
likelihood: {{importance_samples: 2}}
"""


@pytest.mark.parametrize("kind", ["gpt2", "llama"])
def test_every_stage_starts_from_it(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    """By the command line: taken over, read by the data stage, trained on, loaded again without it."""
    monkeypatch.chdir(tmp_path)
    suite = tmp_path / "tiny.yaml"
    suite.write_text(YAML.format(kind=kind, folder=MAKERS[kind](tmp_path / "source")), encoding="utf-8")

    def run(*arguments: str) -> int:
        return main([arguments[0], "--suite", str(suite), *arguments[1:]])

    assert run("pretrained", "--model", "mine") == 0 and run("prepare", "--dataset", "bbe") == 0
    paths = CellPaths("tiny", "bbe", "lm", 1)
    before = load_file(paths.pretrained("mine") / "weights.safetensors")
    for method in ("lm", "della", "small"):
        cell = ("--dataset", "bbe", "--method", method, "--seed", "1")
        assert run("train", *cell) == 0
    for file in paths.pretrained("mine").iterdir():
        file.unlink()
    assert run("likelihood", "--dataset", "bbe", "--method", "della", "--seed", "1") == 0
    trained, small = models.load(paths.model), models.load(CellPaths("tiny", "bbe", "small", 1).model)
    read = load_tokenizer(paths.data / "tokenizer.json").get_vocab_size()
    assert trained.backbone.vocabulary == small.backbone.vocabulary == read
    assert read_json(paths.model / "config.json")["backbone"]["width"] == 32, "of the model, not of the suite"
    after = trained.backbone.state_dict()
    assert after.keys() == before.keys()
    moved = [float((after[name] - before[name]).abs().max()) for name in before]
    assert 0 < max(moved) < 1e-3, "two small steps from where it started"
    assert run("train", "--dataset", "bbe", "--method", "lm", "--seed", "1") == 2
    assert "manifest" in capsys.readouterr().err


def suite_with(tmp_path: Path, **changes: str) -> str:
    """A suite whose lines of these keys are others."""
    lines = YAML.format(kind="gpt2", folder="somewhere").strip().splitlines()
    kept = [line for line in lines if line.partition(":")[0] not in changes]
    path = tmp_path / "suite.yaml"
    path.write_text("\n".join([*kept, *(f"{key}: {value}" for key, value in changes.items())]), encoding="utf-8")
    return str(path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"backbone": "{weights: smollm}"}, "no pretrained model 'smollm'; did you mean 'smollm2'?"),
        ({"backbone": "{kind: gpt2, weights: smollm2}"}, "weights 'smollm2' are of kind llama, not gpt2"),
        ({"backbone": "{weights: mine, tokenizer: bpe}"}, "weights 'mine' read tokens of their own"),
        ({"backbone": "{kind: llama, weights: mine}"}, "weights 'mine' are of kind gpt2, not llama"),
        ({"models": "{mine: {model_dir: x}}"}, "'models.mine': give its kind"),
        ({"models": "{mine: {kind: gpt2}}"}, "'models.mine': give its model_dir"),
        ({"models": "{mine: {kind: gpt2, model_dir: x}, gpt2: {kind: bart}}"}, "'models.gpt2': it is of kind gpt2"),
        ({"backbone": "{kv_heads: 3}"}, "kv_heads 3"),
        ({"models": "{bpe: {kind: gpt2, model_dir: x}}"}, "'models.bpe': that is no name"),
        ({"models": "{..: {kind: gpt2, model_dir: x}}"}, "'models....[key]' is '..'"),
        ({"backbone": "{tokenizer: word}"}, "no pretrained model 'word'; did you mean 'words'?"),
    ],
)  # fmt: skip
def test_a_wrong_suite_is_told_when_it_is_read(tmp_path: Path, changes: dict[str, str], message: str) -> None:
    with pytest.raises(BenchError) as caught:
        suites.load(suite_with(tmp_path, **changes))
    assert message in str(caught.value) and "\n" not in str(caught.value)


def test_what_shows_only_when_files_are_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    """Texts longer than a model has positions, and weights that read other tokens than their dataset's."""
    monkeypatch.chdir(tmp_path)
    yaml = YAML.format(kind="gpt2", folder=tiny_models.gpt2(tmp_path / "source"))
    monkeypatch.setattr(tiny_models, "CORPUS", ["other words make other byte pairs"])
    yaml = yaml.replace(
        "mine: {", f"other: {{kind: gpt2, model_dir: {tiny_models.gpt2(tmp_path / 'other')}}}, mine: {{"
    )
    yaml = yaml.replace("{use: gpt2}", "{use: gpt2, backbone: {weights: other}}").replace("tokens: 24", "tokens: 65")
    (tmp_path / "tiny.yaml").write_text(yaml, encoding="utf-8")

    def run(verb: str, *arguments: str) -> int:
        return main([verb, "--suite", "tiny.yaml", *arguments])

    assert run("pretrained", "--model", "mine") == run("pretrained", "--model", "other") == 0
    assert run("prepare", "--dataset", "bbe") == 0
    for method, message in (("lm", "do not read the tokens of 'mine'"), ("della", "65 tokens on a model of 64 pos")):
        assert run("train", "--dataset", "bbe", "--method", method, "--seed", "1") == 2
        error = capsys.readouterr().err
        assert message in error and error.count("\n") == 1


def test_a_model_of_the_hub_is_fetched_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    """From a stand-in for it: the files that are needed and no others, at the pinned revision."""
    monkeypatch.chdir(tmp_path)
    source = tiny_models.gpt2(tmp_path / "source")
    files = {path.name: path.read_bytes() for path in source.iterdir()} | {"pytorch_model.bin": b"pickle"}
    Path("tiny.yaml").write_text(YAML.format(kind="gpt2", folder="nowhere").replace("weights: mine", "weights: gpt2"))
    monkeypatch.setattr(time, "sleep", lambda seconds: None)

    def run() -> int:
        return main(["pretrained", "--suite", "tiny.yaml", "--model", "gpt2"])

    capsys.readouterr()
    with serving({}, "") as gone:
        pass
    point_to(gone.url, tmp_path / "cache", monkeypatch)
    assert run() == 2
    error = capsys.readouterr().err.splitlines()[-1]  # after transformers' progress bars
    assert error.startswith("bench: cannot fetch openai-community/gpt2@607a30d") and "{model_dir: ...}" in error
    with serving(files, KNOWN["gpt2"].revision) as server:
        point_to(server.url, tmp_path / "cache", monkeypatch)
        assert run() == 0
        assert {asked.split()[1] for asked in server.asked} == {"tree", *HUB_FILES, *ASIDE}
        before = server.asked.copy()
        assert run() == 0 and server.asked == before
    manifest = read_json(CellPaths("tiny", "", "", 0).pretrained("gpt2") / "manifest.json")
    assert manifest["origin"] == f"hub openai-community/gpt2@{KNOWN['gpt2'].revision}" and manifest["licence"] == "MIT"

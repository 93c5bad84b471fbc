"""A model directory, as transformers saves it, into what backbones take: the same network on the suite's own ids.

Nothing is unpickled, and no code is run that is beside the weights or that their configuration names.

Every tokenizer of the suite has the same four special tokens, ids 0 to 3. So a model's vocabulary is re-indexed: its
own special tokens go, the others follow the four in their order. BOS and EOS start as what the model itself begins and
ends texts with, which may be one token for both (``<|endoftext|>``): BOS, too, is then as likely as EOS, until training
has seen that it never follows. BART's decoder begins with ``</s>`` before ``<s>``, which is left out here. PAD and UNK
start as the mean of all rows, never likelier than the best of them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.errors import BenchError, first_line
from bench.files import atomic, read_json, write_json
from bench.tensors import save_tensors
from bench.vocabulary import BOS, EOS, SPECIALS

if TYPE_CHECKING:
    from torch import Tensor

_WORDS = {"gpt2": "wte.weight", "llama": "embed_tokens.weight", "bart": "shared.weight"}  # rows are tokens
_OF_A_FILE = {  # keys of a configuration that say nothing of the network
    "architectures", "transformers_version", "dtype", "torch_dtype", "bos_token_id", "eos_token_id", "pad_token_id",
    "unk_token_id", "decoder_start_token_id", "forced_eos_token_id", "task_specific_params", "model_type", "id2label",
    "label2id", "use_cache",
}  # fmt: skip
_NAMING_CODE = ("_attn_implementation", "attn_implementation", "auto_map", "quantization_config")
_BLOCKS = {"gpt2": "n_layer", "llama": "num_hidden_layers", "bart": "decoder_layers"}
_AS_HERE: Mapping[str, Mapping[str, tuple[Any, ...]]] = {  # what a backbone has, whatever a configuration says
    "gpt2": {
        "activation_function": ("gelu_new", "gelu_pytorch_tanh"),
        "scale_attn_weights": (True,),
        "scale_attn_by_inverse_layer_idx": (False,),
        "add_cross_attention": (False,),
    },
    "llama": {},
    "bart": {},
}


def adopt(folder: Path, kind: str, out: Path) -> int:
    """Configuration, weights and tokenizer of a directory, re-indexed, into ``out``; how many parameters it has.

    :class:`BenchError`, one line, where it is damaged, of another kind, or not what backbones here are.
    """
    from tokenizers import Tokenizer

    config, tensors = _load(folder, kind)
    tokenizer, rows = reindexed(*_tokenizer(folder))
    table = tensors[_WORDS[kind]]
    if max(rows) >= len(table):
        raise BenchError(f"model {folder}: its tokenizer has token {max(rows)}, and its weights {len(table)} rows")
    try:
        library = Tokenizer.from_str(json.dumps(tokenizer))
    except Exception as error:  # the library raises a bare Exception
        raise BenchError(f"model {folder}: its tokenizer cannot be re-indexed ({first_line(error)})") from error
    tensors[_WORDS[kind]] = _rearranged(table, rows)
    config["vocab_size"] = len(rows)
    kept = {key: value for key, value in config.items() if key not in _OF_A_FILE and key[0] != "_"}
    write_json(out / "config.json", kept)
    save_tensors({f"transformer.{name}": tensor for name, tensor in tensors.items()}, out / "weights.safetensors")
    with atomic(out / "tokenizer.json") as stream:  # in the library's words, as the data stage will write it
        stream.write(library.to_str(pretty=True))
    return sum(tensor.numel() for tensor in tensors.values())


def _load(folder: Path, kind: str) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """The configuration and the weights of the blocks and embeddings, in float32."""
    import torch
    from transformers import AutoConfig, AutoModel
    from transformers.utils import logging

    logging.disable_progress_bar()
    logging.set_verbosity_error()  # its report of a head that is not asked for
    content = read_json(folder / "config.json", "model configuration")
    if not isinstance(content, dict) or content.get("model_type") != kind:
        found = content.get("model_type") if isinstance(content, dict) else "no configuration"
        raise BenchError(f"model {folder}: it is of kind {found}, not {kind}")
    plain = {key: value for key, value in content.items() if key not in _NAMING_CODE}
    local: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False, "use_safetensors": True}
    try:
        config = AutoConfig.for_model(**plain)
        model, loading = AutoModel.from_pretrained(
            folder, config=config, dtype=torch.float32, output_loading_info=True, **local
        )
    except Exception as error:  # whatever a configuration can make the library raise
        raise BenchError(f"model {folder}: cannot be loaded ({first_line(error)})") from error
    if missing := sorted(loading["missing_keys"]):
        raise BenchError(f"model {folder}: the weights of {missing[0]} are missing ({len(missing)} in all)")
    found_config, tensors = model.config.to_dict(), dict(model.state_dict())
    _check(folder, kind, found_config, loading["unexpected_keys"])
    if kind == "bart":  # encoder and decoder name the one table over again
        tensors = {name: t for name, t in tensors.items() if not name.endswith("embed_tokens.weight")}
    if infinite := [name for name, tensor in tensors.items() if not tensor.isfinite().all()]:
        raise BenchError(f"model {folder}: {infinite[0]} has numbers that are not finite")
    return found_config, tensors


def _check(folder: Path, kind: str, config: Mapping[str, Any], unexpected: set[str]) -> None:
    """Raise where a configuration asks for another network than the backbone of its kind is."""
    if not config.get("tie_word_embeddings", True):
        raise BenchError(f"model {folder}: its map to logits is not its word embeddings, as backbones here have it")
    for key, allowed in _AS_HERE[kind].items():
        if config.get(key, allowed[0]) not in allowed:
            raise BenchError(f"model {folder}: its {key} is {config[key]!r}, and backbones here have {allowed[0]!r}")
    if kind == "bart" and config["encoder_layers"] != config["decoder_layers"]:
        raise BenchError(f"model {folder}: its encoder and decoder are not of as many layers")
    if kind == "bart" and config["encoder_attention_heads"] != config["decoder_attention_heads"]:
        raise BenchError(f"model {folder}: its encoder and decoder have not as many heads of attention")
    more = sorted(name for name in unexpected if any(part in name for part in (".h.", "layers.")) or name[:2] == "h.")
    if config[_BLOCKS[kind]] < 1 or more:
        raise BenchError(f"model {folder}: {config[_BLOCKS[kind]]} layers by its configuration, not by its weights")


def _tokenizer(folder: Path) -> tuple[dict[str, Any], str, str]:
    """The fast tokenizer's JSON, and the tokens that begin and end a text."""
    from transformers import AutoTokenizer

    if not any((folder / file).is_file() for file in ("tokenizer.json", "merges.txt")):  # the library makes one up
        raise BenchError(f"model {folder}: no tokenizer (neither tokenizer.json nor merges.txt)")
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        content = json.loads(tokenizer.backend_tokenizer.to_str())
        bos, eos = tokenizer.bos_token, tokenizer.eos_token
    except Exception as error:  # likewise
        raise BenchError(f"model {folder}: no tokenizer ({first_line(error)})") from error
    if content["model"]["type"] != "BPE" or eos is None:
        raise BenchError(f"model {folder}: expected a tokenizer of byte pairs that has an end-of-text token")
    if words := [token["content"] for token in content["added_tokens"] if not token["special"]]:
        raise BenchError(f"model {folder}: its tokenizer has added tokens that are no special ones, as '{words[0]}'")
    return content, bos or eos, eos


def reindexed(content: Mapping[str, Any], bos: str, eos: str) -> tuple[dict[str, Any], list[int]]:
    """A tokenizer's JSON with the four special tokens first and none of its own; the old id of each new one, or -1.

    None of the four is an added token of the library, which would find them inside texts: a ``<unk>`` that stands
    there is five characters, as for the model it is.
    """
    old = {**content["model"]["vocab"], **{token["content"]: token["id"] for token in content["added_tokens"]}}
    gone = {token["content"] for token in content["added_tokens"]}
    kept = sorted((token for token in content["model"]["vocab"] if token not in gone), key=old.__getitem__)
    if clash := set(SPECIALS) & set(kept):
        raise BenchError(f"tokenizer: '{min(clash)}' is a word of its vocabulary, and here a special token")
    rows = [-1] * len(SPECIALS) + [old[token] for token in kept]
    rows[BOS], rows[EOS] = old[bos], old[eos]
    model = {**content["model"], "vocab": {token: i for i, token in enumerate((*SPECIALS, *kept))}, "unk_token": None}
    return {**content, "model": model, "added_tokens": [], "post_processor": None, "truncation": None,
            "padding": None}, rows  # fmt: skip


def _rearranged(table: Tensor, rows: list[int]) -> Tensor:
    """The rows of a table [V, d] in another order; -1 is their mean."""
    import torch

    return torch.cat([table, table.mean(0, keepdim=True)])[torch.tensor(rows)]

"""Pretrained models as backbones take them: found, checked and re-indexed once, by the data stage.

A model is a directory as transformers saves it: a pip package's, the hub's at a pinned revision, or a local one. It
becomes ``config.json``, ``weights.safetensors``, ``tokenizer.json`` and ``manifest.json``. Nothing is unpickled, and no
code beside the weights is run.

Every tokenizer of the suite has the same four special tokens, ids 0 to 3. So a model's vocabulary is re-indexed: its
own special tokens go, the others follow the four in their order. BOS and EOS start as what the model itself begins and
ends texts with, which may be one token for both (``<|endoftext|>``): BOS, too, is then as likely as EOS, until training
has seen that it never follows. PAD and UNK start as the mean of all rows, never likelier than the best of them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.data import download
from bench.errors import BenchError
from bench.files import atomic, atomic_directory, read_json, sha256, write_json
from bench.metrics import pretrained
from bench.pretrained import FILES, KNOWN, Known, kind_of
from bench.vocabulary import BOS, EOS, SPECIALS

if TYPE_CHECKING:
    from torch import Tensor

    from bench.schema import Suite


HUB_FILES = ("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json")
_WORDS = {"gpt2": "wte.weight", "llama": "embed_tokens.weight", "bart": "shared.weight"}  # rows are tokens
_OF_A_FILE = {  # keys of a configuration that say nothing of the network
    "architectures", "transformers_version", "dtype", "torch_dtype", "bos_token_id", "eos_token_id",
    "pad_token_id", "unk_token_id", "decoder_start_token_id", "forced_eos_token_id", "task_specific_params",
    "model_type", "id2label", "label2id", "use_cache",
}  # fmt: skip


def prepare(suite: Suite, name: str, out: Path) -> None:
    """Write one pretrained model of a suite into ``out``, all of it or nothing."""
    kind, folder, about = _find(suite, name)
    with atomic_directory(out) as target:
        parameters = adopt(folder, kind, target)
        write_json(target / "manifest.json", {
            "model": name, "kind": kind, **about, "parameters": parameters,
            "sha256": {file: sha256(target / file) for file in FILES},
        })  # fmt: skip


def _find(suite: Suite, name: str) -> tuple[str, Path, dict[str, str]]:
    """Kind, directory, and what a manifest says of where it is from."""
    kind, own = kind_of(suite, name), suite.models.get(name)
    if own is not None and own.model_dir is not None:
        return kind, Path(own.model_dir).expanduser(), {"origin": "local files", "licence": "not stated (local files)"}
    known = KNOWN[name]
    if known.package:
        from importlib.metadata import version

        from bench.metrics import gguf_model

        packed = pretrained.find(known.package, "language model", "backbone")
        distribution = pretrained.PACKAGED["language model"][known.package].install.split()[-1]
        about = {"origin": f"{distribution} {version(distribution)}", "licence": known.licence, "note": known.note}
        return kind, gguf_model.unpacked(packed), about
    origin = f"hub {known.repository}@{known.revision}"
    return kind, _from_hub(name, known), {"origin": origin, "licence": known.licence}


def _from_hub(name: str, known: Known) -> Path:
    """The pinned revision's folder in the hub library's cache, fetched where it is not there."""
    if (folder := cached(known)) is None:
        instead = f"give its files as models: {{{name}: {{model_dir: ...}}}}"
        download.fetch("model", known.repository, known.revision, HUB_FILES, instead)
        folder = cached(known)
    if folder is None:
        raise BenchError(f"{known.repository}@{known.revision[:7]} lacks some of {', '.join(HUB_FILES)}")
    return folder


def cached(known: Known) -> Path | None:
    """A model of the hub in its library's cache, where all of it is there."""
    folder = download.cached("model", known.repository, known.revision, HUB_FILES)
    whole = folder and all((folder / file).is_file() for file in HUB_FILES)
    return folder if whole else None


def packaged(known: Known) -> Path | None:
    """A model's file in its pip package, where that is installed."""
    try:
        return pretrained.find(known.package, "language model", "backbone").path
    except pretrained.NotInstalled:
        return None


def adopt(folder: Path, kind: str, out: Path) -> int:
    """Configuration, weights and tokenizer of a directory, re-indexed, into ``out``; how many parameters it has."""
    from tokenizers import Tokenizer

    from bench.model import save_tensors

    config, tensors = _load(folder, kind)
    tokenizer, rows = reindexed(*_tokenizer(folder))
    table = tensors[_WORDS[kind]]
    if max(rows) >= len(table):
        raise BenchError(f"model {folder}: its tokenizer has token {max(rows)}, and its weights {len(table)} rows")
    tensors[_WORDS[kind]] = _rearranged(table, rows)
    config["vocab_size"] = len(rows)
    write_json(
        out / "config.json", {key: value for key, value in config.items() if key not in _OF_A_FILE and key[0] != "_"}
    )
    save_tensors({f"transformer.{name}": tensor for name, tensor in tensors.items()}, out / "weights.safetensors")
    with atomic(out / "tokenizer.json") as stream:  # in the library's words, as the data stage will write it
        stream.write(Tokenizer.from_str(json.dumps(tokenizer)).to_str(pretty=True))
    return sum(tensor.numel() for tensor in tensors.values())


def _load(folder: Path, kind: str) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """The configuration and the weights of the blocks and embeddings, in float32."""
    import torch
    from safetensors import SafetensorError
    from transformers import AutoModel
    from transformers.utils import logging

    logging.disable_progress_bar()
    logging.set_verbosity_error()  # its report of a head that is not asked for
    found = read_json(folder / "config.json", "model configuration").get("model_type")
    if found != kind:
        raise BenchError(f"model {folder}: it is of kind {found}, not {kind}")
    local: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False, "use_safetensors": True}
    try:
        model, loading = AutoModel.from_pretrained(folder, dtype=torch.float32, output_loading_info=True, **local)
    except (OSError, ValueError, SafetensorError) as error:
        raise BenchError(f"model {folder}: cannot be loaded ({str(error).splitlines()[0]})") from error
    if missing := sorted(loading["missing_keys"]):
        raise BenchError(f"model {folder}: the weights of {missing[0]} are missing ({len(missing)} in all)")
    config = model.config.to_dict()
    if not config.get("tie_word_embeddings", True):
        raise BenchError(f"model {folder}: its map to logits is not its word embeddings, as backbones here have it")
    tensors = model.state_dict()
    if kind == "bart":  # encoder and decoder name the one table over again
        tensors = {name: t for name, t in tensors.items() if not name.endswith("embed_tokens.weight")}
    return config, dict(tensors)


def _tokenizer(folder: Path) -> tuple[dict[str, Any], str, str]:
    """The fast tokenizer's JSON, and the tokens that begin and end a text."""
    from transformers import AutoTokenizer

    if not any((folder / file).is_file() for file in ("tokenizer.json", "merges.txt")):  # the library makes one up
        raise BenchError(f"model {folder}: no tokenizer (neither tokenizer.json nor merges.txt)")
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except (OSError, ValueError) as error:
        raise BenchError(f"model {folder}: no tokenizer ({str(error).splitlines()[0]})") from error
    content = json.loads(tokenizer.backend_tokenizer.to_str())
    if content["model"]["type"] != "BPE" or tokenizer.eos_token is None:
        raise BenchError(f"model {folder}: expected a tokenizer of byte pairs that has an end-of-text token")
    return content, tokenizer.bos_token or tokenizer.eos_token, tokenizer.eos_token


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

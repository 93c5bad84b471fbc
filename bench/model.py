"""Build, save and load a trained cell's model directory: ``config.json`` and ``weights.safetensors``."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from bench import registry
from bench.backbones.base import Backbone
from bench.errors import BenchError
from bench.files import atomic, read_json, write_json
from bench.methods.base import Method
from bench.validation import validate

if TYPE_CHECKING:
    from bench import schema
    from bench.schema import MethodSpec


def build(spec: MethodSpec, backbone: schema.Backbone, seed: int, conditional: bool = False) -> Method:
    """A freshly initialised method of a suite; the same seed gives the same weights, bit for bit."""
    source = registry.describe(spec.use)
    cls = registry.load_class(source)
    missing = [part for part in ("posterior", "inject", "Options") if not hasattr(cls, part)]
    if not (isinstance(cls, type) and issubclass(cls, Method)) or missing or getattr(cls, "__abstractmethods__", None):
        lacking = ", ".join(missing or sorted(getattr(cls, "__abstractmethods__", ())) or ["bench.methods.base.Method"])
        raise BenchError(f"method '{spec.use}': {source.cls} in {source.file} lacks {lacking} (see CONTRIBUTING.md)")
    options = validate(cls.Options, {**source.options, **spec.options}, f"method '{source.name}' options")
    if backbone.kind not in source.backbones:
        raise BenchError(
            f"method '{source.name}': its backbone is {' or '.join(source.backbones)}, not {backbone.kind}"
        )
    torch.manual_seed(seed)
    try:
        made: Method = cls(make_backbone(backbone, conditional), options)
    except BenchError as error:
        raise BenchError(f"method '{source.name}': {error}") from None
    return made


def make_backbone(size: schema.Backbone, conditional: bool) -> Backbone:
    """The backbone of a suite with fresh weights: ``make`` of the file in bench/backbones named after its kind."""
    made: Backbone = importlib.import_module(f"bench.backbones.{size.kind}").make(size, conditional)
    made.has_unknown = size.tokenizer == "words"
    return made


def save(method: Method, config: dict[str, Any], folder: Path) -> None:
    """Write weights and config into an existing directory (which the caller makes appear at once)."""
    write_json(folder / "config.json", config)
    save_tensors(method.state_dict(), folder / "weights.safetensors")


def save_tensors(tensors: Mapping[str, Tensor], path: Path) -> None:
    """As safetensors, whole or not at all: the library's own writer neither flushes to disk nor raises an OSError."""
    from safetensors.torch import save

    with atomic(path, "wb") as stream:
        stream.write(save({name: tensor.contiguous() for name, tensor in tensors.items()}))


def load(path: str | Path) -> Method:
    """The trained method in a model directory, in evaluation mode."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    from bench import schema

    folder = Path(path)
    config = read_json(folder / "config.json", "model config")
    spec = validate(
        schema.MethodSpec, {"use": config["use"], "options": config["options"]}, str(folder / "config.json")
    )
    backbone = validate(schema.Backbone, config["backbone"], str(folder / "config.json"))
    method = build(spec, backbone, seed=0, conditional=config.get("conditional", False))
    weights = folder / "weights.safetensors"
    try:
        method.load_state_dict(load_file(weights))
    except (OSError, SafetensorError) as error:
        raise BenchError(f"{weights}: missing or damaged ({error}); delete {folder} and run again") from None
    except RuntimeError as error:
        raise BenchError(f"{weights}: does not fit {config['use']} ({str(error).splitlines()[0]})") from None
    return method.eval()

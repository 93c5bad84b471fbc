"""Build, save and load a trained cell's model directory: ``config.json`` and ``weights.safetensors``."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from bench import registry
from bench.backbones.base import Backbone
from bench.errors import BenchError, first_line
from bench.files import read_json, write_json
from bench.methods.base import Method
from bench.paths import CellPaths
from bench.schema import FRESH
from bench.tensors import save_tensors
from bench.validation import validate

if TYPE_CHECKING:
    from bench import schema
    from bench.schema import MethodSpec


def build(
    spec: MethodSpec, backbone: schema.Backbone, seed: int, conditional: bool = False, start: Start | None = None
) -> Method:
    """A method of a suite before its training; the same seed gives the same weights, bit for bit.

    All are fresh, or the backbone's are those it has to ``start`` from.
    """
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
        made: Method = cls(make_backbone(backbone, conditional, start), options)
    except BenchError as error:
        raise BenchError(f"method '{source.name}': {error}") from None
    return made


@dataclass(frozen=True)
class Start:
    """A pretrained model as bench/data/pretrained.py writes it: its configuration, and where its weights are."""

    config: dict[str, Any]
    weights: Path | None = None  # None: a trained model of that configuration is about to be loaded


def resolve(size: schema.Backbone, paths: CellPaths) -> tuple[schema.Backbone, Start | None]:
    """A backbone of a suite with what the data stage knows of it, and the pretrained weights it starts from.

    Its vocabulary is the tokenizer's, which has fewer entries than a suite allows where the texts have no more.
    """
    tokenizer = read_json(paths.manifest, "manifest")["tokenizer"]
    size = size.model_copy(update={"vocabulary": tokenizer["vocabulary"]})
    if size.weights == FRESH:
        return size, None
    folder = paths.pretrained(size.weights)
    manifest = read_json(folder / "manifest.json", "manifest")
    if manifest["sha256"]["tokenizer.json"] != tokenizer["sha256"]:
        raise BenchError(f"weights '{size.weights}' do not read the tokens of '{size.tokenizer}': their own differ")
    config = read_json(folder / "config.json", "model configuration")
    return size, Start(config, folder / "weights.safetensors")


def make_backbone(size: schema.Backbone, conditional: bool, start: Start | None = None) -> Backbone:
    """The backbone of a suite: ``make`` of the file in bench/backbones named after its kind."""
    make = importlib.import_module(f"bench.backbones.{size.kind}").make
    made: Backbone = make(size, conditional) if start is None else make(size, conditional, start.config)
    made.has_unknown = size.tokenizer == "words"
    made.pretrained = start is not None
    if start is not None and start.weights is not None:
        _load_into(made, start.weights)
    return made


def save(method: Method, config: dict[str, Any], folder: Path) -> None:
    """Write weights and config into an existing directory (which the caller makes appear at once)."""
    write_json(folder / "config.json", config)
    save_tensors(method.state_dict(), folder / "weights.safetensors")


def load(path: str | Path) -> Method:
    """The trained method in a model directory, in evaluation mode."""
    from bench import schema

    folder = Path(path)
    config = read_json(folder / "config.json", "model config")
    spec = validate(
        schema.MethodSpec, {"use": config["use"], "options": config["options"]}, str(folder / "config.json")
    )
    backbone = validate(schema.Backbone, config["backbone"], str(folder / "config.json"))
    start = Start(config["pretrained"]) if config.get("pretrained") else None
    method = build(spec, backbone, seed=0, conditional=config.get("conditional", False), start=start)
    _load_into(method, folder / "weights.safetensors")
    return method.eval()


def _load_into(module: nn.Module, weights: Path) -> None:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        module.load_state_dict(load_file(weights))
    except (OSError, SafetensorError) as error:
        raise BenchError(f"{weights}: missing or damaged ({error}); delete {weights.parent} and run again") from None
    except RuntimeError as error:
        what = type(module).__name__
        raise BenchError(f"{weights}: does not fit {what} ({first_line(error)})") from None

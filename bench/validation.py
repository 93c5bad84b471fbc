"""Typed validation of user input by pydantic, its first complaint told as one clear line."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import is_dataclass
from functools import reduce
from typing import Any, get_args, get_origin

from pydantic import BaseModel, TypeAdapter, ValidationError

from bench.errors import BenchError, suggest


def validate(cls: Any, given: Any, where: str) -> Any:
    """``given`` as a ``cls`` (a pydantic model or a dataclass); :class:`BenchError` names key and value."""
    if is_dataclass(cls) and isinstance(given, Mapping):  # pydantic lets a plain dataclass ignore keys
        for key in given:
            if key not in _keys(cls):
                raise BenchError(f"{where}: unknown key '{key}'{suggest(str(key), _keys(cls))}")
    try:
        return TypeAdapter(cls).validate_python(given)
    except ValidationError as error:
        raise BenchError(f"{where}: {_first_problem(cls, error)}") from None


def _first_problem(cls: Any, error: ValidationError) -> str:
    problem = error.errors()[0]
    key = ".".join(str(part) for part in problem["loc"])
    match problem["type"]:
        case "extra_forbidden":
            owner = reduce(_field_type, problem["loc"][:-1], cls)
            return f"unknown key '{key}'{suggest(str(problem['loc'][-1]), _keys(owner))}"
        case "missing":
            return f"key '{key}' is missing"
        case _:
            message = problem["msg"].removeprefix("Value error, ")
            return f"'{key}' is {problem['input']!r}: {message}" if key else message


def _keys(cls: Any) -> list[str]:
    if isinstance(cls, type) and issubclass(cls, BaseModel):
        return list(cls.model_fields)
    return list(getattr(cls, "__dataclass_fields__", ()))


def _field_type(cls: Any, key: Any) -> Any:
    """The type at one step of a pydantic error location: a model's field, or the values of a mapping or list."""
    if isinstance(cls, type) and issubclass(cls, BaseModel) and key in cls.model_fields:
        return _unwrap(cls.model_fields[key].annotation)
    arguments = get_args(cls)
    return _unwrap(arguments[-1]) if arguments else cls


def _unwrap(annotation: Any) -> Any:
    """``X | None`` -> ``X``; a mapping or list type is kept for the next step."""
    if get_origin(annotation) in (dict, list, Mapping, tuple):
        return annotation
    options = [a for a in get_args(annotation) if a is not type(None)]
    return options[0] if options and get_origin(annotation) is not None and len(options) == 1 else annotation

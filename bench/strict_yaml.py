"""YAML that a user wrote: plain values alone, and one clear line for what YAML's own loader takes or trips over."""

from __future__ import annotations

from typing import Any

import yaml
from yaml.constructor import ConstructorError

from bench.errors import BenchError


def parse(text: str, where: str) -> Any:
    """The value of a document; :class:`BenchError` names ``where``, what is wrong and in which line."""
    try:
        return yaml.load(text, _Loader)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise BenchError(f"{where}: not valid YAML: {' '.join(str(error).split())}") from None


class _Loader(yaml.SafeLoader):
    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        """Of a value that its tag does not fit (``!!bool maybe``, ``2022-13-45``) YAML's own has errors of any kind."""
        try:
            return super().construct_object(node, deep)
        except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError):
            problem = f"'{node.value}' is no {node.tag.rpartition(':')[2]}"
            raise ConstructorError(problem=problem, problem_mark=node.start_mark) from None

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """Of two keys that are the same YAML's own would take the last, and lose what the first one said."""
        keys = [key for key, _ in node.value] if isinstance(node, yaml.MappingNode) else []  # else its own complains
        twice = next((key for i, key in enumerate(keys) if key.value in [other.value for other in keys[:i]]), None)
        if twice is not None:
            raise ConstructorError(problem=f"key '{twice.value}' is there twice", problem_mark=twice.start_mark)
        return super().construct_mapping(node, deep)

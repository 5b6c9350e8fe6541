"""The core schema of YAML 1.2, in which `no` is a string and `1e-3` a number.

PyYAML follows YAML 1.1, in which a column called `on` is true, `1e-3` is text, a date is an
object, and the second of two equal keys silently replaces the first. See https://yaml.org/spec/1.2.2/#103-core-schema.
"""

from __future__ import annotations

import re
from typing import Any

import yaml

__all__ = ["inline", "parse"]

_FLOAT = r"""[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?
           | [-+]?\.(inf|Inf|INF) | \.(nan|NaN|NAN)"""
_SCALARS = {  # in this order: every integer would be a float too
    "null": (r"~ | null | Null | NULL | ", ["~", "n", "N", ""]),
    "bool": (r"true | True | TRUE | false | False | FALSE", list("tTfF")),
    "int": (r"[-+]?[0-9]+ | 0o[0-7]+ | 0x[0-9a-fA-F]+", list("-+0123456789")),
    "float": (_FLOAT, list("-+.0123456789")),
}


class _Loader(yaml.SafeLoader):
    yaml_implicit_resolvers: dict[str, Any] = {}


class _Dumper(yaml.SafeDumper):
    """Write YAML, with quotes around text that either version would parse as another type."""


def _integer(loader: _Loader, node: yaml.ScalarNode) -> int:
    text = str(loader.construct_scalar(node))
    return int(text, 0) if text.startswith(("0o", "0x")) else int(text)


def _mapping(loader: _Loader, node: yaml.MappingNode) -> dict[str, Any]:
    mapping: dict[str, Any] = {}
    for key_node, value_node in node.value:
        key = str(loader.construct_scalar(key_node))
        if key in mapping:
            line = key_node.start_mark.line + 1
            raise ValueError(f"line {line} has the key {key!r} a second time")
        mapping[key] = loader.construct_object(value_node, deep=True)
    return mapping


for _name, (_pattern, _first) in _SCALARS.items():
    for _class in (_Loader, _Dumper):
        _class.add_implicit_resolver(
            f"tag:yaml.org,2002:{_name}", re.compile(f"^(?:{_pattern})$", re.VERBOSE), _first
        )
_Loader.add_constructor("tag:yaml.org,2002:int", _integer)
_Loader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _mapping)


def parse(text: str) -> Any:
    """Read a YAML document.

    Raises:
        ValueError: If the text is not YAML, is nested too deeply, or has a key twice.

    Example:
        >>> parse("{lr: 1e-3, by: no, day: 2020-01-01}")
        {'lr': 0.001, 'by': 'no', 'day': '2020-01-01'}
    """
    try:
        return yaml.load(text, _Loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f" in line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        problem = str(error.problem or error.context)
        for shown in (r"'\x00'", "'<stream end>'"):
            problem = problem.replace(shown, "the end")
        raise ValueError(f"this is not YAML: {problem}{where}") from error
    except yaml.YAMLError as error:
        raise ValueError(f"this is not YAML: {error}") from error
    except RecursionError as error:
        raise ValueError("the YAML is nested too deeply to be read") from error


def inline(value: Any) -> str:
    """Write a value on one line that parses to the same value in both versions.

    Example:
        >>> inline({"by": "no", "context": [8, 256]})
        "{by: 'no', context: [8, 256]}"
    """
    text = yaml.dump(
        [value],
        Dumper=_Dumper,
        default_flow_style=True,
        sort_keys=False,
        allow_unicode=True,
        width=float("inf"),
    )
    return text.strip()[1:-1]

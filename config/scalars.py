"""How the single values of a YAML file become Python's, by the type of the field."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import yaml

from config.values import (
    ByteSize,
    Milliseconds,
    Network,
    format_duration,
    format_size,
    parse_duration,
    parse_network,
    parse_size,
)

NUMBER = re.compile(r"[-+]?[0-9_]*\.?[0-9]+([eE][-+]?[0-9]+)?")
KINDS = {"int": "the number", "float": "the number", "bool": "the truth value", "timestamp": "the date"}


@dataclass(frozen=True, slots=True)
class Scalar:
    """A kind of value: which YAML values may become one, and how."""

    expected: str
    tags: frozenset[str]
    parse: Callable[[str], Any]
    write: Callable[[Any], str] = str


def tag_of(node: yaml.Node) -> str:
    """Return what YAML takes the value for: `str`, `int`, `float`, `bool`, `null`, `map`, `seq`, ..."""
    return str(node.tag).rpartition(":")[2]


def description_of(node: yaml.Node) -> str:
    """Return how to call a value in a complaint."""
    if isinstance(node, yaml.MappingNode):
        return "a mapping"
    if isinstance(node, yaml.SequenceNode):
        return "a list"
    if tag_of(node) == "null":
        return "nothing"
    kind = KINDS.get(tag_of(node))
    return f"{kind} {node.value}" if kind else repr(node.value)


def _whole_number(text: str) -> int:
    digits = text.replace("_", "").removeprefix("-")
    if not (digits.isascii() and digits.isdigit()) or (digits.startswith("0") and digits != "0"):
        raise ValueError(f"expected a whole number, got {text}")
    return int(text)


def _number(text: str) -> float:
    if not NUMBER.fullmatch(text):
        raise ValueError(f"expected a number, got {text}")
    return float(text.replace("_", ""))


def _truth(text: str) -> bool:
    return text.lower() in ("true", "yes", "on")


def _size(text: str) -> ByteSize:
    return ByteSize(int(text)) if text.isascii() and text.isdigit() else parse_size(text)


SCALARS: dict[Any, Scalar] = {
    str: Scalar("text", frozenset({"str"}), str),
    int: Scalar("a whole number", frozenset({"int"}), _whole_number),
    float: Scalar("a number", frozenset({"int", "float"}), _number, "{:g}".format),
    bool: Scalar("true or false", frozenset({"bool"}), _truth, lambda value: str(value).lower()),
    ByteSize: Scalar("a size such as 256MB or 64KiB", frozenset({"str", "int"}), _size, format_size),
    Milliseconds: Scalar(
        "a duration such as 30s, 5m, 2h or 7d", frozenset({"str"}), parse_duration, format_duration
    ),
    Network: Scalar("an address range such as 10.0.0.0/8", frozenset({"str"}), parse_network),
}

"""From a method and a path to what answers it.

A path is split before it is percent-decoded, so that an encoded slash stays inside its segment. Fixed segments win over
parameters.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Generic, TypeVar
from urllib.parse import unquote

from homeserver.protocol.errors import InvalidParam, Unrecognized, UnrecognizedMethod

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Route(Generic[T]):
    """One method on one path template, and what answers there."""

    method: str
    template: str
    target: T


@dataclass(frozen=True, slots=True)
class Match(Generic[T]):
    """The route that a request takes, with the decoded segments of its parameters."""

    route: Route[T]
    values: dict[str, str]


@dataclass(slots=True)
class _Leaf(Generic[T]):
    names: tuple[str, ...]
    route: Route[T]


@dataclass(slots=True)
class _Node(Generic[T]):
    fixed: dict[str, "_Node[T]"] = field(default_factory=dict)
    parameter: "_Node[T] | None" = None
    leaves: dict[str, _Leaf[T]] = field(default_factory=dict)


class Router(Generic[T]):
    """All routes of a listener."""

    def __init__(self, routes: Iterable[Route[T]]) -> None:
        """Raises ValueError when two routes would answer the same request."""
        self._root: _Node[T] = _Node()
        self._plain: dict[tuple[str, str], Match[T]] = {}
        for route in routes:
            self._add(route)

    def match(self, method: str, path: str) -> Match[T]:
        """Find the route of a request, given its path without the query.

        A HEAD request takes the route of GET. Raises Unrecognized when nothing has this path, UnrecognizedMethod when
        it has other methods only, InvalidParam when a segment is not UTF-8.
        """
        plain = self._plain.get((method, path))
        if plain is not None:
            return plain
        captured: list[str] = []
        leaves = self._leaves(self._root, path.split("/"), 0, captured, method)
        if leaves is None:
            leaves = self._leaves(self._root, path.split("/"), 0, captured, None)
            if leaves is None:
                raise Unrecognized
            raise UnrecognizedMethod
        leaf = leaves.get(method) or leaves["GET"]
        return Match(leaf.route, dict(zip(leaf.names, map(_decoded, captured), strict=True)))

    def _add(self, route: Route[T]) -> None:
        node, names = self._root, []
        for segment in route.template.split("/"):
            if segment.startswith("{"):
                names.append(segment[1:-1])
                node.parameter = node.parameter or _Node()
                node = node.parameter
            else:
                node = node.fixed.get(segment) or node.fixed.setdefault(segment, _Node())
        if route.method in node.leaves:
            raise ValueError(f"{route.method} {route.template} is declared twice")
        node.leaves[route.method] = _Leaf(tuple(names), route)
        if not names:
            self._plain[route.method, route.template] = Match(route, {})

    def _leaves(
        self, node: _Node[T], segments: list[str], index: int, captured: list[str], method: str | None
    ) -> dict[str, _Leaf[T]] | None:
        """Walk down, fixed segments first, to leaves that have the method (any, when it is None)."""
        if index == len(segments):
            return node.leaves if node.leaves and _serves(node.leaves, method) else None
        fixed = node.fixed.get(segments[index])
        if fixed is not None:
            found = self._leaves(fixed, segments, index + 1, captured, method)
            if found is not None:
                return found
        if node.parameter is None:
            return None
        captured.append(segments[index])
        found = self._leaves(node.parameter, segments, index + 1, captured, method)
        if found is None:
            captured.pop()
        return found


def _serves(leaves: dict[str, _Leaf[T]], method: str | None) -> bool:
    return method is None or method in leaves or (method == "HEAD" and "GET" in leaves)


def _decoded(segment: str) -> str:
    if "%" not in segment:
        return segment
    try:
        return unquote(segment, errors="strict")
    except UnicodeDecodeError:
        raise InvalidParam("The path is not valid UTF-8") from None

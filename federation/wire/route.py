"""What a server-server endpoint is: one record, read by the side that answers and by the side that asks.

Neither of them repeats a path, a type or a limit. https://spec.matrix.org/v1.19/server-server-api/
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, Generic, Literal, TypeAlias, TypeVar
from urllib.parse import quote, urlencode

import msgspec

Method: TypeAlias = Literal["GET", "PUT", "POST"]
AnswerT = TypeVar("AnswerT")

KIB: Final = 1024
MIB: Final = 1024 * KIB

Pdus: TypeAlias = list[Any]
"""Events as they came.

The list is not typed further, so that one item of the wrong shape spoils itself and not its neighbours.
"""

JsonObject: TypeAlias = dict[str, Any]


class Nothing(msgspec.Struct, frozen=True):
    """The empty object."""


@dataclass(frozen=True, slots=True)
class Route(Generic[AnswerT]):
    """One endpoint of the server-server API.

    `path` has its parameters in braces; `query` and `body` are the types of what is sent, None where nothing is;
    `answer` is the type of a 200's JSON. `signed` says whether a request must carry a server's signature.
    `lists` are the fields of the answer that are lists of events, and so long that they are read as they come.
    `max_answer_bytes` and `timeout_s` bound what the asking side reads and waits; without the latter it is what the
    operator says.
    """

    method: Method
    path: str
    answer: type[AnswerT]
    query: type[msgspec.Struct] | None = None
    body: Any = None
    signed: bool = True
    lists: tuple[str, ...] = ()
    max_answer_bytes: int = 1 * MIB
    timeout_s: float | None = None

    def target(
        self, path: Mapping[str, str], query: msgspec.Struct | Mapping[str, object] | None = None
    ) -> str:
        """Return the request target, escaped as it goes over the wire and into the signature."""
        filled = self.path.format_map({name: quote(value, safe="") for name, value in path.items()})
        pairs = list(_pairs(query))
        return f"{filled}?{urlencode(pairs, quote_via=quote, safe='')}" if pairs else filled


def _pairs(query: msgspec.Struct | Mapping[str, object] | None) -> Iterator[tuple[str, str]]:
    """Each value as text; lists as repeated keys; absent (None) values left out."""
    if query is None:
        return
    values = query if isinstance(query, Mapping) else msgspec.to_builtins(query)
    for name, value in values.items():
        for item in value if isinstance(value, (list, tuple)) else (value,):
            if isinstance(item, bool):
                yield name, "true" if item else "false"
            elif item is not None:
                yield name, str(item)

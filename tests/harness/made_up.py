"""Requests that are made up from what the specification says that they carry, mostly with something wrong in them."""

import re
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import quote, urlencode

from hypothesis import strategies as st

from tests.harness.conformance import ENDPOINTS, SHAPES
from tests.harness.openapi_facts import Shape

_STRINGS: Final[Mapping[str, str]] = {
    "mx-user-id": "@anna:test",
    "mx-room-id": "!x:test",
    "mx-event-id": "$x",
    "mx-room-alias": "#x:test",
    "mx-mxc-uri": "mxc://test/x",
    "mx-server-name": "test",
    "string": "text",
}
_OTHERS: Final[Mapping[str, Any]] = {
    "integer": 1,
    "number": 0.5,
    "boolean": True,
    "null": None,
    "any": {"a": [1]},
}
_PATTERN_KEYS: Final = {"@": "@anna:test", "!": "!x:test", "$": "$x"}
ODD_SEGMENTS: Final = (
    *(
        "%00",
        "a%00b",
        "%2F..%2F",
        "..",
        ".",
        "%2e%2e",
        "%C0%AF",
        "%ED%A0%80",
        "%FF",
        "%0d%0aX-Injected:%201",
        "%0a",
    ),
    *(
        "a" * 5000,
        "%F0%9F%98%80" * 100,
        "%25%30%30",
        "%",
        "%4",
        "%zz",
        "%7B%7D",
        "<script>",
        "'%22;--",
        "@:",
        "@%00:test",
    ),
    *("%21%00:test", "%24", "!", "-1", "9" * 400, "*", "?", "%3F", "%23", "_all", "null", "m.room.member"),
)


def example(shape: Shape, deep: int = 0) -> Any:
    """A value of a shape, with all that it may have."""
    if isinstance(shape, str):
        return _STRINGS.get(shape, _OTHERS.get(shape, "text"))
    if "see" in shape:
        return example(SHAPES[shape["see"]], deep + 1) if deep < 6 else {}
    if "one" in shape:
        return shape["one"][0]
    if "either" in shape:
        return example(shape["either"][0], deep + 1)
    if "list" in shape:
        return [example(shape["list"], deep + 1)]
    value = {name: example(each, deep + 1) for name, each in shape["object"].items()}
    for pattern, each in shape.get("keys", {}).items():
        value[_PATTERN_KEYS.get(pattern[1:2], "key")] = example(each, deep + 1)
    if shape.get("others"):
        value["key"] = example(shape["others"], deep + 1)
    return value


@st.composite
def paths(draw: st.DrawFn, name: str, known: Mapping[str, str]) -> str:
    """A path to an endpoint: its parameters are those that are known, or odd."""

    def filled(found: re.Match[str]) -> str:
        good = quote(known.get(found[1], "x"), safe="")
        return draw(st.one_of(st.just(good), st.just(good), st.sampled_from(ODD_SEGMENTS)))

    return re.sub(r"{(\w+)}", filled, name.partition(" ")[2])


@st.composite
def queries(draw: st.DrawFn, name: str, odd: st.SearchStrategy[Any]) -> str:
    """A query for an endpoint."""
    pairs: list[tuple[str, str]] = []
    for parameter, shape in ENDPOINTS[name].get("query", {}).items():
        if parameter.endswith("!") or draw(st.booleans()):
            value = draw(st.one_of(st.just(example(shape)), odd))
            for each in value if isinstance(value, list) else [value]:
                text = str(each).lower() if isinstance(each, bool) else str(each)
                pairs.append((parameter.rstrip("!"), text.encode(errors="replace").decode()))
    return f"?{urlencode(pairs)[:8000]}" if pairs else ""

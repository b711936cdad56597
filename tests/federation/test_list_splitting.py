"""Cutting the lists out of a JSON object that comes in pieces of any size."""

from typing import Any, Final

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from federation.wire import list_splitting
from federation.wire.list_splitting import Item, ListSplitter, NotSplittable

NAMES: Final = ("state", "auth_chain")
TEXTS: Final = st.text(st.sampled_from('ab"\\{}[],:\n\u00e9\U0001f600'), max_size=8)
VALUES: Final = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=12,
)
OBJECTS: Final = st.dictionaries(
    st.sampled_from(NAMES) | TEXTS, st.lists(VALUES, max_size=5) | VALUES, max_size=5
)


def split(data: bytes, *sizes: int) -> tuple[list[Item], Any]:
    """The items, and the decoded rest, of an object in pieces of these sizes and a last one."""
    splitter, items = ListSplitter(NAMES), []
    for size in sizes:
        items += splitter.feed(data[:size])
        data = data[size:]
    items += splitter.feed(data)
    last, rest = splitter.finish()
    return [*items, *last], orjson.loads(rest)


@pytest.fixture(autouse=True, params=[1, 20])
def at_once(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """How many bytes are gathered."""
    monkeypatch.setattr(list_splitting, "_AT_ONCE", request.param)


@pytest.mark.parametrize("option", [0, orjson.OPT_INDENT_2])
def test_items_and_rest_are_what_the_whole_object_has(option: int) -> None:
    @given(OBJECTS, st.lists(st.integers(1, 30), max_size=20))
    def law(value: dict[str, Any], sizes: list[int]) -> None:
        items, rest = split(orjson.dumps(value, option=option), *sizes)
        lists = {name: each for name, each in value.items() if name in NAMES and isinstance(each, list)}
        expected = [(name, item) for name, each in lists.items() for item in each]
        assert [(name, orjson.loads(item)) for name, item in items] == expected
        assert rest == {**value, **{name: [] for name in lists}}

    law()


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b" ",
        b"[]",
        b"1",
        b'"state"',
        b"{",
        b'{"state"',
        b'{"state":',
        b'{"state":[',
        b'{"state":[1',
        b'{"state":[1,',
        b'{"state":[1,]}',
        b'{"state":[,1]}',
        b'{"state":[1 2]}',
        b'{"state":[{]}',
        b'{"state":[1]',
        b'{"state":[1}}',
        b'{"state":}',
        b'{"state"1}',
        b"{state:[1]}",
        b'{"state":[1],}',
        b'{"state":[1]}{}',
        b'{"state":[1]}x',
        b'{"state":[1],"state":[2]}',
        b'{"state":[1],"st\\u0061te":[2]}',
        b'{"a":1 "b":2}',
        b'{"a\\x":1}',
        b'{"a":"',
    ],
)
def test_what_is_no_object_is_refused(data: bytes) -> None:
    with pytest.raises(NotSplittable):
        split(data)


def test_a_bad_item_leaves_alone() -> None:
    items, rest = split(b'{"state":[{"a":},tru,{"b":1}],"x":1}')
    assert items == [("state", b'{"a":}'), ("state", b"tru"), ("state", b'{"b":1}')]
    assert rest == {"state": [], "x": 1}


def test_an_escaped_name_is_the_same_name() -> None:
    assert split(b'{"st\\u0061te":[7]}') == ([("state", b"7")], {"state": []})


def test_deep_nesting_is_only_counted() -> None:
    deep = b"[" * 100_000 + b"]" * 100_000
    assert split(b'{"state":[%b]}' % deep)[0] == [("state", deep)]


@pytest.mark.parametrize(
    "start", [b'{"state":["', b'{"state":[{"a":"', b'{"other":"', b'{"', b'{"state":[1', b'{"state":[[[[ ']
)
def test_a_value_without_end_is_not_held(start: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(list_splitting, "MAX_ITEM_BYTES", 5000)
    with pytest.raises(NotSplittable, match="too large"):
        split(start + b"1" * 6000, *[1] * 5999)


def test_items_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(list_splitting, "MAX_ITEMS", 10)
    assert len(split(b'{"state":[%b],"auth_chain":[1]}' % b",".join([b"1"] * 9))[0]) == 10
    with pytest.raises(NotSplittable):
        split(b'{"state":[%b],"auth_chain":[1]}' % b",".join([b"1"] * 10))


def test_the_rest_has_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(list_splitting, "MAX_REST_BYTES", 100)
    with pytest.raises(NotSplittable):
        split(b"{%b}" % b",".join(b'"%d":1' % number for number in range(100)))

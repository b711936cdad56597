"""Tokens come back as they were given, and nothing else is a token."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homeserver.protocol.errors import InvalidParam
from homeserver.protocol.stream_tokens import (
    LiveToken,
    SyncToken,
    TopologicalToken,
    parse_page_token,
    parse_sync_token,
)

positions = st.integers(0, 2**63 - 1)
nodes = st.text("abcXYZ019-_.", max_size=64)


@given(positions, nodes, positions, positions)
def test_sync_tokens_round_trip(pos: int, node: str, start: int, ephemeral: int) -> None:
    token = SyncToken(pos, node, start, ephemeral)
    assert parse_sync_token(str(token)) == token
    assert parse_page_token(str(token)) == LiveToken(pos)


@given(st.builds(LiveToken, positions) | st.builds(TopologicalToken, positions, positions.map(int.__neg__)))
def test_page_tokens_round_trip(token: LiveToken | TopologicalToken) -> None:
    assert parse_page_token(str(token)) == token


@pytest.mark.parametrize("parse", [parse_sync_token, parse_page_token])
@given(text=st.text() | st.text("mst0123456789_.-", max_size=12))
def test_any_text_is_a_token_or_refused(parse: object, text: str) -> None:
    assert callable(parse)
    try:
        parse(text)
    except InvalidParam:
        return
    assert text[0] in "mst"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "s",
        "t1",
        "m1",
        "s-1",
        "t-1_1",
        "s1_2",
        "m1_n.1",
        "x1",
        "s9223372036854775808",
        "s١",
        "s1\n",
        "t1_9223372036854775808",
        "m1_a b.1.1",
        "s00000000000000000000",
    ],
)
def test_what_is_no_page_token(text: str) -> None:
    with pytest.raises(InvalidParam):
        parse_page_token(text)


def test_topological_tokens_are_ordered_by_depth_and_then_by_ordering() -> None:
    assert TopologicalToken(1, 9) < TopologicalToken(2, -5) < TopologicalToken(2, 3)

"""Identifiers: what the grammar admits, what it does not, and that parsing changes nothing."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homeserver.protocol.errors import InvalidParam, InvalidUsername, MatrixError
from homeserver.protocol.identifiers import (
    localpart_of,
    parse_device_id,
    parse_event_id,
    parse_room_alias,
    parse_room_id,
    parse_room_id_or_alias,
    parse_server_name,
    parse_user_id,
    server_of,
    validate_new_localpart,
)

PARSERS: list[Callable[[str], str]] = [
    parse_device_id,
    parse_event_id,
    parse_room_alias,
    parse_room_id,
    parse_room_id_or_alias,
    parse_server_name,
    parse_user_id,
]

server_names = st.sampled_from(
    [
        "matrix.org",
        "matrix.org:8888",
        "1.2.3.4",
        "1.2.3.4:1234",
        "[1234:5678::abcd]",
        "[1234:5678::abcd]:5678",
        "localhost",
        "UPPER.example",
        "xn--bcher-kva.example",
    ]
)
historical_localparts = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters=":\0"), max_size=40
)


@given(historical_localparts, server_names)
def test_user_ids_round_trip_even_historical_ones(localpart: str, server: str) -> None:
    text = f"@{localpart}:{server}"
    assert parse_user_id(text) == text
    assert (localpart_of(text), server_of(text)) == (localpart, server)


@given(historical_localparts.filter(bool), server_names)
def test_room_aliases_round_trip(localpart: str, server: str) -> None:
    text = f"#{localpart}:{server}"
    assert parse_room_alias(text) == text
    assert parse_room_id_or_alias(text) == text
    assert (localpart_of(text), server_of(text)) == (localpart, server)


@pytest.mark.parametrize("parse", PARSERS)
@given(text=st.text() | st.text("@!#$:.ab[]1\0\ud800", max_size=12))
def test_any_text_is_either_that_identifier_or_refused(parse: Callable[[str], str], text: str) -> None:
    try:
        assert parse(text) == text
    except MatrixError:
        return
    assert len(text.encode()) <= 512
    assert "\0" not in text


@given(server_names)
def test_server_names_of_the_specification(name: str) -> None:
    assert parse_server_name(name) == name


@pytest.mark.parametrize(
    "name",
    [
        "",
        ":8448",
        "matrix.org:",
        "matrix.org:123456",
        "matrix.org:8448:1",
        "matrix.org/path",
        "user@matrix.org",
        "my_server.org",
        "bücher.example",
        "[::1",
        "[1:2]",
        "[zz::1]",
        "[::1%eth0]",
        "[fe80::1]x",
        "a b",
        "matrix.org\n",
        "matrix.org:\uff18\uff14\uff14\uff18",
        "a" * 256,
    ],
)
def test_what_is_no_server_name(name: str) -> None:
    with pytest.raises(InvalidParam):
        parse_server_name(name)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "@",
        "alice:example.org",
        "@alice",
        "@alice:",
        "@alice:bad server",
        "@al\0ice:example.org",
        "@a:b:c:d",
        "!alice:example.org",
        "@\ud800:example.org",
        "@" + "a" * 244 + ":example.org",
        "@" + "é" * 122 + ":example.org",
    ],
)
def test_what_is_no_user_id(text: str) -> None:
    with pytest.raises(InvalidParam):
        parse_user_id(text)


def test_identifiers_may_have_255_bytes() -> None:
    assert parse_user_id("@" + "a" * 242 + ":example.org")
    assert parse_user_id("@" + "é" * 121 + ":example.org")


@pytest.mark.parametrize(
    "text",
    [
        "!opaque:example.org",
        "!31hneApxJ_1o-63DmFrpeqnkFfWppnzWso1JvH3ogLM",
        "!a:b_c",
        "!日:x",
        "!a:b:8448",
        "!a:[::1]:1",
    ],
)
def test_room_ids_of_every_version_are_opaque(text: str) -> None:
    assert parse_room_id(text) == text
    assert parse_room_id_or_alias(text) == text


@pytest.mark.parametrize(
    "text",
    ["", "!", "#a:b", "room:example.org", "!a\0b", "!" + "a" * 255, "!a:b:http", "!a:[::1]:x", "!a:b:"],
)
def test_what_is_no_room_id(text: str) -> None:
    with pytest.raises(InvalidParam):
        parse_room_id(text)


@pytest.mark.parametrize("text", ["", "#", "#:example.org", "#alias", "!a:b", "#a\0:b", "#a:b c"])
def test_what_is_no_room_alias(text: str) -> None:
    with pytest.raises(InvalidParam):
        parse_room_alias(text)


@pytest.mark.parametrize(
    "text", ["$opaque:example.org", "$acR1l0raoZnm60CBwAVgqbZqoO/mYU81xysh1u7XcJk", "$Rqn-_x"]
)
def test_event_ids_of_every_version_are_opaque(text: str) -> None:
    assert parse_event_id(text) == text


@pytest.mark.parametrize("text", ["", "$", "event", "$a\0", "$\ud800", "$" + "a" * 255])
def test_what_is_no_event_id(text: str) -> None:
    with pytest.raises(InvalidParam):
        parse_event_id(text)


@pytest.mark.parametrize("localpart", ["a", "alice", "_bridge_1", "a.b=c-d/e+f", "0"])
def test_localparts_that_may_be_registered(localpart: str) -> None:
    assert validate_new_localpart(localpart, "example.org") == localpart


@pytest.mark.parametrize("localpart", ["", "Alice", "al ice", "älice", "a:b", "a@b", "a\n", "a" * 244])
def test_localparts_that_may_not_be_registered(localpart: str) -> None:
    with pytest.raises(InvalidUsername):
        validate_new_localpart(localpart, "example.org")


@pytest.mark.parametrize("text", ["", "a\0b", "\ud800", "x" * 513])
def test_what_is_no_device_id(text: str) -> None:
    with pytest.raises(InvalidParam):
        parse_device_id(text)


def test_no_server_is_read_where_there_is_none() -> None:
    assert server_of("@nobody") == ""

import enum
from typing import Any, Literal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from homeserver.http.decoding import body_decoder, text_decoder, values_decoder
from homeserver.http.request import Request
from homeserver.protocol.errors import BadJson, InvalidParam, MatrixError, MissingParam, NotJson
from homeserver.protocol.identifiers import DeviceID, EventID, RoomAlias, RoomID, ServerName, UserID


class Colour(enum.Enum):
    RED = "red"


class Token:
    def __init__(self, text: str) -> None:
        self.text = text

    @classmethod
    def parse(cls, text: str) -> "Token":
        if not text.startswith("s"):
            raise ValueError("not a token")
        return cls(text)


class Inner(msgspec.Struct, frozen=True):
    room: RoomID | None = None


class Outer(msgspec.Struct, frozen=True):
    user: UserID
    others: list[UserID] = []
    devices: dict[UserID, dict[DeviceID, int]] = {}
    inner: Inner | None = None
    content: dict[str, Any] = {}


def body(data: bytes) -> Request:
    return Request("POST", "/", {}, data, "192.0.2.1", "r-1")


def decode(kind: Any, data: bytes, empty_body_ok: bool = False) -> Any:
    return body_decoder(kind, empty_body_ok)(body(data))


@pytest.mark.parametrize(
    ("kind", "good", "bad"),
    [
        (bool, "true", "True"),
        (bool, "false", "1"),
        (int, "-12", "1_0"),
        (int, "0", " 1"),
        (int, "1", "1.0"),
        (int, "1", "\u0661"),
        (int, "1", "9" * 30),
        (Colour, "red", "RED"),
        (Literal["a", "b"], "a", "c"),
        (str, "anything", "nul\x00"),
        (UserID, "@a:b", "a:b"),
        (RoomID, "!a:b", "#a:b"),
        (RoomAlias, "#a:b", "!a:b"),
        (EventID, "$a", "a"),
        (ServerName, "a.b:80", "a b"),
        (Token, "s1", "t1"),
        (int | None, "1", ""),
    ],
)
def test_text_is_read_strictly(kind: Any, good: str, bad: str) -> None:
    decoder = text_decoder(kind)
    decoder(good)
    with pytest.raises(InvalidParam):
        decoder(bad)


def test_a_tuple_takes_every_value_of_a_repeated_key() -> None:
    assert values_decoder(tuple[int, ...])(["1", "2"]) == (1, 2)


def test_anything_else_takes_the_last_value() -> None:
    assert values_decoder(int)(["1", "2"]) == 2


@pytest.mark.parametrize(
    "data", [b"", b"{", b'{"a":1} x', b"\xff", b'{"a":NaN}', b'{"a":Infinity}', b'"\\ud800"', b"[" * 5000]
)
@pytest.mark.parametrize("kind", [dict[str, Any], Outer])
def test_what_is_not_json_is_not_json(kind: Any, data: bytes) -> None:
    with pytest.raises(NotJson):
        decode(kind, data)


@pytest.mark.parametrize("data", [b"[]", b"1", b'"x"', b"null"])
@pytest.mark.parametrize("kind", [dict[str, Any], Outer])
def test_json_of_the_wrong_type_is_bad_json(kind: Any, data: bytes) -> None:
    with pytest.raises(BadJson):
        decode(kind, data)


def test_bad_json_names_the_path() -> None:
    with pytest.raises(BadJson, match=r"\$\.others\[1\]"):
        decode(Outer, b'{"user":"@a:b","others":["@a:b",1]}')


def test_json_that_breaks_off_after_a_wrong_type_is_not_json() -> None:
    with pytest.raises(NotJson):
        decode(Outer, b'{"user":1,')


def test_a_missing_field_is_a_missing_parameter() -> None:
    with pytest.raises(MissingParam, match="user"):
        decode(Outer, b"{}")


def test_unknown_fields_are_ignored() -> None:
    assert decode(Outer, b'{"user":"@a:b","new":1}').user == "@a:b"


@pytest.mark.parametrize(
    ("data", "path"),
    [
        (b'{"user":"a"}', r"\$\.user"),
        (b'{"user":"@a:b","others":["@a:b","x"]}', r"\$\.others\[1\]"),
        (b'{"user":"@a:b","devices":{"x":{}}}', r"\$\.devices\.x"),
        (b'{"user":"@a:b","inner":{"room":"x"}}', r"\$\.inner\.room"),
    ],
)
def test_identifiers_inside_structs_are_checked(data: bytes, path: str) -> None:
    with pytest.raises(InvalidParam, match=path):
        decode(Outer, data)


def test_an_empty_body_is_an_object_only_where_declared() -> None:
    assert decode(Inner, b"", empty_body_ok=True) == Inner()
    assert decode(dict[str, Any], b" \n", empty_body_ok=True) == {}
    with pytest.raises(NotJson):
        decode(Inner, b"")


def test_raw_bodies_come_as_they_are() -> None:
    assert decode(bytes, b"\x00\xff") == b"\x00\xff"


@pytest.mark.parametrize("kind", [dict[str, Any], Outer])
def test_integers_beyond_json_stay_recognisable(kind: Any) -> None:
    """What checks canonical JSON must see that they are no integers within its range."""
    value = decode(kind, b'{"user":"@a:b","content":{"n":9007199254740993,"big":36893488147419103232}}')
    content = value["content"] if isinstance(value, dict) else value.content
    assert content["n"] == 9007199254740993
    assert isinstance(content["big"], float) or content["big"] == 36893488147419103232


@given(st.binary(max_size=200))
def test_any_bytes_are_decoded_or_refused(data: bytes) -> None:
    for kind in (dict[str, Any], Outer):
        assert outcome(kind, data) in {None, "M_NOT_JSON", "M_BAD_JSON", "M_MISSING_PARAM", "M_INVALID_PARAM"}


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    )
)
def test_any_json_is_decoded_or_refused(value: Any) -> None:
    data = msgspec.json.encode({"user": "@a:b", "inner": value}) if _encodable(value) else b"{}"
    assert outcome(Outer, data) in {None, "M_BAD_JSON", "M_MISSING_PARAM", "M_INVALID_PARAM"}


def outcome(kind: Any, data: bytes) -> str | None:
    """Return the error's code, or None when there is none."""
    try:
        decode(kind, data)
    except MatrixError as error:
        return error.errcode
    return None


def _encodable(value: Any) -> bool:
    try:
        msgspec.json.encode(value)
    except (OverflowError, UnicodeEncodeError):
        return False
    return True

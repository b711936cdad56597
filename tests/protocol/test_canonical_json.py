"""Canonical JSON: the specification's examples, and equality with the `canonicaljson` library."""

import json
import tracemalloc
from typing import Any

import pytest
from canonicaljson import encode_canonical_json
from hypothesis import given
from hypothesis import strategies as st

from homeserver.protocol.canonical_json import (
    MAX_DEPTH,
    MAX_INTEGER,
    check_canonical,
    check_depth,
    decode,
    encode_canonical,
    encode_lenient,
    with_integers,
)
from homeserver.protocol.errors import BadJson, NotJson
from tests.protocol.pdus import canonical_values, lenient_values

AUTH = """{
    "auth": {
        "success": true,
        "mxid": "@john.doe:example.com",
        "profile": {
            "display_name": "John Doe",
            "three_pids": [
                {"medium": "email", "address": "john.doe@example.org"},
                {"medium": "msisdn", "address": "123456789"}
            ]
        }
    }
}"""
CANONICAL_AUTH = (
    '{"auth":{"mxid":"@john.doe:example.com","profile":{"display_name":"John Doe","three_pids":'
    '[{"address":"john.doe@example.org","medium":"email"},'
    '{"address":"123456789","medium":"msisdn"}]},"success":true}}'
)

# https://spec.matrix.org/v1.19/appendices/#examples
SPEC_EXAMPLES = [
    ("{}", "{}"),
    ('{"one": 1, "two": "Two"}', '{"one":1,"two":"Two"}'),
    ('{"b": "2", "a": "1"}', '{"a":"1","b":"2"}'),
    ('{"b":"2","a":"1"}', '{"a":"1","b":"2"}'),
    (AUTH, CANONICAL_AUTH),
    ('{"a": "日本語"}', '{"a":"日本語"}'),
    ('{"本": 2, "日": 1}', '{"日":1,"本":2}'),
    ('{"a": "\\u65E5"}', '{"a":"日"}'),
    ('{"a": null}', '{"a":null}'),
    ('{"a": -0, "b": 1e10}', '{"a":0,"b":10000000000}'),
]


@pytest.mark.parametrize(("given_json", "canonical"), SPEC_EXAMPLES)
def test_examples_of_the_specification(given_json: str, canonical: str) -> None:
    assert encode_canonical(with_integers(decode(given_json))).decode() == canonical


@given(canonical_values)
def test_canonical_form_equals_that_of_canonicaljson(value: Any) -> None:
    check_canonical(value)
    assert encode_canonical(value) == encode_lenient(value) == encode_canonical_json(value)


@given(lenient_values)
def test_lenient_form_equals_that_of_canonicaljson(value: Any) -> None:
    assert encode_lenient(value) == encode_canonical_json(value)


@given(lenient_values)
def test_what_is_written_is_read_back(value: Any) -> None:
    again = decode(encode_lenient(value))
    assert again == value
    assert encode_lenient(again) == encode_lenient(value)


@given(st.binary())
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    try:
        decode(data)
    except NotJson:
        return
    json.loads(data)


def test_keys_are_sorted_by_code_point_beyond_the_basic_plane() -> None:
    value = {"\U0001f600": 1, "\uffff": 2, "\ue000": 3, "a": 4, "": 5}
    assert list(json.loads(encode_canonical(value))) == ["", "a", "\ue000", "\uffff", "\U0001f600"]
    assert encode_canonical(value) == encode_canonical_json(value)


def test_control_characters_take_their_shortest_escape() -> None:
    value = "".join(map(chr, range(0x20))) + '"\\/\x7f\u2028'
    assert encode_canonical(value) == encode_canonical_json(value)


@pytest.mark.parametrize("big", [2**63, 2**64, -(2**63) - 1, 10**40, 10**400])
def test_integers_beyond_64_bits_stay_exact(big: int) -> None:
    text = b'{"a":%d}' % big
    assert decode(text) == {"a": big}
    assert encode_canonical({"a": big}) == encode_lenient({"a": big}) == text


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"{",
        b"NaN",
        b"[Infinity]",
        b"-Infinity",
        b'"\\ud800"',
        b'{"\\udfff": 1}',
        b'"\xff"',
        b'"\xed\xa0\x80"',
        b"\xef\xbb\xbf{}",
        b"[" * 100_000,
        b"[" * 2_000 + b"]" * 2_000,
        b"01",
        b"1e400",
        b"[12345678901234567890, 1e400]",
        b"[12345678901234567890, NaN]",
        b'[12345678901234567890, "\\ud800"]',
        b"[12345678901234567890",
        b"\xff12345678901234567890",
        b"\xef\xbb\xbf12345678901234567890",
        "12345678901234567890".encode("utf-16"),
        b"[" * 2_000 + b"12345678901234567890" + b"]" * 2_000,
        b"1" * 5_000,
        b"'a'",
        b"{}{}",
    ],
)
def test_what_is_not_json_is_refused(text: bytes) -> None:
    with pytest.raises(NotJson):
        decode(text)


def test_text_may_be_given_as_a_string() -> None:
    assert decode('{"a": "é"}') == {"a": "é"}
    with pytest.raises(NotJson):
        decode("\ud800")


@pytest.mark.parametrize(
    "value",
    [
        MAX_INTEGER + 1,
        -MAX_INTEGER - 1,
        1.5,
        1.0,
        float("nan"),
        {"a": [{"b": 0.1}]},
        {"a": [2**60]},
        (1, 2),
        b"bytes",
        {"a": {1, 2}},
    ],
)
def test_values_that_are_not_canonical_are_refused(value: Any) -> None:
    with pytest.raises(BadJson):
        check_canonical(value)


@pytest.mark.parametrize(
    "value", [MAX_INTEGER, -MAX_INTEGER, True, False, None, "", [], {}, {"a": [[], {}, None]}]
)
def test_values_that_are_canonical_are_accepted(value: Any) -> None:
    check_canonical(value)


@pytest.mark.parametrize("check", [check_canonical, check_depth])
@pytest.mark.parametrize("kind", ["list", "dict"])
def test_nesting_has_a_limit_that_can_still_be_written(check: Any, kind: str) -> None:
    def nested(levels: int, innermost: Any) -> Any:
        value = innermost
        for _ in range(levels):
            value = [value] if kind == "list" else {"a": value}
        return value

    for one_level in ([], {}, [1], {"a": 1}):
        check(nested(MAX_DEPTH - 1, one_level))
        encode_canonical(nested(MAX_DEPTH - 1, one_level))
        with pytest.raises(BadJson):
            check(nested(MAX_DEPTH, one_level))


@pytest.mark.parametrize("value", ["\ud800", {"\udc00": 1}, ["a\udbff"]])
def test_lone_surrogates_have_no_canonical_form(value: Any) -> None:
    for encode in (encode_canonical, encode_lenient):
        with pytest.raises(BadJson):
            encode(value)


def test_endless_nesting_has_no_canonical_form() -> None:
    value: list[Any] = []
    value.append(value)
    with pytest.raises(BadJson):
        encode_canonical(value)


def test_not_a_number_has_no_lenient_form() -> None:
    with pytest.raises(BadJson):
        encode_lenient([float("nan")])
    with pytest.raises(BadJson):
        encode_lenient([float("inf")])


def test_only_integral_floats_within_range_become_integers() -> None:
    assert with_integers([1e10, -0.0, 1.5, 1e300, True]) == [10**10, 0, 1.5, 1e300, True]
    assert [type(value) for value in with_integers([1.0, 1.5, 1e300])] == [int, float, float]


def test_encoded_values_take_little_more_memory_than_their_length() -> None:
    tracemalloc.start()
    try:
        kept = [encode_canonical({"number": number, "text": "x" * 300}) for number in range(1000)]
        taken, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert taken < 2 * sum(map(len, kept))

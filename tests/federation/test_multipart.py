"""Content with its metadata in one answer, in whatever pieces it comes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from federation.wire.multipart import Malformed, TwoParts, boundary_of, closing, opening

CONTENT = st.one_of(
    st.binary(max_size=200),
    st.lists(st.sampled_from([b"\r\n", b"--", b"b", b"\r\n--b", b"\r", b"\n", b"--b--"]), max_size=20).map(
        b"".join
    ),
)


def read(body: bytes, size: int, boundary: str = "boundary") -> tuple[TwoParts, bytes]:
    parts = TwoParts(boundary)
    content = b"".join(parts.feed(body[start : start + size]) for start in range(0, len(body), size))
    return parts, content


@given(CONTENT, st.integers(1, 60), st.sampled_from(["boundary", "bc", "-"]))
def test_what_is_written_is_read_in_any_pieces(content: bytes, size: int, boundary: str) -> None:
    if f"\r\n--{boundary}".encode() in b"\r\n" + content:
        return  # whoever chooses a boundary sees to that
    headers = {"Content-Type": "image/png", "Content-Disposition": "inline; filename*=utf-8''%D1%8F"}
    parts, found = read(opening(boundary, headers) + content + closing(boundary), size, boundary)
    assert (found, parts.complete) == (content, True)
    assert parts.headers == {name.lower(): value for name, value in headers.items()}


@given(st.binary(max_size=300), st.integers(1, 60))
def test_no_bytes_are_more_than_malformed(body: bytes, size: int) -> None:
    try:
        parts, _ = read(b"--b\r\n" + body, size, "b")
        assert parts.complete in (True, False)
    except Malformed:
        pass


@pytest.mark.parametrize(
    "body",
    [
        b"preamble\r\n--b\r\nContent-Type: application/json\r\n\r\n{}\r\n--b\r\nA: 1\r\n\r\nxyz\r\n--b--",
        b"--b  \r\n\r\n{}\r\n--b\t\r\nA: 1\r\n\r\nxyz\r\n--b--\r\nepilogue\r\n--b",
        b"\r\n--b\r\nC: d\r\n\r\n\r\n--b\r\na:1\r\n\r\nxyz\r\n--b\r\n",
    ],
)
def test_other_ways_to_write_it(body: bytes) -> None:
    for size in (1, 7, 1000):
        parts, content = read(body, size, "b")
        assert (content, parts.headers, parts.complete) == (b"xyz", {"a": "1"}, True)


@pytest.mark.parametrize(
    ("header", "boundary"),
    [
        ("multipart/mixed; boundary=abc", "abc"),
        ('Multipart/Mixed; charset=x; Boundary="a b:c"', "a b:c"),
        ("multipart/mixed;boundary = gc0p4Jq0M2Yt08j34c0p;x=y", "gc0p4Jq0M2Yt08j34c0p"),
    ],
)
def test_the_boundary_is_found(header: str, boundary: str) -> None:
    assert boundary_of(header) == boundary


@pytest.mark.parametrize(
    "header", [None, "", "text/plain; boundary=a", "multipart/mixed", "multipart/mixed; boundary="]
)
def test_without_a_boundary_there_are_no_parts(header: str | None) -> None:
    with pytest.raises(Malformed):
        boundary_of(header)

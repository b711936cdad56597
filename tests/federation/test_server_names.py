"""Server names taken apart."""

import pytest

from federation.client.server_names import HostAndPort, split_server_name
from homeserver.protocol.errors import InvalidParam


@pytest.mark.parametrize(
    ("name", "host", "port", "is_address"),
    [
        ("matrix.org", "matrix.org", None, False),
        ("matrix.org:8888", "matrix.org", 8888, False),
        ("1.2.3.4", "1.2.3.4", None, True),
        ("1.2.3.4:1234", "1.2.3.4", 1234, True),
        ("[1234:5678::abcd]", "1234:5678::abcd", None, True),
        ("[1234:5678::abcd]:5678", "1234:5678::abcd", 5678, True),
        ("[::ffff:1.2.3.4]:1", "::ffff:1.2.3.4", 1, True),
        ("localhost:443", "localhost", 443, False),
        ("2130706433", "2130706433", None, False),
        ("1.2.3.256", "1.2.3.256", None, False),
    ],
)
def test_a_server_name_is_host_and_port(name: str, host: str, port: int | None, is_address: bool) -> None:
    assert split_server_name(name) == HostAndPort(host, port, is_address)


@pytest.mark.parametrize(
    "name",
    [
        "",
        "a b",
        "host:",
        "host:port",
        "host:0",
        "host:65536",
        "host:99999",
        "[::1",
        "::1",
        "[host]",
        "[1::2::3]",
        "user@host",
        "host/path",
        "host?query",
        "höst",
        "host:80:80",
        "host\n",
        "http://host",
    ],
)
def test_what_is_no_server_name_is_refused(name: str) -> None:
    with pytest.raises(InvalidParam):
        split_server_name(name)


def test_an_ipv6_host_is_written_in_brackets() -> None:
    assert split_server_name("[::1]:8448").text == "[::1]"
    assert split_server_name("1.2.3.4").text == "1.2.3.4"

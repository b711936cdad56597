"""The bus in the configuration, and what the doctor says of it."""

import socket
import threading
from pathlib import Path

import pytest

from config.bus import check_redis
from config.errors import ConfigError
from config.loading import parse
from homeserver.app.doctor.bus import check_bus
from homeserver.app.doctor.findings import Finding

SETTINGS = "server_name: test\ndatabase: postgresql://localhost/x\nbus: {{redis: '{}', password: secret}}\n"


def examined(url: str) -> list[Finding]:
    return list(check_bus(parse(SETTINGS.format(url), Path("/nowhere"))))


@pytest.mark.parametrize(
    "url",
    ["redis://localhost", "redis://[::1]:6379/", "rediss://redis.example.org:6380", "unix:///run/redis.sock"],
)
def test_addresses_of_redis_are_taken(url: str) -> None:
    check_redis(url)


@pytest.mark.parametrize(
    "url",
    [
        "localhost:6379",
        "http://localhost",
        "redis://",
        "redis://:secret@localhost",
        "redis://localhost/1",
        "redis://h:0",
        "redis://h:x",
        "unix://run",
    ],
)
def test_what_is_none_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="Redis"):
        check_redis(url)


def test_several_nodes_need_a_database_that_they_share() -> None:
    with pytest.raises(ConfigError, match="several nodes"):
        parse("server_name: test\nbus: {redis: 'redis://localhost'}\n", Path("/nowhere"))


def test_doctor_says_whether_redis_answers() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"redis://127.0.0.1:{server.getsockname()[1]}"

        def answer(text: bytes) -> None:
            connection, _ = server.accept()
            with connection:
                asked.append(connection.recv(1000))
                connection.sendall(text)

        asked: list[bytes] = []
        found = []
        for text in (b"+OK\r\n", b"-WRONGPASS invalid username-password pair\r\n"):
            thread = threading.Thread(target=answer, args=(text,))
            thread.start()
            found += examined(url)
            thread.join()
    assert asked == [b"*2\r\n$4\r\nAUTH\r\n$6\r\nsecret\r\n"] * 2
    good, bad = (str(finding) for finding in found)
    assert "answers" in good
    assert "WRONGPASS" in bad
    assert "cannot be reached" in str(examined(url)[0])


def test_a_server_with_one_node_has_no_bus() -> None:
    config = parse("server_name: test\n", Path("/nowhere"))
    assert list(check_bus(config)) == []

"""`homeserver doctor` and `homeserver migrate`: what they find, on real files, sockets, databases and servers."""

import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from shutil import rmtree
from tempfile import mkdtemp
from typing import Any

import orjson
import pytest
from twisted.internet.defer import Deferred
from twisted.trial.unittest import TestCase

from config.config import Config
from config.loading import load, parse
from federation.client.service_records import ServiceRecord
from homeserver.app.cli import main
from homeserver.app.doctor.certificates import check_certificates
from homeserver.app.doctor.database import check_database
from homeserver.app.doctor.files import check_data_dir, check_settings, check_signing_key
from homeserver.app.doctor.findings import Finding, Level
from homeserver.app.doctor.from_outside import build_from_outside
from homeserver.app.doctor.listening import check_listeners
from homeserver.app.outside import Outside
from homeserver.protocol.events.signing import sign_json
from homeserver.protocol.signing_keys import SigningKey
from tests.config.command import command
from tests.harness.memory import SeededRandom, SteppingClock
from tests.harness.outside import AUTHORITY, Names, Peer, Streets, real_clock, respond
from tests.harness.postgres import TestServer
from tests.harness.process import HomeserverProcess, free_port


def now() -> datetime:
    """What the clock says at this moment, as the database will be asked for its own."""
    return datetime.fromtimestamp(real_clock().now_ms() / 1000, UTC)


KEY = SigningKey("a_doctor", b"d" * 32)


def told(findings: Iterator[Finding] | list[Finding]) -> list[tuple[str, str]]:
    """Level and line of each finding."""
    return [(finding.level.value, finding.line()) for finding in findings]


def configured(folder: Path, text: str, name: str = "my.example") -> Config:
    return parse(f"server_name: {name}\n{text}", folder)


# The server's own files


def test_a_finding_is_one_line_with_its_remedy() -> None:
    assert Finding(Level.FAIL, "port", "it is\n taken", "take\nanother").line() == (
        "fail  port         it is taken -> take another"
    )


def test_unverified_certificates_are_pointed_out(tmp_path: Path) -> None:
    found = told(check_settings(configured(tmp_path, "federation: {verify_tls: false}")))
    assert [level for level, _ in found] == ["ok", "warn"]
    assert "`federation.verify_tls` is off" in found[1][1]


@pytest.mark.parametrize(
    ("bind", "serves", "public"),
    [
        ("0.0.0.0", "[client, metrics]", True),
        ("203.0.113.7", "[metrics]", False),  # a documentation range counts as private
        ("8.8.8.8", "[metrics]", True),
        ("10.0.0.1", "[metrics]", False),
        ("0.0.0.0", "[client]", False),
    ],
)
def test_metrics_that_everybody_can_read(tmp_path: Path, bind: str, serves: str, public: bool) -> None:
    config = configured(tmp_path, f"listeners: [{{bind: {bind}, port: 1234, serves: {serves}}}]")
    assert (
        "shows metrics to everybody" in "".join(line for _, line in told(check_settings(config)))
    ) is public


def test_the_data_directory_may_be_yet_to_make_but_not_a_file(tmp_path: Path) -> None:
    ((level, _),) = told(check_data_dir(configured(tmp_path, "data_dir: not/there")))
    assert level == "ok"
    (tmp_path / "file").touch()
    ((level, line),) = told(check_data_dir(configured(tmp_path, "data_dir: file")))
    assert (level, "chown" in line) == ("fail", True)


def test_the_signing_key_is_missing_bad_open_or_right(tmp_path: Path) -> None:
    config = configured(tmp_path, "signing_key_path: key")
    ((level, line),) = told(check_signing_key(config))
    assert (level, "put it back from your backup" in line) == ("warn", True)
    path = tmp_path / "key"
    path.write_text("rsa 1 abcd\n")
    ((level, _),) = told(check_signing_key(config))
    assert level == "fail"
    path.write_text(KEY.line() + "\n")
    path.chmod(0o644)
    ((level, line),) = told(check_signing_key(config))
    assert (level, line.endswith(f"-> chmod 600 {path}")) == ("warn", True)
    path.chmod(0o600)
    ((level, line),) = told(check_signing_key(config))
    assert (level, "ed25519:a_doctor" in line) == ("ok", True)


# The database


def test_a_database_without_its_schema_is_said_to_need_migrating(
    postgres: TestServer, tmp_path: Path
) -> None:
    config = configured(tmp_path, f"database: {postgres.create_empty_database()!r}")
    found = told(check_database(config, now()))
    schema = next(line for level, line in found if level == "warn" and "schema" in line)
    assert "0001" in schema
    assert "homeserver migrate" in schema
    assert any(line.startswith("ok    clock") for _, line in found)


def test_migrate_applies_what_is_missing_and_says_so(
    postgres: TestServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "homeserver.yaml"
    file.write_text(f"server_name: my.example\ndatabase: {postgres.create_empty_database()!r}\n")
    assert main(["migrate", "-c", str(file)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert any(line.endswith("0001 stream") for line in lines)
    assert lines[-1] == "the schema is up to date"
    assert not [
        line for level, line in told(check_database(load(file), now())) if level == "fail" or "0001" in line
    ]
    assert main(["migrate", "-c", str(file)]) == 0
    assert "0001 stream" not in capsys.readouterr().out


def test_migrate_tells_of_a_database_that_cannot_be_reached(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "homeserver.yaml"
    file.write_text("server_name: my.example\ndatabase: postgresql://x@/nothing?host=/nowhere\n")
    assert main(["migrate", "-c", str(file)]) == 1
    assert "cannot be reached" in capsys.readouterr().err
    ((level, line),) = told(check_database(load(file), now()))
    assert (level, "cannot be reached" in line) == ("fail", True)


def test_clocks_that_differ_are_a_failure(postgres: TestServer, tmp_path: Path) -> None:
    config = configured(tmp_path, f"database: {postgres.create_database()!r}")
    found = told(check_database(config, now() + timedelta(hours=1)))
    (clock,) = [(level, line) for level, line in found if " clock " in line]
    assert clock[0] == "fail"
    assert "NTP" in clock[1]


def test_an_embedded_database_that_was_never_started_is_not_made(tmp_path: Path) -> None:
    ((level, line),) = told(check_database(configured(tmp_path, ""), now()))
    assert (level, "first start makes" in line) == ("ok", True)
    assert not list(tmp_path.iterdir())


# Sockets


@contextmanager
def listening(answer: bytes = b"") -> Iterator[int]:
    """A port on which somebody listens that is not us; connections wait in the queue unless there is an answer."""
    script = (
        "import socket,sys\ns=socket.socket();s.bind(('127.0.0.1',0));s.listen();print(s.getsockname()[1],flush=True)\n"
        "while True:\n c,_=s.accept();c.recv(9999);c.sendall(bytes.fromhex(sys.argv[1]));c.close()"
    )
    with subprocess.Popen([sys.executable, "-c", script, answer.hex()], stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        try:
            yield int(child.stdout.readline())
        finally:
            child.kill()


def test_a_free_port_is_in_order(tmp_path: Path) -> None:
    found = check_listeners(configured(tmp_path, f"listeners: [{{port: {free_port()}}}]"))
    assert [finding.level for finding in found.findings] == [Level.OK]
    assert not found.running


@pytest.mark.parametrize(
    "answer", [b"SSH-2.0-OpenSSH\r\n", b"HTTP/1.1 200 OK\r\n\r\n[]", b"HTTP/1.1 200 OK\r\n\r\n{}"]
)
def test_a_port_that_another_program_has_is_a_failure(tmp_path: Path, answer: bytes) -> None:
    with listening(answer) as port:
        found = check_listeners(configured(tmp_path, f"listeners: [{{port: {port}}}]"))
    ((level, line),) = told(found.findings)
    assert (level, f"127.0.0.1:{port} is taken" in line, found.running) == ("fail", True, False)


def test_an_address_that_the_machine_does_not_have_is_a_failure(tmp_path: Path) -> None:
    found = check_listeners(configured(tmp_path, "listeners: [{bind: 203.0.113.9, port: 8008}]"))
    ((level, line),) = told(found.findings)
    assert (level, "ip address" in line) == ("fail", True)


def test_a_unix_socket_left_behind_is_free_and_one_that_is_answered_is_not(tmp_path: Path) -> None:
    config = configured(tmp_path, "listeners: [{unix: s.sock}]")
    with closing(socket.socket(socket.AF_UNIX)) as server:
        server.bind(str(tmp_path / "s.sock"))
        assert check_listeners(config).findings[0].level is Level.OK
    (tmp_path / "s.sock").unlink()
    with closing(socket.socket(socket.AF_UNIX)) as server:
        server.bind(str(tmp_path / "s.sock"))
        server.listen()
        server.settimeout(0)
        assert check_listeners(config).findings[0].level is Level.FAIL


# Certificates


def certified(folder: Path, names: list[str], days: float, more: str = "") -> Config:
    AUTHORITY.leaf(names, timedelta(days=days)).write(folder)
    tls = "{certificate: tls.crt, private_key: tls.key}"
    return configured(
        folder, f"listeners: [{{port: 8448, serves: [federation, client], tls: {tls}}}]\n{more}"
    )


@pytest.mark.parametrize(
    ("names", "days", "more", "levels"),
    [
        (["my.example"], 90, "", ["ok", "ok", "ok"]),
        (["*.my.example"], 90, "federation: {delegate_to: 'm.my.example:443'}", ["ok", "ok", "fail"]),
        (["my.example"], 5, "", ["warn", "ok", "ok"]),
        (["my.example"], -5, "", ["fail", "ok", "ok"]),
        (["other.example"], 90, "", ["ok", "fail", "fail"]),
        (["m.my.example"], 90, "federation: {delegate_to: 'm.my.example:443'}", ["ok", "ok", "fail"]),
        (["m.my.example"], 90, "public_baseurl: https://m.my.example/", ["ok", "ok", "ok"]),
        (["my.example"], 90, "federation: {enabled: false}\npublic_baseurl: http://x/", ["ok"]),
        (["127.0.0.1"], 90, "federation: {delegate_to: '127.0.0.1:8448'}", ["ok", "ok", "fail"]),
    ],
)
def test_certificates_are_judged_by_names_and_end(
    tmp_path: Path, names: list[str], days: float, more: str, levels: list[str]
) -> None:
    config = certified(tmp_path, names, days, more)
    assert [level for level, _ in told(check_certificates(config, now()))] == levels


def test_a_key_that_is_not_the_certificates_is_a_failure(tmp_path: Path) -> None:
    config = certified(tmp_path, ["my.example"], 90)
    (tmp_path / "tls.key").write_bytes(AUTHORITY.leaf(["my.example"]).private_key)
    ((level, line),) = told(check_certificates(config, now()))
    assert (level, "is not the key of" in line) == ("fail", True)


@pytest.mark.parametrize("name", ["tls.crt", "tls.key"])
def test_files_without_a_certificate_or_key_are_failures(tmp_path: Path, name: str) -> None:
    config = certified(tmp_path, ["my.example"], 90)
    (tmp_path / name).write_text("nothing")
    ((level, line),) = told(check_certificates(config, now()))
    assert (level, f"{name} holds no" in line) == ("fail", True)


# As others find it: web servers on loopback with real TLS, at the addresses of an Internet in memory

HOST = "203.0.113.1"
BASE = "https://my.example"


class FromOutsideTests(TestCase):
    """`self.answers` is what the web server of my.example says, by port and path."""

    timeout = 30

    def setUp(self) -> None:
        self.clock = SteppingClock()
        self.streets = Streets()
        self.records: dict[str, list[ServiceRecord]] = {}
        self.answers: dict[int, dict[str, Any]] = {443: {}, 8448: {}}
        self.headers: Mapping[str, str] = {"Access-Control-Allow-Origin": "*"}
        for port in self.answers:
            self.serve(port, "my.example")
        self.answers[443]["/_matrix/client/versions"] = {"versions": ["v1.1"]}
        self.answers[443]["/.well-known/matrix/client"] = {"m.homeserver": {"base_url": BASE}}
        self.answers[8448]["/_matrix/federation/v1/version"] = {
            "server": {"name": "Meridian", "version": "1"}
        }
        self.answers[8448]["/_matrix/key/v2/server"] = self.document(KEY)

    def serve(self, port: int, certificate_for: str) -> None:
        def answer(request: Any) -> None:
            found = self.answers[port].get(request.path.decode())
            body = b"{}" if found is None else orjson.dumps(found)
            respond(request, 404 if found is None else 200, body, **self.headers)

        peer = Peer(answer, AUTHORITY.leaf([certificate_for])).start()
        self.streets.houses[HOST, port] = peer.port
        self.addCleanup(lambda: Deferred.fromCoroutine(peer.stop()))

    def document(self, key: SigningKey, server: str = "my.example") -> dict[str, Any]:
        keys = {key.key_id: {"key": key.verify_key.text()}}
        until = self.clock.now_ms() + 3_600_000
        unsigned = {
            "server_name": server,
            "verify_keys": keys,
            "old_verify_keys": {},
            "valid_until_ts": until,
        }
        return sign_json(unsigned, server, key)

    async def services(self, service: str) -> list[ServiceRecord]:
        return self.records.get(service, [])

    async def examine(self, settings: str = "", name: str = "my.example") -> dict[str, list[str]]:
        """The lines, by their first word."""
        folder = Path(mkdtemp())
        self.addCleanup(rmtree, folder)
        AUTHORITY.write(folder / "ca.pem")
        text = f"public_baseurl: {BASE}/\nfederation: {{ca_file: ca.pem{settings}}}"
        outside = Outside(self.streets, Names(my_example=HOST), self.services)
        asking = build_from_outside(configured(folder, text, name), KEY, outside, self.clock, SeededRandom())
        found: dict[str, list[str]] = {"ok": [], "warn": [], "fail": []}
        async for finding in asking.check():
            found[finding.level.value].append(finding.line())
        await asking.close()
        return found

    async def test_all_in_order(self) -> None:
        found = await self.examine()
        assert (len(found["ok"]), found["warn"], found["fail"]) == (4, [], [])
        assert found["ok"][-1].endswith("my.example answers at my.example:8448: Meridian 1")

    async def test_federation_switched_off_is_not_tried(self) -> None:
        self.answers[8448].clear()
        found = await self.examine(", enabled: false")
        assert found["fail"] == []

    async def test_a_server_for_trying_out_is_not_looked_for(self) -> None:
        found = await self.examine(name="localhost")
        assert (len(found["ok"]), len(found["warn"]), found["fail"]) == (1, 1, [])
        assert "begin anew with a name of your own" in found["warn"][0]

    async def test_a_proxy_that_keeps_matrix_to_itself(self) -> None:
        del self.answers[443]["/_matrix/client/versions"]
        (line,) = (await self.examine())["fail"]
        assert "all of /_matrix" in line

    async def test_no_file_for_clients(self) -> None:
        del self.answers[443]["/.well-known/matrix/client"]
        (line,) = (await self.examine())["warn"]
        assert f"people have to type {BASE}" in line

    async def test_a_file_for_clients_that_names_another_address(self) -> None:
        self.answers[443]["/.well-known/matrix/client"] = {
            "m.homeserver": {"base_url": "https://old.example"}
        }
        (line,) = (await self.examine())["fail"]
        assert "tells https://old.example" in line

    async def test_a_file_for_clients_that_browsers_may_not_read(self) -> None:
        self.headers = {}
        (line,) = (await self.examine())["fail"]
        assert "Access-Control-Allow-Origin" in line

    async def test_delegation_that_is_configured_and_not_served(self) -> None:
        found = await self.examine(", delegate_to: 'my.example:443'")
        assert "tells nothing, `federation.delegate_to` is my.example:443" in found["fail"][0]

    async def test_delegation_that_works(self) -> None:
        self.answers[443] |= {
            **self.answers.pop(8448),
            "/.well-known/matrix/server": {"m.server": "my.example:443"},
        }
        found = await self.examine(", delegate_to: 'my.example:443'")
        assert (found["fail"], found["warn"]) == ([], [])
        assert "answers at my.example:443" in found["ok"][-1]

    async def test_nobody_where_others_connect_to(self) -> None:
        del self.streets.houses[HOST, 8448]
        (line,) = (await self.examine())["fail"]
        assert "my.example cannot be reached at my.example:8448" in line
        assert "firewall" in line

    async def test_a_certificate_of_another_name(self) -> None:
        self.serve(8448, "other.example")
        (line,) = (await self.examine())["fail"]
        assert "its certificate has to be good for that name" in line

    async def test_another_server_with_our_name(self) -> None:
        self.answers[8448]["/_matrix/key/v2/server"] = self.document(SigningKey("a_other", b"o" * 32))
        (line,) = (await self.examine())["fail"]
        assert "ed25519:a_other, and ours is ed25519:a_doctor" in line

    async def test_a_key_of_our_id_that_is_not_ours(self) -> None:
        self.answers[8448]["/_matrix/key/v2/server"] = self.document(SigningKey("a_doctor", b"x" * 32))
        (line,) = (await self.examine())["fail"]
        assert "another server has this name" in line

    async def test_something_else_where_others_connect_to(self) -> None:
        self.answers[8448].clear()
        (line,) = (await self.examine())["fail"]
        assert "who answers at my.example:8448 is not this server" in line


# The command, and servers that run


@pytest.mark.system
def test_doctor_finds_a_running_server_in_order(server: HomeserverProcess) -> None:
    status, lines = command(server.config, "doctor")
    assert status == 0, lines
    assert f"ok    port         127.0.0.1:{server.port}: this server listens there" in lines
    assert f"ok    port         127.0.0.1:{server.tls_port}: this server listens there" in lines
    assert any(line.startswith(f"ok    federation   {server.server_name} answers") for line in lines)
    assert f"ok    clients      {server.url} answers" in lines


@pytest.mark.system
def test_doctor_sees_that_another_server_has_the_ports(server: HomeserverProcess, tmp_path: Path) -> None:
    file = tmp_path / "homeserver.yaml"
    file.write_text(f"server_name: other.example\nlisteners: [{{port: {server.port}}}]\n")
    status, lines = command(file, "doctor")
    assert status == 1
    assert any(f"is taken by the Matrix server {server.server_name}" in line for line in lines)
    assert any(line.startswith("warn  outside") for line in lines)


def test_doctor_ends_at_a_configuration_that_is_wrong(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "homeserver.yaml"
    file.write_text("server_name: my.example\nlisteners: [{prot: 1}]\n")
    assert main(["doctor", "-c", str(file)]) == 1
    first, *_, last = capsys.readouterr().out.splitlines()
    assert first.startswith(f"fail  config       {file}:2: listeners[0].prot: unknown key")
    assert last == "1 to be mended, 0 to be looked at, 0 in order"

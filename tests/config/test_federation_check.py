"""`homeserver federation check`: another server step by step, on real sockets with real TLS, and our records of it."""

from email.utils import formatdate
from pathlib import Path
from shutil import rmtree
from tempfile import mkdtemp
from typing import Any

import orjson
import pytest
from twisted.internet.defer import Deferred
from twisted.trial.unittest import TestCase

from config.loading import parse
from federation.client.service_records import ServiceRecord
from homeserver.app.doctor.other_server import build_other_server, standing_findings
from homeserver.app.outside import Outside
from homeserver.protocol.events.signing import sign_json
from homeserver.protocol.identifiers import ServerName
from homeserver.protocol.signing_keys import SigningKey
from homeserver.services.destination_standing import MANY, Standing
from storage.tables.destinations import FailingDestination
from tests.config.command import command
from tests.harness.memory import SeededRandom, SteppingClock
from tests.harness.outside import AUTHORITY, Names, Peer, Streets, respond
from tests.harness.process import HomeserverProcess, free_port

HOST = "203.0.113.9"
OTHER = ServerName("other.example")
KEY = SigningKey("a_other", b"o" * 32)


class OtherServerTests(TestCase):
    """`self.answers` is what other.example says, by port and path."""

    timeout = 30

    def setUp(self) -> None:
        self.clock = SteppingClock()
        self.streets = Streets()
        self.records: dict[str, list[ServiceRecord]] = {}
        self.date = formatdate(self.clock.now_ms() / 1000, usegmt=True)
        self.answers: dict[int, dict[str, Any]] = {443: {}, 8448: {}}
        self.answers[8448]["/_matrix/federation/v1/version"] = {"server": {"name": "Other", "version": "2"}}
        self.answers[8448]["/_matrix/key/v2/server"] = self.document()
        self.serve(443, OTHER)
        self.serve(8448, OTHER)

    def serve(self, port: int, certificate_for: str) -> None:
        def answer(request: Any) -> None:
            found = self.answers[port].get(request.path.decode())
            body = b"{}" if found is None else orjson.dumps(found)
            respond(request, 404 if found is None else 200, body, Date=self.date)

        peer = Peer(answer, AUTHORITY.leaf([certificate_for])).start()
        self.streets.houses[HOST, port] = peer.port
        self.addCleanup(lambda: Deferred.fromCoroutine(peer.stop()))

    def document(self, server: str = OTHER, good_for_ms: int = 3_600_000) -> dict[str, Any]:
        unsigned = {
            "server_name": server,
            "verify_keys": {KEY.key_id: {"key": KEY.verify_key.text()}},
            "old_verify_keys": {},
            "valid_until_ts": self.clock.now_ms() + good_for_ms,
        }
        return sign_json(unsigned, server, KEY)

    async def services(self, service: str) -> list[ServiceRecord]:
        return self.records.get(service, [])

    async def check(self, server: str = OTHER, settings: str = "") -> dict[str, list[str]]:
        """The lines, by their first word."""
        folder = Path(mkdtemp())
        self.addCleanup(rmtree, folder)
        AUTHORITY.write(folder / "ca.pem")
        text = f"server_name: my.example\nfederation: {{ca_file: ca.pem, allow_networks: [203.0.113.0/24]{settings}}}"
        outside = Outside(self.streets, Names(other_example=HOST), self.services)
        asking = build_other_server(
            ServerName(server), parse(text, folder), outside, self.clock, SeededRandom()
        )
        found: dict[str, list[str]] = {"ok": [], "warn": [], "fail": []}
        async for finding in asking.check():
            found[finding.level.value].append(finding.line())
        await asking.close()
        return found

    async def test_a_server_in_order_is_told_step_by_step(self) -> None:
        found = await self.check()
        assert (found["warn"], found["fail"]) == ([], [])
        subjects = [line.split()[1] for line in found["ok"]]
        assert subjects == ["well-known", "discovery", "connection", "keys", "clock"]
        assert "other.example:8448" in found["ok"][1]
        assert found["ok"][2].endswith("Other 2")
        assert KEY.key_id in found["ok"][3]

    async def test_a_delegation_is_followed_and_told(self) -> None:
        self.answers[443]["/.well-known/matrix/server"] = {"m.server": "other.example:4443"}
        self.answers[4443] = self.answers[8448]
        self.serve(4443, OTHER)
        found = await self.check()
        assert "tells other.example:4443" in found["ok"][0]
        assert any("other.example:4443 answers" in line for line in found["ok"])

    async def test_each_place_of_a_service_record_is_tried(self) -> None:
        self.records["_matrix-fed._tcp.other.example"] = [
            ServiceRecord(priority=1, weight=1, port=1, host="other.example", ttl_s=60),
            ServiceRecord(priority=2, weight=1, port=8448, host="other.example", ttl_s=60),
        ]
        found = await self.check()
        assert [line.split()[1] for line in found["fail"]] == ["connection"]
        assert "other.example:1 cannot be reached" in found["fail"][0]
        assert any("other.example:8448 answers" in line for line in found["ok"])

    async def test_a_certificate_for_another_name_is_told_as_such(self) -> None:
        self.serve(8448, "someone.example")
        found = await self.check()
        assert "its operator has to mend the certificate" in found["fail"][0]
        assert not any(line.split()[1] == "keys" for line in found["ok"])

    async def test_another_server_under_the_name_is_found_out(self) -> None:
        self.answers[8448]["/_matrix/key/v2/server"] = self.document("third.example")
        found = await self.check()
        assert "who answers is third.example, not other.example" in found["fail"][0]

    async def test_a_clock_that_is_off_is_pointed_out(self) -> None:
        self.date = formatdate(self.clock.now_ms() / 1000 - 600, usegmt=True)
        found = await self.check()
        assert "600 s behind ours" in found["warn"][0]

    async def test_an_address_that_may_not_be_connected_to_is_refused(self) -> None:
        found = await self.check("127.0.0.1:8448")
        assert "of a network that is not allowed" in found["fail"][0]

    async def test_a_server_that_is_kept_out_is_told_to_be(self) -> None:
        found = await self.check(settings=", deny_domains: [other.example]")
        assert "keeps other.example out" in found["fail"][0]

    async def test_what_is_no_name_is_refused(self) -> None:
        found = await self.check("not a name")
        assert "not a name is no server name" in found["fail"][0]


def test_what_is_owed_and_when_it_is_tried_again_is_told() -> None:
    failing = FailingDestination(OTHER, 1_700_000_000_000, 1_700_000_100_000, 50_000)
    lines = [each.line() for each in standing_findings(Standing(3, MANY, 2, failing), 1_700_000_040_000)]
    assert "3 shared with it" in lines[0]
    assert "not answered since 2023-11-14 22:13 UTC, and is tried again in 60 s" in lines[1]
    assert "over 1000 events and 2 messages to devices wait" in lines[2]
    lines = [each.line() for each in standing_findings(Standing(0, 0, 0, None), 0)]
    assert [line.split()[0] for line in lines] == ["ok", "ok", "ok"]


@pytest.mark.system
def test_a_running_server_is_found_in_order(server: HomeserverProcess) -> None:
    status, lines = command(server.config, "federation", "check", server.server_name)
    assert status == 0, lines
    assert any(line.startswith("ok    keys") for line in lines)
    assert "ok    rooms        0 shared with it" in lines
    assert lines[-1].startswith("0 to be mended, 0 to be looked at")


@pytest.mark.system
def test_nobody_there_is_a_failure(server: HomeserverProcess) -> None:
    status, lines = command(server.config, "federation", "check", f"127.0.0.1:{free_port()}")
    assert status == 1
    assert any(line.startswith("fail  connection") for line in lines)
    assert "ok    owed         it has been sent everything" in lines

"""Other servers' keys: where they are got from, what is believed, how long, and how seldom anybody is asked."""

from typing import Any

import orjson
import pytest
from twisted.internet.defer import Deferred

from federation.client.key_documents import LONGEST_VALIDITY_MS, read_document
from federation.keyring import KeyRequest
from homeserver.protocol.base64 import encode_base64
from homeserver.protocol.canonical_json import encode_canonical
from homeserver.protocol.errors import BadJson, InvalidSignature
from homeserver.protocol.events.signing import sign_json, verify_json
from homeserver.protocol.identifiers import ServerName
from homeserver.protocol.signing_keys import SigningKey, VerifyKey
from tests.federation.homeservers import Homeserver, Internet
from tests.harness.outside import AUTHORITY, Peer, respond

NOW = 1_700_000_000_000
HOUR = 3_600_000
DAY = 24 * HOUR
REMOTE = ServerName("remote.example")


def signing_key(version: str) -> SigningKey:
    return SigningKey(version, version.encode().ljust(32, b"."))


def document(
    *keys: SigningKey,
    server: str = REMOTE,
    valid_until: int = NOW + DAY,
    old: dict[str, dict[str, Any]] | None = None,
    **more: Any,
) -> dict[str, Any]:
    """A document of keys, signed by all of them."""
    unsigned: dict[str, Any] = {
        "server_name": server,
        "verify_keys": {key.key_id: {"key": key.verify_key.text()} for key in keys},
        "old_verify_keys": old or {},
        "valid_until_ts": valid_until,
        **more,
    }
    for key in keys:
        unsigned = sign_json(unsigned, server, key)
    return unsigned


ONE, TWO = signing_key("one"), signing_key("two")


def test_a_document_signed_by_its_server_is_read() -> None:
    old = {"ed25519:old": {"key": TWO.verify_key.text(), "expired_ts": NOW - HOUR}}
    published = read_document(document(ONE, old=old, extra={"kept": True}), NOW, direct=True)
    assert published.keys == {
        "ed25519:one": VerifyKey("ed25519:one", ONE.verify_key.public, NOW + DAY),
        "ed25519:old": VerifyKey("ed25519:old", TWO.verify_key.public, NOW - HOUR, expired=True),
    }
    assert published.document["extra"] == {"kept": True}


def test_keys_are_believed_for_seven_days_at_most() -> None:
    published = read_document(document(ONE, valid_until=NOW + 1000 * DAY), NOW, direct=True)
    assert published.valid_until_ts == NOW + LONGEST_VALIDITY_MS
    assert published.keys["ed25519:one"].valid_until_ts == NOW + LONGEST_VALIDITY_MS


def test_a_document_that_its_server_did_not_sign_is_refused() -> None:
    good = document(ONE)
    forged = {**good, "verify_keys": {"ed25519:one": {"key": TWO.verify_key.text()}}}
    for bad in (
        {**good, "signatures": {}},
        {**good, "signatures": {"other.example": good["signatures"][REMOTE]}},
        {**good, "valid_until_ts": NOW + 2 * DAY},
        {**good, "server_name": "other.example"},
        forged,
        {**good, "verify_keys": {}},
    ):
        with pytest.raises(InvalidSignature):
            read_document(bad, NOW, direct=True)


def test_a_key_that_signs_anything_is_refused() -> None:
    """Points of small order verify signatures that anybody can make."""
    for point in (b"\0" * 32, b"\x01" + b"\0" * 31, b"\xec" + b"\xff" * 30 + b"\x7f"):
        weak: dict[str, Any] = {
            "server_name": REMOTE,
            "verify_keys": {"ed25519:w": {"key": encode_base64(point)}},
            "valid_until_ts": NOW + DAY,
        }
        for signature in (b"\0" * 64, b"\x01" + b"\0" * 63, point + b"\0" * 32):
            weak["signatures"] = {REMOTE: {"ed25519:w": encode_base64(signature)}}
            with pytest.raises(InvalidSignature):
                read_document(weak, NOW, direct=True)


def test_what_is_no_document_is_refused() -> None:
    good = document(ONE)
    bads: list[Any] = [
        None,
        [],
        "x",
        {},
        {**good, "server_name": 5},
        {**good, "server_name": "no server"},
        {**good, "verify_keys": []},
        {**good, "verify_keys": {"ed25519:one": "x"}},
        {**good, "valid_until_ts": "soon"},
        {**good, "valid_until_ts": None},
        {**good, "signatures": None},
        {**good, "old_verify_keys": {"ed25519:o": {"key": "x"}}},
        {**good, "verify_keys": {f"ed25519:{n}": {"key": "x"} for n in range(1000)}},
    ]
    for bad in bads:
        with pytest.raises((BadJson, InvalidSignature)):
            read_document(bad, NOW, direct=True)


def test_keys_of_other_algorithms_and_broken_ones_are_skipped() -> None:
    more = {"rsa:1": {"key": "abc"}, "ed25519:short": {"key": "abc"}, "ed25519:bad": {"key": "!"}}
    base = document(ONE)
    unsigned = {**base, "verify_keys": {**base["verify_keys"], **more}, "signatures": {}}
    assert read_document(sign_json(unsigned, REMOTE, ONE), NOW, direct=True).keys.keys() == {"ed25519:one"}


class Strangers(Internet):
    """A server of ours, and servers whose documents the tests write."""

    ours: Homeserver

    def setUp(self) -> None:
        super().setUp()
        self.documents: dict[str, dict[str, Any] | None] = {}

    def stranger(self, published: dict[str, Any] | None, name: str = REMOTE) -> Peer:
        """A server that publishes a document, which `self.documents` may change. None: it fails."""

        def answer(request: Any) -> None:
            if self.documents[name] is None:
                respond(request, 503, b"{}")
            else:
                respond(request, 200, orjson.dumps(self.documents[name]))

        self.documents[name] = published
        return self.peer(name, answer)

    def peer(self, name: str, answer: Any) -> Peer:
        """A server that answers as it likes."""
        peer = Peer(answer, AUTHORITY.leaf([name])).start()
        self.addCleanup(lambda: Deferred.fromCoroutine(peer.stop()))
        self.address(name, 8448, peer.port)
        return peer

    async def keys(
        self, *key_ids: str, at: int = NOW, server: ServerName = REMOTE, by: Homeserver | None = None
    ) -> set[str]:
        """The IDs of the keys that our server knows of another when it is asked for some."""
        keyring = (by or self.ours).transport.keyring
        found = await keyring.verify_keys([KeyRequest(server, key_ids, at)])
        return set(found[server])


@pytest.mark.usefixtures("internet")
class Fetching(Strangers):
    """Keys from their servers."""

    def setUp(self) -> None:
        super().setUp()
        self.ours = self.homeserver("ours.example")

    async def test_a_key_is_asked_of_its_server_once(self) -> None:
        peer = self.stranger(document(ONE))
        for _ in range(3):
            assert await self.keys("ed25519:one") == {"ed25519:one"}
        assert [each.target for each in peer.seen] == ["/_matrix/key/v2/server"]

    async def test_a_key_is_known_after_a_restart(self) -> None:
        peer = self.stranger(document(ONE))
        await self.keys("ed25519:one")
        await self.ours.restart()
        assert await self.keys("ed25519:one") == {"ed25519:one"}
        assert len(peer.seen) == 1

    async def test_many_who_want_a_key_at_once_make_one_request(self) -> None:
        peer = self.stranger(document(ONE))
        wanting = [Deferred.fromCoroutine(self.keys("ed25519:one")) for _ in range(10)]
        for each in wanting:
            assert await each == {"ed25519:one"}
        assert len(peer.seen) == 1
        assert self.ours.database.rows("select count(*) from server_key_documents") == [(1,)]

    async def test_our_own_key_is_asked_of_nobody(self) -> None:
        assert await self.keys(self.ours.key.key_id, server=self.ours.name) == {self.ours.key.key_id}
        assert self.streets.called == []

    async def test_a_document_that_has_run_out_is_asked_for_again(self) -> None:
        peer = self.stranger(document(ONE, valid_until=NOW + HOUR))
        await self.keys("ed25519:one")
        self.documents[REMOTE] = document(ONE, valid_until=NOW + 9 * HOUR)
        self.clock.advance(2 * 3600)
        await self.keys("ed25519:one", at=NOW + 2 * HOUR)
        assert len(peer.seen) == 2
        ((until,),) = self.ours.database.rows("select valid_until_ts from server_keys")
        assert until == NOW + 9 * HOUR

    async def test_an_old_event_needs_no_new_document(self) -> None:
        peer = self.stranger(document(ONE, valid_until=NOW + HOUR))
        await self.keys("ed25519:one")
        self.clock.advance(2 * 3600)
        await self.keys("ed25519:one", at=NOW - DAY)
        assert len(peer.seen) == 1

    async def test_a_new_key_is_found_when_it_is_first_used(self) -> None:
        self.stranger(document(ONE))
        await self.keys("ed25519:one")
        self.documents[REMOTE] = document(
            TWO, old={"ed25519:one": {"key": ONE.verify_key.text(), "expired_ts": NOW + HOUR}}
        )
        self.clock.advance(2 * 3600)
        assert await self.keys("ed25519:two") == {"ed25519:one", "ed25519:two"}
        assert self.ours.database.rows("select key_id, expired from server_keys order by 1") == [
            ("ed25519:one", True),
            ("ed25519:two", False),
        ]

    async def test_a_key_that_does_not_exist_is_asked_for_seldom(self) -> None:
        peer = self.stranger(document(ONE))
        for _ in range(20):
            assert "ed25519:none" not in await self.keys("ed25519:none")
        assert len(peer.seen) == 4
        self.clock.advance(31)
        await self.keys("ed25519:none")
        assert len(peer.seen) == 5

    async def test_a_server_that_does_not_answer_is_asked_less_and_less(self) -> None:
        peer = self.stranger(None)
        for _ in range(300):
            assert await self.keys("ed25519:one") == set()
            self.clock.advance(1)
        assert 4 < len(peer.seen) < 12

    async def test_a_server_that_gives_the_keys_of_another_is_not_believed(self) -> None:
        self.stranger(document(ONE, server="other.example"))
        assert await self.keys("ed25519:one") == set()
        assert await self.keys("ed25519:one", server=ServerName("other.example")) == set()

    async def test_a_huge_document_is_refused(self) -> None:
        self.stranger(document(ONE, padding="x" * 200_000))
        assert await self.keys("ed25519:one") == set()

    async def test_a_request_by_a_key_that_has_run_out_is_refused(self) -> None:
        old = {"ed25519:old": {"key": TWO.verify_key.text(), "expired_ts": NOW - HOUR}}
        self.stranger(document(ONE, old=old))
        for key, status in ((ONE, 200), (SigningKey("old", b"two".ljust(32, b".")), 401)):
            remote = Homeserver.__new__(Homeserver)
            remote.name, remote.key = REMOTE, key
            target = "/_matrix/federation/v1/send/1"
            headers = remote.signs("PUT", target, self.ours.name, b"{}")
            assert (await self.ours.put(target, b"{}", headers))[0] == status


@pytest.mark.usefixtures("internet")
class Notaries(Strangers):
    """With a notary, that is a server of ours too."""

    def setUp(self) -> None:
        super().setUp()
        self.notary = self.homeserver("notary.example")
        self.ours = self.homeserver("ours.example", "  notaries: [notary.example]\n")

    async def test_a_notary_knows_the_keys_of_a_server_that_is_gone(self) -> None:
        peer = self.stranger(document(ONE))
        await self.keys("ed25519:one", by=self.notary)
        await peer.stop()
        assert await self.keys("ed25519:one") == {"ed25519:one"}

    async def test_many_servers_are_asked_of_the_notary_in_one_request(self) -> None:
        names = [ServerName(f"s{number}.example") for number in range(12)]
        peers = [self.stranger(document(ONE, server=name), name) for name in names]
        wanted = [KeyRequest(name, ["ed25519:one"], NOW) for name in names]
        found = await self.ours.transport.keyring.verify_keys(wanted)
        assert all(found[name] for name in names)
        assert [len(peer.seen) for peer in peers] == [1] * 12, "by the notary, and not by us as well"

    async def test_a_notary_is_not_believed_about_what_its_server_did_not_sign(self) -> None:
        lie = document(TWO)
        lie["signatures"] = document(ONE)["signatures"]
        await self.assert_not_believed(lie)

    async def test_a_document_that_the_notary_did_not_sign_is_not_believed(self) -> None:
        await self.assert_not_believed(document(TWO), notary_signs=False)

    async def test_a_document_that_nobody_asked_for_is_not_believed(self) -> None:
        await self.assert_not_believed(document(TWO, server="other.example"))
        assert await self.keys("ed25519:two", server=ServerName("other.example")) == set()

    async def assert_not_believed(self, said: dict[str, Any], notary_signs: bool = True) -> None:
        liar = signing_key("liar")
        name = "liar.example"

        def answer(request: Any) -> None:
            if request.method == b"GET":
                respond(request, 200, orjson.dumps(document(liar, server=name)))
            else:
                signed = sign_json(said, name, liar) if notary_signs else said
                respond(request, 200, orjson.dumps({"server_keys": [signed]}))

        peer = self.peer(name, answer)
        ours = self.homeserver("third.example", f"  notaries: [{name}]\n")
        assert await self.keys("ed25519:two", "ed25519:one", by=ours) == set()
        assert [each.method for each in peer.seen] == ["GET", "POST"]

    async def test_what_a_server_says_itself_holds_against_an_older_document_of_a_notary(self) -> None:
        self.stranger(document(ONE, valid_until=NOW + HOUR))
        await self.keys("ed25519:one", by=self.notary)
        self.clock.advance(120)
        self.documents[REMOTE] = document(
            TWO,
            valid_until=NOW + 2 * DAY,
            old={"ed25519:one": {"key": ONE.verify_key.text(), "expired_ts": NOW + 60_000}},
        )
        assert await self.keys("ed25519:two") == {"ed25519:one", "ed25519:two"}
        self.documents[REMOTE] = None
        self.clock.advance(120)
        await self.keys("ed25519:three")
        rows = self.ours.database.rows("select key_id, expired, valid_until_ts from server_keys order by 1")
        assert rows == [("ed25519:one", True, NOW + 60_000), ("ed25519:two", False, NOW + 2 * DAY)]

    async def test_the_notary_signs_what_it_gives(self) -> None:
        self.stranger(document(ONE, unknown={"kept": [1]}))
        status, answer = await self.notary.get(f"/_matrix/key/v2/query/{REMOTE}")
        (given,) = answer["server_keys"]
        assert status == 200
        assert given["unknown"] == {"kept": [1]}
        verify_json(given, REMOTE, {"ed25519:one": ONE.verify_key})
        verify_json(given, self.notary.name, {self.notary.key.key_id: self.notary.key.verify_key})

    async def test_the_notary_gives_several_in_the_batch_form(self) -> None:
        self.stranger(document(ONE))
        self.stranger(document(TWO, server="b.example"), "b.example")
        wanted: dict[str, Any] = {
            REMOTE: {},
            "b.example": {"ed25519:two": {}},
            "gone.example": {},
            "no name": {},
            "notary.example": {},
        }
        status, answer = await self.notary.post("/_matrix/key/v2/query", {"server_keys": wanted})
        assert status == 200
        assert {each["server_name"] for each in answer["server_keys"]} == {
            REMOTE,
            "b.example",
            "notary.example",
        }

    async def test_the_notary_gives_nothing_for_nothing(self) -> None:
        assert await self.notary.post("/_matrix/key/v2/query", {"server_keys": {}}) == (
            200,
            {"server_keys": []},
        )
        assert await self.notary.get("/_matrix/key/v2/query/gone.example") == (200, {"server_keys": []})

    async def test_the_notary_asks_again_for_what_must_be_valid_longer(self) -> None:
        peer = self.stranger(document(ONE, valid_until=NOW + HOUR))
        target = f"/_matrix/key/v2/query/{REMOTE}"
        await self.notary.get(target)
        self.documents[REMOTE] = document(ONE, valid_until=NOW + 3 * HOUR)
        self.clock.advance(60)
        await self.notary.get(f"{target}?minimum_valid_until_ts={NOW + HOUR - 1}")
        assert len(peer.seen) == 1
        _, answer = await self.notary.get(f"{target}?minimum_valid_until_ts={NOW + 2 * HOUR}")
        assert [each["valid_until_ts"] for each in answer["server_keys"]] == [NOW + 3 * HOUR]

    async def test_the_notary_remembers_a_key_that_its_server_forgets(self) -> None:
        self.stranger(document(ONE, valid_until=NOW - DAY))
        await self.notary.post("/_matrix/key/v2/query", {"server_keys": {REMOTE: {"ed25519:one": {}}}})
        self.documents[REMOTE] = document(TWO, valid_until=NOW - HOUR)
        wanted = {REMOTE: {"ed25519:one": {"minimum_valid_until_ts": NOW}}}
        await self.notary.post("/_matrix/key/v2/query", {"server_keys": wanted})
        wanted = {REMOTE: {"ed25519:one": {"minimum_valid_until_ts": NOW - DAY}}}
        _, answer = await self.notary.post("/_matrix/key/v2/query", {"server_keys": wanted})
        assert [list(each["verify_keys"]) for each in answer["server_keys"]] == [["ed25519:one"]]

    async def test_the_notary_asks_each_time_that_more_is_wanted(self) -> None:
        peer = self.stranger(document(ONE, valid_until=NOW - DAY))
        for minimum in (0, NOW - DAY + 1, NOW - DAY + 1):
            wanted = {REMOTE: {"ed25519:one": {"minimum_valid_until_ts": minimum}}}
            _, answer = await self.notary.post("/_matrix/key/v2/query", {"server_keys": wanted})
            assert [each["valid_until_ts"] for each in answer["server_keys"]] == [NOW - DAY]
        assert len(peer.seen) == 3

    async def test_the_notary_gives_the_last_it_got_from_a_server_that_is_gone(self) -> None:
        self.stranger(document(ONE))
        await self.notary.get(f"/_matrix/key/v2/query/{REMOTE}/ed25519:one")
        self.documents[REMOTE] = None
        self.clock.advance(3 * 24 * 3600)
        _, answer = await self.notary.get(f"/_matrix/key/v2/query/{REMOTE}/ed25519:one")
        assert [each["server_name"] for each in answer["server_keys"]] == [REMOTE]


@pytest.mark.usefixtures("internet")
class Own(Internet):
    """What a server tells of itself."""

    async def test_its_keys_are_signed_and_good_for_hours(self) -> None:
        ours = self.homeserver("ours.example")
        for target in (
            "/_matrix/key/v2/server",
            "/_matrix/key/v2/server/ed25519:any",
            "/_matrix/key/v2/server/",
        ):
            status, answer = await ours.get(target)
            assert status == 200, target
            assert read_document(answer, NOW, direct=True).keys.keys() == {ours.key.key_id}
            assert answer["valid_until_ts"] > NOW + HOUR
            assert orjson.dumps(answer) == encode_canonical(answer)

    async def test_its_document_is_renewed_in_time(self) -> None:
        ours = self.homeserver("ours.example")
        _, before = await ours.get("/_matrix/key/v2/server")
        self.clock.advance(13 * 3600)
        _, after = await ours.get("/_matrix/key/v2/server")
        assert after["valid_until_ts"] == before["valid_until_ts"] + 13 * HOUR
        read_document(after, self.clock.now_ms(), direct=True)

    async def test_its_version_is_told(self) -> None:
        ours = self.homeserver("ours.example")
        status, answer = await ours.get("/_matrix/federation/v1/version")
        assert (status, answer["server"]["name"]) == (200, "Meridian")
        assert answer["server"]["version"]

    async def test_its_delegation_is_told_where_there_is_one(self) -> None:
        ours = self.homeserver("ours.example", "  delegate_to: elsewhere.example:443\n")
        assert await ours.get("/.well-known/matrix/server") == (200, {"m.server": "elsewhere.example:443"})
        other = self.homeserver("other.example")
        status, answer = await other.get("/.well-known/matrix/server")
        assert (status, answer["errcode"]) == (404, "M_NOT_FOUND")

from typing import Any

import pytest

from homeserver.protocol.auth_rules.check import check_auth
from homeserver.protocol.auth_rules.room import NotAuthorised
from homeserver.protocol.auth_rules.third_party_invite import MAX_VERIFICATIONS
from homeserver.protocol.events.signing import sign_json
from homeserver.protocol.room_versions import ROOM_VERSIONS
from homeserver.protocol.signing_keys import SigningKey
from tests.protocol.room_simulation import ALICE, BOB, CAROL, MALLORY, Fork, SimulatedRoom

KEY = SigningKey("1", b"1" * 32)
OTHER_KEY = SigningKey("1", b"2" * 32)
SERVER = "identity.example"


ALL_VERSIONS = sorted(ROOM_VERSIONS, key=int)


@pytest.fixture(params=ALL_VERSIONS)
def fork(request: pytest.FixtureRequest) -> Fork:
    return SimulatedRoom(request.param).set_up(BOB)


def hold_invite(fork: Fork, sender: str = ALICE, token: str = "token", **content: Any) -> None:
    content = content or {"public_key": KEY.verify_key.text()}
    fork.send(sender, "m.room.third_party_invite", content, token)


def signed(key: SigningKey = KEY, **fields: Any) -> dict[str, Any]:
    return sign_json({"mxid": CAROL, "token": "token", "sender": ALICE, **fields}, SERVER, key)


def allows(fork: Fork, signed: object, sender: str = ALICE, target: str = CAROL) -> bool:
    content = {"membership": "invite", "third_party_invite": {"display_name": "C.", "signed": signed}}
    event = fork.build(sender, "m.room.member", content, target)
    try:
        check_auth(event, fork.event)
    except NotAuthorised:
        return False
    return True


def test_a_signed_third_party_invite_is_redeemed(fork: Fork) -> None:
    hold_invite(fork)
    assert allows(fork, signed())


def test_it_is_redeemed_after_its_sender_has_left(fork: Fork) -> None:
    hold_invite(fork, BOB)
    fork.leave(BOB)
    assert allows(fork, signed(), sender=BOB)


def test_one_of_several_keys_is_enough(fork: Fork) -> None:
    listed = [{"public_key": OTHER_KEY.verify_key.text()}, {"public_key": KEY.verify_key.text()}]
    hold_invite(fork, public_key="nonsense", public_keys=[5, {}, {"public_key": 5}, *listed])
    assert allows(fork, signed())


def test_one_of_several_signatures_is_enough(fork: Fork) -> None:
    hold_invite(fork)
    assert allows(fork, sign_json(signed(OTHER_KEY), "another.example", KEY))


def test_a_signature_by_another_key_proves_nothing(fork: Fork) -> None:
    hold_invite(fork)
    assert not allows(fork, signed(OTHER_KEY))


@pytest.mark.parametrize("field", ["mxid", "token", "sender", "more"])
def test_what_was_changed_after_signing_is_not_signed(fork: Fork, field: str) -> None:
    hold_invite(fork)
    hold_invite(fork, token="changed")
    assert not allows(fork, {**signed(), field: "changed"}, target="changed" if field == "mxid" else CAROL)


def test_an_invite_for_somebody_else_is_not_redeemed(fork: Fork) -> None:
    hold_invite(fork)
    assert not allows(fork, signed(), target=MALLORY)


def test_a_token_that_the_room_does_not_hold_is_not_redeemed(fork: Fork) -> None:
    hold_invite(fork, token="another")
    assert not allows(fork, signed())


def test_an_invite_of_another_sender_is_not_redeemed(fork: Fork) -> None:
    hold_invite(fork)
    assert not allows(fork, signed(), sender=BOB)


def test_a_banned_user_redeems_no_invite(fork: Fork) -> None:
    hold_invite(fork)
    fork.ban(ALICE, CAROL)
    assert not allows(fork, signed())


@pytest.mark.parametrize(
    "keys", [{"display_name": "C."}, {"public_key": 5}, {"public_keys": {}}, {"public_key": "AAAA"}]
)
def test_an_invite_without_keys_is_not_redeemed(fork: Fork, keys: dict[str, Any]) -> None:
    hold_invite(fork, **keys)
    assert not allows(fork, signed())


@pytest.mark.parametrize(
    "malformed",
    [
        None,
        "signed",
        {},
        {"mxid": CAROL},
        {"token": "token"},
        {"mxid": CAROL, "token": "token"},
        {"mxid": CAROL, "token": 5},
        {"mxid": [CAROL], "token": "token"},
        {"mxid": CAROL, "token": "token", "signatures": []},
        {"mxid": CAROL, "token": "token", "signatures": {SERVER: "text"}},
        {"mxid": CAROL, "token": "token", "signatures": {SERVER: {"ed25519:1": 5}}},
        {"mxid": CAROL, "token": "token", "signatures": {SERVER: {"ed25519:1": "!"}}},
        {"mxid": CAROL, "token": "token", "signatures": {SERVER: {"ed25519:1": "AAAA"}}},
    ],
)
def test_what_is_malformed_is_not_signed(fork: Fork, malformed: object) -> None:
    hold_invite(fork)
    assert not allows(fork, malformed)


def test_a_signature_by_another_algorithm_is_not_looked_at(fork: Fork) -> None:
    hold_invite(fork)
    (signature,) = signed()["signatures"][SERVER].values()
    assert not allows(fork, {**signed(), "signatures": {SERVER: {"rsa:1": signature}}})


def test_the_property_alone_lets_nobody_invite_without_the_proof(fork: Fork) -> None:
    content = {"membership": "invite", "third_party_invite": None}
    event = fork.build(ALICE, "m.room.member", content, CAROL)
    with pytest.raises(NotAuthorised, match="not signed"):
        check_auth(event, fork.event)


def test_only_so_many_signatures_and_keys_are_tried() -> None:
    fork = SimulatedRoom("12").set_up()
    useless = [{"public_key": OTHER_KEY.verify_key.text()}] * MAX_VERIFICATIONS
    hold_invite(fork, public_keys=[*useless, {"public_key": KEY.verify_key.text()}])
    assert not allows(fork, signed())
    hold_invite(fork, public_keys=[*useless[1:], {"public_key": KEY.verify_key.text()}])
    assert allows(fork, signed())

"""Messages to devices."""

import pytest

from homeserver.services.to_device import REMEMBERED_MS
from storage.database import Database
from tests.client_api.e2ee import V3, Device, texts_to
from tests.client_api.sync_site import SyncSite
from tests.harness.memory import result_of
from tests.harness.postgres import TestDatabase


@pytest.fixture
def site(database: Database) -> SyncSite:
    """A server."""
    return SyncSite(database)


def test_a_message_is_delivered_once_with_its_sender_and_type(alice: Device, bob: Device) -> None:
    bob.first_sync()
    alice.send(bob, "hello")
    assert bob.sync()["to_device"]["events"] == [
        {"sender": alice.user_id, "type": "m.test", "content": {"text": "hello"}}
    ]
    assert "to_device" not in bob.sync()


def test_it_is_delivered_again_until_the_token_proves_receipt(
    site: SyncSite, alice: Device, bob: Device
) -> None:
    since = bob.first_sync()["next_batch"]
    alice.send(bob, "hello")
    assert texts_to(bob.sync(since)) == ["hello"]
    site.start()
    bob.reconnect()
    answer = bob.sync(since)
    assert texts_to(answer) == ["hello"]
    bob.sync(answer["next_batch"])
    assert texts_to(bob.sync(since)) == []


def test_a_first_sync_delivers_what_waits(alice: Device, bob: Device) -> None:
    alice.send(bob, "hello")
    assert texts_to(bob.first_sync()) == ["hello"]
    assert texts_to(bob.first_sync()) == ["hello"]
    assert texts_to(bob.sync()) == []
    assert texts_to(bob.first_sync()) == []


def test_many_messages_come_in_order_in_pieces(alice: Device, bob: Device) -> None:
    bob.first_sync()
    for number in range(205):
        alice.send(bob, str(number))
    pieces = [texts_to(bob.sync()) for _ in range(4)]
    assert [len(piece) for piece in pieces] == [100, 100, 5, 0]
    assert [text for piece in pieces for text in piece] == [str(number) for number in range(205)]


def test_what_follows_in_another_olm_session_comes_in_the_next_answer(alice: Device, bob: Device) -> None:
    since = bob.first_sync()["next_batch"]
    carl = alice.another()
    for sender, kind, body in (
        (alice, 0, "key"),
        (carl, 1, "other"),
        (alice, 0, "another key"),
        (alice, 1, "key again"),
        (carl, 1, "more"),
    ):
        sender.send_encrypted(bob, kind, body)
    assert texts_to(bob.sync()) == ["key", "other", "another key"]
    assert texts_to(bob.sync()) == ["key again", "more"]
    assert texts_to(bob.sync()) == []
    assert texts_to(bob.sync(since)) == []


def test_new_messages_wait_behind_those_that_are_on_their_way(alice: Device, bob: Device) -> None:
    bob.first_sync()
    for number in range(101):
        alice.send(bob, str(number))
    assert len(texts_to(bob.sync())) == 100
    alice.send(bob, "last")
    assert texts_to(bob.sync()) == ["100", "last"]


def test_a_repeated_request_sends_nothing_more(site: SyncSite, alice: Device, bob: Device) -> None:
    bob.first_sync()
    alice.send(bob, "hello", txn="x")
    alice.send(bob, "hello", txn="x")
    site.start()
    alice.reconnect()
    bob.reconnect()
    alice.send(bob, "hello", txn="x")
    assert texts_to(bob.sync()) == ["hello"]


def test_requests_are_known_for_a_week_and_messages_until_they_are_received(
    site: SyncSite, test_database: TestDatabase, alice: Device, bob: Device
) -> None:
    bob.first_sync()
    alice.send(bob, "hello", txn="x")
    site.clock.advance(REMEMBERED_MS / 1000)
    result_of(site.app.encryption.to_device.expire())
    alice.send(bob, "hello", txn="x")
    assert texts_to(bob.sync()) == ["hello"]
    assert len(test_database.rows("select 1 from to_device_messages")) == 1
    bob.sync()
    assert test_database.rows("select 1 from to_device_messages") == []
    site.clock.advance(1)
    result_of(site.app.encryption.to_device.expire())
    assert test_database.rows("select 1 from to_device_transactions") == []


def test_a_star_means_all_devices_and_a_named_one_comes_first(alice: Device, bob: Device) -> None:
    second = bob.another()
    messages = {bob.user_id: {"*": {"text": "all"}, second.device_id: {"text": "second"}}}
    assert alice.try_send("m.test", messages).status == 200
    assert texts_to(bob.first_sync()) == ["all"]
    assert texts_to(second.first_sync()) == ["second"]


def test_a_waiting_client_gets_a_message_at_once(alice: Device, bob: Device) -> None:
    bob.first_sync()
    poll = bob.poll()
    alice.send(bob, "hello")
    bob.sync_site.turn()
    assert texts_to(poll.reply.json) == ["hello"]


def test_messages_go_with_their_device(alice: Device, bob: Device) -> None:
    second = bob.another()
    alice.send(second, "hello")
    second.here.post(f"{V3}/logout")
    body = {
        "type": "m.login.password",
        "identifier": {"type": "m.id.user", "user": bob.user_id},
        "password": "correct horse",
        "device_id": second.device_id,
    }
    reply = bob.sync_site.http.post(f"{V3}/login", body)
    if reply.status == 200:
        assert texts_to(Device(bob.sync_site, reply.json).first_sync()) == []


def test_one_message_reaches_two_thousand_devices(site: SyncSite, alice: Device, bob: Device) -> None:
    with site.database.writers.take() as opened:
        opened.autocommit = True
        with opened.cursor() as cursor:
            cursor.execute(
                "insert into devices (user_id, device_id, created_ts) "
                "select %s, 'D' || n, 0 from generate_series(1, 1999) n",
                (bob.user_id,),
            )
    alice.send(bob, "hello", device="*")
    with site.database.writers.take() as opened, opened.cursor() as cursor:
        cursor.execute("select count(*), count(distinct pos) from to_device_messages")
        assert cursor.fetchone() == (2000, 1)


@pytest.mark.parametrize("messages", [[], {"bob": {}}, {"@bob:test": []}, {"@bob:test": {"D": 1}}])
def test_what_is_no_message_is_refused(alice: Device, messages: object) -> None:
    assert alice.try_send("m.test", messages).errcode == "M_BAD_JSON"

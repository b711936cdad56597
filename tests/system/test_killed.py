"""`kill -9`, of the server and of PostgreSQL, under load: what was acknowledged is there, once, and nobody misses it.

`MERIDIAN_KILL_ROUNDS` says how often each of them is killed (default 3).
"""

import os
import signal
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import psycopg2

from storage.embedded import EmbeddedPostgres
from tests.harness.live_client import LiveUser, eventually
from tests.harness.process import HomeserverProcess
from tests.system.conftest import MakeServer
from tests.system.load import Load, Reader, Reading

ROUNDS = int(os.environ.get("MERIDIAN_KILL_ROUNDS", "3"))
MESSAGES = 25
"""Of each sender between two kills."""
OLD_TOKENS = 12


def test_the_server_is_killed_under_load(make_server: MakeServer) -> None:
    server = make_server(embedded=True)

    def kill(_round: int) -> None:
        server.kill()
        server.start()

    _survive(server, kill)


def test_the_embedded_postgresql_is_killed_under_load(make_server: MakeServer) -> None:
    server = make_server(embedded=True)
    _survive(server, lambda _round: os.kill(_postmaster(server), signal.SIGKILL))


def test_a_postgresql_of_the_operator_is_killed_under_load(make_server: MakeServer, folder: Path) -> None:
    postgresql = EmbeddedPostgres(folder / "operator")
    try:
        server = HomeserverProcess(folder / "server", postgresql.start())

        def kill(number: int) -> None:
            assert postgresql.pid is not None
            os.kill(postgresql.pid, signal.SIGKILL)
            eventually(postgresql.revive, what="the end of PostgreSQL")
            if number % 2:  # the server may find a PostgreSQL that is still recovering
                server.kill()
                server.start()

        try:
            _survive(server, kill)
        finally:
            server.discard()
    finally:
        postgresql.stop()


def _postmaster(server: HomeserverProcess) -> int:
    lock_file = server.folder / "data" / "postgresql" / "data" / "postmaster.pid"
    return int(lock_file.read_text().split("\n")[0])


def _survive(server: HomeserverProcess, kill: Callable[[int], None]) -> None:
    """Kill something again and again under load; then compare what people were told with what is there."""
    server.start()
    load = _load(server)
    load.start()
    try:
        for number in range(ROUNDS):
            load.progress(MESSAGES)
            kill(number)
        load.progress(MESSAGES)
    finally:
        load.stop()
    histories = _histories(load)
    _check_acknowledged(load, histories)
    _check_repeats(load)
    for reader in load.readers:
        _check_reading(reader, histories)
    _check_positions(server)


def _load(server: HomeserverProcess) -> Load:
    """Four senders, each in a room of its own and in one for all; readers of everything, and of the shared room."""
    load = Load()
    people = [server.register(f"sender{number}") for number in range(4)]
    everywhere, listener = server.register("everywhere"), server.register("listener")
    shared = people[0].create(preset="public_chat")
    listener.join(shared)
    everywhere.join(shared)
    for person in people:
        person.join(shared)
        own = person.create(preset="public_chat")
        everywhere.join(own)
        load.sender(person, [own, shared])
    load.reader(everywhere)
    load.reader(listener)
    return load


def _histories(load: Load) -> dict[str, list[str]]:
    """All event IDs of each room, oldest first, as a member reads them."""
    reader: LiveUser = load.readers[0].user
    rooms = {room for sender in load.senders for room in sender.rooms}
    return {room: [each["event_id"] for each in reader.history(room)] for room in rooms}


def _check_acknowledged(load: Load, histories: dict[str, list[str]]) -> None:
    for room, history in histories.items():
        assert [event for event, times in Counter(history).items() if times > 1] == []
        acknowledged = {each.event_id for sender in load.senders for each in sender.sent if each.room == room}
        assert acknowledged - set(history) == set()
    texts = Counter(text for room in histories for text in load.readers[0].user.texts(room))
    expected = {each.text for sender in load.senders for each in sender.sent}
    in_doubt = {sender.unknown for sender in load.senders if sender.unknown}
    assert {text for text, times in texts.items() if times > 1} == set()
    assert expected <= set(texts) <= expected | in_doubt
    for sender in load.senders:
        for room in sender.rooms:
            order = {event: place for place, event in enumerate(histories[room])}
            places = [order[each.event_id] for each in sender.sent if each.room == room]
            assert places == sorted(places), (
                "one sender's messages are in the order of their acknowledgements"
            )


def _check_repeats(load: Load) -> None:
    """The same transaction ID gives the same event, whenever it was first used."""
    for sender in load.senders:
        for each in sender.sent[:: max(1, len(sender.sent) // 10)]:
            assert sender.user.say(each.room, each.text, each.txn) == each.event_id


def _check_reading(reader: Reader, histories: dict[str, list[str]]) -> None:
    """Everything was shown once and in order; and again so from tokens that were handed out on the way."""
    reader.catch_up()
    complete = reader.reading.seen
    for room, seen in complete.items():
        assert seen == histories[room]
    for bookmark in reader.bookmarks[:: max(1, len(reader.bookmarks) // OLD_TOKENS)]:
        again = Reading(reader.user, bookmark.token)
        while again.advance(lambda action: action(), 0):
            pass
        for room, seen in complete.items():
            assert again.seen.get(room, []) == seen[bookmark.seen.get(room, 0) :]


def _check_positions(server: HomeserverProcess) -> None:
    """Positions are 1, 2, 3, ...: none was lost, none was used twice for events."""
    dsn = server.dsn or EmbeddedPostgres(server.folder / "data").start()
    with closing(psycopg2.connect(dsn)) as connection, connection.cursor() as cursor:
        cursor.execute("select pos from stream")
        ((last,),) = cursor.fetchall()
        cursor.execute("select pos from events where pos is not null order by pos")
        of_events = [pos for (pos,) in cursor.fetchall()]
        assert len(of_events) == len(set(of_events))
        cursor.execute("select pos from account_data union select pos from receipts")
        others = {pos for (pos,) in cursor.fetchall()}
    assert sorted({*of_events, *others}) == list(range(1, last + 1))

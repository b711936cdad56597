"""`homeserver rebuild notifications`."""

from pathlib import Path
from typing import Any

import pytest

from homeserver.app.cli import main
from storage.database import Database
from tests.client_api.sync_site import Syncer, SyncSite
from tests.client_api.test_relations import relating
from tests.harness.postgres import TestDatabase


def test_messages_from_before_there_were_marks_are_counted(
    database: Database,
    test_database: TestDatabase,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    site = SyncSite(database)
    alice, bob = site.people("alice", "bob")
    room = alice.public_room()
    bob.join(room)
    root = alice.say(room, "root")
    alice.say(room, "in a thread", **relating("m.thread", root))
    alice.say(room, "you", **{"m.mentions": {"user_ids": [bob.user_id]}})
    gone = alice.say(room, "gone")
    alice.redact(room, gone)
    before = _counts(site, bob, room)
    assert before == ({"notification_count": 2, "highlight_count": 1}, {root: 1})
    test_database.rows("update events set notable = 0, thread = null")
    test_database.rows("delete from mentions")
    assert _counts(site, bob, room) == ({"notification_count": 0, "highlight_count": 0}, {})
    monkeypatch.chdir(tmp_path)
    Path("homeserver.yaml").write_text(f"server_name: test\ndatabase: {test_database.dsn!r}\n")
    for _ in range(2):
        assert main(["rebuild", "notifications"]) == 0
    assert "events count now" in capsys.readouterr().out
    assert _counts(site, bob, room) == before


def _counts(site: SyncSite, person: Syncer, room: str) -> tuple[Any, Any]:
    """What a server that has just started says is unread: of the main timeline, and of each thread."""
    site.start()
    wanted = {"room": {"timeline": {"unread_thread_notifications": True}}}
    told = person.first_sync(filter=wanted)["rooms"]["join"][room]
    threads = told.get("unread_thread_notifications", {})
    return told["unread_notifications"], {root: each["notification_count"] for root, each in threads.items()}

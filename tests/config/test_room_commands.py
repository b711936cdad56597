"""`homeserver room`, as an operator uses it."""

import re
from pathlib import Path

import pytest

from homeserver.app.cli import main
from storage.database import Database
from tests.client_api.sync_site import SyncSite
from tests.harness.memory import result_of


@pytest.fixture
def config(database: Database, tmp_path: Path) -> Path:
    config = tmp_path / "homeserver.yaml"
    config.write_text(f"server_name: test\ndatabase: {database.dsn!r}\n")
    return config


def test_rooms_are_deleted_and_blocked(
    database: Database, config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def room_command(*words: str, status: int = 0) -> str:
        capsys.readouterr()
        assert main(["room", *words, "-c", str(config)]) == status
        printed = capsys.readouterr()
        return printed.err if status else printed.out

    site = SyncSite(database)
    alice = site.person("alice")
    room, other = alice.public_room(), alice.public_room()
    assert room_command("delete", room, "--block", "--move-to", alice.user_id).startswith(f"{room} will be")
    assert "is being deleted already" in room_command("delete", room, status=1)
    assert re.search(r"^\w+ waiting since .*: 0 users left$", room_command("deletions", room), re.MULTILINE)
    while (busy := result_of(site.app.room_deletion.steps.do_some())) is not None:
        site.clock.advance(0 if busy else 1)
    done = room_command("deletions", room)
    assert re.search(r"^\w+ complete since .*: 1 users left, new room !\S+$", done, re.MULTILINE)
    assert room_command("unblock", room) == f"{room} is open\n"
    assert room_command("block", other) == f"{other} is blocked\n"
    assert site.person("bob").try_join(other).errcode == "M_FORBIDDEN"
    assert "not being deleted" in room_command("deletions", other, status=1)

"""`homeserver media`, as an operator uses it."""

import re
from hashlib import sha256
from pathlib import Path

import pytest

from homeserver.app.cli import main
from homeserver.app.wiring_media import MediaTools, build_media_tools
from storage.database import Database
from tests.client_api.media_site import MediaSite, copy_of, download, upload
from tests.client_api.sync_site import Syncer
from tests.harness.memory import SeededRandom


class Operator:
    """Somebody at the command line of a server with a user and her files."""

    def __init__(self, site: MediaSite, config: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.site = site
        self._config = config
        self._capsys = capsys
        self.alice: Syncer = site.person("alice")
        self.tools: MediaTools = build_media_tools(
            site.app.core.config, site.database, site.clock, SeededRandom(99)
        )

    def media(self, *words: str, status: int = 0) -> str:
        """What a command prints."""
        assert main(["media", *words, "-c", str(self._config)]) == status
        printed = self._capsys.readouterr()
        return printed.err if status else printed.out

    def gets(self, *names: str) -> list[bool]:
        """Whether people get what some addresses name."""
        return [download(self.alice.http, name).status == 200 for name in names]


@pytest.fixture
def operator(database: Database, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Operator:
    config = tmp_path / "homeserver.yaml"
    files = tmp_path / "media"
    config.write_text(f"server_name: test\ndatabase: {database.dsn!r}\nmedia: {{path: {str(files)!r}}}\n")
    return Operator(MediaSite(database, files), config, capsys)


def test_files_are_listed_and_counted(operator: Operator) -> None:
    alice = operator.alice
    name = upload(alice, bytes(1500), "image/png")
    operator.site.clock.advance(1)
    other = upload(alice, b"bad")
    room = alice.create()
    alice.say(
        room, "a picture", msgtype="m.image", url=f"mxc://{name}", info={"thumbnail_url": "mxc://far/x"}
    )
    operator.media("protect", f"mxc://{name}")
    operator.media("quarantine", f"mxc://{other}")
    assert operator.media("list", "--user", alice.user_id).splitlines() == [
        f"mxc://{other} text/plain, 3 bytes, in quarantine by command line",
        f"mxc://{name} image/png, 1.5 kB, protected",
    ]
    assert "and 1 older ones" in operator.media("list", "--user", alice.user_id, "--limit", "1")
    assert operator.media("list", "--room", room).splitlines() == [f"mxc://{name}", "mxc://far/x"]
    assert operator.media("usage") == "@alice:test 2 files, 1.5 kB\n"
    assert "User not found" in operator.media("list", "--user", "@nobody:test", status=1)


def test_files_are_kept_from_everybody_by_address_user_room_and_hash(operator: Operator) -> None:
    alice = operator.alice
    names = [upload(alice, bytes([number])) for number in range(3)]
    room = alice.create()
    alice.say(room, "a picture", msgtype="m.image", url=f"mxc://{names[1]}")
    assert operator.media("quarantine", f"mxc://{names[0]}").endswith("any more (1 addresses)\n")
    operator.media("quarantine", "--room", room)
    assert operator.gets(*names) == [False, False, True]
    assert operator.media("quarantine", "--user", alice.user_id).endswith("any more (1 addresses)\n")
    assert operator.gets(*names) == [False] * 3
    digest = sha256(bytes([1])).hexdigest()
    assert operator.media("release", "--sha256", digest) == f"released {digest} (1 addresses)\n"
    assert operator.gets(*names) == [False, True, False]
    operator.media("quarantine", "--sha256", digest)
    operator.media("release", f"mxc://{names[0]}")
    assert operator.gets(*names) == [True, False, False]
    assert operator.media("protect", f"mxc://{names[0]}") == f"mxc://{names[0]} is protected\n"
    assert "protected from quarantine" in operator.media("quarantine", f"mxc://{names[0]}", status=1)
    operator.media("unprotect", f"mxc://{names[0]}")
    operator.media("quarantine", f"mxc://{names[0]}")
    assert "no mxc://server/media_id" in operator.media("quarantine", "mxc://what", status=1)


def test_files_are_deleted_by_address_user_and_age(operator: Operator) -> None:
    alice, bob = operator.alice, operator.site.person("bob")
    names = [upload(alice, bytes(number)) for number in range(4)]
    other = upload(bob, b"bob's")
    copy = str(copy_of(operator.site, operator.tools, 1, b"copy")).removeprefix("mxc://")
    operator.media("delete", f"mxc://{names[0]}")
    assert operator.gets(*names, other) == [False, True, True, True, True]
    assert "deleted 1 files" in operator.media("delete", "--unused-for", "1s", "--larger-than", "4B")
    assert operator.gets(*names, other) == [False, True, True, True, False]
    assert "deleted 3 files" in operator.media("delete", "--user", alice.user_id)
    assert "There is no" in operator.media("delete", f"mxc://{names[1]}", status=1)
    assert operator.gets(copy) == [True]
    assert re.match("forgot 1 copies", operator.media("forget-copies", "--unused-for", "1s"))
    assert operator.media("sweep") == "forgot 0 addresses, deleted 0 files\n"
    assert operator.media("check") == "all files are as they should be\n"

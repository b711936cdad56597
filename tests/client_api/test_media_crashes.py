"""Uploads and what a crash makes of them: what was answered is there, and what was not does no harm."""

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from homeserver.app.wiring_media import MediaTools, build_media_tools
from homeserver.services.media import library
from storage.database import Database
from tests.client_api.media_site import CREATE, UPLOAD, MediaSite, download, upload
from tests.client_api.sync_site import Syncer
from tests.harness.memory import SeededRandom, result_of

CONTENT = b"the same bytes" * 1000
AN_HOUR = 3700


@pytest.fixture
def site(database: Database, tmp_path: Path) -> Iterator[MediaSite]:
    made = MediaSite(database, tmp_path)
    yield made
    made.app.media.processes.stop()


@pytest.fixture
def alice(site: MediaSite) -> Syncer:
    return site.person("alice")


@pytest.fixture
def tools(site: MediaSite, database: Database) -> MediaTools:
    return build_media_tools(site.app.core.config, database, site.clock, SeededRandom("commands"))


def settled(site: MediaSite) -> list[bool]:
    """Of each content, whether it is on record that its file is on the disk."""

    def read(tx: Any) -> list[bool]:
        tx.execute("select settled from media_contents order by created_ts")
        return [row[0] for row in tx.rows()]

    async def reading() -> list[bool]:
        return await site.database.read(read)

    return result_of(reading())


def kill(site: MediaSite, *people: Syncer) -> None:
    """Let the program end without knowing it, and begin anew."""
    site.clock.twisted.calls.clear()
    site.start()
    for each in people:
        each.reconnect()


def crash(site: MediaSite, alice: Syncer, left: bytes | None) -> None:
    """Let the power fail just before the file was on the disk: this much of it is there after the restart."""
    (file,) = site.files()
    file.unlink()
    if left is not None:
        file.write_bytes(left)
    kill(site, alice)


def test_what_is_uploaded_is_settled_soon(site: MediaSite, alice: Syncer) -> None:
    name = upload(alice, CONTENT)
    assert settled(site) == [False]
    site.clock.advance(5)
    assert settled(site) == [True]
    other = upload(alice, CONTENT)
    assert len(site.files()) == 1
    assert {download(alice.http, each).body for each in (name, other)} == {CONTENT}


def test_what_is_uploaded_again_before_that_is_kept_once(site: MediaSite, alice: Syncer) -> None:
    names = [upload(alice, CONTENT) for _ in range(3)]
    assert (settled(site), len(site.files()), site.incoming()) == ([False], 1, [])
    assert {download(alice.http, each).body for each in names} == {CONTENT}


@pytest.mark.parametrize("left", [None, b"", CONTENT[:100], bytes(len(CONTENT))])
def test_whoever_brings_the_same_bytes_after_a_crash_has_them_kept(
    site: MediaSite, alice: Syncer, left: bytes | None
) -> None:
    unheard = upload(alice, CONTENT)
    crash(site, alice, left)
    name = upload(alice, CONTENT)
    assert download(alice.http, name).body == CONTENT
    assert download(alice.http, unheard).body == CONTENT
    assert (settled(site), len(site.files())) == ([True], 1)


def test_so_has_whoever_fills_an_address_that_is_known(site: MediaSite, alice: Syncer) -> None:
    upload(alice, CONTENT)
    crash(site, alice, CONTENT[:5])
    place = alice.http.post(CREATE).json["content_uri"].removeprefix("mxc://")
    assert alice.http.put(f"{UPLOAD}/{place}", CONTENT).status == 200
    assert download(alice.http, place).body == CONTENT
    assert (settled(site), len(site.files())) == ([True], 1)


def test_the_file_of_an_address_that_is_known_comes_before_its_row(site: MediaSite, alice: Syncer) -> None:
    place = alice.http.post(CREATE).json["content_uri"].removeprefix("mxc://")
    assert alice.http.put(f"{UPLOAD}/{place}", CONTENT).status == 200
    assert settled(site) == [True]


def test_whole_files_are_settled_after_a_crash_and_others_are_not(site: MediaSite, alice: Syncer) -> None:
    upload(alice, CONTENT)
    kill(site, alice)
    result_of(site.app.media.library.settle())
    assert settled(site) == [False], "it may be an upload that is under way on another node"
    site.clock.advance(AN_HOUR)
    result_of(site.app.media.library.settle())
    assert settled(site) == [True]
    (file,) = site.files()
    upload(alice, b"something else")
    (other,) = set(site.files()) - {file}
    other.write_bytes(b"something left")
    kill(site, alice)
    site.clock.advance(AN_HOUR)
    result_of(site.app.media.library.settle())
    assert settled(site) == [True, False]


def test_the_check_finds_what_was_cut_off_and_cleans_it_up(
    site: MediaSite, alice: Syncer, tools: MediaTools
) -> None:
    kept = upload(alice, b"whole")
    site.clock.advance(5)
    (whole,) = site.files()
    unheard = upload(alice, CONTENT)
    (file,) = set(site.files()) - {whole}
    file.write_bytes(CONTENT[:-1])
    kill(site, alice)
    problems = result_of(tools.checking.contents(read=False))
    assert [(each.kind, each.file) for each in problems] == [("unfinished", file.name)]
    assert result_of(tools.checking.delete_unfinished(problems)) == problems, "it may be under way"
    site.clock.advance(AN_HOUR)
    assert result_of(tools.checking.delete_unfinished(problems)) == []
    assert result_of(tools.checking.contents(read=True)) == []
    assert site.files() == [whole]
    assert download(alice.http, unheard).errcode == "M_NOT_FOUND"
    assert download(alice.http, kept).body == b"whole"


def test_what_cannot_be_kept_leaves_no_address(
    site: MediaSite, alice: Syncer, tools: MediaTools, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_the_way = site.folder / hashlib.sha256(CONTENT).hexdigest()[:2]
    in_the_way.write_bytes(b"where a folder should be")
    assert alice.http.post(UPLOAD, CONTENT).status == 500
    assert site.incoming() == []
    in_the_way.unlink()
    monkeypatch.setattr(library, "UNUSED_MS", 0)
    assert result_of(site.app.media.library.sweep()) == 1
    assert settled(site) == []
    assert result_of(tools.checking.contents(read=False)) == []

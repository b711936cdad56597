"""Where files are kept: each kind of place does the same."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from config.loading import parse
from homeserver.app.wiring_media import media_files
from homeserver.gateways.media_files import FileLost, MediaFiles
from homeserver.gateways.media_spool import Spool
from storage.database import Database
from storage.workers import InlineWorkers
from tests.client_api.media_site import MediaSite, download, thumbnail, upload
from tests.client_api.pictures import png, size_of
from tests.client_api.test_media_films import FFMPEG, described, wav
from tests.harness.memory import SeededRandom, result_of
from tests.harness.object_store import ObjectStore, object_store

NAME = "0123abcd.XYZ"
CONTENT = bytes(range(256)) * 4000


@pytest.fixture(scope="module")
def store() -> Iterator[ObjectStore]:
    with object_store() as running:
        yield running


@pytest.fixture(params=["disk", "s3"])
def media(request: pytest.FixtureRequest, tmp_path: Path) -> dict[str, Any]:
    """The section `media` of a configuration."""
    settings: dict[str, Any] = {"path": str(tmp_path)}
    if request.param == "s3":
        settings["s3"] = request.getfixturevalue("store").settings(f"{tmp_path.name}/")
    return settings


@pytest.fixture
def files(media: dict[str, Any], tmp_path: Path) -> MediaFiles:
    config = parse(f"server_name: test\nmedia: {media}".replace("'", '"'), Path("/nowhere"))
    workers = InlineWorkers()
    return media_files(config.media, Spool(tmp_path / "incoming", workers, SeededRandom()), workers)


def keep(files: MediaFiles, folder: Path, content: bytes, name: str = NAME) -> None:
    whole = folder / "whole"
    whole.write_bytes(content)
    result_of(files.keep(name, whole))
    assert not whole.exists()


def read(files: MediaFiles, start: int, length: int, name: str = NAME) -> bytes:
    async def reading() -> bytes:
        found = await files.open(name, start, length)
        return b"".join([piece async for piece in found])

    return result_of(reading())


def test_what_is_kept_is_read_whole_and_in_parts(files: MediaFiles, tmp_path: Path) -> None:
    keep(files, tmp_path, CONTENT)
    assert read(files, 0, len(CONTENT)) == CONTENT
    assert read(files, 1000, 300_000) == CONTENT[1000:301_000]
    assert read(files, len(CONTENT) - 1, 1) == CONTENT[-1:]
    assert result_of(files.size(NAME)) == len(CONTENT)


def test_a_large_file_is_kept(files: MediaFiles, tmp_path: Path) -> None:
    large = CONTENT * 40
    keep(files, tmp_path, large)
    assert result_of(files.size(NAME)) == len(large)
    assert read(files, 20_000_000, 1_000_000) == large[20_000_000:21_000_000]


def test_a_file_of_nothing(files: MediaFiles, tmp_path: Path) -> None:
    keep(files, tmp_path, b"")
    assert (read(files, 0, 0), result_of(files.size(NAME))) == (b"", 0)


def test_what_is_deleted_is_gone(files: MediaFiles, tmp_path: Path) -> None:
    keep(files, tmp_path, CONTENT)
    for _ in range(2):
        result_of(files.delete(NAME))
    with pytest.raises(FileLost):
        read(files, 0, 10)
    with pytest.raises(FileLost):
        result_of(files.size(NAME))


def test_all_names_are_listed(files: MediaFiles, tmp_path: Path) -> None:
    names = sorted(f"{number:02x}ab.Name" for number in range(20))
    for name in names:
        keep(files, tmp_path, b"x", name)
    assert sorted(files.names()) == names


def test_a_file_is_borrowed_for_a_while(files: MediaFiles, tmp_path: Path) -> None:
    keep(files, tmp_path, CONTENT)

    async def borrowing() -> bytes:
        async with files.borrow(NAME) as path:
            return path.read_bytes()

    assert result_of(borrowing()) == CONTENT
    assert not list(tmp_path.glob("incoming/*"))


def test_a_reading_that_is_given_up_lets_go(files: MediaFiles, tmp_path: Path) -> None:
    keep(files, tmp_path, CONTENT)

    async def giving_up() -> None:
        found = await files.open(NAME, 0, len(CONTENT))
        await found.__anext__()
        await found.aclose()
        await (await files.open(NAME, 0, 5)).aclose()

    result_of(giving_up())


def test_a_server_keeps_its_media_there(database: Database, media: dict[str, Any]) -> None:
    site = MediaSite(
        database, Path(media["path"]), **{key: each for key, each in media.items() if key != "path"}
    )
    alice = site.person("alice")
    picture = png(400, 300)
    name = upload(alice, picture, "image/png", filename="a.png")
    assert upload(alice, picture) != name
    assert download(alice.http, name).body == picture
    assert download(alice.http, name, Range="bytes=1-3").body == picture[1:4]
    assert size_of(thumbnail(alice.http, name, 96, 96).body) == (96, 72)
    assert site.incoming() == []
    site.app.media.processes.stop()


def test_what_a_recording_is_is_told_wherever_it_is_kept(database: Database, media: dict[str, Any]) -> None:
    others = {key: each for key, each in media.items() if key != "path"}
    site = MediaSite(database, Path(media["path"]), ffmpeg={"program": FFMPEG}, **others)
    answer = described(site.person("alice"), wav((32767, 1)))
    assert answer["org.meridian.info"]["duration"] == 1000
    assert site.incoming() == []
    site.app.media.processes.stop()


def test_clients_may_be_sent_to_the_store_itself(
    database: Database, tmp_path: Path, store: ObjectStore
) -> None:
    s3 = store.settings("", presigned_lifetime="5m")
    site = MediaSite(database, tmp_path, s3=s3, unauthenticated_before="2100-01-01")
    alice = site.person("alice")
    name = upload(alice, b"there", "text/plain")
    reply = download(alice.http, name)
    assert (reply.status, reply.headers["location"].startswith(store.endpoint)) == (307, True)
    old = f"/_matrix/media/v3/download/{name}"
    assert site.http.get(old).body == b"there"
    assert site.http.get(old, {"allow_redirect": True}).status == 307

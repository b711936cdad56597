"""What pictures look like from far away. https://github.com/matrix-org/matrix-spec-proposals/pull/2448"""

import io
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from homeserver.gateways.blurhash import blurhash
from storage.database import Database
from tests.client_api.media_site import UPLOAD, MediaSite
from tests.client_api.pictures import bomb, png
from tests.client_api.sync_site import Syncer

PLAIN = "fQ"
"""A wave that is not there."""


@pytest.fixture
def site(database: Database, tmp_path: Path) -> Iterator[MediaSite]:
    made = MediaSite(database, tmp_path)
    yield made
    made.app.media.processes.stop()


def uploaded(who: Syncer, content: bytes, *, asked: bool = True) -> str | None:
    """The hash that an upload is answered with."""
    query = {"xyz.amorgan.generate_blurhash": "true"} if asked else {}
    reply = replace(who.http, specified=False).post(UPLOAD, content, query)
    assert reply.status == 200, reply.text
    answer = dict(reply.json)
    assert answer.pop("content_uri").startswith("mxc://test/")
    assert answer.keys() <= {"xyz.amorgan.blurhash"}
    return answer.get("xyz.amorgan.blurhash")


def halves(first: str, second: str, orientation: int = 1) -> bytes:
    """A picture whose left half has one colour and whose right half another."""
    image = Image.new("RGB", (400, 200), second)
    image.paste(first, (0, 0, 200, 200))
    exif = Image.Exif()
    exif[0x0112] = orientation
    target = io.BytesIO()
    image.save(target, "PNG", exif=exif)
    return target.getvalue()


def test_who_asks_gets_the_hash_of_a_picture(site: MediaSite) -> None:
    alice = site.person("alice")
    assert uploaded(alice, png(300, 200, (255, 0, 0))) == "L0TI:j" + PLAIN * 11
    assert (uploaded(alice, png(200, 300, (0, 0, 0))) or "").startswith("T0")
    assert uploaded(alice, png(300, 200), asked=False) is None
    for content in (b"no picture", b"", bomb(), png(300, 200)[:60]):
        assert uploaded(alice, content) is None


def test_colours_are_where_they_are_shown(site: MediaSite) -> None:
    alice = site.person("alice")
    lying, standing = uploaded(alice, halves("white", "black")), uploaded(alice, halves("white", "black", 6))
    assert lying is not None
    assert standing is not None
    assert (lying[0], standing[0]) == ("L", "T")
    across, down = lying[6:8], standing[6 + 2 * 2 : 6 + 2 * 3]
    assert PLAIN not in (across, down)
    assert {lying[6 + 2 * 3 : 6 + 2 * 4], standing[6:8]} == {PLAIN}


def test_the_hash_is_as_others_make_it() -> None:
    """Decoded by hand: the average, the strongest wave, and each wave as nineteenths of that."""
    rows = [[(255, 255, 255)] * 32 + [(0, 0, 0)] * 32 for _ in range(32)]
    found = blurhash(rows, 2, 1)
    digits = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz#$%*+,-.:;=?@[]^_{|}~"
    numbers = [digits.index(each) for each in found]
    assert (len(found), numbers[0]) == (8, 1)
    average = ((numbers[2] * 83 + numbers[3]) * 83 + numbers[4]) * 83 + numbers[5]
    assert average == 0xBCBCBC
    assert numbers[1] == 82
    assert numbers[6] * 83 + numbers[7] == (18 * 19 + 18) * 19 + 18

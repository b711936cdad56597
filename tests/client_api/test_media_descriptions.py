"""What pictures look like from far away. https://github.com/matrix-org/matrix-spec-proposals/pull/2448"""

import base64
import io
from collections.abc import Iterator
from dataclasses import replace
from math import cos, pi
from pathlib import Path
from typing import NamedTuple

import pytest
from PIL import Image

from homeserver.gateways.blurhash import blurhash
from homeserver.gateways.thumbhash import thumbhash
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
    assert answer.keys() in (set(), {"xyz.amorgan.blurhash", "xyz.amorgan.thumbhash"})
    return answer.get("xyz.amorgan.blurhash")


def thumbhash_of(who: Syncer, content: bytes) -> bytes:
    """The other one."""
    reply = replace(who.http, specified=False).post(
        UPLOAD, content, {"xyz.amorgan.generate_blurhash": "true"}
    )
    return base64.b64decode(reply.json["xyz.amorgan.thumbhash"])


class Shown(NamedTuple):
    """What a ThumbHash shows: its sides, and the colour of each pixel with how opaque it is (0 to 1)."""

    width: int
    height: int
    pixels: list[list[tuple[float, float, float, float]]]


def shown(hashed: bytes) -> Shown:
    """Decode one as its description has it, at 16 pixels across. https://github.com/evanw/thumbhash"""
    head = int.from_bytes(hashed[:5], "little")
    see_through, lying, other = bool(head >> 23 & 1), bool(head >> 39), head >> 24 & 7
    full = 5 if see_through else 7
    across, down = (full, other) if lying else (other, full)
    halves = [half for byte in hashed[5:] for half in (byte & 15, byte >> 4)]
    opaque, opaque_scale = (halves.pop(0) / 15, halves.pop(0) / 15) if see_through else (1.0, 0.0)
    sizes = [(max(3, across), max(3, down)), (3, 3), (3, 3), *([(5, 5)] if see_through else [])]
    scales = [(head >> 18 & 31) / 31, (head >> 27 & 63) / 63, (head >> 33 & 63) / 63, opaque_scale]
    waves = []
    for (columns, rows), scale in zip(sizes, scales, strict=False):
        places = [(i, j) for j in range(rows) for i in range(columns) if i * rows < columns * (rows - j)][1:]
        waves.append([(i, j, (halves.pop(0) / 7.5 - 1) * scale) for i, j in places])
    averages = [(head & 63) / 63, (head >> 6 & 63) / 31.5 - 1, (head >> 12 & 63) / 31.5 - 1, opaque]
    width, height = (16, round(16 * down / across)) if across >= down else (round(16 * across / down), 16)

    def at(x: int, y: int) -> tuple[float, float, float, float]:
        light, yellow, red, opacity = (
            average
            + sum(
                wave
                * (2 if j else 1)
                * (2 if i else 1)
                * cos(pi * i * (x + 0.5) / width)
                * cos(pi * j * (y + 0.5) / height)
                for i, j, wave in (waves[n] if n < len(waves) else [])
            )
            for n, average in enumerate(averages)
        )
        blue = light - 2 / 3 * yellow
        first = (3 * light - blue + red) / 2
        return first, first - red, blue, opacity

    return Shown(width, height, [[at(x, y) for x in range(width)] for y in range(height)])


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


def test_a_thumbhash_shows_the_shape_and_the_colours(site: MediaSite) -> None:
    alice = site.person("alice")
    seen = shown(thumbhash_of(alice, halves("white", "black")))
    assert (seen.width, seen.height) == (16, 9)
    assert min(seen.pixels[4][1][:3]) > 0.7
    assert max(seen.pixels[4][14][:3]) < 0.3
    standing = shown(thumbhash_of(alice, halves("white", "black", 6)))
    assert (standing.width, standing.height) == (9, 16)
    assert min(standing.pixels[1][4][:3]) > 0.7
    red = shown(thumbhash_of(alice, png(40, 30, (255, 0, 0)))).pixels[3][3]
    assert all(abs(one - other) < 0.05 for one, other in zip(red, (1, 0, 0, 1), strict=True))


def test_a_thumbhash_shows_what_shines_through(site: MediaSite) -> None:
    image = Image.new("RGBA", (60, 60), (0, 0, 255, 255))
    image.paste((0, 0, 0, 0), (30, 0, 60, 60))
    target = io.BytesIO()
    image.save(target, "PNG")
    pixels = shown(thumbhash_of(site.person("alice"), target.getvalue())).pixels[8]
    assert pixels[2][3] > 0.8
    assert pixels[13][3] < 0.2
    assert pixels[2][2] > 0.8


def test_a_thumbhash_is_as_others_make_it() -> None:
    """Made by the reference program, of a picture whose waves are no ties between two digits."""
    rows = [[((x * x) % 251, (y * 37 + x) % 256, (x * y) % 253, 255) for x in range(40)] for y in range(20)]
    assert thumbhash(rows).hex() == "9ad8091c881055977288888579938b9f0dc098"
    rows = [
        [(*pixel[:3], (7 * x + 5 * y) % 256) for x, pixel in enumerate(row)] for y, row in enumerate(rows)
    ]
    assert thumbhash(rows).hex() == "9cd885138427026582baa1879e1ff0a8077957a8777977"

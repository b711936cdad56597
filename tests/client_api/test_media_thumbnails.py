"""Thumbnails, and pictures that mean harm. https://spec.matrix.org/v1.19/client-server-api/#thumbnails"""

import io
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from storage.database import Database
from tests.client_api.media_site import MediaSite, download, thumbnail, upload
from tests.client_api.pictures import (
    apng,
    blinking_gif,
    bomb,
    box,
    chunk,
    gif,
    huge_webp,
    png,
    png_of,
    size_of,
)
from tests.client_api.sync_site import Syncer


@pytest.fixture
def site(database: Database, tmp_path: Path) -> Iterator[MediaSite]:
    made = MediaSite(database, tmp_path)
    yield made
    made.app.media.processes.stop()


@pytest.fixture
def alice(site: MediaSite) -> Syncer:
    return site.person("alice")


def photo(width: int, height: int, **saved: Any) -> bytes:
    """A JPEG, red on the left and blue on the right."""
    image = Image.new("RGB", (width, height), (0, 0, 255))
    image.paste((255, 0, 0), (0, 0, width // 2, height))
    target = io.BytesIO()
    image.save(target, "JPEG", **saved)
    return target.getvalue()


def turned(width: int, height: int, orientation: int) -> bytes:
    """The same, with a note that it has to be turned, and where it was taken."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    exif[0x010F] = "A camera of Alice"
    return photo(width, height, exif=exif)


def opened(content: bytes) -> Image.Image:
    return Image.open(io.BytesIO(content))


@pytest.mark.parametrize(
    ("asked", "method", "got"),
    [
        ((32, 32), "crop", (32, 32)),
        ((96, 96), "crop", (96, 96)),
        ((320, 240), "scale", (320, 160)),
        ((640, 480), "scale", (640, 320)),
        ((800, 600), "scale", (800, 400)),
        ((33, 33), "scale", (96, 48)),
        ((300, 100), "crop", (320, 128)),
        ((100, 300), "crop", (128, 320)),
        ((1, 1), "scale", (32, 16)),
        ((5000, 5000), "scale", (1600, 800)),
        ((100_000, 1), "crop", (1600, 32)),
    ],
)
def test_a_thumbnail_is_no_smaller_than_asked_for(
    alice: Syncer, asked: tuple[int, int], method: str, got: tuple[int, int]
) -> None:
    reply = thumbnail(alice.http, upload(alice, photo(2000, 1000), "image/jpeg"), *asked, method)
    assert (reply.status, reply.headers["content-type"]) == (200, "image/jpeg")
    assert size_of(reply.body) == got
    assert reply.headers["content-disposition"] == 'inline; filename="thumbnail.jpg"'


def test_a_small_picture_is_given_as_it_is(alice: Syncer) -> None:
    content = png(20, 10)
    reply = thumbnail(alice.http, upload(alice, content, "image/png"), 96, 96, "crop")
    assert (reply.body, reply.headers["content-type"]) == (content, "image/png")


def test_a_picture_is_turned_and_what_it_tells_of_its_maker_is_gone(alice: Syncer) -> None:
    for width in (60, 1000):
        name = upload(alice, turned(width, width // 2, 6), "image/jpeg")
        reply = thumbnail(alice.http, name, 320, 240)
        image = opened(reply.body).convert("RGB")
        assert image.width < image.height
        assert image.getpixel((image.width // 2, 3)) != image.getpixel((image.width // 2, image.height - 3))
        assert b"A camera" not in reply.body
        assert not image.getexif()


def test_what_can_be_seen_through_stays_so(alice: Syncer) -> None:
    target = io.BytesIO()
    Image.new("RGBA", (500, 500), (255, 0, 0, 100)).save(target, "WEBP", lossless=True)
    reply = thumbnail(alice.http, upload(alice, target.getvalue(), "image/webp"), 96, 96)
    assert (reply.headers["content-type"], opened(reply.body).mode) == ("image/png", "RGBA")


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "I;16", "CMYK", "YCbCr"])
def test_every_kind_of_pixels(alice: Syncer, mode: str) -> None:
    kind = "TIFF" if mode == "never" else "JPEG" if mode in ("CMYK", "YCbCr") else "PNG"
    target = io.BytesIO()
    Image.new(mode, (400, 300)).save(target, kind)
    reply = thumbnail(alice.http, upload(alice, target.getvalue()), 96, 96)
    assert reply.status == 200, reply.text
    assert size_of(reply.body) == (96, 72)


def test_a_moving_picture_moves_only_if_asked(alice: Syncer) -> None:
    name = upload(alice, gif(200, 120, 5), "image/gif")
    still = opened(thumbnail(alice.http, name, 96, 96).body)
    moving: Any = opened(thumbnail(alice.http, name, 96, 96, animated=True).body)
    assert (still.format, getattr(still, "is_animated", False)) == ("PNG", False)
    assert (moving.format, moving.n_frames, moving.size) == ("WEBP", 5, (96, 58))


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "AVIF"])
def test_every_kind_of_moving_picture_moves(alice: Syncer, kind: str) -> None:
    frames = [Image.new("RGB", (200, 120), colour) for colour in ("red", "green", "blue")]
    target = io.BytesIO()
    frames[0].save(target, kind, save_all=True, append_images=frames[1:], duration=100)
    name = upload(alice, target.getvalue())
    moving: Any = opened(thumbnail(alice.http, name, 96, 96, animated=True).body)
    assert (moving.format, moving.n_frames, moving.size) == ("WEBP", 3, (96, 58))
    assert getattr(opened(thumbnail(alice.http, name, 96, 96).body), "is_animated", False) is False


def test_a_picture_that_does_not_move_stands_still(alice: Syncer) -> None:
    name = upload(alice, photo(400, 400))
    assert opened(thumbnail(alice.http, name, 96, 96, animated=True).body).format == "JPEG"


def test_a_thumbnail_is_made_once(site: MediaSite, alice: Syncer) -> None:
    content = photo(500, 500)
    first = thumbnail(alice.http, upload(alice, content), 96, 96)
    files = site.files()
    second = thumbnail(alice.http, upload(alice, content), 90, 90)
    assert first.body == second.body
    assert (site.files(), len(files)) == (files, 2)
    assert site.incoming() == []
    assert second.headers["etag"] == first.headers["etag"]


def test_the_type_that_is_declared_counts_for_nothing(alice: Syncer) -> None:
    name = upload(alice, photo(500, 500), "text/html")
    assert thumbnail(alice.http, name, 32, 32, "crop").headers["content-type"] == "image/jpeg"
    reply = thumbnail(alice.http, upload(alice, b"<html>", "image/jpeg"), 32, 32)
    assert (reply.status, reply.errcode) == (400, "M_UNKNOWN")


SVG = b'<svg xmlns="http://www.w3.org/2000/svg"><image href="file:///etc/passwd"/></svg>'
EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 99 99\n(/etc/passwd) run\nshowpage\n"
HOSTILE = {
    "empty": b"",
    "text": b"hello",
    "svg": SVG,
    "postscript": EPS,
    "cut png": png(300, 300)[:60],
    "cut jpeg": photo(600, 600)[:200],
    "png without data": png_of(300, 300, b""),
    "png of other data": png_of(300, 300, zlib.compress(b"x" * 10)),
    "png without size": png_of(0, 0, zlib.compress(b"")),
    "png with a bad checksum": png(300, 300).replace(b"IDAT", b"IDAT\1", 1),
    "png with a bomb of text": png_of(
        300, 300, zlib.compress(bytes(300 * 901)), chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(90_000_000)))
    ),
    "gif without frames": b"GIF89a\xff\xff\xff\xff\x00\x00\x00;",
    "webp of nothing": b"RIFF\xff\xff\xff\xffWEBPVP8 \xff\xff\xff\xff",
    "avif of nothing": b"\0\0\0\x1cftypavif\0\0\0\0avifmif1miaf",
    "bmp of a negative size": b"BM" + bytes(12) + b"\x28\0\0\0" + b"\xff" * 8 + bytes(30),
    "icon": b"\0\0\1\0\1\0" + b"\x10\x10" + bytes(80),
    "svg of a billion laughs": b'<!DOCTYPE x [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;">]><svg>&b;</svg>',
    "webp of 256 million megapixels": huge_webp(),
    "png of all pixels there can be": png_of(0x7FFFFFFF, 0x7FFFFFFF, b"x"),
    "png with a bomb of a profile": png_of(
        300,
        300,
        zlib.compress(bytes(300 * 901)),
        chunk(b"iCCP", b"x\0\0" + zlib.compress(bytes(100_000_000))),
    ),
    "gif of all pixels there can be": blinking_gif(65535, 65535, 3),
    "gif that is a script too": b"GIF89a/*" + bytes(20) + b"*/=alert(1);",
    "heic cut off": box(b"ftyp", b"heic\0\0\0\0mif1heic") + box(b"meta", bytes(40)),
    "avif cut off": box(b"ftyp", b"avif\0\0\0\0avifmif1miaf") + box(b"meta", bytes(40)),
    "jxl": b"\xff\x0a" + bytes(200),
    "mp4 of broken boxes": box(b"ftyp", b"isom\0\0\2\0isommp41") + b"\x7f\xff\xff\xffmoov" + bytes(300),
    "webm of broken elements": b"\x1aE\xdf\xa3\x01" + b"\xff" * 200,
    "ogg of a broken page": b"OggS\0\2" + bytes(22) + b"\x01\x1e\x01vorbis" + b"\xff" * 100,
    "zip": b"PK\3\4" + bytes(26) + b"evil.jar",
    "pdf": b"%PDF-1.4\n" + bytes(100),
    "tiff": b"II*\0\x08\0\0\0\xff\xff" + bytes(500),
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_what_is_no_whole_picture_has_no_thumbnail(site: MediaSite, alice: Syncer, kind: str) -> None:
    name = upload(alice, HOSTILE[kind], "image/png")
    for _ in range(2):
        reply = thumbnail(alice.http, name, 96, 96)
        assert reply.status in (400, 413), reply.text
    assert (len(site.files()), site.incoming()) == (1, [])
    assert thumbnail(alice.http, upload(alice, png(300, 300)), 96, 96).status == 200


def test_an_animation_that_is_too_long_or_broken_stands_still(alice: Syncer) -> None:
    lying, cut = apng(300, 300, 2, 0x7FFFFFFF), gif(200, 200, 5)[:-20_000]
    for content in (blinking_gif(1500, 1500, 2000), lying, cut):
        name = upload(alice, content, "image/gif")
        reply = thumbnail(alice.http, name, 96, 96, animated=True)
        assert (reply.status, getattr(opened(reply.body), "is_animated", False)) == (200, False), reply.text
        assert reply.body == thumbnail(alice.http, name, 96, 96).body


def test_what_hides_behind_a_picture_or_in_it_is_not_in_its_thumbnail(alice: Syncer) -> None:
    hidden = b"PK\3\4" + bytes(26) + b"<script>evil</script>"
    comment = b"\xff\xfe" + (2 + len(hidden)).to_bytes(2, "big") + hidden
    shown = photo(300, 200)
    for content in (png(300, 200) + hidden, shown + hidden, shown[:2] + comment + shown[2:]):
        reply = thumbnail(alice.http, upload(alice, content), 96, 96)
        assert (reply.status, size_of(reply.body)) == (200, (96, 64))
        assert b"evil" not in reply.body


def test_a_picture_of_too_many_pixels_is_refused_without_decoding_it(alice: Syncer) -> None:
    reply = thumbnail(alice.http, upload(alice, bomb(), "image/png"), 96, 96)
    assert (reply.status, reply.errcode) == (413, "M_TOO_LARGE")


def test_a_picture_that_needs_too_much_memory_costs_one_process(database: Database, tmp_path: Path) -> None:
    site = MediaSite(
        database, tmp_path, thumbnails={"memory": "256MB", "max_pixels": 1_000_000_000, "timeout": "20s"}
    )
    alice = site.person("alice")
    large = png_of(20_000, 20_000, zlib.compress((b"\0" + bytes(60_000)) * 200))
    reply = thumbnail(alice.http, upload(alice, large, "image/png"), 96, 96)
    assert (reply.status, reply.errcode) == (413, "M_TOO_LARGE")
    assert thumbnail(alice.http, upload(alice, png(300, 300)), 96, 96).status == 200
    site.app.media.processes.stop()


@pytest.mark.parametrize(("width", "height"), [(0, 10), (-1, 10), (10, 0)])
def test_a_size_that_is_none(alice: Syncer, width: int, height: int) -> None:
    reply = thumbnail(alice.http, upload(alice, png(30, 30)), width, height)
    assert (reply.status, reply.errcode) == (400, "M_INVALID_PARAM")


def test_the_original_is_never_changed(alice: Syncer) -> None:
    content = turned(500, 300, 6)
    name = upload(alice, content, "image/jpeg")
    thumbnail(alice.http, name, 96, 96)
    assert download(alice.http, name).body == content

"""Films and recordings, read by ffmpeg: what they are, pictures of them, and files that mean harm.

https://github.com/matrix-org/matrix-spec-proposals/pull/3246
"""

import os
import socket
import subprocess
import wave
from collections.abc import Iterator
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from imageio_ffmpeg import get_ffmpeg_exe
from PIL import Image

from config.errors import ConfigError
from homeserver.gateways.film_reading import facts_in
from storage.database import Database
from tests.client_api.media_site import CREATE, UPLOAD, MediaSite, download, thumbnail, upload
from tests.client_api.pictures import png
from tests.client_api.sync_site import Syncer

FFMPEG = get_ffmpeg_exe()
PATTERN = ("-f", "lavfi", "-i", "testsrc=d=2:s=160x120:r=5")
TONE = ("-f", "lavfi", "-i", "sine=d=2")
V3 = "/_matrix/client/v3"


@pytest.fixture
def site(database: Database, tmp_path: Path) -> Iterator[MediaSite]:
    made = MediaSite(database, tmp_path / "media", ffmpeg={"program": FFMPEG})
    yield made
    made.app.media.processes.stop()


@pytest.fixture
def alice(site: MediaSite) -> Syncer:
    return site.person("alice")


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """Small ones of several kinds."""
    folder = tmp_path_factory.mktemp("films")
    wanted = {
        "a.mp4": (*PATTERN, *TONE, "-c:v", "libx264", "-pix_fmt", "yuv420p", "-c:a", "aac", "-shortest"),
        "turned.mp4": ("-display_rotation", "90", "-i", "a.mp4", "-c", "copy"),
        "endless.webm": (*PATTERN, "-c:v", "libvpx", "-b:v", "50k", "-live", "1"),
        "voice.ogg": (*TONE, "-c:a", "libopus", "-b:a", "16k"),
        "bomb.avi": (*PATTERN, "-c:v", "mjpeg", "-t", "0.4"),
    }
    for name, options in wanted.items():
        subprocess.run([FFMPEG, "-v", "error", "-nostdin", *options, name], check=True, cwd=folder)
    return {name: (folder / name).read_bytes() for name in wanted}


def wav(*parts: tuple[int, float]) -> bytes:
    """A recording: how loud (0 to 32767) for how many seconds."""
    target = BytesIO()
    with wave.open(target, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16_000)
        for loud, seconds in parts:
            half = (
                loud.to_bytes(2, "little", signed=True) * 8 + (-loud).to_bytes(2, "little", signed=True) * 8
            )
            file.writeframes(half * int(seconds * 1000))
    return target.getvalue()


def described(who: Syncer, content: bytes, **query: str) -> dict[str, Any]:
    """What an upload is answered with, without the address."""
    asked = query or {"org.meridian.generate_info": "true", "xyz.amorgan.generate_blurhash": "true"}
    reply = replace(who.http, specified=False).post(UPLOAD, content, asked, Content_Type="text/plain")
    assert reply.status == 200, reply.text
    answer = dict(reply.json)
    assert answer.pop("content_uri").startswith("mxc://test/")
    return answer


def can(site: MediaSite, who: Syncer) -> Any:
    """What the server says that it can tell of files."""
    return who.http.get(f"{V3}/capabilities").json["capabilities"]["org.meridian.media_info"]


def test_what_a_film_is_does_not_depend_on_what_is_said_of_it(
    site: MediaSite, alice: Syncer, films: dict[str, bytes]
) -> None:
    answer = described(alice, films["a.mp4"])
    assert answer.pop("xyz.amorgan.blurhash").startswith("L")
    assert len(answer.pop("xyz.amorgan.thumbhash")) > 20
    assert answer == {
        "org.meridian.info": {
            "mimetype": "video/mp4", "w": 160, "h": 120, "duration": 2000, "codecs": ["h264", "aac"],
        }
    }  # fmt: skip
    assert described(alice, films["turned.mp4"])["org.meridian.info"]["w"] == 120
    assert can(site, alice) == {"pictures": True, "films": True, "recordings": True}


def test_a_film_that_does_not_say_how_long_it_is_is_measured(alice: Syncer, films: dict[str, bytes]) -> None:
    info = described(alice, films["endless.webm"])["org.meridian.info"]
    assert (info["mimetype"], info["w"], info["codecs"]) == ("video/webm", 160, ["vp8"])
    assert 1500 <= info["duration"] <= 2000


def test_what_is_asked_for_is_told_for_addresses_that_were_given_before_too(
    alice: Syncer, films: dict[str, bytes]
) -> None:
    place = alice.http.post(CREATE).json["content_uri"].removeprefix("mxc://")
    http = replace(alice.http, specified=False)
    asked = {"org.meridian.generate_info": "true"}
    reply = http.put(f"{UPLOAD}/{place}", films["voice.ogg"], asked)
    assert reply.json["org.meridian.info"]["mimetype"] == "audio/ogg"
    assert reply.json.keys() == {"org.meridian.info", "org.matrix.msc1767.audio"}


def test_a_recording_has_a_duration_and_a_waveform(alice: Syncer, films: dict[str, bytes]) -> None:
    answer = described(alice, wav((32767, 2), (0, 2), (8192, 2)))
    assert answer["org.meridian.info"] == {"mimetype": "audio/wav", "duration": 6000, "codecs": ["pcm_s16le"]}
    sound = answer["org.matrix.msc1767.audio"]
    points = sound["waveform"]
    assert (sound["duration"], len(points)) == (6000, 100)
    assert all(0 <= each <= 1024 for each in points)
    assert min(points[2:31]) > 900
    assert max(points[36:64]) == 0
    assert all(200 < each < 300 for each in points[70:98])
    voice = described(alice, films["voice.ogg"])
    assert voice["org.meridian.info"]["codecs"] == ["opus"]
    assert abs(voice["org.matrix.msc1767.audio"]["duration"] - 2000) < 50
    assert described(alice, wav((9, 0.03)))["org.matrix.msc1767.audio"]["waveform"] == [0]


def test_who_does_not_ask_is_told_nothing(alice: Syncer, films: dict[str, bytes]) -> None:
    assert described(alice, films["a.mp4"], other="true") == {}


def test_a_film_has_thumbnails(site: MediaSite, alice: Syncer, films: dict[str, bytes]) -> None:
    name = upload(alice, films["a.mp4"], "video/mp4")
    reply = thumbnail(alice.http, name, 32, 32, "crop")
    assert (reply.status, reply.headers["content-type"]) == (200, "image/jpeg")
    assert Image.open(BytesIO(reply.body)).size == (32, 32)
    assert Image.open(BytesIO(thumbnail(alice.http, name, 800, 600).body)).size == (160, 120)
    turned = upload(alice, films["turned.mp4"], "video/mp4")
    assert Image.open(BytesIO(thumbnail(alice.http, turned, 96, 96).body)).size == (72, 96)
    silent = upload(alice, films["voice.ogg"], "video/mp4")
    assert thumbnail(alice.http, silent, 32, 32).status == 400
    assert site.incoming() == []


def test_without_ffmpeg_everything_else_works(
    database: Database, tmp_path: Path, films: dict[str, bytes]
) -> None:
    site = MediaSite(database, tmp_path, ffmpeg={"use": "never", "program": FFMPEG})
    alice = site.person("alice")
    assert can(site, alice) == {"pictures": True, "films": False, "recordings": False}
    name = upload(alice, films["a.mp4"], "video/mp4")
    assert download(alice.http, name).body == films["a.mp4"]
    assert thumbnail(alice.http, name, 32, 32).status == 400
    assert described(alice, films["a.mp4"]) == {}
    assert described(alice, png(30, 20))["org.meridian.info"] == {"mimetype": "image/png", "w": 30, "h": 20}
    site.app.media.processes.stop()


def test_who_wants_ffmpeg_always_is_told_when_it_is_not_there(database: Database, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no program"):
        MediaSite(database, tmp_path, ffmpeg={"use": "always", "program": "no-such-ffmpeg"})


def playlist(url: str) -> bytes:
    """A list of films, as HLS has it."""
    return f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{url}\n#EXT-X-ENDLIST\n".encode()


def script(path: str) -> bytes:
    """A list of films, as ffmpeg has it."""
    return f"ffconcat version 1.0\nfile '{path}'\n".encode()


def inside(content: bytes) -> list[bytes]:
    """The same behind beginnings of films."""
    return [
        content,
        *(head + content for head in (b"\0\0\0\x18ftypisom" + bytes(12), b"OggS", b"\x1aE\xdf\xa3", b"ID3")),
    ]


def test_files_that_name_others_have_nothing_read_and_nobody_asked(
    site: MediaSite, alice: Syncer, films: dict[str, bytes], tmp_path: Path
) -> None:
    secret = tmp_path / "secret.wav"
    secret.write_bytes(wav((32767, 1)))
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.setblocking(False)
        url = f"http://127.0.0.1:{listening.getsockname()[1]}/a.ts"
        for name in (url, f"file://{secret}", str(secret), "/etc/passwd"):
            for hostile in (*inside(playlist(name)), script(name)):
                assert described(alice, hostile) == {}
                assert thumbnail(alice.http, upload(alice, hostile, "video/mp4"), 32, 32).status == 400
        with pytest.raises(BlockingIOError):
            listening.accept()


def test_broken_films_get_a_clear_answer(site: MediaSite, alice: Syncer, films: dict[str, bytes]) -> None:
    whole = films["a.mp4"]
    huge = films["bomb.avi"].replace(b"\xff\xc0\0\x11\x08\0\x78\0\xa0", b"\xff\xc0\0\x11\x08\xea\x60\xea\x60")
    assert huge != films["bomb.avi"]
    for hostile in (whole[:200], whole[: len(whole) // 2], huge, b"OggS" + bytes(5000), b"\xff\xfb" * 3000):
        answer = described(alice, hostile)
        assert answer.get("org.meridian.info", {}).get("w", 0) < 60_000
        assert thumbnail(alice.http, upload(alice, hostile), 32, 32).status in (400, 413)
    assert described(alice, whole)["org.meridian.info"]["w"] == 160
    assert site.incoming() == []


def test_an_ffmpeg_that_does_not_end_is_ended_with_all_that_it_began(
    database: Database, tmp_path: Path, films: dict[str, bytes]
) -> None:
    program, begun = tmp_path / "ffmpeg", tmp_path / "begun"
    program.write_text(f"#!/bin/sh\nsleep 1000 &\necho $! >> {begun}\nwhile true; do echo more >&2; done\n")
    program.chmod(0o700)
    site = MediaSite(
        database, tmp_path / "media", ffmpeg={"program": str(program)}, thumbnails={"timeout": "4s"}
    )
    alice = site.person("alice")
    assert described(alice, films["a.mp4"]) == {}
    name = upload(alice, films["a.mp4"])
    assert thumbnail(alice.http, name, 32, 32).status == 400
    asleep = [int(each) for each in begun.read_text().split()]
    assert len(asleep) == 2
    assert not any(_runs(each) for each in asleep)
    site.app.media.processes.stop()


def _runs(process: int) -> bool:
    try:
        os.kill(process, 0)
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (ProcessLookupError, FileNotFoundError):
        return False


def test_what_a_film_says_of_itself_is_not_taken_for_what_ffmpeg_says() -> None:
    said = b"""Input #0, mov, from 'x':
  Metadata:
    title           : a
                    :   Duration: 99:00:00.00, start
  Duration: 00:01:02.50, start: 0.000000, bitrate: 97 kb/s
  Stream #0:0[0x1](und): Audio: aac (LC) (mp4a / 0x6134706D), 44100 Hz, mono, fltp, 69 kb/s (default)
      Metadata:
        handler_name    : Video: h264, 9x9
  Stream #0:1[0x2](und): Video: h264 (High) (avc1 / 0x31637661), yuv420p(progressive), 160x120 [SAR 1:1 DAR 4:3]
      Side data:
        displaymatrix: rotation of -90.00 degrees
  Stream #0:2[0x0]: Video: png, rgba(pc), 600x500, 90k tbr, 90k tbn (attached pic)
"""
    facts = facts_in(said)
    assert facts.duration == 62_500
    assert facts.codecs == ["h264", "aac"]
    assert facts.video is not None
    assert facts.cover is not None
    assert (facts.video.size, facts.video.index, facts.cover.index) == ((120, 160), 1, 2)

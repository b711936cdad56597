"""Bringing and getting content. https://spec.matrix.org/v1.19/client-server-api/#content-repository"""

from pathlib import Path

import pytest

from storage.database import Database
from tests.client_api.media_site import (
    CREATE,
    MEDIA,
    OLD,
    UPLOAD,
    MediaSite,
    connection,
    download,
    head_of_upload,
    upload,
)
from tests.client_api.sync_site import Syncer
from tests.harness.client import parse_reply

LIMIT = 1_000_000
HOURS_49 = 49 * 3600


@pytest.fixture
def site(database: Database, tmp_path: Path) -> MediaSite:
    return MediaSite(database, tmp_path, max_upload=LIMIT)


@pytest.fixture
def alice(site: MediaSite) -> Syncer:
    return site.person("alice")


def test_what_was_uploaded_is_downloaded(site: MediaSite, alice: Syncer) -> None:
    content = bytes(range(256)) * 2000
    name = upload(alice, content, "image/png", filename="a.png")
    reply = download(site.person("bob").http, name)
    assert (reply.status, reply.body) == (200, content)
    assert reply.headers["content-type"] == "image/png"
    assert reply.headers["content-disposition"] == 'inline; filename="a.png"'
    assert "sandbox" in reply.headers["content-security-policy"]
    assert reply.headers["cross-origin-resource-policy"] == "cross-origin"
    assert reply.headers["x-content-type-options"] == "nosniff"
    assert reply.headers["cache-control"].startswith("private, max-age=")


def test_nothing_is_an_upload_too(alice: Syncer) -> None:
    reply = download(alice.http, upload(alice, b""))
    assert (reply.status, reply.body) == (200, b"")


def test_content_is_there_after_a_restart(site: MediaSite, alice: Syncer) -> None:
    name = upload(alice, b"kept")
    site.start()
    alice.reconnect()
    assert download(alice.http, name).body == b"kept"


def test_without_a_token_nobody_uploads_and_nobody_downloads(site: MediaSite, alice: Syncer) -> None:
    name = upload(alice, b"x")
    assert site.http.post(UPLOAD, b"x").errcode == "M_MISSING_TOKEN"
    assert download(site.http, name).errcode == "M_MISSING_TOKEN"
    assert site.http.get(f"{MEDIA}/config").errcode == "M_MISSING_TOKEN"


def test_clients_are_told_how_much_they_may_upload(alice: Syncer) -> None:
    for path in (f"{MEDIA}/config", f"{OLD}/config"):
        assert alice.http.get(path).json == {"m.upload.size": LIMIT}


def test_the_same_bytes_are_kept_once(site: MediaSite, alice: Syncer) -> None:
    first, second = upload(alice, b"same", filename="1.txt"), upload(alice, b"same", "text/html")
    assert first != second
    assert len(site.files()) == 1
    assert download(alice.http, first).headers["content-disposition"] == 'inline; filename="1.txt"'
    assert download(alice.http, second).headers["content-disposition"] == "attachment"


@pytest.mark.parametrize(
    ("declared", "given", "kind"),
    [
        ("text/html", "text/html", "attachment"),
        ("image/svg+xml", "image/svg+xml", "attachment"),
        ("application/pdf", "application/pdf", "attachment"),
        ("image/png", "image/png", "inline"),
        ("IMAGE/PNG", "IMAGE/PNG", "inline"),
        ("text/plain; charset=utf-8", "text/plain; charset=utf-8", "inline"),
        ("text/plain, text/html", "application/octet-stream", "attachment"),
        ("nonsense", "application/octet-stream", "attachment"),
        ("", "application/octet-stream", "attachment"),
        ("a/" + "b" * 300, "application/octet-stream", "attachment"),
    ],
)
def test_only_harmless_types_are_shown_in_place(alice: Syncer, declared: str, given: str, kind: str) -> None:
    reply = download(alice.http, upload(alice, b"<script>", declared))
    assert (reply.headers["content-type"], reply.headers["content-disposition"]) == (given, kind)


@pytest.mark.parametrize(
    ("name", "written"),
    [
        ("photo 1.png", 'inline; filename="photo 1.png"'),
        ("naïve.png", "inline; filename*=utf-8''na%C3%AFve.png"),
        ("снимок.png", "inline; filename*=utf-8''%D1%81%D0%BD%D0%B8%D0%BC%D0%BE%D0%BA.png"),
        ("写真🙂.png", "inline; filename*=utf-8''%E5%86%99%E7%9C%9F%F0%9F%99%82.png"),
        ('a"b\\c.png', "inline; filename*=utf-8''a%22b%5Cc.png"),
        ("a\r\nX-Evil: 1.png", 'inline; filename="aX-Evil: 1.png"'),
        ("a;b=c,d.png", 'inline; filename="a;b=c,d.png"'),
        ("  ", "inline"),
    ],
)
def test_a_file_keeps_its_name_in_every_script(alice: Syncer, name: str, written: str) -> None:
    reply = download(alice.http, upload(alice, b"x", "image/png", filename=name))
    assert reply.headers["content-disposition"] == written
    assert "x-evil" not in reply.headers


def test_the_path_gives_another_name(alice: Syncer) -> None:
    name = upload(alice, b"x", "image/png", filename="one.png")
    assert (
        download(alice.http, name, "two.png").headers["content-disposition"] == 'inline; filename="two.png"'
    )


@pytest.mark.parametrize(
    ("asked", "status", "body", "said"),
    [
        ("bytes=0-3", 206, b"0123", "bytes 0-3/10"),
        ("bytes=4-", 206, b"456789", "bytes 4-9/10"),
        ("bytes=-3", 206, b"789", "bytes 7-9/10"),
        ("bytes=-30", 206, b"0123456789", "bytes 0-9/10"),
        ("bytes=8-100", 206, b"89", "bytes 8-9/10"),
        ("bytes=5-2", 200, b"0123456789", None),
        ("bytes=0-1,4-5", 200, b"0123456789", None),
        ("lines=0-1", 200, b"0123456789", None),
        ("bytes=-", 200, b"0123456789", None),
    ],
)
def test_a_part_of_the_content(alice: Syncer, asked: str, status: int, body: bytes, said: str | None) -> None:
    reply = download(alice.http, upload(alice, b"0123456789"), Range=asked)
    assert (reply.status, reply.body, reply.headers.get("content-range")) == (status, body, said)
    assert reply.headers["accept-ranges"] == "bytes"


@pytest.mark.parametrize("asked", ["bytes=10-", "bytes=99-100", "bytes=-0"])
def test_a_part_that_is_not_there(alice: Syncer, asked: str) -> None:
    reply = download(alice.http, upload(alice, b"0123456789"), Range=asked)
    assert (reply.status, reply.headers["content-range"]) == (416, "bytes */10")


def test_what_the_client_has_is_not_sent_again(alice: Syncer) -> None:
    name = upload(alice, b"0123456789")
    etag = download(alice.http, name).headers["etag"]
    assert download(alice.http, name, If_None_Match=f'"other", {etag}').status == 304
    assert download(alice.http, name, If_None_Match='"other"').status == 200
    assert download(alice.http, name, Range="bytes=0-1", If_Range=etag).status == 206
    assert download(alice.http, name, Range="bytes=0-1", If_Range='"other"').status == 200


def test_head_gives_the_headers_alone(alice: Syncer) -> None:
    name = upload(alice, b"0123456789")
    reply = alice.http.request("HEAD", f"{MEDIA}/download/{name}")
    assert (reply.status, reply.headers["content-length"], reply.body) == (200, "10", b"")


@pytest.mark.parametrize(
    "media_id", ["..%2f..%2fetc%2fpasswd", "a.b", "a%00b", "%C3%A9", "a" * 256, "%2e%2e"]
)
def test_what_is_no_media_id_is_refused(alice: Syncer, media_id: str) -> None:
    reply = alice.http.get(f"{MEDIA}/download/localhost/{media_id}")
    assert (reply.status, reply.errcode) == (400, "M_INVALID_PARAM")


def test_unknown_media(alice: Syncer) -> None:
    server = upload(alice, b"x").partition("/")[0]
    reply = download(alice.http, f"{server}/unknown")
    assert (reply.status, reply.errcode) == (404, "M_NOT_FOUND")


def test_a_lost_file_is_told_as_not_found(site: MediaSite, alice: Syncer) -> None:
    name = upload(alice, b"lost")
    site.files()[0].unlink()
    assert download(alice.http, name).errcode == "M_NOT_FOUND"


# --- Sizes ----------------------------------------------------------------------------------------


def test_an_upload_of_the_largest_size(alice: Syncer) -> None:
    content = b"x" * LIMIT
    assert download(alice.http, upload(alice, content)).body == content


def test_an_upload_that_announces_too_much_is_refused_before_it_is_read(
    site: MediaSite, alice: Syncer
) -> None:
    client = connection(site)
    client.send(head_of_upload(alice, UPLOAD, LIMIT + 1))
    parsed = parse_reply(client.received())
    assert parsed is not None
    assert (parsed[0].status, parsed[0].errcode) == (413, "M_TOO_LARGE")
    assert site.incoming() == []


def test_an_upload_that_turns_out_too_large_is_refused(site: MediaSite, alice: Syncer) -> None:
    client = connection(site)
    client.send(head_of_upload(alice, UPLOAD, None))
    for _ in range(12):
        client.send(b"186a0\r\n" + bytes(100_000) + b"\r\n")
    parsed = parse_reply(client.received())
    assert parsed is not None
    assert (parsed[0].status, parsed[0].errcode) == (413, "M_TOO_LARGE")
    assert (site.incoming(), site.files()) == ([], [])


def test_a_stranger_is_refused_before_the_upload_is_read(site: MediaSite) -> None:
    client = connection(site)
    client.send(f"POST {UPLOAD} HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n".encode())
    parsed = parse_reply(client.received())
    assert parsed is not None
    assert (parsed[0].status, parsed[0].errcode) == (401, "M_MISSING_TOKEN")


def test_the_head_of_an_upload_is_answered_before_its_body_comes(site: MediaSite, alice: Syncer) -> None:
    client = connection(site)
    head = head_of_upload(alice, UPLOAD, 3).replace(b"\r\n\r\n", b"\r\nExpect: 100-continue\r\n\r\n")
    client.send(head)
    assert client.received() == b"HTTP/1.1 100 Continue\r\n\r\n"
    client.send(b"abc")
    parsed = parse_reply(client.received())
    assert parsed is not None
    assert parsed[0].status == 200


def test_a_connection_serves_again_after_an_upload(site: MediaSite, alice: Syncer) -> None:
    client = connection(site)
    for _ in range(2):
        client.send(head_of_upload(alice, UPLOAD, 3) + b"abc")
        parsed = parse_reply(client.received())
        assert parsed is not None
        assert (parsed[0].status, parsed[1]) == (200, b"")


def test_an_upload_that_is_cut_leaves_nothing(site: MediaSite, alice: Syncer) -> None:
    client = connection(site)
    client.send(head_of_upload(alice, UPLOAD, 900_000) + bytes(800_000))
    assert len(site.incoming()) == 1
    client.close()
    assert (site.incoming(), site.files()) == ([], [])


def test_a_body_may_come_in_any_pieces(site: MediaSite, alice: Syncer) -> None:
    content = bytes(range(256)) * 20
    client = connection(site)
    request = head_of_upload(alice, UPLOAD, len(content)) + content
    for start in range(0, len(request), 97):
        client.send(request[start : start + 97])
    parsed = parse_reply(client.received())
    assert parsed is not None
    name = parsed[0].json["content_uri"].removeprefix("mxc://")
    assert download(alice.http, name).body == content


# --- Uploads that come later ----------------------------------------------------------------------


def create(who: Syncer) -> str:
    reply = who.http.post(CREATE)
    assert reply.status == 200, reply.text
    return str(reply.json["content_uri"]).removeprefix("mxc://")


def test_content_comes_after_its_address(site: MediaSite, alice: Syncer) -> None:
    name = create(alice)
    reply = alice.http.get(f"{MEDIA}/download/{name}", {"timeout_ms": 0})
    assert (reply.status, reply.errcode) == (504, "M_NOT_YET_UPLOADED")
    assert alice.http.put(f"{UPLOAD}/{name}", b"here", Content_Type="text/css").json == {}
    reply = download(alice.http, name)
    assert (reply.body, reply.headers["content-type"]) == (b"here", "text/css")


def test_a_download_waits_for_the_upload(alice: Syncer) -> None:
    name = create(alice)
    pending = alice.http.start("GET", f"{MEDIA}/download/{name}")
    assert not pending.done
    alice.http.put(f"{UPLOAD}/{name}", b"here")
    assert pending.reply.body == b"here"


def test_a_download_waits_no_longer_than_it_says(site: MediaSite, alice: Syncer) -> None:
    pending = alice.http.start("GET", f"{MEDIA}/download/{create(alice)}", query={"timeout_ms": 5000})
    site.clock.advance(4.5)
    assert not pending.done
    site.clock.advance(1)
    assert pending.reply.errcode == "M_NOT_YET_UPLOADED"


def test_content_is_never_replaced(alice: Syncer) -> None:
    name = create(alice)
    alice.http.put(f"{UPLOAD}/{name}", b"first")
    for taken in (name, upload(alice, b"first")):
        reply = alice.http.put(f"{UPLOAD}/{taken}", b"second")
        assert (reply.status, reply.errcode) == (409, "M_CANNOT_OVERWRITE_MEDIA")
        assert download(alice.http, taken).body == b"first"


def test_of_two_uploads_at_once_the_first_to_end_counts(site: MediaSite, alice: Syncer) -> None:
    name = create(alice)
    slow = connection(site)
    slow.send(head_of_upload(alice, f"{UPLOAD}/{name}", 4, "PUT") + b"sl")
    alice.http.put(f"{UPLOAD}/{name}", b"fast")
    slow.send(b"ow")
    parsed = parse_reply(slow.received())
    assert parsed is not None
    assert parsed[0].errcode == "M_CANNOT_OVERWRITE_MEDIA"
    assert download(alice.http, name).body == b"fast"
    assert (len(site.files()), site.incoming()) == (1, [])


def test_an_address_is_for_who_got_it(site: MediaSite, alice: Syncer) -> None:
    reply = site.person("bob").http.put(f"{UPLOAD}/{create(alice)}", b"x")
    assert (reply.status, reply.errcode) == (403, "M_FORBIDDEN")


def test_an_address_that_nobody_got(alice: Syncer) -> None:
    server = create(alice).partition("/")[0]
    for name in (f"{server}/unknown", "elsewhere.example/unknown"):
        reply = alice.http.put(f"{UPLOAD}/{name}", b"x")
        assert (reply.status, reply.errcode) == (404, "M_NOT_FOUND")


def test_an_address_expires(site: MediaSite, alice: Syncer) -> None:
    name = create(alice)
    site.clock.advance(HOURS_49)
    reply = alice.http.put(f"{UPLOAD}/{name}", b"x")
    assert (reply.status, reply.errcode) == (404, "M_NOT_FOUND")
    assert download(alice.http, name).errcode == "M_NOT_FOUND"


def test_a_user_has_a_limited_number_of_addresses_in_waiting(site: MediaSite, alice: Syncer) -> None:
    names = [create(alice) for _ in range(10)]
    reply = alice.http.post(CREATE)
    assert (reply.status, reply.errcode) == (429, "M_LIMIT_EXCEEDED")
    assert reply.json["retry_after_ms"] > 0
    create(site.person("bob"))
    alice.http.put(f"{UPLOAD}/{names[0]}", b"x")
    create(alice)
    site.clock.advance(HOURS_49)
    create(alice)


# --- Without a token ------------------------------------------------------------------------------


def test_the_old_endpoints_give_nothing_that_is_new(site: MediaSite, alice: Syncer) -> None:
    name = upload(alice, b"new")
    for version in ("v3", "r0", "v1"):
        reply = site.http.get(f"/_matrix/media/{version}/download/{name}")
        assert (reply.status, reply.errcode) == (404, "M_NOT_FOUND")
    reply = site.http.get(f"{OLD}/thumbnail/{name}", {"width": 32, "height": 32})
    assert reply.errcode == "M_NOT_FOUND"


def test_what_came_before_the_day_is_for_everybody(database: Database, tmp_path: Path) -> None:
    site = MediaSite(database, tmp_path, unauthenticated_before="2023-11-16")  # the clock begins on the 14th
    alice = site.person("alice")
    old = upload(alice, b"old")
    site.clock.advance(HOURS_49)
    new = upload(alice, b"old")
    reply = site.http.get(f"{OLD}/download/{old}/name.txt")
    assert (reply.status, reply.body) == (200, b"old")
    assert reply.headers["cache-control"].startswith("public")
    assert site.http.get(f"{OLD}/download/{new}").errcode == "M_NOT_FOUND"
    assert download(alice.http, old).headers["cache-control"].startswith("public")
    assert download(alice.http, new).status == 200

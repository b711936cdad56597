"""Content between servers. https://spec.matrix.org/v1.19/server-server-api/#content-repository"""

from typing import Any

import pytest

from tests.client_api.pictures import png, size_of
from tests.federation.whole_servers import Person, World, in_world, request
from tests.harness.client import Client, Reply
from tests.harness.outside import AUTHORITY, Peer, respond

MEDIA = "/_matrix/client/v1/media"
NOT_THERE = b'{"errcode":"M_UNRECOGNIZED","error":"Unrecognized request"}'


@pytest.mark.usefixtures("internet")
class TestMedia(World):
    """What was uploaded on one server is seen on the others."""

    @in_world
    async def test_content_of_another_server_is_fetched_once(self) -> None:
        alpha, beta = await self.two_servers()
        alice, bob = await alpha.person("alice"), await beta.person("bob")
        content = bytes(range(256)) * 3000
        name = await upload(bob, content, "image/png", "снимок.png")
        reply = await download(alice, name)
        assert (reply.status, reply.body) == (200, content)
        assert reply.headers["content-type"] == "image/png"
        assert "filename*=utf-8''%D1%81" in reply.headers["content-disposition"]
        beta.cut_off()
        assert (await download(alice, name)).body == content

    @in_world
    async def test_empty_content_comes_over(self) -> None:
        alpha, beta = await self.two_servers()
        alice, bob = await alpha.person("alice"), await beta.person("bob")
        reply = await download(alice, await upload(bob, b"", "text/plain"))
        assert (reply.status, reply.body) == (200, b"")

    @in_world
    async def test_a_thumbnail_of_another_servers_picture(self) -> None:
        alpha, beta = await self.two_servers()
        alice, bob = await alpha.person("alice"), await beta.person("bob")
        name = await upload(bob, png(400, 200), "image/png")
        size = {"width": 96, "height": 96, "method": "scale"}
        reply = await alice.ask_path("GET", f"{MEDIA}/thumbnail/{name}", None, size)
        assert (reply.status, size_of(reply.body)) == (200, (96, 48))
        alpha.app.media.processes.stop()

    @in_world
    async def test_what_another_server_does_not_have(self) -> None:
        alpha, beta = await self.two_servers()
        alice = await alpha.person("alice")
        reply = await download(alice, f"{beta.name}/unknown")
        assert (reply.status, reply.errcode) == (404, "M_NOT_FOUND")

    @in_world
    async def test_a_server_that_is_away(self) -> None:
        alpha, beta = await self.two_servers()
        alice = await alpha.person("alice")
        beta.cut_off()
        reply = await download(alice, f"{beta.name}/unknown")
        assert reply.status == 502

    @in_world
    async def test_content_that_is_still_to_come(self) -> None:
        alpha, beta = await self.two_servers()
        alice, bob = await alpha.person("alice"), await beta.person("bob")
        name = (await bob.ask_path("POST", "/_matrix/media/v1/create")).json["content_uri"][len("mxc://") :]
        reply = await alice.ask_path("GET", f"{MEDIA}/download/{name}", None, {"timeout_ms": 10})
        assert (reply.status, reply.errcode) == (504, "M_NOT_YET_UPLOADED")
        await bob.ask_path("PUT", f"/_matrix/media/v3/upload/{name}", b"come")
        assert (await download(alice, name)).body == b"come"

    @in_world
    async def test_content_that_is_too_large(self) -> None:
        beta = await self.server("beta.example")
        alpha = await self.server("alpha.example", "media: {max_remote: 1KiB}\n")
        alice, bob = await alpha.person("alice"), await beta.person("bob")
        for size in (1100, 500_000):
            reply = await download(alice, await upload(bob, bytes(size), "text/plain"))
            assert (reply.status, reply.errcode) == (502, "M_TOO_LARGE")
        assert (await download(alice, await upload(bob, bytes(1024), "text/plain"))).status == 200

    @in_world
    async def test_without_a_token_a_client_makes_us_fetch_nothing(self) -> None:
        alpha, beta = await self.two_servers()
        name = await upload(await beta.person("bob"), b"x", "text/plain")
        reply = await request(alpha.http, "GET", f"/_matrix/media/v3/download/{name}")
        assert (reply.status, reply.errcode) == (404, "M_NOT_FOUND")

    @in_world
    async def test_only_servers_that_sign_are_given_content(self) -> None:
        alpha = await self.server("alpha.example")
        name = await upload(await alpha.person("alice"), b"x", "text/plain")
        path = f"/_matrix/federation/v1/media/download/{name.partition('/')[2]}"
        assert (await request(alpha.http, "GET", path)).status == 401

    @in_world
    async def test_an_older_server_is_asked_as_it_knows(self) -> None:
        await self._asks_an_older_server(404, NOT_THERE)

    @in_world
    async def test_an_older_server_may_say_in_no_matrix_error_what_it_does_not_know(self) -> None:
        await self._asks_an_older_server(400, b"What?")

    async def _asks_an_older_server(self, status: int, refusal: bytes) -> None:
        alpha = await self.server("alpha.example")
        alice = await alpha.person("alice")

        def answer(asked: Any) -> None:
            if b"/federation/v1/media/" in asked.uri:
                respond(asked, status, refusal, Content_Type="application/json")
            else:
                respond(
                    asked,
                    200,
                    b"old",
                    Content_Type="text/css",
                    Content_Disposition='inline; filename="a.css"',
                )

        old = self.peer("old.example", answer)
        reply = await download(alice, "old.example/abc")
        assert (reply.body, reply.headers["content-type"]) == (b"old", "text/css")
        assert reply.headers["content-disposition"] == 'inline; filename="a.css"'
        last = old.seen[-1].target
        assert last.startswith("/_matrix/media/v3/download/old.example/abc?")
        assert "allow_remote=false" in last

    @in_world
    async def test_a_server_may_keep_its_content_elsewhere(self) -> None:
        alpha = await self.server("alpha.example")
        alice = await alpha.person("alice")
        store = self.peer(
            "store.example", lambda asked: respond(asked, 200, b"stored", Content_Type="image/gif")
        )
        body = (
            b"--b\r\nContent-Type: application/json\r\n\r\n{}\r\n"
            b"--b\r\nLocation: https://store.example:8448/file\r\n\r\n\r\n--b--\r\n"
        )
        self.peer("far.example", multipart(body))
        reply = await download(alice, "far.example/abc")
        assert (reply.body, reply.headers["content-type"]) == (b"stored", "image/gif")
        assert "authorization" not in store.seen[0].headers

    @in_world
    async def test_nobody_makes_us_fetch_from_inside_our_network(self) -> None:
        alpha = await self.server("alpha.example")
        alice = await alpha.person("alice")
        for number, url in enumerate(
            ("http://127.0.0.1:1/", "http://169.254.169.254/", "file:///etc/passwd")
        ):
            body = f"--b\r\n\r\n{{}}\r\n--b\r\nLocation: {url}\r\n\r\n\r\n--b--\r\n".encode()
            self.peer(f"evil{number}.example", multipart(body))
            assert (await download(alice, f"evil{number}.example/abc")).status == 502
        assert not [place for place in self.streets.called if place[0] in ("127.0.0.1", "169.254.169.254")]

    @in_world
    async def test_answers_that_are_none(self) -> None:
        alpha = await self.server("alpha.example")
        alice = await alpha.person("alice")
        broken = {
            "cut": b"--b\r\n\r\n{}\r\n--b\r\nContent-Type: text/plain\r\n\r\ncontent",
            "one": b"--b\r\n\r\n{}\r\n--b--\r\n",
            "none": b"content",
            "long": b"--b\r\n\r\n" + b"x" * 100_000,
        }
        for kind, body in broken.items():
            self.peer(f"{kind}.example", multipart(body))
            assert (await download(alice, f"{kind}.example/abc")).status == 502, kind
        self.peer("plain.example", lambda asked: respond(asked, 200, b"x", Content_Type="text/plain"))
        assert (await download(alice, "plain.example/abc")).status == 502

    def peer(self, name: str, answer: Any) -> Peer:
        """A server that is none of ours."""
        peer = Peer(answer, AUTHORITY.leaf([name])).start()
        self.addCleanup(peer.stop)
        self.address(name, peer.port)
        return peer


def multipart(body: bytes) -> Any:
    """Answer with two parts, or what should be."""
    return lambda asked: respond(asked, 200, body, Content_Type='multipart/mixed; boundary="b"')


async def upload(who: Person, content: bytes, media_type: str, filename: str | None = None) -> str:
    """Upload something; what follows `mxc://`."""
    query = {} if filename is None else {"filename": filename}
    reply = await request(_typed(who, media_type), "POST", "/_matrix/media/v3/upload", content, query)
    assert reply.status == 200, reply.text
    return str(reply.json["content_uri"]).removeprefix("mxc://")


async def download(who: Person, name: str) -> Reply:
    """Download something."""
    return await who.ask_path("GET", f"{MEDIA}/download/{name}")


class _Typed(Client):
    """Says what it uploads."""

    def encoded(self, *arguments: Any, **named: Any) -> bytes:
        media_type = self.headers["X-Type"].encode()
        return super().encoded(*arguments, **named).replace(b"application/json", media_type)


def _typed(who: Person, media_type: str) -> Client:
    return _Typed(who.server.site, who.token, headers={"X-Type": media_type})

"""Previews of pages. https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv1mediapreview_url"""

import json
from typing import Any

import pytest

from homeserver.services.media import previews
from tests.client_api.pictures import png
from tests.federation.whole_servers import Person, World, in_world
from tests.harness.client import Reply
from tests.harness.outside import AUTHORITY, Peer, respond

MEDIA = "/_matrix/client/v1/media"
ON = "media: {url_previews: {enabled: true, deny_hosts: ['*.hidden.example']}}\noutbound: {verify_tls: false}\n"
HTML = "text/html; charset=utf-8"


@pytest.mark.usefixtures("internet")
class TestPreviews(World):
    """What pages say of themselves."""

    async def alice(self, settings: str = ON) -> Person:
        server = await self.server("alpha.example", settings)
        self.addCleanup(server.app.media.processes.stop)
        return await server.person("alice")

    def page(self, pages: dict[str, tuple[str, bytes]], name: str = "page.example") -> Peer:
        """A web server."""

        def answer(asked: Any) -> None:
            media_type, body = pages.get(asked.uri.decode(), ("", b""))
            respond(asked, 200 if media_type else 404, body, Content_Type=media_type or "text/plain")

        peer = Peer(answer, AUTHORITY.leaf([name])).start()
        self.addCleanup(peer.stop)
        self.address(name, peer.port)
        return peer

    @in_world
    async def test_a_page_with_open_graph_and_a_picture(self) -> None:
        alice = await self.alice()
        html = b"""<html><head><title>The Rock (1996)</title><meta property="og:title" content="The Rock &amp; more">
            <meta property="og:type" content="video.movie"><meta property="og:image" content="a.png"></head></html>"""
        peer = self.page({"/dir/page": (HTML, html), "/dir/a.png": ("image/png", png(30, 20))})
        found = (await preview(alice, "https://page.example:8448/dir/page#part")).json
        assert (found["og:title"], found["og:type"]) == ("The Rock & more", "video.movie")
        assert (found["og:image:width"], found["og:image:height"]) == (30, 20)
        assert (found["og:image:type"], found["matrix:image:size"]) == ("image/png", len(png(30, 20)))
        name = found["og:image"].removeprefix("mxc://")
        assert (await alice.ask_path("GET", f"{MEDIA}/download/{name}")).body == png(30, 20)
        assert (await preview(alice, "https://page.example:8448/dir/page")).json == found
        assert len(peer.seen) == 2

    @in_world
    async def test_a_page_that_says_nothing_of_itself(self) -> None:
        alice = await self.alice()
        html = b"<title> A\n page </title><body><script>evil()</script><nav>menu</nav><p>First &lt;words&gt;.<p>More"
        self.page({"/": (HTML, html)})
        found = (await preview(alice, "https://page.example:8448/")).json
        assert found == {"og:title": "A page", "og:description": "First <words>. More"}

    @in_world
    async def test_what_a_page_says_by_oembed(self) -> None:
        alice = await self.alice()
        html = b'<link rel="alternate" type="application/json+oembed" href="/o.json"><body>'
        told = b'{"title": "Told", "provider_name": "Tube", "author_name": "Ann", "version": "1.0"}'
        self.page({"/": (HTML, html), "/o.json": ("application/json", told)})
        found = (await preview(alice, "https://page.example:8448/")).json
        assert (found["og:title"], found["og:site_name"]) == ("Told", "Tube")

    @in_world
    async def test_what_a_page_says_by_linked_data(self) -> None:
        alice = await self.alice()
        site = {"@type": "WebSite", "name": "The Paper"}
        article = {
            "@type": ["NewsArticle"], "headline": "It happened", "description": "At last.",
            "image": [{"url": "/a.png"}],
            "publisher": {"name": "The Paper"}, "author": [{"@type": "Person", "name": "Ann"}],
        }  # fmt: skip
        pages = {
            "/graph": {"@context": "https://schema.org", "@graph": [site, article]},
            "/list": [site, {**article, "@type": "https://schema.org/Article"}],
        }
        html = (
            '<title>Paper</title><script type="application/ld+json">{}</script><body>Text<script>"x"</script>'
        )
        self.page(
            {path: (HTML, html.format(json.dumps(data)).encode()) for path, data in pages.items()}
            | {"/a.png": ("image/png", png(30, 20))}
            | {"/broken": (HTML, html.format("[" * 100_000).encode())}
            | {
                "/stated": (
                    HTML,
                    b'<meta property="og:title" content="Stated">'
                    + html.format(json.dumps(article)).encode(),
                )
            }
        )
        for path in pages:
            found = (await preview(alice, f"https://page.example:8448{path}")).json
            told = [found[f"og:{name}"] for name in ("title", "description", "site_name", "article:author")]
            assert told == ["It happened", "At last.", "The Paper", "Ann"]
            assert found["og:image:width"] == 30
        broken = (await preview(alice, "https://page.example:8448/broken")).json
        assert broken == {"og:title": "Paper", "og:description": "Text"}
        assert (await preview(alice, "https://page.example:8448/stated")).json["og:title"] == "Stated"

    @in_world
    async def test_only_hosts_that_are_allowed_are_asked_where_some_are(self) -> None:
        alice = await self.alice(ON.replace("deny_hosts", "allow_hosts: ['*.example'], deny_hosts"))
        self.page({"/": (HTML, b"<title>Here</title>")})
        assert (await preview(alice, "https://page.example:8448/")).json == {"og:title": "Here"}
        for host in ("page.other", "x.hidden.example"):
            assert (await preview(alice, f"https://{host}/")).errcode == "M_FORBIDDEN"

    @in_world
    async def test_where_too_many_pages_wait_one_more_has_to_come_again(self) -> None:
        self.put(previews, "MOST_UNDER_WAY", 0)
        alice = await self.alice()
        reply = await preview(alice, "https://page.example:8448/")
        assert (reply.status, reply.errcode) == (429, "M_LIMIT_EXCEEDED")

    @in_world
    async def test_pages_in_every_encoding(self) -> None:
        alice = await self.alice()
        title = "Привет"
        pages = {
            "/1": ("text/html; charset=windows-1251", f"<title>{title}</title>".encode("cp1251")),
            "/2": ("text/html", f'<meta charset="koi8-r"><title>{title}</title>'.encode("koi8-r")),
            "/3": ("text/html", f"<title>{title}</title>".encode()),
            "/4": ("text/html", b"\xff\xfe" + f"<title>{title}</title>".encode("utf-16-le")),
            "/5": ("text/html; charset=nonsense", f"<title>{title}</title>".encode()),
            "/6": ("text/html; charset=base64", f"<title>{title}</title>".encode()),
        }
        self.page(pages)
        for path in pages:
            found = (await preview(alice, f"https://page.example:8448{path}")).json
            assert found["og:title"] == title, path

    @in_world
    async def test_a_link_to_a_picture(self) -> None:
        alice = await self.alice()
        self.page({"/a": ("image/png", png(30, 20))})
        found = (await preview(alice, "https://page.example:8448/a")).json
        assert (found["og:image:width"], found["og:image:height"]) == (30, 20)

    @in_world
    async def test_a_page_without_end_is_read_as_far_as_needed(self) -> None:
        alice = await self.alice()
        self.page({"/": (HTML, b"<title>Long</title><!--" + b"x" * 3_000_000)})
        assert (await preview(alice, "https://page.example:8448/")).json["og:title"] == "Long"

    @in_world
    async def test_what_is_no_page_has_no_preview(self) -> None:
        alice = await self.alice()
        pages = {"/zip": ("application/zip", b"PK"), "/bad": ("image/png", b"no picture")}
        self.page(pages)
        for path in (*pages, "/none"):
            reply = await preview(alice, f"https://page.example:8448{path}")
            assert (reply.status, reply.json) == (200, {}), path

    @in_world
    async def test_addresses_that_nobody_makes_us_ask(self) -> None:
        alice = await self.alice()
        for url in (
            "http://127.0.0.1/",
            "http://[::1]/",
            "http://169.254.169.254/latest/",
            "http://2130706433/",
        ):
            assert (await preview(alice, url)).json == {}, url
        for url in (
            "file:///etc/passwd",
            "ftp://page.example/",
            "page.example",
            "https://a:b@page.example/",
            "http://[",
            "",
        ):
            assert (await preview(alice, url)).status == 400, url
        assert (await preview(alice, "https://x.hidden.example/")).errcode == "M_FORBIDDEN"
        assert self.streets.called == []

    @in_world
    async def test_pictures_of_pages_are_asked_for_by_the_same_rules(self) -> None:
        alice = await self.alice()
        for number, image in enumerate(
            (b"http://127.0.0.1:1/a.png", b"http://[", b"javascript:x", b"data:,")
        ):
            self.page(
                {"/": (HTML, b'<title>T</title><meta property="og:image" content="' + image + b'">')},
                f"{number}.example",
            )
            assert (await preview(alice, f"https://{number}.example:8448/")).json == {"og:title": "T"}
        assert "127.0.0.1" not in [place for place, _ in self.streets.called]

    @in_world
    async def test_redirects_are_followed_by_the_same_rules(self) -> None:
        alice = await self.alice()
        places = {
            "/1": "/dir/page",
            "/2": "http://127.0.0.1:1/",
            "/3": "https://x.hidden.example:8448/",
            "/4": "/4",
            "/5": "http://[",
        }

        def answer(asked: Any) -> None:
            location = places.get(asked.uri.decode())
            if location is None:
                html = (
                    b'<title>There</title><meta property="og:image" content="a.png"><!--' + b"x" * 2_000_000
                )
                is_page = asked.uri == b"/dir/page"
                respond(
                    asked, 200, html if is_page else png(9, 9), Content_Type=HTML if is_page else "image/png"
                )
            else:
                respond(asked, 302, b"", Location=location)

        peer = Peer(answer, AUTHORITY.leaf(["page.example"])).start()
        self.addCleanup(peer.stop)
        self.address("page.example", peer.port)
        found = (await preview(alice, "https://page.example:8448/1")).json
        assert (found["og:title"], found["og:image:width"]) == ("There", 9)
        for path in ("/2", "/3", "/4", "/5"):
            assert (await preview(alice, f"https://page.example:8448{path}")).json == {}, path
        assert {place for place, _ in self.streets.called} == {self.names.names["page.example"]}
        assert "x.hidden.example" not in self.names.asked

    @in_world
    async def test_there_are_none_unless_switched_on(self) -> None:
        alice = await self.alice("")
        reply = await preview(alice, "https://page.example/")
        assert (reply.status, reply.errcode) == (404, "M_UNRECOGNIZED")


async def preview(who: Person, url: str) -> Reply:
    """Ask for a preview."""
    return await who.ask_path("GET", f"{MEDIA}/preview_url", None, {"url": url})

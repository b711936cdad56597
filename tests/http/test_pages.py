"""Every page that a browser may show: it runs nothing, is framed by nobody, and shows what it was given as text.

CVE-2020-26891 let a fallback page run what was in its address.
"""

from typing import Final
from urllib.parse import quote

import pytest

from storage.database import Database
from tests.client_api.sync_site import SyncSite
from tests.harness.client import Reply
from tests.harness.endpoint_walk import ask_as_is

EVIL: Final = "<script>alert(1)</script>\"'><img src=x onerror=y>"


@pytest.fixture
def site(database: Database) -> SyncSite:
    """A whole server."""
    return SyncSite(database)


def pages(site: SyncSite) -> list[tuple[str, Reply]]:
    """What is HTML of all that the server answers by GET, with something evil wherever it can be put."""
    found = []
    for bound in site.app.endpoints["client"]:
        declared = bound.endpoint
        if declared.method != "GET":
            continue
        for path in declared.paths:
            evil = "/".join(
                quote(EVIL, safe="") if part.startswith("{") else part for part in path.split("/")
            )
            query = {parameter.names[0]: EVIL for parameter in declared.parameters if parameter.names}
            replies = (site.http.get(evil, query), ask_as_is(site.http, declared))
            found += [(path, reply) for reply in replies if "html" in reply.headers.get("content-type", "")]
    return found


def test_there_are_pages(site: SyncSite) -> None:
    assert "/" in [path for path, _ in pages(site)]


def test_pages_run_nothing_that_is_not_theirs(site: SyncSite) -> None:
    for path, reply in pages(site):
        policy = reply.headers["content-security-policy"]
        directives = {
            name: rest for name, _, rest in (part.strip().partition(" ") for part in policy.split(";"))
        }
        assert directives["default-src"] == "'none'", path
        assert directives["frame-ancestors"] == "'none'", path
        assert directives.get("base-uri") == "'none'", path
        scripts = directives.get("script-src", "'none'")
        assert not any(word in scripts for word in ("unsafe", "*", "http")), path
        assert reply.headers["x-content-type-options"] == "nosniff", path
        assert reply.headers["referrer-policy"] == "no-referrer", path
        assert "charset=utf-8" in reply.headers["content-type"].lower(), path


def test_pages_show_what_they_are_given_as_text(site: SyncSite) -> None:
    for path, reply in pages(site):
        assert not any(word in reply.text for word in ("<img src=x", "<script>alert")), path


def test_what_is_no_page_is_not_taken_for_one(site: SyncSite) -> None:
    """A path with HTML in it, that is answered by an error: browsers must not make a page of it."""
    reply = site.http.get(f"/{quote(EVIL)}")
    assert reply.headers["content-type"] == "application/json"
    assert "<script>" not in reply.text

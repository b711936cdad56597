"""A site with media, and what people do with them."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from homeserver.app.wiring_media import MediaTools
from homeserver.protocol.identifiers import MediaID, ServerName, UserID
from homeserver.services.media.model import MediaName
from storage.database import Database
from storage.tables.media import MediaRows
from tests.client_api.sync_site import Syncer, SyncSite
from tests.harness.client import Client, Reply
from tests.harness.memory import MemoryConnection, result_of

UPLOAD = "/_matrix/media/v3/upload"
CREATE = "/_matrix/media/v1/create"
MEDIA = "/_matrix/client/v1/media"
OLD = "/_matrix/media/v3"


class MediaSite(SyncSite):
    """A server whose files are in a folder of the test."""

    def __init__(
        self, database: Database, folder: Path, changes: Mapping[str, object] | None = None, **media: Any
    ) -> None:
        self.folder = folder
        super().__init__(database, {**(changes or {}), "media": {"path": str(folder), **media}})

    def admin(self) -> Syncer:
        """An administrator."""
        admin = self.person("admin")
        result_of(self.app.accounts.moderation.set_admin(UserID(admin.user_id), True))
        return admin

    def files(self) -> list[Path]:
        """Every file that is kept."""
        return sorted(each for each in self.folder.glob("??/??/*") if each.is_file())

    def incoming(self) -> list[Path]:
        """Every file in the making."""
        return sorted(self.folder.glob("incoming/*"))


def upload(who: Syncer, content: bytes, media_type: str = "text/plain", **query: str) -> str:
    """Upload something; what follows `mxc://`."""
    reply = who.http.post(UPLOAD, content, query, Content_Type=media_type)
    assert reply.status == 200, reply.text
    return str(reply.json["content_uri"]).removeprefix("mxc://")


def download(client: Client, name: str, *suffix: str, **headers: str) -> Reply:
    """Download something; parts of it are not in the specification's tables of answers."""
    return replace(client, specified=False).get(
        "/".join((f"{MEDIA}/download/{name}", *suffix)), None, **headers
    )


def thumbnail(
    client: Client, name: str, width: int, height: int, method: str = "scale", **more: Any
) -> Reply:
    """Ask for a thumbnail."""
    return client.get(
        f"{MEDIA}/thumbnail/{name}", {"width": width, "height": height, "method": method, **more}
    )


def head_of_upload(who: Syncer, path: str, length: int | None, method: str = "POST") -> bytes:
    """The head of a request whose body is still to come."""
    framing = "Transfer-Encoding: chunked" if length is None else f"Content-Length: {length}"
    lines = (f"{method} {path} HTTP/1.1", "Host: test", f"Authorization: Bearer {who.token}", framing)
    return "\r\n".join((*lines, "Content-Type: image/png", "", "")).encode()


def connection(site: MediaSite) -> MemoryConnection:
    """A connection of one's own."""
    return MemoryConnection(site.http.site)


def named(name: str) -> MediaName:
    """What follows `mxc://`, in parts."""
    server, _, media_id = name.partition("/")
    return MediaName(ServerName(server), MediaID(media_id))


def copy_of(site: MediaSite, tools: MediaTools, number: int, content: bytes) -> MediaName:
    """A copy of another server's content, as if it had been fetched."""
    name = MediaName(ServerName("far.example"), MediaID(f"copy{number}"))

    async def keep() -> None:
        incoming = tools.library.begin(10_000)
        await incoming.write(content)
        whole = await incoming.finish()
        now = site.clock.now_ms()
        await tools.library.keep(
            whole,
            lambda tx: MediaRows(tx).add(
                name.origin, name.media_id, whole.sha256, None, "text/plain", None, now
            ),
        )

    result_of(keep())
    return name

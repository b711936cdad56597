"""The page that a browser shows for the server's address: what this is, and how to begin."""

from dataclasses import dataclass

from homeserver.http.authentication import no_auth
from homeserver.http.encoding import Response
from homeserver.http.endpoint import endpoint
from homeserver.protocol.identifiers import ServerName
from homeserver.templates.rendering import rendered

_HEADERS = (
    ("Content-Type", "text/html; charset=utf-8"),
    (
        "Content-Security-Policy",
        "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    ),
    ("X-Content-Type-Options", "nosniff"),
    ("Referrer-Policy", "no-referrer"),
)


@dataclass(frozen=True, slots=True)
class LandingApi:
    """`public_baseurl` is what people type into a client; `registration` is the mode of the configuration."""

    server_name: ServerName
    public_baseurl: str
    registration: str

    @endpoint("GET", "/", auth=no_auth, spec="")
    async def landing_page(self) -> Response:
        """A page for people who come with a browser."""
        page = rendered(
            "landing.html.j2",
            server_name=self.server_name,
            base_url=self.public_baseurl,
            registration=self.registration,
        )
        return Response(200, _HEADERS, page.encode())

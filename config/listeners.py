"""The sockets that the server listens on."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from config.fields import setting
from config.values import HIGHEST_PORT, check_address

Resource = Literal["client", "federation", "metrics"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Tls:
    """The certificate of a listener."""

    certificate: Path = setting(
        "PEM file: the certificate, then its chain.", must_exist=True, example="tls.crt"
    )
    private_key: Path = setting("PEM file: the certificate's key.", must_exist=True, example="tls.key")


@dataclass(frozen=True, slots=True, kw_only=True)
class Listener:
    """One socket: `port` (with `bind`), or `unix`."""

    bind: str = setting(
        "The IP address to listen on: 127.0.0.1, 0.0.0.0, ::.", default="127.0.0.1", check=check_address
    )
    port: int | None = setting(
        "TCP port; 0 lets the system choose. 8008 where neither `port` nor `unix` is given.",
        default=None,
        minimum=0,
        maximum=HIGHEST_PORT,
        example="8008",
    )
    unix: Path | None = setting(
        "Path of a unix socket, in place of `bind` and `port`.",
        default=None,
        example="/run/meridian/client.sock",
    )
    serves: tuple[Resource, ...] = setting(
        "What is served: `client` (the client-server API and media), `federation` (the server-server API and our "
        "keys), `metrics` (Prometheus; keep it off public addresses).",
        default=("client", "federation", "metrics"),
    )
    tls: Tls | None = setting("Serve HTTPS with this certificate. Absent: plain HTTP.", default=None)
    x_forwarded: bool = setting(
        "Believe `X-Forwarded-For` and `X-Forwarded-Proto`: only behind a reverse proxy that sets them.",
        default=False,
    )

    def __post_init__(self) -> None:
        if self.unix is not None and (self.port is not None or self.tls is not None):
            raise ValueError("`unix` goes with neither `port` nor `tls`")
        if self.unix is None and self.port is None:
            object.__setattr__(self, "port", 8008)
        if not self.serves:
            raise ValueError("`serves` is empty: name at least one of client, federation, metrics")


def address_of(listener: Listener) -> str:
    """Return where the listener is, as `address:port` or `unix:path`."""
    if listener.unix is not None:
        return f"unix:{listener.unix}"
    host = f"[{listener.bind}]" if ":" in listener.bind else listener.bind
    return f"{host}:{listener.port}"

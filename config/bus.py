"""How the nodes of one server hear of each other."""

from dataclasses import dataclass
from urllib.parse import urlsplit

from config.fields import setting


def check_redis(address: str) -> None:
    """Refuse what names no Redis."""
    parts = urlsplit(address)
    try:
        port_is_good = parts.port != 0
    except ValueError:
        port_is_good = False
    tcp = parts.scheme in ("redis", "rediss") and parts.hostname and parts.path.strip("/") == ""
    unix = parts.scheme == "unix" and not parts.netloc and parts.path
    if not (tcp or unix) or not port_is_good or parts.username or parts.password or parts.query:
        raise ValueError(
            "expected the address of a Redis such as redis://127.0.0.1:6379, rediss://redis.example.org or "
            f"unix:///run/redis/redis.sock, without a database and a password, got {address!r}"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class BusConfig:
    """What carries messages between the nodes of this server, if it has several (docs/how-to/several-nodes.md)."""

    redis: str | None = setting(
        "A Redis 6 or newer, or Valkey: `redis://HOST:PORT`, `rediss://HOST:PORT` with TLS, or `unix:///PATH`. Nothing "
        "is stored in it. Absent: this server has one node, and no other may use its database.",
        default=None,
        check=check_redis,
        example="redis://127.0.0.1:6379",
    )
    username: str | None = setting("The user, where the Redis has several.", default=None, example="meridian")
    password: str | None = setting(
        "The password, where it wants one.", default=None, secret=True, example="change-me"
    )
    prefix: str = setting(
        "What the name of the channel begins with. The server's name follows, so several servers may share a Redis.",
        default="meridian",
    )

"""The whole configuration as frozen values. What a setting means and defaults to is stated here and nowhere else."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from config.bus import BusConfig
from config.calls import DelayedEventsConfig, MatrixRtcConfig
from config.federation import FederationConfig
from config.fields import setting
from config.listeners import Listener, address_of
from config.mail import MailConfig
from config.media import MediaConfig
from config.outbound import OutboundConfig
from config.push import PushConfig
from config.rate_limits import RateLimits
from config.rooms import RoomsConfig
from config.search import SearchConfig, UserDirectoryConfig
from config.server_notices import ServerNoticesConfig
from config.support import SupportConfig
from config.threads import ThreadSubscriptionsConfig
from config.values import (
    ByteSize,
    Milliseconds,
    check_base_url,
    check_dsn,
    check_server_name,
    check_turn_uri,
    host_of,
)

RoomVersionName = Literal["1", "2", "3", "4", "5", "6", "7", "8", "9", "10", "11", "12"]


@dataclass(frozen=True, slots=True, kw_only=True)
class DatabaseConfig:
    """Where the data is. Without it the server runs a PostgreSQL of its own in `data_dir`."""

    dsn: str | None = setting(
        "PostgreSQL 15 or newer, as a connection URI or libpq's `key=value` string. The database "
        "must be UTF-8. Absent: a PostgreSQL of our own in `data_dir/postgresql`, which nothing else can reach.",
        default=None,
        secret=True,
        shorthand=True,
        check=check_dsn,
        example="postgresql://meridian@localhost/meridian",
    )
    connections: int = setting(
        "How many transactions this node runs at a time, each on a connection of its own.",
        default=8,
        minimum=2,
        maximum=200,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class RegistrationConfig:
    """Who may make an account."""

    mode: Literal["open", "token", "closed"] = setting(
        "`open`: anyone. `token`: whoever has a registration token. `closed`: only administrators make "
        "accounts (`homeserver user create`).",
        default="closed",
    )
    guests: bool = setting("Let people look around without an account.", default=False)
    shared_secret: str | None = setting(
        "Tools that know it may make accounts through `/_synapse/admin/v1/register`, also when `mode` "
        "is `closed`. Absent: that endpoint is off.",
        default=None,
        secret=True,
        example="change-me",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionConfig:
    """How long logins last."""

    access_token_lifetime_ms: Milliseconds = setting(
        "After this an access token has to be refreshed, for clients that asked for a refresh token. "
        "Tokens of other clients last until logout.",
        default=Milliseconds(3_600_000),
        minimum=1_000,
    )
    refresh_token_lifetime_ms: Milliseconds | None = setting(
        "A session is ended when its refresh token has not been used for so long. Absent: never.",
        default=None,
        minimum=1_000,
        example="30d",
    )
    expire_inactive_devices_after_ms: Milliseconds | None = setting(
        "Devices that have not been seen for so long are logged out: their keys, and the messages that wait for "
        "them, are deleted. Dehydrated devices stay. Absent: never.",
        default=None,
        minimum=86_400_000,
        example="365d",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class PasswordConfig:
    """New passwords, and what hashing one (argon2id) costs; lower the costs only for tests."""

    time_cost: int = setting("Passes over the memory.", default=2, minimum=1, maximum=100)
    memory_bytes: ByteSize = setting(
        "Memory that one hash takes while it is computed.",
        default=ByteSize(19 * 2**20),
        minimum=8 * 2**10,
        maximum=4 * 2**30,
    )
    parallelism: int = setting("Lanes of one hash.", default=1, minimum=1, maximum=64)
    minimum_length: int = setting(
        "The least characters of a new password.", default=8, minimum=1, maximum=128
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class PresenceConfig:
    """Who is online."""

    enabled: bool = setting("Tell our users who is online.", default=True)
    federate: bool = setting(
        "Exchange presence with other servers too, which costs traffic with each server in each shared room.",
        default=False,
    )
    largest_room: int = setting(
        "Members of a room with more of our users than so many, who have clients here, are not told of each other's "
        "presence because of that room.",
        default=1000,
        minimum=1,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnConfig:
    """The TURN server that carries calls between clients which cannot reach each other."""

    uris: tuple[str, ...] = setting(
        "Its addresses, as clients are told them. Empty: none.",
        default=(),
        check=check_turn_uri,
        example='["turn:turn.example.org?transport=udp"]',
    )
    shared_secret: str | None = setting(
        "The secret that it shares with us (coturn's `static-auth-secret`), from which credentials are made.",
        default=None,
        secret=True,
        example="change-me-too",
    )
    lifetime_ms: Milliseconds = setting(
        "How long a client's credentials are good.", default=Milliseconds(3_600_000), minimum=60_000
    )

    def __post_init__(self) -> None:
        if self.uris and self.shared_secret is None:
            raise ValueError("`uris` are of no use without a `shared_secret`")


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How much one request may ask for."""

    request_body_bytes: ByteSize = setting(
        "The largest body of a client's request, uploads aside.", default=ByteSize(2 * 10**6), minimum=65_536
    )
    federation_request_body_bytes: ByteSize = setting(
        "The largest body of another server's request. A full transaction takes up to 5 MB.",
        default=ByteSize(16 * 10**6),
        minimum=5 * 10**6,
    )
    sync_timeout_ms: Milliseconds = setting(
        "The longest that a sync may wait for news, whatever the client asks for.",
        default=Milliseconds(300_000),
        minimum=0,
        maximum=3_600_000,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class SlidingSyncConfig:
    """Sliding sync (MSC4186): what a client may ask for, and for how long the server remembers what it was told."""

    connections_per_device: int = setting(
        "The connections of a device that are remembered; the least recent one gives way.",
        default=20,
        minimum=1,
        maximum=1000,
    )
    connection_lifetime_ms: Milliseconds = setting(
        "A connection that was not used for so long is forgotten: its client begins anew.",
        default=Milliseconds(30 * 24 * 3_600_000),
        minimum=3_600_000,
    )
    max_lists: int = setting("Lists in one request.", default=100, minimum=1, maximum=1000)
    max_subscriptions: int = setting(
        "Rooms subscribed to in one request.", default=100, minimum=1, maximum=10_000
    )
    max_ranges: int = setting("Ranges of one list.", default=20, minimum=1, maximum=1000)
    max_required_state: int = setting(
        "Elements of `required_state` of one list or subscription.", default=200, minimum=1, maximum=10_000
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class LogConfig:
    """What is written to standard error."""

    level: Literal["debug", "info", "warning", "error"] = setting(
        "The least important lines that are still written.", default="info"
    )
    format: Literal["auto", "console", "json"] = setting(
        "`console` for people, `json` for machines; `auto` is `console` on a terminal and `json` elsewhere.",
        default="auto",
    )


def _base_url(values: Mapping[str, Any]) -> str:
    """Return the first client listener's address for a server without a name of its own, else `https://<server_name>/`."""
    listener = next((one for one in values["listeners"] if "client" in one.serves and one.port), None)
    if host_of(values["server_name"]) == "localhost" and listener:
        return f"{'https' if listener.tls else 'http'}://{address_of(listener)}/"
    return f"https://{values['server_name']}/"


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """Everything an operator decides."""

    server_name: str = setting(
        "The name after the colon in `@user:example.org`. It is part of every ID and can never be changed. "
        "A host, host:port or IP literal; the server itself may run under another name (see `public_baseurl`).",
        check=check_server_name,
        example="example.org",
    )
    data_dir: Path = setting("Keys, media and the embedded PostgreSQL.", default=Path("data"))
    database: DatabaseConfig = setting("")
    bus: BusConfig = setting("")
    listeners: tuple[Listener, ...] = setting(
        "Where the server listens: TCP or unix sockets, each with what it serves. `/health` is everywhere.",
        default=(Listener(),),
        example="\n  - {bind: 127.0.0.1, port: 8008, serves: [client, federation, metrics]}",
    )
    public_baseurl: str = setting(
        "Where clients reach the server.",
        derive=_base_url,
        derived="https://<server_name>/, for `localhost` the first client listener",
        check=check_base_url,
        example="https://matrix.example.org/",
    )
    signing_key_path: Path = setting(
        "The key that signs everything this server says to others; made at the first start. Keep a copy: "
        "other servers know this one by it.",
        derive=lambda values: values["data_dir"] / "signing.key",
        derived="<data_dir>/signing.key",
        example="data/signing.key",
    )
    registration: RegistrationConfig = setting("")
    sessions: SessionConfig = setting("")
    access_tokens_in_query: bool = setting(
        "Accept `?access_token=`, which the specification has done away with because URLs end up in logs.",
        default=False,
    )
    passwords: PasswordConfig = setting("")
    default_room_version: RoomVersionName = setting(
        "The version of rooms that are made without asking for one.", default="12"
    )
    rooms: RoomsConfig = setting("")
    rate_limits: RateLimits = setting("")
    federation: FederationConfig = setting("")
    outbound: OutboundConfig = setting("")
    presence: PresenceConfig = setting("")
    push: PushConfig = setting("")
    mail: MailConfig = setting("")
    turn: TurnConfig = setting("")
    delayed_events: DelayedEventsConfig = setting("")
    matrix_rtc: MatrixRtcConfig = setting("")
    thread_subscriptions: ThreadSubscriptionsConfig = setting("")
    media: MediaConfig = setting("")
    limits: Limits = setting("")
    search: SearchConfig = setting("")
    server_notices: ServerNoticesConfig = setting("")
    support: SupportConfig = setting("")
    user_directory: UserDirectoryConfig = setting("")
    sliding_sync: SlidingSyncConfig = setting("")
    cache_size_bytes: ByteSize = setting(
        "The memory for all caches together.", default=ByteSize(256 * 10**6), minimum=1_000_000
    )
    log: LogConfig = setting("")

    def __post_init__(self) -> None:
        if self.bus.redis and self.database.dsn is None:
            raise ValueError(
                "bus: several nodes need a PostgreSQL that all of them reach, named by `database`"
            )
        if not self.listeners:
            raise ValueError("listeners: the list is empty, so that nobody could reach the server")
        addresses = [address_of(listener) for listener in self.listeners if listener.port != 0]
        twice = {address for address in addresses if addresses.count(address) > 1}
        if twice:
            raise ValueError(f"listeners: {min(twice)} is there twice")

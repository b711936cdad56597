"""Rate limits: one token bucket a name, for each user, address or server that it counts."""

from collections.abc import Mapping
from dataclasses import dataclass, fields

from config.fields import setting


@dataclass(frozen=True, slots=True, kw_only=True)
class RateLimit:
    """A bucket of `burst` tokens that fills up with `per_second`; a request takes one."""

    per_second: float = setting("Requests a second in the long run.", minimum=0.001, example="1")
    burst: int = setting("Requests at once.", minimum=1, example="10")


def limit(doc: str, per_second: float, burst: int) -> RateLimit:
    """Declare a limit."""
    field: RateLimit = setting(doc, default=RateLimit(per_second=per_second, burst=burst))
    return field


@dataclass(frozen=True, slots=True, kw_only=True)
class RateLimits:
    """How often things may be done, each limit by its name. A limit that is named states both numbers."""

    enabled: bool = setting("Off: nothing is limited.", default=True)
    registration: RateLimit = limit("New accounts, by address.", 0.2, 10)
    logins: RateLimit = limit("Attempts to log in, by address.", 1, 20)
    login_failures: RateLimit = limit("Failed attempts to log in, by account.", 0.1, 5)
    messages: RateLimit = limit("Events sent, by user.", 10, 50)
    delayed_events: RateLimit = limit(
        "Delayed events restarted, cancelled or sent at once, by address: each device in a call does it every "
        "few seconds.",
        100,
        500,
    )
    ephemeral: RateLimit = limit("Typing notices, receipts, read markers and presence, by user.", 20, 100)
    creations: RateLimit = limit("Rooms made or upgraded, by user.", 0.2, 20)
    joins: RateLimit = limit("Rooms joined or knocked on, by user.", 1, 20)
    invites: RateLimit = limit("Invites, by user who sends them.", 0.5, 20)
    profile: RateLimit = limit("Changes of name, avatar and account data, by user.", 2, 20)
    keys: RateLimit = limit("Encryption keys uploaded, asked for or claimed, by user.", 20, 100)
    uploads: RateLimit = limit("Files uploaded, by user.", 2, 30)
    downloads: RateLimit = limit(
        "Files and thumbnails downloaded, by user, without a token by address.", 50, 500
    )
    searches: RateLimit = limit("Searches for users, rooms and messages, by user.", 2, 20)
    reports: RateLimit = limit("Reports to the administrators, by user.", 0.05, 10)
    lookups: RateLimit = limit("Questions that need no account, by address.", 10, 100)
    federation: RateLimit = limit("Requests of another server, by server.", 500, 2000)

    @property
    def by_name(self) -> Mapping[str, RateLimit]:
        """The limits by the names that endpoints use."""
        stated = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: value for name, value in stated.items() if isinstance(value, RateLimit)}

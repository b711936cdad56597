"""What this server can do, as clients ask for it: one place to add to when something new works.

https://spec.matrix.org/v1.19/client-server-api/#api-versions,
https://spec.matrix.org/v1.19/client-server-api/#capabilities-negotiation
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from homeserver.protocol.room_versions import ROOM_VERSIONS

SPEC_VERSIONS: Final = (
    *("r0.0.1", "r0.1.0", "r0.2.0", "r0.3.0", "r0.4.0", "r0.5.0", "r0.6.0", "r0.6.1"),
    *(f"v1.{minor}" for minor in range(1, 20)),
)
"""Clients refuse a server that lists only the newest."""

UNSTABLE_FEATURES: Final[Mapping[str, bool]] = {
    "uk.tcpip.msc4133": True,  # profile fields
    "uk.tcpip.msc4133.stable": True,
    "uk.half-shot.msc2666.query_mutual_rooms": True,
    "uk.half-shot.msc2666.query_mutual_rooms.stable": True,
    "org.matrix.msc3026.busy_presence": True,  # busy beside online
    "org.matrix.msc3030": True,  # events by date
    "org.matrix.msc3440.stable": True,  # threads
    "org.matrix.msc3981": True,  # relations of relations
    "org.matrix.simplified_msc3575": True,  # sliding sync
    "org.matrix.msc3827.stable": True,  # room types in the directory
    "org.matrix.msc4380.stable": True,  # invites blocked
    "org.matrix.msc3391": True,  # account data deleted
    "org.matrix.msc3912": True,  # redactions of what relates to an event
    "org.matrix.msc4155": True,  # invites filtered by rules
    "com.beeper.msc4169": True,  # redactions by /send
    "org.matrix.msc3881": True,  # pushers turned off and on from other devices
    "org.matrix.msc4151": True,  # rooms reported
    "org.matrix.msc4260": True,  # users reported
    "org.matrix.msc4354": True,  # sticky events
}
"""Only what works."""


MODERATION: Final[Mapping[str, Any]] = {"m.account_moderation": {"suspend": True, "lock": True}}
"""What administrators can do beside what everybody can."""


@dataclass(frozen=True, slots=True)
class Offered:
    """What the configuration has a say in."""

    default_room_version: str
    max_delay_ms: int
    max_scheduled: int
    rtc_transports: int
    mails: bool = False
    thread_subscriptions: bool = False
    forgets_on_leave: bool = False
    films: bool = False


def versions(offered: Offered) -> dict[str, Any]:
    """The answer to `/versions`."""
    features = dict(UNSTABLE_FEATURES)
    if offered.max_scheduled > 0:
        features["org.matrix.msc4140"] = True  # delayed events
    if offered.rtc_transports > 0:
        features["org.matrix.msc4143"] = True  # where calls of many are carried
    if offered.thread_subscriptions:
        features["org.matrix.msc4306"] = True
        features["io.element.msc4306"] = True
        features["io.element.msc4308"] = True  # in sliding sync
    return {"versions": list(SPEC_VERSIONS), "unstable_features": features}


def capabilities(offered: Offered) -> dict[str, Any]:
    """The capabilities of every user of this server, who may be able to do more."""
    available = dict.fromkeys(ROOM_VERSIONS, "stable")
    return {
        "m.change_password": {"enabled": True},
        "m.room_versions": {"default": offered.default_room_version, "available": available},
        "m.set_displayname": {"enabled": True},
        "m.set_avatar_url": {"enabled": True},
        "m.profile_fields": {"enabled": True},
        "m.3pid_changes": {"enabled": offered.mails},
        "m.get_login_token": {"enabled": True},
        "m.forget_forced_upon_leave": {"enabled": offered.forgets_on_leave},
        "org.meridian.media_info": {"pictures": True, "films": offered.films, "recordings": offered.films},
        "org.matrix.msc4140.delayed_events": {
            "max_delay_ms": offered.max_delay_ms,
            "max_scheduled": offered.max_scheduled,
        },
    }

"""The outside as this process reaches it: the reactor's sockets, the system's resolver, the system's name servers."""

from dataclasses import dataclass
from typing import Any

from federation.client.service_records import ServiceLookup, dns_lookup
from homeserver.gateways.mail import Mailer


@dataclass(frozen=True, slots=True)
class Outside:
    """What tests replace by a world of their own.

    `reactor` opens connections, `resolver` (an `IHostnameResolver`) finds the addresses of names and `services` SRV
    records. `mailer` sends mails in place of the mail server that the operator names.
    """

    reactor: Any
    resolver: Any
    services: ServiceLookup
    mailer: Mailer | None = None


def real_outside(reactor: Any) -> Outside:
    """The real one."""
    return Outside(reactor, reactor.nameResolver, dns_lookup(reactor))

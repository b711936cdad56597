"""Server access control lists: which servers a room lets take part.

https://spec.matrix.org/v1.19/client-server-api/#server-access-control-lists-acls-for-rooms
"""

from collections.abc import Mapping
from ipaddress import AddressValueError, IPv4Address
from typing import Any

from homeserver.protocol.events.event import Event
from homeserver.protocol.identifiers import ServerName


class ServerAcl:
    """What an `m.room.server_acl` event says. Read once, asked often."""

    __slots__ = ("_allow", "_allow_ip_literals", "_deny")

    def __init__(self, event: Event) -> None:
        self._read(event.content)

    @classmethod
    def of_content(cls, content: Mapping[str, Any]) -> "ServerAcl":
        """What an event with that content would say."""
        acl = cls.__new__(cls)
        acl._read(content)
        return acl

    def _read(self, content: Mapping[str, Any]) -> None:
        self._allow_ip_literals = content.get("allow_ip_literals") is not False
        self._allow = _Globs(content.get("allow"))
        self._deny = _Globs(content.get("deny"))

    def allows(self, server: ServerName) -> bool:
        """Whether the server may take part."""
        host = _without_port(server).lower()
        if not self._allow_ip_literals and _is_ip_literal(host):
            return False
        return self._allow.match(host) and not self._deny.match(host)


class _Globs:
    """Patterns in which `*` stands for any characters and `?` for one; all else is no pattern and matches nothing."""

    __slots__ = ("_exact", "_patterns", "_suffixes")

    def __init__(self, listed: Any) -> None:
        texts = [text.lower() for text in listed if isinstance(text, str)] if isinstance(listed, list) else []
        self._exact = {text for text in texts if "*" not in text and "?" not in text}
        self._suffixes = tuple(
            {text[1:] for text in texts if text[:1] == "*" and not set("*?") & set(text[1:])}
        )
        self._patterns = [
            text
            for text in dict.fromkeys(texts)
            if text not in self._exact and not (text[:1] == "*" and text[1:] in self._suffixes)
        ]

    def match(self, host: str) -> bool:
        return (
            host in self._exact
            or host.endswith(self._suffixes)
            or any(glob_matches(pattern, host) for pattern in self._patterns)
        )


def glob_matches(pattern: str, text: str) -> bool:
    """Whether a glob matches the whole text. Its time is bounded by the product of both lengths, whatever the
    pattern.
    """
    at = in_pattern = 0
    star, retry = -1, 0
    while at < len(text):
        if in_pattern < len(pattern) and pattern[in_pattern] == "*":
            star, retry = in_pattern, at
            in_pattern += 1
        elif in_pattern < len(pattern) and pattern[in_pattern] in ("?", text[at]):
            at += 1
            in_pattern += 1
        elif star >= 0:
            retry += 1
            at, in_pattern = retry, star + 1
        else:
            return False
    return not pattern[in_pattern:].strip("*")


def _without_port(server: str) -> str:
    host, colon, port = server.rpartition(":")
    return host if colon and port.isdigit() and not host.endswith(":") and _closed(host) else server


def _closed(host: str) -> bool:
    """Whether the text is a whole host: brackets of an IPv6 literal come in pairs."""
    return host.count("[") == host.count("]") and (":" not in host or host.startswith("["))


def _is_ip_literal(host: str) -> bool:
    if host.startswith("["):
        return True
    try:
        IPv4Address(host)
    except AddressValueError:
        return False
    return True

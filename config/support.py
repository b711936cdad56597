"""Whom people may ask who have trouble with the server."""

import re
from dataclasses import dataclass

from config.fields import setting
from config.values import check_base_url

_USER_ID = re.compile(r"@[^:\s]+:\S+")
_ADDRESS = re.compile(r"[^@\s]+@[^@\s]+")
_ROLE = re.compile(r"[a-z][a-z0-9_.-]{0,254}")


def check_user_id(text: str) -> None:
    """Refuse what is no user ID."""
    if not _USER_ID.fullmatch(text):
        raise ValueError(f"expected a user ID such as @admin:example.org, got {text!r}")


def check_address(text: str) -> None:
    """Refuse what is no address of a mailbox."""
    if not _ADDRESS.fullmatch(text):
        raise ValueError(f"expected an address such as admin@example.org, got {text!r}")


def check_role(text: str) -> None:
    """Refuse what is no identifier: https://spec.matrix.org/v1.19/appendices/#common-namespaced-identifier-grammar"""
    if not _ROLE.fullmatch(text):
        raise ValueError(f"expected a role such as m.role.admin, got {text!r}")


@dataclass(frozen=True, slots=True, kw_only=True)
class SupportContact:
    """Somebody to ask, by Matrix or by mail."""

    role: str = setting(
        "What for: `m.role.admin` for anything, `m.role.security` for what is sensitive.",
        default="m.role.admin",
        check=check_role,
    )
    matrix_id: str | None = setting(
        "Their user ID; one on another server can be asked when this one is down.",
        default=None,
        check=check_user_id,
        example="@admin:example.org",
    )
    email_address: str | None = setting(
        "Their mail address.", default=None, check=check_address, example="admin@example.org"
    )

    def __post_init__(self) -> None:
        if self.matrix_id is None and self.email_address is None:
            raise ValueError("a contact has a `matrix_id` or an `email_address`")


@dataclass(frozen=True, slots=True, kw_only=True)
class SupportConfig:
    """What `/.well-known/matrix/support` says. With neither a page nor contacts it is not there."""

    page: str | None = setting(
        "A page with help for the users of this server.",
        default=None,
        check=check_base_url,
        example="https://example.org/support.html",
    )
    contacts: tuple[SupportContact, ...] = setting(
        "Whom to ask.",
        default=(),
        example="\n    - {role: m.role.admin, matrix_id: '@admin:example.org', email_address: admin@example.org}",
    )

"""Transactions. https://spec.matrix.org/v1.19/server-server-api/#transactions"""

from typing import Any, Final

import msgspec

from federation.wire.route import MIB, JsonObject, Pdus, Route

MAX_PDUS: Final = 50
MAX_EDUS: Final = 100


class Transaction(msgspec.Struct, frozen=True):
    """The body of `PUT /send`: at most 50 PDUs and 100 EDUs.

    The sender is who signed the request, whatever `origin` says.
    """

    origin: str = ""
    origin_server_ts: int = 0
    pdus: Pdus = []
    edus: list[Any] = []


class TransactionAnswer(msgspec.Struct, frozen=True):
    """By event ID: an empty object, or one with `error`."""

    pdus: dict[str, JsonObject] = {}


SEND: Final = Route(
    "PUT",
    "/_matrix/federation/v1/send/{txn_id}",
    TransactionAnswer,
    body=Transaction,
    max_answer_bytes=1 * MIB,
)

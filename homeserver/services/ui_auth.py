"""User-interactive authentication: sessions that collect completed stages until one of the offered flows is done.

A session belongs to one operation (method, path and who asks) and, from its first completed stage on, to
one body. The body is kept, because clients may leave it out when they come back, but sealed with a key made
of the session ID, which the server does not keep. A completed session is good for one use.

https://spec.matrix.org/v1.19/client-server-api/#user-interactive-authentication-api
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Protocol

import orjson
from nacl.secret import SecretBox

from homeserver.clock import Clock, Randomness
from homeserver.protocol.errors import BadJson, Forbidden, InteractiveAuthRequired
from homeserver.protocol.identifiers import UserID
from storage.database import Database
from storage.tables.ui_auth import StoredSession, UiAuthSessions
from storage.transaction import Transaction

SESSION_LIFETIME_MS = 3_600_000
_SESSION_ID_BYTES = 18

Flow = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Operation:
    """What is to be authorised: a request without its `auth`, and who makes it (None: nobody is logged in)."""

    method: str
    path: str
    body: Mapping[str, Any]
    user_id: UserID | None = None


def operation_of(
    method: str, target: str, body: Mapping[str, Any], user_id: UserID | None = None
) -> tuple[Operation, object]:
    """Tell a request (its target with or without a query) from the `auth` in its body."""
    rest = {name: value for name, value in body.items() if name != "auth"}
    return Operation(method, target.partition("?")[0], rest, user_id), body.get("auth")


@dataclass(frozen=True, slots=True)
class Proof:
    """An authorised operation: its body (perhaps remembered), what each stage found, and the session that holds it.

    `result` is the user that this session has registered before.
    """

    body: Mapping[str, Any]
    findings: Mapping[str, str]
    id_hash: bytes | None = None
    result: UserID | None = None


class StageFailed(Exception):
    """An attempt failed and may be repeated: the client gets the session's state with this error."""

    def __init__(self, errcode: str, message: str) -> None:
        super().__init__(message)
        self.errcode = errcode
        self.message = message


class Stage(Protocol):
    """One way to authenticate."""

    type: ClassVar[str]

    def params(self) -> dict[str, Any] | None:
        """What a client must know to use the stage."""

    async def check(self, auth: Mapping[str, Any], operation: Operation) -> str:
        """Return what the stage found out, an empty text if nothing.

        Raises StageFailed; any MatrixError ends the request.
        """


@dataclass(frozen=True, slots=True)
class _Session:
    """A session in memory. `stored` tells whether the database has it."""

    session_id: str
    operation: Operation
    completed: Mapping[str, str] = field(default_factory=dict)
    stored: bool = False
    result: UserID | None = None

    @property
    def id_hash(self) -> bytes:
        return hashlib.sha256(b"id:" + self.session_id.encode()).digest()

    def is_complete(self, flows: Sequence[Flow]) -> bool:
        return tuple(self.completed) in flows

    def allows(self, stage: str, flows: Sequence[Flow]) -> bool:
        done = tuple(self.completed)
        return any(flow[: len(done) + 1] == (*done, stage) for flow in flows)


class UiAuth:
    """Runs sessions. What flows an operation offers is the caller's decision."""

    def __init__(self, database: Database, stages: Sequence[Stage], clock: Clock, random: Randomness) -> None:
        self._database = database
        self._stages = {stage.type: stage for stage in stages}
        self._clock = clock
        self._random = random

    async def prove(
        self, operation: Operation, auth: object, flows: Sequence[Flow], *, keep: bool = False
    ) -> Proof:
        """Return a proof that a flow was completed, whose session nobody can use again.

        With `keep` the session stays for the caller to `finish`. Raises InteractiveAuthRequired until a
        flow is complete; Forbidden where the session belongs to another operation.
        """
        given = _auth_object(auth)
        session = await self._session(operation, given)
        if session.result is not None:
            return Proof(session.operation.body, session.completed, session.id_hash, session.result)
        session, failure = await self._attempted(session, given, flows)
        if failure is None and session.is_complete(flows):
            return await self._completed(session, keep, flows)
        await self._save(session)
        raise InteractiveAuthRequired(self._answer(session, flows, failure))

    async def peek(self, auth: object) -> tuple[Mapping[str, Any], UserID | None]:
        """The body that a session remembers, and the user that it has registered."""
        found = await self._load(_auth_object(auth).get("session"))
        return ({}, None) if found is None else (found.operation.body, found.result)

    async def expire(self) -> None:
        """Delete sessions that nobody completed in time."""
        before = self._clock.now_ms() - SESSION_LIFETIME_MS
        await self._database.transact(lambda tx: UiAuthSessions(tx).expire(before))

    async def _session(self, operation: Operation, auth: Mapping[str, Any]) -> _Session:
        found = await self._load(auth.get("session"))
        if found is None:
            return _Session(self._random.token(_SESSION_ID_BYTES), operation)
        bound = found.operation
        if (bound.method, bound.path, bound.user_id) != (operation.method, operation.path, operation.user_id):
            raise Forbidden("This session was started for another request")
        if not operation.body or operation.body == bound.body or found.result is not None:
            return found
        if found.completed:
            raise Forbidden("The request has changed since this session was started")
        return replace(found, operation=operation)

    async def _attempted(
        self, session: _Session, auth: Mapping[str, Any], flows: Sequence[Flow]
    ) -> tuple[_Session, StageFailed | None]:
        kind = auth.get("type")
        if kind is None or kind in session.completed:
            return session, None
        stage = self._stages.get(kind) if isinstance(kind, str) else None
        if stage is None or not session.allows(stage.type, flows):
            return session, StageFailed("M_FORBIDDEN", "This is not the next stage of any flow")
        try:
            finding = await stage.check(auth, session.operation)
        except StageFailed as failure:
            return session, failure
        return replace(session, completed={**session.completed, stage.type: finding}), None

    async def _completed(self, session: _Session, keep: bool, flows: Sequence[Flow]) -> Proof:
        if keep and session.stored:
            await self._save(session)
        elif session.stored and not await self._database.transact(
            lambda tx: UiAuthSessions(tx).consume(session.id_hash)
        ):
            raise InteractiveAuthRequired(
                self._answer(self._renewed(session), flows, None)
            )  # somebody else was faster
        return Proof(session.operation.body, session.completed, session.id_hash if session.stored else None)

    def _renewed(self, session: _Session) -> _Session:
        return _Session(self._random.token(_SESSION_ID_BYTES), session.operation)

    def _answer(
        self, session: _Session, flows: Sequence[Flow], failure: StageFailed | None
    ) -> dict[str, object]:
        offered = {name: self._stages[name].params() for flow in flows for name in flow}
        answer: dict[str, object] = {
            "flows": [{"stages": list(flow)} for flow in flows],
            "params": {name: params for name, params in offered.items() if params is not None},
            "session": session.session_id,
            "completed": list(session.completed),
        }
        if failure is not None:
            answer |= {"errcode": failure.errcode, "error": failure.message}
        return answer

    async def _load(self, session_id: object) -> _Session | None:
        """A session by its ID; None where there is none, or no longer."""
        if not isinstance(session_id, str) or not session_id.isascii():
            return None
        id_hash = _Session(session_id, Operation("", "", {})).id_hash
        since = self._clock.now_ms() - SESSION_LIFETIME_MS
        stored = await self._database.read(lambda tx: UiAuthSessions(tx).session(id_hash, since))
        return None if stored is None else _unsealed(session_id, stored)

    async def _save(self, session: _Session) -> None:
        body = _box(session.session_id).encrypt(
            orjson.dumps(session.operation.body),
            hashlib.sha256(self._random.token(24).encode()).digest()[: SecretBox.NONCE_SIZE],
        )
        completed = orjson.dumps(session.completed)

        def save(tx: Transaction) -> None:
            if session.stored:
                UiAuthSessions(tx).update(session.id_hash, body, completed)
                return
            bound = session.operation
            UiAuthSessions(tx).create(
                session.id_hash,
                bound.user_id,
                bound.method,
                bound.path,
                body,
                completed,
                self._clock.now_ms(),
            )

        await self._database.transact(save)


def _auth_object(auth: object) -> Mapping[str, Any]:
    if auth is None:
        return {}
    if not isinstance(auth, dict):
        raise BadJson("`auth` must be an object")
    return auth


def _unsealed(session_id: str, stored: StoredSession) -> _Session:
    body = orjson.loads(_box(session_id).decrypt(bytes(stored.body)))
    operation = Operation(stored.method, stored.path, body, stored.user_id)
    return _Session(session_id, operation, orjson.loads(stored.completed), stored=True, result=stored.result)


def _box(session_id: str) -> SecretBox:
    return SecretBox(hashlib.sha256(b"body:" + session_id.encode()).digest())

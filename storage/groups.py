"""A group of writes as SQL: which statements, in which order, in as few round trips as it takes.

A group without `run` is one string of statements, sent in one round trip, that PostgreSQL executes as one transaction:

    guards; rows without a position; update stream ...; rows with positions; the journal's mark

The counter is taken as late as possible, because its row stays locked until the commit.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from homeserver.protocol.identifiers import RoomID
from storage.bulk import Entry, Mogrify, Placed, Statement

LOCK_ROOMS = "select room_id, version from rooms where room_id = any(%s) order by room_id for update"

_TAKE = (
    "update stream set pos = pos + {n} "
    "returning set_config('meridian.pos', (pos - {n})::text, true), set_config('meridian.end', pos::text, true)"
)
_NO_POSITION = "select set_config('meridian.end', (select pos from stream)::text, true)"
_MARK = """insert into journals (journal, mark, pos) values (%s, %s, current_setting('meridian.end')::bigint)
on conflict (journal) do update set mark = excluded.mark, pos = excluded.pos returning pos"""

_BUMP_ONE = """with bumped as (update rooms set version = %s where room_id = %s and version = %s returning 1)
select 1 / count(*) from bumped"""
_BUMP_MANY = """with locked as materialized (
    select room_id from rooms where room_id = any(%s) order by room_id for update
), bumped as (
    update rooms set version = new.becomes
    from locked join (values {values}) new (room_id, version, becomes) using (room_id)
    where rooms.room_id = locked.room_id and rooms.version = new.version returning 1
) select 1 / (case when (select count(*) from bumped) = %s then 1 else 0 end)"""
_SET_VERSIONS = """update rooms set version = new.version from (values {values}) new (room_id, version)
where rooms.room_id = new.room_id"""


@dataclass(slots=True)
class GuardChain:
    """The versions that a group's writes expect of its rooms, followed from one write to the next."""

    first: dict[RoomID, int] = field(default_factory=dict)
    now: dict[RoomID, int] = field(default_factory=dict)

    def admits(self, guards: Iterable[tuple[RoomID, int, int | None]]) -> bool:
        """Follow one write's guards; False (and nothing is followed) if they cannot hold after those before it."""
        guards = list(guards)
        if any(self.now.get(room_id, version) != version for room_id, version, _ in guards):
            return False
        for room_id, version, becomes in guards:
            self.first.setdefault(room_id, version)
            self.now[room_id] = version if becomes is None else becomes
        return True


def bump_rooms(mogrify: Mogrify, chain: GuardChain) -> bytes:
    """Check the first versions and set the last ones; divides by zero where a room is at another version."""
    if len(chain.first) == 1:
        ((room_id, version),) = chain.first.items()
        return mogrify(_BUMP_ONE, (chain.now[room_id], room_id, version))
    rooms = list(chain.first)
    values = [value for room_id in rooms for value in (room_id, chain.first[room_id], chain.now[room_id])]
    sql = _BUMP_MANY.format(values=",".join(["(%s,%s,%s)"] * len(rooms)))
    return mogrify(sql, [rooms, *values, len(rooms)])


def set_versions(mogrify: Mogrify, versions: Mapping[RoomID, int]) -> bytes:
    """Set versions of rooms that are locked already."""
    sql = _SET_VERSIONS.format(values=",".join(["(%s,%s)"] * len(versions)))
    return mogrify(sql, [value for item in versions.items() for value in item])


def body(
    mogrify: Mogrify, writes: Sequence[Sequence[Entry]], journal: str, mark: int, least: int = 0
) -> tuple[bytes, list[int]]:
    """Everything but the guards; the last statement answers the group's last position. The group takes ``least``
    positions at least.

    Also gives, for each write, how many positions it takes.
    """
    early: dict[Statement, list[Placed]] = {}
    late: dict[Statement, list[Placed]] = {}
    taken: list[int] = []
    total = 0
    for entries in writes:
        base = total
        for statement, values in entries:
            if statement.positioned:
                total += 1
            placed = Placed(values, total, base)
            rows = late if statement.late else early
            if statement in rows:
                rows[statement].append(placed)
            else:
                rows[statement] = [placed]
        taken.append(total - base)
    parts = _rendered(mogrify, early)
    parts.append((_TAKE.format(n=max(total, least)) if total or least else _NO_POSITION).encode())
    parts.extend(_rendered(mogrify, late))
    parts.append(mogrify(_MARK, (journal, mark)))
    return b";".join(parts), taken


def _rendered(mogrify: Mogrify, rows: Mapping[Statement, Sequence[Placed]]) -> list[bytes]:
    ordered = (
        sorted(rows, key=lambda statement: (statement.rank, statement.serial)) if len(rows) > 1 else rows
    )
    return [sql for statement in ordered for sql in statement.render(mogrify, rows[statement])]

"""Which state a client is told beside a timeline; pure.

The client applies `state` first and the timeline's state events after it. What it must have in the end is
the room's state at the end of the timeline. So an entry is told as it is in the end, unless the event that
made it is in the timeline: then as it was at the timeline's start. With `state_after` the client does not
look at the timeline, and every entry is told as it is in the end.
https://spec.matrix.org/v1.19/client-server-api/#syncing
"""

from collections.abc import Collection, Iterable, Mapping, Sequence

from homeserver.protocol.identifiers import StateKey
from homeserver.services.sync.recent import Change


def undone(state: Mapping[StateKey, int], later: Sequence[Change]) -> dict[StateKey, int]:
    """The state before the ``later`` changes, in order."""
    before = dict(state)
    for change in reversed(later):
        if change.previous is None:
            before.pop(change.key, None)
        else:
            before[change.key] = change.previous
    return before


def told_of(
    end: Mapping[StateKey, int], changes: Iterable[Change], start: int, shown: Collection[int], *, after: bool
) -> dict[StateKey, int]:
    """What to tell of entries that are as in ``end``; ``changes`` are those up to the end, ``shown`` the
    numbers of the events in the timeline, which begins at position ``start``.
    """
    if after:
        return dict(end)
    before: dict[StateKey, int | None] = {}
    for change in changes:
        if change.pos >= start:
            before.setdefault(change.key, change.previous)
    told = {}
    for key, nid in end.items():
        value = before.get(key) if nid in shown else nid
        if value is not None:
            told[key] = value
    return told


def changed(
    changes: Iterable[Change], start: int, shown: Collection[int], *, after: bool
) -> dict[StateKey, int]:
    """What to tell of the entries that ``changes``, in order, have changed since the client last heard.

    An entry whose event was redacted meanwhile is told again, unless the redaction is in the timeline.
    """
    was: dict[StateKey, int | None] = {}
    before: dict[StateKey, int | None] = {}
    end: dict[StateKey, int | None] = {}
    struck = set()
    for change in changes:
        was.setdefault(change.key, change.previous)
        end[change.key] = change.current
        if change.pos >= start:
            before.setdefault(change.key, change.previous)
        if change.current == change.previous and (after or change.pos < start):
            struck.add(change.key)
    told = {}
    for key, nid in end.items():
        value = before.get(key) if nid in shown and not after else nid
        if value is not None and (value != was[key] or key in struck):
            told[key] = value
    return told

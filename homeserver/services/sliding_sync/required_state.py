"""Which state of a room a client asks for; pure.

https://github.com/matrix-org/matrix-spec-proposals/blob/main/proposals/4186-simplified-sliding-sync.md,
`RequiredStateRequest`
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from homeserver.protocol.identifiers import StateKey

MEMBER: Final = "m.room.member"

Element: TypeAlias = tuple[str | None, str | None]
"""A type and a state key; None stands for any."""


@dataclass(frozen=True, slots=True)
class RequiredState:
    """What one rule asks for. With ``lazy``, members come with what they say: only those are asked for besides that
    are named by their type.
    """

    include: frozenset[Element] = frozenset()
    exclude: frozenset[Element] = frozenset()
    lazy: bool = False

    def wants(self, key: StateKey) -> bool:
        """Whether an entry is asked for, whoever says something."""
        if self.exclude and _matches(self.exclude, key):
            return False
        if key in self.include or (key[0], None) in self.include:
            return True
        if self.lazy and key[0] == MEMBER:
            return False
        return (None, key[1]) in self.include or (None, None) in self.include


@dataclass(frozen=True, slots=True)
class Lookups:
    """Where wanted state is found: ``whole`` is all of it, ``but_members`` all but members."""

    whole: bool = False
    but_members: bool = False
    types: frozenset[str] = frozenset()
    keys: frozenset[StateKey] = frozenset()


@dataclass(frozen=True, slots=True)
class Wanted:
    """What all rules together ask for: everything that any of them does."""

    rules: frozenset[RequiredState] = field(default_factory=frozenset)

    @property
    def lazy(self) -> bool:
        """Whether members come with what they say."""
        return any(rule.lazy for rule in self.rules)

    @property
    def all_members(self) -> bool:
        """Whether all members are asked for."""
        lookups = self.lookups()
        return lookups.whole or MEMBER in lookups.types

    def wants(self, key: StateKey) -> bool:
        """Whether an entry is asked for, whoever says something."""
        return any(rule.wants(key) for rule in self.rules)

    def __or__(self, other: "Wanted") -> "Wanted":
        return self if other.rules <= self.rules else Wanted(self.rules | other.rules)

    def grows_from(self, before: "Wanted") -> bool:
        """Whether more may be asked for than before."""
        return not self.rules <= before.rules

    def lookups(self) -> Lookups:
        """Where to look for it."""
        whole = but_members = False
        types: set[str] = set()
        keys: set[StateKey] = set()
        for rule in self.rules:
            for event_type, state_key in rule.include:
                if event_type is None:
                    whole, but_members = whole or not rule.lazy, True
                elif state_key is None:
                    types.add(event_type)
                else:
                    keys.add((event_type, state_key))
        if whole:
            return Lookups(whole=True)
        if but_members:
            types &= {MEMBER}
            keys = {key for key in keys if key[0] == MEMBER}
        return Lookups(False, but_members, frozenset(types), frozenset(keys))


def union(wanted: Iterable[Wanted]) -> Wanted:
    """What several ask for."""
    return Wanted(frozenset(rule for each in wanted for rule in each.rules))


def _matches(elements: frozenset[Element], key: StateKey) -> bool:
    return (
        key in elements
        or (key[0], None) in elements
        or (None, key[1]) in elements
        or (None, None) in elements
    )

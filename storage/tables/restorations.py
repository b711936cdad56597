"""Pasts that were lost when the database was restored from a backup, and the way on from there."""

from msgspec import Struct

from storage.query import Queries, many, nothing, one, query


class LostPast(Struct, frozen=True):
    """Positions between these two were given out in a past that is no more."""

    lost_after: int
    upto: int


class Restorations(Queries):
    """Reads and writes them."""

    @query("select lost_after, upto from restorations", many(LostPast))
    def lost(self) -> list[LostPast]: ...

    @query("insert into restorations (lost_after, upto) values (%(lost_after)s, %(upto)s)", nothing)
    def note(self, lost_after: int, upto: int) -> None: ...

    @query("update stream set pos = pos + %(step)s returning pos", one(int))
    def step_positions(self, step: int) -> int:
        """Let positions go on beyond those that were given out."""

    @query("update user_directory_progress set pos = %(now)s where pos >= %(was)s", nothing)
    def step_user_directory(self, was: int, now: int) -> None:
        """What had come to the end goes on from there: it walks along the positions, some at a time."""

    @query("update media_uses_progress set pos = %(now)s where pos >= %(was)s", nothing)
    def step_media_uses(self, was: int, now: int) -> None:
        """The same."""

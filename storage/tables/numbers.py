"""Sequences whose numbers nodes take in blocks."""

from storage.query import Queries, one, query

BLOCK = 256
"""Numbers in a block: the increment of each of these sequences."""


class Numbers(Queries):
    @query("select nextval(%(sequence)s::regclass)", one(int))
    def next_block(self, sequence: str) -> int: ...

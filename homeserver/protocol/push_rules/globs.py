"""Glob patterns of push rules, compiled.

A pattern is cut at its stars. Its parts are looked for one after the other, each as early as it occurs, so that
no text makes a pattern of many stars costly; of a part with `?` the work is its length times that of the text, and
beyond `MAX_STEPS` of it the pattern does not match.

https://spec.matrix.org/v1.19/appendices/#glob-style-matching
"""

import re
from collections.abc import Callable
from typing import Final

MAX_STEPS: Final = 2_000_000

Matcher = Callable[[str], bool]
Finder = Callable[[str, int], int]
"""Where a part of a pattern occurs in a text from a place on; -1: nowhere."""

_WORD = re.compile(r"[A-Za-z0-9_]")


def whole_matcher(pattern: str) -> Matcher:
    """Whether a text as a whole is as a pattern says, whatever the case of letters."""
    wanted = pattern.lower()
    if "*" not in wanted and "?" not in wanted:
        return lambda text: text.lower() == wanted
    glob = _Glob(wanted)
    return lambda text: glob.matches(text.lower())


def word_matcher(pattern: str) -> Matcher:
    """Whether a pattern matches a part of a text that starts and ends at a word boundary.

    "A word boundary is defined as the start or end of the value, or any character not in the sets `[A-Z]`,
    `[a-z]`, `[0-9]` or `_`."
    """
    glob = _Glob(pattern.lower())
    return lambda text: glob.matches_words(text.lower())


def literal_word_matcher(words: str) -> Matcher:
    """The same for a text without wildcards."""
    glob = _Glob(words.lower(), literal=True)
    return lambda text: glob.matches_words(text.lower())


class _Glob:
    def __init__(self, pattern: str, *, literal: bool = False) -> None:
        parts = [pattern] if literal else pattern.split("*")
        self._parts = [(len(part), _finder(part, literal=literal)) for part in parts]
        self._steps = 0 if literal else max((len(part) for part in parts if "?" in part), default=0)

    def matches(self, text: str) -> bool:
        """Whether the whole text is as the pattern says."""
        if self._steps * len(text) > MAX_STEPS:
            return False
        length, find = self._parts[0]
        if find(text[:length], 0) != 0 or len(text) < length:
            return False
        if len(self._parts) == 1:
            return len(text) == length
        at = self._after_middle(text, length)
        last, find = self._parts[-1]
        start = len(text) - last
        return at is not None and start >= at and find(text[start:], 0) == 0

    def matches_words(self, text: str) -> bool:
        """Whether a part of the text between two word boundaries is as the pattern says."""
        if self._steps * len(text) > MAX_STEPS:
            return False
        length, find = self._parts[0]
        only = len(self._parts) == 1
        at = find(text, 0)
        while at >= 0:
            if _is_boundary(text, at) and (not only or _is_boundary(text, at + length)):
                break
            at = find(text, at + 1)
        if at < 0 or only:
            return at >= 0
        after = self._after_middle(text, at + length)
        return after is not None and self._ends(text, after)

    def _after_middle(self, text: str, at: int) -> int | None:
        """The place behind the parts between the first and the last; None if one is missing."""
        for length, find in self._parts[1:-1]:
            found = find(text, at)
            if found < 0:
                return None
            at = found + length
        return at

    def _ends(self, text: str, at: int) -> bool:
        length, find = self._parts[-1]
        if not length:
            return True
        found = find(text, at)
        while found >= 0:
            if _is_boundary(text, found + length):
                return True
            found = find(text, found + 1)
        return False


def _finder(part: str, *, literal: bool) -> Finder:
    if literal or "?" not in part:
        return lambda text, start: text.find(part, start)
    expression = re.compile("".join("." if each == "?" else re.escape(each) for each in part), re.DOTALL)

    def find(text: str, start: int) -> int:
        found = expression.search(text, start)
        return -1 if found is None else found.start()

    return find


def _is_boundary(text: str, at: int) -> bool:
    return (
        at in (0, len(text)) or _WORD.match(text, at - 1, at) is None or _WORD.match(text, at, at + 1) is None
    )

"""Texts as searches see them: words without their case and accents, and the pieces by which an index finds them.

Scripts that write words apart are searched by the inside of a word from three letters on, and by its beginning. Those
that do not (Chinese, Japanese, Korean, Thai and their neighbours) are searched by any character, and so are emoji.
An index holds *pieces*: three letters of a word, its first one and two, or one and two characters of a dense script.
A text has what is searched for only if it has all pieces of it; whether it does, its words then tell.
"""

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Final
from zlib import crc32

MAX_TEXT: Final = 10_000
"""Characters of a text that can be found; what comes behind is not indexed."""
MAX_TERM: Final = 500

_START = "^"
"""Stands before the first letter of a word in the pieces that tell its beginning."""
_ACCENTS = re.compile("[\u0300-\u036f]")
_DENSE_RANGES = (
    (0x0E00, 0x0EFF),  # Thai, Lao
    (0x1000, 0x109F),  # Myanmar
    (0x1780, 0x17FF),  # Khmer
    (0x2100, 0xA4CF),  # symbols, radicals, kana, bopomofo, ideographs, Yi
    (0xAC00, 0xD7AF),  # Hangul
    (0xF900, 0xFAFF),
    (0x1F000, 0x3FFFF),  # emoji, further ideographs
)
_DENSE = "".join(f"{chr(first)}-{chr(last)}" for first, last in _DENSE_RANGES)
_WORDS = re.compile(f"[{_DENSE}]+|[^ {_DENSE}]+")
_IS_DENSE = re.compile(f"[{_DENSE}]")


class _Characters(dict[int, str | None]):
    """For `str.translate`: what stands between words becomes a space, what is not seen goes away."""

    def __missing__(self, code: int) -> str | None:
        self[code] = value = _shown(code)
        return value


def _shown(code: int) -> str | None:
    character = chr(code)
    category = unicodedata.category(character)
    if category == "Cf" or 0xFE00 <= code <= 0xFE0F or 0x1F3FB <= code <= 0x1F3FF:
        return None  # joiners, soft hyphens, variation selectors, skin tones
    if category[0] in "LMN" or (_IS_DENSE.match(character) and category in ("So", "Cn")):
        return character
    return " "


_CHARACTERS = _Characters()


def words_of(text: str) -> list[str]:
    """The words of a text in their order, as they are compared. A change of script ends a word too."""
    text = text[:MAX_TEXT]
    if not text.isascii():
        text = _ACCENTS.sub("", unicodedata.normalize("NFKD", text))
        text = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
    else:
        text = text.lower()
    return _WORDS.findall(text.translate(_CHARACTERS))


def pieces_of(words: Iterable[str]) -> set[str]:
    """All pieces of some words."""
    pieces: set[str] = set()
    for word in set(words):
        if _IS_DENSE.match(word):
            pieces.update(word)
            pieces.update([word[at : at + 2] for at in range(len(word) - 1)])
        else:
            marked = _START + _START + word
            pieces.update([marked[at : at + 3] for at in range(len(word))])
    return pieces


def numbered(pieces: Iterable[str]) -> list[int]:
    """Pieces as the 32-bit numbers that an index holds; two of them may have the same."""
    return sorted({(crc32(piece.encode()) ^ 0x80000000) - 0x80000000 for piece in pieces})


def stored_pieces(pieces: Iterable[str]) -> str:
    """Their numbers as a column of an index is given them: one text, which is quicker to write than many numbers."""
    return f"{{{','.join(map(str, numbered(pieces)))}}}"


def stored_text(words: Iterable[str]) -> str:
    """Words as they are stored, so that a pattern can tell where one begins and ends."""
    return f" {' '.join(words)} "


@dataclass(frozen=True, slots=False)
class SearchTerm:
    """What somebody looks for: texts that have each of the words."""

    words: tuple[str, ...]

    @classmethod
    def of(cls, text: str) -> "SearchTerm":
        """What a text stands for; without words it finds nothing."""
        return cls(tuple(dict.fromkeys(words_of(text[:MAX_TERM]))))

    @cached_property
    def pieces(self) -> list[int]:
        """The numbers of the pieces that a text must have."""
        needed: set[str] = set()
        for word in self.words:
            needed |= _needed(word)
        return numbered(needed)

    @cached_property
    def patterns(self) -> list[str]:
        """Patterns of SQL's LIKE that the stored text must match. Words have no character that is special there."""
        return [f"%{'' if _is_found_inside(word) else ' '}{word}%" for word in self.words]

    def matches(self, text: str) -> bool:
        """Whether a text has it."""
        stored = stored_text(words_of(text))
        return all(pattern.strip("%") in stored for pattern in self.patterns)

    def spellings(self, text: str) -> set[str]:
        """The words of a text that it found and that are written otherwise there than it was itself."""
        found = set()
        for written in () if text.isascii() else text[:MAX_TEXT].split():
            for word in self.words:
                if word not in written.casefold() and any(
                    self._finds(word, other) for other in words_of(written)
                ):
                    found.add(written)
        return found

    def _finds(self, word: str, other: str) -> bool:
        return word in other if _is_found_inside(word) else other.startswith(word)


def _is_found_inside(word: str) -> bool:
    return len(word) > 2 or _IS_DENSE.match(word) is not None


def _needed(word: str) -> set[str]:
    """The fewest pieces that tell most."""
    if _IS_DENSE.match(word):
        return {word} if len(word) == 1 else {word[at : at + 2] for at in range(len(word) - 1)}
    if len(word) > 2:
        return {word[at : at + 3] for at in range(len(word) - 2)}
    return {(_START * 2 + word)[-3:]}

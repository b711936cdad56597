"""Whether what is on record of contents and what is kept are the same."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Literal

from homeserver.gateways.media_files import FileLost
from homeserver.services.media.library import Library
from storage.database import Database
from storage.tables.media_contents import Content, MediaContents

_PAGE: Final = 500

Kind = Literal["lost", "wrong size", "wrong bytes", "unfinished", "nobody's"]


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that is not as it should be with one file. What is unfinished is an upload that a crash cut off before
    anybody was told its address, or one that is under way.
    """

    kind: Kind
    file: str


class Checking:
    """Looks at everything."""

    def __init__(self, database: Database, library: Library) -> None:
        self._database = database
        self._library = library

    async def contents(self, *, read: bool) -> list[Problem]:
        """What is on record and not kept as it should be; with `read` every byte is looked at."""
        problems: list[Problem] = []
        after = ""
        while page := await self._page(after):
            for content in page:
                kind = await self._problem_of(content, read)
                if kind is not None:
                    problems.append(Problem(kind if content.settled else "unfinished", content.file))
            after = page[-1].sha256
        return problems

    async def strays(self) -> list[Problem]:
        """Files that nothing on record names: a crash may leave one, and an upload under way has one for a moment."""
        found: list[Problem] = []
        for names in _batches(self._library.files()):
            known = set(await self._known(names))
            found += [Problem("nobody's", name) for name in names if name not in known]
        return found

    async def delete_strays(self, strays: list[Problem]) -> None:
        """Delete such files."""
        for stray in strays:
            await self._library.delete_file(stray.file)

    async def delete_unfinished(self, problems: list[Problem]) -> list[Problem]:
        """Delete what is left of uploads that were cut off over an hour ago; what remains of the problems."""
        unfinished = [each for each in problems if each.kind == "unfinished"]
        done = {each.file for each in unfinished if await self._library.delete_unfinished(each.file)}
        if done:
            await self._library.sweep()
        return [each for each in problems if each.file not in done]

    async def _page(self, after: str) -> list[Content]:
        return await self._database.read(lambda tx: MediaContents(tx).page(after, _PAGE))

    async def _known(self, names: list[str]) -> list[str]:
        return await self._database.read(lambda tx: MediaContents(tx).known_files(names))

    async def _problem_of(self, content: Content, read: bool) -> Kind | None:
        try:
            if await self._library.size(content.file) != content.size:
                return "wrong size"
            if read and await self._hash_of(content) != content.sha256:
                return "wrong bytes"
        except FileLost:
            return "lost"
        return None

    async def _hash_of(self, content: Content) -> str:
        digest = hashlib.sha256()
        reading = await self._library.open(content.file, 0, content.size)
        async for piece in reading:
            digest.update(piece)
        return digest.hexdigest()


def _batches(names: Iterator[str]) -> Iterator[list[str]]:
    batch: list[str] = []
    for name in names:
        batch.append(name)
        if len(batch) == _PAGE:
            yield batch
            batch = []
    if batch:
        yield batch

"""What is wrong with a configuration, said in one line."""

from pathlib import Path


class ConfigError(Exception):
    """A configuration that cannot be used.

    Its text is one line: file and line number where they are known, the dotted path of the
    key, and what is wrong with it. The command line prints it and exits with status 2.
    """

    def __init__(
        self, problem: str, *, key: str = "", file: Path | None = None, line: int | None = None
    ) -> None:
        super().__init__(problem, key, file, line)
        self.problem = problem
        self.key = key
        self.file = file
        self.line = line

    def __str__(self) -> str:
        place = [str(self.file)] if self.file else []
        if self.line is not None:
            place.append(str(self.line) if self.file else f"line {self.line}")
        return ": ".join(part for part in (":".join(place), self.key, self.problem) if part)

"""`python -m storage.dump_schema`: writes storage/schema.sql from the migrations, by the embedded server's pg_dump."""

import re
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from storage.embedded import EmbeddedPostgres
from storage.migrate import migrate
from storage.postgres_binaries import installations

HEADER = "-- The schema after all migrations, for reading. Made by `make schema`; never edited, never executed.\n\n"
_NOISE = re.compile(r"^(--|SET |SELECT pg_catalog\.set_config|\\(un)?restrict )")


def dump_schema(dsn: str) -> str:
    """The schema as pg_dump gives it, without its comments and settings."""
    newest = installations()
    program = newest[max(newest)] / "bin" / "pg_dump"
    dumped = subprocess.run(
        [
            str(program),
            "--schema-only",
            "--no-owner",
            "--no-privileges",
            "--schema=public",
            f"--dbname={dsn}",
        ],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    lines = [line for line in dumped.splitlines() if not _NOISE.match(line)]
    text = re.sub(r"\n{3,}", "\n\n", "\n".join(lines).strip())
    return (
        HEADER
        + text.removeprefix("COMMENT ON SCHEMA public IS 'standard public schema';")
        .lstrip()
        .replace("public.", "")
        + "\n"
    )


def main() -> None:
    """Dump what a fresh database looks like."""
    with TemporaryDirectory(prefix="meridian-schema-") as folder:
        Path(folder).chmod(0o755)
        server = EmbeddedPostgres(Path(folder), {"fsync": "off"})
        dsn = server.start()
        try:
            migrate(dsn)
            schema = dump_schema(dsn)
        finally:
            server.stop()
    Path(__file__).with_name("schema.sql").write_text(schema, encoding="utf-8")
    sys.stdout.write("storage/schema.sql written\n")


if __name__ == "__main__":
    main()

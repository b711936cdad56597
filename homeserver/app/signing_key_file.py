"""The file with this server's signing key: made once, readable by nobody else, never overwritten."""

import os
import secrets
from pathlib import Path

from homeserver.protocol.errors import MatrixError
from homeserver.protocol.signing_keys import SigningKey, parse_key_file


class SigningKeyUnusable(Exception):
    """The file is there but holds no key, or cannot be read or made. Says which file and why, in one line."""


def read_or_make_signing_key(path: Path) -> SigningKey:
    """Return the key in the file; make both if there is no file. Raises SigningKeyUnusable."""
    return read_signing_key(path) if path.exists() else make_signing_key(path)


def read_signing_key(path: Path) -> SigningKey:
    """Return the first key in the file. Raises SigningKeyUnusable."""
    try:
        return parse_key_file(path.read_text(encoding="ascii"))[0]
    except OSError as error:
        raise SigningKeyUnusable(f"cannot read the signing key {path}: {error.strerror}") from error
    except (UnicodeDecodeError, MatrixError) as error:
        reason = error.message if isinstance(error, MatrixError) else "it is not text"
        raise SigningKeyUnusable(f"the signing key {path} cannot be used: {reason}") from error


def make_signing_key(path: Path) -> SigningKey:
    """Make a key and its file (mode 0600). Raises SigningKeyUnusable, also if the file is there."""
    key = SigningKey(f"a_{secrets.token_hex(3)}", secrets.token_bytes(32))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(f"{key.line()}\n")
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise SigningKeyUnusable(f"cannot make the signing key {path}: {error.strerror}") from error
    return key

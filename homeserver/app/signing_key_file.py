"""The file with this server's signing key: made once, readable by nobody else, and replaced only by a rotation.

Beside it, in a file of the same name with `.old` added, are the public keys with which this server signed before, one a
line: `ed25519 <version> <base64 of the public key> <milliseconds>`, the last being when it ceased to sign.
"""

import os
import secrets
from dataclasses import dataclass
from pathlib import Path

from homeserver.protocol.errors import InvalidParam, MatrixError
from homeserver.protocol.signing_keys import ALGORITHM, SigningKey, VerifyKey, parse_key_file


class SigningKeyUnusable(Exception):
    """The file is there but holds no key, or cannot be read or made. Says which file and why, in one line."""


@dataclass(frozen=True, slots=True)
class KeyFiles:
    """The key that this server signs with, and those with which it did before."""

    signing_key: SigningKey
    old_keys: tuple[VerifyKey, ...]


def read_or_make_key_files(path: Path) -> KeyFiles:
    """Return what is in the files; make a key if there is none. Raises SigningKeyUnusable."""
    return KeyFiles(read_or_make_signing_key(path), read_old_keys(path))


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
    key = _new_key()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _write(path, f"{key.line()}\n")
    except OSError as error:
        raise SigningKeyUnusable(f"cannot make the signing key {path}: {error.strerror}") from error
    return key


def read_old_keys(path: Path) -> tuple[VerifyKey, ...]:
    """Return the keys with which this server signed before the one in the file. Raises SigningKeyUnusable."""
    old = _old(path)
    try:
        lines = old.read_text(encoding="ascii").splitlines() if old.exists() else []
        return tuple(_old_key(line) for line in lines if line.strip())
    except (OSError, UnicodeDecodeError, ValueError, MatrixError) as error:
        raise SigningKeyUnusable(f"the old signing keys {old} cannot be used: {error}") from error


def rotate_signing_key(path: Path, until_ms: int) -> tuple[SigningKey, SigningKey]:
    """Put a new key in place of the one in the file, which is known from then on as one that signed until ``until_ms``.

    Returns both, the old one first. Raises SigningKeyUnusable; then nothing has changed, or the old key is only on
    record twice.
    """
    before, new = read_signing_key(path), _new_key()
    known = [key for key in read_old_keys(path) if key.key_id != before.key_id]
    lines = [_old_line(key) for key in (*known, _retired(before, until_ms))]
    try:
        _replace(_old(path), "".join(f"{line}\n" for line in lines))
        _replace(path, f"{new.line()}\n")
    except OSError as error:
        raise SigningKeyUnusable(f"cannot replace the signing key {path}: {error.strerror}") from error
    return before, new


def _new_key() -> SigningKey:
    return SigningKey(f"a_{secrets.token_hex(3)}", secrets.token_bytes(32))


def _old(path: Path) -> Path:
    return path.with_name(f"{path.name}.old")


def _retired(key: SigningKey, until_ms: int) -> VerifyKey:
    return VerifyKey(key.key_id, key.verify_key.public, until_ms, expired=True)


def _old_key(line: str) -> VerifyKey:
    words = line.split()
    if len(words) != 4 or words[0] != ALGORITHM:
        raise InvalidParam("A line of it is: ed25519 <version> <base64 of the public key> <milliseconds>")
    return VerifyKey.parse(f"{ALGORITHM}:{words[1]}", words[2], int(words[3]), expired=True)


def _old_line(key: VerifyKey) -> str:
    return f"{ALGORITHM} {key.key_id.partition(':')[2]} {key.text()} {key.valid_until_ts}"


def _replace(path: Path, text: str) -> None:
    """Write a file so that there is the old one or the new one, whenever the machine stops."""
    new = path.with_name(f"{path.name}.new")
    new.unlink(missing_ok=True)
    _write(new, text)
    new.rename(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _write(path: Path, text: str) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())

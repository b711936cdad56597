"""What commands about media are told: addresses, hashes, users, rooms, ages and sizes."""

import argparse
import re
from typing import Final

from config.values import parse_size
from homeserver.app.commands.failure import CommandFailed
from homeserver.protocol.errors import InvalidParam
from homeserver.protocol.identifiers import (
    RoomID,
    UserID,
    parse_media_id,
    parse_room_id,
    parse_server_name,
    parse_user_id,
)
from homeserver.services.media.model import MediaName

_SCHEME: Final = "mxc://"
_HASH: Final = re.compile(r"[0-9a-f]{64}")


def name_of(uri: str) -> MediaName:
    """What an address names. Raises CommandFailed."""
    server, _, media_id = uri.removeprefix(_SCHEME).partition("/")
    try:
        return MediaName(parse_server_name(server), parse_media_id(media_id))
    except InvalidParam as error:
        raise CommandFailed(f"{uri} is no mxc://server/media_id: {error.message}") from error


def sha256(text: str) -> str:
    """A hash, as the value of an option."""
    if _HASH.fullmatch(text.lower()) is None:
        raise argparse.ArgumentTypeError(f"{text} is no SHA-256 in hexadecimal")
    return text.lower()


def user(text: str) -> UserID:
    """A user, as the value of an option."""
    try:
        return parse_user_id(text)
    except InvalidParam as error:
        raise argparse.ArgumentTypeError(f"{text}: {error.message}") from error


def room(text: str) -> RoomID:
    """A room, as the value of an option."""
    try:
        return parse_room_id(text)
    except InvalidParam as error:
        raise argparse.ArgumentTypeError(f"{text}: {error.message}") from error


def size(text: str) -> int:
    """Bytes, as the value of an option such as 10MB."""
    try:
        return parse_size(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def shown_size(number: int) -> str:
    """Bytes for people: three digits or four, and a unit."""
    value = float(number)
    for unit in ("bytes", "kB", "MB", "GB"):
        if value < 1000:
            return f"{value:.3g} {unit}"
        value /= 1000
    return f"{value:.4g} TB"

"""A process that works on what strangers made: pictures, films, recordings and pages. A request is a line of JSON on
standard input, its answer one on standard output.

It is the only place where these are decoded, so that a decoder that hangs, crashes or takes all memory harms nobody but
the one file. Run by `homeserver.gateways.media_processes`, never imported by the server.
"""

import json
import resource
import sys
import warnings
from collections.abc import Callable, Mapping
from typing import Any, Final

from PIL import Image

from homeserver.gateways.film_reading import described, made
from homeserver.gateways.page_reading import page_read
from homeserver.gateways.picture_making import failure_of, measured

MAX_TARGET_BYTES: Final = 64 * 1024 * 1024
MAX_OPEN_FILES: Final = 64
WORK: Final[Mapping[str, Callable[[dict[str, Any]], dict[str, Any]]]] = {
    "thumbnail": made,
    "measure": measured,
    "describe": described,
    "page": page_read,
}


def main() -> None:
    """Answer requests until there are no more."""
    memory = int(sys.argv[1])
    for limited, most in (
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_NOFILE, MAX_OPEN_FILES),
        (resource.RLIMIT_FSIZE, MAX_TARGET_BYTES),
        (resource.RLIMIT_AS, memory),
    ):
        resource.setrlimit(limited, (most, most))
    warnings.simplefilter("ignore")
    Image.MAX_IMAGE_PIXELS = None  # there is a check of our own, before anything is decoded
    for line in sys.stdin.buffer:
        sys.stdout.buffer.write(json.dumps(answered(json.loads(line))).encode() + b"\n")
        sys.stdout.buffer.flush()


def answered(request: dict[str, Any]) -> dict[str, Any]:
    """Do one piece of work, or tell why it could not be done."""
    try:
        return WORK[request["work"]](request)
    except Exception as error:  # decoders raise all kinds of errors on broken files
        return failure_of(error)


if __name__ == "__main__":
    main()

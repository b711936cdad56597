"""`python -m homeserver` is the command `homeserver`."""

import sys

from homeserver.app.cli import main

if __name__ == "__main__":
    sys.exit(main())

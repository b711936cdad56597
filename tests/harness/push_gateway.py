"""A push gateway as a process of its own: `python -m tests.harness.push_gateway PORT FILE`.

It takes every push and writes it to a file, a line each. https://spec.matrix.org/v1.19/push-gateway-api/
"""

import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Lock
from typing import Any

from tests.harness.process import HOST, Child, free_port

PATH = "/_matrix/push/v1/notify"


class PushGatewayProcess:
    """The process, and what it was asked for."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self._taken = folder / "pushes.jsonl"
        self._log = folder / "push-gateway.log"
        self._child: Child | None = None

    @property
    def url(self) -> str:
        """Where it takes pushes."""
        return f"http://{HOST}:{self.port}{PATH}"

    def start(self) -> None:
        """Start it, and wait until it listens."""
        self._taken.touch()
        arguments = [sys.executable, "-m", "tests.harness.push_gateway", str(self.port), str(self._taken)]
        self._child = Child(arguments, self._log)
        self._child.wait_until(lambda: "listening" in (self._child.said() if self._child else ""))

    def stop(self) -> None:
        """End it."""
        if self._child is not None and self._child.status is None:
            self._child.end()

    def pushes(self) -> list[Any]:
        """The notifications so far."""
        return [json.loads(line)["notification"] for line in self._taken.read_text().splitlines()]


def main(port: int, taken: Path) -> None:
    """Serve until the end."""
    lock = Lock()

    class _Taker(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            right = self.path == PATH
            if right:
                with lock, taken.open("a") as file:
                    file.write(json.dumps(body) + "\n")
            answer = json.dumps({"rejected": []} if right else {"errcode": "M_UNRECOGNIZED"}).encode()
            self.send_response(200 if right else 404)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, format: str, *arguments: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer((HOST, port), _Taker)
    print("listening", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]))

"""Starts a server as SyTest asks for it: `python -m tests.harness.sytest FILE`.

FILE is JSON by the contract of the suite's runner: an unknown key is ignored, a missing one has its default.
"""

import json
import os
import socket
import sys
from pathlib import Path
from typing import Any

import yaml
from psycopg2.extensions import make_dsn

CONTRACT = 1


def configuration(wishes: dict[str, Any]) -> dict[str, Any]:
    """Our configuration for the wishes of a contract file."""
    listen, tls, paths = wishes["listen"], wishes["tls"], wishes["paths"]
    address = socket.getaddrinfo(listen["host"], None, socket.AF_INET, socket.SOCK_STREAM)[0][4][0]
    serves = ["client", "federation"]
    certificate = {"certificate": tls["certificate_path"], "private_key": tls["private_key_path"]}
    registration = wishes.get("registration", {})
    federation = wishes.get("federation", {})
    found: dict[str, Any] = {
        "server_name": wishes["server_name"],
        "public_baseurl": wishes["public_baseurl"],
        "data_dir": paths["data_dir"],
        "signing_key_path": wishes["signing_key_path"],
        "listeners": [
            {"bind": address, "port": listen["secure_port"], "serves": serves, "tls": certificate},
            {"bind": address, "port": listen["insecure_port"], "serves": serves},
        ],
        "registration": {
            "mode": "open" if registration.get("enabled", True) else "closed",
            "guests": registration.get("guests", True),
            "shared_secret": registration.get("shared_secret", "reg_secret"),
        },
        "rate_limits": {"enabled": wishes.get("limits", {}).get("rate_limits", False)},
        "access_tokens_in_query": wishes.get("client_api", {}).get("access_token_in_query", False),
        "passwords": {"time_cost": 1, "memory": "8KiB", "minimum_length": 1},
        "federation": {"ca_file": federation.get("ca_path"), "allow_networks": ["127.0.0.0/8", "::1/128"]},
        "presence": {"federate": True},
        "outbound": {"verify_tls": wishes.get("outbound", {}).get("verify_tls", False)},
        "push": {"allow_http": True},
        "media": {
            "path": paths["media_dir"],
            "url_previews": {"enabled": wishes.get("url_preview", {}).get("enabled", False)},
        },
        "log": {"level": "info", "format": "json"},
    }
    if smtp := wishes.get("smtp"):
        found["mail"] = {
            "host": smtp["host"],
            "port": smtp["port"],
            "security": "none",
            "sender": smtp["from"],
        }
    database = wishes.get("database")
    if database:
        found["database"] = make_dsn(**database["args"])
    if version := wishes.get("rooms", {}).get("default_version"):
        found["default_room_version"] = version
    return found


def main() -> None:
    """Write the configuration and become the server."""
    path = Path(sys.argv[1])
    wishes = json.loads(path.read_text())
    if wishes.get("contract") != CONTRACT:
        sys.exit(f"{path}: this harness knows contract {CONTRACT}")
    target = Path(wishes["paths"]["data_dir"]) / "homeserver.yaml"
    target.write_text(yaml.safe_dump(configuration(wishes)))
    os.execv(sys.executable, [sys.executable, "-m", "homeserver.app.cli", "run", "-c", str(target)])


if __name__ == "__main__":
    main()

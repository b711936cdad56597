"""A real Synapse on 127.0.0.1, which our servers federate with.

It is installed from PyPI into a virtual environment of its own, by `tests/interop/synapse.txt`, once;
`MERIDIAN_SYNAPSE_VENV` names one in which it is installed already.
"""

import os
import signal
import sqlite3
import subprocess
import sys
import time
from base64 import b64encode
from collections.abc import Mapping
from contextlib import closing, suppress
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

import yaml

from tests.harness.cache import give_up, kept_folder
from tests.harness.certificates import Authority
from tests.harness.process import HOST, Child, ServerProcess, free_port

REQUIREMENTS = Path(__file__).parents[1] / "interop" / "synapse.txt"
_PLENTY = {"per_second": 100_000, "burst_count": 100_000}
_LIMITS = ("message", "registration", "registration_token_validity", "admin_redaction", "join_rate_per_room")
_PAIRED_LIMITS = {
    "rc_login": ("address", "account", "failed_attempts"),
    "rc_joins": ("local", "remote"),
    "rc_invites": ("per_room", "per_user", "per_issuer"),
}


def synapse_python() -> Path:
    """The Python in whose environment Synapse is; installs it first. Skips the test if PyPI cannot be reached."""
    if given := os.environ.get("MERIDIAN_SYNAPSE_VENV"):
        return Path(given) / "bin" / "python"
    version = sys.version.encode()
    with kept_folder("synapse", REQUIREMENTS.read_bytes(), version) as (folder, complete):
        python = folder / "bin" / "python"
        if not complete:
            _run([sys.executable, "-m", "venv", "--clear", str(folder)])
            _run(
                [str(python), "-m", "pip", "install", "--quiet", "--require-hashes", "-r", str(REQUIREMENTS)]
            )
        return python


def _run(command: list[str]) -> None:
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if done.returncode:
        give_up("pip", done.stdout + done.stderr)


@dataclass
class SynapseProcess(ServerProcess):
    """One Synapse with a database of SQLite, which trusts the authority."""

    folder: Path
    authority: Authority
    settings: Mapping[str, Any] = field(default_factory=dict)
    port: int = field(default_factory=free_port)
    tls_port: int = field(default_factory=free_port)
    child: Child | None = None

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self.server_name = f"{HOST}:{self.tls_port}"
        self._python = synapse_python()
        self._write()

    def launch(self) -> None:
        """Start it without waiting."""
        arguments = [
            str(self._python),
            "-m",
            "synapse.app.homeserver",
            "-c",
            str(self.folder / "homeserver.yaml"),
        ]
        environment = {**os.environ, "SYNAPSE_ASYNC_IO_REACTOR": "0"}
        self.child = Child(arguments, self.folder / "synapse.log", environment, self.folder)

    def stop(self) -> float:
        """Ask it to end and wait for that; gives the seconds that took.

        It is given the time to note for whom its newest events are: one that is stopped before that tells nobody
        of them until something else happens in it.
        """
        self._note_recipients()
        return self.running.end(signal.SIGTERM, 30)

    def _note_recipients(self, seconds: float = 20.0) -> None:
        deadline = time.monotonic() + seconds
        with closing(sqlite3.connect(f"file:{self.folder / 'synapse.db'}?mode=ro", uri=True)) as database:
            while time.monotonic() < deadline:
                with suppress(sqlite3.OperationalError):  # it is written to just now
                    ((behind,),) = database.execute(_EVENTS_WITHOUT_RECIPIENTS)
                    if not behind:
                        return
                time.sleep(0.02)

    def _write(self) -> None:
        self.authority.write(self.folder / "ca.pem")
        self.authority.leaf([HOST, "localhost"]).write(self.folder)
        seed = b64encode(sha256(self.server_name.encode()).digest()).decode().rstrip("=")
        (self.folder / "signing.key").write_text(f"ed25519 a_test {seed}\n")
        (self.folder / "log.yaml").write_text(yaml.safe_dump(_LOGGING))
        settings = {**self._identity(), **_limits(), **_CONDUCT, **self.settings}
        (self.folder / "homeserver.yaml").write_text(yaml.safe_dump(settings))

    def _identity(self) -> dict[str, Any]:
        resources = [{"names": ["client", "federation"]}]
        listener = {"type": "http", "bind_addresses": [HOST], "resources": resources}
        return {
            "server_name": self.server_name,
            "public_baseurl": f"{self.url}/",
            "pid_file": str(self.folder / "synapse.pid"),
            "listeners": [{**listener, "port": self.port}, {**listener, "port": self.tls_port, "tls": True}],
            "tls_certificate_path": str(self.folder / "tls.crt"),
            "tls_private_key_path": str(self.folder / "tls.key"),
            "federation_custom_ca_list": [str(self.folder / "ca.pem")],
            "database": {"name": "sqlite3", "args": {"database": str(self.folder / "synapse.db")}},
            "signing_key_path": str(self.folder / "signing.key"),
            "media_store_path": str(self.folder / "media"),
            "log_config": str(self.folder / "log.yaml"),
        }


_EVENTS_WITHOUT_RECIPIENTS = """
    select count(*) from events where stream_ordering >
        (select coalesce(min(stream_id), 0) from federation_stream_position where type = 'events')
"""


def _limits() -> dict[str, Any]:
    paired = {name: dict.fromkeys(parts, _PLENTY) for name, parts in _PAIRED_LIMITS.items()}
    return {**{f"rc_{name}": _PLENTY for name in _LIMITS}, **paired}


_CONDUCT: dict[str, Any] = {
    "enable_registration": True,
    "enable_registration_without_verification": True,
    "bcrypt_rounds": 4,
    "macaroon_secret_key": "for tests",
    "form_secret": "for tests",
    "registration_shared_secret": "for tests",
    "report_stats": False,
    "suppress_key_server_warning": True,
    "trusted_key_servers": [],
    "caches": {"sync_response_cache_duration": "0s"},
    "allow_public_rooms_over_federation": True,
    "allow_public_rooms_without_auth": True,
    "room_list_publication_rules": [{"action": "allow"}],
    "ip_range_blacklist": [],
    "federation_ip_range_blacklist": [],
    "presence": {"enabled": False},
    "rc_federation": {"window_size": 1000, "sleep_limit": 100_000, "reject_limit": 100_000, "concurrent": 50},
    # A server that was down is asked again at once, so that tests need not wait for minutes.
    "federation": {
        "client_timeout": 20_000,
        "max_short_retry_delay": 500,
        "destination_min_retry_interval": 500,
        "destination_max_retry_interval": 2000,
        "destination_retry_multiplier": 1,
    },
}
_LOGGING = {
    "version": 1,
    "formatters": {"plain": {"format": "%(asctime)s %(levelname)s %(name)s %(message)s"}},
    "handlers": {
        "console": {"class": "logging.StreamHandler", "formatter": "plain", "stream": "ext://sys.stderr"}
    },
    "root": {"level": "INFO", "handlers": ["console"]},
    "disable_existing_loggers": False,
}

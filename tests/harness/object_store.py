"""An S3-compatible store for tests: SeaweedFS, installed from PyPI, on loopback."""

import json
import socket
import subprocess
import sysconfig
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.request import urlopen

KEY, SECRET = "test-key", "test-secret"
BUCKET = "media"
_GRPC = 10_000
"""SeaweedFS listens on each port and on the one so much above it."""


@dataclass(frozen=True, slots=True)
class ObjectStore:
    """A running store."""

    endpoint: str

    def settings(self, prefix: str, **more: Any) -> dict[str, Any]:
        """The section `media.s3` of a server that uses it."""
        return {
            "bucket": BUCKET,
            "prefix": prefix,
            "endpoint": self.endpoint,
            "access_key_id": KEY,
            "secret_access_key": SECRET,
            **more,
        }


@contextmanager
def object_store() -> Iterator[ObjectStore]:
    """Start a store with an empty bucket, and end it."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        identity = {
            "name": "test",
            "credentials": [{"accessKey": KEY, "secretKey": SECRET}],
            "actions": ["Admin", "Read", "Write", "List"],
        }
        (folder / "s3.json").write_text(json.dumps({"identities": [identity]}))
        master, volume, filer, s3 = _free_ports(4)
        weed = Path(sysconfig.get_path("scripts")) / "weed"
        command = [str(weed), "-logtostderr=true", "server", f"-dir={folder}", "-ip=127.0.0.1"]
        command += ["-ip.bind=127.0.0.1", f"-master.port={master}", f"-volume.port={volume}"]
        command += [f"-filer.port={filer}", "-s3", f"-s3.port={s3}", f"-s3.config={folder}/s3.json"]
        command += ["-volume.max=20", "-master.volumeSizeLimitMB=64"]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            store = ObjectStore(f"http://127.0.0.1:{s3}")
            _await_answer(store.endpoint)
            _make_bucket(store)
            yield store
        finally:
            process.kill()  # told to end, it first waits for its own parts, for ten seconds
            process.wait()


def _free_ports(number: int) -> list[int]:
    found: list[int] = []
    for port in range(21_000, 29_000, 7):
        if len(found) < number and _is_free(port) and _is_free(port + _GRPC):
            found.append(port)
    return found


def _is_free(port: int) -> bool:
    with closing(socket.socket()) as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0


def _await_answer(url: str) -> None:
    for _ in range(300):
        try:
            urlopen(url, timeout=1).close()
            return
        except HTTPError:
            return
        except (URLError, OSError):
            time.sleep(0.1)
    raise AssertionError("the store did not start")


def _make_bucket(store: ObjectStore) -> None:
    from botocore.session import get_session  # noqa: PLC0415 - only tests with a store need it

    client = get_session().create_client(
        "s3",
        endpoint_url=store.endpoint,
        region_name="us-east-1",
        aws_access_key_id=KEY,
        aws_secret_access_key=SECRET,
    )
    for _ in range(100):
        try:
            client.create_bucket(Bucket=BUCKET)
            return
        except Exception:
            time.sleep(0.1)
    raise AssertionError("the bucket cannot be made")

"""The contents of media in an S3-compatible store (Amazon S3, Ceph, MinIO, SeaweedFS, ...).

botocore blocks, so each call runs on a thread of the workers; it is imported when a store is configured, not before.
"""

import importlib
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Final, TypeVar

from homeserver.gateways.media_files import FileLost, Reading
from homeserver.gateways.media_spool import FileWorkers, Spool

T = TypeVar("T")

PART_BYTES: Final = 16 * 1024 * 1024
"""Larger files go up in parts, one after the other. S3 takes 10,000 parts of at least 5 MiB."""
_PIECE: Final = 256 * 1024


@dataclass(frozen=True, slots=True)
class S3Store:
    """A bucket, and how to speak to whoever keeps it."""

    bucket: str
    prefix: str
    endpoint: str | None
    region: str
    access_key_id: str | None
    secret_access_key: str | None
    path_style: bool
    connections: int


@dataclass(frozen=True, slots=True)
class Redirects:
    """Whether clients fetch files by themselves: from URLs that are good for so many seconds, or from a CDN."""

    presigned_seconds: int = 0
    cdn_base_url: str | None = None


class S3Files:
    """Files as objects of a bucket."""

    def __init__(self, store: S3Store, redirects: Redirects, spool: Spool, workers: FileWorkers) -> None:
        self._store = store
        self._redirects = redirects
        self._spool = spool
        self._workers = workers
        self._client: Any = _client(store)

    async def keep(self, name: str, whole: Path) -> None:
        """Send it there, and delete it here."""
        await self._workers.run(lambda: self.keep_now(name, whole))

    def keep_now(self, name: str, whole: Path) -> None:
        """The same, on a thread of the workers."""
        self._send(self._key(name), whole)

    async def open(self, name: str, start: int, length: int) -> Reading:
        """Read by the piece, as it comes over the network."""
        body = await self._workers.run(lambda: self._body(self._key(name), start, length))
        return _S3Reading(body, length, self._workers)

    @asynccontextmanager
    async def borrow(self, name: str) -> AsyncIterator[Path]:
        """Bring it here for a while."""
        path = self._spool.path()
        try:
            await self._workers.run(lambda: self._fetch(self._key(name), path))
            yield path
        finally:
            await self._spool.discard(path)

    async def size(self, name: str) -> int:
        """By asking for the object's head."""
        key = self._key(name)
        found = await self._workers.run(
            lambda: self._found(lambda: self._client.head_object(Bucket=self._store.bucket, Key=key))
        )
        return int(found["ContentLength"])

    async def delete(self, name: str) -> None:
        """Delete the object."""
        key = self._key(name)
        await self._workers.run(lambda: self._client.delete_object(Bucket=self._store.bucket, Key=key))

    def names(self) -> Iterator[str]:
        """List the bucket."""
        pages = self._client.get_paginator("list_objects_v2")
        for page in pages.paginate(Bucket=self._store.bucket, Prefix=self._store.prefix):
            for each in page.get("Contents", ()):
                yield each["Key"].removeprefix(self._store.prefix)

    def public_url(self, name: str, content_type: str, disposition: str) -> str | None:
        """A URL by which the store itself gives the file under its type and name."""
        if self._redirects.cdn_base_url is not None:
            return self._redirects.cdn_base_url.rstrip("/") + "/" + self._key(name)
        if self._redirects.presigned_seconds == 0:
            return None
        wished = {
            "Bucket": self._store.bucket,
            "Key": self._key(name),
            "ResponseContentType": content_type,
            "ResponseContentDisposition": disposition,
        }
        return str(
            self._client.generate_presigned_url(
                "get_object", Params=wished, ExpiresIn=self._redirects.presigned_seconds
            )
        )

    def _key(self, name: str) -> str:
        return self._store.prefix + name

    def _send(self, key: str, whole: Path) -> None:
        with whole.open("rb") as file:
            if whole.stat().st_size <= PART_BYTES:
                self._client.put_object(Bucket=self._store.bucket, Key=key, Body=file)
            else:
                self._send_in_parts(key, file)
        whole.unlink()

    def _send_in_parts(self, key: str, file: BinaryIO) -> None:
        place = {"Bucket": self._store.bucket, "Key": key}
        upload_id = self._client.create_multipart_upload(**place)["UploadId"]
        try:
            parts: list[dict[str, Any]] = []
            while piece := file.read(PART_BYTES):
                number = len(parts) + 1
                sent = self._client.upload_part(**place, UploadId=upload_id, PartNumber=number, Body=piece)
                parts.append({"PartNumber": number, "ETag": sent["ETag"]})
            self._client.complete_multipart_upload(
                **place, UploadId=upload_id, MultipartUpload={"Parts": parts}
            )
        except BaseException:
            self._client.abort_multipart_upload(**place, UploadId=upload_id)
            raise

    def _body(self, key: str, start: int, length: int) -> Any:
        if length == 0:
            return None
        return self._found(
            lambda: self._client.get_object(
                Bucket=self._store.bucket, Key=key, Range=f"bytes={start}-{start + length - 1}"
            )
        )["Body"]

    def _fetch(self, key: str, path: Path) -> None:
        body = self._found(lambda: self._client.get_object(Bucket=self._store.bucket, Key=key))["Body"]
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with path.open("xb") as file:
            for piece in body.iter_chunks(_PIECE):
                file.write(piece)

    def _found(self, ask: Callable[[], T]) -> T:
        try:
            return ask()
        except self._client.exceptions.ClientError as error:
            status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode")
            if status in (404, 416):
                raise FileLost(f"the store has no such object: {error}") from error
            raise


class _S3Reading:
    def __init__(self, body: Any, length: int, workers: FileWorkers) -> None:
        self._body = body
        self._left = length
        self._workers = workers

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        body = self._body
        if body is None or self._left == 0:
            await self.aclose()
            raise StopAsyncIteration
        piece: bytes = await self._workers.run(lambda: body.read(min(self._left, _PIECE)))
        if not piece:
            await self.aclose()
            raise FileLost("an object ended too early")
        self._left -= len(piece)
        return piece

    async def aclose(self) -> None:
        """Let go of the connection."""
        body, self._body = self._body, None
        if body is not None:
            body.close()


def _client(store: S3Store) -> Any:
    session: Any = importlib.import_module("botocore.session")
    config: Any = importlib.import_module("botocore.config")
    return session.get_session().create_client(
        "s3",
        endpoint_url=store.endpoint,
        region_name=store.region,
        aws_access_key_id=store.access_key_id,
        aws_secret_access_key=store.secret_access_key,
        config=config.Config(
            signature_version="s3v4",
            s3={"addressing_style": "path" if store.path_style else "auto"},
            max_pool_connections=store.connections,
            retries={"max_attempts": 3, "mode": "standard"},
            connect_timeout=10,
            read_timeout=60,
            # Stores other than Amazon's do not all know the newer checksums; ours is in the name.
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
        ),
    )

"""What the media repository measures: collectors of one registry object, `REGISTRY`."""

from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

REGISTRY: Final = CollectorRegistry()

BYTES: Final = Counter(
    "meridian_media_bytes_total",
    "Bytes of content: uploaded by users, fetched from other servers, given to whoever asked.",
    ["kind"],
    registry=REGISTRY,
)
LOOKUPS: Final = Counter(
    "meridian_media_lookups_total",
    "Content asked for: ours, a copy that was here, fetched from another server, or not to be had.",
    ["outcome"],
    registry=REGISTRY,
)
THUMBNAILS: Final = Counter(
    "meridian_media_thumbnails_total",
    "Thumbnails asked for: kept from before, made, or none for what is no picture or too large.",
    ["outcome"],
    registry=REGISTRY,
)
PROCESSING_SECONDS: Final = Histogram(
    "meridian_media_processing_seconds",
    "Time to make a thumbnail or a description of a picture, a film or sound, waiting for a process included.",
    ["work", "kind"],
    buckets=(0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30),
    registry=REGISTRY,
)
WAITING: Final = Gauge(
    "meridian_media_waiting",
    "Thumbnails, descriptions and pages that wait for a process to work on them.",
    registry=REGISTRY,
)
STORAGE_ERRORS: Final = Counter(
    "meridian_media_storage_errors_total",
    "What the disk or the store did not do: to keep, to read or to delete a file.",
    ["work"],
    registry=REGISTRY,
)
LOST: Final = Counter(
    "meridian_media_lost_files_total", "Files that should have been there and were not.", registry=REGISTRY
)

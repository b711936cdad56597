"""What the media repository measures: collectors of one registry object, `REGISTRY`."""

from typing import Final

from prometheus_client import CollectorRegistry, Counter, Histogram

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
    "Time to make a thumbnail, waiting for a process included.",
    buckets=(0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30),
    registry=REGISTRY,
)
LOST: Final = Counter(
    "meridian_media_lost_files_total", "Files that should have been there and were not.", registry=REGISTRY
)

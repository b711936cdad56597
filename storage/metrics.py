"""What the storage layer measures: collectors of one registry object, `REGISTRY`."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

REGISTRY = CollectorRegistry()

_SECONDS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)

TRANSACTION_SECONDS = Histogram(
    "meridian_database_transaction_seconds",
    "Time of a database transaction, waiting for a connection included.",
    ["kind"],
    buckets=_SECONDS,
    registry=REGISTRY,
)
TRANSACTION_RETRIES = Counter(
    "meridian_database_retries_total",
    "Transactions run again after a deadlock, a serialization failure or a lost connection.",
    registry=REGISTRY,
)
QUERIES = Counter("meridian_database_queries_total", "Statements sent to PostgreSQL.", registry=REGISTRY)
CONNECTIONS = Gauge("meridian_database_connections", "Open connections to PostgreSQL.", registry=REGISTRY)

GROUP_SECONDS = Histogram(
    "meridian_journal_commit_seconds",
    "Time from a group's start until its commit.",
    buckets=_SECONDS,
    registry=REGISTRY,
)
GROUP_WRITES = Histogram(
    "meridian_journal_group_writes",
    "Writes that shared one commit.",
    buckets=(1, 2, 4, 8, 16, 32, 64, 128, 256),
    registry=REGISTRY,
)
GROUP_FAILURES = Counter(
    "meridian_journal_group_failures_total", "Groups whose writes were retried one by one.", registry=REGISTRY
)
LOST_RACES = Counter(
    "meridian_journal_lost_races_total", "Writes built on a room that changed meanwhile.", registry=REGISTRY
)
MISSED = Counter(
    "meridian_journal_missed_total",
    "Times that commits of other nodes were not heard of, so that memory was forgotten.",
    registry=REGISTRY,
)
POSITION = Gauge("meridian_journal_position", "Last committed stream position known here.", registry=REGISTRY)

CACHE_BYTES = Gauge("meridian_cache_bytes", "Bytes held.", ["cache"], registry=REGISTRY)
CACHE_ENTRIES = Gauge("meridian_cache_entries", "Entries held.", ["cache"], registry=REGISTRY)
CACHE_HITS = Counter(
    "meridian_cache_hits_total", "Look-ups that found their entry.", ["cache"], registry=REGISTRY
)
CACHE_MISSES = Counter("meridian_cache_misses_total", "Look-ups that did not.", ["cache"], registry=REGISTRY)
CACHE_EVICTIONS = Counter(
    "meridian_cache_evictions_total", "Entries dropped for the byte budget.", ["cache"], registry=REGISTRY
)

LEASES_HELD = Gauge("meridian_leases_held", "Leases this node holds.", registry=REGISTRY)

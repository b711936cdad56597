"""Construction of the media repository."""

from dataclasses import dataclass
from typing import Final

from config.config import Config
from config.media import MediaConfig, ThumbnailConfig
from federation.server_api.media import ServerMediaApi
from homeserver.admin_api.media import MediaAdminApi
from homeserver.admin_api.media_quarantine import MediaQuarantineApi
from homeserver.app.core import Core
from homeserver.app.wiring_federation_transport import FederationTransport
from homeserver.background.following import Following
from homeserver.background.media_upkeep import MediaUpkeep
from homeserver.client_api.media import MediaApi, OldMediaApi
from homeserver.client_api.media_previews import MediaPreviewsApi
from homeserver.client_api.media_upload import MediaUploadApi
from homeserver.clock import Clock, Randomness
from homeserver.gateways.ffmpeg_program import ffmpeg_of
from homeserver.gateways.media_files import LocalFiles, MediaFiles
from homeserver.gateways.media_processes import MediaProcesses, WorkLimits
from homeserver.gateways.media_spool import FileWorkers, Spool
from homeserver.gateways.s3_files import Redirects, S3Files, S3Store
from homeserver.http.endpoint import BoundEndpoint, collect
from homeserver.protocol.identifiers import ServerName
from homeserver.services.media.arrivals import Arrivals
from homeserver.services.media.checking import Checking
from homeserver.services.media.descriptions import Descriptions
from homeserver.services.media.downloads import Downloads, Frozen
from homeserver.services.media.inventory import Inventory
from homeserver.services.media.library import Library
from homeserver.services.media.metrics import WAITING
from homeserver.services.media.page_fetching import PageFetcher, PageLimits
from homeserver.services.media.previews import PreviewRules, Previews
from homeserver.services.media.quarantine import Quarantine
from homeserver.services.media.remote_media import RemoteMedia
from homeserver.services.media.retention import Retention, RetentionRules
from homeserver.services.media.thumbnails import Thumbnails
from homeserver.services.media.uploads import UploadRules, Uploads
from homeserver.services.media.uses import MediaUseIndex
from storage.database import Database
from storage.leases import Leases
from storage.workers import InlineWorkers

_INCOMING: Final = "incoming"
"""The folder of files in the making, beside the whole ones: to keep one is to rename it."""


@dataclass(frozen=True, slots=True)
class MediaArea:
    """Media."""

    library: Library
    retention: Retention
    processes: MediaProcesses
    uses: MediaUseIndex
    leases: Leases
    following: Following
    upkeep: MediaUpkeep
    endpoints: list[BoundEndpoint]
    federation_endpoints: list[BoundEndpoint]

    def start(self) -> None:
        """Begin what is done from time to time."""
        self.upkeep.start()
        self.following.start()

    async def stop(self) -> None:
        """End it, and the processes that work on pictures."""
        self.upkeep.stop()
        self.processes.stop()
        await self.library.stop()
        await self.following.stop()
        await self.leases.stop()


def build_media(core: Core, workers: FileWorkers, transport: FederationTransport) -> MediaArea:
    """Construct the area."""
    config, database, clock, random = core.config.media, core.database, core.clock, core.random
    spool = Spool(config.path / _INCOMING, workers, random)
    library = Library(database, media_files(config, spool, workers), spool, clock, random)
    arrivals = Arrivals(clock)
    elsewhere = None
    if core.config.federation.enabled:
        elsewhere = RemoteMedia(transport.client, transport.http, library, clock, config.max_remote_bytes)
    frozen = Frozen(core.server_name, config.unauthenticated_before_ms)
    downloads = Downloads(frozen, database, library, arrivals, elsewhere, clock)
    limits = _work_limits(config.thumbnails)
    processes = MediaProcesses(limits, workers, clock, ffmpeg_of(config.ffmpeg))
    WAITING.set_function(lambda: processes.waiting)
    thumbnails = Thumbnails(database, library, processes, clock)
    rules = UploadRules(
        server_name=core.server_name,
        max_bytes=config.max_upload_bytes,
        max_user_bytes=config.max_user_bytes,
        max_server_bytes=config.max_server_bytes,
        max_pending=config.max_pending_uploads,
        pending_lifetime_ms=config.pending_lifetime_ms,
    )
    retention = _retention(core.config, database, clock)
    uses = MediaUseIndex(core.server_name, database, core.journal, clock, config.redacted_lifetime_ms)
    leases = Leases(database, clock, core.holder("media"))
    uploads = Uploads(rules, database, library, arrivals, clock, random)
    previews = _previews(core, transport, library, processes) if config.url_previews.enabled else None
    return MediaArea(
        library=library,
        retention=retention,
        processes=processes,
        uses=uses,
        leases=leases,
        following=Following("media uses", uses.step, leases, core.journal, clock),
        upkeep=MediaUpkeep(uploads, retention, uses, library, previews, clock),
        endpoints=collect(
            MediaUploadApi(uploads, Descriptions(database, library, processes, clock)),
            MediaApi(downloads, thumbnails, config.max_upload_bytes),
            OldMediaApi(downloads, thumbnails),
            MediaPreviewsApi(previews),
            *_administration(core, retention),
        ),
        federation_endpoints=collect(ServerMediaApi(core.server_name, downloads, thumbnails, random)),
    )


@dataclass(frozen=True, slots=True)
class MediaTools:
    """What commands do with media."""

    library: Library
    retention: Retention
    checking: Checking
    inventory: Inventory
    quarantine: Quarantine
    clock: Clock


def build_media_tools(config: Config, database: Database, clock: Clock, random: Randomness) -> MediaTools:
    """Construct what commands need, which wait for files."""
    workers = InlineWorkers()
    spool = Spool(config.media.path / _INCOMING, workers, random)
    library = Library(database, media_files(config.media, spool, workers), spool, clock, random)
    name = ServerName(config.server_name)
    inventory = Inventory(name, database)
    return MediaTools(
        library,
        _retention(config, database, clock),
        Checking(database, library),
        inventory,
        Quarantine(name, database, inventory, clock),
        clock,
    )


def _work_limits(config: ThumbnailConfig) -> WorkLimits:
    return WorkLimits(config.processes, config.max_pixels, config.memory_bytes, config.timeout_ms / 1000)


def _retention(config: Config, database: Database, clock: Clock) -> Retention:
    media = config.media
    rules = RetentionRules(
        ServerName(config.server_name),
        media.remote_cache_bytes,
        media.remote_lifetime_ms,
        media.local_lifetime_ms,
    )
    return Retention(rules, database, clock)


def _administration(core: Core, retention: Retention) -> tuple[MediaAdminApi, MediaQuarantineApi]:
    name, database = core.server_name, core.database
    inventory = Inventory(name, database)
    return (
        MediaAdminApi(name, inventory, retention, core.config.media.unauthenticated_before_ms),
        MediaQuarantineApi(name, Quarantine(name, database, inventory, core.clock)),
    )


def _previews(
    core: Core, transport: FederationTransport, library: Library, processes: MediaProcesses
) -> Previews:
    config = core.config.media.url_previews
    limits = PageLimits(
        config.max_page_bytes,
        config.max_image_bytes,
        config.accept_language,
        config.deny_hosts,
        config.allow_hosts,
    )
    fetcher = PageFetcher(transport.http, library, processes, limits)
    rules = PreviewRules(core.server_name, config.lifetime_ms)
    return Previews(rules, core.database, library, fetcher, core.clock, core.random)


def media_files(config: MediaConfig, spool: Spool, workers: FileWorkers) -> MediaFiles:
    """Where files are kept, as configured."""
    s3 = config.s3
    if s3.bucket is None:
        return LocalFiles(config.path, workers)
    store = S3Store(
        bucket=s3.bucket,
        prefix=s3.prefix,
        endpoint=s3.endpoint,
        region=s3.region,
        access_key_id=s3.access_key_id,
        secret_access_key=s3.secret_access_key,
        path_style=s3.path_style,
        connections=s3.connections,
    )
    seconds = 0 if s3.presigned_lifetime_ms is None else s3.presigned_lifetime_ms // 1000
    return S3Files(store, Redirects(seconds, s3.cdn_base_url), spool, workers)

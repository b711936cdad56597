"""Construction of what sends server notices."""

from homeserver.admin_api.server_notices import ServerNoticesApi
from homeserver.app.core import Core
from homeserver.app.wiring_accounts import AccountsArea
from homeserver.app.wiring_rooms import Rooms
from homeserver.app.wiring_rooms_core import RoomsCore
from homeserver.http.endpoint import BoundEndpoint, collect
from homeserver.services.notice_sender import NoticeSender
from homeserver.services.rooms.founding import Founding
from homeserver.services.rooms.member_contents import MemberContents
from homeserver.services.rooms.notice_rooms import NoticeRooms, RoomLook
from homeserver.services.server_notices import ServerNotices


def server_notice_endpoints(
    core: Core, accounts: AccountsArea, rooms_core: RoomsCore, rooms: Rooms
) -> list[BoundEndpoint]:
    """The endpoints of administrators; none if notices are off."""
    user_id = core.notices_user
    if user_id is None:
        return []
    config, database = core.config.server_notices, core.database
    sender = NoticeSender(
        user_id, config.display_name, config.avatar_url, database, accounts.accounts, accounts.profiles
    )
    look = RoomLook(
        user_id, core.config.default_room_version, config.room_name, config.avatar_url, config.auto_join
    )
    founding = Founding(core.server_name, core.clock, core.random, rooms_core.writer, rooms_core.local_events)
    contents = MemberContents(database, core.server_name)
    notice_rooms = NoticeRooms(look, database, founding, rooms.actions, contents)
    notices = ServerNotices(sender, notice_rooms, rooms.transactions, accounts.account_data, database)
    return collect(ServerNoticesApi(notices))

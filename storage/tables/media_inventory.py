"""What there is of media, for administrators: by user, by room, by age and size."""

from msgspec import Struct

from homeserver.protocol.identifiers import MediaID, RoomID, ServerName, UserID
from storage.query import Queries, many, one, query

_IN_USE = """exists (select from profiles p where p.avatar_url = 'mxc://' || m.origin || '/' || m.media_id)
             or exists (select from room_summaries r where r.avatar_url = 'mxc://' || m.origin || '/' || m.media_id)"""
_TEXT = """case %(order)s when 'media_id' then m.media_id when 'upload_name' then m.filename
           when 'media_type' then m.content_type when 'quarantined_by' then m.quarantined_by end"""
_NUMBER = """case %(order)s when 'created_ts' then m.created_ts when 'last_access_ts' then m.last_used_ts
             when 'media_length' then c.size when 'safe_from_quarantine' then m.protected::int end"""
_USAGE = """from media m join media_contents c using (sha256) left join profiles p on p.user_id = m.user_id
            where m.user_id is not null and m.created_ts >= %(since)s and m.created_ts <= %(until)s
              and (%(search)s = '' or position(lower(%(search)s) in lower(split_part(m.user_id, ':', 1))) > 1
                   or position(lower(%(search)s) in lower(p.displayname)) > 0)"""


class Uploaded(Struct, frozen=True):
    """A file of one of our users."""

    media_id: MediaID
    content_type: str
    size: int
    filename: str | None
    created_ts: int
    last_used_ts: int
    quarantined_by: str | None
    protected: bool


class Usage(Struct, frozen=True):
    """How much a user's files are."""

    user_id: UserID
    displayname: str | None
    files: int
    bytes: int


class Mention(Struct, frozen=True):
    """An event of a room's timeline and its place; `json` only if it may show files."""

    depth: int
    ordering: int
    json: str | None


class MediaInventory(Queries):
    @query(
        f"""select m.media_id, m.content_type, c.size, m.filename, m.created_ts, m.last_used_ts, m.quarantined_by,
               m.protected
            from media m join media_contents c using (sha256) where m.user_id = %(user_id)s
            order by case when not %(down)s then {_TEXT} end, case when %(down)s then {_TEXT} end desc,
                case when %(down)s then -1 else 1 end * ({_NUMBER}), m.media_id
            limit %(limit)s offset %(skip)s""",
        many(Uploaded),
        planned_anew=True,
    )
    def of_user(self, user_id: UserID, order: str, down: bool, limit: int, skip: int) -> list[Uploaded]:
        """Some of a user's files in an order, `down` from the last of them."""

    @query(
        "select count(*) from media where user_id = %(user_id)s and sha256 is not null",
        one(int),
    )
    def count_of_user(self, user_id: UserID) -> int: ...

    @query(
        f"""select m.user_id, p.displayname, count(*) as files, sum(c.size)::bigint as bytes {_USAGE}
            group by m.user_id, p.displayname
            order by case when %(order)s = 'displayname' and not %(down)s then p.displayname end,
                case when %(order)s = 'displayname' and %(down)s then p.displayname end desc,
                case when %(down)s then -1 else 1 end
                    * case %(order)s when 'media_count' then count(*) when 'media_length' then sum(c.size) end,
                case when not %(down)s then m.user_id end, case when %(down)s then m.user_id end desc
            limit %(limit)s offset %(skip)s""",
        many(Usage),
        planned_anew=True,
    )
    def usage(
        self, since: int, until: int, search: str, order: str, down: bool, limit: int, skip: int
    ) -> list[Usage]:
        """How much users brought between two moments; those whose localpart or name contains a text."""

    @query(f"select count(distinct m.user_id) {_USAGE}", one(int), planned_anew=True)
    def users(self, since: int, until: int, search: str) -> int: ...

    @query(
        f"""select m.media_id from media m join media_contents c using (sha256)
            where m.user_id is not null and m.origin = %(ours)s and m.last_used_ts < %(before)s
              and c.size > %(larger_than)s and not m.protected
              and not (%(keep_quarantined)s and m.quarantined_by is not null)
              and not (%(keep_avatars)s and ({_IN_USE}))
            limit %(limit)s""",
        many(MediaID),
        planned_anew=True,
    )
    def unwanted(
        self,
        ours: ServerName,
        before: int,
        larger_than: int,
        keep_avatars: bool,
        keep_quarantined: bool,
        limit: int,
    ) -> list[MediaID]:
        """Files of our users that nobody got since a moment; protected ones are not among them."""

    @query(
        """select depth, ordering,
               case when type <> 'm.room.member' and position('mxc://' in json) > 0 then json end as json
           from events
           where room_id = %(room_id)s and ordering is not null and status = 0
             and (depth, ordering) > (%(depth)s, %(ordering)s)
           order by depth, ordering limit %(limit)s""",
        many(Mention),
    )
    def mentions(self, room_id: RoomID, depth: int, ordering: int, limit: int) -> list[Mention]:
        """Some events of a room, from a place on."""

    @query(
        """select e.json from current_state s join events e on e.nid = s.event_nid
           where s.room_id = %(room_id)s and s.type <> 'm.room.member' and position('mxc://' in e.json) > 0""",
        many(str),
    )
    def state_mentions(self, room_id: RoomID) -> list[str]:
        """The state of a room as far as it may show files, but for people's avatars."""

-- expand
-- What searches of messages look at. Written in the background: `pos` of the progress, and the backlog, tell what is still to come.

create table message_search (
    nid bigint primary key,
    room_id text collate "C" not null,
    sender text collate "C" not null,
    type text collate "C" not null,
    ts bigint not null,               -- origin_server_ts, but not later than the event was received
    pos bigint,                       -- null: backfilled
    replaces text collate "C",        -- the event that this one is a newer version of
    words text collate "C" not null,  -- " one two " (protocol/search_text)
    pieces integer[] not null         -- those of the words, and one for the room
);
create index message_search_pieces on message_search using gin (pieces) with (gin_pending_list_limit = 512);
create index message_search_order on message_search (ts, nid);
create index message_search_versions on message_search (replaces) where replaces is not null;

create table message_search_progress (
    only_row boolean primary key default true check (only_row),
    pos bigint not null
) with (fillfactor = 10);
insert into message_search_progress (pos) values (0);

-- Events without a position that are still to be looked at.
create table message_search_backlog (
    nid bigint primary key
);
insert into message_search_backlog (nid)
    select nid from events where pos is null and ordering is not null and status = 0
        and type in ('m.room.message', 'm.room.name', 'm.room.topic');

-- expand
-- Rooms that administrators delete, and rooms that they keep closed.

create table room_deletions (
    delete_id text collate "C" primary key,
    room_id text collate "C" not null,
    requested_by text collate "C" not null,
    requested_ts bigint not null,
    purge boolean not null,
    force boolean not null,           -- purge also if users could not be made to leave
    new_room_user_id text collate "C",
    new_room_name text not null,
    message text not null,
    stage text not null,              -- waiting, emptying, settling, hiding, purging; complete, failed
    stage_ts bigint not null,         -- since when
    new_room_id text collate "C",
    left_users text[] collate "C" not null default '{}',
    stayed_users text[] collate "C" not null default '{}',
    aliases text[] collate "C" not null default '{}',
    error text,
    finished_ts bigint
);
create unique index room_deletions_open on room_deletions (room_id) where finished_ts is null;
create index room_deletions_room on room_deletions (room_id, requested_ts);
create index room_deletions_age on room_deletions (finished_ts) where finished_ts is not null;

create table blocked_rooms (
    room_id text collate "C" primary key,
    blocked_by text collate "C" not null,
    blocked_ts bigint not null
);

-- By these a room's rows are found that no reader looks for by room.
create index events_unlisted on events (room_id) where pos is null;
create index redactions_room on redactions (room_id);

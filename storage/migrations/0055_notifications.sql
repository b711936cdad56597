-- expand
-- What of an event is worth a notification, whoever reads it (see homeserver/services/rooms/notability.py).

alter table events add column thread text collate "C";            -- event ID of the root of its thread; null: main timeline
alter table events add column notable smallint not null default 0; -- 1: notifies everybody, 2: highlights, 4: mentions somebody, 8: was redacted
create index events_notable on events (room_id, pos) where notable > 0;

-- Whom of our users an event mentions, so that it is a highlight for them.
create table mentions (
    user_id text collate "C" not null,
    pos bigint not null,
    room_id text collate "C" not null,
    event_nid bigint not null,
    primary key (user_id, pos)
);
create index mentions_event on mentions (event_nid);

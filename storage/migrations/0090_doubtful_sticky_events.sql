-- expand
-- Sticky events that the state of their room did not allow when they came: it may change while they are sticky (MSC4354).
create table doubtful_sticky_events (
    nid bigint primary key,
    room_id text collate "C" not null,
    expires_ts bigint not null
);
create index doubtful_sticky_events_rooms on doubtful_sticky_events (room_id);

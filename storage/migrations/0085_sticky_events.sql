-- expand
-- Events that every client and every server in the room is to have, in time (MSC4354).
create table sticky_events (
    room_id text collate "C" not null,
    pos bigint not null,
    nid bigint not null,
    own boolean not null,                 -- sent by our users: we push it to servers that join
    expires_ts bigint not null,
    primary key (room_id, pos)
);
create index sticky_events_age on sticky_events (expires_ts);

alter table delayed_events add column sticky_ms bigint;

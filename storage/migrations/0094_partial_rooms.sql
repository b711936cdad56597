-- expand
-- Rooms that were joined without being told of most of their members, until these are here.

create table partial_rooms (
    room_id text collate "C" primary key,
    join_nid bigint not null,
    server text collate "C" not null,
    servers text[] collate "C" not null,
    since_ts bigint not null,
    alive_until bigint not null default 0,
    attempts integer not null default 0
);

alter table membership_changes add column renewed boolean not null default false;

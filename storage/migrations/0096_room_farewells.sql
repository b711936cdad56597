-- expand
-- How users of ours left rooms that were purged since, for clients that were away meanwhile.

create table room_farewells (
    user_id text collate "C" not null,
    pos bigint not null,
    room_id text collate "C" not null,
    nid bigint not null,
    event_id text collate "C" not null,
    room_version text collate "C" not null,
    received_ts bigint not null,
    json text not null,
    primary key (user_id, pos, room_id)
);
create index room_farewells_age on room_farewells (received_ts);

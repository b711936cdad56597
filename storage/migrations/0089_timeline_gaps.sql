-- expand
-- Events that clients see as new although some before them are missing here: no timeline goes back over them.
create table timeline_gaps (
    room_id text collate "C" not null,
    nid bigint not null,
    primary key (room_id, nid)
);

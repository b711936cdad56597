-- expand
-- What users reported to the administrators: a room, an event in a room, or a user.

create table reports (
    id bigint generated always as identity primary key,
    received_ts bigint not null,
    reporter text collate "C" not null,
    room_id text collate "C",
    event_id text collate "C",
    user_id text collate "C",         -- the user reported, or the sender of the event
    reason text not null
);
